"""/finetune: train a voice, after showing what that would use and cost."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client
from cogs.ui.start import TrainButton, offer_training


class FinetuneCog(commands.Cog):
    """The command of the training stage."""

    @app_commands.command(
        name="finetune", description="Show what training a voice would cost, and start it with a button."
    )
    @app_commands.describe(
        model="The model to train. Left out: `base_model` of config.toml.",
        epochs="How often each example is seen. Left out: `expected_epochs` of config.toml.",
    )
    @app_commands.guild_only()
    async def finetune(
        self,
        interaction: discord.Interaction[Client],
        model: app_commands.Range[str, 1, 70] | None = None,
        epochs: app_commands.Range[int, 1, 50] | None = None,
    ) -> None:
        await offer_training(interaction, model=model, epochs=epochs)


async def setup(client: Client) -> None:
    client.add_dynamic_items(TrainButton)
    await client.add_cog(FinetuneCog())
