"""What a person who approves sees, and what is on the blog then: where it goes, as what, and why it waits."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import discord
import pytest

from bot.config import Settings
from bot.demo.faults import Fault
from bot.demo.tumblr_blog import STATES
from bot.demo.world import World, describe
from bot.drafts import DraftState, UploadState
from tests.cogs.acts import becomes, buttons, calls, draft, now, number, rows, said, small_world, written

POSTS = "/v2/blog/*/posts"
WORDS = {
    UploadState.DRAFT: ("saves it as a draft on", "will be saved as a draft on", "Saved as a draft on"),
    UploadState.QUEUE: ("puts it into the queue of", "will be put into the queue of", "Put into the queue of"),
    UploadState.PUBLISHED: ("publishes it on", "will be published on", "Published on"),
    UploadState.PRIVATE: ("as a private post", "will be posted on", "as a private post"),
}


@dataclass
class Watch:
    """The bot's clock. It runs, and can be put forward instead of waiting."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def world(tmp_path: Path, watch: Watch) -> AsyncIterator[World]:
    async with small_world(tmp_path, clock=watch) as world:
        yield world


def sending(state: UploadState) -> Callable[[Settings], Settings]:
    def configure(settings: Settings) -> Settings:
        return settings.model_copy(update={"tumblr": settings.tumblr.model_copy(update={"upload_state": state})})

    return configure


def field(message: discord.Message, name: str) -> str:
    return next((found.value or "" for found in message.embeds[0].fields if found.name == name), "")


async def sent_soon(world: World, message: discord.Message, watch: Watch, *words: str) -> discord.Message:
    """The time that a message names for going on has come."""
    await becomes(world, message, "<t:")
    watch.ahead += 90_000
    world.app._to_upload.set()  # the courier's alarm clock ticks in real time
    return await becomes(world, message, *words)


@pytest.mark.parametrize("state", UploadState)
async def test_an_approval_says_before_and_after_where_it_goes_and_as_what(tmp_path: Path, state: UploadState):
    before, answer, after = WORDS[state]
    async with small_world(tmp_path, configure=sending(state)) as world:
        (message,) = await written(world)
        waiting = field(message, "Waiting for you")
        assert before in waiting
        assert world.blog_name in waiting
        told = said(await world.owner.click(message, label="Approve"))
        assert answer in told
        assert world.blog_name in told
        receipt = await becomes(world, message, "Uploaded", after)
        assert world.blog_name in field(receipt, "Uploaded")
        assert not field(receipt, "Please note")
        blog = world.tumblr.blogs[world.blog_name]
        place = {UploadState.DRAFT: blog.drafts, UploadState.QUEUE: blog.queue}.get(state, blog.posts)
        (post,) = [post for post in place if post["id_string"] == (await draft(world, message)).post_id]
        assert post["state"] == STATES[state]


async def test_while_it_waits_the_message_says_as_what_it_will_go(world: World, watch: Watch):
    (message,) = await written(world)
    world.tumblr.faults.schedule(
        Fault("POST", POSTS, "status", 429, {"meta": {"status": 429}, "response": []}, {"Retry-After": "600"})
    )
    await world.owner.click(message, label="Approve")
    shown = await becomes(world, message, "It will be sent <t:")
    assert "It will be saved as a draft on" in field(shown, "Approved")
    await sent_soon(world, message, watch, "Uploaded", "Saved as a draft on")


