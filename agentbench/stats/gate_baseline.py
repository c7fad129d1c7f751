"""A run against its baseline, as a gate asks it: not shown worse, or shown not worse than a margin."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agentbench.stats.clusters import LEAST_CLUSTERS
from agentbench.stats.outcomes import Outcome
from agentbench.stats.paired import PairedComparison, compare_passes
from agentbench.stats.sign_flip import LEAST, attainable
from agentbench.suite.gate_options import GateOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineCheck:
    """`comparison` is None when there was nothing to compare."""

    passed: bool
    said: str
    comparison: PairedComparison | None = None


def judge_baseline(options: GateOptions, run: Sequence[Outcome], baseline: Sequence[Outcome]) -> BaselineCheck:
    """`regression`: fails when the exact one-sided test finds the run worse at `alpha`. `non_inferiority`: fails
    unless the interval at 1 − 2·`alpha` lies above −`margin`. Fails when there is no case to compare."""
    name = f"baseline {options.baseline}" if options.baseline else "the baseline"
    if not baseline:
        return BaselineCheck(passed=False, said=f"{name} has no attempts to compare with")
    found = compare_passes(run, baseline)
    if found.difference is None or found.power is None:
        return BaselineCheck(
            passed=False, said=f"no case has a verdict both in this run and in {name}: nothing to compare"
        )
    judge = _regression if options.test == "regression" else _non_inferiority
    passed, said = judge(options, name, found)
    return BaselineCheck(passed=passed, said=said, comparison=found)


def _regression(options: GateOptions, name: str, found: PairedComparison) -> tuple[bool, str]:
    assert found.p_worse is not None
    assert found.power is not None
    passed = found.p_worse >= options.alpha
    relation = "≤" if found.p_worse <= LEAST else "="
    shown = f"one-sided p {relation} {found.p_worse:.2g}, α = {options.alpha:g}"
    said = f"{'not shown worse' if passed else 'worse'} than {name} ({shown}): {_numbers(found)}"
    if not attainable(found.clusters, options.alpha):
        needed = math.floor(math.log2(1 / options.alpha)) + 1
        return passed, f"{said}; it can never fail: {_units(found)}, at least {needed} are needed"
    least = found.power.smallest(options.alpha)
    if least is None:
        return passed, f"{said}; too few cases to find any drop with power 0.8"
    return passed, f"{said}; it finds a drop of {100 * least:.1f} points with power 0.8"


def _non_inferiority(options: GateOptions, name: str, found: PairedComparison) -> tuple[bool, str]:
    assert found.power is not None
    low = found.power.found.lower_bound(options.alpha)
    passed = low is not None and low > -options.margin
    bound = _too_few(found) if low is None else f" (at least {_points(low)} at α = {options.alpha:g})"
    margin = f"less than {100 * options.margin:g} points worse than {name}"
    power = found.power.within(options.margin, options.alpha)
    said = f"{'shown' if passed else 'not shown'} to be {margin}{bound}: {_numbers(found)}"
    return passed, f"{said}; an unchanged run passes with power {power:.2f}"


def _too_few(found: PairedComparison) -> str:
    worth = f"worth {found.effective_clusters:.1f} of equal size; no bound is given below {LEAST_CLUSTERS}"
    return f" ({_units(found)}, {worth})"


def _numbers(found: PairedComparison) -> str:
    assert found.difference is not None
    spread = (
        "" if found.low is None or found.high is None
        else f" (95 % {_points(found.low)} to {_points(found.high)})"
    )  # fmt: skip
    shared = f", {found.unpaired} in one of them only" if found.unpaired else ""
    more = f", without {found.unmatched} repeats that only one of them has" if found.unmatched else ""
    return f"{_points(found.difference)} points{spread} over {found.cases} cases{shared}{more}"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}".replace("-", "−")


def _units(found: PairedComparison) -> str:
    return f"{found.cases} paired cases" + (f" in {found.clusters} clusters" if found.clusters < found.cases else "")
