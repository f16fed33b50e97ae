"""Jobs as rows: what was asked for, how far it has come, where it is shown."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import aiosqlite
import msgspec

from bot.progress import Progress
from bot.store.database import Database

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"


class JobState(StrEnum):
    """Where a job stands. The last three are final: nothing follows them."""

    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self not in {JobState.RUNNING, JobState.CANCELLING}


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a stage. Times are in unix seconds; `error` is a sentence with its next step."""

    id: int
    kind: str
    parameters: Mapping[str, JSON]
    state: JobState
    progress: Progress | None
    error: str | None
    requested_by: str
    requester_id: int | None
    channel_id: int | None
    message_id: int | None
    message_posted_at: float | None
    created_at: float
    finished_at: float | None
    missing_dollars: float | None = None
    """What the month's budget lacked, where that ended the job."""


async def get_job(db: Database, job_id: int) -> Job | None:
    jobs = await _jobs(db, "WHERE id = ?", (job_id,))
    return jobs[0] if jobs else None


async def active_jobs(db: Database) -> list[Job]:
    """The jobs that are running or being cancelled, oldest first."""
    return await _jobs(db, "WHERE state IN ('running', 'cancelling') ORDER BY id")


async def unshown_jobs(db: Database) -> list[Job]:
    """The finished jobs whose outcome nobody has been shown yet, oldest first."""
    return await _jobs(db, "WHERE state NOT IN ('running', 'cancelling') AND message_final = 0 ORDER BY id")


async def last_job(db: Database, kind: str) -> Job | None:
    jobs = await _jobs(db, "WHERE kind = ? ORDER BY id DESC LIMIT 1", (kind,))
    return jobs[0] if jobs else None


async def newest_jobs(db: Database) -> list[Job]:
    """The newest job of each kind, finished or not, oldest first."""
    return await _jobs(db, "WHERE id IN (SELECT max(id) FROM jobs GROUP BY kind) ORDER BY id")


async def last_successes(db: Database) -> dict[str, float]:
    """When a job of each kind was last done, in unix seconds."""
    async with db.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT kind, max(finished_at) FROM jobs WHERE state = 'succeeded' GROUP BY kind"
        )
    return {str(row[0]): float(row[1]) for row in rows if row[1] is not None}


async def insert_job(
    connection: aiosqlite.Connection,
    kind: str,
    parameters: Mapping[str, JSON],
    *,
    requested_by: str,
    requester_id: int | None,
    channel_id: int | None,
    now: float,
) -> Job:
    """Add a running job.

    Raises:
        sqlite3.IntegrityError: a job of this kind is active already.
    """
    rows = await connection.execute_fetchall(
        "INSERT INTO jobs (kind, parameters, state, requested_by, requester_id, channel_id, created_at)"
        " VALUES (?, ?, 'running', ?, ?, ?, ?) RETURNING *",
        (kind, msgspec.json.encode(parameters).decode(), requested_by, requester_id, channel_id, now),
    )
    return next(_job(row) for row in rows)


async def add_job_offer(
    connection: aiosqlite.Connection, kind: str, parameters: Mapping[str, JSON], *, now: float
) -> int:
    """Keep what a person is asked about, until they say yes. Returns its number."""
    cursor = await connection.execute(
        "INSERT INTO job_offers (created_at, kind, parameters) VALUES (?, ?, ?)",
        (now, kind, msgspec.json.encode(parameters).decode()),
    )
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always has one
    return cursor.lastrowid


async def get_job_offer(db: Database, offer_id: int) -> tuple[str, Mapping[str, JSON], int | None] | None:
    """What was offered: its kind, its parameters, and the job that a press of it has begun."""
    async with db.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT kind, parameters, job_id FROM job_offers WHERE id = ?", (offer_id,)
        )
    for row in rows:
        return row["kind"], msgspec.json.decode(row["parameters"], type=dict[str, Any]), row["job_id"]
    return None


async def take_job_offer(connection: aiosqlite.Connection, offer_id: int, job_id: int) -> None:
    """Note which job a press has begun."""
    await connection.execute("UPDATE job_offers SET job_id = ? WHERE id = ?", (job_id, offer_id))


