"""The ledger against a plain model: whatever the order of calls, retries, crashes, allowances and months, what is spent or
set aside passes the cap by no more than what calls cost beyond their reservation."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.budget import NO_CAPS, Caps
from bot.drafts import Person
from bot.errors import BudgetReached, Cap
from bot.store import jobs, spending
from bot.store.database import Database

KEEPER = Person(1, "keeper")
DOLLARS = st.integers(0, 400).map(lambda sixtyfourths: sixtyfourths / 64)  # sums of these are exact
HOUR = 3600.0


@dataclass
class Entry:
    number: int
    job: int
    month: tuple[int, int]
    day: str
    reserved: float
    spent: float | None = None

    @property
    def counts(self) -> float:
        return self.reserved if self.spent is None else self.spent

    @property
    def beyond(self) -> float:
        return max(0.0, self.counts - self.reserved)


class Ledger(RuleBasedStateMachine):
    """`in_flight` are the calls that this process waits for; a crash forgets them, and their entries stay open."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.database = self.run(Database.open(self.path))
        self.now = datetime(2026, 5, 20, tzinfo=UTC).timestamp()
        self.entries: list[Entry] = []
        self.in_flight: list[Entry] = []
        self.allowed: dict[tuple[int, int], float] = {}
        self.cap, self.caps = 0.0, NO_CAPS

    @property
    def path(self) -> Path:
        return Path(self.folder.name) / "bot.sqlite3"

    def run(self, work):
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.database.close())
        self.runner.close()
        self.folder.cleanup()

    @property
    def month(self) -> tuple[int, int]:
        moment = datetime.fromtimestamp(self.now, UTC)
        return moment.year, moment.month

    def used(self, month: tuple[int, int]) -> float:
        return sum(entry.counts for entry in self.entries if entry.month == month)

    @property
    def day(self) -> str:
        return datetime.fromtimestamp(self.now, UTC).date().isoformat()

    def expected(self, dollars: float, job: int) -> tuple[Cap, float] | None:
        """The cap that refuses, and what is lacking: the run's, then the day's, then the month's."""
        caps = {
            Cap.RUN: (sum(e.counts for e in self.entries if e.job == job), self.caps.per_run),
            Cap.DAY: (sum(e.counts for e in self.entries if e.day == self.day), self.caps.per_day),
            Cap.MONTH: (self.used(self.month), self.cap + self.allowed.get(self.month, 0.0)),
        }
        for cap, (used, most) in caps.items():
            if used + dollars > most and (most or cap is Cap.MONTH):
                return cap, used + dollars - most
        return None

    @initialize(cap=DOLLARS, per_run=st.just(0.0) | DOLLARS, per_day=st.just(0.0) | DOLLARS)
    def begin(self, cap: float, per_run: float, per_day: float) -> None:
        self.cap, self.caps = cap, Caps(per_run, per_day)

        async def add_jobs() -> list[int]:
            async with self.database.write() as connection:
                return [
                    (
                        await jobs.insert_job(
                            connection, kind, {}, requested_by="k", requester_id=1, channel_id=None, now=0.0
                        )
                    ).id
                    for kind in ("finetune", "generate")
                ]

        self.jobs = self.run(add_jobs())

    @rule(dollars=DOLLARS, which=st.integers(0, 1))
    def reserve(self, dollars: float, which: int) -> None:
        refusal = self.expected(dollars, self.jobs[which])

        async def ask() -> int:
            async with self.database.write() as connection:
                return await spending.reserve(
                    connection,
                    purpose="writing",
                    job_id=self.jobs[which],
                    model="m",
                    dollars=dollars,
                    limit=self.cap,
                    now=self.now,
                    caps=self.caps,
                )

        if refusal is not None:
            with pytest.raises(BudgetReached) as refused:
                self.run(ask())
            assert (refused.value.cap, refused.value.missing) == refusal
            return
        entry = Entry(self.run(ask()), self.jobs[which], self.month, self.day, dollars)
        self.entries.append(entry)
        self.in_flight.append(entry)

    def settle(self, entry: Entry, dollars: float) -> None:
        async def write_down() -> None:
            async with self.database.write() as connection:
                await spending.settle(connection, entry.number, dollars=dollars)

        self.run(write_down())
        entry.spent = dollars
        self.in_flight.remove(entry)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), sixteenths=st.integers(0, 24))
    def answered(self, data: st.DataObject, sixteenths: int) -> None:
        """It cost less than was set aside, or as much, or half as much again."""
        entry = data.draw(st.sampled_from(self.in_flight))
        self.settle(entry, entry.reserved * sixteenths / 16)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def refused(self, data: st.DataObject) -> None:
        self.settle(data.draw(st.sampled_from(self.in_flight)), 0.0)

    @rule()
    def crash(self) -> None:
        self.run(self.database.close())
        self.database = self.run(Database.open(self.path))
        self.in_flight.clear()

    @rule(which=st.integers(0, 1))
    def retry(self, which: int) -> None:
        """A job that goes on takes what was set aside for it, the newest first."""
        found = self.run(spending.open_entry(self.database, self.jobs[which], "writing"))
        left = [entry for entry in self.entries if entry.job == self.jobs[which] and entry.spent is None]
        assert found == (left[-1].number if left else None)
        if left and left[-1] not in self.in_flight:
            self.in_flight.append(left[-1])

    @rule(dollars=DOLLARS)
    def allow_more(self, dollars: float) -> None:
        async def write_down() -> None:
            async with self.database.write() as connection:
                await spending.allow(connection, KEEPER, dollars, now=self.now)

        self.run(write_down())
        self.allowed[self.month] = self.allowed.get(self.month, 0.0) + dollars

    @rule(hours=st.sampled_from([1, 24, 24 * 12, 24 * 31]))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR

    @rule()
    def the_last_moment_of_the_month(self) -> None:
        self.now = spending.month_start(spending.month_start(self.now) + 32 * 24 * HOUR) - 0.5

    @invariant()
    def the_ledger_says_what_the_model_says(self) -> None:
        assert self.run(spending.used_this_month(self.database, self.now)) == self.used(self.month)
        assert self.run(spending.standing(self.database, 0.0, NO_CAPS, self.now)).allowed == self.allowed.get(
            self.month, 0.0
        )
        for job in getattr(self, "jobs", []):
            expected = sum(entry.counts for entry in self.entries if entry.job == job)
            assert self.run(spending.spent_on_job(self.database, job)) == expected

    @invariant()
    def no_day_and_no_run_passes_its_cap(self) -> None:
        for what, cap in ("day", self.caps.per_day), ("job", self.caps.per_run):
            for one in {getattr(entry, what) for entry in self.entries} if cap else ():
                its = [entry for entry in self.entries if getattr(entry, what) == one]
                assert sum(entry.counts - entry.beyond for entry in its) <= cap

    @invariant()
    def the_overview_says_what_the_model_says(self) -> None:
        standing = self.run(spending.standing(self.database, self.cap, self.caps, self.now))
        now = [entry for entry in self.entries if entry.month == self.month]
        today = sum(entry.counts for entry in now if entry.day == self.day)
        is_open = [entry.reserved for entry in now if entry.spent is None]
        assert (standing.used, standing.today) == (self.used(self.month), today)
        assert (standing.open_calls, standing.set_aside) == (len(is_open), sum(is_open))
        assert standing.limit == self.cap + self.allowed.get(self.month, 0.0)
        for by in ("purpose", "model"):
            parts = self.run(spending.parts_of_month(self.database, by, self.now))
            assert sum(part.month for part in parts) == standing.used
            assert sum(part.today for part in parts) == today
            assert sum(part.calls for part in parts) == len(now)

    @invariant()
    def no_month_passes_its_cap(self) -> None:
        async def months() -> dict[tuple[int, int], float]:
            async with self.database.read() as connection:
                rows = await connection.execute_fetchall(
                    "SELECT strftime('%Y', at, 'unixepoch'), strftime('%m', at, 'unixepoch'),"
                    " sum(coalesce(spent, reserved)) FROM spending GROUP BY 1, 2"
                )
            return {(int(row[0]), int(row[1])): row[2] for row in rows}

        for month, used in self.run(months()).items():
            beyond = sum(entry.beyond for entry in self.entries if entry.month == month)
            assert used <= self.cap + self.allowed.get(month, 0.0) + beyond


Ledger.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLedger = Ledger.TestCase
