"""Posts in Tumblr's own format, NPF: reading what came, writing what goes.

Reading never trusts a shape: old posts, glitches and PHP's empty values all occur (Tumblr's API notes, "A post").
Writing keeps to Tumblr's limits for a post.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from bot.drafts import UploadState
from bot.errors import TumblrRefused
from bot.posts import Post, Rejection
from bot.tumblr.values import (
    as_int,
    as_list,
    as_mapping,
    as_post_id,
    as_text,
    as_uuid,
    as_web_address,
    decode_leniently,
)

LONGEST_BLOCK = 4096  # code points
MOST_BLOCKS = 1000
LARGEST_BODY = 1_000_000  # bytes of JSON
MOST_TAGS = 30
LONGEST_TAG = 140  # characters

_LATEST_TIME = 2**40  # unix seconds; what lies beyond is not a time
_DEEPEST_INDENT = 7
_LIST_SUBTYPES = {"ordered-list-item", "unordered-list-item"}
# Control characters have no place in a text: line breaks and tabs stay.
_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), 127))


# --- reading --------------------------------------------------------------------------------------------------


class _Identity(msgspec.Struct):
    """What a post needs to be kept at all."""

    id: object = None
    id_string: object = None
    blog_name: object = None
    timestamp: object = None
    date: object = None
    post_url: object = None


class _Fields(_Identity):
    """The fields we look at. Everything is `object`: a wrong type in one must not lose the others."""

    blog: object = None
    state: object = None
    tags: object = None
    content: object = False  # told apart from null, which is an empty post
    layout: object = None
    trail: object = None
    parent_post_url: object = None
    parent_post_id: object = None
    reblogged_from_id: object = None
    genesis_post_id: object = None
    reblog_key: object = None
    can_reblog: object = None
    original_type: object = None
    asking_name: object = None
    is_submission: object = None
    post_author: object = None
    anonymous_name: object = None
    community: object = None
    is_pinned: object = None


_identity_decoder = msgspec.json.Decoder(_Identity)
_fields_decoder = msgspec.json.Decoder(_Fields)


def read_post(raw: bytes | Mapping[str, object]) -> Post:
    """Read one post.

    A post that cannot be understood is still a `Post`, with `Rejection.UNREADABLE`; one whose time is unknown has
    `timestamp` 0. `Post.raw` is `raw` itself, or its JSON where a mapping was given.

    Raises:
        ValueError: there is not even an id.
    """
    data = raw if isinstance(raw, bytes) else msgspec.json.encode(dict(raw))
    try:
        fields = decode_leniently(_fields_decoder, data)
    except ValueError:
        return _unreadable_post(data)
    blog = as_mapping(fields.blog)
    blocks = _blocks(fields.content)
    return Post(
        id=_id(fields),
        blog_uuid=as_uuid(blog.get("uuid")),
        blog_name=as_text(blog.get("name")) or as_text(fields.blog_name),
        timestamp=_timestamp(fields),
        url=as_web_address(fields.post_url),
        text=_text_of(blocks or ()),
        tags=_read_tags(fields.tags),
        rejection=next(_rejections(fields, blocks), None),
        is_pinned=fields.is_pinned in (True, 1),
        raw=data,
    )


def read_trail_text(raw: bytes) -> str:
    """The whole conversation of a reblog, oldest first: the text of each part of the trail, then the post's own.

    Raises:
        ValueError: the JSON cannot be read.
    """
    return _conversation(decode_leniently(_fields_decoder, raw))


def reblog_text(raw: bytes, allowed: Container[str]) -> str | None:
    """The conversation that a reblog of the post in `raw` would answer, oldest first; None if it is no choice.

    Every part of it must be there to be read, be nothing but text, and come from an allowed blog. `allowed` holds these
    blogs' UUIDs and names; a name counts only where no UUID is given, since a name may pass to somebody else.
    """
    try:
        fields = decode_leniently(_fields_decoder, raw)
    except ValueError:
        return None
    # A reblog without a comment is no choice: its words are those of the post it reblogs, which would be drawn twice.
    if set(_rejections(fields, _blocks(fields.content))) - {Rejection.REBLOG} or _reblog_source(fields) is None:
        return None
    trail = as_list(fields.trail)
    if _is_reblog(fields) and not trail:
        return None  # what it answers was not handed over
    if not _is_allowed(fields.blog, allowed) or not all(_is_fit_part(as_mapping(item), allowed) for item in trail):
        return None
    return _conversation(fields)


@dataclass(frozen=True, slots=True)
class Exchange:
    """Words of somebody, and what the blog's owner wrote to them."""

    words: str
    own: str


