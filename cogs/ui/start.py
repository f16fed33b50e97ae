"""Starting a stage: the same for a slash command and for the button that leads to the next one."""

from __future__ import annotations

from collections.abc import Mapping

import discord

from bot.client import Client
from bot.jobs.runner import JSON
from cogs.ui.buttons import require_channel
from cogs.ui.offer_button import offer_view
from cogs.ui.training_offer import offer_training
from cogs.ui.writing_offer import estimate_in_words, offer_embed

_STARTED = {
    "download": "The download has started.",
    "examples": "The training data is being made.",
    "moderate": "The screening has started.",
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
    if kind == "finetune":
        await offer_training(interaction)
        return
    await interaction.response.defer(ephemeral=True, thinking=True)
    require_channel(interaction)
    parameters = parameters or _defaults(interaction.client, kind)
    estimate = ""
    if kind == "generate":
        app = interaction.client.app
        plan = await app.jobs.plan_writing(parameters)
        if plan.offer_id is not None:
            shown, view = offer_embed(plan, app.settings.budget), offer_view("write", plan.offer_id)
            await interaction.followup.send(embed=shown, view=view, ephemeral=True)
            return
        estimate = estimate_in_words(plan, app.settings.budget)
    await _submit(interaction, kind, parameters, estimate)


def _defaults(client: Client, kind: str) -> dict[str, JSON]:
    return {"count": client.app.settings.draft_count} if kind == "generate" else {}


async def _submit(
    interaction: discord.Interaction[Client], kind: str, parameters: Mapping[str, JSON], estimate: str
) -> None:
    await interaction.client.app.runner.submit(
        kind,
        parameters,
        requested_by=interaction.user.display_name,
        requester_id=interaction.user.id,
        channel_id=interaction.channel_id,
    )
    said = (_STARTED[kind], estimate, "You can follow it in this channel.")
    await interaction.followup.send(" ".join(filter(None, said)), ephemeral=True)
