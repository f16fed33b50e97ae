"""Connecting an account: the three steps of OAuth 1.0a, in which a person carries an address from Tumblr to us.

1. `request_token` asks for a link, at which the person allows the application to act for the account.
2. Tumblr then leads the browser to the application's callback address. Nothing of ours listens there: the person
   copies the address of that page, whatever the page shows, and `read_verifier` finds in it what is needed.
3. `access_token` trades that for tokens, which do not expire.

No error here holds what was pasted or what Tumblr sent: both may be keys.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NoReturn
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from bot.config import is_loopback
from bot.errors import BotError, ConnectionFailed, TumblrForbidden, TumblrQuotaReached, TumblrUnavailable
from bot.tumblr.transport import NoAnswer, Outcome, TumblrCredentials, ask_for_token, checked_api_url

APPLICATIONS = "https://www.tumblr.com/oauth/apps"
"""Where a person registers an application, and finds its consumer key and secret."""
PERMISSIONS = "https://www.tumblr.com/settings/apps"
"""Where a person takes an application's permission back."""

_TUMBLR = "https://www.tumblr.com"
_GRACE = 0.5  # seconds; the thread knows more than the clock does, so it may speak first
_QUOTA_REST = 3600.0  # seconds; these pages name no time, and Tumblr's limits are by the hour
_LONGEST_ANSWER = 16 * 1024  # bytes; real ones have under 200
_LATER = "Try again in a few minutes."
_NEW_LINK = "Begin again, with a new link."
_WHOLE = "Copy the whole address of the page that Tumblr led to, from the browser's address bar."
_KEY = re.compile(r"[!-~]{1,256}")
# Spaces and line breaks, inside too (Discord wraps, mail breaks lines), and what nobody sees: no address has any.
_INVISIBLE = re.compile(r"[\s\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]+")
_AROUND = "<>()[]`'\"\u201c\u201d\u2018\u2019\u00ab\u00bb"


@dataclass(frozen=True, slots=True)
class RequestToken:
    """A connection that has been begun. `authorize_url` is for the person; nothing of it is in the repr."""

    token: str = field(repr=False)
    secret: str = field(repr=False)
    authorize_url: str = field(repr=False)


def oauth_address(api_url: str) -> str:
    """Where the OAuth pages are: Tumblr's site, or the stand-in itself where the API is on this machine.

    Raises:
        ValueError: `api_url` is not acceptable.
    """
    url = checked_api_url(api_url)
    return url if is_loopback(urlsplit(url).hostname or "") else _TUMBLR


# --- 1: the link ----------------------------------------------------------------------------------------------


async def request_token(
    consumer_key: str, consumer_secret: str, *, api_url: str, deadline: float = 20.0
) -> RequestToken:
    """Ask Tumblr for a link at which the person may allow the connection. `deadline` is in seconds, in all.

    Raises:
        ConnectionFailed: Tumblr does not accept the consumer key and secret.
        TumblrForbidden, TumblrQuotaReached, TumblrUnavailable: no usable answer.
        ValueError: `api_url` is not acceptable.
    """
    address = oauth_address(api_url)
    credentials = TumblrCredentials(consumer_key, consumer_secret, "", "")
    refused = ConnectionFailed(
        "Tumblr does not accept the consumer key and secret, or this machine's clock is wrong.",
        f"Copy both anew from {APPLICATIONS}, and see that the clock is right.",
    )
    fields = await _ask(credentials, address, "request_token", None, deadline, refused=refused, next_step=_LATER)
    token = fields["oauth_token"]
    link = f"{address}/oauth/authorize?{urlencode({'oauth_token': token})}"
    return RequestToken(token, fields["oauth_token_secret"], link)


# --- 2: what the person brings back ---------------------------------------------------------------------------


def read_verifier(pasted: str, request: RequestToken) -> str:
    """The verifier in the address that Tumblr led the browser to, however it was copied.

    Raises:
        ConnectionFailed: it is another address, another connection's, only a part, or the person said no.
    """
    text = _INVISIBLE.sub("", pasted).strip(_AROUND)
    if not text:
        raise ConnectionFailed("Nothing was pasted.", _WHOLE)
    if "=" not in text and "%3d" in text.lower():
        text = unquote(text)  # copied out of a link, as a whole
    fields = _fields_of(text)
    if fields is None:
        raise ConnectionFailed("That is not an address.", _WHOLE)
    if "denied" in fields:
        raise ConnectionFailed("Tumblr was told not to allow the connection.", _NEW_LINK)
    token, verifier = fields.get("oauth_token"), fields.get("oauth_verifier")
    if token is None and verifier is None:
        raise ConnectionFailed(
            "That address holds no permission: it is another page's, or the connection was not allowed.", _WHOLE
        )
    if token is not None and token != request.token:
        raise ConnectionFailed(
            "That address belongs to another link than the last one.",
            "Open the newest link, allow the connection there, and copy the address that follows.",
        )
    if verifier is None and "/oauth/authorize" in text:
        raise ConnectionFailed(
            "That is the address of the question, not of the page that follows.",
            "Open it, allow the connection, and copy the address of the page that comes then.",
        )
    if token is None or verifier is None or not _KEY.fullmatch(verifier):
        raise ConnectionFailed("That is only a part of the address.", _WHOLE)
    return verifier


