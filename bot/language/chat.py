"""Writing: one answer of a chat model, at any service that speaks OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import msgspec

from bot.errors import ModelRefused
from bot.language.endpoint import ModelService, RawAnswer, sendable
from bot.language.failures import nonsense, says, too_long
from bot.language.tokens import count

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI
    from openai.types.chat import ChatCompletionMessageParam

_TAGS_SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "tags",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"tags": {"type": "array", "items": {"type": "string"}}},
            "required": ["tags"],
            "additionalProperties": False,
        },
    },
}
_CUT_OFF = ("length", "max_tokens", "MAX_TOKENS")  # OpenAI's word, and those of services that kept their own
# Reasoning models that are served without a parser for it begin with what they thought; nobody asked for that.
_THOUGHTS = re.compile(r"\A\s{0,9}<think(?:ing)?>.*?(?:</think(?:ing)?>\s*|\Z)", re.DOTALL)
_INSTRUCTING = ("developer", "system")
_NO_SYSTEM_ROLE = ("system role not supported", "system role is not supported", "system messages are not supported")
_CANNOT = frozenset({400, 422})  # how services say that they know no schemas


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Literal["developer", "system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Written:
    """A text, with the model that wrote it as the service names it, and the tokens it took.

    `text` is empty when the model refused or the service held the text back: it was paid for all the same.
    `cached_tokens` are part of `input_tokens`. Where a service counts nothing, the counts are our own.
    """

    text: str
    model: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cut_off: bool


class _Reply(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Reply
    finish_reason: object = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    model: object = None
    usage: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: _Details | None = None


class _Tags(msgspec.Struct):
    tags: list[str]


async def complete(
    service: ModelService,
    messages: Sequence[Message],
    *,
    max_tokens: int,
    temperature: float | None = None,
    seed: int | None = None,
) -> Written:
    """Have the model write. Paid, so it is sent once; only a request that was refused is sent again, put simpler.

    Raises:
        ModelError: as the service's failure is explained in failures.py.
    """
    return await _complete(service, messages, max_tokens, {"temperature": temperature, "seed": seed})


async def extract_tags(
    service: ModelService, developer_message: str, text: str, *, max_tokens: int = 200
) -> tuple[tuple[str, ...], Written | None]:
    """Tags for a text, and what the call took.

    No tags when the model refuses or answers with something else; no `Written` either when the service cannot be asked
    for a shape.

    Raises:
        ModelError: any other failure.
    """
    # "system", not "developer": see few_shot.py.
    messages = (Message("system", developer_message), Message("user", text))
    try:
        written = await _complete(service, messages, max_tokens, {"response_format": _TAGS_SCHEMA})
    except ModelRefused as refusal:
        if refusal.status in _CANNOT:
            return (), None
        raise
    try:
        found = msgspec.json.decode(written.text, type=_Tags).tags
    except (msgspec.DecodeError, RecursionError):
        return (), written
    tags = (tag.strip().lstrip("#").strip() for tag in found)
    return tuple(dict.fromkeys(tag for tag in tags if tag)), written


async def _complete(
    service: ModelService,
    messages: Sequence[Message],
    max_tokens: int,
    wanted: Mapping[str, object],
) -> Written:
    async def send(client: AsyncOpenAI) -> RawAnswer:
        import openai  # noqa: PLC0415 - loaded already, see endpoint.py

        while True:
            options: dict[str, object] = {}
            options["max_tokens" if "max_completion_tokens" in service.lacks else "max_completion_tokens"] = max_tokens
            options |= {
                name: value for name, value in wanted.items() if value is not None and name not in service.lacks
            }
            try:
                return await client.chat.completions.with_raw_response.create(
                    model=service.endpoint.model,
                    messages=_spoken(messages, service.lacks),
                    extra_body=options,
                )
            except (openai.BadRequestError, openai.UnprocessableEntityError) as refusal:
                lacking = _named(refusal, messages, options) - service.lacks
                # vLLM names `max_completion_tokens` too when it says that a prompt is too long.
                if not lacking or too_long(refusal):
                    raise
                service.lacks |= lacking

    completion = (await service.ask_once(send, _Completion)).value
    if not completion.choices:
        raise nonsense(service.name)
    return await _read(completion, service, messages)


def _spoken(messages: Sequence[Message], lacks: Collection[str]) -> list[ChatCompletionMessageParam]:
    roles: dict[str, str] = {}
    if "developer" in lacks:
        roles["developer"] = "system"
    if "system" in lacks:
        roles |= dict.fromkeys(_INSTRUCTING, "user")
    spoken: list[tuple[str, str]] = []
    for message in messages:
        role, content = roles.get(message.role, message.role), sendable(message.content)
        if "system" in lacks and spoken and spoken[-1][0] == role:
            # One message: the templates of these models also want user and assistant in turn.
            content = f"{spoken.pop()[1]}\n\n{content}"
        spoken.append((role, content))
    return [cast("ChatCompletionMessageParam", {"role": role, "content": content}) for role, content in spoken]


def _named(refusal: APIStatusError, messages: Sequence[Message], options: dict[str, object]) -> set[str]:
    """Which of the newer parts of the request the refusal names. Older and local services lack one or another."""
    named: set[str] = set()
    # A service that wants the newer name says both; it is not asked with the older one.
    if "max_completion_tokens" in options and says(refusal, "max_completion_tokens"):
        named.add("max_completion_tokens")
    named.update(name for name in ("temperature", "seed") if name in options and says(refusal, name))
    if any(message.role == "developer" for message in messages) and says(refusal, "developer", "role"):
        named.add("developer")
    # As the templates of Gemma and some others have it, in the words of whoever serves them.
    if any(message.role in _INSTRUCTING for message in messages) and says(refusal, *_NO_SYSTEM_ROLE):
        named.add("system")
    return named


async def _read(completion: _Completion, service: ModelService, messages: Sequence[Message]) -> Written:
    choice = completion.choices[0]
    withheld = choice.message.refusal or choice.finish_reason == "content_filter"
    text = "" if withheld else _THOUGHTS.sub("", choice.message.content or "")
    try:
        usage = msgspec.json.decode(completion.usage, type=_Usage)
    except msgspec.DecodeError:
        prompt = "\n".join(message.content for message in messages)
        usage = _Usage(await asyncio.to_thread(count, prompt), await asyncio.to_thread(count, text))
    input_tokens = max(0, usage.prompt_tokens)
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details is not None else None
    return Written(
        text=text,
        model=completion.model if isinstance(completion.model, str) else service.endpoint.model,
        input_tokens=input_tokens,
        cached_tokens=min(max(0, cached or 0), input_tokens),
        output_tokens=max(0, usage.completion_tokens),
        cut_off=choice.finish_reason in _CUT_OFF,
    )
