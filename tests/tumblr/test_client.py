"""What is asked, how it is asked, and what is made of the answers."""

import asyncio
import json
import logging
import threading
import time
from dataclasses import replace

import msgspec
import pytest
from oauthlib.common import Request as SignedRequest
from oauthlib.oauth1.rfc5849 import signature

from bot import __version__
from bot.drafts import UploadState
from bot.errors import (
    BlogIdentifierError,
    TumblrNotFound,
    TumblrOutcomeUnknown,
    TumblrQuotaReached,
    TumblrUnauthorized,
    TumblrUnavailable,
)
from bot.posts import Blog, Rejection
from bot.tumblr.client import (
    Account,
    CreatedPost,
    Governor,
    PostLimits,
    Quota,
    Tumblr,
    TumblrCredentials,
    post_body,
)
from bot.tumblr.transport import Api
from tests.tumblr.conftest import CREDENTIALS, SECRETS, UUID, hang, json_reply, npf, page_json, plain_reply

BODY = post_body("Hello.", ["a", "b"], UploadState.DRAFT)


# --- reads ----------------------------------------------------------------------------------------------------


async def test_the_account(service, tumblr):
    blogs = [
        {
            "name": "staff",
            "uuid": UUID,
            "title": "Staff",
            "url": "https://staff.tumblr.com/",
            "posts": 12,
            "primary": True,
        },
        {"name": "other", "uuid": "t:other", "posts": None, "title": None},
        {"name": "no-uuid"},
        "nonsense",
    ]
    service.replies = [json_reply({"user": {"name": "staff", "blogs": blogs}})]
    account = await tumblr.account()
    assert account == Account(
        "staff", (Blog(UUID, "staff", "Staff", "https://staff.tumblr.com/", 12), Blog("t:other", "other", "", ""))
    )
    assert [(seen.method, seen.path, seen.query) for seen in service.seen] == [("GET", "/v2/user/info", {})]


async def test_a_blog(service, tumblr):
    service.replies = [json_reply({"blog": {"name": "staff", "uuid": UUID, "total_posts": "7"}})]
    assert await tumblr.blog("https://www.tumblr.com/staff") == Blog(UUID, "staff", "", "", 7)
    assert (service.seen[0].path, service.seen[0].query) == ("/v2/blog/staff/info", {})


@pytest.mark.parametrize("blog", [{}, {"name": "staff"}, {"uuid": UUID}, {"name": "staff", "uuid": "../x"}, None, []])
async def test_a_blog_without_its_identity_is_no_answer(service, tumblr, blog):
    service.replies = [json_reply({"blog": blog})]
    with pytest.raises(TumblrUnavailable):
        await tumblr.blog("staff")


async def test_posts_are_asked_for_in_npf(service, tumblr):
    service.replies = [json_reply(page_json(npf(), npf()))]
    page = await tumblr.posts(UUID, before=1_700_000_001)
    assert len(page.posts) == 2
    assert page.blog == Blog(UUID, "staff", "Staff", "https://staff.tumblr.com/", 3)
    assert page.unreadable == 0
    seen = service.seen[0]
    # The colon of a UUID stays as it is, and nothing is appended to it.
    assert seen.path == f"/v2/blog/{UUID}/posts"
    assert seen.query == {"npf": "true", "limit": "50", "before": "1700000001"}


@pytest.mark.parametrize(
    ("call", "path", "query"),
    [
        (lambda t: t.posts("staff"), "/v2/blog/staff/posts", {"npf": "true", "limit": "50"}),
        (lambda t: t.posts("staff", limit=20, offset=40), "/v2/blog/staff/posts", {"npf": "true", "limit": "20", "offset": "40"}),
        (lambda t: t.posts("blog.example.org", post_id="613138459105820672"), "/v2/blog/blog.example.org/posts", {"npf": "true", "limit": "50", "id": "613138459105820672"}),
        (lambda t: t.drafts("staff"), "/v2/blog/staff/posts/draft", {"npf": "true"}),
        (lambda t: t.drafts("staff", before_id="12"), "/v2/blog/staff/posts/draft", {"npf": "true", "before_id": "12"}),
        (lambda t: t.queue("staff", offset=20), "/v2/blog/staff/posts/queue", {"npf": "true", "offset": "20"}),
    ],
)  # fmt: skip
async def test_what_each_list_asks(service, tumblr, call, path, query):
    service.replies = [json_reply(page_json())]
    assert (await call(tumblr)).posts == ()
    assert [(seen.path, seen.query) for seen in service.seen] == [(path, query)]


