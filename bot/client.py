"""The discord.py client: loads the cogs, registers the commands, and turns errors into sentences."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiohttp
import discord
from discord import app_commands
from discord.ext import commands

from bot import logs
from bot.app import App
from bot.errors import BotError, DiscordPermissionMissing, NotAllowed, NotKnownHere, UnexpectedFailure
from bot.health import Gateway
from bot.jobs.background import report_unexpected
from bot.permissions import Actor, Level, Rule, refusal
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
    "cogs.care",
)
_FINGERPRINT = "commands registered"
_NEEDS = "needs"
_AnyCommand = TypeVar("_AnyCommand", bound="app_commands.Command[Any, ..., Any]")

PERMISSIONS = discord.Permissions(
    view_channel=True, send_messages=True, embed_links=True, attach_files=True, read_message_history=True
)
"""The smallest set that works; the invite link asks for these."""

DISCORD_FAILURES = (discord.DiscordException, aiohttp.ClientError, OSError)
"""How a call to Discord fails: it said no, or there was no way to it (discord.py lets those pass as they are)."""


def invite_link(application_id: int) -> str:
    """The link that adds the bot to a server with `PERMISSIONS` and no more."""
    return discord.utils.oauth_url(application_id, permissions=PERMISSIONS, scopes=("bot", "applications.commands"))


def needs(level: Level) -> Callable[[_AnyCommand], _AnyCommand]:
    """Say, above a command, what level it needs; its autocomplete needs the same."""

    def declare(command: _AnyCommand) -> _AnyCommand:
        command.extras[_NEEDS] = level
        return command

    return declare


def level_needed(command: object) -> Level | None:
    """What a command has declared with `needs`."""
    declared = command.extras.get(_NEEDS) if isinstance(command, app_commands.Command) else None
    return declared if isinstance(declared, Level) else None


class Tree(app_commands.CommandTree["Client"]):
    """One permission check and one error path for every command and its autocomplete.

    Discord's own `default_member_permissions` stay unset: reviewers are named by roles in the settings, of which
    Discord knows nothing, and to administer a server is no reason to be let in here.
    """

    async def interaction_check(self, interaction: discord.Interaction[Client], /) -> bool:
        # A command that has declared nothing is the owner's.
        return await is_permitted(interaction, level_needed(interaction.command) or Level.OWNER)

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
        self.durable_items: list[type[discord.ui.DynamicItem[discord.ui.Item[Any]]]] = []
        self.forms: dict[re.Pattern[str], Callable[[discord.Interaction[Client], re.Match[str]], Awaitable[None]]] = {}
        """What takes a form, by the pattern of its id. discord.py keeps forms in memory, where a restart loses them."""
        self._application_owners: frozenset[int] = frozenset()
        self._away_since: float | None = None
        """When the connection to the gateway was lost, on the monotonic clock. None: it stands, or never stood."""

    async def setup_hook(self) -> None:
        """Load the cogs and register the commands, before anything can be pressed."""
        self._application_owners = await self._owners_of_application()
        for name in COGS:
            await self.load_extension(name)
        await self.register_commands()

    @property
    def away_seconds(self) -> float:
        """For how long the connection to the gateway has been lost; 0 while it stands, and before it first stood."""
        return 0.0 if self._away_since is None else time.monotonic() - self._away_since

    async def on_disconnect(self) -> None:
        """The connection was lost, or another try to get it back has failed."""
        if self._away_since is None:
            self._away_since = time.monotonic()

    async def on_resumed(self) -> None:
        """The connection is back, with nothing missed."""
        self._away_since = None

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Whoever removes the bot from the server removes its commands."""
        if guild.id == self.app.settings.discord.guild_id:
            await self.register_commands(again=True)

    async def on_ready(self) -> None:
        self._away_since = None
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

    @property
    def rule(self) -> Rule:
        """Who may do what and where, as the settings have it now. Who owns the bot's application owns the bot."""
        discord_settings = self.app.settings.discord
        guild = self.get_guild(discord_settings.guild_id) if discord_settings.guild_id is not None else None
        channel_id = discord_settings.channel_id
        if channel_id is not None and guild is not None and not guild.unavailable:
            # Where it was deleted any other will do, or nobody could name a new one with /config.
            channel_id = channel_id if guild.get_channel_or_thread(channel_id) is not None else None
        return Rule(
            guild_id=discord_settings.guild_id,
            channel_id=channel_id,
            owner_ids=self._application_owners.union(discord_settings.owner_ids),
            reviewer_role_ids=frozenset(discord_settings.reviewer_role_ids),
            decider_role_ids=frozenset(self.app.settings.review.decider_role_ids),
        )

    def add_dynamic_items(self, *items: type[discord.ui.DynamicItem[discord.ui.Item[Any]]]) -> None:
        super().add_dynamic_items(*items)
        self.durable_items += items

    async def on_interaction(self, interaction: discord.Interaction[Client]) -> None:
        """Give forms to who takes them, and a sentence to presses that nobody takes: discord.py would say nothing."""
        custom_id = interaction.custom_id
        if custom_id is None:
            return
        if interaction.type is discord.InteractionType.modal_submit:
            for template, receive in self.forms.items():
                found = template.fullmatch(custom_id)
                if found is not None:
                    await receive(interaction, found)
                    return
        elif any(item.__discord_ui_compiled_template__.fullmatch(custom_id) for item in self.durable_items):
            return  # discord.py calls it
        if await is_permitted(interaction, Level.REVIEWER):
            await explain(
                interaction,
                NotKnownHere("The bot does not know this button or form any more.", "Use the command again."),
            )

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

    async def register_commands(self, *, again: bool = False) -> None:
        """Register to the one server, and only when something changed: Discord limits how often that may be done.

        `again` does it even so: the server may have lost them.
        """
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
        if not again and await get_fact(self.app.database, _FINGERPRINT) == fingerprint:
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


