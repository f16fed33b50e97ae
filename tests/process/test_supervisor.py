"""Start, SIGTERM and kill -9 of the real process under a real supervisor script, which starts it again as Docker does."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from bot.demo.faults import Fault
from bot.demo.openai_service import OpenAIService
from bot.demo.tumblr_service import TumblrService
from tests.pipeline.conftest import NAME, START, post
from tests.process.test_kills import REPOSITORY, configure, integrity, open_service, run_to_the_end

SUPERVISOR = """\
while true; do
    "$@" 2>>"$FOLDER/log"
    echo $? >> "$FOLDER/ends"
    if [ -e "$FOLDER/enough" ]; then exit 0; fi
done
"""
GRACE = 10.0  # seconds between SIGTERM and SIGKILL, as Docker has it

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell"),
    pytest.mark.timeout(300),
]


@dataclass
class Box:
    """A machine with a supervisor on it, seen from outside."""

    folder: Path
    tumblr: TumblrService
    openai: OpenAIService

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def shown(self) -> list[dict[str, Any]]:
        """What the channel has shown, oldest first."""
        path = self.folder / "channel.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def ends(self) -> list[int]:
        """How the processes ended, in the shell's words: 137 is kill -9."""
        path = self.folder / "ends"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    async def up(self) -> int:
        """Wait for a process that works; returns its number."""
        path = self.folder / "pid"
        await until(lambda: path.exists() and path.read_text() != "")
        pid = int(path.read_text())
        path.unlink()
        return pid

    async def ended(self, times: int) -> int:
        await until(lambda: len(self.ends) >= times)
        return self.ends[times - 1]

    def slow_down(self) -> None:
        """Let both services answer a few more calls, and no other."""
        for faults, method, path in (
            (self.tumblr.faults, "GET", "/v2/blog/*/posts"),
            (self.openai.faults, "POST", "/v1/chat/completions"),
        ):
            faults.clear()
            faults.served.clear()
            faults.schedule(Fault(method, path, "hang", after=4, times=1_000))

    async def both_work(self, pid: int) -> None:
        """Wait until this process has got on with both jobs, and is in the middle of calls for both."""

        def work() -> set[str]:
            return {line["job"] for line in self.shown if line["pid"] == pid and line.get("done")}

        await until(lambda: work() == {"download", "generate"})
        await until(lambda: bool(self.tumblr.faults.served and self.openai.faults.served))
        assert {line["state"] for line in self.shown} == {"posted", "running"}

    def speed_up(self) -> None:
        self.tumblr.faults.clear()
        self.openai.faults.clear()

    def fill(self, posts: int) -> None:
        blog = self.tumblr.blogs[NAME]
        for number in range(posts):
            self.tumblr.add_post(
                blog, post(START + 1_000 + number, f"night {number} at the light, with {number} gulls")
            )

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "data" / "bot.sqlite3")) as connection:
            return connection.execute(query).fetchall()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not condition():
            await asyncio.sleep(0.02)


async def stop(box: Box, pid: int) -> int:
    """End a process as `docker stop` does; returns its end, which is 137 if it had to be killed."""
    before = len(box.ends)
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + GRACE
    while len(box.ends) == before:
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            return await box.ended(before + 1)
        await asyncio.sleep(0.02)
    return box.ends[before]


@asynccontextmanager
async def supervised(folder: Path, *wanted: str, posts: int) -> AsyncGenerator[Box]:
    """A blog that is downloaded in part, and a bot under a supervisor that has to do what is wanted."""
    tumblr, blog, address = await open_service()
    openai = OpenAIService()
    models = await openai.start()
    for number in range(20):
        tumblr.add_post(blog, post(START + number, f"day {number} at the light, and the kettle sang {number} times"))
    config = configure(folder, tumblr, address)
    settings = tomlkit.parse(config.read_text())
    settings["discord"] = {"token": "nobody-asks", "guild_id": 5}
    settings["openai"] = {"api_key": openai.api_key, "base_url": f"{models}/v1"}
    config.write_text(tomlkit.dumps(settings))
    await run_to_the_end(config, "download")
    (folder / "wanted").write_text("\n".join(wanted))
    box = Box(folder, tumblr, openai)
    tumblr.page_limit = 5
    box.fill(posts)
    box.slow_down()
    command = [sys.executable, "-m", "tests.process.supervised_process", str(config)]
    supervisor = await asyncio.create_subprocess_exec(
        "sh", "-c", SUPERVISOR, "supervisor", *command,
        cwd=REPOSITORY, env=os.environ | {"FOLDER": str(folder)}, start_new_session=True,
    )  # fmt: skip
    try:
        yield box
        (folder / "enough").touch()
        assert await stop(box, await box.up()) == 0
        async with asyncio.timeout(30):
            assert await supervisor.wait() == 0
    finally:
        if supervisor.returncode is None:
            os.killpg(supervisor.pid, signal.SIGKILL)
            await supervisor.wait()
        await tumblr.stop()
        await openai.stop()


