"""What /status says of where everything stands, as an embed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime

import discord

from bot.drafts import DraftState, UploadState
from bot.errors import command_of
from bot.jobs.runner import Job, JobState
from bot.overview import Health, Overview
from bot.voices.kinds import KINDS
from bot.words import counted
from cogs.ui.budget_message import budget_warning
from cogs.ui.limits import cut, embed, foreign, length
from cogs.ui.screening_review import standing_of
from cogs.ui.voice_message import ends
from cogs.ui.words import dollars, money, relative, size

_NAME = 40
_SENTENCE = 160
_ERROR = 90
_BLOGS = 3
_PROBLEMS_ROOM = 700  # as Discord counts; all fields together must leave room for the description
_WORKING_ROOM = 600
_FAILED_ROOM = 500
_DONE, _BEGUN, _TO_COME = "●", "◐", "○"
_AIMS = {
    UploadState.DRAFT: "arrives as a draft",
    UploadState.QUEUE: "goes into its queue",
    UploadState.PUBLISHED: "is published at once",
    UploadState.PRIVATE: "arrives as a private post",
}
_NEXT = {
    "download": "download the posts of your blog.",
    "examples": "turn the posts into training data.",
    "moderate": "screen the training data. /generate works already, without training.",
    "generate": "write some drafts.",
    "review": "decide about the drafts that wait.",
}
Field = tuple[str, str, bool]


def render(seen: Overview, connection: str, guild_id: int | None, notice: str = "") -> discord.Embed:
    """Everything in one embed. `connection` says how the connection to Discord is."""
    problems = [*seen.problems]
    problems += filter(None, (seen.voice_problem, _stopped_voice(seen)))
    lines = [f"**{notice}**"] if notice else []
    lines.append(_next(seen))
    warning = budget_warning(seen.money, seen.budget)
    if warning:
        lines.append(f"{warning} /budget shows what it went to.")
    fields: list[Field] = [("The stages", "\n".join(_stages(seen)), False)]
    working = _fitting([_working(job, guild_id) for job in seen.working], _WORKING_ROOM)
    fields.append(("At work", working or "nothing", False))
    if seen.failed:
        fields.append(("Not finished", _fitting([_failed(job, guild_id) for job in seen.failed], _FAILED_ROOM), False))
    fields += [
        ("Drafts", _drafts(seen), True),
        ("Voice", _voice(seen), True),
        ("Destination", _destination(seen), True),
        ("This month", _money(seen), True),
        ("Tumblr", _tumblr(seen), True),
        ("Health", _health(seen.health, connection), True),
    ]
    if problems:
        shown = [f"- {foreign(cut(problem, _SENTENCE))}" for problem in problems]
        fields.insert(0, ("To see to", _fitting(shown, _PROBLEMS_ROOM), False))
    return embed(
        title="Where everything stands",
        description="\n".join(lines),
        fields=fields,
        colour=discord.Colour.orange() if problems or warning else discord.Colour.blurple(),
    )


def _fitting(lines: Sequence[str], room: int) -> str:
    """The lines that fit, whole, and how many are left out: half a link would be none."""
    taken = 0
    for number, line in enumerate(lines):
        taken += length(line) + 1
        if taken > room:
            return "\n".join([*lines[:number], f"and {len(lines) - number:,} more"])
    return "\n".join(lines)


def _next(seen: Overview) -> str:
    step = seen.next_step
    if seen.is_next_at_work:
        return f"Next: nothing to do but wait, /{command_of(step)} is at work."
    if step == "generate" and seen.is_at_work("finetune"):
        return "Next: wait for the voice that is being trained, or write drafts with the one there is."
    if not seen.blogs and not seen.last_done:
        return "Nothing is here yet. Use /download, or the button, to fetch the posts of your blog."
    line = f"Next: {_NEXT[step]}"
    if step == "generate" and not seen.is_trained:
        line += " /finetune trains a voice of its own."
    return line


# --- the fields -----------------------------------------------------------------------------------------------


def _stages(seen: Overview) -> Iterator[str]:
    at_work = {job.kind for job in seen.working}

    def stage(kind: str, text: str, at: float | None = None, *, is_done: bool) -> str:
        mark = _BEGUN if kind in at_work else _DONE if is_done else _TO_COME
        when = relative(at) if at is not None else ""
        return " · ".join(part for part in (f"{mark} **{kind.capitalize()}**", text, when) if part)

    yield stage("download", _posts(seen), seen.last_done.get("download"), is_done=seen.posts.valid > 0)
    dataset = seen.dataset
    if dataset is None:
        yield stage("examples", "none yet", is_done=False)
        yield stage("moderate", "nothing to screen yet", is_done=False)
    else:
        held_out = f", {dataset.held_out_count:,} held out" if dataset.held_out_count else ""
        examples = f"dataset {dataset.id}: {counted(dataset.training_count, 'example')}{held_out}"
        yield stage("examples", examples, dataset.created_at, is_done=True)
        screening = standing_of(dataset, seen.skip)
        screened_at = seen.last_done.get("moderate") if screening.is_settled else None
        yield stage("moderate", cut(screening.words, _SENTENCE), screened_at, is_done=screening.is_settled)
    trained_at = seen.last_done.get("finetune")
    trained = "a trained voice writes" if seen.is_trained else "no voice is trained yet; that is optional"
    if trained_at is not None and not seen.is_trained:
        trained = "a voice is trained, but another one writes"
    yield stage("finetune", trained, trained_at, is_done=seen.is_trained)
    written = sum(count for state, count in seen.drafts.items() if state is not DraftState.REPLACED)
    drafts = counted(written, "draft") if written else "none yet"
    yield stage("generate", drafts, seen.last_done.get("generate"), is_done=written > 0)


def _posts(seen: Overview) -> str:
    if not seen.blogs:
        return "no posts yet"
    named = [
        f"{foreign(cut(blog.name, _NAME))}: {counted(blog.counts.all, 'post')}, {blog.counts.valid:,} usable"
        for blog in seen.blogs[:_BLOGS]
    ]
    rest = seen.blogs[_BLOGS:]
    if rest:
        named.append(f"{len(rest):,} more: {counted(sum(blog.counts.all for blog in rest), 'post')}")
    return "; ".join(named)


def _working(job: Job, guild_id: int | None) -> str:
    progress = job.progress
    parts = [f"/{command_of(job.kind)}", f"begun {relative(job.created_at)}"]
    if job.state is JobState.CANCELLING:
        parts.append("stopping")
    elif progress is not None and progress.waiting_for is not None:
        goes_on = f", goes on {relative(progress.wait_until)}" if progress.wait_until is not None else ""
        parts.append(f"waits for {foreign(cut(progress.waiting_for, _NAME))}{goes_on}")
    elif progress is not None and progress.rest == "resume":
        parts.append("paused")
    elif progress is not None and progress.total:
        parts.append(f"{progress.done:,} of {progress.total:,} {foreign(progress.unit)}".strip())
    return " · ".join([*parts, *_link(job, guild_id)])


def _failed(job: Job, guild_id: int | None) -> str:
    when = f" {relative(job.finished_at)}" if job.finished_at is not None else ""
    parts = [f"/{command_of(job.kind)}", f"stopped{when}"]
    if job.error:
        parts.append(foreign(cut(job.error, _ERROR)))
    return " · ".join([*parts, *_link(job, guild_id)])


def _link(job: Job, guild_id: int | None) -> Iterator[str]:
    """A link to the job's message, where it has one."""
    if job.message_id is not None and job.channel_id is not None and guild_id is not None:
        yield f"[its message](https://discord.com/channels/{guild_id}/{job.channel_id}/{job.message_id})"


