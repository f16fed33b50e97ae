"""Every answer of the OpenAI stand-in, held against OpenAI's published API description."""

import asyncio
import json

import pytest
import urllib3

from bot.demo.openai_service import OpenAIService
from tests.openapi import OPENAI, component_validator, load_spec, problems, request_body_validator

POSTS = [f"the kettle of day {number} is a small weather system\n\nit rains indoors." for number in range(12)]
CHAT = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "kettle\n---\n" + "\n---\n".join(POSTS)}]}
SCHEMA = {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}}}}


class Clock:
    now = 1_790_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def spec():
    return load_spec(OPENAI)


@pytest.fixture
async def service():
    service = OpenAIService(clock=Clock())
    service.training_seconds = 100
    service.flagged_words = {"rude": "harassment"}
    service.address = await service.start()
    yield service
    await service.stop()


@pytest.fixture
def call(service, spec):
    """Call the stand-in without the SDK, which would smooth things over; JSON bodies are held to the contract too."""
    http = urllib3.PoolManager()

    async def call(method, path, body=None, **options):
        if body is not None:
            assert not problems(request_body_validator(spec, method, path), body)
            options["body"] = json.dumps(body)
            options["headers"] = {"Content-Type": "application/json"}
        headers = {"Authorization": f"Bearer {service.api_key}"} | options.pop("headers", {})
        url = f"{service.address}/v1{path}"
        answer = await asyncio.to_thread(http.request, method, url, headers=headers, retries=False, **options)
        return answer.status, json.loads(answer.data)

    return call


def holds(spec, name, answer):
    status, body = answer
    assert status == 200
    assert problems(component_validator(spec, name), body) == []
    return body


def known_deviations(job):
    """What the real service answers, and its description does not allow: see the test of this name."""
    if job["error"] == {"code": None, "message": None, "param": None}:
        job = {**job, "error": None}
    return job


async def upload(call):
    lines = [
        json.dumps({"messages": [{"role": "user", "content": "Write."}, {"role": "assistant", "content": post}]})
        for post in POSTS
    ]
    form = {"purpose": "fine-tune", "file": ("a.jsonl", "\n".join(lines).encode())}
    return await call("POST", "/files", fields=form)


async def tune(call, **options):
    file = (await upload(call))[1]["id"]
    status, job = await call("POST", "/fine_tuning/jobs", {"model": "gpt-4.1-mini", "training_file": file, **options})
    assert status == 200
    return job


async def test_models(call, spec):
    listing = holds(spec, "ListModelsResponse", await call("GET", "/models"))
    for model in listing["data"]:
        holds(spec, "Model", await call("GET", f"/models/{model['id']}"))


async def test_files(call, spec):
    holds(spec, "ListFilesResponse", await call("GET", "/files"))
    file = holds(spec, "OpenAIFile", await upload(call))
    holds(spec, "OpenAIFile", await call("GET", f"/files/{file['id']}"))
    holds(spec, "ListFilesResponse", await call("GET", "/files"))
    holds(spec, "DeleteFileResponse", await call("DELETE", f"/files/{file['id']}"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metadata": {"a": "b"}, "suffix": "voice", "seed": 3},
        {"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 4}}}},
        {"method": {"type": "supervised", "supervised": {"hyperparameters": {"learning_rate_multiplier": 0.5}}}},
    ],
)
async def test_a_job_at_every_moment(service, call, spec, options):
    job = await tune(call, **options)
    seen = set()
    for _ in range(22):
        status, body = await call("GET", f"/fine_tuning/jobs/{job['id']}")
        seen.add(body["status"])
        holds(spec, "FineTuningJob", (status, known_deviations(body)))
        service.clock.now += 5
    assert seen == {"validating_files", "queued", "running", "succeeded"}
    status, listing = await call("GET", "/fine_tuning/jobs")
    listing["data"] = list(map(known_deviations, listing["data"]))
    holds(spec, "ListPaginatedFineTuningJobsResponse", (status, listing))
    found = holds(
        spec, "ListFineTuningJobCheckpointsResponse", await call("GET", f"/fine_tuning/jobs/{job['id']}/checkpoints")
    )
    assert found["data"]
    holds(spec, "Model", await call("GET", f"/models/{body['fine_tuned_model']}"))


async def test_a_job_that_failed_or_was_cancelled(service, call, spec):
    service.fail_training_with = ("unsafe_file", "Too much of it.")
    job = await tune(call)
    service.clock.now += 200
    body = holds(spec, "FineTuningJob", await call("GET", f"/fine_tuning/jobs/{job['id']}"))
    assert body["status"] == "failed"
    job = await tune(call)
    status, body = await call("POST", f"/fine_tuning/jobs/{job['id']}/cancel")
    assert holds(spec, "FineTuningJob", (status, known_deviations(body)))["status"] == "cancelled"


async def test_known_deviations(service, call, spec):
    """The real service's own: a healthy job's empty error, the newer states, events of moderation checks."""
    job = await tune(call)
    wrong = problems(component_validator(spec, "FineTuningJob"), job)
    assert [problem.split(":")[0] for problem in wrong] == ["$.error"]
    service.clock.now += 50
    for action in ("pause", "resume"):
        status, body = await call("POST", f"/fine_tuning/jobs/{job['id']}/{action}")
        assert status == 200
        wrong = problems(component_validator(spec, "FineTuningJob"), known_deviations(body))
        assert [problem.split(":")[0] for problem in wrong] == (["$.status"] if action == "pause" else [])
        await call("GET", f"/fine_tuning/jobs/{job['id']}")


async def test_events(service, call, spec):
    job = await tune(call, validation_file=(await upload(call))[1]["id"])
    service.clock.now += 200
    body = (await call("GET", f"/fine_tuning/jobs/{job['id']}/events?limit=100"))[1]
    assert [event["type"] for event in body["data"]].count("metrics") == 36
    checks = [event for event in body["data"] if event["type"] == "moderation_checks"]
    assert len(checks) == 1
    checks[0]["type"] = "message"
    holds(spec, "ListFineTuningJobEventsResponse", (200, body))
    for event in body["data"]:
        holds(spec, "FineTuningJobEvent", (200, event))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n": 3, "seed": 1},
        {"max_completion_tokens": 2},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "tags", "schema": SCHEMA}}},
    ],
)
async def test_chat_completions(call, spec, options):
    body = holds(spec, "CreateChatCompletionResponse", await call("POST", "/chat/completions", CHAT | options))
    for choice in body["choices"]:
        holds(spec, "ChatCompletionResponseMessage", (200, choice["message"]))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"instructions": "be brief", "max_output_tokens": 16, "temperature": 0.5, "metadata": {"a": "b"}},
        {"text": {"format": {"type": "json_schema", "name": "tags", "schema": SCHEMA}}},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}]},
    ],
)
async def test_responses(call, spec, options):
    body = {"model": "gpt-4.1-mini", "input": CHAT["messages"][0]["content"]} | options
    holds(spec, "Response", await call("POST", "/responses", body))


