"""Runs stages as durable jobs: one of a kind at a time, resumed at the next start if the process dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import aiosqlite

from bot.errors import BotError, BudgetReached, Cap, JobAlreadyRunning
from bot.jobs.background import Background, report_unexpected
from bot.logs import reference
from bot.progress import Progress
from bot.store import jobs
from bot.store.database import Database, carry_through
from bot.store.jobs import JSON, Job, JobState

__all__ = ["JSON", "Beside", "Face", "Job", "JobRunner", "JobState", "Stage"]

Stage: TypeAlias = Callable[[Job], AsyncIterator[Progress]]
Face: TypeAlias = Callable[[Job], Coroutine[Any, Any, None]]
Beside: TypeAlias = Callable[[aiosqlite.Connection, int], Coroutine[Any, Any, None]]
"""What is written in the same transaction as a job's row; told its number."""

_SAVE_SECONDS = 1.0
_RETRY_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Live:
    """A job that this process works on."""

    job: Job
    task: asyncio.Task[Any] | None = None
    stage_ended: bool = False
    """From here on the outcome is being written, and cancelling comes too late."""
    saved: Progress | None = None
    """The progress that stands in the row."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def show(self, job: Job) -> None:
        self.job = job
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a job ended."""

    state: JobState
    error: str | None = None
    missing_dollars: float | None = None


