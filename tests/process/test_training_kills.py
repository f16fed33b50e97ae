"""kill -9 of a real process at any moment of a training: one upload of each part, one job, one voice, paid once."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
import tomlkit

from bot.demo.faults import Fault
from bot.demo.openai_service import OpenAIService
from bot.pipeline.examples import make_examples
from bot.store.database import Database
from tests.pipeline.room import RULES, everything, nights, store_posts
from tests.process.test_kills import integrity, kill_after, run_to_the_end, start
from tests.process.test_screening_kills import stored

CALLS = [
    ("GET", "/v1/files"),
    ("POST", "/v1/files"),
    ("GET", "/v1/files/*"),
    ("GET", "/v1/fine_tuning/jobs"),
    ("POST", "/v1/fine_tuning/jobs"),
    ("GET", "/v1/fine_tuning/jobs/*"),
]
"""Over which a process may die."""


async def prepared(folder: Path) -> tuple[OpenAIService, Path]:
    """A dataset with a held-out part, and a service that takes a moment for everything."""
    service = OpenAIService()
    service.processing_seconds = 0.2
    service.training_seconds = 0.8
    address = await service.start()
    config = folder / "config.toml"
    training_file = folder / "data" / "training_data.jsonl"
    options = {
        "data_directory": str(folder / "data"),
        "training_data_file": str(training_file),
        "openai": {"base_url": f"{address}/v1", "api_key": service.api_key},
    }
    config.write_text(tomlkit.dumps(options))
    database = await Database.open(folder / "data" / "bot.sqlite3")
    await store_posts(database, nights(60))
    prompts = folder / "custom_prompts.jsonl"
    await everything(make_examples(database, RULES, custom_prompts_file=prompts, training_data_file=training_file))
    await database.close()
    return service, config


async def die_over(service: OpenAIService, process: asyncio.subprocess.Process, method: str, path: str, act: bool):
    """End the process while it waits for this very answer; where it does not ask, a moment later."""
    service.faults.schedule(Fault(method, path, "drip", act=act))
    served = len(service.faults.served)
    assert process.stdout is not None
    await process.stdout.readline()
    async with asyncio.timeout(60):
        while len(service.faults.served) == served and process.returncode is None:
            await asyncio.sleep(0.01)
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    await process.communicate()
    service.faults.clear()


async def kill_trainings(folder: Path, trainings: int, kills: int, dice: random.Random) -> None:
    service, config = await prepared(folder)
    for number in range(trainings):
        for _ in range(kills):
            begun = stored(folder, "SELECT count(*) FROM jobs WHERE kind = 'finetune'") == [(number + 1,)]
            process = await start(config, *([] if begun else ["finetune"]))
            if dice.random() < 0.5:
                await kill_after(process, dice.uniform(0.0, 1.0))
            else:
                method, path = dice.choice(CALLS)
                await die_over(service, process, method, path, act=dice.random() < 0.7)
            assert integrity(folder) == "ok"
        await run_to_the_end(config)
    trained = stored(
        folder, "SELECT id, file_id, held_out_file_id, service_job_id, fine_tuned_model, state FROM trainings"
    )
    assert [row[-1] for row in trained] == ["succeeded"] * trainings
    state = service.state
    assert Counter(file.filename.split("-dataset")[0] for file in state.files.values()) == Counter(
        f"tumblrbot-{part}-{row[0]}" for row in trained for part in ("training", "held-out")
    )
    assert {row[1:4] for row in trained} == {
        (job.training_file, job.validation_file, job.id) for job in state.jobs.values()
    }
    assert len(state.jobs) == trainings
    voices = stored(folder, "SELECT training_id, model, cost FROM voices ORDER BY id")
    assert [row[:2] for row in voices] == [(row[0], row[4]) for row in trained]
    assert stored(folder, "SELECT spent FROM spending ORDER BY id") == [(row[2],) for row in voices]
    assert stored(folder, "SELECT DISTINCT state FROM jobs") == [("succeeded",)]
    assert tomlkit.loads(config.read_text())["fine_tuned_model"] == voices[-1][1]
    assert not [call for call in service.requests if call.method == "DELETE" or call.path.endswith("/cancel")]
    await service.stop()


async def test_a_training_survives_kills(tmp_path: Path):
    await kill_trainings(tmp_path, trainings=1, kills=3, dice=random.Random(1))


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_trainings_survive_many_kills(tmp_path: Path):
    await kill_trainings(tmp_path, trainings=5, kills=4, dice=random.Random(2))
