import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.jobs.background import Background
from bot.jobs.runner import Job, JobRunner
from bot.progress import Progress
from bot.store.database import Database


class Puppet:
    """A stage that does what the test tells it."""

    def __init__(self) -> None:
        self.told: asyncio.Queue = asyncio.Queue()
        self.started: list[Job] = []
        self.cancelled = 0
        self.ended = 0
        self.cleanup = None
        """Awaited when the stage is cancelled."""

    async def __call__(self, job: Job):
        self.started.append(job)
        try:
            while (word := await self.told.get()) != "end":
                if isinstance(word, Exception):
                    raise word
                yield Progress(word, 10, f"Step {word}.")
        except asyncio.CancelledError:
            self.cancelled += 1
            if self.cleanup:
                await self.cleanup()
            raise
        finally:
            self.ended += 1

    def tell(self, *words) -> None:
        for word in words:
            self.told.put_nowait(word)


@dataclass
class Office:
    """What app.py builds, as far as jobs go."""

    db: Database
    background: Background
    runner: JobRunner

    async def submit(self, kind="count", parameters=None) -> Job:
        return await self.runner.submit(kind, parameters or {}, requested_by="ada", requester_id=5, channel_id=7)

    async def outcome(self, job_id: int) -> Job:
        return [job async for job in self.runner.follow(job_id)][-1]

    async def until(self, job_id: int, condition) -> Job:
        async for job in self.runner.follow(job_id):
            if condition(job):
                return job
        raise AssertionError("the job ended")


@asynccontextmanager
async def opened(path: Path, face=None, **stages):
    db = await Database.open(path)
    background = Background()
    runner = JobRunner(db, stages, background)
    try:
        await background.start()
        await runner.start()
        if face:
            runner.set_face(face)
        yield Office(db, background, runner)
    finally:
        await runner.stop()
        await background.stop()
        await db.close()


@pytest.fixture
def eventually():
    async def wait(condition) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.001)

    return wait


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.sqlite3"


@pytest.fixture
def puppet() -> Puppet:
    return Puppet()


@pytest.fixture
async def office(path: Path, puppet: Puppet):
    async with opened(path, count=puppet, other=Puppet()) as office:
        yield office


@pytest.fixture
def open_office():
    return opened


@pytest.fixture
def make_puppet():
    return Puppet
