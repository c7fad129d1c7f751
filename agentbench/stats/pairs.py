"""Pairs two runs by case id and repeat, and estimates the mean difference with its standard error and interval."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agentbench.stats.intervals import LEAST_CLUSTERS, mean_error, normal_quantile, student_quantile, tango
from agentbench.stats.outcomes import Outcome
from agentbench.stats.samples import CaseSample, Floats

Pairs = list[tuple[CaseSample, CaseSample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedRepeats:
    """The outcomes of `a` and `b` to compare: the same repeats of a case on both sides.

    `excluded` counts repeats left out because one side attempted them without a value. `unmatched` counts repeats that
    only one side attempted, of cases that both attempted.
    """

    a: list[Outcome]
    b: list[Outcome]
    excluded: int
    unmatched: int


def matched_repeats(a: Sequence[Outcome], b: Sequence[Outcome], has_value: Callable[[Outcome], bool]) -> MatchedRepeats:
    """The repeats of each case that both sides have.

    The mean of one repeat and the mean of five have different distributions at the same pass probability. Exchanging
    such runs would change more than the sign, and no sign or rank test would keep its level.
    """
    keys_a, keys_b = _keys(a), _keys(b)
    valued_a, valued_b = _keys(filter(has_value, a)), _keys(filter(has_value, b))
    matched = valued_a & valued_b
    shared = {case_id for case_id, _ in keys_a} & {case_id for case_id, _ in keys_b}
    alone = (valued_a - keys_b) | (valued_b - keys_a)
    return MatchedRepeats(
        a=[each for each in a if _key(each) in matched],
        b=[each for each in b if _key(each) in matched],
        excluded=len((keys_a - valued_a) | (keys_b - valued_b)),
        unmatched=sum(case_id in shared for case_id, _ in alone),
    )


def _key(outcome: Outcome) -> tuple[str, int]:
    return outcome.case_id, outcome.repeat


def _keys(outcomes: "Sequence[Outcome] | filter[Outcome]") -> set[tuple[str, int]]:
    return set(map(_key, outcomes))


def pair_cases(a: Sequence[CaseSample], b: Sequence[CaseSample]) -> Pairs:
    """The samples of the common cases."""
    in_b = {sample.case_id: sample for sample in b}
    return [(sample, in_b[sample.case_id]) for sample in a if sample.case_id in in_b]


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Differences d_i in [−1, 1] of cases, modelled as pairs of which a share changed by one step up or down.

    `mean`, `size` and `square` are the means of d, |d| and d². `pairs` is the effective number of independent pairs:
    their actual number when they are verdicts of independent cases (`independent`). Otherwise t has `freedom` degrees
    of freedom, and the clusters are worth `effective` ones of equal size. `verdicts` means that the values are means of
    verdicts, not of graded scores; `simple`, that cases are independent with one verdict on each side.
    """

    mean: float
    size: float
    square: float
    standard_error: float | None
    pairs: float
    clusters: int
    effective: float
    freedom: float
    verdicts: bool
    independent: bool
    simple: bool

    @property
    def supports_interval(self) -> bool:
        return self.clusters > 1 if self.simple else self.effective > LEAST_CLUSTERS - 1e-6

    @property
    def own_step(self) -> float:
        """The size of the observed changes: 1 for one pass/fail verdict per case."""
        return self.square / self.size if self.size > 1e-12 else 1.0

    @property
    def step(self) -> float:
        """The assumed size of the changes behind a true difference.

        For verdicts it is half the observed size and half 1, since a case may break in every repeat even if most cases
        differ little from one repeat to the next. It is at most the largest change consistent with this mean and
        square.
        """
        if not self.verdicts:
            return self.own_step
        half = (1 + self.own_step) / 2
        return min(half, self.square / abs(self.mean)) if abs(self.mean) > 1e-12 else half

    @property
    def bound_step(self) -> float:
        """The step for a one-sided bound that decides a gate: three quarters of it is 1. Otherwise, runs that show none
        of the few broken cases would pass too often.
        """
        return (3 + self.own_step) / 4

    def discordance(self, step: float) -> float:
        """The share of pairs that changed by a `step`, such that d² has the observed mean."""
        return max(self.square / step**2, abs(self.mean) / step)

    def interval(self, confidence: float, quantile: float | None = None) -> tuple[float, float] | tuple[None, None]:
        """Tango's score interval for the effective number of pairs; None with too few effective clusters.

        `quantile` is that of the error. By default it is normal for independent verdicts, otherwise that of t with one
        more degree of freedom than the error: the hypothesis partly determines the score's variance
        (docs/notes/intervals.md).
        """
        if not self.supports_interval:
            return None, None
        default = normal_quantile(confidence) if self.independent else student_quantile(confidence, self.freedom + 1)
        return self._bounds(self.step, quantile or default)

    def lower_bound(self, alpha: float) -> float | None:
        """The one-sided bound for a gate: it exceeds the true difference with probability at most `alpha`."""
        if not self.supports_interval:
            return None
        return self._bounds(self.bound_step, self.bound_quantile(alpha))[0]

    def bound_quantile(self, alpha: float) -> float:
        """The error's one-sided quantile: normal when each pair is one verdict on each side, otherwise of t."""
        confidence = 1 - 2 * alpha
        return normal_quantile(confidence) if self.simple else student_quantile(confidence, self.freedom)

    def _bounds(self, step: float, quantile: float) -> tuple[float, float]:
        low, high = tango(self.mean / step, self.discordance(step), self.pairs, quantile)
        return max(-1.0, step * low), min(1.0, step * high)


def differences_of(values: Floats, clusters: Sequence[str], *, verdicts: bool, single: bool = False) -> Differences:
    """The differences in `values` [cases] with their clusters. `verdicts` is set for means of pass and fail, `single`
    for one verdict on each side.
    """
    found = mean_error(values, clusters)
    mean, square = float(values.mean()), float(np.mean(values**2))
    independent = verdicts and found.clusters == len(values)
    error, spread = found.standard_error, square - mean**2
    return Differences(
        mean=mean,
        size=float(np.abs(values).mean()),
        square=square,
        standard_error=error,
        pairs=spread / error**2 if error and error > 1e-9 and not independent else found.effective,
        clusters=found.clusters,
        effective=found.effective,
        freedom=found.freedom,
        verdicts=verdicts,
        independent=independent,
        simple=independent and single,
    )
