"""Every state of a training, in every order, with a mishap at any call and a kill at any step: one upload of each part,
one job at the service, the outcome that the service tells, and money that is freed only when nothing can have cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from tenacity import wait_none

from bot.config import Settings
from bot.drafts import Person
from bot.errors import (
    BudgetReached,
    ModelError,
    ModelQuotaExhausted,
    ModelUnauthorized,
    ModelUnavailable,
    NothingToDo,
    TrainingFailed,
    TrainingNotAvailable,
)
from bot.examples import Example
from bot.language import tuning
from bot.language.endpoint import Endpoint, ModelService
from bot.pipeline.finetune import AWAY, UNSETTLED, Course, cancel_abandoned, finetune
from bot.progress import Progress
from bot.store import datasets, jobs, voices
from bot.store.database import Database
from bot.store.jobs import JobState
from bot.training import Failure, Offer, Training, TrainingState, VoiceKind
from bot.voice_desk import VoiceDesk
from bot.voices.fine_tuned import FineTuned
from tests.audit import newest_acts
from tests.pipeline.scripted_training import BASE_MODEL, LATE, MISHAPS, Mishap, Script, ScriptedService, refusal

PRICE = 5.0
TOKENS = 12 * 20 * 2  # as the dataset below is, in two epochs
ESTIMATE = TOKENS * PRICE / 1_000_000
MOST_LIVES = 60
SETTLE = 3 * LATE
PARTS = ["held-out", "training"]
UNKNOWN = "a status of next year"
GOING_ON = ["validating_files", "queued", "running", "pausing", "paused", "resuming", UNKNOWN, ""]
ODD_EVENTS: list[object] = [
    {"id": "e", "type": "metrics", "data": {"step": 3, "total_steps": 24, "train_loss": 2.5, "valid_loss": 2.6}},
    {"id": "e", "type": "metrics", "data": {"step": "x", "train_loss": None}},
    {"id": "e", "type": "metrics", "data": [1, 2]},
    {"id": "e", "type": 3, "message": {"a": 1}, "created_at": "now"},
    {"id": 5, "message": "said without an id", "created_at": 1.5},
    {"type": "moderation_checks", "data": {"blocked": False, "results": "none"}},
    {"type": "moderation_checks", "data": {"results": [{"category": "hate", "flagged": False}, 3, {}]}},
    "an event that is a text",
    None,
    7,
    {},
]


@dataclass
class Room:
    """A store with a dataset, and the scripted service with the real SDK on it."""

    scripted: ScriptedService
    hasty: ModelService
    """Soon out of patience: what is silent must cost a test no time."""
    patient: ModelService
    database: Database
    dataset_id: int
    job_id: int = 0
    told: list[Training] = field(default_factory=list)
    price: float = PRICE
    limit: float = 20.0
    shift: float = 0.0
    """By so many seconds the bot's clock is ahead of ours."""
    seen: set[str] = field(default_factory=set)
    """Paths that were called, where a test wants to know that something was done at all."""

    def now(self) -> float:
        return time.time() + self.shift

    async def begin(self, script: Script, kind: str = "finetune") -> None:
        """Another job, and a service that has seen nothing yet."""
        self.scripted.play(script)
        self.told.clear()
        async with self.database.write() as connection:
            if self.job_id:
                await jobs.finish_job(connection, self.job_id, JobState.FAILED, progress=None, error=None, now=0.0)
            job = await jobs.insert_job(
                connection, kind, {}, requested_by="k", requester_id=1, channel_id=None, now=0.0
            )
        self.job_id = job.id

    @property
    def service(self) -> ModelService:
        return self.hasty if self.scripted.has_mishaps else self.patient

    def stage(self, *, poll_seconds: float = 0.0005) -> AsyncIterator[Progress]:
        async def remember(training: Training) -> None:
            self.told.append(training)

        offer = Offer(
            id=1,
            kind=VoiceKind.FINE_TUNED,
            dataset_id=self.dataset_id,
            base_url=self.scripted.base_url,
            model=BASE_MODEL,
            epochs=2,
            suffix="lamp",
            activate=True,
            cost=ESTIMATE,
        )
        course = Course(
            self.database,
            FineTuned(self.service),
            offer,
            token_price=self.price,
            monthly_limit=self.limit,
            on_end=remember,
            poll_seconds=poll_seconds,
            settle_seconds=SETTLE,
            clock=self.now,
        )
        return finetune(course, job_id=self.job_id)

    async def live(
        self, steps: int | None = None, stage: AsyncIterator[Progress] | None = None
    ) -> BaseException | None:
        """One process's part of the training: to its end, its death over a call, or after so many steps."""
        task = asyncio.create_task(_walked(stage or self.stage(), steps))
        killer = asyncio.create_task(self.scripted.killed.wait())
        await asyncio.wait({task, killer}, return_when=asyncio.FIRST_COMPLETED)
        killer.cancel()
        task.cancel()
        (ended, _) = await asyncio.gather(task, killer, return_exceptions=True)
        self.scripted.be_healthy_again()
        return ended if isinstance(ended, BaseException) else None

    async def training(self) -> Training:
        found = await voices.training_of_job(self.database, self.job_id)
        assert found is not None
        return found

    async def ledger(self) -> list[tuple[float, float | None]]:
        """What was set aside for the job, and what was written down for it."""
        async with self.database.read() as connection:
            rows = await connection.execute_fetchall(
                "SELECT reserved, spent FROM spending WHERE job_id = ? ORDER BY id", (self.job_id,)
            )
        return [(row[0], row[1]) for row in rows]

    def uploaded(self) -> list[str]:
        """Which parts were uploaded, in the order of the alphabet."""
        return sorted(
            file.name.split("-dataset")[0].removeprefix("tumblrbot-").rsplit("-", 1)[0] for file in self.scripted.files
        )


