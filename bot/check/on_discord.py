"""What `check` asks Discord: the token, the server, the roles, the channel with its permissions, the commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Container, Sequence
from typing import TypeVar

import discord
from discord import app_commands

from bot.check.finding import Finding, no_answer
from bot.client import DISCORD_FAILURES, PERMISSIONS, Client, failure_in_words, invite_link
from bot.config import Settings

_SECONDS = 20.0
_T = TypeVar("_T")


async def check_discord(client: discord.Client, settings: Settings) -> AsyncIterator[Finding]:
    """The token, and what the server says, with a client that has logged in. A call that takes too long ends it."""
    try:
        async for finding in _findings(client, settings):
            yield finding
    except TimeoutError:
        yield no_answer("Discord", "Discord")
    except DISCORD_FAILURES as error:
        yield unreachable(error)


def unreachable(error: BaseException) -> Finding:
    """Discord said no to a question that it answers to every bot, or there was no way to it."""
    return Finding(
        "Discord", f"Discord cannot be reached ({failure_in_words(error)}).", "Check the network, and try again later."
    )


async def _findings(client: discord.Client, settings: Settings) -> AsyncIterator[Finding]:
    application = await _asked(client.application_info())
    yield Finding("Discord token", f"It belongs to {application.name}.")
    link = invite_link(application.id)
    guild_id = settings.discord.guild_id
    if guild_id is None:
        yield Finding("Server", "None is named.", "Set `guild_id` under [discord] to your server's id.")
        return
    try:
        guild = await _asked(client.fetch_guild(guild_id))
        me = await _asked(guild.fetch_member(client.user.id if client.user else application.id))
        channels = await _asked(guild.fetch_channels())
    except (discord.NotFound, discord.Forbidden):
        yield Finding("Server", f"The bot is not on the server {guild_id}.", f"Add it with this link: {link}")
        return
    yield Finding("Server", f"{guild.name}.")
    known = {role.id for role in guild.roles}
    for name, wanted in (
        ("reviewer_role_ids", settings.discord.reviewer_role_ids),
        ("decider_role_ids", settings.review.decider_role_ids),
    ):
        if wanted:
            yield _roles(name, wanted, known)
    yield _channel(settings.discord.channel_id, channels, me)
    yield await _commands(client, guild_id, link)


def _roles(option: str, wanted: Sequence[int], known: Container[int]) -> Finding:
    subject = f"Roles in {option}"
    gone = [str(role) for role in wanted if role not in known]
    if gone:
        return Finding(subject, f"The server has no role {' and no role '.join(gone)}.", f"Correct `{option}`.")
    return Finding(subject, "It is there." if len(wanted) == 1 else f"All {len(wanted)} are there.")


def _channel(channel_id: int | None, channels: Sequence[discord.abc.GuildChannel], me: discord.Member) -> Finding:
    if channel_id is None:
        return Finding("Channel", "None is named; answers go where a command is used.")
    channel = next((channel for channel in channels if channel.id == channel_id), None)
    if channel is None:
        return Finding(
            "Channel", f"The bot sees no channel {channel_id}.", "Correct `channel_id`, or let the bot view it."
        )
    has = channel.permissions_for(me)
    missing = [name.replace("_", " ") for name, needed in PERMISSIONS if needed and not getattr(has, name)]
    if missing:
        return Finding(
            "Channel", f"In {channel.name} the bot lacks: {', '.join(missing)}.", "Give its role these there."
        )
    return Finding("Channel", f"{channel.name}; the bot has the permissions it needs.")


async def _commands(client: discord.Client, guild_id: int, link: str) -> Finding:
    guild = discord.Object(guild_id)
    tree = client.tree if isinstance(client, Client) else app_commands.CommandTree(client)
    try:
        there = {command.name for command in await _asked(tree.fetch_commands(guild=guild))}
    except discord.Forbidden:
        return Finding(
            "Commands", "The bot may have no commands on this server.", f"Add it again with this link: {link}"
        )
    # Outside the running bot nobody knows which there should be.
    missing = {command.name for command in tree.get_commands(guild=guild)} - there
    if missing:
        return Finding(
            "Commands",
            f"The server does not have /{', /'.join(sorted(missing))}.",
            f"Start the bot again; if that does not help, add it again with this link: {link}",
        )
    if not there:
        return Finding("Commands", "None are registered yet; the bot does that when it starts.")
    return Finding("Commands", f"{len(there)} are registered on the server.")


async def _asked(question: Awaitable[_T]) -> _T:
    async with asyncio.timeout(_SECONDS):
        return await question
