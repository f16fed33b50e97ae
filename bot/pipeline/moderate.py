"""/moderate: have every text that would be trained on judged, and set aside what is flagged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from bot.errors import NothingToDo
from bot.language.endpoint import ModelService
from bot.language.moderation import Waiting, judge
from bot.language.tokens import count_many
from bot.pipeline.moderate_batches import judge_in_batches
from bot.pipeline.screening import content_hash, finish_screening, judged_texts
from bot.pipeline.training_file import rewrite_training_file
from bot.progress import Preview, Progress
from bot.store import datasets, screening
from bot.store.database import Database
from bot.store.screening import ExampleTexts


@dataclass(frozen=True, slots=True)
class InBatches:
    """The owner's choice for a large archive: the service answers when it likes. `poll_seconds` is between looks."""

    job_id: int
    poll_seconds: float


async def moderate(
    database: Database,
    service: ModelService,
    *,
    training_data_file: Path,
    texts_per_call: int,
    in_batches: InBatches | None = None,
    window: float = 60.0,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Progress]:
    """Judge the newest dataset's texts with the service's moderation model, then rewrite the training file.

    A text judged once by a model is not sent again, so a run that was stopped or killed loses only the calls in flight.
    What the batches do not answer is judged call by call. `window` is the time, in seconds, for which the service's
    limits are.

    Raises:
        NothingToDo: there is no dataset.
        ModelError: as `bot.language` raises them; what was judged before is kept.
        BotError: the file cannot be written; what was set aside stays so.
    """
    dataset = await datasets.newest_dataset(database)
    if dataset is None:
        raise NothingToDo("There is no dataset to screen.", "Use /examples first.")
    texts = await _texts(database, dataset.id, dataset.user_message)
    model = service.endpoint.model
    missing = await _unjudged(database, texts, model)
    done = len(texts) - len(missing)
    line = f"Screening dataset {dataset.id} with {model}."
    yield Progress(done, len(texts), line, "texts")
    if in_batches is not None:
        moments = judge_in_batches(
            database, service, missing, job_id=in_batches.job_id, poll_seconds=in_batches.poll_seconds, clock=clock
        )
        async with aclosing(moments):
            async for moment in moments:
                now = f"{line} {moment.line}"
                yield Progress(
                    min(done + moment.judged, len(texts)), len(texts), now, "texts", waiting_for=moment.waiting_for
                )
        missing = await _unjudged(database, missing, model)
        done = len(texts) - len(missing)
        if missing:
            line += " What had no answer in the batches is sent text by text."
            yield Progress(done, len(texts), line, "texts")
    keys, wanted = list(missing), list(missing.values())
    counts = await asyncio.to_thread(count_many, wanted)
    # Leaving early must end the calls under way now, not at the next garbage collection.
    async with aclosing(judge(service, wanted, counts, texts_per_call=texts_per_call, window=window)) as judging:
        async for answer in judging:
            if isinstance(answer, Waiting):
                yield Progress(
                    done,
                    len(texts),
                    line,
                    "texts",
                    waiting_for="the moderation service's limit",
                    wait_until=answer.until,
                )
                continue
            async with database.write() as connection:
                judgements = {keys[index]: judgement for index, judgement in answer}
                await screening.add_judgements(connection, model, judgements, now=clock())
            done += len(answer)
            preview = Preview(wanted[answer[-1][0]], "Just screened") if answer else None
            yield Progress(done, len(texts), line, "texts", preview)
    finished = await finish_screening(database, dataset, model, now=clock())
    left = await datasets.get_dataset(database, dataset.id)
    await rewrite_training_file(database, training_data_file)
    total = await screening.example_count(database, dataset.id)
    facts = [(category, f"{count:,}") for category, count in list(finished.categories.items())[:10]]
    if finished.carried:
        facts.append(("Decided before", f"{finished.carried:,}, in earlier datasets"))
    yield Progress(
        len(texts),
        len(texts),
        f"Done: {finished.set_aside:,} of {total:,} examples set aside,"
        f" {left.training_count if left else 0:,} left to train on.",
        "texts",
        facts=tuple(facts),
        dataset_id=dataset.id,
    )


async def _texts(database: Database, dataset_id: int, user_message: str) -> dict[str, str]:
    """Every text to judge by its hash, in the dataset's order."""
    texts: dict[str, str] = {}
    position = -1
    while page := await screening.texts_after(database, dataset_id, position):
        position = page[-1].position
        texts |= await asyncio.to_thread(_by_hash, page, user_message)
    return texts


def _by_hash(page: Iterable[ExampleTexts], user_message: str) -> dict[str, str]:
    return {content_hash(text): text for example in page for text in judged_texts(example, user_message)}


async def _unjudged(database: Database, texts: dict[str, str], model: str) -> dict[str, str]:
    known = await screening.judged(database, list(texts), model)
    return {key: text for key, text in texts.items() if key not in known}
