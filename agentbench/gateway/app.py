"""The gateway's HTTP side (ASGI): paths, keys and bodies in; event streams, whole answers and errors out."""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

from agentbench.core.errors import AttemptError
from agentbench.core.trace import ModelCall
from agentbench.gateway.body import parse_body
from agentbench.gateway.refusal import Refused, error_body, refusal_of
from agentbench.gateway.route import Route
from agentbench.gateway.usage_filter import UsageFilter
from agentbench.http.event_stream import DONE, events
from agentbench.openai_stream import parsed

BODY_LIMIT = 64 * 2**20
JSON = (b"content-type", b"application/json")
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class GatewayApp:
    """An ASGI application over the open routes; a route that is closed answers 410."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        try:
            route, path = self._route(scope)
            if path.partition("/")[0] == "models" and scope["method"] == "GET":
                return await _whole(send, 200, _models(route, path.partition("/")[2]))
            if path != "chat/completions":
                raise Refused(404, f"no /{path} here; the gateway records chat/completions and lists models")
            if scope["method"] != "POST":
                raise Refused(405, f"{scope['method']} is not for chat/completions; POST to it")
            body = dict(parse_body(await _body(receive)))
            await _Answer(route, body, receive, send).give()
        except Refused as refused:
            await _whole(send, refused.status, error_body(refused), refused.headers)

    def _route(self, scope: Scope) -> tuple[Route, str]:
        token, _, path = scope["path"].lstrip("/").partition("/")
        route = self._routes.get(token)
        if route is None:
            raise Refused(410, "the attempt that this address was for has ended, or there was none")
        key = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")[2]
        if not hmac.compare_digest(key, route.api_key.encode()):
            raise Refused(401, "the key is not this attempt's; use the one that came with its base URL")
        version, _, rest = path.rstrip("/").partition("/")
        return route, rest if version == "v1" else path


class _Answer:
    """One chat request: the call is made as a task, and ended when whoever asked goes away."""

    def __init__(self, route: Route, body: dict[str, Any], receive: Receive, send: Send) -> None:
        self._body = body
        self._send = send
        self._pieces: list[bytes] = []
        self._filter = UsageFilter(body)
        self._came = asyncio.Event()
        self._sent = 0
        self._call = route.start(body, self._take)
        self._call.add_done_callback(lambda _: self._came.set())
        self._gone = asyncio.create_task(_disconnected(receive))

    def _take(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._came.set()

    async def give(self) -> None:
        giving = asyncio.create_task(self._stream() if self._body.get("stream") else self._complete())
        try:
            await asyncio.wait({giving, self._gone}, return_when=asyncio.FIRST_COMPLETED)
            if giving.done():
                await giving
        finally:
            for task in (giving, self._call, self._gone):
                task.cancel()
            await asyncio.gather(giving, self._call, self._gone, return_exceptions=True)

    async def _complete(self) -> None:
        call = await self._answered()
        await _whole(self._send, 200, completion(call, self._pieces))

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
        """Bytes as they come; a failure before the first of them is a status, one after it an event."""
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
        """What is left and the end together: each sending costs as much as a token's work."""
        last = self._waiting() + self._filter.rest
        try:
            await self._answered()
        except Refused as refused:
            last += b"data: " + error_body(refused) + b"\n\n"
        await self._send({"type": "http.response.body", "body": last})


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the body ended early")
        parts.append(message.get("body", b""))
        if sum(map(len, parts)) > BODY_LIMIT:
            raise Refused(413, f"the body is over {BODY_LIMIT} bytes")
        if not message.get("more_body"):
            return b"".join(parts)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _whole(send: Send, status: int, content: bytes, more: Mapping[str, str] | None = None) -> None:
    headers = [JSON, (b"content-length", str(len(content)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in (more or {}).items()]
    with suppress(ConnectionError):
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def _models(route: Route, name: str) -> bytes:
    """The list, or the entry of one: any name means the run's model."""
    entry = {"id": name or route.model, "object": "model", "created": 0, "owned_by": "agentbench"}
    if name:
        return json.dumps(entry).encode()
    return json.dumps({"object": "list", "data": [entry]}).encode()


def completion(call: ModelCall, pieces: Sequence[bytes]) -> bytes:
    """The recorded call as one object; ids, log probabilities and the like from the stream it came as."""
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
    prompt, made = call.prompt_tokens or 0, call.completion_tokens or 0
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}
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
