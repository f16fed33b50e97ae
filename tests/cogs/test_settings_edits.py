"""config.toml edited by hand while the bot runs: what takes effect, what is told, and what is no edit at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.config import Settings, example_text, write_options
from bot.demo.world import World, describe
from bot.settings_watch import Edit
from cogs.ui.watch_notices import WatchNotices
from tests.audit import newest_acts
from tests.cogs.acts import QUICK, answer, pause, rows, said, shown_with, small_world
from tests.conftest import _expected

TITLE = "config.toml was edited"
ACTS = "SELECT user_name, subject, before, after FROM audit WHERE action = 'edited in config.toml' ORDER BY id"


def config(world: World) -> Path:
    return world.directory / "config.toml"


def as_written(settings: Settings) -> Settings:
    """What the file of a first start says, but for what it does not: keys, addresses and paths."""
    return settings.model_copy(update={"draft_count": 10, "tags_chance": 0.1})


@pytest.fixture
async def edited(tmp_path: Path) -> AsyncIterator[World]:
    """A world whose config.toml is there from the start, and is looked at all the time."""
    (tmp_path / "config.toml").write_text(example_text(), "utf-8")
    pace = replace(QUICK, settings_look=0.03, notice_look=0.05)
    async with small_world(tmp_path, posts=0, pace=pace, configure=as_written) as world:
        yield world
        assert not [error for error in world.env.errors if not _expected(error)]


def edit(world: World, old: str, new: str, *, drop: str = "") -> None:
    """As an editor does it: the file is written whole."""
    text = config(world).read_text("utf-8").replace(drop, "\n") if drop else config(world).read_text("utf-8")
    assert text.count(old) == 1, text.count(old)
    config(world).write_text(text.replace(old, new), "utf-8")


async def told(world: World, number: int = 1) -> str:
    shown = await world.until(lambda: found if len(found := shown_with(world, TITLE)) >= number else None)
    return describe(shown[number - 1])


async def test_an_edit_takes_effect_and_is_told_and_recorded(edited: World):
    edit(edited, "\ndraft_count = 10\n", "\ndraft_count = 6 # fewer\n")
    text = await told(edited)
    assert "In effect now: **draft\\_count** 6, before: 10" in text
    assert edited.app.settings.draft_count == 6
    assert await rows(edited, ACTS) == [("the file", "draft_count", "10", "6")]
    # What was taken out has its default again.
    edit(edited, "\ndraft_count = 6 # fewer\n", "\n")
    assert "**draft\\_count** 10, before: 6" in await told(edited, 2)
    assert edited.app.settings.draft_count == 10


async def test_what_is_wrong_is_told_once_in_the_models_words_and_the_old_value_stays(edited: World):
    edit(
        edited,
        "\ndraft_count = 10\n",
        "\ndraft_count = 'many'\ntags_chanse = 1\npost_limit = 9\n",
        drop="\npost_limit = 0\n",
    )
    text = await told(edited)
    assert 'draft\\_count: "many" is not allowed; it takes a whole number from 1' in text
    assert "tags\\_chanse: no such option. Did you mean tags\\_chance?" in text
    assert "In effect now: **post\\_limit** 9, before: 0" in text
    assert (edited.app.settings.draft_count, edited.app.settings.post_limit) == (10, 9)
    status = said(await edited.owner.slash(edited.channel, "status"))
    assert "config.toml, not in effect: draft\\_count" in status
    # Another edit says nothing more of what was told already.
    edit(edited, "\npost_limit = 9\n", "\npost_limit = 8\n")
    second = await told(edited, 2)
    assert "**post\\_limit** 8, before: 9" in second
    assert "draft\\_count" not in second
    # It is not TOML at all; then it is whole again.
    whole = config(edited).read_text("utf-8")
    config(edited).write_text(whole + "\n[[[\n", "utf-8")
    assert "it is not TOML" in await told(edited, 3)
    assert edited.app.settings.post_limit == 8
    config(edited).write_text(whole.replace("'many'", "10").replace("tags_chanse = 1\n", ""), "utf-8")
    await edited.until(lambda: not edited.app.settings_watch.problems)
    await pause()
    assert len(shown_with(edited, TITLE)) == 3
    assert [tuple(act[2:]) for act in await rows(edited, ACTS)] == [("0", "9"), ("9", "8")]


async def test_what_needs_a_restart_or_is_overruled_is_said_so(edited: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUMBLRBOT_DRAFT_COUNT", "10")
    before = edited.app.settings
    text = config(edited).read_text("utf-8")
    text = text.replace("\ndraft_count = 10\n", "\ndraft_count = 6\n")
    text = text.replace('\napi_url = "https://api.tumblr.com"\n', '\napi_url = "https://elsewhere.example"\n')
    text = text.replace("\n[openai]\n", '\n[openai]\napi_key = "sk-typed-where-it-does-not-belong"\n')
    config(edited).write_text(text, "utf-8")
    shown = await told(edited)
    assert "In effect after a restart" in shown
    assert '**tumblr.api\\_url** "https://elsewhere.example"' in shown
    assert "**openai.api\\_key**" in shown
    assert "draft\\_count: the variable TUMBLRBOT\\_DRAFT\\_COUNT wins over the file" in shown
    assert edited.app.settings == before
    assert "sk-typed" not in shown
    assert "sk-typed" not in str(await newest_acts(edited.app.database, limit=9))


async def test_what_the_bot_writes_itself_is_no_edit(edited: World):
    for option, value in (("draft_count", "4"), ("discord.guild_id", "123456789012345678"), ("user_message", "say")):
        offered = await edited.owner.slash(edited.channel, "config set", option=option, value=value)
        await edited.owner.click(answer(offered), label="Apply")
    await pause(0.3)
    assert await rows(edited, ACTS) == []
    assert not shown_with(edited, TITLE)
    # A person's edit at the same time is one all the same.
    write_options(config(edited), {"post_limit": 5})
    offered = await edited.owner.slash(edited.channel, "config set", option="draft_count", value="3")
    await edited.owner.click(answer(offered), label="Apply")
    assert "**post\\_limit** 5, before: 0" in await told(edited)
    assert [subject for _, subject, _, _ in await rows(edited, ACTS)] == ["post_limit"]
    assert edited.app.settings.draft_count == 3


async def test_a_file_that_is_gone_or_being_written_changes_nothing(edited: World):
    before, text = edited.app.settings, config(edited).read_text("utf-8")
    config(edited).unlink()
    await pause(0.2)
    assert edited.app.settings == before
    config(edited).write_text(text.replace("\ndraft_count = 10\n", "\ndraft_count = 5\n"), "utf-8")
    await told(edited)
    assert edited.app.settings.draft_count == 5


async def test_a_notice_that_discord_does_not_take_comes_later(edited: World):
    edited.env.inject_error("POST", "/channels/*/messages", status=500, times=10)
    edit(edited, "\ndraft_count = 10\n", "\ndraft_count = 6\n")
    await edited.until(lambda: edited.app.settings.draft_count == 6)
    await told(edited)
    await pause()
    assert len(shown_with(edited, TITLE)) == 1


async def test_what_discord_does_not_take_is_not_tried_every_few_seconds_for_months(
    small: World, monkeypatch: pytest.MonkeyPatch
):
    """The channel is gone, say: each try is a line in the log, and a call that Discord counts."""
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            raise asyncio.CancelledError

    small.env.inject_error("POST", "/channels/*/messages", status=403, times=1)
    small.app.settings_watch.edits.append(Edit(problems=("one",)))
    monkeypatch.setattr("cogs.ui.watch_notices._sleep", wait)
    with pytest.raises(asyncio.CancelledError):
        await WatchNotices(small.client, every=10.0).keep()
    assert waits == [300.0, 10.0]
    assert len(shown_with(small, TITLE)) == 1
