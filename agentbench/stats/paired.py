"""Two runs compared on the cases both attempted, case by case: d_i = a_i − b_i."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from agentbench.stats.differences import Differences, differences_of
from agentbench.stats.estimates import CONFIDENCE
from agentbench.stats.outcomes import Outcome
from agentbench.stats.pairs import Pairs, pair_cases, usable
from agentbench.stats.power import CaseMeans, DropPower, drop_power
from agentbench.stats.samples import cluster_sums, passes
from agentbench.stats.sign_flip import lattice_step, sign_flip_tails

Test = Literal["exact McNemar", "exact sign-flip on case means", "exact sign-flip on clusters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedComparison:
    """Pass rates of `a` and `b` over the same cases; every rate is a fraction, `difference` is a − b.

    `low` and `high` bound the difference (at 95 %, if not asked otherwise), `p_value` is two-sided, `p_worse` the
    one-sided one of `a` being worse. `better_in_a` and `better_in_b` are the cases whose mean differs.
    `smallest_detectable` is the least |difference| that this comparison finds significant (two-sided 5 %) with
    probability 0.8, None when there is none; `power` has what it finds of any other drop. As many repeats of a case are
    compared on either side, and the same: one without a verdict in one run is left out of both (`excluded`), one that
    only one run made out of that (`unmatched`); a case that only one run has is `unpaired`.
    """

    rate_a: float | None = None
    rate_b: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    p_value: float | None = None
    p_worse: float | None = None
    test: Test | None = None
    cases: int = 0
    clusters: int = 0
    effective_clusters: float = 0.0
    excluded: int
    unmatched: int
    unpaired: int
    better_in_a: tuple[str, ...] = ()
    better_in_b: tuple[str, ...] = ()
    smallest_detectable: float | None = None
    power: DropPower | None = None

    def to_json(self) -> dict[str, Any]:
        """Every figure; of `power` only what it follows from, not the cases."""
        found = asdict(replace(self, power=self.power and replace(self.power, means=None)))
        if found["power"]:
            del found["power"]["means"]
        return found


def compare_passes(a: Sequence[Outcome], b: Sequence[Outcome], confidence: float = CONFIDENCE) -> PairedComparison:
    """The pass rates of two runs on the cases both have; independent of the order of outcomes."""
    kept = usable(a, b, lambda outcome: outcome.passed is not None)
    unpaired = len({x.case_id for x in a} ^ {x.case_id for x in b})
    pairs = pair_cases(passes(kept.a), passes(kept.b))
    if not pairs:
        return PairedComparison(excluded=kept.excluded, unmatched=kept.unmatched, unpaired=unpaired)
    values = np.array([x.mean - y.mean for x, y in pairs])
    clusters = [x.cluster for x, _ in pairs]
    found = differences_of(values, clusters, verdicts=True, once=_once(pairs))
    low, high = found.interval(confidence)
    sums = cluster_sums(values, clusters)
    less, more = sign_flip_tails(sums, lattice_step([len(side.values) for pair in pairs for side in pair]))
    power = drop_power(found, _means(pairs, clusters))
    return PairedComparison(
        rate_a=float(np.mean([x.mean for x, _ in pairs])),
        rate_b=float(np.mean([y.mean for _, y in pairs])),
        difference=found.mean,
        low=low,
        high=high,
        standard_error=found.standard_error,
        p_value=min(1.0, 2 * min(less, more)),
        p_worse=less,
        test=_test_name(pairs, clusters),
        cases=len(pairs),
        clusters=found.clusters,
        effective_clusters=found.effective,
        excluded=kept.excluded,
        unmatched=kept.unmatched,
        unpaired=unpaired,
        better_in_a=tuple(x.case_id for (x, _), d in zip(pairs, values, strict=True) if d > 1e-12),
        better_in_b=tuple(x.case_id for (x, _), d in zip(pairs, values, strict=True) if d < -1e-12),
        smallest_detectable=_smallest(found, power, pairs, clusters),
        power=power,
    )


def _smallest(found: Differences, drop: DropPower, pairs: Pairs, clusters: Sequence[str]) -> float | None:
    """The smallest drop that would be found, or rise where `b` has too few passes to lose: a rise is a drop of what is
    not passed."""
    alpha = (1 - CONFIDENCE) / 2
    least = drop.smallest(alpha)
    if least is not None:
        return least
    means = _means(pairs, clusters)
    return drop_power(found, replace(means, run=1 - means.run, baseline=1 - means.baseline)).smallest(alpha)


def _means(pairs: Pairs, clusters: Sequence[str]) -> CaseMeans:
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    return CaseMeans(
        run=np.array([x.mean for x, _ in pairs]),
        baseline=np.array([y.mean for _, y in pairs]),
        clusters=np.array([numbers[cluster] for cluster in clusters], dtype=np.intp),
        count=len(numbers),
    )


def _once(pairs: Pairs) -> bool:
    return all(len(x.values) == len(y.values) == 1 for x, y in pairs)


def _test_name(pairs: Pairs, clusters: Sequence[str]) -> Test:
    if len(set(clusters)) < len(pairs):
        return "exact sign-flip on clusters"
    return "exact McNemar" if _once(pairs) else "exact sign-flip on case means"
