"""Below /data show: the files that stay until somebody removes them, chosen in a select and deleted by a second press.

What is chosen stands in the message itself, in the options of its select that are marked: Discord sends them with the
press. Only files that are listed at that moment can be deleted.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from typing import Self

import discord

from bot.client import Client
from bot.errors import NothingToDo
from bot.kept_files import KeptFile
from bot.permissions import Level
from bot.words import counted
from cogs.ui.buttons import person
from cogs.ui.data_message import sizes_message
from cogs.ui.items import DurableButton, DurableSelect, marked_in, view_of
from cogs.ui.limits import OPTION_TEXT, SELECT_OPTIONS, cut, foreign
from cogs.ui.words import relative, size


class ChooseFiles(DurableSelect, template=r"data-files", needs=Level.OWNER):
    """Chooses files; what that means is said, and asked, in the same message."""

    def __init__(self, files: list[KeptFile] | None = None, chosen: frozenset[str] = frozenset()) -> None:
        options = [
            discord.SelectOption(
                label=cut(file.name, OPTION_TEXT),
                value=cut(file.name, OPTION_TEXT),
                description=f"{file.kind}, {size(file.size)}, {datetime.fromtimestamp(file.made_at, UTC):%Y-%m-%d}",
                default=file.name in chosen,
            )
            for file in files or []
        ]
        super().__init__(
            discord.ui.Select(
                custom_id="data-files",
                placeholder="Choose files to delete",
                min_values=0,
                max_values=max(1, len(options)),
                options=options or [discord.SelectOption(label="none")],
                row=0,
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:  # noqa: ARG003 - there is nothing to read
        return cls()

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer()
        await show_data(interaction, chosen=frozenset(self.item.values))


class DeleteFiles(DurableButton, template=r"data-files:delete", needs=Level.OWNER):
    """Deletes what is chosen: the second press, below a sentence that names it."""

    def __init__(self, count: int = 0) -> None:
        super().__init__(
            discord.ui.Button(
                label=f"Delete {counted(count, 'file')}",
                style=discord.ButtonStyle.danger,
                custom_id="data-files:delete",
                row=1,
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:  # noqa: ARG003 - there is nothing to read
        return cls()

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer()
        names = marked_in(interaction.message)
        if not names:
            raise NothingToDo("No file is chosen here.", "Choose some in the list first.")
        removed = await interaction.client.app.data.remove_files(names, person(interaction))
        freed = size(sum(file.size for file in removed))
        said = f"{counted(len(removed), 'file')} deleted, {freed}. /data audit has it on record."
        await show_data(interaction, said=said)


async def show_data(
    interaction: discord.Interaction[Client], *, chosen: frozenset[str] = frozenset(), said: str = ""
) -> None:
    """Write what is here into this person's own message, after a deferred answer."""
    desk = interaction.client.app.data
    counts, disk = await desk.overview()
    files = await desk.kept_files()
    shown = sizes_message(counts, disk)
    view = view_of()
    if files:
        shown.add_field(name="Kept until you remove it", value=_kept(files), inline=False)
        offered = files[:SELECT_OPTIONS]
        doomed = [file for file in offered if file.name in chosen]
        view.add_item(ChooseFiles(offered, chosen))
        if doomed:
            shown.add_field(name="To be deleted", value=_doomed(doomed), inline=False)
            view.add_item(DeleteFiles(len(doomed)))
    await interaction.edit_original_response(content=said or None, embed=shown, view=view)


def _kept(files: list[KeptFile]) -> str:
    """How many of each kind, how large and how old."""
    lines: list[str] = []
    for kind, count in Counter(file.kind for file in files).items():
        those = [file for file in files if file.kind == kind]
        old = f"from {relative(those[0].made_at)}" if count == 1 else f"the oldest from {relative(those[0].made_at)}"
        lines.append(f"{count:,} × {kind}, {size(sum(file.size for file in those))}, {old}")
    if len(files) > SELECT_OPTIONS:
        lines.append(f"The {SELECT_OPTIONS} oldest can be chosen below.")
    return "\n".join(lines)


def _doomed(files: list[KeptFile]) -> str:
    names = [foreign(file.name) for file in files]
    listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")  # noqa: PLR2004 - fits
    return cut(f"{listed}: {size(sum(file.size for file in files))}. What only they hold is gone for good then.", 1_000)
