"""How much of everything there is, counted in one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.drafts import DraftState
from bot.store.database import Database

_COUNTED = {
    "datasets": "SELECT count(*) FROM datasets WHERE deleted_at IS NULL",
    "examples": "SELECT count(*) FROM examples",
    "voices": "SELECT count(*) FROM voices",
    "retired": "SELECT count(*) FROM voices WHERE retired_at IS NOT NULL",
    "decisions": "SELECT count(*) FROM decisions",
    "audit": "SELECT count(*) FROM audit",
    "jobs": "SELECT count(*) FROM jobs",
    "calls": "SELECT count(*) FROM spending",
    "consents": "SELECT count(*) FROM consents WHERE revoked_at IS NULL",
}


@dataclass(frozen=True, slots=True)
class BlogSize:
    """A blog, with how many of its posts are here."""

    name: str
    posts: int
    is_own: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows by what they are. `calls` are those that were paid for; `retired` are among the `voices`."""

    blogs: tuple[BlogSize, ...]
    drafts: Mapping[DraftState, int]
    datasets: int
    examples: int
    voices: int
    retired: int
    decisions: int
    audit: int
    jobs: int
    calls: int
    consents: int


async def counts(database: Database) -> Counts:
    """How much there is."""
    async with database.read() as connection:
        blogs = await connection.execute_fetchall(
            "SELECT b.name, count(p.id), EXISTS (SELECT 1 FROM own_blogs WHERE uuid = b.uuid) AS is_own"
            " FROM blogs b LEFT JOIN posts p ON p.blog_uuid = b.uuid GROUP BY b.uuid ORDER BY count(p.id) DESC, b.name"
        )
        drafts = await connection.execute_fetchall("SELECT state, count(*) FROM drafts GROUP BY state")
        found = {name: next(iter(await connection.execute_fetchall(query)))[0] for name, query in _COUNTED.items()}
    return Counts(
        blogs=tuple(BlogSize(row[0], row[1], bool(row[2])) for row in blogs),
        drafts={DraftState(row[0]): row[1] for row in drafts},
        **found,
    )
