"""Having texts judged by a moderation model, as fast as the service's tokens per minute allow and no faster."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from bot.errors import ModelError, ModelRateLimited, ModelRefused
from bot.language.endpoint import Answer, ModelService, RawAnswer, sendable
from bot.language.failures import nonsense

if TYPE_CHECKING:
    from openai import AsyncOpenAI

COULD_NOT_BE_JUDGED = "could not be judged"
"""The category of a text that the service refuses to look at, however small the pieces: it counts as flagged."""

_SPLITTABLE = frozenset({400, 413, 422})
_SMALLEST_PIECE = 200  # characters; what is refused below that is refused for another reason than its length
_REFUSALS_WITHOUT_SUCCESS = 3  # then it is not the texts that are wrong
_LIMITS_BEFORE_SPLIT = 2
_LIMITS_BEFORE_GIVING_UP = 8
_VISIBLE_WAIT = 0.5  # seconds; a shorter wait is not worth showing


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the model thinks of one text. `categories` are the flagged ones; `scores` has all, from 0 to 1."""

    flagged: bool
    categories: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing is sent before `until` (unix seconds), because the service's limit is reached."""

    until: float


class Pace:
    """Keeps what is sent in any 60 seconds under a share of the service's tokens per minute.

    A window rather than a leaking bucket: a bucket that holds one call of the usual size lets through more than the
    limit of the smallest accounts. `clock` is in seconds.
    """

    def __init__(
        self, *, share: float = 0.9, window: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._share = share
        self._window = window
        self._clock = clock
        self._limit: float | None = None
        self._sent: deque[tuple[float, int]] = deque()

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take the limit from an answer's `x-ratelimit-limit-tokens`; without it there is none."""
        value = headers.get("x-ratelimit-limit-tokens", "")
        if value.isdecimal() and int(value) > 0:
            self._limit = int(value) * self._share

    def delay(self, tokens: int) -> float:
        """Seconds until that many tokens may be sent. More than the whole limit may go when nothing else did."""
        now = self._clock()
        while self._sent and now >= self._sent[0][0] + self._window:
            self._sent.popleft()
        if self._limit is None:
            return 0.0
        excess = sum(sent for _, sent in self._sent) + tokens - self._limit
        wait = 0.0
        for at, sent in self._sent:
            if excess <= 0:
                break
            wait = at + self._window - now
            excess -= sent
        return wait

    def take(self, tokens: int) -> None:
        """Note that so many tokens are sent now."""
        self._sent.append((self._clock(), tokens))


def pack(token_counts: Sequence[int], *, tokens_per_call: int = 2_000, texts_per_call: int = 32) -> list[range]:
    """Which texts go together, in order: a range of indexes for each call. A longer text than allowed goes alone."""
    packs: list[range] = []
    start = total = 0
    for index, tokens in enumerate(token_counts):
        if index > start and (total + tokens > tokens_per_call or index - start >= texts_per_call):
            packs.append(range(start, index))
            start, total = index, 0
        total += tokens
    if start < len(token_counts):
        packs.append(range(start, len(token_counts)))
    return packs


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

    def __init__(self, batches: Iterable[_Batch]) -> None:
        self.pending = deque(batches)
        self.succeeded = False
        self._pieces_left = dict.fromkeys((piece.index for batch in self.pending for piece in batch.pieces), 1)
        self._known: dict[int, Judgement] = {}
        self._refused: list[tuple[_Piece, ModelRefused]] = []

    @property
    def refusal(self) -> ModelRefused | None:
        """Why a text was refused, as long as nothing else was judged."""
        return self._refused[0][1] if self._refused else None

    def split(self, batch: _Batch) -> bool:
        """Put the batch back in two halves. False when it has none."""
        halves = batch.halves()
        if not halves:
            return False
        if len(batch.pieces) == 1:
            self._pieces_left[batch.pieces[0].index] += 1
        self.pending.extendleft(reversed(halves))
        return True

    def put_back(self, batch: _Batch) -> bool:
        """Put back a batch that met a limit, in halves if it seems larger than the limit itself. False to give up."""
        again = _Batch(batch.pieces, batch.limits_met + 1)
        if again.limits_met >= _LIMITS_BEFORE_GIVING_UP:
            return False
        if again.limits_met < _LIMITS_BEFORE_SPLIT or not self.split(again):
            self.pending.appendleft(again)
        return True

    def judged(self, batch: _Batch, judgements: Sequence[Judgement]) -> list[tuple[int, Judgement]]:
        """Note the judgements. Returns those that are complete."""
        self.succeeded = True
        noted = (self._note(piece, found) for piece, found in zip(batch.pieces, judgements, strict=True))
        return [pair for pair in noted if pair is not None]

    def refuse(self, batch: _Batch, error: ModelRefused) -> bool:
        """Note that a single piece was refused. False when it seems not to be the text: nothing was ever judged."""
        self._refused.append((batch.pieces[0], error))
        return self.succeeded or len(self._refused) < _REFUSALS_WITHOUT_SUCCESS

    def given_up(self) -> list[tuple[int, Judgement]]:
        """Texts that could not be judged while others could."""
        if not self.succeeded:
            return []
        could_not = Judgement(flagged=True, categories=(COULD_NOT_BE_JUDGED,))
        noted = [self._note(piece, could_not) for piece, _ in self._refused]
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

    def __init__(self, service: ModelService, work: _Work, in_flight: int) -> None:
        self.running: dict[asyncio.Task[Answer[list[Judgement]]], _Batch] = {}
        self._service = service
        self._work = work
        self._in_flight = in_flight
        self._pace = Pace()
        self._resume_at = 0.0  # of time.monotonic()

    def begin(self) -> float:
        """Begin what may begin now. Returns the seconds after which the next may, 0 when no time is known."""
        pending = self._work.pending
        # One call alone until the first answer has told the limit.
        while pending and len(self.running) < (self._in_flight if self._work.succeeded else 1):
            delay = max(self._resume_at - time.monotonic(), self._pace.delay(pending[0].tokens))
            if delay > 0:
                return delay
            batch = pending.popleft()
            self._pace.take(batch.tokens)
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
                self._pace.learn(answer.headers)
                found += self._work.judged(batch, answer.value)
        return found + self._work.given_up(), failure

    def _missed(self, batch: _Batch, error: ModelError) -> ModelError | None:
        """Put the batch back so that it may succeed the next time. Returns the error when there is no way."""
        match error:
            case ModelRateLimited():
                self._resume_at = max(self._resume_at, time.monotonic() + error.retry_after)
                return None if self._work.put_back(batch) else error
            case ModelRefused() if error.status in _SPLITTABLE:
                return None if self._work.split(batch) or self._work.refuse(batch, error) else error
            case _:
                return error

    async def stop(self) -> None:
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)


