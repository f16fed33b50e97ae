"""Bring approved drafts to the blog: each exactly once, or not at all.

The intent is written down before the call. An answer that was lost is never followed by a second try: we look at the
blog first (its drafts, its queue, its newest posts) and adopt the one post that matches. When looking does not settle
it, the owner is asked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bot.drafts import Draft, DraftState, Parent, UploadState
from bot.errors import (
    BlogIdentifierError,
    DraftChanged,
    TumblrBlocked,
    TumblrDailyPostsReached,
    TumblrError,
    TumblrForbidden,
    TumblrNotFound,
    TumblrNotSent,
    TumblrOutcomeUnknown,
    TumblrQuotaReached,
    TumblrUnavailable,
)
from bot.jobs.background import report_unexpected
from bot.pipeline.courier import (
    DAY,
    HOUR,
    LOOK_AFTER,
    MANY,
    RETRY_AFTER,
    Courier,
    answer_lost,
    arrived,
    came_back,
    give_back,
    later,
)
from bot.pipeline.lost_uploads import is_there_after_all, look_for_lost
from bot.progress import Preview, Progress
from bot.store import drafts as store
from bot.store import uploads
from bot.store.database import Database, carry_through
from bot.store.uploads import Upload
from bot.tumblr.client import Tumblr, post_body
from bot.tumblr.npf import ReblogSource, read_reblog_source, read_trail_text

_log = logging.getLogger(__name__)
_SOONEST = 600.0  # seconds ahead of a queued post's time, where the one it had has passed
_ALL = frozenset(UploadState)


@dataclass(frozen=True, slots=True)
class _Hold:
    """A draft that waits until a moment (unix seconds), and which others wait with it."""

    until: float
    note: str
    states: frozenset[UploadState] = frozenset()


async def publish(
    database: Database,
    tumblr: Tumblr,
    *,
    look_after: tuple[float, ...] = LOOK_AFTER,
    retry_after: tuple[float, ...] = RETRY_AFTER,
    spacing: float = 0.0,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Progress]:
    """Send everything that is approved and settle what is in doubt, until nothing is due.

    Drafts that have a turn wait for it, and after a pause (of Tumblr's, or of the bot) still keep `spacing` seconds
    apart.

    The last `Progress` has `wait_until` when something is due later. Only one of these may run at a time.
    """
    courier = Courier(database, tumblr, look_after, retry_after, spacing, clock)
    for draft in await store.drafts_in(database, [DraftState.UPLOADING], limit=MANY):
        # The process died during the call: we cannot know what became of it.
        await answer_lost(courier, draft)
    due: list[float] = []
    async for progress in _send_approved(courier, due):
        yield progress
    async for progress in look_for_lost(courier, due):
        yield progress
    yield Progress(0, 0, "Nothing is due.", wait_until=min(due, default=None))


# --- sending --------------------------------------------------------------------------------------------------


async def _send_approved(courier: Courier, due: list[float]) -> AsyncIterator[Progress]:
    """Send what is approved and need not wait; adds to `due` when to come back."""
    approved = await store.drafts_in(courier.database, [DraftState.APPROVED], limit=MANY)
    before = {draft.id: await uploads.last_upload(courier.database, draft.id) for draft in approved}
    # A pause that one draft was told holds for the others too, also after a restart.
    waiting = {draft.id: hold for draft in approved if (hold := _hold_of(draft, before[draft.id], courier.clock()))}
    holds = {state: hold for hold in waiting.values() for state in hold.states}
    for draft in approved:
        if draft.id in waiting:
            due.append(waiting[draft.id].until)
            continue
        if (hold := holds.get(draft.upload_state)) is not None:
            due.append(hold.until)
            await _say(courier, draft, hold.note)
            continue
        if (turn := await _turn(courier, draft)) > courier.clock():
            due.append(turn)
            continue
        yield Progress(0, None, f"Uploading draft {draft.id} to {draft.blog}.", preview=Preview(draft.text, draft.blog))
        try:
            # To its end even when the bot stops: a request that has left cannot be called back, and has a deadline.
            hold = await carry_through(_send(courier, draft, before[draft.id]))
        except DraftChanged as changed:
            # Somebody has taken the approval back in the last moment, and may have given it again to another text.
            _log.info("Draft %d was not sent: %s", draft.id, changed)
            due.append(courier.clock() + courier.retry_after[0])
            continue
        except Exception as error:  # noqa: BLE001 - a defect in one draft must not stop those after it
            report_unexpected(f"uploading draft {draft.id}", error)
            continue
        if hold is not None:
            due.append(hold.until)
            holds |= dict.fromkeys(hold.states, hold)


async def _say(courier: Courier, draft: Draft, note: str) -> None:
    """Tell on an approved draft's message why it waits."""
    if note:
        async with courier.database.write() as connection:
            await store.note_on_draft(connection, draft.id, note, state=DraftState.APPROVED)


async def _turn(courier: Courier, draft: Draft) -> float:
    """When the draft may be sent, in unix seconds. What is put off says so on its message."""
    now = courier.clock()
    if draft.publish_at is None:
        return now
    if draft.upload_state is UploadState.QUEUE:
        # Tumblr's queue keeps its time by itself. One that has passed meanwhile might be published at once: it gets
        # another, after all that wait, and is read again.
        if draft.publish_at < now:
            async with courier.database.write() as connection:
                last = await store.last_turn(connection, draft.blog, [UploadState.QUEUE])
                await store.set_turn(connection, draft.id, max(now + _SOONEST, (last or 0.0) + courier.spacing))
            return now + courier.retry_after[0]
        return now
    sent_at = await uploads.last_sent(courier.database, draft.blog, draft.upload_state)
    turn = draft.publish_at if sent_at is None else max(draft.publish_at, sent_at + courier.spacing)
    if turn > now:
        async with courier.database.write() as connection:
            await store.set_turn(connection, draft.id, turn)
    return turn


def _hold_of(draft: Draft, upload: Upload | None, now: float) -> _Hold | None:
    """What the last attempt to send this draft was told, if that still holds."""
    if upload is None or upload.retry_at is None or upload.retry_at <= now or upload.outcome == "unknown":
        return None
    states = {"quota": _ALL, "refused": _without_posts_today(draft)}.get(upload.outcome or "", frozenset[UploadState]())
    return _Hold(upload.retry_at, draft.note, states)


def _without_posts_today(draft: Draft) -> frozenset[UploadState]:
    """What has to wait when Tumblr's limit of posts a day has stopped this draft.

    The limit is on published posts, and a full day's queue would only grow; drafts and private posts may go on until
    Tumblr refuses one of them, too.
    """
    return frozenset({UploadState.PUBLISHED, UploadState.QUEUE, draft.upload_state})


async def _send(courier: Courier, draft: Draft, before: Upload | None) -> _Hold | None:
    """One draft's way to the blog, as far as it goes now. Returns who has to wait, if somebody has to."""
    if before is not None and before.outcome == "unknown" and await is_there_after_all(courier, draft, before):
        return None
    source: ReblogSource | None = None
    if draft.parent is not None:
        read = await _read_parent(courier, draft, draft.parent)
        if not isinstance(read, ReblogSource):
            return read
        source = read
    try:
        body = post_body(draft.text, draft.tags, draft.upload_state, source)
    except TumblrError as error:
        # It cannot be a post as it is (too long, say): nothing was sent, and the owner decides again.
        await give_back(courier, draft, str(error))
        return None
    if draft.publish_at is not None and draft.upload_state is UploadState.QUEUE:
        body["publish_on"] = datetime.fromtimestamp(draft.publish_at, UTC).isoformat(timespec="seconds")
    return await _deliver(courier, draft, body)


async def _deliver(courier: Courier, draft: Draft, body: dict[str, object]) -> _Hold | None:
    """One upload, from the intent to the outcome. Returns who has to wait, if somebody has to."""
    async with courier.database.write() as connection:
        upload = await uploads.begin_upload(connection, draft, body=body, now=courier.clock())
    try:
        created = await courier.tumblr.create_post(draft.blog, body)
    except TumblrOutcomeUnknown:
        await answer_lost(courier, draft)
        return _Hold(courier.clock(), "", _ALL)  # first look, then go on
    except (TumblrQuotaReached, TumblrBlocked) as pause:
        hold = _Hold(pause.retry_at, _will_be_sent(pause.sentence, pause.retry_at), _ALL)
        await came_back(courier, draft, upload, DraftState.APPROVED, "quota", hold.note, hold.until)
        return hold
    except TumblrDailyPostsReached:
        retry_at = await _posts_allowed_again(courier)
        note = _will_be_sent("Tumblr's limit of posts a day is reached.", retry_at)
        await came_back(courier, draft, upload, DraftState.APPROVED, "refused", note, retry_at)
        return _Hold(retry_at, note, _without_posts_today(draft))
    except TumblrNotSent as error:
        failed = await uploads.times_not_sent(courier.database, draft.id)
        if failed < len(courier.retry_after):
            retry_at = courier.clock() + courier.retry_after[failed]
            note = f"{error.sentence} It will be tried again."
            await came_back(courier, draft, upload, DraftState.APPROVED, "not sent", note, retry_at)
            return _Hold(retry_at, note, _ALL)
        await came_back(courier, draft, upload, DraftState.PENDING, "not sent", str(error))
        return None
    except (TumblrError, BlogIdentifierError) as error:
        _log.warning("Draft %d was refused: %s", draft.id, error)
        await came_back(courier, draft, upload, DraftState.PENDING, "refused", f"Tumblr did not take it. {error}")
        return None
    await arrived(courier, draft, upload, created.id, created.state, "created")
    return None


async def _posts_allowed_again(courier: Courier) -> float:
    """When Tumblr takes posts again after a day's worth of them, in unix seconds: as it says, or else in an hour."""
    now = courier.clock()
    try:
        limits = await courier.tumblr.limits()
    except TumblrError as error:
        _log.warning("The limit of posts a day could not be read: %s", error)
        return now + HOUR
    # What is left over is no help: it was refused all the same, by a limit of the blog, say.
    if limits.posts_remaining or limits.resets_at is None or limits.resets_at <= now:
        return now + HOUR
    return min(limits.resets_at, now + DAY)


def _will_be_sent(why: str, at: float) -> str:
    return f"{why} It will be sent <t:{int(at)}:R>."


# --- reblogs --------------------------------------------------------------------------------------------------


async def _read_parent(courier: Courier, draft: Draft, parent: Parent) -> ReblogSource | _Hold | None:
    """The post to reblog, read freshly: its key changes, and it may be gone or say something else by now.

    None when the draft went back to the owner, a hold when it has to wait.
    """
    now = courier.clock()
    try:
        page = await courier.tumblr.posts(parent.blog_uuid, post_id=parent.post_id)
        post = next((post for post in page.posts if post.id == parent.post_id), None)
        source = None if post is None else read_reblog_source(post.raw)
    except (TumblrQuotaReached, TumblrBlocked) as pause:
        return await _postpone(courier, draft, "quota", _will_be_sent(pause.sentence, pause.retry_at), pause.retry_at)
    except TumblrUnavailable as error:
        since = await uploads.first_tried(courier.database, draft.id) or now
        if now - since < DAY:
            retry_at = later(error, since, now, courier)
            why = (
                f"The post to reblog could not be read: {error.sentence} It will be tried again <t:{int(retry_at)}:R>."
            )
            return await _postpone(courier, draft, "not sent", why, retry_at)
        await give_back(courier, draft, "The post to reblog could not be read for a day. Nothing was sent.")
        return None
    except (TumblrNotFound, TumblrForbidden):
        post = source = None
    except (TumblrError, BlogIdentifierError) as error:
        await give_back(courier, draft, f"Nothing was sent. {error}")
        return None
    if post is None or source is None:
        await give_back(
            courier, draft, "The post to reblog is gone, or is not shown any more. Nothing was sent. Reject the draft."
        )
        return None
    text = read_trail_text(post.raw)
    if parent.text.strip() and parent.text.split() != text.split():
        # What the draft answers has changed: whether it still fits is for a person to say, who has to see the new text.
        await give_back(
            courier,
            draft,
            "The post to reblog has changed since this was written, so nothing was sent."
            " Its new text is shown here. Approve again if the draft still fits.",
            parent=replace(parent, text=text),
        )
        return None
    return source


async def _postpone(courier: Courier, draft: Draft, outcome: str, note: str, retry_at: float) -> _Hold:
    async with courier.database.write() as connection:
        await uploads.postpone_upload(
            connection, draft, outcome=outcome, note=note, now=courier.clock(), retry_at=retry_at
        )
    # Trouble with one post is no reason to hold the others; a pause that Tumblr asked for is.
    return _Hold(retry_at, note, _ALL if outcome == "quota" else frozenset())
