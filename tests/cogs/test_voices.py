"""/voices through the front door: the register, which voice writes, two voices judged blind, and the end of a model."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import discord
import pytest
from simcord.results import InteractionResult

from bot.config import Settings
from bot.demo.faults import Fault
from bot.demo.openai_service import FIRST_SHUTDOWN, ModelCard
from bot.demo.world import GUILD_ID, World, describe
from bot.store import voices
from bot.training import TrainingApi, Voice, VoiceKind
from bot.voices.kinds import KINDS
from cogs.ui import limits
from tests.cogs.acts import (
    answer,
    becomes,
    buttons,
    calls,
    everything,
    forged,
    line,
    now,
    outcome,
    pause,
    restarted,
    rows,
    said,
    small_world,
    stage,
    together,
)
from tests.conftest import _expected

TUNED = "gpt-4.1-mini-2025-04-14"
COGS = Path(__file__).parents[2] / "cogs"
NASTY = "**bold** @everyone [click](https://evil.example) discord.gg/abc <@1> ||x||"


async def add(world: World, model: str = TUNED, *, active: bool = False, **changes: Any) -> Voice:
    """A trained voice in the register. The stand-in writes with any model that it has."""
    voice = Voice(
        id=0,
        kind=VoiceKind.FINE_TUNED,
        name="mine",
        model=model,
        base_url=world.app.settings.openai.base_url,
        dataset_id=None,
        developer_message="You were trained.",
        user_message="As trained.",
        cost=1.25,
        active=active,
        created_at=world.clock(),
        settings=(("Epochs", "3"),),
    )
    voice = replace(voice, **changes)
    async with world.app.database.write() as connection:
        number = await voices.add_voice(connection, voice)
        if voice.retired_at is not None:
            await voices.retire_voice(connection, number, now=voice.retired_at)
    return replace(voice, id=number)


async def say(world: World, command: str, actor: Any = None, **options: Any) -> str:
    return said(await (actor or world.owner).slash(world.channel, f"voices {command}", **options))


async def writes(world: World) -> str:
    """The name of the voice that writes now."""
    return (await world.app.voices.current()).name


async def acts(world: World) -> list[tuple[Any, ...]]:
    return await rows(world, "SELECT user_name, action, subject, before, after FROM audit ORDER BY id")


def settings_file(world: World) -> dict[str, Any]:
    path = world.directory / "config.toml"
    return tomllib.loads(path.read_text("utf-8")) if path.exists() else {}


async def late_press(world: World, actor: Any, message: discord.Message, custom_id: str) -> InteractionResult:
    """A press of a button that the message has not got any more, as on a phone that has not caught up."""
    button = {"type": 2, "style": 1, "label": "x", "custom_id": custom_id}
    stored = world.env.backend.get_message(world.channel.id, message.id)
    before, stored.components = stored.components, [{"type": 1, "components": [button]}]
    result = await forged(world, actor, message, custom_id)
    if stored.components == [{"type": 1, "components": [button]}]:
        stored.components = before
    return result


def round_messages(world: World) -> list[discord.Message]:
    return [m for m in world.messages if m.embeds and re.match(r"Round \d+ of", m.embeds[0].title or "")]


async def compared(world: World, rounds: int = 2, *, actor: Any = None, **options: Any) -> list[discord.Message]:
    """Compare voices, and wait for the messages of all rounds."""
    options.setdefault("one", "1")
    options.setdefault("other", "2")
    answered = await say(world, "compare", actor, rounds=rounds, **options)
    assert answered.startswith("Both voices have begun to write."), answered
    await outcome(world, "voices compare")
    return await world.until(lambda: m if len(m := round_messages(world)) == rounds else None)


@pytest.fixture
async def two(small: World) -> World:
    """A world with a trained voice, number 1, and few-shot, number 2; few-shot writes."""
    await add(small)
    await stage(small, "download")
    assert (await small.app.voices.current()).id == 2
    return small


# --- looking ------------------------------------------------------------------------------------------------------


async def test_list_shows_each_voice_the_writing_one_first_and_retired_ones_last(two: World):
    await add(two, "gpt-4o-mini", name="old one", retired_at=two.clock())
    await add(
        two, "gpt-4.1", name="newest", shutdown_date=datetime.fromtimestamp(two.clock(), UTC).date() + timedelta(days=9)
    )
    text = await say(two, "list", two.reviewer)
    headings = re.findall(r"^\*\*(\d+): ", text, re.MULTILINE)
    assert headings == ["2", "4", "1", "3"]
    assert "**2: few-shot**. **Writes now.**" in text
    assert re.search(r"stops \d{4}-\d\d-\d\d \(in (8|9|10) days\)", text)
    assert re.search(r"\*\*3: old one\*\* \(fine-tuned\)\. Retired <t:\d+:d>", text)
    assert text.count("No draft yet.") == 4
    assert f"{TUNED} at 127.0.0.1, made <t:" in text


async def test_regenerate_writes_in_the_voice_of_the_draft_whichever_is_in_use(two: World):
    await stage(two, "generate", voice="1", count=1)
    (message,) = await two.drafts_shown(1)
    assert await writes(two) == "few-shot"
    assert said(await two.owner.click(message, label="Regenerate")).endswith("another one is being written.")
    (_, new) = await two.drafts_shown(2)
    assert await rows(two, "SELECT voice_id, note FROM drafts ORDER BY id") == [(1, ""), (1, "")]
    assert "Voice: mine" in describe(new)
    asked = [str(request.body) for request in calls(two.openai.requests, "POST", "/completions")]
    assert len([body for body in asked if "You were trained." in body]) == 2


@pytest.mark.parametrize("why", ["is retired", "stopped on 20", "is at a service that the settings do not name"])
async def test_a_voice_that_cannot_write_any_more_is_replaced_by_the_one_in_use_and_that_is_said(two: World, why: str):
    await stage(two, "generate", voice="1", count=1)
    (message,) = await two.drafts_shown(1)
    async with two.app.database.write() as connection:
        change = {
            "is retired": "retired_at = 1.0",
            "stopped on 20": f"shutdown_date = '{datetime.fromtimestamp(two.clock(), UTC).date()}'",
        }.get(why, "base_url = 'https://gone.example/v1'")
        await connection.execute(f"UPDATE voices SET {change} WHERE id = 1")  # noqa: S608 - our own text
    told = said(await two.owner.click(message, label="Regenerate"))
    assert re.search(rf"another one is being written\. mine {why}.*, so few-shot writes\.$", told)
    (_, new) = await two.drafts_shown(2)
    assert re.search(rf"Please note: mine {why}.*, so few-shot writes\.", describe(new))
    assert "Voice: few-shot" in describe(new)


async def test_list_and_show_say_how_the_drafts_were_decided(two: World):
    await stage(two, "generate", count=3)
    first, second, _ = await two.drafts_shown(3)
    await two.owner.click(first, label="Reject")
    await two.owner.click(second, label="Approve")
    await becomes(two, second, "Uploaded")
    assert "3 drafts; 1 of 2 decided were approved (50%)." in await say(two, "list")
    assert "3 in all: 1 approved, 1 rejected, 0 regenerated, 1 waiting. 50% of those decided were approved." in (
        await say(two, "show", voice="2")
    )


async def test_a_long_register_keeps_discords_limits_with_a_file(two: World):
    for number in range(60):
        await add(two, f"ft:gpt-4.1-mini:me:{'x' * 60}:{number}", name=f"voice of the day {number}")
    shown = answer(await two.owner.slash(two.channel, "voices list"))
    assert re.search(r"and \d+ more\.", describe(shown.message))
    assert limits.length(line(shown.message)) <= limits.DESCRIPTION
    (file,) = shown.message.attachments
    assert file.filename == "voices.txt"
    content = (await file.read()).decode()
    assert len(re.findall(r"^\d+: ", content, re.MULTILINE)) == 62


async def test_show_has_everything_of_one_voice_with_its_loss_curve(two: World, monkeypatch: pytest.MonkeyPatch):
    await stage(two, "examples")
    await stage(two, "finetune")
    trained = (await rows(two, "SELECT max(id) FROM voices"))[0][0]
    shown = answer(await two.reviewer.slash(two.channel, "voices show", voice=str(trained)))
    text = describe(shown.message)
    for part in (
        "A fine-tuned voice. /generate writes with it now.",
        "Base model: ",
        "Epochs: 2",
        "Trained: ",
        "Dataset: number 1",
        "Cost of making it: $",
        "Loss: ",
        f"Developer message: {two.app.settings.developer_message[:20]}",
        f"User message: {two.app.settings.user_message[:20]}",
    ):
        assert part in text, part
    assert [file.filename for file in shown.message.attachments] == ["loss.png"]
    assert shown.message.embeds[0].image.url
    monkeypatch.setattr("cogs.ui.voice_message.loss_curve", lambda *_: None)  # as without the charts extra
    shown = answer(await two.reviewer.slash(two.channel, "voices show", voice=str(trained)))
    assert not shown.message.attachments
    assert re.search(r"Loss: [▁▂▃▄▅▆▇█]+", describe(shown.message))


async def test_the_days_that_are_left_are_shown(two: World):
    today = datetime.fromtimestamp(two.clock(), UTC).date()
    for days, words in ((48, "in 48 days"), (1, "tomorrow"), (-3, "stopped")):
        voice = await add(two, f"m{days}", shutdown_date=today + timedelta(days=days))
        assert words in await say(two, "show", voice=str(voice.id))


async def test_foreign_names_lose_their_teeth(two: World):
    await add(two, NASTY, name=NASTY, developer_message=NASTY, settings=((NASTY, NASTY),))
    for text in (await say(two, "list"), await say(two, "show", voice="3")):
        assert "@everyone" not in text
        assert "**bold**" not in text
        assert "[click](" not in text
        assert "<@1>" not in text


@pytest.mark.parametrize("command", ["show", "use", "retire"])
async def test_a_voice_that_is_not_there_is_a_sentence(two: World, command: str):
    for text in ("77", "nobody", "-1", "٣"):
        assert await say(two, command, voice=text) == (
            "There is no such voice. /voices list shows them all with their numbers."
        )


async def test_a_name_that_several_have_asks_for_the_number(two: World):
    await add(two, "gpt-4o-mini", name="Mine")
    assert await say(two, "use", voice="mine") == (
        "Several voices have that name: 1, 3. Name the one you mean by its number."
    )


async def test_voices_are_offered_by_number_and_by_name(two: World):
    await add(two, "gpt-4o-mini", name="lamp", retired_at=two.clock())

    async def offered(typed: str, option: str = "voice", command: str = "use", actor: Any = None) -> list[Any]:
        found = await (actor or two.owner).autocomplete(two.channel, f"voices {command}", option, typed)
        return [(choice["name"], choice["value"]) for choice in found]

    assert await offered("") == [("2: few-shot", "2"), ("1: mine", "1"), ("3: lamp (retired)", "3")]
    assert await offered("MIN") == [("1: mine", "1")]
    assert await offered("3", "other", "compare") == [("3: lamp (retired)", "3")]
    for command in ("show", "rename", "retire"):
        assert await offered("few", command=command) == [("2: few-shot", "2")]
    assert await offered("", actor=two.stranger) == []


# --- which one writes ---------------------------------------------------------------------------------------------


async def test_use_goes_to_a_trained_voice_and_back_to_any_earlier_one(two: World):
    await add(two, "gpt-4o-mini", name="second")
    assert await say(two, "use", voice="1") == "From now on /generate writes with **mine** (voice 1)."
    assert await writes(two) == "mine"
    assert settings_file(two)["fine_tuned_model"] == TUNED
    await say(two, "use", voice="second")
    assert settings_file(two)["fine_tuned_model"] == "gpt-4o-mini"
    await say(two, "use", voice="mine")
    await stage(two, "generate", count=1)
    assert await rows(two, "SELECT voice_id FROM drafts") == [(1,)]
    assert (await acts(two))[-1] == ("keeper", "use voice", "voice 1, mine", "voice 3, second", "")
    await restarted(two)
    assert await writes(two) == "mine"


async def test_use_of_few_shot_as_it_is_set_means_no_choice(two: World):
    await say(two, "use", voice="1")
    assert await say(two, "use", voice="few-shot") == "From now on /generate writes with **few-shot** (voice 2)."
    assert await writes(two) == "few-shot"
    assert settings_file(two)["fine_tuned_model"] == ""
    assert await rows(two, "SELECT id FROM voices WHERE active = 1") == []
    await restarted(two)
    assert await writes(two) == "few-shot"


async def test_few_shot_on_an_earlier_model_is_a_choice_like_any_other(two: World):
    earlier = await add(two, "gpt-4.1", kind=VoiceKind.FEW_SHOT, name="on 4.1")
    await say(two, "use", voice=str(earlier.id))
    assert await writes(two) == "on 4.1"
    assert await rows(two, "SELECT id FROM voices WHERE active = 1") == [(earlier.id,)]
    assert settings_file(two)["fine_tuned_model"] == ""


async def test_a_choice_that_will_not_last_says_so(two: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUMBLRBOT_FINE_TUNED_MODEL", TUNED)
    assert "TUMBLRBOT_FINE_TUNED_MODEL wins over this" in await say(two, "use", voice="2")
    assert await say(two, "use", voice="1") == "From now on /generate writes with **mine** (voice 1)."


async def test_a_retired_voice_is_not_used_until_it_is_brought_back(two: World):
    await say(two, "retire", voice="1")
    before = await everything(two)
    assert await say(two, "use", voice="1") == (
        "Voice 1 is retired. Bring it back first: /voices retire voice:1 bring_back:true."
    )
    assert await everything(two) == before
    assert "is back." in await say(two, "retire", voice="1", bring_back=True)
    assert (await acts(two))[-1] == ("keeper", "bring back voice", "voice 1, mine", "retired", "")
    await say(two, "use", voice="1")
    assert await writes(two) == "mine"
    assert "is not retired" in await say(two, "retire", voice="1", bring_back=True)


async def test_a_voice_whose_service_is_no_longer_set_is_a_sentence(two: World):
    await add(two, name="elsewhere", base_url="https://gone.example/v1")
    before = await everything(two)
    for text in (await say(two, "use", voice="elsewhere"), await say(two, "compare", one="elsewhere", other="1")):
        assert text.startswith("The settings name no service at gone.example any more")
    assert await everything(two) == before


async def test_rename(two: World):
    assert await say(two, "rename", voice="1", name="  the   keeper's voice ") == (
        "Voice 1 is called **the keeper's voice** now."
    )
    assert "**1: the keeper's voice**" in await say(two, "list")
    assert await acts(two) == [("keeper", "rename voice", "voice 1", "mine", "the keeper's voice")]
    assert (await say(two, "rename", voice="1", name="   ")).startswith("A voice needs a name.")


async def test_retiring_the_voice_that_writes_falls_back_and_says_so(two: World):
    await say(two, "use", voice="1")
    text = await say(two, "retire", voice="1")
    assert "It was the one that wrote; from now on **few-shot** (voice 2) does." in text
    assert await writes(two) == "few-shot"
    assert settings_file(two)["fine_tuned_model"] == ""
    assert [act[1:4] for act in await acts(two)][-1] == ("retire voice", "voice 1, mine", "in use")
    assert "retired already" in await say(two, "retire", voice="1")
    await restarted(two)
    assert await writes(two) == "few-shot"


async def test_retiring_another_voice_leaves_the_writing_one(two: World):
    await add(two, "gpt-4o-mini", name="second", active=True)
    assert "from now on" not in await say(two, "retire", voice="1")
    assert await writes(two) == "second"


async def test_the_last_way_to_write_cannot_be_retired(two: World):
    await say(two, "use", voice="1")
    before = await everything(two)
    assert (await say(two, "retire", voice="2")).startswith(
        "Voice 2 is what writes when no other voice can, so it stays."
    )
    assert await everything(two) == before


async def test_few_shot_that_was_retired_is_back_when_it_is_the_last_way_to_write(two: World):
    settings = two.app.settings
    generation = settings.openai.generation.model_copy(update={"model": "gpt-4.1"})
    two.app.settings = settings.model_copy(
        update={"openai": settings.openai.model_copy(update={"generation": generation})}
    )
    assert (await two.app.voices.current()).id == 3
    await say(two, "retire", voice="2")
    two.app.settings = settings
    assert not (await two.app.voices.current()).is_retired
    assert "**2: few-shot**. **Writes now.**" in await say(two, "list")
    assert "Retired" not in await say(two, "show", voice="2")
    assert "a draft waits" in line(await stage(two, "generate", count=1))


async def test_the_model_that_the_settings_name_is_a_voice_of_the_kind_that_its_service_trains(two: World):
    settings = two.app.settings
    tuning = settings.openai.fine_tuning.model_copy(update={"api": TrainingApi.TOGETHER})
    two.app.settings = settings.model_copy(
        update={
            "fine_tuned_model": "keeper/lamp",
            "openai": settings.openai.model_copy(update={"fine_tuning": tuning}),
        }
    )
    assert "**3: keeper/lamp** (tuned at Together). **Writes now.**" in await say(two, "list")


async def test_a_retired_voice_that_the_settings_name_does_not_write(two: World):
    two.app.settings = two.app.settings.model_copy(update={"fine_tuned_model": TUNED})
    assert await writes(two) == "mine"
    await say(two, "retire", voice="1")
    two.app.settings = two.app.settings.model_copy(update={"fine_tuned_model": TUNED})
    assert await writes(two) == "few-shot"


# --- adding -------------------------------------------------------------------------------------------------------


async def test_a_model_tuned_elsewhere_becomes_a_voice(two: World):
    assert await say(two, "add", model=" gpt-4o-mini ", name="by hand") == (
        "**by hand** is voice 3 now. /voices use voice:3 writes with it."
    )
    assert await rows(two, "SELECT kind, model, shutdown_date, active FROM voices WHERE id = 3") == [
        ("fine_tuned", "gpt-4o-mini", FIRST_SHUTDOWN, 0)
    ]
    assert await acts(two) == [("keeper", "add voice", "voice 3, by hand", "", "gpt-4o-mini")]
    again = "This model is voice 3 already. /voices use voice:3 writes with it."
    assert await say(two, "add", model="gpt-4o-mini") == again
    await say(two, "retire", voice="3")
    again = "This model is voice 3 already. /voices retire voice:3 bring_back:true brings it back."
    assert await say(two, "add", model="gpt-4o-mini") == again
    await say(two, "retire", voice="3", bring_back=True)
    assert "Added: by keeper" in await say(two, "show", voice="3")
    await say(two, "use", voice="3")
    await stage(two, "generate", count=1)
    assert await rows(two, "SELECT voice_id FROM drafts") == [(3,)]


async def test_what_a_model_from_elsewhere_cost_is_not_known(two: World):
    await say(two, "add", model="gpt-4.1")
    assert "Cost of making it: not known" in await say(two, "show", voice="3")
    assert "Cost of making it: nothing" in await say(two, "show", voice="2")


async def test_a_model_that_the_service_does_not_have_is_a_sentence(two: World):
    before = (await everything(two))["tables"]
    assert (await say(two, "add", model="ft:nothing")).startswith("127.0.0.1 says that it has no model of this name.")
    assert (await everything(two))["tables"] == before


async def test_a_model_is_added_where_voices_of_its_kind_live(tmp_path: Path):
    def elsewhere(settings: Settings) -> Settings:
        tuning = settings.openai.fine_tuning.model_copy(
            update={
                "base_url": settings.openai.base_url.replace("127.0.0.1", "localhost"),
                "api_key": settings.openai.api_key,  # which goes to no other address by itself
            }
        )
        return settings.model_copy(update={"openai": settings.openai.model_copy(update={"fine_tuning": tuning})})

    async with small_world(tmp_path, configure=elsewhere) as world:
        await say(world, "add", model="gpt-4o-mini", name="tuned")
        await say(world, "add", model="gpt-4o-mini", name="shown posts", kind="few_shot")
        hosts = await rows(world, "SELECT name, base_url LIKE '%localhost%' FROM voices ORDER BY id")
        assert [found for found in hosts if found[0] != "few-shot"] == [("tuned", 1), ("shown posts", 0)]


async def test_a_deployment_at_azure_is_on_no_list_and_so_is_not_looked_for(two: World):
    settings = two.app.settings
    tuning = settings.openai.fine_tuning.model_copy(update={"api": TrainingApi.AZURE})
    two.app.settings = settings.model_copy(
        update={"openai": settings.openai.model_copy(update={"fine_tuning": tuning})}
    )
    text = await say(two, "add", model="my-deployment")
    assert text.endswith("The service does not tell whether it has this model: the first draft will show it.")


async def test_a_service_that_does_not_tell_is_believed_with_a_note(two: World):
    two.openai.faults.schedule(Fault("GET", "/v1/models*", "status", 501, {"error": {"message": "no"}}, times=9))
    text = await say(two, "add", model="somewhere")
    assert text.endswith("The service does not tell whether it has this model: the first draft will show it.")


async def test_a_key_that_is_not_taken_is_a_sentence(two: World):
    wrong = {"error": {"message": "no", "code": "invalid_api_key"}}
    two.openai.faults.schedule(Fault("GET", "/v1/models*", "status", 401, wrong, times=9))
    assert "does not accept the API key" in await say(two, "add", model="somewhere")
    assert await rows(two, "SELECT count(*) FROM voices") == [(2,)]


async def test_every_kind_can_be_added_and_no_cog_knows_one_by_name(two: World):
    (command,) = [
        each
        for each in two.client.tree.walk_commands(guild=discord.Object(GUILD_ID))
        if each.qualified_name == "voices add"
    ]
    (kind,) = [each for each in command.parameters if each.name == "kind"]  # type: ignore[union-attr]
    assert [(choice.name, choice.value) for choice in kind.choices] == [(k.label, n.value) for n, k in KINDS.items()]
    for number, name in enumerate(KINDS, 3):
        assert f"is voice {number} now" in await say(two, "add", model="gpt-4.1", kind=name.value)
    assert [found for (found,) in await rows(two, "SELECT kind FROM voices WHERE id > 2")] == [*KINDS]
    for path in COGS.rglob("*.py"):
        assert not re.search(r"\bVoiceKind\.[A-Z]", path.read_text("utf-8")), path


# --- comparing ----------------------------------------------------------------------------------------------------


async def test_two_voices_are_judged_blind(two: World):
    first, second, third = await compared(two, 3)
    done = await outcome(two, "voices compare")
    assert line(done) == "Done: 3 rounds wait for your verdict."
    assert "Cost: about $" in describe(done)
    assert buttons(done) == []
    for message in (first, second, third):
        assert buttons(message) == ["A is better", "B is better", "Neither"]
        assert [each.title for each in message.embeds[1:]] == ["A", "B"]
        assert "mine" not in describe(message)
        assert "few-shot" not in describe(message)
    assert "Both were asked: As trained." in describe(first)
    assert two.app.settings.user_message in describe(second)
    orders = dict(await rows(two, "SELECT number, one_first FROM comparison_rounds"))
    texts = await rows(two, "SELECT one_text, other_text FROM comparison_rounds ORDER BY number")
    for number, message in enumerate((first, second, third), 1):
        one, other = texts[number - 1]
        shown = [" ".join((each.description or "").split()) for each in message.embeds[1:]]
        assert shown == [
            " ".join(limits.foreign(t).split()) for t in ((one, other) if orders[number] else (other, one))
        ]

    better = "A is better" if orders[1] else "B is better"
    assert (
        said(await two.reviewer.click(first, label=better)) == "Noted. The message shows now which voice wrote which."
    )
    judged = now(two, first)
    assert buttons(judged) == []
    assert [each.title for each in judged.embeds[1:]] == (
        ["A: mine", "B: few-shot"] if orders[1] else ["A: few-shot", "B: mine"]
    )
    assert f"{better}. So says {two.reviewer.name}" in describe(judged)
    assert "So far: **mine** 1, **few-shot** 0, neither 0. 2 rounds are left." in describe(judged)
    assert "mine" not in describe(now(two, second))

    await two.owner.click(second, label="Neither")
    assert "Neither is better." in describe(now(two, second))
    assert "One round is left." in describe(now(two, second))
    await two.owner.click(third, label="A is better" if orders[3] else "B is better")
    assert "All rounds are judged, and **mine** is ahead: **mine** 2, **few-shot** 0, neither 1." in describe(
        now(two, third)
    )
    assert await rows(two, "SELECT verdict, judge FROM comparison_rounds ORDER BY number") == [
        ("one", two.reviewer.name),
        ("neither", two.owner.name),
        ("one", two.owner.name),
    ]
    assert not calls(two.tumblr.requests, "POST", "/posts")
    assert await rows(two, "SELECT count(*) FROM drafts") == [(0,)]
    assert (await acts(two))[0][1:] == ("compare voices", "comparison 1", "", "voices 1 and 2, 3 rounds")


async def test_the_order_is_drawn_by_chance(two: World):
    await say(two, "compare", one="1", other="2", rounds=10)
    drawn = [first for (first,) in await rows(two, "SELECT one_first FROM comparison_rounds")]
    assert len(drawn) == 10
    assert len(set(drawn)) == 2


async def test_a_persons_own_prompt_is_asked_of_both(two: World):
    (message,) = await compared(two, 1, actor=two.reviewer, prompt=f"About the fog, {NASTY}")
    assert "Both were asked: About the fog" in describe(message)
    assert "@everyone" not in describe(message)
    asked = [r.body["messages"][-1]["content"] for r in two.openai.requests if r.path.endswith("/completions")]
    assert asked == [f"About the fog, {NASTY}"] * 2


async def test_two_people_at_once_make_one_verdict(two: World):
    (message,) = await compared(two, 1)
    results = await together(two, (two.owner, message, "A is better"), (two.reviewer, message, "B is better"))
    answers = sorted(said(result) for result in results)
    assert answers[0] == "Noted. The message shows now which voice wrote which."
    assert re.match(r"This round was judged already, by (keeper|odile): [AB] is better\.", answers[1])
    ((verdict, judge),) = await rows(two, "SELECT verdict, judge FROM comparison_rounds")
    assert verdict
    assert judge in answers[1]


async def test_the_buttons_work_after_a_restart_and_a_late_press_is_explained(two: World):
    (message,) = await compared(two, 1)
    await restarted(two)
    await two.owner.click(now(two, message), label="A is better")
    assert "A is better. So says keeper" in describe(now(two, message))
    late = await late_press(two, two.reviewer, message, "compare:1:1:b")
    assert said(late) == "This round was judged already, by keeper: A is better."
    assert await rows(two, "SELECT judge FROM comparison_rounds") == [("keeper",)]


async def test_a_comparison_that_has_ended_well_does_not_go_on(two: World):
    (message,) = await compared(two, 1)
    before = await everything(two)
    for job in (999, (await rows(two, "SELECT job_id FROM comparisons"))[0][0]):
        text = said(await late_press(two, two.owner, message, f"compare:{job}:go_on"))
        assert text == "There is nothing to go on with. The job's message says how it stands."
    assert await everything(two) == before


@pytest.mark.parametrize("press", ["compare:9:1:a", "compare:1:9:b", "compare:9:1:read"])
async def test_a_press_on_what_is_gone_is_a_sentence(two: World, press: str):
    (message,) = await compared(two, 1)
    assert re.match(r"This (comparison|round) is gone\.", said(await late_press(two, two.owner, message, press)))


@pytest.mark.parametrize("missing", ["one_text", "other_text"])
async def test_a_round_that_is_not_written_yet_cannot_be_judged(two: World, missing: str):
    (message,) = await compared(two, 1)
    async with two.app.database.write() as connection:
        await connection.execute(f"UPDATE comparison_rounds SET {missing} = NULL")  # noqa: S608 - one of two words
    assert "not written yet" in said(await late_press(two, two.owner, message, "compare:1:1:a"))
    assert await rows(two, "SELECT verdict FROM comparison_rounds") == [(None,)]


async def test_long_and_hostile_texts_are_cut_made_harmless_and_read_whole_in_a_file(two: World):
    long = f"{NASTY}\n\n" + "a word and another 😀 " * 400
    body = {
        "id": "c",
        "model": TUNED,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": long}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 10},
    }
    two.openai.faults.schedule(Fault("POST", "/v1/chat/completions", "status", 200, body, times=2))
    (message,) = await compared(two, 1)
    assert buttons(message) == ["A is better", "B is better", "Neither", "Read all"]
    text = describe(message)
    assert "@everyone" not in text
    assert "[click](" not in text
    assert "discord.gg/" not in text
    total = sum(limits._total(each) for each in message.embeds)
    assert total <= limits.EMBED_TOTAL
    shown = answer(await two.reviewer.click(message, label="Read all"))
    content = (await shown.message.attachments[0].read()).decode()
    assert content.count(long.strip()) == 2
    assert "mine" not in content
    await two.owner.click(message, label="Neither")
    assert buttons(now(two, message)) == ["Read all"]
    shown = answer(await two.reviewer.click(now(two, message), label="Read all"))
    assert "mine" in (await shown.message.attachments[0].read()).decode()


async def test_a_voice_cannot_be_compared_with_itself(two: World):
    assert (await say(two, "compare", one="1", other="mine")).startswith("A voice cannot be compared with itself.")
    assert await rows(two, "SELECT count(*) FROM comparisons") == [(0,)]


async def test_a_comparison_goes_on_after_a_restart_with_what_is_missing(two: World):
    two.openai.faults.schedule(Fault("POST", "/v1/chat/completions", "hang", after=2))
    await say(two, "compare", one="1", other="2", rounds=2)
    await two.until(lambda: two.openai.faults.served or None)
    assert (await say(two, "compare", one="1", other="2")).startswith("/voices compare is already running.")
    assert "At work: /voices compare" in said(await two.owner.slash(two.channel, "status"))
    await restarted(two)
    assert line(await outcome(two, "voices compare")) == "Done: 2 rounds wait for your verdict."
    assert len(await two.until(lambda: m if len(m := round_messages(two)) == 2 else None)) == 2
    await pause()
    assert len(round_messages(two)) == 2
    ((texts,),) = await rows(two, "SELECT count(one_text) + count(other_text) FROM comparison_rounds")
    assert texts == 4
    assert await rows(two, "SELECT count(*), count(spent) FROM spending WHERE purpose = 'comparing'") == [(5, 4)]


async def test_a_comparison_that_failed_goes_on_with_a_press(two: World):
    refusal = {"error": {"message": "no", "code": "x"}}
    two.openai.faults.schedule(Fault("POST", "/v1/chat/completions", "status", 403, refusal, after=1, times=9))
    await say(two, "compare", one="1", other="2", rounds=1)
    failed = await outcome(two, "voices compare")
    assert buttons(failed) == ["Go on"]
    two.openai.faults.clear()
    pressed = said(await two.reviewer.click(failed, label="Go on"))
    assert pressed == "It goes on. What is written is not written again."
    await becomes(two, failed, "Done: both texts of the round wait for your verdict.")
    assert len(await two.until(lambda: m if (m := round_messages(two)) else None)) == 1
    assert (await acts(two))[-1][:3] == ("odile", "go on", f"job {(await two.app.runner.last('compare')).id}")  # type: ignore[union-attr]


async def test_the_budget_stops_a_comparison_with_a_sentence_and_a_button(tmp_path: Path):
    def poor(settings: Any) -> Any:
        return settings.model_copy(update={"budget": settings.budget.model_copy(update={"monthly_limit": 0.0001})})

    async with small_world(tmp_path, configure=poor) as world:
        await add(world)
        await stage(world, "download")
        await world.app.voices.current()
        await say(world, "compare", one="1", other="2", rounds=1)
        stopped = await outcome(world, "voices compare")
        assert "would pass the monthly budget" in line(stopped)
        assert buttons(stopped) == ["Allow $1 more and go on"]
        await world.owner.click(stopped, label="Allow $1 more and go on")
        await becomes(world, stopped, "Done: both texts of the round wait for your verdict.")


async def test_stop_keeps_what_is_written(two: World):
    two.openai.faults.schedule(Fault("POST", "/v1/chat/completions", "hang", after=2, times=9))
    await say(two, "compare", one="1", other="2", rounds=2)
    (message,) = await two.until(lambda: m if (m := round_messages(two)) else None)
    progress = next(m for m in two.messages if m.embeds and m.embeds[0].title == "Comparing voices")
    await two.owner.click(now(two, progress), label="Stop")
    assert line(await outcome(two, "voices compare")) == "Stopped. What was done until then is kept."
    await two.owner.click(message, label="Neither")
    assert "One round is left." in describe(now(two, message))


# --- the end of a model -------------------------------------------------------------------------------------------


@dataclass
class Clock:
    """A moved clock: noon of a day so many days before the models stop."""

    days: int = 100

    def __call__(self) -> float:
        day = date.fromisoformat(FIRST_SHUTDOWN) - timedelta(days=self.days)
        return datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()


def notices(world: World) -> list[discord.Message]:
    return [m for m in world.messages if m.embeds and "The voice that writes now" in (m.embeds[0].title or "")]


async def test_dates_are_asked_for_at_the_start_and_after_a_training(two: World):
    async def dates() -> list[str | None]:
        return [found for (found,) in await rows(two, "SELECT shutdown_date FROM voices WHERE kind <> 'few_shot'")]

    async def known(count: int) -> None:
        async with asyncio.timeout(10):
            while await dates() != [FIRST_SHUTDOWN] * count:
                await asyncio.sleep(0.02)

    assert await dates() == [None]
    await restarted(two)
    await known(1)
    await stage(two, "examples")
    await stage(two, "finetune")
    await known(2)
    assert f"stops {FIRST_SHUTDOWN}" in await say(two, "show", voice="3")


async def test_the_owner_is_told_in_the_channel_when_the_voice_stops(tmp_path: Path):
    clock = Clock()
    async with small_world(tmp_path, clock=clock) as world:
        await add(world, active=True, name=NASTY)
        await world.app.watch.look()
        await pause()
        assert notices(world) == []
        for count, (days, words) in enumerate(
            ((60, "in 60 days"), (9, "in 9 days"), (1, "tomorrow"), (-1, "has stopped")), 1
        ):
            clock.days = days
            world.app.watch.changed.set()
            message = (await world.until(lambda count=count: m if len(m := notices(world)) == count else None))[-1]
            text = describe(message)
            assert words in text
            assert FIRST_SHUTDOWN in text
            assert "needs no training" in text
            assert "/finetune" in text
            assert "@everyone" not in text
            assert message.mentions == []
            await restarted(world)
            await pause()
            assert len(notices(world)) == count, "told once, also after a restart"
        assert [
            entry.json["allowed_mentions"]["parse"]
            for entry in world.env.http_requests
            if isinstance(entry.json, dict) and "The voice that writes now" in json.dumps(entry.json)
        ] == [[]] * 4
        untrained = await world.app.voices.untrained()
        assert f"/voices use voice:{untrained.id} writes with few-shot" in text
        assert (await say(world, "use", voice=str(untrained.id))).startswith("From now on")
        unexpected = [error for error in world.env.errors if not _expected(error)]
        assert not unexpected


async def test_a_notice_that_discord_did_not_take_is_sent_again_and_a_model_that_is_gone_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cogs.ui.owner_notices._AFTER_FAILURE", 0.05)
    async with small_world(tmp_path) as world:
        voice = await add(world, "mine-alone", active=True)
        world.openai.models["mine-alone"] = ModelCard()
        await world.app.watch.look()
        del world.openai.models["mine-alone"]
        world.env.inject_error("POST", "/channels/*/messages", status=500, code=0, message="trouble", times=2)
        world.app.watch._ask_again.clear()
        await world.app.watch.look()
        (message,) = await world.until(lambda: m if (m := notices(world)) else None)
        assert "has stopped" in describe(message)
        async with asyncio.timeout(5):
            while await voices.warned_days(world.app.database, voice.id) != 0:
                await asyncio.sleep(0.01)
        world.app.watch._ask_again.clear()
        await world.app.watch.look()
        await pause(0.2)
        assert len(notices(world)) == 1
