"""Values by dotted names, and values nested in sections as TOML has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from bot.config.model import Settings
from bot.config.options import sections

RENAMED = {"examples_file": "training_data_file", "user_input": "user_message"}
"""Names that tumblrbot 1.x used, and what they are called now."""


def renamed(written: dict[str, object]) -> dict[str, object]:
    """The tables of a file under today's names; where both stand, the new one counts."""
    renamed = {name: value for name, value in written.items() if name not in RENAMED}
    for old, new in RENAMED.items():
        if old in written:
            renamed.setdefault(new, written[old])
    return renamed


def nest(values: Mapping[str, object]) -> dict[str, object]:
    """`{"discord.token": x}` as `{"discord": {"token": x}}`."""
    nested: dict[str, object] = {}
    for name, value in values.items():
        *parents, key = name.split(".")
        table = nested
        for parent in parents:
            inner = table.get(parent)
            inner = cast("dict[str, object]", inner) if isinstance(inner, dict) else {}
            table[parent] = inner
            table = inner
        table[key] = value
    return nested


def names_in(values: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    """The dotted names in nested tables; of a table that is no section, only its own."""
    for key, value in values.items():
        name = prefix + key
        if name in sections():
            if isinstance(value, dict):
                yield from names_in(cast("Mapping[str, object]", value), f"{name}.")
        else:
            yield name


def value_at(values: Mapping[str, object], name: str) -> object:
    table = values
    *parents, key = name.split(".")
    for parent in parents:
        inner = table.get(parent)
        if not isinstance(inner, dict):
            return None
        table = cast("Mapping[str, object]", inner)
    return table.get(key)


def setting_at(settings: Settings, name: str) -> object:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value
