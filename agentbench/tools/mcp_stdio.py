"""An MCP server as a process of ours, spoken to over its standard input and output: one JSON-RPC message a line.

The SDK's own transport keeps a line without end for as long as it comes; here a line has a bound. Imported only where
a connection is made: the SDK is an optional package.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import IO, Any

import anyio
from mcp.client._transport import TransportStreams
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

LINE_LIMIT = 64 * 2**20
"""Bytes of one message."""

FLUSH_S = 0.5
EXIT_S = 2.0
"""How long a server has to end once its standard input is closed, and again after SIGTERM."""


class _ServerProcess(asyncio.SubprocessProtocol):
    """The lines that a server writes. Reading stops while some are not taken: a server can't fill our memory."""

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
        """The next one; None after the last."""
        if self._lines.empty() and not self._stdout.is_closing():
            self._stdout.resume_reading()
        return await self._lines.get()

    async def send(self, line: bytes) -> None:
        """Raises BrokenPipeError once the server takes no more."""
        await self._writable.wait()
        if self._stdin.is_closing():
            raise BrokenPipeError
        self._stdin.write(line)

    def discard(self) -> None:
        """Take no more lines; what the server still writes goes nowhere, so that it doesn't wait for us."""
        self._is_discarding = True
        self._lines.put_nowait(None)
        if not self._stdout.is_closing():
            self._stdout.resume_reading()

    async def end(self) -> None:
        """As the protocol asks: its input closes, then its process group is told to end, then it is killed."""
        self.discard()
        self._stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(TimeoutError):
                await asyncio.wait_for(self.exited.wait(), EXIT_S)
                break
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.get_pid(), number)
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
    """Starts the server and ends it, with all of its process group. What it says on standard error goes to `errors`.

    `failed` is called with what a server did that ends the connection. Raises `OSError` when it can't be started.
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
        # The session sees the connection's end, where it would wait for an answer to what was never sent.
        await incoming.aclose()


def _message(line: bytes) -> SessionMessage | Exception:
    """A line that is no message is the session's to tell."""
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error
