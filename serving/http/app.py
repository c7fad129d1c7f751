"""The ASGI application: routes, errors, and what every request passes first."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from serving.http.access_log import RequestLog, record_of
from serving.http.api_key import ApiKeyGuard
from serving.http.browser_guard import BrowserGuard
from serving.http.drain import Drain
from serving.http.errors import error_response
from serving.http.limits import HttpLimits
from serving.http.metrics import Metrics
from serving.http.request_record import CLIENT_GONE
from serving.http.routes import Api
from serving.openai.error import ApiError
from serving.openai.ports import Engine


def create_app(
    engine: Engine,
    model: str,
    *,
    start: Callable[[], None],
    shutdown: Callable[[], None],
    limits: HttpLimits,
    drain: Drain,
    api_key: str | None = None,
    hosts: Collection[str] | None = None,
) -> ASGIApp:
    """It starts the engine's thread, and shuts it down after the last request. `hosts`: see `BrowserGuard`."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        start()
        yield
        await asyncio.to_thread(shutdown)

    metrics = Metrics(model, engine.stats)
    routes = Api(engine, model, metrics, limits, drain).routes()
    handlers = {ApiError: _api_error, HTTPException: _http_error, ClientDisconnect: _gone, Exception: _bug}
    app: ASGIApp = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    if api_key is not None:
        app = ApiKeyGuard(app, api_key)
    app = BrowserGuard(app, hosts)
    return RequestLog(app, frozenset(route.path for route in routes), metrics.responded)


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
