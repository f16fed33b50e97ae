"""A draft's row: which step may follow which, what is recorded of each, and what is found again."""

from __future__ import annotations

import itertools

import aiosqlite
import pytest

from bot.drafts import FOLLOWERS, Action, Closest, Draft, DraftState, Finding, Parent, Person, UploadState
from bot.errors import DraftDecided
from bot.store import decisions, jobs, uploads, voices
from bot.store import drafts as store
from bot.store.database import Database
from bot.store.drafts import NewDraft, Wanted
from bot.training import Voice, VoiceKind

ANNA, BERT = Person(1, "anna"), Person(2, "bert")


async def add(db: Database, text: str = "a text", **more: object) -> int:
    async with db.write() as connection:
        voice = Voice(0, VoiceKind.FEW_SHOT, "few-shot", "m", "u", None, "d", "u", 0.0, False, 0.0)
        given = {
            "text": text, "tags": ("gull",), "prompt": "p", "voice_id": await voices.add_voice(connection, voice),
            "job_id": None, "slot": None, "replaces": None, "blog": "keeper", "upload_state": UploadState.QUEUE,
            "cost": 0.5,
        }  # fmt: skip
        return await store.add_draft(connection, NewDraft(**(given | more)), now=9.0)


async def get(db: Database, draft_id: int) -> Draft:
    found = await store.get_draft(db, draft_id)
    assert found is not None
    return found


async def get_in(connection: aiosqlite.Connection, draft_id: int) -> Draft:
    found = await store.draft_in(connection, draft_id)
    assert found is not None
    return found


async def put(db: Database, draft_id: int, state: DraftState) -> None:
    async with db.write() as connection:
        await connection.execute("UPDATE drafts SET state = ? WHERE id = ?", (state, draft_id))


async def decide(db: Database, draft_id: int, state: DraftState, person: Person = ANNA, **more: object) -> Draft:
    async with db.write() as connection:
        draft, _ = await decisions.decide(
            connection, draft_id, action="test", person=person, allowed_from=frozenset(DraftState), state=state,
            now=11.0, **more,
        )  # fmt: skip
    return draft


async def rows(db: Database, query: str) -> list[tuple[object, ...]]:
    async with db.read() as connection:
        return [tuple(row) for row in await connection.execute_fetchall(query)]


async def test_a_draft_comes_back_as_it_was_written(db: Database):
    parent = Parent("t:x", "other", "123", "their words", "https://other.tumblr.com/post/123")
    draft = await get(db, await add(db, "wörds 🦭", parent=parent, note="cut", channel_id=5))
    assert (draft.text, draft.tags, draft.prompt, draft.voice_name) == ("wörds 🦭", ("gull",), "p", "few-shot")
    assert (draft.state, draft.blog, draft.upload_state) == (DraftState.PENDING, "keeper", UploadState.QUEUE)
    assert (draft.cost, draft.created_at, draft.note, draft.channel_id) == (0.5, 9.0, "cut", 5)
    assert (draft.parent, draft.edited, draft.decided_by, draft.version, draft.shown_version) == (
        parent, False, None, 1, 0,
    )  # fmt: skip
    assert await store.get_draft(db, 99) is None


@pytest.mark.parametrize(("before", "after"), list(itertools.product(DraftState, DraftState)))
async def test_only_a_step_that_may_follow_is_taken(db: Database, before: DraftState, after: DraftState):
    mine, persons = await add(db), await add(db)
    await put(db, mine, before)
    await put(db, persons, before)
    for draft_id in (mine, persons):
        version = (await get(db, draft_id)).version
        try:
            if draft_id == mine:
                async with db.write() as connection:
                    await store.move_draft(connection, mine, to=after)
            else:
                await decide(db, persons, after)
        except DraftDecided:
            assert after not in FOLLOWERS[before]
            assert ((await get(db, draft_id)).state, (await get(db, draft_id)).version) == (before, version)
        else:
            assert after in FOLLOWERS[before]
            assert ((await get(db, draft_id)).state, (await get(db, draft_id)).version) == (after, version + 1)
    assert len(await rows(db, "SELECT * FROM decisions")) == (after in FOLLOWERS[before])


