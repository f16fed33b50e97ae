"""A tuned voice trains on exactly the dataset's lines, and writes with the model that came of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bot.demo.openai_training import read_file
from bot.examples import Dataset
from bot.language import tuning
from bot.language.prices import chat_cost, likely_cost
from bot.language.tokens import count
from bot.store import datasets
from bot.training import Training, TrainingState, Voice, VoiceKind
from bot.voices.fine_tuned import FineTuned
from bot.voices.protocol import Material
from bot.voices.tuned import LONGEST_TEXT_TOKENS, TunedWriter
from tests.pipeline.room import Room, everything, nights, open_room, store_posts

BASE = "gpt-4.1-mini-2025-04-14"


async def dataset(room: Room) -> Dataset:
    await store_posts(room.database, nights(60))
    await everything(room.examples())
    found = await datasets.newest_dataset(room.database)
    assert found is not None
    return found


async def material(room: Room, of: Dataset) -> Material:
    return Material(
        of,
        await datasets.training_examples(room.database, of.id),
        await datasets.held_out_examples(room.database, of.id),
    )


def training(room: Room, of: Dataset) -> Training:
    return Training(1, 1, of.id, f"{room.address}/v1", BASE, 2, TrainingState.PREPARING)


async def test_what_is_uploaded_is_the_training_file_without_what_is_held_out(tmp_path: Path):
    async with open_room(tmp_path) as room:
        made = await dataset(room)
        trainer = FineTuned(room.service(BASE))
        sent: list[tuple[int, int]] = []
        first = await trainer.prepare(training(room, made), await material(room, made), lambda *now: sent.append(now))
        assert first.state is TrainingState.PREPARING, "its id is to be stored before the next file goes up"
        second = await trainer.prepare(first, await material(room, made), lambda *_: None)
        assert second.state is TrainingState.UPLOADED
        file, held_out = room.openai.state.files.values()
        assert (file.id, held_out.id) == (second.file_id, second.held_out_file_id)
        assert sent[-1] == (len(file.content), len(file.content))
        assert file.expires_at == pytest.approx(file.created_at + tuning.FILES_KEPT, abs=2)
        assert file.content == room.training_file.read_bytes()
        assert read_file(file.content, "supervised", "training").error is None
        held = await datasets.held_out_posts(room.database)
        assert len(held) == 6
        assert [json.loads(line)["messages"][2]["content"] for line in held_out.content.splitlines()] == nights(60)[
            :-7:-1
        ]
        assert not {json.loads(line)["messages"][2]["content"] for line in file.content.splitlines()} & set(
            nights(60)[-6:]
        )


async def test_the_trained_model_writes_with_its_own_words_and_costs_what_it_may(tmp_path: Path):
    async with open_room(tmp_path) as room:
        room.openai.training_seconds = 0.0
        made = await dataset(room)
        trainer = FineTuned(room.service(BASE))
        now = training(room, made)
        while now.state is TrainingState.PREPARING:
            now = await trainer.prepare(now, await material(room, made), lambda *_: None)
        done = await trainer.poll(await trainer.train(now))
        assert done.state is TrainingState.SUCCEEDED
        assert done.fine_tuned_model
        assert done.trained_tokens
        voice = Voice(
            1, VoiceKind.FINE_TUNED, "v", done.fine_tuned_model, done.base_url, made.id,
            made.developer_message, made.user_message, 0.0, True, 0.0,
        )  # fmt: skip
        writer = TunedWriter(room.service(BASE), room.database)
        written = await writer.write(voice, "About tea.", seed=1)
        assert written.text.split()[0] == "night"
        asked = room.asked("/completions")[-1].body
        assert asked["model"] == done.fine_tuned_model
        assert [message["content"] for message in asked["messages"]] == ["You write.", "About tea."]
        most = await writer.most_expensive(voice, "About tea.")
        tokens = count("You write.About tea.")
        assert most >= chat_cost(BASE, tokens, LONGEST_TEXT_TOKENS)
        assert most > chat_cost(BASE, written.input_tokens, written.output_tokens)


async def test_the_likely_cost_goes_by_what_it_was_trained_on(tmp_path: Path):
    async with open_room(tmp_path) as room:
        made = await dataset(room)
        voice = Voice(
            1, VoiceKind.FINE_TUNED, "v", BASE, f"{room.address}/v1", made.id, "You write.", "Write.", 0.0, True, 0.0
        )
        trained = TunedWriter(room.service(BASE), room.database)
        assert (await trained.likely(voice, "Write.", 0)).dollars == 0.0
        answers = [count(each.assistant) for each in await datasets.training_examples(room.database, made.id)]
        each = chat_cost(BASE, count("You write.Write.") + 15, round(sum(answers) / len(answers)))
        assert (await trained.likely(voice, "Write.", 10)).dollars == pytest.approx(10 * each, rel=0.05)
        assert (await trained.likely(voice, "Write.", 10)).dollars < 10 * await trained.most_expensive(voice, "Write.")
        # Where the dataset is not known, a draft of ordinary length.
        by_hand = replace(voice, dataset_id=None)
        assert await trained.likely(by_hand, "Write.", 10) == likely_cost(
            BASE, same_tokens=count("You write.") + count("Write.") + 15, other_tokens=0, output_tokens=250, calls=10
        )
        emptied = await trained.likely(by_hand, "Write.", 10)
        async with room.database.write() as connection:
            await connection.execute("DELETE FROM examples")
        assert await trained.likely(voice, "Write.", 10) == emptied, "no more is known of a dataset without examples"
        own = replace(voice, model="my-lora")
        assert (await trained.likely(own, "Write.", 10)).dollars == 0.0
        assert not room.asked("/completions")
