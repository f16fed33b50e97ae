"""What the bot keeps, in words: sizes, an export, a backup, what a deletion would take with it, what came of that."""

from __future__ import annotations

from collections.abc import Iterable

import discord

from bot.backup import Backup
from bot.data_desk import Deleted, OnDisk
from bot.drafts import DraftState
from bot.pipeline.delete import Doomed, What
from bot.pipeline.export import FIELDS, Export
from bot.store.copies import EXPORTS
from bot.store.sizes import Counts
from bot.words import counted
from cogs.ui.limits import embed, foreign
from cogs.ui.words import relative, size

_MOST_BLOGS = 15
_DANGER = discord.Colour.red()


def sizes_message(counts: Counts, disk: OnDisk) -> discord.Embed:
    """How much there is, and how much room it takes."""
    backups = "none yet; /data backup makes one"
    if disk.newest_backup is not None:
        backups = (
            f"{disk.backups:,}, {size(disk.backup_bytes)}; the newest {relative(disk.newest_backup)},"
            f" {foreign(disk.newest_name)}"
        )
    retired = f", {counts.retired:,} of them retired" if counts.retired else ""
    fields = [
        ("Posts", _blogs(counts), False),
        ("Datasets", _datasets(counts), True),
        ("Voices", f"{counts.voices:,}{retired}", True),
        ("Drafts", _drafts(counts), True),
        ("Records", _records(counts), False),
        ("Database", size(disk.database), True),
        ("Training files", size(disk.training_files) if disk.training_files else "none yet", True),
        ("Custom prompts", size(disk.custom_prompts) if disk.custom_prompts else "none", True),
        ("Backups", backups, False),
    ]
    if disk.exports:
        fields.append(("Exports", f"{disk.exports:,} in the folder {EXPORTS}, {size(disk.export_bytes)}", True))
    fields.append(("Left on the disk", size(disk.free), True))
    return embed(
        title="What is here",
        fields=fields,
        footer="/data export takes it away, /data backup copies it, /data delete removes it.",
    )


def _blogs(counts: Counts) -> str:
    lines = [
        f"{foreign(blog.name)}: {blog.posts:,}{'' if blog.is_own else ', of somebody else'}"
        for blog in counts.blogs[:_MOST_BLOGS]
    ]
    rest = counts.blogs[_MOST_BLOGS:]
    if rest:
        lines.append(f"and {counted(len(rest), 'blog')} more: {sum(blog.posts for blog in rest):,}")
    return "\n".join(lines) or "none yet"


def _datasets(counts: Counts) -> str:
    return f"{counts.datasets:,}, with {counted(counts.examples, 'example')}" if counts.datasets else "none yet"


def _drafts(counts: Counts) -> str:
    lines = [f"{counts.drafts[state]:,} {state.words}" for state in DraftState if counts.drafts.get(state)]
    return ", ".join(lines) or "none yet"


def _records(counts: Counts) -> str:
    parts = [
        counted(counts.decisions, "decision"),
        counted(counts.audit, "audit entry", "audit entries"),
        counted(counts.jobs, "job"),
        counted(counts.calls, "paid call"),
        f"{counted(counts.consents, 'consent')} in force",
    ]
    return ", ".join(parts)


# --- taking away ----------------------------------------------------------------------------------------------


def export_message(export: Export) -> str:
    """What is in an export that comes as a file."""
    files = ", ".join(f"{name} ({counted(lines, 'line')})" for name, lines in export.lines.items())
    return f"JSON Lines, {size(export.size)} as a zip: {files}. {FIELDS} in it says what each field means."


def kept_export_message(export: Export, name: str, limit: int) -> str:
    """Where an export is that is too large for Discord."""
    return (
        f"The export has {size(export.size)}, and Discord takes {size(limit)} here. It is on the bot's own machine:"
        f" **{foreign(name)}** in the folder {EXPORTS} of `data_directory`. {FIELDS} in it says what each field means."
    )


def backup_message(made: Backup, bytes_taken: int) -> discord.Embed:
    """A backup that was made by hand."""
    held = [f"{foreign(name)}, {size(packed.size)}" for name, packed in made.manifest.files.items()]
    fields = [
        ("File", f"{foreign(made.path.name)} in the folder {made.path.parent.name} of `data_directory`", False),
        ("Size", size(bytes_taken), True),
        ("In it", "\n".join(held), True),
    ]
    if made.left_out:
        fields.append(("Not in it", foreign(" ".join(made.left_out)), False))
    return embed(
        title="Backup made",
        description="No key or token is in it. `python3 -m bot restore FILE` puts it back while the bot is stopped.",
        fields=fields,
        footer="One made by hand is kept until you remove it, or until posts of somebody else in it must go.",
    )


# --- deleting -------------------------------------------------------------------------------------------------


def doomed_message(doomed: Doomed, days: int) -> discord.Embed:
    """What would go, what depends on it and what stays, before anything is deleted."""
    fields = [
        ("What goes", _lines(_goes(doomed)), False),
        ("What depends on it", _lines(_depends(doomed)), False),
        ("What stays", _lines(_stays(doomed)), False),
        ("First a backup", _backup(days), False),
    ]
    return embed(
        title=f"Delete {_title(doomed)}?",
        description=f"Nothing is deleted before you press the button and type **{foreign(doomed.typed)}**.",
        colour=_DANGER,
        fields=[field for field in fields if field[1]],
    )


