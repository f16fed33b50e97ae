"""Small files, read whole and replaced whole."""

from __future__ import annotations

import codecs
import errno
import os
import stat
import tempfile
import tomllib
from pathlib import Path

from bot.config.nesting import renamed
from bot.config.wording import plain
from bot.words import in_system_words


def read_toml(path: Path, problems: list[str]) -> dict[str, object]:
    try:
        written: dict[str, object] = tomllib.loads(decode(path.read_bytes()))
    except FileNotFoundError:
        return {}
    except OSError as error:
        problems.append(f"{path.name} cannot be read: {in_system_words(error)}.")
        return {}
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problems.append(f"{path.name} cannot be read: line {line} is not UTF-8 text.")
        return {}
    except tomllib.TOMLDecodeError as error:
        # tomllib's messages name keys, lines and columns, never a value.
        problems.append(f"{path.name} cannot be read, it is not TOML: {plain(str(error))}.")
        return {}
    return renamed(written)


def decode(content: bytes) -> str:
    # Windows editors put a mark at the start that TOML does not know.
    return content.removeprefix(codecs.BOM_UTF8).decode("utf-8")


def replace_file(path: Path, old: bytes, text: str, *, mode: int | None = None) -> None:
    """Write a file so that at any moment it is the old one or the new one, whole; without a `mode` it keeps its own.

    A file that cannot be exchanged (mounted by itself into a container, or owned by somebody else) is written in place.
    """
    content = (codecs.BOM_UTF8 if old.startswith(codecs.BOM_UTF8) else b"") + text.encode("utf-8")
    path = path.resolve()  # a link stays a link
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                file.close()  # Windows exchanges no open file
                _take_over(path, temporary)
                if mode is not None:
                    temporary.chmod(mode)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in {errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS} or not path.exists():
            raise
        if mode is not None:
            path.chmod(mode)
        path.write_bytes(content)


def _take_over(path: Path, temporary: Path) -> None:
    """Give the new file the owner and the mode of the one that it replaces."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    if hasattr(os, "chown") and (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(temporary, status.st_uid, status.st_gid)
    temporary.chmod(stat.S_IMODE(status.st_mode))


def is_open_to_others(path: Path) -> bool:
    """Whether others than the file's owner may read or change it, on systems where files say that."""
    try:
        return os.name == "posix" and bool(path.stat().st_mode & 0o077)
    except OSError:
        return False
