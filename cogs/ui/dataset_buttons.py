"""The buttons of a dataset. Their ids are `dataset:<id>:<action>`; all that they show is read from the database."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Self

import discord

from bot.client import Client
from bot.errors import BotError, NothingToDo
from bot.examples import Dataset, Example, training_line
from bot.permissions import Level
from bot.store import datasets
from bot.store import posts as post_store
from bot.store.datasets import LeftOut
from cogs.ui.dataset_message import (
    POSTS_SHOWN,
    by_count,
    left_out_embed,
    left_posts_embed,
    random_embed,
    too_large_text,
)
from cogs.ui.items import DurableButton, DurableSelect, view_of
from cogs.ui.limits import OPTION_TEXT, SELECT_OPTIONS, cut
from cogs.ui.next_step import NextStepButton

_ID = r"dataset:(?P<id>\d{1,15})"
_AT_RANDOM = 5
_LARGEST = 10_000_000  # bytes of a file; Discord takes 10 MiB from a bot
_DEADLINE = 300.0  # seconds to send a file


class Press(StrEnum):
    """What a dataset's button does; the last part of its id."""

    RANDOM = "random"
    OTHERS = "others"
    LEFT_OUT = "left"
    FILE = "file"


_LABELS = {
    Press.RANDOM: "Show 5 at random",
    Press.OTHERS: "Show 5 others",
    Press.LEFT_OUT: "What was left out",
    Press.FILE: "Download JSONL",
}


