"""The clocks: what is measured of 32 streams against when a server in another process wrote each token.

This is the one claim about time that is asserted (less than 1 ms at the 99th percentile, docs/bench.md). Both
processes read the same clock, so that the comparison does not depend on how fast the machine is; the best of a
few rounds is held against the limit, since another process may hold the machine up at any moment.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice

import numpy as np
import pytest

from agentbench.backends.openai_http import OpenAIHttpBackend, OpenAIHttpConfig
from agentbench.core.protocols import ChatRequest, Endpoint
from agentbench.http.client import HttpClient, Target
from agentbench.http.event_stream import events
from agentbench.loadtest.measurement import Driver, Measurement
from agentbench.loadtest.plan import LoadPoint
from agentbench.loadtest.random_prompts import RandomPrompts
from agentbench.loadtest.record import record_of
from agentbench.run.recorder import Recorder
from tests.fakes import declared
from tests.loadtest.scripted_server import scripted_server

STREAMS = 32
TOKENS = 40
LIMIT_MS = 1.0
ROUNDS = 3

Seen = tuple[Sequence[int], Sequence[int]]
"""When the client says each token of a stream came, and when the server wrote it."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with scripted_server("--ttft-ms", "60", "--tpot-ms", "20") as server:
        yield server.base_url


def errors_ms(streams: Sequence[Seen]) -> dict[str, float]:
    """The 99th percentile over streams of how far off TTFT, latency and TPOT are.

    The send time is the client's own for both, so that an error of TTFT is that of the first token's stamp.
    """
    off: dict[str, list[float]] = {"ttft": [], "latency": [], "tpot": []}
    for at, written in streams:
        assert len(written) == TOKENS
        first, last = at[0] - written[0], at[-1] - written[-1]
        off["ttft"].append(abs(first) / 1e6)
        off["latency"].append(abs(last) / 1e6)
        off["tpot"].append(abs(last - first) / (TOKENS - 1) / 1e6)
    return {name: float(np.percentile(values, 99)) for name, values in off.items()}


async def load_generator(url: str) -> list[Seen]:
    client = HttpClient(Target(base_url=url, api_key="k"), 60)
    driver = Driver(client, lambda turn: client.encode(turn.path, {**turn.body, "stream": True}))
    measurement = Measurement()
    sessions = RandomPrompts(input_tokens=64, output_tokens=TOKENS).sessions("1")
    planned = list(islice(sessions, 2 * STREAMS))
    await driver.measure(measurement, planned, sessions, LoadPoint(concurrency=STREAMS, requests=2 * STREAMS))
    client.close()
    return [_seen(record_of(each, 0).chunk_at, _text(each.pieces)) for each in measurement.exchanges]


def _text(pieces: list[tuple[int, bytes]]) -> str:
    chunks = [json.loads(data) for _, data in events(pieces) if data != b"[DONE]"]
    return "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])


def _seen(at: Sequence[int], text: str) -> Seen:
    return at, [int(stamp) for stamp in text.split()[1:]]


async def agents(url: str) -> list[Seen]:
    """The recorder that stands between an agent and its backend."""
    backend = OpenAIHttpBackend(OpenAIHttpConfig(), Endpoint(base_url=url, model="scripted"))
    request = ChatRequest(messages=({"role": "user", "content": "x"},), max_tokens=TOKENS)

    async def one() -> Seen:
        call = await Recorder(backend, declared(), 0).chat(request)
        return _seen(call.chunk_at, call.text)

    await one()
    found = await asyncio.gather(*(one() for _ in range(STREAMS)))
    await backend.aclose()
    return found


async def best_of(measure: Callable[[str], Awaitable[list[Seen]]], url: str) -> float:
    """The largest error of the best round; it stops at the first one within the limit."""
    found: list[float] = []
    while len(found) < ROUNDS and min(found, default=LIMIT_MS) >= LIMIT_MS:
        found.append(max(errors_ms(await measure(url)).values()))
    return min(found)


async def test_the_load_generator_is_off_by_less_than_a_millisecond(url: str) -> None:
    assert await best_of(load_generator, url) < LIMIT_MS


async def test_the_recorder_of_agents_is_off_by_less_than_a_millisecond(url: str) -> None:
    assert await best_of(agents, url) < LIMIT_MS
