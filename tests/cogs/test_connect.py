"""/connect through the front door: the whole walk, each wrong turn, who may, and what nobody gets to see."""

from __future__ import annotations

import logging
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import discord
import pytest
from pydantic import SecretStr
from simcord import interactions
from simcord.backend import serializers
from simcord.enums import ComponentType, InteractionType
from simcord.results import InteractionResult

from bot.config import Settings, load_settings, write_secrets
from bot.demo.faults import Fault
from bot.demo.world import World
from bot.store.consents import own_blogs
from cogs.ui import limits
from tests.cogs.acts import (
    REFUSAL,
    answer,
    buttons,
    calls,
    everything,
    hurry_models,
    line,
    said,
    small_world,
    stage,
)
from tests.openapi import DISCORD, load_spec
from tests.test_contracts import Sent, discord_problems

OWNERS_ALONE = "Only the owner of the bot may do this."
NO_TOKENS = {"oauth_token": SecretStr(""), "oauth_token_secret": SecretStr("")}
NO_KEYS = {**NO_TOKENS, "consumer_key": SecretStr(""), "consumer_secret": SecretStr("")}
NO_BLOGS: dict[str, Any] = {"download_blog_identifiers": [], "upload_blog_identifier": ""}


def without(values: dict[str, SecretStr], **more: Any) -> Any:
    def change(settings: Settings) -> Settings:
        return settings.model_copy(update={"tumblr": settings.tumblr.model_copy(update=values), **more})

    return change


@pytest.fixture
async def fresh(tmp_path: Path) -> AsyncIterator[World]:
    """A bot with a consumer key and secret, and no account."""
    async with small_world(tmp_path, configure=without(NO_TOKENS, **NO_BLOGS)) as world:
        yield world


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[World]:
    """A bot without any of the four."""
    async with small_world(tmp_path, configure=without(NO_KEYS, **NO_BLOGS)) as world:
        yield world


# --- what the owner does --------------------------------------------------------------------------------------


def link_of(result: InteractionResult) -> str:
    """The address behind *Open Tumblr*."""
    (link,) = [
        child.url
        for row in answer(result).message.components
        for child in row.children  # type: ignore[union-attr]
        if isinstance(child, discord.Button) and child.url
    ]
    return link


def token_of(link: str) -> str:
    return parse_qs(urlsplit(link).query)["oauth_token"][0]


async def begun(world: World) -> tuple[InteractionResult, str]:
    """/connect tumblr, and the link in its answer."""
    shown = await world.owner.slash(world.channel, "connect tumblr")
    return shown, link_of(shown)


async def paste(world: World, shown: InteractionResult, address: str) -> InteractionResult:
    form = await world.owner.click(answer(shown), label="Paste the address")
    return await world.owner.submit_modal(form, {"address": address})


async def connect(world: World) -> InteractionResult:
    shown, link = await begun(world)
    return await paste(world, shown, world.tumblr.authorize(token_of(link)))


async def type_keys(world: World, shown: InteractionResult, key: str, secret: str) -> InteractionResult:
    form = await world.owner.click(answer(shown), label="Type them here")
    return await world.owner.submit_modal(form, {"key": key, "secret": secret})


def kept(world: World) -> dict[str, Any]:
    """The secrets that a start of the bot would find."""
    settings = load_settings(
        world.directory / "config.toml", environment={}, secrets_directory=None, overrides=where(world)
    )
    return {name: getattr(settings.tumblr, name).get_secret_value() for name in NO_KEYS}


def where(world: World) -> dict[str, object]:
    return {"data_directory": str(world.directory / "data")}


def secrets_file(world: World) -> Path:
    return world.directory / "data" / "secrets.toml"


# --- the walk -------------------------------------------------------------------------------------------------


