"""What people see and decide of a screening: the review, its thresholds, and going on without one."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from simcord.actors import MemberActor
from simcord.results import InteractionResult, ResponseMessage

from bot.config import Settings
from bot.demo.world import World, describe
from bot.errors import NothingToDo
from bot.pipeline import screening
from bot.pipeline.screening import CategoryCount, Screening
from cogs.ui.limits import length
from cogs.ui.screening_buttons import CategorySelect, Place, Press, ScreeningButton
from cogs.ui.screening_review import category_number, spoiler
from cogs.ui.screening_thresholds import read_threshold
from tests.cogs.acts import (
    REFUSAL,
    answer,
    buttons,
    calls,
    everything,
    forged,
    line,
    now,
    rows,
    said,
    shown_with,
    small_world,
    stage,
    text_post,
    together,
    up_to,
)
from tests.conftest import _expected

FLAGGED = {"kraken": "violence", "rum": "illicit"}
BORDERLINE = {"storm": "harassment"}  # scores from 0.2 to 0.45
VIOLENCE, ILLICIT, HARASSMENT = (str(category_number(name)) for name in ("violence", "illicit", "harassment"))

texts = st.text(max_size=3000) | st.text(alphabet="a|\\ https://x.y\n😀`*", max_size=3000)


async def write_blog(world: World, posts: Sequence[str]) -> None:
    world.openai.flagged_words = dict(FLAGGED)
    world.openai.borderline_words = dict(BORDERLINE)
    blog = world.tumblr.blogs[world.blog_name]
    for number, text in enumerate(posts):
        world.tumblr.add_post(blog, text_post(text, 1000 + number))


def all_trained(settings: Settings) -> Settings:
    """Nothing is held out, so that every example may be in the file."""
    return settings.model_copy(update={"held_out_share": 0.0})


WORDS = ["anchor", "barrel", "candle", "dusk", "ember", "fog", "gale", "harbour", "ink", "jetty", "kettle", "mast"]
WORDS += ["night", "oar", "pier", "quay", "rope", "salt", "tide", "umber", "vane", "wake", "yawl", "zenith", "brass"]
WORDS += ["chart", "drift", "eel", "flag", "gull", "hull", "isle", "keel", "ladder", "mist", "net", "oak", "pearl"]


def distinct(beginning: str, count: int) -> list[str]:
    """Texts that have little but their beginning in common: the likeness of two would leave one out."""
    dice = random.Random(beginning)
    return [f"{beginning} {' '.join(dice.choices(WORDS, k=14))}." for _ in range(count)]


KRAKENS, RUM, STORMS = distinct("kraken", 4), distinct("rum", 3), distinct("storm", 3)


@pytest.fixture
async def coast(tmp_path: Path) -> AsyncIterator[World]:
    """Twelve harmless posts, four of violence, three that are illicit, three that come close to harassment."""
    async with small_world(tmp_path, configure=all_trained) as world:
        await write_blog(world, [*KRAKENS, *RUM, *STORMS])
        yield world
        unexpected = [error for error in world.env.errors if not _expected(error)]
        assert not unexpected, unexpected


async def screened_blog(world: World) -> discord.Message:
    """The outcome of /moderate, after all that comes before it."""
    await up_to(world, "moderate")
    return shown_with(world, "Screening training data")[-1]


async def look(world: World, actor: MemberActor | None = None) -> ResponseMessage:
    """Open the review."""
    done = shown_with(world, "Screening training data")[-1]
    return answer(await (actor or world.owner).click(done, label="Look at them"))


async def press(actor: MemberActor, message: ResponseMessage, label: str) -> ResponseMessage:
    return answer(await actor.click(message, label=label))


async def choose(actor: MemberActor, message: ResponseMessage, value: str) -> ResponseMessage:
    return answer(await actor.select(message, [value]))


async def set_threshold(actor: MemberActor, message: ResponseMessage, typed: str) -> InteractionResult:
    """Press *Change …* in the thresholds, and send the form."""
    label = next(label for label in buttons(message.message) if label.startswith("Change it for "))
    return await actor.submit_modal(await actor.click(message, label=label), {"threshold": typed})


def shown(message: ResponseMessage) -> str:
    return describe(message.message)


def text_of(message: ResponseMessage) -> str:
    """What stands behind the spoiler."""
    found = re.search(r"\|\|(.*?)\|\|", line(message.message), re.DOTALL)
    assert found is not None, line(message.message)
    return found[1]


def position(message: ResponseMessage) -> int:
    found = re.match(r"Example (\d+) of dataset", message.embeds[0].title or "")
    assert found is not None, message.embeds[0].title
    return int(found[1]) - 1


def labels(message: ResponseMessage) -> list[str]:
    return buttons(message.message)


def select_of(message: ResponseMessage) -> dict[str, Any]:
    (select,) = [part for row in message.components for part in row["components"] if part["type"] == 3]
    return select


def file_texts(world: World) -> set[str]:
    """The assistant's texts in the training file on disk."""
    lines = world.app.settings.training_data_file.read_text(encoding="utf-8").splitlines()
    return {json.loads(line)["messages"][-1]["content"] for line in lines}


