"""Wilcoxon's signed-rank test of paired differences, a cluster as one."""

from collections.abc import Sequence

import numpy as np

from agentbench.stats.samples import Floats, cluster_sums


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
