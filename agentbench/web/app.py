"""The viewer's routes, the guard in front of them, and the server, which runs until it is interrupted."""

import secrets
import socket
import sys
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from ipaddress import ip_address
from urllib.parse import urlencode, urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders, QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentbench.core.errors import UserError
from agentbench.report.html import asset, check_installed, plotly
from agentbench.store import Store
from agentbench.web import attempts, review, runs, studies
from agentbench.web.rendering import page
from agentbench.web.viewer import Viewer, viewer_of

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


READING = [
    Route("/", attempts.home),
    Route("/runs", runs.runs_page, name="runs"),
    Route("/runs/{run}", runs.run_page, name="run"),
    Route("/runs/{run}/events", runs.events, name="events"),
    Route("/runs/{run}/download/{kind}", runs.download, name="download"),
    Route("/runs/{run}/agreement", review.agreement_page, name="agreement"),
    Route("/runs/{run}/cases/{case:path}", attempts.attempt_page, name="attempt"),
    Route("/compare", attempts.compare_page, name="compare"),
    Route("/suites/{suite}", attempts.history, name="history"),
    Route("/studies", studies.studies_page, name="studies"),
    Route("/studies/{study}", studies.study_page, name="study"),
]
WRITING = [
    Route("/runs/{run}/review", review.review_page, name="review"),
    Route("/runs/{run}/review/label", review.label, name="label", methods=["POST"]),
    Route("/runs/{run}/review/name", review.name_reviewer, name="name_reviewer", methods=["POST"]),
    Route("/runs/{run}/annotate", runs.annotate, name="annotate", methods=["POST"]),
    Route("/studies/{study}/annotate", studies.annotate_study, name="annotate_study", methods=["POST"]),
]
STATIC = {
    "page.css": "text/css",
    "charts.css": "text/css",
    "viewer.css": "text/css",
    "charts.js": "text/javascript",
    "viewer.js": "text/javascript",
    "plotly.js": "text/javascript",
}


def make_app(viewer: Viewer, *, hosts: Collection[str] | None = LOOPBACK, token: str | None = None) -> Starlette:
    """The application. `hosts` are the accepted host names (any when None); requests need `token` unless it is None."""
    writing = WRITING if viewer.reviewer is not None else []
    app = Starlette(
        routes=[*writing, *READING, Route("/static/{name}", static)],
        middleware=[Middleware(Guard, hosts=hosts, token=token)],
        exception_handlers={HTTPException: _refused},  # type: ignore[dict-item]  # its own exception's handler
    )
    app.state.viewer = viewer
    return app


def static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        return PlainTextResponse("no such file\n", status_code=404)
    return Response(_static(name), media_type=STATIC[name], headers={"Cache-Control": "max-age=3600"})


@cache
def _static(name: str) -> bytes:
    if name == "plotly.js":
        return plotly().encode()
    if name.startswith("viewer."):
        return (files("agentbench.web") / "static" / name).read_bytes()
    return asset(name).encode()


def _refused(request: Request, error: HTTPException) -> Response:
    return page(request, "error.html", status=error.status_code, message=error.detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """The address to listen on, and whether visitors need a token. One is created when other machines can connect."""

    host: str
    port: int
    token: str | None = None

    @property
    def local(self) -> bool:
        if self.host in LOOPBACK:
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def serve(store: Store, db: str | None, listening: Listening, *, reviewer: str | None) -> None:
    """Prints the address and serves until interrupted. `UserError` when the address is not available."""
    check_installed()  # report a missing package now, not on the first page
    token = listening.token or (None if listening.local else secrets.token_urlsafe(18))
    hosts = LOOPBACK | {listening.host} if listening.local else None
    app = make_app(viewer_of(store, db, reviewer=reviewer), hosts=hosts, token=token)
    taken = _listener(listening)
    host, port = taken.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
    print(f"agentbench: {address} {'(review)' if reviewer else '(read-only; --review to label)'}", file=sys.stderr)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, lifespan="off")
    server = uvicorn.Server(config)
    try:
        server.run(sockets=[taken])
    except KeyboardInterrupt:
        pass
    finally:
        taken.close()


def _listener(listening: Listening) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listening.host, listening.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
    except OSError as error:
        where, reason = f"{listening.host}:{listening.port}", error.strerror or error
        raise UserError(f"can't listen on {where}: {reason}. Give another --host or --port (0: a free one)") from None
    return found
