"""Durable jobs, in one process: the ways they begin, show themselves and end."""

import asyncio
import contextvars
import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.errors import BudgetReached, JobAlreadyRunning, NothingToDo
from bot.jobs import runner as runner_module
from bot.jobs.background import Background
from bot.jobs.runner import JobState
from bot.progress import Progress
from bot.store import jobs

CALLER = contextvars.ContextVar("caller", default="nobody")


def at(step: int) -> Progress:
    return Progress(step, 10, f"Step {step}.")


# --- the ordinary course --------------------------------------------------------------------------------------


async def test_a_job_runs_to_its_end(office, puppet):
    job = await office.submit(parameters={"blogs": ["a"]})
    assert (job.state, job.kind, job.parameters, job.progress) == (JobState.RUNNING, "count", {"blogs": ["a"]}, None)
    assert await office.runner.active() == [job]
    puppet.tell(1, 2)
    await office.until(job.id, lambda job: job.progress == at(2))
    assert (await office.runner.get(job.id)).progress == at(2)
    assert (await office.runner.last("count")).progress == at(2)
    assert [active.progress for active in await office.runner.active()] == [at(2)]
    puppet.tell("end")
    done = await office.outcome(job.id)
    assert (done.state, done.progress, done.error) == (JobState.SUCCEEDED, at(2), None)
    assert done.finished_at >= done.created_at
    assert done == await jobs.get_job(office.db, job.id) == await office.runner.last("count")
    assert await office.runner.active() == []
    assert puppet.started == [job]
    assert puppet.ended == 1


async def test_a_stage_inherits_nothing_from_who_asked(office, path):
    seen = []

    async def stage(job):
        seen.append(CALLER.get())
        yield at(1)

    office.runner._stages["other"] = stage

    async def interaction():
        CALLER.set("somebody's interaction")
        return await office.submit("other")

    job = await asyncio.create_task(interaction())
    await office.outcome(job.id)
    assert seen == ["nobody"]


async def test_a_stage_may_be_any_async_iterator(office):
    class Steps:
        left = 2

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return at(self.left)

    office.runner._stages["other"] = lambda _: Steps()
    job = await office.submit("other")
    assert (await office.outcome(job.id)).state is JobState.SUCCEEDED


async def test_there_is_no_such_stage(office):
    with pytest.raises(ValueError, match="no stage 'dance'"):
        await office.submit("dance")
    assert await office.runner.active() == []


async def test_one_of_a_kind(office, puppet):
    results = await asyncio.gather(*(office.submit() for _ in range(5)), return_exceptions=True)
    (job,) = [result for result in results if not isinstance(result, JobAlreadyRunning)]
    assert {result.job_id for result in results if isinstance(result, JobAlreadyRunning)} == {job.id}
    other = await office.submit("other")
    assert [active.id for active in await office.runner.active()] == [job.id, other.id]
    puppet.tell("end")
    await office.outcome(job.id)
    assert (await office.submit()).id > job.id
    assert len(puppet.started) <= 2


async def test_a_submission_that_is_cancelled_leaves_no_row_without_a_task(office, puppet):
    async with office.db.write():
        asking = asyncio.create_task(office.submit())
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await asking
    (job,) = await office.runner.active()
    puppet.tell("end")
    assert (await office.outcome(job.id)).state is JobState.SUCCEEDED


# --- following ------------------------------------------------------------------------------------------------


async def test_followers_never_miss_the_last_state(office, puppet):
    job = await office.submit()
    slow, fast, gone = [], [], []
    seen_first = asyncio.Event()
    ended = asyncio.Event()

    async def follow_slowly():
        async for state in office.runner.follow(job.id):
            slow.append(state)
            seen_first.set()
            await ended.wait()

    async def follow():
        fast.extend([state async for state in office.runner.follow(job.id)])

    async def leave():
        async for state in office.runner.follow(job.id):
            gone.append(state)
            break

    followers = [asyncio.create_task(follower()) for follower in (follow_slowly, follow, leave)]
    await seen_first.wait()
    for step in range(1, 6):
        puppet.tell(step)
        await office.until(job.id, lambda job, step=step: job.progress == at(step))
    puppet.tell("end")
    done = await office.outcome(job.id)
    ended.set()
    await asyncio.wait_for(asyncio.gather(*followers), 10)
    assert slow == [job, done]
    assert [state.progress for state in fast] == [None, *map(at, range(1, 6)), at(5)]
    assert fast[-1] == done
    assert gone == [job]


