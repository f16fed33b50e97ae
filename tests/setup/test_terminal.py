"""The whole wizard as a person meets it: the process itself at a pseudo-terminal, from an empty folder to a bot that
could start.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys

import pytest

from tests.setup.discord_rest import TOKEN, House, Room, private
from tests.setup.person import KEYS, LINK, TOKENS, config_text, is_private, options_now, secrets

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal"),
    pytest.mark.timeout(300),
]
if sys.platform != "win32":
    from tests.setup.terminal import Terminal

KEY = "sk-stand-in"
SECRETS = (TOKEN, KEY, *KEYS, *TOKENS)
WRONG = ("wrong-bot-token", "sk-wrong", "wrong-consumer-key")


def arguments(command, folder, tumblr):
    paths = ("--config", str(folder / "config.toml"), "--data-directory", str(folder / "data"))
    return [command, *paths, "--tumblr-api-url", tumblr.base_url]


def home():
    return House(5001, "Home of words", [Room(6001, "general"), private(6002, "writing-room"), private(6003, "den")])


@pytest.mark.long
async def test_from_an_empty_folder_to_a_bot_that_is_set_up(discord_rest, openai, tumblr, tmp_path):
    def first():
        with Terminal(arguments("setup", tmp_path, tumblr), discord_rest.base_url) as person:
            person.answer("Bot token (Enter: not now): ", WRONG[0])
            person.answer("Bot token (Enter: not now): ", TOKEN)
            person.wait_for("&permissions=")
            person.answer("or type later: ")
            person.wait_for("It is on no server yet.")
            discord_rest.houses.append(home())
            person.answer("or type later: ")
            person.answer("0 looks again): ", "1")
            person.answer("0 looks again): ", "2")
            person.answer("Enter keeps them, none forgets them): ", "77")
            person.answer("another service (Enter keeps the one above): ", openai.base_url)
            person.answer("API key (Enter: not now): ", WRONG[1])
            person.answer("API key (Enter: not now): ", KEY)
            person.answer("consumer key (Enter: not now): ", WRONG[2])
            person.answer("Consumer secret (Enter: not now): ", "wrong")
            person.answer("consumer key (Enter: not now): ", KEYS[0])
            person.answer("Consumer secret (Enter: not now): ", KEYS[1])
            person.wait_for("copy its whole address.")
            person.answer("The address (Enter: not now): ", tumblr.authorize(LINK.findall(person.said)[-1]))
            person.answer("shall go to (Enter keeps it): ", "1")
            person.answer("(Enter keeps them): ", "1 2")
            return person.end(), person.said

    status, said = await asyncio.to_thread(first)
    assert status == 0, said
    assert [f"{number} of 4" in said for number in range(1, 5)] == [True] * 4
    assert "Discord does not accept the token." in said
    assert "does not accept the API key" in said
    assert "Tumblr does not accept the consumer key and secret" in said
    assert "All is set. A bot that is running takes it up at its next start. Next: python3 -m bot run" in said
    assert "Traceback" not in said
    for secret in (*SECRETS, *WRONG):
        assert secret not in said + config_text()
    written = options_now()
    assert written["discord"] | {"guild_id": 5001, "channel_id": 6002, "owner_ids": [77]} == written["discord"]
    assert written["upload_blog_identifier"] == "keeper"
    assert written["download_blog_identifiers"] == ["keeper", "second-light"]
    assert "# The private channel where progress and drafts appear." in config_text()
    assert is_private()
    assert secrets()["discord"] == {"token": TOKEN}
    assert secrets()["openai"] == {"api_key": KEY}
    assert len(secrets()["tumblr"]) == 4

    # It is a whole one: `check` finds nothing wrong with it.
    def check():
        with Terminal(arguments("check", tmp_path, tumblr), discord_rest.base_url) as person:
            return person.end(), person.said

    status, said = await asyncio.to_thread(check)
    assert status == 0, said

    # Again: everything is shown as set, and one answer changes one option.
    before = config_text(), secrets()

    def second():
        with Terminal(arguments("setup", tmp_path, tumblr), discord_rest.base_url) as person:
            person.answer("Bot token (Enter keeps the one that is set): ")
            person.answer("0 looks again): ")
            person.answer("0 looks again): ", "3")
            for words in (
                "none forgets them): ",
                "keeps the one above): ",
                "API key (Enter keeps the one that is set): ",
            ):
                person.answer(words)
            for words in ("press Enter to keep this one: ", "shall go to (Enter keeps it): ", "(Enter keeps them): "):
                person.answer(words)
            return person.end(), person.said

    status, said = await asyncio.to_thread(second)
    assert status == 0, said
    assert len(re.findall(r"^  [a-z_.]+: set\r$", said, re.MULTILINE)) == 6
    assert (config_text(), secrets()) == (before[0].replace("channel_id = 6002", "channel_id = 6003"), before[1])
    for secret in SECRETS:
        assert secret not in said


async def test_ctrl_c_keeps_what_was_answered(discord_rest, tumblr, tmp_path):
    discord_rest.houses.append(home())

    def drive():
        with Terminal(arguments("setup", tmp_path, tumblr), discord_rest.base_url) as person:
            person.answer("Bot token (Enter: not now): ", TOKEN)
            person.answer("0 looks again): ", "1")
            person.wait_for("0 looks again): ")
            return person.interrupt("Stopped."), person.said

    status, said = await asyncio.to_thread(drive)
    assert status == 130
    assert "Stopped. What was answered before is kept" in said
    assert "Traceback" not in said
    assert TOKEN not in said
    assert secrets() == {"discord": {"token": TOKEN}}
    assert options_now()["discord"]["guild_id"] == 5001
    assert is_private()
