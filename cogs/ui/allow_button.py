"""The button of a job that stopped at the budget: more money for this month, and the job goes on."""

from __future__ import annotations

import math
import re
from typing import Any, Self

import discord

from bot.client import Client, is_permitted, require_owner
from bot.jobs.runner import Job
from cogs.ui.buttons import explained, person


class AllowButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"allow:(?P<job>\d{1,15}):(?P<dollars>\d{1,6})"
):
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
    async def from_custom_id(
        cls, _interaction: discord.Interaction[Any], _item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(int(match["job"]), int(match["dollars"]))

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        return await is_permitted(interaction)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await explained(interaction, self._pressed(interaction))

    async def _pressed(self, interaction: discord.Interaction[Client]) -> None:
        require_owner(interaction)
        await interaction.response.defer(ephemeral=True, thinking=True)
        await interaction.client.app.allow_more(self.job_id, float(self.amount), person(interaction))
        await interaction.followup.send(
            f"This month may have ${self.amount} more, and the work goes on.", ephemeral=True
        )


def allow_view(job: Job) -> discord.ui.View | None:
    """A row with the button, for a job that would have passed the budget: whole dollars, enough for the next call."""
    if job.missing_dollars is None:
        return None
    view = discord.ui.View(timeout=None)
    view.add_item(AllowButton(job.id, max(1, math.ceil(job.missing_dollars))))
    return view
