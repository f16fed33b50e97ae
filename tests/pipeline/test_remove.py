"""An upload that is undone is deleted on the blog for certain or not at all, and a draft's life under any luck."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bot.demo.faults import Fault
from bot.drafts import Action, Draft, DraftState, Person, Removal, UploadState
from bot.errors import DraftDecided, TumblrNotSent
from bot.pipeline import decide
from bot.pipeline.publish import publish
from bot.pipeline.remove import remove
from tests.pipeline.conftest import NAME, Bench
from tests.pipeline.test_publish import KEEPER, RETRIES, Desk, add, approved, draft, open_desk

DELETE = "/v2/blog/*/post/delete"
CREATE = "/v2/blog/*/posts"
ODILE = Person(2, "odile")
LIMIT = {"meta": {"status": 429, "msg": "Limit Exceeded"}, "response": []}
LOST = {
    "cut off before": Fault("POST", DELETE, "reset_before"),
    "cut off after": Fault("POST", DELETE, "reset_after"),
    "nonsense after": Fault("POST", DELETE, "garbage", act=True),
    "trouble after": Fault("POST", DELETE, "status", 504, act=True),
    "trouble before": Fault("POST", DELETE, "status", 504),
    "a page": Fault("POST", DELETE, "html", 502),
}


class Crash(BaseException):
    """The process dies here."""


@dataclass
class Room:
    desk: Desk

    @property
    def bench(self) -> Bench:
        return self.desk.bench

    async def once(self) -> float | None:
        """Send and delete what is due, as the app's courier does."""
        sending = None
        async for progress in publish(
            self.bench.database, self.bench.tumblr, retry_after=RETRIES, clock=self.desk.watch
        ):
            sending = progress.wait_until
        deleting = await remove(self.bench.database, self.bench.tumblr, retry_after=RETRIES, clock=self.desk.watch)
        return min((moment for moment in (sending, deleting) if moment is not None), default=None)

    async def settle(self) -> None:
        for _ in range(600):
            due = await self.once()
            if due is None:
                return
            self.desk.watch.ahead += max(0.0, due - self.desk.watch())
        raise AssertionError("it never came to rest")

    async def crash(self, after: int) -> None:
        """Send and delete, and die where the transaction after so many others would begin."""
        database = self.bench.database
        left = after

        @asynccontextmanager
        async def write() -> AsyncGenerator[Any, None]:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash
            async with type(database).write(database) as connection:
                yield connection

        database.write = write  # type: ignore[method-assign]
        try:
            with suppress(Crash):
                await self.once()
        finally:
            del database.write  # type: ignore[method-assign]

    async def uploaded(self, state: UploadState = UploadState.DRAFT) -> Draft:
        draft_id = await approved(self.bench, state=state)
        await self.settle()
        return await draft(self.bench, draft_id)

    async def removal(self, draft_id: int) -> tuple[str, int]:
        """How the newest deletion of this draft stands, and how many there were."""
        found = await self.rows("SELECT state FROM removals WHERE draft_id = ? ORDER BY id", draft_id)
        return found[-1][0], len(found)

    async def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        async with self.bench.database.read() as connection:
            return [tuple(row) for row in await connection.execute_fetchall(query, parameters)]

    def deletions(self) -> list[str]:
        """The ids that were asked to be deleted, in order."""
        return [r.body["id"] for r in self.bench.service.requests if r.path.endswith("/post/delete")]  # type: ignore[index]

    def alive(self, tag: str = "gull") -> int:
        blog = self.bench.blog
        return sum(tag in post["tags"] for post in (*blog.drafts, *blog.queue, *blog.posts))


@asynccontextmanager
async def open_room(folder: Path, *, deadline: float = 0.5) -> AsyncGenerator[Room, None]:
    async with open_desk(folder, deadline=deadline) as desk:
        yield Room(desk)


async def undo_on_tumblr(room: Room, done: Draft, person: Person = KEEPER) -> Draft:
    assert done.post_id is not None
    return await decide.remove(room.bench.database, done.id, person, post_id=done.post_id, now=room.desk.watch())


