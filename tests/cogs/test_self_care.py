"""What the owner is told without having asked: what is missing at the start, a clock that was set, a disk that is full."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import discord
import pytest

from bot.check import Finding
from bot.config import Settings
from bot.demo.faults import Fault
from bot.demo.world import GUILD_ID, World, describe
from bot.store.facts import get_fact, set_fact
from cogs.ui.self_care import render_findings
from tests.cogs.acts import QUICK, line, pause, rows, sent, small_world, stage

LOOKS = replace(QUICK, first_check=0.05)
TOLD = "told of the checks at the start"


def notices(world: World) -> list[discord.Message]:
    return [m for m in world.messages if m.embeds and "your attention" in (m.embeds[0].title or "")]


def lasting(settings: Settings) -> Settings:
    """No model that anybody has announced the end of."""
    return settings.model_copy(update={"base_model": "gpt-6-luna"})


async def looked(world: World, caplog: pytest.LogCaptureFixture, words: str = "is well.") -> None:
    """Wait for the end of the checks."""
    await world.until(lambda: words in caplog.text)
    caplog.clear()


async def fact(world: World) -> str | None:
    return await get_fact(world.app.database, TOLD)


async def noted(world: World) -> str:
    while not (told := await fact(world)):
        await pause(0.01)
    return told


async def test_the_owner_is_told_once_what_is_missing_and_the_bot_stays_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", logger="cogs")

    async with small_world(tmp_path, pace=LOOKS, configure=two_lacking) as world:
        (shown,) = await world.until(lambda: notices(world))
        embed = shown.embeds[0]
        assert embed.title == "2 things need your attention"
        assert {field.name for field in embed.fields} == {"Destination", "Model for moderation"}
        assert "No blog is named for drafts.\nSet `upload_blog_identifier`." in describe(shown)
        assert "no model no-such-model" in describe(shown)
        assert not {request.method for request in (*world.tumblr.requests, *world.openai.requests)} - {"GET"}
        told = await noted(world)
        # It goes on working.
        assert line(await stage(world, "download")) == "Done: 12 new posts."

        # The same at the next start: nothing is said again.
        caplog.clear()
        await world.restart()
        await looked(world, caplog, "no model no-such-model")
        await pause()
        assert len(notices(world)) == 1
        assert await fact(world) == told

        # Something else is missing: what there is then is said, in a new message.
        world.app.settings = world.app.settings.model_copy(update={"download_blog_identifiers": []})
        await world.restart()
        await world.until(lambda: len(notices(world)) == 2)
        assert notices(world)[1].embeds[0].title == "3 things need your attention"


def good_news(world: World) -> list[discord.Message]:
    return [m for m in world.messages if m.embeds and "well again" in (m.embeds[0].title or "")]


def two_lacking(settings: Settings) -> Settings:
    openai = settings.openai.model_copy(
        update={"moderation": settings.openai.moderation.model_copy(update={"model": "no-such-model"})}
    )
    return lasting(settings).model_copy(update={"upload_blog_identifier": "", "openai": openai})


async def test_what_is_mended_while_the_bot_runs_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", logger="cogs")
    async with small_world(tmp_path, pace=replace(LOOKS, check_again=0.05), configure=two_lacking, posts=0) as world:
        well = lasting(world.app.settings)
        await world.until(lambda: notices(world))
        await noted(world)
        world.app.settings = world.app.settings.model_copy(update={"upload_blog_identifier": world.blog_name})
        (shown,) = await world.until(lambda: good_news(world))
        assert shown.embeds[0].title == "One thing is well again"
        assert shown.embeds[0].description == "The other thing that was named needs your attention still."
        assert f"Destination: Approved drafts go to {world.blog_name}" in describe(shown)
        openai = well.openai.model_copy(update={"moderation": well.openai.generation})
        world.app.settings = world.app.settings.model_copy(update={"openai": openai})
        _, shown = await world.until(lambda: found if len(found := good_news(world)) == 2 else None)
        assert shown.embeds[0].description == "Nothing else is missing."
        assert "Model for moderation: " in describe(shown)
        await looked(world, caplog)
        # Nothing is missing any more: nothing is looked at again, and nothing said at the next start.
        before = len(world.messages)
        asked = len(world.openai.requests)
        await pause()
        assert len(world.openai.requests) == asked
        await world.restart()
        await looked(world, caplog)
        assert len(world.messages) == before
        assert not await fact(world)


async def test_what_was_mended_while_the_bot_was_away_is_told_beside_what_is_missing_now(tmp_path: Path):
    async with small_world(tmp_path, pace=LOOKS, configure=two_lacking, posts=0) as world:
        await world.until(lambda: notices(world))
        await noted(world)
        # What an older version noted names nothing, and is written anew.
        async with world.app.database.write() as connection:
            await set_fact(connection, TOLD, "ab" * 32)
        await world.restart()
        while "abab" in await noted(world):
            await pause(0.01)
        world.app.settings = world.app.settings.model_copy(
            update={"upload_blog_identifier": world.blog_name, "download_blog_identifiers": []}
        )
        await world.restart()
        _, shown = await world.until(lambda: found if len(found := notices(world)) == 2 else None)
        assert shown.embeds[0].title == "2 things need your attention"
        names = [field.name for field in shown.embeds[0].fields]
        assert names == ["Blogs to download", "Model for moderation", "Destination is well again"]


async def test_what_could_not_be_tried_is_not_called_well(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with small_world(tmp_path, pace=LOOKS, configure=two_lacking, posts=0) as world:
        await world.until(lambda: notices(world))
        told = await noted(world)
        world.tumblr.faults.schedule(Fault("GET", "/v2/user/info", "html", status=503, times=9))
        await world.restart()  # without the account nobody knows about the destination
        await world.until(lambda: len(notices(world)) == 2)
        while (still := await noted(world)) == told:
            await pause(0.01)
        assert "Destination" in still
        world.tumblr.faults.clear()
        await world.restart()
        (shown,) = await world.until(lambda: good_news(world))
        assert [field.name for field in shown.embeds[0].fields] == ["Tumblr account"]


async def test_nothing_is_said_when_all_is_well_or_nobody_can_be_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", logger="cogs")
    async with small_world(tmp_path, pace=LOOKS, configure=lasting) as world:
        await looked(world, caplog)
        assert not notices(world)
        before = len(world.messages)

        # The channel is not there: the log says so, and the next start may tell.
        settings = world.app.settings
        world.app.settings = settings.model_copy(
            update={"discord": settings.discord.model_copy(update={"channel_id": 42})}
        )
        await world.restart()
        await looked(world, caplog, "The owner could not be told")
        assert len(world.messages) == before
        assert not await fact(world)

        # Tumblr does not answer: that is found, and stops nothing.
        world.app.settings = settings
        world.tumblr.faults.schedule(Fault("GET", "/v2/user/info", "html", status=503, times=9))
        await world.restart()
        (shown,) = await world.until(lambda: notices(world))
        assert [field.name for field in shown.embeds[0].fields] == ["Tumblr account"]
        world.tumblr.faults.clear()


async def test_commands_that_the_server_has_lost_are_registered_again(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", logger="cogs")
    async with small_world(tmp_path, pace=LOOKS, configure=lasting) as world:
        await looked(world, caplog)
        puts = len(sent(world, "PUT", "/commands"))
        await world.client.http.bulk_upsert_guild_commands(world.client.application_id or 0, GUILD_ID, [])
        await world.restart()
        await looked(world, caplog)
        assert len(sent(world, "PUT", "/commands")) == puts + 2, "the removal above, and the mending"
        assert len(await world.client.tree.fetch_commands(guild=discord.Object(GUILD_ID))) > 10
        assert not notices(world)

        # Somebody removes the bot from the server and adds it again while it runs.
        guild = world.client.get_guild(GUILD_ID)
        assert guild is not None
        await world.client.http.bulk_upsert_guild_commands(world.client.application_id or 0, GUILD_ID, [])
        world.client.dispatch("guild_join", guild)
        await world.until(lambda: len(sent(world, "PUT", "/commands")) == puts + 4)


async def test_a_clock_that_jumps_is_told_once_and_everything_that_waits_looks_again(tmp_path: Path):
    offset = [0.0]
    async with small_world(
        tmp_path, pace=replace(QUICK, clock_look=0.02), clock=lambda: time.time() + offset[0]
    ) as world:
        governor = world.app.tumblr.governor
        governor.restore(replace(governor.state(), held_until=time.time() + 600))
        offset[0] = -3 * 3600.0
        (shown,) = await world.until(
            lambda: [m for m in world.messages if m.embeds and "The clock" in (m.embeds[0].title or "")]
        )
        assert shown.embeds[0].title == "The clock of this machine was set back by 3 hours"
        # Tumblr's pause of ten minutes is still one of ten minutes.
        assert governor.held_until is not None
        assert 0 < governor.held_until - world.clock() <= 600
        offset[0] += 100  # less than five minutes is no jump
        await pause(0.2)
        assert len([m for m in world.messages if m.embeds and "The clock" in (m.embeds[0].title or "")]) == 1


async def test_a_full_disk_stops_a_job_with_a_sentence_and_it_goes_on_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """SQLite's own limit on pages stands for the disk: its error is the same SQLITE_FULL."""
    monkeypatch.setattr("bot.jobs.runner._RETRY_SECONDS", 0.05)
    async with small_world(tmp_path, posts=60) as world:
        writer = world.app.database._writer
        for post in world.tumblr.blogs[world.blog_name].posts:
            post["content"][0]["text"] += " and the sea went on" * 200
        ((pages,),) = await writer.execute_fetchall("PRAGMA page_count")
        await writer.execute(f"PRAGMA max_page_count = {pages}")
        failed = await stage(world, "download")
        assert "is full. Make room on it, then try again." in line(failed)

        await writer.execute("PRAGMA max_page_count = 1000000")
        while await rows(world, "SELECT 1 FROM jobs WHERE state = 'running'"):
            await pause(0.01)
        done = await stage(world, "download")
        assert "Done: " in line(done)
        assert await rows(world, "SELECT count(*) FROM posts") == [(60,)]


def test_more_findings_than_an_embed_holds_and_hostile_names():
    many = [Finding(f"Blog {n} **x** @everyone", "Gone. " * 100, "Correct `it`, *now*.") for n in range(40)]
    made = render_findings(many)
    assert len(made) <= 6000
    assert 0 < len(made.fields) <= 25
    assert f"{40 - len(made.fields)} more are in its log" in (made.description or "")
    assert "@everyone" not in str(made.to_dict())
    assert "Correct `it`, \\*now\\*." in str(made.fields[0].value)
