"""/data audit: who did what, before and after, the latest first. Which page it is stands in the ids."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Self

import discord

from bot.client import Client
from bot.permissions import Level
from bot.store.audit import Act, WantedActs
from cogs.ui.items import DurableButton, view_of
from cogs.ui.limits import cut, embed, foreign

LONGEST_ACTION = 40  # characters: they have to fit into an id
# Of each part so many code units are shown; escaped it may be twice that, and a page takes 4,096.
_PAGE = 6
_SUBJECT, _NAME, _VALUE = 60, 40, 100


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Which part of the audit is shown."""

    wanted: WantedActs
    number: int = 0


class AuditButton(
    DurableButton,
    template=r"audit:(?P<turn>older|newer):(?P<page>\d{1,9}):(?P<user>-|\d{1,20}):(?P<action>.{0,40})",
    needs=Level.OWNER,
):
    """Turns to another page."""

    def __init__(self, turn: str, page: AuditPage, *, disabled: bool = False) -> None:
        self.turn = turn
        self.page = page
        user = "-" if page.wanted.user_id is None else page.wanted.user_id
        super().__init__(
            discord.ui.Button(
                label=turn.capitalize(),
                custom_id=f"audit:{turn}:{page.number}:{user}:{page.wanted.action}",
                disabled=disabled,
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        user = None if match["user"] == "-" else int(match["user"])
        return cls(match["turn"], AuditPage(WantedActs(user, match["action"]), int(match["page"])))

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer()
        await show_audit(interaction, self.page)


async def show_audit(interaction: discord.Interaction[Client], page: AuditPage) -> None:
    """Show a page in the message that the interaction answers with or came from."""
    acts, total = await interaction.client.app.data.acts(page.wanted, offset=page.number * _PAGE, limit=_PAGE)
    if not acts and page.number:
        await show_audit(interaction, replace(page, number=max(0, (total - 1) // _PAGE)))
        return
    await interaction.edit_original_response(embed=_shown(acts, total, page), view=_view(total, page))


def _shown(acts: list[Act], total: int, page: AuditPage) -> discord.Embed:
    first = page.number * _PAGE
    where = f"{first + 1:,} to {first + len(acts):,} of {total:,}, the latest first. " if acts else ""
    return embed(
        title="Who did what",
        description="\n\n".join(map(_line, acts)) or _nothing(page),
        footer=f"{where}/data export gives all of it in full." if acts else "",
    )


def _line(act: Act) -> str:
    who = foreign(cut(_one_line(act.user_name), _NAME))
    head = f"**{foreign(act.action)}** {foreign(cut(_one_line(act.subject), _SUBJECT))}, {who}, <t:{int(act.at)}:f>"
    before, after = (foreign(cut(_one_line(text), _VALUE)) for text in (act.before, act.after))
    if before and after and before != after:
        return f"{head}\n{before} → {after}"
    if before and not after:
        return f"{head}\nbefore: {before}"
    return f"{head}\n{after}" if after else head


def _nothing(page: AuditPage) -> str:
    if page.wanted == WantedActs():
        return "Nobody has done anything yet. What people decide and change is kept here."
    return "Nobody has done anything of that kind. /data audit without options shows everything."


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _view(total: int, page: AuditPage) -> discord.ui.View:
    if total <= _PAGE:
        return view_of()
    last = (total - 1) // _PAGE
    newer, older = replace(page, number=max(0, page.number - 1)), replace(page, number=page.number + 1)
    return view_of(
        AuditButton("newer", newer, disabled=page.number == 0),
        AuditButton("older", older, disabled=page.number >= last),
    )
