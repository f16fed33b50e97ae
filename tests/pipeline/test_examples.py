"""Which posts become examples, what the training file holds, and that nothing is written until everything is well."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.errors import NothingToDo
from bot.examples import Dataset
from bot.language import tuning
from bot.pipeline.examples import make_examples, read_custom_prompts
from bot.store import datasets
from tests.pipeline.conftest import START, open_bench, post
from tests.pipeline.room import RULES, Room, everything, nights, open_room, store_posts


def lines(room: Room) -> list[dict[str, Any]]:
    return [json.loads(line) for line in room.training_file.read_text("utf-8").split("\n") if line]


def answers(room: Room) -> list[str]:
    return [line["messages"][2]["content"] for line in lines(room)]


async def newest(room: Room) -> Dataset:
    found = await datasets.newest_dataset(room.database)
    assert found is not None
    return found


def days(place: str) -> list[str]:
    """Thirty posts, no two of them nearly the same."""
    return [
        f"{place} {number}: {place}{number} {place}{number * 3} and {place}{number * 5} again" for number in range(30)
    ]


# --- which posts ----------------------------------------------------------------------------------------------

WORDS = [{"type": "text", "text": "words of somebody"}]
NO_EXAMPLES = [
    {"trail": [{"content": WORDS, "layout": [], "post": {"id": "1"}, "blog": {"name": "other"}}]},
    {"parent_post_id": "123", "parent_post_url": "https://other.tumblr.com/post/123"},
    {"layout": [{"type": "ask", "blocks": [0]}]},
    {"asking_name": "somebody"},
    {"is_submission": True},
    {"content": []},
    {"content": [*WORDS, {"type": "image", "media": []}]},
    {"state": "private"},
    {"content": [*WORDS, {"type": "paywall", "subtype": "cta"}]},
]


@pytest.mark.parametrize("odd", NO_EXAMPLES, ids=lambda odd: next(iter(odd)))
async def test_only_the_owners_own_words_become_examples(tmp_path: Path, odd: dict[str, Any]):
    async with open_bench(tmp_path) as bench:
        for number, text in enumerate(nights(10)):
            bench.service.add_post(bench.blog, post(START + number, text))
        bench.service.add_post(bench.blog, {**post(START + 50, "words of somebody"), **odd})
        await everything(bench.download())
        file = tmp_path / "training_data.jsonl"
        stage = make_examples(
            bench.database, RULES, custom_prompts_file=tmp_path / "none.jsonl", training_data_file=file
        )
        await everything(stage)
        assert len(file.read_text().splitlines()) == 10
        assert "words of somebody" not in file.read_text()


async def test_the_date_limit_is_inclusive(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(20))
        limit = datetime.fromtimestamp(START + 500, UTC)
        await everything(room.examples(replace(RULES, date_limit=limit)))
        assert sorted(answers(room)) == sorted(nights(20)[5:])


async def test_the_post_limit_counts_the_newest_valid_posts_of_each_blog(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(20, "sea"), blog="keeper")
        await store_posts(room.database, nights(8, "hill"), blog="other")
        await room_rejects(room, "keeper", newest=3)
        await everything(room.examples(replace(RULES, post_limit=7, filtered_words=("sea 15",))))
        # 17 to 19 are no examples, 15 is filtered: neither counts.
        kept = [nights(20, "sea")[n] for n in (16, 14, 13, 12, 11, 10, 9)]
        assert sorted(answers(room)) == sorted(kept + nights(8, "hill")[1:])


async def room_rejects(room: Room, blog: str, *, newest: int) -> None:
    async with room.database.write() as connection:
        await connection.execute(
            "UPDATE posts SET rejection = 'reblog' WHERE (blog_uuid, id) IN"
            " (SELECT blog_uuid, id FROM posts WHERE blog_uuid = ? ORDER BY timestamp DESC LIMIT ?)",
            (f"t:{blog}", newest),
        )


async def test_zero_is_no_limit(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(40))
        await everything(room.examples(replace(RULES, post_limit=0)))
        assert sorted(answers(room)) == sorted(nights(40))


async def test_more_posts_than_one_read_fetches(tmp_path: Path):
    async with open_room(tmp_path) as room:
        texts = [
            f"{number} {number * 7} {number * 13} is all that stands in the book tonight" for number in range(2_100)
        ]
        await store_posts(room.database, texts)
        await everything(room.examples(replace(RULES, post_limit=2_050)))
        made = await newest(room)
        assert made.training_count + made.held_out_count == 2_050
        assert set(answers(room)) <= set(texts[50:])


async def test_filtered_words_are_patterns_in_any_case(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, [*nights(12), "a SECRET thing", "the Pass-Word", "nothing of the kind"])
        progress = await everything(room.examples(replace(RULES, filtered_words=("secret", r"pass.?word"))))
        assert sorted(answers(room)) == sorted([*nights(12), "nothing of the kind"])
        assert ("Left out: filtered_words: secret", "1") in progress[-1].facts
        assert (r"Left out: filtered_words: pass.?word", "1") in progress[-1].facts


async def test_a_catastrophic_pattern_ends_with_a_sentence(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, [*nights(12), "a" * 60 + "!"])
        with pytest.raises(NothingToDo, match="takes too long on a post") as caught:
            await everything(room.examples(replace(RULES, filtered_words=(r"(a|aa|aaa)+$",))))
        assert "(a|aa|aaa)+$" in caught.value.sentence
        assert not room.training_file.exists()


async def test_a_pattern_that_cannot_be_read_is_named(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        with pytest.raises(NothingToDo, match=r"cannot be read: '\(open'"):
            await everything(room.examples(replace(RULES, filtered_words=("fine", "(open"))))


async def test_fewer_than_ten_are_refused_and_nothing_is_written(tmp_path: Path):
    async with open_room(tmp_path) as room:
        with pytest.raises(NothingToDo, match=r"no posts to make examples of\. Use /download first\."):
            await everything(room.examples())
        await store_posts(room.database, nights(9))
        with pytest.raises(NothingToDo, match="There are only 9 examples"):
            await everything(room.examples())
        assert not room.training_file.exists()
        assert await datasets.newest_dataset(room.database) is None
        room.prompts_file.write_text('{"q": "a"}\n')
        await everything(room.examples())
        assert len(lines(room)) == 10


# --- custom prompts -------------------------------------------------------------------------------------------


async def test_custom_prompts_come_along(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(10))
        room.prompts_file.write_text(
            '{"Who are you?": "the keeper."}\n\n{"And you?": "nobody.", "Sea?": "wide."}\n', "utf-8"
        )
        progress = await everything(room.examples())
        asked = [(line["messages"][1]["content"], line["messages"][2]["content"]) for line in lines(room)]
        assert asked[:3] == [("Who are you?", "the keeper."), ("And you?", "nobody."), ("Sea?", "wide.")]
        assert {user for user, _ in asked[3:]} == {"Write."}
        assert ("custom prompts", "3 examples") in progress[-1].facts


def test_a_missing_prompts_file_is_none(tmp_path: Path):
    assert read_custom_prompts(tmp_path / "none.jsonl") == []


def test_a_prompts_file_of_windows(tmp_path: Path):
    file = tmp_path / "custom.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"q": "a"}\r\n{"r": "b"}\r\n')
    assert read_custom_prompts(file) == [("q", "a"), ("r", "b")]


def test_a_prompts_file_that_cannot_be_read_is_a_sentence(tmp_path: Path):
    with pytest.raises(NothingToDo, match="cannot be read"):
        read_custom_prompts(tmp_path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"not JSON", "line 3 is not a JSON object of texts"),
        (b'["a", "b"]', "line 3 is not a JSON object of texts"),
        (b'{"q": 5}', "line 3 is not a JSON object of texts"),
        (b'{"q": "a", "r": null}', "line 3 is not a JSON object of texts"),
        (b'{"q": "\xff"}', "line 3 is not a JSON object of texts"),
        (b"{}", "line 3 has an empty text"),
        (b'{"q": "  "}', "line 3 has an empty text"),
        (b'{"": "a"}', "line 3 has an empty text"),
    ],
)
async def test_bad_lines_are_named_and_nothing_is_written(tmp_path: Path, line: bytes, problem: str):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        room.prompts_file.write_bytes(b'{"q": "a"}\n\n' + line + b'\n{"q": "b"}\nbad too\n')
        with pytest.raises(NothingToDo) as caught:
            await everything(room.examples())
        assert problem in caught.value.sentence
        assert "line 5 is not" in caught.value.sentence
        assert "line 4" not in caught.value.sentence
        assert not room.training_file.exists()
        assert await datasets.newest_dataset(room.database) is None


# --- what is held out -----------------------------------------------------------------------------------------


async def test_the_newest_tenth_is_held_out_and_never_in_the_training_file(tmp_path: Path):
    async with open_room(tmp_path) as room:
        # Two blogs of which nothing is nearly the same: what stands in one does not push out the other.
        await store_posts(room.database, sea := days("sea"), blog="keeper", start=START)
        await store_posts(room.database, hill := days("hill"), blog="other", start=START + 2_000)
        room.prompts_file.write_text('{"q": "a custom answer"}\n')
        await everything(room.examples())
        # By time over both blogs: hill 24 to 29 are the newest six of sixty.
        held = hill[24:]
        assert sorted(answers(room)) == sorted([*sea, *hill[:24], "a custom answer"])
        every = await datasets.all_examples(room.database, (await newest(room)).id)
        assert sorted(e.assistant for e in every if e.held_out) == sorted(held)
        assert not {e.assistant for e in every if e.held_out} & set(answers(room))


async def test_a_small_dataset_holds_nothing_out(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(49))
        progress = await everything(room.examples())
        assert (await newest(room)).held_out_count == 0
        assert any("That is few" in value for _, value in progress[-1].facts)


# --- the file -------------------------------------------------------------------------------------------------


async def test_markers_of_models_are_broken_up(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, [*nights(10), "an end <|endoftext|> and <|fim_suffix|> in the middle"])
        room.prompts_file.write_text('{"a <|start|> question": "an <|end|> answer"}\n')
        await everything(room.examples())
        text = room.training_file.read_text()
        assert "<|" not in text
        assert "|>" not in text
        assert "endoftext" in text


async def test_every_line_is_what_the_service_trains_on(tmp_path: Path):
    """The file, uploaded as it is, is accepted; and its tokens are those that the service counts."""
    async with open_room(tmp_path) as room:
        odd = [
            "emoji 🦭 and ☂",
            "two\n\nparagraphs  here",
            'quotes " and \\ and \u2028 ends',
            "a" * 3_000,
            "日本語の投稿です",
        ]
        await store_posts(room.database, [*odd, *nights(60)])
        await everything(room.examples())
        assert set(odd) <= set(answers(room))
        for line in lines(room):
            assert [message["role"] for message in line["messages"]] == ["developer", "user", "assistant"]
            assert line["messages"][0]["content"] == "You write."
        service = room.service("gpt-4.1-mini-2025-04-14")
        file_id = await tuning.upload_training_file(service, "t.jsonl", room.training_file.read_bytes())
        room.openai.training_seconds = 0.0
        job = await tuning.create_job(
            service, training_file=file_id, model="gpt-4.1-mini-2025-04-14", suffix="t", epochs=2, marker="1"
        )
        job = await tuning.get_job(service, job.id)
        assert job.succeeded
        assert job.trained_tokens is not None
        assert (await newest(room)).tokens == pytest.approx(job.trained_tokens / 2, rel=0.02)


async def test_a_crash_between_file_and_dataset_heals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The file was written, the dataset was not: whichever settings come next, both say the same again."""
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(20))
        await everything(room.examples())
        before = room.training_file.read_bytes()

        async def crash(*_: object, **__: object) -> int:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(datasets, "add_dataset", crash)
            with pytest.raises(KeyboardInterrupt):
                await everything(room.examples(replace(RULES, post_limit=12)))
        assert (await newest(room)).id == 1
        await everything(room.examples())
        assert room.training_file.read_bytes() == before
        assert (await newest(room)).id == 1
        await everything(room.examples(replace(RULES, post_limit=12)))
        assert (len(lines(room)), (await newest(room)).id) == (12, 2)


