"""A stand-in for OpenAI's API on loopback, true enough that the real SDK works against it.

Files, fine-tuning jobs, chat completions, responses, moderations, batches of these, and models, with their refusals,
quotas and headers.
There is no language model in it: what it "trains" and writes with is a word n-gram (`bot.demo.ngram`).

Runs inside a test or the demo (`OpenAIService`), or as a process of its own:
`python -m bot.demo.openai_service --port 8001 --state openai.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import msgspec
from aiohttp import web

from bot.demo import openai_batches as batches
from bot.demo import openai_errors as errors
from bot.demo import openai_training as training
from bot.demo.model_server import ModelServer
from bot.demo.ngram import NGram, learn
from bot.demo.openai_batches import Batch, BatchError, BatchRequest
from bot.demo.openai_errors import Refusal
from bot.demo.openai_generation import (
    Answered,
    ChatRequest,
    FlatSchemaFormat,
    ResponseRequest,
    SchemaFormat,
    render_chat,
    render_response,
)
from bot.demo.openai_moderation import MOST_INPUTS, ModerationRequest, judge
from bot.demo.openai_pace import Limits, Pace
from bot.demo.openai_state import State, StoredFile, load, replace
from bot.demo.openai_training import Job, JobRequest
from bot.demo.openai_wire import FormField, json_answer, page, read_body, read_form
from bot.demo.openai_writing import Message, PromptCache, cached_tokens, prompt_tokens, write
from bot.language.tokens import count

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data")
FIRST_SHUTDOWN = "2027-01-14"


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A base model. `snapshot` is the dated name that tunes of it carry; None where it cannot be tuned."""

    snapshot: str | None = None
    shutdown_date: str | None = None
    created: int = 1744316542


