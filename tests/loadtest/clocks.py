"""The clocks: what is measured of many streams against when a server in another process wrote each token.

Both processes read the same clock, so that the comparison does not depend on how fast the machine is.
"""

import asyncio
import json
from collections.abc import Sequence
from itertools import islice

from agentbench.backends.openai_http import OpenAIHttpBackend, OpenAIHttpConfig
from agentbench.core.protocols import ChatRequest, Endpoint
from agentbench.http.client import HttpClient, Target
from agentbench.http.event_stream import events
from agentbench.loadtest.measurement import Driver, Measurement
from agentbench.loadtest.plan import LoadPoint
from agentbench.loadtest.record import record_of
from agentbench.loadtest.workloads import RandomPrompts
from agentbench.run.recorder import Recorder
from tests.fakes import declared

STREAMS = 32
TOKENS = 40

Seen = tuple[Sequence[int], Sequence[int]]
"""When the client says each chunk of a stream came, and when the server wrote each token. Both in nanoseconds."""


def errors_ms(streams: Sequence[Seen]) -> dict[str, list[float]]:
    """How far off TTFT, latency and TPOT of each stream are, in milliseconds.

    The send time is the client's own for both, so that an error of TTFT is that of the first token's stamp.
    """
    off: dict[str, list[float]] = {"ttft": [], "latency": [], "tpot": []}
    for at, written in streams:
        first, last = at[0] - written[0], at[-1] - written[-1]
        off["ttft"].append(abs(first) / 1e6)
        off["latency"].append(abs(last) / 1e6)
        off["tpot"].append(abs(last - first) / (len(written) - 1) / 1e6)
    return off


async def load_generator(url: str, tokens: int = TOKENS) -> list[Seen]:
    """Streams of `agentbench bench`."""
    client = HttpClient(Target(base_url=url, api_key="k"), 60)
    driver = Driver(client, lambda turn: client.encode(turn.path, {**turn.body, "stream": True}))
    measurement = Measurement()
    sessions = RandomPrompts(input_tokens=64, output_tokens=tokens).sessions("1")
    planned = list(islice(sessions, 2 * STREAMS))
    await driver.measure(measurement, planned, sessions, LoadPoint(concurrency=STREAMS, requests=2 * STREAMS))
    client.close()
    return [_seen(record_of(each, 0).chunk_at, _text(each.pieces)) for each in measurement.exchanges]


def _text(pieces: list[tuple[int, bytes]]) -> str:
    chunks = [json.loads(data) for _, data in events(pieces) if data != b"[DONE]"]
    return "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])


def _seen(at: Sequence[int], text: str) -> Seen:
    return at, [int(stamp) for stamp in text.split()[1:]]


async def agents(url: str, tokens: int = TOKENS) -> list[Seen]:
    """Streams of the recorder that stands between an agent and its backend."""
    backend = OpenAIHttpBackend(OpenAIHttpConfig(), Endpoint(base_url=url, model="scripted"))
    request = ChatRequest(messages=({"role": "user", "content": "x"},), max_tokens=tokens)

    async def one() -> Seen:
        call = await Recorder(backend, declared(), 0).chat(request)
        return _seen(call.chunk_at, call.text)

    await one()
    found = await asyncio.gather(*(one() for _ in range(STREAMS)))
    await backend.aclose()
    return found