async def test_the_whole_walk_and_a_download_right_after_it(bare: World):
    key, secret, token, token_secret = bare.tumblr.credentials()
    bare.tumblr.add_blog("tide-tables", title="The _tides_")
    shown = await bare.owner.slash(bare.channel, "connect tumblr")
    text = said(shown)
    # The safer ways come first.
    order = [
        "oauth/apps",
        "python3 -m bot setup",
        "TUMBLRBOT_TUMBLR__CONSUMER_KEY",
        "secrets folder",
        "passes through Discord",
    ]
    assert sorted(order, key=text.index) == order
    assert not bare.tumblr.requests

    shown = await type_keys(bare, shown, f" {key}\n", secret)
    assert buttons(answer(shown).message) == ["Open Tumblr", "Paste the address"]

    done = await paste(bare, shown, bare.tumblr.authorize(token_of(link_of(shown))))
    assert f"Connected as {bare.blog_name}" in said(done)
    assert "tide-tables" in said(done)
    assert kept(bare) == {
        "consumer_key": key,
        "consumer_secret": secret,
        "oauth_token": token,
        "oauth_token_secret": token_secret,
    }
    assert stat.S_IMODE(secrets_file(bare).stat().st_mode) == 0o600
    assert {blog.name for blog in await own_blogs(bare.app.database)} == {bare.blog_name, "tide-tables"}

    learn = await bare.owner.select(answer(done), [bare.tumblr.blogs[bare.blog_name].uuid], custom_id="connect:learn")
    assert bare.blog_name in said(learn)
    assert line(await stage(bare, "download")) == "Done: 12 new posts."


async def test_a_person_at_the_demo_does_it_in_a_browser(fresh: World):
    shown, link = await begun(fresh)
    async with aiohttp.ClientSession() as browser:
        async with browser.get(link) as page:
            assert "Allow" in await page.text()
        form = {"oauth_token": token_of(link), "decision": "allow"}
        async with browser.post(f"{fresh.tumblr.base_url}/oauth/authorize", data=form) as page:
            assert "Copy this page" in await page.text()
            address = f"{page.url}#_=_"
    assert "Connected as" in said(await paste(fresh, shown, address))


async def test_the_choices_become_the_settings_and_stand_in_config_toml(fresh: World):
    fresh.tumblr.add_blog("tide-tables")
    fresh.app.settings = fresh.app.settings.model_copy(
        update={"download_blog_identifiers": ["a-friend", f"https://{fresh.blog_name}.tumblr.com/"]}
    )
    done = answer(await connect(fresh))
    own = {blog.name: blog.uuid for blog in await own_blogs(fresh.app.database)}
    text = said(await fresh.owner.select(done, [own["tide-tables"]], custom_id="connect:upload"))
    assert text.startswith("Drafts written from now on go to **tide-tables**.")
    await fresh.owner.select(done, [own["tide-tables"]], custom_id="connect:learn")
    written = load_settings(fresh.directory / "config.toml", environment={}, secrets_directory=None)
    for settings in (fresh.app.settings, written):
        assert settings.upload_blog_identifier == "tide-tables"
        assert settings.download_blog_identifiers == ["tide-tables", "a-friend"]  # what was not on offer stays


async def test_a_config_file_that_cannot_be_written_is_said(fresh: World):
    (fresh.directory / "config.toml").mkdir()
    done = answer(await connect(fresh))
    (blog,) = await own_blogs(fresh.app.database)
    text = said(await fresh.owner.select(done, [blog.uuid], custom_id="connect:upload"))
    assert "config.toml could not be written; set `upload_blog_identifier` there" in text
    assert fresh.app.settings.upload_blog_identifier == fresh.blog_name


async def test_more_blogs_than_a_menu_holds(fresh: World):
    for number in range(30):
        fresh.tumblr.add_blog(f"blog-{number}", title="long " * 60)
    done = answer(await connect(fresh))
    assert "and 6 more. To use one of those, set `upload_blog_identifier`" in said(
        await fresh.owner.slash(fresh.channel, "connect show")
    )
    menus = [row["components"][0] for row in done.components if row["components"][0]["type"] == 3]
    assert [menu["custom_id"] for menu in menus] == ["connect:upload", "connect:learn"]
    for menu in menus:
        assert len(menu["options"]) == 25
        for option in menu["options"]:
            assert 1 <= limits.length(option["label"]) <= 100
            assert limits.length(option.get("description") or "") <= 100
            assert len(option["value"]) <= 100


# --- wrong turns ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda _: "the page said hello", "That is not an address."),
        (lambda _: "https://www.tumblr.com/dashboard", "That address holds no permission"),
        (lambda a: a.partition("&")[0], "That is only a part of the address."),
        (lambda a: a.replace("oauth_token=", "oauth_token=x"), "That address belongs to another link"),
        (lambda a: a.replace("#_=_", "0#_=_"), "Tumblr does not accept this address: it works once"),
    ],
)
async def test_each_wrong_paste_has_its_sentence_and_changes_nothing(fresh: World, make: Any, sentence: str):
    shown, link = await begun(fresh)
    address = fresh.tumblr.authorize(token_of(link))
    assert said(await paste(fresh, shown, make(address))).startswith(sentence)
    assert not secrets_file(fresh).exists()
    assert not fresh.app.account.has_account


