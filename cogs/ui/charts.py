"""Pictures for people. They need the `charts` extra; without it, a row of blocks tells the same."""

from __future__ import annotations

import io
from collections.abc import Sequence

_INK, _PAPER, _LINE = "#dbdee1", "#2b2d31", "#5865f2"  # Discord's dark theme


def loss_curve(points: Sequence[tuple[int, float]]) -> bytes | None:
    """A PNG of the training loss by step, or None without matplotlib. CPU work: call it in a thread."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, and heavy
    except ModuleNotFoundError:
        return None
    figure = Figure(figsize=(6, 2.6), dpi=120, facecolor=_PAPER, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor(_PAPER)
    axes.plot([step for step, _ in points], [loss for _, loss in points], color=_LINE, linewidth=1.8)
    axes.set_xlabel("step", color=_INK)
    axes.set_ylabel("training loss", color=_INK)
    axes.set_ylim(bottom=0)
    axes.tick_params(colors=_INK)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(_INK)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
