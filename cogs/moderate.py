"""/moderate: screen the training data, and set aside what would be refused."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client
from cogs.ui.start import start_stage


class ModerateCog(commands.Cog):
    """The command of the screening stage."""

    @app_commands.command(name="moderate", description="Screen the training data, and set aside what would be refused.")
    @app_commands.guild_only()
    async def moderate(self, interaction: discord.Interaction[Client]) -> None:
        await start_stage(interaction, "moderate")


async def setup(client: Client) -> None:
    await client.add_cog(ModerateCog())
