"""Everything that the bot sends to Discord, OpenAI and Tumblr in one long walk, held against what they say they take.

The walk is the whole bot with every stage, button and form, a restart, and answers that go wrong. Discord's and
OpenAI's published descriptions lie beside the repository and not in it: where they are not, their tests are skipped.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import discord
import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import SecretStr
from tenacity import wait_none

from bot.demo.faults import Fault
from bot.demo.openai_state import StoredFile
from bot.demo.openai_wire import read_form
from bot.demo.tour import walk
from bot.demo.tumblr_service import LoggedRequest
from bot.demo.world import World, describe, open_world
from bot.drafts import UploadState
from bot.examples import Dataset, Example
from bot.language import tuning
from bot.language.endpoint import Endpoint, ModelService
from bot.language.models import describe_model
from bot.training import Training, TrainingState
from bot.tumblr.npf import ReblogSource, post_body
from bot.voices.fine_tuned import FineTuned
from bot.voices.protocol import Material
from cogs.ui.limits import EMBED_TOTAL, length
from tests.cogs.acts import answer, as_it_stands, becomes, hurry_models, rows, said, stage
from tests.language.conftest import KEY, Server
from tests.language.conftest import answer as reply
from tests.openapi import (
    DISCORD,
    OPENAI,
    Spec,
    component_validator,
    load_spec,
    problems,
    query_names,
    request_body_validator,
    template_of,
)

NASTY = "@everyone [look](https://example.org) discord.gg/abc <@1> ```\n# no\n" + "😀" * 1900 + "\n\n" + "ä" * 1900
MANY_TAGS = ", ".join(f"tag number {number} of the many" for number in range(40))

NPF = {
    "type": "object",
    "required": ["content", "state"],
    "additionalProperties": False,
    "properties": {
        "content": {"type": "array", "maxItems": 1000, "items": {"$ref": "#/$defs/text"}},
        "state": {"enum": ["published", "queue", "draft", "private"]},
        "tags": {
            "type": "string",
            "pattern": r"^[^,#\s][^,]{0,139}(,[^,#\s][^,]{0,139}){0,29}$",
        },
        "parent_tumblelog_uuid": {"type": "string", "pattern": "^t:[A-Za-z0-9_-]+$"},
        "parent_post_id": {"type": "string", "pattern": "^[0-9]+$"},
        "reblog_key": {"type": "string", "minLength": 1},
        "publish_on": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$"},
    },
    "allOf": [{"if": {"required": ["publish_on"]}, "then": {"properties": {"state": {"const": "queue"}}}}],
    "dependentRequired": {
        "parent_tumblelog_uuid": ["parent_post_id", "reblog_key"],
        "parent_post_id": ["parent_tumblelog_uuid", "reblog_key"],
        "reblog_key": ["parent_tumblelog_uuid", "parent_post_id"],
    },
    "if": {"not": {"required": ["parent_post_id"]}},
    "then": {"properties": {"content": {"minItems": 1}}},
    "$defs": {
        "text": {
            "type": "object",
            "required": ["type", "text"],
            "additionalProperties": False,
            "properties": {
                "type": {"const": "text"},
                "text": {"type": "string", "maxLength": 4096, "pattern": r"\S"},
            },
        }
    },
}
"""The body of a new post, from Tumblr's documentation and what is known of its limits (lengths in code points)."""
TUMBLR_BODY = Draft202012Validator(NPF)
TUMBLR_DELETION = Draft202012Validator(
    {
        "type": "object",
        "required": ["id"],
        "additionalProperties": False,
        "properties": {"id": {"type": "string", "pattern": "^[0-9]+$"}},
    }
)
TUMBLR_QUERY = {"npf", "limit", "before", "after", "offset", "id", "tag", "sort", "before_id"}

LINE = Draft202012Validator(
    {
        "type": "object",
        "required": ["messages"],
        "additionalProperties": False,
        "properties": {
            "messages": {
                "type": "array",
                "minItems": 2,
                "items": {
                    "type": "object",
                    "required": ["role", "content"],
                    "additionalProperties": False,
                    "properties": {"role": {"type": "string"}, "content": {"type": "string", "minLength": 1}},
                },
            }
        },
    }
)
"""A line of a training file; each message is held against OpenAI's own description as well."""


@dataclass(frozen=True)
class Sent:
    """One request, to whomever."""

    method: str
    path: str
    query: Mapping[str, object]
    body: Any


