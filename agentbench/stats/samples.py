"""Attempts grouped for statistics: a case is the unit, its repeats are averaged, its cluster is known."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentbench.score import Attempt

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


def group_cases(attempts: Iterable[Attempt], values: Callable[[Attempt], Iterable[float]]) -> list[CaseSample]:
    """The cases that have a value, in the order of their ids, `values` of their attempts pooled."""
    grouped: dict[str, list[float]] = {}
    clusters: dict[str, str] = {}
    for attempt in attempts:
        if found := list(values(attempt)):
            grouped.setdefault(attempt.case_id, []).extend(found)
            clusters[attempt.case_id] = attempt.cluster
    return [
        CaseSample(case_id=case_id, cluster=clusters[case_id], values=tuple(grouped[case_id]))
        for case_id in sorted(grouped)
    ]


def passes(attempts: Iterable[Attempt]) -> list[CaseSample]:
    """1.0 for each attempt that was right, 0.0 for each that was wrong; failed ones have no value."""

    def value(attempt: Attempt) -> list[float]:
        return [] if attempt.failure or attempt.passed is None else [float(attempt.passed)]

    return group_cases(attempts, value)


def scores(attempts: Iterable[Attempt], name: str) -> list[CaseSample]:
    """The value of the score `name` of each attempt that did not fail, once its verdict is there."""

    def value(attempt: Attempt) -> list[float]:
        return [] if attempt.failure else [s.value for s in attempt.scores if s.name == name and s.passed is not None]

    return group_cases(attempts, value)


def cluster_sums(deviations: Floats, clusters: Sequence[str]) -> Floats:
    """The sum of `deviations` [cases] in each cluster: [clusters]."""
    sums: dict[str, float] = {}
    for cluster, deviation in zip(clusters, deviations, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + float(deviation)
    return np.array(list(sums.values()))
