"""The step for the model service: where it is, its key, and the model that writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from bot.config import Settings, Use, options, parse_options, plain, secrets_elsewhere
from bot.errors import ModelError, ModelUnauthorized
from bot.language.endpoint import Endpoint, ModelService
from bot.language.models import list_models
from bot.setup.asking import TRIES, Load, ask, ask_and_try, complaint, keep_option, keep_secret, show_secrets
from bot.setup.needed import API_KEY, secret_of

KEYS_PAGE = "https://platform.openai.com/api-keys"
ADDRESS = "openai.base_url"
_SECONDS = 30.0
_MOST_SHOWN = 12


def connect_model_service(path: Path, load: Load) -> None:
    settings = load()
    print(f"  {ADDRESS}: {plain(settings.openai.base_url)}")
    is_fixed = API_KEY in show_secrets(settings, API_KEY)
    print()
    if is_fixed:
        print("What is set there wins over what setup could write, so the key is changed there.")
        names = _try(settings.openai.base_url, secret_of(settings, API_KEY))
    else:
        names = _ask_for_key(path, load)
    if names is None:
        return
    if lacks(load(), "generation", names):
        _choose_model(path, load, names)
    settings = load()
    if lacks(settings, "moderation", names):
        model = plain(settings.openai.moderation.model)
        print(f"\nIt has no model {model}, which screens texts. Name a service for that under [openai.moderation]:")
        print("OpenAI, for one, screens for free.")


async def model_names(base_url: str, key: str) -> tuple[str, ...]:
    """The models that a key may use, by a free call.

    Raises:
        ModelError: the service refuses, or gives no usable answer in 30 seconds.
    """
    service = ModelService(Endpoint(base_url, SecretStr(key), ""), deadline=_SECONDS)
    try:
        return tuple(card.id for card in await list_models(service))
    finally:
        await service.close()


def lacks(settings: Settings, use: Use, names: Sequence[str]) -> bool:
    """Whether the service of [openai], which has these models, is used for something and lacks the model for it."""
    endpoint = settings.endpoint(use)
    return endpoint.base_url == settings.openai.base_url and endpoint.model not in names


# --- the address and the key ----------------------------------------------------------------------------------


def _ask_for_key(path: Path, load: Load) -> Sequence[str] | None:
    """The service's models, once it has accepted a key; None where there is no key, or nobody knows."""
    settings = load()
    default = str(options()[ADDRESS].default)
    print("Drafts are written by OpenAI, or by any other service that speaks its API. Ollama on this machine, for one,")
    print("is at http://localhost:11434/v1")
    address = _ask_for_address(settings.openai.base_url)
    current = secret_of(settings, API_KEY) if address == settings.openai.base_url else ""
    if address == default:
        print(f"A key of OpenAI's is made at {KEYS_PAGE}")
    else:
        print("A service that wants no key gets any word for one, such as: none")
    print("Trying it costs nothing. What you paste is not shown.\n")

    async def attempt(key: str) -> Sequence[str]:
        return await model_names(address, key)

    tried = ask_and_try("API key", API_KEY, current, attempt, ModelUnauthorized)
    if tried is None:
        return None
    if tried.found is not None:
        print("The key works.")
    if tried.typed:
        # The key first: cut off between the two, the key that was there before goes to no other service.
        keep_secret(load, API_KEY, tried.typed)
        if address != load().openai.base_url:
            keep_option(path, load, ADDRESS, address)
    return tried.found


def _ask_for_address(current: str) -> str:
    """The address of the service, as the settings spell it."""
    if secrets_elsewhere([ADDRESS]):
        return current
    for _ in range(TRIES):
        typed = ask("The address of another service (Enter keeps the one above): ")
        if not typed:
            return current
        problem = complaint(ADDRESS, typed)
        if not problem:
            return str(parse_options({ADDRESS: typed})[ADDRESS])
        print(problem)
    print("It stays as it is.")
    return current


def _try(address: str, key: str) -> Sequence[str] | None:
    try:
        return asyncio.run(model_names(address, key))
    except ModelError as error:
        print(error)
        return None


# --- the model ------------------------------------------------------------------------------------------------


def _choose_model(path: Path, load: Load, names: Sequence[str]) -> None:
    """Ask for the model that writes, where the service does not have the one that is set."""
    settings = load()
    print(f"\nIt has no model {plain(settings.openai.generation.model)}, which the bot would write with.")
    if not names:
        return
    shown = names[:_MOST_SHOWN]
    more = f", and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    print(f"It has: {', '.join(map(plain, shown))}{more}.")
    for _ in range(TRIES):
        answer = ask("The name of the model that shall write (Enter keeps the one that is set): ")
        if not answer:
            return
        if answer in names:
            keep_option(path, load, "openai.generation.model", answer)
            return
        print("It has no model of that name.")
    print("It stays as it is.")
