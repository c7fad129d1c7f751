"""Two runs as pairs on case id and repeat, and the mean of their differences: its standard error and interval."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agentbench.stats.intervals import LEAST_CLUSTERS, mean_error, normal_quantile, student_quantile, tango
from agentbench.stats.outcomes import Outcome
from agentbench.stats.samples import CaseSample, Floats

Pairs = list[tuple[CaseSample, CaseSample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedRepeats:
    """The outcomes of `a` and `b` that are compared: the same repeats of a case on both sides.

    `excluded` counts the repeats left out because a side has no value of one that it attempted, `unmatched` those that
    only one side attempted, of the cases that both did.
    """

    a: list[Outcome]
    b: list[Outcome]
    excluded: int
    unmatched: int


def matched_repeats(a: Sequence[Outcome], b: Sequence[Outcome], has_value: Callable[[Outcome], bool]) -> MatchedRepeats:
    """As many repeats of a case on one side as on the other, and the same.

    The mean of one repeat and the mean of five are distributed differently about the same chance to pass: exchanging
    the runs changes more than the sign then, so that no test by signs or ranks holds its level.
    """
    made_a, made_b = _keys(a), _keys(b)
    valued_a, valued_b = _keys(filter(has_value, a)), _keys(filter(has_value, b))
    kept = valued_a & valued_b
    shared = {case_id for case_id, _ in made_a} & {case_id for case_id, _ in made_b}
    alone = (valued_a - made_b) | (valued_b - made_a)
    return MatchedRepeats(
        a=[each for each in a if _key(each) in kept],
        b=[each for each in b if _key(each) in kept],
        excluded=len((made_a - valued_a) | (made_b - valued_b)),
        unmatched=sum(case_id in shared for case_id, _ in alone),
    )


def _key(outcome: Outcome) -> tuple[str, int]:
    return outcome.case_id, outcome.repeat


def _keys(outcomes: "Sequence[Outcome] | filter[Outcome]") -> set[tuple[str, int]]:
    return set(map(_key, outcomes))


def pair_cases(a: Sequence[CaseSample], b: Sequence[CaseSample]) -> Pairs:
    """The samples of the cases that both sides have."""
    in_b = {sample.case_id: sample for sample in b}
    return [(sample, in_b[sample.case_id]) for sample in a if sample.case_id in in_b]


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Differences d_i in [−1, 1] of cases, as pairs of which a share changed by one step up or down.

    `mean`, `size` and `square` are the means of d, |d| and d². `pairs` is as how many independent pairs they are worth:
    their number where they are verdicts of independent cases (`independent`). Else t has `freedom` degrees of freedom,
    and the clusters are worth `effective` ones of equal size. `verdicts`: means of verdicts, not of graded scores;
    `simple`: of independent cases, with one verdict on either side.
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
        """The size of the changes found: 1 for pass/fail once per case."""
        return self.square / self.size if self.size > 1e-12 else 1.0

    @property
    def step(self) -> float:
        """The size of the changes that a true difference is taken to come from. Of verdicts it is half their own and
        half 1, since a case may break in every repeat, however little most cases differ from one to the next; at most
        what the changes can be that have this mean and square."""
        if not self.verdicts:
            return self.own_step
        half = (1 + self.own_step) / 2
        return min(half, self.square / abs(self.mean)) if abs(self.mean) > 1e-12 else half

    @property
    def bound_step(self) -> float:
        """The same for a bound that a bar rests on: three quarters of it 1, since the runs that show none of the few
        cases that broke would else pass too often."""
        return (3 + self.own_step) / 4

    def discordance(self, step: float) -> float:
        """The share of pairs that changed by a `step`, so that d² has the mean found."""
        return max(self.square / step**2, abs(self.mean) / step)

    def interval(self, confidence: float, quantile: float | None = None) -> tuple[float, float] | tuple[None, None]:
        """Tango's score interval of the pairs they are worth; None of too few effective clusters.

        `quantile` is the error's. Unless given it is normal for independent verdicts, else that of t with one degree
        of freedom more than the error has: the score's variance is partly known from the hypothesis
        (docs/notes/intervals.md).
        """
        if not self.supports_interval:
            return None, None
        known = normal_quantile(confidence) if self.independent else student_quantile(confidence, self.freedom + 1)
        return self._bounds(self.step, quantile or known)

    def lower_bound(self, alpha: float) -> float | None:
        """The one-sided bound that a bar may rest on: it is above the true difference in at most a share `alpha`."""
        if not self.supports_interval:
            return None
        return self._bounds(self.bound_step, self.bound_quantile(alpha))[0]

    def bound_quantile(self, alpha: float) -> float:
        """Of the error, one-sided: normal where each pair is one verdict on either side, else of t."""
        confidence = 1 - 2 * alpha
        return normal_quantile(confidence) if self.simple else student_quantile(confidence, self.freedom)

    def _bounds(self, step: float, quantile: float) -> tuple[float, float]:
        low, high = tango(self.mean / step, self.discordance(step), self.pairs, quantile)
        return max(-1.0, step * low), min(1.0, step * high)


def differences_of(values: Floats, clusters: Sequence[str], *, verdicts: bool, once: bool = False) -> Differences:
    """`values` [cases] and their clusters; `verdicts` when they are of means of pass and fail, `once` of one on either
    side."""
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
        simple=independent and once,
    )
