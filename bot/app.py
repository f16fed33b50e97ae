"""The composition root: builds every part once, starts them in order, and stops them in the other."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import aiosqlite

from bot import consent
from bot.account import TumblrAccount
from bot.backup import keep_nightly
from bot.budget_watch import BudgetWatch
from bot.comparison_desk import ComparisonDesk
from bot.config import (
    NEEDS_RESTART,
    Settings,
    Use,
    option_text,
    options,
    parse_options,
    secrets_elsewhere,
    with_options,
    write_options,
)
from bot.data_desk import DataDesk
from bot.draft_desk import DraftDesk
from bot.drafts import Person
from bot.errors import BotError, NothingToDo, OptionRefused, SettingsError
from bot.jobs.background import Background, report_unexpected
from bot.jobs.runner import JSON, Job, JobRunner
from bot.language.endpoint import ModelService
from bot.language.prices import Estimate
from bot.model_services import ModelServices
from bot.option_desk import OptionDesk
from bot.pipeline import screening
from bot.pipeline.download import Wanted, download
from bot.pipeline.examples import ExampleRules, make_examples
from bot.pipeline.finetune import cancel_abandoned, finetune
from bot.pipeline.generate import Desk, Reblogging, Tagging, generate, rewrite_replaced
from bot.pipeline.guards import Guards, PostIndex
from bot.pipeline.moderate import InBatches, moderate
from bot.pipeline.moderate_batches import look_after_batches
from bot.pipeline.publish import LOOK_AFTER, RETRY_AFTER, publish
from bot.pipeline.remove import remove
from bot.pipeline.retention import delete_posts, keep_retention
from bot.pipeline.screening import Flagged, Screening
from bot.progress import Progress
from bot.secret_desk import SecretDesk
from bot.settings_watch import SettingsWatch
from bot.shutdown_watch import ShutdownWatch
from bot.store import consents, jobs, spending, voices
from bot.store import posts as post_store
from bot.store.audit import record
from bot.store.consents import Consent
from bot.store.database import Database
from bot.store.purge import Purged
from bot.store.spending import Standing
from bot.training import Offer, TrainingState
from bot.tumblr.identifiers import parse_identifier
from bot.tumblr.quota import MINUTE_CALLS, Governor
from bot.voice_desk import VoiceDesk
from bot.voice_register import VoiceRegister

_log = logging.getLogger(__name__)
_DAY = 86_400.0
_COURIER_REST = 300.0  # seconds after which the courier looks again by itself


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the bot waits between looks, in seconds. The demo and the tests hurry."""

    message_edit: float = 2.0
    training_poll: float = 10.0
    """Between looks at a training, and at the batches of a screening."""
    reminder_look: float = 60.0
    notice_look: float = 10.0
    """Between looks for what the owner is to be told."""
    settings_look: float = 3.0
    """Between looks at config.toml, which somebody may edit."""
    first_backup: float = 60.0
    """After a start; by then whatever was under way goes on."""
    first_check: float | None = 10.0
    """After the client is ready; None: the bot does not look at itself."""
    clock_look: float | None = 30.0
    """Between looks at whether the clock was set; None: it is not looked at."""
    look_after: tuple[float, ...] = LOOK_AFTER
    retry_after: tuple[float, ...] = RETRY_AFTER
    tumblr_deadline: float = 30.0
    tumblr_retry: float = 1.0
    tumblr_calls: int = MINUTE_CALLS
    """How many calls to Tumblr a minute may have; a stand-in takes more."""


ASK_FROM = 25
"""So many drafts are large enough a run to say first what it will take."""


@dataclass(frozen=True, slots=True)
class WritingPlan:
    """A run of /generate before it begins. Without an `offer_id` it is too small to ask about. Money in US dollars."""

    count: int
    offer_id: int | None = None
    voice: str = ""
    estimate: Estimate | None = None
    money: Standing | None = None


