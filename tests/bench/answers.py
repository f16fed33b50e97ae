"""The bot as people meet it: how long it takes to start, and how fast it answers while everything is under way."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcord import interactions
from simcord.actors import MemberActor
from simcord.backend import serializers
from simcord.builders import ChannelHandle
from simcord.enums import ComponentType, InteractionType
from simcord.env import Env

from bot.app import App
from bot.client import Client
from bot.drafts import Draft, DraftState, UploadState
from bot.garbage import freeze_what_is_loaded
from bot.jobs.runner import JSON, Job
from bot.store import voices
from bot.store.drafts import NewDraft, add_draft, count_by_state, get_draft
from bot.training import Voice, VoiceKind
from tests.bench import data, stages
from tests.bench.figures import Figures, Finding
from tests.bench.services import Options, services

GUILD_ID = 900000000000000001
_TICK = 0.005
_BETWEEN_PRESSES = 0.08
_BETWEEN_APPROVALS = 0.04
_ANSWER_DEADLINE = 30.0
_SHOWING_DEADLINE = 120.0


# --- starting -------------------------------------------------------------------------------------------------


async def start(folder: Path, _size: int) -> Figures:
    """To READY, in a simulated Discord."""
    async with _on_discord(folder):
        return await stages.started()


# --- answering ------------------------------------------------------------------------------------------------


@dataclass
class _Discord:
    app: App
    env: Env
    channel: ChannelHandle
    owner: MemberActor
    requests: _Stamped


@dataclass(frozen=True)
class _Press:
    """An interaction, and when it was due, on the performance counter's clock."""

    id: str
    token: str
    at: float


class _Stamped(list[Any]):
    """simcord's log of what the bot sent, which notes when each interaction was answered."""

    def __init__(self) -> None:
        super().__init__()
        self.answered: dict[str, float] = {}
        """By the interaction's id: its first answer."""
        self.completed: dict[str, float] = {}
        """By the interaction's token: its last message."""

    def append(self, entry: Any) -> None:
        super().append(entry)
        kind, first, second, *_ = [*entry.path.strip("/").split("/"), "", ""]
        if kind == "interactions":
            self.answered[first] = time.perf_counter()
        elif kind == "webhooks":
            self.completed[second] = time.perf_counter()


async def answers(folder: Path, size: int) -> Figures:
    """Use `/drafts list` `size` times while a download, a dataset, a screening and a writing are under way.

    The store has a dataset; `developer_message` differs from it, so that /examples makes another one of the same
    posts while /moderate works on the first.
    """
    options = Options(posts=100 * size, openai_seconds=0.1)
    async with services(options) as addresses, _on_discord(folder, addresses) as discord:
        app = discord.app
        app.settings = app.settings.model_copy(update={"developer_message": "You keep the light."})
        submitted = [await _submit(discord, kind) for kind in ("download", "examples", "moderate")]
        async for job in app.runner.follow(submitted[0].id):
            if job.progress is not None and job.progress.done:
                break  # the few-shot voice has posts that no dataset holds out
        submitted.append(await _submit(discord, "generate", count=size))
        stalls: list[float] = []
        ticking = asyncio.create_task(_tick(stalls))
        control = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.tick", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        began = time.perf_counter()
        presses: list[_Press] = []
        ends = [asyncio.create_task(_end(app, job)) for job in submitted]
        while len(presses) < size:
            # By a timetable, as people do: a press that the stalled loop sees late was made in time.
            due = began + len(presses) * _BETWEEN_PRESSES
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            presses.append(_press(discord, due))
        async with asyncio.timeout(_ANSWER_DEADLINE):
            while any(press.token not in discord.requests.completed for press in presses):
                await asyncio.sleep(_TICK)
        first = [discord.requests.answered[press.id] - press.at for press in presses]
        whole = [discord.requests.completed[press.token] - press.at for press in presses]
        # The datasets' last steps are the heaviest: wait for them, but not for thousands of texts to be screened.
        while any(job.kind in {"download", "examples"} for job in await app.runner.active()):
            await asyncio.sleep(0.05)
        seconds = time.perf_counter() - began
        ticking.cancel()
        for end in ends:
            end.cancel()
        out, _ = await control.communicate(b"")
        for job in submitted:
            state = await app.runner.get(job.id)
            if state is None or state.error:
                raise RuntimeError(f"{job.kind}: {state and state.error}")
    ended = [end.result() if end.done() and not end.cancelled() else math.inf for end in ends]
    during = ", ".join(
        f"{job.kind} {100 * sum(press.at < end for press in presses) // size}%"
        for job, end in zip(submitted, ended, strict=True)
    )
    return Figures(
        size,
        seconds,
        [
            Finding("first answer, 99th percentile {} ms", 1000 * _percentile(first, 99), 100),
            Finding("median {} ms", 1000 * statistics.median(first)),
            Finding("slowest {} ms", 1000 * max(first)),
            Finding("whole answer, 99th percentile {} ms", 1000 * _percentile(whole, 99)),
            Finding("longest stall of the event loop {} ms", 1000 * max(stalls), 50),
            Finding("stalls above 50 ms: {}", sum(stall > 0.05 for stall in stalls)),
            Finding("longest stall of an idle process beside it {} ms", 1000 * float(out)),
            Finding(f"presses while at work: {during}; {{}} s in all", seconds),
        ],
    )


