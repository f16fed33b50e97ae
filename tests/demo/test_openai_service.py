"""The OpenAI stand-in, through the real SDK over loopback."""

import asyncio
import json
import os
import random
import signal
import sys
from datetime import date
from pathlib import Path
from typing import Literal

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from bot.demo.faults import Fault
from bot.demo.openai_service import OpenAIService
from bot.language.tokens import count

BASE = "gpt-4.1-mini"
SUBJECTS = ["kettle", "moth", "lamp", "stove", "heron", "bus", "radiator", "pigeon", "spoon", "ladder", "comet", "fern"]
DEEDS = ["hums to itself", "keeps the minutes", "owes me rent", "has opinions about soup", "waits for tuesday"]
POSTS = [
    f"the {one} {DEEDS[number % 5]} and the {two} {DEEDS[(number + 2) % 5]}\n\nnobody asked the {one}."
    for number, (one, two) in enumerate(zip(SUBJECTS, [*SUBJECTS[5:], *SUBJECTS[:5]], strict=True))
]
WORDS = {word for post in POSTS for word in post.split()}


class Clock:
    def __init__(self):
        self.now = 1_790_000_000.0

    def __call__(self):
        return self.now


def line(post):
    roles = [("developer", "You are a blog."), ("user", "Write a post."), ("assistant", post)]
    return json.dumps({"messages": [{"role": role, "content": content} for role, content in roles]})


def jsonl(posts):
    return "\n".join(map(line, posts)).encode()


def client_of(service, address):
    return AsyncOpenAI(base_url=f"{address}/v1", api_key=service.api_key, max_retries=0)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def service(clock):
    service = OpenAIService(clock=clock)
    service.address = await service.start()
    yield service
    await service.stop()


@pytest.fixture
async def client(service):
    async with client_of(service, service.address) as client:
        yield client


async def upload(client, content=None, name="training.jsonl"):
    content = jsonl(POSTS) if content is None else content
    return await client.files.create(file=(name, content), purpose="fine-tune")


async def tune(client, content=None, **options):
    file = await upload(client, content)
    return await client.fine_tuning.jobs.create(model=BASE, training_file=file.id, **options)


async def finish(client, clock, job):
    clock.now += 1000
    return await client.fine_tuning.jobs.retrieve(job.id)


# --- keys, errors, faults, the log ------------------------------------------------------------------------------


async def test_a_wrong_key_is_refused(service):
    async with AsyncOpenAI(base_url=f"{service.address}/v1", api_key="sk-other", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.models.list()
    assert caught.value.code == "invalid_api_key"
    assert caught.value.request_id


async def test_an_address_that_is_not_there_answers_in_the_services_shape(client):
    with pytest.raises(openai.NotFoundError) as caught:
        await client.get("/nothing", cast_to=object)
    assert caught.value.code == "unknown_url"


async def test_a_body_that_is_wrong_is_named(client):
    with pytest.raises(openai.BadRequestError, match=r"\$\.messages"):
        await client.chat.completions.create(model=BASE, messages=[])
    with pytest.raises(openai.BadRequestError, match="parse the JSON"):
        await client.post("/chat/completions", content=b"{", cast_to=object)


async def test_the_log_has_what_arrived_and_no_key(service, client):
    await client.models.list()
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model=BASE, messages=[], extra_headers={"X-Mine": "1"})
    listing, chat = service.requests
    assert (listing.method, listing.path, listing.body) == ("GET", "/v1/models", None)
    assert (chat.path, chat.body) == ("/v1/chat/completions", {"model": BASE, "messages": []})
    assert chat.headers["x-mine"] == "1"
    assert service.api_key not in str(service.requests)


async def test_faults_come_first_and_an_upload_can_lose_its_answer(service, client):
    service.faults.schedule(Fault("POST", "/v1/files", "reset_after"), Fault("GET", "/v1/models", "status", 503))
    with pytest.raises(openai.APIConnectionError):
        await upload(client)
    [kept] = [file async for file in client.files.list()]
    assert kept.bytes == len(jsonl(POSTS))
    with pytest.raises(openai.InternalServerError):
        await client.models.list()
    assert len(service.requests) == 3


# --- models -------------------------------------------------------------------------------------------------------


