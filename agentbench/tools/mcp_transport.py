"""Transports to an MCP server: HTTP, and the standard input and output of a child process. Each detects the end of the
server and bounds the size of an answer.

Imported only when a connection is made, since the SDK is an optional package.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import TracebackType
from typing import IO, Any, Self

import anyio
import httpx2
from mcp.client._transport import TransportStreams
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from agentbench.credentials import forms_of, redacted
from agentbench.http.exchange import refusal
from agentbench.processes import end_group

INTERNAL_ERROR = -32603
CONNECT_S = 10.0
BODY_LIMIT = 64 * 2**20
FRAMING = ("content-encoding", "content-length", "transfer-encoding")


class WatchedStream:
    """A transport's read stream; it calls `ended` when no more messages can arrive."""

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
        except Exception:  # its end, or any exception of an SDK transport: the server is gone
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
    """The transport, with `ended` called when the server is gone."""
    async with transport as (read, write):
        yield WatchedStream(read, ended), write


class McpHttpClient(httpx2.AsyncClient):
    """HTTP for one MCP connection.

    A request without a protocol answer (connection refused, a status of 400 or more without an error body, an expired
    session) gets an error whose data is `mark`. It fails alone, and is distinguishable from the server's own errors.
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
        message = refusal(redacted(body, self._secrets)) or response.reason_phrase
        what = "ended the session" if expired else "refused the request"
        return self._unanswered(request, message_id, f"{what}: HTTP {response.status_code}: {message}")

    def _unanswered(self, request: httpx2.Request, message_id: Any, why: str) -> httpx2.Response:
        error = {"code": INTERNAL_ERROR, "message": why, "data": self.mark}
        return httpx2.Response(400, json={"jsonrpc": "2.0", "id": message_id, "error": error}, request=request)


def _is_json(response: httpx2.Response) -> bool:
    return response.headers.get("content-type", "").lower().startswith("application/json")


async def _read(response: httpx2.Response) -> httpx2.Response:
    """The response with its body read, up to a size limit; the SDK itself limits the events of a stream."""
    body = bytearray()
    try:
        async for part in response.aiter_bytes():
            body += part
            if len(body) > BODY_LIMIT:
                raise httpx2.ReadError(f"no end of its answer after {BODY_LIMIT / 2**20:g} MiB")
    finally:
        await response.aclose()
    # The body is decoded already.
    headers = {name: value for name, value in response.headers.items() if name.lower() not in FRAMING}
    return httpx2.Response(response.status_code, headers=headers, content=bytes(body), request=response.request)


def _request_id(request: httpx2.Request) -> Any:
    """The id of the JSON-RPC request; None for any other message."""
    if request.method != "POST":
        return None
    try:
        body = json.loads(request.content)
    except ValueError:
        return None
    return body.get("id") if isinstance(body, dict) and "method" in body else None


def _is_error_of(body: bytes, message_id: Any) -> bool:
    """Whether the body is a protocol error for this request; an error without an id concerns the connection."""
    try:
        answer = json.loads(body)
    except ValueError:
        return False
    return isinstance(answer, dict) and "error" in answer and str(answer.get("id")) == str(message_id)


LINE_LIMIT = 64 * 2**20
"""Bytes of one message over stdio, which is a line. The SDK's own transport keeps a line for as long as it comes."""

FLUSH_S = 0.5
EXIT_S = 2.0
"""How long a server has to end once its standard input is closed, and again after SIGTERM."""


class _ServerProcess(asyncio.SubprocessProtocol):
    """Reads the lines of a server's output. Reading pauses while lines are waiting, so that a server can't fill our
    memory.
    """

    def __init__(self, failed: Callable[[str], None]) -> None:
        self._failed = failed
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._rest = bytearray()
        self._is_discarding = False
        self._writable = asyncio.Event()
        self._writable.set()
        self.exited = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._process = transport
        self._stdin: Any = transport.get_pipe_transport(0)
        self._stdout: Any = transport.get_pipe_transport(1)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if self._is_discarding:
            return
        *ended, rest = data.split(b"\n")
        for line in ended:
            self._lines.put_nowait(bytes(self._rest + line))
            self._rest.clear()
        self._rest += rest
        if len(self._rest) > LINE_LIMIT:
            self._failed(f"sent a message without end: a line of over {LINE_LIMIT / 2**20:g} MiB")
            self._rest.clear()
            self.discard()
        elif ended:
            self._stdout.pause_reading()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 0:
            self._writable.set()
        else:
            self._lines.put_nowait(None)

    def process_exited(self) -> None:
        self.exited.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def line(self) -> bytes | None:
        """The next line; None after the last."""
        if self._lines.empty() and not self._stdout.is_closing():
            self._stdout.resume_reading()
        return await self._lines.get()

    async def send(self, line: bytes) -> None:
        """Raises BrokenPipeError when the server has closed its input."""
        await self._writable.wait()
        if self._stdin.is_closing():
            raise BrokenPipeError
        self._stdin.write(line)

    def discard(self) -> None:
        """Drop all further output, so that the server does not block on writing."""
        self._is_discarding = True
        self._lines.put_nowait(None)
        if not self._stdout.is_closing():
            self._stdout.resume_reading()

    async def end(self) -> None:
        """Closes the server's input, then terminates its process group, then kills it, as the protocol specifies."""
        self.discard()
        self._stdin.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.exited.wait(), EXIT_S)
        await end_group(self._process.get_pid(), self.exited.wait, EXIT_S)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.exited.wait(), EXIT_S)
        if self._stdin.get_write_buffer_size():
            self._stdin.abort()
        with suppress(PermissionError):  # of a process that is another user's by now
            self._process.close()


@asynccontextmanager
async def stdio_transport(
    command: tuple[str, ...], env: Mapping[str, str], errors: IO[str], failed: Callable[[str], None]
) -> AsyncIterator[TransportStreams]:
    """Starts the server, and ends its process group at the end. Its standard error goes to `errors`.

    `failed` is called with the reason when the server's behaviour ends the connection. Raises `OSError` when it can't
    be started.
    """
    server = _ServerProcess(failed)
    loop = asyncio.get_running_loop()
    await loop.subprocess_exec(lambda: server, *command, env=dict(env), stderr=errors, start_new_session=True)
    incoming, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
    receiving = asyncio.create_task(_receive(server, incoming))
    sending = asyncio.create_task(_send(server, outgoing, incoming))
    try:
        yield read, write
    finally:
        with anyio.CancelScope(shield=True):
            read.close()
            write.close()
            await asyncio.wait([sending], timeout=FLUSH_S)
            await server.end()
            for task in (receiving, sending):
                task.cancel()
            await asyncio.gather(receiving, sending, return_exceptions=True)
            for stream in (read, write, incoming, outgoing):
                await stream.aclose()


async def _receive(server: _ServerProcess, incoming: Any) -> None:
    with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
        async with incoming:
            while (line := await server.line()) is not None:
                await incoming.send(_message(line))


async def _send(server: _ServerProcess, outgoing: Any, incoming: Any) -> None:
    try:
        async with outgoing:
            async for message in outgoing:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                await server.send(text.encode() + b"\n")
    except OSError:
        # End the connection; the session would otherwise wait for an answer to a message that was never sent.
        await incoming.aclose()


def _message(line: bytes) -> SessionMessage | Exception:
    """The parsed message, or the exception for an invalid line, which the session reports."""
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error
