"""/consent as the owner, as a reviewer and as a stranger; and what becomes of a blog of somebody else."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.demo.faults import Fault
from bot.demo.tumblr_blog import StandInBlog
from bot.demo.world import World, describe
from bot.drafts import Parent, UploadState
from bot.pipeline import training_file
from bot.store import consents, drafts
from bot.store.drafts import NewDraft
from cogs.ui import limits
from tests.cogs.acts import (
    allow,
    answer,
    draft,
    everything,
    line,
    outcome,
    rows,
    said,
    shown_with,
    small_world,
    stage,
    text_post,
)
from tests.conftest import _expected

DAY = 86_400
MARK = "grommet-marlinspike"  # in every word of the other blog
NAME = "tide-tables"


@dataclass
class Clock:
    """The real time, moved."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def world(tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    """A small blog of the account's own, and one of somebody else."""
    async with small_world(tmp_path, clock=clock) as world:
        other_blog(world)
        yield world
        unexpected = [error for error in world.env.errors if not _expected(error)]
        assert not unexpected, unexpected


def other_blog(world: World, name: str = NAME, posts: int = 14) -> StandInBlog:
    blog = world.tumblr.add_blog(name, title="Tides", owned=False)
    for number in range(posts):
        # No two alike: /examples leaves out what nearly repeats itself.
        words = (f"{word}-{number}-{turn}" for turn in range(8) for word in ("high", "water", "at", "the", "pier"))
        world.tumblr.add_post(blog, text_post(f"{MARK} and all: {' '.join(words)}.", number))
    return blog


async def consent(world: World, what: str, actor: Any = None, **options: Any) -> str:
    return said(await (actor or world.owner).slash(world.channel, f"consent {what}", **options))


async def reblog_draft(world: World, parent: StandInBlog, number: int = 0, **more: Any) -> int:
    """A draft that reblogs a post, as /generate would have written it."""
    voice = (await world.app.voices.current()).id
    post = parent.posts[number]
    text = post["content"][0]["text"]
    reblogged = Parent(parent.uuid, parent.name, str(post["id"]), text, "https://example.org/1")
    new = NewDraft(
        text="yes, and the gulls.",
        tags=(),
        prompt=f"Answer this: {text}",
        voice_id=voice,
        job_id=None,
        slot=None,
        replaces=None,
        blog=world.blog_name,
        upload_state=UploadState.DRAFT,
        cost=0.0,
        parent=reblogged,
        **more,
    )
    async with world.app.database.write() as connection:
        number = await drafts.add_draft(connection, new, now=world.app.clock())
    world.app.drafts_changed.set()
    return number


def files_with(world: World, text: str = MARK) -> list[str]:
    """The files of the data folder that have these bytes anywhere."""
    folder = world.app.settings.data_directory
    return sorted(file.name for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes())


async def copy_database(world: World, target: Path) -> None:
    """A copy as an update makes it, in WAL mode."""
    with closing(sqlite3.connect(target, check_same_thread=False)) as copy:
        async with world.app.database.read() as connection:
            await connection.rollback()
            await connection.backup(copy)


async def count(world: World, table: str, blog: StandInBlog) -> int:
    ((found,),) = await rows(world, f"SELECT count(*) FROM {table} WHERE blog_uuid = ?", blog.uuid)  # noqa: S608
    return found


async def until_rows(world: World, query: str, expected: list[tuple[Any, ...]], *parameters: object) -> None:
    async with asyncio.timeout(10):
        while await rows(world, query, *parameters) != expected:
            await asyncio.sleep(0.02)


# --- who may ------------------------------------------------------------------------------------------------------


async def test_a_reviewer_may_read_the_list_and_no_more(world: World):
    await allow(world, NAME, note="Maren said yes.")
    before = await everything(world)
    for what, options in (("add", {"blog": "fog-bank", "note": "me"}), ("revoke", {"blog": NAME})):
        assert (await consent(world, what, world.reviewer, **options)).startswith(
            "Only the owner of the bot may do this."
        )
    assert "Maren said yes." in await consent(world, "list", world.reviewer)
    assert await everything(world) == before


async def test_what_was_recorded_is_offered_while_the_owner_types_and_to_nobody_else(
    world: World, caplog: pytest.LogCaptureFixture
):
    other_blog(world, "fog-bank", 0)
    await allow(world, NAME, note="Maren said yes. " * 20)
    await allow(world, "fog-bank")
    await consent(world, "revoke", blog="fog-bank")
    (choice,) = await world.owner.autocomplete(world.channel, "consent revoke", "blog", "@Tide")
    assert choice["value"] == world.tumblr.blogs[NAME].uuid
    assert choice["name"].startswith(f"{NAME} (Maren said")
    assert limits.length(choice["name"]) <= 100
    assert await world.owner.autocomplete(world.channel, "consent revoke", "blog", "zzz") == []
    assert await world.reviewer.autocomplete(world.channel, "consent revoke", "blog", "") == []
    caplog.clear()
    assert await world.stranger.autocomplete(world.channel, "consent revoke", "blog", "") == []
    assert f"A stranger ({world.stranger.id}) was refused: autocomplete." in caplog.messages


