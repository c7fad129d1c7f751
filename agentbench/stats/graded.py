"""A graded score of two runs, paired on case."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentbench.stats.differences import Differences, differences_of
from agentbench.stats.estimates import CONFIDENCE
from agentbench.stats.intervals import hall, student_quantile
from agentbench.stats.outcomes import Outcome
from agentbench.stats.pairs import pair_cases, usable
from agentbench.stats.samples import Floats, cluster_sums, score_values, scores
from agentbench.stats.signed_rank import signed_rank_p


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
    """The scorers that all the runs have values of, not all of them 0 or 1, by name."""
    shared = set.intersection(*({name for outcome in run for name in outcome.scores} for run in runs))
    graded = {
        name for run in runs for outcome in run for name, value in outcome.scores.items() if value not in (0.0, 1.0)
    }
    return tuple(sorted(shared & graded))


def compare_scores(a: Sequence[Outcome], b: Sequence[Outcome], scorer: str) -> ScoreComparison | None:
    """The scorer's values on the cases both runs have one of; None when there is none.

    The interval is the wider, on each side, of Tango's of the effective pairs and Hall's, both with t of the
    error's degrees of freedom: differences are skewed where a few cases lose everything, and neither alone covers
    enough then (docs/notes/intervals.md).
    """
    kept = usable(a, b, lambda outcome: bool(score_values(outcome, scorer)))
    pairs = pair_cases(scores(kept.a, scorer), scores(kept.b, scorer))
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
    """`deviations` are the clusters' sums of the differences less their mean."""
    quantile = student_quantile(CONFIDENCE, found.freedom)
    low, high = found.interval(CONFIDENCE, quantile)
    if low is None or high is None:
        return None, None
    if not found.standard_error or found.standard_error < 1e-9:
        return low, high
    skewness = float(np.mean(deviations**3) / np.mean(deviations**2) ** 1.5)
    bent = hall(found.mean, found.standard_error, skewness, found.clusters, quantile)
    return max(-1.0, min(low, bent[0])), min(1.0, max(high, bent[1]))
