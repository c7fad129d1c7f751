"""Checks tests and intervals by cells: repeats, waiting verdicts, clusters of unequal size, κ, missing usage.

PYTHONPATH=. python results/benchmarks/2026-11-28-gate/cells.py --runs 5000 --seed 1

Writes cells.json and cells.md next to it. The figures do not depend on the machine.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from agentbench.core.attempt import Attempt
from agentbench.core.trace import ModelCall, Trace
from agentbench.stats import Outcome, compare_passes, mean_estimate, summarize_serving
from agentbench.stats.agreement import Rated, agree
from agentbench.stats.comparison import compare_latency
from agentbench.stats.hypothesis_tests import lattice_step, sign_flip_tails
from agentbench.stats.outcomes import outcomes_of
from agentbench.stats.samples import passes

sys.path.insert(0, str(Path(__file__).parent))
from batch import (
    Booleans,
    Clusters,
    Differences,
    Floats,
    clustered_differences,
    independent_differences,
    kappa_bounds,
    rate_covered,
)

HERE = Path(__file__).parent
ALPHA, MARGIN = 0.05, 0.05
CHECKED = 3
"""Runs of each cell that are also computed by the functions that users call: both results must be equal."""
REPEATS = range(1, 11)
SUITES = ((20, 0.0), (60, 0.1), (60, 0.3), (200, 0.0))
"""Cases, and the share of verdicts that wait for a person."""
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
TIMES = (1, 2, 5, 10)
"""Numbers of repeats in the cells of clusters."""
RATERS = {"half pass": (0.4, 0.7, 0.08, 0.3), "85 % pass, 30 % wrong": (0.85, 0.85, 0.3, 0.3)}
"""The ranges of the rate and of the second rater's mistakes."""
KAPPA = [(5, 6), (10, 2), (10, 6), (20, 1), (20, 6), (50, 1), (50, 2), (100, 1)]
LACKING = ((0.0, 0.0), (0.1, 0.1), (0.5, 0.5), (0.5, 0.0), (0.9, 0.0), (0.0, 0.5))
"""The shares of calls without a count, in the run and in its baseline."""
Facts = dict[str, float | None]
Generator = np.random.Generator


def percent(values: Booleans | list[bool]) -> float | None:
    return round(100 * float(np.mean(values)), 1) if len(values) else None


# Runs that differ in their repeats, and verdicts that wait


@dataclass(frozen=True)
class Sides:
    """Verdicts [runs, cases, repeats] of runs and baselines: 1, 0, or NaN for a waiting verdict."""

    run: Floats
    baseline: Floats

    def differences(self) -> Floats:
        """Differences of the means over the repeats that both runs have: [runs, cases], NaN where there are none."""
        shared = min(self.run.shape[2], self.baseline.shape[2])
        apart = self.run[:, :, :shared] - self.baseline[:, :, :shared]
        count = (~np.isnan(apart)).sum(axis=2)
        return np.where(count > 0, np.nansum(apart, axis=2) / np.maximum(count, 1), np.nan)

    def counts(self, number: int) -> list[int]:
        shared = min(self.run.shape[2], self.baseline.shape[2])
        apart = self.run[number, :, :shared] - self.baseline[number, :, :shared]
        return [int(each) for each in set((~np.isnan(apart)).sum(axis=1)) if each]

    def outcomes(self, number: int) -> tuple[list[Outcome], list[Outcome]]:
        return _outcomes(self.run[number]), _outcomes(self.baseline[number])


def _outcomes(verdicts: Floats, clusters: Clusters | None = None) -> list[Outcome]:
    """The outcomes of one run from its verdicts [cases, repeats]."""
    codes = np.arange(len(verdicts)) if clusters is None else clusters.codes
    return [
        Outcome(
            case_id=f"c{case:03}",
            cluster=f"c{case:03}" if clusters is None or len(clusters.sizes) == len(codes) else f"k{codes[case]}",
            repeat=repeat,
            passed=None if np.isnan(verdict) else bool(verdict),
        )
        for case, row in enumerate(verdicts)
        for repeat, verdict in enumerate(row)
    ]


