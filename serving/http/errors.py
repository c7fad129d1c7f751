"""Turns the exceptions of the routes into HTTP responses."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from serving.http.access_log import CLIENT_CLOSED_REQUEST, get_record
from serving.openai.error import ApiError


class ErrorResponse(JSONResponse):
    """An error in OpenAI's form. Sending it also adds the error's code to the request's log line."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.body(), error.status, error.headers)
        self._code = error.code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        get_record(scope).error = self._code
        await super().__call__(scope, receive, send)


def error_response(error: ApiError) -> Response:
    return ErrorResponse(error)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    """404 or 405. Most often a base URL lacks its /v1, so the message names it."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path[:200]}: {error.detail}. The endpoints are under /v1."
    return error_response(ApiError(message, status=error.status_code, headers=error.headers))


async def _client_disconnected(request: Request, error: Exception) -> Response:
    """The client disconnected before it had sent the whole request."""
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _internal_error(request: Request, error: Exception) -> Response:
    """An unexpected exception. Its traceback is in the server's log, not in the response."""
    return error_response(ApiError(f"Internal error: {type(error).__name__}.", status=500))


HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    ApiError: _api_error,
    HTTPException: _http_error,
    ClientDisconnect: _client_disconnected,
    Exception: _internal_error,
}
