"""A blog of the Tumblr stand-in: its posts, how they are listed, what may be posted. No HTTP in here."""

from __future__ import annotations

import html
import re
import secrets
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

Npf = dict[str, Any]
"""A post as Tumblr's API returns it in its "Neue Post Format". Its content may be the oddest thing."""

MOST_BLOCKS = 1000
MOST_CHARACTERS = 4096
MOST_BYTES = 1_000_000
MOST_TAGS = 30
LONGEST_TAG = 140
BLOCK_TYPES = frozenset({"text", "image", "link", "audio", "video", "paywall", "poll"})

STATES = {"published": "published", "draft": "draft", "queue": "queued", "private": "private"}
"""How a state is written → how it is read back. Whatever is missing here is published: that is the real trap."""

INVALID_FORMAT = 8001
INVALID_PARENT = 8002
QUEUE_FULL = 8022
DAILY_POSTS_REACHED = 8023
DASHBOARD_ONLY = 4012


class Refused(Exception):
    """A request that Tumblr refuses; `code` is its error subcode, 0 where it has none."""

    def __init__(self, status: int, title: str, *, code: int = 0) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.code = code


@dataclass(kw_only=True)
class StandInBlog:
    """One blog. `owned` ones belong to the account, so it may post there and see drafts as well as the queue."""

    name: str
    uuid: str
    title: str = ""
    description: str = ""
    owned: bool = True
    custom_domain: str = ""
    dashboard_only: bool = False
    post_count_error: int = 3
    """Added to every count of posts: Tumblr's are estimates."""
    posts: list[Npf] = field(default_factory=list[Npf])
    """Published (and private) posts, newest first. Change them with the service's helpers, which keep the order."""
    drafts: list[Npf] = field(default_factory=list[Npf])
    """Newest id first."""
    queue: list[Npf] = field(default_factory=list[Npf])
    """In the order of their turn."""

    @property
    def url(self) -> str:
        return f"https://{self.custom_domain or f'{self.name}.tumblr.com'}/"

    @property
    def estimated_posts(self) -> int:
        return max(0, len(self.posts) + self.post_count_error)

    @property
    def updated(self) -> int:
        return self.posts[0]["timestamp"] if self.posts else 0

    def answers_to(self, identifier: str) -> bool:
        """Whether an identifier from a path names this blog: its name, host name, custom domain or UUID."""
        if identifier == self.uuid:
            return True
        host = identifier.lower()
        return host in {self.name, f"{self.name}.tumblr.com"} or (host == self.custom_domain != "")

    def put(self, post: Npf) -> None:
        """File a complete post where its state belongs."""
        if post["state"] == "draft":
            insort(self.drafts, post, key=_by_id)
        elif post["state"] == "queued":
            self.queue.append(post)
        else:
            insort(self.posts, post, key=_newest_first)

    def take(self, post_id: int | str) -> Npf | None:
        """Remove the post with this id, wherever it is."""
        for posts in (self.posts, self.drafts, self.queue):
            for index, post in enumerate(posts):
                if post["id_string"] == str(post_id):
                    return posts.pop(index)
        return None

    def find(self, post_id: int | str) -> Npf | None:
        """The published post with this id. A draft, a queued post or its former id finds nothing, as with Tumblr."""
        return next((post for post in self.posts if post["id_string"] == str(post_id)), None)


def _newest_first(post: Npf) -> tuple[int, int]:
    return -post["timestamp"], -post["id"]


def _by_id(post: Npf) -> int:
    return -post["id"]


def _by_time(post: Npf) -> int:
    return -post["timestamp"]


