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
    """Return when the moment (unix seconds) has come. Whoever calls this has said so to people."""
    while (left := moment - clock()) > 0:  # noqa: ASYNC110 - time passes by itself, nobody sets an event
        # In steps: a clock that is set, or a machine that sleeps, must not stretch the wait.
        await asyncio.sleep(min(left, 30.0))
