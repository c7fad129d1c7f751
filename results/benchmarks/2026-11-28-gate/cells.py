"""Tests and intervals cell by cell: unequal repeats, waiting verdicts, clusters of unequal size, κ.

PYTHONPATH=. python results/benchmarks/2026-11-28-gate/cells.py --pairs 2000 --seed 1

writes cells.json and cells.md beside itself. The figures do not depend on the machine.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentbench.stats import Outcome, compare_passes, mean_estimate
from agentbench.stats.agreement import Rated, agree
from agentbench.stats.differences import differences_of
from agentbench.stats.samples import CaseSamples, cluster_sums
from agentbench.stats.sign_flip import sign_flip_tails

HERE = Path(__file__).parent
ALPHA, MARGIN = 0.05, 0.05
REPEATS = [(1, 1), (1, 2), (1, 5), (5, 1), (1, 10), (10, 1), (3, 2), (2, 7)]
SIZES: dict[str, list[int]] = {
    "100 and 9 × 2": [100] + [2] * 9,
    "50 and 4 × 5": [50] + [5] * 4,
    "4 × 20": [20] * 4,
    "5 × 20": [20] * 5,
    "30 and 10 × 5": [30] + [5] * 10,
    "60/k, ten": [60, 30, 20, 15, 12, 10, 9, 8, 7, 6],
    "60 and 20 × 5": [60] + [5] * 20,
    "8 × 10": [10] * 8,
    "60/k, twenty": [60 // k + 1 for k in range(1, 21)],
    "20 × 5": [5] * 20,
    "10 × 1, 10 × 3, 10 × 8": [1] * 10 + [3] * 10 + [8] * 10,
    "100 × 1": [1] * 100,
    "50 × 4": [4] * 50,
}
KAPPA = [(5, 6), (10, 6), (20, 1), (20, 6), (50, 2)]
Floats = NDArray[np.float64]
Facts = dict[str, list[float]]


def percent(values: Sequence[float]) -> float | None:
    return round(100 * float(np.mean(values)), 1) if len(values) else None


def repeats_cell(
    repeats: tuple[int, int], cases: int, waiting: float, pairs: int, generator: np.random.Generator
) -> Facts:
    """Runs of other repeats than their baselines', and verdicts of which a share waits for a person."""
    facts: Facts = {"fails": [], "differs": [], "covers unchanged": [], "covers": []}
    for number in range(pairs):
        rate = generator.uniform(0.6, 0.98)
        chances = generator.beta(rate, 1 - rate, size=cases)
        drop = 0.0 if number % 2 else float(generator.uniform(0.02, 0.25))
        kept = chances * (generator.random(cases) >= drop / rate)
        run, baseline = (
            outcomes(each, times, waiting, generator) for each, times in zip((kept, chances), repeats, strict=True)
        )
        found = compare_passes(run, baseline)
        if found.p_worse is None or found.p_value is None:
            continue
        covered = [] if found.low is None or found.high is None else [float(found.low <= -drop <= found.high)]
        facts["covers"] += covered
        if not drop:
            facts["fails"].append(found.p_worse < ALPHA)
            facts["differs"].append(found.p_value < ALPHA)
            facts["covers unchanged"] += covered
    return facts


def outcomes(chances: Floats, repeats: int, waiting: float, generator: np.random.Generator) -> list[Outcome]:
    passed = generator.random((len(chances), repeats)) < chances[:, None]
    waits = generator.random(passed.shape) < waiting
    return [
        Outcome(
            case_id=f"c{case:03}",
            cluster=f"c{case:03}",
            repeat=repeat,
            passed=None if waits[case, repeat] else bool(passed[case, repeat]),
        )
        for case in range(len(chances))
        for repeat in range(repeats)
    ]


def clusters_cell(sizes: list[int], pairs: int, generator: np.random.Generator) -> Facts:
    """Once per case, in clusters of these sizes; through what `compare_passes` and a report call."""
    facts: Facts = {"covers rate": [], "fails": [], "covers unchanged": [], "covers": [], "passes at the margin": []}
    codes = np.repeat(np.arange(len(sizes)), sizes)
    names = [f"k{code}" for code in codes]
    ids = names if max(sizes) == 1 else [f"c{case}" for case in range(len(codes))]
    for number in range(pairs):
        rate = float(generator.uniform(0.1, 0.9))
        chances = clustered(codes, rate, generator)
        drop = (0.0, MARGIN, float(generator.uniform(0.02, 0.25)) * rate)[number % 3]
        kept = chances * (generator.random(len(codes)) >= drop / rate)
        run, baseline = ((generator.random(len(codes)) < each).astype(np.float64) for each in (kept, chances))
        estimate = mean_estimate(CaseSamples(ids, names, np.arange(len(codes)), baseline))
        assert estimate is not None
        if estimate.low is not None and estimate.high is not None:
            facts["covers rate"].append(estimate.low - 1e-9 <= rate <= estimate.high + 1e-9)
        found = differences_of(run - baseline, names, once=True)
        low, high = found.interval(0.95)
        covered = [] if low is None or high is None else [float(low <= -drop <= high)]
        facts["covers"] += covered
        if drop == 0:
            facts["fails"].append(sign_flip_tails(cluster_sums(run - baseline, codes), 1.0)[0] < ALPHA)
            facts["covers unchanged"] += covered
        if drop == MARGIN:
            bound = found.interval(1 - 2 * ALPHA)[0]
            facts["passes at the margin"].append(bound is not None and bound > -MARGIN)
    return facts


