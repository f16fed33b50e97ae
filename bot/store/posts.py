"""Blogs, how far their download has come, and their posts."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import aiosqlite
import msgspec

from bot.posts import Blog, Post, Rejection
from bot.store.database import Database

_PAGE = 1000
_AFTER_ALL_TIME = 2**63 - 1


class Pass(StrEnum):
    """What a download is doing with a blog."""

    NEW = "new"
    """It looks for what is newer than it knows."""
    FULL = "full"
    """It looks at every post again."""
    SETTLING = "settling"
    """It asks after those that a full pass has not seen."""


@dataclass(frozen=True, slots=True)
class BlogRow:
    """A blog with the state of its download (described in the migrations). Times are in unix seconds."""

    uuid: str
    name: str
    title: str
    url: str
    post_count: int | None
    cursor: int | None
    cursor_offset: int
    complete: bool
    newest_timestamp: int | None
    pass_newest_timestamp: int | None
    pass_stage: Pass | None
    pass_since: float | None
    full_pass_ended_at: float | None
    updated_at: float


@dataclass(frozen=True, slots=True)
class PostCounts:
    """How many posts are stored, and how many of them are valid examples."""

    all: int
    valid: int


@dataclass(frozen=True, slots=True)
class Compared:
    """Of some downloaded posts: how many were not seen since a moment, and how many are stored with other words."""

    unseen: int
    changed: int


# gc=False for the reason given at `bot.examples.Example`.
class ExamplePost(msgspec.Struct, frozen=True, gc=False):
    """What the training data need of a valid post. `timestamp` is in unix seconds."""

    blog_uuid: str
    id: str
    timestamp: int
    text: str
    url: str


# --- blogs ----------------------------------------------------------------------------------------------------


async def upsert_blog(connection: aiosqlite.Connection, blog: Blog, now: float) -> None:
    """Add a blog, or note its newest name and description. The state of its download stays."""
    await connection.execute(
        "INSERT INTO blogs (uuid, name, title, url, post_count, updated_at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (uuid) DO UPDATE SET name = excluded.name, title = excluded.title, url = excluded.url,"
        " post_count = coalesce(excluded.post_count, post_count), updated_at = excluded.updated_at",
        (blog.uuid, _storable(blog.name), _storable(blog.title), _storable(blog.url), blog.post_count, now),
    )


async def get_blog(db: Database, uuid: str) -> BlogRow | None:
    found = await _blogs(db, "WHERE uuid = ?", (uuid,))
    return found[0] if found else None


async def find_blog_by_name(db: Database, name: str) -> BlogRow | None:
    """The blog that was last seen under `name`: names change hands."""
    found = await _blogs(db, "WHERE name = ? ORDER BY updated_at DESC LIMIT 1", (name,))
    return found[0] if found else None


async def blogs(db: Database) -> list[BlogRow]:
    return await _blogs(db, "ORDER BY name, uuid")


async def rename_blog(connection: aiosqlite.Connection, uuid: str, name: str) -> None:
    """Give a blog another label: its name belongs to another blog now."""
    await connection.execute("UPDATE blogs SET name = ? WHERE uuid = ?", (name, uuid))


async def set_cursor(
    connection: aiosqlite.Connection, uuid: str, cursor: int | None, cursor_offset: int, pass_newest: int | None
) -> None:
    """Note where the pass under way stands: the next page's `before`, the pages read inside that second, the newest."""
    await connection.execute(
        "UPDATE blogs SET cursor = ?, cursor_offset = ?, pass_newest_timestamp = ? WHERE uuid = ?",
        (cursor, cursor_offset, pass_newest, uuid),
    )


async def begin_pass(connection: aiosqlite.Connection, uuid: str, stage: Pass, now: float) -> None:
    """Begin to look at a blog, from its newest post on; a pass that was under way is given up."""
    await connection.execute(
        "UPDATE blogs SET pass_stage = ?, pass_since = ?, cursor = NULL, cursor_offset = 0,"
        " pass_newest_timestamp = NULL WHERE uuid = ?",
        (stage, now, uuid),
    )


async def end_full_pass(connection: aiosqlite.Connection, uuid: str, now: float) -> None:
    """Note that everything a full pass had not seen is accounted for."""
    await connection.execute(
        "UPDATE blogs SET pass_stage = NULL, pass_since = NULL, full_pass_ended_at = ? WHERE uuid = ?", (now, uuid)
    )


async def finish_pass(connection: aiosqlite.Connection, uuid: str, *, to_the_end: bool = True) -> None:
    """Note that the pass under way has reached its end: later ones need only what is newer than it saw.

    A full pass goes on by settling what it has not seen. One that ended where an earlier one had begun (`to_the_end`
    is false) makes a blog no more complete than it is: what was below may have been removed here meanwhile.
    """
    await connection.execute(
        "UPDATE blogs SET complete = max(complete, ?), cursor = NULL, cursor_offset = 0, pass_newest_timestamp = NULL,"
        " pass_stage = iif(pass_stage = 'full', 'settling', NULL),"
        " pass_since = iif(pass_stage = 'full', pass_since, NULL),"
        " newest_timestamp = max(coalesce(newest_timestamp, pass_newest_timestamp),"
        " coalesce(pass_newest_timestamp, newest_timestamp)) WHERE uuid = ?",
        (to_the_end, uuid),
    )


