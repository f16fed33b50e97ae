"""What people decided about drafts: who, when, before, after and why.

Each function that takes a connection belongs inside `Database.write()`: a decision shares the transaction of its
effect.
"""

from __future__ import annotations

import json

import aiosqlite

from bot.drafts import FOLLOWERS, Draft, DraftState, Person, Seen
from bot.errors import DraftDecided
from bot.store.database import Database
from bot.store.drafts import draft_in


async def add_reason(connection: aiosqlite.Connection, draft_id: int, person: Person, reason: str) -> bool:
    """Keep what somebody says about their own decision, if it is still the last one. Returns whether it is."""
    cursor = await connection.execute(
        """
        UPDATE decisions SET reason = ? WHERE user_id = ? AND id =
            (SELECT max(id) FROM decisions WHERE draft_id = ? AND action <> 'remove')
        """,
        (reason, person.id, draft_id),
    )
    if cursor.rowcount:
        await connection.execute("UPDATE drafts SET version = version + 1 WHERE id = ?", (draft_id,))
    return bool(cursor.rowcount)


async def untouched_since(database: Database, moment: float, *, limit: int) -> list[int]:
    """The drafts that wait, and that nobody has done anything about since this moment (unix seconds).

    Not those that were approved and came back, refused by Tumblr, say: somebody has decided about them, and when they
    came back is not recorded.
    """
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            """
            SELECT id FROM drafts d WHERE state = 'pending' AND created_at <= :moment
                AND NOT EXISTS (SELECT 1 FROM decisions WHERE draft_id = d.id AND at > :moment)
                AND (SELECT state_after FROM decisions WHERE draft_id = d.id ORDER BY id DESC LIMIT 1)
                    IS NOT 'approved'
            ORDER BY id LIMIT :limit
            """,
            {"moment": moment, "limit": limit},
        )
    return [row[0] for row in rows]


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
    seen: Seen | None = None,
) -> tuple[Draft, int]:
    """Write a person's decision and its effect in one step. Returns the draft as it is now, with the decision's id.

    `seen` says whether this is what the person was shown, where what they see may be older than what is there.

    Raises:
        DraftDecided: the draft is gone, no longer in a state that allows this, or not any more what they were shown.
    """
    before = await draft_in(connection, draft_id)
    if before is None:
        raise DraftDecided(f"Draft {draft_id} does not exist any more.", "See /drafts list for those that wait.")
    if before.state not in allowed_from or state not in FOLLOWERS[before.state]:
        is_named = before.decided_by and before.state not in (DraftState.PENDING, DraftState.UNKNOWN)
        who = f" by {before.decided_by}" if is_named else ""
        raise DraftDecided(
            f"Draft {draft_id} cannot be changed: {before.state.clause}{who}.", "See /drafts list for those that wait."
        )
    if seen is not None and not seen(before):
        raise DraftDecided(
            f"Draft {draft_id} has changed since you saw it.", "Please look at it again; /drafts show posts it anew."
        )
    text_after = before.text if text is None else text
    tags_after = before.tags if tags is None else tags
    decision_id = await record_decision(
        connection, before, action=action, person=person, state=state, now=now, text=text, tags=tags, reason=reason
    )
    await connection.execute(
        "UPDATE drafts SET state = ?, text = ?, tags = ?, note = '' WHERE id = ?",
        (state, text_after, json.dumps(tags_after), draft_id),
    )
    after = await draft_in(connection, draft_id)
    assert after is not None  # noqa: S101 - it was there above, in the same transaction
    return after, decision_id


async def record_decision(
    connection: aiosqlite.Connection,
    before: Draft,
    *,
    action: str,
    person: Person,
    state: DraftState,
    now: float,
    text: str | None = None,
    tags: tuple[str, ...] | None = None,
    reason: str = "",
) -> int:
    """Write down a decision about a draft as it stands, without its effect. Returns the decision's id."""
    cursor = await connection.execute(
        """
        INSERT INTO decisions (draft_id, at, user_id, user_name, action, state_before, state_after, text_before,
                               text_after, tags_before, tags_after, reason)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            before.id,
            now,
            person.id,
            person.name,
            action,
            before.state,
            state,
            before.text,
            before.text if text is None else text,
            json.dumps(before.tags),
            json.dumps(before.tags if tags is None else tags),
            reason,
        ),
    )
    await connection.execute("UPDATE drafts SET version = version + 1 WHERE id = ?", (before.id,))
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always has one
    return cursor.lastrowid


async def approvals(connection: aiosqlite.Connection, draft_id: int) -> set[int]:
    """The people (by Discord user id) who have approved a waiting draft as it stands.

    Only approvals that came one after another, at the end: an edit, an undo or an upload in between used them up.
    """
    rows = await connection.execute_fetchall(
        """
        SELECT user_id FROM decisions WHERE draft_id = :draft AND id > coalesce((
            SELECT max(id) FROM decisions WHERE draft_id = :draft
                AND NOT (action = 'approve' AND state_after = 'pending')
        ), 0)
        """,
        {"draft": draft_id},
    )
    return {row[0] for row in rows}
