"""Uploads whose answer was lost: the blog is searched for each, and the one post that matches is adopted."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from bot.drafts import Draft, DraftState, UploadState
from bot.errors import BlogIdentifierError, DraftDecided, TumblrError
from bot.jobs.background import report_unexpected
from bot.pipeline.courier import DAY, MANY, Courier, arrived, later, write_arrival
from bot.pipeline.whereabouts import look_around
from bot.posts import Post, Rejection
from bot.progress import Progress
from bot.store import drafts as store
from bot.store import uploads
from bot.store.uploads import Upload
from bot.tumblr.npf import read_whereabouts

_log = logging.getLogger(__name__)
_CLOCK_SLACK = 600.0  # Tumblr's clock and ours may differ; a match must not be older than this before the upload
_TOGETHER = 5.0  # seconds; what is to be looked for so soon is looked for along with what is due
_NOT_AGAIN = "It was on the blog after all, so it was not sent again."


async def look_for_lost(courier: Courier, due: list[float]) -> AsyncIterator[Progress]:
    """Search for the drafts whose answer was lost, where it is time to; adds to `due` when to come back."""
    lost: dict[str, list[tuple[float, Draft, Upload]]] = {}
    for draft in await store.drafts_in(courier.database, [DraftState.UNKNOWN], limit=MANY):
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


def _look_at(courier: Courier, upload: Upload) -> float | None:
    """When to look for this upload next, in unix seconds; None after the last look."""
    if upload.looked_at >= len(courier.look_after):
        return None
    return max(upload.started_at + courier.look_after[upload.looked_at], upload.retry_at or 0.0)


async def _look(courier: Courier, blog: str, lost: Sequence[tuple[Draft, Upload]]) -> list[float]:
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
                await arrived(courier, draft, upload, match.id, read_whereabouts(match.raw).state, "found")
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
    courier: Courier, draft: Draft, upload: Upload, error: TumblrError | BlogIdentifierError
) -> float | None:
    """A look that failed is no look: it is tried again for a day, and the owner may decide meanwhile."""
    now = courier.clock()
    if now - upload.started_at < DAY:
        retry_at = later(error, upload.started_at, now, courier)
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


async def is_there_after_all(courier: Courier, draft: Draft, upload: Upload) -> bool:
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
        await write_arrival(connection, courier, draft, upload, match.id, state, "found", _NOT_AGAIN)
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
