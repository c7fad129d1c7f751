"""Bytes to and from a server, each read with the time at which the kernel had its bytes.

A client that shares its processors with the server is often run late, and 32 streams that are answered in one step
are read one after the other. Linux stamps what a socket receives when it arrives (SO_TIMESTAMPNS), which neither
delay changes; elsewhere, and under TLS, the stamp is taken as the first thing after the read.
"""

import asyncio
import socket
import struct
import sys
import time
from time import perf_counter_ns
from typing import Protocol

READ_SIZE = 256 * 1024
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("@ll")
ANCILLARY = socket.CMSG_SPACE(TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0
OLDEST_NS = 10 * 10**9
"""A stamp that is older, or from the future, is not believed: the wall clock was set."""


class Receiver(Protocol):
    """What a channel tells what it reads. `lost` comes once, at the end."""

    def received(self, at: int, data: bytes) -> None: ...

    def lost(self, reason: str) -> None: ...


class Channel(Protocol):
    """`write` may finish later; `close` drops the connection and tells nothing."""

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
        """What the socket does not take at once is sent as it takes it."""
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
        """The number of bytes taken; a broken connection takes all, and the reader finds out."""
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
