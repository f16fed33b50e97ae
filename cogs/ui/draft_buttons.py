"""A draft's buttons, and the form to edit it. Their ids are `draft:<id>:<action>`; the truth is in the database.

Forms are read by their id, as buttons are (`cogs.ui.forms` says why).
"""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from bot.client import Client, is_permitted
from bot.drafts import Action, Draft, DraftState, UploadState
from bot.errors import DraftDecided
from bot.store.drafts import get_draft
from cogs.ui.buttons import explained, person
from cogs.ui.forms import form_values
from cogs.ui.limits import MODAL_INPUT, foreign, length, web_address

_LABELS = {
    Action.APPROVE: ("Approve", discord.ButtonStyle.success),
    Action.EDIT: ("Edit", discord.ButtonStyle.primary),
    Action.REGENERATE: ("Regenerate", discord.ButtonStyle.secondary),
    Action.REJECT: ("Reject", discord.ButtonStyle.danger),
    Action.CONFIRM: ("It is on the blog", discord.ButtonStyle.success),
    Action.RESEND: ("Send again", discord.ButtonStyle.danger),
}
_ANSWERS = {
    Action.APPROVE: "Draft {id} is approved and {will_be}.",
    Action.REGENERATE: "Draft {id} is set aside, and another one is being written.",
    Action.REJECT: "Draft {id} is rejected. It will not be posted.",
    Action.CONFIRM: "Draft {id} is noted as uploaded.",
    Action.RESEND: "Draft {id} is being sent again and {will_be}.",
}
WILL_BE = {
    UploadState.DRAFT: "will be saved as a draft on {blog}",
    UploadState.QUEUE: "will be put into the queue of {blog}",
    UploadState.PUBLISHED: "will be published on {blog} at once, for everybody to see",
    UploadState.PRIVATE: "will be posted on {blog} as a private post",
}
"""Where an approved draft goes, and as what; also on its message."""
_PARTS = 4  # inputs of a form that hold text; a fifth is for the tags
_FORM = re.compile(r"draft:(?P<id>\d+):form")


class DraftButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=r"draft:(?P<id>\d+):(?P<action>approve|edit|regenerate|reject|confirm|resend)",
):
    """One of a draft's buttons."""

    def __init__(self, draft_id: int, action: Action) -> None:
        self.draft_id = draft_id
        self.action = action
        label, style = _LABELS[action]
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=f"draft:{draft_id}:{action}"))

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction[Any], _item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(int(match["id"]), Action(match["action"]))

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        return await is_permitted(interaction)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await explained(interaction, self._edit(interaction) if self.action is Action.EDIT else self._act(interaction))

    async def _act(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        app = interaction.client.app
        act = {
            Action.APPROVE: app.approve,
            Action.REGENERATE: app.regenerate,
            Action.REJECT: app.reject,
            Action.CONFIRM: app.confirm_uploaded,
            Action.RESEND: app.send_again,
        }[self.action]
        draft = await act(self.draft_id, person(interaction))
        will_be = WILL_BE[draft.upload_state].format(blog=f"**{foreign(draft.blog)}**")
        await interaction.followup.send(_ANSWERS[self.action].format(id=draft.id, will_be=will_be), ephemeral=True)

    async def _edit(self, interaction: discord.Interaction[Client]) -> None:
        # A form must be the first answer, so the draft is read before it: a row by its key, well within 3 seconds.
        draft = await get_draft(interaction.client.app.database, self.draft_id)
        if draft is None or draft.state is not DraftState.PENDING:
            state = "gone" if draft is None else f"already {draft.state}"
            raise DraftDecided(f"Draft {self.draft_id} is {state}.", "See /drafts for those that wait.")
        parts = split_for_form(draft.text)
        if len(parts) > _PARTS:
            raise DraftDecided(
                f"Draft {draft.id} is too long for a form in Discord.",
                "Approve it as it is and edit it on Tumblr, or regenerate it.",
            )
        await interaction.response.send_modal(EditForm(draft, parts))


class EditForm(discord.ui.Modal):
    """The text in as many parts as Discord's forms need, then the tags. `receive_form` gets what is sent."""

    def __init__(self, draft: Draft, parts: list[str]) -> None:
        super().__init__(title=f"Edit draft {draft.id}", custom_id=f"draft:{draft.id}:form")
        for number, part in enumerate(parts, 1):
            label = "Text" if len(parts) == 1 else f"Text, part {number} of {len(parts)}"
            self.add_item(_field(label, f"text-{number}", part, required=number == 1))
        self.add_item(_field("Tags, separated by commas", "tags", ", ".join(draft.tags), required=False))


async def receive_form(interaction: discord.Interaction[Client]) -> None:
    """Take what somebody typed into an `EditForm`, whichever process showed it; leave every other form alone."""
    form, values = form_values(interaction)
    found = _FORM.fullmatch(form)
    if found is not None and await is_permitted(interaction):
        await explained(interaction, _save(interaction, int(found["id"]), values))


async def _save(interaction: discord.Interaction[Client], draft_id: int, values: dict[str, str]) -> None:
    await interaction.response.defer(ephemeral=True, thinking=True)
    text = "".join(values.get(f"text-{number}", "") for number in range(1, _PARTS + 1))
    await interaction.client.app.edit(draft_id, person(interaction), text=text, tags=values.get("tags", ""))
    await interaction.followup.send(f"Draft {draft_id} has its new text.", ephemeral=True)


def _field(label: str, custom_id: str, value: str, *, required: bool) -> discord.ui.TextInput[Any]:
    return discord.ui.TextInput(
        label=label,
        custom_id=custom_id,
        style=discord.TextStyle.paragraph,
        default=value,
        required=required,
        max_length=MODAL_INPUT,
    )


def split_for_form(text: str) -> list[str]:
    """The text in parts that a form's input holds; joined again they are the text, to the letter."""
    parts: list[str] = []
    current = ""
    for line in text.splitlines(keepends=True) or [""]:
        rest = line
        while length(current) + length(rest) > MODAL_INPUT:
            room = MODAL_INPUT - length(current)
            head = rest[: room // 2] if not current else ""  # half: a character may count twice
            parts.append(current + head)
            current, rest = "", rest[len(head) :]
        current += rest
    return [*parts, current] if current or not parts else parts


def draft_view(draft: Draft) -> discord.ui.View | None:
    """The buttons that a draft has now."""
    if draft.state is DraftState.PENDING:
        actions = [Action.APPROVE, Action.EDIT, Action.REGENERATE, Action.REJECT]
    elif draft.state is DraftState.UNKNOWN and draft.note:
        actions = [Action.CONFIRM, Action.RESEND]  # looking did not settle it: it is a person's turn
    else:
        actions = []
    view = discord.ui.View(timeout=None)
    for action in actions:
        view.add_item(DraftButton(draft.id, action))
    link = web_address(draft.post_url)
    if draft.state is DraftState.UPLOADED and link is not None:
        view.add_item(discord.ui.Button(label="Open on Tumblr", url=link))
    return view if view.children else None
