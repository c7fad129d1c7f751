"""What a gate is able to find: its power, by resampling the very pairs that it judged."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from agentbench.gate import GateOptions
from agentbench.stats.pairs import Pairs
from agentbench.stats.samples import Floats

POWER = 0.8
DRAWS = 600
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePower:
    """`detectable` is the drop of the pass rate that a gate finds with probability `POWER`, None when it finds none.

    `never` says that even a drop to nothing could not fail it.
    """

    detectable: float | None
    never: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pooled:
    """Both sides of the pairs as right answers of so many tries, [cases], sorted by cluster.

    `starts` is where each cluster begins.
    """

    right: tuple[Counts, Counts]
    tries: tuple[Counts, Counts]
    starts: Counts

    @property
    def rate(self) -> float:
        return float(np.mean([right / tries for right, tries in zip(self.right, self.tries, strict=True)]))


def gate_power(pairs: Pairs, options: GateOptions, seed: int = 0) -> GatePower:
    """The least drop that a regression gate at `options.alpha` finds with probability `POWER`, to 0.1 points.

    What it would do to further runs like these: sides are swapped by chance, so that there is no difference but
    noise; then each right answer of the run is lost with the chance that lowers the pass rate by the drop. The cases
    are kept as they are: drawing them again too would count one case's noise several times.
    """
    pooled = _pool(pairs)
    units = len(pooled.starts)
    if units < math.ceil(math.log2(1 / options.alpha)):
        return GatePower(detectable=None, never=True)
    most = pooled.rate
    if most == 0 or power_of(pooled, most, options.alpha, seed) < POWER:
        return GatePower(detectable=None, never=most == 0)
    low, high = 0.0, most
    while high - low > 0.001:
        middle = (low + high) / 2
        low, high = (low, middle) if power_of(pooled, middle, options.alpha, seed) >= POWER else (middle, high)
    return GatePower(detectable=high, never=False)


def power_at(pairs: Pairs, drop: float, alpha: float, seed: int = 0) -> float:
    """The chance that a regression gate at `alpha` fails a run whose pass rate is lower by `drop` (a fraction)."""
    return power_of(_pool(pairs), drop, alpha, seed)


def power_of(pooled: _Pooled, drop: float, alpha: float, seed: int) -> float:
    """As `power_at`, of pairs pooled already. The same seed draws alike for every drop."""
    chance = np.random.default_rng(seed)
    kept = 1 - min(1.0, drop / pooled.rate) if pooled.rate else 1.0
    swapped = chance.random((DRAWS, len(pooled.right[0]))) < 0.5
    run = np.where(swapped, pooled.right[1], pooled.right[0])
    run_tries = np.where(swapped, pooled.tries[1], pooled.tries[0])
    other = np.where(swapped, pooled.right[0], pooled.right[1]) / np.where(swapped, pooled.tries[0], pooled.tries[1])
    differences = chance.binomial(run, kept) / run_tries - other
    sums = np.add.reduceat(differences, pooled.starts, axis=1)  # [draws, clusters]
    return float(np.mean(_fails(sums, alpha)))


def _fails(sums: Floats, alpha: float) -> NDArray[np.bool_]:
    """Whether the exact one-sided sign test at `alpha` finds each row of differences [draws, clusters] worse."""
    worse = (sums < -1e-12).sum(axis=1)
    moved = worse + (sums > 1e-12).sum(axis=1)
    return np.asarray(special.bdtr(moved - worse, np.maximum(moved, 1), 0.5) <= alpha)


def _pool(pairs: Pairs) -> _Pooled:
    ordered = sorted(pairs, key=lambda pair: pair[0].cluster)
    clusters = [x.cluster for x, _ in ordered]
    starts = [index for index, name in enumerate(clusters) if index == 0 or name != clusters[index - 1]]
    right = tuple(np.array([round(sum(pair[side].values)) for pair in ordered]) for side in (0, 1))
    tries = tuple(np.array([len(pair[side].values) for pair in ordered]) for side in (0, 1))
    return _Pooled(right=(right[0], right[1]), tries=(tries[0], tries[1]), starts=np.array(starts))
