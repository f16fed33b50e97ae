"""Downloading loses nothing and fetches nothing twice, whatever the blog looks like and whenever it is interrupted."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bot.demo.faults import Fault
from bot.demo.tumblr_blog import list_posts
from bot.drafts import Person
from bot.errors import BlogChanged, NoConsent, NothingToDo, TumblrNotFound, TumblrUnavailable
from bot.pipeline.download import Wanted, download
from bot.posts import Blog
from bot.progress import Progress
from bot.store import consents
from bot.store import posts as post_store
from bot.store.purge import begin_anew
from tests.pipeline.conftest import NAME, START, Bench, open_bench, post

# How many posts share each second, newest first, and the seconds between.
blogs = st.lists(st.tuples(st.integers(1, 14), st.integers(1, 3)), max_size=8)


def fill(bench: Bench, runs: list[tuple[int, int]]) -> None:
    moment, number = START, 0
    for count, gap in runs:
        for _ in range(count):
            number += 1
            bench.service.add_post(bench.blog, post(moment, f"post {number}"))
        moment -= gap


async def forget_nothing(_uuid: str, _ids: object) -> None:
    """For downloads that delete nothing."""


async def everything(stage) -> list[Progress]:
    seen: list[Progress] = []
    await collect(stage, seen)
    return seen


async def collect(stage, seen: list[Progress]) -> None:
    """What a stage says, also when it fails in the end."""
    async for progress in stage:
        seen.append(progress)  # noqa: PERF401 - a comprehension would lose what came before a failure


async def run(bench: Bench) -> list[Progress]:
    return [progress async for progress in bench.download()]


@given(runs=blogs, page=st.integers(2, 6), pinned=st.none() | st.integers(0, 200))
@example(runs=[(14, 1)], page=2, pinned=None)
@example(runs=[(1, 1), (14, 1), (1, 1)], page=3, pinned=None)
@example(runs=[(1, 1), (1, 1), (1, 1)], page=2, pinned=1)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_post_is_stored_once(runs: list[tuple[int, int]], page: int, pinned: int | None):
    async def check() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with open_bench(Path(folder)) as bench:
                bench.service.page_limit = page
                fill(bench, runs)
                if pinned is not None and bench.blog.posts:
                    bench.blog.posts[pinned % len(bench.blog.posts)]["is_pinned"] = True
                await run(bench)
                assert await bench.stored() == bench.on_blog()

    asyncio.run(check())


changing = st.lists(st.tuples(st.sampled_from(["add", "delete", "interrupt"]), st.integers(0, 10**6)), max_size=12)


def check_changes(runs: list[tuple[int, int]], page: int, changes: list[tuple[str, int]]) -> None:
    """Posts appear and vanish between pages, and the process is interrupted: what stayed on the blog is stored."""

    async def check() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with open_bench(Path(folder)) as bench:
                bench.service.page_limit = page
                fill(bench, runs)
                left = list(changes)
                for _ in range(len(changes) + 1):
                    stage = bench.download()
                    async for _progress in stage:
                        what, which = left.pop() if left else ("nothing", 0)
                        if what == "add":
                            # Later posts are newer: what is back-dated is found by a full pass only.
                            moment = START + 10 + len(changes) - len(left)
                            bench.service.add_post(bench.blog, post(moment, f"new {which} {len(left)}"))
                        elif what == "delete" and bench.blog.posts:
                            gone = bench.blog.posts[which % len(bench.blog.posts)]
                            bench.service.delete_post(bench.blog, gone["id"])
                        elif what == "interrupt":
                            await stage.aclose()
                            break
                await run(bench)
                stored, there = await bench.stored(), bench.on_blog()
                assert {i: stored.get(i) for i in there} == there

    asyncio.run(check())


@given(runs=blogs, page=st.integers(2, 6), changes=changing)
@example(runs=[(3, 1)], page=2, changes=[("delete", 0), ("add", 0), ("add", 0), ("add", 0)])  # inside an offset walk
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_changes_and_interruptions_lose_nothing(runs, page, changes):
    check_changes(runs, page, changes)


@pytest.mark.long
@pytest.mark.timeout(900)
@given(runs=blogs, page=st.integers(2, 6), changes=changing)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_many_changes_and_interruptions_lose_nothing(runs, page, changes):
    check_changes(runs, page, changes)


async def test_a_second_run_fetches_only_what_is_new(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        bench.service.page_limit = 5
        fill(bench, [(1, 1)] * 40)
        await run(bench)
        before = bench.pages()
        last = (await run(bench))[-1]
        assert last.line == "Done: nothing new."
        assert bench.pages() - before == 1
        bench.service.add_post(bench.blog, post(START + 100, "fresh"))
        last = (await run(bench))[-1]
        assert last.line == "Done: 1 new post."
        assert bench.pages() - before <= 3
        assert await bench.stored() == bench.on_blog()


async def test_a_pinned_post_is_no_sign_that_everything_below_is_known(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        bench.service.page_limit = 5
        fill(bench, [(1, 1)] * 10)
        bench.blog.posts[-1]["is_pinned"] = True
        await run(bench)
        for number in range(20):
            bench.service.add_post(bench.blog, post(START + 10 + number, f"later {number}"))
        # The first page is known, from a run that came no further and whose place was lost.
        page = await bench.tumblr.posts(NAME, limit=5)
        async with bench.database.write() as connection:
            await post_store.save_page(connection, bench.blog.uuid, page.posts, 1.0)
        await run(bench)
        assert await bench.stored() == bench.on_blog()


async def test_what_was_removed_during_a_pass_is_fetched_by_the_next_one(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        bench.service.page_limit = 5
        fill(bench, [(1, 1)] * 30)
        await run(bench)
        for number in range(12):
            bench.service.add_post(bench.blog, post(START + 10 + number, f"later {number}"))
        stage = bench.download()
        async for progress in stage:
            if progress.done >= 34:
                # As retention does: older posts go, and the blog is to be read anew.
                async with bench.database.write() as connection:
                    await connection.execute("DELETE FROM posts WHERE timestamp < ?", (START - 20,))
                    await begin_anew(connection, bench.blog.uuid)
                break
        await everything(stage)
        await run(bench)
        assert await bench.stored() == bench.on_blog()


async def test_an_interrupted_download_goes_on_where_it_was(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        bench.service.page_limit = 5
        fill(bench, [(1, 1)] * 60)
        stage = bench.download()
        async for progress in stage:
            if progress.done >= 30:
                break
        await stage.aclose()
        bench.service.add_post(bench.blog, post(START + 50, "posted meanwhile"))
        asked = [request.query.get("before") for request in bench.service.requests if "before" in request.query]
        await run(bench)
        again = [request.query.get("before") for request in bench.service.requests if "before" in request.query]
        assert len(set(again)) >= len(again) - 2, "a page was fetched twice"
        assert len(again) > len(asked)
        assert await bench.stored() == bench.on_blog()


async def test_a_pinned_post_does_not_end_the_page(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        bench.service.page_limit = 5
        fill(bench, [(1, 1)] * 20)
        bench.blog.posts[-1]["is_pinned"] = True
        await run(bench)
        assert await bench.stored() == bench.on_blog()


async def test_the_quota_is_waited_for_visibly(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        fill(bench, [(1, 1)] * 3)
        bench.service.faults.schedule(
            Fault("GET", "/v2/blog/*/posts", "status", status=429, headers={"Retry-After": "1"})
        )
        waiting = [progress for progress in await run(bench) if progress.waiting_for]
        assert waiting
        assert waiting[0].waiting_for == "Tumblr's quota"
        assert waiting[0].wait_until is not None
        assert await bench.stored() == bench.on_blog()


async def test_what_came_before_a_failure_is_kept(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        bench.service.page_limit = 5
        fill(bench, [(1, 1)] * 20)
        bench.service.faults.schedule(Fault("GET", "/v2/blog/*/posts", "html", status=502, times=9, after=2))
        with pytest.raises(TumblrUnavailable):
            await run(bench)
        assert len(await bench.stored()) >= 9
        bench.service.faults.clear()
        await run(bench)
        assert await bench.stored() == bench.on_blog()


# --- everything looked at again -----------------------------------------------------------------------------------

doings = st.lists(
    st.tuples(st.sampled_from(["add", "back-date", "edit", "delete", "interrupt"]), st.integers(0, 10**6)), max_size=12
)


def do(bench: Bench, what: str, which: int, number: int) -> None:
    """One thing that the blog's owner does while we look."""
    posts = bench.blog.posts
    if what == "add":
        bench.service.add_post(bench.blog, post(START + 10 + number, f"new {which} {number}"))
    elif what == "back-date":
        bench.service.add_post(bench.blog, post(START - 5 - which % 20, f"back-dated {which} {number}"))
    elif what == "edit" and posts:
        text = [{"type": "text", "text": f"edited {which} {number}"}]
        bench.service.edit_post(bench.blog, posts[which % len(posts)]["id"], {"content": text})
    elif what == "delete" and posts:
        bench.service.delete_post(bench.blog, posts[which % len(posts)]["id"])


