"""What the bot finds out about itself and tells its owner: what is missing at the start, a clock that was set."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence

import discord

from bot.check import Finding, check_discord, check_services
from bot.client import DISCORD_FAILURES, Client, failure_in_words
from bot.clock_watch import direction
from bot.store.database import carry_through
from bot.store.facts import get_fact, set_fact
from cogs.ui.limits import embed, foreign
from cogs.ui.owner_notices import post_notice

_log = logging.getLogger(__name__)
_TOLD = "told of the checks at the start"
_DEADLINE = 300.0  # seconds for all checks; each has a shorter one of its own
_HOUR = 3_600.0
_MINUTE = 60.0


# --- the checks at the start --------------------------------------------------------------------------------------


async def first_check(client: Client, pause: float) -> None:
    """Try everything once, `pause` seconds after the client is ready, and tell the owner what is missing.

    They are told again at a later start only when something else is missing then.
    """
    await client.wait_until_ready()
    await asyncio.sleep(pause)
    try:
        async with asyncio.timeout(_DEADLINE):
            await _mend_commands(client)
            findings = [finding async for finding in check_services(client.app, client.app.database)]
            findings += [finding async for finding in check_discord(client, client.app.settings)]
    except TimeoutError:
        _log.warning("The checks at the start took too long, and were given up.")
        return
    wrong = [finding for finding in findings if not finding.ok]
    for finding in wrong:
        _log.warning("%s: %s %s", finding.subject, finding.result, finding.remedy)
    if not wrong:
        _log.info("Everything was tried, and is well.")
    # To its end even when the bot stops: a notice that was sent and not noted would be sent twice.
    await carry_through(_tell(client, wrong))


async def _tell(client: Client, wrong: Sequence[Finding]) -> None:
    database = client.app.database
    fingerprint = _fingerprint(wrong)
    if (await get_fact(database, _TOLD) or "") == fingerprint:
        return
    if wrong and not await post_notice(client, render_findings(wrong), "checks", fingerprint):
        return
    async with database.write() as connection:
        await set_fact(connection, _TOLD, fingerprint)


def _fingerprint(wrong: Sequence[Finding]) -> str:
    """What is missing, without how much of it: a number that has changed is no news. "" where nothing is."""
    said = "\n".join(sorted(f"{finding.subject}: {finding.remedy}" for finding in wrong))
    return hashlib.sha256(said.encode()).hexdigest() if said else ""


async def _mend_commands(client: Client) -> None:
    """Register the commands again where the server has lost them: the one thing that the bot can mend by itself."""
    guild_id = client.app.settings.discord.guild_id
    if guild_id is None:
        return
    guild = discord.Object(guild_id)
    try:
        there = {command.name for command in await client.tree.fetch_commands(guild=guild)}
        if not {command.name for command in client.tree.get_commands(guild=guild)} <= there:
            await client.register_commands(again=True)
    except DISCORD_FAILURES as error:
        _log.warning("Whether the server has the commands could not be asked (%s).", failure_in_words(error))


def render_findings(wrong: Sequence[Finding]) -> discord.Embed:
    """What is missing, each with its cause and what to do."""
    things = "One thing needs" if len(wrong) == 1 else f"{len(wrong)} things need"
    made = embed(
        title=f"{things} your attention",
        description="The bot is running, and tried everything at its start. What is not named here is well.",
        fields=[
            (foreign(finding.subject), f"{foreign(finding.result)}\n{_shown(finding.remedy)}", False)
            for finding in wrong
        ],
        footer="python3 -m bot check tries everything again. This is said once, until something else is missing.",
        colour=discord.Colour.orange(),
    )
    if len(made.fields) < len(wrong):
        made.description = f"The bot is running. {len(wrong) - len(made.fields)} more are in its log."
    return made


def _shown(remedy: str) -> str:
    """A remedy is ours, with its `names` in code; what stands between may be somebody's name."""
    parts = remedy.split("`")
    return "`".join(part if number % 2 else foreign(part) for number, part in enumerate(parts))


# --- the clock ----------------------------------------------------------------------------------------------------


async def clock_was_set(client: Client, jump: float) -> None:
    """Let everything that waits for a moment look again, and tell the owner."""
    client.app.clock_was_set(jump)
    await post_notice(client, render_jump(jump), "clock", jump)


def render_jump(jump: float) -> discord.Embed:
    """The notice; `jump` is in seconds, less than 0 where the clock went back."""
    return embed(
        title=f"The clock of this machine was set {direction(jump)} by {_duration(abs(jump))}",
        description="Nothing is lost. What waits for a moment, such as a backup, an upload or a quota, has looked at"
        " the clock again.\nIf nobody set it on purpose, let it be set from the network: Tumblr refuses what is signed"
        " at a wrong time.",
        colour=discord.Colour.orange(),
    )


def _duration(seconds: float) -> str:
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} minutes"
    if seconds < 48 * _HOUR:
        return f"{seconds / _HOUR:.0f} hours"
    return f"{seconds / (24 * _HOUR):,.0f} days"
