"""What a training would use and cost, shown before it begins; its button is the one press that begins it."""

from __future__ import annotations

import discord

from bot.client import Client
from bot.config import BudgetSettings
from bot.language.endpoint import service_name
from bot.voice_desk import Terms
from bot.words import counted
from cogs.ui.budget_message import left_for_run, run_notes
from cogs.ui.limits import embed, foreign
from cogs.ui.offer_button import offer_view
from cogs.ui.screening_review import standing
from cogs.ui.words import money

_CLOSING = "OpenAI takes no fine-tuning from new customers, and from nobody after 2027-01-06."


async def offer_training(
    interaction: discord.Interaction[Client],
    *,
    model: str | None = None,
    epochs: int | None = None,
    suffix: str | None = None,
    dataset_id: int | None = None,
    activate: bool = True,
) -> None:
    """Show what a training would use and cost, with *Start training*; nothing is sent or paid for before that press.

    Raises:
        NothingToDo: there is no dataset that could be trained on.
    """
    await interaction.response.defer(ephemeral=True, thinking=True)
    app = interaction.client.app
    terms = await app.voices.offer(model=model, epochs=epochs, suffix=suffix, dataset_id=dataset_id, activate=activate)
    screening = await standing(app.database, terms.dataset)
    shown = _render(terms, screening.words + ("" if screening.is_settled else "; /moderate does it"), interaction)
    await interaction.followup.send(embed=shown, view=offer_view("train", terms.offer.id), ephemeral=True)


def _render(terms: Terms, screening: str, interaction: discord.Interaction[Client]) -> discord.Embed:
    offer, dataset = terms.offer, terms.dataset
    budget = interaction.client.app.settings.budget
    service = service_name(offer.base_url)
    ends = "no end is announced" if terms.shutdown_date is None else f"the service stops it on {terms.shutdown_date}"
    fields = [
        ("Examples", f"{dataset.training_count:,}, and {dataset.held_out_count:,} held out", True),
        ("Screening", screening, True),
        ("Service", foreign(service), True),
        ("Model", f"{foreign(offer.model)}; {ends}", True),
        ("Training", f"{dataset.tokens:,} tokens × {counted(offer.epochs, 'epoch')}", True),
        ("Cost", _cost(terms, budget), True),
        ("Budget", left_for_run(terms.money, budget), True),
    ]
    if offer.suffix:
        fields.append(("Suffix", foreign(offer.suffix), True))
    if not offer.activate:
        fields.append(("Afterwards", "the voice that writes now goes on writing", True))
    if not offer.service_job_id:
        notes = run_notes(offer.cost, terms.money, budget, "it will not be begun.")
        fields += [("Please note", note, False) for note in notes]
    return embed(
        title=f"Follow the job {foreign(offer.service_job_id)}?"
        if offer.service_job_id
        else f"Train a voice on dataset {dataset.id}?",
        description=_what_the_button_does(offer.service_job_id, service),
        fields=fields,
        footer=f"{_CLOSING if service == 'OpenAI' else ''} /generate works without training.".strip(),
    )


def _cost(terms: Terms, budget: BudgetSettings) -> str:
    if terms.offer.service_job_id:
        return "what the service says at its end; whoever began it is paying for it already"
    return f"about {money(terms.offer.cost, budget)}, an estimate, at {terms.price}"


def _what_the_button_does(job_id: str, service: str) -> str:
    if job_id:
        return (
            f"The job {foreign(job_id)}, set as `job_id`, is under way at the service. The button follows it to its"
            " end; nothing is uploaded. Empty `job_id` in config.toml to train anew."
        )
    return (
        "Nothing is uploaded or paid for before you press the button."
        f" If {foreign(service)} takes no training from this account, the bot deletes there again what it has uploaded."
    )