def actor_of(interaction: discord.Interaction[Client]) -> Actor:
    """Who acts, and where, as the permission rule sees it."""
    user, channel = interaction.user, interaction.channel
    return Actor(
        user_id=user.id,
        role_ids=frozenset(role.id for role in user.roles) if isinstance(user, discord.Member) else frozenset(),
        guild_id=interaction.guild_id,
        channel_id=interaction.channel_id,
        parent_id=channel.parent_id if isinstance(channel, discord.Thread) else None,
        on_message=interaction.type in (discord.InteractionType.component, discord.InteractionType.modal_submit),
    )


async def is_permitted(interaction: discord.Interaction[Client], needed: Level) -> bool:
    """The one permission check: for commands, autocomplete, buttons, selects and forms.

    Who may not gets a private refusal, or nothing to choose from; a stranger is logged.
    """
    logs.reference.set(f"interaction {interaction.id}")
    refused = refusal(actor_of(interaction), interaction.client.rule, needed)
    if refused is None:
        return True
    if isinstance(refused, NotAllowed):
        _log.warning("A stranger (%d) was refused: %s.", interaction.user.id, interaction.type.name)
    await explain(interaction, refused)
    return False


async def explain(interaction: discord.Interaction[Client], error: BaseException) -> None:
    """The one error path: a private sentence with the next step for the person, and the log."""
    known = _as_bot_error(error)
    if not isinstance(known, UnexpectedFailure):
        _log.info("Said to %d: %s", interaction.user.id, known)
    try:
        if interaction.type is discord.InteractionType.autocomplete:  # Discord shows no message there
            if not interaction.response.is_done():
                await interaction.response.autocomplete([])
        elif interaction.response.is_done():
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
    if isinstance(error, app_commands.CommandNotFound | app_commands.CommandSignatureMismatch):
        return NotKnownHere(
            "The bot has changed since Discord showed this command.", "Reload Discord, and use it again."
        )
    return report_unexpected("an interaction", error)


def gateway_state(client: Client) -> Gateway:
    """Whether the client has been ready, how long it has been away, and how long the gateway has been silent."""
    if not client.is_ready() or client.is_closed():
        return Gateway(ready=False)
    # discord.py offers the last round trip, but not when it was; without the private field we know only the first.
    keeper = getattr(client.ws, "_keep_alive", None)
    answered = getattr(keeper, "_last_ack", None)
    silence = time.perf_counter() - answered if isinstance(answered, float) else None
    return Gateway(ready=True, away=client.away_seconds, silence=silence)
