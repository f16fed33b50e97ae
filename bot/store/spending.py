"""The ledger: every paid call is reserved before it is made and settled after it.

A reservation that was never settled (the process died during the call) goes on counting in full: the money may
have been spent, and the owner's cap must hold whatever happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import aiosqlite

from bot.budget import NO_CAPS, Caps
from bot.drafts import Person
from bot.errors import BudgetReached, Cap
from bot.store.database import Database

LAST_PART = 0.2
"""The share of a budget that is left when people are warned."""


def is_low(left: float, limit: float) -> bool:
    """Whether the last part of a budget has begun. Without a limit, or with one of nothing, there is none."""
    return limit > 0 and left <= LAST_PART * limit


def month_start(now: float) -> float:
    """The first moment of the calendar month (UTC) that `now` lies in; both in unix seconds."""
    return datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


def day_start(now: float) -> float:
    """The first moment of the day (UTC) that `now` lies in; both in unix seconds."""
    return datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


async def reserve(
    connection: aiosqlite.Connection,
    *,
    purpose: str,
    job_id: int | None,
    model: str,
    dollars: float,
    limit: float,
    now: float,
    caps: Caps = NO_CAPS,
    spent: float = 0.0,
) -> int:
    """Set money aside for one call. Returns the number of the entry.

    `spent` is what the run has cost before, where it is no job: of a job the ledger knows.

    Raises:
        BudgetReached: with this call the month would pass `limit` (dollars) and what was allowed beside it, or the run
            or the day its cap.
    """
    # The month comes last: what can be allowed there would not help against the others.
    if caps.per_run:
        spent = spent if job_id is None else await _spent_on_job(connection, job_id)
        if spent + dollars > caps.per_run:
            raise BudgetReached(spent, caps.per_run, dollars, Cap.RUN)
    if caps.per_day:
        today = await _used_since(connection, day_start(now))
        if today + dollars > caps.per_day:
            raise BudgetReached(today, caps.per_day, dollars, Cap.DAY)
    used = await _used(connection, now)
    limit += await _allowed(connection, now)
    if used + dollars > limit:
        raise BudgetReached(used, limit, dollars)
    cursor = await connection.execute(
        "INSERT INTO spending (at, purpose, job_id, model, reserved) VALUES (?, ?, ?, ?, ?)",
        (now, purpose, job_id, model, dollars),
    )
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always has one
    return cursor.lastrowid


async def settle(
    connection: aiosqlite.Connection, entry_id: int, *, dollars: float, input_tokens: int = 0, output_tokens: int = 0
) -> None:
    """Write down what the call really cost."""
    await connection.execute(
        "UPDATE spending SET spent = ?, input_tokens = ?, output_tokens = ? WHERE id = ?",
        (dollars, input_tokens, output_tokens, entry_id),
    )


async def allow(connection: aiosqlite.Connection, person: Person, dollars: float, *, now: float) -> None:
    """Let this month have so much beside its limit, because somebody said so."""
    await connection.execute(
        "INSERT INTO allowances (at, user_id, user_name, dollars) VALUES (?, ?, ?, ?)",
        (now, person.id, person.name, dollars),
    )


async def used_this_month(database: Database, now: float) -> float:
    """Dollars spent or set aside since the month began."""
    async with database.read() as connection:
        return await _used(connection, now)


async def spent_on_job(database: Database, job_id: int) -> float:
    """Dollars spent or set aside for one job."""
    async with database.read() as connection:
        return await _spent_on_job(connection, job_id)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the money stands, in US dollars. `limit` is the month's with what was allowed beside it."""

    limit: float
    allowed: float
    used: float
    today: float
    per_day: float
    """0: no cap."""
    open_calls: int
    set_aside: float
    """Of `used`, what the calls that are open hold."""

    @property
    def left(self) -> float:
        """Never less than nothing: a call may have cost more than was set aside for it."""
        return max(0.0, self.limit - self.used)

    @property
    def left_today(self) -> float | None:
        """What the day's cap leaves; None without one."""
        return max(0.0, self.per_day - self.today) if self.per_day else None

    def tightest(self, per_run: float) -> tuple[Cap, float]:
        """The cap that a new run meets first, and what that leaves it; `per_run` is 0 without one of its own."""
        caps = [(Cap.MONTH, self.left)]
        if self.left_today is not None:
            caps.append((Cap.DAY, self.left_today))
        if per_run:
            caps.append((Cap.RUN, per_run))
        return min(caps, key=lambda each: each[1])

    @property
    def is_month_low(self) -> bool:
        return is_low(self.left, self.limit)

    @property
    def is_day_low(self) -> bool:
        return self.left_today is not None and is_low(self.left_today, self.per_day)