class OpenAIService(ModelServer):
    """The stand-in; every attribute without an underscore may be set while it runs.

    `clock` gives unix seconds; jobs, files and quotas go by it. With a `save_path` the state is written there (JSON,
    atomically) before a change is answered, and read from there by `start`.
    """

    def __init__(self, *, seed: int = 0, save_path: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        super().__init__(errors.wrong_key)
        self.models = {
            "gpt-4.1": ModelCard("gpt-4.1-2025-04-14", FIRST_SHUTDOWN),
            "gpt-4.1-2025-04-14": ModelCard("gpt-4.1-2025-04-14", FIRST_SHUTDOWN),
            "gpt-4.1-mini": ModelCard("gpt-4.1-mini-2025-04-14", FIRST_SHUTDOWN),
            "gpt-4.1-mini-2025-04-14": ModelCard("gpt-4.1-mini-2025-04-14", FIRST_SHUTDOWN),
            "gpt-4o-mini": ModelCard("gpt-4o-mini-2024-07-18", FIRST_SHUTDOWN),
            "gpt-4o-mini-2024-07-18": ModelCard("gpt-4o-mini-2024-07-18", FIRST_SHUTDOWN),
            "gpt-6-luna": ModelCard(),
            "omni-moderation-latest": ModelCard(),
        }
        """Base models by name. Taking one away retires it; taking a snapshot away retires every tune of it."""
        self.processing_seconds = 0.0
        self.training_seconds = 2.0
        self.training_available = True
        self.fail_training_with: tuple[str, str] | None = None
        """A code and message with which the jobs created from now on fail halfway."""
        self.unsafe_words: set[str] = set()
        """Words that make the validation of a training file fail with `unsafe_file`."""
        self.insufficient_quota = False
        self.flagged_words: dict[str, str] = {}
        """Word → category; a text with such a word is flagged."""
        self.borderline_words: dict[str, str] = {}
        """Word → category; a text with such a word scores 0.2 to 0.45 and is not flagged."""
        self.refused_words: set[str] = set()
        """A request to moderate a text with such a word is refused with 400, in a batch too."""
        self.batch_seconds = 2.0
        self.fail_batches_with: tuple[str, str] | None = None
        """A code and message with which the batches created from now on fail before anything is answered."""
        self.expire_batches_at: float | None = None
        """The share of its requests (0 to 1) after which a batch that is created from now on expires."""
        self.moderation_requests_per_minute = 1_000
        self.moderation_tokens_per_minute = 500_000
        self.generation_requests_per_minute = 10_000
        self.generation_tokens_per_minute = 2_000_000
        self.clock = clock
        self.state = State()
        self._save_path = save_path
        self._saving = asyncio.Lock()
        self._dice = random.Random(seed)
        self._moderation_pace = Pace()
        self._generation_pace = Pace()
        self._cache = PromptCache()
        self._learned: dict[str, NGram] = {}

    # --- the server -----------------------------------------------------------------------------------------------

    async def start(self, port: int = 0) -> str:
        """Serve on 127.0.0.1 and return the address, `http://127.0.0.1:PORT`; port 0 takes a free one.

        The SDK's `base_url` is this address with `/v1` after it.
        """
        if self._save_path is not None:
            self.state = await asyncio.to_thread(load, self._save_path)
        return await self.serve(
            [
                web.get("/v1/models", self._list_models),
                web.get("/v1/models/{id}", self._get_model),
                web.post("/v1/files", self._create_file),
                web.get("/v1/files", self._list_files),
                web.get("/v1/files/{id}", self._get_file),
                web.get("/v1/files/{id}/content", self._get_content),
                web.delete("/v1/files/{id}", self._delete_file),
                web.post("/v1/fine_tuning/jobs", self._create_job),
                web.get("/v1/fine_tuning/jobs", self._list_jobs),
                web.get("/v1/fine_tuning/jobs/{id}", self._get_job),
                web.get("/v1/fine_tuning/jobs/{id}/events", self._list_events),
                web.get("/v1/fine_tuning/jobs/{id}/checkpoints", self._list_checkpoints),
                web.post("/v1/fine_tuning/jobs/{id}/cancel", self._cancel_job),
                web.post("/v1/fine_tuning/jobs/{id}/pause", self._pause_job),
                web.post("/v1/fine_tuning/jobs/{id}/resume", self._resume_job),
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/responses", self._respond),
                web.post("/v1/moderations", self._moderate),
                web.post("/v1/batches", self._create_batch),
                web.get("/v1/batches", self._list_batches),
                web.get("/v1/batches/{id}", self._get_batch),
                web.post("/v1/batches/{id}/cancel", self._cancel_batch),
            ],
            port,
        )

    async def _save(self) -> None:
        """Write the state, when it is to outlive the process, in the order of the changes."""
        if self._save_path is None:
            return
        async with self._saving:
            await asyncio.to_thread(replace, self._save_path, msgspec.json.encode(self.state))

    # --- models ---------------------------------------------------------------------------------------------------

    async def _list_models(self, _request: web.Request) -> web.Response:
        names = [*self.models, *(name for job in self._jobs() for name in job.models())]
        return json_answer({"object": "list", "data": [self._render_model(name) for name in names]})

    async def _get_model(self, request: web.Request) -> web.Response:
        return json_answer(self._render_model(request.match_info["id"]))

    def _render_model(self, name: str) -> dict[str, object]:
        job = self._tuned(name)
        card = self.models[job.model if job else name]
        return {
            "id": name,
            "object": "model",
            "created": job.finished_at if job else card.created,
            "owned_by": training.ORGANIZATION if job else "system",
            "shutdown_date": card.shutdown_date,
        }

    def _tuned(self, model: str) -> Job | None:
        """The job that made `model`, None for a base model; raises the 404 for a model that is not there."""
        job = next((job for job in self._jobs() if model in job.models()), None)
        if (job.model if job else model) not in self.models:
            raise errors.no_such_model(model)
        return job

    # --- files ----------------------------------------------------------------------------------------------------

    async def _create_file(self, request: web.Request) -> web.Response:
        form = read_form(request.headers.get("Content-Type", ""), await request.read())
        purpose = form.get("purpose", FormField()).content.decode("utf-8", "replace")
        upload = form.get("file")
        if upload is None or upload.filename is None:
            raise Refusal(400, "'file' is a required property", param="file")
        if purpose not in PURPOSES:
            raise Refusal(400, f"'{purpose}' is not one of {list(PURPOSES)} - 'purpose'", param="purpose")
        if purpose == "fine-tune" and not upload.filename.endswith(".jsonl"):
            raise Refusal(400, "Invalid file format for Fine-Tuning API. Must be .jsonl", param="file")
        if not upload.content:
            raise Refusal(400, "File is empty.", param="file")
        now = self.clock()
        seconds = form.get("expires_after[seconds]", FormField()).content
        file = StoredFile(
            id=f"file-{uuid.uuid4().hex[:24]}",
            filename=upload.filename,
            purpose=purpose,
            created_at=now,
            ready_at=now + self.processing_seconds,
            expires_at=int(now) + int(seconds) if seconds.isdigit() else None,
            content=upload.content,
        )
        self.state.files[file.id] = file
        await self._save()
        return json_answer(file.render(self.clock()))

    async def _list_files(self, request: web.Request) -> web.Response:
        purpose = request.query.get("purpose")
        files = [file for file in self._files().values() if purpose in {None, file.purpose}]
        if request.query.get("order") != "asc":
            files.reverse()
        shown, more = page(files, [file.id for file in files], request, 10_000)
        first, last = (shown[0].id, shown[-1].id) if shown else ("", "")
        return json_answer(
            {
                "object": "list",
                "data": [file.render(self.clock()) for file in shown],
                "first_id": first,
                "last_id": last,
                "has_more": more,
            }
        )

    async def _get_file(self, request: web.Request) -> web.Response:
        return json_answer(self._file(request).render(self.clock()))

    async def _get_content(self, request: web.Request) -> web.Response:
        file = self._file(request)
        headers = {"Content-Disposition": 'attachment; filename="file.jsonl"'}
        return web.Response(body=file.content, content_type="application/octet-stream", headers=headers)

    async def _delete_file(self, request: web.Request) -> web.Response:
        file = self._file(request)
        del self.state.files[file.id]
        await self._save()
        return json_answer({"id": file.id, "object": "file", "deleted": True})

    def _files(self) -> dict[str, StoredFile]:
        """All files in the order of their upload, without those that have expired."""
        now = self.clock()
        for file in list(self.state.files.values()):
            if file.expires_at is not None and file.expires_at <= now:
                del self.state.files[file.id]
        return self.state.files

    def _file(self, request: web.Request) -> StoredFile:
        file = self._files().get(request.match_info["id"])
        if file is None:
            raise errors.no_such_file(request.match_info["id"])
        return file

    # --- fine-tuning ----------------------------------------------------------------------------------------------

    async def _create_job(self, request: web.Request) -> web.Response:
        asked = await read_body(request, JobRequest)
        if not self.training_available:
            raise errors.training_not_available()
        if self.insufficient_quota:
            raise errors.no_money_left()
        card = self.models.get(asked.model)
        if card is None or card.snapshot is None:
            message = f"Model {asked.model} is not available for fine-tuning or does not exist."
            raise Refusal(400, message, param="model", code="model_not_available")
        method = asked.method.type if asked.method else "supervised"
        file = self._training_file(asked.training_file, "training_file")
        read = await asyncio.to_thread(training.read_file, file.content, method, "training")
        error = read.error or training.unsafe(read.texts, self.unsafe_words)
        if asked.validation_file is not None:
            held_out = self._training_file(asked.validation_file, "validation_file").content
            error = error or (await asyncio.to_thread(training.read_file, held_out, method, "validation")).error
        doomed_at = training.VALIDATED if error else None
        if error is None and self.fail_training_with is not None:
            doomed_at, error = training.HALFWAY, training.JobError(*self.fail_training_with)
        now, name = self.clock(), uuid.uuid4().hex
        suffix = "".join(letter if letter.isalnum() else "-" for letter in (asked.suffix or "").casefold())
        job = Job(
            id=f"ftjob-{name[:24]}",
            model=card.snapshot,
            training_file=file.id,
            validation_file=asked.validation_file,
            method=method,
            hyperparameters=asked.asked(),
            seed=self._dice.getrandbits(31) if asked.seed is None else asked.seed,
            metadata=asked.metadata,
            created_at=now,
            seen_at=now,
            result=f"ft:{card.snapshot}:{training.ORGANIZATION.removeprefix('org-')}:{suffix}:{name[24:]}",
            texts=read.texts,
            examples=read.examples,
            tokens=read.tokens,
            doomed_at=doomed_at,
            doom=error,
        )
        training.begin(job)
        self.state.jobs[job.id] = job
        await self._save()
        return self._job_answer(job)

    def _training_file(self, file_id: str, param: Literal["training_file", "validation_file"]) -> StoredFile:
        file = self._files().get(file_id)
        if file is None or file.purpose != "fine-tune":
            raise Refusal(400, f"invalid {param}: {file_id}", param=param)
        if self.clock() < file.ready_at:
            raise errors.file_not_ready(file_id)
        return file

    async def _list_jobs(self, request: web.Request) -> web.Response:
        wanted = {
            name.removeprefix("metadata[").removesuffix("]"): value
            for name, value in request.query.items()
            if name.startswith("metadata[")
        }
        jobs = [job for job in reversed(self._jobs()) if wanted.items() <= (job.metadata or {}).items()]
        shown, more = page(jobs, [job.id for job in jobs], request, 20)
        data = [training.render_job(job, self.clock(), self.training_seconds) for job in shown]
        return json_answer({"object": "list", "data": data, "has_more": more})

    async def _get_job(self, request: web.Request) -> web.Response:
        return self._job_answer(self._job(request))

    async def _list_events(self, request: web.Request) -> web.Response:
        job = self._job(request)
        events = [training.render_event(job, number) for number in reversed(range(len(job.events)))]
        shown, more = page(events, [str(event["id"]) for event in events], request, 20)
        return json_answer({"object": "list", "data": shown, "has_more": more})

    async def _list_checkpoints(self, request: web.Request) -> web.Response:
        job = self._job(request)
        checkpoints = [training.render_checkpoint(job, checkpoint) for checkpoint in reversed(job.checkpoints)]
        shown, more = page(checkpoints, [str(checkpoint["id"]) for checkpoint in checkpoints], request, 10)
        first, last = (shown[0]["id"], shown[-1]["id"]) if shown else (None, None)
        return json_answer({"object": "list", "data": shown, "first_id": first, "last_id": last, "has_more": more})

    async def _cancel_job(self, request: web.Request) -> web.Response:
        job = self._job(request)
        if job.status in training.FINISHED:
            raise Refusal(400, f"Job has already completed: {job.id}", param="fine_tune_id")
        training.cancel(job, self.clock())
        await self._save()
        return self._job_answer(job)

    async def _pause_job(self, request: web.Request) -> web.Response:
        job = self._job(request)
        if job.status != "running":
            raise Refusal(400, f"Only a running job can be paused; {job.id} is {job.status}.", param="fine_tune_id")
        training.pause(job, self.clock())
        await self._save()
        return self._job_answer(job)

    async def _resume_job(self, request: web.Request) -> web.Response:
        job = self._job(request)
        if job.status != "paused":
            raise Refusal(400, f"Only a paused job can be resumed; {job.id} is {job.status}.", param="fine_tune_id")
        training.resume(job, self.clock())
        await self._save()
        return self._job_answer(job)

    def _jobs(self) -> list[Job]:
        """All jobs, brought up to this moment, in the order in which they were created."""
        for job in self.state.jobs.values():
            training.advance(job, self.clock(), self.training_seconds)
        return list(self.state.jobs.values())

    def _job(self, request: web.Request) -> Job:
        self._jobs()
        job = self.state.jobs.get(request.match_info["id"])
        if job is None:
            raise errors.no_such_job(request.match_info["id"])
        return job

    def _job_answer(self, job: Job) -> web.Response:
        return json_answer(training.render_job(job, self.clock(), self.training_seconds))

    # --- writing --------------------------------------------------------------------------------------------------

    async def _chat(self, request: web.Request) -> web.Response:
        asked = await read_body(request, ChatRequest)
        wanted = asked.response_format
        answered = await self._answer(
            asked.model,
            asked.messages,
            schema=wanted.json_schema.schema if isinstance(wanted, SchemaFormat) else None,
            limit=asked.max_completion_tokens or asked.max_tokens,
            seed=asked.seed,
            times=asked.n or 1,
        )
        return json_answer(render_chat(asked, answered, self.clock()), answered.headers)

    async def _respond(self, request: web.Request) -> web.Response:
        asked = await read_body(request, ResponseRequest)
        messages = [Message("user", asked.input)] if isinstance(asked.input, str) else asked.input
        wanted = asked.text.format
        answered = await self._answer(
            asked.model,
            [Message("developer", asked.instructions), *messages] if asked.instructions else messages,
            schema=wanted.schema if isinstance(wanted, FlatSchemaFormat) else None,
            limit=asked.max_output_tokens,
            seed=None,
            times=1,
        )
        return json_answer(render_response(asked, answered, self.clock()), answered.headers)

    async def _answer(
        self,
        model: str,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, object] | None,
        limit: int | None,
        seed: int | None,
        times: int,
    ) -> Answered:
        """Answer a prompt `times` times, within the quota; without a `seed` the service's own dice choose."""
        job = self._tuned(model)
        if self.insufficient_quota:
            raise errors.no_money_left()
        prompt = await asyncio.to_thread(prompt_tokens, messages)
        limits = Limits(self.generation_requests_per_minute, self.generation_tokens_per_minute)
        headers = self._generation_pace.take(model, prompt + (limit or 0) * times, limits, self.clock())
        first = self._dice.getrandbits(32) if seed is None else seed
        known = self._cache.known(model, self._cache.flatten(messages))

        def work() -> Answered:
            tuned = self._learn(job) if job else None
            answers = [write(messages, tuned, schema, limit, first + turn) for turn in range(times)]
            return Answered(answers, prompt, min(cached_tokens(known), prompt), headers)

        return await asyncio.to_thread(work)

    def _learn(self, job: Job) -> NGram:
        """What the job learned, counted once."""
        learned = self._learned.get(job.id)
        if learned is None:
            learned = self._learned[job.id] = learn(job.texts)
        return learned

    # --- moderation -----------------------------------------------------------------------------------------------

    async def _moderate(self, request: web.Request) -> web.Response:
        asked = await read_body(request, ModerationRequest)
        self._tuned(asked.model)
        if self.insufficient_quota:
            raise errors.no_money_left()
        texts = asked.texts()
        if not 1 <= len(texts) <= MOST_INPUTS:
            message = f"Invalid 'input': expected 1 to {MOST_INPUTS} texts, but got {len(texts)}."
            raise Refusal(400, message, param="input", code="array_above_max_length" if texts else "empty_array")
        if self._is_refused(texts):
            raise Refusal(400, "Invalid 'input': this text cannot be moderated.", param="input")
        tokens = await asyncio.to_thread(lambda: sum(map(count, texts)))
        limits = Limits(self.moderation_requests_per_minute, self.moderation_tokens_per_minute)
        headers = self._moderation_pace.take(asked.model, tokens, limits, self.clock())
        return json_answer(self._judged(asked), headers)

    def _judged(self, asked: ModerationRequest) -> dict[str, object]:
        results = [judge(text, self.flagged_words, self.borderline_words) for text in asked.texts()]
        return {"id": f"modr-{uuid.uuid4().hex}", "model": asked.model, "results": results}

    def _is_refused(self, texts: Sequence[str]) -> bool:
        return any(word in text for word in self.refused_words for text in texts)

    # --- batches --------------------------------------------------------------------------------------------------

    async def _create_batch(self, request: web.Request) -> web.Response:
        asked = await read_body(request, BatchRequest)
        if self.insufficient_quota:
            raise errors.no_money_left()
        if asked.endpoint != "/v1/moderations":
            raise Refusal(400, f"Invalid value: '{asked.endpoint}'.", param="endpoint", code="invalid_value")
        file = self._files().get(asked.input_file_id)
        if file is None or file.purpose != "batch":
            raise Refusal(400, f"Invalid file: {asked.input_file_id}", param="input_file_id")
        if self.clock() < file.ready_at:
            raise errors.file_not_ready(file.id)
        total, doom = await asyncio.to_thread(batches.first_problem, file.content, asked.endpoint)
        now = self.clock()
        batch = Batch(
            id=f"batch_{uuid.uuid4().hex}",
            endpoint=asked.endpoint,
            input_file=file.id,
            metadata=asked.metadata,
            created_at=now,
            seen_at=now,
            content=file.content,
            total=total,
            doom=BatchError(*self.fail_batches_with) if self.fail_batches_with is not None else doom,
            expires_at_share=self.expire_batches_at,
        )
        self.state.batches[batch.id] = batch
        await self._save()
        return json_answer(batches.render(batch))

    async def _list_batches(self, request: web.Request) -> web.Response:
        found = list(reversed(await self._batches()))
        shown, more = page(found, [batch.id for batch in found], request, 20)
        ids = {"first_id": shown[0].id, "last_id": shown[-1].id} if shown else {}
        data = [batches.render(batch) for batch in shown]
        return json_answer({"object": "list", "data": data, "has_more": more, **ids})

    async def _get_batch(self, request: web.Request) -> web.Response:
        return json_answer(batches.render(await self._batch(request)))

    async def _cancel_batch(self, request: web.Request) -> web.Response:
        batch = await self._batch(request)
        if batch.is_finished or batch.status == "cancelling":
            raise Refusal(409, f"Cannot cancel a batch with status '{batch.status}'.", param="batch_id")
        batches.cancel(batch, self.clock())
        await self._save()
        return json_answer(batches.render(batch))

    async def _batches(self) -> list[Batch]:
        """All batches, brought up to this moment, in the order in which they were created."""
        for batch in self.state.batches.values():
            if batches.advance(batch, self.clock(), self.batch_seconds):
                self._write_answers(batch)
                await self._save()
        return list(self.state.batches.values())

    async def _batch(self, request: web.Request) -> Batch:
        await self._batches()
        batch = self.state.batches.get(request.match_info["id"])
        if batch is None:
            raise errors.no_such_batch(request.match_info["id"])
        return batch

    def _write_answers(self, batch: Batch) -> None:
        def answer(asked: ModerationRequest) -> tuple[int, object]:
            if self._is_refused(asked.texts()):
                return 400, Refusal(400, "Invalid 'input': this text cannot be moderated.", param="input").body
            return 200, self._judged(asked)

        good, bad = batches.answers(batch, answer)
        batch.output_file = self._write_file(f"{batch.id}_output.jsonl", good)
        batch.error_file = self._write_file(f"{batch.id}_error.jsonl", bad)

    def _write_file(self, name: str, content: bytes) -> str | None:
        """A file of the service's own; None for an empty one, which there is none of."""
        if not content:
            return None
        now = self.clock()
        file = StoredFile(
            id=f"file-{uuid.uuid4().hex[:24]}",
            filename=name,
            purpose="batch_output",
            created_at=now,
            ready_at=now,
            expires_at=None,
            content=content,
        )
        self.state.files[file.id] = file
        return file.id


# --- a process of its own ---------------------------------------------------------------------------------------


async def _serve(port: int, save_path: Path | None) -> None:
    service = OpenAIService(save_path=save_path)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    address = await service.start(port)
    print(address, flush=True)
    try:
        await stopped.wait()
    finally:
        await service.stop()


def main() -> None:
    """Serve until interrupted; prints one line with the address when ready."""
    parser = argparse.ArgumentParser(
        prog="python -m bot.demo.openai_service", description="A stand-in for OpenAI's API."
    )
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--state", type=Path, help="a JSON file to keep the state in")
    options = parser.parse_args()
    asyncio.run(_serve(cast("int", options.port), cast("Path | None", options.state)))


if __name__ == "__main__":
    main()
