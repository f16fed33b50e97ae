"""Writing several drafts at a time, and the guards between a text and its draft: nothing is lost, nothing paid twice."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tenacity import wait_none

from bot.budget import Caps
from bot.demo.faults import Fault
from bot.drafts import Person
from bot.errors import BudgetReached, ModelQuotaExhausted
from bot.language.chat import Written
from bot.language.prices import Estimate
from bot.pipeline import decide
from bot.pipeline import generate as stage
from bot.pipeline.generate import Desk, generate, rewrite_replaced
from bot.pipeline.guards import Checked, Guards, Kind, PostIndex, defused
from bot.progress import Progress
from bot.store import spending
from bot.training import Voice
from tests.pipeline.room import SCREENER, Room, everything, nights, open_room, store_posts

COPY = "the harbour was grey all day and the kettle sang about it, twice, to nobody at all."
WORDS = [
    "gull",
    "lamp",
    "kettle",
    "soup",
    "ledger",
    "stair",
    "window",
    "rope",
    "tide",
    "boat",
    "biscuit",
    "letter",
    "coat",
    "rain",
    "moth",
    "signal",
    "radio",
    "bread",
]


def fresh(number: int) -> str:
    """A text that shares no run of words with another one."""
    return " ".join(f"{WORDS[(number * 7 + place * place) % len(WORDS)]}{number}x{place}" for place in range(12))


class Script:
    """A voice that says what it is told to, a moment after it is asked."""

    def __init__(self, texts: Sequence[str | Exception], *, seconds: float = 0.0, cut_off: Sequence[int] = ()) -> None:
        self.texts = list(texts)
        self.seconds = seconds
        self.cut_off = cut_off
        self.asked: list[int] = []
        self.at_once = 0
        self.most_at_once = 0

    async def write(self, voice: Voice, _prompt: str, *, seed: int) -> Written:
        number = len(self.asked)
        self.asked.append(seed)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        text = self.texts[number] if number < len(self.texts) else fresh(number)
        if isinstance(text, Exception):
            raise text
        return Written(text, voice.model, 100, 0, 20, number in self.cut_off)

    async def most_expensive(self, _voice: Voice, _prompt: str) -> float:
        return 0.001

    async def likely(self, _voice: Voice, _prompt: str, drafts: int) -> Estimate:
        return Estimate(120 * drafts, 0.0005 * drafts)


async def desk_with(room: Room, script: Script, **options: Any) -> Desk:
    return replace(await room.desk(**options), writer=script)


def run(desk: Desk, job_id: int, count: int) -> AsyncIterator[Progress]:
    return generate(desk, job_id=job_id, count=count, prompt=None, channel_id=None)


async def found(room: Room) -> list[tuple[str, int, int, list[str]]]:
    """Text, held back, how often it was written anew, and the kinds of what was found; of each draft."""
    rows = await room.rows("SELECT text, held_back, rewrites, findings FROM drafts ORDER BY slot")
    return [(text, held, times, [each["kind"] for each in json.loads(what)]) for text, held, times, what in rows]


# --- several at a time --------------------------------------------------------------------------------------------


async def test_so_many_are_written_at_a_time_and_each_once(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        script = Script([], seconds=0.02)
        last = (await everything(run(await desk_with(room, script, at_once=6), await room.job(), 20)))[-1]
        assert last.line == "Done: 20 drafts wait for your decision."
        assert 2 < script.most_at_once <= 6
        assert len(script.asked) == 20
        assert len({text for text, *_ in await found(room)}) == 20
        assert len(set(script.asked)) == 20, "each has a seed of its own"
        assert [row[0] for row in await room.rows("SELECT seed FROM drafts ORDER BY seed")] == sorted(script.asked)
        assert await room.rows("SELECT count(*) FROM writings") == [(0,)]


async def test_while_the_guards_look_at_texts_the_next_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        script, look = Script([]), Guards.check
        beside: list[int] = []

        async def when_the_next_are_asked_for(guards: Guards, text: str, *, cut_off: bool) -> Checked:
            async with asyncio.timeout(20):
                while len(script.asked) < waits_for:
                    await asyncio.sleep(0)
            await asyncio.sleep(0.02)  # time enough to ask for one that is not wanted yet
            beside.append(len(script.asked))
            return await look(guards, text, cut_off=cut_off)

        monkeypatch.setattr(Guards, "check", when_the_next_are_asked_for)
        waits_for, job = 3, await room.job()
        await everything(run(await desk_with(room, script, at_once=2), job, 3))
        script, beside, waits_for = Script([]), [], 1
        await everything(run(await desk_with(room, script, at_once=1), job, 7))
        assert beside == [1, 2, 3, 4], "one at a time is one draft at a time, the guards included"


async def test_a_service_that_works_on_calls_in_turn_is_not_asked_for_many_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As a model on the owner's own machine does: the more it is asked at once, the later the last is answered."""

    class OneAfterAnother(Script):
        def __init__(self) -> None:
            super().__init__([])
            self.turn = asyncio.Lock()

        async def write(self, voice: Voice, prompt: str, *, seed: int) -> Written:
            async with self.turn:
                await asyncio.sleep(0.05)
            return await super().write(voice, prompt, seed=seed)

    monkeypatch.setattr(stage, "_SOON", 0.06)  # as if each of these answers took long
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        script, most = OneAfterAnother(), 0
        async for progress in run(await desk_with(room, script, at_once=16), await room.job(), 24):
            if progress.done >= 8 and (found := re.search(r"(\d+) at a time", progress.line)):
                most = max(most, int(found[1]))
        assert 1 <= most <= 6


