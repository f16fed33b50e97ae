"""How the OpenAI stand-in says no: the shape, the statuses and the codes of OpenAI's API."""

from __future__ import annotations

import math
from collections.abc import Mapping


class Refusal(Exception):
    """An answer other than 200: `{"error": {message, type, param, code}}` with a status and headers."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def wrong_key() -> Refusal:
    message = "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys."
    return Refusal(401, message, code="invalid_api_key")


def no_such_model(model: str) -> Refusal:
    message = f"The model `{model}` does not exist or you do not have access to it."
    return Refusal(404, message, code="model_not_found")


def no_such_file(file_id: str) -> Refusal:
    return Refusal(404, f"No such File object: {file_id}", param="id")


def no_such_job(job_id: str) -> Refusal:
    message = f"Could not find fine tune: {job_id}"
    return Refusal(404, message, param="fine_tune_id", code="fine_tune_not_found")


def no_such_batch(batch_id: str) -> Refusal:
    return Refusal(404, f"No batch found with id '{batch_id}'.", param="batch_id")


def file_not_ready(file_id: str) -> Refusal:
    message = (
        f"File '{file_id}' is still being processed and is not ready to be used for fine-tuning. "
        "Please try again later."
    )
    return Refusal(400, message, param="training_file")


def training_not_available() -> Refusal:
    message = "Fine-tuning is no longer available to your organization."
    return Refusal(403, message, code="training_not_available")


def no_money_left() -> Refusal:
    message = "You exceeded your current quota, please check your plan and billing details."
    return Refusal(429, message, kind="insufficient_quota", code="insufficient_quota")


def too_fast(model: str, unit: str, limit: int, used: float, wanted: float, wait: float) -> Refusal:
    """Refuse a call that its bucket has no room for; `unit` is "tokens" or "requests", `wait` is in seconds."""
    short = {"tokens": "TPM", "requests": "RPM"}[unit]
    message = (
        f"Rate limit reached for {model} on {unit} per min ({short}): Limit {limit}, Used {math.ceil(used)}, "
        f"Requested {math.ceil(wanted)}. Please try again in {wait:.3f}s."
    )
    headers = {"retry-after-ms": str(math.ceil(wait * 1000)), "retry-after": str(math.ceil(wait))}
    return Refusal(429, message, kind=unit, code="rate_limit_exceeded", headers=headers)


def too_large(model: str, unit: str, limit: int, wanted: float) -> Refusal:
    """Refuse a call that would not fit into an empty bucket either: waiting does not help, splitting does."""
    message = f"Request too large for {model} on {unit} per min: Limit {limit}, Requested {math.ceil(wanted)}."
    return Refusal(429, message, kind=unit, code="rate_limit_exceeded")
