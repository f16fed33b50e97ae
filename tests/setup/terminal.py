"""A process at a pseudo-terminal, which echoes what is typed unless it is told not to, and somebody who types."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import time

from tests.setup.discord_rest import START
from tests.setup.person import REPOSITORY

DEADLINE = 100.0
"""Seconds until a process that nobody gets an answer from is killed."""


class Terminal:
    """Blocks; for a thread. `said` is all that has appeared."""

    def __init__(self, arguments, discord_url):
        self.said = ""
        self._read = 0
        self._controller, terminal = os.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, *arguments], cwd=REPOSITORY, stdin=terminal, stdout=terminal, stderr=terminal,
            start_new_session=True, env={**os.environ, "DISCORD_REST": discord_url},
        )  # fmt: skip
        os.close(terminal)
        self._stop = threading.Timer(DEADLINE, self._process.kill)
        self._stop.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._stop.cancel()
        os.close(self._controller)

    def wait_for(self, words):
        """Until they appear, after what was waited for before."""
        while words not in self.said[self._read :]:
            try:
                self.said += os.read(self._controller, 4096).decode(errors="replace")
            except OSError:  # Linux' way to say that the process has closed its end
                raise AssertionError(f"it ended before it said {words!r}:\n{self.said}") from None
        self._read = self.said.index(words, self._read) + len(words)

    def answer(self, words, text=""):
        self.wait_for(words)
        time.sleep(0.1)  # getpass throws away what was typed before it switched the echo off
        os.write(self._controller, f"{text}\n".encode())

    def end(self):
        """The exit status, once the process has ended by itself."""
        with contextlib.suppress(OSError):
            while more := os.read(self._controller, 4096):
                self.said += more.decode(errors="replace")
        return self._process.wait()

    def interrupt(self, answer):
        """Ctrl+C until `answer` appears: Python takes no notice where it was about to read and had not begun."""
        while answer not in self.said[self._read :]:
            os.write(self._controller, b"\x03")
            while answer not in self.said[self._read :] and select.select([self._controller], [], [], 3.0)[0]:
                self.said += os.read(self._controller, 4096).decode(errors="replace")
        return self.end()
