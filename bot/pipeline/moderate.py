"""/moderate: have every text that would be trained on judged, and set aside what is flagged."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

from bot.errors import NothingToDo
from bot.examples import Example
from bot.language.endpoint import ModelService
from bot.language.moderation import Waiting, judge
from bot.language.tokens import count_many
from bot.pipeline.training_file import rewrite_training_file
from bot.progress import Preview, Progress
from bot.store import datasets
from bot.store.database import Database


async def moderate(
    database: Database,
    service: ModelService,
    *,
    training_data_file: Path,
    texts_per_call: int,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Progress]:
    """Judge the newest dataset's texts with the service's moderation model, then rewrite the training file.

    A text judged once by a model is not sent again, so a run that was stopped or killed loses only the calls in flight.

    Raises:
        NothingToDo: there is no dataset.
        ModelError: as `bot.language` raises them; what was judged before is kept.
        BotError: the file cannot be written; what was set aside stays so.
    """
    dataset = await datasets.newest_dataset(database)
    if dataset is None:
        raise NothingToDo("There is no dataset to screen.", "Use /examples first.")
    examples = await datasets.all_examples(database, dataset.id)
    model = service.endpoint.model
    hashes = await asyncio.to_thread(_hashes, examples, dataset.user_message)
    known = await datasets.judged(database, list(hashes.values()), model)
    missing = [text for text, content_hash in hashes.items() if content_hash not in known]
    done = len(hashes) - len(missing)
    now = Progress(done, len(hashes), f"Screening dataset {dataset.id} with {model}.", "texts")
    yield now
    counts = await asyncio.to_thread(count_many, missing)
    # Leaving early must end the calls under way now, not at the next garbage collection.
    async with aclosing(judge(service, missing, counts, texts_per_call=texts_per_call)) as judging:
        async for answer in judging:
            if isinstance(answer, Waiting):
                yield Progress(
                    done,
                    len(hashes),
                    now.line,
                    "texts",
                    waiting_for="the moderation service's limit",
                    wait_until=answer.until,
                )
                continue
            async with database.write() as connection:
                for index, judgement in answer:
                    content_hash = hashes[missing[index]]
                    await datasets.add_judgement(
                        connection,
                        content_hash,
                        model,
                        flagged=judgement.flagged,
                        categories=judgement.categories,
                        scores=judgement.scores,
                        now=clock(),
                    )
                    known[content_hash] = (judgement.categories or ("unnamed",)) if judgement.flagged else ()
            done += len(answer)
            yield Progress(
                done,
                len(hashes),
                now.line,
                "texts",
                Preview(missing[answer[-1][0]], "Just screened") if answer else None,
            )
    reasons = await asyncio.to_thread(_reasons, examples, hashes, known)
    async with database.write() as connection:
        await datasets.set_aside(connection, dataset.id, reasons, model=model, now=clock())
    left = await datasets.training_examples(database, dataset.id)
    await rewrite_training_file(database, training_data_file)
    categories = Counter(category for reason in reasons.values() for category in reason.split(", "))
    yield Progress(
        len(hashes),
        len(hashes),
        f"Done: {len(reasons):,} of {len(examples):,} examples set aside, {len(left):,} left to train on.",
        "texts",
        facts=tuple((category, f"{count:,}") for category, count in categories.most_common(10)),
    )


def _hashes(examples: list[Example], user_message: str) -> dict[str, str]:
    """The SHA-256 of each text to judge, in the dataset's order. CPU work: call it in a thread."""
    # The owner's own standing prompt is the same in nearly every example; what came from elsewhere is judged.
    texts = (text for example in examples for text in (example.assistant, example.user) if text != user_message)
    return {text: hashlib.sha256(text.encode()).hexdigest() for text in texts}


def _reasons(examples: list[Example], hashes: dict[str, str], judged: dict[str, tuple[str, ...]]) -> dict[int, str]:
    """Position of each flagged example, with the categories it was flagged for."""
    reasons: dict[int, str] = {}
    for position, example in enumerate(examples):
        flagged = [
            category
            for text in (example.assistant, example.user)
            if text in hashes
            for category in judged.get(hashes[text], ())
        ]
        if flagged:
            reasons[position] = ", ".join(sorted(set(flagged)))
    return reasons
