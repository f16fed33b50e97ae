"""/data: what is here, taken away, backed up, deleted and brought back; and who did what."""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import discord
import pytest
from simcord import interactions
from simcord.results import InteractionResult

from bot.backup import DATABASE, backups_folder, restore
from bot.demo.world import GUILD_ID, World, describe
from bot.drafts import Person
from bot.errors import BackupRefused
from bot.store import audit
from bot.store.exports import EXPORTS
from cogs.ui import limits
from tests.cogs.acts import (
    REFUSAL,
    allow,
    answer,
    as_it_stands,
    becomes,
    buttons,
    draft,
    everything,
    forged,
    hour_is_over,
    pause,
    rows,
    said,
    small_world,
    stage,
    text_post,
    up_to,
    written,
)
from tests.cogs.test_consent import files_with, other_blog
from tests.cogs.test_draft_life import review
from tests.test_backup import contents

DAY = 86_400.0


async def use(world: World, command: str, /, **options: Any) -> InteractionResult:
    return await world.owner.slash(world.channel, f"data {command}", **options)


async def typed(world: World, preview: InteractionResult, words: str) -> InteractionResult:
    """Press the button of a preview, and type these words into its form."""
    form = await world.owner.click(answer(preview), label="Delete it")
    assert form.modal is not None, said(form)
    return await world.owner.submit_modal(form, {"typed": words})


async def zipped(result: InteractionResult) -> zipfile.ZipFile:
    (file,) = answer(result).message.attachments
    return zipfile.ZipFile(io.BytesIO(await file.read()))


def lines(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(name).decode().splitlines()]


async def states(world: World) -> dict[int, str]:
    return dict(await rows(world, "SELECT id, state FROM drafts ORDER BY id"))  # type: ignore[arg-type]


# --- looking, backing up ------------------------------------------------------------------------------------------


async def test_sizes_are_those_of_the_rows_and_the_files(small: World):
    await up_to(small, "moderate")
    first, *_ = await written(small, 2)
    await small.owner.click(first, label="Approve")
    await becomes(small, first, "Uploaded")
    made = await use(small, "backup")
    (backup,) = backups_folder(small.app.settings).glob("*.zip")
    assert backup.name in said(made)
    assert f"Size: {backup.stat().st_size / 1000:.1f} kB" in said(made)
    assert "bot.sqlite3, " in said(made)
    with zipfile.ZipFile(backup) as archive:
        assert DATABASE in archive.namelist()
    text = said(await use(small, "show"))
    training = small.app.settings.training_data_file.stat().st_size
    ((decisions, acts, jobs, calls),) = await rows(
        small,
        "SELECT (SELECT count(*) FROM decisions), (SELECT count(*) FROM audit), (SELECT count(*) FROM jobs),"
        " (SELECT count(*) FROM spending)",
    )
    for part in (
        f"{small.blog_name}: 12",
        "Drafts: 1 waiting, 1 uploaded",
        "Datasets: 1, with 12 examples",
        f"{decisions} decision, {acts} audit entry, {jobs} jobs, {calls} paid calls, 0 consents in force",
        f"Backups: 1, {backup.stat().st_size / 1000:.1f} kB; the newest <t:",
        backup.name,
        "Left on the disk: ",
    ):
        assert part in text, (part, text)
    assert training / 1000 < float(text.partition("Training files: ")[2].partition(" kB")[0]) + 2
    assert await rows(small, "SELECT subject FROM audit WHERE action = 'make backup'") == [(backup.name,)]


def left_behind(world: World) -> dict[str, Path]:
    """A file of each kind that stays, with some that are not the owner's to choose here; each a day younger."""
    home, now = world.app.settings.database_file.parent, world.clock()
    names = [
        "backups/backup-20250101T000000Z.zip",
        "backups/before-restore-20250102T000000Z.zip",
        "exports/everything-20250103.zip",
        "bot.sqlite3.before-restore-20250104T000000Z",
        "bot.sqlite3.before-0007",
        "config.toml.before-restore-20250106T000000Z",
        "backups/nightly-20250107T000000Z.zip",
        "backups/before-delete-20250108T000000Z.zip",
        "backups/backup-20250109T000000Z.zip.unfinished",
        "bot.sqlite3.before-backup-ab12",
        "custom_prompts.jsonl",
    ]
    made: dict[str, Path] = {}
    for number, name in enumerate(names):
        path = (world.directory if name.startswith("config") else home) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * (1_000 + number))
        os.utime(path, (now - (90 - number) * DAY, now - (90 - number) * DAY))
        made[path.name] = path
    return made


