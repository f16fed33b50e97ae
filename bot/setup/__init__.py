"""`setup`: ask in a terminal for what the bot needs, and write it down.

A step is a function that asks for one thing; each question can be skipped with Enter, and what is set stays as it is.
It all happens in one thread, so that Ctrl+C ends a question at once; only what talks to a service runs an event loop,
for that moment. The database is not opened: a running bot may hold it. `unattended.py` does without questions.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from bot.config import SECRETS_FILE
from bot.setup.asking import Load
from bot.setup.needed import unset

NO_TERMINAL = 2


def setup(path: Path, load: Load) -> int:
    """Go through all steps. `path` is the settings file. Returns the exit status; 2 if there is nobody to ask.

    Raises:
        BotError: Tumblr cannot be used, or nothing can be written. What was answered before is kept.
        KeyboardInterrupt: the person has left.
    """
    if not sys.stdin.isatty():
        print("setup asks questions, so it needs a terminal. In a container: docker compose run --rm bot setup")
        print("A script sets what it has with: python3 -m bot setup --no-input")
        return NO_TERMINAL
    print(f"This connects the bot with its services, and writes what you choose into {path}.")
    print(f"Keys and tokens go into {load().data_directory / SECRETS_FILE}, which only you can read.")
    print("Enter skips a question and keeps what is set. Ctrl+C stops; what was answered before is kept.")
    # They load the libraries of the services: nobody has to wait for these who is not asked anything.
    from bot.setup.blogs import choose_blogs  # noqa: PLC0415
    from bot.setup.model_service import connect_model_service  # noqa: PLC0415
    from bot.setup.server import connect_discord  # noqa: PLC0415
    from bot.setup.tumblr import connect_tumblr  # noqa: PLC0415

    steps = (
        ("Discord", connect_discord),
        ("Model service", connect_model_service),
        ("Tumblr", connect_tumblr),
        ("Blogs", choose_blogs),
    )
    try:
        for number, (title, step) in enumerate(steps, 1):
            print(f"\n{number} of {len(steps)}  {title}\n")
            step(path, load)
    except EOFError:
        print("\nThe input has ended. What was answered before is kept.")
        return NO_TERMINAL
    except KeyboardInterrupt:
        print("\n\nStopped. What was answered before is kept; setup goes on with the rest whenever you run it again.")
        raise
    missing = unset(load())
    if missing:
        print("\nThat is all for now. Not set yet:")
        for name in missing:
            print(f"  {name}")
        print("\nRun setup again for these. Then start the bot: python3 -m bot run")
    else:
        print("\nAll is set. A bot that is running takes it up at its next start. Next: python3 -m bot run")
    return 0


def setup_without_questions(path: Path, load: Load, overrides: Mapping[str, object]) -> int:
    """Try what the command line (`overrides`) and the environment give, and write it down.

    Returns the exit status: 0 when all is set, 1 when something is missing or was refused.

    Raises:
        SettingsError: nothing can be written.
    """
    from bot.setup.unattended import take_over  # noqa: PLC0415 - as above

    return take_over(path, load, overrides)
