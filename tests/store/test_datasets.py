"""Datasets are numbered and frozen; what moderation says changes what is trained on and nothing else."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import Any

from bot.examples import Example
from bot.posts import Blog, Rejection
from bot.store import datasets, posts
from bot.store.database import Database
from bot.store.datasets import LeftOut, WrittenFile
from bot.store.purge import purge_posts
from bot.tumblr.npf import read_post
from tests.tumblr.conftest import npf

EXAMPLES = [
    Example("Write.", "one", 3, "t:b", "1"),
    Example("Write.", "two", 4, "t:b", "2"),
    Example("own", "three", 5),
    Example("Write.", "four", 6, "t:b", "4", held_out=True),
]


async def add(db: Database, examples: list[Example] = EXAMPLES, digest: str = "d") -> int:
    async with db.write() as connection:
        await posts.upsert_blog(connection, Blog("t:b", "b", "", ""), 0.0)
        return await datasets.add_dataset(
            connection,
            digest=digest,
            developer_message="dev",
            user_message="Write.",
            settings={"post_limit": 4},
            examples=examples,
            now=5.0,
        )


async def set_aside(db: Database, dataset: int, reasons: dict[int, str]) -> None:
    async with db.write() as connection:
        await datasets.set_aside(connection, dataset, reasons, model="judge", now=6.0)


async def test_a_dataset_comes_back_as_it_was(db: Database):
    number = await add(db)
    found = await datasets.get_dataset(db, number)
    assert found is not None
    assert found == await datasets.newest_dataset(db)
    assert (found.tokens, found.training_count, found.held_out_count, found.set_aside_count) == (12, 3, 1, 0)
    assert (found.developer_message, found.user_message, found.screened_with) == ("dev", "Write.", None)
    assert await datasets.all_examples(db, number) == EXAMPLES
    assert await datasets.training_examples(db, number) == EXAMPLES[:3]
    assert await datasets.get_dataset(db, 99) is None


async def test_numbers_go_up_and_the_newest_is_the_last(db: Database):
    first, second = await add(db), await add(db, digest="e")
    assert second == first + 1
    newest = await datasets.newest_dataset(db)
    assert newest is not None
    assert (newest.id, newest.digest) == (second, "e")


async def test_what_is_set_aside_is_not_trained_on_and_a_later_screening_starts_afresh(db: Database):
    number = await add(db)
    await set_aside(db, number, {0: "violence", 2: "hate"})
    assert [example.assistant for example in await datasets.training_examples(db, number)] == ["two"]
    found = await datasets.get_dataset(db, number)
    assert found is not None
    assert (found.tokens, found.training_count, found.set_aside_count, found.screened_with) == (4, 1, 2, "judge")
    await set_aside(db, number, {1: "hate"})
    assert [example.assistant for example in await datasets.training_examples(db, number)] == ["one", "three"]


async def test_what_must_not_be_shown(db: Database):
    first = await add(db)
    assert await datasets.held_out_posts(db) == {("t:b", "4")}
    assert await datasets.posts_set_aside(db) == set()
    await set_aside(db, first, {0: "violence", 2: "hate"})
    assert await datasets.posts_set_aside(db) == {("t:b", "1")}
    second = await add(db, [Example("Write.", "two", 4, "t:b", "2", held_out=True)], "e")
    assert await datasets.held_out_posts(db) == {("t:b", "2")}, "of the newest dataset"
    assert await datasets.posts_set_aside(db) == {("t:b", "1")}, "of the latest screening"
    await set_aside(db, second, {})
    assert await datasets.posts_set_aside(db) == set()


async def store(db: Database, *found: dict[str, Any], blog: str = "b") -> None:
    """Posts of a blog: what is given is laid over a plain one of the moment 100 times its id."""
    read = [
        read_post(
            json.dumps(
                npf(timestamp=100 * int(each["id_string"])) | each | {"blog": {"name": blog, "uuid": f"t:{blog}"}}
            ).encode()
        )
        for each in found
    ]
    async with db.write() as connection:
        await posts.upsert_blog(connection, Blog(f"t:{blog}", blog, "", ""), 0.0)
        await posts.save_page(connection, f"t:{blog}", read, 0.0)


def plain(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": number, "id_string": str(number), **fields}


async def ids(db: Database, *kinds: Rejection, since: int | None = None) -> list[str]:
    return [post.id async for page in datasets.source_posts(db, "t:b", kinds, since) for post in page]


REBLOG = {"parent_post_id": "77"}
ASK = {"asking_name": "somebody"}


async def test_posts_come_newest_first_and_only_of_the_kinds_that_are_asked_for(db: Database):
    await store(db, *map(plain, (1, 2, 3)), plain(4, **REBLOG), plain(5, **ASK), plain(6, state="private"))
    await store(db, plain(9), blog="c")
    assert await ids(db) == ["3", "2", "1"]
    assert await ids(db, since=200) == ["3", "2"]
    assert await ids(db, Rejection.ASK) == ["5", "3", "2", "1"]
    assert await ids(db, Rejection.ASK, Rejection.REBLOG) == ["5", "4", "3", "2", "1"]
    (page,) = [page async for page in datasets.source_posts(db, "t:b", (Rejection.ASK,), None)]
    assert [(post.rejection, post.raw is None) for post in page] == [(Rejection.ASK, False), *[(None, True)] * 3]
    assert json.loads(page[0].raw or b"")["asking_name"] == "somebody"


async def test_no_page_loses_a_post_of_the_same_second(db: Database):
    await store(db, *(plain(number, timestamp=5) for number in range(1, 2_500)))
    assert len(set(await ids(db))) == len(await ids(db)) == 2_499
    assert sorted(await ids(db, Rejection.REBLOG)) == sorted(await ids(db))


async def test_what_comes_after_a_post_is_counted(db: Database):
    await store(db, *map(plain, range(1, 81)), plain(81, **REBLOG))
    count, some = await datasets.older_posts(db, "t:b", (), than=(7_000, "70"))
    assert (count, some) == (69, [str(number) for number in range(69, 19, -1)])
    assert await datasets.older_posts(db, "t:b", (), than=(7_000, "70"), since=6_900) == (1, ["69"])
    assert await datasets.older_posts(db, "t:b", (Rejection.REBLOG,), than=(8_101, "")) == (
        81,
        [str(number) for number in range(81, 31, -1)],
    )
    assert await datasets.older_posts(db, "t:b", (), than=(100, "")) == (0, [])


async def test_what_is_no_example_is_counted_by_reason(db: Database):
    await store(db, plain(1), *(plain(number, **REBLOG) for number in range(2, 62)), plain(70, **ASK))
    await store(db, plain(90, **ASK), plain(91, **REBLOG), blog="c")
    assert await datasets.rejected_posts(db) == [
        LeftOut("reblog", 61, (("t:c", "91"), *(("t:b", str(number)) for number in range(61, 12, -1)))),
        LeftOut("ask or answer", 2, (("t:c", "90"), ("t:b", "70"))),
    ]
    assert [each.reason for each in await datasets.rejected_posts(db, (Rejection.REBLOG,))] == ["ask or answer"]


async def test_what_was_left_out_comes_back_as_it_was(db: Database):
    found = [LeftOut("duplicate", 3, (("t:b", "1"),), (("t:b", "2"),)), LeftOut("reblog", 70_000, ())]
    number = await add(db)
    assert await datasets.left_out(db, number) == []
    async with db.write() as connection:
        await datasets.set_left_out(connection, number, found)
        second = await datasets.add_dataset(
            connection,
            digest="",
            developer_message="",
            user_message="",
            settings={},
            examples=[],
            now=0.0,
            source="file",
            left_out=found[:1],
        )
    assert await datasets.left_out(db, number) == found
    assert await datasets.left_out(db, second) == found[:1]
    assert await datasets.left_out(db, 99) == []
    newest = await datasets.newest_dataset(db)
    assert newest is not None
    assert (newest.id, newest.source) == (second, "file")


# --- what the owner sees --------------------------------------------------------------------------------------


async def test_examples_at_random_are_of_what_is_trained_on(db: Database):
    number = await add(db)
    await set_aside(db, number, {1: "hate"})
    found = await datasets.random_examples(db, number, 5, random.Random(1))
    assert sorted(example.assistant for example in found) == ["one", "three"]
    drawn = {(await datasets.random_examples(db, number, 1, random.Random(seed)))[0].assistant for seed in range(20)}
    assert drawn == {"one", "three"}
    assert await datasets.random_examples(db, 99, 5, random.Random(1)) == []


async def test_lengths_are_of_what_is_trained_on(db: Database):
    number = await add(db)
    assert await datasets.example_lengths(db, number) == [3, 4, 5]
    await set_aside(db, number, {1: "hate"})
    assert await datasets.example_lengths(db, number) == [3, 5]


async def test_months_are_those_of_the_posts_held_out_or_not(db: Database):
    def at(number: int, *moment: int) -> dict[str, Any]:
        return plain(number, timestamp=int(datetime(*moment, tzinfo=UTC).timestamp()))  # type: ignore[arg-type]

    await store(db, at(1, 2024, 5, 1), at(2, 2024, 5, 31, 23, 59, 59), at(4, 2023, 12, 31), plain(5, timestamp=0))
    number = await add(
        db, [*EXAMPLES, Example("Write.", "five", 1, "t:b", "5"), Example("Write.", "six", 1, "t:b", "6")]
    )
    assert await datasets.posts_per_month(db, number) == [("2023-12", 1), ("2024-05", 2)]
    await set_aside(db, number, {0: "hate"})
    assert await datasets.posts_per_month(db, number) == [("2023-12", 1), ("2024-05", 1)]


async def test_examples_are_counted_by_blog_and_custom_prompts_last(db: Database):
    await store(db, plain(1), blog="c")
    number = await add(
        db,
        [*EXAMPLES, *[Example("Write.", "x", 1, "t:c", str(n)) for n in range(5)], Example("u", "y", 1, "t:gone", "1")],
    )
    assert await datasets.counts_per_blog(db, number) == [("c", 5), ("b", 2), ("t:gone", 1), ("custom prompts", 1)]
    async with db.write() as connection:
        await connection.execute("UPDATE datasets SET source = 'file'")
    assert (await datasets.counts_per_blog(db, number))[-1] == ("lines of your own", 1)


async def test_pages_give_each_part_whole_whatever_was_removed(db: Database):
    examples = [Example("u", f"{n}", 1, "t:b", str(n), held_out=n % 10 == 0) for n in range(2_500)]
    number = await add(db, examples)
    await set_aside(db, number, {5: "hate", 20: "hate"})
    async with db.write() as connection:
        await purge_posts(connection, "t:b", [str(n) for n in range(900, 2_100)])
    left = [n for n in range(2_500) if not 900 <= n < 2_100 and n not in {5, 20}]
    training = [each.assistant async for page in datasets.pages(db, number) for each in page]
    held_out = [each.assistant async for page in datasets.pages(db, number, "held out") for each in page]
    assert training == [str(n) for n in left if n % 10]
    assert held_out == [str(n) for n in left if not n % 10]
    assert [page async for page in datasets.pages(db, 99)] == []


# --- the files ------------------------------------------------------------------------------------------------


async def test_how_a_file_was_written_is_kept_for_each_part(db: Database):
    assert await datasets.written_file(db, "training") is None
    async with db.write() as connection:
        await datasets.set_written_file(connection, "training", WrittenFile("a", None, "x"))
        await datasets.set_written_file(connection, "held out", WrittenFile("b", None, "y"))
        await datasets.set_written_file(connection, "training", WrittenFile("c", "a", "z"))
    assert await datasets.written_file(db, "training") == WrittenFile("c", "a", "z")
    async with db.write() as connection:
        await datasets.set_written_file(connection, "held out", None)
    assert await datasets.written_file(db, "held out") is None


async def test_posts_are_found_by_their_ids_and_by_their_words(db: Database):
    await store(db, plain(1), plain(2, content=[{"type": "text", "text": "words"}]))
    assert await datasets.stored_posts(db, [("t:b", "1"), ("t:b", "9"), ("t:c", "1")]) == {("t:b", "1")}
    assert await datasets.posts_of_texts(db, ["words", "others"]) == {"words": ("t:b", "2")}
    many = [str(n) for n in range(2_500)]
    assert await datasets.posts_of_texts(db, [*many, "words"]) == {"words": ("t:b", "2")}