async def test_what_stays_until_somebody_removes_it_is_shown_and_deleted_after_a_second_press(small: World):
    made = left_behind(small)
    shown = answer(await use(small, "show")).message
    assert "Kept until you remove it: 1 × backup made by hand, 1.0 kB, from <t:" in describe(shown)
    for kind in (
        "backup from before a restore", "export", "copy from before a restore", "copy from before an update",
        "settings from before a restore",
    ):  # fmt: skip
        assert f"1 × {kind}, 1.0 kB, from <t:" in describe(shown)
    offered = [option.value for option in shown.components[0].children[0].options]  # type: ignore[union-attr]
    assert offered == list(made)[:6], "the oldest first, and only what nobody else removes"
    assert not buttons(shown)
    doomed = [offered[0], offered[4]]
    await small.owner.select(shown, doomed)
    asked = as_it_stands(small, shown)
    sentence = "To be deleted: backup-20250101T000000Z.zip, bot.sqlite3.before-0007: 2.0 kB. What only they hold"
    assert sentence in describe(asked).replace("\\", "")
    assert all(path.exists() for path in made.values()), "nothing goes before the second press"
    await small.restart()
    await small.owner.click(asked, label="Delete 2 files")
    after = as_it_stands(small, shown)
    assert after.content == "2 files deleted, 2.0 kB. /data audit has it on record."
    assert [name for name, path in made.items() if not path.exists()] == doomed
    assert doomed[0] not in describe(after)
    assert await rows(small, "SELECT user_id, action, subject, before FROM audit ORDER BY id") == [
        (small.owner.id, "delete file", doomed[0], "backup made by hand, 1,000 bytes"),
        (small.owner.id, "delete file", doomed[1], "copy from before an update, 1,004 bytes"),
    ]
    # Only what is listed can be chosen, whatever a press names.
    await forged(small, small.owner, after, "data-files", ["nightly-20250107T000000Z.zip", "../config.toml"])
    assert "To be deleted" not in describe(as_it_stands(small, shown))


async def test_a_file_that_is_gone_already_is_said_to_be(small: World):
    made = left_behind(small)
    shown = answer(await use(small, "show")).message
    await small.owner.select(shown, ["backup-20250101T000000Z.zip"])
    asked = as_it_stands(small, shown)
    made["backup-20250101T000000Z.zip"].unlink()
    assert "None of these files is there any more." in said(await small.owner.click(asked, label="Delete 1 file"))
    assert await rows(small, "SELECT * FROM audit") == []


async def test_all_of_it_is_the_owners(small: World):
    before = await everything(small)
    for what, options in (
        ("show", {}),
        ("export", {"what": "everything"}),
        ("backup", {}),
        ("delete", {"what": "everything"}),
        ("audit", {}),
    ):
        refused = await small.reviewer.slash(small.channel, f"data {what}", **options)
        assert said(refused).startswith("Only the owner of the bot may do this."), what
    assert await everything(small) == before
    assert not backups_folder(small.app.settings).exists()
    for command, option, filled in (
        ("delete", "which", {"what": "drafts"}),
        ("audit", "who", {}),
        ("audit", "action", {}),
    ):
        assert not await small.reviewer.autocomplete(small.channel, f"data {command}", option, "", **filled)


# --- taking away --------------------------------------------------------------------------------------------------


