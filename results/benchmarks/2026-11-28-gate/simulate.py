"""Checks the gate's error rates and the intervals' coverage: simulated pairs of runs with a known truth, judged by the
functions that users call.

PYTHONPATH=. python results/benchmarks/2026-11-28-gate/simulate.py --pairs 2000 --seed 1

Writes figures.json and README.md next to it. The figures do not depend on the machine.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from agentbench.stats import Outcome, compare_passes, judge_gate, mean_estimate, summarize_serving
from agentbench.stats.comparison import compare_latency, compare_scores
from agentbench.stats.estimates import pass_at_k_estimate, pass_hat_k_estimate, percentile_estimate
from agentbench.stats.samples import group_cases, passes, scores
from agentbench.suite.config import GateOptions
from tests.stats.simulated import Population, World, a_population, a_world

HERE = Path(__file__).parent
ALPHA = 0.05
MARGIN = 0.05
REGRESSION = GateOptions(baseline="main", alpha=ALPHA)
NON_INFERIORITY = GateOptions(baseline="main", alpha=ALPHA, test="non_inferiority", margin=MARGIN)
NOTHING_SERVED = summarize_serving([])

Fact = tuple[str, float]
"""A claim, and 1 or 0 for whether it holds in one simulation, or the probability that the function states."""


def judged(options: GateOptions, run: list[Outcome], baseline: list[Outcome]) -> bool:
    return judge_gate(options, run, NOTHING_SERVED, baseline).passed


def covers(name: str, low: float | None, high: float | None, truth: float) -> Iterator[Fact]:
    """Whether the interval covers the truth; nothing where there is no interval. A missing bound excludes nothing."""
    if low is None and high is None:
        return
    inside = (low is None or low <= truth + 1e-9) and (high is None or truth <= high + 1e-9)
    yield f"cover {name}", float(inside)


def estimates(world: World, run: list[Outcome]) -> Iterator[Fact]:
    samples = passes(run)
    k = world.repeats
    ttft = group_cases(run, lambda outcome: outcome.ttft_s)
    stated = [
        ("pass rate", mean_estimate(samples), world.rate),
        ("graded mean", mean_estimate(scores(run, "graded")), world.rate),
        ("TTFT p50", percentile_estimate(ttft, 50), world.ttft_s(0.5)),
        ("TTFT p95", percentile_estimate(ttft, 95), world.ttft_s(0.95)),
    ]
    if k > 1:
        stated += [
            ("pass@k", pass_at_k_estimate(samples, k), world.pass_at_k(k)),
            ("pass^k", pass_hat_k_estimate(samples, k), world.pass_hat_k(k)),
        ]
    for name, estimate, truth in stated:
        assert estimate is not None
        yield from covers(name, estimate.low, estimate.high, truth)


def pair(world: World, population: Population, generator: np.random.Generator) -> Iterator[Fact]:
    """All claims about a run and its baseline: of the same configuration, and of a worse configuration."""
    run, baseline = population.run(generator), population.run(generator)
    yield from estimates(world, run)
    verdict = judge_gate(REGRESSION, run, NOTHING_SERVED, baseline)
    found = verdict.comparison
    assert found is not None
    assert found.power is not None
    yield "A/A regression gate fails", float(not verdict.passed)
    yield from covers("paired difference, A/A", found.low, found.high, 0.0)
    graded, moved = compare_scores(run, baseline, "graded"), compare_latency(run, baseline, "ttft")
    assert graded is not None
    assert moved is not None
    yield from covers("paired graded difference, A/A", graded.low, graded.high, 0.0)
    yield from covers("paired TTFT shift, A/A", moved.low_s, moved.high_s, 0.0)
    yield "A/A p < 0.05, pass rate", float(found.p_value is not None and found.p_value < ALPHA)
    yield "A/A p < 0.05, graded", float(graded.p_value < ALPHA)
    yield "A/A p < 0.05, TTFT", float(moved.p_value < ALPHA)
    yield "unchanged passes, stated", found.power.within(MARGIN, ALPHA)
    yield "unchanged passes, found", float(judged(NON_INFERIORITY, run, baseline))
    if world.rate > MARGIN * 1.1:
        margin = population.run(generator, MARGIN, light=True)
        yield "at the margin passes", float(judged(NON_INFERIORITY, margin, baseline))
    drop = float(generator.uniform(0.02, 0.25))
    if drop < 0.9 * world.rate:
        yield from worse(population, run, baseline, drop, generator)


def worse(
    population: Population, run: list[Outcome], baseline: list[Outcome], drop: float, generator: np.random.Generator
) -> Iterator[Fact]:
    """The power that a pair of the same configuration states, and the gate's verdict on a worse run of other cases of
    the same world."""
    stated = compare_passes(run, baseline).power
    assert stated is not None
    other = a_population(population.world, generator)
    before, after = other.run(generator), other.run(generator, drop)
    found, graded = compare_passes(after, before), compare_scores(after, before, "graded")
    assert graded is not None
    yield "power, stated", stated.of(drop, ALPHA)
    yield "power, found", float(not judged(REGRESSION, after, before))
    yield from covers("paired difference, a drop", found.low, found.high, -drop)
    yield from covers("paired graded difference, a drop", graded.low, graded.high, -drop)


CELLS: dict[str, Callable[[World, int], str]] = {
    "cases": lambda world, clusters: str(world.cases),
    "rate": lambda world, clusters: "0.05–0.15" if world.rate < 0.15 else "0.85–0.95" if world.rate > 0.85 else "else",
    "clusters": lambda world, clusters: (
        "none" if not world.clustered else next(f"< {most}" for most in (5, 10, 20, 50, 500) if clusters < most)
    ),
    "repeats": lambda world, clusters: str(world.repeats),
    "kind": lambda world, clusters: (
        f"{'clustered' if world.clustered else 'independent'}, {'once' if world.repeats == 1 else 'repeated'}"
    ),
}


def simulate(pairs: int, seed: int) -> dict[str, dict[str, list[float]]]:
    """The facts by claim and cell."""
    generator = np.random.default_rng(seed)
    facts: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(pairs):
        world = a_world(generator)
        population = a_population(world, generator)
        clusters = len(set(population.clusters))
        names = ["all", *(f"{cell} {name(world, clusters)}" for cell, name in CELLS.items())]
        for claim, value in pair(world, population, generator):
            for name in names:
                facts[claim][name].append(value)
        if sys.stderr.isatty() or (number + 1) % 200 == 0:
            print(f"{number + 1} of {pairs}", file=sys.stderr, end="\r" if sys.stderr.isatty() else "\n")
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    facts = simulate(options.pairs, options.seed)
    cells = {
        claim: {
            cell: {"percent": round(100 * float(np.mean(values)), 2), "pairs": len(values)}
            for cell, values in sorted(found.items())
        }
        for claim, found in facts.items()
    }
    figures = {"pairs": options.pairs, "seed": options.seed, "alpha": ALPHA, "claims": cells}
    (HERE / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    (HERE / "README.md").write_text(readme(figures))


README = """# The gate, its intervals and its power, by simulation

