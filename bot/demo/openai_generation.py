"""Chat completions and responses in the OpenAI stand-in: what is asked, and how an answer is shown."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from bot.demo.openai_writing import Message, Written


class TextFormat(msgspec.Struct, tag="text", tag_field="type"):
    pass


class _NamedSchema(msgspec.Struct):
    name: str
    schema: dict[str, object]


class SchemaFormat(msgspec.Struct, tag="json_schema", tag_field="type"):
    json_schema: _NamedSchema


class FlatSchemaFormat(msgspec.Struct, tag="json_schema", tag_field="type"):
    """The Responses API names a schema's parts one level higher than chat completions do."""

    name: str
    schema: dict[str, object]


class _ResponseText(msgspec.Struct):
    format: TextFormat | FlatSchemaFormat | None = None


_Limit = Annotated[int, msgspec.Meta(ge=1)] | None
_Seed = int | None


class ChatRequest(msgspec.Struct):
    model: str
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    max_tokens: _Limit = None
    max_completion_tokens: _Limit = None
    seed: _Seed = None
    response_format: TextFormat | SchemaFormat | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    stream: Literal[False] | None = None


class ResponseRequest(msgspec.Struct):
    model: str
    input: str | list[Message]
    instructions: str | None = None
    max_output_tokens: _Limit = None
    text: _ResponseText = msgspec.field(default_factory=_ResponseText)
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    metadata: dict[str, str] | None = None
    stream: Literal[False] | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers to one prompt, what they cost, and the headers that go with them."""

    answers: list[Written]
    prompt_tokens: int
    cached_tokens: int
    headers: dict[str, str]

    @property
    def tokens(self) -> int:
        return sum(answer.tokens for answer in self.answers)


def render_chat(asked: ChatRequest, answered: Answered, now: float) -> dict[str, object]:
    """The body of a chat completion; `now` is in unix seconds."""
    choices: list[dict[str, object]] = [
        {
            "index": index,
            "message": {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop" if answer.complete else "length",
        }
        for index, answer in enumerate(answered.answers)
    ]
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(now),
        "model": asked.model,
        "choices": choices,
        "usage": {
            "prompt_tokens": answered.prompt_tokens,
            "completion_tokens": answered.tokens,
            "total_tokens": answered.prompt_tokens + answered.tokens,
            "prompt_tokens_details": {"cached_tokens": answered.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": "fp_stand_in",
    }


def render_response(asked: ResponseRequest, answered: Answered, now: float) -> dict[str, object]:
    """The body of a response to one prompt; `now` is in unix seconds."""
    [answer] = answered.answers
    moment = int(now)
    status = "completed" if answer.complete else "incomplete"
    content: dict[str, object] = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": moment,
        "completed_at": moment if answer.complete else None,
        "status": status,
        "error": None,
        "incomplete_details": None if answer.complete else {"reason": "max_output_tokens"},
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "metadata": asked.metadata or {},
        "model": asked.model,
        "output": [
            {
                "type": "message",
                "id": f"msg_{uuid.uuid4().hex}",
                "role": "assistant",
                "status": status,
                "content": [content],
            }
        ],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "temperature": 1.0 if asked.temperature is None else asked.temperature,
        "text": {"format": asked.text.format or TextFormat()},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0 if asked.top_p is None else asked.top_p,
        "truncation": "disabled",
        "usage": {
            "input_tokens": answered.prompt_tokens,
            "input_tokens_details": {"cached_tokens": answered.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": answered.tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": answered.prompt_tokens + answered.tokens,
        },
    }
