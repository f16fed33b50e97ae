"""/generate: write drafts with a voice, several at a time, and write one again when somebody asks for it.

A text is stored with what it cost before anything else is done with it. The guards then let it become a draft, or have
it written anew; what they cannot mend becomes a draft that is held back, with why.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import aiosqlite

from bot.budget import NO_CAPS, Caps
from bot.drafts import Draft, Parent, UploadState
from bot.errors import (
    BotError,
    BudgetReached,
    ModelError,
    ModelRateLimited,
    NothingToDo,
    TumblrError,
)
from bot.jobs.background import report_unexpected
from bot.language.chat import extract_tags
from bot.language.endpoint import ModelService
from bot.language.prices import chat_cost
from bot.pipeline.guards import HOLDING, Checked, Guards
from bot.pipeline.paying import PaidText, Purse, write_text
from bot.pipeline.reblog import ParentSearch, reblog_prompt
from bot.pipeline.waiting import wait_until
from bot.progress import Preview, Progress
from bot.store import drafts as store
from bot.store import spending, writings
from bot.store.database import Database, carry_through
from bot.store.drafts import NewDraft
from bot.store.writings import Writing
from bot.training import Voice
from bot.tumblr.client import Tumblr
from bot.tumblr.npf import clean_tags
from bot.voices.protocol import Writer

_log = logging.getLogger(__name__)
LIMIT = "the model service's limit"
SCREENING_LIMIT = "the moderation service's limit"
AT_ONCE = 16
_BEGIN_WITH = 4
_AS_FAST = 1.8  # times the fastest answer: where answers take longer than that, the service may work on them in turn
_SOON = 20.0  # seconds; answers that come so soon are far from too late, and long texts take longer than short ones
_TAG_COST_TOKENS = (2_000, 200)
_GRACE = 5.0  # seconds for what is under way when a run ends early: it is paid for
_GRACE_OF_ONE = 2.0  # the same for a draft that is written again: both fit into the time that a stopping process has


@dataclass(frozen=True, slots=True)
class Tagging:
    """How drafts get tags: each with this chance, by this model."""

    service: ModelService
    developer_message: str
    chance: float


@dataclass(frozen=True, slots=True)
class Reblogging:
    """How drafts come to reblog: each with this chance, a post of one of these blogs."""

    tumblr: Tumblr
    identifiers: tuple[str, ...]
    chance: float
    user_message: str


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that writing a draft needs, whichever draft it is."""

    database: Database
    voice: Voice
    writer: Writer
    tagging: Tagging
    guards: Guards
    blog: str
    upload_state: UploadState
    monthly_limit: float
    dice: random.Random
    clock: Callable[[], float] = time.time
    reblogging: Reblogging | None = None
    rewrites: int = 2
    """How often a text is written anew that the guards do not let through."""
    at_once: int = AT_ONCE
    """The most texts that are asked for at a time; fewer where the service asks for that, or becomes slower by it."""
    caps: Caps = NO_CAPS
    note: str = ""
    """A sentence for the owner that stands on each draft, as why another voice writes than they may expect."""

    @property
    def purse(self) -> Purse:
        return Purse(self.database, self.monthly_limit, self.clock, self.caps)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A draft to be written. `name` stays the same across restarts."""

    name: str
    job_id: int | None
    slot: int | None
    channel_id: int | None
    replaces: Draft | None = None

    @property
    def paying_job(self) -> int | None:
        """The run that pays. A press of *Regenerate* is a run of its own: that of the draft's job may be over."""
        return None if self.replaces else self.job_id


@dataclass(frozen=True, slots=True)
class _Request:
    """What the voice is asked for, and the post that the answer reblogs."""

    prompt: str
    parent: Parent | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Made:
    """A draft that was just written."""

    text: str
    tags: tuple[str, ...]
    parent: Parent | None
    held_back: bool


