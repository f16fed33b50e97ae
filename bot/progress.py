"""What a stage says while it works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Preview:
    """The post in hand, as people see it beside the progress bar."""

    text: str
    title: str = ""
    url: str | None = None
    tags: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """Something a person may start from where a stage ended: a stage of this `kind`, with these parameters."""

    label: str
    kind: str
    parameters: Mapping[str, str | bool | list[str]]


@dataclass(frozen=True, slots=True)
class Progress:
    """One moment of a stage.

    `total` is None when nobody knows it, and a guess when `total_is_estimate`. `wait_until` is in unix seconds and
    goes with `waiting_for`. `facts` are label-value pairs, `curve` is the training loss by step, `held_out_curve` that
    of the held-out part. `choices` are what to do next, where that is for a person to say. `dataset_id` is the dataset
    that came of it. `finish` is when a service expects to be done (unix seconds). `rest` is what a person may have the
    work do now: "pause" or "resume".
    """

    done: int
    total: int | None
    line: str
    unit: str = ""
    preview: Preview | None = None
    total_is_estimate: bool = False
    waiting_for: str | None = None
    wait_until: float | None = None
    facts: tuple[tuple[str, str], ...] = field(default=())
    curve: tuple[tuple[int, float], ...] = field(default=())
    choices: tuple[Choice, ...] = field(default=())
    dataset_id: int | None = None
    held_out_curve: tuple[tuple[int, float], ...] = field(default=())
    finish: float | None = None
    rest: str | None = None
