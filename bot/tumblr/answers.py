"""What Tumblr's answers mean: values, and errors with a next step.

Errors come in many shapes (Tumblr's API notes, "Limits, errors"); the status and the numeric codes count, never the
texts, which are jokes in the reader's language.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TypeVar

import msgspec

from bot.errors import (
    TumblrDailyPostsReached,
    TumblrError,
    TumblrForbidden,
    TumblrNotFound,
    TumblrNotSent,
    TumblrOutcomeUnknown,
    TumblrQueueFull,
    TumblrRefused,
    TumblrUnauthorized,
    TumblrUnavailable,
)
from bot.posts import Blog, Post, Rejection
from bot.tumblr.npf import read_post
from bot.tumblr.quota import ASSUMED_WAIT, blocked, quota_reached
from bot.tumblr.transport import Answer, NoAnswer, Outcome
from bot.tumblr.values import (
    as_int,
    as_list,
    as_mapping,
    as_post_id,
    as_text,
    as_uuid,
    as_web_address,
    decode_leniently,
)

_TRY_LATER = "Try again in a few minutes."
_LOOK_FIRST = "Look at the blog, its drafts and its queue before sending it again."
MADE = "made"
DELETED = "deleted"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Account:
    """The connected account and the blogs it may post to."""

    name: str
    blogs: tuple[Blog, ...]


@dataclass(frozen=True, slots=True)
class PostPage:
    """One page of posts, in Tumblr's order (a pinned post comes first, out of order).

    `unreadable` counts posts that could not be read: those that at least had an id and a time are among `posts`
    with `Rejection.UNREADABLE`, the others are left out.
    """

    posts: tuple[Post, ...]
    blog: Blog | None
    unreadable: int


@dataclass(frozen=True, slots=True)
class CreatedPost:
    """A post that Tumblr made. `state` is in the write spelling, or empty when Tumblr did not say."""

    id: str
    state: str


@dataclass(frozen=True, slots=True)
class PostLimits:
    """How many posts the account may still make today, and when that changes (unix seconds). None: not said."""

    posts_remaining: int | None = None
    resets_at: float | None = None


# --- the envelope ---------------------------------------------------------------------------------------------


class _Envelope(msgspec.Struct):
    meta: object = None
    response: msgspec.Raw = msgspec.Raw(b"null")
    errors: object = None


class _Page(msgspec.Struct):
    posts: list[msgspec.Raw]
    blog: object = None


_envelope_decoder = msgspec.json.Decoder(_Envelope)
_page_decoder = msgspec.json.Decoder(_Page)
_any_decoder = msgspec.json.Decoder(object)


@dataclass(frozen=True, slots=True)
class _Reply:
    """An answer, opened. `status` is Tumblr's own where it contradicts a successful HTTP status."""

    status: int
    envelope: _Envelope | None
    is_page: bool

    @property
    def is_success(self) -> bool:
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES and self.envelope is not None


def _open(answer: Answer) -> _Reply:
    envelope = _open_envelope(answer.body)
    status = answer.status
    if envelope is not None and status < HTTPStatus.BAD_REQUEST:
        inner = as_int(as_mapping(envelope.meta).get("status"))
        if inner is not None and inner >= HTTPStatus.BAD_REQUEST:
            status = inner
    return _Reply(status, envelope, answer.is_page)


def _open_envelope(body: bytes) -> _Envelope | None:
    try:
        return decode_leniently(_envelope_decoder, body)
    except ValueError:
        return None


def _codes(envelope: _Envelope) -> frozenset[int]:
    """The numeric codes of all errors in an answer, wherever this kind of answer keeps them."""
    errors = [*as_list(envelope.errors), *as_list(_mapping_in(envelope.response).get("errors"))]
    codes = (as_int(as_mapping(error).get("code")) for error in errors)
    return frozenset(code for code in codes if code is not None)


# --- reads ----------------------------------------------------------------------------------------------------


def understand_read(
    outcome: Outcome, read_response: Callable[[msgspec.Raw], T | None], retry_at: float | None = None
) -> T:
    """The value in the answer to a read; `read_response` gives None for a response that is not what it should be.

    `retry_at` is when calls go on, if this answer stopped them (`Governor.learn` says so).

    Raises:
        TumblrUnauthorized, TumblrForbidden, TumblrBlocked, TumblrNotFound, TumblrRefused, TumblrQuotaReached: final
            answers.
        TumblrUnavailable: no usable answer; may be tried again.
    """
    if isinstance(outcome, NoAnswer):
        raise TumblrUnavailable(f"Tumblr {outcome.reason}.", _TRY_LATER)
    reply = _open(outcome)
    if reply.is_success and reply.envelope is not None:
        value = read_response(reply.envelope.response)
        if value is None:
            raise TumblrUnavailable("Tumblr's answer could not be read.", _TRY_LATER)
        return value
    if _is_refusal(reply.status):
        raise _refusal(reply, retry_at)
    raise TumblrUnavailable(f"Tumblr {_no_use(reply)}.", _TRY_LATER)


