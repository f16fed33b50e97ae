"""/download: bring the posts of one or several blogs into the store, without loss.

Tumblr's cursors are strict, so a page that ends inside a second would lose that second's other posts. We ask for
`before = last + 1` and drop what we know by its id; a page that lies whole within one second is walked with
`offset`. The end is an answer that brings nothing further, never a count: Tumblr's counts are estimates.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import aiosqlite

from bot.errors import NothingToDo, TumblrNotFound, TumblrQuotaReached
from bot.pipeline.waiting import wait_until
from bot.posts import Blog, Post
from bot.progress import Preview, Progress
from bot.store import posts as store
from bot.store.database import Database
from bot.tumblr.client import PostPage, Tumblr
from bot.tumblr.identifiers import parse_identifier

QUOTA = "Tumblr's quota"

# How far an offset walk begins before the place it looks for: posts deleted meanwhile move everything up.
_OFFSET_MARGIN = 20


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a pass stands: the next page's `before`, or its `offset` while inside one long second."""

    before: int | None
    offset: int = 0
    newest: int | None = None


async def download(
    database: Database, tumblr: Tumblr, identifiers: Sequence[str], *, clock: Callable[[], float] = time.time
) -> AsyncIterator[Progress]:
    """Download each blog: all of it the first time, what is new the next time.

    Raises:
        NothingToDo: no blog is named.
        BlogIdentifierError, TumblrError: as `bot.tumblr` raises them; what came before is kept.
    """
    names = list(dict.fromkeys(parse_identifier(identifier) for identifier in identifiers))
    if not names:
        raise NothingToDo(
            "No blog is named.", "Give one with /download, or set `download_blog_identifiers` in config.toml."
        )
    new_posts = 0
    facts: list[tuple[str, str]] = []
    waiting = deque(names)
    while waiting:
        line = f"Looking up {waiting[0]}."
        try:
            blog = await tumblr.blog(waiting[0])
        except TumblrQuotaReached as reached:
            async for progress in wait_until(reached.retry_at, QUOTA, Progress(0, None, line), clock=clock):
                yield progress
            continue
        except TumblrNotFound as error:
            raise TumblrNotFound(f"Tumblr has no blog {waiting[0]}, or does not show it.", error.next_step) from error
        waiting.popleft()
        await _remember(database, blog, clock())
        found = 0
        async for progress, new in _blog(database, tumblr, blog, clock):
            found += new
            yield progress
        counts = await store.count_posts(database, blog.uuid)
        facts.append((blog.name, f"{counts.all:,} posts, {counts.valid:,} usable as examples, {found:,} new"))
        new_posts += found
    line = f"Done: {new_posts:,} new posts." if new_posts else "Done: nothing new."
    yield Progress(new_posts, new_posts, line, unit="posts", facts=tuple(facts))


async def _remember(database: Database, blog: Blog, now: float) -> None:
    """Store the blog, unless its name now belongs to another one.

    Raises:
        TumblrNotFound: the blog that was downloaded under this name has gone, and somebody else has the name.
    """
    known = await store.find_blog_by_name(database, blog.name)
    if known is not None and known.uuid != blog.uuid:
        raise TumblrNotFound(
            f"{blog.name} is not the blog it was: its name belongs to another blog now.",
            f"If you mean the old one, name it as {known.uuid}.",
        )
    async with database.write() as connection:
        await store.upsert_blog(connection, blog, now)


async def _blog(
    database: Database, tumblr: Tumblr, blog: Blog, clock: Callable[[], float]
) -> AsyncIterator[tuple[Progress, int]]:
    """One blog: finish a pass that was interrupted, then fetch what is newer."""
    row = await store.get_blog(database, blog.uuid)
    interrupted = row is not None and row.cursor is not None
    async for item in _pass(database, tumblr, blog, clock):
        yield item
    if interrupted:
        # The pass went on from an old place; what was posted since then is above it.
        async for item in _pass(database, tumblr, blog, clock):
            yield item


async def _pass(
    database: Database, tumblr: Tumblr, blog: Blog, clock: Callable[[], float]
) -> AsyncIterator[tuple[Progress, int]]:
    """From the newest post downwards: to the end the first time, later to where the last pass began."""
    row = await store.get_blog(database, blog.uuid)
    stop_at = row.newest_timestamp if row is not None and row.complete else None
    place = _Place(row.cursor, row.cursor_offset, row.pass_newest_timestamp) if row is not None else _Place(None)
    have = (await store.count_posts(database, blog.uuid)).all
    preview: Preview | None = None
    while True:
        now = Progress(have, blog.post_count, f"Downloading {blog.name}.", "posts", preview, total_is_estimate=True)
        try:
            page = await _fetch(tumblr, blog, place)
        except TumblrQuotaReached as reached:
            async for progress in wait_until(reached.retry_at, QUOTA, now, clock=clock):
                yield progress, 0
            continue
        async with database.write() as connection:
            new = await store.save_page(connection, blog.uuid, page.posts, clock())
            following = await _next_place(connection, blog, place, page, new=new, stop_at=stop_at)
            if following is None:
                newest = _newest(place.newest, page.posts)
                await store.set_cursor(connection, blog.uuid, None, 0, newest)
                await store.finish_pass(connection, blog.uuid)
            else:
                await store.set_cursor(connection, blog.uuid, following.before, following.offset, following.newest)
        have += new
        preview = _preview(page.posts) or preview
        yield Progress(have, blog.post_count, now.line, "posts", preview, total_is_estimate=True), new
        if following is None:
            return
        place = following


async def _fetch(tumblr: Tumblr, blog: Blog, place: _Place) -> PostPage:
    # By UUID: the name may change while a long download runs.
    if place.offset:
        return await tumblr.posts(blog.uuid, offset=place.offset)
    return await tumblr.posts(blog.uuid, before=place.before)


async def _next_place(
    connection: aiosqlite.Connection, blog: Blog, place: _Place, page: PostPage, *, new: int, stop_at: int | None
) -> _Place | None:
    """Where to read on after this page, or None at the end."""
    if not page.posts:
        return None
    # On the very first page a pinned post comes out of its order, and says nothing about where the page ends.
    is_first = place.before is None and not place.offset
    times = [post.timestamp for post in page.posts if not (is_first and post.is_pinned)]
    newest = _newest(place.newest, page.posts)
    if not times:
        return _Place(place.before, place.offset + _stride(page), newest)
    oldest = min(times)
    if stop_at is not None and not new and oldest <= stop_at:
        return None
    if place.offset:
        edge = (place.before or oldest + 1) - 1
        if oldest < edge:
            return _Place(oldest + 1, 0, newest)  # out of the long second: the cursor works again
        return _Place(place.before, place.offset + _stride(page), newest)
    if place.before is None or oldest + 1 < place.before:
        return _Place(oldest + 1, 0, newest)
    # The cursor did not move: the page lies whole within one second, or this is the end. Walk on by offset.
    newer = await store.count_newer(connection, blog.uuid, oldest)
    return _Place(place.before, max(1, newer + len(times) - _OFFSET_MARGIN), newest)


def _stride(page: PostPage) -> int:
    """How far the next offset page begins: half a page on, since posts deleted meanwhile move the rest up."""
    return max(1, len(page.posts) // 2)


def _newest(so_far: int | None, posts: Sequence[Post]) -> int | None:
    times = [post.timestamp for post in posts]
    return max([*times, so_far], default=None) if so_far is not None else max(times, default=None)


def _preview(posts: Sequence[Post]) -> Preview | None:
    for post in posts:
        if post.text:
            return Preview(post.text, post.blog_name, post.url, post.tags)
    return None
