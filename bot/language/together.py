"""Fine-tuning at Together AI, whose API for it is its own: files by `/files/upload`, jobs by `/fine-tunes`.

After Together's public description (`togethercomputer/openapi`, its reference and its own Python client). Writing with
the model is an ordinary chat completion (see `chat.py`).

Creating calls are made once. When their answer is lost, `find_file` and `find_jobs` tell whether they had an effect:
there is no metadata on a job, but its training file is ours alone. No list comes in pages. A job cannot be paused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from bot.errors import ModelRefused, ModelUnavailable
from bot.language.answers import decoded, mapping, number, text
from bot.language.endpoint import ModelService, RawAnswer
from bot.language.failures import presentable
from bot.language.tuning import Counted
from bot.training import Curve

if TYPE_CHECKING:
    from openai import AsyncOpenAI

LONGEST_SUFFIX = 40
"""Characters of a model's suffix, by Together's own client."""

_UPLOAD_DEADLINE = 600.0
_NANODOLLARS = 1_000_000_000
_FINAL = frozenset({"completed", "error", "user_error", "cancelled"})
_FILE_BROKEN = frozenset({"INVALID_FORMAT", "FAILED"})


@dataclass(frozen=True, slots=True)
class FineTune:
    """A fine-tuning job as Together tells it.

    `tokens` and `cost` (US dollars) are None until Together has counted, which is shortly after the start;
    `seconds_left` is its own estimate of the training, while it runs.
    """

    id: str
    status: str
    training_file: str | None = None
    output_model: str | None = None
    tokens: int | None = None
    cost: float | None = None
    seconds_left: float | None = None

    @property
    def is_final(self) -> bool:
        """A status nobody has heard of means that the job goes on."""
        return self.status in _FINAL

    @property
    def succeeded(self) -> bool:
        return self.status == "completed"


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One line of a job's log; `at` is in unix seconds. `steps` is how many the whole training has."""

    at: float | None
    kind: str
    message: str
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class Losses:
    """The loss by step, on what is learned and on what is held out."""

    training: Curve
    held_out: Curve


class _File(msgspec.Struct):
    id: str
    filename: object = None
    processed: object = msgspec.field(default=None, name="Processed")
    processing_status: object = None


class _Job(msgspec.Struct):
    id: str
    status: str
    created_at: object = None
    training_file: object = None
    model_output_name: object = None
    token_count: object = None
    total_price: object = None
    progress: object = None


class _Event(msgspec.Struct):
    created_at: object = None
    type: object = None
    message: object = None
    total_steps: object = None


class _List(msgspec.Struct):
    data: list[msgspec.Raw]


class _Metrics(msgspec.Struct):
    metrics: list[msgspec.Raw]


async def upload_file(
    service: ModelService, name: str, content: bytes, sent: Callable[[int, int], None] = lambda _, __: None
) -> str:
    """Upload JSON lines under a name that no other file has. Returns the file's id.

    Together also takes a file at an address in its storage that it names first. This way is one call with one answer,
    and the file goes nowhere but to Together.

    Raises:
        ModelUnavailable: no usable answer; the file may be there nevertheless (see `find_file`).
        ModelError: Together refused.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        import httpx2  # noqa: PLC0415 - loaded already, with the SDK

        return await client.post(
            "/files/upload",
            cast_to=httpx2.Response,
            body={"purpose": "fine-tune", "file_name": name, "file_type": "jsonl"},
            files=[("file", (name, Counted(content, sent), "application/jsonl"))],
            options={"headers": {"Content-Type": "multipart/form-data"}},
        )

    return (await service.ask_once(send, _File, deadline=max(_UPLOAD_DEADLINE, service.deadline))).value.id


async def find_file(service: ModelService, name: str) -> str | None:
    """The id of an uploaded file by its name, or None.

    Raises:
        ModelError: Together did not answer usefully.
    """
    for raw in await _list(service, "/files"):
        file = decoded(raw, _File)
        if file is not None and file.filename == name and file.processing_status not in _FILE_BROKEN:
            return file.id
    return None


async def wait_until_processed(
    service: ModelService, file_id: str, *, poll_seconds: float = 2.0, deadline: float = 600.0
) -> None:
    """Return once Together has looked at the file, or when it does not tell.

    Raises:
        ModelRefused: the file is no good, or is not there.
        ModelUnavailable: it is still being looked at when `deadline` (seconds) is over, or no answer was useful.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await _get(client, f"/files/{_segment(file_id)}")

    end = time.monotonic() + deadline
    while True:
        file = (await service.ask(send, _File)).value
        if file.processing_status in _FILE_BROKEN:
            raise ModelRefused(
                f"{service.name} could not read the training file.",
                "Make the examples anew with /examples, then try again.",
                status=400,
                code="invalid_training_file",
            )
        if file.processed is not False or file.processing_status == "COMPLETED":
            return
        if time.monotonic() >= end:
            raise ModelUnavailable(
                f"{service.name} has been busy with the training file for {deadline / 60:.0f} minutes.",
                "Use /finetune again later; the file stays uploaded.",
            )
        await asyncio.sleep(poll_seconds)


