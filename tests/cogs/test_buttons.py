"""Every button and the form, as the owner and as a reviewer; presses that come late, twice or together."""

from __future__ import annotations

from pathlib import Path

import discord
import pytest

from bot.demo.faults import Fault
from bot.demo.world import World, describe
from bot.drafts import DraftState
from bot.jobs.runner import JobState
from tests.cogs.acts import (
    answer,
    becomes,
    buttons,
    calls,
    draft,
    everything,
    hour_is_over,
    line,
    now,
    outcome,
    pause,
    rows,
    said,
    shown_with,
    small_world,
    text_post,
    together,
    up_to,
    written,
)

POSTS = "/v2/blog/*/posts"


def texts_on_blog(world: World) -> list[str]:
    return ["\n\n".join(b["text"] for b in post["content"]) for post in world.tumblr.blogs[world.blog_name].drafts]


# --- what each button does ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["owner", "reviewer"])
async def test_approve_puts_the_draft_on_the_blog_and_leaves_a_receipt(small: World, who: str):
    (message,) = await written(small)
    assert "saves it as a draft on **lighthouse\\-keepers\\-log**" in describe(message).replace(
        "keepers-", "keepers\\-"
    ).replace("lighthouse-", "lighthouse\\-")
    assert buttons(message) == ["Approve", "Edit", "Regenerate", "Reject"]
    actor = getattr(small, who)
    before = await draft(small, message)
    assert said(await actor.click(message, label="Approve")).startswith("Draft 1 is approved")
    receipt = await becomes(small, message, "Uploaded", "Saved as a draft on", f"Approved by {actor.name}")
    assert buttons(receipt) == ["Open on Tumblr", "Undo"]
    link = receipt.components[0].children[0]  # type: ignore[union-attr]
    assert link.url == f"https://www.tumblr.com/blog/{small.blog_name}/drafts"
    assert [" ".join(text.split()) for text in texts_on_blog(small)] == [" ".join(before.text.split())]
    assert small.tumblr.blogs[small.blog_name].drafts[0]["state"] == "draft"
    (post,) = calls(small.tumblr.requests, "POST", "/posts")
    assert post.body["state"] == "draft"
    decided = await rows(small, "SELECT user_id, user_name, action, state_before, state_after FROM decisions")
    assert decided == [(actor.id, actor.name, "approve", "pending", "approved")]


async def test_edit_shows_the_text_and_keeps_what_is_written(small: World):
    (message,) = await written(small)
    before = await draft(small, message)
    form = await small.reviewer.click(message, label="Edit")
    assert form.modal is not None
    fields = [row["components"][0] for row in form.modal["components"]]
    assert "".join(field["value"] for field in fields[:-1]) == before.text
    assert fields[-1]["value"] == ", ".join(before.tags)
    result = await small.reviewer.submit_modal(
        form, {"text-1": "  the lamp was cold.\n\nwe waited.", "tags": "#lamp, cold , lamp"}
    )
    assert said(result).startswith("Draft 1 has its new text.\nWhat changed\n~~")
    assert "**#lamp #cold**" in said(result)
    shown = await becomes(small, message, "the lamp was cold.", "#lamp #cold", "by hand")
    assert buttons(shown) == ["Approve", "Edit", "Regenerate", "Reject"]
    await small.owner.click(shown, label="Approve")
    await becomes(small, message, "Uploaded")
    assert texts_on_blog(small) == ["the lamp was cold.\n\nwe waited."]
    recorded = await rows(small, "SELECT action, text_before, text_after FROM decisions ORDER BY id")
    assert recorded[0] == ("edit", before.text, "the lamp was cold.\n\nwe waited.")


async def test_an_edit_to_nothing_is_refused_and_changes_nothing(small: World):
    (message,) = await written(small)
    before = await everything(small)
    form = await small.owner.click(message, label="Edit")
    result = await small.owner.submit_modal(form, {"text-1": " \n ", "tags": ""})
    assert said(result) == "A post needs some text. Reject the draft if it should not be posted."
    assert await everything(small) == before


