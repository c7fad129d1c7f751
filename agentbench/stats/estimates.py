"""A mean or a percentile with its uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from agentbench.stats.samples import CaseSample, Floats, cluster_sums

CONFIDENCE = 0.95
RESAMPLES = 1000
MANY_VALUES, FEWEST_RESAMPLES = 5000, 200
"""Of more values than this fewer resamples are drawn: their interval is narrow, and each draw is dear."""

Method = Literal["wilson", "t", "cluster-robust t", "cluster bootstrap", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """`value` with the interval [low, high] at `CONFIDENCE`, None where there is too little data for one."""

    value: float
    standard_error: float | None
    low: float | None
    high: float | None
    cases: int
    clusters: int
    method: Method


def mean_estimate(samples: Sequence[CaseSample], confidence: float = CONFIDENCE) -> Estimate | None:
    """The mean over cases of each case's mean, for values in [0, 1]; None without cases.

    Pass/fail once per independent case: Wilson's score interval, which is honest near 0 and 1 (Wilson 1927;
    Brown, Cai & DasGupta 2001). Otherwise (graded, repeated or clustered): t with the cluster-robust error,
    cut to [0, 1]. Values that are all 0 or all 1 leave that error at 0: Wilson's over clusters is given then.
    """
    if not samples:
        return None
    means = np.array([sample.mean for sample in samples])
    clusters = [sample.cluster for sample in samples]
    count = len(set(clusters))
    error = standard_error(means, clusters)
    value = float(means.mean())
    once = all(len(sample.values) == 1 for sample in samples)
    pass_fail = bool(np.isin(means, (0.0, 1.0)).all())
    method: Method = "t" if count == len(samples) else "cluster-robust t"
    if value in (0.0, 1.0) or (once and pass_fail and count == len(samples)):
        low, high = wilson(value * count, count, confidence)
        method = "wilson"
    elif error is None:
        return _bare(value, len(samples), count)
    else:
        half = float(special.stdtrit(count - 1, 0.5 + confidence / 2)) * error
        low, high = max(0.0, value - half), min(1.0, value + half)
    return Estimate(
        value=value,
        standard_error=error,
        low=low,
        high=high,
        cases=len(samples),
        clusters=count,
        method=method,
    )


def _bare(value: float, cases: int, clusters: int) -> Estimate:
    return Estimate(
        value=value, standard_error=None, low=None, high=None, cases=cases, clusters=clusters, method="none"
    )


def standard_error(values: Floats, clusters: Sequence[str]) -> float | None:
    """√(C/(C−1) · Σ_c(Σ_{i∈c}(x_i − x̄))²)/n, which is s/√n when each case is a cluster; None for C < 2.

    Liang & Zeger 1986, with the small-sample factor C/(C−1) of Cameron & Miller 2015.
    """
    sums = cluster_sums(values - values.mean(), clusters)
    count = len(sums)
    if count < 2:
        return None
    return float(np.sqrt(count / (count - 1) * np.sum(sums**2)) / len(values))


def wilson(successes: float, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a proportion (JASA 22, 1927)."""
    z = float(special.ndtri(0.5 + confidence / 2))
    rate = successes / trials
    centre = (rate + z**2 / (2 * trials)) / (1 + z**2 / trials)
    spread = np.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2)) * z / (1 + z**2 / trials)
    low = 0.0 if successes == 0 else float(centre - spread)
    high = 1.0 if successes == trials else float(centre + spread)
    return low, high


def percentile_estimate(
    samples: Sequence[CaseSample], q: float, seed: int = 0, resamples: int = RESAMPLES
) -> Estimate | None:
    """The q-th percentile (0–100) of the pooled values, and its interval by bootstrap over clusters.

    Whole clusters are drawn with replacement and pooled (Davison & Hinkley 1997, section 3.8).
    """
    if not samples:
        return None
    groups = pooled_by_cluster(samples)
    value = float(np.percentile(np.concatenate(groups), q))
    if len(groups) < 2:
        return _bare(value, len(samples), len(groups))
    generator = np.random.default_rng(seed)
    values = sum(len(group) for group in groups)
    draws = resamples if values <= MANY_VALUES else max(FEWEST_RESAMPLES, resamples * MANY_VALUES // values)
    found = np.array([np.percentile(_redrawn(groups, generator), q) for _ in range(draws)])
    low, high = np.percentile(found, [50 - 50 * CONFIDENCE, 50 + 50 * CONFIDENCE])
    return Estimate(
        value=value,
        standard_error=float(found.std(ddof=1)),
        low=float(low),
        high=float(high),
        cases=len(samples),
        clusters=len(groups),
        method="cluster bootstrap",
    )


def _redrawn(groups: list[Floats], generator: np.random.Generator) -> Floats:
    """As many whole groups, drawn with replacement and pooled."""
    draw = generator.integers(len(groups), size=len(groups))
    sizes = np.array([len(group) for group in groups])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    taken = sizes[draw]
    within = np.arange(taken.sum()) - np.repeat(np.cumsum(taken) - taken, taken)
    pooled: Floats = np.concatenate(groups)[np.repeat(starts[draw], taken) + within]
    return pooled


def pooled_by_cluster(samples: Sequence[CaseSample]) -> list[Floats]:
    pooled: dict[str, list[float]] = {}
    for sample in samples:
        pooled.setdefault(sample.cluster, []).extend(sample.values)
    return [np.array(values) for values in pooled.values()]
