"""What a post is to us, whatever the service it came from calls it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Rejection(StrEnum):
    """Why a post is no example of its owner's words (facts/tumblr.md, "A valid example post")."""

    NOT_PUBLISHED = "not published"
    EMPTY = "no content"
    NOT_TEXT = "not only text"
    REBLOG = "reblog"
    ASK = "ask or answer"
    SUBMISSION = "submission"
    COMMUNITY = "community post"
    PAYWALL = "paywalled"
    GLITCHED = "no content and no trail"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Blog:
    """A blog as Tumblr describes it. `post_count` is Tumblr's estimate."""

    uuid: str
    name: str
    title: str
    url: str
    post_count: int | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """A downloaded post, read. `timestamp` is the publish time in unix seconds; blank lines part the blocks."""

    id: str
    blog_uuid: str
    blog_name: str
    timestamp: int
    url: str
    text: str
    tags: tuple[str, ...]
    rejection: Rejection | None
    is_pinned: bool
    raw: bytes
    """The JSON as it came, kept in the store."""

    @property
    def is_example(self) -> bool:
        return self.rejection is None
