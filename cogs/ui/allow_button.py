"""The button of a job that stopped at the budget: more money for this month, and the job goes on."""

from __future__ import annotations

import math
import re
from typing import Self

import discord

from bot.client import Client
from bot.jobs.runner import Job
from bot.permissions import Level
from cogs.ui.buttons import person
from cogs.ui.items import DurableButton, view_of


class AllowButton(DurableButton, template=r"allow:(?P<job>\d{1,15}):(?P<dollars>\d{1,6})", needs=Level.OWNER):
    """Lets this month have more than its limit, and the job go on that stopped there. The owner's alone."""

    def __init__(self, job_id: int, amount: int) -> None:
        self.job_id = job_id
        self.amount = amount
        super().__init__(
            discord.ui.Button(
                label=f"Allow ${amount} more and go on",
                style=discord.ButtonStyle.primary,
                custom_id=f"allow:{job_id}:{amount}",
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(int(match["job"]), int(match["dollars"]))

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await interaction.client.app.jobs.allow_more(self.job_id, float(self.amount), person(interaction))
        await interaction.followup.send(
            f"This month may have ${self.amount} more, and the work goes on.", ephemeral=True
        )


def allow_view(job: Job) -> discord.ui.View | None:
    """A row with the button, for a job that would have passed the budget: whole dollars, enough for the next call."""
    if job.missing_dollars is None:
        return None
    return view_of(AllowButton(job.id, max(1, math.ceil(job.missing_dollars))))
