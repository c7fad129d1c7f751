"""The way to an MCP server, watched: whether the server is still there, and which requests it never answered.

Imported only where a connection is made: the SDK is an optional package.
"""

import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Self

import httpx2
from mcp.client._transport import TransportStreams

from agentbench.credentials import forms_of, redacted
from agentbench.http.exchange import refusal

INTERNAL_ERROR = -32603
CONNECT_S = 10.0
BODY_LIMIT = 64 * 2**20
FRAMING = ("content-encoding", "content-length", "transfer-encoding")


class WatchedStream:
    """A transport's read stream; `ended` is called when no more messages can come."""

    def __init__(self, stream: Any, ended: Callable[[], None]) -> None:
        self._stream = stream
        self._ended = ended

    @property
    def last_context(self) -> Any:
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        return await self._stream.receive()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except Exception:  # its end, or whatever a transport of the SDK's raises: there is no server any more
            self._ended()
            raise

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        found: bool | None = await self._stream.__aexit__(kind, error, trace)
        return found


@asynccontextmanager
async def watched(
    transport: AbstractAsyncContextManager[TransportStreams], ended: Callable[[], None]
) -> AsyncIterator[TransportStreams]:
    """The transport, with `ended` called when the server has gone."""
    async with transport as (read, write):
        yield WatchedStream(read, ended), write


class McpHttpClient(httpx2.AsyncClient):
    """HTTP for one MCP connection.

    A request that has no answer of the protocol (nothing there, a status of 400 or more without an error of its own,
    a session that expired) is answered with an error whose data is `mark`: it fails alone, and is told from what the
    server itself says.
    """

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__(headers=headers, timeout=httpx2.Timeout(None, connect=CONNECT_S))
        self._secrets = forms_of(headers.values())
        self.mark = f"agentbench-{secrets.token_hex(8)}"

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        message_id = _request_id(request)
        if message_id is None:
            return await super().send(request, **options)
        try:
            response = await super().send(request, **options)
            if response.status_code < 400 and not _is_json(response):
                return response
            response = await _read(response)
        except httpx2.TransportError as error:
            return self._unanswered(request, message_id, f"died: {error or type(error).__name__}")
        body = response.content
        if response.status_code < 400:
            return response
        expired = response.status_code == 404 and "mcp-session-id" in request.headers
        if not expired and _is_error_of(body, message_id):
            return response
        said = refusal(redacted(body, self._secrets)) or response.reason_phrase
        what = "ended the session" if expired else "refused the request"
        return self._unanswered(request, message_id, f"{what}: HTTP {response.status_code}: {said}")

    def _unanswered(self, request: httpx2.Request, message_id: Any, why: str) -> httpx2.Response:
        error = {"code": INTERNAL_ERROR, "message": why, "data": self.mark}
        return httpx2.Response(400, json={"jsonrpc": "2.0", "id": message_id, "error": error}, request=request)


def _is_json(response: httpx2.Response) -> bool:
    return response.headers.get("content-type", "").lower().startswith("application/json")


async def _read(response: httpx2.Response) -> httpx2.Response:
    """The same with its body here, whose size is bounded; the SDK bounds the events of a stream itself."""
    body = bytearray()
    try:
        async for part in response.aiter_bytes():
            body += part
            if len(body) > BODY_LIMIT:
                raise httpx2.ReadError(f"no end of its answer after {BODY_LIMIT / 2**20:g} MiB")
    finally:
        await response.aclose()
    # What the bytes came as is undone by now.
    headers = {name: value for name, value in response.headers.items() if name.lower() not in FRAMING}
    return httpx2.Response(response.status_code, headers=headers, content=bytes(body), request=response.request)


def _request_id(request: httpx2.Request) -> Any:
    """The id of the JSON-RPC request that is sent; None for all else."""
    if request.method != "POST":
        return None
    try:
        body = json.loads(request.content)
    except ValueError:
        return None
    return body.get("id") if isinstance(body, dict) and "method" in body else None


def _is_error_of(body: bytes, message_id: Any) -> bool:
    """Whether it is the protocol's error, and of this request: one without an id is of the connection."""
    try:
        answer = json.loads(body)
    except ValueError:
        return False
    return isinstance(answer, dict) and "error" in answer and str(answer.get("id")) == str(message_id)
