"""The register of voices, and the fine-tunings that lead to them."""

from __future__ import annotations

import json
import sqlite3

import aiosqlite
import msgspec

from bot.store.database import Database
from bot.training import Training, TrainingState, Voice, VoiceKind


async def add_voice(connection: aiosqlite.Connection, voice: Voice, *, training_id: int | None = None) -> int:
    """Register a voice (its own id is ignored). Returns its number."""
    if voice.active:
        await connection.execute("UPDATE voices SET active = 0 WHERE active = 1")
    cursor = await connection.execute(
        """
        INSERT INTO voices (kind, name, model, base_url, dataset_id, training_id, developer_message, user_message,
                            cost, active, created_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            voice.kind,
            voice.name,
            voice.model,
            voice.base_url,
            voice.dataset_id,
            training_id,
            voice.developer_message,
            voice.user_message,
            voice.cost,
            voice.active,
            voice.created_at,
        ),
    )
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always has one
    return cursor.lastrowid


async def activate_voice(connection: aiosqlite.Connection, voice_id: int) -> None:
    """Write with this voice from now on."""
    await connection.execute("UPDATE voices SET active = 0 WHERE active = 1")
    await connection.execute("UPDATE voices SET active = 1 WHERE id = ?", (voice_id,))


async def active_voice(database: Database) -> Voice | None:
    """The voice that /generate writes with."""
    return await _voice(database, "active = 1", ())


async def find_voice(database: Database, kind: VoiceKind, model: str, base_url: str) -> Voice | None:
    """The newest voice of this kind on this model at this service."""
    return await _voice(database, "kind = ? AND model = ? AND base_url = ?", (kind, model, base_url))


async def add_training(
    connection: aiosqlite.Connection,
    *,
    job_id: int,
    dataset_id: int,
    base_url: str,
    model: str,
    epochs: int,
    service_job_id: str | None,
    now: float,
) -> Training:
    """Begin a fine-tuning on our side, or take over one that runs at the service already."""
    state = TrainingState.RUNNING if service_job_id else TrainingState.PREPARING
    cursor = await connection.execute(
        "INSERT INTO trainings (job_id, dataset_id, base_url, base_model, epochs, state, service_job_id, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (job_id, dataset_id, base_url, model, epochs, state, service_job_id, now),
    )
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always has one
    return Training(
        id=cursor.lastrowid,
        job_id=job_id,
        dataset_id=dataset_id,
        base_url=base_url,
        base_model=model,
        epochs=epochs,
        state=state,
        service_job_id=service_job_id,
    )


async def save_training(connection: aiosqlite.Connection, training: Training, *, now: float) -> None:
    """Store everything known of a fine-tuning."""
    await connection.execute(
        """
        UPDATE trainings SET state = ?, file_id = ?, service_job_id = ?, service_state = ?, fine_tuned_model = ?,
            trained_tokens = ?, loss_curve = ?, error = ?, epochs = ?, finished_at = ? WHERE id = ?
        """,
        (
            training.state,
            training.file_id,
            training.service_job_id,
            training.service_state,
            training.fine_tuned_model,
            training.trained_tokens,
            json.dumps(training.loss_curve),
            training.error,
            training.epochs,
            now if training.state.is_final else None,
            training.id,
        ),
    )


async def training_of_job(database: Database, job_id: int) -> Training | None:
    """The fine-tuning that a job began."""
    return await _training(database, "job_id = ?", (job_id,))


async def abandoned_trainings(database: Database) -> list[Training]:
    """Fine-tunings that go on at the service although a person has stopped the job that began them."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT t.* FROM trainings t JOIN jobs j ON j.id = t.job_id"
            " WHERE j.state = 'cancelled' AND t.state IN ('preparing', 'uploaded', 'running')"
        )
    return [_training_from(row) for row in rows]


async def _voice(database: Database, condition: str, parameters: tuple[object, ...]) -> Voice | None:
    async with (
        database.read() as connection,
        connection.execute(
            f"SELECT * FROM voices WHERE {condition} ORDER BY id DESC LIMIT 1",  # noqa: S608 - the callers above
            parameters,
        ) as cursor,
    ):
        row = await cursor.fetchone()
    if row is None:
        return None
    return Voice(
        id=row["id"],
        kind=VoiceKind(row["kind"]),
        name=row["name"],
        model=row["model"],
        base_url=row["base_url"],
        dataset_id=row["dataset_id"],
        developer_message=row["developer_message"],
        user_message=row["user_message"],
        cost=row["cost"],
        active=bool(row["active"]),
        created_at=row["created_at"],
    )


async def _training(database: Database, condition: str, parameters: tuple[object, ...]) -> Training | None:
    async with (
        database.read() as connection,
        connection.execute(
            f"SELECT * FROM trainings WHERE {condition} ORDER BY id DESC LIMIT 1",  # noqa: S608 - the callers above
            parameters,
        ) as cursor,
    ):
        row = await cursor.fetchone()
    return _training_from(row) if row else None


def _training_from(row: sqlite3.Row) -> Training:
    return Training(
        id=row["id"],
        job_id=row["job_id"],
        dataset_id=row["dataset_id"],
        base_url=row["base_url"],
        base_model=row["base_model"],
        epochs=row["epochs"],
        state=TrainingState(row["state"]),
        file_id=row["file_id"],
        service_job_id=row["service_job_id"],
        service_state=row["service_state"],
        fine_tuned_model=row["fine_tuned_model"],
        trained_tokens=row["trained_tokens"],
        loss_curve=msgspec.json.decode(row["loss_curve"], type=tuple[tuple[int, float], ...]),
        error=row["error"],
    )
