"""Whose blogs may be kept: those of the connected account, and those that somebody said are allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aiosqlite

from bot.drafts import Person
from bot.posts import Blog
from bot.store.database import Database


@dataclass(frozen=True, slots=True)
class Consent:
    """Somebody's word that a blog may be downloaded. Times are in unix seconds."""

    blog_uuid: str
    blog_name: str
    note: str
    given_at: float
    given_by: str
    revoked_at: float | None
    revoked_by: str | None


async def set_own_blogs(connection: aiosqlite.Connection, blogs: Sequence[Blog]) -> None:
    """Note the blogs of the connected account, as Tumblr lists them now."""
    await connection.execute("UPDATE own_blogs SET present = 0")
    await connection.executemany(
        "INSERT INTO own_blogs (uuid, name, title, present) VALUES (?, ?, ?, 1)"
        " ON CONFLICT (uuid) DO UPDATE SET name = excluded.name, title = excluded.title, present = 1",
        [(blog.uuid, blog.name, blog.title) for blog in blogs],
    )


async def own_blogs(db: Database) -> list[Blog]:
    """The blogs of the connected account, in the order in which Tumblr lists them."""
    async with db.read() as connection:
        rows = await connection.execute_fetchall("SELECT uuid, name, title FROM own_blogs WHERE present ORDER BY rowid")
    return [Blog(row["uuid"], row["name"], row["title"], "") for row in rows]


async def is_own(connection: aiosqlite.Connection, blog_uuid: str) -> bool:
    """Whether this blog is or was one of the account's."""
    rows = await connection.execute_fetchall("SELECT 1 FROM own_blogs WHERE uuid = ?", (blog_uuid,))
    return bool(list(rows))


async def may_keep(connection: aiosqlite.Connection, blog_uuid: str) -> bool:
    """Whether this blog's posts may be kept: it is or was the account's own, or there is consent."""
    rows = await connection.execute_fetchall(
        "SELECT 1 FROM own_blogs WHERE uuid = ?1"
        " UNION ALL SELECT 1 FROM consents WHERE blog_uuid = ?1 AND revoked_at IS NULL LIMIT 1",
        (blog_uuid,),
    )
    return bool(list(rows))


async def give_consent(connection: aiosqlite.Connection, blog: Blog, note: str, person: Person, *, now: float) -> None:
    """Record who says that a blog may be downloaded; what was said before is kept as revoked by the same person."""
    await revoke_consent(connection, blog.uuid, person, now=now)
    await connection.execute(
        "INSERT INTO consents (blog_uuid, blog_name, note, given_at, given_by_id, given_by) VALUES (?, ?, ?, ?, ?, ?)",
        (blog.uuid, blog.name, note, now, person.id, person.name),
    )


async def revoke_consent(connection: aiosqlite.Connection, blog_uuid: str, person: Person, *, now: float) -> bool:
    """Take consent back; returns whether there was any."""
    cursor = await connection.execute(
        "UPDATE consents SET revoked_at = ?, revoked_by_id = ?, revoked_by = ?"
        " WHERE blog_uuid = ? AND revoked_at IS NULL",
        (now, person.id, person.name, blog_uuid),
    )
    return cursor.rowcount > 0


async def consents(db: Database) -> list[Consent]:
    """Every consent, the newest first, revoked ones too."""
    async with db.read() as connection:
        rows = await connection.execute_fetchall("SELECT * FROM consents ORDER BY id DESC")
    return [
        Consent(
            blog_uuid=row["blog_uuid"],
            blog_name=row["blog_name"],
            note=row["note"],
            given_at=row["given_at"],
            given_by=row["given_by"],
            revoked_at=row["revoked_at"],
            revoked_by=row["revoked_by"],
        )
        for row in rows
    ]


async def active_consents(db: Database) -> list[Consent]:
    """Those that hold, the newest first."""
    return [consent for consent in await consents(db) if consent.revoked_at is None]