def screenings(world: World) -> int:
    return len(calls(world.openai.requests, "POST", "/moderations"))


async def summary(world: World, dataset_id: int = 1) -> Screening:
    return await screening.summary(world.app.database, dataset_id)


# --- the walk -----------------------------------------------------------------------------------------------------


async def test_the_outcome_counts_by_category_and_leads_on(coast: World):
    done = await screened_blog(coast)
    fields = {field.name: field.value for field in done.embeds[0].fields}
    assert fields["violence"] == "4"
    assert fields["illicit"] == "3"
    assert "harassment" not in fields
    assert buttons(done) == ["Look at them", "Train a voice", "Write drafts"]
    assert not file_texts(coast) & {*KRAKENS, *RUM}
    assert {*STORMS} <= file_texts(coast)


async def test_each_flagged_example_is_shown_once_with_its_score_behind_a_spoiler(coast: World):
    await screened_blog(coast)
    review = await look(coast)
    seen = []
    for _ in range(7):
        assert re.search(r"Flagged for: (violence|illicit) \d\d%", shown(review)), shown(review)
        assert "Decision: not yet" in shown(review)
        assert labels(review)[:4] == ["Keep", "Drop", "Previous", "Next"]
        seen.append(text_of(review))
        review = await press(coast.owner, review, "Next")
    assert sorted(seen) == sorted([*KRAKENS, *RUM])
    assert text_of(review) == seen[0]  # past the last comes the first
    assert text_of(await press(coast.owner, review, "Previous")) == seen[-1]
    (link,) = [part for row in review.components for part in row["components"] if part.get("url")]
    assert "/post/" in link["url"] or "tumblr.com" in link["url"]
    assert "Written in answer to" not in shown(review)  # the standing prompt says nothing


async def test_keep_one_drop_one_keep_a_category_and_the_file_follows(coast: World):
    await screened_blog(coast)
    review = await look(coast)
    kept, kept_at = text_of(review), position(review)
    review = await press(coast.owner, review, "Keep")
    assert f"Example {kept_at + 1} is kept: it is set aside no more." in shown(review)
    assert "6 left to decide" in shown(review)
    assert kept in file_texts(coast)
    dropped = text_of(review)
    assert dropped != kept
    review = await press(coast.reviewer, await look(coast, coast.reviewer), "Drop")
    assert "is dropped: it stays set aside." in shown(review)
    assert "5 left to decide" in shown(review)
    assert dropped not in file_texts(coast)
    review = await choose(coast.owner, await look(coast), ILLICIT)
    assert "flagged for illicit" in shown(review)
    left = next(each for each in (await summary(coast)).by_category if each.category == "illicit").undecided
    asked = await press(coast.owner, review, "Keep all of illicit")
    assert asked.embeds[0].title == "Keep all of illicit?"
    assert labels(asked) == [f"Yes, keep {left}", "Back to the examples"]
    assert not {*RUM} <= file_texts(coast)  # nothing happens before the second press
    review = await press(coast.owner, asked, f"Yes, keep {left}")
    assert "illicit: kept as a whole." in shown(review)
    assert {*RUM} - {dropped} <= file_texts(coast)
    found = await summary(coast)
    assert (found.kept, found.undecided) == (7 - 1 - found.undecided, found.undecided)
    decided = {flag.position: (flag.decision, flag.decided_by) for flag in await all_flagged(coast)}
    assert decided[kept_at] == ("keep", coast.owner.name)
    assert [who for what, who in decided.values() if what == "drop"] == [coast.reviewer.name]
    assert len(file_texts(coast)) == 22 - found.set_aside


