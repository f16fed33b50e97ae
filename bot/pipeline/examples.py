"""/examples: turn downloaded posts and custom prompts into a numbered dataset, and its training file."""

from __future__ import annotations

import asyncio
import codecs
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import regex

from bot.errors import NothingToDo
from bot.examples import Example
from bot.language.tokens import count, count_many
from bot.pipeline.training_file import rewrite_training_file
from bot.progress import Preview, Progress
from bot.store import datasets
from bot.store import posts as post_store
from bot.store.database import Database
from bot.store.posts import ExamplePost
from bot.store.purge import drop_vanished

FEWEST_EXAMPLES = 10  # OpenAI's files API refuses less
FEWEST_FOR_HOLDING_OUT = 50
HELD_OUT_SHARE = 0.1
_PATTERN_SECONDS = 0.5  # a catastrophic pattern must not hang the bot
_BATCH = 1000
_TOKENS_AROUND = 15  # a chat template spends about four on each message, and three on the answer


@dataclass(frozen=True, slots=True)
class ExampleRules:
    """Which posts become examples, and the messages around them. `post_limit` is per blog; 0 means all."""

    developer_message: str
    user_message: str
    date_limit: datetime | None
    post_limit: int
    filtered_words: tuple[str, ...]


async def make_examples(
    database: Database,
    rules: ExampleRules,
    *,
    custom_prompts_file: Path,
    training_data_file: Path,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Progress]:
    """Make a dataset of the valid posts of every downloaded blog, and of the custom prompts.

    Raises:
        NothingToDo: no valid posts, too few of them, or a custom prompt or pattern that cannot be read.
        BotError: the file cannot be written; the dataset is there.
    """
    words = _patterns(rules.filtered_words)
    examples = [
        Example(user, assistant, tokens=0)
        for user, assistant in await asyncio.to_thread(read_custom_prompts, custom_prompts_file)
    ]
    custom_count = len(examples)
    filtered = 0
    facts: list[tuple[str, str]] = []
    since = int(rules.date_limit.timestamp()) if rules.date_limit else None
    times: list[int] = [0] * custom_count
    for blog in await post_store.blogs(database):
        taken = 0
        async for batch in _batches(database, blog.uuid, since):
            kept = await asyncio.to_thread(_without, words, batch)
            filtered += len(batch) - len(kept)
            room = rules.post_limit - taken if rules.post_limit else len(kept)
            for kept_post in kept[:room]:
                examples.append(Example(rules.user_message, kept_post.text, 0, kept_post.blog_uuid, kept_post.id))
                times.append(kept_post.timestamp)
            taken += min(room, len(kept))
            yield Progress(len(examples), None, f"Reading {blog.name}.", "examples", Preview(batch[-1].text, blog.name))
            if rules.post_limit and taken >= rules.post_limit:
                break
        facts.append((blog.name, f"{taken:,} examples"))
    if len(examples) < FEWEST_EXAMPLES:
        raise NothingToDo(
            f"There are only {len(examples)} examples, and training needs at least {FEWEST_EXAMPLES}.",
            "Use /download to fetch more posts, or loosen `date_limit`, `post_limit` or `filtered_words`.",
        )
    yield Progress(0, len(examples), "Counting tokens.", "examples")
    examples = await asyncio.to_thread(_finished, examples, times, rules.developer_message)
    digest = await asyncio.to_thread(_digest, rules, examples)
    before = await datasets.newest_dataset(database)
    if before is not None and before.digest == digest:
        await rewrite_training_file(database, training_data_file)  # somebody may have removed or changed it
        yield Progress(
            len(examples),
            len(examples),
            f"Nothing has changed since dataset {before.id}; it stays as it is.",
            "examples",
            facts=tuple(facts),
        )
        return
    training = [example for example in examples if not example.held_out]
    tokens = sum(example.tokens for example in training)
    async with database.write() as connection:
        number = await datasets.add_dataset(
            connection,
            digest=digest,
            developer_message=rules.developer_message,
            user_message=rules.user_message,
            settings=_settings(rules),
            examples=examples,
            now=clock(),
        )
        await drop_vanished(connection, number)
    await rewrite_training_file(database, training_data_file)
    if custom_count:
        facts.append(("Custom prompts", f"{custom_count:,}"))
    rejected = await post_store.rejection_counts(database)
    if rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in rejected.items())
        facts.append(("Posts that are no examples", reasons))
    if filtered:
        facts.append(("Left out by filtered_words", f"{filtered:,} posts"))
    facts += [
        ("Held out", f"{len(examples) - len(training):,} of the newest, never trained on"),
        ("Tokens", f"{tokens:,} in one epoch"),
    ]
    thin = " That is few: 50 or more give a clearer voice." if len(training) < FEWEST_FOR_HOLDING_OUT else ""
    yield Progress(
        len(examples),
        len(examples),
        f"Dataset {number}: {len(training):,} examples to train on.{thin}",
        "examples",
        Preview(training[-1].assistant, "An example"),
        facts=tuple(facts),
    )


