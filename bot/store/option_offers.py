"""Changes of options that were shown to a person, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import aiosqlite
import msgspec

from bot.store.database import Database

Outcome = Literal["applied", "cancelled"]


@dataclass(frozen=True, slots=True)
class OptionOffer:
    """One row. `before` is the old value as config.toml writes it, `value` the new one as `parse_options` takes it."""

    id: int
    name: str
    value: object
    before: str
    outcome: Outcome | None


async def add_option_offer(
    connection: aiosqlite.Connection, name: str, value: object, before: str, *, now: float
) -> int:
    """Keep what is offered; returns its number."""
    cursor = await connection.execute(
        "INSERT INTO option_offers (created_at, name, value, before) VALUES (?, ?, ?, ?)",
        (now, name, msgspec.json.encode(value).decode(), before),
    )
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always has one
    return cursor.lastrowid


async def get_option_offer(database: Database, offer_id: int) -> OptionOffer | None:
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT id, name, value, before, outcome FROM option_offers WHERE id = ?", (offer_id,)
        )
    for row in rows:
        value = cast("object", msgspec.json.decode(row["value"]))
        return OptionOffer(row["id"], row["name"], value, row["before"], row["outcome"])
    return None


async def settle_option_offer(connection: aiosqlite.Connection, offer_id: int, outcome: Outcome) -> bool:
    """Note what became of an offer; returns False where that was settled before."""
    cursor = await connection.execute(
        "UPDATE option_offers SET outcome = ? WHERE id = ? AND outcome IS NULL", (outcome, offer_id)
    )
    return cursor.rowcount == 1
