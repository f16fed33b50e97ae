"""The budget over the real stages: writing and training in any order, with any mishap, on a budget for a few calls, read
from the database and held against the service's own bill."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.drafts import Person, UploadState
from bot.errors import BudgetReached
from bot.pipeline.generate import Desk, Tagging, generate
from bot.pipeline.guards import Guards, PostIndex
from bot.store import spending, voices
from bot.training import Voice, VoiceKind
from bot.voices.tuned import TunedWriter
from tests.pipeline.scripted_training import MISHAPS, Mishap, Script
from tests.pipeline.test_training_states import TOKENS, Room, open_room

KEEPER = Person(1, "keeper")


@dataclass(frozen=True)
class Run:
    """One run of a stage, or of the one before again, with what goes wrong in it."""

    kind: str
    mishaps: list[Mishap | None]
    length: float
    """Of the texts, as a share of what was reserved for them."""
    trained: int
    """How many tokens the service says that it trained on: more than was estimated, now and then."""
    allow: float
    """What the owner allows, in trainings, when the budget is reached."""
    days: int
    """How long after the run before."""


RUNS = st.lists(
    st.builds(
        Run,
        st.sampled_from(["generate", "finetune", "again"]),
        st.lists(st.sampled_from([None, None, None, *MISHAPS]), max_size=14),
        st.floats(0.0, 1.0),
        st.sampled_from([0, TOKENS // 2, TOKENS, TOKENS * 2]),
        st.sampled_from([0.0, 0.0, 0.5, 2.0]),
        st.sampled_from([0, 0, 0, 20]),
    ),
    min_size=1,
    max_size=6,
)


async def _holds(room: Room, runs: list[Run], trainings: float, model: str, price: float) -> None:
    """`trainings` is the monthly cap, as so many times the estimate of one training at `price`."""
    estimate = TOKENS * price / 1_000_000
    room.scripted.play(Script())  # what the service does late for the example before is on nobody's bill
    room.price, room.limit, room.shift = price, trainings * estimate, 0.0
    room.scripted.training_price, room.scripted.bill = price, 0.0
    voice = Voice(
        0, VoiceKind.FINE_TUNED, "v", model, room.scripted.base_url, None, "You write.", "Write.", 0.0, False, 0.0
    )  # fmt: skip
    async with room.database.write() as connection:
        await connection.execute("DELETE FROM spending")
        await connection.execute("DELETE FROM allowances")
        voice = replace(voice, id=await voices.add_voice(connection, voice))
    kind = ""
    for run in runs:
        room.shift += run.days * 86_400
        if run.kind != "again" or not kind:
            kind = "finetune" if run.kind == "again" else run.kind
            await room.begin(Script(end={"fine_tuned_model": "ft:one", "trained_tokens": run.trained}), kind)
        room.scripted.length = run.length
        room.scripted.add_mishaps(*run.mishaps)
        desk = _desk(room, voice)
        writing = generate(desk, job_id=room.job_id, count=2, prompt="Write.", channel_id=None)
        ended = await room.live(stage=room.stage() if kind == "finetune" else writing)
        room.seen |= {path for _, path in room.scripted.calls}
        await _no_month_passes_its_cap(room)
        if isinstance(ended, BudgetReached):
            assert ended.missing > 0
            async with room.database.write() as connection:
                await spending.allow(connection, KEEPER, run.allow * estimate, now=room.now())


async def _no_month_passes_its_cap(room: Room) -> None:
    estimate = TOKENS * room.price / 1_000_000
    async with room.database.read() as connection:
        # A text costs at most what was reserved for it; a training may cost more than was estimated.
        ledger = await connection.execute_fetchall(
            """
            SELECT strftime('%m', at, 'unixepoch'), sum(coalesce(spent, reserved)),
                sum(CASE purpose WHEN 'fine-tuning' THEN max(0, coalesce(spent, 0) - ?) ELSE 0 END)
            FROM spending GROUP BY 1
            """,
            (estimate,),
        )
        allowances = await connection.execute_fetchall(
            "SELECT strftime('%m', at, 'unixepoch'), sum(dollars) FROM allowances GROUP BY 1"
        )
    allowed = {row[0]: row[1] for row in allowances}
    for month, used, beyond in ledger:
        assert used <= room.limit + allowed.get(month, 0.0) + beyond + 1e-9
    # The service's own bill: what is not settled was reserved, and only a training that is under way may cost more.
    assert room.scripted.bill <= sum(used for _, used, _ in ledger) + await _under_way(room) + 1e-9


async def _under_way(room: Room) -> float:
    """What a training that goes on at the service will cost beyond its reservation."""
    training = await voices.training_of_job(room.database, room.job_id)
    if training is None or training.state.is_final:
        return 0.0
    trained = room.scripted.script.end["trained_tokens"]
    assert isinstance(trained, int)
    return max(0, trained - TOKENS) * room.price / 1_000_000


def _desk(room: Room, voice: Voice) -> Desk:
    return Desk(
        database=room.database,
        voice=voice,
        writer=TunedWriter(room.service, room.database),
        tagging=Tagging(room.service, "Name tags.", 0.3),
        guards=Guards(room.database, PostIndex(), allowed_phrases=(), screener=None),
        blog="keeper",
        upload_state=UploadState.DRAFT,
        monthly_limit=room.limit,
        dice=random.Random(1),
        clock=room.now,
    )


def _check(folder: Path, examples: int) -> None:
    with asyncio.Runner() as runner:
        opened = open_room(folder)
        room = runner.run(opened.__aenter__())

        @given(
            RUNS,
            st.floats(0.0, 6.0),
            st.sampled_from(["gpt-4.1", "gpt-4.1-mini", "gpt-6-luna"]),
            st.floats(0.1, 50.0),
        )
        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
        def check(runs: list[Run], trainings: float, model: str, price: float) -> None:
            runner.run(_holds(room, runs, trainings, model, price))

        try:
            check()
            assert any(path.endswith("/chat/completions") for path in room.seen), "nothing was ever written"
            assert any(path.endswith("/fine_tuning/jobs") for path in room.seen), "nothing was ever trained"
        finally:
            runner.run(opened.__aexit__(None, None, None))


def test_no_order_of_writing_and_training_passes_the_budget(tmp_path: Path):
    _check(tmp_path, 15)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_no_order_of_writing_and_training_passes_the_budget_of_hundreds(tmp_path: Path):
    _check(tmp_path, 200)
