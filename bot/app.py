"""The composition root: builds every part once, starts them in order, and stops them in the other."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bot.config import Settings, Use, write_options
from bot.drafts import Draft, Person
from bot.errors import BotError, NothingToDo
from bot.jobs.background import Background, report_unexpected
from bot.jobs.runner import Job, JobRunner
from bot.language.endpoint import Endpoint, ModelService
from bot.pipeline import decide
from bot.pipeline.download import download
from bot.pipeline.examples import ExampleRules, make_examples
from bot.pipeline.finetune import cancel_abandoned, finetune
from bot.pipeline.generate import Desk, Tagging, generate, rewrite_replaced
from bot.pipeline.moderate import moderate
from bot.pipeline.publish import LOOK_AFTER, RETRY_AFTER, publish
from bot.progress import Progress
from bot.store import drafts as draft_store
from bot.store.database import Database
from bot.training import Training, Voice, VoiceKind
from bot.tumblr.client import Tumblr, TumblrCredentials
from bot.tumblr.identifiers import parse_identifier
from bot.voices.few_shot import FewShot
from bot.voices.fine_tuned import FineTuned
from bot.voices.protocol import Writer
from bot.voices.register import voice_for_writing

_log = logging.getLogger(__name__)
_COURIER_REST = 300.0  # seconds after which the courier looks again by itself


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the bot waits between looks, in seconds. The demo and the tests hurry."""

    message_edit: float = 2.0
    training_poll: float = 10.0
    look_after: tuple[float, ...] = LOOK_AFTER
    retry_after: tuple[float, ...] = RETRY_AFTER
    tumblr_deadline: float = 30.0
    tumblr_retry: float = 1.0


