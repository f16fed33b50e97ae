"""Whether the bot is well is judged by the beat it leaves, from another process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot import health
from bot.app import App
from bot.client import Client, gateway_state
from bot.errors import BotError
from bot.health import Gateway, beat_file, judge, keep_beating
from bot.store.database import Database
from bot.store.facts import set_fact

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
        ({"database_writable": False, "trouble": "The disk is full."}, 1.0, False, "The disk is full."),
        ({"gateway_away": 59.0, "gateway_silence": None}, 1.0, True, "is well"),
        ({"gateway_away": 61.0}, 1.0, False, "without its connection to Discord for 61 seconds"),
        ({"at": "soon"}, 1.0, False, "cannot be read"),
        ({}, -30.0, True, "is well"),
        # The clock went back, and there was no beat since: nobody knows for how long.
        ({}, -3_600.0, False, "last sign of life is of a time that has not come yet"),
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


async def test_a_loop_that_is_stuck_is_not_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(health, "_STALE_AFTER", 1.0)
    database = await Database.open(tmp_path / "bot.sqlite3")
    path = beat_file(tmp_path)
    beating = asyncio.create_task(keep_beating(database, path, lambda: Gateway(ready=True, silence=1.0)))
    try:
        await says(path, "is well")
        end = time.monotonic() + 30
        while judge(path, time.time())[0] and time.monotonic() < end:
            time.sleep(0.05)  # noqa: ASYNC251 - this is what sticks
        assert "not given a sign of life" in judge(path, time.time())[1]
        await says(path, "is well")
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        await database.close()


async def test_a_full_disk_and_a_held_database_are_not_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """SQLite's own limit on pages stands for the disk: its error is the same SQLITE_FULL."""
    monkeypatch.setattr(health, "BEAT_SECONDS", 0.5)
    database = await Database.open(tmp_path / "bot.sqlite3")
    path = beat_file(tmp_path)
    writer = database._writer
    await writer.execute("PRAGMA busy_timeout = 0")
    ((pages,),) = await writer.execute_fetchall("PRAGMA page_count")
    await writer.execute(f"PRAGMA max_page_count = {pages}")
    with contextlib.suppress(BotError):
        async with database.write() as connection:  # what little room is left in the pages there are
            for number in range(10_000):
                await set_fact(connection, f"filler {number}", "x" * 500)
    monkeypatch.setattr(health, "set_fact", lambda connection, name, value: set_fact(connection, name, value * 100_000))
    beating = asyncio.create_task(keep_beating(database, path, lambda: Gateway(ready=True, silence=1.0)))
    try:
        await says(path, f"The disk of {database.path} is full.")
        await writer.execute("PRAGMA max_page_count = 1000000")
        await says(path, "is well")
        with contextlib.closing(sqlite3.connect(database.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await says(path, "Another program holds the database")
        await says(path, "is well")
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        await database.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_health_tries_the_disk_itself(tmp_path: Path):
    """What is tried to be written lands on a device that is always full: the very error of a full disk."""
    path = leave(tmp_path)
    probe = tmp_path / ".health.probe"
    probe.symlink_to("/dev/full")
    assert judge(path, NOW) == (False, f"The disk of {tmp_path} is full.")
    assert not probe.exists(), "it tidies up after itself"
    probe.mkdir()  # nothing can be written there, whoever asks
    assert judge(path, NOW)[1] == f"Nothing can be written to {tmp_path}: is a directory."
    probe.rmdir()
    assert judge(path, NOW)[0]
    assert not probe.exists()


class Socket:
    def __init__(self, answered: float | None) -> None:
        self._keep_alive = SimpleNamespace(_last_ack=answered)


async def test_a_connection_that_is_lost_counts_from_the_first_failure_until_it_is_back():
    """discord.py goes on calling itself ready, and puts away the keeper of heartbeats, while it tries to reconnect."""
    client = Client(cast("App", None))
    assert gateway_state(client) == Gateway(ready=False)
    client._ready = asyncio.Event()
    client._ready.set()
    client.ws = cast("Any", Socket(time.perf_counter() - 30))
    state = gateway_state(client)
    assert (state.ready, state.away) == (True, 0.0)
    assert state.silence is not None
    assert 30 <= state.silence < 60
    await client.on_disconnect()
    client._away_since = time.monotonic() - 100
    client.ws = cast("Any", SimpleNamespace(_keep_alive=None))
    await client.on_disconnect()  # another try has failed
    state = gateway_state(client)
    assert (state.ready, state.silence) == (True, None)
    assert 100 <= state.away < 200
    await client.on_resumed()
    assert gateway_state(client).away == 0.0
    await client.on_disconnect()
    assert client.away_seconds >= 0