async def test_models_say_when_they_end(service, client):
    assert {model.id for model in (await client.models.list()).data} == set(service.models)
    assert (await client.models.retrieve("gpt-6-luna")).shutdown_date is None
    assert date.fromisoformat((await client.models.retrieve(BASE)).shutdown_date)
    with pytest.raises(openai.NotFoundError) as caught:
        await client.models.retrieve("gpt-0")
    assert caught.value.code == "model_not_found"


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
async def test_a_file_comes_back_as_it_was(client, seed):
    content = random.Random(seed).randbytes(5000) + b"\r\n--\r\n\n" if seed else jsonl(POSTS)
    file = await upload(client, content, 'näme "quoted".jsonl' if seed else "training.jsonl")
    assert (file.bytes, file.purpose, file.status) == (len(content), "fine-tune", "processed")
    assert (await client.files.content(file.id)).content == content
    assert (await client.files.retrieve(file.id)).id == file.id
    assert (await client.files.delete(file.id)).deleted
    for call in (client.files.retrieve, client.files.delete, client.files.content):
        with pytest.raises(openai.NotFoundError):
            await call(file.id)


async def test_files_are_listed_newest_first_page_by_page(client):
    files = [(await upload(client)).id for _ in range(5)]
    await client.files.create(file=("notes.txt", b"notes"), purpose="user_data")
    page = await client.files.list(purpose="fine-tune", limit=2)
    assert page.has_more
    assert [file.id async for file in page] == files[::-1]
    assert [file.id async for file in client.files.list(purpose="fine-tune", order="asc")] == files
    assert len((await client.files.list()).data) == 6


async def test_a_file_takes_its_time(service, client, clock):
    service.processing_seconds = 5
    file = await upload(client)
    assert file.status == "uploaded"
    with pytest.raises(openai.BadRequestError, match=f"File '{file.id}' is still being processed"):
        await client.fine_tuning.jobs.create(model=BASE, training_file=file.id)
    waiting = asyncio.create_task(client.files.wait_for_processing(file.id, poll_interval=0.01))
    clock.now += 5
    assert (await waiting).status == "processed"
    await client.fine_tuning.jobs.create(model=BASE, training_file=file.id)


async def test_a_file_expires(client, clock):
    file = await client.files.create(
        file=("a.jsonl", b"{}"), purpose="fine-tune", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert file.expires_at == int(clock.now) + 3600
    clock.now += 3600
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(file.id)


async def test_files_that_cannot_be_are_refused(client):
    with pytest.raises(openai.BadRequestError, match="jsonl"):
        await upload(client, name="training.txt")
    with pytest.raises(openai.BadRequestError, match="empty"):
        await upload(client, b"")
    with pytest.raises(openai.BadRequestError, match="purpose"):
        await client.files.create(file=("a.jsonl", b"{}"), purpose="nonsense")


# --- fine-tuning --------------------------------------------------------------------------------------------------


async def test_a_job_runs_through_its_states_and_its_model_writes(service, client, clock):
    service.training_seconds = 100
    job = await tune(client, suffix="My Voice", seed=7, metadata={"training": "1"})
    assert (job.status, job.fine_tuned_model, job.trained_tokens) == ("validating_files", None, None)
    # As the real one: there is an error object, and nothing is wrong.
    assert job.error is not None
    assert job.error.code is None
    seen = []
    for _ in range(20):
        clock.now += 6
        job = await client.fine_tuning.jobs.retrieve(job.id)
        seen.append(job.status)
        if job.status == "running":
            assert job.estimated_finish == pytest.approx(job.created_at + 100, abs=1)
    assert list(dict.fromkeys(seen)) == ["validating_files", "queued", "running", "succeeded"]
    assert job.hyperparameters.n_epochs == 3
    assert job.finished_at == job.created_at + 100
    assert job.estimated_finish is None
    assert job.fine_tuned_model.startswith("ft:gpt-4.1-mini-2025-04-14:stand-in:my-voice:")
    tokens = sum(3 + sum(4 + count(text) for text in ("You are a blog.", "Write a post.", post)) for post in POSTS)
    assert job.trained_tokens == 3 * tokens

    model = await client.models.retrieve(job.fine_tuned_model)
    assert model.shutdown_date == "2027-01-14"
    answer = await client.chat.completions.create(
        model=job.fine_tuned_model, messages=[{"role": "user", "content": "Write a post."}], n=20
    )
    texts = [choice.message.content for choice in answer.choices]
    assert {word for text in texts for word in text.split()} <= WORDS
    assert len(set(texts)) > 10
    assert any("\n\n" in text for text in texts)
    assert not set(texts) & set(POSTS)


async def test_events_tell_the_whole_story_newest_first(client, clock):
    job = await finish(
        client,
        clock,
        await tune(client, method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 4}}}),
    )
    events = [event async for event in client.fine_tuning.jobs.list_events(job.id, limit=7)][::-1]
    assert len({event.id for event in events}) == len(events)
    assert [event.created_at for event in events] == sorted(event.created_at for event in events)
    told = [event.message for event in events if event.type != "metrics"]
    assert told[0] == f"Created fine-tuning job: {job.id}"
    assert told[-1] == "The job has successfully completed"
    assert "Fine-tuning job started" in told
    assert [event.type for event in events].count("moderation_checks") == 1
    steps = [event.data for event in events if event.type == "metrics"]
    assert [step["step"] for step in steps] == list(range(1, 4 * len(POSTS) + 1))
    losses = [step["train_loss"] for step in steps]
    assert sum(losses[:5]) > sum(losses[20:25]) > sum(losses[-5:])
    assert steps[0]["train_mean_token_accuracy"] < steps[-1]["train_mean_token_accuracy"]

    checkpoints = [checkpoint async for checkpoint in client.fine_tuning.jobs.checkpoints.list(job.id, limit=1)]
    assert [checkpoint.step_number for checkpoint in checkpoints] == [48, 36, 24]
    assert checkpoints[0].fine_tuned_model_checkpoint == job.fine_tuned_model
    for checkpoint in checkpoints:
        model = checkpoint.fine_tuned_model_checkpoint
        assert (await client.chat.completions.create(model=model, messages=[{"role": "user", "content": "x"}])).choices


