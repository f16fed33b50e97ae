"""Starting a stage: the same for a slash command and for the button that leads to the next one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self

import discord

from bot.client import PERMISSIONS, Client, is_permitted
from bot.errors import DiscordPermissionMissing
from bot.jobs.runner import JSON
from bot.pipeline.finetune import dataset_to_train, estimated_cost
from bot.store import spending
from cogs.ui.buttons import explained
from cogs.ui.limits import embed, foreign
from cogs.ui.screening_review import standing
from cogs.ui.words import dollars, money

_STARTED = {
    "download": "The download has started.",
    "examples": "The training data is being made.",
    "moderate": "The screening has started.",
    "finetune": "The training has started.",
    "generate": "The voice has begun to write.",
}


async def start_stage(
    interaction: discord.Interaction[Client], kind: str, parameters: Mapping[str, JSON] | None = None
) -> None:
    """Answer at once, then ask the job runner for the job. Its progress shows as an ordinary message in this channel.

    Raises:
        JobAlreadyRunning: one of this kind is under way.
        DiscordPermissionMissing: the bot could not show anything here.
    """
    if kind == "finetune" and not parameters:
        await offer_training(interaction, model=None, epochs=None)
        return
    await interaction.response.defer(ephemeral=True, thinking=True)
    _require_channel(interaction)
    await _submit(interaction, kind, parameters or _defaults(interaction.client, kind))


async def offer_training(interaction: discord.Interaction[Client], *, model: str | None, epochs: int | None) -> None:
    """Show what a training would use and cost, with *Start training*; nothing is sent or paid for before that press.

    Raises:
        NothingToDo: there is no dataset that could be trained on.
    """
    await interaction.response.defer(ephemeral=True, thinking=True)
    app = interaction.client.app
    settings = app.settings
    dataset = await dataset_to_train(app.database)
    model = model or settings.base_model
    epochs = epochs or settings.expected_epochs
    cost = estimated_cost(dataset, model, epochs, settings.token_price)
    budget = settings.budget
    used = await spending.used_this_month(app.database, app.clock())
    screening = await standing(app.database, dataset)
    service = app.settings.endpoint("fine_tuning").base_url.split("/")[2]
    offer = embed(
        title=f"Train a voice on dataset {dataset.id}?",
        description=_what_the_button_does(settings.job_id),
        fields=[
            ("Examples", f"{dataset.training_count:,}, and {dataset.held_out_count:,} held out", True),
            ("Screening", screening.words + ("" if screening.is_settled else "; /moderate does it"), True),
            ("Service", foreign(service), True),
            ("Model", foreign(model), True),
            ("Training", f"{dataset.tokens:,} tokens × {epochs} epochs", True),
            ("Cost", f"about {money(cost, budget)}, an estimate", True),
            ("Budget", f"{money(used, budget)} of {dollars(budget.monthly_limit)} used this month", True),
        ],
        footer="OpenAI takes no fine-tuning from new customers, and from nobody after 2027-01-06."
        " /generate works without training.",
    )
    view = discord.ui.View(timeout=None)
    view.add_item(TrainButton(dataset.id, epochs, model))
    await interaction.followup.send(embed=offer, view=view, ephemeral=True)


class TrainButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=r"train:(?P<dataset>\d+):(?P<epochs>\d+):(?P<model>.{1,70})",
):
    """Starts the training that was offered: this dataset, model and number of epochs."""

    def __init__(self, dataset_id: int, epochs: int, model: str) -> None:
        self.parameters: dict[str, JSON] = {"dataset_id": dataset_id, "epochs": epochs, "model": model}
        super().__init__(
            discord.ui.Button(
                label="Start training",
                style=discord.ButtonStyle.success,
                custom_id=f"train:{dataset_id}:{epochs}:{model}",
            )
        )

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction[Any], _item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(int(match["dataset"]), int(match["epochs"]), match["model"])

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        return await is_permitted(interaction)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await explained(interaction, start_stage(interaction, "finetune", self.parameters))


def _what_the_button_does(job_id: str) -> str:
    if job_id:
        return (
            f"The job {foreign(job_id)}, set as `job_id`, is under way at the service. The button follows it to its"
            " end; nothing is uploaded. Empty `job_id` in config.toml to train anew."
        )
    return "Nothing is uploaded or paid for before you press the button."


def _defaults(client: Client, kind: str) -> dict[str, JSON]:
    return {"count": client.app.settings.draft_count} if kind == "generate" else {}


async def _submit(interaction: discord.Interaction[Client], kind: str, parameters: Mapping[str, JSON]) -> None:
    await interaction.client.app.runner.submit(
        kind,
        parameters,
        requested_by=interaction.user.display_name,
        requester_id=interaction.user.id,
        channel_id=interaction.channel_id,
    )
    await interaction.followup.send(f"{_STARTED[kind]} You can follow it in this channel.", ephemeral=True)


def _require_channel(interaction: discord.Interaction[Client]) -> None:
    """Better to say so now than to work where nobody can see it."""
    missing = [name for name, needed in PERMISSIONS if needed and not getattr(interaction.app_permissions, name)]
    if missing:
        names = ", ".join(name.replace("_", " ") for name in missing)
        raise DiscordPermissionMissing(
            f"The bot lacks permissions in this channel: {names}.",
            "Give its role these permissions here, or use a channel where it has them.",
        )
