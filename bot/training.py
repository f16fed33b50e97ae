"""A voice, and one fine-tuning on its way to become one, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TrainingState(StrEnum):
    """Where our side of a fine-tuning stands."""

    PREPARING = "preparing"
    UPLOADED = "uploaded"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in {TrainingState.SUCCEEDED, TrainingState.FAILED, TrainingState.CANCELLED}


@dataclass(frozen=True, slots=True)
class Training:
    """One fine-tuning at a service. `loss_curve` holds (step, training loss)."""

    id: int
    job_id: int
    dataset_id: int
    base_url: str
    base_model: str
    epochs: int
    state: TrainingState
    file_id: str | None = None
    service_job_id: str | None = None
    service_state: str | None = None
    fine_tuned_model: str | None = None
    trained_tokens: int | None = None
    loss_curve: tuple[tuple[int, float], ...] = ()
    estimated_finish: float | None = None
    error: str | None = None


class VoiceKind(StrEnum):
    """The ways to a voice that exist here."""

    FINE_TUNED = "fine_tuned"
    FEW_SHOT = "few_shot"


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
