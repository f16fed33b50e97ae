"""What becomes of a screening: which examples are flagged, what people decide about them, and what is trained on.

An example is trained on if it is flagged for nothing, or somebody decided to keep it. What is flagged follows from the
stored scores and the dataset's thresholds, without any call. Whoever changes something here leaves everything that
follows from it in the same transaction, with the note that the training file is behind.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary

from bot.drafts import Person
from bot.errors import NothingToDo
from bot.examples import Dataset
from bot.pipeline.training_file import repair_training_file
from bot.screening import Act, Decision, Flags, Judgement, Thresholds, Verdicts, thresholds
from bot.screening import flags as flags_of
from bot.store import datasets
from bot.store import screening as store
from bot.store.database import Database
from bot.store.screening import ExampleTexts

# One change at a time: what follows from a decision is worked out from all of them.
_turns: WeakKeyDictionary[Database, asyncio.Lock] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class CategoryCount:
    """The examples flagged for a category, and how many of them were decided which way (see `Verdicts.of`)."""

    category: str
    flagged: int
    undecided: int
    kept: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Screening:
    """How the screening of a dataset stands. The numbers count examples.

    `set_aside` are those that are not trained on: the undecided ones, and those that somebody dropped. `kept` are
    flagged and trained on all the same. `thresholds` has that of every category under None, where there is one.
    `skipped_by` is who said that the dataset is used unscreened, as long as it was not screened after all.
    """

    dataset_id: int
    model: str | None
    judged: int
    total: int
    set_aside: int
    undecided: int
    kept: int
    by_category: tuple[CategoryCount, ...]
    thresholds: Thresholds
    skipped_by: str | None


@dataclass(frozen=True, slots=True)
class Flagged:
    """An example that is flagged, or that somebody dropped. `scores` are those of its `categories`."""

    position: int
    user: str
    assistant: str
    categories: tuple[str, ...]
    scores: Mapping[str, float]
    decision: Literal["keep", "drop"] | None
    decided_by: str | None
    url: str | None
    carried: bool = False
    """The decision was made about the same text in an earlier dataset."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a finished screening came to. `categories` counts the examples that were set aside for each."""

    set_aside: int
    carried: int
    categories: Mapping[str, int]


# --- looking --------------------------------------------------------------------------------------------------


async def summary(database: Database, dataset_id: int) -> Screening:
    """How the screening of a dataset stands.

    Raises:
        NothingToDo: there is no such dataset.
    """
    dataset = await _dataset(database, dataset_id)
    decided = await store.decisions(database, dataset_id)
    flagged = await store.flags(database, dataset_id)
    total = await store.example_count(database, dataset_id)
    acts = await asyncio.to_thread(_acts, flagged, Verdicts(decided))
    skips = [decision.person.name for decision in decided if decision.act is Act.SKIP]
    return Screening(
        dataset_id=dataset_id,
        model=dataset.screened_with,
        # A screening ends when everything is judged.
        judged=total if dataset.screened_with else await _judged_so_far(database, dataset),
        total=total,
        set_aside=len(await store.reasons_set_aside(database, dataset_id)),
        undecided=len(flagged) - len(acts),
        kept=sum(act is Act.KEEP for act in acts.values()),
        by_category=await asyncio.to_thread(_by_category, flagged, acts),
        thresholds=thresholds(decided),
        skipped_by=skips[-1] if skips and not dataset.screened_with else None,
    )


async def flagged(
    database: Database, dataset_id: int, *, category: str | None, offset: int, limit: int
) -> list[Flagged]:
    """A part of the examples that are flagged for a category, in the dataset's order.

    Without a category, of all that are flagged for anything or that somebody dropped.

    Raises:
        NothingToDo: there is no such dataset.
    """
    await _dataset(database, dataset_id)
    verdicts = Verdicts(await store.decisions(database, dataset_id))
    found = await store.flags(database, dataset_id)
    positions = _positions(found, verdicts, category)
    examples: list[Flagged] = []
    for example in await store.placed_examples(database, dataset_id, positions[offset : offset + limit]):
        scores = found.get(example.position, {})
        verdict = verdicts.of(example.position, scores)
        examples.append(
            Flagged(
                position=example.position,
                user=example.user,
                assistant=example.assistant,
                categories=tuple(sorted(scores)),
                scores={name: score for name, score in scores.items() if score is not None},
                decision=None if verdict is None else "keep" if verdict.act is Act.KEEP else "drop",
                decided_by=None if verdict is None else verdict.person.name,
                url=example.url,
                carried=verdict is not None and verdict.carried_from is not None,
            )
        )
    return examples


