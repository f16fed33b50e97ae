"""Having texts judged by a moderation model, as fast as the service's tokens per minute allow and no faster."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from bot.errors import ModelError, ModelRateLimited, ModelRefused
from bot.language.endpoint import Answer, ModelService, RawAnswer, sendable
from bot.language.failures import nonsense
from bot.screening import Judgement

if TYPE_CHECKING:
    from openai import AsyncOpenAI

COULD_NOT_BE_JUDGED = "could not be judged"
"""The category of a text that the service refuses to look at, however small the pieces: it counts as flagged."""

PROBE = "Good morning."
"""Sent once when a text is refused and none was judged: if this is refused as well, it is not the text."""

_PROBE_INDEX = -1
_PROBE_TOKENS = 3
_SPLITTABLE = frozenset({400, 413, 422})
_SMALLEST_PIECE = 200  # characters; what is refused below that is refused for another reason than its length
_LIMITS_BEFORE_SPLIT = 2
_LIMITS_BEFORE_GIVING_UP = 8
_VISIBLE_WAIT = 0.5  # seconds; a shorter wait is not worth showing
_TOKENS_PER_CALL = 2_000
_MOST_TEXTS = 32  # in one call; OpenAI takes no more
_SMALLEST_SHARE = 4  # a call has this part of the usual tokens at least, where the limit leaves no room for a whole one
# Calls in flight by the tokens per minute that the service allows: OpenAI's tiers from the free one up.
_AT_ONCE = ((10_000, 1), (50_000, 2), (250_000, 4))
_MOST_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing is sent before `until` (unix seconds), because the service's limit is reached."""

    until: float


