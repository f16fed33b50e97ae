"""Comparisons: two voices that write to the same prompts, and how people judged the texts without knowing whose."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import aiosqlite

from bot.drafts import Person
from bot.store.database import Database


class Verdict(StrEnum):
    """Which of the two voices wrote the better text."""

    ONE = "one"
    OTHER = "other"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two voices by their numbers, and the job that lets them write."""

    id: int
    job_id: int
    one_id: int
    other_id: int


@dataclass(frozen=True, slots=True)
class Round:
    """One prompt of a comparison. A text is None until it is written; `one_first` says whose text is shown as A."""

    comparison_id: int
    number: int
    prompt: str
    one_first: bool
    one_text: str | None
    other_text: str | None
    message_id: int | None
    channel_id: int | None
    verdict: Verdict | None
    judged_at: float | None
    judge: str | None

    def text_of(self, side: Verdict) -> str | None:
        return self.one_text if side is Verdict.ONE else self.other_text


async def add_comparison(
    connection: aiosqlite.Connection,
    *,
    job_id: int,
    one_id: int,
    other_id: int,
    rounds: Sequence[tuple[str, bool]],
    now: float,
) -> int:
    """Begin a comparison with all its rounds, each a prompt and whether the first voice's text is shown as A.

    Returns its number.
    """
    cursor = await connection.execute(
        "INSERT INTO comparisons (job_id, one_id, other_id, created_at) VALUES (?, ?, ?, ?)",
        (job_id, one_id, other_id, now),
    )
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always has one
    await connection.executemany(
        "INSERT INTO comparison_rounds (comparison_id, number, prompt, one_first) VALUES (?, ?, ?, ?)",
        [(cursor.lastrowid, number, prompt, one_first) for number, (prompt, one_first) in enumerate(rounds, 1)],
    )
    return cursor.lastrowid


async def store_text(
    connection: aiosqlite.Connection, comparison_id: int, number: int, side: Verdict, text: str
) -> None:
    """Keep what one of the voices wrote in a round."""
    column = "one_text" if side is Verdict.ONE else "other_text"
    await connection.execute(
        f"UPDATE comparison_rounds SET {column} = ? WHERE comparison_id = ? AND number = ?",  # noqa: S608 - our own names
        (text, comparison_id, number),
    )


async def round_shown(
    connection: aiosqlite.Connection, comparison_id: int, number: int, *, channel_id: int, message_id: int
) -> None:
    """Note which message shows a round."""
    await connection.execute(
        "UPDATE comparison_rounds SET channel_id = ?, message_id = ? WHERE comparison_id = ? AND number = ?",
        (channel_id, message_id, comparison_id, number),
    )


async def judge(
    connection: aiosqlite.Connection, comparison_id: int, number: int, verdict: Verdict, person: Person, *, now: float
) -> bool:
    """Keep a verdict; returns False where there is one already, which stays."""
    cursor = await connection.execute(
        "UPDATE comparison_rounds SET verdict = ?, judged_at = ?, judge_id = ?, judge = ?"
        " WHERE comparison_id = ? AND number = ? AND verdict IS NULL",
        (verdict, now, person.id, person.name, comparison_id, number),
    )
    return cursor.rowcount == 1


async def get_comparison(database: Database, comparison_id: int) -> Comparison | None:
    return await _comparison(database, "id", comparison_id)


async def comparison_of_job(database: Database, job_id: int) -> Comparison | None:
    """The comparison that a job writes for."""
    return await _comparison(database, "job_id", job_id)


async def rounds_of(database: Database, comparison_id: int) -> list[Round]:
    """The rounds of a comparison, the first one first."""
    return await _rounds(database, "comparison_id = ?", (comparison_id,))


async def rounds_to_show(database: Database, *, limit: int) -> list[Round]:
    """Rounds with both texts that no message shows yet, the oldest first."""
    return await _rounds(
        database,
        "one_text IS NOT NULL AND other_text IS NOT NULL AND message_id IS NULL",
        (),
        limit=limit,
    )


async def _comparison(database: Database, column: str, value: int) -> Comparison | None:
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            f"SELECT id, job_id, one_id, other_id FROM comparisons WHERE {column} = ?",  # noqa: S608 - our own names
            (value,),
        )
    return next((Comparison(*tuple(row)) for row in rows), None)


async def _rounds(database: Database, condition: str, parameters: Sequence[object], *, limit: int = -1) -> list[Round]:
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            f"SELECT * FROM comparison_rounds WHERE {condition}"  # noqa: S608 - the callers above
            " ORDER BY comparison_id, number LIMIT ?",
            (*parameters, limit),
        )
    return [_round(row) for row in rows]


def _round(row: sqlite3.Row) -> Round:
    return Round(
        comparison_id=row["comparison_id"],
        number=row["number"],
        prompt=row["prompt"],
        one_first=bool(row["one_first"]),
        one_text=row["one_text"],
        other_text=row["other_text"],
        message_id=row["message_id"],
        channel_id=row["channel_id"],
        verdict=Verdict(row["verdict"]) if row["verdict"] else None,
        judged_at=row["judged_at"],
        judge=row["judge"],
    )
