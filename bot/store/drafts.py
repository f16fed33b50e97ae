"""Drafts, the decisions people took about them, and their uploads to Tumblr.

Each function that takes a connection belongs inside `Database.write()`: what a crash must not split shares its
transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import aiosqlite
import msgspec

from bot.drafts import FOLLOWERS, Closest, Draft, DraftState, Finding, Parent, Person, UploadState
from bot.errors import DraftDecided
from bot.store.database import Database

_COLUMNS = """
    d.id, d.state, d.text, d.tags, d.prompt, d.voice_id, d.job_id, d.blog, d.upload_state, d.created_at, d.cost,
    d.version, d.shown_version, d.channel_id, d.message_id, d.post_id, d.post_url, d.note, d.parent, d.replaces,
    d.text <> d.original_text AS edited, v.name AS voice_name,
    (SELECT user_name FROM decisions WHERE draft_id = d.id ORDER BY id DESC LIMIT 1) AS decided_by,
    (SELECT at FROM decisions WHERE draft_id = d.id ORDER BY id DESC LIMIT 1) AS decided_at
"""


@dataclass(frozen=True, slots=True)
class NewDraft:
    """What was written, before it has an id. `slot` is its place in the job; a resumed job fills only empty ones."""

    text: str
    tags: tuple[str, ...]
    prompt: str
    voice_id: int
    job_id: int | None
    slot: int | None
    replaces: int | None
    blog: str
    upload_state: UploadState
    cost: float
    note: str = ""
    parent: Parent | None = None
    channel_id: int | None = None
    seed: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    findings: tuple[Finding, ...] = ()
    held_back: bool = False
    closeness: float | None = None
    closest: Closest | None = None
    rewrites: int = 0


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


async def add_draft(connection: aiosqlite.Connection, draft: NewDraft, *, now: float) -> int:
    """Store a written draft. Returns its id."""
    cursor = await connection.execute(
        """
        INSERT INTO drafts (state, text, tags, original_text, prompt, voice_id, job_id, slot, replaces, parent, blog,
                            upload_state, cost, created_at, note, channel_id, seed, input_tokens, output_tokens,
                            findings, held_back, closeness, closest, rewrites, regeneration_id)
        VALUES ('pending', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
                (SELECT max(id) FROM decisions WHERE draft_id = ? AND action = 'regenerate'))
        """,
        (
            draft.text,
            json.dumps(draft.tags),
            draft.text,
            draft.prompt,
            draft.voice_id,
            draft.job_id,
            draft.slot,
            draft.replaces,
            msgspec.json.encode(draft.parent).decode() if draft.parent else None,
            draft.blog,
            draft.upload_state,
            draft.cost,
            now,
            draft.note,
            draft.channel_id,
            draft.seed,
            draft.input_tokens,
            draft.output_tokens,
            msgspec.json.encode(draft.findings).decode(),
            draft.held_back,
            draft.closeness,
            msgspec.json.encode(draft.closest).decode() if draft.closest else None,
            draft.rewrites,
            draft.replaces,
        ),
    )
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always has one
    return cursor.lastrowid


async def add_tags(connection: aiosqlite.Connection, draft_id: int, tags: tuple[str, ...], *, cost: float) -> None:
    """Give a draft that nobody has touched yet the tags that were found for it. Their cost is the draft's anyway."""
    await connection.execute("UPDATE drafts SET cost = cost + ? WHERE id = ?", (cost, draft_id))
    await connection.execute(
        """
        UPDATE drafts SET tags = ?, version = version + 1
        WHERE id = ? AND state = 'pending' AND NOT EXISTS (SELECT 1 FROM decisions WHERE draft_id = drafts.id)
        """,
        (json.dumps(tags), draft_id),
    )


async def get_draft(database: Database, draft_id: int) -> Draft | None:
    """The draft as it stands, or None when there never was one."""
    async with database.read() as connection:
        return await _one(connection, draft_id)


async def drafts_in(database: Database, states: Sequence[DraftState], *, limit: int) -> list[Draft]:
    """The oldest drafts in any of the states."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            f"SELECT {_COLUMNS} FROM drafts d JOIN voices v ON v.id = d.voice_id"  # noqa: S608 - our own text
            " WHERE d.state IN (SELECT value FROM json_each(?)) ORDER BY d.id LIMIT ?",
            (json.dumps(states), limit),
        )
    return [_draft(row) for row in rows]


async def count_by_state(database: Database) -> dict[DraftState, int]:
    """How many drafts stand where."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall("SELECT state, count(*) FROM drafts GROUP BY state")
    return {DraftState(row[0]): row[1] for row in rows}