# --- posts ----------------------------------------------------------------------------------------------------


async def save_page(connection: aiosqlite.Connection, blog_uuid: str, posts: Sequence[Post], seen_at: float) -> int:
    """Store downloaded posts of one blog, the newest reading of each; returns how many were not there before.

    Raises:
        sqlite3.IntegrityError: the blog is not stored.
    """
    ids = {post.id for post in posts}
    known = await _known_ids(connection, blog_uuid, ids)
    await connection.executemany(
        "INSERT INTO posts (blog_uuid, id, timestamp, url, text, tags, rejection, raw, seen_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (blog_uuid, id) DO UPDATE SET timestamp = excluded.timestamp, url = excluded.url,"
        " text = excluded.text, tags = excluded.tags, rejection = excluded.rejection, raw = excluded.raw,"
        " seen_at = excluded.seen_at",
        [
            (
                blog_uuid,
                post.id,
                post.timestamp,
                _storable(post.url),
                _storable(post.text),
                _tags_json(post),
                post.rejection,
                post.raw,
                seen_at,
            )
            for post in posts
        ],
    )
    return len(ids - known)


async def compare(connection: aiosqlite.Connection, blog_uuid: str, posts: Sequence[Post], since: float) -> Compared:
    """What these posts are to those that are stored, before they are saved; `since` is in unix seconds."""
    rows = await connection.execute_fetchall(
        "SELECT id, text, tags, rejection, seen_at FROM posts"
        " WHERE blog_uuid = ? AND id IN (SELECT value FROM json_each(?))",
        (blog_uuid, msgspec.json.encode([post.id for post in posts]).decode()),
    )
    stored = {row["id"]: (row["text"], row["tags"], row["rejection"]) for row in rows}
    return Compared(
        unseen=len(posts) - sum(row["seen_at"] >= since for row in rows),
        changed=sum(
            post.id in stored and stored[post.id] != (_storable(post.text), _tags_json(post), post.rejection)
            for post in posts
        ),
    )


async def unseen_since(db: Database, blog_uuid: str, moment: float, *, limit: int) -> list[str]:
    """Ids of stored posts that were last seen on their blog before the moment (unix seconds), the newest first."""
    async with db.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT id FROM posts WHERE blog_uuid = ? AND seen_at < ? ORDER BY timestamp DESC, id DESC LIMIT ?",
            (blog_uuid, moment, limit),
        )
    return [row["id"] for row in rows]


async def count_seen_since(db: Database, blog_uuid: str, moment: float) -> int:
    """How many posts were seen on their blog since the moment (unix seconds)."""
    async with db.read() as connection:
        (row,) = await connection.execute_fetchall(
            "SELECT count(*) FROM posts WHERE blog_uuid = ? AND seen_at >= ?", (blog_uuid, moment)
        )
    return int(row[0])


async def known_ids(db: Database, blog_uuid: str, ids: Iterable[str]) -> set[str]:
    """Those of `ids` that are stored."""
    async with db.read() as connection:
        return await _known_ids(connection, blog_uuid, ids)


async def count_posts(db: Database, blog_uuid: str) -> PostCounts:
    async with db.read() as connection:
        # Two counts, because each has its own index; one count with two conditions would read every row.
        (row,) = await connection.execute_fetchall(
            "SELECT (SELECT count(*) FROM posts WHERE blog_uuid = ?1),"
            " (SELECT count(*) FROM posts WHERE blog_uuid = ?1 AND rejection IS NULL)",
            (blog_uuid,),
        )
    return PostCounts(all=row[0], valid=row[1])


async def counts_by_blog(db: Database) -> dict[str, PostCounts]:
    """How many posts are stored of each blog, by its UUID. A blog without any is not in it."""
    async with db.read() as connection:
        # Two counts for the same reason as above.
        every = await connection.execute_fetchall("SELECT blog_uuid, count(*) FROM posts GROUP BY blog_uuid")
        valid = await connection.execute_fetchall(
            "SELECT blog_uuid, count(*) FROM posts WHERE rejection IS NULL GROUP BY blog_uuid"
        )
    usable = {str(row[0]): int(row[1]) for row in valid}
    return {str(row[0]): PostCounts(int(row[1]), usable.get(str(row[0]), 0)) for row in every}


async def count_newer(
    connection: aiosqlite.Connection, blog_uuid: str, timestamp: int, *, seen_since: float = 0.0
) -> int:
    """How many stored posts of a blog are newer than `timestamp`, and were seen since then (both unix seconds)."""
    (row,) = await connection.execute_fetchall(
        "SELECT count(*) FROM posts WHERE blog_uuid = ? AND timestamp > ? AND seen_at >= ?",
        (blog_uuid, timestamp, seen_since),
    )
    return int(row[0])


