"""What a training would use and cost, shown before it begins; its button is the one press that begins it."""

from __future__ import annotations

import discord

from bot.client import Client
from bot.language.endpoint import service_name
from bot.voice_desk import Terms
from bot.words import counted
from cogs.ui.budget_message import left_for_run, run_notes
from cogs.ui.limits import embed, foreign
from cogs.ui.offer_button import offer_view
from cogs.ui.screening_review import standing
from cogs.ui.words import money

_CLOSING = "OpenAI takes no fine-tuning from new customers, and from nobody after 2027-01-06."
_FOLLOWS = (
    "It is set as `job_id`, and under way at the service. The button follows it to its end; nothing is uploaded."
    " To train anew instead, empty `job_id` first: /config reset option:job_id does it."
)


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
    label = "Follow it" if terms.offer.service_job_id else ""
    await interaction.followup.send(embed=shown, view=offer_view("train", terms.offer.id, label), ephemeral=True)


def _render(terms: Terms, screening: str, interaction: discord.Interaction[Client]) -> discord.Embed:
    offer, dataset = terms.offer, terms.dataset
    budget = interaction.client.app.settings.budget
    service = service_name(offer.base_url)
    if offer.service_job_id:
        title, does = f"Follow the job {foreign(offer.service_job_id)}?", _FOLLOWS
        # What the settings say of a new training is not true of one that somebody began elsewhere.
        fields = [
            ("Service", foreign(service), True),
            ("Messages", f"those of dataset {dataset.id}", True),
            ("Cost", "what the service says at its end; whoever began it is paying for it already", False),
        ]
    else:
        title = f"Train a voice on dataset {dataset.id}?"
        does = (
            f"Nothing is uploaded or paid for before you press the button. If {foreign(service)} takes no training from"
            " this account, the bot deletes there again what it has uploaded."
        )
        fields = [
            ("Examples", f"{dataset.training_count:,}, and {dataset.held_out_count:,} held out", True),
            ("Screening", screening, True),
            ("Service", foreign(service), True),
            ("Model", f"{foreign(offer.model)}; {_end(terms)}", False),
            ("Training", f"{dataset.tokens:,} tokens × {counted(offer.epochs, 'epoch')}", False),
            ("Cost", f"about {money(offer.cost, budget)}, an estimate, at {terms.price}", False),
            ("Budget", left_for_run(terms.money, budget), False),
        ]
    if offer.suffix:
        fields.append(("Suffix", foreign(offer.suffix), True))
    if not offer.activate:
        fields.append(("Afterwards", "the voice that writes now goes on writing", True))
    if not offer.service_job_id:
        notes = run_notes(offer.cost, terms.money, budget, "it will not be begun.")
        fields += [("Please note", note, False) for note in notes]
    return embed(
        title=title,
        description=does,
        fields=fields,
        footer=f"{_CLOSING if service == 'OpenAI' else ''} /generate works without training.".strip(),
    )


def _end(terms: Terms) -> str:
    """When the model stops, as far as its service tells."""
    if terms.shutdown_date is not None:
        return f"the service stops it on {terms.shutdown_date}"
    match terms.is_named:
        case True:
            return "no end is announced"
        case False:
            return "the service does not name it among its models"
        case None:
            return "the service does not tell when it ends"
