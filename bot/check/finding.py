"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass

from bot.errors import BotError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried. `remedy` is empty when it is well."""

    subject: str
    result: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        return not self.remedy


def trouble(subject: str, error: BotError) -> Finding:
    """What a person is told of an error."""
    return Finding(subject, error.sentence, error.next_step)


def no_answer(subject: str, who: str) -> Finding:
    """A service that took too long."""
    return Finding(subject, f"{who} did not answer.", "Check the network, and try again later.")
