"""What people do and see, in few words: the verbs and the looks that the front-door tests share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import discord
from simcord import interactions
from simcord.actors import MemberActor
from simcord.backend import serializers
from simcord.enums import ComponentType, InteractionType
from simcord.results import InteractionResult, ResponseMessage, to_discord_message
from tenacity import wait_none

from bot.config import Settings
from bot.demo.world import HURRIED, World, describe, open_world
from bot.drafts import Draft
from bot.store.drafts import get_draft
from bot.tumblr.quota import GovernorState

QUICK = replace(
    HURRIED,
    message_edit=0.02,
    training_poll=0.03,
    reminder_look=0.05,
    notice_look=600.0,  # a test that edits or spends says itself when it is looked at
    settings_look=600.0,
    look_after=(0.0, 0.05, 0.1),
    retry_after=(0.02, 0.04, 0.06),
    tumblr_deadline=1.2,
    tumblr_retry=0.01,
)
TITLES = {
    "download": "Downloading posts",
    "examples": "Making training data",
    "moderate": "Screening training data",
    "finetune": "Training a voice",
    "generate": "Writing drafts",
    "voices compare": "Comparing voices",
}
ORDER = ("download", "examples", "moderate", "finetune", "generate")
REFUSAL = "This bot answers only to its owner and reviewers."
FIRST_POST = 1_700_000_000


def text_post(text: str, number: int = 0, **more: Any) -> dict[str, Any]:
    """A post in NPF, as a blog's owner would write it; `number` places it in time."""
    return {"content": [{"type": "text", "text": text}], "timestamp": FIRST_POST + 100 * number, **more}


def fill(world: World, posts: int) -> None:
    """Put so many short posts on the blog."""
    blog = world.tumblr.blogs[world.blog_name]
    for number in range(posts):
        text = f"day {number} at the light. the kettle sang {number} times and the gull answered, as gulls do."
        world.tumblr.add_post(blog, text_post(text, number))


@asynccontextmanager
async def small_world(
    directory: Path,
    *,
    posts: int = 12,
    configure: Callable[[Settings], Settings] = lambda settings: settings,
    **options: Any,
) -> AsyncIterator[World]:
    """A world in a hurry, with a small blog. What goes wrong in the bot is the test's to look at.

    Of a blog so small an n-gram can hardly write anything new: what the guards find is noted, and not written anew.
    """
    options.setdefault("pace", QUICK)

    def small(settings: Settings) -> Settings:
        guards = settings.guards.model_copy(update={"rewrites": 0})
        return configure(settings.model_copy(update={"guards": guards}))

    async with open_world(directory, sample=False, configure=small, **options) as world:
        world.openai.training_seconds = 0.1
        fill(world, posts)
        hurry_models(world)
        yield world


def hurry_models(world: World, deadline: float = 1.2) -> None:
    """Let calls to the model services give up soon, and be tried again at once."""
    for use in ("generation", "fine_tuning", "moderation"):
        if world.app.settings.endpoint(use).api_key.get_secret_value():
            service = world.app.service(use)
            service.deadline = deadline
            service.wait = wait_none()


def hour_is_over(world: World) -> None:
    """Tumblr lets the bot call again, and the bot need not sit the hour out that it was told to wait."""
    world.tumblr.hour_used = 0
    world.tumblr.hour_limit = 1000
    world.app.tumblr.governor.restore(GovernorState())


async def restarted(world: World) -> None:
    """The bot's process ends and starts anew; what failed or hung before does so no more."""
    await world.app.stop()
    world.tumblr.faults.clear()
    world.openai.faults.clear()
    await world.restart()
    hurry_models(world)


# --- what people do -----------------------------------------------------------------------------------------------


async def stage(world: World, command: str, actor: MemberActor | None = None, **options: Any) -> discord.Message:
    """Use a stage's command (and the first button of what /finetune offers), and wait for its outcome."""
    actor = actor or world.owner
    shown = len(shown_with(world, TITLES[command]))
    result = await actor.slash(world.channel, command, **options)
    if command == "finetune":
        result = await actor.click(answer(result), label=buttons(answer(result).message)[0])
    return await outcome(world, command, after=shown, said=said(result))


