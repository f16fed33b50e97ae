"""The SQLite file: opening it, bringing its shape up to date, and the two ways to use it.

`write()` is one transaction at a time on one connection; `read()` hands out other connections, which in WAL mode
never wait for the writer. Rows are `sqlite3.Row` (by name or by position).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import sqlite3
import sys
from collections.abc import AsyncGenerator, Coroutine, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from bot.errors import (
    BotError,
    DatabaseDamaged,
    DatabaseInUse,
    DatabaseLocked,
    DatabaseTooNew,
    DiskFull,
    NotWritable,
)

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


MIGRATIONS = Path(__file__).parent / "migrations"

_OLDEST_SQLITE = (3, 38, 0)  # STRICT tables and json_each without a build option
_BUSY_SECONDS = 5.0
_READERS = 2
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Database:
    """An open database, which belongs to this process until it is closed or the process ends.

    Whoever opens it closes it, when nobody uses it any more: its connections have threads, which keep a process alive.
    Open the file by no other means in this process: closing any descriptor of it drops SQLite's own locks.
    """

    def __init__(
        self, path: Path, lock: int | None, writer: aiosqlite.Connection, readers: tuple[aiosqlite.Connection, ...]
    ) -> None:
        self.path = path
        self._lock = lock
        self._writer = writer
        self._closed = False
        self._readers: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        for reader in readers:
            self._readers.put_nowait(reader)
        self._turn = asyncio.Lock()
        self._writing: asyncio.Task[Any] | None = None

    @classmethod
    async def open(cls, path: Path, *, migrations: Path = MIGRATIONS) -> Database:
        """Open the file at `path`, made or brought up to date where needed.

        Raises:
            BotError: the file is in use, damaged, newer than this program, not ours, or cannot be written.
        """
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise BotError(
                f"This Python comes with SQLite {sqlite3.sqlite_version}, which is too old.",
                "Run the bot with a newer Python.",
            )
        with contextlib.ExitStack() as undo:
            lock = _take(path)
            undo.callback(os.close, lock)
            with _explained(path):
                await carry_through(asyncio.to_thread(_bring_up_to_date, path, migrations))
                # In WAL mode only FULL makes a commit outlast a power cut: the note that a post is on its way
                # must still be there when the machine comes back, or the post could be sent twice.
                # What is deleted is overwritten; that depends on how this Python's SQLite was built otherwise.
                connections = await _connect_all(
                    path,
                    ("PRAGMA synchronous = FULL", "PRAGMA secure_delete = ON"),
                    *[("PRAGMA query_only = ON",)] * _READERS,
                )
            undo.pop_all()
        return cls(path, lock, connections[0], connections[1:])

    @classmethod
    async def look_into(cls, path: Path) -> Database:
        """Open the file to read only, whoever is using it; `write` fails.

        Raises:
            BotError: it is damaged, of another version than this program, or cannot be opened.
        """
        with _explained(path):
            connections = await _connect_all(path, *[("PRAGMA query_only = ON",)] * (1 + _READERS))
            database = cls(path, None, connections[0], connections[1:])
        try:
            await database._must_have_this_shape()
        except BaseException:
            await database.close()
            raise
        return database

    async def _must_have_this_shape(self) -> None:
        async with self.read() as connection:
            ((version,),) = await connection.execute_fetchall("PRAGMA user_version")
        if version != newest_shape():
            raise BotError(
                f"The running bot is of another version than this one, so {self.path} was not looked into.",
                "Start the bot again with this version.",
            )

    async def close(self) -> None:
        """Close the file, once the transactions under way have ended. Closing it again does nothing."""
        async with self._turn:
            if self._closed:
                return
            self._closed = True
            await carry_through(self._close())

    async def _close(self) -> None:
        try:
            readers = [await self._readers.get() for _ in range(_READERS)]
            await _close_all([*readers, self._writer])
            for reader in readers:
                self._readers.put_nowait(reader)  # a late read gets an error instead of waiting for ever
        finally:
            if self._lock is not None:
                os.close(self._lock)

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[aiosqlite.Connection, None]:
        """One transaction, committed at the end of the block and rolled back on any exception in it.

        A cancelled block has been rolled back as a whole, or, if the commit had begun, has been committed as a whole,
        before anybody else can write. Never `yield` or wait for the network inside the block: everybody waits.

        Raises:
            BotError: the disk is full, damaged or held by another program.
            RuntimeError: the block stands inside another one of the same task, and would wait for itself.
        """
        if self._writing is not None and self._writing is asyncio.current_task():
            raise RuntimeError("a write inside a write would wait for itself")
        async with self._turn:
            self._writing = asyncio.current_task()
            try:
                with _explained(self.path):
                    try:
                        await self._writer.execute("BEGIN IMMEDIATE")
                        yield self._writer
                    except BaseException:
                        # A statement of a cancelled task still runs in the connection's thread. That thread takes its
                        # orders one after the other, so the rollback comes after it.
                        await carry_through(self._writer.rollback())
                        raise
                    await carry_through(self._commit())
            finally:
                self._writing = None

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[aiosqlite.Connection, None]:
        """A connection that sees one unchanging moment of the database, and cannot write.

        There are two of them: be brief, and take no second one inside the block. Close cursors (or use
        `execute_fetchall`): an open one would hold the next reader in this moment too.
        """
        reader = await self._readers.get()
        try:
            with _explained(self.path):
                try:
                    await reader.execute("BEGIN")
                    yield reader
                finally:
                    await carry_through(reader.rollback())
        finally:
            self._readers.put_nowait(reader)

    async def rebuild(self) -> bool:
        """Write the whole file anew and empty its log, so that no byte of what was deleted is left in either.

        `secure_delete` is not enough: where SQLite has moved rows from page to page, copies of them stay in the gaps.
        Everybody who wants to write waits meanwhile, about a second for each hundred megabytes; readers do not.
        Returns whether the log could be emptied; a read that goes on for long keeps it.

        Raises:
            BotError: the disk is full (it takes the file's size once more), damaged or held by another program.
        """
        async with self._turn:
            with _explained(self.path):
                return await carry_through(self._rebuild())

    async def _rebuild(self) -> bool:
        await self._writer.execute("VACUUM")
        (row,) = await self._writer.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
        return not row[0]

    async def _commit(self) -> None:
        try:
            await self._writer.commit()
        except sqlite3.Error:
            await self._writer.rollback()
            raise


async def carry_through(work: Coroutine[Any, Any, _T]) -> _T:
    """Await `work` to its end even when cancelled meanwhile, then raise the cancellation."""
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is None:
        return task.result()
    if not task.cancelled() and (error := task.exception()) is not None:
        raise cancellation from error
    raise cancellation


# --- opening --------------------------------------------------------------------------------------------------


def _take(path: Path) -> int:
    """Make the file and hold its lock; returns the lock's descriptor.

    The system gives the lock back when the process ends, however it ends.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _not_writable(path, error) from error
    try:
        _lock(lock)
    except OSError as error:
        os.close(lock)
        raise DatabaseInUse(
            f"Another bot is already using {path}.",
            "Stop the other one first, or give this one its own data_directory.",
        ) from error
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its side files the same mode
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        os.close(lock)
        raise _not_writable(path, error) from error
    return lock


async def _connect_all(path: Path, *pragmas: tuple[str, ...]) -> tuple[aiosqlite.Connection, ...]:
    """Open one connection for each list of pragmas, or none."""
    connections: list[aiosqlite.Connection] = []
    try:
        for own in pragmas:
            # isolation_level=None: we say BEGIN ourselves, Python's sqlite3 never does it behind our back.
            connection = await aiosqlite.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)
            connections.append(connection)
            connection.row_factory = sqlite3.Row
            for pragma in ("PRAGMA foreign_keys = ON", *own):
                await connection.execute(pragma)
    except BaseException:
        await carry_through(_close_all(connections))
        raise
    return tuple(connections)


