"""The discord.py client: loads the cogs, registers the commands, and turns errors into sentences."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from typing import Any

import aiohttp
import discord
from discord import app_commands
from discord.ext import commands

from bot import logs
from bot.app import App
from bot.errors import BotError, DecidersOnly, DiscordPermissionMissing, NotAllowed, OwnerOnly, UnexpectedFailure
from bot.jobs.background import report_unexpected
from bot.store.facts import get_fact, set_fact

_log = logging.getLogger(__name__)
# At DEBUG it writes every event as it came, and with it the keys that somebody types into a form.
logging.getLogger("discord.gateway").setLevel(logging.INFO)

COGS = (
    "cogs.download",
    "cogs.examples",
    "cogs.moderate",
    "cogs.finetune",
    "cogs.generate",
    "cogs.voices",
    "cogs.drafts",
    "cogs.status",
    "cogs.budget",
    "cogs.settings",
    "cogs.connect",
    "cogs.consent",
    "cogs.data",
)
_FINGERPRINT = "commands registered"

PERMISSIONS = discord.Permissions(
    view_channel=True, send_messages=True, embed_links=True, attach_files=True, read_message_history=True
)
"""The smallest set that works; the invite link asks for these."""

DISCORD_FAILURES = (discord.DiscordException, aiohttp.ClientError, OSError)
"""How a call to Discord fails: it said no, or there was no way to it (discord.py lets those pass as they are)."""


def invite_link(application_id: int) -> str:
    """The link that adds the bot to a server with `PERMISSIONS` and no more."""
    return discord.utils.oauth_url(application_id, permissions=PERMISSIONS, scopes=("bot", "applications.commands"))


class Tree(app_commands.CommandTree["Client"]):
    """One permission check and one error path for every command and its autocomplete."""

    async def interaction_check(self, interaction: discord.Interaction[Client], /) -> bool:
        return await is_permitted(interaction)

    async def on_error(self, interaction: discord.Interaction[Client], error: app_commands.AppCommandError, /) -> None:
        await explain(interaction, error)


class Client(commands.Bot):
    """The bot as Discord sees it. It needs no privileged intent."""

    def __init__(self, app: App) -> None:
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
            tree_cls=Tree,
        )
        self.app = app
        self._application_owners: frozenset[int] = frozenset()

    async def setup_hook(self) -> None:
        """Load the cogs and register the commands, before anything can be pressed."""
        self._application_owners = await self._owners_of_application()
        for name in COGS:
            await self.load_extension(name)
        await self._register_commands()

    async def on_ready(self) -> None:
        _log.info("Ready as %s.", self.user)
        guild_id = self.app.settings.discord.guild_id
        if guild_id is not None and self.get_guild(guild_id) is None and self.application_id:
            _log.warning(
                "The bot is not on the server %d. Add it with this link: %s",
                guild_id,
                invite_link(self.application_id),
            )

    async def on_command_error(self, context: commands.Context[Any], exception: commands.CommandError, /) -> None:
        """There are no commands in messages: a mention that looks like one is nothing to us."""

    def owns(self, user: discord.abc.User) -> bool:
        """Whether this person is an owner of the bot: named in the settings, or an owner of its application."""
        return user.id in self.app.settings.discord.owner_ids or user.id in self._application_owners

    def allows(self, user: discord.abc.User) -> bool:
        """Whether this person may use the bot: its owner, or somebody with a reviewer role in the one server."""
        settings = self.app.settings.discord
        if self.owns(user):
            return True
        if not isinstance(user, discord.Member) or user.guild.id != settings.guild_id:
            return False
        return any(role.id in settings.reviewer_role_ids for role in user.roles)

    def decides(self, user: discord.abc.User) -> bool:
        """Whether this person, who may use the bot, may decide about drafts too."""
        roles = self.app.settings.review.decider_role_ids
        if not roles or self.owns(user):
            return True
        return isinstance(user, discord.Member) and any(role.id in roles for role in user.roles)

    async def _owners_of_application(self) -> frozenset[int]:
        application = await self.application_info()
        if application.team is not None:
            owners = {
                member.id
                for member in application.team.members
                if member.membership_state is discord.TeamMembershipState.accepted
                and member.role in (discord.TeamMemberRole.admin, discord.TeamMemberRole.developer)
            }
            if application.team.owner_id is not None:
                owners.add(application.team.owner_id)
            return frozenset(owners)
        return frozenset({application.owner.id})

    async def _register_commands(self) -> None:
        """Register to the one server, and only when something changed: Discord limits how often that may be done."""
        guild_id = self.app.settings.discord.guild_id
        if guild_id is None:
            _log.warning("No server is configured: set `guild_id` under [discord].")
            return
        guild = discord.Object(guild_id)
        self.tree.copy_global_to(guild=guild)
        self.tree.clear_commands(guild=None)  # they live on the one server, and nowhere else
        payload = [command.to_dict(self.tree) for command in self.tree.get_commands(guild=guild)]
        described = json.dumps([self.application_id, guild_id, payload], sort_keys=True)
        fingerprint = hashlib.sha256(described.encode()).hexdigest()
        if await get_fact(self.app.database, _FINGERPRINT) == fingerprint:
            return
        try:
            await self.tree.sync(guild=guild)
        except discord.Forbidden:
            _log.error(
                "The commands could not be registered on server %d. Add the bot to it with this link, then start"
                " again: %s",
                guild_id,
                invite_link(self.application_id or 0),
            )
            return
        async with self.app.database.write() as connection:
            await set_fact(connection, _FINGERPRINT, fingerprint)


async def is_permitted(interaction: discord.Interaction[Client]) -> bool:
    """The one permission check: for commands, autocomplete, buttons, selects and forms.

    A stranger gets a private refusal, and is logged.
    """
    logs.reference.set(f"interaction {interaction.id}")
    if interaction.client.allows(interaction.user):
        return True
    _log.warning("A stranger (%d) was refused: %s.", interaction.user.id, interaction.type.name)
    await explain(interaction, NotAllowed())
    return False


def require_owner(interaction: discord.Interaction[Client]) -> None:
    """For what is the owner's alone: accounts, keys, consent.

    Raises:
        OwnerOnly: somebody else is acting.
    """
    if not interaction.client.owns(interaction.user):
        raise OwnerOnly


def require_decider(interaction: discord.Interaction[Client]) -> None:
    """For what changes a draft.

    Raises:
        DecidersOnly: somebody else is acting.
    """
    if not interaction.client.decides(interaction.user):
        raise DecidersOnly


async def explain(interaction: discord.Interaction[Client], error: BaseException) -> None:
    """The one error path: a private sentence with the next step for the person, and the log."""
    known = _as_bot_error(error)
    if not isinstance(known, UnexpectedFailure):
        _log.info("Said to %d: %s", interaction.user.id, known)
    if interaction.type is discord.InteractionType.autocomplete:
        return  # Discord shows no message there
    try:
        if interaction.response.is_done():
            await interaction.followup.send(str(known), ephemeral=True)
        else:
            await interaction.response.send_message(str(known), ephemeral=True)
    except DISCORD_FAILURES as failure:
        # The interaction has died (3 seconds, 15 minutes): the log is all that is left.
        _log.warning("An answer could not be delivered (%s): %s", failure_in_words(failure), known)


def failure_in_words(failure: BaseException) -> str:
    """One of `DISCORD_FAILURES` for the log, without the addresses and tokens that its own text may hold."""
    code = f" {failure.code}" if isinstance(failure, discord.HTTPException) else ""
    return f"{type(failure).__name__}{code}"


def _as_bot_error(error: BaseException) -> BotError:
    while isinstance(error, app_commands.CommandInvokeError):
        error = error.original
    if isinstance(error, BotError):
        return error
    if isinstance(error, discord.Forbidden):
        return DiscordPermissionMissing(
            "Discord does not let the bot do that here.",
            "Give it the permissions to view the channel, send messages, embed links, attach files and read history.",
        )
    return report_unexpected("an interaction", error)


def gateway_state(client: Client) -> tuple[bool, float | None]:
    """Whether the client is ready, and for how many seconds the gateway has not answered a heartbeat."""
    if not client.is_ready() or client.is_closed():
        return False, None
    # discord.py offers the last round trip, but not when it was; without the private field we know only the first.
    keeper = getattr(client.ws, "_keep_alive", None)
    answered = getattr(keeper, "_last_ack", None)
    return True, time.perf_counter() - answered if isinstance(answered, float) else None
