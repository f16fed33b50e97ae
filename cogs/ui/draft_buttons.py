"""A draft's buttons. Their ids are `draft:<id>:<press>`; the truth is in the database."""

from __future__ import annotations

import functools
import io
import re
from enum import StrEnum
from typing import Any, Self

import discord

from bot.app import App
from bot.client import Client
from bot.drafts import Action, Draft, DraftState, Person, Undo
from bot.errors import DraftDecided
from bot.permissions import Level
from bot.store.drafts import get_draft
from cogs.ui.buttons import person
from cogs.ui.draft_embed import WILL_BE, in_full, removal_place, render
from cogs.ui.draft_forms import EditForm, ReasonForm, waiting_draft
from cogs.ui.items import DurableButton, view_of
from cogs.ui.limits import foreign, length, web_address


class Press(StrEnum):
    """What the buttons of a draft say in their ids."""

    APPROVE = Action.APPROVE.value
    EDIT = Action.EDIT.value
    REGENERATE = Action.REGENERATE.value
    REJECT = Action.REJECT.value
    CONFIRM = Action.CONFIRM.value
    RESEND = Action.RESEND.value
    UNDO = Action.UNDO.value
    RESTORE = Action.RESTORE.value
    WHY = "why"
    READ = "read"


_LABELS = {
    Press.APPROVE: ("Approve", discord.ButtonStyle.success),
    Press.EDIT: ("Edit", discord.ButtonStyle.primary),
    Press.REGENERATE: ("Regenerate", discord.ButtonStyle.secondary),
    Press.REJECT: ("Reject", discord.ButtonStyle.danger),
    Press.CONFIRM: ("It is on the blog", discord.ButtonStyle.success),
    Press.RESEND: ("Send again", discord.ButtonStyle.danger),
    Press.UNDO: ("Undo", discord.ButtonStyle.secondary),
    Press.RESTORE: ("Bring back", discord.ButtonStyle.secondary),
    Press.WHY: ("Say why", discord.ButtonStyle.secondary),
    Press.READ: ("Read all", discord.ButtonStyle.secondary),
}
_ANSWERS = {
    Press.REGENERATE: "Draft {id} is set aside, and another one is being written.",
    Press.REJECT: "Draft {id} is rejected. It will not be posted.",
    Press.CONFIRM: "Draft {id} is noted as uploaded.",
    Press.RESEND: "Draft {id} is being sent again and {will_be}.",
    Press.RESTORE: "Draft {id} is back, and waits for a decision.",
}
_PAGE = 1_900  # code units of text on a page, before they are made harmless
_MOST_PAGES = 4


