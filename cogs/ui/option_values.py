"""Values that are offered while somebody types one for an option: as it is, the default, and what else it takes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import cast

from discord import app_commands

from bot.app import App
from bot.config import Option, default_text, option_text, options, stays_on_machine
from bot.language.prices import priced_models
from cogs.ui.complete import LONGEST_CHOICE, MOST_CHOICES, complete_blogs

_BLOGS = frozenset({"download_blog_identifiers", "upload_blog_identifier", "reblog_blog_identifiers"})
_TUNED = frozenset({"base_model", "openai.fine_tuning.model"})
_WRITING = "openai.generation.model"
_IN_A_LIST = frozenset('",[]')  # what a part of a list must not have in it to be typed without quotes


async def complete_values(app: App, name: str, typed: str) -> list[app_commands.Choice[str]]:
    """What may follow what is typed, at most as many as Discord takes. Nothing for an option that is not set here."""
    option = options().get(name.strip().lower())
    if option is None or option.is_secret or stays_on_machine(option):
        return []
    if option.name in _BLOGS and typed.strip():
        return complete_blogs(typed, await app.known_blogs())
    current, default = as_typed(option_text(app.settings, option.name)), as_typed(default_text(option))
    labels = {current: f"{current} (as it is)", default: f"{default} (the default)"}
    if current == default:
        labels = {current: f"{current} (as it is, the default)"}
    for value in await _others(app, option):
        labels.setdefault(value, value)
    wanted = typed.strip().casefold()
    return [
        app_commands.Choice(name=label, value=value)
        for value, label in labels.items()
        if wanted in value.casefold() and len(label) <= LONGEST_CHOICE
    ][:MOST_CHOICES]


async def _others(app: App, option: Option) -> Iterable[str]:
    annotation = option.annotation
    if option.name in _BLOGS:
        return await app.known_blogs()
    if option.name in _TUNED:
        return priced_models(tunable=True)
    if option.name == _WRITING:
        return priced_models()
    if option.allowed.metavar == "YES_OR_NO":
        return "true", "false"
    if option.allowed.metavar == "HOUR":
        return map(str, range(24))
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return [member.value for member in annotation]
    return ()


def as_typed(text: str) -> str:
    """A value as config.toml writes it, in the form that a person types: without quotes where they are not needed."""
    try:
        value = cast("object", json.loads(text))
    except ValueError:
        return text
    if isinstance(value, str):
        return value if value and value == value.strip() and value.isprintable() and '"' not in value else text
    if isinstance(value, list) and value:
        parts = [str(part) for part in cast("list[object]", value)]
        is_plain = all(part and part == part.strip() and not _IN_A_LIST & set(part) for part in parts)
        return ", ".join(parts) if is_plain else text
    return text
