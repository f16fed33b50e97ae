"""What a draft's message lets people do before and after a decision, and what is on the blog then."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import discord
import pytest
from simcord.actors import MemberActor

from bot.config import ReviewSettings, Settings
from bot.demo.faults import Fault
from bot.demo.world import World, describe
from bot.drafts import DraftState, Person, UploadState
from cogs.ui.draft_embed import render
from tests.cogs.acts import (
    answer,
    becomes,
    buttons,
    calls,
    draft,
    everything,
    forged,
    now,
    pause,
    rows,
    said,
    small_world,
    together,
    written,
)

DELETE = "/post/delete"


@dataclass
class Watch:
    """The bot's clock. It runs, and can be put forward instead of waiting."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def reviewing(state: UploadState = UploadState.DRAFT, **review: Any) -> Callable[[Settings], Settings]:
    """Settings under [review], and what becomes of approved drafts."""

    def configure(settings: Settings) -> Settings:
        tumblr = settings.tumblr.model_copy(update={"upload_state": state})
        return settings.model_copy(update={"review": ReviewSettings(**review), "tumblr": tumblr})

    return configure


def review(world: World, **changes: Any) -> None:
    """Change settings under [review] while the bot runs."""
    changed = world.app.settings.review.model_copy(update=changes)
    world.app.settings = world.app.settings.model_copy(update={"review": changed})


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def world(tmp_path: Path, watch: Watch) -> AsyncIterator[World]:
    async with small_world(tmp_path, clock=watch) as world:
        yield world


def field(message: discord.Message, name: str) -> str:
    return next((found.value or "" for found in message.embeds[0].fields if found.name == name), "")


def on_blog(world: World) -> int:
    blog = world.tumblr.blogs[world.blog_name]
    return len(blog.drafts) + len(blog.queue) + len([post for post in blog.posts if post["timestamp"] > 1_750_000_000])


def wake(world: World) -> None:
    """The courier looks again now that the clock was put forward."""
    world.app._to_upload.set()


# --- what the message shows ---------------------------------------------------------------------------------------


async def held_back(world: World, message: discord.Message) -> None:
    """From now on Discord refuses to change the draft's message, until `let_go`."""
    path = f"/channels/{world.channel.id}/messages/{message.id}"
    world.env.inject_error("PATCH", path, status=403, code=50001, times=None)


async def let_go(world: World) -> None:
    world.env.backend.faults.clear()
    world.app.drafts_changed.set()


async def edits(world: World, actor: MemberActor, message: discord.Message, text: str, tags: str = "") -> None:
    form = await actor.click(message, label="Edit")
    assert "has its new text" in said(await actor.submit_modal(form, {"text-1": text, "tags": tags}))


@pytest.mark.parametrize("press", ["Approve", "Reject", "Regenerate"])
async def test_a_text_that_the_message_does_not_show_yet_is_not_decided(small: World, press: str):
    (message,) = await written(small)
    await held_back(small, message)
    await edits(small, small.owner, message, "unseen by the other one")
    told = said(await small.reviewer.click(message, label=press))
    assert "Draft 1 has changed since you saw it." in told
    assert "/drafts show" in told
    assert (await draft(small, 1)).state is DraftState.PENDING
    assert await rows(small, "SELECT action FROM decisions") == [("edit",)]
    await let_go(small)
    shown = await becomes(small, message, "unseen by the other one")
    await small.reviewer.click(shown, label=press)
    assert (await draft(small, 1)).state is not DraftState.PENDING


async def test_a_change_below_where_the_message_is_cut_is_not_approved_unseen(small: World):
    (message,) = await written(small)
    long = "a line of the lamp log. " * 400
    await edits(small, small.owner, message, long[:3_900])
    await becomes(small, message, "a line of the lamp log")
    async with small.app.database.write() as connection:
        await connection.execute("UPDATE drafts SET text = ?, version = version + 1", (long,))
    small.app.drafts_changed.set()
    shown = (await small.drafts_shown(1))[0]
    await held_back(small, shown)
    async with small.app.database.write() as connection:
        await connection.execute("UPDATE drafts SET text = text || 'unseen', version = version + 1")
    assert "has changed since you saw it" in said(await small.reviewer.click(shown, label="Approve"))
    await let_go(small)
    shown = (await small.drafts_shown(1))[0]
    assert "Draft 1 is approved" in said(await small.reviewer.click(shown, label="Approve"))


