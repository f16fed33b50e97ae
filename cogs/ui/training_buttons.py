"""What a person can do about a training: let it rest, and, where it gave no voice, what may help.

Ids are `training:<job>:<press>`: the job's number leads to everything else, also after a restart.
"""

from __future__ import annotations

import logging
import re
from enum import StrEnum
from typing import Any, Self

import discord

from bot.app import App
from bot.client import DISCORD_FAILURES, Client, failure_in_words
from bot.errors import NothingToDo
from bot.jobs.runner import Job, JobState
from bot.permissions import Level
from bot.store import spending, voices
from bot.training import REMEDIES, Failure, Remedy, Training, TrainingState
from cogs.ui.buttons import person, require_channel
from cogs.ui.dataset_message import Result
from cogs.ui.items import DurableButton, Form, view_of
from cogs.ui.limits import MODAL_INPUT, cut, embed, foreign, length
from cogs.ui.next_step import NextStepButton, step_view
from cogs.ui.screening_buttons import Place, Press, ScreeningButton
from cogs.ui.words import money

_log = logging.getLogger(__name__)
_LONGEST_NUMBER = 10
_GONE = "Write with few-shot instead"  # as VoiceGone says it: of a job that failed, its sentences are all that is kept
_EXAMPLE = 400  # characters of an example that are shown


class Rest(StrEnum):
    """What a training that goes on can be told, beside *Stop*."""

    PAUSE = "pause"
    RESUME = "resume"


class Files(StrEnum):
    """What becomes of the files of a training that gave no voice."""

    DELETE = "delete_files"


_LABELS: dict[str, tuple[str, discord.ButtonStyle]] = {
    Rest.PAUSE: ("Pause", discord.ButtonStyle.secondary),
    Rest.RESUME: ("Resume", discord.ButtonStyle.primary),
    Remedy.FEW_SHOT: ("Use few-shot instead", discord.ButtonStyle.secondary),
    Remedy.OTHER_SERVICE: ("Use another service", discord.ButtonStyle.secondary),
    Remedy.RETRY: ("Retry as is", discord.ButtonStyle.secondary),
    Remedy.SCREEN_STRICTER: ("Screen more strictly", discord.ButtonStyle.secondary),
    Remedy.FILTER_WORDS: ("Filter words", discord.ButtonStyle.secondary),
    Remedy.FEWER_POSTS: ("Fewer posts", discord.ButtonStyle.secondary),
    Files.DELETE: ("Delete uploaded files", discord.ButtonStyle.danger),
}
_OWNERS = (Remedy.FEW_SHOT, Remedy.FILTER_WORDS, Remedy.FEWER_POSTS)
"""What changes an option, or which voice writes: as with /config and /voices, the owner's alone."""
_FILES_LEFT = "Files of this training are still at the service. Delete them, if you do not mean to go on."
_FILES_GONE = "What was uploaded is deleted at the service again."
_OTHER_SERVICES = """\
A training can go to any service that speaks OpenAI's files and fine-tuning-jobs API, or Together's. Set these in \
config.toml, which the bot reads again while it runs, and then the key with /config secret:
```toml
[openai.fine_tuning]
base_url = "https://…/v1"
model = "…"
api = "auto"
```
The service's own page names the address, and the models that can be trained there. Where the address does not tell \
how to ask for a training, `api` says it: openai, azure or together.
Nebius Token Factory, Azure, Together and a LiteLLM proxy take trainings this way. A model that was trained by hand \
elsewhere becomes a voice with /voices add."""


