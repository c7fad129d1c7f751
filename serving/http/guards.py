"""Refuses requests without the API key, and requests that a web page of another site sends."""

import hmac
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.config import HttpConfig, is_loopback
from serving.http.errors import error_response
from serving.openai.error import ApiError

OPEN_PATHS = frozenset(("/health",))
LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


def guarded(app: ASGIApp, config: HttpConfig) -> ASGIApp:
    """The application behind the guards that the configuration asks for."""
    if config.api_key is not None:
        return BrowserGuard(ApiKeyGuard(app, config.api_key.get_secret_value()), None)
    return BrowserGuard(app, LOOPBACK if is_loopback(config.host) else None)


class ApiKeyGuard:
    """Lets a request through that has `Authorization: Bearer <key>`; any other gets 401, before its body is read."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._key = key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS and not self._is_known(Headers(scope=scope)):
            await _refusal()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        # In a time that does not depend on how much of the key is right.
        return hmac.compare_digest(key.strip().encode(), self._key) and scheme.lower() == "bearer"


def _refusal() -> ASGIApp:
    message = "Incorrect or missing API key. Send the server's key as 'Authorization: Bearer <key>'."
    headers = {"www-authenticate": "Bearer"}
    return error_response(ApiError(message, status=401, code="invalid_api_key", headers=headers))


class BrowserGuard:
    """Refuses what a page of another site sends, and, where `hosts` are given, what is meant for another host.

    A page may send a POST of plain text without asking. One whose name is made to point here (DNS rebinding) may read
    the answers too; its requests name its own host.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        answer = self._app if refusal is None else error_response(refusal)
        await answer(scope, receive, send)

    def _refusal(self, headers: Headers) -> ApiError | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._hosts is not None and _name_of(f"//{host}") not in self._hosts:
            message = (
                f"The server answers to {', '.join(sorted(self._hosts))} only; the request's Host is {host[:80]!r}."
            )
            return ApiError(message, status=421, code="wrong_host")
        if origin is not None and not _same_site(origin, host):
            message = f"Web pages may not use this server; the request's Origin is {origin[:80]!r}."
            return ApiError(message, status=403, code="cross_origin")
        return None


def _name_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # brackets without an address
        return ""


def _same_site(origin: str, host: str) -> bool:
    try:
        return bool(host) and urlsplit(origin).netloc == host
    except ValueError:
        return False
