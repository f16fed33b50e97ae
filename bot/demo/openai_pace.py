"""Requests and tokens per minute in the OpenAI stand-in: buckets that drain, and their headers."""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.demo.openai_errors import Refusal, too_fast, too_large


@dataclass(slots=True)
class Bucket:
    """What was used of a limit per minute, draining steadily. `unit` is "requests" or "tokens"."""

    unit: str
    used: float = 0.0
    drained_at: float = 0.0

    def check(self, model: str, amount: float, limit: int, now: float) -> None:
        """Raise the 429 for `amount` more at `now` (seconds) under `limit` (per minute); takes nothing."""
        self.used = max(0.0, self.used - max(0.0, now - self.drained_at) * limit / 60)
        self.drained_at = now
        if amount > limit:
            raise too_large(model, self.unit, limit, amount)
        over = self.used + amount - limit
        if over > 0:
            raise too_fast(model, self.unit, limit, self.used, amount, over * 60 / limit)

    def headers(self, limit: int) -> dict[str, str]:
        """The `x-ratelimit-*` headers as they stand after the last `check` or `take`."""
        return {
            f"x-ratelimit-limit-{self.unit}": str(limit),
            f"x-ratelimit-remaining-{self.unit}": str(max(0, int(limit - self.used))),
            f"x-ratelimit-reset-{self.unit}": _duration(self.used * 60 / max(1, limit)),
        }


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be used in a minute."""

    requests: int
    tokens: int


@dataclass(slots=True)
class Pace:
    """The two buckets of one kind of model."""

    requests: Bucket = field(default_factory=lambda: Bucket("requests"))
    tokens: Bucket = field(default_factory=lambda: Bucket("tokens"))

    def take(self, model: str, tokens: int, limits: Limits, now: float) -> dict[str, str]:
        """Count one request of so many tokens; return its headers, or raise the Refusal (which has them as well)."""
        try:
            self.requests.check(model, 1, limits.requests, now)
            self.tokens.check(model, tokens, limits.tokens, now)
        except Refusal as refusal:
            refusal.headers |= self._headers(limits)
            raise
        self.requests.used += 1
        self.tokens.used += tokens
        return self._headers(limits)

    def _headers(self, limits: Limits) -> dict[str, str]:
        return self.requests.headers(limits.requests) | self.tokens.headers(limits.tokens)


def _duration(seconds: float) -> str:
    """Write a duration as OpenAI does: `0s`, `12ms`, `1.25s`, `6m0s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms" if seconds else "0s"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:.3g}s" if minutes else f"{rest:.4g}s"
