"""`import`: take over what the command-line tool *tumblrbot* has left in a folder.

Such a folder holds `config.toml`, `tokens.toml`, `custom_prompts.jsonl`, the examples, and in `data/` a file for each
blog, with a post of Tumblr's JSON on each line. Nothing in it is changed, and nothing that leads out of it is read.
What is here already stays: an import that is run again, or goes on after a kill, adds only what is missing.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import os
import time
import tomllib
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import msgspec

from bot.config import (
    SECRETS_FILE,
    Settings,
    options,
    plain,
    problems_with,
    read_options,
    replace_file,
    write_options,
    write_secrets,
)
from bot.errors import BotError, SettingsError
from bot.posts import Blog, Post, Rejection
from bot.store import consents
from bot.store import posts as store
from bot.store.database import Database, carry_through
from bot.tumblr.npf import read_post
from bot.tumblr.values import as_mapping, as_text, as_web_address, decode_leniently
from bot.words import in_system_words

_BATCH = 500  # posts in one transaction
_LONGEST_LINE = 16 * 1024 * 1024  # bytes; Tumblr's longest post has one
_MOST_SHOWN = 5  # of the lines that are no posts
_LONGEST_PATH = 200  # characters that are shown
_LOGGED = 20_000  # posts between two lines of the log

_DATA = "data"
_PROMPTS = "custom_prompts.jsonl"
_EXAMPLES = ("training_data.jsonl", "examples.jsonl")
_OUR_PATHS = ("data_directory", "custom_prompts_file", "training_data_file")

# What versions of tumblrbot called the keys, in tokens.toml or in its [tumblr].
_TUMBLR_NAMES = {
    "consumer_key": "tumblr.consumer_key",
    "consumer_secret": "tumblr.consumer_secret",
    "client_key": "tumblr.consumer_key",
    "client_secret": "tumblr.consumer_secret",
    "oauth_token": "tumblr.oauth_token",
    "oauth_secret": "tumblr.oauth_token_secret",
    "oauth_token_secret": "tumblr.oauth_token_secret",
    "resource_owner_key": "tumblr.oauth_token",
    "resource_owner_secret": "tumblr.oauth_token_secret",
}


_log = logging.getLogger(__name__)


class Outcome(StrEnum):
    TAKEN = "taken"
    SAME = "same"
    """It is here already."""
    LEFT = "left"
    """Of no use here."""
    FAILED = "failed"
    """It would have been of use."""
    NOTE = "note"
    """What a person should know of something that was taken."""


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the report; no secret is in it."""

    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder of tumblrbot's: where it really is, and what its `config.toml` says."""

    home: Path
    options: Mapping[str, object] = field(default_factory=dict[str, object])

    def find(self, name: str) -> Path | None:
        """Where a name in the folder leads; None if that is outside of it."""
        try:
            path = Path(os.path.realpath(self.home / name))
        except ValueError:  # a NUL in it
            return None
        return path if path.is_relative_to(self.home) else None

    def named(self, option: str, default: str) -> str:
        """The file name that an option of the folder's own settings gives."""
        value = self.options.get(option)
        return value if isinstance(value, str) and value.strip() else default


async def move_in(
    folder: Path, settings: Settings, settings_path: Path, *, clock: Callable[[], float] = time.time
) -> AsyncGenerator[Note, None]:
    """Take over a folder of tumblrbot's, and say of each thing what became of it. To be read to its end.

    Raises:
        BotError: it is no such folder, or the database cannot be used (a running bot holds it). Nothing was taken.
    """
    old = await asyncio.to_thread(_open_folder, folder, settings)
    database = await Database.open(settings.database_file)
    try:
        old, notes = await asyncio.to_thread(_take_options, old, settings_path)
        for note in notes:
            yield note
        for note in await asyncio.to_thread(_take_tokens, old, settings):
            yield note
        for note in await asyncio.to_thread(_take_prompts, old, settings):
            yield note
        async with aclosing(_take_posts(old, settings, database, clock)) as posts:
            async for note in posts:
                yield note
        for note in await asyncio.to_thread(_leave_examples, old, settings):
            yield note
    finally:
        await database.close()


