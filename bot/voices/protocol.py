"""What a kind of voice can do. Every kind writes; those that learn also train."""

from __future__ import annotations

from typing import Protocol

from bot.examples import Dataset, Example
from bot.language.chat import Written
from bot.training import Training, Voice


class Writer(Protocol):
    """Writes a post. The voice's own developer and user messages are used again, as it was trained with them."""

    async def write(self, voice: Voice, prompt: str) -> Written:
        """One text for one prompt.

        Raises:
            ModelError: as `bot.language` raises it.
        """
        ...

    async def most_expensive(self, voice: Voice, prompt: str) -> float:
        """Dollars that one call may cost at most: what has to be reserved before it."""
        ...


class Trainer(Protocol):
    """Learns from a dataset. Each step returns the training as it then stands, to be stored at once.

    Each step may be repeated after a crash: it looks for what it did before, so that nothing is done twice.
    """

    async def prepare(self, training: Training, dataset: Dataset, examples: list[Example]) -> Training:
        """Bring the data to the service."""
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
