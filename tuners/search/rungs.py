"""Rungs: a candidate answers a few cases, then more, for as long as it is not shown to be worse than the best so far.

Every candidate answers the same cases with the same seeds, so that two are compared case by case.
"""

import math
import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from agentbench.core.case import Case
from agentbench.stats.samples import cluster_sums


@dataclass(frozen=True, slots=True, kw_only=True)
class RungPlan:
    """`order` is the cases in the order they are answered, `sizes` how many have been answered after each rung.

    The last size is all of them. `alphas` is what each rung but the last may spend of the chance to drop a
    candidate that is not worse.
    """

    order: tuple[str, ...]
    sizes: tuple[int, ...]
    alphas: tuple[float, ...]

    def cases(self, rung: int) -> tuple[str, ...]:
        """The cases that `rung` (from 0) adds."""
        begin = self.sizes[rung - 1] if rung else 0
        return self.order[begin : self.sizes[rung]]

    def so_far(self, rung: int) -> tuple[str, ...]:
        return self.order[: self.sizes[rung]]


def plan_rungs(cases: Sequence[Case], first: Sequence[int], alpha: float, seed: int) -> RungPlan:
    """Rungs of the sizes in `first` that are smaller than all cases, then all.

    `alpha` is spent over the rungs in proportion to the information each adds, the square root of its share of
    the cases (a Pocock-like spending: early rungs may already drop what is clearly worse).
    """
    total = len(cases)
    sizes = (*sorted({size for size in first if 0 < size < total}), total)
    return RungPlan(order=_stratified(cases, seed), sizes=sizes, alphas=_spending(sizes, alpha))


def _spending(sizes: Sequence[int], alpha: float) -> tuple[float, ...]:
    spent = [alpha * math.sqrt(size / sizes[-1]) for size in sizes[:-1]]
    return tuple(now - before for before, now in zip([0.0, *spent], spent, strict=False))


def _stratified(cases: Sequence[Case], seed: int) -> tuple[str, ...]:
    """A shuffled order in which every stretch has each category in about its share of all cases."""
    strata: dict[Hashable, list[str]] = {}
    chance = random.Random(seed)
    for case in cases:
        strata.setdefault(str(case.metadata.get("category", "")), []).append(case.id)
    placed: list[tuple[float, str]] = []
    for ids in strata.values():
        chance.shuffle(ids)
        offset = chance.random()
        placed += [((index + offset) / len(ids), case_id) for index, case_id in enumerate(ids)]
    return tuple(case_id for _, case_id in sorted(placed))


Values = Mapping[str, float]
"""Case id to the mean of its scores."""


def worse_p(candidate: Values, best: Values, cluster: Callable[[str], str]) -> float:
    """One-sided p of "the candidate is not worse than the best" on the cases both answered.

    Pass/fail: the exact sign test on clusters that differ (McNemar's where each case is its own). Graded:
    Wilcoxon's signed-rank test on the clusters' differences.
    """
    shared = sorted(candidate.keys() & best.keys())
    differences = np.array([candidate[case] - best[case] for case in shared])
    sums = cluster_sums(differences, [cluster(case) for case in shared]) if shared else differences
    moved = sums[np.abs(sums) > 1e-12]
    if not moved.size:
        return 1.0
    if bool(np.isin(differences, (-1.0, 0.0, 1.0)).all()):
        return float(stats.binomtest(int((moved < 0).sum()), moved.size, alternative="greater").pvalue)
    return float(stats.wilcoxon(moved, alternative="less").pvalue)


def projected(candidate: Values, best: Values) -> float:
    """What the candidate would score on all that `best` answered, from the cases it has answered itself.

    The best's mean plus the mean paired difference: how hard the cases so far happened to be cancels out.
    """
    shared = candidate.keys() & best.keys()
    if not shared:
        return float(np.mean(list(candidate.values()))) if candidate else 0.0
    difference = np.mean([candidate[case] - best[case] for case in shared])
    return float(np.clip(np.mean(list(best.values())) + difference, 0.0, 1.0))
