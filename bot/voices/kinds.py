"""The kinds of voice, and what each can do.

Another kind is a module beside this one, a name in `VoiceKind`, and a line here; no cog knows one kind from another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from bot.language import tuning
from bot.language.endpoint import ModelService
from bot.store.database import Database
from bot.training import TrainingApi, Voice, VoiceKind
from bot.voices.few_shot import FewShot
from bot.voices.fine_tuned import FineTuned
from bot.voices.protocol import Trainer, Writer
from bot.voices.together import NOT_SPOKEN, TogetherTuned
from bot.voices.tuned import TunedWriter


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of voice is called, how it writes, and how it learns; `trains` is None where there is no training."""

    label: str
    writes: Callable[[Database, ModelService, Voice], Writer]
    trains: Callable[[ModelService, TrainingApi], Trainer] | None = None


def _writes_tuned(database: Database, service: ModelService, _voice: Voice) -> Writer:
    return TunedWriter(service, database)


def _trains_tuned(service: ModelService, api: TrainingApi) -> Trainer:
    return FineTuned(service, with_mark=api is TrainingApi.AZURE)


def _writes_at_together(database: Database, service: ModelService, _voice: Voice) -> Writer:
    return TunedWriter(service, database, not_spoken=NOT_SPOKEN)


def _trains_at_together(service: ModelService, _api: TrainingApi) -> Trainer:
    return TogetherTuned(service)


def _writes_few_shot(database: Database, service: ModelService, voice: Voice) -> Writer:
    return FewShot(database, service, seed=voice.id)


KINDS: Mapping[VoiceKind, Kind] = {
    VoiceKind.FINE_TUNED: Kind("fine-tuned", _writes_tuned, _trains_tuned),
    VoiceKind.TOGETHER: Kind("tuned at Together", _writes_at_together, _trains_at_together),
    VoiceKind.FEW_SHOT: Kind("few-shot", _writes_few_shot),
}

_TOGETHER = frozenset({"api.together.xyz", "api.together.ai"})


def api_of(base_url: str, wanted: TrainingApi) -> TrainingApi:
    """How the service at an address wants to be asked: as it was said, else as its host tells, else as OpenAI."""
    if wanted is not TrainingApi.AUTO:
        return wanted
    if tuning.wants_mark(base_url):
        return TrainingApi.AZURE
    return TrainingApi.TOGETHER if urlsplit(base_url).hostname in _TOGETHER else TrainingApi.OPENAI


def kind_of(api: TrainingApi) -> VoiceKind:
    """The kind of voice that a training through this API gives."""
    return VoiceKind.TOGETHER if api is TrainingApi.TOGETHER else VoiceKind.FINE_TUNED


def writes_at_once(api: TrainingApi) -> bool:
    """Whether a model that was trained through this API writes as it is; Azure's are deployed first, under a name."""
    return api is not TrainingApi.AZURE


def learns(kind: VoiceKind) -> bool:
    """Whether a voice of this kind was trained."""
    return KINDS[kind].trains is not None
