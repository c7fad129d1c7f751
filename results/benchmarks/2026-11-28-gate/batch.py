"""The formulas of docs/statistics.md for many runs at once, as arrays [runs, …].

cells.py compares the first runs of each cell with the functions that users call.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
ROUNDING = 1e-9
FURTHEST = 0.999


def normal(level: float) -> float:
    return float(special.ndtri(level))


def student(freedom: Floats, level: float) -> Floats:
    return np.asarray(special.stdtrit(freedom, level))


@dataclass(frozen=True)
class Clusters:
    """Clusters of these sizes. Each cluster's cases are adjacent."""

    sizes: Sequence[int]

    @property
    def cases(self) -> int:
        return sum(self.sizes)

    @property
    def effective(self) -> float:
        return self.cases**2 / sum(size**2 for size in self.sizes)

    @cached_property
    def codes(self) -> NDArray[np.intp]:
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def sums(self, values: Floats) -> Floats:
        """Sums over clusters: [runs, cases] to [runs, clusters]."""
        starts = np.cumsum([0, *self.sizes[:-1]])
        return np.add.reduceat(values, starts, axis=1)


@dataclass(frozen=True)
class Errors:
    """Standard errors of means over cases: [runs]."""

    error: Floats
    freedom: Floats


def mean_errors(values: Floats, clusters: Clusters) -> Errors:
    """The cluster-robust error of each run's mean, with f and ν for the run's intra-cluster correlation."""
    sizes, n, count = np.array(clusters.sizes, dtype=float), clusters.cases, len(clusters.sizes)
    left = values - values.mean(axis=1, keepdims=True)
    sums = clusters.sums(left)
    alike = np.zeros(len(values)) if n == count else _alike(left, sums, clusters)
    s, w = sizes * (1 + (sizes - 1) * alike[:, None]), sizes / n
    total, ss, sw, ww = s.sum(axis=1), (s**2).sum(axis=1), s @ w, w @ w
    trace = total - 2 * sw + ww * total
    crossed = total * (s @ w**2) - 2 * (s**2 @ w)
    square = ss + 2 * crossed + 2 * ss * ww + 2 * sw**2 - 4 * total * sw * ww + total**2 * ww**2
    return Errors(np.sqrt(total / trace * (sums**2).sum(axis=1)) / n, trace**2 / square)


def _alike(left: Floats, sums: Floats, clusters: Clusters) -> Floats:
    sizes, n, count = np.array(clusters.sizes, dtype=float), clusters.cases, len(clusters.sizes)
    means = sums / sizes
    between = (sizes * means**2).sum(axis=1)
    within = ((left - means[:, clusters.codes]) ** 2).sum(axis=1) / (n - count)
    shared = np.maximum(0.0, (between - (count - 1) * within) / (n - (sizes @ sizes) / n))
    whole = shared + within
    return np.where(whole > 1e-15, shared / np.where(whole > 1e-15, whole, 1.0), 0.0)


def rate_covered(values: Floats, clusters: Clusters, rates: Floats) -> Booleans:
    """Whether Wilson's interval for the effective size covers the true rate; once per case."""
    found, mean, n = mean_errors(values, clusters), values.mean(axis=1), clusters.cases
    edge = (mean == 0) | (mean == 1)
    size = np.minimum(mean * (1 - mean) / np.maximum(found.error, 1e-9) ** 2, n)
    size = np.where(edge, clusters.effective, size)
    quantile = np.where(edge, normal(0.975), student(found.freedom, 0.975))
    if n == len(clusters.sizes):
        size, quantile = np.full(len(mean), float(n)), np.full(len(mean), normal(0.975))
    return np.asarray(np.abs(mean - rates) <= quantile * np.sqrt(rates * (1 - rates) / size) + ROUNDING)


