"""A voice tuned at Together, over its whole life against the stand-in, with every call going wrong once."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from pydantic import SecretStr
from tenacity import wait_none

from bot import errors
from bot.demo.faults import Fault
from bot.demo.together_service import NANODOLLARS_PER_TOKEN, TogetherService
from bot.examples import Dataset, Example
from bot.language import together
from bot.language.endpoint import Endpoint, ModelService
from bot.pipeline.finetune import Course, finetune
from bot.store import datasets, jobs, spending, voices
from bot.store.database import Database
from bot.training import Failure, Offer, Training, TrainingApi, TrainingState, Voice, VoiceKind
from bot.voices.kinds import KINDS, api_of, kind_of
from bot.voices.protocol import Material, Pausable
from bot.voices.together import EVENTS_KEPT, TogetherTuned
from tests.pipeline.conftest import START
from tests.pipeline.room import nights

BASE = "Qwen/Qwen3-8B"
TEXTS = nights(44)
EXAMPLES = [Example("Write.", text, 9) for text in TEXTS]
DATASET = Dataset(3, START, "digest", "You write.", "Write.", 360, 40, 4, 0, None)
MATERIAL = Material(DATASET, EXAMPLES[:40], EXAMPLES[40:])
EPOCHS = 3


@dataclass
class Bench:
    together: TogetherService
    service: ModelService
    trainer: TogetherTuned
    address: str
    now: float = START

    def fresh(self) -> Training:
        return Training(
            id=7,
            job_id=1,
            dataset_id=DATASET.id,
            base_url=f"{self.address}/v1",
            base_model=BASE,
            epochs=EPOCHS,
            state=TrainingState.PREPARING,
            kind=VoiceKind.TOGETHER,
            suffix="tumblrbot",
        )

    async def uploaded(self, material: Material = MATERIAL) -> Training:
        training = self.fresh()
        while training.state is TrainingState.PREPARING:
            training = await self.trainer.prepare(training, material, lambda *_: None)
        return training

    async def running(self, material: Material = MATERIAL) -> Training:
        return await self.trainer.train(await self.uploaded(material))

    def wait(self, share: float) -> None:
        """Let this share of a whole training pass."""
        self.now += share * self.together.training_seconds

    def asked(self, method: str, path: str) -> int:
        return sum(call.method == method and call.path == f"/v1{path}" for call in self.together.requests)


@asynccontextmanager
async def open_bench() -> AsyncGenerator[Bench, None]:
    together = TogetherService(seed=1)
    address = await together.start()
    endpoint = Endpoint(f"{address}/v1", SecretStr(together.api_key), BASE)
    service = ModelService(endpoint, deadline=5.0, wait=wait_none())
    bench = Bench(together, service, TogetherTuned(service), address)
    together.clock = lambda: bench.now
    together.training_seconds = 1000.0
    try:
        yield bench
    finally:
        await service.close()
        await together.stop()


@pytest.fixture
async def bench() -> AsyncGenerator[Bench, None]:
    async with open_bench() as opened:
        yield opened


def voice_of(training: Training) -> Voice:
    assert training.fine_tuned_model is not None
    return Voice(
        1, VoiceKind.TOGETHER, "v", training.fine_tuned_model, training.base_url, DATASET.id,
        DATASET.developer_message, DATASET.user_message, 0.0, True, 0.0,
    )  # fmt: skip


# --- the life of one training -----------------------------------------------------------------------------------


async def test_it_is_the_kind_of_the_address_and_has_no_pause(bench: Bench):
    kind = KINDS[kind_of(api_of("https://api.together.ai/v1", TrainingApi.AUTO))]
    assert kind.trains is not None
    trainer = kind.trains(bench.service, TrainingApi.TOGETHER)
    assert isinstance(trainer, TogetherTuned)
    assert not isinstance(trainer, Pausable)


async def test_files_are_uploaded_one_at_a_time_with_roles_that_together_knows(bench: Bench):
    first = await bench.trainer.prepare(bench.fresh(), MATERIAL, lambda *_: None)
    assert (first.state, first.held_out_file_id) == (TrainingState.PREPARING, None)
    assert list(bench.together.state.files) == [first.file_id]
    second = await bench.trainer.prepare(first, MATERIAL, lambda *_: None)
    assert second.state is TrainingState.UPLOADED
    assert list(bench.together.state.files) == [first.file_id, second.held_out_file_id]
    learned, held_out = bench.together.state.files.values()
    assert [json.loads(line) for line in learned.content.splitlines()] == [
        {
            "messages": [
                {"role": "system", "content": "You write."},
                {"role": "user", "content": "Write."},
                {"role": "assistant", "content": text},
            ]
        }
        for text in TEXTS[:40]
    ]
    assert held_out.read.texts == TEXTS[40:]
    assert learned.problem is held_out.problem is None


async def test_without_held_out_posts_one_file_is_all(bench: Bench):
    alone = Material(DATASET, EXAMPLES, [])
    training = await bench.trainer.prepare(bench.fresh(), alone, lambda *_: None)
    assert training.state is TrainingState.UPLOADED
    running = await bench.trainer.train(training)
    bench.wait(1)
    done = await bench.trainer.poll(running)
    assert (done.state, done.held_out_file_id, done.held_out_curve) == (TrainingState.SUCCEEDED, None, ())


async def test_an_upload_tells_how_far_it_is(bench: Bench):
    reports: list[tuple[int, int]] = []
    await bench.trainer.prepare(bench.fresh(), MATERIAL, lambda *report: reports.append(report))
    (file,) = bench.together.state.files.values()
    assert reports[-1] == (len(file.content), len(file.content))
    assert all(before[0] <= after[0] for before, after in pairwise(reports))


async def test_from_the_files_to_a_voice_that_writes(bench: Bench):
    running = await bench.running()
    assert running.state is TrainingState.RUNNING
    assert (running.service_state, running.service_job_id) == ("pending", *bench.together.state.jobs)
    waiting = await bench.trainer.poll(running)
    assert (waiting.trained_tokens, waiting.cost, waiting.steps, waiting.estimated_finish) == (None, None, None, None)
    bench.wait(0.6)
    halfway = await bench.trainer.poll(running)
    assert (halfway.state, halfway.service_state, halfway.steps) == (TrainingState.RUNNING, "running", 15)
    assert 0 < len(halfway.loss_curve) < 15
    assert halfway.held_out_curve
    assert halfway.estimated_finish is not None
    bench.wait(0.4)
    done = await bench.trainer.poll(running)
    (job,) = bench.together.state.jobs.values()
    assert (done.state, done.service_state) == (TrainingState.SUCCEEDED, "completed")
    assert done.fine_tuned_model == job.output_name
    assert (job.asked.validation_file, job.asked.n_evals) == (done.held_out_file_id, EPOCHS)
    assert done.trained_tokens == job.tokens == EPOCHS * (job.read.tokens + job.held_out_tokens)
    assert done.cost == pytest.approx(job.tokens * NANODOLLARS_PER_TOKEN / 1e9)
    assert [step for step, _ in done.loss_curve] == list(range(1, 16))
    assert [step for step, _ in done.held_out_curve] == [5, 10, 15]
    assert done.loss_curve[-1][1] < done.loss_curve[0][1]
    assert done.events[-1].text == "Job finished"
    assert all((before.at or 0) <= (after.at or 0) for before, after in pairwise(done.events))
    voice = voice_of(done)
    # The database is only looked at for an estimate.
    writer = KINDS[voice.kind].writes(cast("Database", None), bench.service, voice)
    written = await writer.write(voice, "About tea.", seed=1)
    assert written.text.split()[0] == "night"
    body = bench.together.requests[-1].body
    assert body == {
        "model": done.fine_tuned_model,
        "messages": [{"role": "system", "content": "You write."}, {"role": "user", "content": "About tea."}],
        "max_tokens": 1_500,
        "seed": 1,
    }
    assert bench.asked("POST", "/chat/completions") == 1
    assert await writer.most_expensive(voice, "About tea.") == 0.0, "no price is known for a model on this machine"


async def test_a_model_that_needs_an_endpoint_of_its_own_says_so(bench: Bench):
    bench.together.serves_tuned_models = False
    running = await bench.running()
    bench.wait(1)
    voice = voice_of(await bench.trainer.poll(running))
    writer = KINDS[voice.kind].writes(cast("Database", None), bench.service, voice)
    with pytest.raises(errors.VoiceGone, match="dedicated endpoint") as caught:
        await writer.write(voice, "About tea.", seed=1)
    assert caught.value.next_step.startswith("Write with few-shot instead")


@pytest.mark.parametrize("late", [0, 1])
async def test_the_job_is_asked_for_once_both_files_are_looked_at(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, late: int
):
    monkeypatch.setitem(together.wait_until_processed.__kwdefaults__, "poll_seconds", 0.0)
    uploaded = await bench.uploaded()
    files = bench.together.state.files
    file = [*files.values()][late]
    files[file.id] = replace(file, ready_at=bench.now + 9)

    def clock() -> float:
        bench.now += 1
        return bench.now

    bench.together.clock = clock
    assert (await bench.trainer.train(uploaded)).state is TrainingState.RUNNING
    assert bench.asked("POST", "/fine-tunes") == 1


async def test_a_status_that_nobody_has_heard_of_goes_on(bench: Bench):
    running = await bench.running()
    bench.together.faults.schedule(
        Fault("GET", "/v1/fine-tunes/*", "status", status=200, body={"id": running.service_job_id, "status": "novel"})
    )
    polled = await bench.trainer.poll(running)
    assert (polled.state, polled.service_state) == (TrainingState.RUNNING, "novel")


async def test_what_was_known_once_stays_known(bench: Bench):
    running = await bench.running()
    bench.wait(0.6)
    halfway = await bench.trainer.poll(running)
    bench.together.faults.schedule(
        Fault("GET", "/v1/fine-tunes/*/metrics", "status", status=404, body={"error": {"message": "Gone."}}),
        Fault("GET", "/v1/fine-tunes/*/events", "status", status=200, body={"data": []}),
    )
    bare = {"id": running.service_job_id, "status": "running"}
    bench.together.faults.schedule(Fault("GET", f"/v1/fine-tunes/{running.service_job_id}", "status", 200, bare))
    later = await bench.trainer.poll(halfway)
    assert halfway.cost
    assert (later.trained_tokens, later.cost) == (halfway.trained_tokens, halfway.cost)
    assert (later.loss_curve, later.held_out_curve) == (halfway.loss_curve, halfway.held_out_curve)
    assert (later.steps, later.events) == (halfway.steps, halfway.events)


async def test_a_look_at_which_nothing_has_happened_finds_nothing_new(bench: Bench):
    running = await bench.running()
    bench.wait(0.6)
    halfway = await bench.trainer.poll(running)
    assert halfway.estimated_finish is not None
    assert await bench.trainer.poll(halfway) == halfway
    much_later = replace(halfway, estimated_finish=halfway.estimated_finish + 120)
    assert (await bench.trainer.poll(much_later)).estimated_finish != much_later.estimated_finish


async def test_of_a_long_log_the_newest_lines_are_kept(bench: Bench):
    uploaded = await bench.uploaded()
    running = await bench.trainer.train(replace(uploaded, epochs=20))
    bench.wait(1)
    done = await bench.trainer.poll(running)
    assert len(done.events) == EVENTS_KEPT
    assert done.events[-1].text == "Job finished"


async def test_the_stage_makes_it_the_active_voice_at_the_price_that_together_tells(bench: Bench, tmp_path: Path):
    bench.together.clock, bench.together.training_seconds = time.time, 0.3
    database = await Database.open(tmp_path / "bot.sqlite3")
    async with database.write() as connection:
        job = await jobs.insert_job(
            connection, "finetune", {}, requested_by="k", requester_id=1, channel_id=None, now=0.0
        )
        dataset_id = await datasets.add_dataset(
            connection,
            digest="d",
            developer_message="You write.",
            user_message="Write.",
            settings={},
            examples=[Example("Write.", text, 9, held_out=index >= 40) for index, text in enumerate(TEXTS)],
            now=0.0,
        )
    offer = Offer(
        1, VoiceKind.TOGETHER, dataset_id, f"{bench.address}/v1", BASE, EPOCHS, "lamp", activate=True, cost=0.1
    )
    told: list[Training] = []

    async def remember(training: Training) -> None:
        told.append(training)

    course = Course(database, bench.trainer, offer, None, 20.0, remember, poll_seconds=0.05, settle_seconds=0.05)
    seen = [progress async for progress in finetune(course, job_id=job.id)]
    assert seen[-1].line == "Done: the new voice is active."
    (made,) = bench.together.state.jobs.values()
    voice = await voices.active_voice(database)
    assert voice is not None
    assert (voice.kind, voice.model) == (VoiceKind.TOGETHER, made.output_name)
    assert voice.cost == pytest.approx(made.tokens * NANODOLLARS_PER_TOKEN / 1e9)
    assert await spending.open_entry(database, job.id, "fine-tuning") is None
    training = await voices.training_of_job(database, job.id)
    assert [training] == told
    assert training is not None
    assert training.held_out_curve
    assert training.events[-1].text == "Job finished"
    await database.close()


# --- ends without a voice ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("event", "failure"), [("job_error", Failure.OTHER), ("billing_limit", Failure.NO_CREDIT)])
async def test_a_failure_has_the_reason_from_the_log(bench: Bench, event: str, failure: Failure):
    bench.together.fail_training_with = (event, "It did not work out.")
    running = await bench.running()
    bench.wait(1)
    failed = await bench.trainer.poll(running)
    assert (failed.state, failed.failure) == (TrainingState.FAILED, failure)
    assert failed.error is not None
    assert "It did not work out." in failed.error
    assert failed.fine_tuned_model is None
    assert failed.cost is not None


async def test_the_reason_is_the_error_and_not_whatever_came_last(bench: Bench):
    running = await bench.running()
    log = [
        {"created_at": "2026-05-01T10:00:00Z", "type": "job_error", "message": "Out of memory."},
        {"created_at": "2026-05-01T10:00:01Z", "type": "job_stopped", "message": "Cleaning up."},
    ]
    bench.together.faults.schedule(
        Fault("GET", "/v1/fine-tunes/*/events", "status", 200, {"data": log}),
        Fault("GET", "/v1/fine-tunes/*", "status", 200, {"id": running.service_job_id, "status": "error"}),
    )
    assert (await bench.trainer.poll(running)).error == "Out of memory."


@pytest.mark.parametrize(
    ("status", "state", "failure"),
    [
        ("user_error", TrainingState.FAILED, Failure.BAD_FILE),
        ("error", TrainingState.FAILED, Failure.OTHER),
        ("completed", TrainingState.FAILED, Failure.OTHER),
        ("cancelled", TrainingState.CANCELLED, None),
    ],
)
async def test_an_end_that_the_log_does_not_explain(
    bench: Bench, status: str, state: TrainingState, failure: Failure | None
):
    """`completed` without the name of a model is no voice either."""
    running = await bench.running()
    body = {"id": running.service_job_id, "status": status}
    bench.together.faults.schedule(Fault("GET", "/v1/fine-tunes/*", "status", status=200, body=body))
    ended = await bench.trainer.poll(running)
    assert (ended.state, ended.failure) == (state, failure)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"training_available": False}, errors.ModelForbidden),
        ({"has_credit": False}, errors.ModelQuotaExhausted),
        ({"models": set[str]()}, errors.ModelRefused),
    ],
)
async def test_a_refused_job_leaves_the_files_to_be_deleted(
    bench: Bench, change: dict[str, object], error: type[errors.ModelError]
):
    for name, value in change.items():
        setattr(bench.together, name, value)
    uploaded = await bench.uploaded()
    with pytest.raises(error):
        await bench.trainer.train(uploaded)
    assert not bench.together.state.jobs
    deleted = await bench.trainer.delete_files(uploaded)
    assert deleted.files_deleted
    assert not bench.together.state.files


MARKED = Example("Write.", "<|endoftext|>", 9)


@pytest.mark.parametrize(
    "material",
    [Material(DATASET, [*EXAMPLES, MARKED], []), Material(DATASET, EXAMPLES[:40], [*EXAMPLES[40:], MARKED])],
    ids=["training", "held out"],
)
async def test_a_file_that_together_cannot_read_makes_no_job(bench: Bench, material: Material):
    uploaded = await bench.uploaded(material)
    with pytest.raises(errors.ModelRefused) as refused:
        await bench.trainer.train(uploaded)
    assert refused.value.code == "invalid_training_file"
    assert bench.asked("POST", "/fine-tunes") == 0


async def test_cancelling(bench: Bench):
    running = await bench.running()
    bench.wait(0.6)
    cancelled = await bench.trainer.cancel(running)
    assert cancelled.state is TrainingState.CANCELLED
    bench.wait(0.4)
    assert [job.status(bench.now) for job in bench.together.state.jobs.values()] == ["cancelled"]
    assert (await bench.trainer.poll(running)).state is TrainingState.CANCELLED
    assert (await bench.trainer.cancel(running)).state is TrainingState.CANCELLED


async def test_a_job_that_a_crash_kept_us_from_noting_down_is_cancelled_too(bench: Bench):
    uploaded = await bench.uploaded()
    running = await bench.trainer.train(uploaded)
    cancelled = await bench.trainer.cancel(uploaded)
    assert cancelled.service_job_id == running.service_job_id
    assert [job.status(bench.now) for job in bench.together.state.jobs.values()] == ["cancelled"]


async def test_cancelling_before_there_is_a_job(bench: Bench):
    assert (await bench.trainer.cancel(bench.fresh())).state is TrainingState.CANCELLED
    assert (await bench.trainer.cancel(await bench.uploaded())).state is TrainingState.CANCELLED


async def test_deleting_files_also_those_that_a_crash_kept_us_from_noting_down(bench: Bench):
    await bench.uploaded()
    assert len(bench.together.state.files) == 2
    assert (await bench.trainer.delete_files(bench.fresh())).files_deleted
    assert not bench.together.state.files
    assert (await bench.trainer.delete_files(bench.fresh())).files_deleted


# --- every call goes wrong ----------------------------------------------------------------------------------------

NONSENSE = {"status": 200, "body": ["nonsense"]}
LOST: dict[str, dict[str, Any]] = {
    "refused before": {"kind": "reset_before"},
    "answered after the fact": {"kind": "reset_after"},
    "cut off": {"kind": "truncated"},
    "a late 504": {"kind": "status", "status": 504, "act": True},
    "nonsense after the fact": {"kind": "status", **NONSENSE, "act": True},
    "nonsense before": {"kind": "status", **NONSENSE},
    "slow": {"kind": "hang"},
}


@asynccontextmanager
async def impatient(bench: Bench) -> AsyncGenerator[TogetherTuned, None]:
    """The trainer with a service that waits for less than a second: for calls that never come back."""
    service = ModelService(bench.service.endpoint, deadline=0.5, wait=wait_none())
    try:
        yield TogetherTuned(service)
    finally:
        await service.close()


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("call", ["files/upload", "fine-tunes"])
async def test_after_a_lost_answer_nothing_is_made_twice(bench: Bench, call: str, fault: str):
    bench.together.faults.schedule(Fault("POST", f"/v1/{call}", **LOST[fault]))
    training, lost = bench.fresh(), 0
    async with impatient(bench) as hurried:
        while training.state is not TrainingState.RUNNING:
            trainer = hurried if fault == "slow" and not lost else bench.trainer
            try:
                if training.state is TrainingState.PREPARING:
                    training = await trainer.prepare(training, MATERIAL, lambda *_: None)
                else:
                    training = await trainer.train(training)
            except errors.ModelUnavailable:
                lost += 1
    assert lost == 1
    assert len(bench.together.faults.served) == 1
    assert len(bench.together.state.files) == 2
    assert len(bench.together.state.jobs) == 1
    assert {training.file_id, training.held_out_file_id} == set(bench.together.state.files)


@pytest.mark.parametrize("fault", [fault for fault in LOST if fault != "slow"])
async def test_every_other_call_is_asked_again(bench: Bench, fault: str):
    """Each call of a whole life goes wrong once; the two that create something are in the test above."""
    for method, path in (
        ("GET", "/v1/files"),
        ("GET", "/v1/files/*"),
        ("GET", "/v1/fine-tunes"),
        ("GET", "/v1/fine-tunes/*/events"),
        ("GET", "/v1/fine-tunes/*/metrics"),
        ("GET", "/v1/fine-tunes/ft-*"),
        ("POST", "/v1/fine-tunes/*/cancel"),
        ("DELETE", "/v1/files/*"),
    ):
        bench.together.faults.schedule(Fault(method, path, **LOST[fault]))
    running = await bench.running()
    assert (await bench.trainer.poll(running)).state is TrainingState.RUNNING
    assert (await bench.trainer.cancel(running)).state is TrainingState.CANCELLED
    assert (await bench.trainer.delete_files(running)).files_deleted
    assert len(bench.together.faults.served) == 8
    assert not bench.together.state.files
    assert [job.status(bench.now) for job in bench.together.state.jobs.values()] == ["cancelled"]


async def test_a_step_that_is_repeated_does_nothing_twice(bench: Bench):
    """A crash may come between a step and its being stored: each is done again from what was stored before."""
    training = bench.fresh()
    first = await bench.trainer.prepare(training, MATERIAL, lambda *_: None)
    assert await bench.trainer.prepare(training, MATERIAL, lambda *_: None) == first
    second = await bench.trainer.prepare(first, MATERIAL, lambda *_: None)
    assert await bench.trainer.prepare(first, MATERIAL, lambda *_: None) == second
    third = await bench.trainer.train(second)
    assert await bench.trainer.train(second) == third
    assert len(bench.together.state.files) == 2
    assert len(bench.together.state.jobs) == 1
    assert bench.asked("POST", "/files/upload") == 2
    assert bench.asked("POST", "/fine-tunes") == 1


# --- the stand-in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": None}, "model"),
        ({"model": "nobody/nothing"}, "model"),
        ({"training_file": "file-nowhere"}, "training_file"),
        ({"validation_file": "file-nowhere", "n_evals": 1}, "training_file"),
        ({"n_epochs": "three"}, "n_epochs"),
        ({"n_evals": 2}, "n_evals"),
        ({"suffix": "x" * 41}, "suffix"),
        ({"metadata": {}}, "metadata"),
    ],
)
async def test_the_stand_in_refuses_what_the_description_does_not_have(
    bench: Bench, change: dict[str, object], named: str
):
    uploaded = await bench.uploaded()
    body = {"training_file": uploaded.file_id, "model": BASE} | change
    headers = {"Authorization": f"Bearer {bench.together.api_key}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{bench.address}/v1/fine-tunes", json=body, headers=headers) as answer,
    ):
        assert answer.status == 400
        assert named in str((await answer.json())["error"])
    assert not bench.together.state.jobs


@pytest.mark.parametrize("missing", ["purpose", "file_name", "file"])
async def test_the_stand_in_refuses_an_incomplete_upload(bench: Bench, missing: str):
    form = aiohttp.FormData()
    for name in {"purpose", "file_name"} - {missing}:
        form.add_field(name, {"purpose": "fine-tune", "file_name": "a.jsonl"}[name])
    if missing != "file":
        form.add_field("file", b"{}\n", filename="a.jsonl")
    else:
        form.add_field("other", b"{}\n", filename="a.jsonl")
    headers = {"Authorization": f"Bearer {bench.together.api_key}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{bench.address}/v1/files/upload", data=form, headers=headers) as answer,
    ):
        assert answer.status == 400
        assert (await answer.json())["error"]["param"] == missing
    assert not bench.together.state.files


async def test_the_stand_in_wants_its_key(bench: Bench):
    endpoint = replace(bench.service.endpoint, api_key=SecretStr("sk-another"))
    service = ModelService(endpoint, deadline=5.0, wait=wait_none())
    with pytest.raises(errors.ModelUnauthorized):
        await TogetherTuned(service).prepare(bench.fresh(), MATERIAL, lambda *_: None)
    await service.close()


FILE_FIELDS = {"id": str, "object": str, "created_at": int, "filename": str, "bytes": int, "purpose": str,
               "FileType": str, "Processed": bool}  # fmt: skip
JOB_FIELDS = {"id": str, "status": str, "created_at": str, "updated_at": str, "training_file": str, "model": str,
              "model_output_name": str, "token_count": int, "total_price": int, "progress": dict}  # fmt: skip
EVENT_FIELDS = {"object": str, "created_at": str, "message": str, "type": str, "param_count": int, "token_count": int,
                "total_steps": int, "wandb_url": str, "step": int, "checkpoint_path": str, "model_path": str,
                "training_offset": int, "hash": str}  # fmt: skip
STATUSES = {"pending", "queued", "running", "compressing", "uploading", "cancel_requested", "cancelled", "error",
            "completed"}  # fmt: skip
EVENT_TYPES = {"job_pending", "training_start", "epoch_complete", "job_complete", "job_error", "billing_limit",
               "cancel_requested"}  # fmt: skip


@pytest.mark.parametrize("end", ["completed", "job_error", "billing_limit", "cancelled"])
async def test_the_stand_in_answers_as_the_description_says(bench: Bench, end: str):
    """What Together's OpenAPI document (`togethercomputer/openapi`) requires of a file, a job, an event."""
    bench.together.fail_training_with = (end, "Why.") if end in {"job_error", "billing_limit"} else None
    running = await bench.running()
    headers = {"Authorization": f"Bearer {bench.together.api_key}"}
    async with aiohttp.ClientSession(f"{bench.address}/v1/", headers=headers) as session:

        async def got(path: str) -> Any:
            async with session.get(path) as answer:
                return await answer.json()

        for _ in range(11):
            job = await got(f"fine-tunes/{running.service_job_id}")
            assert {name: type(job[name]) for name in JOB_FIELDS} == JOB_FIELDS
            assert job["status"] in STATUSES
            for event in (await got(f"fine-tunes/{running.service_job_id}/events"))["data"]:
                assert {name: type(event[name]) for name in EVENT_FIELDS} == EVENT_FIELDS
                assert event["type"] in EVENT_TYPES
            bench.wait(0.1)
            if end == "cancelled" and job["status"] == "running":
                await bench.trainer.cancel(running)
        assert job["status"] == {"job_error": "error", "billing_limit": "cancelled"}.get(end, end)
        learned, held_out = (await got("files"))["data"]
        assert {name: type(learned[name]) for name in FILE_FIELDS} == FILE_FIELDS
        assert await got(f"files/{running.held_out_file_id}") == held_out
