"""The progress message: what it shows, when it moves to a fresh message, and that the last state always arrives."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import discord
import pytest

from bot.config import BudgetSettings
from bot.demo.world import GUILD_ID, World, describe
from bot.jobs.runner import Job, JobState
from bot.progress import Preview, Progress
from cogs.ui.progress_message import Speed, render
from cogs.ui.words import bar, dollars, duration, money
from tests.cogs.acts import (
    QUICK,
    TITLES,
    answer,
    buttons,
    change_discord,
    line,
    outcome,
    sent,
    shown_with,
    small_world,
    stage,
    up_to,
)


class Clock:
    """The bot's time: the true one, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


async def test_a_waiting_download_shows_how_far_it_is_and_until_when_it_waits(tmp_path: Path):
    async with small_world(tmp_path, posts=60) as world:
        world.tumblr.page_limit = 20
        world.tumblr.hour_limit = 4
        await world.owner.slash(world.channel, "download")
        shown = await world.until(
            lambda: m[0] if (m := shown_with(world, TITLES["download"])) and "Waiting" in line(m[0]) else None
        )
        text = line(shown)
        assert f"Downloading {world.blog_name}" in text.replace("\\", "")
        counts = re.search(r"^(\d+) of about \d+ posts", text, re.MULTILINE)
        assert counts
        assert 20 <= int(counts[1]) < 60
        assert re.search(r"`█+░+` \d\d%", text)
        moment = re.search(r"Waiting for Tumblr's quota\. It goes on <t:(\d+):R>\.", text)
        assert moment
        assert 0 < int(moment[1]) - time.time() <= 3700
        assert buttons(shown) == ["Stop"]
        preview = shown.embeds[0].fields[0]
        assert "the kettle sang" in (preview.value or "")
        assert shown.embeds[0].footer.text == "Job 1, asked for by keeper"
        await world.owner.click(shown, label="Stop")
        assert line(await outcome(world, "download")).startswith("Stopped.")


async def test_a_message_that_grows_old_is_followed_by_a_fresh_one(tmp_path: Path):
    clock = Clock()
    async with small_world(tmp_path, clock=clock) as world:
        await up_to(world, "moderate")
        world.openai.training_seconds = 600.0
        offer = await world.owner.slash(world.channel, "finetune")
        await world.owner.click(answer(offer), label="Start training")
        first = await world.until(
            lambda: m[0] if (m := shown_with(world, TITLES["finetune"])) and " says: " in line(m[0]) else None
        )
        clock.ahead += 49 * 60
        await world.until(lambda: sent(world, "PATCH", f"/messages/{first.id}"))
        assert len(shown_with(world, TITLES["finetune"])) == 1
        clock.ahead += 2 * 60
        second = await world.until(lambda: m[1] if len(m := shown_with(world, TITLES["finetune"])) == 2 else None)
        link = f"https://discord.com/channels/{GUILD_ID}/{world.channel.id}/{first.id}"
        assert second.content == f"Continued from {link}"
        assert second.flags.suppress_embeds is False
        old = await world.until(
            lambda: m[0] if "It goes on in" in line((m := shown_with(world, TITLES["finetune"]))[0]) else None
        )
        assert second.jump_url in line(old)
        assert not old.components, "a bar that stands still, with a button"
        world.openai.training_seconds = 0.01
        done = await outcome(world, "finetune")
        assert done.id == second.id
        assert done.content == second.content
        assert line(done) == "Done: the new voice is active."
        assert len(shown_with(world, TITLES["finetune"])) == 2


async def test_discords_word_that_a_message_is_too_old_to_edit_is_heeded(small: World):
    small.env.inject_error(
        "PATCH", f"/channels/{small.channel.id}/messages/*", status=400, code=30046, message="Too old"
    )
    await stage(small, "download")
    first, second = shown_with(small, TITLES["download"])
    assert second.content.endswith(f"/{first.id}")
    assert line(second) == "Done: 12 new posts."


async def test_the_last_state_is_delivered_however_slow_the_edits_are(tmp_path: Path):
    async with small_world(tmp_path, pace=replace(QUICK, message_edit=0.5)) as world:
        world.tumblr.page_limit = 1
        shown = await stage(world, "download")
        assert line(shown) == "Done: 12 new posts."
        # Twelve pages, and far fewer edits: what is overtaken is not sent.
        assert len(sent(world, "PATCH", f"/messages/{shown.id}")) <= 8


