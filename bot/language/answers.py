"""Reading what model services answer: lists that come in pages, and values that may be anything."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec

from bot.language.endpoint import ModelService, RawAnswer

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_PAGE_SIZE = 100
_MOST_PAGES = 100  # a bound for a service whose pages never end

T = TypeVar("T")


class _Page(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool | None = None


class _Identified(msgspec.Struct):
    id: str


async def all_pages(
    service: ModelService, page: Callable[[Mapping[str, object], AsyncOpenAI], Awaitable[RawAnswer]]
) -> list[msgspec.Raw]:
    """The items of a list that comes in pages, each page asked for by the last id of the one before.

    Raises:
        ModelError: the service did not answer usefully.
    """
    items: list[msgspec.Raw] = []
    query: dict[str, object] = {"limit": _PAGE_SIZE}
    seen: set[str] = set()
    for _ in range(_MOST_PAGES):
        answer = (await service.ask(partial(page, dict(query)), _Page)).value
        items += answer.data
        last = decoded(answer.data[-1], _Identified) if answer.data else None
        if not answer.has_more or last is None or last.id in seen:
            break
        seen.add(last.id)
        query["after"] = last.id
    return items


def decoded(raw: msgspec.Raw | bytes, into: type[T]) -> T | None:
    """One item of a list; None for one that makes no sense, which must not hide those that do."""
    try:
        return msgspec.json.decode(raw, type=into)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def mapping(value: object) -> Mapping[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def text(value: object) -> str | None:
    return value or None if isinstance(value, str) else None
