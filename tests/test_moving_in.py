"""Moving in: a folder of the old tool's, the command that takes it over, and what is then in the database and the files."""

import asyncio
import json
import os
import sqlite3
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import moving_in
from bot.__main__ import main
from bot.config import PREFIX, example_text, load_settings, options, write_secrets
from bot.drafts import Person
from bot.pipeline.examples import read_custom_prompts
from bot.posts import Blog
from bot.store import consents
from bot.store import posts as store
from bot.store.database import Database
from bot.store.facts import set_fact
from tests.test_config import OLD_1, OLD_2

KEYS = {
    "client_key": "ckey-5f1e-Zq7",
    "client_secret": "csecret-7a2b-Zq7",
    "resource_owner_key": "otoken-9c3d-Zq7",
    "resource_owner_secret": "osecret-1e4f-Zq7",
}
API_KEY = "sk-8812-Zq7"
UUID, OTHER = "t:keeper", "t:other"


@pytest.fixture(autouse=True)
def _nobodys_environment(monkeypatch, tmp_path):
    for option in options().values():
        monkeypatch.delenv(option.variable, raising=False)
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "new")


@pytest.fixture
def old(tmp_path):
    """A folder with one of everything."""
    folder = tmp_path / "old"
    (folder / "data").mkdir(parents=True)
    (folder / "config.toml").write_text(OLD_2)
    tokens = "\n".join(f'{name} = "{value}"' for name, value in KEYS.items())
    (folder / "tokens.toml").write_text(f'openai_api_key = "{API_KEY}"\n[tumblr]\n{tokens}\n')
    (folder / "data" / "keeper.jsonl").write_text(lines(raw(1), raw(2), raw(3)))
    (folder / "custom_prompts.jsonl").write_text('{"Who are you?": "A light."}\n')
    (folder / "training_data.jsonl").write_text("{}\n")
    return folder


def raw(number, *, blog=UUID, name="keeper", **changes):
    """A post as the API hands it out."""
    described = {"name": name, "uuid": blog, "title": "The log", "url": f"https://{name}.tumblr.com/"}
    post = {
        "id": number,
        "id_string": str(number),
        "blog_name": name,
        "blog": described,
        "timestamp": 1_700_000_000 + number,
        "post_url": f"https://{name}.tumblr.com/post/{number}",
        "state": "published",
        "tags": ["log"],
        "content": [{"type": "text", "text": f"post {number} ✨"}],
        "layout": [],
        "trail": [],
    }
    return {key: value for key, value in (post | changes).items() if value is not None}


def lines(*posts):
    return "".join(f"{post if isinstance(post, str) else json.dumps(post)}\n" for post in posts)


def run(capsys, folder, *more):
    """The exit status and the report, as (what became of it, the rest)."""
    capsys.readouterr()
    status = main(["import", *more, str(folder)])
    said = capsys.readouterr()
    assert "Zq7" not in said.out + said.err
    assert "Traceback" not in said.err
    return status, [tuple(line.split(None, 1)) for line in said.out.splitlines()] or said.err


def rows(query, path=Path("data/bot.sqlite3")):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def post_count():
    try:
        ((count,),) = rows("SELECT count(*) FROM posts")
    except sqlite3.OperationalError:  # no database yet
        return 0
    return count


