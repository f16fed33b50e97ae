"""How a service's own words are passed on, and how its waiting times are read."""

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import errors
from bot.language import tuning
from bot.language.failures import DEFAULT_RETRY_AFTER, LONGEST_QUOTE, presentable
from tests.language.conftest import KEY, error, html, status


async def test_a_refusal_quotes_the_services_reason(service, server):
    server.then = error(400, "Line 3:\n  'messages' is\u0007 missing.", name="invalid_file")
    with pytest.raises(errors.ModelRefused) as caught:
        await tuning.get_job(service, "ftjob-1")
    assert caught.value.status == 400
    assert caught.value.code == "invalid_file"
    assert caught.value.sentence == "127.0.0.1 refused the request (status 400): “Line 3: 'messages' is missing”."


@pytest.mark.parametrize("reply", [html(400), status(400, {"message": 5}), status(400, ["x"]), status(400, "text")])
async def test_anything_but_a_json_message_is_not_quoted(service, server, reply):
    server.then = reply
    with pytest.raises(errors.ModelRefused) as caught:
        await tuning.get_job(service, "ftjob-1")
    assert caught.value.sentence == "127.0.0.1 refused the request (status 400)."


async def test_what_a_service_never_learned_is_a_refusal_and_not_asked_again(service, server):
    server.then = error(501, "Not implemented.")
    with pytest.raises(errors.ModelRefused) as caught:
        await tuning.get_job(service, "ftjob-1")
    assert caught.value.status == 501
    assert len(server.seen) == 1


async def test_a_strange_code_is_dropped(service, server):
    server.then = error(400, "No.", name="<script> sk-123456789")
    with pytest.raises(errors.ModelRefused) as caught:
        await tuning.get_job(service, "ftjob-1")
    assert caught.value.code is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Incorrect key sk-proj-abc***xyz given", "Incorrect key [hidden] given"),
        ("Authorization: Bearer abc.def/ghi== was", "Authorization: [hidden] was"),
        ("api_key=abcdef is wrong", "[hidden] is wrong"),
        ("token " + "a1" * 30, "token [hidden]"),
        ("see https://host.example/path?key=1&b=2 there", "see https://host.example/path there"),
        ("File file-AbCdEfGhIjKlMnOpQrStUv is broken", "File file-AbCdEfGhIjKlMnOpQrStUv is broken"),
        ("The model gpt-4.1-mini-2025-04-14 is gone", "The model gpt-4.1-mini-2025-04-14 is gone"),
        ("own-secret here", "[hidden] here"),
        ("[log in](https://evil.example) first", "[log in] (https://evil.example) first"),
    ],
)
def test_presentable(text, shown):
    assert presentable(text, "own-secret") == shown


@given(st.text(), st.text())
def test_a_quote_is_one_short_line_without_the_key(before, after):
    shown = presentable(f"{before}{KEY}{after}", KEY)
    assert KEY not in shown
    assert len(shown) <= LONGEST_QUOTE
    assert "\n" not in shown
    assert all(letter.isprintable() for letter in shown)


@pytest.mark.parametrize(
    ("code", "kind", "sentence", "where"),
    [
        ("insufficient_quota", "insufficient_quota", "no credit left", "Add credit or raise the spending limit"),
        (None, "insufficient_quota", "no credit left", "Add credit or raise the spending limit"),
        ("credit_balance_exhausted", "insufficient_quota", "no credit left", "billing page"),
        ("organization_spend_limit_exceeded", "insufficient_quota", "A spending limit that was set", "limits page"),
        ("project_spend_limit_exceeded", "tokens", "A spending limit that was set", "limits page"),
        ("organization_usage_limit_exceeded", None, "what it may use in a month", "limits page"),
    ],
)
async def test_who_has_to_pay_is_told_where(service, server, code, kind, sentence, where):
    server.then = status(429, {"error": {"message": "No.", "type": kind, "code": code}})
    with pytest.raises(errors.ModelQuotaExhausted, match=sentence) as caught:
        await tuning.get_job(service, "ftjob-1")
    assert where in caught.value.next_step


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": formatdate(time.time() - 60, usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, DEFAULT_RETRY_AFTER),
        ({"retry-after": "-3"}, DEFAULT_RETRY_AFTER),
        ({"retry-after": "nan"}, DEFAULT_RETRY_AFTER),
        ({"retry-after": "1e30"}, 86_400.0),
        ({}, DEFAULT_RETRY_AFTER),
    ],
)
async def test_how_long_to_wait(service, server, headers, seconds):
    server.then = error(429, "Slow.", name="rate_limit_exceeded", headers=headers)
    with pytest.raises(errors.ModelRateLimited) as caught:
        await tuning.get_job(service, "ftjob-1")
    assert caught.value.retry_after == seconds


async def test_a_date_to_wait_for(service, server):
    server.then = error(429, "Slow.", headers={"retry-after": formatdate(time.time() + 600, usegmt=True)})
    with pytest.raises(errors.ModelRateLimited) as caught:
        await tuning.get_job(service, "ftjob-1")
    assert 500 < caught.value.retry_after <= 600
