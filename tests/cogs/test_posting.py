"""Messages that were sent and never noted down: the next try, or the next start, finds them, and posts no second one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import discord
import pytest

from bot.demo.world import World, describe
from bot.drafts import DraftState
from bot.errors import DiskFull
from bot.store import comparisons, drafts, facts, jobs
from bot.store.database import Database
from cogs.ui import reminder
from cogs.ui.posting import nonce
from tests.cogs.acts import (
    TITLES,
    becomes,
    buttons,
    draft,
    line,
    number,
    outcome,
    pause,
    restarted,
    rows,
    shown_with,
    small_world,
    stage,
    written,
)
from tests.cogs.test_draft_life import Watch, reminders, review
from tests.cogs.test_voices import add, round_messages, say


@pytest.fixture
def unnoted(monkeypatch: pytest.MonkeyPatch) -> Callable[[object, str], Callable[[], None]]:
    """Let a write fail from now on, until what is returned is called: so ends a process that never comes to it."""

    def begin(store: object, name: str) -> Callable[[], None]:
        true = getattr(store, name)

        async def fails(*_: object, **__: object) -> None:
            raise DiskFull("The disk is full.", "Make room.")

        monkeypatch.setattr(store, name, fails)
        return lambda: monkeypatch.setattr(store, name, true)

    return begin


async def posted(world: World) -> discord.Message:
    """The message of a draft, whether it is noted or not."""
    await stage(world, "download")
    await stage(world, "generate", count=1)
    return (await world.until(world.drafts))[0]


async def test_a_draft(small: World, unnoted: Any):
    as_before = unnoted(drafts, "draft_shown")
    message = await posted(small)
    assert (await draft(small, message)).message_id is None
    as_before()
    await restarted(small)
    while (await draft(small, message)).message_id != message.id:
        await pause(0.01)
    assert [shown.id for shown in small.drafts()] == [message.id]
    await small.owner.click(message, label="Reject")
    await becomes(small, message, "It will not be posted")


async def test_a_draft_that_has_changed_since(small: World, unnoted: Any):
    """Its tags are found a moment after its text."""
    as_before = unnoted(drafts, "draft_shown")
    message = await posted(small)
    async with small.app.database.write() as connection:
        await connection.execute("UPDATE drafts SET tags = '[\"lamp\"]', version = version + 1")
    as_before()
    await restarted(small)
    await becomes(small, message, "lamp")
    assert len(small.drafts()) == 1


async def test_a_round(small: World, unnoted: Any):
    as_before = unnoted(comparisons, "round_shown")
    await add(small)
    await stage(small, "download")
    assert (await small.app.voices.current()).id == 2
    await say(small, "compare", one="1", other="2", rounds=2)
    await outcome(small, "voices compare")
    (first,) = await small.until(lambda: round_messages(small))
    as_before()
    await restarted(small)
    _, second = await small.until(lambda: m if len(m := round_messages(small)) == 2 else None)
    while await rows(small, "SELECT 1 FROM comparison_rounds WHERE message_id IS NULL"):
        await pause(0.01)
    assert await rows(small, "SELECT message_id FROM comparison_rounds ORDER BY number") == [(first.id,), (second.id,)]
    await small.owner.click(first, label="A is better")
    await becomes(small, first, "Round 1 of 2: judged")


async def test_a_progress_message_whose_job_has_ended_since(small: World, unnoted: Any):
    as_before = unnoted(jobs, "set_message")
    small.tumblr.hour_used = small.tumblr.hour_limit
    await small.owner.slash(small.channel, "download")
    (message,) = await small.until(lambda: shown_with(small, TITLES["download"]))
    await small.app.runner.cancel(1)
    as_before()
    await restarted(small)
    shown = await outcome(small, "download")
    assert line(shown) == "Stopped. What was done until then is kept."
    assert "Stop" not in buttons(shown)
    await pause()
    assert [found.id for found in shown_with(small, TITLES["download"])] == [message.id]
    assert await rows(small, "SELECT message_id FROM jobs") == [(message.id,)]


@pytest.mark.usefixtures("impatient")
async def test_a_draft_whose_message_was_deleted_before_it_was_noted_comes_once_discord_has_forgotten_it(
    small: World, unnoted: Any, nonces: dict[str, Any]
):
    as_before = unnoted(drafts, "draft_shown")
    message = await posted(small)
    small.env.backend.delete_message(small.channel.id, message.id)
    as_before()
    await pause(0.3)
    assert not small.drafts()
    nonces.clear()
    (fresh,) = await small.until(small.drafts)
    await small.owner.click(fresh, label="Reject")
    await becomes(small, fresh, "It will not be posted")


@pytest.mark.usefixtures("impatient")
async def test_the_connection_is_cut_before_the_answer(small: World, monkeypatch: pytest.MonkeyPatch):
    true_request, cut = small.client.http.request, list[str]()

    async def request(route: Any, **options: Any) -> Any:
        answered = await true_request(route, **options)
        if route.method == "POST" and route.path == "/channels/{channel_id}/messages" and len(cut) < 4:
            cut.append(route.url)
            raise aiohttp.ServerDisconnectedError
        return answered

    monkeypatch.setattr(small.client.http, "request", request)
    message = await posted(small)
    assert len(cut) == 4
    await small.owner.click(message, label="Reject")
    await becomes(small, message, "It will not be posted")
    assert [len(shown_with(small, TITLES[name])) for name in ("download", "generate")] == [1, 1]
    assert len(small.drafts()) == 1


# --- what is meant to be a second one -----------------------------------------------------------------------------


async def test_a_draft_that_is_asked_for_again_and_again_is_shown_each_time(small: World):
    message = await posted(small)
    for count in (2, 3):
        await small.owner.slash(small.channel, "drafts show", number=number(message))
        await small.until(lambda count=count: len(small.drafts()) == count)
        while (await draft(small, message)).message_id is None:
            await pause(0.01)


async def test_a_draft_whose_message_is_deleted_each_time_is_posted_each_time(small: World):
    message = await posted(small)
    for note in ("one", "two"):
        while (await draft(small, 1)).message_id != message.id:
            await pause(0.01)
        small.env.backend.delete_message(small.channel.id, message.id)
        async with small.app.database.write() as connection:
            await drafts.note_on_draft(connection, 1, note, state=DraftState.PENDING)
        small.app.drafts_changed.set()
        (message,) = await small.until(small.drafts)
        assert note in describe(message)


async def test_the_first_job_of_another_database_has_a_message_of_its_own(small: World):
    await stage(small, "download")
    await small.app.stop()
    shutil.rmtree(small.directory / "data")
    await small.restart()
    await stage(small, "download")
    assert [job for (job,) in await rows(small, "SELECT id FROM jobs")] == [1]
    assert len(shown_with(small, TITLES["download"])) == 2


async def test_each_database_is_called_something_else_and_keeps_that(tmp_path: Path):
    called: list[str] = []
    for name in ("one", "one", "other"):
        database = await Database.open(tmp_path / name)
        called += [await facts.identity(database), await facts.identity(database)]
        await database.close()
    assert called[0] == called[1] == called[2] == called[3] != called[4] == called[5]


def test_a_nonce_is_what_discord_takes_and_the_same_in_every_process():
    assert nonce(7, "draft", 1, 1_700_000_000.25, 0) == "c596c92d04eb6028a43e1373"
    several = [
        nonce(7, "draft", 1),
        nonce(8, "draft", 1),
        nonce(7, "draft", 11),
        nonce(7, "job", 1),
        nonce(71, "draft"),
    ]
    assert len(set(several)) == len(several)
    assert {len(each) for each in several} == {24}


# --- the reminder -------------------------------------------------------------------------------------------------


async def test_the_reminder_waits_for_discord_and_comes_once_even_where_it_cannot_be_noted(
    tmp_path: Path, unnoted: Any, nonces: dict[str, Any]
):
    async with small_world(tmp_path, clock=Watch()) as world:
        await written(world)
        world.env.inject_error("POST", f"/channels/{world.channel.id}/messages", status=500, times=3)
        as_before = unnoted(reminder, "set_fact")
        review(world, reminder_hour=0)
        await world.until(lambda: reminders(world))
        kept = dict(nonces)
        nonces.clear()
        await pause(0.3)
        assert len(reminders(world)) == 1, "nor some minutes later"
        nonces |= kept
        as_before()
        await world.restart()
        await pause(0.3)
        assert len(reminders(world)) == 1
