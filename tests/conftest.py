"""What every test shares: the small world, and the rule that nothing unexpected goes unnoticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from discord import app_commands

from bot.demo.world import World, open_world
from bot.errors import BotError, UnexpectedFailure


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """The bot, the stand-ins with the sample blog, a channel, an owner, a reviewer and a stranger."""
    async with open_world(tmp_path) as world:
        yield world
        unexpected = [error for error in world.env.errors if not _expected(error)]
        assert not unexpected, unexpected


def _expected(error: BaseException) -> bool:
    """What the bot explains to people is expected; anything else that it swallowed fails the test."""
    while isinstance(error, app_commands.CommandInvokeError):
        error = error.original
    return isinstance(error, BotError | asyncio.CancelledError) and not isinstance(error, UnexpectedFailure)
