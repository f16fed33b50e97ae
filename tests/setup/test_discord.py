"""The step about Discord, with a person at the questions and a stand-in for Discord's REST API at the other end."""

from __future__ import annotations

from pathlib import Path

import discord
import pytest

from bot.client import invite_link
from bot.config import PREFIX, write_options, write_secrets
from tests.setup.discord_rest import APPLICATION, TOKEN, House, Room, private
from tests.setup.person import SKIP_MODELS, options_now, secrets, wizard

SKIP_TUMBLR = (("consumer key", ""),)
NOBODY_ELSE = (("Their IDs", ""),)


def rooms():
    blocked = discord.Permissions(embed_links=True, attach_files=True)
    locked = Room(6003, "half-open", bot=(discord.Permissions(0), blocked))
    return [Room(6001, "general"), private(6002, "writing-room"), locked, Room(6009, "voices", kind=2)]


def home():
    return House(5001, "Home \x1b[31mof words", rooms())


async def run(monkeypatch, capsys, tumblr, *answers):
    status, said = await wizard(monkeypatch, capsys, tumblr, *answers, *SKIP_MODELS, *SKIP_TUMBLR)
    assert status == 0
    assert TOKEN not in said
    assert "\x1b" not in said
    assert TOKEN not in str(options_now())
    return said


async def test_a_bot_is_connected_and_gets_its_server_and_its_channel(discord_rest, tumblr, monkeypatch, capsys):
    def add(_person):
        discord_rest.houses.append(home())
        return ""

    said = await run(
        monkeypatch, capsys, tumblr,
        ("Bot token (Enter: not now)", TOKEN), ("Press Enter when that is done", ""), ("Press Enter when", add),
        ("that it shall work in", "0"), ("that it shall work in", "1"), ("of the channel", "2"), ("Their IDs", "77, 78"),
    )  # fmt: skip
    assert "The bot is called ghostwriter." in said
    assert invite_link(APPLICATION) in said
    assert (
        f"permissions={discord.Permissions(view_channel=True, send_messages=True, embed_links=True, attach_files=True, read_message_history=True).value}"
        in said
    )
    assert said.count("It is on no server yet.") == 2
    assert "The bot obeys the owner of its application: keeper-of-keys." in said
    assert "  1  #general  (everybody on the server reads it)\n" in said
    assert "  2  #writing-room\n" in said
    assert "  3  #half-open  (the bot lacks: embed links, attach files; everybody on the server reads it)\n" in said
    assert "#voices" not in said
    assert secrets() == {"discord": {"token": TOKEN}}
    assert options_now()["discord"]["guild_id"] == 5001
    assert options_now()["discord"]["channel_id"] == 6002
    assert options_now()["discord"]["owner_ids"] == [77, 78]
    assert {method for method, _ in discord_rest.requests} == {"GET"}, "it only looks"

    # Run again: what is set is shown, and only what is answered changes.
    before = options_now()
    same = (("Bot token (Enter keeps", ""), ("that it shall work in", ""))
    said = await run(monkeypatch, capsys, tumblr, *same, ("of the channel", ""), *NOBODY_ELSE)
    assert "discord.token: set\n" in said
    assert "It works in: Home" in said
    assert "They appear in: #writing-room" in said
    assert "Named beside the owner: 77, 78" in said
    assert options_now() == before
    said = await run(monkeypatch, capsys, tumblr, *same, ("of the channel", "3"), ("Their IDs", "none"))
    assert "Give the bot these permissions in that channel's settings: embed links, attach files." in said
    assert options_now()["discord"] == before["discord"] | {"channel_id": 6003, "owner_ids": []}
    assert {name: value for name, value in options_now().items() if name != "discord"} == {
        name: value for name, value in before.items() if name != "discord"
    }


