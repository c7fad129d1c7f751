"""Misbehaving clients and stop signals: a server process with a fake engine, over real sockets."""

import asyncio
import errno
import json
import os
import select
import signal
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import repeat
from pathlib import Path
from typing import Any

import httpx2
import pytest

from serving.http.server import _LingeringTransport
from tests.serving.server_process import ServerProcess, running_fake_server

KEY = "sk-secret"
SHORT_TIMEOUTS = ("--request-timeout-s", "1", "--slow-reader-timeout-s", "1", "--max-body-bytes", "1000000")
STREAM: dict[str, Any] = {"model": "fake", "prompt": "x", "stream": True}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """Sends each request 32 KiB every 20 ms, which soon fills a client's buffers."""
    with running_fake_server(0.02, 32 * 1024, *SHORT_TIMEOUTS) as process:
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.log()


def http(server: ServerProcess) -> httpx2.Client:
    return httpx2.Client(base_url=server.base_url, timeout=30)


def running(server: ServerProcess) -> int:
    with http(server) as client:
        load = client.get(server.base_url.removesuffix("v1") + "health").json()
    return int(load["running"])


@contextmanager
def connected(server: ServerProcess, data: bytes = b"", receive_buffer: int | None = None) -> Iterator[socket.socket]:
    """A connection to the server, after sending `data` on it."""
    with socket.socket() as connection:
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(30)
        connection.connect(server.address)
        connection.sendall(data)
        yield connection


