"""What every button and form shares: the one error path, and who pressed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import discord

from bot.client import explain
from bot.drafts import Person


async def explained(interaction: discord.Interaction[Any], work: Coroutine[Any, Any, None]) -> None:
    """Do what a `DynamicItem` was pressed for, with the one error path: discord.py would only log what goes wrong."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - everything goes to the one error path
        await explain(interaction, error)


def person(interaction: discord.Interaction[Any]) -> Person:
    """Who is acting, for the record."""
    return Person(interaction.user.id, interaction.user.display_name)