async def test_tags_that_the_message_does_not_show_yet_are_not_approved(small: World):
    (message,) = await written(small)
    await held_back(small, message)
    await edits(small, small.owner, message, (await draft(small, 1)).text, "unseen")
    assert "has changed since you saw it" in said(await small.reviewer.click(message, label="Approve"))


async def test_who_edited_need_not_see_it_again(small: World):
    (message,) = await written(small)
    await held_back(small, message)
    await edits(small, small.reviewer, message, "the first of two")
    await edits(small, small.owner, message, "the second of two")
    assert "has changed since you saw it" in said(await small.reviewer.click(message, label="Approve"))
    assert "Draft 1 is approved" in said(await small.owner.click(message, label="Approve"))
    await let_go(small)
    await becomes(small, message, "Uploaded")
    assert on_blog(small) == 1


async def test_an_approval_that_the_message_does_not_show_yet_changes_nothing_about_the_text(tmp_path: Path):
    async with small_world(tmp_path, configure=reviewing(approvals_needed=2)) as world:
        (message,) = await written(world)
        await held_back(world, message)
        assert "It takes 1 more." in said(await world.owner.click(message, label="Approve"))
        assert "Draft 1 is approved" in said(await world.reviewer.click(message, label="Approve"))


async def test_an_old_message_of_a_draft_approves_only_what_it_shows(small: World):
    (old,) = await written(small)
    await small.owner.slash(small.channel, "drafts show", number=1)
    new = (await small.drafts_shown(2))[-1]
    await edits(small, small.owner, new, "only in the newer message")
    await becomes(small, new, "only in the newer message")
    assert "has changed since you saw it" in said(await small.reviewer.click(old, label="Approve"))
    await edits(small, small.owner, new, old.embeds[0].description or "")
    assert "Draft 1 is approved" in said(await small.reviewer.click(old, label="Approve"))


# --- rejected -----------------------------------------------------------------------------------------------------


async def test_a_rejection_can_be_explained_and_taken_back(small: World):
    (message,) = await written(small)
    told = await small.reviewer.click(message, label="Reject")
    assert buttons(answer(told).message) == ["Say why"]
    form = await small.reviewer.click(answer(told), label="Say why")
    result = await small.reviewer.submit_modal(form, {"reason": "too sad for @everyone"})
    assert "Noted for draft 1" in said(result)
    receipt = await becomes(small, message, "Why: too sad for @\u200beveryone", f"Rejected by {small.reviewer.name}")
    assert await rows(small, "SELECT action, reason FROM decisions") == [("reject", "too sad for @everyone")]
    # Another person cannot put words into the reviewer's mouth.
    form = await small.owner.click(receipt, label="Say why")
    assert "is not yours any more" in said(await small.owner.submit_modal(form, {"reason": "no"}))
    assert await rows(small, "SELECT reason FROM decisions") == [("too sad for @everyone",)]
    assert "Draft 1 is back" in said(await small.owner.click(receipt, label="Undo"))
    back = await becomes(small, message, "Waiting for you")
    assert buttons(back) == ["Approve", "Edit", "Regenerate", "Reject"]
    await small.owner.click(back, label="Approve")
    await becomes(small, message, "Uploaded")
    assert [a for (a,) in await rows(small, "SELECT action FROM decisions ORDER BY id")] == [
        "reject",
        "undo",
        "approve",
    ]


async def test_two_people_undo_at_once_and_one_is_told(small: World):
    (message,) = await written(small)
    await small.owner.click(message, label="Reject")
    receipt = await becomes(small, message, "It will not be posted")
    results = await together(small, (small.owner, receipt, "Undo"), (small.reviewer, receipt, "Undo"))
    assert sorted("is back" in said(result) for result in results) == [False, True]
    assert len(await rows(small, "SELECT * FROM decisions WHERE action = 'undo'")) == 1