async def outcome(world: World, command: str, *, after: int = 0, said: str = "") -> discord.Message:
    """Wait for the outcome of the stage whose message comes after so many others of its kind."""

    def found() -> discord.Message | None:
        shown = shown_with(world, TITLES[command])
        return (
            shown[-1] if len(shown) > after and "job:" not in buttons_of(shown[-1]) and not at_work(shown[-1]) else None
        )

    try:
        return await world.until(found, seconds=15)
    except TimeoutError as error:
        error.add_note(f"The answer to the command was: {said}")
        raise


async def allow(world: World, blog: str, note: str = "its owner said so") -> None:
    """Record consent for a blog of somebody else."""
    result = await world.owner.slash(world.channel, "consent add", blog=blog, note=note)
    assert "Consent recorded" in said(result), said(result)


async def up_to(world: World, command: str) -> None:
    """Walk the stages before and including this one."""
    for name in ORDER[: ORDER.index(command) + 1]:
        await stage(world, name)


async def written(world: World, count: int = 1) -> list[discord.Message]:
    """Download, let the few-shot voice write, and wait for the drafts' messages."""
    await stage(world, "download")
    await stage(world, "generate", count=count)
    return await world.drafts_shown(count)


async def together(world: World, *presses: tuple[MemberActor, discord.Message, str]) -> list[InteractionResult]:
    """Several people press buttons (by label) before the bot has answered any of them.

    simcord's own `click` waits for the bot; this is the same event, given to the gateway for all of them at once.
    """
    backend = world.env.backend
    records = []
    for actor, message, label in presses:
        stored = backend.get_message(world.channel.id, message.id)
        row = next(c for row in stored.components for c in row["components"] if c.get("label") == label)
        record, payload = interactions.base_payload(
            backend,
            type=InteractionType.MESSAGE_COMPONENT,
            channel_id=world.channel.id,
            guild_id=actor.guild.id,
            user_id=actor.id,
            data={"custom_id": row["custom_id"], "component_type": ComponentType.BUTTON},
        )
        payload["message"] = dict(serializers.message_payload(backend, stored))
        record.source_message_id = stored.id
        records.append(record)
        backend.emit("INTERACTION_CREATE", payload)
    await world.env.settle()
    return [InteractionResult(world.env, record) for record in records]


async def forged(
    world: World, actor: MemberActor, message: discord.Message, custom_id: str, values: list[str] | None = None
) -> InteractionResult:
    """A press, or with `values` a choice, on a message that this person may never have been shown.

    What the message does not have any more (or never had) is put there: on a phone that has not caught up it still is.
    """
    backend = world.env.backend
    kind = ComponentType.BUTTON if values is None else ComponentType.STRING_SELECT
    record, payload = interactions.base_payload(
        backend,
        type=InteractionType.MESSAGE_COMPONENT,
        channel_id=world.channel.id,
        guild_id=actor.guild.id,
        user_id=actor.id,
        data={"custom_id": custom_id, "component_type": kind} | ({} if values is None else {"values": values}),
    )
    stored = backend.get_message(world.channel.id, message.id)
    payload["message"] = dict(serializers.message_payload(backend, stored))
    if custom_id not in str(payload["message"]["components"]):
        part = {"type": kind, "custom_id": custom_id}
        more = {"style": 1, "label": "x"} if values is None else {"options": [{"label": v, "value": v} for v in values]}
        payload["message"]["components"] = [{"type": ComponentType.ACTION_ROW, "components": [part | more]}]
    record.source_message_id = stored.id
    backend.emit("INTERACTION_CREATE", payload)
    await world.env.settle()
    return InteractionResult(world.env, record)


def change_discord(world: World, **changes: object) -> None:
    """Change options under [discord] while the bot runs, as the settings file could."""
    settings = world.app.settings
    world.app.settings = settings.model_copy(update={"discord": settings.discord.model_copy(update=changes)})


