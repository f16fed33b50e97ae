"""A voice without training: real posts of the blog in the prompt of any chat model.

The posts that stay the same come first, so that a service that caches prompts charges less for them; a few that
change with every draft come last.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bot.errors import ModelContextTooLong, NothingToDo
from bot.examples import break_markers
from bot.language.chat import Message, Written, complete
from bot.language.endpoint import ModelService
from bot.language.prices import Estimate, chat_cost, likely_cost
from bot.language.tokens import count, count_many
from bot.store import datasets
from bot.store import posts as post_store
from bot.store.database import Database
from bot.training import Voice
from bot.voices.fitting import Index, index, most_fitting

PROMPT_TOKENS = 6_000
"""What the posts of a prompt may take, with their frames. Instructions and the prompt itself come on top."""
STABLE_TOKENS = 5_000
STABLE_POSTS = 40
# The stable part teaches the voice, and is where posts are cheap: a cached token costs a quarter to a tenth of a fresh
# one, so that 5,000 of these cost no more than the 1,000 that change, or little more. The few that change only have
# to keep a hundred drafts from all hanging on the same forty posts (with five for each, they have seen up to five
# hundred others), or to show how the blog speaks of what a person asks for. Many fitting posts would rather be
# copied from: the more of a prompt is about one thing, the more of the answer is taken from it.
CHANGING_TOKENS = PROMPT_TOKENS - STABLE_TOKENS
CHANGING_POSTS = 5
MOST_HALVINGS = 5
"""How often both budgets are halved for a model that reads little at once: down to 187 tokens, two or three posts."""
LONGEST_TEXT_TOKENS = 1_500
LONGEST_SHOWN = 4_000
"""Characters: of a longer post the first paragraphs are shown, so that no post crowds out the others."""
_RECENT_SHARE = 0.5
_POSTS_CONSIDERED = 3_000  # of each blog, the newest
_TOKENS_AROUND = 15  # a chat template spends about four on each message, and three on the answer

_TASK = (
    "These are posts from the blog. Write the next one in the same voice:"
    " the same length, spelling, rhythm and subjects, without repeating any of them."
    " Answer with the text of the post only."
)
# Every repetition has an end: the texts are foreign, and a search must not take longer than they are long.
_TAG = re.compile(r"<\s{0,3}/?\s{0,3}post(?![\w-])[^<>]{0,50}>", re.IGNORECASE)
_OPENING_TAG = re.compile(r"<\s{0,3}post(?![\w-])[^<>]{0,50}>", re.IGNORECASE)
_ALMOST_A_TAG = re.compile(r"<(?=\s{0,3}/?\s{0,3}post(?![\w-]))", re.IGNORECASE)
_HARMLESS = "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}"


@dataclass(frozen=True, slots=True)
class Shown:
    """Posts in their frames. `places` says which of the blog's texts they are, `tokens` how long it all is."""

    text: str = ""
    places: tuple[int, ...] = ()
    tokens: int = 0


