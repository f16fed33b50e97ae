"""/generate through the front door: its options, what a large run asks first, what the guards show."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bot import job_desk
from bot.config import Settings
from bot.demo.together_service import TogetherService
from bot.demo.world import World, describe
from bot.training import TrainingApi, VoiceKind
from tests.cogs.acts import (
    TITLES,
    answer,
    as_it_stands,
    buttons,
    calls,
    forged,
    line,
    outcome,
    pause,
    rows,
    said,
    shown_with,
    small_world,
    stage,
    text_post,
    up_to,
)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An estimate may take long: the machine may be busy."""
    monkeypatch.setattr(job_desk, "_ESTIMATED", 60.0)


def asked(world: World) -> list[Any]:
    """The requests for texts, without those for tags."""
    return [r for r in calls(world.openai.requests, "POST", "/chat/completions") if "response_format" not in r.body]


async def test_a_large_run_says_first_what_it_will_take(small: World):
    await stage(small, "download")
    offer = await small.owner.slash(small.channel, "generate", count=30)
    text = said(offer)
    assert "Write 30 drafts?" in text
    assert "Voice: few-shot" in text
    assert re.search(r"Cost: about \$0\.\d+ for about [\d,]+ tokens, an estimate", text)
    assert re.search(r"100 drafts: about \$0\.\d+$", text, re.MULTILINE)
    assert "Budget: $20.00 of $20.00 left this month" in text
    assert buttons(answer(offer).message) == ["Start writing", "Cancel"]
    await pause()
    assert not asked(small)
    assert not shown_with(small, TITLES["generate"])
    await small.restart()  # the offer outlives the process
    pressed = await small.owner.click(answer(offer), label="Start writing")
    assert said(pressed) == "The voice has begun to write. You can follow it in this channel."
    assert line(await outcome(small, "generate")) == "Done: 30 drafts wait for your decision."
    assert await rows(small, "SELECT count(*), count(DISTINCT slot) FROM drafts") == [(30, 30)]
    assert buttons(as_it_stands(small, answer(offer).message)) == []
    again = await forged(small, small.owner, answer(offer).message, "write:1:start")
    assert said(again).startswith("This run was begun already, or is gone.")
    cancelled = await forged(small, small.owner, answer(offer).message, "write:1:cancel")
    assert said(cancelled).startswith("This was begun already.")


async def test_a_large_run_that_is_cancelled_begins_nothing(small: World):
    await stage(small, "download")
    offer = await small.owner.slash(small.channel, "generate", count=25)
    await small.owner.click(answer(offer), label="Cancel")
    await pause()
    assert not asked(small)
    assert await rows(small, "SELECT count(*) FROM jobs WHERE kind = 'generate'") == [(0,)]


async def test_a_small_run_does_not_wait_long_for_its_estimate(small: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job_desk, "_ESTIMATED", 0.0)
    await stage(small, "download")
    text = said(await small.owner.slash(small.channel, "generate", count=2))
    assert text == "The voice has begun to write. You can follow it in this channel."
    assert "2 drafts wait" in line(await outcome(small, "generate"))


@pytest.mark.usefixtures("patient")
async def test_a_small_run_begins_at_once_and_says_what_it_will_cost(small: World):
    await stage(small, "download")
    text = said(await small.owner.slash(small.channel, "generate", count=2))
    found = re.fullmatch(
        r"The voice has begun to write\. 2 drafts will cost about \$([\d.]+), and 100 about \$([\d.]+): an estimate, on"
        r" top of which come tags and what is written anew\. You can follow it in this channel\.",
        text,
    )
    assert found, text
    assert 0 < float(found[1]) < float(found[2])
    shown = said(await small.owner.slash(small.channel, "voices show", voice="1"))
    assert f"100 drafts: about ${found[2]}, an estimate" in shown
    assert "2 drafts wait" in line(await outcome(small, "generate"))


@pytest.mark.usefixtures("patient")
async def test_a_small_run_is_estimated_for_the_voice_that_is_named(small: World):
    await up_to(small, "examples")
    await stage(small, "finetune", activate=False)
    text = said(await small.owner.slash(small.channel, "generate", count=1, voice="2"))
    hundred = text.partition("and 100 about ")[2].partition(":")[0]
    assert f"100 drafts: about {hundred}, an estimate" in said(
        await small.owner.slash(small.channel, "voices show", voice="2")
    )
    await outcome(small, "generate")


async def test_a_voice_whose_model_is_gone_leads_to_few_shot(small: World):
    await up_to(small, "examples")
    await stage(small, "finetune")
    del small.openai.models["gpt-4.1-mini-2025-04-14"]  # every tune of it stops with it
    shown = await stage(small, "generate", count=1)
    assert line(shown) == (
        "127.0.0.1 has no model for this voice, or has it no longer. Write with few-shot instead, which needs no"
        " training, or with another voice: /voices list shows them."
    )
    assert buttons(shown) == ["Use few-shot instead", "Write drafts"]
    assert said(await small.reviewer.click(shown, label="Use few-shot instead")).startswith("Only the owner")
    assert "needs no training" in said(await small.owner.click(shown, label="Use few-shot instead"))
    assert "a draft waits" in line(await stage(small, "generate", count=1))
    assert (await small.app.voices.current()).kind is VoiceKind.FEW_SHOT


