"""Every text is judged once, whatever interrupts it; what is flagged is set aside and kept out of training."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.demo.faults import Fault
from bot.errors import BotError, ModelQuotaExhausted, ModelUnavailable, NothingToDo
from bot.language.moderation import COULD_NOT_BE_JUDGED
from bot.language.tokens import count_many
from bot.pipeline.moderate import moderate
from bot.progress import Progress
from bot.store import datasets
from tests.pipeline.room import RULES, SCREENER, Room, everything, nights, open_room, store_posts, take

PATH = "/v1/moderations"


def screening(room: Room, *, texts_per_call: int = 4) -> AsyncIterator[Progress]:
    return moderate(
        room.database,
        room.service(SCREENER),
        training_data_file=room.training_file,
        texts_per_call=texts_per_call,
    )


async def prepared(room: Room, texts: list[str]) -> None:
    await store_posts(room.database, texts)
    await everything(room.examples())


def sent(room: Room) -> list[str]:
    """Every text that reached the service, as often as it did."""
    return [text for request in room.asked("/moderations") for text in request.body["input"]]


def trained_on(room: Room) -> list[str]:
    lines = room.training_file.read_text("utf-8").split("\n")
    return [json.loads(line)["messages"][2]["content"] for line in lines if line]


async def aside(room: Room) -> dict[str, str]:
    return dict(await room.rows("SELECT assistant, set_aside FROM examples WHERE set_aside IS NOT NULL"))


async def test_flagged_examples_are_set_aside_and_not_deleted(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await prepared(room, [*nights(12), "a knife in the dark", "a curse and a knife"])
        room.openai.flagged_words = {"knife": "violence", "curse": "harassment"}
        last = (await everything(screening(room)))[-1]
        assert last.line == "Done: 2 of 14 examples set aside, 12 left to train on."
        assert dict(last.facts) == {"violence": "2", "harassment": "1"}
        assert await aside(room) == {
            "a knife in the dark": "violence",
            "a curse and a knife": "harassment, violence",
        }
        assert sorted(trained_on(room)) == sorted(nights(12))
        dataset = await datasets.newest_dataset(room.database)
        assert dataset is not None
        assert (dataset.training_count, dataset.set_aside_count, dataset.screened_with) == (12, 2, SCREENER)
        assert len(await datasets.all_examples(room.database, dataset.id)) == 14


async def test_each_text_is_judged_once_over_all_runs(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await prepared(room, [*nights(12), "the same words", "the same words"])
        await everything(screening(room))
        assert Counter(sent(room)) == Counter([*nights(12), "the same words"])
        await everything(screening(room))
        await everything(screening(room))
        assert Counter(sent(room)) == Counter([*nights(12), "the same words"])


async def test_a_new_dataset_has_only_its_new_texts_judged(tmp_path: Path):
    async with open_room(tmp_path) as room:
        room.openai.flagged_words = {"knife": "violence"}
        await prepared(room, [*nights(12), "a knife"])
        await everything(screening(room))
        await store_posts(room.database, ["one more post"], blog="other")
        await everything(room.examples())
        before = len(sent(room))
        await everything(screening(room))
        assert sent(room)[before:] == ["one more post"]
        assert sorted(trained_on(room)) == sorted([*nights(12), "one more post"])


@pytest.mark.parametrize("step", range(1, 9))
async def test_stopped_at_any_step_nothing_is_judged_twice_but_what_was_in_flight(tmp_path: Path, step: int):
    async with open_room(tmp_path) as room:
        room.openai.flagged_words = {"knife": "violence"}
        room.openai.moderation_tokens_per_minute = 50_000
        await prepared(room, [*nights(24), "a knife"])
        await take(screening(room), step)
        await everything(screening(room))
        # Two calls of four texts may be on their way when it stops.
        assert len(sent(room)) <= 25 + 2 * 4
        assert set(sent(room)) == {*nights(24), "a knife"}
        assert await aside(room) == {"a knife": "violence"}


async def test_stopped_again_and_again_it_comes_to_an_end(tmp_path: Path):
    async with open_room(tmp_path) as room:
        room.openai.moderation_tokens_per_minute = 50_000
        await prepared(room, nights(24))
        for _ in range(12):
            await take(screening(room), 3)
        await everything(screening(room))
        assert len(sent(room)) <= 24 + 12 * 2 * 4
        assert set(sent(room)) == set(nights(24))


async def test_custom_prompts_are_judged_and_the_standing_one_is_not(tmp_path: Path):
    async with open_room(tmp_path) as room:
        room.openai.flagged_words = {"knife": "violence"}
        room.prompts_file.write_text('{"where is the knife?": "in the drawer."}\n{"and the tea?": "gone."}\n')
        await prepared(room, nights(12))
        await everything(screening(room))
        assert RULES.user_message not in sent(room)
        assert set(sent(room)) == {
            *nights(12), "where is the knife?", "in the drawer.", "and the tea?", "gone.",
        }  # fmt: skip
        assert await aside(room) == {"in the drawer.": "violence"}
        assert "in the drawer." not in trained_on(room)


async def test_what_is_held_out_is_judged_and_stays_out_of_the_file(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await prepared(room, nights(60))
        await everything(screening(room, texts_per_call=32))
        assert len(sent(room)) == 60
        assert sorted(trained_on(room)) == sorted(nights(60)[:54])


async def test_a_limit_is_waited_for_visibly(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await prepared(room, nights(12))
        error = {"error": {"message": "slow down", "type": "tokens", "code": "rate_limit_exceeded"}}
        room.openai.faults.schedule(
            Fault("POST", PATH, "status", status=429, body=error, headers={"Retry-After": "1"}, after=1)
        )
        seen = await everything(screening(room))
        waiting = [progress for progress in seen if progress.waiting_for]
        assert waiting
        assert waiting[0].waiting_for == "the moderation service's limit"
        assert waiting[0].wait_until is not None
        assert waiting[0].total == 12
        assert Counter(sent(room))[nights(12)[-1]] >= 1
        assert seen[-1].line.startswith("Done: 0 of 12")


async def test_no_credit_ends_with_a_sentence_and_keeps_what_was_judged(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await prepared(room, nights(12))
        error = {"error": {"message": "pay", "type": "insufficient_quota", "code": "insufficient_quota"}}
        room.openai.faults.schedule(Fault("POST", PATH, "status", status=429, body=error, times=99, after=1))
        with pytest.raises(ModelQuotaExhausted, match="no credit left"):
            await everything(screening(room, texts_per_call=3))
        room.openai.faults.clear()
        first = len(sent(room))
        await everything(screening(room, texts_per_call=3))
        judged = sent(room)[:3]
        assert sorted(sent(room)[first:]) == sorted(set(nights(12)) - set(judged))
        dataset = await datasets.newest_dataset(room.database)
        assert dataset is not None
        assert dataset.screened_with == SCREENER


async def test_a_failed_screening_leaves_the_dataset_unscreened(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await prepared(room, nights(12))
        before = room.training_file.read_bytes()
        room.openai.faults.schedule(Fault("POST", PATH, "html", status=502, times=99))
        with pytest.raises(ModelUnavailable):
            await everything(screening(room))
        dataset = await datasets.newest_dataset(room.database)
        assert dataset is not None
        assert dataset.screened_with is None
        assert room.training_file.read_bytes() == before


@pytest.mark.parametrize("status", [400, 413])
async def test_a_call_that_is_too_large_is_cut_until_it_is_taken(tmp_path: Path, status: int):
    async with open_room(tmp_path) as room:
        await prepared(room, nights(12))
        error = {"error": {"message": "too large", "type": "invalid_request_error", "code": None}}
        room.openai.faults.schedule(Fault("POST", PATH, "status", status=status, body=error, times=3))
        last = (await everything(screening(room, texts_per_call=12)))[-1]
        assert last.line == "Done: 0 of 12 examples set aside, 12 left to train on."
        sizes = [len(request.body["input"]) for request in room.asked("/moderations")]
        assert sizes[:4] == [12, 6, 3, 1]


async def test_a_text_the_service_never_takes_is_set_aside(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await prepared(room, nights(12))
        error = {"error": {"message": "no", "type": "invalid_request_error", "code": None}}
        # The last call holds one text; it is refused each time.
        room.openai.faults.schedule(Fault("POST", PATH, "status", status=400, body=error, times=9, after=1))
        await everything(screening(room, texts_per_call=11))
        assert list((await aside(room)).values()) == [COULD_NOT_BE_JUDGED]


async def test_blank_texts_are_clean_and_never_sent(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await prepared(room, nights(12))
        async with room.database.write() as connection:
            await connection.execute("UPDATE examples SET assistant = ' \n ' WHERE position = 0")
        await everything(screening(room))
        assert len(sent(room)) == 11
        assert not [text for text in sent(room) if not text.strip()]
        assert await aside(room) == {}


async def test_without_a_dataset_there_is_a_sentence(tmp_path: Path):
    async with open_room(tmp_path) as room:
        with pytest.raises(NothingToDo, match="no dataset to screen"):
            await everything(screening(room))


async def test_few_shot_never_shows_what_was_set_aside_even_after_a_new_dataset(tmp_path: Path):
    async with open_room(tmp_path) as room:
        room.openai.flagged_words = {"knife": "violence"}
        await prepared(room, [*nights(12), "a knife in the dark"])
        desk = await room.desk()
        await desk.writer.write(desk.voice, "Write.", seed=1)
        assert "a knife in the dark" in room.asked("/completions")[-1].body["messages"][0]["content"]
        await everything(screening(room))
        for _ in range(2):
            desk = await room.desk()
            await desk.writer.write(desk.voice, "Write.", seed=1)
            shown = room.asked("/completions")[-1].body["messages"][0]["content"]
            assert "a knife in the dark" not in shown
            assert "night 3:" in shown
            # A dataset that nobody has screened yet makes nothing of this undone.
            await store_posts(room.database, ["one more post"], blog="other")
            await everything(room.examples())


async def test_interrupted_by_any_error_at_any_call_it_goes_on(tmp_path: Path):
    for call in range(3):
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            async with open_room(Path(folder)) as room:
                await prepared(room, nights(12))
                room.openai.faults.schedule(Fault("POST", PATH, "status", status=401, after=call))
                with pytest.raises(BotError):
                    await everything(screening(room))
                await everything(screening(room))
                # The refused call's texts, and those of the one beside it, are sent again; no others.
                assert len(sent(room)) <= 12 + 8
                assert set(sent(room)) == set(nights(12))


class FastTime:
    """A service's clock that runs `speed` times as fast; a minute of its limits is over so much sooner."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self._began = time.monotonic()

    def __call__(self) -> float:
        return 1_790_000_000.0 + self.speed * (time.monotonic() - self._began)