# --- on Tumblr ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["owner", "reviewer"])
async def test_undo_of_an_upload_asks_first_and_deletes_then(small: World, who: str):
    (message,) = await written(small)
    await small.owner.click(message, label="Approve")
    receipt = await becomes(small, message, "Uploaded")
    actor = getattr(small, who)
    asked = await actor.click(receipt, label="Undo")
    assert f"Delete it from the drafts of **{small.blog_name}**?" in said(asked).replace("\\", "")
    assert buttons(answer(asked).message) == ["Delete it from the drafts"]
    await pause()
    assert (on_blog(small), calls(small.tumblr.requests, "POST", DELETE)) == (1, [])
    told = await actor.click(answer(asked), label="Delete it from the drafts")
    assert "is being deleted from the drafts of" in said(told)
    back = await becomes(small, message, "Waiting for you", "It was deleted from the drafts of")
    assert buttons(back) == ["Approve", "Edit", "Regenerate", "Reject"]
    assert on_blog(small) == 0
    assert (await rows(small, "SELECT user_id, action FROM decisions ORDER BY id"))[-1] == (actor.id, "remove")
    # The old confirmation is for the post that is gone, whatever comes after it.
    await small.owner.click(back, label="Approve")
    await becomes(small, message, "Uploaded")
    assert "the bot does not take it back" in said(await actor.click(answer(asked), label="Delete it from the drafts"))
    await pause()
    assert on_blog(small) == 1


async def test_a_lost_deletion_is_settled_by_looking_and_survives_a_restart(small: World):
    (message,) = await written(small)
    await small.owner.click(message, label="Approve")
    receipt = await becomes(small, message, "Uploaded")
    small.tumblr.faults.schedule(Fault("POST", "/v2/blog/*/post/delete", "reset_after"))
    small.tumblr.faults.schedule(Fault("GET", "/v2/blog/*/posts/draft", "status", 500, times=4))
    asked = await small.owner.click(receipt, label="Undo")
    await small.restart()
    await small.owner.click(answer(asked), label="Delete it from the drafts")
    await becomes(small, message, "Waiting for you")
    assert (on_blog(small), len(calls(small.tumblr.requests, "POST", DELETE))) == (0, 1)


async def test_two_people_who_confirm_a_deletion_delete_once(small: World):
    (message,) = await written(small)
    await small.owner.click(message, label="Approve")
    receipt = await becomes(small, message, "Uploaded")
    first = answer(await small.owner.click(receipt, label="Undo")).message
    second = answer(await small.reviewer.click(receipt, label="Undo")).message
    label = "Delete it from the drafts"
    results = await together(small, (small.owner, first, label), (small.reviewer, second, label))
    assert sum("is being deleted from the drafts" in said(result) for result in results) == 1
    await becomes(small, message, "Waiting for you")
    assert len(calls(small.tumblr.requests, "POST", DELETE)) == 1


async def test_what_was_published_offers_no_undo(tmp_path: Path):
    async with small_world(tmp_path, configure=reviewing(UploadState.PUBLISHED)) as world:
        (message,) = await written(world)
        await world.owner.click(message, label="Approve")
        receipt = await becomes(world, message, "Uploaded")
        assert buttons(receipt) == ["Open on Tumblr"]
        result = await forged(world, world.owner, receipt, "draft:1:undo")
        assert "the bot does not take it back" in said(result)
        post_id = (await draft(world, 1)).post_id
        result = await forged(world, world.owner, receipt, f"draft:1:remove:{post_id}")
        assert "the bot does not take it back" in said(result)
        await pause()
        assert calls(world.tumblr.requests, "POST", DELETE) == []


# --- regenerated --------------------------------------------------------------------------------------------------


