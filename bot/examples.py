"""Training data as values: an example, a dataset, and the lines they make."""

from __future__ import annotations

import json
from dataclasses import dataclass

import msgspec


# gc=False: with a hundred thousand of them in hand, each full garbage collection would stop the whole bot for 0.2 s.
class Example(msgspec.Struct, frozen=True, gc=False):
    """One line of training data. `blog_uuid` and `post_id` are None for a custom prompt; `tokens` is its length."""

    user: str
    assistant: str
    tokens: int
    blog_uuid: str | None = None
    post_id: str | None = None
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class Dataset:
    """A numbered, frozen set of examples. `tokens` counts one epoch of the part that is trained on."""

    id: int
    created_at: float
    digest: str
    developer_message: str
    user_message: str
    tokens: int
    training_count: int
    held_out_count: int
    set_aside_count: int
    screened_with: str | None


def training_line(developer_message: str, user: str, assistant: str) -> str:
    """One JSON line as OpenAI's fine-tuning wants it, without the line break."""
    return json.dumps(
        {
            "messages": [
                {"role": "developer", "content": developer_message},
                {"role": "user", "content": user},
                {"role": "assistant", "content": assistant},
            ]
        },
        ensure_ascii=False,
    )
