"""Numbers and times in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """About how long, in the largest fitting unit."""
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:  # noqa: PLR2004 - an hour
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def relative(moment: float) -> str:
    """A moment (unix seconds) as Discord shows it: in each reader's own time, counting down."""
    return f"<t:{int(moment)}:R>"


def dollars(amount: float) -> str:
    """An amount of money; small ones keep their first digits."""
    if 0 < amount < 0.0001:  # noqa: PLR2004 - the last digit shown
        return "under $0.0001"
    return f"${amount:.2f}" if amount >= 0.1 or amount == 0 else f"${amount:.4f}"  # noqa: PLR2004 - ten cents


def bar(done: int, total: int, width: int = 20) -> str:
    """How far, as a row of blocks."""
    filled = min(width, round(width * done / total)) if total else 0
    return "█" * filled + "░" * (width - filled)