def read_answer(raw: bytes) -> Exchange | None:
    """The ask and the answer of the post in `raw`; None if it is no answered ask, or has anything but text in it."""
    fields = _published_as(raw, Rejection.ASK)
    if fields is None:
        return None
    blocks = _blocks(fields.content) or []
    asked: set[int] = set()
    for layout in map(as_mapping, as_list(fields.layout)):
        if layout.get("type") == "ask":
            asked |= {-1 if (place := as_int(each)) is None else place for each in as_list(layout.get("blocks"))}
    if not asked <= set(range(len(blocks))):
        return None  # which words are the owner's cannot be told for certain
    words = _text_of([block for place, block in enumerate(blocks) if place in asked])
    own = _text_of([block for place, block in enumerate(blocks) if place not in asked])
    return Exchange(words, own) if words and own else None


def read_reblog_comment(raw: bytes) -> Exchange | None:
    """What the owner wrote below a reblogged post, and the conversation above it, oldest first.

    None if the post in `raw` is no reblog with a comment, or any part of it is missing or has anything but text in it.
    """
    fields = _published_as(raw, Rejection.REBLOG)
    if fields is None:
        return None
    trail = [as_mapping(item) for item in as_list(fields.trail)]
    if not trail or not all(map(_is_whole_text, trail)):
        return None
    words = "\n\n".join(_text_of(_blocks(item.get("content")) or ()) for item in trail)
    return Exchange(words, _text_of(_blocks(fields.content) or ()))


def _published_as(raw: bytes, kind: Rejection) -> _Fields | None:
    """The fields of a post that would be a valid example but for its kind."""
    try:
        fields = decode_leniently(_fields_decoder, raw)
    except ValueError:
        return None
    return fields if set(_rejections(fields, _blocks(fields.content))) == {kind} else None


@dataclass(frozen=True, slots=True)
class ReblogSource:
    """What Tumblr wants to know of the post that a new post reblogs."""

    blog_uuid: str
    post_id: str
    reblog_key: str


def read_reblog_source(raw: bytes) -> ReblogSource:
    """The keys to reblog the post in `raw`, which has to be read freshly: they change.

    Raises:
        TumblrRefused: this post cannot be reblogged.
    """
    try:
        fields = decode_leniently(_fields_decoder, raw)
    except ValueError:
        fields = _Fields()
    source = _reblog_source(fields)
    if source is None:
        raise TumblrRefused("This post cannot be reblogged.", "Choose another post, or reject the draft.")
    return source


def _reblog_source(fields: _Fields) -> ReblogSource | None:
    uuid = as_uuid(as_mapping(fields.blog).get("uuid"))
    post_id = as_post_id(fields.id_string, fields.id)
    key = as_text(fields.reblog_key)
    # Absent on old posts; only a plain no is a no.
    if fields.can_reblog in (False, 0) or not (uuid and post_id and key):
        return None
    return ReblogSource(uuid, post_id, key)


def _conversation(fields: _Fields) -> str:
    parts = [_text_of(_blocks(as_mapping(item).get("content")) or ()) for item in as_list(fields.trail)]
    parts.append(_text_of(_blocks(fields.content) or ()))
    return "\n\n".join(part for part in parts if part)


def _is_fit_part(item: Mapping[str, object], allowed: Container[str]) -> bool:
    """Whether this part of a trail is whole, nothing but text, and from an allowed blog."""
    return _is_whole_text(item) and _is_allowed(item.get("blog"), allowed)


def _is_whole_text(item: Mapping[str, object]) -> bool:
    """Whether this part of a trail is there to be read, and nothing but text that somebody wrote unasked."""
    is_broken = bool(item.get("broken_blog_name")) or as_post_id(as_mapping(item.get("post")).get("id")) is None
    blocks = _blocks(item.get("content")) or []
    is_text = all(block.get("type") == "text" and isinstance(block.get("text"), str) for block in blocks)
    return not is_broken and is_text and bool(_text_of(blocks)) and not _has_ask_layout(item.get("layout"))


