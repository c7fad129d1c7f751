"""Whether a run passes its gate: each thing asked of it, with the numbers it was decided by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agentbench.duration import shown
from agentbench.gate import GateOptions, Slo
from agentbench.stats.outcomes import EXCUSED, Outcome
from agentbench.stats.paired import PairedComparison, compare_passes, difference_interval, is_once, worse_p
from agentbench.stats.pairs import Pairs, pair_cases, usable
from agentbench.stats.power import GatePower, gate_power
from agentbench.stats.samples import passes
from agentbench.stats.serving import ServingSummary

ROUNDING = 1e-9
SERVING_FIELDS = {"goodput": "agent_goodput_per_s", "output_tokens_per_s": "output_tokens_per_s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCheck:
    """One thing asked; `said` is a line with the numbers."""

    name: str
    passed: bool
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """Passed when every check did. `comparison` is run − baseline, with failures of the agent's as wrong answers."""

    passed: bool
    checks: tuple[GateCheck, ...]
    comparison: PairedComparison | None = None


def judge_gate(
    options: GateOptions,
    outcomes: Sequence[Outcome],
    serving: ServingSummary,
    baseline: Sequence[Outcome] | None = None,
) -> GateVerdict:
    """The gate's verdict on a run.

    An attempt that its agent broke off (agent, timeout, budget) counts as not right: a change that makes the agent
    crash must not pass for that. What the server, a tool or a scorer broke counts for neither side, and fails the
    gate when it is more than `max_failed_share` of the attempts. `baseline` is the outcomes of the run that
    `options.baseline` names; it is not compared when None.
    """
    counted = [as_counted(outcome) for outcome in outcomes]
    checks = [_failures(options, counted), *_pass_rate(options, counted), *_slo(options.slo, serving)]
    comparison = None
    if baseline is not None:
        held_against = [as_counted(outcome) for outcome in baseline]
        comparison = compare_passes(counted, held_against)
        checks.append(_not_worse(options, counted, held_against, comparison))
    return GateVerdict(passed=all(check.passed for check in checks), checks=tuple(checks), comparison=comparison)


def as_counted(outcome: Outcome) -> Outcome:
    """The outcome as a gate counts it: a failure of the agent's is a wrong answer."""
    if outcome.failure is None or outcome.failure in EXCUSED:
        return outcome
    return replace(outcome, failure=None, passed=False)


def _failures(options: GateOptions, outcomes: Sequence[Outcome]) -> GateCheck:
    failed = sum(outcome.failure is not None for outcome in outcomes)
    share = failed / len(outcomes) if outcomes else 0.0
    passed = bool(outcomes) and share <= options.max_failed_share
    bound = f"at most {100 * options.max_failed_share:g} % may"
    said = f"{failed} of {len(outcomes)} attempts failed without the agent's doing ({100 * share:.1f} %; {bound})"
    return GateCheck(name="failures", passed=passed, said=said if outcomes else "no attempt was made")


def _pass_rate(options: GateOptions, outcomes: Sequence[Outcome]) -> Iterator[GateCheck]:
    if options.min_pass_rate is None:
        return
    samples = passes(outcomes)
    rate = float(np.mean([sample.mean for sample in samples])) if samples else 0.0
    passed = bool(samples) and rate >= options.min_pass_rate - 1e-12
    relation = "is at least" if passed else "is below"
    said = f"pass rate {100 * rate:.1f} % over {len(samples)} cases {relation} {100 * options.min_pass_rate:g} %"
    yield GateCheck(name="min_pass_rate", passed=passed, said=said)


def _slo(slo: Slo, serving: ServingSummary) -> Iterator[GateCheck]:
    for name, bound in slo.model_dump(exclude_none=True).items():
        is_rate = name in SERVING_FIELDS
        value: float | None = getattr(serving, SERVING_FIELDS.get(name, f"{name}_s"))
        form = (lambda number: f"{number:.3g}/s") if is_rate else shown
        if value is None:
            yield GateCheck(name=name, passed=False, said=f"{name}: no call of this run defines it")
            continue
        passed = value >= bound * (1 - ROUNDING) if is_rate else value <= bound * (1 + ROUNDING)
        relation = ("is at least" if passed else "is below") if is_rate else ("is within" if passed else "is over")
        yield GateCheck(name=name, passed=passed, said=f"{name} {form(value)} {relation} {form(bound)}")


def _not_worse(
    options: GateOptions, run: Sequence[Outcome], baseline: Sequence[Outcome], comparison: PairedComparison
) -> GateCheck:
    kept_run, kept_baseline, _ = usable(run, baseline)
    pairs = pair_cases(passes(kept_run), passes(kept_baseline))
    if not pairs:
        return GateCheck(name="baseline", passed=False, said="the run and the baseline have no graded case in common")
    decide = _regression if options.test == "regression" else _non_inferiority
    passed, said = decide(options, pairs)
    against = f" baseline {options.baseline}" if options.baseline else " the baseline"
    power = _finds(gate_power(pairs, options))
    return GateCheck(
        name="baseline", passed=passed, said=f"{said.replace('BASE', against.strip())}: {_numbers(comparison)}; {power}"
    )


def _regression(options: GateOptions, pairs: Pairs) -> tuple[bool, str]:
    differences, clusters = _differences(pairs)
    p = worse_p(differences, clusters)
    passed = p > options.alpha
    return (
        passed,
        f"{'not shown worse' if passed else 'worse'} than BASE (one-sided p = {p:.2g}, alpha {options.alpha:g})",
    )


def _non_inferiority(options: GateOptions, pairs: Pairs) -> tuple[bool, str]:
    """Passes when the one-sided bound at `alpha` of the difference is above −margin."""
    differences, clusters = _differences(pairs)
    low, _, _ = difference_interval(differences, clusters, is_once(pairs), confidence=1 - 2 * options.alpha)
    passed = low > -options.margin
    bound = f"at least {100 * low:+.1f} points with {100 * (1 - options.alpha):g} % confidence"
    shown_as = "shown" if passed else "not shown"
    return passed, f"{shown_as} to be at most {100 * options.margin:g} points worse than BASE ({bound})"


def _differences(pairs: Pairs) -> tuple[np.ndarray, list[str]]:
    return np.array([x.mean - y.mean for x, y in pairs]), [x.cluster for x, _ in pairs]


def _numbers(found: PairedComparison) -> str:
    assert found.difference is not None
    assert found.low is not None
    assert found.high is not None
    shared = f", {found.unpaired} in one of them only" if found.unpaired else ""
    return (
        f"{100 * found.difference:+.1f} points (95 % {100 * found.low:+.1f} to {100 * found.high:+.1f})"
        f" over {found.cases} cases{shared}"
    )


def _finds(power: GatePower) -> str:
    if power.detectable is None:
        return "too few cases for this gate ever to fail" if power.never else "it finds no drop with power 0.8"
    return f"it finds a drop of {100 * power.detectable:.1f} points with power 0.8"