async def _walked(stage: AsyncIterator[Progress], steps: int | None) -> None:
    seen = 0
    try:
        async for _ in stage:
            seen += 1
            if steps is not None and seen > steps:
                break
    finally:
        await stage.aclose()  # type: ignore[attr-defined]


@asynccontextmanager
async def open_room(folder: Path) -> AsyncIterator[Room]:
    scripted = ScriptedService()
    await scripted.start()
    endpoint = Endpoint(scripted.base_url, SecretStr("sk-scripted"), BASE_MODEL)
    hasty = ModelService(endpoint, deadline=0.25, wait=wait_none())
    patient = ModelService(endpoint, deadline=30.0, wait=wait_none())
    database = await Database.open(folder / "bot.sqlite3")
    async with database.write() as connection:
        dataset_id = await datasets.add_dataset(
            connection,
            digest="d",
            developer_message="You write.",
            user_message="Write.",
            settings={},
            examples=[Example("Write.", f"night {n}.", 20, held_out=n >= 12) for n in range(14)],
            now=0.0,
        )
    try:
        with pytest.MonkeyPatch.context() as patch:
            # Time is the one thing that is not real here.
            patch.setitem(tuning.wait_until_processed.__kwdefaults__, "poll_seconds", 0.0)
            patch.setattr(tuning, "_UPLOAD_DEADLINE", 0.0)
            yield Room(scripted, hasty, patient, database, dataset_id)
    finally:
        await hasty.close()
        await patient.close()
        await database.close()
        await scripted.stop()


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with open_room(tmp_path) as room:
        yield room


# --- whatever the order ---------------------------------------------------------------------------------------


def ends() -> st.SearchStrategy[tuple[str, dict[str, object], TrainingState, Failure | None]]:
    """A last status with what the job says beside it, and what that means."""
    won, lost = TrainingState.SUCCEEDED, TrainingState.FAILED
    return st.sampled_from(
        [
            ("succeeded", {"fine_tuned_model": "ft:one", "trained_tokens": 480, "error": {}}, won, None),
            ("succeeded", {"fine_tuned_model": "ft:one", "trained_tokens": None, "error": None}, won, None),
            ("succeeded", {"fine_tuned_model": None, "error": {}}, lost, Failure.OTHER),
            ("succeeded", {"fine_tuned_model": "", "error": {"code": None}}, lost, Failure.OTHER),
            ("failed", {"error": {}}, lost, Failure.OTHER),
            ("failed", {"error": {"code": "unsafe_file", "message": "Violence."}}, lost, Failure.UNSAFE),
            ("failed", {"error": {"code": "exceeded_quota", "message": "No."}}, lost, Failure.NO_CREDIT),
            ("failed", {"error": "a text", "trained_tokens": "many"}, lost, Failure.OTHER),
            ("cancelled", {"error": {}}, TrainingState.CANCELLED, None),
            ("canceled", {"trained_tokens": 40}, TrainingState.CANCELLED, None),
        ]
    )


SCRIPTS = st.builds(
    lambda going_on, end, files, refusals, events, mishaps: (
        Script(
            statuses=[*going_on, end[0]],
            end=end[1],
            file_statuses=files,
            refusals=refusals,
            events=events,
            mishaps=mishaps,
        ),
        end,
    ),
    st.lists(st.sampled_from(GOING_ON), max_size=6),
    ends(),
    st.sampled_from([["processed"]] * 3 + [["uploaded", "novel", "processed"], ["uploaded", "error"]]),
    st.lists(st.sampled_from(["processing", "unseen"]), max_size=3),
    st.lists(st.sampled_from(ODD_EVENTS), max_size=5),
    st.lists(st.sampled_from([None, None, None, *MISHAPS]), max_size=30),
)


