"""What the audit table itself holds, for tests that ask for the very last row."""

from __future__ import annotations

from bot.store.audit import Act
from bot.store.database import Database


async def newest_acts(database: Database, *, limit: int) -> list[Act]:
    """The newest acts, the latest first."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT at, user_id, user_name, action, subject, before, after FROM audit ORDER BY id DESC LIMIT ?",
            (limit,),
        )
    return [Act(*row) for row in rows]