def _fields_of(text: str) -> dict[str, str] | None:
    """The query's fields; None if the text is neither an address nor a query.

    Tumblr ends the address with `#_=_`, which some programs encode.
    """
    address = text.partition("#")[0]
    before, mark, query = address.partition("?")
    if not mark:
        query = "" if "://" in before else before
    if not mark and "=" not in query and "://" not in before:
        return None
    pairs = parse_qsl(query, keep_blank_values=True)
    # The first of each name counts: what somebody appended does not replace what Tumblr wrote.
    return {name: value.partition("#")[0] for name, value in reversed(pairs)}


# --- 3: the tokens --------------------------------------------------------------------------------------------


async def access_token(
    consumer_key: str,
    consumer_secret: str,
    request: RequestToken,
    verifier: str,
    *,
    api_url: str,
    deadline: float = 20.0,
) -> TumblrCredentials:
    """Trade the verifier for the account's tokens: it works once. `deadline` is in seconds, in all.

    Raises:
        ConnectionFailed: Tumblr does not accept the verifier (any more).
        TumblrForbidden, TumblrQuotaReached, TumblrUnavailable: no usable answer. The verifier may be used up.
        ValueError: `api_url` is not acceptable.
    """
    credentials = TumblrCredentials(consumer_key, consumer_secret, request.token, request.secret)
    refused = ConnectionFailed(
        "Tumblr does not accept this address: it works once, whole, and not for long.",
        "See that all of it was copied, or begin again with a new link.",
    )
    fields = await _ask(
        credentials,
        oauth_address(api_url),
        "access_token",
        verifier,
        deadline,
        refused=refused,
        next_step="Paste the address once more; if Tumblr does not accept it then, begin again with a new link.",
    )
    return TumblrCredentials(consumer_key, consumer_secret, fields["oauth_token"], fields["oauth_token_secret"])


# --- the calls ------------------------------------------------------------------------------------------------


async def _ask(
    credentials: TumblrCredentials,
    address: str,
    step: str,
    verifier: str | None,
    deadline: float,
    *,
    refused: BotError,
    next_step: str,
) -> Mapping[str, str]:
    """A call, and the two fields in its answer; `refused` is what a refusal means, `next_step` is for the rest."""
    call: Future[Outcome] = Future()
    call.set_running_or_notify_cancel()  # a thread cannot be stopped, so the call is not cancelled with its caller

    def run() -> None:
        try:
            call.set_result(ask_for_token(credentials, address, step, verifier=verifier, deadline=deadline))
        except BaseException as error:  # noqa: BLE001 - handed to the caller, who is in another thread
            call.set_exception(error)

    # A thread of its own, which cannot keep the process from ending: a name that does not resolve takes its time.
    threading.Thread(target=run, name="tumblr-connect", daemon=True).start()
    try:
        async with asyncio.timeout(deadline + _GRACE):
            outcome = await asyncio.wrap_future(call)
    except TimeoutError:
        outcome = NoAnswer(sent=True, reason="took too long to answer")
    return _understand(outcome, refused, next_step)


def _understand(outcome: Outcome, refused: BotError, next_step: str) -> Mapping[str, str]:
    if isinstance(outcome, NoAnswer):
        raise TumblrUnavailable(f"Tumblr {outcome.reason}.", next_step)
    if outcome.status != HTTPStatus.OK:
        _refuse(outcome.status, refused, next_step)
    fields = dict(parse_qsl(outcome.body.decode("utf-8", "replace"))) if len(outcome.body) <= _LONGEST_ANSWER else {}
    if not all(_KEY.fullmatch(fields.get(name, "")) for name in ("oauth_token", "oauth_token_secret")):
        raise TumblrUnavailable("Tumblr's answer could not be read.", next_step)
    return fields


def _refuse(status: int, refused: BotError, next_step: str) -> NoReturn:
    match status:
        case HTTPStatus.BAD_REQUEST | HTTPStatus.UNAUTHORIZED:
            raise refused
        case HTTPStatus.FORBIDDEN:
            raise TumblrForbidden(
                "Tumblr does not let this machine's address connect.",
                "Do not try again for some hours; if it stays so, connect from another network.",
            )
        case HTTPStatus.TOO_MANY_REQUESTS:
            raise TumblrQuotaReached(
                "Tumblr's limit on calls is reached.",
                "Begin again in an hour, with a new link.",
                retry_at=time.time() + _QUOTA_REST,
            )
        case _:
            raise TumblrUnavailable(f"Tumblr gave no usable answer (status {status}).", next_step)