@dataclass(frozen=True)
class Differences:
    """The differences between each run and its baseline: [runs]. Quantiles are two-sided 95 % and one-sided 5 %."""

    mean: Floats
    square: Floats
    size: Floats
    pairs: Floats
    two_sided: Floats | float
    one_sided: Floats | float

    @property
    def own_step(self) -> Floats:
        return np.where(self.size > 1e-12, self.square / np.maximum(self.size, 1e-12), 1.0)

    def reach(self, truth: Floats, step: Floats) -> Floats:
        """The distance of the difference found from the true one, in standard errors under the true difference."""
        mean, delta = self.mean / step, truth / step
        discordance = np.maximum(self.square / step**2, np.abs(mean))
        linear = discordance - (2 - mean) * delta
        worse = (discordance - mean) / 2
        q = (linear + np.sqrt(np.maximum(0.0, linear**2 + 8 * worse * delta * (1 - delta)))) / 4
        variance = np.maximum(0.0, 2 * q + delta * (1 - delta))
        return (mean - delta) / np.sqrt(np.maximum(variance, 1e-30) / self.pairs)

    def covers(self, truth: Floats) -> Booleans:
        """Whether the 95 % interval covers the true difference."""
        size = np.abs(self.mean)
        most = np.where(size > 1e-12, self.square / np.maximum(size, 1e-12), 1.0)
        return np.asarray(np.abs(self.reach(truth, np.minimum((1 + self.own_step) / 2, most))) <= self.two_sided)

    def shown_above(self, truth: Floats) -> Booleans:
        """Whether the one-sided bound that a bar rests on is above it."""
        return np.asarray(self.reach(truth, (3 + self.own_step) / 4) > self.one_sided)


def clustered_differences(values: Floats, clusters: Clusters, *, once: bool) -> Differences:
    found, mean, square = mean_errors(values, clusters), values.mean(axis=1), (values**2).mean(axis=1)
    size = np.abs(values).mean(axis=1)
    if clusters.cases == len(clusters.sizes):
        return independent_differences(values, once=once)
    spread = (square - mean**2) / np.maximum(found.error, 1e-9) ** 2
    pairs = np.where(found.error > 1e-9, spread, clusters.effective)
    two_sided, one_sided = student(found.freedom + 1, 0.975), student(found.freedom, 0.95)
    return Differences(mean, square, size, pairs, two_sided, one_sided)


def independent_differences(values: Floats, *, once: bool) -> Differences:
    """`values` [runs, cases] are NaN for cases that are left out."""
    pairs = (~np.isnan(values)).sum(axis=1).astype(float)
    mean, square, size = (np.nanmean(each, axis=1) for each in (values, values**2, np.abs(values)))
    one_sided = normal(0.95) if once else student(pairs - 1, 0.95)
    return Differences(mean, square, size, pairs, normal(0.975), one_sided)


def kappas(tables: Floats) -> Floats:
    """κ of tables [[both, a only], [b only, neither]] in the last two axes; NaN where it is undefined."""
    total, chance = tables.sum(axis=(-2, -1)), (tables.sum(axis=-1) * tables.sum(axis=-2)).sum(axis=-1)
    beyond = total**2 - chance
    agreed = total * np.trace(tables, axis1=-2, axis2=-1)
    return np.where(beyond > 0, (agreed - chance) / np.where(beyond > 0, beyond, 1.0), np.nan)


def kappa_bounds(tables: Floats) -> tuple[Floats, Floats]:
    """The jackknife interval over clusters from tables [runs, clusters, 2, 2]; NaN where there is none."""
    count, total = tables.shape[1], tables.sum(axis=1)
    found, left = kappas(total), kappas(total[:, None] - tables)
    z, others = (np.arctanh(np.clip(each, -FURTHEST, FURTHEST)) for each in (found, left))
    error = np.sqrt((count - 1) / count * ((others - z[:, None]) ** 2).sum(axis=1))
    none = np.isnan(error) | (error < 1e-9) | (np.abs(found) == 1.0)
    spread = np.where(none, np.nan, float(special.stdtrit(count - 1, 0.975)) * error)
    return np.tanh(z - spread), np.tanh(z + spread)