async def test_a_decision_records_who_when_before_and_after(db: Database):
    number = await add(db, "before")
    edited = await decide(db, number, DraftState.PENDING, text="after", tags=("tea",))
    assert (edited.text, edited.tags, edited.edited, edited.decided_by, edited.decided_at) == (
        "after", ("tea",), True, "anna", 11.0,
    )  # fmt: skip
    await decide(db, number, DraftState.REJECTED, BERT)
    assert await rows(
        db,
        "SELECT user_id, user_name, at, state_before, state_after, text_before, text_after, tags_before, tags_after"
        " FROM decisions ORDER BY id",
    ) == [
        (1, "anna", 11.0, "pending", "pending", "before", "after", '["gull"]', '["tea"]'),
        (2, "bert", 11.0, "pending", "rejected", "after", "after", '["tea"]', '["tea"]'),
    ]
    assert (await get(db, number)).decided_by == "bert"
    assert await rows(db, "SELECT original_text FROM drafts") == [("before",)]


async def test_a_second_decision_names_who_was_quicker(db: Database):
    number = await add(db)
    await decide(db, number, DraftState.REJECTED, BERT)
    with pytest.raises(DraftDecided, match=f"Draft {number} cannot be changed: it is rejected by bert"):
        await decide(db, number, DraftState.APPROVED)
    with pytest.raises(DraftDecided, match="does not exist any more"):
        await decide(db, 99, DraftState.APPROVED)


async def test_an_upload_needs_a_recorded_approval(db: Database):
    number = await add(db)
    await put(db, number, DraftState.APPROVED)
    with pytest.raises(DraftDecided, match="no recorded approval"):
        async with db.write() as connection:
            await uploads.begin_upload(connection, await get(db, number), body={}, now=1.0)
    assert (await get(db, number)).state is DraftState.APPROVED
    assert await uploads.last_upload(db, number) is None


async def test_an_upload_is_written_down_and_counted(db: Database):
    number = await add(db)
    await decide(db, number, DraftState.APPROVED)
    for round_ in range(2):
        draft = await get(db, number)
        async with db.write() as connection:
            upload = await uploads.begin_upload(connection, draft, body={"content": [round_]}, now=1.0)
        assert await uploads.last_upload(db, number) == upload
        async with db.write() as connection:
            await uploads.looked_for_upload(connection, upload.id, looked_at=1)
            await uploads.end_upload(connection, upload.id, outcome="not sent", now=2.0, retry_at=7.0)
            await store.move_draft(connection, number, to=DraftState.APPROVED)
        seen = await uploads.last_upload(db, number)
        assert seen is not None
        assert (seen.looked_at, seen.retry_at) == (1, 7.0)
        assert await uploads.times_not_sent(db, number) == round_ + 1
    await put(db, number, DraftState.PENDING)
    await decide(db, number, DraftState.APPROVED)
    assert await uploads.times_not_sent(db, number) == 0, "a new approval begins to count anew"


async def test_slots_are_filled_once(db: Database):
    async with db.write() as connection:
        job = await jobs.insert_job(connection, "g", {}, requested_by="k", requester_id=1, channel_id=None, now=0.0)
    await add(db, job_id=job.id, slot=2)
    await add(db, job_id=job.id, slot=None)
    assert await store.slots_written(db, job.id) == {2}
    with pytest.raises(Exception, match="UNIQUE"):
        await add(db, job_id=job.id, slot=2)


