"""Fine-tuning: files and jobs, at any service that speaks OpenAI's API for them.

Creating calls are made once. When their answer is lost, `find_file` and `find_jobs` tell whether they had an effect.
"""

from __future__ import annotations

import asyncio
import io
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from bot.errors import ModelRefused, ModelUnavailable
from bot.language.answers import all_pages, decoded, mapping, number
from bot.language.endpoint import ModelService, RawAnswer
from bot.language.failures import explain, nonsense, presentable, says
from bot.training import Curve, Event

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

MARKER = "tumblrbot_training"
"""The key in a job's metadata under which our own training's id stands."""

FILES_KEPT = 30 * 86_400
"""Seconds after which a service that keeps to `expires_after` forgets an uploaded file by itself."""

_UPLOAD_DEADLINE = 600.0
_EVENTS_KEPT = 8
_LONGEST_EVENT = 200
_AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
_NOT_READY_ATTEMPTS = 8
_FINAL = frozenset({"succeeded", "failed", "cancelled", "canceled"})
_FILE_BROKEN = frozenset({"error", "failed", "deleted", "deleting"})
_FILE_NAMED = re.compile(r"\bfiles?\b|training_file")
_NOT_READY = ("being processed", "processing", "not ready", "not found", "does not exist", "no such", "not yet")


@dataclass(frozen=True, slots=True)
class TuningJob:
    """A fine-tuning job as the service tells it. `estimated_finish` is in unix seconds."""

    id: str
    status: str
    training_file: str | None = None
    fine_tuned_model: str | None = None
    trained_tokens: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    estimated_finish: float | None = None
    epochs: int | None = None
    """As used, once the service has decided; None while it says "auto"."""

    @property
    def is_final(self) -> bool:
        """A status nobody has heard of means that the job goes on."""
        return self.status in _FINAL

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"


class _File(msgspec.Struct):
    id: str
    filename: object = None
    status: object = None


@dataclass(frozen=True, slots=True)
class Log:
    """What the events of a job tell: its curves by step, the number of steps, the last messages, failed checks."""

    loss: Curve = ()
    held_out_loss: Curve = ()
    steps: int | None = None
    events: tuple[Event, ...] = ()
    blocked_by: tuple[str, ...] = ()
    """The categories in which the service's own check of the model found too much."""


class _Job(msgspec.Struct):
    id: str
    status: str
    training_file: object = None
    fine_tuned_model: object = None
    trained_tokens: object = None
    error: object = None
    estimated_finish: object = None
    metadata: object = None
    hyperparameters: object = None
    method: object = None


class _Event(msgspec.Struct):
    type: object = None
    data: object = None
    message: object = None
    created_at: object = None


class _FileNotReady(ModelRefused):
    """The job was refused only because the service has not looked at the file yet."""


class Counted(io.BytesIO):
    """A file in memory that tells how much of it has been read: that is on its way."""

    def __init__(self, content: bytes, sent: Callable[[int, int], None]) -> None:
        super().__init__(content)
        self._size = len(content)
        self._sent = sent

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self._sent(self.tell(), self._size)
        return found


def wants_mark(base_url: str) -> bool:
    """Whether the service is Azure's, which takes training files only with a byte order mark (facts/openai.md)."""
    return (urlsplit(base_url).hostname or "").endswith(_AZURE)


async def upload_training_file(
    service: ModelService, name: str, content: bytes, sent: Callable[[int, int], None] = lambda _, __: None
) -> str:
    """Upload JSON lines under a name that no other file has. Returns the file's id.

    The service is asked to forget the file by itself after `FILES_KEPT`; one that does not know that is asked without.

    Raises:
        ModelUnavailable: no usable answer; the file may be there nevertheless (see `find_file`).
        ModelError: the service refused.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        import openai  # noqa: PLC0415 - loaded already, see endpoint.py

        while True:
            knows_expiry = "expires_after" not in service.lacks
            try:
                return await client.files.with_raw_response.create(
                    file=(name, Counted(content, sent), "application/jsonl"),
                    purpose="fine-tune",
                    expires_after={"anchor": "created_at", "seconds": FILES_KEPT} if knows_expiry else openai.omit,
                )
            except (openai.BadRequestError, openai.UnprocessableEntityError) as refusal:
                if not knows_expiry or not says(refusal, "expires_after"):
                    raise
                service.lacks.add("expires_after")

    return (await service.ask_once(send, _File, deadline=max(_UPLOAD_DEADLINE, service.deadline))).value.id


async def find_file(service: ModelService, name: str) -> str | None:
    """The id of an uploaded training file by its name, or None.

    Raises:
        ModelError: the service did not answer usefully.
    """

    async def page(query: Mapping[str, object], client: AsyncOpenAI) -> RawAnswer:
        return await client.files.with_raw_response.list(purpose="fine-tune", extra_query=query)

    files = [decoded(raw, _File) for raw in await all_pages(service, page)]
    for file in files:
        if file is not None and file.filename == name and file.status not in _FILE_BROKEN:
            return file.id
    return None


async def wait_until_processed(
    service: ModelService, file_id: str, *, poll_seconds: float = 2.0, deadline: float = 600.0
) -> None:
    """Return once the service has looked at the file, or when it does not tell (then `create_job` finds out).

    Raises:
        ModelRefused: the file is no good, or is not there when `deadline` (seconds) is over.
        ModelUnavailable: it is still being processed then, or the service did not answer usefully.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await client.files.with_raw_response.retrieve(file_id)

    end = time.monotonic() + deadline
    while True:
        missing: ModelRefused | None = None
        try:
            status = (await service.ask(send, _File)).value.status
        except ModelRefused as refusal:
            if refusal.status != 404:  # noqa: PLR2004 - an HTTP status
                raise
            missing, status = refusal, "unseen"  # a new file may take a while to be seen everywhere
        if status in _FILE_BROKEN:
            raise ModelRefused(
                f"{service.name} could not read the training file.",
                "Make the examples anew with /examples, then try again.",
                status=400,
                code="invalid_training_file",
            )
        if not isinstance(status, str) or status == "processed":
            return
        if time.monotonic() >= end:
            raise missing or ModelUnavailable(
                f"{service.name} has been busy with the training file for {deadline / 60:.0f} minutes.",
                "Use /finetune again later; the file stays uploaded.",
            )
        await asyncio.sleep(poll_seconds)


