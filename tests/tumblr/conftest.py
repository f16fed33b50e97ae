"""A small server on loopback that answers as each test says, and clients to it."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from bot.tumblr.client import Tumblr, TumblrCredentials

UUID = "t:AbCdEfGhIjKlMnOpQrStUv"
CREDENTIALS = TumblrCredentials("ckey-5f1e", "csecret-7a2b", "otoken-9c3d", "osecret-1e4f")
SECRETS = ("ckey-5f1e", "csecret-7a2b", "otoken-9c3d", "osecret-1e4f")

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Seen:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    peer: object
    url: str


@dataclass
class Service:
    """Answers the calls with `replies` in turn, the last one again and again."""

    replies: list[Reply] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        peer = request.transport.get_extra_info("peername") if request.transport else None
        self.seen.append(
            Seen(
                request.method,
                request.raw_path.partition("?")[0],
                dict(request.query),
                dict(request.headers),
                body,
                peer,
                str(request.url),
            )
        )
        self.arrived.set()
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return await reply(request)


def json_reply(response, *, status=200, headers=None, meta_status=None, **more):
    body = {"meta": {"status": meta_status or status, "msg": "whatever"}, "response": response, **more}
    return plain_reply(json.dumps(body), status=status, headers=headers, content_type="application/json")


def plain_reply(text, *, status=200, headers=None, content_type="text/plain"):
    async def reply(_request):
        data = text if isinstance(text, bytes) else text.encode()
        return web.Response(status=status, body=data, headers=headers, content_type=content_type)

    return reply


def hang(service):
    async def reply(_request):
        await service.released.wait()
        return web.Response()

    return reply


def page_json(*posts, **more):
    return {
        "blog": {"name": "staff", "uuid": UUID, "title": "Staff", "url": "https://staff.tumblr.com/", "posts": 3},
        "posts": list(posts),
        **more,
    }


_ids = itertools.count(613138459105820672)


def npf(**fields):
    post_id = next(_ids)
    return {
        "type": "blocks",
        "id": post_id,
        "id_string": str(post_id),
        "blog_name": "staff",
        "blog": {"name": "staff", "uuid": UUID},
        "post_url": f"https://staff.tumblr.com/post/{post_id}/slug",
        "timestamp": 1_700_000_000,
        "state": "published",
        "reblog_key": "k3y",
        "tags": ["one", "two words"],
        "content": [{"type": "text", "text": "Hello there."}],
        "layout": [],
        "trail": [],
        "can_reblog": True,
    } | fields


@pytest.fixture
async def service():
    service = Service()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", service.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    yield service
    service.released.set()
    await runner.cleanup()


@pytest.fixture
async def make_tumblr(service):
    made = []

    def make(*, deadline=20.0, url=None, credentials=CREDENTIALS, **options):
        tumblr = Tumblr(credentials, api_url=url or service.url, deadline=deadline, retry_wait=0, **options)
        made.append(tumblr)
        return tumblr

    yield make
    service.released.set()
    for tumblr in made:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(tumblr.close(), 5)


@pytest.fixture
def tumblr(make_tumblr):
    return make_tumblr()
