"""Drafts are written once each, paid for once each, and never beyond the budget, whatever goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.demo.faults import Fault
from bot.demo.openai_generation import Answered
from bot.demo.openai_service import OpenAIService
from bot.drafts import Draft, DraftState, Person
from bot.errors import BotError, BudgetReached, ModelError, ModelUnavailable, NothingToDo
from bot.language.prices import chat_cost
from bot.pipeline import decide
from bot.pipeline import generate as generate_stage
from bot.pipeline.generate import Desk, Reblogging, generate, rewrite_replaced
from bot.progress import Progress
from bot.store import drafts as store
from bot.store import spending
from tests.pipeline.conftest import NAME, START, Bench, open_bench, post
from tests.pipeline.room import MODEL, Room, everything, nights, open_room, store_posts, take

CHAT = "/v1/chat/completions"
KEEPER = Person(1, "keeper")


def answer(text: str, finish: str = "stop") -> dict[str, Any]:
    """A chat completion with this text."""
    return {
        "id": "c",
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 1_000, "completion_tokens": 10},
    }


def says(text: str, *, finish: str = "stop", times: int = 1, after: int = 0) -> Fault:
    return Fault("POST", CHAT, "status", status=200, body=answer(text, finish), times=times, after=after)


def refuses(status: int, code: str | None = None, *, after: int = 0, times: int = 1) -> Fault:
    body = {"error": {"message": "no", "type": "x", "code": code}}
    return Fault("POST", CHAT, "status", status=status, body=body, after=after, times=times)


def writing(desk: Desk, job_id: int, count: int = 3, prompt: str | None = None) -> AsyncIterator[Progress]:
    return generate(desk, job_id=job_id, count=count, prompt=prompt, channel_id=7)


async def drafts(room: Room) -> list[Draft]:
    return await store.drafts_in(room.database, list(DraftState), limit=100)


async def entries(room: Room) -> list[tuple[Any, ...]]:
    """Purpose, what was set aside and what was spent of every call."""
    return await room.rows("SELECT purpose, reserved, spent FROM spending ORDER BY id")


# --- what a draft holds ---------------------------------------------------------------------------------------


async def test_every_draft_has_its_prompt_voice_destination_and_cost(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        job = await room.job()
        desk = await room.desk()
        last = (await everything(writing(desk, job)))[-1]
        written = await drafts(room)
        assert last.line == "Done: 3 drafts wait for your decision."
        assert ("Destination", "keeper") in last.facts
        assert len({draft.text for draft in written}) == 3
        for draft in written:
            assert (draft.prompt, draft.voice_id, draft.voice_name) == ("Write.", desk.voice.id, "few-shot")
            assert (draft.blog, draft.job_id, draft.channel_id, draft.state) == ("keeper", job, 7, DraftState.PENDING)
            assert draft.cost > 0
        spent = await entries(room)
        assert [purpose for purpose, _, _ in spent] == ["writing"] * 3
        assert [cost for _, _, cost in spent] == pytest.approx([draft.cost for draft in written])
        assert all(reserved >= cost for _, reserved, cost in spent)
        assert await spending.spent_on_job(room.database, job) == pytest.approx(sum(draft.cost for draft in written))


async def test_the_cost_is_that_of_the_tokens_the_service_counted(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        room.openai.faults.schedule(says("a text"))
        await everything(writing(await room.desk(), await room.job(), 1))
        (draft,) = await drafts(room)
        assert draft.cost == pytest.approx(chat_cost(MODEL, 1_000, 10))
        assert await room.rows("SELECT input_tokens, output_tokens FROM spending") == [(1_000, 10)]


async def test_a_persons_own_prompt_is_asked_and_kept(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        await everything(writing(await room.desk(), await room.job(), 1, "About gulls."))
        assert room.asked("/completions")[-1].body["messages"][-1] == {"role": "user", "content": "About gulls."}
        assert [draft.prompt for draft in await drafts(room)] == ["About gulls."]


async def test_a_text_that_was_cut_off_says_so(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        room.openai.faults.schedule(says("whole"), says("and then", finish="length"))
        await everything(writing(await room.desk(), await room.job(), 2))
        found = [row[0] for row in await room.rows("SELECT findings FROM drafts ORDER BY id")]
        assert ["The text was cut off at the length limit." in each for each in found] == [False, True]


async def test_without_a_destination_nothing_is_asked(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        with pytest.raises(NothingToDo, match="No blog is named"):
            await everything(writing(replace(await room.desk(), blog=""), await room.job()))
        assert not room.asked("/completions")


# --- nothing to read in the answer ----------------------------------------------------------------------------


async def test_an_empty_answer_is_asked_for_again_and_its_cost_is_the_drafts(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        room.openai.faults.schedule(says(" \n"), says(""), says("at last"))
        await everything(writing(await room.desk(), await room.job(), 1))
        (draft,) = await drafts(room)
        assert draft.text == "at last"
        assert len(room.asked("/completions")) == 3
        assert draft.cost == pytest.approx(3 * chat_cost(MODEL, 1_000, 10))


async def test_three_empty_answers_end_with_a_sentence(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        room.openai.faults.schedule(says("", times=9))
        job = await room.job()
        with pytest.raises(ModelUnavailable, match="answered with nothing 3 times"):
            await everything(writing(await room.desk(), job))
        assert len(room.asked("/completions")) == 3
        assert await drafts(room) == []
        assert await spending.spent_on_job(room.database, job) == pytest.approx(3 * chat_cost(MODEL, 1_000, 10))


# --- going on where it was ------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", range(1, 8))
async def test_stopped_between_calls_it_pays_for_nothing_twice(tmp_path: Path, steps: int):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        job, desk = await room.job(), await room.desk(tags=0.5)
        await take(writing(desk, job), steps)
        kept = [draft.id for draft in await drafts(room)]
        await everything(writing(desk, job))
        written = await drafts(room)
        assert [draft.id for draft in written][: len(kept)] == kept
        assert len(written) == 3
        assert sum(purpose == "writing" for purpose, _, _ in await entries(room)) == 3
        await everything(writing(desk, job))
        assert len(await drafts(room)) == 3


@pytest.mark.parametrize("call", range(6))
async def test_killed_during_any_call_only_that_one_is_made_again(tmp_path: Path, call: int):
    """Three drafts with tags are six calls; the process dies in the middle of one of them, after the service acted."""
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        job, desk = await room.job(), await room.desk(tags=1.0)
        await killed_in_call(room, writing(desk, job), after=call)
        await everything(writing(desk, job))
        written = await drafts(room)
        assert len(written) == 3
        purposes = [purpose for purpose, _, _ in await entries(room)]
        killed_writing = call % 2 == 0
        assert purposes.count("writing") == (4 if killed_writing else 3)
        # A draft whose tags were on their way keeps its text, and goes without tags.
        assert sum(not draft.tags for draft in written) == (0 if killed_writing else 1)
        assert [spent for _, _, spent in await entries(room)].count(None) == 1


async def killed_in_call(room: Room, stage: AsyncIterator[Progress], *, after: int = 0, act: bool = True) -> None:
    served = len(room.openai.faults.served)
    room.openai.faults.schedule(Fault("POST", CHAT, "hang", after=after, act=act))
    task = asyncio.create_task(everything(stage))
    while len(room.openai.faults.served) == served and not task.done():
        await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    room.openai.faults.clear()


# --- money ----------------------------------------------------------------------------------------------------

REFUSALS = [(400, None), (401, "invalid_api_key"), (403, None), (404, None),
            (429, "insufficient_quota")]  # fmt: skip


@pytest.mark.parametrize(("status", "code"), REFUSALS)
async def test_a_refused_call_costs_nothing_and_what_came_before_is_kept(tmp_path: Path, status: int, code: str | None):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        job = await room.job()
        room.openai.faults.schedule(refuses(status, code, after=1))
        with pytest.raises(ModelError):
            await everything(writing(await room.desk(), job))
        (draft,) = await drafts(room)
        assert await spending.spent_on_job(room.database, job) == pytest.approx(draft.cost)


@pytest.mark.parametrize("fault", ["reset_before", "reset_after", "truncated", "html"])
async def test_a_call_without_an_answer_goes_on_counting(tmp_path: Path, fault: Any):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        job = await room.job()
        room.openai.faults.schedule(Fault("POST", CHAT, fault, status=504))
        with pytest.raises(ModelUnavailable):
            await everything(writing(await room.desk(), job))
        ((_, reserved, spent),) = await entries(room)
        assert spent is None
        assert await spending.spent_on_job(room.database, job) == reserved > 0


async def test_what_is_open_counts_against_the_budget(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        desk = await room.desk()
        call = await desk.writer.most_expensive(desk.voice, "Write.")
        room.openai.faults.schedule(Fault("POST", CHAT, "reset_after"))
        job = await room.job()
        with pytest.raises(ModelUnavailable):
            await everything(writing(desk, job))
        before = len(room.asked("/completions"))
        with pytest.raises(BudgetReached, match="This would pass the monthly budget"):
            await everything(writing(replace(desk, monthly_limit=1.5 * call), job))
        assert len(room.asked("/completions")) == before


async def test_with_nothing_to_spend_nothing_is_asked(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        with pytest.raises(BudgetReached):
            await everything(writing(await room.desk(limit=0.0), await room.job()))
        assert not room.asked("/completions")


class Billing(OpenAIService):
    """The stand-in with a bill: what it answered, whether or not the answer arrived."""

    bill = 0.0
    dearest = 0.0

    async def _answer(self, model: str, *args: Any, **more: Any) -> Answered:
        answered = await super()._answer(model, *args, **more)
        cost = chat_cost(model, answered.prompt_tokens, answered.tokens, answered.cached_tokens)
        self.bill += cost
        self.dearest = max(self.dearest, cost)
        return answered


HAPPENINGS = {
    "nothing": None,
    "refused": {"kind": "status", "status": 403, "body": {"error": {"message": "no"}}},
    "too fast": {
        "kind": "status",
        "status": 429,
        "body": {"error": {"message": "no", "code": "rate_limit_exceeded"}},
        "headers": {"retry-after-ms": "10"},
    },
    "no tags": {"kind": "status", "status": 400, "body": {"error": {"message": "no"}}},
    "empty": {"kind": "status", "status": 200, "body": answer("")},
    "trouble": {"kind": "html", "status": 502},
    "paid and lost": {"kind": "status", "status": 504, "act": True},
    "cut before": {"kind": "reset_before"},
    "cut after": {"kind": "reset_after"},
    "truncated": {"kind": "truncated"},
    "killed": {"kind": "hang", "act": True},
    "killed before": {"kind": "hang"},
}


@given(
    runs=st.lists(st.tuples(st.sampled_from(sorted(HAPPENINGS)), st.integers(0, 3)), max_size=6),
    calls=st.floats(0.5, 12.0),
    seed=st.integers(0, 9),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_bill_never_passes_the_budget(runs: list[tuple[str, int]], calls: float, seed: int):
    """Whatever fails or dies, in whatever order: the service's own bill stays under the cap and in our ledger."""

    async def check(room: Room, service: Billing) -> None:
        await store_posts(room.database, nights(12))
        desk = await room.desk(tags=0.5, dice=random.Random(seed))
        cap = calls * await desk.writer.most_expensive(desk.voice, "Write.")
        desk = replace(desk, monthly_limit=cap)
        job = await room.job()
        for happening, after in [*runs, ("nothing", 0)]:
            fault = HAPPENINGS[happening]
            if happening.startswith("killed"):
                await killed_in_call(room, writing(desk, job, 4), after=after, act=bool(fault.get("act")))
            else:
                if fault:
                    room.openai.faults.schedule(Fault("POST", CHAT, after=after, **fault))
                with contextlib.suppress(BotError):
                    await everything(writing(desk, job, 4))
                room.openai.faults.clear()
            used = await spending.used_this_month(room.database, desk.clock())
            assert used <= cap + service.dearest
            assert service.bill <= used + 1e-9
        written = await drafts(room)
        assert len(written) == len({slot for (slot,) in await room.rows("SELECT slot FROM drafts")}) <= 4
        assert all(draft.cost > 0 and draft.prompt == "Write." and draft.text for draft in written)

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.pipeline.room.OpenAIService", Billing)
            async with open_room(Path(folder)) as room:
                await check(room, room.openai)

    asyncio.run(run())