def clustered(codes: NDArray[np.intp], rate: float, generator: np.random.Generator) -> Floats:
    """Each case's chance to pass: its cluster's or its own, both from one beta distribution."""
    alike, shared = generator.choice([0.2, 0.5, 0.8]), generator.choice([0.3, 0.6, 0.9])
    weight = (1 - alike) / alike
    own, common = (generator.beta(rate * weight, (1 - rate) * weight, size=n) for n in (len(codes), codes[-1] + 1))
    return np.where(generator.random(len(codes)) < shared, common[codes], own)


def kappa_cell(clusters: int, repeats: int, pairs: int, generator: np.random.Generator) -> Facts:
    covered: list[float] = []
    for _ in range(pairs):
        rate, wrong = generator.uniform(0.4, 0.7), generator.uniform(0.08, 0.3)
        agreed = (rate * (1 - wrong), rate * wrong, (1 - rate) * wrong, (1 - rate) * (1 - wrong))
        second = agreed[0] + agreed[2]
        chance = rate * second + (1 - rate) * (1 - second)
        truth = (agreed[0] + agreed[3] - chance) / (1 - chance)
        right = generator.beta(3 * rate, 3 * (1 - rate), size=clusters)
        mistaken = generator.beta(5 * wrong, 5 * (1 - wrong), size=clusters)
        rated = [
            Rated(cluster=f"k{k}", a=bool(a), b=bool(a ^ (generator.random() < mistaken[k])))
            for k in range(clusters)
            for a in generator.random(repeats) < right[k]
        ]
        found = agree("a", "b", rated)
        if found.low is not None and found.high is not None:
            covered.append(found.low <= truth <= found.high)
    return {"covers": covered}


Cell = tuple[str, str, Facts]


def cells(pairs: int, seed: int) -> Iterator[Cell]:
    """Table, cell and what came of it; a seed of its own for each."""
    number = 0

    def generator() -> np.random.Generator:
        nonlocal number
        number += 1
        return np.random.default_rng([seed, number])

    for repeats in REPEATS:
        for cases, waiting in ((20, 0.0), (60, 0.1)):
            name = f"{repeats[0]} against {repeats[1]}, {cases} cases, {100 * waiting:.0f} % waiting"
            yield "repeats", name, repeats_cell(repeats, cases, waiting, pairs, generator())
    for name, sizes in SIZES.items():
        worth = sum(sizes) ** 2 / sum(size**2 for size in sizes)
        yield "clusters", f"{name} ({worth:.1f})", clusters_cell(sizes, 2 * pairs, generator())
    for clusters, each in KAPPA:
        yield "kappa", f"{clusters} clusters × {each}", kappa_cell(clusters, each, pairs // 2, generator())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for table, name, facts in cells(options.pairs, options.seed):
        found.setdefault(table, {})[name] = {claim: percent(values) for claim, values in facts.items()}
        print(table, name, found[table][name], file=sys.stderr, flush=True)
    figures = {"pairs": options.pairs, "seed": options.seed, "tables": found}
    (HERE / "cells.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    (HERE / "cells.md").write_text(told(options.pairs, options.seed, found))


TITLES = {
    "repeats": "Repeats of the run against the baseline's, and verdicts that wait",
    "clusters": "Sizes of clusters (effective number)",
    "kappa": "κ: clusters × attempts",
}
HEAD = """# The tests and intervals, cell by cell

`PYTHONPATH=. python results/benchmarks/2026-11-28-gate/cells.py --pairs {pairs} --seed {seed}`, in percent; the
figures do not depend on the machine. *fails*: an unchanged run fails the regression gate (at most 5, one-sided).
*differs*: its two-sided p is below 0.05. *covers*: 95 % intervals that have the true value, of runs of which half to
two thirds are worse; *covers unchanged*: of those that are not, which is more wherever few cases change. *passes at
the margin*: a run that is worse by just the margin passes a non-inferiority gate (at most 5). A dash: no interval is
given.
"""


def told(pairs: int, seed: int, found: dict[str, dict[str, dict[str, float | None]]]) -> str:
    parts = [HEAD.format(pairs=pairs, seed=seed)]
    for table, rows in found.items():
        claims = list(next(iter(rows.values())))
        parts += [f"## {TITLES[table]}\n", f"| | {' | '.join(claims)} |", f"|---|{'---:|' * len(claims)}"]
        parts += [f"| {name} | {' | '.join(_shown(each[claim]) for claim in claims)} |" for name, each in rows.items()]
        parts.append("")
    return "\n".join(parts)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


if __name__ == "__main__":
    main()
