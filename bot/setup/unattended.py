"""`setup --no-input`: try what the command line and the environment give, write it down, and say what is missing.

What a service refuses, or what cannot be tried, is not written. What stands in a secrets folder stays there: it is read
at every start anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.client import invite_link
from bot.config import SECRETS_FILE, Settings, options, plain, require, secrets_elsewhere, write_options, write_secrets
from bot.errors import BotError, SettingsError
from bot.setup.asking import Load
from bot.setup.blogs import is_one_of
from bot.setup.discord_account import bot_account, text_channels
from bot.setup.model_service import ADDRESS, lacks, model_names
from bot.setup.needed import ACCOUNT, API_KEY, TOKEN, secret_of, unset, value_of
from bot.setup.tumblr import credentials_of, tumblr_account


@dataclass(frozen=True, slots=True)
class Trial:
    """What trying a setting came to. `refused` are the options that are not written."""

    subject: str
    result: str
    ok: bool = True
    refused: tuple[str, ...] = ()


def take_over(path: Path, load: Load, overrides: Mapping[str, object]) -> int:
    """Returns the exit status: 0 when all is set, 1 when something is missing or was refused.

    Raises:
        SettingsError: nothing can be written.
    """
    settings = load()
    trials: list[Trial] = []
    for trial in (*_discord(settings), *_model_service(settings), *_tumblr(settings)):
        trials.append(trial)
        print(f"{'well   ' if trial.ok else 'wrong  '}  {trial.subject}: {trial.result}")
    missing = unset(settings)
    try:
        require(settings, *missing)
    except SettingsError as error:
        for problem in error.problems:
            print(f"missing  {problem}")
    _write(path, settings, overrides, {name for trial in trials for name in trial.refused})
    return 0 if not missing and all(trial.ok for trial in trials) else 1


def _write(path: Path, settings: Settings, overrides: Mapping[str, object], refused: set[str]) -> None:
    given = {*overrides, *secrets_elsewhere(options(), secrets_directory=None)} - refused
    values = {name: value_of(settings, name) for name in options() if name in given and not options()[name].is_secret}
    secrets = {name: secret_of(settings, name) for name in options() if name in given and options()[name].is_secret}
    if values:
        write_options(path, values)
        print(f"written  {path}: {', '.join(values)}")
    if secrets:
        write_secrets(settings.data_directory, secrets)
        print(f"written  {settings.data_directory / SECRETS_FILE}: {', '.join(secrets)}")


def _discord(settings: Settings) -> Iterator[Trial]:
    token, server_id = secret_of(settings, TOKEN), settings.discord.guild_id
    if not token:
        return
    try:
        account = asyncio.run(bot_account(token))
    except BotError as error:
        yield Trial("Discord token", str(error), ok=False, refused=(TOKEN,))
        return
    yield Trial("Discord token", f"It belongs to {plain(account.name)}.")
    link = f"The link that adds the bot to a server: {invite_link(account.application_id)}"
    if server_id is None:
        yield Trial("Server", f"None is named. {link}", ok=False)
        return
    try:
        channels = asyncio.run(text_channels(token, server_id))
    except BotError as error:
        yield Trial("Server", f"{error.sentence} {link}", ok=False)
        return
    yield Trial("Server", f"The bot is on the server {server_id}.")
    if settings.discord.channel_id is None:
        return
    channel = next((channel for channel in channels if channel.id == settings.discord.channel_id), None)
    if channel is None:
        yield Trial("Channel", f"The server has no text channel {settings.discord.channel_id}.", ok=False)
    elif channel.missing:
        yield Trial("Channel", f"In #{plain(channel.name)} the bot lacks: {', '.join(channel.missing)}.", ok=False)
    else:
        yield Trial("Channel", f"#{plain(channel.name)}; the bot has the permissions it needs.")


def _model_service(settings: Settings) -> Iterator[Trial]:
    key = secret_of(settings, API_KEY)
    if not key:
        return
    try:
        names = asyncio.run(model_names(settings.openai.base_url, key))
    except BotError as error:
        yield Trial("Model service", str(error), ok=False, refused=(API_KEY, ADDRESS))
    else:
        model = settings.openai.generation.model
        if lacks(settings, "generation", names):
            yield Trial(
                "Model service", f"It accepts the key, but has no model {plain(model)}, which writes.", ok=False
            )
        else:
            yield Trial("Model service", f"It accepts the key, and has the model {plain(model)}.")


def _tumblr(settings: Settings) -> Iterator[Trial]:
    if not all(secret_of(settings, name) for name in ACCOUNT):
        return
    try:
        account = asyncio.run(tumblr_account(credentials_of(settings), settings.tumblr.api_url))
    except BotError as error:
        yield Trial("Tumblr account", str(error), ok=False, refused=ACCOUNT)
        return
    yield Trial("Tumblr account", f"Connected as {plain(account.name)}.")
    destination = settings.upload_blog_identifier
    if destination and not is_one_of(destination, account.blogs):
        its_own = ", ".join(plain(blog.name) for blog in account.blogs) or "none"
        result = f"{plain(destination)} is not a blog of that account; these are: {its_own}."
        yield Trial("Destination", result, ok=False, refused=("upload_blog_identifier",))