async def test_moderations(call, spec):
    body = {"model": "omni-moderation-latest", "input": ["a rude word", "a kettle"]}
    answer = holds(spec, "CreateModerationResponse", await call("POST", "/moderations", body))
    assert [result["flagged"] for result in answer["results"]] == [True, False]


async def test_batches(service, call, spec):
    body = {"custom_id": "1", "method": "POST", "url": "/v1/moderations", "body": {"input": "a kettle"}}
    asked = {"endpoint": "/v1/moderations", "completion_window": "24h", "metadata": {"a": "b"}}
    holds(spec, "ListBatchesResponse", await call("GET", "/batches"))

    async def begin(line=body):
        form = {"purpose": "batch", "file": ("a.jsonl", json.dumps(line).encode())}
        file = holds(spec, "OpenAIFile", await call("POST", "/files", fields=form))
        return holds(spec, "Batch", await call("POST", "/batches", asked | {"input_file_id": file["id"]}))["id"]

    stopped = await begin()
    for state in ("cancelling", "cancelled"):
        action = ("POST", f"/batches/{stopped}/cancel") if state == "cancelling" else ("GET", f"/batches/{stopped}")
        assert holds(spec, "Batch", await call(*action))["status"] == state
    service.expire_batches_at = 0.0
    expiring = await begin()
    service.expire_batches_at = None
    whole, broken = await begin(), await begin({})
    seen = set()
    for _ in range(40):
        service.clock.now += 0.1
        seen |= {
            holds(spec, "Batch", await call("GET", f"/batches/{each}"))["status"] for each in (whole, broken, expiring)
        }
    assert seen == {"validating", "in_progress", "finalizing", "completed", "failed", "expired"}
    assert len(holds(spec, "ListBatchesResponse", await call("GET", "/batches"))["data"]) == 4
    holds(spec, "ListFilesResponse", await call("GET", "/files"))


async def test_refusals(service, call, spec):
    refusals = [
        await call("GET", "/models/none"),
        await call("GET", "/files/none"),
        await call("GET", "/fine_tuning/jobs/none"),
        await call("GET", "/batches/none"),
        await call("GET", "/none"),
        await call("PUT", "/files"),
        await call("POST", "/fine_tuning/jobs", {"model": "gpt-4.1-mini", "training_file": "none"}),
        await call("GET", "/files", headers={"Authorization": "Bearer other"}),
    ]
    service.training_available = False
    refusals.append(await call("POST", "/fine_tuning/jobs", {"model": "gpt-4.1-mini", "training_file": "none"}))
    service.insufficient_quota = True
    refusals.append(await call("POST", "/chat/completions", CHAT))
    assert [status for status, _ in refusals] == [404, 404, 404, 404, 404, 405, 400, 401, 403, 429]
    for _, body in refusals:
        assert problems(component_validator(spec, "ErrorResponse"), body) == []