async def test_following_a_finished_job_and_none(office, puppet):
    job = await office.submit()
    puppet.tell(1, "end")
    done = await office.outcome(job.id)
    assert [state async for state in office.runner.follow(job.id)] == [done]
    assert [state async for state in office.runner.follow(job.id + 1)] == []
    assert await office.runner.get(job.id + 1) is None


# --- cancelling -----------------------------------------------------------------------------------------------


async def test_cancelling(office, puppet):
    cleaning, clean = asyncio.Event(), asyncio.Event()

    tidied = []

    async def cleanup():
        cleaning.set()
        await clean.wait()
        tidied.append("tidied")

    puppet.cleanup = cleanup
    job = await office.submit()
    puppet.tell(3)
    await office.until(job.id, lambda job: job.progress)
    cancelling = await office.runner.cancel(job.id)
    assert cancelling.state is JobState.CANCELLING
    await cleaning.wait()
    assert (await jobs.get_job(office.db, job.id)).state is JobState.CANCELLING
    assert [active.state for active in await office.runner.active()] == [JobState.CANCELLING]
    with pytest.raises(JobAlreadyRunning):
        await office.submit()
    # Pressing the button again does not disturb the tidying up.
    assert (await office.runner.cancel(job.id)).state is JobState.CANCELLING
    clean.set()
    done = await office.outcome(job.id)
    assert (done.state, done.error, done.progress) == (JobState.CANCELLED, None, at(3))
    assert done == await jobs.get_job(office.db, job.id)
    assert (puppet.cancelled, puppet.ended, tidied) == (1, 1, ["tidied"])


async def test_cancelling_before_the_stage_begins(office):
    begun = []

    async def stage(job):
        begun.append(job)
        yield at(1)

    background = Background()
    runner = runner_module.JobRunner(office.db, {"early": stage}, background)
    job = await runner.submit("early", {}, requested_by="ada", requester_id=5, channel_id=7)
    assert (await runner.cancel(job.id)).state is JobState.CANCELLING
    await background.start()
    assert [state.state async for state in runner.follow(job.id)][-1] is JobState.CANCELLED
    assert (await jobs.get_job(office.db, job.id)).state is JobState.CANCELLED
    assert begun == []
    await background.stop()


async def test_cancelling_what_is_finished_or_not_there(office, puppet):
    job = await office.submit()
    puppet.tell("end")
    done = await office.outcome(job.id)
    assert await office.runner.cancel(job.id) == done
    assert await office.runner.cancel(job.id + 1) is None


async def test_cancelling_comes_too_late_once_the_outcome_is_being_written(office, puppet, eventually):
    job = await office.submit()
    await office.until(job.id, lambda _: True)
    async with office.db.write() as connection:
        puppet.tell("end")
        await eventually(lambda: office.runner._live[job.id].stage_ended)
        cancelling = asyncio.create_task(office.runner.cancel(job.id))
        await asyncio.sleep(0)
        await connection.execute("INSERT INTO facts VALUES ('a', 'b')")
    assert (await cancelling).state is JobState.SUCCEEDED
    assert (await jobs.get_job(office.db, job.id)).state is JobState.SUCCEEDED


async def test_a_stage_that_fails_while_it_is_cancelled_says_so(office, puppet):
    async def cleanup():
        raise NothingToDo("The training goes on at the service.", "Cancel it there.")

    puppet.cleanup = cleanup
    job = await office.submit()
    puppet.tell(1)
    await office.until(job.id, lambda job: job.progress)
    await office.runner.cancel(job.id)
    done = await office.outcome(job.id)
    assert (done.state, done.error) == (JobState.FAILED, "The training goes on at the service. Cancel it there.")


