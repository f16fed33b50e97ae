"""/finetune through the front door: the offer, the training that goes on, and what helps when it gives no voice."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import discord
import pytest
from simcord.actors import MemberActor

from bot.config import Settings
from bot.demo.faults import Fault
from bot.demo.world import World, describe
from bot.examples import training_line
from bot.language import tuning
from bot.store import datasets, spending, voices
from bot.training import TrainingApi, VoiceKind
from tests.audit import newest_acts
from tests.cogs.acts import (
    TITLES,
    answer,
    as_it_stands,
    becomes,
    buttons,
    calls,
    everything,
    forged,
    line,
    now,
    outcome,
    rows,
    said,
    shown_with,
    small_world,
    stage,
    together,
    up_to,
)

TITLE = TITLES["finetune"]


async def offered(world: World, actor: MemberActor | None = None, **options: Any) -> Any:
    """The answer to /finetune, which only that person sees."""
    return answer(await (actor or world.owner).slash(world.channel, "finetune", **options))


async def at_the_service(world: World, *words: str) -> discord.Message:
    """Wait until the training's message tells what the service says, with all of these words."""

    def found() -> discord.Message | None:
        shown = shown_with(world, TITLE)
        text = describe(shown[-1]) if shown else ""
        return shown[-1] if " says: " in text and all(word in text for word in words) else None

    return await world.until(found, seconds=15)


def likeliest(message: discord.Message) -> list[str]:
    """The labels of the buttons that stand out."""
    parts = [child for row in message.components for child in row.children]  # type: ignore[union-attr]
    return [p.label or "" for p in parts if isinstance(p, discord.Button) and p.style is discord.ButtonStyle.primary]


def job_number(message: discord.Message) -> int:
    found = re.match(r"Job (\d+)", message.embeds[0].footer.text or "")
    assert found is not None
    return int(found[1])


def prefilled(form: Any) -> str:
    """What stands in the only field of a form before anybody types."""
    ((field,),) = [row["components"] for row in form.modal["components"]]
    return field["value"]


async def failed(world: World, code: str, message: str) -> discord.Message:
    """A training that the service ends like this."""
    world.openai.fail_training_with = (code, message)
    await up_to(world, "moderate")
    shown = await stage(world, "finetune")
    world.openai.fail_training_with = None
    return shown


async def acts(world: World) -> list[tuple[str, str]]:
    """Who did what, the latest first."""
    return [(act.user_name, act.action) for act in await newest_acts(world.app.database, limit=20)]


# --- the offer ----------------------------------------------------------------------------------------------------


async def test_the_offer_names_dataset_service_model_price_and_what_the_budget_has_left(small: World):
    await up_to(small, "moderate")
    offer = await offered(small, suffix="lamp", epochs=4, activate=False)
    text = describe(offer.message)
    for words in (
        "Train a voice on dataset 1?",
        "Examples: 12, and 0 held out",
        "Screening: screened with omni-moderation-latest",
        "Service: 127.0.0.1",
        "Model: gpt-4.1-mini-2025-04-14; the service stops it on 2027-01-14",
        "× 4 epochs",
        "an estimate, at $5 for a million tokens, as of 2026-11-01",
        "Budget: $20.00 of $20.00 left this month",
        "Suffix: lamp",
        "Afterwards: the voice that writes now goes on writing",
        "the bot deletes there again what it has uploaded",
    ):
        assert words in text, text
    assert buttons(offer.message) == ["Start training", "Cancel"]


async def test_cancel_begins_nothing(small: World):
    await up_to(small, "examples")
    offer = await offered(small)
    before = len(small.openai.requests)
    await small.owner.click(offer, label="Cancel")
    assert len(small.openai.requests) == before
    assert await rows(small, "SELECT * FROM jobs WHERE kind = 'finetune'") == []


async def test_an_offer_counts_once(small: World):
    await up_to(small, "examples")
    offer = await offered(small)
    await small.owner.click(offer, label="Start training")
    await outcome(small, "finetune")
    stands = as_it_stands(small, offer.message)
    assert "Train a voice on dataset 1?" in describe(stands), "what was agreed to can still be read"
    assert buttons(stands) == []
    late = {press: await forged(small, small.owner, offer.message, f"train:1:{press}") for press in ("start", "cancel")}
    assert said(late["start"]) == "This training was begun already. Use /finetune to begin another one."
    assert said(late["cancel"]) == "This was begun already. *Stop*, below the message that shows it, ends it."
    assert len(small.openai.state.jobs) == 1


