"""`python -m tests.store.make_version`: the database of this version of the bot, as a script of SQL in `versions/`.

The bot lives a little in the small world, until there is something of everything: posts, a dataset, voices, drafts in
most states, one that waits for its upload, a job that was under way. Nothing but invented posts is in it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from bot.demo.faults import Fault
from bot.demo.world import World
from tests.cogs.acts import QUICK, TITLES, becomes, hurry_models, shown_with, small_world, stage, text_post

VERSIONS = Path(__file__).parent / "versions"
POSTS = 10
FLAGGED = "storm"
LIMIT = {"meta": {"status": 429, "msg": "Limit Exceeded"}, "response": []}


async def live(folder: Path) -> None:
    """Let a bot live in `folder`, and stop it in the middle of something."""
    async with small_world(folder, posts=POSTS, pace=replace(QUICK, tumblr_deadline=20.0)) as world:
        hurry_models(world, deadline=20.0)
        world.openai.flagged_words = {FLAGGED: "violence"}
        text = f"a {FLAGGED} took the shed. the gull has the shed now."
        world.tumblr.add_post(world.tumblr.blogs[world.blog_name], text_post(text, POSTS))
        await _decide(world)
        for command in ("examples", "moderate", "finetune"):
            await stage(world, command)
        # The last approval waits for Tumblr, and the last job for an answer, when the bot stops.
        world.tumblr.faults.schedule(
            Fault("POST", "*/posts", "status", 429, LIMIT, {"Retry-After": "600"}),
            Fault("GET", "*", "hang", times=1000),
        )
        await world.owner.click(world.drafts()[5], label="Approve")
        await becomes(world, world.drafts()[5], "limit")
        await world.owner.slash(world.channel, "download")
        await world.until(lambda: len(shown_with(world, TITLES["download"])) == 2)


async def _decide(world: World) -> None:
    await stage(world, "download")
    await world.owner.slash(world.channel, "generate", count=6)
    await world.finished(TITLES["generate"], seconds=90)
    approved, edited, rejected, replaced, unknown, _ = await world.drafts_shown(6)
    await world.owner.click(approved, label="Approve")
    await becomes(world, approved, "Saved as a draft")
    form = await world.owner.click(edited, label="Edit")
    await world.owner.submit_modal(form, {"text-1": "the light is lit.", "tags": "edited by hand"})
    await becomes(world, edited, "the light is lit.")
    await world.reviewer.click(rejected, label="Reject")
    await becomes(world, rejected, "It will not be posted")
    await world.owner.click(replaced, label="Regenerate")
    await world.until(lambda: len(world.drafts()) == 7)
    world.tumblr.faults.schedule(Fault("POST", "*/posts", "status", 503))
    await world.owner.click(unknown, label="Approve")
    await becomes(world, unknown, "was not found")


def as_script(path: Path) -> str:
    """The whole of a database as SQL that people can read, its number included."""
    with closing(sqlite3.connect(path)) as connection:
        ((version,),) = connection.execute("PRAGMA user_version").fetchall()
        schema = connection.execute(
            "SELECT type = 'table', name, sql FROM sqlite_schema WHERE sql NOT NULL AND name <> 'sqlite_sequence'"
            " ORDER BY rowid"
        ).fetchall()
        lines = [f"{sql};" for is_table, _, sql in schema if is_table]
        for table in [name for is_table, name, _ in schema if is_table]:
            lines += _inserts(connection, table)
        lines += ["DELETE FROM sqlite_sequence;", *_inserts(connection, "sqlite_sequence")]
        lines += [f"{sql};" for is_table, _, sql in schema if not is_table]
    return "\n".join([*lines, f"PRAGMA user_version = {version};", ""])


def _inserts(connection: sqlite3.Connection, table: str) -> list[str]:
    rows = connection.execute(f"SELECT * FROM {table} ORDER BY rowid")  # noqa: S608 - our own names
    return [f"INSERT INTO {table} VALUES ({', '.join(map(_literal, row))});" for row in rows]  # noqa: S608 - as above


def _literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bytes():  # JSON as it came
            return f"CAST({_literal(value.decode('utf-8'))} AS BLOB)"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case _:
            return repr(value)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="version-") as folder:
        asyncio.run(live(Path(folder)))
        database = Path(folder) / "data" / "bot.sqlite3"
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("DELETE FROM judgements WHERE rowid > 3")  # they are long, and all alike
        script = as_script(database)
    version = int(script.rpartition("PRAGMA user_version = ")[2].strip("\n;"))
    VERSIONS.mkdir(exist_ok=True)
    target = VERSIONS / f"{version:04}.sql"
    target.write_text(script, encoding="utf-8")
    print(f"The database of version {version} is in {target}.")


if __name__ == "__main__":
    main()
