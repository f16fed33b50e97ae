"""The bot as `python -m bot run` starts it: its signals, beats, jobs and its end. Only Discord is not there.

`python -m tests.process.supervised_process CONFIG`: what the file `wanted` beside CONFIG names, by line, is begun once.
`channel.jsonl` stands for the channel: a line for each state of a message that shows a job. `pid` holds the process's
number once it works, and `idle` is there when nothing is left to do.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Self

import bot.client
from bot.__main__ import main
from bot.app import App
from bot.jobs.runner import Job


class Client:
    """What `run` needs of a Discord client."""

    folder: Path
    ws = None
    away_seconds = 0.0

    def __init__(self, app: App) -> None:
        self.app = app

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def is_ready(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    async def login(self, _token: str) -> None:
        pass

    async def connect(self) -> None:
        app, wanted = self.app, self.folder / "wanted"
        app.runner.set_face(self.show)
        for line in wanted.read_text().split() if wanted.exists() else ():
            kind, _, count = line.partition(":")
            if kind == "stubborn":  # a thread that nobody can stop
                app.background.spawn("stubborn", asyncio.to_thread(time.sleep, 600))
                continue
            parameters = {"count": int(count)} if count else {}
            await app.runner.submit(kind, parameters, requested_by="test", requester_id=None, channel_id=7)
        wanted.unlink(missing_ok=True)
        await asyncio.sleep(0.2)  # the first beat
        (self.folder / "pid").write_text(str(os.getpid()))
        while await app.runner.active():
            await asyncio.sleep(0.02)
        (self.folder / "idle").touch()
        await asyncio.Event().wait()

    async def show(self, job: Job) -> None:
        if job.state.is_final:  # of the process that filled the store
            await self.app.runner.message_final(job.id)
            return
        channel = self.folder / "channel.jsonl"
        message = job.message_id
        if message is None:
            lines = channel.read_text().splitlines() if channel.exists() else []
            shown = {json.loads(line)["message"] for line in lines}
            message = next(number for number in itertools.count(1) if number not in shown)
        with channel.open("a") as file:
            print(json.dumps({"message": message, "job": job.kind, "state": "posted", "pid": os.getpid()}), file=file)
        await self.app.runner.message_posted(job.id, 7, message)
        async for now in self.app.runner.follow(job.id):
            done = now.progress.done if now.progress else 0
            shown_now = {"message": message, "job": job.kind, "state": now.state, "done": done, "pid": os.getpid()}
            with channel.open("a") as file:
                print(json.dumps(shown_now | {"error": now.error}), file=file)
        await self.app.runner.message_final(job.id)


if __name__ == "__main__":
    Client.folder = Path(sys.argv[1]).parent
    bot.client.Client = Client  # type: ignore[assignment,misc]
    sys.exit(main(["run", "--config", sys.argv[1]]))
