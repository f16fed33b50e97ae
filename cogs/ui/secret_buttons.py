"""A secret as an embed, with the buttons that try and replace it. They are the owner's alone, and show no secret.

The form is read by its id, as every form is (`cogs.ui.forms` says why).
"""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from bot.client import Client
from bot.config import secret_places
from bot.errors import OptionRefused
from bot.permissions import Level
from bot.secret_desk import SecretStanding
from cogs.ui.buttons import person
from cogs.ui.connecting import ConnectButton
from cogs.ui.items import DurableButton, Form, view_of
from cogs.ui.limits import MODAL_TITLE, cut, embed, foreign
from cogs.ui.words import relative

_NAME = r"(?P<name>[a-z_.]{1,60})"
_LONGEST = 500


def secret_message(standing: SecretStanding) -> discord.Embed:
    """Whether it is set, from where, and since when; and how it is replaced."""
    option = standing.option
    fields = [("Value", "set; it is never shown" if standing.is_set else "not set", True)]
    if standing.is_set:
        fields.append(("From", foreign(standing.place), True))
    if standing.replaced_at is not None:
        fields.append(("Last replaced", f"{relative(standing.replaced_at)} by {foreign(standing.replaced_by)}", True))
    fields.append(("How to replace it", _way(standing), False))
    return embed(title=option.name, description=foreign(option.description), fields=fields)


def secret_view(standing: SecretStanding) -> discord.ui.View:
    """A row with what can be done about it here."""
    view = view_of()
    if standing.is_replaceable:
        view.add_item(SecretButton(standing.option.name, "replace"))
    elif standing.option.name.startswith("tumblr.consumer_"):
        view.add_item(ConnectButton("keys"))
    view.add_item(SecretButton(standing.option.name, "test"))
    return view


def _way(standing: SecretStanding) -> str:
    option = standing.option
    if standing.is_replaceable:
        return (
            "*Replace* opens a form. The key is tried first, kept in secrets.toml on the bot's machine, and used at"
            " once. What you type there passes through Discord; on the machine itself, "
            f"{foreign(secret_places(option))}."
        )
    if option.section == "tumblr":
        return "/connect tumblr replaces the secrets of Tumblr, and tries them before they are used."
    places = foreign(secret_places(option))
    return f"Not while the bot runs: {places}. Then start the bot again."


class SecretButton(DurableButton, template=rf"secret:{_NAME}:(?P<action>replace|test)", needs=Level.OWNER):
    """Opens the form for another value, or tries the one that is in use."""

    def __init__(self, name: str, action: str) -> None:
        self.name = name
        self.action = action
        super().__init__(
            discord.ui.Button(
                label="Replace" if action == "replace" else "Test",
                style=discord.ButtonStyle.primary if action == "replace" else discord.ButtonStyle.secondary,
                custom_id=f"secret:{name}:{action}",
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(match["name"], match["action"])

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await (self._open if self.action == "replace" else self._test)(interaction)

    async def _open(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.send_modal(_SecretForm(self.name))

    async def _test(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        said = await interaction.client.app.secrets.test(self.name)
        await interaction.followup.send(foreign(said), ephemeral=True)


class _SecretForm(discord.ui.Modal):
    def __init__(self, name: str) -> None:
        super().__init__(title=cut(f"Replace {name}", MODAL_TITLE), custom_id=f"secret:{name}:form")
        self.add_item(discord.ui.TextInput[Any](label="The new value", custom_id="value", max_length=_LONGEST))


async def _replace(interaction: discord.Interaction[Client], found: re.Match[str], values: dict[str, str]) -> None:
    await interaction.response.defer(ephemeral=True, thinking=True)
    try:
        said = await interaction.client.app.secrets.replace(found["name"], values.get("value", ""), person(interaction))
    except OptionRefused as error:
        raise OptionRefused(foreign(error.sentence), error.next_step) from None
    await interaction.followup.send(f"**{foreign(found['name'])}**: {foreign(said)}", ephemeral=True)


SECRET_FORM = Form(re.compile(rf"secret:{_NAME}:form"), Level.OWNER, _replace)
