"""What decisions teach: lines that say which text was good, and which of two was better.

Only what a voice wrote goes into them, and what it was asked by the bot. Texts that people typed in Discord (edits, and
prompts of their own) come along only where the owner has said so: Discord wants consent before such text is used for
training. Reasons and names never do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.drafts import DraftState
from bot.examples import format_problems, training_line
from bot.store import lessons
from bot.store.database import Database
from bot.store.lessons import Judged

_KEPT = frozenset({DraftState.APPROVED, DraftState.UPLOADING, DraftState.UNKNOWN, DraftState.UPLOADED})
_GIVEN_UP = frozenset({DraftState.REPLACED, DraftState.REJECTED})


@dataclass(frozen=True, slots=True)
class Preferences:
    """JSON Lines: `kto` with a label for each text, `dpo` with pairs in OpenAI's format for preference tuning."""

    kto: tuple[str, ...]
    dpo: tuple[str, ...]


async def preferences(database: Database, *, typed_text: bool) -> Preferences:
    """What the decisions until now teach; with what people typed only if `typed_text`."""
    judged = await lessons.judged_drafts(database)
    return await asyncio.to_thread(_learn, judged, typed_text=typed_text)


async def drafts_as_lines(database: Database, states: Sequence[DraftState]) -> list[str]:
    """The drafts in these states (all, where none is named) with every decision about them, one JSON object a line."""
    drafts = await lessons.drafts_with_decisions(database, states)
    return await asyncio.to_thread(lambda: [json.dumps(draft, ensure_ascii=False) for draft in drafts])


def _learn(judged: Sequence[Judged], *, typed_text: bool) -> Preferences:
    usable = {draft.id: draft for draft in judged if _is_usable(draft) and (typed_text or not draft.typed_prompt)}
    kto = [line for draft in usable.values() if (line := _label(draft, typed_text=typed_text)) is not None]
    dpo = [line for draft in usable.values() for line in _pairs(draft, usable, typed_text=typed_text)]
    return Preferences(tuple(kto), tuple(dpo))


def _is_usable(draft: Judged) -> bool:
    """Whether services take the texts of this draft: none is empty, holds half a character or a marker of models."""
    texts = {draft.text, draft.original_text}
    return not any(format_problems(training_line(draft.developer_message, draft.prompt, text)) for text in texts)


def _label(draft: Judged, *, typed_text: bool) -> str | None:
    """Whether a text was good; None where nobody has said so."""
    if draft.state in _KEPT:
        if draft.text != draft.original_text and not typed_text:
            return None
        text, is_good = draft.text, True
    elif draft.state is DraftState.REPLACED or draft.rejected_by_person:
        text, is_good = draft.original_text, False
    else:
        return None  # it has expired
    line = {"prompt": _asked(draft), "completion": _said(text), "label": is_good}
    return json.dumps(line, ensure_ascii=False)


def _pairs(draft: Judged, drafts: Mapping[int, Judged], *, typed_text: bool) -> Iterator[str]:
    """What a kept draft was better than: its own first version, and those that it was written instead of."""
    is_edited = draft.text != draft.original_text
    if draft.state not in _KEPT or (is_edited and not typed_text):
        return
    if is_edited:
        yield _pair(draft, draft.text, draft.original_text)
    seen = {draft.id}
    before = drafts.get(draft.replaces or 0)
    while before is not None and before.id not in seen:
        if before.state in _GIVEN_UP and _asked(before) == _asked(draft) and before.original_text != draft.text:
            yield _pair(draft, draft.text, before.original_text)
        seen.add(before.id)
        before = drafts.get(before.replaces or 0)


def _pair(draft: Judged, better: str, worse: str) -> str:
    line = {
        "input": {"messages": _asked(draft)},
        "preferred_output": _said(better),
        "non_preferred_output": _said(worse),
    }
    return json.dumps(line, ensure_ascii=False)


def _asked(draft: Judged) -> list[dict[str, str]]:
    asked = [{"role": "developer", "content": draft.developer_message}, {"role": "user", "content": draft.prompt}]
    return [message for message in asked if message["content"].strip()]


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]
