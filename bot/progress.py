"""What a stage says while it works."""

from __future__ import annotations

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
class Progress:
    """One moment of a stage.

    `total` is None when nobody knows it, and a guess when `total_is_estimate`. `wait_until` is in unix seconds and
    goes with `waiting_for`. `facts` are label-value pairs for the result (shown when the stage is done), `curve`
    is the training loss by step.
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
