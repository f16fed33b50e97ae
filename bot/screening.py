"""Screening as values: what a model says of a text, what people decide about it, and what follows from both."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bot.drafts import Person

UNNAMED = "unnamed"
"""The category of a text that a service flags without saying for what."""

Thresholds = Mapping[str | None, float]
"""By category the score from which on a text is flagged, under None that of every category without one of its own.

Where neither is, the service's own flag counts.
"""

Flags = Mapping[str, float | None]
"""The categories that an example is flagged for, with its score where the service gives one."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the model thinks of one text. `categories` are the flagged ones; `scores` has all, from 0 to 1."""

    flagged: bool
    categories: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict[str, float])


class Act(StrEnum):
    """What somebody decided about a screening."""

    KEEP = "keep"
    DROP = "drop"
    THRESHOLD = "threshold"
    SKIP = "skip"
    """The dataset is used as it is, unscreened."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision. `position` is the example's, None for a whole category; `at` is in unix seconds.

    `value` is a threshold's, None to take it away; without a `category` it is that of every category. `carried_from`
    is the decision about the same text in an earlier dataset that this one repeats.
    """

    person: Person
    act: Act
    at: float
    position: int | None = None
    category: str | None = None
    value: float | None = None
    carried_from: int | None = None
    id: int = 0


class BatchState(StrEnum):
    """Where our side of a batch stands."""

    PLANNED = "planned"
    UPLOADED = "uploaded"
    RUNNING = "running"
    CANCELLING = "cancelling"
    """A person stopped it, and the service was told."""
    ENDED = "ended"
    READ = "read"
    """What it said is stored; its files are still at the service."""
    DONE = "done"

    @property
    def is_open(self) -> bool:
        """Whether there is something to wait for."""
        return self not in {BatchState.READ, BatchState.DONE}


@dataclass(frozen=True, slots=True)
class ScreeningBatch:
    """One batch of requests at a service. `name` is its file's, which no other file has; `hashes` are its texts'."""

    id: int
    job_id: int
    base_url: str
    model: str
    name: str
    hashes: tuple[str, ...]
    state: BatchState = BatchState.PLANNED
    input_file: str | None = None
    batch_id: str | None = None
    service_state: str | None = None
    completed: int = 0
    failed: int = 0
    output_file: str | None = None
    error_file: str | None = None
    error: str | None = None


# --- the rules ------------------------------------------------------------------------------------------------


def thresholds(decisions: Iterable[Decision]) -> Thresholds:
    """The thresholds that hold after these decisions, given oldest first: the newest for each category."""
    found: dict[str | None, float] = {}
    for decision in decisions:
        if decision.act is Act.THRESHOLD:
            found.pop(decision.category, None)
            if decision.value is not None:
                found[decision.category] = decision.value
    return found


def flags(judgements: Iterable[Judgement], rules: Thresholds) -> Flags:
    """What an example is flagged for, from what was said of its texts. A threshold is reached by its own value."""
    found: dict[str, float | None] = {}
    for judgement in judgements:
        named = judgement.categories if judgement.flagged else ()
        if judgement.flagged and not named:
            named = (UNNAMED,)
        for category in {*named, *judgement.scores}:
            score = judgement.scores.get(category)
            threshold = rules.get(category, rules.get(None))
            # Without a score there is nothing to hold against a threshold: the service's flag is all there is.
            if category in named if threshold is None or score is None else score >= threshold:
                known = found.get(category)
                found[category] = score if known is None else max(known, score or 0.0)
    return found


class Verdicts:
    """What people decided about examples. Their decisions come oldest first."""

    def __init__(self, decisions: Iterable[Decision]) -> None:
        self._examples: dict[int, Decision] = {}
        self._categories: dict[str, Decision] = {}
        for decision in decisions:
            if decision.act not in {Act.KEEP, Act.DROP}:
                continue
            if decision.position is not None:
                self._examples[decision.position] = decision
            elif decision.category is not None:
                self._categories[decision.category] = decision

    @property
    def positions(self) -> Collection[int]:
        """The examples that were decided about one by one."""
        return self._examples.keys()

    def of(self, position: int, flagged: Flags) -> Decision | None:
        """The decision that holds for an example; None while there is none.

        The newest about the example itself, whatever was said of its categories. Otherwise those about the categories
        that it is flagged for, the newest of each: one to drop is enough, one to keep is needed for every category.
        """
        own = self._examples.get(position)
        if own is not None:
            return own
        found = [self._categories[category] for category in flagged if category in self._categories]
        drops = [decision for decision in found if decision.act is Act.DROP]
        if not drops and len(found) < len(flagged):
            return None
        return max(drops or found, key=lambda decision: decision.id, default=None)

    def set_aside(self, position: int, flagged: Flags) -> str | None:
        """Why the example is no part of the training; None if it is one."""
        decision = self.of(position, flagged)
        if decision is None:
            return ", ".join(sorted(flagged)) or None
        if decision.act is Act.KEEP:
            return None
        return ", ".join(sorted(flagged)) or "dropped by a person"
