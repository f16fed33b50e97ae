"""The bot ends in the middle of each stage and starts again: the job goes on in the same message, nothing twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import discord
import pytest

from bot.config import Settings
from bot.demo.faults import Fault
from bot.demo.world import World, describe
from bot.store import spending
from tests.cogs.acts import (
    QUICK,
    TITLES,
    answer,
    becomes,
    buttons,
    calls,
    hour_is_over,
    line,
    outcome,
    pause,
    restarted,
    rows,
    said,
    shown_with,
    small_world,
    stage,
    up_to,
    written,
)

PATIENT = replace(QUICK, tumblr_deadline=1.5)


async def begun(world: World, command: str) -> discord.Message:
    """The one message of a stage that is under way."""
    return await world.until(lambda: m[0] if len(m := shown_with(world, TITLES[command])) == 1 else None)


async def ended_in(world: World, message: discord.Message, command: str) -> str:
    """The outcome, which must stand in the message that there was before the restart."""
    shown = await outcome(world, command)
    await pause()
    assert [found.id for found in shown_with(world, TITLES[command])] == [message.id]
    return line(shown)


def pages(world: World) -> Counter[tuple[Any, Any]]:
    return Counter(
        (r.query.get("before"), r.query.get("offset")) for r in calls(world.tumblr.requests, "GET", "/posts")
    )


async def test_a_download(tmp_path: Path):
    async with small_world(tmp_path, posts=40, pace=PATIENT) as world:
        world.tumblr.page_limit = 10
        world.tumblr.faults.schedule(Fault("GET", "/v2/blog/*/posts", "hang", after=2))
        await world.owner.slash(world.channel, "download")
        message = await begun(world, "download")
        await world.until(lambda: world.tumblr.faults.served)
        ((have,),) = await rows(world, "SELECT count(*) FROM posts")
        assert 0 < have < 40
        before = pages(world)
        await restarted(world)
        assert (await ended_in(world, message, "download")).startswith("Done: ")
        assert await rows(world, "SELECT count(*), count(DISTINCT id) FROM posts") == [(40, 40)]
        assert len(await rows(world, "SELECT * FROM jobs")) == 1
        # Only the page in hand was fetched once more; the last pass looks at the top again, as an increment does.
        twice = [page for page, times in pages(world).items() if times > 1 and page != (None, None)]
        assert len(twice) <= 1
        assert set(before) <= set(pages(world))


async def test_a_download_that_waits_for_the_quota(tmp_path: Path):
    async with small_world(tmp_path, posts=40) as world:
        world.tumblr.page_limit = 10
        world.tumblr.hour_limit = 3
        await world.owner.slash(world.channel, "download")
        message = await begun(world, "download")
        await becomes(world, message, "Waiting for Tumblr's quota")
        await restarted(world)
        await becomes(world, message, "Waiting for Tumblr's quota")
        hour_is_over(world)
        await restarted(world)
        await ended_in(world, message, "download")
        assert await rows(world, "SELECT count(*) FROM posts") == [(40,)]


async def test_making_examples(small: World):
    await stage(small, "download")
    result = await small.owner.slash(small.channel, "examples")
    await restarted(small)
    assert said(result)
    shown = await outcome(small, "examples")
    assert line(shown).startswith(("Dataset 1: 12 examples", "Nothing has changed since dataset 1"))
    assert len(shown_with(small, TITLES["examples"])) == 1
    assert await rows(small, "SELECT count(*) FROM datasets") == [(1,)]
    assert len(small.app.settings.training_data_file.read_bytes().splitlines()) == 12


async def test_screening(tmp_path: Path):
    def few_at_once(settings: Settings) -> Settings:
        return settings.model_copy(update={"moderation_batch_size": 4})

    async with small_world(tmp_path, configure=few_at_once) as world:
        await up_to(world, "examples")
        world.openai.faults.schedule(Fault("POST", "/v1/moderations", "hang", after=1, times=99))
        world.app.service("moderation").deadline = 30.0
        await world.owner.slash(world.channel, "moderate")
        message = await begun(world, "moderate")
        await becomes(world, message, "4 of 12 texts")
        await restarted(world)
        assert "0 of 12 examples set aside" in await ended_in(world, message, "moderate")
        sent = Counter(text for r in calls(world.openai.requests, "POST", "/moderations") for text in r.body["input"])
        assert len(sent) == 12
        assert sum(times == 1 for times in sent.values()) >= 4  # what was judged is not sent again
        assert await rows(world, "SELECT count(*) FROM judgements") == [(12,)]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/files"),
        ("POST", "/v1/fine_tuning/jobs"),
        ("GET", "/v1/fine_tuning/jobs/*"),
    ],
    ids=["upload", "creation", "training"],
)
async def test_a_training(small: World, method: str, path: str):
    await up_to(small, "moderate")
    # The service has acted upon the call, and its answer never comes.
    small.openai.faults.schedule(Fault(method, path, "hang", act=True, times=99))
    small.app.service("fine_tuning").deadline = 30.0
    offer = await small.owner.slash(small.channel, "finetune")
    await small.owner.click(answer(offer), label="Start training")
    message = await begun(small, "finetune")
    await small.until(lambda: small.openai.faults.served)
    await restarted(small)
    assert await ended_in(small, message, "finetune") == "Done: the new voice is active."
    assert len(calls(small.openai.requests, "POST", "/files")) == 1
    assert len(calls(small.openai.requests, "POST", "/jobs")) == 1
    assert await rows(small, "SELECT count(*) FROM trainings") == [(1,)]
    assert await rows(small, "SELECT count(*) FROM voices WHERE kind = 'fine_tuned'") == [(1,)]
    assert await rows(small, "SELECT count(*) FROM spending WHERE spent IS NULL") == [(0,)]


async def test_writing(small: World):
    await stage(small, "download")
    # Four drafts are written at a time, and the text of one of them never comes.
    small.openai.faults.schedule(Fault("POST", "/v1/chat/completions", "hang", after=2))
    small.app.service("generation").deadline = 30.0
    await small.owner.slash(small.channel, "generate", count=4)
    message = await begun(small, "generate")
    await small.until(lambda: small.openai.faults.served)
    await small.until(lambda: len(small.drafts()) == 3)
    shown = [draft.id for draft in small.drafts()]
    await restarted(small)
    assert "4 drafts wait" in await ended_in(small, message, "generate")
    drafts = await small.drafts_shown(4)
    await pause()
    assert [draft.id for draft in small.drafts()] == [draft.id for draft in drafts]
    assert [draft.id for draft in drafts[:3]] == shown
    assert await rows(small, "SELECT count(*), count(DISTINCT slot) FROM drafts") == [(4, 4)]
    assert len(calls(small.openai.requests, "POST", "/completions")) == 2 * 4 + 1
    assert await spending.used_this_month(small.app.database, small.app.clock()) > 0


@pytest.mark.parametrize("arrived", [True, False])
async def test_an_upload(small: World, *, arrived: bool):
    (message,) = await written(small)
    small.tumblr.faults.schedule(Fault("POST", "/v2/blog/*/posts", "hang", act=arrived))
    await small.owner.click(message, label="Approve")
    await small.until(lambda: small.tumblr.faults.served)
    await restarted(small)
    if arrived:
        await becomes(small, message, "Uploaded", "Saved as a draft on")
    else:
        asked = await becomes(small, message, "Tumblr's answer was lost, and it was not found")
        assert buttons(asked) == ["It is on the blog", "Send again"]
    assert len(calls(small.tumblr.requests, "POST", "/posts")) == 1
    assert len(small.tumblr.blogs[small.blog_name].drafts) == arrived
    assert len(small.drafts()) == 1


async def test_an_approval_that_nobody_had_time_to_carry_out(small: World):
    (message,) = await written(small)
    small.tumblr.hour_used = small.tumblr.hour_limit
    await small.owner.click(message, label="Approve")
    await becomes(small, message, "It will be sent <t:")
    hour_is_over(small)
    async with small.app.database.write() as connection:  # the hour is over
        await connection.execute("UPDATE uploads SET retry_at = 0")
    await restarted(small)
    await becomes(small, message, "Uploaded")
    assert len(small.tumblr.blogs[small.blog_name].drafts) == 1


async def test_a_regeneration_that_was_under_way(small: World):
    (message,) = await written(small)
    small.openai.faults.schedule(Fault("POST", "/v1/chat/completions", "hang"))
    small.app.service("generation").deadline = 30.0
    await small.owner.click(message, label="Regenerate")
    await small.until(lambda: small.openai.faults.served)
    await restarted(small)
    _, fresh = await small.drafts_shown(2)
    await pause()
    assert "Instead of: draft 1" in describe(fresh)
    assert await rows(small, "SELECT count(*) FROM drafts") == [(2,)]


async def test_stopped_and_ended_before_it_was_shown(small: World):
    """The press of Stop is kept: a bot that ends at that moment does not take the job up again."""
    small.tumblr.hour_used = small.tumblr.hour_limit
    await small.owner.slash(small.channel, "download")
    message = await begun(small, "download")
    await becomes(small, message, "Waiting")
    await small.owner.click(message, label="Stop")
    await restarted(small)
    assert await ended_in(small, message, "download") == "Stopped. What was done until then is kept."


async def test_an_outcome_that_nobody_saw_is_shown_after_the_restart(small: World):
    small.env.inject_error("*", f"/channels/{small.channel.id}/messages*", status=500, times=None)
    small.env.inject_error("*", "/users/@me/channels", status=500, times=None)
    await small.owner.slash(small.channel, "download")
    while not (job := await small.app.runner.get(1)) or not job.state.is_final:
        await pause(0.02)
    await restarted(small)
    await pause()
    assert not shown_with(small, TITLES["download"])
    small.env.backend.faults.clear()
    await small.until(lambda: shown_with(small, TITLES["download"]))
    assert line(await outcome(small, "download")) == "Done: 12 new posts."
