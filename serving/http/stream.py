"""Sends answers as one JSON object or as server-sent events. A client that disconnects ends the request."""

import asyncio
import json
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from serving.core import TokenDelta
from serving.http.access_log import CLIENT_CLOSED_REQUEST
from serving.http.errors import error_response
from serving.http.generation import Generation
from serving.openai.answers import Answer
from serving.openai.bodies import StreamOptions
from serving.openai.error import ApiError

T = TypeVar("T")
DONE = "data: [DONE]\n\n"
# One encoder for all calls: `json.dumps` with options creates one for each call.
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The fields that all chunks of a response share: id, object, created and model."""

    id: str
    kind: str
    chunk_kind: str
    model: str
    created: int = field(default_factory=lambda: int(time.time()))

    def body(self, choices: list[dict[str, Any]], usage: object) -> dict[str, Any]:
        return {**self._fields(self.kind), "choices": choices, "usage": usage}

    def chunk_head(self) -> str:
        """The beginning of every chunk's event, up to its choices. It is encoded once; see `chunk_event`."""
        return f'data: {encode(self._fields(self.chunk_kind))[:-1]},"choices":['

    def _fields(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def chunk_event(head: str, choice: dict[str, Any] | None, tail: str = "") -> str:
    """The event of a chunk with one choice or none. `tail` has further keys, as JSON that begins with a comma."""
    return f"{head}{'' if choice is None else encode(choice)}]{tail}}}\n\n"


async def complete_response(
    generation: Generation, envelope: Envelope, answers: Sequence[Answer], receive: Receive
) -> Response:
    """The response with all answers in one JSON object, or an error response if the engine aborted the request."""
    try:
        last = await run_while_connected(_feed_answers(generation, answers), receive)
    finally:
        generation.close()
    if last is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    error = abort_error(last)
    if error is not None:
        return error_response(error)
    return JSONResponse(envelope.body([answer.complete_choice() for answer in answers], generation.usage.to_json()))


async def _feed_answers(generation: Generation, answers: Sequence[Answer]) -> TokenDelta:
    """Pass each delta to its answer; returns the last delta."""
    async for delta in generation.deltas():
        for _ in answers[delta.index].delta_choices(delta):
            pass  # the answer collects its text; the chunks are not needed
    return delta


def abort_error(delta: TokenDelta) -> ApiError | None:
    """The error of a delta with which the engine aborted the request; None for any other delta."""
    if delta.finish_reason != "abort":
        return None
    reason = delta.error or "the server is stopping"
    return ApiError(f"The request was not completed: {reason}.", status=500, code="engine_error")


class EventStream(Response):
    """Streams the answers as server-sent events. A failure before the first token still gets status 500."""

    media_type = "text/event-stream"

    def __init__(
        self, generation: Generation, envelope: Envelope, answers: Sequence[Answer], options: StreamOptions
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-cache"})
        self._generation = generation
        self._answers = answers
        self._not_started = set(range(len(answers)))
        self._options = options
        self._head = envelope.chunk_head()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await run_while_connected(self._stream(scope, receive, send), receive)
        finally:
            self._generation.close()

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events. All deltas that arrive during a write go into the next write."""
        generation, started, events = self._generation, False, ""
        async for delta in generation.deltas():
            error = abort_error(delta)
            if error is not None and not started:
                return await error_response(error)(scope, receive, send)
            events += self._error_event(error) if error else "".join(self._events(delta))
            if generation.has_pending_delta or generation.usage.is_finished:
                continue
            await self._write(send, events, first=not started)
            started, events = True, ""
        await self._write(send, events + self._end(), first=not started, last=True)

    async def _write(self, send: Send, events: str, *, first: bool, last: bool = False) -> None:
        if first:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": events.encode(), "more_body": not last})

    def _events(self, delta: TokenDelta) -> Iterator[str]:
        """The events of a delta's chunks."""
        answer, tail = self._answers[delta.index], self._usage_tail()
        opening = None
        if delta.index in self._not_started:
            self._not_started.remove(delta.index)
            opening = answer.opening_choice()
        if opening is not None:
            yield chunk_event(self._head, opening, tail)
        choices = list(answer.delta_choices(delta))
        if delta.finish_reason:
            choices.append(answer.closing_choice(delta))
        elif self._options.continuous_usage_stats and not choices:
            choices.append(answer.empty_choice())
        for choice in choices:
            yield chunk_event(self._head, choice, tail)

    def _usage_tail(self) -> str:
        """The `usage` key of a chunk with a choice, as the client's stream options ask for it."""
        if self._options.continuous_usage_stats:
            return f',"usage":{encode(self._generation.usage.to_json())}'
        return ',"usage":null' if self._options.include_usage else ""

    @staticmethod
    def _error_event(error: ApiError) -> str:
        return f"data: {encode(error.body())}\n\n"

    def _end(self) -> str:
        """The events after the last delta: the usage, if the client asks for it, and [DONE]."""
        usage = self._generation.usage
        if not self._options.include_usage or "abort" in usage.finish_reasons:
            return DONE
        return chunk_event(self._head, None, f',"usage":{encode(usage.to_json())}') + DONE


async def run_while_connected(work: Coroutine[Any, Any, T], receive: Receive) -> T | None:
    """The result of `work`. If the client disconnects first, `work` is cancelled and the result is None."""
    task = asyncio.ensure_future(work)
    disconnect = asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait((task, disconnect), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        disconnect.cancel()
        task.cancel()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
