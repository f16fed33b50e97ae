"""`setup --no-input`, as a script uses it: with options and variables, and nobody at a keyboard."""

from __future__ import annotations

import asyncio

import pytest

from bot import __version__
from bot.__main__ import main
from bot.config import PREFIX
from bot.demo.faults import Fault
from tests.setup.discord_rest import TOKEN, House, private
from tests.setup.person import KEYS, TOKENS, config_text, is_private, options_now, secrets

KEY = "sk-stand-in"
VARIABLES = {
    "DISCORD__TOKEN": TOKEN,
    "OPENAI__API_KEY": KEY,
    "TUMBLR__CONSUMER_KEY": KEYS[0],
    "TUMBLR__CONSUMER_SECRET": KEYS[1],
    "TUMBLR__OAUTH_TOKEN": TOKENS[0],
    "TUMBLR__OAUTH_TOKEN_SECRET": TOKENS[1],
}


@pytest.fixture
async def script(discord_rest, openai, tumblr, monkeypatch, capsys):
    """Runs the command. Variables are added to or taken out of the full set by name."""
    discord_rest.houses.append(House(5001, "Home", [private(6001, "writing-room")]))
    at = ("--tumblr-api-url", tumblr.base_url, "--openai-base-url", openai.base_url)

    async def run(*arguments, **changes):
        for name, value in (VARIABLES | changes).items():
            monkeypatch.setenv(f"{PREFIX}{name}", value)
        status = await asyncio.to_thread(main, ["setup", "--no-input", *at, *arguments])
        captured = capsys.readouterr()
        said = captured.out + captured.err
        for secret in VARIABLES.values():
            assert secret not in said + config_text()
        return status, said

    return run


FULL = (
    "--discord-guild-id", "5001", "--discord-channel-id", "6001", "--upload-blog-identifier", "keeper",
    "--download-blog-identifiers", "keeper,second-light", "--post-limit", "7",
)  # fmt: skip


async def test_what_is_given_is_tried_written_and_complete(script):
    status, said = await script(*FULL)
    assert status == 0, said
    for line in (
        "well     Discord token: It belongs to ghostwriter.",
        "well     Channel: #writing-room; the bot has the permissions it needs.",
        "well     Tumblr account: Connected as keeper.",
    ):
        assert line in said
    assert "missing" not in said
    written = options_now()
    assert (written["discord"]["guild_id"], written["discord"]["channel_id"], written["post_limit"]) == (5001, 6001, 7)
    assert written["download_blog_identifiers"] == ["keeper", "second-light"]
    assert "# The private channel where progress and drafts appear." in config_text()
    assert secrets() == {
        "discord": {"token": TOKEN},
        "openai": {"api_key": KEY},
        "tumblr": dict(
            zip(("consumer_key", "consumer_secret", "oauth_token", "oauth_token_secret"), KEYS + TOKENS, strict=True)
        ),
    }
    assert is_private()

    # What was written is all it takes: without any variable the next one finds everything set, and changes nothing.
    before = config_text(), secrets()
    status, said = await script(**dict.fromkeys(VARIABLES, ""))
    assert status == 0, said
    assert (config_text(), secrets()) == before


async def test_what_is_missing_is_listed(script):
    status, said = await script(**dict.fromkeys(VARIABLES, ""))
    assert status == 1
    missing = [line.split(":")[0] for line in said.splitlines() if line.startswith("missing")]
    assert missing == [
        f"missing  {name}" for name in (
            "discord.token", "discord.guild_id", "discord.channel_id", "openai.api_key", "tumblr.consumer_key",
            "tumblr.consumer_secret", "tumblr.oauth_token", "tumblr.oauth_token_secret", "upload_blog_identifier",
            "download_blog_identifiers",
        )
    ]  # fmt: skip
    assert secrets() == {}


async def test_what_is_refused_is_not_written(script, openai, tumblr):
    openai.faults.schedule(Fault("GET", "/v1/models", "html", status=401))
    tumblr.faults.schedule(Fault("GET", "/v2/user/info", "html", status=401))
    status, said = await script(*FULL, DISCORD__TOKEN="stale-token")
    assert status == 1
    assert "wrong    Discord token: Discord does not accept the token." in said
    assert "wrong    Model service: " in said
    assert "wrong    Tumblr account: " in said
    assert secrets() == {}
    assert options_now()["openai"]["base_url"] == "https://api.openai.com/v1"
    assert options_now()["post_limit"] == 7, "what nobody refused is written"


async def test_a_server_a_channel_a_model_and_a_blog_that_will_not_do(script, discord_rest):
    status, said = await script("--discord-guild-id", "42", "--upload-blog-identifier", "other")
    assert status == 1
    assert "wrong    Server: The bot is not on the server 42. The link that adds the bot to a server: https://" in said
    assert "wrong    Destination: other is not a blog of that account; these are: keeper, second-light." in said
    assert options_now()["upload_blog_identifier"] == ""
    assert options_now()["discord"]["guild_id"] == 42, "the link comes first, or the option: either order will do"
    discord_rest.houses[0].rooms[0].bot = discord_rest.houses[0].rooms[0].everyone
    status, said = await script(*FULL, "--openai-generation-model", "gpt-0")
    assert status == 1
    assert "wrong    Model service: It accepts the key, but has no model gpt-0, which writes." in said
    assert "wrong    Channel: In #writing-room the bot lacks: " in said


def test_the_version_is_said(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"tumblrbot-discord {__version__}\n"
