"""/generate: write drafts with a voice."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client, needs
from bot.jobs.runner import JSON
from bot.permissions import Level
from cogs.ui.complete import complete_voices
from cogs.ui.start import start_stage


class GenerateCog(commands.Cog):
    """The command of the writing stage."""

    @needs(Level.REVIEWER)
    @app_commands.command(
        name="generate", description="Write drafts in the blog's voice. Nothing is posted until you approve it."
    )
    @app_commands.describe(
        count="How many drafts. Left out: `draft_count` of config.toml.",
        prompt="What to ask the voice for. Left out: the prompt it was trained with.",
        voice="The voice, by its number or name. Left out: the one that writes now.",
        reblog="Whether every draft reblogs a post, or none does. Left out: as often as `reblog_chance` says.",
        tags="Whether every draft gets tags, or none does. Left out: as often as `tags_chance` says.",
    )
    @app_commands.guild_only()
    async def generate(
        self,
        interaction: discord.Interaction[Client],
        count: app_commands.Range[int, 1, 200] | None = None,
        prompt: app_commands.Range[str, 1, 2000] | None = None,
        voice: app_commands.Range[str, 1, 100] | None = None,
        reblog: bool | None = None,  # noqa: FBT001 - an option of a command
        tags: bool | None = None,  # noqa: FBT001 - an option of a command
    ) -> None:
        wanted: dict[str, JSON] = {"prompt": prompt, "voice": voice, "reblog": reblog, "tags": tags}
        parameters: dict[str, JSON] = {name: value for name, value in wanted.items() if value is not None}
        parameters["count"] = count or interaction.client.app.settings.draft_count
        await start_stage(interaction, "generate", parameters)

    @generate.autocomplete("voice")
    async def _complete(self, interaction: discord.Interaction[Client], typed: str) -> list[app_commands.Choice[str]]:
        return await complete_voices(interaction.client.app.register, typed)


async def setup(client: Client) -> None:
    await client.add_cog(GenerateCog())