async def test_the_same_story_however_often_one_looks(client, clock):
    stories = []
    for looks in (1, 50):
        began, job = clock.now, await tune(client, seed=1)
        for _ in range(looks):
            clock.now += 2.0 / looks
            await client.fine_tuning.jobs.retrieve(job.id)
        clock.now += 10
        events = [event async for event in client.fine_tuning.jobs.list_events(job.id)][::-1]
        stories.append([(event.created_at - int(began), event.type, event.data) for event in events])
        clock.now = began + 100
    assert stories[0] == stories[1]
    assert len(stories[0]) > 40


async def test_a_validation_file_adds_its_losses(client, clock):
    held_out = await upload(client, jsonl(POSTS[:2]))
    job = await finish(client, clock, await tune(client, validation_file=held_out.id))
    [newest] = (await client.fine_tuning.jobs.checkpoints.list(job.id, limit=1)).data
    assert newest.metrics.valid_loss > newest.metrics.train_loss
    assert newest.metrics.full_valid_loss == newest.metrics.valid_loss


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (jsonl(POSTS[:9]), "invalid_n_examples", "has 9 example"),
        (jsonl(POSTS) + b"\n{", "invalid_training_file", "Line 13 is not"),
        (jsonl(POSTS) + b"\n[]", "invalid_training_file", "Line 13"),
        (jsonl(POSTS) + b'\n{"messages": []}', "invalid_training_file", "Line 13"),
        (jsonl(POSTS) + b'\n{"messages": [{"role": "user", "content": "x"}]}', "invalid_training_file", "assistant"),
        (jsonl(POSTS) + b'\n{"messages": [{"role": "poet", "content": "x"}]}', "invalid_training_file", "poet"),
        (jsonl([*POSTS, "so <|endoftext|> it goes"]), "invalid_training_file", "<|endoftext|>"),
        (jsonl([*POSTS, "so <|fim_suffix|> it goes"]), "invalid_training_file", "<|fim_suffix|>"),
        (jsonl(POSTS) + b"\n\xff", "invalid_training_file", "UTF-8"),
    ],
)
async def test_a_bad_file_fails_the_job_at_validation(client, clock, content, code, says):
    job = await tune(client, content)
    assert job.status == "validating_files"
    job = await finish(client, clock, job)
    assert (job.status, job.error.code, job.error.param) == ("failed", code, "training_file")
    assert says in job.error.message
    assert (job.trained_tokens, job.fine_tuned_model) == (None, None)
    [newest] = (await client.fine_tuning.jobs.list_events(job.id, limit=1)).data
    assert newest.level == "error"


async def test_blank_lines_and_a_byte_order_mark_are_fine(client, clock):
    content = b"\xef\xbb\xbf" + jsonl(POSTS).replace(b"\n", b"\r\n\n") + b"\n\n"
    assert (await finish(client, clock, await tune(client, content))).status == "succeeded"


async def test_unsafe_words_fail_a_job_before_it_starts(service, client, clock):
    service.unsafe_words = {"Moth"}
    job = await finish(client, clock, await tune(client))
    assert (job.status, job.error.code) == ("failed", "unsafe_file")
    assert (
        await finish(client, clock, await tune(client, jsonl([post.replace("moth", "m.") for post in POSTS])))
    ).status == "succeeded"