# --- failing --------------------------------------------------------------------------------------------------


async def test_an_error_that_people_can_act_on(office, puppet, caplog):
    job = await office.submit()
    puppet.tell(1, NothingToDo("There are no posts.", "Download some."))
    done = await office.outcome(job.id)
    assert (done.state, done.error, done.progress) == (JobState.FAILED, "There are no posts. Download some.", at(1))
    assert done == await jobs.get_job(office.db, job.id)
    assert puppet.ended == 1
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("error", [KeyError("oops"), OSError("oops"), BaseExceptionGroup("oops", [ValueError()])])
async def test_an_unexpected_error_shows_a_reference_that_is_in_the_log(office, puppet, caplog, error):
    job = await office.submit()
    puppet.tell(error)
    done = await office.outcome(job.id)
    (reference,) = re.findall(r"reference ([0-9a-f]{8})", done.error)
    assert done.state is JobState.FAILED
    assert "oops" not in done.error
    assert f"job {job.id} (count): reference {reference}" in caplog.text
    assert "conftest.py" in caplog.text
    assert "oops" in caplog.text


async def test_a_cancellation_that_nobody_asked_for_is_an_unexpected_error(office, caplog):
    async def stage(job):
        yield at(1)
        lost = asyncio.get_running_loop().create_future()
        lost.cancel()
        await lost

    office.runner._stages["other"] = stage
    job = await office.submit("other")
    done = await office.outcome(job.id)
    assert done.state is JobState.FAILED
    assert re.search(r"reference ([0-9a-f]{8})", done.error)[1] in caplog.text


async def test_an_outcome_that_cannot_be_written(office, puppet, caplog):
    job = await office.submit()
    await office.until(job.id, lambda _: True)
    await office.db._writer.execute("PRAGMA query_only = ON")
    puppet.tell("end")
    done = await office.outcome(job.id)
    assert done.state is JobState.FAILED
    assert "cannot be written" in done.error
    assert done.error in caplog.text
    await office.db._writer.execute("PRAGMA query_only = OFF")
    # The row still says that it runs; the next start would resume it, and cancelling it ends it.
    with pytest.raises(JobAlreadyRunning):
        await office.submit()
    assert (await office.runner.cancel(job.id)).state is JobState.CANCELLED
    assert (await office.submit()).id > job.id


async def test_that_a_job_waits_for_money_is_written_later_too(office, puppet, monkeypatch):
    monkeypatch.setattr("bot.jobs.runner._RETRY_SECONDS", 0.01)
    job = await office.submit()
    await office.until(job.id, lambda _: True)
    await office.db._writer.execute("PRAGMA query_only = ON")
    puppet.tell(BudgetReached(20.0, 20.0, 1.5))
    failed = await office.outcome(job.id)
    assert failed.missing_dollars == 1.5
    await office.db._writer.execute("PRAGMA query_only = OFF")
    while (stored := await jobs.get_job(office.db, job.id)).state is JobState.RUNNING:
        await asyncio.sleep(0.01)
    assert stored.missing_dollars == 1.5


async def test_an_outcome_is_written_as_soon_as_the_database_takes_it(office, puppet, monkeypatch):
    monkeypatch.setattr("bot.jobs.runner._RETRY_SECONDS", 0.01)
    job = await office.submit()
    await office.until(job.id, lambda _: True)
    await office.db._writer.execute("PRAGMA query_only = ON")
    puppet.tell("end")
    failed = await office.outcome(job.id)
    await office.db._writer.execute("PRAGMA query_only = OFF")
    async with asyncio.timeout(30):
        while await office.runner.active():
            await asyncio.sleep(0.01)
    stored = await office.runner.get(job.id)
    assert (stored.state, stored.error) == (JobState.FAILED, failed.error)
    assert (await office.submit()).id > job.id, "trying again is what its sentence says"


