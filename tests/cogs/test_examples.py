"""/examples as the owner sees it: its outcome, the buttons below it, and who may press them."""

from __future__ import annotations

import gzip
import random
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest

from bot.config import Settings
from bot.demo.world import World, describe
from bot.store import datasets
from bot.store.datasets import LeftOut
from bot.store.posts import ExamplePost
from cogs.ui import dataset_buttons, dataset_message, limits
from tests.cogs.acts import (
    answer,
    as_it_stands,
    buttons,
    hurry_models,
    line,
    said,
    shown_with,
    small_world,
    stage,
    text_post,
)
from tests.cogs.test_hostile import TEXTS
from tests.conftest import _expected

PRESSES = ("Show 5 at random", "What was left out", "Download JSONL")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Twelve posts, and three that are no examples."""
    async with small_world(tmp_path) as world:
        fog(world, 3)
        yield world
        unexpected = [error for error in world.env.errors if not _expected(error)]
        assert not unexpected, unexpected


def fog(world: World, posts: int, text: str = "look at the fog") -> None:
    """Posts that are not only text."""
    image = {"type": "image", "media": [{"url": "https://example.invalid/a.png", "type": "image/png"}]}
    for number in range(posts):
        content = [{"type": "text", "text": text}, image] if text else [image]
        world.tumblr.add_post(world.tumblr.blogs[world.blog_name], text_post("", 500 + number, content=content))


async def made(world: World, **options: Any) -> discord.Message:
    await stage(world, "download")
    return await stage(world, "examples", **options)


def field(shown: discord.Message, name: str) -> str:
    return next((each.value or "" for each in shown.embeds[0].fields if each.name == name), "")


async def press(world: World, shown: discord.Message, label: str, actor: Any = None) -> discord.Message:
    return answer(await (actor or world.owner).click(shown, label=label)).message


async def downloaded(world: World, shown: discord.Message, actor: Any = None) -> tuple[str, bytes]:
    (file,) = (await press(world, shown, "Download JSONL", actor)).attachments
    return file.filename, await file.read()


# --- the outcome --------------------------------------------------------------------------------------------------


async def test_the_outcome_shows_what_goes_in_what_it_costs_and_what_was_left_out(world: World):
    done = await made(world)
    dataset = await datasets.get_dataset(world.app.database, 1)
    assert dataset is not None
    assert line(done).startswith("Dataset 1: 12 examples to train on.")
    assert line(done).count("That is few: 50 or more give a clearer voice.") == 1
    assert field(done, "To train on") == "12 examples"
    assert field(done, "Held out") == "none"
    assert field(done, "From") == f"{world.blog_name}: 12"
    assert field(done, "Tokens") == f"{dataset.tokens:,} × 2 epochs = {dataset.tokens * 2:,}"
    dollars = dataset.tokens * 2 * 5.0 / 1_000_000
    assert field(done, "Cost") == f"about ${dollars:.4f} with gpt-4.1-mini-2025-04-14, an estimate"
    assert field(done, "Left out") == "3 posts: 3 not only text"
    assert buttons(done) == ["Moderate next", *PRESSES]
    assert done.embeds[0].image.url is not None
    (picture,) = done.attachments
    assert picture.filename == "dataset.png"
    assert (await picture.read()).startswith(b"\x89PNG")
    assert done.embeds[0].footer.text == "Job 2, asked for by keeper"


async def test_without_matplotlib_rows_of_blocks_tell_the_same(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # as without the charts extra
    done = await made(world)
    assert not done.attachments
    assert done.embeds[0].image.url is None
    assert "█" in field(done, "Tokens in an example")
    assert "2023-11 ██████████ 12" in field(done, "Posts over time")
    assert len(done.embeds[0]) <= limits.EMBED_TOTAL


async def test_the_cost_is_shown_in_the_owners_currency_too_once_a_rate_is_set(tmp_path: Path):
    def in_euros(settings: Settings) -> Settings:
        budget = settings.budget.model_copy(update={"currency": "EUR", "currency_rate": 0.5})
        return settings.model_copy(update={"budget": budget, "token_price": 1000.0})

    async with small_world(tmp_path, configure=in_euros) as world:
        done = await made(world)
        dataset = await datasets.get_dataset(world.app.database, 1)
        assert dataset is not None
        dollars = dataset.tokens * 2 / 1000
        both = f"about ${dollars:.2f} (about €{dollars / 2:.2f} at your rate)"
        assert field(done, "Cost") == f"{both} with gpt-4.1-mini-2025-04-14, an estimate"
        assert f"Cost: {both}, an estimate" in said(await world.owner.slash(world.channel, "finetune"))
        assert "This month: $0.00 of $20.00" in said(await world.owner.slash(world.channel, "status"))


async def test_nothing_has_changed_shows_the_same_dataset_and_buttons(world: World):
    first = await made(world)
    again = await stage(world, "examples")
    assert line(again).startswith("Nothing has changed since dataset 1")
    assert buttons(again) == buttons(first)
    assert field(again, "From") == field(first, "From")
    assert [each.filename for each in again.attachments] == ["dataset.png"]
    assert "5 of its examples" in describe(await press(world, again, "Show 5 at random"))


async def test_too_few_examples_are_refused_and_the_buttons_lead_back(tmp_path: Path):
    async with small_world(tmp_path, posts=9) as world:
        done = await made(world)
        assert "at least 10" in line(done)
        assert buttons(done) == ["Download posts", "Make training data"]


async def test_what_is_left_after_a_screening_may_be_too_few(world: World):
    await made(world)
    async with world.app.database.write() as connection:
        await datasets.set_aside(connection, 1, {0: "x", 1: "x", 2: "x"}, model="omni", now=1.0)
    again = await stage(world, "examples")
    assert "/finetune will refuse this dataset" in line(again)
    assert field(again, "Screened") == "with omni, 3 set aside"


@pytest.mark.parametrize(("posts", "warned"), [(11, False), (120, True)])
async def test_a_blog_that_drowns_the_others_is_named(tmp_path: Path, posts: int, warned: bool):
    async with small_world(tmp_path, posts=posts) as world:
        other = world.tumblr.add_blog("second-lamp")
        for number in range(11):
            world.tumblr.add_post(other, text_post(f"another lamp, {number}", number))
        await stage(world, "download", blogs=f"{world.blog_name} second-lamp")
        done = await stage(world, "examples")
        assert ("the voice will sound like that blog" in line(done)) is warned
        if warned:
            assert f"90% of it comes from {world.blog_name}" in line(done)


async def test_thirty_blogs_fit(tmp_path: Path):
    async with small_world(tmp_path) as world:
        names = [f"keeper-of-a-lamp-by-the-sea-{number:03}" for number in range(30)]
        dice = random.Random(5)
        for name in names:
            text = " ".join(dice.randbytes(3).hex() for _ in range(20))  # no two of them nearly the same
            world.tumblr.add_post(world.tumblr.add_blog(name), text_post(text))
        for blogs in ([world.blog_name, *names[:10]], names[10:20], names[20:]):
            await stage(world, "download", blogs=" ".join(blogs))
        done = await stage(world, "examples")
        shown = field(done, "From").splitlines()
        assert shown[0] == f"{world.blog_name}: 12"
        left = 31 - (len(shown) - 1)
        assert left > 0
        assert shown[-1] == f"and {left} more with {left}"
        assert len(done.embeds[0].fields) <= limits.FIELDS
        assert len(done.embeds[0]) <= limits.EMBED_TOTAL
        assert buttons(done) == ["Moderate next", *PRESSES]


async def test_the_channel_is_gone_and_the_outcome_comes_as_a_direct_message(world: World):
    await stage(world, "download")
    world.env.inject_error("POST", f"/channels/{world.channel.id}/messages", status=404, code=10003, times=99)
    await world.owner.slash(world.channel, "examples")
    sent = await world.until(
        lambda: (
            [
                entry
                for entry in world.env.http_requests
                if entry.method == "POST"
                and entry.path.endswith("/messages")
                and "To train on" in str(entry.json)
                and str(world.channel.id) not in entry.path
            ]
            or None
        )
    )
    assert sent


# --- late presses ---------------------------------------------------------------------------------------------------


async def test_the_buttons_of_an_old_dataset_work_after_a_restart(world: World):
    old = await made(world)
    world.tumblr.add_post(world.tumblr.blogs[world.blog_name], text_post("a thirteenth evening", 900))
    new = await made(world)
    assert line(new).startswith("Dataset 2: 13")
    await world.restart()
    hurry_models(world)
    assert "Dataset 1: 5 of its examples" in describe(await press(world, old, "Show 5 at random"))
    assert "3  not only text" in describe(await press(world, old, "What was left out"))
    name, content = await downloaded(world, old)
    assert (name, content.count(b"\n")) == ("training_data_1.jsonl", 12)
    assert (await downloaded(world, new))[1].count(b"\n") == 13


async def test_moderate_next_screens(world: World):
    done = await made(world)
    await world.owner.click(done, label="Moderate next")
    await world.until(lambda: shown_with(world, "Screening training data") or None)


async def test_a_dataset_that_is_gone_says_so(world: World):
    done = await made(world)
    async with world.app.database.write() as connection:
        await connection.execute("DELETE FROM datasets")
    for label in PRESSES:
        text = describe(await press(world, done, label))
        assert text == "Dataset 1 is not here any more. Use /examples to make a new one."


async def test_a_dataset_whose_posts_were_all_removed_says_so(world: World):
    done = await made(world)
    async with world.app.database.write() as connection:
        await connection.execute("DELETE FROM examples")
    for label in ("Show 5 at random", "Download JSONL"):
        assert describe(await press(world, done, label)).startswith("Dataset 1 has no examples any more")


# --- five at random -----------------------------------------------------------------------------------------------


async def test_five_examples_and_five_others_in_their_place(world: World):
    done = await made(world)
    shown = await press(world, done, "Show 5 at random")
    assert len(shown.embeds[0].fields) == 5
    assert all("the kettle sang" in (each.value or "") for each in shown.embeds[0].fields)
    assert all((each.name or "").startswith(world.blog_name) for each in shown.embeds[0].fields)
    assert "Write the next post" not in describe(shown), "the standing request is not repeated"
    seen = {describe(shown)}
    for _ in range(4):
        again = await world.owner.click(shown, label="Show 5 others")
        assert not again.followups
        shown = as_it_stands(world, shown)
        seen.add(describe(shown))
    assert len(seen) > 1


async def test_a_request_that_is_not_the_standing_one_is_shown(world: World):
    world.app.settings.custom_prompts_file.parent.mkdir(parents=True, exist_ok=True)
    world.app.settings.custom_prompts_file.write_text('{"who keeps the light?": "I do.\\n\\nevery night."}\n' * 1)
    done = await made(world)
    for _ in range(20):
        shown = await press(world, done, "Show 5 at random")
        found = [each for each in shown.embeds[0].fields if (each.name or "").startswith("custom prompt")]
        if found:
            assert found[0].value == "> who keeps the light?\nI do.\nevery night."
            return
    pytest.fail("the custom prompt never came up")


# --- what was left out --------------------------------------------------------------------------------------------


async def test_a_reason_leads_to_its_posts_with_links(world: World):
    done = await made(world)
    table = await press(world, done, "What was left out")
    assert "3  not only text" in describe(table)
    await world.owner.select(table, values=[option(table, "not only text")])
    shown = as_it_stands(world, table)
    assert "**not only text**: 3 posts" in line(shown)
    values = [each.value or "" for each in shown.embeds[0].fields]
    assert len(values) == 3
    assert all("look at the fog" in value and "[Open on Tumblr](https://" in value for value in values)
    assert "Next" not in describe(shown)


async def test_many_posts_come_in_pages(world: World):
    fog(world, 6, text="")
    done = await made(world)
    table = await press(world, done, "What was left out")
    await world.owner.select(table, values=[option(table, "not only text")])
    shown = as_it_stands(world, table)
    assert shown.embeds[0].footer.text == "1 to 5 of 9"
    await world.owner.click(shown, label="Next")
    shown = as_it_stands(world, shown)
    assert shown.embeds[0].footer.text == "6 to 9 of 9"
    assert len(shown.embeds[0].fields) == 4
    assert "(no text)\n[Open on Tumblr](https://" in describe(shown)
    await world.owner.click(shown, label="Previous")
    shown = as_it_stands(world, shown)
    assert shown.embeds[0].footer.text == "1 to 5 of 9"


async def test_the_most_frequent_reason_comes_first_and_duplicates_name_what_was_kept(world: World):
    blog = world.tumblr.blogs[world.blog_name]
    for number in range(3):
        world.tumblr.add_post(blog, text_post("the same evening, to the letter", 800 + number))
    newest = str(blog.posts[0]["id"])
    fog(world, 1, text="")
    done = await made(world)
    assert field(done, "Left out") == "6 posts: 4 not only text, 2 duplicate"
    table = await press(world, done, "What was left out")
    assert line(table) == "```\n4  not only text\n2  duplicate\n```"
    await world.owner.select(table, values=[option(table, "duplicate")])
    (older, oldest) = as_it_stands(world, table).embeds[0].fields
    for each in (older, oldest):
        assert (each.value or "").startswith("the same evening, to the letter\n[Open on Tumblr](https://")
        assert newest in (each.value or "").partition("· [What was kept instead](https://")[2]
    async with world.app.database.write() as connection:
        await connection.execute("DELETE FROM posts WHERE id = ?", (newest,))
    await world.owner.select(table, values=[option(table, "duplicate")])
    assert "a post was kept instead that is not here any more" in describe(as_it_stands(world, table))


async def test_posts_that_are_gone_say_so(world: World):
    done = await made(world)
    table = await press(world, done, "What was left out")
    value = option(table, "not only text")
    async with world.app.database.write() as connection:
        await connection.execute("UPDATE posts SET id = id || '0' WHERE rejection IS NOT NULL")
    await world.owner.select(table, values=[value])
    shown = as_it_stands(world, table)
    assert [each.value for each in shown.embeds[0].fields] == ["This post is not here any more."] * 3


async def test_nothing_left_out_is_said_and_offers_no_list(small: World):
    done = await made(small)
    assert field(done, "Left out") == "nothing"
    table = await press(small, done, "What was left out")
    assert line(table) == "Nothing was left out."
    assert not table.components


# --- the file -----------------------------------------------------------------------------------------------------


async def test_the_file_is_that_dataset_as_the_bot_wrote_it_and_made_from_the_database(world: World):
    done = await made(world)
    file = world.app.settings.training_data_file
    written = file.read_bytes()
    file.unlink()
    assert await downloaded(world, done) == ("training_data_1.jsonl", written)


async def test_nothing_held_out_or_set_aside_is_in_the_file(tmp_path: Path):
    async with small_world(tmp_path, posts=60) as world:
        done = await made(world)
        assert field(done, "Held out") == "6 of the newest, never trained on"
        async with world.app.database.write() as connection:
            await connection.execute("UPDATE examples SET set_aside = 'violence' WHERE assistant LIKE 'day 7 %'")
        _, content = await downloaded(world, done)
        days = [int(re.search(r"day (\d+) at", each).group(1)) for each in content.decode().splitlines()]  # type: ignore[union-attr]
        assert sorted(days) == [day for day in range(54) if day != 7]


async def test_a_large_file_is_packed(world: World, monkeypatch: pytest.MonkeyPatch):
    done = await made(world)
    _, plain = await downloaded(world, done)
    monkeypatch.setattr(dataset_buttons, "_LARGEST", len(plain) - 1)
    name, content = await downloaded(world, done)
    assert name == "training_data_1.jsonl.gz"
    assert gzip.decompress(content) == plain


async def test_a_file_that_is_too_large_even_so_is_named_where_it_lies(world: World, monkeypatch: pytest.MonkeyPatch):
    old = await made(world)
    world.tumblr.add_post(world.tumblr.blogs[world.blog_name], text_post("a thirteenth evening", 900))
    new = await made(world)
    monkeypatch.setattr(dataset_buttons, "_LARGEST", 10)
    text = describe(await press(world, new, "Download JSONL"))
    assert text.startswith("The file of dataset 2 is too large for Discord, even when it is packed. It is on the disk")
    assert text.replace("\\", "").endswith(str(world.app.settings.training_data_file))
    text = describe(await press(world, old, "Download JSONL"))
    assert "training_data.jsonl" not in text.replace("\\", ""), "what lies there is another dataset"


# --- hostile texts ------------------------------------------------------------------------------------------------


async def test_hostile_posts_mention_nobody_and_break_no_limit(tmp_path: Path):
    async with small_world(tmp_path) as world:
        blog = world.tumblr.blogs[world.blog_name]
        for number, text in enumerate(TEXTS.values()):
            world.tumblr.add_post(blog, text_post(text, 1000 + number))
            image = {"type": "image", "media": [{"url": "https://example.invalid/a.png", "type": "image/png"}]}
            content = [{"type": "text", "text": text[:4000]}, image]
            world.tumblr.add_post(blog, text_post("", 2000 + number, content=content))
        done = await made(world)
        seen = [done, *[await press(world, done, "Show 5 at random") for _ in range(8)]]
        table = await press(world, done, "What was left out")
        await world.owner.select(table, values=[option(table, "not only text")])
        for _ in range(2):
            seen.append(as_it_stands(world, table))
            await world.owner.click(seen[-1], label="Next")
        seen.append(as_it_stands(world, table))
        assert "11 to" in (seen[-1].embeds[0].footer.text or "")
        for message in seen:
            harmless(message)
        assert not world.env.errors


async def test_hostile_reasons_and_names_break_no_limit():
    reason = "```\n@everyone <@1> [x](https://example.invalid) " * 20
    many = [LeftOut(f"{number} {reason}", number + 1, (("t:x", str(number)),)) for number in range(60)]
    shown = dataset_message.left_out_embed(1, many)
    assert (shown.description or "").count("```") == 2
    assert (shown.description or "").splitlines()[-2].strip().startswith("630  for 35 other reasons")
    assert len(shown) <= limits.EMBED_TOTAL
    select = dataset_buttons.ReasonSelect(1, many).item
    assert len(select.options) == limits.SELECT_OPTIONS
    assert all(1 <= limits.length(each.label) <= limits.OPTION_TEXT for each in select.options)
    assert all(len(each.value) <= limits.OPTION_TEXT for each in select.options)
    key: tuple[str, str] = ("t:x", "1")
    posts: dict[tuple[str, str], ExamplePost] = {
        key: ExamplePost(*key, 0, TEXTS["emoji"], f"https://example.org/{'x' * 480}")
    }
    page = dataset_message.left_posts_embed(1, LeftOut(reason, 9_999, (key,) * 9), 1, posts, {"t:x": TEXTS["stars"]})
    assert len(page) <= limits.EMBED_TOTAL
    assert len(page.fields) == 4
    assert page.footer.text == "6 to 9 of 9 that were kept to look at"
    for custom_id in (
        dataset_buttons.PageButton(10**15 - 1, "f" * 16, 10**9 - 1).item.custom_id,
        dataset_buttons.ReasonSelect(10**15 - 1, many).item.custom_id,
    ):
        assert len(custom_id or "") <= 100


async def test_the_whole_of_a_made_up_dataset_fits(monkeypatch: pytest.MonkeyPatch, small: World):
    """Everything at its longest, and no picture."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    await made(small)
    reason = TEXTS["masked"] * 5

    async def left_out(*_: object) -> list[LeftOut]:
        return [LeftOut(f"{number}{reason}", 10**9, ()) for number in range(40)]

    async def per_blog(*_: object) -> list[tuple[str, int]]:
        return [(f"{TEXTS['stars']}{number}", 10**9) for number in range(300)]

    async def lengths(*_: object) -> list[int]:
        return list(range(0, 100_000, 7))

    async def months(*_: object) -> list[tuple[str, int]]:
        return [(f"{year}-05", 10**9) for year in range(1990, 2024)]

    for name, fake in (
        ("left_out", left_out),
        ("counts_per_blog", per_blog),
        ("example_lengths", lengths),
        ("posts_per_month", months),
    ):
        monkeypatch.setattr(datasets, name, fake)
    done = await stage(small, "examples")
    names = [each.name for each in done.embeds[0].fields]
    assert names == [
        *("To train on", "Held out", "From", "Tokens", "Cost", "Left out"),
        *("Tokens in an example", "Posts over time"),
    ]
    harmless(done)


