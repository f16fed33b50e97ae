"""What posts are cleaned of before they are learned from: duplicates, markers of models, redirects, filtered words.

Everything here is CPU work: call it in a thread.
"""

from __future__ import annotations

import re
import time
import zlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from bot.errors import NothingToDo
from bot.examples import break_markers, compile_pattern

if TYPE_CHECKING:
    import regex

# --- the text of one post -------------------------------------------------------------------------------------

_REDIRECT = re.compile(r"https?://(?:t\.umblr\.com/redirect\?|href\.li/?\?)[^\s<>\"]+", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^\s<>\"\x00-\x20\x7f\ufffd]+", re.IGNORECASE)
_AFTER_A_LINK = ".,;:!?)]}'»\N{RIGHT SINGLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}"
_DEEPEST = 5  # redirects inside redirects
_MOST_FIELDS = 50


def clean(text: str) -> str:
    """`text` with its redirects undone and the markers of models broken up."""
    return break_markers(undo_redirects(text))


def undo_redirects(text: str) -> str:
    """`text` with the addresses themselves where Tumblr's counting or hiding redirects to them stand.

    These are `t.umblr.com/redirect?z=…` and `href.li/?…`. One whose target is no web address is left as it is.
    """
    if "://" not in text:
        return text
    return _REDIRECT.sub(_target, text)


def _target(found: re.Match[str]) -> str:
    link = found.group().rstrip(_AFTER_A_LINK)
    rest = found.group()[len(link) :]
    for _ in range(_DEEPEST):
        head, _, query = link.partition("?")
        if "umblr.com" in head.lower():
            try:
                fields = parse_qsl(query, max_num_fields=_MOST_FIELDS)
            except ValueError:
                break
            target = next((value for name, value in fields if name == "z"), "")
        else:
            target = query
        if not _ADDRESS.fullmatch(target):
            break
        link = target
        if not _REDIRECT.fullmatch(link):
            break
    return link + rest


# --- filtered words -------------------------------------------------------------------------------------------

_SECONDS = 0.5  # for one pattern in one text: a catastrophic one must not hang the bot
_SECONDS_AT_ONCE = 20.0  # for all texts of one call: nor must one that is merely slow
# What would mean something else inside a larger pattern: verbs, the pattern itself, a group by its number.
_OF_THE_WHOLE = re.compile(r"\(\*|\(\?(?:R|[0-9&+-])|\(\?P>|\\[0-9gK]")


class WordFilter:
    """The owner's `filtered_words`: texts in which one of these patterns is found, in any case, are left out.

    Raises:
        NothingToDo: a pattern cannot be read, or takes too long on a text. It is named.
    """

    def __init__(
        self, words: Sequence[str], *, seconds: float = _SECONDS, seconds_at_once: float = _SECONDS_AT_ONCE
    ) -> None:
        self._seconds = seconds
        self._seconds_at_once = seconds_at_once
        self._patterns = [(word, _compiled(word)) for word in words if word.strip()]
        self._joined, self._single = _join(self._patterns)

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def first_found(self, texts: Sequence[str]) -> list[str | None]:
        """For each text the first pattern, as it was written, that is found in it."""
        if not self._patterns:
            return [None] * len(texts)
        end = time.monotonic() + self._seconds_at_once
        found: list[str | None] = []
        for text in texts:
            found.append(self._first_in(text) if self._is_found(text) else None)
            if time.monotonic() > end:
                raise self._too_slow(self._slowest(text))
        return found

    def _is_found(self, text: str) -> bool:
        try:
            if self._joined is not None and self._joined.search(text, timeout=self._seconds):
                return True
        except TimeoutError:
            return True  # one by one, so that the one at fault is named
        return any(self._search(word, pattern, text) for word, pattern in self._single)

    def _first_in(self, text: str) -> str | None:
        return next((word for word, pattern in self._patterns if self._search(word, pattern, text)), None)

    def _search(self, word: str, pattern: regex.Pattern[str], text: str) -> bool:
        try:
            return pattern.search(text, timeout=self._seconds) is not None
        except TimeoutError as error:
            raise self._too_slow(word) from error

    def _slowest(self, text: str) -> str:
        taken: dict[str, float] = {}
        for word, pattern in self._patterns:
            began = time.monotonic()
            self._search(word, pattern, text)
            taken[word] = time.monotonic() - began
        return max(taken, key=taken.__getitem__)

    def _too_slow(self, word: str) -> NothingToDo:
        return NothingToDo(
            f"The pattern {word!r} in `filtered_words` takes too long on a post.",
            "Write it in a simpler way, without nested repetitions.",
        )


def _compiled(word: str) -> regex.Pattern[str]:
    try:
        return compile_pattern(word)
    except ValueError as error:
        raise NothingToDo(
            f"`filtered_words` has a pattern that cannot be read: {word!r}.", "Correct it in config.toml."
        ) from error


def _join(
    patterns: Sequence[tuple[str, regex.Pattern[str]]],
) -> tuple[regex.Pattern[str] | None, list[tuple[str, regex.Pattern[str]]]]:
    """One pattern for all that can be joined with `|`, and those that would mean something else there.

    A group's number changes in a larger pattern, and a flag such as `(?x)` would count for what follows.
    """
    if len(patterns) < 2:  # noqa: PLR2004 - nothing to join
        return None, list(patterns)
    plain = compile_pattern("").flags
    alone = [
        (word, pattern)
        for word, pattern in patterns
        if pattern.groups or pattern.flags != plain or _OF_THE_WHOLE.search(word)
    ]
    others = [word for word, pattern in patterns if (word, pattern) not in alone]
    try:
        return compile_pattern("|".join(f"(?:{word})" for word in others)), alone
    except ValueError:
        return None, list(patterns)


