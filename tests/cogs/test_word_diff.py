"""What an edit has changed, in few and harmless words."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogs.ui.draft_buttons import split_in_pages
from cogs.ui.limits import DESCRIPTION, foreign, length
from cogs.ui.word_diff import changes

NASTY = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from([
            "@everyone", "<@123456789012345678>", "[look](https://a.invalid)", "```", "~~", "**", "\n\n", "# ", "👨‍👩‍👧",
            "שלום", "\u202e", "discord.gg/abc", "word " * 900, "\\", "https://a.invalid/**x**",
        ]),
    ),
    max_size=12,
).map(" ".join)  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("the lamp was cold", "the lamp was cold", ""),
        ("the  lamp\nwas cold", "the lamp was cold", ""),
        ("the lamp was cold", "the lamp was warm", "the lamp was ~~cold~~ **warm**"),
        ("cold", "", "~~cold~~"),
        ("", "warm", "**warm**"),
        ("a b c d e f g h i j X", "a b c d e f g h i j Y", "… g h i j ~~X~~ **Y**"),
        ("X a b c d e f g h i j", "Y a b c d e f g h i j", "~~X~~ **Y** a b c d …"),
        ("see **this** @everyone", "see that", "see ~~\\*\\*this\\*\\* @\u200beveryone~~ **that**"),
    ],
)
def test_what_went_is_struck_out_and_what_came_is_bold(before: str, after: str, shown: str):
    assert changes(before, after) == shown


@given(before=NASTY, after=NASTY)
@settings(deadline=None)
def test_any_change_is_harmless_and_short(before: str, after: str):
    shown = changes(before, after)
    assert length(shown) <= 1_500
    assert bool(shown) == (before.split() != after.split())
    assert "@everyone" not in shown
    assert "<@1" not in shown
    assert "](http" not in shown
    assert "```" not in shown
    assert not re.search(r"discord\.gg/", shown)


def test_a_rewritten_novel_does_not_take_for_ever():
    began = time.process_time()
    assert changes("one two three " * 1_500, "four five six " * 1_500) == "4,500 words became 4,500."
    assert time.process_time() - began < 5


@given(NASTY)
@settings(deadline=None)
def test_pages_lose_nothing_and_fit(text: str):
    pages = split_in_pages(text)
    assert "".join(pages).strip() == text.strip()
    assert all(length(foreign(page)) <= DESCRIPTION for page in pages)
