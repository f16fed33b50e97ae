"""/generate: write drafts with the active voice, and write one again when somebody asks for it."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from bot.drafts import Draft, DraftState, Parent, UploadState
from bot.errors import (
    BotError,
    BudgetReached,
    ModelError,
    ModelRateLimited,
    ModelUnavailable,
    NothingToDo,
    TumblrError,
)
from bot.jobs.background import report_unexpected
from bot.language.chat import extract_tags
from bot.language.endpoint import ModelService
from bot.language.prices import chat_cost
from bot.pipeline.reblog import ParentSearch, reblog_prompt
from bot.pipeline.waiting import wait_until
from bot.progress import Preview, Progress
from bot.store import drafts as store
from bot.store import spending
from bot.store.database import Database
from bot.store.drafts import NewDraft
from bot.training import Voice
from bot.tumblr.client import Tumblr
from bot.tumblr.npf import clean_tags
from bot.voices.protocol import Writer

_log = logging.getLogger(__name__)
LIMIT = "the model service's limit"
_TRIES = 3  # a voice may answer with nothing now and then
_TAG_COST_TOKENS = (2_000, 200)
_CUT_OFF = "The text was cut off at the length limit."


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
    blog: str
    upload_state: UploadState
    monthly_limit: float
    dice: random.Random
    clock: Callable[[], float] = time.time
    reblogging: Reblogging | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    """What the voice is asked for, and the post that the answer reblogs."""

    prompt: str
    parent: Parent | None = None
    note: str = ""


async def generate(
    desk: Desk, *, job_id: int, count: int, prompt: str | None, channel_id: int | None
) -> AsyncIterator[Progress]:
    """Write `count` drafts. A resumed job writes only those that are missing.

    Some of them reblog a post, by chance; none do where a person gave the `prompt`, since that is what they asked for.

    Raises:
        NothingToDo: no blog is named that the drafts could go to.
        BudgetReached: the next call would pass the month's cap; the drafts before it are kept.
        ModelError: as `bot.language` raises it; the drafts before it are kept.
    """
    written = await store.slots_written(desk.database, job_id)
    preview: Preview | None = None
    line = f"Writing with {desk.voice.name}."
    reblogging = desk.reblogging if prompt is None else None
    search = ParentSearch(reblogging.tumblr, reblogging.identifiers, desk.dice) if reblogging else None
    for slot in range(count):
        if slot in written:
            continue
        request = _Request(prompt or desk.voice.user_message)
        if reblogging and search and reblogging.chance and desk.dice.random() < reblogging.chance:
            yield Progress(len(written), count, "Looking for a post to reblog.", "drafts", preview)
            request = await _request_to_reblog(desk, search, reblogging.user_message)
        while slot not in written:
            now = Progress(len(written), count, line, "drafts", preview)
            yield now
            try:
                text, tags = await _write_and_store(desk, request, job_id=job_id, slot=slot, channel_id=channel_id)
            except ModelRateLimited as limit:
                async for waiting in wait_until(desk.clock() + limit.retry_after, LIMIT, now, clock=desk.clock):
                    yield waiting
                continue
            written.add(slot)
            reblogs = f", to reblog a post of {request.parent.blog_name}" if request.parent else ""
            preview = Preview(text, f"Just written{reblogs}", tags=tags)
            yield Progress(len(written), count, line, "drafts", preview)
    cost = await spending.spent_on_job(desk.database, job_id)
    yield Progress(
        count,
        count,
        f"Done: {count:,} drafts wait for your decision." if count > 1 else "Done: a draft waits for your decision.",
        "drafts",
        preview,
        facts=(("Voice", desk.voice.name), ("Cost", f"about ${cost:.4f}"), ("Destination", desk.blog)),
    )


async def rewrite_replaced(database: Database, desk_for: Callable[[], Awaitable[Desk]]) -> int:
    """Write a successor for each draft that somebody wanted regenerated. Returns how many were dealt with.

    When that fails, the old draft comes back with the reason on it: nothing is lost.
    """
    done = 0
    for draft in await store.drafts_to_rewrite(database, limit=100):
        try:
            desk = await desk_for()
            await _write_and_store(
                desk,
                _Request(draft.prompt, draft.parent),
                job_id=draft.job_id,
                slot=None,
                channel_id=draft.channel_id,
                replaces=draft,
            )
        except Exception as failure:  # noqa: BLE001 - a defect in one draft must not stop those after it
            name = f"draft {draft.id}, regenerated"
            error = failure if isinstance(failure, BotError) else report_unexpected(name, failure)
            _log.warning("%s: %s", name, error)
            async with database.write() as connection:
                await store.move_draft(
                    connection, draft.id, to=DraftState.PENDING, note=f"It could not be regenerated. {error}"
                )
        done += 1
    return done


async def _request_to_reblog(desk: Desk, search: ParentSearch, user_message: str) -> _Request:
    """What to ask for a reblog. Where no post is found, an ordinary draft is asked for, with the reason on it."""
    try:
        parent = await search.draw(await store.reblogged_posts(desk.database))
    except (NothingToDo, TumblrError) as error:
        _log.warning("A draft reblogs nothing: %s", error)
        return _Request(desk.voice.user_message, note=f"It reblogs nothing. {error.sentence}")
    return _Request(reblog_prompt(user_message, parent.text), parent)


async def _write_and_store(
    desk: Desk,
    request: _Request,
    *,
    job_id: int | None,
    slot: int | None,
    channel_id: int | None,
    replaces: Draft | None = None,
) -> tuple[str, tuple[str, ...]]:
    """One paid call, or a few when the voice answers with nothing; what it gave is stored with what it cost."""
    if not desk.blog:
        raise NothingToDo("No blog is named that drafts could go to.", "Set `upload_blog_identifier` in config.toml.")
    paid = 0.0
    for _ in range(_TRIES):
        entry = await _reserve(
            desk, "writing", job_id, desk.voice.model, await desk.writer.most_expensive(desk.voice, request.prompt)
        )
        try:
            written = await desk.writer.write(desk.voice, request.prompt)
        except ModelError as error:
            await _give_back(desk, entry, error)
            raise
        cost = chat_cost(
            desk.voice.model, written.input_tokens, written.output_tokens, cached_tokens=written.cached_tokens
        )
        paid += cost
        text = written.text.strip()
        draft = NewDraft(
            text=text,
            tags=(),
            prompt=request.prompt,
            voice_id=desk.voice.id,
            job_id=job_id,
            slot=slot,
            replaces=replaces.id if replaces else None,
            blog=desk.blog,
            upload_state=desk.upload_state,
            cost=paid,
            note=" ".join(filter(None, (request.note, _CUT_OFF if written.cut_off else ""))),
            parent=request.parent,
            channel_id=channel_id,
        )
        async with desk.database.write() as connection:
            draft_id = await store.add_draft(connection, draft, now=desk.clock()) if text else None
            await spending.settle(
                connection, entry, dollars=cost, input_tokens=written.input_tokens, output_tokens=written.output_tokens
            )
        if draft_id is not None:
            # The text is stored before anything else is asked for: it must not be lost, or paid again, for its tags.
            return text, await _tag(desk, draft_id, text, job_id)
    raise ModelUnavailable(
        f"{desk.voice.name} answered with nothing {_TRIES} times in a row.",
        "Try again later, or choose another model under [openai.generation].",
    )


async def _tag(desk: Desk, draft_id: int, text: str, job_id: int | None) -> tuple[str, ...]:
    """Give some of the drafts tags. A service that cannot name any costs the draft its tags, nothing more."""
    if desk.dice.random() >= desk.tagging.chance:
        return ()
    model = desk.tagging.service.endpoint.model
    try:
        entry = await _reserve(desk, "tags", job_id, model, chat_cost(model, *_TAG_COST_TOKENS))
    except BudgetReached as error:
        _log.warning("Draft %d gets no tags: %s", draft_id, error)
        return ()
    try:
        found, usage = await extract_tags(desk.tagging.service, desk.tagging.developer_message, text)
    except ModelError as error:
        _log.warning("Draft %d gets no tags: %s", draft_id, error)
        await _give_back(desk, entry, error)
        return ()
    cost = chat_cost(model, usage.input_tokens, usage.output_tokens, usage.cached_tokens) if usage else 0.0
    tags = clean_tags(found)
    async with desk.database.write() as connection:
        await store.add_tags(connection, draft_id, tags, cost=cost)
        await spending.settle(
            connection,
            entry,
            dollars=cost,
            input_tokens=usage.input_tokens if usage else 0,
            output_tokens=usage.output_tokens if usage else 0,
        )
    return tags


async def _give_back(desk: Desk, entry: int, error: ModelError) -> None:
    """Free what was set aside for a call that was refused. A call without an answer may have cost: that stays."""
    if not isinstance(error, ModelUnavailable):
        async with desk.database.write() as connection:
            await spending.settle(connection, entry, dollars=0.0)


async def _reserve(desk: Desk, purpose: str, job_id: int | None, model: str, dollars: float) -> int:
    async with desk.database.write() as connection:
        return await spending.reserve(
            connection,
            purpose=purpose,
            job_id=job_id,
            model=model,
            dollars=dollars,
            limit=desk.monthly_limit,
            now=desk.clock(),
        )
