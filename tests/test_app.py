"""The composition root: parts start and stop in order, work goes on after a restart, and one defect stops nothing else."""

from __future__ import annotations

import asyncio
import logging
import random
import stat
import tomllib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr
from tenacity import wait_none

from bot.app import App, Pace
from bot.config import BudgetSettings, GuardSettings, OpenAISettings, Settings, TumblrSettings
from bot.demo.faults import Fault
from bot.demo.openai_service import OpenAIService
from bot.demo.tumblr_service import TumblrService
from bot.drafts import Draft, DraftState, Person
from bot.errors import DatabaseInUse, NothingToDo, TumblrBlocked
from bot.jobs.runner import Job, JobState
from bot.pipeline import publish as publish_stage
from bot.stages import Stages
from bot.store import drafts as draft_store
from bot.store import voices
from bot.store.database import Database
from bot.store.facts import get_fact
from bot.training import Voice, VoiceKind
from bot.tumblr.quota import GovernorState
from tests.pipeline.conftest import NAME, START, post
from tests.pipeline.room import nights

KEEPER = Person(1, "keeper")
PACE = Pace(
    message_edit=0.05,
    training_poll=0.02,
    training_settle=0.05,
    look_after=(0.0, 0.05),
    retry_after=(0.02,),
    tumblr_deadline=5.0,
    tumblr_retry=0.0,
)
OLD_FILE = """\
# mine, do not touch
draft_count = 4 # four is enough
fine_tuned_model = "ft:old" # the first one

[discord]
# the server
guild_id = 5
"""


@dataclass
class House:
    folder: Path
    tumblr: TumblrService
    openai: OpenAIService
    settings: Settings
    app: App

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    def new_app(self, **changes: Any) -> App:
        """The same bot in another process, as far as the files can tell."""
        app = App(self.settings.model_copy(update=changes), self.config, pace=PACE, dice=random.Random(1))
        if app.settings.openai.api_key.get_secret_value():
            for use in ("generation", "fine_tuning", "moderation"):
                app.service(use).wait = wait_none()
                app.service(use).deadline = 5.0
        return app

    async def restart(self, **changes: Any) -> None:
        await self.app.stop()
        self.app = self.new_app(**changes)
        await self.app.start()

    async def run(self, kind: str, **parameters: Any) -> Job:
        """One stage from its start to its end."""
        job = await self.submit(kind, **parameters)
        return await self.ended(job.id)

    async def train(self, **options: Any) -> Job:
        """A training from its offer to its end."""
        terms = await self.app.voices.offer(**options)
        job = await self.app.jobs.start_training(terms.offer.id, KEEPER, None)
        return await self.ended(job.id)

    async def submit(self, kind: str, **parameters: Any) -> Job:
        return await self.app.runner.submit(kind, parameters, requested_by="k", requester_id=1, channel_id=None)

    async def ended(self, job_id: int) -> Job:
        last: Job | None = None
        async with asyncio.timeout(20):
            async for job in self.app.runner.follow(job_id):
                last = job
        assert last is not None
        return last

    async def drafts(self, *states: DraftState) -> list[Draft]:
        return await draft_store.drafts_in(self.app.database, list(states or DraftState), limit=100)

    def on_blog(self) -> list[str]:
        return sorted(found["content"][0]["text"] for found in self.tumblr.blogs[NAME].drafts)


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(20):
        while not (found := await condition()):
            await asyncio.sleep(0.01)
    return found