async def test_a_replaced_draft_is_brought_back_and_can_be_regenerated_again(small: World):
    (message,) = await written(small)
    await small.owner.click(message, label="Regenerate")
    first, second = await small.drafts_shown(2)
    set_aside = await becomes(small, first, "Set aside by")
    assert "Draft 1 is back" in said(await small.reviewer.click(set_aside, label="Bring back"))
    back = await becomes(small, first, "Waiting for you")
    assert "is already pending" not in said(await small.owner.click(back, label="Regenerate"))
    third = (await small.drafts_shown(3))[-1]
    assert "Instead of: draft 1" in describe(third)
    for message in (second, third):
        await small.owner.click(message, label="Reject")
    assert len(await rows(small, "SELECT * FROM drafts")) == 3


async def test_what_was_brought_back_and_uploaded_is_not_undone_by_a_failed_regeneration(small: World):
    (message,) = await written(small)
    small.openai.faults.schedule(Fault("POST", "/v1/chat/completions", "hang", times=9))
    await small.owner.click(message, label="Regenerate")
    await small.app.drafts.restore(1, Person(small.owner.id, "keeper"))
    await small.app.drafts.approve(1, Person(small.owner.id, "keeper"))
    await becomes(small, message, "Uploaded")
    await pause(1.0)
    assert (await draft(small, 1)).state is DraftState.UPLOADED
    assert on_blog(small) == 1


# --- long texts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["\n\n".join(f"paragraph {n} " + "word " * 50 for n in range(24)).strip(), "👨‍👩‍👧" * 800, "שלום " * 1500],
)
async def test_a_cut_text_can_be_read_in_full(small: World, text: str):
    (message,) = await written(small)
    assert "Read all" not in buttons(message)
    await small.app.drafts.edit(1, Person(1, "keeper"), text=text, tags="tide")
    shown = await becomes(small, message, "…")
    assert "#tide" in (shown.embeds[0].description or "")
    result = await small.reviewer.click(shown, label="Read all")
    assert result.response is not None
    parts = [result.response, *result.followups]
    pages = [page.message for page in parts]
    assert all(page.ephemeral for page in parts)
    assert len(pages) > 1
    read = "".join((page.embeds[0].description or "") for page in pages)
    assert "".join(read.split()) == "".join((text.strip() + "#tide").split())


async def test_a_very_long_text_comes_as_a_file(small: World):
    (message,) = await written(small)
    text = "\n\n".join("@everyone ``` [x](https://a.invalid) " * 20 for _ in range(20)).strip()
    await small.app.drafts.edit(1, Person(1, "keeper"), text=text, tags="")
    shown = await becomes(small, message, "…")
    result = await small.owner.click(shown, label="Read all")
    (file,) = answer(result).message.attachments
    assert (await file.read()).decode() == text


def test_the_avatar_is_tumblrs_and_only_over_https():
    settings = Settings()
    assert render(_some_draft(), settings).embed.author.icon_url == ("https://api.tumblr.com/v2/blog/keeper/avatar/64")
    local = settings.model_copy(
        update={"tumblr": settings.tumblr.model_copy(update={"api_url": "http://127.0.0.1:1234"})}
    )
    assert render(_some_draft(), local).embed.author.icon_url is None


def test_what_the_guards_found_and_how_close_it_is_stand_on_the_message():
    from dataclasses import replace

    from bot.drafts import Closest, Finding

    found = replace(
        _some_draft(),
        held_back=True,
        findings=(Finding("close", "It repeats 12 words of a post."), Finding("flagged", "It was flagged.")),
        closeness=0.824,
        closest=Closest("a post", "https://keeper.tumblr.com/post/1"),
    )
    text = describe(render(found, Settings()).embed)
    assert "Held back: It repeats 12 words of a post. It was flagged." in text
    offered = describe(render(replace(found, held_back=False), Settings()).embed)
    assert "Found in it: It repeats 12 words of a post. It was flagged." in offered
    assert "Close to the training data: 82%, to [this post](https://keeper.tumblr.com/post/1)" in text


def _some_draft():
    from bot.drafts import Draft

    return Draft(
        id=1, state=DraftState.PENDING, text="a text", tags=(), prompt="p", voice_id=1, voice_name="few-shot",
        job_id=None, replaces=None, blog="keeper", upload_state=UploadState.DRAFT, created_at=0.0, cost=0.0, version=1,
        shown_version=0, channel_id=None, message_id=None, post_id=None, post_url=None, decided_by=None,
        decided_at=None, note="", edited=False,
    )  # fmt: skip


