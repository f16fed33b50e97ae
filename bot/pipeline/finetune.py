"""/finetune: train a voice at a service, from the upload to the model's name, across restarts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from bot.errors import ModelRateLimited, ModelUnavailable, NothingToDo, TrainingFailed
from bot.examples import Dataset
from bot.language.prices import training_cost
from bot.pipeline.examples import FEWEST_EXAMPLES
from bot.progress import Preview, Progress
from bot.store import datasets, spending, voices
from bot.store.database import Database
from bot.training import Training, TrainingState, Voice, VoiceKind
from bot.voices.protocol import Trainer

_log = logging.getLogger(__name__)
_PURPOSE = "fine-tuning"
_TRIES = 3  # of a step that begins something
_PATIENCE = 20  # polls in a row that may fail before we give up watching (the training itself goes on)


def estimated_cost(dataset: Dataset, model: str, epochs: int, token_price: float | None) -> float:
    """Dollars for training, as far as the price is known: an estimate."""
    return training_cost(model, dataset.tokens, epochs, token_price)


async def dataset_to_train(database: Database) -> Dataset:
    """The newest dataset, if it can be trained on.

    Raises:
        NothingToDo: there is none, or too little in it.
    """
    dataset = await datasets.newest_dataset(database)
    if dataset is None:
        raise NothingToDo("There is no dataset to train on.", "Use /examples first.")
    if dataset.training_count < FEWEST_EXAMPLES:
        raise NothingToDo(
            f"Dataset {dataset.id} has only {dataset.training_count} examples left,"
            f" and training needs at least {FEWEST_EXAMPLES}.",
            "Use /download for more posts, then /examples.",
        )
    return dataset


async def finetune(
    database: Database,
    trainer: Trainer,
    *,
    job_id: int,
    dataset_id: int,
    base_url: str,
    model: str,
    epochs: int,
    token_price: float | None,
    monthly_limit: float,
    service_job_id: str | None,
    on_success: Callable[[Training], Awaitable[None]],
    poll_seconds: float = 10.0,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Progress]:
    """Train on a dataset. A resumed job repeats neither the upload nor the service's job.

    `service_job_id` is a job that is under way at the service already: it is only followed. `on_success` is told once
    the voice is stored, so that config.toml can follow.

    Raises:
        NothingToDo: the dataset has gone.
        BudgetReached: the estimate would pass the month's cap.
        TrainingFailed: the service ended the job without a model.
        ModelError: the service refused, or could not be reached for long.
    """
    dataset = await datasets.get_dataset(database, dataset_id)
    if dataset is None:
        raise NothingToDo(f"Dataset {dataset_id} does not exist.", "Use /examples first.")
    training = await voices.training_of_job(database, job_id)
    if training is None:
        cost = 0.0 if service_job_id else estimated_cost(dataset, model, epochs, token_price)
        async with database.write() as connection:
            # A job that somebody began elsewhere is being paid already: what it cost is written down at its end.
            await spending.reserve(
                connection,
                purpose=_PURPOSE,
                job_id=job_id,
                model=model,
                dollars=cost,
                limit=monthly_limit,
                now=clock(),
            )
            training = await voices.add_training(
                connection,
                job_id=job_id,
                dataset_id=dataset_id,
                base_url=base_url,
                model=model,
                epochs=epochs,
                service_job_id=service_job_id,
                now=clock(),
            )
    try:
        if training.state is TrainingState.PREPARING:
            yield Progress(0, None, f"Uploading dataset {dataset.id}: {dataset.training_count:,} examples.")
            examples = await datasets.training_examples(database, dataset_id)
            prepared = await _insist(partial(trainer.prepare, training, dataset, examples), poll_seconds)
            training = await _stored(database, prepared, clock)
        if training.state is TrainingState.UPLOADED:
            yield Progress(0, None, "Waiting for the service to accept the file.")
            training = await _stored(database, await _insist(partial(trainer.train, training), poll_seconds), clock)
    except Exception as error:
        # Nothing is trained, so nothing may eat the budget of the next try; unless the answer was lost to the very
        # call that begins the training: then it may go on at the service, and what was set aside stays so.
        if training.state is TrainingState.PREPARING or not isinstance(error, ModelUnavailable):
            await _settle(database, job_id, 0.0, 0)
        raise
    failures = 0
    while not training.state.is_final:
        yield _watching(training, dataset)
        await asyncio.sleep(poll_seconds)
        try:
            polled = await trainer.poll(training)
        except (ModelUnavailable, ModelRateLimited) as error:
            failures += 1
            if failures >= _PATIENCE:
                raise
            _log.warning("Asking about training %d failed (%s), will ask again.", training.id, type(error).__name__)
            continue
        failures = 0
        if not polled.state.is_final:
            training = await _stored(database, polled, clock)
            continue
        training = polled
    async for progress in _ended(database, training, dataset, job_id, token_price, on_success, clock):
        yield progress


async def _insist(step: Callable[[], Awaitable[Training]], pause: float) -> Training:
    """Take a step that looks for what an earlier try left behind before it creates anything: a lost answer is no end.

    Otherwise a training could go on at the service, and be paid for, that nobody here knows of.
    """
    for _ in range(_TRIES - 1):
        try:
            return await step()
        except ModelUnavailable as error:
            _log.warning("A step of the training failed, and is taken again: %s", error)
        await asyncio.sleep(pause)
    return await step()


async def cancel_abandoned(database: Database, trainer: Trainer, *, clock: Callable[[], float] = time.time) -> None:
    """Cancel at the service what a person has stopped here: their press of *Stop* is the recorded act."""
    for training in await voices.abandoned_trainings(database):
        ended = await trainer.cancel(training)
        async with database.write() as connection:
            await voices.save_training(connection, ended, now=clock())
        _log.info("Training %d was cancelled at the service, as asked.", training.id)


async def _ended(
    database: Database,
    training: Training,
    dataset: Dataset,
    job_id: int,
    token_price: float | None,
    on_success: Callable[[Training], Awaitable[None]],
    clock: Callable[[], float],
) -> AsyncIterator[Progress]:
    trained = training.trained_tokens
    cost = (
        training_cost(training.base_model, trained, 1, token_price)
        if trained is not None
        else estimated_cost(dataset, training.base_model, training.epochs, token_price)
    )
    if training.state is not TrainingState.SUCCEEDED or training.fine_tuned_model is None:
        async with database.write() as connection:
            await voices.save_training(connection, training, now=clock())
        await _settle(database, job_id, cost if trained else 0.0, trained or 0)
        if training.state is TrainingState.CANCELLED:
            raise TrainingFailed("The service says that the training was cancelled.", "Use /finetune to begin again.")
        raise TrainingFailed(
            f"The service could not train: {training.error}",
            "Screen the dataset with /moderate and try again; /generate works without training too.",
        )
    voice = Voice(
        id=0,
        kind=VoiceKind.FINE_TUNED,
        name=f"{training.base_model}, dataset {dataset.id}",
        model=training.fine_tuned_model,
        base_url=training.base_url,
        dataset_id=dataset.id,
        developer_message=dataset.developer_message,
        user_message=dataset.user_message,
        cost=cost,
        active=True,
        created_at=clock(),
    )
    # Everything the service said is stored before anything is shown.
    async with database.write() as connection:
        await voices.save_training(connection, training, now=clock())
        await voices.add_voice(connection, voice, training_id=training.id)
    await _settle(database, job_id, cost, trained or 0)
    await on_success(training)
    facts = [("Model", training.fine_tuned_model), ("Cost", f"about ${cost:.2f}")]
    if trained is not None:
        facts.append(("Trained", f"{trained:,} tokens"))
    if training.loss_curve:
        facts.append(("Loss", f"{training.loss_curve[0][1]:.2f} at first, {training.loss_curve[-1][1]:.2f} at last"))
    yield Progress(1, 1, "Done: the new voice is active.", facts=tuple(facts), curve=training.loss_curve)


async def _stored(database: Database, training: Training, clock: Callable[[], float]) -> Training:
    async with database.write() as connection:
        await voices.save_training(connection, training, now=clock())
    return training


async def _settle(database: Database, job_id: int, dollars: float, tokens: int) -> None:
    entry = await spending.open_entry(database, job_id, _PURPOSE)
    if entry is not None:
        async with database.write() as connection:
            await spending.settle(connection, entry, dollars=dollars, input_tokens=tokens)


def _watching(training: Training, dataset: Dataset) -> Progress:
    points = training.loss_curve
    line = f"The service says: {(training.service_state or 'accepted').replace('_', ' ')}."
    preview = None
    if points:
        line += f" Loss {points[-1][1]:.3f} at step {points[-1][0]:,}."
        preview = Preview(sparkline([loss for _, loss in points]), "Training loss")
    # Steps are the service's own unit: one batch an example at most, so this is an estimate of the whole.
    total = dataset.training_count * training.epochs
    return Progress(
        points[-1][0] if points else 0,
        total,
        line,
        "steps",
        preview,
        total_is_estimate=True,
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
