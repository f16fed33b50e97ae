"""Fine-tuning: files and jobs, found again after a crash, read whatever the service adds."""

import asyncio

import pytest

from bot import errors
from bot.language import together, tuning
from tests.language.conftest import FILE, JOB, answer, error, reset


async def create(service):
    return await tuning.create_job(
        service, training_file="file-1", model="gpt-4.1-mini", suffix="tumblrbot", epochs=3, marker="7"
    )


async def test_upload(service, server):
    assert await tuning.upload_training_file(service, "training-7.jsonl", b'{"a": 1}\n') == "file-1"
    sent = server.seen[0]
    assert b'filename="training-7.jsonl"' in sent.raw
    assert b'{"a": 1}\n' in sent.raw
    assert b"fine-tune" in sent.raw


async def test_a_service_that_cannot_forget_files_is_asked_without(service, server):
    server.replies = [error(400, "Unknown parameter: 'expires_after[anchor]'."), answer(FILE), answer(FILE)]
    for _ in range(2):
        assert await tuning.upload_training_file(service, "training-7.jsonl", b"{}\n") == "file-1"
    assert [b"expires_after" in seen.raw for seen in server.seen] == [True, False, False]
    server.replies = [error(400, "Unknown parameter: 'expires_after[anchor]'.")]
    with pytest.raises(errors.ModelRefused):
        await tuning.upload_training_file(service, "training-7.jsonl", b"{}\n")
    assert len(server.seen) == 4, "it was not sent, so there is nothing to leave out"


@pytest.mark.parametrize("upload", [tuning.upload_training_file, together.upload_file])
async def test_an_upload_may_take_longer_than_a_question(service, server, upload):
    await tuning.get_job(service, "ftjob-1")  # the connection is there
    service.deadline = 0.05

    async def late(request):
        await asyncio.sleep(0.2)
        return await answer(FILE)(request)

    server.then = late
    assert await upload(service, "training-7.jsonl", b"{}\n") == "file-1"


async def test_another_refusal_of_a_file_is_final(service, server):
    server.then = error(400, "The file is empty.")
    with pytest.raises(errors.ModelRefused, match="The file is empty"):
        await tuning.upload_training_file(service, "training-7.jsonl", b"")
    assert len(server.seen) == 1


async def test_create(service, server):
    job = await create(service)
    assert server.seen[0].body == {
        "training_file": "file-1",
        "model": "gpt-4.1-mini",
        "suffix": "tumblrbot",
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}},
        "metadata": {"tumblrbot_training": "7"},
    }
    assert (job.id, job.status, job.is_final, job.error_code) == ("ftjob-1", "running", False, None)


@pytest.mark.parametrize(
    "reply",
    [
        error(400, "File 'file-1' is still being processed and is not ready to be used for fine-tuning."),
        error(404, "No such File object: file-1"),
        error(400, "invalid training_file: file-1", param="training_file"),
        error(400, "Training file not found"),
    ],
)
async def test_a_file_that_is_not_ready_is_waited_for(service, server, reply):
    server.replies = [reply] * 3
    await create(service)
    assert len(server.seen) == 4


@pytest.mark.parametrize(
    "reply",
    [
        error(400, "Invalid file format: line 3 could not be read", param="training_file"),
        error(404, "The model `gpt-9` does not exist", name="model_not_found"),
        error(400, "Model gpt-9 is not available for fine-tuning or does not exist.", param="model"),
        error(403, "file-1 is not ready", name="training_not_available"),
        error(500, "file-1 is still being processed"),
        reset,
    ],
)
async def test_nothing_else_makes_a_second_job(service, server, reply):
    server.then = reply
    with pytest.raises(errors.ModelError):
        await create(service)
    assert len(server.seen) == 1


async def test_a_file_that_never_gets_ready_is_given_up(service, server):
    server.then = error(400, "File file-1 is still being processed")
    with pytest.raises(errors.ModelRefused, match="being processed"):
        await create(service)
    assert len(server.seen) == 8


@pytest.mark.parametrize("status", [{"status": None}, {"status": "processed"}, {}])
async def test_a_processed_file(service, server, status):
    file = {key: value for key, value in FILE.items() if key != "status"}
    server.replies = [answer({**file, "status": "uploaded"}), answer({**file, "status": "novel"}), error(404, "?")]
    server.then = answer(file | status)
    await tuning.wait_until_processed(service, "file-1", poll_seconds=0)
    assert len(server.seen) == 4


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer({**FILE, "status": "uploaded"}), errors.ModelUnavailable),
        (answer({**FILE, "status": "error"}), errors.ModelRefused),
        (error(404, "No such file"), errors.ModelRefused),
    ],
)
async def test_a_file_that_is_not_processed_in_time(service, server, reply, kind):
    server.then = reply
    with pytest.raises(kind):
        await tuning.wait_until_processed(service, "file-1", poll_seconds=0, deadline=0)


