"""The command line: what a person types, and what comes back when something is missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot.__main__ import BAD_SETTINGS, main
from bot.config import PREFIX, load_settings, options

REPOSITORY = Path(__file__).parents[1]
COMMANDS = ("run", "demo", "setup", "check", "health", "import", "backup", "restore")


@pytest.fixture(autouse=True)
def _nobodys_environment(monkeypatch: pytest.MonkeyPatch):
    for option in options().values():
        monkeypatch.delenv(option.variable, raising=False)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]):
    text = shown(capsys, "--help")
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize("command", ["run", "setup", "check", "health", "import", "backup", "restore"])
def test_help_lists_every_option_that_is_no_secret(command: str, capsys: pytest.CaptureFixture[str]):
    text = shown(capsys, command, "--help")
    for option in options().values():
        assert (f"{option.flag} " in text) is not option.is_secret, option.name
    assert "--config" in text
    # Named in the usage already, they would push what the command is for out of sight.
    assert "--" not in text.partition("[--SETTING VALUE ...]")[2].partition("options:")[0]
    assert text.index("[--SETTING VALUE ...]") < 200


def test_help_of_run_describes_every_option(capsys: pytest.CaptureFixture[str]):
    text = "".join(shown(capsys, "run", "--help").split())  # argparse breaks lines where it likes
    for option in options().values():
        if not option.is_secret:
            assert "".join(option.description.split()) in text, option.name


def test_an_option_of_run_is_for_that_run_only(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text("post_limit = 7\n")
    assert main(["run", "--config", str(path), "--post-limit", "50"]) == BAD_SETTINGS, "there is no token to run with"
    assert load_settings(path, overrides={"post_limit": "50"}).post_limit == 50
    assert load_settings(path).post_limit == 7


@pytest.mark.parametrize("command", ["setup", "import"])
def test_neither_needs_discord_nor_a_model_service(command: str, tmp_path: Path):
    """They run before anything is set up, and from a fresh clone with nothing but what `run` needs."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from bot.__main__ import main\n"
        "Path('data').mkdir(); Path('tumblrbot/data').mkdir(parents=True)\n"
        f"print('status:', main({['import', 'tumblrbot'] if command == 'import' else ['setup']}))\n"
        "print('heavy:', [m for m in ('discord', 'openai', 'aiohttp', 'tiktoken', 'simcord') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"status: {0 if command == 'import' else 2}" in done.stdout
    assert "heavy: []" in done.stdout


def test_help_of_the_demo(capsys: pytest.CaptureFixture[str]):
    text = shown(capsys, "demo", "--help")
    assert all(flag in text for flag in ("--tour", "--port", "--no-browser"))


