"""What is offered while somebody types."""

from __future__ import annotations

from collections.abc import Iterable

from discord import app_commands

from bot.training import Voice
from bot.voice_register import VoiceRegister
from cogs.ui.limits import cut

MOST_CHOICES = 25  # Discord's limits, of choices and of the characters in one
LONGEST_CHOICE = 100


def complete_blogs(typed: str, names: Iterable[str]) -> list[app_commands.Choice[str]]:
    """Names that go on from the last word typed; the words before it stay, since several blogs may be named."""
    before, last = _last_word(typed)
    given = before.split()
    offered = [f"{before}{name}" for name in names if name.startswith(last.lower()) and name not in given]
    return [app_commands.Choice(name=text, value=text) for text in offered if len(text) <= LONGEST_CHOICE][
        :MOST_CHOICES
    ]


def complete_options(typed: str, names: Iterable[str]) -> list[app_commands.Choice[str]]:
    """Options whose name has in it what is typed; those that begin with it, in their section or whole, come first."""
    wanted = typed.strip().lower()
    found = [name for name in names if wanted in name]
    found.sort(key=lambda name: not (name.startswith(wanted) or name.rpartition(".")[2].startswith(wanted)))
    return [app_commands.Choice(name=name, value=name) for name in found[:MOST_CHOICES]]


async def complete_voices(register: VoiceRegister, typed: str) -> list[app_commands.Choice[str]]:
    """Voices whose number or name goes on from what is typed. The number is sent: several may have the same name."""
    wanted = typed.strip().casefold()
    voices = [entry.voice for entry in await register.entries()]
    return [
        app_commands.Choice(name=cut(_choice(voice), LONGEST_CHOICE), value=str(voice.id))
        for voice in voices
        if str(voice.id).startswith(wanted) or wanted in voice.name.casefold()
    ][:MOST_CHOICES]


def _choice(voice: Voice) -> str:
    return f"{voice.id}: {voice.name}{' (retired)' if voice.is_retired else ''}"


def _last_word(typed: str) -> tuple[str, str]:
    words = typed.replace(",", " ").split()
    if not words or typed.endswith((" ", ",")):
        return "".join(f"{word} " for word in words), ""
    return "".join(f"{word} " for word in words[:-1]), words[-1].removeprefix("@")
