"""Errors as HTTP responses: which response each exception of a route becomes."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from serving.http.access_log import CLIENT_GONE, record_of
from serving.openai.error import ApiError


def error_response(error: ApiError) -> JSONResponse:
    return JSONResponse(error.body(), error.status, error.headers)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    record_of(request.scope).error = error.code
    return error_response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    """404 and 405: the wrong path is the most common mistake with a base URL."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path[:200]}: {error.detail}. The endpoints are under /v1."
    return error_response(ApiError(message, status=error.status_code, headers=error.headers))


async def _gone(request: Request, error: Exception) -> Response:
    """The client went away before it had sent everything."""
    return Response(status_code=CLIENT_GONE)


async def _bug(request: Request, error: Exception) -> Response:
    """The traceback is in the server's log."""
    return error_response(ApiError(f"Internal error: {type(error).__name__}.", status=500))


HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    ApiError: _api_error,
    HTTPException: _http_error,
    ClientDisconnect: _gone,
    Exception: _bug,
}
