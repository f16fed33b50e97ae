"""Whatever goes wrong has one defined outcome: the error, how often it is tried, and what is on the blog then.

First the table: every call of the client against every fault, on the stand-in for Tumblr. Then the odd shapes that an
answer can have, each at a read and at a write, from a server that says exactly what the test wants.
"""

import asyncio
import gzip
import json
import logging
import shutil
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass

import pytest
from aiohttp import web

from bot.demo.faults import Fault
from bot.demo.tumblr_service import TumblrService
from bot.drafts import UploadState
from bot.errors import (
    TumblrBlocked,
    TumblrDailyPostsReached,
    TumblrError,
    TumblrForbidden,
    TumblrNotFound,
    TumblrNotSent,
    TumblrOutcomeUnknown,
    TumblrQueueFull,
    TumblrQuotaReached,
    TumblrRefused,
    TumblrUnauthorized,
    TumblrUnavailable,
)
from bot.tumblr.client import Tumblr, TumblrCredentials, post_body
from bot.tumblr.transport import NoAnswer, Request
from tests.tumblr.conftest import CREDENTIALS, SECRETS, UUID, json_reply, npf, page_json, plain_reply

BODY = post_body("Hello.", (), UploadState.DRAFT)
PAGE = "<!DOCTYPE html><html><body>Access denied</body></html>"


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
    assert not any(secret in everything for secret in (*SECRETS, "stand-in-"))
    assert "http" not in everything
    assert service.url.rpartition(":")[2] not in everything
    assert "Access denied" not in everything


# --- the table ------------------------------------------------------------------------------------------------

NEWEST = 613138459105820673
READS = {
    "account": ("/v2/user/info", lambda tumblr: tumblr.account()),
    "limits": ("/v2/user/limits", lambda tumblr: tumblr.limits()),
    "blog": ("/v2/blog/lantern/info", lambda tumblr: tumblr.blog("lantern")),
    "posts": (f"/v2/blog/{UUID}/posts", lambda tumblr: tumblr.posts(UUID, before=1_700_000_100)),
    "one post": ("/v2/blog/lantern/posts", lambda tumblr: tumblr.posts("lantern", post_id=str(NEWEST))),
    "drafts": ("/v2/blog/lantern/posts/draft", lambda tumblr: tumblr.drafts("lantern")),
    "queue": ("/v2/blog/lantern/posts/queue", lambda tumblr: tumblr.queue("lantern", offset=1)),
}
WRITE = ("/v2/blog/lantern/posts", lambda tumblr: tumblr.create_post("lantern", BODY))
DELETE = ("/v2/blog/lantern/post/delete", lambda tumblr: tumblr.delete_post("lantern", str(NEWEST)))
CALLS = {**READS, "create post": WRITE, "delete post": DELETE}
SLOW = 0.2  # seconds that a call may take where the service takes for ever
LIMIT = {"meta": {"status": 429, "msg": "Limit Exceeded"}, "response": []}


def budget(*, hour):
    values = {"Perhour-Limit": 1000, "Perhour-Remaining": hour, "Perhour-Reset": 1800, "Perday-Limit": 5000, "Perday-Remaining": 4000, "Perday-Reset": 40000}  # fmt: skip
    return {f"X-Ratelimit-{name}": str(value) for name, value in values.items()}


def problem(status, code=0):
    return {"meta": {"status": status}, "response": [], "errors": [{"title": "No", "code": code, "detail": "A joke."}]}


@dataclass(frozen=True)
class Row:
    """A fault and what must come of it. None for an error: the call succeeds."""

    name: str
    fault: Fault | str
    """What happens to the call, or the name of what has happened to the world before."""
    read: type[TumblrError] | None
    write: type[TumblrError] | None
    made: int = 0
    """Posts that the write has made or deleted, whatever its answer was."""
    wait: float | None = None
    """Seconds for which the account's next calls, of any kind, are refused without being sent."""
    spares: tuple[str, ...] = ()
    """Calls to which it makes no difference."""
    deadline: float = 20.0


def fault(kind, status=500, body=None, headers=None, *, act=False):
    return Fault("*", "*", kind, status, body, headers or {}, times=9, act=act)


