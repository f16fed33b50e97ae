"""What a person's press does to a draft: one recorded decision and its effect, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiosqlite

from bot.drafts import EXPIRE, THE_BOT, Action, Draft, DraftState, Person, Seen, Undo, UploadState, seen_version
from bot.errors import DraftDecided
from bot.store import decisions, removals
from bot.store import drafts as store
from bot.store.database import Database
from bot.tumblr.npf import clean_tags

_WAITING = frozenset({DraftState.PENDING})
_LOST = frozenset({DraftState.UNKNOWN})
_DAY = 86_400.0  # seconds
_TO_QUEUE = 600.0  # seconds that a post needs at most to get into Tumblr's queue, before its time there
SEEN_BY_ALL = (UploadState.QUEUE, UploadState.PUBLISHED)
"""What is spread over time. A Tumblr draft or a private post is seen by nobody, so it goes at once."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What approving takes, and when what was approved may go. `posts_a_day` of 0 lets everything go at once."""

    approvals: int = 1
    posts_a_day: int = 0

    @property
    def spacing(self) -> float:
        """Seconds between two posts that everybody sees."""
        return _DAY / self.posts_a_day if self.posts_a_day else 0.0


@dataclass(frozen=True, slots=True)
class Done:
    """What became of several drafts at once: those that were decided, and how many were not what had been shown."""

    drafts: tuple[Draft, ...]
    too_late: int


_AT_ONCE = Rules()


async def approve(
    database: Database,
    draft_id: int,
    person: Person,
    *,
    now: float,
    rules: Rules = _AT_ONCE,
    seen: Seen | None = None,
) -> Draft:
    """Let the draft go to the blog, or bring it one approval closer to that.

    Here and below, `seen` says whether the draft is what the person was shown, where that may be older.

    Raises:
        DraftDecided: it is not waiting any more, has changed, or this person has approved it already.
    """
    async with database.write() as connection:
        return await _approve(connection, draft_id, person, rules, now, seen)


async def reject(database: Database, draft_id: int, person: Person, *, now: float, seen: Seen | None = None) -> Draft:
    """Keep the draft from the blog.

    Raises:
        DraftDecided: it is not waiting any more, or has changed.
    """
    async with database.write() as connection:
        return await _reject(connection, draft_id, person, now, seen)


async def decide_many(
    database: Database,
    action: Action,
    shown: Mapping[int, int],
    person: Person,
    *,
    now: float,
    rules: Rules = _AT_ONCE,
) -> Done:
    """Approve or reject several drafts in one step; `shown` has the version of each that the person saw.

    Those that do not wait any more, or have changed, are left as they are.
    """
    done: list[Draft] = []
    too_late = 0
    async with database.write() as connection:
        for draft_id, version in shown.items():
            seen = seen_version(version)
            try:
                if action is Action.APPROVE:
                    done.append(await _approve(connection, draft_id, person, rules, now, seen))
                else:
                    done.append(await _reject(connection, draft_id, person, now, seen))
            except DraftDecided:  # raised before anything was written
                too_late += 1
    return Done(tuple(done), too_late)


async def say_why(database: Database, draft_id: int, person: Person, reason: str) -> None:
    """Keep why somebody decided as they did.

    Raises:
        DraftDecided: somebody has decided again since, or it was somebody else's decision.
    """
    async with database.write() as connection:
        if not await decisions.add_reason(connection, draft_id, person, reason.strip()):
            raise DraftDecided(
                f"The decision about draft {draft_id} is not yours any more.", "See /drafts show for how it stands."
            )


async def regenerate(
    database: Database, draft_id: int, person: Person, *, now: float, seen: Seen | None = None
) -> Draft:
    """Have another text written from the same prompt; this one is kept as replaced.

    Raises:
        DraftDecided: it is not waiting any more, or has changed.
    """
    return await _decide(
        database, draft_id, Action.REGENERATE, person, _WAITING, DraftState.REPLACED, now=now, seen=seen
    )