# --- who decides --------------------------------------------------------------------------------------------------


async def test_a_draft_that_needs_two_goes_only_with_the_second(tmp_path: Path):
    async with small_world(tmp_path, configure=reviewing(approvals_needed=2)) as world:
        (message,) = await written(world)
        assert "It takes 2 more people." in field(message, "Waiting for you")
        assert "It takes 1 more." in said(await world.owner.click(message, label="Approve"))
        shown = await becomes(world, message, f"Approved by {world.owner.name} so far.", "One more *Approve* saves it")
        again = said(await world.owner.click(shown, label="Approve"))
        assert "You have approved draft 1 already." in again
        await pause()
        assert on_blog(world) == 0
        # Another text is another thing to approve.
        form = await world.reviewer.click(shown, label="Edit")
        await world.reviewer.submit_modal(form, {"text-1": "another text", "tags": ""})
        shown = await becomes(world, message, "another text", "It takes 2 more people.")
        await world.reviewer.click(shown, label="Approve")
        await becomes(world, message, f"Approved by {world.reviewer.name} so far.")
        assert "is approved and will be saved" in said(await world.owner.click(shown, label="Approve"))
        await becomes(world, message, "Uploaded", f"Approved by {world.reviewer.name} and {world.owner.name}")
        assert on_blog(world) == 1


async def test_two_presses_of_one_person_at_once_count_once(tmp_path: Path):
    async with small_world(tmp_path, configure=reviewing(approvals_needed=2)) as world:
        (message,) = await written(world)
        await together(world, (world.owner, message, "Approve"), (world.owner, message, "Approve"))
        await pause()
        assert (await draft(world, 1)).state is DraftState.PENDING
        assert len(await rows(world, "SELECT * FROM decisions")) == 1


async def test_only_the_roles_that_decide_decide(small: World):
    role = small.env.guild.create_role("Deciders")
    review(small, decider_role_ids=[role.id])
    first, second, third = await written(small, 3)
    await small.owner.click(second, label="Reject")
    rejected = await becomes(small, second, "Rejected")
    await small.owner.click(third, label="Approve")
    uploaded = await becomes(small, third, "Uploaded")
    open_review = await small.reviewer.slash(small.channel, "drafts review")
    listed = await small.reviewer.slash(small.channel, "drafts list")
    await pause()
    before = await everything(small)
    post_id = (await draft(small, 3)).post_id
    presses = [(first, f"draft:1:{press}") for press in ("approve", "edit", "regenerate", "reject", "form")]
    presses += [(rejected, "draft:2:undo"), (rejected, "draft:2:why"), (rejected, "draft:2:restore")]
    presses += [(uploaded, "draft:3:undo"), (uploaded, f"draft:3:remove:{post_id}")]
    presses += [(first, f"review:1:1:{step}") for step in ("approve", "edit", "regenerate", "reject", "undo")]
    presses += [(first, "drafts-approve:waiting:0:0:"), (first, "drafts-reject:waiting:0:0:")]
    for message, custom_id in presses:
        if custom_id.endswith("form"):
            continue
        result = await forged(small, small.reviewer, message, custom_id)
        assert result.modal is None, custom_id
        assert "Only some roles decide about drafts here." in said(result), custom_id
    result = await forged(small, small.reviewer, first, "drafts-choose:waiting:0:0:", ["1:1"])
    assert "Only some roles decide" in said(result)
    assert await everything(small) == before
    assert "Draft 1" in describe(open_review.response.message)  # type: ignore[union-attr]
    assert "Draft 1" in describe(listed.response.message)  # type: ignore[union-attr]
    small.env.backend.get_guild(small.env.guild.id).members[small.reviewer.id].role_ids.append(role.id)
    assert "is rejected" in said(await small.reviewer.click(first, label="Reject"))


