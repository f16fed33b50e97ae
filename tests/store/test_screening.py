"""What was said of texts and decided about examples, as rows; and databases from before there were decisions."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from bot.drafts import Person
from bot.examples import Example
from bot.screening import Act, BatchState, Decision, Judgement
from bot.store import jobs, purge
from bot.store import screening as store
from bot.store.database import MIGRATIONS, Database
from bot.store.jobs import JobState
from tests.store.test_datasets import add

KEEPER = Person(1, "keeper")
URL = "https://one.example/v1"


async def remember(db: Database, model: str = "judge", **found: Judgement) -> None:
    async with db.write() as connection:
        await store.add_judgements(connection, model, found, now=1.0)


async def test_judgements_are_kept_by_text_and_model(db: Database):
    hate = Judgement(True, ("hate",), {"hate": 0.9, "violence": 0.1})
    await remember(db, a=hate, b=Judgement(False, (), {"hate": 0.1}), c=Judgement(True))
    await remember(db, "another", d=Judgement(False))
    assert await store.judgements(db, ["a", "b", "c", "d"], "judge") == {
        "a": hate,
        "b": Judgement(False, (), {"hate": 0.1}),
        "c": Judgement(True),
    }
    assert await store.judged(db, ["a", "d", "e"], "judge") == {"a"}
    assert await store.judged(db, ["a", "d", "e"], None) == {"a", "d"}
    assert await store.judged(db, [], "judge") == set()
    assert await store.judged(db, [*map(str, range(40_000)), "a"], "judge") == {"a"}
    await remember(db, a=Judgement(False))
    assert await store.judgements(db, ["a"], "judge") == {"a": Judgement(False)}


async def test_examples_come_page_by_page_and_by_position(db: Database):
    examples = [Example("Write.", str(number), 1, "t:b", str(number)) for number in range(2_500)]
    dataset = await add(db, examples)
    async with db.write() as connection:
        await purge.purge_posts(connection, "t:b", ["3"])
    seen: list[str] = []
    position = -1
    while page := await store.texts_after(db, dataset, position):
        position = page[-1].position
        seen += [each.assistant for each in page]
        assert all(str(each.position) == each.assistant for each in page)
    assert seen == [str(number) for number in range(2_500) if number != 3]
    found = await store.texts_at(db, dataset, list(range(2_000)))
    assert [each.position for each in found] == [number for number in range(2_000) if number != 3]
    assert await store.example_count(db, dataset) == 2_499


async def test_flags_are_those_of_the_last_time_and_go_with_their_example(db: Database):
    dataset = await add(db)
    async with db.write() as connection:
        await store.replace_flags(connection, dataset, {0: {"hate": 0.9}, 1: {"x": None}})
        await store.replace_flags(connection, dataset, {2: {"hate": 0.8}, 1: {"violence": 0.5}, 77: {"hate": 1.0}})
    assert list((await store.flags(db, dataset)).items()) == [(1, {"violence": 0.5}), (2, {"hate": 0.8})]
    async with db.write() as connection:
        await purge.purge_posts(connection, "t:b", ["2"])
    assert await store.flags(db, dataset) == {2: {"hate": 0.8}}


async def test_decisions_come_back_as_they_were_oldest_first(db: Database):
    first, second = await add(db), await add(db, digest="e")
    said = [
        Decision(KEEPER, Act.KEEP, 1.0, position=3),
        Decision(Person(2, "odile"), Act.DROP, 2.0, category="hate"),
        Decision(KEEPER, Act.THRESHOLD, 3.0, value=0.5),
        Decision(KEEPER, Act.SKIP, 4.0, carried_from=1),
    ]
    async with db.write() as connection:
        await store.add_decisions(connection, first, said)
    found = await store.decisions(db, first)
    assert [each.id for each in found] == [1, 2, 3, 4]
    assert [(each.person, each.act, each.at, each.position, each.category, each.value, each.carried_from) for each in found] == [
        (each.person, each.act, each.at, each.position, each.category, each.value, each.carried_from) for each in said
    ]  # fmt: skip
    assert await store.decisions(db, second) == []
    assert await store.decided_datasets(db, before=second) == [first]
    assert await store.decided_datasets(db, before=first) == []


async def job_of(db: Database, state: JobState) -> int:
    async with db.write() as connection:
        job = await jobs.insert_job(
            connection, "moderate", {}, requested_by="k", requester_id=1, channel_id=None, now=0.0
        )
        if state is not JobState.RUNNING:
            await jobs.finish_job(connection, job.id, state, progress=None, error=None, now=1.0)
    return job.id


async def test_batches_that_no_job_works_on_are_left(db: Database):
    made: dict[JobState, int] = {}
    for state in (JobState.FAILED, JobState.CANCELLED, JobState.SUCCEEDED, JobState.RUNNING):
        made[state] = await job_of(db, state)
        async with db.write() as connection:
            await store.add_batch(
                connection, job_id=made[state], base_url=URL, model="m", name=state, hashes=["a", "b"], now=0.0
            )
    left = await store.left_batches(db, URL)
    assert [(batch.name, stopped) for batch, stopped in left] == [
        ("failed", False), ("cancelled", True), ("succeeded", False),
    ]  # fmt: skip
    assert await store.left_batches(db, "https://two.example/v1") == []
    failed = left[0][0]
    assert (failed.hashes, failed.state, failed.input_file) == (("a", "b"), BatchState.PLANNED, None)
    running = made[JobState.RUNNING]
    async with db.write() as connection:
        await store.adopt_batches(connection, [failed], running)
    assert [batch.name for batch in await store.batches_of(db, running)] == ["failed", "running"]
    async with db.write() as connection:
        assert not await store.save_batch(connection, failed), "it belongs to another job by now"


async def test_a_database_from_before_keeps_what_was_set_aside(tmp_path: Path):
    old = tmp_path / "old"
    old.mkdir()
    for file in sorted(MIGRATIONS.glob("*.sql"))[:3]:
        shutil.copy(file, old)
    path = tmp_path / "bot.sqlite3"
    db = await Database.open(path, migrations=old)
    await db.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO datasets (id, created_at, digest, developer_message, user_message, settings, screened_with,"
            " screened_at) VALUES (1, 0, 'd', 'dev', 'Write.', '{}', 'judge', 1)"
        )
        for position, reason in enumerate(
            [None, "hate", "harassment, violence/graphic", 'odd "name"', "could not be judged"]
        ):
            connection.execute(
                "INSERT INTO examples (dataset_id, position, user, assistant, tokens, set_aside)"
                " VALUES (1, ?, 'Write.', ?, 3, ?)",
                (position, f"text {position}", reason),
            )
        connection.commit()
    db = await Database.open(path)
    try:
        assert await store.flags(db, 1) == {
            1: {"hate": None},
            2: {"harassment": None, "violence/graphic": None},
            3: {"odd name": None},
            4: {"could not be judged": None},
        }
    finally:
        await db.close()