def _open_folder(folder: Path, settings: Settings) -> _Folder:
    wanted = "Give the folder in which tumblrbot was used: the one with its config.toml."
    shown = plain(str(folder), most=_LONGEST_PATH)
    home = Path(os.path.realpath(folder))
    try:
        names = {path.name for path in home.iterdir()}
    except FileNotFoundError:
        raise BotError(f"There is no folder {shown}.", wanted) from None
    except NotADirectoryError:
        raise BotError(f"{shown} is no folder.", wanted) from None
    except OSError as error:
        raise BotError(f"{shown} cannot be read ({in_system_words(error)}).", "Correct who may read it.") from None
    if home == Path(os.path.realpath(settings.data_directory)):
        raise BotError(f"{shown} is this bot's own data folder.", wanted)
    if not names & {"config.toml", "tokens.toml", _PROMPTS, _DATA}:
        raise BotError(f"There is nothing of tumblrbot in {shown}.", wanted)
    return _Folder(home)


# --- settings -------------------------------------------------------------------------------------------------


def _take_options(old: _Folder, settings_path: Path) -> tuple[_Folder, list[Note]]:
    """The folder with what its settings say, and what became of them."""
    name = "config.toml"
    path, problem = _readable(old, name)
    if path is None:
        return old, [Note(*problem)] if problem else [Note(Outcome.LEFT, f"{name}: there is none.")]
    try:
        written = read_options(path)
    except SettingsError as error:
        return old, [Note(Outcome.FAILED, " ".join(error.problems))]
    old = _Folder(old.home, written)
    if path == Path(os.path.realpath(settings_path)):
        return old, [Note(Outcome.SAME, f"{name}: it is this bot's own already.")]
    notes: list[Note] = []
    known = {each: value for each, value in written.items() if each in options() and not options()[each].is_secret}
    values = {each: value for each, value in known.items() if each not in _OUR_PATHS and value not in ("", [])}
    wrong = problems_with(values)
    try:
        changed = write_options(settings_path, {each: values[each] for each in values if each not in wrong})
    except SettingsError as error:
        notes += [Note(Outcome.FAILED, f"{name}: {problem}") for problem in error.problems]
    else:
        taken = f"took {', '.join(changed)}." if changed else "what it sets is set here already."
        notes.append(Note(Outcome.TAKEN if changed else Outcome.SAME, f"{name}: {taken}"))
    notes += [Note(Outcome.LEFT, f"{name}: {line}") for line in wrong.values()]
    if unknown := [plain(each) for each in written if each not in options()]:
        notes.append(Note(Outcome.LEFT, f"{name}: no options of this bot: {', '.join(unknown)}."))
    if keys := [each for each, value in written.items() if each in options() and each not in known and value != ""]:
        notes.append(Note(Outcome.LEFT, f"{name}: secrets are not taken from there: {', '.join(keys)}."))
    if paths := [each for each in _OUR_PATHS if each in written]:
        notes.append(Note(Outcome.LEFT, f"{name}: this bot keeps its own {' and '.join(paths)}."))
    return old, notes


# --- keys -----------------------------------------------------------------------------------------------------


def _take_tokens(old: _Folder, settings: Settings) -> list[Note]:
    name = "tokens.toml"
    path, problem = _readable(old, name)
    if path is None:
        return [Note(*problem)] if problem else [Note(Outcome.LEFT, f"{name}: there is none.")]
    try:
        written: dict[str, object] = tomllib.loads(path.read_bytes().removeprefix(codecs.BOM_UTF8).decode())
    except OSError as error:
        return [Note(Outcome.FAILED, f"{name} cannot be read ({in_system_words(error)}).")]
    except ValueError:  # broken TOML or broken text; its message could show a key
        return [Note(Outcome.FAILED, f"{name} cannot be read: it is not TOML.")]
    found, others = _keys_in(written)
    notes: list[Note] = []
    for section in ("openai", "tumblr"):
        theirs = {each: value for each, value in found.items() if each.startswith(section)}
        if theirs:
            notes.append(_take_keys(name, theirs, settings))
    if others:
        notes.append(
            Note(
                Outcome.LEFT,
                f"{name}: not used here: {', '.join(others)}. Tokens of OAuth 2 are of no use; connect the account with"
                " /connect tumblr or `python3 -m bot setup`.",
            )
        )
    return notes or [Note(Outcome.LEFT, f"{name}: there is no key in it.")]


def _keys_in(written: Mapping[str, object]) -> tuple[dict[str, str], list[str]]:
    """The keys, by our names for them, and the names of what else is set there."""
    found: dict[str, str] = {}
    others: list[str] = []
    names = {f"tumblr_{name}": ours for name, ours in _TUMBLR_NAMES.items()} | {"openai_api_key": "openai.api_key"}
    tumblr = as_mapping(written.get("tumblr"))
    given = [(name, names.get(name), value) for name, value in written.items() if value is not tumblr]
    given += [(f"tumblr.{name}", _TUMBLR_NAMES.get(name), value) for name, value in tumblr.items()]
    for name, ours, value in given:
        text = as_text(value).strip()
        if ours is not None and text:
            found.setdefault(ours, text)
        elif ours is None and value not in ("", {}, [], None):
            others.append(plain(name))
    return found, others


