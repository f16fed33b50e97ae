"""Waiting for a service, visibly: a state with a time, never a silent sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from bot.progress import Progress


async def wait_until(
    moment: float, reason: str, progress: Progress, *, clock: Callable[[], float] = time.time
) -> AsyncIterator[Progress]:
    """Yield the waiting state once, then return when the moment (unix seconds) has come."""
    yield replace(progress, waiting_for=reason, wait_until=moment)
    await sleep_until(moment, clock=clock)


async def sleep_until(moment: float, *, clock: Callable[[], float] = time.time) -> None:
    """Return when the moment (unix seconds) has come. Whoever calls this has said so to people.

    A clock that is set back meanwhile does not stretch the wait: it was one of so many seconds.
    """
    end = time.monotonic() + moment - clock()
    while (left := min(moment - clock(), end - time.monotonic())) > 0:  # noqa: ASYNC110 - time passes by itself, nobody sets an event
        # In steps: a clock that is set forward, or a machine that sleeps, must not stretch it either.
        await asyncio.sleep(min(left, 30.0))