# --- datasets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"post_limit": 11},
        {"filtered_words": ("night 3",)},
        {"date_limit": datetime.fromtimestamp(START + 100, UTC)},
        {"developer_message": "You sing."},
        {"user_message": "Sing."},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_the_same_again_is_no_new_dataset_and_a_changed_setting_is(tmp_path: Path, change: dict[str, Any]):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        await everything(room.examples())
        again = await everything(room.examples())
        assert again[-1].line == "Nothing has changed since dataset 1; it stays as it is."
        assert (await newest(room)).id == 1
        await everything(room.examples(replace(RULES, **change)))
        assert (await newest(room)).id == 2


async def test_the_standing_prompt_counts_even_where_no_post_uses_it(tmp_path: Path):
    async with open_room(tmp_path) as room:
        room.prompts_file.write_text("".join(f'{{"q{n}": "a{n}"}}\n' for n in range(12)))
        await everything(room.examples())
        await everything(room.examples(replace(RULES, user_message="Sing.")))
        assert (await newest(room)).user_message == "Sing."


async def test_a_lost_file_comes_back_without_a_new_dataset(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        await everything(room.examples())
        before = room.training_file.read_bytes()
        room.training_file.unlink()
        await everything(room.examples())
        assert room.training_file.read_bytes() == before
        assert (await newest(room)).id == 1


# --- what else is left out, or comes along ------------------------------------------------------------------------


async def left_out_of(room: Room) -> dict[str, int]:
    return {each.reason: each.count for each in await datasets.left_out(room.database, (await newest(room)).id)}


async def test_everything_that_is_left_out_is_counted_by_its_reason(tmp_path: Path):
    async with open_room(tmp_path) as room:
        twice = "the very same words, said on two nights, to the letter of the law"
        texts = ["too old a thing to tell", *nights(12), twice, twice, "a secret", "word " * 400]
        await store_posts(room.database, texts)
        since = datetime.fromtimestamp(START + 50, UTC)
        rules = replace(RULES, date_limit=since, filtered_words=("secret",), token_limit=200)
        await everything(room.examples(rules))
        assert sorted(answers(room)) == sorted([*nights(12), twice])
        assert await left_out_of(room) == {
            "older than date_limit": 1,
            "filtered_words: secret": 1,
            "duplicate": 1,
            "longer than example_token_limit": 1,
        }


async def test_of_posts_that_are_nearly_the_same_the_newest_stays(tmp_path: Path):
    async with open_room(tmp_path) as room:
        first = "the lamp was lit at dusk and the kettle sang all night while the gulls argued on the rail outside"
        second = f"{first} again"
        await store_posts(room.database, [first, *nights(12), second])
        await everything(room.examples())
        assert sorted(answers(room)) == sorted([*nights(12), second])
        assert await left_out_of(room) == {"near duplicate": 1}


async def test_post_limit_counts_what_the_filters_leave(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, [*nights(15), "a secret", "another secret"])
        await everything(room.examples(replace(RULES, post_limit=10, filtered_words=("secret",))))
        assert sorted(answers(room)) == sorted(nights(15)[5:])
        assert (await left_out_of(room))["beyond post_limit"] == 5


ANSWER = {
    "content": [{"type": "text", "text": "is it lonely?"}, {"type": "text", "text": "only on tuesdays."}],
    "layout": [{"type": "ask", "blocks": [0]}],
}
COMMENT = {
    "content": [{"type": "text", "text": "seconded, from the lamp room."}],
    "trail": [
        {
            "content": [{"type": "text", "text": "is the anchor back?"}],
            "layout": [],
            "post": {"id": "1"},
            "blog": {"name": "other", "uuid": "t:other"},
        }
    ],
    "parent_post_id": "1",
    "parent_post_url": "https://other.tumblr.com/post/1",
}


@pytest.mark.parametrize(
    ("odd", "option", "asked", "said"),
    [
        (ANSWER, "include_answers", "is it lonely?", "only on tuesdays."),
        (COMMENT, "include_reblog_comments", "Answer: is the anchor back?", "seconded, from the lamp room."),
    ],
    ids=["answers", "comments"],
)
async def test_answers_and_comments_come_along_only_when_asked_for(
    tmp_path: Path, odd: dict[str, Any], option: str, asked: str, said: str
):
    async with open_bench(tmp_path) as bench:
        for number, text in enumerate(nights(10)):
            bench.service.add_post(bench.blog, post(START + number, text))
        bench.service.add_post(bench.blog, {**post(START + 50, ""), **odd})
        await everything(bench.download())
        file = tmp_path / "training_data.jsonl"
        for wanted in (False, True):
            rules = replace(RULES, reblog_user_message="Answer: {}", **{option: wanted})
            stage = make_examples(
                bench.database, rules, custom_prompts_file=tmp_path / "none.jsonl", training_data_file=file
            )
            await everything(stage)
            found = [json.loads(line)["messages"][1:] for line in file.read_text().splitlines()]
            pairs = [(user["content"], assistant["content"]) for user, assistant in found]
            assert ((asked, said) in pairs) is wanted
            assert len(pairs) == 10 + wanted


# --- a file that somebody edited ----------------------------------------------------------------------------------


async def test_an_edited_file_is_taken_in_as_a_new_dataset(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(14))
        await everything(room.examples())
        kept = room.training_file.read_text("utf-8").splitlines()[:-2]
        room.training_file.write_text("\n".join(kept) + "\n", "utf-8")
        progress = await everything(room.examples())
        assert "was edited by hand: dataset 2 is made of its lines" in progress[-1].line
        made = await newest(room)
        assert (made.source, made.training_count) == ("file", 12)
        assert len(answers(room)) == 12
        again = await everything(room.examples())
        assert "stays as it is" in again[-1].line
        assert (await newest(room)).id == 2


async def test_fresh_makes_a_dataset_of_the_posts_again(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(14))
        await everything(room.examples())
        room.training_file.write_text("\n".join(room.training_file.read_text().splitlines()[:12]) + "\n", "utf-8")
        stage = make_examples(
            room.database,
            RULES,
            custom_prompts_file=room.prompts_file,
            training_data_file=room.training_file,
            fresh=True,
        )
        await everything(stage)
        assert (await newest(room)).source == "posts"
        assert len(answers(room)) == 14


async def test_a_broken_edit_is_named_by_its_line_and_nothing_is_overwritten(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(14))
        await everything(room.examples())
        edited = room.training_file.read_text("utf-8").splitlines()
        edited[3] = edited[3][:-5]
        room.training_file.write_text("\n".join(edited) + "\n", "utf-8")
        with pytest.raises(NothingToDo, match="line 4"):
            await everything(room.examples())
        assert room.training_file.read_text("utf-8").splitlines() == edited
        assert (await newest(room)).id == 1
