"""What a training would use and cost, shown before it begins; its button is the one press that begins it."""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from bot.client import Client, is_permitted
from bot.language.endpoint import service_name
from bot.voice_desk import Terms
from cogs.ui.buttons import explained, person, require_channel
from cogs.ui.limits import embed, foreign
from cogs.ui.screening_review import standing
from cogs.ui.words import dollars, money

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
    view = discord.ui.View(timeout=None)
    view.add_item(OfferButton(terms.offer.id, "start"))
    view.add_item(OfferButton(terms.offer.id, "cancel"))
    shown = _render(terms, screening.words + ("" if screening.is_settled else "; /moderate does it"), interaction)
    await interaction.followup.send(embed=shown, view=view, ephemeral=True)


def _render(terms: Terms, screening: str, interaction: discord.Interaction[Client]) -> discord.Embed:
    offer, dataset = terms.offer, terms.dataset
    budget = interaction.client.app.settings.budget
    service = service_name(offer.base_url)
    left = terms.limit - terms.used
    ends = "no end is announced" if terms.shutdown_date is None else f"the service stops it on {terms.shutdown_date}"
    fields = [
        ("Examples", f"{dataset.training_count:,}, and {dataset.held_out_count:,} held out", True),
        ("Screening", screening, True),
        ("Service", foreign(service), True),
        ("Model", f"{foreign(offer.model)}; {ends}", True),
        ("Training", f"{dataset.tokens:,} tokens × {offer.epochs} epochs", True),
        ("Cost", f"about {money(offer.cost, budget)}, an estimate, at {terms.price}", True),
        ("Budget", f"{money(max(0.0, left), budget)} of {dollars(terms.limit)} left this month", True),
    ]
    if offer.suffix:
        fields.append(("Suffix", foreign(offer.suffix), True))
    if not offer.activate:
        fields.append(("Afterwards", "the voice that writes now goes on writing", True))
    if offer.cost > left:
        fields.append(("Please note", "This is more than the budget has left, so it will not be begun.", False))
    return embed(
        title=f"Train a voice on dataset {dataset.id}?",
        description=_what_the_button_does(terms.service_job_id, service),
        fields=fields,
        footer=f"{_CLOSING if service == 'OpenAI' else ''} /generate works without training.".strip(),
    )


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


class OfferButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"train:(?P<offer>\d{1,15}):(?P<action>start|cancel)"
):
    """Begins the training that was offered, or says that nothing was begun."""

    def __init__(self, offer_id: int, action: str) -> None:
        self.offer_id = offer_id
        self.action = action
        starts = action == "start"
        super().__init__(
            discord.ui.Button(
                label="Start training" if starts else "Cancel",
                style=discord.ButtonStyle.success if starts else discord.ButtonStyle.secondary,
                custom_id=f"train:{offer_id}:{action}",
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
        await interaction.client.app.start_training(self.offer_id, person(interaction), interaction.channel_id)
        await interaction.followup.send("The training has started. You can follow it in this channel.", ephemeral=True)

    async def _cancel(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.edit_message(
            content="Nothing was begun, uploaded or paid for.", embed=None, view=None
        )
