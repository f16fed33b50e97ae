"""/status: where everything stands, and the next step as a button; here the progress messages begin as well."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client, needs
from bot.permissions import Level
from cogs.ui.choice_buttons import ChoiceButton
from cogs.ui.next_step import NextStepButton
from cogs.ui.progress_message import ProgressMessages
from cogs.ui.status_message import StatusButton, status_message
from cogs.ui.stop_button import StopButton


class StatusCog(commands.Cog):
    """The overview's command."""

    @needs(Level.REVIEWER)
    @app_commands.command(name="status", description="Show where everything stands, and what comes next.")
    @app_commands.guild_only()
    async def status(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        shown, view = await status_message(interaction.client)
        await interaction.followup.send(embed=shown, view=view, ephemeral=True)


async def setup(client: Client) -> None:
    client.add_dynamic_items(NextStepButton, StopButton, ChoiceButton, StatusButton)
    await client.add_cog(StatusCog())
    messages = ProgressMessages(client, edit_interval=client.app.pace.message_edit, clock=client.app.clock)
    client.app.runner.set_face(messages.show)
