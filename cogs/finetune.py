"""/finetune: train a voice, after showing what that would use and cost."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client, needs
from bot.permissions import Level
from cogs.ui.allow_button import AllowButton
from cogs.ui.items import add_forms
from cogs.ui.offer_button import OfferButton
from cogs.ui.training_buttons import OPTION_FORM, TrainingButton
from cogs.ui.training_offer import offer_training


class FinetuneCog(commands.Cog):
    """The command of the training stage."""

    @needs(Level.REVIEWER)
    @app_commands.command(
        name="finetune", description="Show what training a voice would cost, and start it with a button."
    )
    @app_commands.describe(
        model="The model to train. Left out: the one set in config.toml.",
        epochs="How often each example is seen. Left out: `expected_epochs` of config.toml.",
        suffix="A word of yours in the name of the new model.",
        dataset="The number of the dataset to train on. Left out: the newest.",
        activate="Whether the new voice writes from then on. Left out: yes.",
    )
    @app_commands.guild_only()
    async def finetune(
        self,
        interaction: discord.Interaction[Client],
        model: app_commands.Range[str, 1, 200] | None = None,
        epochs: app_commands.Range[int, 1, 50] | None = None,
        suffix: app_commands.Range[str, 1, 64] | None = None,
        dataset: app_commands.Range[int, 1] | None = None,
        activate: bool = True,  # noqa: FBT001, FBT002 - an option of a command
    ) -> None:
        await offer_training(
            interaction, model=model, epochs=epochs, suffix=suffix, dataset_id=dataset, activate=activate
        )


async def setup(client: Client) -> None:
    client.add_dynamic_items(OfferButton, TrainingButton, AllowButton)
    add_forms(client, OPTION_FORM)
    await client.add_cog(FinetuneCog())
