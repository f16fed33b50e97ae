"""Writing, at services old and new."""

import pytest

from bot import errors
from bot.language.chat import Message, complete, extract_tags
from tests.language.conftest import COMPLETION, answer, error, status

MESSAGES = [Message("developer", "Be a blog."), Message("user", "Write \ud800.")]


def completion(**changes):
    choice = {"message": {"role": "assistant", "content": "A post."}, "finish_reason": "stop"}
    choice |= changes.pop("choice", {})
    return {**COMPLETION, "choices": [choice], **changes}


async def test_what_is_sent_and_read(service, server):
    written = await complete(service, MESSAGES, max_tokens=50, temperature=0.7)
    assert server.seen[0].body == {
        "model": "gpt-4.1-mini",
        "messages": [{"role": "developer", "content": "Be a blog."}, {"role": "user", "content": "Write ?."}],
        "max_completion_tokens": 50,
        "temperature": 0.7,
    }
    assert (written.text, written.model) == ("A post.", "gpt-4.1-mini-2025-04-14")
    assert (written.input_tokens, written.cached_tokens, written.output_tokens) == (12, 5, 3)
    assert not written.cut_off


async def test_without_temperature_none_is_sent(service, server):
    await complete(service, MESSAGES, max_tokens=50)
    assert "temperature" not in server.seen[0].body


async def test_an_old_service_is_met_step_by_step_and_remembered(service, server):
    server.replies = [
        status(422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"]}]}),
        error(400, "Unknown role 'developer'", param="messages[0].role"),
        error(400, "'temperature' does not support 0.7 with this model"),
    ]
    await complete(service, MESSAGES, max_tokens=50, temperature=0.7)
    last = server.seen[-1].body
    assert last["max_tokens"] == 50
    assert "max_completion_tokens" not in last
    assert last["messages"][0]["role"] == "system"
    assert "temperature" not in last
    assert len(server.seen) == 4
    await complete(service, MESSAGES, max_tokens=50, temperature=0.7)
    assert server.seen[-1].body == last
    assert len(server.seen) == 5


async def test_a_refusal_that_names_nothing_of_ours_is_final(service, server):
    server.then = error(400, "The prompt is too long", param="messages")
    with pytest.raises(errors.ModelRefused):
        await complete(service, [Message("user", "x")], max_tokens=50)
    assert len(server.seen) == 1


async def test_a_service_that_refuses_everything_is_not_asked_for_ever(service, server):
    server.then = error(400, "max_completion_tokens, temperature and role are all wrong")
    with pytest.raises(errors.ModelRefused):
        await complete(service, MESSAGES, max_tokens=50, temperature=1)
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": None, "refusal": "I cannot."}},
        {"message": {"content": "half a", "refusal": None}, "finish_reason": "content_filter"},
        {"message": {"content": None}},
        {"message": {}},
    ],
)
async def test_a_withheld_text_is_empty_and_still_counted(service, server, choice):
    server.then = answer(completion(choice=choice))
    written = await complete(service, MESSAGES, max_tokens=50)
    assert written.text == ""
    assert written.input_tokens == 12


async def test_cut_off(service, server):
    server.then = answer(completion(choice={"finish_reason": "length"}))
    assert (await complete(service, MESSAGES, max_tokens=50)).cut_off


@pytest.mark.parametrize("usage", [None, {}, "many", {"prompt_tokens": "x", "completion_tokens": 1}])
async def test_without_a_usable_count_we_count(service, server, usage):
    server.then = answer(completion(usage=usage))
    written = await complete(service, MESSAGES, max_tokens=50)
    assert written.input_tokens > 3
    assert written.output_tokens == 3


async def test_absurd_counts_are_tamed(service, server):
    usage = {"prompt_tokens": 10, "completion_tokens": -4, "prompt_tokens_details": {"cached_tokens": 99}}
    server.then = answer(completion(usage=usage, model=7))
    written = await complete(service, MESSAGES, max_tokens=50)
    assert (written.input_tokens, written.cached_tokens, written.output_tokens) == (10, 10, 0)
    assert written.model == "gpt-4.1-mini"


async def test_no_choice_is_nonsense(service, server):
    server.then = answer(completion() | {"choices": []})
    with pytest.raises(errors.ModelUnavailable):
        await complete(service, MESSAGES, max_tokens=50)


