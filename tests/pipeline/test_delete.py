"""Which drafts can go, and a deletion that is cut off or cannot write a file."""

from __future__ import annotations

from pathlib import Path

import aiosqlite
import pytest

from bot.drafts import DraftState
from bot.errors import BotError
from bot.pipeline import delete
from bot.pipeline.delete import DRAFTS, What
from bot.store.deletions import DraftStanding, deletable
from tests.pipeline.room import everything, nights, open_room, store_posts

P, R, A = DraftState.PENDING, DraftState.REPLACED, DraftState.REJECTED


def draft(number: int, state: DraftState, replaces: int | None = None, **more: bool) -> DraftStanding:
    return DraftStanding(number, state, replaces, 0, more.get("was_sent", False), more.get("is_awaited", False))


@pytest.mark.parametrize(
    ("drafts", "which", "expected"),
    [
        ([draft(1, P), draft(2, A), draft(3, DraftState.UPLOADED, was_sent=True)], "undecided", [1]),
        ([draft(1, P), draft(2, A), draft(3, DraftState.APPROVED)], "all", [1, 2]),
        # A chain goes whole: 1 was set aside for 2, and that for 3.
        ([draft(1, R), draft(2, R, 1), draft(3, P, 2)], "undecided", [1, 2, 3]),
        ([draft(1, R), draft(2, R, 1), draft(3, P, 2)], "rejected", []),
        ([draft(1, R), draft(2, A, 1), draft(3, P)], "rejected", [1, 2]),
        # One that was sent stays, and so does all that came after it: it would be written anew.
        ([draft(1, R, was_sent=True), draft(2, R, 1), draft(3, P, 2), draft(4, P)], "undecided", [4]),
        ([draft(1, R, was_sent=True), draft(2, R, 1), draft(3, P, 2), draft(4, P)], "all", [4]),
        # Sent once, taken back from the blog, and waiting again.
        ([draft(1, P, was_sent=True)], "all", []),
        # Another one is being written in its place.
        ([draft(1, R, is_awaited=True), draft(2, P, 1)], "all", [2]),
    ],
)
def test_which_drafts_can_go(drafts: list[DraftStanding], which: str, expected: list[int]):
    assert [each.id for each in deletable(drafts, DRAFTS[which])] == expected


async def test_what_was_cut_off_is_gone_on_with_and_a_file_that_cannot_be_written_is_said(tmp_path: Path):
    async def nothing(_: aiosqlite.Connection) -> None:
        pass

    async with open_room(tmp_path) as room:
        await store_posts(room.database, nights(30))
        await everything(room.examples())
        assert room.training_file.exists()
        doomed = await delete.look(room.database, What.POSTS, "keeper", training_data_file=room.training_file)
        assert (doomed.posts, doomed.datasets, doomed.typed) == (30, 1, "keeper")
        room.training_file.unlink()
        room.training_file.mkdir()
        error = await delete.delete(
            room.database, doomed, training_data_file=room.training_file, now=1.0, beside=nothing
        )
        assert isinstance(error, BotError)
        assert await room.rows("SELECT count(*) FROM posts") == [(0,)]
        # The note stays: the next look at retention goes on with it.
        assert len(await room.rows("SELECT name FROM facts WHERE name LIKE 'the training file is behind'")) == 1
