"""training_data.jsonl: what the newest dataset is trained on, as a file that people may read, upload and edit.

The dataset is the truth, and the file follows it. Whoever changes the dataset notes in the same transaction that the
file is behind; the file is written after that, and again at the next start where that was cut off. What a dataset holds
out stands beside it, in a file of its own.

A file that is not as it was written was edited by hand. It is never overwritten before it was taken in as a dataset
(`take_in_edited_file`). One thing is stronger: the words of a post that had to be removed leave an edited file too. For
that, where each line came from is noted when the file is written, and outlasts the post.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import hashlib
import logging
import os
import tempfile
from bisect import bisect
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from bot.errors import BotError, NothingToDo
from bot.examples import FEWEST_EXAMPLES, Dataset, Example, Line, examples_digest, read_line, training_line
from bot.language.tokens import count, count_many
from bot.store import datasets
from bot.store.database import Database, carry_through
from bot.store.datasets import TRAINING_FILE_BEHIND, Part, WrittenFile
from bot.store.facts import clear_mark, get_fact
from bot.store.purge import drop_vanished
from bot.words import in_system_words

_Post = tuple[str, str]  # blog and id
_P = ParamSpec("_P")
_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_PARTS: tuple[Part, ...] = ("training", "held out")
_TOKENS_AROUND = 15  # a chat template spends about four on each message, and three on the answer
_PROBLEMS_SHOWN = 5
_NEAR = 100  # lines on each side, in which the line that was edited is looked for
_EDITED_FROM = 60.0  # rapidfuzz's ratio, from which on a line is an edited one rather than one of the owner's own

# One at a time: who has read the examples earlier must not write the file later.
_turns: WeakKeyDictionary[Database, asyncio.Lock] = WeakKeyDictionary()


def held_out_file(path: Path) -> Path:
    """Where the part stands that is never trained on: training_data.held_out.jsonl beside training_data.jsonl."""
    return path.with_name(f"{path.stem}.held_out{path.suffix}")


def line_tokens(developer_message: str, users: Sequence[str], assistants: Sequence[str]) -> list[int]:
    """How many tokens the line of each question and answer is trained with. CPU work: call it in a thread."""
    # Each message by itself, as the service counts them; the standing prompt is the same in nearly every example.
    standing = count(developer_message) + _TOKENS_AROUND
    asked = {user: standing + count(user) for user in set(users)}
    return [tokens + asked[user] for tokens, user in zip(count_many(assistants), users, strict=True)]


# --- writing --------------------------------------------------------------------------------------------------


async def rewrite_training_file(database: Database, path: Path) -> bool:
    """Write the newest dataset's files; where there is no dataset there are none.

    Returns False where one was edited by hand: it stays as it is, but for the words of posts that were removed.

    Raises:
        BotError: a file cannot be read or written; it stays as it is, and is noted as behind.
    """
    async with _turns.setdefault(database, asyncio.Lock()):
        # To its end even when cancelled: a thread that goes on by itself could end after the next one.
        return await carry_through(_rewrite(database, path))


async def repair_training_file(database: Database, path: Path) -> None:
    """Write the files if they are behind their dataset; remove what a killed process has left. Raises as above."""
    async with _turns.setdefault(database, asyncio.Lock()):
        await carry_through(_repair(database, path))


async def _repair(database: Database, path: Path) -> None:
    # Looked up when it is our turn: who had it before may have written them.
    if await get_fact(database, TRAINING_FILE_BEHIND) is not None:
        await _rewrite(database, path)
    else:
        await asyncio.to_thread(_remove_unfinished, path)


async def _rewrite(database: Database, path: Path) -> bool:
    # The note is read first: whatever is noted after that may not be in the examples, and keeps its note.
    behind = await get_fact(database, TRAINING_FILE_BEHIND)
    dataset = await datasets.newest_dataset(database)
    known = await _known(database)
    standing = await _standing(path)
    edited = _edited(known, standing)
    stays = edited if edited and await _take_out_removed(database, path, known) else []
    if dataset is None:
        await _leave_none(database, path, [part for part in known if part not in stays])
    elif not stays:
        await _writing(path, _remove_unfinished, path)
        if not await _write_anew(database, path, dataset, known, standing):
            return False
    if stays:
        return False
    if behind is not None:
        async with database.write() as connection:
            await clear_mark(connection, TRAINING_FILE_BEHIND, behind)
    return True


async def _write_anew(
    database: Database, path: Path, dataset: Dataset, known: Mapping[Part, WrittenFile], standing: Mapping[Part, str]
) -> bool:
    """Write both files; False where somebody has edited one meanwhile."""
    files: dict[Part, _NewFile] = {}
    try:
        for part in _PARTS:
            file = files[part] = await _writing(path, _NewFile, _path_of(part, path))
            async for page in datasets.pages(database, dataset.id, part):
                await _writing(path, file.add, dataset.developer_message, page)
            await _writing(path, file.finish)
        return await _exchange(database, path, files, known, standing)
    finally:
        for file in files.values():
            file.discard()


async def _leave_none(database: Database, path: Path, parts: Sequence[Part]) -> None:
    """Remove these files, now that there is no dataset. One that was never noted is not among them: it is not ours."""
    await _writing(path, _remove_unfinished, path)
    for part in parts:
        await _writing(path, partial(_path_of(part, path).unlink, missing_ok=True))
    async with database.write() as connection:
        for part in parts:
            await datasets.set_written_file(connection, part, None)


async def _exchange(
    database: Database,
    path: Path,
    files: Mapping[Part, _NewFile],
    known: Mapping[Part, WrittenFile],
    standing: Mapping[Part, str],
) -> bool:
    """Put the finished files in the places of those that stand there; False where somebody has edited one meanwhile.

    What will stand there is noted before and after, so that a process that is killed in between leaves no file that
    looks as if somebody had edited it.
    """
    async with database.write() as connection:
        for part, file in files.items():
            lines = f"{known[part].lines}\n{file.origins}" if part in known else file.origins
            await datasets.set_written_file(connection, part, WrittenFile(file.sha256, standing.get(part), lines))
    if await _standing(path) != standing:
        return False
    # A dataset that holds nothing out has no second file.
    kept: list[Part] = [part for part, file in files.items() if part == "training" or file.origins]
    gone: list[Part] = [part for part in files if part not in kept]
    await _writing(path, put_files, [files[part] for part in kept], [files[part] for part in gone])
    async with database.write() as connection:
        for part, file in files.items():
            written = WrittenFile(file.sha256, None, file.origins) if part in kept else None
            await datasets.set_written_file(connection, part, written)
    return True


def put_files(kept: Iterable[_NewFile], others: Iterable[_NewFile]) -> None:
    """Put the files in their places; where the others would stand there is no file then."""
    for file in kept:
        file.put()
    for file in others:
        file.leave_none()


class _NewFile:
    """A file that is written beside its place, and takes it whole or not at all. Its methods wait for the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        self._temporary = Path(name)
        self._file = os.fdopen(handle, "wb")
        self._hash = hashlib.sha256()
        self._origins: list[str] = []

    def add(self, developer_message: str, examples: Iterable[Example]) -> None:
        for each in examples:
            self._origins.append(_origin(each.assistant, each.blog_uuid, each.post_id))
            self.write(training_line(developer_message, each.user, each.assistant).encode() + b"\n")

    def write(self, content: bytes) -> None:
        self._hash.update(content)
        self._file.write(content)

    def finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def origins(self) -> str:
        return "\n".join(self._origins)

    def put(self) -> None:
        self._temporary.replace(self._path)

    def leave_none(self) -> None:
        self._path.unlink(missing_ok=True)

    def discard(self) -> None:
        with contextlib.suppress(OSError):  # what is left in its buffer has no room on the disk
            self._file.close()
        self._temporary.unlink(missing_ok=True)


