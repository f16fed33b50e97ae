"""Datasets: what they are made of, their examples, what their making left out, and the files written of them."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import aiosqlite
import msgspec

from bot.examples import Dataset, Example
from bot.posts import Rejection
from bot.store.database import Database
from bot.store.facts import mark

TRAINING_FILE_BEHIND = "the training file is behind"
"""The name of a fact: the newest dataset has changed, and its file has not been written since."""

MOST_KEPT = 50
"""How many posts of each reason are kept to look at."""
CUSTOM_PROMPTS = "custom prompts"
OWN_LINES = "lines of your own"
"""What is counted beside the blogs: examples of no post, in a dataset made of posts or of an edited file."""
NEWEST = "SELECT max(id) FROM datasets WHERE deleted_at IS NULL"

Part = Literal["training", "held out"]

_PAGE = 1000
_PAGE_WITH_RAW = 100  # a reblog's JSON holds its whole conversation
_AFTER_ALL_TIME = 2**63 - 1
_DATASET = "SELECT id, created_at, digest, developer_message, user_message, screened_with, source FROM datasets"
_PARTS = """
    SELECT coalesce(sum(tokens) FILTER (WHERE NOT held_out AND set_aside IS NULL), 0) AS tokens,
        count(*) FILTER (WHERE NOT held_out AND set_aside IS NULL) AS training_count,
        count(*) FILTER (WHERE held_out) AS held_out_count,
        count(*) FILTER (WHERE set_aside IS NOT NULL) AS set_aside_count
    FROM examples WHERE dataset_id = ?