@pytest.mark.parametrize(
    "arguments",
    [{"before": 1, "offset": 1}, {"limit": 0}, {"limit": 51}, {"post_id": "1&npf=false"}, {"post_id": ""}],
)
async def test_arguments_that_do_not_go_together(service, tumblr, arguments):
    with pytest.raises(ValueError, match=r".+"):
        await tumblr.posts("staff", **arguments)
    assert service.seen == []


@pytest.mark.parametrize("identifier", ["staff/../../user/info", "", "staff?x=1", "t:../x"])
async def test_nothing_unsafe_gets_into_a_path(service, tumblr, identifier):
    for call in (tumblr.blog, tumblr.posts, tumblr.drafts, tumblr.queue, lambda name: tumblr.create_post(name, BODY)):
        with pytest.raises(BlogIdentifierError):
            await call(identifier)
    assert service.seen == []


async def test_one_unreadable_post_does_not_lose_the_page(service, tumblr):
    posts = [
        npf(),
        npf(content="old"),  # unreadable, but with an id and a time: kept
        npf(id=None, id_string=None),
        npf(timestamp=None),
        "nonsense",
        npf(content=[{"type": "text", "text": "half \ud800"}]),
        npf(),
    ]
    service.replies = [json_reply(page_json(*posts))]
    page = await tumblr.posts("staff")
    assert [post.rejection for post in page.posts] == [None, Rejection.UNREADABLE, None, None]
    assert page.unreadable == 4
    assert page.posts[2].text == "half \ufffd"


async def test_each_post_keeps_its_own_json(service, tumblr):
    posts = [npf(), npf(parent_post_id=2**63, something={"new": [1.5, None, "é"]})]
    service.replies = [json_reply(page_json(*posts))]
    page = await tumblr.posts("staff")
    assert [json.loads(post.raw) for post in page.posts] == posts


async def test_a_post_that_does_not_name_its_blog_gets_the_page_s(service, tumblr):
    service.replies = [json_reply(page_json(npf(blog=[])))]
    assert (await tumblr.posts("staff")).posts[0].blog_uuid == UUID


async def test_drafts_need_no_time(service, tumblr):
    service.replies = [json_reply({"posts": [npf(state="draft", timestamp=None)]})]
    page = await tumblr.drafts("staff")
    assert [(post.rejection, post.timestamp) for post in page.posts] == [(Rejection.NOT_PUBLISHED, 0)]
    assert (page.unreadable, page.blog) == (0, None)


@pytest.mark.parametrize("response", [[], {}, None, "text", {"posts": {}}, {"posts": None}])
async def test_a_page_that_is_none_does_not_look_like_the_end_of_the_blog(service, tumblr, response):
    service.replies = [json_reply(response)]
    with pytest.raises(TumblrUnavailable):
        await tumblr.posts("staff")


async def test_an_unavailable_read_is_tried_three_times(service, tumblr):
    service.replies = [plain_reply("", status=503), plain_reply("<html>", status=502), json_reply(page_json(npf()))]
    assert len((await tumblr.posts("staff")).posts) == 1
    assert len(service.seen) == 3
    service.replies = [plain_reply("", status=503)]
    with pytest.raises(TumblrUnavailable):
        await tumblr.posts("staff")
    assert len(service.seen) == 6


@pytest.mark.parametrize(("status", "error"), [(404, TumblrNotFound), (429, TumblrQuotaReached)])
async def test_a_final_answer_is_not_asked_for_again(service, tumblr, status, error):
    service.replies = [json_reply([], status=status)]
    with pytest.raises(error):
        await tumblr.posts("staff")
    assert len(service.seen) == 1


