"""Which voice writes: the active one, else one for the model named in config.toml, else few-shot."""

from __future__ import annotations

from dataclasses import replace

from bot.store import voices as store
from bot.store.database import Database
from bot.training import Voice, VoiceKind


async def voice_for_writing(
    database: Database,
    *,
    fine_tuned_model: str,
    fine_tuned_base_url: str,
    few_shot_model: str,
    few_shot_base_url: str,
    fine_tuned_kind: VoiceKind = VoiceKind.FINE_TUNED,
    developer_message: str,
    user_message: str,
    now: float,
) -> Voice:
    """The voice that /generate writes with; registered when it is not yet.

    A trained voice keeps the messages it was trained with. A few-shot voice has no training to fit, so it always takes
    the messages as they are set now.
    """
    active = await store.active_voice(database)
    if active is not None:
        if active.kind is VoiceKind.FEW_SHOT:
            return replace(active, developer_message=developer_message, user_message=user_message)
        return active
    if fine_tuned_model:
        kind, model, base_url, name = fine_tuned_kind, fine_tuned_model, fine_tuned_base_url, fine_tuned_model
    else:
        kind, model, base_url, name = VoiceKind.FEW_SHOT, few_shot_model, few_shot_base_url, "few-shot"
    known = await store.find_voice(database, kind, model, base_url)
    if known is not None:
        if kind is VoiceKind.FEW_SHOT:
            return replace(known, developer_message=developer_message, user_message=user_message)
        return known
    voice = Voice(
        id=0,
        kind=kind,
        name=name,
        model=model,
        base_url=base_url,
        dataset_id=None,
        developer_message=developer_message,
        user_message=user_message,
        cost=0.0,
        active=False,
        created_at=now,
    )
    async with database.write() as connection:
        number = await store.add_voice(connection, voice)
    return replace(voice, id=number)