def complete_post(blog: StandInBlog, given: Npf, post_id: int, now: int) -> Npf:
    """`given` with every field that Tumblr's answers have; what is given wins, `id_string` and `date` follow it."""
    post_id = int(given.get("id", post_id))
    timestamp = given.get("timestamp", now)
    content = given.get("content", [])
    text = "\n".join(texts_of(content))
    slug = "-".join(re.findall(r"[a-z0-9]+", text.lower())[:8])
    post_url = f"{blog.url}post/{post_id}" + (f"/{slug}" if slug else "")
    completed: Npf = {
        "object_type": "post",
        "type": "blocks",
        "original_type": "regular",
        "is_blocks_post_format": True,
        "blog_name": blog.name,
        "blog": {
            "name": blog.name,
            "title": blog.title,
            "description": blog.description,
            "url": blog.url,
            "uuid": blog.uuid,
            "updated": timestamp,
        },
        "post_url": post_url,
        "slug": slug,
        "timestamp": timestamp,
        "state": "published",
        "reblog_key": secrets.token_urlsafe(6),
        "tags": [],
        "short_url": f"https://tmblr.co/Z{post_id:x}",
        "summary": text[:120],
        "should_open_in_legacy": False,
        "followed": False,
        "liked": False,
        "note_count": 0,
        "content": content,
        "layout": [],
        "trail": [],
        "can_like": True,
        "can_reblog": True,
        "can_send_in_message": True,
        "can_reply": True,
        "display_avatar": True,
    }
    date = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S GMT")
    return completed | given | {"id": post_id, "id_string": str(post_id), "date": date}


def texts_of(content: object) -> list[str]:
    """The texts of the text blocks of a post's content, however odd it is."""
    blocks = cast("list[object]", content) if isinstance(content, list) else []
    texts = [cast("Npf", block).get("text") for block in blocks if isinstance(block, dict)]
    return [text for text in texts if isinstance(text, str)]


def as_legacy(post: Npf) -> Npf:
    """What Tumblr answers without `npf=true`: HTML in the place of blocks."""
    body = "".join(f"<p>{html.escape(text)}</p>" for text in texts_of(post["content"]))
    blocks = {"content", "layout", "trail", "is_blocks_post_format"}
    return {key: value for key, value in post.items() if key not in blocks} | {"type": "text", "body": body}


# --- listing --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which posts are asked for. `before` and `after` are unix seconds, both strict."""

    limit: int
    before: int | None = None
    after: int | None = None
    offset: int = 0
    oldest_first: bool = False
    tags: tuple[str, ...] = ()


def list_posts(posts: Sequence[Npf], wanted: Listing) -> list[Npf]:
    """One page of `posts`, which are sorted newest first.

    A pinned post comes first on the first page, which is the one without a cursor or an offset, and in its own place
    on any other. Cursors are strict: they lose the posts that share their second with the edge of a page.
    """
    first = 0 if wanted.before is None else bisect_right(posts, -wanted.before, key=_by_time)
    end = len(posts) if wanted.after is None else bisect_left(posts, -wanted.after, key=_by_time)
    if wanted.tags:
        names = {tag.lower() for tag in wanted.tags}
        chosen = [post for post in posts[first:end] if names <= {str(tag).lower() for tag in post["tags"]}]
    elif wanted.oldest_first:
        chosen = posts[first:end]
    else:
        chosen = posts[first : min(end, first + wanted.offset + wanted.limit + 1)]  # a big blog is not copied whole
    if wanted.oldest_first:
        return list(reversed(chosen))[wanted.offset : wanted.offset + wanted.limit]
    page = list(chosen[wanted.offset : wanted.offset + wanted.limit])
    if wanted.before is None and wanted.after is None and not wanted.offset and not wanted.tags:
        pinned = [post for post in posts if post.get("is_pinned")]
        return (pinned + [post for post in page if not post.get("is_pinned")])[: wanted.limit]
    return page


# --- what may be posted ---------------------------------------------------------------------------------------


class NewPost(msgspec.Struct):
    """The body of POST /v2/blog/{id}/posts, as far as the stand-in looks at it."""

    content: list[dict[str, Any]]
    state: object = None
    tags: str = ""
    layout: list[Any] = []
    publish_on: str | None = None
    parent_tumblelog_uuid: str | None = None
    parent_post_id: int | str | None = None
    reblog_key: str | None = None

    @property
    def is_reblog(self) -> bool:
        parent = (self.parent_tumblelog_uuid, self.parent_post_id, self.reblog_key)
        return any(field is not None for field in parent)

    @property
    def read_state(self) -> str:
        """The state as it is read back. Omitted, misspelt or in the *read* spelling it is published."""
        return STATES.get(self.state, "published") if isinstance(self.state, str) else "published"


