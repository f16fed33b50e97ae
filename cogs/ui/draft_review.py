"""/drafts review: one message that shows one waiting draft after the other. Its ids are `review:<id>:<version>:<step>`.

Nothing is kept but the ids: the next draft is the next one that waits after this one, so several people may review at
once, and a press that comes after somebody else's is told so and moves on. The version is what the person was shown: a
draft that has changed since is shown again instead of being decided.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Self

import discord

from bot.client import Client
from bot.drafts import Draft, DraftState, seen_version
from bot.errors import DraftDecided
from bot.permissions import Level
from bot.store.drafts import Wanted, find_drafts, get_draft
from cogs.ui.buttons import person
from cogs.ui.draft_buttons import DraftButton, Press, answer_to, take_back
from cogs.ui.draft_embed import render
from cogs.ui.draft_forms import EditForm, save_edit, waiting_draft
from cogs.ui.items import DurableButton, Form, view_of

_WAITING = Wanted((DraftState.PENDING,))


class Step(StrEnum):
    """What the buttons of a review do."""

    APPROVE = "approve"
    EDIT = "edit"
    REGENERATE = "regenerate"
    REJECT = "reject"
    SKIP = "skip"
    UNDO = "undo"


_LABELS = {
    Step.APPROVE: ("Approve", discord.ButtonStyle.success),
    Step.EDIT: ("Edit", discord.ButtonStyle.primary),
    Step.REGENERATE: ("Regenerate", discord.ButtonStyle.secondary),
    Step.REJECT: ("Reject", discord.ButtonStyle.danger),
    Step.SKIP: ("Skip", discord.ButtonStyle.secondary),
    Step.UNDO: ("Undo", discord.ButtonStyle.secondary),
}
_DECIDES = {Step.APPROVE: Press.APPROVE, Step.REGENERATE: Press.REGENERATE, Step.REJECT: Press.REJECT}


class ReviewButton(
    DurableButton,
    template=rf"review:(?P<id>\d{{1,15}}):(?P<version>\d{{1,9}}):(?P<step>{'|'.join(Step)})",
    needs=Level.DECIDER,
):
    """One of the buttons below the draft that is shown; *Undo* is about the one before it."""

    def __init__(self, draft_id: int, version: int, step: Step, label: str = "", row: int | None = None) -> None:
        self.draft_id = draft_id
        self.version = version
        self.step = step
        self.needs = Level.REVIEWER if step is Step.SKIP else Level.DECIDER
        usual, style = _LABELS[step]
        super().__init__(
            discord.ui.Button(
                label=label or usual, style=style, custom_id=f"review:{draft_id}:{version}:{step}", row=row
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(int(match["id"]), int(match["version"]), Step(match["step"]))

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        steps = {Step.EDIT: self._edit, Step.SKIP: self._skip, Step.UNDO: self._undo}
        await steps.get(self.step, self._decide)(interaction)

    async def _decide(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer()
        desk = interaction.client.app.drafts
        press = _DECIDES[self.step]
        act = {Press.APPROVE: desk.approve, Press.REGENERATE: desk.regenerate, Press.REJECT: desk.reject}[press]
        try:
            draft = await act(self.draft_id, person(interaction), seen=seen_version(self.version))
        except DraftDecided as too_late:
            await _show_again_or_next(interaction, self.draft_id, str(too_late))
            return
        told = await answer_to(interaction.client.app, press, draft)
        await _show_next(interaction, draft.id, told, decided=draft)

    async def _edit(self, interaction: discord.Interaction[Client]) -> None:
        draft = await waiting_draft(interaction.client, self.draft_id)
        await interaction.response.send_modal(EditForm(draft, f"review:{draft.id}:form"))

    async def _skip(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer()
        await _show_next(interaction, self.draft_id, "")

    async def _undo(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer()
        draft = await take_back(interaction, self.draft_id)
        if draft is not None:
            await _show(interaction, draft, "")


async def begin_review(interaction: discord.Interaction[Client]) -> None:
    """Show the first draft that waits, in a message of this person's own, after a deferred answer."""
    await _show_next(interaction, 0, "")