def _path_of(part: Part, path: Path) -> Path:
    return path if part == "training" else held_out_file(path)


def _remove_unfinished(path: Path) -> None:
    for part in _PARTS:
        for left in path.parent.glob(f".{_path_of(part, path).name}.*"):
            left.unlink(missing_ok=True)


# --- what was edited ------------------------------------------------------------------------------------------


async def edited_training_file(database: Database, path: Path) -> bool:
    """Whether one of the files is not as the bot has written it: somebody edited it. It costs one reading of them.

    Raises:
        BotError: a file cannot be read.
    """
    async with _turns.setdefault(database, asyncio.Lock()):
        return bool(_edited(await _known(database), await _standing(path)))


async def _known(database: Database) -> dict[Part, WrittenFile]:
    found: dict[Part, WrittenFile] = {}
    for part in _PARTS:
        written = await datasets.written_file(database, part)
        if written is not None:
            found[part] = written
    return found


async def _standing(path: Path) -> dict[Part, str]:
    """The SHA-256 of each file that is there."""
    found: dict[Part, str] = {}
    for part in _PARTS:
        content = await _reading(_path_of(part, path), _sha256)
        if content is not None:
            found[part] = content
    return found


def _edited(known: Mapping[Part, WrittenFile], standing: Mapping[Part, str]) -> list[Part]:
    """Of a file that is missing nothing can be lost, and of one that was never noted nobody can tell."""
    return [
        part
        for part, written in known.items()
        if part in standing and standing[part] not in {written.sha256, written.previous_sha256}
    ]


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


