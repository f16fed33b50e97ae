"""The daily reminder of what waits, where the owner wants one. It pings nobody."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

import discord

from bot.client import DISCORD_FAILURES, Client, failure_in_words
from bot.drafts import DraftState
from bot.errors import BotError
from bot.store.drafts import count_by_state
from bot.store.facts import get_fact, set_fact
from bot.words import counted

_log = logging.getLogger(__name__)
_REMINDED = "reminded of drafts on"


class Reminder:
    """Says once a day, from the hour in the settings on, how many drafts wait; nothing where none does."""

    def __init__(self, client: Client, *, look: float) -> None:
        """`look` is in seconds: how often the hour is looked at."""
        self._client = client
        self._look = look

    async def keep(self) -> None:
        """Remind for as long as the bot runs."""
        await self._client.wait_until_ready()
        while True:
            try:
                await self.remind_if_due()
            except BotError as error:  # the disk is full, say: it may have room again later
                _log.error("What waits could not be said: %s", error)
            except DISCORD_FAILURES as error:
                _log.warning("What waits could not be said (%s).", failure_in_words(error))
            await asyncio.sleep(self._look)

    async def remind_if_due(self) -> bool:
        """Send today's reminder if its hour has come and it was not sent yet. Returns whether it was sent."""
        app = self._client.app
        hour, channel_id = app.settings.review.reminder_hour, app.settings.discord.channel_id
        now = datetime.fromtimestamp(app.clock(), UTC)
        today = now.date().isoformat()
        if hour is None or channel_id is None or now.hour < hour:
            return False
        if await get_fact(app.database, _REMINDED) == today:
            return False
        counts = await count_by_state(app.database)
        # Noted first: rather no reminder on a day with a crash than one a minute.
        async with app.database.write() as connection:
            await set_fact(connection, _REMINDED, today)
        text = _waiting(counts.get(DraftState.PENDING, 0), counts.get(DraftState.UNKNOWN, 0))
        if text:
            channel = self._client.get_partial_messageable(channel_id)
            await channel.send(text, silent=True, allowed_mentions=discord.AllowedMentions.none())
        return bool(text)


def _waiting(pending: int, unknown: int) -> str:
    said: list[str] = []
    if pending:
        drafts = "1 draft waits" if pending == 1 else f"{pending:,} drafts wait"
        said.append(f"{drafts} for a decision: /drafts review.")
    if unknown:
        uploads = counted(unknown, "upload")
        said.append(f"Of {uploads} the answer was lost: /drafts list.")
    return " ".join(said)
