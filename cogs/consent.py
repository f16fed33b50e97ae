"""/consent: who says that a blog of somebody else may be downloaded, and what becomes of it when that is over."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Client, needs
from bot.permissions import Level
from bot.store import consents as store
from bot.store.consents import Consent
from cogs.ui.buttons import person
from cogs.ui.complete import LONGEST_CHOICE, MOST_CHOICES
from cogs.ui.limits import cut, embed, foreign, length

_NOTE_SHOWN = 100  # characters of each note in the list
_LIST = 3_500  # UTF-16 code units, under the 4,096 of a description


class ConsentCog(commands.Cog):
    """The commands of the consents."""

    consent = app_commands.Group(
        name="consent", description="Who says that blogs of others may be downloaded.", guild_only=True
    )

    @needs(Level.OWNER)
    @consent.command(name="add", description="Record who says that a blog of somebody else may be downloaded.")
    @app_commands.describe(
        blog="The blog: its name, its address, or the address of one of its posts.",
        note="Who allows it, and where they said so.",
    )
    async def add(
        self,
        interaction: discord.Interaction[Client],
        blog: app_commands.Range[str, 1, 200],
        note: app_commands.Range[str, 1, 500],
    ) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        app = interaction.client.app
        given = await app.give_consent(blog, note, person(interaction))
        await interaction.followup.send(embed=_recorded(given, app.settings.retention.other_blogs_days), ephemeral=True)

    @needs(Level.REVIEWER)
    @consent.command(name="list", description="Show which blogs of others may be downloaded, and who said so.")
    async def show(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        found = await store.consents(interaction.client.app.database)
        shown, is_whole = _listed(found)
        if is_whole:
            await interaction.followup.send(embed=shown, ephemeral=True)
        else:
            file = discord.File(io.BytesIO("\n\n".join(map(_in_full, found)).encode()), "consents.txt")
            await interaction.followup.send(embed=shown, file=file, ephemeral=True)

    @needs(Level.OWNER)
    @consent.command(name="revoke", description="Take consent back, and remove what is here of that blog at once.")
    @app_commands.describe(blog="The blog, as it was recorded.")
    async def revoke(self, interaction: discord.Interaction[Client], blog: app_commands.Range[str, 1, 200]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        consent, purged = await interaction.client.app.revoke_consent(blog, person(interaction))
        name = foreign(consent.blog_name)
        await interaction.followup.send(
            embed=embed(
                title="Consent revoked",
                description=f"{name} may not be downloaded any more. What was here of it is gone, from the database"
                " and from the training data file.",
                fields=[
                    ("Posts", f"{purged.posts:,} removed", True),
                    ("Examples", f"{purged.examples:,} removed, of all datasets", True),
                    ("Drafts", f"{purged.parents:,} lost the post they reblog", True),
                ],
                footer="Files that were uploaded to a model service, and voices trained on them, are there as before.",
            ),
            ephemeral=True,
        )

    @revoke.autocomplete("blog")
    async def _complete(self, interaction: discord.Interaction[Client], typed: str) -> list[app_commands.Choice[str]]:
        wanted = typed.strip().removeprefix("@").lower()
        return [
            # The UUID is sent: a name may have belonged to two blogs.
            app_commands.Choice(name=cut(f"{each.blog_name} ({each.note})", LONGEST_CHOICE), value=each.blog_uuid)
            for each in await store.active_consents(interaction.client.app.database)
            if wanted in each.blog_name.lower() or wanted in each.blog_uuid.lower()
        ][:MOST_CHOICES]


def _recorded(given: Consent, days: int) -> discord.Embed:
    kept = (
        f"Each post for {days} {'day' if days == 1 else 'days'} after it was last seen on the blog. Then it is removed"
        " from the posts, the training data and the files, and a new /download fetches it again."
    )
    return embed(
        title="Consent recorded",
        description=f"{foreign(given.blog_name)} may be downloaded and reblogged from now on.",
        fields=[
            ("Blog", foreign(given.blog_name), True),
            ("Said by", foreign(given.given_by), True),
            ("When", f"<t:{int(given.given_at)}:F>", True),
            ("Note", foreign(given.note), False),
            ("Kept", kept, False),
        ],
        footer="/consent revoke takes it back, and removes everything of this blog at once.",
    )


def _listed(found: list[Consent]) -> tuple[discord.Embed, bool]:
    """The consents, those that hold first; and whether all of them are there in full."""
    if not found:
        return embed(
            title="Consents",
            description="No consent has been recorded. Blogs of the connected account need none; for any other,"
            " use /consent add.",
        ), True
    ordered = sorted(found, key=lambda each: each.revoked_at is not None)
    is_whole = all(length(each.note) <= _NOTE_SHOWN for each in found)
    lines: list[str] = []
    room = _LIST
    for each in ordered:
        line = _line(each)
        room -= length(line) + 1
        if room < 0:
            break
        lines.append(line)
    left = len(ordered) - len(lines)
    if left:
        lines.append(f"and {left:,} more.")
    footer = "" if is_whole and not left else "The file has all of them in full."
    return embed(title="Consents", description="\n".join(lines), footer=footer), is_whole and not left


def _line(each: Consent) -> str:
    note = foreign(cut(" ".join(each.note.split()), _NOTE_SHOWN))
    line = f"**{foreign(each.blog_name)}**: given by {foreign(each.given_by)} <t:{int(each.given_at)}:d>. {note}"
    if each.revoked_at is not None:
        line = f"Revoked by {foreign(each.revoked_by or 'nobody')} <t:{int(each.revoked_at)}:d>: {line}"
    return line


def _in_full(each: Consent) -> str:
    lines = [
        f"{each.blog_name} ({each.blog_uuid})",
        f"given by {each.given_by}, {_date(each.given_at)}",
        *([f"revoked by {each.revoked_by}, {_date(each.revoked_at)}"] if each.revoked_at is not None else []),
        each.note,
    ]
    return "\n".join(lines)


def _date(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"


async def setup(client: Client) -> None:
    await client.add_cog(ConsentCog())
