"""What may not be kept any longer goes: from the posts, the examples of every dataset, the drafts, the files.

Deleted on the blog means gone here. Posts of a blog that is not the account's are kept for some days after they were
last seen, and until the consent to that is revoked. Each step is a transaction that leaves everything consistent, and
what was cut off is gone on with by `keep_retention`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bot.errors import TumblrError
from bot.pipeline.training_file import repair_training_file
from bot.store import consents, copies, purge
from bot.store.database import Database
from bot.store.facts import clear_mark, get_fact
from bot.store.purge import ForeignBlog, Purged
from bot.tumblr.client import Tumblr

_log = logging.getLogger(__name__)
_DAY = 86_400.0
_AT_ONCE = 200  # posts in one transaction, so that an approval never waits long for its turn
# Posts that are due within the next hour go with those that are due now: each purge writes the whole database anew.
_AHEAD = 3_600.0
_TRY_AGAIN = 900.0  # seconds until something that could not be done is tried again


async def delete_posts(
    database: Database, blog_uuid: str, post_ids: Sequence[str] | None, *, training_data_file: Path
) -> int:
    """Remove these posts of a blog (None: all of them) and what was made of them; returns how many posts there were.

    Drafts that reblog them stay, without their text. The training file is written anew where it had one of them.
    Between the rows of the database file the text may stay until `keep_retention` comes by.

    Raises:
        BotError: the training file cannot be written; the rest is done, and the file is noted as behind.
    """
    purged = Purged()
    if post_ids is None:
        purged = await delete_all_posts(database, blog_uuid)
    else:
        for start in range(0, len(post_ids), _AT_ONCE):
            async with database.write() as connection:
                purged += await purge.purge_posts(connection, blog_uuid, post_ids[start : start + _AT_ONCE])
    await repair_training_file(database, training_data_file)
    return purged.posts


async def delete_all_posts(database: Database, blog_uuid: str) -> Purged:
    """Remove all posts of a blog from the database as `delete_posts` does, and leave the training file behind."""
    purged = Purged()
    while ids := await _some_ids(database, blog_uuid):
        async with database.write() as connection:
            purged += await purge.purge_posts(connection, blog_uuid, ids)
    return purged


async def forget_blog(database: Database, blog_uuid: str, *, training_data_file: Path) -> Purged:
    """Remove everything of a blog that may not be kept, copies of the database that have its posts included.

    Stops where it may be kept after all: somebody has given consent meanwhile.

    Raises:
        BotError: the training file or the database file cannot be written anew; the rows are gone all the same.
    """
    purged = await _forget(database, blog_uuid)
    await wipe(database)
    own = await purge.own_uuids(database)
    await asyncio.to_thread(_remove_copies, database.path, own, {blog_uuid}, before=float("-inf"))
    await repair_training_file(database, training_data_file)
    return purged


async def keep_retention(
    database: Database,
    tumblr: Tumblr,
    *,
    days: float,
    training_data_file: Path,
    clock: Callable[[], float] = time.time,
) -> float | None:
    """Remove what is too old of blogs that are not the account's, and end what was cut off.

    A post is too old when it has not been seen for so many days, the text in a draft when the draft is so old. Blogs
    that are or were the account's own are left alone, and so nothing is removed before the account's list is known.

    That list is read again first, since a blog may be new in it. Where Tumblr does not answer, only blogs are purged
    whose consent was recorded: Tumblr named them as somebody else's when that was done. The others, from before
    consent was asked for, wait for the answer.

    Returns when something is due next, in unix seconds.

    Raises:
        BotError: the training file or the database file cannot be written anew; the rows are gone all the same.
    """
    revoked = await purge.revoked_blogs(database)
    for uuid in revoked:
        await _forget(database, uuid)
    now = clock()
    oldest = now - days * _DAY
    waits = False
    due = await _due(database, oldest)
    if due:
        is_certain = await _look_at_account(database, tumblr)
        due = await _due(database, oldest)  # without those that turned out to be the account's
        is_known = bool(await purge.own_uuids(database))
        for blog in due:
            if is_known and (is_certain or blog.had_consent):
                await _expire(database, blog.uuid, oldest + _AHEAD)
            else:
                waits = True
    async with database.write() as connection:
        await purge.blank_shown_previews(connection)
    await wipe(database)
    moments = [now + _TRY_AGAIN] if waits else []
    own = await purge.own_uuids(database)
    if own:
        left = await asyncio.to_thread(_remove_copies, database.path, own, set(revoked), before=oldest)
        moments += [] if left is None else [left + days * _DAY]
    await repair_training_file(database, training_data_file)
    for blog in await purge.foreign_blogs(database):
        moments += [moment + days * _DAY for moment in (blog.oldest_post, blog.oldest_parent) if moment is not None]
    return max(min(moments), now + _TRY_AGAIN) if moments else None


async def _due(database: Database, oldest: float) -> list[ForeignBlog]:
    return [
        blog
        for blog in await purge.foreign_blogs(database)
        if any(moment is not None and moment <= oldest for moment in (blog.oldest_post, blog.oldest_parent))
    ]


async def _look_at_account(database: Database, tumblr: Tumblr) -> bool:
    """Note which blogs are the account's now; returns whether Tumblr told."""
    try:
        account = await tumblr.account()
    except TumblrError as error:
        _log.warning("Which blogs are the account's could not be looked up before old posts are removed: %s", error)
        return False
    if not account.blogs:
        return False  # every account has one: this is no list to delete by
    async with database.write() as connection:
        await consents.set_own_blogs(connection, account.blogs)
    return True


