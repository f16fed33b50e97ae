"""What texts are cleaned of: markers, redirects, filtered words, duplicates. Each rule, and what must not go with it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import NothingToDo
from bot.examples import MARKER, compile_pattern
from bot.pipeline.cleaning import (
    WordFilter,
    break_markers,
    clean,
    exact_duplicates,
    near_duplicates,
    plain_words,
    undo_redirects,
)

# --- markers --------------------------------------------------------------------------------------------------


def test_markers_are_broken_up_and_their_words_stay():
    assert break_markers("an end <|endoftext|>, <|fim_suffix|>") == "an end < |endoftext| >, < |fim_suffix| >"


@given(st.text(alphabet="<|>a ") | st.text())
def test_no_marker_is_left_whatever_stood_there(text: str):
    cleaned = break_markers(text)
    assert "<|" not in cleaned
    assert "|>" not in cleaned
    assert not MARKER.search(cleaned)
    assert cleaned.replace(" ", "") == text.replace(" ", "")


# --- redirects ------------------------------------------------------------------------------------------------

TARGET = "https://example.com/a?b=c&d=e#f"
WRAPPED = "https://t.umblr.com/redirect?" + urlencode({"z": TARGET, "t": "YWJj", "b": "t:x", "m": "1"})


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (f"see {WRAPPED} there", f"see {TARGET} there"),
        (f"({WRAPPED}).", f"({TARGET})."),
        (f"{WRAPPED}\n{WRAPPED}", f"{TARGET}\n{TARGET}"),
        ("http://t.umblr.com/redirect?t=1&z=https%3A%2F%2Fexample.com", "https://example.com"),
        ("HTTPS://T.UMBLR.COM/redirect?z=https%3A%2F%2Fexample.com", "https://example.com"),
        (f"https://href.li/?{TARGET}", TARGET),
        (f"https://href.li?{TARGET},", f"{TARGET},"),
        (f"https://href.li/?{WRAPPED}", TARGET),
        ("https://t.umblr.com/redirect?z=" + quote(f"https://href.li/?{TARGET}", safe=""), TARGET),
        ("https://example.com/?utm_source=x", "https://example.com/?utm_source=x"),
        ("https://not-t.umblr.com.example/redirect?z=https%3A%2F%2Fa.b", None),
        ("https://t.umblr.com/redirect?t=1", None),
        ("https://t.umblr.com/redirect?z=", None),
        ("https://t.umblr.com/redirect?z=javascript%3Aalert(1)", None),
        ("https://t.umblr.com/redirect?z=https%3A%2F%2Fa.b%2F%0Ahidden", None),
        ("https://t.umblr.com/redirect?z=https%3A%2F%2Fa.b%2F%ff", None),
        ("https://href.li/?no address", None),
        ("https://t.umblr.com/redirect?" + "&".join(f"a{n}=1" for n in range(99)), None),
        ("no link, but umblr.com/redirect?z=", None),
    ],
)
def test_redirects_are_undone_and_nothing_else_changes(text: str, cleaned: str | None):
    assert undo_redirects(text) == (text if cleaned is None else cleaned)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40), st.sampled_from(["", " ", ".", ") "]))
def test_a_target_comes_out_as_it_went_in_or_the_link_stays(path: str, after: str):
    target = "https://example.com/" + path
    text = f"see https://t.umblr.com/redirect?{urlencode({'t': 'x', 'z': target, 'b': 'y'})}{after}"
    assert undo_redirects(text) in {text, f"see {target}{after}"}


@given(
    st.lists(st.sampled_from([*"?&=%/:.<|> \n", "https://", "t.umblr.com/redirect?", "href.li/?", "z=", "%3A%2F", "a"]))
)
def test_hostile_redirects_never_raise_and_add_nothing(parts: list[str]):
    text = "".join(parts)
    cleaned = clean(text)
    assert not MARKER.search(cleaned)
    assert cleaned.count("\n") <= text.count("\n")


# --- filtered words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "text", "found"),
    [
        (["secret"], "a SECRET thing", "secret"),
        (["secret", r"pass.?word"], "the Pass-Word", r"pass.?word"),
        (["secret", r"pass.?word"], "nothing of the kind", None),
        # What would mean something else in one large pattern:
        ([r"(x)y", r"(a)\1"], "aa", r"(a)\1"),
        ([r"(x)y", r"(a)\1"], "ax", None),
        ([r"(?P<n>x)y", r"(?P<n>a)b"], "ab", r"(?P<n>a)b"),
        ([r"(?x) a b # comment", "sea"], "the sea", "sea"),
        ([r"(?x) a b # comment", "sea"], "xaby", r"(?x) a b # comment"),
        ([r"(?-i)Sea", "hill"], "the sea", None),
        ([r"(?-i)Sea", "hill"], "the HILL", "hill"),
        (["a(*SKIP)(*FAIL)|c", "a"], "a", "a"),
        (["one|two", "three"], "two", "one|two"),
        (["^start", "end$"], "the end", "end$"),
        (["(?#a comment)sea", "hill"], "sea", "(?#a comment)sea"),
        (["(?>sea)", "hill"], "hill", "hill"),
        ([r"\bse\b", "hill"], "sea", None),
        ([" ", ""], "two words", None),
        ([], "anything", None),
        (["straße"], "STRASSE", None),
        (["é"], "É", "é"),
    ],
)
def test_the_pattern_that_is_found_is_named(words: list[str], text: str, found: str | None):
    assert WordFilter(words).first_found([text, "", text]) == [found, None, found]


@given(
    st.lists(st.sampled_from(["a", "b+", "(a)b", r"(b)\1", "(?i:A)", "^a", "b$", "[ab]a", "a|b", "(?x)a b", r"\Ab"])),
    st.text(alphabet="ab \n", max_size=12),
)
def test_together_the_patterns_find_what_each_finds_alone(words: list[str], text: str):
    alone = next((word for word in words if compile_pattern(word).search(text)), None)
    assert WordFilter(words).first_found([text]) == [alone]


@pytest.mark.parametrize("others", [[], ["fine", "sea"]])
def test_a_catastrophic_pattern_is_named_and_ends(others: list[str]):
    words = [*others, r"(?:a|aa|aaa)+$"]
    filtering = WordFilter(words, seconds=0.05)
    assert filtering.first_found(["short"]) == [None]
    with pytest.raises(NothingToDo, match="takes too long on a post") as caught:
        filtering.first_found(["a" * 60 + "!"])
    assert repr(words[-1]) in caught.value.sentence


def test_a_pattern_that_is_merely_slow_does_not_take_all_day():
    filtering = WordFilter(["sea", r"(?:a|aa)+$"], seconds=5.0, seconds_at_once=0.1)
    with pytest.raises(NothingToDo, match="takes too long") as caught:
        filtering.first_found(["a" * 29 + "!"] * 10_000)
    assert r"(?:a|aa)+$" in caught.value.sentence


@pytest.mark.parametrize(
    "word", ["(open", "[z-a]", "a{3,2}", "*", "(?P<1>a)", r"\p{nope}", "(" * 5_000, "(?:a{1000}){1000}"]
)
def test_a_pattern_that_cannot_be_read_is_named(word: str):
    with pytest.raises(NothingToDo, match="cannot be read") as caught:
        WordFilter(["fine", word])
    assert word[:50] in caught.value.sentence


# --- duplicates -----------------------------------------------------------------------------------------------

LONG = "the lamp was lit at dusk and nobody came up the stairs before the kettle had boiled twice"
OTHER = "a gull sat on the rail all morning, looking as if the whole harbour were its own property"


def test_exact_duplicates_name_the_first():
    assert exact_duplicates(["a", "b", "a", "c", "b", "a"]) == {2: 0, 4: 1, 5: 0}


def test_spaces_and_line_breaks_make_no_difference_to_exact_duplicates():
    assert plain_words(" a  b\n\nc ") == plain_words("a b c")
    assert plain_words("a b") != plain_words("A b")


@pytest.mark.parametrize(
    ("text", "is_duplicate"),
    [
        (LONG, True),
        (LONG.upper() + "!!!", True),
        (LONG.replace(" and ", ", and\n\n"), True),
        (LONG.replace("kettle", "kettles"), True),
        (LONG + " indeed", True),
        (LONG.replace("lamp", "fire").replace("stairs", "path"), False),
        (LONG + " " + OTHER, False),
        (" ".join(reversed(LONG.split())), False),
        (OTHER, False),
        ("", False),
    ],
)
def test_what_is_nearly_the_same(text: str, *, is_duplicate: bool):
    """Of eighteen words one may be another; two may not."""
    assert near_duplicates([OTHER[:20], LONG, text]) == ({2: 1} if is_duplicate else {})


def test_under_eight_words_nothing_is_nearly_the_same():
    seven = "the lamp was lit at dusk today"
    assert near_duplicates([seven, seven + "!", seven.upper()]) == {}
    assert near_duplicates([seven + " again", seven + " again!"]) == {1: 0}


def test_writing_without_spaces_is_compared_by_its_characters():
    text = "灯台の明かりは日暮れに灯り、やかんは二度歌った"
    assert near_duplicates(
        [text, text + "。", text.replace("二", "三"), "霧が港から上がってきて、鴎は何も言わなかった"]
    ) == {1: 0, 2: 0}


def test_each_is_held_against_what_stays_so_small_changes_do_not_add_up():
    words = LONG.split()
    row = [" ".join(f"new{n}" if n < changed else word for n, word in enumerate(words)) for changed in range(7)]
    found = near_duplicates(row)
    assert found == {1: 0, 3: 2, 5: 4}
    assert not set(found.values()) & found.keys()


def test_a_row_of_posts_in_one_form_is_no_row_of_duplicates():
    assert near_duplicates([f"day {n} of asking for a new kettle: {n} answers, {3 * n} gulls" for n in range(50)]) == {}


def planted(texts: int, copies: int) -> tuple[list[str], int]:
    """Texts that have nothing in common, then copies of some of them with one word in fifteen changed."""
    dice = random.Random(1)
    vocabulary = [f"{a}{b}" for a in ("sea", "fog", "rail", "tin", "oil") for b in "abcdefghijklmnopqrstuvwxyz"]
    found = [" ".join(dice.choices(vocabulary, k=dice.randrange(15, 60))) for _ in range(texts)]
    for text in dice.sample(found, copies):
        words = text.split()
        for place in dice.sample(range(len(words)), len(words) // 15):
            words[place] = dice.choice(vocabulary)
        found.append(" ".join(words))
    return found, copies


def test_planted_copies_are_found_and_nothing_else():
    texts, copies = planted(3_000, 300)
    found = near_duplicates(texts)
    assert min(found) >= 3_000
    assert len(found) >= 0.98 * copies


def test_texts_are_looked_at_in_the_same_way_in_every_process():
    """Python salts the hashes of texts anew in each process; a dataset must not change by that."""
    program = "from bot.pipeline.cleaning import _Codes, _smallest_runs as r; print(r(_Codes().text(%r)))" % (
        LONG + OTHER
    )
    shown = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(shown) == 1
    assert len(shown.pop()) > 20


def test_one_line_that_all_posts_end_with_makes_no_duplicates_and_no_wait():
    texts, _ = planted(4_000, 0)
    signed = [f"{text} written by the keeper of the light who asks for nothing but oil" for text in texts]
    assert near_duplicates(signed) == {}


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=60)))
def test_any_texts_at_all(texts: list[str]):
    found = near_duplicates([text * 3 for text in texts])
    assert all(kept < place and kept not in found for place, kept in found.items())
