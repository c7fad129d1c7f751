"""The HTTP client: keeps connections open, and sends and reads a request at the least cost.

The server under test often shares the machine, so that the client's work slows the server down and delays the reading
of all other streams. The client therefore only stamps and stores bytes; the caller decodes them after the end of the
answer.
"""

import asyncio
import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from agentbench.credentials import forms_of, names_a_secret
from agentbench.environment import https_proxy
from agentbench.http.connection import connect
from agentbench.http.exchange import Exchange
from agentbench.http.wire import MalformedReply, Wire, WireBroken

NO_KEY = "none"

MOST_DROPPED = 2
"""After a server closed this many idle connections, each request gets a new one, opened before the timing starts."""


class Addressed(Protocol):
    """The parts of an endpoint that requests need."""

    @property
    def base_url(self) -> str: ...
    @property
    def api_key(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def query(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The destination of requests. `base_url` ends in /v1; every request carries `headers` and `query`."""

    base_url: str
    api_key: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, endpoint: Addressed) -> "Target":
        return cls(base_url=endpoint.base_url, api_key=endpoint.api_key, headers=endpoint.headers, query=endpoint.query)

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.base_url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def tls(self) -> ssl.SSLContext | None:
        return ssl.create_default_context() if urlsplit(self.base_url).scheme == "https" else None


class HttpClient:
    """Sends requests to one server over as many connections as are needed at once.

    HTTPS_PROXY applies to https servers only; an http server, usually on the same machine or network, is measured
    without a proxy. Certificates are checked against the system's, or those in SSL_CERT_FILE.
    """

    def __init__(self, target: Target, timeout_s: float) -> None:
        self._target = target
        self._tls = target.tls
        self._proxy = https_proxy(target.address[0]) if self._tls else None
        self._timeout_s = timeout_s
        self._secrets = forms_of([target.api_key, *_secret(target.headers), *_secret(target.query)])
        self._heads: dict[tuple[str, str], bytes] = {}
        self._idle: list[Wire] = []
        self._dropped = 0
        self._closed = False

    def encode(self, path: str, body: Mapping[str, Any]) -> bytes:
        """The bytes of a POST to a path under the base URL."""
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        return self._head("POST", path, len(content)) + content

    def _head(self, method: str, path: str, length: int) -> bytes:
        head = self._heads.get((method, path)) or self._heads.setdefault((method, path), self._fixed(method, path))
        return head + (b"Content-Length: %d\r\n\r\n" % length if method == "POST" else b"\r\n")

    def _fixed(self, method: str, path: str) -> bytes:
        """The head of a request, without the length of its body."""
        target = self._target
        parts = urlsplit(target.base_url)
        query = f"?{urlencode(target.query)}" if target.query else ""
        headers = {
            "host": parts.netloc.rpartition("@")[2],
            **({"authorization": f"Bearer {target.api_key}"} if target.api_key != NO_KEY else {}),
            **{"accept": "*/*", "accept-encoding": "identity", "user-agent": "agentbench"},
            **({"content-type": "application/json"} if method == "POST" else {}),
            **{name.lower(): value for name, value in target.headers.items()},
        }
        lines = [f"{method} {parts.path.rstrip('/')}/{path}{query} HTTP/1.1"]
        lines += [f"{name.title()}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n").encode("latin-1", "replace")

    async def get(self, path: str, exchange: Exchange) -> None:
        await self.send(self._head("GET", path, 0), exchange)

    async def send(self, request: bytes, exchange: Exchange) -> None:
        """Send the request and read the answer into `exchange`. Errors are stored in its `error`, never raised."""
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
            exchange.redact(self._secrets)

    async def _send(self, request: bytes, exchange: Exchange) -> None:
        """Send the request. When the connection was closed while idle, send it once more on a new one, before the first
        byte.
        """
        wire = self._idle_wire()
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

    def _idle_wire(self) -> Wire | None:
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
        """Close idle connections now, and each busy one after its answer."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()


def _secret(values: Mapping[str, str]) -> list[str]:
    return [value for name, value in values.items() if names_a_secret(name)]


def _reason(error: OSError) -> str:
    """The operating system's error text when there is one; asyncio's own text only names the address."""
    if error.errno and error.errno > 0 and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__
