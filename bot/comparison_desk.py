"""What people do about comparisons: begin one, judge its rounds, and be told at the end whose texts were better."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import aiosqlite

from bot.config import Settings
from bot.drafts import Person
from bot.errors import NothingToDo
from bot.jobs.runner import Beside, Job
from bot.pipeline.compare import Contest, Contestant, compare
from bot.progress import Progress
from bot.store import comparisons, voices
from bot.store.audit import record
from bot.store.comparisons import Comparison, Round, Verdict
from bot.store.database import Database
from bot.training import Voice
from bot.voice_desk import VoiceDesk
from bot.voice_register import VoiceRegister


@dataclass(frozen=True, slots=True)
class Standing:
    """A comparison as it stands: its voices with the names they have now, and every round, the first one first."""

    comparison: Comparison
    one: Voice
    other: Voice
    rounds: list[Round]

    def round(self, number: int) -> Round:
        """Raises NothingToDo where there is no such round."""
        found = next((each for each in self.rounds if each.number == number), None)
        if found is None:
            raise NothingToDo("This round is gone.", "Use /voices compare for another one.")
        return found

    def count(self, verdict: Verdict) -> int:
        return sum(each.verdict is verdict for each in self.rounds)


class ComparisonDesk:
    """Comparisons, as people deal with them. `dice` says which text of a round is shown first."""

    def __init__(
        self,
        database: Database,
        desk: VoiceDesk,
        register: VoiceRegister,
        *,
        settings: Callable[[], Settings],
        dice: random.Random,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._desk = desk
        self._register = register
        self._settings = settings
        self._dice = dice
        self._clock = clock
        self.changed = asyncio.Event()
        """Set whenever a round may have to be shown."""

    async def plan(self, one: str, other: str, prompt: str | None, rounds: int, person: Person) -> Beside:
        """What is to be written beside the job of a comparison. Voices are meant by number or name.

        Without a prompt the voices take turns: the first round has the first one's own, the second the other's. So
        neither is always asked with words that it was not trained with.

        Raises:
            NothingToDo: there is no such voice, it is the same one twice, or no service is set where it lives.
        """
        first, second = await self._register.find(one), await self._register.find(other)
        if first.id == second.id:
            raise NothingToDo("A voice cannot be compared with itself.", "Name two voices; /voices list shows them.")
        contestants = [self._contestant(voice) for voice in (first, second)]
        prompts = [prompt or contestants[number % 2].voice.user_message for number in range(rounds)]
        drawn = [(each, self._dice.random() < 0.5) for each in prompts]  # noqa: PLR2004 - a coin

        async def beside(connection: aiosqlite.Connection, job_id: int) -> None:
            now = self._clock()
            number = await comparisons.add_comparison(
                connection, job_id=job_id, one_id=first.id, other_id=second.id, rounds=drawn, now=now
            )
            subject = f"comparison {number}"
            after = f"voices {first.id} and {second.id}, {rounds} rounds"
            await record(connection, person, "compare voices", subject, now=now, after=after)

        return beside

    async def write(self, job: Job) -> AsyncIterator[Progress]:
        """The stage of a comparison's job; see `bot.pipeline.compare` for what it raises."""
        comparison = await comparisons.comparison_of_job(self._database, job.id)
        if comparison is None:
            raise NothingToDo("There is nothing to compare any more.", "Use /voices compare again.")
        standing = await self._standing(comparison)
        contest = Contest(
            self._database,
            comparison,
            self._contestant(standing.one),
            self._contestant(standing.other),
            self._settings().budget.monthly_limit,
            self.changed.set,
            self._clock,
            self._settings().budget.caps,
        )
        async for progress in compare(contest):
            yield progress

    async def judge(self, comparison_id: int, number: int, choice: str, person: Person) -> tuple[Standing, bool]:
        """Keep the verdict "a", "b" or "neither" on a round. Returns how all stands then, and whether this one counted.

        Raises:
            NothingToDo: there is no such round, or it is not written yet.
        """
        found = (await self.standing(comparison_id)).round(number)
        if found.one_text is None or found.other_text is None:
            raise NothingToDo("This round is not written yet.", "Wait until both texts are there.")
        verdict = verdict_on(found, choice)
        async with self._database.write() as connection:
            counted = await comparisons.judge(connection, comparison_id, number, verdict, person, now=self._clock())
        return await self.standing(comparison_id), counted

    async def standing(self, comparison_id: int) -> Standing:
        """How a comparison stands. Raises NothingToDo where there is none."""
        comparison = await comparisons.get_comparison(self._database, comparison_id)
        if comparison is None:
            raise NothingToDo("This comparison is gone.", "Use /voices compare for another one.")
        return await self._standing(comparison)

    async def _standing(self, comparison: Comparison) -> Standing:
        one = await voices.get_voice(self._database, comparison.one_id)
        other = await voices.get_voice(self._database, comparison.other_id)
        if one is None or other is None:
            raise NothingToDo("A voice of this comparison is gone.", "Use /voices compare for another one.")
        return Standing(comparison, one, other, await comparisons.rounds_of(self._database, comparison.id))

    def _contestant(self, voice: Voice) -> Contestant:
        return Contestant(self._desk.as_it_writes(voice), self._desk.writer(voice))


def verdict_on(found: Round, choice: str) -> Verdict:
    """Whose text is better, where somebody says that A, B or neither is."""
    match choice:
        case "a":
            return Verdict.ONE if found.one_first else Verdict.OTHER
        case "b":
            return Verdict.OTHER if found.one_first else Verdict.ONE
        case _:
            return Verdict.NEITHER
