"""A mean or a percentile with its uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from agentbench.stats.intervals import normal_quantile, quantile_levels, student_quantile, wilson
from agentbench.stats.samples import CaseSample, CaseSamples, Floats, Integers, cluster_sums

CONFIDENCE = 0.95

Method = Literal["wilson", "wilson, effective size", "order statistics", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """`value` with the interval [low, high] at `CONFIDENCE`.

    A bound is None where there is too little data for one: both with a single cluster, one side of a percentile in
    the tail (the interval is then one-sided at `CONFIDENCE`). `clusters` equals `cases` where each is its own.
    """

    value: float
    standard_error: float | None
    low: float | None
    high: float | None
    cases: int
    clusters: int
    method: Method


def mean_estimate(samples: Sequence[CaseSample], confidence: float = CONFIDENCE) -> Estimate | None:
    """The mean over cases of each case's mean, for values in [0, 1]; None without cases.

    Wilson's score interval. Pass/fail once per independent case: of the cases. Otherwise (graded, repeated or
    clustered): of the effective size v·(1 − v)/se², se the cluster-robust standard error, with t of C − 1 degrees
    of freedom (Korn & Graubard, Survey Methodology 24, 1998, with Wilson's interval for Clopper and Pearson's). Values
    that are all alike leave that error at 0: the size is then the number of clusters.
    """
    if not samples:
        return None
    columns = CaseSamples.of(samples)
    means, count = columns.means, columns.cluster_count
    value, error = float(means.mean()), standard_error(means, columns.cluster_codes)
    size, quantile = effective_size(columns, value, error), student_quantile(confidence, max(1, count - 1))
    if value in (0.0, 1.0) or _is_simple(columns):
        size, quantile = float(count), normal_quantile(confidence)
    bounds = wilson(value, size, quantile) if size else (None, None)
    simple: Method = "wilson" if quantile == normal_quantile(confidence) else "wilson, effective size"
    return Estimate(
        value=value,
        standard_error=error,
        low=bounds[0],
        high=bounds[1],
        cases=len(samples),
        clusters=count,
        method=simple if size else "none",
    )


def _is_simple(samples: CaseSamples) -> bool:
    """Whether it is pass/fail once per independent case."""
    return len(samples) == len(samples.values) == samples.cluster_count and _pass_or_fail(samples)


def _pass_or_fail(samples: CaseSamples) -> bool:
    return bool(np.isin(samples.values, (0.0, 1.0)).all())


def effective_size(samples: CaseSamples, value: float, error: float | None) -> float | None:
    """As how many independent pass/fail cases `error` is worth, at most as there are verdicts; None of one cluster."""
    if error is None:
        return None
    size = value * (1 - value) / error**2 if error > 1e-9 else float("inf")
    if _pass_or_fail(samples):
        return min(size, float(len(samples.values)))
    return size if error > 1e-9 else float(samples.cluster_count)


def standard_error(values: Floats, clusters: Sequence[str] | Integers) -> float | None:
    """√(C/(C−1) · Σ_c(Σ_{i∈c}(x_i − x̄))²)/n, which is s/√n when each case is a cluster; None for C < 2.

    Liang & Zeger 1986, with the small-sample factor C/(C−1) of Cameron & Miller 2015.
    """
    sums = cluster_sums(values - values.mean(), clusters)
    count = len(sums)
    if count < 2:
        return None
    return float(np.sqrt(count / (count - 1) * np.sum(sums**2)) / len(values))


def percentile_estimate(samples: Sequence[CaseSample], q: float, confidence: float = CONFIDENCE) -> Estimate | None:
    """The q-th percentile (0–100) of the pooled values, and its interval by order statistics.

    The values are taken for as many independent ones as the cluster-robust error of the share below the percentile is
    worth (Woodruff, JASA 47, 1952; reduced for few clusters as in Korn & Graubard 1998).
    """
    if not samples:
        return None
    columns = CaseSamples.of(samples)
    values = columns.values
    value = float(np.percentile(values, q))
    size = _size_at(columns, value, confidence)
    levels = quantile_levels(q / 100, size, confidence) if size else (None, None)
    low, high = (None if level is None else _at_level(values, level) for level in levels)
    return Estimate(
        value=value,
        standard_error=None,
        low=low,
        high=high,
        cases=len(columns),
        clusters=columns.cluster_count,
        method="order statistics" if size else "none",
    )


def _size_at(samples: CaseSamples, value: float, confidence: float) -> float | None:
    """As how many independent values the share of them up to `value` is worth; None of one cluster."""
    clusters, total = samples.cluster_count, len(samples.values)
    if clusters < 2:
        return None
    of_values = samples.value_clusters
    below = np.bincount(of_values, weights=samples.values <= value)
    share = float(below.sum()) / total
    sums = below - share * np.bincount(of_values)
    error = float(np.sqrt(clusters / (clusters - 1) * np.sum(sums**2))) / total
    if error < 1e-12:
        return float(clusters)
    few = student_quantile(confidence, total - 1) / student_quantile(confidence, clusters - 1)
    return min(float(total), share * (1 - share) / error**2 * few**2)


def _at_level(values: Floats, level: float) -> float:
    """The order statistic at `level`·(n + 1), interpolated."""
    return float(np.quantile(values, level, method="weibull"))
