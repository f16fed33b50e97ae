"""What somebody typed into a form, taken from the interaction itself.

discord.py keeps one form for each id, in memory: a form that was open while the bot restarted, or that two people have
open, would be lost with all that was typed. So forms are read here by their id, as buttons are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import discord


def form_values(interaction: discord.Interaction[Any]) -> dict[str, str]:
    """What each of the form's inputs holds, by the input's id."""
    return dict(_values(cast("object", interaction.data)))


def _values(part: object) -> Iterator[tuple[str, str]]:
    """Each input's id and text, however deep Discord nests them."""
    if not isinstance(part, dict):
        return
    fields = cast("dict[str, object]", part)
    name, value, inner = fields.get("custom_id"), fields.get("value"), fields.get("components", fields.get("component"))
    if isinstance(name, str) and isinstance(value, str):
        yield name, value
    for child in cast("list[object]", inner) if isinstance(inner, list) else [inner]:
        yield from _values(child)
