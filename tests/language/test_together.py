"""Together's own fine-tuning API: what is sent and read is what its public description has, and nothing else is trusted.

The description is Together's OpenAPI document (`togethercomputer/openapi`, openapi.yaml) with the reference at
docs.together.ai made from it; what it leaves open (the unit of a price, the longest suffix, the roles in a training
file) is taken from Together's own Python client.
"""

from email import message_from_bytes

import pytest

from bot import errors
from bot.language import together
from tests.language.conftest import answer, error, reset

FILE = {
    "id": "file-1",
    "object": "file",
    "created_at": 1_790_000_000,
    "filename": "posts.jsonl",
    "bytes": 9,
    "purpose": "fine-tune",
    "Processed": True,
    "FileType": "jsonl",
}
JOB = {
    "id": "ft-1",
    "status": "running",
    "created_at": "2026-11-01T10:00:00.000Z",
    "updated_at": "2026-11-01T10:00:05.000Z",
    "training_file": "file-1",
    "model_output_name": "keeper/Qwen3-8B:tumblrbot:ft-1",
    "token_count": 850_000,
    "total_price": 408_000_000,
    "progress": {"estimate_available": True, "seconds_remaining": 90},
}
EVENT = {
    "object": "fine-tune-event",
    "created_at": "2026-11-01T10:00:02Z",
    "level": "info",
    "message": "Epoch completed",
    "type": "epoch_complete",
    "param_count": 0,
    "token_count": 0,
    "total_steps": 24,
    "wandb_url": "",
    "step": 8,
    "checkpoint_path": "",
    "model_path": "",
    "training_offset": 0,
    "hash": "",
}

# What the description allows in the bodies that we send, and which of it it requires.
UPLOAD_FIELDS = {"purpose": True, "file_name": True, "file": True, "file_type": False}
JOB_FIELDS = {
    "training_file": (str, True),
    "model": (str, True),
    "validation_file": (str, False),
    "n_epochs": (int, False),
    "n_evals": (int, False),
    "suffix": (str, False),
}


async def create(service, *, validation_file="file-2", suffix="tumblrbot"):
    return await together.create_job(
        service,
        training_file="file-1",
        validation_file=validation_file,
        model="Qwen/Qwen3-8B",
        suffix=suffix,
        epochs=3,
    )


def form(seen):
    whole = message_from_bytes(b"Content-Type: " + seen.headers["Content-Type"].encode() + b"\r\n\r\n" + seen.raw)
    return {part.get_param("name", header="content-disposition"): part for part in whole.get_payload()}


async def test_the_upload_is_the_form_that_the_description_has(service, server):
    server.then = answer(FILE)
    assert await together.upload_file(service, "posts.jsonl", b'{"a": 1}\n') == "file-1"
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/v1/files/upload")
    sent = form(seen)
    assert sent.keys() <= UPLOAD_FIELDS.keys()
    assert {name for name, required in UPLOAD_FIELDS.items() if required} <= sent.keys()
    values = {name: part.get_payload(decode=True) for name, part in sent.items()}
    assert values["purpose"] == b"fine-tune"
    assert values["file_name"] == b"posts.jsonl"
    assert values["file_type"] == b"jsonl"
    assert values["file"] == b'{"a": 1}\n'
    assert sent["file"].get_filename() == "posts.jsonl"


@pytest.mark.parametrize("validation_file", ["file-2", None])
async def test_a_job_asks_for_what_the_description_has(service, server, validation_file):
    server.then = answer(JOB)
    await create(service, validation_file=validation_file)
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/v1/fine-tunes")
    assert seen.body.keys() <= JOB_FIELDS.keys()
    assert {name for name, (_, required) in JOB_FIELDS.items() if required} <= seen.body.keys()
    assert all(type(value) is JOB_FIELDS[name][0] for name, value in seen.body.items())
    held_out = {"validation_file": "file-2", "n_evals": 3} if validation_file else {}
    plain = {"training_file": "file-1", "model": "Qwen/Qwen3-8B", "n_epochs": 3, "suffix": "tumblrbot"}
    assert seen.body == plain | held_out


async def test_a_suffix_is_cut_to_what_together_takes_and_left_out_when_there_is_none(service, server):
    server.then = answer(JOB)
    await create(service, suffix="x" * 64)
    await create(service, suffix="")
    assert server.seen[0].body["suffix"] == "x" * 40
    assert "suffix" not in server.seen[1].body


