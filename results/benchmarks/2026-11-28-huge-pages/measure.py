"""Steps of the engine with weights and KV cache on huge pages, and on small ones.

python results/benchmarks/2026-11-28-huge-pages/measure.py [ROUNDS]

Writes figures.json and README.md next to it. Each round starts a process for each kind of memory and model, in turn.
It needs `agentbench pull smollm2-135m-instruct qwen2.5-coder-1.5b-instruct`.
"""

import json
import mmap
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agentbench.hub import resolve_model
from agentbench.run.provenance import provenance
from serving.config import EngineConfig
from serving.core import Batch
from serving.engine.loading import LoadedModel, load_model
from serving.model import huge_pages

HERE = Path(__file__).resolve().parent
MODELS = ("smollm2-135m-instruct", "qwen2.5-coder-1.5b-instruct")
KINDS = ("shared", "private")
"""Shared memory has small pages (the engine had it before), private memory huge ones where the system has them."""
STEPS: Mapping[str, tuple[int, int]] = {"1 sequence": (1, 1), "8 sequences": (8, 1), "prompt of 256 tokens": (1, 256)}
"""Sequences and tokens of each."""
CONTEXT = 256


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    found = {model: {step: {kind: list[float]() for kind in KINDS} for step in STEPS} for model in MODELS}
    for number in range(rounds):
        for model in MODELS:
            for kind in KINDS if number % 2 else KINDS[::-1]:
                done = subprocess.run(
                    [sys.executable, __file__, "--one", kind, model], check=True, capture_output=True, text=True
                )
                for step, seconds in json.loads(done.stdout).items():
                    found[model][step][kind].append(seconds)
                print(number, model, kind, done.stdout.strip(), flush=True)
    figures = {"rounds": rounds, "seconds": found, "environment": provenance(HERE.parents[2])}
    (HERE / "figures.json").write_text(json.dumps(figures, indent=1, default=str) + "\n")
    (HERE / "README.md").write_text(readme(figures))


def one(kind: str, model: str) -> dict[str, float]:
    """The median seconds of a step of each kind."""
    if kind == "shared":
        huge_pages._memory = lambda count: mmap.mmap(-1, count)
    loaded = load_model(resolve_model(model), EngineConfig(max_model_len=1024, kv_cache_memory_mb=512))
    return {name: _seconds(loaded, *shape) for name, shape in STEPS.items()}


def _seconds(loaded: LoadedModel, sequences: int, tokens: int) -> float:
    block = EngineConfig().block_size
    width = -(-(CONTEXT + 64) // block)
    tables = np.arange(sequences * width).reshape(sequences, width)
    times = []
    for step in range(8 if tokens > 1 else 48):
        first = 0 if tokens > 1 else CONTEXT + step
        positions = np.tile(np.arange(first, first + tokens), sequences)
        owner = np.repeat(np.arange(sequences), tokens)
        batch = Batch(
            items=(),
            counts=np.full(sequences, tokens),
            starts=np.arange(sequences + 1) * tokens,
            token_ids=1000 + positions,
            positions=positions,
            slots=tables[owner, positions // block] * block + positions % block,
            tables=tables,
            sampled_rows=np.arange(1, sequences + 1) * tokens - 1,
        )
        begun = time.perf_counter()
        loaded.runner.run(batch)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[len(times) // 4 :])


def readme(figures: Mapping[str, Any]) -> str:
    machine = figures["environment"]
    return f"""# What huge pages are worth

Written by `python results/benchmarks/2026-11-28-huge-pages/measure.py`; all figures are in figures.json. Medians of a
step over {figures["rounds"]} rounds, a process for each kind of memory in turn, weights as the file has them.
{machine["cpus"]} cores of {machine["cpu"]}. The engine asked for huge pages before, but for memory shared between
processes, which Linux keeps on small pages unless it is told otherwise (`shmem_enabled`).

{_table(figures["seconds"])}

The machine's own noise is as large as most of these differences: read the ratios of all rounds.
"""


def _table(seconds: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]) -> str:
    rows = ["| model | step | small pages | huge pages | ratio of the times, each round |", "|---|---|---:|---:|---|"]
    for model, steps in seconds.items():
        for step, kinds in steps.items():
            small, huge = kinds["shared"], kinds["private"]
            ratios = ", ".join(f"{a / b:.2f}" for a, b in zip(small, huge, strict=True))
            middle = [f"{1000 * statistics.median(each):.1f} ms" for each in (small, huge)]
            rows.append(f"| `{model}` | {step} | {middle[0]} | {middle[1]} | {ratios} |")
    return "\n".join(rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(sys.argv[2], sys.argv[3])))
    else:
        main()
