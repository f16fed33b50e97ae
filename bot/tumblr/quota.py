"""Tumblr's limits on calls: one governor for all calls of the account.

It says before each call whether it may be sent, and learns from each answer. It only counts: it never waits or
sleeps, so it may be asked from any thread and from the event loop. Waiting is the caller's, visibly.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from bot.errors import TumblrBlocked, TumblrQuotaReached
from bot.tumblr.transport import Answer, Outcome
from bot.tumblr.values import as_int

MINUTE_CALLS = 300  # per address; no header tells how many are left, so we count ourselves
RESERVED = 50  # calls of the hour and of the day that bulk readers leave for approvals
BLOCK_SECONDS = 3600.0
ASSUMED_WAIT = 60.0  # seconds after a 429 that does not say when to come back: the limit per address is by the minute
LONGEST_ASSUMED_WAIT = 900.0  # seconds
_LONGEST_WAIT = 86_400.0  # seconds; no quota of Tumblr's lasts longer than a day
_MINUTE = 60.0  # seconds
_HOUR_CALLS, _DAY_CALLS = 1000, 5000  # what Tumblr documents, until a header says otherwise

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Quota:
    """What the last answer said is left; times are in unix seconds. None: not said."""

    hour_remaining: int | None = None
    hour_resets_at: float | None = None
    day_remaining: int | None = None
    day_resets_at: float | None = None
    hour_limit: int | None = None
    day_limit: int | None = None


@dataclass(frozen=True, slots=True)
class GovernorState:
    """What a governor has to remember over a restart; times are in unix seconds. The default knows nothing."""

    quota: Quota = Quota()
    held_until: float | None = None
    blocked_until: float | None = None
    assumed_wait: float = ASSUMED_WAIT


def read_quota(headers: Mapping[str, str], now: float) -> Quota:
    """The quota in an answer's headers. `Reset` is in seconds from now; it may be missing or negative."""

    def number(window: str, name: str) -> int | None:
        return as_int(headers.get(f"X-Ratelimit-{window}-{name}"))

    def resets_at(window: str) -> float | None:
        seconds = number(window, "Reset")
        return None if seconds is None else now + min(max(seconds, 0), _LONGEST_WAIT)

    return Quota(
        number("Perhour", "Remaining"),
        resets_at("Perhour"),
        number("Perday", "Remaining"),
        resets_at("Perday"),
        number("Perhour", "Limit"),
        number("Perday", "Limit"),
    )


def quota_reached(retry_at: float, *, reserve: bool = False) -> TumblrQuotaReached:
    """The error for a call that has to wait; with `reserve`, a call that matters more would still be let through."""
    if reserve:
        return TumblrQuotaReached(
            "Tumblr's limit on calls is nearly reached, and the rest is kept for approvals.",
            "Wait until it allows more.",
            retry_at=retry_at,
        )
    return TumblrQuotaReached("Tumblr's limit on calls is reached.", "Wait until it allows more.", retry_at=retry_at)


def blocked(retry_at: float) -> TumblrBlocked:
    """The error for a call that met a block page, or that is not sent because another one did."""
    return TumblrBlocked(
        "Tumblr blocks this machine's address.",
        "The bot sends nothing for an hour; if it stays so after that, run it from another network.",
        retry_at=retry_at,
    )


