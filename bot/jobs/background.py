"""Owns every task that outlives the call it was asked for in."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Coroutine, Iterator
from typing import Any, cast

from bot.errors import BotError, UnexpectedFailure

_log = logging.getLogger(__name__)

# The texts of other libraries' exceptions can hold URLs and headers, and with them keys.
_TEXTS_WITHOUT_KEYS = {"asyncio", "bot", "builtins", "cogs", "msgspec", "sqlite3"}


class Background:
    """Starts coroutines as tasks, logs how they fail, and ends them all.

    The tasks are made by one dispatcher, so that they inherit nothing from whoever asked for them: an interaction of
    Discord's is over long before the work it began.
    """

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[tuple[str, Coroutine[Any, Any, None]]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._dispatcher: asyncio.Task[None] | None = None
        self._stopped = False

    async def start(self) -> None:
        """Begin to start tasks; those asked for earlier start now."""
        self._dispatcher = asyncio.create_task(self._dispatch(), name="background")

    def spawn(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run `coroutine` soon, as a task called `name`; once stopped, never."""
        if self._stopped:
            coroutine.close()
        else:
            self._waiting.put_nowait((name, coroutine))

    async def stop(self) -> None:
        """Cancel everything and wait until it has ended."""
        self._stopped = True
        while not self._waiting.empty():
            _, coroutine = self._waiting.get_nowait()
            coroutine.close()
        tasks = [*self._tasks]
        if self._dispatcher:
            tasks.append(self._dispatcher)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _dispatch(self) -> None:
        while True:
            name, coroutine = await self._waiting.get()
            task = asyncio.create_task(coroutine, name=name)
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, BotError):
            _log.error("%s: %s", task.get_name(), error)
        else:
            report_unexpected(task.get_name(), error)


def report_unexpected(doing: str, error: BaseException) -> UnexpectedFailure:
    """Log `error` with its traceback under a new reference; returns what to show people."""
    failure = UnexpectedFailure()
    _log.error("%s: reference %s\n%s", doing, failure.reference, "".join(_traceback(error)).rstrip())
    return failure


def _traceback(error: BaseException) -> Iterator[str]:
    """The traceback of `error` and of what led to it, the first cause first."""
    seen: set[int] = set()
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    for link in reversed(chain):
        yield from traceback.format_tb(link.__traceback__)
        module = type(link).__module__
        text = f": {link}" if module.partition(".")[0] in _TEXTS_WITHOUT_KEYS else ""
        yield f"{module}.{type(link).__qualname__}{text}\n"
        if isinstance(link, BaseExceptionGroup):
            inner: BaseException
            for inner in cast("BaseExceptionGroup[BaseException]", link).exceptions:
                yield from _traceback(inner)
