"""What a kind of voice can do. Every kind writes; those that learn also train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bot.examples import Dataset, Example
from bot.language.chat import Written
from bot.language.prices import Estimate
from bot.training import Training, Voice


@dataclass(frozen=True, slots=True)
class Material:
    """What is learned from, and what a service may measure by meanwhile. `held_out` may be empty."""

    dataset: Dataset
    training: list[Example]
    held_out: list[Example]


Sent = Callable[[int, int], None]
"""Told how many bytes of how many are on their way."""


class Writer(Protocol):
    """Writes a post. The voice's own developer and user messages are used again, as it was trained with them."""

    async def write(self, voice: Voice, prompt: str, *, seed: int) -> Written:
        """One text for one prompt. Another `seed` gives another text; the same one again may give the same.

        Raises:
            ModelError: as `bot.language` raises it.
        """
        ...

    async def most_expensive(self, voice: Voice, prompt: str) -> float:
        """Dollars that one call may cost at most: what has to be reserved before it."""
        ...

    async def likely(self, voice: Voice, prompt: str, drafts: int) -> Estimate:
        """What so many drafts will probably take."""
        ...


class Trainer(Protocol):
    """Learns from a dataset. Each step returns the training as it then stands, to be stored at once.

    Each step may be repeated after a crash: it looks for what it did before, so that nothing is done twice.
    """

    async def prepare(self, training: Training, material: Material, sent: Sent) -> Training:
        """Bring one file to the service, and return with its id: so each is stored the moment it is known.

        To be called until the state is `UPLOADED`.
        """
        ...

    async def train(self, training: Training) -> Training:
        """Begin to learn."""
        ...

    async def poll(self, training: Training) -> Training:
        """See how far it is."""
        ...

    async def cancel(self, training: Training) -> Training:
        """Stop learning."""
        ...

    async def delete_files(self, training: Training) -> Training:
        """Take the uploaded files away again."""
        ...


@runtime_checkable
class Pausable(Protocol):
    """What a trainer can do beside that, where its service lets a training rest."""

    async def pause(self, training: Training) -> Training: ...
    async def resume(self, training: Training) -> Training: ...
