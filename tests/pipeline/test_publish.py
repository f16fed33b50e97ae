"""An approved draft becomes exactly one post on the blog, or none, whatever Tumblr and the machine do."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.demo.faults import Fault
from bot.demo.tumblr_blog import STATES, StandInBlog
from bot.drafts import Draft, DraftState, Parent, Person, UploadState
from bot.errors import DraftDecided
from bot.pipeline import decide
from bot.pipeline.publish import LOOK_AFTER, publish
from bot.store import drafts as store
from bot.store import uploads, voices
from bot.store.database import Database
from bot.store.drafts import NewDraft
from bot.training import Voice, VoiceKind
from bot.tumblr.npf import clean_tags
from bot.tumblr.quota import Governor
from tests.pipeline.conftest import NAME, Bench, open_bench

KEEPER = Person(1, "keeper")
POST = "/v2/blog/*/posts"
LOOKS = (0.0, 0.02, 0.04)
RETRIES = (0.01, 0.02)


@dataclass
class Watch:
    """The clock of the bot and the stand-in. It runs, and can be put forward instead of waiting."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Desk:
    """A bench with a watch: what is due in an hour is done now."""

    bench: Bench
    watch: Watch

    async def publish(self) -> float | None:
        """Once through all that is due. Returns when to come back."""
        due = None
        async for progress in publish(self.bench.database, self.bench.tumblr, retry_after=RETRIES, clock=self.watch):
            due = progress.wait_until
        return due

    async def settle(self) -> None:
        """Publish until nothing is due any more, each time at the moment that was named."""
        for _ in range(400):
            due = await self.publish()
            if due is None:
                return
            self.watch.ahead += max(0.0, due - self.watch())
        raise AssertionError("publishing never came to rest")

    async def is_retried(self, draft_id: int) -> bool:
        """Whether the draft says when it goes on."""
        return "<t:" in (await draft(self.bench, draft_id)).note


@asynccontextmanager
async def open_desk(folder: Path, *, deadline: float = 1.5) -> AsyncGenerator[Desk, None]:
    async with open_bench(folder, deadline=deadline) as bench:
        watch = Watch()
        bench.service.clock = watch
        bench.tumblr.governor = Governor(watch)
        yield Desk(bench, watch)


async def add(
    database: Database,
    text: str = "the light is lit.",
    state: UploadState = UploadState.DRAFT,
    *,
    parent: Parent | None = None,
    tags: tuple[str, ...] = ("gull",),
    blog: str = NAME,
) -> int:
    async with database.write() as connection:
        voice = Voice(0, VoiceKind.FEW_SHOT, "few-shot", "m", "http://127.0.0.1", None, "d", "u", 0.0, False, 0.0)
        voice_id = await voices.add_voice(connection, voice)
        draft = NewDraft(text, tags, "prompt", voice_id, None, None, None, blog, state, 0.0, parent=parent)
        return await store.add_draft(connection, draft, now=0.0)


async def approved(
    bench: Bench, text: str = "the light is lit.", state: UploadState = UploadState.DRAFT, **more: Any
) -> int:
    draft_id = await add(bench.database, text, state, **more)
    await decide.approve(bench.database, draft_id, KEEPER, now=0.0)
    return draft_id


def to_reblog(bench: Bench, text: str = "who lit the light?") -> Parent:
    """A post of somebody else."""
    blog = bench.service.blogs.get("harbour") or bench.service.add_blog("harbour", owned=False)
    made = bench.service.add_post(blog, {"content": [{"type": "text", "text": text}], "state": "published"})
    return Parent(blog.uuid, blog.name, made["id_string"], text, made["post_url"])


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


def sent(bench: Bench) -> list[dict[str, Any]]:
    """What was sent to the blog, in order."""
    return [request.body for request in bench.service.requests if request.method == "POST"]  # type: ignore[misc]


def asked(bench: Bench, ending: str) -> int:
    """How many reads there were of a path that ends like this."""
    return sum(request.method == "GET" and request.path.endswith(ending) for request in bench.service.requests)


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


def error(status: int, code: int, **more: Any) -> Fault:
    return Fault("POST", POST, "status", status=status, body={"errors": [{"code": code, "title": "No"}]}, **more)


