"""Bring approved drafts to the blog: each exactly once, or not at all.

The intent is written down before the call. An answer that was lost is never followed by a second try: we look at the
blog first (its drafts, its queue, its newest posts) and adopt the one post that matches. When looking does not settle
it, the owner is asked.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any

import msgspec

from bot.drafts import Draft, DraftState, UploadState
from bot.errors import (
    BlogIdentifierError,
    TumblrError,
    TumblrNotSent,
    TumblrOutcomeUnknown,
    TumblrQuotaReached,
)
from bot.jobs.background import report_unexpected
from bot.posts import Post
from bot.progress import Preview, Progress
from bot.store import drafts as store
from bot.store.database import Database
from bot.store.drafts import Upload
from bot.tumblr.client import CreatedPost, Tumblr, post_body

_log = logging.getLogger(__name__)

LOOK_AFTER = (0.0, 15.0, 60.0, 180.0)
"""Seconds after the upload began at which the blog is searched for it."""

RETRY_AFTER = (2.0, 10.0, 60.0)
"""Seconds to wait before sending again what never reached Tumblr."""

_CLOCK_SLACK = 600.0  # Tumblr's clock and ours may differ; a match must not be older than this before the upload
_MANY = 1_000


async def publish(
    database: Database,
    tumblr: Tumblr,
    *,
    look_after: tuple[float, ...] = LOOK_AFTER,
    retry_after: tuple[float, ...] = RETRY_AFTER,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Progress]:
    """Send everything that is approved and settle what is in doubt, until nothing is due.

    The last `Progress` has `wait_until` when something is due later. Only one of these may run at a time.
    """
    for draft in await store.drafts_in(database, [DraftState.UPLOADING], limit=_MANY):
        # The process died during the call: we cannot know what became of it.
        await _lost(database, draft, clock)
    due: list[float] = []
    for draft in await store.drafts_in(database, [DraftState.APPROVED], limit=_MANY):
        before = await store.last_upload(database, draft.id)
        if before is not None and before.retry_at is not None and before.retry_at > clock():
            due.append(before.retry_at)
            continue
        yield Progress(0, None, f"Uploading draft {draft.id} to {draft.blog}.", preview=Preview(draft.text, draft.blog))
        try:
            retry_at = await _finish_even_if_cancelled(_send(database, tumblr, draft, retry_after, clock))
        except Exception as error:  # noqa: BLE001 - a defect in one draft must not stop those after it
            report_unexpected(f"uploading draft {draft.id}", error)
            continue
        if retry_at is not None:
            # Tumblr asked for a pause, or is out of reach: that holds for every draft, so the others wait as well.
            due.append(retry_at)
            break
    for draft in await store.drafts_in(database, [DraftState.UNKNOWN], limit=_MANY):
        upload = await store.last_upload(database, draft.id)
        if upload is None or upload.looked_at >= len(look_after):
            continue  # it is the owner's turn
        look_at = upload.started_at + look_after[upload.looked_at]
        if look_at <= clock():
            yield Progress(0, None, f"Looking for draft {draft.id} on {draft.blog}.")
            await _look(database, tumblr, draft, upload, last=upload.looked_at + 1 == len(look_after), clock=clock)
            if upload.looked_at + 1 < len(look_after):
                due.append(max(clock(), upload.started_at + look_after[upload.looked_at + 1]))
        else:
            due.append(look_at)
    yield Progress(0, 0, "Nothing is due.", wait_until=min(due, default=None))


def address_on_blog(blog: str, upload_state: UploadState, post_id: str | None) -> str:
    """Where a person finds the post on Tumblr."""
    if upload_state is UploadState.DRAFT:
        return f"https://www.tumblr.com/blog/{blog}/drafts"
    if upload_state is UploadState.QUEUE:
        return f"https://www.tumblr.com/blog/{blog}/queue"
    return f"https://www.tumblr.com/{blog}/{post_id}" if post_id else f"https://www.tumblr.com/{blog}"


async def _send(
    database: Database,
    tumblr: Tumblr,
    draft: Draft,
    retry_after: tuple[float, ...],
    clock: Callable[[], float],
) -> float | None:
    """One upload, from the intent to the outcome. Returns when to try again, if that is allowed."""
    try:
        body = post_body(draft.text, draft.tags, draft.upload_state)
    except TumblrError as error:
        # It cannot be a post as it is (too long, say): nothing was sent, and the owner decides again.
        async with database.write() as connection:
            await store.move_draft(connection, draft.id, to=DraftState.PENDING, note=str(error))
        return None
    async with database.write() as connection:
        upload = await store.begin_upload(connection, draft, body=body, now=clock())
    try:
        created = await tumblr.create_post(draft.blog, body)
    except TumblrOutcomeUnknown:
        await _lost(database, draft, clock)
        return clock()
    except TumblrQuotaReached as reached:
        note = f"{reached.sentence} It will be sent <t:{int(reached.retry_at)}:R>."
        await _back(database, draft, upload, DraftState.APPROVED, "quota", note, clock, reached.retry_at)
        return reached.retry_at
    except TumblrNotSent as error:
        failed = await store.times_not_sent(database, draft.id)
        if failed < len(retry_after):
            retry_at = clock() + retry_after[failed]
            note = f"{error.sentence} It will be tried again."
            await _back(database, draft, upload, DraftState.APPROVED, "not sent", note, clock, retry_at)
            return retry_at
        await _back(database, draft, upload, DraftState.PENDING, "not sent", str(error), clock)
        return None
    except (TumblrError, BlogIdentifierError) as error:
        _log.warning("Draft %d was refused: %s", draft.id, error)
        await _back(database, draft, upload, DraftState.PENDING, "refused", f"Tumblr did not take it. {error}", clock)
        return None
    await _arrived(database, draft, upload, created.id, "created", _state_note(draft, created), clock)
    return None


def _state_note(draft: Draft, created: CreatedPost) -> str:
    # The write spelling is `queue`, the read spelling `queued`.
    said = UploadState.QUEUE if created.state == "queued" else created.state
    if not said or said == draft.upload_state:
        return ""
    return f"It was sent as {draft.upload_state}, but Tumblr says it is {created.state}. Please look at it there."


async def _look(
    database: Database, tumblr: Tumblr, draft: Draft, upload: Upload, *, last: bool, clock: Callable[[], float]
) -> None:
    """Search the blog for a draft whose answer was lost. One match is adopted; at the last look the owner is asked."""
    try:
        seen = [
            *(await tumblr.drafts(draft.blog)).posts,
            *(await tumblr.queue(draft.blog)).posts,
            *(await tumblr.posts(draft.blog)).posts,
        ]
    except TumblrError as error:
        _log.warning("Looking for draft %d failed: %s", draft.id, error)
        seen = None
    matches: list[Post] = []
    if seen is not None:
        taken = await store.adopted_posts(database)
        sent = _text_of(upload.body)
        matches = [
            post
            for post in {post.id: post for post in seen}.values()
            if post.id not in taken
            and _same_text(post.text, sent)
            and (not post.timestamp or post.timestamp >= upload.started_at - _CLOCK_SLACK)
        ]
    if len(matches) == 1:
        await _arrived(database, draft, upload, matches[0].id, "found", "", clock)
        return
    async with database.write() as connection:
        await store.looked_for_upload(connection, upload.id)
        if last:
            found = "several posts that may be it were" if matches else "it was not"
            await store.note_on_draft(
                connection,
                draft.id,
                f"Tumblr's answer was lost, and {found} found on {draft.blog}."
                " Please look there yourself, then say which it is.",
            )


def _text_of(body: Mapping[str, object]) -> str:
    """The text that was sent, which need not be the draft's text any more."""
    blocks = msgspec.convert(body.get("content", []), list[dict[str, str]])
    return "\n\n".join(block.get("text", "") for block in blocks)


