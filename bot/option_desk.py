"""What people do about options in Discord: look at one, see a change before it is made, make it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import cast

import aiosqlite

from bot.config import (
    NEEDS_RESTART,
    Option,
    Settings,
    default_text,
    option_text,
    options,
    parse_options,
    places,
    plain,
    read_options,
    secret_places,
    sections,
    settings_text,
    stays_on_machine,
    with_options,
)
from bot.drafts import Person
from bot.errors import NothingToDo, OptionRefused, SettingsError
from bot.live_settings import LiveSettings
from bot.store.audit import record
from bot.store.database import Database
from bot.store.option_offers import OptionOffer, add_option_offer, get_option_offer, settle_option_offer

_DEFAULT = "its default"
_UNCHANGED = "Nothing was changed."


@dataclass(frozen=True, slots=True)
class Explained:
    """An option as it stands. `value` is as config.toml writes it; of a secret only whether it is set."""

    option: Option
    value: str
    default: str
    place: str
    pending: str | None
    """What config.toml says for the next start, where that is something else and a restart is needed."""

    @property
    def needs_restart(self) -> bool:
        return self.option.name in NEEDS_RESTART


@dataclass(frozen=True, slots=True)
class SectionStanding:
    """A section ("" for the top level), and those of its options that do not have their default, as TOML has them."""

    name: str
    description: str
    count: int
    changed: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class OfferedChange:
    """A change before it is made; both values are as config.toml writes them."""

    id: int
    option: Option
    before: str
    after: str

    @property
    def needs_restart(self) -> bool:
        return self.option.name in NEEDS_RESTART


class OptionDesk:
    """Options as people see and change them."""

    def __init__(
        self,
        database: Database,
        live: LiveSettings,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._live = live
        self._clock = clock

    async def change(
        self,
        values: Mapping[str, object],
        person: Person,
        *,
        beside: Callable[[aiosqlite.Connection], Awaitable[None]] | None = None,
    ) -> str:
        """Put options (dotted names) into force and into config.toml; returns a sentence if that will not last.

        Those that need a restart go into config.toml alone. `beside` shares the transaction of the audit rows.

        Raises:
            OptionRefused: a value is not allowed, or needs a restart and config.toml cannot be written; nothing was
                changed.
        """
        try:
            new = parse_options(values)
        except SettingsError as error:
            raise OptionRefused(" ".join(error.problems), _UNCHANGED) from None
        settings = self._live.settings
        changed = with_options(settings, new)
        async with self._database.write() as connection:
            for name in new:
                before, after = option_text(settings, name), option_text(changed, name)
                await record(connection, person, "set option", name, now=self._clock(), before=before, after=after)
            if beside is not None:
                await beside(connection)
            later = {name: value for name, value in new.items() if name in NEEDS_RESTART}
            if later and not await self._live.write_down(later):
                names = " and ".join(f"`{name}`" for name in later)
                raise OptionRefused(f"config.toml could not be written, and {names} needs that.", _UNCHANGED)
        now = {name: value for name, value in new.items() if name not in later}
        written = not now or await self._live.write_down(now)
        self._live.use(now)
        return await self._live.lasts(new, written=written)

    async def explain(self, name: str) -> Explained:
        """All there is to say about an option. Raises OptionRefused where there is no such one."""
        option = _find(name)
        settings = self._live.settings
        found = await asyncio.to_thread(places, settings, self._live.path, self._live.overrides)
        value = option_text(settings, option.name)
        pending = await asyncio.to_thread(self._pending, option, settings) if option.name in NEEDS_RESTART else None
        return Explained(
            option,
            value,
            "" if option.is_secret else default_text(option),
            found.get(option.name, _DEFAULT),
            pending if pending != value else None,
        )

    async def overview(self) -> tuple[list[SectionStanding], str]:
        """Every section, and all options with their values as a file; no secret is in either."""
        settings = self._live.settings
        standings: list[SectionStanding] = []
        for section, description in {"": "The options without a section.", **sections()}.items():
            own = [option for option in options().values() if option.section == section]
            texts = [(option, option_text(settings, option.name)) for option in own]
            changed = tuple(
                (option.name, text)
                for option, text in texts
                if text != ("not set" if option.is_secret else default_text(option))
            )
            standings.append(SectionStanding(section, description, len(own), changed))
        return standings, await asyncio.to_thread(settings_text, settings)

    async def offer(self, name: str, typed: str) -> OfferedChange:
        """Keep a change as somebody typed it, to be looked at and made by a press.

        Raises:
            OptionRefused: there is no such option, it is a secret, or it does not take this.
        """
        return await self._offer(_changeable(name), _read(typed))

    async def offer_default(self, name: str) -> OfferedChange:
        """Keep the way back to the default, as `offer` does."""
        option = _changeable(name)
        return await self._offer(option, option.default)

    async def apply(self, offer_id: int, person: Person) -> tuple[OfferedChange, str]:
        """Make a change that was offered; returns a sentence beside it if it will not last, or "".

        Raises:
            NothingToDo: it was made or cancelled, or the option has changed since.
            OptionRefused: config.toml cannot be written, where only that would help.
        """
        offer = await self._open_offer(offer_id)
        settings = self._live.settings
        if option_text(settings, offer.name) != offer.before:
            raise NothingToDo(f"`{offer.name}` has been changed since this was shown.", "Use /config set again.")

        async def beside(connection: aiosqlite.Connection) -> None:
            if not await settle_option_offer(connection, offer.id, "applied"):
                raise NothingToDo("This change was settled already.", "/config show tells how the option stands.")

        changed = _previewed(settings, offer)
        return changed, await self.change({offer.name: offer.value}, person, beside=beside)

    async def cancel(self, offer_id: int) -> None:
        """Make nothing of a change that was offered. Raises NothingToDo where it was settled already."""
        offer = await self._open_offer(offer_id)
        async with self._database.write() as connection:
            if not await settle_option_offer(connection, offer.id, "cancelled"):
                raise NothingToDo("This change was settled already.", "/config show tells how the option stands.")

    async def _offer(self, option: Option, value: object) -> OfferedChange:
        settings = self._live.settings
        before = option_text(settings, option.name)
        shown = _previewed(settings, OptionOffer(0, option.name, value, before, None))
        async with self._database.write() as connection:
            number = await add_option_offer(connection, option.name, value, before, now=self._clock())
        return OfferedChange(number, option, before, shown.after)

    async def _open_offer(self, offer_id: int) -> OptionOffer:
        offer = await get_option_offer(self._database, offer_id)
        if offer is None or offer.name not in options():
            raise NothingToDo("This change is gone.", "Use /config set again.")
        if offer.outcome is not None:
            raise NothingToDo(f"This change was {offer.outcome} already.", "Use /config set to make another one.")
        return offer

    def _pending(self, option: Option, settings: Settings) -> str | None:
        try:
            written = read_options(self._live.path)
            if option.name not in written:
                return None
            return option_text(with_options(settings, parse_options({option.name: written[option.name]})), option.name)
        except SettingsError:
            return None  # the next start says what is wrong with the file


def _previewed(settings: Settings, offer: OptionOffer) -> OfferedChange:
    try:
        new = parse_options({offer.name: offer.value})
    except SettingsError as error:
        raise OptionRefused(" ".join(error.problems), _UNCHANGED) from None
    after = option_text(with_options(settings, new), offer.name)
    return OfferedChange(offer.id, options()[offer.name], offer.before, after)


def _find(name: str) -> Option:
    name = name.strip().lower()
    option = options().get(name)
    if option is None:
        raise OptionRefused(
            f"There is no option {plain(name)}.", "Choose one of those that are offered while you type."
        )
    return option


def _changeable(name: str) -> Option:
    option = _find(name)
    if option.is_secret:
        raise OptionRefused(
            f"{option.name} is a secret, and secrets are not typed into commands: Discord keeps those.",
            f"/config secret shows how it is replaced. Where it belongs: {secret_places(option)}.",
        )
    if stays_on_machine(option):
        raise OptionRefused(
            f"{option.name} is not changed from Discord: it decides where keys and files go, or who owns the bot.",
            f"Set it in config.toml or as {option.variable}"
            + (
                ", then start the bot again."
                if option.name in NEEDS_RESTART
                else "; an edit of the file is noticed, and takes effect at once."
            ),
        )
    return option


def _read(typed: str) -> object:
    """What was typed; in double quotes as JSON has it, so that an empty text and line breaks can be typed too."""
    text = typed.strip()
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        try:
            return cast("object", json.loads(text))
        except ValueError:
            return typed
    return typed
