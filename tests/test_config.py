"""Settings, through load_settings, ensure_file, write_options and a real argument parser."""

import argparse
import errno
import json
import logging
import os
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from bot import config
from bot.config import Settings, load_settings, secrets_file
from bot.config.nesting import names_in, renamed, setting_at
from bot.config.options import as_toml, toml
from bot.drafts import UploadState
from bot.errors import SettingsError

ROOT = Path(__file__).parent.parent
SECRET = "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs"

# What tumblrbot 2.x writes when it is run for the first time and two questions are answered (its texts are our own here).
OLD_2 = """\
# The blogs.
download_blog_identifiers = ["staff", "changes"]
# The folder.
data_directory = "data"
# How old.
date_limit = "1970-01-01T00:00:00Z"
post_limit = 0
moderation_batch_size = 25
custom_prompts_file = "custom_prompts.jsonl"
filtered_words = ["\\\\bspoiler\\\\b"]
training_data_file = "training_data.jsonl"
developer_message = "Be a blog."
user_message = "Post."
expected_epochs = 3
token_price = 3
job_id = ""
base_model = "gpt-4o-mini-2024-07-18"
fine_tuned_model = ""
upload_blog_identifier = "staff"
draft_count = 100
tags_chance = 0.1
tags_developer_message = "Tags."
reblog_blog_identifiers = []
reblog_chance = 0.1
reblog_user_message = "Reply:\\n\\n{}"
"""

# And 1.x.
OLD_1 = """\
# The model.
fine_tuned_model = "ft:gpt-4o-mini-2024-07-18:me::abc"
upload_blog_identifier = ""
draft_count = 150
tags_chance = 1.5
download_blog_identifiers = []
data_directory = "data"
custom_prompts_file = "custom_prompts.jsonl"
# Where examples go.
examples_file = "examples.jsonl"
job_id = ""
expected_epochs = 3
token_price = 1.5
base_model = "gpt-4.1-nano-2025-04-14"
developer_message = "Be a blog."
user_input = "Post."
"""


