"""/examples: turn downloaded posts and custom prompts into a numbered dataset, and its training file."""

from __future__ import annotations

import asyncio
import codecs
import json
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import cast

import msgspec

from bot.errors import NothingToDo
from bot.examples import FEWEST_EXAMPLES, Dataset, Example, examples_digest
from bot.language.tokens import count
from bot.pipeline.cleaning import (
    WordFilter,
    break_markers,
    clean,
    exact_duplicates,
    near_duplicates,
    plain_words,
    undo_redirects,
)
from bot.pipeline.reblog import reblog_prompt
from bot.pipeline.training_file import (
    line_tokens,
    listed,
    repair_training_file,
    rewrite_training_file,
    take_in_edited_file,
)
from bot.posts import Rejection
from bot.progress import Preview, Progress
from bot.store import datasets
from bot.store import posts as post_store
from bot.store.database import Database
from bot.store.datasets import MOST_KEPT, LeftOut, SourcePost
from bot.store.posts import BlogRow
from bot.store.purge import drop_vanished
from bot.tumblr.npf import clean_text, read_answer, read_reblog_comment
from bot.words import counted, in_system_words

FEWEST_FOR_HOLDING_OUT = 50
MOST_OF_ONE_BLOG = 0.8
"""The share of the examples from which on one blog of several drowns the others."""

_OLDER = "older than date_limit"
_BEYOND = "beyond post_limit"
_DUPLICATE = "duplicate"
_NEAR_DUPLICATE = "near duplicate"
_TOO_LONG = "longer than example_token_limit"


@dataclass(frozen=True, slots=True)
class ExampleRules:
    """Which posts become examples, and the messages around them.

    `post_limit` is per blog and counts what `date_limit` (inclusive) and `filtered_words` leave; 0 means all, as it
    does for `token_limit`. `held_out_share` is of the posts, from 0 to 0.5.
    """

    developer_message: str
    user_message: str
    date_limit: datetime | None
    post_limit: int
    filtered_words: tuple[str, ...]
    include_answers: bool = False
    include_reblog_comments: bool = False
    reblog_user_message: str = "{}"
    held_out_share: float = 0.1
    token_limit: int = 0

    @property
    def kinds(self) -> tuple[Rejection, ...]:
        """The kinds of post that are no valid examples, and are asked for all the same."""
        return (Rejection.ASK,) * self.include_answers + (Rejection.REBLOG,) * self.include_reblog_comments


# gc=False for the reason given at `bot.examples.Example`.
class _Candidate(msgspec.Struct, gc=False):
    """An example in the making. Without a post it is a custom prompt; `timestamp` is in unix seconds."""

    user: str
    text: str
    blog_uuid: str | None = None
    post_id: str | None = None
    timestamp: int = 0
    tokens: int = 0
    held_out: bool = False

    @property
    def post(self) -> tuple[str, str]:
        return self.blog_uuid or "", self.post_id or ""


