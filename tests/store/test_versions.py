"""A database that any version of the bot left behind is opened, loses nothing, and the bot goes on with it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from bot.__main__ import main
from bot.demo.tour import blog_text
from bot.demo.world import World
from bot.drafts import DraftState
from bot.store.database import MIGRATIONS, Database, newest_shape
from bot.store.drafts import drafts_to_rewrite
from tests.cogs.acts import draft, forged, outcome, said, small_world
from tests.cogs.acts import rows as found
from tests.store.make_version import POSTS
from tests.store.versions import NUMBERS, build, is_sound, lost, rows, shape, version

REPOSITORY = Path(__file__).parents[2]
TABLES_IN_USE = {
    "blogs", "posts", "datasets", "examples", "judgements", "jobs", "trainings", "voices", "drafts", "decisions",
    "uploads", "spending", "facts",
}  # fmt: skip


def test_each_version_left_a_database():
    assert [*range(1, newest_shape() + 1)] == NUMBERS, (
        "There is a migration, and no database that it made: `python -m tests.store.make_version` makes it, and the"
        " next migration will be tried on it. Run that again when the migration changes before it is released."
    )


async def fresh_shape(folder: Path, number: int) -> set[tuple[str, str, str]]:
    """What a new database of this version looks like."""
    migrations = folder / "migrations"
    migrations.mkdir(parents=True)
    for file in sorted(MIGRATIONS.glob("*.sql"))[:number]:
        shutil.copy(file, migrations)
    await (await Database.open(folder / "bot.sqlite3", migrations=migrations)).close()
    return shape(folder / "bot.sqlite3")


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_database_of_each_version_is_brought_up_to_date(number, path, tmp_path):
    build(number, path)
    before = rows(path)
    assert {table for table in TABLES_IN_USE if before[table]} == TABLES_IN_USE
    old = shape(path)
    assert old == await fresh_shape(tmp_path / "then", number), "a migration was edited after it was released"

    await (await Database.open(path)).close()
    assert version(path) == newest_shape()
    assert shape(path) == await fresh_shape(tmp_path / "now", newest_shape())
    assert is_sound(path)
    assert lost(before, rows(path)) == []
    copies = [*path.parent.glob("*before*")]
    if number == newest_shape():
        assert copies == []
    else:
        assert [copy.name for copy in copies] == [f"bot.sqlite3.before-{number + 1:04}"]
        assert (version(copies[0]), shape(copies[0]), rows(copies[0])) == (number, old, before)


async def uploaded(world: World, number: int) -> None:
    async with asyncio.timeout(20):
        while (await draft(world, number)).state is not DraftState.UPLOADED:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", NUMBERS)
async def test_the_bot_goes_on_with_a_database_of_each_version(number, tmp_path):
    """It was stopped while a draft waited for Tumblr's limit and a download was under way. An hour later it is newer."""
    build(number, tmp_path / "data" / "bot.sqlite3")
    with closing(sqlite3.connect(tmp_path / "data" / "bot.sqlite3")) as connection, connection:
        # The world has a Discord of its own, where nothing is registered.
        connection.execute("DELETE FROM facts WHERE name = 'commands registered'")
    async with small_world(tmp_path, posts=POSTS + 5, clock=lambda: time.time() + 3600) as world:
        drafts = world.tumblr.blogs[world.blog_name].drafts
        await uploaded(world, 6)
        assert [blog_text(post) for post in drafts] == [(await draft(world, 6)).text]
        await outcome(world, "download")
        assert await found(world, "SELECT state FROM jobs WHERE id = 6") == [("succeeded",)]
        ((posts,),) = await found(world, "SELECT count(*) FROM posts")
        assert posts > POSTS, "the old ones are there; new ones if the blog had them before the download went on"

        status = said(await world.owner.slash(world.channel, "status"))
        assert "3 waiting, 2 uploaded" in status, "one of them waits for a look at the blog"
        assert "fine-tuned, voice 2" in status
        listed = said(await world.owner.slash(world.channel, "drafts list"))
        assert "the light is lit." in listed
        assert "(answer lost)" in listed
        # The button on the message that the older version posted.
        await forged(world, world.owner, world.messages[0], "draft:2:approve")
        await uploaded(world, 2)
        assert "the light is lit." in [blog_text(post) for post in drafts]
        assert len(drafts) == 2
        assert [(await draft(world, number)).state for number in range(1, 8)] == [
            DraftState.UPLOADED,
            DraftState.UPLOADED,
            DraftState.REJECTED,
            DraftState.REPLACED,
            DraftState.UNKNOWN,
            DraftState.UPLOADED,
            DraftState.PENDING,
        ]
        assert await drafts_to_rewrite(world.app.database, limit=9) == [], "the press was answered by draft 7"
        assert not world.env.errors


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_backup_of_each_version_is_restored_and_brought_up_to_date(number, tmp_path, capsys):
    there, here = tmp_path / "there" / "bot.sqlite3", tmp_path / "here" / "bot.sqlite3"
    build(number, there)
    zipped = str(tmp_path / "b.zip")
    assert main(["backup", zipped, *options_for(there.parent)]) == 0
    assert main(["restore", zipped, *options_for(here.parent)]) == 0
    told = capsys.readouterr().out
    assert ("The bot brings it up to date when it starts." in told) == (number < newest_shape())
    # A job that was under way is not gone on with, and what was approved is asked for again: the rest is as it was.
    assert "marked as failed: 1." in told
    assert "wait for a decision again: 1." in told
    await (await Database.open(here)).close()
    assert shape(here) == await fresh_shape(tmp_path / "now", newest_shape())
    assert is_sound(here)
    assert sorted(table for table, _ in lost(rows(there), rows(here))) == ["drafts", "jobs"]
    with closing(sqlite3.connect(here)) as connection:
        assert connection.execute("SELECT state FROM jobs WHERE id = 6").fetchone() == ("failed",)
        assert connection.execute("SELECT state FROM drafts WHERE id = 6").fetchone() == ("pending",)


def options_for(data: Path) -> list[str]:
    options = {
        "config": data / "config.toml",
        "data-directory": data,
        "training-data-file": data / "training_data.jsonl",
        "custom-prompts-file": data / "custom_prompts.jsonl",
    }
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="the killed processes are forks")
async def test_a_kill_at_any_step_of_the_migrations_leaves_a_whole_database_and_the_copy(tmp_path):
    build(1, tmp_path / "kills" / "0" / "bot.sqlite3")
    before = rows(tmp_path / "kills" / "0" / "bot.sqlite3")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.store.killed_upgrade", str(tmp_path / "kills"), cwd=REPOSITORY
    )
    assert await process.wait() == 0
    shapes = {number: await fresh_shape(tmp_path / str(number), number) for number in range(1, newest_shape() + 1)}
    seen = set()
    folders = [folder for folder in (tmp_path / "kills").iterdir() if folder.name != "0"]
    for folder in folders:
        path, copy = folder / "bot.sqlite3", folder / "bot.sqlite3.before-0002"
        reached = version(path)
        seen.add(reached)
        assert shape(path) == shapes[reached]
        assert is_sound(path)
        assert lost(before, rows(path)) == []
        assert copy.exists() or reached == 1
        await (await Database.open(path)).close()
        assert shape(path) == shapes[newest_shape()]
        assert lost(before, rows(path)) == []
        assert (version(copy), rows(copy)) == (1, before)
        assert not [*folder.glob("*.unfinished")]
    assert seen == {*shapes}
    assert len(folders) > 100