async def mark_cancelling(connection: aiosqlite.Connection, job_id: int) -> bool:
    """Turn a running job into one that is being cancelled; returns whether it was running."""
    cursor = await connection.execute(
        "UPDATE jobs SET state = 'cancelling' WHERE id = ? AND state = 'running'", (job_id,)
    )
    return cursor.rowcount == 1


async def finish_job(
    connection: aiosqlite.Connection,
    job_id: int,
    state: JobState,
    *,
    progress: Progress | None,
    error: str | None,
    now: float,
    missing_dollars: float | None = None,
) -> None:
    """Write the outcome of an active job, keeping the stored progress if none is given.

    The outcome of a finished job stays as it is.
    """
    await connection.execute(
        "UPDATE jobs SET state = ?, progress = coalesce(?, progress), error = ?, finished_at = ?, missing_dollars = ?"
        " WHERE id = ? AND state IN ('running', 'cancelling')",
        (state, _progress_json(progress), error, now, missing_dollars, job_id),
    )


async def reopen_job(connection: aiosqlite.Connection, job_id: int) -> bool:
    """Let a failed job go on where it stopped; returns whether it had failed.

    Raises:
        sqlite3.IntegrityError: a job of this kind is active.
    """
    cursor = await connection.execute(
        "UPDATE jobs SET state = 'running', error = NULL, finished_at = NULL, missing_dollars = NULL, message_final = 0"
        " WHERE id = ? AND state = 'failed'",
        (job_id,),
    )
    return cursor.rowcount == 1


async def give_up_job(connection: aiosqlite.Connection, job_id: int) -> bool:
    """Turn a failed job into a cancelled one, whose message is to say so; returns whether it had failed."""
    cursor = await connection.execute(
        "UPDATE jobs SET state = 'cancelled', missing_dollars = NULL, message_final = 0"
        " WHERE id = ? AND state = 'failed'",
        (job_id,),
    )
    return cursor.rowcount == 1


async def save_progress(connection: aiosqlite.Connection, jobs: Iterable[Job]) -> None:
    await connection.executemany(
        "UPDATE jobs SET progress = ? WHERE id = ? AND state IN ('running', 'cancelling')",
        [(_progress_json(job.progress), job.id) for job in jobs],
    )


async def set_message(
    connection: aiosqlite.Connection, job_id: int, *, channel_id: int, message_id: int, now: float
) -> None:
    await connection.execute(
        "UPDATE jobs SET channel_id = ?, message_id = ?, message_posted_at = ? WHERE id = ?",
        (channel_id, message_id, now, job_id),
    )


async def set_message_final(connection: aiosqlite.Connection, job_id: int) -> None:
    """Note that the outcome of a finished job has been shown; an active job has none yet."""
    await connection.execute(
        "UPDATE jobs SET message_final = 1 WHERE id = ? AND state NOT IN ('running', 'cancelling')", (job_id,)
    )


async def _jobs(db: Database, which: str, parameters: Sequence[object] = ()) -> list[Job]:
    async with db.read() as connection:
        # `which` is one of the literals above.
        rows = await connection.execute_fetchall(f"SELECT * FROM jobs {which}", parameters)  # noqa: S608 - see above
    return [_job(row) for row in rows]


def _job(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        kind=row["kind"],
        parameters=msgspec.json.decode(row["parameters"], type=dict[str, Any]),
        state=JobState(row["state"]),
        progress=_read_progress(row["progress"]),
        error=row["error"],
        requested_by=row["requested_by"],
        requester_id=row["requester_id"],
        channel_id=row["channel_id"],
        message_id=row["message_id"],
        message_posted_at=row["message_posted_at"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
        missing_dollars=row["missing_dollars"],
    )


def _progress_json(progress: Progress | None) -> str | None:
    return None if progress is None else msgspec.json.encode(progress).decode()


def _read_progress(text: str | None) -> Progress | None:
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Progress)
    except msgspec.DecodeError:
        return None  # another version's; it is only for show, and the stage says the next one soon
