"""Training goes on wherever it was cut off: one upload, one job at the service, and everything stored before it is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tenacity import wait_none

from bot.demo.faults import Fault
from bot.demo.openai_service import OpenAIService
from bot.errors import (
    BudgetReached,
    ModelForbidden,
    ModelUnauthorized,
    NothingToDo,
    TrainingFailed,
    TrainingNotAvailable,
)
from bot.examples import Example, training_line
from bot.language import tuning
from bot.language.endpoint import Endpoint, ModelService
from bot.pipeline.finetune import Course, cancel_abandoned, dataset_to_train, finetune
from bot.progress import Progress
from bot.store import datasets, jobs, spending, voices
from bot.store.database import Database
from bot.store.jobs import JobState
from bot.training import Offer, Training, TrainingState, VoiceKind
from bot.voices.fine_tuned import FineTuned
from bot.voices.protocol import Trainer

MODEL = "gpt-4.1-mini-2025-04-14"


@dataclass
class Room:
    openai: OpenAIService
    service: ModelService
    database: Database
    job_id: int = 0
    dataset_id: int = 0
    told: list[Training] = field(default_factory=list)

    def offer(self, **changes: Any) -> Offer:
        """What was offered before the job began."""
        offer = Offer(
            id=1,
            kind=VoiceKind.FINE_TUNED,
            dataset_id=self.dataset_id,
            base_url=self.service.endpoint.base_url,
            model=MODEL,
            epochs=2,
            suffix="lamp",
            activate=True,
            cost=0.1,
        )
        return replace(offer, **changes)

    def run(
        self,
        *,
        limit: float = 20.0,
        trainer: Trainer | None = None,
        poll_seconds: float = 0.05,
        **offer: Any,
    ) -> AsyncIterator[Progress]:
        async def remember(training: Training) -> None:
            self.told.append(training)

        course = Course(
            self.database,
            trainer or FineTuned(self.service),
            self.offer(**offer),
            token_price=5.0,
            monthly_limit=limit,
            on_end=remember,
            poll_seconds=poll_seconds,
            settle_seconds=0.05,
        )
        return finetune(course, job_id=self.job_id)

    def calls(self, method: str, path: str) -> int:
        return sum(r.method == method and r.path == path for r in self.openai.requests)


@asynccontextmanager
async def open_room(folder: Path, *, examples: int = 12) -> AsyncGenerator[Room, None]:
    openai = OpenAIService(seed=1)
    openai.training_seconds = 0.3
    address = await openai.start()
    service = ModelService(Endpoint(f"{address}/v1", SecretStr(openai.api_key), MODEL), deadline=5.0, wait=wait_none())
    database = await Database.open(folder / "bot.sqlite3")
    room = Room(openai, service, database)
    async with database.write() as connection:
        job = await jobs.insert_job(
            connection, "finetune", {}, requested_by="k", requester_id=1, channel_id=None, now=0.0
        )
        room.job_id = job.id
        room.dataset_id = await datasets.add_dataset(
            connection,
            digest="d",
            developer_message="You write.",
            user_message="Write.",
            settings={},
            examples=[Example("Write.", f"the light is lit, night {n}.", 20) for n in range(examples)],
            now=0.0,
        )
    try:
        yield room
    finally:
        await service.close()
        await database.close()
        await openai.stop()


async def everything(stage: AsyncIterator[Progress]) -> list[Progress]:
    return [progress async for progress in stage]


async def test_a_training_becomes_the_active_voice(tmp_path: Path):
    async with open_room(tmp_path) as room:
        last = (await everything(room.run()))[-1]
        assert last.line == "Done: the new voice is active."
        voice = await voices.active_voice(room.database)
        assert voice is not None
        assert (voice.developer_message, voice.user_message) == ("You write.", "Write.")
        training = await voices.training_of_job(room.database, room.job_id)
        assert training is not None
        assert training.state is TrainingState.SUCCEEDED
        assert training.fine_tuned_model == voice.model
        assert training.loss_curve
        assert [told.fine_tuned_model for told in room.told] == [voice.model]
        assert await spending.open_entry(room.database, room.job_id, "fine-tuning") is None
        assert voice.cost > 0
        assert await spending.spent_on_job(room.database, room.job_id) == pytest.approx(voice.cost)


@pytest.mark.parametrize("steps", range(1, 9))
async def test_cut_off_at_any_step_it_repeats_nothing(tmp_path: Path, steps: int):
    """The process dies after any number of steps; the next one finishes with one upload and one job."""
    async with open_room(tmp_path) as room:
        stage = room.run()
        for _ in range(steps):
            if await anext(stage, None) is None:
                break
        await stage.aclose()
        await everything(room.run())
        assert room.calls("POST", "/v1/files") == 1
        assert room.calls("POST", "/v1/fine_tuning/jobs") == 1
        assert (await voices.active_voice(room.database)) is not None


@pytest.mark.parametrize("path", ["/v1/files", "/v1/fine_tuning/jobs"])
async def test_an_answer_lost_after_the_fact_repeats_nothing(tmp_path: Path, path: str):
    """The upload or the job was made, and its answer never came: the next try finds it instead of making another."""
    async with open_room(tmp_path) as room:
        room.openai.faults.schedule(Fault("POST", path, "reset_after"))
        await everything(room.run())
        assert room.calls("POST", path) == 1
        assert (await voices.active_voice(room.database)) is not None


async def test_a_training_that_cannot_be_asked_about_for_a_while_goes_on(tmp_path: Path):
    async with open_room(tmp_path) as room:
        room.openai.faults.schedule(Fault("GET", "/v1/fine_tuning/jobs/*", "status", status=503, times=8, after=1))
        await everything(room.run())
        assert (await voices.active_voice(room.database)) is not None


async def test_a_service_that_trains_nobody_costs_nothing(tmp_path: Path):
    async with open_room(tmp_path) as room:
        room.openai.training_available = False
        with pytest.raises(TrainingNotAvailable):
            await everything(room.run())
        assert await spending.spent_on_job(room.database, room.job_id) == 0


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(401, "invalid_api_key", ModelUnauthorized), (403, None, ModelForbidden)],
)
async def test_a_refused_upload_costs_nothing(tmp_path: Path, status: int, code: str | None, error: type[Exception]):
    async with open_room(tmp_path) as room:
        room.openai.faults.schedule(
            Fault("POST", "/v1/files", "status", status=status, body={"error": {"message": "no", "code": code}})
        )
        with pytest.raises(error):
            await everything(room.run())
        assert await spending.spent_on_job(room.database, room.job_id) == 0
        await everything(room.run())


async def test_a_training_that_fails_says_why(tmp_path: Path):
    async with open_room(tmp_path) as room:
        room.openai.fail_training_with = ("unsafe_file", "The file has too many examples of violence.")
        with pytest.raises(TrainingFailed, match="violence"):
            await everything(room.run())
        assert (await voices.active_voice(room.database)) is None


async def test_nothing_is_sent_that_the_budget_does_not_cover(tmp_path: Path):
    async with open_room(tmp_path) as room:
        with pytest.raises(BudgetReached):
            await everything(room.run(limit=0.0))
        assert not [request for request in room.openai.requests if request.method == "POST"]


async def test_too_few_examples_are_refused_before_anything_is_sent(tmp_path: Path):
    async with open_room(tmp_path, examples=9) as room:
        with pytest.raises(NothingToDo, match="only 9 examples"):
            await dataset_to_train(room.database)


async def test_a_stopped_job_is_cancelled_at_the_service(tmp_path: Path):
    async with open_room(tmp_path) as room:
        room.openai.training_seconds = 60.0
        stage = room.run()
        async for progress in stage:
            if " says: " in progress.line:
                break
        await stage.aclose()
        trainer = FineTuned(room.service)
        await cancel_abandoned(room.database, lambda _: trainer, settle_seconds=0.0)
        assert room.calls("POST", "/v1/fine_tuning/jobs") == 1
        assert not [r for r in room.openai.requests if r.path.endswith("/cancel")], "nobody pressed Stop"
        async with room.database.write() as connection:
            await jobs.finish_job(connection, room.job_id, JobState.CANCELLED, progress=None, error=None, now=1.0)
        await cancel_abandoned(room.database, lambda _: trainer, settle_seconds=0.0)
        await cancel_abandoned(room.database, lambda _: trainer, settle_seconds=0.0)
        assert len([r for r in room.openai.requests if r.path.endswith("/cancel")]) == 1


async def test_polling_does_not_outrun_its_pace(tmp_path: Path):
    async with open_room(tmp_path) as room:
        started = asyncio.get_running_loop().time()
        await everything(room.run())
        seconds = asyncio.get_running_loop().time() - started
        polls = sum("/events" in request.path for request in room.openai.requests)
        assert polls <= seconds / 0.05 + 1


async def test_a_job_that_runs_at_the_service_already_is_followed(tmp_path: Path):
    """As `job_id` in config.toml asks: nothing is uploaded, nothing is reserved, and the model becomes the voice."""
    async with open_room(tmp_path) as room:
        content = "".join(training_line("You write.", "Write.", f"night {n}.") + "\n" for n in range(12)).encode()
        file_id = await tuning.upload_training_file(room.service, "by-hand.jsonl", content)
        job = await tuning.create_job(
            room.service, training_file=file_id, model=MODEL, suffix="mine", epochs=1, marker="by hand"
        )
        last = (await everything(room.run(limit=0.0, service_job_id=job.id)))[-1]
        assert last.line == "Done: the new voice is active."
        assert room.calls("POST", "/v1/files") == 1
        assert room.calls("POST", "/v1/fine_tuning/jobs") == 1
        voice = await voices.active_voice(room.database)
        assert voice is not None
        assert "mine" in voice.model
        assert await spending.spent_on_job(room.database, room.job_id) == pytest.approx(voice.cost)


async def test_a_service_without_events_is_followed_by_its_job_alone(tmp_path: Path):
    async with open_room(tmp_path) as room:
        room.openai.faults.schedule(Fault("GET", "/v1/fine_tuning/jobs/*/events", "status", 404, {}, times=999))
        last = (await everything(room.run()))[-1]
        assert last.line == "Done: the new voice is active."
        assert not last.curve