async def _holds(room: Room, script: Script, end: Any, deaths: list[int | None]) -> None:
    await room.begin(script)
    lives = [*deaths, *[None] * MOST_LIVES]
    while lives:
        await room.live(lives.pop(0))
        training = await room.training()
        _money_is_right(room, training, await room.ledger())
        if training.state.is_final:
            break
    assert room.uploaded() == PARTS
    if script.file_statuses[-1] == "error":
        assert (training.state, training.failure) == (TrainingState.FAILED, Failure.BAD_FILE)
        assert room.scripted.jobs == []
        return
    assert len(room.scripted.jobs) == 1
    _, told, state, failure = end
    assert (training.state, training.failure) == (state, failure)
    voice = await voices.voice_of_training(room.database, training.id)
    assert (voice.model if voice else None) == (told.get("fine_tuned_model") if voice else None)
    assert (voice is not None) == (state is TrainingState.SUCCEEDED)
    ended = await room.live()
    assert room.uploaded() == PARTS, "going on after the end does nothing"
    assert len(room.scripted.jobs) == 1
    assert (ended is None) == (state is TrainingState.SUCCEEDED)


def _money_is_right(room: Room, training: Training, ledger: list[tuple[float, float | None]]) -> None:
    """What is set aside is free again only when the training surely cost nothing, and counts until it is over."""
    is_open = [spent is None for _, spent in ledger]
    assert sum(is_open) <= 1
    assert all(reserved == pytest.approx(ESTIMATE) for reserved, _ in ledger)
    if training.state.is_final:
        assert not any(is_open), "what is over is settled"
        cost = sum(spent or 0.0 for _, spent in ledger)
        if training.state is TrainingState.SUCCEEDED:
            assert cost == pytest.approx((training.trained_tokens or TOKENS) * PRICE / 1_000_000)
        else:
            assert cost == pytest.approx((training.trained_tokens or 0) * PRICE / 1_000_000)
    elif room.scripted.jobs:
        assert any(is_open), "a job is under way at the service, and nothing is set aside for it"
    assert all(spent == 0 for _, spent in ledger[:-1]), "an earlier try cost nothing"


def _check(folder: Path, examples: int) -> None:
    with asyncio.Runner() as runner:
        opened = open_room(folder)
        room = runner.run(opened.__aenter__())

        @given(SCRIPTS, st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=4))
        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
        def check(scripted: Any, deaths: list[int | None]) -> None:
            runner.run(_holds(room, *scripted, deaths))

        try:
            check()
        finally:
            runner.run(opened.__aexit__(None, None, None))


def test_whatever_happens_there_is_one_upload_one_job_and_the_outcome_of_the_last_status(tmp_path: Path):
    _check(tmp_path, 25)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_same_hundreds_of_times(tmp_path: Path):
    _check(tmp_path, 300)


async def test_no_unknown_status_ends_it(room: Room):
    await room.begin(Script(statuses=[*[UNKNOWN, "", "paused"] * 12, "succeeded"]))
    seen = [progress.line async for progress in room.stage()]
    assert sum(UNKNOWN in line for line in seen) >= 12
    assert (await room.training()).state is TrainingState.SUCCEEDED


# --- what is known is stored, and then shown --------------------------------------------------------------------


async def test_what_is_shown_is_stored_already(room: Room):
    """So that the process that comes after a kill knows at least as much as people were shown."""
    await room.begin(Script(statuses=["queued", "running", UNKNOWN, "succeeded"], events=ODD_EVENTS))
    said: list[str] = []
    async for progress in room.stage():
        stored = await room.training()
        if " says: " in progress.line:
            said.append(stored.service_state or "")
            assert f" says: {(stored.service_state or '').replace('_', ' ')}" in progress.line
            assert progress.curve == stored.loss_curve
    assert progress.line == "Done: the new voice is active."
    assert said == ["validating_files", "queued", "running", UNKNOWN]
    assert stored.state is TrainingState.SUCCEEDED
    assert stored.loss_curve == ((3, 2.5),)
    assert await voices.voice_of_training(room.database, stored.id) is not None
    assert [spent for _, spent in await room.ledger()] == [pytest.approx(480 * PRICE / 1_000_000)]
    assert [training.id for training in room.told] == [stored.id]


@pytest.mark.parametrize("acted", [False, True])
async def test_each_file_is_known_before_the_next_goes_up(room: Room, acted: bool):
    killed = Mishap("killed", "kill", acts=acted)
    await room.begin(Script(mishaps=[None, None, None, killed]))  # look, upload, look, upload
    await room.live()
    assert room.scripted.calls[-1] == ("POST", "/v1/files")
    training = await room.training()
    assert (training.file_id, training.held_out_file_id) == ("file-0", None)
    await room.live()
    assert room.uploaded() == PARTS
    assert (await room.training()).held_out_file_id == "file-1"


@pytest.mark.parametrize("lost", ["cut", "hang", "kill", "answer"])
@pytest.mark.parametrize(("before", "what"), [(1, "training"), (3, "held-out"), (7, "job")])
async def test_what_the_service_does_late_is_not_asked_for_again(room: Room, before: int, what: str, lost: str):
    """A look right after a lost answer finds nothing, and is no reason to ask again."""
    late = Mishap("late", lost, late=LATE, status=504)
    await room.begin(Script(mishaps=[*[None] * before, late]))
    seen: list[Progress] = []
    ended: BaseException | None = None
    for _ in range(2 if lost == "kill" else 1):
        ended = await room.live(stage=_noted(room.stage(), seen))
    assert ended is None
    assert (room.uploaded(), len(room.scripted.jobs)) == (PARTS, 1)
    creating = {"job": room.scripted.made("POST", "/jobs")}.get(what, room.scripted.made("POST", "/files") - 1)
    assert creating == 1
    assert [progress.waiting_for for progress in seen if progress.waiting_for] == [UNSETTLED]


