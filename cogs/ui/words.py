"""Numbers and times in words."""

from __future__ import annotations

from bot.config import BudgetSettings
from cogs.ui.limits import foreign

_SMALLEST = 0.0001  # the last digit that is shown of an amount of money
_SIGNS = {"EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}


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
    return f"under ${_SMALLEST}" if 0 < amount < _SMALLEST else f"${_digits(amount)}"


def money(amount: float, budget: BudgetSettings) -> str:
    """An amount of dollars, and what that is in the owner's currency where one and its rate are set."""
    own = amount * budget.currency_rate
    if not budget.currency or own < _SMALLEST:
        return dollars(amount)
    sign = _SIGNS.get(budget.currency.upper(), budget.currency)
    is_word = any(map(str.isalpha, sign))
    shown = f"{_digits(own)} {sign}" if is_word else f"{sign}{_digits(own)}"
    return f"{dollars(amount)} (about {foreign(shown)} at your rate)"


def _digits(amount: float) -> str:
    return f"{amount:,.2f}" if amount >= 0.1 or amount == 0 else f"{amount:.4f}"  # noqa: PLR2004 - ten cents


def size(count: int) -> str:
    """So many bytes, in the largest fitting unit."""
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1_000:  # noqa: PLR2004 - a thousand
            break
        amount, unit = amount / 1_000, larger
    return f"{count:,} bytes" if unit == "bytes" else f"{amount:,.1f} {unit}"


def bar(done: int, total: int, width: int = 20) -> str:
    """How far, as a row of blocks."""
    filled = min(width, round(width * done / total)) if total else 0
    return "█" * filled + "░" * (width - filled)
