"""Whatever goes wrong, at a read and at a write: each has one defined error."""

import asyncio
import gzip
import json
import logging
import shutil
import socket
import ssl
import subprocess

import pytest
from aiohttp import web

from bot.drafts import UploadState
from bot.errors import (
    TumblrError,
    TumblrForbidden,
    TumblrNotFound,
    TumblrNotSent,
    TumblrOutcomeUnknown,
    TumblrQuotaReached,
    TumblrRefused,
    TumblrUnauthorized,
    TumblrUnavailable,
)
from bot.tumblr.client import post_body
from bot.tumblr.transport import NoAnswer, Request
from tests.tumblr.conftest import CREDENTIALS, SECRETS, UUID, hang, json_reply, npf, page_json, plain_reply

BODY = post_body("Hello.", (), UploadState.DRAFT)
PAGE = "<!DOCTYPE html><html><body>Access denied</body></html>"

# One answer that is good for a read and for a write alike.
GOOD = page_json(npf()) | {"id": "5", "state": "draft", "blog": {"name": "staff", "uuid": UUID}}


def html(status):
    return plain_reply(PAGE, status=status, content_type="text/html")


def good(*, content_type="application/json", status=200, encoding=None):
    body = json.dumps({"meta": {"status": status, "msg": "OK"}, "response": GOOD}).encode()
    if encoding:
        body = gzip.compress(body)
    return plain_reply(
        body, status=status, content_type=content_type, headers={"Content-Encoding": encoding} if encoding else None
    )


async def truncated(request):
    body = json.dumps({"meta": {"status": 200}, "response": GOOD}).encode()
    answer = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await answer.prepare(request)
    await answer.write(body[: len(body) // 2])
    request.transport.close()
    return answer


async def cut_json(request):
    """As long as it says, but half a document."""
    return await plain_reply('{"meta":{"status":200},"response":{"posts":[', content_type="application/json")(request)


async def drip(request):
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)
    while not request.transport.is_closing():
        await answer.write(b" ")
        await asyncio.sleep(0.05)
    return answer


async def drip_packed(request):
    """Packed, and dripping, and never anything to read."""
    packed = gzip.compress(b" " * 1000)
    answer = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})
    await answer.prepare(request)
    await answer.write(packed[:12])
    while not request.transport.is_closing():
        await answer.write(b"")
        await asyncio.sleep(0.05)
    return answer


async def drip_headers(request):
    request.transport.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not request.transport.is_closing():
        request.transport.write(b"x")
        await asyncio.sleep(0.05)
    return web.Response()


async def reset(request):
    request.transport.abort()
    return web.Response()


async def no_http(request):
    request.transport.write(b"SSH-2.0-OpenSSH_9.9\r\n")
    request.transport.close()
    return web.Response()


HUGE = b" " * (33 << 20) + json.dumps({"meta": {"status": 200}, "response": GOOD}).encode()


async def bomb(_request):
    return web.Response(body=gzip.compress(HUGE, 1), headers={"Content-Encoding": "gzip"})


async def flood(_request):
    return web.Response(body=HUGE)


def redirect(status):
    return plain_reply("", status=status, headers={"Location": "/v2/elsewhere"})


UNAVAILABLE = (TumblrUnavailable, TumblrOutcomeUnknown)


def both(error):
    return (error, error)


