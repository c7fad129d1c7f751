"""Intervals of a rate, a paired difference and a quantile, for what is worth `n` independent cases.

Clusters and repeats enter through that n, which need not be whole: as many independent cases as would have the standard
error that was estimated. The caller gives the quantile of the error's distribution: normal where the standard error
is known from the counts, Student's t where it was estimated from few clusters.
"""

import math
from collections.abc import Callable
from functools import cache

from scipy import special


@cache
def normal_quantile(confidence: float) -> float:
    """Of an interval that leaves out (1 − confidence)/2 on either side."""
    return float(special.ndtri(0.5 + confidence / 2))


@cache
def student_quantile(confidence: float, freedom: float) -> float:
    return float(special.stdtrit(freedom, 0.5 + confidence / 2))


def wilson(rate: float, n: float, quantile: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion (JASA 22, 1927)."""
    weight = quantile**2 / n
    centre = (rate + weight / 2) / (1 + weight)
    spread = quantile * math.sqrt(rate * (1 - rate) / n + weight / (4 * n)) / (1 + weight)
    return 0.0 if rate == 0 else max(0.0, centre - spread), 1.0 if rate == 1 else min(1.0, centre + spread)


def tango(difference: float, discordance: float, n: float, quantile: float) -> tuple[float, float]:
    """Tango's score interval of a difference of paired proportions (Statistics in Medicine 17, 1998).

    `discordance` is the share of pairs that differ, `difference` that of the better less that of the worse.
    The bounds are the differences δ that a score test does not reject: |d − δ| = quantile · √(V(δ)/n).
    """

    def excess(delta: float) -> float:
        error = math.sqrt(tango_variance(difference, discordance, delta) / n)
        return abs(difference - delta) - quantile * error

    return _root(excess, difference, -1.0), _root(excess, difference, 1.0)


def tango_variance(difference: float, discordance: float, delta: float) -> float:
    """n times the variance of the difference, the cells being most likely under a true difference `delta`."""
    worse = (discordance - difference) / 2
    linear = discordance - (2 - difference) * delta
    q = (linear + math.sqrt(max(0.0, linear**2 + 8 * worse * delta * (1 - delta)))) / 4
    return max(0.0, 2 * q + delta * (1 - delta))


def hall(mean: float, error: float, skewness: float, n: float, quantile: float) -> tuple[float, float]:
    """Hall's interval of the mean of skewed values (JRSS B 54, 1992): t after a cubic transformation without skew.

    `skewness` is that of the `n` values whose mean has the standard error `error`.
    """
    bend = skewness / math.sqrt(n)

    def unbent(score: float) -> float:
        return score if abs(bend) < 1e-6 else (math.cbrt(1 + bend * (score - bend / 6)) - 1) * 3 / bend

    return mean - error * unbent(quantile), mean - error * unbent(-quantile)


def _root(excess: Callable[[float], float], inside: float, edge: float) -> float:
    """Where the test begins to reject between `inside` and `edge`; the edge when it never does."""
    start = inside + math.copysign(1e-9, edge - inside)  # Without any change the variance at `inside` itself is 0.
    if abs(edge - inside) < 1e-9 or excess(edge) <= 0:
        return edge
    return bisected(excess, start, edge)


def bisected(function: Callable[[float], float], start: float, end: float, tolerance: float = 1e-9) -> float:
    """Where the function, monotone, changes its sign between `start` and `end`.

    By hand, since importing SciPy's root finders takes longer than all the roots of a report.
    """
    sign = function(start) > 0
    while abs(end - start) > tolerance:
        middle = (start + end) / 2
        start, end = (middle, end) if (function(middle) > 0) == sign else (start, middle)
    return (start + end) / 2


def quantile_levels(q: float, n: float, confidence: float) -> tuple[float | None, float | None]:
    """The levels whose sample quantiles bound the true quantile `q`: order statistics, exact for any distribution.

    The j-th of n is at level j/(n + 1) and below the quantile with a probability from the beta distribution;
    between order statistics it is interpolated (Hutson, Journal of Applied Statistics 26, 1999). With few
    values no order statistic lies far enough out: that bound is None, and the other then has all of the error.
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
        return float(special.betainc((n + 1) * level, (n + 1) * (1 - level), q)) - probability

    return bisected(excess, 1e-9, 1 - 1e-9)
