"""The daily reminder of what waits, where the owner wants one. It pings nobody."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from bot.client import Client
from bot.drafts import DraftState
from bot.store.database import carry_through
from bot.store.drafts import count_by_state
from bot.store.facts import get_fact, set_fact
from bot.words import counted
from cogs.ui.keeping import keep_up
from cogs.ui.owner_notices import post_notice

_REMINDED = "reminded of drafts on"
_PATIENCE = 10  # times the usual rest after Discord did not take it: a channel that is gone stays so for long


class Reminder:
    """Says once a day, from the hour in the settings on, how many drafts wait; nothing where none does."""

    def __init__(self, client: Client, *, look: float) -> None:
        """`look` is in seconds: how often the hour is looked at."""
        self._client = client
        self._look = look
        self._reminded_on = ""

    async def keep(self) -> None:
        """Remind for as long as the bot runs."""
        await keep_up(
            self._client,
            "saying what waits",
            # To its end even when the bot stops: what was sent and not noted would be sent twice.
            lambda: carry_through(self._remind()),
            lambda said: asyncio.sleep(self._look * (1 if said else _PATIENCE)),
        )

    async def _remind(self) -> bool:
        """Send today's reminder if its hour has come and it was not sent yet. False where Discord did not take it."""
        app = self._client.app
        hour = app.settings.review.reminder_hour
        now = datetime.fromtimestamp(app.clock(), UTC)
        today = now.date().isoformat()
        if hour is None or now.hour < hour or today in (self._reminded_on, await get_fact(app.database, _REMINDED)):
            return True
        counts = await count_by_state(app.database)
        text = _waiting(counts.get(DraftState.PENDING, 0), counts.get(DraftState.UNKNOWN, 0))
        if text and not await post_notice(self._client, text, "reminder", today):
            return False
        self._reminded_on = today  # also where the disk is full: one a day, not one a minute
        async with app.database.write() as connection:
            await set_fact(connection, _REMINDED, today)
        return True


def _waiting(pending: int, unknown: int) -> str:
    said: list[str] = []
    if pending:
        drafts = "1 draft waits" if pending == 1 else f"{pending:,} drafts wait"
        said.append(f"{drafts} for a decision: /drafts review.")
    if unknown:
        uploads = counted(unknown, "upload")
        said.append(f"Of {uploads} the answer was lost: /drafts list.")
    return " ".join(said)
