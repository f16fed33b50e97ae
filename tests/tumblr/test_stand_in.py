"""The client against the stand-in for Tumblr: true signatures, true paging, drafts that arrive on a blog."""

import time

import pytest

from bot.demo.faults import Fault
from bot.demo.tumblr_service import TumblrService
from bot.drafts import UploadState
from bot.errors import (
    TumblrDailyPostsReached,
    TumblrNotFound,
    TumblrOutcomeUnknown,
    TumblrQueueFull,
    TumblrQuotaReached,
    TumblrRefused,
    TumblrUnauthorized,
)
from bot.tumblr.client import Tumblr, TumblrCredentials, post_body
from bot.tumblr.npf import read_reblog_source
from bot.tumblr.quota import RESERVED


@pytest.fixture
async def stand_in():
    service = TumblrService()
    service.url = await service.start()
    yield service
    await service.stop()


@pytest.fixture
async def connected(stand_in):
    tumblr = Tumblr(TumblrCredentials(*stand_in.credentials()), api_url=stand_in.url, deadline=10, retry_wait=0)
    yield tumblr
    await tumblr.close()


def fill(service, count):
    blog = service.add_blog("lantern", title="The Lantern")
    for number in range(count):
        content = [{"type": "text", "text": f"Post {number}."}]
        service.add_post(blog, {"content": content, "timestamp": 1_700_000_000 + number * 60, "tags": ["a"]})
    return blog


async def test_the_account_and_its_blog(stand_in, connected):
    blog = fill(stand_in, 3)
    account = await connected.account()
    assert [found.uuid for found in account.blogs] == [blog.uuid]
    for identifier in ("lantern", "lantern.tumblr.com", blog.uuid, "https://www.tumblr.com/lantern"):
        assert (await connected.blog(identifier)).uuid == blog.uuid
    with pytest.raises(TumblrNotFound):
        await connected.blog("nobody-at-all")


async def test_every_post_is_read_page_by_page(stand_in, connected):
    blog = fill(stand_in, 45)
    texts = []
    before = None
    while posts := (await connected.posts(blog.uuid, before=before)).posts:
        assert all(post.is_example for post in posts)
        texts += [post.text for post in posts]
        before = posts[-1].timestamp
    assert texts == [f"Post {number}." for number in reversed(range(45))]
    assert (await connected.posts("lantern", offset=44)).posts[0].text == "Post 0."


@pytest.mark.parametrize("state", [UploadState.DRAFT, UploadState.QUEUE, UploadState.PUBLISHED])
async def test_a_post_arrives_where_it_should(stand_in, connected, state):
    fill(stand_in, 1)
    created = await connected.create_post("lantern", post_body("New.\n\nAnd more.", ["x", "y z"], state))
    assert created.state == state
    read = {
        UploadState.DRAFT: connected.drafts,
        UploadState.QUEUE: connected.queue,
        UploadState.PUBLISHED: connected.posts,
    }[state]
    found = [post for post in (await read("lantern")).posts if post.id == created.id]
    assert [(post.text, post.tags) for post in found] == [("New.\n\nAnd more.", ("x", "y z"))]


async def test_a_reblog(stand_in, connected):
    fill(stand_in, 1)
    parent = (await connected.posts("lantern")).posts[0]
    fresh = (await connected.posts("lantern", post_id=parent.id)).posts[0]
    source = read_reblog_source(fresh.raw)
    await connected.create_post("lantern", post_body("Mine.", (), UploadState.PUBLISHED, source))
    newest = (await connected.posts("lantern")).posts[0]
    assert newest.text == "Mine."
    assert newest.rejection == "reblog"


async def test_wrong_tokens(stand_in):
    consumer_key, consumer_secret, token, _ = stand_in.credentials()
    tumblr = Tumblr(
        TumblrCredentials(consumer_key, consumer_secret, token, "wrong"), api_url=stand_in.url, retry_wait=0
    )
    with pytest.raises(TumblrUnauthorized):
        await tumblr.account()
    await tumblr.close()


async def test_a_lost_answer_is_found_on_the_blog(stand_in, connected):
    blog = fill(stand_in, 1)
    stand_in.faults.schedule(Fault("POST", "/v2/blog/*/posts", "html", status=504, act=True))
    with pytest.raises(TumblrOutcomeUnknown):
        await connected.create_post("lantern", post_body("Once.", (), UploadState.DRAFT))
    assert len(blog.drafts) == 1
    assert [post.text for post in (await connected.drafts("lantern")).posts] == ["Once."]


async def test_what_tumblr_refuses(stand_in, connected):
    fill(stand_in, 1)
    body = post_body("Mine.", (), UploadState.DRAFT) | {"content": [{"type": "nonsense"}]}
    with pytest.raises(TumblrRefused):
        await connected.create_post("lantern", body)


async def test_the_quota(stand_in, connected):
    fill(stand_in, 1)
    await connected.posts("lantern")
    remaining = connected.quota.hour_remaining
    await connected.posts("lantern")
    assert connected.quota.hour_remaining == remaining - 1
    stand_in.hour_limit = 1
    with pytest.raises(TumblrQuotaReached):
        await connected.posts("lantern")


async def test_the_limit_on_posts(stand_in, connected):
    fill(stand_in, 1)
    stand_in.daily_post_limit, stand_in.queue_limit = 2, 1
    assert (await connected.limits()).posts_remaining == 2
    for _ in range(2):
        await connected.create_post("lantern", post_body("New.", (), UploadState.PUBLISHED))
    limits = await connected.limits()
    assert limits.posts_remaining == 0
    assert limits.resets_at == pytest.approx(time.time() + 86_400, abs=10)
    with pytest.raises(TumblrDailyPostsReached):
        await connected.create_post("lantern", post_body("One too many.", (), UploadState.PUBLISHED))
    await connected.create_post("lantern", post_body("Queued.", (), UploadState.QUEUE))
    with pytest.raises(TumblrQueueFull):
        await connected.create_post("lantern", post_body("One too many.", (), UploadState.QUEUE))


async def test_what_keeps_a_reserve_leaves_it(stand_in, connected):
    fill(stand_in, 1)
    stand_in.hour_limit = 40
    bulk = Tumblr(
        TumblrCredentials(*stand_in.credentials()),
        api_url=stand_in.url,
        governor=connected.governor,
        keep_back=RESERVED,
    )
    for _ in range(36):
        await bulk.posts("lantern")
    with pytest.raises(TumblrQuotaReached):
        await bulk.posts("lantern")  # a tenth is left
    assert stand_in.hour_used == 36
    for _ in range(4):
        await connected.create_post("lantern", post_body("Approved.", (), UploadState.DRAFT))
    with pytest.raises(TumblrQuotaReached):
        await connected.posts("lantern")
    assert stand_in.hour_used == 40
    await bulk.close()
