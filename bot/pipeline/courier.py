"""What every step of a draft's way to the blog shares: the pace, the means, and how each outcome is written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import aiosqlite

from bot.drafts import Draft, DraftState, Parent, UploadState
from bot.errors import TumblrBlocked, TumblrQuotaReached
from bot.store import drafts as store
from bot.store import uploads
from bot.store.database import Database
from bot.store.drafts import must_be_unchanged
from bot.store.uploads import Upload
from bot.tumblr.client import Tumblr

LOOK_AFTER = (0.0, 15.0, 60.0, 300.0)
"""Seconds after the upload began at which the blog is searched for it."""

RETRY_AFTER = (2.0, 10.0, 60.0)
"""Seconds to wait before sending again what never reached Tumblr; the last also before any other second try."""

DAY = 86_400.0  # seconds after which the bot stops trying and asks
HOUR = 3_600.0
MANY = 1_000
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
class Courier:
    """What every step of the way needs."""

    database: Database
    tumblr: Tumblr
    look_after: tuple[float, ...]
    retry_after: tuple[float, ...]
    spacing: float
    """Seconds between two posts that everybody sees, where publishing is spread over time."""
    clock: Callable[[], float]


def address_on_blog(blog: str, upload_state: UploadState, post_id: str | None) -> str:
    """Where a person finds the post on Tumblr."""
    if upload_state is UploadState.DRAFT:
        return f"https://www.tumblr.com/blog/{blog}/drafts"
    if upload_state is UploadState.QUEUE:
        return f"https://www.tumblr.com/blog/{blog}/queue"
    return f"https://www.tumblr.com/{blog}/{post_id}" if post_id else f"https://www.tumblr.com/{blog}"


def later(error: Exception, since: float, now: float, courier: Courier) -> float:
    """When to try again after a failure: as Tumblr says, or ever more seldom, so as not to eat up the day's calls."""
    if isinstance(error, (TumblrQuotaReached, TumblrBlocked)):
        return error.retry_at
    return now + min(max(courier.retry_after[-1], (now - since) / 4), HOUR)


# --- what is written down -------------------------------------------------------------------------------------


async def give_back(courier: Courier, draft: Draft, note: str, *, parent: Parent | None = None) -> None:
    """Nothing was sent, and the owner decides again. Raises DraftChanged: somebody has done so meanwhile."""
    async with courier.database.write() as connection:
        await must_be_unchanged(connection, draft)
        await store.move_draft(connection, draft.id, to=DraftState.PENDING, note=note)
        if parent is not None:
            await store.put_parent(connection, draft.id, parent)


async def answer_lost(courier: Courier, draft: Draft) -> None:
    """Whether the draft has reached the blog is not known: it is looked for there before anything else is done."""
    upload = await uploads.last_upload(courier.database, draft.id)
    async with courier.database.write() as connection:
        await store.move_draft(connection, draft.id, to=DraftState.UNKNOWN)
        if upload is not None:
            await uploads.end_upload(connection, upload.id, outcome="unknown", now=courier.clock())


async def came_back(
    courier: Courier,
    draft: Draft,
    upload: Upload,
    state: DraftState,
    outcome: str,
    note: str,
    retry_at: float | None = None,
) -> None:
    """Tumblr did not take the draft: it waits in this state, for the moment `retry_at` or for a person."""
    async with courier.database.write() as connection:
        await store.move_draft(connection, draft.id, to=state, note=note)
        await uploads.end_upload(connection, upload.id, outcome=outcome, now=courier.clock(), retry_at=retry_at)


async def arrived(courier: Courier, draft: Draft, upload: Upload, post_id: str, state: str, outcome: str) -> None:
    """The draft is on the blog."""
    async with courier.database.write() as connection:
        await write_arrival(connection, courier, draft, upload, post_id, state, outcome)


async def write_arrival(
    connection: aiosqlite.Connection,
    courier: Courier,
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
