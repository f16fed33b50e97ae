"""The process of the stand-ins: `python -m tests.bench.stand_ins OPTIONS`, as JSON.

It prints one line of addresses when it serves, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from bot.demo.faults import Faults
from bot.demo.openai_service import OpenAIService
from bot.demo.tumblr_service import TumblrService
from tests.bench import data
from tests.bench.services import Addresses, Options

_NO_LIMIT = 10**9


class SlowAnswers(Faults):
    """No fault: every answer takes its time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    @property
    def middleware(self) -> Middleware:
        @web.middleware
        async def wait(request: web.Request, handler: Handler) -> web.StreamResponse:
            await asyncio.sleep(self._seconds)
            return await handler(request)

        return wait


async def _serve(options: Options) -> None:
    tumblr = TumblrService(answer_seconds=options.tumblr_seconds, page_limit=options.page)
    tumblr.minute_limit = tumblr.hour_limit = tumblr.day_limit = _NO_LIMIT
    blog = tumblr.add_blog(data.BLOG_TO_DOWNLOAD, title="Harbour")
    for post in data.posts(options.posts):
        tumblr.add_post(blog, post)
    openai = OpenAIService(clock=lambda: options.speed * time.time())
    openai.faults = SlowAnswers(options.openai_seconds)
    openai.moderation_requests_per_minute = _NO_LIMIT
    openai.moderation_tokens_per_minute = options.moderation_tokens or _NO_LIMIT
    openai.generation_requests_per_minute = openai.generation_tokens_per_minute = _NO_LIMIT
    addresses = Addresses(await tumblr.start(), tuple(tumblr.credentials()), await openai.start(), openai.api_key)
    print(msgspec.json.encode(addresses).decode(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await asyncio.gather(tumblr.stop(), openai.stop())


if __name__ == "__main__":
    asyncio.run(_serve(msgspec.json.decode(sys.argv[1], type=Options)))
