"""A tuned voice trains on exactly the dataset's lines, and writes with the model that came of it."""

from __future__ import annotations

import json
from pathlib import Path

from bot.demo.openai_training import read_file
from bot.examples import Dataset
from bot.language.prices import chat_cost
from bot.language.tokens import count
from bot.store import datasets
from bot.training import Training, TrainingState, Voice, VoiceKind
from bot.voices.fine_tuned import LONGEST_TEXT_TOKENS, FineTuned
from tests.pipeline.room import Room, everything, nights, open_room, store_posts

BASE = "gpt-4.1-mini-2025-04-14"


async def dataset(room: Room) -> Dataset:
    await store_posts(room.database, nights(60))
    await everything(room.examples())
    found = await datasets.newest_dataset(room.database)
    assert found is not None
    return found


def training(room: Room, of: Dataset) -> Training:
    return Training(1, 1, of.id, f"{room.address}/v1", BASE, 2, TrainingState.PREPARING)


async def test_what_is_uploaded_is_the_training_file_without_what_is_held_out(tmp_path: Path):
    async with open_room(tmp_path) as room:
        made = await dataset(room)
        examples = await datasets.training_examples(room.database, made.id)
        trainer = FineTuned(room.service(BASE))
        uploaded = await trainer.prepare(training(room, made), made, examples)
        (file,) = room.openai.state.files.values()
        assert file.id == uploaded.file_id
        assert file.content == room.training_file.read_bytes()
        assert read_file(file.content, "supervised", "training").error is None
        held = await datasets.held_out_posts(room.database)
        assert len(held) == 6
        assert not {json.loads(line)["messages"][2]["content"] for line in file.content.splitlines()} & set(
            nights(60)[-6:]
        )


async def test_the_trained_model_writes_with_its_own_words_and_costs_what_it_may(tmp_path: Path):
    async with open_room(tmp_path) as room:
        room.openai.training_seconds = 0.0
        made = await dataset(room)
        examples = await datasets.training_examples(room.database, made.id)
        trainer = FineTuned(room.service(BASE))
        done = await trainer.poll(await trainer.train(await trainer.prepare(training(room, made), made, examples)))
        assert done.state is TrainingState.SUCCEEDED
        assert done.fine_tuned_model
        assert done.trained_tokens
        voice = Voice(
            1, VoiceKind.FINE_TUNED, "v", done.fine_tuned_model, done.base_url, made.id,
            made.developer_message, made.user_message, 0.0, True, 0.0,
        )  # fmt: skip
        written = await trainer.write(voice, "About tea.")
        assert written.text.split()[0] == "night"
        asked = room.asked("/completions")[-1].body
        assert asked["model"] == done.fine_tuned_model
        assert [message["content"] for message in asked["messages"]] == ["You write.", "About tea."]
        most = await trainer.most_expensive(voice, "About tea.")
        tokens = count("You write.About tea.")
        assert most >= chat_cost(BASE, tokens, LONGEST_TEXT_TOKENS)
        assert most > chat_cost(BASE, written.input_tokens, written.output_tokens)
