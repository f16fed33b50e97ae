"""The settings in a backup: where keys go, who decides and where files lie is not taken over from them unasked.

Whoever made the backup may be somebody else.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType

from bot.config import Settings, options, plain, read_options, sections, without_secrets, write_options
from bot.config.nesting import value_at
from bot.errors import SettingsError

ASKED_ABOUT = (
    "openai.base_url",
    "openai.generation.base_url",
    "openai.fine_tuning.base_url",
    "openai.moderation.base_url",
    "tumblr.api_url",
    "discord.owner_ids",
    "discord.guild_id",
    "discord.channel_id",
    "discord.reviewer_role_ids",
    "review.decider_role_ids",
    "data_directory",
    "training_data_file",
    "custom_prompts_file",
)
"""The options by which a stranger's file could have the keys sent to them, make them the owner, or misplace files."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An option that the backup has another value for than config.toml here; both as TOML has them."""

    name: str
    here: object
    there: object

    def __str__(self) -> str:
        return f"{self.name}: {_shown(self.there)} in the backup, {_shown(self.here)} here"


Trust = Callable[[Sequence[Difference]], bool]
"""Asks a person whether these values of the backup are to be taken over; it is called where there are any."""


def trust_nothing(_differences: Sequence[Difference]) -> bool:
    """What counts where nobody can be asked."""
    return False


def make_safe(restored: Path, here: Path, settings: Settings, trust: Trust) -> tuple[str, ...]:
    """Make a restored file fit to take the place of `here`, with no secret in it. Returns sentences about what stays.

    Raises:
        SettingsError: it cannot be read, or is written in a way in which it cannot be changed.
    """
    try:
        content = without_secrets(restored.read_bytes(), settings)
        restored.write_bytes(content)
        written: dict[str, object] = tomllib.loads(content.decode("utf-8"))
    except ValueError:
        raise SettingsError(("The config.toml in the backup cannot be read as TOML.",)) from None
    if any(not isinstance(value_at(written, section), dict | NoneType) for section in sections()):
        raise SettingsError(("The config.toml in the backup has something else where a section belongs.",))
    found = _differences(restored, here)
    if not found or trust(found):
        return ()
    write_options(restored, {each.name: each.here for each in found})
    if _differences(restored, here):
        raise SettingsError(("The config.toml in the backup is written in a way that cannot be changed.",))
    return tuple(
        f"{each.name} stays as it is here, {_shown(each.here)}; the backup has {_shown(each.there)}." for each in found
    )


def _differences(restored: Path, here: Path) -> list[Difference]:
    """What the files say otherwise. What a file does not name has its default."""
    there = read_options(restored)
    try:
        now = read_options(here)
    except SettingsError:  # it says nothing that could be kept
        now = {}
    defaults = {name: options()[name].default for name in ASKED_ABOUT}
    found = [Difference(name, now.get(name, default), there.get(name, default)) for name, default in defaults.items()]
    return [each for each in found if each.here != each.there]


def _shown(value: object) -> str:
    return plain(str(value), most=120) if value not in ("", []) else "nothing"
