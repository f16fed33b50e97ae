"""The log: as text or as JSON lines, with a reference to what each line belongs to, and without any secret."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from types import TracebackType
from typing import Literal, TextIO, get_args
from urllib.parse import quote, quote_plus

from bot.config import Settings, secret_values

LogFormat = Literal["text", "json"]
LOG_FORMATS: tuple[str, ...] = get_args(LogFormat)
HIDDEN = "[hidden]"
_SHORTEST = 4
"""Characters: to hide a shorter key, a local service's "x" say, would make the log unreadable and protect nothing."""

reference: ContextVar[str] = ContextVar("reference", default="")
"""What is being worked on, "job 7" say. Whoever begins it sets this in its own task."""

_formatter = logging.Formatter()


class HideSecrets(logging.Filter):
    """Replaces every secret of the settings in a record: in its message, its arguments, its traceback.

    A secret that was replaced by another one stays hidden.
    """

    def __init__(self, settings: Callable[[], Settings]) -> None:
        super().__init__()
        self._settings = settings
        self._seen: Settings | None = None
        self._secrets: set[str] = set()
        self._forms: tuple[str, ...] = ()

    def filter(self, record: logging.LogRecord) -> bool:
        """Hide them; every record passes."""
        self._learn()
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            message = f"{record.msg} {record.args}"  # logging itself would print the arguments as they are
        record.msg, record.args = self.hide(message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = _formatter.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self.hide(record.exc_text)
        if record.stack_info:
            record.stack_info = self.hide(record.stack_info)
        return True

    def hide(self, text: str) -> str:
        """The text without any secret that has been known so far."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        return text

    def _learn(self) -> None:
        settings = self._settings()
        if settings is self._seen:
            return
        self._seen = settings
        self._secrets |= {value for value in secret_values(settings) if len(value) >= _SHORTEST}
        # The longest first: where one secret is a part of another, nothing of the longer one may stay.
        self._forms = tuple(sorted({form for value in self._secrets for form in _forms(value)}, key=len, reverse=True))


def _forms(secret: str) -> Iterable[str]:
    """A secret as it stands in a text, in an address, in JSON, in what `repr` shows."""
    return (
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    )


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s%(reference)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        about = reference.get()
        record.reference = f" [{about}]" if about else ""
        return super().format(record)


class _Json(logging.Formatter):
    """One object a line; `at` is in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if about := reference.get():
            line["reference"] = about
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if trace := "\n".join(part for part in (record.exc_text, record.stack_info) if part):
            line["traceback"] = trace
        return json.dumps(line, ensure_ascii=False)


def handler_for(stream: TextIO, form: LogFormat) -> logging.Handler:
    """A handler that writes to `stream` in this form."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Json() if form == "json" else _Text())
    return handler


def begin(form: LogFormat) -> bool:
    """Let the process log to its standard error, Python's warnings too.

    A log that was begun before, by a test say, stays as it is; then False is returned.
    """
    if logging.getLogger().handlers:
        return False
    logging.basicConfig(level=logging.INFO, handlers=[handler_for(sys.stderr, form)])
    logging.captureWarnings(capture=True)
    return True


def catch_crashes(report: Callable[[str, BaseException], BaseException]) -> None:
    """Let what nobody caught go into the log, where no secret stays, and not to the standard error as it is.

    `report` logs an error that ended something, and returns what to tell people.
    """

    def of_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, Exception):
            sys.stderr.write(f"{report('the process', error)}\n")
        else:
            sys.__excepthook__(kind, error, trace)

    def of_thread(crash: threading.ExceptHookArgs) -> None:
        if crash.exc_value is not None:
            report(crash.thread.name if crash.thread else "a thread", crash.exc_value)

    def of_nobody(crash: sys.UnraisableHookArgs) -> None:
        if crash.exc_value is not None:
            report(crash.err_msg or "while something was put away", crash.exc_value)

    sys.excepthook = of_process
    threading.excepthook = of_thread
    sys.unraisablehook = of_nobody


def hide_secrets(settings: Callable[[], Settings]) -> None:
    """Let our own handlers write no secret of the settings, whichever they are at that moment."""
    for handler in logging.getLogger().handlers:
        if not isinstance(handler.formatter, _Text | _Json):
            continue
        for old in [each for each in handler.filters if isinstance(each, HideSecrets)]:
            handler.removeFilter(old)
        handler.addFilter(HideSecrets(settings))