REACH = ("account", "limits")  # what does not ask for a blog
ROWS = [
    # name, fault, error of a read, error of the write
    Row("429 with Retry-After", fault("status", 429, LIMIT, {"Retry-After": "120"}), TumblrQuotaReached, TumblrQuotaReached, wait=120),
    Row("429 with the hour used up", fault("status", 429, LIMIT, budget(hour=0)), TumblrQuotaReached, TumblrQuotaReached, wait=1800),
    Row("429 with budget left", fault("status", 429, LIMIT, budget(hour=900)), TumblrQuotaReached, TumblrQuotaReached, wait=60),
    Row("429 without headers", fault("status", 429, LIMIT), TumblrQuotaReached, TumblrQuotaReached, wait=60),
    Row("429 page", fault("html", 429), TumblrBlocked, TumblrOutcomeUnknown, wait=3600),
    Row("401", fault("status", 401, problem(401, 1016)), TumblrUnauthorized, TumblrUnauthorized),
    Row("403", fault("status", 403, problem(403)), TumblrForbidden, TumblrForbidden),
    Row("403 queue full", fault("status", 403, problem(403, 8022)), TumblrQueueFull, TumblrQueueFull),
    Row("403 daily posts", fault("status", 403, problem(403, 8023)), TumblrDailyPostsReached, TumblrDailyPostsReached),
    Row("403 page", fault("html", 403), TumblrBlocked, TumblrOutcomeUnknown, wait=3600),
    Row("404", fault("status", 404, problem(404)), TumblrNotFound, TumblrNotFound),
    Row("404 dashboard only", fault("status", 404, problem(404, 4012)), TumblrNotFound, TumblrNotFound),
    Row("404 the blog is gone", "no blog", TumblrNotFound, TumblrNotFound, spares=REACH),
    Row("404 the post is gone", "no post", TumblrNotFound, None, made=1, spares=(*REACH, "blog", "posts", "drafts", "queue")),
    Row("500", fault("status", 500, problem(500)), TumblrUnavailable, TumblrOutcomeUnknown),
    Row("500 after the act", fault("status", 500, problem(500), act=True), TumblrUnavailable, TumblrOutcomeUnknown, made=1),
    Row("504", fault("html", 504), TumblrUnavailable, TumblrOutcomeUnknown),
    Row("504 after the act", fault("html", 504, act=True), TumblrUnavailable, TumblrOutcomeUnknown, made=1),
    Row("reset", fault("reset_before"), TumblrUnavailable, TumblrOutcomeUnknown),
    Row("reset after the act", fault("reset_after"), TumblrUnavailable, TumblrOutcomeUnknown, made=1),
    Row("truncated", fault("truncated"), TumblrUnavailable, TumblrOutcomeUnknown, made=1),
    Row("drip", fault("drip"), TumblrUnavailable, TumblrOutcomeUnknown, deadline=SLOW),
    Row("drip after the act", fault("drip", act=True), TumblrUnavailable, TumblrOutcomeUnknown, made=1, deadline=SLOW),
    Row("hang", fault("hang"), TumblrUnavailable, TumblrOutcomeUnknown, deadline=SLOW),
    Row("hang after the act", fault("hang", act=True), TumblrUnavailable, TumblrOutcomeUnknown, made=1, deadline=SLOW),
    Row("empty", fault("empty", 200), TumblrUnavailable, TumblrOutcomeUnknown),
    Row("empty after the act", fault("empty", 201, act=True), TumblrUnavailable, TumblrOutcomeUnknown, made=1),
    Row("wrong content type", fault("wrong_type"), None, None, made=1),
    Row("connection refused", "no service", TumblrUnavailable, TumblrNotSent),
]  # fmt: skip


@pytest.fixture
async def stand_in():
    service = TumblrService()
    service.url = await service.start()
    blog = service.add_blog("lantern", uuid=UUID)
    for number in range(3):
        content = [{"type": "text", "text": f"Post {number}."}]
        service.add_post(blog, {"id": NEWEST - number, "content": content, "timestamp": 1_700_000_000 - number})
    yield service
    await service.stop()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
