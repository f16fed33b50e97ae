"""/status as a message: where everything stands, the jobs that can be cancelled, and the next step as a button."""

from __future__ import annotations

import re
from typing import Self

import discord

from bot.client import Client, gateway_state
from bot.errors import command_of
from bot.jobs.runner import JobState
from bot.overview import Overview, look
from bot.permissions import Level
from cogs.ui.buttons import person
from cogs.ui.draft_review import begin_review
from cogs.ui.items import DurableButton, view_of
from cogs.ui.limits import BUTTON_LABEL, cut
from cogs.ui.next_step import NextStepButton
from cogs.ui.status_embed import render

_SILENT_AFTER = 60.0  # seconds without an answer to a heartbeat; Discord asks for one every 41


async def status_message(client: Client, notice: str = "") -> tuple[discord.Embed, discord.ui.View]:
    """The message as everything stands now; `notice` says what a press has just done."""
    seen = await look(client.app)
    return render(seen, _connection(client), client.app.settings.discord.guild_id, notice), _view(seen)


def _connection(client: Client) -> str:
    gateway = gateway_state(client)
    if not gateway.ready or gateway.away:
        return "connecting to Discord"
    if gateway.silence is not None and gateway.silence > _SILENT_AFTER:
        return f"Discord silent for {gateway.silence:,.0f} s"
    return "connected to Discord"


class StatusButton(
    DurableButton, template=r"status:(?P<action>refresh|review|cancel)(?::(?P<job>\d{1,15}))?", needs=Level.REVIEWER
):
    """Draws the message anew, begins a review of drafts, or cancels a job and draws the message anew."""

    def __init__(self, action: str, label: str = "", job_id: int = 0, row: int | None = None) -> None:
        self.action = action
        self.job_id = job_id
        is_next = action == "review"
        super().__init__(
            discord.ui.Button(
                label=cut(label, BUTTON_LABEL) or action.capitalize(),
                style=discord.ButtonStyle.primary if is_next else discord.ButtonStyle.secondary,
                custom_id=f"status:{action}:{job_id}" if job_id else f"status:{action}",
                row=row,
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(match["action"], job_id=int(match["job"] or 0))

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await (self._review if self.action == "review" else self._redraw)(interaction)

    async def _review(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await begin_review(interaction)

    async def _redraw(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer()
        notice = await self._cancelled(interaction) if self.action == "cancel" else ""
        shown, view = await status_message(interaction.client, notice)
        await interaction.edit_original_response(embed=shown, view=view)

    async def _cancelled(self, interaction: discord.Interaction[Client]) -> str:
        """Cancel the job, and say what came of it."""
        app = interaction.client.app
        before = await app.runner.get(self.job_id)
        if before is None or (before.state.is_final and before.state is not JobState.FAILED):
            return "That job has already ended."
        await app.jobs.cancel(self.job_id, person(interaction), failed_too=True)
        return f"/{command_of(before.kind)} is cancelled. What was done until now is kept."


def _view(seen: Overview) -> discord.ui.View:
    view = view_of()
    if seen.next_step == "review":
        view.add_item(StatusButton("review", "Review drafts", row=0))
    elif not seen.is_next_at_work:
        view.add_item(NextStepButton(seen.next_step))
    view.add_item(StatusButton("refresh", row=0))
    # One job of each kind at most: with those of a later version too they fit into the rows that are left.
    for number, job in enumerate([*seen.working, *seen.failed][:20]):
        view.add_item(StatusButton("cancel", f"Cancel /{command_of(job.kind)}", job.id, row=1 + number // 5))
    return view
