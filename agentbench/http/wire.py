"""One keep-alive connection, and a parser of HTTP/1.1 responses that keeps the time of each read."""

import asyncio
from collections.abc import Mapping
from time import perf_counter_ns

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from agentbench.http.connection import Channel
from agentbench.http.exchange import Exchange

HEAD_LIMIT = 64 * 1024
LINE_LIMIT = 8 * 1024
BODY_LIMIT = 64 * 2**20
READS_LIMIT = 2**20
"""Limits on the size and reads of a response; an endless one would fill the memory."""

OK = 200


class MalformedReply(Exception):
    """The bytes are not an HTTP/1.1 response."""


class HttpReply:
    """Parses the reads of one response in order, detects its end, and stores its undecoded body.

    `pieces` are pairs: `perf_counter_ns` of the read, and its bytes of the body. httptools (llhttp, Node's parser)
    parses the framing, which costs the server's machine next to nothing. Interim responses (1xx) are skipped.
    """

    __slots__ = (
        *("_headers", "_is_framed", "_is_interim", "_parser", "_parts", "_quiet", "_size"),
        *("begun", "complete", "headers", "keep_alive", "pieces", "status"),
    )

    def __init__(self) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.pieces: list[tuple[int, bytes]] = []
        self.complete = False
        self.keep_alive = True
        self.begun = False
        self._parser = HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._is_interim = False
        self._is_framed = False
        self._size = 0
        self._quiet = 0

    def feed(self, at: int, data: bytes) -> None:
        """Parse the bytes of a read at time `at`. Raises `MalformedReply`."""
        headed, self.begun = bool(self.status), True
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.complete:  # bytes after a complete response do not belong to it
                what = "its framing is not HTTP's" if self.status else "not an HTTP/1.1 response"
                raise MalformedReply(f"{what}: {error}: {data[:40]!r}") from None
        if self._parts:
            self._add(at, self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))
            self._parts, self._quiet = [], 0
        elif not self.complete:
            self._bound(data, headed)

    def end(self) -> None:
        """The peer closed the connection: the end of a body without a length, otherwise an error."""
        self.keep_alive = False
        self.complete = self.complete or (bool(self.status) and not self._is_framed)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.complete:
            self._headers[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        status = self._parser.get_status_code()
        headers, self._headers = self._headers, {}
        self._is_interim = status < OK
        if not self._is_interim:
            self.status, self.headers = status, headers
            self.keep_alive = self._parser.should_keep_alive()
            self._is_framed = "content-length" in headers or "chunked" in headers.get("transfer-encoding", "").lower()

    def on_body(self, part: bytes) -> None:
        if not self.complete:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        self.complete = self.complete or not self._is_interim

    def _add(self, at: int, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > BODY_LIMIT:
            raise MalformedReply(f"no end after {BODY_LIMIT / 2**20:g} MiB")
        if len(self.pieces) >= READS_LIMIT:
            raise MalformedReply(f"no end after {READS_LIMIT:,} reads")
        self.pieces.append((at, piece))

    def _bound(self, data: bytes, headed: bool) -> None:
        """Limits the length of a head, and of a chunk's size line, over all its parts."""
        if not self.status:
            self._quiet += len(data)
            limit = HEAD_LIMIT
        else:
            self._quiet = self._quiet + len(data) if headed else len(data) - data.rfind(b"\r\n\r\n") - 4
            limit = LINE_LIMIT
        if self._quiet > limit:
            raise MalformedReply(f"no end after {limit:,} bytes of a head or of a chunk's size: {data[:40]!r}")


class WireBroken(Exception):
    """The connection ended during a request; `begun` when part of the answer had arrived."""

    def __init__(self, message: str, *, begun: bool) -> None:
        super().__init__(message)
        self.begun = begun


class Wire:
    """Sends one request at a time over its `channel`; `usable` while it can take another."""

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self.usable = True
        self._reply: HttpReply | None = None
        self._exchange: Exchange | None = None
        self._is_told = False
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
        if reply.status == OK and self._exchange is not None:
            self._tell(reply, self._exchange)
        if reply.complete:
            self._succeed()

    def _tell(self, reply: HttpReply, exchange: Exchange) -> None:
        if exchange.begun is not None and not self._is_told:
            exchange.begun(reply.headers)
        self._is_told = True
        if exchange.relay is not None:
            for _, piece in reply.pieces[self._relayed :]:
                exchange.relay(piece)
            self._relayed = len(reply.pieces)

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
        """Send the request and wait for the complete answer. `exchange` holds what arrived, also when this raises."""
        if not self.usable or self.channel is None:
            raise WireBroken("the server closed the connection while it was idle", begun=False)
        reply = self._reply = HttpReply()
        done = self._done = asyncio.get_running_loop().create_future()
        self._exchange, self._is_told, self._relayed = exchange, False, 0
        exchange.pieces = reply.pieces
        exchange.sent_at = exchange.sent_at or perf_counter_ns()
        self.channel.write(request)
        try:
            await done
        finally:
            exchange.status, exchange.headers = reply.status, reply.headers
            self.usable = self.usable and reply.complete and reply.keep_alive
            self._reply = self._exchange = self._done = None

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