async def _take_out_removed(database: Database, path: Path, known: Mapping[Part, WrittenFile]) -> bool:
    """Take the lines of posts that are gone out of files that were edited by hand.

    A line is known by its answer. False where some cannot be found for certain: such a line is not there as it was,
    and there are lines that are not as they were written, of which it may be one. Then nothing of the edit may stay.
    """
    for part in _edited(known, await _standing(path)):
        file = _path_of(part, path)
        origins = _origins(known[part].lines)
        posts = {post for found in origins.values() for post in found if post is not None}
        removed = posts - await datasets.stored_posts(database, sorted(posts))
        if not removed:
            continue
        content, gone = await _reading(file, partial(_without, origins=origins, removed=removed))
        if content is None:
            _log.warning(
                "%s was edited by hand. It is written anew, because posts had to be removed whose lines may be among"
                " those that were changed.",
                file.name,
            )
            return False
        await _writing(file, _write_over, file, content)
        left = [line for line in known[part].lines.split("\n") if _post_of(line) not in removed]
        async with database.write() as connection:
            await datasets.set_written_file(connection, part, replace(known[part], lines="\n".join(left)))
        _log.warning(
            "%s was edited by hand. %d lines were taken out of it, because their posts had to be removed.",
            file.name,
            gone,
        )
    return True


def _without(
    path: Path, origins: Mapping[str, Sequence[_Post | None]], removed: set[_Post]
) -> tuple[bytes | None, int]:
    """The file without the lines of removed posts, None where that cannot be said for certain; how many they are."""
    lines = [line for line in path.read_bytes().splitlines() if line.strip()]
    hashes = [_hash_of_line(line) for line in lines]
    found = Counter(hashes)
    # Posts of the same words share a hash: of their lines as many stay as posts.
    left = {key: sum(post not in removed for post in posts) for key, posts in origins.items()}
    affected = {key for key, posts in origins.items() if left[key] < len(posts)}
    if found.keys() - origins.keys() and any(found[key] < len(origins[key]) for key in affected):
        return None, 0
    kept: list[bytes] = []
    for line, key in zip(lines, hashes, strict=True):
        if key in affected:
            left[key] -= 1
            if left[key] < 0:
                continue
        kept.append(line)
    return b"".join(line + b"\n" for line in kept), len(lines) - len(kept)


def _write_over(path: Path, content: bytes) -> None:
    file = _NewFile(path)
    try:
        file.write(content)
        file.finish()
        file.put()
    finally:
        file.discard()


# --- taking it in ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of a file that was edited by hand. `other_instructions` counts lines whose own were replaced."""

    dataset_id: int
    lines: int
    other_instructions: int


async def take_in_edited_file(database: Database, path: Path, *, now: float) -> TakenIn | None:
    """Make a dataset of the files, where somebody has edited one; None where nobody has, or it says the same.

    Where a line came from is found again by its answer, or by the line that it was edited from, so that it goes when
    its post does. What the dataset before held out stays held out, unless the owner put it among the lines.

    Raises:
        NothingToDo: a file has lines that cannot be used, or too few; it stays as it is.
        BotError: a file cannot be read or written.
    """
    async with _turns.setdefault(database, asyncio.Lock()):
        return await carry_through(_take_in(database, path, now))


