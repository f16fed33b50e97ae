"""What the owner does about secrets in Discord: see whether one is set, try it, replace it. None is ever shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bot.account import TumblrAccount
from bot.config import (
    SECRETS_FILE,
    Option,
    Settings,
    Use,
    option_text,
    options,
    parse_options,
    places,
    plain,
    secrets_elsewhere,
    with_options,
    write_secrets,
)
from bot.drafts import Person
from bot.errors import ModelError, ModelUnauthorized, OptionRefused, SettingsError
from bot.language.endpoint import Endpoint, ModelService
from bot.language.models import find_model
from bot.live_settings import LiveSettings
from bot.store.audit import last_act, record
from bot.store.database import Database

_REPLACED = "replace secret"
_UNCHANGED = "Nothing was changed."
_DEADLINE = 15.0  # seconds for one try of a key
_USES: Mapping[str, Use] = {
    "openai.generation.api_key": "generation",
    "openai.fine_tuning.api_key": "fine_tuning",
    "openai.moderation.api_key": "moderation",
}


@dataclass(frozen=True, slots=True)
class SecretStanding:
    """A secret as it stands. `place` says where it is set, "" where it is not; `replaced_at` is in unix seconds."""

    option: Option
    is_set: bool
    place: str
    replaced_at: float | None
    replaced_by: str

    @property
    def is_replaceable(self) -> bool:
        """Whether it is replaced here, while the bot runs."""
        return self.option.name.startswith("openai.")


class SecretDesk:
    """Secrets as the owner meets them."""

    def __init__(
        self,
        database: Database,
        live: LiveSettings,
        *,
        account: TumblrAccount,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._live = live
        self._account = account
        self._clock = clock

    async def standing(self, name: str) -> SecretStanding:
        """How a secret stands. Raises OptionRefused where there is no such one."""
        option = _find(name)
        settings = self._live.settings
        is_set = option_text(settings, option.name) == "set"
        found = await asyncio.to_thread(places, settings, self._live.path, {})
        last = await last_act(self._database, _REPLACED, option.name)
        return SecretStanding(
            option,
            is_set,
            found.get(option.name, "another place") if is_set else "",
            None if last is None else last.at,
            "" if last is None else last.user_name,
        )

    async def test(self, name: str) -> str:
        """Try a secret with a call that is free; returns what came of it. Raises OptionRefused for no such one."""
        option = _find(name)
        settings = self._live.settings
        if option_text(settings, option.name) != "set":
            return f"{option.name} is not set."
        if option.section == "discord":
            return "Discord accepted it when the bot connected, and is asked again at each start."
        if option.section == "tumblr":
            account = await self._account.account()
            if account is None:
                return "No Tumblr account is connected, and only the four secrets together can be tried."
            return f"Tumblr accepts all four of its secrets together, for the account {account.name}."
        try:
            return await _tried(settings, option.name)
        except ModelError as error:
            return str(error)

    async def replace(self, name: str, value: str, person: Person) -> str:
        """Keep another value in the secrets file, and use it from now on; returns what is to be said of it.

        A key that its service does not accept changes nothing; one that could not be tried is taken.

        Raises:
            OptionRefused: there is no such secret, it is not replaced here, or this is no key.
        """
        option = _find(name)
        if not option.name.startswith("openai."):
            raise OptionRefused(f"`{option.name}` is not replaced here.", _UNCHANGED)
        if not value.strip():
            raise OptionRefused("An empty text is no key.", _UNCHANGED)
        try:
            parsed = parse_options({option.name: value})
        except SettingsError as error:
            raise OptionRefused(" ".join(error.problems), _UNCHANGED) from None
        try:
            tried = await _tried(with_options(self._live.settings, parsed), option.name)
        except ModelUnauthorized as error:
            raise OptionRefused(error.sentence, _UNCHANGED) from None
        except ModelError as error:
            tried = f"It could not be tried: {error.sentence}"
        try:
            async with self._database.write() as connection:
                await record(connection, person, _REPLACED, option.name, now=self._clock(), after=SECRETS_FILE)
                await asyncio.to_thread(write_secrets, self._live.settings.data_directory, {option.name: value})
        except SettingsError as error:
            raise OptionRefused(" ".join(error.problems), _UNCHANGED) from None
        self._live.use(parsed)
        elsewhere = await asyncio.to_thread(secrets_elsewhere, [option.name])
        overruled = "".join(
            f" At the next start {place} wins over this: change it there." for place in elsewhere.values()
        )
        return f"It is replaced, and in use from now on. {tried}{overruled}"


def _find(name: str) -> Option:
    option = options().get(name.strip().lower())
    if option is None or not option.is_secret:
        raise OptionRefused(
            f"There is no secret {plain(name)}.", "Choose one of those that are offered while you type."
        )
    return option


async def _tried(settings: Settings, name: str) -> str:
    """Ask the service of a key about a model, which is free. Raises ModelError."""
    given = settings.endpoint(_USES.get(name, "generation"))
    if name not in _USES:  # the one of [openai] goes to the address beside it, whatever each use has of its own
        given = type(given)(settings.openai.base_url, settings.openai.api_key, given.model)
    service = ModelService(Endpoint(given.base_url, given.api_key, given.model), deadline=_DEADLINE)
    try:
        card = await find_model(service)
    finally:
        await service.close()
    missing = "" if card is not None else f" It has no model {given.model}, though."
    return f"{service.name} accepts the key.{missing}"
