"""/config: what it shows, what it changes, and who may."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from simcord.results import InteractionResult

from bot.app import App
from bot.config import NEEDS_RESTART, load_settings, option_text, options, stays_on_machine
from bot.demo.world import World
from cogs.ui.limits import foreign
from cogs.ui.option_values import as_typed
from tests.audit import newest_acts
from tests.cogs.acts import REFUSAL, answer, buttons, everything, forged, rows, said
from tests.cogs.acts import together as at_once

OWNER_ONLY = "Only the owner of the bot may do this."


def written(world: World) -> dict[str, Any]:
    path = world.directory / "config.toml"
    return tomllib.loads(path.read_text("utf-8")) if path.exists() else {}


async def change(world: World, option: str, value: str) -> InteractionResult:
    return await world.owner.slash(world.channel, "config set", option=option, value=value)


async def attached(world: World, result: InteractionResult) -> str:
    (file,) = answer(result).message.attachments
    return (await file.read()).decode()


# --- show ---------------------------------------------------------------------------------------------------------


async def test_an_option_is_explained_with_its_value_default_and_place(small: World, monkeypatch: pytest.MonkeyPatch):
    async def shown() -> str:
        return said(await small.reviewer.slash(small.channel, "config show", option="draft_count"))

    text = await shown()
    assert "How many drafts one run writes" in text
    assert "Default: 10" in text
    assert "It takes: a whole number from 1 to 1,000,000,000" in text
    assert "Set by: its default" in text
    (small.directory / "config.toml").write_text("draft_count = 4\n", "utf-8")
    assert "Set by: config.toml" in await shown()
    monkeypatch.setenv("TUMBLRBOT_DRAFT_COUNT", "5")
    assert "Set by: the variable TUMBLRBOT\\_DRAFT\\_COUNT" in await shown()
    small.app.options = _desk_with(small.app, {"draft_count": "6"})
    assert "Set by: the command line, --draft-count" in await shown()


def _desk_with(app: App, overrides: dict[str, object]) -> Any:
    from bot.live_settings import LiveSettings
    from bot.option_desk import OptionDesk

    return OptionDesk(app.database, LiveSettings(app.settings, app.live.path, overrides), clock=app.clock)


@pytest.mark.parametrize("name", [option.name for option in options().values() if option.is_secret])
async def test_of_a_secret_only_whether_it_is_set_and_where_it_belongs(small: World, name: str):
    expected = "not set" if name != "openai.api_key" and not name.startswith("tumblr.") else "set"
    result = await small.owner.slash(small.channel, "config show", option=name)
    assert f"Value: {expected}; secrets are never shown" in said(result)
    # Unescaped, the two underscores of two names would underline what stands between them.
    assert foreign(options()[name].variable) in said(result)
    assert small.openai.api_key not in said(result)
    before = await everything(small)
    for command, more in (("set", {"value": "sk-not-to-be-kept-anywhere"}), ("reset", {})):
        refused = said(await small.owner.slash(small.channel, f"config {command}", option=name, **more))
        assert "is a secret" in refused
        assert foreign(options()[name].variable) in refused
        assert "sk-not" not in refused
    assert await everything(small) == before


async def test_the_overview_keeps_discords_limits_and_the_file_has_everything_but_secrets(small: World):
    await small.owner.click(answer(await change(small, "developer_message", "long " * 700)), label="Apply")
    result = await small.reviewer.slash(small.channel, "config show")
    text = said(result)
    for section in ("Top level", "\\[openai.generation\\]", "\\[retention\\]"):
        assert section in text
    whole = tomllib.loads(await attached(small, result))
    assert whole["developer_message"].strip() == ("long " * 700).strip()
    assert whole["budget"]["monthly_limit"] == small.app.settings.budget.monthly_limit
    assert whole["discord"]["owner_ids"] == [small.owner.id]
    key = small.app.settings.openai.api_key.get_secret_value()
    assert key not in await attached(small, result)
    assert key not in text


async def test_a_long_value_comes_as_a_file_and_foreign_text_is_harmless(small: World):
    value = "@everyone **x** " + "word " * 600
    offered = await change(small, "user_message", value)
    assert "@everyone" not in said(offered)
    assert value.strip() in await attached(small, offered)
    await small.owner.click(answer(offered), label="Apply")
    shown = await small.owner.slash(small.channel, "config show", option="user_message")
    assert value.strip() in await attached(small, shown)


async def test_an_unknown_option_is_refused_with_a_sentence(small: World):
    result = await small.owner.slash(small.channel, "config show", option="**no**_such")
    assert said(result) == (
        "There is no option \\*\\*no\\*\\*\\_such. Choose one of those that are offered while you type."
    )


# --- set and reset ------------------------------------------------------------------------------------------------


async def test_a_change_is_previewed_then_applied_at_once_with_file_and_audit(small: World):
    path = small.directory / "config.toml"
    path.write_text("# mine\ndraft_count = 7 # seven\n\n[budget]\n# about money\nmonthly_limit = 3.0\n", "utf-8")
    before = await everything(small)
    offered = await change(small, "draft_count", "4")
    assert "Change draft_count?" in said(offered)
    assert f"Before: {small.app.settings.draft_count}" in said(offered)
    assert "After: 4" in said(offered)
    assert buttons(answer(offered).message) == ["Apply", "Cancel"]
    unchanged = await everything(small)
    assert len(unchanged["tables"].pop("option_offers")) == 1
    assert before["tables"].pop("option_offers") == []
    assert unchanged["tables"].pop("sqlite_sequence", None) == before["tables"].pop("sqlite_sequence", None)
    assert unchanged == before
    assert written(small)["draft_count"] == 7
    old = small.app.settings.draft_count
    assert said(await small.owner.click(answer(offered), label="Apply")) == (
        "**draft\\_count** is changed. It is in effect."
    )
    assert small.app.settings.draft_count == 4
    assert path.read_text("utf-8").startswith("# mine\ndraft_count = 4 # seven\n\n[budget]\n# about money\n")
    (act,) = await newest_acts(small.app.database, limit=1)
    assert (act.user_id, act.action, act.subject, act.before, act.after) == (
        small.owner.id, "set option", "draft_count", str(old), "4",
    )  # fmt: skip


async def test_cancel_changes_nothing_and_the_offer_is_over(small: World):
    offered = answer(await change(small, "draft_count", "4"))
    old = small.app.settings.draft_count
    assert said(await small.owner.click(offered, label="Cancel")) == "Nothing was changed."
    assert said(await small.owner.click(offered, label="Apply")).startswith("This change was cancelled already.")
    assert small.app.settings.draft_count == old
    assert "draft_count" not in written(small)
    assert await rows(small, "SELECT * FROM audit WHERE action = 'set option'") == []


async def test_reset_brings_the_default_back(small: World):
    await small.owner.click(answer(await change(small, "guards.allowed_phrases", "one, two")), label="Apply")
    assert small.app.settings.guards.allowed_phrases == ["one", "two"]
    offered = await small.owner.slash(small.channel, "config reset", option="guards.allowed_phrases")
    assert "After: \\[\\]" in said(offered)
    await small.owner.click(answer(offered), label="Apply")
    assert small.app.settings.guards.allowed_phrases == []
    assert written(small)["guards"]["allowed_phrases"] == []


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("post_limit", "many", 'post\\_limit: "many" is not allowed; it takes a whole number from 0'),
        ("guards.rewrites", "6", "it takes a whole number from 0 to 5."),
        ("budget.monthly_limit", "-1", "it takes a number, 0 or more."),
        ("filtered_words", '["("]', "it takes a list of regular expressions."),
        ("tumblr.upload_state", "**loud**", "is not allowed; it takes one of "),
    ],
)
async def test_what_an_option_does_not_take_is_refused_in_the_models_own_words(
    small: World, option: str, value: str, sentence: str
):
    before = await everything(small)
    text = said(await change(small, option, value))
    assert sentence in text
    assert text.endswith("Nothing was changed.")
    assert "**" not in text
    assert await everything(small) == before


@pytest.mark.parametrize(
    ("option", "typed", "value"),
    [
        ("reblog_user_message", '"Reply:\\n\\n{}"', "Reply:\n\n{}"),
        ("user_message", '""', ""),
        ("user_message", '"half quoted', '"half quoted'),
        ("date_limit", '""', None),
        ("download_blog_identifiers", "a, b", ["a", "b"]),
    ],
)
async def test_line_breaks_and_nothing_can_be_typed(small: World, option: str, typed: str, value: object):
    await small.owner.click(answer(await change(small, option, typed)), label="Apply")
    assert getattr(small.app.settings, option) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("openai.base_url", "https://models.example/v1"),
        ("openai.fine_tuning.base_url", "https://models.example/v1"),
        ("tumblr.api_url", "https://tumblr.example"),
        ("data_directory", "elsewhere"),
        ("training_data_file", "/etc/cron.d/job"),
        ("discord.owner_ids", "123456789012345678"),
    ],
)
async def test_where_keys_and_files_go_and_who_owns_the_bot_is_not_set_from_discord(
    small: World, name: str, value: str
):
    before = await everything(small)
    refused = said(await change(small, name, value)).replace("\\", "")
    assert refused.startswith(f"{name} is not changed from Discord")
    assert await everything(small) == before
    shown = said(await small.owner.slash(small.channel, "config show", option=name))
    assert "It is changed on the bot's own machine alone, not from Discord." in shown


# --- what needs a restart, what does not last -----------------------------------------------------------------------


async def test_what_needs_a_restart_goes_into_the_file_alone_and_says_so(small: World):
    (option,) = (name for name in NEEDS_RESTART if not stays_on_machine(options()[name]))
    value = "123456789012345678"
    before = small.app.settings
    offered = await change(small, option, value)
    assert "This needs a restart: until then the bot goes on as before." in said(offered)
    assert "This needs a restart" in said(await small.owner.click(answer(offered), label="Apply"))
    assert small.app.settings == before
    assert str(written(small)["discord"]["guild_id"]) == value
    shown = said(await small.owner.slash(small.channel, "config show", option=option))
    assert f"From the next start on: {value}" in shown.replace('"', "")
    assert "A change needs a restart." in shown
    settings = load_settings(small.directory / "config.toml", environment={}, secrets_directory=None)
    assert str(settings.discord.guild_id) == value


async def test_what_needs_a_restart_is_refused_where_the_file_cannot_be_written(small: World):
    offered = await change(small, "discord.guild_id", "123456789012345678")
    (small.directory / "config.toml").unlink(missing_ok=True)
    (small.directory / "config.toml").mkdir()
    before = await everything(small)
    text = said(await small.owner.click(answer(offered), label="Apply"))
    assert text == "config.toml could not be written, and `discord.guild_id` needs that. Nothing was changed."
    assert await everything(small) == before


async def test_what_will_not_last_is_said(small: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUMBLRBOT_DRAFT_COUNT", "5")
    text = said(await small.owner.click(answer(await change(small, "draft_count", "4")), label="Apply"))
    assert "At the next start the variable TUMBLRBOT\\_DRAFT\\_COUNT wins over this" in text
    assert small.app.settings.draft_count == 4
    monkeypatch.delenv("TUMBLRBOT_DRAFT_COUNT")
    small.app.live.overrides = {"draft_count": "6"}
    text = said(await small.owner.click(answer(await change(small, "draft_count", "3")), label="Apply"))
    assert "At the next start --draft-count on the command line wins over this" in text


# --- late, twice, and by others -----------------------------------------------------------------------------------


async def test_a_change_is_made_once_and_survives_a_restart(small: World):
    offered = answer(await change(small, "draft_count", "4"))
    await small.restart()
    press = (small.owner, offered.message, "Apply")
    answers = [said(result) for result in await at_once(small, press, press)]
    assert sum("It is in effect." in text for text in answers) == 1
    assert sum("This change" in text or "has been changed since" in text for text in answers) == 1
    assert small.app.settings.draft_count == 4
    assert await rows(small, "SELECT count(*) FROM audit WHERE action = 'set option'") == [(1,)]


async def test_an_older_preview_does_not_undo_a_newer_change(small: World):
    older = answer(await change(small, "draft_count", "4"))
    await small.owner.click(answer(await change(small, "draft_count", "6")), label="Apply")
    text = said(await small.owner.click(older, label="Apply"))
    assert text == "`draft_count` has been changed since this was shown. Use /config set again."
    assert small.app.settings.draft_count == 6


async def test_a_change_that_is_gone_is_explained(small: World):
    offered = answer(await change(small, "draft_count", "4"))
    async with small.app.database.write() as connection:
        await connection.execute("DELETE FROM option_offers")
    assert said(await small.owner.click(offered, label="Apply")).startswith("This change is gone.")


async def test_a_reviewer_sees_options_and_changes_none(small: World):
    offered = answer(await change(small, "draft_count", "4"))
    before = await everything(small)
    assert "Default: 10" in said(await small.reviewer.slash(small.channel, "config show", option="draft_count"))
    for command, more in (("set", {"value": "3"}), ("reset", {})):
        refused = await small.reviewer.slash(small.channel, f"config {command}", option="draft_count", **more)
        assert said(refused).startswith(OWNER_ONLY)
    for action in ("apply", "cancel"):
        pressed = await forged(small, small.reviewer, offered.message, f"option:1:{action}")
        assert said(pressed).startswith(OWNER_ONLY)
    assert await everything(small) == before


async def test_names_are_offered_by_their_beginning_first_and_secrets_only_to_be_looked_at(small: World):
    async def names(actor: Any, command: str, typed: str) -> list[str]:
        return [choice["value"] for choice in await actor.autocomplete(small.channel, command, "option", typed)]

    assert (await names(small.owner, "config set", "limit"))[-1] != "limit"
    assert await names(small.owner, "config set", "monthly") == ["budget.monthly_limit"]
    found = await names(small.owner, "config set", "token")
    assert found[0] == "token_price"
    assert set(found) == {"token_price", "example_token_limit"}
    assert "discord.token" in await names(small.reviewer, "config show", "token")
    assert len(await names(small.owner, "config show", "")) == 25
    assert await names(small.reviewer, "config set", "token") == []
    assert await names(small.stranger, "config show", "") == []


async def test_a_stranger_is_refused(small: World):
    result = await small.stranger.slash(small.channel, "config show")
    assert said(result).startswith(REFUSAL)


# --- values that are offered --------------------------------------------------------------------------------------


async def test_values_are_offered_as_it_is_and_the_default_first_and_each_is_taken(small: World):
    async def offered(option: str, typed: str = "", actor: Any = small.owner) -> list[tuple[str, str]]:
        found = await actor.autocomplete(small.channel, "config set", "value", typed, option=option)
        return [(choice["name"], choice["value"]) for choice in found]

    assert await offered("draft_count") == [("3 (as it is)", "3"), ("10 (the default)", "10")]
    assert await offered("include_answers") == [("false (as it is, the default)", "false"), ("true", "true")]
    states = [value for _, value in await offered("tumblr.upload_state")]
    assert states == ["draft", "queue", "published", "private"]
    assert len(await offered("review.reminder_hour")) == 25
    assert [value for _, value in await offered("openai.generation.model", "luna")] == ["gpt-6-luna"]
    assert "gpt-4.1" in [value for _, value in await offered("base_model")]
    assert "gpt-6-luna" not in [value for _, value in await offered("base_model")]
    await small.owner.slash(small.channel, "connect show")  # asks Tumblr for the blogs of the account
    blogs = [value for _, value in await offered("download_blog_identifiers")]
    assert blogs[0] == small.blog_name
    assert await offered("download_blog_identifiers", "other, light") == [
        (f"other {small.blog_name}", f"other {small.blog_name}")
    ]
    for name in ("openai.api_key", "openai.base_url", "no such option"):
        assert await offered(name) == []
    assert await offered("draft_count", actor=small.reviewer) == []
    assert await offered("draft_count", actor=small.stranger) == []
    # Whatever is offered as it is, is taken as that.
    for option in options().values():
        if not option.is_secret and not stays_on_machine(option):
            typed = as_typed(option_text(small.app.settings, option.name))
            change_to_the_same = await small.app.options.offer(option.name, typed)
            assert change_to_the_same.after == change_to_the_same.before, option.name