async def generate(
    desk: Desk, *, job_id: int, count: int, prompt: str | None, channel_id: int | None
) -> AsyncIterator[Progress]:
    """Write `count` drafts. A resumed job writes only those that are missing.

    Some of them reblog a post, by chance; none do where a person gave the `prompt`, since that is what they asked for.
    A run that ends early keeps what was paid for: what is under way is waited for a moment.

    Raises:
        NothingToDo: no blog is named that the drafts could go to.
        BudgetReached: the next call would pass the month's cap; the drafts before it are kept.
        ModelError: as `bot.language` raises it; the drafts before it are kept.
    """
    _require_destination(desk)
    async for progress in desk.guards.prepare():
        yield progress
    written = await store.slots_written(desk.database, job_id)
    reblogging = desk.reblogging if prompt is None else None
    source = _Source(desk, prompt, reblogging)
    left = deque(
        _Turn(f"job {job_id}, slot {slot}", job_id, slot, channel_id) for slot in range(count) if slot not in written
    )
    run = _Run(desk, source, left, len(written), count, job_id, _Asking(desk.at_once, min(_BEGIN_WITH, desk.at_once)))
    async with aclosing(run.write_all()) as steps:
        async for progress in steps:
            yield progress
    cost = await spending.spent_on_job(desk.database, job_id)
    facts = [("Voice", desk.voice.name), ("Cost", f"about ${cost:.4f}"), ("Destination", desk.blog)]
    if run.held_back:
        facts.append(("Held back", f"{run.held_back:,} by the guards; each says why"))
    yield Progress(
        count,
        count,
        f"Done: {count:,} drafts wait for your decision." if count > 1 else "Done: a draft waits for your decision.",
        "drafts",
        run.preview,
        facts=tuple(facts),
    )


