"""What a person's press does to a draft: one recorded decision and its effect, in one transaction."""

from __future__ import annotations

from bot.drafts import Action, Draft, DraftState, Person
from bot.errors import DraftDecided
from bot.store import drafts as store
from bot.store.database import Database
from bot.tumblr.npf import clean_tags

_WAITING = frozenset({DraftState.PENDING})
_LOST = frozenset({DraftState.UNKNOWN})


async def approve(database: Database, draft_id: int, person: Person, *, now: float) -> Draft:
    """Let the draft go to the blog.

    Raises:
        DraftDecided: it is not waiting any more.
    """
    return await _decide(database, draft_id, Action.APPROVE, person, _WAITING, DraftState.APPROVED, now=now)


async def reject(database: Database, draft_id: int, person: Person, *, now: float) -> Draft:
    """Keep the draft from the blog.

    Raises:
        DraftDecided: it is not waiting any more.
    """
    return await _decide(database, draft_id, Action.REJECT, person, _WAITING, DraftState.REJECTED, now=now)


async def regenerate(database: Database, draft_id: int, person: Person, *, now: float) -> Draft:
    """Have another text written from the same prompt; this one is kept as replaced.

    Raises:
        DraftDecided: it is not waiting any more.
    """
    return await _decide(database, draft_id, Action.REGENERATE, person, _WAITING, DraftState.REPLACED, now=now)


async def edit(database: Database, draft_id: int, person: Person, *, text: str, tags: str, now: float) -> Draft:
    """Give the draft another text, or other tags (separated by commas). It goes on waiting.

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
) -> Draft:
    async with database.write() as connection:
        draft, _ = await store.decide(
            connection,
            draft_id,
            action=action,
            person=person,
            allowed_from=allowed_from,
            state=state,
            now=now,
            text=text,
            tags=tags,
        )
    return draft