class DatasetButton(DurableButton, template=_ID + r":(?P<press>random|others|left|file)", needs=Level.REVIEWER):
    """One of a dataset's buttons. What it shows is seen only by who pressed it."""

    def __init__(self, dataset_id: int, press: Press) -> None:
        self.dataset_id = dataset_id
        self.press = press
        super().__init__(
            discord.ui.Button(
                label=_LABELS[press], style=discord.ButtonStyle.secondary, custom_id=f"dataset:{dataset_id}:{press}"
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(int(match["id"]), Press(match["press"]))

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        if self.press is Press.OTHERS:  # they take the place of those that are shown
            await interaction.response.defer()
            shown, view = await _at_random(interaction.client, self.dataset_id)
            await interaction.edit_original_response(embed=shown, view=view)
            return
        await interaction.response.defer(ephemeral=True, thinking=True)
        match self.press:
            case Press.FILE:
                await _send_file(interaction, self.dataset_id)
            case Press.LEFT_OUT:
                dataset, left_out = await _left_out(interaction.client, self.dataset_id)
                await interaction.followup.send(
                    embed=left_out_embed(dataset.id, left_out), view=_reasons(dataset.id, left_out), ephemeral=True
                )
            case _:
                shown, view = await _at_random(interaction.client, self.dataset_id)
                await interaction.followup.send(embed=shown, view=view, ephemeral=True)


class ReasonSelect(DurableSelect, template=_ID + r":reason", needs=Level.REVIEWER):
    """Chooses for which reason to see posts that were left out."""

    def __init__(self, dataset_id: int, left_out: Sequence[LeftOut] = (), chosen: str = "") -> None:
        self.dataset_id = dataset_id
        options = [
            discord.SelectOption(
                label=cut(" ".join(each.reason.split()), OPTION_TEXT) or "(no reason)",
                value=_key(each),
                description=f"{each.count:,} {'post' if each.count == 1 else 'posts'}",
                default=_key(each) == chosen,
            )
            for each in by_count(left_out)[:SELECT_OPTIONS]
        ]
        super().__init__(
            discord.ui.Select(
                custom_id=f"dataset:{dataset_id}:reason", placeholder="See posts of one reason", options=options
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(int(match["id"]))

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await _show_left_posts(interaction, self.dataset_id, self.item.values[0], 0)


class PageButton(
    DurableButton, template=_ID + r":posts:(?P<reason>[0-9a-f]{16}):(?P<page>\d{1,9})", needs=Level.REVIEWER
):
    """Another page of the posts that were left out for one reason."""

    def __init__(self, dataset_id: int, reason: str, page: int, *, label: str = "Page", disabled: bool = False) -> None:
        self.dataset_id = dataset_id
        self.reason = reason
        self.page = page
        super().__init__(
            discord.ui.Button(label=label, disabled=disabled, custom_id=f"dataset:{dataset_id}:posts:{reason}:{page}")
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(int(match["id"]), match["reason"], int(match["page"]))

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await _show_left_posts(interaction, self.dataset_id, self.reason, self.page)


def dataset_view(dataset_id: int) -> discord.ui.View:
    """The row below the outcome of /examples."""
    presses = (Press.RANDOM, Press.LEFT_OUT, Press.FILE)
    return view_of(
        NextStepButton("moderate", "Moderate next"), *(DatasetButton(dataset_id, press) for press in presses)
    )


# --- what they show -------------------------------------------------------------------------------------------


async def _dataset(client: Client, dataset_id: int) -> Dataset:
    dataset = await datasets.get_dataset(client.app.database, dataset_id)
    if dataset is None:
        raise NothingToDo(f"Dataset {dataset_id} is not here any more.", "Use /examples to make a new one.")
    return dataset


async def _names(client: Client) -> dict[str, str]:
    return {blog.uuid: blog.name for blog in await post_store.blogs(client.app.database)}


async def _at_random(client: Client, dataset_id: int) -> tuple[discord.Embed, discord.ui.View]:
    dataset = await _dataset(client, dataset_id)
    app = client.app
    examples = await datasets.random_examples(app.database, dataset_id, _AT_RANDOM, app.dice)
    if not examples:
        raise _nothing_left(dataset_id)
    view = view_of(DatasetButton(dataset_id, Press.OTHERS))
    return random_embed(dataset, examples, await _names(client)), view


async def _left_out(client: Client, dataset_id: int) -> tuple[Dataset, list[LeftOut]]:
    dataset = await _dataset(client, dataset_id)
    return dataset, list(await datasets.left_out(client.app.database, dataset_id))


def _reasons(dataset_id: int, left_out: Sequence[LeftOut], chosen: str = "") -> discord.ui.View:
    # Discord takes no list without entries.
    return view_of(ReasonSelect(dataset_id, left_out, chosen)) if left_out else view_of()


async def _show_left_posts(interaction: discord.Interaction[Client], dataset_id: int, reason: str, page: int) -> None:
    await interaction.response.defer()
    dataset, left_out = await _left_out(interaction.client, dataset_id)
    left = next((each for each in left_out if _key(each) == reason), None)
    if left is None:
        raise NothingToDo("Nothing was left out for that reason.", "Press *What was left out* again.")
    last = max(0, (len(left.posts) - 1) // POSTS_SHOWN)
    page = min(page, last)
    part = slice(page * POSTS_SHOWN, (page + 1) * POSTS_SHOWN)
    posts = await post_store.posts_by_id(interaction.client.app.database, left.posts[part] + left.kept[part])
    view = _reasons(dataset.id, left_out, reason)
    if last:
        view.add_item(PageButton(dataset.id, reason, max(0, page - 1), label="Previous", disabled=page == 0))
        view.add_item(PageButton(dataset.id, reason, page + 1, label="Next", disabled=page == last))
    names = await _names(interaction.client)
    await interaction.edit_original_response(embed=left_posts_embed(dataset.id, left, page, posts, names), view=view)


async def _send_file(interaction: discord.Interaction[Client], dataset_id: int) -> None:
    """Send what the dataset is trained on, made from the database: neither held out nor set aside."""
    app = interaction.client.app
    dataset = await _dataset(interaction.client, dataset_id)
    pages = datasets.pages(app.database, dataset_id)
    parts = [await asyncio.to_thread(_lines, dataset.developer_message, page) async for page in pages]
    if not parts:
        raise _nothing_left(dataset_id)
    name, content = f"training_data_{dataset_id}.jsonl", b"".join(parts)
    if len(content) > _LARGEST:
        name, content = f"{name}.gz", await asyncio.to_thread(gzip.compress, content, mtime=0)
    if len(content) > _LARGEST:
        newest = await datasets.newest_dataset(app.database)
        is_newest = newest is not None and newest.id == dataset_id
        await interaction.followup.send(
            too_large_text(dataset, app.settings.training_data_file, is_newest=is_newest), ephemeral=True
        )
        return
    try:
        async with asyncio.timeout(_DEADLINE):
            await interaction.followup.send(file=discord.File(io.BytesIO(content), name), ephemeral=True)
    except TimeoutError:
        raise BotError("Discord did not take the file in time.", "Try again in a few minutes.") from None


def _lines(developer_message: str, examples: Sequence[Example]) -> bytes:
    return "".join(f"{training_line(developer_message, each.user, each.assistant)}\n" for each in examples).encode()


def _nothing_left(dataset_id: int) -> NothingToDo:
    return NothingToDo(
        f"Dataset {dataset_id} has no examples any more: the posts it was made of were removed.",
        "Use /examples to make a new one.",
    )


def _key(left: LeftOut) -> str:
    """A reason in an id: the words themselves may be too long for one."""
    return hashlib.sha256(left.reason.encode()).hexdigest()[:16]
