"""/finetune: train a voice at a service, from the upload to the model's name, across restarts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from bot.budget import NO_CAPS, Caps
from bot.errors import (
    ModelError,
    ModelQuotaExhausted,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
    NothingToDo,
    TrainingFailed,
    TrainingNotAvailable,
)
from bot.examples import Dataset
from bot.language.endpoint import service_name
from bot.language.prices import training_cost
from bot.pipeline.examples import FEWEST_EXAMPLES
from bot.pipeline.waiting import wait_until
from bot.progress import Preview, Progress
from bot.store import datasets, spending, voices
from bot.store.database import Database
from bot.training import Failure, Offer, Training, TrainingState, Voice
from bot.voices.protocol import Material, Pausable, Trainer
from bot.words import counted

_log = logging.getLogger(__name__)
PURPOSE = "fine-tuning"
LIMIT = "the service's limit"
AWAY = "the service, which does not answer"
UNSETTLED = "what the service may still make of a call whose answer was lost"
_TRIES = 3  # of a step that begins something
_PATIENCE = 86_400.0  # seconds without an answer before we give up watching (the training itself goes on)
_SLOWEST = 6.0  # times the usual pause between looks, where nothing changes
_RAREST = 60.0  # the same, where the service does not answer
_SLOWER = 1.5
_SHOW_UPLOAD = 0.5  # seconds between two looks at an upload
_EVENTS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Course:
    """Everything that a training needs, whichever service it goes to.

    `token_price` is the owner's own, in US dollars for a million tokens; None takes what is known of the model.
    `on_end` is told once the outcome is stored, so that config.toml can follow. For `settle_seconds` a service may
    still act on a call that it did not answer: so long nothing is looked for, and nothing is created anew.
    `writes_at_once` is False where a person has to deploy the model before it writes.
    """

    database: Database
    trainer: Trainer
    offer: Offer
    token_price: float | None
    monthly_limit: float
    on_end: Callable[[Training], Awaitable[None]]
    poll_seconds: float = 10.0
    settle_seconds: float = 60.0
    clock: Callable[[], float] = time.time
    caps: Caps = NO_CAPS
    writes_at_once: bool = True


def estimated_cost(dataset: Dataset, model: str, epochs: int, token_price: float | None) -> float:
    """Dollars for training, as far as the price is known: an estimate."""
    return training_cost(model, dataset.tokens, epochs, token_price)


async def dataset_to_train(database: Database, dataset_id: int | None = None) -> Dataset:
    """The dataset with this number, else the newest, if it can be trained on.

    Raises:
        NothingToDo: there is none, or too little in it.
    """
    if dataset_id is None:
        dataset = await datasets.newest_dataset(database)
    else:
        dataset = await datasets.get_dataset(database, dataset_id)
        if dataset is None:
            raise NothingToDo(f"There is no dataset {dataset_id}.", "Use /examples to make one.")
    if dataset is None:
        raise NothingToDo("There is no dataset to train on.", "Use /examples first.")
    if dataset.training_count < FEWEST_EXAMPLES:
        raise NothingToDo(
            f"Dataset {dataset.id} has only {dataset.training_count} examples left,"
            f" and training needs at least {FEWEST_EXAMPLES}.",
            "Use /download for more posts, then /examples.",
        )
    return dataset


async def finetune(course: Course, *, job_id: int) -> AsyncIterator[Progress]:
    """Train on a dataset, or follow what trains already. A resumed job repeats neither an upload nor the service's job.

    Raises:
        NothingToDo: the dataset has gone.
        BudgetReached: the estimate would pass the month's cap.
        TrainingFailed: the training is over and gave no voice.
        ModelError: the service refused, or could not be reached for long. The training goes on from there when its job
            does.
    """
    database = course.database
    dataset = await datasets.get_dataset(database, course.offer.dataset_id)
    if dataset is None:
        raise NothingToDo(f"Dataset {course.offer.dataset_id} does not exist.", "Use /examples first.")
    run = await _begun(course, dataset, job_id)
    try:
        for steps in (run.upload(), run.begin(), run.follow()):
            async with aclosing(steps):
                async for progress in steps:
                    yield progress
    except ModelError as error:
        await _gave_up(run, error)
        raise
    async for progress in _ended(course, run.training, dataset):
        yield progress


async def _begun(course: Course, dataset: Dataset, job_id: int) -> _Run:
    """The job's training as it goes on, with money set aside for what is not begun at the service yet."""
    database, offer = course.database, course.offer
    training = await voices.training_of_job(database, job_id)
    is_set_aside = await spending.open_entry(database, job_id, PURPOSE) is not None
    is_to_pay = training is None or training.state in {TrainingState.PREPARING, TrainingState.UPLOADED}
    # A run whose beginning was refused gave its money back: what is set aside still was left by one that was cut off.
    was_cut_off = training is not None and is_set_aside
    async with database.write() as connection:
        if is_to_pay and not is_set_aside:
            # A job that somebody began elsewhere is being paid already: what it cost is written down at its end.
            cost = estimated_cost(dataset, offer.model, offer.epochs, course.token_price)
            await spending.reserve(
                connection,
                purpose=PURPOSE,
                job_id=job_id,
                model=offer.model,
                dollars=0.0 if offer.service_job_id else cost,
                limit=course.monthly_limit,
                now=course.clock(),
                caps=course.caps,
            )
        if training is None:
            training = await voices.add_training(connection, offer, job_id=job_id, now=course.clock())
        if training.failure is not None and not training.state.is_final:  # a person lets it go on
            training = replace(training, failure=None, error=None)
            await voices.save_training(connection, training, now=course.clock())
    may_be_begun = training.state is TrainingState.UPLOADED and was_cut_off
    return _Run(course, dataset, training, may_be_begun=may_be_begun, is_unsettled=was_cut_off)


