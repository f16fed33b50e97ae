"""What keeps a text from being offered as it is: too close to a post or a draft, flagged, cut off, speaking to people.

The index of posts is built when it is first needed, and anew when posts have changed; it holds hashes, no texts.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum

from bot.drafts import Closest, Finding
from bot.errors import ModelError
from bot.language.endpoint import ModelService
from bot.language.moderation import Waiting
from bot.language.moderation import judge as judge_text
from bot.language.tokens import count
from bot.pipeline.closeness import Place, TextIndex, Tier, Verdict, judge
from bot.progress import Progress
from bot.store import drafts as draft_store
from bot.store import posts as post_store
from bot.store.database import Database

_log = logging.getLogger(__name__)
_DRAFTS_COMPARED = 500  # the newest that wait or were approved
_QUOTED = 160  # characters of the words that a text shares with another
_PARTS_SPEAKING = (
    # A name after an at sign, but not the domain of an e-mail address.
    (re.compile(r"(?<![\w.])@(?=\w)"), "@\N{WORD JOINER}"),
    (re.compile(r"\b(discord(?:app)?)\.(?=(?:gg|io|me|com/invite)/)", re.IGNORECASE), "\\1.\N{WORD JOINER}"),
)


class Kind(StrEnum):
    """What a guard finds. Those of `HOLDING` are reason enough to write a text anew."""

    COPIES = "copies a post"
    REPEATS = "repeats a draft"
    FLAGGED = "flagged"
    CUT_OFF = "cut off"
    CLOSE = "close to a post"
    SPEAKS = "mentions or invites"
    UNSCREENED = "not screened"


HOLDING = frozenset({Kind.COPIES, Kind.REPEATS, Kind.FLAGGED, Kind.CUT_OFF})


@dataclass(frozen=True, slots=True)
class Checked:
    """A text as it may be offered, with what the guards found. `closeness` is from 0 to 1, None without any post."""

    text: str
    findings: tuple[Finding, ...] = ()
    closeness: float | None = None
    closest: Closest | None = None

    @property
    def is_clear(self) -> bool:
        return not any(finding.kind in HOLDING for finding in self.findings)


class PostIndex:
    """The index of the stored posts, for as long as the process runs."""

    def __init__(self) -> None:
        self._index = TextIndex()
        self._of = ""
        self._turn = asyncio.Lock()

    @property
    def texts(self) -> TextIndex:
        return self._index

    async def bring_up_to_date(self, database: Database) -> AsyncIterator[Progress]:
        """Build it, if posts have changed since it was; says how far it is."""
        async with self._turn:
            fingerprint, total = await post_store.valid_texts_fingerprint(database)
            if fingerprint == self._of:
                return
            index, done = TextIndex(), 0
            async for page in post_store.valid_texts(database):
                yield Progress(done, total, "Reading the posts, so that no draft copies one.", "posts")
                await asyncio.to_thread(index.extend, page)
                done += len(page)
            # Only now: until it is whole, the one before it is the better guard.
            self._index, self._of = index, fingerprint


class Guards:
    """The guards of one run. `screener` judges each text; None where there is no key for one."""

    def __init__(
        self, database: Database, posts: PostIndex, *, allowed_phrases: Sequence[str], screener: ModelService | None
    ) -> None:
        self._database = database
        self._posts = posts
        self._allowed = tuple(allowed_phrases)
        self._screener = screener
        self._drafts = TextIndex()
        self.waits_until = 0.0
        """Unix seconds: until when the screener's limit lets nothing be judged."""
        self.on_wait: Callable[[], None] = lambda: None
        """Called when that moment is known."""
        self.turn = asyncio.Lock()
        """Held from `repeats` until the draft is stored: of two texts written at once, the second repeats the first."""

    async def prepare(self) -> AsyncIterator[Progress]:
        """Bring the indexes up to date. To be used once, before anything is checked."""
        async for progress in self._posts.bring_up_to_date(self._database):
            yield progress
        others = await draft_store.texts_to_compare(self._database, limit=_DRAFTS_COMPARED)
        await asyncio.to_thread(self._drafts.extend, {_place(number): text for number, text in others.items()})

    async def check(self, text: str, *, cut_off: bool) -> Checked:
        """Look at a text, whatever drafts there are."""
        findings: list[Finding] = []
        if cut_off:
            findings.append(Finding(Kind.CUT_OFF, "The text was cut off at the length limit."))
        verdict, closest = await self._against_posts(text)
        if (found := _of_post(verdict)) is not None:
            findings.append(found)
        if (screened := await self._screen(text)) is not None:
            findings.append(screened)
        safe = defused(text)
        if safe != text:
            findings.append(Finding(Kind.SPEAKS, "It mentioned somebody or invited somewhere; that was made harmless."))
        closeness = verdict.closeness / 100 if len(self._posts.texts) else None
        return Checked(safe, tuple(findings), closeness, closest)

    async def repeats(self, text: str, *, but: int | None = None) -> Finding | None:
        """Whether it says again what a draft says; not looking at the draft `but`, whose place it takes."""
        nearest = await asyncio.to_thread(self._drafts.nearest, text, self._allowed)
        numbers = [int(number) for _, number in nearest.places if int(number) != but]
        found = await draft_store.texts_of(self._database, numbers)
        sources = {_place(number): other for number, other in found.items()}
        verdict = await asyncio.to_thread(judge, text, nearest, sources, self._allowed)
        if verdict.tier is not Tier.BLOCK or verdict.source is None:
            return None
        return Finding(Kind.REPEATS, f"It is too close to draft {verdict.source[1]}: {_shared(verdict)}.")

    async def remember(self, draft_id: int, text: str) -> None:
        """A draft that those after it must not repeat."""
        await asyncio.to_thread(self._drafts.extend, {_place(draft_id): text})

    async def _against_posts(self, text: str) -> tuple[Verdict, Closest | None]:
        nearest = await asyncio.to_thread(self._posts.texts.nearest, text, self._allowed)
        found = await post_store.posts_by_id(self._database, nearest.places)
        sources = {place: post.text for place, post in found.items()}
        verdict = await asyncio.to_thread(judge, text, nearest, sources, self._allowed)
        if verdict.source is None:
            return verdict, None
        # Of the post only the words that the draft has too: it may be somebody else's, and be purged later.
        return verdict, Closest(verdict.shared[:_QUOTED], found[verdict.source].url)

    async def _screen(self, text: str) -> Finding | None:
        """What the moderation service says. Without its answer the text is offered all the same, and says so."""
        if self._screener is None:
            return None
        tokens = await asyncio.to_thread(count, text)
        try:
            async with aclosing(judge_text(self._screener, [text], [tokens])) as judging:
                async for found in judging:
                    if isinstance(found, Waiting):
                        self.waits_until = max(self.waits_until, found.until)
                        self.on_wait()
                        continue
                    for _, judgement in found:
                        if judgement.flagged:
                            named = ", ".join(judgement.categories) or "no category named"
                            return Finding(Kind.FLAGGED, f"{self._screener.name} flags it: {named}.")
        except ModelError as error:
            _log.warning("A draft could not be screened: %s", error)
            return Finding(Kind.UNSCREENED, f"It was not screened. {error.sentence}")
        return None


def _place(draft_id: int) -> Place:
    return ("draft", str(draft_id))


def defused(text: str) -> str:
    """The text without anything that speaks to people by name or leads them to a server of Discord's.

    A word joiner, which nobody sees, parts what would be a mention or an invite.
    """
    for pattern, instead in _PARTS_SPEAKING:
        text = pattern.sub(instead, text)
    return text


def _of_post(verdict: Verdict) -> Finding | None:
    match verdict.tier:
        case Tier.BLOCK:
            return Finding(Kind.COPIES, f"It is too close to a post of the blog: {_shared(verdict)}.")
        case Tier.LOOK:
            return Finding(Kind.CLOSE, f"It is close to a post of the blog: {_shared(verdict)}.")
        case Tier.CLEAR:
            return None


def _shared(verdict: Verdict) -> str:
    """What two texts share, in words."""
    if verdict.run >= 3 and verdict.shared:  # noqa: PLR2004 - fewer words in a row say nothing
        return f"both have “{verdict.shared[:_QUOTED]}”"
    if verdict.likeness:
        return f"{verdict.likeness:.0f}% alike"
    return f"{verdict.rule or 'alike'}"