async def _close_all(connections: list[aiosqlite.Connection]) -> None:
    for connection in connections:
        await connection.close()


# --- the file as a whole --------------------------------------------------------------------------------------


@contextmanager
def held(path: Path) -> Generator[None, None, None]:
    """Keep every bot from the database at `path` for the length of the block.

    Raises:
        DatabaseInUse: one is using it.
        BotError: the folder cannot be written.
    """
    lock = _take(path)
    try:
        yield
    finally:
        os.close(lock)


def copy_database(path: Path, target: Path) -> None:
    """Copy a database as it is at one moment, rows that only its log has included. Waits for the disk.

    Works while a bot writes to it, in this process or another: SQLite itself reads the file, so that no lock is lost.

    Raises:
        DatabaseDamaged: it is no database any more.
        BotError: it is missing or cannot be read, or there is no room for the copy.
    """
    with (
        _explained(path),
        contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS)
        ) as connection,
    ):
        # One file without a log. Written anew, because the gaps between rows may hold text that was deleted.
        _keep_copy(connection, target, "PRAGMA journal_mode = DELETE", "VACUUM")


def newest_shape() -> int:
    """The number of the shape that this program gives a database."""
    return len([*MIGRATIONS.glob("[0-9][0-9][0-9][0-9]_*.sql")])