async def test_an_export_has_every_row_with_fields_that_are_explained_and_no_secret(small: World):
    assert "There is nothing of that yet." in said(await use(small, "export", what="posts"))
    small.app.settings.custom_prompts_file.write_text('{"prompt": "a", "answer": "of my own"}\n')
    await up_to(small, "finetune")
    first, second, *_ = await written(small, 3)
    await small.owner.click(first, label="Approve")
    await becomes(small, first, "Uploaded")
    await small.owner.click(second, label="Reject")
    keys = [
        value.get_secret_value()
        for value in (
            small.settings.openai.api_key,
            small.settings.tumblr.consumer_key,
            small.settings.tumblr.oauth_token,
        )
    ]
    for what, tables in EXPORTS.items():
        result = await use(small, "export", what=what)
        with await zipped(result) as archive:
            assert set(archive.namelist()) == {
                *(f"{table.name}.jsonl" for table in tables),
                "fields.txt",
                "manifest.json",
            }
            for table in tables:
                found = lines(archive, f"{table.name}.jsonl")
                ((count,),) = await rows(
                    small,
                    f"SELECT count(*) FROM {table.name}{'_decisions' if table.name == 'screening' else ''}",  # noqa: S608
                )
                assert len(found) == count, table.name
                assert all(set(line) == set(table.fields) for line in found)
                explained = archive.read("fields.txt").decode()
                assert all(f"  {field}: " in explained for field in table.fields)
            content = b"".join(archive.read(name) for name in archive.namelist())
            assert not any(key.encode() in content for key in keys)
        assert f"{tables[0].name}.jsonl (" in said(result)
    with await zipped(await use(small, "export", what="everything")) as archive:
        post = lines(archive, "posts.jsonl")[0]
        ((stored,),) = await rows(small, "SELECT text FROM posts WHERE id = ?", post["id"])
        assert (post["blog"], post["text"], post["tags"], post["time"][:11]) == (
            small.blog_name,
            stored,
            [],
            "2023-11-14T",
        )
        assert [d["state"] for d in lines(archive, "drafts.jsonl")] == ["uploaded", "rejected", "pending"]
        assert [(d["draft"], d["action"]) for d in lines(archive, "decisions.jsonl")] == [(1, "approve"), (2, "reject")]
        assert any(line["blog"] is None for line in lines(archive, "examples.jsonl"))
    assert len(await rows(small, "SELECT 1 FROM audit WHERE action = 'export data'")) == len(EXPORTS) + 2
    assert not [*(small.app.settings.data_directory / "exports").iterdir()], "nothing is left of what was sent"


async def test_an_export_too_large_for_discord_stays_here_until_what_it_holds_must_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    payload = interactions.base_payload

    def of_a_small_server(*arguments: Any, **options: Any) -> Any:
        record, made = payload(*arguments, **options)
        return record, made | {"attachment_size_limit": 200_000}

    monkeypatch.setattr(interactions, "base_payload", of_a_small_server)
    async with small_world(tmp_path) as world:
        other = other_blog(world)
        await allow(world, other.name)
        await stage(world, "download", blogs=other.name)
        assert answer(await use(world, "export", what="posts")).message.attachments
        dice = random.Random(5)
        async with world.app.database.write() as connection:
            for number in range(4):
                await connection.execute(
                    "INSERT INTO posts (blog_uuid, id, timestamp, url, text, tags, raw, seen_at)"
                    " VALUES (?, ?, 1, '', ?, '[]', x'7b7d', ?)",
                    (other.uuid, f"large-{number}", dice.randbytes(60_000).hex(), world.app.clock()),
                )
        result = await use(world, "export", what="posts")
        assert not answer(result).message.attachments
        (kept,) = (world.app.settings.data_directory / "exports").iterdir()
        assert f"**{kept.name.replace('_', '')}** in the folder exports" in said(result)
        assert f"The export has {kept.stat().st_size / 1000:.1f} kB, and Discord takes 200.0 kB here." in said(result)
        assert kept.stat().st_mode & 0o777 == 0o600
        with zipfile.ZipFile(kept) as archive:
            assert len(lines(archive, "posts.jsonl")) == 18
        assert "Exports: 1 in the folder exports" in said(await use(world, "show"))
        elsewhere = world.app.settings.model_copy(update={"data_directory": tmp_path / "elsewhere"})
        with pytest.raises(BackupRefused):
            restore(elsewhere, tmp_path / "config.toml", kept)
        # What may not be kept in the database may not be kept in an export either.
        await world.owner.slash(world.channel, "consent revoke", blog=other.name)
        assert not kept.exists()


