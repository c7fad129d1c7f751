"""Rungs: a candidate answers a few cases, then more, until it is shown to be worse than the best so far.

Every candidate answers the same cases with the same seeds, so that two are compared case by case.
A `Climb` is one candidate on its way.
"""

import math
import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from agentbench.core.case import Case
from agentbench.stats.samples import cluster_sums
from tuners.search.candidate import Candidate, End
from tuners.search.evaluator import Answers, Figures, Limit
from tuners.search.journal import Progress
from tuners.space.configuration import Configuration


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


@dataclass(slots=True, kw_only=True)
class Climb:
    """The state of a candidate. `rung` is the last one it completed, -1 before the first; `end` is None while it may go
    on.

    `attempts` is its number of answers, cached ones included; `failed` is how many of those failed without the agent's
    fault. `case_runs` is how many were run for it. `before` is the state at the start of the current rung.
    """

    number: int
    configuration: Configuration
    rung: int = -1
    scores: dict[str, float] = field(default_factory=dict)
    figures: Figures = field(default_factory=dict)
    at_best: Figures = field(default_factory=dict)
    by_rung: list[Figures] = field(default_factory=list)
    attempts: int = 0
    failed: int = 0
    case_runs: int = 0
    seconds: float = 0.0
    end: End | None = None
    reason: str = ""
    before: Progress | None = None

    def take(self, answers: Answers) -> None:
        """Takes the answers to the next rung's cases. When the budget ended before the last of them, the candidate
        ends.
        """
        self.scores.update(answers.scores)
        self.attempts += answers.attempts
        self.failed += answers.failed
        if not answers.complete:
            self.end = "out of budget"
            self.figures = self.figures or answers.figures
            return
        self.rung += 1
        self.figures = answers.figures or self.figures
        self.at_best = answers.at_best
        self.by_rung.append(answers.figures)

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.scores.values()))) if self.scores else 0.0

    def quality(self, best: Values | None) -> float:
        """The mean over all of train, or its projection from the cases so far by the scores of the best candidate."""
        return self.mean if self.end == "finished" or best is None else projected(self.scores, best)

    def candidate(self, best: Values | None, limits: tuple[Limit, ...]) -> Candidate:
        """The candidate with its results so far."""
        quality = self.quality(best)
        return Candidate(
            number=self.number,
            settings=self.configuration.settings,
            end=self.end or "unfinished",
            rung=self.rung,
            quality=quality,
            scores=dict(self.scores),
            figures=dict(self.figures),
            by_rung=tuple(dict(each) for each in self.by_rung),
            excess=excesses(limits, self.figures, quality) if self.scores else {},
            case_runs=self.case_runs,
            seconds=self.seconds,
            failed=self.failed,
            reason=self.reason,
        )


def excesses(limits: tuple[Limit, ...], figures: Figures, quality: float) -> dict[str, float]:
    """How far each limit is exceeded; 0 or less when it is met."""
    values = {**figures, "quality": quality}
    return {limit.metric: limit.excess(values) for limit in limits}
