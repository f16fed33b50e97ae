"""Run by test_versions: brings copies of one database up to date, each in a process that is killed a step later.

`python -m tests.store.killed_upgrade FOLDER`: what is in FOLDER/0 is copied to FOLDER/1, FOLDER/2 and so on, until one
process comes to its end. A step is a statement, or the copy that is kept.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

from bot.store import database


class Mortal(sqlite3.Connection):
    """It kills its process when `steps` have been taken."""

    steps = 0

    def _step(self) -> None:
        Mortal.steps -= 1
        if Mortal.steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def execute(self, *statement: Any) -> sqlite3.Cursor:
        self._step()
        return super().execute(*statement)

    def backup(self, *target: Any, **options: Any) -> None:
        self._step()
        super().backup(*target, **options)
        self._step()


def main() -> None:
    folder = Path(sys.argv[1])
    connect = sqlite3.connect
    sqlite3.connect = lambda *where, **options: connect(*where, **options, factory=Mortal)
    for number in itertools.count(1):
        shutil.copytree(folder / "0", folder / str(number))
        child = os.fork()
        if child == 0:
            Mortal.steps = number
            database._bring_up_to_date(folder / str(number) / "bot.sqlite3", database.MIGRATIONS)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