async def _noted(stage: AsyncIterator[Progress], seen: list[Progress]) -> AsyncIterator[Progress]:
    async with aclosing(stage) as steps:  # type: ignore[type-var]
        async for progress in steps:
            seen.append(progress)
            yield progress


async def test_a_death_before_the_end_is_told_tells_it_again(room: Room):
    """config.toml follows the voice after it is stored: a death between them must not keep it behind."""
    await room.begin(Script())
    stage = room.stage()
    async for progress in stage:
        if progress.line.startswith("Done"):
            break
    room.told.clear()
    await stage.aclose()  # type: ignore[attr-defined]
    assert await room.live() is None
    assert len(room.told) == 1
    assert len(await room.ledger()) == 1
    assert sum(voice.training_id == room.told[0].id for voice in await voices.all_voices(room.database)) == 1


async def test_files_and_jobs_of_an_earlier_database_or_another_bot_are_not_taken_for_ours(room: Room):
    """Its trainings are numbered from 1 as well, and the account at the service may be the same."""
    await room.begin(Script())
    assert await room.live() is None
    files, made = room.scripted.files, room.scripted.jobs
    async with room.database.write() as connection:
        await connection.execute("DELETE FROM voices")
        await connection.execute("DELETE FROM trainings")
        await connection.execute("DELETE FROM sqlite_sequence WHERE name = 'trainings'")
    await room.begin(Script())
    room.scripted.files += files
    room.scripted.jobs += made
    assert await room.live() is None
    assert (await room.training()).id == 1
    assert len(room.scripted.files) == 4
    assert len(room.scripted.jobs) == 2


# --- refused on the way -----------------------------------------------------------------------------------------

CALLS = ["look for the training file", "upload it", "look for the held-out file", "upload it", "look at the one",
         "look at the other", "look for a job", "create it"]  # fmt: skip
MENDED = [
    (refusal(401, "invalid_api_key"), ModelUnauthorized, Failure.OTHER),
    (refusal(429, "insufficient_quota"), ModelQuotaExhausted, Failure.NO_CREDIT),
    (refusal(400, "exceeded_quota"), ModelQuotaExhausted, Failure.NO_CREDIT),
]


@pytest.mark.parametrize("call", range(len(CALLS)), ids=CALLS)
@pytest.mark.parametrize(("no", "error", "failure"), MENDED)
async def test_refused_for_what_can_be_mended_it_goes_on_with_the_same_files(
    room: Room, call: int, no: Mishap, error: type[ModelError], failure: Failure
):
    await room.begin(Script(mishaps=[*[None] * call, no]))
    assert isinstance(await room.live(), error)
    training = await room.training()
    assert (training.failure, training.state.is_final) == (failure, False)
    assert training.error
    assert [spent for _, spent in await room.ledger()] == [0.0], "nothing was begun, so nothing stays set aside"
    assert await room.live() is None
    assert room.uploaded() == PARTS
    assert len(room.scripted.jobs) == 1
    training = await room.training()
    assert (training.failure, training.error) == (None, None)
    assert len(await room.ledger()) == 2


async def test_a_refusal_after_a_lost_answer_frees_no_money(room: Room):
    """The job was made, its answer was lost, and then the key was revoked: it goes on at the service, and is paid."""
    lost = Mishap("cut after", "cut", acts=True)
    await room.begin(Script(mishaps=[*[None] * 7, lost, *[None] * 2, refusal(401)]))
    assert isinstance(await room.live(), ModelUnauthorized)
    assert len(room.scripted.jobs) == 1
    assert [spent for _, spent in await room.ledger()] == [None]
    assert await room.live() is None
    assert len(room.scripted.jobs) == 1
    assert len(await room.ledger()) == 1


async def test_a_refusal_after_a_death_over_the_call_frees_no_money(room: Room):
    killed = Mishap("killed after", "kill", acts=True)
    await room.begin(Script(mishaps=[*[None] * 7, killed, *[None] * 2, refusal(401)]))
    await room.live()
    assert isinstance(await room.live(), ModelUnauthorized)
    assert len(room.scripted.jobs) == 1
    assert [spent for _, spent in await room.ledger()] == [None]
    assert await room.live() is None
    assert len(room.scripted.jobs) == 1


