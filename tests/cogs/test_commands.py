"""Every command, as the owner and as a reviewer; and how commands are registered."""

from __future__ import annotations

import re
from pathlib import Path

import discord
import pytest
from discord import app_commands

from bot.demo.world import GUILD_ID, World, describe
from bot.drafts import DraftState
from cogs.ui import limits
from tests.cogs.acts import (
    REFUSAL,
    answer,
    buttons,
    buttons_of,
    calls,
    line,
    now,
    number,
    outcome,
    rows,
    said,
    sent,
    shown_with,
    small_world,
    stage,
    text_post,
    up_to,
    written,
)
from tests.cogs.test_strangers import COMMANDS

# --- the stages ---------------------------------------------------------------------------------------------------


async def test_the_five_stages_one_after_the_other_by_their_buttons(small: World):
    await small.owner.slash(small.channel, "download")
    shown = await outcome(small, "download")
    assert line(shown) == "Done: 12 new posts."
    assert buttons(shown) == ["Make training data"]
    for label, command in (
        ("Make training data", "examples"),
        ("Moderate next", "moderate"),
        ("Train a voice", "finetune"),
    ):
        pressed = await small.reviewer.click(shown, label=label)
        if command == "finetune":
            pressed = await small.reviewer.click(answer(pressed), label="Start training")
        assert "You can follow it in this channel." in said(pressed)
        shown = await outcome(small, command)
        assert f"asked for by {small.reviewer.name}" in describe(shown)
        assert buttons_of(shown).count("'style': 1") == 1, "one next step stands out"
    assert line(shown) == "Done: the new voice is active."
    assert buttons(shown) == ["Write drafts"]
    await small.owner.click(shown, label="Write drafts")
    shown = await outcome(small, "generate")
    assert "3 drafts wait" in line(shown)
    assert "3 drafts wait." in said(await small.owner.click(shown, label="Review drafts"))
    assert len(await small.drafts_shown(3)) == 3


async def test_download_takes_named_blogs_in_every_spelling_and_only_those(small: World):
    other = small.tumblr.add_blog("tide-tables")
    small.tumblr.add_post(other, text_post("high water at six."))
    third = small.tumblr.add_blog("fog-bank")
    small.tumblr.add_post(third, text_post("nothing to be seen."))
    done = await stage(small, "download", blogs="@Tide-Tables, https://www.tumblr.com/fog-bank")
    assert {field.name for field in done.embeds[0].fields} >= {"tide-tables", "fog-bank"}
    assert {name for (name,) in await rows(small, "SELECT name FROM blogs")} == {"tide-tables", "fog-bank"}
    assert not [r for r in small.tumblr.requests if small.blog_name in r.path]


@pytest.mark.parametrize("blogs", ["../../user/info", "a b/../c", "https://", "two..dots", "тайд"])
async def test_a_text_that_names_no_blog_is_refused_before_anything_starts(small: World, blogs: str):
    result = await small.owner.slash(small.channel, "download", blogs=blogs)
    assert said(result).endswith(".")
    assert not shown_with(small, "Downloading posts")
    assert not small.tumblr.requests
    assert await rows(small, "SELECT * FROM jobs") == []


async def test_a_second_job_of_a_kind_is_refused_with_a_sentence(small: World):
    small.tumblr.hour_used = small.tumblr.hour_limit
    await small.owner.slash(small.channel, "download")
    shown = await small.until(lambda: small.progress("Downloading posts"))
    assert shown is not None
    second = await small.reviewer.slash(small.channel, "download")
    assert said(second).startswith("/download is already running.")
    assert len(await rows(small, "SELECT * FROM jobs")) == 1