async def test_a_refused_question_about_a_file_is_not_repeated(service, server):
    server.replies = [error(400, "Not a file's id")]
    with pytest.raises(errors.ModelRefused, match="Not a file's id"):
        await tuning.wait_until_processed(service, "file-1", poll_seconds=0)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"status": "succeeded", "fine_tuned_model": "ft:x"}, (True, True, None)),
        ({"status": "failed", "error": {"code": "unsafe_file", "message": "m"}}, (True, False, "unsafe_file")),
        ({"status": "cancelled"}, (True, False, None)),
        ({"status": "paused"}, (False, False, None)),
        ({"status": "something new"}, (False, False, None)),
        ({"error": None}, (False, False, None)),
        ({"error": {"code": None, "message": None, "param": None}}, (False, False, None)),
        ({"error": "text"}, (False, False, None)),
    ],
)
async def test_statuses(service, server, change, expected):
    server.then = answer(JOB | change)
    job = await tuning.get_job(service, "ftjob-1")
    assert (job.is_final, job.succeeded, job.error_code) == expected


async def test_a_job_in_full_and_in_disorder(service, server):
    full = {
        "status": "succeeded",
        "fine_tuned_model": "ft:gpt-4.1-mini:org:x:1",
        "trained_tokens": 1234,
        "estimated_finish": 1_790_000_000,
        "error": {"code": "x", "message": "See sk-abcdef1234567890\nline"},
        "unheard_of": [1],
    }
    server.replies = [answer(JOB | full)]
    job = await tuning.get_job(service, "ftjob-1")
    assert (job.fine_tuned_model, job.trained_tokens) == ("ft:gpt-4.1-mini:org:x:1", 1234)
    assert (job.estimated_finish, job.training_file) == (1_790_000_000.0, "file-1")
    assert job.error_message == "See [hidden] line"
    server.then = answer(
        JOB | {"fine_tuned_model": 3, "trained_tokens": "x", "estimated_finish": True, "training_file": []}
    )
    job = await tuning.get_job(service, "ftjob-1")
    nothing = (job.fine_tuned_model, job.trained_tokens, job.estimated_finish, job.training_file)
    assert nothing == (None, None, None, None)


def pages(items, size=2):
    """A list in pages, as OpenAI pages it, with one item that makes no sense."""

    async def reply(request):
        ids = [item.get("id") for item in items]
        after = request.query.get("after")
        start = ids.index(after) + 1 if after else 0
        shown = items[start : start + size]
        return await answer({"data": shown, "has_more": start + size < len(items)})(request)

    return reply


async def test_jobs_are_found_again(service, server):
    ours = {"tumblrbot_training": "7"}
    server.then = pages(
        [
            JOB | {"id": "a", "training_file": "file-2", "metadata": ours},
            JOB | {"id": "b", "metadata": {"tumblrbot_training": "8"}},
            JOB | {"id": "c", "metadata": ours},
            {"id": "d"},
            JOB | {"id": "e", "metadata": None},
            JOB | {"id": "f", "metadata": {}},
        ]
    )
    found = await tuning.find_jobs(service, "file-1", marker="7")
    assert [job.id for job in found] == ["c", "e", "f"]
    assert len(server.seen) == 3


async def test_a_file_is_found_again(service, server):
    server.then = pages(
        [
            FILE | {"id": "a", "filename": "other.jsonl"},
            FILE | {"id": "b", "status": "error"},
            {"id": "x", "filename": 3},
            FILE | {"id": "c"},
        ]
    )
    assert await tuning.find_file(service, "posts.jsonl") == "c"
    assert await tuning.find_file(service, "nothing.jsonl") is None
    assert server.seen[0].query["purpose"] == "fine-tune"


async def test_pages_that_never_end_do(service, server):
    server.then = answer({"data": [FILE], "has_more": True})
    assert await tuning.find_file(service, "nothing.jsonl") is None
    assert len(server.seen) == 2


