"""The stand-in's OAuth: each rule once, by the library that other bots use against the real one."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from requests_oauthlib import OAuth1Session
from requests_oauthlib.oauth1_session import TokenRequestDenied

from bot.demo.faults import Fault
from bot.demo.tumblr_oauth import CALLBACK
from bot.demo.tumblr_service import TumblrService


@pytest.fixture
async def service() -> AsyncIterator[TumblrService]:
    service = TumblrService()
    service.add_blog("keeper")
    await service.start()
    yield service
    await service.stop()


def session(service, *, key=None, secret=None, **more):
    good_key, good_secret, _, _ = service.credentials()
    made = OAuth1Session(key or good_key, secret or good_secret, **more)
    made.trust_env = False
    return made


async def ask(service, **keys):
    """A request token: (token, secret)."""
    fields = await asyncio.to_thread(
        session(service, **keys).fetch_request_token, f"{service.base_url}/oauth/request_token"
    )
    assert fields["oauth_callback_confirmed"] == "true"
    return fields["oauth_token"], fields["oauth_token_secret"]


async def trade(service, token, token_secret, verifier, **keys):
    made = session(service, resource_owner_key=token, resource_owner_secret=token_secret, verifier=verifier, **keys)
    return await asyncio.to_thread(made.fetch_access_token, f"{service.base_url}/oauth/access_token")


def verifier_in(address):
    return fields_of(address)["oauth_verifier"]


def fields_of(address):
    return dict(pair.split("=", 1) for pair in address.partition("?")[2].partition("#")[0].split("&"))


async def test_the_three_steps_give_the_accounts_tokens(service):
    token, secret = await ask(service)
    address = service.authorize(token)
    assert address.startswith(f"{service.base_url}{CALLBACK}?oauth_token={token}&oauth_verifier=")
    assert address.endswith("#_=_")
    given = await trade(service, token, secret, verifier_in(address))
    _, _, oauth_token, oauth_token_secret = service.credentials()
    assert given == {"oauth_token": oauth_token, "oauth_token_secret": oauth_token_secret}


async def test_a_callback_of_the_callers_own_is_taken_too(service):
    await ask(service, callback_uri="https://example.org/callback")


async def test_wrong_keys_get_nothing(service):
    for keys in ({"key": "another"}, {"secret": "another"}):
        with pytest.raises(TokenRequestDenied) as refused:
            await ask(service, **keys)
        assert refused.value.status_code == 401


async def test_no_token_without_the_persons_word_the_verifier_and_the_signature(service):
    token, secret = await ask(service)
    with pytest.raises(TokenRequestDenied):
        await trade(service, token, secret, "guessed")  # before anybody allowed it
    verifier = verifier_in(service.authorize(token))
    for wrong in (("another", secret, verifier), (token, "another", verifier), (token, secret, "guessed")):
        with pytest.raises(TokenRequestDenied) as refused:
            await trade(service, *wrong)
        assert refused.value.status_code == 401
    with pytest.raises(TokenRequestDenied):
        await trade(service, token, secret, verifier, secret="another")
    assert await trade(service, token, secret, verifier)


async def test_each_token_works_once(service):
    token, secret = await ask(service)
    verifier = verifier_in(service.authorize(token))
    with pytest.raises(KeyError):
        service.authorize(token)
    await trade(service, token, secret, verifier)
    with pytest.raises(TokenRequestDenied):
        await trade(service, token, secret, verifier)


async def test_a_request_is_not_taken_twice(service):
    made = session(service)
    url = f"{service.base_url}/oauth/request_token"
    first = await asyncio.to_thread(made.post, url)
    assert first.status_code == 200
    async with (
        aiohttp.ClientSession() as copy,
        copy.post(url, headers={"Authorization": _text(first.request.headers["Authorization"])}) as second,
    ):
        assert second.status == 401


def _text(header):
    return header.decode() if isinstance(header, bytes) else header


async def test_what_is_no_oauth_request_is_refused(service):
    async with aiohttp.ClientSession(service.base_url) as browser:
        for path in ("/oauth/request_token", "/oauth/access_token", "/oauth/request_token?%ff=%00"):
            async with browser.post(path) as answer:
                assert answer.status in {400, 401}
            async with browser.post(path, headers={"Authorization": "OAuth nonsense"}) as answer:
                assert answer.status in {400, 401}


@pytest.mark.parametrize("decision", ["allow", "deny"])
async def test_a_person_decides_on_the_page(service, decision):
    token, _ = await ask(service)
    async with aiohttp.ClientSession(service.base_url) as browser:
        async with browser.get("/oauth/authorize", params={"oauth_token": token}) as page:
            text = await page.text()
            assert page.status == 200
            assert ">Allow<" in text
            assert ">Deny<" in text
        form = {"oauth_token": token, "decision": decision}
        async with browser.post("/oauth/authorize", data=form, allow_redirects=False) as answer:
            assert answer.status == 302
            address = answer.headers["Location"]
        async with browser.get(address.removeprefix(service.base_url)) as page:
            assert "Copy this page" in await page.text()
        async with browser.post("/oauth/authorize", data=form) as again:
            assert again.status == 404
    assert ("oauth_verifier=" in address) == (decision == "allow")
    assert ("denied=" in address) == (decision == "deny")


async def test_an_unknown_link_shows_nothing_of_itself(service):
    async with (
        aiohttp.ClientSession(service.base_url) as browser,
        browser.get("/oauth/authorize", params={"oauth_token": "<script>"}) as page,
    ):
        assert page.status == 404
        assert "<script>" not in await page.text()


async def test_faults_come_before_oauth_as_before_all_else(service):
    service.faults.schedule(Fault("POST", "/oauth/*", "html", status=403))
    with pytest.raises(TokenRequestDenied) as refused:
        await ask(service)
    assert refused.value.status_code == 403
    await ask(service)
    assert [request.path for request in service.requests] == ["/oauth/request_token"] * 2