def deleted_message(deleted: Deleted) -> discord.Embed:
    """The receipt."""
    fields = [
        ("Gone", _lines(_goes(deleted.doomed)), False),
        (
            "Backup",
            f"**{foreign(deleted.backup.path.name)}** holds what was deleted. {_kept(deleted.days)}",
            False,
        ),
    ]
    if deleted.warning is not None:
        fields.append(("Please note", foreign(f"{deleted.warning.sentence} {deleted.warning.next_step}"), False))
    return embed(title=f"Deleted: {_title(deleted.doomed)}", fields=fields, footer="/data audit has it on record.")


def _title(doomed: Doomed) -> str:
    if doomed.what is What.POSTS:
        return f"the posts of {foreign(doomed.name)}"
    return f"the {doomed.name}" if doomed.what is What.DRAFTS and doomed.which != "all" else doomed.name


def _goes(doomed: Doomed) -> Iterable[str]:
    if doomed.posts:
        yield counted(doomed.posts, "post")
    if doomed.what is What.POSTS and doomed.examples:
        yield f"{counted(doomed.examples, 'example')} made of them, in {counted(doomed.datasets, 'dataset')}"
    elif doomed.datasets:
        what = doomed.name if doomed.what is What.DATASET else counted(doomed.datasets, "dataset")
        yield f"{what}, with {counted(doomed.examples, 'example')}, messages and settings"
    if doomed.screening_decisions:
        yield f"{counted(doomed.screening_decisions, 'decision')} about its screening; the audit keeps who took them"
    if doomed.drafts:
        aside = f", {doomed.set_aside:,} of them set aside for another" if doomed.set_aside else ""
        yield counted(doomed.drafts, "draft") + aside
    if doomed.decisions:
        words = f"the words of {counted(doomed.decisions, 'decision')} about them"
        yield f"{words}; the audit keeps who took them, and when"
    if doomed.comparisons:
        yield f"{counted(doomed.comparisons, 'comparison')} of voices"
    if doomed.what is not What.EVERYTHING and doomed.parents:
        yield f"the text of the post above {counted(doomed.parents, 'draft')}; the drafts stay"
    if doomed.what is What.EVERYTHING:
        yield "what screening found, texts that are no drafts yet, and exports in the folder exports"


def _depends(doomed: Doomed) -> Iterable[str]:
    if doomed.what is What.POSTS:
        if doomed.datasets:
            yield "Datasets that lose examples are smaller from then on."
        yield "Few-shot and the guard against copies do without these posts."
    if doomed.voices:
        trained = "a dataset" if doomed.what is What.EVERYTHING else "it"
        stay = "stays as it is, and goes" if doomed.voices == 1 else "stay as they are, and go"
        yield f"{counted(doomed.voices, 'voice')} trained on {trained} {stay} on naming the dataset."
    if doomed.is_edited:
        yield (
            "The training file was edited by hand. It stays, but for the lines of posts that go; where those cannot be"
            " told from the edited ones, it goes too."
            if doomed.posts
            else "The training file was edited by hand, and stays."
        )
    elif doomed.what is What.EVERYTHING and doomed.is_newest:
        yield "The training file is removed with the last dataset."
    elif doomed.is_newest:
        yield "The training file becomes that of the dataset before; without one it is removed."
    elif doomed.what is What.POSTS and doomed.examples:
        yield "The training file is written anew where it has one of them."
    if doomed.drafts:
        yield "The figures of the voices, and what decisions teach, do without these drafts."


def _stays(doomed: Doomed) -> Iterable[str]:
    if doomed.under_way:
        yield f"{counted(doomed.under_way, 'draft')} approved, being sent or written anew. Undo takes an approval back."
    if doomed.sent:
        yield f"{counted(doomed.sent, 'draft')} sent to Tumblr before, with the decisions about them, as a record."
    if doomed.what is What.POSTS:
        yield "The posts on Tumblr. The next /download of this blog fetches them again."
    elif doomed.what is What.DATASET:
        yield "The posts that it was made of, and its number."
    elif doomed.what is What.EVERYTHING:
        yield "Settings, keys and custom\\_prompts.jsonl."
        yield "The record of what happened: money, audit, consents, jobs, trainings and voices."
    if doomed.what is not What.POSTS:
        yield "What is on Tumblr."
    gone = " A button of a draft that is gone says so." if doomed.drafts else ""
    yield f"Files and models at the services, and messages in Discord.{gone}"


def _backup(days: int) -> str:
    return (
        f"It holds everything that goes. {_kept(days)} Older backups hold it as well: nightly ones until"
        " newer ones take their place, those made by hand until you remove them."
    )


def _kept(days: int) -> str:
    return (
        f"It is kept for {counted(days, 'day')}, as the nightly ones are, and then removed; sooner where posts of"
        " somebody else in it must go."
    )


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(f"{line[:1].upper()}{line[1:]}" for line in lines)
