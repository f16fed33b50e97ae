"""Two voices write each text once, and pay for it once, whatever goes wrong; a round gets one verdict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bot.comparison_desk import verdict_on
from bot.demo.faults import Fault
from bot.drafts import Person
from bot.errors import BudgetReached, ModelError, ModelUnavailable, NothingToDo
from bot.pipeline.compare import Contest, Contestant, compare
from bot.progress import Progress
from bot.store import comparisons, spending, voices
from bot.store.comparisons import Comparison, Round, Verdict
from bot.training import Voice, VoiceKind
from bot.voices.few_shot import FewShot
from bot.voices.tuned import TunedWriter
from tests.pipeline.room import Room, everything, nights, open_room, store_posts, take
from tests.pipeline.test_generate import CHAT, killed_in_call, refuses, says

TUNED = "gpt-4.1-mini-2025-04-14"
PROMPTS = [("Write.", True), ("As trained.", False)]


@dataclass
class Table:
    """A comparison of few-shot with a trained voice, and a way to run it."""

    room: Room
    contest: Contest
    shown: list[None] = field(default_factory=list)

    def run(self, **changes: Any) -> AsyncIterator[Progress]:
        return compare(replace(self.contest, **changes))

    async def rounds(self) -> list[Round]:
        return await comparisons.rounds_of(self.room.database, self.contest.comparison.id)

    async def texts(self) -> list[str | None]:
        return [text for each in await self.rounds() for text in (each.one_text, each.other_text)]

    async def entries(self) -> list[tuple[Any, ...]]:
        return await self.room.rows("SELECT purpose, job_id, model, spent FROM spending ORDER BY id")


async def set_up(room: Room, prompts: list[tuple[str, bool]] | None = None) -> Table:
    await store_posts(room.database, nights(12))
    one = await room.few_shot_voice()
    other = Voice(
        id=0,
        kind=VoiceKind.FINE_TUNED,
        name="mine",
        model=TUNED,
        base_url=f"{room.address}/v1",
        dataset_id=None,
        developer_message="You were trained.",
        user_message="As trained.",
        cost=0.0,
        active=False,
        created_at=0.0,
    )
    job = await room.job("compare")
    async with room.database.write() as connection:
        other = replace(other, id=await voices.add_voice(connection, other))
        number = await comparisons.add_comparison(
            connection, job_id=job, one_id=one.id, other_id=other.id, rounds=prompts or PROMPTS, now=0.0
        )
    shown: list[None] = []
    contest = Contest(
        room.database,
        Comparison(number, job, one.id, other.id),
        Contestant(one, FewShot(room.database, room.service(), seed=one.id)),
        Contestant(other, TunedWriter(room.service(), room.database)),
        20.0,
        lambda: shown.append(None),
    )
    return Table(room, contest, shown)


async def test_both_write_to_the_same_prompts_each_with_its_own_words(tmp_path: Path):
    async with open_room(tmp_path) as room:
        table = await set_up(room)
        last = (await everything(table.run()))[-1]
        assert last.line == "Done: 2 rounds wait for your verdict."
        assert last.facts[0][0] == "Cost"
        assert all(await table.texts())
        asked = [request.body for request in room.asked("/completions")]
        assert [(a["model"] == TUNED, a["messages"][-1]["content"]) for a in asked] == [
            (False, "Write."),
            (True, "Write."),
            (False, "As trained."),
            (True, "As trained."),
        ]
        assert {a["messages"][0]["content"] for a in asked if a["model"] == TUNED} == {"You were trained."}
        spent = await table.entries()
        assert [(purpose, job) for purpose, job, _, _ in spent] == [("comparing", table.contest.comparison.job_id)] * 4
        assert all(cost > 0 for *_, cost in spent)
        assert table.shown


async def test_the_progress_counts_texts_also_where_it_goes_on(tmp_path: Path):
    async with open_room(tmp_path) as room:
        table = await set_up(room)
        first = await take(table.run(), 2)
        rest = await everything(table.run())
        assert [(each.done, each.total) for each in first] == [(0, 4), (1, 4)]
        assert [(each.done, each.total) for each in rest] == [(1, 4), (2, 4), (3, 4), (4, 4)]
        assert [each.line.partition(":")[0] for each in rest] == [
            "Round 1 of 2", "Round 2 of 2", "Round 2 of 2", "Done",
        ]  # fmt: skip


async def test_nothing_that_is_shown_meanwhile_tells_which_text_is_whose(tmp_path: Path):
    async with open_room(tmp_path) as room:
        table = await set_up(room)
        for progress in await everything(table.run()):
            assert progress.preview is None
            assert "mine" not in repr(progress)
            assert "few-shot" not in repr(progress)


@pytest.mark.parametrize("steps", range(1, 6))
async def test_ended_after_any_step_each_text_is_paid_once(tmp_path: Path, steps: int):
    async with open_room(tmp_path) as room:
        table = await set_up(room)
        await take(table.run(), steps)
        before = [text for text in await table.texts() if text is not None]
        await everything(table.run())
        texts = await table.texts()
        assert all(texts)
        assert set(before) <= set(texts)
        assert len(room.asked("/completions")) == 4
        assert len(await table.entries()) == 4


@pytest.mark.parametrize("call", range(4))
async def test_killed_during_any_call_only_that_one_is_made_again(tmp_path: Path, call: int):
    async with open_room(tmp_path) as room:
        table = await set_up(room)
        await killed_in_call(room, table.run(), after=call)
        await everything(table.run())
        assert all(await table.texts())
        entries = await table.entries()
        assert len(entries) == 5
        assert [spent for *_, spent in entries].count(None) == 1, "what may have been spent goes on counting"
        await everything(table.run())
        assert len(await table.entries()) == 5


async def test_the_budget_stops_it_with_a_sentence_and_keeps_what_was_written(tmp_path: Path):
    async with open_room(tmp_path) as room:
        table = await set_up(room)
        dearest = await table.contest.other.writer.most_expensive(table.contest.other.voice, "As trained.")
        with pytest.raises(BudgetReached, match="would pass the monthly budget"):
            await everything(table.run(monthly_limit=dearest))
        written = sum(text is not None for text in await table.texts())
        assert 1 <= written < 4
        assert await spending.used_this_month(room.database, table.contest.clock()) <= dearest
        await everything(table.run())
        assert len(room.asked("/completions")) == 4


@pytest.mark.parametrize(("status", "code"), [(401, "invalid_api_key"), (403, None), (400, None)])
async def test_a_refused_call_costs_nothing_and_is_made_again_later(tmp_path: Path, status: int, code: str | None):
    async with open_room(tmp_path) as room:
        table = await set_up(room)
        room.openai.faults.schedule(refuses(status, code, after=1, times=4))
        with pytest.raises(ModelError):
            await everything(table.run())
        assert [spent for *_, spent in await table.entries()][1:] == [0.0]
        room.openai.faults.clear()
        await everything(table.run())
        assert all(await table.texts())


async def test_a_limit_of_the_service_is_waited_for_where_everybody_sees_it(tmp_path: Path):
    async with open_room(tmp_path) as room:
        table = await set_up(room)
        limit = Fault(
            "POST",
            CHAT,
            "status",
            429,
            {"error": {"message": "slow", "code": "rate_limit_exceeded"}},
            headers={"retry-after": "0.05"},
        )
        room.openai.faults.schedule(limit)
        seen = await everything(table.run(clock=lambda: 5_000.0))
        (waiting,) = [progress for progress in seen if progress.waiting_for == "the model service's limit"]
        assert waiting.wait_until == pytest.approx(5_000.05)
        assert all(await table.texts())


async def test_an_empty_answer_is_asked_for_again(tmp_path: Path):
    async with open_room(tmp_path) as room:
        table = await set_up(room, [("Write.", True)])
        room.openai.faults.schedule(says(" "), says("one at last"))
        last = (await everything(table.run()))[-1]
        assert last.line == "Done: both texts of the round wait for your verdict."
        assert (await table.texts())[0] == "one at last"
        room.openai.faults.clear()
        assert len(await table.entries()) == 3


async def test_a_voice_that_never_says_anything_ends_it_with_a_sentence(tmp_path: Path):
    async with open_room(tmp_path) as room:
        table = await set_up(room)
        room.openai.faults.schedule(says("", times=9))
        with pytest.raises(ModelUnavailable, match="answered with nothing 3 times"):
            await everything(table.run())


async def test_a_comparison_without_rounds_says_so(tmp_path: Path):
    async with open_room(tmp_path) as room:
        table = await set_up(room)
        async with room.database.write() as connection:
            await connection.execute("DELETE FROM comparison_rounds")
        with pytest.raises(NothingToDo, match="nothing to compare"):
            await everything(table.run())


async def test_a_round_gets_one_verdict(tmp_path: Path):
    async with open_room(tmp_path) as room:
        table = await set_up(room)

        async def judge(verdict: Verdict, number: int) -> bool:
            async with room.database.write() as connection:
                person = Person(number, f"person {number}")
                return await comparisons.judge(connection, 1, 1, verdict, person, now=float(number))

        counted = await asyncio.gather(judge(Verdict.ONE, 1), judge(Verdict.OTHER, 2), judge(Verdict.NEITHER, 3))
        assert sum(counted) == 1
        first, second = await table.rounds()
        assert (first.judge, first.judged_at) == (f"person {counted.index(True) + 1}", float(counted.index(True) + 1))
        assert second.verdict is None


@pytest.mark.parametrize(
    ("one_first", "choice", "verdict"),
    [
        (True, "a", Verdict.ONE),
        (True, "b", Verdict.OTHER),
        (False, "a", Verdict.OTHER),
        (False, "b", Verdict.ONE),
        (True, "neither", Verdict.NEITHER),
    ],
)
async def test_the_better_text_is_that_of_the_voice_which_wrote_it(
    tmp_path: Path, one_first: bool, choice: str, verdict: Verdict
):
    async with open_room(tmp_path) as room:
        (found,) = await (await set_up(room, [("Write.", one_first)])).rounds()
        assert verdict_on(found, choice) is verdict
