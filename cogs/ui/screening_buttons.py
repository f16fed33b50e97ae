"""What people press and choose in the review of a screening, in its thresholds, and to go on without one.

Ids are `screening:<dataset>:<position>:<category>:<action>`: everything that a press needs, also after a restart.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Self

import discord

from bot.app import App
from bot.client import Client
from bot.errors import NothingToDo
from bot.jobs.runner import Job, JobState
from bot.permissions import Level
from bot.store.datasets import get_dataset, newest_dataset
from cogs.ui.buttons import person
from cogs.ui.dataset_message import Result
from cogs.ui.items import DurableButton, DurableSelect, Form, view_of
from cogs.ui.limits import BUTTON_LABEL, OPTION_TEXT, SELECT_OPTIONS, cut, embed, foreign, web_address
from cogs.ui.next_step import NextStepButton, step_view
from cogs.ui.screening_review import (
    ALL,
    EVERY,
    Place,
    Review,
    Step,
    by_count,
    category_number,
    decision,
    find_review,
    is_cut,
    named,
    render,
    replaced,
    standing,
)
from cogs.ui.screening_thresholds import (
    categories_to_rule,
    read_threshold,
    render_thresholds,
    threshold_form,
    what_changed,
)

_PLACE = r"screening:(?P<dataset>\d{1,15}):(?P<position>\d{1,15}):(?P<category>\d{1,10})"
_NEWEST = 0
"""Instead of a dataset's number: the newest, whichever it is when somebody presses."""
_NAME = 40  # characters of a category's name on a button
_NONE_OF_IT = "Nothing is flagged for that category any more."


class Press(StrEnum):
    """What a button does; the last part of its id, but for the number that a confirmation has."""

    LOOK = "look"
    KEEP = "keep"
    DROP = "drop"
    PREVIOUS = "previous"
    NEXT = "next"
    READ = "read"
    KEEP_ALL = "keep-all"
    DROP_ALL = "drop-all"
    BACK = "back"
    THRESHOLDS = "thresholds"
    CHANGE = "change"
    SKIP = "skip"


_LABELS = {
    Press.LOOK: "Look at them",
    Press.KEEP: "Keep",
    Press.DROP: "Drop",
    Press.PREVIOUS: "Previous",
    Press.NEXT: "Next",
    Press.READ: "Read all",
    Press.BACK: "Back to the examples",
    Press.THRESHOLDS: "Thresholds",
    Press.SKIP: "Go on without screening",
}
_STYLES = {
    Press.LOOK: discord.ButtonStyle.primary,
    Press.KEEP: discord.ButtonStyle.success,
    Press.DROP: discord.ButtonStyle.danger,
    Press.CHANGE: discord.ButtonStyle.primary,
}


