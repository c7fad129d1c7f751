"""The gateway's HTTP side: Starlette's router, which checks keys, reads bodies, and answers with event streams, JSON
or errors.
"""

import asyncio
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response
from starlette.routing import Route as Path
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from agentbench.core.errors import AttemptError
from agentbench.core.trace import ModelCall
from agentbench.gateway.body import parse_body
from agentbench.gateway.refusal import Refused, error_body, refusal_of
from agentbench.gateway.route import Route
from agentbench.gateway.usage_filter import UsageFilter
from agentbench.http.event_stream import DONE, events
from agentbench.openai_stream import parsed

BODY_LIMIT = 64 * 2**20
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")


def gateway_app(routes: Mapping[str, Route]) -> Router:
    """The application over the open routes; the path of a closed route answers 410.

    Starlette's router alone: each of its application's layers would be passed by every token.
    """
    return Router([Path("/{path:path}", Addresses(routes))], redirect_slashes=False, default=_elsewhere)


class Addresses:
    """One endpoint for all paths. A client without an open route and its key can't find out which other paths exist."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive, send)
        except Refused as refused:
            answer = _json(error_body(refused), refused.status, refused.headers)
        if answer is not None:
            await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Response | None:
        """The answer to send; None when it was a stream, which is sent by then."""
        method = scope["method"]
        route, path = self._route(scope)
        if path.partition("/")[0] == "models" and method == "GET":
            return _json(_models(route, path.partition("/")[2]))
        if path != "chat/completions":
            raise Refused(404, f"no /{path} here; the gateway records chat/completions and lists models")
        if method != "POST":
            raise Refused(405, f"{method} is not valid for chat/completions; use POST")
        body = dict(parse_body(await _body(receive)))
        return await _Answer(route, body, receive, send).give()

    def _route(self, scope: Scope) -> tuple[Route, str]:
        token, _, path = scope["path_params"]["path"].lstrip("/").partition("/")
        route = self._routes.get(token)
        if route is None:
            raise Refused(410, "the attempt of this address has ended, or never existed")
        key = next((value for name, value in scope["headers"] if name == b"authorization"), b"").partition(b" ")[2]
        if not hmac.compare_digest(key, route.api_key.encode()):
            raise Refused(401, "the key is not this attempt's; use the one that came with its base URL")
        version, _, rest = path.rstrip("/").partition("/")
        return route, rest if version == "v1" else path


class _Answer:
    """One chat request: the model call runs as a task, which is cancelled when the client disconnects. What is sent
    after that is dropped.
    """

    def __init__(self, route: Route, body: dict[str, Any], receive: Receive, send: Send) -> None:
        self._body = body
        self._receive = receive
        self._send = send
        self._pieces: list[bytes] = []
        self._filter = UsageFilter(body)
        self._came = asyncio.Event()
        self._sent = 0
        self._call = route.start(body, self._take)
        self._call.add_done_callback(lambda _: self._came.set())

    def _take(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._came.set()

    async def give(self) -> Response | None:
        """The complete answer; None when the client wanted a stream, which is sent by then."""
        gone: asyncio.Task[None] | None = None
        try:
            await asyncio.sleep(0)  # the call goes out first
            gone = asyncio.create_task(_disconnected(self._receive))
            gone.add_done_callback(lambda _: self._call.cancel())
            return await (self._stream() if self._body.get("stream") else self._complete())
        finally:
            tasks = [self._call, *([gone] if gone else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _complete(self) -> Response:
        return _json(completion(await self._answered(), self._pieces))

    async def _answered(self) -> ModelCall:
        try:
            return await asyncio.shield(self._call)
        except AttemptError as error:
            raise refusal_of(error) from None
        except asyncio.CancelledError:
            if self._call.cancelled():
                raise Refused(410, "the attempt ended while it waited for the model") from None
            raise

    async def _stream(self) -> None:
        """Sends bytes as they arrive; a failure before the first byte is an HTTP status, a later one an event."""
        await self._came.wait()
        if not self._pieces:
            await self._answered()
        await self._send({"type": "http.response.start", "status": 200, "headers": [EVENTS]})
        while not self._call.done():
            await self._pass_on()
            await self._came.wait()
            self._came.clear()
        await self._end()

    def _waiting(self) -> bytes:
        pieces, self._sent = self._pieces[self._sent :], len(self._pieces)
        return self._filter.take(b"".join(pieces))

    async def _pass_on(self) -> None:
        if content := self._waiting():
            await self._send({"type": "http.response.body", "body": content, "more_body": True})

    async def _end(self) -> None:
        """Sends the remaining bytes and the end together, since each send costs as much as the work on a token."""
        last = self._waiting() + self._filter.rest
        try:
            await self._answered()
        except Refused as refused:
            last += b"data: " + error_body(refused) + b"\n\n"
        await self._send({"type": "http.response.body", "body": last})


async def _body(receive: Receive) -> bytes:
    content = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the body ended early")
        content += message.get("body", b"")
        if len(content) > BODY_LIMIT:
            raise Refused(413, f"the body is over {BODY_LIMIT} bytes")
        if not message.get("more_body"):
            return bytes(content)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _json(content: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(content, status, headers, media_type="application/json")


async def _elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers for a path that the pattern does not match, such as one with a line break."""
    await _json(error_body(Refused(404, "no such path here")), 404)(scope, receive, send)


def _models(route: Route, name: str) -> bytes:
    """The list of models, or one entry; any name means the run's model."""
    entry = {"id": name or route.model, "object": "model", "created": 0, "owned_by": "agentbench"}
    if name:
        return json.dumps(entry).encode()
    return json.dumps({"object": "list", "data": [entry]}).encode()


def completion(call: ModelCall, pieces: Sequence[bytes]) -> bytes:
    """The recorded call as one object, with ids, log probabilities and the like from its stream."""
    chunks = _chunks(pieces)
    first = chunks[0] if chunks else {}
    choice: dict[str, Any] = {"index": 0, "message": _message(call), "finish_reason": call.finish_reason}
    if logprobs := _logprobs(chunks):
        choice["logprobs"] = {"content": logprobs}
    answer: dict[str, Any] = {
        "id": first.get("id", ""),
        "object": "chat.completion",
        "created": first.get("created", 0),
        "model": first.get("model", call.request.get("model", "")),
        "choices": [choice],
    }
    if call.prompt_tokens is not None or call.completion_tokens is not None:
        answer["usage"] = _usage(call)
    return json.dumps(answer).encode()


def _message(call: ModelCall) -> dict[str, Any]:
    message = {"role": "assistant", "content": None, **call.reply}
    if message["content"] == message.get("refusal"):
        message["content"] = None
    return message


def _usage(call: ModelCall) -> dict[str, Any]:
    prompt, completion = call.prompt_tokens or 0, call.completion_tokens or 0
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if call.cached_tokens is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": call.cached_tokens}
    return usage


def _chunks(pieces: Sequence[bytes]) -> list[dict[str, Any]]:
    found = (data for _, data in events([(0, piece) for piece in pieces]) if data != DONE)
    return [chunk for data in found if isinstance(chunk := parsed(data), dict)]


def _logprobs(chunks: Sequence[dict[str, Any]]) -> list[Any]:
    choices = (choice for chunk in chunks for choice in chunk.get("choices") or ())
    parts = ((choice.get("logprobs") or {}).get("content") or () for choice in choices)
    return [entry for part in parts for entry in part]