async def test_a_refusal_while_it_trains_frees_no_money(room: Room):
    await room.begin(Script(mishaps=[*[None] * 10, refusal(401)]))
    assert isinstance(await room.live(), ModelUnauthorized)
    training = await room.training()
    assert (training.state, training.failure) == (TrainingState.RUNNING, Failure.OTHER)
    assert [spent for _, spent in await room.ledger()] == [None]
    assert await room.live() is None
    assert len(room.scripted.jobs) == 1
    assert len(await room.ledger()) == 1


async def test_without_money_nothing_is_sent_and_with_it_the_same_job_goes_on(room: Room):
    await room.begin(Script())
    room.limit = ESTIMATE * 0.9
    with pytest.raises(BudgetReached):
        await anext(room.stage())
    room.limit = ESTIMATE * 1.1
    assert room.scripted.calls == []
    assert await room.ledger() == []
    assert await room.live() is None


@pytest.mark.parametrize("refusals", [["processing"], ["unseen"], ["unseen", "processing"] * 3 + ["unseen"]])
async def test_a_file_that_is_not_ready_is_waited_for_quietly(room: Room, refusals: list[str]):
    await room.begin(Script(refusals=refusals))
    assert await room.live() is None
    assert room.scripted.made("POST", "/jobs") == len(refusals) + 1
    assert len(room.scripted.jobs) == 1


async def test_the_job_is_asked_for_once_both_files_are_ready(room: Room):
    await room.begin(Script(file_statuses=["uploaded", "novel", "processed"]))
    assert await room.live() is None
    assert [file.statuses for file in room.scripted.files] == [["processed"], ["processed"]]
    assert room.scripted.made("POST", "/jobs") == 1


async def test_a_file_that_never_gets_ready_is_kept_for_another_try(room: Room):
    await room.begin(Script(refusals=["processing"] * 8))
    assert isinstance(await room.live(), ModelError)
    training = await room.training()
    assert (training.state, training.failure) == (TrainingState.UPLOADED, Failure.OTHER)
    assert [spent for _, spent in await room.ledger()] == [0.0]
    assert room.scripted.deleted == []
    assert await room.live() is None
    assert room.uploaded() == PARTS


# --- trained by nobody ------------------------------------------------------------------------------------------

NOT_AVAILABLE = refusal(403, "training_not_available", "Fine-tuning is no longer available to your organization.")


async def test_what_the_service_trains_for_nobody_is_deleted_there_again(room: Room):
    await room.begin(Script(mishaps=[*[None] * 7, NOT_AVAILABLE]))
    assert isinstance(await room.live(), TrainingNotAvailable)
    training = await room.training()
    assert (training.state, training.failure) == (TrainingState.FAILED, Failure.NOT_AVAILABLE)
    assert (training.files_deleted, training.has_files) == (True, False)
    assert sorted(room.scripted.deleted) == ["file-0", "file-1"]
    assert [spent for _, spent in await room.ledger()] == [0.0]


@pytest.mark.parametrize("later", range(2))
@pytest.mark.parametrize("acted", [False, True])
async def test_a_death_while_they_are_deleted_changes_neither_the_end_nor_the_reason(
    room: Room, later: int, acted: bool
):
    killed = Mishap("killed", "kill", acts=acted)
    await room.begin(Script(mishaps=[*[None] * 7, NOT_AVAILABLE, *[None] * later, killed]))
    await room.live()
    assert isinstance(await room.live(), TrainingFailed)
    training = await room.training()
    assert (training.state, training.failure) == (TrainingState.FAILED, Failure.NOT_AVAILABLE)
    assert training.files_deleted
    assert set(room.scripted.deleted) == {"file-0", "file-1"}
    assert room.scripted.made("POST", "/jobs") == 1
    assert [spent for _, spent in await room.ledger()] == [0.0]


async def test_files_that_cannot_be_deleted_are_known_to_be_there(room: Room):
    await room.begin(Script(mishaps=[*[None] * 7, NOT_AVAILABLE, refusal(401)]))
    assert isinstance(await room.live(), TrainingNotAvailable)
    training = await room.training()
    assert (training.failure, training.has_files) == (Failure.NOT_AVAILABLE, True)


@pytest.mark.parametrize(
    ("script", "state"),
    [
        (Script(statuses=["running", "failed"], end={"error": {"code": "unsafe_file"}}), TrainingState.FAILED),
        (Script(statuses=["running", "cancelled"], end={}), TrainingState.CANCELLED),
        (Script(), TrainingState.SUCCEEDED),
        (Script(mishaps=[*[None] * 7, refusal(400, "unsafe_file")]), TrainingState.FAILED),
        (Script(mishaps=[*[None] * 7, refusal(403)]), TrainingState.UPLOADED),
    ],
)
async def test_no_other_file_is_deleted_without_a_press(room: Room, script: Script, state: TrainingState):
    await room.begin(script)
    await room.live()
    assert (await room.training()).state is state
    assert room.scripted.deleted == []
    assert not room.scripted.made("POST", "/cancel")
    assert (await room.training()).has_files


