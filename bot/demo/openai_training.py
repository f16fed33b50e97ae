"""Fine-tuning in the OpenAI stand-in: what a training file must be, and how a job goes on.

A job is a function of time: `advance` brings it up to a moment, so it needs no task, goes on where it was after a
restart, and can be driven by a test's clock. Its loss curve is drawn, not measured: what a job learns is the n-gram of
its file's answers.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Collection, Sequence
from typing import Annotated, Literal

import msgspec

from bot.demo.openai_writing import Message, prompt_tokens

ORGANIZATION = "org-stand-in"
FEWEST_EXAMPLES = 10
AUTO_EPOCHS = 3
AUTO_RATE = 2.0
LATEST_CHECKPOINTS = 3
FINISHED = frozenset({"succeeded", "failed", "cancelled"})

# Where in a job's life (0 to 1) its milestones are.
VALIDATED = 0.1
STARTED = 0.2
HALFWAY = 0.5
TRAINED = 0.95

_MARKER = re.compile(r"<\|\w+\|>")
_WORD = re.compile(r"[\w'-]+")


class JobError(msgspec.Struct):
    code: str
    message: str
    param: str | None = None


class Event(msgspec.Struct):
    created_at: int
    message: str
    type: str = "message"
    level: str = "info"
    data: dict[str, object] | None = None


class Checkpoint(msgspec.Struct):
    created_at: int
    step: int
    model: str
    metrics: dict[str, float]


class Hyperparameters(msgspec.Struct):
    n_epochs: Annotated[int, msgspec.Meta(ge=1, le=50)] | Literal["auto"] = "auto"
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=256)] | Literal["auto"] = "auto"
    learning_rate_multiplier: Annotated[float, msgspec.Meta(gt=0)] | Literal["auto"] = "auto"
    beta: Annotated[float, msgspec.Meta(gt=0, le=2)] | Literal["auto"] | None = None


class MethodSettings(msgspec.Struct):
    hyperparameters: Hyperparameters = msgspec.field(default_factory=Hyperparameters)


class Method(msgspec.Struct):
    type: Literal["supervised", "dpo"]
    supervised: MethodSettings | None = None
    dpo: MethodSettings | None = None


class JobRequest(msgspec.Struct):
    model: str
    training_file: str
    validation_file: str | None = None
    method: Method | None = None
    hyperparameters: Hyperparameters | None = None
    suffix: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=2147483647)] | None = None
    metadata: dict[str, str] | None = None

    def asked(self) -> Hyperparameters:
        """The hyperparameters, wherever the request has them (on the method, or at the old place beside it)."""
        method = self.method
        settings = (method.supervised if method.type == "supervised" else method.dpo) if method else None
        return settings.hyperparameters if settings else self.hyperparameters or Hyperparameters()


class Job(msgspec.Struct, kw_only=True):
    """A fine-tuning job. `progress` runs from 0 to 1 and was last brought up to date at `seen_at` (unix seconds)."""

    id: str
    model: str
    training_file: str
    validation_file: str | None
    method: Literal["supervised", "dpo"]
    hyperparameters: Hyperparameters
    """As asked for, until the file is validated; from then on as used."""
    seed: int
    metadata: dict[str, str] | None
    created_at: float
    result: str
    """The name the model will have."""
    texts: list[str]
    examples: int
    tokens: int
    doomed_at: float | None = None
    """The progress at which the job will fail with `doom`."""
    doom: JobError | None = None
    status: str = "validating_files"
    progress: float = 0.0
    seen_at: float
    step: int = 0
    error: JobError | None = None
    finished_at: int | None = None
    events: list[Event] = msgspec.field(default_factory=list[Event])
    checkpoints: list[Checkpoint] = msgspec.field(default_factory=list[Checkpoint])

    @property
    def epochs(self) -> int:
        asked = self.hyperparameters.n_epochs
        return asked if isinstance(asked, int) else AUTO_EPOCHS

    @property
    def batch(self) -> int:
        asked = self.hyperparameters.batch_size
        return asked if isinstance(asked, int) else max(1, self.examples // 500)

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.epochs

    @property
    def steps_per_epoch(self) -> int:
        return max(1, math.ceil(self.examples / self.batch))

    def models(self) -> list[str]:
        """The names that can write: the result's and its checkpoints', once there are any."""
        return [self.result, *(checkpoint.model for checkpoint in self.checkpoints)] if self.succeeded else []

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"


# --- the training file ----------------------------------------------------------------------------------------


class _Answer(Message):
    weight: int | None = None


class _ChatLine(msgspec.Struct):
    messages: Annotated[list[_Answer], msgspec.Meta(min_length=1)]


class _PreferenceInput(msgspec.Struct):
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]


class _PreferenceLine(msgspec.Struct):
    input: _PreferenceInput
    preferred_output: Annotated[list[_Answer], msgspec.Meta(min_length=1)]
    non_preferred_output: Annotated[list[_Answer], msgspec.Meta(min_length=1)]


class TrainingSet(msgspec.Struct):
    """A file as read: the texts to learn, the tokens of one epoch, and what is wrong with it."""

    texts: list[str] = msgspec.field(default_factory=list[str])
    examples: int = 0
    tokens: int = 0
    error: JobError | None = None


def read_file(
    content: bytes, method: Literal["supervised", "dpo"], role: Literal["training", "validation"]
) -> TrainingSet:
    """Read and judge a JSONL file as OpenAI's validation does; the first thing wrong is the error."""
    try:
        found = _read_lines(content, method)
    except _WrongFile as wrong:
        message = f"The job failed due to an invalid {role} file. {wrong}"
        return TrainingSet(error=JobError(f"invalid_{role}_file", message, f"{role}_file"))
    if role == "training" and found.examples < FEWEST_EXAMPLES:
        message = f"Training file has {found.examples} example(s), but must have at least {FEWEST_EXAMPLES} examples."
        found.error = JobError("invalid_n_examples", message, "training_file")
    return found


