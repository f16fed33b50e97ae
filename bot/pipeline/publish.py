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
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import aiosqlite
import msgspec

from bot.drafts import Draft, DraftState, Parent, UploadState
from bot.errors import (
    BlogIdentifierError,
    DraftChanged,
    DraftDecided,
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
from bot.pipeline.whereabouts import look_around
from bot.posts import Post, Rejection
from bot.progress import Preview, Progress
from bot.store import drafts as store
from bot.store import uploads
from bot.store.database import Database
from bot.store.uploads import Upload
from bot.tumblr.client import Tumblr, post_body
from bot.tumblr.npf import ReblogSource, read_reblog_source, read_trail_text, read_whereabouts

_log = logging.getLogger(__name__)

LOOK_AFTER = (0.0, 15.0, 60.0, 300.0)
"""Seconds after the upload began at which the blog is searched for it."""

RETRY_AFTER = (2.0, 10.0, 60.0)
"""Seconds to wait before sending again what never reached Tumblr; the last also before any other second try."""

_DAY = 86_400.0  # seconds after which the bot stops trying and asks
_HOUR = 3_600.0
_SOONEST = 600.0  # seconds ahead of a queued post's time, where the one it had has passed
_CLOCK_SLACK = 600.0  # Tumblr's clock and ours may differ; a match must not be older than this before the upload
_TOGETHER = 5.0  # seconds; what is to be looked for so soon is looked for along with what is due
_MANY = 1_000

_ALL = frozenset(UploadState)
_MEANT = {
    UploadState.DRAFT: "to be saved as a draft",
    UploadState.QUEUE: "to be put into the queue",
    UploadState.PUBLISHED: "to be published",
    UploadState.PRIVATE: "to be a private post",
}
_IS = {
    UploadState.DRAFT: "a draft, which nobody sees",
    UploadState.QUEUE: "in the queue, which publishes it by itself",
    UploadState.PUBLISHED: "published, for everybody to see",
    UploadState.PRIVATE: "a private post",
}


@dataclass(frozen=True, slots=True)
class _Courier:
    """What every step of the way needs."""

    database: Database
    tumblr: Tumblr
    look_after: tuple[float, ...]
    retry_after: tuple[float, ...]
    spacing: float
    """Seconds between two posts that everybody sees, where publishing is spread over time."""
    clock: Callable[[], float]


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
    courier = _Courier(database, tumblr, look_after, retry_after, spacing, clock)
    for draft in await store.drafts_in(database, [DraftState.UPLOADING], limit=_MANY):
        # The process died during the call: we cannot know what became of it.
        await _lost(courier, draft)
    due: list[float] = []
    async for progress in _send_approved(courier, due):
        yield progress
    async for progress in _look_for_lost(courier, due):
        yield progress
    yield Progress(0, 0, "Nothing is due.", wait_until=min(due, default=None))


def address_on_blog(blog: str, upload_state: UploadState, post_id: str | None) -> str:
    """Where a person finds the post on Tumblr."""
    if upload_state is UploadState.DRAFT:
        return f"https://www.tumblr.com/blog/{blog}/drafts"
    if upload_state is UploadState.QUEUE:
        return f"https://www.tumblr.com/blog/{blog}/queue"
    return f"https://www.tumblr.com/{blog}/{post_id}" if post_id else f"https://www.tumblr.com/{blog}"


# --- sending --------------------------------------------------------------------------------------------------


async def _send_approved(courier: _Courier, due: list[float]) -> AsyncIterator[Progress]:
    """Send what is approved and need not wait; adds to `due` when to come back."""
    approved = await store.drafts_in(courier.database, [DraftState.APPROVED], limit=_MANY)
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
            hold = await _finish_even_if_cancelled(_send(courier, draft, before[draft.id]))
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


async def _turn(courier: _Courier, draft: Draft) -> float:
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


async def _send(courier: _Courier, draft: Draft, before: Upload | None) -> _Hold | None:
    """One draft's way to the blog, as far as it goes now. Returns who has to wait, if somebody has to."""
    if before is not None and before.outcome == "unknown" and await _is_there_after_all(courier, draft, before):
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
        await _give_back(courier, draft, str(error))
        return None
    if draft.publish_at is not None and draft.upload_state is UploadState.QUEUE:
        body["publish_on"] = datetime.fromtimestamp(draft.publish_at, UTC).isoformat(timespec="seconds")
    return await _deliver(courier, draft, body)


async def _deliver(courier: _Courier, draft: Draft, body: dict[str, object]) -> _Hold | None:
    """One upload, from the intent to the outcome. Returns who has to wait, if somebody has to."""
    async with courier.database.write() as connection:
        upload = await uploads.begin_upload(connection, draft, body=body, now=courier.clock())
    try:
        created = await courier.tumblr.create_post(draft.blog, body)
    except TumblrOutcomeUnknown:
        await _lost(courier, draft)
        return _Hold(courier.clock(), "", _ALL)  # first look, then go on
    except (TumblrQuotaReached, TumblrBlocked) as pause:
        hold = _Hold(pause.retry_at, _will_be_sent(pause.sentence, pause.retry_at), _ALL)
        await _back(courier, draft, upload, DraftState.APPROVED, "quota", hold.note, hold.until)
        return hold
    except TumblrDailyPostsReached:
        retry_at = await _posts_allowed_again(courier)
        note = _will_be_sent("Tumblr's limit of posts a day is reached.", retry_at)
        await _back(courier, draft, upload, DraftState.APPROVED, "refused", note, retry_at)
        return _Hold(retry_at, note, _without_posts_today(draft))
    except TumblrNotSent as error:
        failed = await uploads.times_not_sent(courier.database, draft.id)
        if failed < len(courier.retry_after):
            retry_at = courier.clock() + courier.retry_after[failed]
            note = f"{error.sentence} It will be tried again."
            await _back(courier, draft, upload, DraftState.APPROVED, "not sent", note, retry_at)
            return _Hold(retry_at, note, _ALL)
        await _back(courier, draft, upload, DraftState.PENDING, "not sent", str(error))
        return None
    except (TumblrError, BlogIdentifierError) as error:
        _log.warning("Draft %d was refused: %s", draft.id, error)
        await _back(courier, draft, upload, DraftState.PENDING, "refused", f"Tumblr did not take it. {error}")
        return None
    await _arrived(courier, draft, upload, created.id, created.state, "created")
    return None


async def _posts_allowed_again(courier: _Courier) -> float:
    """When Tumblr takes posts again after a day's worth of them, in unix seconds: as it says, or else in an hour."""
    now = courier.clock()
    try:
        limits = await courier.tumblr.limits()
    except TumblrError as error:
        _log.warning("The limit of posts a day could not be read: %s", error)
        return now + _HOUR
    # What is left over is no help: it was refused all the same, by a limit of the blog, say.
    if limits.posts_remaining or limits.resets_at is None or limits.resets_at <= now:
        return now + _HOUR
    return min(limits.resets_at, now + _DAY)


def _will_be_sent(why: str, at: float) -> str:
    return f"{why} It will be sent <t:{int(at)}:R>."


def _not_as_meant(draft: Draft, state: str) -> str:
    """A sentence for the owner when Tumblr has made something else of a draft than was approved.

    Tumblr's `state` fails open: a draft may have been published at once.
    """
    if state == draft.upload_state:
        return ""
    meant = f"It was approved {_MEANT[draft.upload_state]}. Please look at it there."
    if not state:
        return f"Tumblr did not say what became of it. {meant}"
    known = next((known for known in UploadState if known == state), None)
    return f"**On Tumblr it is {_IS[known] if known else 'something else'}.** {meant}"


# --- reblogs --------------------------------------------------------------------------------------------------


async def _read_parent(courier: _Courier, draft: Draft, parent: Parent) -> ReblogSource | _Hold | None:
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
        if now - since < _DAY:
            retry_at = _later(error, since, now, courier)
            why = (
                f"The post to reblog could not be read: {error.sentence} It will be tried again <t:{int(retry_at)}:R>."
            )
            return await _postpone(courier, draft, "not sent", why, retry_at)
        await _give_back(courier, draft, "The post to reblog could not be read for a day. Nothing was sent.")
        return None
    except (TumblrNotFound, TumblrForbidden):
        post = source = None
    except (TumblrError, BlogIdentifierError) as error:
        await _give_back(courier, draft, f"Nothing was sent. {error}")
        return None
    if post is None or source is None:
        await _give_back(
            courier, draft, "The post to reblog is gone, or is not shown any more. Nothing was sent. Reject the draft."
        )
        return None
    text = read_trail_text(post.raw)
    if parent.text.strip() and parent.text.split() != text.split():
        # What the draft answers has changed: whether it still fits is for a person to say, who has to see the new text.
        await _give_back(
            courier,
            draft,
            "The post to reblog has changed since this was written, so nothing was sent."
            " Its new text is shown here. Approve again if the draft still fits.",
            parent=replace(parent, text=text),
        )
        return None
    return source


async def _postpone(courier: _Courier, draft: Draft, outcome: str, note: str, retry_at: float) -> _Hold:
    async with courier.database.write() as connection:
        await uploads.postpone_upload(
            connection, draft, outcome=outcome, note=note, now=courier.clock(), retry_at=retry_at
        )
    # Trouble with one post is no reason to hold the others; a pause that Tumblr asked for is.
    return _Hold(retry_at, note, _ALL if outcome == "quota" else frozenset())


# --- looking --------------------------------------------------------------------------------------------------


async def _look_for_lost(courier: _Courier, due: list[float]) -> AsyncIterator[Progress]:
    """Search for the drafts whose answer was lost, where it is time to; adds to `due` when to come back."""
    lost: dict[str, list[tuple[float, Draft, Upload]]] = {}
    for draft in await store.drafts_in(courier.database, [DraftState.UNKNOWN], limit=_MANY):
        upload = await uploads.last_upload(courier.database, draft.id)
        look_at = None if upload is None else _look_at(courier, upload)
        if upload is not None and look_at is not None:  # else it is the owner's turn
            lost.setdefault(upload.blog, []).append((look_at, draft, upload))
    for blog, waiting in lost.items():
        now = courier.clock()
        # One look serves all that are lost on one blog: Tumblr in trouble may lose many answers.
        until = now + _TOGETHER if any(look_at <= now for look_at, _, _ in waiting) else now
        due += [look_at for look_at, _, _ in waiting if look_at > until]
        to_find = [(draft, upload) for look_at, draft, upload in waiting if look_at <= until]
        if not to_find:
            continue
        numbers = ", ".join(str(draft.id) for draft, _ in to_find)
        yield Progress(0, None, f"Looking for draft {numbers} on {blog}.")
        try:
            due += await _look(courier, blog, to_find)
        except Exception as error:  # noqa: BLE001 - a defect in one look must not stop the others
            report_unexpected(f"looking for draft {numbers}", error)


def _look_at(courier: _Courier, upload: Upload) -> float | None:
    """When to look for this upload next, in unix seconds; None after the last look."""
    if upload.looked_at >= len(courier.look_after):
        return None
    return max(upload.started_at + courier.look_after[upload.looked_at], upload.retry_at or 0.0)


async def _look(courier: _Courier, blog: str, lost: Sequence[tuple[Draft, Upload]]) -> list[float]:
    """Search one blog. A single match is adopted; at the last look the owner is asked. Returns when to look again."""
    began = courier.clock()
    try:
        seen = await look_around(
            courier.tumblr,
            blog,
            since=min(upload.started_at for _, upload in lost) - _CLOCK_SLACK,
            in_queue=any(_may_be_queued(draft) for draft, _ in lost),
        )
    except (TumblrError, BlogIdentifierError) as error:
        _log.warning("Looking on %s for what was lost failed: %s", blog, error)
        return [again for draft, upload in lost if (again := await _could_not_look(courier, draft, upload, error))]
    due: list[float] = []
    for draft, upload in lost:
        matches = _matches(seen, upload, await store.adopted_posts(courier.database))
        # Looks that nobody was there for are not made up for one by one.
        passed = sum(upload.started_at + after <= began for after in courier.look_after)
        looked = replace(upload, looked_at=max(upload.looked_at + 1, passed), retry_at=None)
        again = _look_at(courier, looked)
        try:
            if len(matches) == 1:
                (match,) = matches
                await _arrived(courier, draft, upload, match.id, read_whereabouts(match.raw).state, "found")
                continue
        except DraftDecided:
            continue  # a person was faster
        async with courier.database.write() as connection:
            await uploads.looked_for_upload(connection, upload.id, looked_at=looked.looked_at)
            note = "" if again is not None else _ask(blog, matches)
            await store.note_on_draft(connection, draft.id, note, state=DraftState.UNKNOWN)
        if again is not None:
            due.append(again)
    return due


def _ask(blog: str, matches: Sequence[Post]) -> str:
    found = "several posts that may be it were" if matches else "it was not"
    return f"Tumblr's answer was lost, and {found} found on {blog}. Please look there yourself, then say which it is."


async def _could_not_look(
    courier: _Courier, draft: Draft, upload: Upload, error: TumblrError | BlogIdentifierError
) -> float | None:
    """A look that failed is no look: it is tried again for a day, and the owner may decide meanwhile."""
    now = courier.clock()
    if now - upload.started_at < _DAY:
        retry_at = _later(error, upload.started_at, now, courier)
        looked_at = upload.looked_at
        note = (
            f"The blog could not be looked at: {error.sentence} It will be tried again <t:{int(retry_at)}:R>."
            " If you look there yourself, you can say here which it is."
        )
    else:
        retry_at, looked_at = None, len(courier.look_after)
        note = (
            f"Tumblr's answer was lost, and {upload.blog} could not be looked at for a day: {error.sentence}"
            " Please look there yourself, then say which it is."
        )
    async with courier.database.write() as connection:
        await uploads.looked_for_upload(connection, upload.id, looked_at=looked_at, retry_at=retry_at)
        await store.note_on_draft(connection, draft.id, note, state=DraftState.UNKNOWN)
    return retry_at


def _later(error: Exception, since: float, now: float, courier: _Courier) -> float:
    """When to try again after a failure: as Tumblr says, or ever more seldom, so as not to eat up the day's calls."""
    if isinstance(error, (TumblrQuotaReached, TumblrBlocked)):
        return error.retry_at
    return now + min(max(courier.retry_after[-1], (now - since) / 4), _HOUR)


async def _is_there_after_all(courier: _Courier, draft: Draft, upload: Upload) -> bool:
    """Before a person's "send again" makes a second post: has the first one turned up meanwhile?"""
    try:
        seen = await look_around(
            courier.tumblr, upload.blog, since=upload.started_at - _CLOCK_SLACK, in_queue=_may_be_queued(draft)
        )
    except (TumblrError, BlogIdentifierError):
        return False  # a person has looked and decided; whatever ails Tumblr, sending will meet it too
    matches = _matches(seen, upload, await store.adopted_posts(courier.database))
    if len(matches) != 1:
        return False
    (match,) = matches
    async with courier.database.write() as connection:
        # Straight to the end of the road, with nothing sent on it.
        await store.move_draft(connection, draft.id, to=DraftState.UPLOADING)
        state = read_whereabouts(match.raw).state
        await _write_arrival(connection, courier, draft, upload, match.id, state, "found", _NOT_AGAIN)
    return True


def _may_be_queued(draft: Draft) -> bool:
    """Whether a lost draft may stand in the blog's queue: where it was sent, or where somebody has put it since."""
    return draft.upload_state in {UploadState.QUEUE, UploadState.DRAFT}


def _matches(seen: Sequence[Post], upload: Upload, taken: set[str]) -> list[Post]:
    """Those posts that may be the lost upload: same text, same parent, not older than it, nobody else's."""
    sent = _essence(_text_of(upload.body))
    parent_id = upload.body.get("parent_post_id")
    if not sent and parent_id is None:
        return []
    matches: list[Post] = []
    for post in seen:
        about = read_whereabouts(post.raw)
        if (
            post.rejection is not Rejection.UNREADABLE
            and _essence(post.text) == sent
            and about.is_reblog == (parent_id is not None)
            and about.parent_id in {None, parent_id}
            and (not post.timestamp or post.timestamp >= upload.started_at - _CLOCK_SLACK)
            and not {post.id, about.genesis_id} & taken
        ):
            matches.append(post)
    return matches


def _text_of(body: Mapping[str, object]) -> str:
    """The text that was sent, which need not be the draft's text any more."""
    blocks = msgspec.convert(body.get("content", []), list[dict[str, str]])
    return "\n\n".join(block.get("text", "") for block in blocks)


def _essence(text: str) -> str:
    """What Tumblr leaves of a text: it trims empty blocks, and may rewrite the addresses of links."""
    return " ".join(re.sub(r"https?://\S+", "https://", text).split())


# --- what is written down -------------------------------------------------------------------------------------

_NOT_AGAIN = "It was on the blog after all, so it was not sent again."


async def _say(courier: _Courier, draft: Draft, note: str) -> None:
    """Tell on an approved draft's message why it waits."""
    if note:
        async with courier.database.write() as connection:
            await store.note_on_draft(connection, draft.id, note, state=DraftState.APPROVED)


async def _give_back(courier: _Courier, draft: Draft, note: str, *, parent: Parent | None = None) -> None:
    """Nothing was sent, and the owner decides again."""
    async with courier.database.write() as connection:
        await store.move_draft(connection, draft.id, to=DraftState.PENDING, note=note)
        if parent is not None:
            await store.put_parent(connection, draft.id, parent)


async def _lost(courier: _Courier, draft: Draft) -> None:
    upload = await uploads.last_upload(courier.database, draft.id)
    async with courier.database.write() as connection:
        await store.move_draft(connection, draft.id, to=DraftState.UNKNOWN)
        if upload is not None:
            await uploads.end_upload(connection, upload.id, outcome="unknown", now=courier.clock())


async def _back(
    courier: _Courier,
    draft: Draft,
    upload: Upload,
    state: DraftState,
    outcome: str,
    note: str,
    retry_at: float | None = None,
) -> None:
    async with courier.database.write() as connection:
        await store.move_draft(connection, draft.id, to=state, note=note)
        await uploads.end_upload(connection, upload.id, outcome=outcome, now=courier.clock(), retry_at=retry_at)


async def _arrived(courier: _Courier, draft: Draft, upload: Upload, post_id: str, state: str, outcome: str) -> None:
    async with courier.database.write() as connection:
        await _write_arrival(connection, courier, draft, upload, post_id, state, outcome)


async def _write_arrival(
    connection: aiosqlite.Connection,
    courier: _Courier,
    draft: Draft,
    upload: Upload,
    post_id: str,
    state: str,
    outcome: str,
    note: str = "",
) -> None:
    """The draft is on the blog, in this state (in the write spelling, or whatever Tumblr calls it)."""
    found_in = next((known for known in UploadState if known == state), draft.upload_state)
    await store.move_draft(
        connection,
        draft.id,
        to=DraftState.UPLOADED,
        note=_not_as_meant(draft, state) or note,
        post_id=post_id,
        post_url=address_on_blog(draft.blog, found_in, post_id),
    )
    await uploads.end_upload(connection, upload.id, outcome=outcome, now=courier.clock(), post_id=post_id)


async def _finish_even_if_cancelled(work: Coroutine[Any, Any, _Hold | None]) -> _Hold | None:
    """A request that has left cannot be called back: when we are stopped, its outcome is recorded all the same."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])  # bounded: the client has a deadline of its own
        raise
