"""What the stand-ins for model services have in common: a server on loopback with one key, faults and a log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from bot.demo.faults import Faults
from bot.demo.openai_errors import Refusal
from bot.demo.openai_wire import json_answer

LARGEST_UPLOAD = 512 * 2**20

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One call as it arrived, however it was answered. `body` is the parsed JSON, None for anything else."""

    method: str
    path: str
    query: Mapping[str, str]
    body: object
    headers: Mapping[str, str]
    """Names in lower case; without `authorization`."""


class ModelServer:
    """A server that a stand-in is built on. `wrong_key` makes the answer to a call without the key."""

    def __init__(self, wrong_key: Callable[[], Refusal]) -> None:
        self.api_key = "sk-stand-in"
        self.faults = Faults()
        self.requests: list[LoggedRequest] = []
        self._wrong_key = wrong_key
        self._runner: web.AppRunner | None = None

    async def serve(self, routes: Iterable[web.AbstractRouteDef], port: int) -> str:
        """Serve on 127.0.0.1 and return the address, `http://127.0.0.1:PORT`; port 0 takes a free one."""
        middlewares = cast("list[Middleware]", [self._answer_errors, self._log, self.faults.middleware, self._admit])
        app = web.Application(middlewares=middlewares, client_max_size=LARGEST_UPLOAD + 2**20)
        app.add_routes(routes)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        host, bound = cast("tuple[str, int]", self._runner.addresses[0])
        return f"http://{host}:{bound}"

    async def stop(self) -> None:
        """Close every connection; the stand-in may be started again."""
        self.faults.release()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refusal as refusal:
            return json_answer(refusal.body, refusal.headers, status=refusal.status)
        except web.HTTPException as error:
            message = f"{error.reason}: {request.method} {request.path}"
            refusal = Refusal(
                error.status, message, code="unknown_url" if error.status == HTTPStatus.NOT_FOUND else None
            )
            return json_answer(refusal.body, status=refusal.status)

    @web.middleware
    async def _log(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        raw = await request.read()
        body: object = None
        if raw and request.content_type == "application/json":
            try:
                body = msgspec.json.decode(raw)
            except msgspec.DecodeError:
                body = None
        headers = {name.lower(): value for name, value in request.headers.items()}
        headers.pop("authorization", None)
        self.requests.append(LoggedRequest(request.method, request.path, dict(request.query), body, headers))
        return await handler(request)

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.api_key}":
            raise self._wrong_key()
        return await handler(request)
