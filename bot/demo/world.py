"""The whole bot in a small world: stand-ins for Tumblr and OpenAI, a simulated Discord, and people in it.

The demo and the tests live here. Everything between the slash command and the blog is real: discord.py, the openai
SDK, pytumblr with its signatures, SQLite, HTTP over loopback. Only Discord (simcord) and the two services are not.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import discord
from pydantic import SecretStr
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle
from simcord.env import Env

from bot.app import App, Pace
from bot.client import Client
from bot.config import DiscordSettings, OpenAISettings, Settings, TumblrSettings
from bot.demo import sample_blog
from bot.demo.openai_service import OpenAIService
from bot.demo.tumblr_service import TumblrService
from bot.store.drafts import drafts_to_show

GUILD_ID = 900000000000000001
HURRIED = Pace(
    message_edit=0.2,
    training_poll=0.2,
    training_settle=0.3,
    first_check=None,
    clock_look=None,
    look_after=(0.0, 0.3, 0.6),
    retry_after=(0.1, 0.2, 0.4),
    tumblr_deadline=5.0,
    tumblr_retry=0.05,
)

_T = TypeVar("_T")


@dataclass
class World:
    """The services, the bot, the channel and the people. `restart()` is the bot's process ending and starting anew."""

    directory: Path
    tumblr: TumblrService
    openai: OpenAIService
    settings: Settings
    pace: Pace
    app: App
    client: Client
    env: Env
    channel: ChannelHandle
    owner: MemberActor
    reviewer: MemberActor
    stranger: MemberActor
    blog_name: str = field(default=sample_blog.BLOG_NAME)
    clock: Callable[[], float] = time.time

    @property
    def messages(self) -> list[discord.Message]:
        """What stands in the channel, oldest first."""
        return self.channel.history()

    def progress(self, title: str) -> discord.Embed | None:
        """The newest progress message with this title."""
        found = [e for message in self.messages for e in message.embeds if e.title == title]
        return found[-1] if found else None

    def drafts(self) -> list[discord.Message]:
        """The messages that show drafts, oldest first."""
        return [
            message
            for message in self.messages
            if message.embeds and (message.embeds[0].footer.text or "").startswith("Draft ")
        ]

    async def until(self, condition: Callable[[], _T | None], *, seconds: float = 20.0) -> _T:
        """Wait until something is there (neither None nor False), and return it.

        Raises:
            TimeoutError: it never was; the note says what the channel shows instead.
        """
        try:
            async with asyncio.timeout(seconds):
                while not (found := condition()):  # noqa: ASYNC110 - what is waited for sets no event
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            error.add_note("\n".join(describe(message) for message in self.messages))
            raise
        return found

    async def finished(self, title: str, *, seconds: float = 30.0) -> discord.Message:
        """Wait until the newest progress message with this title shows an outcome; the bar and *Stop* are gone then."""

        def outcome() -> discord.Message | None:
            for message in reversed(self.messages):
                if message.embeds and message.embeds[0].title == title:
                    stopping = "job:" in str([item.to_dict() for item in message.components])
                    text = message.embeds[0].description or ""
                    return None if stopping or text in ("Starting.", "Stopping.") else message
            return None

        return await self.until(outcome, seconds=seconds)

    async def drafts_shown(self, count: int, *, seconds: float = 20.0) -> list[discord.Message]:
        """Wait until there are so many messages of drafts, and each shows its draft as it is: their tags come later."""
        await self.until(lambda: len(self.drafts()) >= count or None, seconds=seconds)
        async with asyncio.timeout(seconds):
            while await drafts_to_show(self.app.database, limit=1):  # noqa: ASYNC110 - what is waited for sets no event
                await asyncio.sleep(0.02)
        return self.drafts()

    async def restart(self) -> None:
        """Stop the bot and start it again on the same data, as an update of its container would."""
        await self.app.stop()
        self.app, self.client = _bot(self.app.settings, self.directory, self.pace, self.clock)
        await self.app.start()
        await self.env.restart_bot(self.client)


