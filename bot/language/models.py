"""What a service says about a model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from bot.errors import ModelRefused
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


class _Models(msgspec.Struct):
    data: list[_Model]


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


async def find_model(service: ModelService) -> ModelCard | None:
    """As `describe_model`; None where the service says that it has no such model.

    A 404 alone does not say so: llama.cpp and vLLM have no page for one model, but a list of theirs.

    Raises:
        ModelError: the service does not tell.
    """
    try:
        return await describe_model(service)
    except ModelRefused as refusal:
        if refusal.status != HTTPStatus.NOT_FOUND:
            raise
        if refusal.code == "model_not_found":  # OpenAI's own code
            return None

    return next((card for card in await list_models(service) if card.id == service.endpoint.model), None)


async def list_models(service: ModelService) -> tuple[ModelCard, ...]:
    """Every model that the service shows to this key. Free.

    Raises:
        ModelError: the service did not answer usefully.
    """

    async def send(client: AsyncOpenAI) -> RawAnswer:
        return await client.models.with_raw_response.list()

    listed = (await service.ask(send, _Models)).value.data
    return tuple(ModelCard(each.id, _date(each.shutdown_date)) for each in listed)


def _date(value: object) -> date | None:
    # A date, or a date with a time after it: the shape is not promised.
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None
