"""The button that goes on to the next stage, so that the pipeline can be walked with a thumb."""

from __future__ import annotations

import re
from typing import Self

import discord

from bot.client import Client
from bot.jobs.runner import Job, JobState
from bot.permissions import Level
from cogs.ui.items import DurableButton, view_of
from cogs.ui.start import start_stage

_LABELS = {
    "download": "Download posts",
    "examples": "Make training data",
    "moderate": "Screen training data",
    "finetune": "Train a voice",
    "generate": "Write drafts",
}
_REMEDY = re.compile(rf"/({'|'.join(_LABELS)})\b")
_AFTER = {
    "download": ("examples",),
    "examples": ("moderate",),
    "moderate": ("finetune", "generate"),
    "finetune": ("generate",),
}


class NextStepButton(DurableButton, template=rf"next:(?P<kind>{'|'.join(_LABELS)})", needs=Level.REVIEWER):
    """Starts a stage as its slash command without options would. Of several in a row one is the likeliest."""

    def __init__(self, kind: str, label: str = "", *, is_likeliest: bool = True) -> None:
        self.kind = kind
        style = discord.ButtonStyle.primary if is_likeliest else discord.ButtonStyle.secondary
        super().__init__(discord.ui.Button(label=label or _LABELS[kind], style=style, custom_id=f"next:{kind}"))

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(match["kind"])

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await start_stage(interaction, self.kind)


def next_step_view(job: Job) -> discord.ui.View | None:
    """What follows a finished stage; after a failure the stage that its sentence names, then the same again."""
    if job.state is JobState.SUCCEEDED:
        kinds = _AFTER.get(job.kind, ())
    else:
        remedy = _REMEDY.search(job.error or "")
        kinds = tuple(dict.fromkeys((remedy[1], job.kind))) if remedy else (job.kind,)
    kinds = tuple(kind for kind in kinds if kind in _LABELS)  # a comparison is no stage that begins without options
    return step_view(*kinds) if kinds else None


def step_view(*kinds: str) -> discord.ui.View:
    """A row with a button for each of these stages, the likeliest first."""
    return view_of(*(NextStepButton(kind, is_likeliest=kind == kinds[0]) for kind in kinds))
