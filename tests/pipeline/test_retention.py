"""What may not be kept goes from everywhere, whatever is cut off in between."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import zipfile
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.backup import make_backup
from bot.config import Settings
from bot.demo.faults import Fault
from bot.drafts import Parent, Person, UploadState
from bot.errors import BotError
from bot.examples import Example, training_line
from bot.pipeline import retention, training_file
from bot.pipeline.retention import delete_posts, forget_blog, keep_retention
from bot.pipeline.training_file import repair_training_file, rewrite_training_file
from bot.posts import Blog, Post
from bot.progress import Preview, Progress
from bot.store import consents, datasets, drafts, facts, jobs, purge
from bot.store import posts as post_store
from bot.store.database import Database
from bot.store.drafts import NewDraft
from bot.store.purge import PROMPT_WITHOUT_PARENT, Purged
from bot.store.writings import Writing, add_writing
from bot.tumblr.client import Tumblr
from bot.voices.register import Automatic, voice_for_writing
from tests.pipeline.conftest import Bench, open_bench
from tests.pipeline.room import nights, open_room, store_posts

DAY = 86_400.0
NOW = 1_800_000_000.0
MARK = "grommet-marlinspike"
OTHER = "t:other"
OWN = "t:own"


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Deck:
    """A store with a blog of the account's own and one of somebody else, and a stand-in that says which is which."""

    bench: Bench
    folder: Path

    @property
    def database(self) -> Database:
        return self.bench.database

    @property
    def tumblr(self) -> Tumblr:
        return self.bench.tumblr

    @property
    def file(self) -> Path:
        return self.folder / "training_data.jsonl"

    async def store(
        self, blog: str, ids: Iterable[int], *, seen: float = NOW, words: str = MARK, longer: int = 0
    ) -> None:
        found = [
            Post(
                str(n),
                blog,
                blog[2:],
                1_000 + n,
                "",
                f"{words} {n}. " * (1 + longer + n * 37 % 40),
                (),
                None,
                False,
                words.encode(),
            )
            for n in ids
        ]
        async with self.database.write() as connection:
            await post_store.upsert_blog(connection, Blog(blog, blog[2:], "", ""), seen)
            await post_store.save_page(connection, blog, found, seen)
            await connection.execute("UPDATE blogs SET complete = 1, newest_timestamp = 9 WHERE uuid = ?", (blog,))

    async def own(self, *uuids: str) -> None:
        async with self.database.write() as connection:
            await consents.set_own_blogs(connection, [Blog(uuid, uuid[2:], "", "") for uuid in uuids])

    async def consent(self, blog: str = OTHER, *, revoked: bool = False) -> None:
        async with self.database.write() as connection:
            await consents.give_consent(connection, Blog(blog, blog[2:], "", ""), "yes", Person(1, "k"), now=1.0)
            if revoked:
                await consents.revoke_consent(connection, blog, Person(1, "k"), now=2.0)

    async def dataset(self, *posts: tuple[str, int], held_out: tuple[tuple[str, int], ...] = ()) -> int:
        examples = [
            Example("Write.", f"{MARK if blog == OTHER else 'lamp'} {n}", 5, blog, str(n), (blog, n) in held_out)
            for blog, n in posts
        ]
        async with self.database.write() as connection:
            number = await datasets.add_dataset(
                connection,
                digest="d",
                developer_message="dev",
                user_message="Write.",
                settings={},
                examples=[*examples, Example("own prompt", "own answer", 5)],
                now=1.0,
            )
        await rewrite_training_file(self.database, self.file)
        return number

    async def draft(self, blog: str, post_id: int, *, now: float = NOW) -> int:
        automatic = Automatic(
            fine_tuned_model="",
            fine_tuned_base_url="http://127.0.0.1",
            few_shot_model="m",
            few_shot_base_url="http://127.0.0.1",
            developer_message="dev",
            user_message="Write.",
        )
        voice = await voice_for_writing(self.database, automatic, now=0.0)
        draft = NewDraft(
            text="yes.",
            tags=(),
            prompt=f"Answer {MARK}",
            voice_id=voice.id,
            job_id=None,
            slot=None,
            replaces=None,
            blog="lamp",
            upload_state=UploadState.DRAFT,
            cost=0.0,
            parent=Parent(blog, blog[2:], str(post_id), f"{MARK} said", "https://example.org"),
        )
        async with self.database.write() as connection:
            return await drafts.add_draft(connection, draft, now=now)

    async def keep(self, now: float = NOW, days: float = 3) -> float | None:
        return await keep_retention(
            self.database, self.tumblr, days=days, training_data_file=self.file, clock=lambda: now
        )

    async def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        async with self.database.read() as connection:
            return [tuple(row) for row in await connection.execute_fetchall(query, parameters)]

    async def ids(self, table: str = "posts", blog: str = OTHER) -> list[str]:
        column = {"posts": "id", "examples": "post_id"}[table]
        query = f"SELECT {column} FROM {table} WHERE blog_uuid = ? ORDER BY 1"  # noqa: S608 - our own text
        return [row[0] for row in await self.rows(query, blog)]

    async def marks(self) -> set[str]:
        return {row[0] for row in await self.rows("SELECT name FROM facts")}

    async def file_is_right(self) -> bool:
        newest = await datasets.newest_dataset(self.database)
        assert newest is not None
        expected = [
            training_line(newest.developer_message, example.user, example.assistant)
            for example in await datasets.training_examples(self.database, newest.id)
        ]
        return self.file.read_text("utf-8").splitlines() == expected

    def leaks(self) -> list[str]:
        return sorted(f.name for f in self.folder.iterdir() if f.is_file() and MARK.encode() in f.read_bytes())


