"""`check`: try every setting, token, permission and channel that can be reached, and say how to mend what fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import discord

from bot.app import App
from bot.client import PERMISSIONS, invite_link
from bot.config import Settings, Use
from bot.errors import BotError, DatabaseInUse, TumblrUnauthorized
from bot.language.models import describe_model
from bot.posts import Blog
from bot.store.database import Database
from bot.tumblr.identifiers import parse_identifier

_SECONDS = 20.0
_CONNECT = "Connect it with /connect tumblr, or with `python -m bot setup`; this machine's clock must be right, too."
_USES: tuple[Use, ...] = ("generation", "fine_tuning", "moderation")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried. `remedy` is empty when it is well."""

    subject: str
    result: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        return not self.remedy


async def check_services(app: App) -> AsyncIterator[Finding]:
    """The store, Tumblr and the model services, with an app that was not started: nothing is resumed or sent."""
    yield await _database(app.settings)
    try:
        async with asyncio.timeout(_SECONDS):
            account = await app.tumblr.account()
    except TumblrUnauthorized as error:
        yield Finding("Tumblr account", error.sentence, _CONNECT)
    except BotError as error:
        yield Finding("Tumblr account", error.sentence, error.next_step)
    except TimeoutError:
        yield Finding("Tumblr account", "Tumblr did not answer.", "Check the network, and try again later.")
    else:
        yield Finding("Tumblr account", f"Connected as {account.name}, with {len(account.blogs)} blogs.")
        yield _destination(app.settings, {name for blog in account.blogs for name in _names(blog)})
    for name in app.settings.download_blog_identifiers:
        yield await _blog(app, name)
    if not app.settings.download_blog_identifiers:
        yield Finding(
            "Blogs to download", "None is named.", "Set `download_blog_identifiers`, or name one with /download."
        )
    for use in _USES:
        yield await _model(app, use)


async def check_discord(client: discord.Client, settings: Settings) -> AsyncIterator[Finding]:
    """The server, the channel and the bot's permissions there, with a client that has logged in."""
    application = await client.application_info()
    yield Finding("Discord token", f"It belongs to {application.name}.")
    link = invite_link(application.id)
    guild_id = settings.discord.guild_id
    if guild_id is None:
        yield Finding("Server", "None is named.", "Set `guild_id` under [discord] to your server's id.")
        return
    try:
        guild = await client.fetch_guild(guild_id)
        me = await guild.fetch_member(client.user.id if client.user else application.id)
        channels = await guild.fetch_channels()
    except (discord.NotFound, discord.Forbidden):
        yield Finding("Server", f"The bot is not on the server {guild_id}.", f"Add it with this link: {link}")
        return
    yield Finding("Server", f"{guild.name}.")
    known = {role.id for role in guild.roles}
    for role_id in settings.discord.reviewer_role_ids:
        if role_id not in known:
            yield Finding("Reviewer role", f"The server has no role {role_id}.", "Correct `reviewer_role_ids`.")
    channel_id = settings.discord.channel_id
    if channel_id is None:
        yield Finding("Channel", "None is named; answers go where a command is used.")
        return
    channel = next((channel for channel in channels if channel.id == channel_id), None)
    if channel is None:
        yield Finding(
            "Channel", f"The bot sees no channel {channel_id}.", "Correct `channel_id`, or let the bot view it."
        )
        return
    has = channel.permissions_for(me)
    missing = [name.replace("_", " ") for name, needed in PERMISSIONS if needed and not getattr(has, name)]
    if missing:
        yield Finding(
            "Channel", f"In {channel.name} the bot lacks: {', '.join(missing)}.", "Give its role these there."
        )
    else:
        yield Finding("Channel", f"{channel.name}; the bot has the permissions it needs.")


async def _database(settings: Settings) -> Finding:
    try:
        database = await Database.open(settings.database_file)
    except DatabaseInUse:
        return Finding("Database", "A running bot is using it, as it should.")
    except BotError as error:
        return Finding("Database", error.sentence, error.next_step)
    await database.close()
    return Finding("Database", f"{settings.database_file} is there and up to date.")


def _destination(settings: Settings, owned: set[str]) -> Finding:
    if not settings.upload_blog_identifier:
        return Finding("Destination", "No blog is named for drafts.", "Set `upload_blog_identifier`.")
    try:
        blog = parse_identifier(settings.upload_blog_identifier)
    except BotError as error:
        return Finding("Destination", error.sentence, error.next_step)
    if blog not in owned:
        return Finding(
            "Destination",
            f"{blog} is not a blog of the connected account.",
            "Set `upload_blog_identifier` to one that is.",
        )
    return Finding("Destination", f"Approved drafts go to {blog}, as {settings.tumblr.upload_state}.")


def _names(blog: Blog) -> set[str]:
    """Everything that `parse_identifier` may make of what people call a blog; a custom domain stands in its address."""
    with suppress(BotError):
        return {blog.name, blog.uuid, parse_identifier(blog.url)}
    return {blog.name, blog.uuid}


async def _blog(app: App, name: str) -> Finding:
    try:
        async with asyncio.timeout(_SECONDS):
            blog = await app.tumblr.blog(parse_identifier(name))
    except BotError as error:
        return Finding(f"Blog {name}", error.sentence, error.next_step)
    except TimeoutError:
        return Finding(f"Blog {name}", "Tumblr did not answer.", "Check the network, and try again later.")
    return Finding(f"Blog {name}", f"There, with about {blog.post_count or 0:,} posts.")


async def _model(app: App, use: Use) -> Finding:
    subject = f"Model for {use.replace('_', '-')}"
    try:
        service = app.service(use)
        async with asyncio.timeout(_SECONDS):
            await describe_model(service)
    except BotError as error:
        return Finding(subject, error.sentence, error.next_step)
    except TimeoutError:
        return Finding(subject, "The service did not answer.", "Check `base_url` and the network.")
    return Finding(subject, f"{service.endpoint.model} is there.")
