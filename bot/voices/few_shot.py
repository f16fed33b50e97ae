"""A voice without training: real posts of the blog in the prompt of any chat model.

The part that stays the same comes first, so that a service that caches prompts charges less for it.
"""

from __future__ import annotations

import asyncio
import random

from bot.errors import NothingToDo
from bot.language.chat import Message, Written, complete
from bot.language.endpoint import ModelService
from bot.language.prices import chat_cost
from bot.language.tokens import count
from bot.store import datasets
from bot.store import posts as post_store
from bot.store.database import Database
from bot.training import Voice

POSTS_SHOWN = 40
PROMPT_TOKENS = 6_000
LONGEST_TEXT_TOKENS = 1_500
LONGEST_SHOWN = 4_000
"""Characters: of a longer post the first paragraphs are shown, so that no post crowds out the others."""
_RECENT_SHARE = 0.5
_POSTS_CONSIDERED = 1_000  # of each blog, the newest


class FewShot:
    """Writes the next post after a list of real ones. The posts are drawn once for each voice and kept."""

    def __init__(self, database: Database, service: ModelService, *, seed: int) -> None:
        self._database = database
        self._service = service
        self._seed = seed
        self._opening: str | None = None

    async def write(self, voice: Voice, prompt: str) -> Written:
        opening = await self._prompt(voice)
        service = self._service
        if service.endpoint.model != voice.model:
            service = service.with_model(voice.model)
        return await complete(
            service, [Message("developer", opening), Message("user", prompt)], max_tokens=LONGEST_TEXT_TOKENS
        )

    async def most_expensive(self, voice: Voice, prompt: str) -> float:
        tokens = await asyncio.to_thread(count, await self._prompt(voice) + prompt)
        return chat_cost(voice.model, tokens, LONGEST_TEXT_TOKENS)

    async def _prompt(self, voice: Voice) -> str:
        if self._opening is None:
            texts = await _texts(self._database)
            self._opening = await asyncio.to_thread(_opening, voice.developer_message, texts, self._seed)
        return self._opening


async def _texts(database: Database) -> list[str]:
    """The blog's own words, newest first, without what is held out or set aside.

    Once there is a dataset, what the owner's filters kept out of it is not shown to a model either.
    """
    chosen = await datasets.training_posts(database)
    withheld = await datasets.held_out_posts(database) | await datasets.posts_set_aside(database)
    dated: list[tuple[int, str]] = []
    for blog in await post_store.blogs(database):
        left = _POSTS_CONSIDERED
        async for post in post_store.valid_posts(database, blog.uuid):
            place = (post.blog_uuid, post.id)
            if place in withheld or (chosen and place not in chosen):
                continue  # before they are counted: the newest tenth of a large blog is held out
            dated.append((post.timestamp, post.text))
            left -= 1
            if not left:
                break
    if not dated:
        raise NothingToDo("There are no posts to write like.", "Use /download first.")
    return [text for _, text in sorted(dated, reverse=True)]


def _opening(developer_message: str, texts: list[str], seed: int) -> str:
    """Half recent posts, half drawn at random, in a fixed order, under the token budget."""
    recent = texts[: int(POSTS_SHOWN * _RECENT_SHARE)]
    older = texts[len(recent) :]
    dice = random.Random(seed)  # noqa: S311 - a choice of posts, not a secret
    chosen = recent + dice.sample(older, min(len(older), POSTS_SHOWN - len(recent)))
    dice.shuffle(chosen)
    shown: list[str] = []
    left = PROMPT_TOKENS
    for text in map(_beginning, chosen):
        tokens = count(text)
        if tokens > left:
            continue
        left -= tokens
        shown.append(f"<post>\n{text}\n</post>")
    posts = "\n\n".join(shown)
    return (
        f"{developer_message}\n\nThese are posts from the blog. Write the next one in the same voice:"
        " the same length, spelling, rhythm and subjects, without repeating any of them."
        f" Answer with the text of the post only.\n\n{posts}"
    )


def _beginning(text: str) -> str:
    if len(text) <= LONGEST_SHOWN:
        return text
    shown = text[:LONGEST_SHOWN]
    return shown.rpartition("\n\n")[0] or shown.rpartition(" ")[0] or shown
