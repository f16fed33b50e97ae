"""What people do about jobs: begin what was offered, try again, give more money, go on, stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiosqlite

from bot.config import Settings
from bot.drafts import Person
from bot.errors import NothingToDo
from bot.jobs.background import Background
from bot.jobs.runner import JSON, Job, JobRunner, JobState
from bot.language.prices import Estimate
from bot.stages import Stages
from bot.store import jobs, spending, voices
from bot.store.audit import record
from bot.store.database import Database
from bot.store.spending import Standing
from bot.training import Offer, TrainingState

ASK_FROM = 25
"""So many drafts are large enough a run to say first what it will take."""
_ESTIMATED = 3.0  # seconds that a small run waits for its estimate, at the most: it asks nobody, and should begin soon


@dataclass(frozen=True, slots=True)
class WritingPlan:
    """A run of /generate before it begins. Without an `offer_id` it is too small to ask about. Money in US dollars.

    `estimate` is for the run and `hundred` for 100 drafts, without tags and what is written anew; None where neither
    can be told.
    """

    count: int
    offer_id: int | None = None
    voice: str = ""
    estimate: Estimate | None = None
    hundred: Estimate | None = None
    money: Standing | None = None


class JobDesk:
    """Jobs, as people begin and end them. `stopped` are the events to set once a job that was stopped has ended."""

    def __init__(
        self,
        database: Database,
        runner: JobRunner,
        stages: Stages,
        background: Background,
        *,
        settings: Callable[[], Settings],
        stopped: tuple[asyncio.Event, ...],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._runner = runner
        self._stages = stages
        self._background = background
        self._settings = settings
        self._stopped = stopped
        self._clock = clock

    async def cancel(self, job_id: int, person: Person, *, failed_too: bool = False) -> Job | None:
        """Stop a job; its training or batches are then cancelled at the service too. None when there is no such job.

        With `failed_too` one that has failed is given up, and goes on no more.
        """
        if await self._runner.get(job_id) is None:
            return None
        async with self._database.write() as connection:
            await record(connection, person, "stop", f"job {job_id}", now=self._clock())
        job = await self._runner.cancel(job_id)
        if failed_too and job is not None and job.state is JobState.FAILED:
            job = await self._runner.give_up(job_id)
        self._background.spawn(f"after job {job_id}", self._once_stopped(job_id))
        return job

    async def start_training(self, offer_id: int, person: Person, channel_id: int | None) -> Job:
        """Begin what was offered: the one press that lets files be uploaded, and paid for.

        Raises:
            NothingToDo: there is no such offer, or somebody has begun it already.
            JobAlreadyRunning: another training is under way.
        """
        offer = await voices.get_offer(self._database, offer_id)
        if offer is None:
            raise NothingToDo("This offer is gone.", "Use /finetune to see one that holds.")
        if offer.job_id is not None:
            raise NothingToDo("This training was begun already.", "Use /finetune to begin another one.")
        return await self._submit_training(offer, person, channel_id)

    async def is_training_begun(self, offer_id: int) -> bool:
        """Whether somebody has begun what was offered."""
        offer = await voices.get_offer(self._database, offer_id)
        return offer is not None and offer.job_id is not None

    async def retry_training(self, job_id: int, person: Person, channel_id: int | None) -> Job:
        """Do the same again: what was refused halfway goes on from there, what is over begins anew.

        Raises:
            NothingToDo: there is no such training, it has given a voice, or it was begun elsewhere and is over.
            JobAlreadyRunning: a training is under way.
        """
        training = await self._stages.voices.training_of(job_id)
        if training.state is TrainingState.SUCCEEDED:
            raise NothingToDo("This training has given a voice.", "/voices shows it.")
        job = await self._runner.get(job_id)
        offer_id = int(str(job.parameters["offer_id"])) if job else 0
        offer = await voices.get_offer(self._database, offer_id)
        if offer is None:
            raise NothingToDo("This offer is gone.", "Use /finetune to see one that holds.")
        if training.state.is_final and offer.service_job_id:
            raise NothingToDo(
                "This training was begun elsewhere, and is over.",
                "Use /finetune to train; it shows first what that costs.",
            )
        if training.state.is_final:
            return await self._submit_training(offer, person, channel_id)
        reopened = await self._reopen(job_id, person, "retry training")
        if reopened is None:
            raise NothingToDo("This training goes on already.", "Its message says how it stands.")
        return reopened

    async def plan_writing(self, parameters: Mapping[str, JSON]) -> WritingPlan:
        """What a run of /generate will take; kept as an offer where it is large enough to be asked about.

        Raises:
            NothingToDo: there is no such voice, nothing to write like, or no key.
        """
        count = int(str(parameters["count"]))
        if count < ASK_FROM:
            named = parameters.get("voice")
            voice = await (self._stages.register.find(str(named)) if named else self._stages.voices.current())
            try:
                async with asyncio.timeout(_ESTIMATED):
                    run, hundred = await self._stages.voices.likely(voice, count, 100)
            except TimeoutError:
                return WritingPlan(count)
            return WritingPlan(count, estimate=run, hundred=hundred)
        desk = await self._stages.desk(parameters)
        prompt = str(parameters.get("prompt") or desk.voice.user_message)
        estimate = await desk.writer.likely(desk.voice, prompt, count)
        hundred = await desk.writer.likely(desk.voice, prompt, 100)
        now = self._clock()
        async with self._database.write() as connection:
            offer_id = await jobs.add_job_offer(connection, "generate", parameters, now=now)
        budget = self._settings().budget
        money = await spending.standing(self._database, budget.monthly_limit, budget.caps, now)
        return WritingPlan(count, offer_id, desk.voice.name, estimate, hundred, money)

    async def start_writing(self, offer_id: int, person: Person, channel_id: int | None) -> Job:
        """Begin what was offered.

        Raises:
            NothingToDo: there is no such offer, or somebody has begun it already.
            JobAlreadyRunning: another run is under way.
        """
        offer = await jobs.get_job_offer(self._database, offer_id)
        if offer is None or offer[2] is not None:
            raise NothingToDo("This run was begun already, or is gone.", "Use /generate to begin another one.")
        kind, parameters, _ = offer

        async def beside(connection: aiosqlite.Connection, job_id: int) -> None:
            await jobs.take_job_offer(connection, offer_id, job_id)

        return await self._runner.submit(
            kind,
            parameters,
            requested_by=person.name,
            requester_id=person.id,
            channel_id=channel_id,
            beside=beside,
        )

    async def is_writing_begun(self, offer_id: int) -> bool:
        """Whether somebody has begun what was offered."""
        offer = await jobs.get_job_offer(self._database, offer_id)
        return offer is not None and offer[2] is not None

    async def allow_more(self, job_id: int, dollars: float, person: Person) -> Job:
        """Let this month have more than its limit, and the job that stopped at it go on.

        Raises:
            NothingToDo: the job is gone, or does not wait for money.
            JobAlreadyRunning: one of its kind is under way.
        """
        job = await self._runner.get(job_id)

        async def beside(connection: aiosqlite.Connection, _job_id: int) -> None:
            await spending.allow(connection, person, dollars, now=self._clock())
            await record(
                connection, person, "allow more", "this month", now=self._clock(), after=f"{dollars:.2f} dollars more"
            )

        is_waiting = job is not None and job.missing_dollars is not None
        reopened = await self._runner.reopen(job_id, beside=beside) if is_waiting else None
        if reopened is None:
            raise NothingToDo("This job does not wait for money any more.", "Its message says how it stands.")
        return reopened

    async def go_on(self, job_id: int, person: Person) -> None:
        """Let a job that failed go on where it stopped.

        Raises:
            NothingToDo: there is no such job, or it has not failed.
            JobAlreadyRunning: one of its kind is under way.
        """
        if await self._reopen(job_id, person, "go on") is None:
            raise NothingToDo("There is nothing to go on with.", "The job's message says how it stands.")

    async def _reopen(self, job_id: int, person: Person, action: str) -> Job | None:
        async def beside(connection: aiosqlite.Connection, number: int) -> None:
            await record(connection, person, action, f"job {number}", now=self._clock())

        return await self._runner.reopen(job_id, beside=beside)

    async def _submit_training(self, offer: Offer, person: Person, channel_id: int | None) -> Job:
        async def beside(connection: aiosqlite.Connection, job_id: int) -> None:
            await voices.take_offer(connection, offer.id, job_id)
            await record(
                connection,
                person,
                "start training",
                f"dataset {offer.dataset_id}",
                now=self._clock(),
                after=f"follow {offer.service_job_id}"
                if offer.service_job_id
                else f"{offer.model}, {offer.epochs} epochs, about {offer.cost:.2f} dollars",
            )

        return await self._runner.submit(
            "finetune",
            {"offer_id": offer.id},
            requested_by=person.name,
            requester_id=person.id,
            channel_id=channel_id,
            beside=beside,
        )

    async def _once_stopped(self, job_id: int) -> None:
        async for _ in self._runner.follow(job_id):
            pass
        for event in self._stopped:
            event.set()
