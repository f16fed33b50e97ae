"""The SQLite file: opening, migrating, writing one at a time, reading without waiting."""

import asyncio
import os
import shutil
import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import BotError
from bot.store import database
from bot.store.database import MIGRATIONS, Database, carry_through, split_statements

REPOSITORY = Path(__file__).parents[2]
SHIPPED = len(list(MIGRATIONS.glob("*.sql")))


async def values(db: Database) -> dict[str, str]:
    async with db.read() as connection:
        rows = await connection.execute_fetchall("SELECT name, value FROM facts")
    return {row["name"]: row["value"] for row in rows}


async def put(db: Database, name: str, value: str = "x") -> None:
    async with db.write() as connection:
        await connection.execute("INSERT INTO facts VALUES (?, ?)", (name, value))


def with_one_more(folder: Path, script: str) -> Path:
    """A migrations folder with one more than those that ship."""
    shutil.copytree(MIGRATIONS, folder)
    (folder / f"{SHIPPED + 1:04}_next.sql").write_text(script)
    return folder


def plain(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path, isolation_level=None))


# --- opening --------------------------------------------------------------------------------------------------


async def test_a_fresh_database_has_the_newest_shape_and_is_private(db, path):
    async with db.write() as connection:
        await connection.execute("INSERT INTO facts VALUES ('a', 'b')")
        settings = [
            next(iter(await connection.execute_fetchall(f"PRAGMA {name}")))[0]
            for name in ("user_version", "journal_mode", "synchronous", "foreign_keys")
        ]
    assert settings == [SHIPPED, "wal", 2, 1]
    assert {file.name for file in path.parent.iterdir()} == {
        "bot.sqlite3",
        "bot.sqlite3-wal",
        "bot.sqlite3-shm",
        "bot.sqlite3.lock",
    }
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


async def test_an_open_file_mode_is_closed(path):
    await (await Database.open(path)).close()
    path.chmod(0o644)
    await (await Database.open(path)).close()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_what_was_written_is_there_after_opening_again(path):
    db = await Database.open(path)
    await put(db, "a")
    await db.close()
    db = await Database.open(path)
    assert await values(db) == {"a": "x"}
    await db.close()
    assert not list(path.parent.glob("*before*"))


async def test_closing_twice_is_fine_and_late_use_is_an_error(path):
    db = await Database.open(path)
    await db.close()
    await db.close()
    with pytest.raises(ValueError, match="no active connection"):
        await values(db)
    with pytest.raises(ValueError, match="no active connection"):
        await put(db, "late")


async def test_closing_waits_for_the_transaction_under_way(path):
    db = await Database.open(path)
    async with db.write() as connection:
        closing_task = asyncio.create_task(db.close())
        await asyncio.sleep(0)
        await connection.execute("INSERT INTO facts VALUES ('a', 'x')")
        assert not closing_task.done()
    await closing_task
    db = await Database.open(path)
    assert await values(db) == {"a": "x"}
    await db.close()


# --- bad files ------------------------------------------------------------------------------------------------


async def refusal(path: Path) -> str:
    with pytest.raises(BotError) as caught:
        await Database.open(path)
    return str(caught.value)


async def test_a_file_that_is_no_database(path):
    path.parent.mkdir()
    path.write_bytes(b"These are my shopping lists. " * 100)
    assert "is damaged" in await refusal(path)
    assert path.read_bytes().startswith(b"These are my shopping lists.")


async def test_a_file_that_was_overwritten_in_the_middle(path):
    db = await Database.open(path)
    for number in range(200):
        await put(db, str(number), "x" * 1000)
    await db.close()
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)

    async def use():
        db = await Database.open(path)
        try:
            await values(db)
        finally:
            await db.close()

    with pytest.raises(BotError, match="is damaged"):
        await use()


