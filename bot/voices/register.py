"""Which voice writes: the active one, else one for the model named in config.toml, else few-shot."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bot.store import voices as store
from bot.store.database import Database
from bot.training import Voice, VoiceKind


@dataclass(frozen=True, slots=True)
class Automatic:
    """What the settings say of writing, for as long as nobody has chosen a voice. `fine_tuned_model` may be empty."""

    fine_tuned_model: str
    fine_tuned_base_url: str
    few_shot_model: str
    few_shot_base_url: str
    developer_message: str
    user_message: str
    fine_tuned_kind: VoiceKind = VoiceKind.FINE_TUNED


async def voice_for_writing(database: Database, automatic: Automatic, *, now: float) -> Voice:
    """The voice that /generate writes with; registered when it is not yet.

    A trained voice keeps the messages it was trained with. A few-shot voice has no training to fit, so it always takes
    the messages as they are set now.
    """
    active = await store.active_voice(database)
    if active is not None:
        return as_it_writes(active, automatic)
    kind, model, base_url = automatic.fine_tuned_kind, automatic.fine_tuned_model, automatic.fine_tuned_base_url
    if model:
        trained = await store.find_voice(database, kind, model, base_url)
        if trained is None:
            return await _registered(database, kind, model, base_url, name=model, automatic=automatic, now=now)
        if not trained.is_retired:
            return trained
    return await untrained_voice(database, automatic, now=now)


async def untrained_voice(database: Database, automatic: Automatic, *, now: float) -> Voice:
    """The last way to write: few-shot, as it is set now. Registered when it is not yet, and never retired."""
    kind, model, base_url = VoiceKind.FEW_SHOT, automatic.few_shot_model, automatic.few_shot_base_url
    known = await store.find_voice(database, kind, model, base_url)
    if known is None:
        return await _registered(database, kind, model, base_url, name="few-shot", automatic=automatic, now=now)
    if known.is_retired:  # under other settings, when it was not the last one
        async with database.write() as connection:
            await store.bring_back_voice(connection, known.id)
    return as_it_writes(replace(known, retired_at=None), automatic)


def as_it_writes(voice: Voice, automatic: Automatic) -> Voice:
    """The voice with the messages that it is asked with now."""
    if voice.kind is not VoiceKind.FEW_SHOT:
        return voice
    return replace(voice, developer_message=automatic.developer_message, user_message=automatic.user_message)


async def _registered(
    database: Database, kind: VoiceKind, model: str, base_url: str, *, name: str, automatic: Automatic, now: float
) -> Voice:
    voice = Voice(
        id=0,
        kind=kind,
        name=name,
        model=model,
        base_url=base_url,
        dataset_id=None,
        developer_message=automatic.developer_message,
        user_message=automatic.user_message,
        cost=0.0,
        active=False,
        created_at=now,
    )
    async with database.write() as connection:
        return replace(voice, id=await store.add_voice(connection, voice))
