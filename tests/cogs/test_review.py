"""/drafts review, list and export, and what /data export makes of the decisions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import discord
from simcord.results import InteractionResult

from bot.demo.openai_training import read_file
from bot.demo.world import World, describe
from bot.drafts import Person
from cogs.ui import limits
from tests.cogs.acts import (
    answer,
    as_it_stands,
    becomes,
    buttons,
    calls,
    draft,
    pause,
    rows,
    said,
    small_world,
    stage,
    together,
    written,
)
from tests.cogs.test_draft_life import review, reviewing

KEEPER = Person(1, "keeper")


async def begun(world: World, who: str = "owner") -> discord.Message:
    """A review, as its person sees it."""
    result = await getattr(world, who).slash(world.channel, "drafts review")
    assert result.response is not None
    assert result.response.ephemeral or result.ephemeral
    return result.response.message


async def press(world: World, message: discord.Message, label: str, who: str = "owner") -> discord.Message:
    """Press a button of a message that only this person sees; returns it as it stands then."""
    await getattr(world, who).click(as_it_stands(world, message), label=label)
    return as_it_stands(world, message)


def shown(message: discord.Message) -> int:
    """Which draft the review shows."""
    return int((message.embeds[0].footer.text or "").removeprefix("Draft "))


async def states(world: World) -> dict[int, str]:
    return dict(await rows(world, "SELECT id, state FROM drafts ORDER BY id"))  # type: ignore[arg-type]


async def test_a_review_goes_through_what_waits_in_one_message(small: World):
    await written(small, 4)
    messages = len(small.messages)
    message = await begun(small, "reviewer")
    assert shown(message) == 1
    assert message.content == "4 drafts wait."
    assert buttons(message) == ["Approve", "Edit", "Regenerate", "Reject", "Skip"]
    message = await press(small, message, "Approve", "reviewer")
    assert message.content.startswith("Draft 1 is approved and will be saved as a draft on")
    assert message.content.endswith("3 drafts wait.")
    assert shown(message) == 2
    message = await press(small, message, "Skip", "reviewer")
    assert shown(message) == 3
    message = await press(small, message, "Reject", "reviewer")
    assert (shown(message), "Draft 3 is rejected." in message.content) == (4, True)
    assert buttons(message)[5:] == ["Undo draft 3", "Say why not draft 3"]
    message = await press(small, message, "Reject", "reviewer")
    assert "That was the last one. 1 draft waits." in message.content
    message = await press(small, message, "From the start", "reviewer")
    assert shown(message) == 2
    message = await press(small, message, "Reject", "reviewer")
    assert "No draft waits for a decision." in message.content
    await small.until(lambda: len(small.tumblr.blogs[small.blog_name].drafts) == 1)
    visible = [m for m in small.messages if not m.flags.ephemeral]
    assert len(visible) == messages, "not one message more for everybody"
    decided = await rows(small, "SELECT draft_id, action, user_id FROM decisions ORDER BY id")
    assert decided == [(1, "approve", small.reviewer.id)] + [(n, "reject", small.reviewer.id) for n in (3, 4, 2)]


async def test_a_hundred_drafts_take_one_message_and_a_hundred_presses(small: World):
    await written(small, 1)
    async with small.app.database.write() as connection:
        for _ in range(99):
            await connection.execute(
                "INSERT INTO drafts (state, text, tags, original_text, prompt, voice_id, blog, upload_state, cost,"
                " created_at, shown_version) SELECT state, text, tags, original_text, prompt, voice_id, blog,"
                " upload_state, cost, created_at, 1 FROM drafts WHERE id = 1"
            )
    message = await begun(small)
    for number in range(1, 101):
        assert shown(message) == number
        message = await press(small, message, "Reject")
    assert "No draft waits" in message.content
    assert set((await states(small)).values()) == {"rejected"}


async def test_an_edit_in_a_review_shows_what_changed_and_stays(small: World):
    await written(small, 2)
    message = await begun(small)
    form = await small.owner.click(message, label="Edit")
    await small.owner.submit_modal(form, {"text-1": "another text altogether", "tags": "tide"})
    message = as_it_stands(small, message)
    assert shown(message) == 1
    assert "Draft 1 has its new text." in message.content
    assert message.embeds[0].description == "another text altogether\n\n#tide"
    assert message.embeds[1].title == "What changed"
    message = await press(small, message, "Approve")
    assert shown(message) == 2
    await small.until(lambda: len(small.tumblr.blogs[small.blog_name].drafts) == 1)


async def test_a_decision_in_a_review_can_be_taken_back_there(small: World):
    await written(small, 3)
    message = await press(small, await begun(small), "Reject")
    message = await press(small, message, "Undo draft 1")
    assert (shown(message), await states(small)) == (1, {1: "pending", 2: "pending", 3: "pending"})
    message = await press(small, message, "Approve")
    await small.until(lambda: len(small.tumblr.blogs[small.blog_name].drafts) == 1)
    await becomes(small, small.drafts()[0], "Uploaded")
    asked = await small.owner.click(as_it_stands(small, message), label="Undo draft 1")
    (question,) = asked.followups
    assert "Delete it from the drafts of" in describe(question.message)
    await small.owner.click(question, label="Delete it from the drafts")
    await becomes(small, small.drafts()[0], "Waiting for you")
    message = await press(small, message, "Regenerate")
    assert "another one is being written" in message.content
    message = await press(small, message, "Bring back draft 2")
    assert (await states(small))[2] == "pending"


async def test_two_people_who_review_at_once_decide_once_each(small: World):
    await written(small, 3)
    mine, theirs = await begun(small), await begun(small, "reviewer")
    await together(small, (small.owner, mine, "Approve"), (small.reviewer, theirs, "Reject"))
    await small.env.settle()
    texts = [as_it_stands(small, m).content for m in (mine, theirs)]
    assert sum("cannot be changed: it is" in text or "has changed since you saw it" in text for text in texts) == 1
    assert [shown(as_it_stands(small, m)) for m in (mine, theirs)] == [2, 2]
    assert len(await rows(small, "SELECT * FROM decisions")) == 1


async def test_a_text_that_changed_since_it_was_shown_is_shown_again_instead(small: World):
    await written(small, 1)
    message = await begun(small)
    await small.app.drafts.edit(1, KEEPER, text="not what you saw", tags="")
    message = await press(small, message, "Approve")
    assert "Draft 1 has changed since you saw it." in message.content
    assert message.embeds[0].description == "not what you saw"
    assert await states(small) == {1: "pending"}
    await press(small, message, "Approve")
    assert await states(small) != {1: "pending"}


async def test_a_review_goes_on_after_a_restart(small: World):
    await written(small, 2)
    message = await begun(small)
    await small.restart()
    message = await press(small, message, "Reject")
    assert shown(message) == 2


async def test_a_review_of_nothing_says_so(small: World):
    assert "No draft waits for a decision." in (await begun(small)).content


async def test_approvals_by_two_in_reviews(small: World):
    review(small, approvals_needed=2)
    await written(small, 2)
    message = await press(small, await begun(small), "Approve")
    assert "Your approval of draft 1 is noted. It takes 1 more." in message.content
    assert shown(message) == 2
    theirs = await begun(small, "reviewer")
    assert f"Approved by {small.owner.name} so far." in describe(theirs)
    theirs = await press(small, theirs, "Approve", "reviewer")
    assert "Draft 1 is approved" in theirs.content


# --- the list -----------------------------------------------------------------------------------------------------


async def listed(world: World, who: str = "owner", **options: Any) -> discord.Message:
    result = await getattr(world, who).slash(world.channel, "drafts list", **options)
    assert result.response is not None
    return result.response.message


async def choose(world: World, message: discord.Message, *numbers: int, who: str = "owner") -> discord.Message:
    current = as_it_stands(world, message)
    values = [option.value for option in select_of(current).options]
    wanted = [value for value in values if int(value.split(":")[0]) in numbers]
    await getattr(world, who).select(current, wanted)
    return as_it_stands(world, message)


def select_of(message: discord.Message) -> discord.SelectMenu:
    return next(
        part
        for row in message.components
        if isinstance(row, discord.ActionRow)
        for part in row.children
        if isinstance(part, discord.SelectMenu)
    )


async def test_several_drafts_are_approved_after_a_sentence_that_names_the_blog(small: World):
    await written(small, 4)
    message = await choose(small, await listed(small), 1, 2, 4)
    text = describe(message).replace("\\", "")
    assert f"*Approve* saves 3 drafts on **{small.blog_name}**, as drafts there." in text
    assert "*Reject* keeps all of them from the blog." in text
    assert buttons(message) == ["Approve 3 drafts", "Reject 3 drafts"]
    await pause()
    assert await rows(small, "SELECT * FROM decisions") == [], "choosing decides nothing"
    # One of them is decided by somebody else, another changed, before the press.
    await small.app.drafts.reject(2, KEEPER)
    message = await press(small, message, "Approve 3 drafts")
    assert "2 drafts approved: each will be saved as a draft on" in message.content
    assert "1 draft had been decided or changed meanwhile." in message.content
    await small.until(lambda: len(small.tumblr.blogs[small.blog_name].drafts) == 2)
    assert "Draft 3" in describe(message)
    assert "Draft 1" not in describe(message)


async def test_several_drafts_are_rejected_at_once(small: World):
    await written(small, 3)
    message = await choose(small, await listed(small, "reviewer"), 1, 3, who="reviewer")
    message = await press(small, message, "Reject 2 drafts", "reviewer")
    assert "2 drafts rejected." in message.content
    assert await states(small) == {1: "rejected", 2: "pending", 3: "rejected"}
    assert {user for (user,) in await rows(small, "SELECT user_id FROM decisions")} == {small.reviewer.id}


async def test_a_text_that_changed_since_it_was_listed_is_not_approved(small: World):
    await written(small, 2)
    message = await choose(small, await listed(small), 1, 2)
    await small.app.drafts.edit(2, KEEPER, text="not what was listed", tags="")
    message = await press(small, message, "Approve 2 drafts")
    assert "1 draft approved" in message.content
    assert (await states(small))[2] == "pending"


async def test_a_choice_outlives_a_restart_and_can_be_made_smaller(small: World):
    await written(small, 3)
    message = await choose(small, await listed(small), 1, 2, 3)
    message = await choose(small, message, 2)
    await small.restart()
    await press(small, message, "Reject 1 draft")
    assert await states(small) == {1: "pending", 2: "rejected", 3: "pending"}
    message = await choose(small, message)
    assert buttons(message) == []


async def test_two_people_who_decide_about_the_same_choice_decide_once(small: World):
    await written(small, 2)
    mine = await choose(small, await listed(small), 1, 2)
    theirs = await choose(small, await listed(small, "reviewer"), 1, 2, who="reviewer")
    await together(small, (small.owner, mine, "Approve 2 drafts"), (small.reviewer, theirs, "Reject 2 drafts"))
    assert len(await rows(small, "SELECT * FROM decisions")) == 2
    await pause(0.3)
    assert len(calls(small.tumblr.requests, "POST", "/posts")) in {0, 2}


async def test_the_list_is_filtered_by_state_voice_and_words(small: World):
    await written(small, 3)
    await small.app.drafts.edit(1, KEEPER, text="the Kettle: sang", tags="")
    await small.app.drafts.edit(2, KEEPER, text="a gull", tags="kettle")
    await small.app.drafts.edit(3, KEEPER, text="a gull", tags="")
    await small.app.drafts.reject(3, KEEPER)
    assert {n for n in (1, 2, 3) if f"Draft {n}" in describe(await listed(small, text="kettle"))} == {1, 2}
    assert {n for n in (1, 2, 3) if f"Draft {n}" in describe(await listed(small, state="rejected"))} == {3}
    assert {n for n in (1, 2, 3) if f"Draft {n}" in describe(await listed(small, state="all"))} == {1, 2, 3}
    assert "No draft is like that." in describe(await listed(small, voice=99))
    offered = await small.owner.autocomplete(small.channel, "drafts list", "voice", "few")
    assert [choice["name"] for choice in offered] == ["few-shot"]
    assert await small.stranger.autocomplete(small.channel, "drafts list", "voice", "") == []
    # Words with a colon and 25 characters of two code units still fit an id.
    message = await listed(small, text="Kettle: sang")
    assert "Draft 1" in describe(message)
    message = await press(small, await choose(small, message, 1), "Reject 1 draft")
    assert (await states(small))[1] == "rejected"
    assert "No draft is like that." in describe(await listed(small, text="😀" * 25, state="uploading"))


async def test_long_lists_have_pages(small: World):
    await written(small, 1)
    async with small.app.database.write() as connection:
        for number in range(2, 61):
            await connection.execute(
                "INSERT INTO drafts (state, text, tags, original_text, prompt, voice_id, blog, upload_state, cost,"
                " created_at, shown_version, channel_id, message_id) SELECT state, ?, tags, '', prompt, voice_id, blog,"
                " upload_state, cost, created_at, 1, 1234567890123456789, 1234567890123456789 FROM drafts WHERE id = 1",
                (f"😀 **[x](https://a.invalid)** @everyone {number} " * 9,),
            )
    message = await listed(small, text="😀 **[x]")
    seen: set[int] = set()
    for labels in (["More"], ["From the start", "More"], ["From the start"]):
        assert buttons(message) == labels
        seen |= {int(option.value.split(":")[0]) for option in select_of(message).options}
        assert limits.length(describe(message)) <= limits.EMBED_TOTAL + 300
        *lines, last = (message.embeds[0].description or "").splitlines()
        assert last == f"{len(lines)} of 59 are shown.", "no line is cut off, however long their texts and links are"
        assert {number for number in seen if f"[Draft {number}](" in describe(message)} == {
            int(option.value.split(":")[0]) for option in select_of(message).options
        }
        assert "](https://a.invalid)" not in (message.embeds[0].description or "")
        if "More" in labels:
            message = await press(small, message, "More")
    assert seen == set(range(2, 61))
    message = await press(small, message, "From the start")
    assert buttons(message) == ["More"]


# --- taking it away -----------------------------------------------------------------------------------------------


async def lines_of(result: InteractionResult) -> dict[str, list[dict[str, Any]]]:
    """The files of an answer, by name, each line decoded."""
    return {
        file.filename: [json.loads(line) for line in (await file.read()).decode().splitlines()]
        for file in answer(result).message.attachments
    }


async def test_drafts_are_exported_with_their_decisions(small: World):
    await written(small, 2)
    await small.app.drafts.edit(1, KEEPER, text="by hand", tags="")
    await small.drafts_shown(2)
    told = await small.owner.click(small.drafts()[0], label="Reject")
    form = await small.owner.click(answer(told), label="Say why")
    await small.owner.submit_modal(form, {"reason": "too short"})
    files = await lines_of(await small.reviewer.slash(small.channel, "drafts export"))
    first, second = files["drafts.jsonl"]
    assert (first["id"], first["state"], first["text"], first["voice"]) == (1, "rejected", "by hand", "few-shot")
    assert [(d["action"], d["reason"]) for d in first["decisions"]] == [("edit", ""), ("reject", "too short")]
    assert second["decisions"] == []
    files = await lines_of(await small.owner.slash(small.channel, "drafts export", state="rejected"))
    assert [line["id"] for line in files["drafts.jsonl"]] == [1]
    exported = said(await small.owner.slash(small.channel, "drafts export", state="rejected"))
    assert exported == "1 draft, with all decisions about them."
    assert "There is no such draft." in said(await small.owner.slash(small.channel, "drafts export", state="uploaded"))


async def test_what_decisions_teach_is_the_owners_and_leaves_typed_texts_out(tmp_path: Path):
    async with small_world(tmp_path, configure=reviewing()) as world:
        assert "Nothing has been decided yet" in said(
            await world.owner.slash(world.channel, "data export", what="preferences")
        )
        first, _, third, fourth = await written(world, 4)
        edited_from = (await draft(world, 2)).text
        await world.owner.click(first, label="Approve")
        await world.app.drafts.edit(2, KEEPER, text="words that a person typed", tags="")
        await world.app.drafts.approve(2, KEEPER)
        await world.owner.click(third, label="Reject")
        await world.owner.click(fourth, label="Regenerate")
        fifth = (await world.drafts_shown(5))[-1]
        await world.owner.click(fifth, label="Approve")
        await becomes(world, fifth, "Uploaded")
        await stage(world, "generate", count=1, prompt="a prompt that a person typed")
        sixth = (await world.drafts_shown(6))[-1]
        await world.owner.click(sixth, label="Approve")
        await becomes(world, sixth, "Uploaded")
        refused = await world.reviewer.slash(world.channel, "data export", what="preferences")
        assert "Only the owner of the bot may do this." in said(refused)
        result = await world.owner.slash(world.channel, "data export", what="preferences")
        assert "Texts that people typed are not among them" in said(result)
        files = await lines_of(result)
        assert "a person typed" not in str(files)
        labels = [(line["completion"][0]["content"], line["label"]) for line in files["preferences-kto.jsonl"]]
        texts = {n: (await draft(world, n)).text for n in (1, 3, 4, 5)}
        assert labels == [(texts[1], True), (texts[3], False), (texts[4], False), (texts[5], True)]
        (pair,) = files["preferences-dpo.jsonl"]
        assert pair["preferred_output"] == [{"role": "assistant", "content": texts[5]}]
        assert pair["non_preferred_output"] == [{"role": "assistant", "content": texts[4]}]
        assert [m["role"] for m in pair["input"]["messages"]] == ["developer", "user"]
        audit = await rows(world, "SELECT user_id, action, after FROM audit WHERE action = 'export preferences'")
        assert audit[-1] == (world.owner.id, "export preferences", "without typed texts")
        # With the owner's word, what was typed comes along.
        review(world, teach_typed_text=True)
        result = await world.owner.slash(world.channel, "data export", what="preferences")
        assert "Texts that people typed are among them" in said(result)
        files = await lines_of(result)
        assert len(files["preferences-kto.jsonl"]) == 6
        pairs = {(p["preferred_output"][0]["content"], p["non_preferred_output"][0]["content"]) for p in files["preferences-dpo.jsonl"]}  # fmt: skip
        assert pairs == {(texts[5], texts[4]), ("words that a person typed", edited_from)}
        content = "".join(json.dumps(line) + "\n" for line in files["preferences-dpo.jsonl"] * 10).encode()
        assert read_file(content, "dpo", "training").error is None
