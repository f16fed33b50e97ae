"""Whoever may not, may not: every command, completion, button, select and form, by everybody who is to be refused.

The tables below are walked together with what the bot has registered: what is new there has to be entered here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import discord
import pytest
from discord import app_commands
from simcord import interactions
from simcord.backend import serializers
from simcord.enums import ComponentType, InteractionType
from simcord.results import InteractionResult

from bot.client import level_needed
from bot.demo.world import GUILD_ID, World, describe
from bot.permissions import Level
from cogs.ui.draft_list import WHICH
from cogs.ui.items import Durable
from tests.cogs.acts import (
    REFUSAL,
    change_discord,
    everything,
    line,
    outcome,
    pause,
    rows,
    said,
    shown_with,
    small_world,
    up_to,
    written,
)
from tests.conftest import _expected

CUSTOM_ID = 100

REVIEWER, DECIDER, OWNER = Level.REVIEWER, Level.DECIDER, Level.OWNER
COMMANDS: dict[str, tuple[Level, dict[str, Any]]] = {
    "download": (REVIEWER, {"blogs": "staff"}),
    "examples": (REVIEWER, {}),
    "moderate": (REVIEWER, {}),
    "finetune": (REVIEWER, {"epochs": 1}),
    "generate": (REVIEWER, {"count": 2}),
    "status": (REVIEWER, {}),
    "budget": (REVIEWER, {}),
    "config show": (REVIEWER, {"option": "post_limit"}),
    "config set": (OWNER, {"option": "post_limit", "value": "5"}),
    "config reset": (OWNER, {"option": "post_limit"}),
    "config secret": (OWNER, {"name": "openai.api_key"}),
    "connect tumblr": (OWNER, {}),
    "connect show": (OWNER, {}),
    "consent add": (OWNER, {"blog": "staff", "note": "says I"}),
    "consent list": (REVIEWER, {}),
    "consent revoke": (OWNER, {"blog": "staff"}),
    "data show": (OWNER, {}),
    "data export": (OWNER, {"what": "preferences"}),
    "data backup": (OWNER, {}),
    "data delete": (OWNER, {"what": "everything"}),
    "data audit": (OWNER, {}),
    "drafts review": (REVIEWER, {}),
    "drafts list": (REVIEWER, {}),
    "drafts show": (REVIEWER, {"number": 1}),
    "drafts export": (REVIEWER, {}),
    "voices list": (REVIEWER, {}),
    "voices show": (REVIEWER, {"voice": "1"}),
    "voices use": (OWNER, {"voice": "1"}),
    "voices rename": (OWNER, {"voice": "1", "name": "theirs"}),
    "voices retire": (OWNER, {"voice": "1"}),
    "voices add": (OWNER, {"model": "gpt-4o-mini"}),
    "voices compare": (REVIEWER, {"one": "1", "other": "2"}),
}
"""Each command: the level it needs, and options to use it with."""

ITEMS: dict[str, dict[Level, tuple[str, ...]]] = {
    "AllowButton": {OWNER: ("allow:{job}:5",)},
    "AuditButton": {OWNER: ("audit:older:1:-:", "audit:newer:1:-:")},
    "BlogSelect": {OWNER: ("connect:upload", "connect:learn")},
    "CategorySelect": {REVIEWER: ("screening:1:0:0:category", "screening:1:0:0:threshold")},
    "ChoiceButton": {REVIEWER: ("choose:{job}:0",)},
    "ChooseDrafts": {DECIDER: ("drafts-choose:waiting:0:0:",)},
    "ComparisonButton": {REVIEWER: tuple(f"compare:1:1:{press}" for press in ("a", "b", "neither", "read"))},
    "ConnectButton": {OWNER: tuple(f"connect:{press}" for press in ("keys", "paste", "disconnect", "forget"))},
    "DatasetButton": {REVIEWER: tuple(f"dataset:1:{press}" for press in ("random", "others", "left", "file"))},
    "ChooseFiles": {OWNER: ("data-files",)},
    "DeleteFiles": {OWNER: ("data-files:delete",)},
    "DecideChosen": {DECIDER: ("drafts-approve:waiting:0:0:", "drafts-reject:waiting:0:0:")},
    "DeleteButton": {OWNER: ("delete:everything:9:", "delete:drafts:2:waiting", "delete:dataset:1:1", "delete:posts:1:x")},
    "DraftButton": {
        REVIEWER: ("draft:1:read",),
        DECIDER: tuple(
            f"draft:1:{press}"
            for press in ("approve", "edit", "regenerate", "reject", "confirm", "resend", "undo", "restore", "why")
        ),
    },
    "GoOnButton": {REVIEWER: ("compare:{job}:go_on",)},
    "NextStepButton": {
        REVIEWER: tuple(f"next:{stage}" for stage in ("download", "examples", "moderate", "finetune", "generate"))
    },
    "OfferButton": {REVIEWER: ("train:1:start", "train:1:cancel", "write:{offer}:start", "write:{offer}:cancel")},
    "OptionButton": {OWNER: ("option:{option}:apply", "option:{option}:cancel")},
    "PageButton": {REVIEWER: ("dataset:1:posts:0123456789abcdef:0", "drafts-page:waiting:0:0:")},
    "ReasonSelect": {REVIEWER: ("dataset:1:reason",)},
    "RemoveButton": {DECIDER: ("draft:1:remove:1",)},
    "ReviewButton": {
        REVIEWER: ("review:1:1:skip",),
        DECIDER: tuple(f"review:1:1:{step}" for step in ("approve", "edit", "regenerate", "reject", "undo")),
    },
    "ScreeningButton": {
        REVIEWER: tuple(
            f"screening:1:0:0:{press}"
            for press in (
                "look", "keep", "drop", "previous", "next", "read", "keep-all", "drop-all", "back", "thresholds",
                "change", "skip", "skip:11",
            )
        )
    },
    "SecretButton": {OWNER: ("secret:openai.api_key:replace", "secret:openai.api_key:test")},
    "StatusButton": {REVIEWER: ("status:refresh", "status:review", "status:cancel:{job}")},
    "StopButton": {REVIEWER: ("job:{job}:stop",)},
    "TrainingButton": {
        REVIEWER: tuple(
            f"training:{{job}}:{press}"
            for press in ("pause", "resume", "other_service", "retry", "screen_stricter", "delete_files")
        ),
        OWNER: tuple(f"training:{{job}}:{press}" for press in ("few_shot", "filter_words", "fewer_posts")),
    },
}  # fmt: skip
"""Each class of buttons and selects: the ids of all its presses, by the level they need."""

FORMS: dict[str, tuple[Level, dict[str, str]]] = {
    "connect:keys:form": (OWNER, {"key": "k", "secret": "s"}),
    "connect:paste:form": (OWNER, {"address": "http://localhost/?oauth_token=a&oauth_verifier=b"}),
    "delete-form:everything:9:": (OWNER, {"typed": "delete everything"}),
    "draft:1:form": (DECIDER, {"text-1": "smuggled in", "tags": ""}),
    "draft:1:why": (DECIDER, {"reason": "because"}),
    "review:1:form": (DECIDER, {"text-1": "smuggled in", "tags": ""}),
    "screening:1:0:0:form": (REVIEWER, {"threshold": "0.1"}),
    "secret:openai.api_key:form": (OWNER, {"value": "sk-theirs"}),
    "training:1:filter_words:form": (OWNER, {"value": "gull"}),
    "training:1:fewer_posts:form": (OWNER, {"value": "3"}),
}
"""An id of each form: the level it needs, and what to send."""

OWNERS_ONLY = "Only the owner of the bot may do this."
DECIDERS_ONLY = "Only some roles decide about drafts here."
DIRECT = "This bot does not work in direct messages."
ELSEWHERE = "This bot works on one server only"


REFUSALS = (REFUSAL, OWNERS_ONLY, DECIDERS_ONLY, DIRECT, ELSEWHERE)


@dataclass(frozen=True)
class Act:
    """One thing that somebody can do: its name for the test's words, the level it needs, and what Discord sends."""

    name: str
    level: Level
    kind: InteractionType
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """Who acts where. Without a guild it is a direct message."""

    user_id: int
    channel_id: int
    guild_id: int | None = GUILD_ID