async def test_what_is_behind_its_message_is_found(db: Database):
    first, second = await add(db), await add(db)
    async with db.write() as connection:
        await store.draft_shown(connection, await get_in(connection, first), channel_id=5, message_id=6)
    assert [draft.id for draft in await store.drafts_to_show(db, limit=9)] == [second]
    async with db.write() as connection:
        await store.note_on_draft(connection, first, "look", state=DraftState.PENDING)
        await store.note_on_draft(connection, first, "look", state=DraftState.PENDING)
    assert [draft.id for draft in await store.drafts_to_show(db, limit=9)] == [first, second]
    assert (await get(db, first)).version == 2, "the same note again is no change"
    async with db.write() as connection:
        as_edited = await get_in(connection, first)
        await store.draft_shown(connection, as_edited, channel_id=5, message_id=6)
        as_shown = await get_in(connection, first)
        await store.show_again(connection, first, 5)
        # An edit of the old message that was under way meanwhile does not stand for the one that was asked for.
        await store.draft_shown(connection, as_shown, channel_id=5, message_id=6)
    shown = await get(db, first)
    assert (shown.message_id, shown.channel_id, shown.shown_version) == (6, 5, 0)


async def test_only_a_replaced_draft_without_successor_is_rewritten(db: Database):
    waiting, replaced, done = await add(db), await add(db), await add(db)
    await put(db, replaced, DraftState.REPLACED)
    await put(db, done, DraftState.REPLACED)
    await add(db, replaces=done)
    assert [draft.id for draft in await store.drafts_to_rewrite(db, limit=9)] == [replaced]
    assert waiting not in {draft.id for draft in await store.drafts_to_rewrite(db, limit=9)}


async def test_tags_come_late_only_to_an_untouched_draft(db: Database):
    free, edited, decided = await add(db), await add(db), await add(db)
    await decide(db, edited, DraftState.PENDING, text="mine", tags=("own",))
    await decide(db, decided, DraftState.REJECTED)
    for number in (free, edited, decided):
        async with db.write() as connection:
            await store.add_tags(connection, number, ("late",), cost=0.25)
    assert [(await get(db, n)).tags for n in (free, edited, decided)] == [("late",), ("own",), ("gull",)]
    assert [(await get(db, n)).cost for n in (free, edited, decided)] == [0.75] * 3
    assert (await get(db, free)).version == 2


async def test_counts_and_adopted_posts(db: Database):
    first, _ = await add(db), await add(db)
    await put(db, first, DraftState.UPLOADING)
    async with db.write() as connection:
        await store.move_draft(connection, first, to=DraftState.UPLOADED, post_id="77", post_url="https://x")
    assert await store.count_by_state(db) == {DraftState.PENDING: 1, DraftState.UPLOADED: 1}
    assert await store.adopted_posts(db) == {"77"}
    assert (await get(db, first)).post_url == "https://x"
    assert [draft.id for draft in await store.drafts_in(db, [DraftState.UPLOADED], limit=9)] == [first]


async def test_waiting_before_anything_was_sent_is_no_failure_to_send(db: Database):
    number = await add(db)
    draft = await decide(db, number, DraftState.APPROVED)
    assert await uploads.first_tried(db, number) is None
    async with db.write() as connection:
        for now in (5.0, 6.0):
            await uploads.postpone_upload(connection, draft, outcome="not sent", note="wait", now=now, retry_at=9.0)
    waits = await get(db, number)
    assert (waits.state, waits.note) == (DraftState.APPROVED, "wait")
    upload = await uploads.last_upload(db, number)
    assert upload is not None
    assert (upload.retry_at, upload.outcome, upload.body) == (9.0, "not sent", {})
    assert await uploads.times_not_sent(db, number) == 0
    assert await uploads.first_tried(db, number) == 5.0


async def test_what_the_guards_found_comes_back_as_it_was_written(db: Database):
    found = (Finding("close", "It repeats a post."), Finding("flagged", "It was flagged."))
    number = await add(
        db, seed=7, input_tokens=10, output_tokens=20, findings=found, held_back=True, closeness=0.75,
        closest=Closest("their words", "https://keeper.tumblr.com/1"), rewrites=2,
    )  # fmt: skip
    draft = await get(db, number)
    assert (draft.findings, draft.held_back, draft.closeness) == (found, True, 0.75)
    assert draft.closest == Closest("their words", "https://keeper.tumblr.com/1")
    assert await rows(db, "SELECT seed, input_tokens, output_tokens, rewrites FROM drafts") == [(7, 10, 20, 2)]
    plain = await get(db, await add(db))
    assert (plain.findings, plain.held_back, plain.closeness, plain.closest) == ((), False, None, None)


