"""/drafts: the queue of what waits for a decision, and the messages that show each draft."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client
from bot.drafts import Draft, DraftState
from bot.store import drafts as store
from cogs.ui.draft_buttons import DraftButton, receive_form
from cogs.ui.draft_message import DraftMessages
from cogs.ui.limits import cut, embed, foreign

_LISTED = 15
_EXCERPT = 80


class DraftsCog(commands.Cog):
    """The queue's command."""

    @app_commands.command(name="drafts", description="Show which drafts wait for a decision.")
    @app_commands.describe(show="The number of a draft to show again in this channel.")
    @app_commands.guild_only()
    async def drafts(
        self, interaction: discord.Interaction[Client], show: app_commands.Range[int, 1] | None = None
    ) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        app = interaction.client.app
        if show is not None:
            draft = await store.get_draft(app.database, show)
            if draft is None or interaction.channel_id is None:
                await interaction.followup.send(
                    f"There is no draft {show}. /drafts lists those that wait.", ephemeral=True
                )
                return
            await app.show_again(draft.id, interaction.channel_id)
            await interaction.followup.send(f"Draft {draft.id} is shown again in this channel.", ephemeral=True)
            return
        counts = await store.count_by_state(app.database)
        waiting = await store.drafts_in(app.database, [DraftState.UNKNOWN, DraftState.PENDING], limit=_LISTED)
        await interaction.followup.send(embed=_queue(counts, waiting, interaction.guild_id), ephemeral=True)

    @commands.Cog.listener()
    async def on_interaction(self, interaction: discord.Interaction[Client]) -> None:
        if interaction.type is discord.InteractionType.modal_submit:
            await receive_form(interaction)


def _queue(counts: dict[DraftState, int], waiting: list[Draft], guild_id: int | None) -> discord.Embed:
    total = counts.get(DraftState.PENDING, 0) + counts.get(DraftState.UNKNOWN, 0)
    if not waiting:
        description = "No draft waits for a decision. /generate writes some."
    else:
        description = "\n".join(_line(draft, guild_id) for draft in waiting)
        if total > len(waiting):
            description += f"\nand {total - len(waiting):,} more."
    fields = [(state.value.capitalize(), f"{count:,}", True) for state, count in counts.items() if count]
    return embed(title="Drafts", description=description, fields=fields)


def _line(draft: Draft, guild_id: int | None) -> str:
    first = foreign(cut(" ".join(draft.text.split()), _EXCERPT))
    name = f"Draft {draft.id}"
    if draft.message_id is not None:
        name = f"[{name}](https://discord.com/channels/{guild_id}/{draft.channel_id}/{draft.message_id})"
    return f"{name}: {first}"


async def setup(client: Client) -> None:
    client.add_dynamic_items(DraftButton)
    await client.add_cog(DraftsCog())
    messages = DraftMessages(client, edit_interval=client.app.pace.message_edit)
    client.app.background.spawn("draft messages", messages.keep())
