"""A word n-gram model: what the OpenAI stand-in "trains" and writes with.

It is called what it is. It counts which word followed which two words (order 3) and backs off to the word before
(order 2); there is no network and no meaning in it. It is here so that the text that comes out of the demo has to do
with the text that went in.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

PARAGRAPH = "\n\n"
LINE = "\n"
EDGE = ""
"""Stands before the first and after the last word of a text; no token of a text is empty."""

COPIED_RUN = 8
"""As many words in a row as another text has count as copied from it."""

TRIES = 12
"""How often `write` starts again when it has only copied."""

BACK_OFF = 0.5
"""How likely the model looks at one word only where two words leave it no choice."""

_TOKEN = re.compile(r"\n\s*\n|\n|\S+")
_AROUND_BREAKS = re.compile(r" *(\n+) *")


@dataclass(frozen=True, slots=True)
class NGram:
    """What followed what in the texts, and which runs of words (hashed) are theirs. Made by `learn`."""

    after_two: Mapping[tuple[str, str], Sequence[str]]
    after_one: Mapping[str, Sequence[str]]
    runs: frozenset[int]

    def write(self, rng: random.Random, max_words: int) -> str:
        """Write one new text of at most `max_words` words; empty if nothing was learned.

        It ends where a learned text ended, or at `max_words`. Copying a learned text is avoided while there is
        another way: the first of some tries that copies none is taken, or else the one that copies least.
        """
        if not self.after_one:
            return ""
        tries: list[tuple[float, list[str]]] = []
        for _ in range(TRIES):
            tokens = self._walk(rng, max_words)
            copied = self._copied_share(tokens)
            if copied == 0:
                return _render(tokens)
            tries.append((copied, tokens))
        return _render(min(tries, key=lambda attempt: attempt[0])[1])

    def _walk(self, rng: random.Random, max_words: int) -> list[str]:
        tokens: list[str] = []
        words = 0
        two, one = EDGE, EDGE
        while True:
            followers = self.after_two[two, one]
            # Two words that had one and the same follower everywhere lead on into a copy.
            if all(follower == followers[0] for follower in followers) and rng.random() < BACK_OFF:
                followers = self.after_one[one]
            token = rng.choice(followers)
            if token == EDGE or (token not in {PARAGRAPH, LINE} and words == max_words):
                return tokens
            words += token not in {PARAGRAPH, LINE}
            tokens.append(token)
            two, one = one, token

    def _copied_share(self, tokens: Sequence[str]) -> float:
        runs = list(_runs(tokens))
        return sum(run in self.runs for run in runs) / len(runs)


def learn(texts: Iterable[str]) -> NGram:
    """Count what follows what in `texts`; texts without a word are passed over."""
    after_two: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    after_one: defaultdict[str, list[str]] = defaultdict(list)
    runs: set[int] = set()
    for text in texts:
        tokens = _tokens(text)
        if not tokens:
            continue
        runs.update(_runs(tokens))
        padded = [EDGE, *tokens, EDGE]
        for before, token in pairwise(padded):
            after_one[before].append(token)
        # The first word has two edges before it.
        padded.insert(0, EDGE)
        for two, one, token in zip(padded, padded[1:], padded[2:], strict=False):
            after_two[two, one].append(token)
    return NGram(dict(after_two), dict(after_one), frozenset(runs))


def _tokens(text: str) -> list[str]:
    found: list[str] = _TOKEN.findall(text.strip())
    return [token if token[0] != "\n" else LINE if token == LINE else PARAGRAPH for token in found]


def _runs(tokens: Sequence[str]) -> Iterator[int]:
    """Yield a hash of every run of `COPIED_RUN` words, or the whole of a text that is no longer than that.

    A short text is set between edges, so that it counts as copied only when it was a text of its own.
    """
    words = [token.casefold() for token in tokens if token not in {PARAGRAPH, LINE}]
    if len(words) < COPIED_RUN:
        yield hash((EDGE, *words, EDGE))
        return
    for start in range(len(words) - COPIED_RUN + 1):
        yield hash(tuple(words[start : start + COPIED_RUN]))


def _render(tokens: Sequence[str]) -> str:
    return _AROUND_BREAKS.sub(r"\1", " ".join(tokens)).strip()