# What the service does to the one write, and what must come of it: state of the draft, copies on the blog.
ONCE = [
    # It was made, and the answer was lost: it is found.
    (Fault("POST", POST, "status", status=504, act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "status", status=500, act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "status", status=408, act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "status", status=201, body={"response": {}}, act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "status", status=301, act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "reset_after"), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "html", status=200, act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "html", status=502, act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "html", status=403, act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "html", status=429, act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "truncated", act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "empty", act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "hang", act=True), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "drip", act=True), DraftState.UPLOADED, 1),
    # Only the content type is wrong: the answer counts.
    (Fault("POST", POST, "wrong_type", act=True), DraftState.UPLOADED, 1),
    # Nothing was posted, but nobody could know: the owner is asked, nothing is sent again by itself.
    (Fault("POST", POST, "reset_before"), DraftState.UNKNOWN, 0),
    (Fault("POST", POST, "status", status=503), DraftState.UNKNOWN, 0),
    (Fault("POST", POST, "status", status=504), DraftState.UNKNOWN, 0),
    (Fault("POST", POST, "html", status=200), DraftState.UNKNOWN, 0),
    (Fault("POST", POST, "html", status=403), DraftState.UNKNOWN, 0),
    (Fault("POST", POST, "html", status=429), DraftState.UNKNOWN, 0),
    (Fault("POST", POST, "hang"), DraftState.UNKNOWN, 0),
    (Fault("POST", POST, "drip"), DraftState.UNKNOWN, 0),
    # Refused for good: it waits for another decision, with the reason on it.
    (error(400, 8001), DraftState.PENDING, 0),
    (error(401, 1001), DraftState.PENDING, 0),
    (error(403, 0), DraftState.PENDING, 0),
    (error(403, 8022), DraftState.PENDING, 0),
    (error(404, 0), DraftState.PENDING, 0),
    (error(404, 4012), DraftState.PENDING, 0),
    # Told to wait: it is sent when the wait is over.
    (Fault("POST", POST, "status", status=429, body=LIMIT, headers={"Retry-After": "1"}), DraftState.UPLOADED, 1),
    (Fault("POST", POST, "status", status=429, body=LIMIT), DraftState.UPLOADED, 1),
    (error(403, 8023), DraftState.UPLOADED, 1),
]


@pytest.mark.parametrize(("fault", "state", "copies"), ONCE, ids=[f"{f.kind}-{f.status}-{f.act}" for f, _, _ in ONCE])
async def test_whatever_tumblr_answers(tmp_path: Path, fault: Fault, state: DraftState, copies: int):
    async with open_desk(tmp_path) as desk:
        bench = desk.bench
        draft_id = await approved(bench)
        bench.service.faults.schedule(fault)
        await desk.settle()
        done = await draft(bench, draft_id)
        assert done.state is state
        assert len(texts(bench)) == copies
        told_to_wait = (fault.kind, fault.status) == ("status", 429) or "8023" in str(fault)
        assert len(sent(bench)) == (2 if told_to_wait else 1)
        if state is DraftState.UPLOADED:
            assert done.post_id == str(bench.blog.drafts[0]["id"])
            assert done.note == ""
        else:
            assert done.note.endswith("."), "the owner is told why"


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
    async with open_bench(tmp_path, deadline=1.5) as bench:
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


# --- what it became ---------------------------------------------------------------------------------------------


ANSWERED = ["draft", "queue", "queued", "published", "private", "", "transcendent"]


@pytest.mark.parametrize("answer", ANSWERED)
@pytest.mark.parametrize("state", UploadState)
async def test_a_wrong_state_in_the_answer_is_said(tmp_path: Path, state: UploadState, answer: str):
    async with open_desk(tmp_path) as desk:
        draft_id = await approved(desk.bench, state=state)
        body = {"meta": {"status": 201}, "response": {"id": "77", "state": answer}}
        desk.bench.service.faults.schedule(Fault("POST", POST, "status", 201, body))
        await desk.settle()
        done = await draft(desk.bench, draft_id)
        assert (done.state, done.post_id) == (DraftState.UPLOADED, "77"), "it is on the blog, and that is known"
        said = "queue" if answer == "queued" else answer
        if said == state:
            assert done.note == ""
        else:
            assert "Please look at it there." in done.note
            assert ("**On Tumblr it is published, for everybody to see.**" in done.note) == (said == "published")
            assert "transcendent" not in done.note
        if said == "published":
            assert done.post_url == f"https://www.tumblr.com/{NAME}/77", "the link leads to where it is"


async def test_what_tumblr_made_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Tumblr's `state` fails open: should it ever do so for us, it is said, and no second post follows."""
    monkeypatch.setitem(STATES, "draft", "published")
    async with open_desk(tmp_path) as desk:
        draft_id = await approved(desk.bench)
        await desk.settle()
        assert len(desk.bench.blog.posts) == 1
        assert len(sent(desk.bench)) == 1
        assert "published, for everybody to see" in (await draft(desk.bench, draft_id)).note


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("🐦" * 4097, ["🐦" * 4096, "🐦"]),
        ("\n\n".join(f"{n} 🕯️" for n in range(1000)), [f"{n} 🕯️" for n in range(1000)]),
        ("e\u0301\r\n\r\n\u200f\u05e9\u05dc\x00 \ud800", ["e\u0301", "\u200f\u05e9\u05dc ?"]),
    ],
    ids=["emoji", "1000 paragraphs", "odd characters"],
)
async def test_a_text_arrives_whole_and_within_the_limits(tmp_path: Path, text: str, blocks: list[str]):
    async with open_desk(tmp_path, deadline=5.0) as desk:
        draft_id = await approved(desk.bench, text.encode("utf-8", "replace").decode())
        desk.bench.service.faults.schedule(Fault("POST", POST, "reset_after"))  # and is found again
        await desk.settle()
        (post,) = desk.bench.blog.drafts
        assert [block["text"] for block in post["content"]] == blocks
        assert (await draft(desk.bench, draft_id)).state is DraftState.UPLOADED


