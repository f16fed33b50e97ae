"""The stages, each by itself: the bot's own code on generated data, with the stand-ins in another process.

Every function here runs in a fresh process. What `prepare_…` makes in the folder was made by a process before it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from bot.app import App, Pace
from bot.client import COGS, Client
from bot.config import DiscordSettings, OpenAISettings, Settings, TumblrSettings
from bot.drafts import DraftState, Person, UploadState
from bot.errors import ModelRateLimited
from bot.jobs.runner import JobState
from bot.language.endpoint import ModelService
from bot.language.moderation import judge
from bot.language.tokens import count_many
from bot.pipeline import closeness, decide
from bot.pipeline.generate import generate as write
from bot.pipeline.moderate import moderate as screen
from bot.pipeline.publish import publish
from bot.store import drafts as draft_store
from bot.store import jobs, posts, voices
from bot.store.database import Database
from bot.store.drafts import NewDraft
from bot.training import Voice, VoiceKind
from tests.bench import data
from tests.bench.figures import Figures, Finding, peak_memory, resident_memory, stopwatch
from tests.bench.services import Addresses, Options, services

_IDLE_SECONDS = 2.0

Measure = Callable[[Path, int], Awaitable[Figures]]


def settings_for(folder: Path, addresses: Addresses | None = None, *, guild_id: int | None = None) -> Settings:
    key, secret, token, token_secret = addresses.credentials if addresses else ("k", "s", "t", "ts")
    return Settings(
        download_blog_identifiers=[data.BLOG_TO_DOWNLOAD],
        upload_blog_identifier=data.BLOG_TO_DOWNLOAD,
        data_directory=folder,
        custom_prompts_file=folder / "custom_prompts.jsonl",
        training_data_file=folder / "training_data.jsonl",
        tags_chance=0.0,
        discord=DiscordSettings(guild_id=guild_id),
        tumblr=TumblrSettings(
            consumer_key=SecretStr(key),
            consumer_secret=SecretStr(secret),
            oauth_token=SecretStr(token),
            oauth_token_secret=SecretStr(token_secret),
            api_url=addresses.tumblr if addresses else "http://127.0.0.1:9",
        ),
        openai=OpenAISettings(
            api_key=SecretStr(addresses.api_key if addresses else "k"),
            base_url=f"{addresses.openai if addresses else 'http://127.0.0.1:9'}/v1",
        ),
    )


@asynccontextmanager
async def _app(folder: Path, options: Options | None = None) -> AsyncIterator[App]:
    async with services(options) as addresses:
        # The limit of calls a minute and address is Tumblr's own, not the stand-in's.
        app = App(settings_for(folder, addresses), folder / "config.toml", pace=Pace(tumblr_calls=10**9))
        await app.start()
        try:
            yield app
        finally:
            await app.stop()


async def run_job(app: App, kind: str, **parameters: object) -> int:
    """One job from start to end. Returns how much it did."""
    job = await app.runner.submit(kind, parameters, requested_by="bench", requester_id=None, channel_id=None)
    async for state in app.runner.follow(job.id):
        job = state
    if job.state is not JobState.SUCCEEDED or job.progress is None:
        raise RuntimeError(f"{kind} {job.state}: {job.error}")
    return job.progress.done


async def prepare_posts(folder: Path, size: int) -> None:
    database = await Database.open(folder / "bot.sqlite3")
    await data.store_posts(database, size)
    await database.close()


async def prepare_dataset(folder: Path, size: int) -> None:
    await prepare_posts(folder, size)
    app = App(settings_for(folder), folder / "config.toml")
    await app.start()
    await run_job(app, "examples")
    await app.stop()


# --- starting -------------------------------------------------------------------------------------------------


async def start(folder: Path, _size: int) -> Figures:
    """The app, and the client with all its cogs, without any Discord: it does not log in."""
    app = App(settings_for(folder), folder / "config.toml")
    client = Client(app)
    await app.start()
    async with client:
        for name in COGS:
            await client.load_extension(name)
        figures = await started()
        await app.stop()
    return figures


async def started() -> Figures:
    """The time until now, from the start of the process as its last argument says it; and the memory when idle."""
    seconds = time.time() - float(sys.argv[-1])
    await asyncio.sleep(_IDLE_SECONDS)
    return Figures(
        1,
        seconds,
        [
            Finding("{} s from the start of the process", seconds, 2),
            Finding("{} MB resident when idle", resident_memory(), 120),
        ],
    )


# --- working -------------------------------------------------------------------------------------------------


def download(page: int) -> Measure:
    async def measure(folder: Path, size: int) -> Figures:
        async with _app(folder, Options(posts=size, page=page)) as app:
            with stopwatch() as watch:
                done = await run_job(app, "download")
        assert done == size, (done, size)
        own = 1000 * watch.cpu / (size / 20)
        return Figures(
            size,
            watch.wall,
            [
                Finding("own time {} ms for 20 posts, writes included", own, 5),
                Finding("peak memory {} MB", peak_memory(), 150),
            ],
        )

    return measure


async def download_slow_answers(folder: Path, size: int) -> Figures:
    """A job like any other, and what the same posts take by one call of 20 after another, with nothing stored."""
    async with _app(folder, Options(posts=size, page=50, tumblr_seconds=0.1)) as app:
        with stopwatch() as plain:
            await _one_call_of_20_after_another(app, size)
        with stopwatch() as watch:
            done = await run_job(app, "download")
    assert done == size, (done, size)
    return Figures(
        size,
        watch.wall,
        [
            Finding("{} % of the time of one call of 20 after another", 100 * watch.wall / plain.wall, 45),
            Finding("which took {} s", plain.wall),
        ],
    )


async def _one_call_of_20_after_another(app: App, size: int) -> None:
    seen, before = 0, None
    while seen < size:
        page = await app.tumblr.posts(data.BLOG_TO_DOWNLOAD, before=before, limit=20)
        seen += len(page.posts)
        before = page.posts[-1].timestamp


async def examples(folder: Path, size: int) -> Figures:
    app = App(settings_for(folder), folder / "config.toml")
    await app.start()
    with stopwatch() as watch:
        done = await run_job(app, "examples")
    await app.stop()
    assert done == size, (done, size)
    return Figures(size, watch.wall)


async def moderate(folder: Path, size: int) -> Figures:
    """A job like any other, and what the same texts take by one call after another, with nothing stored."""
    async with _app(folder, Options(openai_seconds=0.1)) as app:
        with stopwatch() as plain:
            await _one_call_after_another(app.service("moderation"), size)
        with stopwatch() as watch:
            done = await run_job(app, "moderate")
    assert done == size, (done, size)
    return Figures(
        size,
        watch.wall,
        [
            Finding("{} % of the time of one call after another", 100 * watch.wall / plain.wall, 100 / 6),
            Finding("which took {} s", plain.wall),
        ],
    )


async def _one_call_after_another(service: ModelService, size: int) -> None:
    texts = list(data.texts(size))
    counts = await asyncio.to_thread(count_many, texts)
    judged = [pair async for answer in judge(service, texts, counts, in_flight=1, texts_per_call=25) for pair in answer]
    assert len(judged) == size


async def moderate_small_limit(folder: Path, size: int) -> Figures:
    """10,000 tokens a minute, where a minute takes two seconds."""
    limit, speed = 10_000, 30.0
    async with _app(folder, Options(openai_seconds=0.02, moderation_tokens=limit, speed=speed)) as app:
        endpoint = app.service("moderation").endpoint
        service = _Counting(endpoint)
        tokens = sum(count_many(list(data.texts(size))))
        stage = screen(
            app.database, service, training_data_file=folder / "t.jsonl", texts_per_call=25, window=60 / speed
        )
        answered = [time.monotonic() async for each in stage if each.done and each.waiting_for is None]
        await service.close()
    assert len(answered) > 1, "nothing was judged"
    allowed = limit * (answered[-2] - answered[0]) * speed / 60
    return Figures(
        size,
        answered[-2] - answered[0],
        [
            Finding("{} % of the limit left unused", 100 * (1 - tokens / allowed), 10),
            Finding("{} calls too early (429)", service.too_early, 1),
        ],
    )


class _Counting(ModelService):
    """Counts the calls that the service found too early."""

    too_early = 0

    async def ask_once(self, *given: Any, **options: Any) -> Any:
        try:
            return await super().ask_once(*given, **options)
        except ModelRateLimited:
            self.too_early += 1
            raise


async def generate(folder: Path, size: int) -> Figures:
    """The whole stage, guards and screening too, as it is and then with one draft at a time."""
    async with _app(folder, Options(openai_seconds=0.3)) as app:
        with stopwatch() as watch:
            await _write_drafts(app, size)
        with stopwatch() as plain:
            await _write_drafts(app, size, at_once=1)
    return Figures(
        size,
        watch.wall,
        [
            Finding("own time {} ms a draft", 1000 * watch.cpu / size),
            Finding("{} % of the time of one draft after another", 100 * watch.wall / plain.wall, 100 / 6),
            Finding("which took {} s", plain.wall),
        ],
    )


async def _write_drafts(app: App, size: int, **changes: Any) -> None:
    """Each text is taken as it comes: how often an n-gram copies is no matter of speed."""
    desk = dataclasses.replace(await app.stages.desk(), rewrites=0, **changes)
    async with app.database.write() as connection:
        kind = f"bench {changes}"
        job = await jobs.insert_job(
            connection, kind, {}, requested_by="bench", requester_id=None, channel_id=None, now=time.time()
        )
    async for progress in write(desk, job_id=job.id, count=size, prompt=None, channel_id=None):
        done = progress.done
    assert done == size, (done, size)


async def publish_drafts(folder: Path, size: int) -> Figures:
    keeper = Person(1, "keeper")
    async with _app(folder) as app:
        async with app.database.write() as connection:
            voice = Voice(0, VoiceKind.FEW_SHOT, "few-shot", "m", "http://127.0.0.1", None, "d", "u", 0.0, False, 0.0)
            voice_id = await voices.add_voice(connection, voice)
            draft = NewDraft("", (), "p", voice_id, None, None, None, data.BLOG_TO_DOWNLOAD, UploadState.DRAFT, 0.0)
            ids = [
                await draft_store.add_draft(connection, dataclasses.replace(draft, text=text), now=0.0)
                for text in data.texts(size)
            ]
        for draft_id in ids:
            await decide.approve(app.database, draft_id, keeper, now=0.0)
        with stopwatch() as watch:
            async for _ in publish(app.database, app.tumblr):
                pass
        states = await draft_store.count_by_state(app.database)
    assert states[DraftState.UPLOADED] == size, states
    return Figures(size, watch.wall, [Finding("own time {} ms a draft", 1000 * watch.cpu / size)])


async def tokens(_folder: Path, size: int) -> Figures:
    texts = list(data.texts(size))
    with stopwatch() as loading:
        count_many(texts[:1])
    with stopwatch() as watch:
        counts = count_many(texts)
    return Figures(
        size,
        watch.wall,
        [Finding("{} tokens a text", sum(counts) / size), Finding("loading took {} s before that", loading.wall)],
    )


# --- the guard against copying --------------------------------------------------------------------------------


async def closeness_index(folder: Path, size: int) -> Figures:
    """The index over all posts, from the store, while the event loop ticks."""
    database = await Database.open(folder / "bot.sqlite3")
    before = resident_memory()
    with stopwatch() as watch:
        ticking = asyncio.create_task(_longest_stall())
        index = await _index_of(database)
        ticking.cancel()
    with stopwatch() as first:
        await asyncio.to_thread(index.nearest, next(data.texts(1, seed=2)))
    grown = resident_memory() - before
    with stopwatch() as more:
        await asyncio.to_thread(index.extend, dict(_places(data.texts(1_000, seed=3))))
    await database.close()
    assert len(index) == size + 1_000, (len(index), size)
    return Figures(
        size,
        watch.wall,
        [
            Finding("own time {} s for both lengths of runs", watch.cpu),
            Finding("{} MB more than before, for both", grown, 80),
            Finding("longest stall of the event loop {} ms", 1000 * await ticking),
            Finding("first question {} ms", 1000 * first.wall),
            Finding("growing {} ms a post", more.wall),
        ],
    )


async def closeness_verdicts(folder: Path, size: int) -> Figures:
    """Drafts of which half are copies with one word in ten left out, one after the other, with reading the store."""
    database = await Database.open(folder / "bot.sqlite3")
    index = await _index_of(database)
    copies = [_thinned(text) for text in data.texts(size // 2)]
    honest = list(data.texts(size - size // 2, seed=2))
    times: list[float] = []
    verdicts: dict[bool, list[closeness.Verdict]] = {True: [], False: []}
    with stopwatch() as watch:
        for is_copy, texts in ((True, copies), (False, honest)):
            for text in texts:
                with stopwatch() as one:
                    verdicts[is_copy].append(await _verdict(database, index, text))
                times.append(1000 * one.wall)
    with stopwatch() as huge:
        await _verdict(database, index, " ".join(data.texts(10_000, seed=4)))
    await database.close()
    times.sort()
    return Figures(
        size,
        watch.wall,
        [
            Finding("median {} ms", times[len(times) // 2]),
            Finding("slowest {} ms", times[-1]),
            Finding("own time {} ms", 1000 * watch.cpu / size),
            Finding("a draft of two million characters {} ms", 1000 * huge.wall),
            Finding("blocked: {} % of the copies", _blocked(verdicts[True])),
            Finding("and {} % of the others", _blocked(verdicts[False])),
        ],
    )


async def _index_of(database: Database) -> closeness.TextIndex:
    index = closeness.TextIndex()
    async for page in posts.valid_texts(database):
        await asyncio.to_thread(index.extend, page)
    return index


async def _verdict(database: Database, index: closeness.TextIndex, text: str) -> closeness.Verdict:
    nearest = await asyncio.to_thread(index.nearest, text)
    found = await posts.posts_by_id(database, nearest.places)
    return await asyncio.to_thread(closeness.judge, text, nearest, {place: post.text for place, post in found.items()})


async def _longest_stall() -> float:
    """How much later than it asked to this task woke up, at the worst, in seconds, until it is cancelled."""
    longest, pause = 0.0, 0.005
    try:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(pause)
            longest = max(longest, time.perf_counter() - began - pause)
    except asyncio.CancelledError:
        return longest


def _places(texts: Iterable[str]) -> Iterator[tuple[tuple[str, str], str]]:
    return ((("t:new", str(number)), text) for number, text in enumerate(texts))


def _thinned(text: str) -> str:
    return " ".join(word for number, word in enumerate(text.split()) if number % 10 != 5)


def _blocked(verdicts: list[closeness.Verdict]) -> float:
    return 100 * sum(verdict.tier is closeness.Tier.BLOCK for verdict in verdicts) / len(verdicts)
