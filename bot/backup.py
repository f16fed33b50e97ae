"""`backup` and `restore`: the database, the files that people edit and the settings in one zip, and the way back.

A backup never holds a secret. It is read as something hostile: only files of four names are taken from it, to the
places that the settings name, once each of them is what the manifest says.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import sqlite3
import time
import zipfile
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

import msgspec

from bot import __version__
from bot.config import Settings, plain, replace_file, without_secrets
from bot.errors import BackupRefused, BotError, DatabaseDamaged, SettingsError
from bot.restored_settings import Trust, make_safe, trust_nothing
from bot.store.copies import (
    BACKUPS,
    DAMAGED,
    MANIFEST,
    Manifest,
    Packed,
    is_whole,
    let_rest,
    look_into,
    read_manifest,
    zip_entry,
)
from bot.store.database import copy_database, held, newest_shape
from bot.words import in_system_words

DATABASE, TRAINING_DATA, PROMPTS, CONFIG = "bot.sqlite3", "training_data.jsonl", "custom_prompts.jsonl", "config.toml"
DAY = 86_400.0  # seconds
_NIGHTLY = "nightly"
_BEFORE_DELETING = "before-delete"
_PIECE = 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that has been made."""

    path: Path
    manifest: Manifest
    left_out: tuple[str, ...] = ()
    """Sentences about what is not in it."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did."""

    manifest: Manifest
    files: tuple[Path, ...]
    """What was put back."""
    kept: tuple[Path, ...]
    """Where that is which was there before."""
    left_out: tuple[str, ...]
    """Sentences about what was not put back."""
    jobs: int
    """How many jobs were under way in the backup, and are not gone on with."""
    drafts: int
    """How many drafts were about to be uploaded in it, and wait for a decision again."""


def backups_folder(settings: Settings) -> Path:
    """Where backups are kept."""
    return settings.database_file.parent / BACKUPS


def make_backup(
    settings: Settings, settings_path: Path, target: Path | None = None, *, clock: Callable[[], float] = time.time
) -> Backup:
    """Make a backup, at `target` or in the folder for them. Waits for the disk; the bot may be running.

    Raises:
        BotError: there is nothing to back up, the target is there already, or something cannot be read or written.
    """
    now = clock()
    return _make(settings, settings_path, target or _named(settings, "backup", now), now)


def backup_before_deleting(
    settings: Settings, settings_path: Path, *, clock: Callable[[], float] = time.time
) -> Backup:
    """Make a backup of what is about to be deleted, kept for `days_kept`. Raises BotError as `make_backup` does."""
    now = clock()
    return _make(settings, settings_path, _named(settings, _BEFORE_DELETING, now), now)


def days_kept(settings: Settings) -> int:
    """For how many days the backup before a deletion is kept: as long as a nightly one is, and a day at the least."""
    return max(1, settings.retention.backups)


def keep_nightly(settings: Settings, settings_path: Path, *, clock: Callable[[], float] = time.time) -> float | None:
    """Make the nightly backup where the newest is older than a day, and remove those that are too many or too old.

    Returns when the next one is due, in unix seconds; None where none are wanted.

    Raises:
        BotError: it cannot be made.
    """
    now, wanted = clock(), settings.retention.backups
    folder = backups_folder(settings)
    made_at = {path: path.stat().st_mtime for path in folder.glob(f"{_NIGHTLY}-*.zip")}
    # One from the future was made while the clock was wrong. It says nothing, and goes first.
    newest = max((moment for moment in made_at.values() if moment <= now + 1), default=None)
    if wanted and (newest is None or newest <= now - DAY):
        made_at[_make(settings, settings_path, _named(settings, _NIGHTLY, now), now).path] = newest = now
    oldest_first = sorted(made_at, key=lambda path: (made_at[path] <= now + 1, made_at[path], path))
    try:
        for path in oldest_first[: max(0, len(oldest_first) - wanted)]:
            path.unlink(missing_ok=True)
        for days, left in (
            (days_kept(settings), folder.glob(f"{_BEFORE_DELETING}-*.zip")),
            (1, folder.glob("*.unfinished")),
            (1, settings.database_file.parent.glob(f"{DATABASE}.before-backup-*")),
        ):
            for path in left:
                if path.stat().st_mtime < now - days * DAY:
                    path.unlink(missing_ok=True)
    except OSError as error:
        raise BotError(
            f"An old backup in {folder} cannot be removed ({in_system_words(error)}).",
            "Look who may write to that folder.",
        ) from None
    return newest + DAY if wanted and newest is not None else None


