"""Whether the running bot is well: written down by the bot every few seconds, read by `health` in another process.

A frozen gateway still looks connected, and a blocked event loop still has a process, so what counts is a beat that
comes from the loop itself, together with what the gateway and the database said at that moment. Whether the disk takes
anything is tried by `health` itself: on a full one the bot cannot write down that it is full.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from bot.errors import BotError
from bot.store.database import Database
from bot.store.facts import set_fact

_log = logging.getLogger(__name__)

BEAT_SECONDS = 15.0
_STALE_AFTER = 60.0  # seconds without a beat
_AWAY_AFTER = 60.0  # seconds that discord.py may take to get a lost connection back
_GATEWAY_SILENT_AFTER = 120.0  # seconds without an answer to a heartbeat; Discord asks for one every 41
_PROBE = b"\0" * 65_536
"""What is tried to be written: more than what fits where a small file already has its place."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The connection to Discord, in seconds. `away` is 0 while it stands, `silence` None where nobody knows."""

    ready: bool
    """Whether it has stood since the start."""
    away: float = 0.0
    silence: float | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """One look at ourselves. `at` is in unix seconds, the others are as in `Gateway`."""

    at: float
    ready: bool
    gateway_silence: float | None
    database_writable: bool
    gateway_away: float = 0.0
    trouble: str = ""
    """Why the database is not writable, in a sentence."""


def beat_file(data_directory: Path) -> Path:
    """Where the running bot leaves its last beat."""
    return data_directory / ".health.json"


async def keep_beating(
    database: Database,
    path: Path,
    gateway: Callable[[], Gateway],
    *,
    clock: Callable[[], float] = time.time,
) -> None:
    """Leave a beat every few seconds."""
    while True:
        trouble = await _database_trouble(database, clock())
        state = gateway()
        beat = Beat(clock(), state.ready, state.silence, not trouble, state.away, trouble)
        try:
            await asyncio.to_thread(_leave, path, beat)
        except OSError as error:
            # The old beat grows stale, which tells the same; there may be room on the disk again later.
            _log.warning("The sign of life could not be written (%s).", type(error).__name__)
        await asyncio.sleep(BEAT_SECONDS)


async def _database_trouble(database: Database, now: float) -> str:
    """Why a real change of the database does not work, as a sentence; "" when it does."""
    try:
        async with asyncio.timeout(BEAT_SECONDS), database.write() as connection:
            await set_fact(connection, "last beat", str(int(now)))
    except BotError as error:
        return error.sentence
    except Exception as error:  # noqa: BLE001 - whatever it is, the answer is no
        _log.warning("The database could not be written for a sign of life (%s).", type(error).__name__)
        return "The bot cannot write to its database."
    return ""


def judge(path: Path, now: float) -> tuple[bool, str]:
    """Whether the bot that writes this file is well, and a sentence that says why not. Tries the disk."""
    try:
        beat = msgspec.json.decode(path.read_bytes(), type=Beat)
    except FileNotFoundError:
        return False, "The bot has never run here, or has not been up for a few seconds yet."
    except (OSError, msgspec.DecodeError):
        return False, "The file with the bot's last beat cannot be read."
    wrong = _disk_trouble(path.parent) or _wrong_with(beat, now - beat.at)
    return not wrong, wrong or "The bot is well."


def _wrong_with(beat: Beat, age: float) -> str:
    if age < -_STALE_AFTER:
        return "The bot's last sign of life is of a time that has not come yet: this machine's clock was set back."
    if age > _STALE_AFTER:
        return f"The bot has not given a sign of life for {age:.0f} seconds."
    if not beat.ready:
        return "The bot is running, but not connected to Discord."
    if beat.gateway_away > _AWAY_AFTER:
        return f"The bot has been without its connection to Discord for {beat.gateway_away:.0f} seconds."
    if beat.gateway_silence is not None and beat.gateway_silence > _GATEWAY_SILENT_AFTER:
        return f"Discord has not answered the bot's heartbeat for {beat.gateway_silence:.0f} seconds."
    if not beat.database_writable:
        return beat.trouble or "The bot cannot write to its database."
    return ""


def _disk_trouble(folder: Path) -> str:
    probe = folder / ".health.probe"
    try:
        try:
            probe.write_bytes(_PROBE)
        finally:
            with suppress(OSError):
                probe.unlink()
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return f"The disk of {folder} is full."
        return f"Nothing can be written to {folder}: {os.strerror(error.errno or 0).lower()}."
    return ""


def _leave(path: Path, beat: Beat) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(beat)))
    temporary.replace(path)