def read_new_post(body: bytes) -> NewPost:
    """Read a request's body by Tumblr's rules. Raises Refused with 400.8001."""
    if len(body) > MOST_BYTES:
        raise _invalid("The post is too large")
    try:
        post = msgspec.json.decode(body, type=NewPost)
    except msgspec.DecodeError as error:  # ValidationError included; the text is our own body's, so it may be shown
        raise _invalid(str(error)) from error
    post.content = [block for block in post.content if not _is_empty(block)]  # Tumblr trims empty blocks
    if not post.content and not post.is_reblog:
        raise _invalid("'content' must not be empty")
    if len(post.content) > MOST_BLOCKS:
        raise _invalid(f"'content' must not have more than {MOST_BLOCKS} blocks")
    for block in post.content:
        _check_block(block)
    tags = split_tags(post.tags)
    if len(tags) > MOST_TAGS or any(len(tag) > LONGEST_TAG for tag in tags):
        raise _invalid("'tags' must be at most 30 of at most 140 characters")
    if post.publish_on is not None:
        _read_time(post.publish_on)
    return post


def split_tags(tags: str) -> list[str]:
    """A comma splits a tag."""
    return [tag for part in tags.split(",") if (tag := part.strip().removeprefix("#"))]


def queue_fields(post: NewPost) -> Npf:
    """The fields that only a queued post has."""
    if post.publish_on is None:
        return {"queued_state": "queued"}
    return {
        "queued_state": "scheduled",
        "publish_on": post.publish_on,
        "scheduled_publish_time": int(_read_time(post.publish_on).timestamp()),
    }


def reblog_fields(post: NewPost, parent_blog: StandInBlog | None) -> Npf:
    """The fields that a reblog takes from its parent. Raises Refused with 400.8002 if it may not be reblogged."""
    parent = parent_blog.find(post.parent_post_id or "") if parent_blog is not None else None
    if (
        parent_blog is None
        or parent is None
        or post.reblog_key != parent["reblog_key"]
        or not parent["can_reblog"]
        or parent["state"] != "published"
    ):
        raise Refused(400, "The post you are trying to reblog is no longer there", code=INVALID_PARENT)
    own_part = {
        "content": parent["content"],
        "layout": parent["layout"],
        "post": {"id": parent["id_string"], "timestamp": parent["timestamp"]},
        "blog": parent["blog"],
    }
    return {
        "parent_post_id": parent["id_string"],
        "parent_post_url": parent["post_url"],
        "parent_tumblelog_uuid": parent_blog.uuid,
        "reblogged_from_id": parent["id_string"],
        "reblogged_from_name": parent_blog.name,
        "reblogged_from_url": parent["post_url"],
        "reblogged_from_uuid": parent_blog.uuid,
        # A reblog without a comment adds nothing to the trail.
        "trail": [*parent["trail"], *([own_part] if parent["content"] else [])],
    }


def _is_empty(block: Npf) -> bool:
    text = block.get("text")
    return block.get("type") == "text" and isinstance(text, str) and not text.strip()


def _check_block(block: Npf) -> None:
    if block.get("type") not in BLOCK_TYPES:
        raise _invalid("'content' has a block of an unknown type")
    if block["type"] == "text":
        text = block.get("text")
        if not isinstance(text, str):
            raise _invalid("A text block needs a text")
        if len(text) > MOST_CHARACTERS:
            raise _invalid(f"A text block must not be longer than {MOST_CHARACTERS} characters")


def _read_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise _invalid("'publish_on' must be an ISO 8601 time") from error
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _invalid(title: str) -> Refused:
    return Refused(400, title, code=INVALID_FORMAT)