async def test_a_draft_that_tumblr_published_is_said_where_nobody_can_miss_it(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(STATES, "draft", "published")
    (message,) = await written(world)
    await world.owner.click(message, label="Approve")
    shown = await becomes(world, message, "Uploaded")
    assert "Saved as a draft" not in describe(shown)
    assert field(shown, "Please note").startswith("**On Tumblr it is published, for everybody to see.**")
    assert shown.embeds[0].colour == discord.Colour.orange()
    assert buttons(shown) == ["Open on Tumblr", "Undo"]
    assert len(calls(world.tumblr.requests, "POST", "/posts")) == 1


async def test_the_limit_of_posts_a_day_is_waited_out_visibly(tmp_path: Path, watch: Watch):
    async with small_world(tmp_path, configure=sending(UploadState.PUBLISHED), clock=watch) as world:
        (message,) = await written(world)
        world.tumblr.daily_post_limit = 0
        await world.owner.click(message, label="Approve")
        shown = await becomes(world, message, "Tumblr's limit of posts a day is reached. It will be sent <t:")
        assert buttons(shown) == ["Undo"]
        world.tumblr.daily_post_limit = 250
        await sent_soon(world, message, watch, "Uploaded", "Published on")
        assert len(calls(world.tumblr.requests, "POST", "/posts")) == 2


async def test_a_block_page_is_waited_out_and_the_owner_may_decide_meanwhile(world: World, watch: Watch):
    (message,) = await written(world)
    world.tumblr.faults.schedule(Fault("POST", POSTS, "html", 403))
    await world.owner.click(message, label="Approve")
    shown = await becomes(world, message, "Answer lost", "The blog could not be looked at: Tumblr blocks")
    assert buttons(shown) == ["It is on the blog", "Send again"]
    asked = len(world.tumblr.requests)
    told = said(await world.owner.click(shown, label="Send again"))
    assert "is being sent again and will be saved as a draft on" in told
    await becomes(world, message, "Tumblr blocks this machine's address. It will be sent <t:")
    assert len(world.tumblr.requests) == asked, "not hammered"
    await sent_soon(world, message, watch, "Uploaded", "Saved as a draft on")
    assert len(world.tumblr.blogs[world.blog_name].drafts) == 1


async def test_a_reblog_that_came_too_late_goes_back_to_its_reader(world: World):
    (message,) = await written(world)
    other = world.tumblr.add_blog("harbour", owned=False)
    post = world.tumblr.add_post(other, {"content": [{"type": "text", "text": "who lit it?"}], "state": "published"})
    parent = {
        "blog_uuid": other.uuid,
        "blog_name": "harbour",
        "post_id": post["id_string"],
        "text": "who lit it?",
        "url": post["post_url"],
    }
    async with world.app.database.write() as connection:
        await connection.execute("UPDATE drafts SET parent = ?", (json.dumps(parent),))
    await world.app.drafts.show_again(number(message), world.channel.id)
    shown = await world.drafts_shown(2)
    world.tumblr.edit_post(other, post["id"], {"content": [{"type": "text", "text": "who put it out?"}]})
    await world.owner.click(shown[-1], label="Approve")
    again = await becomes(world, shown[-1], "Please note", "has changed since this was written", "who put it out?")
    assert "Approve" in buttons(again)
    await world.owner.click(again, label="Approve")
    await becomes(world, again, "Uploaded")
    (reblog,) = world.tumblr.blogs[world.blog_name].drafts
    assert reblog["reblogged_from_id"] == post["id_string"]


async def test_the_oddest_text_and_tags_arrive_within_tumblrs_limits(world: World):
    (message,) = await written(world)
    text = "🐦" * 4097 + "\n\n" + "\n\n".join(f"paragraph {n}" for n in range(500))
    tags = ["sea, salt", "x" * 141, *(f"tag {n}" for n in range(31))]
    async with world.app.database.write() as connection:
        await connection.execute("UPDATE drafts SET text = ?, tags = ?", (text, json.dumps(tags)))
    await world.owner.click(now(world, message), label="Approve")
    await becomes(world, message, "Uploaded")
    (post,) = world.tumblr.blogs[world.blog_name].drafts
    sent = [block["text"] for block in post["content"]]
    assert sent == ["🐦" * 4096, "🐦", *(f"paragraph {n}" for n in range(500))]
    assert post["tags"] == ["sea", "salt", "x" * 140, *(f"tag {n}" for n in range(27))]


async def test_1001_paragraphs_come_back_with_the_reason(world: World):
    (message,) = await written(world)
    async with world.app.database.write() as connection:
        await connection.execute("UPDATE drafts SET text = ?", ("\n\n".join("abc" for _ in range(1001)),))
    await world.owner.click(now(world, message), label="Approve")
    shown = await becomes(world, message, "longer than one Tumblr post may be")
    assert "Approve" in buttons(shown)
    assert await rows(world, "SELECT state FROM drafts") == [(DraftState.PENDING,)]
    assert not calls(world.tumblr.requests, "POST", "/posts")