async def _take_in(database: Database, path: Path, now: float) -> TakenIn | None:
    known = await _known(database)
    edited = _edited(known, await _standing(path))
    dataset = await datasets.newest_dataset(database)
    if not edited or dataset is None:
        return None
    if await get_fact(database, TRAINING_FILE_BEHIND) is not None:
        if not await _take_out_removed(database, path, known):
            await _rewrite(database, path)
            return None
        known = await _known(database)
    taken = {part: await _reading(_path_of(part, path), _read_edited) for part in edited}
    parts: dict[Part, list[Example]] = {}
    for part in _PARTS:
        parts[part] = [each async for page in datasets.pages(database, dataset.id, part) for each in page]
        if part in taken:
            parts[part] = await _as_examples(database, taken[part].lines, parts[part], known[part].lines)
    training = parts["training"]
    if len(training) < FEWEST_EXAMPLES:
        raise NothingToDo(
            f"{path.name} was edited by hand and has only {len(training)} lines; training needs at least"
            f" {FEWEST_EXAMPLES}.",
            "Add lines to it, or delete the file: then it is written anew.",
        )
    answers = {each.assistant for each in training}
    held_out = [each for each in parts["held out"] if each.assistant not in answers]
    lines = [line for part in edited for line in taken[part].lines]
    developer_message = _most_frequent((line.developer for line in lines), dataset.developer_message)
    user_message = _most_frequent((each.user for each in training), dataset.user_message)
    examples = await asyncio.to_thread(_counted, developer_message, training, held_out)
    digest = await asyncio.to_thread(examples_digest, developer_message, user_message, examples)
    number = dataset.id
    async with database.write() as connection:
        if digest != dataset.digest:
            number = await datasets.add_dataset(
                connection,
                digest=digest,
                developer_message=developer_message,
                user_message=user_message,
                settings={"file": path.name, "edited_from": dataset.id},
                examples=examples,
                now=now,
                source="file",
            )
            await drop_vanished(connection, number)
        # Taken in as it was read: from here on it may be written over, unless somebody edits it again.
        for part in edited:
            await datasets.set_written_file(connection, part, replace(known[part], sha256=taken[part].sha256))
    await _rewrite(database, path)
    if number == dataset.id:
        return None
    other = sum(line.developer != developer_message for line in lines)
    return TakenIn(number, len(training), other)


@dataclass(frozen=True, slots=True)
class _Read:
    """A file as it was read, once."""

    sha256: str
    lines: list[Line]


def _read_edited(path: Path) -> _Read:
    content = path.read_bytes()
    lines: list[Line] = []
    problems: list[str] = []
    for number, line in enumerate(content.removeprefix(codecs.BOM_UTF8).splitlines(), 1):
        if not line.strip():
            continue
        try:
            lines.append(read_line(line))
        except ValueError as error:
            problems.append(f"line {number} {error}")
    if problems:
        raise NothingToDo(
            f"{path.name} was edited by hand and cannot be used: {listed(problems)}.",
            "Correct these lines, or delete the file: then it is written anew. Nothing was written over.",
        )
    return _Read(hashlib.sha256(content).hexdigest(), lines)


def listed(problems: Sequence[str]) -> str:
    """The first few problems of a file's lines, and how many more there are."""
    more = len(problems) - _PROBLEMS_SHOWN
    shown = "; ".join(problems[:_PROBLEMS_SHOWN])
    return f"{shown}; and {more:,} more" if more > 0 else shown


async def _as_examples(
    database: Database, lines: Sequence[Line], was: Sequence[Example], origins: str
) -> list[Example]:
    """The lines as examples, each with the post that it came from as far as that can be told."""
    found, gone = await asyncio.to_thread(_unchanged, lines, origins)
    unknown = [place for place in range(len(lines)) if place not in found]
    same = await datasets.posts_of_texts(database, sorted({lines[place].assistant for place in unknown}))
    found |= {place: same[lines[place].assistant] for place in unknown if lines[place].assistant in same}
    missing = [(place, each) for place, each in enumerate(was) if _hash_of(each.assistant) in gone]
    found |= await asyncio.to_thread(_changed, lines, [place for place in unknown if place not in found], missing)
    posts = (found.get(place) or (None, None) for place in range(len(lines)))
    return [Example(line.user, line.assistant, 0, *post) for line, post in zip(lines, posts, strict=True)]


