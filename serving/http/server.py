"""The HTTP/1.1 server: its socket, timeouts for slow clients, and the drain after a stop signal."""

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
SEND_BUFFER_BYTES = 128 * 1024  # Linux's default grows to megabytes for a client that does not read
# After the drain, the time for clients to read the error of their aborted requests.
ABORT_DELIVERY_S = 2
# Clients close idle connections earlier (httpx after 5 s), so none reuses a connection that the server is closing.
KEEP_ALIVE_S = 30


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Connections that arrive while the model loads wait in its backlog.

    Raises `OSError` if the port is in use or the host is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


class Drain:
    """The phase between the stop signal and the end: running requests may continue for `seconds` seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.started = False

    def start(self) -> None:
        self.started = True


def run_http_server(
    app: ASGIApp,
    listener: socket.socket,
    ready_line: str,
    *,
    config: HttpConfig,
    drain: Drain,
    abort_requests: Callable[[], None],
    log_level: str,
) -> None:
    """Serve until SIGTERM or SIGINT. Then accept no more connections and wait for the running requests.

    Prints `ready_line` when the server is ready. Calls `abort_requests`, in a thread, if requests still run at the
    end of the drain.
    """
    settings = uvicorn.Config(
        app,
        http=connection_class(config),
        ws="none",
        log_level=log_level,
        access_log=False,  # serving.http.access_log replaces it
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(drain.seconds) + ABORT_DELIVERY_S,
        lifespan="on",
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore_signal)
    _Server(settings, ready_line, drain, abort_requests).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, ready_line: str, drain: Drain, abort_requests: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._ready_line = ready_line
        self._drain = drain
        self._abort_requests = abort_requests

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self._ready_line, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._drain.start()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        abort = asyncio.ensure_future(self._abort_after_drain())
        try:
            await super().shutdown(sockets)
        finally:
            abort.cancel()

    async def _abort_after_drain(self) -> None:
        await asyncio.sleep(self._drain.seconds)
        await asyncio.to_thread(self._abort_requests)


def _ignore_signal(number: int, frame: FrameType | None) -> None:
    """Uvicorn raises the stop signal again after its shutdown. Ignoring it there makes the exit code 0."""


class Connection(H11Protocol):
    """Uvicorn's connection with the timeouts of `limits` for slow clients. See `connection_class`."""

    limits: HttpConfig
    _read_timer: asyncio.TimerHandle | None = None  # runs while the client must read
    _head_timer: asyncio.TimerHandle | None = None  # runs until a request's head has arrived
    _unsent_bytes = 0
    _lingering = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, _LingeringTransport(transport, self._linger_if_sending)))
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        # Pause writing as soon as the kernel's buffer is full: it is full only if the client does not read.
        transport.set_write_buffer_limits(high=0)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_read_timer()
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_head_timer()
        elif self._head_timer is None:
            self._start_head_timer()

    def shutdown(self) -> None:
        """Abort a lingering connection: a stopping server does not wait for the rest of a refused request."""
        if self._lingering:
            self.transport.abort()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_read_timer()

    def resume_writing(self) -> None:
        self._stop_read_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Close the connection after input that is not HTTP or has too long a head.

        The error is sent unless a response has begun.
        """
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            limit = f"The request line and the headers may have at most {MAX_HEAD_BYTES} bytes together."
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

    def _linger_if_sending(self) -> bool:
        """Whether the client is still sending its request. Its data is then discarded, for `request_timeout_s`."""
        if self._lingering or self.conn.their_state not in (h11.SEND_BODY, h11.ERROR):
            return self._lingering
        self._lingering = True
        self._stop_head_timer()
        self._start_head_timer()
        self.flow.resume_reading()
        return True

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.request_timeout_s, self.transport.abort)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _start_read_timer(self) -> None:
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._read_timer = self.loop.call_later(self.limits.slow_reader_timeout_s, self._check_read_progress)

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _check_read_progress(self) -> None:
        """Abort the connection if the client has read nothing since the timer started.

        `close` would wait until the client has read the rest.
        """
        if self.transport.get_write_buffer_size() < self._unsent_bytes:
            self._start_read_timer()
        else:
            self.transport.abort()


class _LingeringTransport:
    """A transport with a lingering close: while the client is sending, `close` ends only the server's direction.

    The kernel resets a connection that is closed with unread bytes, and the client may then lose the response.
    """

    def __init__(self, transport: asyncio.Transport, client_is_sending: Callable[[], bool]) -> None:
        self._transport = transport
        self._client_is_sending = client_is_sending
        self._closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        if not self._transport.is_closing() and self._client_is_sending():
            if not self._closing:
                self._close_write_side()
        else:
            self._transport.close()
        self._closing = True

    def _close_write_side(self) -> None:
        try:
            self._transport.write_eof()
        except OSError:  # the client has already reset the connection
            self._transport.abort()


def connection_class(config: HttpConfig) -> type[Connection]:
    """The protocol class for uvicorn, with the timeouts of `config`.

    A client is disconnected, and its request aborted, if its request line and headers do not arrive within
    `request_timeout_s`, or if it reads no byte of its answer for `slow_reader_timeout_s`.
    """
    return type("LimitedConnection", (Connection,), {"limits": config})