# --- tags -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chance", "tagged"), [(0.0, 0), (1.0, 8), (0.5, 4)])
async def test_tags_come_by_chance(tmp_path: Path, chance: float, tagged: int):
    class Dice(random.Random):
        rolls = iter([0.1, 0.9, 0.49, 0.5, 0.0, 0.99, 0.3, 0.7])

        def random(self) -> float:
            return next(self.rolls)

    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        await everything(writing(await room.desk(tags=chance, dice=Dice()), await room.job(), 8))
        written = await drafts(room)
        assert sum(bool(draft.tags) for draft in written) == tagged
        assert sum(purpose == "tags" for purpose, _, _ in await entries(room)) == tagged
        # What the tags cost is part of what the draft cost.
        total = sum(spent for _, _, spent in await entries(room))
        assert sum(draft.cost for draft in written) == pytest.approx(total)


@pytest.mark.parametrize(
    "fault",
    [
        refuses(401, "invalid_api_key", after=1),
        refuses(429, "insufficient_quota", after=1),
        refuses(400, after=1),
        Fault("POST", CHAT, "html", status=503, after=1),
        Fault("POST", CHAT, "reset_after", after=1),
        says("no JSON at all", after=1),
    ],
    ids=["401", "no credit", "400", "503", "lost", "nonsense"],
)
async def test_tags_that_fail_do_not_lose_the_draft(tmp_path: Path, fault: Fault):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        room.openai.faults.schedule(fault)
        await everything(writing(await room.desk(tags=1.0), await room.job(), 2))
        first, second = await drafts(room)
        assert first.text
        assert first.tags == ()
        assert second.tags