# --- writes ---------------------------------------------------------------------------------------------------


async def test_a_post_is_made(service, tumblr):
    service.replies = [json_reply({"id": "613138459105820672", "state": "draft", "display_text": "Saved"}, status=201)]
    assert await tumblr.create_post("staff", BODY) == CreatedPost("613138459105820672", "draft")
    seen = service.seen[0]
    assert (seen.method, seen.path, seen.query) == ("POST", "/v2/blog/staff/posts", {})
    assert seen.headers["Content-Type"] == "application/json"
    assert json.loads(seen.body) == {"content": [{"type": "text", "text": "Hello."}], "state": "draft", "tags": "a,b"}


async def test_the_id_may_come_as_a_number(service, tumblr):
    service.replies = [json_reply({"id": 2**60 + 1, "state": "published"}, status=201)]
    assert (await tumblr.create_post("staff", BODY)).id == str(2**60 + 1)


async def test_a_queued_post_has_the_write_spelling(service, tumblr, caplog):
    service.replies = [json_reply({"id": "5", "state": "queued"}, status=201)]
    assert (await tumblr.create_post("staff", BODY | {"state": "queue"})).state == "queue"
    assert caplog.text == ""


@pytest.mark.parametrize("answered", [{"id": "5", "state": "published"}, {"id": "5"}])
async def test_another_state_than_asked_for_is_told(service, tumblr, caplog, answered):
    service.replies = [json_reply(answered, status=201)]
    created = await tumblr.create_post("staff", BODY)
    assert created == CreatedPost("5", answered.get("state", ""))
    assert "instead of 'draft'" in caplog.text


@pytest.mark.parametrize("state", [None, "", "queued", "publish", "Draft", "drafts"])
async def test_nothing_is_sent_without_a_known_state(service, tumblr, state):
    body = {key: value for key, value in BODY.items() if key != "state"} | ({} if state is None else {"state": state})
    with pytest.raises(ValueError, match="state"):
        await tumblr.create_post("staff", body)
    assert service.seen == []


async def test_a_slow_read_does_not_delay_a_write(service, tumblr):
    service.replies = [hang(service), json_reply({"id": "5", "state": "draft"}, status=201)]
    reading = asyncio.create_task(tumblr.posts("staff"))
    await service.arrived.wait()
    assert (await tumblr.create_post("staff", BODY)).id == "5"
    assert not reading.done()
    reading.cancel()


async def test_a_cancelled_read_does_not_hold_up_the_next(service, tumblr):
    service.replies = [hang(service), json_reply(page_json(npf()))]
    reading = asyncio.create_task(tumblr.posts("staff"))
    await service.arrived.wait()
    left_behind = tumblr._read_lines[0]._api
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert len((await tumblr.posts("staff")).posts) == 1
    # The thread that still waits keeps its session to itself.
    assert tumblr._read_lines[0]._api is not left_behind


async def test_a_shielded_write_tells_its_outcome_after_its_caller_is_gone(service, tumblr):
    go_on = asyncio.Event()

    async def slow(request):
        await go_on.wait()
        return await json_reply({"id": "5", "state": "draft"}, status=201)(request)

    service.replies = [slow]
    writing = asyncio.create_task(tumblr.create_post("staff", BODY))
    caller = asyncio.create_task(asyncio.wait_for(asyncio.shield(writing), 60))
    await service.arrived.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    closing = asyncio.create_task(tumblr.close())
    await asyncio.sleep(0)
    go_on.set()
    await closing
    # close() waited for it.
    assert (await writing).id == "5"


async def test_after_close_nothing_is_sent(service, tumblr):
    await tumblr.close()
    for call in (tumblr.account(), tumblr.create_post("staff", BODY)):
        with pytest.raises(RuntimeError, match="closed"):
            await call
    assert service.seen == []
    await tumblr.close()


# --- the requests themselves ----------------------------------------------------------------------------------


