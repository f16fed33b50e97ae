"""/status at every stage: what it shows, that its buttons do what they say, and that Discord's limits hold."""

from __future__ import annotations

import dataclasses
import random
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import discord
import pytest

from bot import overview
from bot.config import BudgetSettings, Settings
from bot.demo.faults import Fault
from bot.demo.world import World, describe
from bot.drafts import DraftState, UploadState
from bot.examples import Dataset
from bot.jobs.runner import Job, JobState
from bot.overview import BlogStanding, Health, Overview
from bot.progress import Progress
from bot.store.posts import PostCounts
from bot.store.spending import Standing
from bot.training import Voice, VoiceKind
from bot.tumblr.quota import Quota
from cogs.ui import limits
from cogs.ui.status_embed import render
from tests.audit import newest_acts
from tests.cogs.acts import (
    REFUSAL,
    answer,
    as_it_stands,
    buttons,
    everything,
    forged,
    line,
    now,
    outcome,
    rows,
    said,
    small_world,
    stage,
    up_to,
    written,
)


async def status(world: World) -> str:
    return said(await world.owner.slash(world.channel, "status"))


def unset(settings: Settings) -> Settings:
    return settings.model_copy(update={"download_blog_identifiers": [], "upload_blog_identifier": ""})


async def test_an_empty_bot_says_where_to_begin_and_what_is_missing(tmp_path: Path):
    async with small_world(tmp_path, posts=0, configure=unset) as world:
        result = await world.owner.slash(world.channel, "status")
        text = said(result)
        assert "Nothing is here yet. Use /download" in text
        assert text.count("○ **") == 5
        assert "At work: nothing" in text
        assert "Destination: not set" in text
        assert "No blog is set for approved drafts to go to." in text
        assert f"running since <t:{int(world.app.started_at)}:R>" in text
        assert "connected to Discord" in text
        assert buttons(answer(result).message) == ["Download posts", "Refresh"]


async def test_jobs_that_wait_or_have_failed_are_shown_and_cancelled_in_the_same_message(small: World):
    await up_to(small, "examples")
    small.openai.faults.schedule(Fault("POST", "/v1/files", "status", 400, times=9))
    failed = await stage(small, "finetune")
    small.tumblr.hour_used = small.tumblr.hour_limit
    await small.owner.slash(small.channel, "download", full=True)
    await small.until(lambda: "Waiting for" in describe(small.messages[-1]))
    result = await small.reviewer.slash(small.channel, "status")
    shown = answer(result).message
    text = said(result)
    assert "◐ **Download**" in text
    assert "/download · begun <t:" in text
    assert "waits for Tumblr" in text
    assert "At work: /download" in text
    assert "Not finished: /finetune · stopped <t:" in text
    assert (
        f"[its message](https://discord.com/channels/{small.channel.guild.id}/{small.channel.id}/{failed.id})" in text
    )
    assert "takes no calls, goes on <t:" in text
    assert buttons(shown) == ["Screen training data", "Refresh", "Cancel /download", "Cancel /finetune"]
    assert said(await forged(small, small.stranger, shown, "status:cancel:1")).startswith(REFUSAL)

    count = len(small.messages)
    pressed = await small.reviewer.click(answer(result), label="Cancel /finetune")
    assert not pressed.followups
    shown = as_it_stands(small, shown)
    assert line(shown).startswith("**/finetune is cancelled. What was done until now is kept.**")
    assert buttons(shown) == ["Screen training data", "Refresh", "Cancel /download"]
    await small.until(lambda: "Stopped." in line(now(small, failed)))
    assert await rows(small, "SELECT state FROM jobs WHERE kind = 'finetune'") == [("cancelled",)]
    (act,) = await newest_acts(small.app.database, limit=1)
    assert (act.user_id, act.action) == (small.reviewer.id, "stop")

    await small.reviewer.click(shown, label="Cancel /download")
    await outcome(small, "download", after=1)
    await small.reviewer.click(shown, label="Refresh")
    shown = as_it_stands(small, shown)
    assert buttons(shown) == ["Screen training data", "Refresh"]
    assert "At work: nothing" in describe(shown)
    assert len(small.messages) == count
    await forged(small, small.reviewer, shown, "status:cancel:1")
    assert line(as_it_stands(small, shown)).startswith("**That job has already ended.**")