def request_of(body: object, *headers: str) -> bytes:
    content = json.dumps(body).encode()
    head = ["POST /v1/completions HTTP/1.1", "host: localhost", f"content-length: {len(content)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + content


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes or resets the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


def error_of(response: bytes) -> dict[str, Any]:
    error = json.loads(response.partition(b"\r\n\r\n")[2])["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)


def resident_bytes(server: ServerProcess) -> int:
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def test_64_clients_that_do_not_read_delay_no_other_and_are_disconnected(server: ServerProcess) -> None:
    before = resident_bytes(server)
    endless = request_of({**STREAM, "max_tokens": 900_000})
    with ExitStack() as stack:
        slow = [stack.enter_context(connected(server, endless, receive_buffer=4096)) for _ in range(64)]
        with http(server) as client:
            answer = client.post("/completions", json={"model": "fake", "prompt": "x", "max_tokens": 3}).json()
        assert answer["usage"]["completion_tokens"] == 3
        while running(server):
            assert resident_bytes(server) - before < 300 * 2**20
        for connection in slow:
            assert b"[DONE]" not in read_all(connection)


def test_a_client_that_reads_slowly_gets_the_whole_answer(server: ServerProcess) -> None:
    """Reading the whole answer takes longer than the timeout, but every read makes progress."""
    with connected(server, request_of({**STREAM, "max_tokens": 150}, "connection: close"), 65536) as connection:
        assert read_all(connection).count(b"x" * 32 * 1024) == 150


def test_a_head_of_a_megabyte_is_a_400(server: ServerProcess) -> None:
    with connected(server) as connection:
        with suppress(ConnectionError):
            connection.sendall(b"GET /health HTTP/1.1\r\nx: " + b"y" * 2**20 + b"\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 400")
    assert running(server) == 0


NOT_HTTP = [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n"]


@pytest.mark.parametrize("data", NOT_HTTP)
def test_invalid_http_is_an_error_in_openais_shape(server: ServerProcess, data: bytes) -> None:
    with connected(server, data + b"\r\n\r\n") as connection:
        response = read_all(connection)
    assert response.startswith(b"HTTP/1.1 400 ")
    assert error_of(response)["code"] == "invalid_http"


def test_a_head_that_never_ends_times_out(server: ServerProcess) -> None:
    with connected(server) as silent, connected(server, b"POST /v1/completions HTTP/1.1\r\nhost:") as stuck:
        assert read_all(silent) == b""
        assert read_all(stuck) == b""


def test_a_body_that_never_ends_is_a_408(server: ServerProcess) -> None:
    head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 500\r\n\r\n{"
    with connected(server, head) as connection:
        response = read_all(connection)
    assert response.startswith(b"HTTP/1.1 408 ")
    assert error_of(response)["code"] == "request_timeout"


def test_an_announced_body_that_is_too_large_is_refused_before_it_is_sent(server: ServerProcess) -> None:
    head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10000000000\r\n\r\n"
    with connected(server, head) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_sends_too_large_a_body_in_chunks_can_read_the_413(server: ServerProcess) -> None:
    pieces = (b"x" * 65536 for _ in range(100))
    with http(server) as client:
        response = client.post("/completions", content=pieces)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"


@pytest.mark.parametrize("headers", [(), ("connection: close",)])
def test_a_client_that_sends_too_large_a_body_at_once_can_read_the_413(
    server: ServerProcess, headers: tuple[str, ...]
) -> None:
    with connected(server, request_of({**STREAM, "prompt": "x" * 5_000_000}, *headers)) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_never_stops_sending_is_disconnected(server: ServerProcess) -> None:
    head = (
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 10000000000\r\n\r\n"
    )
    with connected(server, head) as connection, pytest.raises(ConnectionError):
        deque(map(connection.sendall, repeat(b"x" * 65536)), maxlen=0)


def test_a_client_that_disconnects_within_its_body_leaves_no_request(server: ServerProcess) -> None:
    with connected(server, b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 500\r\n\r\n{"):
        pass
    assert running(server) == 0


@contextmanager
def stoppable(*options: str) -> Iterator[ServerProcess]:
    with running_fake_server(0.01, 10, *options) as process:
        yield process


def first_event(connection: socket.socket) -> bytes:
    received = b""
    while b"data: " not in received:
        received += connection.recv(65536)
    return received


def test_after_a_stop_signal_running_requests_end_and_new_ones_are_refused() -> None:
    with stoppable("--drain-s", "20") as server:
        with connected(server, request_of({**STREAM, "max_tokens": 100})) as connection:
            received = first_event(connection)
            server.process.send_signal(signal.SIGTERM)
            received += read_all(connection)
            with pytest.raises(OSError, match=r"refused|reset"), connected(server, request_of(STREAM)) as late:
                late.recv(1)
        assert server.process.wait(60) == 0
    assert received.count(b'"text":"xxxxxxxxxx"') == 100
    assert b'"finish_reason":"length"' in received
    assert b"data: [DONE]" in received


def test_a_stopping_server_does_not_wait_for_a_refused_client() -> None:
    head = (
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 10000000000\r\n\r\n"
    )
    with stoppable("--drain-s", "60") as server, connected(server, head) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
        assert server.stop() == 0


def test_requests_that_outlast_the_drain_end_with_an_error() -> None:
    with stoppable("--drain-s", "0.3") as server:
        endless = request_of({**STREAM, "max_tokens": 900_000})
        with connected(server, endless) as connection, connected(server, endless, 4096) as slow:
            first_event(connection)
            first_event(slow)
            server.process.send_signal(signal.SIGTERM)
            received = read_all(connection)
            assert server.process.wait(60) == 0
        log = server.log()
    assert b"the server is shutting down" in received
    assert b"data: [DONE]" in received
    assert "Traceback" not in log


def test_the_log_has_a_line_a_request_and_no_key(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    with stoppable("--api-key", f"@{file}", "--log-level", "info", "--served-model-name", "small") as server:
        assert KEY not in Path(f"/proc/{server.process.pid}/cmdline").read_text()
        with http(server) as client:
            body = {"model": "small", "prompt": "my secret", "max_tokens": 2}
            assert client.post("/completions", json=body).status_code == 401
            client.headers["authorization"] = f"Bearer {KEY}"
            assert client.post("/completions", json=body).status_code == 200
        assert server.stop() == 0
        log = server.log()
    lines = [json.loads(line.split(": ", 1)[1]) for line in log.splitlines() if "serving.requests" in line]
    assert [line["status"] for line in lines] == [401, 200]
    assert lines[1]["completion_tokens"] == 2
    assert KEY not in log
    assert "secret" not in log


def test_a_client_that_disconnects_ends_its_request(server: ServerProcess) -> None:
    with connected(server, request_of({**STREAM, "max_tokens": 900_000})) as connection:
        first_event(connection)
        assert running(server) == 1
    while running(server):
        select.select([], [], [], 0)


class _ResetTransport(asyncio.Transport):
    """The transport of a connection that the client has reset."""

    aborted = False

    def is_closing(self) -> bool:
        return False

    def write_eof(self) -> None:
        raise OSError(errno.ENOTCONN, "not connected")

    def abort(self) -> None:
        self.aborted = True


def test_closing_a_connection_that_the_client_has_reset_aborts_it() -> None:
    transport = _ResetTransport()
    lingering = _LingeringTransport(transport, lambda: True)
    lingering.close()
    assert transport.aborted
    assert lingering.is_closing()
