"""A small world for the front-door tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.demo.world import World
from tests.cogs.acts import small_world
from tests.conftest import _expected


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[World]:
    """Twelve posts, a hurried bot; what the bot swallowed without explaining fails the test."""
    async with small_world(tmp_path) as world:
        yield world
        unexpected = [error for error in world.env.errors if not _expected(error)]
        assert not unexpected, unexpected