@asynccontextmanager
async def open_house(folder: Path, *, posts: int = 12) -> AsyncGenerator[House, None]:
    tumblr, openai = TumblrService(), OpenAIService(seed=1)
    openai.training_seconds = 0.1
    tumblr_url, openai_url = await tumblr.start(), await openai.start()
    blog = tumblr.add_blog(NAME, title="Staff")
    for number, text in enumerate(nights(posts)):
        tumblr.add_post(blog, post(START + number, text))
    key, secret, token, token_secret = tumblr.credentials()
    settings = Settings(
        download_blog_identifiers=[NAME],
        upload_blog_identifier=NAME,
        data_directory=folder / "data",
        custom_prompts_file=folder / "data" / "custom_prompts.jsonl",
        training_data_file=folder / "data" / "training_data.jsonl",
        tags_chance=0.0,
        guards=GuardSettings(rewrites=0),
        tumblr=TumblrSettings(
            consumer_key=SecretStr(key),
            consumer_secret=SecretStr(secret),
            oauth_token=SecretStr(token),
            oauth_token_secret=SecretStr(token_secret),
            api_url=tumblr_url,
        ),
        openai=OpenAISettings(api_key=SecretStr(openai.api_key), base_url=f"{openai_url}/v1"),
    )
    house = House(folder, tumblr, openai, settings, None)  # type: ignore[arg-type]
    house.app = house.new_app()
    await house.app.start()
    try:
        yield house
    finally:
        await house.app.stop()
        await asyncio.gather(tumblr.stop(), openai.stop())


# --- start and stop -------------------------------------------------------------------------------------------


async def test_before_the_start_there_is_no_store_and_no_runner(tmp_path: Path):
    app = App(Settings(data_directory=tmp_path), tmp_path / "config.toml")
    for part in ("database", "runner", "voices"):
        with pytest.raises(RuntimeError, match="not been started"):
            getattr(app, part)
    await app.stop()
    assert not (tmp_path / "bot.sqlite3").exists()


async def test_a_second_bot_on_the_same_data_is_refused_and_leaves_nothing_running(tmp_path: Path):
    async with open_house(tmp_path) as house:
        other = house.new_app()
        with pytest.raises(DatabaseInUse):
            await other.start()
        await other.stop()
        assert (await house.run("download")).state is JobState.SUCCEEDED


async def test_nothing_writes_any_more_once_it_has_stopped(tmp_path: Path):
    """The store is closed last: whatever was under way may still note down how far it came."""
    async with open_house(tmp_path) as house:
        order: list[str] = []

        def note(owner: Any, name: str, label: str) -> None:
            original = getattr(owner, name)

            async def noted() -> None:
                order.append(label)
                await original()

            setattr(owner, name, noted)

        note(house.app.runner, "stop", "runner")
        note(house.app.background, "stop", "background")
        note(house.app.tumblr, "close", "connections")
        database = house.app.database
        close = database.close

        async def closing() -> None:
            order.append("database")
            await close()

        database.close = closing  # type: ignore[method-assign]
        await house.app.stop()
        assert order == ["runner", "background", "connections", "database"]
        house.app = house.new_app()
        await house.app.start()


async def test_the_store_is_closed_even_if_something_else_does_not_close(tmp_path: Path):
    async with open_house(tmp_path) as house:

        async def broken() -> None:
            raise ZeroDivisionError

        close, house.app.tumblr.close = house.app.tumblr.close, broken  # type: ignore[method-assign]
        with pytest.raises(ZeroDivisionError):
            await house.app.stop()
        await close()
        database = await Database.open(house.settings.database_file)  # nobody holds it
        await database.close()
        house.app = house.new_app()
        await house.app.start()


async def test_a_pause_that_tumblr_asks_for_is_written_down_at_once(tmp_path: Path):
    """A kill leaves no time for it: the next process must not call either."""
    async with open_house(tmp_path) as house:
        house.tumblr.faults.schedule(Fault("GET", "/v2/*", "html", status=403))

        async def kept_until() -> float | None:
            kept = await get_fact(house.app.database, "Tumblr's quota")
            return msgspec.json.decode(kept, type=GovernorState).blocked_until if kept else None

        before = await kept_until()
        with pytest.raises(TumblrBlocked):
            await house.app.account.account()
        assert before is None
        assert await until(kept_until) == house.app.tumblr.governor.held_until


@pytest.mark.parametrize("kind", ["download", "generate"])
async def test_a_job_goes_on_after_a_restart(tmp_path: Path, kind: str):
    async with open_house(tmp_path) as house:
        if kind == "generate":
            await house.run("download")
            house.openai.faults.schedule(Fault("POST", "/v1/chat/completions", "hang", after=1))
            served = house.openai.faults.served
        else:
            house.tumblr.faults.schedule(Fault("GET", "/v2/blog/*/posts", "hang"))
            served = house.tumblr.faults.served
        job = await house.submit(kind, **({"count": 3} if kind == "generate" else {}))
        while not served:
            await asyncio.sleep(0.01)
        stopping = asyncio.create_task(house.restart())
        house.tumblr.faults.clear()
        await stopping
        house.openai.faults.clear()
        assert (await house.ended(job.id)).state is JobState.SUCCEEDED
        if kind == "generate":
            assert len(await house.drafts()) == 3


