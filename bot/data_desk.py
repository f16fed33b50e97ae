"""What the owner does with what the bot keeps: look at it, take it away, back it up, delete it, see who did what."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

from bot import backup
from bot.backup import Backup
from bot.config import Settings
from bot.drafts import Person
from bot.errors import BotError, NothingToDo
from bot.kept_files import KeptFile, kept_files, remove_kept_file
from bot.pipeline import delete, export
from bot.pipeline.delete import Doomed, What
from bot.pipeline.export import Export
from bot.pipeline.training_file import held_out_file
from bot.store import audit, sizes
from bot.store.audit import Act, WantedActs
from bot.store.copies import EXPORTS
from bot.store.database import Database, carry_through
from bot.store.deletions import kept_datasets
from bot.store.sizes import Counts


@dataclass(frozen=True, slots=True)
class OnDisk:
    """Bytes, and how many files; times in unix seconds."""

    database: int
    training_files: int
    custom_prompts: int
    backups: int
    backup_bytes: int
    newest_backup: float | None
    newest_name: str
    exports: int
    export_bytes: int
    free: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted, the backup that has it, and for how many days that is kept."""

    doomed: Doomed
    backup: Backup
    days: int
    warning: BotError | None = None
    """The rows are gone, but a file could not be written anew; the bot tries again by itself."""