async def all_flagged(world: World, dataset_id: int = 1) -> list[screening.Flagged]:
    return await screening.flagged(world.app.database, dataset_id, category=None, offset=0, limit=1000)


async def test_a_category_is_dropped_as_a_whole_and_back_leads_back(coast: World):
    await screened_blog(coast)
    review = await choose(coast.owner, await look(coast), VIOLENCE)
    before = await everything(coast)
    asked = await press(coast.owner, review, "Drop all of violence")
    assert "4 of 4 flagged for violence are not decided yet." in shown(asked)
    assert text_of(await press(coast.owner, asked, "Back to the examples")) == text_of(review)
    assert await everything(coast) == before
    asked = await press(coast.owner, review, "Drop all of violence")
    review = await press(coast.owner, asked, "Yes, drop 4")
    assert "3 left to decide" in shown(review)
    assert text_of(review) in RUM  # on to what is still undecided
    assert not {*KRAKENS} & file_texts(coast)
    assert [each.undecided for each in (await summary(coast)).by_category if each.category == "violence"] == [0]


async def test_a_confirmation_whose_number_is_wrong_by_now_asks_again(coast: World):
    await screened_blog(coast)
    review = await choose(coast.owner, await look(coast), VIOLENCE)
    other = await choose(coast.reviewer, await look(coast, coast.reviewer), VIOLENCE)
    asked = await press(coast.owner, review, "Keep all of violence")
    await press(coast.reviewer, other, "Drop")
    asked = await press(coast.owner, asked, "Yes, keep 4")
    assert "3 of 4 flagged for violence are not decided yet." in shown(asked)
    assert not {*KRAKENS} & file_texts(coast)
    await press(coast.owner, asked, "Yes, keep 3")
    assert len({*KRAKENS} & file_texts(coast)) == 3
    assert sum(flag.decision == "drop" for flag in await all_flagged(coast)) == 1


async def test_what_is_flagged_for_two_categories_is_kept_once_both_are(coast: World):
    both = distinct("kraken and rum", 2)
    await write_blog(coast, both)
    await screened_blog(coast)
    review = await choose(coast.owner, await look(coast), ILLICIT)
    asked = await press(coast.owner, review, "Keep all of illicit")
    assert "unless they are flagged for something else too" in shown(asked)
    review = await press(coast.owner, asked, "Yes, keep 5")
    assert "2 of them are flagged for something else too, and wait for a decision on that." in shown(review)
    assert {*RUM} <= file_texts(coast)
    assert not {*both} & file_texts(coast)
    review = await choose(coast.owner, review, VIOLENCE)
    review = await press(coast.owner, await press(coast.owner, review, "Keep all of violence"), "Yes, keep 6")
    assert "nothing is left to decide" in shown(review)
    assert {*both, *KRAKENS} <= file_texts(coast)
    review = await choose(coast.owner, review, ILLICIT)  # a mind can be changed about all of it
    review = await press(coast.owner, await press(coast.owner, review, "Drop all of illicit"), "Yes, drop 5")
    assert not {*both, *RUM} & file_texts(coast)
    assert {*KRAKENS} <= file_texts(coast)


async def test_when_all_is_decided_it_says_so_and_minds_can_still_be_changed(coast: World):
    await screened_blog(coast)
    review = await look(coast)
    for _ in range(7):
        review = await press(coast.owner, review, "Keep")
    assert "nothing is left to decide" in shown(review)
    assert f"Decision: kept by {coast.owner.name}" in shown(review)
    assert {*KRAKENS, *RUM} <= file_texts(coast)
    last = text_of(review)
    review = await press(coast.owner, review, "Drop")
    assert f"Until now it was kept by {coast.owner.name}." in shown(review)
    assert last not in file_texts(coast)
    done = shown_with(coast, "Screening training data")[-1]
    assert "Look at them" in buttons(done)