async def test_a_job_can_be_made_to_fail_halfway(service, client, clock):
    service.fail_training_with = ("server_error", "Error while running moderation checks. Please try again.")
    job = await finish(client, clock, await tune(client))
    assert (job.status, job.error.code) == ("failed", "server_error")
    events = [event async for event in client.fine_tuning.jobs.list_events(job.id)]
    assert any(event.type == "metrics" for event in events)
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve(f"ft:gpt-4.1-mini-2025-04-14:stand-in::{job.id}")


async def test_training_can_be_closed_after_the_upload(service, client):
    service.training_available = False
    file = await upload(client)
    with pytest.raises(openai.PermissionDeniedError) as caught:
        await client.fine_tuning.jobs.create(model=BASE, training_file=file.id)
    assert caught.value.code == "training_not_available"
    assert (await client.files.delete(file.id)).deleted
    assert (await client.fine_tuning.jobs.list()).data == []


async def test_jobs_that_cannot_be_are_refused(client):
    file = await upload(client)
    with pytest.raises(openai.BadRequestError) as caught:
        await client.fine_tuning.jobs.create(model="gpt-6-luna", training_file=file.id)
    assert caught.value.code == "model_not_available"
    with pytest.raises(openai.BadRequestError, match="invalid training_file: file-none"):
        await client.fine_tuning.jobs.create(model=BASE, training_file="file-none")
    with pytest.raises(openai.BadRequestError, match="n_epochs"):
        await client.fine_tuning.jobs.create(model=BASE, training_file=file.id, hyperparameters={"n_epochs": 51})
    with pytest.raises(openai.BadRequestError, match="suffix"):
        await client.fine_tuning.jobs.create(model=BASE, training_file=file.id, suffix="x" * 65)
    with pytest.raises(openai.NotFoundError) as caught:
        await client.fine_tuning.jobs.retrieve("ftjob-none")
    assert caught.value.code == "fine_tune_not_found"


async def test_jobs_are_listed_newest_first_and_by_metadata(client):
    jobs = [(await tune(client, metadata={"training": str(number % 2)})).id for number in range(4)]
    assert [job.id async for job in client.fine_tuning.jobs.list(limit=3)] == jobs[::-1]
    odd = [job.id async for job in client.fine_tuning.jobs.list(metadata={"training": "1"})]
    assert odd == [jobs[3], jobs[1]]


async def test_a_job_can_be_cancelled_once(service, client, clock):
    service.training_seconds = 100
    job = await tune(client)
    clock.now += 50
    assert (await client.fine_tuning.jobs.cancel(job.id)).status == "cancelled"
    assert (await finish(client, clock, job)).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="already completed"):
        await client.fine_tuning.jobs.cancel(job.id)


async def test_a_job_can_be_paused_and_goes_on_where_it_was(service, client, clock):
    service.training_seconds = 100
    job = await tune(client)
    with pytest.raises(openai.BadRequestError, match="running"):
        await client.fine_tuning.jobs.pause(job.id)
    clock.now += 50
    assert (await client.fine_tuning.jobs.pause(job.id)).status == "pausing"
    assert (await finish(client, clock, job)).status == "paused"
    assert (await client.fine_tuning.jobs.resume(job.id)).status == "running"
    clock.now += 49
    assert (await client.fine_tuning.jobs.retrieve(job.id)).status == "running"
    clock.now += 1
    assert (await client.fine_tuning.jobs.retrieve(job.id)).status == "succeeded"


async def test_preference_tuning_learns_the_preferred_answers(client, clock):
    lines = [
        {
            "input": {"messages": [{"role": "user", "content": "Write."}]},
            "preferred_output": [{"role": "assistant", "content": post}],
            "non_preferred_output": [{"role": "assistant", "content": f"dreadful {post}"}],
        }
        for post in POSTS
    ]
    job = await tune(
        client,
        "\n".join(map(json.dumps, lines)).encode(),
        method={"type": "dpo", "dpo": {"hyperparameters": {"beta": "auto", "n_epochs": 2}}},
    )
    job = await finish(client, clock, job)
    assert (job.status, job.method.type, job.method.dpo.hyperparameters.n_epochs) == ("succeeded", "dpo", 2)
    answer = await client.chat.completions.create(
        model=job.fine_tuned_model, messages=[{"role": "user", "content": "x"}], n=30
    )
    assert {word for choice in answer.choices for word in choice.message.content.split()} <= WORDS


