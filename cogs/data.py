"""/data: what is here, to take away. For now that is what decisions teach."""

from __future__ import annotations

import asyncio
import io

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client, needs
from bot.drafts import Person
from bot.errors import NothingToDo
from bot.permissions import Level

_LARGEST_FILES = 9_000_000  # bytes in all; every server takes ten megabytes


class DataCog(commands.Cog):
    """The commands of the owner's data."""

    data = app_commands.Group(name="data", description="What the bot keeps, for its owner.", guild_only=True)

    @needs(Level.OWNER)
    @data.command(name="export", description="Get a part of what the bot keeps, as files of JSON Lines.")
    @app_commands.describe(what="preferences: what your decisions about drafts teach, for preference tuning.")
    @app_commands.choices(what=[app_commands.Choice(name="preferences", value="preferences")])
    async def export(self, interaction: discord.Interaction[Client], what: str) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        del what  # there is nothing else to choose yet
        app = interaction.client.app
        learnt = await app.drafts.export_preferences(Person(interaction.user.id, interaction.user.display_name))
        if not learnt.kto:
            raise NothingToDo("Nothing has been decided yet that teaches anything.", "Decide about drafts first.")
        named = {"preferences-kto.jsonl": learnt.kto, "preferences-dpo.jsonl": learnt.dpo}
        contents = {name: await asyncio.to_thread(_content, lines) for name, lines in named.items() if lines}
        if sum(map(len, contents.values())) > _LARGEST_FILES:
            raise NothingToDo("This is more than files in Discord may hold.", "Read it from the database instead.")
        typed = (
            "Texts that people typed are among them, as `teach_typed_text` says."
            if app.settings.review.teach_typed_text
            else "Texts that people typed are not among them; `teach_typed_text` under [review] would add them."
        )
        await interaction.followup.send(
            f"{len(learnt.kto):,} texts with a label (KTO) and {len(learnt.dpo):,} pairs (DPO, in OpenAI's format)."
            f" {typed}",
            files=[discord.File(io.BytesIO(content), name) for name, content in contents.items()],
            ephemeral=True,
        )


def _content(lines: tuple[str, ...]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


async def setup(client: Client) -> None:
    await client.add_cog(DataCog())
