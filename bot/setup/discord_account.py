"""What Discord says about a token: whose it is, its servers and their channels. Nothing is sent there or changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import discord

from bot.client import DISCORD_FAILURES, PERMISSIONS
from bot.errors import DiscordTokenRefused, DiscordUnavailable, ServerNotJoined

_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    id: int
    name: str


@dataclass(frozen=True, slots=True)
class BotAccount:
    """The bot that a token belongs to; `owner` is the name of its application's owner, a person or a team."""

    name: str
    application_id: int
    owner: str
    servers: tuple[Server, ...]


@dataclass(frozen=True, slots=True)
class Channel:
    """A text channel; `missing` are the permissions that the bot lacks there, `is_open` tells whether all may read."""

    id: int
    name: str
    missing: tuple[str, ...]
    is_open: bool


async def bot_account(token: str) -> BotAccount:
    """Log in, and look around.

    Raises:
        DiscordTokenRefused: Discord does not know the token.
        DiscordUnavailable: Discord did not answer usefully.
    """
    async with _logged_in(token) as client:
        application = await client.application_info()
        servers = [Server(guild.id, guild.name) async for guild in client.fetch_guilds(with_counts=False)]
        owner = application.team.name if application.team is not None else application.owner.name
        name = client.user.name if client.user is not None else application.name
        return BotAccount(name, application.id, owner, tuple(servers))


async def text_channels(token: str, server_id: int) -> tuple[Channel, ...]:
    """The text channels of a server, in the order that its members see.

    Raises:
        ServerNotJoined: the bot is not on that server.
        DiscordTokenRefused: Discord does not know the token any more.
        DiscordUnavailable: Discord did not answer usefully.
    """
    async with _logged_in(token) as client:
        try:
            guild = await client.fetch_guild(server_id, with_counts=False)
            me = await guild.fetch_member(client.user.id if client.user is not None else 0)
            channels = await guild.fetch_channels()
        except (discord.NotFound, discord.Forbidden):
            raise ServerNotJoined(server_id) from None
        texts = [channel for channel in channels if isinstance(channel, discord.TextChannel)]
        return tuple(_channel(channel, me) for channel in sorted(texts, key=lambda each: (each.position, each.id)))


def _channel(channel: discord.TextChannel, me: discord.Member) -> Channel:
    has = channel.permissions_for(me)
    missing = tuple(name.replace("_", " ") for name, needed in PERMISSIONS if needed and not getattr(has, name))
    is_open = channel.permissions_for(channel.guild.default_role).view_channel
    return Channel(channel.id, channel.name, missing, is_open)


@asynccontextmanager
async def _logged_in(token: str) -> AsyncGenerator[discord.Client, None]:
    discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # the bot never speaks
    client = discord.Client(intents=discord.Intents(guilds=True))  # discord.py warns without it
    try:
        async with asyncio.timeout(_SECONDS):
            await client.login(token)
            yield client
    except discord.LoginFailure:
        raise DiscordTokenRefused from None
    except DISCORD_FAILURES:
        raise DiscordUnavailable from None
    finally:
        await client.close()
