"""What every button and form shares: the one error path, who pressed, and whether the bot can show anything here."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import discord

from bot.client import PERMISSIONS, explain
from bot.drafts import Person
from bot.errors import DiscordPermissionMissing


async def explained(interaction: discord.Interaction[Any], work: Coroutine[Any, Any, None]) -> None:
    """Do what a `DynamicItem` was pressed for, with the one error path: discord.py would only log what goes wrong."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - everything goes to the one error path
        await explain(interaction, error)


def person(interaction: discord.Interaction[Any]) -> Person:
    """Who is acting, for the record."""
    return Person(interaction.user.id, interaction.user.display_name)


def require_channel(interaction: discord.Interaction[Any]) -> None:
    """Better to say so now than to work where nobody can see it."""
    missing = [name for name, needed in PERMISSIONS if needed and not getattr(interaction.app_permissions, name)]
    if missing:
        names = ", ".join(name.replace("_", " ") for name in missing)
        raise DiscordPermissionMissing(
            f"The bot lacks permissions in this channel: {names}.",
            "Give its role these permissions here, or use a channel where it has them.",
        )