async def test_what_the_service_forgets_is_kept_and_the_epochs_that_it_used_are_told(room: Room):
    events: list[object] = [
        {"id": "b", "message": "Step 3.", "created_at": 1.5},
        {"id": "a", "type": "metrics", "data": {"step": 3, "total_steps": 24, "train_loss": 2.5, "valid_loss": 2.6}},
    ]
    end: dict[str, object] = {
        "fine_tuned_model": "ft:one",
        "trained_tokens": 480,
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 5}}},
    }
    await room.begin(Script(statuses=["running", "running", "succeeded"], events=events, end=end))
    async for progress in room.stage():
        if progress.curve:
            events.clear()
    training = await room.training()
    assert (training.loss_curve, training.held_out_curve) == (((3, 2.5),), ((3, 2.6),))
    assert (training.steps, [event.text for event in training.events]) == (24, ["Step 3."])
    assert training.epochs == 5
    assert [told.epochs for told in room.told] == [5], "expected_epochs follows"
    assert ("Epochs", "5") in progress.facts


# --- why it gave no voice ---------------------------------------------------------------------------------------

CHECKS = {
    "type": "moderation_checks",
    "message": "Moderation checks for the model failed",
    "data": {"blocked": True, "results": [{"category": "self-harm", "blocked": True}, {"category": "hate"}]},
}
BROKEN = "Error while running moderation eval on the fine-tuned model. Please try again."
ENDS = [
    ({"code": "unsafe_file", "message": "Too many examples of violence."}, [], Failure.UNSAFE, "of violence"),
    ({}, [CHECKS], Failure.UNSAFE, "self-harm"),
    ({"code": "other", "message": "This file was blocked by our moderation system."}, [], Failure.UNSAFE, "blocked"),
    ({"code": None, "message": BROKEN}, [], Failure.CHECK_BROKEN, "no verdict"),
    ({}, [{"message": BROKEN}], Failure.CHECK_BROKEN, "no verdict"),
    ({"code": "unsafe_file", "message": BROKEN}, [CHECKS], Failure.CHECK_BROKEN, "no verdict"),
    ({"code": "invalid_n_examples", "message": "It has 9 examples."}, [], Failure.BAD_FILE, "9 examples"),
    ({"code": "invalid_training_file", "message": "Line 7: no answer."}, [], Failure.BAD_FILE, "Line 7"),
    ({"code": "invalid_validation_file", "message": "Line 2."}, [], Failure.BAD_FILE, "Line 2"),
    ({"code": "invalid_of_next_year", "message": "Hm."}, [], Failure.BAD_FILE, "Hm"),
    ({"code": "exceeded_quota", "message": "Over."}, [], Failure.NO_CREDIT, "billing"),
    ({"code": "insufficient_quota", "message": "Over."}, [], Failure.NO_CREDIT, "billing"),
    ({"code": "a_new_code", "message": "Hm."}, [], Failure.OTHER, r"Hm \(a_new_code\)\."),
    ({"code": "a_new_code"}, [{"message": "Last words."}], Failure.OTHER, "Last words"),
    ({"code": "a_new_code"}, [{"message": "Last words."}, {"message": "First."}], Failure.OTHER, "says: Last words"),
    ({"code": "unsafe_file", "message": "Too much self-harm."}, [CHECKS], Failure.UNSAFE, r"Too much self-harm\."),
    ({}, [], Failure.OTHER, "no reason was given"),
    (None, [], Failure.OTHER, "no reason was given"),
]


@pytest.mark.parametrize(("error", "events", "failure", "words"), ENDS)
async def test_every_end_is_told_by_its_kind(
    room: Room, error: object, events: list[object], failure: Failure, words: str
):
    await room.begin(Script(statuses=["running", "failed"], end={"error": error}, events=events))
    with pytest.raises(TrainingFailed, match=words):
        async for _ in room.stage():
            pass
    training = await room.training()
    assert (training.state, training.failure) == (TrainingState.FAILED, failure)


async def test_a_file_that_the_service_cannot_read_is_a_bad_file(room: Room):
    await room.begin(Script(file_statuses=["uploaded", "error"]))
    assert isinstance(await room.live(), ModelError)
    training = await room.training()
    assert (training.state, training.failure) == (TrainingState.FAILED, Failure.BAD_FILE)
    assert [spent for _, spent in await room.ledger()] == [0.0]


async def test_a_success_without_a_model_is_a_failure_that_was_paid(room: Room):
    await room.begin(Script(statuses=["running", "succeeded"], end={"trained_tokens": 480}))
    with pytest.raises(TrainingFailed, match="no reason was given"):
        async for _ in room.stage():
            pass
    training = await room.training()
    assert (training.state, training.failure) == (TrainingState.FAILED, Failure.OTHER)
    assert [spent for _, spent in await room.ledger()] == [pytest.approx(480 * PRICE / 1_000_000)]