# --- deleting -----------------------------------------------------------------------------------------------------


async def test_drafts_that_never_went_to_the_blog_go_and_nothing_is_written_in_their_place(tmp_path: Path):
    async with small_world(tmp_path) as world:
        shown = await written(world, 6)
        await world.owner.click(shown[0], label="Approve")
        await becomes(world, shown[0], "Uploaded")
        await world.owner.click(shown[1], label="Reject")
        await world.owner.click(shown[2], label="Regenerate")
        await world.drafts_shown(7)
        review(world, posts_a_day=1)
        world.app.settings = world.app.settings.model_copy(
            update={"tumblr": world.app.settings.tumblr.model_copy(update={"upload_state": "published"})}
        )
        later = await states(world)
        assert later == {1: "uploaded", 2: "rejected", 3: "replaced", **dict.fromkeys((4, 5, 6, 7), "pending")}
        async with world.app.database.write() as connection:
            await connection.execute(
                "UPDATE drafts SET state = 'approved', publish_at = ? WHERE id = 6", (world.app.clock() + DAY,)
            )
        before = await states(world)
        preview = await use(world, "delete", what="drafts", which="undecided")
        text = said(preview)
        # The one that was set aside goes with the one that took its place: else it would be written anew, and paid for.
        for part in (
            "Delete the undecided drafts?",
            "4 drafts, 1 of them set aside for another",
            "The words of 1 decision about them; the audit keeps who took them, and when",
            "1 draft approved, being sent or written anew. Undo takes an approval back.",
            "1 draft sent to Tumblr before",
            "What is on Tumblr.",
            "type **delete drafts**",
            "It is kept for 7 days, as the nightly ones are",
        ):
            assert part in text, (part, text)
        refused = await typed(world, preview, "delete everything")
        assert said(refused).startswith("Something else was typed than what was asked for. Nothing was deleted.")
        assert await states(world) == before
        assert not backups_folder(world.app.settings).exists()
        # One is decided meanwhile: what was shown is not what would go.
        form = await world.owner.click(answer(preview), label="Delete it")
        await world.owner.click(shown[3], label="Reject")
        late = await world.owner.submit_modal(form, {"typed": "delete drafts"})
        assert "What there is now is not what was shown. Nothing was deleted." in said(late)
        # As many as were shown, but not the same ones.
        preview = await use(world, "delete", what="drafts", which="undecided")
        for undecided in (4, 5):
            async with world.app.database.write() as connection:
                await connection.execute(
                    "UPDATE drafts SET state = iif(id = ?, 'pending', 'rejected') WHERE id IN (4, 5)", (undecided,)
                )
            if undecided == 4:
                late = await typed(world, preview, "delete drafts")
                assert "What there is now is not what was shown. Nothing was deleted." in said(late)
        done = await typed(world, preview, " Delete  DRAFTS ")
        (backup,) = backups_folder(world.app.settings).glob("before-delete-*.zip")
        assert "3 drafts, 1 of them set aside for another" in said(done)
        assert backup.name in said(done)
        assert await states(world) == {1: "uploaded", 2: "rejected", 4: "rejected", 6: "approved"}
        assert await rows(world, "SELECT draft_id, action FROM decisions ORDER BY id") == [
            (1, "approve"), (2, "reject"), (4, "reject"),
        ]  # fmt: skip
        assert await rows(
            world, "SELECT user_id, subject, before, after FROM audit WHERE action = 'delete drafts'"
        ) == [(world.owner.id, "undecided drafts", "drafts 3, decisions 1", f"kept in {backup.name}")]
        # Who decided what is still known, without the words.
        assert "**regenerate draft** draft 3, keeper" in said(await use(world, "audit", action="regenerate draft"))
        gone = await world.owner.click(shown[4], label="Approve")
        assert said(gone).startswith("Draft 5 does not exist any more.")
        asked = len(world.openai.requests)
        done = await typed(world, await use(world, "delete", what="drafts", which="all"), "delete drafts")
        assert await states(world) == {1: "uploaded", 6: "approved"}
        assert "There is nothing of that to delete." in said(await use(world, "delete", what="drafts", which="all"))
        world.app._to_rewrite.set()
        await pause()
        assert len(world.openai.requests) == asked
        assert len(world.tumblr.blogs[world.blog_name].drafts) == 1
        with zipfile.ZipFile(backup) as archive:
            assert archive.testzip() is None


