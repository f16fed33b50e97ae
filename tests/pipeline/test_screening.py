"""What people decide about a screening, what is trained on then, and what a new dataset remembers of it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.app import App, Pace
from bot.config import ModerationSettings, OpenAISettings, Settings
from bot.demo.openai_service import OpenAIService
from bot.drafts import Person
from bot.errors import BotError, NothingToDo
from bot.examples import Dataset
from bot.jobs.runner import JobState
from bot.pipeline import screening as pipeline
from bot.pipeline.screening import CategoryCount, Flagged
from bot.pipeline.training_file import repair_training_file
from bot.screening import Act
from bot.store import datasets, purge
from bot.store import screening as store
from tests.pipeline.room import RULES, SCREENER, Room, everything, nights, open_room, store_posts
from tests.pipeline.test_moderate import aside, prepared, screening, sent, trained_on

KEEPER, ODILE = Person(1, "keeper"), Person(2, "odile")
WORDS = {"knife": "violence", "curse": "harassment"}
KNIFE, CURSE, BOTH = "a knife in the dark", "a curse in the dark", "a curse and a knife"


async def screened(room: Room, *more: str) -> Dataset:
    """Twelve harmless posts, and these; borderline ones have "storm" (violence, 0.2 to 0.45)."""
    room.openai.flagged_words = WORDS
    room.openai.borderline_words = {"storm": "violence"}
    await prepared(room, [*nights(12), KNIFE, CURSE, BOTH, *more])
    await everything(screening(room))
    return await newest(room)


async def newest(room: Room) -> Dataset:
    dataset = await datasets.newest_dataset(room.database)
    assert dataset is not None
    return dataset


async def again(room: Room, *more: str, user_message: str = RULES.user_message) -> Dataset:
    """Another dataset, with these posts in it, screened too."""
    await store_posts(room.database, more, blog="other")
    rules = type(RULES)(**{**{name: getattr(RULES, name) for name in RULES.__slots__}, "user_message": user_message})
    await everything(room.examples(rules))
    await everything(screening(room))
    return await newest(room)


async def at(room: Room, text: str, dataset_id: int | None = None) -> int:
    ((position,),) = await room.rows(
        "SELECT position FROM examples WHERE assistant = ? AND dataset_id = coalesce(?, (SELECT max(id) FROM datasets))",
        text,
        dataset_id,
    )
    return position


async def decide(room: Room, text: str, keep: bool, person: Person = KEEPER, now: float = 1.0) -> None:
    dataset = await newest(room)
    await pipeline.decide_example(
        room.database,
        dataset.id,
        await at(room, text),
        keep,
        person,
        training_data_file=room.training_file,
        now=now,
    )


async def decide_all(room: Room, category: str, keep: bool, person: Person = KEEPER) -> int:
    dataset = await newest(room)
    return await pipeline.decide_category(
        room.database, dataset.id, category, keep, person, training_data_file=room.training_file, now=2.0
    )


async def threshold(room: Room, category: str | None, value: float | None, person: Person = KEEPER) -> int:
    dataset = await newest(room)
    return await pipeline.set_threshold(
        room.database, dataset.id, category, value, person, training_data_file=room.training_file, now=3.0
    )


async def listed(room: Room, category: str | None = None, offset: int = 0, limit: int = 100) -> list[Flagged]:
    dataset = await newest(room)
    return await pipeline.flagged(room.database, dataset.id, category=category, offset=offset, limit=limit)


def extra(room: Room) -> set[str]:
    """What is trained on beside the twelve harmless posts, which are always there."""
    texts = set(trained_on(room))
    assert texts >= set(nights(12))
    return texts - set(nights(12))


# --- keep and drop --------------------------------------------------------------------------------------------


async def test_what_is_flagged_and_undecided_is_not_in_the_file(tmp_path: Path):
    async with open_room(tmp_path) as room:
        dataset = await screened(room)
        assert extra(room) == set()
        found = await pipeline.summary(room.database, dataset.id)
        assert (found.model, found.judged, found.total) == (SCREENER, 15, 15)
        assert (found.set_aside, found.undecided, found.kept, found.skipped_by) == (3, 3, 0, None)
        assert found.thresholds == {}
        assert found.by_category == (
            CategoryCount("harassment", 2, 2, 0, 0),
            CategoryCount("violence", 2, 2, 0, 0),
        )


async def test_each_decision_is_in_the_file_at_once_and_recorded_with_who_and_when(tmp_path: Path):
    async with open_room(tmp_path) as room:
        dataset = await screened(room)
        await decide(room, KNIFE, True, KEEPER, 5.0)
        assert extra(room) == {KNIFE}
        await decide(room, CURSE, False, ODILE, 6.0)
        await decide(room, KNIFE, False, ODILE, 7.0)
        assert extra(room) == set()
        await decide(room, KNIFE, True, KEEPER, 8.0)
        assert extra(room) == {KNIFE}
        said = [
            (each.person, each.act, each.at, each.position) for each in await store.decisions(room.database, dataset.id)
        ]
        knife, curse = await at(room, KNIFE), await at(room, CURSE)
        assert said == [
            (KEEPER, Act.KEEP, 5.0, knife),
            (ODILE, Act.DROP, 6.0, curse),
            (ODILE, Act.DROP, 7.0, knife),
            (KEEPER, Act.KEEP, 8.0, knife),
        ]
        found = await pipeline.summary(room.database, dataset.id)
        assert (found.set_aside, found.undecided, found.kept) == (2, 1, 1)
        assert found.by_category == (
            CategoryCount("harassment", 2, 1, 0, 1),
            CategoryCount("violence", 2, 1, 1, 0),
        )
        after = await newest(room)
        assert (after.training_count, after.set_aside_count) == (13, 2)


async def test_what_nobody_flagged_can_be_dropped_too(tmp_path: Path):
    async with open_room(tmp_path) as room:
        dataset = await screened(room)
        await decide(room, nights(12)[3], False)
        assert set(trained_on(room)) == set(nights(12)) - {nights(12)[3]}
        (dropped,) = [each for each in await listed(room) if not each.categories]
        assert (dropped.assistant, dropped.decision) == (nights(12)[3], "drop")
        found = await pipeline.summary(room.database, dataset.id)
        assert (found.set_aside, found.undecided, found.kept) == (4, 3, 0)
        assert len(await listed(room)) == found.set_aside + found.kept
        await decide(room, nights(12)[3], True)
        assert len(await listed(room)) == 3
        assert extra(room) == set()


async def test_a_whole_category(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await screened(room)
        assert await decide_all(room, "violence", True, ODILE) == 1
        assert extra(room) == {KNIFE}, "what is flagged for something else as well is not decided"
        assert await decide_all(room, "harassment", True) == 2
        assert extra(room) == {KNIFE, CURSE, BOTH}
        assert await decide_all(room, "violence", False) == 2
        assert extra(room) == {CURSE}
        await decide(room, KNIFE, True)
        await decide_all(room, "violence", False)
        assert extra(room) == {CURSE, KNIFE}, "the example's own decision wins"
        found = {each.assistant: (each.decision, each.decided_by) for each in await listed(room)}
        assert found == {KNIFE: ("keep", "keeper"), CURSE: ("keep", "keeper"), BOTH: ("drop", "keeper")}


async def test_flagged_examples_come_in_pages_in_the_datasets_order(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await screened(room)
        everyone = await listed(room)
        assert [each.position for each in everyone] == sorted(each.position for each in everyone)
        assert {each.assistant for each in everyone} == {KNIFE, CURSE, BOTH}
        assert [(await listed(room, None, offset, 1))[0] for offset in range(3)] == everyone
        assert await listed(room, None, 3, 5) == []
        violent = await listed(room, "violence")
        assert {each.assistant for each in violent} == {KNIFE, BOTH}
        assert await listed(room, "hate") == []
        (both,) = [each for each in violent if each.assistant == BOTH]
        assert both.categories == ("harassment", "violence")
        assert set(both.scores) == {"harassment", "violence"}
        assert all(score >= 0.8 for score in both.scores.values())
        assert (both.user, both.decision, both.decided_by) == (RULES.user_message, None, None)
        assert both.url is not None
        assert both.url.startswith("https://")


async def test_an_example_or_dataset_that_is_not_there(tmp_path: Path):
    async with open_room(tmp_path) as room:
        dataset = await screened(room)
        path = room.training_file
        with pytest.raises(NothingToDo, match="no such example"):
            await pipeline.decide_example(room.database, dataset.id, 99, True, KEEPER, training_data_file=path, now=0.0)
        for call in (
            pipeline.summary(room.database, 9),
            pipeline.flagged(room.database, 9, category=None, offset=0, limit=1),
            pipeline.decide_category(room.database, 9, "hate", True, KEEPER, training_data_file=path, now=0.0),
            pipeline.set_threshold(room.database, 9, None, 0.5, KEEPER, training_data_file=path, now=0.0),
            pipeline.skip_screening(room.database, 9, KEEPER, training_data_file=path, now=0.0),
        ):
            with pytest.raises(NothingToDo, match="9 does not exist"):
                await call
        assert await store.decisions(room.database, dataset.id) == []


async def test_a_file_that_cannot_be_written_keeps_the_decision_and_is_written_later(tmp_path: Path):
    async with open_room(tmp_path) as room:
        dataset = await screened(room)
        path = room.training_file
        there = path.read_bytes()
        path.unlink()
        path.mkdir()
        with pytest.raises(BotError, match="cannot be"):
            await decide(room, KNIFE, True)
        assert len(await store.decisions(room.database, dataset.id)) == 1
        path.rmdir()
        path.write_bytes(there)
        await repair_training_file(room.database, path)
        assert extra(room) == {KNIFE}


# --- thresholds -------------------------------------------------------------------------------------------------


async def test_thresholds_are_worked_out_from_stored_scores_without_any_call(tmp_path: Path):
    async with open_room(tmp_path) as room:
        dataset = await screened(room, "a storm at sea")
        calls = len(room.asked("/moderations"))
        assert extra(room) == {"a storm at sea"}
        assert await threshold(room, "violence", 0.2) == 1
        assert extra(room) == set()
        assert await threshold(room, "violence", 1.0) == 2, "stricter no more: the storm and the knife"
        assert extra(room) == {"a storm at sea", KNIFE}
        assert await threshold(room, None, 1.0) == 2
        assert extra(room) == {"a storm at sea", KNIFE, CURSE, BOTH}
        assert await threshold(room, None, None) == 2
        assert await threshold(room, "violence", None) == 1
        assert extra(room) == {"a storm at sea"}
        assert await threshold(room, "violence", None) == 0
        assert len(room.asked("/moderations")) == calls
        await threshold(room, "violence", 0.25, ODILE)
        await threshold(room, None, 0.9, ODILE)
        found = await pipeline.summary(room.database, dataset.id)
        assert found.thresholds == {"violence": 0.25, None: 0.9}
        said = (await store.decisions(room.database, dataset.id))[-1]
        assert (said.person, said.act, said.at, said.value) == (ODILE, Act.THRESHOLD, 3.0, 0.9)


async def test_a_threshold_of_zero_flags_everything(tmp_path: Path):
    async with open_room(tmp_path) as room:
        dataset = await screened(room)
        assert await threshold(room, None, 0.0) == 12
        assert trained_on(room) == []
        assert (await pipeline.summary(room.database, dataset.id)).undecided == 15


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
async def test_what_is_no_score_is_no_threshold(tmp_path: Path, value: float):
    async with open_room(tmp_path) as room:
        dataset = await screened(room)
        with pytest.raises(NothingToDo, match="from 0 to 1"):
            await threshold(room, None, value)
        assert await store.decisions(room.database, dataset.id) == []


async def test_decisions_hold_whatever_the_thresholds_are(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await screened(room, "a storm at sea")
        await decide(room, KNIFE, True)
        await decide(room, CURSE, False)
        await threshold(room, None, 1.0)
        assert extra(room) == {"a storm at sea", KNIFE, BOTH}
        await threshold(room, None, 0.2)
        assert extra(room) == {KNIFE}


async def test_a_threshold_that_is_set_first_counts_when_the_screening_is_done(tmp_path: Path):
    async with open_room(tmp_path) as room:
        room.openai.borderline_words = {"storm": "violence"}
        await prepared(room, [*nights(12), "a storm at sea"])
        assert await threshold(room, "violence", 0.2) == 0
        await everything(screening(room))
        assert await aside(room) == {"a storm at sea": "violence"}


async def test_any_order_of_acts_comes_to_what_is_shown(tmp_path: Path):
    """The counts, the list, the examples' rows and the file always say the same."""
    dice = random.Random(5)
    async with open_room(tmp_path) as room:
        dataset = await screened(room, "a storm at sea", "another storm")
        for _ in range(25):
            match dice.randrange(3):
                case 0:
                    await decide(room, dice.choice([KNIFE, CURSE, BOTH, "another storm"]), dice.random() < 0.5)
                case 1:
                    await decide_all(room, dice.choice(["violence", "harassment"]), dice.random() < 0.5)
                case _:
                    await threshold(room, dice.choice([None, "violence", "harassment"]), dice.choice([None, 0.2, 1.0]))
            found = await pipeline.summary(room.database, dataset.id)
            shown = await listed(room)
            out = {each.assistant for each in shown if each.decision != "keep"}
            assert out == set(await aside(room))
            assert set(trained_on(room)) == {*nights(12), KNIFE, CURSE, BOTH, "a storm at sea", "another storm"} - out
            assert found.set_aside == len(out)
            assert found.kept == len([each for each in shown if each.decision == "keep"])
            assert found.undecided == len([each for each in shown if each.decision is None])
            for count in found.by_category:
                assert count.flagged == count.undecided + count.kept + count.dropped
                assert count.flagged == len(await listed(room, count.category))


