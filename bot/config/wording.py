"""What is said of a value that is wrong, without showing what may be a key."""

from __future__ import annotations

import difflib
import json
import re
import textwrap
from collections.abc import Iterator
from urllib.parse import urlsplit

from pydantic import ValidationError

from bot.config.options import options, sections


def named(name: str) -> str:
    """A name that is no option's, for a message: somebody may have pasted a key where it does not belong."""
    return "(not shown, it looks like a key)" if _LOOKS_LIKE_A_KEY.search(name) else plain(name)


def suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, [*options(), *sections()], n=1)
    return f" Did you mean {near[0]}?" if near else ""


def problems_of(error: ValidationError) -> Iterator[str]:
    seen: set[str] = set()
    for detail in error.errors(include_url=False, include_context=False):
        parts = [str(part) for part in detail["loc"]]
        for length in range(len(parts), 0, -1):
            name = ".".join(parts[:length])
            option = options().get(name)
            if option is not None:
                place = "".join(f"[{part}]" for part in parts[length:])
                value = "the value (not shown)" if option.is_secret else _shown(detail["input"])
                yield f"{name}{place}: {value} is not allowed; it takes {option.allowed.text}."
                break
            if name in sections() and name not in seen:
                # What stands in a section's place may be a secret.
                seen.add(name)
                yield f"{name}: the value (not shown) is not allowed; it is a section, with options of its own."
                break


_MOST_SHOWN = 60


_LOOKS_LIKE_A_KEY = re.compile(r"(?=[\w.-]*(?:[0-9]|[A-Z]))(?=[\w.-]*[A-Za-z])[\w.-]{20,}")


def _shown(value: object) -> str:
    """A wrong value in one short line; nothing that might be a key pasted into the wrong place."""
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "a table"
    if not isinstance(value, str):
        return plain(str(value))
    if "://" in value:
        try:
            address = urlsplit(value)
            host, port = address.hostname or "", address.port
        except ValueError:
            return "this address"
        more = "/…" if address.path.strip("/") or address.query or address.fragment or "@" in address.netloc else ""
        return json.dumps(plain(f"{address.scheme}://{host}{f':{port}' if port else ''}{more}"), ensure_ascii=False)
    if _LOOKS_LIKE_A_KEY.search(value):
        return f"a text of {len(value)} characters (not shown, it looks like a key)"
    return json.dumps(plain(value), ensure_ascii=False)


def plain(text: str, *, most: int = _MOST_SHOWN) -> str:
    """Text from outside on one short line, with nothing in it that a terminal would obey."""
    line = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return line if len(line) <= most else line[: most - 1] + "…"


_WIDTH = 110


def comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, _WIDTH - 2, break_on_hyphens=False))
