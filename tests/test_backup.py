"""Backups hold everything but secrets, come back row by row, and nothing hostile gets in with them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.__main__ import main
from bot.backup import (  # fmt: skip
    CONFIG,
    DATABASE,
    PROMPTS,
    TRAINING_DATA,
    backup_before_deleting,
    backups_folder,
    keep_nightly,
    make_backup,
    restore,
)
from bot.config import Settings, load_settings
from bot.config.nesting import setting_at
from bot.errors import BackupRefused, BotError, DatabaseInUse, SettingsError
from bot.restored_settings import ASKED_ABOUT
from bot.store.copies import MANIFEST, Manifest, Packed, read_manifest
from bot.store.database import MIGRATIONS, Database, newest_shape
from tests.cogs.acts import QUICK, draft, number, small_world, stage, up_to, written

DAY = 86_400.0
NOW = 1_800_000_000.0
KEY = "sk-planted-in-the-settings-file"


def at(moment: float) -> Callable[[], float]:
    return lambda: moment


def settings_in(folder: Path) -> Settings:
    data = folder / "data"
    return Settings(
        data_directory=data,
        training_data_file=data / "training_data.jsonl",
        custom_prompts_file=data / "custom_prompts.jsonl",
    )


async def filled(folder: Path, word: str = "first") -> Settings:
    """A closed house: a database with a row, a training file, prompts, settings with a secret in them."""
    settings = settings_in(folder)
    database = await Database.open(settings.database_file)
    await put(database, word)
    await database.close()
    settings.training_data_file.write_text(f'{{"of": "{word}"}}\n')
    settings.custom_prompts_file.write_text(f'{{"prompt": "{word}"}}\n')
    (folder / "config.toml").write_text(f'# mine\npost_limit = 7\n\n[openai]\napi_key = "{KEY}" # {word}\n')
    (settings.data_directory / "secrets.toml").write_text(f'oauth_token = "{KEY}"\n')
    return settings


async def put(database: Database, word: str) -> None:
    async with database.write() as connection:
        await connection.execute("INSERT OR REPLACE INTO facts (name, value) VALUES ('word', ?)", (word,))


def contents(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of a file that nobody uses."""
    with closing(sqlite3.connect(path)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = {name: connection.execute(f'SELECT * FROM "{name}" ORDER BY 1, 2').fetchall() for name in names}  # noqa: S608
        found["version"] = connection.execute("PRAGMA user_version").fetchall()
        found["shape"] = connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    return found


def everything_in(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def tampered(source: Path, target: Path, change: Callable[[dict[str, bytes], dict[str, Any]], None]) -> Path:
    """The backup with other files or another manifest."""
    with zipfile.ZipFile(source) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop(MANIFEST))
    change(files, manifest)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(MANIFEST, json.dumps(manifest))
    return target


def signed(files: dict[str, bytes], manifest: dict[str, Any], name: str, content: bytes) -> None:
    files[name] = content
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


# --- the whole way --------------------------------------------------------------------------------------------


async def test_a_restore_is_the_original_row_by_row(tmp_path: Path):
    """All five stages; then everything is lost, and comes back."""
    async with small_world(tmp_path) as world:
        await up_to(world, "finetune")
        await stage(world, "generate", count=3)
        await world.until(lambda: len(world.drafts()) >= 3 or None)
        settings, path = world.app.settings, tmp_path / "config.toml"
        settings.custom_prompts_file.write_text('{"prompt": "a", "answer": "b"}\n')
        files = {file: file.read_bytes() for file in (settings.training_data_file, settings.custom_prompts_file)}
        await world.app.stop()
        made = await asyncio.to_thread(make_backup, settings, path)
        original = contents(settings.database_file)
        assert sum(map(len, original.values())) > 60
        for file in (settings.database_file, *files):
            file.unlink()
        done = await asyncio.to_thread(restore, settings, path, made.path)
        assert contents(settings.database_file) == original
        assert {file: file.read_bytes() for file in files} == files
        assert (done.jobs, done.drafts) == (0, 0)
        await world.restart()
        assert (await draft(world, number(world.drafts()[0]))).state == "pending"


async def test_it_is_made_while_the_bot_writes_and_drops_none_of_its_locks(tmp_path: Path):
    settings = await filled(tmp_path)
    database = await Database.open(settings.database_file)
    try:
        await put(database, "only in the log")
        async with database.write() as connection:
            await connection.execute("UPDATE facts SET value = 'not committed' WHERE name = 'word'")
            made = await asyncio.to_thread(make_backup, settings, tmp_path / "config.toml", tmp_path / "b.zip")
            # Another process still meets the writer's lock.
            code = (
                "import sqlite3, sys\n"
                "c = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n"
                "try: c.execute('BEGIN IMMEDIATE')\n"
                "except sqlite3.OperationalError as e: print(e)\n"
            )
            said = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-c", code, str(settings.database_file)],
                capture_output=True,
                text=True,
                check=True,
            )
            assert "locked" in said.stdout
        await put(database, "afterwards")
    finally:
        await database.close()
    with zipfile.ZipFile(made.path) as archive:
        archive.extract(DATABASE, tmp_path / "out")
    assert contents(tmp_path / "out" / DATABASE)["facts"] == [("word", "only in the log")]
    assert not [*settings.data_directory.glob("*.before-*")], "nothing is left of the work"