async def make_examples(
    database: Database,
    rules: ExampleRules,
    *,
    custom_prompts_file: Path,
    training_data_file: Path,
    fresh: bool = False,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Progress]:
    """Make a dataset of the valid posts of every downloaded blog, and of the custom prompts.

    A training file that was edited by hand is taken in as a dataset instead, and stays the newest one until somebody
    wants a fresh one: `fresh` makes one of the posts whatever was edited, once that has been taken in.

    Raises:
        NothingToDo: no valid posts, too few of them, or a custom prompt, pattern or edited line that cannot be used.
        BotError: a file cannot be read or written; the dataset is there.
    """
    words = await asyncio.to_thread(WordFilter, rules.filtered_words)
    user_message = break_markers(rules.user_message)
    if not user_message.strip():
        raise NothingToDo("`user_message` is empty, and each example answers it.", "Set it in config.toml.")
    prompts = await asyncio.to_thread(read_custom_prompts, custom_prompts_file)
    # Loading what counts them takes more memory for a moment than it keeps: better before the posts are there.
    await asyncio.to_thread(count, "")
    await repair_training_file(database, training_data_file)
    yield Progress(0, None, f"Looking at {training_data_file.name}.", "examples")
    taken = await take_in_edited_file(database, training_data_file, now=clock())
    edited = await datasets.newest_dataset(database)
    if edited is not None and edited.source == "file" and not fresh:
        if taken is None:
            line = f"Dataset {edited.id} was made of the file that somebody edited, and stays as it is."
        else:
            line = f"{training_data_file.name} was edited by hand: dataset {edited.id} is made of its lines."
            if taken.other_instructions:
                line += (
                    f" {taken.other_instructions:,} of them had other instructions than most, and have the same now."
                )
        yield await _outcome(database, edited, f"{line} The option fresh makes one of the posts again.")
        return

    draft = _Draft(rules, user_message, [_Candidate(break_markers(user), clean(text)) for user, text in prompts])
    async for progress in _gather(database, draft, words):
        yield progress
    yield Progress(len(draft.candidates), None, "Looking for duplicates.", "examples")
    await asyncio.to_thread(draft.drop_duplicates)
    yield Progress(0, len(draft.candidates), "Counting tokens.", "examples")
    developer_message = break_markers(rules.developer_message)
    await asyncio.to_thread(draft.count_tokens, developer_message)
    left_out = [*draft.left_out(), *await datasets.rejected_posts(database, rules.kinds)]
    if len(draft.candidates) < FEWEST_EXAMPLES:
        raise _too_few(len(draft.candidates), left_out)
    digest = await asyncio.to_thread(draft.finish, developer_message)
    before = await datasets.newest_dataset(database)
    async with database.write() as connection:
        if before is not None and before.digest == digest:
            number = before.id
            await datasets.set_left_out(connection, number, left_out)
        else:
            number = await datasets.add_dataset(
                connection,
                digest=digest,
                developer_message=developer_message,
                user_message=user_message,
                settings=_settings(rules),
                examples=draft.examples(),
                now=clock(),
                left_out=left_out,
            )
            await drop_vanished(connection, number)
    preview = Preview(draft.candidates[-1].text, "An example")
    del draft  # a large blog is not held twice
    # Where nothing has changed as well: somebody may have removed the file.
    is_written = await rewrite_training_file(database, training_data_file)
    dataset = await datasets.get_dataset(database, number)
    assert dataset is not None  # noqa: S101 - datasets are never deleted
    if before is not None and before.id == number:
        line = f"Nothing has changed since dataset {number}; it stays as it is."
    else:
        line = f"Dataset {number}: {counted(dataset.training_count, 'example')} to train on."
    if not is_written:
        line += f" {training_data_file.name} was edited meanwhile, and stays as it is until /examples takes it in."
    yield await _outcome(database, dataset, line, preview)


async def _gather(database: Database, draft: _Draft, words: WordFilter) -> AsyncIterator[Progress]:
    """Fill the draft with the posts of every blog, the newest first."""
    rules = draft.rules
    since = math.ceil(rules.date_limit.timestamp()) if rules.date_limit else None
    for blog in await post_store.blogs(database):
        if since is not None:
            older = await datasets.older_posts(database, blog.uuid, rules.kinds, than=(since, ""))
            draft.leave_out_posts(_OLDER, blog.uuid, *older)
        room = rules.post_limit or None
        async for page in datasets.source_posts(database, blog.uuid, rules.kinds, since):
            last = await asyncio.to_thread(draft.add_posts, blog, page, words, room)
            preview = Preview(page[-1].text, blog.name) if page[-1].text else None
            yield Progress(len(draft.candidates), None, f"Reading {blog.name}.", "examples", preview)
            if room is None:
                continue
            room = rules.post_limit - draft.count_of(blog.uuid)
            if not room:
                than = (last.timestamp, last.id)
                beyond = await datasets.older_posts(database, blog.uuid, rules.kinds, than=than, since=since)
                draft.leave_out_posts(_BEYOND, blog.uuid, *beyond)
                break


