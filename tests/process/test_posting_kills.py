"""kill -9 of a real process after Discord took a message, before that was noted down: it stands there once."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from aiohttp import web

from bot.drafts import UploadState
from bot.store import comparisons, drafts, jobs, voices
from bot.store.comparisons import Verdict
from bot.store.database import Database
from bot.store.drafts import NewDraft
from bot.training import Voice, VoiceKind
from tests.setup.discord_rest import BOT, DiscordRest, _json, _user

ALLOWANCE = {"X-Ratelimit-Limit": "50", "X-Ratelimit-Remaining": "49", "X-Ratelimit-Reset-After": "1"}
REPOSITORY = Path(__file__).parents[2]
OPEN, CLOSED, DIRECT, REQUESTER = 7, 8, 9, 77
LEFT_TO_NOTE = """
    SELECT 'draft' FROM drafts WHERE message_id IS NULL
    UNION SELECT 'round' FROM comparison_rounds WHERE message_id IS NULL
    UNION SELECT 'job ' || id FROM jobs WHERE message_final = 0
    UNION SELECT 'ending' FROM voices WHERE active = 1 AND warned_days IS NULL
    UNION SELECT wanted.value FROM json_each(?) wanted LEFT JOIN facts ON name = wanted.value WHERE name IS NULL
"""
FACTS = ("warned of monthly_limit", "reminded of drafts on", "told of the checks at the start")
TITLES = {
    "Downloading posts",  # in its channel
    "Screening training data",  # as a direct message, where the channel is closed
    "Draft",
    "Round 1 of 1: which is better?",
    "The voice that writes now has stopped",
    "Little is left of the budget",
    "1 draft waits for a decision: /drafts review.",
    "need your attention",
}


class Channels(DiscordRest):
    """Discord's messages too. `on_posted` is called when one is there and the bot has not been told so; it may answer."""

    def __init__(self):
        super().__init__()
        self.messages: list[dict[str, Any]] = []
        self.on_posted: Callable[[], Awaitable[Any]] = _nothing
        self._called: set[int] = set()
        self._ids = itertools.count(1000)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/channels/{channel}/messages", self._post),
            web.patch("/channels/{channel}/messages/{message}", self._edit),
            web.post("/users/@me/channels", self._direct),
            web.get("/users/{user}", self._somebody),
        ]

    async def _post(self, request: web.Request) -> web.StreamResponse:
        channel, body = int(request.match_info["channel"]), await _body(request)
        if channel not in self._called:
            # discord.py sends one message after the other until an answer has told it that it may send more at once.
            self._called.add(channel)
            return web.Response(status=502, headers=ALLOWANCE)
        if channel == CLOSED:
            return _json({"message": "Missing Access", "code": 50001}, status=403)
        assert body["enforce_nonce"]
        assert len(body["nonce"]) == 24, "none of ours: discord.py's own are other ones after a restart"
        for message in self.messages:
            if message["nonce"] == body["nonce"]:
                return _json(message)
        message = {
            "id": str(next(self._ids)), "channel_id": str(channel), "author": _user(BOT, "ghostwriter", bot=True),
            "content": "", "embeds": [], "attachments": [], "mentions": [], "mention_roles": [], "type": 0,
            "mention_everyone": False, "pinned": False, "tts": False, "edited_timestamp": None,
            "timestamp": datetime.now(UTC).isoformat(), "components": [],
        }  # fmt: skip
        self.messages.append(message | body)
        return await self.on_posted() or _json(self.messages[-1])

    async def _edit(self, request: web.Request) -> web.StreamResponse:
        message = next(found for found in self.messages if found["id"] == request.match_info["message"])
        message |= await _body(request)
        return _json(message)

    async def _direct(self, request: web.Request) -> web.StreamResponse:
        assert (await request.json())["recipient_id"] == REQUESTER
        return _json({"id": str(DIRECT), "type": 1, "recipients": [_user(REQUESTER, "odile")]})

    async def _somebody(self, request: web.Request) -> web.StreamResponse:
        return _json(_user(int(request.match_info["user"]), "odile"))


async def _nothing() -> None:
    """The usual answer will do."""


async def _body(request: web.Request) -> dict[str, Any]:
    if request.content_type == "application/json":
        return await request.json()
    return json.loads(str((await request.post())["payload_json"])) | {"attachments": []}


def words(message: dict[str, Any]) -> str:
    """What tells a message from others."""
    (embed,) = message["embeds"][:1] or [{}]
    if embed.get("footer", {}).get("text", "").startswith("Draft "):
        return "Draft"
    title = embed.get("title") or message["content"]
    return "need your attention" if title.endswith("need your attention") else title


