"""Answers over HTTP, in one piece or as server-sent events, for as long as the client is there."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from serving.api_error import ApiError
from serving.completion import Answer, Envelope, Json, usage
from serving.generation import Generation
from serving.openai_api import StreamOptions
from serving.request import TokenDelta

T = TypeVar("T")
CLIENT_GONE = 499  # nginx's number; nobody reads it
DONE = b"data: [DONE]\n\n"


def error_response(error: ApiError) -> JSONResponse:
    return JSONResponse(error.body(), error.status, error.headers)


async def whole(generation: Generation, envelope: Envelope, answer: Answer, receive: Receive) -> Response:
    """The answer in one piece."""
    try:
        last = await while_connected(_last(generation, answer), receive)
    finally:
        generation.close()
    if last is None:
        return Response(status_code=CLIENT_GONE)
    failed = failure(last)
    if failed is not None:
        return error_response(failed)
    return JSONResponse(envelope.wrap(answer.kind, [answer.choice(last)], usage=usage(last)))


async def _last(generation: Generation, answer: Answer) -> TokenDelta:
    async for delta in generation.deltas():
        for _ in answer.choices(delta):
            pass  # the answer keeps its text
    return delta


def failure(delta: TokenDelta) -> ApiError | None:
    """Why the engine gave a request up."""
    if delta.finish_reason != "abort":
        return None
    reason = delta.error or "the server is stopping"
    return ApiError(f"The request was not completed: {reason}.", status=500, code="engine_error")


class EventStream(Response):
    """The answer as it is generated. The status waits for the first token: an earlier failure is a 500."""

    media_type = "text/event-stream"

    def __init__(self, generation: Generation, envelope: Envelope, answer: Answer, options: StreamOptions) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-cache"})
        self._generation = generation
        self._envelope = envelope
        self._answer = answer
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await while_connected(self._stream(scope, receive, send), receive)
        finally:
            self._generation.close()

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False
        async for delta in self._generation.deltas():
            failed = failure(delta)
            if failed is not None and not started:
                return await error_response(failed)(scope, receive, send)
            if not started:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            events = _event(failed.body()) if failed else self._events(delta, first=not started)
            started = True
            await send({"type": "http.response.body", "body": events, "more_body": True})
        await send({"type": "http.response.body", "body": DONE})

    def _events(self, delta: TokenDelta, *, first: bool) -> bytes:
        """A step's chunks, in one write."""
        choices = list(self._answer.choices(delta))
        opening = self._answer.opening() if first else None
        if opening:
            choices.insert(0, opening)
        if delta.finish_reason:
            choices.append(self._answer.closing(delta))
        elif self._options.continuous_usage_stats and len(choices) == (1 if opening else 0):
            choices.append(self._answer.silence())
        events = [_event(self._chunk([choice], delta)) for choice in choices]
        if delta.finish_reason and self._options.include_usage:
            events.append(_event(self._chunk([], delta, ended=True)))
        return b"".join(events)

    def _chunk(self, choices: list[Json], delta: TokenDelta, *, ended: bool = False) -> Json:
        chunk = self._envelope.wrap(self._answer.chunk_kind, choices)
        if ended or self._options.continuous_usage_stats:
            chunk["usage"] = usage(delta)
        elif self._options.include_usage:
            chunk["usage"] = None
        return chunk


async def while_connected(work: Coroutine[Any, Any, T], receive: Receive) -> T | None:
    """The result of `work`; None when the client went away first, and `work` is cancelled then."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        gone.cancel()
        task.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(body: Json) -> bytes:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()
