"""The button that stops a job."""

from __future__ import annotations

import re
from typing import Self

import discord

from bot.client import Client
from bot.jobs.runner import JobState
from bot.permissions import Level
from cogs.ui.buttons import person
from cogs.ui.items import DurableButton, view_of


class StopButton(DurableButton, template=r"job:(?P<id>\d{1,15}):stop", needs=Level.REVIEWER):
    """Stops one job. A training is then cancelled at its service as well: this press is the recorded act."""

    def __init__(self, job_id: int) -> None:
        self.job_id = job_id
        super().__init__(
            discord.ui.Button(label="Stop", style=discord.ButtonStyle.secondary, custom_id=f"job:{job_id}:stop")
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(int(match["id"]))

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        job = await interaction.client.app.jobs.cancel(self.job_id, person(interaction))
        if job is None or (job.state.is_final and job.state is not JobState.CANCELLED):
            text = "That job has already ended."
        elif job.kind == "finetune":
            text = "It is being stopped, and the training cancelled at its service."
        else:
            text = "It is being stopped. What was done until now is kept."
        await interaction.followup.send(text, ephemeral=True)


def stop_view(job_id: int) -> discord.ui.View:
    """A row with the *Stop* button."""
    return view_of(StopButton(job_id))
