"""Every secret of the settings is planted, everything goes wrong that can carry one, and then all that was written is
searched: the log, the database and its log, the channel, exports, backups, config.toml, training files."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import discord
import pytest
from pydantic import SecretStr

from bot import logs
from bot.__main__ import main
from bot.backup import make_backup
from bot.config import Settings, options, secret_values, with_options
from bot.demo.faults import Fault
from bot.demo.tumblr_signature import Credentials
from bot.demo.world import World, describe
from bot.tumblr.client import Tumblr
from cogs.ui.self_care import check
from cogs.ui.watch_notices import WatchNotices
from tests.cogs.acts import answer, said, shown_with, small_world, stage

SECRETS = {
    name: f"planted{number:02}{'-' if 'key' in name else '+/'}{name.replace('.', '')}"
    for number, (name, option) in enumerate(options().items())
    if option.is_secret
}


def planted(settings: Settings) -> Settings:
    guards = settings.guards.model_copy(update={"screen_drafts": False})  # one key at a time, see `use_key`
    return with_options(settings, {name: SecretStr(value) for name, value in SECRETS.items()}).model_copy(
        update={"guards": guards}
    )


def use_key(world: World, name: str) -> None:
    """The stand-in takes one key: that of the stage whose turn it is."""
    world.openai.api_key = SECRETS[name]


def echo(secrets: dict[str, str], name: str) -> dict[str, object]:
    """What services answer to a wrong key: with the key in it."""
    return {"error": {"message": f"Incorrect API key provided: {secrets[name]}.", "code": "invalid_api_key"}}


@pytest.fixture(params=["text", "json"])
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What the process would write to its standard error, everything that any library says included."""
    stream = io.StringIO()
    handler = logs.handler_for(stream, request.param)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def test_every_secret_is_planted_and_unlike_the_others():
    assert len(SECRETS) >= 9
    assert len(set(SECRETS.values())) == len(SECRETS)
    assert secret_values(planted(Settings())) == frozenset(SECRETS.values())


def forms(secret: str) -> set[bytes]:
    return {form.encode() for form in (secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1])}


def shown(world: World) -> str:
    """Everything that the bot has sent to Discord, what one person sees and what was edited meanwhile included."""
    assert any("embeds" in repr(entry) for entry in world.env.http_requests)
    return repr(world.env.http_requests)


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file, and every file in a zip."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
            if path.suffix == ".zip":
                with zipfile.ZipFile(path) as archive:
                    found |= {f"{path.name}/{name}": archive.read(name) for name in archive.namelist()}
    return found


async def what_the_owner_does(world: World) -> tuple[dict[str, str], list[str]]:
    """What could show a secret without any fault of a stage: returns the secrets that come later, and what was told."""
    told: list[str] = []
    later: dict[str, str] = {}
    for name in (name for name in SECRETS if name.startswith("openai.")):
        later[name] = f"{SECRETS[name]}/later"
        use_key(world, name)
        preview = await world.owner.slash(world.channel, "config secret", name=name)
        told += [said(preview), said(await world.owner.click(answer(preview), label="Test"))]
        # Refused with an echo, answered with nonsense, then taken.
        for key, fault in (
            (SECRETS[name], Fault("GET", "*/models*", "status", 401, body=echo(later, name), times=3)),
            (SECRETS[name], Fault("GET", "*/models*", "status", 400, body=echo(later, name), times=3)),
            (later[name], None),
        ):
            world.openai.api_key = key
            world.openai.faults.clear()
            if fault is not None:
                world.openai.faults.schedule(fault)
            form = await world.owner.click(answer(preview), label="Replace")
            told.append(said(await world.owner.submit_modal(form, {"value": later[name]})))
        world.openai.faults.clear()
    assert world.app.settings.openai.api_key.get_secret_value() == later["openai.api_key"]

    # A file that somebody writes them into, in the right places and in wrong ones.
    later["a wrong place"] = "sk-proj-Planted0123456789abcdef"
    (world.directory / "config.toml").write_text(
        f'post_limit = "{later["a wrong place"]}"\n{later["a wrong place"]} = 1\n'
        f'[openai]\napi_key = "{SECRETS["openai.api_key"]}"\n[discord]\ntoken = "{later["a wrong place"]} {later["openai.api_key"]}"\n'
    )  # fmt: skip
    for _ in range(2):
        await world.app.settings_watch.look()
    assert await WatchNotices(world.client, every=1.0).tell()
    told += [describe(message) for message in shown_with(world, "config.toml was edited")]
    assert "Wrong, so the old value stays" in told[-1]
    # The file is of no use to `check` like this.
    (world.directory / "config.toml").write_text("")

    # The checks of the start, with services that echo.
    world.tumblr.faults.schedule(Fault("GET", "*", "status", 401, body={"errors": [SECRETS["tumblr.oauth_token"]]}))
    world.openai.faults.schedule(Fault("GET", "*/models*", "status", 401, body=echo(later, "openai.api_key"), times=9))
    await check(world.client, 0.0)
    told += [describe(message) for message in await world.until(lambda: attention(world) or None)]
    world.openai.faults.clear()

    for command, options_of in (
        ("data show", {}), ("data audit", {}), ("data backup", {}), ("budget", {}), ("config show", {}), ("status", {}),
        ("data export", {"what": "everything"}), ("data export", {"what": "audit"}),
    ):  # fmt: skip
        result = await world.owner.slash(world.channel, command, **options_of)
        told.append(said(result))
        for file in answer(result).message.attachments:
            content = await file.read()
            told.append(content.decode("latin-1"))
            if file.filename.endswith(".zip"):
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    told += [archive.read(name).decode() for name in archive.namelist()]
    assert sum("fields.txt" in text or "each line is" in text for text in told) >= 2
    preview = await world.owner.slash(world.channel, "data delete", what="drafts", which="undecided")
    form = await world.owner.click(answer(preview), label="Delete it")
    told.append(said(await world.owner.submit_modal(form, {"typed": "delete drafts"})))
    assert "Gone: " in told[-1]
    return later, told