async def test_requests_are_signed_and_name_the_bot(service, tumblr):
    service.replies = [json_reply(page_json())]
    await tumblr.posts(UUID, before=5)
    service.replies = [json_reply({"id": "5", "state": "draft"}, status=201)]
    await tumblr.create_post(UUID, BODY)
    for seen in service.seen:
        assert seen.headers["User-Agent"] == f"tumblrbot-discord/{__version__}"
        authorization = seen.headers["Authorization"]
        parameters = signature.collect_parameters(
            uri_query="&".join(f"{key}={value}" for key, value in seen.query.items()), headers={"Authorization": authorization}, exclude_oauth_signature=False
        )  # fmt: skip
        oauth = dict(parameters)
        given = oauth.pop("oauth_signature")
        assert oauth["oauth_consumer_key"] == CREDENTIALS.consumer_key
        assert oauth["oauth_token"] == CREDENTIALS.oauth_token
        request = SignedRequest(service.url + seen.path, seen.method)
        request.signature = given
        request.params = list(oauth.items())
        assert signature.verify_hmac_sha1(request, CREDENTIALS.consumer_secret, CREDENTIALS.oauth_token_secret)
        assert "api_key" not in seen.query


async def test_reads_keep_their_connection_and_each_write_makes_its_own(service, tumblr):
    service.replies = [json_reply(page_json())]
    for _ in range(3):
        await tumblr.posts("staff")
    assert len({seen.peer for seen in service.seen}) == 1
    service.replies = [json_reply({"id": "5", "state": "draft"}, status=201)]
    for _ in range(2):
        await tumblr.create_post("staff", BODY)
    assert len({seen.peer for seen in service.seen}) == 3


async def test_loopback_is_never_reached_through_a_proxy(service, make_tumblr, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    service.replies = [json_reply(page_json())]
    await make_tumblr().posts("staff")
    assert len(service.seen) == 1


@pytest.mark.parametrize(
    "url",
    ["http://api.tumblr.com", "http://10.0.0.1", "http://localhost.example.org", "ftp://127.0.0.1", "api.tumblr.com", "", "https://",
     "https://user:word@api.tumblr.com", "https://api.tumblr.com/v2", "https://api.tumblr.com?x=1", "https://api.tumblr.com#x"],
)  # fmt: skip
def test_addresses_that_are_not_acceptable(url):
    with pytest.raises(ValueError, match=r".+") as caught:
        Tumblr(CREDENTIALS, api_url=url)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.tumblr.com",
        "https://api.tumblr.com/",
        "http://127.0.0.1:8080",
        "http://localhost:1",
        "http://[::1]:80",
    ],
)
def test_addresses_that_are_acceptable(url):
    Tumblr(CREDENTIALS, api_url=url)


async def test_a_time_goes_only_with_the_queue(service, tumblr):
    service.replies = [json_reply({"id": "5", "state": "queued"}, status=201)]
    for state in UploadState:
        body = post_body("Hello.", (), state) | {"publish_on": "2026-01-01T00:00:00+00:00"}
        if state is UploadState.QUEUE:
            assert (await tumblr.create_post("staff", body)).state == "queue"
        else:
            with pytest.raises(ValueError, match="a time"):
                await tumblr.create_post("staff", body)
    assert len(service.seen) == 1


@pytest.mark.parametrize("post_id", ["", "0", "1/../2", "x", "1.5", "-3", "9" * 30])
async def test_only_a_number_is_deleted(service, tumblr, post_id):
    with pytest.raises(ValueError, match="number"):
        await tumblr.delete_post("staff", post_id)
    assert service.seen == []


async def test_a_deletion_is_one_signed_call_that_names_the_post(service, tumblr):
    service.replies = [json_reply({"id": "613138459105820673"})]
    await tumblr.delete_post("staff", "613138459105820673")
    (seen,) = service.seen
    assert (seen.method, seen.path) == ("POST", "/v2/blog/staff/post/delete")
    assert json.loads(seen.body) == {"id": "613138459105820673"}
    assert "oauth_signature" in seen.headers["Authorization"]
    service.replies = [json_reply([])]
    with pytest.raises(TumblrOutcomeUnknown, match="may or may not have been deleted"):
        await tumblr.delete_post("staff", "5")


