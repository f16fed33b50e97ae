"""A dataset as people see it: the outcome of /examples, some of its examples, and what was left out of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import discord

from bot.config import Settings
from bot.examples import FEWEST_EXAMPLES, Dataset, Example
from bot.pipeline.examples import FEWEST_FOR_HOLDING_OUT, MOST_OF_ONE_BLOG
from bot.pipeline.finetune import estimated_cost
from bot.store import datasets
from bot.store.database import Database
from bot.store.datasets import CUSTOM_PROMPTS, OWN_LINES, LeftOut
from bot.store.posts import ExamplePost
from bot.words import counted
from cogs.ui.charts import dataset_picture, length_rows, time_rows
from cogs.ui.limits import cut, embed, foreign, length, web_address
from cogs.ui.words import money

POSTS_SHOWN = 5  # at once, of what was left out

_FIELD = 900  # UTF-16 code units, under the 1,024 of a field
_REASON = 44  # characters in the table: a phone breaks longer lines
_REASONS = 25
_REASONS_SUMMED = 3
_EXAMPLE, _QUESTION, _EXCERPT = 620, 180, 250  # UTF-16 code units
_LONGEST_LINK = 180


@dataclass(frozen=True, slots=True)
class Result:
    """What the message of a finished job shows beside its line: more lines, fields, a picture (PNG), buttons."""

    lines: Sequence[str] = ()
    fields: Sequence[tuple[str, str, bool]] = ()
    picture: bytes | None = None
    view: discord.ui.View | None = None


async def dataset_result(database: Database, settings: Settings, dataset_id: int) -> Result | None:
    """All that the owner should know of a dataset before it is screened; None when it is gone."""
    dataset = await datasets.get_dataset(database, dataset_id)
    if dataset is None:
        return None
    per_blog = await datasets.counts_per_blog(database, dataset_id)
    left_out = await datasets.left_out(database, dataset_id)
    lengths = await datasets.example_lengths(database, dataset_id)
    months = await datasets.posts_per_month(database, dataset_id)
    picture = await asyncio.to_thread(dataset_picture, lengths, months)
    epochs = settings.expected_epochs
    cost = estimated_cost(dataset, settings.base_model, epochs, settings.training_price(settings.base_model))
    fields = [
        ("To train on", counted(dataset.training_count, "example"), True),
        ("Held out", _held_out(dataset), True),
        ("From", _origins(per_blog), False),
        ("Tokens", f"{dataset.tokens:,} × {counted(epochs, 'epoch')} = {dataset.tokens * epochs:,}", True),
        ("Cost", f"about {money(cost, settings.budget)} with {foreign(settings.base_model)}, an estimate", True),
        ("Left out", _summed(left_out), False),
    ]
    if dataset.screened_with is not None:
        aside = f", {dataset.set_aside_count:,} set aside" if dataset.set_aside_count else ""
        fields.append(("Screened", f"with {foreign(dataset.screened_with)}{aside}", True))
    if picture is None and lengths:
        fields.append(("Tokens in an example", await asyncio.to_thread(length_rows, lengths), False))
        if rows := time_rows(months):
            fields.append(("Posts over time", rows, False))
    return Result(_warnings(dataset, per_blog), fields, picture)


def random_embed(dataset: Dataset, examples: Sequence[Example], names: Mapping[str, str]) -> discord.Embed:
    """Some examples of a dataset; `names` are those of the blogs by their UUIDs."""
    return embed(
        title=f"Dataset {dataset.id}: {len(examples)} of its examples, at random",
        fields=[_example(dataset, example, names) for example in examples],
        footer="Posts stand here as a voice will see them, but shortened.",
    )


def left_out_embed(dataset_id: int, left_out: Sequence[LeftOut]) -> discord.Embed:
    """A table of what was left out of a dataset, and why."""
    if not left_out:
        return embed(title=f"Dataset {dataset_id}: what was left out", description="Nothing was left out.")
    ordered = by_count(left_out)
    wide = max(len(f"{each.count:,}") for each in ordered)
    lines = [f"{each.count:>{wide},}  {cut(_in_code(each.reason), _REASON)}" for each in ordered[:_REASONS]]
    if rest := ordered[_REASONS:]:
        lines.append(f"{sum(each.count for each in rest):>{wide},}  for {len(rest)} other reasons")
    return embed(
        title=f"Dataset {dataset_id}: what was left out",
        description="```\n" + "\n".join(lines) + "\n```",
        footer="Choose a reason to see posts. A post has one reason, the first that was found.",
    )


def left_posts_embed(
    dataset_id: int,
    left: LeftOut,
    page: int,
    posts: Mapping[tuple[str, str], ExamplePost],
    names: Mapping[str, str],
) -> discord.Embed:
    """A page of the posts that were left out for one reason; those missing from `posts` are gone."""
    first = page * POSTS_SHOWN
    shown = left.posts[first : first + POSTS_SHOWN]
    kept = left.kept[first : first + POSTS_SHOWN] or [None] * len(shown)
    if not left.posts:
        where = "Which ones was not kept."
    else:
        where = f"{first + 1:,} to {first + len(shown):,} of {len(left.posts):,}"
        if len(left.posts) < left.count:
            where += " that were kept to look at"
    return embed(
        title=f"Dataset {dataset_id}: what was left out",
        description=f"**{foreign(cut(left.reason, 200))}**: {counted(left.count, 'post')}",
        fields=[_left_post(key, posts, names, instead) for key, instead in zip(shown, kept, strict=False)],
        footer=where,
    )


def by_count(left_out: Sequence[LeftOut]) -> list[LeftOut]:
    """The reasons, the most frequent first."""
    return sorted(left_out, key=lambda each: (-each.count, each.reason))


def too_large_text(dataset: Dataset, path: Path, *, is_newest: bool) -> str:
    """What to say instead of sending a file that Discord would refuse."""
    where = (
        f"It is on the disk of the bot: {foreign(str(path))}"
        if is_newest
        else "Only the newest dataset is on the disk of the bot as well; use its button."
    )
    return f"The file of dataset {dataset.id} is too large for Discord, even when it is packed. {where}"


# --- the pieces -----------------------------------------------------------------------------------------------


def _warnings(dataset: Dataset, per_blog: Sequence[tuple[str, int]]) -> list[str]:
    lines: list[str] = []
    if dataset.training_count < FEWEST_EXAMPLES:
        lines.append(
            f"Training needs at least {FEWEST_EXAMPLES} examples, so /finetune will refuse this dataset."
            " Use /download for more posts, then /examples."
        )
    elif dataset.training_count < FEWEST_FOR_HOLDING_OUT:
        lines.append(f"That is few: {FEWEST_FOR_HOLDING_OUT} or more give a clearer voice.")
    blogs = [each for each in per_blog if each[0] not in (CUSTOM_PROMPTS, OWN_LINES)]
    if len(blogs) > 1:
        total = sum(count for _, count in blogs)
        name, most = max(blogs, key=lambda each: each[1])
        if most > MOST_OF_ONE_BLOG * total:
            lines.append(
                f"{most * 100 // total}% of it comes from {foreign(name)}: the voice will sound like that blog."
            )
    return lines


def _held_out(dataset: Dataset) -> str:
    if not dataset.held_out_count:
        return "none"
    return f"{dataset.held_out_count:,} of the newest, never trained on"


def _origins(per_blog: Sequence[tuple[str, int]]) -> str:
    """How much comes from each blog, as far as there is room for their names."""
    lines: list[str] = []
    room = _FIELD
    for name, count in per_blog:
        line = f"{foreign(cut(' '.join(name.split()), 64))}: {count:,}"
        room -= length(line) + 1
        if room < 0:
            break
        lines.append(line)
    if rest := per_blog[len(lines) :]:
        lines.append(f"and {len(rest):,} more with {sum(count for _, count in rest):,}")
    return "\n".join(lines) or "none"


def _summed(left_out: Sequence[LeftOut]) -> str:
    if not left_out:
        return "nothing"
    ordered = by_count(left_out)
    parts = [f"{each.count:,} {foreign(cut(each.reason, 80))}" for each in ordered[:_REASONS_SUMMED]]
    if rest := ordered[_REASONS_SUMMED:]:
        parts.append(f"{sum(each.count for each in rest):,} for other reasons")
    total = sum(each.count for each in ordered)
    return f"{counted(total, 'post')}: {', '.join(parts)}"


def _example(dataset: Dataset, example: Example, names: Mapping[str, str]) -> tuple[str, str, bool]:
    by_hand = "line of your own" if dataset.source == "file" else "custom prompt"
    origin = _blog_name(example.blog_uuid, names) if example.blog_uuid else by_hand
    name = f"{origin} · {counted(example.tokens, 'token')}"
    if example.user == dataset.user_message:
        return name, _glance(example.assistant, _EXAMPLE), False
    question = _glance(" ".join(cut(example.user, 2 * _QUESTION).split()), _QUESTION)
    return name, f"> {question}\n{_glance(example.assistant, _EXAMPLE - _QUESTION)}", False


def _left_post(
    key: tuple[str, str],
    posts: Mapping[tuple[str, str], ExamplePost],
    names: Mapping[str, str],
    kept: tuple[str, str] | None,
) -> tuple[str, str, bool]:
    """A post that was left out, and what was kept in its place."""
    name = _blog_name(key[0], names)
    post = posts.get(key)
    if post is None:
        return name, "This post is not here any more.", False
    lines = [_glance(post.text, _EXCERPT)]
    links = [_link("Open on Tumblr", post)]
    if kept is not None:
        instead = posts.get(kept)
        links.append(_link("What was kept instead", instead) if instead is not None else _kept(kept))
    if links := [link for link in links if link]:
        lines.append(" · ".join(links))
    return f"{name}, {_day(post.timestamp)}", "\n".join(lines), False


def _day(timestamp: int) -> str:
    try:
        return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d}"
    except (ValueError, OverflowError, OSError):  # what came from a blog may lie outside of all years
        return "at an unknown time"


def _kept(kept: tuple[str, str]) -> str:
    return "a post was kept instead that is not here any more" if kept[1] else "a custom prompt was kept instead"


def _link(label: str, post: ExamplePost) -> str:
    link = web_address(post.url)
    if link is None or len(link) > _LONGEST_LINK:
        return ""
    return f"[{label}]({link.replace('(', '%28').replace(')', '%29')})"


def _blog_name(uuid: str, names: Mapping[str, str]) -> str:
    return foreign(cut(" ".join(names.get(uuid, "").split()), 64)) or "a blog that is gone"


def _glance(text: str, room: int) -> str:
    """How a text begins, made harmless, without its blank lines."""
    lines = [line for line in cut(text, 2 * room).splitlines() if line.strip()]
    return cut(foreign(cut("\n".join(lines), room)), room) or "(no text)"


def _in_code(text: str) -> str:
    """A text that cannot end the block of code it stands in, on one line."""
    return " ".join(text.replace("`", "'").split())
