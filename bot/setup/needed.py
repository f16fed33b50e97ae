"""What `setup` is for: the options without which some part of the bot cannot work."""

from __future__ import annotations

from operator import attrgetter

from pydantic import SecretStr

from bot.config import Settings

TOKEN = "discord.token"  # noqa: S105 - names of options, here and below
CONSUMER = ("tumblr.consumer_key", "tumblr.consumer_secret")
ACCOUNT = (*CONSUMER, "tumblr.oauth_token", "tumblr.oauth_token_secret")
API_KEY = "openai.api_key"
NEEDED = (
    TOKEN,
    "discord.guild_id",
    "discord.channel_id",
    API_KEY,
    *ACCOUNT,
    "upload_blog_identifier",
    "download_blog_identifiers",
)


def unset(settings: Settings) -> tuple[str, ...]:
    """Those of them that are not set."""
    return tuple(name for name in NEEDED if not value_of(settings, name))


def value_of(settings: Settings, name: str) -> object:
    """An option's value by its dotted name; a secret's as plain text."""
    value: object = attrgetter(name)(settings)
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def secret_of(settings: Settings, name: str) -> str:
    """A secret as plain text; empty where it is not set."""
    return str(value_of(settings, name))
