"""training_data.jsonl: what the newest dataset is trained on, as a file that people may read.

The dataset is the truth, and the file follows it. Whoever changes the dataset notes in the same transaction that the
file is behind; the file is written after that, and again at the next start where that was cut off.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from weakref import WeakKeyDictionary

from bot.errors import BotError
from bot.examples import Example, training_line
from bot.store import datasets
from bot.store.database import Database, carry_through
from bot.store.datasets import TRAINING_FILE_BEHIND
from bot.store.facts import clear_mark, get_fact

# One at a time: who has read the examples earlier must not write the file later.
_turns: WeakKeyDictionary[Database, asyncio.Lock] = WeakKeyDictionary()


async def rewrite_training_file(database: Database, path: Path) -> None:
    """Write the newest dataset's training examples to the file. Does nothing where there is no dataset.

    Raises:
        BotError: the file cannot be written; it stays as it is, and is noted as behind.
    """
    async with _turns.setdefault(database, asyncio.Lock()):
        # To its end even when cancelled: a thread that goes on by itself could end after the next one.
        await carry_through(_rewrite(database, path))


async def repair_training_file(database: Database, path: Path) -> None:
    """Write the file if it is behind its dataset; remove what a killed process has left of one. Raises as above."""
    if await get_fact(database, TRAINING_FILE_BEHIND) is not None:
        await rewrite_training_file(database, path)
    else:
        async with _turns.setdefault(database, asyncio.Lock()):
            await carry_through(asyncio.to_thread(_remove_unfinished, path))


async def _rewrite(database: Database, path: Path) -> None:
    # The note is read first: whatever is noted after that may not be in the examples, and keeps its note.
    behind = await get_fact(database, TRAINING_FILE_BEHIND)
    dataset = await datasets.newest_dataset(database)
    if dataset is None:
        return
    examples = await datasets.training_examples(database, dataset.id)
    await asyncio.to_thread(_replace, path, dataset.developer_message, examples)
    if behind is not None:
        async with database.write() as connection:
            await clear_mark(connection, TRAINING_FILE_BEHIND, behind)


def _replace(path: Path, developer_message: str, examples: Iterable[Example]) -> None:
    try:
        _remove_unfinished(path)
        write_training_file(path, developer_message, examples)
    except OSError as error:
        raise BotError(
            f"{path.name} cannot be written ({type(error).__name__}), so it stays as it was, with what was removed.",
            "Make room on its disk, or make its folder writable; the bot tries again by itself.",
        ) from error


def _remove_unfinished(path: Path) -> None:
    for left in path.parent.glob(f".{path.name}.*"):
        left.unlink(missing_ok=True)


def write_training_file(path: Path, developer_message: str, examples: Iterable[Example]) -> None:
    """Write the JSON Lines file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            for example in examples:
                file.write(training_line(developer_message, example.user, example.assistant) + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
