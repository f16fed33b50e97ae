"""Which press is allowed when: a decision counts only in the state in which the person saw the draft."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.drafts import DraftState, Person
from bot.errors import DraftDecided
from bot.pipeline import decide
from bot.store.drafts import get_draft
from tests.pipeline.conftest import open_bench
from tests.pipeline.test_publish import KEEPER, add

PRESSES = {
    "approve": ({DraftState.PENDING}, DraftState.APPROVED),
    "reject": ({DraftState.PENDING}, DraftState.REJECTED),
    "regenerate": ({DraftState.PENDING}, DraftState.REPLACED),
    "confirm_uploaded": ({DraftState.UNKNOWN}, DraftState.UPLOADED),
    "send_again": ({DraftState.UNKNOWN}, DraftState.APPROVED),
}


@pytest.mark.parametrize("press", PRESSES)
async def test_a_press_counts_only_where_it_was_offered(tmp_path: Path, press: str):
    allowed, after = PRESSES[press]
    async with open_bench(tmp_path) as bench:
        for state in DraftState:
            draft_id = await add(bench.database)
            async with bench.database.write() as connection:
                await connection.execute("UPDATE drafts SET state = ? WHERE id = ?", (state, draft_id))
            act = getattr(decide, press)
            if state in allowed:
                assert (await act(bench.database, draft_id, KEEPER, now=5.0)).state is after
            else:
                with pytest.raises(DraftDecided):
                    await act(bench.database, draft_id, KEEPER, now=5.0)
            found = await get_draft(bench.database, draft_id)
            assert found is not None
            assert found.state is (after if state in allowed else state)
            assert found.decided_by == ("keeper" if state in allowed else None)


async def test_two_presses_at_once_make_one_decision(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        draft_id = await add(bench.database)
        other = Person(2, "odile")
        results = await asyncio.gather(
            decide.approve(bench.database, draft_id, KEEPER, now=1.0),
            decide.reject(bench.database, draft_id, other, now=1.0),
            return_exceptions=True,
        )
        assert sum(isinstance(result, DraftDecided) for result in results) == 1
        async with bench.database.read() as connection:
            rows = list(await connection.execute_fetchall("SELECT * FROM decisions"))
        assert len(rows) == 1


async def test_an_edit_keeps_what_was_written_first(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        draft_id = await add(bench.database, "as generated")
        edited = await decide.edit(bench.database, draft_id, KEEPER, text=" by hand \n", tags="#one, two,,one", now=1.0)
        assert (edited.text, edited.tags, edited.edited, edited.state) == (
            "by hand",
            ("one", "two"),
            True,
            DraftState.PENDING,
        )
        async with bench.database.read() as connection:
            (row,) = await connection.execute_fetchall("SELECT * FROM decisions")
        assert (row["text_before"], row["text_after"], row["user_name"]) == ("as generated", "by hand", "keeper")
        with pytest.raises(DraftDecided, match="needs some text"):
            await decide.edit(bench.database, draft_id, KEEPER, text="  ", tags="", now=1.0)