def _take_keys(name: str, theirs: Mapping[str, str], settings: Settings) -> Note:
    """Keep keys that belong together, unless others are set here: those of two applications do not mix."""
    shown = ", ".join(theirs)
    section = next(iter(theirs)).partition(".")[0]
    ours = {each: _secret(settings, each) for each in options() if each in _SECRETS and each.startswith(section)}
    if any(value and theirs.get(each) != value for each, value in ours.items()):
        return Note(Outcome.LEFT, f"{name}: others are set here already, so these were not taken: {shown}.")
    missing = {each: value for each, value in theirs.items() if not ours[each]}
    if not missing:
        return Note(Outcome.SAME, f"{name}: {shown}.")
    try:
        write_secrets(settings.data_directory, missing)
    except SettingsError as error:
        return Note(Outcome.FAILED, f"{name}: {' '.join(error.problems)}")
    return Note(Outcome.TAKEN, f"{name}: {', '.join(missing)}, into {settings.data_directory / SECRETS_FILE}.")


_SECRETS = frozenset({"openai.api_key", *_TUMBLR_NAMES.values()})


def _secret(settings: Settings, name: str) -> str:
    secrets = {
        "openai.api_key": settings.openai.api_key,
        "tumblr.consumer_key": settings.tumblr.consumer_key,
        "tumblr.consumer_secret": settings.tumblr.consumer_secret,
        "tumblr.oauth_token": settings.tumblr.oauth_token,
        "tumblr.oauth_token_secret": settings.tumblr.oauth_token_secret,
    }
    return secrets[name].get_secret_value()


# --- custom prompts -------------------------------------------------------------------------------------------


def _take_prompts(old: _Folder, settings: Settings) -> list[Note]:
    name = old.named("custom_prompts_file", _PROMPTS)
    path, problem = _readable(old, name)
    shown = plain(name)
    if path is None:
        return [Note(*problem)] if problem else []
    target = settings.custom_prompts_file
    if path == Path(os.path.realpath(target)):
        return [Note(Outcome.SAME, f"{shown}: it is this bot's own already.")]
    try:
        theirs = path.read_bytes().removeprefix(codecs.BOM_UTF8)
        ours = target.read_bytes() if target.exists() else b""
    except OSError as error:
        return [Note(Outcome.FAILED, f"{shown}: it, or {target}, cannot be read ({in_system_words(error)}).")]
    lines = [line.strip() for line in theirs.splitlines()]
    wrong = [number for number, line in enumerate(lines, 1) if line and not _is_prompt(line)]
    good = [line for number, line in enumerate(lines, 1) if line and number not in set(wrong)]
    here = {line.strip() for line in ours.removeprefix(codecs.BOM_UTF8).splitlines()}
    missing = [line for line in dict.fromkeys(good) if line not in here]
    notes: list[Note] = []
    if missing:
        gap = b"" if not ours or ours.endswith(b"\n") else b"\n"
        # Into a file that is not there, a file without mistakes is copied as it is.
        text = theirs if not ours and not wrong else ours + gap + b"\n".join(missing) + b"\n"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(target, b"", text.decode())
        except (OSError, UnicodeDecodeError) as error:
            return [Note(Outcome.FAILED, f"{shown}: {target} cannot be written ({in_system_words(error)}).")]
        what = f"{len(missing):,} custom prompts, added to {target}" if ours else f"custom prompts, copied to {target}"
        notes.append(Note(Outcome.TAKEN, f"{shown}: {what}."))
    elif good:
        notes.append(Note(Outcome.SAME, f"{shown}: every prompt is in {target} already."))
    if wrong:
        notes.append(Note(Outcome.LEFT, f"{shown}: {_lines(dict.fromkeys(wrong, 'is not a JSON object of texts'))}."))
    return notes or [Note(Outcome.LEFT, f"{shown}: it is empty.")]


def _is_prompt(line: bytes) -> bool:
    try:
        found = msgspec.json.decode(line, type=dict[str, str])
    except (ValueError, RecursionError):
        return False
    return bool(found) and all(user.strip() and answer.strip() for user, answer in found.items())


# --- posts ----------------------------------------------------------------------------------------------------


class _Owner(msgspec.Struct):
    blog: object = None


_owner_decoder = msgspec.json.Decoder(_Owner)


