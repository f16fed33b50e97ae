"""What was said of texts and decided about examples, what is flagged, and the batches at a service."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import aiosqlite
import msgspec

from bot.drafts import Person
from bot.screening import UNNAMED, Act, BatchState, Decision, Flags, Judgement, ScreeningBatch
from bot.store.database import Database
from bot.store.datasets import TRAINING_FILE_BEHIND
from bot.store.facts import mark

_PAGE = 1000


class ExampleTexts(msgspec.Struct, frozen=True, gc=False):
    """The texts of the example at a position of a dataset."""

    position: int
    user: str
    assistant: str


@dataclass(frozen=True, slots=True)
class PlacedExample:
    """An example with where it came from; `url` is its post's, if that is here."""

    position: int
    user: str
    assistant: str
    url: str | None


# --- judgements -----------------------------------------------------------------------------------------------


async def add_judgements(
    connection: aiosqlite.Connection, model: str, judgements: Mapping[str, Judgement], *, now: float
) -> None:
    """Remember what a model said of texts, by the texts' hashes. What was known of them is replaced."""
    await connection.executemany(
        "INSERT OR REPLACE INTO judgements (content_hash, model, flagged, categories, scores, judged_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [
            (key, model, each.flagged, json.dumps(each.categories), json.dumps(dict(each.scores)), now)
            for key, each in judgements.items()
        ],
    )


async def judged(database: Database, hashes: Sequence[str], model: str | None) -> set[str]:
    """Those of the texts that this model (None: any) has judged."""
    found: set[str] = set()
    # A page at a time, so that neither a connection nor the event loop is held for long.
    for start in range(0, len(hashes), _PAGE):
        async with database.read() as connection:
            rows = await connection.execute_fetchall(
                "SELECT DISTINCT content_hash FROM judgements"
                " WHERE (?1 IS NULL OR model = ?1) AND content_hash IN (SELECT value FROM json_each(?2))",
                (model, json.dumps(hashes[start : start + _PAGE])),
            )
        found.update(row[0] for row in rows)
    return found


async def judgements(database: Database, hashes: Sequence[str], model: str) -> dict[str, Judgement]:
    """What this model said of the texts; those that it has not judged are absent. For a page of texts."""
    async with database.read() as connection, connection.cursor() as cursor:
        # So that each is made in the connection's thread.
        cursor.row_factory = _judgement  # pyright: ignore[reportAttributeAccessIssue] - aiosqlite says `type`; sqlite3 calls it
        await cursor.execute(
            "SELECT content_hash, flagged, categories, scores FROM judgements"
            " WHERE model = ? AND content_hash IN (SELECT value FROM json_each(?))",
            (model, json.dumps(list(hashes))),
        )
        return dict(cast("list[tuple[str, Judgement]]", await cursor.fetchall()))


def _judgement(_cursor: object, row: tuple[Any, ...]) -> tuple[str, Judgement]:
    key, flagged, categories, scores = row
    return key, Judgement(
        flagged=bool(flagged),
        categories=msgspec.json.decode(categories, type=tuple[str, ...]),
        scores=msgspec.json.decode(scores, type=dict[str, float]),
    )


# --- examples -------------------------------------------------------------------------------------------------


async def example_count(database: Database, dataset_id: int) -> int:
    """How many examples a dataset has, those that are set aside or held out included."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall("SELECT count(*) FROM examples WHERE dataset_id = ?", (dataset_id,))
    return next(int(row[0]) for row in rows)


async def texts_after(database: Database, dataset_id: int, position: int) -> list[ExampleTexts]:
    """The next page of a dataset's examples, those after this position; empty at the end."""
    return await _texts(
        database,
        "SELECT position, user, assistant FROM examples WHERE dataset_id = ? AND position > ?"
        " ORDER BY position LIMIT ?",
        (dataset_id, position, _PAGE),
    )


async def texts_at(database: Database, dataset_id: int, positions: Sequence[int]) -> list[ExampleTexts]:
    """The examples at these positions that are still there."""
    found: list[ExampleTexts] = []
    for start in range(0, len(positions), _PAGE):
        found += await _texts(
            database,
            "SELECT position, user, assistant FROM examples"
            " WHERE dataset_id = ? AND position IN (SELECT value FROM json_each(?)) ORDER BY position",
            (dataset_id, json.dumps(positions[start : start + _PAGE])),
        )
    return found


