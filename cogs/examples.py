"""/examples: turn the downloaded posts into training data."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client, needs
from bot.permissions import Level
from cogs.ui.dataset_buttons import DatasetButton, PageButton, ReasonSelect
from cogs.ui.start import start_stage


class ExamplesCog(commands.Cog):
    """The command of the training data stage."""

    @needs(Level.REVIEWER)
    @app_commands.command(name="examples", description="Turn the downloaded posts into training data.")
    @app_commands.describe(fresh="Make it from the posts again, though the file was edited by hand.")
    @app_commands.guild_only()
    async def examples(self, interaction: discord.Interaction[Client], fresh: bool = False) -> None:  # noqa: FBT001, FBT002 - an option of a command
        await start_stage(interaction, "examples", {"fresh": True} if fresh else None)


async def setup(client: Client) -> None:
    client.add_dynamic_items(DatasetButton, ReasonSelect, PageButton)
    await client.add_cog(ExamplesCog())
