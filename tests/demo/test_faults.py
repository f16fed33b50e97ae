"""The schedule of failures, played by a small server to a real client."""

import asyncio
import contextlib

import aiohttp
import pytest
from aiohttp import web

from bot.demo.faults import Fault, Faults

CUT = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


class Server:
    """Counts what it acts upon."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.acted = 0
        self.url = ""

    async def act(self, request: web.Request) -> web.Response:
        await request.read()
        self.acted += 1
        return web.json_response({"acted": self.acted})


@pytest.fixture
async def server():
    server = Server()
    app = web.Application(middlewares=[server.faults.middleware])
    app.router.add_route("*", "/{path:.*}", server.act)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    server.faults.release()
    await runner.cleanup()


@pytest.fixture
async def client():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as client:
        yield client


async def ask(client, server, path="/a", method="GET"):
    async with client.request(method, server.url + path, data=b"{}" if method == "POST" else None) as answer:
        return answer.status, await answer.read()


async def test_without_a_fault_the_answer_is_the_servers(server, client):
    assert await ask(client, server) == (200, b'{"acted": 1}')
    assert server.faults.served == []


async def test_a_fault_matches_method_and_path_and_counts(server, client):
    server.faults.schedule(Fault("POST", "/v2/blog/*/posts", "status", status=503, times=2, after=1))
    statuses = [(await ask(client, server, "/v2/blog/x/posts", "POST"))[0] for _ in range(4)]
    assert statuses == [200, 503, 503, 200]
    server.faults.schedule(Fault("POST", "/v2/blog/*/posts", "status", status=503))
    assert (await ask(client, server, "/v2/blog/x/posts"))[0] == 200
    assert (await ask(client, server, "/v2/blog/x/info", "POST"))[0] == 200
    assert [(served.method, served.path) for served in server.faults.served] == [("POST", "/v2/blog/x/posts")] * 2


async def test_any_method_and_the_first_of_several(server, client):
    server.faults.schedule(Fault("*", "*", "status", status=502), Fault("*", "*", "status", status=503))
    assert [(await ask(client, server, method=method))[0] for method in ("GET", "POST", "GET")] == [502, 503, 200]


async def test_clear_forgets_what_is_scheduled(server, client):
    server.faults.schedule(Fault("*", "*", "status"))
    server.faults.clear()
    assert (await ask(client, server))[0] == 200


async def test_a_status_brings_its_body_and_headers(server, client):
    server.faults.schedule(
        Fault("GET", "*", "status", status=429, body={"error": 1}, headers={"Retry-After": "7"}),
        Fault("GET", "*", "status", status=500, body="plain"),
    )
    async with client.get(server.url + "/a") as answer:
        assert (answer.status, await answer.json(), answer.headers["Retry-After"]) == (429, {"error": 1}, "7")
    assert await ask(client, server) == (500, b"plain")
    assert server.acted == 0


async def test_a_status_after_the_act(server, client):
    server.faults.schedule(Fault("POST", "*", "status", status=504, act=True))
    assert (await ask(client, server, method="POST"))[0] == 504
    assert server.acted == 1


async def test_html_and_empty(server, client):
    server.faults.schedule(Fault("GET", "*", "html", status=403), Fault("GET", "*", "empty", status=200))
    async with client.get(server.url + "/a") as answer:
        assert (answer.status, answer.content_type) == (403, "text/html")
        assert (await answer.text()).startswith("<!DOCTYPE html>")
    assert await ask(client, server) == (200, b"")


@pytest.mark.parametrize(("kind", "acted"), [("reset_before", 0), ("reset_after", 1)])
async def test_resets_differ_in_what_was_done(server, client, kind, acted):
    server.faults.schedule(Fault("POST", "*", kind))
    with pytest.raises(CUT):
        await ask(client, server, method="POST")
    assert server.acted == acted
    assert (await ask(client, server))[0] == 200


async def test_a_truncated_answer_was_acted_upon(server, client):
    server.faults.schedule(Fault("GET", "*", "truncated"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await ask(client, server)
    assert server.acted == 1


async def test_a_wrong_type_keeps_the_body(server, client):
    server.faults.schedule(Fault("GET", "*", "wrong_type"))
    async with client.get(server.url + "/a") as answer:
        assert (answer.content_type, await answer.read()) == ("text/html", b'{"acted": 1}')


async def test_a_hanging_call_is_let_go_on_release(server, client):
    server.faults.schedule(Fault("POST", "*", "hang"))
    call = asyncio.create_task(ask(client, server, method="POST"))  # a GET would be asked again by aiohttp
    done, _ = await asyncio.wait({call}, timeout=0.2)
    assert not done
    server.faults.release()
    with pytest.raises(CUT):
        await call
    assert server.acted == 0


async def test_a_drip_goes_on_until_it_is_released(server, client):
    server.faults.schedule(Fault("GET", "*", "drip"))
    async with client.get(server.url + "/a") as answer:
        assert await answer.content.readexactly(3) == b"   "
        server.faults.release()
        with pytest.raises(aiohttp.ClientError):
            await answer.read()
    assert server.acted == 0


async def test_a_client_that_leaves_a_drip_does_no_harm(server, client):
    server.faults.schedule(Fault("GET", "*", "drip"))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            await ask(client, server)
    assert (await ask(client, server))[0] == 200
