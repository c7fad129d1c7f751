"""The mean of paired differences: its standard error and its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentbench.stats.clusters import LEAST_CLUSTERS, mean_error
from agentbench.stats.intervals import normal_quantile, student_quantile, tango
from agentbench.stats.samples import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Differences d_i in [−1, 1] of cases, as pairs of which a share changed by one step up or down.

    `step` is the size of a change (1 for pass/fail once per case, else Σd²/Σ|d|), `discordance` the share of
    pairs that changed, `mean` the mean in points (not in steps), `pairs` as how many independent ones they are worth.
    `simple`: pass/fail once per independent case, where `pairs` is their number. Else t has `freedom` degrees of
    freedom, and the clusters are worth `effective` ones of equal size.
    """

    mean: float
    standard_error: float | None
    step: float
    discordance: float
    pairs: float
    clusters: int
    effective: float
    freedom: float
    simple: bool

    @property
    def supports_interval(self) -> bool:
        return self.clusters > 1 if self.simple else self.effective > LEAST_CLUSTERS - 1e-6

    def interval(self, confidence: float, quantile: float | None = None) -> tuple[float, float] | tuple[None, None]:
        """Tango's score interval of the pairs they are worth; None of too few effective clusters.

        `quantile` is the error's, `difference_quantile` unless given.
        """
        if not self.supports_interval:
            return None, None
        size = quantile or difference_quantile(self, confidence)
        low, high = tango(self.mean / self.step, self.discordance, self.pairs, size)
        return max(-1.0, self.step * low), min(1.0, self.step * high)


def difference_quantile(found: Differences, confidence: float) -> float:
    """Normal where the standard error follows from the counts; else of t with one degree of freedom more than the
    error has: the score's variance is partly known from the hypothesis (docs/notes/intervals.md)."""
    return normal_quantile(confidence) if found.simple else student_quantile(confidence, found.freedom + 1)


def differences_of(values: Floats, clusters: Sequence[str], *, once: bool) -> Differences:
    """`values` [cases] and their clusters; `once` when each is of one pass/fail verdict on either side."""
    found = mean_error(values, clusters)
    mean, square, size = float(values.mean()), float(np.mean(values**2)), float(np.abs(values).mean())
    step = square / size if size > 1e-12 else 1.0
    simple = once and found.clusters == len(values)
    error, spread = found.standard_error, square - mean**2
    pairs = spread / error**2 if error and error > 1e-9 and not simple else found.effective
    return Differences(
        mean=mean,
        standard_error=error,
        step=step,
        discordance=size / step,
        pairs=pairs,
        clusters=found.clusters,
        effective=found.effective,
        freedom=found.freedom,
        simple=simple,
    )
