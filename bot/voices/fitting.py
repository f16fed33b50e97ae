"""Which posts of the blog fit a prompt: those that share its rarer words (Okapi BM25).

Everything here is CPU work: call it in a thread.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

LONGEST_LOOKED_AT = 10_000
"""Characters of a prompt: what comes after them changes nothing about which posts fit."""
_MOST_WORDS = 100  # of a prompt, the rarest: a bound on the work, whatever the prompt
_MOST_COMMON = 0.5  # a word in more of the texts than this says nothing about any of them

# The usual values: how soon a word said again counts for less, and how much longer texts are held back.
_REPETITION = 1.2
_LENGTH = 0.75

_RUN = r"[\p{L}\p{M}\p{N}]+"
# Scripts that put no spaces between words: two neighbouring letters stand for a word there, which is what works
# best where there is no dictionary.
_UNSPACED = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]+)"


@dataclass(frozen=True, slots=True)
class Index:
    """For each word the texts that have it, as (place, how often), and the number of words in each text."""

    places: dict[str, list[tuple[int, int]]]
    lengths: list[int]


def index(texts: Sequence[str]) -> Index:
    """Build what `most_fitting` looks in; a text is known by its place among `texts`."""
    places: dict[str, list[tuple[int, int]]] = {}
    lengths: list[int] = []
    for place, text in enumerate(texts):
        words = Counter(_words(text))
        lengths.append(words.total())
        for word, times in words.items():
            places.setdefault(word, []).append((place, times))
    return Index(places, lengths)


def most_fitting(index: Index, prompt: str, most: int, *, without: Collection[int] = ()) -> list[int]:
    """Places of the texts that fit a prompt, the best first, at most so many; those that share no telling word do not.

    The words of texts that are left out (`without`) tell like all others.
    """
    everything = len(index.lengths)
    asked = {word for word in _words(prompt[:LONGEST_LOOKED_AT]) if word in index.places}
    telling = [word for word in asked if len(index.places[word]) <= max(1, everything * _MOST_COMMON)]
    rarest = heapq.nsmallest(_MOST_WORDS, telling, key=lambda word: (len(index.places[word]), word))
    average = sum(index.lengths) / max(1, everything)
    scores: dict[int, float] = {}
    for word in rarest:
        found = index.places[word]
        weight = math.log(1 + (everything - len(found) + 0.5) / (len(found) + 0.5))
        for place, times in found:
            held_back = _REPETITION * (1 - _LENGTH + _LENGTH * index.lengths[place] / average)
            gain = weight * times * (_REPETITION + 1) / (times + held_back)
            scores[place] = scores.get(place, 0.0) + gain
    for place in without:
        scores.pop(place, None)
    return heapq.nsmallest(most, scores, key=lambda place: (-scores[place], place))


def _words(text: str) -> Iterator[str]:
    import regex  # noqa: PLC0415 - only who is asked for something waits for it

    for run in cast("list[str]", regex.findall(_RUN, text.casefold())):
        if run.isascii():
            yield run
            continue
        # By turns: what is spaced, what is not, what is spaced, …
        for number, part in enumerate(cast("list[str]", regex.split(_UNSPACED, run))):
            if number % 2 and len(part) > 1:
                yield from map(str.__add__, part, part[1:])
            elif part:
                yield part