async def approvals(folder: Path, size: int) -> Figures:
    """Press *Approve* on `size` drafts, one after the other, while /examples makes a dataset of all posts."""
    async with services() as addresses, _on_discord(folder, addresses) as discord:
        app = discord.app
        app.settings = app.settings.model_copy(update={"developer_message": "You keep the light."})
        shown = await _drafts_on_show(discord, size)
        job = await _submit(discord, "examples")
        ending = asyncio.create_task(_end(app, job))
        began = time.perf_counter()
        presses: list[_Press] = []
        for draft in shown:
            due = began + len(presses) * _BETWEEN_APPROVALS
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            presses.append(_approve(discord, draft, due))
        async with asyncio.timeout(_ANSWER_DEADLINE):
            while any(press.id not in discord.requests.answered for press in presses):
                await asyncio.sleep(_TICK)
            while (await count_by_state(app.database)).get(DraftState.UPLOADED, 0) < size:
                await asyncio.sleep(_TICK)
        ended = await ending
    first = [discord.requests.answered[press.id] - press.at for press in presses]
    during = sum(press.at < ended for press in presses)
    return Figures(
        size,
        ended - began,
        [
            Finding("first answer, 99th percentile {} ms", 1000 * _percentile(first, 99), 100),
            Finding("median {} ms", 1000 * statistics.median(first)),
            Finding("slowest {} ms", 1000 * max(first)),
            Finding("presses while it was made: {}", during),
        ],
    )


async def _drafts_on_show(discord: _Discord, size: int) -> list[Draft]:
    """Drafts that wait, each with its message in the channel."""
    app = discord.app
    async with app.database.write() as connection:
        voice = Voice(0, VoiceKind.FEW_SHOT, "few-shot", "m", "http://127.0.0.1", None, "d", "u", 0.0, False, 0.0)
        voice_id = await voices.add_voice(connection, voice)
        draft = NewDraft("", (), "p", voice_id, None, None, None, data.BLOG_TO_DOWNLOAD, UploadState.DRAFT, 0.0)
        draft = dataclasses.replace(draft, channel_id=discord.channel.id)
        ids = [
            await add_draft(connection, dataclasses.replace(draft, text=text), now=time.time())
            for text in data.texts(size)
        ]
    app.drafts_changed.set()
    async with asyncio.timeout(_SHOWING_DEADLINE):
        while True:
            shown = [found for number in ids if (found := await get_draft(app.database, number)) and found.message_id]
            if len(shown) == size:
                return shown
            await asyncio.sleep(0.1)


def _approve(discord: _Discord, draft: Draft, due: float) -> _Press:
    backend = discord.env.backend
    record, payload = interactions.base_payload(
        backend,
        type=InteractionType.MESSAGE_COMPONENT,
        channel_id=discord.channel.id,
        guild_id=GUILD_ID,
        user_id=discord.owner.id,
        data={"custom_id": f"draft:{draft.id}:approve", "component_type": ComponentType.BUTTON},
    )
    stored = backend.get_message(discord.channel.id, draft.message_id or 0)
    payload["message"] = dict(serializers.message_payload(backend, stored))
    record.source_message_id = stored.id
    backend.emit("INTERACTION_CREATE", payload)
    return _Press(str(record.id), record.token, due)


async def _end(app: App, job: Job) -> float:
    """Wait for a job's end; returns when that was. In a task of its own: nothing may hold up the timetable."""
    async for _ in app.runner.follow(job.id):
        pass
    return time.perf_counter()


async def _submit(discord: _Discord, kind: str, **parameters: JSON) -> Job:
    return await discord.app.runner.submit(
        kind, parameters, requested_by="bench", requester_id=None, channel_id=discord.channel.id
    )


def _press(discord: _Discord, due: float) -> _Press:
    """One `/drafts list`, which was due at that moment.

    simcord's own `slash` waits until the bot is at rest, which it never is here; this is the same event.
    """
    backend = discord.env.backend
    command = discord.owner._resolve_root("drafts", 1, discord.channel.id)
    data = {"id": command["id"], "name": "drafts", "type": 1, "guild_id": str(GUILD_ID)}
    data["options"] = [{"type": 1, "name": "list", "options": []}]
    record, payload = interactions.base_payload(
        backend,
        type=InteractionType.APPLICATION_COMMAND,
        channel_id=discord.channel.id,
        guild_id=GUILD_ID,
        user_id=discord.owner.id,
        data=data,
    )
    backend.emit("INTERACTION_CREATE", payload)
    return _Press(str(record.id), record.token, due)


async def _tick(stalls: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(_TICK)
        stalls.append(time.perf_counter() - began - _TICK)


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


@asynccontextmanager
async def _on_discord(folder: Path, addresses: Any = None) -> AsyncIterator[_Discord]:
    settings = stages.settings_for(folder, addresses, guild_id=GUILD_ID)
    app = App(settings, folder / "config.toml")
    client = Client(app)
    env = Env(client)
    env.backend.http_requests = requests = _Stamped()
    guild = env.create_guild("Lighthouse", id=GUILD_ID)
    channel = guild.create_text_channel("writing-room")
    owner = guild.add_member(env.create_user("keeper"))
    there = settings.discord.model_copy(update={"channel_id": channel.id, "owner_ids": [owner.id]})
    app.settings = settings.model_copy(update={"discord": there})
    try:
        await app.start()
        await env.start()
        freeze_what_is_loaded()  # as `run` does
        yield _Discord(app, env, channel, owner, requests)
    finally:
        await app.stop()
        await env.shutdown()
