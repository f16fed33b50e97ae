"""Watches for the day on which a voice's model stops, and says what the owner should be told of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from bot.config import Settings
from bot.errors import ModelError, NothingToDo
from bot.language.endpoint import ModelService
from bot.language.models import ModelCard, find_model
from bot.model_services import ModelServices
from bot.store import voices
from bot.store.database import Database
from bot.training import TrainingApi, Voice
from bot.voice_desk import VoiceDesk
from bot.voices.kinds import api_of

_log = logging.getLogger(__name__)
_DAY = 86_400.0
_HOUR = 3_600.0
MILESTONES = (60, 14, 2, 0)
"""So many days before the end the owner is told; 0 is once it has come."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The voice that writes now stops, or has stopped: what the owner is to be told. `milestone` is one of those above.

    `days_left` may be fewer: the bot may have been away.
    """

    voice: Voice
    ends: date
    days_left: int
    milestone: int


def due_milestone(days_left: int, *, told: int | None) -> int | None:
    """Which of the milestones the owner is to be told of now, where `told` was the last: the nearest, and each once."""
    reached = [days for days in MILESTONES if days_left <= days]
    return reached[-1] if reached and (told is None or reached[-1] < told) else None


class ShutdownWatch:
    """Asks the services when the models of voices stop. Asked once a day each, and at the start."""

    def __init__(
        self,
        database: Database,
        services: ModelServices,
        desk: VoiceDesk,
        *,
        settings: Callable[[], Settings],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._services = services
        self._desk = desk
        self._settings = settings
        self._clock = clock
        self._ask_again: dict[int, float] = {}
        """By voice, in unix seconds; empty at the start, when all are asked for."""
        self.changed = asyncio.Event()
        """Set whenever there may be something to tell."""

    async def look(self) -> float:
        """Ask for every voice whose turn it is, and note what is said. Returns when the next one's turn is.

        A service that cannot be asked, or that does not tell, is asked again in an hour.
        """
        if self._settings().fine_tuned_model:
            await self._desk.current()  # a model of an old config.toml becomes a voice, and is watched like any other
        turns: list[float] = [self._clock() + _HOUR]
        for voice in await voices.all_voices(self._database):
            if voice.is_retired:
                continue
            if self._clock() >= self._ask_again.get(voice.id, 0.0):
                self._ask_again[voice.id] = self._clock() + (_DAY if await self._ask(voice) else _HOUR)
            turns.append(self._ask_again[voice.id])
        self.changed.set()
        return min(turns)

    def ask_all_again(self) -> None:
        """Let the next look ask for every voice, as at a start."""
        self._ask_again.clear()

    async def due(self) -> Ending | None:
        """What the owner is to be told now of the voice that writes; None when they know all there is to know."""
        if not await voices.all_voices(self._database):
            return None
        voice = await self._desk.current()
        if voice.shutdown_date is None:
            return None
        days_left = (voice.shutdown_date - self._today()).days
        milestone = due_milestone(days_left, told=await voices.warned_days(self._database, voice.id))
        return None if milestone is None else Ending(voice, voice.shutdown_date, days_left, milestone)

    async def told(self, ending: Ending) -> None:
        """Note that the owner has been told."""
        async with self._database.write() as connection:
            await voices.note_warned(connection, ending.voice.id, ending.milestone)

    async def _ask(self, voice: Voice) -> bool:
        """Note what the service says of one voice's end; returns whether it could be asked."""
        try:
            ends = await announced_end(voice, self._database, self._services.at, self._settings(), self._today())
        except (ModelError, NothingToDo) as error:
            _log.info("When voice %d stops could not be asked (%s).", voice.id, type(error).__name__)
            return False
        async with self._database.write() as connection:
            await voices.note_shutdown(connection, voice.id, ends, now=self._clock())
        return True

    def _today(self) -> date:
        return datetime.fromtimestamp(self._clock(), UTC).date()


async def announced_end(
    voice: Voice, database: Database, service_at: Callable[[str], ModelService], settings: Settings, today: date
) -> date | None:
    """When a voice's model stops, or the day on which it was found to be gone; None where no end is announced.

    A tuned model stops with its base model, so where its own card has no date, that of its base model counts.

    Raises:
        NothingToDo: the settings name no service at the voice's address.
        ModelError: the service does not tell.
    """

    async def card_of(model: str) -> ModelCard | None:
        if api_of(voice.base_url, settings.openai.fine_tuning.api) is TrainingApi.AZURE:
            return ModelCard(model, None)  # a deployment is on no list: that it is missing there says nothing
        return await find_model(service_at(voice.base_url).with_model(model))

    card = await card_of(voice.model)
    if card is None:
        return min(voice.shutdown_date or today, today)
    if card.shutdown_date is not None:
        return card.shutdown_date
    base = await _base_model(voice, database)
    card = await card_of(base) if base else None
    return card.shutdown_date if card else None


async def _base_model(voice: Voice, database: Database) -> str | None:
    if voice.training_id is not None:
        training = await voices.get_training(database, voice.training_id)
        return training.base_model if training else None
    parts = voice.model.split(":")  # ft:base:organisation:suffix:id
    return parts[1] if parts[0] == "ft" and len(parts) > 1 else None