def _is_allowed(blog: object, allowed: Container[str]) -> bool:
    given = as_mapping(blog)
    key = as_uuid(given["uuid"]) if given.get("uuid") else as_text(given.get("name"))
    return bool(key) and key in allowed


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What tells a post apart from others of the same words.

    `state` is in the write spelling, empty if not said. `parent_id` is the post that it reblogs, and `genesis_id` the
    draft that it was before it was published (told to the blog's owner only).
    """

    state: str
    is_reblog: bool
    parent_id: str | None
    genesis_id: str | None


def read_whereabouts(raw: bytes) -> Whereabouts:
    """Where the post in `raw` stands and comes from; nothing is known of one that cannot be read."""
    try:
        fields = decode_leniently(_fields_decoder, raw)
    except ValueError:
        fields = _Fields()
    state = as_text(fields.state)
    trail = as_list(fields.trail)
    last = as_mapping(as_mapping(trail[-1] if trail else None).get("post"))
    return Whereabouts(
        state="queue" if state == "queued" else state,
        is_reblog=_is_reblog(fields),
        parent_id=as_post_id(fields.parent_post_id, fields.reblogged_from_id, last.get("id")),
        genesis_id=as_post_id(fields.genesis_post_id),
    )


def _unreadable_post(data: bytes) -> Post:
    """A post of which nothing but its identity can be used."""
    identity = decode_leniently(_identity_decoder, data)
    return Post(
        id=_id(identity),
        blog_uuid="",
        blog_name=as_text(identity.blog_name),
        timestamp=_timestamp(identity),
        url=as_web_address(identity.post_url),
        text="",
        tags=(),
        rejection=Rejection.UNREADABLE,
        is_pinned=False,
        raw=data,
    )


def _id(fields: _Identity) -> str:
    post_id = as_post_id(fields.id_string, fields.id)
    if post_id is None:
        raise ValueError("a post without an id")
    return post_id


def _timestamp(fields: _Identity) -> int:
    """The publish time in unix seconds, 0 if unknown."""
    seconds = as_int(fields.timestamp)
    if seconds is None:
        try:
            written = datetime.strptime(as_text(fields.date), "%Y-%m-%d %H:%M:%S GMT").replace(tzinfo=UTC)
        except ValueError:
            return 0
        seconds = int(written.timestamp())
    return seconds if 0 < seconds < _LATEST_TIME else 0


def _read_tags(value: object) -> tuple[str, ...]:
    tags = (clean_text(as_text(tag)).strip() for tag in as_list(value))
    return tuple(tag for tag in tags if tag)


def _blocks(content: object) -> list[Mapping[str, object]] | None:
    """The blocks of `content`; None if it is nothing that could be content.

    Without `content` it is a post in the old format, whatever we asked for.
    """
    if content is None or content == {}:
        return []
    blocks = as_list(content)
    # An empty list is content; anything else that comes out empty is not.
    if (not blocks and content != []) or not all(isinstance(block, dict) for block in blocks):
        return None
    return [as_mapping(block) for block in blocks]


def _rejections(fields: _Fields, blocks: list[Mapping[str, object]] | None) -> Iterator[Rejection]:
    """Every reason why this post is no example of its owner's words (Tumblr's API notes, "A valid example post")."""
    if blocks is None:
        yield Rejection.UNREADABLE
        return
    types = {as_text(block.get("type")) for block in blocks}
    # First who wrote it and for whom; the shape of the content comes last.
    reasons = (
        (fields.state != "published", Rejection.NOT_PUBLISHED),
        (bool(fields.community), Rejection.COMMUNITY),
        ("paywall" in types, Rejection.PAYWALL),
        (bool(fields.is_submission or fields.post_author or fields.anonymous_name), Rejection.SUBMISSION),
        (_is_ask(fields), Rejection.ASK),
        (_is_reblog(fields), Rejection.REBLOG),
        (not blocks, Rejection.GLITCHED),
        (types != {"text"}, Rejection.NOT_TEXT),
        (not all(isinstance(block.get("text"), str) for block in blocks), Rejection.UNREADABLE),
        (not _text_of(blocks), Rejection.EMPTY),
    )
    yield from (rejection for applies, rejection in reasons if applies)


def _is_ask(fields: _Fields) -> bool:
    return (
        _has_ask_layout(fields.layout)
        or as_text(fields.original_type).lower() in {"note", "answer"}
        or bool(fields.asking_name)
    )


def _has_ask_layout(layout: object) -> bool:
    # `attribution` is absent, an object or an empty list: it says nothing, the layout's type does.
    return any(as_mapping(one).get("type") == "ask" for one in as_list(layout) or [layout])


def _is_reblog(fields: _Fields) -> bool:
    return bool(fields.trail or fields.parent_post_url or fields.parent_post_id or fields.reblogged_from_id)


def _text_of(blocks: Sequence[Mapping[str, object]]) -> str:
    """The text blocks as one text: blank lines between them, none inside a list or a conversation."""
    text = ""
    previous = ""
    numbers: dict[int, int] = {}
    for block in blocks:
        line = clean_text(as_text(block.get("text"))).strip("\n").rstrip()
        if block.get("type") != "text" or not line.strip():
            continue
        subtype = as_text(block.get("subtype"))
        kind = "list" if subtype in _LIST_SUBTYPES else subtype
        if kind == "list":
            line = _list_marker(subtype, as_int(block.get("indent_level")) or 0, numbers) + line.lstrip()
        else:
            numbers.clear()
        if text:
            text += "\n" if kind == previous and kind in {"list", "chat"} else "\n\n"
        text += line
        previous = kind
    return text


def _list_marker(subtype: str, indent: int, numbers: dict[int, int]) -> str:
    """What stands before a list item; `numbers` holds the last number of each level."""
    indent = min(max(indent, 0), _DEEPEST_INDENT)
    for level in [level for level in numbers if level > indent]:
        del numbers[level]
    if subtype == "unordered-list-item":
        numbers.pop(indent, None)
        return "  " * indent + "- "
    numbers[indent] = numbers.get(indent, 0) + 1
    return "  " * indent + f"{numbers[indent]}. "


# --- writing --------------------------------------------------------------------------------------------------


def clean_text(text: str) -> str:
    """`text` as JSON, SQLite and people can take it: plain line breaks, no control characters, no half pairs."""
    if not text.isprintable():
        text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROLS)
    return text.encode(errors="replace").decode()


def blocks_from_text(text: str) -> list[dict[str, str]]:
    """One text block for each paragraph of `text`, split on blank lines; a very long paragraph makes several.

    Raises:
        TumblrRefused: more blocks than one post holds.
    """
    pieces = [piece for paragraph in _paragraphs(clean_text(text)) for piece in _pieces(paragraph)]
    if len(pieces) > MOST_BLOCKS:
        raise _too_long()
    return [{"type": "text", "text": piece} for piece in pieces]


def clean_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Tags as Tumblr keeps them: no comma (it splits a tag), no leading "#", none twice, within the limits."""
    cleaned: dict[str, str] = {}
    for tag in tags:
        for part in clean_text(tag).split(","):
            label = " ".join(part.split()).lstrip("# ")[:LONGEST_TAG].rstrip()
            if label:
                # Tumblr does not tell upper from lower case in tags.
                cleaned.setdefault(label.casefold(), label)
    return tuple(cleaned.values())[:MOST_TAGS]


