"""/status: where everything stands, and the next step as a button; here the progress messages begin as well."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client, needs
from bot.drafts import DraftState
from bot.errors import BotError, command_of
from bot.permissions import Level
from bot.store import datasets, spending
from bot.store import drafts as draft_store
from bot.store import posts as post_store
from bot.voices.kinds import learns
from cogs.ui.budget_message import budget_warning
from cogs.ui.choice_buttons import ChoiceButton
from cogs.ui.limits import embed, foreign
from cogs.ui.next_step import NextStepButton, step_view
from cogs.ui.progress_message import ProgressMessages
from cogs.ui.screening_review import standing
from cogs.ui.stop_button import StopButton
from cogs.ui.words import dollars, money


class StatusCog(commands.Cog):
    """The overview's command."""

    @needs(Level.REVIEWER)
    @app_commands.command(name="status", description="Show where everything stands, and what comes next.")
    @app_commands.guild_only()
    async def status(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        overview, following = await _overview(interaction.client)
        await interaction.followup.send(embed=overview, view=step_view(following), ephemeral=True)


async def _overview(client: Client) -> tuple[discord.Embed, str]:
    """What there is, and the stage that comes next."""
    app = client.app
    blogs = await post_store.blogs(app.database)
    counts = [(blog, await post_store.count_posts(app.database, blog.uuid)) for blog in blogs]
    dataset = await datasets.newest_dataset(app.database)
    drafts = await draft_store.count_by_state(app.database)
    jobs = await app.runner.active()
    budget = app.settings.budget
    spent = await spending.standing(app.database, budget.monthly_limit, budget.caps, app.clock())
    try:
        writer = await app.voices.current()
        voice, is_trained = writer.name, learns(writer.kind)
    except BotError as error:
        voice, is_trained = str(error), False
    posts = "\n".join(f"{foreign(blog.name)}: {n.all:,} posts, {n.valid:,} usable" for blog, n in counts)
    data, is_settled = "none yet", False
    if dataset is not None:
        screening = await standing(app.database, dataset)
        is_settled = screening.is_settled
        data = f"number {dataset.id}: {dataset.training_count:,} examples, {screening.words}"
    waiting = drafts.get(DraftState.PENDING, 0) + drafts.get(DraftState.UNKNOWN, 0)
    fields = [
        ("Posts", posts or "none yet", False),
        ("Training data", data, True),
        ("Voice", foreign(voice), True),
        ("Drafts", f"{waiting:,} waiting, {drafts.get(DraftState.UPLOADED, 0):,} uploaded", True),
        ("This month", f"{money(spent.used, budget)} of {dollars(spent.limit)}", True),
        ("At work", ", ".join(f"/{command_of(job.kind)}" for job in jobs) or "nothing", True),
        ("Destination", foreign(app.settings.upload_blog_identifier or "not set"), True),
    ]
    if not any(n.valid for _, n in counts):
        following, line = "download", "Next: download the posts of your blog."
    elif dataset is None:
        following, line = "examples", "Next: turn the posts into training data."
    elif not is_settled:
        following, line = "moderate", "Next: screen the training data. /generate works already, without training."
    else:
        following, line = "generate", "Next: write some drafts."
        if not is_trained:
            line += " /finetune trains a voice of its own."
    warning = budget_warning(spent, budget)
    if warning:
        line += f"\n{warning} /budget shows what it went to."
    return embed(title="Where everything stands", description=line, fields=fields), following


async def setup(client: Client) -> None:
    client.add_dynamic_items(NextStepButton, StopButton, ChoiceButton)
    await client.add_cog(StatusCog())
    messages = ProgressMessages(client, edit_interval=client.app.pace.message_edit, clock=client.app.clock)
    client.app.runner.set_face(messages.show)
