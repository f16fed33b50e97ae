"""The composition root: builds every part once, starts them in order, and stops them in the other."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiosqlite
import msgspec
from pydantic import SecretStr, ValidationError

from bot.config import (
    SECRETS_FILE,
    Settings,
    TumblrSettings,
    Use,
    option_text,
    parse_options,
    secrets_elsewhere,
    with_options,
    write_options,
    write_secrets,
)
from bot.drafts import Draft, Person
from bot.errors import (
    BlogIdentifierError,
    BotError,
    ConnectionFailed,
    NothingToDo,
    OptionRefused,
    SettingsError,
    TumblrError,
    TumblrNotFound,
)
from bot.jobs.background import Background, report_unexpected
from bot.jobs.runner import JSON, Job, JobRunner
from bot.language.endpoint import ModelService
from bot.model_services import ModelServices
from bot.pipeline import decide, screening
from bot.pipeline.download import AT_ONCE, Wanted, download
from bot.pipeline.examples import ExampleRules, make_examples
from bot.pipeline.finetune import cancel_abandoned, finetune
from bot.pipeline.generate import Desk, Reblogging, Tagging, generate, rewrite_replaced
from bot.pipeline.moderate import InBatches, moderate
from bot.pipeline.moderate_batches import look_after_batches
from bot.pipeline.publish import LOOK_AFTER, RETRY_AFTER, publish
from bot.pipeline.retention import delete_posts, forget_blog, keep_retention
from bot.pipeline.screening import Flagged, Screening
from bot.posts import Blog
from bot.progress import Progress
from bot.store import consents, spending, voices
from bot.store import drafts as draft_store
from bot.store import posts as post_store
from bot.store.audit import record
from bot.store.consents import Consent
from bot.store.database import Database, carry_through
from bot.store.facts import get_fact, set_fact
from bot.store.purge import Purged
from bot.training import Offer, TrainingState
from bot.tumblr.client import Account, Tumblr, TumblrCredentials
from bot.tumblr.connect import RequestToken, access_token, read_verifier, request_token
from bot.tumblr.identifiers import parse_identifier
from bot.tumblr.quota import MINUTE_CALLS, RESERVED, Governor, GovernorState
from bot.tumblr.values import as_mapping
from bot.voice_desk import VoiceDesk

_log = logging.getLogger(__name__)
_QUOTA = "Tumblr's quota"
_DAY = 86_400.0
_COURIER_REST = 300.0  # seconds after which the courier looks again by itself


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the bot waits between looks, in seconds. The demo and the tests hurry."""

    message_edit: float = 2.0
    training_poll: float = 10.0
    """Between looks at a training, and at the batches of a screening."""
    look_after: tuple[float, ...] = LOOK_AFTER
    retry_after: tuple[float, ...] = RETRY_AFTER
    tumblr_deadline: float = 30.0
    tumblr_retry: float = 1.0
    tumblr_calls: int = MINUTE_CALLS
    """How many calls to Tumblr a minute may have; a stand-in takes more."""


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
        self.dice = dice or random.Random()  # noqa: S311 - chances, not secrets
        self._to_upload = asyncio.Event()
        self._to_rewrite = asyncio.Event()
        self._to_cancel = asyncio.Event()
        self._to_end_batches = asyncio.Event()
        self._to_purge = asyncio.Event()
        self._next_purge = 0.0  # unix seconds
        self._services = ModelServices(lambda: self.settings)
        self._voices: VoiceDesk | None = None
        self.background = Background()
        self._database: Database | None = None
        self._stopped = False
        self._runner: JobRunner | None = None
        self._governor = Governor(clock, minute_calls=self.pace.tumblr_calls)
        self._quota_changed = asyncio.Event()
        self._connecting: _Connecting | None = None
        self._account_turn = asyncio.Lock()
        self.overruled_by: tuple[str, ...] = ()
        """Where else the secrets are set that were last written down: these places win at the next start."""
        self.tumblr = _tumblr(settings, self.pace, self._governor)
        """For what people wait for, and for uploads."""
        self.tumblr_in_bulk = _tumblr(settings, self.pace, self._governor, keep_back=RESERVED, readers=AT_ONCE)
        """For stages that read much: it leaves some calls to the other one, and never stands in its way."""

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
        await self._recall_quota()
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
            ("batches of screenings", self._to_end_batches, self._end_batches),
            ("Tumblr's quota", self._quota_changed, self._keep_quota),
            ("retention", self._to_purge, self._keep_retention),
        ):
            self.background.spawn(name, self._keep(name, wake, work))

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
                    await self._keep_quota()
        finally:
            if self._database is not None:
                await self._database.close()  # its threads would keep the process alive

    async def close_connections(self) -> None:
        """Close what talks to the services; enough where the app was never started, as in `check`."""
        await self._services.close()
        await self.tumblr.close()
        await self.tumblr_in_bulk.close()

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

    async def change_options(self, values: Mapping[str, object], person: Person) -> str:
        """Put options (dotted names) into force and into config.toml; returns a sentence if that will not last.

        Raises:
            OptionRefused: a value is not allowed; nothing was changed.
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
        return await self._choose(new)

    async def known_blogs(self) -> list[str]:
        """Names of blogs that a person may mean: the account's, those with consent, those that are here."""
        own = [blog.name for blog in await consents.own_blogs(self.database)]
        allowed = [each.blog_name for each in await consents.consents(self.database) if each.revoked_at is None]
        here = [blog.name for blog in await post_store.blogs(self.database)]
        return list(dict.fromkeys([*own, *allowed, *here]))

    async def show_again(self, draft_id: int, channel_id: int) -> None:
        """Post the draft's message anew, in this channel."""
        async with self.database.write() as connection:
            await draft_store.show_again(connection, draft_id, channel_id)
        self.drafts_changed.set()

    async def cancel_job(self, job_id: int, person: Person) -> Job | None:
        """Stop a job; its training or batches are then cancelled at the service too. None when there is no such job."""
        async with self.database.write() as connection:
            await record(connection, person, "stop", f"job {job_id}", now=self.clock())
        job = await self.runner.cancel(job_id)
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
        reopened = await self._reopened(job_id, person, "retry training")
        if reopened is None:
            raise NothingToDo("This training is gone.", "Use /finetune to begin one.")
        return reopened

    async def allow_more(self, job_id: int, dollars: float, person: Person) -> Job | None:
        """Let this month have more than its limit, and the job that stopped at it go on. None: no such job.

        Raises:
            NothingToDo: the job does not wait for money.
            JobAlreadyRunning: one of its kind is under way.
        """
        job = await self.runner.get(job_id)
        if job is not None and job.missing_dollars is None:
            raise NothingToDo("This job does not wait for money any more.", "Its message says how it stands.")

        async def beside(connection: aiosqlite.Connection, _job_id: int) -> None:
            await spending.allow(connection, person, dollars, now=self.clock())
            await record(
                connection, person, "allow more", "this month", now=self.clock(), after=f"{dollars:.2f} dollars more"
            )

        return await self.runner.reopen(job_id, beside=beside)

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

    async def _reopened(self, job_id: int, person: Person, action: str) -> Job | None:
        async def beside(connection: aiosqlite.Connection, number: int) -> None:
            await record(connection, person, action, f"job {number}", now=self.clock())

        return await self.runner.reopen(job_id, beside=beside)

    def _changed(self, draft: Draft) -> Draft:
        self.drafts_changed.set()
        return draft

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
        """Record that `person` says that a blog of somebody else may be downloaded. Returns what was recorded.

        Raises:
            NothingToDo: the note is empty, or the blog is the account's own and needs none.
            BlogIdentifierError, TumblrError: the blog cannot be looked up; nothing was recorded.
        """
        note = note.strip()
        if not note:
            raise NothingToDo("The note is empty.", "Say in it who allows this, and where they said so.")
        identifier = parse_identifier(blog)
        try:
            found = await self.tumblr.blog(identifier)
        except TumblrNotFound as error:
            raise TumblrNotFound(f"Tumblr has no blog {identifier}, or does not show it.", error.next_step) from error
        await self.account()  # the blog may be new in it
        now = self.clock()
        async with self.database.write() as connection:
            if await consents.is_own(connection, found.uuid):
                raise NothingToDo(
                    f"{found.name} is a blog of the connected account and needs no consent. Nothing was recorded.",
                    "Use /download.",
                )
            await consents.give_consent(connection, found, note, person, now=now)
        return Consent(found.uuid, found.name, note, now, person.name, None, None)

    async def revoke_consent(self, blog: str, person: Person) -> tuple[Consent, Purged]:
        """Take consent back and purge what is here of the blog, also while it is being downloaded.

        Returns the consent that held until now, and what was purged: nothing, if the blog is the account's own by now.

        Raises:
            NothingToDo: there is no such consent, or the name could mean several.
            BlogIdentifierError, TumblrError: the blog is not found in what was recorded, nor at Tumblr.
            BotError: it is revoked and purged, but a file could not be written anew.
        """
        consent = await self._consent_for(blog)
        async with self.database.write() as connection:
            # First of all: from here on no page of a download under way is stored any more.
            if not await consents.revoke_consent(connection, consent.blog_uuid, person, now=self.clock()):
                raise _no_such_consent(consent.blog_name)
        # To its end even if the bot stops now; a kill leaves the rest to the courier.
        purged = await carry_through(
            forget_blog(self.database, consent.blog_uuid, training_data_file=self.settings.training_data_file)
        )
        self.drafts_changed.set()
        return consent, purged

    async def _consent_for(self, blog: str) -> Consent:
        """The consent that a text means. What was recorded comes first: the blog may be gone, or renamed."""
        identifier = parse_identifier(blog)
        active = await consents.active_consents(self.database)
        meant = [each for each in active if identifier in {each.blog_uuid, each.blog_name}]
        if not meant:
            try:
                uuid = (await self.tumblr.blog(identifier)).uuid
            except TumblrNotFound:
                raise _no_such_consent(identifier) from None
            meant = [each for each in active if each.blog_uuid == uuid]
        if not meant:
            raise _no_such_consent(identifier)
        if len(meant) > 1:
            uuids = " or ".join(each.blog_uuid for each in meant)
            raise NothingToDo(f"Several blogs have been called {identifier}.", f"Name the one you mean as {uuids}.")
        return meant[0]

    # --- the Tumblr account -----------------------------------------------------------------------------------

    @property
    def has_consumer(self) -> bool:
        """Whether there are a consumer key and secret, so that Tumblr can be asked for a link."""
        options = self.settings.tumblr
        return bool(options.consumer_key.get_secret_value() and options.consumer_secret.get_secret_value())

    @property
    def has_account(self) -> bool:
        """Whether an account is connected; `account` tells whether the connection works."""
        return self.tumblr.connected

    async def begin_connecting(self) -> str:
        """A link at which the owner allows the bot to use the account.

        Raises:
            ConnectionFailed: Tumblr does not accept the consumer key and secret.
            TumblrError: no usable answer.
        """
        options = self.settings.tumblr
        return await self._begin(options.consumer_key, options.consumer_secret)

    async def set_consumer(self, key: str, secret: str) -> str:
        """Take other keys of an application, once Tumblr has accepted them; returns a link, as `begin_connecting`.

        While an account is connected the keys in use stay until `finish_connecting`: tokens belong to their keys.

        Raises:
            ConnectionFailed: they cannot be keys, Tumblr does not accept them, or they cannot be written down.
            TumblrError: no usable answer.
        """
        try:
            given = TumblrSettings.model_validate({"consumer_key": key, "consumer_secret": secret})
        except ValidationError:
            given = TumblrSettings()
        if not given.consumer_key.get_secret_value() or not given.consumer_secret.get_secret_value():
            raise ConnectionFailed(
                "That is no consumer key with its secret: both are one word each, of letters and digits.",
                "Copy both from https://www.tumblr.com/oauth/apps.",
            )
        link = await self._begin(given.consumer_key, given.consumer_secret)
        if not self.has_account:
            async with self._account_turn:
                await self._keep_secrets(_consumer(given.consumer_key, given.consumer_secret))
        return link

    async def finish_connecting(self, pasted: str) -> Account:
        """Connect the account, from the address that Tumblr led to, and use it from now on.

        The new tokens are tried before they take the place of the old ones.

        Raises:
            ConnectionFailed: the address or the tokens are of no use, or they cannot be written down. Nothing was
                changed.
            TumblrError: no usable answer; nothing was changed.
        """
        async with self._account_turn:
            begun = self._connecting
            if begun is None:
                raise ConnectionFailed(
                    "The link belongs to an earlier start of the bot, or was used already.",
                    "Use /connect tumblr again.",
                )
            options = self.settings.tumblr
            verifier = read_verifier(pasted, begun.request)
            key, secret = begun.consumer_key.get_secret_value(), begun.consumer_secret.get_secret_value()
            credentials = await access_token(
                key, secret, begun.request, verifier, api_url=options.api_url, deadline=self.pace.tumblr_deadline
            )
            self._connecting = None  # used up
            values = dict(zip(_TOKENS, (credentials.oauth_token, credentials.oauth_token_secret), strict=True))
            if (begun.consumer_key, begun.consumer_secret) != (options.consumer_key, options.consumer_secret):
                values |= _consumer(begun.consumer_key, begun.consumer_secret)
            account = await self._tried(credentials)
            await self._keep_secrets(values)
            await self._note_account(account)
            return account

    async def account(self) -> Account | None:
        """Ask Tumblr for the connected account and its blogs; None when none is connected.

        Raises:
            TumblrError: the connection does not work.
        """
        if not self.has_account:
            return None
        account = await self.tumblr.account()
        await self._note_account(account)
        return account

    async def disconnect(self) -> None:
        """Forget the tokens. Posts, drafts and the consumer key stay.

        Raises:
            ConnectionFailed: they cannot be taken out of the secrets file; nothing was changed.
        """
        async with self._account_turn:
            self._connecting = None
            await self._keep_secrets(dict.fromkeys(_TOKENS))
            if await asyncio.to_thread(self._config_has_tokens):
                self.overruled_by += (self._settings_path.name,)
            async with self.database.write() as connection:
                await consents.set_own_blogs(connection, [])

    async def tokens_place(self) -> str:
        """Where the tokens come from at a start, in words."""
        return await asyncio.to_thread(self._tokens_place)

    async def choose_destination(self, blog: Blog) -> str:
        """Let drafts that are written from now on go to this blog; returns a sentence if that will not last."""
        return await self._choose({"upload_blog_identifier": blog.name})

    async def choose_sources(self, blogs: Sequence[Blog], *, offered: Sequence[Blog]) -> str:
        """Let /download fetch these of the `offered` blogs; what else is set stays. Returns as `choose_destination`."""
        others = [text for text in self.settings.download_blog_identifiers if not is_one_of(text, offered)]
        return await self._choose({"download_blog_identifiers": [*(blog.name for blog in blogs), *others]})

    async def _choose(self, values: Mapping[str, object]) -> str:
        written = await self._remember(values)
        elsewhere = await asyncio.to_thread(secrets_elsewhere, values)
        if elsewhere:
            return f"At the next start {' and '.join(elsewhere.values())} wins over this: change it there."
        (name,) = values
        return "" if written else f"config.toml could not be written; set `{name}` there, or the next start forgets it."

    def _tokens_place(self) -> str:
        elsewhere = secrets_elsewhere(_TOKENS)
        if elsewhere:
            return " and ".join(elsewhere.values())
        kept = ""
        with suppress(OSError, ValueError):
            kept = (self.settings.data_directory / SECRETS_FILE).read_text("utf-8")
        return f"{SECRETS_FILE} in the data directory" if "oauth_token" in kept else self._settings_path.name

    def _config_has_tokens(self) -> bool:
        """Whether somebody wrote tokens into config.toml, where they do not belong but are read all the same."""
        try:
            written = tomllib.loads(self._settings_path.read_text("utf-8-sig"))
        except (OSError, ValueError):
            return False
        section = as_mapping(written.get("tumblr"))
        return any(section.get(name.removeprefix("tumblr.")) for name in _TOKENS)

    async def _begin(self, key: SecretStr, secret: SecretStr) -> str:
        request = await request_token(
            key.get_secret_value(),
            secret.get_secret_value(),
            api_url=self.settings.tumblr.api_url,
            deadline=self.pace.tumblr_deadline,
        )
        self._connecting = _Connecting(request, key, secret)
        return request.authorize_url

    async def _tried(self, credentials: TumblrCredentials) -> Account:
        """The account that new tokens open; they are not in use yet."""
        tumblr = Tumblr(
            credentials,
            api_url=self.settings.tumblr.api_url,
            deadline=self.pace.tumblr_deadline,
            retry_wait=self.pace.tumblr_retry,
            governor=self._governor,
        )
        try:
            return await tumblr.account()
        except TumblrError as error:
            raise ConnectionFailed(
                f"The new connection could not be tested, so nothing was changed. {error.sentence}",
                "Use /connect tumblr again in a few minutes.",
            ) from None
        finally:
            await tumblr.close()

    async def _keep_secrets(self, values: Mapping[str, str | None]) -> None:
        """Write secrets of [tumblr] down, all or none, and use them."""
        try:
            await asyncio.to_thread(write_secrets, self.settings.data_directory, values)
        except SettingsError as error:
            raise ConnectionFailed(
                f"The keys could not be written down, so nothing was changed. {' '.join(error.problems)}",
                "Correct that, then use /connect tumblr again.",
            ) from None
        self.overruled_by = tuple((await asyncio.to_thread(secrets_elsewhere, values)).values())
        new = {name.removeprefix("tumblr."): SecretStr(value or "") for name, value in values.items()}
        self.settings = self.settings.model_copy(update={"tumblr": self.settings.tumblr.model_copy(update=new)})
        self._use_credentials()

    def _use_credentials(self) -> None:
        """Let every call from now on carry the keys that the settings have."""
        credentials = _credentials(self.settings)
        self.tumblr.use(credentials)
        self.tumblr_in_bulk.use(credentials)

    async def _note_account(self, account: Account) -> None:
        async with self.database.write() as connection:
            await consents.set_own_blogs(connection, account.blogs)

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
        """The connection for "generation", "fine_tuning" or "moderation". Raises NothingToDo without a key for it."""
        return self._services.use(use)

    async def _desk(self) -> Desk:
        settings = self.settings
        voice = await self.voices.current()
        return Desk(
            database=self.database,
            voice=voice,
            writer=self.voices.writer(voice),
            tagging=Tagging(self.service("generation"), settings.tags_developer_message, settings.tags_chance),
            blog=parse_identifier(settings.upload_blog_identifier) if settings.upload_blog_identifier else "",
            upload_state=settings.tumblr.upload_state,
            monthly_limit=settings.budget.monthly_limit,
            dice=self.dice,
            clock=self.clock,
            reblogging=Reblogging(
                self.tumblr,
                tuple(settings.reblog_blog_identifiers),
                settings.reblog_chance if settings.reblog_blog_identifiers else 0.0,
                settings.reblog_user_message,
            ),
        )

    async def _remember(self, values: Mapping[str, object]) -> bool:
        """Use options from now on; returns whether config.toml has them too: it may be read-only in a container."""
        self.settings = with_options(self.settings, values)
        try:
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
            clock=self.clock,
        ):
            self.drafts_changed.set()
            due = progress.wait_until
        return due

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

    async def _recall_quota(self) -> None:
        """Go on from what the last process knew: a restart must not call where Tumblr asked for a pause."""
        kept = await get_fact(self.database, _QUOTA)
        if kept is not None:
            with suppress(msgspec.DecodeError):  # another version's: the first answer tells
                self._governor.restore(msgspec.json.decode(kept, type=GovernorState))
        loop = asyncio.get_running_loop()

        def changed() -> None:  # called from the threads that talk to Tumblr
            loop.call_soon_threadsafe(self._quota_changed.set)

        self._governor.changed = changed

    async def _keep_quota(self) -> None:
        async with self.database.write() as connection:
            await set_fact(connection, _QUOTA, msgspec.json.encode(self._governor.state()).decode())

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

    async def _once_stopped(self, job_id: int) -> None:
        async for _ in self.runner.follow(job_id):
            pass
        self._to_cancel.set()
        self._to_end_batches.set()


