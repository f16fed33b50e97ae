"""The buttons of a change to an option, the owner's alone; what they change stands in the database."""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from bot.client import Client, is_permitted, require_owner
from cogs.ui.buttons import explained, person
from cogs.ui.limits import foreign
from cogs.ui.option_message import RESTART


class OptionButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"option:(?P<offer>\d{1,15}):(?P<action>apply|cancel)"
):
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
    async def from_custom_id(
        cls, _interaction: discord.Interaction[Any], _item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(int(match["offer"]), match["action"])

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        return await is_permitted(interaction)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await explained(interaction, self._apply(interaction) if self.action == "apply" else self._cancel(interaction))

    async def _apply(self, interaction: discord.Interaction[Client]) -> None:
        require_owner(interaction)
        await interaction.response.defer(ephemeral=True, thinking=True)
        changed, notice = await interaction.client.app.options.apply(self.offer_id, person(interaction))
        when = RESTART if changed.needs_restart else "It is in effect."
        text = f"**{foreign(changed.option.name)}** is changed. {when} {foreign(notice)}"
        await interaction.followup.send(text.strip(), ephemeral=True)

    async def _cancel(self, interaction: discord.Interaction[Client]) -> None:
        require_owner(interaction)
        await interaction.response.defer(ephemeral=True, thinking=True)
        await interaction.client.app.options.cancel(self.offer_id)
        await interaction.followup.send("Nothing was changed.", ephemeral=True)


def option_view(offer_id: int) -> discord.ui.View:
    """A row with *Apply* and *Cancel*."""
    view = discord.ui.View(timeout=None)
    view.add_item(OptionButton(offer_id, "apply"))
    view.add_item(OptionButton(offer_id, "cancel"))
    return view