# --- stopping and starting ------------------------------------------------------------------------------------


async def test_a_stopped_job_goes_on_at_the_next_start(path, make_puppet, open_office):
    first, second = make_puppet(), make_puppet()
    async with open_office(path, count=first) as office:
        job = await office.submit(parameters={"n": 5})
        await office.runner.message_posted(job.id, 8, 99)
        first.tell(1, 2, 3)
        await office.until(job.id, lambda job: job.progress == at(3))
    assert (first.cancelled, first.ended) == (1, 1)
    async with open_office(path, count=second) as office:
        (resumed,) = await office.runner.active()
        assert (resumed.id, resumed.state, resumed.parameters) == (job.id, JobState.RUNNING, {"n": 5})
        assert (resumed.progress, resumed.channel_id, resumed.message_id) == (at(3), 8, 99)
        second.tell(4, "end")
        done = await office.outcome(job.id)
        assert (done.state, done.progress, done.message_id) == (JobState.SUCCEEDED, at(4), 99)
        assert [started.id for started in second.started] == [job.id]


async def test_what_a_stage_says_while_the_process_stops_is_no_outcome(path, make_puppet, open_office):
    puppet = make_puppet()

    async def cleanup():
        raise NothingToDo("Tumblr did not answer.", "Try again.")

    puppet.cleanup = cleanup
    async with open_office(path, count=puppet) as office:
        job = await office.submit()
        puppet.tell(1)
        await office.until(job.id, lambda job: job.progress)
    async with open_office(path, count=make_puppet()) as office:
        assert [active.state for active in await office.runner.active()] == [JobState.RUNNING]


async def test_an_outcome_is_written_even_if_the_process_stops_meanwhile(path, make_puppet, open_office, eventually):
    puppet = make_puppet()
    async with open_office(path, count=puppet) as office:
        job = await office.submit()
        await office.until(job.id, lambda _: True)
        async with office.db.write():
            puppet.tell("end")
            await eventually(lambda: office.runner._live[job.id].stage_ended)
            stopping = asyncio.create_task(office.runner.stop())
            await asyncio.sleep(0)
        await stopping
        assert (await jobs.get_job(office.db, job.id)).state is JobState.SUCCEEDED


async def test_what_was_being_cancelled_is_cancelled_at_the_next_start(path, make_puppet, open_office):
    async with open_office(path, count=make_puppet()) as office, office.db.write() as connection:
        job = await jobs.insert_job(
            connection, "count", {}, requested_by="ada", requester_id=None, channel_id=None, now=1.0
        )
        await jobs.mark_cancelling(connection, job.id)
    puppet = make_puppet()
    async with open_office(path, count=puppet) as office:
        done = await office.runner.get(job.id)
        assert done.state is JobState.CANCELLED
        assert done.finished_at > 1.0
        assert await office.runner.active() == []
    assert puppet.started == []


async def test_a_job_whose_stage_is_gone(path, make_puppet, open_office):
    async with open_office(path, count=make_puppet()) as office:
        job = await office.submit()
    async with open_office(path) as office:
        done = await office.outcome(job.id)
        assert done.state is JobState.FAILED
        assert "no /count any more" in done.error


async def test_a_job_submitted_while_stopping_waits_for_the_next_start(path, make_puppet, open_office):
    puppet = make_puppet()
    async with open_office(path, count=puppet) as office:
        await office.runner.stop()
        job = await office.submit()
    assert puppet.started == []
    puppet.tell("end")
    async with open_office(path, count=puppet) as office:
        assert (await office.outcome(job.id)).state is JobState.SUCCEEDED


# --- progress in the database ---------------------------------------------------------------------------------


async def test_progress_is_stored_even_if_the_stage_then_waits(office, puppet, monkeypatch):
    monkeypatch.setattr(runner_module, "_SAVE_SECONDS", 0.01)
    job = await office.submit()
    puppet.tell(*range(1, 8))
    async with asyncio.timeout(30):
        while (await jobs.get_job(office.db, job.id)).progress != at(7):
            pass


