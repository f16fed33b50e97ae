"""The whole way against the stand-in that the demo and the front-door tests use."""

import json

import pytest
import tenacity
from pydantic import SecretStr

from bot import errors
from bot.demo.openai_service import OpenAIService
from bot.language import chat, models, tuning
from bot.language.endpoint import Endpoint, ModelService
from bot.language.moderation import judge
from bot.language.tokens import count_many


@pytest.fixture
async def stand_in():
    stand_in = OpenAIService()
    stand_in.training_seconds = 0.2
    stand_in.base_url = (await stand_in.start()).removesuffix("/v1") + "/v1"
    yield stand_in
    await stand_in.stop()


@pytest.fixture
async def remote(stand_in):
    endpoint = Endpoint(stand_in.base_url, SecretStr(stand_in.api_key), "gpt-4.1-mini")
    service = ModelService(endpoint, deadline=10, wait=tenacity.wait_fixed(0.05))
    yield service
    await service.close()


def lines():
    texts = [f"the harbour was grey on day {number} and the tea was strong" for number in range(12)]
    return "".join(
        json.dumps(
            {
                "messages": [
                    {"role": "developer", "content": "Be the blog."},
                    {"role": "user", "content": "Write."},
                    {"role": "assistant", "content": text},
                ]
            }
        )
        + "\n"
        for text in texts
    ).encode()


async def test_a_training_from_the_file_to_the_first_text(stand_in, remote):
    stand_in.processing_seconds = 0.1
    file_id = await tuning.upload_training_file(remote, "training-1.jsonl", lines())
    assert await tuning.find_file(remote, "training-1.jsonl") == file_id
    job = await tuning.create_job(remote, training_file=file_id, model="gpt-4.1-mini", suffix="t", epochs=2, marker="1")
    await tuning.wait_until_processed(remote, file_id, poll_seconds=0.02)
    assert [found.id for found in await tuning.find_jobs(remote, file_id, marker="1")] == [job.id]
    async for attempt in tenacity.AsyncRetrying(
        wait=tenacity.wait_fixed(0.05), retry=tenacity.retry_if_result(lambda job: not job.is_final)
    ):
        with attempt:
            job = await tuning.get_job(remote, job.id)
        attempt.retry_state.set_result(job)
    assert job.succeeded
    assert job.trained_tokens
    assert job.epochs == 2
    log = await tuning.read_log(remote, job.id)
    assert log.steps == len(log.loss) == 24
    assert log.events[-1].text == "The job has successfully completed"
    assert not log.blocked_by
    assert (await tuning.cancel_job(remote, job.id)).succeeded
    tuned = remote.with_model(job.fine_tuned_model)
    assert (await models.describe_model(tuned)).shutdown_date is not None
    written = await chat.complete(
        tuned, [chat.Message("developer", "Be the blog."), chat.Message("user", "Write.")], max_tokens=60
    )
    assert written.text
    assert written.output_tokens > 0
    await tuning.delete_file(remote, file_id)
    await tuning.delete_file(remote, file_id)
    assert await tuning.find_file(remote, "training-1.jsonl") is None


async def test_training_that_is_closed(stand_in, remote):
    stand_in.training_available = False
    file_id = await tuning.upload_training_file(remote, "training-1.jsonl", lines())
    with pytest.raises(errors.TrainingNotAvailable):
        await tuning.create_job(remote, training_file=file_id, model="gpt-4.1-mini", suffix="t", epochs=2, marker="1")


async def test_tags(stand_in, remote):
    tags, written = await chat.extract_tags(remote, "Name tags.", "the harbour was grey and the tea was strong")
    assert written is not None
    assert all(tags)


async def test_screening(stand_in, remote):
    stand_in.flagged_words = {"dreadful": "violence"}
    texts = [f"day {number} was {'dreadful' if number % 10 == 0 else 'calm'}" for number in range(60)]
    found = {}
    moderator = remote.with_model("omni-moderation-latest")
    async for step in judge(moderator, texts, count_many(texts)):
        found.update(step)
    assert {index for index, judgement in found.items() if judgement.flagged} == set(range(0, 60, 10))
    assert found[0].categories == ("violence",)
    assert len(found[1].scores) == 13
