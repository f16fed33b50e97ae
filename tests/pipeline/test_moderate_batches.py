"""Batches at the service: nothing begun twice, nothing lost, and what they leave unanswered is judged in another way."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.app import App, Pace
from bot.config import OpenAISettings
from bot.demo.faults import Fault
from bot.drafts import Person
from bot.errors import ModelQuotaExhausted, ModelUnauthorized, ModelUnavailable
from bot.jobs.runner import JobState
from bot.language import batches
from bot.language.moderation import COULD_NOT_BE_JUDGED, PROBE
from bot.pipeline.moderate import InBatches, moderate
from bot.pipeline.moderate_batches import look_after_batches
from bot.progress import Progress
from bot.screening import BatchState
from bot.store import jobs
from bot.store import screening as store
from tests.pipeline.room import SCREENER, Room, everything, nights, open_room, take
from tests.pipeline.test_moderate import aside, prepared, sent, trained_on
from tests.pipeline.test_screening import settings_of

KNIFE = "a knife in the dark"
POLL = 0.01


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five requests in a file, so that thirteen texts make three batches."""
    whole = batches.split
    monkeypatch.setattr(batches, "split", lambda sizes: whole(sizes, requests=5))


def in_batches(room: Room, job_id: int) -> AsyncIterator[Progress]:
    return moderate(
        room.database,
        room.service(SCREENER),
        training_data_file=room.training_file,
        texts_per_call=4,
        in_batches=InBatches(job_id, POLL),
    )


async def ready(room: Room, *more: str, seconds: float = 0.2) -> int:
    """A dataset of thirteen texts, and a job to screen it."""
    room.openai.flagged_words = {"knife": "violence"}
    room.openai.batch_seconds = seconds
    await prepared(room, [*nights(12), KNIFE, *more])
    return await room.job("moderate")


async def end(room: Room, job_id: int, state: JobState) -> None:
    async with room.database.write() as connection:
        await jobs.finish_job(connection, job_id, state, progress=None, error=None, now=1.0)


def asked(room: Room) -> Counter[str]:
    """How often each text was asked about in a batch."""
    return Counter(
        text
        for batch in room.openai.state.batches.values()
        for line in batch.content.splitlines()
        for text in [json.loads(line)["body"]["input"]]
    )


async def test_a_dataset_is_screened_in_batches(tmp_path: Path):
    async with open_room(tmp_path) as room:
        job_id = await ready(room)
        seen = await everything(in_batches(room, job_id))
        assert seen[-1].line == "Done: 1 of 13 examples set aside, 12 left to train on."
        assert await aside(room) == {KNIFE: "violence"}
        assert sorted(trained_on(room)) == sorted(nights(12))
        assert asked(room) == Counter([*nights(12), KNIFE])
        assert len(room.openai.state.batches) == 3
        assert sent(room) == [], "nothing was left for single calls"
        assert not room.openai.state.files, "all files are deleted"
        ((state, hashes),) = {*await room.rows("SELECT state, hashes FROM screening_batches")}
        assert (state, hashes) == (BatchState.DONE, "[]")


async def test_the_wait_is_visible_with_the_services_own_words_and_counts(tmp_path: Path):
    async with open_room(tmp_path) as room:
        job_id = await ready(room)
        seen = await everything(in_batches(room, job_id))
        waiting = [each for each in seen if each.waiting_for == "the batches at the service"]
        assert waiting
        assert any("3 batches at the service" in each.line for each in waiting)
        assert any("validating" in each.line for each in waiting)
        assert any("in progress" in each.line for each in waiting)
        assert {each.total for each in seen} == {13}
        counts = [each.done for each in seen]
        assert counts == sorted(counts)
        assert counts[-1] == 13


async def test_what_is_judged_is_not_sent_again(tmp_path: Path):
    async with open_room(tmp_path) as room:
        job_id = await ready(room)
        await everything(in_batches(room, job_id))
        before = len(room.openai.requests)
        await end(room, job_id, JobState.SUCCEEDED)
        await everything(in_batches(room, await room.job("moderate")))
        assert len(room.openai.requests) == before