@pytest.fixture(autouse=True, scope="module")
def _nobodys_folder(tmp_path_factory):
    """The data directory's default is relative: what lies in the developer's own is not to be read here."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("working directory"))
    yield
    os.chdir(before)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config.toml"


def load(path, *, environment=None, overrides=None, secrets=None):
    return load_settings(path, overrides=overrides, environment=environment or {}, secrets_directory=secrets)


def problems_of(path, **given):
    with pytest.raises(SettingsError) as caught:
        load(path, **given)
    return caught.value.problems


def problems_if_any(path, overrides):
    try:
        load(path, overrides=overrides)
    except SettingsError as error:
        return error.problems
    return ()


# --- defaults and the example ---------------------------------------------------------------------------------


def test_nothing_given_is_the_defaults(path):
    settings = load(path)
    assert settings == Settings()
    assert settings.base_model == "gpt-4.1-mini-2025-04-14"
    assert settings.draft_count == 10
    assert settings.training_data_file == Path("data/training_data.jsonl")
    assert settings.custom_prompts_file == Path("data/custom_prompts.jsonl")
    assert settings.database_file == Path("data/bot.sqlite3")
    assert settings.date_limit is None
    assert settings.tumblr.upload_state is UploadState.DRAFT
    assert settings.retention.other_blogs_days == 3


def test_every_default_is_allowed(path):
    values = {name: option.default for name, option in config.options().items() if option.default != ""}
    assert load(path, overrides=values) == Settings()


def test_the_example_file_is_made_from_the_model():
    example = (ROOT / "config.toml.example").read_bytes().decode("utf-8")
    assert example == config.example_text(), "write config.example_text() to config.toml.example"


def test_the_example_is_the_defaults_and_explains_every_option(path, caplog):
    path.write_text(config.example_text(), "utf-8")
    assert load(path) == Settings()
    assert not caplog.records
    lines = config.example_text().splitlines()
    for option in config.options().values():
        if option.is_secret:
            assert option.variable in config.example_text()
            assert f"{option.key} =" not in config.example_text()
        else:
            (at,) = (
                number
                for number, line in enumerate(lines)
                if line.startswith(f"{option.key} = ")
                and ([""] + [x[1:-1] for x in lines[:number] if x.startswith("[")])[-1] == option.section
            )
            assert lines[at - 1].startswith("# ")


def test_settings_read_nothing_by_themselves(monkeypatch, tmp_path):
    monkeypatch.setenv("TUMBLRBOT_POST_LIMIT", "7")
    monkeypatch.setenv("TUMBLRBOT_DISCORD__TOKEN", SECRET)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text("draft_count = 3")
    assert Settings() == Settings(post_limit=0, draft_count=10)
    assert not Settings().discord.token.get_secret_value()


def test_settings_do_not_change():
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.post_limit = 5
    with pytest.raises(ValidationError):
        settings.discord.guild_id = 5


# --- old files ------------------------------------------------------------------------------------------------


def test_a_file_of_2_x_loads_unchanged(path, caplog):
    path.write_text(OLD_2, "utf-8")
    settings = load(path)
    assert settings.download_blog_identifiers == ["staff", "changes"]
    assert settings.date_limit == datetime(1970, 1, 1, tzinfo=UTC)
    assert settings.training_data_file == Path("training_data.jsonl")
    assert settings.filtered_words == [r"\bspoiler\b"]
    assert settings.token_price == 3
    assert settings.base_model == "gpt-4o-mini-2024-07-18"
    assert settings.reblog_user_message == "Reply:\n\n{}"
    assert set(tomllib.loads(OLD_2)) <= set(config.options())
    assert not caplog.records


def test_a_file_of_1_x_loads_unchanged(path, caplog):
    path.write_text(OLD_1, "utf-8")
    settings = load(path)
    assert settings.training_data_file == Path("examples.jsonl")
    assert settings.user_message == "Post."
    assert settings.tags_chance == 1.5
    assert not caplog.records


def test_the_new_name_counts_where_both_stand(path):
    path.write_text('examples_file = "old"\ntraining_data_file = "new"\n')
    assert load(path).training_data_file == Path("new")


@pytest.mark.parametrize("name", [name for name in config.options() if not name.endswith("message")])
@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_is_the_default(path, name, blank):
    section, _, key = name.rpartition(".")
    path.write_text((f"[{section}]\n" if section else "") + f'{key} = "{blank}"\n')
    assert load(path) == Settings()


def test_a_message_may_be_empty(path):
    path.write_text('developer_message = ""\n')
    assert load(path).developer_message == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-01", datetime(2024, 5, 1, tzinfo=UTC)),
        ('"2024-05-01"', datetime(2024, 5, 1, tzinfo=UTC)),
        ("2024-05-01T12:30:00", datetime(2024, 5, 1, 12, 30, tzinfo=UTC)),
        ("2024-05-01 12:30:00Z", datetime(2024, 5, 1, 12, 30, tzinfo=UTC)),
        ('"2024-05-01T12:30:00Z"', datetime(2024, 5, 1, 12, 30, tzinfo=UTC)),
        ("2024-05-01T12:30:00+02:00", datetime(2024, 5, 1, 12, 30, tzinfo=timezone(timedelta(hours=2)))),
        ('""', None),
    ],
)
def test_date_limit(path, text, expected):
    path.write_text(f"date_limit = {text}\n")
    assert load(path).date_limit == expected


@pytest.mark.parametrize("text", ["2024", '"2024"', '"soon"', "12:30:00", "true", "[]"])
def test_a_date_limit_that_is_none(path, text):
    path.write_text(f"date_limit = {text}\n")
    (problem,) = problems_of(path)
    assert problem.startswith("date_limit: ")
    assert "2024-05-01" in problem


# --- where values come from -----------------------------------------------------------------------------------


def test_precedence(path, tmp_path):
    path.write_text(
        "post_limit = 1\ndraft_count = 1\nexpected_epochs = 1\nmoderation_batch_size = 1\n[discord]\nguild_id = 1\n"
    )
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("post_limit", "draft_count", "expected_epochs"):
        (secrets / f"tumblrbot_{name}").write_text("2\n")
    environment = {"TUMBLRBOT_POST_LIMIT": "3", "TUMBLRBOT_DRAFT_COUNT": "3", "TUMBLRBOT_DISCORD__CHANNEL_ID": "3"}
    settings = load(path, secrets=secrets, environment=environment, overrides={"post_limit": "4"})
    assert (settings.post_limit, settings.draft_count, settings.expected_epochs) == (4, 3, 2)
    assert (settings.moderation_batch_size, settings.custom_prompts_file.name) == (1, "custom_prompts.jsonl")
    assert (settings.discord.guild_id, settings.discord.channel_id) == (1, 3)


def test_a_wrong_value_that_is_overridden_is_no_problem(path):
    path.write_text("post_limit = -1\n")
    assert load(path, environment={"TUMBLRBOT_POST_LIMIT": "3"}).post_limit == 3


def test_empty_variables_are_ignored(path):
    path.write_text("post_limit = 1\n[discord]\nguild_id = 7\n")
    environment = {"TUMBLRBOT_POST_LIMIT": "", "TUMBLRBOT_DISCORD__GUILD_ID": " ", "TUMBLRBOT_DISCORD": ""}
    settings = load(path, environment=environment)
    assert (settings.post_limit, settings.discord.guild_id) == (1, 7)


def test_three_levels_and_lists_in_variables(path):
    settings = load(
        path,
        environment={
            "TUMBLRBOT_OPENAI__GENERATION__MODEL": "small",
            "TUMBLRBOT_OPENAI__FINE_TUNING__API_KEY": SECRET,
            "TUMBLRBOT_DISCORD__OWNER_IDS": "1, 2",
            "tumblrbot_discord__reviewer_role_ids": '["3", 4]',
            "TUMBLRBOT_DOWNLOAD_BLOG_IDENTIFIERS": "staff , changes",
            "TUMBLRBOT_FILTERED_WORDS": '["a{1,2}"]',
        },
    )
    assert settings.openai.generation.model == "small"
    assert settings.openai.fine_tuning.api_key.get_secret_value() == SECRET
    assert settings.discord.owner_ids == [1, 2]
    assert settings.discord.reviewer_role_ids == [3, 4]
    assert settings.download_blog_identifiers == ["staff", "changes"]
    assert settings.filtered_words == ["a{1,2}"]


def test_other_programs_variables_are_not_read(path):
    settings = load(
        path, environment={"OPENAI_API_KEY": SECRET, "DISCORD_TOKEN": SECRET, "OPENAI_BASE_URL": "http://x"}
    )
    assert settings == Settings()


def test_the_real_environment_is_the_default(path, monkeypatch):
    monkeypatch.setenv("TUMBLRBOT_POST_LIMIT", "9")
    assert load_settings(path, secrets_directory=None).post_limit == 9


def test_secret_files(path, tmp_path, caplog):
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "tumblrbot_discord__token").write_text(f"{SECRET}\r\n")
    (secrets / "TUMBLRBOT_OPENAI__API_KEY").write_text(f" {SECRET} ")
    (secrets / "postgres_password").write_text("not ours")
    settings = load(path, secrets=secrets)
    assert settings.discord.token.get_secret_value() == SECRET
    assert settings.openai.api_key.get_secret_value() == SECRET
    assert load(path, secrets=tmp_path / "none") == Settings()
    assert not caplog.records


def test_an_unreadable_secret_is_a_problem(path, tmp_path):
    (tmp_path / "tumblrbot_discord__token").mkdir()
    (tmp_path / "tumblrbot_openai__api_key").write_bytes(b"\xff\xfe")
    problems = problems_of(path, secrets=tmp_path)
    assert [problem.split(" cannot")[0] for problem in problems] == [
        "The secret tumblrbot_discord__token",
        "The secret tumblrbot_openai__api_key",
    ]


@pytest.mark.parametrize("text", ["123456789012345678", '"123456789012345678"', '" 123456789012345678 "'])
def test_snowflakes_are_numbers_or_texts(path, text):
    path.write_text(f"[discord]\nguild_id = {text}\nowner_ids = [{text}]\n")
    settings = load(path)
    assert settings.discord.guild_id == 123456789012345678
    assert settings.discord.owner_ids == [123456789012345678]


@pytest.mark.parametrize("text", ["true", "-1", "0", "1.5", '"general"', "9223372036854775808", '"1e5"', "{}"])
def test_what_is_no_snowflake(path, text):
    path.write_text(f"[discord]\nguild_id = {text}\nowner_ids = [1, {text}]\n")
    problems = problems_of(path)
    assert [problem.split(":")[0] for problem in problems] == ["discord.guild_id", "discord.owner_ids[1]"]


@pytest.mark.parametrize("currency", ["EUR", "€", "kr.", "zł", "", " EUR "])
def test_a_currency_is_a_code_or_a_sign(path, currency):
    path.write_text(f'[budget]\ncurrency = "{currency}"\ncurrency_rate = 0.92\n', "utf-8")
    budget = load(path).budget
    assert (budget.currency, budget.currency_rate) == (currency.strip(), 0.92)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("currency", '"Swiss francs"'),
        ("currency", '"a\\nb"'),
        ("currency", '"' + "x" * 11 + '"'),
        ("currency", "5"),
        ("currency_rate", "-1"),
        ("currency_rate", "inf"),
        ("currency_rate", "nan"),
        ("currency_rate", '"much"'),
    ],
)
def test_what_is_no_currency_and_no_rate(path, option, value):
    path.write_text(f"[budget]\n{option} = {value}\n")
    (problem,) = problems_of(path)
    assert problem.startswith(f"budget.{option}: ")
    assert "it takes" in problem


# --- problems -------------------------------------------------------------------------------------------------


def test_all_problems_at_once(path, tmp_path):
    path.write_text(
        'post_limit = -3\ntags_chance = nan\nfiltered_words = ["ok", "("]\n'
        "download_blog_identifiers = [5]\ndata_directory = 5\n"
        '[discord]\nguild_id = "general"\ntoken = 5\n[tumblr]\nupload_state = "post"\napi_url = "http://tumblr.example"\n'
        "[budget]\nmonthly_limit = inf\n"
    )
    (tmp_path / "tumblrbot_tumblr__oauth_token").mkdir()
    problems = problems_of(
        path,
        secrets=tmp_path,
        environment={"TUMBLRBOT_DRAFT_COUNT": "0"},
        overrides={"expected_epochs": "many", "post_limt": "3"},
    )
    assert {problem.split(":")[0] for problem in problems} == {
        "The secret tumblrbot_tumblr__oauth_token cannot be read",
        "post_limt",
        "post_limit",
        "tags_chance",
        "filtered_words[1]",
        "download_blog_identifiers[0]",
        "data_directory",
        "expected_epochs",
        "draft_count",
        "discord.guild_id",
        "discord.token",
        "tumblr.upload_state",
        "tumblr.api_url",
        "budget.monthly_limit",
    }
    assert "post_limit: -3 is not allowed; it takes a whole number from 0 to 1,000,000,000." in problems
    assert (
        'discord.guild_id: "general" is not allowed; it takes an ID of Discord\'s: a number of up to 19 digits.'
        in problems
    )
    assert 'tumblr.upload_state: "post" is not allowed; it takes one of draft, queue, published, private.' in problems
    assert "post_limt: no such option. Did you mean post_limit?" in problems
    assert all("\n" not in problem for problem in problems)


def test_broken_toml_is_one_problem_with_its_line(path):
    path.write_text("post_limit = 1\ndraft_count 5\n")
    problems = problems_of(path, environment={"TUMBLRBOT_EXPECTED_EPOCHS": "x"})
    assert len(problems) == 2
    assert "config.toml" in problems[0]
    assert "line 2" in problems[0]
    assert problems[1].startswith("expected_epochs: ")


def test_a_file_that_is_no_text(path):
    path.write_bytes(b'a = 1\nb = "\xff"\n')
    assert problems_of(path) == ("config.toml cannot be read: line 2 is not UTF-8 text.",)


def test_a_path_that_is_a_folder(path):
    path.mkdir()
    assert problems_of(path) == ("config.toml cannot be read: is a directory.",)
    assert config.ensure_file(path) is False


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs file permissions as Unix has them")
def test_an_unreadable_file(tmp_path):
    # As another user in another process, because root may read everything.
    path = tmp_path / "config.toml"
    path.write_text("post_limit = 1\n")
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    code = (
        "import os, sys, pathlib\n"
        "from bot.config import load_settings, ensure_file\n"
        "from bot.errors import SettingsError\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "assert ensure_file(path) is False\n"
        "try: load_settings(path, environment={}, secrets_directory=None)\n"
        "except SettingsError as error: print(*error.problems)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "config.toml cannot be read: permission denied.\n"


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("https://api.example.com/v1/", True),
        ("http://127.0.0.1:8080/v1", True),
        ("http://127.9.9.9", True),
        ("http://localhost:11434/v1", True),
        ("http://models.localhost", True),
        ("http://[::1]:9", True),
        ("http://api.example.com/v1", False),
        ("http://10.0.0.5", False),
        ("http://0.0.0.0", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://127.0.0.1@example.com", False),
        ("https://user:password@example.com", False),
        ("https://example.com/?key=1", False),
        ("https://example.com/#x", False),
        ("https://example.com:99999", False),
        ("https:///v1", False),
        ("https://exa mple.com", False),
        ("ftp://127.0.0.1", False),
        ("api.example.com", False),
        ("http://[", False),
    ],
)
@pytest.mark.parametrize("name", ["tumblr.api_url", "openai.base_url", "openai.moderation.base_url"])
def test_plain_http_only_to_this_machine(path, name, address, is_allowed):
    if is_allowed:
        settings = load(path, overrides={name: address})
        assert setting_at(settings, name) == address.rstrip("/")
    else:
        (problem,) = problems_of(path, overrides={name: address})
        assert problem.startswith(f"{name}: ")
        assert "password" not in problem
        assert "key=1" not in problem


def test_unknown_names_are_warnings(path, caplog):
    path.write_text('post_limt = 3\nsomething_else = "x"\n[discord]\nchanel_id = 4\n[discrd]\ntoken = "abc"\n')
    settings = load(path, environment={"TUMBLRBOT_OPENAI__API_KY": SECRET, "OTHER": "1"})
    assert settings == Settings()
    text = caplog.text
    assert "post_limt. Did you mean post_limit?" in text
    assert "discord.chanel_id. Did you mean discord.channel_id?" in text
    assert "something_else." in text
    assert "discrd. Did you mean discord?" in text
    assert "TUMBLRBOT_OPENAI__API_KY. Did you mean openai.api_key?" in text
    assert SECRET not in text
    assert len(caplog.records) == 5


# --- secrets --------------------------------------------------------------------------------------------------

SECRETS = [name for name, option in config.options().items() if option.is_secret]


def test_which_options_are_secrets():
    assert SECRETS == [
        "discord.token",
        "tumblr.consumer_key",
        "tumblr.consumer_secret",
        "tumblr.oauth_token",
        "tumblr.oauth_token_secret",
        "openai.api_key",
        "openai.generation.api_key",
        "openai.fine_tuning.api_key",
        "openai.moderation.api_key",
    ]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_shows_nowhere(path, name, caplog, capsys):
    section, _, key = name.rpartition(".")
    path.write_text(f'[{section}]\n{key} = "{SECRET}"\n')
    with caplog.at_level(logging.DEBUG):
        settings = load(path)
    secret = setting_at(settings, name)
    assert isinstance(secret, SecretStr)
    assert secret.get_secret_value() == SECRET
    shown = repr(settings) + str(settings) + str(settings.model_dump()) + settings.model_dump_json() + caplog.text
    assert SECRET not in shown
    assert f"config.toml holds the secret {name}." in caplog.text
    assert config.options()[name].variable in caplog.text

    # A wrong one, in its place or in a section's, is not shown either.
    path.write_text(f'[{section}]\n{key} = "{SECRET} {SECRET}"\n')
    (problem,) = problems_of(path)
    assert problem.startswith(f"{name}: the value (not shown)")
    path.write_text(f'{section} = "{SECRET}"\n' if "." not in section else f'[openai]\n{section[7:]} = "{SECRET}"\n')
    (problem,) = problems_of(path)
    assert problem.startswith(f"{section}: the value (not shown)")
    assert SECRET[:20] not in problem
    assert not any(capsys.readouterr())


@pytest.mark.parametrize("name", [name for name, option in config.options().items() if not option.is_secret])
def test_a_key_in_the_wrong_place_is_not_shown(path, name, caplog):
    text = "".join(problems_if_any(path, {name: SECRET})) + caplog.text
    assert SECRET[:12] not in text


def test_an_empty_secret_in_the_file_is_no_matter(path, caplog):
    path.write_text('[discord]\ntoken = ""\n')
    load(path)
    assert not caplog.records


def test_values_are_shown_short_and_plain(path):
    path.write_text('post_limit = "\\u001b[31mred\\u0007\\n%s"\n' % ("x" * 500))
    (problem,) = problems_of(path)
    assert problem.isprintable()
    assert len(problem) < 200


# --- the file of secrets --------------------------------------------------------------------------------------

needs_modes = pytest.mark.skipif(os.name != "posix", reason="needs file permissions as Unix has them")


@pytest.fixture
def data(tmp_path, path):
    path.write_text(f"data_directory = {str(tmp_path / 'data')!r}\n")
    return tmp_path / "data"


def mode_of(path):
    return path.stat().st_mode & 0o777


def test_what_is_written_to_the_file_of_secrets_is_read_from_it(path, data, caplog):
    config.write_secrets(data, {name: f"{SECRET}-{name}" for name in SECRETS})
    with caplog.at_level(logging.DEBUG):
        settings = load(path)
    for name in SECRETS:
        assert setting_at(settings, name).get_secret_value() == f"{SECRET}-{name}"
    assert not caplog.records
    assert SECRET not in repr(settings)
    assert [file.name for file in data.iterdir()] == ["secrets.toml"]


def test_secrets_that_are_written_at_the_same_time_are_all_kept(path, data, monkeypatch):
    """/connect and /config secret, say, each in a thread of its own."""
    replace_file = secrets_file.replace_file

    def slowly(*arguments, **more):
        time.sleep(0.05)
        replace_file(*arguments, **more)

    monkeypatch.setattr(secrets_file, "replace_file", slowly)
    with ThreadPoolExecutor(len(SECRETS)) as pool:
        for done in [pool.submit(config.write_secrets, data, {name: f"{SECRET}-{name}"}) for name in SECRETS]:
            done.result()
    assert config.secret_values(load(path)) == {f"{SECRET}-{name}" for name in SECRETS}


@needs_modes
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_file_of_secrets_is_its_owners_alone(data, umask):
    before = os.umask(umask)
    try:
        config.write_secrets(data, {"discord.token": SECRET})
        assert mode_of(data / "secrets.toml") == 0o600
        (data / "secrets.toml").chmod(0o644)
        config.write_secrets(data, {"openai.api_key": SECRET})
        assert mode_of(data / "secrets.toml") == 0o600
        (data / "secrets.toml").chmod(0o666)
        config.write_secrets(data, {"openai.api_key": SECRET})  # nothing to change but who may read it
        assert mode_of(data / "secrets.toml") == 0o600
    finally:
        os.umask(before)


@needs_modes
def test_a_secret_is_its_owners_alone_from_the_first_byte(data, monkeypatch):
    modes = []
    replace = Path.replace

    def watch(self, target):
        modes.append(mode_of(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watch)
    before = os.umask(0)
    try:
        config.write_secrets(data, {"discord.token": SECRET})
    finally:
        os.umask(before)
    assert modes == [0o600]


@needs_modes
def test_a_file_of_secrets_that_cannot_be_exchanged_is_private_before_it_is_written(path, data, monkeypatch):
    config.write_secrets(data, {"discord.token": "old"})
    file = data / "secrets.toml"
    file.chmod(0o644)
    write = Path.write_bytes
    modes = []

    def refuse(self, target):
        raise OSError(errno.EBUSY, "Device or resource busy")

    def watch(self, content):
        modes.append(mode_of(self))
        return write(self, content)

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(Path, "write_bytes", watch)
    config.write_secrets(data, {"discord.token": SECRET})
    assert modes == [0o600]
    assert load(path).discord.token.get_secret_value() == SECRET
    assert list(data.iterdir()) == [file]


def test_secrets_are_merged_and_forgotten(path, data):
    config.write_secrets(data, {"discord.token": "d", "openai.generation.api_key": "g", "openai.api_key": "o"})
    config.write_secrets(data, {"openai.api_key": None, "tumblr.oauth_token": " t\n", "tumblr.consumer_key": None})
    settings = load(path)
    assert settings.discord.token.get_secret_value() == "d"
    assert settings.openai.generation.api_key.get_secret_value() == "g"
    assert settings.openai.api_key.get_secret_value() == ""
    assert settings.tumblr.oauth_token.get_secret_value() == "t"
    config.write_secrets(data, dict.fromkeys(SECRETS))
    assert tomllib.loads((data / "secrets.toml").read_text()) == {}
    assert load(path) == load(path, overrides={"data_directory": str(data)})


def test_what_people_wrote_into_the_file_of_secrets_stays(path, data, caplog):
    data.mkdir()
    (data / "secrets.toml").write_text(
        f'mine = 1\n{SECRET.replace(".", "")} = 2\n[openai]\nbase_url = "https://x.example"\n'
    )
    config.write_secrets(data, {"openai.api_key": SECRET})
    written = tomllib.loads((data / "secrets.toml").read_text())
    assert written["mine"] == 1
    assert written["openai"] == {"base_url": "https://x.example", "api_key": SECRET}
    settings = load(path)
    assert settings.openai.base_url == "https://api.openai.com/v1", "only secrets are read from there"
    assert "ignored openai.base_url, which is no secret" in caplog.text
    assert "ignored the unknown option mine." in caplog.text
    assert SECRET[:12] not in caplog.text


def test_writing_the_same_secrets_again_writes_nothing(data):
    config.write_secrets(data, {})
    config.write_secrets(data, {"discord.token": None})
    assert not data.exists()
    config.write_secrets(data, {"discord.token": SECRET})
    before = (data / "secrets.toml").stat()
    config.write_secrets(data, {"discord.token": SECRET, "openai.api_key": None})
    after = (data / "secrets.toml").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_what_is_no_secret_or_no_key_is_refused_whole(data):
    config.write_secrets(data, {"openai.api_key": "old"})
    before = (data / "secrets.toml").read_bytes()
    with pytest.raises(SettingsError) as caught:
        config.write_secrets(
            data,
            {
                "discord.token": SECRET,
                "post_limit": SECRET,
                "discord.tokn": SECRET,
                "openai.api_key": "",
                "tumblr.oauth_token": f"{SECRET} {SECRET}",
                "tumblr.consumer_key": f"{SECRET}\n[x]",
            },
        )
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "post_limit",
        "discord.tokn",
        "openai.api_key",
        "tumblr.oauth_token",
        "tumblr.consumer_key",
    ]
    assert "Did you mean discord.token?" in caught.value.problems[1]
    assert SECRET[:12] not in str(caught.value) + str(caught.value.problems)
    assert (data / "secrets.toml").read_bytes() == before


BROKEN = [f"token {SECRET}\n", f'[discord]\ntoken = "{SECRET}\n', f'discord = "{SECRET}"\n', b"\xff" + SECRET.encode()]


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_of_secrets_is_one_problem_and_stays(path, data, text):
    data.mkdir()
    file = data / "secrets.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = file.read_bytes()
    (problem,) = problems_of(path)
    assert problem.startswith(f"{file} cannot be read: ")
    with pytest.raises(SettingsError) as caught:
        config.write_secrets(data, {"discord.token": "new"})
    assert caught.value.problems == (problem,)
    assert SECRET[:12] not in problem
    assert file.read_bytes() == before


def test_a_wrong_value_in_the_file_of_secrets(path, data):
    data.mkdir()
    (data / "secrets.toml").write_text(f'[discord]\ntoken = "{SECRET} {SECRET}"\n[openai]\napi_key = 5\n')
    problems = problems_of(path)
    assert [problem.split(" is not")[0] for problem in problems] == [
        "discord.token: the value (not shown)",
        "openai.api_key: the value (not shown)",
    ]


@needs_modes
def test_a_file_of_secrets_that_others_can_read_is_a_warning(path, data, caplog):
    config.write_secrets(data, {"discord.token": SECRET})
    (data / "secrets.toml").chmod(0o640)
    assert load(path).discord.token.get_secret_value() == SECRET
    assert f"chmod 600 {data / 'secrets.toml'}" in caplog.text
    assert SECRET not in caplog.text


def test_where_no_file_of_secrets_can_be(tmp_path):
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SettingsError) as caught:
            config.write_secrets(folder, {"discord.token": SECRET})
        assert f"{folder / 'secrets.toml'} cannot be " in caught.value.problems[0]
        assert SECRET not in str(caught.value.problems)
    (tmp_path / "data" / "secrets.toml").mkdir(parents=True)
    with pytest.raises(SettingsError):
        config.write_secrets(tmp_path / "data", {"discord.token": SECRET})


def test_precedence_of_the_file_of_secrets(path, tmp_path, data):
    path.write_text(
        path.read_text() + '[discord]\ntoken = "file"\n[openai]\napi_key = "file"\nbase_url = "https://x.example"\n'
        '[tumblr]\nconsumer_key = "file"\noauth_token = "file"\n'
    )
    config.write_secrets(data, {name: "kept" for name in SECRETS if name != "tumblr.consumer_key"})
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "tumblrbot_openai__api_key").write_text("folder\n")
    (folder / "tumblrbot_tumblr__oauth_token").write_text("folder\n")
    environment = {"TUMBLRBOT_TUMBLR__OAUTH_TOKEN": "environment", "TUMBLRBOT_TUMBLR__CONSUMER_SECRET": " "}
    settings = load(path, secrets=folder, environment=environment, overrides={"discord.token": "line"})
    assert settings.discord.token.get_secret_value() == "line"
    assert settings.tumblr.oauth_token.get_secret_value() == "environment"
    assert settings.openai.api_key.get_secret_value() == "folder"
    assert settings.tumblr.oauth_token_secret.get_secret_value() == "kept"
    assert settings.tumblr.consumer_secret.get_secret_value() == "kept"
    assert settings.tumblr.consumer_key.get_secret_value() == "file"
    assert settings.openai.base_url == "https://x.example"
    assert load(path).discord.token.get_secret_value() == "kept"


@pytest.mark.parametrize("place", ["line", "environment", "folder", "file", "default"])
def test_every_place_may_name_the_data_directory(path, tmp_path, place, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("line", "environment", "folder", "file", "data"):
        config.write_secrets(tmp_path / name, {"discord.token": name})
    places = ["line", "environment", "folder", "file", "default"]
    wanted = set(places[places.index(place) :])
    if "file" in wanted:
        path.write_text('data_directory = "file"\npost_limit = 1\n')
    if "folder" in wanted:
        (folder / "TUMBLRBOT_DATA_DIRECTORY").write_text("folder")
    token = load(
        path,
        secrets=folder,
        environment={"tumblrbot_data_directory": "environment"} if "environment" in wanted else {},
        overrides={"data_directory": "line"} if "line" in wanted else {},
    ).discord.token
    assert token.get_secret_value() == ("data" if place == "default" else place)


def test_wrong_options_do_not_hide_the_file_of_secrets(path, data):
    data.mkdir()
    (data / "secrets.toml").write_text("x")
    problems = problems_of(path, overrides={"post_limit": "-1"})
    assert [problem.split(" ")[0] for problem in problems] == [str(data / "secrets.toml"), "post_limit:"]
    assert len(problems_of(path, overrides={"data_directory": 5})) == 1


def test_secrets_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "TUMBLRBOT_openai__api_key").write_text("x")
    (tmp_path / "tumblrbot_discord__token").write_text("x")
    (tmp_path / "tumblrbot_tumblr__consumer_key").write_text(" \n")
    (tmp_path / "tumblrbot_tumblr__consumer_secret").mkdir()
    environment = {"TUMBLRBOT_DISCORD__TOKEN": SECRET, "TUMBLRBOT_TUMBLR__OAUTH_TOKEN": " "}
    assert config.secrets_elsewhere(SECRETS, environment=environment, secrets_directory=tmp_path) == {
        "discord.token": "the variable TUMBLRBOT_DISCORD__TOKEN",
        "openai.api_key": f"the file TUMBLRBOT_openai__api_key in {tmp_path}",
    }
    assert not config.secrets_elsewhere(["openai.api_key"], environment=environment, secrets_directory=None)
    monkeypatch.setenv("TUMBLRBOT_TUMBLR__OAUTH_TOKEN", SECRET)
    assert list(config.secrets_elsewhere(SECRETS, secrets_directory=None)) == ["tumblr.oauth_token"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(SECRETS),
            st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
        ),
        max_size=4,
    )
)
def test_the_last_value_of_every_secret_is_kept(folder, writes):
    (folder / "secrets.toml").unlink(missing_ok=True)
    expected = {}
    for values in writes:
        config.write_secrets(folder, values)
        expected |= values
    settings = load(folder / "none.toml", overrides={"data_directory": str(folder)})
    for name in SECRETS:
        assert setting_at(settings, name).get_secret_value() == (expected.get(name) or "")


# --- endpoints ------------------------------------------------------------------------------------------------


def test_endpoints_fall_back():
    settings = Settings(openai={"api_key": "k-main", "base_url": "https://one.example/v1"}, base_model="base")
    generation = settings.endpoint("generation")
    assert (generation.base_url, generation.api_key.get_secret_value(), generation.model) == (
        "https://one.example/v1",
        "k-main",
        "gpt-6-luna",
    )
    assert settings.endpoint("fine_tuning").model == "base"
    assert settings.endpoint("moderation").model == "omni-moderation-latest"
    assert "k-main" not in repr(generation)


def test_endpoints_of_their_own():
    own = {"base_url": "https://two.example", "api_key": "k-two", "model": "m"}
    settings = Settings(openai={"api_key": "k-main", "fine_tuning": own})
    endpoint = settings.endpoint("fine_tuning")
    assert (endpoint.base_url, endpoint.api_key.get_secret_value(), endpoint.model) == (
        "https://two.example",
        "k-two",
        "m",
    )
    assert settings.endpoint("generation").base_url == "https://api.openai.com/v1"


def test_a_key_is_not_lent_to_another_host():
    settings = Settings(
        openai={
            "api_key": "k-main",
            "base_url": "https://one.example/v1",
            "generation": {"base_url": "http://localhost:11434/v1"},
            "moderation": {"base_url": "https://one.example/other"},
        }
    )
    assert settings.endpoint("generation").api_key.get_secret_value() == ""
    assert settings.endpoint("moderation").api_key.get_secret_value() == "k-main"


def test_require(path):
    settings = load(path, overrides={"discord.guild_id": "5"})
    places = "set TUMBLRBOT_DISCORD__TOKEN, or put it into the file tumblrbot_discord__token in /run/secrets"
    with pytest.raises(SettingsError) as caught:
        config.require(settings, "discord.token", "discord.guild_id", "discord.channel_id", "upload_blog_identifier")
    assert caught.value.problems == (
        f"discord.token: not set, and needed here; {places}.",
        "discord.channel_id: not set, and needed here; set it in config.toml or as TUMBLRBOT_DISCORD__CHANNEL_ID.",
        "upload_blog_identifier: not set, and needed here; set it in config.toml or as TUMBLRBOT_UPLOAD_BLOG_IDENTIFIER.",
    )
    config.require(settings, "discord.guild_id")


# --- the file -------------------------------------------------------------------------------------------------


def test_a_missing_file_is_made(path):
    assert config.ensure_file(path) is True
    assert path.read_text("utf-8") == config.example_text()
    assert list(path.parent.iterdir()) == [path]
    assert config.ensure_file(path) is False


def is_subsequence(old, new):
    lines = iter(new)
    return all(line in lines for line in old)


@pytest.mark.parametrize("old", [OLD_1, OLD_2], ids=["1.x", "2.x"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_an_old_file_gains_options(path, old, newline, mark, caplog):
    path.write_bytes(mark + old.replace("\n", newline).encode())
    before = load(path)
    assert config.ensure_file(path) is True
    content = path.read_bytes()
    assert content.startswith(mark + old.replace("\n", newline).encode())
    assert content.count(b"\n") == content.count(newline.encode())
    assert load(path) == before
    assert set(names_in(renamed(tomllib.loads(content.removeprefix(mark).decode())))) == {
        name for name, option in config.options().items() if not option.is_secret
    }
    assert not caplog.records
    assert config.ensure_file(path) is False
    assert path.read_bytes() == content


def test_new_options_come_before_what_belongs_to_the_next_section(path):
    path.write_text(
        'post_limit = 5 # mine\nfiltered_words = [\n  "a",\n  # not the end\n]\n'
        'developer_message = """\n[discord]\n# not a comment\n"""\n\n# about Discord\n\n'
        "# really about Discord\n[ discord ] # here\nguild_id = 7\n"
        "# about money\n[budget]\nmonthly_limit = 1\n[openai.generation]\nmodel = 'm'\n"
    )
    old = path.read_text()
    before = load(path)
    assert config.ensure_file(path) is True
    new = path.read_text()
    assert load(path) == before
    assert is_subsequence(old.splitlines(), new.splitlines())
    assert "# really about Discord\n[ discord ] # here\nguild_id = 7\n" in new
    assert "# about money\n[budget]\n" in new
    assert "# about Discord\n\n# The blogs to learn from" in new
    assert "\n\n\n" not in new
    assert new.index("draft_count = 10") < new.index("# really about Discord")
    assert new.index("[ discord ]") < new.index("channel_id = ") < new.index("# about money")
    assert new.count("\n[openai]\n") == 1
    assert config.ensure_file(path) is False


