"""What people do about voices: be shown what a training would cost, begin it, let it rest, choose what writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from bot.config import Settings
from bot.drafts import Person
from bot.errors import ModelError, ModelRefused, NothingToDo
from bot.examples import Dataset, Example
from bot.jobs.runner import JobState
from bot.language.models import ModelCard, find_model
from bot.language.prices import Estimate, training_price
from bot.model_services import ModelServices
from bot.pipeline.finetune import (
    PURPOSE,
    Course,
    dataset_to_train,
    estimated_cost,
    may_still_begin,
    store_cancelled,
)
from bot.store import datasets, jobs, spending, voices
from bot.store.audit import record
from bot.store.database import Database
from bot.store.spending import Standing
from bot.training import Failure, Offer, Training, TrainingState, Voice, VoiceKind, line_named
from bot.voices.kinds import KINDS, api_of, kind_of, writes_at_once
from bot.voices.protocol import Pausable, Trainer, Writer
from bot.voices.register import Automatic, as_it_writes, untrained_voice, voice_for_writing

_log = logging.getLogger(__name__)
_ASKED = 6.0  # seconds for a question that somebody waits for, and that can do without an answer
_NO_REST = frozenset({404, 405, 501})  # how services say that they know no such thing


@dataclass(frozen=True, slots=True)
class Terms:
    """An offer with what a person should know before they press. Money is in US dollars."""

    offer: Offer
    dataset: Dataset
    price: str
    """Where the price comes from, in words."""
    shutdown_date: date | None
    is_named: bool | None
    """Whether the service names the model among its own; None where it does not tell."""
    money: Standing


@dataclass(frozen=True, slots=True)
class Again:
    """The voice that writes where another text is wanted; `instead` is a sentence, if it is not the one from before."""

    voice: Voice
    instead: str = ""


class VoiceDesk:
    """Voices and trainings, as people deal with them. `remember` puts options into force and into config.toml."""

    def __init__(
        self,
        database: Database,
        services: ModelServices,
        *,
        settings: Callable[[], Settings],
        remember: Callable[[Mapping[str, object]], Awaitable[bool]],
        poll_seconds: float,
        settle_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._services = services
        self._settings = settings
        self._remember = remember
        self._poll_seconds = poll_seconds
        self._settle_seconds = settle_seconds
        self._clock = clock

    # --- writing ----------------------------------------------------------------------------------------------

    async def current(self) -> Voice:
        """The voice that /generate writes with; registered when it is not yet."""
        return await voice_for_writing(self._database, self._automatic(), now=self._clock())

    async def once_more(self, voice_id: int) -> Again:
        """The voice that writes another text instead of one that this voice wrote: the same, as long as it can."""
        voice = await voices.get_voice(self._database, voice_id)
        current = await self.current()
        if voice is None or voice.id == current.id:
            return Again(current)
        if why := self._why_not(voice):
            return Again(current, f"{voice.name} {why}, so {current.name} writes.")
        return Again(self.as_it_writes(voice))

    def _why_not(self, voice: Voice) -> str:
        """Why a voice surely cannot write any more, after its name; "" where it may."""
        if voice.is_retired:
            return "is retired"
        if voice.shutdown_date is not None and voice.shutdown_date <= datetime.fromtimestamp(self._clock(), UTC).date():
            return f"stopped on {voice.shutdown_date}"
        try:
            self.writer(voice)
        except NothingToDo:
            return "is at a service that the settings do not name any more"
        return ""

    async def untrained(self) -> Voice:
        """The voice that writes when no other can; registered when it is not yet."""
        return await untrained_voice(self._database, self._automatic(), now=self._clock())

    def as_it_writes(self, voice: Voice) -> Voice:
        """A voice with the messages that it is asked with now."""
        return as_it_writes(voice, self._automatic())

    def _automatic(self) -> Automatic:
        settings = self._settings()
        generation = settings.endpoint("generation")
        tuning = settings.endpoint("fine_tuning").base_url
        return Automatic(
            fine_tuned_model=settings.fine_tuned_model,
            fine_tuned_base_url=tuning,
            fine_tuned_kind=kind_of(api_of(tuning, settings.openai.fine_tuning.api)),
            few_shot_model=generation.model,
            few_shot_base_url=generation.base_url,
            developer_message=settings.developer_message,
            user_message=settings.user_message,
        )

    def writer(self, voice: Voice) -> Writer:
        """What writes in a voice. Raises NothingToDo where no service is set at its address."""
        return KINDS[voice.kind].writes(self._database, self._services.at(voice.base_url), voice)

    async def likely(self, voice: Voice, *drafts: int) -> tuple[Estimate | None, ...]:
        """What each of these numbers of drafts will probably take, asked for as usual.

        None where that cannot be told, as before the first download.
        """
        voice = self.as_it_writes(voice)
        try:
            writer = self.writer(voice)
            return tuple([await writer.likely(voice, voice.user_message, number) for number in drafts])
        except NothingToDo:
            return (None,) * len(drafts)

    async def use_few_shot(self, person: Person) -> None:
        """Write without training from now on, until somebody chooses another voice or a training ends."""
        before = await self.current()
        async with self._database.write() as connection:
            await voices.activate_none(connection)
            await record(connection, person, "use voice", "few-shot", now=self._clock(), before=before.name)
        await self._remember({"fine_tuned_model": ""})

    # --- training ---------------------------------------------------------------------------------------------

    def trainer(self, kind: VoiceKind, base_url: str) -> Trainer:
        """What trains voices of a kind at an address. Raises NothingToDo where no service is set there."""
        trains = KINDS[kind].trains
        if trains is None:
            raise NothingToDo("A voice of this kind needs no training.", "/generate writes with it.")
        return trains(self._services.at(base_url), api_of(base_url, self._settings().openai.fine_tuning.api))

    def trainer_of(self, training: Training) -> Trainer:
        return self.trainer(training.kind, training.base_url)

    async def offer(
        self,
        *,
        model: str | None = None,
        epochs: int | None = None,
        suffix: str | None = None,
        dataset_id: int | None = None,
        activate: bool = True,
    ) -> Terms:
        """What a training would use and cost. Nothing is sent but a question about the model; nothing is paid.

        Raises:
            NothingToDo: there is no dataset that could be trained on, or no key for the service.
        """
        settings = self._settings()
        dataset = await dataset_to_train(self._database, dataset_id)
        service = self._services.use("fine_tuning")
        model = model or settings.openai.fine_tuning.model or settings.base_model
        epochs = epochs or settings.expected_epochs
        own_price = settings.training_price(model)
        base_url = service.endpoint.base_url
        offer = Offer(
            id=0,
            kind=kind_of(api_of(base_url, settings.openai.fine_tuning.api)),
            dataset_id=dataset.id,
            base_url=base_url,
            model=model,
            epochs=epochs,
            suffix=suffix or "",
            activate=activate,
            cost=estimated_cost(dataset, model, epochs, own_price),
            service_job_id=settings.job_id,
        )
        card, is_named = await self._card(model, base_url)
        now = self._clock()
        async with self._database.write() as connection:
            offer = replace(offer, id=await voices.add_offer(connection, offer, now=now))
        return Terms(
            offer,
            dataset,
            _price_in_words(model, own_price),
            card.shutdown_date if card else None,
            is_named,
            await spending.standing(self._database, settings.budget.monthly_limit, settings.budget.caps, now),
        )

    async def _card(self, model: str, base_url: str) -> tuple[ModelCard | None, bool | None]:
        """What the service says of a model, and whether it has it; None for both where it does not tell at once."""
        try:
            async with asyncio.timeout(_ASKED):
                card = await find_model(self._services.at(base_url).with_model(model))
        except (ModelError, TimeoutError) as error:
            _log.info("The service did not tell when %s ends (%s).", model, type(error).__name__)
            return None, None
        return card, card is not None

    def course(self, offer: Offer) -> Course:
        """What the stage needs to train as offered. Raises NothingToDo where no service is set at its address."""
        settings = self._settings()
        return Course(
            self._database,
            self.trainer(offer.kind, offer.base_url),
            offer,
            settings.training_price(offer.model),
            settings.budget.monthly_limit,
            self._follow_end,
            self._poll_seconds,
            self._settle_seconds,
            self._clock,
            settings.budget.caps,
            self._writes_at_once(offer.base_url),
        )

    def _writes_at_once(self, base_url: str) -> bool:
        return writes_at_once(api_of(base_url, self._settings().openai.fine_tuning.api))

    async def rest(self, job_id: int, person: Person, *, resume: bool) -> None:
        """Let a training rest at its service, or go on.

        Raises:
            NothingToDo: there is no such training, it is over, or its service knows no rest.
            ModelError: the service refused, or did not answer usefully.
        """
        training = await self.training_of(job_id)
        trainer = self.trainer_of(training)
        if training.service_job_id is None or training.state.is_final or not isinstance(trainer, Pausable):
            raise NothingToDo("This training cannot rest now.", "Its message says how it stands.")
        action = "resume training" if resume else "pause training"
        async with self._database.write() as connection:
            await record(connection, person, action, f"training {training.id}", now=self._clock())
        try:
            await (trainer.resume(training) if resume else trainer.pause(training))
        except ModelRefused as refusal:
            if refusal.status not in _NO_REST:
                raise
            raise NothingToDo(
                "This service does not let a training rest.", "Wait for its end, or use *Stop* to cancel it for good."
            ) from None

    async def delete_files(self, job_id: int, person: Person) -> None:
        """Take the uploaded files of a training that gave no voice away again; one that may go on is cancelled first.

        Raises:
            NothingToDo: there is no such training, it goes on, may begin in a moment or has given a voice, or nothing
                is left to delete.
            ModelError: the service refused, or did not answer usefully.
        """
        training = await self.training_of(job_id)
        job = await jobs.get_job(self._database, job_id)
        is_under_way = job is not None and not job.state.is_final  # somebody let it go on
        # Right after *Stop* it may still be running at the service, where it is about to be cancelled.
        is_running = training.state is TrainingState.RUNNING and (job is None or job.state is not JobState.CANCELLED)
        if is_under_way or is_running or training.state is TrainingState.SUCCEEDED:
            raise NothingToDo(
                "The files of this training are in use, or have given a voice.", "Stop the training first."
            )
        if not training.has_files:
            raise NothingToDo("No file of this training is left at the service.", "There is nothing to do.")
        trainer = self.trainer_of(training)
        now = self._clock()
        async with self._database.write() as connection:
            await record(connection, person, "delete training files", f"training {training.id}", now=now)
        if not training.state.is_final:
            training = await trainer.cancel(training)
            ended_at = (job.finished_at if job else None) or 0.0
            is_set_aside = await spending.open_entry(self._database, job_id, PURPOSE) is not None
            if is_set_aside and may_still_begin(training, ended_at + self._settle_seconds, now):
                raise NothingToDo("The service may begin this training in a moment.", "Press again in a minute.")
            await store_cancelled(self._database, training, now=now)
        training = await trainer.delete_files(training)
        async with self._database.write() as connection:
            await voices.save_training(connection, training, now=now)

    async def training_of(self, job_id: int) -> Training:
        """The training that a job began. Raises NothingToDo where there is none."""
        training = await voices.training_of_job(self._database, job_id)
        if training is None:
            raise NothingToDo("Nothing of this training is here any more.", "Use /finetune to begin one.")
        return training

    async def named_example(self, training: Training) -> tuple[int, Example] | None:
        """The line that the service found wrong, counted from 1, with the example in it; None where it names none."""
        line = line_named(training.error or "")
        if line is None or training.failure is not Failure.BAD_FILE:
            return None
        is_held_out = "validation" in (training.error or "").lower()
        read = datasets.held_out_examples if is_held_out else datasets.training_examples
        found = (await read(self._database, training.dataset_id))[line - 1 : line]
        return (line, found[0]) if found else None

    async def _follow_end(self, training: Training) -> None:
        """config.toml follows a training that is over, as it did in tumblrbot."""
        values: dict[str, object] = {}
        if training.service_job_id is not None and training.service_job_id == self._settings().job_id:
            values["job_id"] = ""  # it is under way no more
        if training.state is TrainingState.SUCCEEDED:
            # The service may have gone through the examples more or less often than it was asked to.
            values["expected_epochs"] = training.epochs
            if training.activate and self._writes_at_once(training.base_url):
                values["fine_tuned_model"] = training.fine_tuned_model or ""
        if values:
            await self._remember(values)  # the voice is in the register, which is what counts


def _price_in_words(model: str, own_price: float | None) -> str:
    if own_price is not None:
        return f"${own_price:g} for a million tokens, your token_price"
    price = training_price(model)
    if price is None:
        return "the dearest that is known, since nothing is known of this model; set token_price"
    return f"${price.training:g} for a million tokens, as of {price.checked_on}"