class Pace:
    """Keeps what is sent in any window under a share of what the service allows in one.

    A window rather than a leaking bucket: a bucket that holds one call of the usual size lets through more than the
    limit of the smallest accounts. `unit` is "tokens" or "requests", as in the headers; `window` and `clock` are in
    seconds.
    """

    def __init__(
        self,
        unit: str = "tokens",
        *,
        share: float = 0.9,
        window: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit: int | None = None
        """What the service allows in one window, once an answer has told; None while, or where, there is none."""
        self._unit = unit
        self._share = share
        self._window = window
        self._clock = clock
        self._sent: deque[tuple[float, int]] = deque()

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take the limit from an answer's `x-ratelimit-*` headers; without them there is none."""
        limit = headers.get(f"x-ratelimit-limit-{self._unit}", "")
        if not limit.isdecimal() or not int(limit):
            return
        is_first, self.limit = self.limit is None, int(limit)
        remaining = headers.get(f"x-ratelimit-remaining-{self._unit}", "")
        if is_first and remaining.isdecimal():
            # Somebody else with this key, or we before a restart, may have used some of it. Only once: a service that
            # always says 0 must not slow us down for ever.
            foreign = self.limit - int(remaining) - self._used()
            if foreign > 0:
                self.take(foreign)

    def room(self) -> float:
        """How much may be sent now; there is no end to it without a limit."""
        return math.inf if self.limit is None else self.limit * self._share - self._used()

    def delay(self, amount: int) -> float:
        """Seconds until that much may be sent. More than the whole limit may go when nothing else did."""
        excess = amount - self.room()
        now, wait = self._clock(), 0.0
        for at, sent in self._sent:
            if excess <= 0:
                break
            wait = at + self._window - now
            excess -= sent
        return wait

    def take(self, amount: int) -> None:
        """Note that so much is sent now."""
        self._sent.append((self._clock(), amount))

    def _used(self) -> int:
        now = self._clock()
        while self._sent and now >= self._sent[0][0] + self._window:
            self._sent.popleft()
        return sum(sent for _, sent in self._sent)


def calls_at_once(limit: int | None) -> int:
    """How many calls to have under way where the service allows so many tokens a minute (None: it does not say)."""
    if limit is None:
        return _MOST_AT_ONCE
    return next((calls for most, calls in _AT_ONCE if limit <= most), _MOST_AT_ONCE)


def fitting(token_counts: Iterable[int], *, tokens: float, texts: int) -> int:
    """How many of the next texts go into one call of so many tokens and texts: at least one, however long it is."""
    number = total = 0
    for count in token_counts:
        total += count
        if number and (total > tokens or number >= texts):
            break
        number += 1
    return number


# gc=False for the reason given at `bot.examples.Example`.
class _Piece(msgspec.Struct, frozen=True, gc=False):
    """A text, or a part of one that was too long whole."""

    index: int
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class _Batch:
    pieces: tuple[_Piece, ...]
    limits_met: int = 0

    @property
    def tokens(self) -> int:
        return sum(piece.tokens for piece in self.pieces)

    def halves(self) -> tuple[_Batch, ...]:
        """Two smaller batches, or nothing when it cannot be made smaller."""
        middle = len(self.pieces) // 2
        if middle:
            parts = (self.pieces[:middle], self.pieces[middle:])
        else:
            parts = tuple((piece,) for piece in _cut(self.pieces[0]))
        return tuple(_Batch(part, self.limits_met) for part in parts)


class _Result(msgspec.Struct):
    flagged: bool
    categories: dict[str, object] = msgspec.field(default_factory=dict[str, object])
    category_scores: dict[str, object] = msgspec.field(default_factory=dict[str, object])


class _Results(msgspec.Struct):
    results: list[_Result]


class _Work:
    """What is still to be judged, and what is known so far of texts that are judged in pieces."""

    def __init__(self, pieces: Iterable[_Piece], *, tokens_per_call: int, texts_per_call: int) -> None:
        self.succeeded = False
        self._fresh = deque(pieces)
        self._again: deque[_Batch] = deque()  # what has been sent before, and goes first
        self._tokens_per_call = tokens_per_call
        self._texts_per_call = texts_per_call
        self._pieces_left = dict.fromkeys((piece.index for piece in self._fresh), 1)
        self._known: dict[int, Judgement] = {}
        self._refused: list[_Piece] = []

    @property
    def is_left(self) -> bool:
        """Whether anything is to be sent."""
        return bool(self._fresh or self._again)

    def least(self) -> int:
        """The tokens that there must be room for before the next call: not for few of many texts."""
        if self._again:
            return self._again[0].tokens
        enough, total = self._tokens_per_call // _SMALLEST_SHARE, 0
        for piece in islice(self._fresh, self._texts_per_call):
            if total and (total >= enough or total + piece.tokens > self._tokens_per_call):
                break
            total += piece.tokens
        return total

    def take(self, room: float) -> _Batch:
        """The next call's texts: as many as fit into the room, and into a call."""
        if self._again:
            return self._again.popleft()
        number = fitting(
            (piece.tokens for piece in self._fresh),
            tokens=min(self._tokens_per_call, room),
            texts=self._texts_per_call,
        )
        return _Batch(tuple(self._fresh.popleft() for _ in range(number)))

    def split(self, batch: _Batch) -> bool:
        """Put the batch back in two halves. False when it has none."""
        halves = batch.halves()
        if not halves:
            return False
        if len(batch.pieces) == 1:
            self._pieces_left[batch.pieces[0].index] += 1
        self._again.extendleft(reversed(halves))
        return True

    def put_back(self, batch: _Batch) -> bool:
        """Put back a batch that met a limit, in halves if it seems larger than the limit itself. False to give up."""
        again = _Batch(batch.pieces, batch.limits_met + 1)
        if again.limits_met >= _LIMITS_BEFORE_GIVING_UP:
            return False
        if again.limits_met < _LIMITS_BEFORE_SPLIT or not self.split(again):
            self._again.appendleft(again)
        return True

    def judged(self, batch: _Batch, judgements: Sequence[Judgement]) -> list[tuple[int, Judgement]]:
        """Note the judgements. Returns those that are complete."""
        self.succeeded = True
        noted = (
            self._note(piece, found)
            for piece, found in zip(batch.pieces, judgements, strict=True)
            if piece.index != _PROBE_INDEX
        )
        return [pair for pair in noted if pair is not None]

    def refuse(self, piece: _Piece) -> bool:
        """Note that a piece was refused by itself. False when it seems not to be the text: nothing is ever judged."""
        if piece.index == _PROBE_INDEX:
            return False
        self._refused.append(piece)
        if not self.succeeded:
            self._again.appendleft(_Batch((_Piece(_PROBE_INDEX, PROBE, _PROBE_TOKENS),)))
        return True

    def given_up(self) -> list[tuple[int, Judgement]]:
        """Texts that could not be judged while others could."""
        if not self.succeeded:
            return []
        could_not = Judgement(flagged=True, categories=(COULD_NOT_BE_JUDGED,))
        noted = [self._note(piece, could_not) for piece in self._refused]
        self._refused.clear()
        return [pair for pair in noted if pair is not None]

    def _note(self, piece: _Piece, judgement: Judgement) -> tuple[int, Judgement] | None:
        known = self._known.pop(piece.index, None)
        merged = judgement if known is None else _merge(known, judgement)
        self._pieces_left[piece.index] -= 1
        if self._pieces_left[piece.index]:
            self._known[piece.index] = merged
            return None
        return piece.index, merged


class _Calls:
    """The calls under way: begun when the pace and the service's limit allow, and read when they end."""

    def __init__(self, service: ModelService, work: _Work, in_flight: int | None, window: float) -> None:
        self.running: dict[asyncio.Task[Answer[list[Judgement]]], _Batch] = {}
        self._service = service
        self._work = work
        self._in_flight = in_flight
        self._tokens = Pace("tokens", window=window)
        self._requests = Pace("requests", window=window)
        self._resume_at = 0.0  # of time.monotonic()

    def begin(self) -> float:
        """Begin what may begin now. Returns the seconds after which the next may, 0 when no time is known."""
        # One call alone until the first answer has told the limit.
        at_once = (self._in_flight or calls_at_once(self._tokens.limit)) if self._work.succeeded else 1
        while self._work.is_left and len(self.running) < at_once:
            delay = max(
                self._resume_at - time.monotonic(), self._tokens.delay(self._work.least()), self._requests.delay(1)
            )
            if delay > 0:
                return delay
            batch = self._work.take(self._tokens.room())
            self._tokens.take(batch.tokens)
            self._requests.take(1)
            self.running[asyncio.create_task(_send(self._service, batch))] = batch
        return 0.0

    async def ended(self, patience: float) -> tuple[list[tuple[int, Judgement]], ModelError | None]:
        """What is judged when the next call ends, or nothing after `patience` seconds (0: endless); and what failed."""
        if not self.running:
            await asyncio.sleep(patience)
            return [], None
        done, _ = await asyncio.wait(self.running, timeout=patience or None, return_when=asyncio.FIRST_COMPLETED)
        found: list[tuple[int, Judgement]] = []
        failure: ModelError | None = None
        for task in done:
            batch = self.running.pop(task)
            try:
                answer = task.result()
            except ModelError as error:
                failure = self._missed(batch, error) or failure
            else:
                self._tokens.learn(answer.headers)
                self._requests.learn(answer.headers)
                found += self._work.judged(batch, answer.value)
        return found + self._work.given_up(), failure

    def _missed(self, batch: _Batch, error: ModelError) -> ModelError | None:
        """Put the batch back so that it may succeed the next time. Returns the error when there is no way."""
        match error:
            case ModelRateLimited():
                self._resume_at = max(self._resume_at, time.monotonic() + error.retry_after)
                return None if self._work.put_back(batch) else error
            case ModelRefused() if error.status in _SPLITTABLE:
                return None if self._work.split(batch) or self._work.refuse(batch.pieces[0]) else error
            case _:
                return error

    async def stop(self) -> None:
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)


