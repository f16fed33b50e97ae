"""One honest path through all of it, as a person would walk it."""

import sys

import pytest

from bot.demo.tour import walk
from bot.demo.world import World, describe
from tests.cogs.acts import stage, up_to


async def test_the_tour_ends_with_exactly_the_approved_drafts_on_the_blog(
    world: World, capsys: pytest.CaptureFixture[str]
):
    assert await walk(world) == 0
    assert "The tour is complete." in capsys.readouterr().out
    assert len(world.tumblr.blogs[world.blog_name].drafts) == 2


async def test_the_tour_notices_a_post_that_nobody_approved(world: World, capsys: pytest.CaptureFixture[str]):
    blog = world.tumblr.blogs[world.blog_name]
    blog.drafts.append({**blog.posts[0], "state": "draft"})
    assert await walk(world) == 1
    assert "NOT the approved drafts" in capsys.readouterr().out


async def test_the_owner_sees_what_was_left_out_of_the_training_data(world: World):
    await up_to(world, "download")
    done = await stage(world, "examples")
    left_out = next(f.value for f in done.embeds[0].fields if f.name == "Left out")
    assert "4 ask or answer" in (left_out or "")
    assert "4 reblog" in (left_out or "")


async def test_few_shot_writes_without_any_training(world: World):
    await world.owner.slash(world.channel, "download")
    await world.finished("Downloading posts")
    await world.owner.slash(world.channel, "generate", count=2)
    done = await world.finished("Writing drafts")
    assert "2 drafts wait" in (done.embeds[0].description or "")
    drafts = await world.drafts_shown(2)
    assert all("Voice: few-shot" in describe(message) for message in drafts)
    prompts = [request.body for request in world.openai.requests if request.path == "/v1/chat/completions"]
    assert "<post>" in str(prompts[0])


async def test_a_training_ends_with_its_loss_curve(world: World, monkeypatch: pytest.MonkeyPatch):
    await up_to(world, "examples")
    for drawn in (True, False):
        if not drawn:
            monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # as without the charts extra
        done = await stage(world, "finetune")
        assert "Loss" in [field.name for field in done.embeds[0].fields]
        assert [attachment.filename for attachment in done.attachments] == (["loss.png"] if drawn else [])