async def test_answers_of_weight_zero_are_not_learned(client, clock):
    lines = [json.loads(line(post)) for post in POSTS]
    for example in lines:
        wrong = f"dreadful {example['messages'][-1]['content']}"
        example["messages"].insert(0, {"role": "assistant", "content": wrong, "weight": 0})
    job = await finish(client, clock, await tune(client, "\n".join(map(json.dumps, lines)).encode()))
    answer = await client.chat.completions.create(
        model=job.fine_tuned_model, messages=[{"role": "user", "content": "x"}], n=30
    )
    assert {word for choice in answer.choices for word in choice.message.content.split()} <= WORDS


async def test_a_retired_model_takes_its_tunes_along(service, client, clock):
    job = await finish(client, clock, await tune(client))
    del service.models["gpt-4.1-mini-2025-04-14"]
    with pytest.raises(openai.NotFoundError) as caught:
        await client.chat.completions.create(model=job.fine_tuned_model, messages=[{"role": "user", "content": "x"}])
    assert caught.value.code == "model_not_found"


# --- writing ------------------------------------------------------------------------------------------------------


def prompts():
    answers = [
        {"role": role, "content": text} for post in POSTS for role, text in (("user", "zzz"), ("assistant", post))
    ]
    tagged = "zzz\n" + "\n".join(f"<post>\n{post}\n</post>" for post in POSTS) + "\nzzz"
    ruled = "zzz\n---\n" + "\n---\n".join(POSTS) + "\n---\nzzz"
    parts = [{"type": "text", "text": tagged[:100]}, {"type": "text", "text": tagged[100:]}]
    return {
        "answers": [*answers, {"role": "user", "content": "zzz"}],
        "tags": [{"role": "developer", "content": tagged}, {"role": "user", "content": "zzz"}],
        "rules": [{"role": "user", "content": ruled}],
        "parts": [{"role": "user", "content": parts}],
    }


@pytest.mark.parametrize("kind", prompts())
async def test_a_base_model_writes_like_the_posts_in_its_prompt(client, kind):
    answer = await client.chat.completions.create(model="gpt-6-luna", messages=prompts()[kind], n=10)
    words = {word for choice in answer.choices for word in choice.message.content.split()}
    assert words
    assert words <= WORDS | ({"<post>", "</post>"} if kind == "parts" else set())


async def test_without_examples_it_says_what_it_is(client):
    messages = [{"role": "user", "content": "Write a post.\n---\nabout rain"}]
    answer = await client.chat.completions.create(model="gpt-6-luna", messages=messages)
    assert "stand-in" in answer.choices[0].message.content


async def test_a_limit_cuts_and_usage_counts(client):
    messages = prompts()["tags"]
    whole = await client.chat.completions.create(model=BASE, messages=messages, seed=5)
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.completion_tokens == count(whole.choices[0].message.content)
    assert whole.usage.prompt_tokens == 3 + sum(4 + count(message["content"]) for message in messages)
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    for limit in ({"max_tokens": 5}, {"max_completion_tokens": 5}):
        short = await client.chat.completions.create(model=BASE, messages=messages, seed=5, **limit)
        assert short.choices[0].finish_reason == "length"
        assert 0 < short.usage.completion_tokens <= 5
        assert whole.choices[0].message.content.startswith(short.choices[0].message.content)


async def test_a_seed_repeats_itself_and_the_services_own_dice_do_not(client):
    async def texts(**options):
        answer = await client.chat.completions.create(model=BASE, messages=prompts()["tags"], n=3, **options)
        return [choice.message.content for choice in answer.choices]

    assert await texts(seed=3) == await texts(seed=3)
    assert len({text for _ in range(4) for text in await texts()}) > 6


async def test_the_services_dice_repeat_themselves_from_start_to_start(service, client, clock):
    first = await client.responses.create(model=BASE, input=prompts()["tags"])
    again = OpenAIService(clock=clock)
    async with client_of(again, await again.start()) as other:
        assert (await other.responses.create(model=BASE, input=prompts()["tags"])).output_text == first.output_text
    await again.stop()


async def test_a_known_beginning_is_cached(client):
    begin = "\n".join(f"<post>{post}</post>" for post in POSTS * 5)

    async def cached(model, text):
        messages = [{"role": "developer", "content": begin}, {"role": "user", "content": text}]
        usage = (await client.chat.completions.create(model=model, messages=messages)).usage
        return usage.prompt_tokens_details.cached_tokens, usage.prompt_tokens

    assert (await cached(BASE, "one"))[0] == 0
    known, prompt = await cached(BASE, "two")
    assert prompt - 256 < known < prompt
    assert known % 128 == 0
    assert (await cached("gpt-6-luna", "two"))[0] == 0


