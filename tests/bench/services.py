"""Starting the stand-ins in a process of their own, so that neither their work nor their memory is the bot's."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

_READY_SECONDS = 60.0


class Options(msgspec.Struct, frozen=True):
    """`page` is the most posts on a page; the seconds are how long each answer takes.

    `moderation_tokens` is how many a minute may have (0: no limit), where the services' time runs `speed` times as fast.
    """

    posts: int = 0
    page: int = 50
    tumblr_seconds: float = 0.0
    openai_seconds: float = 0.0
    moderation_tokens: int = 0
    speed: float = 1.0


class Addresses(msgspec.Struct, frozen=True):
    tumblr: str
    credentials: tuple[str, str, str, str]
    openai: str
    api_key: str


@asynccontextmanager
async def services(options: Options | None = None) -> AsyncIterator[Addresses]:
    """Start the process, wait until it serves, and end it afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.stand_ins",
        msgspec.json.encode(options or Options()).decode(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_READY_SECONDS):
            line = await process.stdout.readline()
        yield msgspec.json.decode(line, type=Addresses)
    finally:
        process.stdin.close()
        await process.wait()
