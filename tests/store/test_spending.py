"""The ledger: what is open counts in full, what is settled counts as it was, and a month is a month."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import BudgetReached
from bot.store import jobs, spending
from bot.store.database import Database

MAY = datetime(2026, 5, 20, tzinfo=UTC).timestamp()


async def reserve(db: Database, dollars: float, *, limit: float = 10.0, at: float = MAY, job: int | None = None) -> int:
    async with db.write() as connection:
        return await spending.reserve(
            connection, purpose="writing", job_id=job, model="m", dollars=dollars, limit=limit, now=at
        )


async def settle(db: Database, entry: int, dollars: float) -> None:
    async with db.write() as connection:
        await spending.settle(connection, entry, dollars=dollars, input_tokens=1, output_tokens=2)


async def test_an_open_reservation_counts_in_full_and_a_settled_one_as_it_was(db: Database):
    first = await reserve(db, 4.0)
    assert await spending.used_this_month(db, MAY) == 4.0
    await settle(db, first, 1.0)
    assert await spending.used_this_month(db, MAY) == 1.0
    await settle(db, first, 0.0)
    assert await spending.used_this_month(db, MAY) == 0.0


async def test_what_would_pass_the_limit_is_refused_and_leaves_nothing(db: Database):
    await reserve(db, 6.0)
    with pytest.raises(BudgetReached, match=r"6\.00 of 10\.00 dollars .* may cost 4\.0100"):
        await reserve(db, 4.01)
    assert await spending.used_this_month(db, MAY) == 6.0
    await reserve(db, 4.0)  # exactly up to the limit


async def test_a_month_begins_anew_in_utc(db: Database):
    last = datetime(2026, 5, 31, 23, 59, 59, tzinfo=UTC).timestamp()
    await reserve(db, 10.0, at=last)
    with pytest.raises(BudgetReached):
        await reserve(db, 1.0, at=last)
    await reserve(db, 10.0, at=last + 1)
    assert await spending.used_this_month(db, last + 1) == 10.0


@given(at=st.floats(0, 4e9))
def test_a_month_starts_at_its_first_midnight(at: float):
    start = datetime.fromtimestamp(spending.month_start(at), UTC)
    assert (start.day, start.hour, start.minute, start.second, start.microsecond) == (1, 0, 0, 0, 0)
    moment = datetime.fromtimestamp(at, UTC)
    assert (start.year, start.month) == (moment.year, moment.month)


async def test_a_jobs_open_entry_is_found_after_a_restart(db: Database):
    async with db.write() as connection:
        job = await jobs.insert_job(connection, "f", {}, requested_by="k", requester_id=1, channel_id=None, now=MAY)
    entry = await reserve(db, 3.0, job=job.id)
    await reserve(db, 2.0)
    assert await spending.open_entry(db, job.id, "writing") == entry
    assert await spending.open_entry(db, job.id, "tags") is None
    assert await spending.spent_on_job(db, job.id) == 3.0
    await settle(db, entry, 0.5)
    assert await spending.open_entry(db, job.id, "writing") is None
    assert await spending.spent_on_job(db, job.id) == 0.5