async def create_job(
    service: ModelService,
    *,
    training_file: str,
    validation_file: str | None,
    model: str,
    suffix: str,
    epochs: int,
) -> FineTune:
    """Begin a training: a LoRA of all that Together leaves to itself, looked at once an epoch on what is held out.

    Raises:
        ModelUnavailable: no usable answer; the job may be there nevertheless (see `find_jobs`).
        ModelError: Together refused.
    """
    wanted: dict[str, object] = {
        "training_file": training_file,
        "model": model,
        "n_epochs": epochs,
    }
    if suffix:
        wanted["suffix"] = suffix[:LONGEST_SUFFIX]
    if validation_file is not None:
        wanted |= {"validation_file": validation_file, "n_evals": epochs}

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await _post(client, "/fine-tunes", wanted)

    return _fine_tune((await service.ask_once(send, _Job)).value)


async def get_job(service: ModelService, job_id: str) -> FineTune:
    """How the job stands.

    Raises:
        ModelError: Together did not answer usefully.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await _get(client, f"/fine-tunes/{_segment(job_id)}")

    return _fine_tune((await service.ask(send, _Job)).value)


async def find_jobs(service: ModelService, training_file: str) -> list[FineTune]:
    """The jobs on this file, newest first.

    Raises:
        ModelError: Together did not answer usefully.
    """
    jobs = [decoded(raw, _Job) for raw in await _list(service, "/fine-tunes")]
    ours = [job for job in jobs if job is not None and job.training_file == training_file]
    return [_fine_tune(job) for job in sorted(ours, key=lambda job: _moment(job.created_at) or 0.0, reverse=True)]


async def cancel_job(service: ModelService, job_id: str) -> FineTune:
    """Cancel the job, or return it as it is when it has ended already.

    Raises:
        ModelError: Together refused, or did not answer usefully.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await _post(client, f"/fine-tunes/{_segment(job_id)}/cancel", {})

    try:
        return _fine_tune((await service.ask(send, _Job)).value)
    except (ModelRefused, ModelUnavailable):
        # Also when a first call had its effect and only its answer was lost: how the job stands is what counts.
        job = await get_job(service, job_id)
        if not job.is_final and job.status != "cancel_requested":
            raise
        return job


async def events(service: ModelService, job_id: str) -> list[JobEvent]:
    """The job's log, newest last.

    Raises:
        ModelError: Together did not answer usefully.
    """
    listed = [decoded(raw, _Event) for raw in await _list(service, f"/fine-tunes/{_segment(job_id)}/events")]
    found = [_job_event(event) for event in listed if event is not None and isinstance(event.type, str)]
    return sorted(found, key=lambda event: event.at or 0.0)


async def losses(service: ModelService, job_id: str) -> Losses:
    """The losses so far, by step; none where Together keeps none.

    Raises:
        ModelError: Together did not answer usefully.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await _get(client, f"/fine-tunes/{_segment(job_id)}/metrics")

    try:
        listed = (await service.ask(send, _Metrics)).value.metrics
    except ModelRefused:
        return Losses((), ())
    entries = [decoded(raw, dict[str, object]) or {} for raw in listed]
    # The step of an evaluation stands under the training's name too.
    return Losses(_curve(entries, "train/loss"), _curve(entries, "eval/loss"))


async def _list(service: ModelService, path: str) -> list[msgspec.Raw]:
    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await _get(client, path)

    return (await service.ask(send, _List)).value.data


async def _get(client: AsyncOpenAI, path: str) -> RawAnswer:
    import httpx2  # noqa: PLC0415 - loaded already, with the SDK

    return await client.get(path, cast_to=httpx2.Response)


async def _post(client: AsyncOpenAI, path: str, body: dict[str, object]) -> RawAnswer:
    import httpx2  # noqa: PLC0415 - loaded already, with the SDK

    return await client.post(path, cast_to=httpx2.Response, body=body)


def _segment(id_: str) -> str:
    """An id as one segment of a path, which no id of whatever letters can leave."""
    return quote(id_, safe="").replace(".", "%2E")


def _fine_tune(job: _Job) -> FineTune:
    tokens, price = number(job.token_count), number(job.total_price)
    progress = mapping(job.progress)
    # Its estimate is for the next state: before it runs that is the start, not the end.
    estimated = job.status == "running" and progress.get("estimate_available") is True
    return FineTune(
        id=job.id,
        status=job.status,
        training_file=text(job.training_file),
        output_model=text(job.model_output_name),
        tokens=int(tokens) if tokens else None,
        cost=price / _NANODOLLARS if price else None,
        seconds_left=number(progress.get("seconds_remaining")) if estimated else None,
    )


def _job_event(event: _Event) -> JobEvent:
    steps = number(event.total_steps)
    return JobEvent(
        at=_moment(event.created_at),
        kind=event.type.lower() if isinstance(event.type, str) else "",  # its older client has them in capitals
        message=presentable(event.message) if isinstance(event.message, str) else "",
        steps=int(steps) if steps and steps > 0 else None,
    )


def _curve(entries: Iterable[dict[str, object]], name: str) -> Curve:
    curve: dict[int, float] = {}
    for entry in entries:
        step, loss = number(entry.get("train/global_step")), number(entry.get(name))
        if step is not None and loss is not None:
            curve[int(step)] = loss
    return tuple(sorted(curve.items()))


def _moment(value: object) -> float | None:
    """Unix seconds of an ISO 8601 time; one without a zone is in UTC."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
