"""The couriers: what is carried out beside the jobs, from what the tables say is left to do.

Each works once at the start, since something may have been left over, then whenever it is woken or something is due.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bot.backup import keep_nightly
from bot.config import Settings
from bot.draft_desk import DraftDesk
from bot.errors import BotError
from bot.jobs.background import report_unexpected
from bot.pace import Pace
from bot.pipeline.finetune import cancel_abandoned
from bot.pipeline.generate import rewrite_replaced
from bot.pipeline.moderate_batches import look_after_batches
from bot.pipeline.publish import publish
from bot.pipeline.remove import remove
from bot.pipeline.retention import keep_retention
from bot.stages import Stages
from bot.store.database import Database

_log = logging.getLogger(__name__)
_DAY = 86_400.0
_REST = 300.0  # seconds after which a courier looks again by itself


@dataclass(frozen=True, slots=True)
class Courier:
    """A name for the log, what wakes it, and its work, which says when something is due (unix seconds)."""

    name: str
    wake: asyncio.Event
    work: Callable[[], Awaitable[float | None]]


async def keep_working(courier: Courier, clock: Callable[[], float]) -> None:
    """Work whenever woken, or when something is due; survive what goes wrong."""
    while True:
        courier.wake.clear()
        due: float | None = None
        try:
            due = await courier.work()
        except BotError as error:
            _log.error("%s: %s", courier.name, error)
        except Exception as error:  # noqa: BLE001 - a defect in one draft must not stop those after it
            report_unexpected(courier.name, error)
        rest = _REST if due is None else min(max(0.0, due - clock()), _REST)
        with suppress(TimeoutError):
            async with asyncio.timeout(rest):
                await courier.wake.wait()


class Couriers:
    """What the app itself carries out."""

    def __init__(
        self,
        database: Database,
        stages: Stages,
        drafts: DraftDesk,
        *,
        settings: Callable[[], Settings],
        settings_path: Path,
        pace: Pace,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._stages = stages
        self._drafts = drafts
        self._settings = settings
        self._settings_path = settings_path
        self._pace = pace
        self._clock = clock
        self._next_purge = 0.0  # unix seconds
        self._next_backup = clock() + pace.first_backup

    def clock_was_set(self) -> None:
        """Forget what was due when, by the clock as it was."""
        self._next_purge = self._next_backup = 0.0

    async def upload(self) -> float | None:
        tumblr, changed = self._stages.account.tumblr, self._stages.drafts_changed
        due: float | None = None
        async for progress in publish(
            self._database,
            tumblr,
            look_after=self._pace.look_after,
            retry_after=self._pace.retry_after,
            spacing=self._drafts.rules.spacing,
            clock=self._clock,
        ):
            changed.set()
            due = progress.wait_until
        # Deletions take turns with uploads: a post that is looked for must not be on its way.
        removals_due = await remove(
            self._database,
            tumblr,
            look_after=self._pace.look_after,
            retry_after=self._pace.retry_after,
            clock=self._clock,
        )
        changed.set()
        return min((moment for moment in (due, removals_due) if moment is not None), default=None)

    async def rewrite(self) -> None:
        if await rewrite_replaced(self._database, self._stages.desk_again):
            self._stages.drafts_changed.set()

    async def cancel_trainings(self) -> float | None:
        return await cancel_abandoned(
            self._database,
            self._stages.voices.trainer_of,
            settle_seconds=self._pace.training_settle,
            clock=self._clock,
        )

    async def end_batches(self) -> float | None:
        if not self._stages.can_screen:
            return None
        service = self._stages.services.use("moderation")
        is_left = await look_after_batches(self._database, service, clock=self._clock)
        return self._clock() + self._pace.training_poll if is_left else None

    async def keep_retention(self) -> float:
        if self._clock() >= self._next_purge:
            settings = self._settings()
            due = await keep_retention(
                self._database,
                self._stages.account.tumblr,
                days=settings.retention.other_blogs_days,
                training_data_file=settings.training_data_file,
                clock=self._clock,
            )
            tomorrow = self._clock() + _DAY  # a post that is downloaded from now on is not due before that
            self._next_purge = tomorrow if due is None else min(due, tomorrow)
            self._stages.drafts_changed.set()
        return self._next_purge

    async def back_up(self) -> float | None:
        if self._clock() < self._next_backup:
            return self._next_backup
        return await asyncio.to_thread(keep_nightly, self._settings(), self._settings_path, clock=self._clock)
