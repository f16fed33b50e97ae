"""The bot looks after itself: no command, but what the owner is told without having asked."""

from __future__ import annotations

from bot.client import Client
from bot.clock_watch import watch_clock
from cogs.ui.self_care import clock_was_set, keep_checking


async def setup(client: Client) -> None:
    app = client.app
    if app.pace.first_check is not None:
        app.background.spawn("checks", keep_checking(client, app.pace.first_check, app.pace.check_again))
    if app.pace.clock_look is not None:

        async def told(jump: float) -> None:
            await clock_was_set(client, jump)

        app.background.spawn("clock", watch_clock(told, look=app.pace.clock_look, clock=app.clock))
