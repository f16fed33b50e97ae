"""How the Tumblr stand-in reads requests, renders its answers: shapes only, no state."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from bot.demo.tumblr_blog import Listing, Npf, Refused, StandInBlog, as_legacy

DEFAULT_LIMIT = 20
FORM = "application/x-www-form-urlencoded"

REASONS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 429: "Limit Exceeded"}
JOKE = "This is not the response you are looking for."
BLOCK_PAGE = "<!DOCTYPE html><html><head><title>403 Forbidden</title></head><body><h1>Forbidden</h1></body></html>"

# --- requests -------------------------------------------------------------------------------------------------


async def read_body(request: web.Request) -> object:
    if request.content_type == FORM:
        return dict(parse_qsl(await request.text(), keep_blank_values=True))
    if request.content_type != "application/json":
        return None
    try:
        return msgspec.json.decode(await request.read())
    except msgspec.DecodeError:
        return None


def read_listing(query: Mapping[str, str], page_limit: int) -> Listing:
    listing = Listing(
        limit=read_limit(query, page_limit),
        before=read_number(query, "before"),
        after=read_number(query, "after"),
        offset=read_number(query, "offset") or 0,
        oldest_first=query.get("sort") == "asc",
        tags=tuple(value for key, value in query.items() if key == "tag" or key.startswith("tag[")),
    )
    if sum([listing.before is not None, listing.after is not None, listing.offset > 0]) > 1:
        raise Refused(400, "Only one of before, after and offset may be given")
    return listing


def read_limit(query: Mapping[str, str], page_limit: int) -> int:
    limit = read_number(query, "limit")
    return min(max(1, DEFAULT_LIMIT if limit is None else limit), page_limit)


def read_number(query: Mapping[str, str], name: str) -> int | None:
    """A number that is not negative. Raises Refused for any other text."""
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 20):  # noqa: PLR2004 -- 64 bits have no more digits
        raise Refused(400, f"{name} must be a number")
    return int(text)


# --- answers --------------------------------------------------------------------------------------------------


def envelope(status: int, response: object) -> web.Response:
    reason = REASONS.get(status) or {200: "OK", 201: "Created", 301: "Moved Permanently"}[status]
    return _json(status, {"meta": {"status": status, "msg": reason}, "response": response})


def error_answer(refused: Refused) -> web.Response:
    meta = {"status": refused.status, "msg": REASONS[refused.status]}
    errors = [{"title": refused.title, "code": refused.code, "detail": JOKE}]
    return _json(refused.status, {"meta": meta, "response": [], "errors": errors})


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json", charset="utf-8")


async def refuse_legacy(request: web.Request) -> web.Response:
    """The endpoints of old, which answer with a page since late 2025."""
    del request
    return web.Response(status=403, text=BLOCK_PAGE, content_type="text/html")


def blog_object(blog: StandInBlog, request: web.Request) -> Npf:
    avatar = f"http://{request.host}/stand-in/avatar.png"
    return {
        "name": blog.name,
        "title": blog.title,
        "description": blog.description,
        "url": blog.url,
        "uuid": blog.uuid,
        "updated": blog.updated,
        "posts": blog.estimated_posts,
        "total_posts": blog.estimated_posts,
        "ask": True,
        "ask_anon": False,
        "is_nsfw": False,
        "share_likes": False,
        "avatar": [{"width": 64, "height": 64, "url": avatar}],
        "theme": {"avatar_shape": "square", "background_color": "#FAFAFA", "title_color": "#444444"},
    }


def posts_page(blog: StandInBlog, posts: Iterable[Npf], total: int, request: web.Request) -> Npf:
    return {"blog": blog_object(blog, request), "posts": rendered(posts, request), "total_posts": total}


def rendered(posts: Iterable[Npf], request: web.Request) -> list[Npf]:
    is_npf = request.query.get("npf") in {"true", "1"}
    return [post if is_npf else as_legacy(post) for post in posts]


def next_link(path: str, query: dict[str, str]) -> Npf:
    return {"next": {"type": "action", "method": "GET", "href": path, "query_params": query}}


async def avatar_picture(request: web.Request) -> web.Response:
    """A square of one colour."""
    del request

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = 64
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\0" + bytes((0, 25, 53)) * size) * size)
    picture = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return web.Response(body=picture, content_type="image/png")
