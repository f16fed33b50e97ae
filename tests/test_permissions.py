"""Who may do what, and where: the rule itself. That everything asks it is for tests/cogs/test_strangers.py to show."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from bot.errors import BotError, DecidersOnly, NotAllowed, OwnerOnly, WrongPlace
from bot.permissions import Actor, Level, Rule, level_of, refusal

SERVER, CHANNEL, REVIEWERS, DECIDERS = 10, 20, 30, 31
RULE = Rule(
    guild_id=SERVER,
    channel_id=CHANNEL,
    owner_ids=frozenset({1}),
    reviewer_role_ids=frozenset({REVIEWERS}),
    decider_role_ids=frozenset({DECIDERS}),
)
PEOPLE = {
    Level.OWNER: Actor(1),
    Level.DECIDER: Actor(2, frozenset({REVIEWERS, DECIDERS})),
    Level.REVIEWER: Actor(3, frozenset({REVIEWERS})),
    Level.STRANGER: Actor(4, frozenset({DECIDERS, 99})),  # a role that decides lets nobody in who is no reviewer
}
PEOPLE = {level: replace(actor, guild_id=SERVER, channel_id=CHANNEL) for level, actor in PEOPLE.items()}
NEEDED = (Level.REVIEWER, Level.DECIDER, Level.OWNER)


@pytest.mark.parametrize(("level", "needs"), list(product(Level, NEEDED)))
def test_each_may_do_what_is_theirs_and_what_is_below(level: Level, needs: Level):
    assert level_of(PEOPLE[level], RULE) is level
    refused = refusal(PEOPLE[level], RULE, needs)
    if level is Level.STRANGER:
        assert isinstance(refused, NotAllowed)
    elif level >= needs:
        assert refused is None
    else:
        assert isinstance(refused, OwnerOnly if needs is Level.OWNER else DecidersOnly)


def test_without_roles_that_decide_every_reviewer_does():
    assert level_of(PEOPLE[Level.REVIEWER], replace(RULE, decider_role_ids=frozenset())) is Level.DECIDER


def test_roles_of_another_server_are_nothing_here():
    assert level_of(replace(PEOPLE[Level.DECIDER], guild_id=11), RULE) is Level.STRANGER
    assert level_of(replace(PEOPLE[Level.DECIDER], guild_id=None), replace(RULE, guild_id=None)) is Level.STRANGER


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("on_message", [False, True])
@pytest.mark.parametrize("guild_id", [None, 11])
def test_outside_the_server_nobody_may_do_anything(level: Level, on_message: bool, guild_id: int | None):
    actor = replace(PEOPLE[level], guild_id=guild_id, on_message=on_message)
    for rule in (RULE, replace(RULE, guild_id=None), replace(RULE, channel_id=None)):
        assert isinstance(refusal(actor, rule, Level.REVIEWER), WrongPlace)


@pytest.mark.parametrize("level", [Level.OWNER, Level.REVIEWER])
def test_commands_are_for_the_channel_and_its_threads(level: Level):
    elsewhere = replace(PEOPLE[level], channel_id=21)
    refused = refusal(elsewhere, RULE, Level.REVIEWER)
    assert isinstance(refused, WrongPlace)
    assert "<#20>" in refused.sentence
    for allowed, rule in (
        (replace(elsewhere, parent_id=CHANNEL), RULE),
        (replace(elsewhere, on_message=True), RULE),
        (elsewhere, replace(RULE, channel_id=None)),
    ):
        assert refusal(allowed, rule, Level.REVIEWER) is None
    assert refusal(replace(elsewhere, parent_id=22), RULE, Level.REVIEWER) is not None


def test_a_stranger_is_not_told_which_channel_it_is():
    refused = refusal(replace(PEOPLE[Level.STRANGER], channel_id=21), RULE, Level.REVIEWER)
    assert isinstance(refused, NotAllowed)


def test_every_refusal_is_a_sentence_and_a_next_step():
    places = product((None, 11, SERVER), (CHANNEL, 21))
    for (guild_id, channel_id), actor, needs in product(places, PEOPLE.values(), NEEDED):
        refused = refusal(replace(actor, guild_id=guild_id, channel_id=channel_id), RULE, needs)
        if isinstance(refused, BotError):
            assert refused.sentence.endswith(".")
            assert refused.next_step.endswith(".")