# --- the steps ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Run:
    """A training as this process takes it further. `training` is what is known, and stored, of it."""

    course: Course
    dataset: Dataset
    training: Training
    may_be_begun: bool
    """Whether an earlier try may have begun it at the service without our knowing."""
    is_unsettled: bool
    """Whether the service may be acting at this moment on a call whose answer was lost."""

    async def upload(self) -> AsyncGenerator[Progress]:
        """Upload what is not uploaded yet."""
        if self.training.state is not TrainingState.PREPARING:
            return
        material = Material(
            self.dataset,
            await datasets.training_examples(self.course.database, self.dataset.id),
            await datasets.held_out_examples(self.course.database, self.dataset.id),
        )
        while self.training.state is TrainingState.PREPARING:
            is_first = self.training.file_id is None
            count, part = (len(material.training), "training") if is_first else (len(material.held_out), "held-out")
            upload = _Upload(f"Uploading the {part} examples of dataset {self.dataset.id}: {count:,}.")
            step = partial(self.course.trainer.prepare, self.training, material, upload.sent)
            async with aclosing(self._insist(step, upload.progress)) as tries:
                async for progress in tries:
                    yield progress

    async def begin(self) -> AsyncGenerator[Progress]:
        """Have the service begin."""
        if self.training.state is not TrainingState.UPLOADED:
            return
        waiting = Progress(0, None, "Waiting for the service to accept the files.")
        step = partial(self.course.trainer.train, self.training)
        async with aclosing(self._insist(step, lambda: waiting)) as tries:
            async for progress in tries:
                yield progress

    async def follow(self) -> AsyncGenerator[Progress]:
        """Look at the training until it is over; less often while nothing changes, or while the service is away."""
        pause = self.course.poll_seconds
        longest, rarest = pause * _SLOWEST, pause * _RAREST
        away_since: float | None = None
        while not self.training.state.is_final:
            if away_since is None:
                yield self.watching()
                await asyncio.sleep(pause)
            else:
                async for waiting in self._waited(pause, AWAY, self.watching()):
                    yield waiting
            try:
                polled = await self.course.trainer.poll(self.training)
            except ModelRateLimited as limit:
                async for waiting in self._waited(limit.retry_after, LIMIT, self.watching()):
                    yield waiting
                continue
            except ModelUnavailable as error:
                now = self.course.clock()
                if away_since is None:
                    away_since = now
                    _log.warning("Training %d is asked about again until it is told of: %s", self.training.id, error)
                if now - away_since >= _PATIENCE:
                    raise
                pause = min(pause * _SLOWER, rarest)
                continue
            away_since = None
            pause = self.course.poll_seconds if polled != self.training else min(pause * _SLOWER, longest)
            # What a training ended with is stored together with what comes of it.
            self.training = polled if polled.state.is_final else await _stored(self.course, polled)

    def watching(self) -> Progress:
        return _watching(self.training, self.dataset, self.course)

    async def _insist(
        self, step: Callable[[], Awaitable[Training]], shown: Callable[[], Progress]
    ) -> AsyncGenerator[Progress]:
        """Take a step that looks for what an earlier try left behind before it creates anything.

        Otherwise a training could go on at the service, and be paid for, that nobody here knows of. A look right after
        a lost answer would be too early: what it does not find may be created a moment later, and then twice. That
        time, and a limit of the service, is waited for where everybody can see it.
        """
        tries = 0
        while True:
            if self.is_unsettled:
                async for waiting in self._waited(self.course.settle_seconds, UNSETTLED, shown()):
                    yield waiting
                self.is_unsettled = False
            task = asyncio.ensure_future(step())
            try:
                while not task.done():
                    yield shown()
                    await asyncio.wait({task}, timeout=_SHOW_UPLOAD)
                self.training = await _stored(self.course, task.result())
            except ModelRateLimited as limit:
                async for waiting in self._waited(limit.retry_after, LIMIT, shown()):
                    yield waiting
            except ModelUnavailable as error:
                self.may_be_begun = self.training.state is TrainingState.UPLOADED
                self.is_unsettled = True
                tries += 1
                if tries >= _TRIES:
                    raise
                _log.warning("A step of the training failed, and is taken again: %s", error)
            else:
                return
            finally:
                if not task.done():
                    task.cancel()
                    await asyncio.wait({task})

    def _waited(self, seconds: float, reason: str, progress: Progress) -> AsyncIterator[Progress]:
        clock = self.course.clock
        return wait_until(clock() + seconds, reason, progress, clock=clock)