REFUSED = [
    (refusal(400, "unsafe_file"), Failure.UNSAFE, TrainingState.FAILED),
    (refusal(400, "invalid_n_examples"), Failure.BAD_FILE, TrainingState.FAILED),
    (refusal(400, "invalid_training_file", "Line 7 is no JSON."), Failure.BAD_FILE, TrainingState.FAILED),
    (NOT_AVAILABLE, Failure.NOT_AVAILABLE, TrainingState.FAILED),
    (refusal(402), Failure.NO_CREDIT, TrainingState.UPLOADED),
    (refusal(403), Failure.OTHER, TrainingState.UPLOADED),
    (refusal(404, "model_not_found"), Failure.OTHER, TrainingState.UPLOADED),
    (refusal(400, "a_new_code"), Failure.OTHER, TrainingState.UPLOADED),
]


@pytest.mark.parametrize(("no", "failure", "state"), REFUSED)
async def test_every_refusal_is_told_by_its_kind(room: Room, no: Mishap, failure: Failure, state: TrainingState):
    await room.begin(Script(mishaps=[*[None] * 7, no]))
    assert isinstance(await room.live(), ModelError)
    training = await room.training()
    assert (training.state, training.failure) == (state, failure)
    assert [spent for _, spent in await room.ledger()] == [0.0]


def test_every_kind_of_failure_is_reached():
    assert {failure for _, _, failure, _ in ENDS} | {failure for _, failure, _ in REFUSED} == set(Failure)


# --- stopped by a person ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", range(12))
@pytest.mark.parametrize("done", ["before", "never", "late"])
async def test_stopped_over_any_call_it_is_cancelled_and_its_money_is_right(room: Room, call: int, done: str):
    late = 0.2 if done == "late" else 0.0
    stop = Mishap("stop", "kill", acts=done == "before", late=late)
    await room.begin(Script(statuses=["running"], end={}, mishaps=[*[None] * call, stop]))
    await room.live()
    async with room.database.write() as connection:
        await jobs.finish_job(connection, room.job_id, JobState.CANCELLED, progress=None, error=None, now=room.now())
    while (due := await cancelled(room, settle_seconds=0.4)) is not None:
        await asyncio.sleep(due - room.now())
    await asyncio.sleep(late)  # what was not looked for long enough is there now
    assert (await room.training()).state is TrainingState.CANCELLED
    assert room.scripted.made("POST", "/cancel") == len(room.scripted.jobs)
    assert [job["status"] for job in room.scripted.jobs] in ([], ["cancelled"])
    # Nobody tells what it has cost by then: it goes on counting in full.
    assert [spent for _, spent in await room.ledger()] == [None if room.scripted.jobs else 0.0]


async def cancelled(room: Room, settle_seconds: float = 0.0) -> float | None:
    """One look at what was stopped; when the next one is due."""
    return await cancel_abandoned(
        room.database, lambda _: FineTuned(room.service), settle_seconds=settle_seconds, clock=room.now
    )


class Services:
    """The one service that the settings name."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def at(self, base_url: str) -> ModelService:
        assert base_url == self._room.scripted.base_url
        return self._room.service


def desk_of(room: Room, settle_seconds: float = 0.0) -> VoiceDesk:
    async def remember(values: object) -> bool:
        return True

    return VoiceDesk(
        room.database,
        Services(room),  # type: ignore[arg-type]
        settings=Settings,
        remember=remember,
        poll_seconds=0.0,
        settle_seconds=settle_seconds,
        clock=lambda: 5.0,
    )


async def test_files_deleted_by_a_press_end_the_training_and_free_its_money(room: Room):
    """It may have been begun when its answer was lost; once a look says that it was not, it has cost nothing."""
    await room.begin(Script(mishaps=[*[None] * 7, *[Mishap("503", "answer", status=503), *[None] * 3] * 3]))
    assert isinstance(await room.live(), ModelUnavailable)
    assert [spent for _, spent in await room.ledger()] == [None]
    async with room.database.write() as connection:
        await jobs.finish_job(connection, room.job_id, JobState.FAILED, progress=None, error="x", now=1.0)
    await desk_of(room).delete_files(room.job_id, Person(1, "keeper"))
    training = await room.training()
    assert (training.state, training.has_files) == (TrainingState.CANCELLED, False)
    assert sorted(room.scripted.deleted) == ["file-0", "file-1"]
    assert [spent for _, spent in await room.ledger()] == [0.0]
    (act, *_) = await newest_acts(room.database, limit=1)
    assert (act.action, act.user_name) == ("delete training files", "keeper")
    with pytest.raises(NothingToDo, match="No file"):
        await desk_of(room).delete_files(room.job_id, Person(1, "keeper"))


async def test_files_stay_as_long_as_the_service_may_begin_with_them(room: Room):
    """Its answer was lost, and a look a moment later finds nothing yet: the money is not free, and no file goes."""
    await room.begin(Script(statuses=["running"], end={}, mishaps=[*[None] * 7, Mishap("stop", "kill")]))
    await room.live()
    async with room.database.write() as connection:
        await jobs.finish_job(connection, room.job_id, JobState.CANCELLED, progress=None, error=None, now=1.0)
    with pytest.raises(NothingToDo, match="may begin this training in a moment"):
        await desk_of(room, settle_seconds=60.0).delete_files(room.job_id, Person(1, "keeper"))
    assert room.scripted.deleted == []
    assert [spent for _, spent in await room.ledger()] == [None]
    await desk_of(room, settle_seconds=3.0).delete_files(room.job_id, Person(1, "keeper"))
    assert sorted(room.scripted.deleted) == ["file-0", "file-1"]
    assert [spent for _, spent in await room.ledger()] == [0.0]


async def test_files_of_a_training_that_somebody_let_go_on_are_not_deleted_under_it(room: Room):
    """The button stands below a failure; meanwhile somebody has pressed *Retry*."""
    await room.begin(Script(mishaps=[*[None] * 7, refusal(401)]))
    assert isinstance(await room.live(), ModelUnauthorized)
    with pytest.raises(NothingToDo, match="in use"):
        await desk_of(room).delete_files(room.job_id, Person(1, "keeper"))
    assert room.scripted.deleted == []
    assert await room.live() is None


async def test_a_stop_that_the_service_does_not_answer_is_tried_again(room: Room):
    await room.begin(Script(statuses=["running"], end={}, mishaps=[*[None] * 10, Mishap("stop", "kill")]))
    await room.live()
    async with room.database.write() as connection:
        await jobs.finish_job(connection, room.job_id, JobState.CANCELLED, progress=None, error=None, now=1.0)
    room.scripted.add_mishaps(refusal(401))
    await cancelled(room)
    assert (await room.training()).state is TrainingState.RUNNING
    await cancelled(room)
    assert (await room.training()).state is TrainingState.CANCELLED


# --- watching ---------------------------------------------------------------------------------------------------


@pytest.fixture
def naps(room: Room, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between two looks, which take no time here but by the bot's clock."""
    taken: list[float] = []
    sleep = asyncio.sleep

    async def nap(seconds: float, result: object = None) -> object:
        if seconds >= 1.0:
            taken.append(seconds)
            room.shift += seconds
            seconds = 0.0
        return await sleep(seconds, result)

    monkeypatch.setattr(asyncio, "sleep", nap)
    return taken