async def create_job(
    service: ModelService,
    *,
    training_file: str,
    model: str,
    suffix: str,
    epochs: int,
    marker: str,
    validation_file: str | None = None,
) -> TuningJob:
    """Begin a training. Refusals that only say that the file is not ready yet are waited out, half a minute at most.

    Raises:
        TrainingNotAvailable: the service takes no jobs from this account. The uploaded file is still there.
        ModelUnavailable: no usable answer; the job may be there nevertheless (see `find_jobs`).
        ModelError: the service refused.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        import openai  # noqa: PLC0415 - loaded already, see endpoint.py

        try:
            return await client.fine_tuning.jobs.with_raw_response.create(
                training_file=training_file,
                validation_file=validation_file or openai.omit,
                model=model,
                suffix=suffix or openai.omit,
                method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": epochs}}},
                metadata={MARKER: marker},
            )
        except (openai.BadRequestError, openai.NotFoundError) as error:
            if not any(_says_not_ready(error, file) for file in (training_file, validation_file) if file):
                raise
            reason = explain(error, service.name)
        raise _FileNotReady(
            reason.sentence, "Use /finetune again later; the file stays uploaded.", status=404, code="file_not_ready"
        )

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(_FileNotReady),
        stop=stop_after_attempt(_NOT_READY_ATTEMPTS),
        wait=service.wait,
        reraise=True,
    )
    async for attempt in retrying:
        with attempt:
            return _tuning_job((await service.ask_once(send, _Job)).value)
    raise nonsense(service.name)  # not reached: reraise=True


async def get_job(service: ModelService, job_id: str) -> TuningJob:
    """How the job stands.

    Raises:
        ModelError: the service did not answer usefully.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await client.fine_tuning.jobs.with_raw_response.retrieve(job_id)

    return _tuning_job((await service.ask(send, _Job)).value)


async def find_jobs(service: ModelService, training_file: str, *, marker: str) -> list[TuningJob]:
    """Our jobs on this file, newest first. A job that carries another training's marker is not ours.

    Not every service keeps metadata; the file's id is ours alone, so a job without any marker counts.

    Raises:
        ModelError: the service did not answer usefully.
    """

    async def page(query: Mapping[str, object], client: AsyncOpenAI) -> RawAnswer:
        return await client.fine_tuning.jobs.with_raw_response.list(extra_query=query)

    jobs = [decoded(raw, _Job) for raw in await all_pages(service, page)]
    return [
        _tuning_job(job)
        for job in jobs
        if job is not None
        and job.training_file == training_file
        and mapping(job.metadata).get(MARKER, marker) == marker
    ]


async def cancel_job(service: ModelService, job_id: str) -> TuningJob:
    """Cancel the job, or return it as it is when it has ended already.

    Raises:
        ModelError: the service refused, or did not answer usefully.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await client.fine_tuning.jobs.with_raw_response.cancel(job_id)

    try:
        return _tuning_job((await service.ask(send, _Job)).value)
    except (ModelRefused, ModelUnavailable):
        # Also when a first call had its effect and only its answer was lost: how the job stands is what counts.
        job = await get_job(service, job_id)
        if not job.is_final:
            raise
        return job


async def delete_file(service: ModelService, file_id: str) -> None:
    """Delete an uploaded file; one that is gone already is fine.

    Raises:
        ModelError: the service refused, or did not answer usefully.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await client.files.with_raw_response.delete(file_id)

    try:
        await service.ask(send, dict[str, object])
    except ModelRefused as refusal:
        if refusal.status != 404:  # noqa: PLR2004 - an HTTP status
            raise