async def test_the_offer_says_what_the_service_tells_of_the_model(small: World):
    await up_to(small, "examples")

    async def model(name: str) -> str:
        return describe((await offered(small, model=name)).message).partition("Model: ")[2].split("\n")[0]

    assert await model("gpt-6-luna") == "gpt-6-luna; no end is announced"
    assert await model("mine-9") == "mine-9; the service does not name it among its models"
    assert "at the dearest that is known" in describe((await offered(small, model="mine-9")).message)
    small.openai.faults.schedule(Fault("GET", "/v1/models/*", "status", 403, {"error": {}}))
    assert await model("gpt-4.1") == "gpt-4.1; the service does not tell when it ends"


async def test_what_was_offered_is_trained_whatever_the_settings_say_by_then(small: World):
    await up_to(small, "examples")
    offer = await offered(small, model="gpt-4o-mini-2024-07-18", suffix="lamp")
    small.app.settings = small.app.settings.model_copy(update={"base_model": "gpt-4.1-mini", "expected_epochs": 9})
    await small.owner.click(offer, label="Start training")
    done = await outcome(small, "finetune")
    (job,) = calls(small.openai.requests, "POST", "/fine_tuning/jobs")
    assert (job.body["model"], job.body["suffix"]) == ("gpt-4o-mini-2024-07-18", "lamp")
    assert job.body["method"]["supervised"]["hyperparameters"]["n_epochs"] == 2
    assert "Voice: lamp, dataset 1" in describe(done)
    assert ("keeper", "start training") in await acts(small)


async def test_a_dataset_may_be_named_and_one_that_is_not_there_is_explained(small: World):
    await up_to(small, "examples")
    assert said(await small.owner.slash(small.channel, "finetune", dataset=7)) == (
        "There is no dataset 7. Use /examples to make one."
    )
    assert "Train a voice on dataset 1?" in describe((await offered(small, dataset=1)).message)


# --- what goes up -------------------------------------------------------------------------------------------------


async def test_both_parts_go_up_once_each_and_the_message_follows(tmp_path: Path):
    async with small_world(tmp_path, posts=60) as world:
        await up_to(world, "examples")
        assert "Examples: 54, and 6 held out" in describe((await offered(world)).message)
        done = await stage(world, "finetune")
        assert line(done) == "Done: the new voice is active."
        training, held_out = world.openai.state.files.values()
        assert (len(training.content.splitlines()), len(held_out.content.splitlines())) == (54, 6)
        (job,) = world.openai.state.jobs.values()
        assert (job.training_file, job.validation_file) == (training.id, held_out.id)
        assert training.expires_at is not None
        text = describe(done)
        assert "Held-out loss: " in text
        assert "Epochs: 2" in text


def azure(settings: Settings) -> Settings:
    tuning = settings.openai.fine_tuning.model_copy(update={"api": TrainingApi.AZURE})
    return settings.model_copy(update={"openai": settings.openai.model_copy(update={"fine_tuning": tuning})})


async def test_azure_gets_its_files_with_a_mark(tmp_path: Path):
    async with small_world(tmp_path, configure=azure) as world:
        await up_to(world, "examples")
        await stage(world, "finetune")
        (file,) = world.openai.state.files.values()
        assert file.content.startswith(b"\xef\xbb\xbf{")