@pytest.mark.parametrize("press", ["undo", "restore", "why", "read", "remove:77", "approve"])
async def test_a_press_on_a_draft_that_is_no_more_or_waits_is_a_sentence(small: World, press: str):
    (message,) = await written(small)
    await pause()
    before = await everything(small)
    if press not in {"approve", "read"}:
        result = await forged(small, small.owner, message, f"draft:1:{press}")
        assert said(result).startswith(("Draft 1 waits", "Draft 1 is not rejected"))
    result = await forged(small, small.owner, message, f"draft:99:{press}")
    assert said(result).startswith(("Draft 99 does not exist", "Draft 99 is not rejected"))
    assert await everything(small) == before


# --- time ---------------------------------------------------------------------------------------------------------


async def test_published_drafts_take_turns_and_a_waiting_one_can_be_taken_back(tmp_path: Path, watch: Watch):
    configure = reviewing(UploadState.PUBLISHED, posts_a_day=4)
    async with small_world(tmp_path, configure=configure, clock=watch) as world:
        first, second, third = await written(world, 3)
        assert "when its turn has come" in field(first, "Waiting for you")
        for message in (first, second, third):
            assert "when its turn has come: <t:" in said(await world.owner.click(message, label="Approve"))
        await becomes(world, first, "Uploaded", "Published on")
        waits = await becomes(world, second, "Approved", "It goes to", "on <t:")
        assert buttons(waits) == ["Undo"]
        await pause(0.2)
        assert on_blog(world) == 1
        assert "is back" in said(await world.reviewer.click(waits, label="Undo"))
        await becomes(world, second, "Waiting for you")
        watch.ahead += 6 * 3600 + 60
        wake(world)
        await pause(0.2)
        assert on_blog(world) == 1, "the third one's turn is in twelve hours"
        watch.ahead += 6 * 3600
        wake(world)
        await becomes(world, third, "Uploaded", "Published on")
        assert on_blog(world) == 2


async def test_after_a_pause_they_still_keep_their_distance(tmp_path: Path, watch: Watch):
    configure = reviewing(UploadState.PUBLISHED, posts_a_day=4)
    async with small_world(tmp_path, configure=configure, clock=watch) as world:
        messages = await written(world, 3)
        for message in messages:
            await world.owner.click(message, label="Approve")
        await becomes(world, messages[0], "Uploaded")
        watch.ahead += 3 * 86_400  # nobody was there
        wake(world)
        await becomes(world, messages[1], "Uploaded")
        await pause(0.2)
        assert on_blog(world) == 2
        assert (await draft(world, 3)).state is DraftState.APPROVED
        assert ((await draft(world, 3)).publish_at or 0) > watch() + 5 * 3600


async def test_a_queue_is_told_when(tmp_path: Path, watch: Watch):
    configure = reviewing(UploadState.QUEUE, posts_a_day=2)
    async with small_world(tmp_path, configure=configure, clock=watch) as world:
        first, second = await written(world, 2)
        for message in (first, second):
            await world.owner.click(message, label="Approve")
        await becomes(world, second, "Uploaded", "The queue publishes it on <t:")
        one, other = world.tumblr.blogs[world.blog_name].queue
        apart = other["scheduled_publish_time"] - one["scheduled_publish_time"]
        assert 12 * 3600 - 400 < apart < 12 * 3600 + 400
        assert one["scheduled_publish_time"] > watch()
        asked = await world.owner.click(now(world, second), label="Undo")
        assert "from the queue of" in said(asked)
        await world.owner.click(answer(asked), label="Delete it from the queue")
        await becomes(world, second, "Waiting for you")
        assert len(world.tumblr.blogs[world.blog_name].queue) == 1


async def test_a_queue_keeps_its_distance_after_a_pause(tmp_path: Path, watch: Watch):
    configure = reviewing(UploadState.QUEUE, posts_a_day=2)
    async with small_world(tmp_path, configure=configure, clock=watch) as world:
        messages = await written(world, 3)
        limit = {"meta": {"status": 429}, "response": []}
        world.tumblr.faults.schedule(Fault("POST", "/v2/blog/*/posts", "status", 429, limit, {"Retry-After": "200000"}))
        for message in messages:
            await world.owner.click(message, label="Approve")
        await becomes(world, messages[2], "It will be sent <t:")
        watch.ahead += 200_100
        wake(world)
        for message in messages:
            await becomes(world, message, "Uploaded")
        times = sorted(post["scheduled_publish_time"] for post in world.tumblr.blogs[world.blog_name].queue)
        assert times[0] > watch()
        assert all(later - earlier >= 12 * 3600 - 1 for earlier, later in itertools.pairwise(times))