async def test_where_nothing_can_be_estimated_the_run_says_why_it_cannot_write(small: World):
    text = said(await small.owner.slash(small.channel, "generate", count=2))
    assert text == "The voice has begun to write. You can follow it in this channel."
    assert "There are no posts to write like." in line(await outcome(small, "generate"))


async def test_another_voice_writes_when_it_is_named(small: World):
    await up_to(small, "examples")
    await stage(small, "finetune", activate=False)
    ((number, model),) = await rows(small, "SELECT id, model FROM voices WHERE kind = 'fine_tuned'")
    await stage(small, "generate", count=1, voice=str(number))
    assert asked(small)[-1].body["model"] == model
    await stage(small, "generate", count=1)
    assert asked(small)[-1].body["model"] == "gpt-6-luna"
    refused = await small.owner.slash(small.channel, "generate", count=1, voice="nobody")
    assert said(refused).startswith("There is no such voice.")
    (choice,) = await small.owner.autocomplete(small.channel, "generate", "voice", "dataset 1")
    assert choice["value"] == str(number)


async def test_tags_and_reblogs_are_for_every_draft_or_none_when_that_is_said(tmp_path: Path):
    def sometimes(settings: Settings) -> Settings:
        return settings.model_copy(
            update={"tags_chance": 0.5, "reblog_chance": 0.5, "reblog_blog_identifiers": ["neighbour"]}
        )

    async with small_world(tmp_path, configure=sometimes) as world:
        neighbour = world.tumblr.add_blog("neighbour")
        for number in range(8):
            world.tumblr.add_post(neighbour, text_post(f"a word from over the water, number {number}.", number))
        await stage(world, "download")
        await stage(world, "generate", count=6, tags=True, reblog=True)
        found = await rows(world, "SELECT tags <> '[]', parent IS NOT NULL FROM drafts")
        assert found == [(1, 1)] * 6
        await stage(world, "generate", count=6, tags=False, reblog=False)
        found = await rows(world, "SELECT tags <> '[]', parent IS NOT NULL FROM drafts WHERE id > 6")
        assert found == [(0, 0)] * 6
        await stage(world, "generate", count=1, tags=False, reblog=True, prompt="Answer this with a sigh: {}")
        ((prompt,),) = await rows(world, "SELECT prompt FROM drafts WHERE id = 13")
        assert prompt.startswith("Answer this with a sigh: a word from over the water")


async def test_what_the_guards_found_is_on_the_draft(small: World):
    """Of twelve posts that say nearly the same, an n-gram can only copy."""
    await stage(small, "download")
    done = await stage(small, "generate", count=2)
    assert "Held back: " in describe(done)
    found = [json.loads(each) for (each,) in await rows(small, "SELECT findings FROM drafts WHERE held_back")]
    assert any(kind["kind"] == "copies a post" for each in found for kind in each)


async def test_stop_keeps_every_text_that_was_paid_for(small: World):
    await stage(small, "download")
    await small.owner.slash(small.channel, "generate", count=24)
    shown = await small.until(
        lambda: m[-1] if (m := shown_with(small, TITLES["generate"])) and "of 24 drafts" in line(m[-1]) else None
    )
    await small.owner.click(shown, label="Stop")
    assert "Stopped." in line(await outcome(small, "generate"))
    ((kept, spent),) = await rows(
        small, "SELECT (SELECT count(*) FROM drafts), (SELECT count(*) FROM spending WHERE purpose = 'writing')"
    )
    assert kept == spent == len(asked(small))
    assert await rows(small, "SELECT count(*) FROM spending WHERE spent IS NULL") == [(0,)]


async def test_a_voice_that_is_tuned_at_together_goes_the_same_way(tmp_path: Path):
    """Another API behind the same protocol: /finetune trains there, and /generate writes with what came of it."""
    together = TogetherService(seed=1)
    together.training_seconds = 0.2
    address = await together.start()
    model = next(iter(together.models))

    def elsewhere(settings: Settings) -> Settings:
        tuning = settings.openai.fine_tuning.model_copy(
            update={
                "base_url": f"{address}/v1",
                "api_key": type(settings.openai.api_key)(together.api_key),
                "model": model,
                "api": TrainingApi.TOGETHER,
            }
        )
        return settings.model_copy(update={"openai": settings.openai.model_copy(update={"fine_tuning": tuning})})

    try:
        async with small_world(tmp_path, posts=60, configure=elsewhere) as world:
            await up_to(world, "examples")
            done = await stage(world, "finetune", suffix="lamp")
            assert line(done) == "Done: the new voice is active."
            (kind,) = (await rows(world, "SELECT kind FROM voices WHERE active"))[0]
            assert kind == VoiceKind.TOGETHER
            assert len(together.state.files) == 2
            assert len(together.state.jobs) == 1
            assert "a draft waits" in line(await stage(world, "generate", count=1, tags=False))
            assert not asked(world), "it was written at Together"
            assert "tuned at Together" in said(await world.owner.slash(world.channel, "voices list"))
    finally:
        await together.stop()
