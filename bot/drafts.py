"""A generated post waiting for a decision: its states, and which may follow which."""

from __future__ import annotations

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


FOLLOWERS: dict[DraftState, frozenset[DraftState]] = {
    DraftState.PENDING: frozenset({DraftState.PENDING, DraftState.APPROVED, DraftState.REJECTED, DraftState.REPLACED}),
    # Back to pending when Tumblr refused the upload for good: the owner decides again.
    DraftState.APPROVED: frozenset({DraftState.UPLOADING, DraftState.PENDING}),
    DraftState.UPLOADING: frozenset({DraftState.UPLOADED, DraftState.UNKNOWN, DraftState.APPROVED, DraftState.PENDING}),
    DraftState.UNKNOWN: frozenset({DraftState.UPLOADED, DraftState.APPROVED, DraftState.PENDING}),
    DraftState.UPLOADED: frozenset(),
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


class Action(StrEnum):
    """What a person can do to a draft; the last part of a button's id."""

    APPROVE = "approve"
    EDIT = "edit"
    REGENERATE = "regenerate"
    REJECT = "reject"
    # Only for a draft whose upload's answer was lost, when looking at the blog did not settle it:
    CONFIRM = "confirm"
    RESEND = "resend"


@dataclass(frozen=True, slots=True)
class Person:
    """Who decided: a Discord user id and the name shown at that time."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a guard found in a text. `kind` is a word for statistics, `sentence` is what people read."""

    kind: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Closest:
    """The post of the blog that a draft is closest to: how it begins, and where it is ("" where it has no address)."""

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
    channel_id: int | None
    message_id: int | None
    post_id: str | None
    post_url: str | None
    decided_by: str | None
    decided_at: float | None
    note: str
    """A sentence for the owner: why an upload failed, why a text was held back."""
    edited: bool
    parent: Parent | None = None


@dataclass(frozen=True, slots=True)
class Parent:
    """The post that a draft reblogs, as it was read when the draft was written."""

    blog_uuid: str
    blog_name: str
    post_id: str
    text: str
    url: str