# --- what people see ----------------------------------------------------------------------------------------------


def answer(result: InteractionResult) -> ResponseMessage:
    """The bot's answer to a command, a press or a form. It must be one that only that person sees."""
    answers = result.followups or ([result.response] if result.response else [])
    assert len(answers) == 1, answers
    assert answers[0].ephemeral or result.ephemeral
    return answers[0]


def said(result: InteractionResult) -> str:
    """The same in plain text."""
    return describe(answer(result).message)


def shown_with(world: World, title: str) -> list[discord.Message]:
    """The messages with this title, oldest first."""
    return [message for message in world.messages if message.embeds and message.embeds[0].title == title]


def line(message: discord.Message) -> str:
    """An embed's main text."""
    return message.embeds[0].description or ""


def at_work(message: discord.Message) -> bool:
    return line(message) in {"Starting.", "Stopping."}


def buttons(message: discord.Message) -> list[str]:
    """The labels of a message's buttons."""
    parts = [child for row in message.components for child in row.children]  # type: ignore[union-attr]
    return [part.label or "" for part in parts if isinstance(part, discord.Button)]


def buttons_of(message: discord.Message) -> str:
    return str([row.to_dict() for row in message.components])


def now(world: World, message: discord.Message) -> discord.Message:
    """The message as it stands now."""
    return next(found for found in world.messages if found.id == message.id)


def as_it_stands(world: World, message: discord.Message) -> discord.Message:
    """A message that only one person sees, as it stands now."""
    return to_discord_message(world.env, world.env.backend.get_message(message.channel.id, message.id))


async def becomes(world: World, message: discord.Message, *words: str) -> discord.Message:
    """Wait until a message shows all of these words."""

    def shown() -> discord.Message | None:
        current = now(world, message)
        return current if all(word in describe(current) for word in words) else None

    return await world.until(shown, seconds=10)


def number(message: discord.Message) -> int:
    """A draft's number, as its message says it."""
    return int((message.embeds[0].footer.text or "").removeprefix("Draft "))


# --- what is behind it --------------------------------------------------------------------------------------------


async def draft(world: World, message_or_id: discord.Message | int) -> Draft:
    wanted = message_or_id if isinstance(message_or_id, int) else number(message_or_id)
    found = await get_draft(world.app.database, wanted)
    assert found is not None
    return found


async def rows(world: World, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What a query finds in the bot's database."""
    async with world.app.database.read() as connection:
        return [tuple(row) for row in await connection.execute_fetchall(query, parameters)]


async def everything(world: World) -> dict[str, Any]:
    """All that must not change when somebody was refused: every table, the blog, the calls to both services."""
    # That a message shows a draft's newest version is noted down a moment after it does.
    async with asyncio.timeout(10):
        while await rows(world, "SELECT 1 FROM drafts WHERE shown_version < version"):
            await asyncio.sleep(0.01)
    names = [name for (name,) in await rows(world, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    # A job's progress is written down by and by, so of jobs only what matters.
    columns = {"jobs": "id, kind, state, requester_id, parameters"}
    tables = {
        name: await rows(world, f"SELECT {columns.get(name, '*')} FROM {name}")  # noqa: S608 - our own names
        for name in names
        if not name.startswith("sqlite_")
    }
    blog = world.tumblr.blogs[world.blog_name]
    return {
        "tables": tables,
        "blog": (list(blog.posts), list(blog.drafts), list(blog.queue)),
        "calls": (len(world.tumblr.requests), len(world.openai.requests)),
    }


def calls(requests: Iterable[Any], method: str, ending: str) -> list[Any]:
    """The requests of a stand-in with this method, whose path ends like this."""
    return [request for request in requests if request.method == method and request.path.endswith(ending)]


def sent(world: World, method: str, ending: str = "/messages") -> list[Any]:
    """What the bot sent to Discord."""
    return [entry for entry in world.env.http_requests if entry.method == method and entry.path.endswith(ending)]


async def pause(seconds: float = 0.1) -> None:
    """Give something time to happen that must not."""
    await asyncio.sleep(seconds)
