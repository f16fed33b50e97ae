"""A draft's message: it looks like the post it will be, says where it will go, and becomes a receipt."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import discord

from bot.client import DISCORD_FAILURES, Client, failure_in_words
from bot.drafts import Draft, DraftState, Parent, UploadState
from bot.errors import BotError
from bot.jobs.background import report_unexpected
from bot.store import drafts as store
from bot.store.database import carry_through
from cogs.ui.draft_buttons import WILL_BE, draft_view
from cogs.ui.limits import DESCRIPTION, cut, embed, foreign, length, web_address
from cogs.ui.words import dollars

_log = logging.getLogger(__name__)

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
_WILL = {
    UploadState.DRAFT: "*Approve* saves it as a draft on {blog}. Nobody sees it there until you publish it.",
    UploadState.QUEUE: "*Approve* puts it into the queue of {blog}, which publishes it by itself.",
    UploadState.PUBLISHED: "*Approve* publishes it on {blog} at once, for everybody to see.",
    UploadState.PRIVATE: "*Approve* posts it on {blog} as a private post.",
}
_WILL_REBLOG = {
    UploadState.DRAFT: "*Approve* saves it as a draft on {blog}, as a reblog of that post of {parent}."
    " Nobody sees it there until you publish it.",
    UploadState.QUEUE: "*Approve* puts it into the queue of {blog}, which reblogs that post of {parent} by itself.",
    UploadState.PUBLISHED: "*Approve* reblogs that post of {parent} on {blog} at once, for everybody to see.",
    UploadState.PRIVATE: "*Approve* reblogs that post of {parent} on {blog} as a private post.",
}
_DID = {
    UploadState.DRAFT: "Saved as a draft on {blog}.",
    UploadState.QUEUE: "Put into the queue of {blog}.",
    UploadState.PUBLISHED: "Published on {blog}.",
    UploadState.PRIVATE: "Posted on {blog} as a private post.",
}
_QUOTED = 500  # code units of a reblogged post that are shown, before they are made harmless
_QUOTED_LINES = 12
_BATCH = 200  # so many that drafts of a channel that is gone cannot crowd out the others
_REST = 60.0
_AFTER_FAILURE = 15.0
_DEADLINE = 30.0  # seconds for one message


class DraftMessages:
    """Keeps each draft's message in step with its row, whatever was missed while the bot was away."""

    def __init__(self, client: Client, *, edit_interval: float) -> None:
        self._client = client
        self._edit_interval = edit_interval

    async def keep(self) -> None:
        """Post and edit messages for as long as the bot runs."""
        await self._client.wait_until_ready()
        app = self._client.app
        while True:
            app.drafts_changed.clear()
            try:
                behind, failed = await self._catch_up()
            except BotError as error:  # the disk is full, say: it may have room again later
                _log.error("Drafts could not be shown: %s", error)
                behind, failed = False, True
            if behind and not failed:
                continue  # there may be more than a batch
            with suppress(TimeoutError):
                async with asyncio.timeout(_AFTER_FAILURE if failed else _REST):
                    await app.drafts_changed.wait()

    async def _catch_up(self) -> tuple[bool, bool]:
        """Show a batch of drafts. Returns whether there were any, and whether one of them could not be shown."""
        behind = await store.drafts_to_show(self._client.app.database, limit=_BATCH)
        failed = False
        for draft in behind:
            # To its end even when the bot stops: a message that was sent and not noted down would be sent twice.
            try:
                shown = await carry_through(self._show(draft))
            except BotError:
                raise
            except Exception as error:  # noqa: BLE001 - a defect in one draft must not hide all others
                report_unexpected(f"showing draft {draft.id}", error)
                shown = False
            failed = failed or not shown
            # Edits share their channel's allowance: a pause between them keeps room for answers to people.
            await asyncio.sleep(min(self._edit_interval, 1.0))
        return bool(behind), failed

    async def _show(self, draft: Draft) -> bool:
        """Bring one message up to date. False when Discord did not let us; it is tried again later."""
        channel_id = draft.channel_id or self._client.app.settings.discord.channel_id
        if channel_id is None:
            return False
        channel = self._client.get_partial_messageable(channel_id)
        shown, view = render(draft), draft_view(draft)
        message_id = draft.message_id
        try:
            async with asyncio.timeout(_DEADLINE):
                if message_id is not None:
                    try:
                        await channel.get_partial_message(message_id).edit(embed=shown, view=view)
                    except discord.NotFound:
                        message_id = None  # somebody deleted the message; the draft is still there
                if message_id is None:
                    message_id = (await channel.send(embed=shown, view=view or discord.utils.MISSING)).id
        except DISCORD_FAILURES as error:
            _log.warning("Draft %d could not be shown (%s).", draft.id, failure_in_words(error))
            return False
        async with self._client.app.database.write() as connection:
            await store.draft_shown(
                connection, draft.id, version=draft.version, channel_id=channel_id, message_id=message_id
            )
        return True