async def test_what_is_in_it_and_what_never_is(tmp_path: Path):
    settings = await filled(tmp_path)
    made = make_backup(settings, tmp_path / "config.toml", clock=at(NOW))
    assert made.path == settings.data_directory / "backups" / "backup-20270115T080000Z.zip"
    assert made.path.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(made.path) as archive:
        assert sorted(archive.namelist()) == sorted([DATABASE, TRAINING_DATA, PROMPTS, CONFIG, MANIFEST])
        manifest = read_manifest(archive)
        for name, packed in manifest.files.items():
            content = archive.read(name)
            assert packed == Packed(hashlib.sha256(content).hexdigest(), len(content))
            assert KEY.encode() not in content
        written_settings = tomllib.loads(archive.read(CONFIG).decode())
        assert archive.read(CONFIG).startswith(b"# mine\n")
    assert written_settings == {"post_limit": 7, "openai": {"api_key": ""}}
    assert (manifest.made_at, manifest.database_version, manifest.blogs) == (NOW, newest_shape(), {})


async def test_a_settings_file_that_is_no_toml_is_left_out_with_a_sentence(tmp_path: Path):
    settings = await filled(tmp_path)
    (tmp_path / "config.toml").write_text(f"api_key = {KEY}")
    made = make_backup(settings, tmp_path / "config.toml")
    assert CONFIG not in made.manifest.files
    assert "cannot be read as TOML" in made.left_out[0]


async def test_what_was_there_is_kept(tmp_path: Path):
    settings = await filled(tmp_path)
    path = tmp_path / "config.toml"
    made = make_backup(settings, path, tmp_path / "old.zip")
    await filled(tmp_path, "second")
    done = restore(settings, path, made.path, clock=at(NOW))
    assert contents(settings.database_file)["facts"] == [("word", "first")]
    assert "first" in settings.training_data_file.read_text()
    zipped, config = done.kept
    assert (zipped.parent, config.parent) == (backups_folder(settings), tmp_path)
    assert f'"{KEY}" # second' in config.read_text(), "the secrets in it are in no backup"
    assert config.stat().st_mode & 0o777 == 0o600
    assert tomllib.loads(path.read_text())["openai"]["api_key"] == ""
    assert KEY in (settings.data_directory / "secrets.toml").read_text()
    # And back again, within the same second.
    again = restore(settings, path, zipped, clock=at(NOW))
    assert contents(settings.database_file)["facts"] == [("word", "second")]
    assert "second" in settings.custom_prompts_file.read_text()
    assert not set(again.kept) & set(done.kept)
    await (await Database.open(settings.database_file)).close()


HERE = """
post_limit = 3
training_data_file = "mine.jsonl"
[discord]
owner_ids = [1]
guild_id = 5
[openai]
base_url = "https://mine.example/v1"
[openai.fine_tuning]
base_url = "https://tuning.example/v1"
"""
HOSTILE = """
post_limit = 9  # the one harmless change
data_directory = "/elsewhere"
training_data_file = "/home/me/.profile"
[discord]
owner_ids = [666]
guild_id = 667
channel_id = 668
reviewer_role_ids = [669]
[review]
decider_role_ids = [670]
[tumblr]
api_url = "https://evil.example"
oauth_token = "theirs"
[openai]
base_url = "https://evil.example/v1"
[openai.generation]
base_url = "https://evil.example/v1"
[openai.moderation]
base_url = "https://evil.example/v1"
"""
CHANGED = (
    "openai.base_url", "openai.generation.base_url", "openai.fine_tuning.base_url", "openai.moderation.base_url",
    "tumblr.api_url", "discord.owner_ids", "discord.guild_id", "discord.channel_id", "discord.reviewer_role_ids",
    "review.decider_role_ids", "data_directory", "training_data_file",
)  # fmt: skip


