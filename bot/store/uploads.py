"""Uploads: an approved draft on its way to Tumblr, written down before it is sent.

Each function that takes a connection belongs inside `Database.write()`: what a crash must not split shares its
transaction.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import aiosqlite
import msgspec

from bot.drafts import Draft, DraftState, UploadState
from bot.errors import DraftDecided
from bot.store.database import Database
from bot.store.drafts import fetch_one, move_draft, must_be_unchanged, note_on_draft


@dataclass(frozen=True, slots=True)
class Upload:
    """One attempt to put a draft on the blog. `body` is the JSON that is sent; times are in unix seconds.

    `retry_at` is when the next step may be taken: sending what surely never reached Tumblr, or, where the outcome is
    unknown, looking at a blog that could not be looked at.
    """

    id: int
    draft_id: int
    blog: str
    body: dict[str, object]
    started_at: float
    looked_at: int
    """How often the blog was searched for it."""
    retry_at: float | None = None
    outcome: str | None = None


async def begin_upload(
    connection: aiosqlite.Connection, draft: Draft, *, body: dict[str, object], now: float
) -> Upload:
    """Write down the intent to send this very body, before it is sent.

    Raises:
        DraftChanged: somebody has undone the approval since the body was made, or has changed the draft.
        DraftDecided: there is no recorded approval.
    """
    await must_be_unchanged(connection, draft)
    await move_draft(connection, draft.id, to=DraftState.UPLOADING)
    return await _add_upload(connection, draft, body, now)


async def postpone_upload(
    connection: aiosqlite.Connection, draft: Draft, *, outcome: str, note: str, now: float, retry_at: float
) -> None:
    """Write down that an approved draft waits, before anything could be sent: an attempt without a body."""
    upload = await _add_upload(connection, draft, {}, now)
    await end_upload(connection, upload.id, outcome=outcome, now=now, retry_at=retry_at)
    await note_on_draft(connection, draft.id, note, state=DraftState.APPROVED)


async def _add_upload(connection: aiosqlite.Connection, draft: Draft, body: dict[str, object], now: float) -> Upload:
    row = await fetch_one(
        connection,
        "SELECT id FROM decisions WHERE draft_id = ? AND state_after = 'approved' ORDER BY id DESC LIMIT 1",
        (draft.id,),
    )
    if row is None:
        # The database enforces what the code promises: nothing is posted without a recorded decision.
        raise DraftDecided(f"Draft {draft.id} has no recorded approval.", "Approve it with its button.")
    cursor = await connection.execute(
        "INSERT INTO uploads (draft_id, decision_id, blog, body, started_at) VALUES (?, ?, ?, ?, ?)",
        (draft.id, row["id"], draft.blog, json.dumps(body), now),
    )
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always has one
    return Upload(cursor.lastrowid, draft.id, draft.blog, body, now, 0)


async def end_upload(
    connection: aiosqlite.Connection,
    upload_id: int,
    *,
    outcome: str,
    now: float,
    post_id: str | None = None,
    retry_at: float | None = None,
) -> None:
    """Write down how an upload ended, as far as we know; `retry_at` only when it surely never reached Tumblr."""
    await connection.execute(
        "UPDATE uploads SET outcome = ?, post_id = ?, finished_at = ?, retry_at = ? WHERE id = ?",
        (outcome, post_id, now, retry_at, upload_id),
    )


async def looked_for_upload(
    connection: aiosqlite.Connection, upload_id: int, *, looked_at: int, retry_at: float | None = None
) -> None:
    """Note how many searches of the blog are behind a lost upload; `retry_at` where the last one failed."""
    await connection.execute(
        "UPDATE uploads SET looked_at = ?, retry_at = ? WHERE id = ?", (looked_at, retry_at, upload_id)
    )


async def last_upload(database: Database, draft_id: int) -> Upload | None:
    """The newest attempt to upload this draft."""
    async with database.read() as connection:
        row = await fetch_one(
            connection,
            "SELECT id, draft_id, blog, body, started_at, looked_at, retry_at, outcome FROM uploads"
            " WHERE draft_id = ? ORDER BY id DESC LIMIT 1",
            (draft_id,),
        )
    if row is None:
        return None
    body = msgspec.json.decode(row["body"], type=dict[str, object])
    return Upload(
        row["id"],
        row["draft_id"],
        row["blog"],
        body,
        row["started_at"],
        row["looked_at"],
        row["retry_at"],
        row["outcome"],
    )


async def times_not_sent(database: Database, draft_id: int) -> int:
    """How often sending this draft has failed to reach Tumblr since it was last approved."""
    async with database.read() as connection:
        row = await fetch_one(
            connection,
            """
            SELECT count(*) AS tries FROM uploads
            WHERE draft_id = ? AND outcome = 'not sent' AND body <> '{}' AND decision_id =
                (SELECT max(id) FROM decisions WHERE draft_id = ? AND state_after = 'approved')
            """,
            (draft_id, draft_id),
        )
    return int(row["tries"]) if row else 0


async def first_tried(database: Database, draft_id: int) -> float | None:
    """When this draft was first to be sent since it was last approved, in unix seconds."""
    async with database.read() as connection:
        row = await fetch_one(
            connection,
            """
            SELECT min(started_at) AS at FROM uploads WHERE draft_id = ? AND decision_id =
                (SELECT max(id) FROM decisions WHERE draft_id = ? AND state_after = 'approved')
            """,
            (draft_id, draft_id),
        )
    return row["at"] if row else None


async def arrived_since(database: Database, moment: float) -> int:
    """How many drafts have reached their blog since a moment (unix seconds)."""
    async with database.read() as connection:
        row = await fetch_one(
            connection,
            "SELECT count(*) AS arrived FROM uploads WHERE outcome IN ('created', 'found') AND finished_at >= ?",
            (moment,),
        )
    return int(row["arrived"]) if row else 0


async def last_sent(database: Database, blog: str, upload_state: UploadState) -> float | None:
    """When something was last sent to this blog to be this, in unix seconds, unless it surely did not arrive."""
    async with database.read() as connection:
        row = await fetch_one(
            connection,
            """
            SELECT max(u.started_at) AS at FROM uploads u JOIN drafts d ON d.id = u.draft_id
            WHERE u.blog = ? AND d.upload_state = ? AND u.body <> '{}'
                AND (u.outcome IS NULL OR u.outcome IN ('created', 'found', 'unknown'))
            """,
            (blog, upload_state),
        )
    return row["at"] if row else None
