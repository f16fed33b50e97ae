"""The files that stay until somebody removes them: made by hand, or kept from before something changed."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bot.config import Settings
from bot.errors import BotError
from bot.store.copies import BACKUPS, EXPORTS
from bot.words import in_system_words


@dataclass(frozen=True, slots=True)
class KeptFile:
    """One of them. `kind` says in words what it is, `size` is in bytes, `made_at` in unix seconds."""

    path: Path
    kind: str
    size: int
    made_at: float

    @property
    def name(self) -> str:
        return self.path.name


def kept_files(settings: Settings, settings_path: Path) -> list[KeptFile]:
    """All of them, the oldest first. Waits for the disk.

    Nightly backups and those before a deletion are not among them, nor what is being written: the bot removes those.
    """
    database, config = re.escape(settings.database_file.name), re.escape(settings_path.name)
    home = settings.database_file.parent
    places = (
        (home / BACKUPS, r"backup-.*\.zip", "backup made by hand"),
        (home / BACKUPS, r"before-restore-.*\.zip", "backup from before a restore"),
        (home / EXPORTS, r".*\.zip", "export"),
        (home, rf"{database}\.before-restore-.*", "copy from before a restore"),
        (home, rf"{database}\.before-\d+", "copy from before an update"),
        (settings_path.parent, rf"{config}\.before-restore-.*", "settings from before a restore"),
    )
    found: list[KeptFile] = []
    for folder, pattern, kind in places:
        for path in folder.iterdir() if folder.is_dir() else ():
            if re.fullmatch(pattern, path.name) and path.is_file() and not path.is_symlink():
                with suppress(FileNotFoundError):  # retention was faster
                    facts = path.stat()
                    found.append(KeptFile(path, kind, facts.st_size, facts.st_mtime))
    return sorted(found, key=lambda file: (file.made_at, file.name))


def remove_kept_file(file: KeptFile) -> None:
    """Remove one of them; waits for the disk. Raises BotError where it cannot be."""
    try:
        file.path.unlink(missing_ok=True)
    except OSError as error:
        raise BotError(
            f"{file.name} cannot be removed ({in_system_words(error)}).", "Look who may write to its folder."
        ) from None
