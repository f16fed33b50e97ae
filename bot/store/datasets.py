"""Datasets, their examples, and what moderation said of each text."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import aiosqlite

from bot.examples import Dataset, Example
from bot.store.database import Database
from bot.store.facts import mark

TRAINING_FILE_BEHIND = "the training file is behind"
"""The name of a fact: the newest dataset has changed, and its file has not been written since."""

_PAGE = 1000
_DATASET = """
    SELECT id, created_at, digest, developer_message, user_message, screened_with,
        (SELECT coalesce(sum(tokens), 0) FROM examples e
            WHERE e.dataset_id = d.id AND NOT held_out AND set_aside IS NULL) AS tokens,
        (SELECT count(*) FROM examples e WHERE e.dataset_id = d.id AND NOT held_out AND set_aside IS NULL)
            AS training_count,
        (SELECT count(*) FROM examples e WHERE e.dataset_id = d.id AND held_out) AS held_out_count,
        (SELECT count(*) FROM examples e WHERE e.dataset_id = d.id AND set_aside IS NOT NULL) AS set_aside_count
    FROM datasets d
"""


async def add_dataset(
    connection: aiosqlite.Connection,
    *,
    digest: str,
    developer_message: str,
    user_message: str,
    settings: Mapping[str, object],
    examples: Iterable[Example],
    now: float,
) -> int:
    """Freeze the examples under the next number. Returns it; the training file is behind from then on."""
    cursor = await connection.execute(
        "INSERT INTO datasets (created_at, digest, developer_message, user_message, settings) VALUES (?, ?, ?, ?, ?)",
        (now, digest, developer_message, user_message, json.dumps(settings)),
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


async def newest_dataset(database: Database) -> Dataset | None:
    """The dataset made last."""
    async with (
        database.read() as connection,
        connection.execute(f"{_DATASET} ORDER BY id DESC LIMIT 1") as cursor,
    ):
        row = await cursor.fetchone()
    return _dataset(row) if row else None


async def get_dataset(database: Database, dataset_id: int) -> Dataset | None:
    """The dataset with this number."""
    async with database.read() as connection, connection.execute(f"{_DATASET} WHERE id = ?", (dataset_id,)) as cursor:
        row = await cursor.fetchone()
    return _dataset(row) if row else None


async def training_examples(database: Database, dataset_id: int) -> list[Example]:
    """What is trained on: neither held out nor set aside, in the dataset's order."""
    return await _examples(database, dataset_id, "NOT held_out AND set_aside IS NULL")


async def all_examples(database: Database, dataset_id: int) -> list[Example]:
    """Everything in the dataset, in its order."""
    return await _examples(database, dataset_id, "1")


async def held_out_posts(database: Database) -> set[tuple[str, str]]:
    """Blog and id of each post that the newest dataset holds out: never shown in a prompt."""
    return await _posts(database, "held_out AND dataset_id = (SELECT max(id) FROM datasets)")


async def training_posts(database: Database) -> set[tuple[str, str]]:
    """Blog and id of each post that the newest dataset trains on; empty when there is no dataset."""
    return await _posts(database, "NOT held_out AND set_aside IS NULL AND dataset_id = (SELECT max(id) FROM datasets)")


async def posts_set_aside(database: Database) -> set[tuple[str, str]]:
    """Blog and id of each post that the latest screening took out of its dataset, which need not be the newest."""
    return await _posts(
        database,
        "set_aside IS NOT NULL AND dataset_id = (SELECT max(id) FROM datasets WHERE screened_at IS NOT NULL)",
    )


async def judged(database: Database, hashes: Sequence[str], model: str) -> dict[str, tuple[str, ...]]:
    """The categories flagged for each text judged before; an empty tuple means clean. Unjudged texts are absent."""
    found: dict[str, tuple[str, ...]] = {}
    # A page at a time, so that neither a connection nor the event loop is held for long.
    for start in range(0, len(hashes), _PAGE):
        async with database.read() as connection:
            rows = await connection.execute_fetchall(
                "SELECT content_hash, flagged, categories FROM judgements"
                " WHERE model = ? AND content_hash IN (SELECT value FROM json_each(?))",
                (model, json.dumps(hashes[start : start + _PAGE])),
            )
        for row in rows:
            categories: list[str] = json.loads(row["categories"])
            found[row["content_hash"]] = (tuple(categories) or ("unnamed",)) if row["flagged"] else ()
    return found


async def add_judgement(
    connection: aiosqlite.Connection,
    content_hash: str,
    model: str,
    *,
    flagged: bool,
    categories: Sequence[str],
    scores: Mapping[str, float],
    now: float,
) -> None:
    """Remember what a model said of a text."""
    await connection.execute(
        "INSERT OR REPLACE INTO judgements (content_hash, model, flagged, categories, scores, judged_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (content_hash, model, flagged, json.dumps(list(categories)), json.dumps(dict(scores)), now),
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


async def _posts(database: Database, which: str) -> set[tuple[str, str]]:
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            f"SELECT blog_uuid, post_id FROM examples WHERE post_id IS NOT NULL AND {which}"  # noqa: S608 - see the callers
        )
    return {(row[0], row[1]) for row in rows}


async def _examples(database: Database, dataset_id: int, which: str) -> list[Example]:
    async with database.read() as connection, connection.cursor() as cursor:
        # So that each is made in the connection's thread: a large dataset takes longer than the event loop may.
        cursor.row_factory = _example  # pyright: ignore[reportAttributeAccessIssue] - aiosqlite says `type`; sqlite3 calls it
        await cursor.execute(
            "SELECT user, assistant, tokens, blog_uuid, post_id, held_out FROM examples"  # noqa: S608 - see the callers
            f" WHERE dataset_id = ? AND {which} ORDER BY position",
            (dataset_id,),
        )
        return cast("list[Example]", await cursor.fetchall())


def _example(_cursor: object, row: tuple[Any, ...]) -> Example:
    user, assistant, tokens, blog_uuid, post_id, held_out = row
    return Example(user, assistant, tokens, blog_uuid, post_id, bool(held_out))


def _dataset(row: sqlite3.Row) -> Dataset:
    return Dataset(
        id=row["id"],
        created_at=row["created_at"],
        digest=row["digest"],
        developer_message=row["developer_message"],
        user_message=row["user_message"],
        tokens=row["tokens"],
        training_count=row["training_count"],
        held_out_count=row["held_out_count"],
        set_aside_count=row["set_aside_count"],
        screened_with=row["screened_with"],
    )