def _unchanged(lines: Sequence[Line], origins: str) -> tuple[dict[int, _Post | None], set[str]]:
    """The posts of those lines that are as they were written, by their places; the hashes of what is missing."""
    left = {key: deque(posts) for key, posts in _origins(origins).items()}
    found: dict[int, _Post | None] = {}
    for place, line in enumerate(lines):
        if posts := left.get(_hash_of(line.assistant)):
            found[place] = posts.popleft()
    return found, {key for key, posts in left.items() if posts}


def _changed(
    lines: Sequence[Line], unknown: Sequence[int], missing: Sequence[tuple[int, Example]]
) -> dict[int, _Post | None]:
    """The posts of those lines that are much like one that is missing, by their places.

    It is looked for around the place where it stood: lines that were put in or taken out move the others only a little.
    """
    from rapidfuzz import fuzz, process  # noqa: PLC0415 - 4 MB that wait for the first edited line

    places = [place for place, _ in missing]
    texts = [each.assistant for _, each in missing]
    found: dict[int, _Post | None] = {}
    for place in unknown:
        middle = bisect(places, place)
        first = max(0, middle - _NEAR)
        near = texts[first : middle + _NEAR]
        like = process.extractOne(lines[place].assistant, near, scorer=fuzz.ratio, score_cutoff=_EDITED_FROM)
        if like is not None:
            example = missing[first + like[2]][1]
            found[place] = (example.blog_uuid, example.post_id) if example.blog_uuid and example.post_id else None
    return found


def _counted(developer_message: str, training: Sequence[Example], held_out: Sequence[Example]) -> list[Example]:
    examples = [*training, *held_out]
    tokens = line_tokens(developer_message, [each.user for each in examples], [each.assistant for each in examples])
    return [
        Example(each.user, each.assistant, length, each.blog_uuid, each.post_id, held_out=place >= len(training))
        for place, (each, length) in enumerate(zip(examples, tokens, strict=True))
    ]


def _most_frequent(texts: Iterable[str], otherwise: str) -> str:
    """The text that occurs most; `otherwise` where it is among those, or no text occurs twice."""
    counts = Counter(texts)
    most = max(counts.values(), default=0)
    if most <= 1 or counts[otherwise] == most:
        return otherwise
    return next(text for text, times in counts.items() if times == most)


# --- where lines came from ------------------------------------------------------------------------------------


def _origin(answer: str, blog_uuid: str | None, post_id: str | None) -> str:
    return f"{_hash_of(answer)} {blog_uuid} {post_id}" if blog_uuid and post_id else _hash_of(answer)


def _post_of(origin: str) -> _Post | None:
    _, *post = origin.split(" ")
    return (post[0], post[1]) if post else None


def _origins(lines: str) -> dict[str, list[_Post | None]]:
    """By the hash of an answer the posts it came from; None for an example of no post."""
    found: defaultdict[str, list[_Post | None]] = defaultdict(list)
    for line in lines.split("\n"):
        if line:
            found[line.partition(" ")[0]].append(_post_of(line))
    return found


def _hash_of(answer: str) -> str:
    return hashlib.blake2b(answer.encode(errors="replace"), digest_size=8).hexdigest()


def _hash_of_line(line: bytes) -> str | None:
    try:
        return _hash_of(read_line(line).assistant)
    except ValueError:
        return None


async def _writing(path: Path, work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Wait for the disk in a thread."""
    try:
        return await asyncio.to_thread(work, *arguments, **named)
    except OSError as error:
        raise BotError(
            f"{path.name} cannot be written ({in_system_words(error)}), so it stays as it was, with what was removed.",
            "Make room on its disk, or make its folder writable; the bot tries again by itself.",
        ) from error


async def _reading(path: Path, work: Callable[[Path], _T]) -> _T:
    """Wait for the disk in a thread."""
    try:
        return await asyncio.to_thread(work, path)
    except OSError as error:
        raise BotError(
            f"{path.name} cannot be read ({in_system_words(error)}), so nobody can tell whether it was edited by hand.",
            "Make it readable for the bot, or delete it: then it is written anew.",
        ) from error
