"""kill -9 of a real process at any moment of its life: nothing stored is lost, nothing is half there, the job goes on."""

import asyncio
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bot.jobs.runner import JobState
from bot.progress import Progress
from bot.store import jobs

PROCESS = Path(__file__).with_name("counting_process.py")


def live_and_die(path: Path, dice: random.Random) -> tuple[bool, int]:
    """Run the process and kill it, sometimes early; returns whether its job was stored, and the last number it said."""
    said = []
    with subprocess.Popen(
        [sys.executable, str(PROCESS), str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        if dice.random() < 0.3:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(dice.random() * 0.4)
        else:
            said.extend(process.stdout.readline() for _ in range(dice.randrange(1, 60)))
        process.kill()
        # Not communicate(): that would skip what readline() has read ahead.
        rest, errors = process.stdout.read(), process.stderr.read()
    assert errors == ""
    # The kill may cut the last line short.
    lines = [line for line in [*said, *rest.splitlines(keepends=True)] if line.endswith("\n")]
    numbers = [int(line.split()[1]) for line in lines if line.startswith("stored")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
    return bool(lines), max(numbers, default=0)


def look(path: Path) -> tuple[int, list]:
    """How far the file has come, after checking that it is sound."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
            return 0, []
        pairs = dict(connection.execute("SELECT value + 0, count(*) FROM facts GROUP BY 1"))
        assert pairs == dict.fromkeys(range(1, len(pairs) + 1), 2)
        return len(pairs), connection.execute("SELECT id, kind, parameters, state FROM jobs").fetchall()


async def kill_and_resume(path, times, open_office):
    dice = random.Random(times)
    reached, stored = 0, False
    for _ in range(times):
        running, said = await asyncio.to_thread(live_and_die, path, dice)
        if not path.exists():
            continue
        number, rows = await asyncio.to_thread(look, path)
        assert number >= max(said, reached)
        reached, stored = number, stored or running
        assert rows == [(1, "count", '{"by":1}', "running")] or (rows == [] and not stored)
    assert reached > 0

    async def finish(job):
        yield Progress(reached, reached, "Done.")

    async with open_office(path, count=finish) as office:
        done = await office.outcome(1)
        assert (done.state, done.progress) == (JobState.SUCCEEDED, Progress(reached, reached, "Done."))
        assert await jobs.active_jobs(office.db) == []


async def test_killed_a_few_times(path, open_office):
    await kill_and_resume(path, 5, open_office)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_killed_a_hundred_times(path, open_office):
    await kill_and_resume(path, 100, open_office)