async def _texts(database: Database, query: str, parameters: tuple[object, ...]) -> list[ExampleTexts]:
    async with database.read() as connection, connection.cursor() as cursor:
        cursor.row_factory = _example_texts  # pyright: ignore[reportAttributeAccessIssue] - see above
        await cursor.execute(query, parameters)
        return cast("list[ExampleTexts]", await cursor.fetchall())


def _example_texts(_cursor: object, row: tuple[Any, ...]) -> ExampleTexts:
    return ExampleTexts(*row)


async def placed_examples(database: Database, dataset_id: int, positions: Sequence[int]) -> list[PlacedExample]:
    """The examples at these positions, in the dataset's order."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT e.position, e.user, e.assistant, p.url FROM examples e"
            " LEFT JOIN posts p ON p.blog_uuid = e.blog_uuid AND p.id = e.post_id"
            " WHERE e.dataset_id = ? AND e.position IN (SELECT value FROM json_each(?)) ORDER BY e.position",
            (dataset_id, json.dumps(list(positions))),
        )
    return [PlacedExample(row["position"], row["user"], row["assistant"], row["url"] or None) for row in rows]


async def reasons_set_aside(database: Database, dataset_id: int) -> dict[int, str]:
    """The positions of the examples that are out of training, each with its reason."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT position, set_aside FROM examples WHERE dataset_id = ? AND set_aside IS NOT NULL", (dataset_id,)
        )
    return {row["position"]: row["set_aside"] for row in rows}


async def change_set_aside(
    connection: aiosqlite.Connection, dataset_id: int, reasons: Mapping[int, str | None]
) -> None:
    """Take the examples at these positions out of training, or (None) back into it: the training file is behind."""
    if not reasons:
        return
    await connection.executemany(
        "UPDATE examples SET set_aside = ? WHERE dataset_id = ? AND position = ?",
        [(reason, dataset_id, position) for position, reason in reasons.items()],
    )
    await mark(connection, TRAINING_FILE_BEHIND)


# --- flags ----------------------------------------------------------------------------------------------------


async def flags(database: Database, dataset_id: int) -> dict[int, Flags]:
    """The flagged examples by position, in the dataset's order, each with its categories and their scores."""
    async with database.read() as connection, connection.cursor() as cursor:
        cursor.row_factory = _flags  # pyright: ignore[reportAttributeAccessIssue] - see above
        await cursor.execute(
            "SELECT position, scores FROM screening_flags WHERE dataset_id = ? ORDER BY position", (dataset_id,)
        )
        return dict(cast("list[tuple[int, Flags]]", await cursor.fetchall()))


def _flags(_cursor: object, row: tuple[Any, ...]) -> tuple[int, Flags]:
    scores = msgspec.json.decode(row[1], type=dict[str, float | None])
    return row[0], scores or {UNNAMED: None}


async def replace_flags(connection: aiosqlite.Connection, dataset_id: int, flagged: Mapping[int, Flags]) -> None:
    """From now on these examples are flagged, and no others; an example that is gone stays gone."""
    await connection.execute("DELETE FROM screening_flags WHERE dataset_id = ?", (dataset_id,))
    await connection.executemany(
        "INSERT INTO screening_flags (dataset_id, position, scores)"
        " SELECT dataset_id, position, ?3 FROM examples WHERE dataset_id = ?1 AND position = ?2",
        [(dataset_id, position, json.dumps(dict(scores))) for position, scores in flagged.items()],
    )


# --- decisions ------------------------------------------------------------------------------------------------


async def add_decisions(connection: aiosqlite.Connection, dataset_id: int, decisions: Iterable[Decision]) -> None:
    """Record what was decided, in this order; the decisions' own ids are ignored."""
    await connection.executemany(
        "INSERT INTO screening_decisions"
        " (dataset_id, at, user_id, user_name, what, position, category, value, carried_from)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                dataset_id,
                each.at,
                each.person.id,
                each.person.name,
                each.act,
                each.position,
                each.category,
                each.value,
                each.carried_from,
            )
            for each in decisions
        ],
    )