async def test_the_database_of_another_program(path):
    path.parent.mkdir()
    with plain(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    assert "other program" in await refusal(path)
    with plain(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("bookmarks",)]


async def test_a_database_newer_than_the_program(path):
    await (await Database.open(path)).close()
    with plain(path) as connection:
        connection.execute(f"PRAGMA user_version = {SHIPPED + 1}")
    assert "newer version" in await refusal(path)


async def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")
    assert "cannot be written" in await refusal(tmp_path / "data" / "bot.sqlite3")


async def test_a_folder_where_the_file_should_be(path):
    path.mkdir(parents=True)
    assert "cannot be written" in await refusal(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not stop root")
async def test_a_folder_without_permission(path):
    path.parent.mkdir(mode=0o500)
    assert "cannot be written" in await refusal(path)


async def test_a_refused_file_is_free_again(path):
    path.parent.mkdir()
    path.write_bytes(b"no database at all, and long enough for a header" * 10)
    await refusal(path)
    path.unlink()
    await (await Database.open(path)).close()


async def test_a_file_held_by_another_program(path, monkeypatch):
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.05)
    path.parent.mkdir()
    with plain(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "Another program holds" in await refusal(path)
    db = await Database.open(path)
    with plain(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BotError, match="Another program holds"):
            await put(db, "a")
        assert await values(db) == {}
    await put(db, "a")
    await db.close()


async def test_a_full_disk(db):
    await db._writer.execute("PRAGMA max_page_count = 100")
    with pytest.raises(BotError, match="is full"):
        await put(db, "a", "x" * 1_000_000)
    await db._writer.execute("PRAGMA max_page_count = 100000")
    await put(db, "a", "fits")
    assert await values(db) == {"a": "fits"}


HOLDER = """
import asyncio, sys
from pathlib import Path
from bot.store.database import Database

async def main():
    await Database.open(Path(sys.argv[1]))
    print("open", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_only_one_process_may_use_it_and_a_killed_one_lets_go(path):
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(path), stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY
    )
    try:
        assert await holder.stdout.readline() == b"open\n"
        assert "Another bot is already using" in await refusal(path)
    finally:
        holder.kill()
        await holder.communicate()
    await (await Database.open(path)).close()


async def test_only_once_in_one_process_too(db, path):
    assert "Another bot is already using" in await refusal(path)
    await put(db, "still works")


# --- migrations -----------------------------------------------------------------------------------------------


async def test_a_migration_keeps_the_data_and_a_copy(path, tmp_path):
    db = await Database.open(path)
    await put(db, "a")
    await db.close()
    newer = with_one_more(tmp_path / "newer", "CREATE TABLE added (a); INSERT INTO added VALUES (7);")
    db = await Database.open(path, migrations=newer)
    assert await values(db) == {"a": "x"}
    async with db.read() as connection:
        assert [row["a"] for row in await connection.execute_fetchall("SELECT a FROM added")] == [7]
    await db.close()

    copy = path.with_name(f"bot.sqlite3.before-{SHIPPED + 1:04}")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert not list(path.parent.glob("*.unfinished"))
    with plain(copy) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SHIPPED,)
        assert connection.execute("SELECT name, value FROM facts").fetchall() == [("a", "x")]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_the_copy_holds_what_only_the_log_has(path, tmp_path):
    """After a kill the newest rows are in the -wal file, which a plain copy of the main file would miss."""
    db = await Database.open(path)
    await put(db, "a")
    crashed = tmp_path / "crashed" / "bot.sqlite3"
    crashed.parent.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{crashed}{suffix}")
    await db.close()
    db = await Database.open(crashed, migrations=with_one_more(tmp_path / "newer", "CREATE TABLE added (a);"))
    await db.close()
    with plain(crashed.with_name(f"bot.sqlite3.before-{SHIPPED + 1:04}")) as connection:
        assert connection.execute("SELECT name FROM facts").fetchall() == [("a",)]


async def test_a_failing_migration_leaves_nothing_behind(path, tmp_path):
    db = await Database.open(path)
    await put(db, "a")
    await db.close()
    newer = with_one_more(tmp_path / "newer", "CREATE TABLE added (a); UPDATE facts SET value = 'y'; SELECT nonsense;")
    with pytest.raises(sqlite3.OperationalError, match="nonsense"):
        await Database.open(path, migrations=newer)
    db = await Database.open(path)
    assert await values(db) == {"a": "x"}
    async with db.read() as connection:
        assert list(await connection.execute_fetchall("SELECT * FROM sqlite_schema WHERE name = 'added'")) == []
    await db.close()


BLOG_AND_POST = (
    "INSERT INTO blogs (uuid, name, updated_at) VALUES ('t:1', 'a', 0)",
    "INSERT INTO posts VALUES ('t:1', '5', 1, '', '', '[]', NULL, x'', 0)",
)


async def test_a_migration_may_rebuild_a_table_that_others_point_to(path, tmp_path):
    db = await Database.open(path)
    async with db.write() as connection:
        for statement in BLOG_AND_POST:
            await connection.execute(statement)
    await db.close()
    rebuild = """
        CREATE TABLE blogs_new AS SELECT * FROM blogs;
        DROP TABLE blogs;
        CREATE TABLE blogs (uuid TEXT PRIMARY KEY, name TEXT);
        INSERT INTO blogs SELECT uuid, name FROM blogs_new;
        DROP TABLE blogs_new;
    """
    db = await Database.open(path, migrations=with_one_more(tmp_path / "newer", rebuild))
    async with db.read() as connection:
        assert [row["id"] for row in await connection.execute_fetchall("SELECT id FROM posts")] == ["5"]
    await db.close()


async def test_a_migration_that_breaks_a_reference_is_undone(path, tmp_path):
    db = await Database.open(path)
    async with db.write() as connection:
        for statement in BLOG_AND_POST:
            await connection.execute(statement)
    await db.close()
    with pytest.raises(RuntimeError, match="point nowhere"):
        await Database.open(path, migrations=with_one_more(tmp_path / "newer", "DELETE FROM blogs;"))
    with plain(path) as connection:
        assert connection.execute("SELECT count(*) FROM blogs").fetchone() == (1,)
        assert connection.execute("PRAGMA user_version").fetchone() == (SHIPPED,)


async def test_migrations_have_no_gap(path, tmp_path):
    folder = tmp_path / "gap"
    shutil.copytree(MIGRATIONS, folder)
    (folder / f"{SHIPPED + 2:04}_next.sql").write_text("SELECT 1;")
    with pytest.raises(RuntimeError, match="without a gap"):
        await Database.open(path, migrations=folder)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("A; B;", ["A;", "B;"]),
        ("CREATE TABLE a (b -- one; two\n); B;", ["CREATE TABLE a (b -- one; two\n);", "B;"]),
        ("INSERT INTO a VALUES ('x;y', \"p;q\"); B;", ["INSERT INTO a VALUES ('x;y', \"p;q\");", "B;"]),
        ("/* a; b */ A; B;", ["/* a; b */ A;", "B;"]),
        (
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; DELETE FROM c; END; B;",
            ["CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; DELETE FROM c; END;", "B;"],
        ),
    ],
)
def test_statements_are_split_where_they_end(script, expected):
    assert [statement.strip() for statement in split_statements(script) if statement.strip(" ;")] == expected


@given(st.lists(st.sampled_from(["A", "'", "'x;y'", ";", " ", "\n", "-- c;\n", "/*;*/", '"', "BEGIN", "END"])))
def test_splitting_loses_nothing(pieces):
    script = "".join(pieces)
    assert "".join(split_statements(script)) == f"{script};"


async def test_a_comment_may_come_last(path, tmp_path):
    newer = with_one_more(tmp_path / "newer", "CREATE TABLE added (a);\n-- the end; really\n")
    await (await Database.open(path, migrations=newer)).close()
    with plain(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SHIPPED + 1,)


# --- reading and writing --------------------------------------------------------------------------------------


async def test_a_read_ends_while_a_write_is_open_and_sees_what_was_before(db):
    async with db.write() as connection:
        await connection.execute("INSERT INTO facts VALUES ('a', 'x')")
        assert await asyncio.gather(*(values(db) for _ in range(10))) == [{}] * 10
    assert await values(db) == {"a": "x"}


async def test_a_read_is_one_moment(db):
    async with db.read() as connection:
        before = list(await connection.execute_fetchall("SELECT * FROM facts"))
        await put(db, "a")
        after = list(await connection.execute_fetchall("SELECT * FROM facts"))
    assert before == after == []
    assert await values(db) == {"a": "x"}


async def test_a_read_cannot_write(db):
    async with db.read() as connection:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await connection.execute("INSERT INTO facts VALUES ('a', 'x')")
    assert await values(db) == {}


async def test_writes_come_one_after_the_other(db):
    await put(db, "n", "0")

    async def add_one():
        async with db.write() as connection:
            ((value,),) = await connection.execute_fetchall("SELECT value FROM facts")
            await asyncio.sleep(0)
            await connection.execute("UPDATE facts SET value = ?", (str(int(value) + 1),))

    await asyncio.gather(*(add_one() for _ in range(25)))
    assert await values(db) == {"n": "25"}


async def test_an_exception_undoes_the_whole_block(db):
    async def fails():
        async with db.write() as connection:
            await connection.execute("INSERT INTO facts VALUES ('a', 'x')")
            raise KeyError

    with pytest.raises(KeyError):
        await fails()
    with pytest.raises(sqlite3.IntegrityError):
        async with db.write() as connection:
            await connection.executemany("INSERT INTO facts VALUES (?, 'x')", [("b",), ("b",)])
    assert await values(db) == {}
    await put(db, "c")
    assert await values(db) == {"c": "x"}


async def test_a_commit_that_fails_undoes_the_whole_block(db):
    async def post_without_blog():
        async with db.write() as connection:
            await connection.execute("PRAGMA defer_foreign_keys = ON")
            await connection.execute(BLOG_AND_POST[1])

    with pytest.raises(sqlite3.IntegrityError):
        await post_without_blog()
    await put(db, "next")
    assert await values(db) == {"next": "x"}


async def test_errors_of_the_block_pass_as_they_are(db):
    """A TimeoutError is an OSError, and says nothing about the database."""
    with pytest.raises(TimeoutError):
        async with db.write():
            raise TimeoutError


async def test_a_write_inside_a_write_is_refused(db):
    async with db.write() as connection:
        with pytest.raises(RuntimeError, match="wait for itself"):
            await put(db, "inner")
        await connection.execute("INSERT INTO facts VALUES ('outer', 'x')")
    assert await values(db) == {"outer": "x"}


class Gate:
    """Holds a connection's thread until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def wait(self, *_: object) -> int:
        self.reached.set()
        assert self.opened.wait(30)
        return 1

    async def is_reached(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, 30)


async def test_a_write_cancelled_while_its_statement_runs_is_undone(db):
    gate = Gate()
    await db._writer.create_function("gate", 0, gate.wait)

    async def write():
        async with db.write() as connection:
            await connection.execute("INSERT INTO facts VALUES ('first', 'x')")
            await connection.execute("INSERT INTO facts SELECT 'second', gate()")

    task = asyncio.create_task(write())
    await gate.is_reached()
    task.cancel()
    next_one = asyncio.create_task(put(db, "next"))
    await asyncio.sleep(0)
    task.cancel()  # a second one does not make the rollback any shorter
    await asyncio.sleep(0.01)
    assert not task.done()
    gate.opened.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await next_one
    assert await values(db) == {"next": "x"}


async def test_a_write_cancelled_while_it_waits_for_its_turn_changes_nothing(db):
    async with db.write() as connection:
        waiting = asyncio.create_task(put(db, "waiting"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        await connection.execute("INSERT INTO facts VALUES ('first', 'x')")
    await put(db, "next")
    assert await values(db) == {"first": "x", "next": "x"}


async def test_a_write_cancelled_at_its_begin_is_undone(db):
    gate = Gate()
    await db._writer.set_trace_callback(lambda sql: sql.startswith("BEGIN") and gate.wait())
    task = asyncio.create_task(put(db, "a"))
    await gate.is_reached()
    task.cancel()
    gate.opened.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await put(db, "next")
    assert await values(db) == {"next": "x"}


async def test_a_write_cancelled_in_its_commit_is_committed_before_the_next_begins(db):
    gate = Gate()
    await db._writer.set_trace_callback(lambda sql: sql == "COMMIT" and gate.wait())
    task = asyncio.create_task(put(db, "a"))
    await gate.is_reached()
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    assert db._turn.locked()
    gate.opened.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await put(db, "next")
    assert await values(db) == {"a": "x", "next": "x"}


async def test_writes_cancelled_anywhere_leave_whole_transactions(db):
    """Cancelled after any number of turns of the loop, a transaction of two rows leaves both or none."""

    async def pair(number: int):
        async with db.write() as connection:
            await connection.execute("INSERT INTO facts VALUES (?, 'x')", (f"{number}a",))
            await connection.execute("INSERT INTO facts VALUES (?, 'x')", (f"{number}b",))

    for number in range(60):
        task = asyncio.create_task(pair(number))
        for _ in range(number % 20):
            await asyncio.sleep(0)
        await asyncio.sleep(number % 7 / 5000)
        task.cancel()
        await asyncio.wait({task})
        assert not db._turn.locked()
    names = set(await values(db))
    assert {name[:-1] for name in names if name.endswith("a")} == {name[:-1] for name in names if name.endswith("b")}
    await put(db, "next")


async def test_a_cancelled_read_gives_back_a_connection_that_sees_the_present(db):
    await put(db, "a")
    gates = [Gate(), Gate()]
    for reader in list(db._readers._queue):
        await reader.create_function("gate", 1, lambda number: gates[number].wait())

    async def slow(number: int):
        async with db.read() as connection, connection.execute("SELECT gate(?) FROM facts", (number,)) as cursor:
            await cursor.fetchone()

    tasks = [asyncio.create_task(slow(number)) for number in (0, 1)]
    for gate in gates:
        await gate.is_reached()
    for task in tasks:
        task.cancel()
    for gate in gates:
        gate.opened.set()
    await asyncio.wait(tasks)
    await put(db, "b")
    assert await asyncio.gather(values(db), values(db)) == [{"a": "x", "b": "x"}] * 2


async def test_carry_through_ends_the_work_and_then_tells_of_the_cancellation():
    ended = asyncio.Event()
    begun = asyncio.Event()
    may_end = asyncio.Event()

    async def work():
        begun.set()
        await may_end.wait()
        ended.set()
        raise KeyError("lost")

    task = asyncio.create_task(carry_through(work()))
    await begun.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()

    async def quick():
        return 5

    assert await carry_through(quick()) == 5
