"""The stand-in's OAuth pages: where a connection is asked for, allowed by a person, and given its tokens.

A person at the demo presses a button on a page; a test calls `authorize`. Either way the browser ends at an address
with a verifier in it, as with Tumblr, `#_=_` included.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from urllib.parse import urlencode

from aiohttp import web

from bot.demo.tumblr_signature import SignatureCheck
from bot.demo.tumblr_wire import FORM

CALLBACK = "/stand-in/callback"
"""The page that stands for the application's own: Tumblr leads the browser there, with the verifier."""

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 18px/1.5 sans-serif; max-width: 36em; margin: 4em auto; padding: 0 1em }}
button {{ font: inherit; padding: .4em 1.2em; margin-right: .6em }}</style></head>
<body><h1>{title}</h1>{body}</body></html>"""


class OAuthPages:
    """The routes, and what a person does at them. `signatures` keeps the tokens."""

    def __init__(self, signatures: SignatureCheck) -> None:
        self._signatures = signatures

    @property
    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/oauth/request_token", self._request_token),
            web.post("/oauth/request_token", self._request_token),
            web.get("/oauth/authorize", self._ask),
            web.post("/oauth/authorize", self._decide),
            web.post("/oauth/access_token", self._access_token),
            web.get(CALLBACK, _callback),
        ]

    def authorize(self, base_url: str, oauth_token: str, *, allow: bool = True) -> str:
        """Press *Allow* or *Deny* for a link; returns the address that the browser is led to.

        Raises:
            KeyError: there is no such link, or it was used before.
        """
        fields = {"oauth_token": oauth_token, "oauth_verifier": self._signatures.allow(oauth_token)}
        if not allow:
            self._signatures.forget(oauth_token)
            fields = {"denied": oauth_token}
        return f"{base_url}{CALLBACK}?{urlencode(fields)}#_=_"

    async def _request_token(self, request: web.Request) -> web.Response:
        return _form(*self._signatures.new_request_token(*await _signed_parts(request)))

    async def _access_token(self, request: web.Request) -> web.Response:
        return _form(*self._signatures.new_access_token(*await _signed_parts(request)))

    async def _ask(self, request: web.Request) -> web.Response:
        token = request.query.get("oauth_token", "")
        if not self._signatures.is_open(token):
            return _page("This link is not good any more", "<p>It works once. Ask for a new one.</p>", status=404)
        hidden = f'<input type="hidden" name="oauth_token" value="{html.escape(token)}">'
        return _page(
            "Allow the bot to use this account?",
            "<p>This page stands for Tumblr's. The bot could then read the account's blogs and post to them.</p>"
            f'<form method="post" action="/oauth/authorize">{hidden}'
            '<button name="decision" value="allow">Allow</button>'
            '<button name="decision" value="deny">Deny</button></form>',
        )

    async def _decide(self, request: web.Request) -> web.Response:
        form = await request.post()
        token = str(form.get("oauth_token", ""))
        if not self._signatures.is_open(token):
            return _page("This link is not good any more", "<p>It works once. Ask for a new one.</p>", status=404)
        address = self.authorize(f"http://{request.host}", token, allow=form.get("decision") == "allow")
        return web.Response(status=302, headers={"Location": address})


async def _callback(request: web.Request) -> web.Response:
    del request
    return _page(
        "Copy this page's address",
        "<p>Copy the whole address of this page from the browser's address bar, go back to Discord, press"
        " <b>Paste the address</b>, and paste it there.</p>",
    )


async def _signed_parts(request: web.Request) -> tuple[str, str, Mapping[str, str], str]:
    form = await request.text() if request.content_type == FORM else ""
    return request.method, f"http://{request.host}{request.raw_path}", request.headers, form


def _form(status: int, body: str) -> web.Response:
    return web.Response(status=status, text=body, content_type=FORM)


def _page(title: str, body: str, *, status: int = 200) -> web.Response:
    return web.Response(status=status, text=_PAGE.format(title=html.escape(title), body=body), content_type="text/html")
