"""`check` finds what is wrong, says how to mend it, and does nothing else."""

from __future__ import annotations

import os
import time
from collections import namedtuple
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import discord
import pytest
from pydantic import SecretStr

from bot.app import App
from bot.check import Finding, check_discord, check_services
from bot.config import SECRETS_FILE, BudgetSettings, GenerationSettings, Settings
from bot.demo.faults import Fault
from bot.demo.openai_service import ModelCard
from bot.demo.world import GUILD_ID, World
from bot.drafts import DraftState
from bot.pipeline import decide
from bot.store import drafts as draft_store
from bot.store import jobs, spending
from bot.store.database import Database
from tests.cogs.acts import small_world
from tests.pipeline.conftest import NAME
from tests.pipeline.test_publish import KEEPER, add
from tests.test_app import PACE, House, open_house


async def services(house: House, **changes: Any) -> dict[str, Finding]:
    """What an app that is not started finds."""
    app = house.new_app(**changes)
    try:
        return {finding.subject: finding async for finding in check_services(app)}
    finally:
        await app.close_connections()


def section(house: House, name: str, **changes: Any) -> dict[str, Any]:
    return {name: getattr(house.settings, name).model_copy(update=changes)}


async def test_all_is_well(tmp_path: Path):
    async with open_house(tmp_path) as house:
        house.openai.models[house.settings.base_model] = ModelCard(house.settings.base_model)  # it has no end
        found = await services(house)
        assert all(finding.ok for finding in found.values()), found
        assert found["Database"].result == "A running bot is using it, as it should."
        assert found["Destination"].result == f"Approved drafts go to {NAME}, as draft."
        assert (
            found[f"Blog {NAME}"].result == "There, with about 15 posts."
        )  # the stand-in's estimate is off by three, as Tumblr's is
        assert {"Model for generation", "Model for fine-tuning", "Model for moderation"} <= found.keys()
        await house.app.stop()
        assert "is there and up to date" in (await services(house))["Database"].result
        house.app = house.new_app()
        await house.app.start()


async def test_wrong_keys_of_tumblr(tmp_path: Path):
    async with open_house(tmp_path) as house:
        found = await services(house, **section(house, "tumblr", oauth_token=SecretStr("stale-token")))
        assert not found["Tumblr account"].ok
        assert "stale-token" not in str(found)
        assert "Destination" not in found, "nobody knows whose blogs these are"


async def test_tumblr_that_cannot_be_reached(tmp_path: Path):
    async with open_house(tmp_path) as house:
        house.tumblr.faults.schedule(Fault("GET", "/v2/user/info", "html", status=503, times=9))
        found = await services(house)
        assert not found["Tumblr account"].ok
        assert found[f"Blog {NAME}"].ok, "one failure hides no other finding"


@pytest.mark.parametrize(
    ("destination", "says"),
    [
        ("", "No blog is named for drafts."),
        ("somebody-else", "somebody-else is not a blog of the connected account."),
        ("not a blog at all", ""),
    ],
)
async def test_a_destination_that_will_not_do(tmp_path: Path, destination: str, says: str):
    async with open_house(tmp_path) as house:
        house.tumblr.add_blog("somebody-else", owned=False)
        finding = (await services(house, upload_blog_identifier=destination))["Destination"]
        assert not finding.ok
        assert says in finding.result


@pytest.mark.parametrize("spelling", [NAME, f"https://www.tumblr.com/{NAME}", "uuid", "blog.example.org"])
async def test_a_destination_in_any_spelling(tmp_path: Path, spelling: str):
    async with open_house(tmp_path) as house:
        blog = house.tumblr.blogs[NAME]
        blog.custom_domain = "blog.example.org"
        spelling = blog.uuid if spelling == "uuid" else spelling
        assert (await services(house, upload_blog_identifier=spelling))["Destination"].ok


async def test_blogs_to_download(tmp_path: Path):
    async with open_house(tmp_path) as house:
        found = await services(house, download_blog_identifiers=[NAME, "gone", "no blog!"])
        assert [found[f"Blog {name}"].ok for name in (NAME, "gone", "no blog!")] == [True, False, False]
        assert not (await services(house, download_blog_identifiers=[]))["Blogs to download"].ok


