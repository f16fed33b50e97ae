"""Training data as values: an example, a dataset, the lines they make, and the patterns that keep posts out."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import msgspec

if TYPE_CHECKING:
    import regex

FEWEST_EXAMPLES = 10
"""OpenAI's files API refuses less."""

MARKER = re.compile(r"<\|[^|]*\|>")
"""What a model's own markers look like: `<|endoftext|>`. One of them inside a text fails a whole training."""

_encoder = msgspec.json.Encoder()
_HALF_A_CHARACTER = re.compile(r"[\ud800-\udfff]")  # JSON can carry it, UTF-8 cannot
# regex writes `(?:a{1000}){1000}` out when it compiles it: ten times this would take more memory than the whole bot.
_MOST_REPEATED = 100_000
_REPEATED = re.compile(r"\{(\d{1,20})(?:,\d*)?\}", re.ASCII)
_QUESTION_ROLES = (["developer", "user", "assistant"], ["system", "user", "assistant"], ["user", "assistant"])


# gc=False: with a hundred thousand of them in hand, each full garbage collection would stop the whole bot for 0.2 s.
class Example(msgspec.Struct, frozen=True, gc=False):
    """One line of training data. `blog_uuid` and `post_id` are None for a custom prompt; `tokens` is its length."""

    user: str
    assistant: str
    tokens: int
    blog_uuid: str | None = None
    post_id: str | None = None
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class Dataset:
    """A numbered, frozen set of examples. `tokens` counts one epoch of the part that is trained on."""

    id: int
    created_at: float
    digest: str
    developer_message: str
    user_message: str
    tokens: int
    training_count: int
    held_out_count: int
    set_aside_count: int
    screened_with: str | None
    source: Literal["posts", "file"] = "posts"
    """`file`: it was taken in from a training file that somebody had edited by hand."""


def break_markers(text: str) -> str:
    """`text` without a model's own markers: `<|endoftext|>` and the like inside a post fail a whole training."""
    return text.replace("<|", "< |").replace("|>", "| >")


def examples_digest(developer_message: str, user_message: str, examples: Iterable[Example]) -> str:
    """What tells a dataset from one with other words, or another held-out part. CPU work: call it in a thread."""
    hashed = hashlib.sha256(_encoder.encode((developer_message, user_message)))
    for example in examples:
        hashed.update(_encoder.encode((example.user, example.assistant, example.held_out)))
    return hashed.hexdigest()


class _Message(msgspec.Struct, gc=False):
    role: str
    content: str


def training_line(
    developer_message: str, user: str, assistant: str, *, role: Literal["developer", "system"] = "developer"
) -> str:
    """One JSON line as OpenAI's fine-tuning wants it, without the line break. No instructions make no message.

    `role` is what the service at hand calls the one that gives the instructions.
    """
    messages = [_Message("user", user), _Message("assistant", assistant)]
    if developer_message:
        messages.insert(0, _Message(role, developer_message))
    return _encoder.encode({"messages": messages}).decode()


class Line(msgspec.Struct, frozen=True, gc=False):
    """A line of training data, read. `developer` is empty where the line has no such message."""

    developer: str
    user: str
    assistant: str


def read_line(line: bytes) -> Line:
    """One line of a training file.

    Raises:
        ValueError: with everything that is wrong with it, in words that follow "line 5".
    """
    problems, read = _look_at(line)
    if problems or read is None:
        raise ValueError(", ".join(problems))
    return read


def format_problems(line: str | bytes) -> list[str]:
    """What keeps OpenAI's fine-tuning from taking this line, in words that follow "line 5"; empty for a good one.

    It is stricter than the service in one way: a line is one question and one answer, as all of ours are.
    """
    return _look_at(line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass"))[0]


def _look_at(line: bytes) -> tuple[list[str], Line | None]:
    try:
        text = line.decode("utf-8")
        found: object = json.loads(text)
    except UnicodeDecodeError:
        return ["is not UTF-8 text"], None
    except (ValueError, RecursionError):
        return ["is not JSON"], None
    if not isinstance(found, dict) or "messages" not in found:
        return ['is not an object with "messages"'], None
    fields = cast("dict[str, object]", found)
    problems = [f"has {key!r}, which is not known here" for key in fields if key != "messages"]
    messages = fields["messages"]
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in cast("list[object]", messages)):
        return [*problems, "has messages that are no list of objects"], None
    given = cast("list[dict[str, object]]", messages)
    if [each.get("role") for each in given] not in _QUESTION_ROLES:
        return [
            *problems,
            "has other roles than one developer or system (or none), one user, and one assistant at the end",
        ], None
    contents: list[str] = []
    for each in given:
        role = each["role"]
        problems += [f"has {key!r} in a message, which is not known here" for key in each.keys() - {"role", "content"}]
        content = each.get("content")
        if not isinstance(content, str):
            problems.append(f"has no text from {role}")
            continue
        if not content.strip():
            problems.append(f"has an empty text from {role}")
        if _HALF_A_CHARACTER.search(content):
            problems.append(f"has half a character in the text from {role}")
        if MARKER.search(content):
            problems.append(f"has a marker of models (<|…|>) in the text from {role}")
        contents.append(content)
    if problems:
        return problems, None
    return [], Line("" if len(contents) == 2 else contents[0], *contents[-2:])  # noqa: PLR2004 - question and answer


def compile_pattern(word: str) -> regex.Pattern[str]:
    """A pattern of `filtered_words` as it is searched for, in any case.

    The module `regex` rather than `re`, in the settings too: only its searches can be given a time limit.

    Raises:
        ValueError: it is no regular expression.
    """
    import regex  # noqa: PLC0415 - only who has patterns waits for it

    if math.prod(max(1, int(times)) for times in _REPEATED.findall(word)) > _MOST_REPEATED:
        raise ValueError(f"repeats too often: {word!r}")
    try:
        return regex.compile(word, regex.IGNORECASE)
    except (regex.error, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {word!r}") from error