@dataclass(slots=True)
class _Upload:
    """How much of a file is on its way."""

    line: str
    done: int = 0
    total: int | None = None

    def sent(self, done: int, total: int) -> None:
        self.done, self.total = done, total

    def progress(self) -> Progress:
        return Progress(self.done, self.total, self.line, "bytes")


def why(error: ModelError) -> Failure:
    """Which kind of failure a refusal is."""
    match error:
        case TrainingNotAvailable():
            return Failure.NOT_AVAILABLE
        case ModelQuotaExhausted():
            return Failure.NO_CREDIT
        case ModelRefused(code=str() as code) if code == "unsafe_file":
            return Failure.UNSAFE
        case ModelRefused(code=str() as code) if code.startswith("invalid_"):
            return Failure.BAD_FILE
        case _:
            return Failure.OTHER


async def _gave_up(run: _Run, error: ModelError) -> None:
    """Note why, and free the money, unless the training may go on at the service.

    A training that the service takes from nobody is over, and its files are deleted again: the press that began it was
    told so. One that was refused for another reason goes on from here when its job does.
    """
    course, training = run.course, run.training
    failed = replace(training, failure=why(error), error=error.sentence)
    is_begun = training.state is TrainingState.RUNNING
    if failed.failure in {Failure.NOT_AVAILABLE, Failure.UNSAFE, Failure.BAD_FILE} and not is_begun:
        failed = replace(failed, state=TrainingState.FAILED)
    if is_begun or (run.may_be_begun and not failed.state.is_final):
        await _stored(course, failed)
    else:
        await _concluded(course, failed, 0.0)
    await _take_back(course, failed)


async def _take_back(course: Course, training: Training) -> None:
    """Delete the files of a training that the service takes from nobody. Its end is stored: a crash changes nothing."""
    if training.failure is not Failure.NOT_AVAILABLE or not training.state.is_final or not training.has_files:
        return
    try:
        await _stored(course, await course.trainer.delete_files(training))
    except ModelError as refusal:
        _log.warning("The files of training %d could not be deleted: %s", training.id, refusal)


async def _ended(course: Course, training: Training, dataset: Dataset) -> AsyncIterator[Progress]:
    """Store what came of a training, then show it: a crash between the two only tells it again."""
    cost, model = _cost(course, training, dataset), training.fine_tuned_model
    if training.state is not TrainingState.SUCCEEDED or model is None:
        await _concluded(course, training, cost if training.trained_tokens else 0.0)
        await course.on_end(training)
        await _take_back(course, training)
        yield _watching(training, dataset, course)
        raise _failed(training)
    is_new = await voices.voice_of_training(course.database, training.id) is None
    await _concluded(course, training, cost, _new_voice(course, training, dataset, model, cost) if is_new else None)
    await course.on_end(training)
    voice = await voices.voice_of_training(course.database, training.id)
    yield Progress(
        1,
        1,
        _done(course, voice),
        facts=_facts(training, dataset, cost),
        curve=training.loss_curve,
        held_out_curve=training.held_out_curve,
    )


