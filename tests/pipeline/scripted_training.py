"""A service for files, fine-tuning jobs and writing on loopback that does as a script says: any status in any order,
and any mishap at any call. What it holds (files, jobs, its bill) is the truth that a training is measured by."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from bot.demo.openai_wire import read_form
from bot.language.prices import chat_cost

BASE_MODEL = "gpt-4.1-mini-2025-04-14"
LATE = 0.02
"""Seconds, for `Mishap.late`."""


@dataclass(frozen=True)
class Mishap:
    """What becomes of one call. `acts` says that the service did as it was asked all the same.

    `how`: answer (with `status` and `body`), cut, half, hang, kill (the bot's process dies over it). `late` is how
    many seconds after nobody waits for the answer any more the service does it.
    """

    name: str
    how: str
    acts: bool = False
    late: float = 0.0
    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return self.name


def refusal(status: int, code: str | None = None, message: str = "No.") -> Mishap:
    """An answer of OpenAI's shape that says no."""
    return Mishap(f"{status} {code}", "answer", status=status, body={"error": {"message": message, "code": code}})


MISHAPS = [
    Mishap("killed before", "kill"),
    Mishap("killed after", "kill", acts=True),
    Mishap("killed, then done", "kill", late=LATE),
    Mishap("cut before", "cut"),
    Mishap("cut after", "cut", acts=True),
    Mishap("cut, then done", "cut", late=LATE),
    Mishap("half an answer", "half", acts=True),
    Mishap("silent", "hang"),
    Mishap("silent after", "hang", acts=True),
    Mishap("silent, then done", "hang", late=LATE),
    Mishap("503 before", "answer", status=503),
    Mishap("504, then done", "answer", late=LATE, status=504),
    Mishap("504 after", "answer", acts=True, status=504),
    Mishap("nonsense before", "answer", body=[1, {"id": 3}]),
    Mishap("nonsense after", "answer", acts=True, body={"data": 7}),
    Mishap("nothing after", "answer", acts=True, body=""),
    Mishap("a page", "answer", status=502, body="<html>Bad gateway</html>"),
    Mishap("slow down", "answer", status=429, headers={"retry-after-ms": "1"}),
    refusal(401, "invalid_api_key"),
    refusal(429, "insufficient_quota"),
]


@dataclass(frozen=True)
class Script:
    """One training as the service plays it; `end` are the fields of the job once its last status is reached."""

    statuses: Sequence[str] = ("validating_files", "queued", "running", "succeeded")
    end: dict[str, object] = field(default_factory=lambda: {"fine_tuned_model": "ft:one", "trained_tokens": 480})
    file_statuses: Sequence[str] = ("processed",)
    refusals: Sequence[str] = ()
    """With which the job is refused before it is accepted: "processing", "unseen"."""
    events: Sequence[object] = ()
    mishaps: Sequence[Mishap | None] = ()
    """Of the first calls, in their order."""


@dataclass
class File:
    id: str
    name: str
    content: bytes
    statuses: list[str]


class ScriptedService:
    """`play` begins another script and forgets what was."""

    def __init__(self) -> None:
        self.killed = asyncio.Event()
        """The bot's process is to die now."""
        self.base_url = ""
        self.bill = 0.0
        """Dollars for all trainings and texts ever."""
        self.training_price = 0.0
        """Dollars for a million tokens."""
        self.length = 0.5
        """Of the texts it writes, as a share of what they may have."""
        self._runner: web.AppRunner | None = None
        self.play(Script())

    def play(self, script: Script) -> None:
        self.script = script
        self.files: list[File] = []
        """Every file that was ever uploaded."""
        self.deleted: list[str] = []
        self.jobs: list[dict[str, Any]] = []
        self.calls: list[tuple[str, str]] = []
        self._mishaps = list(script.mishaps)
        self._statuses = list(script.statuses)
        self._refusals = list(script.refusals)
        self.be_healthy_again()

    def be_healthy_again(self) -> None:
        """Let go of every call that hangs."""
        self.killed.clear()
        released, self._released = getattr(self, "_released", asyncio.Event()), asyncio.Event()
        released.set()

    @property
    def has_mishaps(self) -> bool:
        return bool(self._mishaps)

    def add_mishaps(self, *mishaps: Mishap | None) -> None:
        self._mishaps += mishaps

    def clear_mishaps(self) -> None:
        self._mishaps.clear()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def stop(self) -> None:
        self._released.set()
        assert self._runner is not None
        await self._runner.cleanup()

    def made(self, method: str, ending: str) -> int:
        """How often a call was made, whatever became of it."""
        return sum(call[0] == method and call[1].endswith(ending) for call in self.calls)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw, released = await request.read(), self._released
        self.calls.append((request.method, request.path))
        mishap = self._mishaps.pop(0) if self._mishaps else None
        if mishap is None:
            status, body = self._act(request, raw)
            return web.json_response(body, status=status)
        body = self._act(request, raw)[1] if mishap.acts else mishap.body
        if mishap.how == "answer":
            if mishap.late:
                self._act_late(request, raw, mishap.late)
            shown = mishap.body
            text = shown if isinstance(shown, str) else msgspec.json.encode(shown).decode()
            return web.Response(
                status=mishap.status, text=text, headers={"Content-Type": "application/json", **mishap.headers}
            )
        if mishap.how == "half":
            data = msgspec.json.encode(body)
            answer = web.StreamResponse(headers={"Content-Type": "application/json"})
            answer.content_length = len(data)
            await answer.prepare(request)
            await answer.write(data[: len(data) // 2])
        if mishap.how == "kill":
            self.killed.set()
        while mishap.how in {"kill", "hang"} and not released.is_set() and request.transport is not None:
            await asyncio.sleep(0.001)  # until whoever asked is gone
        if mishap.late:
            self._act_late(request, raw, mishap.late)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    def _act_late(self, request: web.Request, raw: bytes, seconds: float) -> None:
        script = self.script

        def act() -> None:
            if self.script is script:
                self._act(request, raw)

        asyncio.get_running_loop().call_later(seconds, act)

    def _act(self, request: web.Request, raw: bytes) -> tuple[int, object]:
        match request.path.removeprefix("/v1/").split("/"):
            case ["files", *names]:
                return self._act_on_files(request, raw, names)
            case ["fine_tuning", "jobs", *names]:
                return self._act_on_jobs(request, raw, names)
            case ["chat", "completions"]:
                return self._write(msgspec.json.decode(raw))
            case _:
                return 404, {"error": {"message": "What is that?", "code": "unknown_url"}}

    def _act_on_files(self, request: web.Request, raw: bytes, names: list[str]) -> tuple[int, object]:
        if request.method == "POST":
            upload = read_form(request.headers["Content-Type"], raw)["file"]
            name = upload.filename or ""
            file = File(f"file-{len(self.files)}", name, upload.content, list(self.script.file_statuses))
            self.files.append(file)
            return 200, _rendered(file)
        if request.method == "DELETE":
            self.deleted.append(names[0])
            return 200, {"id": names[0], "deleted": True}
        if names:
            return self._look_at_file(names[0])
        kept = [_rendered(file) for file in reversed(self.files) if file.id not in self.deleted]
        return 200, {"data": kept, "has_more": False}

    def _act_on_jobs(self, request: web.Request, raw: bytes, names: list[str]) -> tuple[int, object]:
        if request.method == "POST" and not names:
            return self._create(msgspec.json.decode(raw))
        if not names:
            return 200, {"data": self.jobs[::-1], "has_more": False}
        if names[-1] == "events":
            return 200, {"data": list(self.script.events), "has_more": False}
        if names[-1] == "cancel":
            self._statuses = ["cancelled"]
        return 200, self._look_at_job()

    def _look_at_file(self, file_id: str) -> tuple[int, object]:
        file = next((file for file in self.files if file.id == file_id and file_id not in self.deleted), None)
        if file is None:
            return 404, {"error": {"message": f"No such File object: {file_id}", "code": None}}
        if len(file.statuses) > 1:
            file.statuses.pop(0)
        return 200, _rendered(file)

    def _create(self, asked: dict[str, Any]) -> tuple[int, object]:
        if self._refusals:
            file = asked["training_file"]
            message = {
                "processing": f"File '{file}' is still being processed and is not ready to be used.",
                "unseen": f"invalid training_file: {file}",
            }[self._refusals.pop(0)]
            return 400, {"error": {"message": message, "code": None, "param": "training_file"}}
        job = {
            "object": "fine_tuning.job",
            "id": f"ftjob-{len(self.jobs)}",
            "status": "validating_files",
            "error": {},
            "fine_tuned_model": None,
            "trained_tokens": None,
            **{name: asked.get(name) for name in ("model", "training_file", "validation_file", "metadata", "method")},
        }
        self.jobs.append(job)
        if self.script.statuses[-1] == "succeeded":
            tokens = self.script.end.get("trained_tokens")
            self.bill += tokens * self.training_price / 1_000_000 if isinstance(tokens, int) else 0.0
        return 200, job

    def _write(self, asked: dict[str, Any]) -> tuple[int, object]:
        """A text of as many tokens as were asked for at most, or about so: what one call may cost is known before."""
        tokens = int(asked["max_completion_tokens"] * self.length)
        self.bill += chat_cost(asked["model"], 1, tokens)
        message = {"role": "assistant", "content": f"text {len(self.calls)}"}
        return 200, {
            "id": "c",
            "model": asked["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": tokens},
        }

    def _look_at_job(self) -> dict[str, Any]:
        job = self.jobs[-1]
        job["status"] = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        if len(self._statuses) == 1 and job["status"] == self._statuses[0]:
            job |= self.script.end
        return job


def _rendered(file: File) -> dict[str, object]:
    return {
        "object": "file",
        "id": file.id,
        "filename": file.name,
        "purpose": "fine-tune",
        "bytes": len(file.content),
        "status": file.statuses[0],
    }
