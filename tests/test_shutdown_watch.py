"""The owner is told in time that the voice which writes stops: 60, 14 and 2 days before, and once it has; once each."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tenacity import wait_none

from bot.config import OpenAISettings, Settings
from bot.demo.faults import Fault
from bot.demo.openai_service import FIRST_SHUTDOWN, ModelCard
from bot.model_services import ModelServices
from bot.shutdown_watch import ShutdownWatch, due_milestone
from bot.store import voices
from bot.training import TrainingApi, Voice, VoiceKind
from bot.voice_desk import VoiceDesk
from tests.pipeline.room import Room, open_room

TUNED = "gpt-4.1-mini-2025-04-14"
END = date.fromisoformat(FIRST_SHUTDOWN)
MODELS = "/v1/models/*"
DAY = 86_400.0


@dataclass
class Tower:
    """The watch with a clock of its own."""

    room: Room
    settings: Settings
    watch: ShutdownWatch
    services: ModelServices
    desk: VoiceDesk
    at: float

    def set_date(self, day: date) -> None:
        """Noon of that day."""
        self.at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()

    def days_before(self, days: int) -> None:
        self.set_date(END - timedelta(days=days))

    async def milestone(self) -> int | None:
        """What the owner is told now, noted as told."""
        ending = await self.watch.due()
        if ending is not None:
            await self.watch.told(ending)
        return ending.milestone if ending else None

    async def voice(self, model: str = TUNED, *, active: bool = True, **changes: Any) -> Voice:
        voice = Voice(
            id=0,
            kind=VoiceKind.FINE_TUNED,
            name="mine",
            model=model,
            base_url=f"{self.room.address}/v1",
            dataset_id=None,
            developer_message="d",
            user_message="u",
            cost=0.0,
            active=active,
            created_at=0.0,
        )
        async with self.room.database.write() as connection:
            number = await voices.add_voice(connection, replace(voice, **changes))
            if changes.get("retired_at"):
                await voices.retire_voice(connection, number, now=1.0)
        return replace(voice, id=number)

    async def date_of(self, voice: Voice) -> date | None:
        found = await voices.get_voice(self.room.database, voice.id)
        assert found is not None
        return found.shutdown_date

    def restart(self) -> None:
        self.watch = watch_of(self)

    def asked(self) -> list[str]:
        return [
            request.path.removeprefix("/v1/models")
            for request in self.room.openai.requests
            if "/models" in request.path
        ]


def watch_of(tower: Tower) -> ShutdownWatch:
    return ShutdownWatch(
        tower.room.database, tower.services, tower.desk, settings=lambda: tower.settings, clock=lambda: tower.at
    )


@asynccontextmanager
async def open_tower(folder: Path, **changes: Any) -> AsyncGenerator[Tower]:
    async with open_room(folder) as room:
        openai = OpenAISettings(api_key=SecretStr(room.openai.api_key), base_url=f"{room.address}/v1")
        settings = Settings(**{"openai": openai} | changes)
        services = ModelServices(lambda: tower.settings)

        async def remember(_values: object) -> bool:
            return True

        desk = VoiceDesk(
            room.database,
            services,
            settings=lambda: tower.settings,
            remember=remember,
            poll_seconds=1.0,
            settle_seconds=1.0,
            clock=lambda: tower.at,
        )
        tower = Tower(room, settings, None, services, desk, 0.0)  # type: ignore[arg-type]
        tower.watch = watch_of(tower)
        tower.set_date(date(2026, 11, 1))
        if settings.openai.api_key.get_secret_value():
            for use in ("generation", "fine_tuning"):
                services.use(use).wait = wait_none()
                services.use(use).deadline = 5.0
        try:
            yield tower
        finally:
            await services.close()


# --- what is known ------------------------------------------------------------------------------------------------


async def test_every_voice_in_use_is_asked_for_at_the_start_and_once_a_day(tmp_path: Path):
    async with open_tower(tmp_path) as tower:
        mine, spare = await tower.voice(), await tower.voice("gpt-4o-mini", active=False)
        retired = await tower.voice("gpt-4.1", active=False, retired_at=1.0)
        due = await tower.watch.look()
        assert await tower.date_of(mine) == await tower.date_of(spare) == END
        assert await tower.date_of(retired) is None
        assert sorted(tower.asked()) == [f"/{TUNED}", "/gpt-4o-mini"]
        assert due > tower.at
        await tower.watch.look()
        tower.at += DAY - 1
        await tower.watch.look()
        assert len(tower.asked()) == 2
        tower.at += 2
        await tower.watch.look()
        assert len(tower.asked()) == 4
        tower.restart()
        await tower.watch.look()
        assert len(tower.asked()) == 6


async def test_a_tuned_model_without_a_date_ends_with_its_base_model(tmp_path: Path):
    async with open_tower(tmp_path) as tower:
        tuned = f"ft:{TUNED}:me::abc"
        tower.room.openai.models[tuned] = ModelCard()
        voice = await tower.voice(tuned)
        await tower.watch.look()
        assert await tower.date_of(voice) == END
        assert tower.asked() == [f"/{tuned}", f"/{TUNED}"]


async def test_a_model_of_an_old_settings_file_is_watched_too(tmp_path: Path):
    async with open_tower(tmp_path, fine_tuned_model=TUNED) as tower:
        await tower.watch.look()
        tower.days_before(14)
        ending = await tower.watch.due()
        assert ending is not None
        assert (ending.voice.model, ending.milestone) == (TUNED, 14)


async def test_a_service_without_a_page_for_one_model_is_asked_for_its_list(tmp_path: Path):
    async with open_tower(tmp_path) as tower:
        here, gone = await tower.voice(), await tower.voice("never-there", active=False)
        tower.room.openai.faults.schedule(Fault("GET", MODELS, "status", 404, {"detail": "Not Found"}, times=9))
        await tower.watch.look()
        assert await tower.date_of(here) == END
        assert await tower.date_of(gone) == date(2026, 11, 1)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("GET", MODELS, "status", 503, times=99),
        Fault("GET", MODELS, "status", 401, {"error": {"message": "no", "code": "invalid_api_key"}}, times=99),
        Fault("GET", MODELS, "reset_before", times=99),
        Fault("GET", MODELS, "html", 403, times=99),
        Fault("GET", MODELS, "wrong_type", times=99),
        Fault("GET", MODELS, "status", 200, {"nonsense": 1}, times=99),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
async def test_a_service_that_does_not_tell_is_asked_again_in_an_hour_and_nothing_is_said(tmp_path: Path, fault: Fault):
    async with open_tower(tmp_path) as tower:
        voice = await tower.voice()
        tower.room.openai.faults.schedule(fault)
        assert await tower.watch.look() == tower.at + 3600
        asked = len(tower.asked())
        assert await tower.watch.due() is None
        await tower.watch.look()
        assert len(tower.asked()) == asked
        tower.room.openai.faults.clear()
        tower.at += 3601
        await tower.watch.look()
        assert await tower.date_of(voice) == END


async def test_without_a_key_nothing_is_asked_and_nothing_is_said(tmp_path: Path):
    async with open_tower(tmp_path, openai=OpenAISettings(base_url="http://127.0.0.1:9/v1")) as tower:
        await tower.voice()
        await tower.watch.look()
        assert await tower.watch.due() is None
        assert tower.asked() == []


async def test_at_azure_a_deployment_that_is_on_no_list_is_not_called_gone(tmp_path: Path):
    async with open_tower(tmp_path) as tower:
        tower.settings = tower.settings.model_copy(
            update={
                "openai": tower.settings.openai.model_copy(
                    update={
                        "fine_tuning": tower.settings.openai.fine_tuning.model_copy(update={"api": TrainingApi.AZURE})
                    }
                )
            }
        )
        voice = await tower.voice("my-deployment")
        await tower.watch.look()
        assert await tower.date_of(voice) is None


async def test_a_new_date_is_told_of_anew(tmp_path: Path):
    async with open_tower(tmp_path) as tower:
        await tower.voice()
        await tower.watch.look()
        tower.days_before(13)
        assert await tower.milestone() == 14
        tower.room.openai.models[TUNED] = ModelCard(TUNED, (END + timedelta(days=40)).isoformat())
        await tower.watch.look()
        assert await tower.milestone() == 60
        assert await tower.milestone() is None


# --- what is told -------------------------------------------------------------------------------------------------


async def test_each_of_the_three_is_told_once_and_the_end_too(tmp_path: Path):
    async with open_tower(tmp_path) as tower:
        await tower.voice()
        await tower.watch.look()
        told = {}
        for days in range(70, -3, -1):
            tower.days_before(days)
            tower.restart()
            if (found := await tower.milestone()) is not None:
                told[days] = found
        assert told == {60: 60, 14: 14, 2: 2, 0: 0}


@given(st.lists(st.integers(-5, 70), min_size=1, max_size=8).map(lambda days: sorted(days, reverse=True)))
def test_after_any_absence_the_nearest_is_told_and_none_twice(days: list[int]):
    told: list[int] = []
    for left in days:
        milestone = due_milestone(left, told=told[-1] if told else None)
        told += [] if milestone is None else [milestone]
    assert told == sorted(set(told), reverse=True)
    assert set(told) <= {60, 14, 2, 0}
    last = days[-1]
    assert (told[-1] if told else None) == (
        None if last > 60 else 60 if last > 14 else 14 if last > 2 else 2 if last > 0 else 0
    )


async def test_a_bot_that_was_away_tells_only_the_nearest(tmp_path: Path):
    async with open_tower(tmp_path) as tower:
        await tower.voice()
        await tower.watch.look()
        tower.days_before(9)
        ending = await tower.watch.due()
        assert ending is not None
        assert (ending.milestone, ending.days_left, ending.ends) == (14, 9, END)
        assert await tower.milestone() == 14
        assert await tower.milestone() is None
        tower.days_before(1)
        assert await tower.milestone() == 2


async def test_what_could_not_be_told_stays_due(tmp_path: Path):
    async with open_tower(tmp_path) as tower:
        await tower.voice()
        await tower.watch.look()
        tower.days_before(14)
        assert await tower.watch.due() is not None
        tower.restart()
        assert await tower.watch.due() is not None
        assert await tower.milestone() == 14


async def test_only_the_voice_that_writes_is_told_of(tmp_path: Path):
    async with open_tower(tmp_path) as tower:
        voice = await tower.voice(active=False)
        await tower.watch.look()
        tower.days_before(2)
        assert await tower.watch.due() is None
        async with tower.room.database.write() as connection:
            await voices.activate_voice(connection, voice.id)
        assert await tower.milestone() == 2


async def test_a_model_that_is_gone_is_told_of_once(tmp_path: Path):
    async with open_tower(tmp_path) as tower:
        voice = await tower.voice()
        await tower.watch.look()
        assert await tower.milestone() is None
        del tower.room.openai.models[TUNED]
        for _ in range(3):
            tower.at += DAY + 1
            await tower.watch.look()
            if (found := await tower.milestone()) is not None:
                assert found == 0
                break
        else:
            pytest.fail("nobody was told")
        gone_on = await tower.date_of(voice)
        for _ in range(3):
            tower.at += DAY + 1
            await tower.watch.look()
            assert await tower.milestone() is None
        assert await tower.date_of(voice) == gone_on
