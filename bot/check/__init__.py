"""`check`: try everything the bot needs, and say how to mend what fails. The running bot does the same at its start.

Nothing is resumed, sent or paid for: there are questions to the services, and one small file that is removed again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from bot.app import App
from bot.check.finding import Finding
from bot.check.machine import Running, check_database, check_machine
from bot.check.on_discord import check_discord, unreachable
from bot.check.services import check_models, check_money, check_tumblr
from bot.store.database import Database

__all__ = ["Finding", "check_discord", "check_services", "unreachable"]


async def check_services(app: App, database: Database | None = None) -> AsyncIterator[Finding]:
    """Everything but Discord. A running bot gives its open `database`; else the app was not started."""
    opened: Database | None = None
    running: Running = "here"
    if database is None:
        finding, opened, running = await check_database(app.settings)
        yield finding
    store = database or opened
    try:
        async for finding in check_machine(app.settings, running, clock=app.clock):
            yield finding
        async for finding in check_tumblr(app):
            yield finding
        async for finding in check_models(app, store):
            yield finding
        if store is not None:
            yield await check_money(app, store)
    finally:
        if opened is not None:
            await opened.close()
