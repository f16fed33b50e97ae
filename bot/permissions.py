"""Who may do what, and where: the one rule for commands, autocomplete, buttons, selects and forms.

It knows ids only, so that it can be read and tested without Discord.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from bot.errors import BotError, DecidersOnly, NotAllowed, OwnerOnly, WrongPlace


class Level(IntEnum):
    """What somebody may do; each level may do all that those below it may."""

    STRANGER = 0
    REVIEWER = 1
    DECIDER = 2
    OWNER = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """What the settings say: the one server, its one channel (None is any), and who is who."""

    guild_id: int | None
    channel_id: int | None
    owner_ids: frozenset[int]
    reviewer_role_ids: frozenset[int]
    decider_role_ids: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and where. `guild_id` is None in a direct message; `parent_id` is the channel that a thread is of.

    `on_message` says that they act on something the bot has posted, by a button, a select or a form.
    """

    user_id: int
    role_ids: frozenset[int] = frozenset()
    guild_id: int | None = None
    channel_id: int | None = None
    parent_id: int | None = None
    on_message: bool = False


def level_of(actor: Actor, rule: Rule) -> Level:
    """What this person may do. Roles count on the configured server only: any other has its own."""
    if actor.user_id in rule.owner_ids:
        return Level.OWNER
    roles = actor.role_ids if actor.guild_id is not None and actor.guild_id == rule.guild_id else frozenset[int]()
    if not roles & rule.reviewer_role_ids:
        return Level.STRANGER
    if rule.decider_role_ids and not roles & rule.decider_role_ids:
        return Level.REVIEWER
    return Level.DECIDER


def refusal(actor: Actor, rule: Rule, needs: Level) -> BotError | None:
    """Why this person may not do here what needs that level; None if they may."""
    # Before anything about the person: in a direct message nobody's roles are known.
    if actor.guild_id is None:
        return WrongPlace("This bot does not work in direct messages.", "Use it in its channel, on its server.")
    if actor.guild_id != rule.guild_id:
        return WrongPlace(
            "This bot works on one server only, and that is not this one.",
            "Use it there; its owner names the server as `guild_id` under [discord].",
        )
    level = level_of(actor, rule)
    if level is Level.STRANGER:
        return NotAllowed()
    if level < needs:
        return OwnerOnly() if needs is Level.OWNER else DecidersOnly()
    # What the bot has posted stays valid where it stands: drafts of last year may be in an earlier channel.
    if actor.on_message or rule.channel_id in (None, actor.channel_id, actor.parent_id):
        return None
    return WrongPlace(f"This bot takes commands in <#{rule.channel_id}> only.", "Use the command there.")
