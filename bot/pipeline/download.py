"""/download: bring the posts of one or several blogs into the store, without loss.

Tumblr's cursors are strict, so a page that ends inside a second would lose that second's other posts. We ask for
`before = last + 1` and drop what we know by its id; a page that lies whole within one second is walked with
`offset`. The end is an answer that brings nothing further, never a count: Tumblr's counts are estimates.

A full pass looks at every post again. What it has not seen by its end is asked for by its id, one by one, before it
is believed to be deleted: pages lose and repeat posts while a blog changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import aiosqlite

from bot.errors import (
    BlogChanged,
    BotError,
    NoConsent,
    NothingToDo,
    TumblrNotFound,
    TumblrQuotaReached,
    TumblrRefused,
)
from bot.pipeline.waiting import sleep_until
from bot.posts import Blog, Post
from bot.progress import Choice, Preview, Progress
from bot.store import consents
from bot.store import posts as store
from bot.store.database import Database
from bot.store.posts import BlogRow, Pass
from bot.tumblr.client import DOCUMENTED_PAGE, LARGEST_PAGE, PostPage, Tumblr
from bot.tumblr.identifiers import parse_identifier
from bot.words import counted

QUOTA = "Tumblr's quota"
AT_ONCE = 3  # blogs

_ROOM = 8  # a page by offset with so much less on it than others had was not cut short
_ASKED_AFTER = 20  # posts that are asked for by id before those which are gone are deleted here

T = TypeVar("T")
Forget = Callable[[str, Sequence[str]], Awaitable[object]]
"""Deletes posts of a blog (UUID, ids) from everything that was made of them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a download is asked for: which blogs, and how they are looked at.

    `full_since` (unix seconds) asks for a full pass of each blog that has had none since then. `accepted` are UUIDs
    of blogs of which a person has said that they are meant, though their name belonged to another one before.
    """

    identifiers: Sequence[str]
    full_since: float | None = None
    accepted: frozenset[str] = frozenset()


async def download(
    database: Database, tumblr: Tumblr, wanted: Wanted, *, forget: Forget, clock: Callable[[], float] = time.time
) -> AsyncIterator[Progress]:
    """Download each blog: all of it the first time, what is new the next time. Some of them side by side.

    What goes wrong with one blog does not keep the others from being downloaded; it is raised at the end.

    Raises:
        NothingToDo: no blog is named.
        NoConsent: a blog is neither the account's, nor has anybody said that it may be downloaded.
        BlogChanged: a name belongs to another blog now; the last `Progress` has the choices.
        BlogIdentifierError, TumblrError: as `bot.tumblr` raises them; what came before is kept.
    """
    names = list(dict.fromkeys(parse_identifier(identifier) for identifier in wanted.identifiers))
    if not names:
        raise NothingToDo(
            "No blog is named.", "Give one with /download, or set `download_blog_identifiers` in config.toml."
        )
    walk = _Walk(database, tumblr, wanted, forget, clock, [_Blog(name) for name in names])
    task = asyncio.ensure_future(walk.whole())
    task.add_done_callback(lambda _: walk.changed.set())
    try:
        while not task.done():
            await walk.changed.wait()
            walk.changed.clear()
            yield _progress(walk.blogs)
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])
    yield _outcome(walk.blogs)
    for blog in walk.blogs:
        if blog.error is not None:
            raise blog.error


@dataclass(slots=True, eq=False)
class _Blog:
    """One blog of the download, as people see it."""

    name: str
    """As it was asked for."""
    label: str = ""
    line: str = ""
    done: int = 0
    total: int | None = None
    new: int = 0
    changed: int = 0
    deleted: int = 0
    preview: Preview | None = None
    wait_until: float | None = None
    fact: str = ""
    """How it ended; empty while it goes on."""
    error: BotError | None = None
    choices: tuple[Choice, ...] = ()


def _progress(blogs: Sequence[_Blog]) -> Progress:
    """All blogs in one."""
    going = [blog for blog in blogs if blog.line and not blog.fact]
    totals = [blog.total for blog in blogs if blog.total is not None]
    waits = [blog.wait_until for blog in going if blog.wait_until is not None]
    parked = bool(going) and len(waits) == len(going)
    return Progress(
        sum(blog.done for blog in blogs),
        sum(totals) if len(totals) == len(blogs) else None,
        "\n".join(blog.line for blog in going) or "Beginning.",
        "posts",
        next((blog.preview for blog in going if blog.preview), None),
        total_is_estimate=True,
        waiting_for=QUOTA if parked else None,
        wait_until=min(waits) if parked else None,
    )


def _outcome(blogs: Sequence[_Blog]) -> Progress:
    new, changed, deleted = (
        sum(blog.new for blog in blogs),
        sum(blog.changed for blog in blogs),
        sum(blog.deleted for blog in blogs),
    )
    parts = [f"{new:,} new {'post' if new == 1 else 'posts'}"] if new else []
    parts += [f"{changed:,} changed"] if changed else []
    parts += [f"{deleted:,} deleted on the blog, and so here"] if deleted else []
    done = sum(blog.done for blog in blogs)
    return Progress(
        done,
        done,
        f"Done: {', '.join(parts) or 'nothing new'}.",
        "posts",
        facts=tuple((blog.label or blog.name, blog.fact) for blog in blogs if blog.fact),
        choices=tuple(choice for blog in blogs for choice in blog.choices),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a pass stands: the next page's `before`, or its `offset` while inside one long second."""

    before: int | None
    offset: int = 0
    newest: int | None = None
    is_joined: bool = False
    """The page before this one, by offset, had posts on it that were seen before: nothing has slipped by."""


