"""The steps about Tumblr, with a person at the questions and the stand-in's own OAuth pages at the other end."""

import getpass
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from bot import setup
from bot.__main__ import main
from bot.config import PREFIX, write_options, write_secrets
from bot.demo.faults import Fault
from bot.setup import tumblr as tumblr_step
from bot.store.database import Database
from bot.tumblr.client import Tumblr
from tests.setup.person import (
    CHOICES,
    FIRST,
    KEYS,
    LINK,
    REPOSITORY,
    TOKENS,
    allowed,
    files,
    forget_secrets,
    is_private,
    kept,
    options_now,
    run,
    written,
)

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
    monkeypatch.setattr(tumblr_step, "Tumblr", partial(Tumblr, retry_wait=0.0))
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
    monkeypatch.setattr("builtins.input", lambda _: "")
    Path("config.toml").write_text("post_limt = 3\n")
    assert main(["setup"]) == 0
    assert caplog.text.count("post_limt") == 1
    caplog.clear()
    main(["health"])
    assert caplog.text.count("post_limt") == 1, "other commands warn as before"


def test_secrets_in_config_toml_are_seen_as_set(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": staticmethod(lambda: True)})())
    monkeypatch.setattr(getpass, "getpass", lambda _: "")
    monkeypatch.setattr("builtins.input", lambda _: "")
    write_secrets(Path("data"), {"tumblr.consumer_key": "k"})
    assert main(["setup"]) == 0
    said = capsys.readouterr().out
    assert "tumblr.consumer_key: set\n" in said
    assert "tumblr.consumer_secret: not set\n" in said
