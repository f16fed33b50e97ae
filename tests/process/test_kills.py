"""kill -9 of a real process at any moment of a download or an upload: nothing is lost, nothing is there twice."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
import tomlkit

from bot.demo.faults import Fault
from bot.demo.tumblr_blog import STATES, Npf, StandInBlog
from bot.demo.tumblr_service import TumblrService
from bot.drafts import DraftState, Parent, UploadState
from bot.pipeline import decide
from bot.store.database import Database
from bot.store.drafts import get_draft
from tests.pipeline.conftest import NAME, START, post
from tests.pipeline.test_publish import KEEPER, add

REPOSITORY = Path(__file__).parents[2]
POSTS = 300


def configure(folder: Path, service: TumblrService, address: str) -> Path:
    key, secret, token, token_secret = service.credentials()
    path = folder / "config.toml"
    path.write_text(
        tomlkit.dumps(
            {
                "download_blog_identifiers": [NAME],
                "upload_blog_identifier": NAME,
                "data_directory": str(folder / "data"),
                "tumblr": {
                    "api_url": address,
                    "consumer_key": key,
                    "consumer_secret": secret,
                    "oauth_token": token,
                    "oauth_token_secret": token_secret,
                },
            }
        )
    )
    return path


async def start(config: Path, *kinds: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.process.bot_process",
        str(config),
        *kinds,
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def kill_after(process: asyncio.subprocess.Process, seconds: float) -> None:
    """Let it come up, then end it without a chance to tidy anything."""
    assert process.stdout is not None
    await process.stdout.readline()
    await asyncio.sleep(seconds)
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    await process.communicate()


async def run_to_the_end(config: Path, *kinds: str) -> None:
    process = await start(config, *kinds)
    async with asyncio.timeout(60):
        out, log = await process.communicate()
    assert out.decode().split() == ["up", "done"], log.decode()


async def open_service() -> tuple[TumblrService, StandInBlog, str]:
    service = TumblrService()
    service.minute_limit = service.hour_limit = service.day_limit = 10**9
    address = await service.start()
    return service, service.add_blog(NAME), address


def integrity(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "data" / "bot.sqlite3")) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone()[0]


async def kill_downloads(folder: Path, kills: int, dice: random.Random) -> None:
    service, blog, address = await open_service()
    service.page_limit = 5
    for number in range(POSTS):
        service.add_post(blog, post(START - number // 3, f"post {number}"))
    config = configure(folder, service, address)
    for _ in range(kills):
        process = await start(config, "download")
        await kill_after(process, dice.uniform(0.0, 0.5))
        assert integrity(folder) == "ok"
    await run_to_the_end(config, "download")
    with closing(sqlite3.connect(folder / "data" / "bot.sqlite3")) as connection:
        stored = [row[0] for row in connection.execute("SELECT id FROM posts")]
    assert Counter(stored) == Counter(str(found["id"]) for found in blog.posts)
    # Each page is fetched once, but for the one in hand at each kill and the overlap at each fresh run's end.
    asked = Counter(request.query["before"] for request in service.requests if "before" in request.query)
    again = sum(times - 1 for times in asked.values())
    assert again <= 2 * (kills + 1), asked
    await service.stop()


async def kill_uploads(folder: Path, kills: int, dice: random.Random) -> None:
    """A draft at a time, in each of the four states, every third one a reblog; the bot is killed at any moment."""
    service, blog, address = await open_service()
    service.answer_seconds = 0.03  # so that a kill may fall between reading the parent and sending
    harbour = service.add_blog("harbour", owned=False)
    config = configure(folder, service, address)
    states = list(UploadState)
    parents: dict[str, str | None] = {}
    for number in range(kills):
        text = f"draft {number}"
        parent = None
        if number % 3 == 2:
            found = service.add_post(harbour, post(START + number, f"light {number}"))
            parent = Parent(harbour.uuid, harbour.name, found["id_string"], f"light {number}", found["post_url"])
        parents[text] = parent.post_id if parent else None
        database = await Database.open(folder / "data" / "bot.sqlite3")
        draft_id = await add(database, text, states[number % 4], parent=parent)
        await decide.approve(database, draft_id, KEEPER, now=0.0)
        await database.close()
        # Answers that take their time, so that the kill falls before, during and after the call.
        service.faults.clear()
        service.faults.schedule(Fault("POST", "/v2/blog/*/posts", "drip", act=dice.random() < 0.7))
        process = await start(config)
        await kill_after(process, dice.uniform(0.0, 0.4))
        service.faults.clear()
        if number % 5 == 4:  # else the next process has this one's unfinished work as well, and is killed over it
            await run_to_the_end(config)
    await run_to_the_end(config)
    on_blog = Counter(found["content"][0]["text"] for found in everywhere(blog))
    assert all(copies == 1 for copies in on_blog.values()), on_blog
    drafts = read_drafts(folder)
    assert len(drafts) == kills
    for _, text, state, note in drafts:
        # Either it is on the blog once and we know it, or the owner is asked.
        assert (state, on_blog[text]) == (DraftState.UPLOADED, 1) or (state, on_blog[text]) == (DraftState.UNKNOWN, 0)
        assert (state == DraftState.UNKNOWN) == bool(note), (text, note)
    # The owner, who has looked, says so; then every approved draft is on the blog, once, and as what was approved.
    database = await Database.open(folder / "data" / "bot.sqlite3")
    for draft_id, _, state, _ in drafts:
        if state == DraftState.UNKNOWN:
            await decide.send_again(database, draft_id, KEEPER, now=0.0)
    await database.close()
    await run_to_the_end(config)
    assert {state for _, _, state, _ in read_drafts(folder)} == {DraftState.UPLOADED}
    became = Counter(
        (found["content"][0]["text"], found["state"], found.get("parent_post_id")) for found in everywhere(blog)
    )
    meant = Counter((text, STATES[states[number % 4]], parent) for number, (text, parent) in enumerate(parents.items()))
    assert became == meant
    assert integrity(folder) == "ok"
    await service.stop()


async def kill_removals(folder: Path, kills: int, dice: random.Random) -> None:
    """Uploads that somebody undoes, a Tumblr draft and a queued post in turn; the bot is killed at any moment."""
    service, blog, address = await open_service()
    service.answer_seconds = 0.02
    config = configure(folder, service, address)
    pressed = 0
    for number in range(kills):
        database = await Database.open(folder / "data" / "bot.sqlite3")
        draft_id = await add(database, f"draft {number}", (UploadState.DRAFT, UploadState.QUEUE)[number % 2])
        await decide.approve(database, draft_id, KEEPER, now=0.0)
        await database.close()
        await run_to_the_end(config)
        await _undo(folder, draft_id)
        pressed += 1
        service.faults.schedule(Fault("POST", "/v2/blog/*/post/delete", "drip", act=dice.random() < 0.7))
        process = await start(config)
        await kill_after(process, dice.uniform(0.0, 0.4))
        service.faults.clear()
        await run_to_the_end(config)
        assert integrity(folder) == "ok"
        ((_, text, state, note),) = [row for row in read_drafts(folder) if row[0] == draft_id]
        there = [found for found in everywhere(blog) if found["content"][0]["text"] == text]
        # Either it is gone and waits again, or it is there and the owner is told.
        assert (state, len(there)) in {(DraftState.PENDING, 0), (DraftState.UPLOADED, 1)}
        assert note
        if there:
            await _undo(folder, draft_id)
            pressed += 1
            await run_to_the_end(config)
    assert everywhere(blog) == []
    asked = [request.body["id"] for request in service.requests if request.path.endswith("/post/delete")]  # type: ignore[index]
    assert len(asked) <= pressed, "deleted more often than anybody pressed"
    await service.stop()


async def _undo(folder: Path, draft_id: int) -> None:
    database = await Database.open(folder / "data" / "bot.sqlite3")
    draft = await get_draft(database, draft_id)
    assert draft is not None
    assert draft.post_id is not None
    await decide.remove(database, draft_id, KEEPER, post_id=draft.post_id, now=time.time())
    await database.close()


def everywhere(blog: StandInBlog) -> list[Npf]:
    return [*blog.posts, *blog.drafts, *blog.queue]


def read_drafts(folder: Path) -> list[tuple[int, str, str, str]]:
    with closing(sqlite3.connect(folder / "data" / "bot.sqlite3")) as connection:
        return connection.execute("SELECT id, text, state, note FROM drafts ORDER BY id").fetchall()


async def test_a_download_survives_kills(tmp_path: Path):
    await kill_downloads(tmp_path, kills=3, dice=random.Random(1))


async def test_an_upload_survives_kills(tmp_path: Path):
    await kill_uploads(tmp_path, kills=4, dice=random.Random(2))


async def test_a_deletion_survives_kills(tmp_path: Path):
    await kill_removals(tmp_path, kills=2, dice=random.Random(4))


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_a_deletion_survives_many_kills(tmp_path: Path):
    await kill_removals(tmp_path, kills=30, dice=random.Random(5))


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_a_download_survives_a_hundred_kills(tmp_path: Path):
    for seed in range(10):
        folder = tmp_path / str(seed)
        folder.mkdir()
        await kill_downloads(folder, kills=10, dice=random.Random(seed))


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_an_upload_survives_a_hundred_kills(tmp_path: Path):
    await kill_uploads(tmp_path, kills=100, dice=random.Random(3))
