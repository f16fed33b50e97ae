"""A page that follows running jobs by itself, in which a person's press is never refused because of that.

simcord draws its page anew after the page's own actions only, so somebody has to ask for it while a job goes on. But
it takes one operation at a time (a press during a redraw leaves the page stuck at "outcome uncertain"), and it refuses
a press from a page that has not seen the newest drawing yet, which is half of all presses while a job goes on. So
redraws and presses take turns here, and a press counts if what it presses looks as it did for the person.
"""

# simcord has no public seam for this: the two private names that are used stand in `_Inside`.
# ruff: noqa: SLF001
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, cast

from simcord.backend.errors import SetupError
from simcord.env import Env
from simcord.preview import Preview

_LOOK_SECONDS: Final = 0.5
_REDRAW_SECONDS: Final = 10.0  # even when nothing happened: the page says how long ago, and how long yet
_REMEMBERED: Final = 40  # drawings of each page: the page looks for a new one every half second

_Messages = Mapping[str, Mapping[str, object]]
_Act = Callable[[str | None, Any], Awaitable[dict[str, Any]]]


class _Page(Protocol):
    revision: int
    snapshot: Mapping[str, _Messages]


class _Inside(Protocol):
    """What we use of a preview's inside."""

    _action: _Act
    _pages: Mapping[str, _Page]


class LivePage:
    """Redraws a preview when the bot did something, and lets people's presses wait for their turn."""

    def __init__(self, env: Env, preview: Preview) -> None:
        self._env = env
        self._preview = preview
        self._turn = asyncio.Lock()
        self._drawn: dict[str, dict[int, _Messages]] = {}
        """The messages of each page as they were drawn, by revision."""
        self._inside = cast("_Inside", preview)
        self._act = self._inside._action
        self._inside._action = self._take_turn

    async def follow(self) -> None:
        """Redraw for as long as the preview is open."""
        drawn, drawn_at = -1, 0.0
        while True:
            now = len(self._env.http_requests)
            if now != drawn or time.monotonic() - drawn_at > _REDRAW_SECONDS:
                await self.redraw()
                drawn, drawn_at = now, time.monotonic()
            await asyncio.sleep(_LOOK_SECONDS)

    async def redraw(self) -> None:
        """Redraw once, when it is our turn."""
        async with self._turn:
            self._remember()
            set_clock(self._env)
            try:
                await self._preview.refresh()
            except (SetupError, TimeoutError):
                return  # the bot is in the middle of something that takes its time; the next round shows it
            self._remember()

    def _remember(self) -> None:
        drawn: dict[str, dict[int, _Messages]] = {}
        for identifier, page in self._inside._pages.items():
            before = list(self._drawn.get(identifier, {}).items())[-_REMEMBERED:]
            drawn[identifier] = {**dict(before), page.revision: page.snapshot.get("messages", {})}
        self._drawn = drawn

    async def _take_turn(self, context_id: str | None, body: Any) -> dict[str, Any]:
        async with self._turn:
            self._remember()
            drawn = self._drawn.get(context_id or "", {})
            match body:
                case {"published_revision": int(revision), **rest} if revision in drawn:
                    newest, target = max(drawn), str(rest.get("target_id"))
                    if _components(drawn[revision], target) == _components(drawn[newest], target):
                        body = {**rest, "published_revision": newest}
                case _:
                    pass  # simcord says what is wrong with it
            return await self._act(context_id, body)


def set_clock(env: Env) -> None:
    """Let Discord's clock show the time of day: simcord's begins in 2026, and stands still."""
    env.backend.advance_clock(max(0.0, time.time() - env.now().timestamp()))


def _components(messages: _Messages, target: str) -> object:
    return messages[target].get("components") if target in messages else None