async def test_finetune_shows_the_price_and_spends_nothing_before_the_press(small: World):
    await up_to(small, "moderate")
    before = len(small.openai.requests)
    offer = await small.owner.slash(small.channel, "finetune", model="gpt-4o-mini-2024-07-18", epochs=5)
    text = said(offer)
    assert "Nothing is uploaded or paid for" in text
    assert "gpt-4o-mini-2024-07-18" in text
    assert "× 5 epochs" in text
    assert re.search(r"Cost: about \$\d", text)
    assert "Model: gpt-4o-mini-2024-07-18; the service stops it on 2027-01-14" in text
    assert "at $3 for a million tokens, as of 2026-11-01" in text
    assert re.search(r"Budget: \$20\.00 of \$20\.00 left", text)
    assert [request.method for request in small.openai.requests[before:]] == ["GET"], "a question about the model"
    assert await rows(small, "SELECT * FROM jobs WHERE kind = 'finetune'") == []
    await small.owner.click(answer(offer), label="Start training")
    assert line(await outcome(small, "finetune")) == "Done: the new voice is active."
    (job,) = calls(small.openai.requests, "POST", "/fine_tuning/jobs")
    assert job.body["model"] == "gpt-4o-mini-2024-07-18"
    assert "5" in str(job.body["method"] if "method" in job.body else job.body["hyperparameters"])


async def test_finetune_without_training_data_says_what_to_do(small: World):
    assert said(await small.owner.slash(small.channel, "finetune")) == (
        "There is no dataset to train on. Use /examples first."
    )


async def test_generate_takes_a_count_and_a_prompt(small: World):
    await stage(small, "download")
    done = await stage(small, "generate", count=2, prompt="Write about the fog, please.")
    assert "2 drafts wait" in line(done)
    asked = [
        r.body["messages"][-1]["content"]
        for r in small.openai.requests
        if "messages" in r.body and "response_format" not in r.body
    ]
    assert asked == ["Write about the fog, please."] * 2
    assert await rows(small, "SELECT prompt FROM drafts") == [("Write about the fog, please.",)] * 2
    # Written, and nothing more: only a press brings a draft to the blog.
    assert not calls(small.tumblr.requests, "POST", "/posts")
    assert not small.tumblr.blogs[small.blog_name].drafts


# --- /drafts and /status ------------------------------------------------------------------------------------------


async def test_drafts_lists_what_waits_and_links_to_it(small: World):
    assert "No draft waits" in said(await small.owner.slash(small.channel, "drafts list"))
    first, second = await written(small, 2)
    await small.owner.click(first, label="Reject")
    text = said(await small.reviewer.slash(small.channel, "drafts list"))
    assert f"[Draft {number(second)}](https://discord.com/channels/{GUILD_ID}/{small.channel.id}/{second.id})" in text
    assert f"Draft {number(first)}]" not in text
    assert "Waiting: 1" in text
    assert "Rejected: 1" in text


async def test_drafts_show_posts_a_draft_anew_and_its_buttons_work(small: World):
    (message,) = await written(small)
    result = await small.owner.slash(small.channel, "drafts show", number=number(message))
    assert said(result) == "Draft 1 is shown again in this channel."
    _, fresh = await small.drafts_shown(2)
    await small.owner.click(fresh, label="Reject")
    await small.until(lambda: "It will not be posted" in describe(now(small, fresh)))
    assert "draft 1 cannot be changed" in said(await small.owner.click(message, label="Approve")).lower()


async def test_drafts_show_of_an_unknown_number_says_so(small: World):
    result = await small.owner.slash(small.channel, "drafts show", number=77)
    assert said(result) == "There is no draft 77. /drafts list shows those that wait."


async def test_status_leads_through_the_stages(small: World):
    for label, command in (
        ("Download posts", "download"),
        ("Make training data", "examples"),
        ("Screen training data", "moderate"),
    ):
        result = await small.owner.slash(small.channel, "status")
        assert "Where everything stands" in said(result)
        assert f"[{label}]" in said(result)
        await small.owner.click(answer(result), label=label)
        await outcome(small, command)
    text = said(await small.reviewer.slash(small.channel, "status"))
    assert "12 posts, 12 usable" in text
    assert "dataset 1: 12 examples" in text
    assert "**Moderate** · screened" in text
    assert small.blog_name in text
    assert "Voice: few-shot" in text
    assert "[Write drafts]" in text


async def test_status_says_what_is_at_work(small: World):
    small.tumblr.hour_used = small.tumblr.hour_limit
    await small.owner.slash(small.channel, "download")
    assert "At work: /download" in said(await small.owner.slash(small.channel, "status"))


