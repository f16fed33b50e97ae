"""What went wrong at a model service, as an error that a person can act on."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from bot.errors import (
    ModelContextTooLong,
    ModelError,
    ModelForbidden,
    ModelQuotaExhausted,
    ModelRateLimited,
    ModelRefused,
    ModelUnauthorized,
    ModelUnavailable,
    TrainingNotAvailable,
)

if TYPE_CHECKING:
    import openai

LONGEST_QUOTE = 300  # characters of a service's own message that are passed on
DEFAULT_RETRY_AFTER = 20.0  # seconds, when a service says "too fast" and not for how long
LONGEST_RETRY_AFTER = 86_400.0

_REFUSALS: dict[int, tuple[str, str]] = {
    HTTPStatus.NOT_FOUND: ("does not know what was asked for", "Check the model's name and `base_url` under [openai]."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("finds the request too large", "Try again with less text."),
}
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT})
_MAY_MEAN_TOO_LONG = frozenset({400, 413, 422, 500})  # 500 is llama.cpp's, in some of its versions
_TOO_LONG = (
    "context_length_exceeded",  # OpenAI and Azure, as a code
    "exceed_context_size_error",  # llama.cpp, as a type
    "exceeds the available context size",  # llama.cpp
    "maximum context length",  # vLLM, OpenAI, OpenRouter, Mistral
    "model's context length is only",  # vLLM
    "exceeds the context window",  # OpenAI
    "exceeds the context length",  # Ollama
    "exceed context window",  # llama-cpp-python
    "context length of only",  # LM Studio
)
_CODE = re.compile(r"[\w.-]{1,64}", re.ASCII)
_BALANCE = ("There is no credit left at", "Add credit on the billing page there, then try again.")
_OWN_LIMIT = (
    "A spending limit that was set is reached at",
    "Raise it on the limits page there, or wait for next month.",
)
_THEIR_LIMIT = (
    "The account has used what it may use in a month at",
    "The limits page there says how to get more; else wait for next month.",
)
NO_MONEY: Mapping[str, tuple[str, str]] = {
    "insufficient_quota": (
        "There is no credit left at",
        "Add credit or raise the spending limit there, then try again.",
    ),
    "exceeded_quota": _BALANCE,
    "credit_balance_exhausted": _BALANCE,
    "billing_not_active": ("There is no billing set up at", "Set it up on the billing page there, then try again."),
    "billing_hard_limit_reached": _OWN_LIMIT,
    "organization_spend_limit_exceeded": _OWN_LIMIT,
    "project_spend_limit_exceeded": _OWN_LIMIT,
    "organization_usage_limit_exceeded": _THEIR_LIMIT,
}
"""The codes with which services say that somebody has to pay: what is wrong, and where to look.

The last three and `credit_balance_exhausted` are those of OpenAI's help article 6614457 (November 2026). They come with
status 429, like a rate limit, and waiting does not help against them.
"""
_SECRETS = (
    re.compile(r"\b(?:bearer|basic)\s+[^\s\"',;]+", re.IGNORECASE),
    re.compile(r"\b(?:sk|pk|rk|ak|hf|gsk|xai|nvapi|key|api[-_]?key)[-_=:][^\s\"',;]{4,}", re.IGNORECASE),
    re.compile(r"[\w*-]{40,}"),  # whatever its prefix: no word of a sentence is that long
)
_QUERY = re.compile(r"(https?://[^\s?]*)\?\S*", re.IGNORECASE)


def explain(error: openai.OpenAIError, service: str) -> ModelError:
    """The error of ours that the SDK's error means. `service` is what people call the service.

    The exception's own text is never used, because it may carry a key. A service's message is quoted only for
    refusals, only when it came as JSON, shortened, and without anything that looks like a secret.
    """
    import openai  # noqa: PLC0415 - heavy, and loaded already when one of its errors exists

    match error:
        case openai.APIStatusError():
            return _explain_status(error, service)
        case openai.APITimeoutError():
            return ModelUnavailable(f"{service} took too long to answer.", "Try again in a few minutes.")
        case openai.APIConnectionError():
            return ModelUnavailable(
                f"{service} could not be reached, or hung up in the middle.",
                "Check the network and `base_url`, then try again in a few minutes.",
            )
        case openai.ContentFilterFinishReasonError():
            return ModelRefused(
                f"{service} held its answer back.", "Try another prompt.", status=200, code="content_filter"
            )
        case _:
            return nonsense(service)


def nonsense(service: str) -> ModelUnavailable:
    """The service answered, and not with anything we can read."""
    return ModelUnavailable(
        f"{service} gave an answer that makes no sense.",
        "Try again in a few minutes; if it stays so, check that `base_url` names an OpenAI-compatible service.",
    )


def too_slow(service: str, seconds: float) -> ModelUnavailable:
    """The whole call did not end in time, whatever the socket was doing."""
    return ModelUnavailable(f"{service} did not answer within {seconds:g} seconds.", "Try again in a few minutes.")


def says(error: openai.APIStatusError, *words: str) -> bool:
    """Whether the answer's body, in whatever shape it came, has any of these words (lower case)."""
    text = error.response.text.lower()
    return any(word in text for word in words)


