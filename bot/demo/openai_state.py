"""What the OpenAI stand-in keeps: files, jobs and batches, in memory and, when asked for, in one JSON file."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from bot.demo.openai_batches import Batch
from bot.demo.openai_training import Job


class StoredFile(msgspec.Struct):
    id: str
    filename: str
    purpose: str
    created_at: float
    ready_at: float
    expires_at: int | None
    content: bytes

    def render(self, now: float) -> dict[str, object]:
        """The file as the API shows it at `now` (unix seconds)."""
        expiry: dict[str, object] = {} if self.expires_at is None else {"expires_at": self.expires_at}
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": int(self.created_at),
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed" if now >= self.ready_at else "uploaded",
            **expiry,
        }


class State(msgspec.Struct):
    """What outlives the process when there is a `save_path`."""

    files: dict[str, StoredFile] = msgspec.field(default_factory=dict[str, StoredFile])
    jobs: dict[str, Job] = msgspec.field(default_factory=dict[str, Job])
    batches: dict[str, Batch] = msgspec.field(default_factory=dict[str, Batch])


def load(path: Path) -> State:
    return msgspec.json.decode(path.read_bytes(), type=State) if path.exists() else State()


def replace(path: Path, data: bytes) -> None:
    """Put `data` at `path` at one stroke, so that a kill at any moment leaves a whole file."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
