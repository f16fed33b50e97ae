"""The stages of the pipeline as jobs run them: each with what it needs, by the settings of that moment."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bot.account import TumblrAccount
from bot.config import Settings
from bot.drafts import Draft
from bot.errors import NothingToDo
from bot.jobs.runner import JSON, Job
from bot.model_services import ModelServices
from bot.pipeline.download import Wanted, download
from bot.pipeline.examples import ExampleRules, make_examples
from bot.pipeline.finetune import finetune
from bot.pipeline.generate import Desk, Reblogging, Tagging, generate
from bot.pipeline.guards import Guards, PostIndex
from bot.pipeline.moderate import InBatches, moderate
from bot.pipeline.retention import delete_posts
from bot.progress import Progress
from bot.store import voices
from bot.store.database import Database
from bot.training import Voice
from bot.tumblr.identifiers import parse_identifier
from bot.voice_desk import VoiceDesk
from bot.voice_register import VoiceRegister


@dataclass(frozen=True, slots=True)
class Stages:
    """`training_poll` is in seconds. `voice_made` is set once a training has given a voice."""

    database: Database
    account: TumblrAccount
    services: ModelServices
    voices: VoiceDesk
    register: VoiceRegister
    settings: Callable[[], Settings]
    drafts_changed: asyncio.Event
    voice_made: asyncio.Event
    training_poll: float
    dice: random.Random
    clock: Callable[[], float]
    post_index: PostIndex = field(default_factory=PostIndex)

    @property
    def can_screen(self) -> bool:
        """Whether there is a key for the service that screens."""
        return bool(self.settings().endpoint("moderation").api_key.get_secret_value())

    def download(self, job: Job) -> AsyncIterator[Progress]:
        wanted = Wanted(
            _texts(job.parameters.get("blogs")) or self.settings().download_blog_identifiers,
            # The job's own beginning: a blog that had its full pass since then is not looked at whole again.
            full_since=job.created_at if job.parameters.get("full") else None,
            accepted=frozenset(_texts(job.parameters.get("accepted"))),
        )
        tumblr = self.account.tumblr_in_bulk
        return download(self.database, tumblr, wanted, forget=self._forget_posts, clock=self.clock)

    async def _forget_posts(self, blog_uuid: str, post_ids: Sequence[str]) -> None:
        await delete_posts(self.database, blog_uuid, post_ids, training_data_file=self.settings().training_data_file)

    def examples(self, job: Job) -> AsyncIterator[Progress]:
        settings = self.settings()
        rules = ExampleRules(
            developer_message=settings.developer_message,
            user_message=settings.user_message,
            date_limit=settings.date_limit,
            post_limit=settings.post_limit,
            filtered_words=tuple(settings.filtered_words),
            include_answers=settings.include_answers,
            include_reblog_comments=settings.include_reblog_comments,
            reblog_user_message=settings.reblog_user_message,
            held_out_share=settings.held_out_share,
            token_limit=settings.example_token_limit,
        )
        return make_examples(
            self.database,
            rules,
            custom_prompts_file=settings.custom_prompts_file,
            training_data_file=settings.training_data_file,
            fresh=bool(job.parameters.get("fresh")),
            clock=self.clock,
        )

    def moderate(self, job: Job) -> AsyncIterator[Progress]:
        settings = self.settings()
        return moderate(
            self.database,
            self.services.use("moderation"),
            training_data_file=settings.training_data_file,
            texts_per_call=settings.moderation_batch_size,
            in_batches=InBatches(job.id, self.training_poll) if job.parameters.get("batch") else None,
            clock=self.clock,
        )

    async def finetune(self, job: Job) -> AsyncIterator[Progress]:
        offer = await voices.get_offer(self.database, int(str(job.parameters["offer_id"])))
        if offer is None:
            raise NothingToDo("What was to be trained is gone.", "Use /finetune again.")
        course = self.voices.course(offer)
        async for progress in finetune(course, job_id=job.id):
            yield progress
        self.voice_made.set()

    async def generate(self, job: Job) -> AsyncIterator[Progress]:
        desk = await self.desk(job.parameters)
        count = int(str(job.parameters["count"]))
        prompt = str(job.parameters.get("prompt") or "") or None
        if prompt and desk.reblogging and job.parameters.get("reblog"):
            # Asked for both: then that is what is asked about each post.
            desk, prompt = replace(desk, reblogging=replace(desk.reblogging, user_message=prompt)), None
        stage = generate(desk, job_id=job.id, count=count, prompt=prompt, channel_id=job.channel_id)
        async for progress in stage:
            self.drafts_changed.set()
            yield progress

    async def desk(self, wanted: Mapping[str, JSON] | None = None) -> Desk:
        """Everything that writing needs; `wanted` is what somebody asked of /generate.

        Raises:
            NothingToDo: there is no such voice, or no key for a service.
        """
        wanted = wanted or {}
        voice = await (self.register.find(str(wanted["voice"])) if wanted.get("voice") else self.voices.current())
        return self._desk_of(voice, wanted)

    async def desk_again(self, draft: Draft) -> Desk:
        """The same for another text instead of this draft, in its own voice as long as that can write.

        Raises:
            NothingToDo: there is no key for a service.
        """
        again = await self.voices.once_more(draft.voice_id)
        return replace(self._desk_of(again.voice, {}), note=again.instead)

    def _desk_of(self, voice: Voice, wanted: Mapping[str, JSON]) -> Desk:
        settings = self.settings()
        tags = _chance(wanted.get("tags"), settings.tags_chance)
        reblogs = _chance(wanted.get("reblog"), settings.reblog_chance)
        screens = settings.guards.screen_drafts and self.can_screen
        return Desk(
            database=self.database,
            voice=voice,
            writer=self.voices.writer(voice),
            guards=Guards(
                self.database,
                self.post_index,
                allowed_phrases=settings.guards.allowed_phrases,
                screener=self.services.use("moderation") if screens else None,
            ),
            rewrites=settings.guards.rewrites,
            tagging=Tagging(self.services.use("generation"), settings.tags_developer_message, tags),
            blog=parse_identifier(settings.upload_blog_identifier) if settings.upload_blog_identifier else "",
            upload_state=settings.tumblr.upload_state,
            monthly_limit=settings.budget.monthly_limit,
            dice=self.dice,
            clock=self.clock,
            reblogging=Reblogging(
                self.account.tumblr,
                tuple(settings.reblog_blog_identifiers),
                reblogs if settings.reblog_blog_identifiers else 0.0,
                settings.reblog_user_message,
            ),
            caps=settings.budget.caps,
        )


def _chance(wanted: JSON, usual: float) -> float:
    """How likely something is, where somebody may have said always or never."""
    return usual if wanted is None else float(bool(wanted))


def _texts(value: JSON) -> list[str]:
    """A job's parameter as a list of texts, whatever an older version stored."""
    return [str(item) for item in value] if isinstance(value, list) else []
