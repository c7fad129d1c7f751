"""Tests of paired differences: the exact sign-flip test, Wilcoxon's signed-rank test, Holm's adjustment of several."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm

import numpy as np

from agentbench.stats.samples import Floats, cluster_sums


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjustment (Scandinavian Journal of Statistics 6, 1979), in the order given.

    With no difference at all, any of them is below α with a probability of at most α, however they depend on each
    other.
    """
    adjusted: dict[str, float] = {}
    least = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}


def signed_rank_p(differences: Floats, clusters: Sequence[str]) -> float:
    """Two-sided p of the clusters' sums being around 0 (Wilcoxon, Biometrics Bulletin 1, 1945); 1 when all are 0.

    Exact up to 50 clusters without ties, else by the normal approximation with its correction for ties.
    """
    from scipy import stats  # Slow to import, and asked for by comparisons only.

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
    """What every difference of two case means is a multiple of, for cases of so many repeats."""
    return 1 / lcm(*repeats) if repeats else 1.0


def sign_flip_tails(sums: Floats, step: float) -> tuple[float, float]:
    """P(total ≤ the one found) and P(total ≥ the one found), over every choice of the `sums`' signs.

    Fisher's randomization test for pairs, by cluster. With pass/fail once per independent case it is McNemar's
    exact test: every change counts 1. The total's distribution is computed exactly, from its characteristic
    function Π cos(k·θ) over the sums k in lattice steps. No sum but zeros: both are 1.
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
    tails = np.cumsum(mass)  # Symmetric: both tails are summed from the same end, to be equal where they are.
    found = tails[(reach + total) // 2], tails[(reach - total) // 2]
    less, more = (round(min(1.0, max(LEAST, float(tail))), 12) for tail in found)
    return less, more


def attainable(units: int, alpha: float) -> bool:
    """Whether so many units that all got worse would be significant: ½ⁿ < α."""
    return Fraction(1, 2**units) < Fraction(alpha)