@dataclass(frozen=True)
class Traffic:
    """What the bot sent on the walk."""

    discord: list[Sent]
    openai: list[Sent]
    tumblr: list[Sent]
    files: list[StoredFile]


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Traffic:
    """The walk, once for all tests of this file."""
    return asyncio.run(_traffic(tmp_path_factory.mktemp("contracts")))


@pytest.fixture(scope="module")
def discord_spec() -> Spec:
    return load_spec(DISCORD)


@pytest.fixture(scope="module")
def openai_spec() -> Spec:
    return load_spec(OPENAI)


async def _traffic(directory: Path) -> Traffic:
    async with open_world(directory) as world:
        world.openai.training_seconds = 0.3
        hurry_models(world, deadline=10.0)  # nothing here is meant to be late, however busy the machine is
        files: dict[str, StoredFile] = {}
        await _answers_that_say_no(world)
        await _first_drafts(world)
        assert await walk(world) == 0
        files |= world.openai.state.files
        await _rest_of_the_buttons(world)
        await world.restart()
        hurry_models(world, deadline=10.0)  # nothing here is meant to be late, however busy the machine is
        await _after_the_restart(world)
        await _second_thoughts(world)
        files |= world.openai.state.files
        return Traffic(
            [Sent(entry.method, entry.path, entry.params, entry.json) for entry in world.env.http_requests],
            [Sent(call.method, call.path.removeprefix("/v1"), call.query, call.body) for call in world.openai.requests],
            [_sent(call) for call in world.tumblr.requests],
            list(files.values()),
        )


def _sent(call: LoggedRequest) -> Sent:
    return Sent(call.method, call.path, call.query, call.body)


async def _answers_that_say_no(world: World) -> None:
    """A stranger, a wrong word, nothing to do, a service that refuses."""
    assert "only" in said(await world.stranger.slash(world.channel, "status"))
    await world.owner.slash(world.channel, "download", blogs="not a blog at all, ?!")
    await world.owner.slash(world.channel, "drafts show", number=99)
    await world.owner.slash(world.channel, "finetune")
    await stage(world, "generate")
    world.tumblr.faults.schedule(Fault("GET", "/v2/blog/*", "status", status=403, body={"errors": []}))
    await stage(world, "download")
    world.tumblr.faults.clear()
    await world.owner.slash(world.channel, "status")


async def _first_drafts(world: World) -> None:
    """A few-shot draft with a prompt of its own, edited into something long and nasty, and approved; another rejected.

    They are rejected or uploaded to the end, and taken off the blog, so that the tour finds what it expects.
    """
    await stage(world, "download")
    await stage(world, "generate", count=2, prompt="Write about the gulls.")
    first, second = (await world.drafts_shown(2))[:2]
    form = await world.reviewer.click(first, label="Edit")
    await world.reviewer.submit_modal(form, {"text-1": NASTY[:3800], "tags": MANY_TAGS})
    await becomes(world, first, "by hand")
    await world.reviewer.click(first, label="Edit")
    await world.reviewer.click(first, label="Approve")
    await becomes(world, first, "Uploaded")
    await world.owner.click(second, label="Regenerate")
    third = (await world.drafts_shown(3))[-1]
    await world.owner.click(third, label="Reject")
    await becomes(world, third, "Rejected")
    for message in world.drafts():
        await message.delete()
    blog = world.tumblr.blogs[world.blog_name]
    for post in list(blog.drafts):
        world.tumblr.delete_post(blog, post["id"])


async def _second_thoughts(world: World) -> None:
    """A review, a list with a choice, and decisions that are taken back, here and on Tumblr."""
    for message in world.drafts():
        await message.delete()
    await stage(world, "generate", count=4)
    first = (await world.drafts_shown(4))[0]
    number = int((first.embeds[0].footer.text or "").removeprefix("Draft "))
    review = (await world.owner.slash(world.channel, "drafts review")).response
    assert review is not None
    for label in ("Skip", "Reject", f"Undo draft {number + 1}", "Reject", f"Say why not draft {number + 1}"):
        pressed = await world.owner.click(as_it_stands(world, review.message), label=label)
        if pressed.modal is not None:
            await world.owner.submit_modal(pressed, {"reason": NASTY[:400]})
    form = await world.owner.click(as_it_stands(world, review.message), label="Edit")
    await world.owner.submit_modal(form, {"text-1": NASTY[:3900], "tags": MANY_TAGS})
    await world.reviewer.slash(world.channel, "drafts list", state="rejected", text="fog")
    listed = (await world.reviewer.slash(world.channel, "drafts list")).response
    assert listed is not None
    waiting = [row[0] for row in await rows(world, "SELECT id || ':' || version FROM drafts WHERE state = 'pending'")]
    await world.reviewer.select(listed, waiting)
    chosen = as_it_stands(world, listed.message)
    await world.reviewer.click(chosen, label=f"Approve {len(waiting)} drafts")
    uploaded = await becomes(world, first, "Uploaded")
    asked = await world.owner.click(uploaded, label="Undo")
    await world.owner.click(answer(asked), label="Delete it from the drafts")
    back = await becomes(world, first, "Waiting for you")
    await world.owner.click(back, label="Reject")
    await world.owner.slash(world.channel, "drafts export")
    await world.owner.slash(world.channel, "data export", what="preferences")


