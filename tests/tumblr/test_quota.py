"""The governor: what it lets through, what it holds back, and for how long."""

import threading

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.errors import TumblrBlocked, TumblrError, TumblrQuotaReached
from bot.tumblr.quota import (
    ASSUMED_WAIT,
    BLOCK_SECONDS,
    LONGEST_ASSUMED_WAIT,
    MINUTE_CALLS,
    RESERVED,
    Governor,
    GovernorState,
    Quota,
)
from bot.tumblr.transport import Answer, NoAnswer

START = 1_700_000_000.0
PAGE = b"\n<!DOCTYPE html><html>Access denied</html>"
OK = Answer(200, {}, b"{}")
LIMIT = Answer(429, {}, b"{}")
LOST = NoAnswer(sent=True, reason="closed the connection")


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def governor(clock):
    return Governor(clock)


def window(name, remaining, reset, limit=None):
    values = {"Limit": limit, "Remaining": remaining, "Reset": reset}
    return {f"X-Ratelimit-{name}-{what}": str(value) for what, value in values.items() if value is not None}


def hour(remaining, reset=1800, limit=1000):
    return window("Perhour", remaining, reset, limit)


def day(remaining, reset=40_000, limit=5000):
    return window("Perday", remaining, reset, limit)


def told(headers, status=200):
    return Answer(status, headers, b"{}")


def call(governor, outcome=OK, keep_back=0):
    governor.take(keep_back)
    return governor.learn(outcome)


def refused(governor, keep_back=0, error=TumblrQuotaReached):
    """Until when the next call is refused."""
    with pytest.raises(TumblrError) as caught:
        governor.take(keep_back)
    assert type(caught.value) is error
    return caught.value.retry_at


# --- the minute -----------------------------------------------------------------------------------------------


def test_300_calls_in_any_minute(governor, clock):
    for number in range(MINUTE_CALLS):
        clock.now = START + number / 10
        call(governor)
    assert refused(governor) == START + 60
    clock.now = START + 60
    call(governor)  # only the first call is a minute ago
    assert refused(governor) == START + 60.1


def test_bulk_readers_leave_a_tenth_of_the_minute(governor):
    for _ in range(MINUTE_CALLS - 30):
        call(governor, keep_back=RESERVED)
    assert refused(governor, keep_back=RESERVED) == START + 60
    for _ in range(30):
        call(governor)
    assert refused(governor) == START + 60


def test_a_clock_that_is_set_back_stops_nothing_for_longer_than_a_minute(governor, clock):
    for _ in range(MINUTE_CALLS):
        call(governor)
    clock.now -= 7200
    assert refused(governor) == clock.now + 60
    clock.now += 60
    call(governor)


# --- the hour and the day -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("headers", "until"), [(hour(0), START + 1800), (day(0), START + 40_000)])
def test_what_is_used_up_stops_everything_until_the_reset(governor, clock, headers, until):
    call(governor, told(headers))
    assert refused(governor) == until
    clock.now = until - 1
    refused(governor)
    clock.now = until
    call(governor)


def test_of_several_reasons_the_longest_is_told(governor):
    call(governor, told(hour(0) | day(0)))
    assert refused(governor) == START + 40_000


def test_the_reserve_is_for_approvals(governor):
    call(governor, told(hour(RESERVED + 1)))
    call(governor, LOST, keep_back=RESERVED)
    with pytest.raises(TumblrQuotaReached, match="kept for approvals") as caught:
        governor.take(RESERVED)
    assert caught.value.retry_at == START + 1800
    for _ in range(RESERVED):
        call(governor, LOST)
    with pytest.raises(TumblrQuotaReached, match="limit on calls is reached"):
        governor.take(RESERVED)
    refused(governor)


def test_calls_that_are_under_way_count(governor):
    call(governor, told(hour(3)))
    for _ in range(3):
        governor.take(0)
    refused(governor)
    governor.learn(told(hour(2)))  # two of the three are still under way
    refused(governor)
    governor.learn(told(hour(1)))
    refused(governor)
    governor.learn(told(hour(1)))
    governor.take(0)


@pytest.mark.parametrize(("limit", "kept"), [(5, 0), (40, 4), (499, 49), (1000, 50), (5000, 50)])
def test_of_a_small_window_a_tenth_is_kept(governor, limit, kept):
    call(governor, told(hour(kept + 1, limit=limit)))
    call(governor, LOST, keep_back=RESERVED)
    refused(governor, keep_back=RESERVED)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        hour(0, reset=None),  # nobody knows until when
        hour(0, reset=0),
        hour(0, reset=-30),
        hour(None, reset=1800),
        hour("none", reset=1800),
        hour(0, reset="soon"),
        hour(10**30, reset=1800),
    ],
)
def test_what_is_not_known_holds_nothing_back(governor, headers):
    call(governor, told(headers))
    call(governor, keep_back=RESERVED)


@pytest.mark.parametrize("limit", [None, 0, -1, "many"])
def test_a_limit_that_is_none_leaves_the_usual_one(governor, limit):
    call(governor, told(hour(RESERVED, limit=limit)))
    refused(governor, keep_back=RESERVED)