class Governor:
    """Decides which calls may be sent. Share one among all `Tumblr` objects of an account.

    It keeps to Tumblr's windows of an hour and a day as the headers tell them, to 300 calls in any minute by its own
    count, to the pause after a 429, and to silence after a block page. A window whose reset has passed is unknown,
    and holds nothing back.
    """

    def __init__(self, clock: Callable[[], float] = time.time, *, minute_calls: int = MINUTE_CALLS) -> None:
        """Begin knowing nothing; `minute_calls` is another number only where no Tumblr is at the other end."""
        self.changed: Callable[[], None] | None = None
        """Called, from any thread, when a pause or a block begins: then `state()` is worth keeping."""
        self.clock_ahead: float | None = None
        """How far this machine's clock was ahead of Tumblr's at the last answer, in seconds. None: not told yet."""
        self._clock = clock
        self._lock = threading.Lock()
        self._minute_calls = minute_calls
        self._minute: deque[float] = deque()
        """When the calls of the last minute were let through, oldest first."""
        self._hour = _Window(_HOUR_CALLS)
        self._day = _Window(_DAY_CALLS)
        self._in_flight = 0
        self._held_until: float | None = None
        self._blocked_until: float | None = None
        self._assumed_wait = ASSUMED_WAIT

    def take(self, keep_back: int) -> None:
        """Count a call that is about to be made. Each one that is let through is followed by one `learn`.

        Args:
            keep_back: how many calls of each window are left for others; never more than a tenth of the window, so
                that a small one is not kept back whole.

        Raises:
            TumblrQuotaReached: it may not be made before `retry_at`.
            TumblrBlocked: this machine's address is blocked; nothing is sent before `retry_at`.
        """
        now = self._clock()
        with self._lock:
            blocked_until = _if_ahead(self._blocked_until, now)
            if blocked_until is not None:
                raise blocked(blocked_until)
            free_at = self._free_at(now, keep_back)
            if free_at is not None:
                raise quota_reached(free_at, reserve=self._free_at(now, 0) is None)
            self._minute.append(now)
            self._hour.since += 1
            self._day.since += 1
            self._in_flight += 1

    def learn(self, outcome: Outcome) -> float | None:
        """Take in what became of a call.

        Returns:
            If it is an answer that stops the calls (a 429, a block page): when they go on, in unix seconds.
        """
        now = self._clock()
        with self._lock:
            self._in_flight = max(0, self._in_flight - 1)
            if not isinstance(outcome, Answer):
                return None
            self.clock_ahead = _clock_ahead(outcome.headers, now, self.clock_ahead)
            before = (self._held_until, self._blocked_until)
            quota = read_quota(outcome.headers, now)
            self._hour.learn(quota.hour_remaining, quota.hour_resets_at, quota.hour_limit, self._in_flight)
            self._day.learn(quota.day_remaining, quota.day_resets_at, quota.day_limit, self._in_flight)
            until = self._stopped_until(outcome, now)
            begins = before != (self._held_until, self._blocked_until)
        if begins and until is not None:
            log.warning("Tumblr answered with status %d: no calls for %d seconds.", outcome.status, until - now)
            if self.changed is not None:
                self.changed()
        return until

    def clock_was_set(self, jump: float) -> None:
        """Keep to the pauses that Tumblr asked for, now that the clock shows so many seconds more (or less)."""
        with self._lock:
            self._minute = deque(moment + jump for moment in self._minute)
            for window in (self._hour, self._day):
                window.resets_at = _later(window.resets_at, jump)
            self._held_until = _later(self._held_until, jump)
            self._blocked_until = _later(self._blocked_until, jump)

    @property
    def held_until(self) -> float | None:
        """When the next call that keeps nothing back may be made, in unix seconds; None: now."""
        now = self._clock()
        with self._lock:
            return _if_ahead(self._blocked_until, now) or self._free_at(now, 0)

    @property
    def quota(self) -> Quota:
        """What is left, as the last answer that spoke of it said."""
        with self._lock:
            return self._told(counted=False)

    def state(self) -> GovernorState:
        """What to keep over a restart. The calls of the last minute are not part of it."""
        with self._lock:
            return GovernorState(self._told(counted=True), self._held_until, self._blocked_until, self._assumed_wait)

    def restore(self, state: GovernorState) -> None:
        """Go on from what an earlier governor knew."""
        quota = state.quota
        with self._lock:
            self._hour = _Window(_HOUR_CALLS, quota.hour_limit, quota.hour_remaining, quota.hour_resets_at)
            self._day = _Window(_DAY_CALLS, quota.day_limit, quota.day_remaining, quota.day_resets_at)
            self._held_until = state.held_until
            self._blocked_until = state.blocked_until
            self._assumed_wait = min(max(state.assumed_wait, ASSUMED_WAIT), LONGEST_ASSUMED_WAIT)

    def _told(self, *, counted: bool) -> Quota:
        hour, day = self._hour, self._day
        return Quota(
            hour.left if counted else hour.remaining,
            hour.resets_at,
            day.left if counted else day.remaining,
            day.resets_at,
            hour.limit,
            day.limit,
        )

    def _free_at(self, now: float, keep_back: int) -> float | None:
        """When a call may be made, if not now."""
        times = (
            _if_ahead(self._held_until, now),
            self._hour.free_at(now, keep_back),
            self._day.free_at(now, keep_back),
            self._minute_free_at(now, keep_back),
        )
        return max((moment for moment in times if moment is not None), default=None)

    def _minute_free_at(self, now: float, keep_back: int) -> float | None:
        calls = self._minute
        while calls and calls[0] + _MINUTE <= now:
            calls.popleft()
        if calls and calls[-1] > now:  # the clock was set back
            self._minute = calls = deque(min(call, now) for call in calls)
        allowed = self._minute_calls - min(keep_back, self._minute_calls // 10)
        return None if len(calls) < allowed else calls[len(calls) - allowed] + _MINUTE

    def _stopped_until(self, answer: Answer, now: float) -> float | None:
        """Begin a pause or a block, if this answer asks for one, and say when it ends."""
        held = _if_ahead(self._held_until, now)
        if answer.is_page and answer.status in {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}:
            self._blocked_until = now + BLOCK_SECONDS
            return self._blocked_until
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            # The limit per address shows plenty remaining, so the resets count only for a window that is used up.
            told = (_retry_after(answer.headers, now), self._hour.used_up_until(now), self._day.used_up_until(now))
            until = max((moment for moment in told if moment is not None), default=None)
            if until is not None:
                self._held_until = max(until, held or until)
            elif held is None:
                self._held_until = now + self._assumed_wait
                self._assumed_wait = min(2 * self._assumed_wait, LONGEST_ASSUMED_WAIT)
            # Else: one of several that were under way when the pause began. That is one refusal, not many.
            return self._held_until
        if held is None and HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            # Not during a pause: an answer that comes then is to a call from before it.
            self._assumed_wait = ASSUMED_WAIT
        return None


@dataclass(slots=True)
class _Window:
    """The hour or the day, as the headers tell it."""

    usual: int
    limit: int | None = None
    remaining: int | None = None
    """As the last answer that spoke of this window said."""
    resets_at: float | None = None
    since: int = 0
    """Calls that this answer cannot have counted yet."""

    @property
    def left(self) -> int | None:
        return None if self.remaining is None else self.remaining - self.since

    def learn(self, remaining: int | None, resets_at: float | None, limit: int | None, in_flight: int) -> None:
        if limit is not None and limit > 0:
            self.limit = limit
        if remaining is not None or resets_at is not None:
            self.remaining, self.resets_at, self.since = remaining, resets_at, in_flight

    def free_at(self, now: float, keep_back: int) -> float | None:
        """When a call may be made, if not now."""
        kept = min(keep_back, (self.limit or self.usual) // 10)
        return None if self.left is None or self.left > kept else _if_ahead(self.resets_at, now)

    def used_up_until(self, now: float) -> float | None:
        """When it resets, if the service itself says that nothing is left."""
        return None if self.remaining is None or self.remaining > 0 else _if_ahead(self.resets_at, now)


def _later(moment: float | None, seconds: float) -> float | None:
    return None if moment is None else moment + seconds


def _if_ahead(moment: float | None, now: float) -> float | None:
    """A moment to wait for. One more than a day ahead is none: it is there because the clock was set back."""
    return moment if moment is not None and now < moment <= now + _LONGEST_WAIT else None


def _clock_ahead(headers: Mapping[str, str], now: float, before: float | None) -> float | None:
    """How far `now` is ahead of the time in an answer's headers; what was known before where it has none."""
    try:
        return now - parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, OverflowError):
        return before


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """When the answer says to come back, in unix seconds."""
    told = headers.get("Retry-After", "")
    seconds: float | None = as_int(told)
    if seconds is None and told:
        try:
            seconds = parsedate_to_datetime(told).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return None if seconds is None else now + min(max(seconds, 1.0), _LONGEST_WAIT)