"""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Posts that did not become examples for one reason. Of `posts` (blog and id) there are `MOST_KEPT` at most.

    Where something else stands in their place, as for duplicates, `kept` has the post that does for each of `posts`,
    two empty texts for a custom prompt.
    """

    reason: str
    count: int
    posts: tuple[tuple[str, str], ...]
    kept: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file made of a dataset, as it was written. `previous_sha256` is its content before, while it is exchanged."""

    sha256: str
    previous_sha256: str | None
    lines: str
    """For each line, parted by line breaks: a hash of its answer, and the blog and post it came from, if any."""


# gc=False for the reason given at `bot.examples.Example`.
class SourcePost(msgspec.Struct, frozen=True, gc=False):
    """A post that may become an example. `timestamp` is in unix seconds; `raw` is there where `rejection` is."""

    id: str
    timestamp: int
    text: str
    rejection: str | None
    raw: bytes | None


# --- what a dataset is made of --------------------------------------------------------------------------------


async def source_posts(
    database: Database, blog_uuid: str, kinds: Collection[Rejection], since: int | None
) -> AsyncIterator[list[SourcePost]]:
    """The valid posts of a blog and those of these kinds, newest first, from `since` (unix seconds) on, in pages."""
    timestamp, post_id = _AFTER_ALL_TIME, ""
    size = _PAGE_WITH_RAW if kinds else _PAGE
    while True:
        page = cast(
            "list[SourcePost]",
            await _made(
                database,
                _source_post,
                "SELECT id, timestamp, text, rejection, iif(rejection IS NULL, NULL, raw) FROM posts"  # noqa: S608 - our own text
                f" WHERE blog_uuid = ? AND {_of_kind(kinds)} AND (timestamp, id) < (?, ?) AND timestamp >= ?"
                " ORDER BY timestamp DESC, id DESC LIMIT ?",
                (blog_uuid, timestamp, post_id, -_AFTER_ALL_TIME if since is None else since, size),
            ),
        )
        if page:
            timestamp, post_id = page[-1].timestamp, page[-1].id
            yield page
        if len(page) < size:
            return


async def older_posts(
    database: Database,
    blog_uuid: str,
    kinds: Collection[Rejection],
    *,
    than: tuple[int, str],
    since: int | None = None,
) -> tuple[int, list[str]]:
    """How many posts `source_posts` would give after one (its time and id), and the ids of the newest of them."""
    which = f"blog_uuid = ? AND {_of_kind(kinds)} AND (timestamp, id) < (?, ?) AND timestamp >= ?"
    parameters = (blog_uuid, *than, -_AFTER_ALL_TIME if since is None else since)
    async with database.read() as connection:
        (row,) = await connection.execute_fetchall(f"SELECT count(*) FROM posts WHERE {which}", parameters)  # noqa: S608 - our own text
        newest = await connection.execute_fetchall(
            f"SELECT id FROM posts WHERE {which} ORDER BY timestamp DESC, id DESC LIMIT {MOST_KEPT}",  # noqa: S608 - our own text
            parameters,
        )
    return row[0], [each[0] for each in newest]


async def rejected_posts(database: Database, without: Collection[Rejection] = ()) -> list[LeftOut]:
    """The stored posts that are no valid examples, by reason, the most frequent first."""
    found: list[LeftOut] = []
    async with database.read() as connection:
        counts = await connection.execute_fetchall(
            "SELECT rejection, count(*) FROM posts WHERE rejection IS NOT NULL GROUP BY rejection ORDER BY 2 DESC, 1"
        )
        for reason, count in counts:
            if reason not in without:
                newest = await connection.execute_fetchall(
                    "SELECT blog_uuid, id FROM posts WHERE rejection = ? ORDER BY timestamp DESC LIMIT ?",
                    (reason, MOST_KEPT),
                )
                found.append(LeftOut(reason, count, tuple((row[0], row[1]) for row in newest)))
    return found


def _of_kind(kinds: Collection[Rejection]) -> str:
    if not kinds:
        return "rejection IS NULL"
    return f"(rejection IS NULL OR rejection IN ({', '.join(repr(kind.value) for kind in sorted(kinds))}))"


# --- datasets -------------------------------------------------------------------------------------------------


async def add_dataset(
    connection: aiosqlite.Connection,
    *,
    digest: str,
    developer_message: str,
    user_message: str,
    settings: Mapping[str, object],
    examples: Iterable[Example],
    now: float,
    source: Literal["posts", "file"] = "posts",
    left_out: Sequence[LeftOut] = (),
) -> int:
    """Freeze the examples under the next number. Returns it; the training file is behind from then on."""
    cursor = await connection.execute(
        "INSERT INTO datasets (created_at, digest, developer_message, user_message, settings, source, left_out)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (now, digest, developer_message, user_message, json.dumps(settings), source, _left_out_json(left_out)),
    )
    dataset_id = cursor.lastrowid
    assert dataset_id is not None  # noqa: S101 - an INSERT always has one
    await connection.executemany(
        "INSERT INTO examples (dataset_id, position, user, assistant, blog_uuid, post_id, tokens, held_out)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (dataset_id, position, e.user, e.assistant, e.blog_uuid, e.post_id, e.tokens, e.held_out)
            for position, e in enumerate(examples)
        ),
    )
    await mark(connection, TRAINING_FILE_BEHIND)
    return dataset_id


async def set_left_out(connection: aiosqlite.Connection, dataset_id: int, left_out: Sequence[LeftOut]) -> None:
    """Note what was left out when the same dataset would have been made again."""
    await connection.execute("UPDATE datasets SET left_out = ? WHERE id = ?", (_left_out_json(left_out), dataset_id))


async def left_out(database: Database, dataset_id: int) -> list[LeftOut]:
    """What did not get into the dataset, and why; empty where there is none of that number."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall("SELECT left_out FROM datasets WHERE id = ?", (dataset_id,))
    return [each for row in rows for each in msgspec.json.decode(row[0], type=list[LeftOut])]


def _left_out_json(found: Sequence[LeftOut]) -> str:
    return msgspec.json.encode(found).decode()


async def newest_dataset(database: Database) -> Dataset | None:
    """The dataset made last of those that are there."""
    return await _dataset(database, "WHERE deleted_at IS NULL ORDER BY id DESC LIMIT 1", ())


async def get_dataset(database: Database, dataset_id: int) -> Dataset | None:
    """The dataset with this number; None where there is none, or it was deleted."""
    return await _dataset(database, "WHERE deleted_at IS NULL AND id = ?", (dataset_id,))


async def training_examples(database: Database, dataset_id: int) -> list[Example]:
    """What is trained on: neither held out nor set aside, in the dataset's order."""
    return await _examples(database, _TRAINED, "ORDER BY position", (dataset_id,))


async def held_out_examples(database: Database, dataset_id: int) -> list[Example]:
    """What is held out and not set aside, in the dataset's order."""
    return await _examples(database, _HELD_OUT, "ORDER BY position", (dataset_id,))


async def all_examples(database: Database, dataset_id: int) -> list[Example]:
    """Everything in the dataset, in its order."""
    return await _examples(database, "dataset_id = ?", "ORDER BY position", (dataset_id,))