def _drafts(seen: Overview) -> str:
    counts = seen.drafts
    lines = [f"{seen.waiting:,} waiting, {counts.get(DraftState.UPLOADED, 0):,} uploaded"]
    under_way = counts.get(DraftState.APPROVED, 0) + counts.get(DraftState.UPLOADING, 0)
    if under_way:
        lines.append(f"{under_way:,} approved, on the way")
    return "\n".join(lines)


def _voice(seen: Overview) -> str:
    voice = seen.voice
    if voice is None:
        return "none"
    label = KINDS[voice.kind].label
    kind = f"voice {voice.id}" if voice.name == label else f"{label}, voice {voice.id}"
    lines = [foreign(cut(voice.name, 2 * _NAME)), kind]
    if voice.shutdown_date is not None:
        lines.append(ends(voice, _today(seen)))
    return "\n".join(lines)


def _today(seen: Overview) -> date:
    return datetime.fromtimestamp(seen.at, UTC).date()


def _stopped_voice(seen: Overview) -> str:
    """That the voice which writes has stopped, and what to do; "" where it has not."""
    voice = seen.voice
    if voice is None or voice.shutdown_date is None or voice.shutdown_date > _today(seen):
        return ""
    return f"The voice that writes has stopped on {voice.shutdown_date}. /voices use goes to another one."


def _destination(seen: Overview) -> str:
    if not seen.destination:
        return "not set"
    return f"{foreign(cut(seen.destination, 2 * _NAME))}\n{_AIMS[seen.upload_state]}"


def _money(seen: Overview) -> str:
    lines = [f"{money(seen.money.used, seen.budget)} of {dollars(seen.money.limit)}"]
    if seen.money.per_day:
        lines.append(f"today {dollars(seen.money.today)} of {dollars(seen.money.per_day)}")
    if seen.budget.per_run:
        lines.append(f"a run at most {dollars(seen.budget.per_run)}")
    return "\n".join(lines)


def _tumblr(seen: Overview) -> str:
    quota = seen.quota
    lines: list[str] = []
    if seen.held_until is not None:
        lines.append(f"takes no calls, goes on {relative(seen.held_until)}")
    for left, limit, resets_at, name in (
        (quota.hour_remaining, quota.hour_limit, quota.hour_resets_at, "this hour"),
        (quota.day_remaining, quota.day_limit, quota.day_resets_at, "this day"),
    ):
        if left is not None and (resets_at is None or resets_at > seen.at):
            of = f" of {limit:,}" if limit is not None else ""
            lines.append(f"{max(0, left):,}{of} calls left {name}")
    lines.append(f"{counted(seen.uploaded_today, 'post')} today (UTC)")
    return "\n".join(lines)


def _health(health: Health, connection: str) -> str:
    lines = [f"running since {relative(health.started_at)}", connection]
    if health.room is not None:
        lines.append(f"{size(health.room)} of disk left")
    if health.last_backup is not None:
        lines.append(f"last backup {relative(health.last_backup)}")
    elif health.wants_backups:
        lines.append("no backup yet")
    return "\n".join(lines)