def test_a_negative_remainder_is_none(governor):
    call(governor, told(hour(-3)))
    assert refused(governor) == START + 1800


def test_a_window_that_has_passed_is_unknown(governor, clock):
    call(governor, told(hour(1, reset=10)))
    call(governor)
    refused(governor)
    clock.now += 10
    for _ in range(20):
        call(governor, LOST, keep_back=RESERVED)
    call(governor, told(hour(0)))
    refused(governor)


def test_what_is_told_is_kept_as_it_was_told(governor):
    assert governor.quota == Quota()
    call(governor, told(hour(900) | day(4000)))
    call(governor)
    assert governor.quota == Quota(900, START + 1800, 4000, START + 40_000, 1000, 5000)


# --- pauses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, ASSUMED_WAIT),
        (hour(900) | day(4000), ASSUMED_WAIT),  # the limit per address: plenty is left of the key's
        (hour(0), 1800),
        (day(0), 40_000),
        (hour(0) | day(0), 40_000),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "7"} | hour(900), 7),
        ({"Retry-After": "7"} | hour(0), 1800),  # what is used up stays so, whatever else is said
        ({"Retry-After": "soon"}, ASSUMED_WAIT),
    ],
)
def test_after_a_429(governor, clock, headers, seconds):
    assert call(governor, told(headers, 429)) == START + seconds
    assert governor.held_until == START + seconds
    assert refused(governor) == START + seconds
    clock.now += seconds
    assert governor.held_until is None
    call(governor)


def test_refusals_that_follow_each_other_double_the_pause(governor, clock):
    pauses = []
    for _ in range(7):
        until = call(governor, LIMIT)
        pauses.append(until - clock.now)
        clock.now = until
    assert pauses == [60, 120, 240, 480, 900, 900, 900]
    assert LONGEST_ASSUMED_WAIT == 900
    call(governor, OK)
    assert call(governor, LIMIT) == clock.now + 60


def test_refusals_of_calls_that_were_under_way_together_are_one(governor, clock):
    for _ in range(5):
        governor.take(0)
    assert {governor.learn(LIMIT) for _ in range(4)} == {START + 60}
    governor.learn(OK)  # to a call from before the pause: it says nothing about now
    clock.now += 60
    assert call(governor, LIMIT) == clock.now + 120


@pytest.mark.parametrize("between", [LOST, Answer(500, {}, b""), told({"Retry-After": "1"}, 429)])
def test_only_a_success_ends_the_doubling(governor, clock, between):
    clock.now = call(governor, LIMIT)
    clock.now = call(governor, between) or clock.now
    assert call(governor, LIMIT) == clock.now + 120


@pytest.mark.parametrize("status", [403, 429])
def test_after_a_block_page_nothing_is_sent_for_an_hour(governor, clock, status):
    assert call(governor, Answer(status, {"Retry-After": "1"}, PAGE)) == START + BLOCK_SECONDS
    assert refused(governor, error=TumblrBlocked) == START + BLOCK_SECONDS
    assert refused(governor, keep_back=RESERVED, error=TumblrBlocked) == START + BLOCK_SECONDS
    clock.now += BLOCK_SECONDS
    call(governor)


@pytest.mark.parametrize(
    "answer", [Answer(403, {}, b'{"meta":{}}'), Answer(502, {}, PAGE), Answer(404, {}, PAGE), Answer(200, {}, PAGE)]
)
def test_what_is_no_block(governor, answer):
    assert call(governor, answer) is None
    call(governor)


def test_it_tells_when_a_pause_or_a_block_begins(governor, clock):
    begun = []
    # The lock is not held: whoever listens may ask for the state.
    governor.changed = lambda: begun.append((governor.state().held_until, governor.state().blocked_until))
    for _ in range(3):
        governor.take(0)
    governor.learn(OK)
    governor.learn(LIMIT)
    governor.learn(LIMIT)  # of the same pause
    assert begun == [(START + 60, None)]
    clock.now += 60
    call(governor, Answer(403, {}, PAGE))
    assert begun[1:] == [(START + 60, clock.now + BLOCK_SECONDS)]


# --- over a restart -------------------------------------------------------------------------------------------


def restarted(governor, clock):
    fresh = Governor(clock)
    fresh.restore(msgspec.json.decode(msgspec.json.encode(governor.state()), type=GovernorState))
    assert fresh.state() == governor.state()
    return fresh


def test_a_new_one_knows_nothing():
    assert Governor().state() == GovernorState()
    assert msgspec.json.decode(b"{}", type=GovernorState) == GovernorState()


def test_a_restart_ends_neither_pause_nor_block_nor_doubling(governor, clock):
    call(governor, LIMIT)
    governor = restarted(governor, clock)
    assert refused(governor) == START + 60
    clock.now += 60
    governor = restarted(governor, clock)
    assert call(governor, LIMIT) == clock.now + 120
    clock.now += 120
    call(governor, Answer(403, {}, PAGE))
    governor = restarted(governor, clock)
    assert refused(governor, error=TumblrBlocked) == clock.now + BLOCK_SECONDS