class TrainingButton(
    DurableButton, template=rf"training:(?P<job>\d{{1,15}}):(?P<press>{'|'.join(_LABELS)})", needs=Level.REVIEWER
):
    """One of a training's buttons."""

    def __init__(self, job_id: int, press: str, *, is_likeliest: bool = False) -> None:
        self.job_id = job_id
        self.press = press
        self.needs = Level.OWNER if press in _OWNERS else Level.REVIEWER
        label, style = _LABELS[press]
        style = discord.ButtonStyle.primary if is_likeliest else style
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=f"training:{job_id}:{press}"))

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(int(match["job"]), match["press"])

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        if self.press in (Remedy.FILTER_WORDS, Remedy.FEWER_POSTS):
            await interaction.response.send_modal(_form(interaction.client.app, self.job_id, Remedy(self.press)))
            return
        await interaction.response.defer(ephemeral=True, thinking=True)
        app, who = interaction.client.app, person(interaction)
        view: discord.ui.View | None = None
        match self.press:
            case Rest.PAUSE | Rest.RESUME:
                resume = self.press == Rest.RESUME
                await app.voices.rest(self.job_id, who, resume=resume)
                text = "The training goes on." if resume else "The training will rest as soon as the service lets it."
            case Files.DELETE:
                await app.voices.delete_files(self.job_id, who)
                text = "The uploaded files are deleted at the service."
            case Remedy.FEW_SHOT:
                await app.voices.use_few_shot(who)
                text = "From now on /generate shows real posts of yours to the model, which needs no training."
                view = step_view("generate")
            case Remedy.RETRY:
                require_channel(interaction)
                await app.jobs.retry_training(self.job_id, who, interaction.channel_id)
                text = "The training has started again. You can follow it in this channel."
            case Remedy.SCREEN_STRICTER:
                text, view = await _stricter(app, self.job_id)
            case _:
                text = _OTHER_SERVICES
        await interaction.followup.send(
            embed=embed(description=text), view=view or discord.utils.MISSING, ephemeral=True
        )
        if self.press == Files.DELETE:
            await _show_deleted(interaction, self.job_id)


async def _show_deleted(interaction: discord.Interaction[Client], job_id: int) -> None:
    """Let the training's message say that its files are gone, and take the button for that away."""
    message, app = interaction.message, interaction.client.app
    job = await app.runner.get(job_id)
    result = None if job is None else await training_result(app, job, None)
    if message is None or not message.embeds or result is None:
        return
    shown = message.embeds[0].copy()
    shown.description = (shown.description or "").replace(_FILES_LEFT, _FILES_GONE)
    if message.attachments:  # Discord would show it twice where the embed named it by its address
        shown.set_image(url=f"attachment://{message.attachments[0].filename}")
    try:
        await message.edit(embed=shown, view=result.view)
    except DISCORD_FAILURES as error:
        _log.warning("Files were deleted, but their message could not say so (%s).", failure_in_words(error))


async def _stricter(app: App, job_id: int) -> tuple[str, discord.ui.View]:
    """Where thresholds are lowered, with what the service named; its screening has to come first."""
    training = await app.voices.training_of(job_id)
    named = f"\n\nThe service said: {foreign(cut(training.error, 300))}" if training.error else ""
    thresholds = ScreeningButton(Place(training.dataset_id), Press.THRESHOLDS)
    view = view_of(thresholds, *(NextStepButton(kind, is_likeliest=False) for kind in ("moderate", "finetune")))
    return (
        "Lower the thresholds of the categories that the service named: more is set aside then, what is borderline too."
        f" A dataset that was not screened yet needs /moderate first. Then train again.{named}"
    ), view


def _form(app: App, job_id: int, remedy: Remedy) -> discord.ui.Modal:
    """A form for the option that leaves more posts out. What is sent comes to `OPTION_FORM`.

    Raises:
        NothingToDo: the option has more in it than a form can hold.
    """
    settings = app.settings
    if remedy is Remedy.FILTER_WORDS:
        title, label = "Filter words", "Patterns to leave out, one on each line"
        value, style, most = "\n".join(settings.filtered_words), discord.TextStyle.paragraph, MODAL_INPUT
    else:
        title, label = "Fewer posts", "The newest posts of each blog; 0 is all"
        value, style, most = str(settings.post_limit), discord.TextStyle.short, _LONGEST_NUMBER
    if length(value) > most:  # cut short it would lose the rest when it is sent
        raise NothingToDo(
            "Your filtered_words are more than a form can hold.",
            "Change them in config.toml, which the bot reads again while it runs.",
        )
    form = discord.ui.Modal(title=title, custom_id=f"training:{job_id}:{remedy}:form")
    form.add_item(
        discord.ui.TextInput[Any](
            label=label,
            custom_id="value",
            style=style,
            default=value or None,
            required=False,
            max_length=most,
        )
    )
    return form


