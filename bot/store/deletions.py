"""What people have deleted by hand: counted before, removed in one transaction. Posts go by `bot.store.purge`.

Money, the audit, consents, jobs, trainings and voices are never among it, and neither is a draft that was ever sent to
Tumblr: their rows prove what happened. Of decisions about what goes, the words go; the rest moves into the audit.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import aiosqlite

from bot.drafts import DraftState
from bot.store.audit import SCREENING_ACTION, SCREENING_SUBJECT
from bot.store.datasets import NEWEST, TRAINING_FILE_BEHIND
from bot.store.drafts import WANTS_A_SUCCESSOR
from bot.store.facts import mark
from bot.store.purge import REMNANTS


@dataclass(frozen=True, slots=True)
class DraftStanding:
    """What decides whether a draft can be deleted."""

    id: int
    state: DraftState
    replaces: int | None
    decisions: int
    was_sent: bool
    """It was sent to Tumblr, whatever came of that."""
    is_awaited: bool
    """It was set aside, and another one is being written in its place."""


@dataclass(frozen=True, slots=True)
class BlogContents:
    """What there is of a blog's posts: themselves, examples made of them, drafts with the text of one above them."""

    posts: int
    examples: int
    datasets: int
    parents: int


@dataclass(frozen=True, slots=True)
class DatasetContents:
    """What there is of a dataset, and what was made with it."""

    examples: int
    screening_decisions: int
    voices: int
    trainings: int
    is_newest: bool


# --- counting -------------------------------------------------------------------------------------------------


async def blog_contents(connection: aiosqlite.Connection, blog_uuid: str) -> BlogContents:
    (row,) = await connection.execute_fetchall(
        """
        SELECT (SELECT count(*) FROM posts WHERE blog_uuid = ?1),
            (SELECT count(*) FROM examples WHERE blog_uuid = ?1 AND post_id IS NOT NULL),
            (SELECT count(DISTINCT dataset_id) FROM examples WHERE blog_uuid = ?1 AND post_id IS NOT NULL),
            (SELECT count(*) FROM drafts WHERE parent IS NOT NULL AND json_extract(parent, '$.text') <> ''
                AND json_extract(parent, '$.blog_uuid') = ?1)
        """,
        (blog_uuid,),
    )
    return BlogContents(*row)


async def blogs_with_contents(connection: aiosqlite.Connection) -> list[str]:
    """UUIDs of the blogs of which anything is here."""
    rows = await connection.execute_fetchall(
        "SELECT uuid FROM blogs UNION SELECT blog_uuid FROM examples WHERE post_id IS NOT NULL"
        " UNION SELECT json_extract(parent, '$.blog_uuid') FROM drafts"
        " WHERE parent IS NOT NULL AND json_extract(parent, '$.text') <> '' ORDER BY 1"
    )
    return [row[0] for row in rows]


async def dataset_contents(connection: aiosqlite.Connection, dataset_id: int) -> DatasetContents | None:
    """None where there is no such dataset, or it was deleted."""
    rows = await connection.execute_fetchall(
        f"""
        SELECT (SELECT count(*) FROM examples WHERE dataset_id = d.id),
            (SELECT count(*) FROM screening_decisions WHERE dataset_id = d.id),
            (SELECT count(*) FROM voices WHERE dataset_id = d.id),
            (SELECT count(*) FROM trainings WHERE dataset_id = d.id),
            id = ({NEWEST})
        FROM datasets d WHERE id = ? AND deleted_at IS NULL
        """,  # noqa: S608 - our own text
        (dataset_id,),
    )
    return next((DatasetContents(*row[:4], is_newest=bool(row[4])) for row in map(tuple, rows)), None)


async def kept_datasets(connection: aiosqlite.Connection) -> list[int]:
    """The numbers of the datasets that are there, the newest first."""
    rows = await connection.execute_fetchall("SELECT id FROM datasets WHERE deleted_at IS NULL ORDER BY id DESC")
    return [row[0] for row in rows]


async def draft_standings(connection: aiosqlite.Connection) -> list[DraftStanding]:
    """Every draft."""
    rows = await connection.execute_fetchall(
        f"""
        SELECT id, state, replaces, (SELECT count(*) FROM decisions WHERE draft_id = d.id),
            EXISTS (SELECT 1 FROM uploads WHERE draft_id = d.id) OR post_id IS NOT NULL, {WANTS_A_SUCCESSOR}
        FROM drafts d ORDER BY id
        """  # noqa: S608 - our own text
    )
    return [DraftStanding(row[0], DraftState(row[1]), row[2], row[3], bool(row[4]), bool(row[5])) for row in rows]


