"""Databases as each version of the bot left them, made anew from the scripts in `versions/`."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.store.make_version import VERSIONS

NUMBERS = [int(script.stem) for script in sorted(VERSIONS.glob("*.sql"))]
Rows = dict[str, list[dict[str, Any]]]


def build(number: int, path: Path) -> None:
    """Make the database of this version at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript((VERSIONS / f"{number:04}.sql").read_text(encoding="utf-8"))


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def shape(path: Path) -> set[tuple[str, str, str]]:
    """Every table, index and trigger as it was asked for, without comments."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql NOT NULL").fetchall()
    return {(kind, name, " ".join(re.sub(r"--[^\n]*", "", sql).split())) for kind, name, sql in found}


def rows(path: Path) -> Rows:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        queries = {name: f"SELECT * FROM {name}" for name in names}  # noqa: S608 - our own names
        return {name: [dict(row) for row in connection.execute(query)] for name, query in queries.items()}


def lost(before: Rows, after: Rows) -> list[tuple[str, Any]]:
    """The rows of `before` that are not in `after`, by the columns that both know."""
    missing: list[tuple[str, Any]] = []
    for table, old in before.items():
        if not old:
            continue
        new = after.get(table, [])
        columns = [name for name in old[0] if not new or name in new[0]]
        left = Counter(tuple(row[name] for name in columns) for row in old)
        left.subtract(tuple(row[name] for name in columns) for row in new)
        missing += [(table, row) for row, count in left.items() if count > 0]
    return missing


def is_sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        whole = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return whole and not connection.execute("PRAGMA foreign_key_check").fetchall()