def worse(chances: Floats, rates: Floats, drops: Floats, generator: Generator, *, everywhere: bool = False) -> Floats:
    """The chances to pass in a run whose rate is lower by `drops`: some cases always fail, or each case fails somewhat
    more often."""
    share = (drops / rates)[:, None]
    return chances * (1 - share if everywhere else generator.random(chances.shape) >= share)


def verdicts(chances: Floats, repeats: int, waiting: float, generator: Generator) -> Floats:
    passed = generator.random((*chances.shape, repeats)) < chances[:, :, None]
    if not waiting:
        return passed.astype(float)
    return np.where(generator.random(passed.shape) < waiting, np.nan, passed)


def repeats_cell(repeats: tuple[int, int], suite: tuple[int, float], runs: int, generator: Generator) -> Facts:
    cases, waiting = suite
    rates = generator.uniform(0.6, 0.98, runs)
    shape = (runs, cases)
    weights = np.broadcast_to(rates[:, None], shape)
    chances = generator.beta(weights, 1 - weights)
    none, margin, drops = np.zeros(runs), np.full(runs, MARGIN), generator.uniform(0.02, 0.25, runs)

    def drawn(lower: Floats, *, everywhere: bool = False) -> Sides:
        kept = worse(chances, rates, lower, generator, everywhere=everywhere)
        return Sides(*(verdicts(each, r, waiting, generator) for each, r in zip((kept, chances), repeats, strict=True)))

    same, fewer, less, limit = drawn(none), drawn(drops), drawn(drops, everywhere=True), drawn(margin)
    once = min(repeats) == 1
    found = [independent_differences(each.differences(), once=once) for each in (same, fewer, less, limit)]
    tails = [_tails(same, number) for number in range(runs)]
    _check(found[1], tails, lambda number: same.outcomes(number), lambda number: fewer.outcomes(number), drops)
    return {
        "fails": percent([tail[0] < ALPHA for tail in tails]),
        "differs": percent([2 * min(tail) < ALPHA for tail in tails]),
        "covers unchanged": percent(found[0].covers(none)),
        "covers": percent(found[1].covers(-drops)),
        "covers everywhere worse": percent(found[2].covers(-drops)),
        "passes at the margin": percent(found[3].shown_above(-margin)),
    }


def _tails(sides: Sides, number: int) -> tuple[float, float]:
    apart = Sides(sides.run[number : number + 1], sides.baseline[number : number + 1]).differences()[0]
    return sign_flip_tails(apart[~np.isnan(apart)], lattice_step(sides.counts(number)))


Pair = Callable[[int], tuple[list[Outcome], list[Outcome]]]


def _check(found: Differences, tails: list[tuple[float, float]], same: Pair, fewer: Pair, drops: Floats) -> None:
    """Checks the first runs against the functions that users call: the same p, and the same coverage of the truth."""
    covers, shown = found.covers(-drops), found.shown_above(-drops)
    for number in range(CHECKED):
        unchanged, changed = compare_passes(*same(number)), compare_passes(*fewer(number))
        assert unchanged.p_worse is not None
        assert np.isclose(unchanged.p_worse, tails[number][0], atol=1e-9)
        assert changed.power is not None
        bound = changed.power.found.lower_bound(ALPHA)
        if changed.low is not None and changed.high is not None and bound is not None:
            assert covers[number] == (changed.low - 1e-6 <= -drops[number] <= changed.high + 1e-6)
            assert shown[number] == (bound > -drops[number])


# Clusters


def clustered(clusters: Clusters, rates: Floats, generator: Generator) -> Floats:
    """Each case's chance to pass [runs, cases]: its cluster's or its own, both from the same beta distribution."""
    runs, cases, count = len(rates), clusters.cases, len(clusters.sizes)
    alike, shared = (generator.choice(each, size=(runs, 1)) for each in ([0.2, 0.5, 0.8], [0.3, 0.6, 0.9]))
    weights = (1 - alike) / alike
    own, common = (
        generator.beta(*(np.broadcast_to(each * weights, (runs, n)) for each in (rates[:, None], 1 - rates[:, None])))
        for n in (cases, count)
    )
    return np.where(generator.random((runs, cases)) < shared, common[:, clusters.codes], own)


