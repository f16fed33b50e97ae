"""The review of what a screening flagged: one example at a time, and where somebody stands in it.

Nothing is remembered between presses: a `Place` is in every id, and the rest is in the database. So a review goes on
after a restart, and several people may hold one at once.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import discord

from bot.errors import NothingToDo
from bot.examples import Dataset
from bot.pipeline import screening
from bot.pipeline.screening import CategoryCount, Flagged, Screening
from bot.screening import Decision
from bot.store import datasets
from bot.store import screening as store
from bot.store.database import Database
from cogs.ui.limits import cut, embed, foreign, web_address

ALL = 0
"""The number that stands for every category together."""
EVERY = "every category"

_TEXT_ROOM = 2000  # as Discord counts; longer ones would push the buttons out of sight
_USER_ROOM = 900  # of a field
_FLAGS_ROOM = 600
_NOTHING = "(no text)"
_ADDRESS = re.compile(r"https?://[^\s<>]+")
_ZERO_WIDTH = "\u200b"
_SET_ASIDE = "What is set aside is not trained on, as long as nobody keeps it."


class Step(StrEnum):
    """Which example to show, from the one that somebody has before them."""

    HERE = "here"
    NEXT = "next"
    PREVIOUS = "previous"
    FIRST = "first"
    """The first that is undecided; where there is none, the first."""
    UNDECIDED = "undecided"
    """The next that is undecided; where there is none, the same."""


@dataclass(frozen=True, slots=True)
class Place:
    """A dataset, an example's position in it, and the number of the category that is looked at (`ALL`: every one)."""

    dataset_id: int
    position: int = 0
    category: int = ALL


@dataclass(frozen=True, slots=True)
class Review:
    """What there is to see at a place. `number` counts the examples of the category, from 1; `count` is their number.

    `example` is None when nothing is flagged there (any more).
    """

    place: Place
    dataset: Dataset
    newest_id: int
    screening: Screening
    category: str | None
    example: Flagged | None
    number: int
    count: int
    undecided: int

    @property
    def is_open(self) -> bool:
        """Whether decisions still count: only the newest dataset is trained on."""
        return self.dataset.id == self.newest_id

    @property
    def asked(self) -> str | None:
        """What the example answers, unless it is the prompt that nearly all of them answer."""
        if self.example is None or self.example.user == self.dataset.user_message:
            return None
        return self.example.user


def category_number(name: str) -> int:
    """A number for an id: names are too long for one, and their order changes. The same name has always the same."""
    return zlib.crc32(name.encode("utf-8", "surrogatepass")) or 1


def named(number: int, names: Iterable[str]) -> str | None:
    """The category with this number; None for `ALL`, and for one that is not among them."""
    return next((name for name in names if category_number(name) == number), None)


async def find_review(database: Database, place: Place, step: Step | None = Step.HERE) -> Review:
    """What is to be shown at a place, or a step from there; with None no example is looked for.

    Raises:
        NothingToDo: the dataset is gone.
    """
    newest = await datasets.newest_dataset(database)
    is_newest = newest is not None and newest.id == place.dataset_id
    dataset = newest if is_newest else await datasets.get_dataset(database, place.dataset_id)
    if dataset is None or newest is None:
        raise NothingToDo(f"Dataset {place.dataset_id} does not exist any more.", "Use /examples to make another one.")
    found = await screening.summary(database, dataset.id)
    category = named(place.category, [each.category for each in found.by_category])
    places = await screening.flagged_positions(database, dataset.id, category=category) if step is not None else []
    index = _index(places, place.position, step) if places and step is not None else 0
    examples = await screening.flagged(database, dataset.id, category=category, offset=index, limit=1) if places else []
    example = examples[0] if examples else None
    return Review(
        place=Place(
            dataset.id,
            example.position if example is not None else place.position,
            category_number(category) if category is not None else ALL,
        ),
        dataset=dataset,
        newest_id=newest.id,
        screening=found,
        category=category,
        example=example,
        number=index + 1,
        count=len(places),
        undecided=sum(not is_decided for _, is_decided in places),
    )


def _index(places: Sequence[tuple[int, bool]], position: int, step: Step) -> int:
    """Which of the flagged examples (position, whether it is decided) to show, from the one at `position`."""
    here = bisect_left(places, (position,)) % len(places)  # past the last comes the first
    match step:
        case Step.HERE:
            return here
        case Step.PREVIOUS:
            return here - 1 if here else len(places) - 1
        case Step.NEXT:
            return bisect_left(places, (position + 1,)) % len(places)
        case Step.FIRST | Step.UNDECIDED:
            begin = 0 if step is Step.FIRST else bisect_left(places, (position + 1,))
            order = [*range(begin, len(places)), *range(begin)]
            return next((index for index in order if not places[index][1]), 0 if step is Step.FIRST else here)


