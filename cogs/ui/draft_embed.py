"""A draft as people see it: it looks like the post it will be, says where it will go, and becomes a receipt."""

from __future__ import annotations

from dataclasses import dataclass

import discord

from bot.config import Settings
from bot.drafts import EXPIRE, Draft, DraftState, Parent, UploadState
from cogs.ui.limits import cut, embed, foreign, length, room_left, web_address
from cogs.ui.words import dollars

_COLOURS = {
    DraftState.PENDING: discord.Colour.blurple(),
    DraftState.APPROVED: discord.Colour.gold(),
    DraftState.UPLOADING: discord.Colour.gold(),
    DraftState.UPLOADED: discord.Colour.green(),
    DraftState.UNKNOWN: discord.Colour.orange(),
    DraftState.REJECTED: discord.Colour.red(),
    DraftState.REPLACED: discord.Colour.light_grey(),
}
_TO_LOOK_AT = discord.Colour.orange()
WILL = {
    UploadState.DRAFT: "saves it as a draft on {blog}. Nobody sees it there until you publish it.",
    UploadState.QUEUE: "puts it into the queue of {blog}, which publishes it by itself.",
    UploadState.PUBLISHED: "publishes it on {blog} at once, for everybody to see.",
    UploadState.PRIVATE: "posts it on {blog} as a private post.",
}
"""What *Approve* does, after that word."""
_WILL_REBLOG = {
    UploadState.DRAFT: "saves it as a draft on {blog}, as a reblog of that post of {parent}."
    " Nobody sees it there until you publish it.",
    UploadState.QUEUE: "puts it into the queue of {blog}, which reblogs that post of {parent} by itself.",
    UploadState.PUBLISHED: "reblogs that post of {parent} on {blog} at once, for everybody to see.",
    UploadState.PRIVATE: "reblogs that post of {parent} on {blog} as a private post.",
}
WILL_BE = {
    UploadState.DRAFT: "will be saved as a draft on {blog}",
    UploadState.QUEUE: "will be put into the queue of {blog}",
    UploadState.PUBLISHED: "will be published on {blog} at once, for everybody to see",
    UploadState.PRIVATE: "will be posted on {blog} as a private post",
}
"""Where an approved draft goes, and as what."""
_DID = {
    UploadState.DRAFT: "Saved as a draft on {blog}.",
    UploadState.QUEUE: "Put into the queue of {blog}.",
    UploadState.PUBLISHED: "Published on {blog}.",
    UploadState.PRIVATE: "Posted on {blog} as a private post.",
}
_TITLES = {
    DraftState.PENDING: "Waiting for you",
    DraftState.APPROVED: "Approved",
    DraftState.UPLOADING: "Uploading",
    DraftState.UPLOADED: "Uploaded",
    DraftState.UNKNOWN: "Answer lost",
    DraftState.REJECTED: "Rejected",
    DraftState.REPLACED: "Replaced",
}
_QUOTED = 500  # code units of a reblogged post that are shown, before they are made harmless
_QUOTED_LINES = 12
_LONGEST_TAGS = 700  # code units
_SHORTEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """A draft's embed, and whether all of its text and of the reblogged post is in it."""

    embed: discord.Embed
    is_whole: bool


def render(draft: Draft, settings: Settings) -> Shown:
    """The draft as people see it, whatever state it is in."""
    fields = [(_TITLES[draft.state], _status(draft, settings), False)]
    if draft.reason:
        fields.append(("Why", foreign(draft.reason), False))
    if draft.note:
        fields.append(("Please note", draft.note, False))
    found = " ".join(foreign(finding.sentence) for finding in draft.findings)
    if draft.held_back:
        fields.append(("Held back", found or "The guards found something in it.", False))
    elif found:
        fields.append(("Found in it", found, False))
    fields += _facts(draft)
    made = embed(
        author=draft.blog,
        author_url=f"https://www.tumblr.com/{draft.blog}" if ":" not in draft.blog else None,
        author_icon=_avatar(draft.blog, settings),
        colour=_TO_LOOK_AT if draft.state is DraftState.UPLOADED and draft.note else _COLOURS[draft.state],
        fields=fields,
        footer=f"Draft {draft.id}",
    )
    # As on Tumblr: first the post that is reblogged, then what this one adds to it, then the tags.
    above, is_quoted_whole = _quoted(draft.parent) if draft.parent else ("", True)
    tags = " ".join(f"#{foreign(tag)}" for tag in draft.tags)
    below = f"\n\n{cut(tags, _LONGEST_TAGS)}" if tags else ""
    room = room_left(made)
    text = foreign(draft.text)
    left = max(room - length(above) - length(below), _SHORTEST_TEXT)
    description = above + cut(text, left) + below
    made.description = cut(description, room) or None
    is_whole = length(text) <= left and length(tags) <= _LONGEST_TAGS and length(description) <= room
    return Shown(made, is_quoted_whole and is_whole)


def in_full(draft: Draft) -> str:
    """Everything that the post will hold, as plain text."""
    parts = [draft.text, " ".join(f"#{tag}" for tag in draft.tags)]
    if draft.parent is not None:
        parts = [f"{draft.parent.blog_name or 'another blog'} wrote:", draft.parent.text, "---", *parts]
    return "\n\n".join(part for part in parts if part)


