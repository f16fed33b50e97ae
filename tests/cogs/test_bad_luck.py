"""Bad input and bad luck: each ends in one sentence with the next step, in Discord and in the log; nothing is lost."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import discord
import pytest
from pydantic import SecretStr

from bot.config import Settings
from bot.demo.faults import BLOCK_PAGE, Fault
from bot.demo.world import World, describe
from bot.store import spending
from tests.cogs.acts import (
    TITLES,
    answer,
    becomes,
    buttons,
    calls,
    draft,
    fill,
    hour_is_over,
    hurry_models,
    line,
    outcome,
    pause,
    rows,
    said,
    shown_with,
    small_world,
    stage,
    text_post,
    up_to,
    written,
)

TUMBLR = {
    "401": (
        Fault("*", "/v2/*", "status", 401, {"meta": {"status": 401, "msg": "Unauthorized"}, "response": []}, times=99),
        "keys or tokens",
    ),
    "403": (
        Fault("*", "/v2/*", "status", 403, {"meta": {"status": 403, "msg": "Forbidden"}, "response": []}, times=99),
        "Tumblr",
    ),
    "403 page": (Fault("*", "/v2/*", "html", 403, BLOCK_PAGE, times=99), "Tumblr"),
    "404": (
        Fault("*", "/v2/*", "status", 404, {"meta": {"status": 404, "msg": "Not Found"}, "response": []}, times=99),
        "Tumblr",
    ),
    "500": (Fault("*", "/v2/*", "status", 500, times=99), "Tumblr"),
    "page": (Fault("*", "/v2/*", "html", 200, times=99), "Tumblr"),
    "reset": (Fault("*", "/v2/*", "reset_before", times=99), "Tumblr"),
    "hang": (Fault("*", "/v2/*", "hang", times=99), "Tumblr took too long"),
    "truncated": (Fault("*", "/v2/*", "truncated", times=99), "Tumblr"),
}


def _openai(status: int, code: str, kind: str = "invalid_request_error") -> Fault:
    body = {
        "error": {
            "message": f"Something about sk-secret-of-{code}-0123456789.",
            "type": kind,
            "param": None,
            "code": code,
        }
    }
    return Fault("*", "/v1/*", "status", status, body, times=99)


OPENAI = {
    "401": (_openai(401, "invalid_api_key"), "does not accept the API key."),
    "403": (_openai(403, "unsupported_country_region_territory"), "does not allow this"),
    "429 credit": (_openai(429, "insufficient_quota", "insufficient_quota"), "There is no credit left"),
    "429 rate": (_openai(429, "rate_limit_exceeded", "requests"), "asks for fewer calls."),
    "500": (_openai(500, "server_error"), "has trouble of its own (error 500)."),
    "page": (Fault("*", "/v1/*", "html", 502, times=99), "has trouble of its own (error 502)."),
    "page 200": (Fault("*", "/v1/*", "html", 200, times=99), "makes no sense."),
    "reset": (Fault("*", "/v1/*", "reset_before", times=99), "could not be reached, or hung up"),
    "hang": (Fault("*", "/v1/*", "hang", times=99), "did not answer within"),
}


def explained(
    world: World,
    shown: discord.Message,
    command: str,
    caplog: pytest.LogCaptureFixture,
    remedies: list[str] | None = None,
) -> str:
    """The sentence and the next step on a message; also in the log, and without anything secret.

    Its buttons are these `remedies`, or the stage that the sentence names, then the same stage again.
    """
    text = line(shown).splitlines()[0]
    assert text.count(". ") >= 1, text
    assert text.endswith("."), text
    assert "reference" not in text, text
    without = ["Go on without screening"] if command == "moderate" and "no API key" in text else []
    named = [_again(stage) for stage in re.findall(r"/(download|examples|moderate|finetune|generate)\b", text)[:1]]
    assert buttons(shown) == (remedies or [*dict.fromkeys([*named, _again(command)]), *without])
    logged = [record.getMessage() for record in caplog.records]
    assert any(text in message for message in logged), (text, logged)
    everything = "\n".join([*logged, *(describe(message) for message in world.messages)])
    for secret in ("sk-secret", *world.tumblr.credentials()):
        assert str(secret) not in everything
    return text


def _again(command: str) -> str:
    return {
        "download": "Download posts",
        "examples": "Make training data",
        "moderate": "Screen training data",
        "finetune": "Train a voice",
        "generate": "Write drafts",
    }[command]


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


# --- Tumblr -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TUMBLR)
async def test_a_download_that_tumblr_answers_badly(small: World, caplog: pytest.LogCaptureFixture, name: str):
    fault, words = TUMBLR[name]
    small.tumblr.page_limit = 5
    small.tumblr.faults.schedule(
        Fault(fault.method, fault.path, fault.kind, fault.status, fault.body, times=99, after=3)
    )
    shown = await stage(small, "download")
    assert words in explained(small, shown, "download", caplog)
    assert "Done until then: 5 posts. It is kept." in line(shown)
    assert await rows(small, "SELECT count(*) FROM posts") == [(5,)]
    small.tumblr.faults.clear()
    hour_is_over(small)  # the one that follows a block page
    again = await small.owner.click(shown, label="Download posts")
    done = await outcome(small, "download", after=1, said=said(again))
    assert line(done) == "Done: 7 new posts."
    assert await rows(small, "SELECT count(*), count(DISTINCT id) FROM posts") == [(12, 12)]


async def test_a_wrong_token(small: World, caplog: pytest.LogCaptureFixture):
    small.tumblr.tokens_revoked = True
    shown = await stage(small, "download")
    assert "keys or tokens" in explained(small, shown, "download", caplog)
    small.tumblr.tokens_revoked = False
    assert line(await stage(small, "download")) == "Done: 12 new posts."


async def test_an_unknown_blog(small: World, caplog: pytest.LogCaptureFixture):
    shown = await stage(small, "download", blogs="nobody-ever-had-this")
    assert "no blog nobody-ever-had-this" in explained(small, shown, "download", caplog)


@pytest.mark.parametrize(
    "posts", [[], [text_post("", 1, content=[{"type": "image", "media": [{"url": "https://example.invalid/a.png"}]}])]]
)
async def test_a_blog_without_valid_posts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, posts: list[dict[str, object]]
):
    async with small_world(tmp_path, posts=0) as world:
        for post in posts:
            world.tumblr.add_post(world.tumblr.blogs[world.blog_name], post)
        done = await stage(world, "download")
        assert ("1 post, 0 usable" if posts else "0 posts, 0 usable") in describe(done)
        shown = await stage(world, "examples")
        words = "at least 10" if posts else "There are no posts to make examples of."
        assert words in explained(world, shown, "examples", caplog)
        shown = await stage(world, "generate")
        assert explained(world, shown, "generate", caplog) == "There are no posts to write like. Use /download first."
        assert said(await world.owner.slash(world.channel, "finetune")).endswith("Use /examples first.")
        shown = await stage(world, "moderate")
        assert explained(world, shown, "moderate", caplog) == "There is no dataset to screen. Use /examples first."
        assert not world.openai.requests
        fill(world, 12)
        await up_to(world, "examples")


async def test_fewer_than_ten_examples(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with small_world(tmp_path, posts=9) as world:
        await stage(world, "download")
        shown = await stage(world, "examples")
        assert "There are only 9 examples" in explained(world, shown, "examples", caplog)
        assert not world.app.settings.training_data_file.exists()
        # Few-shot needs no training, and so no ten examples.
        assert "a draft waits" in line(await stage(world, "generate", count=1))
        blog = world.tumblr.blogs[world.blog_name]
        for number, text in enumerate(("the fog came in on foot.", "biscuits, twice.", "commodore gull has opinions.")):
            world.tumblr.add_post(blog, text_post(text, 50 + number))
        await stage(world, "download")
        assert line(await stage(world, "examples")).startswith("Dataset 1: 12 examples")


async def test_no_blog_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    def nameless(settings: Settings) -> Settings:
        return settings.model_copy(update={"download_blog_identifiers": [], "upload_blog_identifier": ""})

    async with small_world(tmp_path, configure=nameless) as world:
        shown = await stage(world, "download")
        assert explained(world, shown, "download", caplog).startswith("No blog is named.")
        await stage(world, "download", blogs=world.blog_name)
        shown = await stage(world, "generate")
        assert explained(world, shown, "generate", caplog).startswith("No blog is named that drafts could go to.")
        assert not world.openai.requests


UPLOADS = {
    "401": (TUMBLR["401"][0], "Tumblr did not take it."),
    "403": (TUMBLR["403"][0], "Tumblr did not take it."),
    "404": (TUMBLR["404"][0], "Tumblr did not take it."),
    "500": (TUMBLR["500"][0], "Tumblr's answer was lost"),
    "page": (TUMBLR["page"][0], "Tumblr's answer was lost"),
    "reset": (TUMBLR["reset"][0], "Tumblr's answer was lost"),
    "hang": (TUMBLR["hang"][0], "Tumblr's answer was lost"),
}


@pytest.mark.parametrize("name", UPLOADS)
async def test_an_upload_that_tumblr_answers_badly(small: World, name: str):
    fault, words = UPLOADS[name]
    (message,) = await written(small)
    small.tumblr.faults.schedule(Fault("POST", fault.path, fault.kind, fault.status, fault.body, times=99))
    await small.owner.click(message, label="Approve")
    shown = await becomes(small, message, words)
    assert len(calls(small.tumblr.requests, "POST", "/posts")) == 1  # never twice by itself
    assert not small.tumblr.blogs[small.blog_name].drafts
    small.tumblr.faults.clear()
    await small.owner.click(shown, label="Approve" if "did not take it" in words else "Send again")
    await becomes(small, message, "Uploaded", "Saved as a draft on")
    assert len(small.tumblr.blogs[small.blog_name].drafts) == 1


# --- model services -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in OPENAI if name != "429 rate"])
async def test_writing_that_the_service_answers_badly(small: World, caplog: pytest.LogCaptureFixture, name: str):
    fault, words = OPENAI[name]
    await stage(small, "download")
    await stage(small, "generate", count=1)
    asked = len(small.openai.requests)
    small.openai.faults.schedule(fault)
    shown = await stage(small, "generate", count=2)
    assert words in explained(small, shown, "generate", caplog)
    assert len(small.openai.requests) == asked + 2  # paid calls are made once, here for two drafts at a time
    small.openai.faults.clear()
    assert "2 drafts wait" in line(await stage(small, "generate", count=2))
    await small.until(lambda: len(small.drafts()) == 3)


@pytest.mark.parametrize("name", ["401", "429 credit", "500", "page", "reset", "hang"])
async def test_tags_that_the_service_answers_badly_cost_the_draft_its_tags_only(small: World, name: str):
    fault, _ = OPENAI[name]
    await stage(small, "download")
    small.openai.faults.schedule(
        Fault(fault.method, "/v1/chat/completions", fault.kind, fault.status, fault.body, times=1, after=1)
    )
    shown = await stage(small, "generate", count=1)
    assert line(shown) == "Done: a draft waits for your decision."
    (message,) = await small.drafts_shown(1)
    assert (await draft(small, message)).tags == ()
    assert (await draft(small, message)).text


@pytest.mark.parametrize("name", ["401", "429 credit", "403"])
async def test_a_refused_call_does_not_eat_the_budget(small: World, name: str):
    await stage(small, "download")
    await stage(small, "generate", count=1)
    used = await spending.used_this_month(small.app.database, small.app.clock())
    small.openai.faults.schedule(OPENAI[name][0])
    for _ in range(2):
        await stage(small, "generate", count=1)
    assert await spending.used_this_month(small.app.database, small.app.clock()) == pytest.approx(used)


@pytest.mark.parametrize("name", [name for name in OPENAI if name != "429 rate"])
async def test_screening_that_the_service_answers_badly(small: World, caplog: pytest.LogCaptureFixture, name: str):
    fault, words = OPENAI[name]
    await up_to(small, "examples")
    file = small.app.settings.training_data_file
    before = file.read_bytes()
    small.openai.faults.schedule(fault)
    shown = await stage(small, "moderate")
    assert words in explained(small, shown, "moderate", caplog)
    assert file.read_bytes() == before
    small.openai.faults.clear()
    assert "0 of 12 examples set aside" in line(await stage(small, "moderate"))


async def test_screening_waits_for_a_rate_limit_where_people_can_see_it(small: World):
    await up_to(small, "examples")
    fault = OPENAI["429 rate"][0]
    small.openai.faults.schedule(Fault("POST", fault.path, "status", 429, fault.body, {"retry-after-ms": "900"}))
    await small.owner.slash(small.channel, "moderate")
    shown = await small.until(
        lambda: (
            e
            if "Waiting for the moderation service's limit. It goes on <t:"
            in (((e := small.progress(TITLES["moderate"])) and e.description) or "")
            else None
        )
    )
    assert shown
    assert "0 of 12 examples set aside" in line(await outcome(small, "moderate"))


async def test_writing_waits_for_a_rate_limit_where_people_can_see_it(small: World):
    await stage(small, "download")
    fault = OPENAI["429 rate"][0]
    small.openai.faults.schedule(Fault("POST", fault.path, "status", 429, fault.body, {"retry-after-ms": "900"}))
    await small.owner.slash(small.channel, "generate", count=1)
    words = "Waiting for the model service's limit. It goes on <t:"
    await small.until(lambda: (e := small.progress(TITLES["generate"])) and words in (e.description or ""))
    assert "a draft waits" in line(await outcome(small, "generate"))
    assert len(small.drafts()) == 1


@pytest.mark.parametrize("name", ["401", "403", "429 credit", "500", "hang", "not available"])
async def test_a_training_that_the_service_answers_badly(small: World, caplog: pytest.LogCaptureFixture, name: str):
    await up_to(small, "moderate")
    # The offer asks about the model too, and can do without an answer: tests/test_app.py has that.
    offer = answer(await small.owner.slash(small.channel, "finetune"))
    if name == "not available":
        small.openai.training_available = False
        words = "takes no fine-tuning jobs from this organisation."
    else:
        fault, words = OPENAI[name]
        small.openai.faults.schedule(fault)
    hurry_models(small, 0.12)
    pressed = await small.owner.click(offer, label="Start training")
    shown = await outcome(small, "finetune", said=said(pressed))
    remedies = ["Retry as is", "Use few-shot instead"]
    if name == "not available":
        remedies = ["Use few-shot instead", "Use another service"]
    assert words in explained(small, shown, "finetune", caplog, remedies)
    assert not small.openai.state.jobs
    assert await spending.used_this_month(small.app.database, small.app.clock()) == 0
    small.openai.faults.clear()
    hurry_models(small, 5.0)
    if name == "not available":
        assert not small.openai.state.files, "what was uploaded is deleted again, as the offer said"
        return
    pressed = await small.owner.click(shown, label="Retry as is")
    assert said(pressed).startswith("The training has started again.")
    await becomes(small, shown, "Done: the new voice is active.")
    # The last progress says "Done" a moment before the job has ended: only then the buttons are the last ones.
    done = await outcome(small, "finetune")
    assert len(shown_with(small, TITLES["finetune"])) == 1, "it goes on in its own message"
    assert buttons(done) == ["Write drafts"]
    assert len(small.openai.state.jobs) == 1


@pytest.mark.parametrize("path", ["/v1/files", "/v1/fine_tuning/jobs"])
@pytest.mark.parametrize("kind", ["reset_after", "truncated"])
async def test_a_lost_answer_never_begins_two_trainings(small: World, path: str, kind: str):
    await up_to(small, "moderate")
    small.openai.faults.schedule(Fault("POST", path, kind, act=True))
    shown = await stage(small, "finetune")
    assert line(shown) == "Done: the new voice is active."
    assert len(small.openai.state.jobs) == 1
    assert len(small.openai.state.files) == 1


async def test_a_training_that_may_have_begun_stays_set_aside(small: World):
    await up_to(small, "moderate")
    small.openai.faults.schedule(
        Fault("POST", "/v1/fine_tuning/jobs", "reset_after"), Fault("GET", "/v1/f*", "reset_before", after=3, times=99)
    )
    shown = await stage(small, "finetune")
    assert "could not be reached" in line(shown)
    assert len(small.openai.state.jobs) == 1
    assert await spending.used_this_month(small.app.database, small.app.clock()) > 0


async def test_a_training_that_fails_at_the_service(small: World, caplog: pytest.LogCaptureFixture):
    await up_to(small, "moderate")
    small.openai.fail_training_with = ("server_error", "The job failed due to an internal error.")
    shown = await stage(small, "finetune")
    remedies = ["Retry as is", "Use few-shot instead", "Use another service", "Delete uploaded files"]
    assert "The job failed due to an internal error" in explained(small, shown, "finetune", caplog, remedies)
    small.openai.fail_training_with = None
    assert line(await stage(small, "finetune")) == "Done: the new voice is active."


async def test_no_api_key(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    def keyless(settings: Settings) -> Settings:
        return settings.model_copy(update={"openai": settings.openai.model_copy(update={"api_key": SecretStr("")})})

    async with small_world(tmp_path, configure=keyless) as world:
        await up_to(world, "examples")
        for command in ("moderate", "generate"):
            shown = await stage(world, command)
            assert explained(world, shown, command, caplog).startswith("There is no API key for the model service.")
        offer = said(await world.owner.slash(world.channel, "finetune"))
        assert offer.startswith("There is no API key for the model service.")
        assert "Where everything stands" in said(await world.owner.slash(world.channel, "status"))
        world.app.settings = world.app.settings.model_copy(
            update={"openai": world.app.settings.openai.model_copy(update={"api_key": SecretStr(world.openai.api_key)})}
        )
        hurry_models(world)
        assert "a draft waits" in line(await stage(world, "generate", count=1))


async def test_the_budget_stops_the_next_call_and_keeps_what_was_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    def poor(settings: Settings) -> Settings:
        return settings.model_copy(update={"budget": settings.budget.model_copy(update={"monthly_limit": 0.002})})

    async with small_world(tmp_path, configure=poor) as world:
        await up_to(world, "examples")
        shown = await stage(world, "generate", count=24)
        remedies = ["Allow $1 more and go on"]
        assert explained(world, shown, "generate", caplog, remedies).startswith("This would pass the monthly budget")
        ((kept,),) = await rows(world, "SELECT count(*) FROM drafts")
        assert len(await world.drafts_shown(kept)) == kept
        asked = len(calls(world.openai.requests, "POST", "/completions"))
        await stage(world, "generate", count=1)
        await pause()
        assert len(calls(world.openai.requests, "POST", "/completions")) - asked <= 2
        assert await spending.used_this_month(world.app.database, world.app.clock()) <= 0.002
