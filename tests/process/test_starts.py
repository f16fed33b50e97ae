"""What `run` says of a place where it cannot work: a sentence and a next step, and no traceback.

Each start ends before Discord is asked anything.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
import tomlkit

from bot.store.database import Database
from tests.process.test_kills import REPOSITORY

# A process whose files may not grow beyond a few pages: the nearest thing to a full disk that needs no disk.
CRAMPED = (
    "import resource, runpy, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    " resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)); sys.argv[0] = 'bot';"
    " runpy.run_module('bot', run_name='__main__')"
)


async def start(config: Path, *python: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *python, "run", "--config", str(config),
        cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(60):
        said = (await process.communicate())[0].decode()
    assert process.returncode in {1, 2}, said
    assert "Traceback" not in said
    return said


def place(folder: Path, data: Path | None = None) -> Path:
    folder.mkdir()
    path = folder / "config.toml"
    discord = {"token": "nobody-asks", "guild_id": 5}
    path.write_text(tomlkit.dumps({"data_directory": str(data or folder / "data"), "discord": discord}))
    return path


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
async def test_each_place_where_it_cannot_work_has_a_sentence(tmp_path: Path):
    # Read-only volumes are not to be had everywhere, and root may write wherever modes forbid it. A folder that is a
    # file, and one in /proc, refuse everybody.
    no_folder = tmp_path / "a file"
    no_folder.write_text("")
    newer, held = place(tmp_path / "newer"), place(tmp_path / "held")
    for config in (newer, held):
        database = await Database.open(config.parent / "data" / "bot.sqlite3")
        await database.close()
    with (
        closing(sqlite3.connect(newer.parent / "data" / "bot.sqlite3")) as other,
        closing(sqlite3.connect(held.parent / "data" / "bot.sqlite3", isolation_level=None)) as holder,
    ):
        other.execute("PRAGMA user_version = 9999")
        other.commit()
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        bot = ("-m", "bot")
        said = await asyncio.gather(
            start(place(tmp_path / "file", no_folder / "data"), *bot),
            start(place(tmp_path / "proc", Path("/proc/1/data")), *bot),
            start(newer, *bot),
            start(held, *bot),
            start(place(tmp_path / "cramped"), "-c", CRAMPED),
        )
    for words, sentence in zip(
        (
            "cannot be read: not a directory.",
            "cannot be written. Check data_directory",
            "was made by a newer version of this bot. Update the bot",
            "Another program holds the database",
            "Check data_directory, its disk",
        ),
        said,
        strict=True,
    ):
        assert words in sentence
