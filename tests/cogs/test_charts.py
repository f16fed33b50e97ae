"""What the pictures are drawn from: round ranges, whole months, few labels; and the rows of blocks in their place."""

from __future__ import annotations

import re
import struct
import sys
import zlib
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cogs.ui import charts
from cogs.ui.limits import FIELD_VALUE, length

YEARS = [(f"{2009 + number // 12}-{number % 12 + 1:02}", number + 1) for number in range(180)]


def size(picture: bytes) -> tuple[int, int]:
    assert picture.startswith(b"\x89PNG")
    return struct.unpack(">II", picture[16:24])  # type: ignore[return-value]


def corner(picture: bytes) -> bytes:
    """The colour of the first pixel."""
    position, parts = 8, []
    while position < len(picture):
        (long,) = struct.unpack(">I", picture[position : position + 4])
        if picture[position + 4 : position + 8] == b"IDAT":
            parts.append(picture[position + 8 : position + 8 + long])
        position += long + 12
    return zlib.decompress(b"".join(parts))[1:4]  # behind the filter of its row


@pytest.mark.parametrize("months", [[], [("2024-05", 12)], YEARS, [("1970-01", 1), ("2026-11", 5)]])
@pytest.mark.parametrize("lengths", [[77], [30] * 400 + [9_000], list(range(100_000))])
def test_a_picture_for_every_shape_of_a_dataset(lengths: list[int], months: list[tuple[str, int]]):
    picture = charts.dataset_picture(lengths, months)
    assert picture is not None
    assert size(picture) == (720, 720 if months else 374)
    assert len(picture) < 200_000
    assert corner(picture) == bytes.fromhex("2b2d31"), "Discord's dark theme"


def test_no_picture_without_examples_or_matplotlib(monkeypatch: pytest.MonkeyPatch):
    assert charts.dataset_picture([], YEARS) is None
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert charts.dataset_picture([1], YEARS) is None
    assert charts.loss_curve([(1, 2.0)]) is None


lengths_of = st.lists(st.integers(0, 200_000), min_size=1, max_size=200)


@given(lengths_of, st.integers(2, 30))
@example([5] * 30, 8)
@example([0], 2)
def test_every_length_is_in_one_range(lengths: list[int], most: int):
    bars = charts.histogram(lengths, most)
    assert sum(count for _, count in bars) == len(lengths)
    assert 1 <= len(bars) <= most
    assert bars[0][1] > 0
    starts = [int(re.match(r"[\d,]+", label)[0].replace(",", "")) for label, _ in bars]  # type: ignore[index]
    assert starts == sorted(set(starts))
    assert starts[0] <= min(lengths)
    if len(starts) > 1:
        width = starts[1] - starts[0]
        assert str(width).strip("0") in {"1", "2", "5"}
        assert all(later - earlier == width for earlier, later in pairwise(starts))
    counted = [sum(low <= each < high for each in lengths) for low, high in pairwise(starts)]
    assert [count for _, count in bars[:-1]] == counted


def test_the_few_that_are_far_longer_share_the_last_range():
    bars = charts.histogram([*range(100), 50_000], 8)
    assert bars[0] == ("0-19", 20)
    assert bars[-1] == ("100 or more", 1)
    assert charts.histogram([30] * 500 + [9_000], 8) == [("30", 500), ("31 or more", 1)]
    assert charts.histogram([77] * 3, 8) == [("77", 3)]


def test_months_without_posts_are_there_too_and_what_is_no_month_is_not():
    months = [("2024-03", 2), ("2023-12", 1), ("", 4), ("2024-13", 1), ("24-1", 1)]
    assert charts.over_time(months) == ([("2023-12", 1), ("2024-01", 0), ("2024-02", 0), ("2024-03", 2)], "month")
    assert charts.over_time([("no", 1)]) == ([], "month")


def test_a_time_too_long_for_months_is_shown_by_years():
    bars, unit = charts.over_time([("1999-05", 1), ("2024-03", 2), ("2024-04", 3)])
    assert unit == "year"
    assert (bars[0], bars[1], bars[-1], len(bars)) == (("1999", 1), ("2000", 0), ("2024", 5), 26)


@given(st.integers(1, 400), st.integers(2000, 2030), st.integers(1, 12))
def test_labels_of_months_stand_far_enough_apart(count: int, year: int, month: int):
    first = year * 12 + month - 1
    labels = [f"{number // 12:04}-{number % 12 + 1:02}" for number in range(first, first + count)]
    ticks = charts._ticks(labels)
    assert 1 <= len(ticks) <= 6
    assert all(labels[position].startswith(text) for position, text in ticks.items())
    positions = list(ticks)
    gaps = [later - earlier for earlier, later in pairwise(positions)]
    assert all(gap >= len(labels) / 9 for gap in gaps)


@given(lengths_of)
def test_labels_of_lengths_stand_far_enough_apart(lengths: list[int]):
    ranges = [label for label, _ in charts.histogram(lengths, 24)]
    named = charts._starts(ranges)
    assert 1 <= len(named) <= 6
    positions = list(named)
    assert positions == sorted(positions)
    assert all(b - a >= len(ranges) / 7 for a, b in pairwise(positions))
    assert named[len(ranges) - 1].endswith("+") if ranges[-1].endswith("or more") else "+" not in str(named)


def test_rows_of_blocks():
    assert charts.length_rows([3, 3, 4, 9]) == "```\n        3 ██████████ 2\n        4 █████ 1\n5 or more █████ 1\n```"
    assert charts.time_rows([("2024-05", 1000), ("2024-06", 1)]) == "```\n2024-05 ██████████ 1,000\n2024-06 ▏ 1\n```"
    assert charts.time_rows([]) == ""


@given(lengths_of, st.lists(st.tuples(st.dates().map(lambda day: f"{day:%Y-%m}"), st.integers(1, 10**9)), max_size=50))
def test_rows_fit_into_a_field(lengths: list[int], months: list[tuple[str, int]]):
    for rows in (charts.length_rows(lengths), charts.time_rows(months)):
        assert length(rows) <= FIELD_VALUE
        assert all(length(row) <= 44 for row in rows.splitlines())
