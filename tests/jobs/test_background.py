"""The owner of all tasks."""

import asyncio
import contextvars
import logging

import pytest

from bot.errors import NothingToDo, UnexpectedFailure
from bot.jobs.background import Background, report_unexpected

CALLER = contextvars.ContextVar("caller", default="nobody")


@pytest.fixture
async def background():
    background = Background()
    await background.start()
    yield background
    await background.stop()


async def test_tasks_inherit_nothing_from_who_asked(background):
    seen = asyncio.Queue()

    async def task():
        seen.put_nowait((CALLER.get(), asyncio.current_task().get_name()))

    async def interaction():
        CALLER.set("somebody's interaction")
        background.spawn("a task", task())

    await asyncio.create_task(interaction())
    assert await seen.get() == ("nobody", "a task")


async def test_what_was_asked_for_before_the_start_runs_then():
    background = Background()
    ran = asyncio.Event()

    async def task():
        ran.set()

    background.spawn("early", task())
    await background.start()
    await ran.wait()
    await background.stop()


async def test_stopping_cancels_everything_and_waits_for_it(background):
    steps = []
    begun = asyncio.Event()

    async def task():
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            steps.append("cleaned up")

    async def never():
        steps.append("never")

    background.spawn("task", task())
    await begun.wait()
    background.spawn("too late", never())
    await background.stop()
    background.spawn("far too late", never())
    await background.stop()
    assert steps == ["cleaned up"]


async def test_a_background_that_was_never_started_stops():
    background = Background()

    async def never():
        raise AssertionError

    background.spawn("never", never())
    await background.stop()


async def failed(background, error, caplog, eventually):
    async def task():
        raise error

    background.spawn("the task", task())
    await eventually(lambda: caplog.records)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    return record.getMessage()


async def test_an_unexpected_error_is_logged_with_its_traceback(background, caplog, eventually):
    text = await failed(background, KeyError("missing"), caplog, eventually)
    assert text.startswith("the task: reference ")
    assert "test_background.py" in text
    assert text.endswith("builtins.KeyError: 'missing'")


async def test_an_error_that_people_can_act_on_is_logged_as_its_sentences(background, caplog, eventually):
    text = await failed(background, NothingToDo("There is no blog.", "Name one."), caplog, eventually)
    assert text == "the task: There is no blog. Name one."


class LibraryError(Exception):
    """Like those of requests and openai: its text holds what was sent."""


LibraryError.__module__ = "requests.exceptions"


def test_the_texts_of_other_libraries_stay_out_of_the_log(caplog):
    error = ExceptionGroup("both", [ValueError("ours"), LibraryError("SECRET too")])
    error.__cause__ = LibraryError("https://host/?api_key=SECRET")
    failure = report_unexpected("doing", error)
    assert isinstance(failure, UnexpectedFailure)
    assert failure.reference in str(failure)
    (record,) = caplog.records
    assert record.getMessage().splitlines() == [
        f"doing: reference {failure.reference}",
        "requests.exceptions.LibraryError",
        "builtins.ExceptionGroup: both (2 sub-exceptions)",
        "builtins.ValueError: ours",
        "requests.exceptions.LibraryError",
    ]


def test_errors_that_lead_to_each_other_end(caplog):
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    report_unexpected("doing", first)
    assert caplog.text.count("ValueError: first") == 1
