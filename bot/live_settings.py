"""The settings in force, and how they change while the bot runs: here, and in config.toml for the next start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

from bot.config import Settings, options, secrets_elsewhere, with_options, write_options
from bot.errors import BotError

_log = logging.getLogger(__name__)


class LiveSettings:
    """`overrides` are the options that the command line names: they win again at the next start."""

    def __init__(self, settings: Settings, path: Path, overrides: Mapping[str, object]) -> None:
        self.settings = settings
        self.path = path
        self.overrides = overrides
        self.writing: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
        """Stands around every write: whoever watches the file must not take it for somebody's edit."""

    def use(self, values: Mapping[str, object]) -> None:
        """Use options (dotted names) from now on, until the process ends."""
        self.settings = with_options(self.settings, values)

    async def choose(self, values: Mapping[str, object]) -> str:
        """Use options from now on, in config.toml too; returns a sentence if that will not last."""
        return await self.lasts(values, written=await self.remember(values))

    async def remember(self, values: Mapping[str, object]) -> bool:
        """Use options from now on; returns whether config.toml has them too: it may be read-only in a container."""
        # Written first: an edit of the same option that is taken in meanwhile is older than this.
        written = await self.write_down(values)
        self.use(values)
        return written

    async def write_down(self, values: Mapping[str, object]) -> bool:
        """Put options into config.toml alone; returns whether that was possible."""
        try:
            async with self.writing():
                await asyncio.to_thread(write_options, self.path, values)
        except (OSError, BotError) as error:
            _log.warning("config.toml could not be brought up to date (%s).", type(error).__name__)
            return False
        return True

    async def lasts(self, values: Mapping[str, object], *, written: bool) -> str:
        """Where the next start will not find these values: a sentence that says so. Else ""."""
        elsewhere = await asyncio.to_thread(secrets_elsewhere, values)
        elsewhere |= {name: f"{options()[name].flag} on the command line" for name in values if name in self.overrides}
        if elsewhere:
            return f"At the next start {' and '.join(elsewhere.values())} wins over this: change it there."
        names = " and ".join(f"`{name}`" for name in values)
        return "" if written else f"config.toml could not be written; set {names} there, or the next start forgets it."
