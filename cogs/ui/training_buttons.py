"""What a person can do about a training: let it rest, and, where it gave no voice, what may help.

Ids are `training:<job>:<press>`: the job's number leads to everything else, also after a restart.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Self

import discord

from bot.app import App
from bot.client import Client
from bot.jobs.runner import Job, JobState
from bot.permissions import Level
from bot.store import voices
from bot.training import REMEDIES, Failure, Remedy, Training, TrainingState
from cogs.ui.buttons import person, require_channel
from cogs.ui.dataset_message import Result
from cogs.ui.items import DurableButton, Form, view_of
from cogs.ui.limits import MODAL_INPUT, cut, embed, foreign
from cogs.ui.next_step import NextStepButton, step_view
from cogs.ui.screening_buttons import Place, Press, ScreeningButton

_LONGEST_NUMBER = 10
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
    Remedy.FEW_SHOT: ("Use few-shot instead", discord.ButtonStyle.primary),
    Remedy.OTHER_SERVICE: ("Use another service", discord.ButtonStyle.secondary),
    Remedy.RETRY: ("Retry as is", discord.ButtonStyle.secondary),
    Remedy.SCREEN_STRICTER: ("Screen more strictly", discord.ButtonStyle.primary),
    Remedy.FILTER_WORDS: ("Filter words", discord.ButtonStyle.secondary),
    Remedy.FEWER_POSTS: ("Fewer posts", discord.ButtonStyle.secondary),
    Files.DELETE: ("Delete uploaded files", discord.ButtonStyle.danger),
}
_OWNERS = (Remedy.FEW_SHOT, Remedy.FILTER_WORDS, Remedy.FEWER_POSTS)
"""What changes an option, or which voice writes: as with /config and /voices, the owner's alone."""
_OTHER_SERVICES = """\
A training can go to any service that speaks OpenAI's files and fine-tuning-jobs API, or Together's. Set these in \
config.toml, the key best as an environment variable or a secret file, then start the bot again:
```toml
[openai.fine_tuning]
base_url = "https://…/v1"   # the service's own page names it
model = "…"                 # a model that can be trained there
api = "auto"                # openai, azure or together, where the address does not tell
```
Nebius Token Factory, Azure, Together and a LiteLLM proxy take trainings this way. A model that was trained by hand \
elsewhere becomes a voice with /voices add."""


class TrainingButton(
    DurableButton, template=rf"training:(?P<job>\d{{1,15}}):(?P<press>{'|'.join(_LABELS)})", needs=Level.REVIEWER
):
    """One of a training's buttons."""

    def __init__(self, job_id: int, press: str) -> None:
        self.job_id = job_id
        self.press = press
        self.needs = Level.OWNER if press in _OWNERS else Level.REVIEWER
        label, style = _LABELS[press]
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
    """A form for the option that leaves more posts out. What is sent comes to `OPTION_FORM`."""
    settings = app.settings
    if remedy is Remedy.FILTER_WORDS:
        title, label = "Filter words", "Patterns to leave out, one on each line"
        value, style, most = "\n".join(settings.filtered_words), discord.TextStyle.paragraph, MODAL_INPUT
    else:
        title, label = "Fewer posts", "The newest posts of each blog; 0 is all"
        value, style, most = str(settings.post_limit), discord.TextStyle.short, _LONGEST_NUMBER
    form = discord.ui.Modal(title=title, custom_id=f"training:{job_id}:{remedy}:form")
    form.add_item(
        discord.ui.TextInput[Any](
            label=label,
            custom_id="value",
            style=style,
            default=value[:most] or None,
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
        else {"post_limit": typed.strip() or "0"}
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
    for remedy in _remedies(job, training):
        view.add_item(TrainingButton(job.id, remedy))
    lines: list[str] = []
    if training.has_files and training.state is not TrainingState.RUNNING:
        view.add_item(TrainingButton(job.id, Files.DELETE))
        lines.append("Files of this training are still at the service. Delete them, if you do not mean to go on.")
    return Result(lines, await _wrong_line(app, training), picture, view)


async def _wrong_line(app: App, training: Training) -> list[tuple[str, str, bool]]:
    """The example that the service found wrong in the file, where it names a line."""
    named = await app.voices.named_example(training)
    if named is None:
        return []
    line, example = named
    whose = "a custom prompt" if example.post_id is None else f"post {foreign(example.post_id)}"
    return [(f"Line {line:,} of the file, from {whose}", cut(foreign(cut(example.assistant, _EXAMPLE)), 900), False)]


def _remedies(job: Job, training: Training) -> tuple[Remedy, ...]:
    if job.state is JobState.CANCELLED:
        return ()
    if not training.state.is_final and training.failure in (None, Failure.OTHER):
        return (Remedy.RETRY, Remedy.FEW_SHOT)  # it goes on from where it stopped
    return REMEDIES[training.failure or Failure.OTHER]
