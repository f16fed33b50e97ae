"""Which press is allowed when: a decision counts only in the state in which the person saw the draft."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.drafts import Action, DraftState, Person, UploadState
from bot.errors import DraftDecided
from bot.pipeline import decide
from bot.store import decisions
from bot.store.drafts import get_draft
from tests.pipeline.conftest import open_bench
from tests.pipeline.test_publish import KEEPER, add

PRESSES = {
    "approve": ({DraftState.PENDING}, DraftState.APPROVED),
    "reject": ({DraftState.PENDING}, DraftState.REJECTED),
    "regenerate": ({DraftState.PENDING}, DraftState.REPLACED),
    "confirm_uploaded": ({DraftState.UNKNOWN}, DraftState.UPLOADED),
    "send_again": ({DraftState.UNKNOWN}, DraftState.APPROVED),
    "undo": ({DraftState.REJECTED, DraftState.APPROVED}, DraftState.PENDING),
    "restore": ({DraftState.REPLACED}, DraftState.PENDING),
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


async def test_what_was_sent_again_cannot_be_undone(tmp_path: Path):
    """Whether its first upload is on the blog is not certain: it must not wait as if it were not."""
    async with open_bench(tmp_path) as bench:
        draft_id = await add(bench.database)
        async with bench.database.write() as connection:
            await connection.execute("UPDATE drafts SET state = 'unknown' WHERE id = ?", (draft_id,))
        await decide.send_again(bench.database, draft_id, KEEPER, now=1.0)
        with pytest.raises(DraftDecided, match="cannot be taken back"):
            await decide.undo(bench.database, draft_id, KEEPER, now=1.0)


async def test_several_are_decided_in_one_step_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with open_bench(tmp_path) as bench:
        ids = [await add(bench.database) for _ in range(3)]
        shown = dict.fromkeys(ids, 1)
        real, calls = decisions.decide, 0

        async def dies(*given: object, **more: object) -> object:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise RuntimeError("the process dies")
            return await real(*given, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(decisions, "decide", dies)
        with pytest.raises(RuntimeError):
            await decide.decide_many(bench.database, Action.APPROVE, shown, KEEPER, now=1.0)
        found = [await get_draft(bench.database, draft_id) for draft_id in ids]
        assert [draft.state for draft in found if draft] == [DraftState.PENDING] * 3


@pytest.mark.parametrize("posts_a_day", [1, 3, 24])
async def test_turns_are_at_even_distances_for_what_others_see(tmp_path: Path, posts_a_day: int):
    async with open_bench(tmp_path) as bench:
        rules = decide.Rules(posts_a_day=posts_a_day)
        turns: list[float | None] = []
        for now in (100.0, 101.0, 102.0):
            draft_id = await add(bench.database, state=UploadState.PUBLISHED)
            turns.append((await decide.approve(bench.database, draft_id, KEEPER, now=now, rules=rules)).publish_at)
        apart = 86_400 / posts_a_day
        assert turns == [100.0, 100.0 + apart, 100.0 + 2 * apart]
        other = await add(bench.database, state=UploadState.PUBLISHED, blog="another")
        assert (await decide.approve(bench.database, other, KEEPER, now=103.0, rules=rules)).publish_at == 103.0
        queued = await add(bench.database, state=UploadState.QUEUE, blog="third")
        assert (await decide.approve(bench.database, queued, KEEPER, now=103.0, rules=rules)).publish_at == 703.0
        unseen = await add(bench.database, state=UploadState.DRAFT)
        assert (await decide.approve(bench.database, unseen, KEEPER, now=104.0, rules=rules)).publish_at is None
        back = await decide.undo(bench.database, draft_id, KEEPER, now=105.0)
        assert back.publish_at is None
