"""The HTTP/1.1 server: its socket, its connections with bounds on slow clients, and how it stops."""

import asyncio
import json
import math
import signal
import socket
from collections.abc import Callable
from http import HTTPStatus
from types import FrameType
from typing import Any, cast

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from serving.config import HttpConfig
from serving.openai.error import ApiError

MAX_HEAD_BYTES = 64 * 1024  # request line and headers together
SEND_BUFFER_BYTES = 128 * 1024  # Linux would let it grow to megabytes for a client that does not read
# How long clients have, after the drain, to read that their requests were given up.
LAST_WORDS_S = 2
# Longer than clients keep an idle connection (httpx: 5), which so never reuse one that is being closed.
KEEP_ALIVE_S = 30


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Connections made while the model loads wait in its backlog.

    Raises `OSError` where the port is taken or the host is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


class Drain:
    """Whether the server is about to stop; running requests have `seconds` left then."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun = False

    def begin(self) -> None:
        self.begun = True


def run_http_server(
    app: ASGIApp,
    listener: socket.socket,
    announcement: str,
    *,
    config: HttpConfig,
    drain: Drain,
    give_up: Callable[[], None],
    log_level: str,
) -> None:
    """Serve until SIGTERM or SIGINT; then accept no connection, and let running requests end.

    `give_up` is called, in a thread, when the drain is over and requests still run: it ends them.
    Prints `announcement` when it answers.
    """
    settings = uvicorn.Config(
        app,
        http=connections(config),
        ws="none",
        log_level=log_level,
        access_log=False,  # serving.http.access_log
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(drain.seconds) + LAST_WORDS_S,
        lifespan="on",
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _already_stopped)
    _Server(settings, announcement, drain, give_up).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, announcement: str, drain: Drain, give_up: Callable[[], None]) -> None:
        super().__init__(config)
        self._announcement = announcement
        self._drain = drain
        self._give_up = give_up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self._announcement, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._drain.begin()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        giving_up = asyncio.ensure_future(self._give_up_later())
        try:
            await super().shutdown(sockets)
        finally:
            giving_up.cancel()

    async def _give_up_later(self) -> None:
        await asyncio.sleep(self._drain.seconds)
        await asyncio.to_thread(self._give_up)


def _already_stopped(number: int, frame: FrameType | None) -> None:
    """Uvicorn, when it is done, raises the signal that stopped it again: the exit code is 0 all the same."""


class Connection(H11Protocol):
    """Uvicorn's, which waits for slow clients for ever. See `connections`."""

    bounds: HttpConfig
    _stalled: asyncio.TimerHandle | None = None
    _late: asyncio.TimerHandle | None = None
    _unsent = 0
    _lingers = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, _LingeringTransport(transport, self._linger)))
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        # Pause as soon as the kernel's buffer is full: then what is paused is what the client does not read.
        transport.set_write_buffer_limits(high=0)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stalled = _cancelled(self._stalled)
        self._late = _cancelled(self._late)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._lingers:
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._late = _cancelled(self._late)
        elif self._late is None:
            self._expect_head()

    def shutdown(self) -> None:
        """A server that stops waits for no client that is still sending what was refused."""
        if self._lingers:
            self.transport.abort()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        self._stalled = _cancelled(self._stalled)
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """For what is no HTTP, or has too long a head. In the middle of a response there is no place for it."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            limit = f"The request line and the headers may have {MAX_HEAD_BYTES} bytes together."
            self._send_error(ApiError(f"{msg} {limit}", code="invalid_http"))
        self.transport.close()

    def _send_error(self, error: ApiError) -> None:
        body = json.dumps(error.body()).encode()
        head = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        reason = HTTPStatus(error.status).phrase.encode()
        for event in (
            h11.Response(status_code=error.status, headers=head, reason=reason),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")

    def _linger(self) -> bool:
        """Whether the client is still sending. What it sends is dropped then, for `request_timeout_s` at most."""
        if self._lingers or self.conn.their_state not in (h11.SEND_BODY, h11.ERROR):
            return self._lingers
        self._lingers = True
        self._late = _cancelled(self._late)
        self._expect_head()
        self.flow.resume_reading()
        return True

    def _expect_head(self) -> None:
        self._late = self.loop.call_later(self.bounds.request_timeout_s, self.transport.abort)

    def _expect_reading(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(self.bounds.slow_reader_timeout_s, self._check_reading)

    def _check_reading(self) -> None:
        """Abort, where closing would wait for the client to read what is left."""
        if self.transport.get_write_buffer_size() < self._unsent:
            self._expect_reading()
        else:
            self.transport.abort()


class _LingeringTransport:
    """Closes only its own side while the client is still sending.

    Closed with bytes unread, a connection is reset, and the client may never see the answer that it has got.
    """

    def __init__(self, transport: asyncio.Transport, lingers: Callable[[], bool]) -> None:
        self._transport = transport
        self._lingers = lingers
        self._closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        if not self._transport.is_closing() and self._lingers():
            if not self._closing:
                self._close_own_side()
        else:
            self._transport.close()
        self._closing = True

    def _close_own_side(self) -> None:
        try:
            self._transport.write_eof()
        except OSError:  # the client has reset the connection meanwhile
            self._transport.abort()


def connections(config: HttpConfig) -> type[Connection]:
    """The protocol for uvicorn.

    A client whose request line and headers do not arrive within `request_timeout_s`, or that does not take a byte
    of its answer for `slow_reader_timeout_s`, is dropped, which ends its request.
    """
    return type("LimitedConnection", (Connection,), {"bounds": config})


def _cancelled(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """What is left of the timer: none."""
    if timer is not None:
        timer.cancel()
    return None
