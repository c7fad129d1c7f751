"""Measures the error of a client's timestamps against the times at which a server in another process wrote each token.

python results/benchmarks/2026-11-28-clocks/measure.py [ROUNDS]    (writes figures.json and README.md next to it)

A scripted server streams 40 tokens to each of 32 concurrent clients: TTFT 60 ms, TPOT 20 ms. Each token's text is the
time at which the server wrote it, by the same clock that the client reads. The load generator and the recorder of
agents alternate.
"""

import asyncio
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT))

from agentbench.run.provenance import provenance  # noqa: E402
from tests.loadtest.clocks import STREAMS, TOKENS, agents, errors_ms, load_generator  # noqa: E402
from tests.loadtest.scripted_server import scripted_server  # noqa: E402

CLIENTS = {"`agentbench bench`": load_generator, "calls of agents": agents}
README = """# The error of measured times

Written by `python results/benchmarks/2026-11-28-clocks/measure.py`; all figures are in figures.json.
A scripted server in another process streams {tokens} tokens to each of {streams} concurrent clients (TTFT 60 ms, TPOT
20 ms). Each token's text is the time at which the server wrote it. The table has the difference between that time and
the client's timestamp over all streams of {rounds} rounds. {machine}, {date}.

| client | metric | streams | median | p99 | maximum |
|---|---|---|---|---|---|
{rows}
"""


def row(name: str, metric: str, errors: list[float]) -> str:
    median, high, largest = np.median(errors), np.percentile(errors, 99), max(errors)
    return f"| {name} | {metric} | {len(errors)} | {median:.3f} ms | **{high:.3f} ms** | {largest:.3f} ms |"


async def main(rounds: int) -> None:
    found: dict[str, dict[str, list[float]]] = {name: {} for name in CLIENTS}
    with scripted_server("--ttft-ms", "60", "--tpot-ms", "20") as server:
        for _ in range(rounds):
            for name, measure in CLIENTS.items():
                for metric, errors in errors_ms(await measure(server.base_url)).items():
                    found[name].setdefault(metric, []).extend(errors)
    facts: dict[str, Any] = provenance(ROOT)
    (HERE / "figures.json").write_text(json.dumps({"environment": facts, "rounds": rounds, "off_ms": found}, indent=1))
    rows = "\n".join(row(name, metric, errors) for name, metrics in found.items() for metric, errors in metrics.items())
    machine = f"{facts['cpus']} cores of {facts['cpu']}"
    page = README.format(
        tokens=TOKENS, streams=STREAMS, rounds=rounds, rows=rows, machine=machine, date=f"{date.today():%-d %B %Y}"
    )
    (HERE / "README.md").write_text(page)
    print(page)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
