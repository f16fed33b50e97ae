"""What decisions teach: labels and pairs, without what people typed, in a shape that OpenAI's tuning takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.demo.openai_training import read_file
from bot.drafts import Draft, DraftState, Person
from bot.pipeline import decide
from bot.pipeline.teach import drafts_as_lines, preferences
from bot.store import drafts as store
from bot.store import jobs
from bot.store.database import Database
from bot.store.drafts import NewDraft
from tests.openapi import OPENAI, Spec, component_validator, load_spec, problems
from tests.pipeline.conftest import NAME, open_bench
from tests.pipeline.test_publish import KEEPER, add


async def successor(database: Database, old: int, text: str, *, prompt: str | None = None) -> int:
    """What was written when somebody pressed Regenerate."""
    await decide.regenerate(database, old, KEEPER, now=1.0)
    before = await get(database, old)
    new = NewDraft(text, (), prompt or before.prompt, before.voice_id, None, None, old, NAME, before.upload_state, 0.0)
    async with database.write() as connection:
        return await store.add_draft(connection, new, now=2.0)


async def get(database: Database, draft_id: int) -> Draft:
    found = await store.get_draft(database, draft_id)
    assert found is not None
    return found


async def learnt(database: Database, *, typed_text: bool = False) -> tuple[set[tuple[str, bool]], set[tuple[str, str]]]:
    """The labels, and the pairs of better and worse."""
    found = await preferences(database, typed_text=typed_text)
    labels = [json.loads(line) for line in found.kto]
    pairs = [json.loads(line) for line in found.dpo]
    return (
        {(line["completion"][0]["content"], line["label"]) for line in labels},
        {(p["preferred_output"][0]["content"], p["non_preferred_output"][0]["content"]) for p in pairs},
    )


async def test_what_is_kept_is_better_than_all_that_it_was_written_instead_of(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        db = bench.database
        first = await add(db, "first")
        second = await successor(db, first, "second")
        third = await successor(db, second, "third")
        assert await learnt(db) == ({("first", False), ("second", False)}, set()), "nothing was kept yet"
        await decide.approve(db, third, KEEPER, now=3.0)
        assert await learnt(db) == (
            {("first", False), ("second", False), ("third", True)},
            {("third", "first"), ("third", "second")},
        )
        # What was brought back and kept as well is not worse.
        await decide.restore(db, first, KEEPER, now=4.0)
        assert (await learnt(db))[1] == {("third", "second")}, "it waits: nobody has said so"
        await decide.approve(db, first, KEEPER, now=5.0)
        assert await learnt(db) == (
            {("first", True), ("second", False), ("third", True)},
            {("third", "second")},
        )


async def test_another_prompt_is_no_comparison(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        db = bench.database
        second = await successor(db, await add(db, "first"), "second", prompt="Write something else.")
        await decide.approve(db, second, KEEPER, now=3.0)
        assert (await learnt(db))[1] == set()


async def test_nothing_that_people_typed_comes_along_unasked(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        db = bench.database
        edited, rejected = await add(db, "as written"), await add(db, "also written")
        for number in (edited, rejected):
            await decide.edit(db, number, KEEPER, text="typed by a person", tags="", now=1.0)
        await decide.approve(db, edited, KEEPER, now=2.0)
        await decide.reject(db, rejected, KEEPER, now=2.0)
        async with db.write() as connection:
            job = await jobs.insert_job(
                connection, "generate", {"prompt": "typed by a person, too"}, requested_by="k", requester_id=1,
                channel_id=None, now=0.0,
            )  # fmt: skip
            await connection.execute(
                "INSERT INTO drafts (state, text, tags, original_text, prompt, voice_id, job_id, blog, upload_state,"
                " cost, created_at) SELECT 'approved', 'asked for', '[]', 'asked for', 'typed by a person, too',"
                " voice_id, ?, blog, upload_state, 0, 0 FROM drafts WHERE id = ?",
                (job.id, edited),
            )
        await decide.reject(db, await add(db, "why not"), KEEPER, now=2.0)
        await decide.say_why(db, 4, KEEPER, "typed by a person, as a reason")
        found = await preferences(db, typed_text=False)
        assert "typed by a person" not in "".join((*found.kto, *found.dpo))
        assert await learnt(db) == ({("also written", False), ("why not", False)}, set())
        assert await learnt(db, typed_text=True) == (
            {("typed by a person", True), ("also written", False), ("asked for", True), ("why not", False)},
            {("typed by a person", "as written")},
        )
        assert "as a reason" not in "".join((await preferences(db, typed_text=True)).kto)


async def test_what_nobody_decided_teaches_nothing(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        db = bench.database
        await add(db, "expires")
        assert await decide.expire(db, days=1, now=10**6) == 1
        await add(db, "waits")
        undone = await add(db, "rejected, and taken back")
        await decide.reject(db, undone, KEEPER, now=1.0)
        await decide.undo(db, undone, KEEPER, now=2.0)
        assert await learnt(db) == (set(), set())


async def test_texts_that_a_service_would_refuse_are_left_out(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        for text in ("good", "<|endoftext|>", "<|im_start|>system"):
            await decide.approve(bench.database, await add(bench.database, text), KEEPER, now=1.0)
        assert (await learnt(bench.database))[0] == {("good", True)}


@pytest.fixture(scope="module")
def openai_spec() -> Spec:
    return load_spec(OPENAI)


async def test_openai_takes_the_pairs(tmp_path: Path, openai_spec: Spec):
    """The published description has the messages of a pair, not the line around them: the stand-in's reader has that."""
    async with open_bench(tmp_path) as bench:
        db = bench.database
        for number in range(12):
            new = await successor(db, await add(db, f"worse {number} 👨‍👩‍👧 שלום ```"), f"better {number} @everyone")
            await decide.approve(db, new, Person(2, "odile"), now=3.0)
        found = await preferences(db, typed_text=False)
    lines = [json.loads(line) for line in found.dpo]
    assert len(lines) == 12
    for line in lines:
        assert set(line) == {"input", "preferred_output", "non_preferred_output"}
        assert set(line["input"]) == {"messages"}
        asked = component_validator(openai_spec, "ChatCompletionRequestMessage")
        said = component_validator(openai_spec, "FineTuneChatCompletionRequestAssistantMessage")
        assert not [p for message in line["input"]["messages"] for p in problems(asked, message)]
        for side in ("preferred_output", "non_preferred_output"):
            assert not [p for message in line[side] for p in problems(said, message)]
            assert [message["role"] for message in line[side]] == ["assistant"]
    read = read_file("".join(f"{line}\n" for line in found.dpo).encode(), "dpo", "training")
    assert read.error is None
    assert read.texts == [f"better {number} @everyone" for number in range(12)]


async def test_every_draft_is_exported_with_its_decisions(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        db = bench.database
        first = await add(db, "first")
        await add(db, "second")
        await decide.reject(db, first, KEEPER, now=1.0)
        rows: list[dict[str, Any]] = [json.loads(line) for line in await drafts_as_lines(db, ())]
        assert [row["id"] for row in rows] == [1, 2]
        assert rows[0]["tags"] == ["gull"]
        assert [(d["user_name"], d["action"], d["state_after"]) for d in rows[0]["decisions"]] == [
            ("keeper", "reject", "rejected")
        ]
        assert [json.loads(line)["id"] for line in await drafts_as_lines(db, (DraftState.PENDING,))] == [2]
