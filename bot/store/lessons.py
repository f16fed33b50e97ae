"""What decisions teach, read from drafts and decisions as they were recorded."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from bot.drafts import DraftState
from bot.store.database import Database


@dataclass(frozen=True, slots=True)
class Judged:
    """A draft with what became of it. `typed_prompt` says that a person wrote what the voice was asked."""

    id: int
    state: DraftState
    text: str
    original_text: str
    developer_message: str
    prompt: str
    typed_prompt: bool
    replaces: int | None
    rejected_by_person: bool


async def judged_drafts(database: Database) -> list[Judged]:
    """Every draft that is not waiting, the oldest first."""
    async with database.read() as connection:
        rows = await connection.execute_fetchall(
            """
            SELECT d.id, d.state, d.text, d.original_text, v.developer_message, d.prompt, d.replaces,
                j.id IS NOT NULL AND coalesce(json_extract(j.parameters, '$.prompt'), '') <> '' AS typed_prompt,
                coalesce((SELECT action FROM decisions WHERE draft_id = d.id ORDER BY id DESC LIMIT 1), '') = 'reject'
                    AS rejected_by_person
            FROM drafts d JOIN voices v ON v.id = d.voice_id LEFT JOIN jobs j ON j.id = d.job_id
            WHERE d.state <> 'pending' ORDER BY d.id
            """
        )
    return [
        Judged(
            id=row["id"],
            state=DraftState(row["state"]),
            text=row["text"],
            original_text=row["original_text"],
            developer_message=row["developer_message"],
            prompt=row["prompt"],
            typed_prompt=bool(row["typed_prompt"]),
            replaces=row["replaces"],
            rejected_by_person=bool(row["rejected_by_person"]),
        )
        for row in rows
    ]


async def drafts_with_decisions(database: Database, states: Sequence[DraftState]) -> list[dict[str, object]]:
    """The drafts in these states (all, where none is named), each with every decision about it, as JSON has them."""
    async with database.read() as connection:
        drafts = await connection.execute_fetchall(
            """
            SELECT d.id, d.state, d.text, d.original_text, d.tags, d.prompt, v.name AS voice, v.model, d.replaces,
                d.parent, d.blog, d.upload_state, d.cost, d.created_at, d.post_id, d.post_url, d.note, d.closeness,
                d.held_back, d.findings, d.publish_at
            FROM drafts d JOIN voices v ON v.id = d.voice_id
            WHERE json_array_length(:states) = 0 OR d.state IN (SELECT value FROM json_each(:states))
            ORDER BY d.id
            """,
            {"states": json.dumps(list(states))},
        )
        decisions = await connection.execute_fetchall(
            "SELECT draft_id, at, user_id, user_name, action, state_before, state_after, text_before, text_after,"
            " tags_before, tags_after, reason FROM decisions ORDER BY id"
        )
    by_draft: dict[int, list[dict[str, object]]] = {}
    for row in decisions:
        decision = _decoded(row, "tags_before", "tags_after")
        by_draft.setdefault(row["draft_id"], []).append(decision)
        del decision["draft_id"]
    return [_decoded(row, "tags", "findings", "parent") | {"decisions": by_draft.get(row["id"], [])} for row in drafts]


def _decoded(row: sqlite3.Row, *columns: str) -> dict[str, object]:
    """A row as JSON has it; these columns hold JSON themselves."""
    values: dict[str, object] = dict(row)
    return values | {name: json.loads(row[name]) for name in columns if row[name] is not None}
