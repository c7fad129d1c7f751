"""Connections to a server, and bytes with their receive times.

A client that shares its processors with the server often runs late, and 32 streams with data in the same step are read
one after the other. Linux stamps the arrival of a socket's bytes (SO_TIMESTAMPNS), which neither delay changes.
Elsewhere, and under TLS, the stamp is taken first thing after the read.

A plain HTTP server is reached directly, an https server optionally through an HTTP proxy (RFC 9110, section 9.3.6).
"""

import asyncio
import base64
import socket
import ssl
import struct
import sys
import time
from time import perf_counter_ns
from typing import Protocol

from agentbench.environment import Proxy

READ_SIZE = 256 * 1024
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("@ll")
ANCILLARY = socket.CMSG_SPACE(TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0
OLDEST_NS = 10 * 10**9
"""An older stamp, or one from the future, is ignored: the wall clock was changed."""


class Receiver(Protocol):
    """Receives the bytes that a channel reads. `lost` is called once, at the end."""

    def received(self, at: int, data: bytes) -> None: ...

    def lost(self, reason: str) -> None: ...


class Channel(Protocol):
    """`write` may finish later; `close` drops the connection without calling the receiver."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class StampedSocket:
    """A plain TCP connection."""

    def __init__(self, connection: socket.socket, loop: asyncio.AbstractEventLoop, receiver: Receiver) -> None:
        self._socket = connection
        self._loop = loop
        self._receiver = receiver
        self._unsent = b""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stamped = sys.platform == "linux" and _ask_for_stamps(connection)
        loop.add_reader(connection, self._read)

    def _read(self) -> None:
        try:
            if self._stamped:
                data, ancillary, _, _ = self._socket.recvmsg(READ_SIZE, ANCILLARY)
            else:
                data, ancillary = self._socket.recv(READ_SIZE), []
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            return self._end(error.strerror or str(error))
        at = perf_counter_ns()
        if not data:
            return self._end("the server closed the connection")
        if ancillary:
            at -= _age(ancillary[0][2])
        self._receiver.received(at, data)

    def write(self, data: bytes) -> None:
        """Send the data; the part that the socket does not accept now is sent later."""
        if not self._unsent:
            data = data[self._send(data) :]
            if data:
                self._loop.add_writer(self._socket, self._flush)
        self._unsent += data

    def _flush(self) -> None:
        self._unsent = self._unsent[self._send(self._unsent) :]
        if not self._unsent:
            self._loop.remove_writer(self._socket)

    def _send(self, data: bytes) -> int:
        """The number of bytes sent. A broken connection accepts all of them; the reader then finds the error."""
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            return len(data)

    def _end(self, reason: str) -> None:
        self.close()
        self._receiver.lost(reason)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()


class TlsChannel(asyncio.Protocol):
    """A connection whose reads are decrypted by asyncio."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._receiver.received(perf_counter_ns(), data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._receiver.lost(str(exc) if exc else "the server closed the connection")

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()


def _ask_for_stamps(connection: socket.socket) -> bool:
    try:
        connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


def _age(stamp: bytes) -> int:
    """Nanoseconds since the kernel had the bytes; the stamp is on the wall clock."""
    if len(stamp) != TIMESPEC.size:
        return 0
    seconds, nanoseconds = TIMESPEC.unpack(stamp)
    age = time.time_ns() - (seconds * 10**9 + nanoseconds)
    return age if 0 <= age < OLDEST_NS else 0


ANSWER_LIMIT = 64 * 1024


async def tunnel(connection: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """Opens a tunnel through `proxy` to `host` on an open connection. Raises `OSError` when the proxy refuses."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, _request(proxy, host, port))
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = await loop.sock_recv(connection, ANSWER_LIMIT)
        answer += data
        if not data or len(answer) > ANSWER_LIMIT:
            raise OSError(f"the proxy {proxy.host}:{proxy.port} gave no HTTP answer")
    first = answer.split(b"\r\n")[0].decode("latin-1")
    if first.split(" ")[1:2] != ["200"]:
        raise OSError(f"the proxy {proxy.host}:{proxy.port} answered {first!r}")


def _request(proxy: Proxy, host: str, port: int) -> bytes:
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {name} HTTP/1.1", f"Host: {name}"]
    if proxy.credentials:
        lines.append("Proxy-Authorization: Basic " + base64.b64encode(proxy.credentials.encode()).decode())
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


NEXT_ADDRESS_S = 0.25
"""Head start of one address of a host before the next is tried in parallel (RFC 8305)."""


async def connect(
    host: str, port: int, receiver: Receiver, *, tls: ssl.SSLContext | None, proxy: Proxy | None
) -> Channel:
    """Open a connection. Raises `OSError` when no address responds. Only a connection with `tls` uses `proxy`."""
    loop = asyncio.get_running_loop()
    if tls is None:
        return StampedSocket(await _open(host, port), loop, receiver)
    if proxy is not None:
        return await _through(proxy, host, port, receiver, tls)
    _, channel = await loop.create_connection(
        lambda: TlsChannel(receiver), host, port, ssl=tls, happy_eyeballs_delay=NEXT_ADDRESS_S
    )
    return channel


async def _through(proxy: Proxy, host: str, port: int, receiver: Receiver, tls: ssl.SSLContext) -> Channel:
    connection = await _open(proxy.host, proxy.port)
    try:
        await tunnel(connection, proxy, host, port)
        _, channel = await asyncio.get_running_loop().create_connection(
            lambda: TlsChannel(receiver), sock=connection, ssl=tls, server_hostname=host
        )
    except BaseException:  # a cancellation too: an open socket has no owner yet
        connection.close()
        raise
    return channel


async def _open(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    error: OSError | None = None
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            await loop.sock_connect(connection, address)
        except OSError as found:
            connection.close()
            error = found
        except BaseException:  # as in `_through`
            connection.close()
            raise
        else:
            return connection
    raise error or OSError(f"no address for {host}")