async def test_pytumblr_s_other_calls_never_leave(service):
    api = Api(CREDENTIALS, api_url=service.url, deadline=1, keep_alive=False)
    for call in (
        lambda: api.create_text("staff", body="x"),
        lambda: api.reblog("staff", id=1, reblog_key="x"),
        lambda: api.edit_post("staff", id=1),
        lambda: api.tagged("x"),
        lambda: api.request.delete("/v2/blog/staff/post", {}),
        lambda: api.request.post("/v2/blog/staff/posts", {}, files={"a": b""}),
    ):
        with pytest.raises(ValueError, match=r".+"):
            await asyncio.to_thread(call)
    assert service.seen == []


# --- quota ----------------------------------------------------------------------------------------------------


def limits(hour=900, hour_reset=1800, day=4000, day_reset=40000):
    values = {"Perhour-Limit": 1000, "Perhour-Remaining": hour, "Perhour-Reset": hour_reset, "Perday-Limit": 5000, "Perday-Remaining": day, "Perday-Reset": day_reset}  # fmt: skip
    return {f"X-Ratelimit-{name}": str(value) for name, value in values.items() if value is not None}


def near(seconds):
    return pytest.approx(time.time() + seconds, abs=5)


async def test_the_quota_is_the_last_one_seen(service, tumblr):
    assert tumblr.quota == Quota()
    service.replies = [json_reply(page_json(), headers=limits())]
    await tumblr.posts("staff")
    assert (tumblr.quota.hour_remaining, tumblr.quota.day_remaining) == (900, 4000)
    assert (tumblr.quota.hour_resets_at, tumblr.quota.day_resets_at) == (near(1800), near(40000))
    # An answer that says nothing of it leaves it as it is.
    service.replies = [json_reply(page_json())]
    await tumblr.posts("staff")
    assert tumblr.quota.hour_remaining == 900
    service.replies = [json_reply({"id": "5", "state": "draft"}, status=201, headers=limits(hour=899))]
    await tumblr.create_post("staff", BODY)
    assert tumblr.quota.hour_remaining == 899


@pytest.mark.parametrize(
    ("headers", "hour_remaining", "resets_in"),
    [
        (limits(hour_reset=-30), 900, 0),
        (limits(hour_reset=10**15), 900, 86_400),
        (limits(hour_reset=None), 900, None),
        (limits(hour=None, hour_reset="soon"), None, None),
        (limits(hour="many"), None, 1800),
    ],
)
async def test_odd_quota_headers(service, tumblr, headers, hour_remaining, resets_in):
    service.replies = [json_reply(page_json(), headers=headers)]
    await tumblr.posts("staff")
    assert tumblr.quota.hour_remaining == hour_remaining
    assert tumblr.quota.hour_resets_at == (None if resets_in is None else near(resets_in))


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, 60),
        (limits(), 60),  # the limit per address: plenty remaining
        (limits(hour=0), 1800),
        (limits(hour=0, day=0), 40000),
        (limits(hour=0, hour_reset=None), 60),
        (limits(hour=0, hour_reset=-3), 60),
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": "-5"}, 1),
        ({"Retry-After": "99999999999"}, 86_400),
        ({"Retry-After": "soon"}, 60),
        ({"Retry-After": "Fri, 01 Jan 2021 00:00:00 GMT"}, 1),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, 86_400),
        (limits() | {"Retry-After": "120"}, 120),
        # The governor would refuse the call after two minutes: the hour is used up until its reset, whatever else is said.
        (limits(hour=0) | {"Retry-After": "120"}, 1800),
    ],
)
async def test_when_to_come_back(service, make_tumblr, headers, wait):
    service.replies = [json_reply([], status=429, headers=headers)]
    for call in (make_tumblr().posts("staff"), make_tumblr().create_post("staff", BODY)):
        with pytest.raises(TumblrQuotaReached) as caught:
            await call
        assert caught.value.retry_at == near(wait)
    assert len(service.seen) == 2


