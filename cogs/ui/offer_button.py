"""The buttons of an offer: one press begins a training, or a large run of /generate, whose price was shown before."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

import discord

from bot.client import DISCORD_FAILURES, Client, failure_in_words
from bot.drafts import Person
from bot.errors import NothingToDo
from bot.job_desk import JobDesk
from bot.permissions import Level
from cogs.ui.buttons import person, require_channel
from cogs.ui.items import DurableButton, view_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Offer:
    """What can be offered: its button, what begins it, and what is said then."""

    label: str
    start: Callable[[JobDesk, int, Person, int | None], Awaitable[object]]
    is_begun: Callable[[JobDesk, int], Awaitable[bool]]
    begun: str
    cancelled: str


_OFFERS = {
    "train": _Offer(
        label="Start training",
        start=JobDesk.start_training,
        is_begun=JobDesk.is_training_begun,
        begun="The training has started. You can follow it in this channel.",
        cancelled="Nothing was begun, uploaded or paid for.",
    ),
    "write": _Offer(
        label="Start writing",
        start=JobDesk.start_writing,
        is_begun=JobDesk.is_writing_begun,
        begun="The voice has begun to write. You can follow it in this channel.",
        cancelled="Nothing was begun or paid for.",
    ),
}


class OfferButton(
    DurableButton,
    template=rf"(?P<kind>{'|'.join(_OFFERS)}):(?P<offer>\d{{1,15}}):(?P<action>start|cancel)",
    needs=Level.REVIEWER,
):
    """Begins what was offered, or says that nothing was begun."""

    def __init__(self, kind: str, offer_id: int, action: str, label: str = "") -> None:
        self.offer = _OFFERS[kind]
        self.offer_id = offer_id
        self.action = action
        starts = action == "start"
        super().__init__(
            discord.ui.Button(
                label=(label or self.offer.label) if starts else "Cancel",
                style=discord.ButtonStyle.success if starts else discord.ButtonStyle.secondary,
                custom_id=f"{kind}:{offer_id}:{action}",
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(match["kind"], int(match["offer"]), match["action"])

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer()
        desk = interaction.client.app.jobs
        if self.action == "cancel":
            if await self.offer.is_begun(desk, self.offer_id):
                raise NothingToDo("This was begun already.", "*Stop*, below the message that shows it, ends it.")
            await interaction.edit_original_response(content=self.offer.cancelled, embed=None, view=None)
            return
        require_channel(interaction)
        await self.offer.start(desk, self.offer_id, person(interaction), interaction.channel_id)
        await interaction.followup.send(self.offer.begun, ephemeral=True)
        try:
            # What was offered stays to be read, but there is nothing left to press.
            await interaction.edit_original_response(view=None)
        except DISCORD_FAILURES as error:
            _log.warning("An offer was taken, but its buttons could not be removed (%s).", failure_in_words(error))


def offer_view(kind: str, offer_id: int, label: str = "") -> discord.ui.View:
    """A row with the button that begins what is offered, and *Cancel*. `kind` is a key of the offers above."""
    return view_of(OfferButton(kind, offer_id, "start", label), OfferButton(kind, offer_id, "cancel"))
