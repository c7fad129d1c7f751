"""https, directly and through a proxy, with a certificate of our own."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agentbench.http.client import HttpClient, Target
from agentbench.http.exchange import Exchange
from tests.http.misbehaving_server import WHOLE, listening, request_of

CERTIFICATE = Path(__file__).with_name("localhost.pem")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))


@asynccontextmanager
async def https_server(connections: list[int]) -> AsyncIterator[str]:
    """Its base URL; `connections` gets the number of requests of each connection."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERTIFICATE)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(connections)
        connections.append(0)
        while True:
            await request_of(reader)
            connections[number] += 1
            writer.write(WHOLE)

    async with listening(handle, tls) as url:
        yield url


@asynccontextmanager
async def proxy(asked: list[bytes], answer: bytes = b"HTTP/1.1 200 Connected\r\n\r\n") -> AsyncIterator[str]:
    """Its address; `asked` gets the head of each request. Serves CONNECT, or refuses with another `answer`."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head)
        writer.write(answer)
        if b" 200 " not in answer:
            return
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        to_server, from_client = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_copy(reader, from_client), _copy(to_server, writer))

    async with listening(handle) as url:
        yield url.removesuffix("/v1").removeprefix("http://")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass
    writer.close()


async def asked_twice(url: str) -> list[Exchange]:
    client = HttpClient(Target(base_url=url, api_key="key"), 20.0)
    exchanges = [Exchange(), Exchange()]
    for exchange in exchanges:
        await client.send(client.encode("completions", {}), exchange)
    client.close()
    return exchanges


@pytest.mark.usefixtures("_trusted")
async def test_a_connection_is_used_again() -> None:
    connections: list[int] = []
    async with https_server(connections) as url:
        first, second = await asked_twice(url)
    assert (first.error, second.error, connections) == ("", "", [2])
    assert first.sent_at <= first.pieces[0][0] <= first.ended_at


async def test_a_certificate_that_is_not_trusted_is_told() -> None:
    async with https_server([]) as url:
        first, _ = await asked_twice(url)
    assert first.error == "refused"
    assert "certificate verify failed" in first.detail


@pytest.mark.usefixtures("_trusted")
async def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    connections: list[int] = []
    asked: list[bytes] = []
    async with https_server(connections) as url, proxy(asked) as address:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:p%40ss@{address}")
        first, second = await asked_twice(url)
    assert (first.error, second.error, connections, len(asked)) == ("", "", [2], 1)
    assert b"Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in asked[0]


@pytest.mark.usefixtures("_trusted")
async def test_not_where_it_is_excepted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    async with https_server([]) as url, proxy(asked) as address:
        monkeypatch.setenv("HTTPS_PROXY", address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        first, _ = await asked_twice(url)
    assert (first.error, asked) == ("", [])


@pytest.mark.usefixtures("_trusted")
@pytest.mark.parametrize(
    ("answer", "detail"),
    [(b"HTTP/1.1 403 Forbidden\r\n\r\n", "answered 'HTTP/1.1 403 Forbidden'"), (b"", "gave no HTTP answer")],
)
async def test_a_proxy_that_refuses_is_told(monkeypatch: pytest.MonkeyPatch, answer: bytes, detail: str) -> None:
    async with https_server([]) as url, proxy([], answer) as address:
        monkeypatch.setenv("HTTPS_PROXY", address)
        first, _ = await asked_twice(url)
    assert first.error == "refused"
    assert detail in first.detail