async def test_answers_that_come_soon_are_asked_for_side_by_side_however_long_the_texts_are(tmp_path: Path):
    """A short text takes a fraction of a long one's time: that is no sign of a service that is asked too much."""

    class Uneven(Script):
        beside: list[int]

        async def write(self, voice: Voice, prompt: str, *, seed: int) -> Written:
            self.seconds = 0.15 if len(self.asked) else 0.001
            self.beside = [*getattr(self, "beside", []), self.at_once + 1]
            return await super().write(voice, prompt, seed=seed)

    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        script = Uneven([])
        await everything(run(await desk_with(room, script, at_once=8), await room.job(), 30))
        assert max(script.beside[-12:]) == 8


async def test_fewer_at_a_time_once_the_service_asks_for_fewer_calls(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(30))
        body = {"error": {"message": "slow", "code": "rate_limit_exceeded"}}
        room.openai.faults.schedule(
            Fault("POST", "/v1/chat/completions", "status", 429, body, {"retry-after-ms": "50"}, times=3, after=2)
        )
        seen = await everything(run(await room.desk(at_once=8), await room.job(), 12))
        assert any(progress.waiting_for == stage.LIMIT for progress in seen)
        assert await room.rows("SELECT count(*), count(DISTINCT slot) FROM drafts") == [(12, 12)]