async def decisions(database: Database, dataset_id: int) -> list[Decision]:
    """Everything that was decided about a dataset's screening, oldest first."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT * FROM screening_decisions WHERE dataset_id = ? ORDER BY id", (dataset_id,)
        )
    return [
        Decision(
            Person(row["user_id"], row["user_name"]),
            Act(row["what"]),
            row["at"],
            row["position"],
            row["category"],
            row["value"],
            row["carried_from"],
            row["id"],
        )
        for row in rows
    ]


async def skip_of(database: Database, dataset_id: int) -> Decision | None:
    """The last decision to use a dataset unscreened."""
    return next((made for made in reversed(await decisions(database, dataset_id)) if made.act is Act.SKIP), None)


async def decided_datasets(database: Database, *, before: int) -> list[int]:
    """The datasets older than this one about which anything was decided, oldest first."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT DISTINCT dataset_id FROM screening_decisions WHERE dataset_id < ? ORDER BY dataset_id", (before,)
        )
    return [row[0] for row in rows]


# --- batches --------------------------------------------------------------------------------------------------


async def add_batch(
    connection: aiosqlite.Connection,
    *,
    job_id: int,
    base_url: str,
    model: str,
    name: str,
    hashes: Sequence[str],
    now: float,
) -> None:
    """Plan a batch."""
    await connection.execute(
        "INSERT INTO screening_batches (job_id, base_url, model, name, hashes, state, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (job_id, base_url, model, name, json.dumps(list(hashes)), BatchState.PLANNED, now),
    )


async def save_batch(connection: aiosqlite.Connection, batch: ScreeningBatch) -> bool:
    """Store everything known of a batch. False, and nothing is stored, when another job has taken it over."""
    cursor = await connection.execute(
        """
        UPDATE screening_batches SET state = ?, hashes = ?, input_file = ?, batch_id = ?, service_state = ?,
            completed = ?, failed = ?, output_file = ?, error_file = ?, error = ? WHERE id = ? AND job_id = ?
        """,
        (
            batch.state,
            json.dumps(batch.hashes),
            batch.input_file,
            batch.batch_id,
            batch.service_state,
            batch.completed,
            batch.failed,
            batch.output_file,
            batch.error_file,
            batch.error,
            batch.id,
            batch.job_id,
        ),
    )
    return cursor.rowcount > 0


async def adopt_batches(connection: aiosqlite.Connection, batches: Sequence[ScreeningBatch], job_id: int) -> None:
    """Let another job go on with these batches, as far as they still stand where they stood."""
    await connection.executemany(
        "UPDATE screening_batches SET job_id = ? WHERE id = ? AND state = ?",
        [(job_id, batch.id, batch.state) for batch in batches],
    )


async def batches_of(database: Database, job_id: int) -> list[ScreeningBatch]:
    """The batches that a job began or went on with, oldest first."""
    return [batch for batch, _ in await _batches(database, "b.job_id = ?", (job_id,))]


async def left_batches(database: Database, base_url: str) -> list[tuple[ScreeningBatch, bool]]:
    """Batches at a service that no job works on, each with whether a person stopped the job that did."""
    return await _batches(
        database,
        "b.base_url = ? AND b.state <> 'done' AND j.state NOT IN ('running', 'cancelling')",
        (base_url,),
    )


async def _batches(
    database: Database, condition: str, parameters: tuple[object, ...]
) -> list[tuple[ScreeningBatch, bool]]:
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT b.*, j.state = 'cancelled' AS stopped FROM screening_batches b JOIN jobs j ON j.id = b.job_id"  # noqa: S608 - see the callers
            f" WHERE {condition} ORDER BY b.id",
            parameters,
        )
    return [(_batch(row), bool(row["stopped"])) for row in rows]


def _batch(row: sqlite3.Row) -> ScreeningBatch:
    return ScreeningBatch(
        id=row["id"],
        job_id=row["job_id"],
        base_url=row["base_url"],
        model=row["model"],
        name=row["name"],
        hashes=msgspec.json.decode(row["hashes"], type=tuple[str, ...]),
        state=BatchState(row["state"]),
        input_file=row["input_file"],
        batch_id=row["batch_id"],
        service_state=row["service_state"],
        completed=row["completed"],
        failed=row["failed"],
        output_file=row["output_file"],
        error_file=row["error_file"],
        error=row["error"],
    )
