"""Refuses requests without the API key and requests from other sites' web pages."""

import hmac
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.config import HttpConfig, is_loopback
from serving.http.errors import error_response
from serving.openai.error import ApiError

OPEN_PATHS = frozenset(("/health",))  # need no API key
LOOPBACK_HOSTS = frozenset(("localhost", "127.0.0.1", "::1"))


def add_guards(app: ASGIApp, config: HttpConfig) -> ASGIApp:
    """Wrap the application: check the API key if one is configured, else the Host if the server is on loopback.

    The Origin is checked in every case.
    """
    if config.api_key is not None:
        return BrowserGuard(ApiKeyGuard(app, config.api_key.get_secret_value()), None)
    return BrowserGuard(app, LOOPBACK_HOSTS if is_loopback(config.host) else None)


class ApiKeyGuard:
    """Accepts requests with `Authorization: Bearer <key>`. All others get 401 before their body is read."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._key = key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS and not self._has_key(Headers(scope=scope)):
            await _unauthorized()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        # Constant time: the duration must not reveal how many characters match.
        return hmac.compare_digest(key.strip().encode(), self._key) and scheme.lower() == "bearer"


def _unauthorized() -> ASGIApp:
    message = "Incorrect or missing API key. Send the server's key as 'Authorization: Bearer <key>'."
    headers = {"www-authenticate": "Bearer"}
    return error_response(ApiError(message, status=401, code="invalid_api_key", headers=headers))


class BrowserGuard:
    """Refuses requests whose Origin is another site (403), and requests whose Host is not in `hosts` (421).

    A browser lets any page send a plain-text POST to any server. With DNS rebinding, a page's own host name resolves
    to this server: the page can then read the answers too, and only the Host header differs.
    `hosts` None accepts every Host.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        app = self._app if refusal is None else error_response(refusal)
        await app(scope, receive, send)

    def _refusal(self, headers: Headers) -> ApiError | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._hosts is not None and _hostname(f"//{host}") not in self._hosts:
            hosts = ", ".join(sorted(self._hosts))
            message = f"This server accepts only the hosts {hosts}; the request's Host is {host[:80]!r}."
            return ApiError(message, status=421, code="wrong_host")
        if origin is not None and not _same_site(origin, host):
            message = f"Web pages may not use this server; the request's Origin is {origin[:80]!r}."
            return ApiError(message, status=403, code="cross_origin")
        return None


def _hostname(url: str) -> str:
    """The URL's host name without the port; empty if the URL is invalid."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # brackets without an IPv6 address
        return ""


def _same_site(origin: str, host: str) -> bool:
    try:
        return bool(host) and urlsplit(origin).netloc == host
    except ValueError:
        return False