@dataclass(frozen=True, slots=True)
class Part:
    """What calls of one purpose or to one model cost, in US dollars, with what is set aside for open ones."""

    name: str
    month: float
    today: float
    calls: int


async def standing(database: Database, limit: float, caps: Caps, now: float) -> Standing:
    """How the money of the month and of the day that `now` lies in stands."""
    async with database.read() as connection:
        allowed = await _allowed(connection, now)
        used = await _used(connection, now)
        today = await _used_since(connection, day_start(now))
        rows = await connection.execute_fetchall(
            "SELECT count(*), coalesce(sum(reserved), 0) FROM spending WHERE at >= ? AND spent IS NULL",
            (month_start(now),),
        )
    calls, aside = next(((int(row[0]), float(row[1])) for row in rows), (0, 0.0))
    return Standing(limit + allowed, allowed, used, today, caps.per_day, calls, aside)


async def parts_of_month(database: Database, by: Literal["purpose", "model"], now: float) -> list[Part]:
    """What the month's calls cost by purpose or by model, the dearest first."""
    query = f"""
        SELECT {by}, sum(coalesce(spent, reserved)),
            sum(CASE WHEN at >= ? THEN coalesce(spent, reserved) ELSE 0 END), count(*)
        FROM spending WHERE at >= ? GROUP BY {by} ORDER BY 2 DESC, 1
        """  # noqa: S608 - one of two words
    async with database.read() as connection:
        rows = await connection.execute_fetchall(query, (day_start(now), month_start(now)))
    return [Part(str(row[0]), float(row[1]), float(row[2]), int(row[3])) for row in rows]


async def open_entry(database: Database, job_id: int, purpose: str) -> int | None:
    """A job's reservation that is not settled yet, after a restart."""
    async with (
        database.read() as connection,
        connection.execute(
            "SELECT id FROM spending WHERE job_id = ? AND purpose = ? AND spent IS NULL ORDER BY id DESC LIMIT 1",
            (job_id, purpose),
        ) as cursor,
    ):
        row = await cursor.fetchone()
    return int(row[0]) if row else None


async def _allowed(connection: aiosqlite.Connection, now: float) -> float:
    rows = await connection.execute_fetchall(
        "SELECT coalesce(sum(dollars), 0) FROM allowances WHERE at >= ?", (month_start(now),)
    )
    return next((float(row[0]) for row in rows), 0.0)


async def _used(connection: aiosqlite.Connection, now: float) -> float:
    return await _used_since(connection, month_start(now))


async def _used_since(connection: aiosqlite.Connection, since: float) -> float:
    async with connection.execute(
        "SELECT coalesce(sum(coalesce(spent, reserved)), 0) FROM spending WHERE at >= ?", (since,)
    ) as cursor:
        row = await cursor.fetchone()
    return float(row[0]) if row else 0.0


async def _spent_on_job(connection: aiosqlite.Connection, job_id: int) -> float:
    async with connection.execute(
        "SELECT coalesce(sum(coalesce(spent, reserved)), 0) FROM spending WHERE job_id = ?", (job_id,)
    ) as cursor:
        row = await cursor.fetchone()
    return float(row[0]) if row else 0.0