async def test_regenerate_sets_the_draft_aside_and_shows_another(small: World):
    (message,) = await written(small)
    assert "another one is being written" in said(await small.owner.click(message, label="Regenerate"))
    first, second = await small.drafts_shown(2)
    replaced = await becomes(small, first, "Replaced", f"Set aside by {small.owner.name}")
    assert buttons(replaced) == ["Bring back"]
    assert "Instead of: draft 1" in describe(second)
    assert buttons(second) == ["Approve", "Edit", "Regenerate", "Reject"]
    assert (await draft(small, second)).prompt == (await draft(small, first)).prompt


async def test_a_regeneration_that_fails_brings_the_draft_back_with_the_reason(small: World):
    (message,) = await written(small)
    small.openai.faults.schedule(
        Fault("POST", "/v1/chat/completions", "status", 401, {"error": {"message": "no"}}, times=5)
    )
    await small.owner.click(message, label="Regenerate")
    back = await becomes(
        small, message, "Waiting for you", "It could not be regenerated.", "does not accept the API key"
    )
    small.openai.faults.clear()
    await small.owner.click(back, label="Approve")
    await becomes(small, message, "Uploaded")


async def test_reject_keeps_the_draft_from_the_blog(small: World):
    (message,) = await written(small)
    assert "It will not be posted" in said(await small.reviewer.click(message, label="Reject"))
    receipt = await becomes(small, message, "Rejected", f"by {small.reviewer.name}", "It will not be posted.")
    assert buttons(receipt) == ["Undo", "Say why"]
    await pause()
    assert texts_on_blog(small) == []
    assert not calls(small.tumblr.requests, "POST", "/posts")


async def in_doubt(world: World) -> discord.Message:
    """A draft whose upload was lost, with nothing on the blog to be found."""
    (message,) = await written(world)
    world.tumblr.faults.schedule(Fault("POST", POSTS, "reset_before"))
    await world.owner.click(message, label="Approve")
    return await becomes(world, message, "Tumblr's answer was lost, and it was not found")


async def test_a_lost_answer_is_first_looked_for_and_found(small: World):
    (message,) = await written(small)
    small.tumblr.faults.schedule(Fault("POST", POSTS, "reset_after"))
    await small.owner.click(message, label="Approve")
    receipt = await becomes(small, message, "Uploaded", "Saved as a draft on")
    assert buttons(receipt) == ["Open on Tumblr", "Undo"]
    assert len(texts_on_blog(small)) == 1
    assert len(calls(small.tumblr.requests, "POST", "/posts")) == 1


async def test_it_is_on_the_blog_settles_a_lost_answer(small: World):
    message = await in_doubt(small)
    assert buttons(message) == ["It is on the blog", "Send again"]
    assert "noted as uploaded" in said(await small.reviewer.click(message, label="It is on the blog"))
    await becomes(small, message, "Uploaded")
    await pause()
    assert len(calls(small.tumblr.requests, "POST", "/posts")) == 1
    assert (await draft(small, message)).state is DraftState.UPLOADED


async def test_send_again_sends_once_more_and_never_by_itself(small: World):
    message = await in_doubt(small)
    assert len(calls(small.tumblr.requests, "POST", "/posts")) == 1
    assert "is being sent again" in said(await small.owner.click(message, label="Send again"))
    await becomes(small, message, "Uploaded", "Saved as a draft on")
    assert len(calls(small.tumblr.requests, "POST", "/posts")) == 2
    assert len(texts_on_blog(small)) == 1


async def test_stop_ends_a_job_and_keeps_what_was_done(tmp_path: Path):
    async with small_world(tmp_path, posts=60) as world:
        world.tumblr.page_limit = 20
        world.tumblr.hour_limit = 4  # the account, the blog, two pages, and then there is a wait
        await world.owner.slash(world.channel, "download")
        shown = await world.until(
            lambda: m[-1] if (m := shown_with(world, "Downloading posts")) and "Waiting" in line(m[-1]) else None
        )
        assert buttons(shown) == ["Stop"]
        assert said(await world.reviewer.click(shown, label="Stop")) == (
            "It is being stopped. What was done until now is kept."
        )
        ended = await outcome(world, "download")
        assert line(ended) == "Stopped. What was done until then is kept."
        assert buttons(ended) == ["Download posts"]
        ((kept,),) = await rows(world, "SELECT count(*) FROM posts")
        assert 20 < kept < 60
        hour_is_over(world)
        again = await world.owner.click(ended, label="Download posts")
        assert said(again).startswith("The download has started.")
        await world.until(lambda: len(shown_with(world, "Downloading posts")) == 2)
        assert f"{60 - kept} new posts" in line(await outcome(world, "download", after=1))


