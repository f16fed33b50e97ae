"""Tumblr for the rest of the bot: awaitable calls, our own types in and out, errors with a next step.

Reads and writes go their separate ways, so that a slow download never delays an approval. Every call, each retry
included, asks the account's governor first (`bot.tumblr.quota`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random

from bot.drafts import UploadState
from bot.errors import TumblrUnauthorized, TumblrUnavailable
from bot.posts import Blog
from bot.tumblr.answers import (
    DELETED,
    Account,
    CreatedPost,
    PostLimits,
    PostPage,
    read_account,
    read_blog,
    read_limits,
    read_page,
    understand_deletion,
    understand_read,
    understand_write,
    unknown_outcome,
)
from bot.tumblr.identifiers import parse_identifier
from bot.tumblr.npf import post_body
from bot.tumblr.quota import Governor, Quota
from bot.tumblr.transport import Api, Outcome, TumblrCredentials, checked_api_url
from bot.tumblr.values import as_post_id

__all__ = [
    "Account",
    "CreatedPost",
    "Governor",
    "PostLimits",
    "PostPage",
    "Quota",
    "Tumblr",
    "TumblrCredentials",
    "post_body",
]

T = TypeVar("T")

DOCUMENTED_PAGE = 20  # posts
LARGEST_PAGE = 50  # posts; more than Tumblr documents, so judge by the page you got
_READ_TRIES = 3
# The thread knows more than the clock does (whether it was connected, above all), so it may speak first.
_GRACE = 0.5  # seconds
_WRITE_STATES = frozenset(state.value for state in UploadState)

log = logging.getLogger(__name__)


class Tumblr:
    """One account's access to Tumblr. `deadline` is the total time of one call, in seconds."""

    def __init__(
        self,
        credentials: TumblrCredentials,
        *,
        api_url: str = "https://api.tumblr.com",
        deadline: float = 30.0,
        retry_wait: float = 1.0,
        governor: Governor | None = None,
        keep_back: int = 0,
        readers: int = 1,
    ) -> None:
        """Set up both ways; nothing is sent yet.

        Args:
            credentials: the four OAuth 1.0a strings; empty ones for an account that is not connected yet.
            api_url: where the API is; plain http only to loopback.
            deadline: seconds that one call may take in all.
            retry_wait: seconds before a failed read is tried again; doubled for the next, with some jitter.
            governor: the account's; one of its own if left out.
            keep_back: how many calls of each of Tumblr's windows are left for others.
            readers: how many reads may be under way at the same time, each over a connection of its own.

        Raises:
            ValueError: `api_url` is not acceptable.
        """
        url = checked_api_url(api_url)
        kept = partial(Api, api_url=url, deadline=deadline, keep_alive=True)
        fresh = partial(Api, api_url=url, deadline=deadline, keep_alive=False)
        self.governor = governor or Governor()
        self._credentials = credentials
        self._keep_back = keep_back
        self._retry_wait = retry_wait
        self._read_lines = [_Line(kept, deadline, name=f"tumblr-read-{n + 1}") for n in range(readers)]
        self._free_lines = list(self._read_lines)
        self._readers = asyncio.Semaphore(readers)
        self._writes = _Line(fresh, deadline, name="tumblr-write")

    @property
    def quota(self) -> Quota:
        """What is left, as the last answer that spoke of it said."""
        return self.governor.quota

    @property
    def connected(self) -> bool:
        """Whether there are credentials. Whether Tumblr takes them, `account` tells."""
        given = self._credentials
        return all((given.consumer_key, given.consumer_secret, given.oauth_token, given.oauth_token_secret))

    def use(self, credentials: TumblrCredentials) -> None:
        """Make every later call with these credentials. Calls that are under way end as they began.

        What the governor knows stays, whoever's key it is: another key is no way around a limit.
        """
        self._credentials = credentials

    async def account(self) -> Account:
        """The connected account: the check of the credentials, and the list of blogs it may post to.

        Raises:
            TumblrError: as every read does.
        """
        return await self._read(lambda api: api.info(), read_account)

    async def limits(self) -> PostLimits:
        """How many posts the account may still make today.

        Raises:
            TumblrError: as every read does.
        """
        return await self._read(lambda api: api.user_limits(), read_limits)

    async def blog(self, identifier: str) -> Blog:
        """Describe a blog.

        Raises:
            BlogIdentifierError: `identifier` names no blog.
            TumblrError: as every read does.
        """
        blog = parse_identifier(identifier)
        return await self._read(lambda api: api.blog_info(blog), read_blog)

    async def posts(
        self,
        identifier: str,
        *,
        before: int | None = None,
        offset: int | None = None,
        post_id: str | None = None,
        limit: int = LARGEST_PAGE,
    ) -> PostPage:
        """One page of published posts, newest first.

        Args:
            identifier: the blog, in any form `parse_identifier` takes.
            before: only posts published strictly before this time, in unix seconds; not together with `offset`.
            offset: how many of the newest posts to skip.
            post_id: only this post.
            limit: posts on the page, 1 to 50; Tumblr may give fewer.

        Raises:
            BlogIdentifierError: `identifier` names no blog.
            TumblrError: as every read does.
            ValueError: the arguments do not go together.
        """
        blog = parse_identifier(identifier)
        if before is not None and offset is not None:
            raise ValueError("Tumblr takes `before` or `offset`, not both")
        if not 1 <= limit <= LARGEST_PAGE:
            raise ValueError(f"a page has 1 to {LARGEST_PAGE} posts")
        parameters: dict[str, str | int] = {"limit": limit}
        if before is not None:
            parameters["before"] = before
        if offset is not None:
            parameters["offset"] = offset
        if post_id is not None:
            parameters["id"] = _checked_post_id(post_id)
        return await self._read(lambda api: api.posts(blog, **parameters), read_page)

    async def drafts(self, identifier: str, *, before_id: str | None = None) -> PostPage:
        """One page of the blog's drafts on Tumblr, newest first; only those older than `before_id`.

        Raises:
            BlogIdentifierError: `identifier` names no blog.
            TumblrError: as every read does.
        """
        blog = parse_identifier(identifier)
        parameters = {} if before_id is None else {"before_id": _checked_post_id(before_id)}
        return await self._read(lambda api: api.drafts(blog, **parameters), read_page)

    async def queue(self, identifier: str, *, offset: int = 0) -> PostPage:
        """One page of the blog's queue, next post first, after skipping `offset`.

        Raises:
            BlogIdentifierError: `identifier` names no blog.
            TumblrError: as every read does.
        """
        blog = parse_identifier(identifier)
        return await self._read(lambda api: api.queue(blog, offset=offset), read_page)

    async def create_post(self, identifier: str, body: Mapping[str, object]) -> CreatedPost:
        """Make a post, once. `body` comes from `post_body`.

        Cancelling the caller does not stop the request: whoever calls this shields it, and records its late outcome.
        Nothing is tried again here, not even what never left: a process that is killed while it waits for the next
        try could not say that nothing was sent. Whoever calls this writes that down before it waits.

        Raises:
            BlogIdentifierError: `identifier` names no blog.
            TumblrUnauthorized, TumblrForbidden, TumblrNotFound, TumblrRefused: Tumblr said no.
            TumblrDailyPostsReached, TumblrQueueFull: Tumblr said no, until there is room again.
            TumblrQuotaReached, TumblrBlocked: it was not made, and nothing will be until `retry_at`.
            TumblrNotSent: it never left; may be tried again.
            TumblrOutcomeUnknown: it may or may not have been made; look at the blog first.
            ValueError: `body` has no state or a wrong one (Tumblr would publish it at once), or a time without a queue.
        """
        blog = parse_identifier(identifier)
        if body.get("state") not in _WRITE_STATES:
            raise ValueError("a post is never sent without a known state")
        if "publish_on" in body and body["state"] != UploadState.QUEUE:
            raise ValueError("only what goes into the queue has a time")

        def work(api: Api) -> CreatedPost:
            return understand_write(*self._send(api, lambda api: api.create_post(blog, body)))

        created = await self._writes.run(
            self._credentials_now, work, lambda: unknown_outcome("took too long to answer")
        )
        if created.state != body["state"]:
            log.warning("Tumblr put post %s into the state %r instead of %r.", created.id, created.state, body["state"])
        return created

    async def delete_post(self, identifier: str, post_id: str) -> None:
        """Delete a post, a Tumblr draft or a queued post, once. Only for what a person has pressed a button for.

        As with `create_post`, whoever calls this shields it, and writes down the intent before and the outcome after.

        Raises:
            BlogIdentifierError: `identifier` names no blog.
            TumblrNotFound: there is no such post; whether there ever was one, looking tells.
            TumblrUnauthorized, TumblrForbidden, TumblrRefused: Tumblr said no.
            TumblrQuotaReached, TumblrBlocked: it was not deleted, and nothing will be until `retry_at`.
            TumblrNotSent: it never left; may be tried again.
            TumblrOutcomeUnknown: it may or may not have been deleted; look at the blog first.
            ValueError: `post_id` is no number.
        """
        blog = parse_identifier(identifier)
        checked_id = _checked_post_id(post_id)

        def work(api: Api) -> None:
            understand_deletion(*self._send(api, lambda api: api.delete_post(blog, checked_id)))

        await self._writes.run(self._credentials_now, work, lambda: unknown_outcome("took too long to answer", DELETED))

    async def close(self) -> None:
        """Close the connections; a write that is under way is waited for, since its outcome matters."""
        await self._writes.close()
        for line in self._read_lines:
            await line.close()

    async def _read(self, ask: Callable[[Api], Outcome], read_response: Callable[[msgspec.Raw], T | None]) -> T:
        """Ask, up to three times when Tumblr is unavailable.

        Raises:
            TumblrUnauthorized, TumblrForbidden, TumblrNotFound, TumblrRefused: final answers.
            TumblrQuotaReached, TumblrBlocked: no calls are made until `retry_at`.
            TumblrUnavailable: no usable answer, three times.
        """

        def work(api: Api) -> T:
            # In the thread: parsing a page takes a moment that the event loop should not lose.
            outcome, retry_at = self._send(api, ask)
            return understand_read(outcome, read_response, retry_at)

        async def once() -> T:
            async with self._readers:
                line = self._free_lines.pop()
                try:
                    return await line.run(self._credentials_now, work, _too_slow)
                finally:
                    self._free_lines.append(line)

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(TumblrUnavailable),
            stop=stop_after_attempt(_READ_TRIES),
            wait=wait_exponential(multiplier=self._retry_wait) + wait_random(0, self._retry_wait),
            reraise=True,
        )
        return await retrying(once)

    def _send(self, api: Api, ask: Callable[[Api], Outcome]) -> tuple[Outcome, float | None]:
        """One call, if the governor lets it through; and until when there are no others, if its answer says so.

        Raises:
            TumblrQuotaReached, TumblrBlocked: it was not sent.
        """
        self.governor.take(self._keep_back)
        outcome = ask(api)
        return outcome, self.governor.learn(outcome)

    def _credentials_now(self) -> TumblrCredentials:
        """The credentials to use now.

        Raises:
            TumblrUnauthorized: there are none.
        """
        if not self.connected:
            raise TumblrUnauthorized(
                "No Tumblr account is connected.", "Use /connect tumblr, or `python3 -m bot setup` in a terminal."
            )
        return self._credentials