async def test_a_dataset_goes_with_its_file_and_what_was_trained_on_it_stays(small: World):
    await up_to(small, "finetune")
    file = small.app.settings.training_data_file
    of_the_first = file.read_bytes()
    fill_more(small)
    await stage(small, "download")
    await stage(small, "examples")
    assert file.read_bytes() != of_the_first
    assert await rows(small, "SELECT id FROM datasets") == [(1,), (2,)]
    offer = await small.owner.slash(small.channel, "finetune")
    # A training under way holds its own dataset, and no other.
    async with small.app.database.write() as connection:
        await connection.execute("UPDATE jobs SET state = 'running' WHERE kind = 'finetune'")
    busy = await use(small, "delete", what="dataset", which="1")
    assert said(busy).startswith("This is in use: /finetune is running. Nothing was deleted.")
    assert "Delete dataset 2?" in said(await use(small, "delete", what="dataset", which="2"))
    async with small.app.database.write() as connection:
        await connection.execute("UPDATE jobs SET state = 'succeeded' WHERE kind = 'finetune'")
    choices = await small.owner.autocomplete(small.channel, "data delete", "which", "", what="dataset")
    assert [choice["value"] for choice in choices] == ["2", "1"]
    preview = await use(small, "delete", what="dataset", which="2")
    assert "The training file becomes that of the dataset before; without one it is removed." in said(preview)
    assert "Something else was typed" in said(await typed(small, preview, "dataset 1"))
    await typed(small, preview, "dataset 2")
    assert file.read_bytes() == of_the_first
    assert "Dataset 2 does not exist." in describe(await failed_training(small, offer))
    # The file is somebody's own by now: it stays.
    file.write_bytes(of_the_first.replace(b"kettle", b"teapot"))
    preview = await use(small, "delete", what="dataset", which="dataset 1")
    assert "1 voice trained on it stays as it is" in said(preview)
    assert "The training file was edited by hand, and stays." in said(preview)
    await typed(small, preview, "dataset 1")
    assert b"teapot" in file.read_bytes()
    assert await rows(small, "SELECT count(*) FROM examples") == [(0,)]
    assert "Use /examples" in said(await small.owner.slash(small.channel, "finetune"))
    ((voice,),) = await rows(small, "SELECT id FROM voices WHERE dataset_id = 1")
    assert "Dataset: number 1" in said(await small.owner.slash(small.channel, "voices show", voice=str(voice)))
    assert "There is no dataset 1." in said(await use(small, "delete", what="dataset", which="1"))
    # And the next ones come as ever, beside the edited file.
    await stage(small, "examples")
    assert [n for (n,) in await rows(small, "SELECT id FROM datasets WHERE deleted_at IS NULL")] == [3]
    assert b"teapot" in file.read_bytes()


def fill_more(world: World) -> None:
    blog = world.tumblr.blogs[world.blog_name]
    for number in range(3):
        words = " ".join(f"fog-{number}-{turn}" for turn in range(12))
        world.tumblr.add_post(blog, text_post(f"{words} over the pier.", 100 + number))


async def failed_training(world: World, offer: InteractionResult) -> discord.Embed:
    await world.owner.click(answer(offer), label="Start training")
    return await world.until(
        lambda: e if (e := world.progress("Training a voice")) and "does not exist" in describe(e) else None
    )