async def test_progress_goes_to_the_channel_where_it_was_asked_for(small: World):
    other = small.env.guild.create_text_channel("other-room")
    change_discord(small, channel_id=None)
    await small.owner.slash(other, "download")
    shown = await small.until(
        lambda: m[-1] if (m := [x for x in other.history() if x.embeds]) and "Done" in line(m[-1]) else None
    )
    assert "12 new posts" in describe(shown)
    assert not shown_with(small, TITLES["download"])


def job(state: JobState, progress: Progress | None, error: str | None = None) -> Job:
    return Job(
        id=7,
        kind="generate",
        parameters={},
        state=state,
        progress=progress,
        error=error,
        requested_by="keeper",
        requester_id=1,
        channel_id=2,
        message_id=None,
        message_posted_at=None,
        created_at=0.0,
        finished_at=None,
    )


def fast(*seen: tuple[float, int]) -> Speed:
    times = iter([moment for moment, _ in seen])
    speed = Speed(clock=lambda: next(times))
    for _, done in seen:
        speed.saw(done)
    return speed


def test_rate_and_time_left_are_worked_out_from_what_was_seen():
    progress = Progress(30, 90, "Writing.", "drafts", total_is_estimate=True)
    text = render(job(JobState.RUNNING, progress), fast((0.0, 10), (10.0, 30))).description or ""
    assert "`███████░░░░░░░░░░░░░` 33%" in text
    assert "30 of about 90 drafts · 2.0 a second · about 30 s left" in text


def test_nothing_is_said_of_a_rate_before_there_is_one():
    text = render(job(JobState.RUNNING, Progress(30, 90, "Writing.", "drafts")), fast((0.0, 30))).description or ""
    assert text.splitlines()[-1] == "30 of 90 drafts"


def test_a_slow_rate_is_told_by_the_minute():
    text = render(job(JobState.RUNNING, Progress(2, None, "Writing.", "drafts")), fast((0.0, 1), (30.0, 2))).description
    assert text is not None
    assert "2 drafts · 2.0 a minute" in text


def test_more_than_the_estimate_is_not_more_than_all():
    text = render(job(JobState.RUNNING, Progress(120, 90, "x", "posts", total_is_estimate=True)), Speed()).description
    assert text is not None
    assert "100%" in text


@pytest.mark.parametrize("state", JobState)
def test_every_state_can_be_shown(state: JobState):
    preview = Preview("@everyone " * 900, "[x](y)" * 90, tags=("t" * 140,) * 30)
    facts = tuple((f"fact {n}" * 50, "value" * 400) for n in range(40))
    progress = Progress(1, 2, "line " * 2000, "posts", preview, waiting_for="the tide", wait_until=5.0, facts=facts)
    for shown in (render(job(state, progress, "It failed. Try again."), Speed()), render(job(state, None), Speed())):
        assert len(shown) <= 6000
        assert isinstance(shown, discord.Embed)


def test_words():
    assert bar(0, 10, 4) == "░░░░"
    assert bar(5, 10, 4) == "██░░"
    assert bar(99, 10, 4) == "████"
    assert [duration(s) for s in (0.2, 59, 60, 3600, 5400)] == ["1 s", "59 s", "1 min", "1 h", "1 h 30 min"]
    assert [dollars(a) for a in (0, 0.0003, 0.5, 1234)] == ["$0.00", "$0.0003", "$0.50", "$1,234.00"]
    assert dollars(0.00001) == "under $0.0001"


@pytest.mark.parametrize(
    ("currency", "rate", "shown"),
    [
        ("", 0.0, "$2.00"),
        ("EUR", 0.0, "$2.00"),
        ("", 0.9, "$2.00"),
        ("EUR", 0.9, "$2.00 (about €1.80 at your rate)"),
        ("gbp", 0.01, "$2.00 (about £0.0200 at your rate)"),
        ("€", 0.9, "$2.00 (about €1.80 at your rate)"),
        ("CHF", 1000.0, "$2.00 (about 2,000.00 CHF at your rate)"),
        ("kr.", 10.0, "$2.00 (about 20.00 kr. at your rate)"),
        ("**<@1>", 1.0, "$2.00 (about \\*\\*<\u200b@1>2.00 at your rate)"),
        ("EUR", 1e-9, "$2.00"),
    ],
)
def test_money_in_the_owners_currency_where_it_and_its_rate_are_set(currency: str, rate: float, shown: str):
    assert money(2.0, BudgetSettings(currency=currency, currency_rate=rate)) == shown
