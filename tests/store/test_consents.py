"""Whose blogs may be kept."""

from __future__ import annotations

import sqlite3

import pytest

from bot.drafts import Person
from bot.posts import Blog
from bot.store import consents
from bot.store.database import Database

KEEPER = Person(1, "keeper")
ODILE = Person(2, "odile")
TIDES = Blog("t:tides", "tide-tables", "Tides", "")


async def give(db: Database, note: str = "said so", person: Person = KEEPER, now: float = 10.0) -> None:
    async with db.write() as connection:
        await consents.give_consent(connection, TIDES, note, person, now=now)


async def revoke(db: Database, uuid: str = TIDES.uuid, person: Person = ODILE, now: float = 20.0) -> bool:
    async with db.write() as connection:
        return await consents.revoke_consent(connection, uuid, person, now=now)


async def own(db: Database, *uuids: str) -> None:
    async with db.write() as connection:
        await consents.set_own_blogs(connection, [Blog(uuid, uuid[2:], "", "") for uuid in uuids])


async def may_keep(db: Database, uuid: str = TIDES.uuid) -> bool:
    async with db.read() as connection:
        return await consents.may_keep(connection, uuid)


async def test_nothing_may_be_kept_that_nobody_has_spoken_for(db: Database):
    assert not await may_keep(db)
    await give(db)
    assert await may_keep(db)
    assert not await may_keep(db, "t:another")
    assert await revoke(db)
    assert not await may_keep(db)


async def test_a_revoked_consent_stays_as_a_record_of_both(db: Database):
    await give(db)
    await revoke(db)
    (kept,) = await consents.consents(db)
    assert kept == consents.Consent("t:tides", "tide-tables", "said so", 10.0, "keeper", 20.0, "odile")
    assert await consents.active_consents(db) == []


async def test_nothing_is_revoked_twice_or_where_nothing_was_given(db: Database):
    assert not await revoke(db)
    await give(db)
    assert await revoke(db)
    assert not await revoke(db, person=KEEPER, now=30.0)
    assert [each.revoked_by for each in await consents.consents(db)] == ["odile"]


async def test_the_newest_word_counts_and_the_one_before_is_kept(db: Database):
    await give(db, "first")
    await give(db, "second", ODILE, 15.0)
    newest, before = await consents.consents(db)
    assert (newest.note, newest.given_by, newest.revoked_at) == ("second", "odile", None)
    assert (before.note, before.revoked_by, before.revoked_at) == ("first", "odile", 15.0)
    assert await consents.active_consents(db) == [newest]


async def test_the_database_itself_holds_one_active_consent_for_a_blog(db: Database):
    await give(db)
    with pytest.raises(sqlite3.IntegrityError):
        async with db.write() as connection:
            await connection.execute(
                "INSERT INTO consents (blog_uuid, blog_name, note, given_at, given_by_id, given_by)"
                " VALUES ('t:tides', 'x', 'x', 1.0, 1, 'x')"
            )


async def test_the_accounts_blogs_need_no_consent_and_stay_its_own_when_they_leave_the_list(db: Database):
    await own(db, "t:lamp", "t:second")
    assert [blog.uuid for blog in await consents.own_blogs(db)] == ["t:lamp", "t:second"]
    await own(db, "t:third")
    assert [blog.uuid for blog in await consents.own_blogs(db)] == ["t:third"]
    for uuid in ("t:lamp", "t:second", "t:third"):
        assert await may_keep(db, uuid)
        async with db.read() as connection:
            assert await consents.is_own(connection, uuid)
    await give(db)
    async with db.read() as connection:
        assert not await consents.is_own(connection, TIDES.uuid)


async def test_a_renamed_blog_of_the_account_has_its_new_name(db: Database):
    await own(db, "t:lamp")
    async with db.write() as connection:
        await consents.set_own_blogs(connection, [Blog("t:lamp", "beacon", "Beacon", "")])
    assert [(blog.name, blog.title) for blog in await consents.own_blogs(db)] == [("beacon", "Beacon")]