@pytest.mark.parametrize("command", ["run", "setup", "import", "backup", "restore"])
def test_help_loads_nothing_heavy(command: str):
    """Quick because of what it leaves out, so that is what is asserted."""
    code = (
        "import sys\n"
        f"sys.argv = ['bot', '{command}', '--help']\n"
        "from bot.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = ('discord', 'openai', 'aiohttp', 'tiktoken', 'simcord', 'pytumblr', 'aiosqlite')\n"
        "print('heavy:', [m for m in heavy if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "heavy: []" in done.stdout


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_log_has_the_form_that_was_asked_for_and_no_secret(form: str, tmp_path: Path):
    code = (
        "import logging\n"
        "from bot.__main__ import main\n"
        f"main(['run', '--log-format', '{form}'])\n"
        "logging.getLogger('any').error('it was %s', 'sk-planted-here')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), f"{PREFIX}OPENAI__API_KEY": "sk-planted-here"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    last = done.stderr.splitlines()[-1]
    if form == "json":
        assert json.loads(last)["message"] == "it was [hidden]"
    else:
        assert last.endswith("ERROR any: it was [hidden]")
    assert "planted" not in done.stderr


def test_what_is_missing_is_listed_and_the_file_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "config.toml"
    assert main(["run", "--config", str(path), "--data-directory", str(tmp_path / "data")]) == BAD_SETTINGS
    said = capsys.readouterr().err
    assert "2 settings need attention." in said
    assert "discord.token: not set" in said
    assert "discord.guild_id: not set" in said
    assert f"{PREFIX}DISCORD__TOKEN" in said
    assert "Traceback" not in said
    assert "post_limit = 0" in path.read_text()
    assert not (tmp_path / "data").exists(), "nothing is opened before the settings are in order"


def test_every_wrong_value_is_listed_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "config.toml"
    path.write_text('post_limit = -3\nexpected_epochs = "many"\n\n[discord]\ntoken = "a b"\n')
    assert main(["run", "--config", str(path), "--tags-chance", "often"]) == BAD_SETTINGS
    said = capsys.readouterr().err
    assert "4 settings need attention." in said
    for name in ("post_limit", "expected_epochs", "discord.token", "tags_chance"):
        assert f"  {name}: " in said
    assert "a b" not in said


def test_an_unknown_option_of_the_file_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "config.toml"
    path.write_text("post_limt = 3\n")
    assert main(["health", "--config", str(path), "--data-directory", str(tmp_path)]) == 1
    assert "ignored the unknown option post_limt. Did you mean post_limit?" in caplog.text
    assert "never run here" in capsys.readouterr().out


def test_the_command_line_wins_over_environment_and_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "config.toml"
    path.write_text(f"data_directory = {str(tmp_path / 'file')!r}\n")
    monkeypatch.setenv(f"{PREFIX}DATA_DIRECTORY", str(tmp_path / "environment"))
    beat = tmp_path / "line" / ".health.json"
    beat.parent.mkdir()
    beat.write_text(f'{{"at": {time.time()}, "ready": true, "gateway_silence": null, "database_writable": true}}')
    assert main(["health", "--config", str(path)]) == 1
    assert main(["health", "--config", str(path), "--data-directory", str(beat.parent)]) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["run", "--discord-token", "x"],
        ["demo", "--port", "x"],
        ["import"],
        ["setup", "--tumblr-oauth-token", "x"],
    ],
)
def test_what_is_no_command_is_refused_with_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_check_without_accounts_finds_what_is_missing_and_how_to_mend_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Nothing is set, so nothing leaves this machine but one unsigned call to a port where nobody is."""
    path = tmp_path / "config.toml"
    arguments = ["--data-directory", str(tmp_path / "data"), "--tumblr-api-url", "http://127.0.0.1:9"]
    assert main(["check", "--config", str(path), *arguments]) == 1
    said = capsys.readouterr().out
    assert "well   Settings: " in said
    assert "well   Database: " in said
    assert "wrong  Tumblr account: " in said
    assert "/connect tumblr, or with `python3 -m bot setup`" in said
    assert "wrong  Blogs to download: None is named." in said
    assert said.count("There is no API key for the model service.") == 3
    assert f"wrong  Discord token: None is set.\n       Set it as {PREFIX}DISCORD__TOKEN" in said
    assert "Traceback" not in said
    assert path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_stops_it_in_order(name: str):
    code = (
        "import asyncio\n"
        "from bot.__main__ import _stop_on_signals\n"
        "async def work():\n"
        "    _stop_on_signals(asyncio.current_task())\n"
        "    print('up', flush=True)\n"
        "    try: await asyncio.sleep(60)\n"
        "    except asyncio.CancelledError: print('tidied up', flush=True)\n"
        "asyncio.run(work())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(getattr(signal, name))
        assert process.stdout.read() == "tidied up\n"
    assert process.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_second_signal_does_not_cut_the_stopping_off():
    code = (
        "import asyncio\n"
        "from bot.__main__ import _stop_on_signals\n"
        "async def work():\n"
        "    _stop_on_signals(asyncio.current_task())\n"
        "    print('up', flush=True)\n"
        "    try: await asyncio.sleep(60)\n"
        "    except asyncio.CancelledError: print('stopping', flush=True)\n"
        "    await asyncio.sleep(1)\n"
        "    print('tidied up', flush=True)\n"
        "asyncio.run(work())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "tidied up\n"
    assert process.returncode == 0
