"""The composition root: builds every part once, starts them in order, and stops them in the other."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from bot import consent
from bot.account import TumblrAccount
from bot.budget_watch import BudgetWatch
from bot.comparison_desk import ComparisonDesk
from bot.config import Settings, Use
from bot.couriers import Courier, Couriers, keep_working
from bot.data_desk import DataDesk
from bot.draft_desk import DraftDesk
from bot.drafts import Person
from bot.errors import BotError
from bot.job_desk import JobDesk
from bot.jobs.background import Background
from bot.jobs.runner import JobRunner
from bot.language.endpoint import ModelService
from bot.live_settings import LiveSettings
from bot.model_services import ModelServices
from bot.option_desk import OptionDesk
from bot.pace import Pace
from bot.screening_desk import ScreeningDesk
from bot.secret_desk import SecretDesk
from bot.settings_watch import SettingsWatch
from bot.shutdown_watch import ShutdownWatch
from bot.stages import Stages
from bot.store import consents
from bot.store import posts as post_store
from bot.store.consents import Consent
from bot.store.database import Database
from bot.store.purge import Purged
from bot.tumblr.quota import Governor
from bot.voice_desk import VoiceDesk
from bot.voice_register import VoiceRegister


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
        self.live = LiveSettings(settings, settings_path, overrides or {})
        self.pace = pace or Pace()
        self.clock = clock
        self.started_at = clock()
        self.drafts_changed = asyncio.Event()
        """Set whenever a draft's message may be behind its row."""
        self.dice = dice or random.Random()  # noqa: S311 - chances, not secrets
        self._to_upload = asyncio.Event()
        self._to_rewrite = asyncio.Event()
        self._to_cancel = asyncio.Event()
        self._to_end_batches = asyncio.Event()
        self._to_purge = asyncio.Event()
        self._to_watch = asyncio.Event()
        self._wakes: list[asyncio.Event] = []
        """What wakes each courier."""
        self._services = ModelServices(lambda: self.settings)
        self._voices: VoiceDesk | None = None
        self._drafts: DraftDesk | None = None
        # There from `start()` on:
        self.register: VoiceRegister
        self.comparisons: ComparisonDesk
        self.watch: ShutdownWatch
        self.budget_watch: BudgetWatch
        self.options: OptionDesk
        self.data: DataDesk
        self.stages: Stages
        self.jobs: JobDesk
        self.screenings: ScreeningDesk
        self._couriers: Couriers
        self.secrets: SecretDesk
        self.settings_watch = SettingsWatch(
            self.live,
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
            use=self.live.use,
            choose=self.live.choose,
            database=lambda: self.database,
            governor=Governor(clock, minute_calls=self.pace.tumblr_calls),
            deadline=self.pace.tumblr_deadline,
            retry_wait=self.pace.tumblr_retry,
        )
        self.tumblr, self.tumblr_in_bulk = self.account.tumblr, self.account.tumblr_in_bulk

    @property
    def settings(self) -> Settings:
        """As they are in force now."""
        return self.live.settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self.live.settings = settings

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
            remember=self.live.remember,
            poll_seconds=self.pace.training_poll,
            settle_seconds=self.pace.training_settle,
            clock=self.clock,
        )
        parts = self._database, self._services, self._voices
        self.register = VoiceRegister(*parts, settings=lambda: self.settings, choose=self.live.choose, clock=self.clock)
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
        self.secrets = SecretDesk(self._database, self.live, account=self.account, clock=self.clock)
        await self.settings_watch.begin()
        self.options = OptionDesk(self._database, self.live, clock=self.clock)
        self.data = DataDesk(
            self._database,
            self.live.path,
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
        self.stages = Stages(
            self._database,
            self.account,
            self._services,
            self._voices,
            self.register,
            settings=lambda: self.settings,
            drafts_changed=self.drafts_changed,
            voice_made=self._to_watch,
            training_poll=self.pace.training_poll,
            dice=self.dice,
            clock=self.clock,
        )
        stages = {
            "download": self.stages.download,
            "examples": self.stages.examples,
            "moderate": self.stages.moderate,
            "finetune": self.stages.finetune,
            "generate": self.stages.generate,
            "compare": self.comparisons.write,
        }
        self._runner = JobRunner(self._database, stages, self.background, clock=self.clock)
        self.jobs = JobDesk(
            self._database,
            self._runner,
            self.stages,
            self.background,
            settings=lambda: self.settings,
            stopped=(self._to_cancel, self._to_end_batches),
            clock=self.clock,
        )
        self.screenings = ScreeningDesk(self._database, settings=lambda: self.settings, clock=self.clock)
        await self._runner.start()
        self._couriers = Couriers(
            self._database,
            self.stages,
            self._drafts,
            settings=lambda: self.settings,
            settings_path=self.live.path,
            pace=self.pace,
            clock=self.clock,
        )
        # Each works once at the start: something may have been left over.
        self.drafts_changed.set()
        couriers = self._couriers
        for courier in (
            Courier("uploads", self._to_upload, couriers.upload),
            Courier("regenerated drafts", self._to_rewrite, couriers.rewrite),
            Courier("stopped trainings", self._to_cancel, couriers.cancel_trainings),
            Courier("batches of screenings", self._to_end_batches, couriers.end_batches),
            Courier("Tumblr's quota", self.account.quota_changed, self.account.keep_quota),
            Courier("retention", self._to_purge, couriers.keep_retention),
            Courier("shutdown dates", self._to_watch, self.watch.look),
            Courier("expiry of drafts", asyncio.Event(), self._drafts.let_expire),
            Courier("config.toml", asyncio.Event(), self.settings_watch.look),
            Courier("nightly backup", asyncio.Event(), couriers.back_up),
        ):
            self._wakes.append(courier.wake)
            self.background.spawn(courier.name, keep_working(courier, self.clock))

    def clock_was_set(self, jump: float) -> None:
        """Let whatever waits for a moment look again: the clock went forward by so many seconds, or back."""
        self.tumblr.governor.clock_was_set(jump)
        self.watch.ask_all_again()
        self._couriers.clock_was_set()
        for wake in self._wakes:
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

    # --- what does not need a desk of its own -------------------------------------------------------------------

    async def known_blogs(self) -> list[str]:
        """Names of blogs that a person may mean: the account's, those with consent, those that are here."""
        own = [blog.name for blog in await consents.own_blogs(self.database)]
        allowed = [each.blog_name for each in await consents.consents(self.database) if each.revoked_at is None]
        here = [blog.name for blog in await post_store.blogs(self.database)]
        return list(dict.fromkeys([*own, *allowed, *here]))

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

    def service(self, use: Use) -> ModelService:
        """The connection for "generation", "fine_tuning" or "moderation". Raises NothingToDo without a key for it."""
        return self._services.use(use)

    def service_at(self, base_url: str) -> ModelService:
        """The connection to a service by its address. Raises NothingToDo where the settings name none there."""
        return self._services.at(base_url)
