"""`setup`: ask in a terminal for what the bot needs, and write it down.

A step is a function that asks for one thing; each question can be skipped with Enter, and what is set stays as it is.
It all happens in one thread, so that Ctrl+C ends a question at once; only what talks to Tumblr runs an event loop, for
that moment. The database is not opened: a running bot may hold it.
"""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bot.config import SECRETS_FILE, Settings, plain, secrets_elsewhere, write_options, write_secrets
from bot.errors import BlogIdentifierError, ConnectionFailed, TumblrError, TumblrUnauthorized, TumblrUnavailable
from bot.posts import Blog
from bot.tumblr.client import Account, Tumblr, TumblrCredentials
from bot.tumblr.connect import APPLICATIONS, RequestToken, access_token, read_verifier, request_token
from bot.tumblr.identifiers import parse_identifier

NO_TERMINAL = 2
_TRIES = 3
_CONSUMER = ("tumblr.consumer_key", "tumblr.consumer_secret")
_TOKENS = ("tumblr.oauth_token", "tumblr.oauth_token_secret")

Load = Callable[[], Settings]
"""Reads the settings as they are now, after what a step before has written."""


def setup(path: Path, load: Load) -> int:
    """Go through all steps. `path` is the settings file. Returns the exit status; 2 if there is nobody to ask.

    Raises:
        BotError: Tumblr cannot be used, or nothing can be written. What was answered before is kept.
    """
    if not sys.stdin.isatty():
        print("setup asks questions, so it needs a terminal. In a container: docker compose run --rm bot setup")
        return NO_TERMINAL
    print(f"This connects the bot with its services, and writes what you choose into {path}.")
    print("Enter skips a question and keeps what is set. Ctrl+C stops; what was answered before is kept.")
    try:
        for step in STEPS:
            step(path, load)
    except EOFError:
        print("\nThe input has ended. What was answered before is kept.")
        return NO_TERMINAL
    print("\nThat is all. A bot that is running takes it up at its next start. Next: python -m bot check")
    return 0


# --- Tumblr ---------------------------------------------------------------------------------------------------


def _tumblr(path: Path, load: Load) -> None:
    """The account, and which of its blogs are written to and learned from."""
    print("\nTumblr\n")
    connect_tumblr(load)
    settings = load()
    credentials = _credentials(settings)
    if not all(_texts(credentials)):
        return
    try:
        account = asyncio.run(_account(credentials, settings.tumblr.api_url))
    except TumblrUnauthorized as error:
        print(f"{error.sentence} Run setup again, and connect the account anew.")
        return
    print(f"Connected as {plain(account.name)}.\n")
    _choose_blogs(path, load, account.blogs)


def connect_tumblr(load: Load) -> None:
    """Ask for what the connection needs, and write the secrets down once Tumblr has accepted them."""
    settings = load()
    given = _credentials(settings)
    elsewhere = secrets_elsewhere((*_CONSUMER, *_TOKENS))
    for name, value in zip((*_CONSUMER, *_TOKENS), _texts(given), strict=True):
        place = f", by {elsewhere[name]}" if name in elsewhere else ""
        print(f"  {name}: {'set' + place if value else 'not set'}")
    print()
    if any(name in elsewhere for name in _TOKENS):
        print("What is set there wins over what setup could write, so the account is changed there.")
        return
    if all(_texts(given)) and not _is_yes(_ask("Connect an account anew? Type yes, or press Enter to keep this one: ")):
        return
    begun = _begin(given, settings.tumblr.api_url, elsewhere)
    if begun is None:
        print("Nothing was changed.")
        return
    key, secret, request = begun
    if not given.oauth_token:
        # Where tokens are in use the keys wait for the new ones: they belong together.
        _keep(settings, elsewhere, TumblrCredentials(key, secret, "", ""))
    credentials = _authorise(key, secret, request, settings.tumblr.api_url)
    if credentials is None:
        print("No account was connected; what was set stays.")
        return
    try:
        asyncio.run(_account(credentials, settings.tumblr.api_url))
    except TumblrUnauthorized as error:
        print(f"{error.sentence} So nothing was written. Run setup again.")
        return
    except TumblrError as error:
        print(f"The new connection could not be tried: {error.sentence} It is kept all the same.")
    _keep(settings, elsewhere, credentials)
    print(f"The keys are in {settings.data_directory / SECRETS_FILE}: keep that file to yourself.")


def _begin(
    given: TumblrCredentials, api_url: str, elsewhere: Mapping[str, str]
) -> tuple[str, str, RequestToken] | None:
    """A consumer key and secret that Tumblr has accepted, with a link; None if there are none."""
    if not (given.consumer_key and given.consumer_secret):
        print(f"Tumblr wants an application: register one at {APPLICATIONS}")
        print("Any name and description will do, and https://example.org/ as the default callback URL.")
        print("Then press Show secret key there, and copy both here. What you paste is not shown.\n")
    for _ in range(_TRIES):
        key = _secret("OAuth consumer key", given.consumer_key, is_fixed=_CONSUMER[0] in elsewhere)
        secret = _secret("Consumer secret", given.consumer_secret, is_fixed=_CONSUMER[1] in elsewhere) if key else ""
        if not key or not secret:
            return None
        try:
            return key, secret, asyncio.run(request_token(key, secret, api_url=api_url))
        except ConnectionFailed as error:
            print(f"{error}\n")
            if all(name in elsewhere for name in _CONSUMER):
                return None
    return None