async def test_what_was_approved_regenerated_or_stopped_before_a_restart_is_done_after_it(tmp_path: Path):
    async with open_house(tmp_path) as house:
        await house.run("download")
        await house.run("generate", count=2)
        first, second = await house.drafts(DraftState.PENDING)
        desk = house.app.drafts
        desk._to_upload, desk._to_rewrite = asyncio.Event(), asyncio.Event()  # the couriers sleep
        await house.app.drafts.approve(first.id, KEEPER)
        await house.app.drafts.regenerate(second.id, KEEPER)
        await asyncio.sleep(0.1)
        assert house.on_blog() == []
        await house.restart()
        await until(lambda: house.drafts(DraftState.UPLOADED))
        (new,) = await until(lambda: house.drafts(DraftState.PENDING))
        assert new.replaces == second.id
        assert len(house.on_blog()) == 1


# --- config.toml ----------------------------------------------------------------------------------------------


async def test_config_toml_follows_a_new_model_and_keeps_the_rest(tmp_path: Path):
    async with open_house(tmp_path) as house:
        house.config.write_text(OLD_FILE)
        await house.run("download")
        await house.run("examples")
        job = await house.train(epochs=1)
        assert job.state is JobState.SUCCEEDED, job.error
        voice = await voices.active_voice(house.app.database)
        assert voice is not None
        text = house.config.read_text()
        written = tomllib.loads(text)
        assert written["fine_tuned_model"] == voice.model == house.app.settings.fine_tuned_model
        for comment in ("# mine, do not touch", "# four is enough", "# the first one", "# the server"):
            assert comment in text
        assert written["expected_epochs"] == 1, "as the service used them"
        assert (written["draft_count"], written["discord"]["guild_id"]) == (4, 5)


async def test_a_config_that_cannot_be_written_is_only_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with open_house(tmp_path) as house:
        house.config.mkdir()  # stronger than read-only, which would not stop root
        await house.run("download")
        await house.run("examples")
        job = await house.train(epochs=1)
        assert job.state is JobState.SUCCEEDED
        assert "config.toml could not be brought up to date" in caplog.text
        assert (await voices.active_voice(house.app.database)) is not None
        assert stat.S_ISDIR(house.config.stat().st_mode)


# --- voices ---------------------------------------------------------------------------------------------------


async def test_a_voice_writes_with_its_own_words_even_after_the_settings_changed(tmp_path: Path):
    async with open_house(tmp_path) as house:
        await house.run("download")
        await house.run("examples")
        await house.train(epochs=1)
        trained_with = (house.settings.developer_message, house.settings.user_message)
        await house.restart(developer_message="New words.", user_message="New request.", fine_tuned_model="")
        assert (await house.run("generate", count=1)).state is JobState.SUCCEEDED
        asked = [request.body for request in house.openai.requests if request.path.endswith("/completions")][-1]
        assert asked["model"].startswith("ft:gpt-4.1-mini-2025-04-14:")
        assert tuple(message["content"] for message in asked["messages"]) == trained_with


async def test_a_voice_at_another_service_is_named_and_not_asked(tmp_path: Path):
    async with open_house(tmp_path) as house:
        voice = Voice(
            0, VoiceKind.FINE_TUNED, "far", "ft:x", "https://elsewhere.example/v1", None, "d", "u", 0.0, True, 0.0
        )
        async with house.app.database.write() as connection:
            await voices.add_voice(connection, voice)
        job = await house.run("generate", count=1)
        assert job.state is JobState.FAILED
        assert "name no service at elsewhere.example any more, where this voice lives" in (job.error or "")
        assert not house.openai.requests


