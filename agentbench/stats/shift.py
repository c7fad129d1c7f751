"""How far a latency metric moved between two runs, paired on case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agentbench.errors import unknown_name
from agentbench.stats.estimates import CONFIDENCE, RESAMPLES
from agentbench.stats.outcomes import Outcome
from agentbench.stats.pairs import pair_cases, usable
from agentbench.stats.samples import Floats, group_cases


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedShift:
    """The median over cases of a − b in a metric's per-case median, in seconds, with a 95 % interval."""

    difference_s: float
    low_s: float | None
    high_s: float | None
    cases: int
    clusters: int


METRICS: Mapping[str, Callable[[Outcome], tuple[float, ...]]] = {
    "ttft": lambda outcome: outcome.ttft_s,
    "tpot": lambda outcome: outcome.tpot_s,
}


def compare_latency(a: Sequence[Outcome], b: Sequence[Outcome], metric: str, seed: int = 0) -> PairedShift | None:
    """How a latency metric (`ttft`, `tpot`) of the model calls moved, paired on case.

    Each case's value is the median over its answered calls; bootstrap over clusters, percentile interval.
    None when no case has the metric on both sides.
    """
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    values = METRICS[metric]
    kept_a, kept_b, _ = usable(a, b)
    pairs = pair_cases(group_cases(kept_a, values), group_cases(kept_b, values))
    if not pairs:
        return None
    differences = np.array([np.median(x.values) - np.median(y.values) for x, y in pairs])
    return _shift(differences, [x.cluster for x, _ in pairs], seed)


def _shift(differences: Floats, clusters: Sequence[str], seed: int) -> PairedShift:
    names = sorted(set(clusters))
    index = np.array([names.index(cluster) for cluster in clusters])
    members = [differences[index == number] for number in range(len(names))]
    low, high = (None, None) if len(members) < 2 else _bootstrap_median(members, seed)
    return PairedShift(
        difference_s=float(np.median(differences)),
        low_s=low,
        high_s=high,
        cases=len(differences),
        clusters=len(members),
    )


def _bootstrap_median(groups: list[Floats], seed: int) -> tuple[float, float]:
    generator = np.random.default_rng(seed)
    draws = generator.integers(len(groups), size=(RESAMPLES, len(groups)))
    medians = [np.median(np.concatenate([groups[i] for i in draw])) for draw in draws]
    low, high = np.percentile(medians, [50 - 50 * CONFIDENCE, 50 + 50 * CONFIDENCE])
    return float(low), float(high)