class ScreeningButton(
    DurableButton,
    template=_PLACE + rf":(?P<press>{'|'.join(Press)})(?::(?P<confirmed>\d{{1,15}}))?",
    needs=Level.REVIEWER,
):
    """One of the buttons. What concerns many examples counts once a press names how many are meant."""

    def __init__(self, place: Place, press: Press, label: str = "", *, confirmed: int | None = None) -> None:
        self.place = place
        self.press = press
        self.confirmed = confirmed
        number = "" if confirmed is None else f":{confirmed}"
        super().__init__(
            discord.ui.Button(
                label=cut(label or _LABELS.get(press, press), BUTTON_LABEL),
                style=discord.ButtonStyle.danger
                if confirmed is not None
                else _STYLES.get(press, discord.ButtonStyle.secondary),
                custom_id=f"{_id(place)}:{press}{number}",
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        confirmed = match["confirmed"]
        return cls(_place(match), Press(match["press"]), confirmed=None if confirmed is None else int(confirmed))

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        place = self.place
        match self.press:
            case Press.KEEP | Press.DROP:
                await _decide(interaction, place, keep=self.press is Press.KEEP)
            case Press.KEEP_ALL | Press.DROP_ALL:
                await _decide_all(interaction, place, self.press, self.confirmed)
            case Press.READ:
                await _read(interaction, place)
            case Press.CHANGE:
                await _open_form(interaction, place)
            case Press.SKIP:
                await _skip(interaction, place.dataset_id, confirmed=self.confirmed is not None)
            case Press.LOOK | Press.THRESHOLDS | Press.BACK | Press.PREVIOUS | Press.NEXT:
                await _turn(interaction, place, self.press)


class CategorySelect(DurableSelect, template=_PLACE + r":(?P<use>category|threshold)", needs=Level.REVIEWER):
    """Chooses the category to look at, or whose threshold to change."""

    def __init__(self, place: Place, use: str, categories: Sequence[tuple[str, str]] = ()) -> None:
        """`categories` are names, each with what is to be said of it."""
        self.place = place
        self.use = use
        options = [discord.SelectOption(label=EVERY.capitalize(), value=str(ALL), default=place.category == ALL)]
        options += [
            discord.SelectOption(
                label=cut(" ".join(name.split()), OPTION_TEXT) or "(no name)",
                value=str(category_number(name)),
                description=cut(about, OPTION_TEXT) or None,
                default=place.category == category_number(name),
            )
            for name, about in categories[: SELECT_OPTIONS - 1]
        ]
        super().__init__(discord.ui.Select(custom_id=f"{_id(place)}:{use}", options=options))

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(_place(match), match["use"])

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer()
        chosen = int(self.item.values[0])
        place = Place(self.place.dataset_id, self.place.position, chosen)
        if self.use == "threshold":
            await _show_thresholds(interaction, place)
            return
        review = await _find(interaction, place, Step.HERE if chosen == ALL else Step.FIRST)
        await _show(interaction, review, _NONE_OF_IT if review.category is None and chosen != ALL else "")


# --- the review -----------------------------------------------------------------------------------------------


async def screening_result(app: App, job: Job) -> Result | None:
    """What leads on from the end of a screening, where that depends on more than the job."""
    if job.state is JobState.FAILED and not app.stages.can_screen:
        return Result(view=view_of(NextStepButton("moderate"), ScreeningButton(Place(_NEWEST), Press.SKIP)))
    dataset_id = job.progress.dataset_id if job.progress is not None else None
    if job.state is not JobState.SUCCEEDED or dataset_id is None:
        return None
    if await get_dataset(app.database, dataset_id) is None:
        return None
    found = await app.screenings.summary(dataset_id)
    train = NextStepButton("finetune", is_likeliest=not found.by_category)
    write = NextStepButton("generate", is_likeliest=False)
    if found.by_category:
        return Result(view=view_of(ScreeningButton(Place(dataset_id), Press.LOOK), train, write))
    # Nothing is flagged: somebody may want stricter thresholds, but that is not what comes next.
    return Result(view=view_of(train, write, ScreeningButton(Place(dataset_id), Press.THRESHOLDS)))


async def _turn(interaction: discord.Interaction[Client], place: Place, press: Press) -> None:
    await _acknowledge(interaction)
    if press is Press.THRESHOLDS:
        await _show_thresholds(interaction, place)
        return
    steps = {Press.LOOK: Step.FIRST, Press.PREVIOUS: Step.PREVIOUS, Press.NEXT: Step.NEXT, Press.BACK: Step.HERE}
    await _show(interaction, await _find(interaction, place, steps[press]))


async def _decide(interaction: discord.Interaction[Client], place: Place, *, keep: bool) -> None:
    await _acknowledge(interaction)
    before = (await _find_open(interaction, place)).example
    await interaction.client.app.screenings.decide_example(place.dataset_id, place.position, keep, person(interaction))
    name = f"Example {place.position + 1}"
    notice = f"{name} is kept: it is set aside no more." if keep else f"{name} is dropped: it stays set aside."
    if before is not None and before.position == place.position and before.decision is not None:
        notice += f" Until now it was {decision(before)}."
    await _show(interaction, await _find(interaction, place, Step.UNDECIDED), notice)


async def _decide_all(
    interaction: discord.Interaction[Client], place: Place, press: Press, confirmed: int | None
) -> None:
    await _acknowledge(interaction)
    review = await _find_open(interaction, place)
    if review.category is None:
        await _show(interaction, review, _NONE_OF_IT)
        return
    if confirmed != _meant(review):  # nobody was asked yet, or somebody has decided meanwhile
        await _ask(interaction, review, press)
        return
    app, category = interaction.client.app, review.category
    await app.screenings.decide_category(place.dataset_id, category, press is Press.KEEP_ALL, person(interaction))
    now = await _find(interaction, place)
    notice = f"{foreign(cut(category, _NAME))}: {'kept' if press is Press.KEEP_ALL else 'dropped'} as a whole."
    if press is Press.KEEP_ALL and now.category is not None and now.undecided:
        notice += f" {now.undecided:,} of them are flagged for something else too, and wait for a decision on that."
    if not now.undecided:  # on to what is left of the other categories
        now = await _find(interaction, Place(place.dataset_id, place.position), Step.UNDECIDED)
    await _show(interaction, now, notice)


def _meant(review: Review) -> int:
    """How many examples a decision about the whole category is about: those that wait for one, or all once more."""
    return review.undecided or review.count


async def _ask(interaction: discord.Interaction[Client], review: Review, press: Press) -> None:
    """Ask whether so many are meant."""
    name, meant = foreign(cut(review.category or EVERY, _NAME)), _meant(review)
    verb = "Keep" if press is Press.KEEP_ALL else "Drop"
    question = f"{review.undecided or 'None'} of {review.count:,} flagged for {name} are not decided yet."
    if press is Press.KEEP_ALL:
        question += " Those that you keep are set aside no more, unless they are flagged for something else too."
    else:
        question += " Those that you drop stay set aside."
    question += " What somebody has decided one by one stays as it is."
    yes = ScreeningButton(review.place, press, f"Yes, {verb.lower()} {meant:,}", confirmed=meant)
    view = view_of(yes, ScreeningButton(review.place, Press.BACK))
    await interaction.edit_original_response(
        embed=embed(title=f"{verb} all of {name}?", description=question), view=view
    )


async def _read(interaction: discord.Interaction[Client], place: Place) -> None:
    await interaction.response.defer(ephemeral=True, thinking=True)
    review = await _find(interaction, place)
    example = review.example
    if example is None or example.position != place.position:
        raise NothingToDo("That example is not flagged any more.", "Look at those that are.")
    text = example.assistant if review.asked is None else f"{review.asked}\n\n---\n\n{example.assistant}"
    name = f"example-{example.position + 1}.txt"
    file = discord.File(io.BytesIO(text.encode("utf-8", "replace")), name, spoiler=True)
    await interaction.followup.send(f"Example {example.position + 1}, whole:", file=file, ephemeral=True)


async def _find(interaction: discord.Interaction[Client], place: Place, step: Step | None = Step.HERE) -> Review:
    return await find_review(interaction.client.app.database, place, step)


async def _find_open(interaction: discord.Interaction[Client], place: Place, step: Step | None = Step.HERE) -> Review:
    """The same, for somebody who wants to change something. Raises NothingToDo when that has no effect any more."""
    review = await _find(interaction, place, step)
    if not review.is_open:
        raise replaced(review)
    return review


async def _show(interaction: discord.Interaction[Client], review: Review, notice: str = "") -> None:
    await interaction.edit_original_response(embed=render(review, notice), view=_review_view(review))


async def _acknowledge(interaction: discord.Interaction[Client]) -> None:
    """A press in the review changes it in place; one on a message that everybody sees is answered beside it."""
    if interaction.message is not None and interaction.message.flags.ephemeral:
        await interaction.response.defer()
    else:
        await interaction.response.defer(ephemeral=True, thinking=True)


def _review_view(review: Review) -> discord.ui.View:
    view = view_of()
    place, example = review.place, review.example
    presses = [Press.KEEP, Press.DROP] if example is not None and review.is_open else []
    if review.count > 1:
        presses += [Press.PREVIOUS, Press.NEXT]
    for press in presses:
        view.add_item(ScreeningButton(place, press))
    link = web_address(example.url) if example is not None else None
    if link is not None:
        view.add_item(discord.ui.Button(label="Open the post", url=link))
    counts = by_count(review.screening)
    if counts:
        about = [(each.category, f"{each.flagged:,} flagged, {each.undecided:,} left to decide") for each in counts]
        view.add_item(CategorySelect(place, "category", about))
    if review.category is not None and review.is_open:
        name = cut(" ".join(review.category.split()), _NAME)
        view.add_item(ScreeningButton(place, Press.KEEP_ALL, f"Keep all of {name}"))
        view.add_item(ScreeningButton(place, Press.DROP_ALL, f"Drop all of {name}"))
    if is_cut(review):
        view.add_item(ScreeningButton(place, Press.READ))
    view.add_item(ScreeningButton(place, Press.THRESHOLDS))
    return view


# --- thresholds -----------------------------------------------------------------------------------------------


async def _show_thresholds(interaction: discord.Interaction[Client], place: Place, notice: str = "") -> None:
    review = await _find(interaction, place, None)
    names = await categories_to_rule(interaction.client.app.database, review.dataset, review.screening)
    category = named(place.category, names)
    place = Place(place.dataset_id, place.position, ALL if category is None else place.category)
    view = view_of()
    if review.is_open:
        view.add_item(CategorySelect(place, "threshold", [(name, "") for name in names]))
        label = f"Change it for {cut(' '.join((category or EVERY).split()), _NAME)}"
        view.add_item(ScreeningButton(place, Press.CHANGE, label))
    view.add_item(ScreeningButton(place, Press.BACK))
    shown = render_thresholds(review.screening, category, notice)
    await interaction.edit_original_response(embed=shown, view=view)


async def _open_form(interaction: discord.Interaction[Client], place: Place) -> None:
    # A form must be the first answer, so what it shows is read before it: a few rows, well within 3 seconds.
    review, category = await _rule(interaction, place)
    form = threshold_form(f"{_id(place)}:form", category, review.screening.thresholds.get(category))
    await interaction.response.send_modal(form)


async def _rule(interaction: discord.Interaction[Client], place: Place) -> tuple[Review, str | None]:
    """What the threshold of a place's category is for: None is every category."""
    review = await _find_open(interaction, place, None)
    names = await categories_to_rule(interaction.client.app.database, review.dataset, review.screening)
    category = named(place.category, names)
    if category is None and place.category != ALL:
        raise NothingToDo("That category is not known any more.", "Choose one of those that are shown.")
    return review, category


async def _take_threshold(
    interaction: discord.Interaction[Client], found: re.Match[str], values: dict[str, str]
) -> None:
    value, place = read_threshold(values.get("threshold", "")), _place(found)
    await _acknowledge(interaction)
    review, category = await _rule(interaction, place)
    app, before = interaction.client.app, review.screening.set_aside
    changed = await app.screenings.set_threshold(place.dataset_id, category, value, person(interaction))
    more = (await app.screenings.summary(place.dataset_id)).set_aside - before
    await _show_thresholds(interaction, place, what_changed((changed + more) // 2, (changed - more) // 2))


THRESHOLD_FORM = Form(re.compile(_PLACE + ":form"), Level.REVIEWER, _take_threshold)


# --- without a screening --------------------------------------------------------------------------------------


async def _skip(interaction: discord.Interaction[Client], dataset_id: int, *, confirmed: bool) -> None:
    await _acknowledge(interaction)
    app = interaction.client.app
    if confirmed:
        await app.screenings.skip(dataset_id, person(interaction))
        dataset = await get_dataset(app.database, dataset_id)
        words = (await standing(app.database, dataset)).words if dataset is not None else "not screened"
        text = f"Recorded for dataset {dataset_id}: {words}."
        await interaction.edit_original_response(content=text, embed=None, view=step_view("finetune", "generate"))
        return
    dataset = await newest_dataset(app.database)
    if dataset is None:
        raise NothingToDo("There is no dataset to screen.", "Use /examples first.")
    count = dataset.training_count
    yes = ScreeningButton(Place(dataset.id), Press.SKIP, f"Yes, leave {count:,} unscreened", confirmed=count)
    question = (
        f"Nothing then looks at the {count:,} examples of dataset {dataset.id} before they are trained on. A service"
        " may refuse to train on some of them, or refuse the voice that comes of it. The dataset remembers that it was"
        " not screened, and that you decided so. /moderate screens it at any time, once there is a key."
    )
    shown = embed(title="Go on without screening?", description=question)
    await interaction.edit_original_response(embed=shown, view=view_of(yes))


# --- parts and ids --------------------------------------------------------------------------------------------


def _id(place: Place) -> str:
    return f"screening:{place.dataset_id}:{place.position}:{place.category}"


def _place(match: re.Match[str]) -> Place:
    return Place(int(match["dataset"]), int(match["position"]), int(match["category"]))
