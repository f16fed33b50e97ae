"""The bench runs and prints figures. What they are is nobody's concern here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.bench.figures import Finding

CHECKOUT = Path(__file__).parents[2]


def test_it_prints_a_row_of_numbers():
    command = [sys.executable, "-m", "tests.bench", "--quick", "--only", "tokens"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    head, row, *_ = done.stdout.splitlines()
    assert head.split() == ["stage", "size", "seconds", "items/s", "peak", "MB"]
    assert re.match(r"tokens +2,000 +\d+\.\d\d +[\d,]+ +\d+ ", row), done.stdout


def test_a_finding_says_whether_its_target_is_met():
    assert str(Finding("own time {} ms", 4.94, 5)) == "own time 4.9 ms (target < 5: met)"
    assert str(Finding("own time {} ms", 5.0, 5)) == "own time 5.0 ms (target < 5: NOT met)"
    assert str(Finding("{} s", 1234.0)) == "1,234.0 s"
