"""The sample blog of the demo: a lighthouse keeper's log, as Tumblr would hand it out.

Every post was written for this project. They are kept in sample_blog.jsonl, one `_Line` of JSON each and oldest first,
so that they can be read and corrected like a text; this module makes whole NPF posts of them, shaped as Tumblr's API
notes ("A post") describe. Most are plain text of the owner's own. In between there are reblogs (one with a broken trail
item), asks, photos, a poll, a link, an empty and a private post, a pinned one, a back-dated one, and two in one second.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from importlib import resources
from typing import Literal

import msgspec

BLOG_NAME = "lighthouse-keepers-log"
BLOG_TITLE = "the keeper's log"
BLOG_UUID = "t:kR7vMoon2Fog_Teas4Gull"
BLOG_DESCRIPTION = "one small light, one hundred and twelve stairs, one gull. the boat is late."

NEIGHBOUR_NAME = "harbour-office-mainland"
"""A second small blog, of somebody else, whose posts drafts may reblog."""
_NEIGHBOUR_TEXTS = (
    "the ferry will be late tomorrow. it was late today as well, but today we had not announced it.",
    "found on the quay: one glove, left hand, grey. the owner may collect it. the other glove may come too.",
    "somebody has been feeding the harbour seal. the seal has asked us not to look into it.",
    "we can see the lighthouse from the office. on clear nights it looks at us about every ten seconds.",
    "the tide tables for spring are here.\n\nthe printer has put march twice. we advise you to enjoy both.",
    "a parcel for the lighthouse has been on our shelf since autumn. it has begun to smell of oranges.",
    "fog. the whole board of departures says fog. even the one that says arrivals says fog.",
    "question of the week: who moved the big anchor, and how, and could they please move it back.",
)

_NEIGHBOUR_SINCE = 1_700_000_000  # unix seconds
_LONGEST_SUMMARY = 150
_LONGEST_SLUG = 50
# Tumblr's ids count milliseconds since this moment (unix milliseconds), shifted left by 20 bits.
_ID_EPOCH = 1_000_000_000_000
_ID_SHIFT = 20

_Json = dict[str, object]


class _Ask(msgspec.Struct, forbid_unknown_fields=True):
    """A question at the head of a post. Without a name it is anonymous."""

    text: str
    name: str | None
    attribution_is_list: bool = False
    """Write the missing attribution as an empty list, as Tumblr sometimes does."""


class _TrailItem(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody else wrote before the reblog: a `blog`, or a `broken_blog` whose post is gone."""

    text: str
    blog: str | None = None
    broken_blog: str | None = None


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """One line of sample_blog.jsonl."""

    at: datetime
    """The publish time that the owner chose."""
    written_at: datetime | None = None
    """When it was really written, if the post is back-dated."""
    text: str = ""
    """Paragraphs, with blank lines between them."""
    blocks: list[_Json] = []
    """Instead of `text`: NPF blocks; a block without a `type` is a text block."""
    ask: _Ask | None = None
    trail: list[_TrailItem] = []
    """Of a reblog: the conversation so far, oldest first. The last one is the parent."""
    tags: list[str] = []
    state: Literal["published", "private"] = "published"
    pinned: bool = False


def load_posts() -> list[_Json]:
    """Every post as Tumblr's API would return it, newest first; the same at each call, and free to be changed."""
    source = resources.files("bot.demo").joinpath("sample_blog.jsonl").read_bytes()
    lines = msgspec.json.Decoder(_Line).decode_lines(source)
    updated = max(_unix_seconds(line.at) for line in lines)
    seen: dict[int, int] = {}
    posts: list[tuple[int, int, _Json]] = []
    for line in lines:
        written = _unix_seconds(line.written_at or line.at)
        place_in_second = seen.get(written, 0)
        seen[written] = place_in_second + 1
        post_id = _post_id(written, place_in_second)
        posts.append((_unix_seconds(line.at), post_id, _post(line, post_id, updated)))
    posts.sort(key=lambda post: post[:2], reverse=True)
    return [post for _, _, post in posts]


def neighbour_posts() -> list[_Json]:
    """The neighbour's posts, as much as the stand-in needs to make whole posts of them."""
    return [
        {"content": _text_blocks(text), "timestamp": _NEIGHBOUR_SINCE + number * 86_400}
        for number, text in enumerate(_NEIGHBOUR_TEXTS)
    ]