async def _expire(database: Database, blog_uuid: str, before: float) -> None:
    """Remove what is older than this; the next download begins anew."""
    purged = Purged()
    old = await purge.old_ids(database, blog_uuid, before)
    for start in range(0, len(old), _AT_ONCE):
        async with database.write() as connection:
            ids = await purge.still_old(connection, blog_uuid, old[start : start + _AT_ONCE], before)
            # A draft was written later than the post was seen, and has a time of its own.
            purged += await purge.purge_posts(connection, blog_uuid, ids, parents=False)
            await purge.begin_anew(connection, blog_uuid)
    async with database.write() as connection:
        parents = await purge.blank_old_parents(connection, blog_uuid, before)
    _log.info(
        "Of blog %s, which is somebody else's, %d posts and %d examples were too old and have been removed,"
        " and the texts of posts in %d drafts.",
        blog_uuid,
        purged.posts,
        purged.examples,
        parents,
    )


async def _forget(database: Database, blog_uuid: str) -> Purged:
    purged = Purged()
    while True:
        async with database.write() as connection:
            if await consents.may_keep(connection, blog_uuid):
                return purged
            ids = await purge.kept_ids(connection, blog_uuid, limit=_AT_ONCE)
            if not ids:
                await purge.forget_blog_row(connection, blog_uuid)
                return purged
            purged += await purge.purge_posts(connection, blog_uuid, ids)
            await purge.begin_anew(connection, blog_uuid)


async def _some_ids(database: Database, blog_uuid: str) -> list[str]:
    async with database.read() as connection:
        return await purge.kept_ids(connection, blog_uuid, limit=_AT_ONCE)


async def wipe(database: Database) -> None:
    """Leave no byte of what was removed in the database file or its log."""
    noted = await get_fact(database, purge.REMNANTS)
    if noted is not None and await database.rebuild():
        async with database.write() as connection:
            await clear_mark(connection, purge.REMNANTS, noted)


def _remove_copies(path: Path, own: set[str], forgotten: set[str], *, before: float) -> float | None:
    """Remove the copies that have posts of these blogs, and those with older ones (unix seconds) of anybody else.

    Returns since when the oldest ones of somebody else are there that are left.
    """
    left: list[float] = []
    for copy in copies.copies(path):
        held = copies.blogs_in_copy(copy)
        foreign = None if held is None else {blog: since for blog, since in held.items() if blog not in own}
        if foreign is not None and not foreign:
            continue
        try:
            oldest = copy.stat().st_mtime if foreign is None else min(foreign.values())
            if oldest <= before or (foreign is not None and foreign.keys() & forgotten):
                copy.unlink(missing_ok=True)
                _log.info("%s was removed: it has posts that may not be kept any longer.", copy.name)
            else:
                left.append(oldest)
        except FileNotFoundError:
            pass
        except OSError as error:
            _log.warning("%s has posts that may not be kept, and cannot be removed (%s).", copy, type(error).__name__)
    return min(left, default=None)