@dataclass(eq=False)
class _Draft:
    """A dataset in the making, and what was left out of it so far. Its methods are CPU work: call them in a thread."""

    rules: ExampleRules
    user_message: str
    candidates: list[_Candidate]
    _left_out: dict[str, tuple[list[tuple[str, str]], list[tuple[str, str]]]] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)
    _per_blog: Counter[str] = field(default_factory=Counter)

    def add_posts(self, blog: BlogRow, page: Sequence[SourcePost], words: WordFilter, room: int | None) -> SourcePost:
        """Add those of the posts that become examples, at most so many of them; the last post that was looked at."""
        read: list[_Candidate | None] = []
        searched: list[str] = []
        for post in page:
            candidate = self._read(blog.uuid, post)
            read.append(candidate)
            if candidate is not None:
                # In all that would come from the post.
                asked = candidate.user
                searched.append(candidate.text if asked is self.user_message else f"{asked}\n\n{candidate.text}")
        found = iter(words.first_found(searched))
        for post, candidate in zip(page, read, strict=True):
            if candidate is None:
                self.leave_out(post.rejection or "", (blog.uuid, post.id))
            elif (word := next(found)) is not None:
                self.leave_out(f"filtered_words: {word}", (blog.uuid, post.id))
            else:
                self.candidates.append(candidate)
                self._per_blog[blog.uuid] += 1
                if room is not None and not (room := room - 1):
                    return post
        return page[-1]

    def _read(self, blog_uuid: str, post: SourcePost) -> _Candidate | None:
        if post.rejection is None:
            return _Candidate(self.user_message, clean(post.text), blog_uuid, post.id, post.timestamp)
        read = read_answer if post.rejection == Rejection.ASK else read_reblog_comment
        exchange = read(post.raw or b"")
        if exchange is None:
            return None
        asked = undo_redirects(exchange.words)
        if post.rejection == Rejection.REBLOG:
            asked = reblog_prompt(self.rules.reblog_user_message, asked)
        return _Candidate(break_markers(asked), clean(exchange.own), blog_uuid, post.id, post.timestamp)

    def drop_duplicates(self) -> None:
        """Leave out what is the same as a newer example, or nearly; custom prompts are as they are wanted."""
        newest_first = sorted(self.candidates, key=lambda each: -each.timestamp if each.post_id else -math.inf)
        # Their hashes, not the texts: those would be in memory twice.
        keys = [hash((each.user, plain_words(each.text))) for each in newest_first]
        dropped: set[int] = set()
        for place, kept in exact_duplicates(keys).items():
            self.leave_out(_DUPLICATE, newest_first[place].post, newest_first[kept].post)
            dropped.add(place)
        # The same answer to another question, or another request of the owner's, is another example.
        places = [
            place
            for place, each in enumerate(newest_first)
            if place not in dropped and each.post_id is not None and each.user == self.user_message
        ]
        for place, kept in near_duplicates([newest_first[place].text for place in places]).items():
            self.leave_out(_NEAR_DUPLICATE, newest_first[places[place]].post, newest_first[places[kept]].post)
            dropped.add(places[place])
        gone = {id(newest_first[place]) for place in dropped}
        self.candidates = [each for each in self.candidates if id(each) not in gone]

    def count_tokens(self, developer_message: str) -> None:
        """Count the tokens of each, and leave out those that are too long."""
        tokens = line_tokens(
            developer_message, [each.user for each in self.candidates], [each.text for each in self.candidates]
        )
        for each, length in zip(self.candidates, tokens, strict=True):
            each.tokens = length
        if self.rules.token_limit:
            for each in self.candidates:
                if each.tokens > self.rules.token_limit:
                    self.leave_out(_TOO_LONG, each.post)
            self.candidates = [each for each in self.candidates if each.tokens <= self.rules.token_limit]

    def finish(self, developer_message: str) -> str:
        """Hold out the newest posts; returns the digest."""
        if len(self.candidates) >= FEWEST_FOR_HOLDING_OUT:
            posts = sorted((each for each in self.candidates if each.post_id), key=lambda each: -each.timestamp)
            for each in posts[: int(len(posts) * self.rules.held_out_share)]:
                each.held_out = True
        return examples_digest(developer_message, self.user_message, self.examples())

    def examples(self) -> Iterator[Example]:
        for each in self.candidates:
            yield Example(each.user, each.text, each.tokens, each.blog_uuid, each.post_id, held_out=each.held_out)

    def count_of(self, blog_uuid: str) -> int:
        return self._per_blog[blog_uuid]

    def leave_out(self, reason: str, post: tuple[str, str], kept: tuple[str, str] | None = None) -> None:
        """Note that a post is left out; for a duplicate, what is kept in its place."""
        self._counts[reason] += 1
        posts, stand_ins = self._left_out.setdefault(reason, ([], []))
        if post[1] and len(posts) < MOST_KEPT:
            posts.append(post)
            if kept is not None:
                stand_ins.append(kept)

    def leave_out_posts(self, reason: str, blog_uuid: str, count: int, some: Sequence[str]) -> None:
        """Note that so many posts of a blog are left out; these are some of them."""
        if count:
            self._counts[reason] += count
            posts, _ = self._left_out.setdefault(reason, ([], []))
            posts += [(blog_uuid, post_id) for post_id in some][: MOST_KEPT - len(posts)]

    def left_out(self) -> list[LeftOut]:
        return [
            LeftOut(reason, count, tuple(self._left_out[reason][0]), tuple(self._left_out[reason][1]))
            for reason, count in self._counts.most_common()
        ]


