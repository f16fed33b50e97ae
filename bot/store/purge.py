"""Removing posts from everything that holds them: posts, examples of every dataset, drafts that reblog them.

The functions that take a connection belong inside `Database.write()`. What is removed leaves two notes in the same
transaction: that the training file is behind (`datasets.TRAINING_FILE_BEHIND`), and that the database file may still
hold the text between its rows (`REMNANTS`), so that a kill right after it loses neither duty.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import aiosqlite

from bot.store.database import Database
from bot.store.datasets import NEWEST, TRAINING_FILE_BEHIND
from bot.store.facts import mark

REMNANTS = "removed text may be left in the database file"
PROMPT_WITHOUT_PARENT = "(the post it answers was removed)"
"""Stands where a draft's prompt had the text of the reblogged post."""

_HAS_PARENT_TEXT = "parent IS NOT NULL AND json_extract(parent, '$.text') <> ''"
_NOT_OWN = "NOT IN (SELECT uuid FROM own_blogs)"  # present or not: what was the owner's own stays so


@dataclass(frozen=True, slots=True)
class Purged:
    """How much was removed: posts, examples (counted in every dataset that had them), drafts' copies of a parent."""

    posts: int = 0
    examples: int = 0
    parents: int = 0

    def __add__(self, other: Purged) -> Purged:
        return Purged(self.posts + other.posts, self.examples + other.examples, self.parents + other.parents)


@dataclass(frozen=True, slots=True)
class ForeignBlog:
    """A blog of somebody else whose content is here. Times are in unix seconds, None where there is no such content."""

    uuid: str
    oldest_post: float | None
    """When the post that was not seen for the longest time was seen."""
    oldest_parent: float | None
    """When the oldest draft that has the text of one of its posts was written."""
    had_consent: bool
    """Whether consent was ever recorded, and so the blog was known to be somebody else's."""


async def purge_posts(
    connection: aiosqlite.Connection, blog_uuid: str, post_ids: Sequence[str], *, parents: bool = True
) -> Purged:
    """Remove these posts of a blog, and what was made of them. Drafts stay, without the text that they reblog.

    A call holds everybody who wants to write: a few hundred posts at once. With `parents` false, drafts keep the
    text of the post that they reblog.
    """
    ids = json.dumps(list(post_ids))
    cursor = await connection.execute(
        "DELETE FROM posts WHERE blog_uuid = ? AND id IN (SELECT value FROM json_each(?))", (blog_uuid, ids)
    )
    posts = cursor.rowcount
    removed = await connection.execute_fetchall(
        "DELETE FROM examples WHERE blog_uuid = ? AND post_id IN (SELECT value FROM json_each(?)) RETURNING dataset_id",
        (blog_uuid, ids),
    )
    examples = [int(row[0]) for row in removed]
    await _no_longer_whole(connection, set(examples))
    blanked = 0
    if parents:
        blanked = await _blank(
            connection,
            "json_extract(parent, '$.blog_uuid') = ?"
            " AND json_extract(parent, '$.post_id') IN (SELECT value FROM json_each(?))",
            (blog_uuid, ids),
        )
    purged = Purged(posts, len(examples), blanked)
    if purged != Purged():
        # A stage's last progress quotes a post, and does not say of which blog.
        await connection.execute(
            "UPDATE jobs SET progress = json_set(progress, '$.preview', NULL)"
            " WHERE json_extract(progress, '$.preview') IS NOT NULL"
        )
        await mark(connection, REMNANTS)
    return purged


async def drop_vanished(connection: aiosqlite.Connection, dataset_id: int) -> int:
    """Remove from a dataset what was made of posts that have been removed while it was being made."""
    cursor = await connection.execute(
        "DELETE FROM examples WHERE dataset_id = ? AND post_id IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM posts p WHERE p.blog_uuid = examples.blog_uuid AND p.id = examples.post_id)",
        (dataset_id,),
    )
    if cursor.rowcount:
        await _no_longer_whole(connection, {dataset_id})
        await mark(connection, REMNANTS)
    return cursor.rowcount


async def blank_old_parents(connection: aiosqlite.Connection, blog_uuid: str, before: float) -> int:
    """Remove the texts of a blog's posts from the drafts that reblog them and are older than this (unix seconds)."""
    return await _blank(connection, "json_extract(parent, '$.blog_uuid') = ? AND created_at < ?", (blog_uuid, before))


async def blank_shown_previews(connection: aiosqlite.Connection) -> None:
    """Remove the posts that finished jobs quote, where the outcome has been shown: nobody reads them again.

    A job that was at work while posts were purged may have noted one down afterwards.
    """
    await connection.execute(
        "UPDATE jobs SET progress = json_set(progress, '$.preview', NULL)"
        " WHERE message_final AND json_extract(progress, '$.preview') IS NOT NULL"
    )


async def begin_anew(connection: aiosqlite.Connection, blog_uuid: str) -> None:
    """Let the next download read the whole blog again. One that is under way goes on where it is."""
    await connection.execute("UPDATE blogs SET complete = 0, newest_timestamp = NULL WHERE uuid = ?", (blog_uuid,))


async def forget_blog_row(connection: aiosqlite.Connection, blog_uuid: str) -> None:
    """Remove a blog whose posts are gone, with the state of its download."""
    await connection.execute("DELETE FROM blogs WHERE uuid = ?", (blog_uuid,))