async def _rest_of_the_buttons(world: World) -> None:
    """An upload whose answer is lost, a training that is refused, and one that is stopped."""
    await stage(world, "generate", count=1)
    message = await world.until(lambda: _with_button(world, "Approve"))
    world.tumblr.faults.schedule(Fault("POST", "/v2/blog/*/posts", "reset_before"))
    await world.owner.click(message, label="Approve")
    lost = await world.until(lambda: _with_button(world, "Send again"))
    await world.owner.click(lost, label="Send again")
    await becomes(world, message, "Uploaded")
    world.openai.training_available = False
    await stage(world, "finetune")
    world.openai.training_available = True


async def _after_the_restart(world: World) -> None:
    """The lists, a draft shown again, and a training stopped halfway."""
    await world.owner.slash(world.channel, "status")
    await world.owner.slash(world.channel, "drafts list")
    await world.owner.slash(world.channel, "drafts show", number=1)
    world.openai.training_seconds = 60.0
    offer = await world.owner.slash(world.channel, "finetune")
    await world.owner.click(answer(offer), label="Start training")
    await world.until(lambda: "step" in describe(world.progress("Training a voice") or discord.Embed()))
    running = await world.until(lambda: _with_button(world, "Stop"))
    await world.owner.click(running, label="Stop")
    await world.until(lambda: [call for call in world.openai.requests if call.path.endswith("/cancel")] or None)
    await world.owner.slash(world.channel, "status")


def _with_button(world: World, label: str) -> Any:
    return next((m for m in world.messages if label in str([row.to_dict() for row in m.components])), None)


# --- Discord ------------------------------------------------------------------------------------------------------


def discord_problems(spec: Spec, sent: Sent) -> list[str]:
    """What Discord would not like of a request. An unknown call is a problem too."""
    try:
        operation = spec.document["paths"][template_of(spec, sent.method, sent.path)][sent.method.lower()]
        unknown = set(sent.query) - query_names(spec, sent.method, sent.path)
    except LookupError:
        return [f"there is no such call: {sent.method} {sent.path}"]
    found = [f"unknown in the query: {name}" for name in sorted(unknown)]
    if sent.body is None:
        return [*found, "the body is missing"] if operation.get("requestBody", {}).get("required") else found
    try:
        found += problems(request_body_validator(spec, sent.method, sent.path), _with_text_ids(sent.body))
    except LookupError:
        found.append("this call takes no body")
    return found + _unwritten_rules(sent)


def _with_text_ids(body: Any) -> Any:
    """discord.py numbers the files it uploads 0, 1, …; Discord takes that, though its description asks for texts."""
    if not isinstance(body, dict) or not isinstance(body.get("attachments"), list):
        return body
    return body | {"attachments": [file | {"id": str(file["id"])} for file in body["attachments"]]}


def _unwritten_rules(sent: Sent) -> list[str]:
    """What Discord holds besides its description: sums over a message, and what must never be left out here."""
    found: list[str] = []
    if not isinstance(sent.body, dict):
        return found
    message = sent.body.get("data") if sent.path.endswith("/callback") else sent.body
    message = message if isinstance(message, dict) else {}
    texts = [
        text
        for embed in message.get("embeds") or []
        for part in (embed, embed.get("author", {}), embed.get("footer", {}), *embed.get("fields", []))
        for name, text in part.items()
        if name in {"title", "description", "name", "value", "text"}
    ]
    if sum(map(length, texts)) > EMBED_TOTAL:
        found.append("the embeds hold more than 6000 characters")
    rows = message.get("components") or []
    if sent.body.get("type") != 9:
        items = [item for row in rows for item in row["components"]]
        ids = [item["custom_id"] for item in items if item.get("custom_id")]
        if len(rows) > 5 or any(len(row["components"]) > 5 for row in rows) or len(set(ids)) < len(ids):
            found.append("too many rows or buttons, or two with one id")
        if any(("url" in item) == ("custom_id" in item) for item in items if item["type"] == 2):
            found.append("a button needs either an id or an address")
    says = message.get("content") or (sent.method == "POST" and message.get("embeds"))
    if says and sent.body.get("type") != 9 and message.get("allowed_mentions") != {"parse": []}:
        found.append("it could ping somebody")
    return found