async def flagged_positions(database: Database, dataset_id: int, *, category: str | None) -> list[tuple[int, bool]]:
    """Where all stand that `flagged` would give, in its order, each with whether it is decided."""
    verdicts = Verdicts(await store.decisions(database, dataset_id))
    found = await store.flags(database, dataset_id)

    def positions() -> list[tuple[int, bool]]:
        return [
            (position, verdicts.of(position, found.get(position, {})) is not None)
            for position in _positions(found, verdicts, category)
        ]

    return await asyncio.to_thread(positions)


def _positions(found: Mapping[int, Flags], verdicts: Verdicts, category: str | None) -> list[int]:
    if category is not None:
        return [position for position, scores in found.items() if category in scores]
    others = verdicts.positions - found.keys()
    return sorted(found.keys() | {position for position in others if verdicts.set_aside(position, {}) is not None})


# --- deciding -------------------------------------------------------------------------------------------------


async def decide_example(
    database: Database,
    dataset_id: int,
    position: int,
    keep: bool,  # noqa: FBT001 - the decision itself
    person: Person,
    *,
    training_data_file: Path,
    now: float,
) -> None:
    """Record that an example is trained on, or is not, whatever is decided about its categories.

    Raises:
        NothingToDo: there is no such example (any more).
        BotError: the file cannot be written; the decision is recorded.
    """
    if not await store.texts_at(database, dataset_id, [position]):
        raise NothingToDo(f"Dataset {dataset_id} has no such example any more.", "Look at the next one.")
    decision = Decision(person, Act.KEEP if keep else Act.DROP, now, position=position)
    await _decide(database, dataset_id, decision, training_data_file)


async def decide_category(
    database: Database,
    dataset_id: int,
    category: str,
    keep: bool,  # noqa: FBT001 - the decision itself
    person: Person,
    *,
    training_data_file: Path,
    now: float,
) -> int:
    """Record that what is flagged for a category is trained on, or is not. Returns for how many that made a change.

    Examples that were decided about one by one stay as they are. One that is flagged for other categories as well is
    kept once all of them are.

    Raises:
        NothingToDo: there is no such dataset.
        BotError: the file cannot be written; the decision is recorded.
    """
    decision = Decision(person, Act.KEEP if keep else Act.DROP, now, category=category)
    return await _decide(database, dataset_id, decision, training_data_file)


async def set_threshold(
    database: Database,
    dataset_id: int,
    category: str | None,
    value: float | None,
    person: Person,
    *,
    training_data_file: Path,
    now: float,
) -> int:
    """Flag texts from this score on (0 to 1), or (None) by the service's own flag; None for every category.

    A category's own threshold wins over that of every category. Decisions stay. Returns for how many examples it
    made a change whether they are trained on.

    Raises:
        NothingToDo: there is no such dataset, or the value is no score.
        BotError: the file cannot be written; the threshold is recorded.
    """
    if value is not None and not 0 <= value <= 1:
        raise NothingToDo("A threshold is a number from 0 to 1.", "0.35, say, or nothing for the service's own flag.")
    decision = Decision(person, Act.THRESHOLD, now, category=category, value=value)
    return await _decide(database, dataset_id, decision, training_data_file)


async def skip_screening(
    database: Database, dataset_id: int, person: Person, *, training_data_file: Path, now: float
) -> None:
    """Record that a dataset is used as it is, without a screening.

    Raises:
        NothingToDo: there is no such dataset, or it was screened.
    """
    dataset = await _dataset(database, dataset_id)
    if dataset.screened_with:
        raise NothingToDo(
            f"Dataset {dataset_id} was screened with {dataset.screened_with}.",
            "There is nothing to skip: use /finetune.",
        )
    await _decide(database, dataset_id, Decision(person, Act.SKIP, now), training_data_file)