@dataclass(slots=True)
class _Asking:
    """The drafts whose text the service is being asked for, and how many of them there may be.

    One more after each answer that came soon, or was as fast as the fastest. Fewer where the service asks for fewer
    calls, or where it takes longer the more it is asked at once, as one on the owner's own machine does: the last of
    many calls would not be answered in time.
    """

    most: int
    may: int
    begun: dict[str, float] = field(default_factory=dict[str, float])
    """By the name of the turn: when its text was asked for."""
    fastest: float = math.inf
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def has_room(self) -> bool:
        return len(self.begun) < self.may

    def begin(self, name: str) -> None:
        self.begun[name] = time.monotonic()

    def answered(self, name: str) -> None:
        seconds = time.monotonic() - self.begun.pop(name)
        self.fastest = min(self.fastest, seconds)
        is_soon = seconds <= max(_SOON, self.fastest * _AS_FAST)
        self.may = min(max(1, self.may + (1 if is_soon else -1)), self.most)
        self.changed.set()

    def ended(self, name: str) -> None:
        """Whether there was an answer or not, nothing is asked for there any more."""
        self.begun.pop(name, None)
        self.changed.set()

    def slow_down(self) -> None:
        self.may = max(1, self.may // 2)

    def no_more_than_now(self) -> None:
        self.may = max(1, len(self.begun))


@dataclass(slots=True)
class _Run:
    """A run of /generate: what is left to write, what is being written, and what people are shown of it."""

    desk: Desk
    source: _Source
    left: deque[_Turn]
    done: int
    total: int
    job_id: int
    asking: _Asking
    preview: Preview | None = None
    held_back: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: dict[asyncio.Task[_Made], _Turn] = field(default_factory=dict[asyncio.Task[_Made], _Turn])

    async def write_all(self) -> AsyncGenerator[Progress]:
        """Write what is left. While the guards look at one text, the next is asked for."""
        resume_at = 0.0
        failure: BotError | None = None
        self.desk.guards.on_wait = self.asking.changed.set
        try:
            while (self.left and failure is None) or self.under_way:
                while self.left and failure is None and not resume_at and self._has_room():
                    turn = self.left.popleft()
                    self.asking.begin(turn.name)
                    task = asyncio.create_task(_write(self.desk, self.source, turn, self.asking, self.stop))
                    task.add_done_callback(functools.partial(self._ended, turn.name))
                    self.under_way[task] = turn
                yield await self._progress()
                if resume_at and not self.under_way:
                    now = await self._progress()
                    async for waiting in wait_until(resume_at, LIMIT, now, clock=self.desk.clock):
                        yield waiting
                    resume_at = 0.0
                    continue
                await self.asking.changed.wait()
                self.asking.changed.clear()
                for task in [task for task in self.under_way if task.done()]:
                    turn = self.under_way.pop(task)
                    try:
                        self._show(task.result())
                    except ModelRateLimited as limit:
                        self.left.appendleft(turn)
                        self.asking.slow_down()
                        resume_at = max(resume_at, self.desk.clock() + limit.retry_after)
                    except BudgetReached as reached:
                        if self.asking.begun.keys() - {turn.name}:
                            # Others have set more aside than they will cost: once they are answered, it may be enough.
                            self.left.appendleft(turn)
                            self.asking.no_more_than_now()
                        else:
                            failure = failure or reached
                            self.stop.set()
                    except BotError as error:
                        failure = failure or error
                        self.stop.set()
        finally:
            # To its end even when the process stops while a run is being stopped.
            await carry_through(_let_end(self.under_way, self.stop, _GRACE))
        if failure is not None:
            raise failure

    def _has_room(self) -> bool:
        # Texts that the guards still look at wait for the screening: no more of them than there may be calls, either.
        return self.asking.has_room and len(self.under_way) < 2 * self.desk.at_once - 1

    def _ended(self, name: str, _task: asyncio.Task[_Made]) -> None:
        self.asking.ended(name)

    def _show(self, made: _Made) -> None:
        self.done += 1
        self.held_back += made.held_back
        reblogs = f", to reblog a post of {made.parent.blog_name}" if made.parent else ""
        held = ", held back by the guards" if made.held_back else ""
        self.preview = Preview(made.text, f"Just written{reblogs}{held}", tags=made.tags)

    async def _progress(self) -> Progress:
        cost = await spending.spent_on_job(self.desk.database, self.job_id)
        line = f"Writing with {self.desk.voice.name}, {len(self.under_way)} at a time. About ${cost:.4f} so far."
        progress = Progress(self.done, self.total, line, "drafts", self.preview)
        # The screener reckons with the machine's own clock.
        if (until := self.desk.guards.waits_until) > time.time():
            return replace(progress, waiting_for=SCREENING_LIMIT, wait_until=until)
        return progress


async def _let_end(under_way: Collection[asyncio.Task[_Made]], stop: asyncio.Event, seconds: float) -> None:
    """What is under way is being paid for: it gets a moment, so that its text is kept."""
    stop.set()
    if not under_way:
        return
    _, late = await asyncio.wait(under_way, timeout=seconds)
    for task in late:
        task.cancel()
    await asyncio.wait(under_way)
    for task in under_way:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("A draft was not written: %s", type(error).__name__)


async def rewrite_replaced(database: Database, desk_for: Callable[[Draft], Awaitable[Desk]]) -> int:
    """Write a successor for each draft that somebody wanted regenerated. Returns how many were dealt with.

    When that fails, the old draft comes back with the reason on it: nothing is lost.
    """
    done = 0
    # One by one: meanwhile somebody may have brought back the next one.
    while found := await store.drafts_to_rewrite(database, limit=1):
        (draft,) = found
        try:
            desk = await desk_for(draft)
            _require_destination(desk)
            async for _ in desk.guards.prepare():
                pass
            press = await store.regeneration_of(database, draft.id)
            turn = _Turn(f"draft {draft.id}, press {press}", draft.job_id, None, draft.channel_id, replaces=draft)
            await _write_one(desk, _Given(_Request(draft.prompt, draft.parent, desk.note)), turn)
        except Exception as failure:  # noqa: BLE001 - a defect in one draft must not stop those after it
            name = f"draft {draft.id}, regenerated"
            error = failure if isinstance(failure, BotError) else report_unexpected(name, failure)
            _log.warning("%s: %s", name, error)
            async with database.write() as connection:
                await store.return_replaced(connection, draft.id, f"It could not be regenerated. {error}")
        done += 1
    return done


async def _write_one(desk: Desk, asked: _Given, turn: _Turn) -> None:
    """Write a draft on its own; where the process stops meanwhile, what was paid for is kept."""
    stop = asyncio.Event()
    task = asyncio.create_task(_write(desk, asked, turn, _Asking(1, 1), stop))
    try:
        await asyncio.wait([task])
        task.result()
    finally:
        await carry_through(_let_end([task], stop, _GRACE_OF_ONE))


def _require_destination(desk: Desk) -> None:
    if not desk.blog:
        raise NothingToDo("No blog is named that drafts could go to.", "Set `upload_blog_identifier` in config.toml.")


# --- what is asked for --------------------------------------------------------------------------------------------


class _Source:
    """What each draft of a run is asked for; posts to reblog are drawn one after the other."""

    def __init__(self, desk: Desk, prompt: str | None, reblogging: Reblogging | None) -> None:
        self._desk = desk
        self._prompt = prompt
        self._reblogging = reblogging
        self._search = ParentSearch(reblogging.tumblr, reblogging.identifiers, desk.dice) if reblogging else None
        self._turn = asyncio.Lock()
        self._asked: dict[str, _Request] = {}

    async def request(self, name: str) -> _Request:
        """What to ask for in the turn of this name, the same each time: a limit of the service costs no other post."""
        if name not in self._asked:
            self._asked[name] = await self._chosen()
        return self._asked[name]

    async def _chosen(self) -> _Request:
        """Where no post to reblog is found, an ordinary draft, with the reason on it."""
        desk, reblogging = self._desk, self._reblogging
        usual = _Request(self._prompt or desk.voice.user_message)
        if reblogging is None or self._search is None or not reblogging.chance:
            return usual
        async with self._turn:
            if desk.dice.random() >= reblogging.chance:
                return usual
            try:
                parent = await self._search.draw(await store.reblogged_posts(desk.database))
            except (NothingToDo, TumblrError) as error:
                _log.warning("A draft reblogs nothing: %s", error)
                return replace(usual, note=f"It reblogs nothing. {error.sentence}")
        return _Request(reblog_prompt(reblogging.user_message, parent.text), parent)


@dataclass(frozen=True, slots=True)
class _Given:
    """The same that was asked for before."""

    asked: _Request

    async def request(self, _name: str) -> _Request:
        return self.asked


# --- one draft ------------------------------------------------------------------------------------------------


async def _write(desk: Desk, source: _Source | _Given, turn: _Turn, asking: _Asking, stop: asyncio.Event) -> _Made:
    """Write one draft: as often as the guards want, from where an earlier process left it.

    `asking` has the turn for as long as its first text is not there. Once the run is to `stop`, nothing more is paid
    for: what is there becomes the draft.
    """
    texts = await writings.writings_of(desk.database, turn.name)
    request = _Request(texts[0].prompt, texts[0].parent, texts[0].note) if texts else await source.request(turn.name)
    if not texts:
        asking.begin(turn.name)  # again: only now is the service asked
        texts.append(await _paid_text(desk, request, turn, texts))
        asking.answered(turn.name)
    asking.ended(turn.name)
    while True:
        newest = texts[-1]
        checked = await desk.guards.check(newest.text, cut_off=newest.cut_off)
        async with desk.guards.turn:
            but = turn.replaces.id if turn.replaces else None
            repeated = await desk.guards.repeats(checked.text, but=but)
            if repeated is not None:
                checked = replace(checked, findings=(*checked.findings, repeated))
            if checked.is_clear or len(texts) > desk.rewrites or stop.is_set():
                draft_id = await _store(desk, request, turn, texts, checked)
                await desk.guards.remember(draft_id, checked.text)
                break
        kinds = ", ".join(finding.kind for finding in checked.findings if finding.kind in HOLDING)
        _log.info("A text for %s is written anew: %s.", turn.name, kinds)
        asking.begin(turn.name)
        try:
            texts.append(await _paid_text(desk, request, turn, texts))
        except BudgetReached:
            if turn.replaces is None:
                raise
            stop.set()  # nobody goes on with a press: what is paid for becomes the draft
            continue
        asking.answered(turn.name)
    # The text is stored before anything else is asked for: it must not be lost, or paid again, for its tags.
    tags = () if stop.is_set() else await _tag(desk, draft_id, checked.text, turn, texts)
    return _Made(checked.text, tags, request.parent, not checked.is_clear)


async def _paid_text(desk: Desk, request: _Request, turn: _Turn, before: list[Writing]) -> Writing:
    """Have the voice write, after the texts `before` in this turn; what it gave is stored with what it cost."""
    kept: list[Writing] = []

    async def keep(connection: aiosqlite.Connection, paid: PaidText) -> None:
        writing = Writing(
            turn=turn.name,
            prompt=request.prompt,
            parent=request.parent,
            note=request.note,
            seed=paid.seed,
            text=paid.text,
            cut_off=paid.cut_off,
            cost=paid.cost,
            input_tokens=paid.input_tokens,
            output_tokens=paid.output_tokens,
        )
        await writings.add_writing(connection, writing, now=desk.clock())
        kept.append(writing)

    await write_text(
        desk.purse,
        desk.writer,
        desk.voice,
        request.prompt,
        name=f"{turn.name}, text {len(before)}",
        purpose="writing",
        job_id=turn.paying_job,
        spent=_cost(before),
        keep=keep,
    )
    return kept[0]


def _cost(texts: list[Writing]) -> float:
    return sum(text.cost for text in texts)


async def _store(desk: Desk, request: _Request, turn: _Turn, texts: list[Writing], checked: Checked) -> int:
    """Make a draft of the newest text. It carries what all of them cost."""
    newest = texts[-1]
    draft = NewDraft(
        text=checked.text,
        tags=(),
        prompt=request.prompt,
        voice_id=desk.voice.id,
        job_id=turn.job_id,
        slot=turn.slot,
        replaces=turn.replaces.id if turn.replaces else None,
        blog=desk.blog,
        upload_state=desk.upload_state,
        cost=_cost(texts),
        note=request.note,
        parent=request.parent,
        channel_id=turn.channel_id,
        seed=newest.seed,
        input_tokens=newest.input_tokens,
        output_tokens=newest.output_tokens,
        findings=checked.findings,
        held_back=not checked.is_clear,
        closeness=checked.closeness,
        closest=checked.closest,
        rewrites=len(texts) - 1,
    )
    async with desk.database.write() as connection:
        draft_id = await store.add_draft(connection, draft, now=desk.clock())
        await writings.forget_turn(connection, turn.name)
    return draft_id


async def _tag(desk: Desk, draft_id: int, text: str, turn: _Turn, texts: list[Writing]) -> tuple[str, ...]:
    """Give some of the drafts tags. A service that cannot name any costs the draft its tags, nothing more."""
    if desk.dice.random() >= desk.tagging.chance:
        return ()
    endpoint = desk.tagging.service.endpoint
    model, base_url = endpoint.model, endpoint.base_url
    try:
        most = chat_cost(model, *_TAG_COST_TOKENS, base_url=base_url)
        entry = await desk.purse.reserve("tags", turn.paying_job, model, most, spent=_cost(texts))
    except BudgetReached as error:
        _log.warning("Draft %d gets no tags: %s", draft_id, error)
        return ()
    try:
        found, usage = await extract_tags(desk.tagging.service, desk.tagging.developer_message, text)
    except ModelError as error:
        _log.warning("Draft %d gets no tags: %s", draft_id, error)
        await desk.purse.give_back(entry, error)
        return ()
    tokens = (usage.input_tokens, usage.output_tokens) if usage else (0, 0)
    cost = chat_cost(model, *tokens, usage.cached_tokens if usage else 0, base_url=base_url)
    tags = clean_tags(found)
    async with desk.database.write() as connection:
        await store.add_tags(connection, draft_id, tags, cost=cost)
        await spending.settle(connection, entry, dollars=cost, input_tokens=tokens[0], output_tokens=tokens[1])
    return tags
