"""Pictures for people. They need the `charts` extra; without it, a row of blocks tells the same."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cogs.ui.words import bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _PAPER, _LINE = "#dbdee1", "#2b2d31", "#5865f2"  # Discord's dark theme
_BESIDE = "#f0b232"
_BARS = 24  # of a histogram; more cannot be told apart on a phone
_FEWEST_BARS = 6
_ROWS = 8  # of blocks
_MONTH_ROWS = 12
_YEAR_ROWS = 20
_MOST_MONTHS = 240  # Tumblr began in 2007: a longer time is shown by years
_LABELS = 6  # along a time; more would overlap
_SHARE_SHOWN = 0.98  # of all lengths; what is longer than these is one bar at the end
_STEPS = (1, 2, 5)
_OPEN = " or more"


def loss_curve(points: Sequence[tuple[int, float]], held_out: Sequence[tuple[int, float]] = ()) -> bytes | None:
    """A PNG of the training loss by step, and that of the held-out part; None without matplotlib.

    CPU work: call it in a thread.
    """
    figure = _figure(6, 2.6)
    if figure is None:
        return None
    axes = figure.add_subplot()
    axes.plot([step for step, _ in points], [loss for _, loss in points], color=_LINE, linewidth=1.8, label="training")
    if held_out:
        steps, losses = zip(*held_out, strict=True)
        axes.plot(steps, losses, color=_BESIDE, linewidth=1.8, label="held out")
        axes.legend(facecolor=_PAPER, edgecolor=_PAPER, labelcolor=_INK)
    axes.set_xlabel("step", color=_INK)
    axes.set_ylabel("loss" if held_out else "training loss", color=_INK)
    _dress(axes)
    return _png(figure)


def dataset_picture(lengths: Sequence[int], months: Sequence[tuple[str, int]]) -> bytes | None:
    """A PNG of how long examples are (in tokens) and how many posts each month has ("2024-05", sorted or not).

    None without matplotlib, or without examples. CPU work: call it in a thread.
    """
    if not lengths:
        return None
    times, unit = over_time(months)
    figure = _figure(5, 5 if times else 2.6)
    if figure is None:
        return None
    above = figure.add_subplot(2 if times else 1, 1, 1)
    bars = histogram(lengths, min(_BARS, max(_FEWEST_BARS, math.isqrt(len(lengths)))))
    above.bar(range(len(bars)), [count for _, count in bars], width=0.86, align="edge", color=_LINE)
    starts = _starts([label for label, _ in bars])
    above.set_xticks(list(starts), list(starts.values()))
    above.set_xlim(-0.5, max(len(bars), _FEWEST_BARS) + 0.5)
    above.set_title("tokens in an example", color=_INK, loc="left")
    _dress(above)
    _count(above)
    if times:
        below = figure.add_subplot(2, 1, 2)
        below.bar(range(len(times)), [count for _, count in times], width=0.86 if len(times) < 60 else 1, color=_LINE)  # noqa: PLR2004 - gaps between more would flicker
        ticks = _ticks([label for label, _ in times])
        below.set_xticks(list(ticks), list(ticks.values()))
        below.set_xlim(-0.7, max(len(times), _FEWEST_BARS) - 0.3)  # so that a single month is no wall
        below.set_title(f"posts in a {unit}", color=_INK, loc="left")
        _dress(below)
        _count(below)
    return _png(figure)


def length_rows(lengths: Sequence[int]) -> str:
    """The lengths as rows of blocks."""
    return _rows(histogram(lengths, _ROWS))


def time_rows(months: Sequence[tuple[str, int]]) -> str:
    """The posts over time as rows of blocks: by month, and by year where those are too many."""
    times, _ = over_time(months, most=_MONTH_ROWS)
    return _rows(times[-_YEAR_ROWS:])


def histogram(lengths: Sequence[int], most: int) -> list[tuple[str, int]]:
    """How many lengths lie in each of at most so many ranges of the same round width.

    The few that are far longer than all others are in the last range, which then has no end.
    """
    ordered = sorted(lengths)
    usual = ordered[int((len(ordered) - 1) * _SHARE_SHOWN)]
    width = _round_width((usual - ordered[0] + 1) / (most - 1))
    first = ordered[0] // width
    counts = [0] * min(most, ordered[-1] // width - first + 1, usual // width - first + 2)
    for length in ordered:
        counts[min(length // width - first, len(counts) - 1)] += 1
    starts = [(first + number) * width for number in range(len(counts))]
    labels = [f"{start:,}-{start + width - 1:,}" if width > 1 else f"{start:,}" for start in starts]
    if ordered[-1] >= starts[-1] + width:
        labels[-1] = f"{starts[-1]:,}{_OPEN}"
    return list(zip(labels, counts, strict=True))


def over_time(months: Sequence[tuple[str, int]], most: int = _MOST_MONTHS) -> tuple[list[tuple[str, int]], str]:
    """All months from the first to the last, those without posts too, and "month"; or years, where they are too many.

    What is no month ("2024-05") is left out.
    """
    found: dict[int, int] = {}
    for month, count in months:
        if read := re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", month):
            number = int(read[1]) * 12 + int(read[2]) - 1
            found[number] = found.get(number, 0) + count
    if not found:
        return [], "month"
    if max(found) - min(found) < most:
        every = range(min(found), max(found) + 1)
        return [(f"{number // 12:04}-{number % 12 + 1:02}", found.get(number, 0)) for number in every], "month"
    years: dict[int, int] = dict.fromkeys(range(min(found) // 12, max(found) // 12 + 1), 0)
    for number, count in found.items():
        years[number // 12] += count
    return [(f"{year:04}", count) for year, count in years.items()], "year"


def _round_width(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, … that is no less."""
    power = 1
    while True:
        for step in _STEPS:
            if step * power >= least:
                return step * power
        power *= 10


