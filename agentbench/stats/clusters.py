"""The standard error of a mean over cases in clusters, and what it is worth where the clusters are few or unequal."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentbench.stats.samples import Floats, Integers, cluster_sums, numbered

LEAST_CLUSTERS = 5
"""Effective clusters without which no interval is given: below, it would cover less than it says, or nearly everything
(docs/notes/intervals.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanError:
    """`standard_error` is None of a single cluster. `freedom` are the degrees of freedom of t.

    `effective` is n²/Σn_c² (Kish, Survey Sampling, 1965): as many clusters of equal size have the mean's variance when
    the cases of a cluster are all alike. One cluster of 100 cases and nine of 2 are worth 1.4.
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
    """The correlation of two cases of a cluster, from 0 to 1, by the analysis of variance."""
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
