"""A stand-in for Tumblr's API on loopback: blogs in memory, real HTTP, signatures checked, nothing ever sent out.

It keeps to what Tumblr's API notes say of the real one, traps included: strict cursors, a `state` that fails open,
counts that are estimates, error bodies of its own kind. Where the notes are silent it takes the harsher reading.

`python -m bot.demo.tumblr_service --port 8801 --state tumblr.json --sample` runs it in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from bot.demo.faults import Faults
from bot.demo.sample_blog import BLOG_DESCRIPTION, BLOG_NAME, BLOG_TITLE, BLOG_UUID, load_posts
from bot.demo.tumblr_blog import (
    DAILY_POSTS_REACHED,
    DASHBOARD_ONLY,
    INVALID_FORMAT,
    QUEUE_FULL,
    Npf,
    Refused,
    StandInBlog,
    complete_post,
    list_posts,
    queue_fields,
    read_new_post,
    reblog_fields,
    split_tags,
)
from bot.demo.tumblr_oauth import OAuthPages
from bot.demo.tumblr_signature import Credentials, SignatureCheck
from bot.demo.tumblr_wire import (
    FORM,
    avatar_picture,
    blog_object,
    envelope,
    error_answer,
    next_link,
    posts_page,
    read_body,
    read_limit,
    read_listing,
    read_number,
    refuse_legacy,
    rendered,
)

MINUTE, HOUR, DAY = 60, 3600, 86_400
LARGEST_REQUEST = 16 * 2**20
KEPT_REQUESTS = 1000

# Ids like Tumblr's: they grow with time, lie beyond 2**53, and are odd, so that a double cannot hold them.
ID_EPOCH = 1_000_000_000_000
ID_STEP = 2**20
FIRST_ID = 2**59 + 1

SAID = {
    "published": "Posted to",
    "draft": "Saved to drafts of",
    "queued": "Added to the queue of",
    "private": "Kept on",
}


@dataclass
class LoggedRequest:
    """A request as it arrived. `body` is what its JSON or form says, None without one.

    `status` is what the stand-in made of it, whatever a fault did to the answer; None if a fault came first.
    """

    method: str
    path: str
    query: dict[str, str]
    body: object = None
    status: int | None = None


LOGGED: Final = web.RequestKey("logged", LoggedRequest)


@dataclass
class Saved:
    """The state file."""

    blogs: list[StandInBlog]
    requests: list[LoggedRequest]
    last_id: int
    started_at: float
    windows: tuple[int, int, int]
    used: tuple[int, int, int, int]
    """Calls in this minute, hour and day; posts published today."""


@dataclass(kw_only=True, eq=False)
class TumblrService:
    """The stand-in server. Every field may be set by a test, before it starts or while it runs.

    Limits hold for windows that start with the service: `minute_limit` for all calls, the others for signed ones.
    With a `save_path` the state is read from that file and written back after every request and every helper.
    `clock` gives unix seconds; signatures are always held against the real time.
    """

    save_path: Path | None = None
    clock: Callable[[], float] = time.time
    page_limit: int = 50
    """The most posts on a page: Tumblr documents 20, and answers 50."""
    answer_seconds: float = 0.0
    """How long each answer takes, so that a demo can be followed by eye."""
    minute_limit: int = 300
    minute_used: int = 0
    hour_limit: int = 1000
    hour_used: int = 0
    day_limit: int = 5000
    day_used: int = 0
    daily_post_limit: int = 250
    posts_today: int = 0
    queue_limit: int = 1000
    tokens_revoked: bool = False
    faults: Faults = field(default_factory=Faults)
    blogs: dict[str, StandInBlog] = field(default_factory=dict[str, StandInBlog])
    """By name."""
    requests: deque[LoggedRequest] = field(default_factory=lambda: deque[LoggedRequest](maxlen=KEPT_REQUESTS))

    def __post_init__(self) -> None:
        self._signatures = SignatureCheck(
            Credentials(
                "stand-in-consumer-key",
                "stand-in-consumer-secret",
                "stand-in-oauth-token",
                "stand-in-oauth-token-secret",
            )
        )
        self._oauth = OAuthPages(self._signatures)
        self._runner: web.AppRunner | None = None
        self._last_id = FIRST_ID
        self._started_at = self.clock()
        self._windows = (0, 0, 0)
        if self.save_path is not None and self.save_path.exists():
            self._restore(msgspec.json.decode(self.save_path.read_bytes(), type=Saved))

    # --- running ----------------------------------------------------------------------------------------------

    async def start(self, port: int = 0) -> str:
        """Listen on 127.0.0.1, on a free port if 0, and return the base URL."""
        app = web.Application(
            middlewares=[self._log, self.faults.middleware, self._guard], client_max_size=LARGEST_REQUEST
        )
        app.add_routes([
            web.get("/v2/user/info", self._user_info),
            web.get("/v2/user/limits", self._user_limits),
            web.get("/v2/blog/{blog}/info", self._blog_info),
            web.get("/v2/blog/{blog}/avatar", self._avatar),
            web.get("/v2/blog/{blog}/avatar/{size}", self._avatar),
            web.get("/v2/blog/{blog}/posts", self._read_posts),
            web.post("/v2/blog/{blog}/posts", self._create_post),
            web.get("/v2/blog/{blog}/posts/draft", self._read_drafts),
            web.get("/v2/blog/{blog}/posts/queue", self._read_queue),
            web.post("/v2/blog/{blog}/post/delete", self._delete_post),
            web.post("/v2/blog/{blog}/post", refuse_legacy),
            web.post("/v2/blog/{blog}/post/edit", refuse_legacy),
            web.post("/v2/blog/{blog}/post/reblog", refuse_legacy),
            web.get("/stand-in/avatar.png", avatar_picture),
            *self._oauth.routes,
        ])  # fmt: skip
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        return self.base_url

    async def stop(self) -> None:
        """Close every connection and the port. The blogs stay as they are; `start` may follow."""
        self.faults.release()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def base_url(self) -> str:
        """Where it listens, once it does."""
        if self._runner is None:
            raise RuntimeError("The stand-in for Tumblr is not running.")
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def credentials(self) -> Credentials:
        """The consumer key, consumer secret, token and token secret that it accepts."""
        return self._signatures.credentials

    def authorize(self, oauth_token: str, *, allow: bool = True) -> str:
        """Do what a person does at the authorise link: press *Allow*, or *Deny*. Returns where the browser is led to.

        Raises:
            KeyError: the link is unknown or was used before.
        """
        return self._oauth.authorize(self.base_url, oauth_token, allow=allow)

    # --- what tests do to the blogs ---------------------------------------------------------------------------

    def add_blog(self, name: str, *, title: str = "", uuid: str | None = None, owned: bool = True) -> StandInBlog:
        """Add an empty blog. The first owned one is the account's primary blog."""
        blog = StandInBlog(name=name, title=title, uuid=uuid or f"t:{secrets.token_urlsafe(16)}", owned=owned)
        self.blogs[name] = blog
        self.save()
        return blog

    def add_post(self, blog: StandInBlog, post: Npf) -> Npf:
        """File a post where its `state` belongs, and return it with every field that was missing."""
        complete = complete_post(blog, post, self._next_id(), int(self.clock()))
        self._last_id = max(self._last_id, complete["id"])
        blog.put(complete)
        self.save()
        return complete

    def edit_post(self, blog: StandInBlog, post_id: int | str, changes: Npf) -> Npf:
        """Change fields of a post, its place in the blog included when its `timestamp` or `state` changes."""
        edited = complete_post(blog, self._take(blog, post_id) | changes, 0, 0)
        blog.put(edited)
        self.save()
        return edited

    def delete_post(self, blog: StandInBlog, post_id: int | str) -> None:
        """Delete a post, a draft or a queued post."""
        self._take(blog, post_id)
        self.save()

    def publish_draft(self, blog: StandInBlog, post_id: int | str) -> Npf:
        """Publish a draft or a queued post as its owner does: it gets a new id, `genesis_post_id` keeps the old one."""
        draft = self._take(blog, post_id)
        gone = {"id", "id_string", "post_url", "timestamp", "queued_state", "scheduled_publish_time", "publish_on"}
        kept = {key: value for key, value in draft.items() if key not in gone}
        return self.add_post(blog, kept | {"state": "published", "genesis_post_id": draft["id_string"]})

    def _take(self, blog: StandInBlog, post_id: int | str) -> Npf:
        post = blog.take(post_id)
        if post is None:
            raise KeyError(post_id)
        return post

    def _next_id(self) -> int:
        from_time = (int(self.clock() * 1000) - ID_EPOCH) * ID_STEP + 1
        self._last_id = max(self._last_id + ID_STEP, from_time) | 1
        return self._last_id

    # --- the state file ---------------------------------------------------------------------------------------

    def save(self) -> None:
        """Rewrite the state file, if there is one: a reader finds the old state or the new one, nothing between.

        On purpose in the event loop: what was answered must be in the file before anybody can act upon it.
        """
        if self.save_path is None:
            return
        used = (self.minute_used, self.hour_used, self.day_used, self.posts_today)
        blogs, requests = list(self.blogs.values()), list(self.requests)
        state = Saved(blogs, requests, self._last_id, self._started_at, self._windows, used)
        new = self.save_path.with_name(self.save_path.name + ".new")
        new.write_bytes(msgspec.json.encode(state))
        new.replace(self.save_path)

    def _restore(self, saved: Saved) -> None:
        self.blogs = {blog.name: blog for blog in saved.blogs}
        self.requests.extend(saved.requests)
        self._last_id, self._started_at, self._windows = saved.last_id, saved.started_at, saved.windows
        self.minute_used, self.hour_used, self.day_used, self.posts_today = saved.used

    # --- what happens around every request --------------------------------------------------------------------

    @web.middleware
    async def _log(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        logged = LoggedRequest(request.method, request.path, dict(request.query), await read_body(request))
        request[LOGGED] = logged
        self.requests.append(logged)
        try:
            return await handler(request)
        finally:
            if logged.status is None:  # a fault came first, so that nobody else has saved it
                self.save()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await self._answer(request, handler)
        if request.path.startswith("/v2/"):
            answer.headers.update(self._quota_headers())
        request[LOGGED].status = answer.status
        self.save()
        return answer

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/v2/"):
            return await handler(request)
        await asyncio.sleep(self.answer_seconds)
        self._roll_windows()
        self.minute_used += 1
        if self.minute_used > self.minute_limit:  # per address: the key's quota may have plenty left
            return envelope(429, [])
        if self.tokens_revoked or not await self._is_signed(request):
            return error_answer(Refused(401, "Unauthorized", code=1016))
        if self.hour_used >= self.hour_limit or self.day_used >= self.day_limit:
            return envelope(429, [])
        self.hour_used += 1
        self.day_used += 1
        try:
            return await handler(request)
        except Refused as refused:
            return error_answer(refused)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            return error_answer(Refused(404, "Not Found"))

    async def _is_signed(self, request: web.Request) -> bool:
        url = f"http://{request.host}{request.raw_path}"
        form = await request.text() if request.content_type == FORM else ""
        return self._signatures.accepts(request.method, url, request.headers, form)

    def _roll_windows(self) -> None:
        age = self.clock() - self._started_at
        minute, hour, day = windows = (int(age // MINUTE), int(age // HOUR), int(age // DAY))
        if minute != self._windows[0]:
            self.minute_used = 0
        if hour != self._windows[1]:
            self.hour_used = 0
        if day != self._windows[2]:
            self.day_used = self.posts_today = 0
        self._windows = windows

    def _seconds_left(self, window: int) -> int:
        """Until the present window ends: at least one second."""
        return window - int(self.clock() - self._started_at) % window

    def _quota_headers(self) -> dict[str, str]:
        return {
            "X-Ratelimit-Perhour-Limit": str(self.hour_limit),
            "X-Ratelimit-Perhour-Remaining": str(max(0, self.hour_limit - self.hour_used)),
            "X-Ratelimit-Perhour-Reset": str(self._seconds_left(HOUR)),
            "X-Ratelimit-Perday-Limit": str(self.day_limit),
            "X-Ratelimit-Perday-Remaining": str(max(0, self.day_limit - self.day_used)),
            "X-Ratelimit-Perday-Reset": str(self._seconds_left(DAY)),
        }

    # --- the account ------------------------------------------------------------------------------------------

    async def _user_info(self, request: web.Request) -> web.Response:
        owned = [blog for blog in self.blogs.values() if blog.owned]
        blogs = [
            blog_object(blog, request) | {"primary": blog is owned[0], "followers": 0, "tweet": "N", "type": "public"}
            for blog in owned
        ]
        name = owned[0].name if owned else "stand-in"
        user = {"name": name, "likes": 0, "following": 0, "default_post_format": "html", "blogs": blogs}
        return envelope(200, {"user": user})

    async def _user_limits(self, request: web.Request) -> web.Response:
        del request
        reset_at = int(self.clock()) + self._seconds_left(DAY)
        rows = {
            "blogs": ("the number of secondary blogs you can create per day", 10, 0),
            "follows": ("the number of blogs you can follow per day", 200, 0),
            "likes": ("the number of posts you can like per day", 1000, 0),
            "photos": ("the number of photos you can upload per day", 250, 0),
            "posts": ("the number of posts you can make per day", self.daily_post_limit, self.posts_today),
            "videos": ("the number of videos you can upload per day", 20, 0),
            "video_seconds": ("the number of seconds of video you can upload per day", 3600, 0),
        }
        user = {
            name: {"description": text, "limit": limit, "remaining": max(0, limit - used), "reset_at": reset_at}
            for name, (text, limit, used) in rows.items()
        }
        return envelope(200, {"user": user})

    # --- a blog -----------------------------------------------------------------------------------------------

    def _blog(self, request: web.Request, *, owned: bool = False) -> StandInBlog:
        """The blog that the path names. Raises Refused if there is none, or if it must be `owned` and is not."""
        identifier = request.match_info["blog"]
        blog = next((blog for blog in self.blogs.values() if blog.answers_to(identifier)), None)
        if blog is None:
            raise Refused(404, "Not Found")
        if blog.dashboard_only and not blog.owned:
            raise Refused(404, "Not Found", code=DASHBOARD_ONLY)
        if owned and not blog.owned:
            raise Refused(403, "Forbidden")
        return blog

    async def _blog_info(self, request: web.Request) -> web.Response:
        return envelope(200, {"blog": blog_object(self._blog(request), request)})

    async def _avatar(self, request: web.Request) -> web.Response:
        self._blog(request)
        url = f"http://{request.host}/stand-in/avatar.png"
        answer = envelope(301, {"avatar_url": url})
        answer.headers["Location"] = url
        return answer

    async def _read_posts(self, request: web.Request) -> web.Response:
        blog = self._blog(request)
        posts = [post for post in blog.posts if post["state"] == "published"] if not blog.owned else blog.posts
        if "id" in request.query:
            found = [post for post in posts if post["id_string"] == request.query["id"]]
            if not found:
                raise Refused(404, "Not Found")
            return envelope(200, posts_page(blog, found, 1, request))
        wanted = read_listing(request.query, self.page_limit)
        page = list_posts(posts, wanted)
        total = blog.estimated_posts
        response = posts_page(blog, page, total, request)
        if len(page) == wanted.limit:
            # Faithful to its faults: the strict cursor skips the rest of a second, and with sort=asc it turns back.
            query = dict(request.query) | {"before": str(page[-1]["timestamp"])}
            query.pop("offset", None)
            query.pop("after", None)
            response["_links"] = next_link(request.path, query)
        return envelope(200, response)

    async def _read_drafts(self, request: web.Request) -> web.Response:
        blog = self._blog(request, owned=True)
        before_id = read_number(request.query, "before_id") or None  # 0, its default, means none
        drafts = [post for post in blog.drafts if before_id is None or post["id"] < before_id]
        page = drafts[: read_limit(request.query, self.page_limit)]
        response: Npf = {"posts": rendered(page, request)}
        if len(page) < len(drafts):
            response["_links"] = next_link(request.path, dict(request.query) | {"before_id": page[-1]["id_string"]})
        return envelope(200, response)

    async def _read_queue(self, request: web.Request) -> web.Response:
        blog = self._blog(request, owned=True)
        offset = read_number(request.query, "offset") or 0
        page = blog.queue[offset : offset + read_limit(request.query, self.page_limit)]
        return envelope(200, {"posts": rendered(page, request)})

    async def _create_post(self, request: web.Request) -> web.Response:
        blog = self._blog(request, owned=True)
        if request.content_type != "application/json":
            raise Refused(400, "The body must be JSON", code=INVALID_FORMAT)
        new = read_new_post(await request.read())
        state = new.read_state
        fields: Npf = {"content": new.content, "layout": new.layout, "tags": split_tags(new.tags), "state": state}
        if new.is_reblog:
            parents = (other for other in self.blogs.values() if other.uuid == new.parent_tumblelog_uuid)
            fields |= reblog_fields(new, next(parents, None))
        if state == "queued":
            if len(blog.queue) >= self.queue_limit:
                raise Refused(403, "Your queue is full", code=QUEUE_FULL)
            fields |= queue_fields(new)
        if state == "published":
            if self.posts_today >= self.daily_post_limit:
                raise Refused(403, "You have reached your daily post limit", code=DAILY_POSTS_REACHED)
            self.posts_today += 1
        post = self.add_post(blog, fields)
        text = f"{SAID[state]} {blog.name}"
        return envelope(201, {"id": post["id_string"], "state": state, "display_text": text})

    async def _delete_post(self, request: web.Request) -> web.Response:
        blog = self._blog(request, owned=True)
        body = request[LOGGED].body
        post_id = str(cast("Npf", body).get("id", "")) if isinstance(body, dict) else ""
        if blog.take(post_id) is None:
            raise Refused(404, "Not Found")
        return envelope(200, {"id": post_id})


# --- in a process of its own ----------------------------------------------------------------------------------


def add_sample_blog(service: TumblrService) -> StandInBlog:
    """Put the sample blog on the stand-in, unless it is there already (a state file brings it back)."""
    if BLOG_NAME in service.blogs:
        return service.blogs[BLOG_NAME]
    blog = service.add_blog(BLOG_NAME, title=BLOG_TITLE, uuid=BLOG_UUID)
    blog.description = BLOG_DESCRIPTION
    for post in load_posts():
        service.add_post(blog, post)
    return blog


async def _serve(port: int, state: Path, *, sample: bool) -> None:
    service = TumblrService(save_path=state)
    if sample:
        add_sample_blog(service)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    print(await service.start(port), flush=True)
    await stopped.wait()
    await service.stop()


def main() -> None:
    """Run the stand-in until it is interrupted; the one line it prints, when it is ready, is its address."""
    parser = argparse.ArgumentParser(prog="python -m bot.demo.tumblr_service", description="A stand-in for Tumblr.")
    parser.add_argument("--port", type=int, default=0, help="the port on 127.0.0.1; a free one if left out")
    parser.add_argument("--state", type=Path, required=True, help="the file that keeps its state")
    parser.add_argument("--sample", action="store_true", help="with the sample blog")
    options = parser.parse_args()
    asyncio.run(_serve(options.port, options.state, sample=options.sample))


if __name__ == "__main__":
    main()