async def test_a_tumblr_draft_needs_no_turn(tmp_path: Path, watch: Watch):
    async with small_world(tmp_path, configure=reviewing(posts_a_day=1), clock=watch) as world:
        for message in await written(world, 2):
            await world.owner.click(message, label="Approve")
            await becomes(world, message, "Uploaded")


async def test_a_draft_that_nobody_decides_about_expires_and_comes_back(tmp_path: Path, watch: Watch):
    async with small_world(tmp_path, configure=reviewing(expiry_days=7), clock=watch) as world:
        (message,) = await written(world)
        watch.ahead += 6.9 * 86_400
        await world.app.drafts.let_expire()
        assert (await draft(world, 1)).state is DraftState.PENDING
        watch.ahead += 0.2 * 86_400
        await world.app.drafts.let_expire()
        gone = await becomes(world, message, "Rejected by the bot", "*Undo* brings it back")
        await world.reviewer.click(gone, label="Undo")
        await becomes(world, message, "Waiting for you")
        await world.app.drafts.let_expire()
        assert (await draft(world, 1)).state is DraftState.PENDING, "its days begin anew"
        review(world, expiry_days=0)
        watch.ahead += 100 * 86_400
        await world.app.drafts.let_expire()
        assert (await draft(world, 1)).state is DraftState.PENDING


async def test_a_draft_that_was_approved_and_then_refused_waits_for_a_person_however_old_it_is(
    tmp_path: Path, watch: Watch
):
    configure = reviewing(UploadState.PUBLISHED, expiry_days=7)
    async with small_world(tmp_path, configure=configure, clock=watch) as world:
        pause_of_ten_days = {"Retry-After": str(10 * 86_400)}
        limit = {"meta": {"status": 429}, "response": []}
        refusal = {"meta": {"status": 400}, "response": []}
        world.tumblr.faults.schedule(
            Fault("POST", "/v2/blog/*/posts", "status", 429, limit, pause_of_ten_days),
            Fault("POST", "/v2/blog/*/posts", "status", 400, refusal),
        )
        (message,) = await written(world)
        await world.owner.click(message, label="Approve")
        await becomes(world, message, "It will be sent <t:")
        watch.ahead += 10 * 86_400 + 100
        wake(world)
        await becomes(world, message, "Waiting for you", "Tumblr did not take it.")
        await world.app.drafts.let_expire()
        assert (await draft(world, 1)).state is DraftState.PENDING


async def test_the_reminder_comes_once_a_day_and_pings_nobody(tmp_path: Path, watch: Watch):
    from datetime import UTC, datetime

    async with small_world(tmp_path, clock=watch) as world:
        await written(world, 2)
        await pause(0.3)
        assert not reminders(world), "off unless it is asked for"
        at = datetime.fromtimestamp(watch(), UTC)
        tomorrow_at_nine = (33 - at.hour) * 3600 - at.minute * 60
        watch.ahead += tomorrow_at_nine - 3600
        review(world, reminder_hour=9)
        await pause(0.3)
        assert not reminders(world), "not before its hour"
        watch.ahead += 3600 + 60
        (shown,) = await world.until(lambda: reminders(world))
        assert shown.content == "2 drafts wait for a decision: /drafts review."
        await world.restart()
        await pause(0.3)
        assert len(reminders(world)) == 1
        watch.ahead += 86_400
        await world.until(lambda: len(reminders(world)) == 2)
        sent = [e for e in world.env.http_requests if e.method == "POST" and "drafts review" in str(e.json)]
        assert all(e.json["allowed_mentions"]["parse"] == [] and e.json["flags"] & 4096 for e in sent)


def reminders(world: World) -> list[discord.Message]:
    return [message for message in world.messages if "for a decision: /drafts review." in message.content]
