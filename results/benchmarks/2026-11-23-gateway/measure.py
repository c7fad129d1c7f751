"""What the recording gateway adds to the time to first token: calls straight to a server and through it, in turn.

python results/benchmarks/2026-11-23-gateway/measure.py BASE_URL MODEL [CALLS] > figures.json
"""

import asyncio
import json
import statistics
import sys
from time import perf_counter_ns
from typing import Any

import openai

from agentbench.backends.openai_http import OpenAIHttpBackend, OpenAIHttpConfig
from agentbench.gateway import Gateway
from agentbench.protocols import Endpoint
from agentbench.recorder import Recorder
from agentbench.tools import CaseToolbox


async def ttft_ms(client: openai.AsyncOpenAI, model: str, number: int) -> float:
    began = perf_counter_ns()
    messages: Any = [{"role": "user", "content": f"{number}: say hello to everybody in the room"}]
    stream = await client.chat.completions.create(
        model=model, messages=messages, stream=True, max_tokens=8, temperature=0, seed=1
    )
    first = 0
    async for chunk in stream:
        if not first and chunk.choices and chunk.choices[0].delta.content:
            first = perf_counter_ns()
    return (first - began) / 1e6


async def measure(url: str, model: str, at_once: int, calls: int) -> dict[str, Any]:
    endpoint = Endpoint(base_url=url, model=model)
    recorder = Recorder(OpenAIHttpBackend(OpenAIHttpConfig(), endpoint), CaseToolbox([], []), 1)
    found: dict[str, list[float]] = {"direct": [], "gateway": []}
    async with Gateway() as gateway, gateway.route(recorder) as route:
        clients = {
            "direct": openai.AsyncOpenAI(base_url=url, api_key="none"),
            "gateway": openai.AsyncOpenAI(base_url=route.base_url, api_key=route.api_key),
        }
        for turn in range(calls // at_once + 1):
            for name, client in clients.items() if turn % 2 else reversed(clients.items()):
                times = await asyncio.gather(*(ttft_ms(client, model, turn * 100 + i) for i in range(at_once)))
                found[name] += times if turn else []  # the first turn opens the connections
    medians = {name: round(statistics.median(times), 3) for name, times in found.items()}
    return {
        "at_once": at_once,
        "calls": len(found["direct"]),
        "ttft_p50_ms": medians,
        "added_ms": round(medians["gateway"] - medians["direct"], 3),
    }


async def main(url: str, model: str, calls: int) -> None:
    print(json.dumps([await measure(url, model, at_once, calls) for at_once in (1, 16)], indent=1))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 200))
