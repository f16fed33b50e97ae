"""The register of voices, and the trainings that lead to them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import aiosqlite
import msgspec

from bot.store.database import Database
from bot.training import Curve, Event, Failure, Offer, Training, TrainingState, Voice, VoiceKind


@dataclass(frozen=True, slots=True)
class Record:
    """How the drafts of a voice were decided. `waiting` are those that nobody has decided yet."""

    drafts: int = 0
    approved: int = 0
    edited: int = 0
    rejected: int = 0
    replaced: int = 0
    waiting: int = 0

    @property
    def approval(self) -> float | None:
        """Which share of the decided drafts was approved, 0 to 1; None before the first decision."""
        decided = self.approved + self.rejected + self.replaced
        return self.approved / decided if decided else None


# --- voices ---------------------------------------------------------------------------------------------------


async def add_voice(connection: aiosqlite.Connection, voice: Voice) -> int:
    """Register a voice (its own id is ignored). Returns its number."""
    if voice.active:
        await connection.execute("UPDATE voices SET active = 0 WHERE active = 1")
    cursor = await connection.execute(
        """
        INSERT INTO voices (kind, name, model, base_url, dataset_id, training_id, developer_message, user_message,
                            cost, active, created_at, settings, shutdown_date)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            voice.kind,
            voice.name,
            voice.model,
            voice.base_url,
            voice.dataset_id,
            voice.training_id,
            voice.developer_message,
            voice.user_message,
            voice.cost,
            voice.active,
            voice.created_at,
            json.dumps(voice.settings),
            voice.shutdown_date.isoformat() if voice.shutdown_date else None,
        ),
    )
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always has one
    return cursor.lastrowid


async def activate_voice(connection: aiosqlite.Connection, voice_id: int) -> None:
    """Write with this voice from now on."""
    await connection.execute("UPDATE voices SET active = 0 WHERE active = 1")
    await connection.execute("UPDATE voices SET active = 1 WHERE id = ?", (voice_id,))


async def activate_none(connection: aiosqlite.Connection) -> None:
    """Let no chosen voice write: what the settings say does."""
    await connection.execute("UPDATE voices SET active = 0 WHERE active = 1")


async def rename_voice(connection: aiosqlite.Connection, voice_id: int, name: str) -> None:
    await connection.execute("UPDATE voices SET name = ? WHERE id = ?", (name, voice_id))


async def retire_voice(connection: aiosqlite.Connection, voice_id: int, *, now: float) -> None:
    """Take a voice out of use; its row, its drafts and what was learned of it stay."""
    await connection.execute("UPDATE voices SET active = 0, retired_at = ? WHERE id = ?", (now, voice_id))


async def bring_back_voice(connection: aiosqlite.Connection, voice_id: int) -> None:
    await connection.execute("UPDATE voices SET retired_at = NULL WHERE id = ?", (voice_id,))


async def note_shutdown(
    connection: aiosqlite.Connection, voice_id: int, shutdown_date: date | None, *, now: float
) -> None:
    """What the service says of the end of a voice's model. Another date is told of anew."""
    new = shutdown_date.isoformat() if shutdown_date else None
    await connection.execute(
        "UPDATE voices SET warned_days = CASE WHEN shutdown_date IS ? THEN warned_days END, shutdown_date = ?,"
        " looked_up_at = ? WHERE id = ?",
        (new, new, now, voice_id),
    )


async def note_warned(connection: aiosqlite.Connection, voice_id: int, days: int) -> None:
    """The owner has been told, so many days before the end."""
    await connection.execute("UPDATE voices SET warned_days = ? WHERE id = ?", (days, voice_id))


