"""The Tumblr stand-in: each of Tumblr's rules once, through signed HTTP."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import oauthlib.oauth1
import pytest
import pytumblr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from requests_oauthlib import OAuth1Session
from yarl import URL

from bot.demo.faults import Fault
from bot.demo.sample_blog import BLOG_NAME, load_posts
from bot.demo.tumblr_service import KEPT_REQUESTS, TumblrService, add_sample_blog

NOW = 1_700_000_000.0


def text(*paragraphs):
    return [{"type": "text", "text": paragraph} for paragraph in paragraphs]


class Caller:
    """Calls the stand-in as pytumblr does: requests with OAuth1, in a thread."""

    def __init__(self, service: TumblrService) -> None:
        self.service = service
        self.session = OAuth1Session(*service.credentials())
        self.session.trust_env = False

    async def get(self, path, **query):
        return await asyncio.to_thread(
            self.session.get, self.service.base_url + path, params=query, allow_redirects=False, timeout=20
        )

    async def read(self, path, **query):
        answer = await self.get(path, npf="true", **query)
        assert answer.status_code == 200, answer.text
        return answer.json()["response"]

    async def ids(self, path="/v2/blog/keeper/posts", **query):
        return [post["id_string"] for post in (await self.read(path, **query))["posts"]]

    async def post(self, path, **kwargs):
        return await asyncio.to_thread(self.session.post, self.service.base_url + path, timeout=20, **kwargs)

    async def create(self, blog="keeper", **body):
        return await self.post(f"/v2/blog/{blog}/posts", json=body)


@pytest.fixture
async def service() -> AsyncIterator[TumblrService]:
    service = TumblrService(clock=lambda: NOW)
    service.add_blog("keeper", title="The keeper", uuid="t:abcDEF_-1")
    await service.start()
    yield service
    await service.stop()


@pytest.fixture
def blog(service):
    return service.blogs["keeper"]


@pytest.fixture
def caller(service):
    caller = Caller(service)
    yield caller
    caller.session.close()


def add(service, blog, *times, **fields):
    """Posts at these times; returns their ids in the same order."""
    return [
        service.add_post(blog, {"timestamp": at, "content": text(f"at {at}")} | fields)["id_string"] for at in times
    ]


def code(answer):
    return answer.status_code, answer.json()["errors"][0]["code"]


# --- signatures -----------------------------------------------------------------------------------------------


async def test_the_real_pytumblr_is_understood(service, blog):
    add(service, blog, 10)
    client = pytumblr.TumblrRestClient(*service.credentials(), host=service.base_url)
    info = await asyncio.to_thread(client.info)
    posts = await asyncio.to_thread(client.posts, "keeper", npf="true", tag="", limit=5)
    assert info["user"]["blogs"][0]["name"] == "keeper"
    assert posts["posts"] == []  # the empty tag that nobody used
    deleted = await asyncio.to_thread(client.delete_post, "keeper", blog.posts[0]["id"])  # a signed form
    assert "id" in deleted
    assert blog.posts == []


@pytest.mark.parametrize("wrong", range(4))
async def test_every_credential_is_checked(service, wrong):
    credentials = list(service.credentials())
    credentials[wrong] += "x"
    with OAuth1Session(*credentials) as session:
        answer = await asyncio.to_thread(session.get, service.base_url + "/v2/user/info", timeout=20)
    assert code(answer) == (401, 1016)
    assert answer.json()["meta"] == {"status": 401, "msg": "Unauthorized"}


async def test_an_unsigned_request_is_refused(service):
    async with aiohttp.ClientSession() as session, session.get(service.base_url + "/v2/user/info") as answer:
        assert answer.status == 401


def sign(service, url, method="GET"):
    key, secret, token, token_secret = service.credentials()
    return oauthlib.oauth1.Client(key, secret, token, token_secret).sign(url, method)


async def test_a_nonce_serves_once(service):
    url, headers, _ = sign(service, service.base_url + "/v2/user/info")
    async with aiohttp.ClientSession() as session:
        statuses = []
        for _ in range(2):
            async with session.get(url, headers=headers) as answer:
                statuses.append(answer.status)
    assert statuses == [200, 401]


async def test_a_signature_holds_for_its_query_only(service):
    url, headers, _ = sign(service, service.base_url + "/v2/blog/keeper/posts?limit=2")
    async with aiohttp.ClientSession() as session, session.get(url.replace("=2", "=3"), headers=headers) as answer:
        assert answer.status == 401


async def test_a_query_that_nobody_can_sign_is_refused(service):
    _, headers, _ = sign(service, service.base_url + "/v2/user/info")
    async with (
        aiohttp.ClientSession() as session,
        session.get(URL(service.base_url + "/v2/user/info?a=%zz^", encoded=True), headers=headers) as answer,
    ):
        assert answer.status == 401


async def test_revoked_tokens(service, caller):
    service.tokens_revoked = True
    assert code(await caller.get("/v2/user/info")) == (401, 1016)


# --- blogs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "identifier",
    ["keeper", "Keeper", "keeper.tumblr.com", "t:abcDEF_-1", "t%3AabcDEF_-1", "log.example.org"],
)
async def test_every_identifier_names_the_blog(service, blog, caller, identifier):
    blog.custom_domain = "log.example.org"
    found = (await caller.read(f"/v2/blog/{identifier}/info"))["blog"]
    assert (found["name"], found["uuid"], found["title"]) == ("keeper", "t:abcDEF_-1", "The keeper")


@pytest.mark.parametrize("identifier", ["nobody", "t:abcdef_-1", "keeper.example.org"])
async def test_an_unknown_blog(caller, identifier):
    answer = await caller.get(f"/v2/blog/{identifier}/posts")
    assert code(answer) == (404, 0)
    assert answer.json()["meta"]["msg"] == "Not Found"


async def test_an_unknown_path(caller):
    assert code(await caller.get("/v2/nothing")) == (404, 0)


async def test_counts_are_estimates(service, blog, caller):
    add(service, blog, 10, 20)
    blog.post_count_error = 5
    found = (await caller.read("/v2/blog/keeper/info"))["blog"]
    assert (found["posts"], found["updated"]) == (7, 20)
    assert (await caller.read("/v2/blog/keeper/posts"))["total_posts"] == 7


async def test_a_blog_for_the_dashboard_only(service, caller):
    service.add_blog("shy", owned=False).dashboard_only = True
    assert code(await caller.get("/v2/blog/shy/posts")) == (404, 4012)


async def test_the_account_has_the_owned_blogs(service, caller):
    service.add_blog("second")
    service.add_blog("stranger", owned=False)
    user = (await caller.read("/v2/user/info"))["user"]
    assert user["name"] == "keeper"
    assert [(blog["name"], blog["primary"]) for blog in user["blogs"]] == [("keeper", True), ("second", False)]


async def test_the_avatar_is_a_redirect_to_a_picture(caller):
    answer = await caller.get("/v2/blog/keeper/avatar/64")
    assert answer.status_code == 301
    assert answer.headers["Location"] == answer.json()["response"]["avatar_url"]
    async with aiohttp.ClientSession() as session, session.get(answer.headers["Location"]) as picture:
        assert (picture.status, picture.content_type) == (200, "image/png")


@pytest.mark.parametrize("path", ["/v2/blog/stranger/posts/draft", "/v2/blog/stranger/posts/queue"])
async def test_only_the_owner_sees_drafts_and_queue(service, caller, path):
    service.add_blog("stranger", owned=False)
    assert code(await caller.get(path)) == (403, 0)


# --- reading posts --------------------------------------------------------------------------------------------


async def test_a_post_has_the_shape_of_tumblrs(service, blog, caller):
    service.add_post(blog, {"content": text("Tea & fog"), "tags": ["fog"], "timestamp": 1_600_000_000})
    (post,) = (await caller.read("/v2/blog/keeper/posts"))["posts"]
    assert post["id"] > 2**53
    assert int(float(post["id"])) != post["id"]
    assert post["id_string"] == str(post["id"])
    assert (post["blog"]["uuid"], post["blog_name"]) == ("t:abcDEF_-1", "keeper")
    assert (post["state"], post["timestamp"], post["date"]) == ("published", 1_600_000_000, "2020-09-13 12:26:40 GMT")
    assert (post["content"], post["layout"], post["trail"], post["tags"]) == (text("Tea & fog"), [], [], ["fog"])
    assert post["post_url"].startswith(f"https://keeper.tumblr.com/post/{post['id']}")
    assert post["reblog_key"]


async def test_without_npf_a_post_is_html(service, blog, caller):
    add(service, blog, 10)
    (post,) = (await caller.get("/v2/blog/keeper/posts")).json()["response"]["posts"]
    assert (post["type"], post["body"]) == ("text", "<p>at 10</p>")
    assert "content" not in post


async def test_newest_first_or_oldest_first(service, blog, caller):
    at20, at30, at10 = add(service, blog, 20, 30, 10)
    assert await caller.ids() == [at30, at20, at10]
    assert await caller.ids(sort="asc") == [at10, at20, at30]
    assert await caller.ids(sort="asc", after=10, limit=1) == [at20]


async def test_cursors_are_strict(service, blog, caller):
    _, at20, at30 = add(service, blog, 10, 20, 30)
    assert await caller.ids(before=30, limit=1) == [at20]
    assert await caller.ids(after=20) == [at30]


async def test_offset(service, blog, caller):
    ids = add(service, blog, 50, 40, 30, 20, 10)
    assert await caller.ids(offset=2, limit=2) == ids[2:4]
    assert await caller.ids(offset=1, limit=2, sort="asc") == [ids[3], ids[2]]


@pytest.mark.parametrize(
    "query", [{"before": 1, "offset": 1}, {"before": 2, "after": 1}, {"before": "x"}, {"limit": "-1"}]
)
async def test_queries_that_contradict_themselves(caller, query):
    assert code(await caller.get("/v2/blog/keeper/posts", **query)) == (400, 0)


@pytest.mark.parametrize(
    ("asked", "page_limit", "got"), [(None, 50, 20), (50, 50, 50), (60, 50, 50), (50, 20, 20), (0, 50, 1)]
)
async def test_the_limit_is_clamped(service, blog, caller, asked, page_limit, got):
    service.page_limit = page_limit
    add(service, blog, *range(60))
    assert len(await caller.ids(**({} if asked is None else {"limit": asked}))) == got


async def test_a_pinned_post_is_first_on_the_first_page_only(service, blog, caller):
    ids = add(service, blog, 50, 40, 30, 20)
    (pinned,) = add(service, blog, 10, is_pinned=True)
    assert await caller.ids(limit=3) == [pinned, *ids[:2]]
    assert await caller.ids() == [pinned, *ids]
    assert await caller.ids(before=100) == [*ids, pinned]
    assert await caller.ids(offset=3) == [ids[3], pinned]
    assert await caller.ids(sort="asc") == [pinned, *reversed(ids)]


async def test_one_post_by_id(service, blog, caller):
    first, _ = add(service, blog, 10, 20)
    assert await caller.ids(id=first) == [first]
    assert code(await caller.get("/v2/blog/keeper/posts", id="123")) == (404, 0)


async def test_by_tag(service, blog, caller):
    (fog,) = add(service, blog, 10, tags=["Fog", "tea"])
    add(service, blog, 20, tags=["tea"])
    assert await caller.ids(tag="fog") == [fog]


async def test_private_posts_are_for_the_owner(service, blog, caller):
    (private,) = add(service, blog, 10, state="private")
    assert await caller.ids() == [private]
    blog.owned = False
    assert await caller.ids() == []


async def test_the_next_link_is_a_strict_cursor(service, blog, caller):
    add(service, blog, 30, 20, 20, 10)
    response = await caller.read("/v2/blog/keeper/posts", limit=2)
    assert response["_links"]["next"]["query_params"]["before"] == "20"
    assert "_links" not in await caller.read("/v2/blog/keeper/posts", limit=5)


async def test_drafts_page_by_id(service, blog, caller):
    ids = add(service, blog, *range(25), state="draft")[::-1]
    assert await caller.ids() == []
    first = await caller.ids("/v2/blog/keeper/posts/draft")
    assert first == ids[:20]
    assert await caller.ids("/v2/blog/keeper/posts/draft", before_id=first[-1]) == ids[20:]
    assert await caller.ids("/v2/blog/keeper/posts/draft", before_id=0) == ids[:20]


async def test_the_queue_is_in_order(service, blog, caller):
    ids = add(service, blog, 30, 10, 20, state="queued")
    assert await caller.ids("/v2/blog/keeper/posts/queue") == ids
    assert await caller.ids("/v2/blog/keeper/posts/queue", offset=1, limit=1) == ids[1:2]


@example(times=[101, 100, 102], page_limit=2, pinned=0)  # overlap and pinned post fill the second page
@settings(max_examples=40, deadline=None)
@given(
    times=st.lists(st.integers(100, 104) | st.integers(100, 130), max_size=40),
    page_limit=st.integers(2, 7),
    pinned=st.none() | st.integers(0, 39),
)
def test_paging_with_overlap_loses_nothing(times, page_limit, pinned):
    """`before = last + 1` and dedupe by id; `offset` where a whole page lies in one second."""

    async def run():
        service = TumblrService(clock=lambda: NOW, page_limit=page_limit)
        blog = service.add_blog("keeper")
        for index, at in enumerate(times):
            service.add_post(blog, {"timestamp": at, "is_pinned": index == pinned})
        await service.start()
        try:
            async with aiohttp.ClientSession() as session:
                return {post["id"] for post in blog.posts}, await download(service, session)
        finally:
            await service.stop()

    expected, got = asyncio.run(run())
    assert got == expected


async def download(service, session):
    seen = {}

    async def page(query):
        url, headers, _ = sign(service, f"{service.base_url}/v2/blog/keeper/posts?npf=true&limit=50{query}")
        async with session.get(url, headers=headers) as answer:
            posts = (await answer.json())["response"]["posts"]
        new = any(post["id"] not in seen for post in posts)
        seen.update((post["id"], post["timestamp"]) for post in posts)
        return posts, new

    first, _ = await page("")
    # On the first page a pinned post is out of order, so it says nothing about how far the download is.
    last = min((post["timestamp"] for post in first if not post.get("is_pinned")), default=0)
    while True:
        # "Nothing new" is no reason to stop: the overlap and the pinned post in its own place may fill a page.
        posts, _ = await page(f"&before={last + 1}")
        if posts and posts[-1]["timestamp"] == last:  # a page, or the end of the blog, inside one second
            new = True
            while new:
                offset = sum(at >= last for at in seen.values()) - 1  # one of overlap
                _, new = await page(f"&offset={offset}")
            posts, _ = await page(f"&before={last}")
        if not posts:
            return set(seen)
        last = posts[-1]["timestamp"]


# --- posting --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"state": "published"}, "published"),
        ({"state": "draft"}, "draft"),
        ({"state": "queue"}, "queued"),
        ({"state": "private"}, "private"),
        ({}, "published"),
        ({"state": "queued"}, "published"),
        ({"state": "drafts"}, "published"),
        ({"state": None}, "published"),
    ],
)
async def test_the_state_fails_open(blog, caller, written, read):
    answer = await caller.create(content=text("hello"), **written)
    assert answer.status_code == 201
    response = answer.json()["response"]
    assert (response["state"], type(response["id"])) == (read, str)
    assert response["display_text"]
    where = {"published": blog.posts, "private": blog.posts, "draft": blog.drafts, "queued": blog.queue}[read]
    assert [(post["id_string"], post["state"]) for post in where] == [(response["id"], read)]


async def test_a_created_post_reads_like_any_other(caller):
    created = await caller.create(content=text("one", "", " \n", "two"), tags="fog, #tea,,late", state="published")
    (post,) = (await caller.read("/v2/blog/keeper/posts"))["posts"]
    assert post["id_string"] == created.json()["response"]["id"]
    assert (post["content"], post["tags"]) == (text("one", "two"), ["fog", "tea", "late"])
    assert post["timestamp"] == int(NOW)


async def test_a_scheduled_post(caller):
    created = await caller.create(content=text("later"), state="queue", publish_on="2030-01-01T00:00:00Z")
    (post,) = (await caller.read("/v2/blog/keeper/posts/queue"))["posts"]
    assert post["id_string"] == created.json()["response"]["id"]
    assert (post["queued_state"], post["scheduled_publish_time"]) == ("scheduled", 1_893_456_000)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": []},
        {"content": text(" ")},
        {"content": "text"},
        {"content": [{"type": "text"}]},
        {"content": [{"type": "song"}]},
        {"content": text("x" * 4097)},
        {"content": text(*["x"] * 1001)},
        {"content": text(*["x" * 4000] * 300)},
        {"content": text("x"), "tags": ["a"]},
        {"content": text("x"), "tags": ",".join(map(str, range(31)))},
        {"content": text("x"), "tags": "x" * 141},
        {"content": text("x"), "state": "queue", "publish_on": "soon"},
    ],
)
async def test_bad_posts_are_8001(blog, caller, body):
    assert code(await caller.create(**body)) == (400, 8001)
    assert blog.posts == blog.queue == []


async def test_the_largest_post_is_taken(blog, caller):
    content = text("\U0001f98a" * 4096, *["x"] * 999)
    tags = ",".join(str(number).rjust(140, "x") for number in range(30))
    assert (await caller.create(content=content, tags=tags, state="draft")).status_code == 201
    assert (len(blog.drafts[0]["content"]), len(blog.drafts[0]["tags"])) == (1000, 30)


async def test_only_json_is_a_post(caller):
    path = "/v2/blog/keeper/posts"
    good = json.dumps({"content": text("x")}).encode()
    assert code(await caller.post(path, data=good, headers={"Content-Type": "text/plain"})) == (400, 8001)
    assert code(await caller.post(path, data={"content": "x"})) == (400, 8001)
    assert code(await caller.post(path, data=b"{", headers={"Content-Type": "application/json"})) == (400, 8001)


async def test_nobody_posts_to_a_strangers_blog(service, caller):
    stranger = service.add_blog("stranger", owned=False)
    assert code(await caller.create("stranger", content=text("x"), state="draft")) == (403, 0)
    assert stranger.drafts == []


async def test_posts_of_a_day_are_limited(service, caller):
    service.daily_post_limit = 2
    for _ in range(2):
        assert (await caller.create(content=text("x"), state="published")).status_code == 201
    assert code(await caller.create(content=text("x"), state="published")) == (403, 8023)
    assert (await caller.create(content=text("x"), state="draft")).status_code == 201
    posts = (await caller.read("/v2/user/limits"))["user"]["posts"]
    assert (posts["limit"], posts["remaining"]) == (2, 0)


async def test_the_queue_fills_up(service, blog, caller):
    service.queue_limit = 1
    assert (await caller.create(content=text("x"), state="queue")).status_code == 201
    assert code(await caller.create(content=text("x"), state="queue")) == (403, 8022)
    assert len(blog.queue) == 1


@pytest.mark.parametrize("path", ["post", "post/edit", "post/reblog"])
async def test_legacy_endpoints_answer_a_page(caller, path):
    answer = await caller.post(f"/v2/blog/keeper/{path}", data={"type": "text"})
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (403, "text/html")


# --- reblogs --------------------------------------------------------------------------------------------------


@pytest.fixture
def parent(service):
    other = service.add_blog("other", uuid="t:other", owned=False)
    root = {"content": text("root"), "layout": [], "post": {"id": "1"}, "blog": {"name": "root"}}
    return service.add_post(other, {"content": text("parent"), "trail": [root]})


def reblog_of(parent, **changes):
    fields = {
        "parent_tumblelog_uuid": "t:other",
        "parent_post_id": parent["id_string"],
        "reblog_key": parent["reblog_key"],
    }
    return fields | changes


@pytest.mark.parametrize("as_type", [int, str])
async def test_a_reblog(caller, parent, as_type):
    body = reblog_of(parent, parent_post_id=as_type(parent["id"]))
    assert (await caller.create(content=text("mine"), state="published", **body)).status_code == 201
    (post,) = (await caller.read("/v2/blog/keeper/posts"))["posts"]
    assert (post["content"], post["parent_post_url"]) == (text("mine"), parent["post_url"])
    assert [item["content"][0]["text"] for item in post["trail"]] == ["root", "parent"]
    assert post["trail"][1]["post"]["id"] == parent["id_string"]


async def test_a_reblog_needs_no_comment(caller, parent):
    assert (await caller.create(content=[], state="draft", **reblog_of(parent))).status_code == 201


@pytest.mark.parametrize(
    "changes",
    [
        {"reblog_key": "wrong"},
        {"reblog_key": None},
        {"parent_post_id": "1"},
        {"parent_post_id": None},
        {"parent_tumblelog_uuid": "t:x"},
    ],
)
async def test_a_reblog_with_a_wrong_parent(blog, caller, parent, changes):
    assert code(await caller.create(content=text("x"), **reblog_of(parent, **changes))) == (400, 8002)
    assert blog.posts == []


@pytest.mark.parametrize("changes", [{"can_reblog": False}, {"state": "private"}])
async def test_a_post_that_may_not_be_reblogged(service, caller, parent, changes):
    service.edit_post(service.blogs["other"], parent["id"], changes)
    assert code(await caller.create(content=text("x"), **reblog_of(parent))) == (400, 8002)


# --- changes --------------------------------------------------------------------------------------------------


async def test_publishing_a_draft_gives_it_a_new_id(service, blog, caller):
    created = (await caller.create(content=text("x"), tags="a", state="draft")).json()["response"]["id"]
    published = service.publish_draft(blog, created)
    assert published["genesis_post_id"] == created
    assert published["id_string"] != created
    assert blog.drafts == []
    assert await caller.ids() == [published["id_string"]]
    assert code(await caller.get("/v2/blog/keeper/posts", id=created)) == (404, 0)
    assert (published["content"], published["tags"]) == (text("x"), ["a"])


async def test_an_edit_may_move_a_post(service, blog, caller):
    old, new = add(service, blog, 10, 20)
    service.edit_post(blog, old, {"timestamp": 30, "content": text("new")})
    assert await caller.ids() == [old, new]
    assert blog.posts[0]["content"] == text("new")


async def test_delete(service, blog, caller):
    first, second = add(service, blog, 10, 20)
    service.delete_post(blog, first)
    assert await caller.ids() == [second]
    assert (await caller.post("/v2/blog/keeper/post/delete", json={"id": second})).status_code == 200
    assert blog.posts == []
    assert code(await caller.post("/v2/blog/keeper/post/delete", json={"id": second})) == (404, 0)


# --- quotas ---------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(service):
    now = [NOW]
    service.clock = lambda: now[0]
    return now


async def test_quota_headers(service, clock, caller):
    clock[0] += 100
    headers = (await caller.get("/v2/user/info")).headers
    assert [headers[f"X-Ratelimit-Perhour-{name}"] for name in ("Limit", "Remaining", "Reset")] == [
        "1000",
        "999",
        "3500",
    ]
    assert [headers[f"X-Ratelimit-Perday-{name}"] for name in ("Limit", "Remaining", "Reset")] == [
        "5000",
        "4999",
        "86300",
    ]


@pytest.mark.parametrize(("name", "seconds"), [("hour", 3600), ("day", 86_400)])
async def test_the_quota_of_the_key(service, clock, caller, name, seconds):
    setattr(service, f"{name}_limit", 1)
    assert (await caller.get("/v2/user/info")).status_code == 200
    refused = await caller.get("/v2/user/info")
    assert refused.status_code == 429
    assert refused.json() == {"meta": {"status": 429, "msg": "Limit Exceeded"}, "response": []}
    assert refused.headers[f"X-Ratelimit-Per{name}-Remaining"] == "0"
    clock[0] += seconds
    assert (await caller.get("/v2/user/info")).status_code == 200


async def test_the_quota_of_the_address_shows_plenty(service, clock, caller):
    service.minute_limit = 1
    assert (await caller.get("/v2/user/info")).status_code == 200
    refused = await caller.get("/v2/user/info")
    assert (refused.status_code, refused.headers["X-Ratelimit-Perhour-Remaining"]) == (429, "999")
    clock[0] += 60
    assert (await caller.get("/v2/user/info")).status_code == 200


async def test_the_posts_of_yesterday_do_not_count(service, clock, caller):
    service.daily_post_limit = service.posts_today = 1
    clock[0] += 86_400
    assert (await caller.create(content=text("x"), state="published")).status_code == 201


# --- log, faults, state ---------------------------------------------------------------------------------------


async def test_requests_are_logged(service, caller):
    await caller.read("/v2/blog/keeper/posts", limit=3)
    await caller.create(content=text("x"), state="draft")
    service.faults.schedule(Fault("GET", "/v2/user/info", "status", status=503))
    await caller.get("/v2/user/info")
    first, second, third = service.requests
    assert (first.method, first.path, first.query) == ("GET", "/v2/blog/keeper/posts", {"npf": "true", "limit": "3"})
    assert second.body == {"content": text("x"), "state": "draft"}
    assert [logged.status for logged in (first, second, third)] == [200, 201, None]


async def test_a_504_after_the_post_was_made(service, blog, caller):
    service.faults.schedule(Fault("POST", "/v2/blog/*/posts", "status", status=504, act=True))
    assert (await caller.create(content=text("x"), state="draft")).status_code == 504
    assert len(blog.drafts) == 1
    assert service.requests[-1].status == 201


async def test_the_log_is_bounded(service, caller):
    await caller.get("/v2/user/info")
    service.requests.extend(list(service.requests) * KEPT_REQUESTS)
    await caller.get("/v2/user/limits")
    assert len(service.requests) == KEPT_REQUESTS
    assert service.requests[-1].path == "/v2/user/limits"


async def test_a_restart_brings_everything_back(tmp_path):
    path = tmp_path / "state.json"
    before = TumblrService(save_path=path, clock=lambda: NOW)
    blog = before.add_blog("keeper", uuid="t:1")
    await before.start()
    caller = Caller(before)
    created = [
        (await caller.create(content=text("x"), state=state)).json()["response"]["id"]
        for state in ("published", "draft", "queue")
    ]
    after = TumblrService(save_path=path, clock=lambda: NOW)
    assert after.blogs == {"keeper": blog}
    assert list(after.requests) == list(before.requests)
    assert (after.hour_used, after.posts_today) == (3, 1)
    await before.stop()
    await after.start()
    new = (await Caller(after).create(content=text("y"), state="draft")).json()["response"]["id"]
    await after.stop()
    assert int(new) > max(map(int, created))
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


async def test_what_a_fault_swallowed_is_in_the_file(tmp_path):
    path = tmp_path / "state.json"
    service = TumblrService(save_path=path)
    service.add_blog("keeper")
    await service.start()
    service.faults.schedule(Fault("POST", "*", "reset_after"), Fault("POST", "*", "reset_before"))
    caller = Caller(service)
    for _ in range(2):
        with pytest.raises(OSError, match="Connection"):
            await caller.create(content=text("x"), state="draft")
    await service.stop()
    saved = json.loads(path.read_bytes())
    assert len(saved["blogs"][0]["drafts"]) == 1
    assert [logged["status"] for logged in saved["requests"]] == [201, None]


async def test_it_stops_with_a_call_hanging(service):
    service.faults.schedule(Fault("*", "*", "hang"))
    async with aiohttp.ClientSession() as session:
        call = asyncio.create_task(session.get(service.base_url + "/v2/user/info"))
        async with asyncio.timeout(20):
            while not service.requests:
                await asyncio.sleep(0.01)
        await service.stop()
        with pytest.raises(aiohttp.ClientError):
            await call


async def test_in_a_process_of_its_own(tmp_path):
    path = tmp_path / "state.json"
    first = json.loads(await run_process(path))
    assert len(first["blogs"][0]["posts"]) == len(load_posts())
    assert (first["blogs"][0]["name"], len(first["requests"])) == (BLOG_NAME, 1)
    second = json.loads(await run_process(path))
    assert second["blogs"] == first["blogs"]
    assert len(second["requests"]) == 2


async def test_the_sample_blog_is_loaded_once():
    service = TumblrService()
    blog = add_sample_blog(service)
    service.delete_post(blog, blog.posts[0]["id"])
    assert add_sample_blog(service) is blog
    assert len(blog.posts) == len(load_posts()) - 1


async def run_process(path: Path):
    """Run the stand-in, ask it one thing, kill it, read what it left."""
    command = [sys.executable, "-m", "bot.demo.tumblr_service", "--state", str(path), "--sample"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        url = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()
        signed, headers, _ = sign(TumblrService(), f"{url}/v2/blog/{BLOG_NAME}/posts?npf=true")
        async with aiohttp.ClientSession() as session, session.get(signed, headers=headers) as answer:
            assert answer.status == 200
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    return await asyncio.to_thread(path.read_bytes)