async def test_a_user_message_of_its_own_is_shown_as_well(tmp_path: Path):
    async with small_world(tmp_path, configure=all_trained) as world:
        await write_blog(world, [])
        prompts = world.app.settings.custom_prompts_file
        await asyncio.to_thread(prompts.parent.mkdir, parents=True, exist_ok=True)
        await asyncio.to_thread(
            prompts.write_text, json.dumps({"who drank the rum || @everyone?": "not me."}) + "\n", encoding="utf-8"
        )
        await screened_blog(world)
        review = await look(world)
        assert text_of(review) == "not me."
        (asked,) = [field.value for field in review.embeds[0].fields if field.name == "Written in answer to"]
        assert asked is not None
        assert asked.startswith("||who drank the rum \\|\\| ")
        assert asked.endswith("||")
        assert asked.count("||") == 2
        assert "@everyone" not in asked
        assert not [part for row in review.components for part in row["components"] if part.get("url")]


# --- thresholds ---------------------------------------------------------------------------------------------------


async def test_thresholds_are_stricter_or_looser_without_any_call(coast: World):
    await screened_blog(coast)
    before = screenings(coast)
    view = await press(coast.owner, await look(coast), "Thresholds")
    assert "every category: the service's own flag" in shown(view)
    assert "7 of 22 examples" in shown(view)
    view = await choose(coast.owner, view, HARASSMENT)
    assert "Change it for harassment" in labels(view)
    view = answer(await set_threshold(coast.owner, view, "0,19"))
    assert "3 examples are set aside by this." in shown(view)
    assert "harassment: from 19%" in shown(view)
    assert "10 of 22 examples" in shown(view)
    assert not {*STORMS} & file_texts(coast)
    review = await press(coast.owner, view, "Back to the examples")
    assert "flagged for harassment" in shown(review)
    assert text_of(review) in STORMS
    view = await press(coast.owner, review, "Thresholds")
    form = await coast.owner.click(view, label="Change it for harassment")
    assert form.modal is not None
    assert form.modal["components"][0]["components"][0]["value"] == "0.19"
    view = answer(await coast.owner.submit_modal(form, {"threshold": ""}))
    assert "3 examples are brought back." in shown(view)
    assert {*STORMS} <= file_texts(coast)
    view = await choose(coast.owner, view, VIOLENCE)
    view = answer(await set_threshold(coast.owner, view, "100%"))
    assert "4 examples are brought back." in shown(view)
    assert {*KRAKENS} <= file_texts(coast)
    assert "3 of 22 examples" in shown(view)
    assert screenings(coast) == before


async def test_one_threshold_for_every_category(coast: World):
    await screened_blog(coast)
    view = await press(coast.owner, await look(coast), "Thresholds")
    view = answer(await set_threshold(coast.owner, view, "0.15"))
    assert "every category: from 15%" in shown(view)
    assert not {*STORMS, *KRAKENS, *RUM} & file_texts(coast)
    view = answer(await set_threshold(coast.owner, view, ""))
    assert "every category: the service's own flag" in shown(view)
    assert {*STORMS} <= file_texts(coast)


@pytest.mark.parametrize("typed", ["much", "1.5", "-0.1", "nan", "inf", "1e-3", "0.3.1", "٣", "200%", "||x||", "35"])
async def test_nonsense_is_refused_with_a_sentence(typed: str):
    with pytest.raises(NothingToDo, match=r"is no threshold\. It takes a number from 0 to 1"):
        read_threshold(typed)


@pytest.mark.parametrize(
    ("typed", "value"),
    [("", None), ("  ", None), ("0", 0.0), ("1", 1.0), (".5", 0.5), ("0,35", 0.35), (" 35 % ", 0.35), ("100%", 1.0)],
)
def test_what_a_threshold_may_be(typed: str, value: float | None):
    assert read_threshold(typed) == value


async def test_a_refused_threshold_changes_nothing(coast: World):
    await screened_blog(coast)
    view = await press(coast.owner, await look(coast), "Thresholds")
    before = await everything(coast)
    refused = said(await set_threshold(coast.owner, view, "a lot"))
    assert refused.startswith("“a lot” is no threshold.")
    assert await everything(coast) == before


async def test_where_nothing_is_flagged_a_stricter_threshold_can_still_be_set(tmp_path: Path):
    async with small_world(tmp_path, configure=all_trained) as world:
        await write_blog(world, STORMS)
        done = await screened_blog(world)
        assert buttons(done) == ["Train a voice", "Write drafts", "Thresholds"]
        view = await press(
            world.owner, answer(await world.owner.click(done, label="Thresholds")), "Back to the examples"
        )
        assert "Nothing is flagged." in shown(view)
        assert labels(view) == ["Thresholds"]
        view = await choose(world.owner, await press(world.owner, view, "Thresholds"), HARASSMENT)
        view = answer(await set_threshold(world.owner, view, "0.1"))
        assert "3 examples are set aside by this." in shown(view)
        assert text_of(await press(world.owner, view, "Back to the examples")) in STORMS


