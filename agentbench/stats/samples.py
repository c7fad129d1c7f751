"""Outcomes grouped for statistics: a case is the unit, its repeats are averaged, its cluster is known."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentbench.stats.outcomes import Outcome

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSample:
    """What was measured of one case: a value for each repeat (or for each model call of each repeat)."""

    case_id: str
    cluster: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)


def group_cases(outcomes: Iterable[Outcome], values: Callable[[Outcome], Sequence[float]]) -> list[CaseSample]:
    """The cases that have a value, in the order of their ids, `values` of their outcomes pooled."""
    grouped: dict[str, list[float]] = {}
    clusters: dict[str, str] = {}
    for outcome in outcomes:
        if found := values(outcome):
            grouped.setdefault(outcome.case_id, []).extend(found)
            clusters[outcome.case_id] = outcome.cluster
    return [
        CaseSample(case_id=case_id, cluster=clusters[case_id], values=tuple(grouped[case_id]))
        for case_id in sorted(grouped)
    ]


def passes(outcomes: Iterable[Outcome]) -> list[CaseSample]:
    """1.0 for each attempt that was right, 0.0 for each that was wrong; without a verdict there is no value."""

    def value(outcome: Outcome) -> tuple[float, ...]:
        return () if outcome.passed is None else (float(outcome.passed),)

    return group_cases(outcomes, value)


def scores(outcomes: Iterable[Outcome], name: str) -> list[CaseSample]:
    """The score `name` of each attempt that did not fail and has it."""

    def value(outcome: Outcome) -> tuple[float, ...]:
        return () if outcome.failure or name not in outcome.scores else (outcome.scores[name],)

    return group_cases(outcomes, value)


def cluster_sums(deviations: Floats, clusters: Sequence[str]) -> Floats:
    """The sum of `deviations` [cases] in each cluster: [clusters]."""
    sums: dict[str, float] = {}
    for cluster, deviation in zip(clusters, deviations, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + float(deviation)
    return np.array(list(sums.values()))