def clusters_cell(sizes: list[int], repeats: int, runs: int, generator: Generator) -> Facts:
    clusters, once = Clusters(sizes), repeats == 1
    rates = generator.uniform(0.1, 0.9, runs)
    chances = clustered(clusters, rates, generator)
    none, margin, drops = np.zeros(runs), np.full(runs, MARGIN), generator.uniform(0.02, 0.25, runs) * rates

    def drawn(lower: Floats, *, everywhere: bool = False) -> Sides:
        kept = worse(chances, rates, lower, generator, everywhere=everywhere)
        return Sides(*(verdicts(each, repeats, 0.0, generator) for each in (kept, chances)))

    same, fewer, less, limit = drawn(none), drawn(drops), drawn(drops, everywhere=True), drawn(margin)
    tests = min(runs, 4000)
    step = lattice_step([repeats])
    sums = clusters.sums(same.differences()[:tests])
    tails = [sign_flip_tails(each, step) for each in sums]
    facts: Facts = {"fails": percent([tail[0] < ALPHA for tail in tails])}
    if clusters.effective < 5 - 1e-6:
        return facts
    found = [clustered_differences(each.differences(), clusters, once=once) for each in (same, fewer, less, limit)]
    if once:
        covered = rate_covered(same.baseline[:, :, 0], clusters, rates)
        _check_rate(covered, same, clusters, rates)
        facts["covers rate"] = percent(covered)

    def pair(sides: Sides) -> Pair:
        return lambda number: (_outcomes(sides.run[number], clusters), _outcomes(sides.baseline[number], clusters))

    _check(found[1], tails, pair(same), pair(fewer), drops)
    return facts | {
        "covers unchanged": percent(found[0].covers(none)),
        "covers": percent(found[1].covers(-drops)),
        "covers everywhere worse": percent(found[2].covers(-drops)),
        "passes at the margin": percent(found[3].shown_above(-margin)),
    }


def _check_rate(covered: Booleans, sides: Sides, clusters: Clusters, rates: Floats) -> None:
    for number in range(CHECKED):
        estimate = mean_estimate(passes(_outcomes(sides.baseline[number], clusters)))
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert covered[number] == (estimate.low - 1e-9 <= rates[number] <= estimate.high + 1e-9)


# Agreement


def kappa_cell(clusters: int, attempts: int, raters: tuple[float, ...], runs: int, generator: Generator) -> Facts:
    rates, wrong = generator.uniform(*raters[:2], runs), generator.uniform(*raters[2:], runs)
    both, only_b = rates * (1 - wrong), (1 - rates) * wrong
    second = both + only_b
    chance = rates * second + (1 - rates) * (1 - second)
    truth = (both + (1 - rates) * (1 - wrong) - chance) / (1 - chance)
    shape = (runs, clusters)
    right, mistaken = (
        generator.beta(*(np.broadcast_to((weight * part)[:, None], shape) for part in (each, 1 - each)))
        for weight, each in ((3, rates), (5, wrong))
    )
    a = generator.random((*shape, attempts)) < right[:, :, None]
    b = a ^ (generator.random(a.shape) < mistaken[:, :, None])
    tables = np.stack([[(x & y).sum(axis=2) for y in (b, ~b)] for x in (a, ~a)])  # [2, 2, runs, clusters]
    low, high = kappa_bounds(np.moveaxis(tables, (0, 1), (2, 3)).astype(float))
    for number in range(CHECKED):
        rated = [
            Rated(cluster=f"k{k}", a=bool(x), b=bool(y))
            for k in range(clusters)
            for x, y in zip(a[number, k], b[number, k], strict=True)
        ]
        found = agree("a", "b", rated)
        if clusters < 10:
            assert found.low is None
        elif found.low is None or found.high is None:
            assert np.isnan(low[number])
        else:
            assert np.allclose((found.low, found.high), (low[number], high[number]))
    given = ~np.isnan(low) & (clusters >= 10)
    covered = (low <= truth) & (truth <= high)
    return {"given": percent(given), "covers": percent(covered[given])}


# Usage that some calls lack