async def test_looks_become_rare_while_nothing_changes_and_news_bring_them_back(room: Room, naps: list[float]):
    await room.begin(Script(statuses=[*["queued"] * 8, *["running"] * 3, "succeeded"]))
    async for _ in room.stage(poll_seconds=10.0):
        pass
    # One look brings the news of each state; those after it bring none.
    growing = [10.0, 15.0, 22.5, 33.75, 50.625, 60.0, 60.0, 60.0]
    assert naps == pytest.approx([10.0, *growing, *growing[:3]])


@pytest.mark.usefixtures("naps")
async def test_a_service_that_is_away_for_hours_is_asked_again_less_and_less_often(room: Room):
    """Whoever hosts the bot may have no network for a night: nobody should have to press a button for that."""
    away = Mishap("503", "answer", status=503)
    await room.begin(Script(mishaps=[*[None] * 8, *[away] * 4 * 60]))
    began = room.now()
    seen = [progress async for progress in room.stage(poll_seconds=10.0)]
    assert room.now() - began > 8 * 3600
    waits = [p.wait_until - q.wait_until for q, p in pairwise(seen) if p.waiting_for and q.waiting_for]
    assert waits[:3] == pytest.approx([22.5, 33.75, 50.625], abs=3.0)
    assert max(waits) == pytest.approx(600.0, abs=3.0)
    assert {progress.waiting_for for progress in seen} == {None, AWAY}
    assert (await room.training()).state is TrainingState.SUCCEEDED


@pytest.mark.usefixtures("naps")
async def test_after_a_day_without_an_answer_nobody_waits_any_more(room: Room):
    away = Mishap("503", "answer", status=503)
    await room.begin(Script(mishaps=[*[None] * 8, *[away] * 4 * 200]))
    began = room.now()
    with pytest.raises(ModelUnavailable):
        async for _ in room.stage(poll_seconds=10.0):
            pass
    assert 86_400 <= room.now() - began < 86_400 + 3_600
    assert [spent for _, spent in await room.ledger()] == [None], "it goes on at the service"
    room.scripted.clear_mishaps()
    assert await room.live() is None
    assert len(room.scripted.jobs) == 1


@pytest.mark.parametrize("call", range(10))
async def test_a_limit_of_the_service_is_waited_for_where_people_see_it(room: Room, call: int):
    slow = Mishap("slow down", "answer", status=429, headers={"retry-after-ms": "20"})
    await room.begin(Script(mishaps=[*[None] * call, *[slow] * 5]))
    seen = [progress async for progress in room.stage()]
    waits = [progress for progress in seen if progress.waiting_for == "the service's limit"]
    assert len(waits) == 5, "as often as it takes: a limit is no failure"
    assert all(progress.wait_until for progress in waits)
    assert (await room.training()).state is TrainingState.SUCCEEDED
    assert room.uploaded() == PARTS