async def test_the_posts_of_a_blog_go_with_every_byte_once_a_backup_has_them(small: World):
    await up_to(small, "examples")
    words = "day 7 at the light"
    assert files_with(small, words)
    small.tumblr.hour_used = small.tumblr.hour_limit
    await small.owner.slash(small.channel, "download")
    busy = await use(small, "delete", what="posts", which=small.blog_name)
    assert said(busy).startswith("This is in use: /download is running. Nothing was deleted.")
    (job,) = await small.app.runner.active()
    await small.app.jobs.cancel(job.id, Person(1, "keeper"))
    hour_is_over(small)
    async with asyncio.timeout(10):
        while await small.app.runner.active():
            await asyncio.sleep(0.02)
    assert "There is no such blog here." in said(await use(small, "delete", what="posts", which="staff"))
    assert "It was not said which posts to delete." in said(await use(small, "delete", what="posts"))
    (choice,) = await small.owner.autocomplete(small.channel, "data delete", "which", "", what="posts")
    preview = await use(small, "delete", what="posts", which=choice["value"])
    for part in (
        f"Delete the posts of {small.blog_name}?",
        "12 posts",
        "examples made of them, in 1 dataset",
        "fetches them again",
    ):
        assert part in said(preview), said(preview)
    # Neither the button nor the form is anybody else's.
    before = await everything(small)
    (uuid,) = (blog.uuid for blog in small.tumblr.blogs.values() if blog.name == small.blog_name)
    form = await small.owner.click(answer(preview), label="Delete it")
    for person, refusal in ((small.reviewer, "Only the owner of the bot may do this."), (small.stranger, REFUSAL)):
        pressed = await forged(small, person, answer(preview).message, f"delete:posts:24:{uuid}")
        assert pressed.modal is None
        assert said(pressed).startswith(refusal)
    settings = small.app.settings
    for roles, refusal in (([GUILD_ID], "Only the owner of the bot may do this."), ([], REFUSAL)):
        # Whoever opened the form owns the bot no more; everybody on the server has the role of its number.
        discord_settings = settings.discord.model_copy(update={"owner_ids": [1], "reviewer_role_ids": roles})
        small.app.settings = settings.model_copy(update={"discord": discord_settings})
        assert said(await small.owner.submit_modal(form, {"typed": small.blog_name})).startswith(refusal)
        small.app.settings = settings
        form = await small.owner.click(answer(preview), label="Delete it")
    assert await everything(small) == before
    # No backup, no deletion.
    backups_folder(small.app.settings).write_text("in the way")
    refused = await typed(small, preview, small.blog_name)
    assert said(refused).startswith("Nothing was deleted, for no backup could be made first. The backup ")
    assert await everything(small) == before
    backups_folder(small.app.settings).unlink()
    await typed(small, preview, small.blog_name)
    assert await rows(small, "SELECT count(*) FROM posts") == [(0,)]
    assert await rows(small, "SELECT count(*) FROM blogs") == [(0,)]
    assert not files_with(small, words), "the backup is compressed, and has them"
    assert small.tumblr.blogs[small.blog_name].posts
    await stage(small, "download")
    assert await rows(small, "SELECT count(*) FROM posts") == [(12,)]


async def test_everything_goes_but_the_record_and_a_restore_brings_it_back_row_by_row(tmp_path: Path):
    async with small_world(tmp_path) as world:
        await up_to(world, "finetune")
        shown = await written(world, 4)
        await world.owner.click(shown[0], label="Approve")
        await becomes(world, shown[0], "Uploaded")
        await world.owner.click(shown[1], label="Reject")
        await pause()
        settings = world.app.settings
        settings.custom_prompts_file.write_text('{"prompt": "a", "answer": "b"}\n')
        files = {path: path.read_bytes() for path in (settings.training_data_file, settings.custom_prompts_file)}
        original = await every_row(world)
        preview = await use(world, "delete", what="everything")
        for part in (
            "12 posts",
            "3 drafts",
            "1 dataset, with",
            "1 draft sent to Tumblr before",
            "money, audit, consents",
        ):
            assert part in said(preview), said(preview)
        done = await typed(world, preview, "delete everything")
        (backup,) = backups_folder(settings).glob("*.zip")
        assert backup.name in said(done)
        for table in ("posts", "examples", "judgements", "writings", "comparisons", "blogs"):
            assert await rows(world, f"SELECT count(*) FROM {table}") == [(0,)], table  # noqa: S608
        assert await states(world) == {1: "uploaded"}
        assert await rows(world, "SELECT draft_id, action FROM decisions") == [(1, "approve")]
        for table in ("spending", "jobs", "voices", "trainings", "uploads", "consents", "own_blogs"):
            kept = await rows(world, f"SELECT count(*) FROM {table}")  # noqa: S608
            assert kept == [(len(original[table]),)], table
        assert not settings.training_data_file.exists()
        assert settings.custom_prompts_file.read_bytes() == files[settings.custom_prompts_file]
        assert not files_with(world, "day 7 at the light")
        assert {post["id"] for post in world.tumblr.blogs[world.blog_name].posts}
        await world.app.stop()
        await asyncio.to_thread(restore, settings, tmp_path / "config.toml", backup)
        back = contents(settings.database_file)
        assert sum(map(len, original.values())) > 60
        assert {name: back[name] for name in original} == original
        assert {path: path.read_bytes() for path in files} == files
        await world.restart()
        assert (await draft(world, 3)).state == "pending"