class DraftButton(
    DurableButton, template=rf"draft:(?P<id>\d{{1,15}}):(?P<press>{'|'.join(Press)})", needs=Level.DECIDER
):
    """One of a draft's buttons."""

    def __init__(self, draft_id: int, press: Press, label: str = "") -> None:
        self.draft_id = draft_id
        self.press = press
        self.needs = Level.REVIEWER if press is Press.READ else Level.DECIDER
        usual, style = _LABELS[press]
        super().__init__(discord.ui.Button(label=label or usual, style=style, custom_id=f"draft:{draft_id}:{press}"))

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(int(match["id"]), Press(match["press"]))

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        presses = {Press.EDIT: self._edit, Press.WHY: self._say_why, Press.READ: self._read, Press.UNDO: self._undo}
        await presses.get(self.press, self._act)(interaction)

    async def _act(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        desk = interaction.client.app.drafts
        who = person(interaction)
        of_what_is_shown = {
            Press.APPROVE: desk.approve,
            Press.REGENERATE: desk.regenerate,
            Press.REJECT: desk.reject,
        }
        of_what_became_of_it = {
            Press.CONFIRM: desk.confirm_uploaded,
            Press.RESEND: desk.send_again,
            Press.RESTORE: desk.restore,
        }
        if self.press in of_what_is_shown:
            seen = functools.partial(_has_seen, interaction, who)
            draft = await of_what_is_shown[self.press](self.draft_id, who, seen=seen)
        else:
            draft = await of_what_became_of_it[self.press](self.draft_id, who)
        view = view_of(DraftButton(draft.id, Press.WHY)) if self.press is Press.REJECT else discord.utils.MISSING
        told = await answer_to(interaction.client.app, self.press, draft)
        await interaction.followup.send(told, view=view, ephemeral=True)

    async def _edit(self, interaction: discord.Interaction[Client]) -> None:
        draft = await waiting_draft(interaction.client, self.draft_id)
        await interaction.response.send_modal(EditForm(draft, f"draft:{draft.id}:form"))

    async def _say_why(self, interaction: discord.Interaction[Client]) -> None:
        draft = await get_draft(interaction.client.app.database, self.draft_id)
        if draft is None or draft.state is not DraftState.REJECTED:
            raise DraftDecided(f"Draft {self.draft_id} is not rejected.", "See /drafts show for how it stands.")
        await interaction.response.send_modal(ReasonForm(draft.id, draft.reason))

    async def _undo(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await take_back(interaction, self.draft_id)

    async def _read(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        draft = await get_draft(interaction.client.app.database, self.draft_id)
        if draft is None:
            raise DraftDecided(f"Draft {self.draft_id} does not exist any more.", "See /drafts list.")
        await send_in_full(interaction, draft)


class RemoveButton(DurableButton, template=r"draft:(?P<id>\d{1,15}):remove:(?P<post>\d{1,20})", needs=Level.DECIDER):
    """Deletes an uploaded draft on the blog: the second press, after a sentence that names the blog.

    It holds for the very post that the sentence was about, not for one that the draft has become since.
    """

    def __init__(self, draft_id: int, post_id: str, place: str = "") -> None:
        self.draft_id = draft_id
        self.post_id = post_id
        super().__init__(
            discord.ui.Button(
                label=f"Delete it from {place or 'the blog'}",
                style=discord.ButtonStyle.danger,
                custom_id=f"draft:{draft_id}:remove:{post_id}",
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(int(match["id"]), match["post"])

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        draft = await interaction.client.app.drafts.remove(self.draft_id, person(interaction), post_id=self.post_id)
        await interaction.followup.send(
            f"Draft {draft.id} is being deleted from {removal_place(draft)}. Its message says when that is certain.",
            ephemeral=True,
        )


def _has_seen(interaction: discord.Interaction[Client], who: Person, draft: Draft) -> bool:
    """Whether this person knows what the post will hold: from the message that they pressed on, or since they wrote it.

    A message is behind for some seconds after an edit, and for good once /drafts show has posted another one. Discord
    sends it along with the press, as it is there. Its text decides: that the row notes a message as up to date comes a
    moment after it is.
    """
    message = interaction.message
    if message is None:
        return False
    if draft.edited_by == who.id or (message.id == draft.message_id and draft.shown_version == draft.version):
        return True
    shown = render(draft, interaction.client.app.settings)
    # Where a text is cut, its beginning says nothing of what has changed further down.
    return shown.is_whole and [embed.description or "" for embed in message.embeds] == [shown.embed.description or ""]


async def take_back(interaction: discord.Interaction[Client], draft_id: int) -> Draft | None:
    """Undo the decision about a draft, or ask before something is deleted on the blog. Returns the draft if it waits.

    Raises:
        DraftDecided: there is nothing to undo.
    """
    app = interaction.client.app
    draft = await get_draft(app.database, draft_id)
    if draft is not None and draft.undo is Undo.ON_TUMBLR and draft.post_id is not None:
        place = removal_place(draft)
        button = RemoveButton(draft.id, draft.post_id, place.split(" of ")[0])
        await interaction.followup.send(
            f"Draft {draft.id} is on Tumblr already. Delete it from {place}? Then it waits for a decision again.",
            view=view_of(button),
            ephemeral=True,
        )
        return None
    draft = await app.drafts.undo(draft_id, person(interaction))
    await interaction.followup.send(f"Draft {draft.id} is back, and waits for a decision.", ephemeral=True)
    return draft


async def send_in_full(interaction: discord.Interaction[Client], draft: Draft) -> None:
    """All of a draft for one person: on a few pages, or as a file."""
    text = in_full(draft)
    pages = split_in_pages(text)
    if len(pages) > _MOST_PAGES:
        file = discord.File(io.BytesIO(text.encode("utf-8", "replace")), f"draft-{draft.id}.txt")
        await interaction.followup.send(f"All of draft {draft.id}:", file=file, ephemeral=True)
        return
    for number, page in enumerate(pages, 1):
        shown = discord.Embed(description=foreign(page))
        shown.set_footer(text=f"Draft {draft.id}, page {number} of {len(pages)}")
        await interaction.followup.send(embed=shown, ephemeral=True)


def split_in_pages(text: str) -> list[str]:
    """The text in parts that fit an embed once they are harmless, cut between lines or else words if possible."""
    pages: list[str] = []
    while length(text) > _PAGE:
        window = text[: _PAGE // 2] if length(text[:_PAGE]) > _PAGE else text[:_PAGE]
        at = max(window.rfind("\n"), window.rfind(" ") if "\n" not in window else -1) + 1
        at = at or len(window)
        pages.append(text[:at])
        text = text[at:]
    return [*pages, text] if text.strip() or not pages else pages


async def answer_to(app: App, press: Press, draft: Draft) -> str:
    """What the person who pressed is told."""
    will_be = WILL_BE[draft.upload_state].format(blog=f"**{foreign(draft.blog)}**")
    if press is not Press.APPROVE:
        instead = (await app.voices.once_more(draft.voice_id)).instead if press is Press.REGENERATE else ""
        return f"{_ANSWERS[press].format(id=draft.id, will_be=will_be)} {foreign(instead)}".rstrip()
    if draft.state is DraftState.PENDING:
        missing = app.drafts.rules.approvals - len(draft.approved_by)
        return f"Your approval of draft {draft.id} is noted. It takes {missing} more."
    return f"Draft {draft.id} is approved and {will_be}{turn(draft)}."


def turn(draft: Draft) -> str:
    """When an approved draft goes, after a sentence that says where."""
    return "" if draft.publish_at is None else f", when its turn has come: <t:{int(draft.publish_at)}:f>"


def draft_view(draft: Draft, *, is_whole: bool = True) -> discord.ui.View | None:
    """The buttons that a draft has now; `is_whole` says whether its message holds all of it."""
    presses: list[Press] = []
    if draft.state is DraftState.PENDING:
        presses = [Press.APPROVE, Press.EDIT, Press.REGENERATE, Press.REJECT]
    elif draft.state is DraftState.UNKNOWN and draft.note:
        presses = [Press.CONFIRM, Press.RESEND]  # looking did not settle it: it is a person's turn
    elif draft.state is DraftState.REPLACED:
        presses = [Press.RESTORE]
    elif draft.undo is not None:
        presses = [Press.UNDO]
    if draft.state is DraftState.REJECTED:
        presses.append(Press.WHY)
    if not is_whole:
        presses.append(Press.READ)
    items: list[discord.ui.Item[Any]] = [DraftButton(draft.id, press) for press in presses]
    link = web_address(draft.post_url)
    if draft.state is DraftState.UPLOADED and link is not None:
        items.insert(0, discord.ui.Button(label="Open on Tumblr", url=link))
    return view_of(*items) if items else None
