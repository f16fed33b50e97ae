"""Batches: what is sent, what is found again after a lost answer, and what of the answers can be used."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tenacity import wait_none

from bot import errors
from bot.demo.faults import Fault
from bot.demo.openai_service import OpenAIService
from bot.language import batches
from bot.language.endpoint import Endpoint, ModelService
from bot.language.moderation import read_judgement
from bot.language.tuning import delete_file
from tests.language.conftest import answer, error, html, judged, raw
from tests.openapi import OPENAI, load_spec, problems, request_body_validator

MODEL = "omni-moderation-latest"
BATCH = {"id": "batch_1", "status": "in_progress", "input_file_id": "file-1"}


class Clock:
    now = 1_790_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
async def stand_in():
    service = OpenAIService(clock=Clock())
    service.address = await service.start()
    service.batch_seconds = 100.0
    yield service
    await service.stop()


@pytest.fixture
async def model(stand_in):
    endpoint = Endpoint(f"{stand_in.address}/v1", SecretStr(stand_in.api_key), MODEL)
    service = ModelService(endpoint, deadline=2.0, wait=wait_none())
    yield service
    await service.close()


def requests(*texts):
    return b"".join(batches.request_line(f"key of {batches.sendable(text)}", text, MODEL) for text in texts)


async def begin(model, *texts):
    file_id = await batches.upload_requests(model, "a.jsonl", requests(*texts))
    return await batches.create_batch(model, file_id, marker="a.jsonl")


# --- from the upload to the answers ---------------------------------------------------------------------------


async def test_a_batch_from_the_upload_to_the_answers(stand_in, model):
    stand_in.flagged_words = {"rude": "harassment"}
    stand_in.refused_words = {"poison"}
    batch = await begin(model, "a rude word", "a kettle", "poison")
    assert (batch.status, batch.is_final) == ("validating", False)
    stand_in.clock.now += 50
    batch = await batches.get_batch(model, batch.id)
    assert (batch.status, batch.completed, batch.is_final) == ("in_progress", 1, False)
    stand_in.clock.now += 100
    batch = await batches.get_batch(model, batch.id)
    assert (batch.status, batch.completed, batch.failed, batch.is_final) == ("completed", 2, 1, True)
    found = dict(batches.read_answers(await batches.read_file(model, batch.output_file)))
    assert {key: each.categories for key, each in found.items()} == {
        "key of a rude word": ("harassment",),
        "key of a kettle": (),
    }
    assert found["key of a kettle"].scores["violence"] < 0.1
    wrong = await batches.read_file(model, batch.error_file)
    assert batches.read_first_error(wrong) == "Invalid 'input': this text cannot be moderated."
    assert list(batches.read_answers(wrong)) == []
    for file_id in (*stand_in.state.files, "file-gone"):
        await delete_file(model, file_id)
    assert not stand_in.state.files


async def test_what_is_sent_is_as_described(stand_in, model):
    spec = load_spec(OPENAI)
    batch = await begin(model, "one", "two")
    await batches.cancel_batch(model, batch.id)
    (created,) = [call for call in stand_in.requests if call.path == "/v1/batches" and call.method == "POST"]
    assert problems(request_body_validator(spec, "POST", "/batches"), created.body) == []
    assert created.body["endpoint"] == "/v1/moderations"
    assert created.body["completion_window"] == "24h"
    for line in next(iter(stand_in.state.files.values())).content.splitlines():
        found = json.loads(line)
        assert set(found) == {"custom_id", "method", "url", "body"}
        assert (found["method"], found["url"]) == ("POST", "/v1/moderations")
        assert problems(request_body_validator(spec, "POST", "/moderations"), found["body"]) == []
    assert next(iter(stand_in.state.files.values())).purpose == "batch"


async def test_half_a_character_is_sent_as_something_that_utf8_has(stand_in, model):
    batch = await begin(model, "half \ud83d of it")
    stand_in.clock.now += 200
    assert (await batches.get_batch(model, batch.id)).completed == 1


async def test_a_file_that_is_not_ready_is_waited_for(stand_in, model):
    stand_in.processing_seconds = 5.0
    file_id = await batches.upload_requests(model, "a.jsonl", requests("one"))

    async def create():
        return await batches.create_batch(model, file_id, marker="a", poll_seconds=0.0)

    with pytest.raises(errors.ModelRefused, match="still being processed"):
        await create()
    stand_in.clock.now += 5
    assert (await create()).status == "validating"


async def test_a_broken_file_is_named(service, server):
    server.replies = [answer({"id": "file-1", "status": "error"})]
    with pytest.raises(errors.ModelRefused, match="could not read the file"):
        await batches.create_batch(service, "file-1", marker="a")


# --- lost answers -------------------------------------------------------------------------------------------------


async def test_creating_calls_are_made_once_and_found_again(stand_in, model):
    stand_in.faults.schedule(Fault("POST", "/v1/files", "reset_after"))
    with pytest.raises(errors.ModelUnavailable):
        await batches.upload_requests(model, "a.jsonl", requests("one"))
    await batches.upload_requests(model, "other.jsonl", requests("one"))
    file_id = await batches.find_file(model, "a.jsonl")
    assert file_id is not None
    assert await batches.find_file(model, "none.jsonl") is None
    assert await batches.find_batch(model, file_id, marker="a") is None
    stand_in.faults.schedule(Fault("POST", "/v1/batches", "truncated"))
    with pytest.raises(errors.ModelUnavailable):
        await batches.create_batch(model, file_id, marker="a")
    found = await batches.find_batch(model, file_id, marker="a")
    assert found is not None
    assert list(stand_in.state.batches) == [found.id]
    assert await batches.find_batch(model, file_id, marker="another's") is None
    assert len(stand_in.state.files) == 2


async def test_a_batch_is_found_behind_many_others_and_without_metadata(service, server):
    others = [{"id": f"batch_{number}", "status": "completed", "input_file_id": "x"} for number in range(2, 102)]
    server.replies = [
        answer({"data": [{"id": 5}, *others], "has_more": True}),
        answer({"data": [BATCH], "has_more": False}),
    ]
    found = await batches.find_batch(service, "file-1", marker="a")
    assert found is not None
    assert found.id == "batch_1"


async def test_cancelling_what_has_ended_is_no_failure(stand_in, model):
    batch = await begin(model, "one")
    assert (await batches.cancel_batch(model, batch.id)).status == "cancelling"
    assert (await batches.cancel_batch(model, batch.id)).status in {"cancelling", "cancelled"}
    assert (await batches.get_batch(model, batch.id)).is_final
    done = await begin(model, "two")
    stand_in.clock.now += 200
    assert (await batches.cancel_batch(model, done.id)).status == "completed"


async def test_what_is_answered_before_a_cancellation_can_be_read(stand_in, model):
    batch = await begin(model, *map(str, range(10)))
    stand_in.clock.now += 50
    await batches.get_batch(model, batch.id)
    await batches.cancel_batch(model, batch.id)
    batch = await batches.get_batch(model, batch.id)
    assert (batch.status, batch.completed, batch.error_file) == ("cancelled", 5, None)
    assert len(list(batches.read_answers(await batches.read_file(model, batch.output_file)))) == 5


async def test_a_batch_that_expires_says_what_it_did_not_come_to(stand_in, model):
    stand_in.expire_batches_at = 0.3
    batch = await begin(model, *map(str, range(10)))
    stand_in.clock.now += 200
    batch = await batches.get_batch(model, batch.id)
    assert (batch.status, batch.completed, batch.failed) == ("expired", 3, 7)
    assert "before the batch expired" in batches.read_first_error(await batches.read_file(model, batch.error_file))


async def test_a_batch_that_fails_has_a_reason(stand_in, model):
    stand_in.fail_batches_with = ("token_limit_exceeded", "Enqueued token limit reached.")
    batch = await begin(model, "one")
    stand_in.clock.now += 200
    batch = await batches.get_batch(model, batch.id)
    assert (batch.status, batch.error, batch.output_file) == ("failed", "Enqueued token limit reached.", None)


# --- answers of other services ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"status": "snoozing"}, batches.Batch("batch_1", "snoozing")),
        ({"status": "completed", "output_file_id": "o"}, batches.Batch("batch_1", "completed", output_file="o")),
        ({"errors": {}, "output_file_id": ""}, batches.Batch("batch_1", "in_progress")),
        ({"errors": {"data": [{"message": None}, 5]}}, batches.Batch("batch_1", "in_progress")),
        ({"errors": {"data": [{"code": "x"}]}}, batches.Batch("batch_1", "in_progress", error="x")),
        ({"request_counts": {"completed": "many"}}, batches.Batch("batch_1", "in_progress")),
        ({"request_counts": None, "metadata": 5}, batches.Batch("batch_1", "in_progress")),
        ({"request_counts": {"completed": 3, "failed": 1}}, batches.Batch("batch_1", "in_progress", 3, 1)),
    ],
)
async def test_what_services_leave_out_or_make_up(service, server, body, expected):
    server.replies = [answer(BATCH | body)]
    assert await batches.get_batch(service, "batch_1") == expected


@pytest.mark.parametrize("reply", [answer({}), answer({"id": "", "status": "x"}), raw(b"{"), answer([])])
async def test_an_answer_without_sense_is_no_batch(service, server, reply):
    server.then = reply
    with pytest.raises(errors.ModelUnavailable):
        await batches.get_batch(service, "batch_1")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(401, "No."), errors.ModelUnauthorized),
        (error(429, "Slow.", name="rate_limit_exceeded"), errors.ModelRateLimited),
        (error(429, "Pay.", name="insufficient_quota"), errors.ModelQuotaExhausted),
        (error(404, "No such file"), errors.ModelRefused),
        (html(502), errors.ModelUnavailable),
    ],
)
async def test_a_file_that_cannot_be_read_has_a_sentence(service, server, reply, kind):
    server.then = reply
    with pytest.raises(kind):
        await batches.read_file(service, "file-1")


# --- lines ----------------------------------------------------------------------------------------------------------


def line(**changes):
    body = {"results": [judged("bad")]}
    return {"custom_id": "k", "response": {"status_code": 200, "body": body}, "error": None} | changes


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"null",
        json.dumps(line(custom_id=5)).encode(),
        json.dumps(line(response=None)).encode(),
        json.dumps(line(response={"status_code": 400, "body": line()["response"]["body"]})).encode(),
        json.dumps(line(response={"status_code": 200, "body": {"results": []}})).encode(),
        json.dumps(line(response={"status_code": 200, "body": {"results": [judged("a")] * 2}})).encode(),
        json.dumps(line(response={"status_code": 200})).encode(),
    ],
)
def test_a_line_without_sense_hides_no_other(wrong):
    good = json.dumps(line()).encode()
    found = list(batches.read_answers(b"\n".join([good, wrong, good])))
    assert [key for key, _ in found] == ["k", "k"]
    assert found[0][1].categories == ("hate",)


@given(st.binary(max_size=200))
def test_no_answer_breaks_the_reading(content):
    assert list(batches.read_answers(content)) == []
    assert read_judgement(content) is None
    batches.read_first_error(content)


@given(st.text(), st.text(max_size=40))
def test_every_text_is_one_line_and_comes_back(text, key):
    content = batches.request_line("k" + batches.sendable(key), text, MODEL)
    assert content.count(b"\n") == 1
    assert content.endswith(b"\n")
    assert json.loads(content)["body"]["input"] == batches.sendable(text)


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 8), st.integers(1, 100))
def test_files_hold_everything_in_order_and_keep_the_limits(sizes, most, size):
    start = 0
    for number in batches.split(sizes, requests=most, size=size):
        part = sizes[start : start + number]
        assert 1 <= number <= most
        assert number == 1 or sum(part) <= size
        start += number
        following = sizes[start : start + 1]
        assert not following or number == most or sum(part + following) > size
    assert start == len(sizes)


def test_our_files_are_smaller_than_what_the_service_takes():
    assert batches.MOST_REQUESTS <= 50_000
    assert batches.LARGEST_FILE <= 200_000_000