# --- late, twice, together ----------------------------------------------------------------------------------------


async def test_a_review_goes_on_after_a_restart(coast: World):
    done = await screened_blog(coast)
    review = await choose(coast.owner, await look(coast), VIOLENCE)
    first = text_of(review)
    await coast.restart()
    review = await press(coast.owner, review, "Keep")
    assert "3 left to decide" in shown(review)
    assert first in file_texts(coast)
    view = await press(coast.owner, review, "Thresholds")
    form = await coast.owner.click(view, label="Change it for violence")
    await coast.restart()
    view = answer(await coast.owner.submit_modal(form, {"threshold": "1"}))
    assert "3 examples are brought back." in shown(view)
    review = answer(await coast.owner.click(now(coast, done), label="Look at them"))
    assert text_of(review) in RUM


async def test_of_two_people_the_second_sees_who_decided_and_the_last_wins(coast: World):
    await screened_blog(coast)
    first, second = await look(coast), await look(coast, coast.reviewer)
    text = text_of(first)
    assert text == text_of(second)
    await press(coast.owner, first, "Keep")
    assert text in file_texts(coast)
    review = await press(coast.reviewer, second, "Drop")
    assert f"is dropped: it stays set aside. Until now it was kept by {coast.owner.name}." in shown(review)
    assert text not in file_texts(coast)
    decided = next(flag for flag in await all_flagged(coast) if flag.decision)
    assert (decided.decision, decided.decided_by) == ("drop", coast.reviewer.name)
    back = await press(coast.owner, first, "Previous")
    assert f"Decision: dropped by {coast.reviewer.name}" in shown(back)


async def test_many_presses_at_once_are_all_recorded(coast: World):
    await screened_blog(coast)
    reviews = [await look(coast, actor) for actor in (coast.owner, coast.reviewer)]
    reviews[1] = await press(coast.reviewer, reviews[1], "Next")
    wanted = {text_of(review) for review in reviews}
    assert len(wanted) == 2
    await together(
        coast,
        (coast.owner, reviews[0].message, "Keep"),
        (coast.reviewer, reviews[1].message, "Keep"),
    )
    assert sum(flag.decision == "keep" for flag in await all_flagged(coast)) == 2
    assert wanted <= file_texts(coast)


async def test_a_dataset_that_is_not_the_newest_any_more_is_only_shown(coast: World):
    await screened_blog(coast)
    review = await look(coast)
    asked = await press(coast.owner, await choose(coast.owner, await look(coast), VIOLENCE), "Keep all of violence")
    view = await press(coast.owner, await look(coast), "Thresholds")
    form = await coast.owner.click(view, label="Change it for every category")
    coast.tumblr.add_post(coast.tumblr.blogs[coast.blog_name], text_post("a new and harmless day.", 5000))
    await stage(coast, "download")
    await stage(coast, "examples")
    before = await everything(coast)
    refused = "Dataset 2 has taken the place of dataset 1"
    presses = ((review, "Keep"), (review, "Drop"), (asked, "Yes, keep 4"), (view, "Change it for every category"))
    for message, label in presses:
        assert said(await coast.owner.click(message, label=label)).startswith(refused), label
    assert said(await coast.owner.submit_modal(form, {"threshold": "0.1"})).startswith(refused)
    assert await everything(coast) == before
    again = answer(await coast.owner.click(shown_with(coast, "Screening training data")[-1], label="Look at them"))
    assert "Dataset 2 has taken the place of dataset 1" in shown(again)
    assert labels(again)[:2] == ["Previous", "Next"]
    again = await choose(coast.owner, again, VIOLENCE)
    assert not [label for label in labels(again) if "all of" in label]
    again = await press(coast.owner, again, "Thresholds")
    assert labels(again) == ["Back to the examples"]
    assert await everything(coast) == before


