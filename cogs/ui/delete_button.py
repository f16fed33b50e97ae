"""The button that asks for a deletion, and the form in which it is typed out. Both are the owner's alone.

What was shown stands in their ids with a mark: what has changed since is not deleted.
"""

from __future__ import annotations

import re
from typing import Self

import discord

from bot.client import Client
from bot.permissions import Level
from bot.pipeline.delete import Doomed, What
from cogs.ui.buttons import person
from cogs.ui.data_message import deleted_message
from cogs.ui.items import DurableButton, Form, view_of
from cogs.ui.limits import MODAL_TITLE, cut

_DOOMED = rf"(?P<what>{'|'.join(What)}):(?P<mark>\d{{1,12}}):(?P<which>[^\s]{{0,60}})"
_LABEL = 45  # Discord's limit for an input's


class DeleteButton(DurableButton, template=rf"delete:{_DOOMED}", needs=Level.OWNER):
    """Opens the form in which a deletion is typed out."""

    def __init__(self, what: What, mark: int, which: str) -> None:
        self.what = what
        self.mark = mark
        self.which = which
        super().__init__(
            discord.ui.Button(
                label="Delete it", style=discord.ButtonStyle.danger, custom_id=f"delete:{what}:{mark}:{which}"
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(What(match["what"]), int(match["mark"]), match["which"])

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        # No more than a name: a form must be shown within 3 seconds.
        doomed = await interaction.client.app.data.named(self.what, self.which)
        await interaction.response.send_modal(_Form(doomed, self.mark))


class _Form(discord.ui.Modal):
    def __init__(self, doomed: Doomed, mark: int) -> None:
        custom_id = f"delete-form:{doomed.what}:{mark}:{doomed.which}"
        super().__init__(title=cut(f"Delete {doomed.name}", MODAL_TITLE), custom_id=custom_id)
        label = cut(f"Type {doomed.typed}", _LABEL)
        self.add_item(discord.ui.TextInput(label=label, custom_id="typed", max_length=100))


def delete_view(doomed: Doomed) -> discord.ui.View:
    """A row with the button."""
    return view_of(DeleteButton(doomed.what, doomed.mark, doomed.which))


async def _delete(interaction: discord.Interaction[Client], found: re.Match[str], values: dict[str, str]) -> None:
    await interaction.response.defer(ephemeral=True, thinking=True)
    deleted = await interaction.client.app.data.delete(
        What(found["what"]),
        found["which"],
        shown=int(found["mark"]),
        typed=values.get("typed", ""),
        person=person(interaction),
    )
    await interaction.followup.send(embed=deleted_message(deleted), ephemeral=True)


DELETE_FORM = Form(re.compile(rf"delete-form:{_DOOMED}"), Level.OWNER, _delete)