@asynccontextmanager
async def open_world(
    directory: Path,
    *,
    pace: Pace = HURRIED,
    sample: bool = True,
    configure: Callable[[Settings], Settings] = lambda settings: settings,
    seed: int = 1,
    clock: Callable[[], float] = time.time,
) -> AsyncGenerator[World]:
    """Start everything, with the sample blog on the Tumblr stand-in if `sample`; stop everything at the end.

    `clock` is the bot's, in unix seconds; the services keep the real time.
    """
    tumblr = TumblrService()
    openai = OpenAIService(seed=seed)
    addresses = await asyncio.gather(tumblr.start(), openai.start())
    blog = tumblr.add_blog(sample_blog.BLOG_NAME, title=sample_blog.BLOG_TITLE, uuid=sample_blog.BLOG_UUID)
    if sample:
        for post in sample_blog.load_posts():
            tumblr.add_post(blog, post)
        neighbour = tumblr.add_blog(sample_blog.NEIGHBOUR_NAME, owned=False)
        for post in sample_blog.neighbour_posts():
            tumblr.add_post(neighbour, post)
    settings = configure(_settings(directory, tumblr, openai, *addresses, sample=sample))
    app, client = _bot(settings, directory, pace, clock)
    env = Env(client)
    guild = env.create_guild("Lighthouse", id=GUILD_ID)
    channel = guild.create_text_channel("writing-room")
    reviewers = guild.create_role("Reviewers")
    owner = guild.add_member(env.create_user("keeper"))
    reviewer = guild.add_member(env.create_user("odile"), roles=[reviewers])
    stranger = guild.add_member(env.create_user("passing-ship"))
    app.settings = settings.model_copy(
        update={
            "discord": settings.discord.model_copy(
                update={
                    "guild_id": GUILD_ID,
                    "channel_id": channel.id,
                    "owner_ids": [owner.id],
                    "reviewer_role_ids": [reviewers.id],
                }
            )
        }
    )
    world = World(
        directory, tumblr, openai, settings, pace, app, client, env, channel, owner, reviewer, stranger, clock=clock
    )
    try:
        await app.start()
        await env.start()
        yield world
    finally:
        await world.app.stop()
        await env.shutdown()
        await asyncio.gather(tumblr.stop(), openai.stop())


def describe(shown: discord.Message | discord.Embed) -> str:
    """A message or an embed as a person would read it, in plain text."""
    if isinstance(shown, discord.Embed):
        return "\n".join(_read_embed(shown))
    parts = [shown.content] if shown.content else []
    for embed in shown.embeds:
        parts += _read_embed(embed)
    labels = [
        child.label
        for row in shown.components
        if isinstance(row, discord.ActionRow)
        for child in row.children
        if isinstance(child, discord.Button) and child.label
    ]
    if labels:
        parts.append("  ".join(f"[{label}]" for label in labels))
    return "\n".join(parts)


def _read_embed(embed: discord.Embed) -> list[str]:
    parts = [text for text in (embed.author.name, embed.title, embed.description) if text]
    parts += [f"{field.name}: {field.value}" for field in embed.fields]
    if embed.footer.text:
        parts.append(embed.footer.text)
    return parts


def _bot(settings: Settings, directory: Path, pace: Pace, clock: Callable[[], float]) -> tuple[App, Client]:
    app = App(settings, directory / "config.toml", pace=pace, clock=clock, dice=random.Random(7))
    return app, Client(app)


def _settings(
    directory: Path, tumblr: TumblrService, openai: OpenAIService, tumblr_url: str, openai_url: str, *, sample: bool
) -> Settings:
    key, secret, token, token_secret = tumblr.credentials()
    return Settings(
        download_blog_identifiers=[sample_blog.BLOG_NAME],
        upload_blog_identifier=sample_blog.BLOG_NAME,
        data_directory=directory / "data",
        custom_prompts_file=directory / "data" / "custom_prompts.jsonl",
        training_data_file=directory / "data" / "training_data.jsonl",
        draft_count=3,
        reblog_blog_identifiers=[sample_blog.NEIGHBOUR_NAME] if sample else [],
        reblog_chance=0.35,
        tags_chance=1.0,
        expected_epochs=2,
        discord=DiscordSettings(guild_id=GUILD_ID),
        tumblr=TumblrSettings(
            consumer_key=SecretStr(key),
            consumer_secret=SecretStr(secret),
            oauth_token=SecretStr(token),
            oauth_token_secret=SecretStr(token_secret),
            api_url=tumblr_url,
        ),
        openai=OpenAISettings(api_key=SecretStr(openai.api_key), base_url=f"{openai_url}/v1"),
    )
