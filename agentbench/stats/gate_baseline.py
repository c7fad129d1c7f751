"""A run against its baseline, as a gate asks it: not shown worse, or shown not worse than a margin."""

from collections.abc import Sequence
from dataclasses import dataclass

from agentbench.gate import GateOptions
from agentbench.stats.outcomes import Outcome
from agentbench.stats.paired import PairedComparison, compare_passes


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
        return BaselineCheck(passed=False, said=f"{name} has no attempts: run it once and keep it as the baseline")
    found = compare_passes(run, baseline, confidence=1 - 2 * options.alpha)
    comparison = compare_passes(run, baseline)
    if found.difference is None or found.low is None or found.p_worse is None:
        return BaselineCheck(
            passed=False, said=f"no case was graded both in this run and in {name}: nothing to compare"
        )
    if options.test == "regression":
        passed = found.p_worse >= options.alpha
        said = f"{'not shown' if passed else 'shown'} worse than {name}"
    else:
        passed = found.low > -options.margin
        said = f"{'shown' if passed else 'not shown'} within {100 * options.margin:.1f} points of {name}"
    return BaselineCheck(passed=passed, said=f"{said}: {_numbers(comparison)}", comparison=comparison)


def _numbers(found: PairedComparison) -> str:
    assert found.difference is not None
    parts = [f"{100 * found.difference:+.1f} points"]
    if found.low is not None and found.high is not None:
        parts[0] += f" (95 % {100 * found.low:+.1f} to {100 * found.high:+.1f})"
    parts.append(f"p = {found.p_worse:.2g}")
    if found.smallest_detectable is not None:
        parts.append(f"could have seen {100 * found.smallest_detectable:.1f} points")
    return ", ".join(parts).replace("-", "−")
