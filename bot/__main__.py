"""The command line: run · demo · setup · check · health · import · backup · restore."""

from __future__ import annotations

import sys

from bot.bootstrap import ensure_environment

if __name__ == "__main__":
    ensure_environment("bot", sys.argv[1:])  # before anything that may not be installed yet

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot import __version__, logs
from bot.config import Settings, add_option_arguments, ensure_file, load_settings, overrides_from, plain, require
from bot.errors import BotError, SettingsError
from bot.jobs.background import report_unexpected

if TYPE_CHECKING:
    from bot.client import Client
    from bot.restored_settings import Difference

_log = logging.getLogger("bot")
BAD_SETTINGS = 2
_STOP_SECONDS = 8.0  # Docker kills after ten
_LOGIN_SECONDS = 30.0
_TOKEN_REFUSED = 4004
"""How Discord's gateway closes a connection whose token is reset meanwhile."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 well, 1 not, 2 for settings that need attention."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if logs.begin(getattr(chosen, "log_format", "text")):
        logs.catch_crashes(report_unexpected)
    if chosen.command == "demo":
        logging.getLogger("discord").setLevel(logging.ERROR)  # simcord's own probing of discord.py warns of intents
    for noisy in ("httpx2", "httpcore2", "openai", "aiosqlite", "discord.gateway", "discord.client"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        return _command(chosen)
    except SettingsError as error:
        print(f"{error.sentence}\n", file=sys.stderr)
        for problem in error.problems:
            print(f"  {problem}", file=sys.stderr)
        print(f"\n{error.next_step}", file=sys.stderr)
        return BAD_SETTINGS
    except BotError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _command(chosen: argparse.Namespace) -> int:
    match chosen.command:
        case "demo":
            from bot.demo.main import demo  # noqa: PLC0415 - an extra: absent where only `run` is wanted

            return asyncio.run(demo(tour=chosen.tour, port=chosen.port, open_browser=not chosen.no_browser))
        case "health":
            return _health(chosen)
        case "setup":
            return _setup(chosen)
        case "import":
            return asyncio.run(_import(chosen.path, _settings(chosen), chosen.config))
        case "backup":
            return _backup(_settings(chosen), chosen.config, chosen.file)
        case "restore":
            return _restore(_settings(chosen), chosen.config, chosen.file)
        case "check":
            return asyncio.run(_check(_settings(chosen), chosen.config))
        case _:
            return asyncio.run(_run(_settings(chosen), chosen.config, overrides_from(chosen)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tumblrbot-discord", description="A Discord bot that learns to write like your Tumblr blog."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="run | demo | setup | check | health | import | backup | restore"
    )
    run = commands.add_parser("run", help="run the bot", description="Run the bot.")
    demo = commands.add_parser(
        "demo",
        help="try the bot in a browser, without any account",
        description="Try the bot in a browser page, with a made-up blog and without any account. Nothing is kept.",
    )
    demo.add_argument("--tour", action="store_true", help="walk through all stages by itself, without a browser")
    demo.add_argument("--port", type=int, default=None, help="the page's port (any free one)")
    demo.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    setup = commands.add_parser(
        "setup",
        help="connect the bot with Discord, a model service and Tumblr, by questions in a terminal",
        description="Connect the bot with Discord, a model service and Tumblr, by questions in a terminal. What is set"
        " already stays unless you answer; secrets go into a file in the data directory that only you can read.",
    )
    setup.add_argument(
        "--no-input",
        action="store_true",
        help="ask nothing: try what the environment and the options below give, write it down, and list what is"
        " missing (exit status 0: nothing is)",
    )
    check = commands.add_parser(
        "check",
        help="try every setting, token and permission, and say how to mend them",
        description="Try every setting, token, permission and quota, and say how to mend what is wrong (exit status 0:"
        " nothing is).",
    )
    health = commands.add_parser(
        "health",
        help="say whether the running bot is well (exit status 0 or 1)",
        description="Say whether the bot that runs here is well, for whatever looks after it (exit status 0: it is).",
    )
    move_in = commands.add_parser(
        "import",
        help="take over posts, prompts, settings and keys of the command-line tool tumblrbot",
        description="Take over posts, custom prompts, settings and keys that the command-line tool tumblrbot has"
        " left in a folder, and report what was taken and what was not. The folder is not changed. Stop the bot first.",
    )
    move_in.add_argument("path", type=Path, metavar="PATH", help="the folder in which tumblrbot was used")
    backup = commands.add_parser(
        "backup",
        help="copy the database, the training files and the settings into one zip",
        description="Copy the database, the training data, the custom prompts and config.toml into one zip. The bot may"
        " be running. Secrets are not in it.",
    )
    backup.add_argument(
        "file", type=Path, nargs="?", metavar="FILE", help="the zip to make (backups in data_directory)"
    )
    restore = commands.add_parser(
        "restore",
        help="put a backup back, and keep what was there",
        description="Put back what a backup holds. What is there now is kept beside it. Stop the bot first.",
    )
    restore.add_argument("file", type=Path, metavar="FILE", help="the zip that backup made")
    run.add_argument(
        "--log-format", choices=logs.LOG_FORMATS, default="text", help="how the log is written (%(default)s)"
    )
    # argparse would name every setting in the first lines, and nobody would find what follows them.
    own = {run: "[--log-format FORMAT] ", setup: "[--no-input] ", move_in: "PATH ", backup: "[FILE] ", restore: "FILE "}
    for command in (run, setup, check, health, move_in, backup, restore):
        command.usage = f"{command.prog} {own.get(command, '')}[--config CONFIG] [--SETTING VALUE ...]"
        command.add_argument("--config", type=Path, default=Path("config.toml"), help="the settings file (%(default)s)")
        add_option_arguments(command)
    return parser


def _settings(chosen: argparse.Namespace) -> Settings:
    path: Path = chosen.config
    existed = path.exists()
    if ensure_file(path):
        done = (
            "has new options, with their defaults" if existed else "was not there; it has been made, with every option"
        )
        print(f"{path} {done}.", file=sys.stderr)
    settings = load_settings(path, overrides=overrides_from(chosen))
    logs.hide_secrets(lambda: settings)
    return settings


def _setup(chosen: argparse.Namespace) -> int:
    from bot.setup import setup, setup_without_questions  # noqa: PLC0415 - `--help` needs none of it

    overrides = overrides_from(chosen)

    def load() -> Settings:
        return load_settings(chosen.config, overrides=overrides)

    _settings(chosen)  # makes the file, and says what is wrong with it, before anything is asked
    ours = logging.getLogger("bot")
    ours.setLevel(logging.ERROR)  # warnings of the settings have been given; the rest is said to the person
    try:
        if chosen.no_input:
            return setup_without_questions(chosen.config, load, overrides)
        return setup(chosen.config, load)
    finally:
        ours.setLevel(logging.NOTSET)


def _backup(settings: Settings, path: Path, target: Path | None) -> int:
    from bot.backup import make_backup  # noqa: PLC0415 - `--help` needs none of it

    made = make_backup(settings, path, target)
    print(f"Backed up {', '.join(made.manifest.files)} to {made.path}. Secrets are not in it.")
    for sentence in made.left_out:
        print(sentence)
    if target is not None and made.manifest.blogs != {}:
        print(
            "Posts of blogs that are not yours may be kept for only so long (other_blogs_days). The bot looks after the"
            " backups in its own folder; this one is yours to delete."
        )
    return 0


def _ask_about(differences: Sequence[Difference]) -> bool:
    """Ask in the terminal whether settings of a backup are to be taken over that a stranger could do harm with."""
    print("The config.toml in the backup differs from the one here in where keys go, who decides or where files lie:")
    for difference in differences:
        print(f"  {difference}")
    print("Take these over only if you made the backup yourself.")
    try:
        return input("Take them over? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        print()
        return False


def _restore(settings: Settings, path: Path, source: Path) -> int:
    from bot.backup import restore  # noqa: PLC0415 - `--help` needs none of it
    from bot.restored_settings import trust_nothing  # noqa: PLC0415 - as above
    from bot.store.database import newest_shape  # noqa: PLC0415 - as above

    done = restore(settings, path, source, trust=_ask_about if sys.stdin.isatty() else trust_nothing)
    made_at = time.strftime("%Y-%m-%d %H:%M", time.localtime(done.manifest.made_at))
    print(f"Restored what version {plain(done.manifest.version)} backed up at {made_at}:")
    for file in done.files:
        print(f"  {file}")
    for file in done.kept:
        print(f"  What was there before is kept as {file}.")
    for sentence in done.left_out:
        print(f"  {sentence}")
    if done.manifest.database_version < newest_shape():
        print("Its database is of an earlier version. The bot brings it up to date when it starts.")
    if done.jobs:
        print(
            f"Jobs that were under way in it are marked as failed: {done.jobs}. Begin them again where that is needed."
        )
    if done.drafts:
        print(f"Drafts that were approved in it and not yet sent wait for a decision again: {done.drafts}.")
    print("What was done after the backup is not in it: look at the blog before you approve, and at your bills.")
    print("Secrets are not in a backup. Those in secrets.toml, the environment or the secrets folder are as they were.")
    return 0


def _health(chosen: argparse.Namespace) -> int:
    from bot.health import beat_file, judge  # noqa: PLC0415 - quick start: health runs every few seconds

    settings = load_settings(chosen.config, overrides=overrides_from(chosen))
    well, sentence = judge(beat_file(settings.data_directory), time.time())
    print(sentence)
    return 0 if well else 1


async def _run(settings: Settings, path: Path, overrides: Mapping[str, object]) -> int:
    from bot.app import App  # noqa: PLC0415 - `--help` and `health` need none of it
    from bot.client import Client, gateway_state  # noqa: PLC0415
    from bot.health import beat_file, keep_beating  # noqa: PLC0415

    require(settings, "discord.token", "discord.guild_id")
    import discord  # noqa: PLC0415 - as above

    app = App(settings, path, overrides=overrides)
    logs.hide_secrets(lambda: app.settings)
    discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # the bot never speaks
    client = Client(app)
    _stop_on_signals(asyncio.current_task())
    try:
        await app.start()
        app.background.spawn(
            "health", keep_beating(app.database, beat_file(settings.data_directory), lambda: gateway_state(client))
        )
        await _stay_connected(client, settings.discord.token.get_secret_value())
    except asyncio.CancelledError:
        _log.info("Stopping. Jobs under way go on at the next start.")
    finally:
        await app.stop()
    return 0


async def _stay_connected(client: Client, token: str) -> None:
    """Log in, and stay until the connection is over for good. Raises BotError where Discord does not let it stand."""
    import aiohttp  # noqa: PLC0415 - as in `_run`
    import discord  # noqa: PLC0415

    from bot.garbage import freeze_what_is_loaded  # noqa: PLC0415

    refused = SettingsError(("discord.token: Discord does not accept it; copy it again from the developer portal.",))
    unreachable = BotError("Discord cannot be reached.", "Check the network, and try again later.")
    try:
        async with client:
            await client.login(token)
            freeze_what_is_loaded()
            await client.connect()
    except discord.LoginFailure as error:
        raise refused from error
    except discord.PrivilegedIntentsRequired as error:
        raise BotError("Discord refused the connection.", "Look at the bot's page in the developer portal.") from error
    except discord.ConnectionClosed as error:
        raise refused if error.code == _TOKEN_REFUSED else unreachable from error
    except (discord.HTTPException, discord.GatewayNotFound, aiohttp.ClientError, OSError) as error:
        raise unreachable from error


async def _import(folder: Path, settings: Settings, path: Path) -> int:
    from bot.moving_in import Outcome, move_in  # noqa: PLC0415 - `--help` needs none of it

    all_well = True
    async with contextlib.aclosing(move_in(folder, settings, path)) as notes:
        async for note in notes:
            print(f"{note.outcome:6}  {note.text}", flush=True)
            all_well = all_well and note.outcome is not Outcome.FAILED
    return 0 if all_well else 1


async def _check(settings: Settings, path: Path) -> int:
    import discord  # noqa: PLC0415

    from bot.app import App  # noqa: PLC0415 - `--help` needs none of it
    from bot.check import Finding, check_discord, check_services, unreachable  # noqa: PLC0415
    from bot.client import DISCORD_FAILURES  # noqa: PLC0415

    findings: list[Finding] = [Finding("Settings", f"{path} is in order.")]
    app = App(settings, path)
    try:
        findings += [finding async for finding in check_services(app)]
        token = settings.discord.token.get_secret_value()
        if not token:
            findings.append(
                Finding("Discord token", "None is set.", "Set it as TUMBLRBOT_DISCORD__TOKEN or a secret file.")
            )
        else:
            client = discord.Client(intents=discord.Intents.none())
            try:
                async with asyncio.timeout(_LOGIN_SECONDS):
                    await client.login(token)
                findings += [finding async for finding in check_discord(client, settings)]
            except discord.LoginFailure:
                findings.append(
                    Finding("Discord token", "Discord does not accept it.", "Copy it again from the developer portal.")
                )
            except DISCORD_FAILURES as error:
                findings.append(unreachable(error))
            finally:
                await client.close()
    finally:
        await app.close_connections()
    for finding in findings:
        mark = "well " if finding.ok else "wrong"
        print(f"{mark}  {finding.subject}: {finding.result}")
        if finding.remedy:
            print(f"       {finding.remedy}")
    return 0 if all(finding.ok for finding in findings) else 1


def _stop_on_signals(task: asyncio.Task[int] | None) -> None:
    if task is None:
        return

    last = threading.Timer(_STOP_SECONDS, _end_at_once)
    last.daemon = True

    def stop() -> None:
        if last.ident is None:  # a second signal would cut off the stopping itself
            task.cancel()
            last.start()

    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl+C raises KeyboardInterrupt by itself
            loop.add_signal_handler(name, stop)


def _end_at_once() -> None:
    """End the process in the middle of whatever does not end by itself: a kill at any moment loses nothing either."""
    _log.warning("Something did not stop in time, and was cut off. What was under way goes on at the next start.")
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