def render(draft: Draft) -> discord.Embed:
    """The draft as people see it, whatever state it is in."""
    blog = f"**{foreign(draft.blog)}**"
    # As on Tumblr: first the post that is reblogged, then what this one adds to it.
    above = f"{_quoted(draft.parent)}\n\n" if draft.parent else ""
    text = foreign(draft.text)
    if draft.tags:
        room = DESCRIPTION - 700 - length(above)
        text = f"{cut(text, room)}\n\n{' '.join(f'#{foreign(tag)}' for tag in draft.tags)}"
    fields = [(_status_name(draft), _status(draft, blog), False)]
    if draft.note:
        fields.append(("Please note", draft.note, False))
    fields += [
        ("Voice", foreign(draft.voice_name), True),
        ("Cost", dollars(draft.cost), True),
    ]
    if draft.edited:
        fields.append(("Edited", "by hand", True))
    if draft.replaces is not None:
        fields.append(("Instead of", f"draft {draft.replaces}", True))
    return embed(
        author=draft.blog,
        description=above + text,
        colour=_TO_LOOK_AT if draft.state is DraftState.UPLOADED and draft.note else _COLOURS[draft.state],
        fields=fields,
        footer=f"Draft {draft.id}",
    )


def _quoted(parent: Parent) -> str:
    """Who wrote the post that is reblogged, with a link to it, and how it begins."""
    name = _author(parent)
    link = web_address(parent.url)
    if link is not None:
        name = f"[{name}]({link.replace('(', '%28').replace(')', '%29')})"
    lines = [line for line in cut(parent.text, _QUOTED).splitlines() if line.strip()]
    if len(lines) > _QUOTED_LINES:
        lines = [*lines[:_QUOTED_LINES], "…"]
    quote = "\n".join(f"> {line}" for line in foreign("\n".join(lines)).splitlines())
    return f"{name} wrote:\n{quote}"


def _author(parent: Parent) -> str:
    return f"**{foreign(cut(' '.join(parent.blog_name.split()), 64)) or 'another blog'}**"


def _status_name(draft: Draft) -> str:
    return {
        DraftState.PENDING: "Waiting for you",
        DraftState.APPROVED: "Approved",
        DraftState.UPLOADING: "Uploading",
        DraftState.UPLOADED: "Uploaded",
        DraftState.UNKNOWN: "Answer lost",
        DraftState.REJECTED: "Rejected",
        DraftState.REPLACED: "Replaced",
    }[draft.state]


def _status(draft: Draft, blog: str) -> str:
    when = f" <t:{int(draft.decided_at)}:f>" if draft.decided_at is not None else ""
    who = f"by {foreign(draft.decided_by)}{when}" if draft.decided_by else ""
    match draft.state:
        case DraftState.PENDING:
            if draft.parent is not None:
                return _WILL_REBLOG[draft.upload_state].format(blog=blog, parent=_author(draft.parent))
            return _WILL[draft.upload_state].format(blog=blog)
        case DraftState.APPROVED | DraftState.UPLOADING:
            return f"Approved {who}. It {WILL_BE[draft.upload_state].format(blog=blog)}."
        case DraftState.UPLOADED:
            # A note on it says that Tumblr has made something else of it than was approved.
            did = f"It is on {blog}." if draft.note else _DID[draft.upload_state].format(blog=blog)
            return f"{did} Approved {who}."
        case DraftState.UNKNOWN:
            looking = "" if draft.note else " The bot is looking on the blog for it before it does anything else."
            return f"Approved {who}. Whether it reached {blog} is not known.{looking}"
        case DraftState.REJECTED:
            return f"Rejected {who}. It will not be posted."
        case DraftState.REPLACED:
            return f"Set aside {who}. Another one was written from the same prompt."