async def slots_written(database: Database, job_id: int) -> set[int]:
    """Which of a job's drafts exist already."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT slot FROM drafts WHERE job_id = ? AND slot IS NOT NULL", (job_id,)
        )
    return {row[0] for row in rows}


async def drafts_to_show(database: Database, *, limit: int) -> list[Draft]:
    """Drafts whose message is missing or older than they are."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            f"SELECT {_COLUMNS} FROM drafts d JOIN voices v ON v.id = d.voice_id"  # noqa: S608 - our own text
            " WHERE d.shown_version < d.version ORDER BY d.id LIMIT ?",
            (limit,),
        )
    return [_draft(row) for row in rows]


async def drafts_to_rewrite(database: Database, *, limit: int) -> list[Draft]:
    """Drafts that somebody wanted regenerated and that have no successor yet."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            f"SELECT {_COLUMNS} FROM drafts d JOIN voices v ON v.id = d.voice_id"  # noqa: S608 - our own text
            " WHERE d.state = 'replaced' AND NOT EXISTS (SELECT 1 FROM drafts n WHERE n.replaces = d.id)"
            " ORDER BY d.id LIMIT ?",
            (limit,),
        )
    return [_draft(row) for row in rows]


async def draft_shown(
    connection: aiosqlite.Connection, draft_id: int, *, version: int, channel_id: int, message_id: int
) -> None:
    """The message now shows this version."""
    await connection.execute(
        "UPDATE drafts SET shown_version = ?, channel_id = ?, message_id = ? WHERE id = ?",
        (version, channel_id, message_id, draft_id),
    )


async def show_again(connection: aiosqlite.Connection, draft_id: int, channel_id: int) -> None:
    """Forget the draft's message, so that a fresh one is posted in the channel."""
    await connection.execute(
        "UPDATE drafts SET shown_version = 0, message_id = NULL, channel_id = ? WHERE id = ?", (channel_id, draft_id)
    )