async def test_every_try_asks_the_governor(service, tumblr):
    service.replies = [plain_reply("", status=503, headers=limits(hour=1)), plain_reply("", status=503)]
    with pytest.raises(TumblrQuotaReached) as caught:
        await tumblr.posts("staff")
    assert caught.value.retry_at == near(1800)
    assert len(service.seen) == 2


async def test_a_call_that_was_left_behind_still_teaches_the_governor(service, make_tumblr):
    """Its thread cannot be stopped: what it hears at last counts."""
    go_on = asyncio.Event()

    async def slow(request):
        await go_on.wait()
        return await json_reply([], status=429, headers=limits(hour=0))(request)

    service.replies = [slow]
    tumblr = make_tumblr()
    learned = asyncio.Event()
    loop = asyncio.get_running_loop()
    tumblr.governor.changed = lambda: loop.call_soon_threadsafe(learned.set)
    reading = asyncio.create_task(tumblr.posts("staff"))
    await service.arrived.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    go_on.set()
    await asyncio.wait_for(learned.wait(), 10)
    with pytest.raises(TumblrQuotaReached):
        await tumblr.posts("staff")
    assert len(service.seen) == 1


async def test_clients_of_one_account_share_its_quota(service, make_tumblr):
    governor = Governor()
    approvals = make_tumblr(governor=governor)
    bulk = make_tumblr(governor=governor, keep_back=50)
    service.replies = [json_reply(page_json(), headers=limits(hour=51)), json_reply(page_json())]
    await approvals.posts("staff")
    await bulk.posts("staff")
    assert bulk.quota == approvals.quota
    with pytest.raises(TumblrQuotaReached, match="kept for approvals"):
        await bulk.posts("staff")
    assert len(service.seen) == 2
    service.replies = [json_reply({"id": "5", "state": "draft"}, status=201)]
    assert (await approvals.create_post("staff", BODY)).id == "5"


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (
            {"user": {"posts": {"limit": 250, "remaining": 7, "reset_at": 1_700_000_000}}},
            PostLimits(7, 1_700_000_000.0),
        ),
        ({"user": {"posts": {"remaining": "7", "reset_at": None}}}, PostLimits(7, None)),
        ({"user": {"posts": {"remaining": -2}}}, PostLimits(0, None)),
        ({"user": {"posts": []}}, PostLimits()),
        ({"user": {"posts": {"remaining": "some", "reset_at": "soon"}}}, PostLimits()),
        ([], PostLimits()),
    ],
)
async def test_the_limit_on_posts(service, tumblr, response, expected):
    service.replies = [json_reply(response)]
    assert await tumblr.limits() == expected
    assert [(seen.method, seen.path, seen.query) for seen in service.seen] == [("GET", "/v2/user/limits", {})]


# --- several readers ------------------------------------------------------------------------------------------


async def test_readers_work_side_by_side_each_over_its_own_connection(service, make_tumblr):
    everybody_is_here = asyncio.Event()

    async def meet(_request):
        if len(service.seen) == 3:
            everybody_is_here.set()
        await everybody_is_here.wait()
        return await json_reply(page_json())(_request)

    service.replies = [meet]
    tumblr = make_tumblr(readers=3)
    for _ in range(2):
        service.seen.clear()
        everybody_is_here.clear()
        await asyncio.gather(*(tumblr.posts("staff") for _ in range(3)))
    assert len({seen.peer for seen in service.seen}) == 3


async def test_there_are_never_more_reads_than_readers(service, make_tumblr):
    under_way, most = 0, 0

    async def count(request):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return await json_reply(page_json())(request)

    service.replies = [count]
    tumblr = make_tumblr(readers=2)
    await asyncio.gather(*(tumblr.posts("staff") for _ in range(8)))
    assert (most, len(service.seen)) == (2, 8)


async def test_a_read_takes_the_line_that_is_free(service, make_tumblr):
    service.replies = [hang(service), json_reply(page_json())]
    tumblr = make_tumblr(readers=2)
    reading = asyncio.create_task(tumblr.posts("staff"))
    await service.arrived.wait()
    for _ in range(3):
        await tumblr.posts("staff")
    assert not reading.done()
    reading.cancel()


# --- whose account --------------------------------------------------------------------------------------------

