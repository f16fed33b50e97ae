"""What the owner is told without having asked: that little is left of a budget, and what became of an edited file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import discord

from bot.client import Client
from bot.config import BudgetSettings
from bot.settings_watch import Changed, Edit
from bot.store.database import carry_through
from bot.store.spending import Standing
from cogs.ui.budget_message import budget_warning
from cogs.ui.keeping import keep_up
from cogs.ui.limits import cut, embed, foreign
from cogs.ui.owner_notices import post_notice

_VALUE = 60
_LINES = 12
_PATIENCE = 30  # looks that are left out after one that failed: a channel that is gone stays so for long
_sleep = asyncio.sleep


class WatchNotices:
    """Tells each thing once, in the configured channel, looking every few seconds whether there is any."""

    def __init__(self, client: Client, *, every: float) -> None:
        """`every` is in seconds."""
        self._client = client
        self._every = every

    async def keep(self) -> None:
        """Tell what is due for as long as the bot runs."""
        await keep_up(
            self._client,
            "telling the owner",
            # To its end even when the bot stops: a notice that was sent and not noted would be sent twice.
            lambda: carry_through(self.tell()),
            lambda told: _sleep(self._every * (1 if told else _PATIENCE)),
        )

    async def tell(self) -> bool:
        """Send what is due now. False where Discord did not take all of it: it is tried again at a later look."""
        app = self._client.app
        low = await app.budget_watch.due()
        if low is not None:
            if not await post_notice(
                self._client, budget_notice(low.standing, app.settings.budget), "budget", low.marks
            ):
                return False
            await app.budget_watch.told(low)
        edits = app.settings_watch.edits
        while edits and await post_notice(self._client, edit_notice(edits[0]), "edit", edits[0].at):
            edits.popleft()
        return not edits


def budget_notice(standing: Standing, budget: BudgetSettings) -> discord.Embed:
    """That the last fifth of a budget has begun."""
    return embed(
        title="Little is left of the budget",
        description=f"{budget_warning(standing, budget)}\nWhat would pass it stops before the call, and says so."
        " /budget shows what it went to; /config set option:budget.monthly_limit raises it.",
        colour=discord.Colour.orange(),
    )


def edit_notice(edit: Edit) -> discord.Embed:
    """What became of an edit of config.toml."""
    fields: list[tuple[str, str, bool]] = []
    if edit.used:
        fields.append(("In effect now", _listed(map(_change, edit.used)), False))
    if edit.later:
        fields.append(("In effect after a restart", _listed(map(_change, edit.later)), False))
    if edit.overruled:
        lines = (f"{foreign(name)}: {foreign(place)} wins over the file" for name, place in edit.overruled)
        fields.append(("Without effect", _listed(lines), False))
    if edit.problems:
        lines = (foreign(cut(problem, 200)) for problem in edit.problems)
        fields.append(("Wrong, so the old value stays", _listed(lines), False))
    return embed(
        title="config.toml was edited",
        description="Correct what is wrong in the file; the bot looks at it again by itself." if edit.problems else "",
        fields=fields,
        colour=discord.Colour.orange() if edit.problems else discord.Colour.blurple(),
    )


def _change(changed: Changed) -> str:
    before, after = (foreign(cut(text, _VALUE)) or "(empty)" for text in (changed.before, changed.after))
    name = f"**{foreign(changed.name)}**"
    return f"{name} {after}, before: {before}" if before != after else name


def _listed(lines: Iterable[str]) -> str:
    every = list(lines)
    rest = len(every) - _LINES
    return "\n".join(every[:_LINES] + ([f"and {rest:,} more"] if rest > 0 else []))
