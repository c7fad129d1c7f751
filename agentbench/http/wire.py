"""One keep-alive connection: a request, its answer, the next request.

An HTTP/1.1 response as it comes in, each piece with the time of the read that brought it.
"""

import asyncio
from collections.abc import Callable, Mapping
from time import perf_counter_ns

from agentbench.http.connection import Channel
from agentbench.http.exchange import Exchange

HEAD_LIMIT = 64 * 1024
LINE_LIMIT = 8 * 1024
BODY_LIMIT = 64 * 2**20
READS_LIMIT = 2**20
"""What is longer, or comes in more reads, is no answer: a server that never ends would take all memory."""

HEX_DIGITS = b"0123456789abcdefABCDEF"


class MalformedReply(Exception):
    """What came is not an HTTP/1.1 response."""


class HttpReply:
    """Takes the reads of one response in order; knows when it is complete, and keeps its body undecoded.

    `pieces` are (perf_counter_ns of the read, bytes of the body); nothing is parsed but the framing, so that
    reading costs the server's machine next to nothing.
    """

    __slots__ = (
        *("_buffer", "_chunked", "_in_trailer", "_left", "_size"),
        *("complete", "headers", "keep_alive", "pieces", "status"),
    )

    def __init__(self) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.pieces: list[tuple[int, bytes]] = []
        self.complete = False
        self.keep_alive = True
        self._buffer = b""
        self._chunked = False
        self._in_trailer = False
        self._size = 0
        self._left: int | None = 0  # bytes of the body, or of its chunk, still to come; None until the end

    @property
    def begun(self) -> bool:
        """Whether any byte has come."""
        return bool(self.status or self._buffer)

    def feed(self, at: int, data: bytes) -> None:
        """The bytes of a read at `at`. Raises `MalformedReply`."""
        if not self.status:
            data = self._head(data)
            if not self.status:
                return
        if self._chunked:
            self._chunks(at, data)
        elif data:
            self._plain(at, data)

    def end(self) -> None:
        """The peer closed: the end of a body that is not framed, a broken one else."""
        self.keep_alive = False
        self.complete = self.complete or (bool(self.status) and not self._chunked and self._left is None)

    def _head(self, data: bytes) -> bytes:
        """What follows the head; the head itself is kept until it is whole. Interim responses (1xx) are passed over."""
        data, self._buffer = self._buffer + data, b""
        while not self.status:
            head, separator, rest = data.partition(b"\r\n\r\n")
            if not separator:
                if len(data) > HEAD_LIMIT or not b"HTTP/1.".startswith(data[:7]):
                    raise MalformedReply(f"not an HTTP/1.1 response: {data[:40]!r}")
                self._buffer = data
                return b""
            self._parse(head)
            data = rest
        return data

    def _parse(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, status = first.partition(" ")
        if not version.startswith("HTTP/1.") or not _is_number(status[:3]):
            raise MalformedReply(f"not an HTTP/1.1 response: {first[:40]!r}")
        if status.startswith("1"):
            return
        self.status = int(status[:3])
        self.headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        self._framing(version)

    def _framing(self, version: str) -> None:
        connection = self.headers.get("connection", "").lower()
        self.keep_alive = "close" not in connection and (version == "HTTP/1.1" or "keep-alive" in connection)
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        length = self.headers.get("content-length")
        if self._chunked:
            return
        if self.status in (204, 304):
            length = "0"
        if length is not None and not _is_number(length):
            raise MalformedReply(f"content-length is {length!r}")
        self._left = int(length) if length is not None else None
        self.complete = self._left == 0

    def _plain(self, at: int, data: bytes) -> None:
        self._add(at, data if self._left is None else data[: self._left])
        if self._left is not None:
            self._left = max(0, self._left - len(data))
            self.complete = not self._left

    def _add(self, at: int, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > BODY_LIMIT:
            raise MalformedReply(f"no end after {BODY_LIMIT / 2**20:g} MiB")
        if len(self.pieces) >= READS_LIMIT:
            raise MalformedReply(f"no end after {READS_LIMIT:,} reads")
        self.pieces.append((at, piece))

    def _chunks(self, at: int, data: bytes) -> None:
        """Chunked transfer coding (RFC 9112, section 7.1); the line that says a size may come in parts."""
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        position, parts = 0, []
        while position < len(data) and not self.complete:
            if self._left:
                parts.append(data[position : position + self._left])
                self._left -= len(parts[-1])
                position += len(parts[-1])
                continue
            end = data.find(b"\r\n", position)
            if end < 0:
                self._keep(data[position:])
                break
            self._line(data[position:end])
            position = end + 2
        if parts:
            self._add(at, b"".join(parts))

    def _keep(self, line: bytes) -> None:
        """A line that is not whole yet."""
        if len(line) > LINE_LIMIT:
            raise MalformedReply(f"chunk size is {line[:20]!r}…")
        self._buffer = line

    def _line(self, line: bytes) -> None:
        if self._in_trailer:
            self.complete = not line
        elif line:
            size = line.partition(b";")[0].strip()
            if not size or size.strip(HEX_DIGITS):
                raise MalformedReply(f"chunk size is {line[:20]!r}")
            self._left = int(size, 16)
            self._in_trailer = self._left == 0


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


OK = 200


class WireBroken(Exception):
    """The connection ended inside a request; `begun` when bytes of the answer had come."""

    def __init__(self, message: str, *, begun: bool) -> None:
        super().__init__(message)
        self.begun = begun


class Wire:
    """Sends one request at a time over its `channel`; `usable` while it can take another."""

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self.usable = True
        self._reply: HttpReply | None = None
        self._relay: Callable[[bytes], None] | None = None
        self._relayed = 0
        self._done: asyncio.Future[None] | None = None

    def received(self, at: int, data: bytes) -> None:
        reply = self._reply
        if reply is None:
            return self.close()
        try:
            reply.feed(at, data)
        except MalformedReply as error:
            return self._fail(error)
        if self._relay is not None and reply.status == OK:
            for _, piece in reply.pieces[self._relayed :]:
                self._relay(piece)
            self._relayed = len(reply.pieces)
        if reply.complete:
            self._succeed()

    def lost(self, reason: str) -> None:
        self.usable = False
        if self._reply is None:
            return
        self._reply.end()
        if self._reply.complete:
            self._succeed()
        else:
            self._fail(WireBroken(reason, begun=self._reply.begun))

    async def ask(self, request: bytes, exchange: Exchange) -> None:
        """Send and wait for the whole answer; what came of it is in `exchange` also when this raises."""
        if not self.usable or self.channel is None:
            raise WireBroken("the server closed the connection while it was idle", begun=False)
        reply = self._reply = HttpReply()
        done = self._done = asyncio.get_running_loop().create_future()
        self._relay, self._relayed = exchange.relay, 0
        exchange.pieces = reply.pieces
        exchange.sent_at = exchange.sent_at or perf_counter_ns()
        self.channel.write(request)
        try:
            await done
        finally:
            exchange.status, exchange.headers = reply.status, reply.headers
            self.usable = self.usable and reply.complete and reply.keep_alive
            self._reply = self._relay = self._done = None

    def close(self) -> None:
        self.usable = False
        if self.channel is not None:
            self.channel.close()

    def _succeed(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        self.usable = False
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)
