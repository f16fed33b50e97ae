"""Notices that the clock of this machine was set, by comparing it with one that nobody sets."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)
_JUMP = 300.0  # seconds


def steady() -> float:
    """Seconds on a clock that nobody sets. Where the system has one, it goes on while the machine sleeps."""
    # A laptop that wakes up has not set its clock; time.monotonic() stands still in sleep on Linux.
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


async def watch_clock(
    told: Callable[[float], Awaitable[None]],
    *,
    look: float,
    clock: Callable[[], float] = time.time,
    unset: Callable[[], float] = steady,
) -> None:
    """Call `told` with the seconds (less than 0: back) whenever the clock jumped by more than five minutes.

    What creeps is not noticed, and does no harm. `look` is in seconds.
    """
    offset = clock() - unset()
    while True:
        await asyncio.sleep(look)
        now = clock() - unset()
        jump, offset = now - offset, now
        if abs(jump) > _JUMP:
            _log.warning("The clock of this machine was set %s by %d seconds.", direction(jump), abs(jump))
            await told(jump)


def direction(jump: float) -> str:
    """Which way the clock went."""
    return "forward" if jump > 0 else "back"
