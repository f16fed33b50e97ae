"""Moderation in the OpenAI stand-in: thirteen categories, scores from word lists and a hash.

Nothing is judged here: words that a test or the demo names are flagged, or come close; every other text gets small
scores that are always the same for the same text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import msgspec

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
FLAGGED_FROM = 0.5
MOST_INPUTS = 32
_WORD = re.compile(r"[\w'-]+")


class TextInput(msgspec.Struct, tag="text", tag_field="type"):
    text: str


class ModerationRequest(msgspec.Struct):
    input: str | list[str | TextInput]
    model: str = "omni-moderation-latest"

    def texts(self) -> list[str]:
        """Return the texts to be judged one by one; typed parts are one input together, as at OpenAI."""
        if isinstance(self.input, str):
            return [self.input]
        plain = [part for part in self.input if isinstance(part, str)]
        parts = [part.text for part in self.input if isinstance(part, TextInput)]
        return [*plain, "\n".join(parts)] if parts else plain


def judge(text: str, flagged_words: Mapping[str, str], borderline_words: Mapping[str, str]) -> dict[str, object]:
    """Score one text; the mappings are word → category. Raises ValueError for a category that does not exist."""
    scores = {category: 0.01 * _draw(text, category) for category in CATEGORIES}
    words = {word.casefold() for word in _WORD.findall(text)}
    for listed, lowest, width in ((borderline_words, 0.2, 0.25), (flagged_words, 0.8, 0.19)):
        for word, category in listed.items():
            if category not in scores:
                raise ValueError(category)
            if word.casefold() in words:
                scores[category] = max(scores[category], lowest + width * _draw(text, category))
    flags = {category: score >= FLAGGED_FROM for category, score in scores.items()}
    return {
        "flagged": any(flags.values()),
        "categories": flags,
        "category_scores": scores,
        "category_applied_input_types": {category: ["text"] for category in CATEGORIES},
    }


def _draw(text: str, category: str) -> float:
    """Return a number between 0 and 1, neither included, that looks random but is not."""
    digest = hashlib.blake2b(f"{category}\0{text}".encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return (int.from_bytes(digest, "big") + 1) / (2**32 + 1)
