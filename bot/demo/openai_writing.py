"""Writing in the OpenAI stand-in: from a prompt to a text, with word n-grams instead of a language model.

A fine-tuned model writes from the texts it was tuned on, a base model from the real posts it finds in its prompt.
"""

from __future__ import annotations

import json
import math
import random
import re
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Literal, cast

import msgspec

from bot.demo.ngram import NGram, learn
from bot.language.tokens import count

NOTHING_TO_LEARN_FROM = (
    "I am only a stand-in for a language model: without examples in the prompt I have nothing to write like."
)
MOST_WORDS = 400
"""Where a text ends that finds no end by itself."""

TOKENS_PER_MESSAGE = 4
"""What the frame and the role of a message cost beside its text (OpenAI's cookbook on counting tokens)."""
TOKENS_TO_BEGIN = 3

CACHED_FROM = 1024
CACHED_STEP = 128
ENOUGH_ANSWERS = 3
"""As many answers in a conversation are taken for examples of what to write."""

_POST = re.compile(r"<post>(.*?)</post>", re.DOTALL)
_RULE = re.compile(r"^[ \t]*---[ \t]*$", re.MULTILINE)
_LONGER_WORD = re.compile(r"[^\W\d_]{5,}")
_WORD = re.compile(r"[^\W\d_]+")
_TAG = re.compile(r"</?post>")


class Part(msgspec.Struct):
    """A piece of a message; anything but text is passed over."""

    type: str
    text: str = ""


class Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


@dataclass(frozen=True, slots=True)
class Written:
    """One answer; `complete` is False when the token limit cut it short."""

    text: str
    complete: bool
    tokens: int


def prompt_tokens(messages: Sequence[Message]) -> int:
    return TOKENS_TO_BEGIN + sum(TOKENS_PER_MESSAGE + count(message.text) for message in messages)


def example_texts(messages: Sequence[Message]) -> list[str]:
    """Find the real posts in a prompt.

    They are the conversation's own answers where there are at least three, or else whatever stands in `<post>` tags,
    or else between lines of `---`.
    """
    answers = [message.text for message in messages if message.role == "assistant"]
    if len(answers) >= ENOUGH_ANSWERS:
        return answers
    tagged = [post for message in messages for post in cast("list[str]", _POST.findall(message.text))]
    return tagged or [post for message in messages for post in _RULE.split(message.text)[1:-1]]


def write(
    messages: Sequence[Message], tuned: NGram | None, schema: Mapping[str, object] | None, limit: int | None, seed: int
) -> Written:
    """Answer a prompt: with an object for `schema` when there is one, else as `tuned`, else like the prompt's posts."""
    if schema is not None:
        about = next((message.text for message in reversed(messages) if message.role == "user"), "")
        words = _key_words(about)
        return _cut(json.dumps(_fill(schema, schema, cycle(words), len(words)), ensure_ascii=False), limit)
    model = tuned or learn(example_texts(messages))
    return _cut(model.write(random.Random(seed), MOST_WORDS) or NOTHING_TO_LEARN_FROM, limit)


def _cut(text: str, limit: int | None) -> Written:
    """Keep as many whole words as fit into `limit` tokens."""
    tokens = count(text)
    if limit is None or tokens <= limit:
        return Written(text, complete=True, tokens=tokens)
    ends = [found.end() for found in re.finditer(r"\S+", text)]
    kept = bisect_right(ends, limit, key=lambda end: count(text[:end]))
    short = text[: ends[kept - 1]] if kept else ""
    return Written(short, complete=False, tokens=count(short))


# --- answers for a schema -------------------------------------------------------------------------------------


def _key_words(text: str) -> list[str]:
    """The most frequent longer words, the earlier one first where they are as frequent."""
    plain = _TAG.sub(" ", text).casefold()
    words = cast("list[str]", _LONGER_WORD.findall(plain) or _WORD.findall(plain))
    return [word for word, _ in Counter(words).most_common(5)] or ["post"]


def _fill(schema: Mapping[str, object], root: Mapping[str, object], words: Iterator[str], most: int) -> object:
    """Make up a value that `schema` (the part of JSON Schema that OpenAI's strict mode knows) allows.

    Strings are the next of `words`; arrays have `most` items unless the schema says otherwise.
    """
    schema = _resolve(schema, root)
    allowed = [schema["const"]] if "const" in schema else _list(schema.get("enum"))
    if allowed:
        return allowed[0]
    kinds = _list(schema.get("type")) or [schema.get("type")]
    match kinds[0]:
        case "array":
            length = min(max(most, _number(schema, "minItems", 0)), _number(schema, "maxItems", most))
            return [_fill(_object(schema.get("items")), root, words, most) for _ in range(length)]
        case "object":
            fields = _object(schema.get("properties"))
            return {name: _fill(_object(inner), root, words, most) for name, inner in fields.items()}
        case "integer" | "number":
            return _number(schema, "minimum", 1)
        case kind:
            return {"boolean": True, "null": None}[kind] if isinstance(kind, str) and kind != "string" else next(words)


def _resolve(schema: Mapping[str, object], root: Mapping[str, object]) -> Mapping[str, object]:
    """Follow `$ref`s within the document, and the first way of every `anyOf`."""
    while True:
        target: object = root
        if isinstance(reference := schema.get("$ref"), str):
            for step in reference.removeprefix("#").strip("/").split("/"):
                target = _object(target).get(step)
        elif choices := _list(schema.get("anyOf")):
            target = choices[0]
        else:
            return schema
        schema = _object(target)


def _number(schema: Mapping[str, object], name: str, usual: int) -> int:
    value = schema.get(name)
    return math.ceil(value) if isinstance(value, int | float) else usual


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _object(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


# --- the prompt cache -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class PromptCache:
    """The latest prompts of every model, to tell how much of the next one is already known."""

    seen: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=32))

    def flatten(self, messages: Sequence[Message]) -> str:
        return "\0".join(f"{message.role}\0{message.text}" for message in messages)

    def known(self, model: str, flat: str) -> str:
        """Return the longest beginning of a prompt that an earlier one of the same model had, and remember it."""
        known = max((_shared(flat, earlier) for name, earlier in self.seen if name == model), default=0)
        self.seen.append((model, flat))
        return flat[:known]


def cached_tokens(known: str) -> int:
    """Count what a known beginning saves: from 1,024 tokens on, in steps of 128."""
    tokens = count(known)
    return tokens // CACHED_STEP * CACHED_STEP if tokens >= CACHED_FROM else 0


def _shared(one: str, other: str) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