class App:
    """Everything but Discord. `start()` before the client logs in, `stop()` after it has closed."""

    def __init__(
        self,
        settings: Settings,
        settings_path: Path,
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.time,
        dice: random.Random | None = None,
    ) -> None:
        self.settings = settings
        self.pace = pace or Pace()
        self.clock = clock
        self.drafts_changed = asyncio.Event()
        """Set whenever a draft's message may be behind its row."""
        self._settings_path = settings_path
        self._dice = dice or random.Random()  # noqa: S311 - chances, not secrets
        self._to_upload = asyncio.Event()
        self._to_rewrite = asyncio.Event()
        self._to_cancel = asyncio.Event()
        self._services: dict[str, ModelService] = {}
        self.background = Background()
        self._database: Database | None = None
        self._runner: JobRunner | None = None
        self.tumblr = _tumblr(settings, self.pace)

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

    async def start(self) -> None:
        """Open the store and go on with whatever was under way.

        Raises:
            BotError: the store cannot be opened.
        """
        self._database = await Database.open(self.settings.database_file)
        await self.background.start()
        stages = {
            "download": self._download,
            "examples": self._examples,
            "moderate": self._moderate,
            "finetune": self._finetune,
            "generate": self._generate,
        }
        self._runner = JobRunner(self._database, stages, self.background, clock=self.clock)
        await self._runner.start()
        # Each works once at the start: something may have been left over.
        self.drafts_changed.set()
        for name, wake, work in (
            ("uploads", self._to_upload, self._upload),
            ("regenerated drafts", self._to_rewrite, self._rewrite),
            ("stopped trainings", self._to_cancel, self._cancel_trainings),
        ):
            self.background.spawn(name, self._keep(name, wake, work))

    async def stop(self) -> None:
        """Stop everything. Jobs stay marked as running, and go on at the next start."""
        try:
            if self._runner is not None:
                await self._runner.stop()
            await self.background.stop()
            await self.close_connections()
        finally:
            if self._database is not None:
                await self._database.close()  # its threads would keep the process alive

    async def close_connections(self) -> None:
        """Close what talks to the services; enough where the app was never started, as in `check`."""
        for service in self._services.values():
            await service.close()
        await self.tumblr.close()

    # --- what a person's press does ---------------------------------------------------------------------------

    async def approve(self, draft_id: int, person: Person) -> Draft:
        """Record the approval and let the courier take the draft to the blog. Raises DraftDecided."""
        draft = await decide.approve(self.database, draft_id, person, now=self.clock())
        self._to_upload.set()
        return self._changed(draft)

    async def reject(self, draft_id: int, person: Person) -> Draft:
        """Record the rejection. Raises DraftDecided."""
        return self._changed(await decide.reject(self.database, draft_id, person, now=self.clock()))

    async def edit(self, draft_id: int, person: Person, *, text: str, tags: str) -> Draft:
        """Record the new text. Raises DraftDecided."""
        return self._changed(await decide.edit(self.database, draft_id, person, text=text, tags=tags, now=self.clock()))

    async def regenerate(self, draft_id: int, person: Person) -> Draft:
        """Record the wish for another text and have it written. Raises DraftDecided."""
        draft = await decide.regenerate(self.database, draft_id, person, now=self.clock())
        self._to_rewrite.set()
        return self._changed(draft)

    async def confirm_uploaded(self, draft_id: int, person: Person) -> Draft:
        """Record that a person has seen the draft on the blog. Raises DraftDecided."""
        return self._changed(await decide.confirm_uploaded(self.database, draft_id, person, now=self.clock()))

    async def send_again(self, draft_id: int, person: Person) -> Draft:
        """Record that a person has missed the draft on the blog, and send it. Raises DraftDecided."""
        draft = await decide.send_again(self.database, draft_id, person, now=self.clock())
        self._to_upload.set()
        return self._changed(draft)

    async def show_again(self, draft_id: int, channel_id: int) -> None:
        """Post the draft's message anew, in this channel."""
        async with self.database.write() as connection:
            await draft_store.show_again(connection, draft_id, channel_id)
        self.drafts_changed.set()

    async def cancel_job(self, job_id: int) -> Job | None:
        """Stop a job; a training is then cancelled at its service too. None when there is no such job."""
        job = await self.runner.cancel(job_id)
        self.background.spawn(f"after job {job_id}", self._once_stopped(job_id))
        return job

    def _changed(self, draft: Draft) -> Draft:
        self.drafts_changed.set()
        return draft

    # --- the stages, with what they need ----------------------------------------------------------------------

    def _download(self, job: Job) -> AsyncIterator[Progress]:
        named = job.parameters.get("blogs")
        blogs = [str(blog) for blog in named] if isinstance(named, list) else []
        identifiers = blogs or self.settings.download_blog_identifiers
        return download(self.database, self.tumblr, identifiers, clock=self.clock)

    def _examples(self, _job: Job) -> AsyncIterator[Progress]:
        settings = self.settings
        rules = ExampleRules(
            developer_message=settings.developer_message,
            user_message=settings.user_message,
            date_limit=settings.date_limit,
            post_limit=settings.post_limit,
            filtered_words=tuple(settings.filtered_words),
        )
        return make_examples(
            self.database,
            rules,
            custom_prompts_file=settings.custom_prompts_file,
            training_data_file=settings.training_data_file,
            clock=self.clock,
        )

    def _moderate(self, _job: Job) -> AsyncIterator[Progress]:
        return moderate(
            self.database,
            self.service("moderation"),
            training_data_file=self.settings.training_data_file,
            texts_per_call=self.settings.moderation_batch_size,
            clock=self.clock,
        )

    def _finetune(self, job: Job) -> AsyncIterator[Progress]:
        service = self.service("fine_tuning")
        parameters = job.parameters
        return finetune(
            self.database,
            FineTuned(service),
            job_id=job.id,
            dataset_id=int(str(parameters["dataset_id"])),
            base_url=service.endpoint.base_url,
            model=str(parameters["model"]),
            epochs=int(str(parameters["epochs"])),
            token_price=self.settings.token_price,
            monthly_limit=self.settings.budget.monthly_limit,
            service_job_id=self.settings.job_id or None,
            on_success=self._remember_model,
            poll_seconds=self.pace.training_poll,
            clock=self.clock,
        )

    async def _generate(self, job: Job) -> AsyncIterator[Progress]:
        desk = await self._desk()
        count = int(str(job.parameters["count"]))
        prompt = job.parameters.get("prompt")
        stage = generate(
            desk, job_id=job.id, count=count, prompt=str(prompt) if prompt else None, channel_id=job.channel_id
        )
        async for progress in stage:
            self.drafts_changed.set()
            yield progress

    # --- the parts that stages share --------------------------------------------------------------------------

    def service(self, use: Use) -> ModelService:
        """The connection for "generation", "fine_tuning" or "moderation".

        Raises:
            NothingToDo: no API key is set for it.
        """
        if use not in self._services:
            options = self.settings.endpoint(use)
            if not options.api_key.get_secret_value():
                raise NothingToDo(
                    "There is no API key for the model service.",
                    f"Set `api_key` under [openai] or [openai.{use}], best as an environment variable.",
                )
            self._services[use] = ModelService(Endpoint(options.base_url, options.api_key, options.model))
        return self._services[use]

    async def voice(self) -> Voice:
        """The voice that /generate writes with."""
        settings = self.settings
        generation = settings.endpoint("generation")
        return await voice_for_writing(
            self.database,
            fine_tuned_model=settings.fine_tuned_model,
            fine_tuned_base_url=settings.endpoint("fine_tuning").base_url,
            few_shot_model=generation.model,
            few_shot_base_url=generation.base_url,
            developer_message=settings.developer_message,
            user_message=settings.user_message,
            now=self.clock(),
        )

    async def _desk(self) -> Desk:
        settings = self.settings
        voice = await self.voice()
        return Desk(
            database=self.database,
            voice=voice,
            writer=self._writer(voice),
            tagging=Tagging(self.service("generation"), settings.tags_developer_message, settings.tags_chance),
            blog=parse_identifier(settings.upload_blog_identifier) if settings.upload_blog_identifier else "",
            upload_state=settings.tumblr.upload_state,
            monthly_limit=settings.budget.monthly_limit,
            dice=self._dice,
            clock=self.clock,
        )

    def _writer(self, voice: Voice) -> Writer:
        if voice.kind is VoiceKind.FEW_SHOT:
            return FewShot(self.database, self.service("generation"), seed=voice.id)
        service = self.service("fine_tuning")
        if service.endpoint.base_url != voice.base_url:
            raise NothingToDo(
                f"The voice {voice.name} lives at another service than [openai.fine_tuning] names.",
                f"Set `base_url` there to {voice.base_url}, or train a new voice.",
            )
        return FineTuned(service)

    async def _remember_model(self, training: Training) -> None:
        """config.toml follows the newest model, as it did in tumblrbot."""
        values = {"fine_tuned_model": training.fine_tuned_model or "", "job_id": ""}  # no job is under way any more
        self.settings = self.settings.model_copy(update=values)
        try:
            await asyncio.to_thread(write_options, self._settings_path, values)
        except (OSError, BotError) as error:
            # The voice is in the register, which is what counts; the file may be read-only in a container.
            _log.warning("config.toml could not be brought up to date (%s).", type(error).__name__)

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
            clock=self.clock,
        ):
            self.drafts_changed.set()
            due = progress.wait_until
        return due

    async def _rewrite(self) -> None:
        if await rewrite_replaced(self.database, self._desk):
            self.drafts_changed.set()

    async def _cancel_trainings(self) -> None:
        if self.settings.endpoint("fine_tuning").api_key.get_secret_value():
            await cancel_abandoned(self.database, FineTuned(self.service("fine_tuning")), clock=self.clock)

    async def _once_stopped(self, job_id: int) -> None:
        async for _ in self.runner.follow(job_id):
            pass
        self._to_cancel.set()


def _tumblr(settings: Settings, pace: Pace) -> Tumblr:
    options = settings.tumblr
    credentials = TumblrCredentials(
        consumer_key=options.consumer_key.get_secret_value(),
        consumer_secret=options.consumer_secret.get_secret_value(),
        oauth_token=options.oauth_token.get_secret_value(),
        oauth_token_secret=options.oauth_token_secret.get_secret_value(),
    )
    return Tumblr(credentials, api_url=options.api_url, deadline=pace.tumblr_deadline, retry_wait=pace.tumblr_retry)
