"""What the bot finds out about itself and tells its owner: what is missing, or is there again, a clock that was set."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import discord
import msgspec

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


# --- what is missing ----------------------------------------------------------------------------------------------


async def keep_checking(client: Client, pause: float, again: float) -> None:
    """Try everything `pause` seconds after the client is ready, and every `again` seconds while something is missing.

    Once all is well, the next start looks again.
    """
    level = logging.WARNING
    while await check(client, pause, level):
        pause, level = again, logging.DEBUG  # the log has it


async def check(client: Client, pause: float, level: int = logging.WARNING) -> bool:
    """Try everything once, and tell the owner what is missing, and what is there again. Returns whether to look again.

    They are told again only when something else is missing then. What is missing is logged at this level.
    """
    await client.wait_until_ready()
    await asyncio.sleep(pause)
    try:
        async with asyncio.timeout(_DEADLINE):
            await _mend_commands(client)
            findings = [finding async for finding in check_services(client.app, client.app.database)]
            findings += [finding async for finding in check_discord(client, client.app.settings)]
    except TimeoutError:
        _log.warning("The checks took too long, and were given up.")
        return True
    wrong = [finding for finding in findings if not finding.ok]
    for finding in wrong:
        _log.log(level, "%s: %s %s", finding.subject, finding.result, finding.remedy)
    if not wrong:
        _log.info("Everything was tried, and is well.")
    # To its end even when the bot stops: a notice that was sent and not noted would be sent twice.
    return not await carry_through(_tell(client, findings)) or bool(wrong)


async def _tell(client: Client, findings: Sequence[Finding]) -> bool:
    """Say what the owner does not know yet, and note that they do. False where Discord did not let us."""
    database = client.app.database
    told = _read(await get_fact(database, _TOLD))
    wrong = [finding for finding in findings if not finding.ok]
    mended = [finding for finding in findings if finding.ok and finding.subject in told]
    # Without how much of it is missing: a number that has changed is no news. What was not tried stands as it was: with
    # Tumblr away nobody knows about a blog.
    now = {finding.subject: finding.remedy for finding in wrong}
    tried = {finding.subject for finding in findings}
    now |= {subject: remedy for subject, remedy in told.items() if subject not in tried}
    if now == told:
        return True
    is_news = any(told.get(subject) != remedy for subject, remedy in now.items())
    notice = render_findings(wrong, mended) if is_news else render_mended(mended, len(now))
    if not await post_notice(client, notice, "checks", sorted(told.items()), sorted(now.items())):
        return False
    async with database.write() as connection:
        await set_fact(connection, _TOLD, msgspec.json.encode(now).decode() if now else "")
    return True


def _read(noted: str | None) -> dict[str, str]:
    """What the owner was told is missing: each subject with its remedy. Nothing, where an older version noted it."""
    try:
        return msgspec.json.decode(noted or "{}", type=dict[str, str])
    except msgspec.MsgspecError:
        return {}


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


def render_findings(wrong: Sequence[Finding], mended: Sequence[Finding] = ()) -> discord.Embed:
    """What is missing, each with its cause and what to do; then what was, and is there again."""
    things = "One thing needs" if len(wrong) == 1 else f"{len(wrong)} things need"
    made = embed(
        title=f"{things} your attention",
        description="The bot is running, and tried everything at its start. What is not named here is well.",
        fields=[
            (foreign(finding.subject), f"{foreign(finding.result)}\n{_shown(finding.remedy)}", False)
            for finding in wrong
        ]
        + [(f"{foreign(finding.subject)} is well again", foreign(finding.result), False) for finding in mended],
        footer="python3 -m bot check tries everything again. This is said once; what is mended is told.",
        colour=discord.Colour.orange(),
    )
    if len(made.fields) < len(wrong):
        made.description = f"The bot is running. {len(wrong) - len(made.fields)} more are in its log."
    return made


def render_mended(mended: Sequence[Finding], left: int) -> discord.Embed:
    """What was missing and is there again; so many other things are `left`, of which the owner knows."""
    things = "One thing is" if len(mended) == 1 else f"{len(mended)} things are"
    others = "The other thing that was named needs" if left == 1 else f"The other {left} things that were named need"
    return embed(
        title=f"{things} well again",
        description=f"{others} your attention still." if left else "Nothing else is missing.",
        fields=[(foreign(finding.subject), foreign(finding.result), False) for finding in mended],
        colour=discord.Colour.green(),
    )


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