async def test_stop_cancels_a_training_at_its_service_too(small: World):
    await up_to(small, "examples")
    small.openai.training_seconds = 60.0
    offer = await small.owner.slash(small.channel, "finetune")
    await small.owner.click(answer(offer), label="Start training")
    shown = await small.until(
        lambda: m[-1] if (m := shown_with(small, "Training a voice")) and " says: " in line(m[-1]) else None
    )
    await small.owner.click(shown, label="Stop")
    assert "Stopped." in line(await outcome(small, "finetune"))
    await small.until(lambda: calls(small.openai.requests, "POST", "/cancel"))
    states = await small.until(
        lambda: s if "cancelled" in (s := [j.status for j in small.openai.state.jobs.values()]) else None
    )
    assert states == ["cancelled"]


async def test_stop_of_a_job_that_has_ended_says_so(small: World):
    small.tumblr.hour_used = small.tumblr.hour_limit
    await small.owner.slash(small.channel, "download")
    shown = await small.until(
        lambda: m[-1] if (m := shown_with(small, "Downloading posts")) and "Waiting" in line(m[-1]) else None
    )
    first, second = await together(small, (small.owner, shown, "Stop"), (small.reviewer, shown, "Stop"))
    assert "is being stopped" in said(first)
    assert said(second)
    await outcome(small, "download")
    assert (await small.app.runner.get(1)).state is JobState.CANCELLED  # type: ignore[union-attr]


# --- late, twice, together ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["Approve", "Edit", "Regenerate", "Reject"])
async def test_a_press_on_a_draft_already_decided_is_explained(small: World, label: str):
    (message,) = await written(small)
    await small.owner.click(message, label="Reject")
    await becomes(small, message, "Rejected")
    # On a phone that has not caught up, the old buttons are still there.
    small.env.backend.get_message(small.channel.id, message.id).components = [
        row.to_dict() for row in message.components
    ]
    before = await everything(small)
    (result,) = await together(small, (small.reviewer, message, label))
    assert result.modal is None
    assert "rejected" in said(result)
    assert "See /drafts list for those that wait." in said(result)
    await pause()
    assert await everything(small) == before


async def test_two_people_at_once_make_one_decision(small: World):
    (message,) = await written(small)
    results = await together(small, (small.owner, message, "Approve"), (small.reviewer, message, "Reject"))
    answers = [said(result) for result in results]
    decisions = await rows(small, "SELECT action FROM decisions")
    assert len(decisions) == 1
    assert sum("cannot be changed" in text for text in answers) == 1
    await pause(0.2)
    assert len(texts_on_blog(small)) == (decisions[0][0] == "approve")


async def test_two_approvals_at_once_upload_once(small: World):
    (message,) = await written(small)
    results = await together(
        small, *[(actor, message, "Approve") for actor in (small.owner, small.reviewer, small.owner)]
    )
    assert sum(said(result).startswith("Draft 1 is approved") for result in results) == 1
    await becomes(small, message, "Uploaded")
    await pause()
    assert len(calls(small.tumblr.requests, "POST", "/posts")) == 1
    assert len(texts_on_blog(small)) == 1


async def test_a_decision_while_the_form_is_open_wins(small: World):
    (message,) = await written(small)
    form = await small.owner.click(message, label="Edit")
    await small.reviewer.click(message, label="Reject")
    result = await small.owner.submit_modal(form, {"text-1": "too late", "tags": ""})
    assert f"it is rejected by {small.reviewer.name}" in said(result)
    assert (await draft(small, message)).text != "too late"
    assert result.response is not None
    (typed,) = result.response.message.attachments
    assert (await typed.read()).decode() == "too late", "whoever typed it need not type it again"


async def test_buttons_and_an_open_form_survive_a_restart(small: World):
    first, second, third = await written(small, 3)
    await small.restart()
    await small.owner.click(now(small, first), label="Approve")
    await becomes(small, first, "Uploaded")
    form = await small.owner.click(now(small, second), label="Edit")
    await small.owner.submit_modal(form, {"text-1": "after the restart", "tags": ""})
    await becomes(small, second, "after the restart")
    await small.owner.click(now(small, third), label="Reject")
    await becomes(small, third, "Rejected")
    assert len(small.drafts()) == 3


