"""A small world for the front-door tests, and what simcord leaves out of Discord."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from simcord.backend import errors
from simcord.http import router
from simcord.http._helpers import message_response

from bot.demo.world import World
from cogs.ui import draft_message
from tests.cogs.acts import small_world
from tests.conftest import _expected

_MESSAGES = ["channels", "{channel_id}", "messages"]


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[World]:
    """Twelve posts, a hurried bot; what the bot swallowed without explaining fails the test."""
    async with small_world(tmp_path) as world:
        yield world
        unexpected = [error for error in world.env.errors if not _expected(error)]
        assert not unexpected, unexpected


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A draft that could not be shown is soon tried again."""
    monkeypatch.setattr(draft_message, "_AFTER_FAILURE", 0.05)


@pytest.fixture(autouse=True)
def nonces(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """Discord honours `enforce_nonce`, which simcord takes and ignores: by nonce, where which message was posted.

    A nonce that comes again is answered with its message, or, where that was deleted, as an unknown one (so say the
    API's description and its authors). Discord forgets within minutes: `nonces.clear()`.
    """
    posted: dict[str, tuple[int, int]] = {}
    routes = router._ROUTES["POST"]
    (place,) = (number for number, (template, _) in enumerate(routes) if template == _MESSAGES)
    send = routes[place][1]

    def send_once(context: router.RequestContext) -> Any:
        body = context.body()
        nonce = body.get("nonce") if body.get("enforce_nonce") else None
        if len(nonce or "") > 25:
            raise errors.invalid_form_body("nonce: Must be 25 or fewer in length")
        if nonce in posted:
            return message_response(context, context.backend.get_message(*posted[nonce]))
        answer = send(context)
        if nonce:
            posted[nonce] = int(answer["channel_id"]), int(answer["id"])
        return answer

    kept = [*routes[:place], (_MESSAGES, send_once), *routes[place + 1 :]]
    monkeypatch.setitem(router._ROUTES, "POST", kept)
    return posted