def test_discord_takes_everything(traffic: Traffic, discord_spec: Spec):
    wrong = [(sent, found) for sent in traffic.discord if (found := discord_problems(discord_spec, sent))]
    assert not wrong, wrong[:3]


def test_the_walk_reaches_every_call_to_discord(traffic: Traffic, discord_spec: Spec):
    reached = {(sent.method, template_of(discord_spec, sent.method, sent.path)) for sent in traffic.discord}
    assert reached >= {
        ("PUT", "/applications/{application_id}/guilds/{guild_id}/commands"),
        ("POST", "/interactions/{interaction_id}/{interaction_token}/callback"),
        ("POST", "/webhooks/{webhook_id}/{webhook_token}"),
        ("POST", "/channels/{channel_id}/messages"),
        ("PATCH", "/channels/{channel_id}/messages/{message_id}"),
    }
    callbacks = {sent.body["type"] for sent in traffic.discord if sent.path.endswith("/callback")}
    assert callbacks >= {4, 5, 9}, "a message, an answer that follows, a form"
    buttons = {
        item.get("custom_id", "link").split(":")[-1].rstrip("0123456789")
        for sent in traffic.discord
        if isinstance(sent.body, dict)
        for row in sent.body.get("components") or []
        for item in row["components"]
    }
    assert buttons >= {"approve", "edit", "regenerate", "reject", "confirm", "resend", "stop", "examples", "link"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"content": 5}, "content"),
        ({"embeds": [{"title": "a" * 257}]}, "title"),
        ({"embeds": [{"fields": [{"name": "a"}]}]}, "value"),
        ({"embeds": [{"description": "a" * 4000}, {"description": "a" * 4000}]}, "6000"),
        ({"components": [{"type": 1, "components": [{"type": 2, "label": "no style"}]}]}, "components"),
        ({"components": [{"type": 1, "components": [{"type": 2, "style": 1, "label": "no id"}]}]}, "either"),
        ({"allowed_mentions": {"parse": ["everyone"]}}, "ping"),
    ],
)
def test_a_wrong_message_is_noticed(discord_spec: Spec, change: dict[str, Any], why: str):
    right = {"content": "hello", "allowed_mentions": {"parse": []}}
    assert discord_problems(discord_spec, Sent("POST", "/channels/1/messages", {}, right)) == []
    (found, *_) = discord_problems(discord_spec, Sent("POST", "/channels/1/messages", {}, right | change))
    assert why in found


def test_a_wrong_form_command_call_or_query_is_noticed(discord_spec: Spec):
    def found(method: str, path: str, body: Any = None, **query: Any) -> list[str]:
        return discord_problems(discord_spec, Sent(method, path, query, body))

    field = {"type": 1, "components": [{"type": 4, "custom_id": "a", "style": 2, "label": "Text"}]}
    form = {"type": 9, "data": {"custom_id": "a", "title": "Edit", "components": [field]}}
    assert not found("POST", "/interactions/1/token/callback", form)
    assert found("POST", "/interactions/1/token/callback", form | {"data": form["data"] | {"title": "a" * 46}})
    assert found("POST", "/interactions/1/token/callback", {"type": 77})
    assert found("POST", "/interactions/1/token/callback")
    assert found("PUT", "/applications/1/guilds/2/commands", [{"name": "a", "description": "a" * 101}])
    assert found("POST", "/channels/1/letters", {}) == ["there is no such call: POST /channels/1/letters"]
    assert found("DELETE", "/channels/1/messages") == ["there is no such call: DELETE /channels/1/messages"]
    assert found("GET", "/channels/1/messages", colour="red") == ["unknown in the query: colour"]


# --- OpenAI -------------------------------------------------------------------------------------------------------