async def test_models(tmp_path: Path):
    async with open_house(tmp_path) as house:
        changes = {"generation": GenerationSettings(model="gpt-0")}
        found = await services(house, **section(house, "openai", **changes))
        assert not found["Model for generation"].ok
        assert found["Model for moderation"].ok
        found = await services(house, **section(house, "openai", api_key=SecretStr("sk-wrong")))
        assert "does not accept the API key" in found["Model for fine-tuning"].result
        assert "sk-wrong" not in str(found)
        found = await services(house, **section(house, "openai", api_key=SecretStr("")))
        assert found["Model for generation"].result == "There is no API key for the model service."
        found = await services(house, **section(house, "openai", base_url="http://127.0.0.1:9/v1"))
        assert "could not be reached" in found["Model for generation"].result


async def test_a_database_that_cannot_be_used(tmp_path: Path):
    async with open_house(tmp_path) as house:
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "bot.sqlite3").write_bytes(b"no database at all" * 1_000)
        finding = (await services(house, data_directory=tmp_path / "broken"))["Database"]
        assert not finding.ok
        assert finding.result


async def test_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with open_house(tmp_path) as house:
        data = house.settings.data_directory
        found = await services(house)
        assert "can be written to" in found["Data directory"].result
        assert "free where the data is" in found["Disk"].result
        assert "counting tokens needs no network" in found["Tokenizer"].result
        assert "A running bot makes one a day" in found["Backups"].result
        assert not list(data.glob(".check*")), "it leaves nothing behind"

        secrets = data / SECRETS_FILE
        secrets.write_text("")
        secrets.chmod(0o644)
        backup = data / "backups" / "nightly-1.zip"
        backup.parent.mkdir(exist_ok=True)
        backup.write_bytes(b"")
        os.utime(backup, (time.time() - 9 * 86_400,) * 2)
        usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil has it
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**12, 10**12 - 5_000_000, 5_000_000))
        monkeypatch.setattr("bot.check.machine.count", lambda _: read_nothing())
        found = await services(house)
        assert found["Secrets file"].remedy == f"Make it yours alone: chmod 600 {secrets}"
        assert found["Disk"].result.startswith("5 MB are free where the data is; the bot wants 200 MB")
        assert found["Tokenizer"].result == "Its data cannot be loaded from this machine."
        assert found["Backups"].result == "The newest is 9 days old."
        assert "nightly backup" in found["Backups"].remedy, "the bot is running, and made none"

        secrets.chmod(0o600)
        assert (await services(house))["Secrets file"].ok
        await house.app.stop()
        assert (await services(house))["Backups"].ok, "the bot was not running"
        house.app = house.new_app()

        nowhere = tmp_path / "a file"
        nowhere.write_text("")
        found = await services(house, data_directory=nowhere / "data")
        assert "not a directory" in found["Data directory"].result
        assert "cannot be written" in found["Database"].result
        assert found["Tumblr account"].ok, "one failure hides no other finding"


def read_nothing() -> int:
    raise FileNotFoundError


async def test_what_tumblr_allows_and_whether_the_clock_is_right(tmp_path: Path):
    async with open_house(tmp_path) as house:
        found = await services(house)
        assert "may make 250 more posts today" in found["Tumblr quota"].result
        assert "is enough to download about" in found["Tumblr quota"].result
        assert found["Clock"].ok
        house.tumblr.hour_limit = house.tumblr.hour_used + 30
        found = await services(house)
        assert found["Tumblr quota"].ok, "the bot waits by itself"
        assert "A download waits until there are more" in found["Tumblr quota"].result

        for seconds, says in ((-720, "12 minutes slow"), (720, "12 minutes fast"), (200, "agrees")):
            app = App(house.settings, house.config, pace=PACE, clock=lambda ahead=seconds: time.time() + ahead)
            house.tumblr.hour_used = 0
            found = {finding.subject: finding async for finding in check_services(app)}
            await app.close_connections()
            assert says in found["Clock"].result
            assert found["Clock"].ok == (says == "agrees")


async def test_the_voice_that_writes_and_the_money(tmp_path: Path):
    async with open_house(tmp_path) as house:
        found = await services(house)
        assert "Active voice" not in found, "the model for generation writes"
        assert found["Budget"].result == "20.00 of this month's 20.00 dollars are left."

        found = await services(house, fine_tuned_model="ft:gone:me::1")
        assert "has no model ft:gone:me::1 any more" in found["Active voice"].result
        assert "/voices use" in found["Active voice"].remedy

        model = house.settings.base_model
        for days, ok, says in (
            (90, True, "until its service stops it"),
            (9, False, "until"),
            (-1, False, "was stopped"),
        ):
            ends = datetime.fromtimestamp(time.time() + days * 86_400, UTC).date()
            house.openai.models[model] = ModelCard(model, ends.isoformat())
            found = await services(house, fine_tuned_model=model)
            for subject in ("Active voice", "Model for fine-tuning"):
                assert (found[subject].ok, says in found[subject].result) == (ok, True), found[subject]

        async with house.app.database.write() as connection:
            await spending.reserve(
                connection, purpose="writing", job_id=None, model="m", dollars=20.0, limit=20.0, now=time.time()
            )
        assert not (await services(house))["Budget"].ok
        found = await services(house, budget=BudgetSettings(monthly_limit=0.0))
        assert found["Budget"].ok, "somebody wants it so"


