"""The whole bot with discord.py's own HTTP client, turned to the address in `DISCORD_REST`; only the gateway is missing.

`python -m tests.process.posting_process CONFIG` posts what the database says is to be posted, until it is killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import discord.http

from bot.app import App, Pace
from bot.client import Client
from bot.config import load_settings
from tests.setup.discord_rest import TOKEN

PACE = Pace(message_edit=0.1, reminder_look=0.1, notice_look=0.1, first_check=0.0, clock_look=None)


async def main(config: Path) -> None:
    discord.http.Route.BASE = os.environ["DISCORD_REST"]
    app = App(load_settings(config, environment={}, secrets_directory=None), config, pace=PACE)
    async with Client(app) as client:
        await app.start()
        await client.login(TOKEN)
        client._ready.set()  # as the gateway's first event does
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
