"""The messages that show drafts: each is kept in step with its row."""

from __future__ import annotations

import asyncio
import logging

import discord

from bot.client import DISCORD_FAILURES, Client, failure_in_words
from bot.drafts import Draft
from bot.errors import BotError
from bot.jobs.background import report_unexpected
from bot.store import drafts as store
from bot.store.database import carry_through
from cogs.ui.draft_buttons import draft_view
from cogs.ui.draft_embed import render
from cogs.ui.keeping import keep_up, rest_until
from cogs.ui.posting import DEADLINE, post_once

_log = logging.getLogger(__name__)

_BATCH = 200  # so many that drafts of a channel that is gone cannot crowd out the others
_REST = 60.0
_AFTER_FAILURE = 15.0


class DraftMessages:
    """Keeps each draft's message in step with its row, whatever was missed while the bot was away."""

    def __init__(self, client: Client, *, edit_interval: float) -> None:
        self._client = client
        self._edit_interval = edit_interval

    async def keep(self) -> None:
        """Post and edit messages for as long as the bot runs."""
        changed = self._client.app.drafts_changed
        await keep_up(
            self._client,
            "showing drafts",
            self._catch_up,
            lambda all_shown: rest_until(changed, _REST if all_shown else _AFTER_FAILURE),
        )

    async def _catch_up(self) -> bool:
        """Show all drafts that are behind, batch by batch. Returns whether that worked for all."""
        all_shown = True
        while all_shown and (behind := await store.drafts_to_show(self._client.app.database, limit=_BATCH)):
            all_shown = await self._show_batch(behind)
        return all_shown

    async def _show_batch(self, behind: list[Draft]) -> bool:
        all_shown = True
        for draft in behind:
            # To its end even when the bot stops: a message that was sent and not noted down would be sent twice.
            try:
                shown = await carry_through(self._show(draft))
            except BotError:
                raise
            except Exception as error:  # noqa: BLE001 - a defect in one draft must not hide all others
                report_unexpected(f"showing draft {draft.id}", error)
                shown = False
            all_shown = all_shown and shown
            # Edits share their channel's allowance: a pause between them keeps room for answers to people.
            await asyncio.sleep(min(self._edit_interval, 1.0))
        return all_shown

    async def _show(self, draft: Draft) -> bool:
        """Bring one message up to date. False when Discord did not let us; it is tried again later."""
        channel_id = draft.channel_id or self._client.app.settings.discord.channel_id
        if channel_id is None:
            return False
        channel = self._client.get_partial_messageable(channel_id)
        shown = render(draft, self._client.app.settings)
        view = draft_view(draft, is_whole=shown.is_whole)
        message_id = draft.message_id if draft.shown_version else None
        try:
            if message_id is not None:
                try:
                    async with asyncio.timeout(DEADLINE):
                        await channel.get_partial_message(message_id).edit(embed=shown.embed, view=view)
                except discord.NotFound:
                    message_id = None  # somebody deleted the message; the draft is still there
            if message_id is None:
                # By the message that is deleted or left behind this one is another than the last.
                what = ("draft", draft.id, draft.created_at, draft.message_id)
                message_id = (await post_once(channel, *what, embeds=[shown.embed], view=view)).id
        except DISCORD_FAILURES as error:
            _log.warning("Draft %d could not be shown (%s).", draft.id, failure_in_words(error))
            return False
        async with self._client.app.database.write() as connection:
            await store.draft_shown(connection, draft, channel_id=channel_id, message_id=message_id)
        return True
