"""Measures the time that the gateway adds to the time to first token.

python results/benchmarks/2026-11-23-gateway/measure.py    (writes figures.json and README.md next to it)

Each pair is a direct call and a call through the gateway, in random order.

The gateway, its backend and the recorder run in this process, as in a run. The client runs in a process of its own,
like a `command` agent, or in this process with all calls at the same instant: the worst case of a `callable` agent.
Both clients are the same code. They stamp bytes at the time at which the kernel received them.
"""

import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from agentbench.backends.openai_http import OpenAIHttpBackend, OpenAIHttpConfig
from agentbench.core.protocols import ChatRequest, Endpoint
from agentbench.gateway import Gateway
from agentbench.run.provenance import provenance
from agentbench.run.recorder import Recorder
from agentbench.servers.bundled import BundledConfig, BundledServer
from agentbench.stats.calls import ttft_s
from agentbench.tools import CaseToolbox

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
Pairs = list[dict[str, float]]
WHERE = ("own process", "same process, at one instant")
SETTINGS = (
    ("scripted", 1, WHERE[0], 400),
    ("scripted", 16, WHERE[0], 3200),
    ("scripted", 16, WHERE[1], 3200),
    ("bundled", 1, WHERE[0], 200),
    ("bundled", 16, WHERE[0], 800),
)
"""Server, concurrent calls, place of the client, and number of pairs, in addition to each worker's warm-up pairs."""
WARM_UP = 3
TOKENS = 8
README = """# What the gateway adds to the time to first token

Written by `python results/benchmarks/2026-11-23-gateway/measure.py`; all figures are in figures.json. A pair is a
direct call and a call through the gateway, in random order. Times are medians over the pairs. {machine}.
Goal: less than 2 ms at the median.

| server | concurrency | client | pairs | direct | gateway | recorded | added per call | difference of medians (95 %) |
|---|---|---|---|---|---|---|---|---|
{rows}

`recorded` is the TTFT that a run stores for a call through the gateway: the backend's time, without the time that the
gateway adds. `added per call` is the median of the client's TTFT minus the recorded TTFT of the same call, so that the
server's own variation cancels out. `difference of medians` is `gateway` minus `direct`. The scripted server sends its
first token 20 ms after the request. `bundled` is the bundled server with its default model. With a client in the same
process, calls made at one instant wait for each other in one event loop, which also does the client's work.
"""
QUESTION = "Which city is the capital of {}? Answer in one word."
COUNTRIES = ("France", "Peru", "Japan", "Kenya", "Norway", "Chile", "Egypt", "India")


async def client(plan: dict[str, Any]) -> list[Pairs]:
    """The pairs of each worker: the TTFT in seconds of a direct call and of a call through the worker's route."""
    direct = _backend(plan["direct"])
    routes = [_backend(each) for each in plan["routes"]]
    start = asyncio.Barrier(len(routes)) if plan["at_one_instant"] else asyncio.Barrier(1)
    try:
        return await asyncio.gather(
            *(
                _worker({"direct": direct, "gateway": route}, plan["pairs"], start, number)
                for number, route in enumerate(routes)
            )
        )
    finally:
        for each in (direct, *routes):
            await each.aclose()


def _backend(endpoint: dict[str, Any]) -> OpenAIHttpBackend:
    return OpenAIHttpBackend(OpenAIHttpConfig(), Endpoint(**endpoint))


async def _worker(ways: dict[str, OpenAIHttpBackend], pairs: int, start: asyncio.Barrier, number: int) -> Pairs:
    order = random.Random(0 if start.parties > 1 else number)  # simultaneous calls are all direct, or all not
    chance, found = random.Random(number), []
    for _ in range(pairs + WARM_UP):
        text = QUESTION.format(chance.choice(COUNTRIES))
        request = ChatRequest(messages=({"role": "user", "content": text},), temperature=0, max_tokens=TOKENS, seed=1)
        pair = {}
        for way in order.sample(sorted(ways), len(ways)):
            await start.wait()
            pair[way] = ttft_s(await ways[way].chat(request)) or 0.0
        found.append(pair)
    return found[WARM_UP:]


