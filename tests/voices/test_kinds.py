"""How a service is asked for a training: as the settings say, else by its host alone."""

from __future__ import annotations

import pytest

from bot.training import TrainingApi
from bot.voices.kinds import api_of


@pytest.mark.parametrize(
    ("base_url", "api"),
    [
        ("https://keeper.openai.azure.com/openai/v1", TrainingApi.AZURE),
        ("https://keeper.cognitiveservices.azure.com/openai/v1", TrainingApi.AZURE),
        ("https://keeper.services.ai.azure.com/openai/v1", TrainingApi.AZURE),
        ("https://api.together.ai/v1", TrainingApi.TOGETHER),
        ("https://api.together.xyz/v1", TrainingApi.TOGETHER),
        ("https://api.openai.com/v1", TrainingApi.OPENAI),
        ("https://keeper.openai.azure.com.example/v1", TrainingApi.OPENAI),
        ("https://api.together.ai.example/v1", TrainingApi.OPENAI),
        ("http://127.0.0.1:8000/keeper.openai.azure.com", TrainingApi.OPENAI),
    ],
)
def test_a_service_is_known_by_its_host_unless_the_settings_say_otherwise(base_url: str, api: TrainingApi):
    assert api_of(base_url, TrainingApi.AUTO) is api
    for said in (TrainingApi.OPENAI, TrainingApi.AZURE, TrainingApi.TOGETHER):
        assert api_of(base_url, said) is said
