"""What the bot keeps, as a zip of JSON Lines: written page by page, so that no archive is too large for the memory.

It has a manifest as backups have, for one that is left on the disk may not outlast what it holds of other people.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import sqlite3
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from bot import __version__
from bot.errors import BotError
from bot.store import copies, exports
from bot.store.database import Database, carry_through, newest_shape
from bot.store.exports import ExportTable
from bot.words import in_system_words

FIELDS = "fields.txt"
_WITHOUT_POSTS = frozenset({"decisions", "audit"})
_OLD = 86_400.0  # seconds after which what a killed process has left is removed


@dataclass(frozen=True, slots=True)
class Export:
    """A zip that was written. `lines` has the number of lines of each file, by its name; `size` is in bytes."""

    path: Path
    lines: dict[str, int]
    size: int


async def write_export(database: Database, what: str, *, now: float) -> Export:
    """Write what was asked for (a key of `exports.EXPORTS`) to a zip under a name that says it is not finished.

    Whoever gets it keeps it (`keep`) or removes it.

    Raises:
        BotError: the disk is full, or its folder cannot be written.
    """
    folder = database.path.parent / copies.EXPORTS
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    path = folder / f"{what}-{stamp}-{secrets.token_hex(2)}.zip.unfinished"
    try:
        return await carry_through(_write(database, what, path, now))
    except OSError as error:
        raise BotError(
            f"The export cannot be written ({in_system_words(error)}).",
            "Make room on the disk of data_directory, or make that folder writable.",
        ) from error


def keep(export: Export) -> Path:
    """Give an export its place in the folder. Waits for the disk."""
    return export.path.replace(export.path.with_suffix(""))


async def _write(database: Database, what: str, path: Path, now: float) -> Export:
    async with database.read() as connection:
        # Looked up first: what is downloaded meanwhile is younger.
        blogs = {} if what in _WITHOUT_POSTS else await exports.blogs_with_texts(connection)
    tables = exports.EXPORTS[what]
    archive = await asyncio.to_thread(_open, path, now)
    lines: dict[str, int] = {}
    packed: dict[str, copies.Packed] = {}
    try:
        for table in tables:
            name = f"{table.name}.jsonl"
            file = await asyncio.to_thread(_File, archive, name, now)
            try:
                async for rows in exports.pages(database, table):
                    await asyncio.to_thread(file.add, table, rows)
            finally:
                await asyncio.to_thread(file.close)
            lines[name], packed[name] = file.lines, file.packed
        manifest = copies.Manifest(__version__, now, newest_shape(), packed, blogs)
        await asyncio.to_thread(_finish, archive, tables, manifest, now)
        return Export(path, lines, await asyncio.to_thread(lambda: path.stat().st_size))
    except BaseException:
        await asyncio.to_thread(_discard, archive, path)
        raise


def _open(path: Path, now: float) -> zipfile.ZipFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob("*.unfinished"):
        if left.stat().st_mtime < now - _OLD:
            left.unlink(missing_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    return zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True)


def _finish(archive: zipfile.ZipFile, tables: Sequence[ExportTable], manifest: copies.Manifest, now: float) -> None:
    archive.writestr(copies.zip_entry(FIELDS, now), explanation(tables))
    archive.writestr(copies.zip_entry(copies.MANIFEST, now), msgspec.json.format(msgspec.json.encode(manifest)))
    archive.close()


def _discard(archive: zipfile.ZipFile, path: Path) -> None:
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError, ValueError):  # what is left in its buffer has no room on the disk
        archive.close()


def explanation(tables: Sequence[ExportTable]) -> str:
    """What each field of the files means."""
    parts = [
        [
            f"{table.name}.jsonl: each line is {table.tells}.",
            *(f"  {name}: {text}" for name, text in table.fields.items()),
        ]
        for table in tables
    ]
    return "\n\n".join(map("\n".join, parts)) + "\n"


class _File:
    """One file inside the zip. Its methods wait for the disk."""

    def __init__(self, archive: zipfile.ZipFile, name: str, now: float) -> None:
        self._file: IO[bytes] = archive.open(copies.zip_entry(name, now), "w", force_zip64=True)
        self._digest = hashlib.sha256()
        self._size = 0
        self.lines = 0

    def add(self, table: ExportTable, rows: Sequence[sqlite3.Row]) -> None:
        content = b"".join(exports.as_line(table, row) for row in rows)
        self._file.write(content)
        self._digest.update(content)
        self._size += len(content)
        self.lines += len(rows)

    def close(self) -> None:
        self._file.close()

    @property
    def packed(self) -> copies.Packed:
        return copies.Packed(self._digest.hexdigest(), self._size)
