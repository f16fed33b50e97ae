"""What is offered while somebody types."""

from __future__ import annotations

from collections.abc import Iterable

from discord import app_commands

MOST_CHOICES = 25  # Discord's limits, of choices and of the characters in one
LONGEST_CHOICE = 100


def complete_blogs(typed: str, names: Iterable[str]) -> list[app_commands.Choice[str]]:
    """Names that go on from the last word typed; the words before it stay, since several blogs may be named."""
    before, last = _last_word(typed)
    given = before.split()
    offered = [f"{before}{name}" for name in names if name.startswith(last.lower()) and name not in given]
    return [app_commands.Choice(name=text, value=text) for text in offered if len(text) <= LONGEST_CHOICE][
        :MOST_CHOICES
    ]


def _last_word(typed: str) -> tuple[str, str]:
    words = typed.replace(",", " ").split()
    if not words or typed.endswith((" ", ",")):
        return "".join(f"{word} " for word in words), ""
    return "".join(f"{word} " for word in words[:-1]), words[-1].removeprefix("@")
