"""Small things to remember between runs."""

from __future__ import annotations

import aiosqlite

from bot.store.database import Database


async def get_fact(db: Database, name: str) -> str | None:
    async with db.read() as connection:
        rows = await connection.execute_fetchall("SELECT value FROM facts WHERE name = ?", (name,))
    return next((str(row["value"]) for row in rows), None)


async def set_fact(connection: aiosqlite.Connection, name: str, value: str) -> None:
    await connection.execute(
        "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )
