"""/voices: the register of voices, which of them writes, and two of them side by side."""

from __future__ import annotations

from datetime import UTC, date, datetime

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client, needs
from bot.permissions import Level
from bot.training import VoiceKind
from bot.voice_register import LONGEST_NAME
from bot.voices.kinds import KINDS
from cogs.ui.buttons import person, require_channel
from cogs.ui.comparison_message import ComparisonButton, ComparisonMessages, GoOnButton
from cogs.ui.complete import complete_voices
from cogs.ui.limits import embed, foreign
from cogs.ui.owner_notices import OwnerNotices
from cogs.ui.voice_message import Shown, listed, whole

_VOICE = app_commands.Range[str, 1, 100]
_KINDS = [app_commands.Choice(name=kind.label, value=name.value) for name, kind in KINDS.items()]


class VoicesCog(commands.Cog):
    """The commands of the register."""

    voices = app_commands.Group(
        name="voices", description="The voices there are, and which of them writes.", guild_only=True
    )

    @needs(Level.REVIEWER)
    @voices.command(name="list", description="Show every voice, and which one writes now.")
    async def show_all(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await _send(interaction, listed(await interaction.client.app.register.entries(), _today(interaction)))

    @needs(Level.REVIEWER)
    @voices.command(name="show", description="Show all there is of one voice.")
    @app_commands.describe(voice="The voice, by its number or name.")
    async def show_one(self, interaction: discord.Interaction[Client], voice: _VOICE) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        app = interaction.client.app
        entry = await app.register.entry(voice)
        (hundred,) = await app.voices.likely(entry.voice, 100)
        await _send(interaction, await whole(entry, _today(interaction), app.settings.budget, hundred))

    @needs(Level.OWNER)
    @voices.command(name="use", description="Write with this voice from now on.")
    @app_commands.describe(voice="The voice, by its number or name.")
    async def use(self, interaction: discord.Interaction[Client], voice: _VOICE) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        used, notice = await interaction.client.app.register.use(voice, person(interaction))
        text = f"From now on /generate writes with **{foreign(used.name)}** (voice {used.id}). {notice}"
        await interaction.followup.send(embed=embed(description=text.strip()), ephemeral=True)

    @needs(Level.OWNER)
    @voices.command(name="rename", description="Give a voice another name.")
    @app_commands.describe(voice="The voice, by its number or name.", name="Its new name.")
    async def rename(
        self, interaction: discord.Interaction[Client], voice: _VOICE, name: app_commands.Range[str, 1, LONGEST_NAME]
    ) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        renamed = await interaction.client.app.register.rename(voice, name, person(interaction))
        text = f"Voice {renamed.id} is called **{foreign(renamed.name)}** now."
        await interaction.followup.send(embed=embed(description=text), ephemeral=True)

    @needs(Level.OWNER)
    @voices.command(name="retire", description="Take a voice out of use, or bring it back. Nothing is deleted.")
    @app_commands.describe(
        voice="The voice, by its number or name.", bring_back="Whether to bring a retired voice back instead."
    )
    async def retire(
        self,
        interaction: discord.Interaction[Client],
        voice: _VOICE,
        bring_back: bool = False,  # noqa: FBT001, FBT002 - an option of a command
    ) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        register, who = interaction.client.app.register, person(interaction)
        if bring_back:
            back = await register.bring_back(voice, who)
            text = f"Voice {back.id}, **{foreign(back.name)}**, is back. /voices use writes with it."
        else:
            retired = await register.retire(voice, who)
            text = (
                f"Voice {retired.voice.id}, **{foreign(retired.voice.name)}**, is retired. Its drafts and its record"
                " stay, and so does the model at its service."
            )
            if retired.instead is not None:
                instead = f"**{foreign(retired.instead.name)}** (voice {retired.instead.id})"
                text += f" It was the one that wrote; from now on {instead} does. {retired.notice}"
        await interaction.followup.send(embed=embed(description=text.strip()), ephemeral=True)

    @needs(Level.OWNER)
    @voices.command(name="add", description="Add a model that was made elsewhere, in a portal or as a deployment.")
    @app_commands.describe(
        model="The model's id at the service; on Azure, the name of the deployment.",
        kind="What kind of voice it is. Left out: what a training at the service would give.",
        name="What to call the voice. Left out: the model's id.",
        like="The voice whose training it comes from: its messages are used. Left out: those of config.toml.",
    )
    @app_commands.choices(kind=_KINDS)
    async def add(
        self,
        interaction: discord.Interaction[Client],
        model: app_commands.Range[str, 1, 200],
        kind: str | None = None,
        name: app_commands.Range[str, 1, LONGEST_NAME] | None = None,
        like: _VOICE | None = None,
    ) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        voice, is_known = await interaction.client.app.register.add(
            model, VoiceKind(kind) if kind else None, name, person(interaction), like=like
        )
        text = f"**{foreign(voice.name)}** is voice {voice.id} now. /voices use voice:{voice.id} writes with it."
        if not is_known:
            text += " The service does not tell whether it has this model: the first draft will show it."
        await interaction.followup.send(embed=embed(description=text), ephemeral=True)

    @needs(Level.REVIEWER)
    @voices.command(name="compare", description="Let two voices write to the same prompts, and judge them blind.")
    @app_commands.describe(
        one="A voice, by its number or name.",
        other="The voice to compare it with.",
        prompt="What to ask both for. Left out: what they were trained with, in turns.",
        rounds="How many prompts, 1 to 10. Left out: 3.",
    )
    async def compare(
        self,
        interaction: discord.Interaction[Client],
        one: _VOICE,
        other: _VOICE,
        prompt: app_commands.Range[str, 1, 2000] | None = None,
        rounds: app_commands.Range[int, 1, 10] = 3,
    ) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        require_channel(interaction)
        app, who = interaction.client.app, person(interaction)
        await app.runner.submit(
            "compare",
            {},
            requested_by=who.name,
            requester_id=who.id,
            channel_id=interaction.channel_id,
            beside=await app.comparisons.plan(one, other, prompt, rounds, who),
        )
        await interaction.followup.send(
            "Both voices have begun to write. Each round appears in this channel as soon as both texts are there.",
            ephemeral=True,
        )

    @show_one.autocomplete("voice")
    @use.autocomplete("voice")
    @rename.autocomplete("voice")
    @retire.autocomplete("voice")
    @add.autocomplete("like")
    @compare.autocomplete("one")
    @compare.autocomplete("other")
    async def _complete(self, interaction: discord.Interaction[Client], typed: str) -> list[app_commands.Choice[str]]:
        return await complete_voices(interaction.client.app.register, typed)


def _today(interaction: discord.Interaction[Client]) -> date:
    return datetime.fromtimestamp(interaction.client.app.clock(), UTC).date()


async def _send(interaction: discord.Interaction[Client], shown: Shown) -> None:
    await interaction.followup.send(embed=shown.embed, file=shown.file or discord.utils.MISSING, ephemeral=True)


async def setup(client: Client) -> None:
    client.add_dynamic_items(ComparisonButton, GoOnButton)
    await client.add_cog(VoicesCog())
    app = client.app
    app.background.spawn("comparisons", ComparisonMessages(client, pause=min(app.pace.message_edit, 1.0)).keep())
    app.background.spawn("notices to the owner", OwnerNotices(client).keep())