@dataclass(eq=False)
class _Walk:
    """One download: what its walks through the blogs share."""

    database: Database
    tumblr: Tumblr
    wanted: Wanted
    forget: Forget
    clock: Callable[[], float]
    blogs: list[_Blog]
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever there is something to show."""
    page_size: int = LARGEST_PAGE
    taken: set[str] = field(default_factory=set[str])
    """UUIDs of the blogs under way or done: two names may mean one blog."""

    async def whole(self) -> None:
        """Every blog, some at a time; the account and the blogs' names are looked up first, all at once."""
        turns = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as walks:
            account = walks.create_task(self._read_own_blogs())
            for shown in self.blogs:
                walks.create_task(self._one(shown, turns, account))

    async def _read_own_blogs(self) -> BotError | None:
        """Note which blogs are the account's; returns why that did not work."""
        try:
            account = await self._ask(self.blogs[0], self.tumblr.account)
        except BotError as error:
            return error
        async with self.database.write() as connection:
            await consents.set_own_blogs(connection, account.blogs)
        return None

    async def _one(self, shown: _Blog, turns: asyncio.Semaphore, account: asyncio.Task[BotError | None]) -> None:
        """One blog, from its name to its outcome."""
        try:
            async with turns:
                shown.line = f"Looking up {shown.name}."
                blog = await self._look_up(shown, shown.name)
                error = await account
                if error is not None:
                    raise error
                shown.fact = await self._download(blog, shown)
        except _Changed as changed:
            shown.error, shown.choices = changed.error, changed.choices
        except BotError as error:
            shown.error = error
        if shown.error is not None:
            shown.fact = shown.error.sentence
        self.changed.set()

    async def _download(self, blog: Blog, shown: _Blog) -> str:
        if blog.uuid in self.taken:
            return "named twice"
        self.taken.add(blog.uuid)
        await self._remember(blog)
        shown.label, shown.total = blog.name, blog.post_count
        again = await self._is_interrupted(blog)
        if (await self._stored(blog)).pass_stage is not Pass.SETTLING:
            await self._pass(blog, shown)
        if (await self._stored(blog)).pass_stage is Pass.SETTLING:
            await self._settle(blog, shown)
        if again:
            # The pass went on from an old place; what was posted since then is above it.
            await self._begin(blog, Pass.NEW)
            await self._pass(blog, shown)
        counts = await store.count_posts(self.database, blog.uuid)
        shown.done = shown.total = counts.all
        parts = [counted(counts.all, "post"), f"{counts.valid:,} usable as examples", f"{shown.new:,} new"]
        parts += [f"{shown.changed:,} changed"] if shown.changed else []
        parts += [f"{shown.deleted:,} deleted"] if shown.deleted else []
        return ", ".join(parts)

    async def _ask(self, shown: _Blog, call: Callable[[], Awaitable[T]]) -> T:
        """What a call brings, after waiting for Tumblr's quota for as long as it takes, which everybody can see."""
        while True:
            self.changed.set()
            try:
                return await call()
            except TumblrQuotaReached as reached:
                shown.wait_until = reached.retry_at
                self.changed.set()
                await sleep_until(reached.retry_at, clock=self.clock)
                shown.wait_until = None

    async def _look_up(self, shown: _Blog, identifier: str) -> Blog:
        try:
            return await self._ask(shown, lambda: self.tumblr.blog(identifier))
        except TumblrNotFound as error:
            raise TumblrNotFound(f"Tumblr has no blog {shown.name}, or does not show it.", error.next_step) from error

    async def _remember(self, blog: Blog) -> None:
        """Store the blog, unless it may not be kept, or its name belonged to another one until now.

        Raises:
            NoConsent: nobody has said that this blog may be downloaded.
            _Changed: a person has to say which blog is meant.
        """
        known = await store.find_blog_by_name(self.database, blog.name)
        renamed = known if known is not None and known.uuid != blog.uuid else None
        if renamed is not None and blog.uuid not in self.wanted.accepted:
            have = (await store.count_posts(self.database, renamed.uuid)).all
            raise _Changed(blog, renamed.uuid, have, full=self.wanted.full_since is not None)
        async with self.database.write() as connection:
            await _check_consent(connection, blog)
            if renamed is not None:
                await store.rename_blog(connection, renamed.uuid, renamed.uuid)
            await store.upsert_blog(connection, blog, self.clock())

    async def _is_interrupted(self, blog: Blog) -> bool:
        """Whether a pass goes on from an old place; if none was under way, one is begun here. Resumed jobs ask too."""
        stored = await self._stored(blog)
        since, last = self.wanted.full_since, stored.full_pass_ended_at
        wants_full = since is not None and (last is None or last < since)
        if stored.pass_stage is None or (stored.pass_stage is Pass.NEW and wants_full):
            await self._begin(blog, Pass.FULL if wants_full else Pass.NEW)
            return False
        return stored.cursor is not None or stored.pass_stage is Pass.SETTLING

    async def _begin(self, blog: Blog, stage: Pass) -> None:
        async with self.database.write() as connection:
            await store.begin_pass(connection, blog.uuid, stage, self.clock())

    async def _stored(self, blog: Blog) -> BlogRow:
        """The blog's row. Raises NoConsent when it has gone: its consent was revoked."""
        stored = await store.get_blog(self.database, blog.uuid)
        if stored is None:
            raise _no_consent(blog)
        return stored

    async def _pass(self, blog: Blog, shown: _Blog) -> None:
        """From the newest post downwards: to the end the first time, later to where the last pass began."""
        stored = await self._stored(blog)
        is_full = stored.pass_stage is Pass.FULL
        if is_full:
            shown.line = f"Looking at every post of {blog.name} again."
            shown.done = await store.count_seen_since(self.database, blog.uuid, stored.pass_since or 0.0)
        else:
            shown.line = f"Downloading {blog.name}."
            shown.done = (await store.count_posts(self.database, blog.uuid)).all
        place: _Place | None = _Place(stored.cursor, stored.cursor_offset, stored.pass_newest_timestamp)
        granted = 0
        page = await self._page(blog, shown, place)
        while place is not None:
            granted = max(granted, len(page.posts))
            ahead = _place_ahead(place, page, granted, _stop_at(stored))
            # The next page is on its way while this one is being stored. It is no further ahead than that: a kill must
            # not have cost more than the page in hand.
            coming = asyncio.ensure_future(self._page(blog, shown, ahead)) if ahead is not None else None
            try:
                place = await self._keep_page(blog, shown, place, page, stored, granted)
                if place is not None:
                    page = await (coming or self._page(blog, shown, place))
            finally:
                if coming is not None:
                    coming.cancel()
                    await asyncio.wait([coming])

    async def _keep_page(
        self, blog: Blog, shown: _Blog, place: _Place, page: PostPage, stored: BlogRow, granted: int
    ) -> _Place | None:
        """Keep a page and where to read on, in one transaction: that is what a kill goes back to.

        `stored` is the blog's row when this pass, or its part in this process, began.
        """
        is_full, since = stored.pass_stage is Pass.FULL, stored.pass_since or 0.0
        async with self.database.write() as connection:
            await _check_consent(connection, blog)
            # What the page is to what is stored: by the cursor alone, only whether it was there counts.
            compared = (
                await store.compare(connection, blog.uuid, page.posts, since) if is_full or place.offset else None
            )
            new = await store.save_page(connection, blog.uuid, page.posts, self.clock())
            unseen, changed = (compared.unseen, compared.changed) if compared else (new, 0)
            # Only what is known, from before the last pass began: then what is below is known as well.
            stop_at, times = _stop_at(stored), _times(place, page)
            is_known = stop_at is not None and not new and min(times, default=stop_at + 1) <= stop_at
            following = None
            if not is_known:
                following = await _next_place(
                    connection, blog, place, page, unseen=unseen, since=since, granted=granted
                )
            if following is None:
                await store.set_cursor(connection, blog.uuid, None, 0, _newest(place.newest, page.posts))
                await store.finish_pass(connection, blog.uuid, to_the_end=not is_known)
            else:
                await store.set_cursor(connection, blog.uuid, following.before, following.offset, following.newest)
        shown.new += new
        shown.done += unseen if is_full else new
        shown.changed += changed if is_full else 0
        shown.preview = _preview(page.posts) or shown.preview
        self.changed.set()
        return following

    async def _settle(self, blog: Blog, shown: _Blog) -> None:
        """Ask for each post that a full pass has not seen; delete here what is deleted there."""
        shown.line = f"Asking after posts of {blog.name} that were not seen again."
        since = (await self._stored(blog)).pass_since or 0.0
        while missing := await store.unseen_since(self.database, blog.uuid, since, limit=_ASKED_AFTER):
            gone: list[str] = []
            for post_id in missing:
                post = await self._ask(shown, lambda post_id=post_id: self._still_there(blog, post_id))
                if post is None:
                    gone.append(post_id)
                    continue
                async with self.database.write() as connection:
                    await _check_consent(connection, blog)
                    shown.changed += (await store.compare(connection, blog.uuid, [post], since)).changed
                    await store.save_page(connection, blog.uuid, [post], self.clock())
            if gone:
                # A blog that has vanished itself says of every post that it is gone: that would empty the store.
                await self._look_up(shown, blog.uuid)
                await self.forget(blog.uuid, gone)
                shown.deleted += len(gone)
        async with self.database.write() as connection:
            await store.end_full_pass(connection, blog.uuid, self.clock())

    async def _still_there(self, blog: Blog, post_id: str) -> Post | None:
        try:
            page = await self.tumblr.posts(blog.uuid, post_id=post_id)
        except TumblrNotFound:
            return None
        return next((post for post in page.posts if post.id == post_id), None)

    async def _page(self, blog: Blog, shown: _Blog, place: _Place) -> PostPage:
        async def ask() -> PostPage:
            # By UUID: the name may change while a long download runs.
            if place.offset:
                return await self.tumblr.posts(blog.uuid, offset=place.offset, limit=self.page_size)
            return await self.tumblr.posts(blog.uuid, before=place.before, limit=self.page_size)

        try:
            return await self._ask(shown, ask)
        except TumblrRefused:
            # More than the documented 20 on a page is a kindness of Tumblr's that may end any day.
            if self.page_size == DOCUMENTED_PAGE:
                raise
            self.page_size = DOCUMENTED_PAGE
            return await self._ask(shown, ask)