@pytest.mark.parametrize("old", ["discord = { guild_id = 7 }\n", "discord.guild_id = 7\n"])
def test_a_section_that_takes_no_lines_is_left_alone(path, old):
    path.write_text(old)
    assert config.ensure_file(path) is True
    assert path.read_text().startswith(old)
    assert load(path).discord.guild_id == 7
    assert config.ensure_file(path) is False


def test_a_broken_file_is_left_alone(path):
    path.write_text("post_limit 5\n")
    assert config.ensure_file(path) is False
    assert path.read_text() == "post_limit 5\n"
    with pytest.raises(SettingsError, match="One setting"):
        config.write_options(path, {"post_limit": 3})
    assert path.read_text() == "post_limit 5\n"


def test_a_folder_that_is_missing(tmp_path, caplog):
    path = tmp_path / "none" / "config.toml"
    assert config.ensure_file(path) is False
    assert "cannot be brought up to date" in caplog.text
    with pytest.raises(SettingsError) as caught:
        config.write_options(path, {"post_limit": 3})
    assert "cannot be written" in caught.value.problems[0]


def test_a_link_and_a_mode_stay(path, tmp_path):
    real = tmp_path / "real.toml"
    real.write_text("post_limit = 1\n")
    real.chmod(0o640)
    path.symlink_to(real)
    config.write_options(path, {"post_limit": 2})
    assert path.is_symlink()
    assert real.read_text() == "post_limit = 2\n"
    assert real.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("reason", [16, 13])  # EBUSY: mounted by itself; EACCES: the folder is read-only
