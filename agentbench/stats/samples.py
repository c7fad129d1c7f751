"""Attempts grouped for statistics: a case is the unit, its repeats are averaged, its cluster is known."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from agentbench.stats.outcomes import Outcome

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSample:
    """What was measured of one case: a value for each repeat (or for each model call of each repeat)."""

    case_id: str
    cluster: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)


class CaseSamples(Sequence[CaseSample]):
    """Samples of cases as columns, some twenty bytes for each value, however many cases there are.

    `values` [n] has those of the first case, then those of the second …; `starts` [cases] is where each case's begin,
    `cluster_codes` [cases] numbers the clusters in the order they are first seen.
    """

    def __init__(self, case_ids: Sequence[str], clusters: Sequence[str], starts: Integers, values: Floats) -> None:
        self.case_ids = case_ids
        self.clusters = clusters
        self.starts = starts
        self.values = values
        self.counts: Integers = np.diff(starts, append=len(values))
        numbers: dict[str, int] = {}
        codes = (numbers.setdefault(cluster, len(numbers)) for cluster in clusters)
        self.cluster_codes: Integers = np.fromiter(codes, np.intp, len(clusters))
        self.cluster_count = len(numbers)

    @classmethod
    def of(cls, samples: Sequence[CaseSample]) -> "CaseSamples":
        if isinstance(samples, CaseSamples):
            return samples
        sizes = [len(sample.values) for sample in samples]
        values = np.array([value for sample in samples for value in sample.values], dtype=np.float64)
        starts = np.cumsum([0, *sizes], dtype=np.intp)[:-1]
        return cls([sample.case_id for sample in samples], [sample.cluster for sample in samples], starts, values)

    @property
    def means(self) -> Floats:
        """The mean of each case's values: [cases]."""
        return np.add.reduceat(self.values, self.starts) / self.counts if len(self) else self.values

    @property
    def value_clusters(self) -> Integers:
        """The cluster of each value: [n]."""
        return np.repeat(self.cluster_codes, self.counts)

    def __len__(self) -> int:
        return len(self.case_ids)

    @overload
    def __getitem__(self, index: int) -> CaseSample: ...
    @overload
    def __getitem__(self, index: slice) -> list[CaseSample]: ...
    def __getitem__(self, index: int | slice) -> CaseSample | list[CaseSample]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        start = int(self.starts[index])
        values = tuple(self.values[start : start + int(self.counts[index])].tolist())
        return CaseSample(case_id=self.case_ids[index], cluster=self.clusters[index], values=values)

    def __iter__(self) -> Iterator[CaseSample]:
        return (self[number] for number in range(len(self)))


class CaseIndex:
    """Numbers the cases of outcomes as they come, so that many columns can say whose a value is."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.clusters: list[str] = []

    def number(self, outcome: Outcome) -> int:
        number = self._numbers.setdefault(outcome.case_id, len(self._numbers))
        if number == len(self.clusters):
            self.clusters.append(outcome.cluster)
        else:
            self.clusters[number] = outcome.cluster
        return number

    @property
    def case_ids(self) -> list[str]:
        return list(self._numbers)


class SampleColumn:
    """Gathers one kind of value of the cases of an index, attempt by attempt."""

    def __init__(self, index: CaseIndex) -> None:
        self._index = index
        self._cases = array("l")
        self._values = array("d")

    def add(self, number: int, values: Sequence[float]) -> None:
        """Values of an attempt of the case with this number."""
        for value in values:
            self._cases.append(number)
            self._values.append(value)

    def samples(self) -> CaseSamples:
        """The cases that have a value, in the order of their ids."""
        cases, values = np.array(self._cases, dtype=np.intp), np.array(self._values, dtype=np.float64)
        case_ids, clusters = self._index.case_ids, self._index.clusters
        by_id = sorted(range(len(case_ids)), key=case_ids.__getitem__)
        rank = np.empty(len(case_ids), dtype=np.intp)
        rank[by_id] = np.arange(len(case_ids))
        order = np.argsort(rank[cases], kind="stable")
        found, starts = np.unique(rank[cases][order], return_index=True)
        present = [by_id[number] for number in found.tolist()]
        return CaseSamples(
            [case_ids[number] for number in present], [clusters[number] for number in present], starts, values[order]
        )


def group_cases(outcomes: Iterable[Outcome], values: Callable[[Outcome], Sequence[float]]) -> CaseSamples:
    """The cases that have a value, in the order of their ids, `values` of their outcomes pooled."""
    index = CaseIndex()
    column = SampleColumn(index)
    for outcome in outcomes:
        column.add(index.number(outcome), values(outcome))
    return column.samples()


def pass_values(outcome: Outcome) -> tuple[float, ...]:
    """1.0 for an attempt that was right, 0.0 for one that was wrong; nothing without a verdict."""
    return () if outcome.passed is None else (float(outcome.passed),)


def passes(outcomes: Iterable[Outcome]) -> CaseSamples:
    """The verdicts of each case that has one, as 1.0 and 0.0."""
    return group_cases(outcomes, pass_values)


def score_values(outcome: Outcome, name: str) -> tuple[float, ...]:
    """The score `name` of an attempt that did not fail and has it."""
    return () if outcome.failure or name not in outcome.scores else (outcome.scores[name],)


def scores(outcomes: Iterable[Outcome], name: str) -> CaseSamples:
    """The score `name` of each attempt that did not fail and has it."""
    return group_cases(outcomes, lambda outcome: score_values(outcome, name))


def cluster_sums(deviations: Floats, clusters: Sequence[str] | Integers) -> Floats:
    """The sum of `deviations` [cases] in each cluster: [clusters]. `clusters` are names, or numbers from 0."""
    if isinstance(clusters, np.ndarray):
        return np.bincount(clusters, weights=deviations).astype(np.float64, copy=False)
    sums: dict[str, float] = {}
    for cluster, deviation in zip(clusters, deviations, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + float(deviation)
    return np.array(list(sums.values()))
