"""/config: every option shown, explained, set and reset; secrets tried and replaced. The owner alone changes any."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client, needs
from bot.config import options, stays_on_machine
from bot.errors import OptionRefused
from bot.option_desk import OfferedChange
from bot.permissions import Level
from cogs.ui.complete import complete_options
from cogs.ui.items import add_forms
from cogs.ui.limits import foreign
from cogs.ui.option_buttons import OptionButton, option_view
from cogs.ui.option_message import explained_message, offered_message, overview_message
from cogs.ui.option_values import complete_values
from cogs.ui.secret_buttons import SECRET_FORM, SecretButton, secret_message, secret_view
from cogs.ui.watch_notices import WatchNotices

_OPTION = app_commands.Range[str, 1, 100]


class SettingsCog(commands.Cog):
    """The commands of the options."""

    config = app_commands.Group(name="config", description="The options of the bot, as they stand.", guild_only=True)

    @needs(Level.REVIEWER)
    @config.command(name="show", description="Show all options, or explain one: value, default, where it is set.")
    @app_commands.describe(option="The option. Left out: an overview of all.")
    async def show(self, interaction: discord.Interaction[Client], option: _OPTION | None = None) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        desk = interaction.client.app.options
        if option is None:
            made, file = overview_message(*await desk.overview())
        else:
            try:
                made, file = explained_message(await desk.explain(option))
            except OptionRefused as error:
                raise _harmless(error) from None
        await interaction.followup.send(embed=made, file=file or discord.utils.MISSING, ephemeral=True)

    @needs(Level.OWNER)
    @config.command(name="set", description="Change an option. You see what changes before it does.")
    @app_commands.describe(
        option="The option.",
        value='Its new value. "" is empty; in double quotes \\n is a line break; a list has commas.',
    )
    async def set_value(
        self, interaction: discord.Interaction[Client], option: _OPTION, value: app_commands.Range[str, 1, 4000]
    ) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        try:
            offered = await interaction.client.app.options.offer(option, value)
        except OptionRefused as error:
            raise _harmless(error) from None
        await _preview(interaction, offered)

    @needs(Level.OWNER)
    @config.command(name="reset", description="Give an option its default again. You see what changes before it does.")
    @app_commands.describe(option="The option.")
    async def reset(self, interaction: discord.Interaction[Client], option: _OPTION) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        try:
            offered = await interaction.client.app.options.offer_default(option)
        except OptionRefused as error:
            raise _harmless(error) from None
        await _preview(interaction, offered)

    @needs(Level.OWNER)
    @config.command(name="secret", description="See whether a secret is set, try it, or replace it. None is shown.")
    @app_commands.describe(name="The secret.")
    async def secret(self, interaction: discord.Interaction[Client], name: _OPTION) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        try:
            standing = await interaction.client.app.secrets.standing(name)
        except OptionRefused as error:
            raise _harmless(error) from None
        await interaction.followup.send(embed=secret_message(standing), view=secret_view(standing), ephemeral=True)

    @secret.autocomplete("name")
    async def _complete_secrets(
        self, _interaction: discord.Interaction[Client], typed: str
    ) -> list[app_commands.Choice[str]]:
        return complete_options(typed, (option.name for option in options().values() if option.is_secret))

    @set_value.autocomplete("value")
    async def _complete_value(
        self, interaction: discord.Interaction[Client], typed: str
    ) -> list[app_commands.Choice[str]]:
        return await complete_values(interaction.client.app, str(interaction.namespace.option or ""), typed)

    @show.autocomplete("option")
    async def _complete_all(
        self, _interaction: discord.Interaction[Client], typed: str
    ) -> list[app_commands.Choice[str]]:
        return complete_options(typed, options())

    @set_value.autocomplete("option")
    @reset.autocomplete("option")
    async def _complete_changeable(
        self, _interaction: discord.Interaction[Client], typed: str
    ) -> list[app_commands.Choice[str]]:
        return complete_options(
            typed,
            (option.name for option in options().values() if not option.is_secret and not stays_on_machine(option)),
        )


def _harmless(error: OptionRefused) -> OptionRefused:
    """The sentence may quote what was typed."""
    return OptionRefused(foreign(error.sentence), foreign(error.next_step))


async def _preview(interaction: discord.Interaction[Client], offered: OfferedChange) -> None:
    made, file = offered_message(offered)
    await interaction.followup.send(
        embed=made, file=file or discord.utils.MISSING, view=option_view(offered.id), ephemeral=True
    )


async def setup(client: Client) -> None:
    client.add_dynamic_items(OptionButton, SecretButton)
    add_forms(client, SECRET_FORM)
    await client.add_cog(SettingsCog())
    app = client.app
    app.background.spawn("notices of money and settings", WatchNotices(client, every=app.pace.notice_look).keep())
