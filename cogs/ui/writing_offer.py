"""What a large run of /generate will take, shown before it begins; its button is the press that begins it."""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from bot.app import WritingPlan
from bot.client import Client, is_permitted
from bot.config import BudgetSettings
from cogs.ui.buttons import explained, person, require_channel
from cogs.ui.limits import embed, foreign
from cogs.ui.words import money

BEGUN = "The voice has begun to write. You can follow it in this channel."


def offer_embed(plan: WritingPlan, budget: BudgetSettings) -> discord.Embed:
    """The estimate, and what the budget has left."""
    estimate = plan.estimate
    dollars, tokens = (estimate.dollars, estimate.tokens) if estimate is not None else (0.0, 0)
    fields = [
        ("Voice", foreign(plan.voice), True),
        ("Cost", f"about {money(dollars, budget)} for about {tokens:,} tokens, an estimate", True),
        ("Budget", f"{money(max(0.0, plan.left), budget)} left this month", True),
    ]
    if dollars > plan.left:
        fields.append(("Please note", "This is more than the budget has left: the run will stop there and ask.", False))
    return embed(
        title=f"Write {plan.count:,} drafts?",
        description="Nothing is paid for before you press the button. Texts that are written anew, and tags,"
        " come on top of the estimate.",
        fields=fields,
    )


def offer_view(offer_id: int) -> discord.ui.View:
    """A row with *Start writing* and *Cancel*."""
    view = discord.ui.View(timeout=None)
    view.add_item(WritingButton(offer_id, "start"))
    view.add_item(WritingButton(offer_id, "cancel"))
    return view


class WritingButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"write:(?P<offer>\d{1,15}):(?P<action>start|cancel)"
):
    """Begins the run that was offered, or says that nothing was begun."""

    def __init__(self, offer_id: int, action: str) -> None:
        self.offer_id = offer_id
        self.action = action
        starts = action == "start"
        super().__init__(
            discord.ui.Button(
                label="Start writing" if starts else "Cancel",
                style=discord.ButtonStyle.success if starts else discord.ButtonStyle.secondary,
                custom_id=f"write:{offer_id}:{action}",
            )
        )

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction[Any], _item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(int(match["offer"]), match["action"])

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        return await is_permitted(interaction)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await explained(interaction, self._start(interaction) if self.action == "start" else self._cancel(interaction))

    async def _start(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        require_channel(interaction)
        await interaction.client.app.start_writing(self.offer_id, person(interaction), interaction.channel_id)
        await interaction.followup.send(BEGUN, ephemeral=True)

    async def _cancel(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.edit_message(content="Nothing was begun or paid for.", embed=None, view=None)
