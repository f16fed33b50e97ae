"""/budget: what was spent on what, and what is left."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client, needs
from bot.permissions import Level
from bot.store import spending
from cogs.ui.budget_message import budget_message


class BudgetCog(commands.Cog):
    """The command of the money."""

    @needs(Level.REVIEWER)
    @app_commands.command(name="budget", description="Show what this month and today have cost, and what is left.")
    @app_commands.guild_only()
    async def budget(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        app = interaction.client.app
        budget, now = app.settings.budget, app.clock()
        standing = await spending.standing(app.database, budget.monthly_limit, budget.caps, now)
        purposes = await spending.parts_of_month(app.database, "purpose", now)
        models = await spending.parts_of_month(app.database, "model", now)
        await interaction.followup.send(embed=budget_message(standing, purposes, models, budget), ephemeral=True)


async def setup(client: Client) -> None:
    await client.add_cog(BudgetCog())
