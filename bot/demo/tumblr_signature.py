# ruff: noqa: ARG002 -- oauthlib decides which arguments its hooks get
"""OAuth 1.0a as Tumblr checks it: which requests to the stand-in carry a true signature, and who gets tokens."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, cast
from urllib.parse import urlencode

from oauthlib.common import Request
from oauthlib.oauth1 import (
    SIGNATURE_HMAC_SHA1,
    AccessTokenEndpoint,
    RequestTokenEndpoint,
    RequestValidator,
    ResourceEndpoint,
)

TIMESTAMP_LIFETIME = 600
"""Seconds that a client's clock may be off. A nonce is remembered for twice as long (a clock may be ahead)."""
REQUEST_TOKEN_LIFETIME = 900
"""Seconds in which a person has to allow a connection."""


class Credentials(NamedTuple):
    """The four strings of an application and its user. They open nothing but the stand-in, so they need no hiding."""

    consumer_key: str
    consumer_secret: str
    oauth_token: str
    oauth_token_secret: str


@dataclass(slots=True)
class _Connecting:
    """A request token that was given out; `verifier` once its person has allowed it."""

    secret: str
    verifier: str | None = None
    given_at: float = field(default_factory=time.time)


class SignatureCheck(RequestValidator):
    """Verifies signed requests against one set of credentials, each nonce once, and gives these out."""

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self.credentials = credentials
        self._nonces: dict[tuple[str, str], float] = {}
        self._endpoint = ResourceEndpoint(self)
        self._request_tokens = _RequestTokens(self)
        self._access_tokens = _AccessTokens(self)
        self._connecting: dict[str, _Connecting] = {}

    def accepts(self, method: str, url: str, headers: Mapping[str, str], form: str) -> bool:
        """Whether a request is signed with the credentials; `url` as it was sent, `form` a form-encoded body or "".

        A JSON body is no part of the signature.
        """
        try:
            verdict = cast(  # typeshed has no types for it
                "tuple[bool, object]",
                self._endpoint.validate_protected_resource_request(url, method, form, dict(headers)),
            )
        except ValueError:
            return False  # a query or header that oauthlib cannot read
        return verdict[0]

    # --- connecting -------------------------------------------------------------------------------------------

    def new_request_token(self, method: str, url: str, headers: Mapping[str, str], form: str) -> tuple[int, str]:
        """The status and the body of the answer to a request for a request token."""
        return _answered_by(
            cast("_Respond", self._request_tokens.create_request_token_response), method, url, headers, form
        )

    def new_access_token(self, method: str, url: str, headers: Mapping[str, str], form: str) -> tuple[int, str]:
        """The same for the access token: that of `credentials`, once for each request token that was allowed."""
        return _answered_by(
            cast("_Respond", self._access_tokens.create_access_token_response), method, url, headers, form
        )

    def is_open(self, token: str) -> bool:
        """Whether a person can still decide about this request token."""
        known = self._connecting.get(token)
        return known is not None and known.verifier is None and time.time() - known.given_at < REQUEST_TOKEN_LIFETIME

    def allow(self, token: str) -> str:
        """Allow a request token, and return its verifier. Raises KeyError if nobody can decide about it any more."""
        if not self.is_open(token):
            raise KeyError(token)
        verifier = self._connecting[token].verifier = secrets.token_hex(25)
        return verifier

    def forget(self, token: str) -> None:
        """Make a request token worthless: it was used, or its person said no."""
        self._connecting.pop(token, None)

    # Real keys are longer than oauthlib expects, and requests_oauthlib's nonces may be longer as well as shorter.

    @property
    def client_key_length(self) -> tuple[int, int]:
        return 1, 128

    @property
    def access_token_length(self) -> tuple[int, int]:
        return 1, 128

    @property
    def request_token_length(self) -> tuple[int, int]:
        return 1, 128

    @property
    def verifier_length(self) -> tuple[int, int]:
        return 1, 128

    @property
    def nonce_length(self) -> tuple[int, int]:
        return 1, 128

    @property
    def safe_characters(self) -> set[str]:
        return {chr(code) for code in range(0x21, 0x7F)}

    @property
    def allowed_signature_methods(self) -> tuple[str, ...]:
        return (SIGNATURE_HMAC_SHA1,)

    @property
    def enforce_ssl(self) -> bool:
        return False  # the stand-in speaks plain http, to loopback only

    @property
    def timestamp_lifetime(self) -> int:
        return TIMESTAMP_LIFETIME

    @property
    def dummy_client(self) -> str:
        return "nobody"

    @property
    def dummy_access_token(self) -> str:
        return "nobody"

    @property
    def dummy_request_token(self) -> str:
        return "nobody"

    @property
    def realms(self) -> list[str]:
        return []  # Tumblr has none

    def get_client_secret(self, client_key: str, request: Request) -> str:
        return self.credentials.consumer_secret

    def get_access_token_secret(self, client_key: str, token: str, request: Request) -> str:
        return self.credentials.oauth_token_secret

    def validate_client_key(self, client_key: str, request: Request) -> bool:
        return hmac.compare_digest(client_key.encode(), self.credentials.consumer_key.encode())

    def validate_access_token(self, client_key: str, token: str, request: Request) -> bool:
        return hmac.compare_digest(token.encode(), self.credentials.oauth_token.encode())

    def validate_timestamp_and_nonce(
        self,
        client_key: str,
        timestamp: str,
        nonce: str,
        request: Request,
        request_token: str | None = None,
        access_token: str | None = None,
    ) -> bool:
        now = time.time()
        while self._nonces and now - self._nonces[oldest := next(iter(self._nonces))] > 2 * TIMESTAMP_LIFETIME:
            del self._nonces[oldest]
        if (timestamp, nonce) in self._nonces:
            return False
        self._nonces[timestamp, nonce] = now
        return True

    def validate_realms(
        self, client_key: str, token: str, request: Request, uri: str | None = None, realms: list[str] | None = None
    ) -> bool:
        return True

    # What follows is asked on the way to an access token.

    def get_default_realms(self, client_key: str, request: Request) -> list[str]:
        return []

    def validate_requested_realms(self, client_key: str, realms: list[str], request: Request) -> bool:
        return True

    def validate_redirect_uri(self, client_key: str, redirect_uri: str, request: Request) -> bool:
        return True

    def save_request_token(self, token: object, request: Request) -> None:
        given = cast("dict[str, str]", token)  # typeshed says that it is a text
        self._connecting[given["oauth_token"]] = _Connecting(given["oauth_token_secret"])

    def get_request_token_secret(self, client_key: str, token: str, request: Request) -> str:
        known = self._connecting.get(token)
        return "nobody's" if known is None else known.secret

    def validate_request_token(self, client_key: str, token: str, request: Request) -> bool:
        return token in self._connecting

    def validate_verifier(self, client_key: str, token: str, verifier: str, request: Request) -> bool:
        known = self._connecting.get(token)
        given = None if known is None else known.verifier
        return given is not None and hmac.compare_digest(verifier.encode(), given.encode())

    def invalidate_request_token(self, client_key: str, request_token: str, request: Request) -> None:
        self.forget(request_token)


class _RequestTokens(RequestTokenEndpoint):
    """oauthlib's endpoint, without the callback address in each request: Tumblr has that of the application."""

    def validate_request_token_request(self, request: Request) -> tuple[bool, Request]:
        request.redirect_uri = request.redirect_uri or "the application's own"
        return cast("tuple[bool, Request]", super().validate_request_token_request(request))


class _AccessTokens(AccessTokenEndpoint):
    """oauthlib's endpoint, with one account's tokens instead of new ones."""

    def create_access_token(self, request: Request, credentials: Mapping[str, str]) -> str:
        tokens = cast("SignatureCheck", self.request_validator).credentials
        return urlencode({"oauth_token": tokens.oauth_token, "oauth_token_secret": tokens.oauth_token_secret})


_Respond = Callable[[str, str, str, dict[str, str]], tuple[object, str | None, int]]


def _answered_by(respond: _Respond, method: str, url: str, headers: Mapping[str, str], form: str) -> tuple[int, str]:
    try:
        _, body, status = respond(url, method, form, dict(headers))
    except ValueError:
        return 400, ""  # a query or header that oauthlib cannot read
    return status, body or ""
