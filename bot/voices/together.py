"""A voice that learned at Together AI, through its own API for files and fine-tuning jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from bot.examples import Example, training_line
from bot.language import together
from bot.language.endpoint import ModelService
from bot.language.together import FineTune, JobEvent
from bot.language.tuning import delete_file
from bot.training import Event, Failure, Training, TrainingState
from bot.voices.protocol import Material, Sent

EVENTS_KEPT = 8

_HARDLY = 60.0  # seconds

NOT_SPOKEN = frozenset({"developer", "max_completion_tokens"})
"""What Together's chat has no word for; it would pass over a limit that it does not know without saying so."""


class TogetherTuned:
    """Trains at Together AI."""

    def __init__(self, service: ModelService) -> None:
        self._service = service

    async def prepare(self, training: Training, material: Material, sent: Sent) -> Training:
        """Upload the training file, then the held-out one where the dataset has one.

        What a run before a crash uploaded is found by its name.

        Raises:
            ModelError: the upload failed.
        """
        if training.file_id is None:
            training = replace(training, file_id=await self._uploaded(training, "training", material, sent))
        else:
            training = replace(training, held_out_file_id=await self._uploaded(training, "held-out", material, sent))
        is_whole = training.held_out_file_id is not None or not material.held_out
        return replace(training, state=TrainingState.UPLOADED) if is_whole else training

    async def train(self, training: Training) -> Training:
        """Create the job, unless a run before a crash already did.

        Raises:
            ModelError: the job was refused, or Together could not read a file.
        """
        if training.file_id is None:
            raise ValueError("nothing was uploaded for this training")
        found = await together.find_jobs(self._service, training.file_id)
        job = found[0] if found else await self._create(training, training.file_id)
        return replace(training, service_job_id=job.id, service_state=job.status, state=TrainingState.RUNNING)

    async def poll(self, training: Training) -> Training:
        """Ask Together how far it is.

        Raises:
            ModelError: Together did not answer usefully.
        """
        if training.service_job_id is None:
            raise ValueError("no job was created for this training")
        job = await together.get_job(self._service, training.service_job_id)
        log = await together.events(self._service, job.id)
        losses = await together.losses(self._service, job.id)
        known = replace(
            training,
            service_state=job.status,
            steps=max((event.steps for event in log if event.steps is not None), default=training.steps),
            loss_curve=losses.training or training.loss_curve,
            held_out_curve=losses.held_out or training.held_out_curve,
            estimated_finish=_finish(training, job),
            trained_tokens=job.tokens or training.trained_tokens,
            cost=job.cost or training.cost,
            events=tuple(Event(event.at, event.message) for event in log[-EVENTS_KEPT:]) or training.events,
        )
        return _ended(known, job, log) if job.is_final else known

    async def cancel(self, training: Training) -> Training:
        """Cancel the job at Together, including one that a crash kept us from noting down.

        Raises:
            ModelError: Together did not answer usefully.
        """
        job_id = training.service_job_id
        if job_id is None and training.file_id is not None:
            found = await together.find_jobs(self._service, training.file_id)
            job_id = found[0].id if found else None
        if job_id is not None:
            await together.cancel_job(self._service, job_id)
        return replace(training, service_job_id=job_id, state=TrainingState.CANCELLED)

    async def delete_files(self, training: Training) -> Training:
        """Delete what was uploaded, including a file that a crash kept us from noting down.

        Raises:
            ModelError: Together refused, or did not answer usefully.
        """
        for file_id, part in ((training.file_id, "training"), (training.held_out_file_id, "held-out")):
            there = file_id or await together.find_file(self._service, training.file_name(part))
            if there is not None:
                await delete_file(self._service, there)  # the one call that is the same as OpenAI's
        return replace(training, files_deleted=True)

    async def _uploaded(self, training: Training, part: str, material: Material, sent: Sent) -> str:
        name = training.file_name(part)
        found = await together.find_file(self._service, name)
        if found is not None:
            return found
        examples = material.training if part == "training" else material.held_out
        content = await asyncio.to_thread(_lines, material.dataset.developer_message, examples)
        return await together.upload_file(self._service, name, content, sent)

    async def _create(self, training: Training, file_id: str) -> FineTune:
        await together.wait_until_processed(self._service, file_id)
        if training.held_out_file_id is not None:
            await together.wait_until_processed(self._service, training.held_out_file_id)
        return await together.create_job(
            self._service,
            training_file=file_id,
            validation_file=training.held_out_file_id,
            model=training.base_model,
            suffix=training.suffix,
            epochs=training.epochs,
        )


def _lines(developer_message: str, examples: Sequence[Example]) -> bytes:
    """The file's content. Together knows no developer in it, only a system."""
    lines = (training_line(developer_message, example.user, example.assistant, role="system") for example in examples)
    return "".join(f"{line}\n" for line in lines).encode()


def _finish(training: Training, job: FineTune) -> float | None:
    """When it will be over, as Together estimates: the same as before while that has hardly moved.

    Otherwise each look at a training on which nothing happens would look like news.
    """
    if job.seconds_left is None:
        return None
    finish, before = time.time() + job.seconds_left, training.estimated_finish
    return before if before is not None and abs(finish - before) < _HARDLY else finish


def _ended(training: Training, job: FineTune, log: Sequence[JobEvent]) -> Training:
    """The training at its end, with the reason where it gave no voice: Together tells it in the job's log alone."""
    if job.succeeded and job.output_model is not None:
        return replace(training, state=TrainingState.SUCCEEDED, fine_tuned_model=job.output_model)
    # Together itself cancels a job that nobody can pay for.
    unpaid = next((event for event in reversed(log) if event.kind == "billing_limit"), None)
    if job.status == "cancelled" and unpaid is None:
        return replace(training, state=TrainingState.CANCELLED)
    told = unpaid or next((event for event in reversed(log) if event.kind == "job_error"), None)
    if unpaid is not None:
        failure = Failure.NO_CREDIT
    else:
        failure = Failure.BAD_FILE if job.status == "user_error" else Failure.OTHER
    reason = told.message if told is not None and told.message else "no reason was given"
    return replace(training, state=TrainingState.FAILED, failure=failure, error=reason)
