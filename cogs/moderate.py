"""/moderate: screen the training data, and decide about what was flagged."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client, needs
from bot.permissions import Level
from cogs.ui.items import add_forms
from cogs.ui.screening_buttons import THRESHOLD_FORM, CategorySelect, ScreeningButton
from cogs.ui.start import start_stage


class ModerateCog(commands.Cog):
    """The command of the screening stage."""

    @needs(Level.REVIEWER)
    @app_commands.command(name="moderate", description="Screen the training data, and set aside what is flagged.")
    @app_commands.describe(batch="Hand everything to the service's batch queue; it takes up to a day.")
    @app_commands.guild_only()
    async def moderate(
        self,
        interaction: discord.Interaction[Client],
        batch: bool = False,  # noqa: FBT001, FBT002 - an option of a command
    ) -> None:
        await start_stage(interaction, "moderate", {"batch": True} if batch else None)


async def setup(client: Client) -> None:
    client.add_dynamic_items(ScreeningButton, CategorySelect)
    add_forms(client, THRESHOLD_FORM)
    await client.add_cog(ModerateCog())