async def test_progress_is_stored_now_and_then(path, make_puppet, open_office, monkeypatch):
    monkeypatch.setattr(runner_module, "_SAVE_SECONDS", 600)

    async def stage(job):
        for step in range(200):
            await asyncio.sleep(0.0005)
            yield at(step)

    async with open_office(path, count=stage) as office:
        async with office.db.write() as connection:
            await connection.execute("CREATE TABLE saved (at)")
            await connection.execute(
                "CREATE TRIGGER saving AFTER UPDATE OF progress ON jobs BEGIN INSERT INTO saved VALUES (1); END"
            )
        job = await office.submit()
        done = await office.outcome(job.id)
        assert done.progress == at(199)
        assert (await jobs.get_job(office.db, job.id)).progress == at(199)
        async with office.db.read() as connection:
            saved = next(iter(await connection.execute_fetchall("SELECT count(*) FROM saved")))[0]
        assert saved == 2  # the first, and with the outcome the last


async def test_progress_that_cannot_be_stored_stops_nothing(office, puppet, monkeypatch, caplog, eventually):
    monkeypatch.setattr(runner_module, "_SAVE_SECONDS", 0.01)
    job = await office.submit()
    await office.until(job.id, lambda _: True)
    await office.db._writer.execute("PRAGMA query_only = ON")
    puppet.tell(1)
    await eventually(lambda: "Progress could not be saved" in caplog.text)
    await office.db._writer.execute("PRAGMA query_only = OFF")
    puppet.tell(2, "end")
    assert (await office.outcome(job.id)).state is JobState.SUCCEEDED


# --- faces ----------------------------------------------------------------------------------------------------


class Faces:
    def __init__(self) -> None:
        self.shown = asyncio.Queue()

    async def __call__(self, job):
        self.shown.put_nowait((job.id, job.state, CALLER.get()))

    async def next(self):
        return await asyncio.wait_for(self.shown.get(), 10)


async def test_faces_show_what_is_active_unshown_or_new(path, make_puppet, open_office):
    puppet, other = make_puppet(), make_puppet()
    faces = Faces()
    async with open_office(path, count=puppet, other=other) as office:
        shown = await office.submit()
        puppet.tell("end")
        await office.outcome(shown.id)
        await office.runner.message_final(shown.id)
        unshown = await office.submit()
        puppet.tell(NothingToDo("Nothing.", "Wait."))
        await office.outcome(unshown.id)
        active = await office.submit()
        office.runner.set_face(faces)
        assert [await faces.next(), await faces.next()] == [
            (unshown.id, JobState.FAILED, "nobody"),
            (active.id, JobState.RUNNING, "nobody"),
        ]

        async def interaction():
            CALLER.set("somebody's interaction")
            return await office.submit("other")

        new = await asyncio.create_task(interaction())
        assert await faces.next() == (new.id, JobState.RUNNING, "nobody")
        await office.runner.message_final(new.id)  # too early: it has no outcome yet
        other.tell("end")
        await office.outcome(new.id)

    again = Faces()
    async with open_office(path, again, count=puppet, other=other) as office:
        assert [await again.next() for _ in range(3)] == [
            (unshown.id, JobState.FAILED, "nobody"),
            (new.id, JobState.SUCCEEDED, "nobody"),
            (active.id, JobState.RUNNING, "nobody"),
        ]
        for job in (unshown, new):
            await office.runner.message_final(job.id)
        puppet.tell("end")
        await office.outcome(active.id)
        await office.runner.message_final(active.id)
        assert again.shown.empty()
    async with open_office(path, again, count=puppet, other=other) as office:
        assert await jobs.unshown_jobs(office.db) == []
    assert again.shown.empty()


