"""What a service says about a model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import msgspec

from bot.language.endpoint import ModelService, RawAnswer

if TYPE_CHECKING:
    from openai import AsyncOpenAI


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model that the service has. `shutdown_date` is None when none is announced."""

    id: str
    shutdown_date: date | None


class _Model(msgspec.Struct):
    id: str
    shutdown_date: object = None


async def describe_model(service: ModelService) -> ModelCard:
    """Ask for the endpoint's own model. Free.

    Raises:
        ModelRefused: the service does not have it (status 404).
        ModelError: the service did not answer usefully.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await client.models.with_raw_response.retrieve(service.endpoint.model)

    model = (await service.ask(send, _Model)).value
    return ModelCard(model.id, _date(model.shutdown_date))


def _date(value: object) -> date | None:
    # A date, or a date with a time after it: the shape is not promised.
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None
