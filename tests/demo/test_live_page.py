"""The demo's page, spoken to as its script does: presses wait for their turn, and count if nothing moved under them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import discord
import pytest

from bot.demo.live_page import LivePage, set_clock
from bot.demo.world import World, open_world
from cogs.ui.next_step import step_view
from cogs.ui.stop_button import stop_view


class Page:
    """One open page."""

    def __init__(self, http: aiohttp.ClientSession, opened: dict[str, Any]) -> None:
        self._http = http
        self._opened = opened
        self._sequence = 0
        self.revision = opened["publishedRevision"]

    async def press(self, message: discord.Message) -> dict[str, Any]:
        """Press a message's first button, as the page showed it when it was opened."""
        shown = self._opened["messages"][str(message.id)]["components"][0]["components"][0]
        self._sequence += 1
        body = {
            "protocol_version": 3,
            "sequence": self._sequence,
            "request_id": f"press {self._sequence}",
            "generation": self._opened["context"]["generation"],
            "bot_generation": self._opened["botGeneration"],
            "published_revision": self.revision,
            "kind": "click",
            "target_id": str(message.id),
            "control_key": shown["control_key"],
        }
        context = {"X-Simcord-Context": self._opened["context"]["id"]}
        async with self._http.post("/api/action", json=body, headers=context) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


@asynccontextmanager
async def opened_page(world: World, live: bool = True) -> AsyncIterator[tuple[Page, LivePage | None]]:
    async with world.env.preview(world.channel, viewers=[world.owner], layout="channel") as preview:
        following = LivePage(world.env, preview) if live else None
        address, capability = preview.url.split("/#")
        async with aiohttp.ClientSession(address, headers={"X-Simcord-Capability": capability}) as http:
            async with http.post("/api/pages", json={}) as answer:
                page = Page(http, await answer.json())
            yield page, following


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, sample=False) as world:
        yield world


async def post(world: World, view: discord.ui.View) -> discord.Message:
    channel = world.client.get_partial_messageable(world.channel.id)
    return await channel.send("Press it.", view=view)


async def test_a_press_counts_although_the_page_was_redrawn(world: World):
    message = await post(world, step_view("download"))
    async with opened_page(world) as (page, live):
        await live.redraw()
        await live.redraw()
        result = await page.press(message)
        assert (result["rejected"], result["settlement"]) == (False, "settled")
    assert await world.finished("Downloading posts")


async def test_simcord_alone_refuses_it(world: World):
    """If this fails, simcord has learnt to follow a running job, and `LivePage` may go."""
    message = await post(world, step_view("download"))
    async with opened_page(world, live=False) as (page, _):
        await world.env._preview.refresh()
        result = await page.press(message)
        assert result["rejected"]
        assert result["diagnostics"][0]["code"] == "stale-revision"


async def test_a_press_does_not_count_when_the_button_has_become_another(world: World):
    message = await post(world, stop_view(1))
    async with opened_page(world) as (page, live):
        await message.edit(view=step_view("download"))
        await live.redraw()
        result = await page.press(message)
        assert result["rejected"]
    assert not await world.app.runner.active()


async def test_presses_and_redraws_take_turns(world: World):
    message = await post(world, step_view("download"))
    async with opened_page(world) as (page, live):
        following = asyncio.create_task(live.follow())
        redraws = [asyncio.create_task(live.redraw()) for _ in range(5)]
        result = await page.press(message)
        assert not result["rejected"]
        await asyncio.gather(*redraws)
        following.cancel()


async def test_the_clock_shows_the_time_of_day(world: World):
    set_clock(world.env)
    message = await post(world, step_view("download"))
    assert abs((discord.utils.utcnow() - message.created_at).total_seconds()) < 60
