"""A process to be killed: it counts in pairs of rows, says each number it has stored, and never ends by itself.

Run with the path of the database.
"""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from bot.jobs.background import Background
from bot.jobs.runner import JobRunner
from bot.progress import Progress
from bot.store.database import Database


async def main() -> None:
    db = await Database.open(Path(sys.argv[1]))
    background = Background()

    async def count(job):
        async with db.read() as connection:
            (row,) = await connection.execute_fetchall("SELECT coalesce(max(value + 0), 0) FROM facts")
        number = int(row[0])
        while True:
            number += 1
            async with db.write() as connection:
                for side in "ab":
                    await connection.execute(
                        "INSERT INTO facts VALUES (?, ?)", (f"{side}{number} {'x' * 300}", str(number))
                    )
            print(f"stored {number}", flush=True)
            yield Progress(number, None, "Counting.")

    runner = JobRunner(db, {"count": count}, background)
    await background.start()
    await runner.start()
    if not await runner.active():
        await runner.submit("count", {"by": 1}, requested_by="ada", requester_id=5, channel_id=7)
    print("running", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
