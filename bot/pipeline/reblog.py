"""What a draft reblogs: a post drawn at random from the allowed blogs, without reading these blogs whole."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

from bot.drafts import Parent
from bot.errors import (
    BlogIdentifierError,
    NothingToDo,
    TumblrBlocked,
    TumblrError,
    TumblrForbidden,
    TumblrNotFound,
    TumblrRefused,
)
from bot.pipeline.cleaning import break_markers
from bot.posts import Blog
from bot.tumblr.client import DOCUMENTED_PAGE, PostPage, Tumblr
from bot.tumblr.identifiers import parse_identifier
from bot.tumblr.npf import reblog_text

_log = logging.getLogger(__name__)
MOST_PAGES = 20  # read for one draft
LONGEST_TEXT = 8_000  # characters of the post, in what a model is asked
_BEYOND = 20  # posts; Tumblr's counts are estimates, and what is beyond one could never be drawn
_LARGEST_BLOG = 1_000_000  # posts; where Tumblr names no count, empty pages soon tell where the blog ends
# The first window is read by time, not by offset: the page without either has the pinned post out of its place.
_FAR_FUTURE = 2**31 - 1  # unix seconds


@dataclass(eq=False)
class _Source:
    """A blog that may be reblogged, and what a run knows of it."""

    label: str
    """What the settings call it. Tumblr's own name for it may be anything, and has no place in a note or the log."""
    blog: Blog
    places: Iterator[int]
    """Indices of posts, the newest being 0, in the order in which they are looked at."""
    looked_at: set[int] = field(default_factory=set[int])
    pages: dict[int, tuple[Parent | None, ...]] = field(default_factory=dict[int, tuple[Parent | None, ...]])
    """By the index where they begin; None stands for a post that is not to be reblogged."""