async def handed_in(directory: Path, config: str, here: str = HERE) -> tuple[Settings, Path, Path]:
    """Settings, the settings file of this machine, and a backup with another one in it."""
    settings = await filled(directory)
    path = directory / "config.toml"
    path.write_text(config)
    made = make_backup(settings, path, directory / "handed in.zip")
    path.write_text(here)
    return settings, path, made.path


def effective(path: Path) -> dict[str, object]:
    settings = load_settings(path, environment={}, secrets_directory=None)
    return {name: setting_at(settings, name) for name in ASKED_ABOUT}


async def test_a_backup_changes_no_address_no_owner_and_no_place_unasked(tmp_path: Path):
    settings, path, zipped = await handed_in(tmp_path, HOSTILE)
    before = effective(path)
    done = restore(settings, path, zipped)
    assert effective(path) == before
    assert tomllib.loads(path.read_text())["post_limit"] == 9
    assert "theirs" not in path.read_text()
    assert "# the one harmless change" in path.read_text()
    assert {sentence.split(" stays as it is here")[0] for sentence in done.left_out} == set(CHANGED)
    assert (
        "openai.base_url stays as it is here, https://mine.example/v1; the backup has https://evil.example/v1."
        in done.left_out
    )
    assert "discord.channel_id stays as it is here, nothing; the backup has 668." in done.left_out


@pytest.mark.parametrize(
    "config",
    [
        'openai.base_url = "https://evil.example/v1"',
        'openai = {base_url = "https://evil.example/v1"}',
        '"openai" = {"base_url" = "https://evil.example/v1", generation = {base_url = "https://evil.example/v1"}}',
        '["openai"]\n"base_url" = "https://evil.example/v1"',
        "openai = 1",
        '[[openai]]\nbase_url = "https://evil.example/v1"',
        "discord = {owner_ids = [666]}",
        "discord = [{owner_ids = [666]}]\n[openai]\nbase_url = 7",
        "[openai\n",
    ],
)
async def test_however_it_is_written(tmp_path: Path, config: str):
    settings, path, _ = await handed_in(tmp_path, HOSTILE)
    before = effective(path)
    packed = tmp_path / "by hand.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        database = settings.database_file.read_bytes()
        files = {DATABASE: database, CONFIG: config.encode()}
        for name, content in files.items():
            archive.writestr(name, content)
        described = {name: Packed(hashlib.sha256(content).hexdigest(), len(content)) for name, content in files.items()}
        archive.writestr(MANIFEST, msgspec.json.encode(Manifest("1", NOW, 1, described, {})))
    restore(settings, path, packed)
    try:
        assert effective(path) == before
    except SettingsError:
        assert "evil" not in path.read_text()


async def test_whoever_made_the_backup_takes_its_addresses_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    settings, path, zipped = await handed_in(tmp_path, HOSTILE)
    options = ["--config", str(path), "--data-directory", str(settings.data_directory)]
    options += ["--training-data-file", str(settings.training_data_file)]
    options += ["--custom-prompts-file", str(settings.custom_prompts_file)]
    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": staticmethod(lambda: True)})())
    before = effective(path)
    for answer, is_taken in (("", False), ("y", True)):
        monkeypatch.setattr("builtins.input", lambda _question, answer=answer: answer)
        assert main(["restore", str(zipped), *options]) == 0
        said = capsys.readouterr().out
        assert "openai.base_url: https://evil.example/v1 in the backup, https://mine.example/v1 here" in said
        assert ("stays as it is here" in said) is not is_taken
        assert (effective(path) == before) is not is_taken
    assert effective(path)["discord.owner_ids"] == [666]
    # What is the same here as in the backup is not asked about.
    monkeypatch.setattr("builtins.input", lambda _question: pytest.fail("asked"))
    assert main(["restore", str(zipped), *options]) == 0


async def test_a_damaged_database_is_put_aside_as_it_is(tmp_path: Path):
    settings = await filled(tmp_path)
    made = make_backup(settings, tmp_path / "config.toml", tmp_path / "old.zip")
    settings.database_file.write_bytes(b"no database, whatever it was" * 100)
    done = restore(settings, tmp_path / "config.toml", made.path, clock=at(NOW))
    assert done.kept[0].read_bytes().startswith(b"no database")
    assert "first" in done.kept[1].read_text()
    assert contents(settings.database_file)["facts"] == [("word", "first")]
    await (await Database.open(settings.database_file)).close()