async def test_a_wrong_paste_can_be_followed_by_the_right_one(fresh: World):
    shown, link = await begun(fresh)
    await paste(fresh, shown, link)
    address = fresh.tumblr.authorize(token_of(link)).replace("oauth_verifier", " oauth_\nverifier")
    assert "Connected as" in said(await paste(fresh, shown, f"<{address}>"))


async def test_an_address_works_once(fresh: World):
    shown, link = await begun(fresh)
    address = fresh.tumblr.authorize(token_of(link))
    await paste(fresh, shown, address)
    assert said(await paste(fresh, shown, address)).endswith("Use /connect tumblr again.")
    assert fresh.app.account.has_account


async def test_whoever_said_no_at_tumblr_is_told_so(fresh: World):
    shown, link = await begun(fresh)
    denied = fresh.tumblr.authorize(token_of(link), allow=False)
    assert said(await paste(fresh, shown, denied)).startswith("Tumblr was told not to allow the connection.")


async def test_a_link_of_an_earlier_start(fresh: World):
    shown, link = await begun(fresh)
    address = fresh.tumblr.authorize(token_of(link))
    form = await fresh.owner.click(answer(shown), label="Paste the address")
    await fresh.restart()
    text = "The link belongs to an earlier start of the bot, or was used already. Use /connect tumblr again."
    assert (
        said(await fresh.owner.submit_modal(form, {"address": address})) == text
    )  # a form that was open all the while
    assert said(await paste(fresh, shown, address)) == text


async def test_keys_that_tumblr_refuses_are_not_kept_and_others_can_be_typed(bare: World):
    key, secret, _, _ = bare.tumblr.credentials()
    shown = await bare.owner.slash(bare.channel, "connect tumblr")
    text = said(await type_keys(bare, shown, key, "wrong"))
    assert text.startswith("Tumblr does not accept the consumer key and secret, or this machine's clock is wrong.")
    text = said(await type_keys(bare, shown, "two words", secret))
    assert text.startswith("That is no consumer key with its secret")
    assert not bare.app.account.has_consumer
    assert not secrets_file(bare).exists()
    assert "Paste the address" in said(await type_keys(bare, shown, key, secret))
    assert bare.app.account.has_consumer


async def test_configured_keys_that_are_refused_lead_to_the_ways_to_give_others(tmp_path: Path):
    async with small_world(tmp_path, configure=without({**NO_TOKENS, "consumer_secret": SecretStr("stale")})) as world:
        shown = await world.owner.slash(world.channel, "connect tumblr")
        assert "Tumblr does not accept the consumer key and secret" in said(shown)
        key, secret, _, _ = world.tumblr.credentials()
        shown = await type_keys(world, shown, key, secret)
        done = await paste(world, shown, world.tumblr.authorize(token_of(link_of(shown))))
        assert "Connected as" in said(done)
        assert kept(world)["consumer_secret"] == secret


async def test_typed_keys_outlive_a_restart_before_the_address_is_pasted(bare: World):
    key, secret, _, _ = bare.tumblr.credentials()
    shown = await bare.owner.slash(bare.channel, "connect tumblr")
    await type_keys(bare, shown, key, secret)
    assert kept(bare) == {"consumer_key": key, "consumer_secret": secret, "oauth_token": "", "oauth_token_secret": ""}


STEPS = ["/oauth/request_token", "/oauth/access_token", "/v2/user/info"]


