"""The log: what it says, in which form, and what it never says."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from bot import logs
from bot.config import OpenAISettings, Settings
from bot.logs import HIDDEN, HideSecrets, handler_for, reference

REPOSITORY = Path(__file__).parents[1]
KEY = 'sk-a/key+with"every"kind\\of%sign'
OTHER = "sk-another-one"


def settings(key: str = KEY) -> Settings:
    return Settings(openai=OpenAISettings(api_key=SecretStr(key)))


def fail_twice(text: str) -> None:
    try:
        int(text)
    except ValueError as error:
        raise RuntimeError(f"again {text}") from error


class Log:
    def __init__(self, form: logs.LogFormat) -> None:
        self.stream = io.StringIO()
        self.settings = settings()
        self.logger = logging.getLogger("tests.logs")
        self.logger.propagate = False
        self.logger.setLevel(logging.INFO)
        self.handler = handler_for(self.stream, form)
        self.handler.addFilter(HideSecrets(lambda: self.settings))
        self.logger.handlers = [self.handler]

    @property
    def text(self) -> str:
        return self.stream.getvalue()


@pytest.fixture(params=["text", "json"])
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    log = Log(request.param)
    yield log
    log.logger.handlers = []


def test_no_secret_in_a_message_its_arguments_or_its_traceback(log: Log):
    log.logger.warning("key=%s", KEY)
    log.logger.warning(f"key={KEY}")  # noqa: G004
    log.logger.warning("sent %s to %r", {"headers": [KEY]}, KEY)
    log.logger.warning("GET /v1?key=%s", quote(KEY, safe=""))
    log.logger.warning("%d of them", KEY)  # what logging itself could not format
    try:
        fail_twice(KEY)
    except RuntimeError:
        log.logger.exception("failed with %s", KEY, stack_info=True)
    for form in (KEY, quote(KEY, safe=""), json.dumps(KEY)[1:-1], json.dumps(KEY, ensure_ascii=False)[1:-1]):
        assert form not in log.text
    assert "every" not in log.text, "no piece of it either"
    assert log.text.count(HIDDEN) >= 8
    assert "RuntimeError" in log.text


def test_a_secret_that_was_replaced_stays_hidden_and_a_new_one_is_hidden_at_once(log: Log):
    log.logger.info("one")
    log.settings = settings(OTHER)
    log.logger.info("%s %s", KEY, OTHER)
    assert log.text.count(HIDDEN) == 2
    assert OTHER not in log.text


def test_an_empty_or_a_tiny_key_hides_nothing_of_the_log(log: Log):
    log.settings = settings("x")
    log.logger.info("exactly")
    assert "exactly" in log.text


def test_json_is_one_object_a_line():
    log = Log("json")
    try:
        fail_twice("of two\nlines")
    except RuntimeError:
        log.logger.exception("it %s", "broke\nhere")
    log.logger.info("fine")
    first, second = [json.loads(line) for line in log.text.splitlines()]
    assert (first["level"], first["logger"], first["message"]) == ("ERROR", "tests.logs", "it broke\nhere")
    assert "RuntimeError: again of two" in first["traceback"]
    assert set(second) == {"at", "level", "logger", "message"}
    log.logger.handlers = []


async def test_each_line_says_what_it_belongs_to(log: Log):
    async def work(number: int) -> None:
        reference.set(f"job {number}")
        await asyncio.sleep(0)
        log.logger.info("step of %d", number)

    await asyncio.gather(asyncio.create_task(work(7)), asyncio.create_task(work(8)))
    log.logger.info("nobody's")
    for line, number in zip(log.text.splitlines(), (7, 8), strict=False):
        assert f"job {number}" in line
        assert f"step of {number}" in line
    assert "job" not in log.text.splitlines()[2]


CRASHES = f"""
import asyncio, gc, sys, threading
from pydantic import SecretStr
from bot import logs
from bot.config import OpenAISettings, Settings
from bot.jobs.background import report_unexpected

logs.begin("text")
logs.catch_crashes(report_unexpected)
settings = Settings(openai=OpenAISettings(api_key=SecretStr({KEY!r})))
logs.hide_secrets(lambda: settings)

def fail(where):
    raise RuntimeError(where + " with " + settings.openai.api_key.get_secret_value())

class Untidy:
    def __del__(self):
        fail("putting away")

async def forgotten():
    fail("a task")

async def main():
    task = asyncio.create_task(forgotten())
    await asyncio.sleep(0)
    del task
    gc.collect()
    asyncio.get_running_loop().call_soon(fail, "a callback")
    await asyncio.sleep(0.01)

thread = threading.Thread(target=fail, args=("a thread",))
thread.start(); thread.join()
Untidy(); gc.collect()
asyncio.run(main())
fail("the process")
"""


def test_no_secret_in_what_a_crash_leaves_wherever_it_happens():
    done = subprocess.run([sys.executable, "-c", CRASHES], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    for where in ("putting away", "a task", "a callback", "a thread", "the process"):
        assert f"{where} with {HIDDEN}" in said
    assert "every" not in said.replace("something", ""), "no piece of it either"
    assert said.splitlines()[-1].startswith("Something unexpected went wrong (reference ")
