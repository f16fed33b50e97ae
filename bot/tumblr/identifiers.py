"""Which blog does a text mean?

People paste names, custom domains, UUIDs, addresses of blogs and addresses of posts; all of them are typed into
Discord by somebody, and the result goes into the path of a signed request.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from bot.errors import BlogIdentifierError

_NAME = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)
_UUID = re.compile(r"[tT]:([A-Za-z0-9_-]{1,64})", re.ASCII)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_TOP_LABEL = re.compile(r"[a-z]{2,63}|xn--[a-z0-9-]{1,59}", re.ASCII)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.ASCII | re.IGNORECASE)
_LONGEST_INPUT = 2048
_LONGEST_DOMAIN = 253

# The site itself: the blog is named by the path.
_SITE_HOSTS = frozenset({"tumblr.com", "www.tumblr.com", "m.tumblr.com", "at.tumblr.com"})
# What stands before the name in such a path: /blog/view/staff, /dashboard/blog/staff/123.
_PATH_PREFIXES = (("dashboard", "blog"), ("blog", "view"), ("blog",))
# Pages of the site that could pass for names.
# fmt: off
_SITE_PAGES = frozenset({
    "about", "account", "activity", "apps", "blog", "changes", "communities", "community", "dashboard",
    "developers", "docs", "explore", "following", "help", "inbox", "likes", "live", "login",
    "logout", "message", "messaging", "new", "oauth", "policy", "press", "privacy", "reblog",
    "register", "search", "security", "settings", "share", "support", "tag", "tagged", "tips",
    "tumblrmart", "v2",
})
# fmt: on
_NO_BLOGS = frozenset({"api", "assets", "media", "safe", "static"})


def parse_identifier(text: str) -> str:
    """The one canonical, path-safe identifier of the blog that `text` means.

    Returns:
        A bare lower-case name (`staff`), a custom domain (`blog.example.org`) or a UUID (`t:…`, case kept).

    Raises:
        BlogIdentifierError: the text names no blog.
    """
    if len(text) > _LONGEST_INPUT:
        raise _error()
    # Discord's <address> keeps a link from being embedded; zero-width characters come along when people copy.
    bare = re.sub("[\u200b-\u200d\u2060\ufeff]", "", text).strip().strip("<>`").strip()
    if uuid := _UUID.fullmatch(bare):
        return f"t:{uuid[1]}"
    if bare.startswith("@"):
        return _name(bare[1:])
    scheme = _SCHEME.match(bare)
    if scheme and scheme[0].lower() not in {"http://", "https://"}:
        raise _error()
    address = re.split(r"[?#]", bare[scheme.end() :] if scheme else bare, maxsplit=1)[0]
    host, *segments = address.split("/")
    host = host.removesuffix(".")
    if "." not in host:
        return _name(bare)
    return _from_host(host, [segment for segment in segments if segment])


def _from_host(host: str, segments: list[str]) -> str:
    host = _ascii_host(host)
    if host in _SITE_HOSTS:
        return _from_path(segments)
    if host.endswith(".tumblr.com"):
        label = host.removesuffix(".tumblr.com").removeprefix("www.")
        if label in _NO_BLOGS:
            raise _error()
        return _name(label)
    *labels, top = host.split(".")
    if len(host) > _LONGEST_DOMAIN or not _TOP_LABEL.fullmatch(top) or not all(map(_LABEL.fullmatch, labels)):
        raise _error()
    return host


def _from_path(segments: list[str]) -> str:
    """The name in a path of www.tumblr.com."""
    segments = [unquote(segment) for segment in segments]
    for prefix in _PATH_PREFIXES:
        if tuple(segments[: len(prefix)]) == prefix:
            segments = segments[len(prefix) :]
            break
    if not segments:
        raise _error()
    if uuid := _UUID.fullmatch(segments[0]):
        return f"t:{uuid[1]}"
    name = _name(segments[0].removeprefix("@"))
    if name in _SITE_PAGES and not segments[0].startswith("@"):
        raise _error()
    return name


def _name(text: str) -> str:
    # ASCII first: lower() would turn the Kelvin sign into a k.
    if not text.isascii() or not _NAME.fullmatch(text.lower()):
        raise _error()
    return text.lower()


def _ascii_host(host: str) -> str:
    """A host as it stands in a request: lower-case, names in other scripts as `xn--`."""
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise _error() from None


def _error() -> BlogIdentifierError:
    # The text itself is left out: it may be anything, a token pasted into the wrong field included.
    return BlogIdentifierError(
        "That does not name a Tumblr blog.",
        "Give its name, like `staff`, its own domain, or the address of the blog or of one of its posts.",
    )
