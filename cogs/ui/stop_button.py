"""The button that stops a job."""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from bot.client import Client, is_permitted
from bot.jobs.runner import JobState
from cogs.ui.buttons import explained, person


class StopButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"job:(?P<id>\d+):stop"):
    """Stops one job. A training is then cancelled at its service as well: this press is the recorded act."""

    def __init__(self, job_id: int) -> None:
        self.job_id = job_id
        super().__init__(
            discord.ui.Button(label="Stop", style=discord.ButtonStyle.secondary, custom_id=f"job:{job_id}:stop")
        )

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction[Any], _item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(int(match["id"]))

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        return await is_permitted(interaction)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await explained(interaction, self._pressed(interaction))

    async def _pressed(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        job = await interaction.client.app.cancel_job(self.job_id, person(interaction))
        if job is None or (job.state.is_final and job.state is not JobState.CANCELLED):
            text = "That job has already ended."
        else:
            text = "It is being stopped. What was done until now is kept."
        await interaction.followup.send(text, ephemeral=True)


def stop_view(job_id: int) -> discord.ui.View:
    """A row with the *Stop* button."""
    view = discord.ui.View(timeout=None)
    view.add_item(StopButton(job_id))
    return view
