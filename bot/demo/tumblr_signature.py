# ruff: noqa: ARG002 -- oauthlib decides which arguments its hooks get
"""OAuth 1.0a as Tumblr checks it: which requests to the stand-in carry a true signature."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from typing import NamedTuple, cast

from oauthlib.common import Request
from oauthlib.oauth1 import SIGNATURE_HMAC_SHA1, RequestValidator, ResourceEndpoint

TIMESTAMP_LIFETIME = 600
"""Seconds that a client's clock may be off. A nonce is remembered for twice as long (a clock may be ahead)."""


class Credentials(NamedTuple):
    """The four strings of an application and its user. They open nothing but the stand-in, so they need no hiding."""

    consumer_key: str
    consumer_secret: str
    oauth_token: str
    oauth_token_secret: str


class SignatureCheck(RequestValidator):
    """Verifies signed requests against one set of credentials, each nonce once."""

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self.credentials = credentials
        self._nonces: dict[tuple[str, str], float] = {}
        self._endpoint = ResourceEndpoint(self)

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

    # Real keys are longer than oauthlib expects, and requests_oauthlib's nonces may be longer as well as shorter.

    @property
    def client_key_length(self) -> tuple[int, int]:
        return 1, 128

    @property
    def access_token_length(self) -> tuple[int, int]:
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
        return True  # Tumblr has none