async def test_a_model_that_is_deployed_first_does_not_write_before(tmp_path: Path):
    """On Azure the name of a deployment writes, not the model's: until there is one, what wrote before goes on."""
    async with small_world(tmp_path, configure=azure) as world:
        await up_to(world, "examples")
        done = line(await stage(world, "finetune"))
        assert "once you have deployed it there" in done
        assert "/voices add" in done
        (trained,) = [v for v in await voices.all_voices(world.app.database) if v.kind is VoiceKind.FINE_TUNED]
        assert f"like:{trained.id}" in done
        assert await voices.active_voice(world.app.database) is None
        assert config(world)["fine_tuned_model"] == ""
        await stage(world, "generate", count=1)
        # Its messages go with the deployment, whatever config.toml says by then.
        await world.app.live.remember({"developer_message": "Another.", "user_message": "Thing."})
        said_now = said(
            await world.owner.slash(world.channel, "voices add", model="my-deployment", like=str(trained.id))
        )
        assert said_now.startswith("**my-deployment** is voice")
        added = await voices.find_voice(world.app.database, VoiceKind.FINE_TUNED, "my-deployment", trained.base_url)
        assert added is not None
        assert (added.developer_message, added.user_message) == (trained.developer_message, trained.user_message)
        assert (added.dataset_id, added.model) == (trained.dataset_id, "my-deployment")
        assert added.settings[:-1] == trained.settings
        assert "no such voice" in said(
            await world.owner.slash(world.channel, "voices add", model="another", like="nobody")
        )


async def test_a_file_that_is_not_ready_is_waited_for(small: World):
    small.openai.processing_seconds = 0.3
    await up_to(small, "examples")
    assert line(await stage(small, "finetune")) == "Done: the new voice is active."
    assert len(small.openai.state.jobs) == 1


# --- while it goes on ---------------------------------------------------------------------------------------------


async def test_the_message_shows_state_steps_events_and_the_curve_as_a_picture(small: World):
    small.openai.training_seconds = 6.0
    await up_to(small, "examples")
    await small.owner.click(await offered(small), label="Start training")
    shown = await at_the_service(small, "running", "Loss", "The service expects to be done <t:", "Lately: ")
    assert "of 24 steps" in describe(shown)
    assert "Training: gpt-4.1-mini-2025-04-14 on dataset 1, 2 epochs" in describe(shown)
    assert " left" not in line(shown), "the service's own word for its end is enough"
    assert buttons(shown) == ["Stop", "Pause"]
    shown = await small.until(lambda: m if (m := now(small, shown)).attachments else None)
    assert [file.filename for file in shown.attachments] == ["loss.png"]
    assert shown.embeds[0].image.url
    first = shown.attachments[0].id
    await small.until(lambda: (a := now(small, shown).attachments) and a[0].id != first)  # it is drawn anew
    await small.owner.click(now(small, shown), label="Stop")
    assert "Stopped." in line(await outcome(small, "finetune"))