def _cost(course: Course, training: Training, dataset: Dataset) -> float:
    """Dollars: as the service tells them, else by the tokens that it tells, else as they were estimated."""
    if training.cost is not None:
        return training.cost
    if training.trained_tokens is not None:
        return training_cost(training.base_model, training.trained_tokens, 1, course.token_price)
    return estimated_cost(dataset, training.base_model, training.epochs, course.token_price)


def _new_voice(course: Course, training: Training, dataset: Dataset, model: str, cost: float) -> Voice:
    return Voice(
        id=0,
        kind=training.kind,
        name=_name(training, dataset),
        model=model,
        base_url=training.base_url,
        dataset_id=dataset.id,
        developer_message=dataset.developer_message,
        user_message=dataset.user_message,
        cost=cost,
        active=training.activate and course.writes_at_once,
        created_at=course.clock(),
        settings=_settings(training),
        training_id=training.id,
    )


def _facts(training: Training, dataset: Dataset, cost: float) -> tuple[tuple[str, str], ...]:
    facts = [
        ("Voice", _name(training, dataset)),
        ("Model", training.fine_tuned_model or ""),
        ("Cost", f"about ${cost:.2f}"),
    ]
    if training.trained_tokens is not None:
        facts.append(("Trained", f"{training.trained_tokens:,} tokens"))
    facts.append(("Epochs", f"{training.epochs}"))
    if training.loss_curve:
        facts.append(("Loss", f"{training.loss_curve[0][1]:.2f} at first, {training.loss_curve[-1][1]:.2f} at last"))
    if training.held_out_curve:
        facts.append(("Held-out loss", f"{training.held_out_curve[-1][1]:.2f} at last"))
    return tuple(facts)


def _done(course: Course, voice: Voice | None) -> str:
    if voice is None:
        return "Done."  # it was removed in this very moment
    if not course.writes_at_once:
        return (
            f"Done: {service_name(voice.base_url)} lets the new model write once you have deployed it there. Then use"
            f" /voices add with the deployment's name as its model, and like:{voice.id} for the words of this training."
        )
    return "Done: the new voice is active." if voice.active else "Done: the new voice is in /voices."


def _name(training: Training, dataset: Dataset) -> str:
    return f"{training.suffix or training.base_model}, dataset {dataset.id}"


def _settings(training: Training) -> tuple[tuple[str, str], ...]:
    found = [("Base model", training.base_model), ("Epochs", f"{training.epochs}")]
    if training.suffix:
        found.append(("Suffix", training.suffix))
    if training.trained_tokens is not None:
        found.append(("Trained", f"{training.trained_tokens:,} tokens"))
    return tuple(found)


def _failed(training: Training) -> TrainingFailed:
    """What a training that gave no voice means, in plain words."""
    service = service_name(training.base_url)
    if training.state is TrainingState.CANCELLED:
        return TrainingFailed(f"{service} says that the training was cancelled.", "Use /finetune to begin again.")
    said = f" It says: {training.error}" if training.error else ""
    match training.failure:
        case Failure.UNSAFE:
            sentence = f"The safety checks of {service} stopped the training.{said}"
            step = "Leave more out with one of the buttons, then make the examples and train again."
        case Failure.CHECK_BROKEN:
            sentence = f"The safety check of {service} broke down, which is no verdict on your posts.{said}"
            step = "Try the same again; mostly it passes then."
        case Failure.BAD_FILE:
            sentence = f"{service} could not train on the file.{said}"
            step = "Correct what it names with /examples, then train again."
        case Failure.NO_CREDIT:
            sentence = f"There is not enough credit or quota at {service}.{said}"
            step = "Look at the billing and limits pages there, then try again."
        case _:
            sentence = f"{service} could not train.{said}"
            step = "Try again, or write without training, as /generate does."
    return TrainingFailed(sentence if sentence.endswith(".") else f"{sentence}.", step)


