"""/voices compare: two voices write to the same prompts, for people to judge without knowing whose text is whose."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import aiosqlite

from bot.budget import NO_CAPS, Caps
from bot.errors import ModelRateLimited, NothingToDo
from bot.pipeline.paying import PaidText, Purse, write_text
from bot.pipeline.waiting import wait_until
from bot.progress import Progress
from bot.store import comparisons, spending
from bot.store.comparisons import Comparison, Round, Verdict
from bot.store.database import Database
from bot.training import Voice
from bot.voices.protocol import Writer

LIMIT = "the model service's limit"
PURPOSE = "comparing"
_SIDES = (Verdict.ONE, Verdict.OTHER)


@dataclass(frozen=True, slots=True)
class Contestant:
    """A voice, and what writes in it."""

    voice: Voice
    writer: Writer


@dataclass(frozen=True, slots=True)
class Contest:
    """Everything that a comparison needs. `shown` is told whenever a round has both its texts."""

    database: Database
    comparison: Comparison
    one: Contestant
    other: Contestant
    monthly_limit: float
    shown: Callable[[], None]
    clock: Callable[[], float] = time.time
    caps: Caps = NO_CAPS


async def compare(contest: Contest) -> AsyncIterator[Progress]:
    """Have both voices write each round's text. A resumed job writes only those that are missing.

    Nothing here tells which text is whose: the progress is seen by those who will judge.

    Raises:
        NothingToDo: the comparison has no rounds.
        BudgetReached: the next call would pass the month's cap; the texts before it are kept.
        ModelError: as `bot.language` raises it; the texts before it are kept.
    """
    rounds = await comparisons.rounds_of(contest.database, contest.comparison.id)
    if not rounds:
        raise NothingToDo("There is nothing to compare any more.", "Use /voices compare again.")
    missing = [(found, side) for found in rounds for side in _SIDES if found.text_of(side) is None]
    total = 2 * len(rounds)
    for position, (found, side) in enumerate(missing):
        line = f"Round {found.number} of {len(rounds)}: both voices write to the same prompt."
        now = Progress(total - len(missing) + position, total, line, "texts")
        is_written = False
        while not is_written:
            yield now
            try:
                await _write(contest, found, side)
            except ModelRateLimited as limit:
                async for waiting in wait_until(contest.clock() + limit.retry_after, LIMIT, now, clock=contest.clock):
                    yield waiting
            else:
                is_written = True
        contest.shown()
    cost = await spending.spent_on_job(contest.database, contest.comparison.job_id)
    yield Progress(
        total,
        total,
        "Done: both texts of the round wait for your verdict."
        if len(rounds) == 1
        else f"Done: {len(rounds)} rounds wait for your verdict.",
        "texts",
        facts=(("Cost", f"about ${cost:.4f}"),),
    )


async def _write(contest: Contest, found: Round, side: Verdict) -> None:
    contestant = contest.one if side is Verdict.ONE else contest.other

    async def keep(connection: aiosqlite.Connection, paid: PaidText) -> None:
        await comparisons.store_text(connection, found.comparison_id, found.number, side, paid.text)

    await write_text(
        Purse(contest.database, contest.monthly_limit, contest.clock, contest.caps),
        contestant.writer,
        contestant.voice,
        found.prompt,
        name=f"comparison {found.comparison_id}, round {found.number}, {side}",
        purpose=PURPOSE,
        job_id=contest.comparison.job_id,
        keep=keep,
    )
