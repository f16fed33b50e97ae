"""What people do with the voices there are: look them up, choose which one writes, rename, retire and add them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from bot.config import Settings
from bot.drafts import Person
from bot.errors import ModelError, ModelUnauthorized, NothingToDo
from bot.language.endpoint import service_name
from bot.language.models import ModelCard, find_model
from bot.model_services import ModelServices
from bot.store import voices
from bot.store.audit import record
from bot.store.database import Database
from bot.store.voices import Record
from bot.training import Training, TrainingApi, Voice, VoiceKind
from bot.voice_desk import VoiceDesk
from bot.voices.kinds import api_of, kind_of, learns

LONGEST_NAME = 80
_ASKED = 6.0  # seconds for a question that somebody waits for, and that can do without an answer
_NUMBER = re.compile(r"#?\s*(\d{1,15})")


@dataclass(frozen=True, slots=True)
class Entry:
    """A voice as the register has it. `writes` says whether /generate writes with it now."""

    voice: Voice
    record: Record
    writes: bool
    training: Training | None = None


@dataclass(frozen=True, slots=True)
class Retired:
    """A voice that was taken out of use; `instead` writes from now on where this one did, `notice` if not for long."""

    voice: Voice
    instead: Voice | None = None
    notice: str = ""


class VoiceRegister:
    """The voices, as people deal with them. `choose` puts options into force; it returns a sentence if they won't last.

    Every change is written down with who made it, in the transaction that makes it.
    """

    def __init__(
        self,
        database: Database,
        services: ModelServices,
        desk: VoiceDesk,
        *,
        settings: Callable[[], Settings],
        choose: Callable[[Mapping[str, object]], Awaitable[str]],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._services = services
        self._desk = desk
        self._settings = settings
        self._choose = choose
        self._clock = clock

    # --- looking --------------------------------------------------------------------------------------------------

    async def entries(self) -> list[Entry]:
        """Every voice: the one that writes, then the newest first, the retired ones last."""
        current = await self._desk.current()
        records = await voices.records(self._database)
        found = [
            Entry(each, records.get(each.id, Record()), writes=each.id == current.id)
            for each in await voices.all_voices(self._database)
        ]
        return sorted(found, key=lambda entry: (entry.voice.is_retired, not entry.writes))

    async def entry(self, text: str) -> Entry:
        """All there is of one voice. Raises NothingToDo as `find` does."""
        voice = await self.find(text)
        current = await self._desk.current()
        training = None if voice.training_id is None else await voices.get_training(self._database, voice.training_id)
        records = await voices.records(self._database)
        return Entry(
            self._desk.as_it_writes(voice),
            records.get(voice.id, Record()),
            writes=voice.id == current.id,
            training=training,
        )

    async def find(self, text: str) -> Voice:
        """The voice that somebody means by its number or its name.

        Raises:
            NothingToDo: there is none, or several have that name.
        """
        wanted = " ".join(text.split())
        everyone = await voices.all_voices(self._database)
        number = _NUMBER.fullmatch(wanted)
        found = [each for each in everyone if number is not None and each.id == int(number[1])]
        found = found or [each for each in everyone if each.name.casefold() == wanted.casefold()]
        if not found:
            raise NothingToDo("There is no such voice.", "/voices list shows them all with their numbers.")
        if len(found) > 1:
            numbers = ", ".join(str(each.id) for each in reversed(found))
            raise NothingToDo(f"Several voices have that name: {numbers}.", "Name the one you mean by its number.")
        return found[0]

    # --- changing -------------------------------------------------------------------------------------------------

    async def use(self, text: str, person: Person) -> tuple[Voice, str]:
        """Write with a voice from now on. Returns it, with a sentence if the choice will not last.

        Raises:
            NothingToDo: there is no such voice, it is retired, or no service is set where it lives.
        """
        voice = await self.find(text)
        if voice.is_retired:
            step = f"Bring it back first: /voices retire voice:{voice.id} bring_back:true."
            raise NothingToDo(f"Voice {voice.id} is retired.", step)
        self._desk.writer(voice)  # says so where it could not write
        before = await self._desk.current()
        untrained = await self._desk.untrained()
        async with self._database.write() as connection:
            # What writes when nobody has chosen needs no choice, and so follows the settings.
            if voice.id == untrained.id:
                await voices.activate_none(connection)
            else:
                await voices.activate_voice(connection, voice.id)
            await record(connection, person, "use voice", _named(voice), now=self._clock(), before=_named(before))
        notice = await self._choose({"fine_tuned_model": voice.model if learns(voice.kind) else ""})
        return voice, notice if voice.id == untrained.id else ""  # what the register says wins over config.toml

    async def rename(self, text: str, name: str, person: Person) -> Voice:
        """Give a voice another name.

        Raises:
            NothingToDo: there is no such voice, or no name in it.
        """
        voice = await self.find(text)
        renamed = replace(voice, name=_name(name))
        async with self._database.write() as connection:
            await voices.rename_voice(connection, voice.id, renamed.name)
            await record(
                connection,
                person,
                "rename voice",
                f"voice {voice.id}",
                now=self._clock(),
                before=voice.name,
                after=renamed.name,
            )
        return renamed

    async def retire(self, text: str, person: Person) -> Retired:
        """Take a voice out of use.

        Raises:
            NothingToDo: there is no such voice, it is retired already, or it is the last way to write.
        """
        voice = await self.find(text)
        if voice.is_retired:
            raise NothingToDo(f"Voice {voice.id} is retired already.", "bring_back:true brings it back.")
        if voice.id == (await self._desk.untrained()).id:
            raise NothingToDo(
                f"Voice {voice.id} is what writes when no other voice can, so it stays.",
                "Set another model under [openai.generation] if this one should not write.",
            )
        writes = voice.id == (await self._desk.current()).id
        async with self._database.write() as connection:
            await voices.retire_voice(connection, voice.id, now=self._clock())
            await record(connection, person, "retire voice", _named(voice), now=self._clock(), before="in use")
        notice = ""
        if self._settings().fine_tuned_model == voice.model and learns(voice.kind):
            notice = await self._choose({"fine_tuned_model": ""})
        return Retired(voice, await self._desk.current(), notice) if writes else Retired(voice)

    async def bring_back(self, text: str, person: Person) -> Voice:
        """Let a retired voice be chosen again.

        Raises:
            NothingToDo: there is no such voice, or it is not retired.
        """
        voice = await self.find(text)
        if not voice.is_retired:
            raise NothingToDo(f"Voice {voice.id} is not retired.", f"/voices use voice:{voice.id} writes with it.")
        async with self._database.write() as connection:
            await voices.bring_back_voice(connection, voice.id)
            await record(connection, person, "bring back voice", _named(voice), now=self._clock(), before="retired")
        return replace(voice, retired_at=None)

    async def add(
        self, model: str, kind: VoiceKind | None, name: str | None, person: Person, *, like: str | None = None
    ) -> tuple[Voice, bool]:
        """Register a model that was made elsewhere. Returns the voice, and whether its service says that it has it.

        It is asked with the messages of the voice `like`, whose training it comes from, or else with the settings'.

        Raises:
            NothingToDo: the service says that it has no such model, it is a voice already, there is no key, or there is
                no voice `like`.
            ModelUnauthorized: the service does not take the key.
        """
        settings = self._settings()
        base_url = settings.endpoint("fine_tuning").base_url
        kind = kind or kind_of(api_of(base_url, settings.openai.fine_tuning.api))
        if not learns(kind):
            base_url = settings.endpoint("generation").base_url
        model = model.strip()
        known = await voices.find_voice(self._database, kind, model, base_url)
        if known is not None:
            step = f"/voices use voice:{known.id} writes with it."
            if known.is_retired:
                step = f"/voices retire voice:{known.id} bring_back:true brings it back."
            raise NothingToDo(f"This model is voice {known.id} already.", step)
        twin = await self.find(like) if like else None
        card = await self._look_up(base_url, model)
        now = self._clock()
        voice = Voice(
            id=0,
            kind=kind,
            name=_name(name or model),
            model=model,
            base_url=base_url,
            dataset_id=twin.dataset_id if twin else None,
            developer_message=(twin or settings).developer_message,
            user_message=(twin or settings).user_message,
            cost=0.0,
            active=False,
            created_at=now,
            settings=(*(twin.settings if twin else ()), ("Added", f"by {person.name}")),
            shutdown_date=card.shutdown_date if card else None,
        )
        async with self._database.write() as connection:
            voice = replace(voice, id=await voices.add_voice(connection, voice))
            await record(connection, person, "add voice", _named(voice), now=now, after=model)
        return voice, card is not None

    async def _look_up(self, base_url: str, model: str) -> ModelCard | None:
        """What the service says of a model; None where it does not tell."""
        service = self._services.at(base_url)
        if api_of(base_url, self._settings().openai.fine_tuning.api) is TrainingApi.AZURE:
            return None  # what writes there is a deployment, which is on no list of models
        try:
            async with asyncio.timeout(_ASKED):
                card = await find_model(service.with_model(model))
        except ModelUnauthorized:
            raise
        except (ModelError, TimeoutError):
            return None
        if card is None:
            raise NothingToDo(
                f"{service_name(base_url)} says that it has no model of this name.",
                "Copy the name from where the model was made; at OpenAI it begins with ft:.",
            )
        return card


def _name(text: str) -> str:
    name = " ".join(text.split())[:LONGEST_NAME].rstrip()
    if not name:
        raise NothingToDo("A voice needs a name.", "Give it one that you will know it by.")
    return name


def _named(voice: Voice) -> str:
    return f"voice {voice.id}, {voice.name}"
