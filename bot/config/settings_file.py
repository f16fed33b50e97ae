"""config.toml: made with every option, brought up to date, changed with its comments and order kept."""

from __future__ import annotations

import json
import logging
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from pydantic import ValidationError
from pydantic_settings import (
    InitSettingsSource,
)

from bot.config.files import decode, read_toml, replace_file
from bot.config.loading import build
from bot.config.model import Settings
from bot.config.nesting import RENAMED, names_in, nest, renamed, setting_at, value_at
from bot.config.options import Option, as_toml, options, secret_places, sections, toml
from bot.config.wording import comment, named, problems_of, suggestion
from bot.errors import SettingsError
from bot.words import in_system_words

logger = logging.getLogger(__name__)
_HEADING = """\
The settings of the bot. An option on the command line, an environment variable, or a file of the secrets folder wins
over what is written here: post_limit, say, is also --post-limit or TUMBLRBOT_POST_LIMIT, and guild_id of [discord] is
--discord-guild-id or TUMBLRBOT_DISCORD__GUILD_ID. An option that is missing here has its default.
"""


def example_text() -> str:
    """The file as it is made for somebody who has none, and `config.toml.example`."""
    return _file_text({option.name: option.default for option in options().values()})


def settings_text(settings: Settings) -> str:
    """The file as it would be with everything that is in force; no secret is in it."""
    return _file_text({name: as_toml(setting_at(settings, name)) for name in options()})


def _file_text(values: Mapping[str, object]) -> str:
    parts = [comment(_HEADING)]
    parts += [_block(option, values[option.name]) for option in options().values() if not option.section]
    parts += [_section_text(section, values) for section in sections()]
    return "\n".join(parts)


def ensure_file(path: Path) -> bool:
    """Make the file if it is missing; else add what options it lacks, and touch nothing that is there.

    Returns whether it wrote. A file that cannot be read or written is left alone (`load_settings` says what is wrong
    with it, and defaults do for what is missing).
    """
    try:
        content = path.read_bytes()
        text = decode(content)
        present = set(names_in(renamed(tomllib.loads(text))))
    except FileNotFoundError:
        content, text, changed = b"", "", example_text()
    except (OSError, ValueError):  # broken TOML and broken UTF-8 are ValueErrors
        return False
    else:
        missing = {
            option.name: option.default
            for option in options().values()
            if option.name not in present and not option.is_secret
        }
        changed = _add_options(text, missing)
    if changed == text:
        return False
    try:
        replace_file(path, content, changed)
    except OSError as error:
        logger.warning("%s cannot be brought up to date: %s.", path.name, in_system_words(error))
        return False
    return True


def read_options(path: Path) -> dict[str, object]:
    """What a settings file says, by dotted names of today: as TOML has it, unchecked, unknown names too.

    A missing file says nothing.

    Raises:
        SettingsError: the file cannot be read.
    """
    problems: list[str] = []
    written = read_toml(path, problems)
    if problems:
        raise SettingsError(tuple(problems))
    return {name: value_at(written, name) for name in names_in(written)}


def write_options(path: Path, values: Mapping[str, object]) -> tuple[str, ...]:
    """Set options (dotted names) in the file, and leave the rest of it as it is. Blocks on the disk.

    Returns the names of those that were not there before, or had another value.

    Raises:
        SettingsError: for unknown names, secrets and values that are not allowed, and for a file that cannot be read
            or written. Then no option was changed.
    """
    problems: list[str] = []
    for name in values:
        option = options().get(name)
        if option is None:
            problems.append(f"{named(name)}: no such option.{suggestion(name)}")
        elif option.is_secret:
            problems.append(f"{name}: a secret is not written to {path.name}; {secret_places(option)}.")
    try:
        settings = build(InitSettingsSource(Settings, nest(values)))
    except ValidationError as error:
        raise SettingsError((*problems, *problems_of(error))) from None
    if problems:
        raise SettingsError(tuple(problems))
    new = {name: as_toml(setting_at(settings, name)) for name in values}

    if not path.exists():
        ensure_file(path)
    written = read_toml(path, problems)
    if problems:
        raise SettingsError(tuple(problems))
    present = set(names_in(written))
    try:
        content = path.read_bytes()
        text = decode(content)
        changed = set_options(text, {name: value for name, value in new.items() if name in present})
        changed = _add_options(changed, {name: value for name, value in new.items() if name not in present})
        if not _is_same(tomllib.loads(changed), tomllib.loads(text), new):
            raise SettingsError(
                tuple(f"{name}: {path.name} is written in a way that cannot be changed here; edit it." for name in new)
            )
        if changed != text:
            replace_file(path, content, changed)
    except OSError as error:
        raise SettingsError((f"{path.name} cannot be written: {in_system_words(error)}.",)) from None
    return tuple(name for name in values if _fingerprint(value_at(written, name)) != _fingerprint(new[name]))