def read_account(response: msgspec.Raw) -> Account | None:
    """The account in the answer of `user/info`."""
    user = as_mapping(_mapping_in(response).get("user"))
    name = as_text(user.get("name"))
    blogs = (_read_blog(blog) for blog in as_list(user.get("blogs")))
    return Account(name, tuple(blog for blog in blogs if blog is not None)) if name else None


def read_limits(response: msgspec.Raw) -> PostLimits:
    """The limit on posts in the answer of `user/limits`; what is not there, or is odd, is not said."""
    posts = as_mapping(as_mapping(_mapping_in(response).get("user")).get("posts"))
    remaining, resets_at = as_int(posts.get("remaining")), as_int(posts.get("reset_at"))
    return PostLimits(None if remaining is None else max(0, remaining), None if resets_at is None else float(resets_at))


def read_blog(response: msgspec.Raw) -> Blog | None:
    """The blog in the answer of `blog/…/info`."""
    return _read_blog(_mapping_in(response).get("blog"))


def read_page(response: msgspec.Raw) -> PostPage | None:
    """The posts in the answer of any of the endpoints that list posts."""
    try:
        page = decode_leniently(_page_decoder, response)
    except ValueError:
        return None
    blog = _read_blog(page.blog)
    posts: list[Post] = []
    unreadable = 0
    for raw in page.posts:
        try:
            post = read_post(bytes(raw))
        except ValueError:
            unreadable += 1
            continue
        # Every page is cut by time, so a published post without one would lead the next request astray.
        lost = not post.timestamp and post.rejection is not Rejection.NOT_PUBLISHED
        unreadable += lost or post.rejection is Rejection.UNREADABLE
        if not lost:
            posts.append(replace(post, blog_uuid=blog.uuid) if blog and not post.blog_uuid else post)
    return PostPage(tuple(posts), blog, unreadable)


def _mapping_in(response: msgspec.Raw) -> Mapping[str, object]:
    try:
        return as_mapping(decode_leniently(_any_decoder, response))
    except ValueError:
        return {}


def _read_blog(value: object) -> Blog | None:
    """A blog; None without a UUID and a name, since everything hangs on these."""
    blog = as_mapping(value)
    uuid, name = as_uuid(blog.get("uuid")), as_text(blog.get("name"))
    if not uuid or not name:
        return None
    count = as_int(blog.get("posts"))
    if count is None:
        count = as_int(blog.get("total_posts"))
    return Blog(uuid, name, as_text(blog.get("title")), as_web_address(blog.get("url")), count)


# --- writes ---------------------------------------------------------------------------------------------------


def understand_write(outcome: Outcome, retry_at: float | None = None) -> CreatedPost:
    """What became of a new post. `retry_at` as in `understand_read`.

    Raises:
        TumblrUnauthorized, TumblrForbidden, TumblrNotFound, TumblrRefused, TumblrQuotaReached: the API said no.
        TumblrNotSent: it never left.
        TumblrOutcomeUnknown: anything else. A 504 has come back after the post was made.
    """
    reply = _reply_to_write(outcome, retry_at, MADE)
    assert reply.envelope is not None  # noqa: S101 - a success has one
    created = _mapping_in(reply.envelope.response)
    post_id = as_post_id(created.get("id_string"), created.get("id"))
    if post_id is None:
        raise unknown_outcome("sent an answer that could not be read")
    # Read and written differently: a post in the queue is "queued" when it is read.
    state = as_text(created.get("state"))
    return CreatedPost(post_id, "queue" if state == "queued" else state)


def understand_deletion(outcome: Outcome, retry_at: float | None = None) -> None:
    """Return if a post was deleted. `retry_at` as in `understand_read`.

    Raises:
        TumblrUnauthorized, TumblrForbidden, TumblrNotFound, TumblrRefused, TumblrQuotaReached: the API said no.
        TumblrNotSent: it never left.
        TumblrOutcomeUnknown: anything else.
    """
    reply = _reply_to_write(outcome, retry_at, DELETED)
    assert reply.envelope is not None  # noqa: S101 - a success has one
    if as_post_id(_mapping_in(reply.envelope.response).get("id")) is None:
        raise unknown_outcome("sent an answer that could not be read", DELETED)