# --- giving -------------------------------------------------------------------------------------------------------


async def test_a_blog_of_somebody_else_is_downloaded_only_once_somebody_says_so(world: World):
    blog = world.tumblr.blogs[NAME]
    refused = await stage(world, "download", blogs=NAME)
    assert f"/consent add blog:{NAME}" in describe(refused)
    assert await rows(world, "SELECT * FROM posts") == []
    text = await consent(world, "add", blog=f"https://www.tumblr.com/{NAME}/123", note="Maren, by *mail*")
    for words in (
        NAME,
        "t:",
        world.owner.name,
        "Maren, by \\*mail\\*",
        "for 3 days",
        "downloaded and reblogged",
        "<t:",
    ):
        assert words in text, words
    listed = await consent(world, "list")
    assert f"**{NAME}**: given by {world.owner.name}" in listed
    done = await stage(world, "download", blogs=NAME)
    assert line(done) == "Done: 14 new posts."
    assert await count(world, "posts", blog) == 14


async def test_the_days_that_are_said_are_those_of_the_settings(tmp_path: Path):
    async with small_world(
        tmp_path,
        configure=lambda s: s.model_copy(update={"retention": s.retention.model_copy(update={"other_blogs_days": 1})}),
    ) as world:
        other_blog(world)
        assert "for 1 day after" in await consent(world, "add", blog=NAME, note="Maren")


async def test_a_blog_of_the_account_needs_no_consent(world: World):
    for name in (world.blog_name, world.tumblr.add_blog("second-lamp").name):
        text = await consent(world, "add", blog=name, note="me")
        assert text.startswith(f"{name} is a blog of the connected account and needs no consent.")
    assert await rows(world, "SELECT * FROM consents") == []


async def test_a_note_of_nothing_a_blog_of_nowhere_and_a_blog_that_is_gone(world: World):
    assert (await consent(world, "add", blog=NAME, note="  \n ")).startswith("The note is empty.")
    assert (await consent(world, "add", blog="../x", note="me")).endswith(".")
    assert (await consent(world, "add", blog="never-was", note="me")).startswith("Tumblr has no blog never-was")
    assert await rows(world, "SELECT * FROM consents") == []


async def test_consent_given_again_says_who_says_so_now(world: World):
    await allow(world, NAME, note="first")
    await allow(world, NAME, note="second")
    (active,) = await consents.active_consents(world.app.database)
    assert active.note == "second"
    assert "Revoked by" in await consent(world, "list")


async def test_tumblr_that_does_not_answer_leaves_nothing_recorded(world: World):
    world.tumblr.faults.schedule(Fault("GET", "/v2/user/info", "status", 401, times=99))
    assert (await consent(world, "add", blog=NAME, note="me")).endswith(".")
    assert await rows(world, "SELECT * FROM consents") == []


async def test_many_consents_with_long_notes_fit_and_the_file_has_them_in_full(world: World):
    assert "No consent has been recorded." in await consent(world, "list")
    note = "😀*_[x](https://example.org) @everyone\n# " * 12
    async with world.app.database.write() as connection:
        for number in range(90):
            await connection.execute(
                "INSERT INTO consents (blog_uuid, blog_name, note, given_at, given_by_id, given_by)"
                " VALUES (?, ?, ?, 1.0, 1, 'keeper')",
                (f"t:{number}", f"blog-{number}", f"{note}{number}"),
            )
        await connection.execute(
            "UPDATE consents SET revoked_at = 5.0, revoked_by = 'odile', revoked_by_id = 2 WHERE id > 60"
        )
    shown = answer(await world.owner.slash(world.channel, "consent list")).message
    (made,) = shown.embeds
    assert limits.length(made.description or "") <= limits.DESCRIPTION
    assert "@everyone" not in (made.description or "")
    assert "[x](" not in (made.description or "")
    lines = (made.description or "").splitlines()
    assert lines[0].startswith("**blog-59**"), "those that hold come first"
    assert lines[-1] == f"and {90 - (len(lines) - 1)} more."
    (file,) = shown.attachments
    content = (await file.read()).decode()
    assert all(f"blog-{number} (t:{number})" in content and f"{note}{number}" in content for number in range(90))
    assert content.count("revoked by odile, 1970-01-01") == 30


# --- revoking -----------------------------------------------------------------------------------------------------