def _block(option: Option, value: object) -> str:
    """An option as lines of the file: its comment, then its value; of a secret only where it belongs."""
    if option.is_secret:
        return comment(f"{option.key}: {option.description} A secret, not kept in this file: {secret_places(option)}.")
    return f"{comment(option.description)}{option.key} = {toml(value)}\n"


def _section_text(section: str, values: Mapping[str, object]) -> str:
    """A whole section: its header, the options in `values`, and where its secrets belong."""
    parts = [f"{comment(sections()[section])}[{section}]\n"]
    parts += [
        _block(option, values.get(option.name))
        for option in options().values()
        if option.section == section and (option.is_secret or option.name in values)
    ]
    return "\n".join(parts)


def set_options(text: str, values: Mapping[str, object]) -> str:
    """The text of a file with options changed that are in it."""
    import tomlkit  # noqa: PLC0415  # only who writes the file waits for it

    old = tomllib.loads(text)
    document = tomlkit.parse(text)
    for name, value in values.items():
        current = next((past for past, now in RENAMED.items() if now == name and name not in old), name)
        if _fingerprint(value_at(old, current)) == _fingerprint(value):
            continue  # a list keeps its line breaks and comments
        *parents, key = current.split(".")
        table = cast("dict[str, object]", document)
        for parent in parents:
            table = cast("dict[str, object]", table[parent])
        table[key] = value
    return tomlkit.dumps(document)


def _add_options(text: str, values: Mapping[str, object]) -> str:
    """The text of a file with options added, each with its comment, at the end of its section.

    tomlkit would put them behind the comment that stands above the next section, so lines are inserted here instead.
    A section in a form that takes no lines (an inline table) is left alone.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    for section in ("", *sections()):
        added = {name: value for name, value in values.items() if options()[name].section == section}
        if not added:
            continue
        position = _end_of(text, section)
        if position is None:
            before, block, after = text, _section_text(section, added), ""
        else:
            before, after = text[:position], text[position:]
            block = "\n".join(_block(options()[name], value) for name, value in added.items())
        block = block.replace("\n", newline)
        if before:
            block = newline + block if before.endswith("\n") else newline + newline + block
        if after and not after.startswith(("\n", "\r\n")):
            block += newline
        changed = before + block + after
        try:
            fits = _is_same(tomllib.loads(changed), tomllib.loads(text), added)
        except tomllib.TOMLDecodeError:
            fits = False
        text = changed if fits else text
    return text


def _end_of(text: str, section: str) -> int | None:
    """Where the last line of a section ends, not counting blank lines and what belongs to the next header."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)  # str.splitlines knows more line ends than TOML
    headers = [(number, _header(lines, number)) for number, line in enumerate(lines) if line.lstrip().startswith("[")]
    headers = [(number, name) for number, name in headers if name is not None]
    start = 0 if not section else next((number + 1 for number, name in headers if name == section), None)
    if start is None:
        return None
    end = next((number for number, _ in headers if number >= start), len(lines))
    if end < len(lines):
        while end > start and lines[end - 1].lstrip().startswith("#"):
            end -= 1
    while end > start and not lines[end - 1].strip():
        end -= 1
    return sum(map(len, lines[:end]))


def _header(lines: list[str], number: int) -> str | None:
    """The section that a line opens; "" if it opens anything else, None if it is no header but part of a value."""
    try:
        tomllib.loads("".join(lines[:number]))
        opened: dict[str, object] = tomllib.loads(lines[number])
    except tomllib.TOMLDecodeError:
        return None
    parts: list[str] = []
    while opened:
        ((part, value),) = opened.items()
        if not isinstance(value, dict):
            return ""
        parts.append(part)
        opened = cast("dict[str, object]", value)
    return ".".join(parts)


def _is_same(changed: dict[str, object], original: dict[str, object], values: Mapping[str, object]) -> bool:
    """Whether a changed file says what the original says, except for `values`."""
    expected = renamed(original)
    for name, value in values.items():
        *parents, key = name.split(".")
        table = expected
        for parent in parents:
            table = cast("dict[str, object]", table.setdefault(parent, {}))
        table[key] = value
    return _fingerprint(renamed(changed)) == _fingerprint(expected)


def _fingerprint(value: object) -> str:
    # As text, because not-a-number is not equal to itself and 1 is equal to 1.0.
    return json.dumps(value, sort_keys=True, default=str)
