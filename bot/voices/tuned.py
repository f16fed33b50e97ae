"""Writing with a tuned model, whichever service tuned it: the words of the training, then the prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from http import HTTPStatus

from bot.errors import ModelRefused, VoiceGone
from bot.language.chat import Message, Written, complete
from bot.language.endpoint import ModelService, service_name
from bot.language.prices import Estimate, chat_cost, likely_cost
from bot.language.tokens import count, count_many
from bot.store import datasets
from bot.store.database import Database
from bot.training import Voice

LONGEST_TEXT_TOKENS = 1_500
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_NOT_SERVED = "model_not_available"  # Together's, for a tuned model that wants an endpoint of its own, which is rented
_TYPICAL_TOKENS = 250  # of a draft, where nobody knows better: some 180 words
_TOKENS_AROUND = 15  # a chat template spends about four on each message, and three on the answer


class TunedWriter:
    """Writes with tuned models of one service. `not_spoken` is what its chat has no word for (see chat.py)."""

    def __init__(self, service: ModelService, database: Database, *, not_spoken: Collection[str] = ()) -> None:
        self._service = service
        self._database = database
        self._not_spoken = not_spoken

    async def write(self, voice: Voice, prompt: str, *, seed: int) -> Written:
        service = self._service.with_model(voice.model)
        service.lacks.update(self._not_spoken)
        try:
            return await complete(
                service,
                [Message("developer", voice.developer_message), Message("user", prompt)],
                max_tokens=LONGEST_TEXT_TOKENS,
                seed=seed,
            )
        except ModelRefused as refusal:
            if refusal.status not in _GONE and refusal.code != _NOT_SERVED:
                raise
            sentence = f"{service_name(voice.base_url)} has no model for this voice, or has it no longer."
            raise VoiceGone(
                refusal.sentence if refusal.code == _NOT_SERVED else sentence,
                "Write with few-shot instead, which needs no training, or with another voice: /voices list shows them.",
                status=refusal.status,
                code=refusal.code,
            ) from None

    async def most_expensive(self, voice: Voice, prompt: str) -> float:
        tokens = await asyncio.to_thread(count, voice.developer_message + prompt)
        return chat_cost(
            voice.model,
            tokens + _TOKENS_AROUND,
            LONGEST_TEXT_TOKENS,
            base_url=self._service.endpoint.base_url,
        )

    async def likely(self, voice: Voice, prompt: str, drafts: int) -> Estimate:
        """As in the protocol, taking it that drafts will be as long as the answers it was trained on are on average."""
        instructions, usual, asked = await asyncio.to_thread(
            count_many, [voice.developer_message, voice.user_message, prompt]
        )
        number = voice.dataset_id
        dataset = await datasets.get_dataset(self._database, number) if number is not None else None
        output = _TYPICAL_TOKENS
        if dataset is not None and dataset.training_count:
            output = dataset.tokens // dataset.training_count - instructions - usual - _TOKENS_AROUND
        return likely_cost(
            voice.model,
            same_tokens=instructions + asked + _TOKENS_AROUND,
            other_tokens=0,
            output_tokens=min(max(1, output), LONGEST_TEXT_TOKENS),
            calls=drafts,
            base_url=self._service.endpoint.base_url,
        )
