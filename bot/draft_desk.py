"""What people do about drafts: decide, change their mind, say why; and what time does to drafts by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from bot.config import Settings
from bot.drafts import Action, Draft, Person, Seen
from bot.pipeline import decide
from bot.pipeline.decide import Done, Rules
from bot.pipeline.teach import Preferences, preferences
from bot.store import drafts as store
from bot.store.audit import record
from bot.store.database import Database

_LOOK = 3_600.0  # seconds between looks for drafts that have expired


class DraftDesk:
    """Decisions about drafts. `to_upload` wakes what sends and deletes, `to_rewrite` what writes anew.

    Each press raises DraftDecided where it comes too late, or where there is no such draft. `seen` says whether
    the draft is what the person was shown, where that may be older.
    """

    def __init__(
        self,
        database: Database,
        *,
        settings: Callable[[], Settings],
        changed: asyncio.Event,
        to_upload: asyncio.Event,
        to_rewrite: asyncio.Event,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._settings = settings
        self._shown_anew = changed
        self._to_upload = to_upload
        self._to_rewrite = to_rewrite
        self._clock = clock

    @property
    def rules(self) -> Rules:
        """What approving takes now, and when what is approved may go."""
        review = self._settings().review
        return Rules(review.approvals_needed, review.posts_a_day)

    async def approve(self, draft_id: int, person: Person, *, seen: Seen | None = None) -> Draft:
        """Record the approval, and let the courier take the draft to the blog once there are enough of them."""
        draft = await decide.approve(self._database, draft_id, person, now=self._clock(), rules=self.rules, seen=seen)
        self._to_upload.set()
        return self._changed(draft)

    async def reject(self, draft_id: int, person: Person, *, seen: Seen | None = None) -> Draft:
        """Record the rejection."""
        return self._changed(await decide.reject(self._database, draft_id, person, now=self._clock(), seen=seen))

    async def say_why(self, draft_id: int, person: Person, reason: str) -> None:
        """Keep why this person decided as they did."""
        await decide.say_why(self._database, draft_id, person, reason)
        self._shown_anew.set()

    async def edit(self, draft_id: int, person: Person, *, text: str, tags: str) -> Draft:
        """Record the new text."""
        return self._changed(
            await decide.edit(self._database, draft_id, person, text=text, tags=tags, now=self._clock())
        )

    async def regenerate(self, draft_id: int, person: Person, *, seen: Seen | None = None) -> Draft:
        """Record the wish for another text and have it written."""
        draft = await decide.regenerate(self._database, draft_id, person, now=self._clock(), seen=seen)
        self._to_rewrite.set()
        return self._changed(draft)

    async def confirm_uploaded(self, draft_id: int, person: Person) -> Draft:
        """Record that a person has seen the draft on the blog."""
        return self._changed(await decide.confirm_uploaded(self._database, draft_id, person, now=self._clock()))

    async def send_again(self, draft_id: int, person: Person) -> Draft:
        """Record that a person has missed the draft on the blog, and send it."""
        draft = await decide.send_again(self._database, draft_id, person, now=self._clock())
        self._to_upload.set()
        return self._changed(draft)

    async def undo(self, draft_id: int, person: Person) -> Draft:
        """Take back a rejection, or an approval that has not led to an upload yet."""
        return self._changed(await decide.undo(self._database, draft_id, person, now=self._clock()))

    async def restore(self, draft_id: int, person: Person) -> Draft:
        """Bring back a draft that was set aside for another one."""
        return self._changed(await decide.restore(self._database, draft_id, person, now=self._clock()))

    async def remove(self, draft_id: int, person: Person, *, post_id: str) -> Draft:
        """Record that the draft, which is this post on the blog, is to be deleted there, and have it deleted."""
        draft = await decide.remove(self._database, draft_id, person, post_id=post_id, now=self._clock())
        self._to_upload.set()
        return self._changed(draft)

    async def decide_many(self, action: Action, shown: Mapping[int, int], person: Person) -> Done:
        """Approve or reject those of the drafts that still wait, in the version that was shown of each."""
        done = await decide.decide_many(self._database, action, shown, person, now=self._clock(), rules=self.rules)
        self._to_upload.set()
        self._shown_anew.set()
        return done

    async def show_again(self, draft_id: int, channel_id: int) -> None:
        """Post the draft's message anew, in this channel."""
        async with self._database.write() as connection:
            await store.show_again(connection, draft_id, channel_id)
        self._shown_anew.set()

    async def export_preferences(self, person: Person) -> Preferences:
        """What the decisions until now teach, and a record of who took it away."""
        typed_text = self._settings().review.teach_typed_text
        async with self._database.write() as connection:
            await record(
                connection,
                person,
                "export preferences",
                "drafts",
                now=self._clock(),
                after="with typed texts" if typed_text else "without typed texts",
            )
        return await preferences(self._database, typed_text=typed_text)

    async def let_expire(self) -> float:
        """Reject what has waited for too long, if the settings say so. Returns when to look again (unix seconds)."""
        if await decide.expire(self._database, days=self._settings().review.expiry_days, now=self._clock()):
            self._shown_anew.set()
        return self._clock() + _LOOK

    def _changed(self, draft: Draft) -> Draft:
        self._shown_anew.set()
        return draft
