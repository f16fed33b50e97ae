"""Copies of the database: those kept beside it when its shape changed, backups and exports with their manifest.

What may not be kept in the database may not be kept in a copy either, so each copy tells whose posts are in it. The
functions wait for the disk: call them in a thread.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

BACKUPS = "backups"
"""The folder beside the database that backups are kept in."""
EXPORTS = "exports"
"""The folder beside the database for exports that are too large for Discord. Each has a manifest as backups have."""
MANIFEST = "manifest.json"
BLOGS_WITH_TEXTS = """
    SELECT uuid, min(at) FROM (
        SELECT blog_uuid AS uuid, seen_at AS at FROM posts
        UNION ALL SELECT json_extract(parent, '$.blog_uuid'), created_at FROM drafts
            WHERE parent IS NOT NULL AND json_extract(parent, '$.text') <> ''
        UNION ALL SELECT json_extract(parent, '$.blog_uuid'), created_at FROM writings
            WHERE parent IS NOT NULL AND json_extract(parent, '$.text') <> ''
    ) WHERE uuid NOTNULL GROUP BY uuid
"""
"""By UUID the blogs that have texts in a database, and when the oldest of them was last seen (unix seconds)."""
_END_OF_TIME = 253_402_300_800.0  # the year 10,000, in unix seconds
_LONGEST_MANIFEST = 4 * 1024 * 1024  # bytes

# What a damaged or hostile zip makes zipfile raise.
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    msgspec.MsgspecError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    KeyError,
)


@dataclass(frozen=True, slots=True)
class Packed:
    """One file in a backup; `size` is in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. `made_at` is in unix seconds."""

    version: str
    """The bot's, when it was made."""
    made_at: float
    database_version: int
    files: Mapping[str, Packed]
    blogs: Mapping[str, float] | None
    """By UUID the blogs that have texts in it, and when the oldest of them was last seen; None: that is not known."""


def read_manifest(archive: zipfile.ZipFile) -> Manifest:
    """The manifest of an open backup. Raises one of DAMAGED where there is none that can be read."""
    if archive.getinfo(MANIFEST).file_size > _LONGEST_MANIFEST:
        raise ValueError("the manifest is too long")
    manifest = msgspec.json.decode(archive.read(MANIFEST), type=Manifest)
    if not 0 <= manifest.made_at < _END_OF_TIME:
        raise ValueError("it was made at a time that no calendar has")
    return manifest


def zip_entry(name: str, now: float) -> zipfile.ZipInfo:
    """A file in a zip of ours, which only its owner reads once it is taken out. `now` in unix seconds."""
    entry = zipfile.ZipInfo(name, time.gmtime(max(now, 315_532_800.0))[:6])  # a zip knows no time before 1980
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    return entry


def copies(path: Path) -> list[Path]:
    """The copies of a database that lie beside it, its backups and its exports; unfinished ones too."""
    zips = [zipped for folder in (BACKUPS, EXPORTS) for zipped in (path.parent / folder).glob("*.zip*")]
    return sorted([*path.parent.glob(f"{path.name}.before-*"), *zips])


def blogs_in_copy(copy: Path) -> Mapping[str, float] | None:
    """By UUID the blogs whose texts are in a copy, and since when (unix seconds); None when it cannot be read.

    Never for the open database itself: closing it again would drop SQLite's own locks.
    """
    try:
        if ".zip" in copy.suffixes:
            with zipfile.ZipFile(copy) as archive:
                return read_manifest(archive).blogs
        made = copy.stat().st_mtime
        # Nobody writes to a copy, and `immutable` keeps SQLite from making side files beside it.
        with contextlib.closing(sqlite3.connect(f"{copy.absolute().as_uri()}?immutable=1", uri=True)) as connection:
            return {row[0]: made for row in connection.execute("SELECT DISTINCT blog_uuid FROM posts")}
    except (sqlite3.Error, OSError, *DAMAGED):
        return None


def look_into(copy: Path) -> tuple[int, Mapping[str, float] | None]:
    """The shape's number of a copy, and the blogs that a manifest tells; None where it is of another shape.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    with contextlib.closing(sqlite3.connect(f"{copy.absolute().as_uri()}?immutable=1", uri=True)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        try:
            rows = connection.execute(BLOGS_WITH_TEXTS).fetchall()
        except sqlite3.OperationalError:
            return version, None
    return version, dict(rows)


def is_whole(copy: Path) -> bool:
    """Whether SQLite finds nothing wrong with a copy."""
    try:
        with contextlib.closing(sqlite3.connect(f"{copy.absolute().as_uri()}?immutable=1", uri=True)) as connection:
            return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    except sqlite3.Error:
        return False


def let_rest(copy: Path, *, now: float) -> tuple[int, int]:
    """Take back what a restored database would go on with by itself; returns how many jobs and drafts that were.

    Since it was copied a job may have come to its end, and an approved draft may have been uploaded: to go on would pay
    or post a second time. The jobs are marked as failed, and the drafts wait for a decision again.

    Raises:
        sqlite3.Error: it is not of our shape.
    """
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        # The copy has no side files, and none are to be left beside it.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN IMMEDIATE")
        work = connection.execute(
            "UPDATE jobs SET state = 'failed', finished_at = ?, error = 'It was under way when the backup was made that"
            " has been restored. Look whether it was done since then, and begin it again if not.'"
            " WHERE state IN ('running', 'cancelling')",
            (now,),
        ).rowcount
        drafts = connection.execute(
            "UPDATE drafts SET state = 'pending', version = version + 1, note ="
            " 'A backup was restored in which this was approved and not yet sent. Look whether it is on the"
            " blog before you approve it again.'"
            " WHERE state = 'approved'"
        ).rowcount
        connection.execute("COMMIT")
    return work, drafts
