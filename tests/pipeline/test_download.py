"""Downloading loses nothing and fetches nothing twice, whatever the blog looks like and whenever it is interrupted."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bot.demo.faults import Fault
from bot.errors import NothingToDo, TumblrNotFound, TumblrUnavailable
from bot.pipeline.download import download
from bot.progress import Progress
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


async def run(bench: Bench) -> list[Progress]:
    return [progress async for progress in download(bench.database, bench.tumblr, [NAME])]


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
                    stage = download(bench.database, bench.tumblr, [NAME])
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
        assert last.line == "Done: 1 new posts."
        assert bench.pages() - before <= 3
        assert await bench.stored() == bench.on_blog()


async def test_an_interrupted_download_goes_on_where_it_was(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        bench.service.page_limit = 5
        fill(bench, [(1, 1)] * 60)
        stage = download(bench.database, bench.tumblr, [NAME])
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


async def test_a_name_that_belongs_to_another_blog_now_stops_with_a_sentence(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        fill(bench, [(1, 1)] * 3)
        await run(bench)
        bench.blog.uuid = "t:somebodyelsesblog00000"
        with pytest.raises(TumblrNotFound, match="not the blog it was"):
            await run(bench)


async def test_no_blog_named(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        with pytest.raises(NothingToDo, match="No blog is named"):
            [progress async for progress in download(bench.database, bench.tumblr, [])]
