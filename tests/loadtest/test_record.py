"""What becomes of an answer that is not what was hoped for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter_ns

import pytest

from agentbench.http.client import HttpClient, Target
from agentbench.loadtest.metrics import summarize
from agentbench.loadtest.record import Record, TurnExchange, record_of
from agentbench.loadtest.workload import Turn
from tests.http.misbehaving_server import DONE, END, HEAD, TOKEN, WHOLE, answering, framed, plain


@asynccontextmanager
async def client_of(*answers: bytes | None) -> AsyncIterator[HttpClient]:
    async with answering(*answers) as url:
        client = HttpClient(Target(base_url=url, api_key="key"), 20.0)
        try:
            yield client
        finally:
            client.close()


async def asked(client: HttpClient) -> Record:
    turn = Turn(path="completions", body={"prompt": "x"})
    exchange = TurnExchange(index=0, session=0, turn=0, request=turn, warmup=False, intended_at=perf_counter_ns())
    await client.send(client.encode(turn.path, turn.body), exchange)
    return record_of(exchange, exchange.intended_at)


async def test_times_are_in_order() -> None:
    async with client_of(WHOLE) as client:
        record = await asked(client)
    assert record.error is None
    assert 0 < record.sent_at <= record.chunk_at[0] <= record.ended_at


async def test_a_request_that_is_sent_again_is_counted() -> None:
    async with client_of(WHOLE, None, WHOLE) as client:
        await asked(client)
        record = await asked(client)
    assert (record.error, record.retries) == (None, 1)


async def test_a_stream_that_breaks_is_an_error_and_keeps_its_tokens() -> None:
    async with client_of(HEAD + framed(TOKEN)) as client:
        record = await asked(client)
    assert (record.error, record.retries, len(record.chunk_at)) == ("broken", 0, 1)


async def test_a_stream_that_ends_early_is_an_error() -> None:
    async with client_of(HEAD + framed(TOKEN) + END) as client:
        assert (await asked(client)).error == "broken"


async def test_an_answer_without_a_token_is_an_error() -> None:
    async with client_of(HEAD + framed(DONE) + END) as client:
        assert (await asked(client)).error == "empty"


@pytest.mark.parametrize(
    ("body", "detail"), [(b'{"error": {"message": "too long"}}', "too long"), (b"<h1>no</h1>", "<h1>no</h1>")]
)
async def test_a_refusal_is_of_its_status(body: bytes, detail: str) -> None:
    async with client_of(plain(429, body)) as client:
        record = await asked(client)
    assert (record.error, record.status, record.detail) == ("HTTP 429", 429, detail)


async def test_the_tokens_of_an_answer_in_one_piece_have_no_times_but_its_end() -> None:
    body = b'{"choices": [{"text": "a b", "finish_reason": "stop"}], "usage": {"completion_tokens": 2}}'
    async with client_of(plain(200, body, b"Content-Type: application/json")) as client:
        record = await asked(client)
    assert (record.error, record.completion_tokens, record.chunk_at) == (None, 2, ())
    figures = summarize([[record]], {})
    assert (figures["in_one_piece"], figures["ttft_p50_s"]) == (1, None)
    assert figures["latency_p50_s"] == pytest.approx((record.ended_at - record.sent_at) / 1e9)
    assert figures["output_tokens_per_s"] == pytest.approx(2 / figures["latency_p50_s"])


async def test_of_a_request_that_was_never_sent_the_end_is_the_time() -> None:
    record = await asked(HttpClient(Target(base_url="http://127.0.0.1:9/v1", api_key="k"), 5.0))
    assert record.error == "refused"
    assert record.sent_at == record.ended_at