def openai_problems(spec: Spec, sent: Sent) -> list[str]:
    """What OpenAI would not like of a request; a form (the file) is looked at elsewhere."""
    try:
        unknown = set(sent.query) - query_names(spec, sent.method, sent.path)
    except LookupError:
        return [f"there is no such call: {sent.method} {sent.path}"]
    found = [f"unknown in the query: {name}" for name in sorted(unknown)]
    if sent.body is None:
        return found
    try:
        return found + problems(request_body_validator(spec, sent.method, sent.path), sent.body)
    except LookupError:
        return [*found, "this call takes no body"]


def line_problems(spec: Spec, line: str) -> list[str]:
    """What OpenAI would not like of a line of a training file."""
    example = json.loads(line)
    if found := problems(LINE, example):
        return found
    for message in example["messages"]:
        ours = message["role"] == "assistant"
        name = "FineTuneChatCompletionRequestAssistantMessage" if ours else "ChatCompletionRequestMessage"
        found += problems(component_validator(spec, name), message)
    if example["messages"][-1]["role"] != "assistant":
        found.append("the last message must be what the voice is to learn")
    return found


def test_openai_takes_everything(traffic: Traffic, openai_spec: Spec):
    wrong = [(sent, found) for sent in traffic.openai if (found := openai_problems(openai_spec, sent))]
    assert not wrong, wrong[:3]


def test_the_walk_reaches_every_call_to_openai(traffic: Traffic, openai_spec: Spec):
    reached = {(sent.method, template_of(openai_spec, sent.method, sent.path)) for sent in traffic.openai}
    assert reached >= {
        ("POST", "/moderations"),
        ("POST", "/files"),
        ("GET", "/files/{file_id}"),
        ("POST", "/fine_tuning/jobs"),
        ("GET", "/fine_tuning/jobs"),
        ("GET", "/fine_tuning/jobs/{fine_tuning_job_id}"),
        ("GET", "/fine_tuning/jobs/{fine_tuning_job_id}/events"),
        ("POST", "/fine_tuning/jobs/{fine_tuning_job_id}/cancel"),
        ("POST", "/chat/completions"),
    }
    models = {sent.body["model"].split(":")[0] for sent in traffic.openai if sent.path == "/chat/completions"}
    assert len(models) > 1, "a trained voice and a few-shot one"


def test_openai_takes_every_training_file(traffic: Traffic, openai_spec: Spec):
    assert traffic.files
    form = request_body_validator(openai_spec, "POST", "/files", "multipart/form-data")
    for file in traffic.files:
        assert file.filename.endswith(".jsonl")
        assert problems(form, {"purpose": file.purpose, "file": file.content.decode()}) == []
        lines = file.content.decode().splitlines()
        assert len(lines) >= 10, "OpenAI wants at least ten examples"
        wrong = [(line[:200], found) for line in lines if (found := line_problems(openai_spec, line))]
        assert not wrong, wrong[:3]


def test_a_wrong_call_to_openai_is_noticed(openai_spec: Spec):
    def found(method: str, path: str, body: Any = None, **query: Any) -> list[str]:
        return openai_problems(openai_spec, Sent(method, path, query, body))

    right = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Write."}]}
    assert not found("POST", "/chat/completions", right)
    assert found("POST", "/chat/completions", right | {"messages": []})
    assert found("POST", "/chat/completions", right | {"messages": [{"role": "narrator", "content": "Write."}]})
    assert found("POST", "/chat/completions", right | {"temperature": "hot"})
    assert found("POST", "/moderations", {"model": "omni-moderation-latest"})
    assert found("POST", "/fine_tuning/jobs", {"model": "gpt-4.1-mini", "training_file": "file-1", "suffix": 5})
    assert found("POST", "/chat/completion", right) == ["there is no such call: POST /chat/completion"]
    assert found("GET", "/files", page="2") == ["unknown in the query: page"]


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "user", "content": "Write."}],
        [{"role": "user", "content": "Write."}, {"role": "assistant", "content": ""}],
        [{"role": "user", "content": "Write."}, {"role": "assistant", "content": "Ahoy.", "mood": "good"}],
        [{"role": "narrator", "content": "Write."}, {"role": "assistant", "content": "Ahoy."}],
        [{"role": "assistant", "content": "Ahoy."}, {"role": "user", "content": "Write."}],
    ],
)
def test_a_wrong_training_line_is_noticed(openai_spec: Spec, messages: list[dict[str, Any]]):
    right = [{"role": "user", "content": "Write."}, {"role": "assistant", "content": "Ahoy."}]
    assert line_problems(openai_spec, json.dumps({"messages": right})) == []
    assert line_problems(openai_spec, json.dumps({"messages": messages}))