def deletable(drafts: Sequence[DraftStanding], states: Collection[DraftState]) -> list[DraftStanding]:
    """Those of the drafts in these states that can be deleted, and the ones that were set aside for them.

    A draft that was set aside and lost its successor would be written anew, and paid for: so it goes with it, or where
    it has to stay, the successor stays too.
    """
    successors: dict[int, set[int]] = defaultdict(set)
    for draft in drafts:
        if draft.replaces is not None:
            successors[draft.replaces].add(draft.id)
    gone = {each.id for each in drafts if each.state in states and not each.was_sent and not each.is_awaited}
    stays: set[int] = set()
    left = [each for each in drafts if each.state is DraftState.REPLACED and not each.is_awaited]
    while orphaned := [each for each in left if each.id not in gone and successors[each.id] & gone]:
        for each in orphaned:
            if each.was_sent or each.id in stays:
                gone -= successors[each.id]
                stays |= successors[each.id]
            else:
                gone.add(each.id)
    return [each for each in drafts if each.id in gone]


async def busy_kinds(
    connection: aiosqlite.Connection, kinds: Collection[str], *, dataset_id: int | None = None
) -> list[str]:
    """Which of these kinds of jobs are under way; of trainings only one on this dataset, if one is named."""
    rows = await connection.execute_fetchall(
        """
        SELECT j.kind FROM jobs j
        LEFT JOIN training_offers o ON j.kind = 'finetune' AND o.id = json_extract(j.parameters, '$.offer_id')
        WHERE j.state IN ('running', 'cancelling') AND j.kind IN (SELECT value FROM json_each(?1))
            AND (?2 IS NULL OR j.kind <> 'finetune' OR o.dataset_id = ?2)
        ORDER BY j.id
        """,
        (json.dumps(sorted(kinds)), dataset_id),
    )
    return [row[0] for row in rows]


async def comparison_count(connection: aiosqlite.Connection) -> int:
    (row,) = await connection.execute_fetchall("SELECT count(*) FROM comparisons")
    return row[0]


# --- removing -------------------------------------------------------------------------------------------------


async def delete_drafts(connection: aiosqlite.Connection, draft_ids: Sequence[int]) -> None:
    """Remove drafts that were never sent. Of the decisions about them the audit keeps who took them, and when."""
    ids = json.dumps(list(draft_ids))
    await connection.execute(
        "INSERT INTO audit (at, user_id, user_name, action, subject, before, after)"
        " SELECT at, user_id, user_name, action || ' draft', 'draft ' || draft_id, state_before, state_after"
        " FROM decisions WHERE draft_id IN (SELECT value FROM json_each(?)) ORDER BY id",
        (ids,),
    )
    await connection.execute(
        "UPDATE drafts SET replaces = NULL, regeneration_id = NULL WHERE replaces IN (SELECT value FROM json_each(?))",
        (ids,),
    )
    await connection.execute("DELETE FROM decisions WHERE draft_id IN (SELECT value FROM json_each(?))", (ids,))
    await connection.execute("DELETE FROM drafts WHERE id IN (SELECT value FROM json_each(?))", (ids,))
    await mark(connection, REMNANTS)


async def delete_dataset(connection: aiosqlite.Connection, dataset_id: int, *, now: float) -> None:
    """Remove a dataset's examples, texts and screening; its number stays, for what was trained on it."""
    (newest,) = await connection.execute_fetchall(NEWEST)
    await connection.execute(
        "INSERT INTO audit (at, user_id, user_name, action, subject, after)"  # noqa: S608 - our own text
        f" SELECT at, user_id, user_name, {SCREENING_ACTION}, {SCREENING_SUBJECT}, coalesce(CAST(value AS TEXT), '')"
        " FROM screening_decisions WHERE dataset_id = ? AND carried_from IS NULL ORDER BY id",
        (dataset_id,),
    )
    await connection.execute("DELETE FROM screening_decisions WHERE dataset_id = ?", (dataset_id,))
    await connection.execute("DELETE FROM examples WHERE dataset_id = ?", (dataset_id,))
    await connection.execute(
        "UPDATE datasets SET deleted_at = ?, digest = '', developer_message = '', user_message = '', settings = '{}',"
        " left_out = '[]' WHERE id = ?",
        (now, dataset_id),
    )
    if newest[0] == dataset_id:
        await mark(connection, TRAINING_FILE_BEHIND)
    await mark(connection, REMNANTS)


async def delete_traces(connection: aiosqlite.Connection) -> None:
    """Remove what is left of texts beside posts, datasets and drafts."""
    for table in ("comparison_rounds", "comparisons", "writings", "job_offers", "judgements"):
        await connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
    await connection.execute("UPDATE jobs SET progress = json_set(progress, '$.preview', NULL) WHERE progress NOTNULL")
    await mark(connection, REMNANTS)
