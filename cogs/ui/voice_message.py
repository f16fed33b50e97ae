"""The register of voices as people see it: all of them in short, and one of them whole."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import discord

from bot.config import BudgetSettings
from bot.language.endpoint import service_name
from bot.language.prices import Estimate
from bot.pipeline.finetune import sparkline
from bot.store.voices import Record
from bot.training import Voice
from bot.voice_register import Entry
from bot.voices.kinds import KINDS, learns
from bot.words import counted
from cogs.ui.charts import loss_curve
from cogs.ui.limits import cut, embed, foreign, length
from cogs.ui.words import money

_LIST = 3_500  # UTF-16 code units, under the 4,096 of a description
_MESSAGE = 700  # of a message that a voice is asked with, before it is made harmless
_MODEL = 120
_WRITES = discord.Colour.green()
_RETIRED = discord.Colour.light_grey()
_HINT = "/voices use writes with another one; /voices show has all there is of one."


@dataclass(frozen=True, slots=True)
class Shown:
    """An embed, and the file that goes with it, if any."""

    embed: discord.Embed
    file: discord.File | None = None


# --- all of them ----------------------------------------------------------------------------------------------------


def listed(entries: Sequence[Entry], today: date) -> Shown:
    """Every voice in short; where they are too many for one message, a file has all of them."""
    lines: list[str] = []
    room = _LIST
    for entry in entries:
        line = _line(entry, today)
        room -= length(line) + 2
        if room < 0:
            break
        lines.append(line)
    left = len(entries) - len(lines)
    if not left:
        return Shown(embed(title="Voices", description="\n\n".join(lines), footer=_HINT))
    lines.append(f"and {left:,} more.")
    whole = "\n\n".join(_in_full(entry, today) for entry in entries)
    return Shown(
        embed(title="Voices", description="\n\n".join(lines), footer=f"The file has all of them. {_HINT}"),
        discord.File(io.BytesIO(whole.encode("utf-8", "replace")), "voices.txt"),
    )


def _line(entry: Entry, today: date) -> str:
    voice = entry.voice
    mark = " **Writes now.**" if entry.writes else ""
    if voice.retired_at is not None:
        mark = f" Retired <t:{int(voice.retired_at)}:d>."
    facts = [
        f"{foreign(cut(voice.model, _MODEL))} at {foreign(service_name(voice.base_url))}",
        *([f"dataset {voice.dataset_id}"] if voice.dataset_id is not None else []),
        f"made <t:{int(voice.created_at)}:d>",
        ends(voice, today),
    ]
    label = KINDS[voice.kind].label
    kind = "" if voice.name == label else f" ({label})"
    return f"**{voice.id}: {foreign(voice.name)}**{kind}.{mark}\n{', '.join(facts)}.\n{_in_short(entry.record)}"


def _in_full(entry: Entry, today: date) -> str:
    """As `_line`, for a file: nothing is cut, and there is no markup."""
    voice = entry.voice
    mark = ", writes now" if entry.writes else ""
    if voice.retired_at is not None:
        mark = f", retired {_day(voice.retired_at)}"
    dataset = "none" if voice.dataset_id is None else str(voice.dataset_id)
    return "\n".join(
        [
            f"{voice.id}: {voice.name} ({KINDS[voice.kind].label}{mark})",
            f"model {voice.model} at {service_name(voice.base_url)}",
            f"dataset {dataset}, made {_day(voice.created_at)}, {ends(voice, today)}",
            _in_short(entry.record),
        ]
    )


def _in_short(record: Record) -> str:
    if not record.drafts:
        return "No draft yet."
    drafts = counted(record.drafts, "draft")
    if record.approval is None:
        return f"{drafts}, none decided yet."
    decided = record.approved + record.rejected + record.replaced
    return f"{drafts}; {record.approved:,} of {decided:,} decided were approved ({record.approval:.0%})."


def ends(voice: Voice, today: date) -> str:
    """When a voice's model stops."""
    day = voice.shutdown_date
    if day is None:
        return "no end known"
    days = (day - today).days
    if days <= 0:
        return f"stopped {day}"
    return f"stops {day} ({'tomorrow' if days == 1 else f'in {days:,} days'})"


def _day(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"


# --- one of them ----------------------------------------------------------------------------------------------------


async def whole(entry: Entry, today: date, budget: BudgetSettings, hundred: Estimate | None) -> Shown:
    """All there is of one voice, with its loss curve as a picture where it has one; `hundred` is for so many drafts."""
    voice, training = entry.voice, entry.training
    curve = training.loss_curve if training else ()
    picture = None
    if training is not None and curve:
        picture = await asyncio.to_thread(loss_curve, curve, training.held_out_curve)
    fields = [
        ("Model", foreign(cut(voice.model, _MODEL)), True),
        ("Service", foreign(service_name(voice.base_url)), True),
        ("Ends", ends(voice, today), True),
        ("Made", f"<t:{int(voice.created_at)}:f>", True),
        ("Dataset", "none" if voice.dataset_id is None else f"number {voice.dataset_id}", True),
        ("Cost of making it", _cost(entry, budget), True),
        ("100 drafts", f"about {money(hundred.dollars, budget)}, an estimate" if hundred else "not known yet", True),
        *((foreign(cut(label, 60)), foreign(cut(value, 200)), True) for label, value in voice.settings),
        ("Drafts", _decisions(entry.record), False),
    ]
    if training is not None and curve:
        losses = f"{curve[0][1]:.2f} at first, {curve[-1][1]:.2f} at last"
        if training.held_out_curve:
            losses += f"; {training.held_out_curve[-1][1]:.2f} at last on held-out posts"
        fields.append(("Loss", losses if picture else f"{sparkline([loss for _, loss in curve])}\n{losses}", False))
    fields += [
        ("Developer message", _message(voice.developer_message), False),
        ("User message", _message(voice.user_message), False),
    ]
    shown = embed(
        title=f"Voice {voice.id}: {foreign(voice.name)}",
        description=_standing(entry),
        colour=_RETIRED if voice.is_retired else _WRITES if entry.writes else None,
        fields=fields,
    )
    if picture is None:
        return Shown(shown)
    shown.set_image(url="attachment://loss.png")
    return Shown(shown, discord.File(io.BytesIO(picture), "loss.png"))


def _standing(entry: Entry) -> str:
    voice = entry.voice
    kind = f"A {KINDS[voice.kind].label} voice."
    if voice.retired_at is not None:
        return f"{kind} Retired <t:{int(voice.retired_at)}:f>; /voices retire bring_back:True brings it back."
    return f"{kind} /generate writes with it now." if entry.writes else f"{kind} /voices use writes with it."


def _cost(entry: Entry, budget: BudgetSettings) -> str:
    """What making a voice cost; of a model that was trained elsewhere nobody here knows."""
    voice = entry.voice
    if voice.cost:
        return money(voice.cost, budget)
    return "not known" if learns(voice.kind) and entry.training is None else "nothing"


def _decisions(record: Record) -> str:
    if not record.drafts:
        return "none yet"
    parts = [
        f"{record.approved:,} approved" + (f" ({record.edited:,} of them edited)" if record.edited else ""),
        f"{record.rejected:,} rejected",
        f"{record.replaced:,} regenerated",
        f"{record.waiting:,} waiting",
    ]
    rate = "" if record.approval is None else f" {record.approval:.0%} of those decided were approved."
    return f"{record.drafts:,} in all: {', '.join(parts)}.{rate}"


def _message(text: str) -> str:
    return foreign(cut(text.strip(), _MESSAGE)) or "(empty)"