async def pages(database: Database, dataset_id: int, part: Part = "training") -> AsyncIterator[list[Example]]:
    """What is trained on, or what is held out, without what is set aside; in the dataset's order, in pages."""
    which = _TRAINED if part == "training" else _HELD_OUT
    async with database.read() as connection:
        (row,) = await connection.execute_fetchall(
            "SELECT coalesce(max(position), -1) FROM examples WHERE dataset_id = ?", (dataset_id,)
        )
    # By their places, which have gaps where something was removed.
    for start in range(0, row[0] + 1, _PAGE):
        query = f"{which} AND position >= ? AND position < ?"
        if page := await _examples(database, query, "ORDER BY position", (dataset_id, start, start + _PAGE)):
            yield page


async def random_examples(database: Database, dataset_id: int, count: int, dice: random.Random) -> list[Example]:
    """Some of what is trained on, in no order; all of it where there is no more than that."""
    query = f"SELECT position FROM examples WHERE {_TRAINED}"  # noqa: S608 - our own text
    positions = cast("list[int]", await _made(database, _first, query, (dataset_id,)))
    chosen = dice.sample(positions, min(count, len(positions)))
    found = await _examples(
        database,
        "dataset_id = ? AND position IN (SELECT value FROM json_each(?))",
        "",
        (dataset_id, json.dumps(chosen)),
    )
    dice.shuffle(found)
    return found


async def example_lengths(database: Database, dataset_id: int) -> list[int]:
    """The tokens of each example that is trained on, in the dataset's order."""
    query = f"SELECT tokens FROM examples WHERE {_TRAINED} ORDER BY position"  # noqa: S608 - our own text
    return cast("list[int]", await _made(database, _first, query, (dataset_id,)))


async def posts_per_month(database: Database, dataset_id: int) -> list[tuple[str, int]]:
    """How many posts of each month (UTC, such as "2024-05") are in the dataset, held out or not; oldest first.

    Without those that are set aside and those of unknown time. Months without any are not in it.
    """
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT strftime('%Y-%m', p.timestamp, 'unixepoch'), count(*) FROM examples e"
            " JOIN posts p ON p.blog_uuid = e.blog_uuid AND p.id = e.post_id"
            " WHERE e.dataset_id = ? AND e.set_aside IS NULL AND p.timestamp > 0 GROUP BY 1 ORDER BY 1",
            (dataset_id,),
        )
    return [(row[0], row[1]) for row in rows]


async def counts_per_blog(database: Database, dataset_id: int) -> list[tuple[str, int]]:
    """How many examples of each blog (by its name) are trained on, the most first, then those that come of no post."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT coalesce(b.name, e.blog_uuid), e.count, d.source FROM (SELECT blog_uuid, count(*) AS count"  # noqa: S608 - our own text
            f" FROM examples WHERE {_TRAINED} GROUP BY blog_uuid) e"
            " JOIN datasets d ON d.id = ? LEFT JOIN blogs b ON b.uuid = e.blog_uuid"
            " ORDER BY e.blog_uuid IS NULL, e.count DESC, 1",
            (dataset_id, dataset_id),
        )
    return [(row[0] or (OWN_LINES if row[2] == "file" else CUSTOM_PROMPTS), row[1]) for row in rows]


async def held_out_posts(database: Database) -> set[tuple[str, str]]:
    """Blog and id of each post that the newest dataset holds out: never shown in a prompt."""
    return await _posts(database, f"held_out AND dataset_id = ({NEWEST})")


async def training_posts(database: Database) -> set[tuple[str, str]]:
    """Blog and id of each post that the newest dataset trains on; empty when there is no dataset."""
    return await _posts(database, f"NOT held_out AND set_aside IS NULL AND dataset_id = ({NEWEST})")


async def posts_set_aside(database: Database) -> set[tuple[str, str]]:
    """Blog and id of each post that the latest screening took out of its dataset, which need not be the newest."""
    return await _posts(
        database,
        f"set_aside IS NOT NULL AND dataset_id = ({NEWEST} AND screened_at IS NOT NULL)",
    )


async def set_aside(
    connection: aiosqlite.Connection, dataset_id: int, reasons: Mapping[int, str], *, model: str, now: float
) -> None:
    """End a screening: take the examples at these positions out of training, each with its reason.

    The training file is behind from then on.
    """
    await connection.execute(
        "UPDATE examples SET set_aside = NULL WHERE dataset_id = ? AND set_aside IS NOT NULL", (dataset_id,)
    )
    await connection.executemany(
        "UPDATE examples SET set_aside = ? WHERE dataset_id = ? AND position = ?",
        ((reason, dataset_id, position) for position, reason in reasons.items()),
    )
    await connection.execute(
        "UPDATE datasets SET screened_with = ?, screened_at = ? WHERE id = ?", (model, now, dataset_id)
    )
    await mark(connection, TRAINING_FILE_BEHIND)


# --- the files ------------------------------------------------------------------------------------------------


async def written_file(database: Database, part: Part) -> WrittenFile | None:
    """The file as it was last written; None if that was before this was noted, or never."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT sha256, previous_sha256, lines FROM training_files WHERE part = ?", (part,)
        )
    return next((WrittenFile(row[0], row[1], row[2]) for row in rows), None)


