"""Whether the bot is well is judged by the beat it leaves, from another process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bot import health
from bot.health import Gateway, beat_file, judge, keep_beating
from bot.store.database import Database

REPOSITORY = Path(__file__).parents[1]
NOW = 1_800_000_000.0


def leave(folder: Path, **changes: Any) -> Path:
    path = beat_file(folder)
    beat = {"at": NOW, "ready": True, "gateway_silence": 3.0, "database_writable": True} | changes
    path.write_text(json.dumps(beat))
    return path


@pytest.mark.parametrize(
    ("changes", "after", "well", "says"),
    [
        ({}, 1.0, True, "is well"),
        ({"gateway_silence": None}, 1.0, True, "is well"),
        ({"gateway_silence": 119.0}, 59.0, True, "is well"),
        ({}, 61.0, False, "not given a sign of life for 61 seconds"),
        ({"ready": False}, 1.0, False, "not connected to Discord"),
        ({"gateway_silence": 121.0}, 1.0, False, "not answered the bot's heartbeat for 121 seconds"),
        ({"database_writable": False}, 1.0, False, "cannot write to its database"),
        ({"at": "soon"}, 1.0, False, "cannot be read"),
        ({}, -30.0, True, "is well"),
    ],
)
def test_judging(tmp_path: Path, changes: dict[str, Any], after: float, well: bool, says: str):
    assert judge(leave(tmp_path, **changes), NOW + after)[0] is well
    assert says in judge(beat_file(tmp_path), NOW + after)[1]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_broken_file_is_not_well(tmp_path: Path, content: bytes):
    beat_file(tmp_path).write_bytes(content)
    assert judge(beat_file(tmp_path), NOW) == (False, "The file with the bot's last beat cannot be read.")


def test_a_bot_that_never_ran_is_not_well(tmp_path: Path):
    well, sentence = judge(beat_file(tmp_path), NOW)
    assert not well
    assert "never run here" in sentence


async def test_a_beat_that_cannot_be_written_does_not_end_the_beating(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(health, "BEAT_SECONDS", 0.02)
    database = await Database.open(tmp_path / "bot.sqlite3")
    path = tmp_path / "not there yet" / ".health.json"
    beating = asyncio.create_task(keep_beating(database, path, lambda: Gateway(ready=True, silence=1.0)))
    try:
        async with asyncio.timeout(10):
            while "could not be written" not in caplog.text:
                await asyncio.sleep(0.01)
        path.parent.mkdir()  # there is room again
        await says(path, "is well")
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        await database.close()


async def test_the_beat_says_what_the_gateway_and_the_store_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "BEAT_SECONDS", 0.02)
    database = await Database.open(tmp_path / "bot.sqlite3")
    path = beat_file(tmp_path)
    gateway = [Gateway(ready=False)]
    beating = asyncio.create_task(keep_beating(database, path, lambda: gateway[0]))
    try:
        await says(path, "not connected")
        gateway[0] = Gateway(ready=True, silence=1.0)
        await says(path, "is well")
        async with database.write():  # somebody holds the store: the beat goes on and says so
            await says(path, "cannot write")
        await says(path, "is well")
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        await database.close()


async def says(path: Path, words: str) -> None:
    async with asyncio.timeout(10):
        while words not in judge(path, time.time())[1]:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("changes", "status"), [({}, 0), ({"ready": False}, 1), (None, 1)])
def test_the_command_answers_with_its_exit_status(tmp_path: Path, changes: dict[str, Any] | None, status: int):
    if changes is not None:
        leave(tmp_path, at=time.time(), **changes)
    done = subprocess.run(
        [sys.executable, "-m", "bot", "health", "--config", tmp_path / "none.toml", "--data-directory", tmp_path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert ("is well" in done.stdout) is (status == 0)
    assert not (tmp_path / "none.toml").exists()
