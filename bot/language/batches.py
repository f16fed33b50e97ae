"""Moderation by the file: requests that a service answers within a day, outside its limits per minute.

Creating calls are made once. When their answer is lost, `find_file` and `find_batch` tell whether they had an effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import msgspec

from bot.errors import ModelRefused, ModelUnavailable
from bot.language.answers import all_pages, decoded, mapping, number, text
from bot.language.endpoint import ModelService, RawAnswer, sendable
from bot.language.failures import nonsense, presentable
from bot.language.moderation import read_judgement
from bot.screening import Judgement

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MARKER = "tumblrbot_screening"
"""The key in a batch's metadata under which the name of its file stands."""

# OpenAI takes 50,000 requests and 200 MB. Less is asked for at once: it is held in memory here, and each answer is
# longer than its question.
MOST_REQUESTS = 20_000
LARGEST_FILE = 50_000_000

_URL = "/v1/moderations"
_FILE_DEADLINE = 600.0
_POLLS_FOR_FILE = 30
_FINAL = frozenset({"completed", "failed", "expired", "cancelled", "canceled"})
_FILE_BROKEN = frozenset({"error", "failed", "deleted", "deleting"})


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the service tells it. The counts are of requests; `error` is why all of it failed."""

    id: str
    status: str
    completed: int = 0
    failed: int = 0
    output_file: str | None = None
    error_file: str | None = None
    error: str | None = None

    @property
    def is_final(self) -> bool:
        """A status nobody has heard of means that the batch goes on."""
        return self.status in _FINAL


class _File(msgspec.Struct):
    id: str
    filename: object = None
    status: object = None


class _Batch(msgspec.Struct):
    id: str
    status: str
    input_file_id: object = None
    request_counts: object = None
    output_file_id: object = None
    error_file_id: object = None
    errors: object = None
    metadata: object = None


class _Response(msgspec.Struct):
    status_code: int = 0
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: object = None


def request_line(key: str, content: str, model: str) -> bytes:
    """The request to judge one text, with its line break. `key` comes back with the answer.

    One text to a request, so that a text that is refused takes no others with it.
    """
    body = {"model": model, "input": sendable(content)}
    return msgspec.json.encode({"custom_id": key, "method": "POST", "url": _URL, "body": body}) + b"\n"


def split(sizes: Iterable[int], *, requests: int = MOST_REQUESTS, size: int = LARGEST_FILE) -> Iterator[int]:
    """How many of the next lines go into each file; `sizes` are the lines', in bytes. A longer line goes alone."""
    count = total = 0
    for length in sizes:
        if count and (count >= requests or total + length > size):
            yield count
            count = total = 0
        count += 1
        total += length
    if count:
        yield count


async def upload_requests(service: ModelService, name: str, content: bytes) -> str:
    """Upload lines of requests under a name that no other file has. Returns the file's id.

    Raises:
        ModelUnavailable: no usable answer; the file may be there nevertheless (see `find_file`).
        ModelError: the service refused.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await client.files.with_raw_response.create(file=(name, content, "application/jsonl"), purpose="batch")

    return (await service.ask_once(send, _File, deadline=max(_FILE_DEADLINE, service.deadline))).value.id


async def find_file(service: ModelService, name: str) -> str | None:
    """The id of an uploaded file of requests by its name, or None.

    Raises:
        ModelError: the service did not answer usefully.
    """

    async def page(query: Mapping[str, object], client: AsyncOpenAI) -> RawAnswer:
        return await client.files.with_raw_response.list(purpose="batch", extra_query=query)

    files = [decoded(raw, _File) for raw in await all_pages(service, page)]
    for file in files:
        if file is not None and file.filename == name and file.status not in _FILE_BROKEN:
            return file.id
    return None


async def create_batch(service: ModelService, file_id: str, *, marker: str, poll_seconds: float = 2.0) -> Batch:
    """Have the requests in an uploaded file answered, once the service has looked at it.

    Raises:
        ModelUnavailable: no usable answer; the batch may be there nevertheless (see `find_batch`).
        ModelError: the service refused.
    """
    await _until_processed(service, file_id, poll_seconds)

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await client.batches.with_raw_response.create(
            input_file_id=file_id, endpoint="/v1/moderations", completion_window="24h", metadata={MARKER: marker}
        )

    return _read((await service.ask_once(send, _Batch)).value)


async def find_batch(service: ModelService, file_id: str, *, marker: str) -> Batch | None:
    """Our batch on this file. Not every service keeps metadata; a batch with another marker is not ours.

    Raises:
        ModelError: the service did not answer usefully.
    """

    async def page(query: Mapping[str, object], client: AsyncOpenAI) -> RawAnswer:
        return await client.batches.with_raw_response.list(extra_query=query)

    for raw in await all_pages(service, page):
        batch = decoded(raw, _Batch)
        if batch is None or batch.input_file_id != file_id:
            continue
        if mapping(batch.metadata).get(MARKER, marker) == marker:
            return _read(batch)
    return None


async def get_batch(service: ModelService, batch_id: str) -> Batch:
    """How the batch stands.

    Raises:
        ModelError: the service did not answer usefully.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await client.batches.with_raw_response.retrieve(batch_id)

    return _read((await service.ask(send, _Batch)).value)