def too_long(error: openai.APIStatusError) -> bool:
    """Whether the service refused because prompt and answer are more than the model can read at once."""
    return error.status_code in _MAY_MEAN_TOO_LONG and says(error, *_TOO_LONG)


def presentable(text: str, *secrets: str) -> str:
    """A service's own words on one short line, without secrets, the queries of URLs, and links that hide where to."""
    for secret in secrets:
        text = text.replace(secret, "[hidden]")
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    text = _QUERY.sub(r"\1", " ".join(text.split())).replace("](", "] (")
    for pattern in _SECRETS:
        text = pattern.sub("[hidden]", text)
    return text if len(text) <= LONGEST_QUOTE else f"{text[: LONGEST_QUOTE - 1]}…"


def _explain_status(error: openai.APIStatusError, service: str) -> ModelError:
    status = error.status_code
    code = _code(error)
    if code == "training_not_available":
        return TrainingNotAvailable(
            f"{service} takes no fine-tuning jobs from this organisation.",
            "Write with few-shot instead, which needs no training, or name another service under [openai.fine_tuning].",
        )
    if status == HTTPStatus.PAYMENT_REQUIRED or code in NO_MONEY:
        what, next_step = NO_MONEY.get(code or "", NO_MONEY["insufficient_quota"])
        return ModelQuotaExhausted(f"{what} {service}.", next_step)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        seconds = _retry_after(error.response.headers)
        return ModelRateLimited(
            f"{service} asks for fewer calls.", "Wait a moment, then try again.", retry_after=seconds
        )
    if too_long(error):
        return ModelContextTooLong(
            f"The request is longer than the model at {service} can read{_reason(error)}.",
            "Ask with a shorter prompt, or use a model with a larger context.",
            status=status,
            code=code,
        )
    if status in _PASSING or (status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED):
        return ModelUnavailable(f"{service} has trouble of its own (error {status}).", "Try again in a few minutes.")
    return _explain_refusal(error, service, code)


def _explain_refusal(error: openai.APIStatusError, service: str, code: str | None) -> ModelError:
    """A final refusal, with the service's own reason where that can be of use."""
    status = error.status_code
    if status == HTTPStatus.UNAUTHORIZED:
        # Never with the service's message: OpenAI's repeats part of the key.
        return ModelUnauthorized(
            f"{service} does not accept the API key.", "Check `api_key` under [openai], or make a new key there."
        )
    reason = _reason(error)
    if status == HTTPStatus.FORBIDDEN:
        return ModelForbidden(
            f"{service} does not allow this with the API key in use{reason}.",
            "Give the key the permission it lacks, or use another one.",
        )
    if status < HTTPStatus.BAD_REQUEST:
        # We follow no redirects: they would take the key and the texts to an address nobody chose.
        sentence, next_step = "wants to send the bot to another address", "Set `base_url` to where the service is."
    else:
        sentence, next_step = _REFUSALS.get(
            status, ("refused the request", "Change what the message names, then try again.")
        )
    return ModelRefused(f"{service} {sentence} (status {status}){reason}.", next_step, status=status, code=code)


def _code(error: openai.APIStatusError) -> str | None:
    """The service's code, or its type when that is what tells (some services give only a type)."""
    for value in (error.code, error.type):
        if isinstance(value, str) and value in NO_MONEY:
            return value
    return error.code if error.code is not None and _CODE.fullmatch(error.code) else None


def _reason(error: openai.APIStatusError) -> str:
    body: object = error.body
    if not isinstance(body, Mapping):
        return ""
    message = cast("Mapping[object, object]", body).get("message")
    if not isinstance(message, str) or not message.strip():
        return ""
    sent = error.request.headers.get("authorization", "").removeprefix("Bearer ")
    quoted = presentable(message, *([sent] if sent else []))
    return f": “{quoted.rstrip('.')}”"


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds until the service wants to be called again, from `retry-after-ms` or either form of `retry-after`."""
    seconds = _number(headers.get("retry-after-ms"))
    if seconds is not None:
        return min(seconds / 1000, LONGEST_RETRY_AFTER)
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is None and value is not None:
        try:
            seconds = max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, OverflowError):
            seconds = None
    return DEFAULT_RETRY_AFTER if seconds is None else min(seconds, LONGEST_RETRY_AFTER)


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