def _tumblr(settings: Settings, pace: Pace, governor: Governor, *, keep_back: int = 0, readers: int = 1) -> Tumblr:
    return Tumblr(
        _credentials(settings),
        api_url=settings.tumblr.api_url,
        deadline=pace.tumblr_deadline,
        retry_wait=pace.tumblr_retry,
        governor=governor,
        keep_back=keep_back,
        readers=readers,
    )


@dataclass(frozen=True, slots=True)
class _Connecting:
    """A connection that the owner has begun; it is kept in memory only."""

    request: RequestToken
    consumer_key: SecretStr
    consumer_secret: SecretStr


_TOKENS: tuple[str, ...] = ("tumblr.oauth_token", "tumblr.oauth_token_secret")


def is_one_of(identifier: str, blogs: Sequence[Blog]) -> bool:
    """Whether an identifier, as people write them, means one of these blogs; a custom domain is never recognised."""
    try:
        parsed = parse_identifier(identifier)
    except BlogIdentifierError:
        return False
    return any(parsed in (blog.name.lower(), blog.uuid) for blog in blogs)


def _no_such_consent(blog: str) -> NothingToDo:
    return NothingToDo(f"No consent for {blog} holds.", "/consent list shows those that do.")


def _consumer(key: SecretStr, secret: SecretStr) -> dict[str, str]:
    return {"tumblr.consumer_key": key.get_secret_value(), "tumblr.consumer_secret": secret.get_secret_value()}


def _credentials(settings: Settings) -> TumblrCredentials:
    options = settings.tumblr
    return TumblrCredentials(
        consumer_key=options.consumer_key.get_secret_value(),
        consumer_secret=options.consumer_secret.get_secret_value(),
        oauth_token=options.oauth_token.get_secret_value(),
        oauth_token_secret=options.oauth_token_secret.get_secret_value(),
    )


def _texts(value: JSON) -> list[str]:
    """A job's parameter as a list of texts, whatever an older version stored."""
    return [str(item) for item in value] if isinstance(value, list) else []
