"""Tests of paired differences: the exact sign-flip test, Wilcoxon's signed-rank test, and Holm's adjustment."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm

import numpy as np

from agentbench.stats.samples import Floats, cluster_sums


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjustment (Scandinavian Journal of Statistics 6, 1979), in the given order.

    Without any true difference, the probability that any of them is below α is at most α, whatever their dependence.
    """
    adjusted: dict[str, float] = {}
    least = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}


def signed_rank_p(differences: Floats, clusters: Sequence[str]) -> float:
    """Two-sided p for the clusters' sums being symmetric about 0 (Wilcoxon, Biometrics Bulletin 1, 1945); 1 when all
    are 0.

    It is exact up to 50 clusters without ties, otherwise a normal approximation with tie correction.
    """
    from scipy import stats  # Imported here: slow to import, and only comparisons need it.

    sums = cluster_sums(differences, clusters)
    changed = sums[np.abs(sums) > 1e-12]
    if not len(changed):
        return 1.0
    return float(stats.wilcoxon(changed).pvalue)


LEAST = 1e-12
"""The transform's own error, and so the least probability that is told apart from 0."""
FINEST = 10_000
"""Most lattice steps that the sums' total may span; coarser sums are rounded, which leaves the test exact."""


def lattice_step(repeats: Sequence[int]) -> float:
    """The step of which every difference of two case means is a multiple, for this number of repeats."""
    return 1 / lcm(*repeats) if repeats else 1.0


def sign_flip_tails(sums: Floats, step: float) -> tuple[float, float]:
    """P(total ≤ observed) and P(total ≥ observed), over every choice of signs of the `sums`.

    Fisher's randomization test for pairs, by cluster. With one pass/fail verdict per independent case it is McNemar's
    exact test. The distribution of the total is exact, from its characteristic function Π cos(k·θ) over the sums k in
    lattice steps. When all sums are 0, both are 1.
    """
    spread = float(np.abs(sums).sum())
    unit = max(step, spread / FINEST)
    steps = np.rint(sums / unit).astype(np.int64)
    sizes, counts = np.unique(np.abs(steps[steps != 0]), return_counts=True)
    if not len(sizes):
        return 1.0, 1.0
    total = int(steps.sum())
    reach = int(sizes @ counts)
    # Totals are of one parity, that of `reach`: reach + 1 of them, 2 apart.
    angles = np.pi * np.arange(reach + 1) / (reach + 1)
    transform = np.ones(reach + 1)
    for size, count in zip(sizes, counts, strict=True):
        transform = transform * np.cos(size * angles) ** count
    phases = np.exp(1j * angles * reach)
    mass = np.fft.fft(transform * phases).real / (reach + 1)
    tails = np.cumsum(
        mass
    )  # Symmetric: both tails are summed from the same end, so that equal tails give equal floats.
    found = tails[(reach + total) // 2], tails[(reach - total) // 2]
    less, more = (round(min(1.0, max(LEAST, float(tail))), 12) for tail in found)
    return less, more


def attainable(units: int, alpha: float) -> bool:
    """Whether this many units, all worse, would be significant: ½ⁿ < α."""
    return Fraction(1, 2**units) < Fraction(alpha)