def test_a_file_that_cannot_be_exchanged_is_written_in_place(path, monkeypatch, reason):
    path.write_text("post_limit = 1\n")

    def refuse(self, target):
        raise OSError(reason, "no")

    monkeypatch.setattr(Path, "replace", refuse)
    config.write_options(path, {"post_limit": 2})
    assert path.read_text() == "post_limit = 2\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(path, monkeypatch):
    path.write_text("post_limit = 1\n")

    def refuse(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(SettingsError) as caught:
        config.write_options(path, {"post_limit": 2})
    assert caught.value.problems == ("config.toml cannot be written: no space left on device.",)
    assert path.read_text() == "post_limit = 1\n"
    assert list(path.parent.iterdir()) == [path]


def test_write_options_changes_only_what_it_is_told(path):
    old = "# top\npost_limit   =   1   # few\n\n[discord]\n# the place\nchannel_id = 5\nowner_ids = [\n  1, # me\n  2,\n]\n"
    path.write_text(old)
    config.write_options(path, {"post_limit": "7", "discord.channel_id": None, "discord.owner_ids": ["1", 2]})
    assert path.read_text() == old.replace("=   1  ", "=   7  ").replace("channel_id = 5", 'channel_id = ""')
    config.write_options(path, {"tumblr.upload_state": "queue", "date_limit": "2024-05-01", "draft_count": 3})
    settings = load(path)
    assert settings.tumblr.upload_state is UploadState.QUEUE
    assert settings.date_limit == datetime(2024, 5, 1, tzinfo=UTC)
    assert settings.draft_count == 3
    assert set(tomllib.loads(path.read_text())["tumblr"]) == {"upload_state"}


def test_write_options_tells_what_it_changed(path):
    path.write_text('post_limit = 1\ndate_limit = "2024-05-01T00:00:00Z"\nexamples_file = "x"\n')
    values = {
        "post_limit": "1",
        "date_limit": "2024-05-01",
        "draft_count": 10,
        "training_data_file": "x",
        "job_id": "j",
    }
    assert config.write_options(path, values) == ("date_limit", "draft_count", "job_id")
    assert config.write_options(path, values) == ()


def test_read_options_and_their_problems(path):
    assert config.read_options(path) == {}
    path.write_text('user_input = "x"\nmagic = [1]\npost_limit = -1\n[discord]\nowner_ids = ["a", 2, "b"]\n')
    found = config.read_options(path)
    assert found == {"user_message": "x", "magic": [1], "post_limit": -1, "discord.owner_ids": ["a", 2, "b"]}
    problems = config.problems_with(found)
    assert list(problems) == ["post_limit", "discord.owner_ids"]
    assert "discord.owner_ids[0]: " in problems["discord.owner_ids"]
    assert "discord.owner_ids[2]: " in problems["discord.owner_ids"]
    path.write_text("post_limit\n")
    with pytest.raises(SettingsError):
        config.read_options(path)


def test_write_options_keeps_an_old_name(path):
    path.write_text('examples_file = "old.jsonl" # here\n')
    config.write_options(path, {"training_data_file": "new.jsonl"})
    assert path.read_text() == 'examples_file = "new.jsonl" # here\n'


def test_write_options_in_a_section_of_one_line(path):
    path.write_text("discord = { guild_id = 7 }\n")
    config.write_options(path, {"discord.guild_id": 8})
    assert load(path).discord.guild_id == 8
    with pytest.raises(SettingsError) as caught:
        config.write_options(path, {"discord.channel_id": 9})
    assert "edit it" in caught.value.problems[0]
    assert path.read_text() == "discord = { guild_id = 8 }\n"


def test_write_options_makes_a_missing_file(path):
    config.write_options(path, {"post_limit": 5})
    assert path.read_text("utf-8") == config.example_text().replace("post_limit = 0", "post_limit = 5")


def test_write_options_refuses_with_all_problems(path):
    path.write_text("post_limit = 1\n")
    with pytest.raises(SettingsError) as caught:
        config.write_options(
            path, {"discord.token": SECRET, "post_limt": 3, "post_limit": -1, "openai.base_url": "http://x.example"}
        )
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "discord.token",
        "post_limt",
        "post_limit",
        "openai.base_url",
    ]
    assert "not written to config.toml; set TUMBLRBOT_DISCORD__TOKEN" in caught.value.problems[0]
    assert SECRET not in str(caught.value.problems)
    assert path.read_text() == "post_limit = 1\n"
    path.unlink()
    with pytest.raises(SettingsError):
        config.write_options(path, {"post_limt": 3})
    assert not path.exists()