async def test_a_dataset_that_is_gone_is_explained(coast: World):
    done = await screened_blog(coast)
    review = await look(coast)
    async with coast.app.database.write() as connection:
        await connection.execute("DELETE FROM datasets")
    for message, label in ((review, "Keep"), (review, "Next"), (review, "Thresholds")):
        (result,) = await together(coast, (coast.owner, message.message, label))
        assert "Dataset 1 does not exist any more." in str([each.content for each in result.followups]), label
    assert "Dataset 1 does not exist any more." in said(await coast.owner.click(done, label="Look at them"))


async def test_a_decision_about_an_example_that_is_not_flagged_any_more_still_counts(coast: World):
    await screened_blog(coast)
    review = await choose(coast.owner, await look(coast), VIOLENCE)
    text = text_of(review)
    view = await press(coast.reviewer, await look(coast, coast.reviewer), "Thresholds")
    await set_threshold(coast.reviewer, await choose(coast.reviewer, view, VIOLENCE), "1")
    assert text in file_texts(coast)
    review = await press(coast.owner, review, "Drop")
    assert text not in file_texts(coast)
    assert "3 left to decide" in shown(review)
    assert text_of(review) in RUM
    dropped = next(flag for flag in await all_flagged(coast) if flag.decision == "drop")
    assert dropped.categories == ()
    while text_of(review) != text:
        review = await press(coast.owner, review, "Next")
    assert "Flagged for: nothing any more" in shown(review)


# --- hostile texts, and many --------------------------------------------------------------------------------------

SOMEBODY = 123456789012345678
HOSTILE = {
    "pipes": "kraken ||out|| ||| |||| |",
    "pipes in an address": "kraken https://example.invalid/||@everyone||\\",
    "a backslash at the end": "kraken \\",
    "mentions": f"kraken @everyone <@{SOMEBODY}> <@&{SOMEBODY}>",
    "invite": "kraken https://discord.gg/abcdef",
    "emoji": "kraken " + "😀" * 4000,
    "pipes without end": "kraken " + "|" * 4000,
    "fence": "kraken ```\n||\n```",
    "masked": "kraken [click](https://example.invalid/||)",
}


async def test_hostile_texts_stay_behind_their_spoiler(tmp_path: Path):
    async with small_world(tmp_path, posts=0, configure=all_trained) as world:
        await write_blog(world, [*HOSTILE.values(), *distinct("harmless", 4)])
        await screened_blog(world)
        review = await look(world)
        seen = 0
        for _ in HOSTILE:
            seen += 1
            shown_text = line(review.message)
            assert shown_text.count("||") - shown_text.endswith("|||") == 2, shown_text[:200]
            assert shown_text.endswith("||")
            assert "kraken" in text_of(review)
            for forbidden in ("@everyone", f"<@{SOMEBODY}", "discord.gg/", "](http", "```"):
                assert forbidden not in shown_text
            assert len(review.embeds[0]) <= 6000
            if "Read all" in labels(review):
                whole = answer(await world.owner.click(review, label="Read all"))
                (attachment,) = whole.attachments
                assert attachment.is_spoiler()
                assert attachment.filename.startswith("SPOILER_example-")
                assert (await attachment.read()).decode() in HOSTILE.values()
            review = await press(world.owner, review, "Next")
        assert seen == len(HOSTILE)
        assert not world.env.errors


@given(texts, st.integers(min_value=20, max_value=4000))
def test_nothing_gets_out_of_a_spoiler(text: str, room: int):
    shown_text, is_cut = spoiler(text, room)
    assert length(shown_text) <= room
    assert shown_text.startswith("||")
    assert shown_text.endswith("||")
    # Discord ends a spoiler at the next two pipes, whatever stands before them.
    assert shown_text.index("||", 2) == len(shown_text) - 2
    if is_cut:
        assert shown_text.rstrip("|\u200b").endswith("…")


async def test_hundreds_are_paged_through_and_found_again(tmp_path: Path):
    async with small_world(tmp_path, posts=12, configure=all_trained) as world:
        await write_blog(world, distinct("kraken", 300))
        await screened_blog(world)
        review = await look(world)
        assert "1 of 300 flagged · 300 left to decide" in shown(review)
        review = await press(world.owner, review, "Previous")
        assert "300 of 300 flagged" in shown(review)
        review = await press(world.owner, review, "Keep")
        assert "1 of 300 flagged · 299 left to decide" in shown(review)
        asked = await press(world.owner, await choose(world.owner, review, VIOLENCE), "Drop all of violence")
        review = await press(world.owner, asked, "Yes, drop 299")
        assert "nothing is left to decide" in shown(review)
        assert len(file_texts(world)) == 13


