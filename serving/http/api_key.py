"""Who may use the server."""

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.http.errors import error_response
from serving.openai.error import ApiError

OPEN_PATHS = frozenset(("/health",))


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
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # In a time that does not depend on how much of the key is right.
        return hmac.compare_digest(given.strip().encode(), self._key) and scheme.lower() == "bearer"


def _refusal() -> ASGIApp:
    message = "Incorrect or missing API key. Send the server's key as 'Authorization: Bearer <key>'."
    headers = {"www-authenticate": "Bearer"}
    return error_response(ApiError(message, status=401, code="invalid_api_key", headers=headers))