@asynccontextmanager
async def open_deck(folder: Path) -> AsyncGenerator[Deck, None]:
    async with open_bench(folder) as bench:
        bench.service.blogs.clear()
        bench.service.add_blog("own", uuid=OWN)
        yield Deck(bench, folder)


# --- deleting posts -----------------------------------------------------------------------------------------------


async def test_deleted_posts_go_from_posts_every_dataset_drafts_and_the_file(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        await deck.store(OTHER, range(1, 6))
        await deck.store(OWN, range(1, 6), words="lamp")
        first = await deck.dataset((OTHER, 1), (OTHER, 2), (OWN, 1))
        await deck.dataset((OTHER, 1), (OTHER, 3), (OWN, 2))
        gone, stays = await deck.draft(OTHER, 1), await deck.draft(OTHER, 3)
        assert await delete_posts(deck.database, OTHER, ["1", "2", "77"], training_data_file=deck.file) == 2
        assert await deck.ids() == ["3", "4", "5"]
        assert await deck.ids("examples") == ["3"]
        assert len(await datasets.all_examples(deck.database, first)) == 2
        assert await deck.ids("posts", OWN) == ["1", "2", "3", "4", "5"]
        assert await deck.file_is_right()
        blanked, kept = await drafts.get_draft(deck.database, gone), await drafts.get_draft(deck.database, stays)
        assert blanked is not None
        assert kept is not None
        assert (blanked.parent, blanked.prompt) == (
            Parent(OTHER, "other", "1", "", "https://example.org"),
            PROMPT_WITHOUT_PARENT,
        )
        assert (blanked.text, blanked.version) == ("yes.", 2)
        assert kept.parent is not None
        assert kept.parent.text == f"{MARK} said"
        assert kept.version == 1
        assert datasets.TRAINING_FILE_BEHIND not in await deck.marks()


async def test_none_means_all_of_the_blog_whatever_is_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "_AT_ONCE", 7)
    async with open_deck(tmp_path) as deck:
        await deck.store(OTHER, range(50))
        await deck.dataset((OTHER, 1), (OTHER, 200))
        await deck.draft(OTHER, 300)
        assert await delete_posts(deck.database, OTHER, None, training_data_file=deck.file) == 50
        assert await deck.ids() == await deck.ids("examples") == []
        assert [json.loads(row[0])["text"] for row in await deck.rows("SELECT parent FROM drafts")] == [""]


