"""One model at one service: the connection that every call goes through."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

import msgspec
from pydantic import SecretStr
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_exponential
from tenacity.wait import wait_base

from bot.errors import ModelRefused, ModelUnauthorized, ModelUnavailable
from bot.language.failures import explain, nonsense, too_slow

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_log = logging.getLogger(__name__)
_ATTEMPTS = 4  # for calls that are safe and free to repeat
_READ_DEADLINE = 30.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is: `base_url` ends where `/chat/completions` begins."""

    base_url: str
    api_key: SecretStr
    model: str


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A service's answer, read."""

    value: T
    headers: Mapping[str, str]


class RawAnswer(Protocol):
    """What the SDK's `with_raw_response` gives: the body unread, so that we and not the SDK judge it."""

    @property
    def content(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


Send = Callable[["AsyncOpenAI"], Awaitable[RawAnswer]]


class ModelService:
    """Calls one model. The SDK is loaded, in a thread, by the first call.

    `deadline` is the most that one call may take, in seconds; free reads get at most 30. `wait` is tenacity's pause
    between repetitions. Services made with `with_model` share one connection; `close()` of any closes it for all.
    """

    def __init__(self, endpoint: Endpoint, *, deadline: float = 120.0, wait: wait_base | None = None) -> None:
        self.endpoint = endpoint
        self.name = service_name(endpoint.base_url)
        """What people call the service."""
        self.deadline = deadline
        self.wait: wait_base = wait or wait_exponential(multiplier=0.5, max=8.0)
        self.lacks: set[str] = set()
        """What the model has refused to understand, so that it is not asked again (see chat.py)."""
        self._connection = _Connection(endpoint, self.name, deadline)
        self._connection.lacks[endpoint.model] = self.lacks

    @property
    def halvings(self) -> int:
        """How often a long prompt is halved before the model takes it, as its refusals have taught (few_shot.py)."""
        return self._connection.halvings.get(self.endpoint.model, 0)

    @halvings.setter
    def halvings(self, times: int) -> None:
        self._connection.halvings[self.endpoint.model] = times

    def with_model(self, model: str) -> ModelService:
        """The same service and connection, for another model."""
        other = ModelService(replace(self.endpoint, model=model), deadline=self.deadline, wait=self.wait)
        other._connection = self._connection
        other.lacks = self._connection.lacks.setdefault(model, set())
        return other

    async def ask(self, send: Send, into: type[T]) -> Answer[T]:
        """A call that is free and safe to repeat; when there is no usable answer it is tried four times.

        Raises:
            ModelError: whatever the last try came to. A rate limit is not waited for here, but shown by the stage.
        """
        deadline = min(self.deadline, _READ_DEADLINE)
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(ModelUnavailable),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=self.wait,
            before_sleep=self._note_retry,
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                return await self.ask_once(send, into, deadline=deadline)
        raise nonsense(self.name)  # not reached: reraise=True

    async def ask_once(self, send: Send, into: type[T], *, deadline: float | None = None) -> Answer[T]:
        """A call that costs or creates something: made once.

        Raises:
            ModelUnavailable: no usable answer; the call may nevertheless have had its effect.
            ModelError: the service refused.
        """
        raw = await self._send(send, self.deadline if deadline is None else deadline)
        try:
            return Answer(msgspec.json.decode(raw.content, type=into), raw.headers)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            failure = nonsense(self.name)
        raise failure

    async def fetch(self, send: Send, *, deadline: float) -> bytes:
        """The content of a file, whatever it is: made once. Raises as `ask_once`."""
        return (await self._send(send, deadline)).content

    async def _send(self, send: Send, seconds: float) -> RawAnswer:
        client = await self._connection.open()
        import openai  # noqa: PLC0415 - only now: `open` has loaded it in a thread, here it would stop the event loop

        try:
            async with asyncio.timeout(seconds):
                return await send(client)
        except openai.OpenAIError as error:
            failure = explain(error, self.name)
        except TimeoutError:
            failure = too_slow(self.name, seconds)
        # Outside the except blocks: what the SDK raised holds the request, and with it the key.
        raise failure

    def _note_retry(self, state: RetryCallState) -> None:
        _log.info("%s gave no usable answer (try %d of %d).", self.name, state.attempt_number, _ATTEMPTS)

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


class _Connection:
    """The SDK's client, built when it is first needed."""

    def __init__(self, endpoint: Endpoint, name: str, deadline: float) -> None:
        self._endpoint = endpoint
        self._name = name
        self._deadline = deadline
        self.lacks: dict[str, set[str]] = {}
        """By model, so that what one call has learned is not asked again by the next `with_model`."""
        self.halvings: dict[str, int] = {}
        self._lock = asyncio.Lock()
        self._client: AsyncOpenAI | None = None

    async def open(self) -> AsyncOpenAI:
        if self._client is None:
            async with self._lock:
                if self._client is None:
                    self._client = await asyncio.to_thread(self._build)
        return self._client

    async def close(self) -> None:
        async with self._lock:
            if self._client is not None:
                await self._client.close()
                self._client = None

    def _build(self) -> AsyncOpenAI:
        key = self._endpoint.api_key.get_secret_value().strip()
        # A key that no header can carry would otherwise end up in the text of the transport's error.
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise ModelUnauthorized(
                f"The API key for {self._name} is missing or has characters that no key has.",
                "Set `api_key` under [openai] again, best as an environment variable or a secret file.",
            )
        if not _is_web_address(self._endpoint.base_url):
            raise ModelRefused(
                "The address of the model service is not a web address.",
                "Correct `base_url` under [openai]; it begins with https:// and mostly ends with /v1.",
                status=0,
            )
        import openai  # noqa: PLC0415 - takes half a second and 40 MB, which start-up must not pay

        timeout = openai.Timeout(self._deadline, connect=min(10.0, self._deadline))
        client = openai.AsyncOpenAI(
            api_key=key,
            base_url=self._endpoint.base_url,
            timeout=timeout,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(
                timeout=timeout,
                follow_redirects=False,
                trust_env=not on_this_machine(self._endpoint.base_url),  # a proxy cannot reach our loopback
            ),
        )
        # These the SDK took from the environment: no parameter keeps them out (an empty one is sent as a header).
        client.organization = None
        client.project = None
        client._custom_headers = {}  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - see the line above
        # Touched here, in the thread: each of these imports its module on first use.
        resources = client.chat.completions, client.files, client.fine_tuning.jobs, client.models, client.moderations
        _ = (*resources, client.batches)
        return client


def service_name(base_url: str) -> str:
    """What people call the service at an address: "OpenAI", "Together", or the host's name."""
    try:
        host = urlsplit(base_url).hostname or ""
    except ValueError:
        host = ""
    if host == "api.openai.com" or host.endswith(".api.openai.com"):
        return "OpenAI"
    if host in {"api.together.ai", "api.together.xyz"}:
        return "Together"
    return host or "The model service"


def on_this_machine(base_url: str) -> bool:
    """Whether an address can only be this machine, going by its spelling alone."""
    try:
        host = urlsplit(base_url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def sendable(text: str) -> str:
    """The text without lone surrogates, which JSON from elsewhere may hold and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def _is_web_address(base_url: str) -> bool:
    try:
        parts = urlsplit(base_url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