# --- another dataset ------------------------------------------------------------------------------------------


async def test_a_new_dataset_starts_unscreened_and_knows_what_was_decided(tmp_path: Path):
    async with open_room(tmp_path) as room:
        first = await screened(room, "a storm at sea")
        await decide(room, KNIFE, True, ODILE)
        await decide(room, CURSE, False, KEEPER)
        await decide(room, nights(12)[0], False, ODILE)
        before = len(sent(room))
        await store_posts(room.database, ["a new knife", "one more"], blog="other")
        await everything(room.examples())
        assert (await newest(room)).screened_with is None
        last = (await everything(screening(room)))[-1]
        assert sorted(sent(room)[before:]) == ["a new knife", "one more"]
        assert dict(last.facts)["Decided before"] == "3, in earlier datasets"
        second = await newest(room)
        assert second.id == first.id + 1
        texts = set(trained_on(room))
        assert KNIFE in texts
        assert not texts & {CURSE, BOTH, "a new knife", nights(12)[0]}
        shown = {each.assistant: (each.decision, each.decided_by, each.carried) for each in await listed(room)}
        assert shown == {
            KNIFE: ("keep", "odile", True),
            CURSE: ("drop", "keeper", True),
            BOTH: (None, None, False),
            "a new knife": (None, None, False),
            nights(12)[0]: ("drop", "odile", True),
        }
        repeated = await store.decisions(room.database, second.id)
        original = {each.id: each for each in await store.decisions(room.database, first.id)}
        for each in repeated:
            assert each.carried_from is not None
            assert each.person == original[each.carried_from].person
        # Nothing is repeated twice, and a third dataset knows as much.
        await everything(screening(room))
        assert len(await store.decisions(room.database, second.id)) == len(repeated)
        await again(room, "a third")
        assert KNIFE in trained_on(room)