def check_full_pass(
    runs: list[tuple[int, int]], page: int, before: list[tuple[str, int]], during: list[tuple[str, int]]
) -> None:
    """After a full pass of a blog that holds still the store is the blog, whatever happened before and in an
    earlier one that was interrupted or outrun."""

    async def check() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with open_bench(Path(folder)) as bench:
                bench.service.page_limit = page
                fill(bench, runs)
                await run(bench)
                for number, (what, which) in enumerate(before):
                    do(bench, what, which, number)
                left = list(during)
                for _ in range(len(during) + 1):
                    stage = bench.download(full_since=time.time())
                    async for _progress in stage:
                        what, which = left.pop() if left else ("nothing", 0)
                        do(bench, what, which, 100 + len(left))
                        if what == "interrupt":
                            await stage.aclose()
                            break
                await everything(bench.download(full_since=time.time()))
                assert await bench.stored() == bench.on_blog()

    asyncio.run(check())


@given(runs=blogs, page=st.integers(2, 6), before=doings, during=doings)
@example(runs=[(1, 1)] * 30, page=2, before=[("delete", n) for n in range(25)], during=[])
@example(runs=[(14, 1), (14, 1)], page=2, before=[("delete", n) for n in range(14)], during=[])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_full_pass_finds_edits_deletions_and_back_dated_posts(runs, page, before, during):
    check_full_pass(runs, page, before, during)


