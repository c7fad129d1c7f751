"""Sends the answers, in one piece or as server-sent events, for as long as the client stays connected."""

import asyncio
import json
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from serving.core import TokenDelta
from serving.http.access_log import CLIENT_GONE
from serving.http.errors import error_response
from serving.http.generation import Generation
from serving.openai.answers import Answer
from serving.openai.bodies import StreamOptions
from serving.openai.error import ApiError

T = TypeVar("T")
DONE = "data: [DONE]\n\n"
# Made once: `json.dumps` makes an encoder for each call that has options.
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Chunks are written many times a second: `chunk` encodes only what is new in them."""

    id: str
    kind: str
    chunk_kind: str
    model: str
    created: int = field(default_factory=lambda: int(time.time()))

    def body(self, choices: list[dict[str, Any]], usage: object) -> dict[str, Any]:
        return {**self._head(self.kind), "choices": choices, "usage": usage}

    def chunk_head(self) -> str:
        """A server-sent event up to its choices; see `event`."""
        return f'data: {encode(self._head(self.chunk_kind))[:-1]},"choices":['

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def event(head: str, choice: dict[str, Any] | None, tail: str = "") -> str:
    """A chunk of one choice or none; `tail` is more of its keys, as JSON that begins with a comma."""
    return f"{head}{'' if choice is None else encode(choice)}]{tail}}}\n\n"


async def complete_answer(
    generation: Generation, envelope: Envelope, answers: Sequence[Answer], receive: Receive
) -> Response:
    """The answers in one piece."""
    try:
        last = await while_connected(_last(generation, answers), receive)
    finally:
        generation.close()
    if last is None:
        return Response(status_code=CLIENT_GONE)
    failed = failure(last)
    if failed is not None:
        return error_response(failed)
    return JSONResponse(envelope.body([answer.choice() for answer in answers], generation.tally.usage()))


async def _last(generation: Generation, answers: Sequence[Answer]) -> TokenDelta:
    async for delta in generation.deltas():
        for _ in answers[delta.index].choices(delta):
            pass  # the answer keeps its text
    return delta


def failure(delta: TokenDelta) -> ApiError | None:
    """Why the engine gave a request up."""
    if delta.finish_reason != "abort":
        return None
    reason = delta.error or "the server is stopping"
    return ApiError(f"The request was not completed: {reason}.", status=500, code="engine_error")


class EventStream(Response):
    """The answers as they are generated. The status waits for the first token: an earlier failure is a 500."""

    media_type = "text/event-stream"

    def __init__(
        self, generation: Generation, envelope: Envelope, answers: Sequence[Answer], options: StreamOptions
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-cache"})
        self._generation = generation
        self._answers = answers
        self._unopened = set(range(len(answers)))
        self._options = options
        self._head = envelope.chunk_head()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await while_connected(self._stream(scope, receive, send), receive)
        finally:
            self._generation.close()

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What came while the client was reading goes out in one write."""
        generation, started, events = self._generation, False, ""
        async for delta in generation.deltas():
            failed = failure(delta)
            if failed is not None and not started:
                return await error_response(failed)(scope, receive, send)
            events += self._failed(failed) if failed else "".join(self._events(delta))
            if generation.pending or generation.tally.ended:
                continue
            await self._write(send, events, first=not started)
            started, events = True, ""
        await self._write(send, events + self._end(), first=not started, last=True)

    async def _write(self, send: Send, events: str, *, first: bool, last: bool = False) -> None:
        if first:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": events.encode(), "more_body": not last})

    def _events(self, delta: TokenDelta) -> Iterator[str]:
        """A delta's chunks."""
        answer, tail = self._answers[delta.index], self._usage()
        opening = None
        if delta.index in self._unopened:
            self._unopened.remove(delta.index)
            opening = answer.opening()
        if opening is not None:
            yield event(self._head, opening, tail)
        choices = list(answer.choices(delta))
        if delta.finish_reason:
            choices.append(answer.closing(delta))
        elif self._options.continuous_usage_stats and not choices:
            choices.append(answer.silence())
        for choice in choices:
            yield event(self._head, choice, tail)

    def _usage(self) -> str:
        """In chunks with a choice."""
        if self._options.continuous_usage_stats:
            return f',"usage":{encode(self._generation.tally.usage())}'
        return ',"usage":null' if self._options.include_usage else ""

    @staticmethod
    def _failed(error: ApiError) -> str:
        return f"data: {encode(error.body())}\n\n"

    def _end(self) -> str:
        tally = self._generation.tally
        if not self._options.include_usage or "abort" in tally.finish_reasons:
            return DONE
        return event(self._head, None, f',"usage":{encode(tally.usage())}') + DONE


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
