"""A voice that learned: a model tuned through OpenAI's files and fine-tuning-jobs API, at any service with it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from bot.examples import Dataset, Example, training_line
from bot.language import tuning
from bot.language.chat import Message, Written, complete
from bot.language.endpoint import ModelService
from bot.language.prices import chat_cost
from bot.language.tokens import count
from bot.training import Training, TrainingState, Voice

LONGEST_TEXT_TOKENS = 1_500


class FineTuned:
    """Trains on, and writes with, one service."""

    def __init__(self, service: ModelService) -> None:
        self._service = service

    async def write(self, voice: Voice, prompt: str) -> Written:
        service = self._service.with_model(voice.model)
        return await complete(
            service,
            [Message("developer", voice.developer_message), Message("user", prompt)],
            max_tokens=LONGEST_TEXT_TOKENS,
        )

    async def most_expensive(self, voice: Voice, prompt: str) -> float:
        tokens = await asyncio.to_thread(count, voice.developer_message + prompt)
        return chat_cost(voice.model, tokens, LONGEST_TEXT_TOKENS)

    async def prepare(self, training: Training, dataset: Dataset, examples: list[Example]) -> Training:
        """Upload the training file, unless a run before a crash already did.

        Raises:
            ModelError: the upload failed.
        """
        name = f"tumblrbot-training-{training.id}-dataset-{dataset.id}.jsonl"
        file_id = await tuning.find_file(self._service, name)
        if file_id is None:
            content = await asyncio.to_thread(_file, dataset, examples)
            file_id = await tuning.upload_training_file(self._service, name, content)
        return replace(training, file_id=file_id, state=TrainingState.UPLOADED)

    async def train(self, training: Training) -> Training:
        """Create the job, unless a run before a crash already did.

        Raises:
            TrainingNotAvailable: the service takes no jobs from this account; the uploaded file is left for a
                person to delete.
            ModelError: the job was refused.
        """
        if training.file_id is None:
            raise ValueError("nothing was uploaded for this training")
        await tuning.wait_until_processed(self._service, training.file_id)
        marker = str(training.id)
        found = await tuning.find_jobs(self._service, training.file_id, marker=marker)
        job = (
            found[0]
            if found
            else await tuning.create_job(
                self._service,
                training_file=training.file_id,
                model=training.base_model,
                suffix="tumblrbot",
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
        if training.service_job_id is None:
            raise ValueError("no job was created for this training")
        job = await tuning.get_job(self._service, training.service_job_id)
        curve = await tuning.metrics(self._service, training.service_job_id)
        known = replace(
            training,
            service_state=job.status,
            loss_curve=tuple(curve) or training.loss_curve,
            estimated_finish=job.estimated_finish,
            trained_tokens=job.trained_tokens,
        )
        if not job.is_final:
            return known
        if job.succeeded and job.fine_tuned_model:
            return replace(known, state=TrainingState.SUCCEEDED, fine_tuned_model=job.fine_tuned_model)
        if job.status == "cancelled":
            return replace(known, state=TrainingState.CANCELLED)
        code = f" ({job.error_code})" if job.error_code else ""
        return replace(known, state=TrainingState.FAILED, error=f"{job.error_message or 'no reason given'}{code}")

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


def _file(dataset: Dataset, examples: list[Example]) -> bytes:
    lines = (training_line(dataset.developer_message, example.user, example.assistant) for example in examples)
    return "".join(f"{line}\n" for line in lines).encode()