async def valid_posts(
    db: Database, blog_uuid: str, *, since: int | None = None, limit: int | None = None
) -> AsyncIterator[ExamplePost]:
    """The valid posts of a blog, newest first, from `since` (unix seconds) on, at most `limit` of them.

    They are read a page at a time, so that no connection is held while the caller works on them.
    """
    timestamp, post_id = _AFTER_ALL_TIME, ""
    left = limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        async with db.read() as connection:
            rows = list(
                await connection.execute_fetchall(
                    "SELECT id, timestamp, text, url FROM posts"
                    " WHERE blog_uuid = ? AND rejection IS NULL AND (timestamp, id) < (?, ?) AND timestamp >= ?"
                    " ORDER BY timestamp DESC, id DESC LIMIT ?",
                    (blog_uuid, timestamp, post_id, -_AFTER_ALL_TIME if since is None else since, size),
                )
            )
        for row in rows:
            timestamp, post_id = row["timestamp"], row["id"]
            yield ExamplePost(blog_uuid, post_id, timestamp, row["text"], row["url"])
        if len(rows) < size:
            return
        if left is not None:
            left -= size


async def valid_texts(db: Database) -> AsyncIterator[dict[tuple[str, str], str]]:
    """The texts of all valid posts of all blogs, by blog and id, in pages; no connection is held between them.

    A post that is stored or changed meanwhile may be missing, or be there as it was.
    """
    last = ("", "")
    while True:
        async with db.read() as connection:
            rows = await connection.execute_fetchall(
                "SELECT blog_uuid, id, text FROM posts WHERE (blog_uuid, id) > (?, ?) AND rejection IS NULL"
                " ORDER BY blog_uuid, id LIMIT ?",
                (*last, _PAGE),
            )
        page = {(row["blog_uuid"], row["id"]): row["text"] for row in rows}
        if page:
            last = next(reversed(page))
            yield page
        if len(page) < _PAGE:
            return


async def valid_texts_fingerprint(db: Database) -> tuple[str, int]:
    """What tells one moment of the valid posts from another in which a text has changed, and how many there are."""
    async with db.read() as connection:
        (row,) = await connection.execute_fetchall(
            "SELECT count(*), coalesce(sum(length(text)), 0), coalesce(max(timestamp), 0), coalesce(sum(timestamp), 0)"
            " FROM posts WHERE rejection IS NULL"
        )
    return " ".join(map(str, row)), row[0]


async def posts_by_id(db: Database, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], ExamplePost]:
    """Those of these posts (blog and id) that are stored, valid examples or not."""
    found: dict[tuple[str, str], ExamplePost] = {}
    async with db.read() as connection:
        for key in keys:
            for row in await connection.execute_fetchall(
                "SELECT timestamp, text, url FROM posts WHERE blog_uuid = ? AND id = ?", key
            ):
                found[key] = ExamplePost(*key, row["timestamp"], row["text"], row["url"])
    return found


async def rejection_counts(db: Database) -> dict[Rejection, int]:
    """How many stored posts are no examples, by reason, the most frequent first."""
    async with db.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT rejection, count(*) FROM posts WHERE rejection IS NOT NULL GROUP BY rejection ORDER BY 2 DESC, 1"
        )
    return {Rejection(row[0]): row[1] for row in rows}


async def _known_ids(connection: aiosqlite.Connection, blog_uuid: str, ids: Iterable[str]) -> set[str]:
    rows = await connection.execute_fetchall(
        "SELECT id FROM posts WHERE blog_uuid = ? AND id IN (SELECT value FROM json_each(?))",
        (blog_uuid, msgspec.json.encode(list(ids)).decode()),
    )
    return {row["id"] for row in rows}


async def _blogs(db: Database, which: str, parameters: Sequence[object] = ()) -> list[BlogRow]:
    async with db.read() as connection:
        # `which` is one of the literals above.
        rows = await connection.execute_fetchall(f"SELECT * FROM blogs {which}", parameters)  # noqa: S608 - see above
    return [_blog(row) for row in rows]


def _blog(row: sqlite3.Row) -> BlogRow:
    return BlogRow(
        uuid=row["uuid"],
        name=row["name"],
        title=row["title"],
        url=row["url"],
        post_count=row["post_count"],
        cursor=row["cursor"],
        cursor_offset=row["cursor_offset"],
        complete=bool(row["complete"]),
        newest_timestamp=row["newest_timestamp"],
        pass_newest_timestamp=row["pass_newest_timestamp"],
        pass_stage=Pass(row["pass_stage"]) if row["pass_stage"] else None,
        pass_since=row["pass_since"],
        full_pass_ended_at=row["full_pass_ended_at"],
        updated_at=row["updated_at"],
    )


def _tags_json(post: Post) -> str:
    return msgspec.json.encode([_storable(tag) for tag in post.tags]).decode()


def _storable(text: str) -> str:
    """Half a surrogate pair, which JSON can carry, is no text to SQLite: it becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