class ParentSearch:
    """Draws posts to reblog for one run of /generate: each at most once, and no page is read twice."""

    def __init__(
        self, tumblr: Tumblr, identifiers: Sequence[str], dice: random.Random, *, most_pages: int = MOST_PAGES
    ) -> None:
        self._tumblr = tumblr
        self._unopened = list(identifiers)
        self._dice = dice
        self._most_pages = most_pages
        self._left = 0  # pages that may still be read for the draft in hand
        self._labels: dict[str, str] = {}  # by UUID
        self._allowed: set[str] = set()  # UUIDs and names
        self._sources: list[_Source] = []
        self._searched: dict[str, None] = {}  # labels of the blogs that were looked at for the draft in hand
        self._given: set[str] = set()

    async def draw(self, taken: Container[str]) -> Parent:
        """A post to reblog whose id is not in `taken`.

        The blog is drawn first, each as likely as the next; then a post of it, each valid one as likely as the next.
        For that, places of the blog are looked at in random order until one holds a valid post (rejection sampling:
        in a shuffled row every valid post is equally likely to come first, however many others stand between them).

        Raises:
            NothingToDo: nothing was found in as many pages as are read for one draft, or nothing is left.
            TumblrError: as every read does.
        """
        self._left = self._most_pages
        self._searched.clear()
        await self._open_blogs()
        while self._left and self._sources:
            source = self._sources[self._dice.randrange(len(self._sources))]
            self._searched[source.label] = None
            try:
                parent = await self._draw_from(source, taken)
            except (TumblrNotFound, TumblrForbidden, TumblrRefused) as error:
                self._leave_out(source.label, error)
                self._sources.remove(source)
                continue
            if parent is not None:
                self._given.add(parent.post_id)
                return parent
            if self._left:
                self._sources.remove(source)  # it has nothing more to give
        raise self._nothing()

    async def _draw_from(self, source: _Source, taken: Container[str]) -> Parent | None:
        while self._left and (place := next(source.places, None)) is not None:
            source.looked_at.add(place)
            parent = await self._parent_at(source, place)
            if parent is not None and parent.post_id not in taken and parent.post_id not in self._given:
                return parent
        return None

    async def _parent_at(self, source: _Source, place: int) -> Parent | None:
        """The post at that index, if it may be reblogged. Tumblr may give shorter pages than it was asked for."""
        start = place - place % DOCUMENTED_PAGE
        while start in source.pages or self._left:
            if start not in source.pages:
                self._left -= 1
                source.pages[start] = await self._read(source.blog, start)
            page = source.pages[start]
            if place < start + len(page):
                return page[place - start]
            if not page:
                self._ends_at(source, start)
                break
            start += len(page)
        return None

    async def _read(self, blog: Blog, start: int) -> tuple[Parent | None, ...]:
        if start:
            page = await self._tumblr.posts(blog.uuid, offset=start, limit=DOCUMENTED_PAGE)
        else:
            page = await self._tumblr.posts(blog.uuid, before=_FAR_FUTURE, limit=DOCUMENTED_PAGE)
        return await asyncio.to_thread(_parents, page, self._allowed)

    def _ends_at(self, source: _Source, end: int) -> None:
        """The count was too high: look only at what is there. The rest of a shuffled row, shuffled anew, is as even."""
        source.places = (place for place in shuffled(end, self._dice) if place not in source.looked_at)

    async def _open_blogs(self) -> None:
        """Ask once in a run for each blog: its UUID, and how many posts it has."""
        while self._unopened:
            label = "an entry"
            try:
                label = parse_identifier(self._unopened[0])
                blog = await self._tumblr.blog(label)
            except (BlogIdentifierError, TumblrNotFound, TumblrForbidden, TumblrRefused) as error:
                self._leave_out(label, error)
            else:
                if blog.uuid not in self._labels:  # one blog may be named in several ways
                    self._labels[blog.uuid] = label
                    self._allowed |= {blog.uuid, blog.name}
                    count = _LARGEST_BLOG if blog.post_count is None else max(0, blog.post_count) + _BEYOND
                    self._sources.append(_Source(label, blog, shuffled(min(count, _LARGEST_BLOG), self._dice)))
            del self._unopened[0]

    @staticmethod
    def _leave_out(label: str, error: TumblrError | BlogIdentifierError) -> None:
        """One blog that is gone does not keep the others from being read; a block of this machine's address does."""
        if isinstance(error, TumblrBlocked):
            raise error
        _log.warning("Of reblog_blog_identifiers, %s is left out: %s", label, error)

    def _nothing(self) -> NothingToDo:
        if not self._labels:
            sentence = "None of the blogs in `reblog_blog_identifiers` can be read."
        elif self._left:
            sentence = f"No post to reblog is left on {', '.join(self._labels.values())}."
        else:
            names = ", ".join(self._searched)
            sentence = f"No post to reblog was found in {self._most_pages} pages of {names}."
        return NothingToDo(sentence, "Name other blogs in `reblog_blog_identifiers`, or set `reblog_chance` to 0.")


def shuffled(total: int, dice: random.Random) -> Iterator[int]:
    """Every number below `total` once, in random order: a Fisher-Yates shuffle that remembers only what it moved."""
    moved: dict[int, int] = {}
    for left in range(total, 0, -1):
        place = dice.randrange(left)
        yield moved.get(place, place)
        moved[place] = moved.pop(left - 1, left - 1)


def reblog_prompt(user_message: str, text: str) -> str:
    """What a voice is asked: `user_message` with the post's text for each `{}`, or after it where there is none.

    Other braces are plain text, and so are those in the post. Of a long text the first paragraphs are given, and the
    markers of models (`<|…|>`) are broken up.
    """
    shown = _beginning(text)
    # One pass of `replace`, not `format`: the text is a stranger's, and may hold anything.
    filled = user_message.replace("{}", shown) if "{}" in user_message else f"{user_message}\n\n{shown}"
    return break_markers(filled)


def _beginning(text: str) -> str:
    if len(text) <= LONGEST_TEXT:
        return text
    shown = text[:LONGEST_TEXT]
    return shown.rpartition("\n\n")[0] or shown.rpartition(" ")[0] or shown


def _parents(page: PostPage, allowed: Container[str]) -> tuple[Parent | None, ...]:
    """The posts of a page as parents. CPU work: call it in a thread."""
    texts = ((post, reblog_text(post.raw, allowed)) for post in page.posts)
    return tuple(
        Parent(post.blog_uuid, post.blog_name, post.id, text, post.url) if text else None for post, text in texts
    )
