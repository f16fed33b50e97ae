"""/drafts: what waits for a decision, one after the other or many at once; and the messages that show each draft."""

from __future__ import annotations

import asyncio
import io

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client, needs
from bot.errors import NothingToDo
from bot.permissions import Level
from bot.pipeline.teach import drafts_as_lines
from bot.store import voices
from bot.store.drafts import get_draft
from bot.words import counted
from cogs.ui.complete import LONGEST_CHOICE, MOST_CHOICES
from cogs.ui.draft_buttons import DraftButton, RemoveButton
from cogs.ui.draft_forms import EDIT_FORM, REASON_FORM
from cogs.ui.draft_list import LONGEST_WORDS, WHICH, ChooseDrafts, DecideChosen, Page, PageButton, show_page
from cogs.ui.draft_message import DraftMessages
from cogs.ui.draft_review import REVIEW_FORM, ReviewButton, begin_review
from cogs.ui.items import add_forms
from cogs.ui.limits import cut
from cogs.ui.reminder import Reminder

_LARGEST_FILE = 9_000_000  # bytes; every server takes files of ten megabytes
_WHICH = [app_commands.Choice(name="answer lost" if which == "unknown" else which, value=which) for which in WHICH]


class DraftsCog(commands.Cog):
    """The commands of the drafts."""

    drafts = app_commands.Group(
        name="drafts", description="What waits for your decision, and what became of the rest.", guild_only=True
    )

    @needs(Level.REVIEWER)
    @drafts.command(name="review", description="Decide about one draft after the other, in one message.")
    async def review(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await begin_review(interaction)

    @needs(Level.REVIEWER)
    @drafts.command(name="list", description="List drafts; choose several of them to approve or reject at once.")
    @app_commands.describe(
        state="Which drafts. Left out: those that wait for you.",
        voice="Only drafts that this voice wrote.",
        text="Only drafts with these words in their text or tags.",
    )
    @app_commands.choices(state=_WHICH)
    async def show_list(
        self,
        interaction: discord.Interaction[Client],
        state: str = "waiting",
        voice: int | None = None,
        text: app_commands.Range[str, 1, LONGEST_WORDS] | None = None,
    ) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await show_page(interaction, Page(state, voice, text or ""))

    @needs(Level.REVIEWER)
    @drafts.command(name="show", description="Show a draft again, in this channel.")
    @app_commands.describe(number="The number of the draft.")
    async def show(self, interaction: discord.Interaction[Client], number: app_commands.Range[int, 1]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        app = interaction.client.app
        draft = await get_draft(app.database, number)
        if draft is None or interaction.channel_id is None:
            raise NothingToDo(f"There is no draft {number}.", "/drafts list shows those that wait.")
        await app.drafts.show_again(draft.id, interaction.channel_id)
        await interaction.followup.send(f"Draft {draft.id} is shown again in this channel.", ephemeral=True)

    @needs(Level.REVIEWER)
    @drafts.command(name="export", description="Get drafts with all decisions about them, as a file of JSON Lines.")
    @app_commands.describe(state="Which drafts. Left out: all of them.")
    @app_commands.choices(state=_WHICH)
    async def export(self, interaction: discord.Interaction[Client], state: str = "all") -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        lines = await drafts_as_lines(interaction.client.app.database, WHICH[state])
        if not lines and state == "all":
            raise NothingToDo("There are no drafts yet.", "/generate writes some.")
        if not lines:
            raise NothingToDo("There is no such draft.", "/drafts list state:all shows those there are.")
        await send_lines(
            interaction, lines, "drafts.jsonl", f"{counted(len(lines), 'draft')}, with all decisions about them."
        )

    @show_list.autocomplete("voice")
    async def _voices(self, interaction: discord.Interaction[Client], typed: str) -> list[app_commands.Choice[int]]:
        return [
            app_commands.Choice(name=cut(voice.name, LONGEST_CHOICE), value=voice.id)
            for voice in await voices.all_voices(interaction.client.app.database)
            if typed.strip().lower() in voice.name.lower()
        ][:MOST_CHOICES]


async def send_lines(interaction: discord.Interaction[Client], lines: list[str], name: str, said: str) -> None:
    """Give one person a file of lines.

    Raises:
        NothingToDo: it is larger than Discord takes.
    """
    content = await asyncio.to_thread(lambda: "".join(f"{line}\n" for line in lines).encode())
    if len(content) > _LARGEST_FILE:
        raise NothingToDo("This is more than a file in Discord may hold.", "Ask for fewer, by their state.")
    await interaction.followup.send(said, file=discord.File(io.BytesIO(content), name), ephemeral=True)


async def setup(client: Client) -> None:
    client.add_dynamic_items(DraftButton, RemoveButton, ReviewButton, PageButton, ChooseDrafts, DecideChosen)
    add_forms(client, EDIT_FORM, REASON_FORM, REVIEW_FORM)
    await client.add_cog(DraftsCog())
    messages = DraftMessages(client, edit_interval=client.app.pace.message_edit)
    client.app.background.spawn("draft messages", messages.keep())
    client.app.background.spawn("reminder", Reminder(client, look=client.app.pace.reminder_look).keep())