async def test_it_only_looks(tmp_path: Path):
    """With a job to resume, a draft to upload and one to regenerate lying there, it starts none of them."""
    async with open_house(tmp_path) as house:
        await house.app.stop()
        database = await Database.open(house.settings.database_file)
        waiting, again = await add(database, "waits for its upload"), await add(database, "again, please")
        await decide.approve(database, waiting, KEEPER, now=0.0)
        await decide.regenerate(database, again, KEEPER, now=0.0)
        async with database.write() as connection:
            await jobs.insert_job(
                connection, "download", {}, requested_by="k", requester_id=1, channel_id=None, now=0.0
            )
        await database.close()
        await services(house)
        assert {request.method for request in (*house.tumblr.requests, *house.openai.requests)} == {"GET"}
        database = await Database.open(house.settings.database_file)
        states = {draft.state for draft in await draft_store.drafts_in(database, list(DraftState), limit=9)}
        assert states == {DraftState.APPROVED, DraftState.REPLACED}
        assert len(await jobs.active_jobs(database)) == 1
        async with database.read() as connection:
            assert [tuple(row) for row in await connection.execute_fetchall("SELECT count(*) FROM posts")] == [(0,)]
        await database.close()
        house.app = house.new_app()


# --- Discord --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def quiet_world(folder: Path) -> AsyncGenerator[World, None]:
    async with small_world(folder, posts=1) as world:
        yield world


async def on_discord(world: World, **changes: Any) -> list[Finding]:
    settings: Settings = world.app.settings
    settings = settings.model_copy(update={"discord": settings.discord.model_copy(update=changes)})
    return [finding async for finding in check_discord(world.client, settings)]


async def test_discord_is_well(tmp_path: Path):
    async with quiet_world(tmp_path) as world:
        found = await on_discord(world)
        assert all(finding.ok for finding in found), found
        said = {finding.subject: finding.result for finding in found}
        assert [*said] == ["Discord token", "Server", "Roles in reviewer_role_ids", "Channel", "Commands"]
        assert said["Channel"] == "writing-room; the bot has the permissions it needs."
        assert (
            said["Commands"]
            == f"{len(world.client.tree.get_commands(guild=discord.Object(GUILD_ID)))} are registered on the server."
        )


async def test_a_permission_that_is_missing_is_named(tmp_path: Path):
    async with quiet_world(tmp_path) as world:
        channel = world.client.get_channel(world.channel.id)
        assert isinstance(channel, discord.TextChannel)
        await channel.set_permissions(channel.guild.me, attach_files=False, embed_links=False)
        (finding,) = [finding for finding in await on_discord(world) if not finding.ok]
        assert finding.subject == "Channel"
        assert finding.result == "In writing-room the bot lacks: embed links, attach files."


@pytest.mark.parametrize(
    ("changes", "subject", "says"),
    [
        ({"guild_id": None}, "Server", "None is named."),
        ({"guild_id": 42}, "Server", "The bot is not on the server 42."),
        ({"channel_id": 42}, "Channel", "The bot sees no channel 42."),
        ({"reviewer_role_ids": [42]}, "Roles in reviewer_role_ids", "The server has no role 42."),
    ],
)
async def test_what_discord_does_not_know_is_named(tmp_path: Path, changes: dict[str, Any], subject: str, says: str):
    async with quiet_world(tmp_path) as world:
        (wrong,) = [finding for finding in await on_discord(world, **changes) if not finding.ok]
        assert (wrong.subject, wrong.result) == (subject, says)
        if "not on the server" in says:
            assert "https://discord.com/oauth2/authorize" in wrong.remedy


async def test_without_a_channel_answers_go_where_they_were_asked_for(tmp_path: Path):
    async with quiet_world(tmp_path) as world:
        assert all(finding.ok for finding in await on_discord(world, channel_id=None))


async def test_it_sends_nothing_to_discord(tmp_path: Path):
    async with quiet_world(tmp_path) as world:
        before = len(world.env.http_requests)
        await on_discord(world)
        assert {entry.method for entry in world.env.http_requests[before:]} == {"GET"}