async def set_written_file(connection: aiosqlite.Connection, part: Part, written: WrittenFile | None) -> None:
    """Note how the file is written; None where it is gone."""
    await connection.execute("DELETE FROM training_files WHERE part = ?", (part,))
    if written is not None:
        await connection.execute(
            "INSERT INTO training_files (part, sha256, previous_sha256, lines) VALUES (?, ?, ?, ?)",
            (part, written.sha256, written.previous_sha256, written.lines),
        )


async def posts_of_texts(database: Database, texts: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Blog and id of a stored post with just this text, for each of the texts that has one."""
    found: dict[str, tuple[str, str]] = {}
    for start in range(0, len(texts), _PAGE):
        async with database.read() as connection:
            rows = await connection.execute_fetchall(
                "SELECT text, blog_uuid, id FROM posts WHERE text IN (SELECT value FROM json_each(?))",
                (json.dumps(texts[start : start + _PAGE]),),
            )
        found |= {row[0]: (row[1], row[2]) for row in rows}
    return found


async def stored_posts(database: Database, posts: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of these posts (blog and id) that are stored."""
    found: set[tuple[str, str]] = set()
    for start in range(0, len(posts), _PAGE):
        async with database.read() as connection:
            rows = await connection.execute_fetchall(
                "SELECT blog_uuid, id FROM posts WHERE (blog_uuid, id) IN"
                " (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))",
                (json.dumps(posts[start : start + _PAGE]),),
            )
        found |= {(row[0], row[1]) for row in rows}
    return found


# --- the pieces -----------------------------------------------------------------------------------------------

_TRAINED = "dataset_id = ? AND NOT held_out AND set_aside IS NULL"
_HELD_OUT = "dataset_id = ? AND held_out AND set_aside IS NULL"


async def _posts(database: Database, which: str) -> set[tuple[str, str]]:
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            f"SELECT blog_uuid, post_id FROM examples WHERE post_id IS NOT NULL AND {which}"  # noqa: S608 - see the callers
        )
    return {(row[0], row[1]) for row in rows}


async def _examples(database: Database, which: str, order: str, parameters: Sequence[object]) -> list[Example]:
    query = f"SELECT user, assistant, tokens, blog_uuid, post_id, held_out FROM examples WHERE {which} {order}"  # noqa: S608 - see the callers
    return cast("list[Example]", await _made(database, _example, query, parameters))


async def _made(database: Database, make: Callable[..., object], query: str, parameters: Sequence[object]) -> object:
    """A list of what `make` makes of each row.

    It is made in the connection's thread: a large dataset takes longer than the event loop may.
    """
    async with database.read() as connection, connection.cursor() as cursor:
        cursor.row_factory = make  # pyright: ignore[reportAttributeAccessIssue] - aiosqlite says `type`; sqlite3 calls it
        await cursor.execute(query, parameters)
        return await cursor.fetchall()


def _first(_cursor: object, row: tuple[Any, ...]) -> object:
    return row[0]


def _source_post(_cursor: object, row: tuple[Any, ...]) -> SourcePost:
    return SourcePost(*row)


def _example(_cursor: object, row: tuple[Any, ...]) -> Example:
    user, assistant, tokens, blog_uuid, post_id, held_out = row
    return Example(user, assistant, tokens, blog_uuid, post_id, bool(held_out))


async def _dataset(database: Database, which: str, parameters: Sequence[object]) -> Dataset | None:
    async with database.read() as connection:
        for row in await connection.execute_fetchall(f"{_DATASET} {which}", parameters):
            (parts,) = await connection.execute_fetchall(_PARTS, (row["id"],))
            return Dataset(
                id=row["id"],
                created_at=row["created_at"],
                digest=row["digest"],
                developer_message=row["developer_message"],
                user_message=row["user_message"],
                tokens=parts["tokens"],
                training_count=parts["training_count"],
                held_out_count=parts["held_out_count"],
                set_aside_count=parts["set_aside_count"],
                screened_with=row["screened_with"],
                source=row["source"],
            )
    return None