async def test_a_draft_that_is_regenerated_twice_is_rewritten_twice(db: Database):
    number = await add(db)

    async def press(action: Action, state: DraftState) -> None:
        async with db.write() as connection:
            await decisions.decide(
                connection, number, action=action, person=ANNA, allowed_from=frozenset(DraftState), state=state,
                now=1.0,
            )  # fmt: skip

    for _ in range(2):
        await press(Action.REGENERATE, DraftState.REPLACED)
        assert [draft.id for draft in await store.drafts_to_rewrite(db, limit=9)] == [number]
        await add(db, replaces=number)
        assert await store.drafts_to_rewrite(db, limit=9) == []
        await press(Action.RESTORE, DraftState.PENDING)


@pytest.mark.parametrize("state", sorted(set(DraftState) - {DraftState.REPLACED}))
async def test_a_failed_regeneration_touches_nothing_that_has_moved_on(db: Database, state: DraftState):
    number = await add(db)
    await put(db, number, state)
    before = await get(db, number)
    async with db.write() as connection:
        await store.return_replaced(connection, number, "it failed")
    assert await get(db, number) == before


async def test_only_the_last_run_of_approvals_counts(db: Database):
    number = await add(db)
    seen: list[tuple[str, ...]] = []

    async def press(action: str, person: Person, state: DraftState) -> None:
        async with db.write() as connection:
            await decisions.decide(
                connection, number, action=action, person=person, allowed_from=frozenset(DraftState), state=state,
                now=1.0,
            )  # fmt: skip
            counted = await decisions.approvals(connection, number)
        names = (await get(db, number)).approved_by
        if state is DraftState.PENDING:
            assert len(names) == len(counted), "what is shown is what counts"
        seen.append(names)

    await press("approve", ANNA, DraftState.PENDING)
    await press("edit", BERT, DraftState.PENDING)
    await press("approve", BERT, DraftState.PENDING)
    await press("approve", ANNA, DraftState.APPROVED)
    async with db.write() as connection:  # Tumblr refused it: everybody decides again
        await store.move_draft(connection, number, to=DraftState.PENDING, note="no")
        assert await decisions.approvals(connection, number) == set()
    seen.append((await get(db, number)).approved_by)
    assert seen == [("anna",), (), ("bert",), ("bert", "anna"), ()]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), {1, 2, 3}),
        (Wanted((DraftState.REJECTED,)), {2}),
        (Wanted((), None, "GULL"), {1, 2, 3}),
        (Wanted((), None, "mév"), {1, 2, 3}),
        (Wanted((), None, '"'), set[int]()),
        (Wanted((), None, "100%"), {3}),
        (Wanted((), None, " tea "), {1}),
        (Wanted((DraftState.PENDING,), None, "tea"), {1}),
        (Wanted((), 2), {2}),
        (Wanted((), 2, "tea"), set[int]()),
    ],
)
async def test_drafts_are_found_by_state_voice_and_words(db: Database, wanted: Wanted, found: set[int]):
    for text in ("Tea time", "coffee", "100% rain_"):
        await add(db, text, tags=("gull", "la mévette"))
    await put(db, 2, DraftState.REJECTED)
    drafts, total = await store.find_drafts(db, wanted, limit=9)
    assert ({draft.id for draft in drafts}, total) == (found, len(found))
    if found:
        rest, total = await store.find_drafts(db, wanted, after_id=min(found), limit=1)
        assert ([draft.id for draft in rest], total) == (sorted(found)[1:2], len(found))