def usage_cell(lacking: tuple[float, float], runs: int, generator: Generator) -> Facts:
    """The TPOT comparison of two equal runs where some calls have no token count, and so no TPOT; and whether sums are
    marked as incomplete."""
    covered, differs, marked, unmarked_true = [], [], [], []
    for _ in range(runs):
        slowness = generator.normal(size=40)
        run, baseline = (_timed(slowness, share, generator) for share in lacking)
        found = compare_latency(run, baseline, "tpot")
        assert found is not None
        covered.append(found.low_s is None or found.high_s is None or found.low_s <= 0 <= found.high_s)
        differs.append(found.p_value < ALPHA)
    for _ in range(min(runs, 300)):
        attempts, true = _counted(lacking[0], generator)
        summary = summarize_serving(outcomes_of(attempts))
        whole = summary.completion_tokens == true
        (unmarked_true if not summary.uncounted_completions else marked).append(whole)
    return {
        "TPOT differs": percent(differs),
        "covers TPOT": percent(covered),
        "sums marked": percent([True] * len(marked) + [False] * len(unmarked_true)),
        "unmarked and less": percent([not each for each in unmarked_true]),
    }


def _timed(slowness: Floats, lacking: float, generator: Generator) -> list[Outcome]:
    """Three repeats of a case with one to four calls, of which some have token counts."""
    found = []
    for case, repeat in product(range(len(slowness)), range(3)):
        calls = int(generator.integers(1, 5))
        values = 0.02 * np.exp(0.4 * slowness[case] + 0.3 * generator.normal(size=calls))
        counted = tuple(values[generator.random(calls) >= lacking].tolist())
        name = f"c{case:02}"
        found.append(Outcome(case_id=name, cluster=name, repeat=repeat, passed=True, tpot_s=counted))
    return found


def _counted(lacking: float, generator: Generator) -> tuple[list[Attempt], int]:
    """Five attempts with a few calls each, and their true token counts."""
    true = 0
    attempts = []
    for case in range(5):
        calls = []
        for _ in range(int(generator.integers(1, 4))):
            tokens = int(generator.integers(1, 200))
            true += tokens
            calls.append(
                ModelCall(
                    messages=(),
                    request={"model": "m"},
                    reply={},
                    finish_reason="stop",
                    intended_at=0,
                    sent_at=0,
                    ended_at=2,
                    chunk_at=(1, 2),
                    prompt_tokens=10,
                    completion_tokens=None if generator.random() < lacking else tokens,
                )
            )
        attempts.append(
            Attempt(
                case_id=f"c{case}",
                cluster=f"c{case}",
                repeat=0,
                seed=0,
                tries=1,
                started_at=0,
                ended_at=3,
                wall_anchor_ns=0,
                trace=Trace(steps=tuple(calls)),
                passed=True,
            )
        )
    return attempts, true


Cell = tuple[str, str, Facts]


