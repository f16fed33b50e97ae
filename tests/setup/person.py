"""A person at the questions of `setup`, and what is left behind when the questions are over."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import sys
import tomllib
from pathlib import Path

from bot.__main__ import main

REPOSITORY = Path(__file__).parents[2]
KEYS = ("stand-in-consumer-key", "stand-in-consumer-secret")
TOKENS = ("stand-in-oauth-token", "stand-in-oauth-token-secret")
LINK = re.compile(r"http://127\.0\.0\.1:\d+/oauth/authorize\?oauth_token=(\S+)")


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


async def wizard(monkeypatch, capsys, tumblr, *answers, arguments=()):
    """The exit status and everything that was said; the services answer meanwhile."""
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


SKIP_DISCORD = (("Bot token", ""),)
SKIP_MODELS = (("address of another service", ""), ("API key", ""))


async def run(monkeypatch, capsys, tumblr, *answers):
    """As `wizard`, for the steps about Tumblr: those before are skipped."""
    return await wizard(monkeypatch, capsys, tumblr, *SKIP_DISCORD, *SKIP_MODELS, *answers)


def allowed(person):
    return person.allow()


FIRST = (("consumer key", KEYS[0]), ("Consumer secret", KEYS[1]), ("The address", allowed))
CHOICES = (("that they shall go to", "2"), ("to learn from", "2, 1"))


def secrets(folder="data"):
    path = Path(folder) / "secrets.toml"
    return tomllib.loads(path.read_text()) if path.exists() else {}


def kept(folder="data"):
    return secrets(folder).get("tumblr", {})


def written():
    """Both files, byte for byte."""
    return Path("config.toml").read_bytes(), Path("data/secrets.toml").read_bytes()


def files():
    return sorted(path.name for path in Path("data").iterdir())


def is_private():
    return os.name != "posix" or Path("data/secrets.toml").stat().st_mode & 0o777 == 0o600


def forget_secrets():
    Path("data/secrets.toml").unlink(missing_ok=True)


def config_text():
    return Path("config.toml").read_text()


def options_now():
    return tomllib.loads(Path("config.toml").read_text())
