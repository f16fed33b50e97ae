"""A round of a comparison: two texts whose writers nobody is told before the verdict, and the buttons for it.

Ids are `compare:<comparison>:<round>:<press>`; which text is A is in the database, and so is the verdict.
"""

from __future__ import annotations

import asyncio
import io
import logging
import re
from typing import Self

import discord

from bot.client import DISCORD_FAILURES, Client, failure_in_words
from bot.comparison_desk import Standing
from bot.errors import BotError
from bot.jobs.background import report_unexpected
from bot.jobs.runner import Job, JobState
from bot.permissions import Level
from bot.store import comparisons
from bot.store.comparisons import Round, Verdict
from bot.store.database import carry_through
from bot.training import Voice
from cogs.ui.buttons import person
from cogs.ui.dataset_message import Result
from cogs.ui.items import DurableButton, view_of
from cogs.ui.keeping import keep_up, rest_until
from cogs.ui.limits import cut, embed, foreign, length
from cogs.ui.posting import post_once

_log = logging.getLogger(__name__)

_TEXT = 1_900  # UTF-16 code units of each text: two of them, and the rest, are under the 6,000 of a message
_PROMPT = 500
_NAME = 80
_BATCH = 50
_REST = 60.0
_AFTER_FAILURE = 15.0
_LABELS = {
    "a": ("A is better", discord.ButtonStyle.primary),
    "b": ("B is better", discord.ButtonStyle.primary),
    "neither": ("Neither", discord.ButtonStyle.secondary),
    "read": ("Read all", discord.ButtonStyle.secondary),
}


