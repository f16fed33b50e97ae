"""The button that asks for a deletion, and the form in which it is typed out. Both are the owner's alone.

What was shown stands in their ids with how much it was: what has changed since is not deleted.
"""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from bot.client import Client, is_permitted, require_owner
from bot.pipeline.delete import Doomed, What
from cogs.ui.buttons import explained, person
from cogs.ui.data_message import deleted_message
from cogs.ui.forms import form_values
from cogs.ui.limits import MODAL_TITLE, cut

_DOOMED = rf"(?P<what>{'|'.join(What)}):(?P<count>\d{{1,12}}):(?P<which>[^\s]{{0,60}})"
_FORM = re.compile(rf"delete-form:{_DOOMED}")
_LABEL = 45  # Discord's limit for an input's


class DeleteButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=rf"delete:{_DOOMED}"):
    """Opens the form in which a deletion is typed out."""

    def __init__(self, what: What, count: int, which: str) -> None:
        self.what = what
        self.count = count
        self.which = which
        super().__init__(
            discord.ui.Button(
                label="Delete it", style=discord.ButtonStyle.danger, custom_id=f"delete:{what}:{count}:{which}"
            )
        )

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction[Any], _item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(What(match["what"]), int(match["count"]), match["which"])

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        return await is_permitted(interaction)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await explained(interaction, self._pressed(interaction))

    async def _pressed(self, interaction: discord.Interaction[Client]) -> None:
        require_owner(interaction)
        # No more than a name: a form must be shown within 3 seconds.
        doomed = await interaction.client.app.data.named(self.what, self.which)
        await interaction.response.send_modal(_Form(doomed, self.count))


class _Form(discord.ui.Modal):
    def __init__(self, doomed: Doomed, count: int) -> None:
        custom_id = f"delete-form:{doomed.what}:{count}:{doomed.which}"
        super().__init__(title=cut(f"Delete {doomed.name}", MODAL_TITLE), custom_id=custom_id)
        label = cut(f"Type {doomed.typed}", _LABEL)
        self.add_item(discord.ui.TextInput(label=label, custom_id="typed", max_length=100))


def delete_view(doomed: Doomed) -> discord.ui.View:
    """A row with the button."""
    view = discord.ui.View(timeout=None)
    view.add_item(DeleteButton(doomed.what, doomed.count, doomed.which))
    return view


async def receive_delete_form(interaction: discord.Interaction[Client]) -> None:
    """Take a deletion that somebody typed out; leave every other form alone."""
    form, values = form_values(interaction)
    found = _FORM.fullmatch(form)
    if found is not None and await is_permitted(interaction):
        await explained(interaction, _delete(interaction, found, values.get("typed", "")))


async def _delete(interaction: discord.Interaction[Client], found: re.Match[str], typed: str) -> None:
    require_owner(interaction)
    await interaction.response.defer(ephemeral=True, thinking=True)
    deleted = await interaction.client.app.data.delete(
        What(found["what"]), found["which"], shown=int(found["count"]), typed=typed, person=person(interaction)
    )
    await interaction.followup.send(embed=deleted_message(deleted), ephemeral=True)
