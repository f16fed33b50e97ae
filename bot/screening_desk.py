"""What people decide about the screening of a dataset. Every act is recorded, and the training file follows."""

from __future__ import annotations

from collections.abc import Callable

from bot.config import Settings
from bot.drafts import Person
from bot.pipeline import screening
from bot.pipeline.screening import Flagged, Screening
from bot.store.database import Database


class ScreeningDesk:
    """Screenings, as people look at them and decide about them."""

    def __init__(self, database: Database, *, settings: Callable[[], Settings], clock: Callable[[], float]) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock

    async def summary(self, dataset_id: int) -> Screening:
        """How the screening of a dataset stands. Raises NothingToDo where there is no such dataset."""
        return await screening.summary(self._database, dataset_id)

    async def flagged(self, dataset_id: int, *, category: str | None, offset: int, limit: int) -> list[Flagged]:
        """A part of what is flagged; see `bot.pipeline.screening.flagged`, which raises NothingToDo."""
        return await screening.flagged(self._database, dataset_id, category=category, offset=offset, limit=limit)

    async def decide_example(self, dataset_id: int, position: int, keep: bool, person: Person) -> None:  # noqa: FBT001 - the decision
        """Record that an example is trained on, or not. Raises NothingToDo, or BotError for the file."""
        path, now = self._settings().training_data_file, self._clock()
        await screening.decide_example(
            self._database, dataset_id, position, keep, person, training_data_file=path, now=now
        )

    async def decide_category(self, dataset_id: int, category: str, keep: bool, person: Person) -> int:  # noqa: FBT001 - the decision
        """Record that a whole category is trained on, or not; returns for how many examples that made a change.

        Raises NothingToDo, or BotError for the file.
        """
        path, now = self._settings().training_data_file, self._clock()
        return await screening.decide_category(
            self._database, dataset_id, category, keep, person, training_data_file=path, now=now
        )

    async def set_threshold(self, dataset_id: int, category: str | None, value: float | None, person: Person) -> int:
        """Flag from this score on, for one category or all; returns for how many examples that made a change.

        Raises NothingToDo, or BotError for the file.
        """
        path, now = self._settings().training_data_file, self._clock()
        return await screening.set_threshold(
            self._database, dataset_id, category, value, person, training_data_file=path, now=now
        )

    async def skip(self, dataset_id: int, person: Person) -> None:
        """Record that a dataset is used unscreened. Raises NothingToDo where it was screened."""
        path, now = self._settings().training_data_file, self._clock()
        await screening.skip_screening(self._database, dataset_id, person, training_data_file=path, now=now)