def restore(
    settings: Settings,
    settings_path: Path,
    source: Path,
    *,
    trust: Trust = trust_nothing,
    clock: Callable[[], float] = time.time,
) -> Restored:
    """Put a backup back, and keep what was there beside it. Waits for the disk; a kill in between is mended by another.

    `trust` is asked, before anything is changed, about settings by which a stranger's backup could do harm.

    Raises:
        DatabaseInUse: the bot is running.
        BackupRefused: it is no backup, damaged, or newer than this program. Nothing was changed.
        BotError: something cannot be read or written.
    """
    places = _places(settings, settings_path)
    database = places[DATABASE]
    was_there = database.exists() and database.stat().st_size > 0
    now = clock()
    with held(database), ExitStack() as undo, _explained("What is to be restored"):
        # Retention removes a copy with this beginning, should a kill leave it here.
        new = {
            name: path.with_name(f"{database.name}.before-restoring" if name == DATABASE else f".{path.name}.restoring")
            for name, path in places.items()
        }
        for path in new.values():
            path.parent.mkdir(parents=True, exist_ok=True)
            undo.callback(path.unlink, missing_ok=True)
        manifest = _unpack(source, new)
        jobs, drafts = _judge(new[DATABASE], now)
        left_out: list[str] = []
        with_settings = CONFIG in manifest.files
        if with_settings:
            try:
                left_out += make_safe(new[CONFIG], settings_path, settings, trust)
            except SettingsError as error:
                left_out.append(f"{' '.join(error.problems)} {settings_path} is as it was.")
                with_settings = False
        kept = [*_keep(settings, settings_path, now)] if was_there else []
        if with_settings and settings_path.exists():
            kept.append(_keep_settings(settings_path, now))
        files: list[Path] = []
        for name, path in places.items():
            if name in manifest.files and name != CONFIG:
                new[name].replace(path.resolve())
                files.append(path)
        if with_settings:
            try:
                replace_file(settings_path, b"", new[CONFIG].read_text("utf-8"))
                files.append(settings_path)
            except OSError as error:  # mounted into a container to be read only, say
                left_out.append(f"{settings_path} could not be written ({in_system_words(error)}) and is as it was.")
        if TRAINING_DATA not in manifest.files and was_there:
            places[TRAINING_DATA].unlink(missing_ok=True)  # it belongs to the other database, and was kept with it
    return Restored(manifest, tuple(files), tuple(kept), tuple(left_out), jobs, drafts)


# --- making one -----------------------------------------------------------------------------------------------


def _places(settings: Settings, settings_path: Path) -> dict[str, Path]:
    """What a backup holds, by the names in it."""
    return {
        DATABASE: settings.database_file,
        TRAINING_DATA: settings.training_data_file,
        PROMPTS: settings.custom_prompts_file,
        CONFIG: settings_path,
    }


def _named(settings: Settings, kind: str, now: float) -> Path:
    return _free(backups_folder(settings) / f"{kind}-{_stamp(now)}.zip")


def _free(path: Path) -> Path:
    """The path, or the next one like it where nothing is yet."""
    found, number = path, 1
    while found.exists():
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