def _post(line: _Line, post_id: int, updated: int) -> _Json:
    content = _content(line)
    summary = _summary(content)
    slug = re.sub(r"[^a-z0-9]+", "-", summary.replace("'", ""))[:_LONGEST_SLUG].strip("-")
    url = _post_url(BLOG_NAME, str(post_id))
    digest = _digest(f"{BLOG_NAME} {post_id}")
    trail = list(zip(line.trail, _earlier_ids(post_id, len(line.trail)), strict=True))
    return {
        "object_type": "post",
        "type": "blocks",
        "original_type": "note" if line.ask else "regular",
        "blog_name": BLOG_NAME,
        "blog": {
            "name": BLOG_NAME,
            "title": BLOG_TITLE,
            "description": BLOG_DESCRIPTION,
            "url": _blog_url(BLOG_NAME),
            "uuid": BLOG_UUID,
            "updated": updated,
        },
        "tumblelog_uuid": BLOG_UUID,
        "id": post_id,
        "id_string": str(post_id),
        "is_blocks_post_format": True,
        "post_url": f"{url}/{slug}" if slug else url,
        "slug": slug,
        "date": line.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S GMT"),
        "timestamp": _unix_seconds(line.at),
        "state": line.state,
        "reblog_key": digest[:8],
        "tags": line.tags,
        "short_url": f"https://tmblr.co/Z{digest[8:20]}",
        "summary": summary,
        "should_open_in_legacy": False,
        "followed": False,
        "liked": False,
        "note_count": post_id % 400,
        "content": content,
        "layout": [_ask_layout(line.ask)] if line.ask else [],
        "trail": [_trail_item(item, item_id) for item, item_id in trail],
        **_ask_fields(line.ask),
        **_reblog_fields(trail),
        "is_pinned": line.pinned,
        "can_like": False,
        "can_reblog": True,
        "can_send_in_message": True,
        "can_reply": True,
        "display_avatar": True,
    }


def _content(line: _Line) -> list[_Json]:
    """The blocks of a post; those of an ask start with the question."""
    question: list[_Json] = [{"type": "text", "text": line.ask.text}] if line.ask else []
    return [*question, *({"type": "text"} | block for block in line.blocks), *_text_blocks(line.text)]


def _text_blocks(text: str) -> list[_Json]:
    return [{"type": "text", "text": paragraph} for paragraph in text.split("\n\n") if paragraph]


def _summary(content: list[_Json]) -> str:
    words = " ".join(" ".join(str(block["text"]) for block in content if block["type"] == "text").split())
    return words if len(words) <= _LONGEST_SUMMARY else words[: _LONGEST_SUMMARY - 3].rstrip() + "..."


# --- asks -----------------------------------------------------------------------------------------------------


def _ask_layout(ask: _Ask) -> _Json:
    layout: _Json = {"type": "ask", "blocks": [0]}
    if ask.name is not None:
        layout["attribution"] = {"type": "blog", "url": _blog_url(ask.name), "blog": _other_blog(ask.name)}
    elif ask.attribution_is_list:
        layout["attribution"] = []
    return layout


def _ask_fields(ask: _Ask | None) -> _Json:
    if ask is None or ask.name is None:
        return {}
    return {"asking_name": ask.name, "asking_url": _blog_url(ask.name)}


# --- reblogs --------------------------------------------------------------------------------------------------


def _trail_item(item: _TrailItem, item_id: str) -> _Json:
    said: _Json = {"content": _text_blocks(item.text), "layout": []}
    if item.blog is None:
        return said | {"broken_blog_name": item.broken_blog}
    return said | {"post": {"id": item_id}, "blog": _other_blog(item.blog)}


def _reblog_fields(trail: list[tuple[_TrailItem, str]]) -> _Json:
    """The fields that only a reblog has: where it comes from, and where that began."""
    known = [(item.blog, item_id) for item, item_id in trail if item.blog is not None]
    if not known:
        return {}
    fields: _Json = {}
    for relation, (blog, item_id) in (("from", known[-1]), ("root", known[0])):
        fields |= {
            f"reblogged_{relation}_id": item_id,
            f"reblogged_{relation}_url": _post_url(blog, item_id),
            f"reblogged_{relation}_name": blog,
            f"reblogged_{relation}_title": blog.replace("-", " "),
            f"reblogged_{relation}_uuid": _other_uuid(blog),
        }
    parent_blog, parent_id = known[-1]
    return fields | {
        "parent_post_id": parent_id,
        "parent_post_url": _post_url(parent_blog, parent_id),
        "parent_tumblelog_uuid": _other_uuid(parent_blog),
    }


def _other_blog(name: str) -> _Json:
    return {
        "name": name,
        "title": name.replace("-", " "),
        "description": "",
        "url": _blog_url(name),
        "uuid": _other_uuid(name),
        "active": True,
    }


# --- names and numbers ----------------------------------------------------------------------------------------


def _post_id(written: int, place_in_second: int) -> int:
    """An id like Tumblr's: it tells when the post was written (unix seconds) and lies beyond 2**53.

    It is odd, so that whoever reads it as a double gets another id.
    """
    milliseconds = written * 1000 + place_in_second - _ID_EPOCH
    return (milliseconds << _ID_SHIFT) | int(_digest(f"{written} {place_in_second}")[:4], 16) | 1


def _earlier_ids(post_id: int, count: int) -> list[str]:
    """The ids of `count` posts of a trail, oldest first, seven hours apart and before the reblog itself."""
    seven_hours = 7 * 3_600_000 << _ID_SHIFT
    return [str(post_id - steps * seven_hours) for steps in range(count, 0, -1)]


def _other_uuid(blog: str) -> str:
    return "t:" + base64.urlsafe_b64encode(hashlib.sha256(blog.encode()).digest()[:16]).decode().rstrip("=")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _blog_url(blog: str) -> str:
    return f"https://{blog}.tumblr.com/"


def _post_url(blog: str, post_id: str) -> str:
    return f"{_blog_url(blog)}post/{post_id}"


def _unix_seconds(time: datetime) -> int:
    return int(time.timestamp())
