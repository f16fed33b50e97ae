"""How close a text is to what is there already: the guard against copying, for drafts against posts and other drafts.

A `TextIndex` knows which posts share runs of words with a text; `judge` holds the text against those few. What is
measured, and how well it tells copies from honest posts, is in facts/voice.md ("The memorisation gate").

    index = TextIndex()
    async for page in posts.valid_texts(database):
        await asyncio.to_thread(index.extend, page)

    nearest = await asyncio.to_thread(index.nearest, text, allowed)
    found = await posts.posts_by_id(database, nearest.places)
    sources = {place: post.text for place, post in found.items()}
    verdict = await asyncio.to_thread(judge, text, nearest, sources, allowed)

The index keeps hashes, no texts: what was removed from the store is never judged against, nor shown. Its hashes stay
until the index is built anew, which is to be done when posts are deleted.

Everything here is CPU work: call it in a thread. Any text will do, from strangers as well. Of each text the first
`READ` characters are read (again after normalising, which can make a text 18 times as long), and `READ_WORDS` of its
words; a run that is in more than `_POSTS` posts counts for that many; a shared run is followed for `LONGEST_RUN` words;
and at most `3 * CANDIDATES` texts are compared, in `_PIECES` pieces of `_PIECE` characters. So a verdict takes some
milliseconds, and at the very worst some seconds.
"""

from __future__ import annotations

import re
import time
import unicodedata
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    import regex

Place = tuple[str, str]
"""Where a text is: the uuid of its blog and the id of the post."""

READ = 20_000
"""Characters of a text, from its beginning; what comes after them is not looked at."""
READ_WORDS = 6_000
"""Words of a text, or characters of a writing without spaces."""
SHORT = 8
"""Words. A text with fewer is only ever the same as another: inside a longer one it would be found by chance."""
BLOCKING_RUN = 8  # words
BLOCKING_LIKENESS = 80.0  # per cent
LOOKING_RUN = 7  # words
LOOKING_SHARE = 0.2
LONGEST_RUN = 100
"""Words: a longer run counts as one of this length."""
CANDIDATES = 10

_RANKED = 3  # words of the runs by which candidates are ranked
_COUNTED = 5  # words of the runs whose share is counted
_POSTS = 500


class Tier(StrEnum):
    """What is to be done with a text."""

    CLEAR = "clear"
    LOOK = "look"
    """It is offered, beside its source."""
    BLOCK = "block"
    """It is never offered as it is."""


class Rule(StrEnum):
    """Why a text is not clear. Each belongs to one tier, but for `RUN`, which is a matter of length."""

    SAME = "the same words"
    RUN = "a run of the same words"
    ALIKE = "alike"
    SHARE = "many short runs of the same words"


