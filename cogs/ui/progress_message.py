"""The progress message: one ordinary message, edited while a job goes on, and never later than its last state.

It is edited with the bot's own token (an interaction's dies after 15 minutes), at a polite rate, and moves to a fresh
message before the hour is up (Discord limits edits of older ones, error 30046).
"""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import discord

from bot.client import DISCORD_FAILURES, Client, failure_in_words
from bot.jobs.runner import Job, JobState
from bot.progress import Preview, Progress
from bot.store import spending
from bot.store.database import carry_through
from cogs.ui.allow_button import allow_view
from cogs.ui.budget_message import budget_warning, run_warning
from cogs.ui.charts import loss_curve
from cogs.ui.choice_buttons import choice_view
from cogs.ui.comparison_message import comparison_result
from cogs.ui.dataset_buttons import dataset_view
from cogs.ui.dataset_message import Result, dataset_result
from cogs.ui.items import view_of
from cogs.ui.limits import cut, embed, foreign
from cogs.ui.next_step import next_step_view
from cogs.ui.posting import DEADLINE, post_once
from cogs.ui.screening_buttons import screening_result
from cogs.ui.status_message import StatusButton
from cogs.ui.stop_button import stop_view
from cogs.ui.training_buttons import TrainingButton, training_result, without_voice
from cogs.ui.words import bar, duration, relative

_log = logging.getLogger(__name__)

_FRESH_AFTER = 50 * 60.0  # seconds; Discord's limit is an hour
_OLDER_AFTER = 5 * 60.0
_SLOWER = 3.0  # times the usual pause, once the message is older
_PREVIEW = 700  # characters; a glance, not the whole post
_EDIT_TOO_OLD = 30046
_TRIES = 3
_AFTER_OUTAGE = 30.0  # times the usual pause, when Discord takes the outcome nowhere
_REDRAWN = 10.0  # times the usual pause: a picture is uploaded anew each time
_PICTURES = {"finetune": "loss.png", "examples": "dataset.png"}
_BESIDE = 24  # characters of a fact that still fit beside another one
_PAID = frozenset({"finetune", "generate", "compare"})
_KEEPS_NOTHING = frozenset({"finetune"})  # the steps of a training that gave no voice are of no use to anybody
_TITLES = {
    "download": "Downloading posts",
    "examples": "Making training data",
    "moderate": "Screening training data",
    "finetune": "Training a voice",
    "generate": "Writing drafts",
    "compare": "Comparing voices",
}
_COLOURS = {
    JobState.RUNNING: discord.Colour.blurple(),
    JobState.CANCELLING: discord.Colour.orange(),
    JobState.SUCCEEDED: discord.Colour.green(),
    JobState.FAILED: discord.Colour.red(),
    JobState.CANCELLED: discord.Colour.light_grey(),
}


@dataclass(slots=True)
class Speed:
    """How fast a job goes, by what was seen of it since this process began to look."""

    clock: Callable[[], float] = time.monotonic
    _first: tuple[float, int] | None = field(default=None, init=False)
    _last: tuple[float, int] | None = field(default=None, init=False)

    def saw(self, done: int) -> None:
        now = (self.clock(), done)
        if self._first is None or done < self._first[1]:
            self._first = now
        self._last = now

    @property
    def per_second(self) -> float | None:
        if self._first is None or self._last is None:
            return None
        seconds, items = self._last[0] - self._first[0], self._last[1] - self._first[1]
        return items / seconds if seconds > 0.5 and items > 0 else None  # noqa: PLR2004 - too short to judge


@dataclass(slots=True)
class _Drawn:
    """The picture that a running job's message has: how much of the curve it shows, and when it was drawn."""

    points: int = 0
    at: float = 0.0
    picture: bytes | None = None
    is_new: bool = False
    """Whether the message has not got it yet."""