@pytest.mark.parametrize("step", range(1, 12))
async def test_ended_at_any_step_it_goes_on_where_it_was(tmp_path: Path, step: int):
    async with open_room(tmp_path) as room:
        job_id = await ready(room)
        await take(in_batches(room, job_id), step)
        await everything(in_batches(room, job_id))
        assert asked(room) == Counter([*nights(12), KNIFE]), "each text once"
        assert sent(room) == []
        assert await aside(room) == {KNIFE: "violence"}
        assert not room.openai.state.files


LOST = [
    Fault("POST", "/v1/files", "reset_after"),
    Fault("POST", "/v1/files", "truncated", after=1),
    Fault("POST", "/v1/batches", "reset_after"),
    Fault("POST", "/v1/batches", "status", status=504, act=True, after=2),
    Fault("GET", "/v1/batches/*", "html", status=502, times=9),
    Fault("GET", "/v1/files/*/content", "truncated", times=3),
    Fault("GET", "/v1/files/*/content", "reset_before", after=1),
    Fault("GET", "/v1/files", "status", status=503, times=9),
    Fault("GET", "/v1/batches/*", "status", status=429, body={"error": {"message": "slow", "code": "rate_limit_exceeded"}},
          headers={"retry-after-ms": "20"}, times=3),
    Fault("DELETE", "/v1/files/*", "reset_after"),
]  # fmt: skip


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: f"{fault.method} {fault.path} {fault.kind} {fault.after}")
async def test_a_lost_answer_repeats_nothing(tmp_path: Path, fault: Fault):
    async with open_room(tmp_path) as room:
        job_id = await ready(room)
        room.openai.faults.schedule(fault)
        await everything(in_batches(room, job_id))
        assert room.openai.faults.served
        assert asked(room) == Counter([*nights(12), KNIFE])
        assert await aside(room) == {KNIFE: "violence"}
        assert not room.openai.state.files


async def test_cut_off_after_every_call_nothing_is_begun_twice(tmp_path: Path):
    """The key is refused from the nth call on, then the job goes on as after a restart."""
    for number in range(0, 40, 3):
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            async with open_room(Path(folder)) as room:
                job_id = await ready(room, seconds=0.05)
                room.openai.faults.schedule(Fault("*", "/v1/*", "status", status=401, after=number, times=99))
                try:
                    await everything(in_batches(room, job_id))
                except ModelUnauthorized:
                    room.openai.faults.clear()
                    await everything(in_batches(room, job_id))
                room.openai.faults.clear()
                assert asked(room) == Counter([*nights(12), KNIFE])
                assert await aside(room) == {KNIFE: "violence"}
                await look_after_batches(room.database, room.service(SCREENER))


# --- what the service does not answer -------------------------------------------------------------------------------


async def test_a_request_that_is_refused_is_judged_by_itself(tmp_path: Path):
    async with open_room(tmp_path) as room:
        job_id = await ready(room, "a poisoned cup")
        room.openai.refused_words = {"poison"}
        seen = await everything(in_batches(room, job_id))
        assert any("1 failed" in each.line for each in seen)
        assert any("sent text by text" in each.line for each in seen)
        assert set(sent(room)) == {"a poisoned cup", PROBE}
        assert not room.openai.state.files
        assert await aside(room) == {KNIFE: "violence", "a poisoned cup": COULD_NOT_BE_JUDGED}


@pytest.mark.parametrize("how", ["expired", "failed"])
async def test_what_an_unfinished_batch_leaves_is_judged_call_by_call(tmp_path: Path, how: str):
    async with open_room(tmp_path) as room:
        job_id = await ready(room)
        if how == "expired":
            room.openai.expire_batches_at = 0.5
        else:
            room.openai.fail_batches_with = ("token_limit_exceeded", "Enqueued token limit reached.")
        seen = await everything(in_batches(room, job_id))
        assert seen[-1].line == "Done: 1 of 13 examples set aside, 12 left to train on."
        assert len(sent(room)) == (8 if how == "expired" else 13)
        assert len(set(sent(room))) == len(sent(room))
        assert not room.openai.state.files
        if how == "failed":
            assert {*await room.rows("SELECT error FROM screening_batches")} == {("Enqueued token limit reached.",)}


