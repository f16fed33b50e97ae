"""What people did that changes what the bot does, spends or deletes. Each row shares the transaction of its effect.

What people decide about drafts, screenings and other people's blogs has tables of its own; it is read here beside the
rest, so that there is one answer to who did what.
"""

from __future__ import annotations

from dataclasses import dataclass

import aiosqlite

from bot.drafts import Person
from bot.store.database import Database

# What a decision about a screening is called, and what it is about.
SCREENING_ACTION = (
    "CASE what WHEN 'skip' THEN 'skip screening' WHEN 'threshold' THEN 'set threshold' ELSE what || ' example' END"
)
SCREENING_SUBJECT = (
    "'dataset ' || dataset_id || CASE WHEN position IS NULL THEN '' ELSE ', example ' || position END"
    " || CASE WHEN category IS NULL THEN '' ELSE ', ' || category END"
)
_ACTS = f"""
    SELECT at, user_id, user_name, action, subject, before, after, id FROM audit
    UNION ALL SELECT at, user_id, user_name, action || ' draft', 'draft ' || draft_id,
        CASE WHEN text_before <> text_after THEN text_before
            WHEN tags_before <> tags_after THEN tags_before ELSE state_before END,
        CASE WHEN text_before <> text_after THEN text_after
            WHEN tags_before <> tags_after THEN tags_after ELSE state_after END
            || CASE WHEN reason = '' THEN '' ELSE ' (' || reason || ')' END,
        id FROM decisions
    UNION ALL SELECT at, user_id, user_name, {SCREENING_ACTION}, {SCREENING_SUBJECT},
        '', coalesce(CAST(value AS TEXT), ''), id FROM screening_decisions WHERE carried_from IS NULL
    UNION ALL SELECT given_at, given_by_id, given_by, 'give consent', blog_name, '', note, id FROM consents
    UNION ALL SELECT revoked_at, revoked_by_id, revoked_by, 'revoke consent', blog_name, note, '', id FROM consents
        WHERE revoked_at IS NOT NULL
"""  # noqa: S608 - our own text


@dataclass(frozen=True, slots=True)
class Act:
    """Something that a person did: `at` in unix seconds; `before` and `after` are "" where there is nothing to say."""

    at: float
    user_id: int
    user_name: str
    action: str
    subject: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class WantedActs:
    """Whose acts, and which; None and "" for all."""

    user_id: int | None = None
    action: str = ""


async def record(
    connection: aiosqlite.Connection,
    person: Person,
    action: str,
    subject: str,
    *,
    now: float,
    before: str = "",
    after: str = "",
) -> None:
    """Write down who did what to what. Never a secret."""
    await connection.execute(
        "INSERT INTO audit (at, user_id, user_name, action, subject, before, after) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (now, person.id, person.name, action, subject, before, after),
    )


async def acts(database: Database, wanted: WantedActs, *, offset: int, limit: int) -> tuple[list[Act], int]:
    """A page of what people did, the latest first; and how much there is in all."""
    where = "(:user IS NULL OR user_id = :user) AND (:action = '' OR action = :action)"
    given = {"user": wanted.user_id, "action": wanted.action, "offset": offset, "limit": limit}
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            f"SELECT * FROM ({_ACTS}) WHERE {where} ORDER BY at DESC, id DESC LIMIT :limit OFFSET :offset",  # noqa: S608 - our own text
            given,
        )
        counted = await connection.execute_fetchall(f"SELECT count(*) FROM ({_ACTS}) WHERE {where}", given)  # noqa: S608 - our own text
    return [Act(*tuple(row)[:-1]) for row in rows], next(iter(counted))[0]


async def actors(database: Database) -> list[Person]:
    """Everybody who did anything, by their newest name."""
    async with database.read() as connection:
        # SQLite takes the other columns from the row that has the maximum.
        rows = await connection.execute_fetchall(
            f"SELECT user_id, user_name, max(at) FROM ({_ACTS}) GROUP BY user_id ORDER BY user_name"  # noqa: S608 - our own text
        )
    return [Person(row[0], row[1]) for row in rows]


async def actions(database: Database) -> list[str]:
    """Everything that anybody did, by its name."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(f"SELECT DISTINCT action FROM ({_ACTS}) ORDER BY action")  # noqa: S608 - our own text
    return [row[0] for row in rows]


async def last_act(database: Database, action: str, subject: str) -> Act | None:
    """The last time that somebody did this to that."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT at, user_id, user_name, action, subject, before, after FROM audit"
            " WHERE action = ? AND subject = ? ORDER BY id DESC LIMIT 1",
            (action, subject),
        )
    return next((Act(*row) for row in rows), None)