@pytest.mark.parametrize(
    ("call", "method", "path", "reply"),
    [
        (lambda s: together.find_file(s, "x"), "GET", "/v1/files", {"data": [FILE]}),
        (lambda s: together.wait_until_processed(s, "file-1"), "GET", "/v1/files/file-1", FILE),
        (lambda s: together.get_job(s, "ft-1"), "GET", "/v1/fine-tunes/ft-1", JOB),
        (lambda s: together.find_jobs(s, "file-1"), "GET", "/v1/fine-tunes", {"data": [JOB]}),
        (lambda s: together.events(s, "ft-1"), "GET", "/v1/fine-tunes/ft-1/events", {"data": [EVENT]}),
        (lambda s: together.losses(s, "ft-1"), "GET", "/v1/fine-tunes/ft-1/metrics", {"metrics": []}),
        (lambda s: together.cancel_job(s, "ft-1"), "POST", "/v1/fine-tunes/ft-1/cancel", JOB),
    ],
)
async def test_every_call_goes_to_its_place_with_the_key_and_nothing_else(service, server, call, method, path, reply):
    server.then = answer(reply)
    await call(service)
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.query) == (method, path, {})
    assert seen.headers["Authorization"].startswith("Bearer ")
    assert seen.raw in {b"", b"{}"}


@pytest.mark.parametrize("reply", [reset, error(500, "Oops"), error(400, "File file-1 is still being processed.")])
async def test_a_creating_call_is_made_once(service, server, reply):
    server.then = reply
    with pytest.raises(errors.ModelError):
        await create(service)
    with pytest.raises(errors.ModelError):
        await together.upload_file(service, "posts.jsonl", b"{}\n")
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("status", "is_final", "succeeded"),
    [
        ("pending", False, False),
        ("queued", False, False),
        ("running", False, False),
        ("compressing", False, False),
        ("uploading", False, False),
        ("cancel_requested", False, False),
        ("something new", False, False),
        ("cancelled", True, False),
        ("error", True, False),
        ("user_error", True, False),
        ("completed", True, True),
    ],
)
async def test_statuses(service, server, status, is_final, succeeded):
    server.then = answer(JOB | {"status": status})
    job = await together.get_job(service, "ft-1")
    assert (job.is_final, job.succeeded) == (is_final, succeeded)


async def test_a_job_in_full_and_in_disorder(service, server):
    server.replies = [answer(JOB | {"unheard_of": [1]})]
    job = await together.get_job(service, "ft-1")
    assert job == together.FineTune(
        "ft-1", "running", "file-1", "keeper/Qwen3-8B:tumblrbot:ft-1", 850_000, pytest.approx(0.408), 90.0
    )
    nonsense = {
        "training_file": 3,
        "model_output_name": [],
        "token_count": "x",
        "total_price": True,
        "progress": "soon",
    }
    server.replies = [answer(JOB | nonsense)]
    assert await together.get_job(service, "ft-1") == together.FineTune("ft-1", "running")
    # Before Together has counted, there are zeros in their place.
    server.replies = [answer(JOB | {"token_count": 0, "total_price": 0, "model_output_name": ""})]
    job = await together.get_job(service, "ft-1")
    assert (job.tokens, job.cost, job.output_model) == (None, None, None)


@pytest.mark.parametrize(
    "change", [{"status": "queued"}, {"progress": {"estimate_available": False}}, {"progress": {}}]
)
async def test_an_estimate_is_passed_on_only_when_it_is_one_of_the_training(service, server, change):
    server.then = answer(JOB | change)
    assert (await together.get_job(service, "ft-1")).seconds_left is None


async def test_jobs_are_found_again_by_their_file_newest_first(service, server):
    server.then = answer(
        {
            "data": [
                JOB | {"id": "old", "created_at": "2026-10-01T10:00:00Z"},
                JOB | {"id": "other", "training_file": "file-2"},
                {"id": "no status"},
                JOB | {"id": "new", "created_at": "2026-11-02T10:00:00.5Z"},
                JOB | {"id": "undated", "created_at": None},
                JOB | {"id": "unzoned", "created_at": "2026-10-15T10:00:00"},
            ]
        }
    )
    found = await together.find_jobs(service, "file-1")
    assert [job.id for job in found] == ["new", "unzoned", "old", "undated"]