@pytest.mark.parametrize("state", [UploadState.DRAFT, UploadState.QUEUE])
async def test_a_draft_on_tumblr_is_deleted_and_waits_again(tmp_path: Path, state: UploadState):
    async with open_room(tmp_path) as room:
        done = await room.uploaded(state)
        asked = await undo_on_tumblr(room, done)
        assert (asked.state, asked.removal) == (DraftState.UPLOADED, Removal.ASKED)
        assert room.alive() == 1, "nothing is sent by the press itself"
        await room.settle()
        back = await draft(room.bench, done.id)
        assert (back.state, back.post_id, back.post_url) == (DraftState.PENDING, None, None)
        assert "was deleted from the" in back.note
        assert (room.alive(), room.deletions()) == (0, [done.post_id])
        assert await room.rows("SELECT user_name, action, state_before, state_after FROM decisions ORDER BY id") == [
            ("keeper", "approve", "pending", "approved"),
            ("keeper", "remove", "uploaded", "uploaded"),
        ]
        await decide.approve(room.bench.database, done.id, ODILE, now=0.0)
        await room.settle()
        assert (await draft(room.bench, done.id)).state is DraftState.UPLOADED
        assert room.alive() == 1


async def test_only_one_deletion_comes_of_two_presses(tmp_path: Path):
    async with open_room(tmp_path) as room:
        done = await room.uploaded()
        results = await asyncio.gather(
            undo_on_tumblr(room, done), undo_on_tumblr(room, done, ODILE), return_exceptions=True
        )
        assert sum(isinstance(result, DraftDecided) for result in results) == 1
        await room.settle()
        assert len(room.deletions()) == 1


@pytest.mark.parametrize("state", [UploadState.PUBLISHED, UploadState.PRIVATE])
async def test_what_has_been_published_is_never_deleted(tmp_path: Path, state: UploadState):
    async with open_room(tmp_path) as room:
        done = await room.uploaded(state)
        with pytest.raises(DraftDecided, match="does not take it back"):
            await undo_on_tumblr(room, done)
        await room.settle()
        assert (room.alive(), room.deletions()) == (1, [])


async def test_a_draft_that_its_owner_published_meanwhile_stays(tmp_path: Path):
    async with open_room(tmp_path) as room:
        done = await room.uploaded()
        post = room.bench.service.publish_draft(room.bench.blog, done.post_id or "")
        await undo_on_tumblr(room, done)
        await room.settle()
        stays = await draft(room.bench, done.id)
        assert (stays.state, stays.post_id) == (DraftState.UPLOADED, post["id_string"])
        assert "has been published" in stays.note
        assert (room.alive(), room.deletions()) == (1, [])


async def test_a_draft_that_tumblr_published_at_once_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from bot.demo.tumblr_blog import STATES

    monkeypatch.setitem(STATES, "draft", "published")
    async with open_room(tmp_path) as room:
        done = await room.uploaded()
        await undo_on_tumblr(room, done)
        await room.settle()
        assert (await draft(room.bench, done.id)).state is DraftState.UPLOADED
        assert (room.alive(), room.deletions()) == (1, [])


async def test_a_draft_that_its_owner_deleted_there_waits_again(tmp_path: Path):
    async with open_room(tmp_path) as room:
        done = await room.uploaded()
        room.bench.service.delete_post(room.bench.blog, done.post_id or "")
        await undo_on_tumblr(room, done)
        await room.settle()
        back = await draft(room.bench, done.id)
        assert back.state is DraftState.PENDING
        assert "was not found on" in back.note
        assert room.deletions() == []


async def test_an_old_press_does_not_delete_what_was_uploaded_since(tmp_path: Path):
    async with open_room(tmp_path) as room:
        first = await room.uploaded()
        await undo_on_tumblr(room, first)
        await room.settle()
        await decide.approve(room.bench.database, first.id, KEEPER, now=0.0)
        await room.settle()
        with pytest.raises(DraftDecided):
            await undo_on_tumblr(room, first)
        await room.settle()
        assert room.alive() == 1


