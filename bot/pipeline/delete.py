"""What a person has deleted: what exactly would go, and its removal. Nothing here asks, or makes a backup.

Blogs, files at services and messages in Discord are not touched. What proves what happened stays: money, the audit,
consents, jobs, trainings, voices, and every draft that was ever sent to Tumblr.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import aiosqlite

from bot.drafts import DraftState
from bot.errors import BotError, NothingToDo
from bot.pipeline.retention import delete_all_posts, wipe
from bot.pipeline.training_file import edited_training_file, repair_training_file
from bot.store import deletions, purge
from bot.store import posts as post_store
from bot.store.database import Database
from bot.store.deletions import DraftStanding

Beside = Callable[[aiosqlite.Connection], Awaitable[None]]
"""What is written in the transaction that begins the deletion."""


class What(StrEnum):
    """What can be deleted."""

    POSTS = "posts"
    DATASET = "dataset"
    DRAFTS = "drafts"
    EVERYTHING = "everything"


DRAFTS: dict[str, frozenset[DraftState]] = {
    "undecided": frozenset({DraftState.PENDING}),
    "rejected": frozenset({DraftState.REJECTED}),
    "all": frozenset({DraftState.PENDING, DraftState.REJECTED, DraftState.REPLACED}),
}
"""Which drafts can be deleted, by the word for it."""
_UNDER_WAY = frozenset({DraftState.APPROVED, DraftState.UPLOADING, DraftState.UNKNOWN})
_ALL_KINDS = ("download", "examples", "moderate", "finetune", "generate", "compare")
_USERS = {
    What.POSTS: _ALL_KINDS,
    What.DATASET: ("examples", "moderate", "finetune", "generate", "compare"),
    What.DRAFTS: ("generate",),
    What.EVERYTHING: _ALL_KINDS,
}
"""The jobs that use what would go."""


@dataclass(frozen=True, slots=True)
class Doomed:
    """What would go, and what is left on purpose. Each number counts rows; `draft_ids` are the drafts that go."""

    what: What
    which: str
    """The blog's UUID, the dataset's number, a key of `DRAFTS`, or ""."""
    name: str
    """The same for people."""
    posts: int = 0
    examples: int = 0
    datasets: int = 0
    """Those that go, or lose examples."""
    parents: int = 0
    """Drafts that stay and lose the text of the post that they reblog."""
    screening_decisions: int = 0
    voices: int = 0
    """Voices that were made with the dataset; they stay."""
    is_newest: bool = False
    is_edited: bool = False
    """The training file is not as the bot wrote it."""
    draft_ids: tuple[int, ...] = ()
    decisions: int = 0
    set_aside: int = 0
    """Among the drafts: those that were regenerated."""
    comparisons: int = 0
    under_way: int = 0
    """Drafts that are approved or being sent, and stay."""
    sent: int = 0
    """Other drafts that were ever sent, and stay."""

    @property
    def typed(self) -> str:
        """What a person types to have it deleted."""
        return {
            What.POSTS: self.name,
            What.DATASET: f"dataset {self.which}",
            What.DRAFTS: "delete drafts",
            What.EVERYTHING: "delete everything",
        }[self.what]

    @property
    def drafts(self) -> int:
        """How many of them go."""
        return len(self.draft_ids)

    @property
    def mark(self) -> int:
        """A number that is another one where there is more or less of it, or other drafts."""
        return zlib.crc32(repr((self.count, self.draft_ids)).encode())

    @property
    def count(self) -> int:
        """How much it is in all; 0: there is nothing to delete."""
        datasets = 0 if self.what is What.POSTS else self.datasets
        return self.posts + self.examples + datasets + self.parents + self.drafts + self.comparisons


async def named(database: Database, what: What, which: str) -> Doomed:
    """What a person means, without a look at how much it is. Raises NothingToDo where there is no such thing."""
    which, name = await _meant(database, what, which)
    return Doomed(what, which, name)


async def look(database: Database, what: What, which: str, *, training_data_file: Path) -> Doomed:
    """What would go as things stand.

    Raises:
        NothingToDo: there is no such thing, there is nothing of it, or a job uses it.
        BotError: the training file cannot be read.
    """
    meant = await named(database, what, which)
    async with database.read() as connection:
        await _refuse_busy(connection, meant)
        doomed = await _LOOKS[what](connection, meant)
    if not doomed.count:
        raise NothingToDo("There is nothing of that to delete.", "/data show tells what there is.")
    if doomed.is_newest or doomed.posts:
        return replace(doomed, is_edited=await edited_training_file(database, training_data_file))
    return doomed


async def delete(
    database: Database, doomed: Doomed, *, training_data_file: Path, now: float, beside: Beside
) -> BotError | None:
    """Remove it. A kill in between leaves the rest, which can be deleted again.

    Returns what went wrong afterwards: the rows are gone, but the training file or the database file could not be
    written anew yet.

    Raises:
        NothingToDo: a job that uses it has begun meanwhile, or drafts have changed; nothing was removed.
        BotError: the database cannot be written; a part of the posts may be gone.
    """
    blogs: list[str] = []
    async with database.write() as connection:
        await _refuse_busy(connection, doomed)
        await beside(connection)
        match doomed.what:
            case What.POSTS:
                blogs = [doomed.which]
            case What.DATASET:
                await deletions.delete_dataset(connection, int(doomed.which), now=now)
            case What.DRAFTS:
                await _delete_drafts(connection, doomed)
            case What.EVERYTHING:
                await _delete_drafts(connection, doomed)
                await deletions.delete_traces(connection)
                for number in await deletions.kept_datasets(connection):
                    await deletions.delete_dataset(connection, number, now=now)
                blogs = await deletions.blogs_with_contents(connection)
    for blog in blogs:
        await delete_all_posts(database, blog)
        async with database.write() as connection:
            # A download that has begun meanwhile goes on where its row says.
            if not await deletions.busy_kinds(connection, ("download",)):
                await purge.forget_blog_row(connection, blog)
    try:
        await repair_training_file(database, training_data_file)
        await wipe(database)
    except BotError as error:
        return error
    return None


async def _meant(database: Database, what: What, which: str) -> tuple[str, str]:
    """What a person means, as it is stored and as it is called."""
    which = which.strip()
    if not which and what is not What.EVERYTHING:
        raise NothingToDo(f"It was not said which {what} to delete.", "Fill in `which`: it is offered while you type.")
    match what:
        case What.POSTS:
            blogs = await post_store.blogs(database)
            name = which.removeprefix("@").lower()
            meant = [blog for blog in blogs if which == blog.uuid] or [blog for blog in blogs if name == blog.name]
            if len(meant) != 1:
                raise NothingToDo("There is no such blog here.", "Choose one of those that are offered while you type.")
            return meant[0].uuid, meant[0].name
        case What.DATASET:
            number = which.lower().removeprefix("dataset").strip()
            if not (number.isascii() and number.isdigit() and len(number) < 16):  # noqa: PLR2004 - what SQLite counts to
                raise NothingToDo("A dataset is named by its number.", "Choose one that is offered while you type.")
            return str(int(number)), f"dataset {int(number)}"
        case What.DRAFTS:
            if which.lower() not in DRAFTS:
                raise NothingToDo("Drafts go as undecided, rejected or all.", "Choose one of these words.")
            name = "all drafts that were never sent" if which.lower() == "all" else f"{which.lower()} drafts"
            return which.lower(), name
        case What.EVERYTHING:
            return "", "everything"


async def _refuse_busy(connection: aiosqlite.Connection, doomed: Doomed) -> None:
    number = int(doomed.which) if doomed.what is What.DATASET else None
    busy = await deletions.busy_kinds(connection, _USERS[doomed.what], dataset_id=number)
    if busy:
        at_work = " and ".join(f"/{'voices compare' if kind == 'compare' else kind}" for kind in busy)
        raise NothingToDo(
            f"This is in use: {at_work} is running. Nothing was deleted.", "Wait until that has ended, or stop it."
        )


async def _delete_drafts(connection: aiosqlite.Connection, doomed: Doomed) -> None:
    standings = await deletions.draft_standings(connection)
    gone = deletions.deletable(standings, DRAFTS[doomed.which or "all"])
    if _ids(gone) != doomed.draft_ids:
        raise NothingToDo("Drafts were decided meanwhile. Nothing was deleted.", "Use /data delete again.")
    await deletions.delete_drafts(connection, [each.id for each in gone])


# --- looking --------------------------------------------------------------------------------------------------


async def _look_at_posts(connection: aiosqlite.Connection, doomed: Doomed) -> Doomed:
    found = await deletions.blog_contents(connection, doomed.which)
    return replace(doomed, posts=found.posts, examples=found.examples, datasets=found.datasets, parents=found.parents)


async def _look_at_dataset(connection: aiosqlite.Connection, doomed: Doomed) -> Doomed:
    found = await deletions.dataset_contents(connection, int(doomed.which))
    if found is None:
        raise NothingToDo(f"There is no dataset {doomed.which}.", "/data show tells what there is.")
    return replace(
        doomed,
        datasets=1,
        examples=found.examples,
        screening_decisions=found.screening_decisions,
        voices=found.voices,
        is_newest=found.is_newest,
    )


async def _look_at_drafts(connection: aiosqlite.Connection, doomed: Doomed) -> Doomed:
    standings = await deletions.draft_standings(connection)
    return _with_drafts(doomed, standings, deletions.deletable(standings, DRAFTS[doomed.which or "all"]))


async def _look_at_everything(connection: aiosqlite.Connection, doomed: Doomed) -> Doomed:
    for blog in await deletions.blogs_with_contents(connection):
        found = await deletions.blog_contents(connection, blog)
        doomed = replace(doomed, posts=doomed.posts + found.posts, parents=doomed.parents + found.parents)
    for number in await deletions.kept_datasets(connection):
        dataset = await deletions.dataset_contents(connection, number)
        if dataset is not None:
            doomed = replace(
                doomed,
                datasets=doomed.datasets + 1,
                examples=doomed.examples + dataset.examples,
                screening_decisions=doomed.screening_decisions + dataset.screening_decisions,
                voices=doomed.voices + dataset.voices,
                is_newest=True,
            )
    doomed = replace(doomed, comparisons=await deletions.comparison_count(connection))
    return await _look_at_drafts(connection, doomed)


def _with_drafts(doomed: Doomed, standings: list[DraftStanding], gone: list[DraftStanding]) -> Doomed:
    under_way = [each for each in standings if each.state in _UNDER_WAY or each.is_awaited]
    left = {each.id for each in standings} - {each.id for each in gone} - {each.id for each in under_way}
    return replace(
        doomed,
        draft_ids=_ids(gone),
        decisions=sum(each.decisions for each in gone),
        set_aside=sum(each.state is DraftState.REPLACED for each in gone),
        under_way=len(under_way),
        sent=sum(each.was_sent for each in standings if each.id in left),
    )


def _ids(drafts: Sequence[DraftStanding]) -> tuple[int, ...]:
    return tuple(sorted(each.id for each in drafts))


_LOOKS = {
    What.POSTS: _look_at_posts,
    What.DATASET: _look_at_dataset,
    What.DRAFTS: _look_at_drafts,
    What.EVERYTHING: _look_at_everything,
}
