"""Odd JSON values, taken for what they can be.

Tumblr's answers come from PHP: an empty object may arrive as `[]`, a number as text, a missing value as `null`.
The `as_…` functions never raise; what does not fit becomes an empty value or None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

import msgspec

T = TypeVar("T")

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_POST_ID = re.compile(r"[0-9]{1,20}", re.ASCII)
_UUID = re.compile(r"t:[A-Za-z0-9_-]{1,64}", re.ASCII)
_WEB_ADDRESS = re.compile(r"https?://[^\s<>\"\x00-\x1f\x7f]{1,2000}")


def as_mapping(value: object) -> Mapping[str, object]:
    """`value` if it is a JSON object, else an empty one."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> Sequence[object]:
    """`value` if it is a JSON array, else an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []


def as_text(value: object) -> str:
    """`value` if it is text, else an empty one."""
    return value if isinstance(value, str) else ""


def as_int(value: object) -> int | None:
    """`value` if it is a whole number, however it is written."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value.strip()):
        return int(value)
    return None


def as_post_id(*candidates: object) -> str | None:
    """The first candidate that is a post's id, as text.

    Ids go beyond 2**53, so one that went through a float is wrong and is not taken.
    """
    for candidate in candidates:
        text = str(candidate) if isinstance(candidate, int) and not isinstance(candidate, bool) else candidate
        if isinstance(text, str) and _POST_ID.fullmatch(text) and text.strip("0"):
            return text
    return None


def as_uuid(value: object) -> str:
    """`value` if it is the UUID of a blog (`t:` and letters that are safe in a path), else an empty text."""
    return value if isinstance(value, str) and _UUID.fullmatch(value) else ""


def as_web_address(value: object) -> str:
    """`value` if it can be shown as a link, else an empty text."""
    return value if isinstance(value, str) and _WEB_ADDRESS.fullmatch(value) else ""


def decode_leniently(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw) -> T:
    """What `decoder` makes of `data`, even where a text holds half a surrogate pair.

    msgspec does not even skip over such a text, so that one of them would cost a whole page of posts.

    Raises:
        ValueError: it cannot be read all the same; nested too deeply counts as that.
    """
    try:
        try:
            return decoder.decode(data)
        except msgspec.DecodeError:
            return decoder.decode(_mend_escapes(bytes(data)))
    except RecursionError:
        raise ValueError("nested too deeply") from None


_ESCAPE = re.compile(
    rb"""\\(?:
        u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}  # a pair
        | (?P<half> u[dD][89a-fA-F][0-9a-fA-F]{2} )
        | .
    )""",
    re.VERBOSE | re.DOTALL,
)


def _mend_escapes(body: bytes) -> bytes:
    """`body` with U+FFFD for every half of a surrogate pair."""
    return _ESCAPE.sub(lambda escape: b"\\ufffd" if escape["half"] else escape[0], body)