async def test_without_the_charts_a_row_of_blocks_shows_the_curve(small: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cogs.ui.charts._figure", lambda *_: None)
    small.openai.training_seconds = 6.0
    await up_to(small, "examples")
    await small.owner.click(await offered(small), label="Start training")
    shown = await at_the_service(small, "running", "Training loss: ")
    assert set(describe(shown).partition("Training loss: ")[2].split("\n")[0]) <= set("▁▂▃▄▅▆▇█")
    assert not shown.attachments
    await small.owner.click(shown, label="Stop")
    await outcome(small, "finetune")


async def test_pause_and_resume(small: World):
    small.openai.training_seconds = 6.0
    await up_to(small, "examples")
    await small.owner.click(await offered(small), label="Start training")
    shown = await at_the_service(small, "running")
    assert "will rest" in said(await small.reviewer.click(shown, label="Pause"))
    rested = await at_the_service(small, "says: paused")
    assert buttons(rested) == ["Stop", "Resume"]
    assert " a second" not in line(rested)
    assert " left" not in line(rested)
    status = said(await small.owner.slash(small.channel, "status"))
    assert re.search(r"/finetune · begun <t:\d+:R> · paused", status)
    await small.restart()  # the buttons mean the same in the next process
    assert said(await small.owner.click(now(small, rested), label="Resume")) == "The training goes on."
    await at_the_service(small, "says: running")
    small.openai.training_seconds = 0.01
    assert line(await outcome(small, "finetune")) == "Done: the new voice is active."
    assert {("odile", "pause training"), ("keeper", "resume training")} <= set(await acts(small))


async def test_a_service_that_cannot_let_a_training_rest_is_named_so(small: World):
    small.openai.training_seconds = 60.0
    await up_to(small, "examples")
    await small.owner.click(await offered(small), label="Start training")
    shown = await at_the_service(small, "running")
    pause_call = "/v1/fine_tuning/jobs/*/pause"
    for status in (404, 405, 501):
        small.openai.faults.schedule(Fault("POST", pause_call, "status", status, {"error": {}}))
        pressed = said(await small.owner.click(now(small, shown), label="Pause"))
        assert pressed.startswith("This service does not let a training rest."), status
    # It may know rest, and not want it now.
    small.openai.faults.schedule(Fault("POST", pause_call, "status", 400, {"error": {"message": "Still validating."}}))
    assert "“Still validating”" in said(await small.owner.click(now(small, shown), label="Pause"))
    await small.owner.click(now(small, shown), label="Stop")
    stopped = await outcome(small, "finetune")
    job = job_number(stopped)
    for press in ("pause", "resume"):
        late = said(await forged(small, small.owner, stopped, f"training:{job}:{press}"))
        assert late == "This training cannot rest now. Its message says how it stands."


async def test_a_training_that_has_not_begun_there_cannot_rest(small: World):
    await up_to(small, "examples")
    refusal = {"error": {"message": "Not today."}}
    small.openai.faults.schedule(Fault("POST", "/v1/fine_tuning/jobs", "status", 403, refusal))
    shown = await stage(small, "finetune")
    pressed = said(await forged(small, small.owner, shown, f"training:{job_number(shown)}:pause"))
    assert pressed == "This training cannot rest now. Its message says how it stands."


async def test_a_training_that_only_stop_ends_is_cancelled_in_the_owners_name(small: World):
    small.openai.training_seconds = 60.0
    await up_to(small, "examples")
    await small.owner.click(await offered(small), label="Start training")
    shown = await at_the_service(small, "running")
    await small.restart()
    assert not calls(small.openai.requests, "POST", "/cancel"), "a restart is nobody's wish"
    await small.owner.click(now(small, shown), label="Stop")
    stopped = line(await outcome(small, "finetune"))
    assert "The training is cancelled at its service as well." in stopped
    assert re.search(r"The budget goes on counting \$0\.\d+ for it", stopped)
    assert "Files of this training are still at the service." in stopped
    assert buttons(now(small, shown)) == ["Train a voice", "Delete uploaded files"]
    await small.until(lambda: calls(small.openai.requests, "POST", "/cancel"))
    assert ("keeper", "stop") in await acts(small)


# --- what comes of it ---------------------------------------------------------------------------------------------


async def test_a_voice_that_is_not_to_write_yet_waits_in_the_register(small: World):
    await up_to(small, "examples")
    await small.owner.click(await offered(small, activate=False), label="Start training")
    assert line(await outcome(small, "finetune")) == "Done: the new voice is in /voices."
    assert await voices.active_voice(small.app.database) is None
    assert (await small.app.voices.current()).kind is VoiceKind.FEW_SHOT
    (voice,) = [v for v in await voices.all_voices(small.app.database) if v.kind is VoiceKind.FINE_TUNED]
    assert ("Base model", "gpt-4.1-mini-2025-04-14") in voice.settings


async def test_config_toml_follows(small: World):
    await up_to(small, "examples")
    await stage(small, "finetune", epochs=1)
    written = tomllib.loads((small.directory / "config.toml").read_text())
    assert written["fine_tuned_model"].startswith("ft:gpt-4.1-mini")
    assert written["expected_epochs"] == 1


# --- what helps ---------------------------------------------------------------------------------------------------


async def test_a_service_that_trains_nobody_leads_to_few_shot(small: World):
    await up_to(small, "examples")
    await stage(small, "finetune")
    assert await voices.active_voice(small.app.database) is not None
    small.openai.training_available = False
    files = len(small.openai.state.files)
    offer = await offered(small)
    await small.owner.click(offer, label="Start training")
    shown = await outcome(small, "finetune", after=1)
    assert "takes no fine-tuning jobs from this organisation." in line(shown)
    assert "What was uploaded is deleted at the service again." in line(shown)
    assert buttons(shown) == ["Use few-shot instead", "Use another service"]
    assert len(small.openai.state.files) == files, "the orphaned file is deleted again"
    assert "base_url" in said(await small.owner.click(shown, label="Use another service"))
    pressed = await small.owner.click(now(small, shown), label="Use few-shot instead")
    assert "needs no training" in said(pressed)
    assert buttons(answer(pressed).message) == ["Write drafts"]
    assert await voices.active_voice(small.app.database) is None
    assert (await small.app.voices.current()).kind is VoiceKind.FEW_SHOT
    assert ("keeper", "use voice") in await acts(small)
    assert "a draft waits" in line(await stage(small, "generate", count=1))


async def test_an_unsafe_file_offers_to_leave_more_out(small: World):
    small.openai.unsafe_words = {"gull"}
    await up_to(small, "moderate")
    shown = await stage(small, "finetune")
    assert "The safety checks of 127.0.0.1 stopped the training." in line(shown)
    assert "categories: violence" in line(shown)
    assert describe(shown).count("This training file was blocked") == 1, "what was said is not said twice"
    assert likeliest(shown) == ["Screen more strictly"]
    assert buttons(shown) == [
        "Screen more strictly", "Filter words", "Fewer posts", "Retry as is", "Delete uploaded files",
    ]  # fmt: skip
    stricter = await small.owner.click(shown, label="Screen more strictly")
    assert "categories: violence" in said(stricter)
    assert buttons(answer(stricter).message) == ["Thresholds", "Screen training data", "Train a voice"]
    thresholds = await small.owner.click(answer(stricter), label="Thresholds")
    assert thresholds.response is not None or thresholds.followups or thresholds.edited_original

    form = await small.owner.click(now(small, shown), label="Filter words")
    sent = await small.owner.submit_modal(form, {"value": "gull\n  kettle sang 3 \n\n"})
    assert "Noted." in said(sent)
    assert small.app.settings.filtered_words == ["gull", "kettle sang 3"]
    assert tomllib.loads((small.directory / "config.toml").read_text())["filtered_words"] == ["gull", "kettle sang 3"]
    form = await small.owner.click(now(small, shown), label="Filter words")
    assert prefilled(form) == "gull\nkettle sang 3", "what is sent takes the place of all that was there"
    refused = await small.owner.submit_modal(form, {"value": "(gull"})
    assert "filtered_words" in said(refused)
    assert "Nothing was changed." in said(refused)
    assert small.app.settings.filtered_words == ["gull", "kettle sang 3"]

    form = await small.owner.click(now(small, shown), label="Fewer posts")
    assert "Noted." in said(await small.owner.submit_modal(form, {"value": "11"}))
    assert small.app.settings.post_limit == 11
    form = await small.owner.click(now(small, shown), label="Fewer posts")
    assert prefilled(form) == "11"
    assert "post_limit" in said(await small.owner.submit_modal(form, {"value": "eleven"}))
    assert [act for _, act in await acts(small)].count("set option") == 2
    form = await small.owner.click(now(small, shown), label="Fewer posts")
    assert "Noted." in said(await small.owner.submit_modal(form, {"value": " "}))
    assert small.app.settings.post_limit == 0


async def test_a_form_that_could_not_hold_every_pattern_is_not_shown(small: World):
    shown = await failed(small, "unsafe_file", "Too much violence.")
    many = [f"pattern number {number}" for number in range(300)]
    small.app.settings = small.app.settings.model_copy(update={"filtered_words": many})
    pressed = await small.owner.click(shown, label="Filter words")
    assert pressed.modal is None
    assert said(pressed) == (
        "Your filtered_words are more than a form can hold. Change them in config.toml, which the bot reads again while it runs."
    )


async def test_what_changes_options_or_the_voice_is_the_owners_alone(small: World):
    small.openai.unsafe_words = {"gull"}
    await up_to(small, "examples")
    shown = await stage(small, "finetune")
    small.openai.unsafe_words = set()
    small.openai.training_available = False
    await small.owner.click(await offered(small), label="Start training")
    closed = await outcome(small, "finetune", after=1)
    before = await everything(small)
    for message, label in ((shown, "Filter words"), (shown, "Fewer posts"), (closed, "Use few-shot instead")):
        assert said(await small.reviewer.click(message, label=label)).startswith(
            "Only the owner of the bot may do this."
        )
    assert await everything(small) == before


async def test_retry_as_is_begins_anew_once_a_training_is_over(small: World):
    shown = await failed(small, "server_error", "Error while running moderation eval for the model. Please try again.")
    assert "which is no verdict on your posts" in line(shown)
    assert buttons(shown)[0] == "Retry as is"
    assert likeliest(shown) == ["Retry as is"]
    assert "kept" not in line(shown), "its steps are of no use to anybody"
    pressed = await small.owner.click(shown, label="Retry as is")
    assert said(pressed).startswith("The training has started again.")
    assert line(await outcome(small, "finetune", after=1)) == "Done: the new voice is active."
    assert len(small.openai.state.jobs) == 2
    again = await small.owner.click(now(small, shown), label="Retry as is")
    assert said(again), "the training is over, so this begins a third"


async def test_delete_uploaded_files_is_asked_and_done_by_a_press(small: World):
    shown = await failed(small, "server_error", "The job failed due to an internal error.")
    assert "Files of this training are still at the service." in line(shown)
    assert len(small.openai.state.files) == 1
    assert not calls(small.openai.requests, "DELETE", ""), "nothing is deleted by itself"
    assert said(await small.owner.click(shown, label="Delete uploaded files")) == (
        "The uploaded files are deleted at the service."
    )
    assert not small.openai.state.files
    after = now(small, shown)
    assert buttons(after) == ["Retry as is", "Use few-shot instead", "Use another service"]
    assert "What was uploaded is deleted at the service again." in line(after)
    assert "still at the service" not in line(after)
    assert after.embeds[0].fields == shown.embeds[0].fields
    late = await forged(small, small.owner, shown, f"training:{job_number(shown)}:delete_files")
    assert "No file of this training is left" in said(late)
    assert ("keeper", "delete training files") in await acts(small)


async def test_files_can_be_deleted_right_after_stop_before_the_service_was_told_to_cancel(small: World):
    small.openai.training_seconds = 60.0
    await up_to(small, "examples")
    await small.owner.click(await offered(small), label="Start training")
    shown = await at_the_service(small, "running")
    small.openai.faults.schedule(Fault("POST", "/v1/fine_tuning/jobs/*/cancel", "status", 403, {"error": {}}))
    await small.owner.click(shown, label="Stop")
    await outcome(small, "finetune")
    await small.until(lambda: calls(small.openai.requests, "POST", "/cancel"))
    assert await rows(small, "SELECT state FROM trainings") == [("running",)]
    assert said(await small.owner.click(now(small, shown), label="Delete uploaded files")) == (
        "The uploaded files are deleted at the service."
    )
    assert not small.openai.state.files
    (job,) = small.openai.state.jobs.values()
    assert job.status == "cancelled"
    assert buttons(now(small, shown)) == ["Train a voice"]


async def test_files_that_the_service_keeps_are_not_called_deleted(small: World):
    shown = await failed(small, "server_error", "The job failed due to an internal error.")
    refusal = {"error": {"message": "This file is locked."}}
    small.openai.faults.schedule(Fault("DELETE", "/v1/files/*", "status", 400, refusal))
    assert "“This file is locked”" in said(await small.owner.click(shown, label="Delete uploaded files"))
    assert len(small.openai.state.files) == 1
    pressed = await small.owner.click(now(small, shown), label="Delete uploaded files")
    assert said(pressed) == "The uploaded files are deleted at the service."
    assert not small.openai.state.files


async def test_files_of_a_training_that_goes_on_stay_whoever_presses_what(small: World):
    small.openai.training_seconds = 60.0
    await up_to(small, "examples")
    await small.owner.click(await offered(small), label="Start training")
    shown = await at_the_service(small, "running")
    job = job_number(shown)
    late = said(await forged(small, small.owner, shown, f"training:{job}:delete_files"))
    assert late == "The files of this training are in use, or have given a voice. Stop the training first."
    small.openai.training_seconds = 0.01
    done = await outcome(small, "finetune")
    assert line(done) == "Done: the new voice is active."
    assert said(await forged(small, small.owner, done, f"training:{job}:delete_files")) == late
    assert len(small.openai.state.files) == 1
    assert not calls(small.openai.requests, "POST", "/cancel")
    for press in ("pause", "retry", "delete_files", "screen_stricter"):
        gone = said(await forged(small, small.owner, done, f"training:99:{press}"))
        assert gone == "Nothing of this training is here any more. Use /finetune to begin one."


async def test_a_training_that_is_only_not_watched_any_more_keeps_its_files_and_goes_on_with_a_press(small: World):
    small.openai.training_seconds = 60.0
    await up_to(small, "examples")
    await small.owner.click(await offered(small), label="Start training")
    await at_the_service(small, "running")
    refusal = {"error": {"message": "Not with this key."}}
    small.openai.faults.schedule(Fault("GET", "/v1/fine_tuning/jobs/*", "status", 403, refusal, times=99))
    shown = await outcome(small, "finetune")
    assert "“Not with this key”" in line(shown)
    assert buttons(shown) == ["Retry as is", "Use few-shot instead"]
    late = said(await forged(small, small.owner, shown, f"training:{job_number(shown)}:delete_files"))
    assert late.startswith("The files of this training are in use")
    small.openai.faults.clear()
    small.openai.training_seconds = 0.01
    await small.owner.click(now(small, shown), label="Retry as is")
    await becomes(small, shown, "Done: the new voice is active.")
    assert (len(small.openai.state.jobs), len(small.openai.state.files)) == (1, 1)
    assert not calls(small.openai.requests, "POST", "/cancel")
    assert not calls(small.openai.requests, "DELETE", "")


async def test_files_of_a_training_that_gave_a_voice_stay(small: World):
    shown = await failed(small, "server_error", "The job failed due to an internal error.")
    await small.owner.click(shown, label="Retry as is")
    done = await outcome(small, "finetune", after=1)
    assert line(done) == "Done: the new voice is active."
    assert "Delete uploaded files" not in buttons(done)


async def test_no_credit_says_where_to_look(small: World):
    shown = await failed(small, "exceeded_quota", "You exceeded your current quota.")
    assert "There is not enough credit or quota at 127.0.0.1." in line(shown)
    assert "Look at the billing and limits pages there" in line(shown)
    assert buttons(shown) == ["Retry as is", "Use few-shot instead", "Delete uploaded files"]


async def test_a_bad_file_is_named_with_its_line(small: World):
    shown = await failed(small, "invalid_training_file", "The file is invalid. Line 7 must have an assistant message.")
    assert "could not train on the file" in line(shown)
    seventh = (await datasets.training_examples(small.app.database, 1))[6]
    assert f"Line 7 of the file, from post {seventh.post_id}: {seventh.assistant}" in describe(shown)


@pytest.mark.parametrize("message", ["Line 99 is wrong.", "The file is no JSON.", "Line 0 is empty."])
async def test_a_line_that_is_not_there_is_not_shown(small: World, message: str):
    assert "of the file" not in describe(await failed(small, "invalid_training_file", message))


# --- a job that somebody began elsewhere --------------------------------------------------------------------------


async def begun_elsewhere(world: World) -> str:
    """A job that nobody here began, named in config.toml as `job_id`."""
    await up_to(world, "examples")
    service = world.app.stages.services.use("fine_tuning")
    content = "".join(training_line("You write.", "Write.", f"night {n}.") + "\n" for n in range(12)).encode()
    file_id = await tuning.upload_training_file(service, "by-hand.jsonl", content)
    job = await tuning.create_job(
        service, training_file=file_id, model="gpt-4.1-mini-2025-04-14", suffix="mine", epochs=1, marker="by hand"
    )
    await world.app.live.remember({"job_id": job.id})
    return job.id


def config(world: World) -> dict[str, Any]:
    return tomllib.loads((world.directory / "config.toml").read_text())


async def test_a_job_begun_elsewhere_is_followed_and_forgotten_at_its_end(small: World):
    job_id = await begun_elsewhere(small)
    offer = await offered(small)
    text = describe(offer.message)
    assert f"Follow the job {job_id}?" in text
    assert "whoever began it is paying for it already" in text
    assert "/config reset option:job_id" in text
    assert not any(word in text for word in ("tokens", "estimate", "Examples", "gpt-4.1")), "true of another training"
    assert buttons(offer.message) == ["Follow it", "Cancel"]
    # What was shown is what a press does, whatever config.toml says by then.
    await small.app.live.remember({"job_id": ""})
    await small.owner.click(offer, label="Follow it")
    assert line(await outcome(small, "finetune")) == "Done: the new voice is active."
    assert len(calls(small.openai.requests, "POST", "/v1/files")) == 1
    assert len(calls(small.openai.requests, "POST", "/v1/fine_tuning/jobs")) == 1
    assert config(small)["job_id"] == ""
    assert config(small)["fine_tuned_model"].startswith("ft:gpt-4.1-mini")


async def test_a_job_begun_elsewhere_that_fails_is_forgotten_and_not_begun_by_a_retry(small: World):
    small.openai.fail_training_with = ("exceeded_quota", "No.")
    await begun_elsewhere(small)
    shown = await stage(small, "finetune")
    assert config(small)["job_id"] == ""
    assert "Use /finetune to train" in said(await small.owner.click(shown, label="Retry as is"))
    assert len(calls(small.openai.requests, "POST", "/v1/fine_tuning/jobs")) == 1


async def test_another_job_that_is_set_meanwhile_stays_set(small: World):
    await up_to(small, "examples")
    offer = await offered(small)
    await small.app.live.remember({"job_id": "ftjob-of-somebody"})
    await small.owner.click(offer, label="Start training")
    await outcome(small, "finetune")
    assert config(small)["job_id"] == "ftjob-of-somebody"


# --- money --------------------------------------------------------------------------------------------------------


def poor(settings: Settings) -> Settings:
    return settings.model_copy(update={"budget": settings.budget.model_copy(update={"monthly_limit": 0.001})})


async def test_a_training_beyond_the_budget_asks_and_only_the_owner_may_allow_it(tmp_path: Path):
    async with small_world(tmp_path, configure=poor) as world:
        await up_to(world, "moderate")
        offer = await offered(world)
        assert "This is more than the budget has left" in describe(offer.message)
        await world.owner.click(offer, label="Start training")
        shown = await outcome(world, "finetune")
        assert "This would pass the monthly budget" in line(shown)
        assert buttons(shown) == ["Allow $1 more and go on"]
        assert not calls(world.openai.requests, "POST", "/files")
        before = await everything(world)
        assert said(await world.reviewer.click(shown, label="Allow $1 more and go on")).startswith("Only the owner")
        assert await everything(world) == before
        first, second = await together(world, *[(world.owner, shown, "Allow $1 more and go on")] * 2)
        assert sorted(map(said, (first, second))) == [
            "This job does not wait for money any more. Its message says how it stands.",
            "This month may have $1 more, and the work goes on.",
        ]
        await becomes(world, shown, "Done: the new voice is active.")
        assert await spending.used_this_month(world.app.database, world.app.clock()) <= 1.001
        assert await rows(world, "SELECT user_name, dollars FROM allowances") == [("keeper", 1.0)]
        assert ("keeper", "allow more") in await acts(world)


async def test_a_training_that_goes_on_beyond_the_budget_asks_for_money_and_for_nothing_else(small: World):
    await up_to(small, "examples")
    refusal = {"error": {"message": "Not today."}}
    small.openai.faults.schedule(Fault("POST", "/v1/fine_tuning/jobs", "status", 403, refusal))
    shown = await stage(small, "finetune")
    small.app.settings = poor(small.app.settings)
    await small.owner.click(shown, label="Retry as is")
    await becomes(small, shown, "This would pass the monthly budget")
    asks = await outcome(small, "finetune")
    assert buttons(asks) == ["Allow $1 more and go on"]
    assert "Delete them" not in describe(asks), "there is no button for it here"


async def test_writing_goes_on_with_what_is_missing_once_more_is_allowed(tmp_path: Path):
    async with small_world(tmp_path, configure=poor) as world:
        await stage(world, "download")
        shown = await stage(world, "generate", count=5)
        assert buttons(shown) == ["Allow $1 more and go on"]
        ((kept,),) = await rows(world, "SELECT count(*) FROM drafts")
        assert kept < 5
        await world.owner.click(shown, label="Allow $1 more and go on")
        await becomes(world, shown, "Done: 5 drafts wait for your decision.")
        assert await rows(world, "SELECT count(*) FROM drafts") == [(5,)]


async def test_the_messages_show_no_key(small: World):
    shown = await failed(small, "server_error", "Bad key sk-proj-0123456789abcdef in your request.")
    assert "sk-proj" not in json.dumps(shown.embeds[0].to_dict())