class FewShot:
    """Writes the next post after a list of real ones.

    The posts are read once. The stable part depends on them, on the seed and on what the model can read at once, and
    on nothing else, so that it is the same for every draft, after a restart too.
    """

    def __init__(self, database: Database, service: ModelService, *, seed: int) -> None:
        self._database = database
        self._service = service
        self._seed = seed
        self._reading = asyncio.Lock()
        self._choosing = asyncio.Lock()
        self._counted: dict[str, int] = {}
        self._texts: list[str] | None = None
        self._index: Index | None = None
        self._stable: dict[int, Shown] = {}  # by the number of halvings

    async def write(self, voice: Voice, prompt: str, *, seed: int) -> Written:
        """One text for one prompt. The `seed` also draws the posts that change from draft to draft.

        A refused request costs nothing, so one that is too long is sent again, halved.

        Raises:
            ModelError: as `bot.language` raises it.
            NothingToDo: there are no posts to show.
        """
        service = self._service_of(voice)
        halvings = service.halvings
        while True:
            stable, changing = await self._shown(voice, prompt, seed, halvings)
            # "system", not "developer": Ollama drops messages of a role that its templates do not know, without a
            # word (ollama#18305). OpenAI takes one for the other.
            messages = [Message("system", _opening(voice, stable, changing)), Message("user", prompt)]
            try:
                written = await complete(service, messages, max_tokens=LONGEST_TEXT_TOKENS, seed=seed)
            except ModelContextTooLong:
                halvings = _halved(halvings, stable.tokens + changing.tokens)
                if halvings > MOST_HALVINGS:
                    raise
            else:
                # Only what was taken is remembered: a refusal may be the fault of one long prompt.
                service.halvings = max(service.halvings, halvings)
                return unwrapped(written)

    async def most_expensive(self, voice: Voice, prompt: str) -> float:
        service = self._service_of(voice)
        stable = await self._stable_part(service.halvings)
        # The long part is the same for every draft, so it is counted once.
        opening = _opening(voice, stable, Shown())
        if opening not in self._counted:
            self._counted[opening] = await asyncio.to_thread(count, opening)
        tokens = self._counted[opening] + await asyncio.to_thread(count, f"\n\n{prompt}")
        return chat_cost(
            voice.model,
            tokens + CHANGING_TOKENS + _TOKENS_AROUND,
            LONGEST_TEXT_TOKENS,
            base_url=service.endpoint.base_url,
        )

    async def likely(self, voice: Voice, prompt: str, drafts: int) -> Estimate:
        """As in the protocol, taking it that drafts will be as long as the posts shown are on average."""
        service = self._service_of(voice)
        stable, changing = await self._shown(voice, prompt, 0, service.halvings)
        same, asked = await asyncio.to_thread(count_many, [_opening(voice, stable, Shown()), prompt])
        return likely_cost(
            voice.model,
            same_tokens=same,
            other_tokens=changing.tokens + asked + _TOKENS_AROUND,
            output_tokens=min(stable.tokens // max(1, len(stable.places)), LONGEST_TEXT_TOKENS),
            calls=drafts,
            base_url=service.endpoint.base_url,
        )

    def _service_of(self, voice: Voice) -> ModelService:
        return self._service if self._service.endpoint.model == voice.model else self._service.with_model(voice.model)

    async def _shown(self, voice: Voice, prompt: str, seed: int, halvings: int) -> tuple[Shown, Shown]:
        """The part that stays and the part that changes: what fits the prompt, or posts by chance.

        The voice's usual prompt asks for nothing that a post could fit.
        """
        stable = await self._stable_part(halvings)
        texts = await self._read()
        fitting: list[int] = []
        if prompt != voice.user_message:
            found = await self._searchable(texts)
            fitting = await asyncio.to_thread(most_fitting, found, prompt, CHANGING_POSTS, without=stable.places)
        dice = random.Random(f"{self._seed}/{seed}")  # noqa: S311 - a choice of posts, not a secret
        others = fitting or _drawn(dice, range(len(texts)), CHANGING_POSTS, without=set(stable.places))
        return stable, await asyncio.to_thread(shown, texts, others, CHANGING_TOKENS >> halvings)

    async def _stable_part(self, halvings: int) -> Shown:
        """Half recent posts, half drawn at random, in a fixed order."""
        texts = await self._read()
        async with self._choosing:  # drafts that are written at once need it once
            if halvings not in self._stable:
                recent = range(len(texts))[: int(STABLE_POSTS * _RECENT_SHARE)]
                dice = random.Random(self._seed)  # noqa: S311 - a choice of posts, not a secret
                chosen = [*recent, *_drawn(dice, range(len(texts)), STABLE_POSTS - len(recent), without=set(recent))]
                dice.shuffle(chosen)
                part = await asyncio.to_thread(shown, texts, chosen, STABLE_TOKENS >> halvings, at_least_one=True)
                self._stable[halvings] = part
            return self._stable[halvings]

    async def _read(self) -> list[str]:
        async with self._reading:
            if self._texts is None:
                self._texts = await _texts(self._database)
            return self._texts

    async def _searchable(self, texts: Sequence[str]) -> Index:
        async with self._reading:
            if self._index is None:
                self._index = await asyncio.to_thread(index, texts)
            return self._index


def shown(texts: Sequence[str], places: Iterable[int], tokens: int, *, at_least_one: bool = False) -> Shown:
    """As many of these texts, each in its frame, as fit into so many tokens. CPU work: call it in a thread.

    A text that does not fit is passed over, since a shorter one after it may. With `at_least_one`, where none fits,
    the first is cut until it does.
    """
    chosen = list(places)
    longest = min(LONGEST_SHOWN, tokens)  # in characters: about a quarter of what there is room for
    framed: list[tuple[int, str]] = []
    left = tokens
    for place in chosen:
        text = _framed(beginning(texts[place], longest))
        size = count(text) + 1  # with the blank line before it, which is one token at most beside the tags around it
        if size <= left:
            left -= size
            framed.append((place, text))
    while at_least_one and chosen and not framed and longest:
        longest //= 2
        text = _framed(beginning(texts[chosen[0]], longest))
        if count(text) <= tokens:
            framed.append((chosen[0], text))
    whole = "\n\n".join(text for _, text in framed)
    return Shown(whole, tuple(place for place, _ in framed), count(whole))


def beginning(text: str, longest: int) -> str:
    """The first paragraphs of a text, or its first words, in at most so many characters."""
    if len(text) <= longest:
        return text
    start = text[:longest]
    return start.rpartition("\n\n")[0] or start.rpartition(" ")[0] or start


def unwrapped(written: Written) -> Written:
    """A draft without the frame that a model repeats around it. Of several posts in one answer only the first is kept.

    A post whose frame was closed is whole, even where the answer was cut off after it.
    """
    opened = _OPENING_TAG.search(written.text)
    answer = written.text[opened.end() :] if opened else written.text
    pieces = [piece.strip() for piece in _TAG.split(answer)]
    number = next((number for number, piece in enumerate(pieces) if piece), 0)
    return replace(written, text=pieces[number], cut_off=written.cut_off and number == len(pieces) - 1)


def _framed(text: str) -> str:
    """A post as the prompt shows it. Its text cannot end the frame, nor a turn of the model's own conversation."""
    harmless = _ALMOST_A_TAG.sub(_HARMLESS, break_markers(text))
    return f"<post>\n{harmless}\n</post>"


def _opening(voice: Voice, stable: Shown, changing: Shown) -> str:
    # The posts that change go on where the others end, without a word between: the list is one to the model, and
    # all before it stays the same for the service's cache.
    return "\n\n".join(filter(None, (voice.developer_message, _TASK, stable.text, changing.text)))


def _drawn(dice: random.Random, places: Sequence[int], most: int, *, without: set[int]) -> list[int]:
    left = [place for place in places if place not in without]
    return dice.sample(left, min(most, len(left)))


def _halved(halvings: int, tokens: int) -> int:
    """How often the budget has to be halved so that it is less than what was sent."""
    halvings += 1
    while PROMPT_TOKENS >> halvings >= tokens and halvings <= MOST_HALVINGS:
        halvings += 1
    return halvings


async def _texts(database: Database) -> list[str]:
    """The blog's own words, newest first, without what is held out or set aside; of long posts the beginning.

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
            dated.append((post.timestamp, beginning(post.text, LONGEST_SHOWN)))
            left -= 1
            if not left:
                break
    if not dated:
        raise NothingToDo("There are no posts to write like.", "Use /download first.")
    return list(dict.fromkeys(text for _, text in sorted(dated, reverse=True)))
