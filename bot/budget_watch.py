"""Notices when the last fifth of a budget begins, so that the owner is told once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bot.config import Settings
from bot.errors import Cap
from bot.store import spending
from bot.store.database import Database
from bot.store.facts import get_fact, set_fact
from bot.store.spending import Standing


@dataclass(frozen=True, slots=True)
class Low:
    """What the owner is to be told: by cap, which month or day and how much it was of. `standing` is how it stands."""

    standing: Standing
    marks: tuple[tuple[Cap, str], ...]


class BudgetWatch:
    """Tells of each month and each day once; again when its limit was changed, and the last fifth begins anew."""

    def __init__(self, database: Database, *, settings: Callable[[], Settings], clock: Callable[[], float]) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock

    async def due(self) -> Low | None:
        """What the owner is to be told now; None when they know."""
        budget, now = self._settings().budget, self._clock()
        standing = await spending.standing(self._database, budget.monthly_limit, budget.caps, now)
        marks: list[tuple[Cap, str]] = []
        for cap, is_low, since, limit in (
            (Cap.MONTH, standing.is_month_low, spending.month_start(now), standing.limit),
            (Cap.DAY, standing.is_day_low, spending.day_start(now), standing.per_day),
        ):
            mark = f"{since:.0f}: {limit:.2f}"
            if is_low and await get_fact(self._database, _fact(cap)) != mark:
                marks.append((cap, mark))
        return Low(standing, tuple(marks)) if marks else None

    async def told(self, low: Low) -> None:
        """Note that the owner has been told."""
        async with self._database.write() as connection:
            for cap, mark in low.marks:
                await set_fact(connection, _fact(cap), mark)


def _fact(cap: Cap) -> str:
    return f"warned of {cap}"