def _starts(ranges: Sequence[str]) -> dict[int, str]:
    """What to write where the bars of a histogram begin, by position; the last one always, if it has no end."""
    every = -(-len(ranges) // _LABELS)
    last = len(ranges) - 1
    named = {number: ranges[number].partition("-")[0] for number in range(0, last + 1, every)}
    if ranges[last].endswith(_OPEN):
        named = {number: start for number, start in named.items() if number <= last - every}
        named[last] = ranges[last].removesuffix(_OPEN) + "+"
    return named


def _ticks(labels: Sequence[str]) -> dict[int, str]:
    """Which months or years to name below their bars, by position: few enough to stand side by side."""
    by_month = "-" in labels[0]
    if by_month and len(labels) > 3 * 12:  # years are enough then, and stand where they begin
        named = {number: label[:4] for number, label in enumerate(labels) if label.endswith("-01")}
    else:
        named = dict(enumerate(labels))
    every = -(-len(named) // _LABELS)
    if by_month and every in (4, 5):
        every = 6  # half years are easier to read than thirds
    return dict(list(named.items())[::every])


def _rows(bars: Sequence[tuple[str, int]]) -> str:
    if not bars:
        return ""
    highest = max(count for _, count in bars) or 1
    wide = max(len(label) for label, _ in bars)
    blocks = [bar(count, highest, 10).rstrip("░") or ("▏" if count else "") for _, count in bars]
    rows = [f"{label:>{wide}} {block} {count:,}" for (label, count), block in zip(bars, blocks, strict=True)]
    return "```\n" + "\n".join(rows) + "\n```"


def _figure(width: float, height: float) -> Figure | None:
    """An empty picture of so many inches, or None without matplotlib."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, and heavy
    except ModuleNotFoundError:
        return None
    return Figure(figsize=(width, height), dpi=144, facecolor=_PAPER, layout="constrained")


def _dress(axes: Axes) -> None:
    """Give a panel Discord's colours, and no more lines than it needs."""
    axes.set_facecolor(_PAPER)
    axes.set_ylim(bottom=0)
    axes.tick_params(colors=_INK, labelsize=11)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(_INK)


def _count(axes: Axes) -> None:
    """Let the axis on the left count: few whole numbers, with commas."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter  # noqa: PLC0415 - an extra, and heavy

    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