def _pieces(texts: Sequence[str], token_counts: Sequence[int]) -> list[_Piece]:
    """Everything that is to be judged. CPU work where there are many texts: call it in a thread."""
    return [_Piece(index, text, token_counts[index]) for index, text in enumerate(texts) if text.strip()]


async def judge(
    service: ModelService,
    texts: Sequence[str],
    token_counts: Sequence[int],
    *,
    in_flight: int | None = None,
    tokens_per_call: int = _TOKENS_PER_CALL,
    texts_per_call: int = _MOST_TEXTS,
    window: float = 60.0,
) -> AsyncGenerator[list[tuple[int, Judgement]] | Waiting, None]:
    """Judge every text. Yields pairs of a text's index and its judgement, in any order, as they come.

    Nothing is judged twice and nothing is skipped: what the service finds too large is cut until it takes it, and a
    text it never takes is flagged as `COULD_NOT_BE_JUDGED`. Cancelling, or closing the generator, ends the calls
    that are under way. There are as many of these as the service's limit suggests, unless `in_flight` says it.
    `window` is the time, in seconds, for which the service's limits are.

    Raises:
        ModelRefused: the service refuses whatever it is sent.
        ModelRateLimited: it was waited for eight times in vain.
        ModelError: any other failure; what was yielded before stays true.
    """
    blank = [(index, Judgement(flagged=False)) for index, text in enumerate(texts) if not text.strip()]
    if blank:
        yield blank  # services refuse an empty text, and there is nothing to judge in it
    pieces = await asyncio.to_thread(_pieces, texts, token_counts)
    work = _Work(pieces, tokens_per_call=tokens_per_call, texts_per_call=min(texts_per_call, _MOST_TEXTS))
    calls = _Calls(service, work, in_flight, window)
    shown_until = 0.0
    try:
        while work.is_left or calls.running:
            delay = calls.begin()
            if delay > _VISIBLE_WAIT and time.time() + delay > shown_until + _VISIBLE_WAIT:
                shown_until = time.time() + delay
                yield Waiting(shown_until)
            found, failure = await calls.ended(delay)
            if failure is None:
                calls.begin()  # before the caller takes its time to store what was found
            if found:
                yield found
            if failure is not None:
                raise failure
    finally:
        await calls.stop()