async def every_row(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """All there is in the database, once nothing is at work there."""
    await everything(world)
    async with asyncio.timeout(10):
        while await rows(world, "SELECT 1 FROM jobs WHERE NOT message_final"):
            await asyncio.sleep(0.02)
    names = [name for (name,) in await rows(world, "SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {name: await rows(world, f'SELECT * FROM "{name}" ORDER BY 1, 2') for name in names}  # noqa: S608 - our own


# --- who did what -------------------------------------------------------------------------------------------------


async def test_the_audit_tells_who_did_what_before_and_after_in_pages(small: World):
    assert "Nobody has done anything yet." in said(await use(small, "audit"))
    first, second = await written(small, 2)
    await small.app.drafts.edit(1, Person(small.reviewer.id, "odile"), text="words of a person", tags="")
    await small.drafts_shown(2)
    await small.reviewer.click(first, label="Reject")
    await small.owner.click(second, label="Reject")
    hostile = Person(666, "@everyone **x** [a](https://evil.example) " + "n" * 200)
    async with small.app.database.write() as connection:
        for number in range(9):
            await audit.record(
                connection, hostile, "rename voice", f"voice {number} `x`", now=1_000.0 + number,
                before="*" * 3_000, after="<@1> discord.gg/abc",
            )  # fmt: skip
        await audit.record(
            connection,
            Person(small.owner.id, "keeper"),
            "touch voice",
            "voice 1",
            now=500.0,
            before="same",
            after="same",
        )
    assert "→" not in said(await use(small, "audit", action="touch voice")), "what did not change has no before"
    page = await use(small, "audit")
    text = said(page)
    assert text.index("**reject draft** draft 2, keeper") < text.index("**reject draft** draft 1, odile")
    assert "pending → rejected" in text
    assert "→ words of a person" in text
    assert buttons(answer(page).message) == ["Newer", "Older"]
    assert "1 to 6 of 13, the latest first" in text
    await small.owner.click(answer(page), label="Older")
    older = as_it_stands(small, answer(page).message)
    shown = describe(older)
    assert "7 to 12 of 13" in shown
    assert shown.index("voice 5") < shown.index("voice 0"), "the last one is not cut off"
    assert "\\*\\*x\\*\\*" in shown
    assert "[a](https" not in shown
    assert "<@1>" not in shown
    assert "@everyone" not in shown
    assert "discord.gg/abc" not in shown
    assert limits.length(older.embeds[0].description or "") <= limits.DESCRIPTION
    refused = await forged(small, small.reviewer, older, "audit:newer:0:-:")
    assert said(refused).startswith("Only the owner of the bot may do this.")
    # By person, by action, and both.
    offered = await small.owner.autocomplete(small.channel, "data audit", "who", "odi")
    assert [choice["value"] for choice in offered] == [str(small.reviewer.id)]
    theirs = said(await use(small, "audit", who=offered[0]["value"]))
    assert "of 2, the latest first" in theirs
    assert "keeper" not in theirs
    offered = await small.owner.autocomplete(small.channel, "data audit", "action", "reject")
    assert [choice["value"] for choice in offered] == ["reject draft"]
    both = said(await use(small, "audit", who="odile", action="reject draft"))
    assert "1 to 1 of 1" in both
    assert "Nobody has done anything of that name." in said(await use(small, "audit", action="nothing"))
    assert "Nobody of that name has done anything." in said(await use(small, "audit", who="nobody"))
