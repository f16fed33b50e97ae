"""Options as embeds: one explained, all in short, and a change before it is made. What is long comes as a file."""

from __future__ import annotations

import io
from collections.abc import Sequence

import discord

from bot.config import secret_places, stays_on_machine
from bot.option_desk import Explained, OfferedChange, SectionStanding
from bot.words import counted
from cogs.ui.limits import cut, embed, foreign, length

_VALUE = 400  # UTF-16 code units of a value; escaped it may be twice that, and a field takes 1,024
_IN_OVERVIEW = 60
_EMPTY = "(empty)"

Made = tuple[discord.Embed, discord.File | None]

RESTART = "This needs a restart: until then the bot goes on as before."


def explained_message(explained: Explained) -> Made:
    """All there is to say about one option."""
    option = explained.option
    title = f"{option.name}"
    if option.is_secret:
        belongs = secret_places(option)
        if option.section == "tumblr":
            belongs = f"/connect takes it; or {belongs}"
        fields = [
            ("Value", f"{explained.value}; secrets are never shown", True),
            ("Where it belongs", foreign(f"{belongs[0].upper()}{belongs[1:]}."), False),
        ]
        if explained.value == "set":
            fields.append(("Set by", foreign(explained.place), True))
        return embed(title=title, description=foreign(option.description), fields=fields), None
    fields = [
        ("Value", _shown(explained.value), False),
        ("Default", _shown(explained.default), False),
        ("Set by", foreign(explained.place), True),
        ("It takes", foreign(option.allowed.text), True),
    ]
    if explained.pending is not None:
        fields.append(("From the next start on", _shown(explained.pending), False))
    footer = "A change needs a restart." if explained.needs_restart else "A change takes effect at once."
    if stays_on_machine(option):
        footer = "It is changed on the bot's own machine alone, not from Discord."
    made = embed(title=title, description=foreign(option.description), fields=fields, footer=footer)
    return made, _file("value.txt", {"Value": explained.value, "Default": explained.default})


def overview_message(standings: Sequence[SectionStanding], whole: str) -> Made:
    """Section by section what is not as it was made; the file has everything, as config.toml writes it."""
    lines: list[str] = []
    unchanged: list[str] = []
    for standing in standings:
        name = f"[{standing.name}]" if standing.name else "Top level"
        if not standing.changed:
            unchanged.append(f"{foreign(name)} ({standing.count})")
            continue
        lines.append(f"**{foreign(name)}** {counted(standing.count, 'option')}, {len(standing.changed)} changed")
        lines += [f"{foreign(key)} = {foreign(cut(text, _IN_OVERVIEW))}" for key, text in standing.changed]
    if unchanged:
        lines.append(f"All as they were made: {', '.join(unchanged)}.")
    made = embed(
        title="Options",
        description="\n".join(lines),
        footer="Shown are those that do not have their default; the file has all. /config show explains one.",
    )
    return made, discord.File(io.BytesIO(whole.encode()), "settings.toml")


def offered_message(offered: OfferedChange) -> Made:
    """A change before it is made."""
    fields = [("Before", _shown(offered.before), False), ("After", _shown(offered.after), False)]
    if offered.before == offered.after:
        fields.append(("Please note", "This is the value that it has already.", False))
    if offered.needs_restart:
        fields.append(("When", RESTART, False))
    made = embed(
        title=f"Change {offered.option.name}?",
        description="Nothing changes before you press the button.",
        fields=fields,
    )
    return made, _file("change.txt", {"Before": offered.before, "After": offered.after})


def _shown(value: str) -> str:
    return foreign(cut(value, _VALUE)) or _EMPTY


def _file(name: str, values: dict[str, str]) -> discord.File | None:
    """The values in full, where one of them is too long to be shown."""
    if all(length(value) <= _VALUE for value in values.values()):
        return None
    text = "\n\n".join(f"{heading}:\n{value}" for heading, value in values.items())
    return discord.File(io.BytesIO(f"{text}\n".encode()), name)
