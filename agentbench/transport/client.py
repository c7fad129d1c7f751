"""The client: connections kept open, one request sent and read at the least cost.

The server under test is often on the same machine, so that what the client computes is taken from it, and delays the
reading of all other streams: bytes are stamped and kept, and whoever asked decodes them when the answer is whole.
"""

import asyncio
import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any
from urllib.parse import urlsplit

from agentbench.environment import https_proxy
from agentbench.transport.connect import connect
from agentbench.transport.exchange import Exchange
from agentbench.transport.http_reply import MalformedReply
from agentbench.transport.wire import Wire, WireBroken

MOST_DROPPED = 2
"""A server that dropped so many kept connections gets a new one for each request, made before it is timed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where requests go. `base_url` ends in /v1."""

    base_url: str
    api_key: str

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.base_url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def tls(self) -> ssl.SSLContext | None:
        return ssl.create_default_context() if urlsplit(self.base_url).scheme == "https" else None


class HttpClient:
    """Requests to one server over as many connections as are needed at once.

    An https server may be behind the proxy that HTTPS_PROXY names; an http one is asked directly, since that is how
    a server on the same machine or network is measured. Certificates are checked against the system's, or those in
    SSL_CERT_FILE.
    """

    def __init__(self, target: Target, timeout_s: float) -> None:
        self._target = target
        self._tls = target.tls
        self._proxy = https_proxy(target.address[0]) if self._tls else None
        self._timeout_s = timeout_s
        self._idle: list[Wire] = []
        self._dropped = 0
        self._closed = False

    def encode(self, path: str, body: Mapping[str, Any]) -> bytes:
        """A POST under the base URL, ready to be written."""
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        return self._head("POST", path, len(content)) + content

    def _head(self, method: str, path: str, length: int) -> bytes:
        parts = urlsplit(self._target.base_url)
        lines = [
            f"{method} {parts.path.rstrip('/')}/{path} HTTP/1.1",
            f"Host: {parts.netloc.rpartition('@')[2]}",
            f"Authorization: Bearer {self._target.api_key}",
            "Accept: */*",
            "Accept-Encoding: identity",
            "User-Agent: agentbench",
        ]
        if method == "POST":
            lines += ["Content-Type: application/json", f"Content-Length: {length}"]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")

    async def get(self, path: str, exchange: Exchange) -> None:
        await self.send(self._head("GET", path, 0), exchange)

    async def send(self, request: bytes, exchange: Exchange) -> None:
        """Send it and read the answer into `exchange`; what goes wrong is in its `error`, never raised."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._send(request, exchange)
        except TimeoutError:
            exchange.error, exchange.detail = "timeout", f"not done after {self._timeout_s:g} s"
        except WireBroken as error:
            exchange.error, exchange.detail = ("broken" if error.begun else "reset"), str(error)
        except MalformedReply as error:
            exchange.error, exchange.detail = "malformed", str(error)
        except OSError as error:
            exchange.error, exchange.detail = "refused", _reason(error)
        except asyncio.CancelledError:
            exchange.error = "interrupted"
            raise
        finally:
            exchange.ended_at = perf_counter_ns()

    async def _send(self, request: bytes, exchange: Exchange) -> None:
        """Once more on a new connection when a kept one turns out to be closed, and only before the first byte."""
        wire = self._kept()
        if wire is not None:
            try:
                return await self._ask(wire, request, exchange)
            except WireBroken as error:
                if error.begun:
                    raise
            exchange.retries += 1
            self._dropped += 1
        await self._ask(await self._connect(), request, exchange)

    async def _ask(self, wire: Wire, request: bytes, exchange: Exchange) -> None:
        try:
            await wire.ask(request, exchange)
        finally:
            if wire.usable and self._dropped < MOST_DROPPED and not self._closed:
                self._idle.append(wire)
            else:
                wire.close()

    def _kept(self) -> Wire | None:
        while self._idle:
            wire = self._idle.pop()
            if wire.usable:
                return wire
        return None

    async def _connect(self) -> Wire:
        host, port = self._target.address
        wire = Wire()
        wire.channel = await connect(host, port, wire, tls=self._tls, proxy=self._proxy)
        return wire

    def close(self) -> None:
        """The kept connections, and each one in use when its answer is whole."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()


def _reason(error: OSError) -> str:
    """The system's own words where it has some; asyncio's name only the address."""
    if error.errno and error.errno > 0 and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__