async def decide(
    connection: aiosqlite.Connection,
    draft_id: int,
    *,
    action: str,
    person: Person,
    allowed_from: frozenset[DraftState],
    state: DraftState,
    now: float,
    text: str | None = None,
    tags: tuple[str, ...] | None = None,
    reason: str = "",
) -> tuple[Draft, int]:
    """Write a person's decision and its effect in one step. Returns the draft as it is now, with the decision's id.

    Raises:
        DraftDecided: the draft is gone, or no longer in a state that allows this.
    """
    before = await _one(connection, draft_id)
    if before is None:
        raise DraftDecided(f"Draft {draft_id} does not exist any more.", "See /drafts for those that wait.")
    if before.state not in allowed_from or state not in FOLLOWERS[before.state]:
        who = f" by {before.decided_by}" if before.decided_by else ""
        raise DraftDecided(
            f"Draft {draft_id} cannot be changed: it is {before.state}{who}.", "See /drafts for those that wait."
        )
    text_after = before.text if text is None else text
    tags_after = before.tags if tags is None else tags
    cursor = await connection.execute(
        """
        INSERT INTO decisions (draft_id, at, user_id, user_name, action, state_before, state_after, text_before,
                               text_after, tags_before, tags_after, reason)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            draft_id,
            now,
            person.id,
            person.name,
            action,
            before.state,
            state,
            before.text,
            text_after,
            json.dumps(before.tags),
            json.dumps(tags_after),
            reason,
        ),
    )
    decision_id = cursor.lastrowid
    assert decision_id is not None  # noqa: S101 - an INSERT always has one
    await connection.execute(
        "UPDATE drafts SET state = ?, text = ?, tags = ?, note = '', version = version + 1 WHERE id = ?",
        (state, text_after, json.dumps(tags_after), draft_id),
    )
    after = await _one(connection, draft_id)
    assert after is not None  # noqa: S101 - it was there above, in the same transaction
    return after, decision_id


async def move_draft(
    connection: aiosqlite.Connection,
    draft_id: int,
    *,
    to: DraftState,
    note: str = "",
    post_id: str | None = None,
    post_url: str | None = None,
) -> None:
    """A step that the bot takes by itself, after a decision.

    Raises:
        DraftDecided: the draft's state does not allow it (a defect, or two couriers at work).
    """
    row = await _fetch_one(connection, "SELECT state FROM drafts WHERE id = ?", (draft_id,))
    before = DraftState(row["state"]) if row else None
    if before is None or to not in FOLLOWERS[before]:
        raise DraftDecided(f"Draft {draft_id} cannot go from {before} to {to}.", "See /drafts for where it stands.")
    await connection.execute(
        """
        UPDATE drafts SET state = ?, note = ?, post_id = coalesce(?, post_id), post_url = coalesce(?, post_url),
                          version = version + 1
        WHERE id = ?
        """,
        (to, note, post_id, post_url, draft_id),
    )


async def note_on_draft(connection: aiosqlite.Connection, draft_id: int, note: str, *, state: DraftState) -> None:
    """Say something on the draft's message without moving it; nothing if it has left `state` meanwhile."""
    await connection.execute(
        "UPDATE drafts SET note = ?, version = version + 1 WHERE id = ? AND state = ? AND note <> ?",
        (note, draft_id, state, note),
    )


async def put_parent(connection: aiosqlite.Connection, draft_id: int, parent: Parent) -> None:
    """Keep the reblogged post as it reads now."""
    await connection.execute(
        "UPDATE drafts SET parent = ?, version = version + 1 WHERE id = ?",
        (msgspec.json.encode(parent).decode(), draft_id),
    )


async def begin_upload(
    connection: aiosqlite.Connection, draft: Draft, *, body: dict[str, object], now: float
) -> Upload:
    """Write down the intent to send this very body, before it is sent."""
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
    row = await _fetch_one(
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
        row = await _fetch_one(
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
        row = await _fetch_one(
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
        row = await _fetch_one(
            connection,
            """
            SELECT min(started_at) AS at FROM uploads WHERE draft_id = ? AND decision_id =
                (SELECT max(id) FROM decisions WHERE draft_id = ? AND state_after = 'approved')
            """,
            (draft_id, draft_id),
        )
    return row["at"] if row else None


async def texts_to_compare(database: Database, *, limit: int) -> dict[int, str]:
    """The texts of the newest drafts that wait or were approved, by the draft's number."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT id, text FROM drafts WHERE state NOT IN ('rejected', 'replaced') ORDER BY id DESC LIMIT ?", (limit,)
        )
    return {row[0]: row[1] for row in rows}


async def texts_of(database: Database, draft_ids: Sequence[int]) -> dict[int, str]:
    """The texts of these drafts as they stand, by the draft's number."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT id, text FROM drafts WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(draft_ids)),)
        )
    return {row[0]: row[1] for row in rows}


async def regeneration_of(database: Database, draft_id: int) -> int | None:
    """The number of the press that last wanted this draft regenerated."""
    async with database.read() as connection:
        (row,) = await connection.execute_fetchall(
            "SELECT max(id) FROM decisions WHERE draft_id = ? AND action = 'regenerate'", (draft_id,)
        )
    return row[0]


async def adopted_posts(database: Database) -> set[str]:
    """The Tumblr ids that belong to drafts already."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall("SELECT post_id FROM drafts WHERE post_id IS NOT NULL")
    return {row[0] for row in rows}


async def reblogged_posts(database: Database) -> set[str]:
    """The Tumblr ids of the posts that drafts reblog, whatever has become of these drafts."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT json_extract(parent, '$.post_id') FROM drafts WHERE parent IS NOT NULL"
        )
    return {str(row[0]) for row in rows}


async def _one(connection: aiosqlite.Connection, draft_id: int) -> Draft | None:
    row = await _fetch_one(
        connection,
        f"SELECT {_COLUMNS} FROM drafts d JOIN voices v ON v.id = d.voice_id WHERE d.id = ?",  # noqa: S608 - our own text
        (draft_id,),
    )
    return _draft(row) if row else None


async def _fetch_one(connection: aiosqlite.Connection, sql: str, parameters: tuple[object, ...]) -> sqlite3.Row | None:
    async with connection.execute(sql, parameters) as cursor:
        return await cursor.fetchone()


def _draft(row: sqlite3.Row) -> Draft:
    return Draft(
        id=row["id"],
        state=DraftState(row["state"]),
        text=row["text"],
        tags=msgspec.json.decode(row["tags"], type=tuple[str, ...]),
        prompt=row["prompt"],
        voice_id=row["voice_id"],
        voice_name=row["voice_name"],
        job_id=row["job_id"],
        replaces=row["replaces"],
        blog=row["blog"],
        upload_state=UploadState(row["upload_state"]),
        created_at=row["created_at"],
        cost=row["cost"],
        version=row["version"],
        shown_version=row["shown_version"],
        channel_id=row["channel_id"],
        message_id=row["message_id"],
        post_id=row["post_id"],
        post_url=row["post_url"],
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
        note=row["note"],
        edited=bool(row["edited"]),
        parent=msgspec.json.decode(row["parent"], type=Parent) if row["parent"] else None,
    )