async def finish_screening(database: Database, dataset: Dataset, model: str, *, now: float) -> Finished:
    """Take what this model said of a dataset's texts as its screening. The training file is behind from then on.

    What was decided about the same texts in earlier datasets is decided here too, where nothing else was, and the
    newest earlier thresholds hold until there are some here.
    """
    async with _turn(database):
        decided = await store.decisions(database, dataset.id)
        earlier = await _earlier(database, dataset)
        carried = [] if any(each.act is Act.THRESHOLD for each in decided) else _repeated(earlier.thresholds, now)
        found, keys = await _evaluated(
            database, dataset, model, thresholds([*decided, *carried]), wanted=earlier.verdicts.keys()
        )
        own = Verdicts(decided).positions
        for position, key in keys.items():
            verdict = earlier.verdicts[key]
            # A text that was kept and is not flagged any more needs no decision.
            if position not in own and (verdict.act is Act.DROP or position in found):
                carried += _repeated([verdict], now, position)
        verdicts = Verdicts([*decided, *carried])
        reasons = await asyncio.to_thread(_reasons, found, verdicts)
        async with database.write() as connection:
            await store.add_decisions(connection, dataset.id, carried)
            await store.replace_flags(connection, dataset.id, found)
            await datasets.set_aside(connection, dataset.id, reasons, model=model, now=now)
    categories = Counter(category for position in reasons for category in found.get(position, {}))
    return Finished(len(reasons), sum(each.position is not None for each in carried), dict(categories.most_common()))


def judged_texts(example: ExampleTexts, user_message: str) -> tuple[str, ...]:
    """What of an example comes from posts, asks or custom prompts, and not from the owner's standing prompt."""
    return (example.assistant,) if example.user == user_message else (example.assistant, example.user)


