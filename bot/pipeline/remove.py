"""Delete uploaded drafts on the blog again, where somebody has undone them: for certain, or not at all.

Only what nobody else has seen is deleted: Tumblr drafts and queued posts, and each is looked for right before that. The
intent is written down before the call. An answer that was lost is settled by looking at the blog, and by nothing else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from bot.drafts import Removal, UploadState
from bot.errors import (
    BlogIdentifierError,
    TumblrBlocked,
    TumblrError,
    TumblrNotFound,
    TumblrNotSent,
    TumblrOutcomeUnknown,
    TumblrQuotaReached,
)
from bot.jobs.background import report_unexpected
from bot.pipeline.courier import LOOK_AFTER, RETRY_AFTER, address_on_blog
from bot.pipeline.whereabouts import find_post
from bot.posts import Post
from bot.store import removals as store
from bot.store.database import Database, carry_through
from bot.store.drafts import get_draft
from bot.store.removals import RemovalStep
from bot.tumblr.client import Tumblr
from bot.tumblr.npf import read_whereabouts

_log = logging.getLogger(__name__)
_DAY = 86_400.0  # seconds after which the bot stops trying
_HOUR = 3_600.0
_CLOCK_SLACK = 600.0  # Tumblr's clock and ours may differ
_PLACE = {UploadState.DRAFT: "the drafts of {blog}", UploadState.QUEUE: "the queue of {blog}"}


@dataclass(frozen=True, slots=True)
class _Remover:
    """What every step needs."""

    database: Database
    tumblr: Tumblr
    look_after: tuple[float, ...]
    retry_after: tuple[float, ...]
    clock: Callable[[], float]


async def remove(
    database: Database,
    tumblr: Tumblr,
    *,
    look_after: tuple[float, ...] = LOOK_AFTER,
    retry_after: tuple[float, ...] = RETRY_AFTER,
    clock: Callable[[], float] = time.time,
) -> float | None:
    """Take every deletion that was asked for as far as it goes now. Returns when to come back (unix seconds).

    Only one of these may run at a time, and none beside an upload: a post that is looked for must not be on its way.
    """
    remover = _Remover(database, tumblr, look_after, retry_after, clock)
    for step in await store.open_removals(database):
        if step.state is Removal.SENDING:
            # The process died during the call: we cannot know what became of it.
            await _move(remover, step, Removal.UNKNOWN)
    for step in await store.open_removals(database):
        if step.retry_at > clock():
            continue
        try:
            await carry_through(_go_on(remover, step))
        except Exception as error:  # noqa: BLE001 - a defect in one must not stop the others
            report_unexpected(f"deleting draft {step.draft_id} on {step.blog}", error)
            await _move(remover, step, step.state, clock() + _HOUR, tries=step.tries)
    return min((step.retry_at for step in await store.open_removals(database)), default=None)


async def _go_on(remover: _Remover, step: RemovalStep) -> None:
    """Look where the post is, then delete it or settle what became of it."""
    try:
        found, is_whole = await find_post(remover.tumblr, step.blog, step.post_id, since=await _since(remover, step))
    except (TumblrError, BlogIdentifierError) as error:
        await _could_not_look(remover, step, error)
        return
    if found is None:
        await _not_there(remover, step, is_certain=is_whole)
    elif (place := _place_of(found, step)) is None:
        await _published(remover, step, found)
    elif step.state is Removal.ASKED:
        await _delete(remover, step, place)
    else:
        await _still_there(remover, step, place)


async def _delete(remover: _Remover, step: RemovalStep, place: str) -> None:
    """One deletion, from the intent to the outcome."""
    await _move(remover, step, Removal.SENDING)
    try:
        await remover.tumblr.delete_post(step.blog, step.post_id)
    except (TumblrOutcomeUnknown, TumblrNotFound):
        # Whether it is gone, and if so where to, only the blog itself can say.
        await _move(remover, step, Removal.UNKNOWN, remover.clock() + remover.look_after[0])
    except (TumblrQuotaReached, TumblrBlocked) as pause:
        await _move(
            remover, step, Removal.ASKED, pause.retry_at, _later(step, pause.sentence, pause.retry_at), tries=step.tries
        )
    except TumblrNotSent as error:
        await _not_yet(remover, step, error)
    except (TumblrError, BlogIdentifierError) as error:
        await _keep(remover, step, f"Tumblr did not delete it from {place}. {error}")
    else:
        await _gone(remover, step, f"It was deleted from {place}, and waits for a decision again.")


async def _could_not_look(remover: _Remover, step: RemovalStep, error: TumblrError | BlogIdentifierError) -> None:
    """A look that failed is no look: it is tried again for a day."""
    now = remover.clock()
    if now - step.asked_at >= _DAY:
        lost = "Whether it was deleted is not known" if step.state is Removal.UNKNOWN else "It was not deleted"
        await _keep(remover, step, f"{lost}: {step.blog} could not be looked at for a day. {error}")
        return
    if isinstance(error, (TumblrQuotaReached, TumblrBlocked)):
        retry_at = error.retry_at
    else:
        retry_at = now + min(max(remover.retry_after[-1], (now - step.asked_at) / 4), _HOUR)
    await _move(remover, step, step.state, retry_at, _later(step, error.sentence, retry_at), tries=step.tries)


async def _not_there(remover: _Remover, step: RemovalStep, *, is_certain: bool) -> None:
    if not is_certain:
        await _keep(
            remover,
            step,
            f"It is not among the drafts of {step.blog} any more, and too much was published there since to say"
            " whether it was, too. Please look there yourself.",
        )
    elif step.state is Removal.UNKNOWN:
        await _gone(remover, step, f"It is not on {step.blog} any more, and waits for a decision again.")
    else:
        await _gone(
            remover,
            step,
            f"It was not found on {step.blog}: somebody has deleted it there. It waits for a decision again.",
        )


async def _published(remover: _Remover, step: RemovalStep, found: Post) -> None:
    _log.info("Draft %d was published meanwhile, and stays.", step.draft_id)
    note = f"It has been published on {step.blog}, so the bot does not delete it. You can do that on Tumblr."
    async with remover.database.write() as connection:
        await store.end_removal_kept(
            connection,
            step,
            note=note,
            now=remover.clock(),
            post_id=found.id,
            post_url=address_on_blog(step.blog, UploadState.PUBLISHED, found.id),
        )


async def _still_there(remover: _Remover, step: RemovalStep, place: str) -> None:
    """The answer to the deletion was lost, and the post is there: the request may yet arrive, so we look again."""
    looks = step.tries + 1
    if looks < len(remover.look_after):
        wait = remover.look_after[looks] - remover.look_after[looks - 1]
        note = f"Tumblr's answer was lost. The bot is looking whether it is still in {place}."
        await _move(remover, step, Removal.UNKNOWN, remover.clock() + wait, note, tries=looks)
    else:
        await _keep(remover, step, f"Tumblr's answer was lost, and it is still in {place}. Undo asks once more.")


async def _not_yet(remover: _Remover, step: RemovalStep, error: TumblrNotSent) -> None:
    now = remover.clock()
    if now - step.asked_at >= _DAY:
        await _keep(remover, step, f"It was not deleted. {error}")
        return
    wait = remover.retry_after[min(step.tries, len(remover.retry_after) - 1)]
    await _move(
        remover, step, Removal.ASKED, now + wait, f"{error.sentence} It will be tried again.", tries=step.tries + 1
    )


async def _since(remover: _Remover, step: RemovalStep) -> float:
    """What is older than this cannot be the post, in unix seconds."""
    draft = await get_draft(remover.database, step.draft_id)
    return (draft.created_at if draft else step.asked_at) - _CLOCK_SLACK


def _place_of(found: Post, step: RemovalStep) -> str | None:
    """Where the post is, in words, while nobody else has seen it; None once it is published."""
    state = read_whereabouts(found.raw).state
    place = next((place for known, place in _PLACE.items() if known == state), None)
    return place.format(blog=step.blog) if place else None


def _later(step: RemovalStep, why: str, at: float) -> str:
    what = "The bot will look again" if step.state is Removal.UNKNOWN else "It will be deleted"
    return f"{why} {what} <t:{int(at)}:R>."


async def _move(
    remover: _Remover,
    step: RemovalStep,
    to: Removal,
    retry_at: float = 0.0,
    note: str | None = None,
    *,
    tries: int = 0,
) -> None:
    async with remover.database.write() as connection:
        await store.move_removal(connection, step, to, retry_at=retry_at, tries=tries, note=note)


async def _gone(remover: _Remover, step: RemovalStep, note: str) -> None:
    async with remover.database.write() as connection:
        await store.end_removal_gone(connection, step, note=note, now=remover.clock())


async def _keep(remover: _Remover, step: RemovalStep, note: str) -> None:
    _log.warning("Draft %d was not deleted on %s: %s", step.draft_id, step.blog, note)
    async with remover.database.write() as connection:
        await store.end_removal_kept(connection, step, note=note, now=remover.clock())
