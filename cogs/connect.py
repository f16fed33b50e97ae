"""/connect: the Tumblr account that the bot works with."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client, require_owner
from cogs.ui.connecting import BlogSelect, ConnectButton, offer_connection, receive_form, show_connection


class ConnectCog(commands.Cog):
    """The account's commands, and its forms."""

    connect = app_commands.Group(
        name="connect", description="The Tumblr account that the bot works with.", guild_only=True
    )

    @connect.command(name="tumblr", description="Connect your Tumblr account, or another one.")
    async def tumblr(self, interaction: discord.Interaction[Client]) -> None:
        require_owner(interaction)
        await interaction.response.defer(ephemeral=True, thinking=True)
        await offer_connection(interaction)

    @connect.command(name="show", description="Show which account is connected, test it, or disconnect it.")
    async def show(self, interaction: discord.Interaction[Client]) -> None:
        require_owner(interaction)
        await interaction.response.defer(ephemeral=True, thinking=True)
        await show_connection(interaction)

    @commands.Cog.listener()
    async def on_interaction(self, interaction: discord.Interaction[Client]) -> None:
        await receive_form(interaction)


async def setup(client: Client) -> None:
    client.add_dynamic_items(ConnectButton, BlogSelect)
    await client.add_cog(ConnectCog())