@pytest.mark.parametrize("kind", ["status", "hang", "reset_before", "html"])
async def test_an_offer_can_do_without_an_answer_about_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
):
    async with open_house(tmp_path) as house:
        await house.run("download")
        await house.run("examples")
        assert (await house.app.voices.offer()).shutdown_date == date(2027, 1, 14)
        monkeypatch.setattr("bot.voice_desk._ASKED", 0.2)
        house.openai.faults.schedule(Fault("GET", "/v1/models/*", kind, times=99))
        terms = await house.app.voices.offer(suffix="lamp", epochs=7)
        assert terms.shutdown_date is None
        assert (terms.offer.suffix, terms.offer.epochs) == ("lamp", 7)


async def test_without_a_key_there_is_a_sentence_for_each_use(tmp_path: Path):
    app = App(Settings(data_directory=tmp_path), tmp_path / "config.toml")
    for use in ("generation", "fine_tuning", "moderation"):
        with pytest.raises(NothingToDo, match=rf"\[openai\.{use}\]"):
            app.service(use)
    await app.stop()


# --- couriers -------------------------------------------------------------------------------------------------


async def test_the_courier_goes_on_after_an_unexpected_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    async with open_house(tmp_path) as house:
        await house.run("download")
        await house.run("generate", count=2)
        first, second = await house.drafts(DraftState.PENDING)
        broken = [True]
        real = publish_stage.post_body

        def sometimes(*given: Any) -> Any:
            if broken.pop() if broken else False:
                raise ZeroDivisionError
            return real(*given)

        monkeypatch.setattr(publish_stage, "post_body", sometimes)
        await house.app.drafts.approve(first.id, KEEPER)
        await until(lambda: _true("ZeroDivisionError" in caplog.text))
        assert f"uploading draft {first.id}: reference" in caplog.text
        await house.app.drafts.approve(second.id, KEEPER)

        async def both() -> bool:
            return len(await house.drafts(DraftState.UPLOADED)) == 2

        await until(both)
        assert len(house.on_blog()) == 2


async def test_a_draft_that_cannot_be_regenerated_does_not_stop_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    async with open_house(tmp_path) as house:
        await house.run("download")
        await house.run("generate", count=2)
        first, second = await house.drafts(DraftState.PENDING)
        real, tries = Stages.desk_again, iter([True])

        async def sometimes(stages: Stages, draft: Draft) -> Any:
            if next(tries, False):
                raise ZeroDivisionError
            return await real(stages, draft)

        house.app._to_rewrite.clear()
        monkeypatch.setattr(Stages, "desk_again", sometimes)
        await house.app.drafts.regenerate(first.id, KEEPER)
        await until(lambda: _true("ZeroDivisionError" in caplog.text))
        await house.app.drafts.regenerate(second.id, KEEPER)

        async def rewritten() -> bool:
            return any(draft.replaces == second.id for draft in await house.drafts(DraftState.PENDING))

        await until(rewritten)
        back = next(draft for draft in await house.drafts() if draft.id == first.id)
        assert back.state is DraftState.PENDING
        assert "could not be regenerated" in back.note


async def _true(value: bool) -> bool:
    return value


async def test_the_message_of_every_changed_draft_is_told_to_be_behind(tmp_path: Path):
    async with open_house(tmp_path) as house:
        await house.run("download")
        house.app.drafts_changed.clear()
        await house.run("generate", count=3)
        assert house.app.drafts_changed.is_set()
        acts = (
            lambda number: house.app.drafts.edit(number, KEEPER, text="x", tags=""),
            lambda number: house.app.drafts.reject(number, KEEPER),
            lambda number: house.app.drafts.show_again(number, 5),
        )
        for draft, act in zip(await house.drafts(), acts, strict=True):
            house.app.drafts_changed.clear()
            await act(draft.id)
            assert house.app.drafts_changed.is_set()


async def test_the_budget_of_the_settings_holds_for_every_stage(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    async with open_house(tmp_path) as house:
        await house.run("download")
        await house.run("examples")
        await house.restart(budget=BudgetSettings(monthly_limit=0.0))
        for job in (await house.run("generate", count=1), await house.train(epochs=1)):
            assert "This would pass the monthly budget" in (job.error or "")
        assert not [request for request in house.openai.requests if request.method == "POST"]