# name, answer, (error of a read, error of a write); None: it succeeds.
FAULTS = [
    ("called text/html", good(content_type="text/html"), (None, None)),
    ("packed", good(encoding="gzip"), (None, None)),
    ("truncated", truncated, UNAVAILABLE),
    ("half a document", cut_json, UNAVAILABLE),
    ("reset", reset, UNAVAILABLE),
    ("no http at all", no_http, UNAVAILABLE),
    ("not really packed", plain_reply("{}", headers={"Content-Encoding": "gzip"}), UNAVAILABLE),
    ("unpacks without end", bomb, UNAVAILABLE),
    ("sends without end", flood, UNAVAILABLE),
    ("200 empty", plain_reply(""), UNAVAILABLE),
    ("200 html", html(200), UNAVAILABLE),
    ("200 text", plain_reply("OK"), UNAVAILABLE),
    ("200 list", plain_reply("[]"), UNAVAILABLE),
    ("200 nonsense", json_reply({"id": "not a number", "posts": 3}), UNAVAILABLE),
    ("200 empty list", json_reply([]), UNAVAILABLE),
    ("200 bottomless", plain_reply("[" * 200_000), UNAVAILABLE),
    ("204", plain_reply("", status=204), UNAVAILABLE),
    ("301", redirect(301), UNAVAILABLE),
    ("302", redirect(302), UNAVAILABLE),
    ("307", redirect(307), UNAVAILABLE),
    ("200 with an inner 401", json_reply([], meta_status=401), both(TumblrUnauthorized)),
    ("200 with an inner 500", json_reply([], meta_status=500), UNAVAILABLE),
    ("400 8001", json_reply([], status=400, errors=[{"code": 8001, "title": "Bad Request", "detail": "Nope."}]), both(TumblrRefused)),
    ("400 8002", json_reply({"errors": ["no", {"code": "8002"}]}, status=400), both(TumblrRefused)),
    ("400 text", json_reply("bad", status=400), both(TumblrRefused)),
    ("401 errors", json_reply([], status=401, errors=[{"code": 1016, "title": "Unauthorized", "detail": "haiku"}]), both(TumblrUnauthorized)),
    ("401 oauth2", plain_reply('{"error":"invalid_token","error_description":"x"}', status=401), both(TumblrUnauthorized)),
    ("401 bare", plain_reply("", status=401), (TumblrUnauthorized, TumblrOutcomeUnknown)),
    ("403 json", json_reply({"error": "no"}, status=403), both(TumblrForbidden)),
    ("403 queue full", json_reply([], status=403, errors=[{"code": 8022}]), both(TumblrForbidden)),
    ("403 daily posts", json_reply([], status=403, errors=[{"code": 8023}]), both(TumblrForbidden)),
    ("403 html", html(403), (TumblrForbidden, TumblrOutcomeUnknown)),
    ("403 html called json", plain_reply("\ufeff \n" + PAGE, status=403, content_type="application/json"), (TumblrForbidden, TumblrOutcomeUnknown)),
    ("404 json", json_reply([], status=404, errors=[{"code": 0, "title": "Not Found"}]), both(TumblrNotFound)),
    ("404 dashboard", json_reply([], status=404, errors=[{"code": 4012}]), both(TumblrNotFound)),
    ("404 html", html(404), (TumblrNotFound, TumblrOutcomeUnknown)),
    ("408", json_reply([], status=408), UNAVAILABLE),
    ("413 json", json_reply([], status=413), both(TumblrRefused)),
    ("413 html", html(413), (TumblrRefused, TumblrOutcomeUnknown)),
    ("429 json", json_reply([], status=429), both(TumblrQuotaReached)),
    ("429 empty", plain_reply("", status=429), (TumblrQuotaReached, TumblrOutcomeUnknown)),
    ("429 html", html(429), (TumblrForbidden, TumblrOutcomeUnknown)),
    ("500 json", json_reply([], status=500), UNAVAILABLE),
    ("500 html", html(500), UNAVAILABLE),
    ("502 html", html(502), UNAVAILABLE),
    ("503 empty", plain_reply("", status=503), UNAVAILABLE),
    ("504 html", html(504), UNAVAILABLE),
    ("504 json", json_reply([], status=504), UNAVAILABLE),
]  # fmt: skip

SLOW = [("drip", drip), ("drip packed", drip_packed), ("drip headers", drip_headers), ("hang", None)]