async def test_a_form_that_was_open_across_a_restart_loses_nothing(small: World):
    (message,) = await written(small)
    form = await small.owner.click(message, label="Edit")
    await small.restart()
    result = await small.owner.submit_modal(form, {"text-1": "written during the update", "tags": ""})
    assert said(result).startswith("Draft 1 has its new text.")
    await becomes(small, message, "written during the update")


async def test_two_people_with_the_form_open_lose_nothing(small: World):
    (message,) = await written(small)
    first = await small.owner.click(message, label="Edit")
    second = await small.reviewer.click(message, label="Edit")
    assert said(await small.owner.submit_modal(first, {"text-1": "the owner's words", "tags": ""})).startswith(
        "Draft 1 has its new text."
    )
    assert said(await small.reviewer.submit_modal(second, {"text-1": "the reviewer's", "tags": ""})).startswith(
        "Draft 1 has its new text."
    )
    assert await rows(small, "SELECT user_id, text_after FROM decisions ORDER BY id") == [
        (small.owner.id, "the owner's words"),
        (small.reviewer.id, "the reviewer's"),
    ]


async def test_next_step_stop_and_training_buttons_survive_a_restart(small: World):
    await up_to(small, "examples")
    offer = answer(await small.owner.slash(small.channel, "finetune"))
    shown = shown_with(small, "Making training data")[-1]
    await small.restart()
    await small.owner.click(now(small, shown), label="Moderate next")
    assert "set aside" in line(await outcome(small, "moderate"))
    small.openai.training_seconds = 60.0
    (started,) = await together(small, (small.owner, offer.message, "Start training"))
    assert said(started).startswith("The training has started.")
    running = await small.until(
        lambda: m[-1] if " says: " in line((m := shown_with(small, "Training a voice") or [shown])[-1]) else None
    )
    await small.restart()
    await small.owner.click(now(small, running), label="Stop")
    assert "Stopped." in line(await outcome(small, "finetune"))


async def test_a_draft_whose_message_was_deleted_is_shown_anew(small: World):
    (message,) = await written(small)
    small.env.backend.delete_message(small.channel.id, message.id)
    await small.env.settle()
    await small.app.drafts.approve(1, _person(small))
    receipt = await small.until(lambda: d[0] if (d := small.drafts()) and "Uploaded" in describe(d[0]) else None)
    assert receipt.id != message.id
    assert len(texts_on_blog(small)) == 1


async def test_a_press_on_a_draft_that_is_no_more_is_explained(small: World):
    (message,) = await written(small)
    async with small.app.database.write() as connection:
        await connection.execute("DELETE FROM drafts")
    for label in ("Approve", "Reject", "Regenerate"):
        assert "Draft 1 does not exist any more." in said(await small.owner.click(message, label=label))
    result = await small.owner.click(message, label="Edit")
    assert result.modal is None
    assert "Draft 1 cannot be edited: it is not here any more." in said(result)


async def test_a_text_as_long_as_tumblr_takes_can_be_edited_in_parts(tmp_path: Path):
    async with small_world(tmp_path, posts=0) as world:
        blog = world.tumblr.blogs[world.blog_name]
        world.tumblr.add_post(blog, text_post("x", 1))
        (message,) = await written(world)
        long = "\n\n".join(f"{n} " + "word " * 750 for n in range(3)).strip()
        await world.app.drafts.edit(1, _person(world), text=long, tags="")
        await becomes(world, message, "by hand")
        form = await world.owner.click(message, label="Edit")
        assert form.modal is not None
        fields = [row["components"][0] for row in form.modal["components"]]
        assert "".join(field["value"] for field in fields[:-1]) == long
        values = {field["custom_id"]: field.get("value", "") for field in fields}
        await world.owner.submit_modal(form, {**values, "tags": "long"})
        await becomes(world, message, "#long")
        assert (await draft(world, 1)).text == long
        await world.owner.click(message, label="Approve")
        await becomes(world, message, "Uploaded")
        assert [" ".join(t.split()) for t in texts_on_blog(world)] == [" ".join(long.split())]


def _person(world: World):
    from bot.drafts import Person

    return Person(world.owner.id, world.owner.name)
