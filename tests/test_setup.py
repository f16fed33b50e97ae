"""setup, with a person at the questions, and the Tumblr stand-in's own OAuth pages at the other end."""

import asyncio
import contextlib
import getpass
import os
import re
import subprocess
import sys
import threading
import time
import tomllib
from functools import partial
from pathlib import Path

import pytest

from bot import setup
from bot.__main__ import main
from bot.config import PREFIX, options, write_options, write_secrets
from bot.demo.faults import Fault
from bot.demo.tumblr_service import TumblrService
from bot.store.database import Database
from bot.tumblr.client import Tumblr

REPOSITORY = Path(__file__).parents[1]
KEYS = ("stand-in-consumer-key", "stand-in-consumer-secret")
TOKENS = ("stand-in-oauth-token", "stand-in-oauth-token-secret")
LINK = re.compile(r"http://127\.0\.0\.1:\d+/oauth/authorize\?oauth_token=(\S+)")


@pytest.fixture(autouse=True)
def _nobodys_environment(monkeypatch, tmp_path):
    for option in options().values():
        monkeypatch.delenv(option.variable, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def tumblr():
    service = TumblrService()
    await service.start()
    service.add_blog("keeper", title="the keeper's \x1b[31mlog")
    service.add_blog("second-light")
    service.add_blog("other", owned=False)
    yield service
    await service.stop()


class Person:
    """Answers questions in order, each recognised by a few of its words; "link" goes to Tumblr and allows it."""

    def __init__(self, capsys, tumblr, answers):
        self.capsys, self.tumblr, self.answers = capsys, tumblr, list(answers)
        self.said = ""
        self.hidden = []

    def ask(self, question=""):
        self.listen()
        self.said += question
        assert self.answers, f"an unexpected question: {question}"
        words, answer = self.answers.pop(0)
        assert words in question
        if answer is EOFError or answer is KeyboardInterrupt:
            raise answer
        return answer(self) if callable(answer) else answer

    def ask_hidden(self, question=""):
        answer = self.ask(question)
        self.hidden.append(answer)
        return answer

    def listen(self):
        captured = self.capsys.readouterr()
        self.said += captured.out + captured.err

    @property
    def newest_token(self):
        return LINK.findall(self.said)[-1]

    def allow(self):
        return self.tumblr.authorize(self.newest_token)

    def deny(self):
        return self.tumblr.authorize(self.newest_token, allow=False)


async def run(monkeypatch, capsys, tumblr, *answers, arguments=()):
    """The exit status and everything that was said; the service answers meanwhile."""
    person = Person(capsys, tumblr, answers)
    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": staticmethod(lambda: True)})())
    monkeypatch.setattr("builtins.input", person.ask)
    monkeypatch.setattr(getpass, "getpass", person.ask_hidden)
    line = ["setup", "--tumblr-api-url", tumblr.base_url, *arguments]
    status = await asyncio.to_thread(main, line)
    person.listen()
    assert not person.answers, "every question was asked"
    assert "Traceback" not in person.said
    for secret in (*KEYS, *TOKENS):
        assert secret not in person.said
    return status, person.said


def allowed(person):
    return person.allow()


FIRST = (("consumer key", KEYS[0]), ("Consumer secret", KEYS[1]), ("The address", allowed))
CHOICES = (("that they shall go to", "2"), ("to learn from", "2, 1"))


def kept(folder="data"):
    path = Path(folder) / "secrets.toml"
    return tomllib.loads(path.read_text())["tumblr"] if path.exists() else {}


def written():
    """Both files, byte for byte."""
    return Path("config.toml").read_bytes(), Path("data/secrets.toml").read_bytes()


def files():
    return sorted(path.name for path in Path("data").iterdir())


def is_private():
    return os.name != "posix" or Path("data/secrets.toml").stat().st_mode & 0o777 == 0o600


def forget_secrets():
    Path("data/secrets.toml").unlink(missing_ok=True)


def options_now():
    return tomllib.loads(Path("config.toml").read_text())


# --- the whole of it ------------------------------------------------------------------------------------------


async def test_an_account_is_connected_and_its_blogs_chosen(tumblr, monkeypatch, capsys, caplog):
    status, said = await run(monkeypatch, capsys, tumblr, *FIRST, *CHOICES)
    assert status == 0
    assert "https://www.tumblr.com/oauth/apps" in said
    assert "Connected as keeper" in said
    assert "1  keeper  the keeper's" in said
    assert "\x1b" not in said
    assert "other" not in said.split("Its blogs:")[1].split("Approved drafts")[0]
    secrets = kept()
    assert (secrets["consumer_key"], secrets["consumer_secret"]) == KEYS
    assert set(secrets) == {"consumer_key", "consumer_secret", "oauth_token", "oauth_token_secret"}
    for secret in secrets.values():
        assert secret not in said + caplog.text + written()[0].decode()
    assert is_private()
    assert options_now()["upload_blog_identifier"] == "second-light"
    assert options_now()["download_blog_identifiers"] == ["second-light", "keeper"]
    assert files() == ["secrets.toml"], "a running bot holds the database"

    # Run again: it shows what is set, and changes only what is answered.
    before = written()
    status, said = await run(
        monkeypatch,
        capsys,
        tumblr,
        ("Connect an account anew?", ""),
        ("that they shall go to", ""),
        ("to learn from", ""),
    )
    assert status == 0
    assert said.count(": set\n") == 4
    assert "Approved drafts go to: second-light" in said
    assert "Posts are learned from: second-light, keeper" in said
    assert written() == before
    for secret in secrets.values():
        assert secret not in said


async def test_every_question_can_be_skipped(tumblr, monkeypatch, capsys):
    status, said = await run(monkeypatch, capsys, tumblr, ("consumer key", ""))
    assert status == 0
    assert "Nothing was changed." in said
    assert kept() == {}
    await run(monkeypatch, capsys, tumblr, ("consumer key", KEYS[0]), ("Consumer secret", ""))
    assert kept() == {}
    status, said = await run(monkeypatch, capsys, tumblr, *FIRST[:2], ("The address", ""))
    assert status == 0
    assert "No account was connected" in said
    assert list(kept().values()) == list(KEYS), "accepted keys need not be typed again"
    status, _ = await run(
        monkeypatch, capsys, tumblr,
        ("consumer key (Enter keeps", ""), ("Consumer secret (Enter keeps", ""), ("The address", allowed), *CHOICES,
    )  # fmt: skip
    assert status == 0
    assert len(kept()) == 4


async def test_connecting_anew_keeps_the_old_connection_until_the_new_one_works(tumblr, monkeypatch, capsys):
    old = dict.fromkeys(("consumer_key", "consumer_secret", "oauth_token", "oauth_token_secret"), "old-one")
    write_secrets(Path("data"), {f"tumblr.{name}": value for name, value in old.items()})
    again = (("anew?", "yes"), ("consumer key (Enter", KEYS[0]), ("Consumer secret (Enter", KEYS[1]))
    status, said = await run(monkeypatch, capsys, tumblr, *again, ("The address", ""))
    assert status == 0
    assert "what was set stays" in said
    assert "Run setup again, and connect the account anew." in said
    assert kept() == old
    await run(monkeypatch, capsys, tumblr, *again, ("The address", allowed), *CHOICES)
    assert "old-one" not in kept().values()
    before = kept()
    again = (("anew?", "yes"), ("consumer key (Enter", ""), ("Consumer secret (Enter", ""))
    none = (("that they shall go to", ""), ("to learn from", ""))
    await run(monkeypatch, capsys, tumblr, *again, ("The address", allowed), *none)
    assert kept() == before, "Enter keeps the keys, and the stand-in has but one pair of tokens"


async def test_wrong_keys_are_explained_and_asked_for_again(tumblr, monkeypatch, capsys):
    wrong = (("consumer key", "wrong-key"), ("Consumer secret", "wrong-secret"))
    status, said = await run(monkeypatch, capsys, tumblr, *wrong, *FIRST, *CHOICES)
    assert status == 0
    assert said.count("Tumblr does not accept the consumer key and secret") == 1
    assert "wrong-" not in said
    forget_secrets()
    status, said = await run(monkeypatch, capsys, tumblr, *wrong, *wrong, *wrong)
    assert status == 0
    assert "Nothing was changed." in said
    assert kept() == {}


async def test_a_wrong_paste_is_explained_and_asked_for_again(tumblr, monkeypatch, capsys):
    pastes = (
        ("The address", "hello there"),
        ("The address", "https://example.org/?oauth_token=another&oauth_verifier=x#_=_"),
        ("The address", lambda person: f" {person.allow()}\n"),
    )
    status, said = await run(monkeypatch, capsys, tumblr, *FIRST[:2], *pastes, *CHOICES)
    assert status == 0
    assert "That is not an address." in said
    assert "belongs to another link" in said
    assert len(kept()) == 4
    forget_secrets()
    status, said = await run(monkeypatch, capsys, tumblr, *FIRST[:2], *[("The address", "nothing")] * 3)
    assert said.count("That is not an address.") == 3
    assert "No account was connected" in said
    assert len(kept()) == 2


async def test_a_denied_connection(tumblr, monkeypatch, capsys):
    pastes = (("The address", lambda person: person.deny()), ("The address", ""))
    status, said = await run(monkeypatch, capsys, tumblr, *FIRST[:2], *pastes)
    assert status == 0
    assert "Tumblr was told not to allow the connection." in said
    assert len(kept()) == 2


async def test_a_used_up_address_makes_a_new_link(tumblr, monkeypatch, capsys):
    tumblr.faults.schedule(Fault("POST", "/oauth/access_token", "html", status=401))
    status, said = await run(monkeypatch, capsys, tumblr, *FIRST, ("The address", allowed), *CHOICES)
    assert status == 0
    links = LINK.findall(said)
    assert len(links) == len(set(links)) == 2
    assert len(kept()) == 4


async def test_tokens_that_cannot_be_tried_are_kept_all_the_same(tumblr, monkeypatch, capsys):
    monkeypatch.setattr(setup, "Tumblr", partial(Tumblr, retry_wait=0.0))
    tumblr.faults.schedule(Fault("GET", "/v2/user/info", "html", status=503, times=6))
    status, said = await run(monkeypatch, capsys, tumblr, *FIRST)
    assert status == 1
    assert "could not be tried" in said
    assert len(kept()) == 4, "Tumblr gave them, and gives them once"


async def test_tokens_that_are_refused_are_not_kept(tumblr, monkeypatch, capsys):
    tumblr.faults.schedule(Fault("GET", "/v2/user/info", "html", status=401))
    status, said = await run(monkeypatch, capsys, tumblr, *FIRST)
    assert status == 0
    assert "So nothing was written." in said
    assert set(kept()) == {"consumer_key", "consumer_secret"}


async def test_tumblr_that_cannot_be_reached_is_a_sentence(tumblr, monkeypatch, capsys):
    tumblr.faults.schedule(Fault("POST", "/oauth/request_token", "html", status=503))
    status, said = await run(monkeypatch, capsys, tumblr, *FIRST[:2])
    assert status == 1
    assert "Tumblr gave no usable answer (status 503)." in said
    assert kept() == {}


# --- blogs ----------------------------------------------------------------------------------------------------


async def test_what_is_no_choice_is_asked_for_again_and_then_stays(tumblr, monkeypatch, capsys):
    write_options(Path("config.toml"), {"download_blog_identifiers": ["www.tumblr.com/keeper", "other", "t:gone"]})
    wrong = [("that they shall go to", answer) for answer in ("1 2", "0", "keeper")]
    status, said = await run(
        monkeypatch, capsys, tumblr, *FIRST, *wrong, ("to learn from", "3"), ("to learn from", "2")
    )
    assert status == 0
    assert said.count("type one number from 1 to 2.") == 3
    assert said.count("type numbers from 1 to 2.") == 1
    assert options_now()["upload_blog_identifier"] == ""
    assert options_now()["download_blog_identifiers"] == ["second-light", "other", "t:gone"], "only its own are chosen"


async def test_a_choice_that_something_else_overrules_is_said(tumblr, monkeypatch, capsys):
    monkeypatch.setenv(f"{PREFIX}UPLOAD_BLOG_IDENTIFIER", "elsewhere")
    status, said = await run(monkeypatch, capsys, tumblr, *FIRST, *CHOICES)
    assert status == 0
    assert options_now()["upload_blog_identifier"] == "second-light"
    assert "sets upload_blog_identifier too, and wins" in said


# --- secrets that are set elsewhere ---------------------------------------------------------------------------


async def test_keys_of_the_environment_are_used_and_not_copied(tumblr, monkeypatch, capsys):
    monkeypatch.setenv(f"{PREFIX}TUMBLR__CONSUMER_KEY", KEYS[0])
    monkeypatch.setenv(f"{PREFIX}TUMBLR__CONSUMER_SECRET", KEYS[1])
    status, said = await run(monkeypatch, capsys, tumblr, FIRST[2], *CHOICES)
    assert status == 0
    assert f"tumblr.consumer_key: set, by the variable {PREFIX}TUMBLR__CONSUMER_KEY" in said
    assert set(kept()) == {"oauth_token", "oauth_token_secret"}


async def test_an_account_of_the_environment_is_not_replaced(tumblr, monkeypatch, capsys):
    for name, value in zip(
        ("CONSUMER_KEY", "CONSUMER_SECRET", "OAUTH_TOKEN", "OAUTH_TOKEN_SECRET"), KEYS + TOKENS, strict=True
    ):
        monkeypatch.setenv(f"{PREFIX}TUMBLR__{name}", value)
    status, said = await run(monkeypatch, capsys, tumblr, *CHOICES)
    assert status == 0
    assert "so the account is changed there" in said
    assert "Connected as keeper" in said
    assert kept() == {}
    assert options_now()["upload_blog_identifier"] == "second-light"


# --- how it ends ----------------------------------------------------------------------------------------------


async def test_it_works_beside_a_running_bot(tumblr, monkeypatch, capsys):
    database = await Database.open(Path("data/bot.sqlite3"))
    try:
        status, _ = await run(monkeypatch, capsys, tumblr, *FIRST, *CHOICES)
    finally:
        await database.close()
    assert status == 0


@pytest.mark.parametrize(("end", "status"), [(EOFError, setup.NO_TERMINAL), (KeyboardInterrupt, 130)])
async def test_it_can_be_left_at_any_question(tumblr, monkeypatch, capsys, end, status):
    full = [*FIRST, *CHOICES]
    for stop in range(len(full)):
        forget_secrets()
        answers = [*full[:stop], (full[stop][0], end)]
        ended, _ = await run(monkeypatch, capsys, tumblr, *answers)
        assert ended == status
        assert len(kept()) == (0, 0, 2, 4, 4)[stop]


def test_without_a_terminal_it_says_so(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "bot", "setup", "--config", str(tmp_path / "config.toml")],
        cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == setup.NO_TERMINAL
    assert "it needs a terminal" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_broken_file_of_secrets_is_told_before_anything_is_asked(capsys):
    Path("data").mkdir()
    Path("data/secrets.toml").write_text("broken stand-in-Zq7\n")
    assert main(["setup"]) == 2
    said = capsys.readouterr().err
    assert "secrets.toml cannot be read: line 1 is not TOML." in said
    assert "Zq7" not in said


def test_it_warns_of_the_settings_once(monkeypatch, caplog, capsys):
    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": staticmethod(lambda: True)})())
    monkeypatch.setattr(getpass, "getpass", lambda _: "")
    Path("config.toml").write_text("post_limt = 3\n")
    assert main(["setup"]) == 0
    assert caplog.text.count("post_limt") == 1
    caplog.clear()
    main(["health"])
    assert caplog.text.count("post_limt") == 1, "other commands warn as before"


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
async def test_in_a_real_terminal_nothing_secret_is_shown(tumblr, tmp_path):
    """The process itself at a pseudo-terminal, which echoes what is typed unless it is told not to."""

    def drive():
        controller, terminal = os.openpty()
        # The first terminal that a session opens is its controlling one: Ctrl+C comes from there.
        start = "import os, runpy; os.open(os.ttyname(0), os.O_RDWR); runpy.run_module('bot', run_name='__main__')"
        command = [sys.executable, "-c", start, "setup", "--config", str(tmp_path / "config.toml")]
        command += ["--data-directory", str(tmp_path / "data"), "--tumblr-api-url", tumblr.base_url]
        with subprocess.Popen(
            command, cwd=REPOSITORY, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
        ) as process:
            os.close(terminal)
            stop = threading.Timer(60, process.kill)
            stop.start()
            said = ""

            def wait_for(words):
                nonlocal said
                start = len(said)
                while words not in said[start:]:
                    said += os.read(controller, 4096).decode()

            def type_in(text):
                time.sleep(0.1)  # getpass throws away what was typed before it switched the echo off
                os.write(controller, f"{text}\n".encode())

            try:
                wait_for("consumer key: ")
                type_in(KEYS[0])
                wait_for("Consumer secret: ")
                type_in(KEYS[1])
                wait_for("The address (Enter: not now): ")
                type_in(tumblr.authorize(LINK.findall(said)[-1]))
                wait_for("shall go to (Enter keeps it): ")
                type_in("1")
                wait_for("(Enter keeps them): ")
                # Ctrl+C, pressed again where Python was about to read and had not begun: it takes no notice then.
                for _ in range(60):
                    os.write(controller, b"\x03")
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(timeout=0.5)
                        break
                status = process.wait(timeout=1)
            finally:
                stop.cancel()
                os.close(controller)
        return status, said

    status, said = await asyncio.to_thread(drive)
    assert status == 130
    assert "Traceback" not in said
    assert KEYS[0] not in said
    assert KEYS[1] not in said
    secrets = kept(tmp_path / "data")
    assert len(secrets) == 4
    assert secrets["oauth_token"] not in said
    assert options_now()["upload_blog_identifier"] == "keeper"


def test_secrets_in_config_toml_are_seen_as_set(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": staticmethod(lambda: True)})())
    monkeypatch.setattr(getpass, "getpass", lambda _: "")
    write_secrets(Path("data"), {"tumblr.consumer_key": "k"})
    assert main(["setup"]) == 0
    said = capsys.readouterr().out
    assert "tumblr.consumer_key: set\n" in said
    assert "tumblr.consumer_secret: not set\n" in said