@pytest.mark.parametrize("path", STEPS)
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 401},
        {"kind": "html", "status": 403},
        {"kind": "status", "status": 429},
        {"kind": "status", "status": 500},
        {"kind": "empty", "status": 200},
        {"kind": "html", "status": 200},
        {"kind": "reset_before"},
        {"kind": "reset_after"},
        {"kind": "truncated"},
        {"kind": "hang"},
        {"kind": "drip"},
    ],
    ids=lambda fault: f"{fault['kind']}-{fault.get('status', '')}",
)
async def test_a_fault_at_any_step_is_a_sentence_and_leaves_the_old_connection(
    tmp_path: Path, path: str, fault: dict[str, Any]
):
    async with small_world(tmp_path, posts=2) as world:
        shown, link = await begun(world)
        before = kept(world), world.app.settings
        world.tumblr.faults.schedule(Fault("*", path, times=9, **fault))
        if path == STEPS[0]:
            result = await world.owner.slash(world.channel, "connect tumblr")
        else:
            result = await paste(world, shown, world.tumblr.authorize(token_of(link)))
        text = said(result)
        assert world.tumblr.faults.served
        assert "unexpected" not in text
        assert "." in text
        assert (kept(world), world.app.settings) == before
        world.tumblr.faults.clear()
        assert not secrets_file(world).exists()


async def test_after_a_fault_the_same_walk_succeeds(fresh: World):
    fresh.tumblr.faults.schedule(Fault("POST", "/oauth/access_token", "status", status=503))
    shown, link = await begun(fresh)
    address = fresh.tumblr.authorize(token_of(link))
    assert "Paste the address once more" in said(await paste(fresh, shown, address))
    assert "Connected as" in said(await paste(fresh, shown, address))


async def test_secrets_that_cannot_be_written_down_leave_everything_as_it_was(fresh: World):
    secrets_file(fresh).mkdir(parents=True)
    text = said(await connect(fresh))
    assert text.startswith("The keys could not be written down, so nothing was changed.")
    assert not fresh.app.account.has_account


