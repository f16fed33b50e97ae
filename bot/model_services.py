"""The connections to model services: one for each use that the settings name, made anew when the settings change."""

from __future__ import annotations

from collections.abc import Callable

from bot.config import Settings, Use
from bot.errors import NothingToDo
from bot.language.endpoint import Endpoint, ModelService, service_name

_USES: tuple[Use, ...] = ("generation", "fine_tuning", "moderation")


class ModelServices:
    """`settings` gives those in force; a connection whose settings have changed is kept open until `close`."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._open: dict[Use, ModelService] = {}
        self._outdated: list[ModelService] = []

    def use(self, use: Use) -> ModelService:
        """The connection for "generation", "fine_tuning" or "moderation".

        Raises:
            NothingToDo: no API key is set for it.
        """
        options = self._settings().endpoint(use)
        endpoint = Endpoint(options.base_url, options.api_key, options.model)
        known = self._open.get(use)
        if known is not None and known.endpoint == endpoint:
            return known
        if not options.api_key.get_secret_value():
            raise NothingToDo(
                "There is no API key for the model service.",
                f"Set `api_key` under [openai] or [openai.{use}], best as an environment variable.",
            )
        if known is not None:
            self._outdated.append(known)  # somebody may be in the middle of a call
        self._open[use] = ModelService(endpoint)
        return self._open[use]

    def at(self, base_url: str) -> ModelService:
        """The connection to a service by its address, whatever it is used for.

        Raises:
            NothingToDo: the settings name no service there, or no key for it.
        """
        settings = self._settings()
        for use in _USES:
            if settings.endpoint(use).base_url == base_url:
                return self.use(use)
        raise NothingToDo(
            f"The settings name no service at {service_name(base_url)} any more, where this voice lives.",
            f"Set `base_url` under [openai.fine_tuning] to {base_url}, or choose another voice with /voices use.",
        )

    async def close(self) -> None:
        """Close every connection."""
        for service in (*self._open.values(), *self._outdated):
            await service.close()