async def test_the_progress_tells_the_text_in_hand_the_count_and_the_cost(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        seen = await everything(run(await desk_with(room, Script([fresh(0)]), at_once=1), await room.job(), 2))
        middle = next(progress for progress in seen if progress.done == 1)
        assert middle.preview is not None
        assert middle.preview.text == fresh(0)
        assert "About $0.0" in middle.line


async def test_a_failure_keeps_what_was_written_beside_it(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        broke = ModelQuotaExhausted("There is no credit left.", "Add credit.")
        script = Script([broke, fresh(1), fresh(2), fresh(4)], seconds=0.02)
        job = await room.job()
        with pytest.raises(ModelQuotaExhausted):
            await everything(run(await desk_with(room, script, at_once=4), job, 20))
        assert {text for text, *_ in await found(room)} == {fresh(1), fresh(2), fresh(4)}
        assert len(script.asked) == 4, "nothing more is begun"
        assert await spending.open_entry(room.database, job, "writing") is None
        script.texts = []
        await everything(run(await desk_with(room, script, at_once=4), job, 20))
        assert await room.rows("SELECT count(*), count(DISTINCT slot) FROM drafts") == [(20, 20)]


async def test_the_budget_holds_for_calls_side_by_side(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        script, job = Script([], seconds=0.02), await room.job()
        with pytest.raises(BudgetReached):
            await everything(run(await desk_with(room, script, at_once=8, limit=0.003), job, 1000))
        used = await spending.used_this_month(room.database, 0.0)
        assert 0.002 < used <= 0.003
        assert script.most_at_once <= 3
        assert len(await found(room)) == len(script.asked)
        assert await spending.open_entry(room.database, job, "writing") is None


async def test_money_set_aside_for_calls_under_way_ends_no_run_that_there_is_enough_for(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        script = Script([], seconds=0.02)
        await everything(run(await desk_with(room, script, at_once=8, limit=0.003), await room.job(), 12))
        assert len(await found(room)) == len(script.asked) == 12


# --- the end of a run, before its end -----------------------------------------------------------------------------


async def test_stopped_in_the_middle_what_is_under_way_is_kept_and_nothing_more_is_paid(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        script = Script([], seconds=0.2)
        desk, job = await desk_with(room, script, at_once=5), await room.job()

        async def consume() -> None:
            await everything(run(desk, job, 50))

        task = asyncio.create_task(consume())
        while script.at_once < 5:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        asked = len(script.asked)
        assert asked >= 5
        assert len(await found(room)) == asked
        assert await spending.open_entry(room.database, job, "writing") is None


async def test_stopped_again_by_the_end_of_the_process_what_is_under_way_is_kept_all_the_same(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        script = Script([], seconds=0.3)
        task = asyncio.create_task(everything(run(await desk_with(room, script, at_once=3), await room.job(), 50)))
        while script.at_once < 3:
            await asyncio.sleep(0.01)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0.02)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(await found(room)) == len(script.asked)


async def test_a_run_that_is_stopped_pays_for_no_tags(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        script = Script([], seconds=0.3)
        desk = await desk_with(room, script, at_once=3, tags=1.0)
        task = asyncio.create_task(everything(run(desk, await room.job(), 50)))
        while script.at_once < 3:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(await found(room)) == len(script.asked)
        assert await room.rows("SELECT DISTINCT purpose FROM spending") == [("writing",)]


async def test_stopped_while_one_is_written_again_what_was_paid_for_becomes_the_successor(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        script = Script([], seconds=0.2)
        desk = await desk_with(room, script)
        await everything(run(desk, await room.job(), 1))
        await decide.regenerate(room.database, 1, Person(1, "keeper"), now=1.0)

        async def desk_again(_draft: object) -> Desk:
            return desk

        task = asyncio.create_task(rewrite_replaced(room.database, desk_again))
        while not script.at_once:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await room.rows("SELECT replaces FROM drafts ORDER BY id") == [(None,), (1,)]
        assert await rewrite_replaced(room.database, desk_again) == 0
        assert len(script.asked) == 2


async def test_a_press_of_regenerate_that_no_run_could_pay_is_refused(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        script = Script([])
        desk = await desk_with(room, script)
        await everything(run(desk, await room.job(), 1))

        async def capped(_draft: object) -> Desk:
            return replace(desk, caps=Caps(per_run=0.0009))

        await decide.regenerate(room.database, 1, Person(1, "keeper"), now=1.0)
        await rewrite_replaced(room.database, capped)
        assert len(script.asked) == 1
        ((state, note),) = await room.rows("SELECT state, note FROM drafts")
        assert state == "pending"
        assert "This would pass the budget of a run" in note


async def test_a_press_of_regenerate_has_the_budget_of_a_run_for_itself(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        script = Script([fresh(1), COPY, COPY])  # the press has a text written anew, which the cap does not let it
        await store_posts(room.database, [COPY])
        desk = await desk_with(room, script, rewrites=1)
        job = await room.job()
        await everything(run(desk, job, 1))
        ((first,),) = await room.rows("SELECT spent FROM spending")
        assert 0 < first < 0.001

        async def capped(_draft: object) -> Desk:
            return replace(desk, caps=Caps(per_run=0.001 + first / 2))

        await decide.regenerate(room.database, 1, Person(1, "keeper"), now=1.0)
        await rewrite_replaced(room.database, capped)
        assert len(script.asked) == 2, "one text fits, whatever the job has cost; a second does not"
        assert (await found(room))[0][:3] == (COPY, 1, 0), "what was paid for is kept, and held back"
        assert await room.rows("SELECT state FROM drafts ORDER BY id") == [("replaced",), ("pending",)]
        assert await room.rows("SELECT job_id FROM spending ORDER BY id") == [(job,), (None,)]
        assert await spending.spent_on_job(room.database, job) == first


async def test_a_call_that_does_not_end_is_left_and_its_money_stays_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stage, "_GRACE", 0.05)
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        script = Script([], seconds=60.0)
        desk, job = await desk_with(room, script, at_once=2), await room.job()

        async def consume() -> None:
            await everything(run(desk, job, 2))

        task = asyncio.create_task(consume())
        while script.at_once < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert script.at_once == 0
        assert await spending.used_this_month(room.database, 0.0) == pytest.approx(0.002)


@pytest.mark.parametrize("steps", range(1, 8))
async def test_killed_between_a_text_and_its_draft_the_text_is_not_paid_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
):
    """The process dies after so many texts were stored, while the guards look at them."""
    async with open_room(tmp_path) as room:
        await store_posts(room.database, [COPY, *nights(5)])
        job = await room.job()
        script = Script([COPY, fresh(1), COPY, COPY, COPY, fresh(5), fresh(6), fresh(7)])
        desk = await desk_with(room, script, at_once=1, rewrites=2)
        check, looks = desk.guards.check, []

        async def dies(text: str, *, cut_off: bool) -> Any:
            looks.append(text)
            if len(looks) == steps:
                raise SystemError("killed")
            return await check(text, cut_off=cut_off)

        monkeypatch.setattr(desk.guards, "check", dies)
        try:
            await everything(run(desk, job, 4))
        except SystemError:
            monkeypatch.setattr(desk.guards, "check", check)
            await everything(run(desk, job, 4))
        assert [(held, times) for _, held, times, _ in await found(room)] == [(0, 1), (1, 2), (0, 0), (0, 0)]
        assert len(script.asked) == 7, "each text was asked for once"


# --- the guards ---------------------------------------------------------------------------------------------------


async def test_a_copy_of_a_post_is_written_anew_and_then_held_back_with_why(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, [COPY, *nights(5)])
        script = Script([COPY, fresh(1), COPY, f"well, {COPY}", COPY.upper()])
        last = (await everything(run(await desk_with(room, script, rewrites=2), await room.job(), 2)))[-1]
        assert ("Held back", "1 by the guards; each says why") in last.facts
        first, second = await found(room)
        assert first == (fresh(1), 0, 1, [])
        assert second == (COPY.upper(), 1, 2, [Kind.COPIES])
        ((cost, closeness, closest, what),) = await room.rows(
            "SELECT cost, closeness, closest, findings FROM drafts WHERE held_back"
        )
        assert closeness == 1.0
        assert "the harbour was grey all day" in json.loads(closest)["text"]
        assert (
            "It is too close to a post of the blog: both have “the harbour was grey" in json.loads(what)[0]["sentence"]
        )
        ((all_of_it,),) = await room.rows("SELECT sum(spent) FROM spending")
        assert cost == pytest.approx(all_of_it * 3 / 5), "a draft carries what its texts cost"


async def test_a_draft_that_another_one_says_already_is_written_anew_also_when_both_are_written_at_once(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        script = Script([fresh(1), fresh(1), fresh(2), fresh(3)], seconds=0.02)
        await everything(run(await desk_with(room, script, at_once=2, rewrites=3), await room.job(), 2))
        assert len({text for text, *_ in await found(room)}) == 2
        assert [held for _, held, *_ in await found(room)] == [0, 0]


async def test_a_rejected_draft_may_be_said_again(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        await everything(run(await desk_with(room, Script([fresh(1)])), await room.job(), 1))
        async with room.database.write() as connection:
            await connection.execute("UPDATE drafts SET state = 'rejected'")
        await everything(run(await desk_with(room, Script([fresh(1)])), await room.job("other"), 1))
        assert [what for *_, what in await found(room)] == [[], []]


async def test_allowed_phrases_do_not_count(tmp_path: Path):
    greeting = "good evening to all ships at sea and to the gulls above them"
    async with open_room(tmp_path) as room:
        await store_posts(room.database, [f"{greeting}. soup tonight, with barley in it, and bread.", *nights(5)])
        text = f"{greeting}. {fresh(1)}"
        await everything(run(await desk_with(room, Script([text])), await room.job(), 1))
        await everything(run(await desk_with(room, Script([text]), allowed=[greeting]), await room.job("other"), 1))
        kinds = [what for *_, what in await found(room)]
        assert Kind.COPIES in kinds[0]
        assert Kind.COPIES not in kinds[1]


async def test_a_text_that_is_flagged_is_held_back_and_names_the_category(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        room.openai.flagged_words = {"dreadful": "violence"}
        script = Script([f"a dreadful thing. {fresh(1)}", fresh(2)])
        desk = await desk_with(room, script, rewrites=0, screener=room.service(SCREENER))
        await everything(run(desk, await room.job(), 2))
        assert [(held, what) for _, held, _, what in await found(room)] == [(1, [Kind.FLAGGED]), (0, [])]
        assert "violence" in str(await room.rows("SELECT findings FROM drafts WHERE held_back"))


@pytest.mark.parametrize("kind", ["status", "reset_before", "truncated", "html"])
async def test_a_screener_in_trouble_is_said_and_costs_no_draft(tmp_path: Path, kind: Any):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        screener = room.service(SCREENER)
        screener.wait = wait_none()
        room.openai.faults.schedule(Fault("POST", "/v1/moderations", kind, times=99))
        await everything(run(await desk_with(room, Script([fresh(1)]), screener=screener), await room.job(), 1))
        assert await found(room) == [(fresh(1), 0, 0, [Kind.UNSCREENED])]


async def test_the_limit_of_the_screener_is_waited_for_in_sight(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        body = {"error": {"message": "slow", "code": "rate_limit_exceeded"}}
        room.openai.faults.schedule(Fault("POST", "/v1/moderations", "status", 429, body, {"Retry-After": "2"}))
        desk = await desk_with(room, Script([fresh(1)]), screener=room.service(SCREENER))
        seen = await everything(run(desk, await room.job(), 1))
        assert [each.waiting_for for each in seen if each.wait_until is not None] == [stage.SCREENING_LIMIT]
        assert seen[-1].waiting_for is None
        assert await found(room) == [(fresh(1), 0, 0, [])]


async def test_a_text_that_was_cut_off_is_written_anew(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        script = Script([fresh(1), fresh(2)], cut_off=[0])
        await everything(run(await desk_with(room, script, rewrites=1), await room.job(), 1))
        assert await found(room) == [(fresh(2), 0, 1, [])]


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("hello @everyone", "hello @\N{WORD JOINER}everyone"),
        ("ask @staff, or (@gull)", "ask @\N{WORD JOINER}staff, or (@\N{WORD JOINER}gull)"),
        ("write to keeper@light.example", "write to keeper@light.example"),
        ("join discord.gg/abc", "join discord.\N{WORD JOINER}gg/abc"),
        ("https://DISCORD.com/invite/abc", "https://DISCORD.\N{WORD JOINER}com/invite/abc"),
        ("see discord.com/terms", "see discord.com/terms"),
        ("at 5 @ noon", "at 5 @ noon"),
    ],
)
def test_mentions_and_invites_are_defused(text: str, harmless: str):
    assert defused(text) == harmless
    assert defused(harmless) == harmless


async def test_what_was_defused_is_said_and_holds_nothing_back(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        await everything(run(await desk_with(room, Script([f"{fresh(1)} @everyone"])), await room.job(), 1))
        ((text, held, _, kinds),) = await found(room)
        assert (held, kinds) == (0, [Kind.SPEAKS])
        assert "@everyone" not in text


async def test_the_index_is_built_once_and_anew_when_posts_change(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(5))
        index = PostIndex()

        async def said() -> int:
            return len([progress async for progress in index.bring_up_to_date(room.database)])

        assert await said() == 1
        assert await said() == 0
        assert len(index.texts) == 5
        async with room.database.write() as connection:
            await connection.execute("UPDATE posts SET text = 'something else altogether' WHERE id = '1002'")
        assert await said() == 1
        async with room.database.write() as connection:
            await connection.execute("DELETE FROM posts WHERE id = '1003'")
        assert await said() == 1
        assert len(index.texts) == 4


async def test_an_invitation_to_reblog_is_not_kept_beyond_its_consent(tmp_path: Path):
    """A text that is being written about somebody's post goes with that post."""
    async with open_room(tmp_path) as room:
        parent = {"blog_uuid": "t:far", "blog_name": "far", "post_id": "1", "text": "their words", "url": ""}
        async with room.database.write() as connection:
            await connection.execute(
                "INSERT INTO writings (turn, created_at, prompt, parent, note, seed, text, cut_off, cost, input_tokens,"
                " output_tokens) VALUES ('job 1, slot 0', 0, 'their words', ?, '', 1, 'mine', 0, 0.1, 1, 1)",
                (json.dumps(parent),),
            )
        from bot.store.purge import blank_old_parents, foreign_blogs

        assert [blog.uuid for blog in await foreign_blogs(room.database)] == ["t:far"]
        async with room.database.write() as connection:
            await blank_old_parents(connection, "t:far", 1.0)
        assert await room.rows("SELECT count(*) FROM writings") == [(0,)]