# --- duplicates -----------------------------------------------------------------------------------------------

SHORT = 8
"""Words: of texts with fewer, only those that are exactly the same are duplicates."""
ALIKE = 0.9
"""The share of words, in the same order, from which on two texts are near duplicates."""

# Writings that put no spaces between words: each character counts as one.
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_WORDS = re.compile(rf"[{_SPACELESS}]|[^\W{_SPACELESS}]+")
_COMPARED = 2_000  # words of a long text
_RUN = 3  # words
_RUNS_KEPT = 5
_LOOKED_BACK = 8  # texts with the same run
_CANDIDATES = 10
_KNOWN_WORDS = 50_000
_BUCKETS = 256
_INDEX_BITS = 24  # sixteen million texts
_HASH_MASK = (1 << 40) - 1


def exact_duplicates(keys: Sequence[Hashable]) -> dict[int, int]:
    """The places of keys that have been there before, each with the place of the first."""
    first: dict[Hashable, int] = {}
    found: dict[int, int] = {}
    for place, key in enumerate(keys):
        before = first.setdefault(key, place)
        if before != place:
            found[place] = before
    return found


def plain_words(text: str) -> str:
    """What is the same in exact duplicates: the text without regard to its spaces and line breaks."""
    return " ".join(text.split())


def near_duplicates(texts: Sequence[str]) -> dict[int, int]:
    """The places of texts that are nearly the same as an earlier one, each with the place of that one.

    Words are compared, without case and punctuation. Two texts are near duplicates from `ALIKE` on; a text is held only
    against those that stay themselves, so that a row of small changes does not end with something else.

    Candidates are found by the runs of three words that texts share: of each text, the five runs with the smallest
    hashes (a bottom-k sketch) are looked up in one sorted list, and rapidfuzz decides over the ten that share most of
    them. The work grows with the number of texts, not with its square. At 0.9 about one pair in a hundred goes unseen;
    nearer ones do not. Memory: four bytes a word, and eighty a text.
    """
    codes = _Codes()
    words = [codes.text(text) for text in texts]
    sketches = array("Q")  # for each text `_RUNS_KEPT` hashes, filled up with zeros
    buckets = [array("Q") for _ in range(_BUCKETS)]
    for place, text in enumerate(words):
        runs = _smallest_runs(text) if len(text) >= SHORT else []
        for run in runs:
            buckets[run % _BUCKETS].append(run << _INDEX_BITS | place)
        sketches.extend(runs + [0] * (_RUNS_KEPT - len(runs)))
    # Many small lists: sorting one large one would stop every other thread meanwhile.
    buckets = [array("Q", sorted(bucket)) for bucket in buckets]
    found: dict[int, int] = {}
    for place, text in enumerate(words):
        if len(text) < SHORT:
            continue
        shared: Counter[int] = Counter()
        for run in sketches[place * _RUNS_KEPT : (place + 1) * _RUNS_KEPT]:
            if run:
                for earlier in _with_run(buckets[run % _BUCKETS], run, place):
                    shared[found.get(earlier, earlier)] += 1
        for candidate, _ in shared.most_common(_CANDIDATES):
            if _alike(words[candidate], text):
                found[place] = candidate
                break
    return found


def _with_run(bucket: array[int], run: int, before: int) -> list[int]:
    """The last few texts before this one that have the run."""
    earlier: list[int] = []
    position = bisect_left(bucket, run << _INDEX_BITS | before)
    for each in range(position - 1, max(-1, position - 1 - _LOOKED_BACK), -1):
        if bucket[each] >> _INDEX_BITS != run:
            break
        earlier.append(bucket[each] & ((1 << _INDEX_BITS) - 1))
    return earlier


def _alike(one: str, other: str) -> bool:
    from rapidfuzz.distance import Indel  # noqa: PLC0415 - 4 MB that wait for the first dataset

    shorter, longer = sorted((len(one), len(other)))
    # Twice what they can share at most, by the words of both: what rapidfuzz would find out more slowly.
    if 2 * shorter < ALIKE * (shorter + longer):
        return False
    return Indel.normalized_similarity(one, other, score_cutoff=ALIKE) >= ALIKE


def _smallest_runs(words: str) -> list[int]:
    numbers = words.encode("utf-32-le", "surrogatepass")
    ids = memoryview(numbers).cast("I")
    # Numbers, and tuples of them, have the same hash in every process; texts do not.
    runs = {hash(run) & _HASH_MASK for run in zip(ids, ids[1:], ids[2:], strict=False)}
    return sorted(runs)[:_RUNS_KEPT]


class _Codes(dict[str, str]):
    """One character for each word, so that a text of words is a short text for rapidfuzz."""

    def __missing__(self, word: str) -> str:
        if len(self) >= _KNOWN_WORDS:
            self.clear()
        code = self[word] = chr(zlib.crc32(word.encode("utf-8", "replace")) % 0x10FFFF + 1)
        return code

    def text(self, text: str) -> str:
        words = _WORDS.findall(text.casefold())
        return "".join(map(self.__getitem__, words[:_COMPARED]))