async def test_a_text_of_1001_paragraphs_is_given_back(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        draft_id = await approved(desk.bench, "\n\n".join(str(n) for n in range(1001)))
        await desk.settle()
        given_back = await draft(desk.bench, draft_id)
        assert given_back.state is DraftState.PENDING
        assert "longer than one Tumblr post may be" in given_back.note
        assert not sent(desk.bench)


async def test_tags_arrive_within_the_limits(tmp_path: Path):
    tags = ("#sea, salt", "x" * 141, *(f"tag {n}" for n in range(31)))
    async with open_desk(tmp_path) as desk:
        await approved(desk.bench, tags=tags)
        await desk.settle()
        (post,) = desk.bench.blog.drafts
        assert post["tags"] == ["sea", "salt", "x" * 140, *(f"tag {n}" for n in range(27))]
        assert tuple(post["tags"]) == clean_tags(tags)


# --- waiting ----------------------------------------------------------------------------------------------------


async def test_at_the_limit_of_posts_a_day_what_would_be_published_waits_without_calls(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        bench = desk.bench
        bench.service.daily_post_limit = 1
        now, later, queued, saved, private = [
            await approved(bench, f"draft {n}", state)
            for n, state in enumerate(
                [
                    UploadState.PUBLISHED,
                    UploadState.PUBLISHED,
                    UploadState.QUEUE,
                    UploadState.DRAFT,
                    UploadState.PRIVATE,
                ]
            )
        ]
        due = await desk.publish()
        assert due is not None
        assert due - desk.watch() > 3600, "Tumblr said when: at the end of its day"
        assert [body["state"] for body in sent(bench)] == ["published", "published", "draft", "private"]
        for draft_id in (later, queued):
            waits = await draft(bench, draft_id)
            assert waits.state is DraftState.APPROVED
            assert waits.note == f"Tumblr's limit of posts a day is reached. It will be sent <t:{int(due)}:R>."
        before = len(bench.service.requests)
        another = await approved(bench, "draft 5", UploadState.PUBLISHED)
        assert await desk.publish() == due, "it holds for what is approved later, too, and after a restart"
        assert len(bench.service.requests) == before
        assert (await draft(bench, another)).note
        bench.service.daily_post_limit = 250
        await desk.settle()
        assert sorted(texts(bench)) == [f"draft {n}" for n in range(6)]
        for draft_id in (now, later, queued, saved, private, another):
            done = await draft(bench, draft_id)
            assert (done.state, done.note) == (DraftState.UPLOADED, "")


async def test_without_a_time_for_it_the_limit_of_posts_a_day_is_tried_again_in_an_hour(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        await approved(desk.bench, state=UploadState.PUBLISHED)
        desk.bench.service.faults.schedule(
            error(403, 8023), Fault("GET", "/v2/user/limits", "status", status=500, times=3)
        )
        due = await desk.publish()
        assert due is not None
        assert 3500 < due - desk.watch() <= 3600
        await desk.settle()
        assert len(desk.bench.blog.posts) == 1


async def test_a_full_queue_gives_the_draft_back(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        desk.bench.service.queue_limit = 0
        draft_id = await approved(desk.bench, state=UploadState.QUEUE)
        await desk.settle()
        given_back = await draft(desk.bench, draft_id)
        assert given_back.state is DraftState.PENDING
        assert "The blog's queue is full." in given_back.note


async def test_a_pause_is_kept_by_all_drafts_after_a_restart_too(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        bench = desk.bench
        ids = [await approved(bench, f"draft {n}") for n in range(3)]
        bench.service.faults.schedule(Fault("POST", POST, "status", 429, LIMIT, {"Retry-After": "1800"}))
        due = await desk.publish()
        assert due is not None
        bench.tumblr.governor = Governor(desk.watch)  # as a new process has it, at the worst
        assert await desk.publish() == due
        assert len(bench.service.requests) == 1
        for draft_id in ids:
            assert await desk.is_retried(draft_id), "each says when it goes on"
        await desk.settle()
        assert len(texts(bench)) == 3


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_block_page_is_waited_out_before_anything_else(tmp_path: Path, *, arrived: bool):
    async with open_desk(tmp_path) as desk:
        bench = desk.bench
        first, second = [await approved(bench, f"draft {n}") for n in range(2)]
        bench.service.faults.schedule(Fault("POST", POST, "html", 403, act=arrived))
        for _ in range(5):
            due = await desk.publish()
            assert due is not None
        assert due - desk.watch() > 3000
        assert len(bench.service.requests) == 1, "not hammered"
        lost = await draft(bench, first)
        assert lost.state is DraftState.UNKNOWN
        assert lost.note.startswith("The blog could not be looked at: Tumblr blocks this machine's address.")
        waits = await draft(bench, second)
        assert waits.state is DraftState.APPROVED
        assert waits.note.startswith("Tumblr blocks this machine's address. It will be sent <t:")
        await desk.settle()
        assert (await draft(bench, first)).state is (DraftState.UPLOADED if arrived else DraftState.UNKNOWN)
        assert (await draft(bench, second)).state is DraftState.UPLOADED
        assert len(texts(bench)) == 1 + arrived


# --- looking ----------------------------------------------------------------------------------------------------


def own(bench: Bench, text: str, **more: Any) -> dict[str, Any]:
    """Something that the owner puts on the blog."""
    return bench.service.add_post(bench.blog, {"content": [{"type": "text", "text": text}], **more})


async def lost_upload(desk: Desk, state: UploadState = UploadState.DRAFT, **more: Any) -> int:
    """A draft that arrived, and whose answer was lost; nobody has looked yet."""
    draft_id = await approved(desk.bench, state=state, **more)
    found = await draft(desk.bench, draft_id)
    body = {"content": [{"type": "text", "text": found.text}], "state": state.value}
    async with desk.bench.database.write() as connection:
        await uploads.begin_upload(connection, found, body=body, now=desk.watch())
    written = {"queue": "queued"}.get(state, state.value)
    desk.bench.service.add_post(desk.bench.blog, body | {"state": written})
    return draft_id


@pytest.mark.parametrize("state", UploadState)
@pytest.mark.parametrize("others", [0, 19, 20, 130])
async def test_it_is_found_however_many_others_there_are(tmp_path: Path, state: UploadState, others: int):
    async with open_desk(tmp_path) as desk:
        desk.bench.service.page_limit = 20
        if state is UploadState.QUEUE:  # at its end, where new posts go
            for n in range(others):
                own(desk.bench, f"other {n}", state="queued", timestamp=1_600_000_000)
        draft_id = await lost_upload(desk, state)
        if state is not UploadState.QUEUE:
            place = "draft" if state is UploadState.DRAFT else "published"
            for n in range(others):
                own(desk.bench, f"other {n}", state=place)
        await desk.settle()
        done = await draft(desk.bench, draft_id)
        assert (done.state, done.note) == (DraftState.UPLOADED, "")
        assert not sent(desk.bench)


@pytest.mark.parametrize("state", [UploadState.DRAFT, UploadState.PUBLISHED])
async def test_what_is_older_than_the_upload_is_not_read_through(tmp_path: Path, state: UploadState):
    async with open_desk(tmp_path) as desk:
        desk.bench.service.page_limit = 20
        for n in range(300):
            own(desk.bench, f"old {n}", state="draft" if n % 2 else "published", timestamp=1_600_000_000 + n)
        desk.bench.service.add_post(desk.bench.blog, {"state": "published", "is_pinned": True, "timestamp": 9})
        await lost_upload(desk, state)
        await desk.settle()
        assert asked(desk.bench, "/posts/draft") <= 2
        assert asked(desk.bench, "/posts") <= 2


async def test_a_look_has_an_end_on_a_blog_that_has_none(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        draft_id = await approved(desk.bench)
        desk.bench.service.faults.schedule(Fault("POST", POST, "reset_before"))
        desk.bench.service.page_limit = 5
        for n in range(100):
            own(desk.bench, f"new {n}", state="draft" if n % 2 else "published")
        await desk.settle()
        assert (await draft(desk.bench, draft_id)).state is DraftState.UNKNOWN
        assert asked(desk.bench, "/posts/draft") <= 10 * len(LOOK_AFTER)
        assert asked(desk.bench, "/posts") <= 10 * len(LOOK_AFTER)


async def test_it_is_looked_for_several_times_over_some_minutes(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        draft_id = await approved(desk.bench)
        desk.bench.service.faults.schedule(Fault("POST", POST, "reset_before"))
        looks: list[float] = []
        while True:
            before = asked(desk.bench, "/posts/draft")
            due = await desk.publish()
            if asked(desk.bench, "/posts/draft") > before:
                looks.append(desk.watch())
            if due is None:
                break
            assert not (await draft(desk.bench, draft_id)).note, "it is not the owner's turn yet"
            desk.watch.ahead += max(0.0, due - desk.watch())
        assert [round(look - looks[0]) for look in looks] == [round(after) for after in LOOK_AFTER]
        assert looks[-1] - looks[0] >= 120
        assert "it was not found" in (await draft(desk.bench, draft_id)).note


async def test_it_is_found_at_the_last_look(tmp_path: Path):
    """Tumblr may be slow to show what it took."""
    async with open_desk(tmp_path) as desk:
        draft_id = await approved(desk.bench)
        desk.bench.service.faults.schedule(Fault("POST", POST, "reset_before"))
        for _ in range(len(LOOK_AFTER)):
            due = await desk.publish()
            assert due is not None
            if due - desk.watch() > 60:
                break
            desk.watch.ahead += max(0.0, due - desk.watch())
        own(desk.bench, "the light is lit.", state="draft")
        await desk.settle()
        assert (await draft(desk.bench, draft_id)).state is DraftState.UPLOADED


async def test_tumblr_may_have_trimmed_and_rewritten_it(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        draft_id = await approved(desk.bench, "a light: https://example.org/a?b=c\n\nand a gull")
        desk.bench.service.faults.schedule(Fault("POST", POST, "reset_before"))
        content = ["a light:  https://href.li/?https://example.org/a", "", "and a gull "]
        desk.bench.service.add_post(
            desk.bench.blog, {"content": [{"type": "text", "text": text} for text in content], "state": "draft"}
        )
        await desk.settle()
        assert (await draft(desk.bench, draft_id)).state is DraftState.UPLOADED


@pytest.mark.parametrize("text", ["https://example.org/a", "the light is lit. Or not."])
async def test_other_words_are_no_match(tmp_path: Path, text: str):
    async with open_desk(tmp_path) as desk:
        draft_id = await approved(desk.bench, "https://example.org/a" if text.startswith("the") else text)
        desk.bench.service.faults.schedule(Fault("POST", POST, "reset_before"))
        image = {"type": "image", "media": [{"url": "https://example.invalid/a.png"}]}
        desk.bench.service.add_post(desk.bench.blog, {"content": [image], "state": "draft"})
        own(desk.bench, "the light is lit.", state="draft")
        await desk.settle()
        assert (await draft(desk.bench, draft_id)).state is DraftState.UNKNOWN


@pytest.mark.parametrize("to", ["published", "queued"])
async def test_what_its_owner_has_moved_on_meanwhile_is_found_and_said(tmp_path: Path, to: str):
    async with open_desk(tmp_path) as desk:
        draft_id = await lost_upload(desk)
        post = desk.bench.blog.drafts[0]
        if to == "published":
            moved = desk.bench.service.publish_draft(desk.bench.blog, post["id"])
        else:
            moved = desk.bench.service.edit_post(desk.bench.blog, post["id"], {"state": to})
        await desk.settle()
        done = await draft(desk.bench, draft_id)
        assert (done.state, done.post_id) == (DraftState.UPLOADED, moved["id_string"])
        assert ("published" if to == "published" else "in the queue") in done.note
        assert "It was approved to be saved as a draft." in done.note


async def test_what_is_published_in_the_middle_of_a_look_is_one_post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with open_desk(tmp_path) as desk:
        bench = desk.bench
        draft_id = await lost_upload(desk)
        read_posts = bench.tumblr.posts

        async def just_then(*arguments: Any, **more: Any) -> Any:
            for post in list(bench.blog.drafts):
                bench.service.publish_draft(bench.blog, post["id"])
            return await read_posts(*arguments, **more)

        monkeypatch.setattr(bench.tumblr, "posts", just_then)
        await desk.publish()
        done = await draft(bench, draft_id)
        assert (done.state, done.post_id) == (DraftState.UPLOADED, bench.blog.posts[0]["id_string"])


async def test_a_published_draft_of_ours_is_not_taken_for_another_with_its_words(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        await approved(desk.bench)
        await desk.settle()
        desk.bench.service.publish_draft(desk.bench.blog, desk.bench.blog.drafts[0]["id"])  # it has a new id now
        second = await approved(desk.bench)
        desk.bench.service.faults.schedule(Fault("POST", POST, "reset_before"))
        await desk.settle()
        assert (await draft(desk.bench, second)).state is DraftState.UNKNOWN


FAILING = {
    "quota": Fault("GET", "/v2/blog/*", "status", 429, LIMIT, {"Retry-After": "900"}),
    "block": Fault("GET", "/v2/blog/*", "html", 403),
    "trouble": Fault("GET", "/v2/blog/*", "status", 500, times=3),
    "queue only": Fault("GET", "/v2/blog/*/posts/queue", "status", 500, times=3),
    "posts only": Fault("GET", POST, "reset_before", times=3),
    "revoked": Fault("GET", "/v2/blog/*", "status", 401, {"errors": [{"code": 1016}]}),
}


@pytest.mark.parametrize("name", FAILING)
async def test_a_look_that_failed_is_no_look(tmp_path: Path, name: str):
    async with open_desk(tmp_path) as desk:
        draft_id = await lost_upload(desk)
        desk.bench.service.faults.schedule(FAILING[name])
        due = await desk.publish()
        waits = await draft(desk.bench, draft_id)
        assert due is not None
        assert waits.state is DraftState.UNKNOWN
        assert waits.note.startswith("The blog could not be looked at: ")
        assert f"<t:{int(due)}:R>" in waits.note
        upload = await uploads.last_upload(desk.bench.database, draft_id)
        assert upload is not None
        assert upload.looked_at == 0
        await desk.settle()
        done = await draft(desk.bench, draft_id)
        assert (done.state, done.note) == (DraftState.UPLOADED, "")


async def test_a_note_about_a_failed_look_goes_when_the_next_one_works(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        draft_id = await approved(desk.bench)
        desk.bench.service.faults.schedule(Fault("POST", POST, "reset_before"), FAILING["trouble"])
        await desk.publish()
        assert await desk.is_retried(draft_id)
        desk.watch.ahead += 20
        assert await desk.publish() is not None
        looked = await draft(desk.bench, draft_id)
        assert (looked.state, looked.note) == (DraftState.UNKNOWN, "")


@pytest.mark.parametrize("action", [decide.confirm_uploaded, decide.send_again])
async def test_the_owner_may_decide_while_the_blog_cannot_be_looked_at(tmp_path: Path, action: Callable[..., Any]):
    async with open_desk(tmp_path) as desk:
        draft_id = await approved(desk.bench)
        desk.bench.service.faults.schedule(
            Fault("POST", POST, "reset_before"), Fault("GET", "/v2/blog/*", "status", 500, times=99)
        )
        await desk.publish()
        await action(desk.bench.database, draft_id, KEEPER, now=0.0)
        await desk.settle()
        assert (await draft(desk.bench, draft_id)).state is DraftState.UPLOADED
        assert len(texts(desk.bench)) == (action is decide.send_again)


async def test_send_again_need_not_wait_for_the_next_look(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        draft_id = await approved(desk.bench)
        desk.bench.service.faults.schedule(
            Fault("POST", POST, "reset_before"), Fault("GET", "/v2/blog/*", "status", 500, times=10_000)
        )
        while (due := await desk.publish()) is not None and due - desk.watch() < 1000:
            desk.watch.ahead += max(0.0, due - desk.watch())
        desk.bench.service.faults.clear()
        await decide.send_again(desk.bench.database, draft_id, KEEPER, now=0.0)
        await desk.publish()
        assert (await draft(desk.bench, draft_id)).state is DraftState.UPLOADED


async def test_after_a_lost_answer_the_bot_looks_before_it_sends_anything_else(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        for n in range(2):
            await approved(desk.bench, f"draft {n}")
        desk.bench.service.faults.schedule(Fault("POST", POST, "reset_after"))
        assert await desk.publish() is not None
        assert [request.method for request in desk.bench.service.requests] == ["POST", "GET", "GET", "GET", "GET"]
        await desk.settle()
        assert sorted(texts(desk.bench)) == ["draft 0", "draft 1"]


async def test_an_upload_whose_words_are_unknown_is_not_found_in_a_picture(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        draft_id = await approved(desk.bench)
        async with desk.bench.database.write() as connection:
            await uploads.begin_upload(connection, await draft(desk.bench, draft_id), body={}, now=desk.watch())
        image = {"type": "image", "media": [{"url": "https://example.invalid/a.png"}]}
        desk.bench.service.add_post(desk.bench.blog, {"content": [image], "state": "draft"})
        await desk.settle()
        assert (await draft(desk.bench, draft_id)).state is DraftState.UNKNOWN


async def test_after_a_day_without_a_look_the_owner_is_asked_plainly(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        began = desk.watch()
        draft_id = await lost_upload(desk)
        desk.bench.service.faults.schedule(Fault("GET", "/v2/blog/*", "status", 500, times=10_000))
        await desk.settle()
        assert 86_400 <= desk.watch() - began < 2 * 86_400
        asked_ = await draft(desk.bench, draft_id)
        assert asked_.state is DraftState.UNKNOWN
        assert "could not be looked at for a day" in asked_.note
        assert "Please look there yourself" in asked_.note
        assert len(desk.bench.service.requests) < 300, "the day's calls are not used up by it"


async def test_a_decision_in_the_middle_of_the_last_look_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with open_desk(tmp_path) as desk:
        bench = desk.bench
        draft_id = await approved(bench)
        bench.service.faults.schedule(Fault("POST", POST, "reset_before"))
        await desk.publish()
        desk.watch.ahead += 1000
        read_posts = bench.tumblr.posts

        async def just_then(*arguments: Any, **more: Any) -> Any:
            await decide.confirm_uploaded(bench.database, draft_id, KEEPER, now=0.0)
            return await read_posts(*arguments, **more)

        monkeypatch.setattr(bench.tumblr, "posts", just_then)
        await desk.publish()
        done = await draft(bench, draft_id)
        assert (done.state, done.note) == (DraftState.UPLOADED, "")


async def test_one_look_serves_all_that_were_lost(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        ids = [await approved(desk.bench, f"draft {n}") for n in range(8)]
        desk.bench.service.faults.schedule(Fault("POST", POST, "reset_before", times=8))
        await desk.settle()
        for draft_id in ids:
            assert (await draft(desk.bench, draft_id)).state is DraftState.UNKNOWN
        assert asked(desk.bench, "/posts/draft") <= 8 + 2 * len(LOOK_AFTER)


async def test_what_turned_up_after_all_is_not_sent_again(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        draft_id = await approved(desk.bench)
        desk.bench.service.faults.schedule(Fault("POST", POST, "reset_before"))
        await desk.settle()
        turned_up = own(desk.bench, "the light is lit.", state="draft")
        await decide.send_again(desk.bench.database, draft_id, KEEPER, now=0.0)
        await desk.settle()
        done = await draft(desk.bench, draft_id)
        assert (done.state, done.post_id) == (DraftState.UPLOADED, turned_up["id_string"])
        assert done.note == "It was on the blog after all, so it was not sent again."
        assert len(sent(desk.bench)) == 1


# --- where it goes ----------------------------------------------------------------------------------------------


async def test_a_blog_that_is_not_the_accounts_any_more_gives_the_draft_back(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        desk.bench.service.add_blog("sold", owned=False)
        for name in ("sold", "gone"):
            draft_id = await approved(desk.bench, blog=name)
            await desk.settle()
            given_back = await draft(desk.bench, draft_id)
            assert given_back.state is DraftState.PENDING
            assert given_back.note.startswith("Tumblr did not take it. Tumblr ")
        assert not any(blog.posts or blog.drafts for blog in desk.bench.service.blogs.values())


# --- reblogs ----------------------------------------------------------------------------------------------------


def harbour(bench: Bench) -> StandInBlog:
    return bench.service.blogs["harbour"]


@pytest.mark.parametrize("text", ["we did.", ""])
async def test_a_reblog_goes_with_the_parent_as_it_is_now(tmp_path: Path, text: str):
    async with open_desk(tmp_path) as desk:
        parent = to_reblog(desk.bench)
        draft_id = await approved(desk.bench, text, parent=parent)
        desk.bench.service.edit_post(harbour(desk.bench), parent.post_id, {"reblog_key": "fresh"})
        await desk.settle()
        (body,) = sent(desk.bench)
        assert (body["parent_tumblelog_uuid"], body["parent_post_id"]) == (parent.blog_uuid, parent.post_id)
        assert body["reblog_key"] == "fresh"
        (post,) = desk.bench.blog.drafts
        assert post["reblogged_from_id"] == parent.post_id
        assert (await draft(desk.bench, draft_id)).state is DraftState.UPLOADED


async def test_a_reblog_whose_parent_is_gone_or_locked_is_given_back(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        gone, locked, blogless = (to_reblog(desk.bench, text) for text in ("a", "b", "c"))
        desk.bench.service.delete_post(harbour(desk.bench), gone.post_id)
        desk.bench.service.edit_post(harbour(desk.bench), locked.post_id, {"can_reblog": False})
        blogless = Parent("t:nobody", "nobody", blogless.post_id, "c", "")
        for parent, words in ((gone, "is gone"), (locked, "cannot be reblogged"), (blogless, "is gone")):
            draft_id = await approved(desk.bench, "we did.", parent=parent)
            await desk.settle()
            given_back = await draft(desk.bench, draft_id)
            assert given_back.state is DraftState.PENDING
            assert words in given_back.note
            assert "Nothing was sent" in given_back.note
            assert await uploads.last_upload(desk.bench.database, draft_id) is None, "no intent was written down"
        assert not sent(desk.bench)


async def test_a_draft_that_was_rejected_while_its_parent_was_read_stays_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with open_desk(tmp_path) as desk:
        bench = desk.bench
        gone = replace(to_reblog(bench), post_id="99999999")
        draft_id = await approved(bench, "we did.", parent=gone)
        read_posts = bench.tumblr.posts

        async def just_then(*arguments: Any, **more: Any) -> Any:
            await decide.undo(bench.database, draft_id, KEEPER, now=0.0)
            await decide.reject(bench.database, draft_id, KEEPER, now=0.0)
            return await read_posts(*arguments, **more)

        monkeypatch.setattr(bench.tumblr, "posts", just_then)
        await desk.settle()
        left = await draft(bench, draft_id)
        assert (left.state, left.note) == (DraftState.REJECTED, "")


async def test_a_reblog_whose_parent_says_something_else_now_is_shown_again(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        parent = to_reblog(desk.bench)
        draft_id = await approved(desk.bench, "we did.", parent=parent)
        content = [{"type": "text", "text": "who put the light out?"}]
        desk.bench.service.edit_post(harbour(desk.bench), parent.post_id, {"content": content})
        await desk.settle()
        given_back = await draft(desk.bench, draft_id)
        assert given_back.state is DraftState.PENDING
        assert "has changed" in given_back.note
        assert given_back.parent is not None
        assert given_back.parent.text == "who put the light out?"
        assert not sent(desk.bench)
        await decide.approve(desk.bench.database, draft_id, KEEPER, now=0.0)
        await desk.settle()
        assert (await draft(desk.bench, draft_id)).state is DraftState.UPLOADED


@pytest.mark.parametrize("stored", ["", "who  lit\n\nthe light? "])
async def test_spaces_are_no_change_and_what_was_purged_is_not_compared(tmp_path: Path, stored: str):
    async with open_desk(tmp_path) as desk:
        parent = to_reblog(desk.bench)
        kept = Parent(parent.blog_uuid, parent.blog_name, parent.post_id, stored, parent.url)
        draft_id = await approved(desk.bench, "we did.", parent=kept)
        await desk.settle()
        assert (await draft(desk.bench, draft_id)).state is DraftState.UPLOADED


UNREAD = {
    "trouble": Fault("GET", POST, "status", 500, times=3),
    "quota": Fault("GET", POST, "status", 429, LIMIT, {"Retry-After": "900"}),
    "block": Fault("GET", POST, "html", 429),
    "hang": Fault("GET", POST, "hang", times=3),
}


@pytest.mark.parametrize("name", UNREAD)
async def test_a_reblog_whose_parent_cannot_be_read_now_waits_visibly(tmp_path: Path, name: str):
    async with open_desk(tmp_path, deadline=0.2) as desk:
        draft_id = await approved(desk.bench, "we did.", parent=to_reblog(desk.bench))
        other = await approved(desk.bench, "no reblog")
        desk.bench.service.faults.schedule(UNREAD[name])
        assert await desk.publish() is not None
        waits = await draft(desk.bench, draft_id)
        assert waits.state is DraftState.APPROVED
        assert await desk.is_retried(draft_id)
        paused = name in {"quota", "block"}
        assert (await draft(desk.bench, other)).state is (DraftState.APPROVED if paused else DraftState.UPLOADED)
        await desk.settle()
        assert Counter(texts(desk.bench)) == Counter(["we did.", "no reblog"])
        assert (await draft(desk.bench, draft_id)).note == ""


async def test_a_parent_that_cannot_be_read_for_a_day_gives_the_draft_back(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        draft_id = await approved(desk.bench, "we did.", parent=to_reblog(desk.bench))
        desk.bench.service.faults.schedule(Fault("GET", POST, "status", 500, times=10_000))
        await desk.settle()
        given_back = await draft(desk.bench, draft_id)
        assert given_back.state is DraftState.PENDING
        assert "for a day" in given_back.note
        assert len(desk.bench.service.requests) < 300
        assert not sent(desk.bench)


async def test_a_lost_reblog_is_told_from_another_of_the_same_words(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        bench = desk.bench
        parent, other = to_reblog(bench), to_reblog(bench, "something else")
        own(bench, "we did.", state="draft")
        own(bench, "we did.", state="draft", parent_post_id=int(other.post_id), trail=[{"post": {"id": other.post_id}}])
        draft_id = await approved(bench, "we did.", parent=parent)
        bench.service.faults.schedule(Fault("POST", POST, "reset_before"))
        await desk.settle()
        assert "it was not found" in (await draft(bench, draft_id)).note
        its = own(bench, "we did.", state="draft", parent_post_id=int(parent.post_id), trail=[{}])  # a number, once
        await decide.send_again(bench.database, draft_id, KEEPER, now=0.0)
        await desk.settle()
        assert (await draft(bench, draft_id)).post_id == its["id_string"]


async def test_a_lost_post_is_not_taken_for_a_reblog(tmp_path: Path):
    async with open_desk(tmp_path) as desk:
        other = to_reblog(desk.bench)
        own(desk.bench, "the light is lit.", state="draft", parent_post_id=other.post_id, trail=[{}])
        draft_id = await approved(desk.bench)
        desk.bench.service.faults.schedule(Fault("POST", POST, "reset_before"))
        await desk.settle()
        assert (await draft(desk.bench, draft_id)).state is DraftState.UNKNOWN


# --- any luck ---------------------------------------------------------------------------------------------------


QUICK = [fault for fault, _, _ in ONCE if fault.kind not in {"hang", "drip"}]
BAD_WRITES = st.sampled_from([None, None, *QUICK, Fault("POST", POST, "drip", act=True)])
BAD_READS = st.sampled_from(
    [None, None, None, *FAILING.values(), *(UNREAD[name] for name in ("trouble", "quota", "block"))]
)


@given(
    kinds=st.lists(st.tuples(st.sampled_from(UploadState), st.booleans()), min_size=3, max_size=3),
    daily_posts=st.sampled_from([0, 1, 250]),
    steps=st.lists(
        st.tuples(
            st.sampled_from(
                ["approve", "approve", "reject", "edit", "confirm", "resend", "publish", "settle", "crash"]
            ),
            st.integers(0, 2),
            BAD_WRITES,
            BAD_READS,
        ),
        max_size=14,
    ),
)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_never_twice_and_never_lost(kinds, daily_posts, steps):
    """Any order of presses, faults and crashes: a draft is on the blog at most as often as a person said so."""

    async def check() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with open_desk(Path(folder), deadline=0.1) as desk:
                bench = desk.bench
                bench.service.daily_post_limit = daily_posts
                words = [f"draft number {n}" for n in range(3)]
                ids = [
                    await add(bench.database, text, state, parent=to_reblog(bench) if is_reblog else None)
                    for text, (state, is_reblog) in zip(words, kinds, strict=True)
                ]
                told: dict[int, int] = dict.fromkeys(ids, 0)
                confirmed: set[int] = set()
                edited: set[int] = set()  # by somebody who has read the note, which goes then
                for what, which, bad_write, bad_read in steps:
                    draft_id = ids[which]
                    bench.service.faults.schedule(*(fault for fault in (bad_write, bad_read) if fault is not None))
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
                                confirmed.add(draft_id)
                            case "edit":
                                edited.add(draft_id)
                                await decide.edit(bench.database, draft_id, KEEPER, text=words[which], tags="", now=0.0)
                            case "publish":
                                await desk.publish()
                            case "settle":
                                await desk.settle()
                            case _:  # the process dies right after it wrote down the intent
                                found = await draft(bench, draft_id)
                                if found.state is DraftState.APPROVED:
                                    async with bench.database.write() as connection:
                                        await uploads.begin_upload(connection, found, body={}, now=desk.watch())
                    except DraftDecided:
                        pass
                bench.service.faults.clear()
                bench.service.daily_post_limit = 250
                await desk.settle()
                on_blog = Counter(texts(bench))
                for text, draft_id in zip(words, ids, strict=True):
                    copies = on_blog[text]
                    done = await draft(bench, draft_id)
                    assert copies <= told[draft_id], "posted more often than anybody said"
                    match done.state:
                        case DraftState.UPLOADED:
                            assert copies >= 1 or draft_id in confirmed, "said to be there, and is not"
                            assert done.post_id is not None or draft_id in confirmed
                        case DraftState.UNKNOWN:
                            assert done.note, "the owner is not asked"
                        case DraftState.PENDING | DraftState.REJECTED:
                            assert copies == 0 or told[draft_id] > 1, "on the blog, and given back all the same"
                            decided = done.state is DraftState.REJECTED or draft_id in edited
                            assert decided or not told[draft_id] or done.note, "given back without a word"
                        case _:
                            raise AssertionError(f"lost on the way: {done.state}")
                    if told[draft_id] == 1:
                        assert copies <= 1
                place = {"draft": bench.blog.drafts, "queue": bench.blog.queue}
                for text, (state, _) in zip(words, kinds, strict=True):
                    found = [post for post in place.get(state, bench.blog.posts) if post["content"][0]["text"] == text]
                    assert len(found) == on_blog[text], "it is somewhere else than was approved"

    asyncio.run(check())