def read_custom_prompts(path: Path) -> list[tuple[str, str]]:
    """The pairs of user message and answer in a JSON Lines file; none when there is no file.

    Raises:
        NothingToDo: naming every line that is not an object of text to text.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise NothingToDo(
            f"{path.name} cannot be read ({type(error).__name__}).",
            "Correct `custom_prompts_file`, or the file's rights.",
        ) from None
    content = content.removeprefix(codecs.BOM_UTF8)  # Windows editors put it there
    pairs: list[tuple[str, str]] = []
    problems: list[str] = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found = msgspec.json.decode(line, type=dict[str, str])
        except (msgspec.DecodeError, UnicodeDecodeError):
            problems.append(f"line {number} is not a JSON object of texts")
            continue
        if not found or not all(user.strip() and answer.strip() for user, answer in found.items()):
            problems.append(f"line {number} has an empty text")
            continue
        pairs.extend(found.items())
    if problems:
        raise NothingToDo(
            f"{path.name} cannot be used: {'; '.join(problems[:5])}.",
            'Each line must look like {"user message": "assistant response"}.',
        )
    return pairs


async def _batches(database: Database, blog_uuid: str, since: int | None) -> AsyncIterator[list[ExamplePost]]:
    batch: list[ExamplePost] = []
    async for post in post_store.valid_posts(database, blog_uuid, since=since, limit=None):
        batch.append(post)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _patterns(words: Sequence[str]) -> tuple[regex.Pattern[str], ...]:
    patterns: list[regex.Pattern[str]] = []
    for word in words:
        try:
            patterns.append(regex.compile(word, regex.IGNORECASE))
        except regex.error as error:
            raise NothingToDo(
                f"`filtered_words` has a pattern that cannot be read: {word!r}.", "Correct it in config.toml."
            ) from error
    return tuple(patterns)


def _without(patterns: Sequence[regex.Pattern[str]], posts: Sequence[ExamplePost]) -> list[ExamplePost]:
    """The posts that no pattern is found in."""

    def found(text: str) -> bool:
        for pattern in patterns:
            try:
                if pattern.search(text, timeout=_PATTERN_SECONDS):
                    return True
            except TimeoutError as error:
                raise NothingToDo(
                    f"The pattern {pattern.pattern!r} in `filtered_words` takes too long on a post.",
                    "Write it in a simpler way, without nested repetitions.",
                ) from error
        return False

    return [post for post in posts if not found(post.text)] if patterns else list(posts)


def _finished(examples: Sequence[Example], times: Sequence[int], developer_message: str) -> list[Example]:
    """Break up model markers, count tokens, hold out the newest posts. CPU work: call it in a thread."""
    texts = [break_markers(example.assistant) for example in examples]
    users = [break_markers(example.user) for example in examples]
    # Each message by itself, as the service counts them; the standing prompt is the same in nearly every example.
    standing = count(developer_message) + _TOKENS_AROUND
    asked = {user: standing + count(user) for user in set(users)}
    held_out: set[int] = set()
    if len(examples) >= FEWEST_FOR_HOLDING_OUT:
        by_time = sorted(
            (i for i, example in enumerate(examples) if example.post_id is not None), key=lambda i: -times[i]
        )
        held_out = set(by_time[: int(len(by_time) * HELD_OUT_SHARE)])
    counts = [tokens + asked[user] for tokens, user in zip(count_many(texts), users, strict=True)]
    return [
        Example(
            user,
            text,
            tokens,
            example.blog_uuid,
            example.post_id,
            held_out=position in held_out,
        )
        for position, (example, user, text, tokens) in enumerate(zip(examples, users, texts, counts, strict=True))
    ]


def break_markers(text: str) -> str:
    """`text` without a model's own markers: `<|endoftext|>` and the like inside a post fail a whole training."""
    return text.replace("<|", "< |").replace("|>", "| >")


def _settings(rules: ExampleRules) -> dict[str, object]:
    return {
        "date_limit": rules.date_limit.isoformat() if rules.date_limit else None,
        "post_limit": rules.post_limit,
        "filtered_words": list(rules.filtered_words),
    }


def _digest(rules: ExampleRules, examples: Sequence[Example]) -> str:
    hashed = hashlib.sha256(json.dumps([rules.developer_message, rules.user_message]).encode())
    for example in examples:
        hashed.update(json.dumps([example.user, example.assistant, example.held_out]).encode())
    return hashed.hexdigest()
