"""Two runs compared on the cases both attempted, case by case: d_i = a_i − b_i."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from agentbench.stats.estimates import CONFIDENCE, standard_error
from agentbench.stats.outcomes import Outcome
from agentbench.stats.pairs import Pairs, pair_cases, usable
from agentbench.stats.samples import Floats, cluster_sums, passes

POWER = 0.8

Test = Literal["exact McNemar", "sign test on case means", "sign test on clusters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedComparison:
    """Pass rates of `a` and `b` over the same cases; every rate is a fraction, `difference` is a − b.

    `low` and `high` bound the difference (at 95 %, if not asked otherwise), `p_value` is two-sided, `p_worse` the
    one-sided one of `a` being worse. `better_in_a` and `better_in_b` are
    the cases whose mean differs. `smallest_detectable` is the least |difference| that this comparison would
    have found significant with probability `POWER`, None when no difference could have been. An attempt that
    failed in one run is left out of both (`excluded` counts those repeats of cases); a case that only one run
    has is `unpaired`.
    """

    rate_a: float | None
    rate_b: float | None
    difference: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    p_value: float | None
    p_worse: float | None
    test: Test | None
    cases: int
    clusters: int
    excluded: int
    unpaired: int
    better_in_a: tuple[str, ...]
    better_in_b: tuple[str, ...]
    smallest_detectable: float | None


def compare_passes(a: Sequence[Outcome], b: Sequence[Outcome], confidence: float = CONFIDENCE) -> PairedComparison:
    """The pass rates of two runs on the cases both have; independent of the order of attempts."""
    kept_a, kept_b, excluded = usable(a, b)
    pairs = pair_cases(passes(kept_a), passes(kept_b))
    counts = {
        "cases": len(pairs),
        "excluded": excluded,
        "unpaired": len({x.case_id for x in a} ^ {x.case_id for x in b}),
    }
    if not pairs:
        return PairedComparison(**counts, **_NOTHING)  # type: ignore[arg-type]
    differences = np.array([x.mean - y.mean for x, y in pairs])
    clusters = [x.cluster for x, _ in pairs]
    interval = _interval(differences, clusters, once=_once(pairs), confidence=confidence)
    return PairedComparison(
        **counts,
        rate_a=float(np.mean([x.mean for x, _ in pairs])),
        rate_b=float(np.mean([y.mean for _, y in pairs])),
        difference=float(differences.mean()),
        low=interval[0],
        high=interval[1],
        standard_error=interval[2],
        p_value=_sign_p(differences, clusters),
        p_worse=_sign_p(differences, clusters, "less"),
        test=_test_name(pairs, clusters),
        clusters=len(set(clusters)),
        better_in_a=tuple(x.case_id for (x, _), d in zip(pairs, differences, strict=True) if d > 0),
        better_in_b=tuple(x.case_id for (x, _), d in zip(pairs, differences, strict=True) if d < 0),
        smallest_detectable=smallest_detectable(interval[2], len(set(clusters))),
    )


_NOTHING: dict[str, object] = {
    **dict.fromkeys(
        ("rate_a", "rate_b", "difference", "low", "high", "standard_error", "p_value", "p_worse", "test"), None
    ),
    "clusters": 0,
    "better_in_a": (),
    "better_in_b": (),
    "smallest_detectable": None,
}


def _once(pairs: Pairs) -> bool:
    return all(len(x.values) == len(y.values) == 1 for x, y in pairs)


def _test_name(pairs: Pairs, clusters: Sequence[str]) -> Test:
    if len(set(clusters)) < len(pairs):
        return "sign test on clusters"
    return "exact McNemar" if _once(pairs) else "sign test on case means"


def _sign_p(
    differences: Floats, clusters: Sequence[str], alternative: Literal["two-sided", "less"] = "two-sided"
) -> float:
    """Exact binomial test that as many units changed for the better as for the worse.

    A unit is a cluster (a case, where each is its own). For pass/fail once per case it is McNemar's exact
    test on the discordant pairs (McNemar 1947). No unit changed: p = 1.
    """
    sums = cluster_sums(differences, clusters)
    better, worse = int(np.sum(sums > 1e-12)), int(np.sum(sums < -1e-12))
    if better + worse == 0:
        return 1.0
    return float(stats.binomtest(better, better + worse, 0.5, alternative).pvalue)


def _interval(
    differences: Floats, clusters: Sequence[str], once: bool, confidence: float
) -> tuple[float | None, float | None, float | None]:
    """Low, high and standard error of the mean difference.

    Pass/fail once per independent case, and differences without any spread: Agresti & Min's interval, half
    a pair added to each cell of the table (Statistics in Medicine 24, 2005), which does not collapse when no
    case changed. Otherwise t with the cluster-robust error.
    """
    count = len(set(clusters))
    error = standard_error(differences, clusters)
    independent = once and count == len(differences)
    if independent or not error or error < 1e-12:
        value, error = _agresti_min(float(differences.mean()), float(np.mean(differences**2)), count)
        half = float(stats.norm.ppf(0.5 + confidence / 2)) * error
    else:
        value = float(differences.mean())
        half = float(stats.t.ppf(0.5 + confidence / 2, count - 1)) * error
    return max(-1.0, value - half), min(1.0, value + half), error


def _agresti_min(mean: float, mean_square: float, count: int) -> tuple[float, float]:
    """Centre and standard error with half a pair added to each of the four cells."""
    adjusted = count + 2
    centre = mean * count / adjusted
    discordant = mean_square * count + 1
    return centre, math.sqrt(discordant / adjusted - centre**2) / math.sqrt(adjusted)


def smallest_detectable(error: float | None, clusters: int) -> float | None:
    """The least difference found with probability `POWER` at a two-sided 5 %, given this standard error.

    (t_{1−α/2} + t_{power})·SE (Bloom 1995), and not less than what the exact test can find at all: it needs
    6 changed units that agree (2·½⁶ < 0.05). None when there are fewer.
    """
    units = math.ceil(math.log2(2 / (1 - CONFIDENCE)))
    if error is None or clusters < units:
        return None
    quantiles = stats.t.ppf([0.5 + CONFIDENCE / 2, POWER], clusters - 1)
    return min(1.0, max(float(np.sum(quantiles)) * error, units / clusters))