def _too_few(candidates: int, left_out: Sequence[LeftOut]) -> NothingToDo:
    if not candidates and not left_out:
        return NothingToDo("There are no posts to make examples of.", "Use /download first.")
    few = f"There {'is' if candidates == 1 else 'are'} only {counted(candidates, 'example')}"
    return NothingToDo(
        f"{few if candidates else 'There are no examples'}, and training needs at least {FEWEST_EXAMPLES}."
        + _summary(left_out),
        "Use /download to fetch more posts, or loosen `date_limit`, `post_limit` or `filtered_words`.",
    )


async def _outcome(database: Database, dataset: Dataset, line: str, preview: Preview | None = None) -> Progress:
    """The last progress; its facts are for whoever does not look at the dataset itself."""
    per_blog = await datasets.counts_per_blog(database, dataset.id)
    left_out = await datasets.left_out(database, dataset.id)
    facts = [(name, counted(count, "example")) for name, count in per_blog]
    facts += [(f"Left out: {each.reason}", f"{each.count:,}") for each in left_out]
    held_out = f"{dataset.held_out_count:,} of the newest, never trained on" if dataset.held_out_count else "none"
    facts += [("Held out", held_out), ("Tokens", f"{dataset.tokens:,} in one epoch")]
    facts += [("Mind", warning) for warning in _warnings(dataset.training_count, per_blog)]
    total = dataset.training_count + dataset.held_out_count
    return Progress(total, total, line, "examples", preview, facts=tuple(facts), dataset_id=dataset.id)


def _warnings(count: int, per_blog: Sequence[tuple[str, int]]) -> Iterator[str]:
    if count < FEWEST_FOR_HOLDING_OUT:
        yield f"That is few: {FEWEST_FOR_HOLDING_OUT} or more give a clearer voice."
    name, most = max(per_blog, key=lambda each: each[1], default=("", 0))
    if len(per_blog) > 1 and most > MOST_OF_ONE_BLOG * count:
        yield f"{most * 100 // count} % of it comes from {name}: the voice will sound like that."


def _summary(left_out: Sequence[LeftOut]) -> str:
    if not left_out:
        return ""
    return f" Left out were {', '.join(f'{each.count:,} ({each.reason})' for each in left_out)}."


def _settings(rules: ExampleRules) -> dict[str, object]:
    return {
        "date_limit": rules.date_limit.isoformat() if rules.date_limit else None,
        "post_limit": rules.post_limit,
        "filtered_words": list(rules.filtered_words),
        "include_answers": rules.include_answers,
        "include_reblog_comments": rules.include_reblog_comments,
        "reblog_user_message": rules.reblog_user_message,
        "held_out_share": rules.held_out_share,
        "example_token_limit": rules.token_limit,
    }


# --- custom prompts -------------------------------------------------------------------------------------------


def read_custom_prompts(path: Path) -> list[tuple[str, str]]:
    """The pairs of user message and answer in a JSON Lines file; none when there is no file.

    Raises:
        NothingToDo: naming the lines that are no objects of text to text.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise NothingToDo(
            f"{path.name} cannot be read ({in_system_words(error)}).",
            "Correct `custom_prompts_file`, or the file's rights.",
        ) from None
    content = content.removeprefix(codecs.BOM_UTF8)  # Windows editors put it there
    pairs: list[tuple[str, str]] = []
    problems: list[str] = []
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            try:
                pairs += _prompts_in(line)
            except ValueError as error:
                problems.append(f"line {number} {error}")
    if problems:
        raise NothingToDo(
            f"{path.name} cannot be used: {listed(problems)}.",
            'Each line must look like {"user message": "assistant response"}.',
        )
    return pairs


def _prompts_in(line: bytes) -> list[tuple[str, str]]:
    """The pairs of one line. Raises ValueError with what is wrong with it, in words that follow "line 5"."""
    try:
        msgspec.json.decode(line, type=dict[str, str])
        # Once more, as pairs: an object keeps only the last of those with the same name.
        found = cast("list[tuple[str, str]]", json.loads(line, object_pairs_hook=list))
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise ValueError("is not a JSON object of texts") from None
    pairs = [(clean_text(user), clean_text(answer)) for user, answer in found]
    if not pairs or not all(user.strip() and answer.strip() for user, answer in pairs):
        raise ValueError("has an empty text")
    if len({user for user, _ in pairs}) < len(pairs):
        raise ValueError("has the same user message twice")
    return pairs
