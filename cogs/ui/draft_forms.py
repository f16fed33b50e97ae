"""The forms of a draft: its text and tags to be edited, and why somebody rejected it.

Forms are read by their id, as buttons are (`cogs.ui.forms` says why).
"""

from __future__ import annotations

import asyncio
import io
import re
from typing import Any

import discord

from bot.client import Client
from bot.drafts import Draft, DraftState
from bot.errors import DraftDecided
from bot.permissions import Level
from bot.store.drafts import get_draft
from cogs.ui.buttons import person
from cogs.ui.items import Form
from cogs.ui.limits import MODAL_INPUT, embed, foreign, length
from cogs.ui.word_diff import changes

_PARTS = 4  # inputs of a form that hold text; a fifth is for the tags
_LONGEST_REASON = 500


class EditForm(discord.ui.Modal):
    """The text in as many parts as Discord's forms need, then the tags. `custom_id` says who gets what is sent."""

    def __init__(self, draft: Draft, custom_id: str) -> None:
        """Raise DraftDecided for a text that is too long for any form."""
        parts = split_for_form(draft.text)
        if len(parts) > _PARTS:
            raise DraftDecided(
                f"Draft {draft.id} is too long for a form in Discord.",
                "Approve it as it is and edit it on Tumblr, or regenerate it.",
            )
        super().__init__(title=f"Edit draft {draft.id}", custom_id=custom_id)
        for number, part in enumerate(parts, 1):
            label = "Text" if len(parts) == 1 else f"Text, part {number} of {len(parts)}"
            self.add_item(_field(label, f"text-{number}", part, required=number == 1, longest=MODAL_INPUT))
        tags = ", ".join(draft.tags)
        self.add_item(_field("Tags, separated by commas", "tags", tags, required=False, longest=MODAL_INPUT))


class ReasonForm(discord.ui.Modal):
    """Why a draft was rejected, in a few words."""

    def __init__(self, draft_id: int, reason: str) -> None:
        super().__init__(title=f"Why not draft {draft_id}?", custom_id=f"draft:{draft_id}:why")
        self.add_item(_field("In a few words", "reason", reason, required=False, longest=_LONGEST_REASON))


async def waiting_draft(client: Client, draft_id: int) -> Draft:
    """A draft that can be edited: a row by its key, well within the 3 seconds in which a form must be shown.

    Raises:
        DraftDecided: it does not wait any more.
    """
    draft = await get_draft(client.app.database, draft_id)
    if draft is None or draft.state is not DraftState.PENDING:
        why = "it is not here any more" if draft is None else draft.state.clause
        raise DraftDecided(f"Draft {draft_id} cannot be edited: {why}.", "See /drafts list for those that wait.")
    return draft


async def save_edit(
    interaction: discord.Interaction[Client], draft_id: int, values: dict[str, str]
) -> discord.Embed | None:
    """Keep what an `EditForm` holds. Returns what it changed; None: nothing but spaces.

    Raises:
        DraftDecided: it comes too late; whoever typed the text has it back then, as a file.
    """
    app = interaction.client.app
    before = await get_draft(app.database, draft_id)
    text = "".join(values.get(f"text-{number}", "") for number in range(1, _PARTS + 1))
    try:
        after = await app.drafts.edit(draft_id, person(interaction), text=text, tags=values.get("tags", ""))
    except DraftDecided:
        if text.strip():
            file = discord.File(io.BytesIO(text.encode("utf-8", "replace")), f"draft-{draft_id}.txt")
            await interaction.followup.send("What you typed was not kept. Here it is.", file=file, ephemeral=True)
        raise
    if before is None:
        return None
    words = await asyncio.to_thread(changes, before.text, after.text)
    tags = await asyncio.to_thread(changes, _as_words(before.tags), _as_words(after.tags))
    fields = [("Tags", tags, False)] if tags else []
    return embed(title="What changed", description=words, fields=fields) if words or tags else None


async def _edited(interaction: discord.Interaction[Client], found: re.Match[str], values: dict[str, str]) -> None:
    draft_id = int(found["id"])
    await interaction.response.defer(ephemeral=True, thinking=True)
    changed = await save_edit(interaction, draft_id, values)
    await interaction.followup.send(
        f"Draft {draft_id} has its new text.", embed=changed or discord.utils.MISSING, ephemeral=True
    )


async def _reasoned(interaction: discord.Interaction[Client], found: re.Match[str], values: dict[str, str]) -> None:
    draft_id = int(found["id"])
    await interaction.response.defer(ephemeral=True, thinking=True)
    reason = values.get("reason", "").strip()
    await interaction.client.app.drafts.say_why(draft_id, person(interaction), reason)
    said = f"Noted for draft {draft_id}: {foreign(reason)}" if reason else f"Draft {draft_id} has no reason now."
    await interaction.followup.send(said, ephemeral=True)


EDIT_FORM = Form(re.compile(r"draft:(?P<id>\d{1,15}):form"), Level.DECIDER, _edited)
REASON_FORM = Form(re.compile(r"draft:(?P<id>\d{1,15}):why"), Level.DECIDER, _reasoned)


def _as_words(tags: tuple[str, ...]) -> str:
    return " ".join(f"#{tag}" for tag in tags)


def _field(label: str, custom_id: str, value: str, *, required: bool, longest: int) -> discord.ui.TextInput[Any]:
    return discord.ui.TextInput(
        label=label,
        custom_id=custom_id,
        style=discord.TextStyle.paragraph,
        default=value,
        required=required,
        max_length=longest,
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
