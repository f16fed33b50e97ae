"""Notices what somebody changes in config.toml while the bot runs, and puts into effect what may be.

The bot writes the same file. So what it says is held against what it said before, not against the settings in force:
an option that only the environment sets, say, stands there with another value, and nobody has edited anything.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from bot.config import (
    NEEDS_RESTART,
    option_text,
    options,
    parse_options,
    places,
    read_options,
    with_options,
)
from bot.drafts import Person
from bot.errors import SettingsError
from bot.live_settings import LiveSettings
from bot.store.audit import record
from bot.store.database import Database

THE_FILE = Person(0, "the file")
"""Whoever edited config.toml is not known to the bot."""
_MOST_EDITS = 20  # that wait to be told of: with Discord away for a week, the newest are worth more


@dataclass(frozen=True, slots=True)
class Changed:
    """An option that was edited; both values are as config.toml writes them, of a secret only whether it is set."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Edit:
    """What came of one edit of the file."""

    used: tuple[Changed, ...] = ()
    """In effect now."""
    later: tuple[Changed, ...] = ()
    """In effect from the next start on."""
    overruled: tuple[tuple[str, str], ...] = ()
    """Without effect: the option, and the place that wins over the file."""
    problems: tuple[str, ...] = ()
    """What is wrong, in the model's own words; there the old value stays."""
    at: float = 0.0
    """When it was noticed, in unix seconds."""

    @property
    def is_empty(self) -> bool:
        return not (self.used or self.later or self.overruled or self.problems)


_Signature = tuple[int, int, int]


class SettingsWatch:
    """Looks at the file every few seconds. `edits` are those that nobody has been told of yet."""

    def __init__(
        self,
        live: LiveSettings,
        *,
        database: Callable[[], Database],
        clock: Callable[[], float],
        every: float,
    ) -> None:
        """`every` is in seconds. What the bot itself writes is known from now on by `live.writing`."""
        self._live = live
        live.writing = self.writing
        self._database = database
        self._clock = clock
        self._every = every
        self._turn = asyncio.Lock()
        self._seen: dict[str, object] = {}
        self._last: _Signature | None = None
        self._read: _Signature | None = None
        self.problems: tuple[str, ...] = ()
        """What is wrong with the file as it stands."""
        self.edits: deque[Edit] = deque(maxlen=_MOST_EDITS)

    async def begin(self) -> None:
        """Take the file as it is for what the settings were read from."""
        self._read = self._last = await asyncio.to_thread(self._signature)
        self._seen = await asyncio.to_thread(self._what_it_says) or {}

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[None]:
        """Around every change that the bot makes to the file itself."""
        async with self._turn:
            before = await asyncio.to_thread(self._what_it_says)
            try:
                yield
            finally:
                after = await asyncio.to_thread(self._what_it_says)
                if before is not None and after is not None:
                    self._seen |= {name: v for name, v in after.items() if not _is_same(before.get(name), v)}

    async def look(self) -> float:
        """Take in what was edited. Returns when to look again, in unix seconds."""
        signature = await asyncio.to_thread(self._signature)
        is_settled = signature == self._last  # an editor may be in the middle of writing it
        self._last = signature
        if is_settled and signature is not None and signature != self._read:
            await self._take_in()
            self._read = signature
        return self._clock() + self._every

    async def _take_in(self) -> None:
        async with self._turn:
            edit, values, said = await asyncio.to_thread(self._judge)
            # Within the turn: what the bot writes after this is newer, and must not be undone by it. The audit comes
            # after it, since a change from Discord writes the file inside a transaction.
            self._live.use(values)
            self._seen |= said
        if edit.used or edit.later:
            async with self._database().write() as connection:
                for each in (*edit.used, *edit.later):
                    await record(
                        connection,
                        THE_FILE,
                        "edited in config.toml",
                        each.name,
                        now=self._clock(),
                        before=each.before,
                        after=each.after,
                    )
        known, self.problems = self.problems, edit.problems
        news = tuple(problem for problem in edit.problems if problem not in known)
        edit = replace(edit, problems=news, at=self._clock())
        if not edit.is_empty:
            self.edits.append(edit)

    def _judge(self) -> tuple[Edit, dict[str, object], dict[str, object]]:
        """What came of the last edit, the values to use from now on, and what the file says. Blocks on the disk."""
        try:
            written = read_options(self._live.path)
        except SettingsError as error:
            return Edit(problems=error.problems), {}, {}
        said = _with_defaults(written)
        changed = [name for name in said if not _is_same(self._seen.get(name), said[name])]
        settings, values = self._live.settings, dict[str, object]()
        found = places(settings, self._live.path, self._live.overrides)
        elsewhere = {
            name: found[name] for name in changed if found.get(name, self._live.path.name) != self._live.path.name
        }
        used: list[Changed] = []
        later: list[Changed] = []
        for name in changed:
            try:
                parsed = parse_options({name: said[name]})
            except SettingsError:
                continue  # it is among the problems below
            if name in elsewhere:
                continue
            each = Changed(name, option_text(settings, name), option_text(with_options(settings, parsed), name))
            if options()[name].is_secret:
                later.append(each)
            elif each.before == each.after:
                continue
            elif name in NEEDS_RESTART:
                later.append(each)
            else:
                used.append(each)
                values |= parsed
        return Edit(tuple(used), tuple(later), tuple(elsewhere.items()), _problems_in(said)), values, said

    def _what_it_says(self) -> dict[str, object] | None:
        """Every option with its value in the file, or its default; None where the file cannot be read."""
        try:
            return _with_defaults(read_options(self._live.path))
        except SettingsError:
            return None

    def _signature(self) -> _Signature | None:
        try:
            status = os.stat(self._live.path)  # noqa: PTH116 - a link counts as what it leads to
        except OSError:
            return None  # an editor may be exchanging it; without a file what is in force stays so
        return status.st_mtime_ns, status.st_size, status.st_ino


def _with_defaults(written: Mapping[str, object]) -> dict[str, object]:
    return {option.name: option.default for option in options().values()} | dict(written)


def _problems_in(said: Mapping[str, object]) -> tuple[str, ...]:
    found: list[str] = []
    known = {name: value for name, value in said.items() if name in options()}
    for values in (known, {name: value for name, value in said.items() if name not in options()}):
        try:
            parse_options(values)
        except SettingsError as error:
            found += error.problems
    return tuple(found)


def _is_same(one: object, other: object) -> bool:
    return json.dumps(one, default=str) == json.dumps(other, default=str)
