"""A voice, and one training on its way to become one, as values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class VoiceKind(StrEnum):
    """The ways to a voice that exist here; `bot.voices.kinds` says what each can do."""

    FINE_TUNED = "fine_tuned"
    TOGETHER = "together"
    FEW_SHOT = "few_shot"


class TrainingApi(StrEnum):
    """How a service wants to be asked for a training."""

    AUTO = "auto"
    OPENAI = "openai"
    AZURE = "azure"
    """OpenAI's, but files begin with a byte order mark, and a model writes once it is deployed."""
    TOGETHER = "together"


class TrainingState(StrEnum):
    """Where our side of a training stands."""

    PREPARING = "preparing"
    UPLOADED = "uploaded"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in {TrainingState.SUCCEEDED, TrainingState.FAILED, TrainingState.CANCELLED}


class Failure(StrEnum):
    """Why a training gave no voice, as far as it tells what to do next."""

    NOT_AVAILABLE = "not_available"
    """The service trains nothing for this account."""
    UNSAFE = "unsafe"
    """The service's safety checks stopped it: too much in the file, or in what the model learned, is against rules."""
    CHECK_BROKEN = "check_broken"
    """The safety check itself failed; the same again may pass (facts/openai.md)."""
    BAD_FILE = "bad_file"
    NO_CREDIT = "no_credit"
    OTHER = "other"


class Remedy(StrEnum):
    """What a person can do about a training that gave no voice; the last part of a button's id."""

    FEW_SHOT = "few_shot"
    OTHER_SERVICE = "other_service"
    RETRY = "retry"
    SCREEN_STRICTER = "screen_stricter"
    FILTER_WORDS = "filter_words"
    FEWER_POSTS = "fewer_posts"


_LINE = re.compile(r"\b(?:line|example)\s{0,2}#?(\d{1,7})\b", re.IGNORECASE)


def line_named(said: str) -> int | None:
    """Which line of a file a service's words are about, counted from 1; None where they name none."""
    found = _LINE.search(said)
    return int(found[1]) if found else None


REMEDIES: dict[Failure, tuple[Remedy, ...]] = {
    Failure.NOT_AVAILABLE: (Remedy.FEW_SHOT, Remedy.OTHER_SERVICE),
    Failure.UNSAFE: (Remedy.SCREEN_STRICTER, Remedy.FILTER_WORDS, Remedy.FEWER_POSTS, Remedy.RETRY),
    Failure.CHECK_BROKEN: (Remedy.RETRY, Remedy.SCREEN_STRICTER, Remedy.FILTER_WORDS, Remedy.FEWER_POSTS),
    Failure.BAD_FILE: (Remedy.FILTER_WORDS, Remedy.FEWER_POSTS, Remedy.RETRY),
    Failure.NO_CREDIT: (Remedy.RETRY, Remedy.FEW_SHOT),
    Failure.OTHER: (Remedy.RETRY, Remedy.FEW_SHOT, Remedy.OTHER_SERVICE),
}
"""What may help against each failure, the likeliest first."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a service said about a training; `at` is in unix seconds, None where it told no time."""

    at: float | None
    text: str


Curve = tuple[tuple[int, float], ...]
"""A loss by step."""


@dataclass(frozen=True, slots=True)
class Training:
    """One training at a service. Money is in US dollars, times are in unix seconds."""

    id: int
    job_id: int
    dataset_id: int
    base_url: str
    base_model: str
    epochs: int
    """As asked for; as used, once the service has said so."""
    state: TrainingState
    kind: VoiceKind = VoiceKind.FINE_TUNED
    suffix: str = ""
    activate: bool = True
    """Whether the voice that comes of it writes from then on."""
    file_id: str | None = None
    held_out_file_id: str | None = None
    service_job_id: str | None = None
    service_state: str | None = None
    fine_tuned_model: str | None = None
    trained_tokens: int | None = None
    steps: int | None = None
    """How many steps there will be, once the service has said so."""
    loss_curve: Curve = ()
    held_out_curve: Curve = ()
    estimated_finish: float | None = None
    events: tuple[Event, ...] = ()
    """The last few, the newest at the end."""
    error: str | None = None
    failure: Failure | None = None
    cost: float | None = None
    files_deleted: bool = False
    created_at: float = 0.0

    def file_name(self, part: str) -> str:
        """What the file of a part is called at a service, where a run after a crash finds it by that.

        No other file has this name: numbers begin anew in another database, and two bots may share an account.
        """
        return f"tumblrbot-{part}-{self.id}-dataset-{self.dataset_id}-{round(self.created_at * 1_000_000):x}.jsonl"

    @property
    def has_files(self) -> bool:
        """Whether files of it are at the service still, as far as is known."""
        return not self.files_deleted and (self.file_id is not None or self.held_out_file_id is not None)


@dataclass(frozen=True, slots=True)
class Offer:
    """A training as it was shown to a person before it began. `cost` is an estimate, in US dollars."""

    id: int
    kind: VoiceKind
    dataset_id: int
    base_url: str
    model: str
    epochs: int
    suffix: str
    activate: bool
    cost: float
    service_job_id: str = ""
    """A job at the service that is followed instead of beginning one, as `job_id` asks; mostly ""."""
    job_id: int | None = None
    """The job that a press of *Start training* began."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Something that can write. `cost` is what making it cost, in US dollars."""

    id: int
    kind: VoiceKind
    name: str
    model: str
    base_url: str
    dataset_id: int | None
    developer_message: str
    user_message: str
    cost: float
    active: bool
    created_at: float
    settings: tuple[tuple[str, str], ...] = ()
    """What it was made with, as label and value."""
    training_id: int | None = None
    retired_at: float | None = None
    shutdown_date: date | None = None
    """When the service has announced to stop its model."""

    @property
    def is_retired(self) -> bool:
        return self.retired_at is not None