class _WrongFile(Exception):
    """What is wrong with a file, as a sentence."""


def _read_lines(content: bytes, method: Literal["supervised", "dpo"]) -> TrainingSet:
    found = TrainingSet()
    try:
        # A byte order mark is what Azure's version of this API asks for.
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise _WrongFile("The file is not UTF-8.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            prompt, answers = _read_line(line, method)
        except msgspec.ValidationError as error:
            raise _WrongFile(f"Invalid file format. Line {number}: {error}.") from error
        except msgspec.DecodeError as error:
            raise _WrongFile(
                f"Expected file to have JSONL format, where every line is valid JSON. Line {number} is not."
            ) from error
        if not answers:
            raise _WrongFile(f"Invalid file format. Line {number} must have at least one message from the assistant.")
        everything = [*prompt, *answers]
        marker = next((match for message in everything if (match := _MARKER.search(message.text))), None)
        if marker:
            raise _WrongFile(f"Line {number} contains the special token {marker.group()}.")
        found.examples += 1
        found.tokens += prompt_tokens(everything)
        found.texts += [answer.text for answer in answers]
    return found


def _read_line(line: str, method: Literal["supervised", "dpo"]) -> tuple[Sequence[Message], Sequence[Message]]:
    """Split one line into its prompt and the answers to learn."""
    if method == "dpo":
        preference = msgspec.json.decode(line, type=_PreferenceLine)
        return preference.input.messages, preference.preferred_output
    messages = msgspec.json.decode(line, type=_ChatLine).messages
    answers = [message for message in messages if message.role == "assistant" and message.weight != 0]
    return [message for message in messages if message not in answers], answers


def unsafe(texts: Sequence[str], words: Collection[str]) -> JobError | None:
    """The error of a file in which any of `words` stands, if one does."""
    listed = {word.casefold() for word in words}
    flagged = sum(not listed.isdisjoint(_WORD.findall(text.casefold())) for text in texts)
    if not flagged:
        return None
    message = (
        f"The job failed due to an unsafe training file. This training file was blocked by our moderation system "
        f"because it contains too many examples that violate our usage policies ({flagged} of {len(texts)}; "
        "categories: violence), or because it attempts to create model outputs that do."
    )
    return JobError("unsafe_file", message, "training_file")


# --- a job's life ---------------------------------------------------------------------------------------------


def begin(job: Job) -> None:
    """Write a new job's first events."""
    _say(job, job.created_at, f"Created fine-tuning job: {job.id}")
    _say(job, job.created_at, f"Validating training file: {job.training_file}")


def advance(job: Job, now: float, training_seconds: float) -> None:
    """Bring `job` up to `now` (unix seconds), where a whole job takes `training_seconds`."""
    passed, since, start = max(0.0, now - job.seen_at), job.seen_at, job.progress
    job.seen_at = now
    if job.status == "pausing":
        job.status = "paused"
    if job.status in FINISHED or job.status == "paused":
        return
    end = min(1.0, start + passed / training_seconds) if training_seconds > 0 else 1.0

    def moment(at: float) -> float:
        return since + max(0.0, at - start) * training_seconds

    failing = job.doomed_at is not None and job.doomed_at <= end
    job.progress = end if job.doomed_at is None else min(end, job.doomed_at)
    if start < VALIDATED <= job.progress and job.doomed_at != VALIDATED:
        _validated(job, moment(VALIDATED))
    if start < STARTED <= job.progress:
        job.status = "running"
        _say(job, moment(STARTED), "Fine-tuning job started")
    while job.step < job.steps and _step_at(job, job.step + 1) <= job.progress:
        job.step += 1
        _take_step(job, moment(_step_at(job, job.step)))
    if failing and job.doom is not None:
        _fail(job, moment(job.progress), job.doom)
    elif job.progress >= 1:
        _succeed(job, moment(1.0))


def cancel(job: Job, now: float) -> None:
    job.status = "cancelled"
    job.finished_at = int(now)
    _say(job, now, "The job was cancelled")


def pause(job: Job, now: float) -> None:
    """The job says `pausing` first and `paused` when it is looked at again, as the newer servers do."""
    job.status = "pausing"
    _say(job, now, "The job is being paused")


def resume(job: Job, now: float) -> None:
    job.status = "running"
    _say(job, now, "The job was resumed")


def _step_at(job: Job, step: int) -> float:
    return STARTED + (TRAINED - STARTED) * step / job.steps


def _validated(job: Job, moment: float) -> None:
    job.status = "queued"
    asked = job.hyperparameters
    rate = AUTO_RATE if asked.learning_rate_multiplier == "auto" else asked.learning_rate_multiplier
    beta = 0.1 if asked.beta == "auto" else asked.beta
    job.hyperparameters = Hyperparameters(job.epochs, job.batch, rate, beta)
    _say(job, moment, "Files validated, moving job to queued state")


def _take_step(job: Job, moment: float) -> None:
    metrics = _metrics(job, job.step)
    losses = f"training loss={metrics['train_loss']:.2f}"
    if "valid_loss" in metrics:
        losses += f", validation loss={metrics['valid_loss']:.2f}"
    data: dict[str, object] = {"step": job.step, "total_steps": job.steps, **metrics}
    job.events.append(Event(int(moment), f"Step {job.step}/{job.steps}: {losses}", "metrics", data=data))
    left = (job.steps - job.step) // job.steps_per_epoch
    if job.step % job.steps_per_epoch == 0 and left < LATEST_CHECKPOINTS:
        name = f"{job.result}:ckpt-step-{job.step}" if left else job.result
        job.checkpoints.append(Checkpoint(int(moment), job.step, name, {"step": job.step, **metrics}))
        _say(job, moment, f"Checkpoint created at step {job.step}")


def drawn_losses(seed: int, step: int, steps: int) -> tuple[float, float]:
    """A falling loss with a little noise, on what is learned and on what is held out: drawn, not measured."""
    done = step / steps
    loss = 0.8 + 2.2 * math.exp(-3 * done) + random.Random(f"{seed} {step}").uniform(-0.05, 0.05)
    return round(loss, 5), round(loss + 0.1 + 0.3 * done, 5)


def _metrics(job: Job, step: int) -> dict[str, float]:
    loss, held_out = drawn_losses(job.seed, step, job.steps)
    metrics = {"train_loss": loss, "train_mean_token_accuracy": round(math.exp(-loss / 3), 5)}
    if job.validation_file:
        metrics |= {"valid_loss": held_out, "valid_mean_token_accuracy": round(math.exp(-held_out / 3), 5)}
        if step % job.steps_per_epoch == 0:
            metrics |= {
                "full_valid_loss": metrics["valid_loss"],
                "full_valid_mean_token_accuracy": metrics["valid_mean_token_accuracy"],
            }
    return metrics


def _fail(job: Job, moment: float, error: JobError) -> None:
    job.status = "failed"
    job.error = error
    job.finished_at = int(moment)
    job.events.append(Event(int(moment), error.message, level="error"))


def _succeed(job: Job, moment: float) -> None:
    job.status = "succeeded"
    job.finished_at = int(moment)
    _say(job, moment, f"New fine-tuned model created: {job.result}")
    checks: dict[str, object] = {"blocked": False, "results": []}
    message = "Moderation checks for the model passed; it is enabled for sampling"
    job.events.append(Event(int(moment), message, "moderation_checks", data=checks))
    _say(job, moment, "The job has successfully completed")


def _say(job: Job, moment: float, message: str) -> None:
    job.events.append(Event(int(moment), message))


# --- a job's answers ------------------------------------------------------------------------------------------


def render_job(job: Job, now: float, training_seconds: float) -> dict[str, object]:
    used: dict[str, object] = msgspec.to_builtins(job.hyperparameters)
    if job.hyperparameters.beta is None:
        del used["beta"]  # only preference tuning has one
    running = job.status == "running"
    error = job.error
    return {
        "object": "fine_tuning.job",
        "id": job.id,
        "model": job.model,
        "created_at": int(job.created_at),
        "finished_at": job.finished_at,
        "fine_tuned_model": job.result if job.succeeded else None,
        "organization_id": ORGANIZATION,
        "result_files": [],
        "status": job.status,
        "validation_file": job.validation_file,
        "training_file": job.training_file,
        "hyperparameters": {name: value for name, value in used.items() if name != "beta"},
        "trained_tokens": job.tokens * job.epochs if job.succeeded else None,
        # A healthy job's error is an object all the same, with nothing in it.
        "error": {"code": error and error.code, "message": error and error.message, "param": error and error.param},
        "seed": job.seed,
        "estimated_finish": math.ceil(now + (1 - job.progress) * training_seconds) if running else None,
        "integrations": [],
        "metadata": job.metadata,
        "method": {"type": job.method, job.method: {"hyperparameters": used}},
    }


def render_event(job: Job, number: int) -> dict[str, object]:
    event = job.events[number]
    return {
        "object": "fine_tuning.job.event",
        "id": f"ftevent-{job.id.removeprefix('ftjob-')}{number:06}",
        "created_at": event.created_at,
        "level": event.level,
        "message": event.message,
        "data": event.data or {},
        "type": event.type,
    }


def render_checkpoint(job: Job, checkpoint: Checkpoint) -> dict[str, object]:
    return {
        "object": "fine_tuning.job.checkpoint",
        "id": f"ftckpt-{job.id.removeprefix('ftjob-')}{checkpoint.step:06}",
        "created_at": checkpoint.created_at,
        "fine_tuned_model_checkpoint": checkpoint.model,
        "step_number": checkpoint.step,
        "metrics": checkpoint.metrics,
        "fine_tuning_job_id": job.id,
    }
