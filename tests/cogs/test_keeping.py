"""The loop of what is shown and told by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from bot.client import Client
from bot.errors import DiskFull
from cogs.ui.keeping import keep_up, rest_until


class Ready:
    async def wait_until_ready(self) -> None:
        pass


async def test_neither_a_full_disk_nor_a_defect_ends_it(caplog: pytest.LogCaptureFixture):
    outcomes: list[Callable[[], bool]] = [lambda: True, lambda: 1 / 0 > 0, lambda: False, _full_disk, lambda: True]
    rests: list[bool] = []

    async def catch_up() -> bool:
        return outcomes[len(rests)]()

    async def rest(worked: bool) -> None:
        rests.append(worked)
        if len(rests) == len(outcomes):
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await keep_up(cast("Client", Ready()), "counting gulls", catch_up, rest)
    assert rests == [True, False, False, False, True]
    defect, full = (record.getMessage() for record in caplog.records)
    assert defect.startswith("counting gulls: reference ")
    assert full == "A failure while counting gulls: The disk is full. Make room."


def _full_disk() -> Any:
    raise DiskFull("The disk is full.", "Make room.")


async def test_what_changes_while_it_catches_up_is_looked_at_at_once_and_each_change_once():
    changed = asyncio.Event()
    changed.set()
    async with asyncio.timeout(10):
        await rest_until(changed, 600.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await rest_until(changed, 600.0)
    await rest_until(changed, 0.01)
