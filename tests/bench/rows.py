"""The rows of the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench import stages
from tests.bench.figures import Figures
from tests.bench.stages import Measure

Prepare = Callable[[Path, int], Awaitable[None]]


@dataclass(frozen=True)
class Row:
    """One measurement: of `size` things, or `quick_size` with --quick (None leaves it out)."""

    name: str
    title: str
    size: int
    quick_size: int | None
    measure: Measure
    prepare: Prepare | None = None
    prepared_size: tuple[int, int] | None = None
    """For how many things the folder is prepared, and with --quick, where that is another number."""


def _answers(folder: Path, size: int) -> Awaitable[Figures]:
    from tests.bench import answers  # brings simcord, which must not count in the other rows

    return answers.answers(folder, size)


def _approvals(folder: Path, size: int) -> Awaitable[Figures]:
    from tests.bench import answers

    return answers.approvals(folder, size)


def _start(folder: Path, size: int) -> Awaitable[Figures]:
    from tests.bench import answers

    return answers.start(folder, size)


ROWS = (
    Row("start", "start, in a simulated Discord", 1, 1, _start),
    Row("start", "start, app and client alone", 1, 1, stages.start),
    Row("download", "download, pages of 20", 2_000, 400, stages.download(20)),
    Row("download", "download, pages of 50", 2_000, 400, stages.download(50)),
    Row("download", "download, pages of 20", 20_000, None, stages.download(20)),
    Row("download", "download, pages of 50", 20_000, None, stages.download(50)),
    Row("download", "download, pages of 20", 100_000, None, stages.download(20)),
    Row("download", "download, pages of 50", 100_000, None, stages.download(50)),
    Row("download", "download, answers take 100 ms", 2_000, 400, stages.download_slow_answers),
    Row("examples", "examples", 20_000, 2_000, stages.examples, stages.prepare_posts),
    Row("examples", "examples", 100_000, None, stages.examples, stages.prepare_posts),
    Row("moderate", "moderate, answers take 100 ms", 2_000, 200, stages.moderate, stages.prepare_dataset),
    Row(
        "moderate", "moderate, 10,000 tokens a minute", 2_000, 500, stages.moderate_small_limit, stages.prepare_dataset
    ),
    Row("generate", "generate, answers take 300 ms", 50, 5, stages.generate, stages.prepare_posts, (2_000, 200)),
    Row("publish", "publish", 50, 10, stages.publish_drafts),
    Row("closeness", "closeness, an index over posts", 100_000, 2_000, stages.closeness_index, stages.prepare_posts),
    Row(
        "closeness",
        "closeness, verdicts",
        400,
        40,
        stages.closeness_verdicts,
        stages.prepare_posts,
        (100_000, 2_000),
    ),
    Row("tokens", "tokens", 100_000, 2_000, stages.tokens),
    Row("answers", "approving, a dataset at work", 100, 10, _approvals, stages.prepare_posts, (100_000, 2_000)),
    Row("answers", "answers, all stages at work", 200, 20, _answers, stages.prepare_dataset, (100_000, 2_000)),
)
