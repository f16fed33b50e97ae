"""One row in a process of its own: `python -m tests.bench.process prepare|measure ROW SIZE FOLDER STARTED_AT`.

A measurement is printed as one line of JSON, after whatever the bot says.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from tests.bench.figures import peak_memory
from tests.bench.rows import ROWS


async def main(task: str, number: str, size: str, folder: str) -> None:
    row = ROWS[int(number)]
    if task == "prepare":
        assert row.prepare is not None
        await row.prepare(Path(folder), int(size))
        return
    figures = await row.measure(Path(folder), int(size))
    figures.peak = peak_memory()
    print(msgspec.json.encode(figures).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
