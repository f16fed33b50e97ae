"""What `check` asks Tumblr and the model services, and what the store says of the money."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, date, datetime

from bot.app import App
from bot.check.finding import Finding, no_answer, trouble
from bot.config import Settings, Use
from bot.errors import BotError, TumblrUnauthorized
from bot.language.endpoint import service_name
from bot.language.models import find_model
from bot.posts import Blog
from bot.shutdown_watch import MILESTONES, announced_end
from bot.store import spending, voices
from bot.store.database import Database
from bot.training import TrainingApi, Voice
from bot.tumblr.client import LARGEST_PAGE
from bot.tumblr.identifiers import parse_identifier
from bot.tumblr.quota import RESERVED
from bot.voices.kinds import api_of, kind_of

_SECONDS = 20.0
_CONNECT = "Connect it with /connect tumblr, or with `python3 -m bot setup`; this machine's clock must be right, too."
_CLOCK_MAY_BE_OFF = 300.0  # seconds; services take signatures of OAuth that are about so old, and no older
_ENDS_SOON = MILESTONES[1]  # days; before that its date is only shown
_USES: tuple[Use, ...] = ("generation", "fine_tuning", "moderation")


# --- Tumblr ---------------------------------------------------------------------------------------------------


async def check_tumblr(app: App) -> AsyncIterator[Finding]:
    """The account, where drafts go, the blogs to download, what Tumblr's limits leave, the clock."""
    connected = False
    try:
        async with asyncio.timeout(_SECONDS):
            account = await app.tumblr.account()
    except TumblrUnauthorized as error:
        yield Finding("Tumblr account", error.sentence, _CONNECT)
    except BotError as error:
        yield trouble("Tumblr account", error)
    except TimeoutError:
        yield no_answer("Tumblr account", "Tumblr")
    else:
        connected = True
        yield Finding(
            "Tumblr account",
            f"Connected as {account.name}, with {len(account.blogs)} blog{'s' * (len(account.blogs) != 1)}.",
        )
        yield _destination(app.settings, {name for blog in account.blogs for name in _names(blog)})
    for name in app.settings.download_blog_identifiers:
        yield await _blog(app, name)
    if not app.settings.download_blog_identifiers:
        yield Finding(
            "Blogs to download", "None is named.", "Set `download_blog_identifiers`, or name one with /download."
        )
    if connected:
        yield await _quota(app)
    if app.tumblr.governor.clock_ahead is not None:
        yield _clock(app.tumblr.governor.clock_ahead)


def _destination(settings: Settings, owned: set[str]) -> Finding:
    if not settings.upload_blog_identifier:
        return Finding("Destination", "No blog is named for drafts.", "Set `upload_blog_identifier`.")
    try:
        blog = parse_identifier(settings.upload_blog_identifier)
    except BotError as error:
        return Finding("Destination", error.sentence, error.next_step)
    if blog not in owned:
        return Finding(
            "Destination",
            f"{blog} is not a blog of the connected account.",
            "Set `upload_blog_identifier` to one that is.",
        )
    return Finding("Destination", f"Approved drafts go to {blog}, as {settings.tumblr.upload_state}.")


def _names(blog: Blog) -> set[str]:
    """Everything that `parse_identifier` may make of what people call a blog; a custom domain stands in its address."""
    with suppress(BotError):
        return {blog.name, blog.uuid, parse_identifier(blog.url)}
    return {blog.name, blog.uuid}


async def _blog(app: App, name: str) -> Finding:
    try:
        async with asyncio.timeout(_SECONDS):
            blog = await app.tumblr.blog(parse_identifier(name))
    except BotError as error:
        return trouble(f"Blog {name}", error)
    except TimeoutError:
        return no_answer(f"Blog {name}", "Tumblr")
    return Finding(f"Blog {name}", f"There, with about {blog.post_count or 0:,} posts.")


async def _quota(app: App) -> Finding:
    """What is left, and what that means. A used-up quota is nothing to mend: the bot waits by itself."""
    parts: list[str] = []
    with suppress(BotError, TimeoutError):  # it says less then
        async with asyncio.timeout(_SECONDS):
            limits = await app.tumblr.limits()
        if limits.posts_remaining is not None:
            parts.append(f"The account may make {limits.posts_remaining:,} more posts today.")
    quota = app.tumblr.quota
    left = [each for each in (quota.hour_remaining, quota.day_remaining) if each is not None]
    if quota.hour_remaining is not None and quota.day_remaining is not None:
        parts.append(f"Tumblr answers {quota.hour_remaining:,} more calls this hour and {quota.day_remaining:,} today.")
    if left:
        for_downloads = max(0, min(left) - RESERVED)
        parts.append(
            f"That is enough to download about {for_downloads * LARGEST_PAGE:,} posts."
            if for_downloads
            else "A download waits until there are more; the rest is kept for approvals."
        )
    if until := app.tumblr.governor.held_until:
        parts.append(f"The bot sends nothing before {datetime.fromtimestamp(until, UTC):%H:%M} UTC.")
    return Finding("Tumblr quota", " ".join(parts) or "Tumblr does not say what is left.")