async def edit(database: Database, draft_id: int, person: Person, *, text: str, tags: str, now: float) -> Draft:
    """Give the draft another text, or other tags (separated by commas). It goes on waiting, for all its approvals.

    Raises:
        DraftDecided: it is not waiting any more, or the text is empty.
    """
    if not text.strip():
        raise DraftDecided("A post needs some text.", "Reject the draft if it should not be posted.")
    return await _decide(
        database,
        draft_id,
        Action.EDIT,
        person,
        _WAITING,
        DraftState.PENDING,
        now=now,
        text=text.strip(),
        tags=clean_tags(tags.split(",")),
    )


async def confirm_uploaded(database: Database, draft_id: int, person: Person, *, now: float) -> Draft:
    """A person has seen that a draft whose answer was lost is on the blog.

    Raises:
        DraftDecided: it is not in doubt any more.
    """
    return await _decide(database, draft_id, Action.CONFIRM, person, _LOST, DraftState.UPLOADED, now=now)


async def send_again(database: Database, draft_id: int, person: Person, *, now: float) -> Draft:
    """A person has seen that a draft whose answer was lost is not on the blog, and wants it sent again.

    Raises:
        DraftDecided: it is not in doubt any more.
    """
    return await _decide(database, draft_id, Action.RESEND, person, _LOST, DraftState.APPROVED, now=now)


# --- taking it back -------------------------------------------------------------------------------------------


async def undo(database: Database, draft_id: int, person: Person, *, now: float) -> Draft:
    """Let a draft wait again that was rejected, or approved and is not on its way yet.

    Raises:
        DraftDecided: it is on its way, on the blog, or waits already.
    """
    async with database.write() as connection:
        draft = await _existing(connection, draft_id)
        if draft.undo is not Undo.HERE:
            raise _cannot_undo(draft)
        return await _taken_back(connection, draft, Action.UNDO, person, now)


async def restore(database: Database, draft_id: int, person: Person, *, now: float) -> Draft:
    """Let a draft wait again that was set aside for another one. The other one stays as it is.

    Raises:
        DraftDecided: it is not set aside.
    """
    async with database.write() as connection:
        draft = await _existing(connection, draft_id)
        if draft.state is not DraftState.REPLACED:
            raise _cannot_undo(draft)
        return await _taken_back(connection, draft, Action.RESTORE, person, now)


async def remove(database: Database, draft_id: int, person: Person, *, post_id: str, now: float) -> Draft:
    """Record that a person wants a draft deleted on the blog, where nobody else sees it yet. Nothing is sent here.

    `post_id` is the post that they were asked about.

    Raises:
        DraftDecided: it is not there, others see it, it is another post by now, or it is being deleted already.
    """
    async with database.write() as connection:
        draft = await _existing(connection, draft_id)
        if draft.undo is not Undo.ON_TUMBLR or draft.post_id != post_id:
            raise _cannot_undo(draft)
        decision_id = await decisions.record_decision(
            connection, draft, action=Action.REMOVE, person=person, state=DraftState.UPLOADED, now=now
        )
        await removals.ask_removal(connection, draft, decision_id, now=now)
        return await _existing(connection, draft_id)


async def expire(database: Database, *, days: int, now: float) -> int:
    """Reject the drafts that nobody has done anything about for so many days; 0 days: never. Returns how many."""
    if not days:
        return 0
    expired = 0
    for draft_id in await decisions.untouched_since(database, now - days * _DAY, limit=1_000):
        async with database.write() as connection:
            try:
                await decisions.decide(
                    connection,
                    draft_id,
                    action=EXPIRE,
                    person=THE_BOT,
                    allowed_from=_WAITING,
                    state=DraftState.REJECTED,
                    now=now,
                )
            except DraftDecided:
                continue  # a person was faster
        expired += 1
    return expired


# --- the steps ------------------------------------------------------------------------------------------------