async def warned_days(database: Database, voice_id: int) -> int | None:
    """So many days before its end the owner was last told of it."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall("SELECT warned_days FROM voices WHERE id = ?", (voice_id,))
    return next((row[0] for row in rows), None)


async def active_voice(database: Database) -> Voice | None:
    """The voice that a person or a training has chosen to write with."""
    found = await _voices(database, "active = 1", ())
    return found[0] if found else None


async def get_voice(database: Database, voice_id: int) -> Voice | None:
    found = await _voices(database, "id = ?", (voice_id,))
    return found[0] if found else None


async def find_voice(database: Database, kind: VoiceKind, model: str, base_url: str) -> Voice | None:
    """The newest voice of this kind on this model at this service."""
    found = await _voices(database, "kind = ? AND model = ? AND base_url = ?", (kind, model, base_url))
    return found[0] if found else None


async def voice_of_training(database: Database, training_id: int) -> Voice | None:
    """The voice that came of a training."""
    found = await _voices(database, "training_id = ?", (training_id,))
    return found[0] if found else None


async def all_voices(database: Database) -> list[Voice]:
    """Every voice, the newest first; retired ones too."""
    return await _voices(database, "1", ())


async def records(database: Database) -> dict[int, Record]:
    """How the drafts of each voice were decided, by its number."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            """
            SELECT voice_id, count(*) AS drafts,
                count(*) FILTER (WHERE state IN ('approved', 'uploading', 'uploaded', 'unknown')) AS approved,
                count(*) FILTER (WHERE state IN ('approved', 'uploading', 'uploaded', 'unknown')
                                 AND text <> original_text) AS edited,
                count(*) FILTER (WHERE state = 'rejected') AS rejected,
                count(*) FILTER (WHERE state = 'replaced') AS replaced,
                count(*) FILTER (WHERE state = 'pending') AS waiting
            FROM drafts GROUP BY voice_id
            """
        )
    return {row[0]: Record(*tuple(row)[1:]) for row in rows}


# --- trainings ------------------------------------------------------------------------------------------------


async def add_offer(connection: aiosqlite.Connection, offer: Offer, *, now: float) -> int:
    """Keep what is shown to a person before a training (its own id is ignored). Returns its number."""
    cursor = await connection.execute(
        "INSERT INTO training_offers (created_at, kind, dataset_id, base_url, model, epochs, suffix, activate, cost,"
        " service_job_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            now,
            offer.kind,
            offer.dataset_id,
            offer.base_url,
            offer.model,
            offer.epochs,
            offer.suffix,
            offer.activate,
            offer.cost,
            offer.service_job_id,
        ),
    )
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always has one
    return cursor.lastrowid


async def get_offer(database: Database, offer_id: int) -> Offer | None:
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT id, kind, dataset_id, base_url, model, epochs, suffix, activate, cost, service_job_id, job_id"
            " FROM training_offers WHERE id = ?",
            (offer_id,),
        )
    for row in rows:
        return Offer(
            id=row["id"],
            kind=VoiceKind(row["kind"]),
            dataset_id=row["dataset_id"],
            base_url=row["base_url"],
            model=row["model"],
            epochs=row["epochs"],
            suffix=row["suffix"],
            activate=bool(row["activate"]),
            cost=row["cost"],
            service_job_id=row["service_job_id"],
            job_id=row["job_id"],
        )
    return None


async def take_offer(connection: aiosqlite.Connection, offer_id: int, job_id: int) -> None:
    """Note which job a press has begun."""
    await connection.execute("UPDATE training_offers SET job_id = ? WHERE id = ?", (job_id, offer_id))


async def add_training(connection: aiosqlite.Connection, offer: Offer, *, job_id: int, now: float) -> Training:
    """Begin a training on our side, or take over one that runs at the service already."""
    service_job_id = offer.service_job_id or None
    state = TrainingState.RUNNING if service_job_id else TrainingState.PREPARING
    cursor = await connection.execute(
        "INSERT INTO trainings (job_id, dataset_id, base_url, base_model, epochs, state, service_job_id, created_at,"
        " kind, suffix, activate) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            job_id,
            offer.dataset_id,
            offer.base_url,
            offer.model,
            offer.epochs,
            state,
            service_job_id,
            now,
            offer.kind,
            offer.suffix,
            offer.activate,
        ),
    )
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always has one
    return Training(
        id=cursor.lastrowid,
        job_id=job_id,
        dataset_id=offer.dataset_id,
        base_url=offer.base_url,
        base_model=offer.model,
        epochs=offer.epochs,
        state=state,
        kind=offer.kind,
        suffix=offer.suffix,
        activate=offer.activate,
        service_job_id=service_job_id,
        created_at=now,
    )


async def save_training(connection: aiosqlite.Connection, training: Training, *, now: float) -> None:
    """Store everything known of a training."""
    await connection.execute(
        """
        UPDATE trainings SET state = ?, file_id = ?, held_out_file_id = ?, service_job_id = ?, service_state = ?,
            fine_tuned_model = ?, trained_tokens = ?, steps = ?, loss_curve = ?, held_out_curve = ?,
            estimated_finish = ?, events = ?, error = ?, failure = ?, cost = ?, epochs = ?, files_deleted = ?,
            finished_at = ? WHERE id = ?
        """,
        (
            training.state,
            training.file_id,
            training.held_out_file_id,
            training.service_job_id,
            training.service_state,
            training.fine_tuned_model,
            training.trained_tokens,
            training.steps,
            json.dumps(training.loss_curve),
            json.dumps(training.held_out_curve),
            training.estimated_finish,
            msgspec.json.encode(training.events).decode(),
            training.error,
            training.failure,
            training.cost,
            training.epochs,
            training.files_deleted,
            now if training.state.is_final else None,
            training.id,
        ),
    )


async def note_files_deleted(connection: aiosqlite.Connection, training_id: int) -> None:
    """The files of a training are no longer at the service."""
    await connection.execute("UPDATE trainings SET files_deleted = 1 WHERE id = ?", (training_id,))


async def training_of_job(database: Database, job_id: int) -> Training | None:
    """The training that a job began."""
    found = await _trainings(database, "job_id = ? ORDER BY id DESC LIMIT 1", (job_id,))
    return found[0] if found else None


async def get_training(database: Database, training_id: int) -> Training | None:
    found = await _trainings(database, "id = ?", (training_id,))
    return found[0] if found else None


async def abandoned_trainings(database: Database) -> list[tuple[Training, float]]:
    """Trainings that may go on at the service although a person has stopped their job, and when that was (unix)."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            "SELECT trainings.*, jobs.finished_at AS stopped_at FROM trainings JOIN jobs ON jobs.id = trainings.job_id"
            " WHERE trainings.state IN ('preparing', 'uploaded', 'running') AND jobs.state = 'cancelled'"
            " ORDER BY trainings.id"
        )
    return [(_training(row), row["stopped_at"]) for row in rows]


