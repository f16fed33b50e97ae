"""Which voice writes, and with which words: a trained one keeps those it was trained with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bot.store import voices
from bot.training import Voice, VoiceKind
from bot.voices.tuned import TunedWriter
from tests.pipeline.room import MODEL, Room, nights, open_room, store_posts

BASE = "gpt-4.1-mini-2025-04-14"


async def trained(room: Room, *, active: bool = True, model: str = BASE) -> Voice:
    """A voice in the register. The stand-in writes with any model that it has."""
    voice = Voice(
        id=0,
        kind=VoiceKind.FINE_TUNED,
        name="my voice",
        model=model,
        base_url=f"{room.address}/v1",
        dataset_id=None,
        developer_message="You were trained.",
        user_message="As trained.",
        cost=1.0,
        active=active,
        created_at=0.0,
    )
    async with room.database.write() as connection:
        return replace(voice, id=await voices.add_voice(connection, voice))


async def test_the_active_voice_wins(tmp_path: Path):
    async with open_room(tmp_path) as room:
        voice = await trained(room)
        assert await room.few_shot_voice() == voice
        assert await room.few_shot_voice(fine_tuned_model="ft:old", developer_message="New.") == voice


async def test_an_inactive_voice_does_not(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await trained(room, active=False)
        assert (await room.few_shot_voice()).kind is VoiceKind.FEW_SHOT


async def test_only_one_voice_is_active(tmp_path: Path):
    async with open_room(tmp_path) as room:
        first, second = await trained(room), await trained(room, model="other")
        assert await voices.active_voice(room.database) == second
        async with room.database.write() as connection:
            await voices.activate_voice(connection, first.id)
        assert await voices.active_voice(room.database) == first
        assert await room.rows("SELECT count(*) FROM voices WHERE active = 1") == [(1,)]


async def test_the_model_of_an_old_settings_file_becomes_a_voice_with_the_words_of_that_day(tmp_path: Path):
    async with open_room(tmp_path) as room:
        voice = await room.few_shot_voice(fine_tuned_model="ft:gpt-4.1-mini:me::1", developer_message="Old words.")
        assert (voice.kind, voice.model, voice.developer_message) == (
            VoiceKind.FINE_TUNED,
            "ft:gpt-4.1-mini:me::1",
            "Old words.",
        )
        again = await room.few_shot_voice(fine_tuned_model="ft:gpt-4.1-mini:me::1", developer_message="New words.")
        assert again == voice
        assert await room.rows("SELECT count(*) FROM voices") == [(1,)]


async def test_few_shot_is_the_rest_and_takes_the_words_as_they_are_now(tmp_path: Path):
    async with open_room(tmp_path) as room:
        voice = await room.few_shot_voice()
        assert (voice.kind, voice.model, voice.name) == (VoiceKind.FEW_SHOT, MODEL, "few-shot")
        changed = await room.few_shot_voice(developer_message="New words.", user_message="New request.")
        assert changed.id == voice.id
        assert (changed.developer_message, changed.user_message) == ("New words.", "New request.")
        assert (await room.few_shot_voice(few_shot_model="gpt-4.1")).id != voice.id


async def test_a_trained_voice_is_asked_with_the_words_it_was_trained_with(tmp_path: Path):
    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(3))
        voice = await trained(room)
        found = await room.few_shot_voice(developer_message="New words.", user_message="New request.")
        written = await TunedWriter(room.service(), room.database).write(found, found.user_message, seed=1)
        assert written.text
        asked = room.asked("/completions")[-1].body
        assert asked["model"] == voice.model
        assert asked["messages"] == [
            {"role": "developer", "content": "You were trained."},
            {"role": "user", "content": "As trained."},
        ]