class App:
    """Everything but Discord. `start()` before the client logs in, `stop()` after it has closed."""

    def __init__(
        self,
        settings: Settings,
        settings_path: Path,
        *,
        pace: Pace | None = None,
        overrides: Mapping[str, object] | None = None,
        clock: Callable[[], float] = time.time,
        dice: random.Random | None = None,
    ) -> None:
        """`overrides` are the options that the command line names, for this run only."""
        self.settings = settings
        self.pace = pace or Pace()
        self.clock = clock
        self.started_at = clock()
        self.drafts_changed = asyncio.Event()
        """Set whenever a draft's message may be behind its row."""
        self._settings_path = settings_path
        self._overrides = overrides or {}
        self.dice = dice or random.Random()  # noqa: S311 - chances, not secrets
        self._to_upload = asyncio.Event()
        self._to_rewrite = asyncio.Event()
        self._to_cancel = asyncio.Event()
        self._to_end_batches = asyncio.Event()
        self._to_purge = asyncio.Event()
        self._to_watch = asyncio.Event()
        self._couriers: list[asyncio.Event] = []
        """What wakes each of them."""
        self._next_purge = 0.0  # unix seconds
        self._next_backup = 0.0  # unix seconds
        self._services = ModelServices(lambda: self.settings)
        self._voices: VoiceDesk | None = None
        self._drafts: DraftDesk | None = None
        self._post_index = PostIndex()
        # There from `start()` on:
        self.register: VoiceRegister
        self.comparisons: ComparisonDesk
        self.watch: ShutdownWatch
        self.budget_watch: BudgetWatch
        self.options: OptionDesk
        self.data: DataDesk
        self.secrets: SecretDesk
        self.settings_watch = SettingsWatch(
            settings_path,
            self._overrides,
            settings=lambda: self.settings,
            use=self._use,
            database=lambda: self.database,
            clock=clock,
            every=self.pace.settings_look,
        )
        self.background = Background()
        self._database: Database | None = None
        self._stopped = False
        self._runner: JobRunner | None = None
        self.account = TumblrAccount(
            settings_path,
            settings=lambda: self.settings,
            use=self._use,
            choose=self._choose,
            database=lambda: self.database,
            governor=Governor(clock, minute_calls=self.pace.tumblr_calls),
            deadline=self.pace.tumblr_deadline,
            retry_wait=self.pace.tumblr_retry,
        )
        self.tumblr, self.tumblr_in_bulk = self.account.tumblr, self.account.tumblr_in_bulk

    @property
    def database(self) -> Database:
        """The open store. Raises RuntimeError before `start()`."""
        if self._database is None:
            raise RuntimeError("the app has not been started")
        return self._database

    @property
    def runner(self) -> JobRunner:
        """The job runner. Raises RuntimeError before `start()`."""
        if self._runner is None:
            raise RuntimeError("the app has not been started")
        return self._runner

    @property
    def voices(self) -> VoiceDesk:
        """What people do about voices. Raises RuntimeError before `start()`."""
        if self._voices is None:
            raise RuntimeError("the app has not been started")
        return self._voices

    @property
    def drafts(self) -> DraftDesk:
        """What people do about drafts. Raises RuntimeError before `start()`."""
        if self._drafts is None:
            raise RuntimeError("the app has not been started")
        return self._drafts

    async def start(self) -> None:
        """Open the store and go on with whatever was under way.

        Raises:
            BotError: the store cannot be opened.
        """
        self._database = await Database.open(self.settings.database_file)
        self._voices = VoiceDesk(
            self._database,
            self._services,
            settings=lambda: self.settings,
            remember=self._remember,
            poll_seconds=self.pace.training_poll,
            clock=self.clock,
        )
        parts = self._database, self._services, self._voices
        self.register = VoiceRegister(*parts, settings=lambda: self.settings, choose=self._choose, clock=self.clock)
        self.comparisons = ComparisonDesk(
            self._database,
            self._voices,
            self.register,
            settings=lambda: self.settings,
            dice=self.dice,
            clock=self.clock,
        )
        self.watch = ShutdownWatch(*parts, settings=lambda: self.settings, clock=self.clock)
        self.budget_watch = BudgetWatch(self._database, settings=lambda: self.settings, clock=self.clock)
        self.secrets = SecretDesk(
            self._database,
            self._settings_path,
            settings=lambda: self.settings,
            use=self._use,
            account=self.account,
            clock=self.clock,
        )
        await self.settings_watch.begin()
        self.options = OptionDesk(
            self._database,
            self._settings_path,
            self._overrides,
            settings=lambda: self.settings,
            change=self.change_options,
            clock=self.clock,
        )
        self.data = DataDesk(
            self._database,
            self._settings_path,
            settings=lambda: self.settings,
            drafts_changed=self.drafts_changed,
            clock=self.clock,
        )
        self._drafts = DraftDesk(
            self._database,
            settings=lambda: self.settings,
            changed=self.drafts_changed,
            to_upload=self._to_upload,
            to_rewrite=self._to_rewrite,
            clock=self.clock,
        )
        await self.account.recall_quota()
        await self.background.start()
        stages = {
            "download": self._download,
            "examples": self._examples,
            "moderate": self._moderate,
            "finetune": self._finetune,
            "generate": self._generate,
            "compare": self.comparisons.write,
        }
        self._runner = JobRunner(self._database, stages, self.background, clock=self.clock)
        await self._runner.start()
        self._next_backup = self.clock() + self.pace.first_backup
        # Each works once at the start: something may have been left over.
        self.drafts_changed.set()
        for name, wake, work in (
            ("uploads", self._to_upload, self._upload),
            ("regenerated drafts", self._to_rewrite, self._rewrite),
            ("stopped trainings", self._to_cancel, self._cancel_trainings),
            ("batches of screenings", self._to_end_batches, self._end_batches),
            ("Tumblr's quota", self.account.quota_changed, self.account.keep_quota),
            ("retention", self._to_purge, self._keep_retention),
            ("shutdown dates", self._to_watch, self.watch.look),
            ("expiry of drafts", asyncio.Event(), self._drafts.let_expire),
            ("config.toml", asyncio.Event(), self.settings_watch.look),
            ("nightly backup", asyncio.Event(), self._back_up),
        ):
            self._couriers.append(wake)
            self.background.spawn(name, self._keep(name, wake, work))

    def clock_was_set(self, jump: float) -> None:
        """Let whatever waits for a moment look again: the clock went forward by so many seconds, or back."""
        self.tumblr.governor.clock_was_set(jump)
        self.watch.ask_all_again()
        self._next_purge = self._next_backup = 0.0
        for wake in self._couriers:
            wake.set()

    async def stop(self) -> None:
        """Stop everything. Jobs stay marked as running, and go on at the next start."""
        try:
            if self._runner is not None:
                await self._runner.stop()
            await self.background.stop()
            await self.close_connections()
            if self._database is not None and not self._stopped:
                self._stopped = True
                with suppress(BotError):  # the disk is full, say: then the first answer tells what is left
                    await self.account.keep_quota()
        finally:
            if self._database is not None:
                await self._database.close()  # its threads would keep the process alive

    async def close_connections(self) -> None:
        """Close what talks to the services; enough where the app was never started, as in `check`."""
        await self._services.close()
        await self.tumblr.close()
        await self.tumblr_in_bulk.close()

    # --- what a person's press does ---------------------------------------------------------------------------

    async def change_options(
        self,
        values: Mapping[str, object],
        person: Person,
        *,
        beside: Callable[[aiosqlite.Connection], Awaitable[None]] | None = None,
    ) -> str:
        """Put options (dotted names) into force and into config.toml; returns a sentence if that will not last.

        Those that need a restart go into config.toml alone. `beside` shares the transaction of the audit rows.

        Raises:
            OptionRefused: a value is not allowed, or needs a restart and config.toml cannot be written; nothing was
                changed.
        """
        try:
            new = parse_options(values)
        except SettingsError as error:
            raise OptionRefused(" ".join(error.problems), "Nothing was changed.") from None
        changed = with_options(self.settings, new)
        async with self.database.write() as connection:
            for name in new:
                before, after = option_text(self.settings, name), option_text(changed, name)
                await record(connection, person, "set option", name, now=self.clock(), before=before, after=after)
            if beside is not None:
                await beside(connection)
            later = {name: value for name, value in new.items() if name in NEEDS_RESTART}
            if later and not await self._write_down(later):
                names = " and ".join(f"`{name}`" for name in later)
                raise OptionRefused(
                    f"config.toml could not be written, and {names} needs that.", "Nothing was changed."
                )
        self._use({name: value for name, value in new.items() if name not in later})
        return await self._lasts(new, written=await self._write_down(new))

    async def known_blogs(self) -> list[str]:
        """Names of blogs that a person may mean: the account's, those with consent, those that are here."""
        own = [blog.name for blog in await consents.own_blogs(self.database)]
        allowed = [each.blog_name for each in await consents.consents(self.database) if each.revoked_at is None]
        here = [blog.name for blog in await post_store.blogs(self.database)]
        return list(dict.fromkeys([*own, *allowed, *here]))

    async def cancel_job(self, job_id: int, person: Person, *, failed_too: bool = False) -> Job | None:
        """Stop a job; its training or batches are then cancelled at the service too. None when there is no such job.

        With `failed_too` one that has failed is given up, and goes on no more.
        """
        if await self.runner.get(job_id) is None:
            return None
        async with self.database.write() as connection:
            await record(connection, person, "stop", f"job {job_id}", now=self.clock())
        job = await self.runner.cancel(job_id)
        if failed_too and job is not None and job.state is jobs.JobState.FAILED:
            job = await self.runner.give_up(job_id)
        self.background.spawn(f"after job {job_id}", self._once_stopped(job_id))
        return job

    async def start_training(self, offer_id: int, person: Person, channel_id: int | None) -> Job:
        """Begin what was offered: the one press that lets files be uploaded, and paid for.

        Raises:
            NothingToDo: there is no such offer, or somebody has begun it already.
            JobAlreadyRunning: another training is under way.
        """
        offer = await voices.get_offer(self.database, offer_id)
        if offer is None:
            raise NothingToDo("This offer is gone.", "Use /finetune to see one that holds.")
        if offer.job_id is not None:
            raise NothingToDo("This training was begun already.", "Use /finetune to begin another one.")
        return await self._submit_training(offer, person, channel_id)

    async def plan_writing(self, parameters: Mapping[str, JSON]) -> WritingPlan:
        """What a run of /generate will take; kept as an offer where it is large enough to be asked about.

        Raises:
            NothingToDo: there is no such voice, nothing to write like, or no key.
        """
        count = int(str(parameters["count"]))
        if parameters.get("voice"):
            await self.register.find(str(parameters["voice"]))
        if count < ASK_FROM:
            return WritingPlan(count)
        desk = await self._desk(parameters)
        prompt = str(parameters.get("prompt") or desk.voice.user_message)
        estimate = await desk.writer.likely(desk.voice, prompt, count)
        now = self.clock()
        async with self.database.write() as connection:
            offer_id = await jobs.add_job_offer(connection, "generate", parameters, now=now)
        budget = self.settings.budget
        money = await spending.standing(self.database, budget.monthly_limit, budget.caps, now)
        return WritingPlan(count, offer_id, desk.voice.name, estimate, money)

    async def start_writing(self, offer_id: int, person: Person, channel_id: int | None) -> Job:
        """Begin what was offered.

        Raises:
            NothingToDo: there is no such offer, or somebody has begun it already.
            JobAlreadyRunning: another run is under way.
        """
        offer = await jobs.get_job_offer(self.database, offer_id)
        if offer is None or offer[2] is not None:
            raise NothingToDo("This run was begun already, or is gone.", "Use /generate to begin another one.")
        kind, parameters, _ = offer

        async def beside(connection: aiosqlite.Connection, job_id: int) -> None:
            await jobs.take_job_offer(connection, offer_id, job_id)

        return await self.runner.submit(
            kind,
            parameters,
            requested_by=person.name,
            requester_id=person.id,
            channel_id=channel_id,
            beside=beside,
        )

    async def retry_training(self, job_id: int, person: Person, channel_id: int | None) -> Job:
        """Do the same again: what was refused halfway goes on from there, what is over begins anew.

        Raises:
            NothingToDo: there is no such training, or it has given a voice.
            JobAlreadyRunning: a training is under way.
        """
        training = await self.voices.training_of(job_id)
        if training.state is TrainingState.SUCCEEDED:
            raise NothingToDo("This training has given a voice.", "/voices shows it.")
        job = await self.runner.get(job_id)
        offer_id = int(str(job.parameters["offer_id"])) if job else 0
        offer = await voices.get_offer(self.database, offer_id)
        if offer is None:
            raise NothingToDo("This offer is gone.", "Use /finetune to see one that holds.")
        if training.state.is_final:
            return await self._submit_training(offer, person, channel_id)

        async def beside(connection: aiosqlite.Connection, number: int) -> None:
            await record(connection, person, "retry training", f"job {number}", now=self.clock())

        reopened = await self.runner.reopen(job_id, beside=beside)
        if reopened is None:
            raise NothingToDo("This training goes on already.", "Its message says how it stands.")
        return reopened

    async def allow_more(self, job_id: int, dollars: float, person: Person) -> Job:
        """Let this month have more than its limit, and the job that stopped at it go on.

        Raises:
            NothingToDo: the job is gone, or does not wait for money.
            JobAlreadyRunning: one of its kind is under way.
        """
        job = await self.runner.get(job_id)

        async def beside(connection: aiosqlite.Connection, _job_id: int) -> None:
            await spending.allow(connection, person, dollars, now=self.clock())
            await record(
                connection, person, "allow more", "this month", now=self.clock(), after=f"{dollars:.2f} dollars more"
            )

        is_waiting = job is not None and job.missing_dollars is not None
        reopened = await self.runner.reopen(job_id, beside=beside) if is_waiting else None
        if reopened is None:
            raise NothingToDo("This job does not wait for money any more.", "Its message says how it stands.")
        return reopened

    async def go_on(self, job_id: int, person: Person) -> None:
        """Let a job that failed go on where it stopped.

        Raises:
            NothingToDo: there is no such job, or it has not failed.
            JobAlreadyRunning: one of its kind is under way.
        """

        async def beside(connection: aiosqlite.Connection, number: int) -> None:
            await record(connection, person, "go on", f"job {number}", now=self.clock())

        if await self.runner.reopen(job_id, beside=beside) is None:
            raise NothingToDo("There is nothing to go on with.", "The job's message says how it stands.")

    async def _submit_training(self, offer: Offer, person: Person, channel_id: int | None) -> Job:
        async def beside(connection: aiosqlite.Connection, job_id: int) -> None:
            await voices.take_offer(connection, offer.id, job_id)
            await record(
                connection,
                person,
                "start training",
                f"dataset {offer.dataset_id}",
                now=self.clock(),
                after=f"{offer.model}, {offer.epochs} epochs, about {offer.cost:.2f} dollars",
            )

        return await self.runner.submit(
            "finetune",
            {"offer_id": offer.id},
            requested_by=person.name,
            requester_id=person.id,
            channel_id=channel_id,
            beside=beside,
        )

    # --- screening --------------------------------------------------------------------------------------------

    @property
    def can_screen(self) -> bool:
        """Whether there is a key for the service that screens."""
        return bool(self.settings.endpoint("moderation").api_key.get_secret_value())

    async def screening(self, dataset_id: int) -> Screening:
        """How the screening of a dataset stands. Raises NothingToDo where there is no such dataset."""
        return await screening.summary(self.database, dataset_id)

    async def flagged(self, dataset_id: int, *, category: str | None, offset: int, limit: int) -> list[Flagged]:
        """A part of what is flagged; see `bot.pipeline.screening.flagged`, which raises NothingToDo."""
        return await screening.flagged(self.database, dataset_id, category=category, offset=offset, limit=limit)

    async def decide_example(self, dataset_id: int, position: int, keep: bool, person: Person) -> None:  # noqa: FBT001 - the decision
        """Record that an example is trained on, or not. Raises NothingToDo, or BotError for the file."""
        path, now = self.settings.training_data_file, self.clock()
        await screening.decide_example(
            self.database, dataset_id, position, keep, person, training_data_file=path, now=now
        )

    async def decide_category(self, dataset_id: int, category: str, keep: bool, person: Person) -> int:  # noqa: FBT001 - the decision
        """Record that a whole category is trained on, or not; returns for how many examples that made a change.

        Raises NothingToDo, or BotError for the file.
        """
        path, now = self.settings.training_data_file, self.clock()
        return await screening.decide_category(
            self.database, dataset_id, category, keep, person, training_data_file=path, now=now
        )

    async def set_threshold(self, dataset_id: int, category: str | None, value: float | None, person: Person) -> int:
        """Flag from this score on, for one category or all; returns for how many examples that made a change.

        Raises NothingToDo, or BotError for the file.
        """
        path, now = self.settings.training_data_file, self.clock()
        return await screening.set_threshold(
            self.database, dataset_id, category, value, person, training_data_file=path, now=now
        )

    async def skip_screening(self, dataset_id: int, person: Person) -> None:
        """Record that a dataset is used unscreened. Raises NothingToDo where it was screened."""
        path, now = self.settings.training_data_file, self.clock()
        await screening.skip_screening(self.database, dataset_id, person, training_data_file=path, now=now)

    # --- consent ----------------------------------------------------------------------------------------------

    async def give_consent(self, blog: str, note: str, person: Person) -> Consent:
        """Record that a blog of somebody else may be downloaded; see `bot.consent.give` for what it raises."""
        return await consent.give(self.database, self.account, blog, note, person, clock=self.clock)

    async def revoke_consent(self, blog: str, person: Person) -> tuple[Consent, Purged]:
        """Take consent back and purge what is here of the blog; see `bot.consent.revoke`."""
        path = self.settings.training_data_file
        revoked = await consent.revoke(
            self.database, self.tumblr, blog, person, training_data_file=path, clock=self.clock
        )
        self.drafts_changed.set()
        return revoked

    # --- the stages, with what they need ----------------------------------------------------------------------

    def _download(self, job: Job) -> AsyncIterator[Progress]:
        wanted = Wanted(
            _texts(job.parameters.get("blogs")) or self.settings.download_blog_identifiers,
            # The job's own beginning: a blog that had its full pass since then is not looked at whole again.
            full_since=job.created_at if job.parameters.get("full") else None,
            accepted=frozenset(_texts(job.parameters.get("accepted"))),
        )
        return download(self.database, self.tumblr_in_bulk, wanted, forget=self._forget_posts, clock=self.clock)

    async def _forget_posts(self, blog_uuid: str, post_ids: Sequence[str]) -> None:
        await delete_posts(self.database, blog_uuid, post_ids, training_data_file=self.settings.training_data_file)

    def _examples(self, job: Job) -> AsyncIterator[Progress]:
        settings = self.settings
        rules = ExampleRules(
            developer_message=settings.developer_message,
            user_message=settings.user_message,
            date_limit=settings.date_limit,
            post_limit=settings.post_limit,
            filtered_words=tuple(settings.filtered_words),
            include_answers=settings.include_answers,
            include_reblog_comments=settings.include_reblog_comments,
            reblog_user_message=settings.reblog_user_message,
            held_out_share=settings.held_out_share,
            token_limit=settings.example_token_limit,
        )
        return make_examples(
            self.database,
            rules,
            custom_prompts_file=settings.custom_prompts_file,
            training_data_file=settings.training_data_file,
            fresh=bool(job.parameters.get("fresh")),
            clock=self.clock,
        )

    def _moderate(self, job: Job) -> AsyncIterator[Progress]:
        return moderate(
            self.database,
            self.service("moderation"),
            training_data_file=self.settings.training_data_file,
            texts_per_call=self.settings.moderation_batch_size,
            in_batches=InBatches(job.id, self.pace.training_poll) if job.parameters.get("batch") else None,
            clock=self.clock,
        )

    async def _finetune(self, job: Job) -> AsyncIterator[Progress]:
        offer = await voices.get_offer(self.database, int(str(job.parameters["offer_id"])))
        if offer is None:
            raise NothingToDo("What was to be trained is gone.", "Use /finetune again.")
        course = self.voices.course(offer, self.voices.follow_success)
        async for progress in finetune(course, job_id=job.id, service_job_id=self.settings.job_id or None):
            yield progress
        self._to_watch.set()

    async def _generate(self, job: Job) -> AsyncIterator[Progress]:
        desk = await self._desk(job.parameters)
        count = int(str(job.parameters["count"]))
        prompt = str(job.parameters.get("prompt") or "") or None
        if prompt and desk.reblogging and job.parameters.get("reblog"):
            # Asked for both: then that is what is asked about each post.
            desk, prompt = replace(desk, reblogging=replace(desk.reblogging, user_message=prompt)), None
        stage = generate(desk, job_id=job.id, count=count, prompt=prompt, channel_id=job.channel_id)
        async for progress in stage:
            self.drafts_changed.set()
            yield progress

    # --- the parts that stages share --------------------------------------------------------------------------

    def service(self, use: Use) -> ModelService:
        """The connection for "generation", "fine_tuning" or "moderation". Raises NothingToDo without a key for it."""
        return self._services.use(use)

    def service_at(self, base_url: str) -> ModelService:
        """The connection to a service by its address. Raises NothingToDo where the settings name none there."""
        return self._services.at(base_url)

    async def _desk(self, wanted: Mapping[str, JSON] | None = None) -> Desk:
        """Everything that writing needs; `wanted` is what somebody asked of /generate."""
        settings, wanted = self.settings, wanted or {}
        voice = await (self.register.find(str(wanted["voice"])) if wanted.get("voice") else self.voices.current())
        tags = _chance(wanted.get("tags"), settings.tags_chance)
        reblogs = _chance(wanted.get("reblog"), settings.reblog_chance)
        return Desk(
            database=self.database,
            voice=voice,
            writer=self.voices.writer(voice),
            guards=Guards(
                self.database,
                self._post_index,
                allowed_phrases=settings.guards.allowed_phrases,
                screener=self.service("moderation") if settings.guards.screen_drafts and self.can_screen else None,
            ),
            rewrites=settings.guards.rewrites,
            tagging=Tagging(self.service("generation"), settings.tags_developer_message, tags),
            blog=parse_identifier(settings.upload_blog_identifier) if settings.upload_blog_identifier else "",
            upload_state=settings.tumblr.upload_state,
            monthly_limit=settings.budget.monthly_limit,
            dice=self.dice,
            clock=self.clock,
            reblogging=Reblogging(
                self.tumblr,
                tuple(settings.reblog_blog_identifiers),
                reblogs if settings.reblog_blog_identifiers else 0.0,
                settings.reblog_user_message,
            ),
            caps=settings.budget.caps,
        )

    def _use(self, values: Mapping[str, object]) -> None:
        """Use options from now on, until the process ends."""
        self.settings = with_options(self.settings, values)

    async def _choose(self, values: Mapping[str, object]) -> str:
        """Use options from now on, in config.toml too; returns a sentence if that will not last."""
        return await self._lasts(values, written=await self._remember(values))

    async def _lasts(self, values: Mapping[str, object], *, written: bool) -> str:
        """Where the next start will not find these values: a sentence that says so. Else ""."""
        elsewhere = await asyncio.to_thread(secrets_elsewhere, values)
        elsewhere |= {name: f"{options()[name].flag} on the command line" for name in values if name in self._overrides}
        if elsewhere:
            return f"At the next start {' and '.join(elsewhere.values())} wins over this: change it there."
        names = " and ".join(f"`{name}`" for name in values)
        return "" if written else f"config.toml could not be written; set {names} there, or the next start forgets it."

    async def _remember(self, values: Mapping[str, object]) -> bool:
        """Use options from now on; returns whether config.toml has them too: it may be read-only in a container."""
        self._use(values)
        return await self._write_down(values)

    async def _write_down(self, values: Mapping[str, object]) -> bool:
        try:
            async with self.settings_watch.writing():
                await asyncio.to_thread(write_options, self._settings_path, values)
        except (OSError, BotError) as error:
            _log.warning("config.toml could not be brought up to date (%s).", type(error).__name__)
            return False
        return True

    # --- couriers ---------------------------------------------------------------------------------------------

    async def _keep(self, name: str, wake: asyncio.Event, work: Callable[[], Awaitable[float | None]]) -> None:
        """Work whenever woken, or when `work` said (unix seconds) that something is due; survive what goes wrong."""
        while True:
            wake.clear()
            due: float | None = None
            try:
                due = await work()
            except BotError as error:
                _log.error("%s: %s", name, error)
            except Exception as error:  # noqa: BLE001 - a defect in one draft must not stop those after it
                report_unexpected(name, error)
            rest = _COURIER_REST if due is None else min(max(0.0, due - self.clock()), _COURIER_REST)
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await wake.wait()

    async def _upload(self) -> float | None:
        due: float | None = None
        async for progress in publish(
            self.database,
            self.tumblr,
            look_after=self.pace.look_after,
            retry_after=self.pace.retry_after,
            spacing=self.drafts.rules.spacing,
            clock=self.clock,
        ):
            self.drafts_changed.set()
            due = progress.wait_until
        # Deletions take turns with uploads: a post that is looked for must not be on its way.
        removals_due = await remove(
            self.database,
            self.tumblr,
            look_after=self.pace.look_after,
            retry_after=self.pace.retry_after,
            clock=self.clock,
        )
        self.drafts_changed.set()
        return min((moment for moment in (due, removals_due) if moment is not None), default=None)

    async def _rewrite(self) -> None:
        if await rewrite_replaced(self.database, self._desk):
            self.drafts_changed.set()

    async def _cancel_trainings(self) -> None:
        await cancel_abandoned(self.database, self.voices.trainer_of, clock=self.clock)

    async def _end_batches(self) -> float | None:
        if not self.can_screen:
            return None
        is_left = await look_after_batches(self.database, self.service("moderation"), clock=self.clock)
        return self.clock() + self.pace.training_poll if is_left else None

    async def _keep_retention(self) -> float:
        if self.clock() >= self._next_purge:
            due = await keep_retention(
                self.database,
                self.tumblr,
                days=self.settings.retention.other_blogs_days,
                training_data_file=self.settings.training_data_file,
                clock=self.clock,
            )
            tomorrow = self.clock() + _DAY  # a post that is downloaded from now on is not due before that
            self._next_purge = tomorrow if due is None else min(due, tomorrow)
            self.drafts_changed.set()
        return self._next_purge

    async def _back_up(self) -> float | None:
        if self.clock() < self._next_backup:
            return self._next_backup
        return await asyncio.to_thread(keep_nightly, self.settings, self._settings_path, clock=self.clock)

    async def _once_stopped(self, job_id: int) -> None:
        async for _ in self.runner.follow(job_id):
            pass
        self._to_cancel.set()
        self._to_end_batches.set()


def _chance(wanted: JSON, usual: float) -> float:
    """How likely something is, where somebody may have said always or never."""
    return usual if wanted is None else float(bool(wanted))


def _texts(value: JSON) -> list[str]:
    """A job's parameter as a list of texts, whatever an older version stored."""
    return [str(item) for item in value] if isinstance(value, list) else []
