"""Buttons, selects and forms that work for as long as their message stands, whichever process posted it.

Their ids hold what they are about, and the truth is in the database. What all of them share is here: who may use them,
and the one error path. A button or select is a class that reads its id and says what a press does; a form is a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import discord

from bot.client import Client, is_permitted
from bot.permissions import Level
from cogs.ui.buttons import explained
from cogs.ui.forms import form_values

_Part = TypeVar("_Part", bound=discord.ui.Item[Any])


class Durable(discord.ui.DynamicItem[_Part], template=r"(?!)"):
    """A button or a select. `template` is the pattern of its ids, `needs` the level of those who may use it.

    One whose presses differ sets `needs` anew for itself, in its `__init__`.
    """

    needs: Level

    def __init_subclass__(cls, *, template: str | re.Pattern[str], needs: Level) -> None:
        super().__init_subclass__(template=template)
        cls.needs = needs

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        """The item that an id names. `template` lets nothing through that this cannot read."""
        raise NotImplementedError

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        """Do what the press, or the choice in `self.item.values`, is for. Errors are explained to the person."""
        raise NotImplementedError

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction[Any], _item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls.read(match)

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        return await is_permitted(interaction, self.needs)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await explained(interaction, self.pressed(interaction))


DurableButton = Durable[discord.ui.Button[Any]]
DurableSelect = Durable[discord.ui.Select[Any]]


@dataclass(frozen=True, slots=True)
class Form:
    """What takes a form that somebody sent: the pattern of its ids, who may send it, and what is done then.

    `receive` is given the interaction, the id's match, and what each input holds by the input's id.
    """

    template: re.Pattern[str]
    needs: Level
    receive: Callable[[discord.Interaction[Client], re.Match[str], dict[str, str]], Coroutine[Any, Any, None]]

    async def sent(self, interaction: discord.Interaction[Client], match: re.Match[str]) -> None:
        """Take what was sent, if this person may."""
        if await is_permitted(interaction, self.needs):
            await explained(interaction, self.receive(interaction, match, form_values(interaction)))


def add_forms(client: Client, *forms: Form) -> None:
    """Let these take what is sent, as `Client.add_dynamic_items` does for buttons."""
    client.forms.update({form.template: form.sent for form in forms})


def marked_in(message: discord.Message | None) -> list[str]:
    """What is chosen in a message's selects: the values of their options that are marked."""
    rows = [] if message is None else message.components
    selects = [part for row in rows if isinstance(row, discord.ActionRow) for part in row.children]
    return [
        option.value
        for select in selects
        if isinstance(select, discord.SelectMenu)
        for option in select.options
        if option.default
    ]


def view_of(*items: discord.ui.Item[Any]) -> discord.ui.View:
    """A view that never ends, with these items."""
    view = discord.ui.View(timeout=None)
    for item in items:
        view.add_item(item)
    return view