class _Line:
    """One call at a time, each in a thread, over one `Api`.

    A thread cannot be stopped. Where a call does not end in time (a name that does not resolve, headers that come
    byte by byte) or its caller goes away, it is left behind with its `Api`, and the next call gets a new one.
    """

    def __init__(self, connect: Callable[[TumblrCredentials], Api], deadline: float, *, name: str) -> None:
        self._connect = connect
        self._api: Api | None = None
        self._credentials: TumblrCredentials | None = None
        """Those of `_api`."""
        self._deadline = deadline
        self._name = name
        self._turn = asyncio.Lock()
        self._closed = False

    async def run(
        self,
        credentials: Callable[[], TumblrCredentials],
        work: Callable[[Api], T],
        too_slow: Callable[[], Exception],
    ) -> T:
        """Run `work` in the thread; raise what it raises, or `too_slow()` when the deadline has passed.

        `credentials` is asked when the call's turn has come, and may refuse by raising an error.
        """
        async with self._turn:
            if self._closed:
                raise RuntimeError("the connection to Tumblr is closed")
            call = self._start(self._api_for(credentials()), work)
            try:
                async with asyncio.timeout(self._deadline + _GRACE):
                    return await asyncio.wrap_future(call)
            except TimeoutError:
                raise too_slow() from None
            finally:
                if not call.done():
                    self._drop()

    async def close(self) -> None:
        """Close the connection after the call that is under way."""
        async with self._turn:
            self._closed = True
            self._drop()

    def _api_for(self, credentials: TumblrCredentials) -> Api:
        if self._api is None or credentials != self._credentials:
            self._drop()
            self._api, self._credentials = self._connect(credentials), credentials
        return self._api

    def _drop(self) -> None:
        if self._api is not None:
            self._api.request.close()
            self._api = None

    def _start(self, api: Api, work: Callable[[Api], T]) -> Future[T]:
        """Begin `work` in a daemon thread, which does not keep the process from ending."""
        call: Future[T] = Future()
        call.set_running_or_notify_cancel()

        def run() -> None:
            try:
                result = work(api)
            except BaseException as error:  # noqa: BLE001 - handed to the caller, who is in another thread
                call.set_exception(error)
            else:
                call.set_result(result)

        threading.Thread(target=run, name=self._name, daemon=True).start()
        return call


def _checked_post_id(text: str) -> str:
    post_id = as_post_id(text)
    if post_id is None:
        raise ValueError("the id of a post is a number")
    return post_id


def _too_slow() -> TumblrUnavailable:
    return TumblrUnavailable("Tumblr took too long to answer.", "Try again in a few minutes.")
