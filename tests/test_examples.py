"""A line of training data: what OpenAI's fine-tuning takes, written and read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.examples import (
    Example,
    Line,
    compile_pattern,
    examples_digest,
    format_problems,
    read_line,
    training_line,
)

TEXTS = st.text(alphabet=st.characters(codec="utf-8"))
WORDS = TEXTS.filter(lambda text: text.strip() and "<|" not in text)


def line(*messages: tuple[str, Any], **more: Any) -> str:
    return json.dumps({"messages": [{"role": role, "content": content} for role, content in messages], **more})


GOOD = (("developer", "d"), ("user", "u"), ("assistant", "a"))


@pytest.mark.parametrize(
    "good",
    [
        line(*GOOD),
        line(("system", "d"), *GOOD[1:]),
        line(*GOOD[1:]),
        line(("user", "\u2028 <| a > < |x| > <|"), ("assistant", "🦭")),
    ],
)
def test_what_the_service_takes_has_no_problems(good: str):
    assert format_problems(good) == format_problems(good.encode()) == []


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        (b'{"messages": "\xff"}', "is not UTF-8 text"),
        ("[]", 'is not an object with "messages"'),
        ("{}", 'is not an object with "messages"'),
        ('{"messages": 5}', "has messages that are no list of objects"),
        ('{"messages": [5]}', "has messages that are no list of objects"),
        ('{"messages": []}', "has other roles"),
        (line(*GOOD[:2]), "has other roles"),
        (line(*GOOD, ("user", "more")), "has other roles"),
        (line(*GOOD, *GOOD[1:]), "has other roles"),
        (line(*reversed(GOOD)), "has other roles"),
        (line(GOOD[0], *GOOD), "has other roles"),
        (line(("tool", "x"), *GOOD[1:]), "has other roles"),
        (line((["user"], "x"), *GOOD[1:]), "has other roles"),
        (line(*GOOD[:2], ("assistant", None)), "has no text from assistant"),
        (line(*GOOD[:2], ("assistant", [{"type": "text"}])), "has no text from assistant"),
        (line(*GOOD[:2], ("assistant", " \n")), "has an empty text from assistant"),
        (line(("developer", ""), *GOOD[1:]), "has an empty text from developer"),
        (
            line(GOOD[0], ("user", "the <|endoftext|> end"), GOOD[2]),
            "has a marker of models (<|…|>) in the text from user",
        ),
        (line(*GOOD[:2], ("assistant", "\ud83e")), "has half a character in the text from assistant"),
        (line(*GOOD, tools=[]), "has 'tools', which is not known here"),
        (line(*GOOD).replace('"a"}', '"a", "weight": 0}'), "has 'weight' in a message, which is not known here"),
    ],
)
def test_what_is_wrong_is_said(bad: str | bytes, problem: str):
    (found,) = format_problems(bad)
    assert found.startswith(problem)
    with pytest.raises(ValueError, match=r"^(is|has) ") as caught:
        read_line(bad.encode() if isinstance(bad, str) else bad)
    assert str(caught.value) == found


def test_everything_that_is_wrong_is_said_at_once():
    bad = line(("developer", ""), ("user", 5), ("assistant", "<|x|>"), more=1)
    assert len(format_problems(bad)) == 4


@given(TEXTS.filter(lambda text: not text or text.strip()), WORDS, WORDS)
def test_a_line_that_was_written_is_taken_and_read_as_it_was(developer: str, user: str, assistant: str):
    written = training_line(developer.replace("<|", ""), user, assistant)
    assert "\n" not in written
    assert format_problems(written) == []
    assert read_line(written.encode()) == Line(developer.replace("<|", ""), user, assistant)
    assert json.loads(written)["messages"][-1] == {"role": "assistant", "content": assistant}


@given(
    st.binary()
    | st.text().map(lambda text: text.encode(errors="replace"))
    | st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.sampled_from(["messages", "role", "content", "user"]),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["messages", "role", "content"]) | st.text(), inner)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_line_is_either_taken_or_explained(content: bytes):
    problems = format_problems(content)
    if problems:
        with pytest.raises(ValueError, match=r"\S"):
            read_line(content)
    else:
        read = read_line(content)
        assert format_problems(training_line(read.developer, read.user, read.assistant)) == []


def test_a_digest_tells_words_their_order_and_what_is_held_out():
    one, two = Example("u", "a", 1), Example("u", "b", 1)
    digests = {
        examples_digest("d", "u", [one, two]),
        examples_digest("d", "u", [two, one]),
        examples_digest("d", "v", [one, two]),
        examples_digest("e", "u", [one, two]),
        examples_digest("d", "u", [one]),
        examples_digest("d", "u", [one, Example("u", "b", 1, held_out=True)]),
        examples_digest("d", "u", [one, Example("w", "b", 1)]),
    }
    assert len(digests) == 7
    assert examples_digest("d", "u", [one]) == examples_digest("d", "u", [Example("u", "a", 9, "t:b", "1")])


@pytest.mark.parametrize("word", [r"\bsea\b", "a{10000}", "(?:a{0,1000}){0,1000}", r"\d{4}-\d{2}", "x*"])
def test_patterns_that_can_be_searched_for(word: str):
    assert compile_pattern(f"(?:{word})?sea").search("The SEA")


@pytest.mark.parametrize("word", ["(", "[z-a]", "*", "(" * 5_000, "a{1000000}", "(?:(?:a{100}){100}){100}"])
def test_patterns_that_cannot(word: str):
    with pytest.raises(ValueError, match=r"regular expression|repeats too often"):
        compile_pattern(word)
