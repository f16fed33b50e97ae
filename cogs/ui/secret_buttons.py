"""A secret as an embed, with the buttons that try and replace it. They are the owner's alone, and show no secret.

The form is read by its id, as every form is (`cogs.ui.forms` says why).
"""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from bot.client import Client, is_permitted, require_owner
from bot.config import secret_places
from bot.errors import OptionRefused
from bot.secret_desk import SecretStanding
from cogs.ui.buttons import explained, person
from cogs.ui.connecting import ConnectButton
from cogs.ui.forms import form_values
from cogs.ui.limits import MODAL_TITLE, cut, embed, foreign
from cogs.ui.words import relative

_NAME = r"(?P<name>[a-z_.]{1,60})"
_FORM = re.compile(rf"secret:{_NAME}:form")
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
    view = discord.ui.View(timeout=None)
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
            f"{secret_places(option)}."
        )
    if option.section == "tumblr":
        return "/connect tumblr replaces the secrets of Tumblr, and tries them before they are used."
    places = secret_places(option)
    return f"Not while the bot runs: {places}. Then start the bot again."


class SecretButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]], template=rf"secret:{_NAME}:(?P<action>replace|test)"
):
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
    async def from_custom_id(
        cls, _interaction: discord.Interaction[Any], _item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["name"], match["action"])

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        return await is_permitted(interaction)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await explained(interaction, self._open(interaction) if self.action == "replace" else self._test(interaction))

    async def _open(self, interaction: discord.Interaction[Client]) -> None:
        require_owner(interaction)
        await interaction.response.send_modal(_SecretForm(self.name))

    async def _test(self, interaction: discord.Interaction[Client]) -> None:
        require_owner(interaction)
        await interaction.response.defer(ephemeral=True, thinking=True)
        said = await interaction.client.app.secrets.test(self.name)
        await interaction.followup.send(foreign(said), ephemeral=True)


class _SecretForm(discord.ui.Modal):
    def __init__(self, name: str) -> None:
        super().__init__(title=cut(f"Replace {name}", MODAL_TITLE), custom_id=f"secret:{name}:form")
        self.add_item(discord.ui.TextInput[Any](label="The new value", custom_id="value", max_length=_LONGEST))


async def receive_secret_form(interaction: discord.Interaction[Client]) -> None:
    """Take what somebody typed into this form, whichever process showed it; leave every other form alone."""
    form, values = form_values(interaction)
    found = _FORM.fullmatch(form)
    if found is not None and await is_permitted(interaction):
        await explained(interaction, _replace(interaction, found["name"], values.get("value", "")))


async def _replace(interaction: discord.Interaction[Client], name: str, value: str) -> None:
    require_owner(interaction)
    await interaction.response.defer(ephemeral=True, thinking=True)
    try:
        said = await interaction.client.app.secrets.replace(name, value, person(interaction))
    except OptionRefused as error:
        raise OptionRefused(foreign(error.sentence), error.next_step) from None
    await interaction.followup.send(f"**{foreign(name)}**: {foreign(said)}", ephemeral=True)