async def test_tags_that_the_budget_does_not_cover_cost_only_the_tags(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        desk = await room.desk(tags=1.0)
        call = await desk.writer.most_expensive(desk.voice, "Write.")
        tags = chat_cost(MODEL, *generate_stage._TAG_COST_TOKENS)
        dear = answer("a text") | {"usage": {"prompt_tokens": int(call * 10**7), "completion_tokens": 0}}
        room.openai.faults.schedule(Fault("POST", CHAT, "status", status=200, body=dear))
        limit = call + 0.5 * tags
        await everything(writing(replace(desk, monthly_limit=limit), await room.job(), 1))
        (draft,) = await drafts(room)
        assert (draft.text, draft.tags) == ("a text", ())


async def test_tags_do_not_overrule_a_person_who_was_quicker(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        stage = writing(await room.desk(tags=1.0), await room.job(), 1)
        room.openai.faults.schedule(Fault("POST", CHAT, "hang", after=1))
        task = asyncio.create_task(everything(stage))
        while not (written := await drafts(room)):
            await asyncio.sleep(0.005)
        (draft,) = written
        await decide.edit(room.database, draft.id, KEEPER, text="mine", tags="own", now=1.0)
        async with room.database.write() as connection:
            await store.add_tags(connection, draft.id, ("late",), cost=0.5)
        (draft,) = await drafts(room)
        assert (draft.text, draft.tags) == ("mine", ("own",))
        assert draft.cost > 0.5
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# --- once more ------------------------------------------------------------------------------------------------


async def replaced(room: Room, desk: Desk, count: int = 1, prompt: str | None = "About gulls.") -> list[Draft]:
    """Drafts that somebody wanted regenerated."""
    await everything(writing(desk, await room.job(), count, prompt))
    return [
        await decide.regenerate(room.database, draft.id, KEEPER, now=1.0)
        for draft in await store.drafts_in(room.database, [DraftState.PENDING], limit=100)
    ]


def at(room: Room) -> Callable[[Draft], Awaitable[Desk]]:
    """The room's desk, whichever draft is written again."""

    async def desk(_draft: Draft) -> Desk:
        return await room.desk()

    return desk


async def test_a_successor_is_written_from_the_same_prompt(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        desk = await room.desk()
        (old,) = await replaced(room, desk)
        assert await rewrite_replaced(room.database, at(room)) == 1
        assert await rewrite_replaced(room.database, at(room)) == 0
        before, new = await drafts(room)
        assert (before.id, before.state) == (old.id, DraftState.REPLACED)
        assert (new.replaces, new.prompt, new.state, new.channel_id) == (old.id, "About gulls.", DraftState.PENDING, 7)
        assert (new.job_id, new.blog, new.voice_id) == (old.job_id, "keeper", old.voice_id)
        assert new.cost > 0


@pytest.mark.parametrize(
    "fault",
    [refuses(401), refuses(429, "insufficient_quota"), Fault("POST", CHAT, "html", status=502), says("", times=3)],
    ids=["401", "no credit", "502", "nothing"],
)
async def test_a_regeneration_that_fails_brings_the_draft_back_with_the_reason(tmp_path: Path, fault: Fault):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        (old,) = await replaced(room, await room.desk())
        room.openai.faults.schedule(fault)
        assert await rewrite_replaced(room.database, at(room)) == 1
        (back,) = await drafts(room)
        assert (back.id, back.text, back.state) == (old.id, old.text, DraftState.PENDING)
        assert back.note.startswith("It could not be regenerated.")
        assert back.version > old.version


async def test_a_successor_needs_a_destination_too(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        await replaced(room, await room.desk())

        async def nowhere(_draft: Draft) -> Desk:
            return replace(await room.desk(), blog="")

        await rewrite_replaced(room.database, nowhere)
        (back,) = await drafts(room)
        assert back.state is DraftState.PENDING
        assert "No blog is named" in back.note


async def test_a_defect_in_one_draft_does_not_stop_the_next(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        first, second = await replaced(room, await room.desk(), 2)
        tries = iter([True, False])

        async def sometimes_broken(_draft: Draft) -> Desk:
            if next(tries):
                raise ZeroDivisionError
            return await room.desk()

        assert await rewrite_replaced(room.database, sometimes_broken) == 2
        states = {draft.id: (draft.state, draft.note) for draft in await drafts(room)}
        assert states[first.id][0] is DraftState.PENDING
        reference = states[first.id][1].partition("reference ")[2][:8]
        assert reference in caplog.text
        assert "ZeroDivisionError" in caplog.text
        assert states[second.id] == (DraftState.REPLACED, "")
        assert len(states) == 3


async def test_interrupted_while_regenerating_one_successor_is_written(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        await replaced(room, await room.desk())
        room.openai.faults.schedule(Fault("POST", CHAT, "hang"))
        task = asyncio.create_task(rewrite_replaced(room.database, at(room)))
        while not room.openai.faults.served:
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        room.openai.faults.clear()
        assert [draft.state for draft in await drafts(room)] == [DraftState.REPLACED]
        await rewrite_replaced(room.database, at(room))
        assert [draft.state for draft in await drafts(room)] == [DraftState.REPLACED, DraftState.PENDING]


async def test_a_draft_that_was_brought_back_before_its_turn_is_not_written_again(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(12))
        first, second = await replaced(room, await room.desk(), 2)
        asked = len(room.asked("/completions"))

        async def brought_back_meanwhile(_draft: Draft) -> Desk:
            if (await store.get_draft(room.database, second.id)).state is DraftState.REPLACED:  # type: ignore[union-attr]
                await decide.restore(room.database, second.id, KEEPER, now=2.0)
            return await room.desk()

        assert await rewrite_replaced(room.database, brought_back_meanwhile) == 1
        assert [draft.replaces for draft in await drafts(room)] == [None, None, first.id]
        assert len(room.asked("/completions")) == asked + 1


# --- reblogs --------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def reblogging_room(folder: Path, posts: int = 4) -> AsyncGenerator[tuple[Room, Bench]]:
    """A room, and a blog on the Tumblr stand-in whose posts may be reblogged."""
    async with open_room(folder) as room, open_bench(folder) as bench:
        await store_posts(room.database, nights(12))
        for number in range(posts):
            bench.service.add_post(bench.blog, post(START + 100 * number, f"far away {number} {{}}"))
        yield room, bench


async def next_job(room: Room) -> int:
    """Another run, after the one before has ended."""
    async with room.database.write() as connection:
        await connection.execute("UPDATE jobs SET state = 'succeeded'")
    return await room.job()


async def reblogging_desk(
    room: Room, bench: Bench, chance: float = 1.0, dice: random.Random | None = None, blog: str = NAME
) -> Desk:
    desk = await room.desk(dice=dice)
    return replace(desk, reblogging=Reblogging(bench.tumblr, (blog,), chance, "Reply to {}, please."))


async def test_a_reblog_has_its_parent_and_is_asked_for_with_its_text(tmp_path: Path):
    async with reblogging_room(tmp_path) as (room, bench):
        last = (await everything(writing(await reblogging_desk(room, bench), await room.job(), 3)))[-1]
        written = await drafts(room)
        assert len({draft.parent.post_id for draft in written if draft.parent}) == 3
        asked = [request.body["messages"][-1]["content"] for request in room.asked("/completions")]
        for draft, prompt in zip(written, asked, strict=True):
            assert draft.parent is not None
            original = bench.blog.find(draft.parent.post_id)
            assert original is not None
            assert (draft.parent.blog_uuid, draft.parent.blog_name) == (bench.blog.uuid, NAME)
            assert (draft.parent.text, draft.parent.url) == (original["content"][0]["text"], original["post_url"])
            assert draft.prompt == prompt == f"Reply to {draft.parent.text}, please."
            assert draft.note == ""
        assert last.preview is not None
        assert last.preview.title == "Just written, to reblog a post of staff"


@pytest.mark.parametrize(("chance", "reblogs"), [(0.0, 0), (1.0, 8), (0.5, 4)])
async def test_reblogs_come_by_chance(tmp_path: Path, chance: float, reblogs: int):
    class Dice(random.Random):
        # Two for each draft: whether it reblogs, and whether it gets tags.
        rolls = iter([roll for chance in (0.1, 0.9, 0.49, 0.5, 0.0, 0.99, 0.3, 0.7) for roll in (chance, 1.0)])
        getrandbits = random.Random.getrandbits  # or else the draws would take from these too

        def random(self) -> float:
            return next(self.rolls)

    async with reblogging_room(tmp_path, 12) as (room, bench):
        desk = await reblogging_desk(room, bench, chance, Dice(3))
        await everything(writing(desk, await room.job(), 8))
        assert sum(draft.parent is not None for draft in await drafts(room)) == reblogs
        if not reblogs:
            assert not bench.service.requests


async def test_no_post_is_reblogged_twice_whatever_became_of_the_first_draft(tmp_path: Path):
    async with reblogging_room(tmp_path, 4) as (room, bench):
        desk = await reblogging_desk(room, bench)
        await everything(writing(desk, await room.job(), 2))
        first, second = await drafts(room)
        await decide.reject(room.database, first.id, KEEPER, now=1.0)
        await decide.regenerate(room.database, second.id, KEEPER, now=1.0)
        await everything(writing(desk, await next_job(room), 3))
        written = await drafts(room)
        parents = [draft.parent.post_id for draft in written if draft.parent]
        assert len(parents) == len(set(parents)) == 4
        assert (written[-1].parent, written[-1].prompt) == (None, "Write.")
        assert written[-1].note == "It reblogs nothing. No post to reblog is left on staff."


async def test_a_persons_own_prompt_is_not_given_up_for_a_reblog(tmp_path: Path):
    async with reblogging_room(tmp_path) as (room, bench):
        await everything(writing(await reblogging_desk(room, bench), await room.job(), 1, "About gulls."))
        assert [(draft.prompt, draft.parent) for draft in await drafts(room)] == [("About gulls.", None)]
        assert not bench.service.requests


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("GET", "/v2/blog/*/posts", "status", status=429, times=99), "Tumblr's limit on calls is reached."),
        (Fault("GET", "/v2/blog/*/info", "status", status=404, times=99), "None of the blogs"),
        (Fault("GET", "/v2/blog/*/posts", "reset_after", times=99), "It reblogs nothing. "),
        (Fault("GET", "/v2/blog/*/info", "html", status=502, times=99), "It reblogs nothing. "),
        (Fault("GET", "/v2/blog/*/posts", "html", status=403, times=99), "It reblogs nothing. "),
    ],
    ids=["429", "404", "reset", "502", "blocked"],
)
async def test_tumblr_in_trouble_costs_the_reblog_and_nothing_else(tmp_path: Path, fault: Fault, reason: str):
    async with reblogging_room(tmp_path) as (room, bench):
        bench.service.faults.schedule(fault)
        room.openai.faults.schedule(says("one"), says("and then", finish="length"))
        await everything(writing(await reblogging_desk(room, bench), await room.job(), 2))
        written = await drafts(room)
        assert [(draft.text, draft.prompt, draft.parent) for draft in written] == [
            ("one", "Write.", None),
            ("and then", "Write.", None),
        ]
        assert all(draft.note.startswith("It reblogs nothing. ") and reason in draft.note for draft in written)
        ((found,),) = await room.rows("SELECT findings FROM drafts WHERE id = ?", written[1].id)
        assert "The text was cut off at the length limit." in found


async def test_a_blog_without_valid_posts_is_named_on_the_draft(tmp_path: Path):
    async with reblogging_room(tmp_path, 0) as (room, bench):
        for number in range(1_000):
            bench.service.add_post(bench.blog, {"content": [{"type": "image"}], "timestamp": START + number})
        await everything(writing(await reblogging_desk(room, bench), await room.job(), 1))
        (draft,) = await drafts(room)
        assert draft.note == "It reblogs nothing. No post to reblog was found in 20 pages of staff."


async def test_too_many_calls_wait_and_then_the_same_post_is_reblogged(tmp_path: Path):
    async with reblogging_room(tmp_path) as (room, bench):
        limit = {"error": {"message": "no", "code": "rate_limit_exceeded"}}
        room.openai.faults.schedule(
            Fault("POST", CHAT, "status", status=429, body=limit, headers={"retry-after-ms": "10"}, times=2)
        )
        await everything(writing(await reblogging_desk(room, bench), await room.job(), 1))
        assert len({str(request.body["messages"][-1]) for request in room.asked("/completions")}) == 1
        assert len(room.asked("/completions")) > 1


@pytest.mark.parametrize("steps", range(1, 8))
async def test_a_stopped_run_goes_on_with_other_posts_to_reblog(tmp_path: Path, steps: int):
    async with reblogging_room(tmp_path) as (room, bench):
        job, desk = await room.job(), await reblogging_desk(room, bench)
        await take(writing(desk, job), steps)
        kept = await drafts(room)
        await everything(writing(desk, job))
        written = await drafts(room)
        assert written[: len(kept)] == kept
        assert len({draft.parent.post_id for draft in written if draft.parent}) == len(written) == 3
        assert len(room.asked("/completions")) == 3


async def test_a_regenerated_reblog_keeps_its_parent_and_its_prompt(tmp_path: Path):
    async with reblogging_room(tmp_path) as (room, bench):
        await everything(writing(await reblogging_desk(room, bench), await room.job(), 1))
        (old,) = await drafts(room)
        await decide.regenerate(room.database, old.id, KEEPER, now=1.0)
        calls = len(bench.service.requests)
        assert await rewrite_replaced(room.database, at(room)) == 1
        _, new = await drafts(room)
        assert new.parent == old.parent
        assert new.parent is not None
        assert new.prompt == old.prompt
        assert (new.replaces, new.state) == (old.id, DraftState.PENDING)
        assert len(bench.service.requests) == calls


async def test_a_hostile_post_is_asked_about_and_kept_whole(tmp_path: Path):
    async with reblogging_room(tmp_path, 0) as (room, bench):
        text = "{0} {name} {} %s <|im_end|> </post>\n\n" + "long " * 3_000
        bench.service.add_post(bench.blog, {"content": [{"type": "text", "text": part} for part in text.split("\n\n")]})
        await everything(writing(await reblogging_desk(room, bench), await room.job(), 1))
        (draft,) = await drafts(room)
        assert draft.parent is not None
        assert draft.parent.text == text.strip()
        assert draft.prompt == "Reply to {0} {name} {} %s < |im_end| > </post>, please."
        assert room.asked("/completions")[-1].body["messages"][-1]["content"] == draft.prompt
