"""The n-gram model: it writes only what it learned, in its shape, and copies only when it must."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bot.demo.ngram import learn

WORDS = st.text(alphabet="abcdé'.🌧", min_size=1, max_size=4)
LINES = st.lists(WORDS, min_size=1, max_size=8).map(" ".join)
TEXTS = st.lists(
    st.tuples(st.lists(LINES, min_size=1, max_size=4), st.sampled_from(["\n", "\n\n", "\r\n \r\n\n"])).map(
        lambda parts: parts[1].join(parts[0])
    ),
    min_size=1,
    max_size=8,
)

BLOG = [
    "the kettle is a small weather system and it lives on my stove",
    "the moth is a small landlord and it wants the lamp back by friday",
    "the lamp is a tired moon and nobody has asked it how the kettle feels",
    "my stove is a quiet animal and nobody wants it back by friday",
    "the weather is a landlord with a lamp and it lives by the kettle",
]


def dice(seed):
    return random.Random(seed)


def shape(text):
    """The words of a text with its breaks between them."""
    return text.replace("\n\n", " ¶ ").replace("\n", " / ").split()


@given(TEXTS, st.integers(), st.integers(1, 60))
def test_every_step_was_learned_and_the_length_is_kept(texts, seed, max_words):
    written = learn(texts).write(dice(seed), max_words)
    assert 1 <= len(written.split()) <= max_words
    learned = {
        pair for text in texts for pair in pairwise(shape("\n".join(text.splitlines()).replace("\n \n\n", "\n\n")))
    }
    assert set(pairwise(shape(written))) <= learned


@given(TEXTS, st.integers())
def test_it_ends_and_begins_where_texts_do(texts, seed):
    written = learn(texts).write(dice(seed), 10_000)
    assert written.split()[-1] in {text.split()[-1] for text in texts}
    assert written.split()[0] in {text.split()[0] for text in texts}


def test_the_same_dice_write_the_same_text():
    model = learn(BLOG)
    assert [model.write(dice(seed), 50) for seed in range(20)] == [
        learn(BLOG).write(dice(seed), 50) for seed in range(20)
    ]
    assert len({model.write(dice(seed), 50) for seed in range(20)}) > 10


def test_it_does_not_copy_while_there_is_another_way():
    model = learn(BLOG)
    written = [model.write(dice(seed), 50) for seed in range(200)]
    originals = [f" {text} " for text in BLOG]
    runs = [
        f" {' '.join(words[start : start + 8])} "
        for words in (text.split() for text in written)
        for start in range(max(1, len(words) - 7))
        if len(words) >= 8
    ]
    assert len(runs) > 200
    assert not any(run in original for run in runs for original in originals)
    assert not set(written) & set(BLOG)


def test_it_copies_when_there_is_no_other_way():
    assert learn(["only this"]).write(dice(1), 50) == "only this"


def test_paragraphs_and_lines_survive():
    assert learn(["one\n\n\n two\nthree"]).write(dice(1), 50) == "one\n\ntwo\nthree"


def test_nothing_learned_writes_nothing():
    assert learn([]).write(dice(1), 50) == ""
    assert learn(["", " \n "]).write(dice(1), 50) == ""