def _reply_to_write(outcome: Outcome, retry_at: float | None, wanted: str) -> _Reply:
    """A successful answer to a write; `wanted` says what was to become of the post. Raises as the two above do."""
    if isinstance(outcome, NoAnswer):
        if not outcome.sent:
            raise TumblrNotSent(f"Tumblr {outcome.reason}, so nothing was sent.", _TRY_LATER)
        raise unknown_outcome(outcome.reason, wanted)
    reply = _open(outcome)
    if reply.is_success and reply.envelope is not None:
        return reply
    # Only the API itself can refuse: a page comes from somewhere on the way, and nobody knows from which side of it.
    if _is_refusal(reply.status) and reply.envelope is not None:
        raise _refusal(reply, retry_at)
    raise unknown_outcome(_no_use(reply), wanted)


def unknown_outcome(reason: str, wanted: str = MADE) -> TumblrOutcomeUnknown:
    """The error for a write whose answer was lost; `reason` goes on from "Tumblr …"."""
    return TumblrOutcomeUnknown(f"Tumblr {reason}, so the post may or may not have been {wanted}.", _LOOK_FIRST)


# --- refusals -------------------------------------------------------------------------------------------------

_BAD_POST = 8001
_PARENT_GONE = 8002
_QUEUE_FULL = 8022
_DAILY_POSTS = 8023
_DASHBOARD_ONLY = 4012


def _is_refusal(status: int) -> bool:
    """A 4xx that is about the request, not about the moment."""
    passing = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY}
    return HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in passing


def _no_use(reply: _Reply) -> str:
    """Why an answer that is neither a success nor a refusal is of no use; goes on from "Tumblr …"."""
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"has trouble of its own (status {reply.status})"
    if reply.is_page:
        return f"answered with a web page (status {reply.status})"
    return f"sent an answer that could not be read (status {reply.status})"


def _refusal(reply: _Reply, retry_at: float | None) -> TumblrError:
    """The error for a 4xx answer."""
    if retry_at is None:
        retry_at = time.time() + ASSUMED_WAIT
    codes = frozenset[int]() if reply.envelope is None else _codes(reply.envelope)
    match reply.status:
        case HTTPStatus.UNAUTHORIZED:
            return TumblrUnauthorized(
                "Tumblr does not accept the keys or tokens: they are wrong, or were revoked.",
                "Connect the account again, and see that this machine's clock is right.",
            )
        case HTTPStatus.FORBIDDEN | HTTPStatus.TOO_MANY_REQUESTS if reply.is_page:
            return blocked(retry_at)
        case HTTPStatus.FORBIDDEN:
            return _forbidden(codes)
        case HTTPStatus.NOT_FOUND:
            return _not_found(codes)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return quota_reached(retry_at)
        case _:
            return _refused(reply.status, codes)


def _forbidden(codes: frozenset[int]) -> TumblrForbidden:
    if _QUEUE_FULL in codes:
        return TumblrQueueFull("The blog's queue is full.", "Let some of it be published, then approve again.")
    if _DAILY_POSTS in codes:
        return TumblrDailyPostsReached("The blog has reached Tumblr's limit of posts a day.", "Approve again tomorrow.")
    return TumblrForbidden(
        "Tumblr does not allow the connected account to do this.",
        "See that the account is a member of the blog; trying again will not help.",
    )


def _not_found(codes: frozenset[int]) -> TumblrNotFound:
    if _DASHBOARD_ONLY in codes:
        return TumblrNotFound(
            "This blog is shown only inside Tumblr, to people who are logged in.",
            "Its owner can change that in the blog's settings.",
        )
    return TumblrNotFound(
        "Tumblr has no such blog or post, or does not show it.",
        "Check the name: blogs get renamed, and explicit or deleted ones are not shown.",
    )


def _refused(status: int, codes: frozenset[int]) -> TumblrRefused:
    if _BAD_POST in codes:
        return TumblrRefused("Tumblr does not accept this post's content.", "Change the text with Edit.")
    if _PARENT_GONE in codes:
        return TumblrRefused(
            "The post to reblog is gone, or may not be reblogged.", "Choose another post, or reject the draft."
        )
    return TumblrRefused(f"Tumblr refused the request (status {status}).", "Trying it again will not help.")