@pytest.mark.parametrize("lost", LOST)
async def test_a_lost_answer_is_settled_by_looking(tmp_path: Path, lost: str):
    async with open_room(tmp_path) as room:
        done = await room.uploaded()
        fault = LOST[lost]
        room.bench.service.faults.schedule(fault)
        await undo_on_tumblr(room, done)
        await room.settle()
        now = await draft(room.bench, done.id)
        assert len(room.deletions()) == 1, "never twice for one press"
        if room.alive():
            assert (now.state, (await room.removal(done.id))[0]) == (DraftState.UPLOADED, "kept")
            assert "it is still in the drafts" in now.note
            await undo_on_tumblr(room, now)
            await room.settle()
            assert room.alive() == 0
        back = await draft(room.bench, done.id)
        assert (back.state, back.post_id) == (DraftState.PENDING, None)


async def test_a_blog_that_cannot_be_looked_at_for_a_day_leaves_the_draft_as_it_is(tmp_path: Path):
    async with open_room(tmp_path) as room:
        done = await room.uploaded()
        room.bench.service.faults.schedule(Fault("GET", "/v2/blog/*", "status", 500, times=10_000))
        await undo_on_tumblr(room, done)
        await room.once()
        assert "It will be deleted <t:" in (await draft(room.bench, done.id)).note
        await room.settle()
        stays = await draft(room.bench, done.id)
        assert stays.state is DraftState.UPLOADED
        assert "could not be looked at for a day" in stays.note
        assert room.deletions() == []
        room.bench.service.faults.clear()
        await undo_on_tumblr(room, stays)
        await room.settle()
        assert room.alive() == 0


async def test_a_pause_that_tumblr_asks_for_is_waited_out_visibly(tmp_path: Path):
    async with open_room(tmp_path) as room:
        done = await room.uploaded()
        room.bench.service.faults.schedule(Fault("POST", DELETE, "status", 429, LIMIT, {"Retry-After": "600"}))
        await undo_on_tumblr(room, done)
        await room.once()
        assert "It will be deleted <t:" in (await draft(room.bench, done.id)).note
        await room.settle()
        assert (await draft(room.bench, done.id)).state is DraftState.PENDING
        assert len(room.deletions()) == 2


async def test_what_never_left_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with open_room(tmp_path) as room:
        done = await room.uploaded()
        real, tries = room.bench.tumblr.delete_post, 0

        async def not_sent(blog: str, post_id: str) -> None:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise TumblrNotSent("Tumblr could not be reached, so nothing was sent.", "Try again.")
            await real(blog, post_id)

        monkeypatch.setattr(room.bench.tumblr, "delete_post", not_sent)
        await undo_on_tumblr(room, done)
        await room.once()
        assert "It will be tried again." in (await draft(room.bench, done.id)).note
        await room.settle()
        assert (tries, room.alive()) == (3, 0)
        assert (await draft(room.bench, done.id)).state is DraftState.PENDING


async def test_a_refusal_is_told_and_the_draft_stays(tmp_path: Path):
    async with open_room(tmp_path) as room:
        done = await room.uploaded()
        refusal = {"meta": {"status": 403, "msg": "Forbidden"}, "errors": [{"code": 403}]}
        room.bench.service.faults.schedule(Fault("POST", DELETE, "status", 403, refusal))
        await undo_on_tumblr(room, done)
        await room.settle()
        stays = await draft(room.bench, done.id)
        assert (stays.state, room.alive()) == (DraftState.UPLOADED, 1)
        assert "Tumblr did not delete it" in stays.note


@pytest.mark.parametrize("after", range(4))
async def test_a_crash_between_any_two_steps_of_a_deletion(tmp_path: Path, after: int):
    async with open_room(tmp_path) as room:
        done = await room.uploaded()
        await undo_on_tumblr(room, done)
        await room.crash(after)
        await room.settle()
        assert len(room.deletions()) <= 1
        back = await draft(room.bench, done.id)
        assert back.state is DraftState.PENDING
        assert room.alive() == 0
        if after == 1:  # the deletion was made, and its outcome could not be written down
            assert back.note == f"It is not on {NAME} any more, and waits for a decision again."


