"""The step for Tumblr: the account that posts are uploaded with, connected by OAuth."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from bot.config import SECRETS_FILE, Settings, write_secrets
from bot.errors import ConnectionFailed, TumblrError, TumblrUnauthorized, TumblrUnavailable
from bot.setup.asking import TRIES, Load, ask, ask_secret, says_yes, show_secrets
from bot.setup.needed import ACCOUNT, CONSUMER
from bot.tumblr.client import Account, Tumblr, TumblrCredentials
from bot.tumblr.connect import APPLICATIONS, RequestToken, access_token, read_verifier, request_token


def connect_tumblr(_path: Path, load: Load) -> None:
    """Ask for what the connection needs, and write the secrets down once Tumblr has accepted them."""
    settings = load()
    given = credentials_of(settings)
    elsewhere = show_secrets(settings, *ACCOUNT)
    print()
    if any(name in elsewhere for name in ACCOUNT if name not in CONSUMER):
        print("What is set there wins over what setup could write, so the account is changed there.")
        return
    if all(_texts(given)) and not says_yes("Connect an account anew? Type yes, or press Enter to keep this one: "):
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
        asyncio.run(tumblr_account(credentials, settings.tumblr.api_url))
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
    for _ in range(TRIES):
        key = _secret("OAuth consumer key", given.consumer_key, is_fixed=CONSUMER[0] in elsewhere)
        secret = _secret("Consumer secret", given.consumer_secret, is_fixed=CONSUMER[1] in elsewhere) if key else ""
        if not key or not secret:
            return None
        try:
            return key, secret, asyncio.run(request_token(key, secret, api_url=api_url))
        except ConnectionFailed as error:
            print(f"{error}\n")
            if all(name in elsewhere for name in CONSUMER):
                return None
    return None


def _secret(label: str, current: str, *, is_fixed: bool) -> str:
    return current if is_fixed else ask_secret(label, is_set=bool(current)) or current


def _authorise(key: str, secret: str, request: RequestToken, api_url: str) -> TumblrCredentials | None:
    """The account's tokens, once the person has allowed the connection; None if not."""
    _show(request)
    for _ in range(TRIES):
        pasted = ask("The address (Enter: not now): ")
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


async def tumblr_account(credentials: TumblrCredentials, api_url: str) -> Account:
    """The account that credentials belong to.

    Raises:
        TumblrError: Tumblr does not accept them, or gives no usable answer.
    """
    tumblr = Tumblr(credentials, api_url=api_url)
    try:
        return await tumblr.account()
    finally:
        await tumblr.close()


def _keep(settings: Settings, elsewhere: Mapping[str, str], credentials: TumblrCredentials) -> None:
    """Write secrets down, except for those that are set where they win anyway."""
    values = zip(ACCOUNT, _texts(credentials), strict=True)
    write_secrets(settings.data_directory, {name: text for name, text in values if text and name not in elsewhere})


def credentials_of(settings: Settings) -> TumblrCredentials:
    """What the settings hold; each is empty that is not set."""
    options = settings.tumblr
    secrets = (options.consumer_key, options.consumer_secret, options.oauth_token, options.oauth_token_secret)
    return TumblrCredentials(*(secret.get_secret_value() for secret in secrets))


def _texts(credentials: TumblrCredentials) -> tuple[str, str, str, str]:
    given = credentials
    return given.consumer_key, given.consumer_secret, given.oauth_token, given.oauth_token_secret