# --- a training, request by request -------------------------------------------------------------------------------

DATASET = Dataset(3, 0.0, "d", "You write.", "Write.", 240, 12, 2, 0, None)
MATERIAL = Material(
    DATASET,
    [Example("Write.", f"night {number}.", 20) for number in range(12)],
    [Example("Write.", f"night {number}.", 20, held_out=True) for number in range(12, 14)],
)


@pytest.fixture
async def openai() -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def model(openai: Server) -> AsyncIterator[ModelService]:
    service = ModelService(Endpoint(openai.base_url, SecretStr(KEY), "gpt-4.1-mini"), wait=wait_none())
    yield service
    await service.close()


async def _train_with_everything(model: ModelService) -> None:
    """Each request that a training may come to."""
    trainer = FineTuned(model)
    await describe_model(model)
    training = Training(7, 1, 3, model.endpoint.base_url, "gpt-4.1-mini", 2, TrainingState.PREPARING, suffix="lamp")
    for _ in range(2):
        training = await trainer.prepare(training, MATERIAL, lambda _, __: None)
    training = await trainer.train(training)
    for act in (trainer.poll, trainer.pause, trainer.resume, trainer.cancel, trainer.delete_files):
        training = await act(training)


async def test_openai_takes_every_request_of_a_training(openai: Server, model: ModelService, openai_spec: Spec):
    await _train_with_everything(model)
    reached: set[tuple[str, str]] = set()
    for seen in openai.seen:
        path = seen.path.removeprefix("/v1")
        is_form = seen.headers["Content-Type"].startswith("multipart/") if seen.raw else False
        body = json.loads(seen.raw) if seen.raw and not is_form else None
        assert openai_problems(openai_spec, Sent(seen.method, path, seen.query, body)) == []
        reached.add((seen.method, template_of(openai_spec, seen.method, path)))
    job = "/fine_tuning/jobs/{fine_tuning_job_id}"
    assert reached == {
        ("GET", "/models/{model}"),
        ("GET", "/files"),
        ("POST", "/files"),
        ("GET", "/files/{file_id}"),
        ("DELETE", "/files/{file_id}"),
        ("GET", "/fine_tuning/jobs"),
        ("POST", "/fine_tuning/jobs"),
        ("GET", job),
        ("GET", f"{job}/events"),
        ("POST", f"{job}/pause"),
        ("POST", f"{job}/resume"),
        ("POST", f"{job}/cancel"),
    }


async def test_a_job_is_asked_for_with_all_that_openai_should_know(openai: Server, model: ModelService):
    await _train_with_everything(model)
    (asked,) = [seen.body for seen in openai.seen if (seen.method, seen.path) == ("POST", "/v1/fine_tuning/jobs")]
    assert asked == {
        "model": "gpt-4.1-mini",
        "training_file": "file-1",
        "validation_file": "file-1",
        "suffix": "lamp",
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
        "metadata": {"tumblrbot_training": "7"},
    }


async def test_both_files_go_up_as_openai_takes_them(openai: Server, model: ModelService, openai_spec: Spec):
    await _train_with_everything(model)
    uploads = [seen for seen in openai.seen if (seen.method, seen.path) == ("POST", "/v1/files")]
    assert len(uploads) == 2
    for upload, count in zip(uploads, (12, 2), strict=True):
        fields = read_form(upload.headers["Content-Type"], upload.raw)
        assert set(fields) == {"purpose", "file", "expires_after[anchor]", "expires_after[seconds]"}
        lines = fields["file"].content.decode().splitlines()
        assert len(lines) == count
        assert not [found for line in lines if (found := line_problems(openai_spec, line))]
        form = {
            "purpose": fields["purpose"].content.decode(),
            "file": fields["file"].content.decode(),
            "expires_after": {
                "anchor": fields["expires_after[anchor]"].content.decode(),
                "seconds": int(fields["expires_after[seconds]"].content),
            },
        }
        assert problems(request_body_validator(openai_spec, "POST", "/files", "multipart/form-data"), form) == []