async def test_an_approval_that_is_taken_back_in_the_last_moment_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Undone, changed and approved again between the courier's look and its intent: the old text must not go."""
    from bot.pipeline import publish as stage

    async with open_room(tmp_path) as room:
        draft_id = await approved(room.bench)
        real: Callable[..., dict[str, object]] = stage.post_body
        changed = asyncio.Event()

        async def change() -> None:
            await decide.undo(room.bench.database, draft_id, KEEPER, now=0.0)
            await decide.edit(room.bench.database, draft_id, KEEPER, text="the new text", tags="gull", now=0.0)
            await decide.approve(room.bench.database, draft_id, KEEPER, now=0.0)
            changed.set()

        tasks: list[asyncio.Task[None]] = []

        def slow(*given: Any) -> dict[str, object]:
            if not tasks:
                tasks.append(asyncio.get_running_loop().create_task(change()))
            return real(*given)

        real_begin = stage.uploads.begin_upload

        async def begin(*given: Any, **more: Any) -> Any:
            return await real_begin(*given, **more)

        monkeypatch.setattr(stage, "post_body", slow)
        real_deliver = stage._deliver

        async def deliver(courier: Any, found: Draft, body: dict[str, object]) -> Any:
            await changed.wait()
            return await real_deliver(courier, found, body)

        monkeypatch.setattr(stage, "_deliver", deliver)
        await room.settle()
        (post,) = room.bench.blog.drafts
        assert [block["text"] for block in post["content"]] == ["the new text"]
        assert room.alive() == 1


# --- any luck ---------------------------------------------------------------------------------------------------

PRESSES = (
    "approve", "approve", "approve", "reject", "undo", "restore", "regenerate", "edit", "remove", "remove", "look",
)  # fmt: skip
EVENTS = ("run", "run", "settle", "crash", "crash", "owner publishes", "owner deletes")
BAD = st.sampled_from([
    None, None, None, *LOST.values(),
    Fault("POST", CREATE, "reset_before"), Fault("POST", CREATE, "reset_after"),
    Fault("POST", CREATE, "status", 504, act=True), Fault("POST", CREATE, "status", 429, LIMIT, {"Retry-After": "9"}),
    Fault("GET", "/v2/blog/*/posts/draft", "status", 500, times=3), Fault("GET", CREATE, "garbage", times=3),
])  # fmt: skip
STEPS = st.lists(
    st.tuples(st.sampled_from(PRESSES + EVENTS), st.integers(0, 1), st.booleans(), st.integers(0, 6), BAD), max_size=18
)