@contextmanager
def scripted_server() -> Iterator[str]:
    """The base URL of the load tests' scripted server. It sends its first token 20 ms after the request."""
    command = [sys.executable, "-m", "tests.loadtest.scripted_server", "--ttft-ms", "20", "--tpot-ms", "5"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        finally:
            process.kill()


@asynccontextmanager
async def servers() -> AsyncIterator[dict[str, Endpoint]]:
    """The scripted server and the bundled server."""
    bundled = BundledServer(BundledConfig())
    with scripted_server() as scripted, tempfile.TemporaryDirectory() as logs:
        try:
            yield {
                "scripted": Endpoint(base_url=scripted, model="scripted"),
                "bundled": await bundled.start(Path(logs) / "server.log"),
            }
        finally:
            await bundled.stop()


async def measured(endpoint: Endpoint, at_once: int, where: str, pairs: int) -> dict[str, Any]:
    upstream = OpenAIHttpBackend(OpenAIHttpConfig(), endpoint)
    recorders = [Recorder(upstream, CaseToolbox([], []), seed=1) for _ in range(at_once)]
    async with AsyncExitStack() as stack:
        stack.push_async_callback(upstream.aclose)
        gateway = await stack.enter_async_context(Gateway())
        routes = [await stack.enter_async_context(gateway.route(each)) for each in recorders]
        plan = {
            "direct": _address(endpoint.base_url, endpoint.api_key, endpoint.model),
            "routes": [_address(route.base_url, route.api_key, route.model) for route in routes],
            "pairs": pairs // at_once,
            "at_one_instant": where == WHERE[1],
        }
        found = await (_in_a_process(plan) if where == WHERE[0] else client(plan))
    for worker, recorder in zip(found, recorders, strict=True):
        for pair, call in zip(worker, recorder.trace().model_calls[WARM_UP:], strict=True):
            pair["recorded"] = ttft_s(call) or 0.0
    return _figures([pair for worker in found for pair in worker])


def _address(base_url: str, api_key: str, model: str) -> dict[str, str]:
    return {"base_url": base_url, "api_key": api_key, "model": model}


async def _in_a_process(plan: dict[str, Any]) -> list[Pairs]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, "--client"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    printed, _ = await process.communicate(json.dumps(plan).encode())
    return json.loads(printed)  # type: ignore[no-any-return]


def _figures(pairs: Pairs) -> dict[str, Any]:
    direct, through = [pair["direct"] for pair in pairs], [pair["gateway"] for pair in pairs]
    added = statistics.median(through) - statistics.median(direct)
    low, high = _interval(pairs)
    return {
        "pairs": len(pairs),
        "ttft_direct_ms": _ms(statistics.median(direct)),
        "ttft_gateway_ms": _ms(statistics.median(through)),
        "ttft_recorded_ms": _ms(statistics.median(pair["recorded"] for pair in pairs)),
        "added_to_a_call_ms": _ms(statistics.median(pair["gateway"] - pair["recorded"] for pair in pairs)),
        "added_median_ms": _ms(added),
        "added_median_95_ms": [_ms(low), _ms(high)],
        "added_p95_ms": _ms(_p95(through) - _p95(direct)),
    }


def _interval(pairs: Pairs) -> tuple[float, float]:
    """The 95 % interval of the difference of medians, by bootstrap over the pairs."""
    chance, found = random.Random(0), []
    for _ in range(1000):
        drawn = chance.choices(pairs, k=len(pairs))
        medians = (statistics.median(pair[way] for pair in drawn) for way in ("gateway", "direct"))
        found.append(next(medians) - next(medians))
    cuts = statistics.quantiles(found, n=40)
    return cuts[0], cuts[-1]


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def readme(figures: dict[str, Any]) -> str:
    facts = figures["environment"]
    rows = "\n".join(map(_row, figures["measured"]))
    return README.format(machine=f"{facts['cpus']} cores of {facts['cpu']}", rows=rows)


def _row(row: dict[str, Any]) -> str:
    times = " | ".join(f"{row[f'ttft_{way}_ms']:.2f} ms" for way in ("direct", "gateway", "recorded"))
    low, high = row["added_median_95_ms"]
    added = f"**{row['added_to_a_call_ms']:.2f} ms** | {row['added_median_ms']:.2f} ms ({low:.2f} to {high:.2f})"
    return f"| {row['server']} | {row['at_once']} | {row['client']} | {row['pairs']} | {times} | {added} |"


async def main() -> None:
    rows = []
    async with servers() as endpoints:
        for server, at_once, where, pairs in SETTINGS:
            found = await measured(endpoints[server], at_once, where, pairs)
            rows.append({"server": server, "at_once": at_once, "client": where, **found})
            print(json.dumps(rows[-1]), flush=True)
    figures = {"environment": provenance(ROOT), "measured": rows}
    (HERE / "figures.json").write_text(json.dumps(figures, indent=1, default=str) + "\n")
    (HERE / "README.md").write_text(readme(figures))


if __name__ == "__main__":
    if "--client" in sys.argv:
        print(json.dumps(asyncio.run(client(json.load(sys.stdin)))))
    else:
        asyncio.run(main())
