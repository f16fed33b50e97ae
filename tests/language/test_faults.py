"""Whatever a service does to a call, the caller gets an error of ours, and no secret gets out."""

import logging

import openai
import pytest
import tenacity
from pydantic import SecretStr

from bot import errors
from bot.language import chat, models, moderation, together, tuning
from bot.language.endpoint import Endpoint, ModelService
from tests.language.conftest import KEY, MODEL, cut_short, error, html, raw, reset, status


async def _judge(service):
    return [answer async for answer in moderation.judge(service, ["a text"], [2])]


CALLS = {
    "chat": lambda s: chat.complete(s, [chat.Message("user", "Write.")], max_tokens=9),
    "tags": lambda s: chat.extract_tags(s, "Name tags.", "A post."),
    "judge": _judge,
    "model": models.describe_model,
    "upload": lambda s: tuning.upload_training_file(s, "posts.jsonl", b"{}\n"),
    "find file": lambda s: tuning.find_file(s, "posts.jsonl"),
    "processed": lambda s: tuning.wait_until_processed(s, "file-1", poll_seconds=0, deadline=0),
    "create job": lambda s: tuning.create_job(s, training_file="file-1", model=MODEL, suffix="x", epochs=3, marker="7"),
    "get job": lambda s: tuning.get_job(s, "ftjob-1"),
    "find jobs": lambda s: tuning.find_jobs(s, "file-1", marker="7"),
    "cancel job": lambda s: tuning.cancel_job(s, "ftjob-1"),
    "delete file": lambda s: tuning.delete_file(s, "file-1"),
    "pause job": lambda s: tuning.pause_job(s, "ftjob-1"),
    "resume job": lambda s: tuning.resume_job(s, "ftjob-1"),
    "log": lambda s: tuning.read_log(s, "ftjob-1"),
    "together upload": lambda s: together.upload_file(s, "posts.jsonl", b"{}\n"),
    "together find file": lambda s: together.find_file(s, "posts.jsonl"),
    "together processed": lambda s: together.wait_until_processed(s, "file-1", poll_seconds=0, deadline=0),
    "together create job": lambda s: together.create_job(
        s, training_file="file-1", validation_file="file-2", model=MODEL, suffix="x", epochs=3
    ),
    "together get job": lambda s: together.get_job(s, "ft-1"),
    "together find jobs": lambda s: together.find_jobs(s, "file-1"),
    "together cancel job": lambda s: together.cancel_job(s, "ft-1"),
    "together events": lambda s: together.events(s, "ft-1"),
    "together losses": lambda s: together.losses(s, "ft-1"),
}
PAID = {"chat", "tags", "upload", "create job", "together upload", "together create job"}
RATE_HEADERS = {"retry-after-ms": "10"}

FAULTS = {
    "401": (error(401, f"Incorrect API key provided: {KEY}."), errors.ModelUnauthorized),
    "403": (error(403, f"Not with Bearer {KEY}."), errors.ModelForbidden),
    "403 html": (html(403), errors.ModelForbidden),
    "training": (error(403, "Closed.", name="training_not_available"), errors.TrainingNotAvailable),
    "404": (error(404, "The model does not exist"), errors.ModelRefused),
    "400": (error(400, f"Line 3 of sk-abcdef123456 is bad, {KEY}"), errors.ModelRefused),
    "413": (error(413, "Too large"), errors.ModelRefused),
    "413 html": (html(413), errors.ModelRefused),
    "422": (status(422, {"detail": [{"loc": ["body"], "msg": KEY}]}), errors.ModelRefused),
    "402": (error(402, "Pay."), errors.ModelQuotaExhausted),
    "429 quota": (error(429, "No.", name="insufficient_quota"), errors.ModelQuotaExhausted),
    "429 quota by type": (
        status(429, {"error": {"message": "No.", "type": "insufficient_quota", "code": None}}),
        errors.ModelQuotaExhausted,
    ),
    "429 balance": (error(429, "No.", name="credit_balance_exhausted"), errors.ModelQuotaExhausted),
    "429 own limit": (error(429, "No.", name="project_spend_limit_exceeded"), errors.ModelQuotaExhausted),
    "429 their limit": (error(429, "No.", name="organization_usage_limit_exceeded"), errors.ModelQuotaExhausted),
    "429 rate": (error(429, "Slow.", name="rate_limit_exceeded", headers=RATE_HEADERS), errors.ModelRateLimited),
    "429 html": (html(429), errors.ModelRateLimited),
    "307": (status(307, {}, {"Location": "http://127.0.0.1:9/elsewhere"}), errors.ModelRefused),
    "500": (error(500, f"Oops {KEY}"), errors.ModelUnavailable),
    "html 502": (html(502), errors.ModelUnavailable),
    "reset": (reset, errors.ModelUnavailable),
    "cut short": (cut_short, errors.ModelUnavailable),
    "truncated JSON": (raw(b'{"id": "ftjob-1", "sta'), errors.ModelUnavailable),
    "empty": (raw(b""), errors.ModelUnavailable),
    "html 200": (raw(b"<html></html>", content_type="text/html"), errors.ModelUnavailable),
    "wrong shape": (raw(b'["a list"]'), errors.ModelUnavailable),
    "not UTF-8": (raw(b'{"id": "\xff\xfe", "choices": "'), errors.ModelUnavailable),
    "too deep": (raw(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), errors.ModelUnavailable),
}
# Calls for which a refusal is an answer.
FINE = {("delete file", "404"), ("tags", "400"), ("tags", "422")} | {
    ("together losses", fault) for fault, (_, expected) in FAULTS.items() if expected is errors.ModelRefused
}


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_meets_every_fault(service, server, caplog, monkeypatch, call):
    monkeypatch.setattr("bot.language.moderation._LIMITS_BEFORE_GIVING_UP", 2)
    monkeypatch.setattr("bot.language.failures.DEFAULT_RETRY_AFTER", 0.01)
    caplog.set_level(logging.DEBUG)
    for fault, (reply, expected) in FAULTS.items():
        server.then = reply
        server.seen.clear()
        if (call, fault) in FINE:
            await CALLS[call](service)
        else:
            failure = await _failure(CALLS[call](service))
            assert type(failure) is expected, fault
            _holds_no_secret(failure)
        assert server.seen, fault
        if call in PAID:
            assert len(server.seen) == 1, f"a paid call was repeated after {fault}"
    assert KEY not in caplog.text
    assert "sk-" not in caplog.text


