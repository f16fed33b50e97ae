"""/examples: turn the downloaded posts into training data."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client
from cogs.ui.start import start_stage


class ExamplesCog(commands.Cog):
    """The command of the training data stage."""

    @app_commands.command(name="examples", description="Turn the downloaded posts into training data.")
    @app_commands.guild_only()
    async def examples(self, interaction: discord.Interaction[Client]) -> None:
        await start_stage(interaction, "examples")


async def setup(client: Client) -> None:
    await client.add_cog(ExamplesCog())
