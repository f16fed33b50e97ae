"""Batches in the OpenAI stand-in: files of moderation requests, answered after a while.

Like a training, a batch is a function of time: `advance` brings it up to a moment, so it needs no task and goes on
where it was after a restart. What its requests come to is worked out once, when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from bot.demo.openai_moderation import ModerationRequest

MOST_REQUESTS = 50_000
LARGEST_FILE = 200_000_000
WINDOW_SECONDS = 86_400
FINISHED = frozenset({"completed", "failed", "expired", "cancelled"})

# Where in a batch's life (0 to 1) its milestones are.
VALIDATED = 0.1
ANSWERED = 0.9

Answer = Callable[[ModerationRequest], tuple[int, object]]
"""The status and the body that a request by itself would get."""


class BatchError(msgspec.Struct):
    code: str
    message: str
    line: int | None = None
    param: str | None = None


class BatchRequest(msgspec.Struct):
    input_file_id: str
    endpoint: str
    completion_window: Literal["24h"]
    metadata: dict[str, str] | None = None


class _Line(msgspec.Struct):
    custom_id: str
    method: Literal["POST"]
    url: str
    body: ModerationRequest


class Batch(msgspec.Struct, kw_only=True):
    """A batch. `progress` runs from 0 to 1 and was last brought up to date at `seen_at` (unix seconds)."""

    id: str
    endpoint: str
    input_file: str
    metadata: dict[str, str] | None
    created_at: float
    seen_at: float
    content: bytes
    total: int
    doom: BatchError | None = None
    """Why it will fail once it is looked at."""
    expires_at_share: float | None = None
    """The share of its requests that are answered when its day is over; None: it is done in time."""
    status: str = "validating"
    progress: float = 0.0
    completed: int = 0
    failed: int = 0
    output_file: str | None = None
    error_file: str | None = None
    times: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    """Unix seconds by the name of the moment, such as `in_progress_at`."""

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED


def first_problem(content: bytes, endpoint: str) -> tuple[int, BatchError | None]:
    """How many requests a file has, and the first thing that is wrong with it."""
    lines = [line for line in content.split(b"\n") if line.strip()]
    if len(content) > LARGEST_FILE:
        return len(lines), BatchError("file_too_large", f"The file is larger than {LARGEST_FILE:,} bytes.")
    if len(lines) > MOST_REQUESTS:
        return len(lines), BatchError("too_many_requests", f"The file has more than {MOST_REQUESTS:,} requests.")
    if not lines:
        return 0, BatchError("empty_file", "The input file is empty.")
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        try:
            request = msgspec.json.decode(line, type=_Line)
        except msgspec.DecodeError:
            return len(lines), BatchError("invalid_json_line", "This line is not a valid request.", number)
        if request.url != endpoint:
            message = "The URL provided for this request does not match the batch endpoint."
            return len(lines), BatchError("mismatched_url", message, number, "url")
        if request.custom_id in seen:
            message = f"The custom_id for this request is a duplicate: {request.custom_id}."
            return len(lines), BatchError("duplicate_custom_id", message, number, "custom_id")
        seen.add(request.custom_id)
    return len(lines), None


def advance(batch: Batch, now: float, batch_seconds: float) -> bool:
    """Bring `batch` up to `now` (unix seconds), where a whole one takes `batch_seconds`.

    Returns whether it has ended just now, and its answers (`completed` of them) are to be written.
    """
    passed = max(0.0, now - batch.seen_at)
    batch.seen_at = now
    if batch.is_finished:
        return False
    if batch.status == "cancelling":
        _end(batch, "cancelled", now)
        return batch.completed > 0
    batch.progress = min(1.0, batch.progress + passed / batch_seconds) if batch_seconds > 0 else 1.0
    if batch.progress < VALIDATED:
        return False
    if batch.doom is not None:
        _end(batch, "failed", now)
        return False
    batch.status = "in_progress"
    batch.times.setdefault("in_progress_at", int(now))
    share = min(1.0, (batch.progress - VALIDATED) / (ANSWERED - VALIDATED))
    batch.completed = int(batch.total * min(share, 1.0 if batch.expires_at_share is None else batch.expires_at_share))
    if batch.progress < 1:
        if share >= 1 and batch.expires_at_share is None:
            batch.status = "finalizing"
            batch.times.setdefault("finalizing_at", int(now))
        return False
    _end(batch, "completed" if batch.expires_at_share is None else "expired", now)
    return True


def cancel(batch: Batch, now: float) -> None:
    """The batch says `cancelling` first, and is cancelled when it is looked at again."""
    batch.status = "cancelling"
    batch.times["cancelling_at"] = int(now)


def answers(batch: Batch, answer: Answer) -> tuple[bytes, bytes]:
    """The lines of the file of answers and of the file of errors; what was not come to is an error of its own."""
    good: list[bytes] = []
    bad: list[bytes] = []
    lines = [line for line in batch.content.split(b"\n") if line.strip()]
    for number, line in enumerate(lines):
        request = msgspec.json.decode(line, type=_Line)
        if number < batch.completed:
            status, body = answer(request.body)
            response = {"status_code": status, "request_id": f"req_{number}", "body": body}
            (good if status == 200 else bad).append(_line(batch, number, request.custom_id, response, None))  # noqa: PLR2004 - HTTP
        elif batch.status == "expired":
            error = {"code": "batch_expired", "message": "This request could not be executed before the batch expired."}
            bad.append(_line(batch, number, request.custom_id, None, error))
    batch.failed = len(bad)
    batch.completed = len(good)
    return b"".join(good), b"".join(bad)


def render(batch: Batch) -> dict[str, object]:
    """The batch as the API shows it; what is not there (yet) is left out, as its description wants it."""
    found: Mapping[str, object] = {
        "errors": {"object": "list", "data": [msgspec.to_builtins(batch.doom)]}
        if batch.doom is not None and batch.status == "failed"
        else None,
        "output_file_id": batch.output_file,
        "error_file_id": batch.error_file,
        "metadata": batch.metadata,
        **batch.times,
    }
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "input_file_id": batch.input_file,
        "completion_window": "24h",
        "status": batch.status,
        "created_at": int(batch.created_at),
        "expires_at": int(batch.created_at) + WINDOW_SECONDS,
        "request_counts": {
            "total": 0 if batch.status in {"validating", "failed"} else batch.total,
            "completed": batch.completed,
            "failed": batch.failed,
        },
        **{name: value for name, value in found.items() if value is not None},
    }


def _end(batch: Batch, status: str, now: float) -> None:
    batch.status = status
    batch.times[f"{status}_at"] = int(now)


def _line(batch: Batch, number: int, custom_id: str, response: object, error: object) -> bytes:
    answered = {
        "id": f"batch_req_{batch.id[6:]}_{number}",
        "custom_id": custom_id,
        "response": response,
        "error": error,
    }
    return msgspec.json.encode(answered) + b"\n"
