"""A stand-in for the few pages of Discord's REST API that `setup` reads, on loopback.

simcord, which the other tests use, lives inside one client; `setup` makes clients of its own, in a process of its own.
`START` is a program that runs the bot's command line with discord.py turned to the address in `DISCORD_REST`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import discord
from aiohttp import web

from bot.client import PERMISSIONS

TOKEN = "stand-in-bot-token"
APPLICATION, BOT, OWNER = 4001, 4002, 4003
READING = discord.Permissions(view_channel=True, read_message_history=True)
# The first terminal that a session opens is its controlling one: Ctrl+C comes from there.
START = """\
import os, runpy
if os.isatty(0):
    os.open(os.ttyname(0), os.O_RDWR)
import discord.http
discord.http.Route.BASE = os.environ["DISCORD_REST"]
runpy.run_module("bot", run_name="__main__")
"""


@dataclass
class Room:
    """A text channel. `everyone` and `bot` are what is allowed and denied there on top of the server's roles."""

    id: int
    name: str
    everyone: tuple[discord.Permissions, discord.Permissions] = (discord.Permissions(0), discord.Permissions(0))
    bot: tuple[discord.Permissions, discord.Permissions] = (discord.Permissions(0), discord.Permissions(0))
    kind: int = 0


@dataclass
class House:
    """A server that the bot is on, with the role that its invite link gave it."""

    id: int
    name: str
    rooms: list[Room]
    role: discord.Permissions = field(default_factory=lambda: PERMISSIONS)


def private(room_id: int, name: str) -> Room:
    """A channel that everybody but the bot is kept out of."""
    nothing = discord.Permissions(0)
    return Room(room_id, name, everyone=(nothing, READING), bot=(PERMISSIONS, nothing))


class DiscordRest:
    def __init__(self):
        self.token = TOKEN
        self.team: str | None = None
        self.houses: list[House] = []
        self.broken = False
        self.requests: list[tuple[str, str]] = []
        self.base_url = ""
        self._runner: web.AppRunner | None = None

    async def start(self):
        application = web.Application(middlewares=[self._admit])
        application.add_routes(
            [
                web.get("/users/@me", self._me),
                web.get("/oauth2/applications/@me", self._application),
                web.get("/users/@me/guilds", self._guilds),
                web.get("/guilds/{id}", self._guild),
                web.get("/guilds/{id}/channels", self._channels),
                web.get("/guilds/{id}/members/{member}", self._member),
                web.get("/applications/{application}/guilds/{id}/commands", self._commands),
                *self.routes(),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def routes(self) -> list[web.RouteDef]:
        """More pages, for those who need them."""
        return []

    async def stop(self):
        assert self._runner is not None
        await self._runner.cleanup()

    @web.middleware
    async def _admit(self, request, handler):
        self.requests.append((request.method, request.path))
        if self.broken:
            return web.Response(status=403, text="a page of a proxy", content_type="text/html")
        if request.headers.get("Authorization") != f"Bot {self.token}":
            return _json({"message": "401: Unauthorized", "code": 0}, status=401)
        return await handler(request)

    async def _me(self, _request):
        return _json(_user(BOT, "ghostwriter", bot=True))

    async def _application(self, _request):
        team = self.team and {"id": "4010", "name": self.team, "icon": None, "owner_user_id": str(OWNER), "members": []}
        return _json(
            {
                "id": str(APPLICATION), "name": "Ghost Writer", "description": "", "icon": None, "bot_public": False,
                "bot_require_code_grant": False, "verify_key": "", "flags": 0, "team": team or None,
                "owner": _user(OWNER, "keeper-of-keys"),
            }
        )  # fmt: skip

    async def _guilds(self, _request):
        return _json([{"id": str(house.id), "name": house.name, "features": []} for house in self.houses])

    def _house(self, request):
        house = next((house for house in self.houses if str(house.id) == request.match_info["id"]), None)
        if house is None:
            raise web.HTTPNotFound
        return house

    async def _guild(self, request):
        house = self._house(request)
        roles = [
            {"id": str(house.id), "name": "@everyone", "permissions": str(READING.value), "position": 0},
            {"id": str(house.id + 1), "name": "ghostwriter", "permissions": str(house.role.value), "position": 1},
        ]
        return _json({"id": str(house.id), "name": house.name, "owner_id": str(OWNER), "roles": roles})

    async def _member(self, request):
        house = self._house(request)
        return _json(
            {
                "user": _user(BOT, "ghostwriter", bot=True), "roles": [str(house.id + 1)], "flags": 0,
                "joined_at": "2026-01-01T00:00:00+00:00", "deaf": False, "mute": False,
            }
        )  # fmt: skip

    async def _commands(self, request):
        self._house(request)
        return _json([])  # the bot has never run

    async def _channels(self, request):
        house = self._house(request)
        return _json(
            [
                {
                    "id": str(room.id), "type": room.kind, "name": room.name, "position": position, "nsfw": False,
                    "bitrate": 64000, "user_limit": 0, "parent_id": None,
                    "permission_overwrites": [_overwrite(house.id, room.everyone), _overwrite(house.id + 1, room.bot)],
                }
                for position, room in reversed(list(enumerate(house.rooms)))
            ]
        )  # fmt: skip


def _json(body, status=200):
    # discord.py takes nothing but this very type for JSON.
    return web.Response(body=json.dumps(body).encode(), status=status, headers={"Content-Type": "application/json"})


def _user(user_id, name, *, bot=False):
    return {"id": str(user_id), "username": name, "discriminator": "0", "avatar": None, "bot": bot}


def _overwrite(role, permissions):
    allow, deny = permissions
    return {"id": str(role), "type": 0, "allow": str(allow.value), "deny": str(deny.value)}