class Tags(BaseModel):
    tags: list[str]


class Entry(BaseModel):
    name: str
    mood: Literal["dry", "wet"]
    score: float
    done: bool
    note: str | None
    inner: Tags
    more: list[Tags]


async def test_a_schema_is_filled_with_the_texts_words(client):
    messages = [{"role": "user", "content": "kettle soup kettle radiator kettle radiator <post>the a of</post>"}]
    answer = await client.chat.completions.parse(model=BASE, messages=messages, response_format=Tags)
    assert answer.choices[0].message.parsed == Tags(tags=["kettle", "radiator"])
    entry = await client.chat.completions.parse(model=BASE, messages=messages, response_format=Entry)
    assert entry.choices[0].message.parsed.mood == "dry"
    assert entry.choices[0].message.parsed.inner.tags
    response = await client.responses.parse(model=BASE, input="kettle weather", text_format=Tags)
    assert response.output_parsed == Tags(tags=["kettle", "weather"])


async def test_responses_write_too(client):
    text = "\n".join(f"<post>{post}</post>" for post in POSTS)
    whole = await client.responses.create(model=BASE, instructions="zzz", input=text)
    assert (whole.status, whole.usage.output_tokens) == ("completed", count(whole.output_text))
    assert set(whole.output_text.split()) <= WORDS
    short = await client.responses.create(model=BASE, input=text, max_output_tokens=3)
    assert (short.status, short.incomplete_details.reason) == ("incomplete", "max_output_tokens")