class ProgressMessages:
    """Shows jobs in their channels. One `show` runs for each job, owned by the job runner."""

    def __init__(self, client: Client, *, edit_interval: float, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._edit_interval = edit_interval
        self._clock = clock

    async def show(self, job: Job) -> None:
        """Follow a job to its end, or take its last state to a message that was left behind."""
        await self._client.wait_until_ready()
        runner = self._client.app.runner
        speed, drawn = Speed(), _Drawn()
        async for state in runner.follow(job.id):
            if state.progress is not None:
                speed.saw(state.progress.done)
            if state.message_id is None and (stored := await runner.get(job.id)) is not None:
                # A job may end while its first message is being sent, and its last state then knows of none.
                state = replace(  # noqa: PLW2901 - the same, and where it is shown
                    state, message_id=stored.message_id, message_posted_at=stored.message_posted_at
                )
            delivered = await self._deliver(state, speed, drawn)
            for _ in range(_TRIES - 1):
                if delivered:
                    break
                # Nothing new may come for an hour, so this is not left for the next state.
                await asyncio.sleep(self._edit_interval * _SLOWER)
                state = await runner.get(job.id) or state  # noqa: PLW2901 - the newest there is
                delivered = await self._deliver(state, speed, drawn)
            if state.state.is_final:
                while not (delivered or await self._tell_requester(state)):
                    await asyncio.sleep(self._edit_interval * _AFTER_OUTAGE)
                    delivered = await self._deliver(state, speed, drawn)
                await runner.message_final(job.id)
                return
            age = self._clock() - (state.message_posted_at or self._clock())
            await asyncio.sleep(self._edit_interval * (_SLOWER if age > _OLDER_AFTER else 1.0))

    async def _deliver(self, job: Job, speed: Speed, drawn: _Drawn) -> bool:
        """Bring the job's message up to date. False when Discord did not let us."""
        channel_id = job.channel_id or self._client.app.settings.discord.channel_id
        if channel_id is None:
            return False
        try:
            # To its end even when the bot stops: a message that was sent and not noted down would be sent twice.
            result = await self._result(job, drawn)
            shown = render(job, speed, result, await self._warning(job))
            await carry_through(self._edit_or_send(job, shown, channel_id, result, drawn))
        except DISCORD_FAILURES as error:
            _log.warning("The progress of job %d could not be shown (%s).", job.id, failure_in_words(error))
            return False
        return True

    async def _result(self, job: Job, drawn: _Drawn) -> Result | None:
        """What there is to show of a job beside its last progress."""
        app, progress = self._client.app, job.progress
        if job.kind == "finetune":
            picture = await self._loss_picture(job, drawn)
            return await training_result(app, job, picture) or (Result(picture=picture) if picture else None)
        if not job.state.is_final:
            return None
        if job.kind == "moderate":
            return await screening_result(app, job)
        if job.kind == "compare":
            return comparison_result(job)
        if job.kind == "generate" and (result := without_voice(job)) is not None:
            return result
        if progress is None:
            return None
        if (dataset_id := _dataset_id(job)) is not None:
            return await dataset_result(app.database, app.settings, dataset_id)
        return None

    async def _warning(self, job: Job) -> str:
        """That little is left of a budget that this job draws on; "" where enough is, or it costs nothing."""
        if job.kind not in _PAID:
            return ""
        app = self._client.app
        budget = app.settings.budget
        standing = await spending.standing(app.database, budget.monthly_limit, budget.caps, app.clock())
        spent = await spending.spent_on_job(app.database, job.id) if budget.per_run else 0.0
        return " ".join(filter(None, (run_warning(spent, budget), budget_warning(standing, budget))))

    async def _loss_picture(self, job: Job, drawn: _Drawn) -> bytes | None:
        """The loss curve of a training, drawn anew now and then; None where there is nothing to draw it with."""
        progress = job.progress
        if progress is None or not progress.curve:
            return None
        now = time.monotonic()
        is_due = job.state.is_final or now - drawn.at >= self._edit_interval * _REDRAWN
        if len(progress.curve) != drawn.points and is_due:
            picture = await asyncio.to_thread(loss_curve, progress.curve, progress.held_out_curve)
            drawn.points, drawn.at, drawn.picture = len(progress.curve), now, picture
            drawn.is_new = True
        return drawn.picture

    async def _edit_or_send(
        self, job: Job, shown: discord.Embed, channel_id: int, result: Result | None, drawn: _Drawn
    ) -> None:
        """Edit the message, or post a fresh one where there is none, or none that can be edited for much longer."""
        channel = self._client.get_partial_messageable(channel_id)
        view = _view(job, result)
        content: str | None = None
        if result is not None and result.picture is not None:
            shown.set_image(url=f"attachment://{_PICTURES[job.kind]}")
        if job.message_id is not None:
            posted_at = job.message_posted_at
            content = f"Continued from {self._link(channel_id, job.message_id)}"
            if posted_at is None or self._clock() - posted_at < _FRESH_AFTER:
                try:
                    # A picture that the message has already stays where nothing is said of attachments.
                    has_it = job.kind == "finetune" and not drawn.is_new and drawn.picture is not None
                    async with asyncio.timeout(DEADLINE):
                        await channel.get_partial_message(job.message_id).edit(
                            embed=shown,
                            view=view,
                            attachments=discord.utils.MISSING if has_it else _files(job, result),
                        )
                    drawn.is_new = False
                except discord.NotFound:
                    content = None  # somebody deleted it, so there is nothing to link to
                except discord.HTTPException as error:
                    if error.code != _EDIT_TOO_OLD:
                        raise
                else:
                    return
        sent = await post_once(
            channel,
            *("job", job.id, job.created_at, job.message_id),
            content=content,
            embeds=[shown],
            view=view,
            files=lambda: _files(job, result),
        )
        if content is not None and job.message_id is not None:
            # The old message must not go on showing a bar that stands still.
            moved = embed(title=shown.title or "", description=f"It goes on in {self._link(channel_id, sent.id)}.")
            with suppress(*DISCORD_FAILURES):
                async with asyncio.timeout(DEADLINE):
                    await channel.get_partial_message(job.message_id).edit(embed=moved, view=None)
        drawn.is_new = False
        await self._client.app.runner.message_posted(job.id, channel_id, sent.id)

    def _link(self, channel_id: int, message_id: int) -> str:
        # Not `jump_url`: a partial channel does not know its server, and links into direct messages.
        guild = self._client.app.settings.discord.guild_id or "@me"
        return f"https://discord.com/channels/{guild}/{channel_id}/{message_id}"

    async def _tell_requester(self, job: Job) -> bool:
        """The channel is gone or closed to the bot: the person who asked gets the outcome as a direct message.

        False when that may work later; True as well when this person takes no messages from the bot.
        """
        if job.requester_id is None:
            return True
        try:
            async with asyncio.timeout(DEADLINE):
                user = await self._client.fetch_user(job.requester_id)
            outcome = render(job, Speed(), await self._result(job, _Drawn()))
            await post_once(user, "outcome", job.id, job.finished_at, embeds=[outcome])
        except DISCORD_FAILURES as error:
            _log.warning("The outcome of job %d could not be delivered (%s).", job.id, failure_in_words(error))
            return isinstance(error, (discord.Forbidden, discord.NotFound))
        return True


def render(job: Job, speed: Speed, result: Result | None = None, warning: str = "") -> discord.Embed:
    """A job as people see it: title, bar, counts, rate, time left, what it waits for, the post in hand.

    Once it has ended, its `result` takes the place of the facts and the post that it gave itself. The `warning` is of
    money, and has no place where that has ended the job already.
    """
    progress = job.progress or Progress(0, None, "Starting.")
    lines = [foreign(progress.line)]
    fields: list[tuple[str, str, bool]] = []
    match job.state:
        case JobState.RUNNING:
            lines += _how_far(progress, speed)
            fields += [(foreign(label), foreign(value), False) for label, value in progress.facts]
        case JobState.CANCELLING:
            lines = ["Stopping."]
        case JobState.CANCELLED:
            kept = "" if job.kind in _KEEPS_NOTHING else " What was done until then is kept."
            lines = [f"Stopped.{kept}", *(result.lines if result is not None else ())]
        case JobState.FAILED:
            lines = [job.error or "It did not work.", *(result.lines if result is not None else ())]
            if progress.done and job.kind not in _KEEPS_NOTHING:
                lines.append(f"Done until then: {_count(progress.done, progress.unit)}. It is kept.")
        case JobState.SUCCEEDED:
            lines += result.lines if result is not None else ()
    if warning and job.state in (JobState.RUNNING, JobState.SUCCEEDED):
        lines.append(warning)
    if result is not None and result.fields:
        fields += result.fields
    else:
        if job.state.is_final:
            fields += [(foreign(label), foreign(value), len(value) <= _BESIDE) for label, value in progress.facts]
        is_pictured = result is not None and result.picture is not None
        if progress.preview is not None and job.state in (JobState.RUNNING, JobState.SUCCEEDED) and not is_pictured:
            fields.append(_preview(progress.preview))
    return embed(
        title=_TITLES.get(job.kind, job.kind),
        description="\n".join(lines),
        colour=_COLOURS[job.state],
        fields=fields,
        footer=f"Job {job.id}, asked for by {job.requested_by}",
    )


def _dataset_id(job: Job) -> int | None:
    """The dataset that the outcome of /examples is about."""
    if job.kind != "examples" or job.state is not JobState.SUCCEEDED or job.progress is None:
        return None
    return job.progress.dataset_id


def _files(job: Job, result: Result | None) -> list[discord.File]:
    if result is None or result.picture is None:
        return []
    return [discord.File(io.BytesIO(result.picture), _PICTURES[job.kind])]


def _how_far(progress: Progress, speed: Speed) -> list[str]:
    lines: list[str] = []
    rate = speed.per_second
    count = _count(progress.done, progress.unit)
    if progress.total:
        about = "about " if progress.total_is_estimate else ""
        share = min(100, round(100 * progress.done / progress.total))
        lines.append(f"`{bar(progress.done, progress.total)}` {share}%")
        count = f"{progress.done:,} of {about}{_count(progress.total, progress.unit)}"
    if progress.unit and (progress.total or progress.done):  # without a unit the numbers say nothing
        if rate is not None and progress.waiting_for is None and progress.rest != "resume":
            count += f" · {rate:,.1f} a second" if rate >= 0.1 else f" · {rate * 60:,.1f} a minute"  # noqa: PLR2004
            if progress.total and progress.done < progress.total and progress.finish is None:
                count += f" · about {duration((progress.total - progress.done) / rate)} left"
        lines.append(count)
    if progress.finish is not None and progress.waiting_for is None:
        lines.append(f"The service expects to be done {relative(progress.finish)}.")
    if progress.waiting_for is not None:
        when = f" It goes on {relative(progress.wait_until)}." if progress.wait_until is not None else ""
        lines.append(f"Waiting for {foreign(progress.waiting_for)}.{when}")
    return lines


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit}".rstrip()


def _preview(preview: Preview) -> tuple[str, str, bool]:
    title = foreign(preview.title) or "The post in hand"
    text = cut(foreign(cut(preview.text, _PREVIEW)), 900)
    parts = [text or "(no text)"]
    if preview.tags:
        parts.append(cut(" ".join(f"#{foreign(tag)}" for tag in preview.tags), 90))
    return title, "\n".join(parts), False


def _view(job: Job, result: Result | None) -> discord.ui.View | None:
    if job.state is JobState.RUNNING:
        view = stop_view(job.id)
        if job.progress is not None and job.progress.rest is not None:
            view.add_item(TrainingButton(job.id, job.progress.rest))
        return view
    if job.missing_dollars is not None:
        return allow_view(job)
    if result is not None and result.view is not None:
        return result.view
    if (dataset_id := _dataset_id(job)) is not None:
        return dataset_view(dataset_id)
    if job.kind == "generate" and job.state is JobState.SUCCEEDED:
        return view_of(StatusButton("review", "Review drafts"))
    return (choice_view(job) or next_step_view(job)) if job.state.is_final else None