# --- fresh --------------------------------------------------------------------------------------------------------


async def test_fresh_makes_it_from_the_posts_again_though_the_file_was_edited(world: World):
    await made(world)
    file = world.app.settings.training_data_file
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-1]))
    edited = await stage(world, "examples")
    assert field(edited, "To train on") == "11 examples"
    assert buttons(edited) == ["Moderate next", *PRESSES]
    file.write_text("".join(lines[:-2]))
    again = await stage(world, "examples", fresh=True)
    assert field(again, "To train on") == "12 examples"
    assert file.read_text() == "".join(lines)


def harmless(message: discord.Message) -> None:
    assert not message.mentions
    assert not message.mention_everyone
    for each in message.embeds:
        assert len(each) <= limits.EMBED_TOTAL
        assert len(each.fields) <= limits.FIELDS
        assert all(limits.length(part.value or "") <= limits.FIELD_VALUE for part in each.fields)
        text = "\n".join([each.description or "", *(part.value or "" for part in each.fields)])
        for forbidden in ("@everyone", "<@1", "](https://example.invalid", "discord.gg/"):
            assert forbidden not in text, forbidden


def option(message: discord.Message, label: str) -> str:
    for row in message.components:
        for child in row.children:  # type: ignore[union-attr]
            for option in getattr(child, "options", ()):
                if option.label == label:
                    return option.value
    raise AssertionError(f"no option {label}")