def attention(world: World) -> list[discord.Message]:
    return [m for m in world.messages if m.embeds and "your attention" in (m.embeds[0].title or "")]


async def test_no_secret_is_written_anywhere(
    tmp_path: Path, log: io.StringIO, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    async with small_world(tmp_path, configure=planted) as world:
        logs.hide_secrets(lambda: world.app.settings)
        world.tumblr._signatures.credentials = Credentials(
            *(SECRETS[f"tumblr.{name}"] for name in ("consumer_key", "consumer_secret", "oauth_token", "oauth_token_secret"))
        )  # fmt: skip

        # Tumblr: an answer that echoes a key, one that is cut off, one that never comes, then all is well.
        echoed = {
            "meta": {"status": 401, "msg": SECRETS["tumblr.oauth_token"]},
            "errors": [SECRETS["tumblr.consumer_key"]],
        }
        world.tumblr.faults.schedule(Fault("GET", "*/posts*", "status", 401, body=echoed))
        await stage(world, "download")
        world.tumblr.faults.schedule(
            Fault("GET", "*/posts*", "reset_before"),
            Fault("GET", "*/posts*", "hang"),
            Fault("GET", "*/posts*", "truncated"),
        )
        await stage(world, "download")

        # An exception that nobody foresaw, with every secret in its text, in its cause, and in a log line of its own.
        async def explodes(*_: object, **__: object) -> None:
            logging.getLogger("somelibrary").warning("sending %s", SECRETS)
            cause = OSError(f"https://api.example/?{'&'.join(quote(value, safe='') for value in SECRETS.values())}")
            raise ValueError(*SECRETS.values()) from cause

        with monkeypatch.context() as patch:
            patch.setattr(Tumblr, "blog", explodes)
            patch.setattr(Tumblr, "posts", explodes)
            await stage(world, "download")
        assert "builtins.ValueError" in log.getvalue()

        await stage(world, "download")
        await stage(world, "examples")
        for command, key, path in (
            ("moderate", "openai.moderation.api_key", "*/moderations"),
            ("generate", "openai.generation.api_key", "*/chat/completions"),
            ("finetune", "openai.fine_tuning.api_key", "*/files"),
        ):
            use_key(world, key)
            world.openai.faults.schedule(Fault("POST", path, "status", 401, body=echo(SECRETS, key)))
            await stage(world, command)
            world.openai.faults.schedule(
                Fault("POST", path, "status", 400, body=echo(SECRETS, key)), Fault("POST", path, "reset_before")
            )
            await stage(world, command)
            await stage(world, command)
        assert {fault.fault.status for fault in world.openai.faults.served} >= {401, 400}
        await world.until(lambda: world.drafts() or None)
        told = [said(await world.owner.slash(world.channel, command)) for command in ("status", "connect show")]
        assert all(told)
        later, more = await what_the_owner_does(world)
        told += more
        settings, path = world.app.settings, tmp_path / "config.toml"
        # A person who wrote all of them into config.toml, and one more into a comment.
        sections: dict[str, list[str]] = {}
        for name, value in SECRETS.items():
            sections.setdefault(name.rpartition(".")[0], []).append(f'{name.rpartition(".")[2]} = "{value}"')
        by_hand = "\n".join(f"[{name}]\n" + "\n".join(lines) for name, lines in sections.items())
        (elsewhere := tmp_path / "by_hand.toml").write_text(f"{by_hand}\n# {SECRETS['discord.token']}\n")
        await asyncio.to_thread(make_backup, settings, elsewhere)
        elsewhere.unlink()
        wal = files_in(settings.data_directory)  # before the database is closed
        await asyncio.to_thread(main, ["check", "--config", str(path), "--data-directory", str(tmp_path / "other")])
        sent = shown(world) + "".join(describe(message) for message in world.messages) + "".join(told)
    everything = files_in(tmp_path) | {f"live {name}": content for name, content in wal.items()}
    assert {"live bot.sqlite3", "live bot.sqlite3-wal", "data/training_data.jsonl"} <= set(everything)
    assert any(name.endswith(".zip/config.toml") for name in everything), everything.keys()
    # The one place for them, which is its owner's alone, and in no backup.
    place = settings.data_directory / "secrets.toml"
    assert later["openai.api_key"].encode() in everything.pop("data/secrets.toml")
    assert later["openai.api_key"].encode() in everything.pop("live secrets.toml")
    assert place.stat().st_mode & 0o077 == 0
    assert not any(name.endswith("secrets.toml") for name in everything)
    everything |= {
        "log": log.getvalue().encode(),
        "channel": sent.encode(),
        "printed": repr(capsys.readouterr()).encode(),
    }
    assert logs.HIDDEN in log.getvalue(), "something was hidden, so something would have been seen"
    found = [
        (name, secret)
        for secret, value in (*SECRETS.items(), *later.items())
        for form in forms(value)
        for name, content in everything.items()
        if form in content
    ]
    assert not found