async def test_what_the_environment_sets_wins_later_and_is_said(fresh: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUMBLRBOT_TUMBLR__OAUTH_TOKEN", "an-older-one")
    text = said(await connect(fresh))
    assert "the variable TUMBLRBOT\\_TUMBLR\\_\\_OAUTH\\_TOKEN will win over this at the next start" in text
    assert "an-older-one" not in text
    assert "the variable TUMBLRBOT\\_TUMBLR\\_\\_OAUTH\\_TOKEN" in said(
        await fresh.owner.slash(fresh.channel, "connect show")
    )
    monkeypatch.setenv("TUMBLRBOT_UPLOAD_BLOG_IDENTIFIER", "elsewhere")
    shown = await fresh.owner.slash(fresh.channel, "connect show")
    (blog,) = await own_blogs(fresh.app.database)
    text = said(await fresh.owner.select(answer(shown), [blog.uuid], custom_id="connect:upload"))
    assert "At the next start the variable TUMBLRBOT_UPLOAD_BLOG_IDENTIFIER wins over this" in text


# --- /connect show --------------------------------------------------------------------------------------------


async def test_show_tests_the_connection_and_tells_what_is_left(fresh: World):
    assert said(await fresh.owner.slash(fresh.channel, "connect show")).endswith(
        "No account is connected. /connect tumblr leads through all of it."
    )
    await connect(fresh)
    before = len(calls(fresh.tumblr.requests, "GET", "/user/info"))
    text = said(await fresh.owner.slash(fresh.channel, "connect show"))
    assert len(calls(fresh.tumblr.requests, "GET", "/user/info")) == before + 1
    assert f"Connected as {fresh.blog_name}" in text
    assert "Test: Tumblr accepts the connection." in text
    assert "Calls left: 998 this hour" in text
    assert "secrets.toml in the data directory" in text
    assert "[Disconnect]" in text
    fresh.tumblr.tokens_revoked = True
    assert "Test: Tumblr does not accept the keys or tokens" in said(
        await fresh.owner.slash(fresh.channel, "connect show")
    )


async def test_disconnecting_takes_a_second_press_and_forgets_the_tokens_alone(fresh: World):
    await connect(fresh)
    shown = await fresh.owner.slash(fresh.channel, "connect show")
    sure = await fresh.owner.click(answer(shown), label="Disconnect")
    assert fresh.app.account.has_account
    done = await fresh.owner.click(answer(sure), label="Yes, disconnect")
    assert "https://www.tumblr.com/settings/apps" in said(done)
    assert kept(fresh)["oauth_token"] == kept(fresh)["oauth_token_secret"] == ""
    assert fresh.app.settings.tumblr.oauth_token.get_secret_value() == ""
    assert fresh.app.account.has_consumer
    assert await own_blogs(fresh.app.database) == []
    assert "No account is connected." in said(await fresh.owner.slash(fresh.channel, "connect show"))
    assert "Connected as" in said(await connect(fresh))


async def test_tokens_that_somebody_wrote_into_config_toml_would_come_back_and_that_is_said(fresh: World):
    (fresh.directory / "config.toml").write_text('[tumblr]\noauth_token = "written-by-hand"\n')
    await connect(fresh)
    shown = await fresh.owner.slash(fresh.channel, "connect show")
    sure = await fresh.owner.click(answer(shown), label="Disconnect")
    text = said(await fresh.owner.click(answer(sure), label="Yes, disconnect"))
    assert "But config.toml will win over this at the next start" in text
    assert "written-by-hand" not in text


async def test_buttons_and_menus_of_an_earlier_start_still_work(fresh: World):
    await connect(fresh)
    shown = answer(await fresh.owner.slash(fresh.channel, "connect show"))
    sure = answer(await fresh.owner.click(shown, label="Disconnect"))
    await fresh.restart()
    hurry_models(fresh)
    (blog,) = await own_blogs(fresh.app.database)
    assert fresh.blog_name in said(await fresh.owner.select(shown, [blog.uuid], custom_id="connect:upload"))
    assert "forgotten the tokens" in said(await fresh.owner.click(sure, label="Yes, disconnect"))
    gone = said(await fresh.owner.select(shown, [blog.uuid], custom_id="connect:upload"))
    assert gone.startswith("That blog is not among the account's any more.")


# --- who may, and what nobody sees ----------------------------------------------------------------------------


async def test_reviewers_and_strangers_are_refused_at_every_door(bare: World):
    key, secret, _, _ = bare.tumblr.credentials()
    write_secrets(bare.directory / "data", {"tumblr.oauth_token_secret": "kept"})
    keys = await bare.owner.slash(bare.channel, "connect tumblr")
    keys_form = await bare.owner.click(answer(keys), label="Type them here")
    link = await bare.owner.submit_modal(keys_form, {"key": key, "secret": secret})
    paste_form = await bare.owner.click(answer(link), label="Paste the address")
    done = await bare.owner.submit_modal(paste_form, {"address": bare.tumblr.authorize(token_of(link_of(link)))})
    shown = await bare.owner.slash(bare.channel, "connect show")
    sure = await bare.owner.click(answer(shown), label="Disconnect")
    (blog,) = await own_blogs(bare.app.database)
    before, file = await everything(bare), secrets_file(bare).read_bytes()
    for actor, refusal in ((bare.reviewer, OWNERS_ALONE), (bare.stranger, REFUSAL)):
        for command in ("connect tumblr", "connect show"):
            assert said(await actor.slash(bare.channel, command)).startswith(refusal)
        # Only the owner is shown these messages; an id can be sent by anybody all the same.
        for message, press in (
            (keys, {"label": "Type them here"}),
            (link, {"label": "Paste the address"}),
            (shown, {"label": "Disconnect"}),
            (sure, {"label": "Yes, disconnect"}),
        ):
            result = await pressed_by(bare, actor, message, **press)
            assert said(result).startswith(refusal)
            assert result.modal is None
        for use in ("upload", "learn"):
            result = await chosen_by(bare, actor, done, f"connect:{use}", [blog.uuid])
            assert said(result).startswith(refusal)
        for form, values in ((keys_form, {"key": "k", "secret": "s"}), (paste_form, {"address": "x"})):
            assert said(await submitted_by(bare, actor, form, values)).startswith(refusal)
    assert await everything(bare) == before
    assert secrets_file(bare).read_bytes() == file


async def pressed_by(world: World, actor: Any, shown: InteractionResult, *, label: str) -> InteractionResult:
    (button,) = [b for row in answer(shown).components for b in row["components"] if b.get("label") == label]
    data = {"custom_id": button["custom_id"], "component_type": ComponentType.BUTTON}
    return await arrives(world, actor, InteractionType.MESSAGE_COMPONENT, data, answer(shown).id)


async def chosen_by(world: World, actor: Any, shown: InteractionResult, custom_id: str, values: list[str]) -> Any:
    data = {"custom_id": custom_id, "component_type": ComponentType.STRING_SELECT, "values": values}
    return await arrives(world, actor, InteractionType.MESSAGE_COMPONENT, data, answer(shown).id)


async def submitted_by(world: World, actor: Any, form: InteractionResult, values: dict[str, str]) -> InteractionResult:
    assert form.modal is not None
    inputs = [{"type": ComponentType.TEXT_INPUT, "custom_id": name, "value": value} for name, value in values.items()]
    rows = [{"type": ComponentType.ACTION_ROW, "components": [each]} for each in inputs]
    data = {"custom_id": form.modal["custom_id"], "components": rows}
    return await arrives(world, actor, InteractionType.MODAL_SUBMIT, data)


async def arrives(
    world: World, actor: Any, kind: InteractionType, data: dict[str, Any], message_id: int | None = None
) -> InteractionResult:
    """An interaction that simcord's people could not send, since they do not see the message or the form."""
    backend = world.env.backend
    record, payload = interactions.base_payload(
        backend, type=kind, channel_id=world.channel.id, guild_id=actor.guild.id, user_id=actor.id, data=data
    )
    if message_id is not None:
        payload["message"] = dict(
            serializers.message_payload(backend, backend.get_message(world.channel.id, message_id))
        )
        record.source_message_id = message_id
    backend.emit("INTERACTION_CREATE", payload)
    await world.env.settle()
    return InteractionResult(world.env, record)


async def test_nothing_secret_is_shown_logged_or_stored_in_the_database(bare: World, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    key, secret, token, token_secret = bare.tumblr.credentials()
    shown = await bare.owner.slash(bare.channel, "connect tumblr")
    await type_keys(bare, shown, key, "wrong-secret-4711")
    shown = await type_keys(bare, shown, key, secret)
    address = bare.tumblr.authorize(token_of(link_of(shown)))
    verifier = parse_qs(urlsplit(address).query)["oauth_verifier"][0]
    assert "Tumblr does not accept this address" in said(await paste(bare, shown, address.replace("#", "0#")))
    done = await paste(bare, shown, address)
    (blog,) = await own_blogs(bare.app.database)
    await bare.owner.select(answer(done), [blog.uuid], custom_id="connect:learn")
    await bare.owner.slash(bare.channel, "connect show")
    await stage(bare, "download")
    secrets = {"consumer key": key, "consumer secret": secret, "token secret": token_secret, "token": token}
    secrets |= {"a wrong secret": "wrong-secret-4711", "verifier": verifier}
    told = str([(e.path, e.json) for e in bare.env.http_requests])
    files = {
        path.name: path.read_bytes()
        for path in bare.directory.rglob("*")
        if path.is_file() and path.name != "secrets.toml"
    }
    assert {"bot.sqlite3", "bot.sqlite3-wal"} <= set(files)  # what is not in the one yet is in the other
    for name, value in secrets.items():
        assert value not in told, f"the {name} was sent to Discord"
        assert value not in caplog.text, f"the {name} was logged"
        assert not any(value in str(vars(record)) for record in caplog.records), f"the {name} is part of a log record"
        for file, content in files.items():
            assert value.encode() not in content, f"the {name} is in {file}"
        assert value not in repr(bare.app.settings) + repr(vars(bare.app))
    assert logging.getLogger("discord.gateway").getEffectiveLevel() >= logging.INFO  # it writes events whole


async def test_discord_takes_all_of_it(bare: World):
    spec = load_spec(DISCORD)  # skips where Discord's description is not at hand
    key, secret, _, _ = bare.tumblr.credentials()
    for number in range(30):
        bare.tumblr.add_blog(f"blog-{number}", title="😀 long *title* " * 20)
    shown = await bare.owner.slash(bare.channel, "connect tumblr")
    await type_keys(bare, shown, key, "wrong")
    shown = await type_keys(bare, shown, key, secret)
    done = await paste(bare, shown, bare.tumblr.authorize(token_of(link_of(shown))))
    own = await own_blogs(bare.app.database)
    await bare.owner.select(answer(done), [own[3].uuid], custom_id="connect:upload")
    await bare.owner.select(answer(done), [blog.uuid for blog in own[:25]], custom_id="connect:learn")
    shown = await bare.owner.slash(bare.channel, "connect show")
    sure = await bare.owner.click(answer(shown), label="Disconnect")
    await bare.owner.click(answer(sure), label="Yes, disconnect")
    await bare.reviewer.slash(bare.channel, "connect show")
    requests = [Sent(entry.method, entry.path, entry.params, entry.json) for entry in bare.env.http_requests]
    assert len(requests) > 20
    wrong = [(request, found) for request in requests if (found := discord_problems(spec, request))]
    assert not wrong, wrong[:2]
