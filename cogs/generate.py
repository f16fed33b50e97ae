"""/generate: write drafts with the active voice."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client
from bot.jobs.runner import JSON
from cogs.ui.start import start_stage


class GenerateCog(commands.Cog):
    """The command of the writing stage."""

    @app_commands.command(
        name="generate", description="Write drafts in the blog's voice. Nothing is posted until you approve it."
    )
    @app_commands.describe(
        count="How many drafts. Left out: `draft_count` of config.toml.",
        prompt="What to ask the voice for. Left out: the prompt it was trained with.",
    )
    @app_commands.guild_only()
    async def generate(
        self,
        interaction: discord.Interaction[Client],
        count: app_commands.Range[int, 1, 200] | None = None,
        prompt: app_commands.Range[str, 1, 2000] | None = None,
    ) -> None:
        parameters: dict[str, JSON] = {"count": count or interaction.client.app.settings.draft_count}
        if prompt:
            parameters["prompt"] = prompt
        await start_stage(interaction, "generate", parameters)


async def setup(client: Client) -> None:
    await client.add_cog(GenerateCog())