async def test_revoking_removes_posts_examples_file_and_what_drafts_answer(world: World):
    blog = world.tumblr.blogs[NAME]
    await allow(world, NAME)
    await stage(world, "download", blogs=f"{world.blog_name} {NAME}")
    await stage(world, "examples")
    number = await reblog_draft(world, blog)
    shown = await world.until(lambda: world.drafts() or None)
    assert await world.until(lambda: files_with(world)) >= ["bot.sqlite3-wal", "training_data.jsonl"]
    text = await consent(world, "revoke", blog=NAME)
    assert "Posts: 14 removed" in text
    assert "Examples: 14 removed" in text
    assert "Drafts: 1 lost" in text
    for table in ("posts", "examples"):
        assert await count(world, table, blog) == 0, table
    assert await rows(world, "SELECT name FROM blogs") == [(world.blog_name,)]
    assert files_with(world) == []
    assert len(world.app.settings.training_data_file.read_text().splitlines()) == 12
    left = await draft(world, number)
    assert (left.text, left.parent and left.parent.text) == ("yes, and the gulls.", "")
    assert left.parent
    assert left.parent.post_id == str(blog.posts[0]["id"])
    await world.until(lambda: MARK not in describe(world.drafts()[0]))
    assert shown
    refused = await stage(world, "download", blogs=NAME)
    assert f"/consent add blog:{NAME}" in describe(refused)
    assert "Revoked by" in await consent(world, "list")


async def test_consent_given_once_more_brings_everything_back(world: World):
    """The same examples as before are a new dataset: the old one has lost them."""
    await allow(world, NAME)
    await stage(world, "download", blogs=NAME)
    assert line(await stage(world, "examples")).startswith("Dataset 1: 14")
    await consent(world, "revoke", blog=NAME)
    assert world.app.settings.training_data_file.read_bytes() == b""
    await allow(world, NAME)
    assert line(await stage(world, "download", blogs=NAME)) == "Done: 14 new posts."
    assert line(await stage(world, "examples")).startswith("Dataset 2: 14")
    assert len(world.app.settings.training_data_file.read_text().splitlines()) == 14


async def test_revoking_works_when_the_blog_is_gone_and_by_its_uuid(world: World):
    blog = world.tumblr.blogs[NAME]
    await allow(world, NAME)
    await stage(world, "download", blogs=NAME)
    del world.tumblr.blogs[NAME]
    assert "Posts: 14 removed" in await consent(world, "revoke", blog=blog.uuid)
    assert (await consent(world, "revoke", blog=NAME)).startswith(f"No consent for {NAME} holds.")


async def test_revoking_a_blog_that_was_renamed_since(world: World):
    blog = world.tumblr.blogs[NAME]
    await allow(world, NAME)
    blog.name = "neap-tides"
    world.tumblr.blogs["neap-tides"] = world.tumblr.blogs.pop(NAME)
    assert "Consent revoked" in await consent(world, "revoke", blog="neap-tides")


async def test_a_name_that_two_blogs_have_had_is_asked_about(world: World):
    old = world.tumblr.blogs[NAME]
    await allow(world, NAME)
    new = other_blog(world)
    await allow(world, NAME)
    text = await consent(world, "revoke", blog=NAME)
    assert text.startswith(f"Several blogs have been called {NAME}.")
    assert old.uuid in text
    assert new.uuid in text
    assert "Consent revoked" in await consent(world, "revoke", blog=old.uuid)
    assert "Consent revoked" in await consent(world, "revoke", blog=NAME)


async def test_revoking_while_the_blog_is_downloaded_lets_nothing_come_back(world: World):
    blog = other_blog(world, "fog-bank", 400)
    await allow(world, "fog-bank")
    world.tumblr.faults.schedule(Fault("GET", f"/v2/blog/{blog.uuid}/posts", "hang", after=3))
    await world.owner.slash(world.channel, "download", blogs="fog-bank")
    await world.until(lambda: world.tumblr.faults.served)
    assert await count(world, "posts", blog) > 0
    assert "Consent revoked" in await consent(world, "revoke", blog="fog-bank")
    assert await count(world, "posts", blog) == 0
    ended = await outcome(world, "download")
    assert "/consent add blog:fog-bank" in describe(ended)
    assert await count(world, "posts", blog) == 0
    assert await rows(world, "SELECT * FROM blogs WHERE uuid = ?", blog.uuid) == []


async def test_revoking_what_is_the_accounts_own_by_now_removes_nothing(world: World):
    blog = world.tumblr.blogs[NAME]
    await allow(world, NAME)
    await stage(world, "download", blogs=NAME)
    blog.owned = True
    await world.app.account.account()
    assert "Posts: 0 removed" in await consent(world, "revoke", blog=NAME)
    assert await count(world, "posts", blog) == 14


