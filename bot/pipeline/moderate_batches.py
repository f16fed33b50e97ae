"""/moderate by the file: texts are judged in batches at the service, and nothing is begun twice.

Each step of a batch is stored before the next is taken, and looks for what an earlier try left behind before it
creates anything. Batches that no job works on any more are brought to their end by `look_after_batches`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from bot.errors import ModelError, ModelRateLimited, ModelRefused, ModelUnavailable
from bot.language import batches as at_service
from bot.language.batches import Batch
from bot.language.endpoint import ModelService
from bot.language.tuning import delete_file
from bot.screening import BatchState, Judgement, ScreeningBatch
from bot.store import screening as store
from bot.store.database import Database

_log = logging.getLogger(__name__)
_PATIENCE = 20  # looks in a row that may fail before we give up (the batches themselves go on)
_SLOWEST = 6  # times the usual pause, when nothing has changed for long
_STORED_AT_ONCE = 500


class _TakenOver(Exception):
    """Another job goes on with the batch now."""


@dataclass(frozen=True, slots=True)
class Moment:
    """How the batches of a job stand. `judged` counts the texts that came of them so far."""

    judged: int
    line: str
    waiting_for: str | None


async def judge_in_batches(
    database: Database,
    service: ModelService,
    texts: Mapping[str, str],
    *,
    job_id: int,
    poll_seconds: float,
    clock: Callable[[], float] = time.time,
) -> AsyncGenerator[Moment, None]:
    """Have the texts (by their hashes) judged in batches, and store what comes of it.

    Ends when the service is done with all of them, whatever that came to: texts may be left. A resumed job goes on
    with its batches, and a new one with those that an earlier one left at the service when it failed.

    Raises:
        ModelRefused: the service refuses in a way that will not pass.
        ModelError: it could not be reached for long, or takes no more from this account.
    """
    await _plan(database, service, texts, job_id, clock)
    judged, failures, pause = 0, 0, poll_seconds
    while any(batch.state.is_open for batch in await store.batches_of(database, job_id)):
        moved = False
        for batch in await store.batches_of(database, job_id):
            if not batch.state.is_open:
                continue  # only its files are left, and they hold up nothing
            try:
                after, stored = await _step(database, service, batch, texts, clock)
            except (ModelUnavailable, ModelRateLimited) as error:
                failures += 1
                if failures >= _PATIENCE:
                    raise
                _log.warning("A step of batch %d failed, and is taken again: %s", batch.id, error)
                pause = max(pause, error.retry_after if isinstance(error, ModelRateLimited) else 0.0)
                break
            failures = 0
            judged += stored
            moved = moved or after.state is not batch.state or after.completed != batch.completed
            yield await _moment(database, job_id, judged)
        if moved:
            pause = poll_seconds
        else:
            yield await _moment(database, job_id, judged)
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, _SLOWEST * poll_seconds)
    for batch in await store.batches_of(database, job_id):
        try:
            await _step(database, service, batch, texts, clock)  # their files are deleted
        except ModelError as error:
            _log.warning("The files of batch %d are deleted later: %s", batch.id, error)


async def look_after_batches(
    database: Database, service: ModelService, *, clock: Callable[[], float] = time.time
) -> bool:
    """Bring batches to their end that no job works on. Returns whether there is more to do later.

    What a person has stopped here is cancelled at the service: their press of *Stop* is the recorded act. What it
    judged until then is stored, and its files are deleted.

    Raises:
        ModelError: the service could not be asked.
    """
    is_left = False
    for left, stopped in await store.left_batches(database, service.endpoint.base_url):
        try:
            is_left = not await _ended(database, service, left, clock, stopped=stopped) or is_left
        except _TakenOver:
            continue
    return is_left


async def _ended(
    database: Database, service: ModelService, batch: ScreeningBatch, clock: Callable[[], float], *, stopped: bool
) -> bool:
    """Whether a batch that no job works on has come to its end."""
    while batch.state is not BatchState.DONE:
        before = batch.state
        if batch.state in {BatchState.PLANNED, BatchState.UPLOADED}:
            batch = await _unbegun(database, service, batch)
        elif batch.state is BatchState.RUNNING and stopped:
            batch = await _cancelled(database, service, batch)
        else:
            batch, _ = await _step(database, service, batch, {}, clock)
        if batch.state is before:
            return False
    return True


# --- planning -------------------------------------------------------------------------------------------------


async def _plan(
    database: Database, service: ModelService, texts: Mapping[str, str], job_id: int, clock: Callable[[], float]
) -> None:
    """Write down which batches there will be. From then on the job has these and no others."""
    if await store.batches_of(database, job_id):
        return
    endpoint = service.endpoint
    left = await store.left_batches(database, endpoint.base_url)
    adopted = [
        batch for batch, stopped in left if not stopped and batch.model == endpoint.model and batch.state.is_open
    ]
    covered = {key for batch in adopted for key in batch.hashes}
    groups = await asyncio.to_thread(
        _groups, {key: text for key, text in texts.items() if key not in covered and text.strip()}, endpoint.model
    )
    async with database.write() as connection:
        await store.adopt_batches(connection, adopted, job_id)
        for hashes in groups:
            await store.add_batch(
                connection,
                job_id=job_id,
                base_url=endpoint.base_url,
                model=endpoint.model,
                name=f"tumblrbot-screening-{secrets.token_hex(8)}.jsonl",
                hashes=hashes,
                now=clock(),
            )


def _groups(texts: Mapping[str, str], model: str) -> list[list[str]]:
    """The hashes of the texts that go into one file, for each file. CPU work: call it in a thread."""
    keys = iter(texts)
    sizes = (len(at_service.request_line(key, text, model)) for key, text in texts.items())
    return [list(islice(keys, number)) for number in at_service.split(sizes)]


# --- one step -------------------------------------------------------------------------------------------------


async def _step(
    database: Database,
    service: ModelService,
    batch: ScreeningBatch,
    texts: Mapping[str, str],
    clock: Callable[[], float],
) -> tuple[ScreeningBatch, int]:
    """Take a batch one step on, and store it. Returns it as it is then, and how many texts were judged by it."""
    stored = 0
    try:
        match batch.state:
            case BatchState.PLANNED:
                after = await _uploaded(service, batch, texts)
            case BatchState.UPLOADED:
                after = _as_told(batch, await _begun(service, batch))
            case BatchState.RUNNING | BatchState.CANCELLING:
                after = _as_told(batch, await at_service.get_batch(service, batch.batch_id or ""))
            case BatchState.ENDED:
                after, stored = await _read(database, service, batch, clock)
            case BatchState.READ:
                after = await _without_files(service, batch)
            case BatchState.DONE:
                return batch, 0
    except ModelRefused as refusal:
        # It will never work as it is: what it was about is judged in another way.
        _log.warning("Batch %d is given up: %s", batch.id, refusal)
        after = replace(batch, state=BatchState.READ, hashes=(), error=refusal.sentence)
    await _save(database, after)
    return after, stored


async def _uploaded(service: ModelService, batch: ScreeningBatch, texts: Mapping[str, str]) -> ScreeningBatch:
    file_id = await at_service.find_file(service, batch.name)
    if file_id is None:
        content = await asyncio.to_thread(_content, batch, texts)
        if not content:  # all of it is judged, or was removed, meanwhile
            return replace(batch, state=BatchState.DONE, hashes=())
        file_id = await at_service.upload_requests(service, batch.name, content)
    return replace(batch, state=BatchState.UPLOADED, input_file=file_id)


def _content(batch: ScreeningBatch, texts: Mapping[str, str]) -> bytes:
    return b"".join(at_service.request_line(key, texts[key], batch.model) for key in batch.hashes if key in texts)


async def _begun(service: ModelService, batch: ScreeningBatch) -> Batch:
    file_id = batch.input_file or ""
    found = await at_service.find_batch(service, file_id, marker=batch.name)
    return found or await at_service.create_batch(service, file_id, marker=batch.name)


def _as_told(batch: ScreeningBatch, told: Batch) -> ScreeningBatch:
    state = BatchState.CANCELLING if batch.state is BatchState.CANCELLING else BatchState.RUNNING
    return replace(
        batch,
        state=BatchState.ENDED if told.is_final else state,
        batch_id=told.id,
        service_state=told.status,
        completed=told.completed,
        failed=told.failed,
        output_file=told.output_file,
        error_file=told.error_file,
        error=told.error,
    )


async def _read(
    database: Database, service: ModelService, batch: ScreeningBatch, clock: Callable[[], float]
) -> tuple[ScreeningBatch, int]:
    """Store what the service said; whatever it came to, this batch is over."""
    stored = 0
    if batch.output_file is not None:
        content = await at_service.read_file(service, batch.output_file)
        answers = at_service.read_answers(content)
        while part := await asyncio.to_thread(_part, answers):
            async with database.write() as connection:
                await store.add_judgements(connection, batch.model, part, now=clock())
            stored += len(part)
    error = batch.error
    if batch.error_file is not None and error is None:
        error = at_service.read_first_error(await at_service.read_file(service, batch.error_file))
    if error is not None or batch.service_state != "completed":
        _log.warning(
            "Batch %d %s at the service, %d requests failed: %s",
            batch.id,
            batch.service_state,
            batch.failed,
            error or "no reason given",
        )
    return replace(batch, state=BatchState.READ, hashes=(), error=error), stored


def _part(answers: Iterator[tuple[str, Judgement]]) -> dict[str, Judgement]:
    return dict(islice(answers, _STORED_AT_ONCE))


async def _without_files(service: ModelService, batch: ScreeningBatch) -> ScreeningBatch:
    for file_id in (batch.input_file, batch.output_file, batch.error_file):
        if file_id is not None:
            await delete_file(service, file_id)
    return replace(batch, state=BatchState.DONE, hashes=())


async def _save(database: Database, batch: ScreeningBatch) -> None:
    async with database.write() as connection:
        if not await store.save_batch(connection, batch):
            raise _TakenOver


# --- what nobody works on -------------------------------------------------------------------------------------


async def _unbegun(database: Database, service: ModelService, batch: ScreeningBatch) -> ScreeningBatch:
    """A batch that was not begun as far as we know; the answers of a killed or stopped process may have been lost."""
    file_id = batch.input_file or await at_service.find_file(service, batch.name)
    found = await at_service.find_batch(service, file_id, marker=batch.name) if file_id else None
    if found is not None:
        after = _as_told(replace(batch, input_file=file_id), found)
    else:
        after = replace(batch, state=BatchState.READ, hashes=(), input_file=file_id)
    await _save(database, after)
    return after


async def _cancelled(database: Database, service: ModelService, batch: ScreeningBatch) -> ScreeningBatch:
    told = await at_service.cancel_batch(service, batch.batch_id or "")
    after = _as_told(replace(batch, state=BatchState.CANCELLING), told)
    await _save(database, after)
    _log.info("Batch %d was cancelled at the service, as asked.", batch.id)
    return after


# --- for people -----------------------------------------------------------------------------------------------


async def _moment(database: Database, job_id: int, judged: int) -> Moment:
    batches = await store.batches_of(database, job_id)
    return Moment(judged, _line(batches), "the batches at the service" if _is_waiting(batches) else None)


def _is_waiting(batches: Sequence[ScreeningBatch]) -> bool:
    return any(batch.state is BatchState.RUNNING for batch in batches)


def _line(batches: Sequence[ScreeningBatch]) -> str:
    states = Counter(
        (batch.service_state or "not sent yet").replace("_", " ") if batch.state.is_open else "done"
        for batch in batches
    )
    listed = ", ".join(f"{count} {state}" for state, count in states.items())
    completed, failed = sum(batch.completed for batch in batches), sum(batch.failed for batch in batches)
    what = "1 batch" if len(batches) == 1 else f"{len(batches)} batches"
    missed = f", {failed:,} failed" if failed else ""
    return f"{what} at the service ({listed}); {completed:,} requests answered{missed}. It may take a day."
