"""Discord says no, is away, or loses messages: the face recovers, or the outcome finds another way to the person."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import aiohttp
import discord
import pytest

from bot.demo.world import World, describe
from cogs.ui import draft_message
from tests.cogs.acts import (
    TITLES,
    becomes,
    calls,
    change_discord,
    everything,
    hour_is_over,
    line,
    outcome,
    pause,
    rows,
    said,
    shown_with,
    small_world,
    stage,
    written,
)


async def waiting_download(world: World) -> discord.Message:
    world.tumblr.hour_limit = world.tumblr.hour_used + 2
    world.tumblr.page_limit = 5
    await world.owner.slash(world.channel, "download")
    return await world.until(
        lambda: m[-1] if (m := shown_with(world, TITLES["download"])) and "Waiting" in line(m[-1]) else None
    )


async def go_on(world: World) -> None:
    """The hour is over: the bot asks again."""
    hour_is_over(world)
    await world.app.runner.stop()
    await world.restart()


async def test_a_progress_message_that_was_deleted_is_posted_anew(small: World):
    message = await waiting_download(small)
    small.env.backend.delete_message(small.channel.id, message.id)
    await small.env.settle()
    await go_on(small)
    shown = await outcome(small, "download")
    assert line(shown).startswith("Done: ")
    assert shown.id != message.id
    assert "Continued from" not in shown.content  # there is nothing to go back to


@pytest.mark.parametrize("status", [500, 403])
async def test_an_edit_that_fails_is_tried_again(small: World, status: int):
    small.env.inject_error("PATCH", f"/channels/{small.channel.id}/messages/*", status=status, times=2)
    await stage(small, "download")
    assert len(shown_with(small, TITLES["download"])) == 1


async def test_a_first_message_that_fails_is_tried_again(small: World):
    small.env.inject_error("POST", f"/channels/{small.channel.id}/messages", status=500, times=2)
    assert line(await stage(small, "download")) == "Done: 12 new posts."


async def test_an_outcome_that_the_channel_does_not_take_reaches_the_requester(small: World):
    small.env.inject_error(
        "*", f"/channels/{small.channel.id}/messages*", status=403, code=50001, message="Missing Access", times=None
    )
    await small.reviewer.slash(small.channel, "download")
    dm = await small.until(lambda: _direct_message(small, small.reviewer.user))
    assert "Done: 12 new posts." in describe(dm)
    assert not shown_with(small, TITLES["download"])
    await pause()
    await small.restart()
    await pause()
    assert len(small.reviewer.user.dm_channel.history()) == 1  # told once


def _direct_message(world: World, user: Any) -> discord.Message | None:
    if world.env.backend.dm_channels.get(user.id) is None:
        return None
    history = user.dm_channel.history()
    return history[-1] if history else None


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [500, 403, 404])
async def test_drafts_that_could_not_be_shown_are_shown_later(small: World, status: int):
    await stage(small, "download")
    await stage(small, "generate", count=1)
    (message,) = await small.drafts_shown(1)
    small.env.inject_error("PATCH", f"/channels/{small.channel.id}/messages/*", status=500, times=2)
    small.env.inject_error("POST", f"/channels/{small.channel.id}/messages", status=status, times=3)
    await small.owner.click(message, label="Regenerate")
    await small.until(lambda: len(small.drafts()) == 2)
    await becomes(small, message, "Replaced")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "failure",
    [aiohttp.ServerDisconnectedError(), ConnectionResetError(104, "reset"), TimeoutError(), RuntimeError("closed")],
)
async def test_a_network_that_fails_ends_neither_the_drafts_nor_the_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
):
    async with small_world(tmp_path) as world:
        (message,) = await written(world)
        true_request, left = world.client.http.request, 2

        async def request(route: Any, **options: Any) -> Any:
            nonlocal left
            if left and "/messages" in route.path:
                left -= 1
                raise failure
            return await true_request(route, **options)

        monkeypatch.setattr(world.client.http, "request", request)
        await world.owner.click(message, label="Reject")
        await becomes(world, message, "It will not be posted")
        assert left == 0
        if not isinstance(failure, RuntimeError):
            left = 2
            await stage(world, "download")
            assert left == 0


async def test_a_stage_is_not_begun_where_the_bot_may_not_write(small: World):
    silent = discord.PermissionOverwrite(send_messages=False, embed_links=False)
    closed = small.env.guild.create_text_channel("closed", overwrites={small.env.guild.default_role: silent})
    change_discord(small, channel_id=closed.id)
    result = await small.owner.slash(closed, "download")
    text = said(result)
    assert text.startswith("The bot lacks permissions in this channel: ")
    assert "send messages" in text
    assert "embed links" in text
    assert await rows(small, "SELECT * FROM jobs") == []


async def test_an_interaction_that_died_starts_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with small_world(tmp_path) as world:
        world.env.inject_error(
            "POST", "/interactions/*", status=404, code=10062, message="Unknown interaction", times=None
        )
        await world.owner.slash(world.channel, "download")
        assert await rows(world, "SELECT * FROM jobs") == []
        assert any("An answer could not be delivered" in r.getMessage() for r in caplog.records)


# --- the unexpected -----------------------------------------------------------------------------------------------


def reference(text: str, caplog: pytest.LogCaptureFixture) -> str:
    """The reference that a person sees, which must be in the log with the traceback."""
    found = re.search(r"Something unexpected went wrong \(reference ([0-9a-f]{8})\)\. .+", text)
    assert found, text
    assert "secret of the defect" not in text
    (record,) = [r.getMessage() for r in caplog.records if found[1] in r.getMessage() and r.levelno == logging.ERROR]
    assert "RuntimeError: secret of the defect" in record
    assert "in boom" in record
    return found[1]


async def boom(*_args: object, **_options: object) -> None:
    raise RuntimeError("secret of the defect")


async def test_a_defect_in_a_command_shows_a_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async with small_world(tmp_path) as world:
        monkeypatch.setattr("bot.store.drafts.count_by_state", boom)
        first = reference(said(await world.owner.slash(world.channel, "drafts list")), caplog)
        second = reference(said(await world.owner.slash(world.channel, "status")), caplog)
        assert first != second
        monkeypatch.undo()
        assert "No draft waits" in said(await world.owner.slash(world.channel, "drafts list"))


async def test_a_defect_behind_a_button_or_a_form_shows_a_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async with small_world(tmp_path) as world:
        (message,) = await written(world)
        form = await world.owner.click(message, label="Edit")
        before = await everything(world)
        monkeypatch.setattr("bot.store.decisions.decide", boom)
        for label in ("Approve", "Reject", "Regenerate"):
            reference(said(await world.owner.click(message, label=label)), caplog)
        reference(said(await world.owner.submit_modal(form, {"text-1": "x", "tags": ""})), caplog)
        monkeypatch.undo()
        assert await everything(world) == before
        await world.owner.click(message, label="Approve")
        await becomes(world, message, "Uploaded")


async def test_a_defect_in_a_stage_shows_a_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async with small_world(tmp_path) as world:
        monkeypatch.setattr("bot.store.posts.save_page", boom)
        reference(line(await stage(world, "download")), caplog)
        monkeypatch.undo()
        assert line(await stage(world, "download")) == "Done: 12 new posts."
        assert len(calls(world.tumblr.requests, "GET", "/posts")) >= 2


async def test_a_defect_in_one_draft_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(draft_message, "_AFTER_FAILURE", 0.05)
    async with small_world(tmp_path) as world:
        first, second = await written(world, 2)
        true_render = draft_message.render
        monkeypatch.setattr(draft_message, "render", lambda d, s: true_render(d, s) if d.id == 2 else 1 / 0)
        await world.owner.click(first, label="Reject")
        await world.owner.click(second, label="Reject")
        await becomes(world, second, "Rejected")
        assert any("reference" in r.getMessage() for r in caplog.records)
        monkeypatch.setattr(draft_message, "render", true_render)
        await becomes(world, first, "Rejected")
