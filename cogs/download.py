"""/download: bring the blog's posts here."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client, needs
from bot.permissions import Level
from bot.tumblr.identifiers import parse_identifier
from cogs.ui.complete import complete_blogs
from cogs.ui.start import start_stage


class DownloadCog(commands.Cog):
    """The download's command."""

    @needs(Level.REVIEWER)
    @app_commands.command(
        name="download", description="Download the posts of your blog, or what is new since last time."
    )
    @app_commands.describe(
        blogs="One or several blogs, separated by spaces. Left out: those set in config.toml.",
        full="Look at every post again, to find what was edited, back-dated or deleted. A large blog takes long.",
    )
    @app_commands.guild_only()
    async def download(
        self,
        interaction: discord.Interaction[Client],
        blogs: app_commands.Range[str, 1, 500] | None = None,
        full: bool = False,  # noqa: FBT001, FBT002 - an option of a command
    ) -> None:
        names = [parse_identifier(name) for name in (blogs or "").replace(",", " ").split()]
        await start_stage(interaction, "download", {"blogs": names, "full": full})

    @download.autocomplete("blogs")
    async def _complete(self, interaction: discord.Interaction[Client], typed: str) -> list[app_commands.Choice[str]]:
        return complete_blogs(typed, await interaction.client.app.known_blogs())


async def setup(client: Client) -> None:
    await client.add_cog(DownloadCog())