# Files as people write them: options in any order, with comments, blank lines and sections.
texts = st.text(st.characters(codec="utf-8"), max_size=30)
comments = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20).map(lambda x: f"# {x}")
values = st.fixed_dictionaries(
    {},
    optional={
        "post_limit": st.integers(0, 1000),
        "user_message": texts,
        "tags_chance": st.floats(0, 5),
        "date_limit": st.datetimes(timezones=st.just(UTC)),
        "base_model": st.sampled_from(["a", "b"]),
        "filtered_words": st.lists(st.sampled_from(["a", "b#", r"c\+", 'd"'])),
        "discord.guild_id": st.integers(1, 2**63 - 1),
        "discord.owner_ids": st.lists(st.integers(1, 2**63 - 1)),
        "tumblr.upload_state": st.sampled_from(UploadState),
        "openai.generation.model": st.sampled_from(["a", "b"]),
        "budget.monthly_limit": st.floats(0, 1e9),
    },
)


@st.composite
def files(draw):
    written = draw(values)
    sections = ["", *draw(st.permutations(["discord", "tumblr", "openai", "openai.generation", "budget", "mine"]))]
    lines = []
    for section in sections:
        names = draw(st.permutations([name for name in written if name.rpartition(".")[0] == section]))
        if section and not names and draw(st.booleans()):
            continue
        if section:
            lines += draw(st.lists(st.one_of(st.just(""), comments), max_size=3))
            lines.append(f"[{section}]")
        for name in names:
            lines += draw(st.lists(st.one_of(st.just(""), comments), max_size=2))
            value = toml(as_toml(written[name]))
            lines.append(f"{name.rpartition('.')[2]} = {value} {draw(st.one_of(st.just(''), comments))}".rstrip(" "))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    return newline.join(lines) + draw(st.sampled_from(["", newline])), written


