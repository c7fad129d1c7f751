"""How far a latency metric moved between two runs, paired on case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agentbench.core.errors import unknown_name
from agentbench.stats.estimates import percentile_estimate
from agentbench.stats.outcomes import Outcome
from agentbench.stats.pairs import pair_cases, usable
from agentbench.stats.samples import CaseSample, group_cases
from agentbench.stats.signed_rank import signed_rank_p


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedShift:
    """The median over cases of a − b in a metric's per-case median, in seconds, with a 95 % interval.

    `p_value` is Wilcoxon's, two-sided, over clusters. A bound is None where there are too few clusters for it.
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
    """How a latency metric (`ttft`, `tpot`, `latency`) of the model calls moved, paired on case.

    Each case's value is the median over its answered calls; the interval is by order statistics, as that of any
    percentile. None when no case has the metric on both sides.
    """
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    values = METRICS[metric]
    kept = usable(a, b, lambda outcome: outcome.failure is None)
    pairs = pair_cases(group_cases(kept.a, values), group_cases(kept.b, values))
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