def test_a_service_with_many_and_long_categories_fits_discord():
    counts = tuple(CategoryCount(f"{number} " + "very " * 60, number, 1, 0, 0) for number in range(1, 60))
    place = Place(10**15 - 1, 10**15 - 1, 2**32 - 1)
    select = CategorySelect(place, "category", [(each.category, "x" * 300) for each in counts])
    assert len(select.item.options) == 25
    assert all(1 <= len(option.label) <= 100 for option in select.item.options)
    assert all(len(option.description or "") <= 100 for option in select.item.options)
    assert len({option.value for option in select.item.options}) == 25
    longest = [ScreeningButton(place, press, "Keep all of " + "x" * 90, confirmed=10**15 - 1) for press in Press]
    assert all(len(item.item.custom_id or "") <= 100 for item in [*longest, select])
    assert all(len(item.item.label or "") <= 80 for item in longest)


# --- without a screening ------------------------------------------------------------------------------------------


def without_key(settings: Settings) -> Settings:
    nobody = settings.openai.moderation.model_copy(
        update={"base_url": "http://127.0.0.1:9/v1", "api_key": SecretStr("")}
    )
    return all_trained(settings).model_copy(
        update={"openai": settings.openai.model_copy(update={"moderation": nobody})}
    )


async def test_without_a_key_somebody_may_decide_to_go_on_and_it_is_remembered(tmp_path: Path):
    async with small_world(tmp_path, configure=without_key) as world:
        await up_to(world, "examples")
        assert "not screened" in said(await world.owner.slash(world.channel, "status"))
        done = await stage(world, "moderate")
        assert line(done).startswith("There is no API key")
        assert len(shown_with(world, "Screening training data")) == 1  # the outcome stands in the message of the start
        assert buttons(done) == ["Screen training data", "Go on without screening"]
        before = await everything(world)
        asked = answer(await world.reviewer.click(done, label="Go on without screening"))
        assert "12 examples of dataset 1" in shown(asked)
        ((yes,),) = [row["components"] for row in asked.components]
        for result in (
            await world.stranger.click(done, label="Go on without screening"),
            await forged(world, world.stranger, asked.message, yes["custom_id"]),
        ):
            assert said(result).startswith(REFUSAL)
        assert await everything(world) == before
        text = said(await world.reviewer.click(asked, label="Yes, leave 12 unscreened"))
        assert f"Recorded for dataset 1: not screened: {world.reviewer.name} decided so on <t:" in text
        assert "[Train a voice]" in text
        assert (await summary(world)).skipped_by is not None
        assert f"not screened: {world.reviewer.name} decided so" in said(
            await world.owner.slash(world.channel, "status")
        )
        assert f"not screened: {world.reviewer.name} decided so" in said(
            await world.owner.slash(world.channel, "finetune")
        )


async def test_another_failure_offers_no_way_around_the_screening(small: World):
    await up_to(small, "examples")
    small.openai.api_key = "changed"
    done = await stage(small, "moderate")
    assert "does not accept the API key" in line(done)
    assert "Go on without screening" not in buttons(done)


async def test_who_screened_is_said_where_it_matters(coast: World):
    await up_to(coast, "examples")
    assert "not screened" in said(await coast.owner.slash(coast.channel, "status"))
    assert "Screening: not screened; /moderate does it" in said(await coast.owner.slash(coast.channel, "finetune"))
    await stage(coast, "moderate")
    status = said(await coast.owner.slash(coast.channel, "status"))
    assert "screened with omni-moderation-latest" in status
    assert "[Write drafts]" in status
    offer = said(await coast.owner.slash(coast.channel, "finetune"))
    assert "Screening: screened with omni-moderation-latest\n" in offer


# --- the command --------------------------------------------------------------------------------------------------


async def test_batch_is_handed_to_the_stage(coast: World):
    await up_to(coast, "examples")
    await coast.owner.slash(coast.channel, "moderate", batch=True)
    assert await rows(coast, "SELECT json_extract(parameters, '$.batch') FROM jobs WHERE kind = 'moderate'") == [(1,)]
