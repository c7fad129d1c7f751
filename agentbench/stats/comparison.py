"""Paired comparison of two runs on their common cases: pass rates, a graded score, a latency.

Each case contributes its difference, d_i = a_i − b_i.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from agentbench.core.errors import unknown_name
from agentbench.stats.estimates import CONFIDENCE, percentile_estimate
from agentbench.stats.hypothesis_tests import lattice_step, sign_flip_tails, signed_rank_p
from agentbench.stats.intervals import hall, student_quantile
from agentbench.stats.outcomes import Outcome
from agentbench.stats.pairs import Differences, Pairs, differences_of, matched_repeats, pair_cases
from agentbench.stats.power import CaseMeans, DropPower, drop_power
from agentbench.stats.samples import CaseSample, Floats, cluster_sums, group_cases, passes, score_values, scores

Test = Literal["exact McNemar", "exact sign-flip on case means", "exact sign-flip on clusters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedComparison:
    """Pass rates of `a` and `b` over the same cases; rates are fractions, and `difference` is a − b.

    `low` and `high` bound the difference (by default at 95 %). `p_value` is two-sided, `p_worse` one-sided for `a`
    being worse. `better_in_a` and `better_in_b` are the cases with a different mean. `smallest_detectable` is the least
    |difference| that this comparison finds significant (two-sided 5 %) with probability 0.8, None when there is none;
    `power` gives the power for other drops. Both sides use the same repeats of a case. A repeat without a verdict in
    one run is left out of both (`excluded`), as is one that only one run made (`unmatched`). A case that only one run
    has is `unpaired`.
    """

    rate_a: float | None = None
    rate_b: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    p_value: float | None = None
    p_worse: float | None = None
    test: Test | None = None
    cases: int = 0
    clusters: int = 0
    effective_clusters: float = 0.0
    excluded: int
    unmatched: int
    unpaired: int
    better_in_a: tuple[str, ...] = ()
    better_in_b: tuple[str, ...] = ()
    smallest_detectable: float | None = None
    power: DropPower | None = None

    def to_json(self) -> dict[str, Any]:
        """All figures; `power` gives its parameters, not the cases."""
        found = asdict(replace(self, power=self.power and replace(self.power, means=None)))
        if found["power"]:
            del found["power"]["means"]
        return found


def compare_passes(a: Sequence[Outcome], b: Sequence[Outcome], confidence: float = CONFIDENCE) -> PairedComparison:
    """The pass rates of two runs on their common cases; independent of the order of outcomes."""
    matched = matched_repeats(a, b, lambda outcome: outcome.passed is not None)
    unpaired = len({x.case_id for x in a} ^ {x.case_id for x in b})
    pairs = pair_cases(passes(matched.a), passes(matched.b))
    if not pairs:
        return PairedComparison(excluded=matched.excluded, unmatched=matched.unmatched, unpaired=unpaired)
    values = np.array([x.mean - y.mean for x, y in pairs])
    clusters = [x.cluster for x, _ in pairs]
    found = differences_of(values, clusters, verdicts=True, single=_is_single(pairs))
    low, high = found.interval(confidence)
    sums = cluster_sums(values, clusters)
    less, more = sign_flip_tails(sums, lattice_step([len(side.values) for pair in pairs for side in pair]))
    power = drop_power(found, _means(pairs, clusters))
    return PairedComparison(
        rate_a=float(np.mean([x.mean for x, _ in pairs])),
        rate_b=float(np.mean([y.mean for _, y in pairs])),
        difference=found.mean,
        low=low,
        high=high,
        standard_error=found.standard_error,
        p_value=min(1.0, 2 * min(less, more)),
        p_worse=less,
        test=_test_name(pairs, clusters),
        cases=len(pairs),
        clusters=found.clusters,
        effective_clusters=found.effective,
        excluded=matched.excluded,
        unmatched=matched.unmatched,
        unpaired=unpaired,
        better_in_a=tuple(x.case_id for (x, _), d in zip(pairs, values, strict=True) if d > 1e-12),
        better_in_b=tuple(x.case_id for (x, _), d in zip(pairs, values, strict=True) if d < -1e-12),
        smallest_detectable=_smallest(found, power, pairs, clusters),
        power=power,
    )


def _smallest(found: Differences, drop: DropPower, pairs: Pairs, clusters: Sequence[str]) -> float | None:
    """The smallest detectable drop; the smallest rise when `b` has too few passes to lose. A rise is computed as a drop
    of the failures.
    """
    alpha = (1 - CONFIDENCE) / 2
    least = drop.smallest(alpha)
    if least is not None:
        return least
    means = _means(pairs, clusters)
    return drop_power(found, replace(means, run=1 - means.run, baseline=1 - means.baseline)).smallest(alpha)


def _means(pairs: Pairs, clusters: Sequence[str]) -> CaseMeans:
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    return CaseMeans(
        run=np.array([x.mean for x, _ in pairs]),
        baseline=np.array([y.mean for _, y in pairs]),
        clusters=np.array([numbers[cluster] for cluster in clusters], dtype=np.intp),
        count=len(numbers),
    )


def _is_single(pairs: Pairs) -> bool:
    return all(len(x.values) == len(y.values) == 1 for x, y in pairs)


def _test_name(pairs: Pairs, clusters: Sequence[str]) -> Test:
    if len(set(clusters)) < len(pairs):
        return "exact sign-flip on clusters"
    return "exact McNemar" if _is_single(pairs) else "exact sign-flip on case means"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreComparison:
    """The mean of a scorer's values in `a` and `b`, over cases; `difference` is a − b, with a 95 % interval.

    `p_value` is Wilcoxon's, two-sided, over clusters. The bounds are None with too few effective clusters.
    """

    scorer: str
    mean_a: float
    mean_b: float
    difference: float
    low: float | None
    high: float | None
    standard_error: float | None
    p_value: float
    cases: int
    clusters: int


def graded_scorers(*runs: Sequence[Outcome]) -> tuple[str, ...]:
    """The names of scorers with values in all the runs that are not all 0 or 1."""
    shared = set.intersection(*({name for outcome in run for name in outcome.scores} for run in runs))
    graded = {
        name for run in runs for outcome in run for name, value in outcome.scores.items() if value not in (0.0, 1.0)
    }
    return tuple(sorted(shared & graded))


def compare_scores(a: Sequence[Outcome], b: Sequence[Outcome], scorer: str) -> ScoreComparison | None:
    """The scorer's values on the common cases; None when there is none.

    On each side the interval is the wider of two: Tango's with the effective pairs, and Hall's, both with t of the
    error's degrees of freedom. Differences are skewed when a few cases lose everything, and neither alone then covers
    enough (docs/notes/intervals.md).
    """
    matched = matched_repeats(a, b, lambda outcome: bool(score_values(outcome, scorer)))
    pairs = pair_cases(scores(matched.a, scorer), scores(matched.b, scorer))
    if not pairs:
        return None
    values = np.array([x.mean - y.mean for x, y in pairs])
    clusters = [x.cluster for x, _ in pairs]
    found = differences_of(values, clusters, verdicts=False)
    low, high = _interval(found, cluster_sums(values - found.mean, clusters))
    return ScoreComparison(
        scorer=scorer,
        mean_a=float(np.mean([x.mean for x, _ in pairs])),
        mean_b=float(np.mean([y.mean for _, y in pairs])),
        difference=found.mean,
        low=low,
        high=high,
        standard_error=found.standard_error,
        p_value=signed_rank_p(values, clusters),
        cases=len(pairs),
        clusters=found.clusters,
    )


def _interval(found: Differences, deviations: Floats) -> tuple[float, float] | tuple[None, None]:
    """The interval; `deviations` are the clusters' sums of the centred differences."""
    quantile = student_quantile(CONFIDENCE, found.freedom)
    low, high = found.interval(CONFIDENCE, quantile)
    if low is None or high is None:
        return None, None
    if not found.standard_error or found.standard_error < 1e-9:
        return low, high
    skewness = float(np.mean(deviations**3) / np.mean(deviations**2) ** 1.5)
    bent = hall(found.mean, found.standard_error, skewness, found.clusters, quantile)
    return max(-1.0, min(low, bent[0])), min(1.0, max(high, bent[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedShift:
    """The median over cases of a − b in a metric's per-case median, in seconds, with a 95 % interval.

    `p_value` is Wilcoxon's, two-sided, over clusters. A bound is None with too few clusters.
    """

    difference_s: float
    low_s: float | None
    high_s: float | None
    p_value: float
    cases: int
    clusters: int


METRICS: Mapping[str, Callable[[Outcome], tuple[float, ...]]] = {
    "ttft": lambda outcome: outcome.ttft_s,
    "tpot": lambda outcome: outcome.tpot_s,
    "latency": lambda outcome: outcome.latency_s,
}


def compare_latency(a: Sequence[Outcome], b: Sequence[Outcome], metric: str) -> PairedShift | None:
    """The shift of a latency metric (`ttft`, `tpot`, `latency`) of the model calls, paired by case.

    Each case's value is the median over its answered calls. The interval uses order statistics, as for any percentile.
    None when no case has the metric on both sides.
    """
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    values = METRICS[metric]
    matched = matched_repeats(a, b, lambda outcome: outcome.failure is None)
    pairs = pair_cases(group_cases(matched.a, values), group_cases(matched.b, values))
    moved = [
        CaseSample(case_id=x.case_id, cluster=x.cluster, values=(float(np.median(x.values) - np.median(y.values)),))
        for x, y in pairs
    ]
    median = percentile_estimate(moved, 50)
    if median is None:
        return None
    return PairedShift(
        difference_s=median.value,
        low_s=median.low,
        high_s=median.high,
        p_value=signed_rank_p(np.array([case.mean for case in moved]), [case.cluster for case in moved]),
        cases=median.cases,
        clusters=median.clusters,
    )
