"""Intervals of a rate, a paired difference and a quantile, and the standard error of a mean over clustered cases.

Clusters and repeats enter an interval through `n`, the effective number of independent cases, which may be fractional:
the number with the same standard error. The caller gives the quantile of the error's distribution. It is normal when
the counts determine the standard error, and Student's t when few clusters estimate it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy

from agentbench.stats.samples import Floats, Integers, cluster_sums, numbered


@cache
def normal_quantile(confidence: float) -> float:
    """The quantile of an interval that leaves out (1 − confidence)/2 on either side."""
    return float(scipy.special.ndtri(0.5 + confidence / 2))


@cache
def student_quantile(confidence: float, freedom: float) -> float:
    return float(scipy.special.stdtrit(freedom, 0.5 + confidence / 2))


def wilson(rate: float, n: float, quantile: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion (JASA 22, 1927)."""
    weight = quantile**2 / n
    centre = (rate + weight / 2) / (1 + weight)
    spread = quantile * math.sqrt(rate * (1 - rate) / n + weight / (4 * n)) / (1 + weight)
    return 0.0 if rate == 0 else max(0.0, centre - spread), 1.0 if rate == 1 else min(1.0, centre + spread)


def tango(difference: float, discordance: float, n: float, quantile: float) -> tuple[float, float]:
    """Tango's score interval of a difference of paired proportions (Statistics in Medicine 17, 1998).

    `discordance` is the share of pairs that differ. `difference` is the share of better pairs minus that of worse
    pairs. The bounds are the differences δ that a score test does not reject: |d − δ| = quantile · √(V(δ)/n).
    """

    def excess(delta: float) -> float:
        error = math.sqrt(tango_variance(difference, discordance, delta) / n)
        return abs(difference - delta) - quantile * error

    return _root(excess, difference, -1.0), _root(excess, difference, 1.0)


def tango_variance(difference: float, discordance: float, delta: float) -> float:
    """n times the variance of the difference, with the most likely cells under a true difference `delta`."""
    worse = (discordance - difference) / 2
    linear = discordance - (2 - difference) * delta
    q = (linear + math.sqrt(max(0.0, linear**2 + 8 * worse * delta * (1 - delta)))) / 4
    return max(0.0, 2 * q + delta * (1 - delta))


def hall(mean: float, error: float, skewness: float, n: float, quantile: float) -> tuple[float, float]:
    """Hall's interval of the mean of skewed values (JRSS B 54, 1992): t after a cubic transformation that removes skew.

    `skewness` is that of the `n` values whose mean has the standard error `error`.
    """
    bend = skewness / math.sqrt(n)

    def unbent(score: float) -> float:
        return score if abs(bend) < 1e-6 else (math.cbrt(1 + bend * (score - bend / 6)) - 1) * 3 / bend

    return mean - error * unbent(quantile), mean - error * unbent(-quantile)


def _root(excess: Callable[[float], float], inside: float, edge: float) -> float:
    """Where the test starts to reject between `inside` and `edge`; the edge when it never does."""
    start = inside + math.copysign(1e-9, edge - inside)  # Without any change the variance at `inside` itself is 0.
    if abs(edge - inside) < 1e-9 or excess(edge) <= 0:
        return edge
    return bisected(excess, start, edge)


def bisected(function: Callable[[float], float], start: float, end: float, tolerance: float = 1e-9) -> float:
    """Where the monotone function changes its sign between `start` and `end`.

    Written by hand, since importing SciPy's root finders takes longer than all roots of a report.
    """
    sign = function(start) > 0
    while abs(end - start) > tolerance:
        middle = (start + end) / 2
        start, end = (middle, end) if (function(middle) > 0) == sign else (start, middle)
    return (start + end) / 2


def quantile_levels(q: float, n: float, confidence: float) -> tuple[float | None, float | None]:
    """The levels whose sample quantiles bound the true quantile `q`: order statistics, exact for any distribution.

    The j-th of n is at level j/(n + 1); the beta distribution gives the probability that it is below the quantile.
    Between order statistics it is interpolated (Hutson, Journal of Applied Statistics 26, 1999). With few values no
    order statistic lies far enough out: that bound is None, and the other has the whole error.
    """
    tail = (1 - confidence) / 2
    low, high = _level(q, n, 1 - tail), _level(q, n, tail)
    if high > n / (n + 1):
        low, upper = _level(q, n, 1 - 2 * tail), None
        return (low if low >= 1 / (n + 1) else None), upper
    if low < 1 / (n + 1):
        high = _level(q, n, 2 * tail)
        return None, (high if high <= n / (n + 1) else None)
    return low, high


