"""What every text that is paid for shares: money is set aside first, and settled together with what it bought."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiosqlite

from bot.budget import NO_CAPS, Caps
from bot.errors import ModelError, ModelUnavailable
from bot.language.prices import chat_cost
from bot.store import spending
from bot.store.database import Database
from bot.training import Voice
from bot.voices.protocol import Writer

_TRIES = 3  # a voice may answer with nothing now and then
_LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Purse:
    """The owner's money. `monthly_limit` is in US dollars, what was allowed beside it comes on top."""

    database: Database
    monthly_limit: float
    clock: Callable[[], float] = time.time
    caps: Caps = NO_CAPS

    async def reserve(self, purpose: str, job_id: int | None, model: str, dollars: float, *, spent: float = 0.0) -> int:
        """Set money aside for one call; returns the number of the entry. Raises BudgetReached.

        `spent` is what this run has cost before, where it is no job.
        """
        async with self.database.write() as connection:
            return await spending.reserve(
                connection,
                purpose=purpose,
                job_id=job_id,
                spent=spent,
                model=model,
                dollars=dollars,
                limit=self.monthly_limit,
                now=self.clock(),
                caps=self.caps,
            )

    async def give_back(self, entry: int, error: ModelError) -> None:
        """Free what was set aside for a call that was refused. A call without an answer may have cost: that stays."""
        if not isinstance(error, ModelUnavailable):
            async with self.database.write() as connection:
                await spending.settle(connection, entry, dollars=0.0)


@dataclass(frozen=True, slots=True)
class PaidText:
    """A text, never empty, and what it cost in US dollars, with the empty answers before it."""

    text: str
    cost: float
    cut_off: bool
    seed: int
    input_tokens: int
    output_tokens: int


Keep = Callable[[aiosqlite.Connection, PaidText], Awaitable[None]]
"""Stores a text, in the transaction that settles its cost: it must not be lost, or paid for again."""


async def write_text(
    purse: Purse,
    writer: Writer,
    voice: Voice,
    prompt: str,
    *,
    name: str,
    purpose: str,
    job_id: int | None,
    keep: Keep,
    spent: float = 0.0,
) -> PaidText:
    """One paid call, or a few when the voice answers with nothing. The `name` of the text makes its seed.

    `spent` is what this run has cost before, where it is no job.

    Raises:
        BudgetReached: the next call would pass the month's cap.
        ModelUnavailable: the voice answered with nothing every time, or there was no answer.
        ModelError: as `bot.language` raises it.
    """
    paid = 0.0
    for number in range(_TRIES):
        most = await writer.most_expensive(voice, prompt)
        entry = await purse.reserve(purpose, job_id, voice.model, most, spent=spent + paid)
        seed = random.Random(f"{name}, try {number}").randint(0, _LARGEST_SEED)  # noqa: S311 - a seed, not a secret
        try:
            written = await writer.write(voice, prompt, seed=seed)
        except ModelError as error:
            await purse.give_back(entry, error)
            raise
        tokens = (written.input_tokens, written.output_tokens)
        cost = chat_cost(voice.model, *tokens, written.cached_tokens, base_url=voice.base_url)
        paid += cost
        found = PaidText(written.text.strip(), paid, written.cut_off, seed, *tokens)
        async with purse.database.write() as connection:
            if found.text:
                await keep(connection, found)
            await spending.settle(connection, entry, dollars=cost, input_tokens=tokens[0], output_tokens=tokens[1])
        if found.text:
            return found
    raise ModelUnavailable(
        f"{voice.name} answered with nothing {_TRIES} times in a row.",
        "Try again later, or choose another model under [openai.generation].",
    )
