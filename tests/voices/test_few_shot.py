"""The few-shot prompt: the blog's own words, the same from call to call, without what must not be shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.errors import NothingToDo
from bot.language.tokens import count
from bot.store import datasets
from bot.voices import few_shot
from bot.voices.few_shot import LONGEST_SHOWN, POSTS_SHOWN, PROMPT_TOKENS
from tests.pipeline.room import MODEL, RULES, Room, everything, nights, open_room, store_posts


async def opening(room: Room, prompt: str = "Write.") -> str:
    """What stands first in the request, as it reached the service."""
    desk = await room.desk()
    await desk.writer.write(desk.voice, prompt)
    messages: list[dict[str, Any]] = room.asked("/completions")[-1].body["messages"]
    assert [message["role"] for message in messages] == ["developer", "user"]
    assert messages[1]["content"] == prompt
    return messages[0]["content"]


def shown(prompt: str) -> list[str]:
    return [part.partition("\n</post>")[0] for part in prompt.split("<post>\n")[1:]]


async def test_the_blogs_own_posts_are_shown_after_the_instructions(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(6))
        prompt = await opening(room, "About gulls.")
        assert prompt.startswith("You write.")
        assert sorted(shown(prompt)) == sorted(nights(6))
        assert room.asked("/completions")[-1].body["model"] == MODEL


async def test_the_part_that_stays_is_the_same_from_call_to_call_and_is_cached(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(400))
        desk = await room.desk()
        written = [await desk.writer.write(desk.voice, f"Write about {word}.") for word in ("gulls", "rain")]
        again = await room.desk()  # as after a restart
        written.append(await again.writer.write(again.voice, "Write about tea."))
        assert len({request.body["messages"][0]["content"] for request in room.asked("/completions")}) == 1
        assert written[0].cached_tokens == 0
        assert all(one.cached_tokens >= 1_024 or one.input_tokens < 1_100 for one in written[1:])


async def test_half_are_the_newest_and_half_are_drawn(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(300))
        texts = shown(await opening(room))
        assert len(texts) == POSTS_SHOWN == len(set(texts))
        assert set(nights(300)[-20:]) <= set(texts)
        assert len(set(texts) & set(nights(300)[:280])) == 20


async def test_what_is_held_out_is_never_shown(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(60))
        await everything(room.examples())
        held = await datasets.held_out_posts(room.database)
        assert len(held) == 6
        prompt = await opening(room)
        assert not [text for text in nights(60)[-6:] if text in prompt]
        assert set(nights(60)[34:54]) <= set(shown(prompt))


async def test_what_the_filters_kept_out_of_the_dataset_is_not_shown_either(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, [*nights(15), "a secret about step sixty-one."])
        assert "a secret about step sixty-one." in shown(await opening(room)), "there is no dataset yet"
        await everything(room.examples(replace(RULES, filtered_words=("secret",))))
        assert sorted(shown(await opening(room))) == sorted(nights(15))


async def test_a_large_blog_has_posts_left_when_its_newest_are_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(few_shot, "_POSTS_CONSIDERED", 5)
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(60))
        await everything(room.examples())
        assert sorted(shown(await opening(room))) == sorted(nights(60)[49:54])


async def test_what_is_no_example_is_never_shown(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, [*nights(6), "words of somebody else"])
        async with room.database.write() as connection:
            await connection.execute("UPDATE posts SET rejection = 'reblog' WHERE text LIKE 'words of%'")
        assert "words of somebody else" not in await opening(room)


async def test_long_posts_are_shown_up_to_a_paragraph_and_crowd_out_nobody(tmp_path: Path):
    async with open_room(tmp_path) as room:
        long = "\n\n".join(f"paragraph {n} " + "of a long story " * 40 for n in range(60))
        endless = "word " * 9_000
        await store_posts(room.database, [*nights(5), long, endless])
        prompt = await opening(room)
        texts = shown(prompt)
        assert len(texts) == 7
        (beginning,) = [text for text in texts if text.startswith("paragraph 0")]
        assert len(beginning) <= LONGEST_SHOWN
        assert beginning in long
        assert beginning.endswith("of a long story ")
        assert set(nights(5)) <= set(texts)


async def test_the_prompt_stays_in_its_budget_of_tokens(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, [f"{n} " + "the light is lit again " * 150 for n in range(60)])
        texts = shown(await opening(room))
        assert 5 <= len(texts) < POSTS_SHOWN
        assert sum(map(count, texts)) <= PROMPT_TOKENS


async def test_the_most_it_may_cost_is_never_less_than_what_it_costs(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(60))
        desk = await room.desk()
        most = await desk.writer.most_expensive(desk.voice, "Write.")
        await desk.writer.write(desk.voice, "Write.")
        asked = room.asked("/completions")[-1].body
        assert most * 10**6 >= count(asked["messages"][0]["content"]) * 0.10 + asked["max_completion_tokens"] * 0.50


async def test_without_posts_there_is_a_sentence(tmp_path: Path):
    async with open_room(tmp_path) as room:
        desk = await room.desk()
        with pytest.raises(NothingToDo, match="no posts to write like"):
            await desk.writer.most_expensive(desk.voice, "Write.")
        assert not room.asked("/completions")


async def test_a_voice_of_another_model_is_written_with_that_model(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(6))
        desk = await room.desk()
        other = await room.few_shot_voice(few_shot_model="gpt-4.1-mini")
        await desk.writer.write(other, "Write.")
        assert room.asked("/completions")[-1].body["model"] == "gpt-4.1-mini"


async def test_a_post_that_does_not_fit_is_passed_over_and_ends_nothing(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, [*(f"{n} {'🦭☃ ' * 1_300}" for n in range(10)), *nights(10)])
        assert sorted(shown(await opening(room))) == sorted(nights(10))