NOBODY = TumblrCredentials("", "", "", "")
OTHER = TumblrCredentials("ckey-2222", "csecret-2222", "otoken-2222", "osecret-2222")


def signed_with(service):
    return [seen.headers["Authorization"].partition('oauth_token="')[2].partition('"')[0] for seen in service.seen]


@pytest.mark.parametrize("missing", ["consumer_key", "consumer_secret", "oauth_token", "oauth_token_secret"])
async def test_without_an_account_nothing_is_sent(service, make_tumblr, missing):
    tumblr = make_tumblr(credentials=replace(CREDENTIALS, **{missing: ""}))
    assert not tumblr.connected
    calls = (tumblr.account, tumblr.limits, lambda: tumblr.posts("staff"), lambda: tumblr.create_post("staff", BODY))
    for call in calls:
        with pytest.raises(TumblrUnauthorized) as caught:
            await call()
        assert caught.value.sentence == "No Tumblr account is connected."
        assert "/connect tumblr" in caught.value.next_step
    assert service.seen == []


async def test_another_account_is_used_at_once_and_may_be_taken_away(service, make_tumblr):
    tumblr = make_tumblr(credentials=NOBODY)
    tumblr.use(CREDENTIALS)
    assert tumblr.connected
    service.replies = [json_reply({"id": "5", "state": "draft", **page_json()}, status=201)]
    for credentials in (CREDENTIALS, OTHER):
        tumblr.use(credentials)
        await tumblr.posts("staff")
        await tumblr.create_post("staff", BODY)
    assert signed_with(service) == ["otoken-9c3d", "otoken-9c3d", "otoken-2222", "otoken-2222"]
    tumblr.use(NOBODY)
    with pytest.raises(TumblrUnauthorized):
        await tumblr.posts("staff")
    assert len(service.seen) == 4


async def test_calls_that_are_under_way_end_as_they_began(service, tumblr):
    go_on = asyncio.Event()

    async def slow(request):
        await go_on.wait()
        return await json_reply(page_json(npf()))(request)

    service.replies = [slow, plain_reply("", status=503), json_reply(page_json())]
    reading = asyncio.create_task(tumblr.posts("staff"))
    await service.arrived.wait()
    waiting = asyncio.create_task(tumblr.posts("staff"))
    await asyncio.sleep(0)
    tumblr.use(OTHER)
    go_on.set()
    assert len((await reading).posts) == 1
    await waiting
    # What had not begun, and what is tried again, is made with the new ones.
    assert signed_with(service) == ["otoken-9c3d", "otoken-2222", "otoken-2222"]


# --- secrets, threads -----------------------------------------------------------------------------------------


def test_the_repr_of_the_credentials_has_none_of_them():
    credentials = TumblrCredentials(*SECRETS)
    assert not any(secret in repr(credentials) + str(credentials) for secret in SECRETS)


async def test_the_log_has_no_secret_even_when_everything_is_logged(service, tumblr, caplog):
    logging.getLogger().setLevel(logging.DEBUG)
    caplog.set_level(logging.DEBUG)
    service.replies = [json_reply(page_json())]
    await tumblr.posts("staff")
    service.replies = [json_reply({"id": "5", "state": "draft"}, status=201)]
    await tumblr.create_post("staff", BODY)
    assert not any(secret in caplog.text for secret in SECRETS)
    assert "oauth" not in caplog.text.lower()
    assert all(
        logging.getLogger(name).level == logging.WARNING for name in ("requests_oauthlib", "oauthlib", "urllib3")
    )


async def test_pages_are_parsed_off_the_event_loop(service, tumblr, monkeypatch):
    threads = []
    decode = msgspec.json.Decoder.decode

    class Watched:
        def decode(self, data):
            threads.append(threading.current_thread())
            return decode(msgspec.json.Decoder(object), data)

    monkeypatch.setattr("bot.tumblr.answers._any_decoder", Watched())
    service.replies = [json_reply({"blog": {"name": "staff", "uuid": UUID}})]
    await tumblr.blog("staff")
    assert threads
    assert threading.main_thread() not in threads