async def _send(service: ModelService, batch: _Batch) -> Answer[list[Judgement]]:
    texts = [sendable(piece.text) for piece in batch.pieces]

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await client.moderations.with_raw_response.create(input=texts, model=service.endpoint.model)

    try:
        answer = await service.ask(send, _Results)
    except ModelRefused as refusal:
        if refusal.status == 404 and refusal.code != "model_not_found":  # noqa: PLR2004 - an HTTP status
            raise ModelRefused(
                f"{service.name} offers no moderation.",
                "Name a service that does under [openai.moderation]; OpenAI's is free.",
                status=refusal.status,
                code=refusal.code,
            ) from None
        raise
    if len(answer.value.results) != len(texts):
        raise nonsense(service.name)
    return Answer([_judgement(result) for result in answer.value.results], answer.headers)


def read_judgement(body: bytes | msgspec.Raw) -> Judgement | None:
    """The judgement in the answer to a request with one text; None when there is none in it."""
    try:
        results = msgspec.json.decode(body, type=_Results).results
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return _judgement(results[0]) if len(results) == 1 else None


def _judgement(result: _Result) -> Judgement:
    return Judgement(
        flagged=result.flagged,
        categories=tuple(name for name, flagged in result.categories.items() if flagged is True),
        scores={name: float(score) for name, score in result.category_scores.items() if isinstance(score, int | float)},
    )


def _merge(one: Judgement, other: Judgement) -> Judgement:
    names = one.scores.keys() | other.scores.keys()
    return Judgement(
        flagged=one.flagged or other.flagged,
        categories=tuple(dict.fromkeys(one.categories + other.categories)),
        scores={name: max(one.scores.get(name, 0.0), other.scores.get(name, 0.0)) for name in sorted(names)},
    )


def _cut(piece: _Piece) -> tuple[_Piece, ...]:
    """The text in two, at a space if there is one in its second quarter."""
    length = len(piece.text)
    if length < 2 * _SMALLEST_PIECE:
        return ()
    middle = piece.text.rfind(" ", length // 4, length // 2) + 1 or length // 2
    tokens = -(-piece.tokens // 2)
    parts = (piece.text[:middle], piece.text[middle:])
    return tuple(_Piece(piece.index, part, tokens) for part in parts)