def post_body(
    text: str, tags: Sequence[str], state: UploadState, parent: ReblogSource | None = None
) -> dict[str, object]:
    """The JSON of a new post. `state` is always sent: without it, a post is published at once.

    Raises:
        TumblrRefused: there is no text, or more than one post holds.
    """
    blocks = blocks_from_text(text)
    if not blocks and parent is None:
        raise TumblrRefused("There is no text to post.", "Write some with Edit, or reject the draft.")
    body: dict[str, object] = {"content": blocks, "state": UploadState(state).value}
    if labels := clean_tags(tags):
        body["tags"] = ",".join(labels)
    if parent is not None:
        body["parent_tumblelog_uuid"] = parent.blog_uuid
        body["parent_post_id"] = parent.post_id
        body["reblog_key"] = parent.reblog_key
    if len(msgspec.json.encode(body)) > LARGEST_BODY:
        raise _too_long()
    return body


def _paragraphs(text: str) -> Iterator[str]:
    lines: list[str] = []
    for line in [*text.split("\n"), ""]:
        if line.strip():
            lines.append(line.rstrip())
        elif lines:
            yield "\n".join(lines)
            lines = []


def _pieces(paragraph: str) -> Iterator[str]:
    """`paragraph` cut into blocks, at a line break or else a space where there is one."""
    while len(paragraph) > LONGEST_BLOCK:
        window = paragraph[: LONGEST_BLOCK + 1]
        space = re.search(r"\s\S*\Z", window)
        cut = window.rfind("\n")
        if cut <= 0:
            cut = space.start() if space and space.start() > 0 else LONGEST_BLOCK
        if piece := paragraph[:cut].rstrip():
            yield piece
        paragraph = paragraph[cut:].lstrip()
    if paragraph:
        yield paragraph


def _too_long() -> TumblrRefused:
    return TumblrRefused("This text is longer than one Tumblr post may be.", "Shorten it with Edit.")
