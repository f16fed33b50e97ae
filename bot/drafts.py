"""A generated post waiting for a decision: its states, and which may follow which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class DraftState(StrEnum):
    """Where a draft stands in its life (DESIGN, "A draft's life")."""

    PENDING = "pending"
    APPROVED = "approved"
    UPLOADING = "uploading"
    UPLOADED = "uploaded"
    UNKNOWN = "unknown"
    REJECTED = "rejected"
    REPLACED = "replaced"

    @property
    def words(self) -> str:
        """The state as people read it, in one or two words."""
        return {DraftState.PENDING: "waiting", DraftState.UNKNOWN: "answer lost"}.get(self, self.value)

    @property
    def clause(self) -> str:
        """The same after a colon: "it is approved"."""
        clauses = {
            DraftState.PENDING: "it waits for a decision",
            DraftState.UNKNOWN: "the answer to its upload was lost",
        }
        return clauses.get(self, f"it is {self.value}")


FOLLOWERS: dict[DraftState, frozenset[DraftState]] = {
    DraftState.PENDING: frozenset({DraftState.PENDING, DraftState.APPROVED, DraftState.REJECTED, DraftState.REPLACED}),
    # Back to pending when Tumblr refused the upload for good: the owner decides again.
    DraftState.APPROVED: frozenset({DraftState.UPLOADING, DraftState.PENDING}),
    DraftState.UPLOADING: frozenset({DraftState.UPLOADED, DraftState.UNKNOWN, DraftState.APPROVED, DraftState.PENDING}),
    DraftState.UNKNOWN: frozenset({DraftState.UPLOADED, DraftState.APPROVED, DraftState.PENDING}),
    # Back to pending when somebody undid it and it surely is not on the blog any more.
    DraftState.UPLOADED: frozenset({DraftState.PENDING}),
    DraftState.REJECTED: frozenset({DraftState.PENDING}),
    DraftState.REPLACED: frozenset({DraftState.PENDING}),
}


class UploadState(StrEnum):
    """What becomes of an approved draft on the blog: the *write* spellings, a closed set, always sent.

    Tumblr's `state` fails open: omitted or misspelt, a post is published at once (facts/tumblr.md).
    """

    DRAFT = "draft"
    QUEUE = "queue"
    PUBLISHED = "published"
    PRIVATE = "private"


REMOVABLE = frozenset({UploadState.DRAFT, UploadState.QUEUE})
"""What is deleted on the blog again when somebody undoes it. What has been published is not."""


class Action(StrEnum):
    """What a person can do to a draft; the last part of a button's id."""

    APPROVE = "approve"
    EDIT = "edit"
    REGENERATE = "regenerate"
    REJECT = "reject"
    # Only for a draft whose upload's answer was lost, when looking at the blog did not settle it:
    CONFIRM = "confirm"
    RESEND = "resend"
    # After a decision:
    UNDO = "undo"
    RESTORE = "restore"
    """Bring back what was set aside when it was regenerated."""
    REMOVE = "remove"
    """Delete it on the blog, where it is a Tumblr draft or queued; then it waits again."""


EXPIRE = "expire"
"""What the bot does by itself to a draft that nobody decided about; recorded as a decision of `THE_BOT`."""


class Removal(StrEnum):
    """How far the deletion of an uploaded draft has come on the blog."""

    ASKED = "asked"
    SENDING = "sending"
    UNKNOWN = "unknown"
    GONE = "gone"
    KEPT = "kept"

    @property
    def is_open(self) -> bool:
        return self not in {Removal.GONE, Removal.KEPT}


class Undo(StrEnum):
    """How a decision can be taken back."""

    HERE = "here"
    """Nothing has left this machine: the press is enough."""
    ON_TUMBLR = "on Tumblr"
    """It is on the blog, where only its owner sees it, and is deleted there first."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who decided: a Discord user id and the name shown at that time."""

    id: int
    name: str


THE_BOT = Person(0, "the bot")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a guard found in a text. `kind` is a word for statistics, `sentence` is what people read."""

    kind: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Closest:
    """The post that a draft is closest to: the words that both have, and where it is ("" where it has no address).

    Of a post of somebody else no more may be kept: it is purged in time, and this is not.
    """

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft as it stands. Money is in US dollars; times are in unix seconds."""

    id: int
    state: DraftState
    text: str
    tags: tuple[str, ...]
    prompt: str
    voice_id: int
    voice_name: str
    job_id: int | None
    replaces: int | None
    blog: str
    """The identifier of the blog where approval sends it, as it was shown to the person who approves."""
    upload_state: UploadState
    created_at: float
    cost: float
    version: int
    """Counts changes; the message shows `shown_version` of them."""
    shown_version: int
    """0 where a message is to be posted: before the first, and where another one was asked for."""
    channel_id: int | None
    message_id: int | None
    """The last message that showed it; one that is left behind where another was asked for."""
    post_id: str | None
    post_url: str | None
    decided_by: str | None
    decided_at: float | None
    note: str
    """A sentence for the owner: why an upload failed, why a text was held back."""
    edited: bool
    edited_by: int | None = None
    """Who changed its text or tags last (a Discord user id), if anybody has."""
    parent: Parent | None = None
    last_action: str | None = None
    """What was decided last: an `Action`, or `EXPIRE`."""
    reason: str = ""
    """What whoever decided last said about it."""
    approved_by: tuple[str, ...] = ()
    """Who has approved it as it stands, while it waits for others to do so too."""
    publish_at: float | None = None
    """Its turn, where publishing is spread over time."""
    removal: Removal | None = None
    """How far its deletion on the blog has come, if somebody wanted that since it was uploaded."""
    original_text: str = ""
    findings: tuple[Finding, ...] = ()
    held_back: bool = False
    """The guards found something in it that writing it anew did not mend."""
    closeness: float | None = None
    """How close it is to the training data, 0 to 1; None: nobody has looked."""
    closest: Closest | None = None

    @property
    def undo(self) -> Undo | None:
        """How the decision about it can be taken back, if it can; a replaced draft is brought back instead."""
        if self.state is DraftState.REJECTED:
            return Undo.HERE
        if self.state is DraftState.APPROVED:
            # An answer was lost and somebody has it sent again: what is on the blog is not certain before that is done.
            return None if self.last_action == Action.RESEND else Undo.HERE
        if self.state is DraftState.UPLOADED and self.post_id is not None and self.upload_state in REMOVABLE:
            return None if self.removal is not None and self.removal.is_open else Undo.ON_TUMBLR
        return None


Seen = Callable[[Draft], bool]
"""Whether a draft, as it stands, is what the person who decides about it was shown."""


def seen_version(version: int) -> Seen:
    """They were shown this version, and no other counts."""
    return lambda draft: draft.version == version


@dataclass(frozen=True, slots=True)
class Parent:
    """The post that a draft reblogs, as it was read when the draft was written."""

    blog_uuid: str
    blog_name: str
    post_id: str
    text: str
    url: str