# --- what there is to remove ----------------------------------------------------------------------------------


async def kept_ids(connection: aiosqlite.Connection, blog_uuid: str, *, limit: int) -> list[str]:
    """Ids of some posts of a blog of which anything is here; one may come several times."""
    rows = await connection.execute_fetchall(
        "SELECT id FROM posts WHERE blog_uuid = ?1"  # noqa: S608 - our own text
        " UNION ALL SELECT post_id FROM examples WHERE blog_uuid = ?1 AND post_id IS NOT NULL"
        " UNION ALL SELECT json_extract(parent, '$.post_id') FROM drafts"
        f" WHERE {_HAS_PARENT_TEXT} AND json_extract(parent, '$.blog_uuid') = ?1"
        " UNION ALL SELECT json_extract(parent, '$.post_id') FROM writings"
        f" WHERE {_HAS_PARENT_TEXT} AND json_extract(parent, '$.blog_uuid') = ?1 LIMIT ?2",
        (blog_uuid, limit),
    )
    return [str(row[0]) for row in rows]


async def old_ids(db: Database, blog_uuid: str, before: float) -> list[str]:
    """Ids of the posts that were last seen before this (unix seconds)."""
    async with db.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT id FROM posts WHERE blog_uuid = ? AND seen_at < ?", (blog_uuid, before)
        )
    return [row[0] for row in rows]


async def still_old(
    connection: aiosqlite.Connection, blog_uuid: str, post_ids: Sequence[str], before: float
) -> list[str]:
    """Those of the posts that have not been seen again meanwhile."""
    rows = await connection.execute_fetchall(
        "SELECT id FROM posts WHERE blog_uuid = ? AND id IN (SELECT value FROM json_each(?)) AND seen_at < ?",
        (blog_uuid, json.dumps(list(post_ids)), before),
    )
    return [row[0] for row in rows]


async def foreign_blogs(db: Database) -> list[ForeignBlog]:
    """The blogs of somebody else of which there are posts, or texts of posts in drafts."""
    async with db.read() as connection:
        rows = await connection.execute_fetchall(
            f"""
            WITH kept (uuid, post, parent) AS (
                SELECT uuid, (SELECT min(seen_at) FROM posts WHERE blog_uuid = uuid), NULL FROM blogs
                WHERE uuid {_NOT_OWN}
                UNION ALL
                SELECT json_extract(parent, '$.blog_uuid'), NULL, created_at FROM drafts WHERE {_HAS_PARENT_TEXT}
                UNION ALL
                SELECT json_extract(parent, '$.blog_uuid'), NULL, created_at FROM writings WHERE {_HAS_PARENT_TEXT}
            )
            SELECT uuid, min(post) AS post, min(parent) AS parent,
                EXISTS (SELECT 1 FROM consents WHERE blog_uuid = uuid) AS had_consent
            FROM kept WHERE uuid {_NOT_OWN} GROUP BY uuid HAVING min(post) NOTNULL OR min(parent) NOTNULL
            """  # noqa: S608 - our own text
        )
    return [ForeignBlog(row["uuid"], row["post"], row["parent"], bool(row["had_consent"])) for row in rows]


async def revoked_blogs(db: Database) -> list[str]:
    """UUIDs of blogs whose consent was taken back; those that are or were the account's own need none."""
    async with db.read() as connection:
        rows = await connection.execute_fetchall(
            f"SELECT blog_uuid FROM consents WHERE blog_uuid {_NOT_OWN}"  # noqa: S608 - our own text
            " GROUP BY blog_uuid HAVING sum(revoked_at IS NULL) = 0"
        )
    return [row[0] for row in rows]


async def own_uuids(db: Database) -> set[str]:
    """UUIDs of the blogs that are or were the account's own."""
    async with db.read() as connection:
        rows = await connection.execute_fetchall("SELECT uuid FROM own_blogs")
    return {row[0] for row in rows}


# --- the pieces -----------------------------------------------------------------------------------------------


async def _no_longer_whole(connection: aiosqlite.Connection, dataset_ids: set[int]) -> None:
    """Datasets that lost examples are no longer what their digest says; the newest one's file is behind."""
    if not dataset_ids:
        return
    await connection.execute(
        "UPDATE datasets SET digest = '' WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(dataset_ids)),),
    )
    (row,) = await connection.execute_fetchall(NEWEST)
    if row[0] in dataset_ids:
        await mark(connection, TRAINING_FILE_BEHIND)


async def _blank(connection: aiosqlite.Connection, which: str, parameters: tuple[object, ...]) -> int:
    cursor = await connection.execute(
        "UPDATE drafts SET parent = json_set(parent, '$.text', ''), prompt = ?, version = version + 1"  # noqa: S608 - see the callers
        f" WHERE {_HAS_PARENT_TEXT} AND {which}",
        (PROMPT_WITHOUT_PARENT, *parameters),
    )
    # What is being written about it is begun anew, with another post.
    removed = await connection.execute(
        f"DELETE FROM writings WHERE {_HAS_PARENT_TEXT} AND {which}",  # noqa: S608 - see the callers
        parameters,
    )
    if cursor.rowcount or removed.rowcount:
        await mark(connection, REMNANTS)
    return cursor.rowcount
