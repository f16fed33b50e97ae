"""Failures that the stand-ins play on a schedule: what a test wants to go wrong, and at which call.

One `Faults` belongs to one stand-in server; its `middleware` goes first into the server's application, so that a
fault comes before signatures, quotas or anything else, as it does at the edge of a real service.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

Kind = Literal[
    "status",  # `status` with `body` (JSON; a text goes out as it is) and `headers`
    "html",  # `status` with a page, as edges and blocks of addresses send it
    "reset_before",  # the connection is cut before the request is acted upon
    "reset_after",  # the request is acted upon, then the connection is cut without an answer
    "hang",  # no answer at all until the client gives up or the server stops
    "drip",  # an answer that comes byte by byte and never ends
    "truncated",  # the true answer's headers, and half of its body
    "wrong_type",  # the true answer, called text/html
    "empty",  # `status` with no body
]

DRIP_SECONDS = 0.02
BLOCK_PAGE = "<!DOCTYPE html><html><head><title>Access denied</title></head><body><h1>Access denied</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure: `times` calls that match `method` ("*" for any) as well as `path`, after the first `after` matches.

    `path` is an fnmatch pattern on the path without its query. `act` makes a fault happen after the request was acted
    upon: a 504 that follows a success. `status` is that of "status", "html" and "empty".
    """

    method: str
    path: str
    kind: Kind
    status: int = 500
    body: object | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    times: int = 1
    after: int = 0
    act: bool = False


@dataclass(frozen=True, slots=True)
class ServedFault:
    """A fault that fired, with the call that met it."""

    fault: Fault
    method: str
    path: str


@dataclass(slots=True)
class _Scheduled:
    fault: Fault
    to_skip: int
    left: int


class Faults:
    """The schedule of one server. `served` lists what fired, in order."""

    def __init__(self) -> None:
        self.served: list[ServedFault] = []
        self._scheduled: list[_Scheduled] = []
        self._released = asyncio.Event()

    def schedule(self, *faults: Fault) -> None:
        """Add faults; where several match one call, the one scheduled first fires."""
        self._scheduled += [_Scheduled(fault, fault.after, fault.times) for fault in faults]

    def clear(self) -> None:
        """Forget what has not fired yet, let go of every call that hangs, keep `served`."""
        self._scheduled.clear()
        self.release()

    def release(self) -> None:
        """Cut every connection that hangs or drips at this moment."""
        self._released.set()
        self._released = asyncio.Event()

    def _take(self, method: str, path: str) -> Fault | None:
        """The fault for this call, counted down; a match that is still being skipped is counted too."""
        for scheduled in self._scheduled:
            fault = scheduled.fault
            if scheduled.left == 0 or fault.method not in {"*", method} or not fnmatchcase(path, fault.path):
                continue
            if scheduled.to_skip:
                scheduled.to_skip -= 1
                continue
            scheduled.left -= 1
            self.served.append(ServedFault(fault, method, path))
            return fault
        return None

    @property
    def middleware(self) -> Middleware:
        """The aiohttp middleware that plays the schedule."""

        @web.middleware
        async def play(request: web.Request, handler: Handler) -> web.StreamResponse:
            fault = self._take(request.method, request.path)
            return await handler(request) if fault is None else await self._play(fault, request, handler)

        return play

    async def _play(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        acts = fault.act or fault.kind in {"reset_after", "truncated", "wrong_type"}
        if acts:
            answer = await handler(request)
        else:
            # Read to its end all the same: a cut during the upload would be a failure to send, which is another thing.
            await request.read()
            answer = web.Response()
        match fault.kind:
            case "status" | "html" | "empty":
                return _refusal(fault)
            case "truncated":
                return await _truncate(request, answer)
            case "wrong_type":
                answer.content_type = "text/html"
                return answer
            case "drip":
                return await self._drip(request)
            case "hang":
                await self._released.wait()
            case "reset_before" | "reset_after":
                pass
        return _cut(request)

    async def _drip(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json; charset=utf-8"})
        await answer.prepare(request)
        released = self._released
        try:
            while not released.is_set():
                await answer.write(b" ")
                await asyncio.sleep(DRIP_SECONDS)
        except ConnectionError:
            return answer  # the client gave up, as it should
        return _cut(request, answer)


def _refusal(fault: Fault) -> web.Response:
    if fault.kind == "html":
        page = fault.body if isinstance(fault.body, str) else BLOCK_PAGE
        return web.Response(status=fault.status, text=page, content_type="text/html", headers=fault.headers)
    if fault.kind == "empty" or fault.body is None:
        return web.Response(status=fault.status, headers=fault.headers)
    if isinstance(fault.body, str):
        return web.Response(status=fault.status, text=fault.body, headers=fault.headers)
    text = json.dumps(fault.body)
    return web.Response(status=fault.status, text=text, content_type="application/json", headers=fault.headers)


def _cut(request: web.Request, answer: web.StreamResponse | None = None) -> web.StreamResponse:
    """Close the connection under the answer; what is returned has nowhere left to go."""
    if request.transport is not None:
        request.transport.abort()
    return answer or web.Response()


async def _truncate(request: web.Request, whole: web.StreamResponse) -> web.StreamResponse:
    body = whole.body if isinstance(whole, web.Response) else b""
    data = body if isinstance(body, bytes) else b""
    answer = web.StreamResponse(status=whole.status, headers=whole.headers)
    answer.content_length = len(data) + 1  # one more than there is, so that an empty body is cut short as well
    await answer.prepare(request)
    await answer.write(data[: len(data) // 2])
    if request.transport is not None:
        # close(), not abort(): what was written must still arrive.
        request.transport.close()
    return answer