async def test_what_was_about_to_happen_does_not_happen_a_second_time(tmp_path: Path):
    """After the backup the draft was uploaded and the job has ended, which the backup does not know."""
    async with small_world(tmp_path, pace=replace(QUICK, retry_after=(60.0,))) as world:
        (message,) = await written(world)
        settings, path = world.app.settings, tmp_path / "config.toml"
        await world.app.stop()
        with closing(sqlite3.connect(settings.database_file)) as connection:
            connection.execute("UPDATE drafts SET state = 'approved'")
            connection.execute("UPDATE jobs SET state = 'running', finished_at = NULL WHERE kind = 'generate'")
            connection.commit()
        made = await asyncio.to_thread(make_backup, settings, path)
        done = await asyncio.to_thread(restore, settings, path, made.path)
        assert (done.jobs, done.drafts) == (1, 1)
        asked = [request for request in world.openai.requests if request.method == "POST"]
        await world.restart()
        found = await draft(world, number(message))
        assert (found.state, "Look whether it is on the blog" in found.note) == ("pending", True)
        await asyncio.sleep(0.2)
        assert not world.tumblr.blogs[world.blog_name].drafts
        assert [request for request in world.openai.requests if request.method == "POST"] == asked


# --- what is refused ------------------------------------------------------------------------------------------


async def test_a_running_bot_is_not_restored_under(tmp_path: Path):
    settings = await filled(tmp_path)
    made = make_backup(settings, tmp_path / "config.toml", tmp_path / "b.zip")
    database = await Database.open(settings.database_file)
    try:
        with pytest.raises(DatabaseInUse):
            restore(settings, tmp_path / "config.toml", made.path)
        await put(database, "still here")
    finally:
        await database.close()
    assert contents(settings.database_file)["facts"] == [("word", "still here")]


def _outside(name: str) -> Callable[[dict[str, bytes], dict[str, Any]], None]:
    return lambda files, manifest: signed(files, manifest, name, b"gotcha")


def _of_version(version: int) -> Callable[[dict[str, bytes], dict[str, Any]], None]:
    def change(files: dict[str, bytes], manifest: dict[str, Any]) -> None:
        content = bytearray(files[DATABASE])
        content[60:64] = version.to_bytes(4, "big")  # the user_version in a file of SQLite
        signed(files, manifest, DATABASE, bytes(content))

    return change


def _flip(files: dict[str, bytes], manifest: dict[str, Any]) -> None:
    files[TRAINING_DATA] = files[TRAINING_DATA].replace(b"first", b"worst")


def _broken_database(files: dict[str, bytes], manifest: dict[str, Any]) -> None:
    signed(files, manifest, DATABASE, files[DATABASE][:4096] + b"\xff" * (len(files[DATABASE]) - 4096))


TRICKS = {
    "a path that leads out": _outside("../evil"),
    "an absolute path": _outside("/tmp/evil"),  # noqa: S108
    "a path of Windows": _outside("..\\evil"),
    "the file of secrets": _outside("secrets.toml"),
    "a file that the manifest does not name": lambda files, _: files.update(more=b"x"),
    "a file that is missing": lambda files, _: files.pop(PROMPTS),
    "no database": lambda files, manifest: (files.pop(DATABASE), manifest["files"].pop(DATABASE)),
    "a changed file": _flip,
    "a file longer than said": lambda _, manifest: manifest["files"][PROMPTS].update(size=3),
    "a file shorter than said": lambda _, manifest: manifest["files"][PROMPTS].update(size=3_000),
    "more than the disk holds": lambda _, manifest: manifest["files"][DATABASE].update(size=10**18),
    "a newer manifest": lambda _, manifest: manifest.update(database_version=newest_shape() + 1),
    "a newer database": _of_version(newest_shape() + 1),
    "another program's database": _of_version(0),
    "a damaged database": _broken_database,
    "a moment that no calendar has": lambda _, manifest: manifest.update(made_at=1e300),
    "a manifest of another form": lambda _, manifest: manifest.update(files=[1]),
}