# --- the shape ------------------------------------------------------------------------------------------------


def _bring_up_to_date(path: Path, folder: Path) -> None:
    """Apply the migrations that the file has not seen yet, after keeping a copy of it."""
    migrations = sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    if [int(file.name[:4]) for file in migrations] != list(range(1, len(migrations) + 1)):
        raise RuntimeError(f"the migrations are not numbered 1 to {len(migrations)} without a gap")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)) as connection:
        version = _number(connection, "PRAGMA user_version")
        if version > len(migrations):
            raise DatabaseTooNew(
                f"The database {path} was made by a newer version of this bot.",
                "Update the bot, or put back the copy that was kept beside it before the update.",
            )
        if version == 0 and _number(connection, "SELECT count(*) FROM sqlite_schema"):
            raise BotError(f"{path} is a database of some other program.", "Choose another data_directory.")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise BotError(
                f"The folder of {path} is on a file system without shared memory.",
                "Choose a data_directory on a local disk.",
            )
        if 0 < version < len(migrations):
            target = path.with_name(f"{path.name}.before-{version + 1:04}")
            _keep_copy(connection, target)
            _log.info("Kept a copy of the database as %s.", target)
        # A migration that rebuilds a table drops the old one; with foreign keys on, that would empty its children.
        connection.execute("PRAGMA foreign_keys = OFF")
        for number, file in enumerate(migrations[version:], start=version + 1):
            _migrate(connection, number, file.read_text(encoding="utf-8"))


def _migrate(connection: sqlite3.Connection, number: int, script: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in split_statements(script):
            connection.execute(statement)
        _check_references(connection, number)
        connection.execute(f"PRAGMA user_version = {number:d}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _check_references(connection: sqlite3.Connection, number: int) -> None:
    if broken := connection.execute("PRAGMA foreign_key_check").fetchall():
        raise RuntimeError(f"migration {number} leaves {len(broken)} rows that point nowhere")


def split_statements(script: str) -> Iterator[str]:
    """The statements of an SQL script, one by one.

    sqlite3's own `executescript` will not do: it commits first, so that a script that fails would stay half applied.
    """
    statement = ""
    for piece in script.split(";"):
        statement += f"{piece};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement:
        yield statement  # a last comment, or something unfinished that SQLite will complain of


def _keep_copy(connection: sqlite3.Connection, target: Path, *pragmas: str) -> None:
    # Under another name until it is whole, so that half a copy is never taken for one.
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT, 0o600))
    with contextlib.closing(sqlite3.connect(unfinished)) as copy:
        connection.backup(copy)
        for pragma in pragmas:
            copy.execute(pragma)
    unfinished.replace(target)


def _number(connection: sqlite3.Connection, query: str) -> int:
    (number,) = connection.execute(query).fetchone()
    return int(number)


# --- errors ---------------------------------------------------------------------------------------------------


@contextmanager
def _explained(path: Path) -> Generator[None, None, None]:
    """Turn those errors of SQLite that a person can do something about into sentences."""
    try:
        yield
    except sqlite3.Error as error:
        # Extended codes have the plain one in their lowest byte; errors of Python's own have none.
        match getattr(error, "sqlite_errorcode", 0) & 0xFF:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                raise DatabaseLocked(
                    f"Another program holds the database {path}.", "Close that program, then try again."
                ) from error
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                raise DatabaseDamaged(
                    f"The database {path} is damaged.",
                    "Stop the bot and restore a backup, or move the file away to begin anew.",
                ) from error
            case sqlite3.SQLITE_FULL:
                raise _disk_full(path) from error
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_IOERR:
                raise _not_writable(path) from error
            case _:
                raise


def _disk_full(path: Path) -> DiskFull:
    return DiskFull(f"The disk of {path} is full.", "Make room on it, then try again.")


def _not_writable(path: Path, error: OSError | None = None) -> BotError:
    if error is not None and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _disk_full(path)
    return NotWritable(
        f"The database {path} cannot be written.", "Check data_directory, its disk, and who may write to that folder."
    )
