"""What a call costs, as far as we know: for estimates and for the owner's budget. The bill is the service's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from bot.language.endpoint import on_this_machine

_CHECKED = date(2026, 11, 1)


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens. `training` is None for a model that cannot be tuned."""

    training: float | None
    input: float
    cached: float
    output: float
    checked_on: date


# For models that can be tuned these are the prices of a *tuned* model; the plain model is cheaper, so that an
# estimate for it is on the safe side.
_PRICES = {
    "gpt-4.1": Price(25.00, 3.00, 0.75, 12.00, _CHECKED),
    "gpt-4.1-mini": Price(5.00, 0.80, 0.20, 3.20, _CHECKED),
    "gpt-4o": Price(25.00, 3.75, 1.875, 15.00, date(2024, 10, 1)),  # as announced; not confirmed since
    "gpt-4o-mini": Price(3.00, 0.30, 0.15, 1.20, _CHECKED),
    "gpt-6-luna": Price(None, 0.10, 0.01, 0.50, _CHECKED),
}
_FREE = Price(0.0, 0.0, 0.0, 0.0, _CHECKED)
_CACHED_FROM = 1_024  # tokens: OpenAI caches no shorter beginning of a prompt,
_CACHED_STEP = 128  # and a longer one in such steps
_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_MILLION = 1_000_000


def priced_models(*, tunable: bool = False) -> list[str]:
    """The models whose prices are known; with `tunable` those that can be trained."""
    return [name for name, price in _PRICES.items() if not tunable or price.training is not None]


def price_of(model: str) -> Price | None:
    """The price of a model by its name, its dated name, or the name of a model tuned from it (`ft:base:org:…`)."""
    base = model.split(":")[1] if model.startswith("ft:") else model
    return _PRICES.get(_DATE.sub("", base))


def dearest() -> Price:
    """The highest price of each kind: for a model that is not listed."""
    prices = _PRICES.values()
    return Price(
        max(price.training or 0.0 for price in prices),
        max(price.input for price in prices),
        max(price.cached for price in prices),
        max(price.output for price in prices),
        min(price.checked_on for price in prices),
    )


def price_at(base_url: str, model: str) -> Price:
    """The price of a model at a service.

    A model that is not listed costs nothing on this machine (`localhost`, `127.…`, `::1`: Ollama, llama.cpp, vLLM) and
    the dearest price elsewhere. A listed one keeps its price here too: it can only be a proxy that passes the call on,
    or a stand-in. So a proxy here that renames a paid model is taken to be free: give the model its own name there.
    """
    return price_of(model) or (_FREE if on_this_machine(base_url) else dearest())


def chat_cost(
    model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0, *, base_url: str = ""
) -> float:
    """Dollars for one call, at the price of `price_at`; `cached_tokens` are those of the input that cost less."""
    price = price_at(base_url, model)
    fresh = max(0, input_tokens - cached_tokens)
    return (fresh * price.input + cached_tokens * price.cached + output_tokens * price.output) / _MILLION


@dataclass(frozen=True, slots=True)
class Estimate:
    """What some calls will probably take: tokens in and out together, and US dollars."""

    tokens: int
    dollars: float


def likely_cost(
    model: str, *, same_tokens: int, other_tokens: int, output_tokens: int, calls: int, base_url: str = ""
) -> Estimate:
    """What so many calls soon after one another will take that begin with the same tokens.

    The first call pays for the whole of its input, the later ones less for what the service then has in its cache.
    """
    if calls < 1:
        return Estimate(0, 0.0)
    cached = same_tokens // _CACHED_STEP * _CACHED_STEP if same_tokens >= _CACHED_FROM else 0
    tokens = same_tokens + other_tokens
    first = chat_cost(model, tokens, output_tokens, base_url=base_url)
    later = chat_cost(model, tokens, output_tokens, cached, base_url=base_url)
    return Estimate(calls * (tokens + output_tokens), first + (calls - 1) * later)


def training_price(model: str) -> Price | None:
    """The price of a model that is known to be trainable at a price; None where nothing is known."""
    price = price_of(model)
    return price if price is not None and price.training is not None else None


def training_cost(model: str, tokens: int, epochs: int, price_per_million: float | None) -> float:
    """Dollars for a training of `epochs` times `tokens`, at the owner's own price when there is one."""
    price = price_of(model)
    listed = price.training if price is not None else None
    dollars = next(value for value in (price_per_million, listed, dearest().training, 0.0) if value is not None)
    return tokens * epochs * dollars / _MILLION
