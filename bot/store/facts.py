"""Small things to remember between runs."""

from __future__ import annotations

import secrets

import aiosqlite

from bot.store.database import Database

_IDENTITY = "identity of this database"


async def get_fact(db: Database, name: str) -> str | None:
    async with db.read() as connection:
        rows = await connection.execute_fetchall("SELECT value FROM facts WHERE name = ?", (name,))
    return next((str(row["value"]) for row in rows), None)


async def set_fact(connection: aiosqlite.Connection, name: str, value: str) -> None:
    await connection.execute(
        "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


async def identity(db: Database) -> str:
    """What no other database is called, whose numbers and days may be the same. Given when it is first asked for."""
    while (found := await get_fact(db, _IDENTITY)) is None:
        async with db.write() as connection:
            await connection.execute(
                "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
                (_IDENTITY, secrets.token_hex(8)),
            )
    return found


async def mark(connection: aiosqlite.Connection, name: str) -> None:
    """Note that something is to be done. Each note is another one: see `clear_mark`."""
    await set_fact(connection, name, secrets.token_hex(8))


async def clear_mark(connection: aiosqlite.Connection, name: str, value: str) -> None:
    """Note that it is done, unless it was noted again since `value` was read: then it is to be done once more."""
    await connection.execute("DELETE FROM facts WHERE name = ? AND value = ?", (name, value))