def content_hash(text: str) -> str:
    """The SHA-256 of a text, in hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# --- what follows ---------------------------------------------------------------------------------------------


async def _decide(database: Database, dataset_id: int, decision: Decision, training_data_file: Path) -> int:
    async with _turn(database):
        dataset = await _dataset(database, dataset_id)
        before = await store.reasons_set_aside(database, dataset_id)
        decided = [*await store.decisions(database, dataset_id), _as_newest(decision)]
        found = None
        if decision.act is Act.THRESHOLD and dataset.screened_with:
            found, _ = await _evaluated(database, dataset, dataset.screened_with, thresholds(decided))
        known = await store.flags(database, dataset_id) if found is None else found
        after = await asyncio.to_thread(_reasons, known, Verdicts(decided))
        changed = await asyncio.to_thread(_changed, before, after)
        async with database.write() as connection:
            await store.add_decisions(connection, dataset_id, [decision])
            if found is not None:
                await store.replace_flags(connection, dataset_id, found)
            await store.change_set_aside(connection, dataset_id, changed)
    await repair_training_file(database, training_data_file)
    return sum((position in before) != (position in after) for position in changed)


def _turn(database: Database) -> asyncio.Lock:
    return _turns.setdefault(database, asyncio.Lock())


async def _dataset(database: Database, dataset_id: int) -> Dataset:
    dataset = await datasets.get_dataset(database, dataset_id)
    if dataset is None:
        raise NothingToDo(f"Dataset {dataset_id} does not exist.", "Use /examples first.")
    return dataset


def _as_newest(decision: Decision) -> Decision:
    """With an id above any: it has none before it is stored, and the newest counts."""
    return replace(decision, id=2**62)


def _reasons(found: Mapping[int, Flags], verdicts: Verdicts) -> dict[int, str]:
    """Why each of the examples is no part of the training that is none."""
    positions = found.keys() | verdicts.positions
    reasons = {position: verdicts.set_aside(position, found.get(position, {})) for position in sorted(positions)}
    return {position: reason for position, reason in reasons.items() if reason is not None}


def _changed(before: Mapping[int, str], after: Mapping[int, str]) -> dict[int, str | None]:
    positions = before.keys() | after.keys()
    return {position: after.get(position) for position in positions if before.get(position) != after.get(position)}


def _acts(found: Mapping[int, Flags], verdicts: Verdicts) -> dict[int, Act]:
    """What was decided about each of the flagged examples that anything was decided about."""
    return {position: verdict.act for position in found if (verdict := verdicts.of(position, found[position]))}


def _by_category(found: Mapping[int, Flags], acts: Mapping[int, Act]) -> tuple[CategoryCount, ...]:
    flagged_for, kept, dropped = Counter[str](), Counter[str](), Counter[str]()
    for position, scores in found.items():
        flagged_for.update(scores.keys())  # a mapping itself would add its values
        act = acts.get(position)
        if act is not None:
            (kept if act is Act.KEEP else dropped).update(scores.keys())
    return tuple(
        CategoryCount(name, count, count - kept[name] - dropped[name], kept[name], dropped[name])
        for name, count in sorted(flagged_for.items(), key=lambda item: (-item[1], item[0]))
    )


async def _evaluated(
    database: Database, dataset: Dataset, model: str, rules: Thresholds, wanted: Iterable[str] = ()
) -> tuple[dict[int, Flags], dict[int, str]]:
    """What each example is flagged for, and the key (see `_key`) of each one that has a wanted key."""
    looked_for = set(wanted)
    found: dict[int, Flags] = {}
    keys: dict[int, str] = {}
    position = -1
    while page := await store.texts_after(database, dataset.id, position):
        position = page[-1].position
        hashed = await asyncio.to_thread(_hashed, page, dataset.user_message)
        known = await store.judgements(database, [key for each in hashed.values() for key in each], model)

        def evaluate(hashed: Mapping[int, tuple[str, ...]] = hashed, known: Mapping[str, Judgement] = known) -> None:
            for at, hashes in hashed.items():
                if flagged_for := flags_of([known[each] for each in hashes if each in known], rules):
                    found[at] = flagged_for
                if looked_for and (key := _key(hashes)) in looked_for:
                    keys[at] = key

        await asyncio.to_thread(evaluate)
    return found, keys


def _hashed(page: Iterable[ExampleTexts], user_message: str) -> dict[int, tuple[str, ...]]:
    return {each.position: tuple(map(content_hash, judged_texts(each, user_message))) for each in page}


def _key(hashes: Sequence[str]) -> str:
    """By which an example with the same texts is known again in another dataset."""
    return " ".join(hashes)


async def _judged_so_far(database: Database, dataset: Dataset) -> int:
    count, position = 0, -1
    while page := await store.texts_after(database, dataset.id, position):
        position = page[-1].position
        hashed = await asyncio.to_thread(_hashed, page, dataset.user_message)
        known = await store.judged(database, [key for each in hashed.values() for key in each], None)
        count += sum(known.issuperset(each) for each in hashed.values())
    return count


# --- what earlier datasets know -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Earlier:
    """The newest thresholds before a dataset, and by an example's key the newest verdict about it."""

    thresholds: Sequence[Decision]
    verdicts: Mapping[str, Decision]


async def _earlier(database: Database, dataset: Dataset) -> _Earlier:
    newest: list[Decision] = []
    known: dict[str, Decision] = {}
    for dataset_id in await store.decided_datasets(database, before=dataset.id):
        earlier = await _dataset(database, dataset_id)
        decided = await store.decisions(database, dataset_id)
        newest = [each for each in decided if each.act is Act.THRESHOLD] or newest
        found = await store.flags(database, dataset_id)
        verdicts = Verdicts(decided)
        of = {
            position: verdicts.of(position, found.get(position, {})) for position in found.keys() | verdicts.positions
        }
        texts = await store.texts_at(database, dataset_id, sorted(position for position in of if of[position]))
        hashed = await asyncio.to_thread(_hashed, texts, earlier.user_message)
        for position, hashes in hashed.items():
            if verdict := of[position]:
                known[_key(hashes)] = verdict
    return _Earlier(newest, known)


def _repeated(earlier: Iterable[Decision], now: float, position: int | None = None) -> list[Decision]:
    """Decisions of an earlier dataset, as decisions of this one; `position` is that of the example they are about."""
    return [
        Decision(
            each.person,
            each.act,
            now,
            position=position,
            category=None if position is not None else each.category,
            value=each.value,
            carried_from=each.id,
            id=0,
        )
        for each in earlier
    ]
