"""Connecting: what is pasted, in every spelling; and each answer that Tumblr may give, or not give."""

import asyncio
import logging
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.errors import ConnectionFailed, TumblrForbidden, TumblrQuotaReached, TumblrUnavailable
from bot.tumblr.connect import RequestToken, access_token, oauth_address, read_verifier, request_token
from tests.tumblr.conftest import hang, plain_reply

REQUEST = RequestToken("rtoken-4d2c", "rsecret-8e6f", "https://www.tumblr.com/oauth/authorize?oauth_token=rtoken-4d2c")
ADDRESS = "https://example.org/callback?oauth_token=rtoken-4d2c&oauth_verifier=verif13r#_=_"
KEYS = ("ckey-5f1e", "csecret-7a2b")
SECRETS = (*KEYS, "rsecret-8e6f", "otoken-9c3d", "osecret-1e4f", "verif13r")


def test_where_the_pages_are():
    assert oauth_address("https://api.tumblr.com") == "https://www.tumblr.com"
    assert oauth_address("http://127.0.0.1:8801/") == "http://127.0.0.1:8801"
    assert oauth_address("http://localhost:8801") == "http://localhost:8801"
    with pytest.raises(ValueError, match="plain http"):
        oauth_address("http://api.tumblr.com")


# --- what is pasted -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pasted",
    [
        ADDRESS,
        ADDRESS.removesuffix("#_=_"),
        ADDRESS.replace("#_=_", "%23_=_"),
        ADDRESS.partition("?")[2],
        ADDRESS.partition("?")[2].removesuffix("#_=_"),
        "?" + ADDRESS.partition("?")[2],
        f"  {ADDRESS}\n",
        f"<{ADDRESS}>",
        f'"{ADDRESS}"',
        f"\u201c{ADDRESS}\u201d",
        f"`{ADDRESS}`",
        ADDRESS.replace("verif13r", "ver\n  if13r"),
        ADDRESS.replace("verif13r", "verif\u200b13r"),
        ADDRESS.replace("&", " & "),
        quote(ADDRESS, safe=""),
        quote(ADDRESS, safe=":/"),
        "http://localhost/?oauth_verifier=verif13r&oauth_token=rtoken-4d2c&utm_source=x#_=_",
        "localhost:3000/?oauth_token=rtoken-4d2c&oauth_verifier=verif13r",
        f"{ADDRESS} {ADDRESS}",
    ],
)
def test_the_verifier_is_found_however_the_address_was_copied(pasted):
    assert read_verifier(pasted, REQUEST) == "verif13r"


@pytest.mark.parametrize(
    ("pasted", "sentence"),
    [
        ("", "Nothing was pasted."),
        (" \n<>\u200b", "Nothing was pasted."),
        ("hello there", "That is not an address."),
        ("verif13r", "That is not an address."),
        ("https://example.org/callback", "That address holds no permission"),
        ("https://example.org/callback#_=_", "That address holds no permission"),
        ("https://example.org/?error=odd", "That address holds no permission"),
        ("https://example.org/?denied=rtoken-4d2c#_=_", "Tumblr was told not to allow the connection."),
        (ADDRESS.replace("rtoken-4d2c", "another"), "That address belongs to another link than the last one."),
        (REQUEST.authorize_url, "That is the address of the question"),
        (ADDRESS.partition("&")[0], "That is only a part of the address."),
        ("oauth_verifier=verif13r", "That is only a part of the address."),
        (ADDRESS.replace("verif13r", ""), "That is only a part of the address."),
        (ADDRESS.replace("verif13r", "verif…"), "That is only a part of the address."),
    ],
)
def test_each_wrong_paste_has_a_sentence_of_its_own(pasted, sentence):
    with pytest.raises(ConnectionFailed) as caught:
        read_verifier(pasted, REQUEST)
    assert str(caught.value).startswith(sentence)


_MARKS = "Zq7"  # in no sentence of ours


@given(
    st.one_of(
        st.text(),
        st.lists(
            st.sampled_from([
                "https://example.org/", "?", "&", "#", "#_=_", "=", "%", "%3d", "%23", "<", "oauth_token", "oauth_verifier",
                "oauth_token=rtoken-4d2c", "oauth_verifier=Zq7", "denied", "/oauth/authorize", "[", "]", "//[", ";", "\ud800",
                "Zq7", "\n",
            ])
        ).map("".join),
    )
)  # fmt: skip
@example("http://[")
@example("?" + "a=1&" * 2000)
@example("%3d%ff%00=")
@example("oauth_token=rtoken-4d2c&oauth_verifier=\udcffZq7")
def test_whatever_is_pasted_gives_a_verifier_or_a_sentence_without_it(pasted):
    try:
        verifier = read_verifier(pasted, REQUEST)
    except ConnectionFailed as error:
        said = str(error)
        assert "rtoken-4d2c" not in said
        assert _MARKS not in said
        assert said.endswith(".")
    else:
        assert verifier
        assert verifier.isascii()
        assert verifier.isprintable()
        assert " " not in verifier


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60), st.booleans())
def test_every_verifier_survives_the_way(verifier, whole):
    verifier = verifier.replace("#", "")
    if verifier:
        query = f"oauth_token=rtoken-4d2c&oauth_verifier={quote(verifier, safe='')}"
        assert read_verifier(f"https://a.example/?{query}#_=_" if whole else f"{query}#_=_", REQUEST) == verifier


# --- what Tumblr answers --------------------------------------------------------------------------------------

TOKENS = "oauth_token=otoken-9c3d&oauth_token_secret=osecret-1e4f"


def ask(service, *, deadline=5.0):
    return request_token(*KEYS, api_url=service.url, deadline=deadline)


