"""Controls access to the viewer, and what a browser may do with its responses."""

import secrets
from collections.abc import Collection
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import MutableHeaders, QueryParams
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "agentbench_token"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

HEADERS = {
    # No external resources, inline scripts, frames or external form targets. Plotly writes style attributes.
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Admits requests to one of `hosts` (any when None) with the `token` (unless it is None).

    The check of host names keeps a foreign page from reaching the viewer under a name of its own (DNS rebinding). A
    request that writes must come from the viewer's own pages.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None, token: str | None) -> None:
        self._app = app
        self._hosts = hosts
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = self._refusal(Request(scope)) or self._app
        await answer(scope, receive, with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if self._hosts is not None and _host(request) not in self._hosts:
            return PlainTextResponse("agentbench ui answers only requests to its own address\n", status_code=421)
        if self._token is not None and (refused := self._token_refusal(request, self._token)):
            return refused
        if request.method not in ("GET", "HEAD") and not _from_here(request):
            return PlainTextResponse("this was not sent by a page of the viewer\n", status_code=403)
        return None

    def _token_refusal(self, request: Request, token: str) -> Response | None:
        """None when the request has the token. A token in the address is moved to a cookie."""
        sent = request.query_params.get("token")
        if sent is not None and _same(sent, token):
            return _remembered(request, token)
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(bearer, token):
            return None
        if _same(request.cookies.get(COOKIE, ""), token):
            return None
        return PlainTextResponse("open the address with ?token=… that agentbench ui printed\n", status_code=401)


def _same(sent: str, token: str) -> bool:
    return secrets.compare_digest(sent.encode(), token.encode())


def _remembered(request: Request, token: str) -> Response:
    rest = [(name, value) for name, value in QueryParams(request.url.query).multi_items() if name != "token"]
    # A path that begins with two slashes would redirect to another host.
    path = "/" + request.url.path.lstrip("/")
    answer = RedirectResponse(path + (f"?{urlencode(rest)}" if rest else ""), status_code=303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure)
    return answer


def _host(request: Request) -> str:
    return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""


def _from_here(request: Request) -> bool:
    """Whether the request comes from the viewer's own pages. Browsers send its origin; a client without one is no
    browser, and needs the form's token.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