async def test_every_question_of_it_can_be_skipped(discord_rest, tumblr, monkeypatch, capsys):
    said = await run(monkeypatch, capsys, tumblr, ("Bot token", ""))
    assert "Nothing was connected; what was set stays." in said
    assert secrets() == {}
    assert discord_rest.requests == []
    await run(monkeypatch, capsys, tumblr, ("Bot token", TOKEN), ("Press Enter when", "later"), *NOBODY_ELSE)
    discord_rest.houses.append(home())
    discord_rest.team = "The Keepers"
    said = await run(monkeypatch, capsys, tumblr, ("Bot token", ""), ("that it shall work in", ""), *NOBODY_ELSE)
    assert "It works in: not set" in said
    assert "The bot obeys the owner of its application: The Keepers." in said
    assert "guild_id" not in {name for name, value in options_now()["discord"].items() if value}
    said = await run(
        monkeypatch, capsys, tumblr,
        ("Bot token", ""), ("that it shall work in", "1"), ("of the channel", ""), *NOBODY_ELSE,
    )  # fmt: skip
    assert "They appear in: not set" in said
    assert "discord.channel_id\n" in said.partition("Not set yet:")[2]
    assert "discord.guild_id\n" not in said.partition("Not set yet:")[2]


async def test_a_wrong_token_gets_a_sentence_and_another_try(discord_rest, tumblr, monkeypatch, capsys):
    wrong = (("Bot token", "wrong-token"), ("Bot token", "two words"))
    said = await run(monkeypatch, capsys, tumblr, *wrong, ("Bot token", TOKEN), ("Press Enter", "later"), *NOBODY_ELSE)
    assert "Discord does not accept the token. Press Reset Token" in said
    assert "discord.token: the value (not shown) is not allowed" in said
    assert "wrong-token" not in said
    assert "two words" not in said
    assert secrets()["discord"]["token"] == TOKEN
    discord_rest.token = "another-one"
    said = await run(monkeypatch, capsys, tumblr, *[("Bot token (Enter keeps", "")] * 3)
    assert said.count("Discord does not accept the token.") == 3
    assert "It stays as it was." in said
    assert secrets()["discord"]["token"] == TOKEN


@pytest.mark.parametrize("answer", ["yes", ""])
async def test_without_discord_the_token_may_be_kept_untried(discord_rest, tumblr, monkeypatch, capsys, answer):
    discord_rest.broken = True
    said = await run(monkeypatch, capsys, tumblr, ("Bot token", TOKEN), ("Keep it, untried?", answer))
    assert "Discord cannot be reached." in said
    assert "proxy" not in said
    assert bool(secrets()) is bool(answer)


async def test_a_token_of_the_environment_is_used_and_not_copied(discord_rest, tumblr, monkeypatch, capsys):
    monkeypatch.setenv(f"{PREFIX}DISCORD__TOKEN", TOKEN)
    discord_rest.houses.append(home())
    said = await run(monkeypatch, capsys, tumblr, ("that it shall work in", "1"), ("channel", "2"), *NOBODY_ELSE)
    assert f"discord.token: set, by the variable {PREFIX}DISCORD__TOKEN" in said
    assert secrets() == {}
    assert options_now()["discord"]["channel_id"] == 6002
    monkeypatch.setenv(f"{PREFIX}DISCORD__TOKEN", "stale-token")
    said = await run(monkeypatch, capsys, tumblr)
    assert "Discord does not accept the token." in said


async def test_a_server_that_it_has_left_and_answers_that_are_no_ids(discord_rest, tumblr, monkeypatch, capsys):
    write_secrets(Path("data"), {"discord.token": TOKEN})
    discord_rest.houses.append(home())
    write_options(Path("config.toml"), {"discord.guild_id": 42, "discord.channel_id": 43})
    wrong = [("Their IDs", answer) for answer in ("keeper", "-1", "1.5")]
    said = await run(monkeypatch, capsys, tumblr, ("Bot token", ""), ("that it shall work in", ""), *wrong)
    assert "It works in: 42" in said
    assert "The bot is not on the server 42." in said
    assert said.count("it takes a list of IDs of Discord's") == 3
    assert options_now()["discord"]["owner_ids"] == []
    said = await run(
        monkeypatch, capsys, tumblr,
        ("Bot token", ""), ("that it shall work in", "1"), ("of the channel", ""), *NOBODY_ELSE,
    )  # fmt: skip
    assert "They appear in: 43, which is not on this server" in said
