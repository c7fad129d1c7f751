"""How far off the clocks are: stamps of a client against when a server in another process wrote each token.

python results/benchmarks/2026-11-28-clocks/measure.py [ROUNDS]    (writes figures.json and README.md beside it)

A scripted server streams 40 tokens to 32 clients at once: TTFT 60 ms, TPOT 20 ms. Each token's text is the time at
which it was written, by the clock that the client reads too. The load generator and the recorder of agents take turns.
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
README = """# How far off the clocks are

Written by `python results/benchmarks/2026-11-28-clocks/measure.py`; all figures are in figures.json.
A scripted server in another process streams {tokens} tokens to {streams} clients at once (TTFT 60 ms, TPOT 20 ms). Each
token's text is the time at which it was written. The table has the difference to the client's stamp over all streams
of {rounds} rounds: median, 99th percentile and largest. {machine}, {date}.

| client | figure | streams | median | p99 | largest |
|---|---|---|---|---|---|
{rows}
"""


def row(name: str, figure: str, off: list[float]) -> str:
    median, high, largest = np.median(off), np.percentile(off, 99), max(off)
    return f"| {name} | {figure} | {len(off)} | {median:.3f} ms | **{high:.3f} ms** | {largest:.3f} ms |"


async def main(rounds: int) -> None:
    found: dict[str, dict[str, list[float]]] = {name: {} for name in CLIENTS}
    with scripted_server("--ttft-ms", "60", "--tpot-ms", "20") as server:
        for _ in range(rounds):
            for name, measure in CLIENTS.items():
                for figure, off in errors_ms(await measure(server.base_url)).items():
                    found[name].setdefault(figure, []).extend(off)
    facts: dict[str, Any] = provenance(ROOT)
    (HERE / "figures.json").write_text(json.dumps({"environment": facts, "rounds": rounds, "off_ms": found}, indent=1))
    rows = "\n".join(row(name, figure, off) for name, figures in found.items() for figure, off in figures.items())
    machine = f"{facts['cpus']} cores of {facts['cpu']}"
    page = README.format(
        tokens=TOKENS, streams=STREAMS, rounds=rounds, rows=rows, machine=machine, date=f"{date.today():%-d %B %Y}"
    )
    (HERE / "README.md").write_text(page)
    print(page)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
