"""Run the tests: `python -m tests [pytest's own arguments]`.

Without `-m` and without a path, it runs what takes seconds; `-m long` and `-m browser` run the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bot.bootstrap import ensure_environment


def pytest_arguments(given: Sequence[str]) -> list[str]:
    """Put our defaults before the person's own arguments; what they say themselves is left alone."""
    defaults: list[str] = []
    if not any(argument.startswith(("-n", "--numprocesses", "--pdb")) for argument in given):
        defaults += ["-n", "2"]
    if not any(argument.startswith("-m") or _is_test_path(argument) for argument in given):
        defaults += ["-m", "not long and not browser"]
    return [*defaults, *given]


def _is_test_path(argument: str) -> bool:
    path = Path(argument.partition("::")[0])
    return path.exists() and path.resolve().is_relative_to(Path(__file__).resolve().parent)


def main() -> int:
    ensure_environment("tests", sys.argv[1:])
    import pytest

    return pytest.main(pytest_arguments(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