@dataclass(slots=True)
class _Tally:
    """What one file held. `wrong` has the first lines that were no posts, and why."""

    posts: int = 0
    new: int = 0
    wrong: dict[int, str] = field(default_factory=dict[int, str])
    wrong_count: int = 0
    blogs: dict[str, str] = field(default_factory=dict[str, str])

    def skip(self, number: int, reason: str) -> None:
        self.wrong_count += 1
        if len(self.wrong) < _MOST_SHOWN:
            self.wrong[number] = reason


async def _take_posts(
    old: _Folder, settings: Settings, database: Database, clock: Callable[[], float]
) -> AsyncGenerator[Note, None]:
    name = old.named("data_directory", _DATA)
    files, notes = await asyncio.to_thread(_post_files, old, name, settings)
    for note in notes:
        yield note
    # A blog that is here has a newer description than an old file; one that comes with these files has only theirs.
    known = {blog.uuid for blog in await store.blogs(database)}
    imported: dict[str, str] = {}
    for label, path in files:
        tally = _Tally()
        failure: OSError | None = None
        batches = _batches(path, tally)
        try:
            # To its end even when this is cancelled: a generator that is at work cannot be closed.
            while batch := await carry_through(asyncio.to_thread(next, batches, None)):
                tally.new += await _save(database, batch, known, clock())
                if tally.posts % _LOGGED == 0:
                    _log.info("%s: %s posts so far.", label, f"{tally.posts:,}")
        except OSError as error:
            failure = error
        finally:
            batches.close()
        imported |= tally.blogs
        for note in _notes_on(label, tally, failure):
            yield note
    for note in await _notes_on_owners(database, imported, settings):
        yield note


def _post_files(old: _Folder, name: str, settings: Settings) -> tuple[list[tuple[str, Path]], list[Note]]:
    """The files of posts with their labels; a name only labels a file, the posts say whose they are."""
    shown = plain(name)
    folder = old.find(name)
    if folder is None:
        return [], [Note(Outcome.FAILED, f"{shown}: it leads out of the folder, so no posts were read from there.")]
    try:
        names = sorted(path.name for path in folder.iterdir() if path.suffix == ".jsonl")
    except (FileNotFoundError, NotADirectoryError):
        return [], [Note(Outcome.LEFT, f"{shown}: there is no such folder, so there are no posts.")]
    except OSError as error:
        return [], [Note(Outcome.FAILED, f"{shown} cannot be read ({in_system_words(error)}).")]
    # In one folder with this bot, or with everything in one place, there are other files beside the posts.
    others = {
        *(Path(os.path.realpath(path)) for path in (settings.custom_prompts_file, settings.training_data_file)),
        *(old.find(each) for each in _example_names(old)),
        old.find(old.named("custom_prompts_file", _PROMPTS)),
    }
    files: list[tuple[str, Path]] = []
    notes: list[Note] = []
    for each in names:
        path, problem = _readable(old, f"{name}/{each}")
        if path is not None and path not in others:
            files.append((plain(f"{name}/{each}"), path))
        elif problem is not None:
            notes.append(Note(*problem))
    if not files and not notes:
        notes.append(Note(Outcome.LEFT, f"{shown}: there are no posts in it."))
    return files, notes


def _batches(path: Path, tally: _Tally) -> Generator[list[tuple[Blog, Post]], None, None]:
    """The posts of a file. What is no post is noted in the tally. Blocks on the disk, and parses."""
    batch: list[tuple[Blog, Post]] = []
    with path.open("rb") as file:
        for number, line in enumerate(_lines_of(file), 1):
            if line is None:
                tally.skip(number, "is too long")
                continue
            line = line.strip().removeprefix(codecs.BOM_UTF8 if number == 1 else b"")  # noqa: PLW2901
            if not line:
                continue
            found = _read_line(line)
            if isinstance(found, str):
                tally.skip(number, found)
                continue
            batch.append(found)
            tally.posts += 1
            tally.blogs[found[0].uuid] = found[0].name
            if len(batch) == _BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _lines_of(file: BinaryIO) -> Iterator[bytes | None]:
    """The lines of a file; None for one that is too long to be a post."""
    while line := file.readline(_LONGEST_LINE):
        if len(line) < _LONGEST_LINE or line.endswith(b"\n"):
            yield line
            continue
        while len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
            line = file.readline(_LONGEST_LINE)
        yield None