# --- the rows -------------------------------------------------------------------------------------------------


async def _voices(database: Database, condition: str, parameters: Sequence[object]) -> list[Voice]:
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            f"SELECT * FROM voices WHERE {condition} ORDER BY id DESC",  # noqa: S608 - the callers above
            parameters,
        )
    return [
        Voice(
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
            settings=msgspec.json.decode(row["settings"], type=tuple[tuple[str, str], ...]),
            training_id=row["training_id"],
            retired_at=row["retired_at"],
            shutdown_date=date.fromisoformat(row["shutdown_date"]) if row["shutdown_date"] else None,
        )
        for row in rows
    ]


async def _trainings(database: Database, condition: str, parameters: Sequence[object]) -> list[Training]:
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            f"SELECT * FROM trainings WHERE {condition}",  # noqa: S608 - the callers above
            parameters,
        )
    return [_training(row) for row in rows]


def _training(row: sqlite3.Row) -> Training:
    return Training(
        id=row["id"],
        job_id=row["job_id"],
        dataset_id=row["dataset_id"],
        base_url=row["base_url"],
        base_model=row["base_model"],
        epochs=row["epochs"],
        state=TrainingState(row["state"]),
        kind=VoiceKind(row["kind"]),
        suffix=row["suffix"],
        activate=bool(row["activate"]),
        file_id=row["file_id"],
        held_out_file_id=row["held_out_file_id"],
        service_job_id=row["service_job_id"],
        service_state=row["service_state"],
        fine_tuned_model=row["fine_tuned_model"],
        trained_tokens=row["trained_tokens"],
        steps=row["steps"],
        loss_curve=msgspec.json.decode(row["loss_curve"], type=Curve),
        held_out_curve=msgspec.json.decode(row["held_out_curve"], type=Curve),
        estimated_finish=row["estimated_finish"],
        events=msgspec.json.decode(row["events"], type=tuple[Event, ...]),
        error=row["error"],
        failure=Failure(row["failure"]) if row["failure"] else None,
        cost=row["cost"],
        files_deleted=bool(row["files_deleted"]),
        created_at=row["created_at"],
    )