class JobRunner:
    """Starts, follows, cancels and resumes jobs. The rows are the truth; only progress may be newer in memory."""

    def __init__(
        self,
        db: Database,
        stages: Mapping[str, Stage],
        background: Background,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._db = db
        self._stages = stages
        self._background = background
        self._clock = clock
        self._live: dict[int, _Live] = {}
        self._faceless: dict[int, Job] = {}
        """What `set_face` will show."""
        self._progress_made = asyncio.Event()
        self._face: Face | None = None
        self._stopping = False

    # --- from start to stop -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Resume what was running when the process ended, and end what was being cancelled."""
        left = await jobs.active_jobs(self._db)
        now = self._clock()
        async with self._db.write() as connection:
            for job in left:
                if job.state is JobState.CANCELLING:
                    await jobs.finish_job(connection, job.id, JobState.CANCELLED, progress=None, error=None, now=now)
        for job in await jobs.unshown_jobs(self._db):
            self._show(job)
        for job in left:
            if job.state is JobState.RUNNING:
                self._begin(job)
        self._background.spawn("save progress", self._save_progress())

    async def stop(self) -> None:
        """End the tasks and leave their jobs running in the database, to be resumed at the next start."""
        self._stopping = True
        tasks = [live.task for live in self._live.values() if live.task]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._save()

    # --- what people do ---------------------------------------------------------------------------------------

    async def submit(
        self,
        kind: str,
        parameters: Mapping[str, JSON],
        *,
        requested_by: str,
        requester_id: int | None,
        channel_id: int | None,
        beside: Beside | None = None,
    ) -> Job:
        """Store a job, together with what is written `beside` it, and begin to work on it.

        Raises:
            JobAlreadyRunning: one of this kind is active.
            BotError: it could not be stored.
        """
        if kind not in self._stages:
            raise ValueError(f"there is no stage {kind!r}")
        # Carried through, because a row without a task would look like a running job until the next start.
        return await carry_through(
            self._submit(
                kind,
                parameters,
                requested_by=requested_by,
                requester_id=requester_id,
                channel_id=channel_id,
                beside=beside,
            )
        )

    async def reopen(self, job_id: int, *, beside: Beside | None = None) -> Job | None:
        """Let a failed job go on where it stopped. None, with nothing written `beside` it, if there is no such job.

        Raises:
            JobAlreadyRunning: one of this kind is active.
            BotError: it could not be stored.
        """
        return await carry_through(self._reopen(job_id, beside))

    async def cancel(self, job_id: int) -> Job | None:
        """Ask a job to stop; returns it as it stands then, or None if there is none.

        A finished job stays as it is. A job whose stage has just ended keeps its outcome.
        """
        return await carry_through(self._cancel(job_id))

    async def give_up(self, job_id: int) -> Job | None:
        """Let a failed job go on no more, and its message say so. None where no such job has failed."""
        return await carry_through(self._give_up(job_id))

    async def follow(self, job_id: int) -> AsyncIterator[Job]:
        """The job as it stands, then as it stands after each change, up to its final state.

        A slow follower misses what was overtaken, and never the last. Without such a job there is nothing.
        """
        live = self._live.get(job_id)
        if live is None:
            job = await self.get(job_id)
            if job is not None:
                yield job
            return
        while True:
            changed, job = live.changed, live.job
            yield job
            if job.state.is_final:
                return
            await changed.wait()

    async def get(self, job_id: int) -> Job | None:
        live = self._live.get(job_id)
        return live.job if live else await jobs.get_job(self._db, job_id)

    async def active(self) -> list[Job]:
        """The jobs that are running or being cancelled, oldest first."""
        return [self._newest(job) for job in await jobs.active_jobs(self._db)]

    async def last(self, kind: str) -> Job | None:
        """The newest job of a kind, finished or not."""
        job = await jobs.last_job(self._db, kind)
        return None if job is None else self._newest(job)

    # --- where people see it ----------------------------------------------------------------------------------

    def set_face(self, face: Face) -> None:
        """From now on let `face` show each job, once for each process: active ones, unshown outcomes, new ones."""
        self._face = face
        faceless, self._faceless = self._faceless, {}
        for job in faceless.values():
            self._show(self._newest(job))

    async def message_posted(self, job_id: int, channel_id: int, message_id: int) -> None:
        """Remember the message that shows a job, so that the next process goes on with it."""
        now = self._clock()
        async with self._db.write() as connection:
            await jobs.set_message(connection, job_id, channel_id=channel_id, message_id=message_id, now=now)
        if live := self._live.get(job_id):
            live.job = replace(live.job, channel_id=channel_id, message_id=message_id, message_posted_at=now)

    async def message_final(self, job_id: int) -> None:
        """Remember that the outcome of a job has been shown."""
        async with self._db.write() as connection:
            await jobs.set_message_final(connection, job_id)
        if job_id not in self._live:
            self._faceless.pop(job_id, None)

    def _show(self, job: Job) -> None:
        if self._face is None:
            self._faceless[job.id] = job
        else:
            self._background.spawn(f"face of {_name(job)}", self._face(job))

    # --- the work ---------------------------------------------------------------------------------------------

    def _begin(self, job: Job) -> None:
        live = self._live[job.id] = _Live(job, saved=job.progress)
        self._background.spawn(_name(job), self._run(live))
        self._show(job)

    async def _submit(
        self,
        kind: str,
        parameters: Mapping[str, JSON],
        *,
        requested_by: str,
        requester_id: int | None,
        channel_id: int | None,
        beside: Beside | None,
    ) -> Job:
        try:
            async with self._db.write() as connection:
                job = await jobs.insert_job(
                    connection,
                    kind,
                    parameters,
                    requested_by=requested_by,
                    requester_id=requester_id,
                    channel_id=channel_id,
                    now=self._clock(),
                )
                if beside is not None:
                    await beside(connection, job.id)
        except sqlite3.IntegrityError as error:
            await self._explain_conflict(kind, error)
            raise
        self._begin(job)
        return job

    async def _reopen(self, job_id: int, beside: Beside | None) -> Job | None:
        job = await self.get(job_id)
        if job is None or job_id in self._live:
            return None
        try:
            async with self._db.write() as connection:
                reopened = await jobs.reopen_job(connection, job_id)
                if reopened and beside is not None:
                    await beside(connection, job_id)
        except sqlite3.IntegrityError as error:
            await self._explain_conflict(job.kind, error)
            raise
        job = await jobs.get_job(self._db, job_id) if reopened else None
        if job is not None:
            self._begin(job)
        return job

    async def _explain_conflict(self, kind: str, error: sqlite3.IntegrityError) -> None:
        for active in await jobs.active_jobs(self._db):
            if active.kind == kind:
                raise JobAlreadyRunning(kind, active.id) from error

    async def _cancel(self, job_id: int) -> Job | None:
        async with self._db.write() as connection:
            marked = await jobs.mark_cancelling(connection, job_id)
            live = self._live.get(job_id)
            if live is None:
                # Nobody works on it: its outcome could not be written, or it is finished and stays so.
                await jobs.finish_job(
                    connection, job_id, JobState.CANCELLED, progress=None, error=None, now=self._clock()
                )
        if marked and live is not None:
            live.show(replace(live.job, state=JobState.CANCELLING))
            if live.task and not live.stage_ended:
                live.task.cancel()
        return await self.get(job_id)

    async def _give_up(self, job_id: int) -> Job | None:
        async with self._db.write() as connection:
            given_up = await jobs.give_up_job(connection, job_id)
        job = await jobs.get_job(self._db, job_id) if given_up else None
        if job is not None:
            self._show(job)
        return job

    async def _run(self, live: _Live) -> None:
        if self._stopping:
            return
        live.task = asyncio.current_task()
        reference.set(f"job {live.job.id}")
        if live.job.state is JobState.CANCELLING:
            outcome = _Outcome(JobState.CANCELLED)
        else:
            outcome = await self._outcome(live)
        live.stage_ended = True
        await carry_through(self._finish(live, outcome))

    async def _outcome(self, live: _Live) -> _Outcome:
        """Run the stage to its end. When the process stops, it raises whatever the stage makes of that."""
        try:
            await self._run_stage(live)
        except asyncio.CancelledError as error:
            if live.job.state is JobState.CANCELLING:
                return _Outcome(JobState.CANCELLED)
            if _is_cancelled(live):
                raise
            # Something inside the stage was cancelled by something else: a defect, not a wish.
            return _Outcome(JobState.FAILED, str(report_unexpected(_name(live.job), error)))
        except Exception as error:
            if live.job.state is JobState.RUNNING and _is_cancelled(live):
                raise
            if isinstance(error, BotError):
                _log.warning("%s: %s", _name(live.job), error)
                # Only the month can be given more; a day and a run end where their caps say.
                missing = error.missing if isinstance(error, BudgetReached) and error.cap is Cap.MONTH else None
                return _Outcome(JobState.FAILED, str(error), missing)
            return _Outcome(JobState.FAILED, str(report_unexpected(_name(live.job), error)))
        return _Outcome(JobState.SUCCEEDED)

    async def _run_stage(self, live: _Live) -> None:
        stage = self._stages.get(live.job.kind)
        if stage is None:
            raise BotError(
                f"This version of the bot has no /{live.job.kind} any more.", "Look at /status for what it has."
            )
        steps = stage(live.job)
        try:
            # Nothing is awaited in this loop, so that a cancellation always reaches the stage where it waits.
            async for progress in steps:
                live.show(replace(live.job, progress=progress))
                self._progress_made.set()
        finally:
            if isinstance(steps, AsyncGenerator):
                await steps.aclose()

    async def _finish(self, live: _Live, outcome: _Outcome) -> None:
        job_id, now = live.job.id, self._clock()
        state, error, missing = outcome.state, outcome.error, outcome.missing_dollars
        is_unwritten = False
        try:
            async with self._db.write() as connection:
                await jobs.finish_job(
                    connection,
                    job_id,
                    state,
                    progress=live.job.progress,
                    error=error,
                    now=now,
                    missing_dollars=missing,
                )
        except (BotError, sqlite3.Error) as failure:
            # The row stays active until it can be written: the next start resumes it, and cancelling ends it.
            state, is_unwritten = JobState.FAILED, True
            if isinstance(failure, BotError):
                error = str(failure)
                _log.error("%s: %s", _name(live.job), failure)
            else:
                error = str(report_unexpected(_name(live.job), failure))
        del self._live[job_id]
        live.show(replace(live.job, state=state, error=error, finished_at=now, missing_dollars=missing))
        if job_id in self._faceless:
            self._faceless[job_id] = live.job
        if is_unwritten:
            self._background.spawn(f"outcome of {_name(live.job)}", self._finish_later(live.job))

    async def _finish_later(self, job: Job) -> None:
        """Write an outcome down as soon as the database takes it: until then no other job of its kind can begin."""
        while True:
            await asyncio.sleep(_RETRY_SECONDS)
            with contextlib.suppress(BotError, sqlite3.Error):
                async with self._db.write() as connection:
                    await jobs.finish_job(
                        connection,
                        job.id,
                        job.state,
                        progress=job.progress,
                        error=job.error,
                        now=self._clock(),
                        missing_dollars=job.missing_dollars,
                    )
                return

    async def _save_progress(self) -> None:
        while True:
            await self._progress_made.wait()
            self._progress_made.clear()
            await self._save()
            await asyncio.sleep(_SAVE_SECONDS)

    async def _save(self) -> None:
        unsaved = [(live, live.job) for live in self._live.values() if live.job.progress is not live.saved]
        if not unsaved:
            return
        try:
            async with self._db.write() as connection:
                await jobs.save_progress(connection, [job for _, job in unsaved])
        except BotError as error:
            _log.warning("Progress could not be saved: %s", error)
        else:
            for live, job in unsaved:
                live.saved = job.progress

    def _newest(self, job: Job) -> Job:
        live = self._live.get(job.id)
        return live.job if live else job


def _is_cancelled(live: _Live) -> bool:
    return live.task is not None and live.task.cancelling() > 0


def _name(job: Job) -> str:
    return f"job {job.id} ({job.kind})"