def _same_text(one: str, other: str) -> bool:
    # Tumblr trims empty blocks and may rewrite link addresses.
    def essence(text: str) -> str:
        return " ".join(re.sub(r"https?://\S+", "", text).split())

    return essence(one) == essence(other)


async def _lost(database: Database, draft: Draft, clock: Callable[[], float]) -> None:
    upload = await store.last_upload(database, draft.id)
    async with database.write() as connection:
        await store.move_draft(connection, draft.id, to=DraftState.UNKNOWN)
        if upload is not None:
            await store.end_upload(connection, upload.id, outcome="unknown", now=clock())


async def _back(
    database: Database,
    draft: Draft,
    upload: Upload,
    state: DraftState,
    outcome: str,
    note: str,
    clock: Callable[[], float],
    retry_at: float | None = None,
) -> None:
    async with database.write() as connection:
        await store.move_draft(connection, draft.id, to=state, note=note)
        await store.end_upload(connection, upload.id, outcome=outcome, now=clock(), retry_at=retry_at)


async def _arrived(
    database: Database,
    draft: Draft,
    upload: Upload,
    post_id: str,
    outcome: str,
    note: str,
    clock: Callable[[], float],
) -> None:
    address = address_on_blog(draft.blog, draft.upload_state, post_id)
    async with database.write() as connection:
        await store.move_draft(
            connection, draft.id, to=DraftState.UPLOADED, note=note, post_id=post_id, post_url=address
        )
        await store.end_upload(connection, upload.id, outcome=outcome, now=clock(), post_id=post_id)


async def _finish_even_if_cancelled(work: Coroutine[Any, Any, float | None]) -> float | None:
    """A request that has left cannot be called back: when we are stopped, its outcome is recorded all the same."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])  # bounded: the client has a deadline of its own
        raise
