"""Datasets are numbered and frozen; what moderation says changes what is trained on and nothing else."""

from __future__ import annotations

from bot.examples import Example
from bot.posts import Blog
from bot.store import datasets, posts
from bot.store.database import Database

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


async def test_judgements_are_kept_by_text_and_model(db: Database):
    async with db.write() as connection:
        for content, flagged, categories in (("a", True, ["hate"]), ("b", False, []), ("c", True, [])):
            await datasets.add_judgement(
                connection, content, "judge", flagged=flagged, categories=categories, scores={"hate": 0.5}, now=1.0
            )
    assert await datasets.judged(db, ["a", "b", "c", "d"], "judge") == {"a": ("hate",), "b": (), "c": ("unnamed",)}
    assert await datasets.judged(db, ["a"], "another") == {}
    assert await datasets.judged(db, [], "judge") == {}
    assert len(await datasets.judged(db, [*map(str, range(40_000)), "a"], "judge")) == 1
