"""A store with posts in it, and the model service's stand-in with the real SDK on it."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from tenacity import wait_none

from bot.demo.model_server import LoggedRequest
from bot.demo.openai_service import OpenAIService
from bot.demo.tumblr_blog import StandInBlog, complete_post
from bot.drafts import UploadState
from bot.language.endpoint import Endpoint, ModelService
from bot.pipeline.examples import ExampleRules, make_examples
from bot.pipeline.generate import Desk, Tagging
from bot.pipeline.guards import Guards, PostIndex
from bot.posts import Blog
from bot.progress import Progress
from bot.store import jobs
from bot.store import posts as post_store
from bot.store.database import Database
from bot.training import Voice
from bot.tumblr.npf import read_post
from bot.voices.few_shot import FewShot
from bot.voices.register import Automatic, voice_for_writing
from tests.pipeline.conftest import START, post

MODEL = "gpt-6-luna"
SCREENER = "omni-moderation-latest"
RULES = ExampleRules("You write.", "Write.", None, 0, ())


@dataclass
class Room:
    folder: Path
    openai: OpenAIService
    database: Database
    address: str
    services: dict[str, ModelService] = field(default_factory=dict)

    @property
    def training_file(self) -> Path:
        return self.folder / "data" / "training_data.jsonl"

    @property
    def prompts_file(self) -> Path:
        return self.folder / "custom_prompts.jsonl"

    def service(self, model: str = MODEL) -> ModelService:
        if model not in self.services:
            endpoint = Endpoint(f"{self.address}/v1", SecretStr(self.openai.api_key), model)
            self.services[model] = ModelService(endpoint, deadline=5.0, wait=wait_none())
        return self.services[model]

    def examples(self, rules: ExampleRules = RULES) -> AsyncIterator[Progress]:
        return make_examples(
            self.database, rules, custom_prompts_file=self.prompts_file, training_data_file=self.training_file
        )

    async def desk(
        self,
        *,
        limit: float = 20.0,
        tags: float = 0.0,
        dice: random.Random | None = None,
        rewrites: int = 0,
        at_once: int = 1,
        allowed: Sequence[str] = (),
        screener: ModelService | None = None,
    ) -> Desk:
        """A desk with the few-shot voice. What the guards say of the n-gram's texts is only noted, unless it may rewrite."""
        voice = await self.few_shot_voice()
        return Desk(
            database=self.database,
            voice=voice,
            writer=FewShot(self.database, self.service(), seed=voice.id),
            rewrites=rewrites,
            at_once=at_once,
            guards=Guards(self.database, PostIndex(), allowed_phrases=allowed, screener=screener),
            tagging=Tagging(self.service(), "Name tags.", tags),
            blog="keeper",
            upload_state=UploadState.DRAFT,
            monthly_limit=limit,
            dice=dice or random.Random(1),
        )

    async def few_shot_voice(self, **changes: Any) -> Voice:
        return await voice_for_writing(self.database, self.automatic(**changes), now=0.0)

    def automatic(self, **changes: Any) -> Automatic:
        """What the settings say of writing."""
        return replace(
            Automatic(
                fine_tuned_model="",
                fine_tuned_base_url=f"{self.address}/v1",
                few_shot_model=MODEL,
                few_shot_base_url=f"{self.address}/v1",
                developer_message="You write.",
                user_message="Write.",
            ),
            **changes,
        )

    async def job(self, kind: str = "generate") -> int:
        async with self.database.write() as connection:
            job = await jobs.insert_job(
                connection, kind, {}, requested_by="k", requester_id=1, channel_id=None, now=0.0
            )
        return job.id

    def asked(self, ending: str) -> list[LoggedRequest]:
        return [request for request in self.openai.requests if request.path.endswith(ending)]

    async def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        async with self.database.read() as connection:
            return [tuple(row) for row in await connection.execute_fetchall(query, parameters)]


@asynccontextmanager
async def open_room(folder: Path) -> AsyncGenerator[Room, None]:
    openai = OpenAIService(seed=1)
    address = await openai.start()
    database = await Database.open(folder / "data" / "bot.sqlite3")
    room = Room(folder, openai, database, address)
    try:
        yield room
    finally:
        for service in room.services.values():
            await service.close()
        await database.close()
        await openai.stop()


async def store_posts(database: Database, texts: Sequence[str], *, blog: str = "keeper", start: int = START) -> None:
    """Plain posts, the first one the oldest, a hundred seconds apart."""
    owner = StandInBlog(name=blog, title=blog, uuid=f"t:{blog}")
    found = [
        read_post(complete_post(owner, post(start + 100 * number, text), 1_000 + number, start))
        for number, text in enumerate(texts)
    ]
    async with database.write() as connection:
        await post_store.upsert_blog(connection, Blog(owner.uuid, blog, blog, owner.url), 0.0)
        await post_store.save_page(connection, owner.uuid, found, 0.0)


def nights(count: int, word: str = "night") -> list[str]:
    """So many different texts."""
    return [f"{word} {number}: the light is lit, and the kettle sang {number} times." for number in range(count)]


async def everything(stage: AsyncIterator[Progress]) -> list[Progress]:
    return [progress async for progress in stage]


async def take(stage: AsyncIterator[Progress], steps: int) -> list[Progress]:
    """Let a stage go so many steps, then end it as a stopped process would."""
    seen: list[Progress] = []
    for _ in range(steps):
        progress = await anext(stage, None)
        if progress is None:
            break
        seen.append(progress)
    await stage.aclose()  # type: ignore[attr-defined]
    return seen
