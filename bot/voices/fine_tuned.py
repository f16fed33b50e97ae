"""A voice that learned: a model tuned through OpenAI's files and fine-tuning-jobs API, at any service with it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace

from bot.errors import ModelRefused
from bot.examples import Dataset, Example, training_line
from bot.language import tuning
from bot.language.endpoint import ModelService
from bot.language.failures import NO_MONEY
from bot.training import Failure, Training, TrainingState
from bot.voices.protocol import Material, Sent

_CHECK_BROKEN = re.compile(r"error while running.{0,80}(?:moderation|eval|safety|check)", re.DOTALL)
_UNSAFE = re.compile(r"moderation system|usage policies|safety evaluation|blocked by .{0,40}(?:moderation|safety)")


class FineTuned:
    """Trains at one service."""

    def __init__(self, service: ModelService, *, with_mark: bool = False) -> None:
        self._service = service
        self._with_mark = with_mark
        """Azure takes training files only with a byte order mark (facts/openai.md)."""

    async def prepare(self, training: Training, material: Material, sent: Sent) -> Training:
        """Upload the training file, then the held-out one where the dataset has one.

        What a run before a crash uploaded is found by its name.

        Raises:
            ModelError: the upload failed.
        """
        if training.file_id is None:
            file_id = await self._uploaded(training, "training", material, sent)
            after = replace(training, file_id=file_id)
        else:
            file_id = await self._uploaded(training, "held-out", material, sent)
            after = replace(training, held_out_file_id=file_id)
        is_whole = after.held_out_file_id is not None or not material.held_out
        return replace(after, state=TrainingState.UPLOADED) if is_whole else after

    async def _uploaded(self, training: Training, part: str, material: Material, sent: Sent) -> str:
        name = training.file_name(part)
        found = await tuning.find_file(self._service, name)
        if found is not None:
            return found
        examples = material.training if part == "training" else material.held_out
        content = await asyncio.to_thread(_file, material.dataset, examples, with_mark=self._with_mark)
        return await tuning.upload_training_file(self._service, name, content, sent)

    async def train(self, training: Training) -> Training:
        """Create the job, unless a run before a crash already did.

        Raises:
            TrainingNotAvailable: the service takes no jobs from this account; the uploaded files are still there.
            ModelError: the job was refused.
        """
        if training.file_id is None:
            raise ValueError("nothing was uploaded for this training")
        for file_id in filter(None, (training.file_id, training.held_out_file_id)):
            await tuning.wait_until_processed(self._service, file_id)
        marker = str(training.id)
        found = await tuning.find_jobs(self._service, training.file_id, marker=marker)
        job = (
            found[0]
            if found
            else await tuning.create_job(
                self._service,
                training_file=training.file_id,
                validation_file=training.held_out_file_id,
                model=training.base_model,
                suffix=training.suffix,
                epochs=training.epochs,
                marker=marker,
            )
        )
        return replace(training, service_job_id=job.id, service_state=job.status, state=TrainingState.RUNNING)

    async def poll(self, training: Training) -> Training:
        """Ask the service how far it is.

        Raises:
            ModelError: the service did not answer usefully.
        """
        job = await tuning.get_job(self._service, _job_id(training))
        log = await self._log_of(job)
        known = replace(
            training,
            service_state=job.status,
            epochs=job.epochs or training.epochs,
            steps=log.steps or training.steps,
            loss_curve=log.loss or training.loss_curve,
            held_out_curve=log.held_out_loss or training.held_out_curve,
            estimated_finish=job.estimated_finish,
            trained_tokens=job.trained_tokens,
            events=log.events or training.events,
        )
        if not job.is_final:
            return known
        if job.succeeded and job.fine_tuned_model:
            return replace(known, state=TrainingState.SUCCEEDED, fine_tuned_model=job.fine_tuned_model)
        if job.status in {"cancelled", "canceled"}:
            return replace(known, state=TrainingState.CANCELLED)
        failure, reason = _why(job, log)
        return replace(known, state=TrainingState.FAILED, failure=failure, error=reason)

    async def _log_of(self, job: tuning.TuningJob) -> tuning.Log:
        """What the job's events tell; nothing at a service that has no such page, whichever way it says so."""
        try:
            return await tuning.read_log(self._service, job.id)
        except ModelRefused:
            return tuning.Log()

    async def cancel(self, training: Training) -> Training:
        """Cancel the job at the service, including one that a crash kept us from noting down.

        Raises:
            ModelError: the service did not answer usefully.
        """
        job_id = training.service_job_id
        if job_id is None and training.file_id is not None:
            found = await tuning.find_jobs(self._service, training.file_id, marker=str(training.id))
            job_id = found[0].id if found else None
        if job_id is not None:
            job = await tuning.get_job(self._service, job_id)
            if not job.is_final:
                await tuning.cancel_job(self._service, job_id)
        return replace(training, service_job_id=job_id, state=TrainingState.CANCELLED)

    async def pause(self, training: Training) -> Training:
        """Let the job rest. Raises ModelRefused where the service cannot."""
        job = await tuning.pause_job(self._service, _job_id(training))
        return replace(training, service_state=job.status)

    async def resume(self, training: Training) -> Training:
        """Let a resting job go on. Raises ModelRefused where the service cannot."""
        job = await tuning.resume_job(self._service, _job_id(training))
        return replace(training, service_state=job.status)

    async def delete_files(self, training: Training) -> Training:
        """Delete what was uploaded, including a file that a crash kept us from noting down; what is gone is fine.

        Raises:
            ModelError: the service refused, or did not answer usefully.
        """
        for file_id, part in ((training.file_id, "training"), (training.held_out_file_id, "held-out")):
            there = file_id or await tuning.find_file(self._service, training.file_name(part))
            if there is not None:
                await tuning.delete_file(self._service, there)
        return replace(training, files_deleted=True)


def _job_id(training: Training) -> str:
    if training.service_job_id is None:
        raise ValueError("no job was created for this training")
    return training.service_job_id


def _why(job: tuning.TuningJob, log: tuning.Log) -> tuple[Failure, str]:
    """Which kind of failure it was, with the service's own words, as far as it gave any."""
    words = [job.error_message] if job.error_message else [event.text for event in log.events[-1:]]
    said = " ".join(words) or "no reason was given"
    if log.blocked_by and not any(category in said for category in log.blocked_by):
        said = f"{said.rstrip('.')} ({', '.join(log.blocked_by)})."
    everything = " ".join([said, *(event.text for event in log.events)]).lower()
    code = job.error_code or ""
    if _CHECK_BROKEN.search(everything):
        return Failure.CHECK_BROKEN, said
    if code == "unsafe_file" or log.blocked_by or _UNSAFE.search(everything):
        return Failure.UNSAFE, said
    if code.startswith("invalid_"):  # an open set: invalid_training_file, invalid_n_examples, …
        return Failure.BAD_FILE, said
    if code in NO_MONEY:
        return Failure.NO_CREDIT, said
    return Failure.OTHER, f"{said.rstrip('.')} ({code})." if code and code not in said else said


def _file(dataset: Dataset, examples: Sequence[Example], *, with_mark: bool) -> bytes:
    lines = (training_line(dataset.developer_message, example.user, example.assistant) for example in examples)
    return "".join(f"{line}\n" for line in lines).encode("utf-8-sig" if with_mark else "utf-8")
