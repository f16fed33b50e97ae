"""The one place that proves Discord's limits, and that takes the teeth out of text that is not ours.

Discord counts UTF-16 code units in messages and embeds; we count the same way, so that a row of emoji never breaks a
limit that Python's `len` thought was kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import discord

TITLE = 256
DESCRIPTION = 4096
FIELD_NAME = 256
FIELD_VALUE = 1024
FIELDS = 25
FOOTER = 2048
AUTHOR = 256
EMBED_TOTAL = 6000
BUTTON_LABEL = 80
MODAL_TITLE = 45
MODAL_INPUT = 4000
SELECT_OPTIONS = 25
OPTION_TEXT = 100

_ELLIPSIS = "…"
_LONGEST_WORD = 24  # characters; what is longer is no word, and may be cut
_INVITE = re.compile(r"(discord(?:app)?\.(?:gg|com|me|io))(?=/)", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^\s<>`|]+")
_EMBEDDINGS = re.compile("[\u202a\u202b\u202d\u202e]")  # direction of writing, ended by the next
_END_EMBEDDING = "\u202c"
_ISOLATES = re.compile("[\u2066-\u2068]")
_END_ISOLATE = "\u2069"
_ZERO_WIDTH = "\u200b"


def length(text: str) -> int:
    """The length as Discord counts it: UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, limit: int) -> str:
    """The text, shortened to the limit with an ellipsis; never within a character or an escape, seldom in a word."""
    if length(text) <= limit:
        return text
    room = limit - length(_ELLIPSIS)
    taken = 0
    for position, character in enumerate(text):
        taken += length(character)
        if taken > room:
            return _without_rest(text[:position], character) + _ELLIPSIS
    return text


def _without_rest(text: str, following: str) -> str:
    """The text without half a word, unless that is most of it, and without a backslash that escapes nothing."""
    begin = max(text.rfind(" "), text.rfind("\n"))
    if not following.isspace() and begin > 0 and len(text) - begin <= min(_LONGEST_WORD, len(text) // 2):
        text = text[:begin]
    text = text.rstrip()
    backslashes = len(text) - len(text.rstrip("\\"))
    return text[:-1] if backslashes % 2 else text


def foreign(text: str) -> str:
    """Text of a blog, a model or a stranger, made harmless: no markdown, no mentions, no invites, no masked links."""
    whole = _without_surrogates(text)
    escaped: list[str] = []
    position = 0
    for address in _ADDRESS.finditer(whole):
        # An address stays as it is: Discord would take a backslash for a part of it.
        escaped += [_escape(whole[position : address.start()]), address[0]]
        position = address.end()
    escaped.append(_escape(whole[position:]))
    harmless = _in_our_direction(discord.utils.escape_mentions("".join(escaped)))
    return _INVITE.sub(lambda found: found[1].replace(".", f".{_ZERO_WIDTH}"), harmless)


def _in_our_direction(text: str) -> str:
    """The text with every change of the direction of writing ended where its line ends: ours may go on there."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        isolates = len(_ISOLATES.findall(line)) - line.count(_END_ISOLATE)
        embeddings = len(_EMBEDDINGS.findall(line)) - line.count(_END_EMBEDDING)
        lines[number] = line + _END_ISOLATE * isolates + _END_EMBEDDING * embeddings
    return "\n".join(lines)


def _escape(text: str) -> str:
    text = re.sub(r"([\\*_~|`\[\]()])", r"\\\1", text)
    text = re.sub(r"^(\s*)(#{1,3}|-#|-|\+|>{1,3}|\d+\.)(?=\s)", _escape_line_start, text, flags=re.MULTILINE)
    return re.sub(r"<(?=[@#:/]|t:|id:|a:)", f"<{_ZERO_WIDTH}", text)


def _escape_line_start(found: re.Match[str]) -> str:
    mark = found[2]
    return f"{found[1]}{mark[:-1]}\\{mark[-1]}" if mark[0].isdigit() else f"{found[1]}\\{mark}"


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def embed(  # every part is optional in Discord too
    *,
    title: str = "",
    description: str = "",
    url: str | None = None,
    colour: discord.Colour | None = None,
    author: str = "",
    author_url: str | None = None,
    author_icon: str | None = None,
    fields: Sequence[tuple[str, str, bool]] = (),
    footer: str = "",
) -> discord.Embed:
    """An embed that keeps every limit: parts are cut, then the description gives way until the whole fits.

    `fields` are (name, value, inline). The texts must be harmless already (`foreign`).
    """
    made = discord.Embed(title=cut(title, TITLE) or None, url=url, colour=colour)
    if author:
        made.set_author(name=cut(author, AUTHOR), url=author_url, icon_url=author_icon)
    if footer:
        made.set_footer(text=cut(footer, FOOTER))
    for name, value, inline in fields[:FIELDS]:
        made.add_field(
            name=cut(name, FIELD_NAME) or _ZERO_WIDTH, value=cut(value, FIELD_VALUE) or _ZERO_WIDTH, inline=inline
        )
    while made.fields and _total(made) > EMBED_TOTAL - DESCRIPTION // 2:
        made.remove_field(len(made.fields) - 1)
    made.description = cut(description, room_left(made)) or None
    return made


def room_left(made: discord.Embed) -> int:
    """How long the description of an embed may be that has everything else already."""
    return min(DESCRIPTION, EMBED_TOTAL - _total(made) + length(made.description or ""))


def _total(made: discord.Embed) -> int:
    parts = [made.title or "", made.description or "", made.author.name or "", made.footer.text or ""]
    parts += [text for field in made.fields for text in (field.name or "", field.value or "")]
    return sum(length(part) for part in parts)


def web_address(url: str | None) -> str | None:
    """An address that Discord takes in a link button or an embed, or None."""
    if url is None or not url.startswith(("https://", "http://")) or len(url) > 512 or re.search(r"\s", url):  # noqa: PLR2004 - Discord's limit
        return None
    return url