class DataDesk:
    """What the bot keeps, in its owner's hands."""

    def __init__(
        self,
        database: Database,
        settings_path: Path,
        *,
        settings: Callable[[], Settings],
        drafts_changed: asyncio.Event,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._settings_path = settings_path
        self._settings = settings
        self._drafts_changed = drafts_changed
        self._clock = clock
        self._deleting = asyncio.Lock()

    async def overview(self) -> tuple[Counts, OnDisk]:
        """How much there is, and how much room it takes."""
        return await sizes.counts(self._database), await asyncio.to_thread(_on_disk, self._settings())

    async def datasets(self) -> list[int]:
        """The numbers of the datasets, the newest first."""
        async with self._database.read() as connection:
            return await kept_datasets(connection)

    # --- taking away ------------------------------------------------------------------------------------------

    async def export(self, what: str, person: Person) -> Export:
        """Write what was asked for to a file, and that somebody took it away. See `write_export` for what it raises."""
        async with self._database.write() as connection:
            await audit.record(connection, person, "export data", what, now=self._clock())
        return await export.write_export(self._database, what, now=self._clock())

    async def back_up(self, person: Person) -> tuple[Backup, int]:
        """Make a backup now; returns it with its size in bytes. Raises BotError as `make_backup` does."""
        made = await carry_through(
            asyncio.to_thread(backup.make_backup, self._settings(), self._settings_path, clock=self._clock)
        )
        async with self._database.write() as connection:
            await audit.record(connection, person, "make backup", made.path.name, now=self._clock())
        return made, await asyncio.to_thread(_size, made.path)

    # --- what stays until somebody removes it -------------------------------------------------------------------

    async def kept_files(self) -> list[KeptFile]:
        """The files that nobody but a person removes, the oldest first."""
        return await asyncio.to_thread(kept_files, self._settings(), self._settings_path)

    async def remove_files(self, names: Collection[str], person: Person) -> list[KeptFile]:
        """Remove those of them that have these names, each with a record of who did.

        Raises:
            NothingToDo: there is none of them any more.
            BotError: one cannot be removed; those before it are gone.
        """
        doomed = [file for file in await self.kept_files() if file.name in names]
        if not doomed:
            raise NothingToDo("None of these files is there any more.", "/data show tells what is.")
        for file in doomed:
            await carry_through(self._remove_file(file, person))
        return doomed

    async def _remove_file(self, file: KeptFile, person: Person) -> None:
        async with self._database.write() as connection:
            before = f"{file.kind}, {file.size:,} bytes"
            await audit.record(connection, person, "delete file", file.name, now=self._clock(), before=before)
            await asyncio.to_thread(remove_kept_file, file)

    # --- deleting ---------------------------------------------------------------------------------------------

    async def look(self, what: What, which: str) -> Doomed:
        """What a deletion would remove; see `bot.pipeline.delete.look` for what it raises."""
        path = self._settings().training_data_file
        return await delete.look(self._database, what, which, training_data_file=path)

    async def named(self, what: What, which: str) -> Doomed:
        """What a person means, without a look at how much it is. Raises NothingToDo where there is no such thing."""
        return await delete.named(self._database, what, which)

    @property
    def days_kept(self) -> int:
        """For how many days the backup before a deletion is kept."""
        return backup.days_kept(self._settings())

    async def delete(self, what: What, which: str, *, shown: int, typed: str, person: Person) -> Deleted:
        """Make a backup, then delete what was shown; `shown` is the `mark` that it had.

        Raises:
            NothingToDo: something else was typed, it is not what was shown any more, or a job uses it.
            BotError: no backup could be made. In each case nothing was deleted.
        """
        async with self._deleting:
            return await carry_through(self._delete(what, which, shown, typed, person))

    async def _delete(self, what: What, which: str, shown: int, typed: str, person: Person) -> Deleted:
        doomed = await self.look(what, which)
        if " ".join(typed.split()).casefold() != doomed.typed.casefold():
            raise NothingToDo(
                "Something else was typed than what was asked for. Nothing was deleted.",
                f"Press the button again, and type {doomed.typed}",
            )
        if doomed.mark != shown:
            raise NothingToDo(
                "What there is now is not what was shown. Nothing was deleted.", "Use /data delete again."
            )
        settings = self._settings()
        try:
            made = await asyncio.to_thread(
                backup.backup_before_deleting, settings, self._settings_path, clock=self._clock
            )
        except BotError as error:
            raise BotError(
                f"Nothing was deleted, for no backup could be made first. {error.sentence}", error.next_step
            ) from error

        async def beside(connection: aiosqlite.Connection) -> None:
            await audit.record(
                connection,
                person,
                f"delete {what}",
                doomed.name,
                now=self._clock(),
                before=_in_short(doomed),
                after=f"kept in {made.path.name}",
            )

        try:
            warning = await delete.delete(
                self._database,
                doomed,
                training_data_file=settings.training_data_file,
                now=self._clock(),
                beside=beside,
            )
        except NothingToDo:
            raise
        except BotError as error:
            raise BotError(
                f"{error.sentence} A part of it may be gone; {made.path.name} holds all of it.", error.next_step
            ) from error
        if what is What.EVERYTHING:
            await asyncio.to_thread(_remove_exports, settings)
        self._drafts_changed.set()
        return Deleted(doomed, made, backup.days_kept(settings), warning)

    # --- who did what -----------------------------------------------------------------------------------------

    async def acts(self, wanted: WantedActs, *, offset: int, limit: int) -> tuple[list[Act], int]:
        """A page of what people did, the latest first; and how much there is in all."""
        return await audit.acts(self._database, wanted, offset=offset, limit=limit)

    async def actors(self) -> list[Person]:
        """Everybody who did anything."""
        return await audit.actors(self._database)

    async def actions(self) -> list[str]:
        """Everything that anybody did."""
        return await audit.actions(self._database)


def _in_short(doomed: Doomed) -> str:
    counted = {
        "posts": doomed.posts,
        "datasets": doomed.datasets,
        "examples": doomed.examples,
        "drafts": doomed.drafts,
        "decisions": doomed.decisions,
        "comparisons": doomed.comparisons,
    }
    return ", ".join(f"{name} {number:,}" for name, number in counted.items() if number)


def _on_disk(settings: Settings) -> OnDisk:
    database = settings.database_file
    training = settings.training_data_file
    backups = {path: path.stat() for path in backup.backups_folder(settings).glob("*.zip")}
    exports = [_size(path) for path in (database.parent / EXPORTS).glob("*.zip")]
    newest = max(backups, key=lambda path: backups[path].st_mtime, default=None)
    return OnDisk(
        database=sum(_size(database.with_name(f"{database.name}{side}")) for side in ("", "-wal", "-shm")),
        training_files=_size(training) + _size(held_out_file(training)),
        custom_prompts=_size(settings.custom_prompts_file),
        backups=len(backups),
        backup_bytes=sum(found.st_size for found in backups.values()),
        newest_backup=None if newest is None else backups[newest].st_mtime,
        newest_name="" if newest is None else newest.name,
        exports=len(exports),
        export_bytes=sum(exports),
        free=shutil.disk_usage(database.parent).free,
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _remove_exports(settings: Settings) -> None:
    for path in (settings.database_file.parent / EXPORTS).glob("*.zip*"):
        path.unlink(missing_ok=True)
