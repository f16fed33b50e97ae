"""The few-shot voice at services that are not OpenAI's: what they refuse, and how their answers look."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr
from tenacity import wait_none

from bot.errors import ModelContextTooLong
from bot.language.chat import extract_tags
from bot.language.endpoint import Endpoint, ModelService
from bot.language.tokens import count
from bot.store.database import Database
from bot.training import Voice, VoiceKind
from bot.voices.few_shot import MOST_HALVINGS, PROMPT_TOKENS, FewShot
from tests.language.conftest import Reply, Server, answer, error, status
from tests.pipeline.room import nights, store_posts

MODEL = "qwen3:4b"
TEXT = "night 401: nobody came, and the kettle sang anyway."


def llama_cpp(text: str) -> dict[str, object]:
    """As llama-server answers: timings, and a finish_reason that it shares with OpenAI."""
    return {
        "choices": [{"finish_reason": "stop", "index": 0, "message": {"role": "assistant", "content": text}}],
        "created": 1_790_000_000,
        "model": MODEL,
        "system_fingerprint": "b6700-c1b187688",
        "object": "chat.completion",
        "usage": {"completion_tokens": 14, "prompt_tokens": 900, "total_tokens": 914},
        "id": "chatcmpl-x",
        "timings": {"cache_n": 880, "prompt_n": 20, "prompt_ms": 30.1, "predicted_n": 14, "predicted_ms": 321.0},
    }


def ollama(text: str) -> dict[str, object]:
    """As Ollama answers: the reasoning of a model beside its text."""
    return {
        "id": "chatcmpl-7",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": MODEL,
        "system_fingerprint": "fp_ollama",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "reasoning": "They want a post."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 900, "completion_tokens": 14, "total_tokens": 914},
    }


def vllm(text: str) -> dict[str, object]:
    """As vLLM answers: many fields that hold nothing, and reasons of its own."""
    return {
        "id": "chatcmpl-abc",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "reasoning_content": None,
                    "content": text,
                    "refusal": None,
                    "annotations": None,
                    "tool_calls": [],
                },
                "logprobs": None,
                "finish_reason": "abort",
                "stop_reason": 151_645,
            }
        ],
        "service_tier": None,
        "usage": {"prompt_tokens": 900, "total_tokens": 914, "completion_tokens": 14, "prompt_tokens_details": None},
        "prompt_logprobs": None,
        "kv_transfer_params": None,
    }


def without_usage(text: str) -> dict[str, object]:
    """As small servers answer: the text, and nothing to count by."""
    return {"choices": [{"message": {"content": text}, "finish_reason": "eos_token"}]}


SHAPES = [llama_cpp, ollama, vllm, without_usage]
TOO_LONG: dict[str, Reply] = {
    "llama.cpp": status(
        400,
        {
            "error": {
                "code": 400,
                "message": "request (6123 tokens) exceeds the available context size (4096 tokens), try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 6_123,
                "n_ctx": 4_096,
            }
        },
    ),
    "vLLM": status(
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 4096 tokens. However, you requested 7600 tokens (6100 in"
            " the messages, 1500 in the completion). Please reduce the length of the messages or completion.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    "OpenAI": error(
        400,
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        name="context_length_exceeded",
        param="messages",
    ),
}


class Shop:
    """A database with posts, and the few-shot voice of a scripted service."""

    def __init__(self, server: Server, database: Database, service: ModelService) -> None:
        self.server = server
        self.database = database
        self.service = service
        self.voice = Voice(
            1, VoiceKind.FEW_SHOT, "v", MODEL, server.base_url, None, "You write.", "Write.", 0.0, False, 0.0
        )

    def writer(self) -> FewShot:
        return FewShot(self.database, self.service, seed=1)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [seen.body for seen in self.server.seen]

    def sizes(self) -> list[int]:
        """Tokens of the posts in each request."""
        return [count(body["messages"][0]["content"].partition("<post>")[2]) for body in self.bodies]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    server = Server()
    await server.start()
    database = await Database.open(tmp_path / "bot.sqlite3")
    await store_posts(database, [f"{night} {'And so on and on. ' * 20}" for night in nights(200)])
    service = ModelService(Endpoint(server.base_url, SecretStr("none"), MODEL), deadline=5.0, wait=wait_none())
    yield Shop(server, database, service)
    await service.close()
    await database.close()
    await server.stop()


def small(context: int) -> Reply:
    """A service with a model that reads so many tokens, answer included, and refuses more as vLLM does."""

    async def reply(request: web.Request) -> web.StreamResponse:
        asked = json.loads(await request.read())
        tokens = sum(count(message["content"]) for message in asked["messages"]) + asked["max_completion_tokens"]
        return await (TOO_LONG["vLLM"] if tokens > context else answer(vllm(TEXT)))(request)

    return reply


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_answer_of_any_service_is_read(shop: Shop, shape: Any):
    shop.server.then = answer(shape(f"<post>\n{TEXT}\n</post>"))
    written = await shop.writer().write(shop.voice, "Write.", seed=1)
    assert (written.text, written.model, written.cut_off) == (TEXT, MODEL, False)
    assert written.input_tokens >= 900
    assert written.output_tokens >= 14
    (body,) = shop.bodies
    # "system": Ollama drops what has another role than it knows, and says nothing.
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


@pytest.mark.parametrize("shape", SHAPES)
async def test_what_an_old_service_does_not_know_is_left_out(shop: Shop, shape: Any):
    shop.server.replies = [
        status(400, {"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"]}]}),
        status(400, {"object": "error", "message": "System role not supported", "code": 400}),
    ]
    shop.server.then = answer(shape(TEXT))
    for _ in range(2):
        assert (await shop.writer().write(shop.voice, "Write.", seed=1)).text == TEXT
    assert len(shop.bodies) == 4, "what was learned is not asked again"
    for body in shop.bodies[2:]:
        assert body["max_tokens"] == 1_500
        assert "max_completion_tokens" not in body
        (message,) = body["messages"]
        assert message["role"] == "user"
        assert message["content"].startswith("You write.")
        assert message["content"].endswith("</post>\n\nWrite.")


@pytest.mark.parametrize("shape", SHAPES)
async def test_tags_come_by_a_schema_through_chat_completions(shop: Shop, shape: Any):
    shop.server.then = answer(shape('{"tags": ["tea", "rain"]}'))
    tags, written = await extract_tags(shop.service, "Name tags.", "Tea in the rain.")
    assert tags == ("tea", "rain")
    assert written is not None
    assert shop.server.seen[0].path.endswith("/chat/completions")
    assert shop.bodies[0]["response_format"]["type"] == "json_schema"


# --- models that read little at once --------------------------------------------------------------------------


@pytest.mark.parametrize("service", sorted(TOO_LONG))
async def test_a_prompt_that_is_too_long_is_halved_and_that_is_remembered(shop: Shop, service: str):
    shop.server.replies = [TOO_LONG[service], TOO_LONG[service]]
    shop.server.then = answer(vllm(TEXT))
    assert (await shop.writer().write(shop.voice, "Write.", seed=1)).text == TEXT
    first, second, third = shop.sizes()
    assert first <= PROMPT_TOKENS
    assert second <= PROMPT_TOKENS / 2 < first
    assert third <= PROMPT_TOKENS / 4 < second
    # By the model, not by the writer: the next run of /generate has another one.
    await shop.writer().write(shop.voice, "Write.", seed=1)
    assert shop.sizes()[3] <= PROMPT_TOKENS / 4
    assert len(shop.bodies) == 4
    # Another model of the same service is asked with everything.
    other = FewShot(shop.database, shop.service.with_model("larger"), seed=1)
    await other.write(replace(shop.voice, model="larger"), "Write.", seed=1)
    assert shop.sizes()[4] == first


async def test_the_part_that_stays_is_the_same_for_a_small_model_too(shop: Shop):
    shop.server.then = small(4_096)
    for _ in range(3):
        await shop.writer().write(shop.voice, "Write.", seed=1)
    *_, one, two, three = (body["messages"][0]["content"] for body in shop.bodies)
    stable = one[: int(len(one) * 0.7)]
    assert stable.count("<post>") > 5
    assert two.startswith(stable)
    assert three.startswith(stable)


@pytest.mark.parametrize("context", [1_900, 2_048, 4_096, 8_192, 128_000])
async def test_models_of_any_usual_size_are_met(shop: Shop, context: int):
    shop.server.then = small(context)
    assert (await shop.writer().write(shop.voice, "Write.", seed=1)).text == TEXT
    assert "<post>" in shop.bodies[-1]["messages"][0]["content"]


async def test_a_model_that_reads_next_to_nothing_is_not_asked_for_ever(shop: Shop):
    shop.server.then = TOO_LONG["llama.cpp"]
    with pytest.raises(ModelContextTooLong, match="exceeds the available context size"):
        await shop.writer().write(shop.voice, "Write.", seed=1)
    assert len(shop.bodies) == MOST_HALVINGS + 1


async def test_a_prompt_of_ones_own_that_is_too_long_does_not_shorten_those_after_it(shop: Shop):
    shop.server.then = small(8_192)
    with pytest.raises(ModelContextTooLong):
        await shop.writer().write(shop.voice, "night " * 9_000, seed=1)
    before = len(shop.bodies)
    await shop.writer().write(shop.voice, "Write.", seed=1)
    assert len(shop.bodies) == before + 1
    assert shop.sizes()[-1] > PROMPT_TOKENS / 2


async def test_where_few_posts_are_shown_the_budget_is_halved_below_them_at_once(tmp_path: Path, shop: Shop):
    database = await Database.open(tmp_path / "few.sqlite3")
    try:
        await store_posts(database, nights(20))  # some 600 tokens
        shop.server.replies = [TOO_LONG["vLLM"]]
        await FewShot(database, shop.service, seed=1).write(shop.voice, "Write.", seed=1)
    finally:
        await database.close()
    first, second = shop.sizes()
    assert second < first < PROMPT_TOKENS / 4
