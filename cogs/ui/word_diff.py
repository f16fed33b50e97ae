"""What an edit has changed, word by word, in few lines."""

from __future__ import annotations

import difflib
import re

from cogs.ui.limits import cut, foreign

_KEPT = 4  # words that are shown of what stayed, on each side of a change
_LONGEST = 1_500  # code units
_MOST_WORDS = 2_500  # comparing takes time that grows with their square


def changes(before: str, after: str) -> str:
    """The changes, harmless: what went is struck out, what came is bold; "" where the words are the same.

    Takes some time for long texts, so it belongs in a thread.
    """
    old, new = _words(before), _words(after)
    if old == new:
        return ""
    if len(old) + len(new) > _MOST_WORDS:
        return f"{len(old):,} words became {len(new):,}."
    shown: list[str] = []
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    blocks = matcher.get_opcodes()
    for number, (kind, old_from, old_to, new_from, new_to) in enumerate(blocks):
        if kind == "equal":
            shown.append(_kept(old[old_from:old_to], is_first=number == 0, is_last=number == len(blocks) - 1))
            continue
        if old_to > old_from:
            shown.append(f"~~{foreign(cut(' '.join(old[old_from:old_to]), 400))}~~")
        if new_to > new_from:
            shown.append(f"**{foreign(cut(' '.join(new[new_from:new_to]), 400))}**")
    return cut(" ".join(part for part in shown if part), _LONGEST)


def _words(text: str) -> list[str]:
    return re.findall(r"\S+", text)


def _kept(words: list[str], *, is_first: bool, is_last: bool) -> str:
    head = [] if is_first else words[:_KEPT]
    tail = [] if is_last else words[-_KEPT:]
    if len(words) <= len(head) + len(tail):
        return foreign(" ".join(words))
    return foreign(" ".join([*head, "…", *tail]))
