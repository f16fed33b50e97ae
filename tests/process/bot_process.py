"""A real process of the bot, without a Discord client: what a kill must not hurt. Started by the tests beside it.

`python -m tests.process.bot_process CONFIG [download]` goes on with whatever was under way, begins a download if asked
and none is active, prints "up" when it works and "done" when nothing is left to do. A job with an option is asked for
as `moderate:batch`; a training is offered, and its offer taken, as with the two presses of a person.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from bot.app import App, Pace
from bot.config import load_settings
from bot.drafts import DraftState, Person
from bot.errors import JobAlreadyRunning
from bot.store.drafts import drafts_in
from bot.store.removals import open_removals

PACE = Pace(
    message_edit=0.1,
    training_poll=0.1,
    training_settle=0.2,
    look_after=(0.0, 0.2, 0.4),
    retry_after=(0.1, 0.2),
    tumblr_deadline=5.0,
    tumblr_retry=0.01,
)


async def main(config: Path, kinds: list[str]) -> None:
    app = App(load_settings(config, environment={}, secrets_directory=None), config, pace=PACE)
    await app.start()
    for wanted in kinds:
        kind, *options = wanted.split(":")
        with contextlib.suppress(JobAlreadyRunning):
            if kind == "finetune":
                terms = await app.voices.offer()
                await app.jobs.start_training(terms.offer.id, Person(1, "keeper"), None)
                continue
            parameters = dict.fromkeys(options, True)
            await app.runner.submit(kind, parameters, requested_by="test", requester_id=None, channel_id=None)
    print("up", flush=True)
    while await app.runner.active() or await _uploading(app):
        await asyncio.sleep(0.02)
    await app.stop()
    print("done", flush=True)


async def _uploading(app: App) -> bool:
    under_way = await drafts_in(
        app.database, [DraftState.APPROVED, DraftState.UPLOADING, DraftState.UNKNOWN], limit=100
    )
    is_sending = any(draft.state is not DraftState.UNKNOWN or not draft.note for draft in under_way)
    return is_sending or bool(await open_removals(app.database))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
