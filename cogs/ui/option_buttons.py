"""The buttons of a change to an option, the owner's alone; what they change stands in the database."""

from __future__ import annotations

import re
from typing import Self

import discord

from bot.client import Client
from bot.permissions import Level
from cogs.ui.buttons import person
from cogs.ui.items import DurableButton, view_of
from cogs.ui.limits import foreign
from cogs.ui.option_message import RESTART


class OptionButton(DurableButton, template=r"option:(?P<offer>\d{1,15}):(?P<action>apply|cancel)", needs=Level.OWNER):
    """Makes the change that was offered, or says that nothing was changed."""

    def __init__(self, offer_id: int, action: str) -> None:
        self.offer_id = offer_id
        self.action = action
        applies = action == "apply"
        super().__init__(
            discord.ui.Button(
                label="Apply" if applies else "Cancel",
                style=discord.ButtonStyle.success if applies else discord.ButtonStyle.secondary,
                custom_id=f"option:{offer_id}:{action}",
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(int(match["offer"]), match["action"])

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await (self._apply if self.action == "apply" else self._cancel)(interaction)

    async def _apply(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        changed, notice = await interaction.client.app.options.apply(self.offer_id, person(interaction))
        when = RESTART if changed.needs_restart else "It is in effect."
        text = f"**{foreign(changed.option.name)}** is changed. {when} {foreign(notice)}"
        await interaction.followup.send(text.strip(), ephemeral=True)

    async def _cancel(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await interaction.client.app.options.cancel(self.offer_id)
        await interaction.followup.send("Nothing was changed.", ephemeral=True)


def option_view(offer_id: int) -> discord.ui.View:
    """A row with *Apply* and *Cancel*."""
    return view_of(OptionButton(offer_id, "apply"), OptionButton(offer_id, "cancel"))