async def _edited(interaction: discord.Interaction[Client], found: re.Match[str], values: dict[str, str]) -> None:
    """Keep what was typed, and show the draft as it is then."""
    draft_id = int(found["id"])
    await interaction.response.defer()
    try:
        changed = await save_edit(interaction, draft_id, values)
    except DraftDecided as refused:
        await _show_again_or_next(interaction, draft_id, str(refused))
        return
    await _show_again_or_next(interaction, draft_id, f"Draft {draft_id} has its new text.", changed)


REVIEW_FORM = Form(re.compile(r"review:(?P<id>\d{1,15}):form"), Level.DECIDER, _edited)


async def _show_again_or_next(
    interaction: discord.Interaction[Client], draft_id: int, said: str, changed: discord.Embed | None = None
) -> None:
    """The same draft while it waits, else the next one."""
    draft = await get_draft(interaction.client.app.database, draft_id)
    if draft is not None and draft.state is DraftState.PENDING:
        await _show(interaction, draft, said, changed=changed)
    else:
        await _show_next(interaction, draft_id, said)


async def _show_next(
    interaction: discord.Interaction[Client], draft_id: int, said: str, *, decided: Draft | None = None
) -> None:
    """The next draft that waits after this one, or how it stands at the end."""
    found, waiting = await find_drafts(interaction.client.app.database, _WAITING, after_id=draft_id, limit=1)
    if found:
        await _show(interaction, found[0], said, decided=decided)
        return
    view = view_of()
    _add_second_thoughts(view, decided, row=None)
    if waiting:
        said = f"{said}\nThat was the last one. {_waits(waiting)}".strip()
        view.add_item(ReviewButton(0, 0, Step.SKIP, "From the start"))
    else:
        said = f"{said}\nNo draft waits for a decision. /generate writes some.".strip()
    await interaction.edit_original_response(content=said, embeds=[], view=view)


async def _show(
    interaction: discord.Interaction[Client],
    draft: Draft,
    said: str,
    *,
    decided: Draft | None = None,
    changed: discord.Embed | None = None,
) -> None:
    app = interaction.client.app
    _, waiting = await find_drafts(app.database, _WAITING, limit=1)
    shown = render(draft, app.settings)
    steps = (Step.APPROVE, Step.EDIT, Step.REGENERATE, Step.REJECT, Step.SKIP)
    view = view_of(*(ReviewButton(draft.id, draft.version, step, row=0) for step in steps))
    _add_second_thoughts(view, decided, row=1)
    if not shown.is_whole:
        view.add_item(DraftButton(draft.id, Press.READ))
    embeds = [shown.embed]
    if changed is not None and len(changed) + len(shown.embed) <= 6000:  # noqa: PLR2004 - Discord's limit
        embeds.append(changed)
    content = f"{said}\n{_waits(waiting)}".strip()
    await interaction.edit_original_response(content=content, embeds=embeds, view=view)


def _add_second_thoughts(view: discord.ui.View, decided: Draft | None, row: int | None) -> None:
    """Buttons about the draft that was just decided."""
    if decided is None or decided.state is DraftState.PENDING:
        return
    if decided.state is DraftState.REPLACED:
        view.add_item(DraftButton(decided.id, Press.RESTORE, f"Bring back draft {decided.id}"))
        return
    view.add_item(ReviewButton(decided.id, 0, Step.UNDO, f"Undo draft {decided.id}", row))
    if decided.state is DraftState.REJECTED:
        view.add_item(DraftButton(decided.id, Press.WHY, f"Say why not draft {decided.id}"))


def _waits(count: int) -> str:
    return "1 draft waits." if count == 1 else f"{count:,} drafts wait."
