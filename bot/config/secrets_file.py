"""secrets.toml: secrets that the bot was given, in the data directory, readable by its owner alone."""

from __future__ import annotations

import copy
import logging
import re
import threading
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from bot.config.files import decode, is_open_to_others, replace_file
from bot.config.kinds import read_secret
from bot.config.nesting import names_in, value_at
from bot.config.options import SECRETS_FILE, options, sections
from bot.config.wording import comment, named, suggestion
from bot.errors import SettingsError
from bot.words import in_system_words

logger = logging.getLogger(__name__)
_SECRETS_HEADING = """\
The secrets that the bot was given: keep this file to yourself. It is written by /connect, setup and import, which keep
what stands in it but not its comments. An environment variable or a file of the secrets folder wins over it.
"""


_PRIVATE = 0o600
_turn = threading.Lock()
"""The file is read, changed and written: /connect and /config secret must not undo one another."""


def write_secrets(data_directory: Path, values: Mapping[str, str | None]) -> None:
    """Keep secrets (dotted names of options) in `secrets.toml` of the data directory; None forgets one.

    The file is made if it is missing, with its folder, and is readable by its owner alone; what else stands in it
    stays. Blocks on the disk.

    Raises:
        SettingsError: for names of no secrets and values that are no keys, and for a file that cannot be read or
            written. Then nothing was changed. It shows no value.
    """
    with _turn:
        _write(data_directory / SECRETS_FILE, values)


def _write(path: Path, values: Mapping[str, str | None]) -> None:
    problems: list[str] = []
    for name, value in values.items():
        option = options().get(name)
        if option is None:
            problems.append(f"{named(name)}: no such option.{suggestion(name)}")
        elif not option.is_secret:
            problems.append(f"{name}: not a secret, so not written to {path.name}.")
        elif value is not None and not _is_key(value):
            problems.append(f"{name}: the value (not shown) is not allowed; it takes {option.allowed.text}.")
    old = read_secrets_file(path, problems)
    if problems:
        raise SettingsError(tuple(problems))
    new = copy.deepcopy(old)
    for name, value in values.items():
        _put(new, name.split("."), None if value is None else value.strip())
    try:
        if new != old:
            import tomlkit  # noqa: PLC0415  # only who writes the file waits for it

            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, b"", f"{comment(_SECRETS_HEADING)}\n{tomlkit.dumps(new)}", mode=_PRIVATE)
        elif is_open_to_others(path):
            path.chmod(_PRIVATE)
    except OSError as error:
        raise SettingsError((f"{path} cannot be written: {in_system_words(error)}.",)) from None


def _is_key(value: str) -> bool:
    try:
        read_secret(value)
    except ValueError:
        return False
    return True


def _put(table: dict[str, object], parts: Sequence[str], value: str | None) -> None:
    """Set or remove a value in nested tables; a section that nothing is left in goes too."""
    part, *rest = parts
    if not rest and value is None:
        table.pop(part, None)
    elif not rest:
        table[part] = value
    else:
        inner = cast("dict[str, object]", table.setdefault(part, {}))
        _put(inner, rest, value)
        if not inner:
            del table[part]


def kept_secrets(path: Path, problems: list[str]) -> dict[str, object]:
    """The secrets in the file, by their dotted names."""
    written = read_secrets_file(path, problems)
    kept: dict[str, object] = {}
    for name in names_in(written):
        option = options().get(name)
        if option is None:
            logger.warning("%s: ignored the unknown option %s.%s", path.name, named(name), suggestion(name))
        elif not option.is_secret:
            logger.warning("%s: ignored %s, which is no secret. It belongs in config.toml.", path.name, name)
        else:
            kept[name] = value_at(written, name)
    if kept and is_open_to_others(path):
        logger.warning("%s is open to others on this machine. Make it yours alone: chmod 600 %s", path.name, path)
    return {name: value for name, value in kept.items() if value != ""}


def read_secrets_file(path: Path, problems: list[str]) -> dict[str, object]:
    """The tables of the file. Problems name places and nothing that stands there: it may be a secret."""
    try:
        written: dict[str, object] = tomllib.loads(decode(path.read_bytes()))
    except FileNotFoundError:
        return {}
    except OSError as error:
        problems.append(f"{path} cannot be read: {in_system_words(error)}.")
        return {}
    except UnicodeDecodeError:
        problems.append(f"{path} cannot be read: it is not UTF-8 text.")
        return {}
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"\bline [0-9]+", str(error))
        problems.append(f"{path} cannot be read: {line.group() if line else 'its end'} is not TOML.")
        return {}
    for section in sections():
        if not isinstance(value_at(written, section), dict | None):
            problems.append(f"{path} cannot be read: {section} is a section, with options of its own.")
            return {}
    return written