async def test_waiting_drafts_are_the_next_step_and_a_posted_one_is_counted(
    small: World, monkeypatch: pytest.MonkeyPatch
):
    first, _ = await written(small, 2)
    result = await small.owner.slash(small.channel, "status")
    assert "Next: decide about the drafts that wait." in said(result)
    assert "2 waiting, 0 uploaded" in said(result)
    assert "Voice: few-shot\nvoice 1" in said(result)
    assert "calls left this hour" in said(result)
    review = await small.owner.click(answer(result), label="Review drafts")
    assert "Draft 1" in said(review)
    await small.owner.click(first, label="Approve")
    await small.until(lambda: "Saved as a draft" in describe(now(small, first)))
    async with small.app.database.write() as connection:
        await connection.execute("UPDATE voices SET shutdown_date = '2031-02-03'")
    monkeypatch.setattr(overview.shutil, "disk_usage", lambda _path: SimpleNamespace(free=1024))
    before = await everything(small)
    text = await status(small)
    assert await everything(small) == before
    assert "1 waiting, 1 uploaded" in text
    assert "1 post today (UTC)" in text
    assert "stops 2031-02-03 (in " in text
    assert "The disk of data\\_directory is nearly full." in text
    monkeypatch.setattr(overview.shutil, "disk_usage", _no_disk)
    assert "of disk left" not in await status(small)


def _no_disk(_path: Path) -> None:
    raise OSError


async def test_the_caps_and_the_last_backup_are_shown(tmp_path: Path):
    def capped(settings: Settings) -> Settings:
        return settings.model_copy(update={"budget": BudgetSettings(per_day=2.0, per_run=0.5)})

    async with small_world(tmp_path, posts=0, configure=capped) as world:
        assert "This month: $0.00 of $20.00\ntoday $0.00 of $2.00\na run at most $0.50" in await status(world)
        assert "no backup yet" in await status(world)
        folder = world.app.settings.data_directory / "backups"
        folder.mkdir()
        (folder / "nightly-1.zip").touch()
        assert "last backup <t:" in await status(world)
        world.app.started_at -= 3 * 86_400
        assert "There has been no backup" not in await status(world)
        (folder / "nightly-1.zip").unlink()
        assert "There has been no backup for two days." in await status(world)


# --- limits -------------------------------------------------------------------------------------------------------

HOSTILE = (
    "@everyone " * 40,
    "[x](https://evil.example) " * 30,
    "😀" * 600,
    "`" * 900,
    "# " + "*" * 999,
    "a\n" * 300,
    "",
)


def test_discords_limits_hold_whatever_there_is_to_show():
    for seed in range(100):
        dice = random.Random(seed)
        shown = render(
            _seen(dice), dice.choice(("connected", "silent")), dice.choice((None, 1)), dice.choice(HOSTILE)[:80]
        )
        values = [field.value or "" for field in shown.fields]
        assert sum(limits.length(part) for part in (shown.title or "", shown.description or "", *values)) <= 5_900, seed
        assert all(0 < limits.length(value) <= limits.FIELD_VALUE for value in values), seed
        names = {field.name for field in shown.fields}
        assert {"The stages", "At work", "Drafts", "Voice", "Destination", "This month", "Tumblr", "Health"} <= names, (
            seed
        )
        assert "@everyone" not in "".join(values), seed
        work = next(
            value for name, value in zip([f.name for f in shown.fields], values, strict=True) if name == "At work"
        )
        assert work.count("[its message](") == work.count(f"/{2**62})"), seed