async def test_tags_come_by_schema(service, server):
    server.then = answer(completion(choice={"message": {"content": '{"tags": ["#tea", " rain ", "tea", "", "#"]}'}}))
    tags, written = await extract_tags(service, "Name tags.", "Tea in the rain.")
    assert tags == ("tea", "rain")
    assert written is not None
    sent = server.seen[0].body["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["schema"]["properties"] == {"tags": {"type": "array", "items": {"type": "string"}}}


@pytest.mark.parametrize("content", ["tea, rain", '{"tags": "tea"}', "[1]", '{"tags": [1]}', "", "[" * 9000])
async def test_nonsense_gives_no_tags(service, server, content):
    server.then = answer(completion(choice={"message": {"content": content}}))
    tags, written = await extract_tags(service, "Name tags.", "Tea in the rain.")
    assert tags == ()
    assert written is not None


async def test_a_refusing_model_gives_no_tags(service, server):
    server.then = answer(completion(choice={"message": {"content": None, "refusal": "No."}}))
    assert (await extract_tags(service, "Name tags.", "x"))[0] == ()


async def test_a_service_without_schemas_gives_no_tags(service, server):
    server.then = error(400, "response_format is not supported")
    assert await extract_tags(service, "Name tags.", "x") == ((), None)


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (400, {"error": {"message": "Too long.", "type": "x", "param": "messages", "code": "context_length_exceeded"}}),
        (400, {"error": {"code": 400, "message": "no", "type": "exceed_context_size_error", "n_ctx": 4096}}),
        (500, {"error": {"code": 500, "message": "no", "type": "exceed_context_size_error", "n_ctx": 256}}),
        (400, {"error": {"code": 400, "message": "the request exceeds the available context size.", "type": "x"}}),
        (
            400,  # names `max_completion_tokens`, which is not what is wrong
            {
                "object": "error",
                "message": "'max_tokens' or 'max_completion_tokens' is too large: 50. This model's maximum context length is"
                " 40 tokens and your request has 30 input tokens (50 > 40 - 30).",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            },
        ),
    ],
)
async def test_a_prompt_that_is_too_long_is_told_from_other_refusals(service, server, code, body):
    server.then = status(code, body)
    with pytest.raises(errors.ModelContextTooLong, match="longer than the model at 127") as caught:
        await complete(service, MESSAGES, max_tokens=50)
    assert caught.value.status == code
    assert len(server.seen) == 1
    assert service.lacks == set()


@pytest.mark.parametrize("code", [401, 403, 429, 503])
async def test_other_answers_with_the_same_words_keep_their_meaning(service, server, code):
    server.then = error(code, "the maximum context length is a secret")
    with pytest.raises(errors.ModelError) as caught:
        await complete(service, MESSAGES, max_tokens=50)
    assert not isinstance(caught.value, errors.ModelContextTooLong)


async def test_a_model_without_a_system_role_gets_one_message(service, server):
    server.replies = [error(400, "System role not supported")]
    await complete(service, [*MESSAGES, Message("assistant", "Yes."), Message("user", "Go on.")], max_tokens=50)
    sent = [
        {"role": "user", "content": "Be a blog.\n\nWrite ?."},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Go on."},
    ]
    assert server.seen[-1].body["messages"] == sent
    assert len(server.seen) == 2
    await complete(service, [Message("system", "Be a blog."), Message("user", "Write.")], max_tokens=50)
    assert server.seen[-1].body["messages"] == [{"role": "user", "content": "Be a blog.\n\nWrite."}]
    assert len(server.seen) == 3


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS"])
async def test_cut_off_in_the_words_of_other_services(service, server, reason):
    server.then = answer(completion(choice={"finish_reason": reason}))
    assert (await complete(service, MESSAGES, max_tokens=50)).cut_off


@pytest.mark.parametrize("reason", ["stop", "eos_token", "abort", None, 7, ["length"], {"type": "length"}])
async def test_not_cut_off_in_any(service, server, reason):
    server.then = answer(completion(choice={"finish_reason": reason}))
    assert not (await complete(service, MESSAGES, max_tokens=50)).cut_off