# --- how it looks ---------------------------------------------------------------------------------------------


def render(review: Review, notice: str = "") -> discord.Embed:
    """The example as people see it; its text only to those who press on it."""
    example, dataset = review.example, review.dataset
    if example is None:
        return embed(
            title=f"Screening of dataset {dataset.id}",
            description=_lines(_bold(notice), "Nothing is flagged.", None if review.is_open else str(replaced(review))),
        )
    text, _ = spoiler(example.assistant, _TEXT_ROOM)
    fields = [("Flagged for", _flags(example), True), ("Decision", decision(example), True)]
    if review.asked is not None:
        fields.append(("Written in answer to", spoiler(review.asked, _USER_ROOM)[0], False))
    heading = _lines(_bold(notice), _where(review), None if review.is_open else str(replaced(review)))
    return embed(
        title=f"Example {example.position + 1} of dataset {dataset.id}",
        url=web_address(example.url),
        description=f"{heading}\n\n{text}",
        fields=fields,
        footer=_SET_ASIDE,
    )


def is_cut(review: Review) -> bool:
    """Whether the message shows less than the whole example."""
    if review.example is None:
        return False
    return spoiler(review.example.assistant, _TEXT_ROOM)[1] or spoiler(review.asked or "", _USER_ROOM)[1]


def spoiler(text: str, room: int) -> tuple[str, bool]:
    """Text of a stranger behind a spoiler, in `room` UTF-16 units at most, and whether something was left out."""
    # `foreign` leaves addresses as they are, but Discord ends a spoiler at two pipes wherever they stand.
    whole = _ADDRESS.sub(lambda found: found[0].replace("|", "%7C"), text.strip()) or _NOTHING
    harmless = foreign(whole)
    shown = cut(harmless, room - len("||||") - len(_ZERO_WIDTH))
    # A pipe at the very end would make the closing mark begin one too early.
    return f"||{shown}{_ZERO_WIDTH if shown.endswith('|') else ''}||", shown != harmless


def decision(example: Flagged) -> str:
    """What was decided, and by whom."""
    if example.decision is None:
        return "not yet"
    done = f"{'kept' if example.decision == 'keep' else 'dropped'} by {foreign(example.decided_by or 'somebody')}"
    return f"{done}, in an earlier dataset" if example.carried else done


def by_count(found: Screening) -> list[CategoryCount]:
    """The categories that something is flagged for, the largest first."""
    return sorted((each for each in found.by_category if each.flagged), key=lambda each: -each.flagged)


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether and how a dataset was screened, in words; `is_settled` once it was, or somebody decided against it."""

    words: str
    is_settled: bool


async def standing(database: Database, dataset: Dataset) -> Standing:
    """Look up how the screening of a dataset ended."""
    return standing_of(dataset, await store.skip_of(database, dataset.id))


def standing_of(dataset: Dataset, skip: Decision | None) -> Standing:
    """The same, where it is known already whether somebody decided to `skip` it."""
    if dataset.screened_with:
        return Standing(f"screened with {foreign(dataset.screened_with)}", is_settled=True)
    if skip is not None:
        who, when = foreign(skip.person.name), f"<t:{int(skip.at)}:D>"
        return Standing(f"not screened: {who} decided so on {when}", is_settled=True)
    return Standing("not screened", is_settled=False)


def share(score: float) -> str:
    """A score between 0 and 1, in percent; small ones keep a digit."""
    percent = 100 * score
    return f"{percent:.0f}%" if percent >= 10 else f"{percent:.1f}%"  # noqa: PLR2004 - below that a digit counts


def _flags(example: Flagged) -> str:
    ordered = sorted(example.categories, key=lambda name: -example.scores.get(name, 0.0))
    lines = [f"{foreign(name)} {share(example.scores[name]) if name in example.scores else ''}" for name in ordered]
    return cut("\n".join(line.strip() for line in lines), _FLAGS_ROOM) or "nothing any more"


def _where(review: Review) -> str:
    among = f" for {foreign(cut(review.category, 80))}" if review.category is not None else ""
    left = f"{review.undecided:,} left to decide" if review.undecided else "nothing is left to decide"
    return f"{review.number:,} of {review.count:,} flagged{among} · {left}"


def replaced(review: Review) -> NothingToDo:
    """Why nothing can be decided here any more."""
    return NothingToDo(
        f"Dataset {review.newest_id} has taken the place of dataset {review.dataset.id}, so nothing is decided here"
        " any more.",
        "/moderate screens the newest, and remembers what was decided about the same texts.",
    )


def _bold(notice: str) -> str:
    return f"**{notice}**" if notice else ""


def _lines(*lines: str | None) -> str:
    return "\n".join(line for line in lines if line)