def load_text(folder, text):
    path = folder / "config.toml"
    path.write_bytes(text.encode("utf-8"))
    return load(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@settings(max_examples=40, deadline=None)
@given(files())
def test_ensure_file_keeps_values_order_and_comments(folder, file):
    text, _ = file
    before = load_text(folder, text)
    path = folder / "config.toml"
    assert config.ensure_file(path)
    new = path.read_bytes().decode()
    assert load(path) == before
    assert is_subsequence(
        [line.rstrip("\r") for line in text.split("\n")], [line.rstrip("\r") for line in new.split("\n")]
    )
    assert not config.ensure_file(path)


@settings(max_examples=40, deadline=None)
@given(files(), values)
def test_write_options_keeps_the_rest(folder, file, new):
    text, written = file
    load_text(folder, text)
    path = folder / "config.toml"
    config.write_options(path, new)
    changed = path.read_bytes().decode()
    assert load(path) == load(path.with_name("none.toml"), overrides=written | new)
    kept = [line.rstrip("\r") for line in text.split("\n") if line.lstrip().startswith(("#", "["))]
    assert is_subsequence(kept, [line.rstrip("\r") for line in changed.split("\n")])
    if not new.keys() - written.keys():
        # No line came or went, and only those lines differ that were to be changed.
        pairs = list(zip(text.split("\n"), changed.split("\n"), strict=True))
        keys = {name.rpartition(".")[2] for name in new}
        assert all(old.split(" = ")[0] in keys for old, now in pairs if old != now)
        assert all(old.partition(" # ")[2] == now.partition(" # ")[2] for old, now in pairs if '"' not in old)
    config.write_options(path, new)
    assert path.read_bytes().decode() == changed


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(list(config.options())), st.one_of(texts, st.integers(), st.none(), st.lists(texts))
    )
)
def test_whatever_is_typed_is_settings_or_problems(folder, overrides):
    problems = problems_if_any(folder / "none.toml", overrides)
    assert all(problem.isprintable() for problem in problems)
    assert {problem.partition(":")[0].partition("[")[0] for problem in problems} <= set(overrides)


# --- the command line -----------------------------------------------------------------------------------------


def test_every_option_but_secrets_is_on_the_command_line(path):
    parser = argparse.ArgumentParser()
    parser.add_argument("--config")
    config.add_option_arguments(parser)
    arguments = parser.parse_args(
        ["--config", "x", "--post-limit", "50", "--discord-channel-id=7", "--filtered-words", "a,b", "--job-id", "x"]
    )
    overrides = config.overrides_from(arguments)
    assert overrides == {"post_limit": "50", "discord.channel_id": "7", "filtered_words": "a,b", "job_id": "x"}
    settings = load(path, overrides=overrides)
    assert (settings.post_limit, settings.discord.channel_id, settings.filtered_words) == (50, 7, ["a", "b"])
    text = parser.format_help()
    for option in config.options().values():
        assert (option.flag in text.split()) is not option.is_secret
    assert config.overrides_from(parser.parse_args([])) == {}


def test_importing_settings_is_quick():
    code = "import sys, json, bot.config; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert not {"openai", "discord", "tomlkit", "requests", "boto3"} & set(json.loads(done.stdout))


def test_tomlkit_reads_what_is_written():
    assert tomlkit.parse(config.example_text()).unwrap() == tomllib.loads(config.example_text())