def described(spec: Spec, path: str, method: str, schema: str | None = None) -> list[dict[str, Any]]:
    """The answers that the description gives as examples: of a call, and of what it answers with."""
    examples = spec.document["paths"][path][method].get("x-oaiMeta", {}).get("examples") or []
    examples = examples if isinstance(examples, list) else [examples]
    texts = [example["response"] for example in examples if example.get("response")]
    if schema is not None:
        texts.append(spec.document["components"]["schemas"][schema]["x-oaiMeta"]["example"])
    # They are written by hand: one lacks a comma, others have one too many, which YAML does not mind.
    return [yaml.safe_load(re.sub(r'(["\d}\]])[ ]*\n(\s*")', r"\1,\n\2", text)) for text in texts]


JOB_PATH = "/fine_tuning/jobs/{fine_tuning_job_id}"


async def test_every_job_in_the_description_is_read(openai: Server, model: ModelService, openai_spec: Spec):
    found = [
        *described(openai_spec, "/fine_tuning/jobs", "post", "FineTuningJob"),
        *described(openai_spec, JOB_PATH, "get"),
        *[one for act in ("cancel", "pause", "resume") for one in described(openai_spec, f"{JOB_PATH}/{act}", "post")],
    ]
    assert len(found) >= 10
    for example in found:
        openai.replies = [reply(example)]
        job = await tuning.get_job(model, "ftjob-1")
        assert (job.id, job.status) == (example["id"], example["status"])
        assert job.fine_tuned_model == example.get("fine_tuned_model")
        assert job.trained_tokens == example.get("trained_tokens")
        assert (job.error_code, job.error_message) == (None, None)
        assert job.estimated_finish is None, "none of them tells when it ends; one says 0"
        used = example.get("method", {}).get("supervised", {}).get("hyperparameters") or example.get("hyperparameters")
        asked = (used or {}).get("n_epochs")
        assert job.epochs == (asked if isinstance(asked, int) else None)


async def test_every_list_of_jobs_in_the_description_is_read(openai: Server, model: ModelService, openai_spec: Spec):
    (listing,) = described(openai_spec, "/fine_tuning/jobs", "get")
    # The example goes on with an ellipsis.
    jobs = [job for job in listing["data"] if isinstance(job, dict) and "id" in job]
    openai.replies = [reply({"data": jobs, "has_more": False})]
    found = await tuning.find_jobs(model, jobs[0]["training_file"], marker="7")
    assert [job.id for job in found] == [job["id"] for job in jobs]


async def test_every_event_in_the_description_is_read(openai: Server, model: ModelService, openai_spec: Spec):
    listing, single = described(openai_spec, f"{JOB_PATH}/events", "get", "FineTuningJobEvent")
    events = [*listing["data"], single]
    openai.replies = [reply({"data": events, "has_more": False})]
    log = await tuning.read_log(model, "ftjob-1")
    assert [(event.at, event.text) for event in log.events] == [
        (event["created_at"], event["message"]) for event in reversed(events)
    ]


async def test_every_checkpoint_in_the_description_has_the_figures_of_an_event(
    openai: Server, model: ModelService, openai_spec: Spec
):
    """The bot takes its curve from the events, whose figures bear the same names; checkpoints it does not ask for."""
    *_, single = described(openai_spec, f"{JOB_PATH}/checkpoints", "get", "FineTuningJobCheckpoint")
    metrics = {"type": "metrics", "data": single["metrics"]}
    openai.replies = [reply({"data": [metrics], "has_more": False})]
    log = await tuning.read_log(model, "ftjob-1")
    assert log.loss == ((88, 0.478),)
    assert log.held_out_loss == ((88, 0.567),), "of the whole held-out part, where it is given"


async def test_every_model_in_the_description_is_read(openai: Server, model: ModelService, openai_spec: Spec):
    (listing,) = described(openai_spec, "/models", "get")
    found = [*described(openai_spec, "/models/{model}", "get", "Model"), *listing["data"]]
    for example in found:
        openai.replies = [reply(example)]
        card = await describe_model(model)
        told = example["shutdown_date"]
        assert (card.id, card.shutdown_date) == (example["id"], date.fromisoformat(told) if told else None)


async def test_every_file_in_the_description_is_read(openai: Server, model: ModelService, openai_spec: Spec):
    """None of them has a status: such a file counts as looked at."""
    (uploaded, _) = described(openai_spec, "/files", "post", "OpenAIFile")
    openai.replies = [reply(uploaded)]
    assert await tuning.upload_training_file(model, "a.jsonl", b"{}") == uploaded["id"]
    (listing,) = described(openai_spec, "/files", "get")
    for example in listing["data"]:
        openai.replies = [reply({"data": listing["data"], "has_more": False})]
        assert await tuning.find_file(model, example["filename"]) is not None
    (single,) = described(openai_spec, "/files/{file_id}", "get")
    openai.replies = [reply(single)]
    await tuning.wait_until_processed(model, single["id"], deadline=0)