async def pause_job(service: ModelService, job_id: str) -> TuningJob:
    """Let the job rest. Raises ModelRefused where it cannot (404 or 405: the service knows no rest), and as `ask`."""

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await client.fine_tuning.jobs.with_raw_response.pause(job_id)

    return await _unless_done(service, job_id, send, {"pausing", "paused"})


async def resume_job(service: ModelService, job_id: str) -> TuningJob:
    """Let a resting job go on. Raises as `pause_job`."""

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await client.fine_tuning.jobs.with_raw_response.resume(job_id)

    return await _unless_done(service, job_id, send, {"running", "queued", "resuming"})


async def _unless_done(
    service: ModelService, job_id: str, send: Callable[[AsyncOpenAI], Awaitable[RawAnswer]], wanted: set[str]
) -> TuningJob:
    """Ask for a change of the job; a refusal because it is as wanted already (an answer was lost) is none."""
    try:
        return _tuning_job((await service.ask(send, _Job)).value)
    except (ModelRefused, ModelUnavailable):
        job = await get_job(service, job_id)
        if job.status not in wanted:
            raise
        return job


async def read_log(service: ModelService, job_id: str) -> Log:
    """What the job's events tell so far.

    Raises:
        ModelError: the service did not answer usefully.
    """

    async def page(query: Mapping[str, object], client: AsyncOpenAI) -> RawAnswer:
        return await client.fine_tuning.jobs.with_raw_response.list_events(job_id, extra_query=query)

    loss: dict[int, float] = {}
    held_out: dict[int, float] = {}
    steps: int | None = None
    said: list[Event] = []
    blocked: list[str] = []
    for raw in await all_pages(service, page):  # the newest first
        event = decoded(raw, _Event)
        if event is None:
            continue
        data = mapping(event.data)
        if event.type == "metrics":
            step, total = number(data.get("step")), number(data.get("total_steps"))
            steps = int(total) if steps is None and total is not None else steps
            for curve, names in ((loss, ("train_loss",)), (held_out, ("full_valid_loss", "valid_loss"))):
                value = next((found for name in names if (found := number(data.get(name))) is not None), None)
                if step is not None and value is not None:
                    curve.setdefault(int(step), value)
            continue
        if event.type == "moderation_checks":
            blocked += _blocked_by(data)
        if isinstance(event.message, str) and event.message.strip() and len(said) < _EVENTS_KEPT:
            said.append(Event(number(event.created_at), _shortened(presentable(event.message))))
    return Log(
        loss=tuple(sorted(loss.items())),
        held_out_loss=tuple(sorted(held_out.items())),
        steps=steps,
        events=tuple(reversed(said)),
        blocked_by=tuple(dict.fromkeys(blocked)),
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_EVENT else f"{text[: _LONGEST_EVENT - 1]}…"


def _blocked_by(data: Mapping[str, object]) -> list[str]:
    """The categories that an event of type `moderation_checks` names as failed; its shape is not promised."""
    results = data.get("results")
    names: list[str] = []
    for result in cast("list[object]", results) if isinstance(results, list) else []:
        found = mapping(result)
        name = found.get("category", found.get("name"))
        failed = found.get("blocked", found.get("flagged", found.get("passed") is False))
        if isinstance(name, str) and failed:
            names.append(presentable(name)[:_LONGEST_EVENT])
    return names


def _says_not_ready(error: APIStatusError, file_id: str) -> bool:
    body = error.response.text.lower()
    if f"invalid training_file: {file_id.lower()}" in body:
        return True  # OpenAI's words for a file that it does not see, or not yet
    return says(error, *_NOT_READY) and (file_id.lower() in body or _FILE_NAMED.search(body) is not None)


def _tuning_job(job: _Job) -> TuningJob:
    error = mapping(job.error)
    code = error.get("code")
    message = error.get("message")
    # Healthy jobs carry `"error": {}` or one whose fields are null: only what it says makes it an error.
    tokens = number(job.trained_tokens)
    method = mapping(job.method)
    used = mapping(mapping(method.get("supervised")).get("hyperparameters")) or mapping(job.hyperparameters)
    epochs = number(used.get("n_epochs"))
    return TuningJob(
        id=job.id,
        status=job.status,
        training_file=job.training_file if isinstance(job.training_file, str) else None,
        fine_tuned_model=job.fine_tuned_model or None if isinstance(job.fine_tuned_model, str) else None,
        trained_tokens=None if tokens is None else int(tokens),
        error_code=code or None if isinstance(code, str) else None,
        error_message=presentable(message) or None if isinstance(message, str) else None,
        estimated_finish=number(job.estimated_finish) or None,  # 0 where there is nothing to expect
        epochs=None if epochs is None else int(epochs),
    )
