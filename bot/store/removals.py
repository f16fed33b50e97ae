"""Removals: uploaded drafts that are deleted on the blog again, written down before each step.

Each function that takes a connection belongs inside `Database.write()`: what a crash must not split shares its
transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import aiosqlite

from bot.drafts import Draft, Removal
from bot.store.database import Database


@dataclass(frozen=True, slots=True)
class RemovalStep:
    """A deletion that is under way. Times are in unix seconds; `tries` counts those of the step that it waits for."""

    id: int
    draft_id: int
    blog: str
    post_id: str
    state: Removal
    asked_at: float
    retry_at: float
    tries: int


async def ask_removal(connection: aiosqlite.Connection, draft: Draft, decision_id: int, *, now: float) -> None:
    """Write down that somebody wants the draft's post deleted, beside the decision that says who."""
    await connection.execute(
        "INSERT INTO removals (draft_id, decision_id, blog, post_id, state, asked_at) VALUES (?, ?, ?, ?, 'asked', ?)",
        (draft.id, decision_id, draft.blog, draft.post_id, now),
    )


async def open_removals(database: Database) -> list[RemovalStep]:
    """The deletions that have not come to an end, the oldest first."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT id, draft_id, blog, post_id, state, asked_at, retry_at, tries FROM removals"
            " WHERE state IN ('asked', 'sending', 'unknown') ORDER BY id"
        )
    return [_step(row) for row in rows]


async def move_removal(
    connection: aiosqlite.Connection,
    step: RemovalStep,
    to: Removal,
    *,
    retry_at: float,
    tries: int,
    note: str | None,
) -> None:
    """Take a step that is not the last; with a `note`, say on the draft's message how it stands."""
    await connection.execute(
        "UPDATE removals SET state = ?, retry_at = ?, tries = ? WHERE id = ?", (to, retry_at, tries, step.id)
    )
    await connection.execute(
        "UPDATE drafts SET note = coalesce(?, note), version = version + 1 WHERE id = ?", (note, step.draft_id)
    )


async def end_removal_gone(connection: aiosqlite.Connection, step: RemovalStep, *, note: str, now: float) -> None:
    """It surely is not on the blog any more: the draft waits again."""
    await _end(connection, step, Removal.GONE, now)
    await connection.execute(
        """
        UPDATE drafts SET state = 'pending', post_id = NULL, post_url = NULL, publish_at = NULL, note = ?,
                          version = version + 1
        WHERE id = ? AND state = 'uploaded'
        """,
        (note, step.draft_id),
    )


async def end_removal_kept(
    connection: aiosqlite.Connection,
    step: RemovalStep,
    *,
    note: str,
    now: float,
    post_id: str | None = None,
    post_url: str | None = None,
) -> None:
    """It stays on the blog, and the note says why; with a new `post_id` where it was published meanwhile."""
    await _end(connection, step, Removal.KEPT, now)
    await connection.execute(
        """
        UPDATE drafts SET note = ?, post_id = coalesce(?, post_id), post_url = coalesce(?, post_url),
                          version = version + 1
        WHERE id = ?
        """,
        (note, post_id, post_url, step.draft_id),
    )


async def _end(connection: aiosqlite.Connection, step: RemovalStep, state: Removal, now: float) -> None:
    await connection.execute("UPDATE removals SET state = ?, finished_at = ? WHERE id = ?", (state, now, step.id))


def _step(row: sqlite3.Row) -> RemovalStep:
    return RemovalStep(
        row["id"],
        row["draft_id"],
        row["blog"],
        row["post_id"],
        Removal(row["state"]),
        row["asked_at"],
        row["retry_at"],
        row["tries"],
    )
