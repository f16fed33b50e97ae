"""/download as its person meets it: everything again, a name that changed hands, and Tumblr's quota."""

from __future__ import annotations

import json
import time
from pathlib import Path

import discord

from bot.demo.faults import Fault
from bot.demo.tumblr_service import HOUR
from bot.demo.world import World
from tests.cogs.acts import (
    becomes,
    buttons,
    line,
    now,
    outcome,
    rows,
    shown_with,
    small_world,
    stage,
    text_post,
    up_to,
    written,
)

TITLE = "Downloading posts"


# --- everything again ---------------------------------------------------------------------------------------------


async def test_what_was_deleted_on_the_blog_is_gone_here(small: World):
    small.tumblr.page_limit = 5
    await up_to(small, "examples")
    blog = small.tumblr.blogs[small.blog_name]
    gone, edited = blog.posts[8], blog.posts[10]
    small.tumblr.delete_post(blog, gone["id"])
    small.tumblr.edit_post(blog, edited["id"], {"content": [{"type": "text", "text": "the lamp was mended"}]})
    small.tumblr.add_post(blog, text_post("from years ago, found again", -500))
    assert line(await stage(small, "download")) == "Done: nothing new."
    shown = await stage(small, "download", full=True)
    assert line(shown) == "Done: 1 new post, 1 changed, 1 deleted on the blog, and so here."
    stored = {text for (text,) in await rows(small, "SELECT text FROM posts")}
    assert stored == {post["content"][0]["text"] for post in blog.posts}
    gone_text = gone["content"][0]["text"]
    assert not await rows(small, "SELECT 1 FROM examples WHERE assistant = ?", gone_text)
    file = (small.directory / "data" / "training_data.jsonl").read_text()
    assert gone_text not in [json.loads(row)["messages"][-1]["content"] for row in file.splitlines()]
    assert len(file.splitlines()) == 11


# --- whose name it is ---------------------------------------------------------------------------------------------


async def changed_hands(world: World) -> discord.Message:
    """Somebody else has the blog's name now; the old blog goes on under another one."""
    await stage(world, "download")
    services = world.tumblr
    old = services.blogs.pop(world.blog_name)
    old.name = "keeper-of-old"
    services.blogs[old.name] = old
    new = services.add_blog(world.blog_name)
    services.add_post(new, text_post("words of somebody new"))
    services.add_post(old, text_post("the latest of the old one", 99))
    return await stage(world, "download")


async def test_a_name_that_changed_hands_is_asked_about(small: World):
    shown = await changed_hands(small)
    assert "is not the blog it was: 12 posts are here from a blog that had this name before" in line(shown)
    assert buttons(shown) == [f"The one that is called {small.blog_name} now", "The one it was before"]
    assert await rows(small, "SELECT count(*) FROM posts") == [(12,)]


async def test_the_press_says_which_blog_is_meant(small: World):
    shown = await changed_hands(small)
    await small.owner.click(shown, label="The one it was before")
    done = await outcome(small, "download", after=len(shown_with(small, TITLE)) - 1)
    assert line(await becomes(small, done, "Done")) == "Done: 1 new post."
    assert "the latest of the old one" in {text for (text,) in await rows(small, "SELECT text FROM posts")}


async def test_the_question_is_answered_by_another_process_too(small: World):
    shown = await changed_hands(small)
    await small.restart()
    count = len(shown_with(small, TITLE))
    await small.owner.click(now(small, shown), label=f"The one that is called {small.blog_name} now")
    assert line(await outcome(small, "download", after=count)) == "Done: 1 new post."
    assert "words of somebody new" in {text for (text,) in await rows(small, "SELECT text FROM posts")}
    assert line(await stage(small, "download")) == "Done: nothing new."  # it is not asked again


# --- the quota ----------------------------------------------------------------------------------------------------


async def parked(world: World, *, seconds: int) -> discord.Message:
    """A download that has used up the hour, but for what is kept for approvals."""
    service = world.tumblr
    service.page_limit = 5
    service.hour_limit = service.hour_used + 20
    service.clock = lambda: time.time() + HOUR - seconds
    await world.owner.slash(world.channel, "download")

    def waiting() -> discord.Message | None:
        shown = shown_with(world, TITLE)
        return shown[-1] if shown and "Waiting for Tumblr's quota" in line(shown[-1]) else None

    return await world.until(waiting)


async def test_a_download_parks_until_the_hour_it_was_told(tmp_path: Path):
    async with small_world(tmp_path, posts=60) as world:
        shown = await parked(world, seconds=6)
        assert "It goes on <t:" in line(shown)
        done = await outcome(world, "download")
        assert line(done) == "Done: 60 new posts."
        assert world.tumblr.hour_used <= world.tumblr.hour_limit


async def test_an_approval_goes_through_while_a_download_is_parked(tmp_path: Path):
    async with small_world(tmp_path, posts=60) as world:
        fresh = (await written(world))[0]
        fill_more(world)
        shown = await parked(world, seconds=3000)
        await world.owner.click(fresh, label="Approve")
        await becomes(world, fresh, "Uploaded")
        assert len(world.tumblr.blogs[world.blog_name].drafts) == 1
        assert "Waiting for" in line(now(world, shown))


def fill_more(world: World) -> None:
    blog = world.tumblr.blogs[world.blog_name]
    for number in range(200, 280):
        world.tumblr.add_post(blog, text_post(f"later night {number}", number))


async def test_a_parked_download_can_be_stopped(tmp_path: Path):
    async with small_world(tmp_path, posts=60) as world:
        shown = await parked(world, seconds=3000)
        await world.owner.click(shown, label="Stop")
        done = await becomes(world, shown, "Stopped")
        assert "Stop" not in buttons(done)
        assert await rows(world, "SELECT state FROM jobs") == [("cancelled",)]


async def test_a_parked_download_survives_a_restart_without_a_call(tmp_path: Path):
    async with small_world(tmp_path, posts=60) as world:
        shown = await parked(world, seconds=8)
        before = len(world.tumblr.requests)
        await world.restart()
        shown = await becomes(world, shown, "Waiting for Tumblr's quota")
        assert len(world.tumblr.requests) == before
        done = await world.finished(TITLE)
        assert line(done).startswith("Done: ")
        blog = world.tumblr.blogs[world.blog_name]
        assert await rows(world, "SELECT count(*) FROM posts") == [(len(blog.posts),)]


async def test_a_block_page_stops_everything_for_an_hour(small: World):
    small.tumblr.faults.schedule(Fault("GET", "/v2/*", "html", status=403))
    shown = await stage(small, "download")
    assert "Tumblr blocks this machine's address." in line(shown)
    before = len(small.tumblr.requests)
    shown = await stage(small, "download")
    assert "Tumblr blocks this machine's address." in line(shown)
    await small.restart()
    await stage(small, "download")
    assert len(small.tumblr.requests) == before


# --- what is offered while typing ---------------------------------------------------------------------------------


async def test_the_accounts_blogs_are_offered(small: World):
    small.tumblr.add_blog("second-light")
    small.tumblr.add_blog("elsewhere", owned=False)
    await stage(small, "download")
    offered = await small.owner.autocomplete(small.channel, "download", "blogs", "sec")
    assert [choice["value"] for choice in offered] == ["second-light"]
    offered = await small.owner.autocomplete(small.channel, "download", "blogs", "second-light, ")
    assert [choice["value"] for choice in offered] == [f"second-light {small.blog_name}"]
    assert await small.stranger.autocomplete(small.channel, "download", "blogs", "") == []
