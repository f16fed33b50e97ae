"""What `run` says when Discord does not let the connection stand: a sentence, whatever way it was that it said no."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import discord
import discord.http
import pytest
import yarl
from aiohttp import web
from discord.gateway import DiscordWebSocket

from bot.__main__ import _stay_connected
from bot.errors import BotError, SettingsError
from tests.setup.discord_rest import TOKEN, DiscordRest


@contextlib.asynccontextmanager
async def gateway_that_closes_with(code: int) -> AsyncIterator[str]:
    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": 41_250}, "s": None, "t": None})
        await socket.receive()  # who it is
        await socket.close(code=code)
        return socket

    application = web.Application()
    application.add_routes([web.get("/", serve)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def refusal(token: str) -> BotError:
    async with asyncio.timeout(60):
        with pytest.raises(BotError) as refused:
            await _stay_connected(discord.Client(intents=discord.Intents.none()), token)  # type: ignore[arg-type]
    return refused.value


async def test_each_way_in_which_discord_ends_it_has_a_sentence(monkeypatch: pytest.MonkeyPatch):
    rest = DiscordRest()
    await rest.start()
    monkeypatch.setattr(discord.http.Route, "BASE", rest.base_url)
    refused = await refusal("another-token")
    assert isinstance(refused, SettingsError)
    assert "Discord does not accept it" in refused.problems[0]
    # The token is reset in the developer portal while the bot runs; and a version of the API that is no more.
    for code, kind in ((4004, SettingsError), (4012, BotError)):
        async with gateway_that_closes_with(code) as address:
            monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(address))
            refused = await refusal(TOKEN)
            assert type(refused) is kind, code
    assert refused.sentence == "Discord cannot be reached."
    await rest.stop()

    # Something stands between that takes calls and hangs up.
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        monkeypatch.setattr(discord.http.Route, "BASE", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert (await refusal(TOKEN)).sentence == "Discord cannot be reached."
