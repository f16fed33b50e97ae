"""Drafts: as they were written, as they stand, and which of them are to be shown, rewritten, found.

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

from bot.drafts import FOLLOWERS, Closest, Draft, DraftState, Finding, Parent, Removal, UploadState
from bot.errors import DraftChanged, DraftDecided
from bot.store.database import Database

# `c` is what was decided last. A removal is no decision about the draft itself until it has come to its end.
# Approvals count that came one after another, up to that one; those that have led to an upload are used up.
_DRAFTS = """
    SELECT d.id, d.state, d.text, d.tags, d.prompt, d.voice_id, d.job_id, d.blog, d.upload_state, d.created_at, d.cost,
        d.version, d.shown_version, d.channel_id, d.message_id, d.post_id, d.post_url, d.note, d.parent, d.replaces,
        d.original_text, d.findings, d.held_back, d.closeness, d.closest, d.publish_at,
        d.text <> d.original_text AS edited,
        (SELECT user_id FROM decisions WHERE draft_id = d.id AND action = 'edit' ORDER BY id DESC LIMIT 1) AS edited_by,
        v.name AS voice_name,
        c.user_name AS decided_by, c.at AS decided_at, c.action AS last_action, coalesce(c.reason, '') AS reason,
        (SELECT json_group_array(user_name) FROM (
            SELECT user_name FROM decisions
            WHERE draft_id = d.id AND action = 'approve' AND c.action = 'approve' AND id <= c.id
                AND NOT (d.state = 'pending' AND c.state_after <> 'pending')
                AND id > coalesce((SELECT max(id) FROM decisions WHERE draft_id = d.id AND id < c.id
                                   AND NOT (action = 'approve' AND state_after = 'pending')), 0)
            ORDER BY id
        )) AS approved_by,
        (SELECT state FROM removals WHERE draft_id = d.id AND post_id = d.post_id ORDER BY id DESC LIMIT 1) AS removal
    FROM drafts d
    JOIN voices v ON v.id = d.voice_id
    LEFT JOIN decisions c
        ON c.id = (SELECT max(id) FROM decisions WHERE draft_id = d.id AND action <> 'remove')
"""

# For some time the shape had `regeneration_id` and the bot did not write it: there only the time tells what the
# successor answers.
WANTS_A_SUCCESSOR = """
    d.state = 'replaced' AND NOT EXISTS (
        SELECT 1 FROM drafts n, (
            SELECT max(id) AS id, max(at) AS at FROM decisions WHERE draft_id = d.id AND action = 'regenerate'
        ) press
        WHERE n.replaces = d.id
            AND (n.regeneration_id IS press.id OR n.regeneration_id IS NULL AND n.created_at >= press.at)
    )
