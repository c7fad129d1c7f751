"""The client against real servers that misbehave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import perf_counter_ns

from agentbench.http.client import HttpClient, Target
from agentbench.http.exchange import Exchange
from tests.http.misbehaving_server import HEAD, TOKEN, WHOLE, answering, framed, listening, request_of


@asynccontextmanager
async def client_of(server: AbstractAsyncContextManager[str], timeout_s: float = 20.0) -> AsyncIterator[HttpClient]:
    async with server as url:
        client = HttpClient(Target(base_url=url, api_key="key"), timeout_s)
        try:
            yield client
        finally:
            client.close()


async def asked(client: HttpClient) -> Exchange:
    exchange = Exchange()
    await client.send(client.encode("completions", {"prompt": "é" * 10}), exchange)
    return exchange


def test_a_request_is_a_post_under_the_base_url_with_the_key() -> None:
    client = HttpClient(Target(base_url="http://user:word@host:81/some/v1/", api_key="key"), 1.0)
    head, _, body = client.encode("completions", {"prompt": "é"}).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /some/v1/completions HTTP/1.1\r\nHost: host:81\r\nAuthorization: Bearer key\r\n")
    assert head.endswith(b"Content-Length: 15")
    assert body.decode() == '{"prompt":"é"}'


async def test_a_connection_is_used_again() -> None:
    connections = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await request_of(reader)
            writer.write(WHOLE)

    async with client_of(listening(count)) as client:
        first, second = await asked(client), await asked(client)
    assert (first.error, second.error, second.retries, connections) == ("", "", 0, 1)
    assert 0 < first.sent_at <= first.pieces[0][0] <= first.ended_at
    assert first.body.startswith(TOKEN)


async def test_a_request_that_a_kept_connection_drops_is_sent_again_and_counted() -> None:
    async with client_of(answering(WHOLE, None, WHOLE)) as client:
        await asked(client)
        exchange = await asked(client)
    assert (exchange.error, exchange.retries) == ("", 1)


async def test_the_time_of_a_request_that_is_sent_again_runs_from_the_first_sending() -> None:
    arrived: list[int] = []

    async def drop_the_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request_of(reader)
            arrived.append(perf_counter_ns())
            if len(arrived) == 2:
                return
            writer.write(WHOLE)

    async with client_of(listening(drop_the_second)) as client:
        await asked(client)
        exchange = await asked(client)
    assert (exchange.error, exchange.retries, len(arrived)) == ("", 1, 3)
    assert arrived[0] < exchange.sent_at < arrived[1]


async def test_it_is_sent_again_only_once() -> None:
    async with client_of(answering(WHOLE, None, None, WHOLE)) as client:
        await asked(client)
        exchange = await asked(client)
    assert (exchange.error, exchange.retries) == ("reset", 1)


async def test_a_new_connection_that_is_dropped_is_not_tried_again() -> None:
    async with client_of(answering(None, WHOLE)) as client:
        exchange = await asked(client)
    assert (exchange.error, exchange.retries) == ("reset", 0)


async def test_a_stream_that_breaks_is_an_error_and_keeps_what_came() -> None:
    async with client_of(answering(HEAD + framed(TOKEN))) as client:
        exchange = await asked(client)
    assert (exchange.error, exchange.retries, exchange.body) == ("broken", 0, TOKEN)


async def test_something_else_than_http_is_told() -> None:
    async with client_of(answering(b"220 smtp ready\r\n")) as client:
        assert (await asked(client)).error == "malformed"


async def test_nobody_at_the_address() -> None:
    exchange = await asked(HttpClient(Target(base_url="http://127.0.0.1:9/v1", api_key="k"), 5.0))
    assert (exchange.error, exchange.detail, exchange.sent_at) == ("refused", "Connection refused", 0)


async def test_a_server_that_says_nothing_runs_into_the_limit() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with client_of(listening(silent), timeout_s=0.05) as client:
        exchange = await asked(client)
    assert (exchange.error, exchange.detail) == ("timeout", "not done after 0.05 s")


async def test_the_limit_is_one_of_the_whole_request() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(HEAD)
        while not writer.is_closing():
            writer.write(framed(TOKEN))
            await writer.drain()
            await asyncio.sleep(0.001)

    async with client_of(listening(endless), timeout_s=0.1) as client:
        exchange = await asked(client)
    assert exchange.error == "timeout"
    assert exchange.pieces


async def test_a_client_that_is_closed_keeps_no_connection() -> None:
    answer = asyncio.Event()
    closed = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        await answer.wait()
        writer.write(WHOLE)
        assert not await reader.read()
        closed.set()

    async with client_of(listening(wait)) as client:
        running = asyncio.create_task(asked(client))
        await asyncio.sleep(0)
        client.close()
        answer.set()
        assert (await running).error == ""
        async with asyncio.timeout(10):
            await closed.wait()


async def test_a_request_that_the_socket_does_not_take_at_once_is_sent_whole() -> None:
    bodies: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bodies.append(await request_of(reader))
        writer.write(WHOLE)
        await writer.drain()

    exchange = Exchange()
    async with client_of(listening(take)) as client:
        request = client.encode("completions", {"prompt": list(range(1_000_000))})
        await client.send(request, exchange)
    assert exchange.error == ""
    assert request.endswith(bodies[0])
