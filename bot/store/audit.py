"""What people did that changes what the bot does, spends or deletes. Each row shares the transaction of its effect."""

from __future__ import annotations

from dataclasses import dataclass

import aiosqlite

from bot.drafts import Person
from bot.store.database import Database


@dataclass(frozen=True, slots=True)
class Act:
    """One row: `at` in unix seconds; `before` and `after` are texts, empty where there is nothing to say."""

    at: float
    user_id: int
    user_name: str
    action: str
    subject: str
    before: str
    after: str


async def record(
    connection: aiosqlite.Connection,
    person: Person,
    action: str,
    subject: str,
    *,
    now: float,
    before: str = "",
    after: str = "",
) -> None:
    """Write down who did what to what. Never a secret."""
    await connection.execute(
        "INSERT INTO audit (at, user_id, user_name, action, subject, before, after) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (now, person.id, person.name, action, subject, before, after),
    )


async def newest_acts(database: Database, *, limit: int, before_id: int | None = None) -> list[Act]:
    """The newest acts, the latest first; with `before_id` those before that row."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT at, user_id, user_name, action, subject, before, after FROM audit"
            " WHERE ? IS NULL OR id < ? ORDER BY id DESC LIMIT ?",
            (before_id, before_id, limit),
        )
    return [Act(*row) for row in rows]
