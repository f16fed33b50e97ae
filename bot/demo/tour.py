"""`demo --tour`: walk through all five stages as a person would, and prove what stands on the blog at the end."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import discord
import msgspec
from simcord.results import InteractionResult

from bot.demo.world import World, describe
from bot.store.drafts import get_draft

_STEPS = 8
_ADDED = "the light is lit."


async def walk(world: World) -> int:
    """Drive every stage, approve one draft, edit and approve another, reject a third. 0 when the blog agrees."""
    await _stage(world, 1, "download", "Downloading posts")
    await _stage(world, 2, "examples", "Making training data")
    await _stage(world, 3, "moderate", "Screening training data")
    _say(4, "/finetune, then its button Start training")
    offer = _answer(await world.owner.slash(world.channel, "finetune"))
    _show(offer)
    await world.owner.click(offer, label="Start training")
    _show(await world.finished("Training a voice", seconds=60))
    await _stage(world, 5, "generate", "Writing drafts")
    first, second, third = (await world.drafts_shown(3))[:3]

    _say(6, "the first draft, and its button Approve")
    _show(first)
    await world.owner.click(first, label="Approve")
    _show(await _receipt(world, first, "Saved as a draft"))

    _say(7, "the second draft, its button Edit, a changed text, then Approve")
    _show(second)
    text = await _draft_text(world, second)
    form = await world.owner.click(second, label="Edit")
    await world.owner.submit_modal(form, {"text-1": f"{text}\n\n{_ADDED}", "tags": "edited by hand"})
    edited = await _receipt(world, second, _ADDED)
    await world.owner.click(edited, label="Approve")
    _show(await _receipt(world, second, "Saved as a draft"))

    _say(8, "the third draft, and its button Reject")
    _show(third)
    await world.owner.click(third, label="Reject")
    _show(await _receipt(world, third, "It will not be posted"))
    return _verdict(world, approved=[await _draft_text(world, first), await _draft_text(world, second)])


def _verdict(world: World, approved: list[str]) -> int:
    """Compare what was approved with what stands on the blog, in any order."""
    on_blog = sorted(blog_text(post) for post in world.tumblr.blogs[world.blog_name].drafts)
    print(f"\nOn the stand-in for Tumblr, {world.blog_name} has {len(on_blog)} drafts:")
    for text in on_blog:
        print(_indented(text))
    if [_essence(text) for text in on_blog] == sorted(_essence(text) for text in approved):
        print("\nThese are exactly the approved drafts. The tour is complete.")
        return 0
    print("\nThese are NOT the approved drafts, which are:")
    for text in approved:
        print(_indented(text))
    return 1


def blog_text(post: Mapping[str, object]) -> str:
    """The text of a post on the stand-in, its blocks joined by blank lines."""
    blocks = msgspec.convert(post["content"], list[dict[str, object]])
    return "\n\n".join(str(block["text"]) for block in blocks if "text" in block)


async def _stage(world: World, number: int, command: str, title: str) -> None:
    _say(number, f"/{command}")
    _show(_answer(await world.owner.slash(world.channel, command)))
    _show(await world.finished(title, seconds=60))


async def _receipt(world: World, message: discord.Message, words: str) -> discord.Message:
    def shown() -> discord.Message | None:
        now = next(found for found in world.messages if found.id == message.id)
        return now if words in describe(now) else None

    return await world.until(shown)


async def _draft_text(world: World, message: discord.Message) -> str:
    number = int((message.embeds[0].footer.text or "").removeprefix("Draft "))
    draft = await get_draft(world.app.database, number)
    return draft.text if draft is not None else ""


def _answer(result: InteractionResult) -> discord.Message:
    answers = result.followups or ([result.response] if result.response else [])
    return answers[-1].message


def _essence(text: str) -> str:
    return " ".join(text.split())


def _say(number: int, doing: str) -> None:
    print(f"\n({number} of {_STEPS}) The owner uses {doing}.")


def _show(message: discord.Message) -> None:
    print(_indented(describe(message)))


def _indented(text: str) -> str:
    return textwrap.indent(text, "  | ") + "\n"
