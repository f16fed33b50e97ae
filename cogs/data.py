"""/data: what the bot keeps, in its owner's hands."""

from __future__ import annotations

import asyncio
import io

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client, needs
from bot.errors import NothingToDo
from bot.permissions import Level
from bot.pipeline.delete import DRAFTS, What
from bot.pipeline.export import keep
from bot.store import posts
from bot.store.audit import WantedActs
from bot.words import counted
from cogs.ui.audit_pages import LONGEST_ACTION, AuditButton, AuditPage, show_audit
from cogs.ui.buttons import person
from cogs.ui.complete import LONGEST_CHOICE, MOST_CHOICES
from cogs.ui.data_message import (
    backup_message,
    doomed_message,
    export_message,
    kept_export_message,
)
from cogs.ui.delete_button import DELETE_FORM, DeleteButton, delete_view
from cogs.ui.items import add_forms
from cogs.ui.kept_files import ChooseFiles, DeleteFiles, show_data
from cogs.ui.limits import cut

_LARGEST_FILES = 9_000_000  # bytes in all; every server takes ten megabytes
_AROUND = 100_000  # bytes that a message needs beside its file
_EXPORTS = {
    "preferences": "what decisions teach, for preference tuning",
    "posts": "every post that was downloaded",
    "datasets": "every dataset with its examples",
    "drafts": "every draft as it stands",
    "decisions": "every decision about drafts",
    "audit": "who did what, decisions and consents too",
    "everything": "all of that but the preferences, with voices and money",
}
_DELETIONS = {
    What.POSTS: "the posts of a blog, and what was made of them",
    What.DATASET: "a dataset, by its number",
    What.DRAFTS: "drafts that never went to the blog",
    What.EVERYTHING: "all posts, datasets and drafts that never went to the blog",
}


class DataCog(commands.Cog):
    """The commands of the owner's data."""

    data = app_commands.Group(name="data", description="What the bot keeps, for its owner.", guild_only=True)

    @needs(Level.OWNER)
    @data.command(name="show", description="Show what is here, and how much room it takes.")
    async def show(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await show_data(interaction)

    @needs(Level.OWNER)
    @data.command(name="export", description="Get a part of what the bot keeps, as files of JSON Lines.")
    @app_commands.describe(what="What to take away. It comes as a file that only you see.")
    @app_commands.choices(
        what=[app_commands.Choice(name=f"{name}: {text}", value=name) for name, text in _EXPORTS.items()]
    )
    async def export(self, interaction: discord.Interaction[Client], what: str) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await (_export_preferences(interaction) if what == "preferences" else _export(interaction, what))

    @needs(Level.OWNER)
    @data.command(name="backup", description="Make a backup of everything but keys, on the bot's own machine.")
    async def backup(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        made, size = await interaction.client.app.data.back_up(person(interaction))
        await interaction.followup.send(embed=backup_message(made, size), ephemeral=True)

    @needs(Level.OWNER)
    @data.command(name="delete", description="See what a deletion would take with it, then confirm it in words.")
    @app_commands.describe(
        what="What to delete. Nothing goes before you have seen what that is, and typed it out.",
        which="The blog, the number of the dataset, or which drafts.",
    )
    @app_commands.choices(
        what=[app_commands.Choice(name=f"{what}: {text}", value=what.value) for what, text in _DELETIONS.items()]
    )
    async def delete(
        self, interaction: discord.Interaction[Client], what: str, which: app_commands.Range[str, 1, 60] = ""
    ) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        desk = interaction.client.app.data
        doomed = await desk.look(What(what), which)
        await interaction.followup.send(
            embed=doomed_message(doomed, desk.days_kept), view=delete_view(doomed), ephemeral=True
        )

    @needs(Level.OWNER)
    @data.command(name="audit", description="Show who did what, before and after, the latest first.")
    @app_commands.describe(who="Only what this person did.", action="Only what was done like this.")
    async def audit(
        self,
        interaction: discord.Interaction[Client],
        who: app_commands.Range[str, 1, 100] = "",
        action: app_commands.Range[str, 1, LONGEST_ACTION] = "",
    ) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        desk = interaction.client.app.data
        user_id: int | None = None
        if who:
            meant = [each.id for each in await desk.actors() if who in {str(each.id), each.name}]
            if len(meant) != 1:
                raise NothingToDo("Nobody of that name has done anything.", "Choose one who is offered while you type.")
            (user_id,) = meant
        if action and action not in await desk.actions():
            raise NothingToDo("Nobody has done anything of that name.", "Choose one that is offered while you type.")
        await show_audit(interaction, AuditPage(WantedActs(user_id, action)))

    @delete.autocomplete("which")
    async def _which(self, interaction: discord.Interaction[Client], typed: str) -> list[app_commands.Choice[str]]:
        match interaction.namespace.what:
            case What.POSTS:
                blogs = await posts.blogs(interaction.client.app.database)
                offered = [(blog.name, blog.uuid) for blog in blogs]
            case What.DATASET:
                numbers = await interaction.client.app.data.datasets()
                offered = [(f"dataset {number}", str(number)) for number in numbers]
            case What.DRAFTS:
                offered = [(which, which) for which in DRAFTS]
            case _:
                offered = []
        return _matching(offered, typed)

    @audit.autocomplete("who")
    async def _who(self, interaction: discord.Interaction[Client], typed: str) -> list[app_commands.Choice[str]]:
        people = await interaction.client.app.data.actors()
        return _matching([(each.name, str(each.id)) for each in people], typed)

    @audit.autocomplete("action")
    async def _action(self, interaction: discord.Interaction[Client], typed: str) -> list[app_commands.Choice[str]]:
        return _matching([(action, action) for action in await interaction.client.app.data.actions()], typed)


def _matching(offered: list[tuple[str, str]], typed: str) -> list[app_commands.Choice[str]]:
    wanted = typed.strip().casefold()
    return [
        app_commands.Choice(name=cut(name, LONGEST_CHOICE), value=value)
        for name, value in offered
        if name and wanted in name.casefold()
    ][:MOST_CHOICES]


async def _export(interaction: discord.Interaction[Client], what: str) -> None:
    export = await interaction.client.app.data.export(what, person(interaction))
    try:
        if not any(export.lines.values()):
            raise NothingToDo("There is nothing of that yet.", "/data show tells what there is.")
        limit = interaction.filesize_limit - _AROUND
        if export.size > limit:
            path = await asyncio.to_thread(keep, export)
            text = kept_export_message(export, path.name, interaction.filesize_limit)
            await interaction.followup.send(text, ephemeral=True)
            return
        file = await asyncio.to_thread(discord.File, export.path, export.path.with_suffix("").name)
        await interaction.followup.send(export_message(export), file=file, ephemeral=True)
    finally:
        await asyncio.to_thread(export.path.unlink, missing_ok=True)


async def _export_preferences(interaction: discord.Interaction[Client]) -> None:
    app = interaction.client.app
    learnt = await app.drafts.export_preferences(person(interaction))
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
        f"{counted(len(learnt.kto), 'text')} with a label (KTO) and {counted(len(learnt.dpo), 'pair')}"
        f" (DPO, in OpenAI's format). {typed}",
        files=[discord.File(io.BytesIO(content), name) for name, content in contents.items()],
        ephemeral=True,
    )


def _content(lines: tuple[str, ...]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


async def setup(client: Client) -> None:
    client.add_dynamic_items(DeleteButton, AuditButton, ChooseFiles, DeleteFiles)
    add_forms(client, DELETE_FORM)
    await client.add_cog(DataCog())