def _level(q: float, n: float, probability: float) -> float:
    """The level whose order statistic lies below the quantile `q` with this probability."""

    def excess(level: float) -> float:
        return float(scipy.special.betainc((n + 1) * level, (n + 1) * (1 - level), q)) - probability

    return bisected(excess, 1e-9, 1 - 1e-9)


LEAST_CLUSTERS = 5
"""Effective clusters without which no interval is given: below, it would cover less than it says, or nearly everything
(docs/notes/intervals.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanError:
    """`standard_error` is None for a single cluster. `freedom` is the degrees of freedom of t.

    `effective` is n²/Σn_c² (Kish, Survey Sampling, 1965): the number of clusters of equal size with the same variance
    of the mean, when the cases of a cluster are all alike. One cluster of 100 cases and nine of 2 are worth 1.4.
    """

    standard_error: float | None
    freedom: float
    clusters: int
    effective: float

    @property
    def supports_interval(self) -> bool:
        return self.effective > LEAST_CLUSTERS - 1e-6


def mean_error(values: Floats, clusters: Sequence[str] | Integers) -> MeanError:
    """The cluster-robust error √(f · Σ_c(Σ_{i∈c}(x_i − x̄))²)/n with the factor f and the degrees of freedom that make
    it right under a model: every two cases of a cluster are as alike as they are found to be (Bell & McCaffrey, Survey
    Methodology 28, 2002; with the random effects of Imbens & Kolesár, Review of Economics and Statistics 98, 2016).

    With clusters of one size f is C/(C − 1) and t has C − 1 degrees of freedom (Liang & Zeger 1986). With others a
    large cluster pulls the mean towards itself, so that the sum of squares is too small, and less is known of it.
    """
    codes = clusters if isinstance(clusters, np.ndarray) else numbered(clusters)
    sizes = np.bincount(codes).astype(np.float64)
    count, n = len(sizes), len(values)
    effective = n**2 / float(sizes @ sizes)
    if count < 2:
        return MeanError(standard_error=None, freedom=1.0, clusters=count, effective=effective)
    sums = cluster_sums(values - values.mean(), codes)
    factor, freedom = _factor(sizes, sizes * (1 + (sizes - 1) * _alike(values, codes, sizes, sums)))
    error = float(np.sqrt(factor * np.sum(sums**2)) / n)
    return MeanError(standard_error=error, freedom=freedom, clusters=count, effective=effective)


def _alike(values: Floats, codes: Integers, sizes: Floats, sums: Floats) -> float:
    """The correlation of two cases in a cluster, from 0 to 1, by analysis of variance."""
    count, n = len(sizes), len(values)
    if n == count:
        return 0.0
    means = sums / sizes
    between = float(np.sum(sizes * means**2))
    within = float(np.sum((values - values.mean() - means[codes]) ** 2)) / (n - count)
    size = n - float(sizes @ sizes) / n
    shared = max(0.0, (between - (count - 1) * within) / size)
    return shared / (shared + within) if shared + within > 1e-15 else 0.0


def _factor(sizes: Floats, variances: Floats) -> tuple[float, float]:
    """f and the degrees of freedom, from the clusters' sizes and the `variances` of their sums (in any unit).

    What is left of the sums after the mean is taken off has the covariance V = D − sw' − ws' + S·ww', with the shares
    w of the cases, the variances s, D their diagonal matrix and S their total: f = S/tr V, (tr V)²/tr V² degrees.
    """
    w = sizes / sizes.sum()
    s, total = variances, float(variances.sum())
    ww, sw, ss = float(w @ w), float(s @ w), float(s @ s)
    trace = total - 2 * sw + ww * total
    crossed = -2 * float(s**2 @ w) + total * float(s @ w**2)
    square = ss + 2 * crossed + 2 * ss * ww + 2 * sw**2 - 4 * total * sw * ww + total**2 * ww**2
    return total / trace, trace**2 / square
