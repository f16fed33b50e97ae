"""kill -9 of a real process at any moment of a screening: no text is judged twice but those in flight, none is lost."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
import tomlkit

from bot.demo.openai_service import OpenAIService
from bot.pipeline.examples import make_examples
from bot.store.database import Database
from tests.pipeline.room import RULES, everything, nights, store_posts
from tests.process.test_kills import integrity, kill_after, run_to_the_end, start

TEXTS = [*nights(400), "a knife in the dark"]


async def prepared(folder: Path) -> tuple[OpenAIService, Path]:
    """A dataset of 401 texts, and a service with the free tier's two calls in flight."""
    service = OpenAIService()
    service.flagged_words = {"knife": "violence"}
    service.moderation_tokens_per_minute = 50_000
    address = await service.start()
    config = folder / "config.toml"
    training_file = folder / "data" / "training_data.jsonl"
    options = {
        "data_directory": str(folder / "data"),
        "training_data_file": str(training_file),
        "custom_prompts_file": str(folder / "custom_prompts.jsonl"),
        "moderation_batch_size": 8,
        "openai": {"base_url": f"{address}/v1", "api_key": service.api_key},
    }
    config.write_text(tomlkit.dumps(options))
    database = await Database.open(folder / "data" / "bot.sqlite3")
    await store_posts(database, TEXTS)
    await everything(
        make_examples(
            database,
            RULES,
            custom_prompts_file=folder / "custom_prompts.jsonl",
            training_data_file=training_file,
        )
    )
    await database.close()
    return service, config


def stored(folder: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "data" / "bot.sqlite3")) as connection:
        return connection.execute(query).fetchall()


async def kill_screenings(folder: Path, kind: str, kills: int, dice: random.Random) -> OpenAIService:
    service, config = await prepared(folder)
    service.batch_seconds = 0.5
    for _ in range(kills):
        await kill_after(await start(config, kind), dice.uniform(0.0, 1.2))
        assert integrity(folder) == "ok"
        if stored(folder, "SELECT 1 FROM jobs WHERE state = 'succeeded'"):
            break
    await run_to_the_end(config)
    if not stored(folder, "SELECT 1 FROM jobs"):
        await run_to_the_end(config, kind)
    assert stored(folder, "SELECT assistant, set_aside FROM examples WHERE set_aside IS NOT NULL") == [
        ("a knife in the dark", "violence")
    ]
    assert stored(folder, "SELECT count(*) FROM judgements") == [(len(TEXTS),)]
    assert stored(folder, "SELECT state, count(*) FROM jobs GROUP BY state") == [("succeeded", 1)]
    assert integrity(folder) == "ok"
    await service.stop()
    return service


async def kill_batches(folder: Path, kills: int, dice: random.Random) -> None:
    service = await kill_screenings(folder, "moderate:batch", kills, dice)
    in_batches = Counter(
        json.loads(line)["body"]["input"]
        for batch in service.state.batches.values()
        for line in batch.content.splitlines()
    )
    assert in_batches == Counter(TEXTS), "each text is in one batch, once"
    assert not [call for call in service.requests if call.path == "/v1/moderations"]
    assert not service.state.files


async def kill_calls(folder: Path, kills: int, dice: random.Random) -> None:
    service = await kill_screenings(folder, "moderate", kills, dice)
    sent = [text for call in service.requests if call.path == "/v1/moderations" for text in call.body["input"]]
    assert set(sent) == set(TEXTS)
    # Two calls of eight texts may be on their way, and one answer in hand, at each kill.
    assert len(sent) <= len(TEXTS) + kills * 3 * 8


async def test_batches_survive_kills(tmp_path: Path):
    await kill_batches(tmp_path, kills=3, dice=random.Random(1))


async def test_a_screening_survives_kills(tmp_path: Path):
    await kill_calls(tmp_path, kills=3, dice=random.Random(2))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["batches", "calls"])
async def test_a_screening_survives_many_kills(tmp_path: Path, kind: str):
    for seed in range(10):
        folder = tmp_path / str(seed)
        folder.mkdir()
        await {"batches": kill_batches, "calls": kill_calls}[kind](folder, kills=8, dice=random.Random(seed))