def _facts(draft: Draft) -> list[tuple[str, str, bool]]:
    """What is small, and stands below."""
    fields = [("Voice", foreign(draft.voice_name), True), ("Cost", dollars(draft.cost), True)]
    if draft.closeness is not None:
        near = f"{draft.closeness:.0%}"
        link = web_address(draft.closest.url) if draft.closest else None
        if link is not None:
            near += f", to [this post]({link.replace('(', '%28').replace(')', '%29')})"
        fields.append(("Close to the training data", near, True))
    if draft.edited:
        fields.append(("Edited", "by hand", True))
    if draft.replaces is not None:
        fields.append(("Instead of", f"draft {draft.replaces}", True))
    return fields


def _avatar(blog: str, settings: Settings) -> str | None:
    """Where Tumblr shows the blog's avatar to everybody; None where the API is a stand-in on this machine."""
    api_url = settings.tumblr.api_url
    return f"{api_url}/v2/blog/{blog}/avatar/64" if blog and api_url.startswith("https://") else None


def _quoted(parent: Parent) -> tuple[str, bool]:
    """Who wrote the post that is reblogged, with a link to it, how it begins, and whether that is all of it."""
    name = _author(parent)
    link = web_address(parent.url)
    if link is not None:
        name = f"[{name}]({link.replace('(', '%28').replace(')', '%29')})"
    lines = [line for line in cut(parent.text, _QUOTED).splitlines() if line.strip()]
    is_whole = length(parent.text) <= _QUOTED and len(lines) <= _QUOTED_LINES
    if len(lines) > _QUOTED_LINES:
        lines = [*lines[:_QUOTED_LINES], "…"]
    quote = "\n".join(f"> {line}" for line in foreign("\n".join(lines)).splitlines())
    return f"{name} wrote:\n{quote}\n\n", is_whole


def _author(parent: Parent) -> str:
    return f"**{foreign(cut(' '.join(parent.blog_name.split()), 64)) or 'another blog'}**"


def _status(draft: Draft, settings: Settings) -> str:
    blog = f"**{foreign(draft.blog)}**"
    when = f" <t:{int(draft.decided_at)}:f>" if draft.decided_at is not None else ""
    who = f"by {foreign(draft.decided_by)}{when}" if draft.decided_by else ""
    approved = f"Approved by {_names(draft.approved_by)}{when}." if draft.approved_by else f"Approved {who}."
    match draft.state:
        case DraftState.PENDING:
            return _what_approval_does(draft, blog, settings)
        case DraftState.APPROVED | DraftState.UPLOADING:
            turn = f" {_turn(draft, blog)}" if draft.publish_at is not None else ""
            return f"{approved} It {WILL_BE[draft.upload_state].format(blog=blog)}.{turn}"
        case DraftState.UPLOADED:
            if draft.removal is not None and draft.removal.is_open:
                return f"It is being deleted on {blog}, and will wait for a decision again. {approved}"
            # A note on it says that Tumblr has made something else of it than was approved, or that it stays there.
            did = f"It is on {blog}." if draft.note else _DID[draft.upload_state].format(blog=blog)
            turn = f" {_turn(draft, blog)}" if draft.publish_at is not None and draft.removal is None else ""
            return f"{did} {approved}{turn if draft.upload_state is UploadState.QUEUE else ''}"
        case DraftState.UNKNOWN:
            looking = "" if draft.note else " The bot is looking on the blog for it before it does anything else."
            return f"{approved} Whether it reached {blog} is not known.{looking}"
        case DraftState.REJECTED if draft.last_action == EXPIRE:
            return f"Rejected by the bot{when}, since nobody had decided about it for so long. *Undo* brings it back."
        case DraftState.REJECTED:
            return f"Rejected {who}. It will not be posted."
        case DraftState.REPLACED:
            return f"Set aside {who}. Another one was written from the same prompt."


def _what_approval_does(draft: Draft, blog: str, settings: Settings) -> str:
    needed = settings.review.approvals_needed
    missing = max(1, needed - len(draft.approved_by))
    if draft.parent is not None:
        will = _WILL_REBLOG[draft.upload_state].format(blog=blog, parent=_author(draft.parent))
    else:
        will = WILL[draft.upload_state].format(blog=blog)
    if settings.review.posts_a_day and draft.upload_state in {UploadState.QUEUE, UploadState.PUBLISHED}:
        will = f"{will.replace(' at once', '').removesuffix('.')}, when its turn has come."
    if needed == 1:
        return f"*Approve* {will}"
    so_far = f"Approved by {_names(draft.approved_by)} so far. " if draft.approved_by else ""
    if missing == 1:
        return f"{so_far}One more *Approve* {will}"
    return f"{so_far}It takes {missing} more people. The last *Approve* {will}"


def _turn(draft: Draft, blog: str) -> str:
    moment = f"<t:{int(draft.publish_at or 0)}:f>"
    if draft.upload_state is UploadState.QUEUE:
        return f"The queue publishes it on {moment}."
    return f"It goes to {blog} on {moment}."


def _names(names: tuple[str, ...]) -> str:
    shown = [foreign(name) for name in names]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def removal_place(draft: Draft) -> str:
    """Where *Undo* deletes an uploaded draft, in words."""
    place = "the queue" if draft.upload_state is UploadState.QUEUE else "the drafts"
    return f"{place} of **{foreign(draft.blog)}**"
