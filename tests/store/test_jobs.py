"""Jobs and facts as rows."""

import sqlite3
from dataclasses import replace

import pytest

from bot.progress import Preview, Progress
from bot.store import facts, jobs
from bot.store.jobs import JobState

FULL = Progress(
    3,
    9,
    "Reading.",
    "posts",
    Preview("text", "title", "https://x/", ("a",), "note"),
    total_is_estimate=True,
    waiting_for="Tumblr's quota",
    wait_until=12.5,
    facts=(("posts", "3"),),
)


async def insert(db, kind="download", now=1.0, parameters=None):
    async with db.write() as connection:
        return await jobs.insert_job(
            connection, kind, parameters or {}, requested_by="ada", requester_id=5, channel_id=7, now=now
        )


async def finish(db, job, state=JobState.SUCCEEDED, progress=None, error=None):
    async with db.write() as connection:
        await jobs.finish_job(connection, job.id, state, progress=progress, error=error, now=9.0)


async def test_a_job_is_read_as_it_was_written(db):
    parameters = {"blogs": ["a", "b"], "limit": 5, "deep": {"x": None, "y": [1.5, True]}}
    job = await insert(db, parameters=parameters)
    assert job == await jobs.get_job(db, job.id)
    assert job == jobs.Job(
        job.id, "download", parameters, JobState.RUNNING, None, None, "ada", 5, 7, None, None, 1.0, None
    )
    async with db.write() as connection:
        await jobs.save_progress(connection, [replace(job, progress=FULL)])
        await jobs.set_message(connection, job.id, channel_id=8, message_id=99, now=2.0)
    stored = await jobs.get_job(db, job.id)
    assert stored.progress == FULL
    assert (stored.channel_id, stored.message_id, stored.message_posted_at) == (8, 99, 2.0)
    assert await jobs.get_job(db, job.id + 1) is None


async def test_one_of_a_kind(db):
    first = await insert(db)
    with pytest.raises(sqlite3.IntegrityError):
        await insert(db)
    await insert(db, "generate")
    async with db.write() as connection:
        assert await jobs.mark_cancelling(connection, first.id)
        assert not await jobs.mark_cancelling(connection, first.id)
    with pytest.raises(sqlite3.IntegrityError):
        await insert(db)
    await finish(db, first)
    second = await insert(db)
    assert [job.id for job in await jobs.active_jobs(db)] == [2, second.id]
    assert (await jobs.last_job(db, "download")).id == second.id
    assert await jobs.last_job(db, "moderate") is None


async def test_an_outcome_stays(db):
    job = await insert(db)
    await finish(db, job, JobState.FAILED, FULL, "It broke. Mend it.")
    await finish(db, job, JobState.SUCCEEDED)
    async with db.write() as connection:
        assert not await jobs.mark_cancelling(connection, job.id)
        await jobs.save_progress(connection, [replace(job, progress=Progress(0, 0, "late"))])
    stored = await jobs.get_job(db, job.id)
    assert (stored.state, stored.error, stored.progress, stored.finished_at) == (
        JobState.FAILED,
        "It broke. Mend it.",
        FULL,
        9.0,
    )


async def test_an_outcome_without_progress_keeps_the_last(db):
    job = await insert(db)
    async with db.write() as connection:
        await jobs.save_progress(connection, [replace(job, progress=FULL)])
    await finish(db, job, JobState.CANCELLED)
    assert (await jobs.get_job(db, job.id)).progress == FULL


async def test_outcomes_are_unshown_until_somebody_says_so(db):
    job = await insert(db)
    async with db.write() as connection:
        await jobs.set_message_final(connection, job.id)
    assert await jobs.unshown_jobs(db) == []
    await finish(db, job)
    assert [unshown.id for unshown in await jobs.unshown_jobs(db)] == [job.id]
    async with db.write() as connection:
        await jobs.set_message_final(connection, job.id)
    assert await jobs.unshown_jobs(db) == []


@pytest.mark.parametrize("text", ['{"done": "many"}', "[]", "{}", "null", "no JSON", ""])
async def test_progress_of_another_version_is_no_obstacle(db, text):
    job = await insert(db)
    async with db.write() as connection:
        await connection.execute("UPDATE jobs SET progress = ?", (text,))
    assert (await jobs.get_job(db, job.id)).progress is None


async def test_unknown_fields_of_progress_are_ignored(db):
    job = await insert(db)
    async with db.write() as connection:
        await connection.execute(
            """UPDATE jobs SET progress = '{"done": 1, "total": 2, "line": "x", "mood": "good"}'"""
        )
    assert (await jobs.get_job(db, job.id)).progress == Progress(1, 2, "x")


async def test_facts(db):
    assert await facts.get_fact(db, "commands") is None
    for value in ("1", "2"):
        async with db.write() as connection:
            await facts.set_fact(connection, "commands", value)
        assert await facts.get_fact(db, "commands") == value