async def test_a_face_set_before_the_start_misses_nothing(path, make_puppet, open_office):
    async with open_office(path, count=make_puppet()) as office:
        job = await office.submit()
    faces = Faces()
    async with open_office(path) as office:
        # `open_office` has started a runner without the stage: the job has failed in the meantime.
        await office.outcome(job.id)
        second = runner_module.JobRunner(office.db, {}, office.background)
        second.set_face(faces)
        await second.start()
        assert await faces.next() == (job.id, JobState.FAILED, "nobody")


async def test_a_face_that_breaks_harms_no_job(office, puppet, caplog, eventually):
    async def face(job):
        raise KeyError("face")

    office.runner.set_face(face)
    job = await office.submit()
    puppet.tell("end")
    assert (await office.outcome(job.id)).state is JobState.SUCCEEDED
    await eventually(lambda: "face of job" in caplog.text)


async def test_the_message_of_a_job_is_remembered(office, puppet):
    job = await office.submit()
    await office.runner.message_posted(job.id, 8, 99)
    now = await office.runner.get(job.id)
    assert (now.channel_id, now.message_id) == (8, 99)
    assert now.message_posted_at >= job.created_at
    assert await jobs.get_job(office.db, job.id) == replace(now, progress=None)


# --- any course -----------------------------------------------------------------------------------------------

ACTIONS = st.one_of(
    st.tuples(st.just("submit"), st.sampled_from("ab")),
    st.tuples(
        st.sampled_from(["progress", "end", "refuse", "break", "cancel", "cancel and stop"]), st.sampled_from("ab")
    ),
    st.just(("restart", "a")),
)


async def live_through(path, actions, make_puppet, open_office):
    """Take the actions, comparing the runner with the simplest model: which job is active, and how each ended."""
    active: dict[str, int] = {}
    ended: dict[int, JobState] = {}
    todo = list(actions)
    while todo:
        puppets = {"a": make_puppet(), "b": make_puppet()}
        async with open_office(path, **puppets) as office:
            for action, kind in iter(lambda: todo.pop(0) if todo else ("restart", "a"), ("restart", "a")):
                if action == "submit":
                    if kind in active:
                        with pytest.raises(JobAlreadyRunning) as caught:
                            await office.submit(kind)
                        assert caught.value.job_id == active[kind]
                    else:
                        active[kind] = (await office.submit(kind)).id
                elif kind in active:
                    job_id = active[kind]
                    if action == "progress":
                        puppets[kind].tell(1)
                        await office.until(job_id, lambda job: job.progress)
                        continue
                    ended[active.pop(kind)] = {
                        "end": JobState.SUCCEEDED,
                        "refuse": JobState.FAILED,
                        "break": JobState.FAILED,
                    }.get(action, JobState.CANCELLED)
                    if action == "cancel and stop":
                        await office.runner.cancel(job_id)
                        break
                    if action == "cancel":
                        await office.runner.cancel(job_id)
                    else:
                        puppets[kind].tell(
                            {"end": "end", "refuse": NothingToDo("No.", "Wait."), "break": KeyError()}[action]
                        )
                    assert (await office.outcome(job_id)).state is ended[job_id]
                assert {job.kind: job.id for job in await office.runner.active()} == active
        assert all(puppet.ended == len(puppet.started) for puppet in puppets.values())
    async with open_office(path, a=make_puppet(), b=make_puppet()) as office:
        assert {job.kind: job.id for job in await office.runner.active()} == active
        assert {job_id: (await office.runner.get(job_id)).state for job_id in ended} == ended


def any_course(examples):
    @given(actions=st.lists(ACTIONS, max_size=15))
    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test(tmp_path_factory, make_puppet, open_office, actions):
        path = tmp_path_factory.mktemp("course") / "bot.sqlite3"
        asyncio.run(asyncio.wait_for(live_through(path, actions, make_puppet, open_office), 60))

    return test


test_any_course_of_events = any_course(20)
test_any_course_of_many_events = pytest.mark.timeout(600)(pytest.mark.long(any_course(400)))
