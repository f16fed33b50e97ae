"""A stand-in for Together AI's fine-tuning on loopback: its files, its jobs, and chat with what came of them.

It speaks as Together's public description says (`togethercomputer/openapi`, its reference and its own client), and asks
for what that demands. There is no language model in it: what it "trains" and writes with is a word n-gram. It reads a
training file as the OpenAI stand-in does (`openai_training`), so it is stricter than Together about `<|…|>` markers.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from bot.demo.model_server import ModelServer
from bot.demo.ngram import NGram, learn
from bot.demo.openai_errors import Refusal, no_such_model
from bot.demo.openai_generation import Answered, ChatRequest, render_chat
from bot.demo.openai_training import HALFWAY, STARTED, TRAINED, VALIDATED, TrainingSet, drawn_losses, read_file
from bot.demo.openai_wire import FormField, json_answer, read_body, read_form
from bot.demo.openai_writing import prompt_tokens, write

ACCOUNT = "stand-in"
PURPOSES = ("fine-tune", "eval", "eval-sample", "eval-output", "eval-summary", "batch-generated", "batch-api")
FILE_TYPES = ("csv", "jsonl", "parquet")
NANODOLLARS_PER_TOKEN = 480
"""$0.48 for a million tokens."""
FINISHED = frozenset({"completed", "error", "cancelled"})

_BATCH = 8


class _Turn(msgspec.Struct):
    role: Literal["system", "user", "assistant", "tool"]


class _Line(msgspec.Struct):
    messages: list[_Turn]


class _Sft(msgspec.Struct, tag="sft", tag_field="method"):
    train_on_inputs: bool | Literal["auto"]


class _Lora(msgspec.Struct, tag="Lora", tag_field="type"):
    lora_r: int
    lora_alpha: int
    lora_dropout: float = 0.0
    lora_trainable_modules: str = "all-linear"


class _Full(msgspec.Struct, tag="Full", tag_field="type"):
    pass


class JobRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What a job may be asked for; a field that the description does not have is refused."""

    training_file: str
    model: str
    validation_file: str | None = None
    n_epochs: Annotated[int, msgspec.Meta(ge=1)] = 1
    n_evals: Annotated[int, msgspec.Meta(ge=0)] = 0
    n_checkpoints: Annotated[int, msgspec.Meta(ge=1)] = 1
    batch_size: int | Literal["max"] = "max"
    learning_rate: float = 0.00001
    suffix: Annotated[str, msgspec.Meta(max_length=40)] = ""
    training_method: _Sft | None = None
    training_type: _Lora | _Full | None = None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An uploaded file, read. Together has looked at it when the clock says `ready_at` (unix seconds)."""

    id: str
    filename: str
    purpose: str
    created_at: float
    ready_at: float
    content: bytes
    read: TrainingSet
    problem: str | None

    def render(self, now: float) -> dict[str, object]:
        status = "PROCESSING" if now < self.ready_at else "INVALID_FORMAT" if self.problem else "COMPLETED"
        return {
            "id": self.id,
            "object": "file",
            "created_at": int(self.created_at),
            "filename": self.filename,
            "bytes": len(self.content),
            "purpose": self.purpose,
            "Processed": now >= self.ready_at,
            "FileType": "jsonl",
            "LineCount": self.read.examples,
            "processing_status": status,
        }


@dataclass(slots=True)
class Job:
    """A job. How it stands is a function of time: `seconds` is how long the whole of it takes."""

    id: str
    asked: JobRequest
    created_at: float
    seconds: float
    read: TrainingSet
    held_out_tokens: int
    doom: tuple[str, str] | None
    """The type and message of the event with which it ends halfway."""
    cancelled_at: float | None = None

    @property
    def output_name(self) -> str:
        base = self.asked.model.rpartition("/")[2]
        return f"{ACCOUNT}/{base}:{self.asked.suffix}:{self.id}"

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.read.examples / _BATCH)

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.asked.n_epochs

    @property
    def tokens(self) -> int:
        return self.asked.n_epochs * self.read.tokens + self.asked.n_evals * self.held_out_tokens

    def progress(self, now: float) -> float:
        """From 0 to 1, and no further than to its end."""
        until = now if self.cancelled_at is None else min(now, self.cancelled_at)
        done = min(1.0, (until - self.created_at) / self.seconds) if self.seconds > 0 else 1.0
        return min(done, HALFWAY) if self.doom else done

    def moment(self, progress: float) -> float:
        return self.created_at + progress * self.seconds

    def status(self, now: float) -> str:
        progress = self.progress(now)
        if self.cancelled_at is not None:
            return "cancelled"
        if self.doom and progress >= HALFWAY:
            # Together itself cancels what nobody can pay for.
            return "cancelled" if self.doom[0] == "billing_limit" else "error"
        if progress < STARTED:
            return "pending" if progress < VALIDATED else "queued"
        if progress < TRAINED:
            return "running"
        return "uploading" if progress < 1 else "completed"

    def steps_taken(self, now: float) -> Iterator[tuple[int, float]]:
        """The steps so far, each with its moment."""
        for step in range(1, self.steps + 1):
            at = STARTED + (TRAINED - STARTED) * step / self.steps
            if at <= self.progress(now):
                yield step, self.moment(at)

    def render(self, now: float, status: str | None = None) -> dict[str, object]:
        counted = self.progress(now) >= VALIDATED
        status = status or self.status(now)
        left = self.moment(TRAINED) - now
        return {
            "id": self.id,
            "status": status,
            "created_at": _iso(self.created_at),
            "updated_at": _iso(min(now, self.moment(1.0))),
            "user_id": "user-stand-in",
            "owner_address": "keeper@stand-in.example",
            "training_file": self.asked.training_file,
            "validation_file": self.asked.validation_file or "",
            "model": self.asked.model,
            "model_output_name": self.output_name,
            "suffix": self.asked.suffix,
            "n_epochs": self.asked.n_epochs,
            "n_evals": self.asked.n_evals,
            "n_checkpoints": self.asked.n_checkpoints,
            "token_count": self.tokens if counted else 0,
            "total_price": self.tokens * NANODOLLARS_PER_TOKEN if counted else 0,
            "events": [],
            "progress": {
                "estimate_available": status == "running",
                "seconds_remaining": math.ceil(left) if status == "running" else 0,
            },
        }

    def events(self, now: float) -> list[dict[str, object]]:
        events = [self._event(self.created_at, "job_pending", "Fine tune request created")]
        progress = self.progress(now)
        if progress >= STARTED:
            events.append(self._event(self.moment(STARTED), "training_start", "Training started"))
        for step, moment in self.steps_taken(now):
            if step % self.steps_per_epoch == 0:
                message = f"Epoch completed, at step {step}"
                events.append(self._event(moment, "epoch_complete", message, step=step))
        match self.status(now):
            case "completed":
                events.append(self._event(self.moment(1.0), "job_complete", "Job finished", step=self.steps))
            case "error" | "cancelled" if self.doom and self.cancelled_at is None:
                events.append(self._event(self.moment(HALFWAY), *self.doom, level="error"))
            case "cancelled":
                events.append(self._event(self.cancelled_at or now, "cancel_requested", "Cancellation requested"))
            case _:
                pass
        return events

    def _event(
        self, moment: float, kind: str, message: str, *, step: int = 0, level: str = "info"
    ) -> dict[str, object]:
        return {
            "object": "fine-tune-event",
            "created_at": _iso(moment),
            "level": level,
            "message": message,
            "type": kind,
            "param_count": 0,
            "token_count": 0,
            "total_steps": 0 if kind == "job_pending" else self.steps,
            "wandb_url": "",
            "step": step,
            "checkpoint_path": "",
            "model_path": "",
            "training_offset": 0,
            "hash": uuid.uuid5(uuid.NAMESPACE_OID, f"{self.id} {kind} {step}").hex,
        }

    def metrics(self, now: float) -> list[dict[str, object]]:
        """Training and evaluation apart, as Together sends them, in the order of time."""
        every = max(1, self.steps // self.asked.n_evals) if self.asked.n_evals else 0
        entries: list[dict[str, object]] = []
        for step, moment in self.steps_taken(now):
            loss, held_out = drawn_losses(0, step, self.steps)
            place: dict[str, object] = {
                "timestamp": int(moment * 1e9),
                "train/global_step": step,
                "train/epoch": step / self.steps_per_epoch,
            }
            entries.append({**place, "train/loss": loss, "train/learning_rate": self.asked.learning_rate})
            if every and step % every == 0:
                entries.append({**place, "eval/loss": held_out})
        return entries


@dataclass
class State:
    """What was uploaded and asked for, in that order."""

    files: dict[str, StoredFile] = field(default_factory=dict[str, StoredFile])
    jobs: dict[str, Job] = field(default_factory=dict[str, Job])


class TogetherService(ModelServer):
    """The stand-in; every attribute without an underscore may be set while it runs.

    `clock` gives unix seconds; jobs and files go by it.
    """

    def __init__(self, *, seed: int = 0, clock: Callable[[], float] = time.time) -> None:
        super().__init__(_wrong_key)
        self.models = {"meta-llama/Meta-Llama-3.1-8B-Instruct-Reference", "Qwen/Qwen3-8B"}
        """The base models, which can all be tuned."""
        self.processing_seconds = 0.0
        self.training_seconds = 2.0
        self.training_available = True
        self.has_credit = True
        self.fail_training_with: tuple[str, str] | None = None
        """The type (`job_error`, `billing_limit`) and message of the event with which new jobs end halfway."""
        self.serves_tuned_models = True
        """Whether a tuned model writes as soon as it is there, or only with an endpoint that somebody rents for it."""
        self.clock = clock
        self.state = State()
        self._dice = random.Random(seed)
        self._learned: dict[str, NGram] = {}

    async def start(self, port: int = 0) -> str:
        """Serve on 127.0.0.1 and return the address; `base_url` is this with `/v1` after it."""
        return await self.serve(
            [
                web.post("/v1/files/upload", self._upload_file),
                web.get("/v1/files", self._list_files),
                web.get("/v1/files/{id}", self._get_file),
                web.delete("/v1/files/{id}", self._delete_file),
                web.post("/v1/fine-tunes", self._create_job),
                web.get("/v1/fine-tunes", self._list_jobs),
                web.get("/v1/fine-tunes/{id}", self._get_job),
                web.get("/v1/fine-tunes/{id}/events", self._list_events),
                web.get("/v1/fine-tunes/{id}/metrics", self._list_metrics),
                web.post("/v1/fine-tunes/{id}/cancel", self._cancel_job),
                web.post("/v1/chat/completions", self._chat),
            ],
            port,
        )

    # --- files ----------------------------------------------------------------------------------------------------

    async def _upload_file(self, request: web.Request) -> web.Response:
        form = read_form(request.headers.get("Content-Type", ""), await request.read())
        values = {
            name: form.get(name, FormField()).content.decode("utf-8", "replace") for name in form if name != "file"
        }
        upload = form.get("file")
        if upload is None or upload.filename is None or not upload.content:
            raise Refusal(400, "file is required", param="file")
        if not values.get("file_name"):
            raise Refusal(400, "file_name is required", param="file_name")
        if values.get("purpose") not in PURPOSES:
            raise Refusal(400, f"purpose must be one of {list(PURPOSES)}", param="purpose")
        if values.get("file_type", "jsonl") not in FILE_TYPES:
            raise Refusal(400, f"file_type must be one of {list(FILE_TYPES)}", param="file_type")
        now = self.clock()
        read, problem = await asyncio.to_thread(_read, upload.content)
        file = StoredFile(
            id=f"file-{uuid.uuid4()}",
            filename=values["file_name"],
            purpose=values["purpose"],
            created_at=now,
            ready_at=now + self.processing_seconds,
            content=upload.content,
            read=read,
            problem=problem,
        )
        self.state.files[file.id] = file
        return json_answer(file.render(now))

    async def _list_files(self, _request: web.Request) -> web.Response:
        return json_answer({"data": [file.render(self.clock()) for file in self.state.files.values()]})

    async def _get_file(self, request: web.Request) -> web.Response:
        return json_answer(self._file(request).render(self.clock()))

    async def _delete_file(self, request: web.Request) -> web.Response:
        file = self._file(request)
        del self.state.files[file.id]
        return json_answer({"id": file.id, "deleted": True})

    def _file(self, request: web.Request) -> StoredFile:
        file = self.state.files.get(request.match_info["id"])
        if file is None:
            raise Refusal(404, f"File {request.match_info['id']} not found")
        return file

    # --- jobs -----------------------------------------------------------------------------------------------------

    async def _create_job(self, request: web.Request) -> web.Response:
        asked = await read_body(request, JobRequest)
        if not self.training_available:
            raise Refusal(403, "Fine-tuning is not enabled for this account.", kind="forbidden")
        if not self.has_credit:
            raise Refusal(402, "Insufficient credit balance.", kind="credit_limit", code="credit_limit")
        if asked.model not in self.models:
            raise Refusal(400, f"Model {asked.model} is not available for fine-tuning.", param="model")
        if asked.n_evals and not asked.validation_file:
            raise Refusal(400, "n_evals needs a validation_file.", param="n_evals")
        file = self._fit_to_train(asked.training_file)
        held_out = self._fit_to_train(asked.validation_file) if asked.validation_file else None
        job = Job(
            id=f"ft-{uuid.uuid4()}",
            asked=asked,
            created_at=self.clock(),
            seconds=self.training_seconds,
            read=file.read,
            held_out_tokens=held_out.read.tokens if held_out else 0,
            doom=self.fail_training_with,
        )
        self.state.jobs[job.id] = job
        return json_answer(job.render(self.clock()))

    def _fit_to_train(self, file_id: str) -> StoredFile:
        file = self.state.files.get(file_id)
        if file is None or file.purpose != "fine-tune":
            raise Refusal(400, f"File {file_id} not found, or not uploaded for fine-tuning.", param="training_file")
        if self.clock() < file.ready_at:
            raise Refusal(400, f"File {file_id} is still being processed.", param="training_file")
        if file.problem:
            raise Refusal(400, f"File {file_id} is invalid: {file.problem}", param="training_file")
        return file

    async def _list_jobs(self, _request: web.Request) -> web.Response:
        return json_answer({"data": [job.render(self.clock()) for job in self.state.jobs.values()]})

    async def _get_job(self, request: web.Request) -> web.Response:
        return json_answer(self._job(request).render(self.clock()))

    async def _list_events(self, request: web.Request) -> web.Response:
        return json_answer({"data": self._job(request).events(self.clock())})

    async def _list_metrics(self, request: web.Request) -> web.Response:
        return json_answer({"metrics": self._job(request).metrics(self.clock())})

    async def _cancel_job(self, request: web.Request) -> web.Response:
        job, now = self._job(request), self.clock()
        if job.status(now) in FINISHED:
            raise Refusal(400, f"Job {job.id} is {job.status(now)} and cannot be cancelled.")
        job.cancelled_at = now
        return json_answer(job.render(now, "cancel_requested"))  # what comes of it shows when it is asked for again

    def _job(self, request: web.Request) -> Job:
        job = self.state.jobs.get(request.match_info["id"])
        if job is None:
            raise Refusal(404, f"Fine-tune {request.match_info['id']} not found")
        return job

    # --- writing --------------------------------------------------------------------------------------------------

    async def _chat(self, request: web.Request) -> web.Response:
        asked = await read_body(request, ChatRequest)
        if any(message.role == "developer" for message in asked.messages):
            raise Refusal(400, "Invalid role: developer. It must be system, user, assistant or tool.", param="messages")
        job = self._tuned(asked.model)
        first = self._dice.getrandbits(32) if asked.seed is None else asked.seed

        def work() -> Answered:
            tuned = self._learn(job) if job else None
            answers = [
                write(asked.messages, tuned, None, asked.max_tokens, first + turn) for turn in range(asked.n or 1)
            ]
            return Answered(answers, prompt_tokens(asked.messages), 0, {})

        return json_answer(render_chat(asked, await asyncio.to_thread(work), self.clock()))

    def _tuned(self, model: str) -> Job | None:
        """The job that made `model`, None for a base model."""
        if model in self.models:
            return None
        done = [job for job in self.state.jobs.values() if job.status(self.clock()) == "completed"]
        job = next((job for job in done if job.output_name == model), None)
        if job is None:
            raise no_such_model(model)
        if not self.serves_tuned_models:
            message = f"Unable to access non-serverless model {model}. Create and start a dedicated endpoint for it."
            raise Refusal(400, message, code="model_not_available")
        return job

    def _learn(self, job: Job) -> NGram:
        """What the job learned, counted once."""
        if job.id not in self._learned:
            self._learned[job.id] = learn(job.read.texts)
        return self._learned[job.id]


def _read(content: bytes) -> tuple[TrainingSet, str | None]:
    """A file as read, and what is wrong with it, as a sentence."""
    read = read_file(content, "supervised", "training")
    if read.error is not None and not (read.error.code == "invalid_n_examples" and read.examples):
        return read, read.error.message  # how many examples there are at least is a rule of OpenAI's
    for number, line in enumerate(content.splitlines(), 1):
        try:
            msgspec.json.decode(line, type=_Line)
        except msgspec.DecodeError as error:
            return read, f"Line {number}: {error}"
    return read, None


def _wrong_key() -> Refusal:
    return Refusal(401, "Invalid API key provided.", code="invalid_api_key")


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
