"""Text of blogs, models and names is hostile: it mentions nobody, and breaks no limit of Discord's."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from bot.demo.faults import Fault
from bot.demo.world import World, describe
from bot.pipeline.guards import defused
from tests.cogs.acts import (
    as_it_stands,
    becomes,
    buttons,
    draft,
    line,
    rows,
    said,
    small_world,
    stage,
    text_post,
)

SOMEBODY = 123456789012345678
TEXTS = {
    "everyone": "@everyone @here look",
    "mentions": f"<@{SOMEBODY}> <@!{SOMEBODY}> <@&{SOMEBODY}> <#{SOMEBODY}> </download:{SOMEBODY}> <t:0:R>",
    "invite": "join https://discord.gg/abcdef or discord.com/invite/abcdef",
    "masked": "[click me](https://example.invalid/steal) <https://example.invalid>",
    "fence": "```\n@everyone\n```\n`code` ``more``",
    "heading": "# big\n## less\n- list\n> quote\n>>> all of it\n-# small",
    "emoji": "🏴‍☠️" * 1024,
    "flags": "😀" * 4096,
    "right to left": "\u202e\u05e1\u05d5\u05e3\u202c \u2067\u05e9\u05dc\u05d5\u05dd\u2069",
    "controls": "a\x00b\x07c\u200bd\ufeff",
    "long word": "x" * 4096,
    "escapes": "\\*" * 2000,
    "stars": "*_~|`>" * 680,
    "lines": "\n\n".join("a" for _ in range(900)),
}


def check(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for message in world.messages:
        assert not message.mentions
        assert not message.role_mentions
        assert not message.mention_everyone
        for embed in message.embeds:
            assert len(embed) <= 6000
    posted = [e for e in world.env.http_requests if e.method == "POST" and e.path.endswith("/messages")]
    assert posted
    for entry in posted:
        assert entry.json is not None
        assert entry.json["allowed_mentions"]["parse"] == []
        assert not {"users", "roles"} & {key for key, value in entry.json["allowed_mentions"].items() if value}
    assert not [r.getMessage() for r in caplog.records if "could not be shown" in r.getMessage()]
    assert not [r.getMessage() for r in caplog.records if "reference" in r.getMessage()]
    assert not world.env.errors


def completion(text: str) -> dict[str, Any]:
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-6-luna",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


async def test_a_blog_full_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    async with small_world(tmp_path) as world:
        blog = world.tumblr.add_blog("evil-blog", title="@everyone # [x](https://example.invalid)")
        for number, text in enumerate(TEXTS.values()):
            tags = [text[:100], "@everyone", f"<@{SOMEBODY}>", "[x](y)"]
            world.tumblr.add_post(blog, text_post(text, 1000 + number, tags=tags))
        world.tumblr.page_limit = 1  # each post is once the post in hand
        await stage(world, "download", blogs="evil-blog")
        await stage(world, "examples")
        await stage(world, "moderate")
        await stage(world, "generate", count=2)
        await world.drafts_shown(2)
        said(await world.owner.slash(world.channel, "status"))
        said(await world.owner.slash(world.channel, "drafts list"))
        check(world, caplog)


async def test_a_model_that_writes_it_and_an_owner_who_approves_it(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    async with small_world(tmp_path) as world:
        await stage(world, "download")
        for text in TEXTS.values():
            tags = '{"tags": ["@everyone", "<@123456789012345678>", "' + "🏴" * 200 + '"]}'
            world.openai.faults.schedule(
                Fault("POST", "/v1/chat/completions", "status", 200, completion(text)),
                Fault("POST", "/v1/chat/completions", "status", 200, completion(tags)),
            )
            await stage(world, "generate", count=1)
        messages = await world.drafts_shown(len(TEXTS))
        for message, (name, text) in zip(messages, TEXTS.items(), strict=True):
            shown = describe(message)
            for forbidden in ("](http", "```", f"<@{SOMEBODY}", "@everyone", "discord.gg/", "<t:0"):
                assert forbidden not in (message.embeds[0].description or ""), (name, forbidden)
            assert f"Draft {(await draft(world, message)).id}" in shown
            assert (await draft(world, message)).text == defused(text.strip())  # otherwise as it was, whatever is shown
        said(await world.owner.slash(world.channel, "drafts list"))
        for name in ("everyone", "flags", "stars", "lines"):
            message = messages[list(TEXTS).index(name)]
            form = await world.owner.click(message, label="Edit")
            assert form.modal is not None, name
            await world.owner.click(message, label="Approve")
            await becomes(world, message, "Uploaded")
        posts = world.tumblr.blogs[world.blog_name].drafts
        assert len(posts) == 4
        assert all(len(block["text"]) <= 4096 for post in posts for block in post["content"])
        check(world, caplog)


async def test_it_is_harmless_wherever_a_draft_is_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """In a review, in a list with its choice, in what an edit changed, in a reason, and read in full."""
    caplog.set_level(logging.INFO)
    async with small_world(tmp_path) as world:
        await stage(world, "download")
        for text in TEXTS.values():
            world.openai.faults.schedule(Fault("POST", "/v1/chat/completions", "status", 200, completion(text)))
        world.app.settings = world.app.settings.model_copy(update={"tags_chance": 0.0})
        await stage(world, "generate", count=len(TEXTS))
        await world.drafts_shown(len(TEXTS))
        review = (await world.owner.slash(world.channel, "drafts review")).response
        assert review is not None
        listed = (await world.owner.slash(world.channel, "drafts list")).response
        assert listed is not None
        for name, text in TEXTS.items():
            shown = as_it_stands(world, review.message)
            if "Read all" in buttons(shown):
                await world.owner.click(shown, label="Read all")
            form = await world.owner.click(shown, label="Edit")
            assert form.modal is not None, name
            others = {
                "text-1": f"{text[:1000]} and on",
                "text-2": "",
                "text-3": "",
                "text-4": "",
                "tags": "@everyone, [x](y)",
            }
            parts = {row["components"][0]["custom_id"] for row in form.modal["components"]}
            await world.owner.submit_modal(form, {key: value for key, value in others.items() if key in parts})
            await world.owner.click(as_it_stands(world, review.message), label="Reject")
            number = list(TEXTS).index(name) + 1
            why = await world.owner.click(as_it_stands(world, review.message), label=f"Say why not draft {number}")
            await world.owner.submit_modal(why, {"reason": text[:200]})
        await becomes(world, world.drafts()[-1], "Why: ")
        for entry in world.env.http_requests:
            for embed in _embeds(entry.json):
                everything = str([embed.get("description"), embed.get("fields")])
                for forbidden in ("](https://example", "```", f"<@{SOMEBODY}", "@everyone", "discord.gg/"):
                    assert forbidden not in everything, (entry.path, forbidden)
        check(world, caplog)


def _embeds(body: Any) -> list[dict[str, Any]]:
    data = (body or {}).get("data") or body or {} if isinstance(body, dict) else {}
    return data.get("embeds") or []


async def test_a_model_that_answers_with_nothing(small: World):
    await stage(small, "download")
    small.openai.faults.schedule(
        Fault("POST", "/v1/chat/completions", "status", 200, completion("  \n "), times=3),
    )
    shown = await stage(small, "generate", count=1)
    assert line(shown).startswith("few-shot answered with nothing 3 times in a row.")
    assert await rows(small, "SELECT count(*) FROM drafts") == [(0,)]
    small.openai.faults.schedule(Fault("POST", "/v1/chat/completions", "status", 200, completion("")))
    assert "a draft waits" in line(await stage(small, "generate", count=1))


async def test_a_person_with_a_hostile_name(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with small_world(tmp_path) as world:
        world.env.backend.get_user(world.owner.id).global_name = f"@everyone <@{SOMEBODY}> [x](https://a.invalid)"[:32]
        await stage(world, "download")
        await stage(world, "generate", count=1)
        (message,) = await world.until(world.drafts)
        await world.owner.click(message, label="Reject")
        receipt = await becomes(world, message, "It will not be posted")
        assert "@everyone" not in str(receipt.embeds[0].fields)
        assert "<@" not in str([field.value for field in receipt.embeds[0].fields])
        check(world, caplog)


async def test_a_prompt_may_hold_anything(small: World, caplog: pytest.LogCaptureFixture):
    await stage(small, "download")
    prompt = f"@everyone <@{SOMEBODY}> ``` # {'😀' * 500}"
    assert "a draft waits" in line(await stage(small, "generate", count=1, prompt=prompt))
    check(small, caplog)
