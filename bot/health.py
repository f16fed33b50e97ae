"""Whether the running bot is well: written down by the bot every few seconds, read by `health` in another process.

A frozen gateway still looks connected, and a blocked event loop still has a process, so what counts is a beat that
comes from the loop itself, together with what the gateway and the database said at that moment.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from bot.store.database import Database
from bot.store.facts import set_fact

_log = logging.getLogger(__name__)

BEAT_SECONDS = 15.0
_STALE_AFTER = 60.0  # seconds without a beat
_GATEWAY_SILENT_AFTER = 120.0  # seconds without an answer to a heartbeat; Discord asks for one every 41


@dataclass(frozen=True, slots=True)
class Beat:
    """One look at ourselves. `at` is in unix seconds, `gateway_silence` in seconds (None: not connected)."""

    at: float
    ready: bool
    gateway_silence: float | None
    database_writable: bool


def beat_file(data_directory: Path) -> Path:
    """Where the running bot leaves its last beat."""
    return data_directory / ".health.json"


async def keep_beating(
    database: Database,
    path: Path,
    gateway: Callable[[], tuple[bool, float | None]],
    *,
    clock: Callable[[], float] = time.time,
) -> None:
    """Leave a beat every few seconds. `gateway` tells whether it is ready, and for how long it has been silent."""
    while True:
        ready, silence = gateway()
        try:
            async with asyncio.timeout(BEAT_SECONDS), database.write() as connection:
                await set_fact(connection, "last beat", str(int(clock())))
            writable = True
        except Exception:  # noqa: BLE001 - whatever it is, the answer is no
            writable = False
        beat = Beat(clock(), ready, silence, writable)
        try:
            await asyncio.to_thread(_leave, path, beat)
        except OSError as error:
            # The old beat grows stale, which tells the same; there may be room on the disk again later.
            _log.warning("The sign of life could not be written (%s).", type(error).__name__)
        await asyncio.sleep(BEAT_SECONDS)


def judge(path: Path, now: float) -> tuple[bool, str]:
    """Whether the bot that writes this file is well, and a sentence that says why not."""
    try:
        beat = msgspec.json.decode(path.read_bytes(), type=Beat)
    except FileNotFoundError:
        return False, "The bot has never run here, or has not been up for a few seconds yet."
    except (OSError, msgspec.DecodeError):
        return False, "The file with the bot's last beat cannot be read."
    age = now - beat.at
    if age > _STALE_AFTER:
        return False, f"The bot has not given a sign of life for {age:.0f} seconds."
    if not beat.ready:
        return False, "The bot is running, but not connected to Discord."
    if beat.gateway_silence is not None and beat.gateway_silence > _GATEWAY_SILENT_AFTER:
        return False, f"Discord has not answered the bot's heartbeat for {beat.gateway_silence:.0f} seconds."
    if not beat.database_writable:
        return False, "The bot cannot write to its database."
    return True, "The bot is well."


def _leave(path: Path, beat: Beat) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(beat)))
    temporary.replace(path)