async def test_the_newest_word_about_a_text_is_carried_over(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await screened(room)
        await decide(room, KNIFE, True)
        await again(room, "more")
        await decide(room, KNIFE, False, ODILE)
        await again(room, "more", "and more")
        assert KNIFE not in trained_on(room)
        (knife,) = [each for each in await listed(room) if each.assistant == KNIFE]
        assert (knife.decision, knife.decided_by) == ("drop", "odile")


async def test_what_was_decided_by_category_is_carried_over_for_the_same_texts_only(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await screened(room)
        await decide_all(room, "violence", True)
        await again(room, "a new knife")
        texts = set(trained_on(room))
        assert KNIFE in texts
        assert "a new knife" not in texts, "nobody has seen it"


async def test_thresholds_are_carried_over_and_can_be_changed_there(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await screened(room, "a storm at sea")
        await threshold(room, "violence", 0.2)
        second = await again(room, "another storm")
        assert (await pipeline.summary(room.database, second.id)).thresholds == {"violence": 0.2}
        assert not set(trained_on(room)) & {"a storm at sea", "another storm"}
        await threshold(room, "violence", None)
        await everything(screening(room))
        assert {"a storm at sea", "another storm"} <= set(trained_on(room))
        third = await again(room, "another storm", "more")
        assert (await pipeline.summary(room.database, third.id)).thresholds == {}


async def test_another_standing_prompt_does_not_make_it_another_text(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await screened(room)
        await decide(room, KNIFE, True)
        await again(room, "more", user_message="Write something else.")
        assert KNIFE in trained_on(room)


async def test_the_same_answer_to_another_question_is_decided_anew(tmp_path: Path):
    async with open_room(tmp_path) as room:
        room.openai.flagged_words = WORDS
        room.prompts_file.write_text(json.dumps({"what is there?": "a knife."}) + "\n")
        await prepared(room, nights(12))
        await everything(screening(room))
        await decide(room, "a knife.", True)
        room.prompts_file.write_text(json.dumps({"what do you want?": "a knife."}) + "\n")
        await again(room, "more")
        assert "a knife." not in trained_on(room)


async def test_decisions_outlast_another_screening_of_the_dataset(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await screened(room)
        await decide(room, KNIFE, True)
        await everything(screening(room))
        assert extra(room) == {KNIFE}


async def test_what_is_removed_is_gone_from_the_screening_too(tmp_path: Path):
    async with open_room(tmp_path) as room:
        dataset = await screened(room)
        await decide(room, KNIFE, True)
        ((uuid, post_id),) = await room.rows("SELECT blog_uuid, post_id FROM examples WHERE assistant = ?", KNIFE)
        async with room.database.write() as connection:
            await purge.purge_posts(connection, uuid, [post_id])
        await repair_training_file(room.database, room.training_file)
        assert {each.assistant for each in await listed(room)} == {CURSE, BOTH}
        found = await pipeline.summary(room.database, dataset.id)
        assert (found.total, found.set_aside, found.undecided, found.kept) == (14, 2, 2, 0)
        # Positions keep their meaning where one is missing.
        await decide(room, CURSE, True)
        await threshold(room, "violence", 0.95)
        await everything(screening(room))
        assert CURSE in extra(room)
        assert BOTH not in extra(room)


# --- without a screening ----------------------------------------------------------------------------------------


async def test_a_screening_can_be_skipped_and_the_dataset_remembers_by_whom(tmp_path: Path):
    async with open_room(tmp_path) as room:
        room.openai.flagged_words = WORDS
        await prepared(room, [*nights(12), KNIFE])
        dataset = await newest(room)
        path = room.training_file
        found = await pipeline.summary(room.database, dataset.id)
        assert (found.model, found.judged, found.total, found.skipped_by) == (None, 0, 13, None)
        await pipeline.skip_screening(room.database, dataset.id, ODILE, training_data_file=path, now=4.0)
        found = await pipeline.summary(room.database, dataset.id)
        assert (found.model, found.skipped_by) == (None, "odile")
        assert KNIFE in trained_on(room)
        (said,) = await store.decisions(room.database, dataset.id)
        assert (said.person, said.act, said.at) == (ODILE, Act.SKIP, 4.0)
        # It may be screened after all, and is then no longer one that was not.
        await everything(screening(room))
        assert (await pipeline.summary(room.database, dataset.id)).skipped_by is None
        assert KNIFE not in trained_on(room)
        with pytest.raises(NothingToDo, match="was screened with omni-moderation-latest"):
            await pipeline.skip_screening(room.database, dataset.id, ODILE, training_data_file=path, now=5.0)
        # And the next one is not skipped by that.
        await store_posts(room.database, ["more"], blog="other")
        await everything(room.examples())
        assert (await pipeline.summary(room.database, dataset.id + 1)).skipped_by is None


async def test_a_half_done_screening_says_how_far_it_is(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await prepared(room, nights(12))
        stage = screening(room, texts_per_call=4)
        await anext(stage)
        await anext(stage)
        await stage.aclose()  # type: ignore[attr-defined]
        found = await pipeline.summary(room.database, 1)
        assert found.model is None
        assert 4 <= found.judged < found.total == 12


# --- the service that is asked ------------------------------------------------------------------------------------


def settings_of(folder: Path, openai: OpenAISettings) -> Settings:
    return Settings(
        data_directory=folder / "data",
        custom_prompts_file=folder / "custom_prompts.jsonl",
        training_data_file=folder / "data" / "training_data.jsonl",
        openai=openai,
    )


async def outcome(app: App) -> tuple[JobState, str]:
    job = await app.runner.submit("moderate", {}, requested_by="k", requester_id=1, channel_id=None)
    async for now in app.runner.follow(job.id):
        job = now
    return job.state, job.error or ""


async def test_another_service_can_screen_and_without_any_the_stage_says_so(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await prepared(room, [*nights(12), KNIFE])
        await room.database.close()
        local = OpenAIService()
        local.api_key = "k-local"
        local.models = {"local-guard": local.models["omni-moderation-latest"]}
        local.flagged_words = WORDS
        address = f"{await local.start()}/v1"
        for moderation, expected in (
            (ModerationSettings(), (JobState.FAILED, "There is no API key")),
            # Another host than that of [openai] is never sent its key.
            (ModerationSettings(base_url=address, model="local-guard"), (JobState.FAILED, "There is no API key")),
            (
                ModerationSettings(base_url=f"{address}/nothing-here", api_key=SecretStr("k-local")),
                (JobState.FAILED, "127.0.0.1 offers no moderation."),
            ),
            (
                ModerationSettings(base_url=address, api_key=SecretStr("k-local"), model="local-guard"),
                (JobState.SUCCEEDED, ""),
            ),
        ):
            options = OpenAISettings(moderation=moderation)
            if moderation.base_url:
                options = OpenAISettings(api_key=SecretStr("k-other"), moderation=moderation)
            settings = settings_of(tmp_path, options)
            app = App(settings, tmp_path / "config.toml", pace=Pace(training_poll=0.05))
            await app.start()
            try:
                assert app.stages.can_screen == bool(settings.endpoint("moderation").api_key.get_secret_value())
                state, error = await outcome(app)
                assert (state, error[: len(expected[1])]) == expected
                found = await app.screenings.summary(1)
                if state is JobState.SUCCEEDED:
                    assert (found.model, found.set_aside) == ("local-guard", 1)
                    (knife,) = await app.screenings.flagged(1, category="violence", offset=0, limit=5)
                    await app.screenings.decide_example(1, knife.position, True, KEEPER)
                    assert KNIFE in trained_on(room)
                    assert await app.screenings.decide_category(1, "violence", False, KEEPER) == 0
                    assert await app.screenings.set_threshold(1, None, 0.0, KEEPER) == 12
                else:
                    assert found.model is None
                    await app.screenings.skip(1, ODILE)
                    assert (await app.screenings.summary(1)).skipped_by == "odile"
            finally:
                await app.stop()
        assert not room.openai.requests
        await local.stop()
