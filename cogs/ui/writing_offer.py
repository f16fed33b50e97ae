"""What a large run of /generate will take, shown before it begins; its button is the press that begins it."""

from __future__ import annotations

import discord

from bot.config import BudgetSettings
from bot.job_desk import WritingPlan
from bot.words import counted
from cogs.ui.budget_message import left_for_run, run_notes
from cogs.ui.limits import embed, foreign
from cogs.ui.words import money

_HUNDRED = 100


def estimate_in_words(plan: WritingPlan, budget: BudgetSettings) -> str:
    """What a run that is too small to ask about will cost; "" where that cannot be told."""
    if plan.estimate is None or plan.hundred is None:
        return ""
    run, hundred = money(plan.estimate.dollars, budget), money(plan.hundred.dollars, budget)
    return (
        f"{counted(plan.count, 'draft')} will cost about {run}, and {_HUNDRED} about {hundred}: an estimate, on top of"
        " which come tags and what is written anew."
    )


def offer_embed(plan: WritingPlan, budget: BudgetSettings) -> discord.Embed:
    """The estimate, and what the budget has left."""
    estimate = plan.estimate
    dollars, tokens = (estimate.dollars, estimate.tokens) if estimate is not None else (0.0, 0)
    fields = [
        ("Voice", foreign(plan.voice), True),
        ("Cost", f"about {money(dollars, budget)} for about {tokens:,} tokens, an estimate", True),
    ]
    if plan.hundred is not None and plan.count != _HUNDRED:
        fields.append((f"{_HUNDRED} drafts", f"about {money(plan.hundred.dollars, budget)}", True))
    if plan.money is not None:
        fields.append(("Budget", left_for_run(plan.money, budget), True))
        notes = run_notes(dollars, plan.money, budget, "the run will stop there.")
        fields += [("Please note", note, False) for note in notes]
    return embed(
        title=f"Write {counted(plan.count, 'draft')}?",
        description="Nothing is paid for before you press the button. Texts that are written anew, and tags,"
        " come on top of the estimate.",
        fields=fields,
    )