async def test_a_small_limit_is_used_to_nine_tenths_and_never_passed(tmp_path: Path):
    """10,000 tokens a minute, where a minute takes two seconds: the tier of most newcomers."""
    limit, speed = 10_000, 30.0
    async with open_room(tmp_path) as room:
        room.openai.clock = FastTime(speed)
        room.openai.moderation_tokens_per_minute = limit
        dice = random.Random(1)
        texts = [
            f"night {number}: " + " ".join(dice.choices(["kettle", "lamp", "fog", "gull"], k=dice.randrange(20, 260)))
            for number in range(250)
        ]
        await prepared(room, texts)
        stage = moderate(
            room.database,
            room.service(SCREENER),
            training_data_file=room.training_file,
            texts_per_call=25,
            window=60 / speed,
        )
        answered: list[float] = []
        before_waiting: list[str] = []
        async for progress in stage:
            if progress.waiting_for is not None:
                before_waiting = before_waiting or sent(room)
            elif progress.done:
                answered.append(room.openai.clock())
        assert 0.87 * limit < sum(count_many(before_waiting)) <= 0.9 * limit
        tokens = sum(count_many(texts))
        calls = room.asked("/moderations")
        assert sum(len(call.body["input"]) for call in calls) == 250, "a 429 would have been sent again"
        minutes = (answered[-2] - answered[0]) / 60  # the last is the end, after the last answer
        assert tokens / minutes >= 0.9 * limit, (tokens, minutes)
        assert len(calls) < 1.5 * tokens / 2_000 + 250 / 25, "in calls of a good size"