async def test_a_bad_identifier_of_a_stranger_is_not_even_read(small: World):
    result = await small.stranger.slash(small.channel, "download", blogs="../..")
    assert said(result).startswith(REFUSAL)


# --- how commands are registered ----------------------------------------------------------------------------------


async def test_commands_are_registered_to_the_one_server_and_not_again_when_nothing_changed(small: World):
    def registrations() -> list[str]:
        return [e.path for e in small.env.http_requests if e.method == "PUT" and e.path.endswith("/commands")]

    def overwritten() -> list[str]:
        return [e.path for e in small.env.http_requests if e.method != "GET" and "/applications/" in e.path]

    (path,) = registrations()
    assert path.endswith(f"/guilds/{GUILD_ID}/commands")
    await small.restart()
    assert registrations() == [path]
    async with small.app.database.write() as connection:
        await connection.execute("UPDATE facts SET value = 'of an older version' WHERE name = 'commands registered'")
    await small.restart()
    assert registrations() == [path, path]
    assert set(overwritten()) == {path}
    assert set(small.owner.available_commands(small.channel)) == set(COMMANDS)


async def test_a_bot_that_is_not_on_the_server_says_how_to_add_it(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with small_world(tmp_path, posts=0) as world:
        async with world.app.database.write() as connection:
            await connection.execute("DELETE FROM facts")
        world.env.inject_error(
            "PUT", "/applications/*/guilds/*/commands", status=403, code=50001, message="Missing Access"
        )
        await world.restart()
        said_once = [r.getMessage() for r in caplog.records if "could not be registered" in r.getMessage()]
        assert len(said_once) == 1
        assert "https://discord.com/oauth2/authorize?" in said_once[0]
        assert await rows(world, "SELECT * FROM facts WHERE name = 'commands registered'") == []


async def test_every_command_and_option_is_described_within_discords_limits(small: World):
    top = list(small.client.tree.get_commands(guild=discord.Object(GUILD_ID)))
    assert not small.client.tree.get_commands(), "they live on the one server, and nowhere else"
    commands = list(small.client.tree.walk_commands(guild=discord.Object(GUILD_ID)))
    groups = [each for each in commands if isinstance(each, app_commands.Group)]
    assert all(10 <= limits.length(each.description) <= 100 and each.guild_only for each in groups)
    commands = [each for each in commands if isinstance(each, app_commands.Command)]
    assert {each.qualified_name for each in commands} == set(COMMANDS)
    assert all(each.guild_only for each in top if isinstance(each, (app_commands.Command, app_commands.Group)))
    # Who may use them is for the bot's settings to say, by roles that Discord knows nothing of.
    assert all(each.to_dict(small.client.tree)["default_member_permissions"] is None for each in top)
    for command in commands:
        assert 10 <= limits.length(command.description) <= 100
        for option in command.parameters:
            assert re.fullmatch(r"[-_a-z0-9]{1,32}", option.name)
            assert 10 <= limits.length(str(option.description)) <= 100, (command.name, option.name)


async def test_every_label_and_id_the_bot_sends_keeps_discords_limits(small: World):
    await up_to(small, "generate")
    drafts = await small.drafts_shown(3)
    form = await small.owner.click(drafts[0], label="Edit")
    assert form.modal is not None
    assert limits.length(form.modal["title"]) <= limits.MODAL_TITLE
    assert 1 <= len(form.modal["components"]) <= 5
    assert all(limits.length(row["components"][0]["label"]) <= 45 for row in form.modal["components"])
    labels = 0
    for entry in (*sent(small, "POST"), *sent(small, "PATCH", "")):
        for row in (entry.json or {}).get("components") or []:
            assert len(row["components"]) <= 5
            for button in row["components"]:
                labels += 1
                assert 1 <= limits.length(button["label"]) <= limits.BUTTON_LABEL
                assert len(button.get("custom_id", "")) <= 100
    assert labels > 10
    assert await rows(small, "SELECT count(*) FROM drafts WHERE state = ?", DraftState.PENDING) == [(3,)]