async def test_a_service_without_batches_is_asked_call_by_call(tmp_path: Path):
    async with open_room(tmp_path) as room:
        job_id = await ready(room)
        room.openai.faults.schedule(Fault("*", "/v1/batches*", "status", status=404, times=99))
        await everything(in_batches(room, job_id))
        assert len(sent(room)) == 13
        assert not room.openai.state.files


async def test_a_batch_that_vanishes_is_no_end(tmp_path: Path):
    async with open_room(tmp_path) as room:
        job_id = await ready(room, seconds=30.0)
        await take(in_batches(room, job_id), 8)
        gone = next(iter(room.openai.state.batches))
        del room.openai.state.batches[gone]
        room.openai.batch_seconds = 0.05
        await everything(in_batches(room, job_id))
        assert len(sent(room)) == 5
        assert await aside(room) == {KNIFE: "violence"}


async def test_no_credit_ends_it_with_a_sentence(tmp_path: Path):
    async with open_room(tmp_path) as room:
        job_id = await ready(room)
        room.openai.insufficient_quota = True
        with pytest.raises(ModelQuotaExhausted):
            await everything(in_batches(room, job_id))
        room.openai.insufficient_quota = False
        await everything(in_batches(room, job_id))
        assert asked(room) == Counter([*nights(12), KNIFE])


async def test_a_service_that_is_away_for_long_is_left_and_the_batches_are_found_again(tmp_path: Path):
    async with open_room(tmp_path) as room:
        job_id = await ready(room, seconds=0.3)
        room.openai.faults.schedule(Fault("GET", "/v1/batches/*", "html", status=502, times=999))
        with pytest.raises(ModelUnavailable):
            await everything(in_batches(room, job_id))
        room.openai.faults.clear()
        await end(room, job_id, JobState.FAILED)
        # A new job goes on with the batches of the one that failed.
        await everything(in_batches(room, await room.job("moderate")))
        assert asked(room) == Counter([*nights(12), KNIFE])
        assert sent(room) == []
        assert await aside(room) == {KNIFE: "violence"}


# --- what nobody works on -------------------------------------------------------------------------------------------


async def settled(room: Room) -> None:
    for _ in range(400):
        if not await look_after_batches(room.database, room.service(SCREENER)):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize("step", [1, 2, 4, 6, 7, 9])
async def test_what_a_person_stopped_is_cancelled_at_the_service(tmp_path: Path, step: int):
    async with open_room(tmp_path) as room:
        job_id = await ready(room, seconds=30.0)
        await take(in_batches(room, job_id), step)
        await end(room, job_id, JobState.CANCELLED)
        await settled(room)
        assert {batch.status for batch in room.openai.state.batches.values()} <= {"cancelled"}
        assert not room.openai.state.files
        assert await store.left_batches(room.database, room.service(SCREENER).endpoint.base_url) == []


async def test_what_was_answered_before_the_stop_is_kept(tmp_path: Path):
    async with open_room(tmp_path) as room:
        job_id = await ready(room, seconds=30.0)
        await take(in_batches(room, job_id), 9)
        room.openai.batch_seconds = 1.0
        await asyncio.sleep(0.5)
        for batch in list(room.openai.state.batches.values()):
            await batches.get_batch(room.service(SCREENER), batch.id)
        await end(room, job_id, JobState.CANCELLED)
        room.openai.batch_seconds = 1_000.0
        await settled(room)
        ((known,),) = await room.rows("SELECT count(*) FROM judgements")
        assert 0 < known < 13
        room.openai.batch_seconds = 0.2
        await everything(in_batches(room, await room.job("moderate")))
        texts = asked(room)
        assert len(texts) == 13
        assert sum(texts.values()) == 13 + (13 - known), "what was judged is not asked again"


