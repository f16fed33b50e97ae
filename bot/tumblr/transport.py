"""HTTP to Tumblr: a thin pytumblr, and the only file that touches its untyped code.

What stays pytumblr's: the client, the request object, OAuth1 signing, the paths. What it lacks (Tumblr's API notes,
"pytumblr 0.1.2") is added here: deadlines, a bound on the answer's size, kept connections, JSON bodies, UUIDs, and
an answer that is handed on as it came instead of being guessed at.
"""

from __future__ import annotations

import ipaddress
import logging
import ssl
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import cast
from urllib.parse import urlencode, urlsplit

import msgspec
import requests
import urllib3.exceptions
from pytumblr import TumblrRestClient
from pytumblr.request import TumblrRequest
from requests.auth import AuthBase

from bot import __version__

USER_AGENT = f"tumblrbot-discord/{__version__}"
LARGEST_ANSWER = 32 * 1024 * 1024  # bytes, unpacked
_CHUNK = 64 * 1024
_CONNECT_SECONDS = 10.0

# At DEBUG they write signatures and keys.
for _name in ("requests_oauthlib", "oauthlib", "urllib3"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class TumblrCredentials:
    """The four strings of OAuth 1.0a. They are not part of the repr."""

    consumer_key: str = field(repr=False)
    consumer_secret: str = field(repr=False)
    oauth_token: str = field(repr=False)
    oauth_token_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever it is. Header names are looked up in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_page(self) -> bool:
        """It is a web page: from the edge, not from the API. Judged by the body: content types are wrong at times."""
        return self.body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why nothing usable came back; `reason` goes on from "Tumblr …". `sent` is False only if nothing was sent."""

    sent: bool
    reason: str


Outcome = Answer | NoAnswer


def checked_api_url(api_url: str) -> str:
    """`api_url` without a slash at its end.

    Raises:
        ValueError: it is no https address (plain http is for loopback only), or has more than a host and a port.
    """
    parts = urlsplit(api_url)
    host = parts.hostname or ""
    if (
        not host
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
        or parts.scheme not in {"http", "https"}
    ):
        raise ValueError("the address of Tumblr's API is a scheme, a host and perhaps a port")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError("plain http would show the keys to everyone on the way: it is for loopback only")
    return f"{parts.scheme}://{parts.netloc}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Request(TumblrRequest):
    """pytumblr's request object with a session of its own, deadlines and bounds.

    It is used by one thread at a time. With `keep_alive` the connection is kept for the next call; without, every call
    makes a fresh one, so that a call is never sent into a connection that died meanwhile.
    """

    def __init__(self, credentials: TumblrCredentials, *, api_url: str, deadline: float, keep_alive: bool) -> None:
        super().__init__(
            credentials.consumer_key,
            credentials.consumer_secret,
            credentials.oauth_token,
            credentials.oauth_token_secret,
            api_url,
        )
        self.headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        self._api_url = api_url
        self._auth = cast("AuthBase", self.oauth)
        self._deadline = deadline
        self._kept = self._new_session() if keep_alive else None

    def get(self, url: str, params: Mapping[str, str | int] | None = None) -> Outcome:
        """GET a path."""
        return self._call("GET", f"{url}?{urlencode(params)}" if params else url)

    def post(self, url: str, params: Mapping[str, object] | None = None, files: object = None) -> Outcome:
        """POST `params` as a JSON body; Tumblr's NPF endpoints take nothing else."""
        if files:
            raise ValueError("files are not sent")
        return self._call("POST", url, msgspec.json.encode(dict(params or {})))

    def delete(self, *_args: object, **_options: object) -> Outcome:
        """Refuse: what is deleted on a blog is POSTed to `post/delete`."""
        raise ValueError("nothing is deleted this way")

    def close(self) -> None:
        """Close the kept connection, once the call that may be using it is over."""
        if self._kept is not None:
            self._kept.close()

    @contextmanager
    def _session(self) -> Generator[requests.Session]:
        if self._kept is not None:
            yield self._kept
            return
        with self._new_session() as session:
            yield session

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        # Proxies and certificates come from the environment as usual, but loopback is never reached by a proxy.
        session.trust_env = not _is_loopback(urlsplit(self._api_url).hostname or "")
        return session

    def _call(self, method: str, path: str, body: bytes | None = None) -> Outcome:
        """One call, start to end, within the deadline. Never raises for what the network does.

        The exceptions of the libraries below hold addresses and headers, so none of them leaves this function, not
        even as the context of another.
        """
        try:
            with self._session() as session:
                return self._exchange(session, method, path, body)
        except requests.RequestException as error:
            return _no_answer(error)
        # Reading the body goes past requests, so its exceptions come as they are.
        except (urllib3.exceptions.TimeoutError, TimeoutError):
            return NoAnswer(sent=True, reason="took too long to answer")
        except (urllib3.exceptions.HTTPError, HTTPException, OSError):
            return NoAnswer(sent=True, reason="broke off its answer")

    def _exchange(self, session: requests.Session, method: str, path: str, body: bytes | None) -> Outcome:
        ends = time.monotonic() + self._deadline
        headers = dict(self.headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        with session.request(
            method,
            self._api_url + path,
            data=body,
            headers=headers,
            auth=self._auth,
            timeout=(min(_CONNECT_SECONDS, self._deadline / 3), self._deadline),
            allow_redirects=False,
            stream=True,
        ) as response:
            received = bytearray()
            # read1 returns what there is: a server that sends a byte now and then cannot hold us past the deadline.
            while chunk := response.raw.read1(_CHUNK, decode_content=True):
                received += chunk
                if len(received) > LARGEST_ANSWER:
                    return NoAnswer(sent=True, reason="sent more than any answer should hold")
                if time.monotonic() > ends:
                    return NoAnswer(sent=True, reason="took too long to answer")
            return Answer(response.status_code, response.headers, bytes(received))


def _no_answer(error: requests.RequestException) -> NoAnswer:
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(cause, urllib3.exceptions.SSLError) and isinstance(cause.args[0], ssl.SSLCertVerificationError):
        return NoAnswer(sent=False, reason="did not prove who it is (its certificate is not valid)")
    if isinstance(cause, (urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.ProxyError)):
        return NoAnswer(sent=False, reason="could not be reached")
    if isinstance(error, requests.Timeout):
        return NoAnswer(sent=True, reason="took too long to answer")
    return NoAnswer(sent=True, reason="closed the connection without an answer")


class Api(TumblrRestClient):
    """pytumblr's client, narrowed to what is used, with answers as they came.

    Its decorators append ".tumblr.com" to UUIDs and its `send_api_request` changes its own defaults, so both are
    replaced. `blogname` must come from `parse_identifier`: it goes into the path as it is.
    """

    def __init__(self, credentials: TumblrCredentials, *, api_url: str, deadline: float, keep_alive: bool) -> None:
        super().__init__(credentials.consumer_key)
        self.request: Request = Request(credentials, api_url=api_url, deadline=deadline, keep_alive=keep_alive)

    def info(self) -> Outcome:
        return self.request.get("/v2/user/info")

    def user_limits(self) -> Outcome:
        return self.request.get("/v2/user/limits")

    def blog_info(self, blogname: str) -> Outcome:
        return self.request.get(f"/v2/blog/{blogname}/info")

    # Without pytumblr's `type`: that goes into the path, and NPF posts have one endpoint.
    def posts(self, blogname: str, **parameters: str | int) -> Outcome:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.request.get(f"/v2/blog/{blogname}/posts", {"npf": "true", **parameters})

    def drafts(self, blogname: str, **parameters: str | int) -> Outcome:
        return self.request.get(f"/v2/blog/{blogname}/posts/draft", {"npf": "true", **parameters})

    def queue(self, blogname: str, **parameters: str | int) -> Outcome:
        return self.request.get(f"/v2/blog/{blogname}/posts/queue", {"npf": "true", **parameters})

    def create_post(self, blogname: str, body: Mapping[str, object]) -> Outcome:
        return self.request.post(f"/v2/blog/{blogname}/posts", body)

    # NPF has no deletion of its own: this one of the old endpoints is the one in use, and takes JSON as well.
    def delete_post(self, blogname: str, id: str) -> Outcome:  # noqa: A002 - pytumblr's name
        return self.request.post(f"/v2/blog/{blogname}/post/delete", {"id": id})

    def send_api_request(self, *_args: object, **_options: object) -> Outcome:
        """Refuse pytumblr's other calls: the legacy endpoints answer 403 pages, and put the key into the address."""
        raise ValueError("only the calls above are made")


def ask_for_token(
    credentials: TumblrCredentials, address: str, step: str, *, verifier: str | None, deadline: float
) -> Outcome:
    """POST one of OAuth's two steps, "request_token" or "access_token"; the `verifier` is for the second.

    `address` is where the OAuth pages are; the answers are form-encoded.
    """
    request = Request(credentials, api_url=address, deadline=deadline, keep_alive=False)
    request.headers = {"User-Agent": USER_AGENT}
    request.oauth.client.verifier = verifier
    # Not `post`: that sends a JSON body.
    return request._call("POST", f"/oauth/{step}")  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