async def test_a_copy_of_the_database_from_before_an_update_is_removed_with_the_blog(world: World):
    await allow(world, NAME)
    await stage(world, "download", blogs=NAME)
    file = world.app.settings.database_file
    copied, of_own = file.with_name(f"{file.name}.before-0002"), file.with_name(f"{file.name}.before-0003")
    await copy_database(world, copied)
    assert MARK.encode() in copied.read_bytes()
    await consent(world, "revoke", blog=NAME)
    assert not copied.exists()
    await stage(world, "download")
    await copy_database(world, of_own)
    await allow(world, NAME)
    await consent(world, "revoke", blog=NAME)
    assert of_own.exists(), "it has nothing of the other blog"


# --- a process that ends in between -------------------------------------------------------------------------------


async def test_a_process_that_ended_before_the_file_was_written_writes_it_at_the_next_start(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    await allow(world, NAME)
    await stage(world, "download", blogs=f"{world.blog_name} {NAME}")
    await stage(world, "examples")
    file = world.app.settings.training_data_file
    unfinished = file.with_name(f".{file.name}.x1y2z3")
    with monkeypatch.context() as patch:

        def fails(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        patch.setattr(training_file, "put_files", fails)
        text = await consent(world, "revoke", blog=NAME)
        assert text.startswith("training_data.jsonl cannot be written (permission denied)")
    assert await count(world, "examples", world.tumblr.blogs[NAME]) == 0
    assert files_with(world) == [file.name]
    unfinished.write_text(MARK)
    await world.restart()
    await world.until(lambda: not files_with(world))
    assert len(file.read_text().splitlines()) == 12
    assert not unfinished.exists()
    await until_rows(world, "SELECT count(*) FROM facts WHERE name LIKE '%behind' OR name LIKE '%left%'", [(0,)])


async def test_a_process_that_ended_right_after_the_word_was_recorded_ends_the_purge_at_the_next_start(world: World):
    blog = world.tumblr.blogs[NAME]
    await allow(world, NAME)
    await stage(world, "download", blogs=NAME)
    await stage(world, "examples")
    async with world.app.database.write() as connection:
        await connection.execute("UPDATE consents SET revoked_at = 1.0, revoked_by = 'keeper', revoked_by_id = 1")
    await world.restart()
    await until_rows(world, "SELECT count(*) FROM posts WHERE blog_uuid = ?", [(0,)], blog.uuid)
    await world.until(lambda: not files_with(world))
    assert await rows(world, "SELECT * FROM blogs") == []


# --- what gets too old --------------------------------------------------------------------------------------------


async def test_posts_of_others_go_after_three_days_and_the_accounts_own_stay(world: World, clock: Clock):
    blog = world.tumblr.blogs[NAME]
    await allow(world, NAME)
    await stage(world, "download", blogs=f"{world.blog_name} {NAME}")
    await stage(world, "examples")
    await reblog_draft(world, blog)
    clock.ahead = 2.9 * DAY
    await world.restart()
    await world.until(lambda: shown_with(world, "Downloading posts"))
    await asyncio.sleep(0.2)
    assert await count(world, "posts", blog) == 14
    clock.ahead = 3 * DAY + 60
    await world.restart()
    await until_rows(world, "SELECT count(*) FROM posts WHERE blog_uuid = ?", [(0,)], blog.uuid)
    await world.until(lambda: not files_with(world))
    assert await rows(world, "SELECT count(*) FROM posts") == [(12,)]
    assert len(world.app.settings.training_data_file.read_text().splitlines()) == 12
    # The consent holds on, and the next download fetches all of it again.
    assert line(await stage(world, "download", blogs=NAME)) == "Done: 14 new posts."


async def test_what_is_seen_again_stays(world: World, clock: Clock):
    blog = world.tumblr.blogs[NAME]
    await allow(world, NAME)
    await stage(world, "download", blogs=NAME)
    clock.ahead = 2 * DAY
    await stage(world, "download", blogs=NAME, full=True)
    clock.ahead = 4 * DAY
    await world.restart()
    await asyncio.sleep(0.3)
    assert await count(world, "posts", blog) == 14


async def test_own_blogs_stay_when_another_account_was_connected_since(world: World, clock: Clock):
    await stage(world, "download")
    world.tumblr.blogs[world.blog_name].owned = False
    world.tumblr.add_blog("of-another-account")
    await world.app.account.account()
    assert await rows(world, "SELECT present FROM own_blogs ORDER BY rowid") == [(0,), (1,)]
    clock.ahead = 30 * DAY
    await world.restart()
    await asyncio.sleep(0.3)
    assert await rows(world, "SELECT count(*) FROM posts") == [(12,)]