class _Changed(Exception):
    """A name that belongs to another blog than before, with what a person may choose."""

    def __init__(self, blog: Blog, old_uuid: str, have: int, *, full: bool) -> None:
        super().__init__()
        self.error = BlogChanged(
            f"{blog.name} is not the blog it was: {have:,} posts are here from a blog that had this name before"
            f" ({old_uuid}), and the name belongs to another blog now ({blog.uuid}).",
            "Say which one you mean with a button.",
        )
        more: dict[str, str | bool | list[str]] = {"full": True} if full else {}
        self.choices = (
            Choice(
                f"The one that is called {blog.name} now",
                "download",
                {"blogs": [blog.name], "accepted": [blog.uuid], **more},
            ),
            Choice("The one it was before", "download", {"blogs": [old_uuid], **more}),
        )


async def _check_consent(connection: aiosqlite.Connection, blog: Blog) -> None:
    """Raises NoConsent. In the transaction that keeps something, so that a revocation cannot come between."""
    if not await consents.may_keep(connection, blog.uuid):
        raise _no_consent(blog)


def _no_consent(blog: Blog) -> NoConsent:
    return NoConsent(
        f"{blog.name} is not a blog of the connected account, and nobody has said that it may be downloaded.",
        f"If its owner agrees, record that with /consent add blog:{blog.name}, then use /download again.",
    )