async def _change(interaction: discord.Interaction[Client], found: re.Match[str], values: dict[str, str]) -> None:
    remedy, typed = Remedy(found["press"]), values.get("value", "")
    await interaction.response.defer(ephemeral=True, thinking=True)
    change: dict[str, object] = (
        {"filtered_words": [line.strip() for line in typed.splitlines() if line.strip()]}
        if remedy is Remedy.FILTER_WORDS
        else {"post_limit": typed.strip()}
    )
    notice = await interaction.client.app.options.change(change, person(interaction))
    text = f"Noted. /examples makes the next dataset with it, and /finetune trains on that. {notice}".strip()
    await interaction.followup.send(embed=embed(description=text), view=step_view("examples"), ephemeral=True)


OPTION_FORM = Form(re.compile(r"training:\d{1,15}:(?P<press>filter_words|fewer_posts):form"), Level.OWNER, _change)


async def training_result(app: App, job: Job, picture: bytes | None) -> Result | None:
    """What leads on from the end of a training; `picture` is its loss curve. None while it goes on."""
    if not job.state.is_final:
        return None
    training = await voices.training_of_job(app.database, job.id)
    if training is None or job.state is JobState.SUCCEEDED or job.missing_dollars is not None:
        return Result(picture=picture)
    view = view_of()
    if job.state is JobState.CANCELLED:
        view.add_item(NextStepButton("finetune"))
    for number, remedy in enumerate(_remedies(job, training)):
        view.add_item(TrainingButton(job.id, remedy, is_likeliest=number == 0))
    lines = await _what_is_left(app, job, training)
    if training.has_files and (training.state is not TrainingState.RUNNING or job.state is JobState.CANCELLED):
        view.add_item(TrainingButton(job.id, Files.DELETE))
        lines.append(_FILES_LEFT)
    elif training.files_deleted:
        lines.append(_FILES_GONE)
    return Result(lines, await _wrong_line(app, training), picture, view)


async def _wrong_line(app: App, training: Training) -> list[tuple[str, str, bool]]:
    """The example that the service found wrong in the file, where it names a line."""
    named = await app.voices.named_example(training)
    if named is None:
        return []
    line, example = named
    whose = "a custom prompt" if example.post_id is None else f"post {foreign(example.post_id)}"
    return [(f"Line {line:,} of the file, from {whose}", cut(foreign(cut(example.assistant, _EXAMPLE)), 900), False)]


def without_voice(job: Job) -> Result | None:
    """What leads on from a run that failed because the voice's model is gone: the voice that needs no training."""
    if job.state is not JobState.FAILED or _GONE not in (job.error or ""):
        return None
    few_shot = TrainingButton(job.id, Remedy.FEW_SHOT, is_likeliest=True)
    return Result(view=view_of(few_shot, NextStepButton("generate", is_likeliest=False)))


async def _what_is_left(app: App, job: Job, training: Training) -> list[str]:
    """What a training that gave no voice leaves at its service, files aside, and in the budget."""
    if job.state is not JobState.CANCELLED:
        if training.state is TrainingState.RUNNING:
            return ["The training itself goes on at the service. *Retry as is* follows it again."]
        return []
    if training.service_job_id is None:
        return ["Should the training have begun at the service, it is cancelled there as well."]
    lines = ["The training is cancelled at its service as well."]
    spent = await spending.spent_on_job(app.database, job.id)
    if spent:
        amount = money(spent, app.settings.budget)
        lines.append(f"The budget goes on counting {amount} for it: nobody tells what the service charges.")
    return lines


def _remedies(job: Job, training: Training) -> tuple[Remedy, ...]:
    if job.state is JobState.CANCELLED:
        return ()
    if not training.state.is_final:
        return (Remedy.RETRY, Remedy.FEW_SHOT)  # it goes on from where it stopped
    return REMEDIES[training.failure or Failure.OTHER]