async def cancel_batch(service: ModelService, batch_id: str) -> Batch:
    """Cancel the batch, or return it as it is when it has ended already. What is answered by then can be read.

    Raises:
        ModelError: the service refused, or did not answer usefully.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await client.batches.with_raw_response.cancel(batch_id)

    try:
        return _read((await service.ask(send, _Batch)).value)
    except (ModelRefused, ModelUnavailable):
        # It may have ended before, or a first call had its effect and only its answer was lost. A conflict (409) is
        # among what is tried again, and so comes as the second of these.
        batch = await get_batch(service, batch_id)
        if not batch.is_final and batch.status != "cancelling":
            raise
        return batch


async def read_file(service: ModelService, file_id: str) -> bytes:
    """The content of a file of answers.

    Raises:
        ModelError: the service refused, or did not answer usefully.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await client.files.with_raw_response.content(file_id)

    return await service.fetch(send, deadline=max(_FILE_DEADLINE, service.deadline))


def read_answers(content: bytes) -> Iterator[tuple[str, Judgement]]:
    """Each key with what was said of its text; requests that failed, and lines that make no sense, are left out."""
    for line in content.splitlines():
        answer = decoded(line, _Line)
        if answer is None or answer.response is None or answer.response.status_code != 200:  # noqa: PLR2004 - HTTP
            continue
        judgement = read_judgement(answer.response.body)
        if judgement is not None:
            yield answer.custom_id, judgement


def read_first_error(content: bytes) -> str | None:
    """Why the first request in a file of errors failed, in the service's own words."""
    for line in content.splitlines():
        found = decoded(line, _Line)
        if found is None:
            continue
        body = decoded(found.response.body, dict[str, object]) if found.response else None
        words = _words(mapping(mapping(body).get("error"))) or _words(mapping(found.error))
        if words:
            return words
    return None


async def _until_processed(service: ModelService, file_id: str, poll_seconds: float) -> None:
    """Return once the service has looked at the file, or when it does not tell: then `create_batch` finds out."""

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await client.files.with_raw_response.retrieve(file_id)

    for _ in range(_POLLS_FOR_FILE):
        status = (await service.ask(send, _File)).value.status
        if status in _FILE_BROKEN:
            raise ModelRefused(
                f"{service.name} could not read the file of texts.",
                "Use /moderate without a batch.",
                status=400,
                code="invalid_batch_file",
            )
        if not isinstance(status, str) or status == "processed":
            return
        await asyncio.sleep(poll_seconds)


def _read(batch: _Batch) -> Batch:
    counts = mapping(batch.request_counts)
    if not batch.id:
        raise nonsense("The model service")
    return Batch(
        id=batch.id,
        status=batch.status,
        completed=int(number(counts.get("completed")) or 0),
        failed=int(number(counts.get("failed")) or 0),
        output_file=text(batch.output_file_id),
        error_file=text(batch.error_file_id),
        error=_reason(batch.errors),
    )


def _reason(errors: object) -> str | None:
    """The service's own words on why it took none of the requests; healthy batches have an empty list, or none."""
    found = mapping(errors).get("data")
    entries = cast("list[object]", found) if isinstance(found, list) else []
    return next((words for entry in entries if (words := _words(mapping(entry)))), None)


def _words(error: Mapping[str, object]) -> str | None:
    message = text(error.get("message")) or text(error.get("code"))
    return presentable(message) if message else None
