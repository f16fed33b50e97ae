"""How the bot posts an ordinary message: once, also where it dies before it has noted down that it did.

Discord remembers for a few minutes which nonces a bot has sent: to the same one again it answers with the message that
is there, and posts nothing. So a nonce says what the message is for, and a new process says the same.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence

import discord

DEADLINE = 30.0
"""Seconds for one message."""


async def post_once(
    where: discord.PartialMessageable | discord.User,
    *what: object,
    content: str | None = None,
    embeds: Sequence[discord.Embed] = (),
    view: discord.ui.View | None = None,
    files: Callable[[], Sequence[discord.File]] = list,
    silent: bool = False,
) -> discord.Message:
    """Post a message, or bring up to date the one that an earlier try has posted; returns it.

    `what` says what the message is for: the same for each try to send it, and another one for every message that is
    meant to be a second one. `files` makes the files, which can be sent but once.

    Raises:
        discord.NotFound: an earlier try has posted it, and somebody deleted it since. Some minutes later it works.
        DISCORD_FAILURES: Discord said no, or could not be reached.
    """
    async with asyncio.timeout(DEADLINE):
        sent = await where.send(
            content=content,
            embeds=embeds,
            view=view or discord.utils.MISSING,
            files=files(),
            silent=silent,
            nonce=nonce(where.id, *what),
        )
        # What an earlier try has posted may be of a state that is over.
        if list(map(_words, sent.embeds)) != list(map(_words, embeds)):
            await sent.edit(embeds=embeds, view=view, attachments=files())
    return sent


def nonce(*what: object) -> str:
    """Twenty-four characters (Discord takes 25) that stand for `what`, the same in every process."""
    return hashlib.blake2s(repr(what).encode(), digest_size=12).hexdigest()


def _words(embed: discord.Embed) -> list[str]:
    """What an embed says. Discord leaves out white space at the ends, and gives pictures addresses of its own."""
    fields = [text for field in embed.fields for text in (field.name, field.value)]
    texts = (embed.title, embed.description, embed.footer.text, *fields)
    return [str(embed.colour), *((text or "").strip() for text in texts)]
