"""Which posts fit a prompt: those with its telling words, in any script, whatever the prompt is made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.voices.fitting import LONGEST_LOOKED_AT, index, most_fitting

BLOG = [
    "The kettle sang, and the light was lit.",
    "Gulls! The gulls stole the chips.",
    "A very long evening about the kettle, the lamp, the stairs, the sea, the fog, one of the gulls, and the log book.",
    "Nothing happened today.",
    "The lamp smokes.",
]


def test_the_rarer_word_counts_for_more_and_the_longer_text_for_less():
    assert most_fitting(index(BLOG), "The gulls!", 5) == [1, 2]
    assert most_fitting(index(BLOG), "gulls, and the chips", 1) == [1]
    assert most_fitting(index(BLOG), "LAMP", 5) == [4, 2]


def test_a_word_that_most_texts_have_tells_nothing():
    assert most_fitting(index(BLOG), "the", 5) == []


def test_what_is_left_out_is_not_found():
    assert most_fitting(index(BLOG), "gulls", 5, without={1}) == [2]


@pytest.mark.parametrize(
    ("texts", "prompt", "best"),
    [
        (["今日は海へ行った。", "猫が屋根で寝ている。", "灯台の光を見た。"], "屋根の猫について書いて", 1),
        (["วันนี้ฝนตก", "แมวนอนบนหลังคา", "ไปทะเล"], "เขียนเรื่องแมว", 1),
        (["बारिश हो रही है", "बिल्ली छत पर है", "समुद्र शांत था"], "बिल्ली", 1),
        (["חתול על הגג", "גשם היום", "הים שקט"], "גשם", 1),
        (["고양이 지붕", "비가 온다", "바다"], "고양이", 0),
        (["STRASSE und Regen", "Möwen am Kai", "Tee"], "straße", 0),
        (["tea for 2", "room 101", "nothing"], "What was in 101?", 1),
    ],
)
def test_any_script(texts: list[str], prompt: str, best: int):
    assert most_fitting(index(texts), prompt, 1) == [best]


@pytest.mark.parametrize("prompt", ["", "?!", "\0", "🦭🦭", "zebra", "\ud800", " " * 1_000_000, "z" * 1_000_000])
def test_a_prompt_without_a_known_word_fits_nothing(prompt: str):
    assert most_fitting(index(BLOG), prompt, 5) == []


def test_of_a_huge_prompt_the_beginning_is_looked_at():
    assert most_fitting(index(BLOG), "gulls " * 200_000, 5) == [1, 2]
    assert most_fitting(index(BLOG), " " * LONGEST_LOOKED_AT + "gulls", 5) == []


def test_of_many_words_the_rarest_are_looked_at():
    common, rare = ([f"{word}{number}" for number in range(100)] for word in ("common", "rare"))
    texts = [" ".join(common), " ".join(common), " ".join(rare), *BLOG]
    assert most_fitting(index(texts), " ".join([*common, *rare]), 5) == [2]
    assert sorted(most_fitting(index(texts), " ".join([*common, *rare[1:]]), 5)) == [0, 1, 2]


def test_nothing_is_found_in_nothing():
    assert most_fitting(index([]), "gulls", 5) == []
    assert most_fitting(index(["", " ", "?"]), "gulls", 5) == []


@given(
    st.lists(st.text(max_size=40), max_size=12), st.text(max_size=60), st.integers(0, 5), st.sets(st.integers(0, 12))
)
def test_what_is_found_is_there_once_and_allowed(texts: list[str], prompt: str, most: int, without: set[int]):
    found = most_fitting(index(texts), prompt, most, without=without)
    assert len(found) == len(set(found)) <= most
    assert set(found) <= set(range(len(texts))) - without
    assert found == most_fitting(index(texts), prompt, most, without=without)