async def test_a_file_is_found_again_unless_together_could_not_read_it(service, server):
    server.then = answer(
        {
            "data": [
                FILE | {"id": "a", "filename": "other.jsonl"},
                FILE | {"id": "b", "processing_status": "INVALID_FORMAT"},
                {"id": "c", "filename": 3},
                {"filename": "posts.jsonl"},
                FILE | {"id": "d"},
            ]
        }
    )
    assert await together.find_file(service, "posts.jsonl") == "d"
    assert await together.find_file(service, "nothing.jsonl") is None


@pytest.mark.parametrize("end", [FILE, {"id": "file-1"}, FILE | {"Processed": False, "processing_status": "COMPLETED"}])
async def test_a_file_is_waited_for(service, server, end):
    busy = FILE | {"Processed": False}
    server.replies = [answer(busy), answer(busy | {"processing_status": "novel"})]
    server.then = answer(end)
    await together.wait_until_processed(service, "file-1", poll_seconds=0)
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer(FILE | {"Processed": False}), errors.ModelUnavailable),
        (answer(FILE | {"processing_status": "INVALID_FORMAT"}), errors.ModelRefused),
        (answer(FILE | {"processing_status": "FAILED"}), errors.ModelRefused),
        (error(404, "Not found"), errors.ModelRefused),
    ],
)
async def test_a_file_that_is_no_good_or_not_ready_in_time(service, server, reply, kind):
    server.then = reply
    with pytest.raises(kind):
        await together.wait_until_processed(service, "file-1", poll_seconds=0, deadline=0)


async def test_the_log_of_a_job_in_the_order_of_time(service, server):
    server.then = answer(
        {
            "data": [
                EVENT | {"message": "See sk-abcdef1234567890\nline", "type": "JOB_ERROR"},
                EVENT | {"created_at": "2026-11-01T10:00:01Z", "total_steps": 0, "type": "job_pending"},
                EVENT | {"type": None},
                EVENT | {"created_at": "yesterday", "total_steps": "many", "message": 5},
                "nonsense",
            ]
        }
    )
    found = await together.events(service, "ft-1")
    assert found == [
        together.JobEvent(None, "epoch_complete", ""),
        together.JobEvent(1_793_527_201.0, "job_pending", "Epoch completed"),
        together.JobEvent(1_793_527_202.0, "job_error", "See [hidden] line", 24),
    ]


async def test_the_losses_come_from_the_metrics_in_whatever_order(service, server):
    server.then = answer(
        {
            "metrics": [
                {"train/global_step": 2, "train/loss": 2.0, "train/learning_rate": 1e-5},
                {"train/global_step": 1, "train/loss": 2.5},
                {"train/global_step": 2, "eval/loss": 2.1},
                {"train/global_step": "3", "train/loss": 9},
                {"train/global_step": 4, "train/loss": True},
                {"train/loss": 1.0},
                "nonsense",
                None,
            ]
        }
    )
    found = await together.losses(service, "ft-1")
    assert found == together.Losses(((1, 2.5), (2, 2.0)), ((2, 2.1),))


@pytest.mark.parametrize("status", [404, 422, 501])
async def test_a_job_without_metrics_has_no_curve(service, server, status):
    server.then = error(status, "No metrics")
    assert await together.losses(service, "ft-1") == together.Losses((), ())


@pytest.mark.parametrize("status", ["completed", "cancelled", "cancel_requested"])
async def test_cancelling_what_has_ended_or_is_ending(service, server, status):
    server.replies = [error(400, "Cannot be cancelled"), answer(JOB | {"status": status})]
    assert (await together.cancel_job(service, "ft-1")).status == status
    server.replies = [error(409, "Conflict")] * 4 + [answer(JOB | {"status": status})]
    assert (await together.cancel_job(service, "ft-1")).status == status


async def test_cancelling_what_cannot_be(service, server):
    server.replies = [error(400, "Not now")]
    server.then = answer(JOB)
    with pytest.raises(errors.ModelRefused, match="Not now"):
        await together.cancel_job(service, "ft-1")


@pytest.mark.parametrize(
    ("id_", "path"),
    [("../../v1/files/x?y", "%2E%2E%2F%2E%2E%2Fv1%2Ffiles%2Fx%3Fy"), ("..", "%2E%2E"), ("ft-1", "ft-1")],
)
async def test_an_id_cannot_leave_its_place(service, server, id_, path):
    server.then = answer(JOB)
    await together.get_job(service, id_)
    assert server.seen[0].raw_path == f"/v1/fine-tunes/{path}"
