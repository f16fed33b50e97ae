"""Texts that were paid for and are no draft yet. They are stored with their cost, and go when their draft is made."""

from __future__ import annotations

from dataclasses import dataclass

import aiosqlite
import msgspec

from bot.drafts import Parent
from bot.store.database import Database


@dataclass(frozen=True, slots=True)
class Writing:
    """One answer of a voice. `turn` says whose text it is; money is in US dollars."""

    turn: str
    prompt: str
    parent: Parent | None
    note: str
    seed: int
    text: str
    cut_off: bool
    cost: float
    input_tokens: int
    output_tokens: int


async def add_writing(connection: aiosqlite.Connection, writing: Writing, *, now: float) -> None:
    await connection.execute(
        "INSERT INTO writings (turn, created_at, prompt, parent, note, seed, text, cut_off, cost, input_tokens,"
        " output_tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            writing.turn,
            now,
            writing.prompt,
            msgspec.json.encode(writing.parent).decode() if writing.parent else None,
            writing.note,
            writing.seed,
            writing.text,
            writing.cut_off,
            writing.cost,
            writing.input_tokens,
            writing.output_tokens,
        ),
    )


async def writings_of(database: Database, turn: str) -> list[Writing]:
    """The texts of a turn, in the order in which they were written."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT turn, prompt, parent, note, seed, text, cut_off, cost, input_tokens, output_tokens"
            " FROM writings WHERE turn = ? ORDER BY id",
            (turn,),
        )
    return [
        Writing(
            turn=row["turn"],
            prompt=row["prompt"],
            parent=msgspec.json.decode(row["parent"], type=Parent) if row["parent"] else None,
            note=row["note"],
            seed=row["seed"],
            text=row["text"],
            cut_off=bool(row["cut_off"]),
            cost=row["cost"],
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
        )
        for row in rows
    ]


async def forget_turn(connection: aiosqlite.Connection, turn: str) -> None:
    """The turn's draft is made: what was written for it on the way is wanted no more."""
    await connection.execute("DELETE FROM writings WHERE turn = ?", (turn,))