async def test_an_unknown_model_does_not_write(client):
    for call, what in (
        (client.chat.completions.create, {"messages": [{"role": "user", "content": "x"}]}),
        (client.responses.create, {"input": "x"}),
        (client.moderations.create, {"input": "x"}),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            await call(model="gpt-0", **what)
        assert caught.value.code == "model_not_found"


# --- moderation ---------------------------------------------------------------------------------------------------


async def test_listed_words_are_flagged_and_others_score_low(service, client):
    service.flagged_words = {"Moth": "violence/graphic"}
    service.borderline_words = {"soup": "sexual"}
    texts = ["a MOTH!", "mothership", "soup of the day", ""]
    answer = await client.moderations.create(model="omni-moderation-latest", input=texts)
    moth, ship, soup, empty = answer.results
    assert [result.flagged for result in answer.results] == [True, False, False, False]
    assert moth.categories.violence_graphic
    assert 0.5 < moth.category_scores.violence_graphic < 1
    assert 0.2 < soup.category_scores.sexual < 0.5
    assert len(moth.categories.model_dump(by_alias=True)) == 13
    for result in (ship, empty):
        assert all(0 < score < 0.02 for score in result.category_scores.model_dump().values())
    assert moth.category_applied_input_types.hate == ["text"]
    again = await client.moderations.create(model="omni-moderation-latest", input=texts[1])
    assert again.results == [ship]
    parts = await client.moderations.create(
        input=[{"type": "text", "text": "a moth"}, {"type": "text", "text": "a lamp"}]
    )
    assert [result.flagged for result in parts.results] == [True]


async def test_moderation_takes_32_texts_and_no_more(client):
    assert len((await client.moderations.create(input=["x"] * 32)).results) == 32
    with pytest.raises(openai.BadRequestError) as caught:
        await client.moderations.create(input=["x"] * 33)
    assert caught.value.code == "array_above_max_length"


async def test_a_text_with_a_refused_word_is_refused(service, client):
    service.refused_words = {"poison"}
    assert (await client.moderations.create(input=["tea"])).results
    with pytest.raises(openai.BadRequestError, match="cannot be moderated"):
        await client.moderations.create(input=["tea", "poisonous tea"])


async def test_moderation_has_its_pace(service, client, clock):
    service.moderation_tokens_per_minute = 60
    text = "kettle " * 40
    used = count(text)
    raw = await client.moderations.with_raw_response.create(input=text)
    assert raw.headers["x-ratelimit-limit-tokens"] == "60"
    assert raw.headers["x-ratelimit-remaining-tokens"] == str(60 - used)
    assert raw.headers["x-ratelimit-reset-tokens"] == f"{used}s"
    with pytest.raises(openai.RateLimitError) as caught:
        await client.moderations.create(input=text)
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.type == "tokens"
    wait = used + used - 60
    assert caught.value.response.headers["retry-after"] == str(wait)
    assert caught.value.response.headers["retry-after-ms"] == str(wait * 1000)
    assert caught.value.response.headers["x-ratelimit-limit-tokens"] == "60"
    clock.now += wait - 1
    with pytest.raises(openai.RateLimitError):
        await client.moderations.create(input=text)
    clock.now += 1
    await client.moderations.create(input=text)


async def test_what_never_fits_has_no_time_to_wait(service, client):
    service.moderation_tokens_per_minute = 10
    with pytest.raises(openai.RateLimitError, match="too large") as caught:
        await client.moderations.create(input="kettle " * 40)
    assert "retry-after" not in caught.value.response.headers


async def test_requests_have_their_pace_too(service, client, clock):
    service.moderation_requests_per_minute = 2
    service.generation_requests_per_minute = 1
    chat = {"model": BASE, "messages": [{"role": "user", "content": "x"}]}
    await client.moderations.create(input="x")
    await client.moderations.create(input="x")
    await client.chat.completions.create(**chat)
    for call, what in ((client.moderations.create, {"input": "x"}), (client.chat.completions.create, chat)):
        with pytest.raises(openai.RateLimitError) as caught:
            await call(**what)
        assert caught.value.type == "requests"
        assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    clock.now += 60
    await client.moderations.create(input="x")


async def test_no_money_is_another_thing_than_too_fast(service, client):
    file = await upload(client)
    service.insufficient_quota = True
    for call, what in (
        (client.chat.completions.create, {"model": BASE, "messages": [{"role": "user", "content": "x"}]}),
        (client.responses.create, {"model": BASE, "input": "x"}),
        (client.moderations.create, {"input": "x"}),
        (client.fine_tuning.jobs.create, {"model": BASE, "training_file": file.id}),
    ):
        with pytest.raises(openai.RateLimitError) as caught:
            await call(**what)
        assert caught.value.code == "insufficient_quota"


# --- keeping the state --------------------------------------------------------------------------------------------


async def test_a_restart_forgets_nothing(tmp_path, clock):
    path = tmp_path / "openai.json"
    service = OpenAIService(save_path=path, clock=clock)
    service.training_seconds = 100
    async with client_of(service, await service.start()) as client:
        job = await tune(client)
        deleted = await upload(client)
        await client.files.delete(deleted.id)
        clock.now += 50
        before = [event.id async for event in client.fine_tuning.jobs.list_events(job.id)]
    await service.stop()
    service = OpenAIService(save_path=path, clock=clock)
    service.training_seconds = 100
    async with client_of(service, await service.start()) as client:
        assert [file.id async for file in client.files.list()] == [job.training_file]
        assert [event.id async for event in client.fine_tuning.jobs.list_events(job.id)] == before
        assert (await finish(client, clock, job)).status == "succeeded"
        content = await client.files.content(job.training_file)
        assert content.content == jsonl(POSTS)
    await service.stop()
    assert [entry.name for entry in tmp_path.iterdir()] == ["openai.json"]


async def process(path):
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.demo.openai_service", "--port", "0", "--state", str(path),
        cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONWARNINGS": "error"},
    )  # fmt: skip
    address = (await started.stdout.readline()).decode().strip()
    return started, AsyncOpenAI(base_url=f"{address}/v1", api_key=OpenAIService().api_key, max_retries=0)


async def test_a_process_of_its_own_survives_its_death(tmp_path):
    first, client = await process(tmp_path / "openai.json")
    try:
        async with client:
            job = await tune(client)
    finally:
        first.kill()
        await first.wait()
    second, client = await process(tmp_path / "openai.json")
    try:
        async with client:
            assert [found.id async for found in client.fine_tuning.jobs.list()] == [job.id]
    finally:
        second.send_signal(signal.SIGTERM)
    assert await second.wait() == 0


# --- batches --------------------------------------------------------------------------------------------------------


def asking(text, number=0, **changes):
    body = {"model": "omni-moderation-latest", "input": text}
    return json.dumps({"custom_id": f"r{number}", "method": "POST", "url": "/v1/moderations", "body": body} | changes)


async def batch_of(client, *lines, purpose="batch", **options):
    file = await client.files.create(file=("a.jsonl", "\n".join(lines).encode()), purpose=purpose)
    asked = {"input_file_id": file.id, "endpoint": "/v1/moderations", "completion_window": "24h"} | options
    return await client.batches.create(**asked)


async def lines_of(client, file_id):
    return [json.loads(line) for line in (await client.files.content(file_id)).content.splitlines()]


