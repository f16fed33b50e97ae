"""An approved draft becomes exactly one post on the blog, or none, whatever Tumblr and the machine do."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.demo.faults import Fault
from bot.drafts import Draft, DraftState, Person, UploadState
from bot.errors import DraftDecided
from bot.pipeline import decide
from bot.pipeline.publish import publish
from bot.store import drafts as store
from bot.store import voices
from bot.store.database import Database
from bot.store.drafts import NewDraft
from bot.training import Voice, VoiceKind
from tests.pipeline.conftest import NAME, Bench, open_bench

KEEPER = Person(1, "keeper")
POST = "/v2/blog/*/posts"
LOOKS = (0.0, 0.02, 0.04)
RETRIES = (0.01, 0.02)


async def add(database: Database, text: str = "the light is lit.", state: UploadState = UploadState.DRAFT) -> int:
    async with database.write() as connection:
        voice = Voice(0, VoiceKind.FEW_SHOT, "few-shot", "m", "http://127.0.0.1", None, "d", "u", 0.0, False, 0.0)
        voice_id = await voices.add_voice(connection, voice)
        draft = NewDraft(text, ("gull",), "prompt", voice_id, None, None, None, NAME, state, 0.0)
        return await store.add_draft(connection, draft, now=0.0)


async def approved(bench: Bench, text: str = "the light is lit.", state: UploadState = UploadState.DRAFT) -> int:
    draft_id = await add(bench.database, text, state)
    await decide.approve(bench.database, draft_id, KEEPER, now=0.0)
    return draft_id


async def settle(bench: Bench) -> None:
    """Publish until nothing is due any more."""
    for _ in range(400):
        due = None
        async for progress in publish(bench.database, bench.tumblr, look_after=LOOKS, retry_after=RETRIES):
            due = progress.wait_until
        if due is None:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("publishing never came to rest")


async def draft(bench: Bench, draft_id: int) -> Draft:
    found = await store.get_draft(bench.database, draft_id)
    assert found is not None
    return found


def texts(bench: Bench) -> list[str]:
    """Everything on the blog, wherever it is."""
    return [
        "\n\n".join(block["text"] for block in post["content"])
        for post in (*bench.blog.posts, *bench.blog.drafts, *bench.blog.queue)
    ]


@pytest.mark.parametrize(
    ("state", "place"),
    [
        (UploadState.DRAFT, "drafts"),
        (UploadState.QUEUE, "queue"),
        (UploadState.PUBLISHED, "posts"),
        (UploadState.PRIVATE, "posts"),
    ],
)
async def test_it_arrives_as_what_was_promised(tmp_path: Path, state: UploadState, place: str):
    async with open_bench(tmp_path) as bench:
        draft_id = await approved(bench, "first\n\nsecond", state)
        await settle(bench)
        (post,) = getattr(bench.blog, place)
        assert texts(bench) == ["first\n\nsecond"]
        assert post["tags"] == ["gull"]
        assert post["state"] == {"queue": "queued"}.get(state, state)
        done = await draft(bench, draft_id)
        assert (done.state, done.post_id, done.note) == (DraftState.UPLOADED, str(post["id"]), "")
        assert NAME in (done.post_url or "")


@pytest.mark.parametrize("action", [decide.reject, decide.regenerate])
async def test_nothing_is_sent_without_an_approval(tmp_path: Path, action):
    async with open_bench(tmp_path) as bench:
        await add(bench.database, "waits")
        other = await add(bench.database, "refused")
        await action(bench.database, other, KEEPER, now=0.0)
        await settle(bench)
        assert texts(bench) == []
        assert not [request for request in bench.service.requests if request.method == "POST"]


async def test_an_upload_without_a_recorded_decision_is_refused_by_the_store(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with open_bench(tmp_path) as bench:
        draft_id = await add(bench.database)
        async with bench.database.write() as connection:
            await connection.execute("UPDATE drafts SET state = 'approved' WHERE id = ?", (draft_id,))
        other = await approved(bench, "approved by a person")
        await settle(bench)
        assert "no recorded approval" in caplog.text
        assert (await draft(bench, draft_id)).state is DraftState.APPROVED
        assert (await draft(bench, other)).state is DraftState.UPLOADED, "a defect in one draft stopped another"
        assert texts(bench) == ["approved by a person"]


LIMIT = {"meta": {"status": 429, "msg": "Limit Exceeded"}, "response": []}

# What the service does to the one write, and what must come of it: state of the draft, copies on the blog.
ONCE = [
    (Fault("POST", POST, "status", status=504, act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "status", status=500, act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "reset_after"), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "html", status=502, act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "truncated", act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "empty", act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "hang", act=True), DraftState.UPLOADED, 1),
    # Nothing was posted, but nobody could know: the owner is asked, nothing is sent again by itself.
    (Fault("POST", POST, "reset_before"), DraftState.UNKNOWN, 0),
    (Fault("POST", POST, "status", status=503), DraftState.UNKNOWN, 0),
    (Fault("POST", POST, "hang"), DraftState.UNKNOWN, 0),
    # Refused for good: it waits for another decision, with the reason on it.
    (
        Fault("POST", POST, "status", status=400, body={"errors": [{"code": 8001, "title": "Bad"}]}),
        DraftState.PENDING,
        0,
    ),
    (Fault("POST", POST, "status", status=401, body={"errors": [{"code": 1001}]}), DraftState.PENDING, 0),
    (Fault("POST", POST, "status", status=403, body={"errors": [{"code": 8023}]}), DraftState.PENDING, 0),
    (Fault("POST", POST, "status", status=404, body={"errors": [{"code": 0}]}), DraftState.PENDING, 0),
    # Told to wait: it is sent when the wait is over.
    (Fault("POST", POST, "status", status=429, body=LIMIT, headers={"Retry-After": "1"}), DraftState.UPLOADED, 1),
]


@pytest.mark.parametrize(("fault", "state", "copies"), ONCE, ids=[f"{f.kind}-{f.status}-{f.act}" for f, _, _ in ONCE])
async def test_whatever_tumblr_answers(tmp_path: Path, fault: Fault, state: DraftState, copies: int):
    async with open_bench(tmp_path, deadline=0.5) as bench:
        draft_id = await approved(bench)
        bench.service.faults.schedule(fault)
        await settle(bench)
        done = await draft(bench, draft_id)
        assert done.state is state
        assert len(texts(bench)) == copies
        if state is not DraftState.UPLOADED:
            assert done.note, "the owner is told why"


@pytest.mark.parametrize("text", ["\n \n", "word\n\n" * 1001], ids=["nothing", "too many blocks"])
async def test_what_cannot_be_a_post_is_given_back(tmp_path: Path, text: str):
    async with open_bench(tmp_path) as bench:
        draft_id = await approved(bench, text)
        await settle(bench)
        done = await draft(bench, draft_id)
        assert done.state is DraftState.PENDING
        assert done.note
        assert texts(bench) == []


async def test_several_posts_that_may_be_it_ask_the_owner(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        draft_id = await approved(bench)
        bench.service.faults.schedule(Fault("POST", POST, "reset_after"))
        async for _ in publish(bench.database, bench.tumblr, look_after=(60.0,), retry_after=RETRIES):
            pass
        # The owner's own copy of the same words, saved at the same moment.
        bench.service.add_post(bench.blog, {"content": bench.blog.drafts[0]["content"], "state": "published"})
        await settle(bench)
        done = await draft(bench, draft_id)
        assert done.state is DraftState.UNKNOWN
        assert "several" in done.note
        await decide.confirm_uploaded(bench.database, draft_id, KEEPER, now=0.0)
        await settle(bench)
        assert (await draft(bench, draft_id)).state is DraftState.UPLOADED
        assert len(texts(bench)) == 2


async def test_an_older_post_with_the_same_words_is_not_taken_for_it(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        bench.service.add_post(
            bench.blog,
            {
                "timestamp": 1_600_000_000,
                "state": "published",
                "content": [{"type": "text", "text": "the light is lit."}],
            },
        )
        draft_id = await approved(bench)
        bench.service.faults.schedule(Fault("POST", POST, "reset_before"))
        await settle(bench)
        assert (await draft(bench, draft_id)).state is DraftState.UNKNOWN
        await decide.send_again(bench.database, draft_id, KEEPER, now=0.0)
        await settle(bench)
        assert (await draft(bench, draft_id)).state is DraftState.UPLOADED
        assert len(texts(bench)) == 2


async def test_a_post_that_belongs_to_another_draft_is_not_taken_for_it(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        await approved(bench)
        await settle(bench)
        second = await approved(bench)
        bench.service.faults.schedule(Fault("POST", POST, "reset_before"))
        await settle(bench)
        assert (await draft(bench, second)).state is DraftState.UNKNOWN
        assert len(texts(bench)) == 1


async def test_what_never_reached_tumblr_is_tried_again_then_given_back(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        draft_id = await approved(bench)
        await bench.service.stop()
        await settle(bench)
        done = await draft(bench, draft_id)
        assert done.state is DraftState.PENDING
        assert done.note


async def test_the_quota_holds_for_every_draft(tmp_path: Path):
    """Tumblr asked for a pause: the drafts behind the first are not thrown after it."""
    async with open_bench(tmp_path) as bench:
        ids = [await approved(bench, f"draft {n}") for n in range(4)]
        bench.service.faults.schedule(Fault("POST", POST, "status", 429, LIMIT, {"Retry-After": "1"}))
        async for _ in publish(bench.database, bench.tumblr, look_after=LOOKS, retry_after=RETRIES):
            pass
        assert len(bench.service.faults.served) == 1
        assert texts(bench) == []
        await settle(bench)
        assert sorted(texts(bench)) == [f"draft {n}" for n in range(4)]
        assert {(await draft(bench, draft_id)).state for draft_id in ids} == {DraftState.UPLOADED}


async def test_stopping_the_bot_during_the_call_still_records_what_became_of_it(tmp_path: Path):
    async with open_bench(tmp_path, deadline=0.5) as bench:
        draft_id = await approved(bench)
        bench.service.faults.schedule(Fault("POST", POST, "drip", act=True))

        async def once() -> None:
            async for _ in publish(bench.database, bench.tumblr, look_after=LOOKS, retry_after=RETRIES):
                pass

        task = asyncio.create_task(once())
        while not bench.blog.drafts:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await draft(bench, draft_id)).state is DraftState.UNKNOWN, "the outcome was not written down"
        await settle(bench)
        assert (await draft(bench, draft_id)).state is DraftState.UPLOADED
        assert len(texts(bench)) == 1


faults = st.sampled_from([None, None, *(fault for fault, _, _ in ONCE if fault.kind != "hang")])


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["approve", "reject", "edit", "confirm", "resend", "publish", "crash"]),
            st.integers(0, 2),
            faults,
        ),
        max_size=14,
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_never_twice_and_never_lost(steps):
    """Any order of presses, faults and crashes: a draft is on the blog at most as often as a person said so."""

    async def check() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with open_bench(Path(folder)) as bench:
                ids = [await add(bench.database, f"draft number {n}") for n in range(3)]
                told: dict[int, int] = dict.fromkeys(ids, 0)
                for what, which, fault in steps:
                    draft_id = ids[which]
                    if fault is not None:
                        bench.service.faults.clear()
                        bench.service.faults.schedule(fault)
                    try:
                        match what:
                            case "approve":
                                await decide.approve(bench.database, draft_id, KEEPER, now=0.0)
                                told[draft_id] += 1
                            case "resend":
                                await decide.send_again(bench.database, draft_id, KEEPER, now=0.0)
                                told[draft_id] += 1
                            case "reject":
                                await decide.reject(bench.database, draft_id, KEEPER, now=0.0)
                            case "confirm":
                                await decide.confirm_uploaded(bench.database, draft_id, KEEPER, now=0.0)
                            case "edit":
                                text = f"draft number {which}"
                                await decide.edit(bench.database, draft_id, KEEPER, text=text, tags="", now=0.0)
                            case "publish":
                                await settle(bench)
                            case _:  # the process dies right after it wrote down the intent
                                found = await draft(bench, draft_id)
                                if found.state is DraftState.APPROVED:
                                    async with bench.database.write() as connection:
                                        await store.begin_upload(connection, found, body={}, now=0.0)
                    except DraftDecided:
                        pass
                bench.service.faults.clear()
                await settle(bench)
                on_blog = texts(bench)
                for number, draft_id in enumerate(ids):
                    copies = on_blog.count(f"draft number {number}")
                    done = await draft(bench, draft_id)
                    assert copies <= told[draft_id], "posted more often than anybody said"
                    assert done.state not in (DraftState.APPROVED, DraftState.UPLOADING), "lost on the way"
                    if done.state is DraftState.UPLOADED and done.post_id is not None:
                        assert copies >= 1, "said to be there, and is not"
                    if told[draft_id] <= 1:
                        assert copies <= 1

    asyncio.run(check())
