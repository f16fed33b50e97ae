"""Reading requests and writing answers in the OpenAI stand-in: JSON bodies, forms, pages."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from typing import TypeVar

import msgspec
from aiohttp import web

from bot.demo.openai_errors import Refusal

Shape = TypeVar("Shape", bound=msgspec.Struct)
Item = TypeVar("Item")


async def read_body(request: web.Request, shape: type[Shape]) -> Shape:
    """Read a JSON body; raises the 400 for what is not JSON, or is not as `shape` says."""
    try:
        return msgspec.json.decode(await request.read(), type=shape)
    except msgspec.ValidationError as error:
        raise Refusal(400, f"Invalid request: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = "We could not parse the JSON body of your request."
        raise Refusal(400, message) from error


def json_answer(body: object, headers: Mapping[str, str] | None = None, *, status: int = 200) -> web.Response:
    data = msgspec.json.encode(body)
    named = {"x-request-id": f"req_{uuid.uuid4().hex}", **(headers or {})}
    return web.Response(status=status, body=data, content_type="application/json", headers=named)


def page(items: Sequence[Item], ids: Sequence[str], request: web.Request, usual: int) -> tuple[list[Item], bool]:
    """The page of `items` (with these `ids`) that the query's `after` and `limit` ask for, and whether more follow."""
    limit, after = request.query.get("limit", str(usual)), request.query.get("after")
    if not limit.isdecimal() or int(limit) < 1:
        raise Refusal(400, f"'{limit}' is not a valid limit.", param="limit")
    if after is not None and after not in ids:
        raise Refusal(400, f"There is nothing with the id '{after}' to go on after.", param="after")
    start = 0 if after is None else ids.index(after) + 1
    end = start + int(limit)
    return list(items[start:end]), end < len(items)


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a form."""

    content: bytes = b""
    filename: str | None = None


def read_form(content_type: str, body: bytes) -> dict[str, FormField]:
    """Read a multipart form from bytes.

    Not aiohttp's reader: it wants the connection's stream, and the log and the faults have read that to its end.
    """
    header = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode())
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        raise Refusal(400, "The request is not a multipart form.")
    fields: dict[str, FormField] = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary.encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        headers = message_from_bytes(head.lstrip(b"\r\n") + b"\r\n\r\n")
        name = headers.get_param("name", header="content-disposition")
        if isinstance(name, str):
            fields[name] = FormField(content, headers.get_filename())
    return fields