def _stop_at(stored: BlogRow) -> int | None:
    """For a pass that looks for what is new: the time below which an earlier pass has seen everything."""
    return stored.newest_timestamp if stored.complete and stored.pass_stage is Pass.NEW else None


def _times(place: _Place, page: PostPage) -> list[int]:
    # On the very first page a pinned post comes out of its order, and says nothing about where the page ends.
    is_first = place.before is None and not place.offset
    return [post.timestamp for post in page.posts if not (is_first and post.is_pinned)]


def _place_ahead(place: _Place, page: PostPage, granted: int, stop_at: int | None) -> _Place | None:
    """The next place where the page alone tells: the cursor moves on, and there is no sign of the end."""
    times = _times(place, page)
    if place.offset or not times or len(page.posts) < granted:
        return None
    oldest = min(times)
    if (place.before is not None and oldest + 1 >= place.before) or (stop_at is not None and oldest <= stop_at):
        return None
    return _Place(oldest + 1, 0, _newest(place.newest, page.posts))


async def _next_place(
    connection: aiosqlite.Connection,
    blog: Blog,
    place: _Place,
    page: PostPage,
    *,
    unseen: int,
    since: float,
    granted: int,
) -> _Place | None:
    """Where to read on after this page, or None at the end: nothing is there any more.

    Args:
        connection: of the transaction that has saved the page.
        blog: the blog.
        place: where this page was.
        page: what came.
        unseen: how many of its posts this pass had not seen before.
        since: when this pass began, in unix seconds.
        granted: the most posts that a page of this pass has had. A shorter one may be the last: a hint, no proof.
    """
    newest = _newest(place.newest, page.posts)
    back = _Place(place.before, max(1, place.offset - max(1, granted // 2)), newest)
    if not page.posts:
        # Past the end; or posts above were deleted meanwhile, and the end has moved up.
        return back if place.offset > 1 and not place.is_joined else None
    times = _times(place, page)
    if not times:
        return _Place(place.before, place.offset + 1, newest)
    oldest = min(times)
    if place.offset:
        if oldest < (place.before or oldest + 1) - 1:
            return _Place(oldest + 1, 0, newest)  # out of the long second: the cursor works again
        if unseen == len(page.posts) and place.offset > 1:
            return back  # nothing here was seen before: posts above were deleted, and others have slipped by
        if not unseen and len(page.posts) <= granted // _ROOM:
            return None  # nothing new, where there was room for much more
        step = max(1, len(page.posts) - (unseen > 0))
        return _Place(place.before, place.offset + step, newest, is_joined=True)
    if len(page.posts) >= granted and (place.before is None or oldest + 1 < place.before):
        return _Place(oldest + 1, 0, newest)
    # The page lies whole within one second, or this is the end. Walk on by offset, from the last post that was seen.
    # Only what this pass has seen counts: posts that are stored, and gone from the blog, would lead it too far.
    newer = await store.count_newer(connection, blog.uuid, oldest, seen_since=since)
    return _Place(oldest + 1, max(1, newer + times.count(oldest) - 1), newest)


def _newest(so_far: int | None, posts: Sequence[Post]) -> int | None:
    times = [post.timestamp for post in posts]
    return max([*times, so_far], default=None) if so_far is not None else max(times, default=None)


def _preview(posts: Sequence[Post]) -> Preview | None:
    for post in posts:
        if post.text:
            return Preview(post.text, post.blog_name, post.url, post.tags)
    return None