@given(kinds=st.tuples(st.sampled_from(UploadState), st.sampled_from(UploadState)), steps=STEPS)
@example(
    kinds=(UploadState.DRAFT, UploadState.QUEUE),
    steps=[
        ("approve", 0, True, 0, None),
        ("crash", 0, False, 1, None),
        ("settle", 0, False, 0, None),
        ("remove", 0, True, 0, LOST["cut off after"]),
        ("crash", 0, False, 1, None),
        ("approve", 0, False, 0, None),
        ("settle", 0, False, 0, None),
    ],
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_drafts_life_under_any_luck(kinds: tuple[UploadState, UploadState], steps: Any):
    """Any order of presses (twice at once, too), faults and crashes.

    Never two posts of one draft, never a lost decision, never a deletion without a press, never one of what others see.
    """

    async def check() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with open_room(Path(folder), deadline=0.1) as room:
                life = await Life.begin(room, kinds)
                for step in steps:
                    await life.take(*step)
                    await life.check()
                room.bench.service.faults.clear()
                await room.settle()
                await life.check()
                await life.check_the_end()

    asyncio.run(check())


@dataclass
class Life:
    """Two drafts, and a model of what people have done to them."""

    room: Room
    ids: list[int]
    tags: list[str]
    told: int = 0
    """Presses that were accepted."""
    deletions_wanted: Counter[str] = None  # type: ignore[assignment]
    published: set[str] = None  # type: ignore[assignment]

    @classmethod
    async def begin(cls, room: Room, kinds: tuple[UploadState, UploadState]) -> Life:
        tags = ["first", "second"]
        ids = [
            await add(room.bench.database, f"the {tag} text", state, tags=(tag,))
            for tag, state in zip(tags, kinds, strict=True)
        ]
        return cls(room, ids, tags, 0, Counter(), set())

    async def take(self, what: str, which: int, twice: bool, after: int, bad: Fault | None) -> None:
        room, draft_id = self.room, self.ids[which]
        if bad is not None:
            room.bench.service.faults.schedule(bad)
        found = await draft(room.bench, draft_id)
        match what:
            case "run":
                await room.once()
            case "settle":
                await room.settle()
            case "crash":
                await room.crash(after)
            case "owner publishes" | "owner deletes":
                self._owner(what, found)
            case _:
                presses = [self._press(what, found, which, person) for person in (KEEPER, ODILE)[: 1 + twice]]
                results = await asyncio.gather(*presses, return_exceptions=True)
                for result in results:
                    if isinstance(result, BaseException) and not isinstance(result, DraftDecided):
                        raise result
                    self.told += not isinstance(result, DraftDecided) and result is not None
                    if what == "remove" and isinstance(result, Draft):
                        self.deletions_wanted[result.post_id or ""] += 1

    def _owner(self, what: str, found: Draft) -> None:
        blog, service = self.room.bench.blog, self.room.bench.service
        there = next((p for p in (*blog.drafts, *blog.queue) if p["id_string"] == found.post_id), None)
        if there is not None and what == "owner publishes":
            service.publish_draft(blog, there["id"])
        elif there is not None:
            service.delete_post(blog, there["id"])

    async def _press(self, what: str, found: Draft, which: int, person: Person) -> Draft | None:
        database, now = self.room.bench.database, self.room.desk.watch()
        match what:
            case "remove":
                if found.post_id is None:
                    return None
                return await decide.remove(database, found.id, person, post_id=found.post_id, now=now)
            case "edit":
                text = f"{found.text} again"
                return await decide.edit(database, found.id, person, text=text, tags=self.tags[which], now=now)
            case "look":  # the owner looks on Tumblr, and says what is so
                if self.room.alive(self.tags[which]):
                    return await decide.confirm_uploaded(database, found.id, person, now=now)
                return await decide.send_again(database, found.id, person, now=now)
            case _:
                return await getattr(decide, what)(database, found.id, person, now=now)

    async def check(self) -> None:
        """What holds at any moment."""
        blog = self.room.bench.blog
        for tag in self.tags:
            assert self.room.alive(tag) <= 1, "two posts of one draft"
        ((recorded,),) = await self.room.rows("SELECT count(*) FROM decisions")
        assert recorded == self.told, "a decision was lost, or made up"
        asked = Counter(self.room.deletions())
        assert all(count <= self.deletions_wanted[post_id] for post_id, count in asked.items()), "nobody pressed"
        visible = {post["id_string"] for post in blog.posts}
        assert self.published <= visible, "what others see was deleted"
        self.published |= visible

    async def check_the_end(self) -> None:
        """What holds once everything that was due is done."""
        blog = self.room.bench.blog
        for draft_id, tag in zip(self.ids, self.tags, strict=True):
            done = await draft(self.room.bench, draft_id)
            there = [post for post in (*blog.drafts, *blog.queue, *blog.posts) if tag in post["tags"]]
            match done.state:
                case DraftState.UNKNOWN:
                    assert done.note, "nobody is asked"
                case DraftState.UPLOADED:
                    assert done.removal is None or not done.removal.is_open
                    known = {post["id_string"] for post in there} | {post.get("genesis_post_id") for post in there}
                    assert not there or done.post_id is None or done.post_id in known
                case DraftState.APPROVED | DraftState.UPLOADING:
                    raise AssertionError("nothing was due any more, but it is on its way")
                case _:
                    assert not there, "it waits, and is on the blog all the same"


def test_the_model_knows_every_press():
    assert {action.value for action in Action} - {"confirm", "resend"} | {"look"} == set(PRESSES)