def _seen(dice: random.Random) -> Overview:
    def text() -> str:
        return dice.choice(HOSTILE)

    def job(kind: str, state: JobState) -> Job:
        progress = Progress(dice.randint(0, 10**12), dice.choice((None, 10**12)), text(), text(), waiting_for=text())
        progress = dataclasses.replace(progress, waiting_for=dice.choice((None, text())), wait_until=2e9)
        ids = dice.choice(((None, None), (2**62, 2**62)))
        return Job(2**62, kind, {}, state, progress, text(), text(), 1, *ids, 1.0, 2e9, 2e9)

    kinds = ["download", "examples", "moderate", "finetune", "generate", "compare", "what a later version has"]
    dice.shuffle(kinds)
    middle = dice.randint(0, len(kinds))
    dataset = Dataset(10**9, 2e9, "", "", "", 1, 10**9, 10**9, 0, text())
    voice = Voice(10**9, dice.choice(list(VoiceKind)), text(), text(), text(), 1, "", "", 0.0, True, 0.0)
    voice = dataclasses.replace(voice, shutdown_date=dice.choice((None, date(2031, 1, 1))))
    counts = PostCounts(10**9, dice.choice((0, 10**9)))
    return Overview(
        at=2e9,
        blogs=tuple(BlogStanding(text(), counts) for _ in range(dice.choice((0, 1, 3, 200)))),
        dataset=dice.choice((None, dataset)),
        skip=None,
        voice=dice.choice((None, voice)),
        voice_problem=text(),
        drafts={state: dice.randint(0, 10**9) for state in DraftState},
        destination=text(),
        upload_state=dice.choice(list(UploadState)),
        last_done=dict.fromkeys(kinds, 2e9),
        working=tuple(job(kind, JobState.RUNNING) for kind in kinds[:middle]),
        failed=tuple(job(kind, JobState.FAILED) for kind in kinds[middle:]),
        money=Standing(1e9, 0.0, dice.choice((0.0, 1e9)), 1e9, dice.choice((0.0, 1e9)), 0, 0.0),
        budget=BudgetSettings(per_run=1e9, currency="*" * 10, currency_rate=1e9),
        quota=Quota(10**9, None, 10**9, None, 10**9, 10**9),
        held_until=dice.choice((None, 2e9)),
        uploaded_today=10**9,
        health=Health(1.0, dice.choice((None, 10**18)), dice.choice((None, 2e9)), wants_backups=True),
        problems=tuple(text() or "x" for _ in range(dice.choice((0, 1, 40)))),
    )


def test_what_comes_next_waits_for_what_is_at_work():
    def advice(kind: str, **more: Any) -> str:
        job = Job(1, kind, {}, JobState.RUNNING, None, None, "keeper", 1, None, None, 1.0, 2e9, None)
        seen = dataclasses.replace(_seen(random.Random(1)), working=(job,), drafts={}, failed=(), **more)
        seen = dataclasses.replace(seen, blogs=(BlogStanding("coast", PostCounts(40, 40)),))
        return (render(seen, "connected", None).description or "").splitlines()[0]

    assert advice("download", dataset=None) == "Next: nothing to do but wait, /download is at work."
    dataset = Dataset(1, 2e9, "", "", "", 1, 40, 40, 0, "a service")
    assert "wait for the voice that is being trained" in advice("finetune", dataset=dataset)
    assert advice("moderate", dataset=dataset).startswith("Next: write some drafts.")


async def test_a_voice_that_has_stopped_is_to_be_seen_to(small: World):
    await stage(small, "download")
    await small.app.voices.current()
    async with small.app.database.write() as connection:
        await connection.execute("UPDATE voices SET shutdown_date = '2020-02-03'")
    text = await status(small)
    assert "The voice that writes has stopped on 2020-02-03. /voices use goes to another one." in text
    assert "stopped 2020-02-03" in text


def test_a_voice_that_is_missing_is_told_of():
    seen = dataclasses.replace(_seen(random.Random(1)), voice=None, voice_problem="There is no voice.", problems=())
    shown: discord.Embed = render(seen, "connected", None)
    assert "There is no voice." in str(shown.fields[0].value)