async def _approve(
    connection: aiosqlite.Connection, draft_id: int, person: Person, rules: Rules, now: float, seen: Seen | None
) -> Draft:
    before = await _existing(connection, draft_id)
    given = await decisions.approvals(connection, draft_id) if before.state is DraftState.PENDING else set[int]()
    if person.id in given and len(given) < rules.approvals:
        raise DraftDecided(
            f"You have approved draft {draft_id} already.", f"It waits for {rules.approvals - len(given)} more."
        )
    is_enough = len(given | {person.id}) >= rules.approvals
    state = DraftState.APPROVED if is_enough else DraftState.PENDING
    await decisions.decide(
        connection,
        draft_id,
        action=Action.APPROVE,
        person=person,
        allowed_from=_WAITING,
        state=state,
        now=now,
        seen=seen,
    )
    if is_enough:
        await store.set_turn(connection, draft_id, await _turn(connection, before, rules, now))
    return await _existing(connection, draft_id)


async def _turn(connection: aiosqlite.Connection, draft: Draft, rules: Rules, now: float) -> float | None:
    """When a draft that is approved now may go, in unix seconds; None: at once."""
    if not rules.spacing or draft.upload_state not in SEEN_BY_ALL:
        return None
    soonest = now + _TO_QUEUE if draft.upload_state is UploadState.QUEUE else now
    last = await store.last_turn(connection, draft.blog, SEEN_BY_ALL)
    return soonest if last is None else max(soonest, last + rules.spacing)


async def _reject(
    connection: aiosqlite.Connection, draft_id: int, person: Person, now: float, seen: Seen | None
) -> Draft:
    draft, _ = await decisions.decide(
        connection,
        draft_id,
        action=Action.REJECT,
        person=person,
        allowed_from=_WAITING,
        state=DraftState.REJECTED,
        now=now,
        seen=seen,
    )
    return draft


async def _taken_back(
    connection: aiosqlite.Connection, draft: Draft, action: Action, person: Person, now: float
) -> Draft:
    await decisions.decide(
        connection,
        draft.id,
        action=action,
        person=person,
        allowed_from=frozenset({draft.state}),
        state=DraftState.PENDING,
        now=now,
    )
    await store.set_turn(connection, draft.id, None)
    return await _existing(connection, draft.id)


async def _existing(connection: aiosqlite.Connection, draft_id: int) -> Draft:
    draft = await store.draft_in(connection, draft_id)
    if draft is None:
        raise DraftDecided(f"Draft {draft_id} does not exist any more.", "See /drafts list for those that wait.")
    return draft


def _cannot_undo(draft: Draft) -> DraftDecided:
    """Why there is nothing to undo, in words."""
    match draft.state:
        case DraftState.PENDING:
            return DraftDecided(f"Draft {draft.id} waits for a decision already.", "See /drafts list.")
        case DraftState.UPLOADED if draft.removal is not None and draft.removal.is_open:
            return DraftDecided(
                f"Draft {draft.id} is being deleted on {draft.blog}.", "Its message says how it stands."
            )
        case DraftState.UPLOADED:
            return DraftDecided(
                f"Draft {draft.id} is on {draft.blog}, and the bot does not take it back.",
                "Change or delete it on Tumblr.",
            )
        case _:
            return DraftDecided(
                f"Draft {draft.id} cannot be taken back: {draft.state.clause}.", "Its message says how it stands."
            )


async def _decide(
    database: Database,
    draft_id: int,
    action: Action,
    person: Person,
    allowed_from: frozenset[DraftState],
    state: DraftState,
    *,
    now: float,
    text: str | None = None,
    tags: tuple[str, ...] | None = None,
    seen: Seen | None = None,
) -> Draft:
    async with database.write() as connection:
        draft, _ = await decisions.decide(
            connection,
            draft_id,
            action=action,
            person=person,
            allowed_from=allowed_from,
            state=state,
            now=now,
            text=text,
            tags=tags,
            seen=seen,
        )
    return draft
