"""A reblog as people see it: the post above, what is added below, where it goes; and what then stands on the blog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import discord
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.config import Settings
from bot.demo import sample_blog
from bot.demo.faults import Fault
from bot.demo.world import World, describe
from bot.drafts import Draft, DraftState, Parent, UploadState
from cogs.ui.draft_message import render
from cogs.ui.limits import length
from tests.cogs.acts import becomes, calls, draft, small_world, stage, text_post, written

FRIEND = "gulls-of-the-north"
CRY = "the ferry is late again.\n\nwe saw it from the roof. @everyone [look](https://example.invalid)"


def reblogging(settings: Settings, **more: Any) -> Settings:
    return settings.model_copy(update={"reblog_blog_identifiers": [FRIEND], "reblog_chance": 1.0} | more)


def add_friend(world: World, *texts: str) -> list[dict[str, Any]]:
    """Another blog with these posts, which may be reblogged."""
    blog = world.tumblr.add_blog(FRIEND, owned=False)
    return [
        world.tumblr.add_post(
            blog, text_post("", number, content=[{"type": "text", "text": part} for part in text.split("\n\n")])
        )
        for number, text in enumerate(texts)
    ]


@pytest.mark.parametrize(
    ("state", "promise", "place"),
    [
        (UploadState.DRAFT, "saves it as a draft on {blog}, as a reblog of that post of {friend}.", "drafts"),
        (
            UploadState.QUEUE,
            "puts it into the queue of {blog}, which reblogs that post of {friend} by itself.",
            "queue",
        ),
        (UploadState.PUBLISHED, "reblogs that post of {friend} on {blog} at once, for everybody to see.", "posts"),
        (UploadState.PRIVATE, "reblogs that post of {friend} on {blog} as a private post.", "posts"),
    ],
)
async def test_the_parent_is_shown_and_approval_reblogs_it(
    tmp_path: Path, state: UploadState, promise: str, place: str
):
    def configure(settings: Settings) -> Settings:
        return reblogging(settings, tumblr=settings.tumblr.model_copy(update={"upload_state": state}))

    async with small_world(tmp_path, configure=configure) as world:
        (parent,) = add_friend(world, CRY)
        (message,) = await written(world)
        embed = message.embeds[0]
        kept = await draft(world, message)
        assert kept.parent is not None
        assert kept.parent.post_id == parent["id_string"]
        above, _, below = (embed.description or "").partition("\n\n")
        assert above.startswith(f"[**{FRIEND}**]({parent['post_url']}) wrote:\n> the ferry is late again.\n> we saw")
        assert "@everyone" not in above
        assert "[look](" not in above
        assert below
        assert "".join(kept.text.split())[:20] in "".join(below.replace("\\", "").split())
        blog = f"**{world.blog_name}**"
        assert promise.format(blog=blog, friend=f"**{FRIEND}**") in (embed.fields[0].value or "")
        await world.owner.click(message, label="Approve")
        await becomes(world, message, "Uploaded", f"[**{FRIEND}**]")
        (sent,) = calls(world.tumblr.requests, "POST", "/posts")
        assert sent.body["parent_post_id"] == parent["id_string"]
        on_blog = [p for p in getattr(world.tumblr.blogs[world.blog_name], place) if p.get("parent_post_id")]
        assert [post["parent_post_id"] for post in on_blog] == [parent["id_string"]]
        comment = "\n\n".join(block["text"] for block in on_blog[0]["content"])
        assert comment.split() == kept.text.split()
        assert [part["content"] for part in on_blog[0]["trail"]] == [parent["content"]]


async def test_a_rejected_reblog_reblogs_nothing_and_is_not_drawn_again(tmp_path: Path):
    async with small_world(tmp_path, configure=reblogging) as world:
        add_friend(world, CRY)
        (message,) = await written(world)
        await world.owner.click(message, label="Reject")
        await becomes(world, message, "It will not be posted.")
        await stage(world, "generate", count=1)
        _, second = await world.drafts_shown(2)
        assert (await draft(world, second)).parent is None
        assert f"It reblogs nothing. No post to reblog is left on {FRIEND}." in describe(second)
        assert not calls(world.tumblr.requests, "POST", "/posts")


async def test_a_regenerated_reblog_answers_the_same_post(tmp_path: Path):
    async with small_world(tmp_path, configure=reblogging) as world:
        add_friend(world, CRY, "a second one.")
        (message,) = await written(world)
        before = await draft(world, message)
        await world.owner.click(message, label="Regenerate")
        _, new = await world.drafts_shown(2)
        after = await draft(world, new)
        assert after.parent == before.parent
        assert after.prompt == before.prompt
        assert after.parent is not None
        assert after.parent.text in after.prompt
        quotes = [(shown.embeds[0].description or "").partition("\n\n")[0] for shown in (message, new)]
        assert quotes[0] == quotes[1]
        assert quotes[0].startswith(f"[**{FRIEND}**](")


async def test_when_tumblr_is_in_trouble_the_draft_is_written_all_the_same(tmp_path: Path):
    async with small_world(tmp_path, configure=reblogging) as world:
        add_friend(world, CRY)
        world.tumblr.faults.schedule(Fault("GET", f"/v2/blog/{FRIEND}/info", "html", status=502, times=99))
        (message,) = await written(world)
        assert (await draft(world, message)).parent is None
        assert "It reblogs nothing." in describe(message)


async def test_without_blogs_to_reblog_nothing_is_looked_for(tmp_path: Path):
    def none_named(settings: Settings) -> Settings:
        return reblogging(settings, reblog_blog_identifiers=[])

    async with small_world(tmp_path, configure=none_named) as world:
        (message,) = await written(world)
        assert (await draft(world, message)).parent is None
        assert "reblog" not in describe(message)


async def test_the_sample_world_shows_a_reblog(world: World):
    await stage(world, "download")
    await stage(world, "generate", count=3)
    shown = await world.drafts_shown(3)
    assert any(f"[**{sample_blog.NEIGHBOUR_NAME}**](" in describe(message) for message in shown)


# --- the embed itself ---------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=5000) | st.text(alphabet="ab🏴‍☠️👨‍👩‍👧[]()>*_\n", max_size=5000)


def shown(parent: Parent, **more: Any) -> discord.Embed:
    return render(
        Draft(
            **{
                "id": 1,
                "state": DraftState.PENDING,
                "text": "Indeed.",
                "tags": (),
                "prompt": "",
                "voice_id": 1,
                "voice_name": "few-shot",
                "job_id": None,
                "replaces": None,
                "blog": "staff",
                "upload_state": UploadState.DRAFT,
                "created_at": 0.0,
                "cost": 0.0,
                "version": 1,
                "shown_version": 0,
                "channel_id": None,
                "message_id": None,
                "post_id": None,
                "post_url": None,
                "decided_by": None,
                "decided_at": None,
                "note": "",
                "edited": False,
                "parent": parent,
            }
            | more
        ),
        Settings(),
    ).embed


@given(
    text=TEXTS,
    comment=TEXTS,
    name=st.text(max_size=300),
    url=st.text(max_size=50).map("https://example.invalid/".__add__) | st.text(max_size=20),
    tags=st.lists(st.text(max_size=140), max_size=30),
    state=st.sampled_from(DraftState),
    place=st.sampled_from(UploadState),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_reblog_can_be_shown(
    text: str, comment: str, name: str, url: str, tags: list[str], state: DraftState, place: UploadState
):
    parent = Parent("t:a", name, "1", text, url)
    made = shown(parent, text=comment, tags=tuple(tags), state=state, upload_state=place)
    assert length(made.description or "") <= 4096
    assert len(made) <= 6000
    assert all(1 <= length(field.value or "") <= 1024 for field in made.fields)
    quote, _, _ = (made.description or "").partition("\n\n")
    assert length(quote) <= 2500  # there is always room for the comment


def test_a_long_parent_is_quoted_in_part_and_the_comment_is_whole():
    comment = "w" * 1500
    description = shown(
        Parent("t:a", "friend", "1", "line\n\n" * 3000, "https://a.example/1"), text=comment
    ).description
    assert description is not None
    quote, _, below = description.partition("\n\n")
    assert quote.count("\n> line") == 12
    assert quote.endswith("> …")
    assert below == comment


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://a.example/post/1", "[**friend**](https://a.example/post/1) wrote:"),
        (
            "https://a.example/x)[evil](https://b.example",
            "[**friend**](https://a.example/x%29[evil]%28https://b.example)",
        ),
        ("javascript:alert(1)", "**friend** wrote:"),
        ("", "**friend** wrote:"),
    ],
)
def test_the_link_leads_nowhere_else(url: str, link: str):
    assert (shown(Parent("t:a", "friend", "1", "hello", url)).description or "").startswith(link)


@pytest.mark.parametrize(
    "text",
    ["@everyone", "# big", "> quoted\n\n> twice", "||hidden||", "[a](https://b.example)", "```\nx\n```", "-# small"],
)
def test_a_strangers_text_stays_inside_the_quote(text: str):
    description = shown(Parent("t:a", "fri[end](https://b.example)", "1", text, "")).description or ""
    head, *quote = description.partition("\n\n")[0].split("\n")
    assert head == "**fri\\[end\\]\\(https://b.example)** wrote:"
    assert quote
    assert all(line.startswith("> ") and line[2:3] not in {">", "#", "-"} for line in quote)
    assert "@everyone" not in description
    assert "](http" not in "\n".join(quote)