def everything():
    """Every file of ours, byte for byte, and every row of the database."""
    files = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file() and "sqlite3" not in path.name}
    tables = [name for (name,) in rows("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return files, {table: rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}  # noqa: S608


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- all of it ------------------------------------------------------------------------------------------------


def test_a_whole_folder_is_taken_over(old, capsys, caplog):
    before = contents(old)
    status, report = run(capsys, old)
    assert status == 0
    names = "download_blog_identifiers, date_limit"
    assert [(outcome, text.split(":")[0]) for outcome, text in report] == [
        ("taken", "config.toml"),
        ("left", "config.toml"),
        ("taken", "tokens.toml"),
        ("taken", "tokens.toml"),
        ("taken", "custom_prompts.jsonl"),
        ("taken", "data/keeper.jsonl"),
        ("left", "training_data.jsonl"),
    ]
    assert report[0][1].startswith(f"config.toml: took {names}")
    assert report[1][1] == (
        "config.toml: this bot keeps its own data_directory and custom_prompts_file and training_data_file."
    )
    assert report[5][1] == "data/keeper.jsonl: 3 posts of keeper, 3 of them new."
    assert report[6][1] == "training_data.jsonl: not needed; /examples makes it anew."

    new = load_settings(Path("config.toml"), environment={}, secrets_directory=None)
    assert new.download_blog_identifiers == ["staff", "changes"]
    assert new.developer_message == "Be a blog."
    assert new.draft_count == 100
    assert new.data_directory == Path("data")
    assert new.training_data_file == Path("data/training_data.jsonl")
    assert new.openai.api_key.get_secret_value() == API_KEY
    assert new.tumblr.consumer_key.get_secret_value() == KEYS["client_key"]
    assert new.tumblr.consumer_secret.get_secret_value() == KEYS["client_secret"]
    assert new.tumblr.oauth_token.get_secret_value() == KEYS["resource_owner_key"]
    assert new.tumblr.oauth_token_secret.get_secret_value() == KEYS["resource_owner_secret"]
    if os.name == "posix":
        assert Path("data/secrets.toml").stat().st_mode & 0o777 == 0o600
    assert read_custom_prompts(new.custom_prompts_file) == [("Who are you?", "A light.")]

    assert rows("SELECT uuid, name, title, url, complete, cursor FROM blogs") == [
        (UUID, "keeper", "The log", "https://keeper.tumblr.com/", 0, None)
    ]
    assert rows("SELECT id, text, tags, rejection FROM posts ORDER BY id") == [
        (str(number), f"post {number} ✨", '["log"]', None) for number in (1, 2, 3)
    ]
    assert [json.loads(each) for (each,) in rows("SELECT raw FROM posts ORDER BY id")] == [raw(1), raw(2), raw(3)]
    assert contents(old) == before, "the old folder stays as it was"
    database = b"".join(path.read_bytes() for path in Path("data").glob("bot.sqlite3*"))
    assert b"Zq7" not in database + Path("config.toml").read_bytes() + caplog.text.encode()


def test_the_second_time_nothing_changes(old, capsys):
    run(capsys, old)
    before = everything()
    status, report = run(capsys, old)
    assert status == 0
    assert everything() == before
    assert [outcome for outcome, _ in report] == ["same", "left", "same", "same", "same", "same", "left"]


@pytest.mark.parametrize("missing", ["config.toml", "tokens.toml", "custom_prompts.jsonl", "data/keeper.jsonl"])
def test_what_is_missing_keeps_nothing_else_back(old, capsys, missing):
    (old / missing).unlink()
    status, report = run(capsys, old)
    assert status == 0
    assert [outcome for outcome, _ in report].count("taken") >= 3
    assert not [text for outcome, text in report if outcome == "taken" and text.startswith(missing)]


# --- settings -------------------------------------------------------------------------------------------------


def test_a_config_of_1_x(old, capsys):
    (old / "config.toml").write_text(OLD_1)
    (old / "examples.jsonl").write_text("{}\n")
    status, report = run(capsys, old)
    assert status == 0
    written = tomllib.loads(Path("config.toml").read_text())
    assert (written["user_message"], written["tags_chance"]) == ("Post.", 1.5)
    assert written["training_data_file"] == str(Path("data/training_data.jsonl"))
    assert ("left", "examples.jsonl: not needed; /examples makes it anew.") in report


def test_options_that_are_wrong_or_unknown_are_named_and_the_others_taken(old, capsys):
    (old / "config.toml").write_text(
        'draft_count = -3\nfiltered_words = ["("]\npost_limit = 7\nbase_model = ""\nmagic = 1\n'
        '[tumblr]\noauth_token = "secret-Zq7"\nupload_state = "queue"\n'
    )
    Path("config.toml").write_text('base_model = "mine" # my own\n')
    status, report = run(capsys, old)
    assert status == 0
    assert report[:5] == [
        ("taken", "config.toml: took post_limit, tumblr.upload_state."),
        (
            "left",
            "config.toml: draft_count: -3 is not allowed; it takes a whole number from 1 to 1,000,000,000.",
        ),
        (
            "left",
            'config.toml: filtered_words[0]: "(" is not allowed; it takes a list of regular expressions.',
        ),
        ("left", "config.toml: no options of this bot: magic."),
        ("left", "config.toml: secrets are not taken from there: tumblr.oauth_token."),
    ]
    written = tomllib.loads(Path("config.toml").read_text())
    assert (written["post_limit"], written["draft_count"], written["base_model"]) == (7, 10, "mine")
    assert 'base_model = "mine" # my own\n' in Path("config.toml").read_text()


def test_a_config_that_is_no_toml_fails_and_the_rest_is_taken(old, capsys):
    (old / "config.toml").write_text("draft_count 3\n")
    status, report = run(capsys, old)
    assert status == 1
    assert report[0][0] == "failed"
    assert "config.toml cannot be read, it is not TOML" in report[0][1]
    assert ("taken", "data/keeper.jsonl: 3 posts of keeper, 3 of them new.") in report


def test_in_one_folder_with_the_old_tool(old, capsys, monkeypatch):
    monkeypatch.chdir(old)
    status, report = run(capsys, ".")
    assert status == 0
    assert report[0] == ("same", "config.toml: it is this bot's own already.")
    assert ("taken", "data/keeper.jsonl: 3 posts of keeper, 3 of them new.") in report
    assert not [text for _, text in report if text.startswith("data/") and "keeper" not in text], "ours are no posts"


# --- keys -----------------------------------------------------------------------------------------------------


def test_keys_that_are_set_here_stay(old, capsys):
    write_secrets(Path("data"), {"tumblr.oauth_token": "mine", "openai.api_key": API_KEY})
    status, report = run(capsys, old)
    assert status == 0
    assert ("same", "tokens.toml: openai.api_key.") in report
    (refused,) = [text for outcome, text in report if outcome == "left" and text.startswith("tokens.toml")]
    assert "others are set here already" in refused
    assert tomllib.loads(Path("data/secrets.toml").read_text()) == {
        "tumblr": {"oauth_token": "mine"},
        "openai": {"api_key": API_KEY},
    }, "keys of two applications are not mixed"


def test_keys_of_the_same_application_are_completed(old, capsys, monkeypatch):
    monkeypatch.setenv(f"{PREFIX}TUMBLR__CONSUMER_KEY", KEYS["client_key"])
    monkeypatch.setenv(f"{PREFIX}TUMBLR__CONSUMER_SECRET", KEYS["client_secret"])
    status, report = run(capsys, old)
    assert status == 0
    taken = f"tokens.toml: tumblr.oauth_token, tumblr.oauth_token_secret, into {Path('data/secrets.toml')}."
    assert ("taken", taken) in report
    assert set(tomllib.loads(Path("data/secrets.toml").read_text())["tumblr"]) == {"oauth_token", "oauth_token_secret"}


@pytest.mark.parametrize(
    "names",
    [
        ("tumblr_consumer_key", "tumblr_consumer_secret", "tumblr_oauth_token", "tumblr_oauth_secret"),
        ("tumblr_client_key", "tumblr_client_secret", "tumblr_resource_owner_key", "tumblr_resource_owner_secret"),
    ],
)
def test_keys_under_older_names(old, capsys, names):
    text = "".join(f'{name} = "{value}"\n' for name, value in zip(names, KEYS.values(), strict=True))
    (old / "tokens.toml").write_text(text)
    assert run(capsys, old)[0] == 0
    assert list(tomllib.loads(Path("data/secrets.toml").read_text())["tumblr"].values()) == list(KEYS.values())


def test_tokens_of_oauth_2_are_of_no_use(old, capsys):
    (old / "tokens.toml").write_text(
        'openai_api_key = ""\n[tumblr]\nclient_key = ""\naccess_token = "a-Zq7"\nrefresh_token = "r-Zq7"\n'
    )
    status, report = run(capsys, old)
    assert status == 0
    (note,) = [text for outcome, text in report if text.startswith("tokens.toml")]
    assert "tumblr.access_token, tumblr.refresh_token" in note
    assert "OAuth 2" in note
    assert not Path("data/secrets.toml").exists()


@pytest.mark.parametrize(
    "text", ["openai_api_key = sk-Zq7\n", b'openai_api_key = "Zq7\xff"\n', '[tumblr]\nclient_key = "a Zq7"\n']
)
def test_tokens_that_cannot_be_used_fail_without_being_shown(old, capsys, text):
    (old / "tokens.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    status, report = run(capsys, old)
    assert status == 1
    assert [text.split()[0] for outcome, text in report if outcome == "failed"] in (["tokens.toml"], ["tokens.toml:"])
    assert not Path("data/secrets.toml").exists()


# --- custom prompts -------------------------------------------------------------------------------------------


def test_prompts_are_copied_as_they_are(old, capsys):
    text = b'\n{"a": "1", "b": "2"}\r\n{"c": "3"}'
    (old / "custom_prompts.jsonl").write_bytes(text)
    assert run(capsys, old)[0] == 0
    assert Path("data/custom_prompts.jsonl").read_bytes() == text


def test_only_prompts_that_are_missing_are_added(old, capsys):
    Path("data").mkdir()
    Path("data/custom_prompts.jsonl").write_text('{"mine": "1"}\n{"b": "2"}')
    (old / "custom_prompts.jsonl").write_text('{"a": "1"}\n{"b": "2"}\nnot one\n{"d": ""}\n["e"]\n')
    status, report = run(capsys, old)
    assert status == 0
    added = f"custom_prompts.jsonl: 1 custom prompts, added to {Path('data/custom_prompts.jsonl')}."
    assert ("taken", added) in report
    (wrong,) = [text for outcome, text in report if outcome == "left" and text.startswith("custom_prompts")]
    reason = "is not a JSON object of texts"
    assert wrong == f"custom_prompts.jsonl: line 3 {reason}; line 4 {reason}; line 5 {reason}."
    assert Path("data/custom_prompts.jsonl").read_text() == '{"mine": "1"}\n{"b": "2"}\n{"a": "1"}\n'
    assert read_custom_prompts(Path("data/custom_prompts.jsonl"))
    before = everything()
    run(capsys, old)
    assert everything() == before


# --- posts ----------------------------------------------------------------------------------------------------


def test_lines_that_are_no_posts_are_counted_and_the_first_named(old, capsys):
    broken = [
        '{"id": 5',
        "[]",
        "null",
        '{"id": "x"}',
        json.dumps(raw(9, blog=None)),
        json.dumps(raw(8, timestamp=None)),
    ]
    bad = [*broken, *["x"] * 1200]
    (old / "data" / "keeper.jsonl").write_bytes(
        b"\xef\xbb\xbf" + lines(raw(1), "", *bad, raw(2)).encode() + b'{"id": 7, "blo'
    )
    status, report = run(capsys, old)
    assert status == 0, "what is broken was of no use"
    assert ("taken", "data/keeper.jsonl: 2 posts of keeper, 2 of them new.") in report
    (wrong,) = [text for outcome, text in report if outcome == "left" and text.startswith("data/")]
    assert wrong.startswith("data/keeper.jsonl: line 3 is no post; line 4 is no post; line 5 is no post;")
    assert "line 7 does not say which blog it is of; and 1,202 more." in wrong


def test_a_line_without_end_is_left_out(old, capsys, monkeypatch):
    monkeypatch.setattr(moving_in, "_LONGEST_LINE", 2_000)
    exact = json.dumps(raw(4))
    exact += " " * (1_999 - len(exact))
    (old / "data" / "keeper.jsonl").write_text(lines(raw(1), "y" * 9_999, exact, "y" * 2_000, raw(2)) + "y" * 6_000)
    _, report = run(capsys, old)
    assert ("taken", "data/keeper.jsonl: 3 posts of keeper, 3 of them new.") in report
    too_long = "; ".join(f"line {number} is too long" for number in (2, 4, 6))
    assert ("left", f"data/keeper.jsonl: {too_long}.") in report


def test_posts_that_are_here_already_stay_as_they_are(old, capsys):
    async def before():
        database = await Database.open(Path("data/bot.sqlite3"))
        async with database.write() as connection:
            await store.upsert_blog(connection, Blog(UUID, "new-name", "New", "https://x.example/", 9), 5.0)
            newer = moving_in._read_line(json.dumps(raw(2, content=[{"type": "text", "text": "edited"}])).encode())
            assert not isinstance(newer, str)
            await store.save_page(connection, UUID, [newer[1]], 5.0)
            await store.finish_pass(connection, UUID)
        await database.close()

    asyncio.run(before())
    _, report = run(capsys, old)
    assert ("taken", "data/keeper.jsonl: 3 posts of keeper, 2 of them new.") in report
    assert rows("SELECT id, text FROM posts ORDER BY id")[1] == ("2", "edited")
    assert rows("SELECT seen_at FROM posts WHERE id = '2'") == [(5.0,)]
    assert rows("SELECT name, title, post_count, complete, updated_at FROM blogs") == [("new-name", "New", 9, 1, 5.0)]


def test_the_posts_say_whose_they_are_and_not_the_name_of_the_file(old, capsys):
    (old / "data" / "..evil").mkdir()
    (old / "data" / "some thing.jsonl").write_text(lines(raw(7, blog=OTHER, name="other"), raw(8)))
    _, report = run(capsys, old)
    assert ("taken", "data/some thing.jsonl: 2 posts of other, keeper, 2 of them new.") in report
    assert rows("SELECT blog_uuid, count(*) FROM posts GROUP BY 1 ORDER BY 1") == [(UUID, 4), (OTHER, 1)]


def test_blogs_that_are_not_the_owners_are_named_if_that_is_known(old, capsys):
    (old / "data" / "other.jsonl").write_text(lines(raw(7, blog=OTHER, name="other")))
    (old / "data" / "asked.jsonl").write_text(lines(raw(8, blog="t:asked", name="asked")))
    _, report = run(capsys, old)
    assert "note" not in [outcome for outcome, _ in report], "nobody knows yet whose they are"

    async def connect():
        database = await Database.open(Path("data/bot.sqlite3"))
        asked = Blog("t:asked", "asked", "", "")
        async with database.write() as connection:
            await consents.set_own_blogs(connection, [Blog(UUID, "keeper", "", "")])
            await consents.give_consent(connection, asked, "told me", Person(1, "keeper"), now=0.0)
        await database.close()

    asyncio.run(connect())
    _, report = run(capsys, old)
    (note,) = [text for outcome, text in report if outcome == "note"]
    assert note == "Not yours: other. Their posts are purged after 3 days, unless /consent add says who allows them."


ids = st.integers(1, 12)
good_lines = st.builds(
    lambda number, blog, text: raw(number, blog=blog, name=blog[2:], content=[{"type": "text", "text": text}]),
    ids,
    st.sampled_from([UUID, OTHER]),
    st.text(max_size=8),
)
bad_lines = st.one_of(
    st.sampled_from(["", "{", "[]", "null", "7", '"x"', '{"id":', "\x00", '{"id": 4}']),
    st.builds(lambda number: json.dumps(raw(number, blog=None)), ids),
    st.builds(lambda number, cut: json.dumps(raw(number))[: -cut - 1], ids, st.integers(0, 200)),
    st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=20).filter(lambda text: "{" not in text),
)


@settings(max_examples=15, deadline=None)
@given(
    files=st.dictionaries(
        st.sampled_from(["a", "b", "c"]), st.lists(st.one_of(good_lines, bad_lines), max_size=25), min_size=1
    ),
    batch=st.integers(1, 7),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_every_valid_post_is_here_exactly_once(tmp_path_factory, files, batch, newline):
    folder = tmp_path_factory.mktemp("generated")
    (folder / "old" / "data").mkdir(parents=True)
    expected = {}
    for name in sorted(files):
        text = newline.join(line if isinstance(line, str) else json.dumps(line) for line in files[name])
        (folder / "old" / "data" / f"{name}.jsonl").write_bytes(text.encode())
        for line in files[name]:
            if isinstance(line, dict):
                expected.setdefault((line["blog"]["uuid"], str(line["id"])), line)
    new = load_settings(
        folder / "config.toml",
        overrides={
            "data_directory": str(folder / "new"),
            "custom_prompts_file": str(folder / "new" / "custom_prompts.jsonl"),
            "training_data_file": str(folder / "new" / "training_data.jsonl"),
        },
        environment={},
        secrets_directory=None,
    )

    async def take():
        return [note async for note in moving_in.move_in(folder / "old", new, folder / "config.toml")]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moving_in, "_BATCH", batch)
        notes = asyncio.run(take())
        database = folder / "new" / "bot.sqlite3"
        found = rows("SELECT blog_uuid, id, raw FROM posts", database)
        assert {(blog, number): json.loads(text) for blog, number, text in found} == expected
        assert len(found) == len(expected)
        assert not [note for note in notes if note.outcome is moving_in.Outcome.FAILED]
        before = rows("SELECT * FROM posts ORDER BY 1, 2", database), rows("SELECT * FROM blogs ORDER BY 1", database)
        again = asyncio.run(take())
        after = rows("SELECT * FROM posts ORDER BY 1, 2", database), rows("SELECT * FROM blogs ORDER BY 1", database)
    assert after == before
    assert moving_in.Outcome.TAKEN not in [note.outcome for note in again]


async def test_an_import_that_is_stopped_goes_on_where_it_was(old, monkeypatch):
    (old / "data" / "keeper.jsonl").write_text(lines(*(raw(number) for number in range(1, 101))))
    monkeypatch.setattr(moving_in, "_BATCH", 10)
    read = moving_in._read_line

    def slowly(line):
        time.sleep(0.01)
        return read(line)

    monkeypatch.setattr(moving_in, "_read_line", slowly)
    new = load_settings(Path("config.toml"), environment={}, secrets_directory=None)

    async def take():
        return [note.text async for note in moving_in.move_in(old, new, Path("config.toml"))]

    before = 0
    for seconds in (0.0, 0.1, 0.3, 0.3):
        task = asyncio.ensure_future(take())
        await asyncio.sleep(seconds)
        task.cancel()  # a generator that is at work in a thread, say
        with pytest.raises(asyncio.CancelledError):
            await task
        now = post_count()
        assert now % 10 == 0, "whole batches"
        assert now >= before
        before = now
    assert f"data/keeper.jsonl: 100 posts of keeper, {100 - before} of them new." in await take()
    assert rows("SELECT count(*) FROM posts") == [(100,)]


# --- folders that will not do ---------------------------------------------------------------------------------


def test_what_is_no_folder_of_tumblrbots(old, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for folder, sentence in (
        (tmp_path / "gone", "There is no folder "),
        (tmp_path / "file", "file is no folder."),
        (tmp_path / "empty", "There is nothing of tumblrbot in "),
    ):
        status, said = run(capsys, folder)
        assert status == 1
        assert sentence in said
        assert "Give the folder in which tumblrbot was used" in said
    assert not Path("data").exists(), "nothing was made for it"


def test_our_own_data_folder_is_refused(old, capsys):
    run(capsys, old)
    before = everything()
    status, said = run(capsys, "data")
    assert (status, "this bot's own data folder" in str(said)) == (1, True)
    assert everything() == before


def test_a_running_bot_holds_the_database_and_nothing_is_taken(old, capsys):
    async def hold():
        database = await Database.open(Path("data/bot.sqlite3"))
        async with database.write() as connection:
            await set_fact(connection, "x", "y")
        try:
            return await asyncio.to_thread(run, capsys, old)
        finally:
            await database.close()

    status, said = asyncio.run(hold())
    assert status == 1
    assert "Another bot is already using" in said
    assert Path("config.toml").read_text() == example_text()
    assert not Path("data/secrets.toml").exists()
    assert not Path("data/custom_prompts.jsonl").exists()


@pytest.mark.skipif(os.name != "posix", reason="links and pipes as Unix has them")
def test_nothing_that_leads_out_of_the_folder_is_read(old, tmp_path, capsys):
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("tokens.toml", "custom_prompts.jsonl", "data/keeper.jsonl"):
        (old / name).rename(outside / Path(name).name)
        (old / name).symlink_to(outside / Path(name).name)
    (old / "data" / "loop.jsonl").symlink_to("loop.jsonl")
    os.mkfifo(old / "data" / "pipe.jsonl")
    (old / "data" / "folder.jsonl").mkdir()
    (old / "data" / "inside.jsonl").symlink_to("real.jsonl")
    (old / "data" / "real.jsonl").write_text(lines(raw(1)))
    status, report = run(capsys, old)
    assert status == 1
    assert [text for outcome, text in report if outcome == "failed"] == [
        "tokens.toml: it leads out of the folder, so it was not read.",
        "custom_prompts.jsonl: it leads out of the folder, so it was not read.",
        "data/folder.jsonl: it is no ordinary file.",
        "data/keeper.jsonl: it leads out of the folder, so it was not read.",
        "data/loop.jsonl: it is no ordinary file.",
        "data/pipe.jsonl: it is no ordinary file.",
    ]
    assert not Path("data/secrets.toml").exists()
    assert rows("SELECT id FROM posts") == [("1",)]


@pytest.mark.parametrize("name", ["../outside", "/etc", "data/../../outside", "a\\u0000b"])
def test_a_data_directory_elsewhere_is_not_followed(old, tmp_path, capsys, name):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "keeper.jsonl").write_text(lines(raw(1)))
    (old / "config.toml").write_text(f'data_directory = "{name}"\ncustom_prompts_file = "{name}/keeper.jsonl"\n')
    status, report = run(capsys, old)
    assert status == 1
    assert len([text for outcome, text in report if outcome == "failed" and "leads out of the folder" in text]) == 2
    assert rows("SELECT count(*) FROM posts") == [(0,)]


def test_a_folder_may_itself_be_a_link(old, tmp_path, capsys):
    (tmp_path / "link").symlink_to(old)
    assert run(capsys, tmp_path / "link")[0] == 0
    assert rows("SELECT count(*) FROM posts") == [(3,)]


def test_a_file_that_cannot_be_read_fails_and_the_others_are_taken(old, capsys, monkeypatch):
    (old / "data" / "locked.jsonl").write_text(lines(raw(9)))
    real = Path.open

    def refuse(self, *arguments, **more):
        if self.name in {"locked.jsonl", "custom_prompts.jsonl"}:
            raise PermissionError(13, "Permission denied")
        return real(self, *arguments, **more)

    monkeypatch.setattr(Path, "open", refuse)
    status, report = run(capsys, old)
    assert status == 1
    assert ("failed", "data/locked.jsonl cannot be read to its end (permission denied).") in report
    assert next(text.split(":")[0] for outcome, text in report if outcome == "failed") == "custom_prompts.jsonl"
    assert ("taken", "data/keeper.jsonl: 3 posts of keeper, 3 of them new.") in report


def test_names_cannot_command_the_terminal(old, capsys):
    name = "evil\x1b[31m.jsonl"
    (old / "data" / name).write_text(lines(raw(1, name="k\x1b[2Jeeper")))
    (old / "config.toml").write_text('"a\\u001b[31m" = 1\n')
    capsys.readouterr()
    main(["import", str(old)])
    assert "\x1b" not in capsys.readouterr().out
