"""Thresholds: the score from which on a text is set aside, in the place of the service's own flag."""

from __future__ import annotations

import re
from typing import Any

import discord

from bot.errors import NothingToDo
from bot.examples import Dataset
from bot.pipeline.screening import Screening, content_hash, judged_texts
from bot.store import screening as store
from bot.store.database import Database
from cogs.ui.limits import MODAL_TITLE, cut, embed, foreign
from cogs.ui.screening_review import EVERY, by_count, share

_NUMBER = re.compile(r"(?P<number>[0-9]*[.,]?[0-9]+|[0-9]+[.,])\s*(?P<percent>%?)")
_LONGEST = 10  # characters of a threshold
_A_FEW = 20  # texts
_EXPLAINED = """\
The service gives each text a score between 0% and 100% for each category, and flags it by rules of its own. A \
threshold takes the place of its flag: from that score on, a text is set aside. Lower is stricter.
The scores are here already, so a change costs no call. What somebody has decided stays decided."""


async def categories_to_rule(database: Database, dataset: Dataset, found: Screening) -> list[str]:
    """The categories that a threshold can be set for: those with most flags first, then those that only have scores."""
    names = [count.category for count in by_count(found)]
    others = {name for name in found.thresholds if name is not None}
    if found.model is not None:
        # A service gives the same categories with every text, so a few texts tell.
        texts = (await store.texts_after(database, dataset.id, -1))[:_A_FEW]
        keys = [content_hash(text) for each in texts for text in judged_texts(each, dataset.user_message)]
        judgements = await store.judgements(database, keys, found.model)
        others.update(name for judgement in judgements.values() for name in judgement.scores)
    return [*names, *sorted(others.difference(names))]


def read_threshold(text: str) -> float | None:
    """What somebody typed: a score such as `0.35`, `0,35` or `35%`; None for the service's own flag.

    Raises:
        NothingToDo: it is none of these.
    """
    text = text.strip()
    if not text:
        return None
    found = _NUMBER.fullmatch(text)
    value = float(found["number"].replace(",", ".")) / (100 if found["percent"] else 1) if found else None
    if value is None or value > 1:
        raise NothingToDo(
            f"“{foreign(cut(text, _LONGEST))}” is no threshold.",
            "It takes a number from 0 to 1, such as 0.35, or a share, such as 35%; empty means the service's own flag.",
        )
    return value


def render_thresholds(screening: Screening, category: str | None, notice: str = "") -> discord.Embed:
    """The rules in force, and which of them is about to be changed."""
    own = "the service's own flag"
    rules = {name: value for name, value in screening.thresholds.items() if name is not None}
    general = screening.thresholds.get(None)
    lines = [f"{EVERY}: {'from ' + share(general) if general is not None else own}"]
    lines += [f"{foreign(cut(name, 80))}: from {share(value)}" for name, value in sorted(rules.items())]
    return embed(
        title=f"Thresholds of dataset {screening.dataset_id}",
        description=f"**{notice}**\n\n{_EXPLAINED}" if notice else _EXPLAINED,
        fields=[
            ("In force", cut("\n".join(lines), 1000), False),
            ("Set aside now", f"{screening.set_aside:,} of {screening.total:,} examples", True),
            ("To change", foreign(cut(category, 80)) if category is not None else EVERY, True),
        ],
    )


def what_changed(set_aside: int, brought_back: int) -> str:
    """What a threshold changed, counted in examples."""
    parts = [
        f"{count:,} {'example is' if count == 1 else 'examples are'} {what}"
        for count, what in ((set_aside, "set aside by this"), (brought_back, "brought back"))
        if count > 0
    ]
    return f"{', and '.join(parts)}." if parts else "Noted. It changes nothing in what is set aside."


def threshold_form(custom_id: str, category: str | None, value: float | None) -> discord.ui.Modal:
    """One number, or nothing."""
    form = discord.ui.Modal(title=cut(f"Threshold for {category or EVERY}", MODAL_TITLE), custom_id=custom_id)
    form.add_item(
        discord.ui.TextInput[Any](
            label="From 0 to 1; empty: the service's own flag",
            custom_id="threshold",
            placeholder="0.35",
            default=f"{value:g}" if value is not None else None,
            required=False,
            max_length=_LONGEST,
        )
    )
    return form
