"""How two servers compare: the ratio of each figure, paired over rounds that were run in turn."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

CONFIDENCE = 0.95

COMPARED = (
    "output_tokens_per_s",
    "total_tokens_per_s",
    "requests_per_s",
    "goodput_per_s",
    "ttft_p50_s",
    "ttft_p95_s",
    "tpot_p50_s",
    "tpot_p95_s",
    "itl_p50_s",
    "itl_p99_s",
    "latency_p50_s",
    "latency_p95_s",
    "wall_s",
)
"""Figures that a ratio is given for; of those in seconds less is better, of rates more."""


def ratios(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Figure to the ratio a/b with its 95 % interval, over the rounds that both sides finished.

    The ratio is the geometric mean over rounds; the interval is Student's t on the log ratios of the rounds
    (n − 1 degrees of freedom), so that what drifts over a round's time falls on both sides. One round has none.
    """
    found = {}
    for name in COMPARED:
        pairs = [(x.get(name), y.get(name)) for x, y in zip(a, b, strict=False)]
        logs = [math.log(x / y) for x, y in pairs if x and y]
        if logs:
            found[name] = _interval(logs)
    return found


def _interval(logs: Sequence[float]) -> dict[str, Any]:
    mean = float(np.mean(logs))
    ratio = {"ratio": math.exp(mean), "low": None, "high": None, "rounds": len(logs)}
    if len(logs) < 2:
        return ratio
    error = float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(logs) - 1)) * error
    return {**ratio, "low": math.exp(mean - half), "high": math.exp(mean + half)}