@dataclass(frozen=True, slots=True)
class Nearest:
    """The places of the posts that share most with a text, and how close it is to all posts there are.

    `closeness` is a percentage: how many of the text's words, allowed phrases aside, stand in runs of five that are in
    some post as well. It is 100 for a text that is the same as a post, however short.
    """

    places: tuple[Place, ...]
    closeness: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found about a text; all but `closeness` (see `Nearest`) is empty where it is clear.

    `source` is the text that it is closest to. `shared` is the longest run of words that both have, as they are
    compared: in lower case, without punctuation and allowed phrases. `run` is its length in words (with a fraction
    where characters count as parts of words), `likeness` a percentage (rapidfuzz's `partial_ratio`), and `share` says
    how many of the text's different runs of five words the source has too, from 0 to 1.
    """

    tier: Tier
    closeness: int
    rule: Rule | None = None
    source: Place | None = None
    shared: str = ""
    run: float = 0.0
    likeness: float = 0.0
    share: float = 0.0


# --- words ----------------------------------------------------------------------------------------------------

# Lengths are counted in quarters of a word, so that a character of a writing without spaces can be part of one: of
# Chinese and Japanese two make a word, of Thai, Lao, Khmer and Burmese (vowels and tones included) four.
_WORD = 4
_HALVES = r"\p{Han}\p{Hiragana}\p{Katakana}\N{KATAKANA-HIRAGANA PROLONGED SOUND MARK}"
_QUARTERS = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_ASCII_WORDS = re.compile(r"[a-z0-9]+")
# They do not part a word. An acute accent in their place would become a space with an accent in normalising.
_APOSTROPHES = (
    "'`\N{ACUTE ACCENT}\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{MODIFIER LETTER APOSTROPHE}"
)


@cache
def _patterns() -> tuple[regex.Pattern[str], regex.Pattern[str], regex.Pattern[str], regex.Pattern[str]]:
    """Of words (marks belong to their letter), of what nobody sees, and of characters that are part of a word."""
    import regex  # noqa: PLC0415 - waits for the first text beyond ASCII

    return (
        regex.compile(rf"(?V1)[{_HALVES}{_QUARTERS}]|[[\p{{L}}\p{{N}}\p{{M}}]--[{_HALVES}{_QUARTERS}]]+"),
        # Joiners, marks of direction, soft hyphens, the selectors of an emoji's form.
        regex.compile(rf"[\p{{Cf}}\p{{Default_Ignorable_Code_Point}}{_APOSTROPHES}]"),
        regex.compile(f"[{_HALVES}]"),
        regex.compile(f"[{_QUARTERS}]"),
    )


@dataclass(frozen=True, slots=True)
class _Words:
    """A text as it is compared. `weights` are in quarters of a word; None where all words are whole."""

    words: list[str]
    weights: list[int] | None

    @property
    def weight(self) -> int:
        return _WORD * len(self.words) if self.weights is None else sum(self.weights)

    @property
    def is_short(self) -> bool:
        return self.weight < SHORT * _WORD

    def runs(self, quarters: int) -> Iterable[tuple[int, int]]:
        """Where each shortest run that weighs so much begins and ends."""
        if self.weights is None:
            size = -(-quarters // _WORD)
            return zip(range(len(self.words) - size + 1), range(size, len(self.words) + 1), strict=True)
        return _weighed_runs(self.weights, quarters)

    def without(self, places: Collection[int]) -> _Words:
        """All but the words at these places."""
        if not places:
            return self
        kept = [place for place in range(len(self.words)) if place not in places]
        weights = None if self.weights is None else [self.weights[place] for place in kept]
        return _Words([self.words[place] for place in kept], weights)

    def plain(self, begin: int = 0, end: int | None = None) -> str:
        """The words as one text, with spaces where the writing has any."""
        if self.weights is None:
            return " ".join(self.words[begin:end])
        shown: list[str] = []
        before = 0
        for word, weight in zip(self.words[begin:end], self.weights[begin:end], strict=True):
            if shown and _WORD in {before, weight}:
                shown.append(" ")
            shown.append(word)
            before = weight
        return "".join(shown)


def _read(text: str) -> _Words:
    """Lower-cased words without punctuation, emoji and what nobody sees; the same for all ways to write a letter."""
    text = text[:READ]
    if text.isascii():
        return _Words(_ASCII_WORDS.findall(text.lower().replace("'", "").replace("`", ""))[:READ_WORDS], None)
    words, unseen, halves, quarters = _patterns()
    text = unicodedata.normalize("NFKC", unseen.sub("", text))[:READ]
    found = words.findall(unseen.sub("", text.casefold()))[:READ_WORDS]
    if not halves.search(text) and not quarters.search(text):
        return _Words(found, None)
    return _Words(found, [2 if halves.match(word) else 1 if quarters.match(word) else _WORD for word in found])


def _weighed_runs(weights: Sequence[int], quarters: int) -> Iterator[tuple[int, int]]:
    end = weighed = 0
    for begin, weight in enumerate(weights):
        while weighed < quarters and end < len(weights):
            weighed += weights[end]
            end += 1
        if weighed < quarters:
            return
        yield begin, end
        weighed -= weight


class _Phrases:
    """The allowed phrases of a blog, found in texts."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._phrases = {tuple(words) for phrase in phrases if (words := _read(phrase).words)}

    def places(self, words: Sequence[str]) -> set[int]:
        """The places of the words that stand in a phrase."""
        found: set[int] = set()
        for phrase in self._phrases:
            begin = -1
            while (begin := _index(words, phrase[0], begin + 1)) >= 0:
                if tuple(words[begin : begin + len(phrase)]) == phrase:
                    found.update(range(begin, begin + len(phrase)))
        return found


def _index(words: Sequence[str], word: str, begin: int) -> int:
    try:
        return words.index(word, begin)
    except ValueError:
        return -1


# --- the index ------------------------------------------------------------------------------------------------

_NUMBER_BITS = 24  # sixteen million posts
_NUMBERS = (1 << _NUMBER_BITS) - 1
_HASHES = (1 << 40) - 1
_BUCKET_BITS = 30  # of a hash, below the ten that name its bucket
_BUCKETS = 1024
_TAIL = 32
_BEFORE_OTHERS = 8  # posts that are read before other threads get their turn


class TextIndex:
    """Which posts share runs of words with a text: a hash of every run of three and of five words of every post.

    Short posts are in it as a whole. It takes eight bytes a run, 40 bits of hash and the post's number, and about 80 a
    post. Growing by a post is as cheap as reading it. Methods may be called in several threads at a time.
    """

    def __init__(self, texts: Mapping[Place, str] | None = None) -> None:
        self._lock = Lock()
        self._blogs: dict[str, int] = {}
        self._blog_uuids: list[str] = []
        self._blog_numbers = array("I")
        self._post_ids: list[str] = []
        self._ranked = _Table()
        self._counted = _Table()
        self._short = _Table()
        self.extend(texts or {})

    def __len__(self) -> int:
        """How many texts it has; one that was added again, with other words, counts again."""
        return len(self._post_ids)

    def extend(self, texts: Mapping[Place, str]) -> None:
        """Add texts.

        Raises:
            OverflowError: there are sixteen million already.
        """
        for count, (place, text) in enumerate(texts.items()):
            if not count % _BEFORE_OTHERS:
                time.sleep(0)
            self._add(place, _read(text))

    def _add(self, place: Place, words: _Words) -> None:
        hashes = _Hashes(words)
        ranked, counted, short = (
            ((), (), (hashes.all,)) if words.is_short else (hashes.runs(_RANKED), hashes.runs(_COUNTED), ())
        )
        with self._lock:
            number = len(self._post_ids)
            if number > _NUMBERS:
                raise OverflowError("an index holds no more than sixteen million texts")
            blog_uuid, post_id = place
            if blog_uuid not in self._blogs:
                self._blogs[blog_uuid] = len(self._blog_uuids)
                self._blog_uuids.append(blog_uuid)
            self._blog_numbers.append(self._blogs[blog_uuid])
            self._post_ids.append(post_id)
            self._ranked.add(ranked, number)
            self._counted.add(counted, number)
            self._short.add(short, number)

    def nearest(self, text: str, allowed: Sequence[str] = ()) -> Nearest:
        """The posts to hold a text against; runs inside the `allowed` phrases do not count.

        These are the ten that share most runs of three words with it; the ten with most runs of five in a row, so that
        no copied sentence goes unseen among stock phrases; and, if it is short, ten that may be the same.
        """
        words = _read(text)
        if not words.words:
            return Nearest((), 0)
        hashes = _Hashes(words)
        phrases = _Phrases(allowed).places(words.words)
        if len(phrases) == len(words.words):
            return Nearest((), 0)
        same = self._with_run(self._short, hashes.all) if words.is_short else []
        shared: Counter[int] = Counter()
        for begin, end in words.runs(_RANKED * _WORD):
            if not _all_in(phrases, begin, end):
                shared.update(self._with_run(self._ranked, hashes.of(begin, end)))
        row, covered = self._in_a_row(words, hashes, phrases)
        with self._lock:
            places = dict.fromkeys(
                [
                    *self._first(dict.fromkeys(same, 1)),
                    *self._first(shared),
                    *self._first(row),
                ]
            )
        return Nearest(tuple(places), 100 if same else _percentage(words, covered - phrases, phrases))

    def _in_a_row(self, words: _Words, hashes: _Hashes, phrases: set[int]) -> tuple[dict[int, int], set[int]]:
        """The most runs of five words, one after the other, that each post shares; and the places of their words."""
        most: dict[int, int] = {}
        covered: set[int] = set()
        row: dict[int, int] = {}
        for begin, end in words.runs(_COUNTED * _WORD):
            found = [] if _all_in(phrases, begin, end) else self._with_run(self._counted, hashes.of(begin, end))
            row = {number: row.get(number, 0) + 1 for number in found}
            for number, length in row.items():
                if length > most.get(number, 0):
                    most[number] = length
            if found:
                covered.update(range(begin, end))
        return most, covered

    def _with_run(self, table: _Table, run: int) -> list[int]:
        with self._lock:
            return table.numbers(run)

    def _first(self, counts: Mapping[int, int]) -> list[Place]:
        """The places with the highest counts; the order in which they were added makes no difference."""
        if not counts:
            return []
        least = sorted(counts.values())[-CANDIDATES:][0]
        ranked = sorted((-count, self._place(number)) for number, count in counts.items() if count >= least)
        return list(dict.fromkeys(place for _, place in ranked))[:CANDIDATES]

    def _place(self, number: int) -> Place:
        return self._blog_uuids[self._blog_numbers[number]], self._post_ids[number]


class _Hashes:
    """Hashes of a text's runs. They are the same in every process: Python salts those of texts, not of numbers."""

    def __init__(self, words: _Words) -> None:
        self._words = words
        self._numbers = tuple(map(crc32, " ".join(words.words).encode().split()))

    @property
    def all(self) -> int:
        return hash(self._numbers) & _HASHES

    def of(self, begin: int, end: int) -> int:
        return hash(self._numbers[begin:end]) & _HASHES

    def runs(self, words: int) -> set[int]:
        numbers = self._numbers
        if self._words.weights is None:
            rows = [numbers[begin:] for begin in range(words)]
            return {hash(run) & _HASHES for run in zip(*rows, strict=False)}
        return {hash(numbers[begin:end]) & _HASHES for begin, end in self._words.runs(words * _WORD)}


class _Table:
    """Hashes with the numbers of the posts that have them, in many small sorted lists.

    Many, because sorting a large one would stop every other thread meanwhile. What was added last is at the end of its
    list, in no order, until there is too much of it.
    """

    def __init__(self) -> None:
        self._buckets = [array("Q") for _ in range(_BUCKETS)]
        self._sorted = [0] * _BUCKETS  # how much of each is in order

    def add(self, hashes: Iterable[int], number: int) -> None:
        buckets = self._buckets
        for each in hashes:
            buckets[each >> _BUCKET_BITS].append(each << _NUMBER_BITS | number)

    def numbers(self, run: int) -> list[int]:
        """The first posts that have the run, at most `_POSTS` and those that were added last."""
        place = run >> _BUCKET_BITS
        bucket = self._buckets[place]
        if len(bucket) - self._sorted[place] > _TAIL:
            bucket = self._buckets[place] = array("Q", sorted(bucket))
            self._sorted[place] = len(bucket)
        end = self._sorted[place]
        begin = bisect_left(bucket, run << _NUMBER_BITS, 0, end)
        found: list[int] = []
        for each in bucket[begin : min(begin + _POSTS, end)]:
            if each >> _NUMBER_BITS != run:
                break
            found.append(each & _NUMBERS)
        found.extend(each & _NUMBERS for each in bucket[end:] if each >> _NUMBER_BITS == run)
        return found


def _all_in(places: set[int], begin: int, end: int) -> bool:
    return bool(places) and all(place in places for place in range(begin, end))


def _percentage(words: _Words, some: set[int], without: set[int]) -> int:
    weights = words.weights or [_WORD] * len(words.words)
    total = sum(weight for place, weight in enumerate(weights) if place not in without)
    return round(100 * sum(weights[place] for place in some) / total)


# --- the verdict ----------------------------------------------------------------------------------------------

_PIECE = 256  # characters: the time that rapidfuzz takes for a piece grows faster than its square
_PIECES = 8
_RANK = {Tier.CLEAR: 0, Tier.LOOK: 1, Tier.BLOCK: 2}


def judge(text: str, nearest: Nearest, sources: Mapping[Place, str], allowed: Sequence[str] = ()) -> Verdict:
    """What is to be done with a text, held against the sources that are `nearest` to it.

    The `allowed` phrases are taken out of both sides before they are compared. Blocked is a text that is the same as a
    source, has a run of eight words in common with it, or is alike; to be looked at is one with a run of seven, or with
    a fifth of its runs of five words in one source. Sources under eight words are compared as a whole and nothing else,
    and so is likeness for texts under eight words: whatever is short is found inside something long.

    Sources that are not there (any more) are passed over.
    """
    phrases = _Phrases(allowed)
    words = _read(text)
    compared = words.without(phrases.places(words.words))
    found = Verdict(Tier.CLEAR, nearest.closeness)
    if not compared.words:
        return found
    for place in nearest.places:
        if place in sources:
            one = _held_against(words, compared, place, _read(sources[place]), phrases, nearest.closeness)
            found = max(found, one, key=_weight)
    return found


def _weight(verdict: Verdict) -> tuple[int, float, float, float]:
    return _RANK[verdict.tier], verdict.run, verdict.likeness, verdict.share


def _held_against(
    words: _Words, compared: _Words, place: Place, source: _Words, phrases: _Phrases, closeness: int
) -> Verdict:
    same = words.words == source.words
    clear = Verdict(Tier.CLEAR, closeness)
    if source.is_short and not same:
        return clear
    rest = source.without(phrases.places(source.words))
    run, begin, end = _longest_run(compared, rest)
    likeness = 0.0 if compared.is_short or rest.is_short else _likeness(compared.plain(), rest.plain())
    share = _share(compared, rest)
    tier, rule = _ruled(run, likeness, share, same=same)
    if rule is None:
        return clear
    return Verdict(tier, closeness, rule, place, compared.plain(begin, end), run, likeness, share)


def _ruled(run: float, likeness: float, share: float, *, same: bool) -> tuple[Tier, Rule | None]:
    """The tiers and rules of facts/voice.md. There likeness is a rule of both tiers; the stricter one has it here."""
    if same:
        return Tier.BLOCK, Rule.SAME
    if run >= BLOCKING_RUN:
        return Tier.BLOCK, Rule.RUN
    if likeness >= BLOCKING_LIKENESS:
        return Tier.BLOCK, Rule.ALIKE
    if run >= LOOKING_RUN:
        return Tier.LOOK, Rule.RUN
    if share >= LOOKING_SHARE:
        return Tier.LOOK, Rule.SHARE
    return Tier.CLEAR, None


def _longest_run(one: _Words, other: _Words) -> tuple[float, int, int]:
    """The words in the longest run that both have, and where in the first it begins and ends.

    A shared run of some length has shared runs of every smaller length in it, so the length is found by halving. That
    takes the same few steps for a million equal words as for any others.
    """
    codes = _Codes()
    ours, theirs = codes.text(one.words), codes.text(other.words)
    found = (0.0, 0, 0)
    least, most = 1, min(one.weight, other.weight, LONGEST_RUN * _WORD)
    while least <= most:
        middle = (least + most) // 2
        have = {theirs[begin:end] for begin, end in other.runs(middle)}
        shared = next(((begin, end) for begin, end in one.runs(middle) if ours[begin:end] in have), None)
        if shared is None:
            most = middle - 1
        else:
            found = (middle / _WORD, *shared)
            least = middle + 1
    return found


class _Codes(dict[str, str]):
    """One character for each word, so that a run of words is a short text."""

    def __missing__(self, word: str) -> str:
        code = self[word] = chr(len(self))
        return code

    def text(self, words: Iterable[str]) -> str:
        return "".join(map(self.__getitem__, words))


def _share(one: _Words, other: _Words) -> float:
    """The share of the first one's runs of five words that the other has too."""
    ours, theirs = (
        {tuple(words.words[begin:end]) for begin, end in words.runs(_COUNTED * _WORD)} for words in (one, other)
    )
    return len(ours & theirs) / len(ours) if ours else 0.0


def _likeness(one: str, other: str) -> float:
    """How much of the shorter text is in the longer one, in per cent: the mean over its pieces."""
    from rapidfuzz import fuzz  # noqa: PLC0415 - 4 MB that wait for the first draft

    shorter, longer = sorted((one, other), key=lambda text: (len(text), text))
    pieces = _pieces(shorter)
    return sum(fuzz.partial_ratio(piece, longer) for piece in pieces) / len(pieces)


def _pieces(text: str) -> list[str]:
    """The text in pieces of equal length; of a long one, as many as are compared, evenly spread."""
    count = min(_PIECES, -(-len(text) // _PIECE))
    bounds = [number * len(text) // count for number in range(count + 1)]
    return [text[begin : min(begin + _PIECE, end)] for begin, end in pairwise(bounds)]
