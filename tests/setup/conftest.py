"""The services that `setup` connects, each a stand-in on loopback."""

from __future__ import annotations

import discord.http
import pytest

from bot.config import options
from bot.demo.openai_service import OpenAIService
from bot.demo.tumblr_service import TumblrService
from tests.setup.discord_rest import DiscordRest


@pytest.fixture(autouse=True)
def _nobodys_environment(monkeypatch, tmp_path):
    for option in options().values():
        monkeypatch.delenv(option.variable, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def tumblr():
    service = TumblrService()
    await service.start()
    service.add_blog("keeper", title="the keeper's \x1b[31mlog")
    service.add_blog("second-light")
    service.add_blog("other", owned=False)
    yield service
    await service.stop()


@pytest.fixture
async def discord_rest(monkeypatch):
    service = DiscordRest()
    await service.start()
    monkeypatch.setattr(discord.http.Route, "BASE", service.base_url)
    yield service
    await service.stop()


@pytest.fixture
async def openai():
    service = OpenAIService()
    service.base_url = f"{await service.start()}/v1"
    yield service
    await service.stop()
