"""The button that goes on to the next stage, so that the pipeline can be walked with a thumb."""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from bot.client import is_permitted
from bot.jobs.runner import Job, JobState
from cogs.ui.buttons import explained
from cogs.ui.start import start_stage

_LABELS = {
    "download": "Download posts",
    "examples": "Make training data",
    "moderate": "Screen it",
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


class NextStepButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"next:(?P<kind>[a-z]+)"):
    """Starts a stage as its slash command without options would."""

    def __init__(self, kind: str, label: str = "") -> None:
        self.kind = kind
        super().__init__(
            discord.ui.Button(
                label=label or _LABELS.get(kind, kind), style=discord.ButtonStyle.primary, custom_id=f"next:{kind}"
            )
        )

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction[Any], _item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["kind"])

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        return await is_permitted(interaction)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await explained(interaction, start_stage(interaction, self.kind))


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
    """A row with a button for each of these stages."""
    view = discord.ui.View(timeout=None)
    for kind in kinds:
        view.add_item(NextStepButton(kind))
    return view