async def _failure(call):
    try:
        await call
    except errors.ModelError as failure:
        return failure
    return None


def _holds_no_secret(failure):
    assert failure.sentence.endswith(".")
    assert failure.next_step.endswith(".")
    shown = f"{failure} {failure!r} {failure.args}"
    for secret in (KEY, "sk-", "5f1e7a2b"):
        assert secret not in shown
    # A traceback in the log follows these.
    assert failure.__cause__ is None
    assert failure.__context__ is None or isinstance(failure.__context__, errors.ModelError)


@pytest.mark.parametrize("call", CALLS)
async def test_a_service_that_hangs_is_left(server, call):
    server.then = server.hang
    service = ModelService(Endpoint(server.base_url, SecretStr(KEY), MODEL), deadline=0.1, wait=tenacity.wait_none())
    # The upload has a longer deadline of its own, but the socket has the common one.
    with pytest.raises(errors.ModelUnavailable) as caught:
        await CALLS[call](service)
    _holds_no_secret(caught.value)
    await service.close()


async def test_a_service_that_drips_is_left(server):
    async def drip(request):
        import asyncio

        from aiohttp import web

        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while not server.release.is_set():
            try:
                await response.write(b" ")
            except ConnectionError:
                break
            await asyncio.sleep(0.02)
        return response

    server.then = drip
    service = ModelService(Endpoint(server.base_url, SecretStr(KEY), MODEL), deadline=0.3, wait=tenacity.wait_none())
    with pytest.raises(errors.ModelUnavailable):
        await CALLS["chat"](service)
    await service.close()


async def test_a_service_that_is_not_there():
    service = ModelService(
        Endpoint("http://127.0.0.1:1/v1", SecretStr(KEY), MODEL), deadline=5, wait=tenacity.wait_none()
    )
    with pytest.raises(errors.ModelUnavailable) as caught:
        await CALLS["get job"](service)
    _holds_no_secret(caught.value)
    await service.close()


@pytest.mark.parametrize("call", sorted(CALLS.keys() - PAID))
async def test_free_calls_are_tried_again(service, server, call):
    server.replies = [html(502), reset, raw(b"")]
    await CALLS[call](service)
    assert len(server.seen) >= 4


def test_every_exception_of_the_sdk_is_explained():
    import httpx2

    from bot.language.failures import explain

    request = httpx2.Request("POST", "https://host.example/v1/x?key=secret", headers={"Authorization": f"Bearer {KEY}"})
    kinds = [
        kind
        for kind in vars(openai._exceptions).values()
        if isinstance(kind, type) and issubclass(kind, openai.OpenAIError)
    ]
    assert len(kinds) > 15
    for kind in kinds:
        failure = explain(_made(kind, request), "OpenAI")
        assert isinstance(failure, errors.ModelError), kind
        _holds_no_secret(failure)


def _made(kind, request):
    import httpx2

    if issubclass(kind, openai.APIStatusError):
        code = {openai.InternalServerError: 500, openai.APIStatusError: 418}.get(kind) or getattr(
            kind, "status_code", 401
        )
        response = httpx2.Response(code, request=request, text=KEY)
        if kind.__name__ == "OAuthError":
            return kind(response=response, body={"error": KEY, "error_description": KEY})
        return kind(KEY, response=response, body={"message": KEY})
    made = kind.__new__(kind)
    made.args = (KEY,)
    return made
