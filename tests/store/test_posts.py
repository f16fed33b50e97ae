"""Blogs, cursors and posts as rows."""

import sqlite3
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.posts import Blog, Post, Rejection
from bot.store import posts
from bot.store.database import Database

BLOG = Blog("t:1", "lighthouse", "The Lighthouse", "https://lighthouse.tumblr.com/", 12)


def post(post_id: str, timestamp: int = 0, rejection: Rejection | None = None, text: str = "words") -> Post:
    return Post(
        id=post_id,
        blog_uuid="t:1",
        blog_name="lighthouse",
        timestamp=timestamp,
        url=f"https://lighthouse.tumblr.com/{post_id}",
        text=text,
        tags=("sea", "fog; and ice"),
        rejection=rejection,
        is_pinned=False,
        raw=b'{"id": "%s"}' % post_id.encode(),
    )


async def save(db: Database, *page: Post, blog: Blog = BLOG, seen_at: float = 1.0) -> int:
    async with db.write() as connection:
        await posts.upsert_blog(connection, blog, seen_at)
        return await posts.save_page(connection, blog.uuid, page, seen_at)


async def ids(db: Database, **options) -> list[str]:
    return [example.id async for example in posts.valid_posts(db, "t:1", **options)]


async def test_a_blog_keeps_its_download_state_when_its_description_changes(db):
    async with db.write() as connection:
        await posts.upsert_blog(connection, BLOG, 1.0)
        await posts.set_cursor(connection, "t:1", 500, 2, 900)
        await posts.upsert_blog(connection, Blog("t:1", "new-name", "New", "https://new/", None), 2.0)
    assert await posts.get_blog(db, "t:1") == posts.BlogRow(
        uuid="t:1",
        name="new-name",
        title="New",
        url="https://new/",
        post_count=12,
        cursor=500,
        cursor_offset=2,
        complete=False,
        newest_timestamp=None,
        pass_newest_timestamp=900,
        pass_stage=None,
        pass_since=None,
        full_pass_ended_at=None,
        updated_at=2.0,
    )
    assert await posts.get_blog(db, "t:2") is None


@pytest.mark.parametrize(
    ("before", "seen", "after"), [(None, None, None), (None, 5, 5), (5, None, 5), (5, 9, 9), (9, 5, 9)]
)
async def test_a_finished_pass_remembers_the_newest(db, before, seen, after):
    async with db.write() as connection:
        await posts.upsert_blog(connection, BLOG, 1.0)
        for newest in (before, seen):
            await posts.set_cursor(connection, "t:1", 3, 1, newest)
            await posts.finish_pass(connection, "t:1")
    blog = await posts.get_blog(db, "t:1")
    assert (blog.complete, blog.cursor, blog.cursor_offset) == (True, None, 0)
    assert (blog.newest_timestamp, blog.pass_newest_timestamp) == (after, None)


async def test_a_name_belongs_to_the_blog_that_was_seen_with_it_last(db):
    async with db.write() as connection:
        await posts.upsert_blog(connection, BLOG, 1.0)
        await posts.upsert_blog(connection, replace(BLOG, uuid="t:2"), 3.0)
        await posts.upsert_blog(connection, replace(BLOG, uuid="t:3", name="another"), 2.0)
    assert (await posts.find_blog_by_name(db, "lighthouse")).uuid == "t:2"
    assert await posts.find_blog_by_name(db, "nobody") is None
    assert [blog.uuid for blog in await posts.blogs(db)] == ["t:3", "t:1", "t:2"]


async def test_a_page_counts_what_is_new_and_keeps_the_newest_reading(db):
    assert await save(db, post("1"), post("2"), post("2")) == 2
    edited = replace(post("2", 7, Rejection.ASK, "edited"), tags=(), raw=b"{}", url="u")
    assert await save(db, edited, post("3"), seen_at=5.0) == 1
    assert await save(db) == 0
    async with db.read() as connection:
        rows = [tuple(row) for row in await connection.execute_fetchall("SELECT * FROM posts ORDER BY id")]
    url = "https://lighthouse.tumblr.com/{}".format
    tags = '["sea","fog; and ice"]'
    assert rows == [
        ("t:1", "1", 0, url(1), "words", tags, None, b'{"id": "1"}', 1.0),
        ("t:1", "2", 7, "u", "edited", "[]", "ask or answer", b"{}", 5.0),
        ("t:1", "3", 0, url(3), "words", tags, None, b'{"id": "3"}', 5.0),
    ]


async def test_posts_need_their_blog(db):
    with pytest.raises(sqlite3.IntegrityError):
        async with db.write() as connection:
            await posts.save_page(connection, "t:9", [post("1")], 1.0)


