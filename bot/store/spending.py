"""The ledger: every paid call is reserved before it is made and settled after it.

A reservation that was never settled (the process died during the call) goes on counting in full: the money may
have been spent, and the owner's cap must hold whatever happened.
"""

from __future__ import annotations

from datetime import UTC, datetime

import aiosqlite

from bot.drafts import Person
from bot.errors import BudgetReached
from bot.store.database import Database


def month_start(now: float) -> float:
    """The first moment of the calendar month (UTC) that `now` lies in; both in unix seconds."""
    return datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


async def reserve(
    connection: aiosqlite.Connection,
    *,
    purpose: str,
    job_id: int | None,
    model: str,
    dollars: float,
    limit: float,
    now: float,
) -> int:
    """Set money aside for one call. Returns the number of the entry.

    Raises:
        BudgetReached: with this call the month would pass `limit` (dollars) and what was allowed beside it.
    """
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


async def allowed_this_month(database: Database, now: float) -> float:
    """Dollars that were allowed beside the limit since the month began."""
    async with database.read() as connection:
        return await _allowed(connection, now)


async def used_this_month(database: Database, now: float) -> float:
    """Dollars spent or set aside since the month began."""
    async with database.read() as connection:
        return await _used(connection, now)


async def spent_on_job(database: Database, job_id: int) -> float:
    """Dollars spent or set aside for one job."""
    async with (
        database.read() as connection,
        connection.execute(
            "SELECT coalesce(sum(coalesce(spent, reserved)), 0) FROM spending WHERE job_id = ?", (job_id,)
        ) as cursor,
    ):
        row = await cursor.fetchone()
    return float(row[0]) if row else 0.0


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
    async with connection.execute(
        "SELECT coalesce(sum(coalesce(spent, reserved)), 0) FROM spending WHERE at >= ?", (month_start(now),)
    ) as cursor:
        row = await cursor.fetchone()
    return float(row[0]) if row else 0.0
