"""/drafts list: drafts by state, voice and words, a page at a time; several can be chosen and decided at once.

Which page it is stands in the ids. What is chosen stands in the message itself: in the options of its select that are
marked, which Discord sends back with every press. Each has the version that was listed, so that nothing is approved
that has changed since.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Self

import discord

from bot.client import Client
from bot.drafts import Action, Draft, DraftState, UploadState
from bot.errors import NothingToDo
from bot.permissions import Level
from bot.pipeline.decide import SEEN_BY_ALL, Done, Rules
from bot.store import drafts as store
from bot.store.drafts import Wanted
from bot.words import counted
from cogs.ui.buttons import person
from cogs.ui.draft_embed import WILL, WILL_BE
from cogs.ui.items import DurableButton, DurableSelect, marked_in, view_of
from cogs.ui.limits import DESCRIPTION, OPTION_TEXT, SELECT_OPTIONS, cut, embed, foreign, length

PAGE = SELECT_OPTIONS
_LINE = (DESCRIPTION - 100) // PAGE  # code units; the rest is for how many are shown
LONGEST_WORDS = 25  # characters: they have to fit into an id
_EXCERPT = 60
_SELECTED = re.compile(r"(?P<id>\d{1,15}):(?P<version>\d{1,9})")
WHICH: dict[str, tuple[DraftState, ...]] = {
    "waiting": (DraftState.PENDING, DraftState.UNKNOWN),
    "all": (),
    **{state.value: (state,) for state in DraftState if state is not DraftState.PENDING},
}
"""What can be listed, by the word for it."""
_PAGE_OF = rf"(?P<which>{'|'.join(WHICH)}):(?P<voice>\d{{1,9}}):(?P<after>\d{{1,12}}):(?P<words>.*)"
_MANY_WILL = {
    UploadState.DRAFT: "saves {drafts} on {blog}, as drafts there. Nobody sees them until you publish them.",
    UploadState.QUEUE: "puts {drafts} into the queue of {blog}, which publishes them by itself.",
    UploadState.PUBLISHED: "publishes {drafts} on {blog} at once, for everybody to see.",
    UploadState.PRIVATE: "posts {drafts} on {blog}, as private posts.",
}


@dataclass(frozen=True, slots=True)
class Page:
    """Which drafts are listed, and from after which one on. `which` is a key of `WHICH`."""

    which: str = "waiting"
    voice_id: int | None = None
    words: str = ""
    after_id: int = 0

    @property
    def wanted(self) -> Wanted:
        return Wanted(WHICH[self.which], self.voice_id, self.words)

    def in_id(self) -> str:
        """The page as a part of a button's id."""
        return f"{self.which}:{self.voice_id or 0}:{self.after_id}:{self.words}"


def read_page(match: re.Match[str]) -> Page:
    """The page that an id names."""
    return Page(match["which"], int(match["voice"]) or None, match["words"], int(match["after"]))


class PageButton(DurableButton, template=re.compile(rf"drafts-page:{_PAGE_OF}", re.DOTALL), needs=Level.REVIEWER):
    """Turns to another page."""

    def __init__(self, page: Page, label: str = "") -> None:
        self.page = page
        super().__init__(discord.ui.Button(label=label or "More", custom_id=f"drafts-page:{page.in_id()}", row=1))

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(read_page(match))

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer()
        await show_page(interaction, self.page)