def _secret(label: str, current: str, *, is_fixed: bool) -> str:
    if is_fixed:
        return current
    keep = " (Enter keeps the one that is set)" if current else ""
    return getpass.getpass(f"{label}{keep}: ").strip() or current


def _authorise(key: str, secret: str, request: RequestToken, api_url: str) -> TumblrCredentials | None:
    """The account's tokens, once the person has allowed the connection; None if not."""
    _show(request)
    for _ in range(_TRIES):
        pasted = _ask("The address (Enter: not now): ")
        if not pasted:
            return None
        try:
            verifier = read_verifier(pasted, request)
        except ConnectionFailed as error:
            print(f"{error}\n")
            continue
        try:
            return asyncio.run(access_token(key, secret, request, verifier, api_url=api_url))
        except ConnectionFailed as error:
            print(error)
            request = asyncio.run(request_token(key, secret, api_url=api_url))
            _show(request)
        except TumblrUnavailable as error:
            print(f"{error}\n")
    return None


def _show(request: RequestToken) -> None:
    print(f"\nOpen this link in a browser, and allow the connection:\n\n  {request.authorize_url}\n")
    print("Tumblr then leads the browser to another page. Whatever that page shows, copy its whole address.")


def _choose_blogs(path: Path, load: Load, blogs: Sequence[Blog]) -> None:
    settings = load()
    if not blogs:
        print("The account has no blog.")
        return
    print("Its blogs:")
    for number, blog in enumerate(blogs, 1):
        print(f"  {number}  {plain(blog.name)}  {plain(blog.title)}".rstrip())
    print(f"\nApproved drafts go to: {plain(settings.upload_blog_identifier) or 'not set'}")
    chosen = _choose("The number of the blog that they shall go to (Enter keeps it): ", blogs, most=1)
    if chosen:
        _write(path, load, "upload_blog_identifier", chosen[0].name)
    names = settings.download_blog_identifiers
    print(f"\nPosts are learned from: {plain(', '.join(names)) or 'not set'}")
    chosen = _choose(
        "The numbers of your blogs to learn from, such as 1 2 (Enter keeps them): ", blogs, most=len(blogs)
    )
    if chosen:
        others = [name for name in names if not _is_one_of(name, blogs)]
        _write(path, load, "download_blog_identifiers", [*(blog.name for blog in chosen), *others])


def _choose(question: str, blogs: Sequence[Blog], *, most: int) -> list[Blog]:
    """What the person chooses of a numbered list; nothing for Enter, or after three answers that are no choice."""
    for _ in range(_TRIES):
        answer = _ask(question).replace(",", " ").split()
        numbers = [int(part) if part.isascii() and part.isdecimal() and len(part) < 5 else 0 for part in answer]  # noqa: PLR2004
        if len(numbers) <= most and all(1 <= number <= len(blogs) for number in numbers):
            return [blogs[number - 1] for number in dict.fromkeys(numbers)]
        some = "one number" if most == 1 else "numbers"
        print(f"That is not among them: type {some} from 1 to {len(blogs)}.")
    print("It stays as it is.")
    return []


def _write(path: Path, load: Load, name: str, value: object) -> None:
    write_options(path, {name: value})
    if getattr(load(), name) != value:
        print(f"It is in {path}, but the environment or the command line sets {name} too, and wins.")


# --- what the steps share -------------------------------------------------------------------------------------


def _ask(question: str) -> str:
    return input(question).strip()


def _is_yes(answer: str) -> bool:
    return answer.lower() in {"y", "yes"}


async def _account(credentials: TumblrCredentials, api_url: str) -> Account:
    tumblr = Tumblr(credentials, api_url=api_url)
    try:
        return await tumblr.account()
    finally:
        await tumblr.close()


def _keep(settings: Settings, elsewhere: Mapping[str, str], credentials: TumblrCredentials) -> None:
    """Write secrets down, except for those that are set where they win anyway."""
    values = zip((*_CONSUMER, *_TOKENS), _texts(credentials), strict=True)
    write_secrets(settings.data_directory, {name: text for name, text in values if text and name not in elsewhere})


def _credentials(settings: Settings) -> TumblrCredentials:
    options = settings.tumblr
    secrets = (options.consumer_key, options.consumer_secret, options.oauth_token, options.oauth_token_secret)
    return TumblrCredentials(*(secret.get_secret_value() for secret in secrets))


def _texts(credentials: TumblrCredentials) -> tuple[str, str, str, str]:
    given = credentials
    return given.consumer_key, given.consumer_secret, given.oauth_token, given.oauth_token_secret


def _is_one_of(identifier: str, blogs: Sequence[Blog]) -> bool:
    try:
        parsed = parse_identifier(identifier)
    except BlogIdentifierError:
        return False
    return any(parsed in (blog.name, blog.uuid) for blog in blogs)


STEPS: tuple[Callable[[Path, Load], None], ...] = (_tumblr,)