async def test_lost_before_it_was_noted_it_is_found_and_cancelled(tmp_path: Path):
    async with open_room(tmp_path) as room:
        job_id = await ready(room, seconds=30.0)
        room.openai.faults.schedule(
            Fault("POST", "/v1/batches", "reset_after"), Fault("GET", "/v1/batches", "status", status=401, after=1)
        )
        with pytest.raises(ModelUnauthorized):
            await everything(in_batches(room, job_id))
        room.openai.faults.clear()
        assert await room.rows("SELECT count(*) FROM screening_batches WHERE batch_id IS NULL") == [(3,)]
        await end(room, job_id, JobState.CANCELLED)
        await settled(room)
        assert [batch.status for batch in room.openai.state.batches.values()] == ["cancelled"]
        assert not room.openai.state.files


async def test_what_a_failed_job_left_is_read_and_not_cancelled(tmp_path: Path):
    async with open_room(tmp_path) as room:
        job_id = await ready(room, seconds=0.5)
        await take(in_batches(room, job_id), 9)
        await end(room, job_id, JobState.FAILED)
        await settled(room)
        assert {batch.status for batch in room.openai.state.batches.values()} == {"completed"}
        assert await room.rows("SELECT count(*) FROM judgements") == [(13,)]
        assert not room.openai.state.files


async def test_files_that_could_not_be_deleted_are_deleted_later(tmp_path: Path):
    async with open_room(tmp_path) as room:
        job_id = await ready(room)
        room.openai.faults.schedule(Fault("DELETE", "/v1/files/*", "status", status=500, times=99))
        await everything(in_batches(room, job_id))
        assert await aside(room) == {KNIFE: "violence"}
        room.openai.faults.clear()
        await end(room, job_id, JobState.SUCCEEDED)
        await settled(room)
        assert not room.openai.state.files


async def test_a_running_jobs_batches_are_left_alone(tmp_path: Path):
    async with open_room(tmp_path) as room:
        job_id = await ready(room, seconds=30.0)
        await take(in_batches(room, job_id), 9)
        before = len(room.openai.requests)
        assert not await look_after_batches(room.database, room.service(SCREENER))
        assert len(room.openai.requests) == before


# --- the whole app --------------------------------------------------------------------------------------------------


async def app_of(room: Room) -> App:
    """The bot on the room's store, which is closed for it."""
    options = OpenAISettings(api_key=SecretStr(room.openai.api_key), base_url=f"{room.address}/v1")
    app = App(settings_of(room.folder, options), room.folder / "config.toml", pace=Pace(training_poll=0.05))
    await app.start()
    return app


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_press_on_stop_cancels_at_the_service_and_a_restart_does_not(tmp_path: Path):
    async with open_room(tmp_path) as room:
        room.openai.batch_seconds = 60.0
        await prepared(room, nights(12))
        await room.database.close()

        def statuses() -> list[str]:
            return [batch.status for batch in room.openai.state.batches.values()]

        app = await app_of(room)
        job = await app.runner.submit("moderate", {"batch": True}, requested_by="k", requester_id=1, channel_id=None)
        await until(lambda: len(statuses()) == 3)
        await app.stop()
        app = await app_of(room)
        try:
            looks = len([call for call in room.openai.requests if call.method == "GET"])
            await until(lambda: len([call for call in room.openai.requests if call.method == "GET"]) > looks + 6)
            assert len(statuses()) == 3, "a restart begins nothing anew"
            assert not set(statuses()) & {"cancelling", "cancelled"}
            await app.jobs.cancel(job.id, Person(1, "k"))
            await until(lambda: set(statuses()) == {"cancelled"} and not room.openai.state.files)
        finally:
            await app.stop()


async def test_a_screening_without_the_option_makes_no_batches(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await prepared(room, nights(12))
        await room.database.close()
        app = await app_of(room)
        try:
            job = await app.runner.submit("moderate", {}, requested_by="k", requester_id=1, channel_id=None)
            async for _ in app.runner.follow(job.id):
                pass
            assert (await app.screenings.summary(1)).model == SCREENER
        finally:
            await app.stop()
        assert not room.openai.state.batches
        assert len(sent(room)) == 12
