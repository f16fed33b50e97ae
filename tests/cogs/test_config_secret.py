"""/config secret: whether one is set, from where, and since when; Test and Replace. Nothing ever shows one."""

from __future__ import annotations

import logging
import tomllib

import openai  # noqa: F401 - loaded before somebody waits for it
import pytest
from simcord.results import InteractionResult

from bot.config import options
from bot.demo.faults import Fault
from bot.demo.world import World
from tests.audit import newest_acts
from tests.cogs.acts import REFUSAL, answer, buttons, everything, forged, hurry_models, rows, said
from tests.cogs.test_connect import submitted_by

OWNER_ONLY = "Only the owner of the bot may do this."
NEW = "sk-another-key-0123456789"
SECRETS = [option.name for option in options().values() if option.is_secret]


async def secret(world: World, name: str) -> InteractionResult:
    return await world.owner.slash(world.channel, "config secret", name=name)


async def test_of_each_secret_it_says_what_can_be_done_and_tries_it(small: World):
    for name in SECRETS:
        result = await secret(small, name)
        shown, labels = said(result), buttons(answer(result).message)
        is_set = name == "openai.api_key" or name.startswith("tumblr.")
        assert ("Value: set; it is never shown" in shown) == is_set
        assert ("Replace" in labels) == name.startswith("openai.")
        assert ("Type them here" in labels) == name.startswith("tumblr.consumer_")
        tried = said(await small.owner.click(answer(result), label="Test"))
        if name == "openai.api_key":
            assert tried.endswith("accepts the key.")
        elif name.startswith("tumblr."):
            assert tried.startswith("Tumblr accepts all four of its secrets together, for the account ")
        else:
            assert tried.endswith("is not set.")
    shown = said(await secret(small, "discord.token"))
    assert "Not while the bot runs" in shown
    assert "TUMBLRBOT\\_DISCORD\\_\\_TOKEN" in shown
    assert said(await secret(small, "**x**")).startswith("There is no secret \\*\\*x\\*\\*.")
    assert said(await secret(small, "draft_count")).startswith("There is no secret draft\\_count.")


async def test_a_key_is_replaced_used_at_once_and_shown_nowhere(small: World, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    result = await secret(small, "openai.api_key")
    form = await small.owner.click(answer(result), label="Replace")
    # The service does not accept this one: nothing changes.
    refused = said(await small.owner.submit_modal(form, {"value": NEW}))
    assert refused.endswith("Nothing was changed.")
    assert small.app.settings.openai.api_key.get_secret_value() == small.openai.api_key
    for wrong, words in (("two words", "it takes a text without spaces inside"), ("   ", "An empty text is no key.")):
        form = await small.owner.click(answer(result), label="Replace")
        assert words in said(await small.owner.submit_modal(form, {"value": wrong}))
    assert await rows(small, "SELECT * FROM audit WHERE action = 'replace secret'") == []

    old, small.openai.api_key = small.openai.api_key, NEW
    assert "does not accept" in said(await small.owner.click(answer(result), label="Test"))
    form = await small.owner.click(answer(result), label="Replace")
    done = said(await small.owner.submit_modal(form, {"value": f" {NEW} "}))
    assert "It is replaced, and in use from now on." in done
    assert "accepts the key." in done
    assert small.app.settings.openai.api_key.get_secret_value() == NEW
    assert small.app.service("generation").endpoint.api_key.get_secret_value() == NEW
    file = small.app.settings.data_directory / "secrets.toml"
    assert tomllib.loads(file.read_text("utf-8"))["openai"]["api_key"] == NEW
    assert file.stat().st_mode & 0o077 == 0
    (act,) = await newest_acts(small.app.database, limit=1)
    assert (act.user_id, act.action, act.subject) == (small.owner.id, "replace secret", "openai.api_key")
    shown = said(await secret(small, "openai.api_key"))
    assert "From: secrets.toml in the data directory" in shown
    assert f"Last replaced: <t:{int(act.at)}:R> by keeper" in shown
    told = caplog.text + shown + done + refused + str(await everything(small))
    assert NEW not in told
    assert old not in told
    config = small.directory / "config.toml"
    assert not config.exists() or NEW not in config.read_text("utf-8")


async def test_a_key_that_cannot_be_tried_is_taken_and_what_wins_over_it_is_said(
    small: World, monkeypatch: pytest.MonkeyPatch
):
    hurry_models(small)
    form = await small.owner.click(answer(await secret(small, "openai.moderation.api_key")), label="Replace")
    small.openai.faults.schedule(Fault("GET", "/v1/models*", "status", 400, times=9))
    monkeypatch.setenv("TUMBLRBOT_OPENAI__MODERATION__API_KEY", "sk-of-the-environment-0123456789")
    done = said(await small.owner.submit_modal(form, {"value": NEW}))
    assert "It could not be tried:" in done
    assert "At the next start the variable TUMBLRBOT\\_OPENAI\\_\\_MODERATION\\_\\_API\\_KEY wins over this" in done
    assert small.app.settings.endpoint("moderation").api_key.get_secret_value() == NEW
    assert small.app.settings.endpoint("generation").api_key.get_secret_value() == small.openai.api_key


async def test_secrets_are_the_owners_alone(small: World):
    result = await secret(small, "openai.api_key")
    form = await small.owner.click(answer(result), label="Replace")
    before = await everything(small)
    for actor, sentence in ((small.reviewer, OWNER_ONLY), (small.stranger, REFUSAL)):
        assert said(await actor.slash(small.channel, "config secret", name="openai.api_key")).startswith(sentence)
        for action in ("replace", "test"):
            pressed = await forged(small, actor, answer(result).message, f"secret:openai.api_key:{action}")
            assert pressed.modal is None
            assert said(pressed).startswith(sentence)
        assert said(await submitted_by(small, actor, form, {"value": NEW})).startswith(sentence)
    names = await small.reviewer.autocomplete(small.channel, "config secret", "name", "key")
    assert names == []
    names = await small.owner.autocomplete(small.channel, "config secret", "name", "openai.api")
    assert [choice["value"] for choice in names] == ["openai.api_key"]
    assert await everything(small) == before