# --- Tumblr -------------------------------------------------------------------------------------------------------


def tumblr_problems(sent: Sent) -> list[str]:
    """What Tumblr would not like of a request, or, worse, would understand otherwise than it was meant."""
    found = [f"unknown in the query: {name}" for name in sorted(set(sent.query) - TUMBLR_QUERY)]
    if {"before", "offset"} <= set(sent.query):
        found.append("`offset` is ignored beside `before`")
    match sent.method, sent.path.split("/")[1:]:
        case "GET", ["v2", "user", "info" | "limits"] | ["v2", "blog", _, "info"]:
            return found
        case "GET", ["v2", "blog", _, "posts"] | ["v2", "blog", _, "posts", "draft" | "queue"]:
            return found if sent.query.get("npf") == "true" else [*found, "posts must be asked for as NPF"]
        case "POST", ["v2", "blog", _, "posts"]:
            return found + problems(TUMBLR_BODY, sent.body)
        case "POST", ["v2", "blog", _, "post", "delete"]:
            return found + problems(TUMBLR_DELETION, sent.body)
        case _:
            return [*found, f"there is no such call, or it answers no longer: {sent.method} {sent.path}"]


def test_tumblr_takes_everything(traffic: Traffic):
    wrong = [(sent, found) for sent in traffic.tumblr if (found := tumblr_problems(sent))]
    assert not wrong, wrong[:3]
    assert len([sent for sent in traffic.tumblr if sent.method == "POST"]) >= 4


@pytest.mark.parametrize("state", UploadState)
@pytest.mark.parametrize("parent", [None, ReblogSource("t:abc-_123", "788383838383838383", "key")])
@pytest.mark.parametrize("text", ["one.", NASTY, "a" * 9000, "one.\n\n\n\n  \ntwo."])
@pytest.mark.parametrize("tags", [[], ["#one, two", " ", "three" * 60], MANY_TAGS.split(", ")])
def test_every_post_that_can_be_made_is_one_that_tumblr_takes(
    state: UploadState, parent: ReblogSource | None, text: str, tags: list[str]
):
    assert problems(TUMBLR_BODY, post_body(text, tags, state, parent)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"state": "queued"},
        {"state": "Draft"},
        {"state": None},
        {"tags": ["one", "two"]},
        {"tags": "#one"},
        {"tags": "a" * 141},
        {"content": []},
        {"content": [{"type": "text", "text": "a" * 4097}]},
        {"content": [{"type": "text", "text": " \n"}]},
        {"content": [{"type": "text", "body": "one."}]},
        {"parent_post_id": "1"},
        {"title": "one"},
    ],
)
def test_a_wrong_post_is_noticed(change: dict[str, Any]):
    right = {"content": [{"type": "text", "text": "one."}], "state": "draft", "tags": "one,two"}
    assert tumblr_problems(Sent("POST", "/v2/blog/b/posts", {}, right)) == []
    assert tumblr_problems(Sent("POST", "/v2/blog/b/posts", {}, right | change))
    without_state = {name: value for name, value in right.items() if name != "state"}
    assert tumblr_problems(Sent("POST", "/v2/blog/b/posts", {}, without_state))


def test_a_wrong_call_to_tumblr_is_noticed():
    assert tumblr_problems(Sent("POST", "/v2/blog/b/post/delete", {}, {"id": 5}))
    assert tumblr_problems(Sent("POST", "/v2/blog/b/post/delete", {}, {}))
    dated = {"content": [{"type": "text", "text": "one."}], "publish_on": "2026-01-01T00:00:00+00:00"}
    assert tumblr_problems(Sent("POST", "/v2/blog/b/posts", {}, dated | {"state": "queue"})) == []
    assert tumblr_problems(Sent("POST", "/v2/blog/b/posts", {}, dated | {"state": "draft"}))
    assert tumblr_problems(Sent("POST", "/v2/blog/b/post", {}, {"type": "text"}))
    assert tumblr_problems(Sent("GET", "/v2/blog/b/posts", {"npf": "true", "before": "1", "offset": "1"}, None))
    assert tumblr_problems(Sent("GET", "/v2/blog/b/posts", {}, None))
    assert tumblr_problems(Sent("GET", "/v2/blog/b/posts", {"npf": "true", "page": "1"}, None))
