"""A small model service on loopback that answers as each test says, and a client to it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
import tenacity
from aiohttp import web
from pydantic import SecretStr

from bot.language.endpoint import Endpoint, ModelService

KEY = "sk-proj-5f1e7a2b9c3d1e4f"
MODEL = "gpt-4.1-mini"

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]

JOB = {"id": "ftjob-1", "object": "fine_tuning.job", "status": "running", "training_file": "file-1", "error": {}}
FILE = {"id": "file-1", "object": "file", "filename": "posts.jsonl", "status": "processed", "purpose": "fine-tune"}
COMPLETION = {
    "id": "chatcmpl-1",
    "model": "gpt-4.1-mini-2025-04-14",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "A post."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}},
}


@dataclass
class Seen:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    raw: bytes
    raw_path: str

    @property
    def body(self):
        return json.loads(self.raw)


class Server:
    """Answers each request with the next of `replies`, then with `then`, then as a healthy service would."""

    def __init__(self):
        self.replies: list[Reply] = []
        self.then: Reply | None = None
        self.seen: list[Seen] = []
        self.release = asyncio.Event()
        self.base_url = ""
        self._runner: web.AppRunner | None = None

    async def start(self):
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def stop(self):
        self.release.set()
        await self._runner.cleanup()

    async def _answer(self, request):
        raw = await request.read()
        self.seen.append(
            Seen(
                request.method, request.path, dict(request.query), dict(request.headers), raw, request.rel_url.raw_path
            )
        )
        reply = self.replies.pop(0) if self.replies else self.then or healthy
        return await reply(request)

    async def hang(self, _request):
        await self.release.wait()
        return web.Response()


async def healthy(request):
    path = request.path.removeprefix("/v1")
    match request.method, path.split("/")[1:]:
        case "POST", ["chat", "completions"]:
            return web.json_response(COMPLETION)
        case "POST", ["moderations"]:
            texts = (await request.json())["input"]
            return web.json_response({"results": [judged(text) for text in texts]})
        case "POST", ["files"]:
            return web.json_response(FILE)
        case ("GET", ["files"] | ["fine_tuning", "jobs"] | ["fine_tuning", "jobs", _, "events"]) | (
            "GET",
            ["fine-tunes"] | ["fine-tunes", _, "events" | "metrics"],
        ):
            return web.json_response({"data": [], "metrics": [], "has_more": False})
        case "GET", ["files", _]:
            return web.json_response(FILE)
        case "DELETE", ["files", _]:
            return web.json_response({"id": "file-1", "deleted": True})
        case "GET", ["models", name]:
            return web.json_response({"id": name, "shutdown_date": "2027-01-14"})
        case _:
            return web.json_response(JOB)


def judged(text):
    flagged = "bad" in text
    return {
        "flagged": flagged,
        "categories": {"hate": flagged, "violence": False, "new/kind": None},
        "category_scores": {"hate": 0.9 if flagged else 0.1, "violence": 0.01, "new/kind": None},
    }


def status(code, body=None, headers=None):
    """A reply with an error of the shape OpenAI gives it, or with this very body."""

    async def reply(_):
        shown = body if body is not None else {"error": {"message": "Something.", "type": "x", "code": None}}
        return web.json_response(shown, status=code, headers=headers)

    return reply


def error(code, message, *, name=None, param=None, headers=None):
    body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": name}}
    return status(code, body, headers)


def answer(body, headers=None):
    async def reply(_):
        return web.json_response(body, headers=headers)

    return reply


def html(code):
    async def reply(_):
        return web.Response(
            status=code, text="<html><h1>Bad gateway sk-html-000000</h1></html>", content_type="text/html"
        )

    return reply


async def reset(request):
    request.transport.abort()
    return web.Response()


def raw(data, *, content_type="application/json"):
    async def reply(_):
        return web.Response(body=data, content_type=content_type)

    return reply


async def cut_short(request):
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "500"})
    await response.prepare(request)
    await response.write(b'{"id": "ftjob-1", "sta')
    request.transport.close()
    return response


@pytest.fixture
async def server():
    server = Server()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def service(server):
    service = ModelService(Endpoint(server.base_url, SecretStr(KEY), MODEL), deadline=5.0, wait=tenacity.wait_none())
    yield service
    await service.close()