def _clock(ahead: float) -> Finding:
    if abs(ahead) <= _CLOCK_MAY_BE_OFF:
        return Finding("Clock", "This machine's clock agrees with Tumblr's.")
    return Finding(
        "Clock",
        f"This machine's clock is {abs(ahead) / 60:,.0f} minutes {'fast' if ahead > 0 else 'slow'}.",
        "Let it be set from the network (on many systems: timedatectl set-ntp true). Tumblr refuses what is signed at"
        " another time.",
    )


# --- models and money -----------------------------------------------------------------------------------------


async def check_models(app: App, database: Database | None) -> AsyncIterator[Finding]:
    """The model of each use, and that of the voice which writes."""
    for use in _USES:
        yield await _model(app, use)
    if database is not None and (finding := await _voice(app, database)):
        yield finding


async def _model(app: App, use: Use) -> Finding:
    subject = f"Model for {use.replace('_', '-')}"
    try:
        service = app.service(use)
        model = service.endpoint.model
        async with asyncio.timeout(_SECONDS):
            card = await find_model(service)
    except BotError as error:
        return trouble(subject, error)
    except TimeoutError:
        return Finding(subject, "The service did not answer.", "Check `base_url` and the network.")
    if card is None:
        return Finding(
            subject, f"{service.name} has no model {model}.", f"Name another one as `model` under [openai.{use}]."
        )
    return _ending(subject, model, card.shutdown_date, _today(app), f"Choose another `model` under [openai.{use}].")


async def _voice(app: App, database: Database) -> Finding | None:
    """The model of a trained voice that writes. None where the voice writes with the model for generation."""
    subject = "Active voice"
    voice = await _trained_voice(app, database)
    if voice is None:
        return None
    try:
        if api_of(voice.base_url, app.settings.openai.fine_tuning.api) is TrainingApi.AZURE:
            return Finding(subject, f"{voice.name} writes with a deployment of Azure's; look at it there.")
        async with asyncio.timeout(_SECONDS):
            card = await find_model(app.service_at(voice.base_url).with_model(voice.model))
            if card is None:
                return Finding(
                    subject,
                    f"{service_name(voice.base_url)} has no model {voice.model} any more; {voice.name} writes with it.",
                    "Choose another voice with /voices use, or train one with /finetune.",
                )
            ends = await announced_end(voice, database, app.service_at, app.settings, _today(app))
    except BotError as error:
        return trouble(subject, error)
    except TimeoutError:
        return no_answer(subject, service_name(voice.base_url))
    return _ending(
        subject, voice.model, ends, _today(app), "Train another voice with /finetune, or use one that stays."
    )


async def _trained_voice(app: App, database: Database) -> Voice | None:
    active = await voices.active_voice(database)
    if active is not None:
        return active
    settings = app.settings
    if not settings.fine_tuned_model:
        return None
    base_url = settings.endpoint("fine_tuning").base_url
    kind = kind_of(api_of(base_url, settings.openai.fine_tuning.api))
    name = settings.fine_tuned_model
    return await voices.find_voice(database, kind, name, base_url) or Voice(
        id=0,
        kind=kind,
        name=name,
        model=name,
        base_url=base_url,
        dataset_id=None,
        developer_message="",
        user_message="",
        cost=0.0,
        active=False,
        created_at=0.0,
    )


def _ending(subject: str, model: str, ends: date | None, today: date, remedy: str) -> Finding:
    if ends is None:
        return Finding(subject, f"{model} is there.")
    if ends <= today:
        return Finding(subject, f"{model} was stopped by its service on {ends}.", remedy)
    result = f"{model} is there, until its service stops it on {ends}."
    return Finding(subject, result, remedy if (ends - today).days <= _ENDS_SOON else "")


def _today(app: App) -> date:
    return datetime.fromtimestamp(app.clock(), UTC).date()


async def check_money(app: App, database: Database) -> Finding:
    """What the budget leaves this month."""
    budget = app.settings.budget
    now = await spending.standing(database, budget.monthly_limit, budget.caps, app.clock())
    if not now.limit:
        return Finding("Budget", "`monthly_limit` is 0: nothing is called that costs money.")
    if not now.left:
        return Finding(
            "Budget",
            f"Nothing is left of this month's {now.limit:.2f} dollars; what costs money stops until the next month.",
            "Wait for it, or raise `monthly_limit` under [budget].",
        )
    day = f" Today {now.left_today:.2f} of them may be used." if now.left_today is not None else ""
    return Finding("Budget", f"{now.left:.2f} of this month's {now.limit:.2f} dollars are left.{day}")