async def fill(config: Path) -> None:
    """Let there be one message of each kind to post."""
    now = time.time()
    database = await Database.open(config.parent / "data" / "bot.sqlite3")
    voice = Voice(
        0, VoiceKind.FEW_SHOT, "lamp", "m", "http://127.0.0.1:9/v1", None, "d", "u", 0.0, active=True, created_at=now
    )
    async with database.write() as connection:
        one = await voices.add_voice(connection, replace(voice, active=False, name="gull"))
        other = await voices.add_voice(connection, voice)
        await voices.note_shutdown(connection, other, datetime.now(UTC).date() - timedelta(days=1), now=now)
        for kind, channel in (("download", OPEN), ("moderate", CLOSED)):
            job = await jobs.insert_job(
                connection, kind, {}, requested_by="odile", requester_id=REQUESTER, channel_id=channel, now=now
            )
            await connection.execute(
                "UPDATE jobs SET state = 'failed', error = 'It broke.', finished_at = ? WHERE id = ?", (now, job.id)
            )
        draft = NewDraft("the light is lit.", (), "p", one, None, None, None, "blog", UploadState.DRAFT, 0.0)
        await drafts.add_draft(connection, draft, now=now)
        comparison = await comparisons.add_comparison(
            connection, job_id=1, one_id=one, other_id=other, rounds=[("the fog", True)], now=now
        )
        for side in (Verdict.ONE, Verdict.OTHER):
            await comparisons.store_text(connection, comparison, 1, side, f"fog, says {side}")
        await connection.execute(
            "INSERT INTO spending (at, purpose, model, reserved, spent) VALUES (?, 'generate', 'm', 0.9, 0.9)", (now,)
        )
    await database.close()


def left_to_note(config: Path) -> list[str]:
    with closing(sqlite3.connect(config.parent / "data" / "bot.sqlite3")) as connection:
        return [row[0] for row in connection.execute(LEFT_TO_NOTE, (json.dumps(FACTS),))]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(
        tomlkit.dumps(
            {
                "data_directory": str(tmp_path / "data"),
                "discord": {"channel_id": OPEN},
                "budget": {"monthly_limit": 1.0},
                "review": {"reminder_hour": 0},
            }
        )
    )
    (tmp_path / "data").mkdir()
    return path


async def start(config: Path, channels: Channels) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.process.posting_process", str(config)),
        cwd=REPOSITORY,
        env={**os.environ, "DISCORD_REST": channels.base_url},
        stderr=asyncio.subprocess.PIPE,
    )


async def run_until(config: Path, channels: Channels, is_done: Callable[[], bool]) -> None:
    """Start the bot, and kill it once that is so."""
    process = await start(config, channels)
    try:
        async with asyncio.timeout(50):
            while not is_done():
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        process.kill()
        log = (await process.communicate())[1].decode()
        error.add_note(f"{list(map(words, channels.messages))}, not noted: {left_to_note(config)}\n{log}")
        raise
    process.kill()
    await process.communicate()


@pytest.fixture
async def channels(config: Path) -> AsyncIterator[Channels]:
    await fill(config)
    channels = Channels()
    await channels.start()
    yield channels
    await channels.stop()


def stands_there_once(config: Path, channels: Channels) -> None:
    """Each message does, and what is noted of them is so."""
    assert Counter(map(words, channels.messages)) == dict.fromkeys(TITLES, 1)
    shown = {words(message): int(message["id"]) for message in channels.messages}
    with closing(sqlite3.connect(config.parent / "data" / "bot.sqlite3")) as connection:
        noted = connection.execute(
            "SELECT d.message_id, j.message_id, r.message_id FROM drafts d, jobs j, comparison_rounds r WHERE j.id = 1"
        ).fetchall()
    assert noted == [(shown["Draft"], shown["Downloading posts"], shown["Round 1 of 1: which is better?"])]


async def test_killed_before_the_messages_are_noted(config: Path, channels: Channels):
    """Discord has all of them, and has answered to none."""
    channels.on_posted = asyncio.Event().wait
    await run_until(config, channels, lambda: len(channels.messages) == len(TITLES))
    assert len(left_to_note(config)) == len(TITLES)
    await run_until(config, channels, lambda: not left_to_note(config))
    stands_there_once(config, channels)


async def test_the_first_answer_is_lost(config: Path, channels: Channels):
    """discord.py tries again by itself."""
    lost: list[str] = []

    async def on_posted() -> web.Response:
        lost.append("")
        return web.Response(status=502, text="a page of a proxy")

    channels.on_posted = on_posted
    await run_until(config, channels, lambda: not left_to_note(config))
    assert len(lost) == len(TITLES)
    stands_there_once(config, channels)