def test_a_restart_remembers_what_is_left(governor, clock):
    call(governor, told(hour(RESERVED + 2) | day(4000)))
    governor.take(0)
    governor = restarted(governor, clock)
    call(governor, LOST, keep_back=RESERVED)
    refused(governor, keep_back=RESERVED)


def test_a_state_from_the_future_stops_nothing(clock):
    governor = Governor(clock)
    far = START + 10 * 86_400
    governor.restore(GovernorState(Quota(0, far, 0, far), far, far, 10**9))
    call(governor, LIMIT)
    assert refused(governor) == START + LONGEST_ASSUMED_WAIT


# --- against a simple model -----------------------------------------------------------------------------------


class Model:
    """The rules again, told from all that has happened instead of from what is worth remembering."""

    def __init__(self) -> None:
        self.calls = []
        self.answered = 0
        self.told = {}  # of each window: remaining, reset, limit, calls let through that the remainder has not counted
        self.free_at = 0.0  # the pauses and blocks

    def left(self, name, now):
        remaining, resets_at, limit, uncounted = self.told.get(name, (0, 0, 0, 0))
        return (remaining - len(self.calls) + uncounted, limit) if resets_at > now else None

    def allows(self, now, keep_back):
        lately = sum(call + 60 > now for call in self.calls)
        lefts = [left for name in ("Perhour", "Perday") if (left := self.left(name, now)) is not None]
        return (
            now >= self.free_at
            and MINUTE_CALLS - lately > min(keep_back, 30)
            and all(left > min(keep_back, limit // 10) for left, limit in lefts)
        )


answers = st.one_of(
    st.just(OK),
    st.just(LOST),
    st.builds(
        lambda remaining, reset, limit, which, status: told(window(which, remaining, reset, limit), status),
        st.integers(-2, 120),
        st.integers(-5, 90),
        st.sampled_from([5, 100, 1000]),
        st.sampled_from(["Perhour", "Perday"]),
        st.sampled_from([200, 200, 200, 404, 429]),
    ),
    st.sampled_from([LIMIT, told({"Retry-After": "30"}, 429), Answer(403, {}, PAGE)]),
)
keep_backs = st.sampled_from([0, RESERVED])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("calls"), st.integers(1, 400), keep_backs),
        st.tuples(st.just("answer"), answers, st.just(0)),
        st.tuples(st.just("time"), st.sampled_from([0.25, 1.0, 13.0, 59.0, 61.0, 4000.0]), st.just(0)),
        st.tuples(st.just("wait as told"), st.just(0), keep_backs),
    ),
    max_size=40,
)


@given(steps=steps)
@example(steps=[("calls", 400, 0), ("time", 59.0, 0), ("calls", 400, 0), ("wait as told", 0, 50), ("calls", 400, 50)])
@example(steps=[("calls", 1, 0), ("answer", told(hour(60, 90, 1000)), 0), ("calls", 99, 50), ("wait as told", 0, 50)])
@settings(deadline=None)
def test_it_does_what_the_rules_say(steps):
    clock, model = Clock(), Model()
    governor = Governor(clock)

    def take(keep_back):
        """Until when the call was refused, if it was: as the model says, or the test fails."""
        retry_at = None
        allowed = model.allows(clock.now, keep_back)
        try:
            governor.take(keep_back)
        except (TumblrQuotaReached, TumblrBlocked) as error:
            retry_at = error.retry_at
        else:
            model.calls.append(clock.now)
        assert (retry_at is None) == allowed
        assert retry_at is None or retry_at > clock.now
        return retry_at

    for what, value, keep_back in steps:
        if what == "calls":
            for _ in range(value):
                if take(keep_back) is not None:
                    break
        elif what == "time":
            clock.now += value
        elif what == "wait as told":
            if (retry_at := take(keep_back)) is None:
                continue
            was_blocked = retry_at == governor.state().blocked_until
            clock.now = retry_at
            if (retry_at := take(keep_back)) is not None:
                assert was_blocked  # that hides what else there is; everything else is told at once
                clock.now = retry_at
                assert take(keep_back) is None
        elif model.answered < len(model.calls):
            model.answered += 1
            until = governor.learn(value)
            assert (until is not None) == (isinstance(value, Answer) and value.status in {403, 429})
            if until is not None:
                assert clock.now < until <= clock.now + 86_400
                model.free_at = max(model.free_at, until)
            if isinstance(value, Answer):
                for name in ("Perhour", "Perday"):
                    if f"X-Ratelimit-{name}-Remaining" in value.headers:
                        remaining, reset, limit = (
                            int(value.headers[f"X-Ratelimit-{name}-{part}"]) for part in ("Remaining", "Reset", "Limit")
                        )
                        # What is under way has not been counted by the service.
                        model.told[name] = (remaining, clock.now + reset, limit, model.answered)
    for first, call_time in enumerate(model.calls[MINUTE_CALLS:]):
        assert call_time >= model.calls[first] + 60


def test_threads_share_it(governor):
    let_through = []

    def work():
        for _ in range(100):
            try:
                governor.take(0)
            except TumblrQuotaReached:
                return
            let_through.append(governor.learn(OK))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(let_through) == MINUTE_CALLS
