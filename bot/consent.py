"""Who says that a blog of somebody else may be downloaded: recorded, and taken back with all that is here of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bot.account import TumblrAccount
from bot.drafts import Person
from bot.errors import NothingToDo, TumblrNotFound
from bot.pipeline.retention import forget_blog
from bot.store import consents
from bot.store.consents import Consent
from bot.store.database import Database, carry_through
from bot.store.purge import Purged
from bot.tumblr.client import Tumblr
from bot.tumblr.identifiers import parse_identifier


async def give(
    database: Database, account: TumblrAccount, blog: str, note: str, person: Person, *, clock: Callable[[], float]
) -> Consent:
    """Record that `person` says that a blog of somebody else may be downloaded. Returns what was recorded.

    Raises:
        NothingToDo: the note is empty, or the blog is the account's own and needs none.
        BlogIdentifierError, TumblrError: the blog cannot be looked up; nothing was recorded.
    """
    note = note.strip()
    if not note:
        raise NothingToDo("The note is empty.", "Say in it who allows this, and where they said so.")
    identifier = parse_identifier(blog)
    try:
        found = await account.tumblr.blog(identifier)
    except TumblrNotFound as error:
        raise TumblrNotFound(f"Tumblr has no blog {identifier}, or does not show it.", error.next_step) from error
    await account.account()  # the blog may be new in it
    now = clock()
    async with database.write() as connection:
        if await consents.is_own(connection, found.uuid):
            raise NothingToDo(
                f"{found.name} is a blog of the connected account and needs no consent. Nothing was recorded.",
                "Use /download.",
            )
        await consents.give_consent(connection, found, note, person, now=now)
    return Consent(found.uuid, found.name, note, now, person.name, None, None)


async def revoke(
    database: Database,
    tumblr: Tumblr,
    blog: str,
    person: Person,
    *,
    training_data_file: Path,
    clock: Callable[[], float],
) -> tuple[Consent, Purged]:
    """Take consent back and purge what is here of the blog, also while it is being downloaded.

    Returns the consent that held until now, and what was purged: nothing, if the blog is the account's own by now.

    Raises:
        NothingToDo: there is no such consent, or the name could mean several.
        BlogIdentifierError, TumblrError: the blog is not found in what was recorded, nor at Tumblr.
        BotError: it is revoked and purged, but a file could not be written anew.
    """
    consent = await _consent_for(database, tumblr, blog)
    async with database.write() as connection:
        # First of all: from here on no page of a download under way is stored any more.
        if not await consents.revoke_consent(connection, consent.blog_uuid, person, now=clock()):
            raise _no_such_consent(consent.blog_name)
    # To its end even if the bot stops now; a kill leaves the rest to the courier.
    purged = await carry_through(forget_blog(database, consent.blog_uuid, training_data_file=training_data_file))
    return consent, purged


async def _consent_for(database: Database, tumblr: Tumblr, blog: str) -> Consent:
    """The consent that a text means. What was recorded comes first: the blog may be gone, or renamed."""
    identifier = parse_identifier(blog)
    active = await consents.active_consents(database)
    meant = [each for each in active if identifier in {each.blog_uuid, each.blog_name}]
    if not meant:
        try:
            uuid = (await tumblr.blog(identifier)).uuid
        except TumblrNotFound:
            raise _no_such_consent(identifier) from None
        meant = [each for each in active if each.blog_uuid == uuid]
    if not meant:
        raise _no_such_consent(identifier)
    if len(meant) > 1:
        uuids = " or ".join(each.blog_uuid for each in meant)
        raise NothingToDo(f"Several blogs have been called {identifier}.", f"Name the one you mean as {uuids}.")
    return meant[0]


def _no_such_consent(blog: str) -> NothingToDo:
    return NothingToDo(f"No consent for {blog} holds.", "/consent list shows those that do.")