def _prepared(texts: Sequence[str], token_counts: Sequence[int], tokens_per_call: int, texts_per_call: int) -> _Work:
    """Everything that is to be judged, in batches. CPU work where there are many texts: call it in a thread."""
    full = [_Piece(index, text, token_counts[index]) for index, text in enumerate(texts) if text.strip()]
    packs = pack([piece.tokens for piece in full], tokens_per_call=tokens_per_call, texts_per_call=texts_per_call)
    return _Work(_Batch(tuple(full[pack.start : pack.stop])) for pack in packs)


async def judge(
    service: ModelService,
    texts: Sequence[str],
    token_counts: Sequence[int],
    *,
    in_flight: int = 2,
    tokens_per_call: int = 2_000,
    texts_per_call: int = 32,
) -> AsyncGenerator[list[tuple[int, Judgement]] | Waiting, None]:
    """Judge every text. Yields pairs of a text's index and its judgement, in any order, as they come.

    Nothing is judged twice and nothing is skipped: what the service finds too large is cut until it takes it, and a
    text it never takes is flagged as `COULD_NOT_BE_JUDGED`. Cancelling, or closing the generator, ends the calls
    that are under way.

    Raises:
        ModelRefused: the service refuses whatever it is sent.
        ModelRateLimited: it was waited for eight times in vain.
        ModelError: any other failure; what was yielded before stays true.
    """
    blank = [(index, Judgement(flagged=False)) for index, text in enumerate(texts) if not text.strip()]
    if blank:
        yield blank  # services refuse an empty text, and there is nothing to judge in it
    work = await asyncio.to_thread(_prepared, texts, token_counts, tokens_per_call, texts_per_call)
    calls = _Calls(service, work, in_flight)
    shown_until = 0.0
    try:
        while work.pending or calls.running:
            delay = calls.begin()
            if delay > _VISIBLE_WAIT and time.time() + delay > shown_until + _VISIBLE_WAIT:
                shown_until = time.time() + delay
                yield Waiting(shown_until)
            found, failure = await calls.ended(delay)
            if found:
                yield found
            if failure is not None:
                raise failure
        if work.refusal is not None:
            raise work.refusal
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