class ComparisonButton(
    DurableButton,
    template=r"compare:(?P<comparison>\d{1,15}):(?P<round>\d{1,3}):(?P<press>a|b|neither|read)",
    needs=Level.REVIEWER,
):
    """One of a round's buttons."""

    def __init__(self, comparison_id: int, number: int, press: str) -> None:
        self.comparison_id = comparison_id
        self.number = number
        self.press = press
        label, style = _LABELS[press]
        super().__init__(
            discord.ui.Button(label=label, style=style, custom_id=f"compare:{comparison_id}:{number}:{press}")
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(int(match["comparison"]), int(match["round"]), match["press"])

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await (self._read if self.press == "read" else self._judge)(interaction)

    async def _judge(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer()
        desk = interaction.client.app.comparisons
        standing, counted = await desk.judge(self.comparison_id, self.number, self.press, person(interaction))
        found = standing.round(self.number)
        text = "Noted. The message shows now which voice wrote which."
        if not counted:
            text = f"This round was judged already, by {foreign(found.judge or 'somebody')}: {_finding(found)}"
        await interaction.followup.send(text, ephemeral=True)
        try:
            # Also for a press that came second: the message may have missed the first verdict.
            await interaction.edit_original_response(embeds=render(standing, found), view=_view(found))
        except DISCORD_FAILURES as error:
            _log.warning("A verdict is kept, but could not be shown (%s).", failure_in_words(error))

    async def _read(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        standing = await interaction.client.app.comparisons.standing(self.comparison_id)
        found = standing.round(self.number)
        parts = [
            f"{_heading(standing, found, letter)}\n\n{text}\n" for letter, text in zip("AB", _texts(found), strict=True)
        ]
        content = "\n\n".join([f"Prompt\n\n{found.prompt}\n", *parts]).encode("utf-8", "replace")
        name = f"comparison-{self.comparison_id}-round-{self.number}.txt"
        await interaction.followup.send(file=discord.File(io.BytesIO(content), name), ephemeral=True)


class GoOnButton(DurableButton, template=r"compare:(?P<job>\d{1,15}):go_on", needs=Level.REVIEWER):
    """Lets a comparison that failed write what is missing."""

    def __init__(self, job_id: int) -> None:
        self.job_id = job_id
        super().__init__(
            discord.ui.Button(label="Go on", style=discord.ButtonStyle.primary, custom_id=f"compare:{job_id}:go_on")
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(int(match["job"]))

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await interaction.client.app.jobs.go_on(self.job_id, person(interaction))
        await interaction.followup.send("It goes on. What is written is not written again.", ephemeral=True)


def comparison_result(job: Job) -> Result | None:
    """What leads on from a comparison that failed."""
    if job.state is not JobState.FAILED or job.missing_dollars is not None:
        return None
    return Result(view=view_of(GoOnButton(job.id)))


class ComparisonMessages:
    """Posts each round as soon as both its texts are there, whatever was missed while the bot was away."""

    def __init__(self, client: Client, *, pause: float) -> None:
        self._client = client
        self._pause = pause

    async def keep(self) -> None:
        """Post messages for as long as the bot runs."""
        changed = self._client.app.comparisons.changed
        await keep_up(
            self._client,
            "showing rounds",
            self._catch_up,
            lambda all_shown: rest_until(changed, _REST if all_shown else _AFTER_FAILURE),
        )

    async def _catch_up(self) -> bool:
        """Post what nobody has been shown. Returns whether that worked for all."""
        all_shown = True
        for found in await comparisons.rounds_to_show(self._client.app.database, limit=_BATCH):
            try:
                # To its end even when the bot stops: a message that was sent and not noted would be sent twice.
                shown = await carry_through(self._post(found))
            except BotError:
                raise
            except Exception as error:  # noqa: BLE001 - a defect in one round must not hide all others
                report_unexpected(f"showing round {found.number} of comparison {found.comparison_id}", error)
                shown = False
            all_shown = all_shown and shown
            await asyncio.sleep(self._pause)
        return all_shown

    async def _post(self, found: Round) -> bool:
        app = self._client.app
        standing = await app.comparisons.standing(found.comparison_id)
        found = standing.round(found.number)
        job = await app.runner.get(standing.comparison.job_id)
        channel_id = (job.channel_id if job else None) or app.settings.discord.channel_id
        if channel_id is None:
            return False
        try:
            sent = await post_once(
                self._client.get_partial_messageable(channel_id),
                *("round", found.comparison_id, found.number, job and job.created_at),
                embeds=render(standing, found),
                view=_view(found),
            )
        except DISCORD_FAILURES as error:
            _log.warning("A round could not be shown (%s).", failure_in_words(error))
            return False
        async with app.database.write() as connection:
            await comparisons.round_shown(
                connection, found.comparison_id, found.number, channel_id=channel_id, message_id=sent.id
            )
        return True


# --- what people see ------------------------------------------------------------------------------------------------


def render(standing: Standing, found: Round) -> list[discord.Embed]:
    """A round as people see it. Before the verdict nothing tells which voice wrote which text."""
    total = len(standing.rounds)
    asked = f"Both were asked: {foreign(cut(' '.join(found.prompt.split()), _PROMPT))}"
    if found.verdict is None:
        title, lines = f"Round {found.number} of {total}: which is better?", [asked]
    else:
        title = f"Round {found.number} of {total}: judged"
        when = f" <t:{int(found.judged_at)}:f>" if found.judged_at is not None else ""
        lines = [asked, "", f"{_finding(found)} So says {foreign(found.judge or 'somebody')}{when}.", _tally(standing)]
    first = embed(title=title, description="\n".join(lines), footer=f"Comparison {standing.comparison.id}")
    texts = [
        embed(title=foreign(_heading(standing, found, letter)), description=cut(foreign(text), _TEXT))
        for letter, text in zip("AB", _texts(found), strict=True)
    ]
    return [first, *texts]


def _view(found: Round) -> discord.ui.View | None:
    """The buttons that a round has now."""
    presses = ["a", "b", "neither"] if found.verdict is None else []
    if any(length(foreign(text)) > _TEXT for text in _texts(found)):
        presses.append("read")
    items = [ComparisonButton(found.comparison_id, found.number, press) for press in presses]
    return view_of(*items) if items else None


def _texts(found: Round) -> tuple[str, str]:
    """The texts as A and B."""
    one, other = found.one_text or "", found.other_text or ""
    return (one, other) if found.one_first else (other, one)


def _heading(standing: Standing, found: Round, letter: str) -> str:
    """A text's letter; once the round is judged, the voice that wrote it too."""
    if found.verdict is None:
        return letter
    voice = standing.one if (letter == "A") is found.one_first else standing.other
    return f"{letter}: {_called(standing, voice)}"


def _finding(found: Round) -> str:
    if found.verdict is Verdict.NEITHER:
        return "Neither is better."
    return f"{'A' if (found.verdict is Verdict.ONE) is found.one_first else 'B'} is better."


def _tally(standing: Standing) -> str:
    """How often each voice was the better one; who won, once every round is judged."""
    ones, others = standing.count(Verdict.ONE), standing.count(Verdict.OTHER)
    one, other = (f"**{foreign(_called(standing, voice))}**" for voice in (standing.one, standing.other))
    left = sum(each.verdict is None for each in standing.rounds)
    counts = f"{one} {ones}, {other} {others}, neither {standing.count(Verdict.NEITHER)}"
    if left:
        return f"So far: {counts}. {'One round is' if left == 1 else f'{left} rounds are'} left."
    if ones == others:
        return f"All rounds are judged, and neither voice is ahead: {counts}."
    return f"All rounds are judged, and {one if ones > others else other} is ahead: {counts}."


def _called(standing: Standing, voice: Voice) -> str:
    """A voice's name, with its number where both have the same name."""
    name = cut(voice.name, _NAME)
    return f"{name} (voice {voice.id})" if standing.one.name == standing.other.name else name
