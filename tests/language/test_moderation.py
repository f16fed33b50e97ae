"""Moderation: packing, pacing, splitting, waiting. Nothing lost, nothing twice."""

import asyncio
from contextlib import aclosing

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot import errors
from bot.language.endpoint import Endpoint, ModelService
from bot.language.moderation import COULD_NOT_BE_JUDGED, PROBE, Judgement, Pace, Waiting, calls_at_once, fitting, judge
from tests.language.conftest import KEY, MODEL, answer, error, healthy, judged


def packed(counts, **limits):
    sizes = []
    while sum(sizes) < len(counts):
        sizes.append(fitting(counts[sum(sizes) :], **limits))
    return sizes


@given(st.lists(st.integers(0, 5_000), max_size=200), st.floats(0, 4_000), st.integers(1, 40))
def test_packing_loses_nothing_and_keeps_the_limits(counts, tokens, texts):
    start = 0
    for size in packed(counts, tokens=tokens, texts=texts):
        together = counts[start : start + size]
        assert 1 <= size <= texts
        assert size == 1 or sum(together) <= tokens
        # Nothing that would have gone into the call was left for the next one.
        following = counts[start + size : start + size + 1]
        assert not following or size == texts or sum(together + following) > tokens
        start += size
    assert start == len(counts)


def test_packing_fills_calls():
    assert packed([1_000, 1_000, 1, 5_000, 1], tokens=2_000, texts=32) == [2, 1, 1, 1]
    assert packed([1] * 70, tokens=2_000, texts=32) == [32, 32, 6]


@pytest.mark.parametrize(
    ("limit", "calls"),
    [(1, 1), (10_000, 1), (10_001, 2), (50_000, 2), (50_001, 4), (250_000, 4), (250_001, 8), (10**7, 8), (None, 8)],
)
def test_the_more_the_service_allows_the_more_calls_are_under_way(limit, calls):
    assert calls_at_once(limit) == calls


@given(
    st.integers(100, 500_000),
    st.lists(st.tuples(st.integers(0, 60), st.floats(0, 40)), min_size=1, max_size=60),
)
def test_the_pace_never_passes_the_limit_in_any_minute(limit, calls):
    now = 0.0
    pace = Pace(clock=lambda: now)
    pace.learn({"x-ratelimit-limit-tokens": str(limit)})
    sent = []
    for share, idle in calls:
        tokens = limit * share // 100
        now += idle
        while (delay := pace.delay(tokens)) > 0:
            now += delay
        pace.take(tokens)
        sent.append((now, tokens))
    for start, _ in sent:
        assert sum(tokens for at, tokens in sent if start <= at < start + 60) <= limit * 0.9 + 1e-6


@given(st.integers(1, 10_000))
def test_the_pace_lets_a_giant_through_alone(tokens):
    now = 0.0
    pace = Pace(clock=lambda: now)
    pace.learn({"x-ratelimit-limit-tokens": "10"})
    assert pace.delay(tokens) == 0
    pace.take(tokens)
    assert pace.delay(10) == 60


@pytest.mark.parametrize("header", ["", "0", "-5", "many", "1.5"])
def test_without_a_limit_there_is_no_pace(header):
    pace = Pace(clock=lambda: 0.0)
    pace.learn({"x-ratelimit-limit-tokens": header})
    pace.take(10**9)
    assert pace.delay(10**9) == 0


def test_what_somebody_else_has_used_is_left_to_them_once():
    now = 0.0
    pace = Pace(clock=lambda: now)
    pace.take(1_000)
    told = {"x-ratelimit-limit-tokens": "10000", "x-ratelimit-remaining-tokens": "2000"}
    pace.learn(told)
    assert pace.limit == 10_000
    assert pace.room() == 9_000 - 8_000
    assert pace.delay(1_001) == 60
    now = 60.0
    pace.learn(told)
    assert pace.room() == 9_000, "a service that always says the same would slow us down for ever"


def test_requests_have_a_pace_of_their_own():
    pace = Pace("requests", clock=lambda: 0.0)
    pace.learn(
        {"x-ratelimit-limit-requests": "10", "x-ratelimit-limit-tokens": "1", "x-ratelimit-remaining-tokens": "0"}
    )
    for _ in range(9):
        assert pace.delay(1) == 0
        pace.take(1)
    assert pace.delay(1) == 60