@pytest.mark.parametrize("trick", TRICKS)
async def test_nothing_hostile_or_damaged_gets_in(trick: str, tmp_path: Path):
    settings = await filled(tmp_path)
    path = tmp_path / "config.toml"
    bad = tampered(make_backup(settings, path).path, tmp_path / "bad.zip", TRICKS[trick])
    before = everything_in(tmp_path)
    with pytest.raises(BackupRefused):
        restore(settings, path, bad)
    assert everything_in(tmp_path) == before


async def test_no_zip_half_a_zip_and_two_files_of_one_name(tmp_path: Path):
    settings = await filled(tmp_path)
    path = tmp_path / "config.toml"
    whole = make_backup(settings, path).path.read_bytes()
    bad = tmp_path / "bad.zip"
    for content in (
        b"",
        b"PK\x03\x04",
        whole[: len(whole) // 2],
        whole[: len(whole) // 2] + whole[len(whole) // 2 + 9 :],
    ):
        bad.write_bytes(content)
        with pytest.raises(BackupRefused):
            restore(settings, path, bad)
    bad.write_bytes(whole)
    with zipfile.ZipFile(bad, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(PROMPTS, b"another")
    for source in (bad, tmp_path / "nowhere.zip", tmp_path):
        with pytest.raises(BackupRefused):
            restore(settings, path, source)
    assert contents(settings.database_file)["facts"] == [("word", "first")]


async def test_a_program_that_holds_the_database_is_named(tmp_path: Path):
    settings = await filled(tmp_path)
    made = make_backup(settings, tmp_path / "config.toml", tmp_path / "b.zip")
    with closing(sqlite3.connect(settings.database_file)) as viewer:
        viewer.execute("SELECT count(*) FROM facts").fetchall()
        with pytest.raises(BotError, match="Another program holds"):
            restore(settings, tmp_path / "config.toml", made.path)
    assert contents(settings.database_file)["facts"] == [("word", "first")]


async def test_a_backup_overwrites_nothing_and_needs_a_database(tmp_path: Path):
    with pytest.raises(BotError, match="There is no database"):
        make_backup(settings_in(tmp_path), tmp_path / "config.toml")
    settings = await filled(tmp_path)
    (tmp_path / "b.zip").write_text("mine")
    with pytest.raises(BotError, match="is there already"):
        make_backup(settings, tmp_path / "config.toml", tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_text() == "mine"


async def test_an_older_database_comes_back_and_is_brought_up_to_date(tmp_path: Path):
    settings = settings_in(tmp_path)
    older = tmp_path / "older"
    older.mkdir()
    for file in sorted(MIGRATIONS.glob("*.sql"))[:3]:
        (older / file.name).write_text(file.read_text("utf-8"), "utf-8")
    await (await Database.open(settings.database_file, migrations=older)).close()
    made = make_backup(settings, tmp_path / "config.toml")
    assert (made.manifest.database_version, made.manifest.blogs) == (3, None)
    restore(settings_in(tmp_path / "new"), tmp_path / "new" / "config.toml", made.path)
    await (await Database.open(settings_in(tmp_path / "new").database_file)).close()


# --- nightly --------------------------------------------------------------------------------------------------


async def test_as_many_nightly_backups_are_kept_as_the_settings_say(tmp_path: Path):
    settings = await filled(tmp_path)
    settings = settings.model_copy(update={"retention": settings.retention.model_copy(update={"backups": 3})})
    by_hand = make_backup(settings, tmp_path / "config.toml", clock=at(NOW - 90 * DAY)).path

    def keep(moment: float, of: Settings = settings) -> tuple[float | None, list[str]]:
        due = keep_nightly(of, tmp_path / "config.toml", clock=at(moment))
        return due, sorted(path.name for path in backups_folder(settings).glob("nightly-*"))

    due, names = keep(NOW)
    assert (due, names) == (NOW + DAY, ["nightly-20270115T080000Z.zip"])
    assert keep(NOW + DAY - 10) == (NOW + DAY, names), "it is not a day old"
    for day in range(1, 5):
        due, names = keep(NOW + day * DAY)
        assert due == NOW + (day + 1) * DAY
    assert names == [f"nightly-202701{day}T080000Z.zip" for day in (17, 18, 19)]
    assert by_hand.exists()
    unfinished = backups_folder(settings) / "nightly-x.zip.unfinished"
    unfinished.touch()
    os.utime(unfinished, (NOW, NOW))
    none = settings.model_copy(update={"retention": settings.retention.model_copy(update={"backups": 0})})
    assert keep(NOW + 5 * DAY, none) == (None, [])
    assert not unfinished.exists()
    assert by_hand.exists()


async def test_one_that_a_wrong_clock_dated_takes_no_place_of_the_others(tmp_path: Path):
    settings = await filled(tmp_path)
    settings = settings.model_copy(update={"retention": settings.retention.model_copy(update={"backups": 2})})
    path = tmp_path / "config.toml"
    keep_nightly(settings, path, clock=at(NOW + 9_000 * DAY))
    for day in range(3):
        assert keep_nightly(settings, path, clock=at(NOW + day * DAY)) == NOW + (day + 1) * DAY
        assert keep_nightly(settings, path, clock=at(NOW + day * DAY + 60)) == NOW + (day + 1) * DAY
    names = sorted(path.name for path in backups_folder(settings).glob("*"))
    assert names == [f"nightly-202701{day}T080000Z.zip" for day in (16, 17)]


async def test_what_a_kill_left_of_one_goes_after_a_day(tmp_path: Path):
    settings = await filled(tmp_path)
    left = [settings.data_directory / f"{DATABASE}.before-backup-0a0b0c0d{end}" for end in ("", ".unfinished")]
    kept = settings.data_directory / f"{DATABASE}.before-0009"
    for file in (*left, kept):
        file.write_bytes(settings.database_file.read_bytes())
        os.utime(file, (NOW, NOW))
    for days, are_there in ((0.9, True), (1.1, False)):
        keep_nightly(settings, tmp_path / "config.toml", clock=at(NOW + days * DAY))
        assert [file.exists() for file in left] == [are_there] * 2
    assert kept.exists()


async def test_one_from_before_a_deletion_is_kept_as_long_as_the_nightly_ones(tmp_path: Path):
    settings = await filled(tmp_path)
    settings = settings.model_copy(update={"retention": settings.retention.model_copy(update={"backups": 3})})
    path = tmp_path / "config.toml"
    made = backup_before_deleting(settings, path, clock=at(NOW)).path
    assert made.name == "before-delete-20270115T080000Z.zip"
    for days, is_there in ((0, True), (2.9, True), (3.1, False)):
        keep_nightly(settings, path, clock=at(NOW + days * DAY))
        assert made.exists() is is_there, days
    # Where no nightly ones are kept, it is a day.
    settings = settings.model_copy(update={"retention": settings.retention.model_copy(update={"backups": 0})})
    made = backup_before_deleting(settings, path, clock=at(NOW)).path
    for days, is_there in ((0.9, True), (1.1, False)):
        keep_nightly(settings, path, clock=at(NOW + days * DAY))
        assert made.exists() is is_there, days


async def test_the_bot_makes_one_by_itself_while_it_runs(tmp_path: Path):
    async with small_world(tmp_path, pace=replace(QUICK, first_backup=0.0)) as world:
        folder = backups_folder(world.app.settings)
        made = await world.until(lambda: [*folder.glob("nightly-*.zip")] or None)
        await stage(world, "download")
        await world.restart()
        await stage(world, "examples")
        assert [*folder.glob("nightly-*.zip")] == made, "one a day"


# --- the command line -----------------------------------------------------------------------------------------


async def test_what_a_person_types_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    settings = await filled(tmp_path)
    (tmp_path / "config.toml").write_text("post_limit = 7\n")
    options = ["--config", str(tmp_path / "config.toml"), "--data-directory", str(settings.data_directory)]
    options += ["--training-data-file", str(settings.training_data_file)]
    options += ["--custom-prompts-file", str(settings.custom_prompts_file)]
    zipped = str(tmp_path / "b.zip")
    assert main(["backup", zipped, *options]) == 0
    assert f"to {zipped}. Secrets are not in it." in capsys.readouterr().out
    settings.training_data_file.write_text("changed")
    assert main(["restore", zipped, *options]) == 0
    said = capsys.readouterr().out
    assert str(settings.training_data_file) in said
    assert "What was there before is kept as" in said
    assert "first" in settings.training_data_file.read_text()
    assert main(["restore", str(tmp_path / "none.zip"), *options]) == 1
    assert "There is no file" in capsys.readouterr().err
    database = await Database.open(settings.database_file)
    assert main(["restore", zipped, *options]) == 1
    assert "Another bot is already using" in capsys.readouterr().err
    await database.close()


def test_a_manifest_that_is_too_long_is_not_read(tmp_path: Path):
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, b" " * (5 * 1024 * 1024))
    with pytest.raises(BackupRefused):
        restore(settings_in(tmp_path), tmp_path / "config.toml", path)
