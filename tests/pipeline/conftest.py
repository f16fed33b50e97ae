"""A store, and the Tumblr stand-in with the real client on it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.demo.tumblr_blog import StandInBlog
from bot.demo.tumblr_service import TumblrService
from bot.pipeline.download import Wanted, download
from bot.pipeline.retention import delete_posts
from bot.progress import Progress
from bot.store.database import Database
from bot.tumblr.client import Tumblr, TumblrCredentials
from bot.tumblr.quota import Governor

NAME = "staff"
START = 1_700_000_000


@dataclass
class Bench:
    service: TumblrService
    blog: StandInBlog
    tumblr: Tumblr
    database: Database
    folder: Path

    def download(self, *identifiers: str, full_since: float | None = None, **more: object) -> AsyncIterator[Progress]:
        """A download as /download would run it."""

        async def forget(uuid: str, ids: Sequence[str]) -> None:
            await delete_posts(self.database, uuid, ids, training_data_file=self.folder / "training_data.jsonl")

        wanted = Wanted(identifiers or [NAME], full_since=full_since, **more)  # type: ignore[arg-type]
        return download(self.database, self.tumblr, wanted, forget=forget)

    async def stored(self) -> dict[str, str]:
        """Id and text of every stored post."""
        async with self.database.read() as connection:
            rows = await connection.execute_fetchall("SELECT id, text FROM posts")
        return {row["id"]: row["text"] for row in rows}

    def on_blog(self) -> dict[str, str]:
        return {str(post["id"]): post["content"][0]["text"] for post in self.blog.posts}

    def pages(self) -> int:
        return sum(1 for request in self.service.requests if request.path.endswith("/posts"))


@asynccontextmanager
async def open_bench(folder: Path, *, deadline: float = 5.0) -> AsyncGenerator[Bench, None]:
    service = TumblrService()
    service.minute_limit = service.hour_limit = service.day_limit = 10**9
    address = await service.start()
    blog = service.add_blog(NAME, title="Staff")
    tumblr = Tumblr(
        TumblrCredentials(*service.credentials()),
        api_url=address,
        deadline=deadline,
        retry_wait=0.0,
        governor=Governor(minute_calls=10**9),
        readers=3,
    )
    database = await Database.open(folder / "bot.sqlite3")
    try:
        yield Bench(service, blog, tumblr, database, folder)
    finally:
        await tumblr.close()
        await database.close()
        await service.stop()


def post(timestamp: int, text: str) -> dict[str, object]:
    """A plain text post."""
    return {"timestamp": timestamp, "content": [{"type": "text", "text": text}], "state": "published"}