def cells(runs: int, seed: int) -> Iterator[Cell]:
    """Table, cell and facts of each cell. Each cell has its own seed."""
    number = 0

    def generator() -> Generator:
        nonlocal number
        number += 1
        return np.random.default_rng([seed, number])

    for suite in SUITES:
        for repeats in product(REPEATS, REPEATS):
            name = f"{suite[0]} cases, {100 * suite[1]:.0f} % waiting: {repeats[0]} against {repeats[1]}"
            yield "repeats", name, repeats_cell(repeats, suite, runs * 2 // 5, generator())
    for repeats, (name, sizes) in product(TIMES, SIZES.items()):
        facts = clusters_cell(sizes, repeats, runs, generator())
        yield "clusters", f"{name} ({Clusters(sizes).effective:.1f}), {repeats} ×", facts
    for (name, raters), (clusters, each) in product(RATERS.items(), KAPPA):
        yield "kappa", f"{clusters} clusters × {each}, {name}", kappa_cell(clusters, each, raters, runs, generator())
    for lacking in LACKING:
        name = f"{100 * lacking[0]:.0f} % of the run's calls, {100 * lacking[1]:.0f} % of the baseline's"
        yield "usage", name, usage_cell(lacking, runs // 10, generator())


Tables = dict[str, dict[str, Facts]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found: Tables = {}
    for table, name, facts in cells(options.runs, options.seed):
        found.setdefault(table, {})[name] = facts
        print(table, name, facts, file=sys.stderr, flush=True)
    figures = {"runs": options.runs, "seed": options.seed, "tables": found}
    (HERE / "cells.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    (HERE / "cells.md").write_text(render(options.runs, options.seed, found))


def render(runs: int, seed: int, found: Tables) -> str:
    parts = [HEAD.format(runs=runs, seed=seed, fifths=runs * 2 // 5, tenth=runs // 10, tests=min(runs, 4000))]
    parts += [REPEATS_HEAD, *_ranges(found["repeats"]), "", *_matrices(found["repeats"])]
    for table in ("clusters", "kappa", "usage"):
        parts += [f"## {TITLES[table]}\n", *_table(found[table]), ""]
    return "\n".join(parts)


def _ranges(rows: Mapping[str, Facts]) -> list[str]:
    """The minimum and the maximum over all pairs of repeats, for each suite."""
    claims = list(next(iter(rows.values())))
    lines = [f"| | {' | '.join(claims)} |", f"|---|{'---:|' * len(claims)}"]
    for suite in dict.fromkeys(name.partition(":")[0] for name in rows):
        spread = []
        for claim in claims:
            values = [
                each for name, facts in rows.items() if name.startswith(suite) and (each := facts[claim]) is not None
            ]
            spread.append(f"{min(values):.1f} to {max(values):.1f}")
        lines.append(f"| {suite} | {' | '.join(spread)} |")
    return lines


def _matrices(rows: Mapping[str, Facts]) -> list[str]:
    """*fails* / *covers* / *passes at the margin* for every pair of repeats."""
    parts = []
    for suite in dict.fromkeys(name.partition(":")[0] for name in rows):
        parts += [f"{suite}: *fails* / *covers* / *passes at the margin*\n"]
        parts += [f"| run \\ baseline | {' | '.join(map(str, REPEATS))} |", f"|---|{'---:|' * len(REPEATS)}"]
        for run in REPEATS:
            facts = [rows[f"{suite}: {run} against {baseline}"] for baseline in REPEATS]
            shown = [" / ".join(_shown(each[claim]) for claim in MATRIX) for each in facts]
            parts.append(f"| {run} | {' | '.join(shown)} |")
        parts.append("")
    return parts


MATRIX = ("fails", "covers", "passes at the margin")


def _table(rows: Mapping[str, Facts]) -> list[str]:
    claims = list(max(rows.values(), key=len))
    lines = [f"| | {' | '.join(claims)} |", f"|---|{'---:|' * len(claims)}"]
    return lines + [
        f"| {name} | {' | '.join(_shown(each.get(claim)) for claim in claims)} |" for name, each in rows.items()
    ]


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


TITLES = {
    "clusters": "Sizes of clusters (effective number), repeats",
    "kappa": "κ: clusters × attempts, the pass rate, and the second rater's mistakes",
    "usage": "Calls without token counts",
}
HEAD = """# The tests and intervals, cell by cell

`PYTHONPATH=. python results/benchmarks/2026-11-28-gate/cells.py --runs {runs} --seed {seed}`, in percent; the figures
do not depend on the machine. A cell of repeats has {fifths:,} runs, a cell of clusters or of κ {runs:,} ({tests:,} for
*fails*), and a cell of usage {tenth:,}. The standard error of a coverage of 95 % or a share of 5 % over N runs is
22/√N points: 0.5 for 2,000 runs, 0.3 for 5,000.

*fails*: an unchanged run fails the regression gate (at most 5, one-sided). *differs*: the two-sided p of an unchanged
run is below 0.05. *covers unchanged*, *covers*, *covers everywhere worse*: the 95 % interval covers the true
difference, for runs that did not change, for runs in which randomly chosen cases always fail, and for runs in which
every case fails somewhat more often. *covers rate*: the 95 % interval covers the true pass rate. *passes at the
margin*: a run that is worse by exactly the margin of 5 points, because some cases always fail, passes a
non-inferiority gate (at most 5). A dash: there is no interval.
"""
REPEATS_HEAD = """## Repeats of the run and of the baseline, and waiting verdicts

The minimum and the maximum over all 100 pairs of 1 to 10 repeats:
"""


if __name__ == "__main__":
    main()