async def cancel_abandoned(
    database: Database,
    trainer_for: Callable[[Training], Trainer],
    *,
    settle_seconds: float,
    clock: Callable[[], float] = time.time,
) -> float | None:
    """Cancel at the service what a person has stopped here: their press of *Stop* is the recorded act.

    One that was stopped over the very call that begins it may come to be a moment later: it is looked for until
    `settle_seconds` after the stop. Returns when to look again (unix seconds), or None.
    """
    due: float | None = None
    for training, stopped_at in await voices.abandoned_trainings(database):
        try:
            ended = await trainer_for(training).cancel(training)
        except (ModelError, NothingToDo) as error:
            # The next look tries again; it must not keep those after it from being cancelled.
            _log.warning("Training %d could not be cancelled at the service: %s", training.id, error)
            continue
        settled_at = stopped_at + settle_seconds
        if may_still_begin(ended, settled_at, clock()):
            due = settled_at if due is None else min(due, settled_at)
            continue
        await store_cancelled(database, ended, now=clock())
        _log.info("Training %d was cancelled at the service, as asked.", training.id)
    return due


def may_still_begin(cancelled: Training, settled_at: float, now: float) -> bool:
    """Whether a training of which no job was found to cancel may have one in a moment; times in unix seconds."""
    return cancelled.file_id is not None and cancelled.service_job_id is None and now < settled_at


async def store_cancelled(database: Database, training: Training, *, now: float) -> None:
    """Store a training that was cancelled from here, with what that means for the money set aside.

    What never began at a service costs nothing; what did is counted as it was set aside, for nobody tells.
    """
    entry = await spending.open_entry(database, training.job_id, PURPOSE)
    async with database.write() as connection:
        await voices.save_training(connection, training, now=now)
        if entry is not None and training.service_job_id is None:
            await spending.settle(connection, entry, dollars=0.0)


async def _stored(course: Course, training: Training) -> Training:
    async with course.database.write() as connection:
        await voices.save_training(connection, training, now=course.clock())
    return training


async def _concluded(course: Course, training: Training, dollars: float, voice: Voice | None = None) -> None:
    """Store how far a training came, what it cost, and the voice that came of it: a crash must not split them."""
    entry = await spending.open_entry(course.database, training.job_id, PURPOSE)
    async with course.database.write() as connection:
        await voices.save_training(connection, training, now=course.clock())
        if voice is not None:
            await voices.add_voice(connection, voice)
        if entry is not None:
            await spending.settle(connection, entry, dollars=dollars, input_tokens=training.trained_tokens or 0)


# --- what people see ------------------------------------------------------------------------------------------


def _watching(training: Training, dataset: Dataset, course: Course) -> Progress:
    points = training.loss_curve
    state = (training.service_state or "accepted").replace("_", " ")
    line = f"{service_name(training.base_url)} says: {state}."
    preview = None
    if points:
        line += f" Loss {points[-1][1]:.3f} at step {points[-1][0]:,}."
        preview = Preview(sparkline([loss for _, loss in points]), "Training loss")
    facts = [
        ("Training", f"{training.base_model} on dataset {dataset.id}, {counted(training.epochs, 'epoch')}"),
    ]
    # What a training failed with is told as the reason already.
    events = [event.text for event in training.events if not (training.error or "").startswith(event.text.rstrip("…"))]
    if events:
        facts.append(("Lately", "\n".join(events[-_EVENTS_SHOWN:])))
    can_rest = isinstance(course.trainer, Pausable)
    rest = {"running": "pause", "paused": "resume"}.get(training.service_state or "") if can_rest else None
    return Progress(
        points[-1][0] if points else 0,
        # Steps are the service's own unit: until it tells, one batch an example at most is an estimate of the whole.
        training.steps or dataset.training_count * training.epochs,
        line,
        "steps",
        preview,
        total_is_estimate=training.steps is None,
        facts=tuple(facts),
        curve=points,
        held_out_curve=training.held_out_curve,
        finish=training.estimated_finish,
        rest=rest,
    )


def sparkline(values: list[float], width: int = 28) -> str:
    """The values as a row of eight heights, newest at the right."""
    if not values:
        return ""
    step = max(1, -(-len(values) // width))
    thinned = values[::step]
    low, high = min(thinned), max(thinned)
    span = (high - low) or 1.0
    return "".join("▁▂▃▄▅▆▇█"[min(7, int((value - low) / span * 7.999))] for value in thinned)
