"""What can be taken away, as JSON Lines: each table with its fields, read a page at a time. No secret is in any."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import aiosqlite

from bot.store.copies import BLOGS_WITH_TEXTS
from bot.store.database import Database

_PAGE = 500
_MOMENT = "a moment in UTC, as ISO 8601 writes it"


@dataclass(frozen=True, slots=True)
class ExportTable:
    """One file of an export. The query names each field, and the columns that order it as `key_1`, `key_2`."""

    name: str
    query: str
    order: str
    """The expression that `key_1` (and `key_2`) come from."""
    start: tuple[object, ...]
    """What comes before the first key."""
    fields: Mapping[str, str]
    """Each field, and what it means."""
    moments: tuple[str, ...] = ()
    """Fields in unix seconds, which are written as a date and time."""
    json: tuple[str, ...] = ()
    """Fields that hold JSON themselves."""
    tells: str = field(default="")
    """What one line is."""


POSTS = ExportTable(
    "posts",
    "SELECT b.name AS blog, p.id, p.timestamp AS time, p.text, p.tags, p.url, p.blog_uuid AS key_1, p.id AS key_2"
    " FROM posts p JOIN blogs b ON b.uuid = p.blog_uuid",
    "(p.blog_uuid, p.id)",
    ("", ""),
    {
        "blog": "the name of the blog",
        "id": "the number of the post on Tumblr, as text",
        "time": f"when it was posted: {_MOMENT}",
        "text": "its words, without formatting",
        "tags": "a list",
        "url": "where it is",
    },
    moments=("time",),
    json=("tags",),
    tells="a post that was downloaded",
)
DATASETS = ExportTable(
    "datasets",
    "SELECT id AS dataset, created_at AS made_at, source, developer_message, user_message, screened_with, screened_at,"
    " settings, id AS key_1 FROM datasets d WHERE deleted_at IS NULL",
    "id",
    (0,),
    {
        "dataset": "its number",
        "made_at": _MOMENT,
        "source": "posts, or file for one that was made of an edited training file",
        "developer_message": "what stands above every example",
        "user_message": "what the voice is asked",
        "screened_with": "the moderation model; null where it was not screened",
        "screened_at": f"{_MOMENT}, or null",
        "settings": "the filters it was made with",
    },
    moments=("made_at", "screened_at"),
    json=("settings",),
    tells="a dataset",
)
EXAMPLES = ExportTable(
    "examples",
    "SELECT e.dataset_id AS dataset, e.position,"
    " CASE WHEN e.set_aside IS NOT NULL THEN 'set aside' WHEN e.held_out THEN 'held out' ELSE 'training' END AS part,"
    " e.set_aside AS reason, e.user, e.assistant, b.name AS blog, e.post_id AS post, e.tokens,"
    " e.dataset_id AS key_1, e.position AS key_2 FROM examples e LEFT JOIN blogs b ON b.uuid = e.blog_uuid",
    "(e.dataset_id, e.position)",
    (0, -1),
    {
        "dataset": "the number of its dataset",
        "position": "its place there",
        "part": "training, held out or set aside",
        "reason": "why the screening set it aside, or null",
        "user": "what is asked",
        "assistant": "what is answered",
        "blog": "the blog that it comes from; null for one of your own",
        "post": "the post that it comes from, or null",
        "tokens": "its length as it is paid for",
    },
    tells="an example of a dataset",
)
DRAFTS = ExportTable(
    "drafts",
    "SELECT d.id AS draft, d.state, d.text, d.original_text, d.tags, d.prompt, v.name AS voice, v.model, d.replaces,"
    " d.parent AS reblogs, d.blog, d.upload_state, d.cost, d.created_at AS written_at, d.post_id, d.post_url, d.note,"
    " d.id AS key_1 FROM drafts d JOIN voices v ON v.id = d.voice_id",
    "d.id",
    (0,),
    {
        "draft": "its number",
        "state": "pending, approved, uploading, uploaded, unknown, rejected or replaced",
        "text": "as it stands",
        "original_text": "as the voice wrote it",
        "tags": "a list",
        "prompt": "what the voice was asked",
        "voice": "the name of the voice",
        "model": "its model",
        "replaces": "the draft that it was regenerated from, or null",
        "reblogs": "the post that it answers (blog_uuid, blog_name, post_id, text, url), or null",
        "blog": "where it goes",
        "upload_state": "what it becomes there: draft, queue, published or private",
        "cost": "in US dollars",
        "written_at": _MOMENT,
        "post_id": "the number of the post on Tumblr, or null",
        "post_url": "where it is, or null",
        "note": "a sentence of the bot about it",
    },
    moments=("written_at",),
    json=("tags", "reblogs"),
    tells="a draft",
)
_WHO = {"at": _MOMENT, "user_id": "who, as Discord counts people; 0 is the bot itself", "user_name": "the name then"}
DECISIONS = ExportTable(
    "decisions",
    "SELECT draft_id AS draft, at, user_id, user_name, action, state_before, state_after, text_before, text_after,"
    " tags_before, tags_after, reason, id AS key_1 FROM decisions",
    "id",
    (0,),
    {
        "draft": "the number of the draft",
        **_WHO,
        "action": "approve, edit, regenerate, reject, confirm, resend, undo, restore, remove or expire",
        "state_before": "the state of the draft before",
        "state_after": "and after",
        "text_before": "its text before",
        "text_after": "and after",
        "tags_before": "its tags before, a list",
        "tags_after": "and after",
        "reason": "what the person said about it",
    },
    moments=("at",),
    json=("tags_before", "tags_after"),
    tells="a decision about a draft",
)
SCREENING = ExportTable(
    "screening",
    "SELECT dataset_id AS dataset, at, user_id, user_name, what AS action, position, category, value, id AS key_1"
    " FROM screening_decisions",
    "id",
    (0,),
    {
        "dataset": "the number of the dataset",
        **_WHO,
        "action": "keep, drop, threshold or skip",
        "position": "the example; null for a whole category",
        "category": "the category, or null",
        "value": "the threshold, or null",
    },
    moments=("at",),
    tells="a decision about a screening",
)
AUDIT = ExportTable(
    "audit",
    "SELECT at, user_id, user_name, action, subject, before, after, id AS key_1 FROM audit",
    "id",
    (0,),
    {
        **_WHO,
        "action": "what was done",
        "subject": "to what",
        "before": "how it was; empty where there is nothing to say",
        "after": "how it is since",
    },
    moments=("at",),
    tells="something that a person did",
)
CONSENTS = ExportTable(
    "consents",
    "SELECT blog_uuid, blog_name AS blog, note, given_at, given_by, revoked_at, revoked_by, id AS key_1 FROM consents",
    "id",
    (0,),
    {
        "blog_uuid": "the blog, as Tumblr counts them",
        "blog": "its name then",
        "note": "who allowed it, and where they said so",
        "given_at": _MOMENT,
        "given_by": "who recorded it",
        "revoked_at": f"{_MOMENT}, or null",
        "revoked_by": "who took it back, or null",
    },
    moments=("given_at", "revoked_at"),
    tells="a consent",
)
SPENDING = ExportTable(
    "spending",
    "SELECT at, purpose, model, reserved, spent, input_tokens, output_tokens, job_id AS job, id AS key_1 FROM spending",
    "id",
    (0,),
    {
        "at": _MOMENT,
        "purpose": "what for",
        "model": "the model that was called",
        "reserved": "US dollars that were set aside before the call",
        "spent": "US dollars that it cost; null where the answer was lost",
        "input_tokens": "tokens sent, or null",
        "output_tokens": "tokens received, or null",
        "job": "the number of the job, or null",
    },
    moments=("at",),
    tells="a call that was paid for",
)
VOICES = ExportTable(
    "voices",
    "SELECT id AS voice, name, kind, model, dataset_id AS dataset, developer_message, user_message, cost,"
    " created_at AS made_at, active, retired_at, shutdown_date, id AS key_1 FROM voices",
    "id",
    (0,),
    {
        "voice": "its number",
        "name": "its name",
        "kind": "how it writes",
        "model": "its model",
        "dataset": "the dataset that it was trained on, or null",
        "developer_message": "what stands above every prompt",
        "user_message": "what it is asked",
        "cost": "what it cost in US dollars",
        "made_at": _MOMENT,
        "active": "1 for the one that writes",
        "retired_at": f"{_MOMENT}, or null",
        "shutdown_date": "when the service stops its model, or null",
    },
    moments=("made_at", "retired_at"),
    tells="a voice",
)

EXPORTS: Mapping[str, tuple[ExportTable, ...]] = {
    "posts": (POSTS,),
    "datasets": (DATASETS, EXAMPLES),
    "drafts": (DRAFTS,),
    "decisions": (DECISIONS,),
    "audit": (AUDIT, DECISIONS, SCREENING, CONSENTS),
    "everything": (
        POSTS, DATASETS, EXAMPLES, DRAFTS, DECISIONS, SCREENING, AUDIT, CONSENTS, VOICES, SPENDING,
    ),
}  # fmt: skip
"""What can be asked for, and the files that it is."""


async def pages(database: Database, table: ExportTable) -> AsyncIterator[list[sqlite3.Row]]:
    """The rows of a table in their order. Each page is read for itself: a row that goes meanwhile may be missing."""
    last = table.start
    word = "AND" if " WHERE " in table.query else "WHERE"
    after = "?" if len(last) == 1 else "(?, ?)"
    query = f"{table.query} {word} {table.order} > {after} ORDER BY {_listed(table.order)} LIMIT ?"
    while True:
        async with database.read() as connection:
            rows = list(cast("list[sqlite3.Row]", await connection.execute_fetchall(query, (*last, _PAGE))))
        if not rows:
            return
        yield rows
        last = tuple(rows[-1][f"key_{number}"] for number in range(1, len(last) + 1))


def as_line(table: ExportTable, row: sqlite3.Row) -> bytes:
    """A row as a line of JSON."""
    values: dict[str, object] = {name: row[name] for name in table.fields}
    for name in table.moments:
        if values[name] is not None:
            values[name] = _moment(float(row[name]))
    for name in table.json:
        if values[name] is not None:
            values[name] = json.loads(row[name])
    return json.dumps(values, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


async def blogs_with_texts(connection: aiosqlite.Connection) -> dict[str, float]:
    """By UUID the blogs that have texts here, and when the oldest of them was last seen (unix seconds)."""
    return {row[0]: row[1] for row in await connection.execute_fetchall(BLOGS_WITH_TEXTS)}


def _listed(order: str) -> str:
    return order.removeprefix("(").removesuffix(")")


def _moment(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # a year that no calendar has
        return str(at)