def said(error):
    """Everything that a log or a person could see of an error."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error), repr(error.args)]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


def check_words(error, service):
    assert isinstance(error, TumblrError)
    for sentence in (error.sentence, error.next_step):
        assert sentence.endswith(".")
        assert "!" not in sentence
    everything = said(error)
    assert not any(secret in everything for secret in SECRETS)
    assert "http" not in everything
    assert service.url.rpartition(":")[2] not in everything
    assert "Access denied" not in everything


@pytest.mark.parametrize(("reply", "errors"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
async def test_every_answer_has_one_meaning(service, tumblr, caplog, reply, errors):
    caplog.set_level(logging.DEBUG)
    service.replies = [reply]
    read_error, write_error = errors
    for call, error in (
        (lambda: tumblr.posts("staff"), read_error),
        (lambda: tumblr.create_post("staff", BODY), write_error),
    ):
        service.seen.clear()
        if error is None:
            await call()
        else:
            with pytest.raises(TumblrError) as caught:
                await call()
            assert type(caught.value) is error
            check_words(caught.value, service)
        # A read that found Tumblr unavailable is tried three times; nothing else is ever sent twice.
        assert len(service.seen) == (3 if error is TumblrUnavailable else 1)
        assert all(seen.path == "/v2/blog/staff/posts" for seen in service.seen)
    assert not any(secret in caplog.text for secret in SECRETS)


@pytest.mark.parametrize("reply", [slow[1] for slow in SLOW], ids=[slow[0] for slow in SLOW])
async def test_no_server_holds_a_call_past_its_deadline(service, make_tumblr, reply):
    service.replies = [reply or hang(service)]
    tumblr = make_tumblr(deadline=0.2)
    for call, error in (
        (tumblr.posts("staff"), TumblrUnavailable),
        (tumblr.create_post("staff", BODY), TumblrOutcomeUnknown),
    ):
        with pytest.raises(error) as caught:
            await call
        check_words(caught.value, service)
        assert "too long" in caught.value.sentence
    # A thread that could not be stopped is left behind: the next call works.
    service.replies = [good()]
    assert len((await tumblr.posts("staff")).posts) == 1
    assert (await tumblr.create_post("staff", BODY)).id == "5"


async def test_the_thread_itself_gives_up_on_a_server_that_drips(service):
    service.replies = [drip]
    request = Request(CREDENTIALS, api_url=service.url, deadline=0.2, keep_alive=False)
    assert await asyncio.to_thread(request.get, "/x") == NoAnswer(sent=True, reason="took too long to answer")


async def test_what_never_connected_was_not_sent(service, make_tumblr, unused_tcp_port):
    tumblr = make_tumblr(url=f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(TumblrUnavailable) as caught:
        await tumblr.posts("staff")
    check_words(caught.value, service)
    with pytest.raises(TumblrNotSent) as caught:
        await tumblr.create_post("staff", BODY)
    check_words(caught.value, service)


async def test_a_name_that_does_not_resolve_was_not_sent(service, make_tumblr, monkeypatch):
    def unknown(*_):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    tumblr = make_tumblr(url="https://api.invalid")
    with pytest.raises(TumblrNotSent) as caught:
        await tumblr.create_post("staff", BODY)
    check_words(caught.value, service)
    assert "invalid" not in said(caught.value)


@pytest.fixture
def self_signed(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {key} -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


async def test_nothing_is_sent_to_a_server_that_does_not_prove_who_it_is(service, make_tumblr, self_signed):
    bytes_received = []

    async def connected(reader, writer):
        bytes_received.append(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=self_signed)
    tumblr = make_tumblr(url=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    with pytest.raises(TumblrNotSent) as caught:
        await tumblr.create_post("staff", BODY)
    check_words(caught.value, service)
    assert "certificate" in caught.value.sentence
    assert not any(bytes_received)
    server.close()


async def test_a_server_that_speaks_no_tls_is_an_unknown_outcome(service, make_tumblr):
    service.replies = [good()]
    tumblr = make_tumblr(url=service.url.replace("http:", "https:"))
    with pytest.raises(TumblrOutcomeUnknown):
        await tumblr.create_post("staff", BODY)
    assert service.seen == []


@pytest.mark.parametrize("fault", ["answers 504", "resets", "cuts its answer"])
async def test_a_write_that_was_acted_upon_is_never_sent_again(service, tumblr, fault):
    made = []

    async def act_then_fail(request):
        made.append(json.loads(await request.read()))
        return await {"answers 504": html(504), "resets": reset, "cuts its answer": truncated}[fault](request)

    service.replies = [act_then_fail]
    with pytest.raises(TumblrOutcomeUnknown):
        await tumblr.create_post("staff", BODY)
    assert made == [BODY]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (html(403), "blocks this machine's address"),
        (html(429), "blocks this machine's address"),
        (json_reply([], status=403, errors=[{"code": 8022}]), "queue is full"),
        (json_reply([], status=403, errors=[{"code": 8023}]), "posts a day"),
        (json_reply([], status=404, errors=[{"code": 4012}]), "logged in"),
        (json_reply({"errors": [{"code": 8002}]}, status=400), "reblog"),
    ],
)
async def test_codes_have_their_own_sentences(service, tumblr, reply, words):
    service.replies = [reply]
    with pytest.raises(TumblrError) as caught:
        await tumblr.posts("staff")
    assert words in str(caught.value)


async def test_a_connection_that_died_while_idle_does_not_fail_a_read(service, tumblr):
    service.replies = [good()]
    await tumblr.posts("staff")

    async def good_then_close(request):
        answer = await good()(request)
        await answer.prepare(request)
        await answer.write_eof()
        request.transport.close()
        return answer

    service.replies = [good_then_close, good()]
    for _ in range(2):
        assert len((await tumblr.posts("staff")).posts) == 1