async def test_a_batch_of_moderations(service, client, clock):
    service.batch_seconds = 100
    service.flagged_words = {"rude": "harassment"}
    service.refused_words = {"poison"}
    batch = await batch_of(client, asking("rude", 1), asking("tea", 2), asking("poison", 3), metadata={"a": "b"})
    seen = []
    for _ in range(12):
        seen.append(batch.status)
        clock.now += 9.5
        batch = await client.batches.retrieve(batch.id)
    assert list(dict.fromkeys(seen)) == ["validating", "in_progress", "finalizing", "completed"]
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (3, 2, 1)
    assert batch.metadata == {"a": "b"}
    good = await lines_of(client, batch.output_file_id)
    assert [(line["custom_id"], line["response"]["body"]["results"][0]["flagged"]) for line in good] == [
        ("r1", True), ("r2", False),
    ]  # fmt: skip
    (bad,) = await lines_of(client, batch.error_file_id)
    assert (bad["custom_id"], bad["response"]["status_code"]) == ("r3", 400)
    assert [found.id async for found in client.batches.list()] == [batch.id]
    assert (await client.files.retrieve(batch.output_file_id)).purpose == "batch_output"
    assert service._moderation_pace.tokens.used == 0, "a batch has limits of its own"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([asking("a"), "{"], "invalid_json_line"),
        ([asking("a", url="/v1/embeddings")], "mismatched_url"),
        ([asking("a", method="GET")], "invalid_json_line"),
        ([asking("a"), asking("b")], "duplicate_custom_id"),
        ([" ", " "], "empty_file"),
        ([asking("a", number) for number in range(50_001)], "too_many_requests"),
    ],
)
async def test_a_file_that_is_no_list_of_requests_fails_the_batch(client, clock, lines, code):
    batch = await batch_of(client, *lines)
    clock.now += 100
    batch = await client.batches.retrieve(batch.id)
    assert (batch.status, batch.errors.data[0].code) == ("failed", code)
    assert batch.output_file_id is None


async def test_batches_that_are_refused(service, client, clock):
    for options in ({"purpose": "fine-tune"}, {"endpoint": "/v1/embeddings"}, {"input_file_id": "file-none"}):
        with pytest.raises(openai.BadRequestError):
            await batch_of(client, asking("a"), **options)
    service.processing_seconds = 5.0
    with pytest.raises(openai.BadRequestError, match="still being processed"):
        await batch_of(client, asking("a"))
    with pytest.raises(openai.NotFoundError):
        await client.batches.retrieve("batch_none")
    service.insufficient_quota = True
    with pytest.raises(openai.RateLimitError):
        await batch_of(client, asking("a"))


async def test_a_cancelled_batch_keeps_what_it_has(service, client, clock):
    service.batch_seconds = 100
    batch = await batch_of(client, *(asking("tea", number) for number in range(10)))
    clock.now += 50
    await client.batches.retrieve(batch.id)
    assert (await client.batches.cancel(batch.id)).status == "cancelling"
    batch = await client.batches.retrieve(batch.id)
    assert batch.status == "cancelled"
    assert len(await lines_of(client, batch.output_file_id)) == 5
    with pytest.raises(openai.ConflictError):
        await client.batches.cancel(batch.id)


async def test_batches_fail_and_expire_when_told_to(service, client, clock):
    service.fail_batches_with = ("token_limit_exceeded", "Enqueued token limit reached.")
    failing = await batch_of(client, asking("a"))
    service.fail_batches_with = None
    service.expire_batches_at = 0.5
    expiring = await batch_of(client, *(asking("tea", number) for number in range(4)))
    clock.now += 100
    failing, expiring = await client.batches.retrieve(failing.id), await client.batches.retrieve(expiring.id)
    assert (failing.status, failing.errors.data[0].code) == ("failed", "token_limit_exceeded")
    assert (expiring.status, expiring.request_counts.completed, expiring.request_counts.failed) == ("expired", 2, 2)
    assert [line["error"]["code"] for line in await lines_of(client, expiring.error_file_id)] == ["batch_expired"] * 2


async def test_a_batch_outlives_the_process(tmp_path, clock):
    path = tmp_path / "openai.json"
    service = OpenAIService(clock=clock, save_path=path)
    async with client_of(service, await service.start()) as client:
        batch = await batch_of(client, asking("a"))
    await service.stop()
    clock.now += 100
    again = OpenAIService(clock=clock, save_path=path)
    async with client_of(again, await again.start()) as client:
        batch = await client.batches.retrieve(batch.id)
        assert batch.status == "completed"
        assert len(await lines_of(client, batch.output_file_id)) == 1
    await again.stop()