class ChooseDrafts(DurableSelect, template=re.compile(rf"drafts-choose:{_PAGE_OF}", re.DOTALL), needs=Level.DECIDER):
    """Chooses drafts of the page; what is to become of them is asked then, in the same message."""

    def __init__(self, page: Page, drafts: list[Draft] | None = None, chosen: frozenset[int] = frozenset()) -> None:
        self.page = page
        options = [
            discord.SelectOption(
                label=cut(f"Draft {draft.id}: {' '.join(draft.text.split())}", OPTION_TEXT),
                value=f"{draft.id}:{draft.version}",
                default=draft.id in chosen,
            )
            for draft in drafts or []
        ]
        super().__init__(
            discord.ui.Select(
                custom_id=f"drafts-choose:{page.in_id()}",
                placeholder="Choose drafts to approve or reject",
                min_values=0,
                max_values=max(1, len(options)),
                options=options or [discord.SelectOption(label="none")],
                row=0,
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(read_page(match))

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer()
        await show_page(interaction, self.page, chosen=frozenset(_versions(self.item.values)))


class DecideChosen(
    DurableButton, template=re.compile(rf"drafts-(?P<action>approve|reject):{_PAGE_OF}", re.DOTALL), needs=Level.DECIDER
):
    """Decides about what is chosen: the second press, below a sentence that says what becomes of how many."""

    def __init__(self, action: Action, page: Page, count: int = 0) -> None:
        self.action = action
        self.page = page
        style = discord.ButtonStyle.success if action is Action.APPROVE else discord.ButtonStyle.danger
        super().__init__(
            discord.ui.Button(
                label=f"{action.capitalize()} {counted(count, 'draft')}",
                style=style,
                custom_id=f"drafts-{action}:{page.in_id()}",
                row=1,
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(Action(match["action"]), read_page(match))

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer()
        shown = _versions(marked_in(interaction.message))
        if not shown:
            raise NothingToDo("Nothing is chosen here.", "Choose drafts in the list above first.")
        done = await interaction.client.app.drafts.decide_many(self.action, shown, person(interaction))
        await show_page(interaction, self.page, said=_outcome(self.action, done))


async def show_page(
    interaction: discord.Interaction[Client], page: Page, *, chosen: frozenset[int] = frozenset(), said: str = ""
) -> None:
    """Write a page into this person's own message, after a deferred answer."""
    app = interaction.client.app
    drafts, total = await store.find_drafts(app.database, page.wanted, after_id=page.after_id, limit=PAGE)
    waiting = [draft for draft in drafts if draft.state is DraftState.PENDING]
    counts = await store.count_by_state(app.database)
    fields = [(state.words.capitalize(), f"{count:,}", True) for state, count in counts.items() if count]
    to_decide = [draft for draft in waiting if draft.id in chosen]
    if to_decide:
        fields.insert(0, ("What becomes of them", _confirmation(to_decide, app.drafts.rules), False))
    lines = [_line(draft, interaction.guild_id) for draft in drafts]
    if not lines:
        lines = [
            "No draft is like that. /drafts list state:all shows every one."
            if counts
            else "There are no drafts yet. /generate writes some."
        ]
        if page == Page():
            lines = ["No draft waits for a decision. /generate writes some."]
    if total > len(drafts):
        lines.append(f"{len(drafts):,} of {total:,} are shown.")
    view = view_of()
    if waiting:
        view.add_item(ChooseDrafts(page, waiting, frozenset(draft.id for draft in to_decide)))
    for action in (Action.APPROVE, Action.REJECT) if to_decide else ():
        view.add_item(DecideChosen(action, page, len(to_decide)))
    if page.after_id:
        view.add_item(PageButton(replace(page, after_id=0), "From the start"))
    if len(drafts) == PAGE and (await store.find_drafts(app.database, page.wanted, after_id=drafts[-1].id, limit=1))[0]:
        view.add_item(PageButton(replace(page, after_id=drafts[-1].id), "More"))
    shown = embed(title="Drafts", description="\n".join(lines), fields=fields)
    await interaction.edit_original_response(content=said or None, embed=shown, view=view)


def _line(draft: Draft, guild_id: int | None) -> str:
    name = f"Draft {draft.id}"
    if draft.message_id is not None and draft.shown_version:
        name = f"[{name}](https://discord.com/channels/{guild_id}/{draft.channel_id}/{draft.message_id})"
    state = "" if draft.state is DraftState.PENDING else f" ({draft.state.words})"
    start = f"{name}{state}: "
    # Cut once more when it is harmless, which makes it longer: a page of the longest lines has to fit.
    return start + cut(foreign(cut(" ".join(draft.text.split()), _EXCERPT)), _LINE - length(start))


def _confirmation(drafts: list[Draft], rules: Rules) -> str:
    """What *Approve* and *Reject* would do with these, blog by blog."""
    kinds = Counter((draft.blog, draft.upload_state) for draft in drafts)
    lines = [f"*Approve* {_will(count, len(drafts), state, foreign(blog))}" for (blog, state), count in kinds.items()]
    if rules.approvals > 1:
        lines.append(f"A draft goes only once {rules.approvals} people have approved it.")
    if rules.posts_a_day and any(draft.upload_state in SEEN_BY_ALL for draft in drafts):
        lines.append(f"They take turns: {rules.posts_a_day:,} a day.")
    lines.append(f"*Reject* keeps {'it' if len(drafts) == 1 else 'all of them'} from the blog.")
    return "\n".join(lines)


def _will(count: int, chosen: int, state: UploadState, blog: str) -> str:
    if count > 1:
        return _MANY_WILL[state].format(drafts=counted(count, "draft"), blog=f"**{blog}**")
    will = WILL[state].format(blog=f"**{blog}**")
    return will if chosen == 1 else will.replace(" it ", " one of them ", 1)


def _outcome(action: Action, done: Done) -> str:
    late = f" {counted(done.too_late, 'draft')} had been decided or changed meanwhile." if done.too_late else ""
    if action is Action.REJECT:
        return f"{counted(len(done.drafts), 'draft')} rejected.{late}"
    gone = [draft for draft in done.drafts if draft.state is DraftState.APPROVED]
    kinds = Counter((draft.blog, draft.upload_state) for draft in gone)
    lines = [
        f"{counted(count, 'draft')} approved: {'it' if count == 1 else 'each'}"
        f" {WILL_BE[state].format(blog=f'**{foreign(blog)}**')}."
        for (blog, state), count in kinds.items()
    ]
    if len(gone) < len(done.drafts):
        lines.append(
            f"{counted(len(done.drafts) - len(gone), 'draft')} approved by you, and waiting for others to do so too."
        )
    return "\n".join(lines or ["No draft was approved."]) + late


def _versions(values: list[str]) -> dict[int, int]:
    found = (_SELECTED.fullmatch(value) for value in values)
    return {int(each["id"]): int(each["version"]) for each in found if each is not None}
