"""The step about the model service, with a person at the questions and the stand-in for OpenAI at the other end."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.config import PREFIX, write_options, write_secrets
from bot.demo.faults import Fault
from tests.setup.person import SKIP_DISCORD, config_text, options_now, secrets, wizard

KEY = "sk-stand-in"
SKIP_TUMBLR = (("consumer key", ""),)


async def run(monkeypatch, capsys, tumblr, *answers, arguments=()):
    status, said = await wizard(monkeypatch, capsys, tumblr, *SKIP_DISCORD, *answers, *SKIP_TUMBLR, arguments=arguments)
    assert status == 0
    assert KEY not in said
    return said


async def test_a_key_is_tried_for_free_and_kept(openai, tumblr, monkeypatch, capsys):
    address = ("address of another service", openai.base_url)
    wrong = (("API key", "sk-wrong"), ("API key", "sk wrong"))
    said = await run(monkeypatch, capsys, tumblr, address, *wrong, ("API key (Enter: not now)", KEY))
    assert "does not accept the API key" in said
    assert "openai.api_key: the value (not shown) is not allowed" in said
    assert "The key works." in said
    assert "sk-wrong" not in said
    assert "sk wrong" not in said
    assert secrets() == {"openai": {"api_key": KEY}}
    assert options_now()["openai"]["base_url"] == openai.base_url
    assert KEY not in config_text()
    assert {(request.method, request.path) for request in openai.requests} == {("GET", "/v1/models")}

    # Run again: both are shown as set, Enter keeps them, and the key is tried where it is.
    said = await run(monkeypatch, capsys, tumblr, ("another service", ""), ("API key (Enter keeps", ""))
    assert f"openai.base_url: {openai.base_url}" in said
    assert "openai.api_key: set\n" in said
    assert "The key works." in said
    assert secrets() == {"openai": {"api_key": KEY}}


async def test_a_key_is_never_tried_at_another_service(openai, tumblr, monkeypatch, capsys):
    write_secrets(Path("data"), {"openai.api_key": "sk-of-openai"})
    said = await run(
        monkeypatch, capsys, tumblr, ("another service", openai.base_url), ("API key (Enter: not now)", "")
    )
    assert "Nothing was connected; what was set stays." in said
    assert openai.requests == []
    assert options_now()["openai"]["base_url"] == "https://api.openai.com/v1"
    assert secrets() == {"openai": {"api_key": "sk-of-openai"}}


async def test_a_service_with_other_models_is_asked_for_one_that_writes(openai, tumblr, monkeypatch, capsys):
    openai.models = {"llama-9": next(iter(openai.models.values()))}
    pick = [("The name of the model", answer) for answer in ("gpt-0", "llama-9")]
    connect = (("another service", openai.base_url), ("API key", KEY))
    said = await run(monkeypatch, capsys, tumblr, *connect, *pick)
    assert "It has no model gpt-6-luna, which the bot would write with." in said
    assert "It has: llama-9." in said
    assert "It has no model omni-moderation-latest, which screens texts." in said
    assert "It has no model of that name." in said
    assert options_now()["openai"]["generation"]["model"] == "llama-9"
    said = await run(monkeypatch, capsys, tumblr, ("another service", ""), ("API key", ""))
    assert "which the bot would write with" not in said


@pytest.mark.parametrize("answer", ["yes", ""])
async def test_what_cannot_be_tried_may_be_kept_all_the_same(openai, tumblr, monkeypatch, capsys, answer):
    openai.faults.schedule(Fault("GET", "/v1/models", "html", status=403, times=9))
    connect = (("another service", openai.base_url), ("API key", KEY), ("Keep it, untried?", answer))
    said = await run(monkeypatch, capsys, tumblr, *connect)
    assert "does not allow this with the API key in use" in said
    assert bool(secrets()) is bool(answer)
    assert (options_now()["openai"]["base_url"] == openai.base_url) is bool(answer)


async def test_addresses_that_would_send_keys_in_the_clear(tumblr, monkeypatch, capsys):
    wrong = [("another service", address) for address in ("http://example.org/v1", "example.org", "https://a:b@c/v1")]
    said = await run(monkeypatch, capsys, tumblr, *wrong, ("API key", ""))
    assert said.count("it takes an https:// address") == 3
    assert "It stays as it is." in said


async def test_a_key_of_the_environment_is_used_and_not_copied(openai, tumblr, monkeypatch, capsys):
    monkeypatch.setenv(f"{PREFIX}OPENAI__API_KEY", KEY)
    write_options(Path("config.toml"), {"openai.base_url": openai.base_url})
    said = await run(monkeypatch, capsys, tumblr)
    assert f"openai.api_key: set, by the variable {PREFIX}OPENAI__API_KEY" in said
    assert openai.requests
    assert secrets() == {}
