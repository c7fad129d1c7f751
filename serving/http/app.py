"""The ASGI application: OpenAI's endpoints, /health and /metrics, behind guards.

The guards refuse requests without the API key and requests from other sites' web pages.
"""

import asyncio
import hmac
import math
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from uuid import uuid4

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.config import HttpConfig, ToolCalls, is_loopback
from serving.core import EngineOverloaded, PromptTooLong
from serving.http.access_log import RequestLog, get_record
from serving.http.errors import HANDLERS, error_response
from serving.http.generation import DeltaRelay, Generation
from serving.http.metrics import CONTENT_TYPE, Metrics
from serving.http.server import Drain
from serving.http.stream import Envelope, EventStream, complete_response
from serving.openai.answers import Json
from serving.openai.bodies import ChatBody, CompletionBody, SampledBody, StreamOptions
from serving.openai.error import ApiError
from serving.openai.ports import Engine
from serving.openai.prepare import Preparation, PreparedRequest
from serving.openai.validation import parse

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


def create_app(
    engine: Engine,
    model: str,
    *,
    start: Callable[[], None],
    shutdown: Callable[[], None],
    config: HttpConfig,
    drain: Drain,
    tool_calls: ToolCalls = "auto",
) -> ASGIApp:
    """The ASGI application. It calls `start` on startup, and `shutdown` in a thread after the last request."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        start()
        yield
        await asyncio.to_thread(shutdown)

    metrics = Metrics(model, engine.stats)
    routes = Api(Preparation(engine, tool_calls), engine, model, metrics, config, drain).routes()
    app: ASGIApp = Starlette(routes=routes, lifespan=lifespan, exception_handlers=HANDLERS)
    return RequestLog(add_guards(app, config), frozenset(route.path for route in routes), metrics.count_response)


class Api:
    """The routes and their handlers."""

    def __init__(
        self,
        preparation: Preparation,
        engine: Engine,
        model: str,
        metrics: Metrics,
        config: HttpConfig,
        drain: Drain,
    ) -> None:
        self._engine = engine
        self._model = model
        self._metrics = metrics
        self._config = config
        self._drain = drain
        self._created = int(time.time())
        self._preparation = preparation
        self._relay = DeltaRelay()

    def routes(self) -> list[Route]:
        return [
            Route("/health", self.health),
            Route("/metrics", self.metrics),
            Route("/reset_prefix_cache", self.reset_prefix_cache, methods=["POST"]),
            Route("/v1/models", self.models),
            Route("/v1/models/{id:path}", self.model),
            Route("/v1/chat/completions", self.chat_completions, methods=["POST"]),
            Route("/v1/completions", self.completions, methods=["POST"]),
        ]

    async def health(self, request: Request) -> Response:
        stats = self._engine.stats()
        names = ("running", "waiting", "blocks_free", "blocks_total")
        load = {name: getattr(stats, name) for name in names}
        status = "draining" if self._drain.started else "ok"
        return JSONResponse({"status": status, "model": self._model, **load})

    async def metrics(self, request: Request) -> Response:
        return Response(self._metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def reset_prefix_cache(self, request: Request) -> Response:
        """As vLLM's: later requests are computed from their first token."""
        self._engine.reset_prefix_cache()
        return JSONResponse({})

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._model_card()]})

    async def model(self, request: Request) -> Response:
        self._require_model(request.path_params["id"])
        return JSONResponse(self._model_card())

    async def chat_completions(self, request: Request) -> Response:
        body = parse(await self._read_body(request), ChatBody)
        return await self._generate(request, body, "chatcmpl", lambda: self._preparation.chat(body))

    async def completions(self, request: Request) -> Response:
        body = parse(await self._read_body(request), CompletionBody)
        return await self._generate(request, body, "cmpl", lambda: self._preparation.completion(body))

    async def _read_body(self, request: Request) -> bytes:
        if self._drain.started:
            headers = {"retry-after": str(max(1, math.ceil(self._drain.seconds))), "connection": "close"}
            raise ApiError("The server is stopping.", status=503, code="stopping", headers=headers)
        return await read_body(request, self._config.max_body_bytes, self._config.request_timeout_s)

    async def _generate(
        self, request: Request, body: SampledBody, id_prefix: str, prepare: Callable[[], PreparedRequest]
    ) -> Response:
        self._require_model(body.model)
        prepared = await asyncio.to_thread(prepare)
        first = prepared.answers[0]
        envelope = Envelope(
            id=f"{id_prefix}-{uuid4().hex}", kind=first.kind, chunk_kind=first.chunk_kind, model=self._model
        )
        generation = self._submit(request, envelope.id, prepared)
        if not body.stream:
            return await complete_response(generation, envelope, prepared.answers, request.receive)
        return EventStream(generation, envelope, prepared.answers, body.stream_options or StreamOptions())

    def _submit(self, request: Request, id: str, prepared: PreparedRequest) -> Generation:
        record = get_record(request.scope)
        try:
            generation = Generation(self._engine, self._relay, self._metrics, id, prepared, record.started_at)
        except PromptTooLong as error:
            raise ApiError(str(error), param="messages", code="context_length_exceeded") from None
        except ValueError as error:
            raise ApiError(str(error)) from None
        except EngineOverloaded as error:
            headers = {"retry-after": str(self._metrics.completions.retry_after_s(time.monotonic()))}
            raise ApiError(str(error), status=429, code="overloaded", headers=headers) from None
        record.usage = generation.usage
        return generation

    def _require_model(self, name: str) -> None:
        if name != self._model:
            message = f"The model {name[:80]!r} is not served here; this server has {self._model!r}."
            raise ApiError(message, status=404, param="model", code="model_not_found")

    def _model_card(self) -> Json:
        card = {"id": self._model, "object": "model", "created": self._created, "owned_by": "serving"}
        architecture = {**self._engine.model_facts, "max_model_len": self._engine.max_model_len}
        return {**card, "max_model_len": self._engine.max_model_len, "architecture": architecture}


async def read_body(request: Request, limit: int, timeout_s: float) -> bytes:
    """The request's body. Never holds more than `limit` bytes.

    Raises `ApiError`: 413 for more than `limit` bytes, 408 if the body takes more than `timeout_s` seconds. The HTTP
    server reads and discards the rest of a refused body, so that the client can read the error.
    """
    if _content_length(request) > limit:
        raise _too_large(limit)
    pieces: list[bytes] = []
    remaining = limit
    try:
        async with asyncio.timeout(timeout_s):
            async for piece in request.stream():
                remaining -= len(piece)
                if remaining < 0:
                    raise _too_large(limit)
                pieces.append(piece)
    except TimeoutError:
        message = f"The request's body did not arrive within {timeout_s:g} seconds."
        raise ApiError(message, status=408, code="request_timeout", headers={"connection": "close"}) from None
    return b"".join(pieces)


def _content_length(request: Request) -> int:
    """The value of the header, or 0 if it is missing or not a number of fewer than 20 digits."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 20 else 0


def _too_large(limit: int) -> ApiError:
    message = f"The request's body is larger than {limit} bytes (max_body_bytes)."
    return ApiError(message, status=413, code="request_too_large")
