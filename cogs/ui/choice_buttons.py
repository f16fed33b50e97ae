"""Buttons for what a stage left for a person to say; what each starts is kept with the job, not in its id."""

from __future__ import annotations

import re
from typing import Self

import discord

from bot.client import Client
from bot.errors import NothingToDo
from bot.jobs.runner import Job
from bot.permissions import Level
from cogs.ui.items import DurableButton, view_of
from cogs.ui.limits import BUTTON_LABEL, cut
from cogs.ui.start import start_stage


class ChoiceButton(DurableButton, template=r"choose:(?P<job>\d{1,15}):(?P<number>\d{1,9})", needs=Level.REVIEWER):
    """Starts what the job's last progress offers under this number."""

    def __init__(self, job_id: int, number: int, label: str = "") -> None:
        self.job_id = job_id
        self.number = number
        super().__init__(
            discord.ui.Button(
                label=cut(label, BUTTON_LABEL) or "Choose",
                style=discord.ButtonStyle.primary,
                custom_id=f"choose:{job_id}:{number}",
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(int(match["job"]), int(match["number"]))

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        job = await interaction.client.app.runner.get(self.job_id)
        choices = job.progress.choices if job is not None and job.progress is not None else ()
        if self.number >= len(choices):
            raise NothingToDo("There is nothing to choose here any more.", "Use the command again.")
        choice = choices[self.number]
        await start_stage(interaction, choice.kind, choice.parameters)


def choice_view(job: Job) -> discord.ui.View | None:
    """A row with a button for each choice that a job left, or None."""
    if job.progress is None or not job.progress.choices:
        return None
    return view_of(
        *(ChoiceButton(job.id, number, choice.label) for number, choice in enumerate(job.progress.choices[:25]))
    )