async def test_the_fault_table(stand_in, row, call):
    blog = stand_in.blogs["lantern"]
    credentials = TumblrCredentials(*stand_in.credentials())
    tumblr = Tumblr(credentials, api_url=stand_in.url, deadline=row.deadline, retry_wait=0)
    path, ask = CALLS[call]
    is_write = call in {"create post", "delete post"}
    expected = row.write if is_write else None if call in row.spares else row.read
    if (row.fault, call) == ("no post", "delete post"):
        expected = TumblrNotFound
    await happens(stand_in, row.fault)
    posts = len(blog.posts)

    if expected is None:
        await ask(tumblr)
    else:
        with pytest.raises(TumblrError) as caught:
            await ask(tumblr)
        assert type(caught.value) is expected
        check_words(caught.value, stand_in)

    # A read that found Tumblr unavailable is tried three times; nothing else is ever sent twice.
    tries = 3 if expected is TumblrUnavailable else 1
    assert len(stand_in.requests) == (0 if row.fault == "no service" else tries)
    assert all(request.path == path for request in stand_in.requests)
    assert len(blog.drafts) == (row.made if call == "create post" else 0)
    assert posts - len(blog.posts) == (row.made if call == "delete post" and expected is not TumblrNotFound else 0)
    assert tumblr.governor.held_until == (None if row.wait is None else pytest.approx(time.time() + row.wait, abs=5))
    if row.wait is not None:
        assert expected is TumblrOutcomeUnknown or caught.value.retry_at == tumblr.governor.held_until
        stand_in.faults.clear()
        refusal = TumblrBlocked if row.wait == 3600 else TumblrQuotaReached
        for _, following in CALLS.values():
            with pytest.raises(refusal) as caught:
                await following(tumblr)
            assert caught.value.retry_at == tumblr.governor.held_until
            check_words(caught.value, stand_in)
        assert len(stand_in.requests) == tries
        assert len(blog.drafts) == 0
    stand_in.faults.clear()
    await tumblr.close()


async def happens(stand_in, fault):
    match fault:
        case Fault():
            stand_in.faults.schedule(fault)
        case "no blog":
            del stand_in.blogs["lantern"]
        case "no post":
            stand_in.delete_post(stand_in.blogs["lantern"], NEWEST)
        case "no service":
            await stand_in.stop()


# --- odd shapes -----------------------------------------------------------------------------------------------

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
    ("packed", good(encoding="gzip"), (None, None)),
    ("half a document", cut_json, UNAVAILABLE),
    ("no http at all", no_http, UNAVAILABLE),
    ("not really packed", plain_reply("{}", headers={"Content-Encoding": "gzip"}), UNAVAILABLE),
    ("unpacks without end", bomb, UNAVAILABLE),
    ("sends without end", flood, UNAVAILABLE),
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
    ("401 oauth2", plain_reply('{"error":"invalid_token","error_description":"x"}', status=401), both(TumblrUnauthorized)),
    ("401 bare", plain_reply("", status=401), (TumblrUnauthorized, TumblrOutcomeUnknown)),
    ("403 json", json_reply({"error": "no"}, status=403), both(TumblrForbidden)),
    ("403 html called json", plain_reply("\ufeff \n" + PAGE, status=403, content_type="application/json"), (TumblrBlocked, TumblrOutcomeUnknown)),
    ("404 json", json_reply([], status=404, errors=[{"code": 0, "title": "Not Found"}]), both(TumblrNotFound)),
    ("404 html", html(404), (TumblrNotFound, TumblrOutcomeUnknown)),
    ("408", json_reply([], status=408), UNAVAILABLE),
    ("413 json", json_reply([], status=413), both(TumblrRefused)),
    ("413 html", html(413), (TumblrRefused, TumblrOutcomeUnknown)),
    ("429 empty", plain_reply("", status=429), (TumblrQuotaReached, TumblrOutcomeUnknown)),
    ("502 html", html(502), UNAVAILABLE),
    ("503 empty", plain_reply("", status=503), UNAVAILABLE),
    ("504 json", json_reply([], status=504), UNAVAILABLE),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "errors"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
async def test_every_answer_has_one_meaning(service, make_tumblr, caplog, reply, errors):
    caplog.set_level(logging.DEBUG)
    service.replies = [reply]
    read_error, write_error = errors
    # Two clients, two governors: the second call is made although the first met a pause.
    reading, writing = make_tumblr(), make_tumblr()
    for call, error in (
        (lambda: reading.posts("staff"), read_error),
        (lambda: writing.create_post("staff", BODY), write_error),
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


@pytest.mark.parametrize("reply", [drip_packed, drip_headers])
async def test_no_server_holds_a_call_past_its_deadline(service, make_tumblr, reply):
    service.replies = [reply]
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


@pytest.mark.parametrize(
    ("code", "kind"), [(8022, TumblrQueueFull), (8023, TumblrDailyPostsReached), (0, TumblrForbidden)]
)
async def test_only_the_code_counts_never_the_words(service, tumblr, code, kind):
    words = "You have reached your daily post limit, and your queue is full. (8022, 8023)"
    service.replies = [json_reply(words, status=403, errors=[words, {"code": code, "title": words, "detail": words}])]
    with pytest.raises(TumblrForbidden) as caught:
        await tumblr.create_post("staff", BODY)
    assert type(caught.value) is kind


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