async def test_the_loss_curve_comes_from_all_pages(service, server):
    events = [
        {"id": f"e{step}", "type": "metrics", "data": {"step": step, "train_loss": 3 - step / 10}}
        for step in range(5, 0, -1)
    ]
    events[1:1] = [
        {"id": "m", "type": "message", "data": {"step": 9, "train_loss": 9}},
        {"id": "n", "type": "metrics", "data": None},
        {"id": "o", "type": "metrics", "data": {"step": "x", "train_loss": True}},
        {"id": "p", "type": "metrics", "data": {"step": 5, "train_loss": 99}},
    ]
    server.then = pages(events)
    log = await tuning.read_log(service, "ftjob-1")
    assert log.loss == tuple((step, pytest.approx(3 - step / 10)) for step in range(1, 6))


async def test_the_held_out_loss_is_that_of_the_whole_part_where_it_was_measured(service, server):
    """OpenAI measures a batch of it at every step (`valid_loss`), and all of it now and then (`full_valid_loss`)."""
    events = [
        {"id": "b", "type": "metrics", "data": {"step": 2, "total_steps": 40, "valid_loss": 9, "full_valid_loss": 1.5}},
        {"id": "a", "type": "metrics", "data": {"step": 1, "total_steps": 30, "valid_loss": 2.0}},
    ]
    server.then = pages(events)
    log = await tuning.read_log(service, "ftjob-1")
    assert log.held_out_loss == ((1, 2.0), (2, 1.5))
    assert log.steps == 40, "as it was told last"


async def test_of_what_a_service_said_the_last_few_are_kept_oldest_first(service, server):
    events = [
        {"id": f"e{number}", "type": "message", "message": f"said {number}", "created_at": number}
        for number in range(20, 0, -1)
    ]
    events[3:3] = [{"id": "b", "message": "   "}, {"id": "c", "message": 3}, {"id": "d"}]
    events[0]["message"] = "word " * 100
    server.then = pages(events, size=50)
    said = (await tuning.read_log(service, "ftjob-1")).events
    assert [event.at for event in said] == [13, 14, 15, 16, 17, 18, 19, 20]
    assert said[0].text == "said 13"
    assert (len(said[-1].text), said[-1].text[-1]) == (200, "…")


@pytest.mark.parametrize(
    ("told", "epochs"),
    [
        ({"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 4}}}}, 4),
        ({"hyperparameters": {"n_epochs": 2}}, 2),  # as it stood before there were methods; services still say so
        ({"method": {"supervised": {"hyperparameters": {"n_epochs": 4}}}, "hyperparameters": {"n_epochs": 2}}, 4),
        ({"method": {"supervised": {"hyperparameters": {"n_epochs": "auto"}}}}, None),
        ({"method": "supervised", "hyperparameters": []}, None),
    ],
)
async def test_the_epochs_that_were_used(service, server, told, epochs):
    server.then = answer(JOB | told)
    assert (await tuning.get_job(service, "ftjob-1")).epochs == epochs


def refusing(code, message, job_status):
    """A service that refuses every change of a job, which stands as it stands."""

    async def reply(request):
        shown = error(code, message) if request.method == "POST" else answer(JOB | {"status": job_status})
        return await shown(request)

    return reply


@pytest.mark.parametrize("code", [400, 404, 409, 503])
@pytest.mark.parametrize(
    ("change", "as_wanted"),
    [
        (tuning.cancel_job, "cancelled"),
        (tuning.cancel_job, "succeeded"),
        (tuning.pause_job, "pausing"),
        (tuning.pause_job, "paused"),
        (tuning.resume_job, "resuming"),
        (tuning.resume_job, "running"),
        (tuning.resume_job, "queued"),
    ],
)
async def test_a_change_that_is_refused_because_it_has_happened_is_none(service, server, change, as_wanted, code):
    server.then = refusing(code, "No.", as_wanted)
    assert (await change(service, "ftjob-1")).status == as_wanted


@pytest.mark.parametrize(
    ("change", "status"),
    [(tuning.cancel_job, "running"), (tuning.pause_job, "running"), (tuning.resume_job, "paused")],
)
async def test_a_change_that_cannot_be_is_refused(service, server, change, status):
    server.then = refusing(400, "Not now", status)
    with pytest.raises(errors.ModelRefused, match="Not now"):
        await change(service, "ftjob-1")
    server.then = refusing(503, "", status)
    with pytest.raises(errors.ModelUnavailable, match="error 503"):
        await change(service, "ftjob-1")


async def test_an_id_cannot_leave_its_place(service, server):
    await tuning.get_job(service, "../../v1/files/x?y")
    assert server.seen[0].raw_path == "/v1/fine_tuning/jobs/..%2F..%2Fv1%2Ffiles%2Fx%3Fy"
