"""The Tumblr account that the bot uses: connecting and leaving it, which of its blogs serve for what, and its quota."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from pydantic import SecretStr, ValidationError

from bot.config import SECRETS_FILE, Settings, TumblrSettings, secrets_elsewhere, write_secrets
from bot.errors import BlogIdentifierError, ConnectionFailed, SettingsError, TumblrError
from bot.pipeline.download import AT_ONCE
from bot.posts import Blog
from bot.store import consents
from bot.store.database import Database
from bot.store.facts import get_fact, set_fact
from bot.tumblr.client import Account, Tumblr, TumblrCredentials
from bot.tumblr.connect import RequestToken, access_token, read_verifier, request_token
from bot.tumblr.identifiers import parse_identifier
from bot.tumblr.quota import RESERVED, Governor, GovernorState
from bot.tumblr.values import as_mapping

_QUOTA = "Tumblr's quota"
_TOKENS: tuple[str, ...] = ("tumblr.oauth_token", "tumblr.oauth_token_secret")


class TumblrAccount:
    """The account, connected or not. Its clients carry whatever keys are in use at the time of a call."""

    def __init__(
        self,
        settings_path: Path,
        *,
        settings: Callable[[], Settings],
        use: Callable[[Mapping[str, object]], None],
        choose: Callable[[Mapping[str, object]], Awaitable[str]],
        database: Callable[[], Database],
        governor: Governor,
        deadline: float,
        retry_wait: float,
    ) -> None:
        """Set up the clients; nothing is sent yet.

        Args:
            settings_path: config.toml.
            settings: gives the settings as they are now.
            use: changes options of the settings, by name, until the process ends.
            choose: changes one of them in config.toml too; returns a sentence if that will not last.
            database: gives the open store.
            governor: keeps to Tumblr's limits, for every client of the account.
            deadline: seconds that one call may take in all.
            retry_wait: seconds before a failed read is tried again; see `Tumblr`.
        """
        self._settings_path = settings_path
        self._settings = settings
        self._use = use
        self._choose = choose
        self._database = database
        self._governor = governor
        self._deadline = deadline
        self._retry_wait = retry_wait
        self._connecting: _Connecting | None = None
        self._turn = asyncio.Lock()
        self.quota_changed = asyncio.Event()
        """Set when `keep_quota` has something to write down."""
        self.overruled_by: tuple[str, ...] = ()
        """Where else the secrets are set that were last written down: these places win at the next start."""
        credentials = _credentials(settings())
        self.tumblr = self._client(credentials)
        """For what people wait for, and for uploads."""
        self.tumblr_in_bulk = self._client(credentials, keep_back=RESERVED, readers=AT_ONCE)
        """For stages that read much: it leaves some calls to the other one, and never stands in its way."""

    @property
    def has_consumer(self) -> bool:
        """Whether there are a consumer key and secret, so that Tumblr can be asked for a link."""
        options = self._settings().tumblr
        return bool(options.consumer_key.get_secret_value() and options.consumer_secret.get_secret_value())

    @property
    def has_account(self) -> bool:
        """Whether an account is connected; `account` tells whether the connection works."""
        return self.tumblr.connected

    async def begin_connecting(self) -> str:
        """A link at which the owner allows the bot to use the account.

        Raises:
            ConnectionFailed: Tumblr does not accept the consumer key and secret.
            TumblrError: no usable answer.
        """
        options = self._settings().tumblr
        return await self._begin(options.consumer_key, options.consumer_secret)

    async def set_consumer(self, key: str, secret: str) -> str:
        """Take other keys of an application, once Tumblr has accepted them; returns a link, as `begin_connecting`.

        While an account is connected the keys in use stay until `finish_connecting`: tokens belong to their keys.

        Raises:
            ConnectionFailed: they cannot be keys, Tumblr does not accept them, or they cannot be written down.
            TumblrError: no usable answer.
        """
        try:
            given = TumblrSettings.model_validate({"consumer_key": key, "consumer_secret": secret})
        except ValidationError:
            given = TumblrSettings()
        if not given.consumer_key.get_secret_value() or not given.consumer_secret.get_secret_value():
            raise ConnectionFailed(
                "That is no consumer key with its secret: both are one word each, of letters and digits.",
                "Copy both from https://www.tumblr.com/oauth/apps.",
            )
        link = await self._begin(given.consumer_key, given.consumer_secret)
        if not self.has_account:
            async with self._turn:
                await self._keep_secrets(_consumer(given.consumer_key, given.consumer_secret))
        return link

    async def finish_connecting(self, pasted: str) -> Account:
        """Connect the account, from the address that Tumblr led to, and use it from now on.

        The new tokens are tried before they take the place of the old ones.

        Raises:
            ConnectionFailed: the address or the tokens are of no use, or they cannot be written down. Nothing was
                changed.
            TumblrError: no usable answer; nothing was changed.
        """
        async with self._turn:
            begun = self._connecting
            if begun is None:
                raise ConnectionFailed(
                    "The link belongs to an earlier start of the bot, or was used already.",
                    "Use /connect tumblr again.",
                )
            options = self._settings().tumblr
            verifier = read_verifier(pasted, begun.request)
            key, secret = begun.consumer_key.get_secret_value(), begun.consumer_secret.get_secret_value()
            credentials = await access_token(
                key, secret, begun.request, verifier, api_url=options.api_url, deadline=self._deadline
            )
            self._connecting = None  # used up
            values = dict(zip(_TOKENS, (credentials.oauth_token, credentials.oauth_token_secret), strict=True))
            if (begun.consumer_key, begun.consumer_secret) != (options.consumer_key, options.consumer_secret):
                values |= _consumer(begun.consumer_key, begun.consumer_secret)
            account = await self._tried(credentials)
            await self._keep_secrets(values)
            await self._note_account(account)
            return account

    async def account(self) -> Account | None:
        """Ask Tumblr for the connected account and its blogs; None when none is connected.

        Raises:
            TumblrError: the connection does not work.
        """
        if not self.has_account:
            return None
        account = await self.tumblr.account()
        await self._note_account(account)
        return account

    async def disconnect(self) -> None:
        """Forget the tokens. Posts, drafts and the consumer key stay.

        Raises:
            ConnectionFailed: they cannot be taken out of the secrets file; nothing was changed.
        """
        async with self._turn:
            self._connecting = None
            await self._keep_secrets(dict.fromkeys(_TOKENS))
            if await asyncio.to_thread(self._config_has_tokens):
                self.overruled_by += (self._settings_path.name,)
            async with self._database().write() as connection:
                await consents.set_own_blogs(connection, [])

    async def tokens_place(self) -> str:
        """Where the tokens come from at a start, in words."""
        return await asyncio.to_thread(self._tokens_place)

    async def choose_destination(self, blog: Blog) -> str:
        """Let drafts that are written from now on go to this blog; returns a sentence if that will not last."""
        return await self._choose({"upload_blog_identifier": blog.name})

    async def choose_sources(self, blogs: Sequence[Blog], *, offered: Sequence[Blog]) -> str:
        """Let /download fetch these of the `offered` blogs; what else is set stays. Returns as `choose_destination`."""
        others = [text for text in self._settings().download_blog_identifiers if not is_one_of(text, offered)]
        return await self._choose({"download_blog_identifiers": [*(blog.name for blog in blogs), *others]})

    def _tokens_place(self) -> str:
        elsewhere = secrets_elsewhere(_TOKENS)
        if elsewhere:
            return " and ".join(elsewhere.values())
        kept = ""
        with suppress(OSError, ValueError):
            kept = (self._settings().data_directory / SECRETS_FILE).read_text("utf-8")
        return f"{SECRETS_FILE} in the data directory" if "oauth_token" in kept else self._settings_path.name

    def _config_has_tokens(self) -> bool:
        """Whether somebody wrote tokens into config.toml, where they do not belong but are read all the same."""
        try:
            written = tomllib.loads(self._settings_path.read_text("utf-8-sig"))
        except (OSError, ValueError):
            return False
        section = as_mapping(written.get("tumblr"))
        return any(section.get(name.removeprefix("tumblr.")) for name in _TOKENS)

    async def _begin(self, key: SecretStr, secret: SecretStr) -> str:
        request = await request_token(
            key.get_secret_value(),
            secret.get_secret_value(),
            api_url=self._settings().tumblr.api_url,
            deadline=self._deadline,
        )
        self._connecting = _Connecting(request, key, secret)
        return request.authorize_url

    async def _tried(self, credentials: TumblrCredentials) -> Account:
        """The account that new tokens open; they are not in use yet."""
        tumblr = self._client(credentials)
        try:
            return await tumblr.account()
        except TumblrError as error:
            raise ConnectionFailed(
                f"The new connection could not be tested, so nothing was changed. {error.sentence}",
                "Use /connect tumblr again in a few minutes.",
            ) from None
        finally:
            await tumblr.close()

    async def _keep_secrets(self, values: Mapping[str, str | None]) -> None:
        """Write secrets of [tumblr] down, all or none, and use them."""
        try:
            await asyncio.to_thread(write_secrets, self._settings().data_directory, values)
        except SettingsError as error:
            raise ConnectionFailed(
                f"The keys could not be written down, so nothing was changed. {' '.join(error.problems)}",
                "Correct that, then use /connect tumblr again.",
            ) from None
        self.overruled_by = tuple((await asyncio.to_thread(secrets_elsewhere, values)).values())
        new = {name.removeprefix("tumblr."): SecretStr(value or "") for name, value in values.items()}
        self._use({"tumblr": self._settings().tumblr.model_copy(update=new)})
        self._use_credentials()

    def _use_credentials(self) -> None:
        """Let every call from now on carry the keys that the settings have."""
        credentials = _credentials(self._settings())
        self.tumblr.use(credentials)
        self.tumblr_in_bulk.use(credentials)

    def _client(self, credentials: TumblrCredentials, *, keep_back: int = 0, readers: int = 1) -> Tumblr:
        return Tumblr(
            credentials,
            api_url=self._settings().tumblr.api_url,
            deadline=self._deadline,
            retry_wait=self._retry_wait,
            governor=self._governor,
            keep_back=keep_back,
            readers=readers,
        )

    async def _note_account(self, account: Account) -> None:
        async with self._database().write() as connection:
            await consents.set_own_blogs(connection, account.blogs)

    # --- the quota over a restart -----------------------------------------------------------------------------

    async def recall_quota(self) -> None:
        """Go on from what the last process knew: a restart must not call where Tumblr asked for a pause."""
        kept = await get_fact(self._database(), _QUOTA)
        if kept is not None:
            with suppress(msgspec.DecodeError):  # another version's: the first answer tells
                self._governor.restore(msgspec.json.decode(kept, type=GovernorState))
        loop = asyncio.get_running_loop()

        def changed() -> None:  # called from the threads that talk to Tumblr
            loop.call_soon_threadsafe(self.quota_changed.set)

        self._governor.changed = changed

    async def keep_quota(self) -> None:
        """Write down what is known of the quota, for the next process."""
        async with self._database().write() as connection:
            await set_fact(connection, _QUOTA, msgspec.json.encode(self._governor.state()).decode())


@dataclass(frozen=True, slots=True)
class _Connecting:
    """A connection that the owner has begun; it is kept in memory only."""

    request: RequestToken
    consumer_key: SecretStr
    consumer_secret: SecretStr


def is_one_of(identifier: str, blogs: Sequence[Blog]) -> bool:
    """Whether an identifier, as people write them, means one of these blogs; a custom domain is never recognised."""
    try:
        parsed = parse_identifier(identifier)
    except BlogIdentifierError:
        return False
    return any(parsed in (blog.name.lower(), blog.uuid) for blog in blogs)


def _consumer(key: SecretStr, secret: SecretStr) -> dict[str, str]:
    return {"tumblr.consumer_key": key.get_secret_value(), "tumblr.consumer_secret": secret.get_secret_value()}


def _credentials(settings: Settings) -> TumblrCredentials:
    options = settings.tumblr
    return TumblrCredentials(
        consumer_key=options.consumer_key.get_secret_value(),
        consumer_secret=options.consumer_secret.get_secret_value(),
        oauth_token=options.oauth_token.get_secret_value(),
        oauth_token_secret=options.oauth_token_secret.get_secret_value(),
    )
