"""Attempts grouped for statistics: the case is the unit, its repeats are averaged, and it belongs to a cluster."""

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
    """The values of one case: one for each repeat (or for each model call of each repeat)."""

    case_id: str
    cluster: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)


class CaseSamples(Sequence[CaseSample]):
    """Samples of cases as columns, with about twenty bytes per value.

    `values` [n] has the values of the first case, then those of the second …. `starts` [cases] has the index of each
    case's first value. `cluster_codes` [cases] numbers the clusters in order of appearance.
    """

    def __init__(self, case_ids: Sequence[str], clusters: Sequence[str], starts: Integers, values: Floats) -> None:
        self.case_ids = case_ids
        self.clusters = clusters
        self.starts = starts
        self.values = values
        self.counts: Integers = np.diff(starts, append=len(values))
        self.cluster_codes, self.cluster_count = _numbered(case_ids, clusters)

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


def _numbered(case_ids: Sequence[str], clusters: Sequence[str]) -> tuple[Integers, int]:
    """The clusters' numbers [cases] in order of appearance, and how many clusters there are."""
    if all(cluster == case_id for cluster, case_id in zip(clusters, case_ids, strict=True)):
        return np.arange(len(clusters)), len(clusters)
    codes = numbered(clusters)
    return codes, int(codes.max()) + 1


def numbered(clusters: Sequence[str]) -> Integers:
    """The clusters' numbers [cases] in order of appearance."""
    numbers: dict[str, int] = {}
    return np.fromiter((numbers.setdefault(cluster, len(numbers)) for cluster in clusters), np.intp, len(clusters))


class CaseIndex:
    """Numbers cases in order of appearance, for columns that refer to cases by number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.clusters: list[str] = []
        self._sorted = np.empty(0, dtype=np.int32)

    def number(self, outcome: Outcome) -> int:
        number = self._numbers.setdefault(outcome.case_id, len(self._numbers))
        if number == len(self.clusters):
            self.clusters.append(outcome.cluster)
        else:
            self.clusters[number] = outcome.cluster
        return number

    @property
    def case_ids(self) -> list[str]:
        """The id of each number."""
        return list(self._numbers)

    @property
    def by_id(self) -> NDArray[np.int32]:
        """The case numbers, sorted by case id."""
        if len(self._sorted) < len(self._numbers):
            self._sorted = np.fromiter((self._numbers[each] for each in sorted(self._numbers)), np.int32)
        return self._sorted


class SampleColumn:
    """Collects one kind of value for the cases of an index, attempt by attempt."""

    def __init__(self, index: CaseIndex) -> None:
        self._index = index
        self._cases = array("i")
        self._values = array("d")

    def add(self, number: int, values: Sequence[float]) -> None:
        """Add an attempt's values to the case with this number."""
        for value in values:
            self._cases.append(number)
            self._values.append(value)

    def samples(self) -> CaseSamples:
        """The cases with a value, sorted by id."""
        cases, values = np.array(self._cases, dtype=np.int32), np.array(self._values, dtype=np.float64)
        case_ids, clusters, by_id = self._index.case_ids, self._index.clusters, self._index.by_id
        rank = np.empty(len(by_id), dtype=np.int32)
        rank[by_id] = np.arange(len(by_id), dtype=np.int32)
        ranks = rank[cases]
        order = np.argsort(ranks, kind="stable")
        found, starts = np.unique(ranks[order], return_index=True)
        present = by_id[found]
        return CaseSamples(
            [case_ids[number] for number in present], [clusters[number] for number in present], starts, values[order]
        )


def group_cases(outcomes: Iterable[Outcome], values: Callable[[Outcome], Sequence[float]]) -> CaseSamples:
    """The cases with a value, sorted by id; `values` of their outcomes are pooled."""
    index = CaseIndex()
    column = SampleColumn(index)
    for outcome in outcomes:
        column.add(index.number(outcome), values(outcome))
    return column.samples()


def pass_values(outcome: Outcome) -> tuple[float, ...]:
    """1.0 for a right attempt, 0.0 for a wrong one; nothing for an undecided or failed one."""
    return () if outcome.passed is None else (float(outcome.passed),)


def passes(outcomes: Iterable[Outcome]) -> CaseSamples:
    """The verdicts of each case with at least one, as 1.0 and 0.0."""
    return group_cases(outcomes, pass_values)


def score_values(outcome: Outcome, name: str) -> tuple[float, ...]:
    """The score `name` of an attempt that has it and did not fail."""
    return () if outcome.failure or name not in outcome.scores else (outcome.scores[name],)


def scores(outcomes: Iterable[Outcome], name: str) -> CaseSamples:
    """The score `name` of each attempt that has it and did not fail."""
    return group_cases(outcomes, lambda outcome: score_values(outcome, name))


def cluster_sums(deviations: Floats, clusters: Sequence[str] | Integers) -> Floats:
    """The sum of `deviations` [cases] in each cluster: [clusters]. `clusters` are names, or numbers from 0."""
    if isinstance(clusters, np.ndarray):
        return np.bincount(clusters, weights=deviations).astype(np.float64, copy=False)
    sums: dict[str, float] = {}
    for cluster, deviation in zip(clusters, deviations, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + float(deviation)
    return np.array(list(sums.values()))
