"""How many of what, and the states of a draft, in words."""

from __future__ import annotations

from bot.drafts import DraftState
from bot.words import counted, in_system_words


def test_one_thing_is_not_several():
    assert [counted(number, "draft") for number in (0, 1, 2, 12_345)] == [
        "0 drafts",
        "1 draft",
        "2 drafts",
        "12,345 drafts",
    ]
    assert [counted(number, "entry", "entries") for number in (1, 2)] == ["1 entry", "2 entries"]


def test_a_draft_is_never_pending_or_unknown_to_people():
    for state in DraftState:
        assert not {"pending", "unknown"} & set(f"{state.words} {state.clause}".split())
    assert DraftState.UPLOADED.clause == "it is uploaded"
    assert DraftState.PENDING.words == "waiting"


def test_why_a_file_cannot_be_used_is_no_name_of_a_class():
    assert in_system_words(PermissionError(13, "Permission denied", "/home/somebody/secret")) == "permission denied"
    assert in_system_words(UnicodeDecodeError("utf-8", b"x", 0, 1, "invalid")) == "not a text in UTF-8"
