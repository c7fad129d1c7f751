"""The client against real servers that misbehave."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from time import perf_counter_ns

import pytest

from agentbench.load.client import LoadClient, Target
from agentbench.load.exchange import Exchange
from agentbench.load.record import Record, record_of
from agentbench.load.workload import Turn

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKEN = b'data: {"choices": [{"index": 0, "text": "a", "finish_reason": null}]}\n\n'
DONE = b"data: [DONE]\n\n"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


WHOLE = HEAD + framed(TOKEN) + framed(DONE) + b"0\r\n\r\n"


@asynccontextmanager
async def listening(handle: Handler, timeout_s: float = 20.0) -> AsyncIterator[LoadClient]:
    """A client of a server that hands each connection to `handle`; all are over when the context is."""
    tasks: set[asyncio.Future[None]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await handle(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    client = LoadClient(Target(base_url=address(server), api_key="key"), timeout_s)
    try:
        yield client
    finally:
        client.close()
        server.close()
        await asyncio.wait(tasks)


def answering(*answers: bytes | None) -> AbstractAsyncContextManager[LoadClient]:
    """A server that gives these answers to requests in turn; None closes the connection instead.

    Only after `WHOLE` the connection is kept.
    """
    left = list(answers)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer: bytes | None = WHOLE
        while answer is WHOLE:
            await request_of(reader)
            answer = left.pop(0)
            writer.write(answer or b"")
            await writer.drain()

    return listening(handle)


async def request_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))


def address(server: asyncio.Server) -> str:
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def asked(client: LoadClient) -> Record:
    turn = Turn(path="completions", body={"prompt": "é" * 10})
    exchange = Exchange(index=0, session=0, turn=0, asked=turn, warmup=False, intended_at=perf_counter_ns())
    await client.send(client.encode(turn.path, turn.body), exchange)
    return record_of(exchange, exchange.intended_at)


async def test_a_connection_is_used_again() -> None:
    async with answering(WHOLE, WHOLE) as client:
        first, second = await asked(client), await asked(client)
    assert (first.error, second.error, second.retries) == (None, None, 0)
    assert 0 < first.sent_at <= first.chunk_at[0] <= first.ended_at


async def test_a_request_that_a_kept_connection_drops_is_sent_again_and_counted() -> None:
    async with answering(WHOLE, None, WHOLE) as client:
        await asked(client)
        record = await asked(client)
    assert (record.error, record.retries) == (None, 1)


async def test_it_is_sent_again_only_once() -> None:
    async with answering(WHOLE, None, None, WHOLE) as client:
        await asked(client)
        record = await asked(client)
    assert (record.error, record.retries) == ("reset", 1)


async def test_a_new_connection_that_is_dropped_is_not_tried_again() -> None:
    async with answering(None, WHOLE) as client:
        record = await asked(client)
    assert (record.error, record.retries) == ("reset", 0)


async def test_a_stream_that_breaks_is_an_error_and_keeps_its_tokens() -> None:
    async with answering(HEAD + framed(TOKEN)) as client:
        record = await asked(client)
    assert (record.error, record.retries, len(record.chunk_at)) == ("broken", 0, 1)


async def test_a_stream_that_ends_early_is_an_error() -> None:
    async with answering(HEAD + framed(TOKEN) + b"0\r\n\r\n") as client:
        assert (await asked(client)).error == "broken"


async def test_an_answer_without_a_token_is_an_error() -> None:
    async with answering(HEAD + framed(DONE) + b"0\r\n\r\n") as client:
        assert (await asked(client)).error == "empty"


@pytest.mark.parametrize(
    ("body", "detail"), [(b'{"error": {"message": "too long"}}', "too long"), (b"<h1>no</h1>", "<h1>no</h1>")]
)
async def test_a_refusal_is_of_its_status(body: bytes, detail: str) -> None:
    async with answering(b"HTTP/1.1 429 X\r\nContent-Length: %d\r\n\r\n" % len(body) + body) as client:
        record = await asked(client)
    assert (record.error, record.status, record.detail) == ("HTTP 429", 429, detail)


async def test_an_answer_in_one_piece_is_taken_when_it_ended() -> None:
    body = b'{"choices": [{"text": "a b", "finish_reason": "stop"}], "usage": {"completion_tokens": 2}}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with answering(head + body) as client:
        record = await asked(client)
    assert (record.error, record.completion_tokens, len(record.chunk_at)) == (None, 2, 1)


async def test_something_else_than_http_is_told() -> None:
    async with answering(b"220 smtp ready\r\n") as client:
        assert (await asked(client)).error == "malformed"


async def test_nobody_at_the_address() -> None:
    client = LoadClient(Target(base_url="http://127.0.0.1:9/v1", api_key="k"), 5.0)
    record = await asked(client)
    assert record.error == "refused"
    assert record.sent_at == record.ended_at


async def test_a_server_that_says_nothing_runs_into_the_limit() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent, timeout_s=0.05) as client:
        assert (await asked(client)).error == "timeout"


async def test_a_request_that_the_socket_does_not_take_at_once_is_sent_whole() -> None:
    bodies: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bodies.append(await request_of(reader))
        writer.write(WHOLE)
        await writer.drain()

    turn = Turn(path="completions", body={"prompt": list(range(1_000_000))})
    exchange = Exchange(index=0, session=0, turn=0, asked=turn, warmup=False, intended_at=perf_counter_ns())
    async with listening(take) as client:
        request = client.encode(turn.path, turn.body)
        await client.send(request, exchange)
    assert exchange.error == ""
    assert request.endswith(bodies[0])