async def other(*arguments: str) -> tuple[int | None, str]:
    """Another process of the bot's program; returns how it ended and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", *arguments,
        cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_sigterm_and_kill_in_the_middle_of_two_jobs(tmp_path: Path):
    async with supervised(tmp_path, "download", "generate:12", posts=200) as box:
        first = await box.up()
        await box.both_work(first)
        box.slow_down()
        assert await stop(box, first) == 0, "it ends by itself, in time, with calls to both services under way"
        assert {state for (state,) in box.rows("SELECT state FROM jobs WHERE kind = 'generate'")} == {"running"}

        second = await box.up()
        await box.both_work(second)
        box.speed_up()
        os.kill(second, signal.SIGKILL)
        assert await box.ended(2) == 137

        await box.up()
        await until((tmp_path / "idle").exists)
        assert [state for (state,) in box.rows("SELECT state FROM jobs")] == ["succeeded"] * 3
        messages = {(line["job"], line["message"]) for line in box.shown}
        assert messages in ({("download", 1), ("generate", 2)}, {("download", 2), ("generate", 1)}), "one for each job"
        for job in ("download", "generate"):
            last = [line for line in box.shown if line["job"] == job][-1]
            assert (last["state"], last["error"]) == ("succeeded", None)
        assert len({line["pid"] for line in box.shown}) == 3, "each process went on with them"
        assert box.rows("SELECT count(*), count(DISTINCT id) FROM posts") == [(220, 220)]
        assert box.rows("SELECT count(*) FROM drafts") == [(12,)]
        assert integrity(tmp_path) == "ok"

        settings = tomlkit.parse(box.config.read_text())
        del settings["discord"]  # nobody is asked but loopback
        (tmp_path / "check.toml").write_text(tomlkit.dumps(settings))
        # While it runs: it is well, a second copy is refused, and `check` may look.
        (status, said), (copy, refused), (_, checked) = await asyncio.gather(
            other("health", "--config", str(box.config)),
            other("run", "--config", str(box.config)),
            other("check", "--config", str(tmp_path / "check.toml")),
        )
        assert status == 0, said
        assert copy == 1
        assert "Another bot is already using" in refused
        assert "Stop the other one first" in refused
        assert "Traceback" not in refused + checked
        assert "well   Database: A running bot is using it, as it should." in checked
        assert "of this month's 20.00 dollars are left" in checked, "the database of the running bot is looked into"
        (tmp_path / "pid").write_text(str([line["pid"] for line in box.shown][-1]))
    assert box.ends == [0, 137, 0]
    log = (tmp_path / "log").read_text()
    assert log.count("Stopping. Jobs under way go on at the next start.") == 2
    assert "Traceback" not in log
    assert "cut off" not in log


async def test_what_does_not_stop_is_cut_off_in_time_and_jobs_go_on(tmp_path: Path):
    async with supervised(tmp_path, "stubborn", "download", "generate:12", posts=200) as box:
        first = await box.up()
        await box.both_work(first)
        box.speed_up()
        assert await stop(box, first) == 0
        assert "was cut off" in (tmp_path / "log").read_text()
        second = await box.up()
        await until((tmp_path / "idle").exists)
        assert box.rows("SELECT count(*) FROM drafts") == [(12,)]
        (tmp_path / "pid").write_text(str(second))
