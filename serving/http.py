"""The routes: OpenAI's endpoints and /health."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serving.api_error import ApiError
from serving.completion import Envelope, Json
from serving.engine import EngineOverloaded, PromptTooLong
from serving.engine_port import Engine
from serving.event_stream import EventStream, error_response, whole
from serving.generation import Generation
from serving.openai_api import ChatBody, CompletionBody, SampledBody, StreamOptions
from serving.parameters import parse
from serving.preparation import Preparation, Prepared

RETRY_AFTER_S = "1"


class Api:
    """The handlers of one engine's routes."""

    def __init__(self, engine: Engine, model: str) -> None:
        self._engine = engine
        self._model = model
        self._created = int(time.time())
        self._preparation = Preparation(engine)

    def routes(self) -> list[Route]:
        return [
            Route("/health", self.health),
            Route("/v1/models", self.models),
            Route("/v1/models/{id:path}", self.model),
            Route("/v1/chat/completions", self.chat_completions, methods=["POST"]),
            Route("/v1/completions", self.completions, methods=["POST"]),
        ]

    async def health(self, request: Request) -> Response:
        stats = self._engine.stats()
        names = ("running", "waiting", "blocks_free", "blocks_total")
        load = {name: getattr(stats, name) for name in names}
        return JSONResponse({"status": "ok", "model": self._model, **load})

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._card()]})

    async def model(self, request: Request) -> Response:
        self._require_model(request.path_params["id"])
        return JSONResponse(self._card())

    async def chat_completions(self, request: Request) -> Response:
        body = parse(await request.body(), ChatBody)
        return await self._answer(request, body, "chatcmpl", lambda: self._preparation.chat(body))

    async def completions(self, request: Request) -> Response:
        body = parse(await request.body(), CompletionBody)
        return await self._answer(request, body, "cmpl", lambda: self._preparation.completion(body))

    async def _answer(
        self, request: Request, body: SampledBody, prefix: str, prepare: Callable[[], Prepared]
    ) -> Response:
        self._require_model(body.model)
        prepared = await asyncio.to_thread(prepare)
        envelope = Envelope(id=f"{prefix}-{uuid4().hex}", model=self._model)
        generation = self._submit(envelope.id, prepared)
        if not body.stream:
            return await whole(generation, envelope, prepared.answer, request.receive)
        return EventStream(generation, envelope, prepared.answer, body.stream_options or StreamOptions())

    def _submit(self, id: str, prepared: Prepared) -> Generation:
        try:
            return Generation(self._engine, id, prepared)
        except PromptTooLong as error:
            raise ApiError(str(error), param="messages", code="context_length_exceeded") from None
        except ValueError as error:
            raise ApiError(str(error)) from None
        except EngineOverloaded as error:
            headers = {"retry-after": RETRY_AFTER_S}
            raise ApiError(str(error), status=429, code="overloaded", headers=headers) from None

    def _require_model(self, name: str) -> None:
        if name != self._model:
            message = f"The model {name!r} is not served here; this server has {self._model!r}."
            raise ApiError(message, status=404, param="model", code="model_not_found")

    def _card(self) -> Json:
        card = {"id": self._model, "object": "model", "created": self._created, "owned_by": "serving"}
        return {**card, "max_model_len": self._engine.max_model_len}


def create_app(engine: Engine, model: str, *, start: Callable[[], None], shutdown: Callable[[], None]) -> Starlette:
    """The application. It starts the engine's thread, and shuts it down after the last request."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        start()
        yield
        await asyncio.to_thread(shutdown)

    handlers = {ApiError: _api_error, HTTPException: _http_error, Exception: _bug}
    return Starlette(routes=Api(engine, model).routes(), lifespan=lifespan, exception_handlers=handlers)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    """404 and 405: the wrong path is the most common mistake with a base URL."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}. The endpoints are under /v1."
    return error_response(ApiError(message, status=error.status_code, headers=error.headers))


async def _bug(request: Request, error: Exception) -> Response:
    """The traceback is in the server's log."""
    return error_response(ApiError(f"Internal error: {type(error).__name__}.", status=500))
