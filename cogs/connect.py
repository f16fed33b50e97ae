"""/connect: the Tumblr account that the bot works with."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client, needs
from bot.permissions import Level
from cogs.ui.connecting import KEYS_FORM, PASTE_FORM, BlogSelect, ConnectButton, offer_connection, show_connection
from cogs.ui.items import add_forms


class ConnectCog(commands.Cog):
    """The account's commands."""

    connect = app_commands.Group(
        name="connect", description="The Tumblr account that the bot works with.", guild_only=True
    )

    @needs(Level.OWNER)
    @connect.command(name="tumblr", description="Connect your Tumblr account, or another one.")
    async def tumblr(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await offer_connection(interaction)

    @needs(Level.OWNER)
    @connect.command(name="show", description="Show which account is connected, test it, or disconnect it.")
    async def show(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await show_connection(interaction)


async def setup(client: Client) -> None:
    client.add_dynamic_items(ConnectButton, BlogSelect)
    add_forms(client, KEYS_FORM, PASTE_FORM)
    await client.add_cog(ConnectCog())