@pytest.mark.long
@pytest.mark.timeout(900)
@given(runs=blogs, page=st.integers(2, 6), before=doings, during=doings)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_many_full_passes_find_everything(runs, page, before, during):
    check_full_pass(runs, page, before, during)


async def test_a_full_pass_says_what_it_found(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        fill(bench, [(1, 1)] * 30)
        await run(bench)
        do(bench, "edit", 3, 1)
        do(bench, "delete", 7, 2)
        do(bench, "delete", 7, 3)
        do(bench, "back-date", 9, 4)
        last = (await everything(bench.download(full_since=time.time())))[-1]
        assert last.line == "Done: 1 new post, 1 changed, 2 deleted on the blog, and so here."
        assert last.facts == (("staff", "29 posts, 29 usable as examples, 1 new, 1 changed, 2 deleted"),)


async def test_only_what_tumblr_itself_calls_gone_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with open_bench(tmp_path) as bench:
        bench.service.page_limit = 5
        fill(bench, [(1, 1)] * 20)
        await run(bench)
        hidden = bench.blog.posts[12]  # no page shows it, as happens; asked for by its id it is there

        def without(posts, wanted):
            return list_posts([shown for shown in posts if shown is not hidden], wanted)

        monkeypatch.setattr("bot.demo.tumblr_service.list_posts", without)
        do(bench, "delete", 3, 1)
        last = (await everything(bench.download(full_since=time.time())))[-1]
        assert last.line == "Done: 1 deleted on the blog, and so here."
        assert await bench.stored() == bench.on_blog()


def before_offset(bench: Bench, monkeypatch: pytest.MonkeyPatch, offset: int, happens: Callable[[], None]) -> None:
    """Let something happen on the blog just before the first page with this offset is served."""
    waiting = [happens]

    def listed(posts, wanted):
        if wanted.offset == offset and waiting:
            waiting.pop()()
            posts = bench.blog.posts
        return list_posts(posts, wanted)

    monkeypatch.setattr("bot.demo.tumblr_service.list_posts", listed)


async def test_what_moves_up_during_a_walk_by_offset_does_not_slip_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with open_bench(tmp_path) as bench:
        bench.service.page_limit = 4
        fill(bench, [(12, 1)])

        def delete_the_first_three() -> None:
            for gone in list(bench.blog.posts[:3]):
                bench.service.delete_post(bench.blog, gone["id"])

        before_offset(bench, monkeypatch, 6, delete_the_first_three)
        await run(bench)
        assert len(bench.blog.posts) == 9
        assert bench.on_blog().items() <= (await bench.stored()).items()


async def test_an_end_that_moved_up_is_not_taken_for_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with open_bench(tmp_path) as bench:
        bench.service.page_limit = 4
        fill(bench, [(1, 1), (1, 1), (1, 1), (6, 1)])

        def delete_the_first_three() -> None:
            for gone in list(bench.blog.posts[:3]):
                bench.service.delete_post(bench.blog, gone["id"])

        before_offset(bench, monkeypatch, 6, delete_the_first_three)
        await run(bench)
        assert len(bench.blog.posts) == 6
        assert bench.on_blog().items() <= (await bench.stored()).items()


async def test_what_is_gone_does_not_lead_the_walk_by_offset_astray(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        bench.service.page_limit = 4
        fill(bench, [*[(1, 1)] * 80, (6, 1)])
        await run(bench)
        for gone in list(bench.blog.posts[:76]):
            bench.service.delete_post(bench.blog, gone["id"])
        before = len(bench.service.requests)
        await everything(bench.download(full_since=time.time()))
        offsets = [request for request in list(bench.service.requests)[before:] if "offset" in request.query]
        assert len(offsets) <= 4
        assert await bench.stored() == bench.on_blog()


async def test_a_blog_that_vanishes_takes_nothing_with_it(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        fill(bench, [(1, 1)] * 10)
        await run(bench)
        do(bench, "delete", 3, 1)
        # The pages still come; then the blog is gone, so that every post of it is "not found".
        gone = {"meta": {"status": 404, "msg": "Not Found"}, "response": [], "errors": []}
        bench.service.faults.schedule(
            Fault("GET", "/v2/blog/*/info", "status", status=404, body=gone, after=1, times=9),
        )
        with pytest.raises(TumblrNotFound, match="no blog staff"):
            await everything(bench.download(full_since=time.time()))
        assert len(await bench.stored()) == 10
        bench.service.faults.clear()
        await everything(bench.download(full_since=time.time()))
        assert await bench.stored() == bench.on_blog()


async def test_a_resumed_full_download_does_not_begin_again(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        bench.service.page_limit = 5
        fill(bench, [(1, 1)] * 60)
        await run(bench)
        asked_for = time.time()
        stage = bench.download(full_since=asked_for)
        async for progress in stage:
            if progress.done >= 30:
                break
        await stage.aclose()
        before = len(bench.service.requests)
        await everything(bench.download(full_since=asked_for))
        places = [request.query.get("before") for request in list(bench.service.requests)[before:]]
        deepest = sorted(post["timestamp"] for post in bench.blog.posts)[30]
        assert all(int(place) <= deepest + 2 for place in places if place), "it went on where it was"
        before = bench.pages()
        await everything(bench.download(full_since=asked_for))
        assert bench.pages() - before <= 2, "it is done, however often the job is resumed"


# --- pages of another size ----------------------------------------------------------------------------------------


async def test_it_asks_for_fifty_and_takes_what_it_gets(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        fill(bench, [(1, 1)] * 120)
        await run(bench)
        assert {request.query["limit"] for request in bench.service.requests if "limit" in request.query} == {"50"}
        # Three pages, and the walk by offset that makes sure of the end.
        assert sum("before" in request.query for request in bench.service.requests) <= 3
        bench.service.page_limit = 20
        await everything(bench.download(full_since=time.time()))
        assert await bench.stored() == bench.on_blog()


async def test_it_asks_for_twenty_where_fifty_is_refused(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        fill(bench, [(1, 1)] * 120)
        refusal = {"meta": {"status": 400, "msg": "Bad Request"}, "response": [], "errors": [{"code": 400}]}
        bench.service.faults.schedule(Fault("GET", "/v2/blog/*/posts", "status", status=400, body=refusal))
        await run(bench)
        limits = [request.query["limit"] for request in bench.service.requests if "limit" in request.query]
        assert limits[0] == "50"
        assert set(limits[1:]) == {"20"}
        assert await bench.stored() == bench.on_blog()


# --- several blogs ------------------------------------------------------------------------------------------------


async def test_several_blogs_are_downloaded_side_by_side(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        bench.service.page_limit = 2
        fill(bench, [(1, 1)] * 6)
        for name in ("second", "third", "fourth"):
            other = bench.service.add_blog(name)
            for number in range(6):
                bench.service.add_post(other, post(START - number, f"{name} {number}"))
        seen = await everything(bench.download(NAME, "second", "third", "fourth"))
        texts = [
            text for blog in bench.service.blogs.values() for text in (p["content"][0]["text"] for p in blog.posts)
        ]
        assert sorted((await bench.stored()).values()) == sorted(texts)
        assert any(step.line.count("Downloading") > 1 for step in seen), "one after the other"
        assert [fact[0] for fact in seen[-1].facts] == [NAME, "second", "third", "fourth"]
        assert seen[-1].done == 24


async def test_one_blog_that_is_gone_does_not_keep_the_others(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        fill(bench, [(1, 1)] * 6)
        seen: list[Progress] = []
        with pytest.raises(TumblrNotFound, match="no blog gone"):
            await collect(bench.download("gone", NAME), seen)
        assert await bench.stored() == bench.on_blog()
        assert dict(seen[-1].facts)[NAME].startswith("6 posts")
        assert "no blog gone" in dict(seen[-1].facts)["gone"]


async def test_two_names_of_one_blog_are_one_blog(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        bench.service.page_limit = 5
        fill(bench, [(1, 1)] * 20)
        await everything(bench.download(NAME, bench.blog.uuid, f"https://www.tumblr.com/{NAME}"))
        assert await bench.stored() == bench.on_blog()
        asked = [request.query["before"] for request in bench.service.requests if "before" in request.query]
        assert len(asked) == len(set(asked))


# --- whose blog it is ---------------------------------------------------------------------------------------------


async def test_a_blog_of_somebody_else_needs_consent(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        other = bench.service.add_blog("stranger", owned=False)
        bench.service.add_post(other, post(START, "words of a stranger"))
        with pytest.raises(NoConsent, match="stranger is not a blog of the connected account"):
            await everything(bench.download("stranger"))
        assert await bench.stored() == {}
        assert await post_store.blogs(bench.database) == []
        async with bench.database.write() as connection:
            await consents.give_consent(
                connection, Blog(other.uuid, "stranger", "", ""), "she agreed", Person(1, "keeper"), now=1.0
            )
        await everything(bench.download("stranger"))
        assert list((await bench.stored()).values()) == ["words of a stranger"]


async def test_a_revoked_consent_stops_the_download_at_the_next_page(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        bench.service.page_limit = 2
        other = bench.service.add_blog("stranger", owned=False)
        for number in range(20):
            bench.service.add_post(other, post(START - number, f"words {number}"))
        person = Person(1, "keeper")
        async with bench.database.write() as connection:
            await consents.give_consent(connection, Blog(other.uuid, "stranger", "", ""), "yes", person, now=1.0)

        async def revoke_on_the_way() -> None:
            async for progress in bench.download("stranger"):
                if progress.done >= 4:
                    async with bench.database.write() as connection:
                        await consents.revoke_consent(connection, other.uuid, person, now=2.0)

        with pytest.raises(NoConsent):
            await revoke_on_the_way()
        assert len(await bench.stored()) < 20


async def renamed(bench: Bench) -> tuple[str, str]:
    """The blog's name passes to somebody else's blog; returns both UUIDs."""
    fill(bench, [(1, 1)] * 3)
    await run(bench)
    bench.blog.name = f"{NAME}-before"
    bench.service.blogs[bench.blog.name] = bench.service.blogs.pop(NAME)
    new = bench.service.add_blog(NAME)
    bench.service.add_post(new, post(START, "other words"))
    return bench.blog.uuid, new.uuid


async def test_a_name_that_belongs_to_another_blog_now_is_a_question(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        old, new = await renamed(bench)
        seen: list[Progress] = []
        with pytest.raises(BlogChanged, match="not the blog it was: 3 posts are here"):
            await collect(bench.download(), seen)
        assert [choice.parameters["blogs"] for choice in seen[-1].choices] == [[NAME], [old]]
        assert seen[-1].choices[0].parameters["accepted"] == [new]
        assert len(await bench.stored()) == 3


async def test_the_one_that_has_the_name_now(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        _, new = await renamed(bench)
        await everything(bench.download(accepted=frozenset({new})))
        assert len(await bench.stored()) == 4
        await everything(bench.download())  # settled: it is not asked again
        names = {blog.uuid: blog.name for blog in await post_store.blogs(bench.database)}
        assert names[new] == NAME
        assert list(names.values()).count(NAME) == 1


async def test_the_one_that_had_the_name_before(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        old, _ = await renamed(bench)
        bench.service.add_post(bench.blog, post(START + 9, "the latest of the old one"))
        await everything(bench.download(old))
        assert "the latest of the old one" in (await bench.stored()).values()


async def test_no_blog_named(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        with pytest.raises(NothingToDo, match="No blog is named"):
            [_ async for _ in download(bench.database, bench.tumblr, Wanted([]), forget=forget_nothing)]