async def test_no_more_requests_are_made_than_the_service_allows(service, server):
    async def limited(request):
        reply = await healthy(request)
        reply.headers["x-ratelimit-limit-requests"] = "5"
        return reply

    server.then = limited
    await collect(service, ["x"])  # the SDK is loaded now
    times = []
    async for step in judge(service, ["x"] * 8, [1] * 8, texts_per_call=1, window=1.0):
        if not isinstance(step, Waiting):
            times += [asyncio.get_running_loop().time()] * len(step)
    assert len(times) == 8
    assert times[4] - times[3] >= 0.3, "after four of five"


async def collect(service, texts, counts=None, **options):
    found: dict[int, Judgement] = {}
    waits: list[Waiting] = []
    async for step in judge(service, texts, counts or [max(1, len(text) // 4) for text in texts], **options):
        if isinstance(step, Waiting):
            waits.append(step)
            continue
        for index, judgement in step:
            assert index not in found, "judged twice"
            found[index] = judgement
    return found, waits


async def collect_until_failure(service, texts, counts):
    got = []
    try:
        async for step in judge(service, texts, counts):
            got += [index for index, _ in step]
    except errors.ModelError as failure:
        return got, failure
    return got, None


async def test_judgements_are_read(service, server):
    found, _ = await collect(service, ["good", "bad", "  \n"])
    assert found[0] == Judgement(flagged=False, scores={"hate": 0.1, "violence": 0.01})
    assert found[1] == Judgement(flagged=True, categories=("hate",), scores={"hate": 0.9, "violence": 0.01})
    assert found[2] == Judgement(flagged=False)
    assert [seen.body for seen in server.seen] == [{"input": ["good", "bad"], "model": "gpt-4.1-mini"}]


async def test_nothing_to_judge(service, server):
    assert await collect(service, []) == ({}, [])
    assert not server.seen


async def test_many_texts_in_token_sized_calls(service, server):
    texts = [f"text {number}" + (" bad" if number % 7 == 0 else "") for number in range(300)]
    found, _ = await collect(service, texts, [100] * 300, in_flight=4)
    assert sorted(found) == list(range(300))
    assert {index for index, judgement in found.items() if judgement.flagged} == set(range(0, 300, 7))
    assert len(server.seen) == 15


async def test_one_call_until_the_limit_is_known_then_as_many_as_allowed(service, server):
    under_way = most = 0
    first = True

    async def slow(request):
        nonlocal under_way, most, first
        under_way += 1
        if first:
            await asyncio.sleep(0.05)
            assert under_way == 1
            first = False
        most = max(most, under_way)
        await asyncio.sleep(0.02)
        under_way -= 1
        return await healthy(request)

    server.then = slow
    await collect(service, ["x"] * 20, [2_000] * 20, in_flight=3)
    assert most == 3


async def test_the_limit_of_the_first_answer_is_kept(service, server):
    async def limited(request):
        reply = await healthy(request)
        reply.headers["x-ratelimit-limit-tokens"] = "5000"
        return reply

    server.then = limited
    found, waits = await collect(service, ["x"] * 5, [2_000] * 5, window=1.0)
    assert len(found) == 5
    assert waits, "the wait was silent"


async def test_a_limit_met_is_shown_and_waited_for(service, server):
    server.replies = [healthy, error(429, "Slow.", name="rate_limit_exceeded", headers={"retry-after-ms": "700"})]
    found, waits = await collect(service, ["x"] * 4, [2_000] * 4, in_flight=1)
    assert len(found) == 4
    assert len(waits) == 1


async def test_no_credit_is_final(service, server):
    server.replies = [healthy]
    server.then = error(429, "Pay.", name="insufficient_quota")
    got, failure = await collect_until_failure(service, ["x"] * 3, [2_000] * 3)
    assert type(failure) is errors.ModelQuotaExhausted
    assert got == [0]


async def test_a_service_that_is_always_too_busy_is_given_up(service, server):
    server.then = error(429, "Slow.", name="rate_limit_exceeded", headers={"retry-after-ms": "1"})
    with pytest.raises(errors.ModelRateLimited):
        await collect(service, ["x"])
    assert len(server.seen) == 8


def at_most(characters, status=413):
    async def reply(request):
        texts = (await request.json())["input"]
        if sum(map(len, texts)) > characters:
            return await error(status, "Too large")(request)
        return await healthy(request)

    return reply


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_is_too_large_is_cut_until_it_fits(service, server, status):
    server.then = at_most(1_000, status)
    texts = ["short", "word " * 900 + "bad", "x" * 3_000, "bad"]
    found, _ = await collect(service, texts, [1, 900, 750, 1])
    assert sorted(found) == [0, 1, 2, 3]
    assert [found[index].flagged for index in range(4)] == [False, True, False, True]
    assert found[1].scores["hate"] == 0.9
    # All of the long text was looked at.
    accepted = [seen.body["input"] for seen in server.seen if sum(map(len, seen.body["input"])) <= 1_000]
    assert sorted(len(text) for texts in accepted for text in texts if set(text) == {"x"}) == [750] * 4


async def test_what_is_larger_than_the_limit_itself_is_cut(service, server):
    async def limited(request):
        if sum(map(len, (await request.json())["input"])) > 1_000:
            headers = {"retry-after-ms": "1"}
            return await error(429, "Request too large", name="rate_limit_exceeded", headers=headers)(request)
        return await healthy(request)

    server.then = limited
    found, _ = await collect(service, ["y" * 3_500])
    assert sorted(found) == [0]


async def test_a_text_that_is_never_taken_is_flagged_and_does_not_stop_the_others(service, server):
    async def picky(request):
        if any("poison" in text for text in (await request.json())["input"]):
            return await error(400, "Invalid input")(request)
        return await healthy(request)

    server.then = picky
    texts = ["poison", "fine", "fine too", "poison " * 200, "bad"]
    found, _ = await collect(service, texts)
    assert sorted(found) == list(range(5))
    for index in (0, 3):
        assert found[index].flagged
        assert COULD_NOT_BE_JUDGED in found[index].categories
    assert not found[1].flagged
    assert found[4].categories == ("hate",)


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_where_only_refused_texts_are_left_another_is_judged_to_see_whose_fault_it_is(service, server, count):
    async def picky(request):
        if any("poison" in text for text in (await request.json())["input"]):
            return await error(400, "Invalid input")(request)
        return await healthy(request)

    server.then = picky
    found, _ = await collect(service, ["poison"] * count)
    assert {each.categories for each in found.values()} == {(COULD_NOT_BE_JUDGED,)}
    assert [text for seen in server.seen for text in seen.body["input"] if "poison" not in text] == [PROBE]


@pytest.mark.parametrize("count", [1, 2, 50])
async def test_a_service_that_refuses_everything_is_left_soon(service, server, count):
    server.then = error(400, "Unknown model")
    with pytest.raises(errors.ModelRefused):
        await collect(service, ["x"] * count)
    assert len(server.seen) <= 12


async def test_a_service_without_moderation_is_named(service, server):
    server.then = error(404, "Not Found")
    with pytest.raises(errors.ModelRefused, match="offers no moderation"):
        await collect(service, ["x"] * 40)
    assert len(server.seen) == 1


async def test_a_model_that_is_not_there_is_another_thing(service, server):
    server.then = error(404, "The model `x` does not exist", name="model_not_found")
    with pytest.raises(errors.ModelRefused, match="does not exist"):
        await collect(service, ["x"])


@pytest.mark.parametrize(
    "results", [[], [judged("x")], [judged("x")] * 3, [{"categories": {}}] * 2, [{"flagged": "no"}] * 2]
)
async def test_an_answer_that_fits_not_the_question_is_nonsense(service, server, results):
    server.then = answer({"results": results})
    with pytest.raises(errors.ModelUnavailable):
        await collect(service, ["x", "y"])


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_closing_ends_the_calls_under_way(server, how):
    # Were a call left alone, it would run into this deadline and be made again.
    service = ModelService(Endpoint(server.base_url, SecretStr(KEY), MODEL), deadline=0.5, wait=tenacity.wait_none())
    under_way = asyncio.Event()

    async def hang(request):
        if len(server.seen) == 4:
            under_way.set()
        return await server.hang(request)

    server.replies = [healthy]
    server.then = hang
    if how == "close":
        async with aclosing(judge(service, ["x"] * 9, [2_000] * 9, in_flight=3)) as steps:
            await anext(steps)
            stopped = asyncio.create_task(anext(steps))
            await under_way.wait()
            stopped.cancel()
            await asyncio.wait([stopped])
    else:
        task = asyncio.create_task(collect(service, ["x"] * 9, [2_000] * 9, in_flight=3))
        await under_way.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    assert len(server.seen) == 4
    assert not [task for task in asyncio.all_tasks() if "_send" in repr(task.get_coro())]
    await service.close()


async def test_what_was_judged_before_a_failure_is_handed_over(service, server):
    server.replies = [healthy]
    server.then = error(401, "No.")
    got, failure = await collect_until_failure(service, ["x"] * 5, [2_000] * 5)
    assert type(failure) is errors.ModelUnauthorized
    assert got == [0]
