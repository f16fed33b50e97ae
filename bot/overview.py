"""Where everything stands: what /status shows, gathered from the store and from memory. No service is asked for it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from bot.app import App
from bot.backup import backups_folder
from bot.config import BudgetSettings, Settings
from bot.drafts import DraftState, UploadState
from bot.errors import BotError
from bot.examples import Dataset
from bot.jobs.runner import Job, JobState
from bot.screening import Decision
from bot.store import datasets, jobs, screening, spending
from bot.store import drafts as draft_store
from bot.store import posts as post_store
from bot.store import uploads as upload_store
from bot.store.posts import PostCounts
from bot.store.spending import Standing
from bot.training import Voice
from bot.tumblr.quota import Quota
from bot.voices.kinds import learns
from bot.words import counted

_LITTLE_ROOM = 500 * 1024 * 1024  # bytes
_BACKUP_IS_OLD = 2 * 86_400.0  # seconds; one is due each night
_NO_POSTS = PostCounts(0, 0)


@dataclass(frozen=True, slots=True)
class BlogStanding:
    """A blog whose posts are here."""

    name: str
    counts: PostCounts


@dataclass(frozen=True, slots=True)
class Health:
    """How the process and its machine are. Times are in unix seconds, `room` is in bytes; None: not known, or none."""

    started_at: float
    room: int | None
    last_backup: float | None
    wants_backups: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that /status shows, as it stood at one moment (`at`, in unix seconds)."""

    at: float
    blogs: tuple[BlogStanding, ...]
    dataset: Dataset | None
    skip: Decision | None
    """The decision to use the dataset unscreened, where there was one."""
    voice: Voice | None
    voice_problem: str
    drafts: Mapping[DraftState, int]
    destination: str
    upload_state: UploadState
    last_done: Mapping[str, float]
    """When a job of each kind was last done, in unix seconds."""
    working: tuple[Job, ...]
    failed: tuple[Job, ...]
    """The newest of their kind, which may go on where they stopped."""
    money: Standing
    budget: BudgetSettings
    quota: Quota
    held_until: float | None
    """Until when Tumblr takes no calls."""
    uploaded_today: int
    health: Health
    problems: tuple[str, ...]
    """What is wrong, each with its remedy."""

    @property
    def posts(self) -> PostCounts:
        """Of all blogs together."""
        return PostCounts(sum(blog.counts.all for blog in self.blogs), sum(blog.counts.valid for blog in self.blogs))

    @property
    def is_screened(self) -> bool:
        """Whether the dataset was screened, or somebody decided against that."""
        return self.dataset is not None and (bool(self.dataset.screened_with) or self.skip is not None)

    @property
    def is_trained(self) -> bool:
        """Whether the voice that writes now was trained."""
        return self.voice is not None and learns(self.voice.kind)

    @property
    def waiting(self) -> int:
        """How many drafts wait for a person."""
        return self.drafts.get(DraftState.PENDING, 0) + self.drafts.get(DraftState.UNKNOWN, 0)

    @property
    def next_step(self) -> str:
        """The sensible next step: a stage, or "review"."""
        if not self.posts.valid:
            return "download"
        if self.drafts.get(DraftState.PENDING, 0):
            return "review"
        if self.dataset is None:
            return "download" if self.is_at_work("download") else "examples"
        return "generate" if self.is_screened else "moderate"

    @property
    def is_next_at_work(self) -> bool:
        """Whether the next step is being done already."""
        return self.is_at_work(self.next_step)

    def is_at_work(self, kind: str) -> bool:
        """Whether a job of this kind is under way."""
        return any(job.kind == kind for job in self.working)


async def look(app: App) -> Overview:
    """See how everything stands now. Raises BotError where the store cannot be read."""
    database, settings, now = app.database, app.settings, app.clock()
    counts = await post_store.counts_by_blog(database)
    blogs = [BlogStanding(blog.name, counts.get(blog.uuid, _NO_POSTS)) for blog in await post_store.blogs(database)]
    dataset = await datasets.newest_dataset(database)
    voice, voice_problem = None, ""
    try:
        voice = await app.voices.current()
    except BotError as error:
        voice_problem = str(error)
    drafts = await draft_store.count_by_state(database)
    working = await app.runner.active()
    kinds_at_work = {job.kind for job in working}
    failed = [
        job
        for job in await jobs.newest_jobs(database)
        if job.state is JobState.FAILED and job.kind not in kinds_at_work
    ]
    budget = settings.budget
    health = await asyncio.to_thread(_health, app.started_at, settings)
    held_until = app.tumblr.governor.held_until
    return Overview(
        at=now,
        blogs=tuple(sorted(blogs, key=lambda blog: -blog.counts.all)),
        dataset=dataset,
        skip=None if dataset is None else await screening.skip_of(database, dataset.id),
        voice=voice,
        voice_problem=voice_problem,
        drafts=drafts,
        destination=settings.upload_blog_identifier,
        upload_state=settings.tumblr.upload_state,
        last_done=await jobs.last_successes(database),
        working=tuple(working),
        failed=tuple(failed),
        money=await spending.standing(database, budget.monthly_limit, budget.caps, now),
        budget=budget,
        quota=app.tumblr.quota,
        held_until=held_until,
        uploaded_today=await upload_store.arrived_since(database, spending.day_start(now)),
        health=health,
        problems=tuple(_problems(app, health, drafts.get(DraftState.UNKNOWN, 0), now)),
    )


def _health(started_at: float, settings: Settings) -> Health:
    room = last_backup = None
    with suppress(OSError):
        room = shutil.disk_usage(settings.data_directory).free
    with suppress(OSError):
        last_backup = max((file.stat().st_mtime for file in backups_folder(settings).glob("*.zip")), default=None)
    return Health(started_at, room, last_backup, settings.retention.backups > 0)


def _problems(app: App, health: Health, unknown: int, now: float) -> list[str]:
    """What a person should see to, as far as it is known without asking anybody."""
    settings = app.settings
    found: list[str] = []
    if not app.account.has_account:
        found.append("No Tumblr account is connected. /connect tumblr leads through it.")
    if not settings.endpoint("generation").api_key.get_secret_value():
        found.append("There is no key for the model service that writes. /config secret takes it.")
    if not settings.upload_blog_identifier:
        found.append("No blog is set for approved drafts to go to. /config set option:upload_blog_identifier does it.")
    if settings.discord.channel_id is None:
        found.append("No channel is set for notices. /config set option:discord.channel_id does it.")
    if unknown:
        uploads = counted(unknown, "upload")
        found.append(f"Of {uploads} the answer was lost. /drafts list shows what to do.")
    if health.room is not None and health.room < _LITTLE_ROOM:
        found.append("The disk of data_directory is nearly full. Make room, or nothing can be stored any more.")
    newest = max(health.last_backup or 0.0, health.started_at)
    if health.wants_backups and now - newest > _BACKUP_IS_OLD:
        found.append("There has been no backup for two days. The log says why.")
    found += [f"config.toml, not in effect: {problem}" for problem in app.settings_watch.problems]
    return found
