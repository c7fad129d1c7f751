"""Means and percentiles with their uncertainty; pass@k and pass^k from n ≥ k repeats."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np

from agentbench.core.errors import UserError
from agentbench.stats.intervals import MeanError, mean_error, normal_quantile, quantile_levels, student_quantile, wilson
from agentbench.stats.samples import CaseSample, CaseSamples, Floats

CONFIDENCE = 0.95

Method = Literal["wilson", "wilson, effective size", "order statistics", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """`value` with the interval [low, high] at `CONFIDENCE`.

    A bound is None with too little data: both with too few effective clusters, one side for a percentile in the tail
    (the interval is then one-sided at `CONFIDENCE`). When each case is its own cluster, `cases`, `clusters` and
    `effective_clusters` are equal.
    """

    value: float
    standard_error: float | None
    low: float | None
    high: float | None
    cases: int
    clusters: int
    effective_clusters: float
    method: Method


def mean_estimate(samples: Sequence[CaseSample], confidence: float = CONFIDENCE) -> Estimate | None:
    """The mean over cases of each case's mean, for values in [0, 1]; None without cases.

    The interval is Wilson's score interval. With one pass/fail verdict per independent case, its n is the number of
    cases. Otherwise (graded, repeated or clustered) it is the effective size v·(1 − v)/se², where se is the
    cluster-robust standard error, with t of its degrees of freedom (Korn & Graubard, Survey Methodology 24, 1998, with
    Wilson's interval instead of Clopper and Pearson's). When all values are equal, se is 0, and n is the effective
    number of clusters.
    """
    if not samples:
        return None
    columns = CaseSamples.of(samples)
    value, found = float(columns.means.mean()), mean_error(columns.means, columns.cluster_codes)
    bounds, method = _bounds(columns, value, found, confidence)
    return Estimate(
        value=value,
        standard_error=found.standard_error,
        low=bounds[0],
        high=bounds[1],
        cases=len(samples),
        clusters=found.clusters,
        effective_clusters=found.effective,
        method=method,
    )


def _bounds(
    samples: CaseSamples, value: float, found: MeanError, confidence: float
) -> tuple[tuple[float, float] | tuple[None, None], Method]:
    if _is_simple(samples):
        return wilson(value, float(len(samples)), normal_quantile(confidence)), "wilson"
    if not found.supports_interval:
        return (None, None), "none"
    if value in (0.0, 1.0):
        return wilson(value, found.effective, normal_quantile(confidence)), "wilson"
    size = effective_size(samples, value, found)
    return wilson(value, size, student_quantile(confidence, found.freedom)), "wilson, effective size"


def _is_simple(samples: CaseSamples) -> bool:
    """Whether each case is independent and has one pass/fail verdict."""
    return len(samples) == len(samples.values) == samples.cluster_count and _pass_or_fail(samples)


def _pass_or_fail(samples: CaseSamples) -> bool:
    return bool(np.isin(samples.values, (0.0, 1.0)).all())


def effective_size(samples: CaseSamples, value: float, found: MeanError) -> float:
    """The number of independent pass/fail cases with the same standard error, at most the number of verdicts."""
    error = found.standard_error
    is_defined = error is not None and error > 1e-9
    size = value * (1 - value) / error**2 if error is not None and is_defined else float("inf")
    if _pass_or_fail(samples):
        return min(size, float(len(samples.values)))
    return size if is_defined else found.effective


def percentile_estimate(samples: Sequence[CaseSample], q: float, confidence: float = CONFIDENCE) -> Estimate | None:
    """The q-th percentile (0–100) of the pooled values, with its interval by order statistics.

    The effective number of values follows from the cluster-robust error of the share below the percentile (Woodruff,
    JASA 47, 1952; reduced for few clusters as in Korn & Graubard 1998). There is no interval with too few clusters.
    """
    if not samples:
        return None
    columns = CaseSamples.of(samples)
    values = columns.values
    value = float(np.percentile(values, q))
    found = mean_error((values <= value).astype(np.float64), columns.value_clusters)
    size = _size_at(found, float(np.mean(values <= value)), len(values), confidence)
    levels = quantile_levels(q / 100, size, confidence) if size else (None, None)
    low, high = (None if level is None else _at_level(values, level) for level in levels)
    return Estimate(
        value=value,
        standard_error=None,
        low=low,
        high=high,
        cases=len(columns),
        clusters=found.clusters,
        effective_clusters=found.effective,
        method="order statistics" if size else "none",
    )


def _size_at(found: MeanError, share: float, values: int, confidence: float) -> float | None:
    """The effective number of values, from the error of the share of values up to the percentile."""
    if not found.supports_interval or found.standard_error is None:
        return None
    if found.standard_error < 1e-12:
        return found.effective
    few = student_quantile(confidence, values - 1) / student_quantile(confidence, found.freedom)
    return min(float(values), share * (1 - share) / found.standard_error**2 * few**2)


def _at_level(values: Floats, level: float) -> float:
    """The order statistic at `level`·(n + 1), interpolated."""
    return float(np.quantile(values, level, method="weibull"))


def pass_at_k(trials: int, passed: int, k: int) -> float:
    """1 − C(n−c, k)/C(n, k): the probability that at least one of k tries is right (Chen et al. 2021)."""
    _check(trials, k)
    return 1 - comb(trials - passed, k) / comb(trials, k)


def pass_hat_k(trials: int, passed: int, k: int) -> float:
    """C(c, k)/C(n, k): the probability that all of k tries are right (τ-bench, Yao et al. 2024)."""
    _check(trials, k)
    return comb(passed, k) / comb(trials, k)


def pass_at_k_estimate(samples: Sequence[CaseSample], k: int) -> Estimate | None:
    """pass@k averaged over cases, with its interval; None without cases."""
    return _estimate(samples, k, pass_at_k)


def pass_hat_k_estimate(samples: Sequence[CaseSample], k: int) -> Estimate | None:
    """pass^k averaged over cases, with its interval; None without cases."""
    return _estimate(samples, k, pass_hat_k)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """pass@k and pass^k for the planned k, over the cases with k verdicts; None when there is no such case."""

    k: int
    pass_at_k: Estimate | None
    pass_hat_k: Estimate | None


def repeated(samples: Sequence[CaseSample], k: int) -> Repeated | None:
    """Both for a run of k repeats; None for a single repeat.

    A case with an undecided or failed attempt is left out: with fewer tries the estimate would be of another quantity.
    """
    if k < 2:
        return None
    return Repeated(k=k, pass_at_k=pass_at_k_estimate(_complete(samples, k), k), pass_hat_k=pass_hat_k_of(samples, k))


def pass_hat_k_of(samples: Sequence[CaseSample], k: int) -> Estimate | None:
    """pass^k over the cases with k verdicts or more; None when there is none."""
    return pass_hat_k_estimate(_complete(samples, k), k)


def _complete(samples: Sequence[CaseSample], k: int) -> list[CaseSample]:
    return [sample for sample in samples if len(sample.values) >= k]


def _check(trials: int, k: int) -> None:
    if not 1 <= k <= trials:
        raise UserError(
            f"k = {k} is not from 1 to {trials}, the repeats of a case that did not fail;"
            " choose a smaller k, or run more repeats"
        )


def _estimate(samples: Sequence[CaseSample], k: int, metric: Callable[[int, int, int], float]) -> Estimate | None:
    """Each case's pass@k is one value, and their mean has the interval of any mean."""
    cases = CaseSamples.of(samples)
    values = np.array([metric(len(case.values), round(sum(case.values)), k) for case in cases], dtype=np.float64)
    return mean_estimate(CaseSamples(cases.case_ids, cases.clusters, np.arange(len(cases)), values))
