"""How often the gate is wrong, whether intervals cover, and whether the stated power is true: by simulation.

python results/benchmarks/2026-11-23-gate/simulate.py [PAIRS] > figures.json
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from agentbench.gate import GateOptions
from agentbench.stats import compare_passes, mean_estimate
from agentbench.stats.gate import judge_gate
from agentbench.stats.outcomes import Outcome
from agentbench.stats.pairs import pair_cases
from agentbench.stats.power import power_at
from agentbench.stats.samples import passes
from agentbench.stats.serving import summarize_serving

NOTHING = summarize_serving([])
ALPHA = 0.05


@dataclass(frozen=True)
class Setting:
    """A configuration: pass rate, cases, repeats, cases of a cluster, and how alike cases are."""

    rate: float
    cases: int
    repeats: int
    size: int
    spread: float


def settings(chance: np.random.Generator, count: int) -> Iterator[Setting]:
    for _ in range(count):
        yield Setting(
            rate=chance.uniform(0.05, 0.95),
            cases=int(np.exp(chance.uniform(np.log(20), np.log(400)))),
            repeats=int(chance.integers(1, 6)),
            size=int(chance.choice([1, 1, 2, 3, 5])),
            spread=float(np.exp(chance.uniform(np.log(0.5), np.log(20)))),
        )


def difficulties(chance: np.random.Generator, each: Setting) -> np.ndarray:
    """The chance of each case to be right: Beta distributed; half of a cluster's cases share theirs."""
    a, b = each.rate * each.spread, (1 - each.rate) * each.spread
    own = chance.beta(a, b, size=each.cases)
    shared = chance.beta(a, b, size=each.cases // each.size + 1)[np.arange(each.cases) // each.size]
    return np.where((chance.random(each.cases) < 0.5) & (each.size > 1), shared, own)


def outcomes(chance: np.random.Generator, each: Setting, rates: np.ndarray) -> list[Outcome]:
    right = chance.random((each.repeats, each.cases)) < rates
    return [
        Outcome(case_id=f"c{i:04}", cluster=f"k{i // each.size:04}", repeat=r, passed=bool(right[r, i]))
        for i in range(each.cases)
        for r in range(each.repeats)
    ]


def main(count: int) -> None:
    chance = np.random.default_rng(20261123)
    tally: dict[str, list[float]] = {}
    cells: dict[str, dict[str, list[float]]] = {}

    def note(name: str, each: Setting, value: float) -> None:
        tally.setdefault(name, []).append(value)
        for cell in (
            f"repeats {'1' if each.repeats == 1 else '2-5'}",
            f"cluster size {each.size}",
            f"cases {'20-44' if each.cases < 45 else '45-129' if each.cases < 130 else '130-400'}",
            f"rate {'edge' if min(each.rate, 1 - each.rate) < 0.15 else 'middle'}",
        ):
            cells.setdefault(name, {}).setdefault(cell, []).append(value)

    for each in settings(chance, count):
        rates = difficulties(chance, each)
        run, baseline = outcomes(chance, each, rates), outcomes(chance, each, rates)
        note("A/A: regression gate fails", each, not judge_gate(GateOptions(), run, NOTHING, baseline).passed)
        mean = mean_estimate(passes(run))
        assert mean is not None
        assert mean.low is not None
        assert mean.high is not None
        note("coverage: pass rate", each, mean.low <= each.rate <= mean.high)
        same = compare_passes(run, baseline)
        note("coverage: difference, A/A", each, same.low <= 0 <= same.high)
        margin = 0.15 * each.rate
        worse = outcomes(chance, each, rates * (1 - margin / each.rate))
        options = GateOptions(test="non_inferiority", margin=margin)
        passed = judge_gate(options, worse, NOTHING, baseline).passed
        note("non-inferiority gate passes a run worse by just its margin", each, passed)
        share = chance.uniform(0.02, 0.5)
        lost = compare_passes(outcomes(chance, each, rates * (1 - share)), baseline)
        true = -share * each.rate
        note("coverage: difference, A/B", each, lost.low <= true <= lost.high)
        pairs = pair_cases(passes(run), passes(baseline))
        note("power: stated", each, power_at(pairs, share * each.rate, ALPHA))
        fresh = difficulties(chance, each)
        verdict = judge_gate(
            GateOptions(),
            outcomes(chance, each, fresh * (1 - share)),
            NOTHING,
            outcomes(chance, each, fresh),
        )
        note("power: found", each, not verdict.passed)
    figures = {
        name: {
            "share": round(float(np.mean(values)), 4),
            "cells": {cell: [round(float(np.mean(v)), 4), len(v)] for cell, v in sorted(cells[name].items())},
        }
        for name, values in tally.items()
    }
    print(json.dumps({"pairs": count, "alpha": ALPHA, "figures": figures}, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
