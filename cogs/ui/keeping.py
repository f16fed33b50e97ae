"""The loop of everything that is shown or told by itself, for as long as the bot runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from bot.client import Client
from bot.errors import BotError
from bot.jobs.background import report_unexpected

_log = logging.getLogger(__name__)


async def keep_up(
    client: Client, doing: str, catch_up: Callable[[], Awaitable[bool]], rest: Callable[[bool], Awaitable[None]]
) -> None:
    """Once the client is ready, catch up and rest in turn.

    `catch_up` returns whether all of it worked, which is what `rest` is given. `doing` is for the log: "telling the
    owner", say.
    """
    await client.wait_until_ready()
    while True:
        worked = False
        try:
            worked = await catch_up()
        except BotError as error:  # the disk is full, say: it may have room again later
            _log.error("A failure while %s: %s", doing, error)
        except Exception as error:  # noqa: BLE001 - a defect in one thing must not silence those after it
            report_unexpected(doing, error)
        await rest(worked)


async def rest_until(changed: asyncio.Event, seconds: float) -> None:
    """Rest, but no longer than until something has changed."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()
    changed.clear()
