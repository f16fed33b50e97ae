"""What is on a blog, seen by its owner: drafts, queue, newest posts. Reading only."""

from __future__ import annotations

from collections.abc import Iterable

from bot.posts import Post
from bot.tumblr.client import Tumblr
from bot.tumblr.npf import read_whereabouts

_MOST_PAGES = 10  # of drafts, and of published posts, in one look
_MANY_PAGES = 50  # of published posts, where one of them is looked for that may be weeks old
_LONGEST_QUEUE = 1_000  # posts; Tumblr's own limit


async def look_around(tumblr: Tumblr, blog: str, *, since: float, in_queue: bool) -> list[Post]:
    """What is on the blog, in whatever state, and may be from after `since` (unix seconds).

    In the order in which a post moves on: one that moves while we read is seen twice, not missed.

    Raises:
        BlogIdentifierError, TumblrError: as reading does; then nothing is known.
    """
    seen = [
        *await _drafts_since(tumblr, blog, since),
        *(await _whole_queue(tumblr, blog) if in_queue else ()),
        *(await _posts_since(tumblr, blog, since, _MOST_PAGES))[0],
    ]
    by_id = {post.id: post for post in seen}
    # A draft gets a new id when it is published.
    for post in seen:
        by_id.pop(read_whereabouts(post.raw).genesis_id or "", None)
    return list(by_id.values())


async def find_post(tumblr: Tumblr, blog: str, post_id: str, *, since: float) -> tuple[Post | None, bool]:
    """The post with this id, which was a Tumblr draft or queued after `since` (unix seconds), wherever it is by now.

    Also whether the search went through everything: if not, a post that was not found may still be there. One that was
    published has another id, and tells which it had before.

    Raises:
        BlogIdentifierError, TumblrError: as reading does; then nothing is known.
    """
    just_there = (await tumblr.drafts(blog, before_id=str(int(post_id) + 1))).posts
    drafts = [*just_there, *await _drafts_since(tumblr, blog, since)]
    queue = await _whole_queue(tumblr, blog)
    posts, is_whole = await _posts_since(tumblr, blog, since, _MANY_PAGES)
    for post in (*posts, *queue, *drafts):
        if post_id in {post.id, read_whereabouts(post.raw).genesis_id}:
            return post, True
    return None, is_whole


async def _drafts_since(tumblr: Tumblr, blog: str, since: float) -> Iterable[Post]:
    seen: dict[str, Post] = {}
    before_id: str | None = None
    for _ in range(_MOST_PAGES):
        page = (await tumblr.drafts(blog, before_id=before_id)).posts
        fresh = [post for post in page if post.id not in seen]
        seen |= {post.id: post for post in fresh}
        if not fresh or all(0 < post.timestamp < since for post in page):
            break
        before_id = str(min(int(post.id) for post in page))
    return seen.values()


async def _whole_queue(tumblr: Tumblr, blog: str) -> Iterable[Post]:
    # A new post goes to the end of the queue, so there is no stopping early.
    seen: dict[str, Post] = {}
    offset = 0
    while offset < _LONGEST_QUEUE:
        page = (await tumblr.queue(blog, offset=offset)).posts
        fresh = {post.id: post for post in page if post.id not in seen}
        if not fresh:
            break
        seen |= fresh
        offset += len(page)
    return seen.values()


async def _posts_since(tumblr: Tumblr, blog: str, since: float, most_pages: int) -> tuple[Iterable[Post], bool]:
    """The published posts from after `since`, the newest first; and whether these are all."""
    seen: dict[str, Post] = {}
    # By offset, not by time: many posts may share a second. One that is made meanwhile only repeats what was seen.
    offset = 0
    for _ in range(most_pages):
        page = (await tumblr.posts(blog, offset=offset)).posts
        fresh = [post for post in page if post.id not in seen]
        seen |= {post.id: post for post in fresh}
        # A pinned post stands out of its order, takes another's place, and says nothing about how far the page goes.
        in_order = [post for post in page if not post.is_pinned]
        if not fresh or any(0 < post.timestamp < since for post in in_order):
            return seen.values(), True
        offset += len(in_order)
    return seen.values(), False
