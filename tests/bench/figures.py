"""What a measurement gives, and how a process looks at itself."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """A figure beside the table's own ones. With a `target` it should be below that."""

    text: str
    """With `{}` in the place of the figure."""
    value: float
    target: float | None = None

    def __str__(self) -> str:
        shown = self.text.format(f"{self.value:,.1f}")
        if self.target is None:
            return shown
        return f"{shown} (target < {self.target:g}: {'met' if self.value < self.target else 'NOT met'})"


class Figures(msgspec.Struct):
    """One measurement. `peak` is the process's own, in MB of 2**20 bytes, and set when the process ends."""

    items: int
    seconds: float
    findings: list[Finding] = []
    peak: float = 0.0


class Stopwatch:
    """Seconds on the wall and of the processor, for this process with all its threads."""

    wall: float = 0.0
    cpu: float = 0.0


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    watch = Stopwatch()
    wall, cpu = time.perf_counter(), time.process_time()
    yield watch
    watch.wall, watch.cpu = time.perf_counter() - wall, time.process_time() - cpu


def peak_memory() -> float:
    """The most that this process has had resident, in MB.

    From /proc where there is one: elsewhere (and in `ru_maxrss` on Linux) the parent's peak before exec counts too.
    """
    if found := _status("VmHWM"):
        return found
    import resource  # not on Windows

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def resident_memory() -> float:
    """What this process has resident now, in MB; its peak where the system does not say."""
    return _status("VmRSS") or peak_memory()


def _status(name: str) -> float | None:
    status = Path("/proc/self/status")
    found = re.search(rf"^{name}:\s+(\d+) kB", status.read_text(), re.MULTILINE) if status.exists() else None
    return int(found[1]) / 2**10 if found else None