async def test_ids_are_known_by_blog(db):
    await save(db, post("1"), post("2"))
    await save(db, post("3"), blog=replace(BLOG, uuid="t:2"))
    assert await posts.known_ids(db, "t:1", ["1", "3", "x", "' OR 1=1"]) == {"1"}
    assert await posts.known_ids(db, "t:1", []) == set()
    assert await posts.known_ids(db, "t:1", ["2", "9"]) == {"2"}
    assert await posts.known_ids(db, "t:2", ["2"]) == set()


async def test_counts(db):
    await save(db, post("1"), post("2", rejection=Rejection.ASK), post("3", rejection=Rejection.ASK))
    await save(db, post("4", rejection=Rejection.REBLOG), blog=replace(BLOG, uuid="t:2"))
    assert await posts.count_posts(db, "t:1") == posts.PostCounts(all=3, valid=1)
    assert await posts.count_posts(db, "t:9") == posts.PostCounts(all=0, valid=0)
    assert list((await posts.rejection_counts(db)).items()) == [(Rejection.ASK, 2), (Rejection.REBLOG, 1)]


async def test_text_that_is_no_text(db):
    """JSON can carry half a surrogate pair and a NUL, as text, name or tag."""
    await save(
        db,
        replace(post("1", text="half \ud800 a pair\x00 and on"), tags=("\udfff",), url="\ud800"),
        blog=replace(BLOG, title="\ud800"),
    )
    assert [example.text async for example in posts.valid_posts(db, "t:1")] == ["half ? a pair\x00 and on"]


async def test_valid_posts_come_newest_first(db):
    await save(db, post("1", 10), post("2", 30), post("3", 20), post("4", 40, Rejection.ASK), post("5", 30))
    await save(db, post("9", 99), blog=replace(BLOG, uuid="t:2"))
    assert await ids(db) == ["5", "2", "3", "1"]
    assert await ids(db, since=20) == ["5", "2", "3"]
    assert await ids(db, limit=2) == ["5", "2"]
    assert await ids(db, limit=0) == []
    assert [example async for example in posts.valid_posts(db, "t:1", limit=1)] == [
        posts.ExamplePost("t:1", "5", 30, "words", "https://lighthouse.tumblr.com/5")
    ]


async def test_the_caller_of_valid_posts_may_write_meanwhile(db, monkeypatch):
    monkeypatch.setattr(posts, "_PAGE", 2)
    await save(db, *(post(str(number), number) for number in range(5)))
    seen = []
    async for example in posts.valid_posts(db, "t:1"):
        seen.append(example.id)
        await save(db, post(f"new{example.id}", 100))
    assert seen == ["4", "3", "2", "1", "0"]


async def test_the_texts_of_all_blogs_come_in_pages_and_the_caller_may_write_meanwhile(db, monkeypatch):
    monkeypatch.setattr(posts, "_PAGE", 2)
    await save(db, *(post(str(number), number, text=f"text {number}") for number in range(4)))
    await save(db, post("9", rejection=Rejection.ASK), post("10"), blog=replace(BLOG, uuid="t:0"))
    await save(db, post("1"), post("2", rejection=Rejection.REBLOG), blog=replace(BLOG, uuid="t:2"))
    pages = []
    async for page in posts.valid_texts(db):
        pages.append(page)
        await save(db, post("0", text="changed"))
    assert [list(page) for page in pages] == [
        [("t:0", "10"), ("t:1", "0")],
        [("t:1", "1"), ("t:1", "2")],
        [("t:1", "3"), ("t:2", "1")],
    ]
    assert pages[0] == {("t:0", "10"): "words", ("t:1", "0"): "text 0"}


async def test_there_may_be_no_texts(db):
    assert [page async for page in posts.valid_texts(db)] == []


@given(
    timestamps=st.lists(st.integers(0, 4), max_size=12),
    page=st.integers(1, 4),
    since=st.none() | st.integers(0, 4),
    limit=st.none() | st.integers(0, 13),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_lose_and_repeat_nothing(tmp_path_factory, timestamps, page, since, limit):
    import asyncio

    async def read():
        db = await Database.open(tmp_path_factory.mktemp("posts") / "bot.sqlite3")
        try:
            await save(db, *(post(str(number), timestamp) for number, timestamp in enumerate(timestamps)))
            return await ids(db, since=since, limit=limit)
        finally:
            await db.close()

    expected = [
        post_id
        for timestamp, post_id in sorted(
            ((timestamp, str(number)) for number, timestamp in enumerate(timestamps)), reverse=True
        )
        if since is None or timestamp >= since
    ][:limit]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(posts, "_PAGE", page)
        assert asyncio.run(read()) == expected
