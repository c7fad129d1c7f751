"""Finds where a series of runs changed its level."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05
PERMUTATIONS = 999
AT_ONCE = 2**16
"""Most distances of reordered series to sum at a time, so that they stay in a processor's cache: 512 KiB."""
LEAST = 3
"""Values on each side of a change."""
FEWEST = 8
"""Values of a series in which a change can be found: of fewer, too many of their orders are as far apart as any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """A change of level.

    `at` is the index of the first value of the new level. `before` and `after` are the means of the two sides, up to
    the neighbouring changes. `p_value` is a permutation test's against no change.
    """

    at: int
    before: float
    after: float
    p_value: float


def change_points(values: Sequence[float], *, alpha: float = ALPHA, seed: int = 0) -> tuple[ChangePoint, ...]:
    """The changes of a series, in order; none for fewer than eight values.

    E-divisive (Matteson & James 2014, with exponent 1): the series is cut where the energy distance of the two sides is
    largest, if few random permutations reach that distance. Each side is then searched in the same way. The test
    assumes no distribution, only that the values are exchangeable without a change.
    """
    series = np.asarray(values, dtype=float)
    cuts = _cuts(series, 0, alpha, np.random.default_rng(seed))
    if not cuts:
        return ()
    ends = [0, *(at for at, _ in cuts), len(series)]
    means = [float(series[begin:end].mean()) for begin, end in pairwise(ends)]
    return tuple(
        ChangePoint(at=at, before=means[place], after=means[place + 1], p_value=p) for place, (at, p) in enumerate(cuts)
    )


def _cuts(
    series: NDArray[np.float64], begin: int, alpha: float, random: np.random.Generator
) -> list[tuple[int, float]]:
    """Index and p of each cut in a part of the series that starts at `begin`, in order."""
    if len(series) < FEWEST:
        return []
    distances = np.abs(series[:, None] - series[None, :])  # [n, n]
    place, largest = _best(distances)
    if largest <= 1e-12:
        return []
    p = (1 + _as_large(distances, largest, random)) / (1 + PERMUTATIONS)
    if p > alpha:
        return []
    left = _cuts(series[:place], begin, alpha, random)
    right = _cuts(series[place:], begin + place, alpha, random)
    return [*left, (begin + place, p), *right]


def _as_large(distances: NDArray[np.float64], largest: float, random: np.random.Generator) -> int:
    """How many of the random orders have a cut with a statistic as large."""
    n = len(distances)
    orders = np.array([random.permutation(n) for _ in range(PERMUTATIONS)])
    found = 0
    for part in np.array_split(orders, -(-orders.size * n // AT_ONCE)):
        statistics = _statistics(distances[part[:, :, None], part[:, None, :]])
        found += int((statistics.max(axis=-1) >= largest - 1e-12).sum())
    return found


def _best(distances: NDArray[np.float64]) -> tuple[int, float]:
    """The cut k (number of values before it) with the largest statistic, and that statistic."""
    statistics = _statistics(distances)
    best = int(np.argmax(statistics))
    return LEAST + best, float(statistics[best])


def _statistics(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """The statistic of each cut of each order: distances [..., n, n], statistics [..., n - 2 LEAST + 1]."""
    n = distances.shape[-1]
    sums = distances.cumsum(axis=-2).cumsum(axis=-1)  # [..., i, j]: of the block up to i and j
    k = np.arange(LEAST, n - LEAST + 1)
    m = n - k
    within_left = sums[..., k - 1, k - 1] / 2
    across = sums[..., k - 1, n - 1] - sums[..., k - 1, k - 1]
    within_right = (sums[..., n - 1, n - 1, None] - sums[..., k - 1, k - 1] - 2 * across) / 2
    energy = 2 * across / (k * m) - within_left / (k * (k - 1) / 2) - within_right / (m * (m - 1) / 2)
    return np.asarray(energy * k * m / n)