`PYTHONPATH=. python results/benchmarks/2026-11-28-gate/simulate.py --pairs {pairs} --seed {seed}`; the figures do not
depend on the machine.

{pairs} random worlds: pass rates 0.05 to 0.95, 20 to 400 cases, clusters in half of the worlds, 1 to 5 repeats. Each
world has a run and a baseline of the same configuration, and a pair with a worse run, in which randomly chosen cases
always fail. All figures come from the functions that users call. docs/statistics.md explains the claims and their
sources; docs/notes/intervals.md has the alternatives that were tried.

| claim | found | goal | range over cells of at least 150 pairs |
|---|---:|---|---|
{rows}

The standard error of a coverage over N pairs is 22/√N points: 1.5 for 200 pairs, 0.5 for 2,000. With fewer than 5
effective clusters there is no interval. cells.md has the results for each cell.
"""
FAILS, COVERS = "at most 6 %", "93.5 to 96.5 %"
ABOUT = "as stated, within 3 points"
GOALS = {
    "A/A regression gate fails": FAILS,
    "A/A p < 0.05, pass rate": FAILS,
    "A/A p < 0.05, graded": FAILS,
    "A/A p < 0.05, TTFT": FAILS,
    "at the margin passes": FAILS,
    "unchanged passes, found": ABOUT,
    "power, found": ABOUT,
}


def readme(figures: dict[str, Any]) -> str:
    rows = []
    for claim, found in figures["claims"].items():
        cells = [each["percent"] for cell, each in found.items() if cell != "all" and each["pairs"] >= 150]
        goal = COVERS if claim.startswith("cover") else GOALS.get(claim, "")
        spread = f"{min(cells):.1f} to {max(cells):.1f} %" if cells else "–"
        rows.append(f"| {claim} | {found['all']['percent']:.1f} % | {goal} | {spread} |")
    return README.format(pairs=figures["pairs"], seed=figures["seed"], rows="\n".join(rows))


if __name__ == "__main__":
    main()
