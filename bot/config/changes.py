"""Options that are changed while the bot runs: parsed, checked and shown as config.toml has them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import cast

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import (
    InitSettingsSource,
)

from bot.config.files import decode
from bot.config.loading import build
from bot.config.model import Settings
from bot.config.nesting import nest, setting_at, value_at
from bot.config.options import Option, as_toml, options, toml
from bot.config.settings_file import set_options
from bot.config.wording import named, problems_of, suggestion
from bot.errors import SettingsError


def without_secrets(content: bytes, settings: Settings) -> bytes:
    """A settings file's content with every secret taken out of it, those of `settings` in its comments too.

    Raises:
        ValueError: it is no TOML.
    """
    text = decode(content)
    written = tomllib.loads(text)
    names = [name for name, option in options().items() if option.is_secret and value_at(written, name) is not None]
    text = set_options(text, dict.fromkeys(names, ""))
    for value in secret_values(settings):
        text = text.replace(value, "")
    tomllib.loads(text)
    return text.encode("utf-8")


def secret_values(settings: Settings) -> frozenset[str]:
    """Every secret that is set."""
    found = (setting_at(settings, option.name) for option in options().values() if option.is_secret)
    values = {secret.get_secret_value() for secret in found if isinstance(secret, SecretStr)}
    return frozenset(values - {""})


def problems_with(values: Mapping[str, object]) -> dict[str, str]:
    """Those of some values (dotted names of options) which are not allowed, with a line about each."""
    found: dict[str, str] = {}
    for name, value in values.items():
        try:
            build(InitSettingsSource(Settings, nest({name: value})))
        except ValidationError as error:
            found[name] = " ".join(problems_of(error))
    return found


def parse_options(values: Mapping[str, object]) -> dict[str, object]:
    """Values as people or files give them (dotted names of options), as the model holds them.

    Raises:
        SettingsError: for unknown names and values that are not allowed.
    """
    unknown = [name for name in values if name not in options()]
    if unknown:
        raise SettingsError(tuple(f"{named(name)}: no such option.{suggestion(name)}" for name in unknown))
    try:
        settings = build(InitSettingsSource(Settings, nest(values)))
    except ValidationError as error:
        raise SettingsError(tuple(problems_of(error))) from None
    return {name: setting_at(settings, name) for name in values}


NEEDS_RESTART = frozenset({"discord.guild_id", "data_directory", "tumblr.api_url"})
"""What a running bot cannot change: its commands are registered on that server, its database is open, its connections
are made. All else but the secrets is read whenever it is used."""


def stays_on_machine(option: Option) -> bool:
    """Whether an option is set on the bot's own machine alone, never from Discord.

    Whoever takes over an owner's account at Discord must not send keys to another address, write files elsewhere, or
    make others owners.
    """
    return option.allowed.metavar in {"ADDRESS", "PATH"} or option.name == "discord.owner_ids"


def with_options(settings: Settings, values: Mapping[str, object]) -> Settings:
    """The same settings with other values (dotted names, as the model holds them)."""
    for name, value in values.items():
        *parents, key = name.split(".")
        tables: list[BaseModel] = [settings]
        for parent in parents:
            tables.append(getattr(tables[-1], parent))
        changed = tables.pop().model_copy(update={key: value})
        for parent in reversed(parents):
            changed = tables.pop().model_copy(update={parent: changed})
        settings = cast("Settings", changed)
    return settings


def default_text(option: Option) -> str:
    """An option's default as config.toml writes it."""
    return toml(option.default)


def option_text(settings: Settings, name: str) -> str:
    """An option as config.toml writes it; of a secret only whether it is set."""
    value = setting_at(settings, name)
    if isinstance(value, SecretStr):
        return "set" if value.get_secret_value() else "not set"
    return toml(as_toml(value))