@dataclass(frozen=True)
class House:
    """A world with something of everything in it, and the numbers of some of that, to be named in ids."""

    world: World
    ids: Mapping[str, int]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A dataset, offers of three kinds, drafts that wait, a comparison, and a download that waits for Tumblr."""
    async with small_world(tmp_path) as world:
        await up_to(world, "moderate")
        await world.owner.slash(world.channel, "finetune")
        await world.owner.slash(world.channel, "generate", count=2)
        await outcome(world, "generate")
        await world.drafts_shown(2)
        await world.owner.slash(world.channel, "voices add", model="gpt-4o-mini")
        await world.owner.slash(world.channel, "voices compare", one="1", other="2", rounds=1)
        await world.until(lambda: shown_with(world, "Round 1 of 1: which is better?"))
        await world.owner.slash(world.channel, "generate", count=150)
        await world.owner.slash(world.channel, "config set", option="post_limit", value="5")
        world.tumblr.hour_used = world.tumblr.hour_limit
        await world.owner.slash(world.channel, "download")
        await world.until(lambda: "Waiting" in line(shown_with(world, "Downloading posts")[-1]) or None)
        ((job, option, offer),) = await rows(
            world,
            "SELECT (SELECT max(id) FROM jobs), (SELECT max(id) FROM option_offers), (SELECT max(id) FROM job_offers)",
        )
        await pause(0.2)
        yield House(world, {"job": job, "option": option, "offer": offer})
        unexpected = [error for error in world.env.errors if not _expected(error)]
        assert not unexpected, unexpected


# --- the walk over what is registered -----------------------------------------------------------------------------


def commands_of(world: World) -> dict[str, app_commands.Command[Any, ..., Any]]:
    walked = world.client.tree.walk_commands(guild=discord.Object(GUILD_ID))
    return {each.qualified_name: each for each in walked if isinstance(each, app_commands.Command)}


def all_acts(house: House) -> list[Act]:
    """All that can be done with the bot. Fails where something is registered that the tables above do not know."""
    return [*command_acts(house.world), *item_acts(house), *form_acts(house.world)]


def command_acts(world: World) -> Iterator[Act]:
    commands = commands_of(world)
    assert commands.keys() == COMMANDS.keys()
    for name, command in commands.items():
        level, options = COMMANDS[name]
        assert level_needed(command) is level, f"/{name} declares another level, or none"
        yield Act(f"/{name}", level, InteractionType.APPLICATION_COMMAND, called(world, name, options))
        for parameter in command.parameters:
            if parameter.autocomplete:
                data = called(world, name, options, typing=parameter.name)
                yield Act(f"/{name} {parameter.name}…", level, InteractionType.APPLICATION_COMMAND_AUTOCOMPLETE, data)


def called(world: World, name: str, options: Mapping[str, Any], typing: str | None = None) -> dict[str, Any]:
    """What Discord sends for a command, or with `typing` for the completion of that option."""
    root = world.env.backend.find_command(name.split(maxsplit=1)[0], GUILD_ID)
    assert root is not None
    leaf, nesting = interactions.walk_to_subcommand(root, name.split()[1:])
    kinds = {each["name"]: each["type"] for each in leaf["options"]}
    given = [{"name": key, "type": kinds[key], "value": value} for key, value in options.items() if key != typing]
    if typing is not None:
        given.append({"name": typing, "type": kinds[typing], "value": "", "focused": True})
    nested = interactions.nest_options(root, nesting, given)
    return {"id": root["id"], "guild_id": str(GUILD_ID), "name": root["name"], "type": 1, "options": nested}


def item_acts(house: House) -> Iterator[Act]:
    registered = {each: each.__discord_ui_compiled_template__ for each in house.world.client.durable_items}
    assert {each.__name__ for each in registered} == ITEMS.keys()
    presses: dict[type, list[str]] = {each: [] for each in registered}
    for name, levels in ITEMS.items():
        for level, template in ((level, template) for level, found in levels.items() for template in found):
            custom_id = template.format(**house.ids)
            ((item, match),) = [(each, m) for each, t in registered.items() if (m := t.fullmatch(custom_id))]
            assert item.__name__ == name
            assert issubclass(item, Durable)
            made = item.read(match)
            assert made.needs is level, custom_id
            presses[item].append(custom_id)
            yield press(custom_id, level, is_select=isinstance(made.item, discord.ui.Select))
    for item, template in registered.items():
        for words in re.findall(r"\(\?P<\w+>([\w-]+(?:\|[\w-]+)+)\)", template.pattern):
            missing = [word for word in words.split("|") if word not in str(presses[item]) and word not in WHICH]
            assert not missing, f"{item.__name__} can do more than the table says"
        assert presses[item], item


def press(custom_id: str, level: Level, *, is_select: bool = False) -> Act:
    kind = ComponentType.STRING_SELECT if is_select else ComponentType.BUTTON
    data = {"custom_id": custom_id, "component_type": kind} | ({"values": ["1"]} if is_select else {})
    return Act(custom_id, level, InteractionType.MESSAGE_COMPONENT, data)


def form_acts(world: World) -> Iterator[Act]:
    forms = world.client.forms
    assert {next(t for t in forms if t.fullmatch(custom_id)) for custom_id in FORMS} == set(forms)
    for custom_id, (level, values) in FORMS.items():
        inputs = [{"type": ComponentType.TEXT_INPUT, "custom_id": key, "value": value} for key, value in values.items()]
        parts = [{"type": ComponentType.ACTION_ROW, "components": [each]} for each in inputs]
        yield Act(custom_id, level, InteractionType.MODAL_SUBMIT, {"custom_id": custom_id, "components": parts})


# --- what people do -----------------------------------------------------------------------------------------------


async def do(world: World, place: Place, *acts: Act) -> list[InteractionResult]:
    """Send them as Discord would, whether or not its own app would let this person; all before any is answered."""
    backend = world.env.backend
    records = []
    for act in acts:
        record, payload = interactions.base_payload(
            backend,
            type=act.kind,
            channel_id=place.channel_id,
            guild_id=place.guild_id,
            user_id=place.user_id,
            data=dict(act.data),
        )
        if act.kind in (InteractionType.MESSAGE_COMPONENT, InteractionType.MODAL_SUBMIT):
            stored = next(iter(backend.messages[world.channel.id].values()))
            payload["message"] = dict(serializers.message_payload(backend, stored))
            record.source_message_id = stored.id
        if act.kind is InteractionType.MESSAGE_COMPONENT:
            part = {"type": act.data["component_type"], "custom_id": act.data["custom_id"]}
            options = [{"label": value, "value": value} for value in act.data.get("values", ())]
            part |= {"options": options} if options else {"style": 1, "label": "x"}
            payload["message"]["components"] = [{"type": ComponentType.ACTION_ROW, "components": [part]}]
        records.append(record)
        backend.emit("INTERACTION_CREATE", payload)
    await world.env.settle()
    return [InteractionResult(world.env, record) for record in records]


async def all_refused(world: World, place: Place, acts: Sequence[Act], sentence: str) -> None:
    """Each gets its private sentence, or nothing to choose from; nothing changes, and no service hears of it."""
    assert acts
    before = await everything(world)
    for act, result in zip(acts, await do(world, place, *acts), strict=True):
        assert result.modal is None, act.name
        if act.kind is InteractionType.APPLICATION_COMMAND_AUTOCOMPLETE:
            assert result.autocomplete_choices == [], act.name
        else:
            assert said(result).startswith(sentence), act.name
    await pause(0.2)
    assert await everything(world) == before


async def test_whoever_may_not_is_refused_everything_and_nothing_happens(
    house: House, caplog: pytest.LogCaptureFixture
):
    world, acts = house.world, all_acts(house)
    here, guild = world.channel.id, world.env.guild
    # Strangers; one of them may do everything on the server, which is nothing to the bot.
    admins = guild.create_role("Admins", permissions=discord.Permissions(administrator=True))
    admin = guild.add_member(world.env.create_user("harbour-master"), roles=[admins])
    for stranger in (world.stranger, admin):
        caplog.clear()
        await all_refused(world, Place(stranger.id, here), acts, REFUSAL)
        logged = [r for r in caplog.records if r.levelno == logging.WARNING and str(stranger.id) in r.getMessage()]
        assert len(logged) == len(acts)
    # A reviewer: what is the owner's, and, where only some roles decide, what they decide.
    above = [act for act in acts if act.level is OWNER]
    await all_refused(world, Place(world.reviewer.id, here), above, OWNERS_ONLY)
    settings = world.app.settings
    review = settings.review.model_copy(update={"decider_role_ids": [admins.id]})
    world.app.settings = settings.model_copy(update={"review": review})
    above = [act for act in acts if act.level is DECIDER]
    await all_refused(world, Place(world.reviewer.id, here), above, DECIDERS_ONLY)
    world.app.settings = settings
    # In direct messages and on another server nobody, be it the owner.
    other = world.env.create_guild("Elsewhere")
    room = other.create_text_channel("room")
    other.add_member(world.owner.user)
    await all_refused(world, Place(world.owner.id, world.owner.user.dm_channel.id, None), acts, DIRECT)
    await all_refused(world, Place(world.owner.id, room.id, other.id), acts, ELSEWHERE)
    (result,) = await do(world, Place(world.reviewer.id, world.reviewer.user.dm_channel.id, None), acts[0])
    assert said(result).startswith(DIRECT), "nobody's roles are known there"
    # In another channel of the server no commands; what the bot has posted there is another matter.
    aside = guild.create_text_channel("aside")
    typed = [act for act in acts if act.name.startswith("/")]
    await all_refused(world, Place(world.owner.id, aside.id), typed, f"This bot takes commands in <#{here}> only.")


async def test_what_names_something_that_is_not_there_gets_a_sentence_and_changes_nothing(house: House):
    """Numbers of nothing, far too large ones, and ids that are no button of ours, all by the owner."""
    world = house.world
    place = Place(world.owner.id, world.channel.id)
    # What the owner does to an option, or with the voice that needs no training, is whole without the training's number.
    by_themselves = re.compile(r"training:\d+:(few_shot|filter_words:form|fewer_posts:form)")
    acts = [act for act in (*item_acts(house), *form_acts(world)) if not by_themselves.fullmatch(act.name)]
    before = await everything(world)
    wrong = ["", "draft", "draft:1:publish", "draft:-1:approve", "next:rm", "job::stop", "train:1:start:2", "x" * 100]
    made_up = [press(custom_id, OWNER) for custom_id in wrong if custom_id]
    for digits in ("999", "9" * 30):
        for act in acts:
            custom_id = re.sub(r"\d+", digits, act.name)
            if custom_id != act.name and len(custom_id) <= CUSTOM_ID:
                made_up.append(replace(act, name=custom_id, data={**act.data, "custom_id": custom_id}))
    for act, result in zip(made_up, await do(world, place, *made_up), strict=True):
        assert result.acknowledged, act.name
        shown = [each for each in (result.response, *result.followups) if each is not None]
        text = " ".join(describe(each.message) for each in shown)
        assert "reference" not in text, (act.name, text)
        if not any(template.fullmatch(act.name) for template in known(world)):
            assert said(result) == "The bot does not know this button or form any more. Use the command again.", (
                act.name
            )
    await pause(0.2)
    assert await everything(world) == before


def known(world: World) -> list[re.Pattern[str]]:
    return [*(each.__discord_ui_compiled_template__ for each in world.client.durable_items), *world.client.forms]


# --- places -------------------------------------------------------------------------------------------------------


async def test_commands_work_in_the_one_channel_and_buttons_where_they_stand(small: World):
    first, second = await written(small, 2)
    guild = small.env.guild
    new = guild.create_text_channel("new-room")
    change_discord(small, channel_id=new.id)
    # The drafts are in the channel of before: their buttons work, and commands are sent to the new one.
    assert said(await small.reviewer.click(first, label="Reject")).startswith("Draft 1 is rejected.")
    form = await small.reviewer.click(second, label="Edit")
    assert said(await small.reviewer.submit_modal(form, {"text-1": "moved", "tags": ""})).startswith("Draft 2 has")
    assert said(await small.owner.slash(small.channel, "status")) == (
        f"This bot takes commands in <#{new.id}> only. Use the command there."
    )
    assert await small.owner.autocomplete(small.channel, "voices show", "voice", "") == []
    assert "Where everything stands" in said(await small.owner.slash(new, "status"))
    assert await small.owner.autocomplete(new, "voices show", "voice", "")
    # A thread counts as its channel.
    act = next(act for act in command_acts(small) if act.name == "/status")
    threads = [small.env.backend.create_thread(c.id, "thread", small.owner.id).id for c in (new, small.channel)]
    inside, outside = [said((await do(small, Place(small.owner.id, thread), act))[0]) for thread in threads]
    assert "Where everything stands" in inside
    assert outside.startswith("This bot takes commands in")
    # Where the channel was deleted, or none is set, any of the server will do.
    small.env.backend.delete_channel(new.id)
    await small.env.settle()
    assert "Where everything stands" in said(await small.reviewer.slash(small.channel, "status"))
    change_discord(small, channel_id=None)
    assert "Where everything stands" in said(await small.reviewer.slash(small.channel, "status"))
    change_discord(small, guild_id=None)
    assert said(await small.owner.slash(small.channel, "status")).startswith(ELSEWHERE)


async def test_the_owner_of_the_application_needs_no_entry_in_the_settings(small: World):
    application = await small.client.application_info()
    change_discord(small, owner_ids=[])
    assert small.client.rule.owner_ids == {application.owner.id}
    assert said(await small.owner.slash(small.channel, "status")).startswith(REFUSAL)


async def test_a_command_that_declares_no_level_is_the_owners(small: World):
    commands_of(small)["status"].extras.clear()
    assert said(await small.reviewer.slash(small.channel, "status")).startswith(OWNERS_ONLY)
    assert "Where everything stands" in said(await small.owner.slash(small.channel, "status"))


async def test_a_form_sent_by_somebody_who_is_a_stranger_by_now_changes_nothing(small: World):
    (message,) = await written(small)
    form = await small.reviewer.click(message, label="Edit")
    small.env.backend.get_guild(small.env.guild.id).members[small.reviewer.id].role_ids.clear()
    before = await everything(small)
    result = await small.reviewer.submit_modal(form, {"text-1": "smuggled in", "tags": ""})
    assert said(result).startswith(REFUSAL)
    assert await everything(small) == before


async def test_a_command_of_an_older_version_is_explained(tmp_path: Path):
    async with small_world(tmp_path, posts=0) as world:
        act = next(act for act in command_acts(world) if act.name == "/status")
        old = replace(act, data={**act.data, "name": "stats"})
        (result,) = await do(world, Place(world.owner.id, world.channel.id), old)
        assert said(result) == (
            "The bot has changed since Discord showed this command. Reload Discord, and use it again."
        )
