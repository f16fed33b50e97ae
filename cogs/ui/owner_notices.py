"""What the owner is told without having asked: that the voice which writes now stops, and what to do about it."""

from __future__ import annotations

import logging

import discord

from bot.client import DISCORD_FAILURES, Client, failure_in_words
from bot.language.endpoint import service_name
from bot.shutdown_watch import Ending
from bot.store.database import carry_through
from bot.store.facts import identity
from bot.training import Voice
from bot.voices.kinds import learns
from cogs.ui.keeping import keep_up, rest_until
from cogs.ui.limits import cut, embed, foreign
from cogs.ui.posting import post_once

_log = logging.getLogger(__name__)
_REST = 300.0
_AFTER_FAILURE = 60.0


class OwnerNotices:
    """Tells each thing once, in the configured channel. That it was told is noted down only when it was sent."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def keep(self) -> None:
        """Tell what is due for as long as the bot runs."""
        changed = self._client.app.watch.changed
        await keep_up(
            self._client,
            "telling the owner",
            self._catch_up,
            lambda told: rest_until(changed, _REST if told else _AFTER_FAILURE),
        )

    async def _catch_up(self) -> bool:
        ending = await self._client.app.watch.due()
        # To its end even when the bot stops: a notice that was sent and not noted would be sent twice.
        return ending is None or await carry_through(self._tell(ending))

    async def _tell(self, ending: Ending) -> bool:
        """Send a notice. False when Discord did not let us."""
        app = self._client.app
        notice = render(ending, await app.voices.untrained())
        if not await post_notice(self._client, notice, "ending", ending.voice.id, ending.ends, ending.milestone):
            return False
        await app.watch.told(ending)
        return True


async def post_notice(client: Client, notice: discord.Embed | str, *what: object) -> bool:
    """Put a notice into the configured channel. False when there is none, or Discord did not let us.

    `what` is as for `post_once`. What is no more than a sentence comes without a sound.
    """
    channel_id = client.app.settings.discord.channel_id
    if channel_id is None:
        return False
    channel = client.get_partial_messageable(channel_id)
    what = ("notice", await identity(client.app.database), *what)
    try:
        if isinstance(notice, str):
            await post_once(channel, *what, content=notice, silent=True)
        else:
            await post_once(channel, *what, embeds=[notice])
    except DISCORD_FAILURES as error:
        _log.warning("The owner could not be told (%s).", failure_in_words(error))
        return False
    return True


def render(ending: Ending, untrained: Voice) -> discord.Embed:
    """The notice: what stops when, and what can be done. `untrained` is the voice that needs no training."""
    voice, days = ending.voice, ending.days_left
    name = f"**{foreign(cut(voice.name, 100))}** (voice {voice.id})"
    model, service = foreign(cut(voice.model, 150)), foreign(service_name(voice.base_url))
    if days <= 0:
        title = "The voice that writes now has stopped"
        line = (
            f"{name} wrote with {model}, which {service} stopped on {ending.ends}. /generate needs another voice now."
        )
    else:
        title = f"The voice that writes now stops {'tomorrow' if days == 1 else f'in {days} days'}"
        line = f"{name} writes with {model}, which {service} stops on {ending.ends}. Until then nothing changes."
    return embed(
        title=title,
        description="\n".join([line, "", "What you can do:", *_ways_on(voice, untrained)]),
        colour=discord.Colour.red() if days <= 0 else discord.Colour.orange(),
    )


def _ways_on(voice: Voice, untrained: Voice) -> list[str]:
    if voice.id == untrained.id:
        first = "- Set another model under [openai.generation] in config.toml."
    else:
        first = f"- /voices use voice:{untrained.id} writes with {foreign(untrained.name)}, which needs no training."
    again = "another" if learns(voice.kind) else "a"
    return [
        first,
        f"- /finetune trains {again} voice; [openai.fine_tuning] may name another service for it.",
        "- /voices list shows every voice there is, and /voices use goes to any of them.",
    ]
