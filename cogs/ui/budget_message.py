"""The money as an embed, and the warning when little of it is left."""

from __future__ import annotations

from collections.abc import Sequence

import discord

from bot.config import BudgetSettings
from bot.errors import Cap
from bot.store.spending import Part, Standing, is_low
from bot.words import counted
from cogs.ui.limits import cut, embed, foreign
from cogs.ui.words import dollars, money

_LINES = 6  # of names that are escaped in full, a field takes no more
_NAME = 40


_ENDS = {Cap.MONTH: "this month", Cap.DAY: "today (UTC)", Cap.RUN: "for one run"}


def left_for_run(standing: Standing, budget: BudgetSettings) -> str:
    """What a run that begins now may cost, and which cap says so: the one that it would meet first."""
    cap, left = standing.tightest(budget.per_run)
    if cap is Cap.RUN:
        return f"at most {money(left, budget)} {_ENDS[cap]}, as `per_run` says"
    limit = standing.limit if cap is Cap.MONTH else standing.per_day
    return f"{money(left, budget)} of {dollars(limit)} left {_ENDS[cap]}"


def run_notes(cost: float, standing: Standing, budget: BudgetSettings, consequence: str) -> list[str]:
    """What to know before a run of this cost: that it is too much, with the `consequence`, or that little is left."""
    cap, left = standing.tightest(budget.per_run)
    notes: list[str] = []
    if cost > left:
        what = "the budget has left" if cap is not Cap.RUN else "the budget allows"
        notes.append(f"This is more than {what} {_ENDS[cap]}, as `{cap}` says: {consequence}")
    warning = budget_warning(standing, budget)
    return [*notes, warning] if warning else notes


def run_warning(spent: float, budget: BudgetSettings) -> str:
    """The same as `budget_warning`, of what one run has left of its own cap."""
    left = max(0.0, budget.per_run - spent)
    return f"Little is left of this run's budget: {money(left, budget)}." if is_low(left, budget.per_run) else ""


def budget_warning(standing: Standing, budget: BudgetSettings) -> str:
    """A sentence for each budget of which the last fifth has begun; "" while there is enough."""
    warnings: list[str] = []
    if standing.is_month_low:
        warnings.append(f"Little is left of this month's budget: {money(standing.left, budget)}.")
    if standing.is_day_low and standing.left_today is not None:
        warnings.append(f"Little is left of today's budget (UTC): {money(standing.left_today, budget)}.")
    return " ".join(warnings)


def budget_message(
    standing: Standing, purposes: Sequence[Part], models: Sequence[Part], budget: BudgetSettings
) -> discord.Embed:
    """How the money stands, with what it went to."""
    month = f"{money(standing.used, budget)} of {dollars(standing.limit)}; {money(standing.left, budget)} left"
    if standing.allowed:
        month += f". {dollars(standing.allowed)} of it were allowed beside `monthly_limit`."
    today = money(standing.today, budget)
    if standing.left_today is not None:
        today += f" of {dollars(standing.per_day)}; {money(standing.left_today, budget)} left"
    fields = [("This month (UTC)", month, False), ("Today (UTC)", today, True)]
    if budget.per_run:
        fields.append(("A run", f"at most {dollars(budget.per_run)}", True))
    if standing.open_calls:
        calls = counted(standing.open_calls, "call")
        aside = f"{money(standing.set_aside, budget)} for {calls} under way, or whose answer was lost"
        fields.append(("Set aside", aside, True))
    fields += [("By purpose", _listed(purposes), False), ("By model", _listed(models), False)]
    if not standing.limit:
        warning = "With a limit of 0 nothing is called that costs money."
    else:
        warning = budget_warning(standing, budget)
    return embed(
        title="Budget",
        description=warning,
        fields=fields,
        footer="What is set aside counts as spent. Amounts are estimates; the bills are the services' own.",
    )


def _listed(parts: Sequence[Part]) -> str:
    lines = [
        f"{foreign(cut(part.name, _NAME))}: {dollars(part.month)}, {dollars(part.today)} of it today"
        f" ({counted(part.calls, 'call')})"
        for part in parts[:_LINES]
    ]
    rest = parts[_LINES:]
    if rest:
        lines.append(f"and {len(rest):,} more: {dollars(sum(part.month for part in rest))}")
    return "\n".join(lines) or "nothing yet"
