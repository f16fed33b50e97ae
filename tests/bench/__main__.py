"""Measure the bot: `python -m tests.bench [--quick] [--only NAME]`. Nothing fails when a target is missed."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from bot.bootstrap import CHECKOUT, ensure_environment

if TYPE_CHECKING:
    from tests.bench.figures import Figures
    from tests.bench.rows import Row

_DEADLINE = 900.0  # seconds for one row
_LINE = "{:<46} {:>9} {:>9} {:>9} {:>8}  {}"


def main() -> int:
    ensure_environment("tests.bench", sys.argv[1:])
    from tests.bench.rows import ROWS

    names = list(dict.fromkeys(row.name for row in ROWS))
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the bot on generated data.")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--only", choices=names, help="the rows with this name")
    asked = parser.parse_args()
    print(_LINE.format("stage", "size", "seconds", "items/s", "peak MB", ""), flush=True)
    for number, row in enumerate(ROWS):
        size = row.quick_size if asked.quick else row.size
        if size is not None and asked.only in {None, row.name}:
            _show(row, size, _measure(row, number, size, quick=asked.quick))
    return 0


def _measure(row: Row, number: int, size: int, *, quick: bool) -> Figures | str:
    """The figures, or what went wrong."""
    import msgspec

    from tests.bench.figures import Figures

    with tempfile.TemporaryDirectory(prefix="tumblrbot-bench-") as folder:
        done = None
        if row.prepare is not None:
            prepared = size if row.prepared_size is None else row.prepared_size[quick]
            done = _run("prepare", number, prepared, folder)
        if done is None or done.returncode == 0:
            done = _run("measure", number, size, folder)
    if done.returncode != 0:
        return done.stderr.strip() or f"ended with status {done.returncode}"
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Figures)


def _run(task: str, number: int, size: int, folder: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.bench.process", task, str(number), str(size), folder, str(time.time())]
    try:
        return subprocess.run(command, cwd=CHECKOUT, check=False, capture_output=True, text=True, timeout=_DEADLINE)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"not done after {_DEADLINE:.0f} s")


def _show(row: Row, size: int, figures: Figures | str) -> None:
    if isinstance(figures, str):
        print(_LINE.format(row.title, f"{size:,}", "failed", "", "", ""), figures, sep="\n", flush=True)
        return
    first, *others = [str(finding) for finding in figures.findings] or [""]
    rate = f"{figures.items / figures.seconds:,.0f}" if figures.items > 1 else ""
    line = _LINE.format(row.title, f"{size:,}", f"{figures.seconds:.2f}", rate, f"{figures.peak:.0f}", first)
    print(line.rstrip())
    for other in others:
        print(_LINE.format("", "", "", "", "", other))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
