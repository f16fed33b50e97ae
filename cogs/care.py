"""The bot looks after itself: no command, but what the owner is told without having asked."""

from __future__ import annotations

from bot.client import Client
from bot.clock_watch import watch_clock
from cogs.ui.self_care import clock_was_set, first_check


async def setup(client: Client) -> None:
    app = client.app
    if app.pace.first_check is not None:
        app.background.spawn("checks at the start", first_check(client, app.pace.first_check))
    if app.pace.clock_look is not None:

        async def told(jump: float) -> None:
            await clock_was_set(client, jump)

        app.background.spawn("clock", watch_clock(told, look=app.pace.clock_look, clock=app.clock))
