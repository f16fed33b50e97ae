"""How `setup` asks, and how it writes down what was answered."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from bot.config import SECRETS_FILE, Settings, parse_options, secrets_elsewhere, write_options, write_secrets
from bot.errors import BotError, SettingsError
from bot.setup.needed import value_of

TRIES = 3
"""How often a question is asked whose answers will not do."""
_LONGEST_NUMBER = 4  # digits: more would be no number of a list

T = TypeVar("T")
Load = Callable[[], Settings]
"""Reads the settings as they are now, after what a step before has written."""


def ask(question: str) -> str:
    return input(question).strip()


def says_yes(question: str) -> bool:
    return ask(question).lower() in {"y", "yes"}


def ask_secret(label: str, *, is_set: bool) -> str:
    """What is typed or pasted, which the terminal does not show; "" for Enter."""
    enter = "Enter keeps the one that is set" if is_set else "Enter: not now"
    return getpass.getpass(f"{label} ({enter}): ").strip()


@dataclass(frozen=True, slots=True)
class Tried(Generic[T]):
    """A secret that shall be used: `typed` now, or "" for the one that was set; `found` is None where it is untried."""

    typed: str
    found: T | None


def ask_and_try(
    label: str, name: str, current: str, attempt: Callable[[str], Coroutine[Any, Any, T]], refused: type[BotError]
) -> Tried[T] | None:
    """Ask for a secret until the service takes it; `refused` is how `attempt` says that it does not.

    None where nothing shall change, and the one that is set, if any, is of no use.
    """
    for _ in range(TRIES):
        typed = ask_secret(label, is_set=bool(current))
        if not typed and not current:
            print("Nothing was connected; what was set stays.")
            return None
        problem = complaint(name, typed)
        if problem:
            print(f"{problem}\n")
            continue
        try:
            return Tried(typed, asyncio.run(attempt(typed or current)))
        except refused as error:
            print(f"{error}\n")
        except BotError as error:
            print(error)
            if typed and says_yes("Keep it, untried? Type yes, or press Enter to leave things as they were: "):
                return Tried(typed, None)
            return None
    print("It stays as it was.")
    return None


def complaint(name: str, value: object) -> str:
    """What is wrong with a value for an option, "" for nothing. Shows no secret."""
    try:
        parse_options({name: value})
    except SettingsError as error:
        return error.problems[0]
    return ""


def choose(question: str, count: int, *, most: int, least: int = 1) -> list[int]:
    """The numbers, `least` to `count`, that the person chooses of a list.

    None for Enter, or when no answer was a choice.
    """
    for _ in range(TRIES):
        answer = ask(question).replace(",", " ").split()
        numbers = [
            int(part) if part.isascii() and part.isdecimal() and len(part) <= _LONGEST_NUMBER else -1 for part in answer
        ]
        if len(numbers) <= most and all(least <= number <= count for number in numbers):
            return list(dict.fromkeys(numbers))
        some = "one number" if most == 1 else "numbers"
        print(f"That is not among them: type {some} from {least} to {count}.")
    print("It stays as it is.")
    return []


def show_secrets(settings: Settings, *names: str) -> Mapping[str, str]:
    """Say which secrets are set. Returns those that win over what is written here, with words for where."""
    elsewhere = secrets_elsewhere(names)
    for name in names:
        place = f", by {elsewhere[name]}" if name in elsewhere else ""
        print(f"  {name}: {'set' + place if value_of(settings, name) else 'not set'}")
    return elsewhere


def keep_secret(load: Load, name: str, value: str) -> None:
    """Write a secret down."""
    folder = load().data_directory
    write_secrets(folder, {name: value})
    print(f"It is kept in {folder / SECRETS_FILE}.")


def keep_option(path: Path, load: Load, name: str, value: object) -> None:
    """Write an option into the settings file."""
    write_options(path, {name: value})
    if value_of(load(), name) != value:
        print(f"It is in {path}, but the environment or the command line sets {name} too, and wins.")