"""
"""Whether a draft `d` is set aside for another that is not written yet."""


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
        return await draft_in(connection, draft_id)


async def drafts_in(database: Database, states: Sequence[DraftState], *, limit: int) -> list[Draft]:
    """The oldest drafts in any of the states."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            _DRAFTS + " WHERE d.state IN (SELECT value FROM json_each(?)) ORDER BY d.id LIMIT ?",  # noqa: S608 - our own text
            (json.dumps(states), limit),
        )
    return [_draft(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which drafts to list: in one of these states (all, where there is none), of one voice, with words in the text."""

    states: tuple[DraftState, ...] = ()
    voice_id: int | None = None
    words: str = ""


async def find_drafts(database: Database, wanted: Wanted, *, after_id: int = 0, limit: int) -> tuple[list[Draft], int]:
    """A page of the wanted drafts, the oldest first, from after this id on; and how many there are in all."""
    where = """
        WHERE (json_array_length(:states) = 0 OR d.state IN (SELECT value FROM json_each(:states)))
            AND (:voice IS NULL OR d.voice_id = :voice)
            AND (:words = '' OR instr(lower(d.text), lower(:words))
                OR EXISTS (SELECT 1 FROM json_each(d.tags) WHERE instr(lower(value), lower(:words))))
    """
    given = {"states": json.dumps(wanted.states), "voice": wanted.voice_id, "words": wanted.words.strip()}
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            _DRAFTS + where + " AND d.id > :after ORDER BY d.id LIMIT :limit",
            given | {"after": after_id, "limit": limit},
        )
        counted = await connection.execute_fetchall(f"SELECT count(*) FROM drafts d {where}", given)  # noqa: S608 - our own text
    return [_draft(row) for row in rows], next(iter(counted))[0]


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
            _DRAFTS + " WHERE d.shown_version < d.version ORDER BY d.id LIMIT ?",
            (limit,),
        )
    return [_draft(row) for row in rows]


async def drafts_to_rewrite(database: Database, *, limit: int) -> list[Draft]:
    """Drafts that somebody wanted regenerated and that have no successor yet."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            f"{_DRAFTS} WHERE {WANTS_A_SUCCESSOR} ORDER BY d.id LIMIT ?",
            (limit,),
        )
    return [_draft(row) for row in rows]


async def draft_shown(connection: aiosqlite.Connection, draft: Draft, *, channel_id: int, message_id: int) -> None:
    """This message now shows the draft as it was; nothing if another message was asked for meanwhile."""
    await connection.execute(
        """
        UPDATE drafts SET shown_version = ?, channel_id = ?, message_id = ?
        WHERE id = ? AND shown_version = ? AND channel_id IS ? AND message_id IS ?
        """,
        (
            draft.version,
            channel_id,
            message_id,
            draft.id,
            draft.shown_version,
            draft.channel_id,
            draft.message_id,
        ),
    )


async def show_again(connection: aiosqlite.Connection, draft_id: int, channel_id: int) -> None:
    """Leave the draft's message behind, so that a fresh one is posted in the channel."""
    await connection.execute("UPDATE drafts SET shown_version = 0, channel_id = ? WHERE id = ?", (channel_id, draft_id))


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
    row = await fetch_one(connection, "SELECT state FROM drafts WHERE id = ?", (draft_id,))
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


async def must_be_unchanged(connection: aiosqlite.Connection, draft: Draft) -> None:
    """Raise DraftChanged where the draft is not any more what it was when it was read: somebody has decided, say."""
    row = await fetch_one(connection, "SELECT version FROM drafts WHERE id = ?", (draft.id,))
    if row is None or row["version"] != draft.version:
        raise DraftChanged(f"Draft {draft.id} has changed meanwhile.", "It is looked at again.")


async def return_replaced(connection: aiosqlite.Connection, draft_id: int, note: str) -> None:
    """Let a draft wait again that could not be written anew; nothing if somebody has brought it back meanwhile."""
    await connection.execute(
        "UPDATE drafts SET state = 'pending', note = ?, version = version + 1 WHERE id = ? AND state = 'replaced'",
        (note, draft_id),
    )


async def set_turn(connection: aiosqlite.Connection, draft_id: int, publish_at: float | None) -> None:
    """When an approved draft may go to the blog, in unix seconds; None: at once."""
    await connection.execute(
        "UPDATE drafts SET publish_at = ?, version = version + 1 WHERE id = ? AND publish_at IS NOT ?",
        (publish_at, draft_id, publish_at),
    )


async def last_turn(connection: aiosqlite.Connection, blog: str, upload_states: Sequence[str]) -> float | None:
    """The last turn that a draft has or had on this blog, of those that go there as one of these."""
    row = await fetch_one(
        connection,
        """
        SELECT max(publish_at) AS at FROM drafts
        WHERE blog = ? AND state IN ('approved', 'uploading', 'unknown', 'uploaded')
            AND upload_state IN (SELECT value FROM json_each(?))
        """,
        (blog, json.dumps(list(upload_states))),
    )
    return row["at"] if row else None


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


async def draft_in(connection: aiosqlite.Connection, draft_id: int) -> Draft | None:
    """`get_draft`, inside a transaction."""
    row = await fetch_one(
        connection,
        _DRAFTS + " WHERE d.id = ?",
        (draft_id,),
    )
    return _draft(row) if row else None


async def fetch_one(connection: aiosqlite.Connection, sql: str, parameters: tuple[object, ...]) -> sqlite3.Row | None:
    """The first row that a query finds."""
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
        edited_by=row["edited_by"],
        parent=msgspec.json.decode(row["parent"], type=Parent) if row["parent"] else None,
        last_action=row["last_action"],
        reason=row["reason"],
        approved_by=msgspec.json.decode(row["approved_by"], type=tuple[str, ...]),
        publish_at=row["publish_at"],
        removal=Removal(row["removal"]) if row["removal"] else None,
        original_text=row["original_text"],
        findings=msgspec.json.decode(row["findings"], type=tuple[Finding, ...]),
        held_back=bool(row["held_back"]),
        closeness=row["closeness"],
        closest=msgspec.json.decode(row["closest"], type=Closest) if row["closest"] else None,
    )
