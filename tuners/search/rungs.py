"""Rungs: a candidate answers a few cases, then more, until it is shown to be worse than the best so far.

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
    """`order` has the cases in the order of answering; `sizes` has the cumulative number of cases after each rung.

    The last size is all of them. `alphas` is each rung's share, except the last's, of the risk to drop a candidate that
    is not worse.
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
    """The rungs with the sizes in `first` that are smaller than all cases, then all cases.

    `alpha` is divided over the rungs in proportion to the square root of their share of the cases, a measure of
    information. This resembles Pocock spending: early rungs may already drop a clearly worse candidate.
    """
    total = len(cases)
    sizes = (*sorted({size for size in first if 0 < size < total}), total)
    return RungPlan(order=_stratified(cases, seed), sizes=sizes, alphas=_spending(sizes, alpha))


def _spending(sizes: Sequence[int], alpha: float) -> tuple[float, ...]:
    spent = [alpha * math.sqrt(size / sizes[-1]) for size in sizes[:-1]]
    return tuple(now - before for before, now in zip([0.0, *spent], spent, strict=False))


def _stratified(cases: Sequence[Case], seed: int) -> tuple[str, ...]:
    """A shuffled order in which every section has each category in about its overall share."""
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
    """One-sided p of "the candidate is not worse than the best" on their common cases.

    Pass/fail: the exact sign test on clusters that differ (McNemar's test when each case is its own cluster). Graded:
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
    """The candidate's projected score on all cases that `best` answered, from those it has answered itself.

    It is the best's mean plus the mean paired difference, so that the difficulty of the cases so far cancels out.
    """
    shared = candidate.keys() & best.keys()
    if not shared:
        return float(np.mean(list(candidate.values()))) if candidate else 0.0
    difference = np.mean([candidate[case] - best[case] for case in shared])
    return float(np.clip(np.mean(list(best.values())) + difference, 0.0, 1.0))