async def test_the_file_is_written_only_when_the_newest_dataset_lost_something(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        await deck.store(OTHER, range(1, 4))
        await deck.dataset((OTHER, 1), (OTHER, 2))
        await deck.dataset((OTHER, 2))
        deck.file.write_text("edited by hand\n")
        await delete_posts(deck.database, OTHER, ["1", "3"], training_data_file=deck.file)
        assert deck.file.read_text() == "edited by hand\n"
        await delete_posts(deck.database, OTHER, ["2"], training_data_file=deck.file)
        assert await deck.file_is_right()


async def test_a_dataset_left_with_nothing_has_an_empty_file(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        await deck.store(OTHER, range(1, 3))
        await deck.dataset((OTHER, 1))
        async with deck.database.write() as connection:
            await connection.execute("DELETE FROM examples WHERE post_id IS NULL")
        await delete_posts(deck.database, OTHER, None, training_data_file=deck.file)
        assert deck.file.read_bytes() == b""


async def test_a_file_that_cannot_be_written_is_behind_until_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fails(*_: object) -> None:
        raise OSError(28, "no room")

    async with open_deck(tmp_path) as deck:
        await deck.store(OTHER, range(1, 3))
        await deck.dataset((OTHER, 1))
        with monkeypatch.context() as patch:
            patch.setattr(training_file, "put_files", fails)
            with pytest.raises(BotError, match="cannot be written \\(no room\\)"):
                await delete_posts(deck.database, OTHER, ["1"], training_data_file=deck.file)
        assert await deck.ids("examples") == []
        assert datasets.TRAINING_FILE_BEHIND in await deck.marks()
        await repair_training_file(deck.database, deck.file)
        assert await deck.file_is_right()
        assert datasets.TRAINING_FILE_BEHIND not in await deck.marks()


async def test_who_read_the_examples_earlier_does_not_write_the_file_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A screening that ends while posts are purged: its list is older, its writing must not be the last."""
    write = training_file.put_files
    started, go = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(*args: Any) -> None:
        if not started.is_set():
            loop.call_soon_threadsafe(started.set)
            asyncio.run_coroutine_threadsafe(go.wait(), loop).result(10)
        write(*args)

    async with open_deck(tmp_path) as deck:
        await deck.store(OTHER, range(1, 3))
        await deck.dataset((OTHER, 1))
        monkeypatch.setattr(training_file, "put_files", slow)
        earlier = asyncio.create_task(rewrite_training_file(deck.database, deck.file))
        await started.wait()
        purging = asyncio.create_task(delete_posts(deck.database, OTHER, ["1"], training_data_file=deck.file))
        async with asyncio.timeout(10):
            while await deck.ids("examples"):
                await asyncio.sleep(0.01)
        earlier.cancel()  # its thread goes on all the same
        await asyncio.sleep(0.1)  # time for the other one to write, if it did not wait
        go.set()
        await asyncio.gather(earlier, purging, return_exceptions=True)
        await asyncio.sleep(0.1)
        assert await deck.file_is_right()
        assert deck.leaks() != [deck.file.name]


async def test_a_post_quoted_by_a_job_goes_with_the_posts(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        await deck.store(OTHER, range(1, 3))
        quoting = Progress(1, 2, "Downloading other.", preview=Preview(f"{MARK} 1", "other"))
        async with deck.database.write() as connection:
            job = await jobs.insert_job(
                connection, "download", {}, requested_by="k", requester_id=1, channel_id=None, now=0.0
            )
            await jobs.finish_job(connection, job.id, jobs.JobState.SUCCEEDED, progress=quoting, error=None, now=1.0)
        await delete_posts(deck.database, OTHER, ["1"], training_data_file=deck.file)
        found = await jobs.get_job(deck.database, job.id)
        assert found is not None
        assert found.progress == replace(quoting, preview=None)


async def test_a_dataset_made_while_posts_are_purged_does_not_bring_them_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(30))
        await store_posts(room.database, nights(20, word=MARK), blog="other")
        stage = room.examples()
        async for progress in stage:
            if progress.line == "Counting tokens.":
                await delete_posts(room.database, "t:other", None, training_data_file=room.training_file)
        newest = await datasets.newest_dataset(room.database)
        assert newest is not None
        assert await room.rows("SELECT count(*) FROM examples WHERE blog_uuid = 't:other'") == [(0,)]
        assert MARK not in room.training_file.read_text()
        assert len(room.training_file.read_text().splitlines()) == newest.training_count > 0
        # It is not what its digest would say, so the same posts again are another dataset.
        assert newest.digest == ""


# --- forgetting a blog --------------------------------------------------------------------------------------------


async def test_everything_of_a_blog_is_forgotten_to_the_last_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """SQLite's `secure_delete` leaves copies of rows that were moved: this fails without the file written anew."""
    monkeypatch.setattr(retention, "_AT_ONCE", 37)
    dice = random.Random(3)
    async with open_deck(tmp_path) as deck:
        await deck.own(OWN)
        await deck.consent(revoked=True)
        numbers = dice.sample(range(2_000), 2_000)
        for start in range(0, 2_000, 20):
            half = start + dice.randrange(20)
            await deck.store(OTHER, numbers[start:half])
            await deck.store(OWN, numbers[half : start + 20], words="lamp")
            await deck.store(OTHER, [int(n) for n in (await deck.ids())[::31]], seen=NOW + start, longer=1)
        await deck.dataset(
            *((OTHER, int(n)) for n in await deck.ids()), *((OWN, int(n)) for n in await deck.ids(blog=OWN))
        )
        await deck.draft(OTHER, 1)
        there = len(await deck.ids())
        assert await forget_blog(deck.database, OTHER, training_data_file=deck.file) == Purged(there, there, 1)
        assert deck.leaks() == []
        assert await deck.rows("SELECT uuid FROM blogs") == [(OWN,)]
        assert len(await deck.ids(blog=OWN)) == 2_000 - there
        assert await deck.file_is_right()
        assert await deck.marks() == set()
        assert await deck.rows("PRAGMA integrity_check") == [("ok",)]


async def test_a_text_that_is_no_draft_yet_is_forgotten_with_the_post_that_it_answers(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        await deck.own(OWN)
        await deck.consent(revoked=True)
        await deck.store(OWN, range(3), words="lamp")
        await deck.dataset((OWN, 1))
        parent = Parent(OTHER, OTHER[2:], "7", f"{MARK} said", "https://example.org")
        async with deck.database.write() as connection:
            writing = Writing("job 9, slot 0", f"Answer {MARK}", parent, "", 1, "yes.", False, 0.0, 5, 5)
            await add_writing(connection, writing, now=NOW)
        await deck.keep()
        assert await deck.rows("SELECT * FROM writings") == []
        assert deck.leaks() == []


async def test_a_blog_that_may_be_kept_is_not_forgotten(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        await deck.store(OTHER, range(3))
        await deck.consent()
        assert await forget_blog(deck.database, OTHER, training_data_file=deck.file) == Purged()
        await deck.store(OWN, range(3))
        await deck.own(OWN)
        await deck.own()
        assert await forget_blog(deck.database, OWN, training_data_file=deck.file) == Purged()
        assert len(await deck.rows("SELECT * FROM posts")) == 6


@pytest.mark.parametrize("steps", range(1, 8))
async def test_a_purge_that_ends_anywhere_is_ended_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
):
    """The process ends before its n-th transaction, or the file, or the rebuilding of the database."""
    monkeypatch.setattr(retention, "_AT_ONCE", 4)
    async with open_deck(tmp_path) as deck:
        await deck.own(OWN)
        await deck.store(OTHER, range(12))
        await deck.store(OWN, range(3), words="lamp")
        await deck.dataset(*((OTHER, n) for n in range(12)), (OWN, 1))
        await deck.consent(revoked=True)
        left = steps

        def counted(work: Any) -> Any:
            def instead(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                left -= 1
                if not left:
                    raise Killed
                return work(*args, **kwargs)

            return instead

        with monkeypatch.context() as patch:
            patch.setattr(Database, "write", counted(Database.write))
            patch.setattr(Database, "rebuild", counted(Database.rebuild))
            patch.setattr(training_file, "put_files", counted(training_file.put_files))
            with pytest.raises(Killed):
                await forget_blog(deck.database, OTHER, training_data_file=deck.file)
        await deck.database.close()
        deck.bench.database = await Database.open(deck.database.path)
        try:
            await deck.keep()
            assert await deck.ids() == await deck.ids("examples") == []
            assert await deck.rows("SELECT uuid FROM blogs") == [(OWN,)]
            assert await deck.file_is_right()
            assert deck.leaks() == []
            assert await deck.marks() == set()
        finally:
            await deck.database.close()


# --- retention ----------------------------------------------------------------------------------------------------


async def test_posts_that_were_not_seen_for_days_go_and_the_next_download_begins_anew(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        await deck.own(OWN)
        await deck.consent()
        await deck.store(OWN, range(3), seen=0.0)
        await deck.store(OTHER, range(3), seen=NOW - 3 * DAY - 1)
        await deck.store(OTHER, range(3, 6), seen=NOW - 2 * DAY)
        assert await deck.keep() == NOW - 2 * DAY + 3 * DAY
        assert await deck.ids() == ["3", "4", "5"]
        assert len(await deck.ids(blog=OWN)) == 3
        states = dict(await deck.rows("SELECT uuid, complete || coalesce(newest_timestamp, '-') FROM blogs"))
        assert states == {OTHER: "0-", OWN: "19"}
        assert await deck.keep(NOW + DAY) is None
        assert await deck.ids() == []


async def test_a_download_under_way_goes_on_where_it_is(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        await deck.own(OWN)
        await deck.consent()
        await deck.store(OTHER, range(3), seen=0.0)
        async with deck.database.write() as connection:
            await connection.execute("UPDATE blogs SET cursor = 77")
        await deck.keep()
        assert await deck.ids() == []
        # It goes on; and whatever it finds, the next one reads what was removed.
        assert await deck.rows("SELECT complete, newest_timestamp, cursor FROM blogs") == [(0, None, 77)]


async def test_what_is_due_within_the_hour_goes_at_once_and_nothing_before_that(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        await deck.own(OWN)
        await deck.consent()
        await deck.store(OTHER, range(1), seen=NOW - 3 * DAY)
        await deck.store(OTHER, range(1, 2), seen=NOW - 3 * DAY + 3_500)
        await deck.store(OTHER, range(2, 3), seen=NOW - 3 * DAY + 3_700)
        assert await deck.keep(NOW - 1) == NOW - 1 + 900
        assert await deck.ids() == ["0", "1", "2"]
        assert await deck.keep() == NOW + 3_700
        assert await deck.ids() == ["2"]


async def test_the_text_in_a_draft_has_a_time_of_its_own(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        await deck.own(OWN)
        await deck.consent()
        await deck.store(OTHER, range(3), seen=0.0)
        old = await deck.draft(OTHER, 1, now=NOW - 3 * DAY - 1)
        young = await deck.draft(OTHER, 1, now=NOW - DAY)
        of_own = await deck.draft(OWN, 1, now=0.0)
        assert await deck.keep() == NOW + 2 * DAY

        async def text(draft: int) -> str:
            found = await drafts.get_draft(deck.database, draft)
            assert found is not None
            assert found.parent is not None
            return found.parent.text

        assert [await text(draft) for draft in (old, young, of_own)] == ["", f"{MARK} said", f"{MARK} said"]


async def test_a_blog_that_is_new_in_the_account_is_its_own(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        await deck.own(OWN)
        deck.bench.service.add_blog("other", uuid=OTHER)
        await deck.store(OTHER, range(3), seen=0.0)
        assert await deck.keep() is None
        assert len(await deck.ids()) == 3
        assert [blog.uuid for blog in await consents.own_blogs(deck.database)] == [OWN, OTHER]


async def test_the_account_is_asked_only_before_something_is_removed(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        await deck.own(OWN)
        await deck.store(OTHER, range(3))
        await deck.store(OWN, range(3), seen=0.0)
        await deck.keep()
        assert not deck.bench.service.requests
        await deck.keep(NOW + 3 * DAY)
        assert [request.path for request in deck.bench.service.requests] == ["/v2/user/info"]


@pytest.mark.parametrize("had_consent", [False, True])
async def test_while_tumblr_does_not_say_only_what_was_known_to_be_somebody_elses_goes(
    tmp_path: Path,
    had_consent: bool,
):
    async with open_deck(tmp_path) as deck:
        deck.bench.service.faults.schedule(Fault("GET", "/v2/user/info", "status", 401, times=1))
        await deck.own(OWN)
        await deck.store(OTHER, range(3), seen=0.0)
        if had_consent:
            await deck.consent()
        due = await deck.keep()
        assert (len(await deck.ids()), due) == ((0, None) if had_consent else (3, NOW + 900))
        assert await deck.keep(NOW + 901) is None
        assert await deck.ids() == []


async def test_nothing_is_removed_before_the_accounts_blogs_are_known(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        deck.bench.service.faults.schedule(Fault("GET", "/v2/user/info", "status", 401, times=1))
        await deck.store(OTHER, range(3), seen=0.0)
        await deck.consent()
        assert await deck.keep() == NOW + 900
        assert len(await deck.ids()) == 3
        await deck.keep(NOW + 901)
        assert await deck.ids() == []


async def test_copies_of_the_database_with_posts_of_others_go_when_they_are_as_old(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        await deck.own(OWN)
        copies = {}
        for name, blog, age in (("0002", OTHER, 4.0), ("0003", OTHER, 1.0), ("0004", OWN, 9.0), ("0005", "", 9.0)):
            copies[name] = copy = tmp_path / f"bot.sqlite3.before-{name}"
            with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
                if blog:
                    connection.execute("PRAGMA journal_mode = WAL")
                    connection.execute("CREATE TABLE posts (blog_uuid TEXT)")
                    connection.execute("INSERT INTO posts VALUES (?)", (blog,))
                else:
                    connection.execute("CREATE TABLE half_a_copy (x)")
            os.utime(copy, (NOW - age * DAY, NOW - age * DAY))
        assert await deck.keep() == NOW + 2 * DAY
        assert [name for name, copy in copies.items() if copy.exists()] == ["0003", "0004"]
        assert await deck.keep(NOW + 2 * DAY) is None
        assert [name for name, copy in copies.items() if copy.exists()] == ["0004"]


def backed_up(deck: Deck, name: str) -> Path:
    return make_backup(
        Settings(data_directory=deck.folder, training_data_file=deck.file, custom_prompts_file=deck.folder / "none"),
        deck.folder / "config.toml",
        deck.folder / "backups" / f"{name}.zip",
        clock=lambda: NOW,
    ).path


async def test_a_backup_goes_when_the_oldest_of_what_it_holds_of_others_must(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        await deck.own(OWN)
        await deck.consent()
        await deck.store(OWN, range(3), seen=0.0)
        of_own = backed_up(deck, "own")
        await deck.draft(OTHER, 1, now=NOW - DAY)
        of_parent = backed_up(deck, "parent")
        await deck.store(OTHER, range(3), seen=NOW - 2 * DAY)
        of_other = backed_up(deck, "other")
        (half := tmp_path / "backups" / "half.zip.unfinished").write_bytes(of_other.read_bytes()[:500])
        os.utime(half, (NOW, NOW))
        assert await deck.keep() == NOW + DAY
        assert of_other.exists()
        # The backup is a day old by now, but what is in it was seen three days ago.
        assert await deck.keep(NOW + DAY) == NOW + 2 * DAY
        assert (of_other.exists(), of_parent.exists(), half.exists()) == (False, True, True)
        await deck.keep(NOW + 3 * DAY)
        assert [path.name for path in (tmp_path / "backups").iterdir()] == [of_own.name]


async def test_a_backup_goes_with_the_blog_whose_consent_is_taken_back(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        await deck.own(OWN)
        await deck.store(OWN, range(3))
        of_own = backed_up(deck, "own")
        await deck.store(OTHER, range(3))
        of_other = backed_up(deck, "other")
        await deck.consent(revoked=True)
        await forget_blog(deck.database, OTHER, training_data_file=deck.file)
        assert (of_own.exists(), of_other.exists()) == (True, False)


async def test_what_was_purged_is_not_between_the_rows_of_a_backup(tmp_path: Path):
    async with open_deck(tmp_path) as deck:
        await deck.store(OTHER, range(200), longer=20)
        await delete_posts(deck.database, OTHER, None, training_data_file=deck.file)
        with zipfile.ZipFile(backed_up(deck, "clean")) as archive:
            assert MARK.encode() not in archive.read("bot.sqlite3")


async def test_nothing_is_kept_for_a_finished_job_that_was_shown(tmp_path: Path):
    """A job that was at work during a purge may have noted a post down after it."""
    async with open_deck(tmp_path) as deck:
        quoting = Progress(1, 2, "Done.", preview=Preview(MARK, "other"))
        async with deck.database.write() as connection:
            for kind in ("examples", "moderate"):
                job = await jobs.insert_job(
                    connection, kind, {}, requested_by="k", requester_id=1, channel_id=None, now=0.0
                )
                await jobs.finish_job(
                    connection, job.id, jobs.JobState.SUCCEEDED, progress=quoting, error=None, now=1.0
                )
            await jobs.set_message_final(connection, 1)
        await deck.keep()
        shown, unshown = [await jobs.get_job(deck.database, number) for number in (1, 2)]
        assert shown is not None
        assert unshown is not None
        assert (shown.progress, unshown.progress) == (replace(quoting, preview=None), quoting)


# --- the rule over all of it --------------------------------------------------------------------------------------

BLOGS = [OTHER, OWN]
PLACES = st.tuples(st.sampled_from(BLOGS), st.integers(0, 9))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("dataset"), st.lists(PLACES, unique=True, max_size=12)),
        st.tuples(st.just("delete"), st.sampled_from(BLOGS), st.lists(st.integers(0, 9), max_size=5)),
        st.tuples(st.just("delete all"), st.sampled_from(BLOGS)),
        st.tuples(st.just("killed"), st.sampled_from(BLOGS), st.lists(st.integers(0, 9), max_size=5)),
        st.tuples(st.just("screen"), st.lists(st.integers(0, 12), max_size=3)),
    ),
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
async def test_the_file_always_is_the_newest_datasets_training_examples(steps: list[tuple[Any, ...]]):
    with TemporaryDirectory() as folder:
        async with open_deck(Path(folder)) as deck:
            gone: set[tuple[str, str]] = set()
            newest = await deck.dataset((OTHER, 1), (OWN, 2), held_out=((OWN, 2),))
            for blog in BLOGS:
                await deck.store(blog, range(10))
            for step in steps:
                match step:
                    case ("dataset", places):
                        newest = await deck.dataset(*(p for p in places if (p[0], str(p[1])) not in gone))
                    case ("delete", blog, ids):
                        await delete_posts(deck.database, blog, [str(n) for n in ids], training_data_file=deck.file)
                        gone |= {(blog, str(n)) for n in ids}
                    case ("delete all", blog):
                        await delete_posts(deck.database, blog, None, training_data_file=deck.file)
                        gone |= {(blog, str(n)) for n in range(10)}
                    case ("killed", blog, ids):
                        async with deck.database.write() as connection:
                            await purge.purge_posts(connection, blog, [str(n) for n in ids])
                        gone |= {(blog, str(n)) for n in ids}
                        await repair_training_file(deck.database, deck.file)
                    case (_, positions):
                        async with deck.database.write() as connection:
                            await datasets.set_aside(
                                connection, newest, dict.fromkeys(positions, "hate"), model="m", now=1.0
                            )
                        await repair_training_file(deck.database, deck.file)
                assert await deck.file_is_right()
                kept = {(row[0], row[1]) for row in await deck.rows("SELECT blog_uuid, post_id FROM examples")}
                assert not kept & gone
                assert not {(row[0], row[1]) for row in await deck.rows("SELECT blog_uuid, id FROM posts")} & gone
                assert await facts.get_fact(deck.database, datasets.TRAINING_FILE_BEHIND) is None
