"""`demo`: the bot in a browser page, or a tour through all of it, without any account."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from bot.app import Pace
from bot.errors import BotError

if TYPE_CHECKING:
    from bot.demo.world import World

_PACE = Pace(
    message_edit=0.7,
    training_poll=0.7,
    training_settle=3.0,
    first_check=None,
    clock_look=None,
    look_after=(0.0, 2.0, 5.0),
    retry_after=(0.5, 1.0, 2.0),
    tumblr_deadline=10.0,
    tumblr_retry=0.2,
)


async def demo(*, tour: bool, port: int | None, open_browser: bool) -> int:
    """Run the demo. Returns the exit status.

    Raises:
        BotError: the demo's extra packages are not installed.
    """
    try:
        from bot.demo import tour as guide  # noqa: PLC0415 - the demo's packages are an extra
        from bot.demo.world import open_world  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise BotError(
            f"The demo needs a package that is not installed: {error.name}.",
            'Install it with: pip install "tumblrbot-discord[demo]"',
        ) from error
    with tempfile.TemporaryDirectory(prefix="tumblrbot-demo-") as folder:
        if tour:
            async with open_world(Path(folder)) as world:
                return await guide.walk(world)
        async with open_world(Path(folder), pace=_PACE) as world:
            world.openai.training_seconds = 8.0
            world.tumblr.page_limit = 20
            world.tumblr.answer_seconds = 0.4
            await _serve(world, port=port, open_browser=open_browser)
    return 0


async def _serve(world: World, *, port: int | None, open_browser: bool) -> None:
    """Show the channel as a page until it is closed or the process is told to stop."""
    from bot.demo.live_page import LivePage, set_clock  # noqa: PLC0415 - an extra, see above

    await world.client.wait_until_ready()
    set_clock(world.env)
    world.env.backend.bot_user.name = "tumblrbot"
    await _greet(world)
    preview = world.env.preview(
        world.channel, viewers=[world.owner, world.reviewer, world.stranger], layout="channel", port=port
    )
    async with preview:
        print(f"The bot is running. Open this page:\n\n    {preview.url}\n", flush=True)
        print("Press the button in it, or type /download in the box at its bottom. Ctrl+C ends the demo.", flush=True)
        if open_browser and sys.stdout.isatty():
            await asyncio.to_thread(webbrowser.open, preview.url)
        task = asyncio.current_task()
        if task is not None:
            for name in (signal.SIGINT, signal.SIGTERM):
                with contextlib.suppress(NotImplementedError):  # Windows: Ctrl+C raises KeyboardInterrupt by itself
                    asyncio.get_running_loop().add_signal_handler(name, task.cancel)
        following = asyncio.create_task(LivePage(world.env, preview).follow())
        try:
            await preview.wait_closed()
        except asyncio.CancelledError:
            print("\nThe demo has ended. Nothing of it is kept.")
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _greet(world: World) -> None:
    """The page's first message: what this is, and a button to begin with."""
    from cogs.ui.limits import embed  # noqa: PLC0415 - an extra, see above
    from cogs.ui.next_step import step_view  # noqa: PLC0415

    greeting = embed(
        title="A small world to try the bot in",
        description="The bot is the real one. Tumblr and OpenAI are stand-ins on this machine, and the blog"
        f" **{world.blog_name}** was made up for them. Nothing leaves this machine, and nothing is kept.\n"
        "Begin with the button. Each step ends with a button to the next one: training data, screening, a voice,"
        " and drafts, which go to the blog only if you approve them. Type `/` below to see every command.",
    )
    channel = world.client.get_partial_messageable(world.channel.id)
    await channel.send(embed=greeting, view=step_view("download"))