def _stamp(now: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


def _make(settings: Settings, settings_path: Path, target: Path, now: float) -> Backup:
    places = _places(settings, settings_path)
    if not places[DATABASE].exists():
        raise BotError(f"There is no database {places[DATABASE]}.", "Start the bot once, or name its data_directory.")
    if target.exists():
        raise BotError(f"{target} is there already.", "Give the backup another name.")
    # `keep_nightly` and retention remove a copy with this beginning, should a kill leave it here.
    copy = places[DATABASE].with_name(f"{DATABASE}.before-backup-{secrets.token_hex(4)}")
    with _explained(f"The backup {target}"), ExitStack() as undo:
        target.parent.mkdir(parents=True, exist_ok=True)
        undo.callback(copy.unlink, missing_ok=True)
        undo.callback(copy.with_name(f"{copy.name}.unfinished").unlink, missing_ok=True)
        copy_database(places[DATABASE], copy)
        unfinished = target.with_name(f"{target.name}.unfinished")
        undo.callback(unfinished.unlink, missing_ok=True)
        version, blogs = look_into(copy)
        left_out: list[str] = []
        files: dict[str, Packed] = {}
        with _private(unfinished) as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
                files[DATABASE] = _pack(archive, DATABASE, copy, now)
                for name in (TRAINING_DATA, PROMPTS):
                    if places[name].exists():
                        files[name] = _pack(archive, name, places[name], now)
                if settings_path.exists():
                    try:
                        content = without_secrets(settings_path.read_bytes(), settings)
                    except ValueError:
                        left_out.append(f"{settings_path} cannot be read as TOML, and is not in the backup.")
                    else:
                        archive.writestr(zip_entry(CONFIG, now), content)
                        files[CONFIG] = Packed(hashlib.sha256(content).hexdigest(), len(content))
                manifest = Manifest(__version__, now, version, files, blogs)
                archive.writestr(zip_entry(MANIFEST, now), msgspec.json.format(msgspec.json.encode(manifest)))
            file.flush()
            os.fsync(file.fileno())
        os.utime(unfinished, (now, now))
        unfinished.replace(target)
    return Backup(target, manifest, tuple(left_out))


@contextmanager
def _explained(what: str) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        raise BotError(
            f"{what} cannot be read or written: {in_system_words(error)}.",
            "Check the disk, and who may write to the folder.",
        ) from error


def _private(path: Path) -> BinaryIO:
    """A new file that nobody else can read."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")


def _pack(archive: zipfile.ZipFile, name: str, path: Path, now: float) -> Packed:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as source, archive.open(zip_entry(name, now), "w", force_zip64=True) as target:
        while piece := source.read(_PIECE):
            target.write(piece)
            digest.update(piece)
            size += len(piece)
    return Packed(digest.hexdigest(), size)


# --- putting one back -----------------------------------------------------------------------------------------


def _unpack(source: Path, targets: Mapping[str, Path]) -> Manifest:
    """Write what a backup holds to `targets`, once its manifest fits it."""
    refused = f"{plain(str(source), most=200)} is damaged, or no backup of this bot."
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = read_manifest(archive)
            names = [entry.filename for entry in archive.infolist()]
            if sorted(names) != sorted([MANIFEST, *manifest.files]) or not set(manifest.files) <= set(targets):
                raise ValueError("it holds something else")
            if DATABASE not in manifest.files:
                raise ValueError("it has no database")
            if manifest.database_version > newest_shape():
                raise BackupRefused(
                    f"The backup was made by a newer version of this bot ({plain(manifest.version, most=40)}).",
                    "Update the bot first.",
                )
            needed = sum(packed.size for packed in manifest.files.values())
            if needed > shutil.disk_usage(targets[DATABASE].parent).free:
                raise BackupRefused(
                    f"The disk has no room for the {needed:,} bytes of this backup.", "Make room on it, then try again."
                )
            for name, packed in manifest.files.items():
                with archive.open(name) as packed_file, _private(targets[name]) as file:
                    _copy(packed_file, file, packed)
    except FileNotFoundError:
        raise BackupRefused(f"There is no file {plain(str(source), most=200)}.", "Give the path of a backup.") from None
    except (*DAMAGED, OSError) as error:
        # EINVAL: a zip whose parts lie before its beginning. Anything else of the system's is no fault of the zip.
        if isinstance(error, OSError) and error.errno not in {errno.EINVAL, errno.EISDIR}:
            raise
        raise BackupRefused(refused, "Nothing was changed. Try an older backup.") from error
    return manifest


def _copy(source: IO[bytes], target: BinaryIO, packed: Packed) -> None:
    """Copy what is packed, and not a byte more. Raises ValueError where it is not what the manifest says."""
    digest, left = hashlib.sha256(), packed.size
    while piece := source.read(_PIECE):
        left -= len(piece)
        if left < 0:
            break
        digest.update(piece)
        target.write(piece)
    if left != 0 or digest.hexdigest() != packed.sha256:
        raise ValueError("a file is not what the manifest says")
    target.flush()
    os.fsync(target.fileno())


def _judge(copy: Path, now: float) -> tuple[int, int]:
    """Refuse a database that is not whole, not ours or too new, whatever the manifest says; then let it rest."""
    damaged = BackupRefused("The database in the backup is damaged.", "Nothing was changed. Try an older backup.")
    try:
        version, _ = look_into(copy)
        if version > newest_shape():
            raise BackupRefused(
                "The database in the backup is of a newer version of this bot.", "Update the bot first."
            )
        if version < 1 or not is_whole(copy):
            raise damaged
        return let_rest(copy, now=now)
    except sqlite3.Error as error:
        raise damaged from error


def _keep(settings: Settings, settings_path: Path, now: float) -> list[Path]:
    """Keep what is here: as a backup, or, where the database is damaged, the file itself as it is."""
    database = settings.database_file
    try:
        kept = [_make(settings, settings_path, _named(settings, "before-restore", now), now).path]
    except DatabaseDamaged:
        aside = _free(database.with_name(f"{database.name}.before-restore-{_stamp(now)}"))
        kept = [Path(shutil.copyfile(database, aside))]
        for path in (settings.training_data_file, settings.custom_prompts_file):
            if path.exists():  # named like a copy of the database, so that retention finds it
                kept.append(Path(shutil.copyfile(path, aside.with_name(f"{aside.name}.{path.name}"))))
        for path in kept:
            path.chmod(0o600)
    # SQLite takes the log in and removes it when the last connection is closed; it must not meet another database.
    if database.with_name(f"{database.name}-wal").exists():
        raise BotError(f"Another program holds the database {database}.", "Close that program, then try again.")
    return kept


def _keep_settings(path: Path, now: float) -> Path:
    """Keep the settings file as it is: there may be secrets in it, which no backup has."""
    kept = _free(path.with_name(f"{path.name}.before-restore-{_stamp(now)}"))
    with _private(kept) as file:
        file.write(path.read_bytes())
    return kept
