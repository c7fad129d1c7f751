"""The power of a paired comparison: its chance to detect a drop, and the number of cases that a gate needs.

A drop of X means: randomly drawn cases fail at every repeat, so many that the pass rate is X lower. These cases no
longer flip from run to run; the others flip as before.
"""

import math
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import scipy
from numpy.typing import NDArray

from agentbench.core.errors import UserError
from agentbench.stats.hypothesis_tests import attainable
from agentbench.stats.intervals import bisected, student_quantile, tango_variance
from agentbench.stats.pairs import Differences
from agentbench.stats.samples import Floats, Integers, cluster_sums

POWER = 0.8
FEW_CLUSTERS = 12
"""Up to so many the test is carried out on draws instead of being approximated: 2^12 choices of signs."""
DRAWN_CASES, DRAWS = 40_000, (100, 300)
"""Cases drawn in all, and the least and the most draws: a standard error of 2.5 to 4 points at power 0.8."""
FURTHEST = 30.0
"""Standard errors beyond which noncentral t is not computed reliably; its power is 1 by then but for one or two
degrees of freedom, with which no test is significant."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CaseMeans:
    """The means of cases in two runs, `run` and `baseline` [cases], and their clusters, numbered from 0."""

    run: Floats
    baseline: Floats
    clusters: Integers
    count: int

    @property
    def sums(self) -> Floats:
        return cluster_sums(self.run - self.baseline, self.clusters)


@dataclass(frozen=True, slots=True, kw_only=True)
class DropPower:
    """The parameters of a comparison's power, as one comparison estimated them.

    `rate` is the baseline's pass rate. `same` is the probability that a case that passed once passes again. `found` are
    the observed differences, taken as those of two runs of one configuration. `changed` is the number of clusters that
    differed. `means` are the data from which the power with few clusters is simulated.
    """

    rate: float
    same: float
    found: Differences
    changed: int
    means: CaseMeans | None = field(default=None, compare=False, repr=False)

    def of(self, drop: float, alpha: float) -> float:
        """The probability that the exact one-sided test at `alpha` detects a drop of `drop` (a fraction)."""
        if not 0 < drop <= self.rate:
            return 0.0
        if self.found.simple:
            return mcnemar_power(self.found.clusters, self.found.square, drop, alpha, self.rate)
        if self.means is not None and self.means.count <= FEW_CLUSTERS:
            return few_clusters_power(self.means, drop / self.rate, alpha)
        return self._of_clusters(drop, alpha)

    def _of_clusters(self, drop: float, alpha: float) -> float:
        """The power of t on the clusters' sums, which approximates the sign-flip test; 0 when too few clusters will
        differ.
        """
        found, share = self.found, drop / self.rate
        differing = self.changed + (found.clusters - self.changed) * share
        if found.standard_error is None or not attainable(math.floor(differing), alpha):
            return 0.0
        variance = found.standard_error**2 * (1 - share) + max(0.0, drop * (self.same - drop)) / found.pairs
        freedom = found.freedom
        critical = student_quantile(1 - 2 * alpha, freedom)
        standardized = min(FURTHEST, drop / math.sqrt(max(variance, 1e-9)))
        return 1 - float(scipy.special.nctdtr(freedom, standardized, critical))

    def smallest(self, alpha: float, power: float = POWER) -> float | None:
        """The smallest drop detected with this power; None when not even the loss of every pass is."""
        if self.of(self.rate, alpha) < power:
            return None
        return bisected(lambda drop: self.of(drop, alpha) - power, 1e-9, self.rate, 1e-4)

    def within(self, margin: float, alpha: float) -> float:
        """The probability that an unchanged run is shown to be less than `margin` worse (one-sided `alpha`)."""
        found = self.found
        if not found.supports_interval:
            return 0.0
        steps, changed = margin / found.bound_step, max(found.square / found.bound_step**2, 1e-12)
        error = math.sqrt(changed / found.pairs)
        bound = math.sqrt(tango_variance(0.0, changed, -min(1.0, steps)) / found.pairs)
        return float(scipy.special.ndtr((steps - found.bound_quantile(alpha) * bound) / error))


def drop_power(found: Differences, means: CaseMeans) -> DropPower:
    """The power parameters from one comparison."""
    rate = float(means.baseline.mean())
    return DropPower(
        rate=rate,
        same=float(np.mean(means.baseline**2)) / rate if rate else 0.0,
        found=found,
        changed=int(np.count_nonzero(np.abs(means.sums) > 1e-12)),
        means=means,
    )


def few_clusters_power(means: CaseMeans, share: float, alpha: float) -> float:
    """The share of simulated runs, each worse by a `share` of the passes, in which the exact sign-flip test detects the
    drop.

    The simulation resamples the two runs: in each cluster either run may be the baseline with equal chance, and failing
    cases are drawn at random. With few clusters there are few possible totals, which no smooth approximation follows.
    The draws are the same for every share, so that the power grows with it.
    """
    draws = int(np.clip(DRAWN_CASES // len(means.run), *DRAWS))
    generator = np.random.default_rng(0)
    unswapped = (
        generator.random((draws, means.count)) < 0.5
    )  # [draws, clusters]: whether run and baseline keep their sides
    broken = generator.random((draws, len(means.run))) < share
    indicator = np.eye(means.count)[means.clusters]  # [cases, clusters]
    lost_run, lost_baseline = (np.where(broken, each, 0.0) @ indicator for each in (means.run, means.baseline))
    sums = np.where(unswapped, means.sums - lost_run, -means.sums - lost_baseline)
    totals = sign_choices(means.count) @ sums.T  # [choices, draws]
    p_worse = np.mean(totals <= sums.sum(axis=1) + 1e-9, axis=0)
    return float(np.mean(p_worse < alpha))


@cache
def sign_choices(count: int) -> Floats:
    """Every choice of signs for `count` sums: [2^count, count]."""
    bits = np.arange(2**count)[:, None] >> np.arange(count)
    return np.where(bits & 1, 1.0, -1.0)


def mcnemar_power(cases: int, discordance: float, drop: float, alpha: float, rate: float) -> float:
    """The power of McNemar's exact one-sided test at `alpha`, averaged over the number of pairs that will differ.

    Without the drop, a share `discordance` of pairs differs, half of them each way.
    """
    still = discordance / 2 * (1 - drop / rate)
    worse, better = min(1.0, still + drop), still
    numbers, critical = critical_changes(cases, alpha)
    found = np.where(
        critical >= 0, scipy.special.bdtr(np.maximum(critical, 0), numbers, better / (worse + better)), 0.0
    )
    differing = np.diff(scipy.special.bdtr(numbers, cases, min(1.0, worse + better)), prepend=0.0)
    return float(np.sum(differing * found))


@cache
def critical_changes(cases: int, alpha: float) -> tuple[NDArray[np.int64], Floats]:
    """For each number of differing pairs up to `cases`, the most improvements with which the test is significant.

    −1 when none are.
    """
    numbers = np.arange(cases + 1)
    critical = np.ceil(np.maximum(scipy.special.bdtrik(alpha, numbers, 0.5), 0.0))
    critical -= (critical > 0) & (scipy.special.bdtr(critical - 1, numbers, 0.5) >= alpha)
    return numbers, np.where(scipy.special.bdtr(critical, numbers, 0.5) < alpha, critical, critical - 1)


MOST_CASES = 100_000


def planned(cases: int, rate: float, flips: float, repeats: int = 1) -> DropPower:
    """The expected power of two runs with this many independent cases.

    `rate` is the pass rate; `flips` is the share of single verdicts that differ between two runs of one configuration.
    Averaging over `repeats` divides that noise's variance by it, and leaves a drop unchanged.
    """
    found = Differences(
        mean=0.0,
        size=flips / repeats,
        square=flips / repeats,
        standard_error=math.sqrt(flips / repeats / cases),
        pairs=float(cases),
        clusters=cases,
        effective=float(cases),
        freedom=float(max(1, cases - 1)),
        verdicts=True,
        independent=True,
        simple=repeats == 1,
    )
    # E[p²] over cases is rate − flips/2; the squared mean of `repeats` verdicts adds its own noise.
    same = (rate - flips / 2 + flips / 2 / repeats) / rate
    return DropPower(rate=rate, same=same, found=found, changed=round(cases * flips))


def cases_needed(
    difference: float, rate: float, flips: float, repeats: int = 1, alpha: float = 0.05, power: float = POWER
) -> int:
    """The smallest number of cases with which the one-sided test at `alpha` detects a drop of `difference`.

    Raises `UserError` for an impossible drop, or one that needs more than `MOST_CASES`.
    """
    if not 0 < difference <= rate:
        raise UserError(f"a difference of {difference:g} is not above 0 and at most the pass rate, {rate:g}")
    if not 0 <= flips <= 2 * min(rate, 1 - rate):
        most = 2 * min(rate, 1 - rate)
        raise UserError(f"flips of {flips:g} are not from 0 to {most:g}, the most at a pass rate of {rate:g}")

    def enough(cases: int) -> bool:
        return planned(cases, rate, flips, repeats).of(difference, alpha) >= power

    high = 2
    while not enough(high):
        high *= 2
        if high > MOST_CASES:
            raise UserError(f"more than {MOST_CASES} cases are needed for a difference of {difference:g}: ask for more")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