def trade(service, *, deadline=5.0):
    return access_token(*KEYS, REQUEST, "verif13r", api_url=service.url, deadline=deadline)


def signed(seen):
    """The fields of the Authorization header."""
    header = seen.headers["Authorization"].removeprefix("OAuth ")
    return {k: v.strip('"') for k, v in parse_qsl(header.replace(", ", "&"), keep_blank_values=True)}


async def test_the_link_is_asked_for_with_the_consumer_key_alone(service):
    service.replies = [plain_reply(f"{TOKENS}&oauth_callback_confirmed=true")]
    begun = await ask(service)
    assert (begun.token, begun.secret) == ("otoken-9c3d", "osecret-1e4f")
    assert begun.authorize_url == f"{service.url}/oauth/authorize?oauth_token=otoken-9c3d"
    assert repr(begun) == "RequestToken()"
    (seen,) = service.seen
    assert (seen.method, seen.path, seen.query, seen.body) == ("POST", "/oauth/request_token", {}, b"")
    assert signed(seen)["oauth_consumer_key"] == "ckey-5f1e"
    assert signed(seen)["oauth_signature_method"] == "HMAC-SHA1"
    assert not {"oauth_token", "oauth_verifier"} & set(signed(seen))
    assert not any(secret in str(seen) for secret in SECRETS if secret != "ckey-5f1e")


async def test_the_tokens_are_asked_for_with_the_request_token_and_the_verifier(service):
    service.replies = [plain_reply(TOKENS, content_type="text/html")]
    credentials = await trade(service)
    assert (credentials.consumer_key, credentials.consumer_secret) == KEYS
    assert (credentials.oauth_token, credentials.oauth_token_secret) == ("otoken-9c3d", "osecret-1e4f")
    (seen,) = service.seen
    assert (seen.method, seen.path) == ("POST", "/oauth/access_token")
    assert signed(seen)["oauth_token"] == "rtoken-4d2c"
    assert signed(seen)["oauth_verifier"] == "verif13r"


PAGE = "<!DOCTYPE html><html><body>oauth_token=otoken-9c3d</body></html>"
ANSWERS = [
    (plain_reply("", status=401), ConnectionFailed, "Tumblr does not accept"),
    (plain_reply("oauth_problem=nonce_used", status=400), ConnectionFailed, "Tumblr does not accept"),
    (plain_reply(PAGE, status=403, content_type="text/html"), TumblrForbidden, "Tumblr does not let this machine's"),
    (plain_reply("", status=429), TumblrQuotaReached, "Tumblr's limit on calls is reached."),
    (plain_reply(PAGE, status=429, content_type="text/html"), TumblrQuotaReached, "Tumblr's limit on calls is"),
    (plain_reply("", status=500), TumblrUnavailable, "Tumblr gave no usable answer (status 500)."),
    (plain_reply(TOKENS, status=503), TumblrUnavailable, "Tumblr gave no usable answer (status 503)."),
    (plain_reply("", status=302, headers={"Location": "/login"}), TumblrUnavailable, "Tumblr gave no usable answer"),
    (plain_reply("", status=404), TumblrUnavailable, "Tumblr gave no usable answer (status 404)."),
    (plain_reply(""), TumblrUnavailable, "Tumblr's answer could not be read."),
    (plain_reply(PAGE, content_type="text/html"), TumblrUnavailable, "Tumblr's answer could not be read."),
    (plain_reply('{"oauth_token": "otoken-9c3d"}'), TumblrUnavailable, "Tumblr's answer could not be read."),
    (plain_reply("oauth_token=otoken-9c3d"), TumblrUnavailable, "Tumblr's answer could not be read."),
    (plain_reply("oauth_token=&oauth_token_secret=x"), TumblrUnavailable, "Tumblr's answer could not be read."),
    (plain_reply(f"{TOKENS}%0d%0aX: y"), TumblrUnavailable, "Tumblr's answer could not be read."),
    (plain_reply(b"\xff\xfe\x00" * 40), TumblrUnavailable, "Tumblr's answer could not be read."),
    (plain_reply(TOKENS + "&x=" + "y" * 200_000), TumblrUnavailable, "Tumblr's answer could not be read."),
]


@pytest.mark.parametrize("step", [ask, trade])
@pytest.mark.parametrize(("reply", "kind", "sentence"), ANSWERS)
async def test_every_odd_answer_is_a_sentence_without_what_was_in_it(service, caplog, step, reply, kind, sentence):
    caplog.set_level(logging.DEBUG)
    service.replies = [reply]
    with pytest.raises(kind) as caught:
        await step(service)
    assert str(caught.value).startswith(sentence)
    assert len(service.seen) == 1, "a step is made once"
    for secret in SECRETS:
        assert secret not in str(caught.value)
        assert secret not in caplog.text


async def test_refused_keys_name_both_reasons(service):
    service.replies = [plain_reply("", status=401)]
    with pytest.raises(ConnectionFailed, match=r"consumer key and secret.* clock .*oauth/apps"):
        await ask(service)


@pytest.mark.parametrize("step", [ask, trade])
async def test_no_answer_in_time(service, step):
    service.replies = [hang(service)]
    with pytest.raises(TumblrUnavailable, match="took too long"):
        await step(service, deadline=0.3)


@pytest.mark.parametrize("step", [ask, trade])
async def test_nobody_there(service, step):
    service.url = "http://127.0.0.1:9"
    with pytest.raises(TumblrUnavailable):
        await step(service)


async def test_a_caller_who_gives_up_leaves_nothing_behind(service):
    service.replies = [hang(service)]
    waiting = asyncio.create_task(ask(service))
    await service.arrived.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    service.released.set()  # the thread ends, and has nobody to tell: no error may come of it
