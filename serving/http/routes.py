"""The routes: OpenAI's endpoints, /health and /metrics."""

import asyncio
import time
from collections.abc import Callable
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serving.http.access_log import record_of
from serving.http.delta_relay import DeltaRelay
from serving.http.drain import Drain
from serving.http.envelope import Envelope
from serving.http.generation import Generation
from serving.http.limits import HttpLimits
from serving.http.metrics import CONTENT_TYPE, Metrics
from serving.http.request_body import read_body
from serving.http.stream import EventStream, whole
from serving.openai.answers import Json
from serving.openai.bodies import ChatBody, CompletionBody, SampledBody, StreamOptions
from serving.openai.error import ApiError
from serving.openai.ports import Engine
from serving.openai.prepare import Preparation, Prepared
from serving.openai.validation import parse
from serving.refusals import EngineOverloaded, PromptTooLong


class Api:
    """The handlers of one engine's routes."""

    def __init__(self, engine: Engine, model: str, metrics: Metrics, limits: HttpLimits, drain: Drain) -> None:
        self._engine = engine
        self._model = model
        self._metrics = metrics
        self._limits = limits
        self._drain = drain
        self._created = int(time.time())
        self._preparation = Preparation(engine)
        self._relay = DeltaRelay()

    def routes(self) -> list[Route]:
        return [
            Route("/health", self.health),
            Route("/metrics", self.metrics),
            Route("/v1/models", self.models),
            Route("/v1/models/{id:path}", self.model),
            Route("/v1/chat/completions", self.chat_completions, methods=["POST"]),
            Route("/v1/completions", self.completions, methods=["POST"]),
        ]

    async def health(self, request: Request) -> Response:
        stats = self._engine.stats()
        names = ("running", "waiting", "blocks_free", "blocks_total")
        load = {name: getattr(stats, name) for name in names}
        status = "draining" if self._drain.begun else "ok"
        return JSONResponse({"status": status, "model": self._model, **load})

    async def metrics(self, request: Request) -> Response:
        return Response(self._metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._card()]})

    async def model(self, request: Request) -> Response:
        self._require_model(request.path_params["id"])
        return JSONResponse(self._card())

    async def chat_completions(self, request: Request) -> Response:
        body = parse(await self._read(request), ChatBody)
        return await self._answer(request, body, "chatcmpl", lambda: self._preparation.chat(body))

    async def completions(self, request: Request) -> Response:
        body = parse(await self._read(request), CompletionBody)
        return await self._answer(request, body, "cmpl", lambda: self._preparation.completion(body))

    async def _read(self, request: Request) -> bytes:
        if self._drain.begun:
            headers = {"retry-after": f"{self._drain.seconds:.0f}", "connection": "close"}
            raise ApiError("The server is stopping.", status=503, code="stopping", headers=headers)
        return await read_body(request, self._limits.max_body_bytes, self._limits.request_timeout_s)

    async def _answer(
        self, request: Request, body: SampledBody, prefix: str, prepare: Callable[[], Prepared]
    ) -> Response:
        self._require_model(body.model)
        prepared = await asyncio.to_thread(prepare)
        kinds = prepared.answers[0]
        envelope = Envelope(
            id=f"{prefix}-{uuid4().hex}", kind=kinds.kind, chunk_kind=kinds.chunk_kind, model=self._model
        )
        generation = self._submit(request, envelope.id, prepared)
        if not body.stream:
            return await whole(generation, envelope, prepared.answers, request.receive)
        return EventStream(generation, envelope, prepared.answers, body.stream_options or StreamOptions())

    def _submit(self, request: Request, id: str, prepared: Prepared) -> Generation:
        record = record_of(request.scope)
        try:
            generation = Generation(self._engine, self._relay, self._metrics, id, prepared, record.started_at)
        except PromptTooLong as error:
            raise ApiError(str(error), param="messages", code="context_length_exceeded") from None
        except ValueError as error:
            raise ApiError(str(error)) from None
        except EngineOverloaded as error:
            headers = {"retry-after": str(self._metrics.pace.retry_after_s(time.monotonic()))}
            raise ApiError(str(error), status=429, code="overloaded", headers=headers) from None
        record.tally = generation.tally
        return generation

    def _require_model(self, name: str) -> None:
        if name != self._model:
            message = f"The model {name[:80]!r} is not served here; this server has {self._model!r}."
            raise ApiError(message, status=404, param="model", code="model_not_found")

    def _card(self) -> Json:
        card = {"id": self._model, "object": "model", "created": self._created, "owned_by": "serving"}
        architecture = {**self._engine.model_facts, "max_model_len": self._engine.max_model_len}
        return {**card, "max_model_len": self._engine.max_model_len, "architecture": architecture}
