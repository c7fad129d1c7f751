"""Makes table.json.gz: every configuration of space.yaml answered and measured by the real engine.

    python results/benchmarks/2026-11-24-tuner/make_table.py --db results/table.db

It may be interrupted and started again: results that are in the database are not repeated. Answers come first, because
they do not depend on the machine's load; then the serving figures, which need an idle machine.
"""

import argparse
import asyncio
import gzip
import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentbench.store import Store, open_store
from tuners.engine.evaluator import LiveEvaluator
from tuners.search.rungs import plan_rungs
from tuners.space.space import Space, combinations
from tuners.study.study import Study, find_study, make_study, store_study

HERE = Path(__file__).parent


def settings_of(space: Space) -> list[dict[str, Any]]:
    found = combinations(space, 1000)
    assert found is not None
    return found


def opened_study(store: Store) -> Study:
    if not store.studies.names():
        store_study(make_study(HERE / "space.yaml", {}), store)
    return find_study("table", store, {})


def by_server(outer: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """So that a server is started once for each quantization."""
    return iter(sorted(enumerate(outer), key=lambda each: each[1]["serving.quantization"]))


async def answers(
    evaluator: LiveEvaluator, outer: list[dict[str, Any]], order: tuple[str, ...]
) -> list[Mapping[str, float]]:
    found: list[Mapping[str, float]] = [{} for _ in outer]
    for number, settings in by_server(outer):
        found[number] = (await evaluator.answer(evaluator.configuration(settings), order)).scores
        right = sum(found[number].values()) / len(order)
        print(f"{datetime.now(UTC):%H:%M:%S} {number + 1:3} of {len(outer)}: {right:.1%} right", flush=True)
    return found


async def figures(
    evaluator: LiveEvaluator, outer: list[dict[str, Any]], inner: list[dict[str, Any]]
) -> list[list[Mapping[str, float]]]:
    rows = []
    for number, settings in enumerate(outer):
        row = [dict((await evaluator.measure(evaluator.configuration(settings), knobs)).figures) for knobs in inner]
        shown = " ".join(f"{each['ttft_p95']:.2f}s/{each['goodput']:.2f}" for each in row)
        print(f"{datetime.now(UTC):%H:%M:%S} {number + 1:3} of {len(outer)}: {shown}", flush=True)
        rows.append(row)
    return rows


async def make(db: str, phases: list[str]) -> None:
    with open_store(db) as store:
        study = opened_study(store)
        spaces = study.spaces()
        outer, inner = (settings_of(space) for space in spaces)
        order = plan_rungs(list(study.train.values()), (), 0.05, 0).order
        evaluator = LiveEvaluator(study, store)
        async with aclosing(evaluator):
            rows = await answers(evaluator, outer, order)
            measured = await figures(evaluator, outer, inner) if "figures" in phases else []
    if measured:
        write(study, order, (outer, inner), rows, measured)


def write(study: Study, order: tuple[str, ...], parts: Any, rows: Any, measured: Any) -> None:
    outer, inner = parts
    table = {
        "made": {"at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "machine": f"{platform.machine()} {cpu()}"},
        "space": study.document["space"],
        "cases": order,
        "clusters": [study.train[case].cluster for case in order],
        "replayed": 16,
        "outer": outer,
        "inner": inner,
        "scores": [[row.get(case, 0.0) for case in order] for row in rows],
        "figures": [
            [{name: round(value, 5) for name, value in figures.items()} for figures in row] for row in measured
        ],
    }
    text = json.dumps(table, indent=None, separators=(",", ":"))
    (HERE / "table.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{len(outer)} × {len(inner)} configurations, {len(order)} cases: {HERE / 'table.json.gz'}")


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} × {names[0]}" if names else platform.processor()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--db", default="results/table.db")
    options.add_argument("--phases", nargs="+", default=["answers", "figures"], choices=["answers", "figures"])
    chosen = options.parse_args()
    asyncio.run(make(chosen.db, chosen.phases))