def _read_line(line: bytes) -> tuple[Blog, Post] | str:
    """The post in a line, with its blog; or why there is none."""
    try:
        post = read_post(line)
        blog = as_mapping(decode_leniently(_owner_decoder, line).blog)
    except ValueError:
        return "is no post"
    if not post.blog_uuid:
        return "does not say which blog it is of"
    if not post.timestamp and post.rejection is not Rejection.NOT_PUBLISHED:
        return "does not say when it was published"
    title, url = as_text(blog.get("title")), as_web_address(blog.get("url"))
    return Blog(post.blog_uuid, post.blog_name or post.blog_uuid, title, url), post


async def _save(database: Database, batch: Sequence[tuple[Blog, Post]], known: set[str], now: float) -> int:
    """Store those that are not here yet, and return how many; what /download has read stays as it is."""
    blogs = {blog.uuid: blog for blog, _ in batch}
    new = 0
    for uuid, blog in blogs.items():
        posts: dict[str, Post] = {}
        for _, post in batch:
            if post.blog_uuid == uuid:
                posts.setdefault(post.id, post)
        # Nobody else writes: the database is ours alone.
        here = await store.known_ids(database, uuid, posts)
        fresh = [post for post in posts.values() if post.id not in here]
        if not fresh:
            continue
        async with database.write() as connection:
            if uuid not in known:
                await store.upsert_blog(connection, blog, now)
            new += await store.save_page(connection, uuid, fresh, now)
    return new


def _notes_on(label: str, tally: _Tally, failure: OSError | None) -> Iterator[Note]:
    if failure is not None:
        yield Note(Outcome.FAILED, f"{label} cannot be read to its end ({in_system_words(failure)}).")
    if tally.posts:
        whose = ", ".join(plain(name) for name in list(tally.blogs.values())[:_MOST_SHOWN])
        new = f"{tally.new:,} of them new" if tally.new else "all of them here already"
        outcome = Outcome.TAKEN if tally.new else Outcome.SAME
        yield Note(outcome, f"{label}: {tally.posts:,} posts of {whose}, {new}.")
    elif failure is None and not tally.wrong_count:
        yield Note(Outcome.LEFT, f"{label}: it is empty.")
    if tally.wrong_count:
        yield Note(Outcome.LEFT, f"{label}: {_lines(tally.wrong, tally.wrong_count)}.")


async def _notes_on_owners(database: Database, imported: Mapping[str, str], settings: Settings) -> list[Note]:
    """What becomes of posts of other people's blogs, where it is known whose they are."""
    if not await consents.own_blogs(database):
        return []
    async with database.read() as connection:
        others = [name for uuid, name in imported.items() if not await consents.may_keep(connection, uuid)]
    if not others:
        return []
    names = ", ".join(plain(name) for name in others)
    days = settings.retention.other_blogs_days
    return [
        Note(
            Outcome.NOTE,
            f"Not yours: {names}. Their posts are purged after {days} days, unless /consent add says who allows them.",
        )
    ]


# --- what the parts share -------------------------------------------------------------------------------------


def _leave_examples(old: _Folder, settings: Settings) -> list[Note]:
    """The training data of the old tool: they are made anew here."""
    own = Path(os.path.realpath(settings.training_data_file))
    found = [name for name in _example_names(old) if (path := old.find(name)) and path.is_file() and path != own]
    return [Note(Outcome.LEFT, f"{plain(name)}: not needed; /examples makes it anew.") for name in found]


def _example_names(old: _Folder) -> list[str]:
    return list(dict.fromkeys([old.named("training_data_file", _EXAMPLES[0]), *_EXAMPLES]))


def _readable(old: _Folder, name: str) -> tuple[Path | None, tuple[Outcome, str] | None]:
    """Where a file of the folder is; or None, and if there is one, why it is not read."""
    path = old.find(name)
    if path is None:
        return None, (Outcome.FAILED, f"{plain(name)}: it leads out of the folder, so it was not read.")
    try:
        if path.is_file():
            return path, None
        exists = os.path.lexists(old.home / name)
    except OSError as error:
        return None, (Outcome.FAILED, f"{plain(name)} cannot be read ({in_system_words(error)}).")
    return None, (Outcome.FAILED, f"{plain(name)}: it is no ordinary file.") if exists else None


def _lines(wrong: Mapping[int, str], count: int | None = None) -> str:
    """`line 3 is no post; line 9 is too long; and 12 more`, of which some are shown."""
    shown = [f"line {number} {reason}" for number, reason in list(wrong.items())[:_MOST_SHOWN]]
    more = (len(wrong) if count is None else count) - len(shown)
    return "; ".join([*shown, *([f"and {more:,} more"] if more else [])])
